/* Accepts the relay's connections, does the handshake of RFB 3.8 with security None, then reads client messages. */
#include "server.h"

#include "load.h"
#include "report.h"
#include "sessions.h"
#include "sockets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define ACCEPTS_A_TURN 64

/* Frees a server after its last batch of events. */
static void release(struct conn *conn)
{
    free(((struct server *)conn)->own);
    free(conn);
}

/* Closes the connection and forgets the server. */
void server_close(struct server *s)
{
    if (conn_is_open(&s->conn))
        sessions_drop_server(s);
    conn_close(&s->conn);
}

/* Resets the connection and forgets the server. */
void server_reset(struct server *s)
{
    if (conn_is_open(&s->conn))
        sessions_drop_server(s);
    conn_reset(&s->conn);
}

/* Ends a server whose connection broke; the scenario decides whether that is an error. */
static void lose(struct server *s, const char *why)
{
    bool was_up = s->state == SERVER_UP;
    if (!conn_is_open(&s->conn))
        return;
    server_close(s);
    if (!was_up)
        return; /* a relay may look whether a VNC server is there */
    if (run.scenario->server_gone)
        run.scenario->server_gone(s, why);
    else
        sessions_lost("a VNC server's connection", why);
}

/* Gives cut text to the scenario. */
static bool take_text(void *owner, const uint8_t *data, size_t size)
{
    struct server *s = owner;
    if (run.scenario->server_text && !run.scenario->server_text(s, data, size))
        return false;
    return conn_is_open(&s->conn);
}

/* Gives a whole client message to the scenario. */
static bool take_message(void *owner, enum client_message type, uint64_t size)
{
    struct server *s = owner;
    if (run.scenario->server_message)
        run.scenario->server_message(s, type, size);
    return conn_is_open(&s->conn);
}

/* Answers one step of the handshake, whose bytes stand in the message reader's head. */
static void take_step(struct server *s)
{
    static const uint8_t none_only[2] = {1, 1}, accepted[4] = {0};
    const uint8_t *got = s->messages.head;
    s->messages.have = 0;
    switch (s->state) {
    case SERVER_VERSION:
        if (memcmp(got, RFB_VERSION, RFB_VERSION_SIZE) != 0) {
            lose(s, "another version than 3.8");
            return;
        }
        conn_send_fixed(&s->conn, none_only, sizeof none_only);
        s->state = SERVER_SECURITY;
        break;
    case SERVER_SECURITY:
        if (got[0] != 1) {
            lose(s, "another security type than None");
            return;
        }
        conn_send_fixed(&s->conn, accepted, sizeof accepted);
        s->state = SERVER_INIT;
        break;
    default:
        conn_send_fixed(&s->conn, rfb_server_init()->data, rfb_server_init()->size);
        s->state = SERVER_UP;
        messages_start(&s->messages);
        sessions_add_server(s);
        if (run.scenario->server_up)
            run.scenario->server_up(s);
    }
}

/* Takes the result of a receive that brought nothing; true when the connection lives on. */
static bool survives(struct server *s, ssize_t n)
{
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    lose(s, n == 0 ? "the relay closed it" : strerror(errno));
    return false;
}

/* Reads the handshake, never more than the step at hand. */
static void read_handshake(struct server *s)
{
    struct messages *m = &s->messages;
    m->need = s->state == SERVER_VERSION ? RFB_VERSION_SIZE : 1;
    ssize_t n = recv(s->conn.fd, m->head + m->have, (size_t)(m->need - m->have), 0);
    if (n <= 0) {
        survives(s, n);
        return;
    }
    m->have = (uint8_t)(m->have + n);
    if (m->have == m->need)
        take_step(s);
}

/* Reads client messages, or drops them in the kernel where the scenario only counts bytes. */
static void read_up(struct server *s)
{
    ssize_t n = recv(s->conn.fd, scratch, s->drops ? DROPPED_AT_ONCE : SCRATCH_SIZE, s->drops ? MSG_TRUNC : 0);
    if (n <= 0) {
        survives(s, n);
        return;
    }
    if (s->drops) {
        run.scenario->server_dropped(s, (size_t)n);
        return;
    }
    static const struct messages_listener listener = {take_text, take_message};
    const char *problem = messages_feed(&s->messages, scratch, (size_t)n, &listener, s);
    if (problem)
        lose(s, problem);
}

/* Reads what has come. */
static void read_any(struct conn *conn)
{
    struct server *s = (struct server *)conn;
    if (s->state == SERVER_UP)
        read_up(s);
    else
        read_handshake(s);
}

/* Lets the scenario write. */
static void write_more(struct conn *conn)
{
    run.scenario->server_writable((struct server *)conn);
}

/* Takes connections from the backlog; a server speaks first. */
static void accept_some(struct conn *listener)
{
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        int fd = sockets_accept(listener->fd);
        if (fd < 0)
            return;
        struct server *s = calloc(1, sizeof *s);
        if (!s)
            fail("out of memory");
        s->conn = (struct conn){.fd = fd, .readable = read_any, .writable = write_more, .released = release};
        if (!conn_add(&s->conn))
            fail("epoll_ctl: %s", strerror(errno));
        conn_send_fixed(&s->conn, RFB_VERSION, RFB_VERSION_SIZE);
    }
}

/* Begins to listen where the relay expects the VNC servers. */
void servers_listen(void)
{
    static struct conn listener = {.readable = accept_some};
    listener.fd = sockets_listen(options.vnc_port, run.server_buffer);
    if (!conn_add(&listener))
        fail("epoll_ctl: %s", strerror(errno));
}

/* Writes a fixed text again and again, as far as the socket takes it in one turn. */
void server_play(struct server *s, const struct blob *stream)
{
    for (int i = 0; i < run.chunks_a_turn && !conn_is_blocked(&s->conn); i++)
        conn_send_fixed(&s->conn, stream->data, stream->size);
}
