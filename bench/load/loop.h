/* The event loop: one epoll, connections with an outbox each, nothing freed while a batch of events is handled. */
#ifndef LOOP_H
#define LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SCRATCH_SIZE (256 * 1024)          /* read at once where bytes are looked at */
#define DROPPED_AT_ONCE (4 * 1024 * 1024) /* where they are not: TCP drops them by MSG_TRUNC without a copy */

struct tls;

/* What is still to be written: first the rest of a fixed text that outlives the connection, then copied bytes. */
struct outbox {
    const uint8_t *fixed;
    size_t fixed_left;
    uint8_t *copied;
    size_t copied_at, copied_end, copied_room;
};

/* One descriptor in the loop; the first member of whatever it belongs to. */
struct conn {
    int fd;
    uint32_t watched;
    bool urgent;    /* handled before the others of its batch */
    bool streaming; /* `writable` is called whenever there is room */
    bool paused;    /* not to be read */
    uint64_t sent;  /* bytes that the socket took, TLS's records where there are any */
    struct tls *tls; /* what encrypts, or NULL; freed with the connection */
    struct outbox out;
    void (*readable)(struct conn *conn);
    void (*writable)(struct conn *conn);
    void (*released)(struct conn *conn); /* frees it, after the batch */
    struct conn *next_closed;
};

extern uint8_t scratch[DROPPED_AT_ONCE];

void loop_start(void);
void loop_wait(uint64_t until);
bool conn_add(struct conn *conn);
void conn_update(struct conn *conn);
void conn_close(struct conn *conn);
void conn_remove(struct conn *conn);
void conn_reset(struct conn *conn);
void conn_send(struct conn *conn, const void *data, size_t size);
void conn_send_in_two(struct conn *conn, const void *data, size_t size, size_t cut);
void conn_send_fixed(struct conn *conn, const void *data, size_t size);
void conn_send_records(struct conn *conn);
void conn_end_sending(struct conn *conn);

/* Says whether the connection is in the loop. */
static inline bool conn_is_open(const struct conn *conn)
{
    return conn->fd >= 0;
}

/* Says whether bytes wait for the socket. */
static inline bool conn_is_blocked(const struct conn *conn)
{
    return conn->out.fixed_left || conn->out.copied_at < conn->out.copied_end;
}

#endif
