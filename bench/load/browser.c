/* A browser's life: connect, upgrade, frames in and out, the end. Its RFB handshake is in browser_steps.c. */
#include "browser.h"

#include "browser_steps.h"
#include "browser_tls.h"
#include "clock.h"
#include "load.h"
#include "report.h"
#include "sessions.h"
#include "sockets.h"
#include "upgrade.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define REPLY_ROOM 8192
#define REQUEST_ROOM 8192
#define SMALL_MESSAGE 1024
#define HEAD_READ 512
#define WORTH_SKIPPING 4096

static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
static const uint8_t normal[2] = {1000 >> 8, 1000 & 255}; /* the close code */

/* Frees a browser after its last batch of events. */
static void release(struct conn *conn)
{
    struct browser *b = (struct browser *)conn;
    free(b->reply);
    free(b->own);
    free(b);
}

/* Takes the browser out of all lists. */
static void forget(struct browser *b)
{
    if (!conn_is_open(&b->conn))
        return;
    if (b->state < BROWSER_UP)
        sessions_end_opening(b);
    else
        sessions_drop_browser(b);
}

/* Says goodbye with a close frame, where there are frames, and closes. */
void browser_close(struct browser *b)
{
    if (b->state == BROWSER_UP && !options.raw)
        browser_control(b, CLOSE, normal, sizeof normal);
    forget(b);
    conn_close(&b->conn);
}

/* Says goodbye, code 1000, and leaves it to the relay to end the connection. */
void browser_leave(struct browser *b)
{
    if (b->state < BROWSER_UP)
        return;
    b->state = BROWSER_LEAVING;
    if (!options.raw)
        browser_control(b, CLOSE, normal, sizeof normal);
    else
        conn_end_sending(&b->conn);
}

/* Resets the connection. */
void browser_reset(struct browser *b)
{
    forget(b);
    conn_reset(&b->conn);
}

/* Ends a browser whose connection broke; the scenario decides whether that is an error. */
void browser_lose(struct browser *b, const char *why)
{
    if (!conn_is_open(&b->conn))
        return;
    if (b->state < BROWSER_UP)
        sessions.failed++;
    forget(b);
    conn_close(&b->conn);
    if (run.scenario->browser_gone)
        run.scenario->browser_gone(b, why);
    else
        sessions_lost("a browser", why);
}

/* Builds a whole message as it goes over the wire: one masked frame, or the bare bytes with --raw. */
struct blob browser_message(const uint8_t *message, size_t size)
{
    struct blob blob = {.data = malloc(size + FRAME_HEAD_MAX)};
    if (!blob.data)
        fail("out of memory");
    size_t head = options.raw ? 0 : frame_head(blob.data, BINARY, true, size, mask);
    memcpy(blob.data + head, message, size);
    if (!options.raw)
        frame_mask(blob.data + head, size, mask);
    blob.size = head + size;
    return blob;
}

/* Sends one small message. */
void browser_send(struct browser *b, const uint8_t *message, size_t size)
{
    uint8_t frame[FRAME_HEAD_MAX + SMALL_MESSAGE];
    size_t head = options.raw ? 0 : frame_head(frame, BINARY, true, size, mask);
    memcpy(frame + head, message, size);
    if (!options.raw)
        frame_mask(frame + head, size, mask);
    conn_send(&b->conn, frame, head + size);
}

/* Sends a control frame. */
void browser_control(struct browser *b, enum opcode opcode, const uint8_t *data, size_t size)
{
    uint8_t frame[FRAME_HEAD_MAX + 125];
    size_t head = frame_head(frame, opcode, true, size, mask);
    memcpy(frame + head, data, size);
    frame_mask(frame + head, size, mask);
    conn_send(&b->conn, frame, head + size);
}

/* Writes a fixed text again and again, as far as the socket takes it in one turn. */
void browser_play(struct browser *b, const struct blob *stream)
{
    for (int i = 0; i < run.chunks_a_turn && !conn_is_blocked(&b->conn); i++)
        conn_send_fixed(&b->conn, stream->data, stream->size);
}

/* Gives payload to the handshake or to the scenario. */
static bool take_payload(void *owner, const uint8_t *data, size_t size)
{
    struct browser *b = owner;
    if (b->state < BROWSER_UP) {
        size_t used = browser_take_steps(b, data, size);
        data += used;
        size -= used;
    }
    if (size && conn_is_open(&b->conn) && run.scenario->browser_payload)
        return run.scenario->browser_payload(b, data, size) && conn_is_open(&b->conn);
    return conn_is_open(&b->conn);
}

/* Answers pings and takes a close frame, which is a loss unless the browser is leaving anyway. */
static bool take_control(void *owner, enum opcode opcode, const uint8_t *data, size_t size)
{
    struct browser *b = owner;
    char why[192];
    if (opcode == PING && b->state != BROWSER_LEAVING)
        browser_control(b, PONG, data, size);
    run.pongs += opcode == PONG;
    if (opcode != CLOSE)
        return true;
    if (size < 2)
        snprintf(why, sizeof why, "close frame without a code");
    else
        snprintf(why, sizeof why, "close frame %d %.*s", data[0] << 8 | data[1], (int)size - 2, data + 2);
    browser_lose(b, why);
    return false;
}

/* Reads the reply to the upgrade; bytes behind it are the first frames. */
static void take_reply(struct browser *b, const uint8_t *data, size_t size)
{
    size_t part = REPLY_ROOM - b->reply_size < size ? REPLY_ROOM - b->reply_size : size;
    memcpy(b->reply + b->reply_size, data, part);
    b->reply_size += part;
    size_t head = upgrade_reply_size(b->reply, b->reply_size);
    if (!head) {
        if (b->reply_size == REPLY_ROOM)
            browser_lose(b, "the reply to the upgrade is too long");
        return;
    }
    const char *problem = upgrade_check_reply(b->reply, head);
    if (problem) {
        browser_lose(b, problem);
        return;
    }
    size_t used = part - (b->reply_size - head);
    b->state = BROWSER_VERSION;
    frames_start(&b->frames);
    free(b->reply);
    b->reply = NULL;
    browser_take_bytes(b, data + used, size - used);
}

/* Reads bytes from the socket in whatever state the browser is. */
void browser_take_bytes(struct browser *b, const uint8_t *data, size_t size)
{
    static const struct frames_listener listener = {take_payload, take_control};
    const char *problem = NULL;
    if (b->state == BROWSER_UPGRADING)
        take_reply(b, data, size);
    else if (options.raw)
        take_payload(b, data, size);
    else
        problem = frames_feed(&b->frames, data, size, &listener, b);
    if (problem)
        browser_lose(b, problem);
}

/* Receives once: whole bytes where they are looked at, else as many as may be dropped in the kernel. */
static ssize_t receive(struct browser *b, size_t size, bool *dropped)
{
    *dropped = b->state >= BROWSER_UP && (b->drops || (b->skips && options.raw));
    if (*dropped)
        size = DROPPED_AT_ONCE;
    else if (b->state >= BROWSER_UP && b->skips) {
        *dropped = frames_in_payload(&b->frames) && b->frames.left >= WORTH_SKIPPING;
        size = !*dropped ? HEAD_READ : b->frames.left > DROPPED_AT_ONCE ? DROPPED_AT_ONCE : b->frames.left - 1;
    }
    return recv(b->conn.fd, scratch, size, *dropped ? MSG_TRUNC : 0);
}

/* Reads what has come, so many bytes at most where they are looked at. */
void browser_read_at_most(struct browser *b, size_t most)
{
    bool dropped;
    if (b->conn.tls) {
        browser_tls_read(b, most);
        return;
    }
    ssize_t n = receive(b, most < SCRATCH_SIZE ? most : SCRATCH_SIZE, &dropped);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        browser_lose(b, n == 0 ? "the relay closed the connection" : strerror(errno));
        return;
    }
    if (!dropped) {
        browser_take_bytes(b, scratch, (size_t)n);
        return;
    }
    if (!b->drops && !options.raw)
        b->frames.left -= (uint64_t)n;
    run.scenario->browser_payload(b, NULL, (size_t)n);
}

/* Reads what has come. */
static void read_any(struct conn *conn)
{
    browser_read_at_most((struct browser *)conn, SCRATCH_SIZE);
}

/* Speaks the first words of what is spoken over the connection: the upgrade, or nothing where the server begins. */
void browser_begin(struct browser *b)
{
    b->state = options.raw ? BROWSER_VERSION : BROWSER_UPGRADING;
    if (b->reply)
        conn_send(&b->conn, b->reply, b->reply_size);
    b->reply_size = 0;
}

/* Begins once the connection stands, with TLS where that is wanted, then lets the scenario write. */
static void write_more(struct conn *conn)
{
    struct browser *b = (struct browser *)conn;
    if (b->state != BROWSER_CONNECTING) {
        run.scenario->browser_writable(b);
        return;
    }
    int problem = 0;
    socklen_t size = sizeof problem;
    getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &problem, &size);
    if (problem) {
        browser_lose(b, strerror(problem));
        return;
    }
    conn->streaming = false;
    if (options.tls)
        browser_tls_start(b);
    else
        browser_begin(b);
}

/* Starts a browser on its way to the relay. */
void browser_start(const char *path)
{
    struct browser *b = calloc(1, sizeof *b);
    if (!b)
        fail("out of memory");
    b->started = now_ns();
    b->conn = (struct conn){.fd = sockets_connect(run.browser_buffer), .streaming = true, .readable = read_any,
                            .writable = write_more, .released = release};
    if (!options.raw) {
        b->reply = malloc(REPLY_ROOM);
        if (!b->reply)
            fail("out of memory");
        b->reply_size = upgrade_request(b->reply, REQUEST_ROOM, options.relay, path);
    }
    sessions_watch_opening(b);
    if (!conn_add(&b->conn))
        fail("epoll_ctl: %s", strerror(errno));
}
