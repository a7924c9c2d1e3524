/* The browser's end of a session: a websocket client, or a plain RFB client with --raw. */
#ifndef BROWSER_H
#define BROWSER_H

#include "frames.h"
#include "loop.h"
#include "rfb.h"

enum browser_state {
    BROWSER_CONNECTING,
    BROWSER_SECURING,
    BROWSER_UPGRADING,
    BROWSER_VERSION,
    BROWSER_TYPES,
    BROWSER_RESULT,
    BROWSER_INIT,
    BROWSER_UP,
    BROWSER_LEAVING
};

struct browser {
    struct conn conn;
    enum browser_state state;
    bool drops;      /* once up, bytes from the socket are counted and not looked at */
    bool skips;      /* once up, frames are read, but their payload is counted and not looked at */
    size_t place;    /* among sessions.browsers */
    uint64_t started; /* when it began to connect */
    struct browser *older, *newer;
    struct frames frames;
    char *reply;     /* of the upgrade, while it is read */
    size_t reply_size;
    uint8_t step[64]; /* of the RFB handshake, while it is read; then the scenario's */
    size_t step_size;
    uint64_t at, sent_at; /* the scenario's */
    void *own;       /* the scenario's; freed with the browser */
};

void browser_start(const char *path);
struct blob browser_message(const uint8_t *message, size_t size);
void browser_send(struct browser *b, const uint8_t *message, size_t size);
void browser_play(struct browser *b, const struct blob *stream);
void browser_read_at_most(struct browser *b, size_t most);
void browser_leave(struct browser *b);
void browser_close(struct browser *b);
void browser_reset(struct browser *b);
void browser_lose(struct browser *b, const char *why);
const char *browser_missing(const struct browser *b);

#endif
