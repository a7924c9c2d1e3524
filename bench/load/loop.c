/* epoll, level triggered: EPOLLOUT is watched only while something waits or a connection streams, so that a
   small message costs one wait, one receive and one send. */
#define _GNU_SOURCE
#include "loop.h"

#include "clock.h"
#include "report.h"
#include "tls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH 256

uint8_t scratch[DROPPED_AT_ONCE];

static int epoll = -1;
static struct conn *closed;

/* Makes the epoll and asks the kernel for exact sleeps. */
void loop_start(void)
{
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        fail("epoll_create1: %s", strerror(errno));
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
}

/* Returns the events that the connection needs to hear of. */
static uint32_t wanted_events(const struct conn *conn)
{
    return (conn->paused ? 0 : EPOLLIN) | (conn->streaming || conn_is_blocked(conn) ? EPOLLOUT : 0);
}

/* Puts a connection into the loop; false when its descriptor cannot be watched (a regular file). */
bool conn_add(struct conn *conn)
{
    struct epoll_event event = {.events = wanted_events(conn), .data.ptr = conn};
    conn->watched = event.events;
    return epoll_ctl(epoll, EPOLL_CTL_ADD, conn->fd, &event) == 0;
}

/* Tells epoll what the connection needs to hear of, if that has changed. */
void conn_update(struct conn *conn)
{
    struct epoll_event event = {.events = wanted_events(conn), .data.ptr = conn};
    if (!conn_is_open(conn) || event.events == conn->watched)
        return;
    conn->watched = event.events;
    if (epoll_ctl(epoll, EPOLL_CTL_MOD, conn->fd, &event) != 0)
        fail("epoll_ctl: %s", strerror(errno));
}

/* Writes what the socket takes; on a broken connection all counts as written, the read side finds the end. */
static size_t write_some(struct conn *conn, const uint8_t *data, size_t size)
{
    ssize_t n = send(conn->fd, data, size, MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : size;
    conn->sent += (uint64_t)n;
    return (size_t)n;
}

/* Keeps a copy of bytes behind everything that already waits. */
static void keep_copy(struct outbox *out, const uint8_t *data, size_t size)
{
    if (out->copied_at == out->copied_end)
        out->copied_at = out->copied_end = 0;
    if (out->copied_end + size > out->copied_room) {
        out->copied_room = (out->copied_end + size) * 2;
        out->copied = realloc(out->copied, out->copied_room);
        if (!out->copied)
            fail("out of memory");
    }
    memcpy(out->copied + out->copied_end, data, size);
    out->copied_end += size;
}

/* Sends bytes as they are: what the socket does not take is copied. */
static void send_bytes(struct conn *conn, const uint8_t *data, size_t size)
{
    size_t done = conn_is_blocked(conn) ? 0 : write_some(conn, data, size);
    if (done == size)
        return;
    keep_copy(&conn->out, data + done, size - done);
    conn_update(conn);
}

/* Sends the records that TLS has made ready. */
void conn_send_records(struct conn *conn)
{
    const uint8_t *data;
    size_t size = tls_output(&data);
    if (size)
        send_bytes(conn, data, size);
}

/* Keeps the records that TLS has made ready behind everything that already waits. */
static void keep_records(struct conn *conn)
{
    const uint8_t *data;
    size_t size = tls_output(&data);
    keep_copy(&conn->out, data, size);
}

/* Encrypts bytes, so many at once as TLS has room for; the records are sent, or kept behind what already waits. */
static void send_encrypted(struct conn *conn, const uint8_t *data, size_t size, bool kept)
{
    while (size) {
        size_t part = size < TLS_PIECE ? size : TLS_PIECE;
        tls_write(conn->tls, data, part);
        if (kept)
            keep_records(conn);
        else
            conn_send_records(conn);
        data += part;
        size -= part;
    }
}

/* Tells the other end of TLS that nothing more comes; where something still waits it does not come out in order. */
static void say_goodbye(struct conn *conn)
{
    const uint8_t *data;
    if (!conn->tls)
        return;
    tls_say_goodbye(conn->tls);
    size_t size = tls_output(&data);
    if (size && !conn_is_blocked(conn))
        write_some(conn, data, size);
}

/* Ends the sending side and goes on reading. */
void conn_end_sending(struct conn *conn)
{
    if (!conn_is_open(conn))
        return;
    say_goodbye(conn);
    shutdown(conn->fd, SHUT_WR);
}

/* Lets go of a connection; its memory stays until the batch of events is done, since the batch may name it again. */
static void drop(struct conn *conn)
{
    if (conn->tls)
        tls_free(conn->tls);
    conn->tls = NULL;
    close(conn->fd);
    conn->fd = -1;
    free(conn->out.copied);
    memset(&conn->out, 0, sizeof conn->out);
    conn->next_closed = closed;
    closed = conn;
}

/* Closes a connection, with TLS's goodbye where that is spoken. */
void conn_close(struct conn *conn)
{
    if (!conn_is_open(conn))
        return;
    say_goodbye(conn);
    drop(conn);
}

/* Takes a descriptor out of the loop first: needed where another process shares it, as close() alone then leaves it
   in epoll. */
void conn_remove(struct conn *conn)
{
    epoll_ctl(epoll, EPOLL_CTL_DEL, conn->fd, NULL);
    conn_close(conn);
}

/* Closes a connection with a reset instead of an orderly end. */
void conn_reset(struct conn *conn)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    if (!conn_is_open(conn))
        return;
    setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    drop(conn);
}

/* Sends bytes that the caller may change afterwards. */
void conn_send(struct conn *conn, const void *data, size_t size)
{
    if (!conn_is_open(conn))
        return;
    if (conn->tls)
        send_encrypted(conn, data, size, false);
    else
        send_bytes(conn, data, size);
}

/* Sends bytes in two writes with a turn of the loop between them, so that the receiver sees the cut. */
void conn_send_in_two(struct conn *conn, const void *data, size_t size, size_t cut)
{
    const uint8_t *rest = (const uint8_t *)data + cut;
    conn_send(conn, data, cut);
    if (!conn_is_open(conn) || cut == size)
        return;
    if (conn->tls)
        send_encrypted(conn, rest, size - cut, true);
    else
        keep_copy(&conn->out, rest, size - cut);
    conn_update(conn);
}

/* Sends bytes that stay as they are for the whole run; what the socket does not take is not copied. */
void conn_send_fixed(struct conn *conn, const void *data, size_t size)
{
    if (!conn_is_open(conn))
        return;
    if (conn->tls || conn_is_blocked(conn)) {
        conn_send(conn, data, size);
        return;
    }
    size_t done = write_some(conn, data, size);
    conn->out.fixed = (const uint8_t *)data + done;
    conn->out.fixed_left = size - done;
    if (done != size)
        conn_update(conn);
}

/* Writes what waits, in order, as far as the socket takes it. */
static void flush(struct conn *conn)
{
    struct outbox *out = &conn->out;
    if (out->fixed_left) {
        size_t done = write_some(conn, out->fixed, out->fixed_left);
        out->fixed += done;
        out->fixed_left -= done;
    }
    if (!out->fixed_left && out->copied_at < out->copied_end)
        out->copied_at += write_some(conn, out->copied + out->copied_at, out->copied_end - out->copied_at);
}

/* Gives one event to its connection. */
static void dispatch(struct conn *conn, uint32_t events)
{
    if (conn_is_open(conn) && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        conn->readable(conn);
    if (!conn_is_open(conn) || !(events & EPOLLOUT))
        return;
    flush(conn);
    if (!conn_is_blocked(conn) && conn->streaming)
        conn->writable(conn);
    conn_update(conn);
}

/* Frees the connections that were closed in this batch. */
static void release_closed(void)
{
    while (closed) {
        struct conn *conn = closed;
        closed = conn->next_closed;
        if (conn->released)
            conn->released(conn);
    }
}

/* Waits for events, at most until the given moment, and handles one batch: urgent connections first. */
void loop_wait(uint64_t until)
{
    struct epoll_event events[BATCH];
    uint64_t now = now_ns(), left = until > now ? until - now : 0;
    struct timespec timeout = {.tv_sec = (time_t)(left / SECOND), .tv_nsec = (long)(left % SECOND)};
    int n = epoll_pwait2(epoll, events, BATCH, until == NEVER ? NULL : &timeout, NULL);
    if (n < 0 && errno != EINTR)
        fail("epoll_pwait2: %s", strerror(errno));
    for (int turn = 0; turn < 2; turn++)
        for (int i = 0; i < n; i++)
            if (((struct conn *)events[i].data.ptr)->urgent == (turn == 0))
                dispatch(events[i].data.ptr, events[i].events);
    release_closed();
}
