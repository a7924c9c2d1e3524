/* slow: one end pushes as fast as it may, the other reads `rate` bytes a second. What was accepted and not received
   lies in between: the kernel's buffers at both ends are small and fixed, the rest is the relay's. */
#include "clock.h"
#include "load.h"
#include "report.h"
#include "sessions.h"
#include "sockets.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define SLOW_BUFFER (64 * 1024)
#define READ_EVERY (10 * MILLISECOND)

static struct blob chunk;
static bool down;
static uint64_t read_began, allowed; /* bytes that every slow end may have read since it began */
static uint64_t accepted_at_go, accepted_before, received;

/* Builds the chunk and makes the slow ends' receive buffers small. */
static void prepare(void)
{
    struct blob bare = rfb_client_text(options.size);
    down = strcmp(options.direction, "down") == 0;
    chunk = down ? rfb_server_text(options.size) : browser_message(bare.data, bare.size);
    free(bare.data);
    *(down ? &run.browser_buffer : &run.server_buffer) = SLOW_BUFFER;
}

/* Adds up what the pushing ends' sockets took, handshakes included. */
static uint64_t accepted_in_all(void)
{
    uint64_t sum = 0;
    for (size_t i = 0; down && i < sessions.server_count; i++)
        sum += sessions.servers[i]->conn.sent;
    for (size_t i = 0; !down && i < sessions.browser_count; i++)
        sum += sessions.browsers[i]->conn.sent;
    return sum;
}

/* Begins to push at one end of a session. */
static void push(struct conn *conn)
{
    sockets_set_buffers(conn->fd, 0, SLOW_BUFFER);
    conn->streaming = true;
    conn_update(conn);
}

/* Takes a slow end out of the hands of the event loop. */
static void hold(struct conn *conn)
{
    conn->paused = true;
    conn_update(conn);
}

/* Starts the pushing and slows down the reading. */
static void begin(void)
{
    for (size_t i = 0; i < sessions.server_count; i++)
        (down ? push : hold)(&sessions.servers[i]->conn);
    for (size_t i = 0; i < sessions.browser_count; i++)
        (down ? hold : push)(&sessions.browsers[i]->conn);
    read_began = now_ns();
    accepted_at_go = accepted_in_all();
}

/* Remembers what went through in the warm-up. */
static void measure(void)
{
    accepted_before = accepted_in_all();
}

/* Reads at one slow end what its rate allows; a broken connection is found by the loop. */
static void read_some(struct conn *conn, uint64_t *already)
{
    size_t size = allowed - *already < DROPPED_AT_ONCE ? allowed - *already : DROPPED_AT_ONCE;
    ssize_t n = *already < allowed ? recv(conn->fd, scratch, size, MSG_TRUNC) : 0;
    if (n <= 0)
        return;
    *already += (uint64_t)n;
    received += (uint64_t)n;
    run.units += (uint64_t)n;
}

/* Lets all slow ends read, a hundred times a second. */
static uint64_t on_time(uint64_t now)
{
    static uint64_t next;
    if (run.phase > MEASURING)
        return NEVER;
    if (now < next)
        return next;
    next = now + READ_EVERY;
    allowed = (uint64_t)(options.rate * (double)(now - read_began) / (double)SECOND);
    for (size_t i = 0; down && i < sessions.browser_count; i++) {
        struct browser *b = sessions.browsers[i];
        if (!b->conn.tls)
            read_some(&b->conn, &b->at);
        else if (b->at < allowed)
            browser_read_at_most(b, allowed - b->at);
    }
    for (size_t i = 0; !down && i < sessions.server_count; i++)
        read_some(&sessions.servers[i]->conn, &sessions.servers[i]->at);
    return next;
}

/* Stops the pushing; what is on its way stays there, unread. */
static void stop(void)
{
    for (size_t i = 0; down && i < sessions.server_count; i++)
        sessions.servers[i]->conn.streaming = false;
    for (size_t i = 0; !down && i < sessions.browser_count; i++)
        sessions.browsers[i]->conn.streaming = false;
}

/* Lets bytes be counted only, should the loop read at this browser. */
static void take_browser(struct browser *b)
{
    b->drops = true;
}

/* Lets bytes be counted only, should the loop read at this server. */
static void take_server(struct server *s)
{
    s->drops = true;
}

/* Counts bytes that were read at a browser by TLS, or by the loop because the connection broke. */
static bool count_at_browser(struct browser *b, const uint8_t *data, size_t size)
{
    (void)data;
    b->at += size;
    run.units += size;
    received += size;
    return true;
}

/* Counts bytes that the loop read at a server whose connection broke. */
static void count_at_server(struct server *s, size_t size)
{
    (void)s;
    received += size;
}

/* Writes more chunks from a server. */
static void write_from_server(struct server *s)
{
    server_play(s, &chunk);
}

/* Writes more chunks from a browser. */
static void write_from_browser(struct browser *b)
{
    browser_play(b, &chunk);
}

/* Tells what was accepted and received in the interval, and what lies in between since the beginning. */
static void report(FILE *to)
{
    uint64_t accepted = accepted_in_all();
    fprintf(to, ", \"direction\": \"%s\", \"rate\": %.0f, \"accepted_bytes\": %llu, \"received_bytes\": %llu",
            options.direction, options.rate, (unsigned long long)(accepted - accepted_before),
            (unsigned long long)run.units);
    fprintf(to, ", \"between_bytes\": %lld", (long long)(accepted - accepted_at_go) - (long long)received);
}

const struct scenario slow = {
    .name = "slow", .unit = "byte", .prepare = prepare, .begin = begin, .measure = measure, .on_time = on_time,
    .stop = stop, .report = report, .server_up = take_server, .server_dropped = count_at_server,
    .server_writable = write_from_server, .browser_up = take_browser, .browser_payload = count_at_browser,
    .browser_writable = write_from_browser,
};
