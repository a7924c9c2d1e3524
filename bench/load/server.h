/* The VM's end of a session: a VNC server. */
#ifndef SERVER_H
#define SERVER_H

#include "loop.h"
#include "rfb.h"

enum server_state { SERVER_VERSION, SERVER_SECURITY, SERVER_INIT, SERVER_UP };

struct server {
    struct conn conn;
    enum server_state state;
    bool drops; /* once up, what comes is counted and not looked at */
    size_t place; /* among sessions.servers */
    struct messages messages;
    uint64_t at; /* the scenario's */
    void *own; /* the scenario's; freed with the server */
};

void servers_listen(void);
void server_play(struct server *s, const struct blob *stream);
void server_close(struct server *s);
void server_reset(struct server *s);

#endif
