/* epoll, level triggered: EPOLLOUT is watched only while something waits or a connection streams, so that a
   small message costs one wait, one receive and one send. */
#define _GNU_SOURCE
#include "loop.h"

#include "clock.h"
#include "report.h"

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

/* Closes a connection; its memory stays until the batch of events is done, since the batch may name it again. */
void conn_close(struct conn *conn)
{
    if (!conn_is_open(conn))
        return;
    close(conn->fd);
    conn->fd = -1;
    free(conn->out.copied);
    memset(&conn->out, 0, sizeof conn->out);
    conn->next_closed = closed;
    closed = conn;
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
    if (conn_is_open(conn))
        setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    conn_close(conn);
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

/* Sends bytes that the caller may change afterwards. */
void conn_send(struct conn *conn, const void *data, size_t size)
{
    if (!conn_is_open(conn))
        return;
    size_t done = conn_is_blocked(conn) ? 0 : write_some(conn, data, size);
    if (done == size)
        return;
    keep_copy(&conn->out, (const uint8_t *)data + done, size - done);
    conn_update(conn);
}

/* Sends bytes in two writes with a turn of the loop between them, so that the receiver sees the cut. */
void conn_send_in_two(struct conn *conn, const void *data, size_t size, size_t cut)
{
    conn_send(conn, data, cut);
    if (!conn_is_open(conn) || cut == size)
        return;
    keep_copy(&conn->out, (const uint8_t *)data + cut, size - cut);
    conn_update(conn);
}

/* Sends bytes that stay as they are for the whole run; what the socket does not take is not copied. */
void conn_send_fixed(struct conn *conn, const void *data, size_t size)
{
    if (!conn_is_open(conn))
        return;
    if (conn_is_blocked(conn)) {
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
