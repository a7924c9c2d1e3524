/* The RFB protocol as far as both ends need it (rfbproto, 7): fixed texts, and a reader of client messages. */
#ifndef RFB_H
#define RFB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RFB_VERSION "RFB 003.008\n"
#define RFB_VERSION_SIZE 12
#define RFB_SERVER_INIT_SIZE 24 /* without the name */
#define RFB_WIDTH 640
#define RFB_HEIGHT 480
#define RFB_TEXT_HEAD 8 /* what stands before the text of a cut text message, either way */
#define RFB_KEY_SIZE 8

enum client_message {
    SET_PIXEL_FORMAT = 0,
    SET_ENCODINGS = 2,
    UPDATE_REQUEST = 3,
    KEY_EVENT = 4,
    POINTER_EVENT = 5,
    CLIENT_CUT_TEXT = 6
};

/* Bytes that are built once and stay for the whole run. */
struct blob {
    uint8_t *data;
    size_t size;
};

/* Where a server stands in its client's messages. */
struct messages {
    uint8_t head[20];
    uint8_t have, need;
    uint64_t size; /* of the current message, as far as it is known */
    uint64_t left; /* of the current message's body */
};

/* Who hears what the reader finds; each returns false when the reader is to stop. */
struct messages_listener {
    bool (*text)(void *owner, const uint8_t *data, size_t size); /* cut text as it comes; may be NULL */
    bool (*message)(void *owner, enum client_message type, uint64_t size);
};

const struct blob *rfb_server_init(void);
const struct blob *rfb_picture(void);
struct blob rfb_server_text(size_t size);
struct blob rfb_client_text(size_t size);
void rfb_text_head(uint8_t *to, uint8_t type, size_t text_size);
void rfb_key_event(uint8_t *to, bool down);
size_t rfb_picture_request(uint8_t *to);
void messages_start(struct messages *m);
const char *messages_feed(struct messages *m, const uint8_t *data, size_t size, const struct messages_listener *to,
                          void *owner);

#endif
