/* bulk: VNC servers write as fast as they may, browsers drop. upload: the same the other way round. */
#include "load.h"
#include "report.h"
#include "sessions.h"

#include <stdlib.h>

static struct blob chunk;
static uint64_t sent_before;

/* Adds up what the pushing ends' sockets took. */
static uint64_t sent_in_all(void)
{
    uint64_t sum = 0;
    for (size_t i = 0; run.scenario == &bulk && i < sessions.server_count; i++)
        sum += sessions.servers[i]->conn.sent;
    for (size_t i = 0; run.scenario == &upload && i < sessions.browser_count; i++)
        sum += sessions.browsers[i]->conn.sent;
    return sum;
}

/* Builds the message that the servers repeat. */
static void prepare_bulk(void)
{
    chunk = rfb_server_text(options.size);
}

/* Builds the message that the browsers repeat. */
static void prepare_upload(void)
{
    struct blob bare = rfb_client_text(options.size);
    chunk = browser_message(bare.data, bare.size);
    free(bare.data);
}

/* Lets a server's bytes be dropped unseen. */
static void receive_upload(struct server *s)
{
    s->drops = true;
}

/* Lets a browser's bytes be dropped unseen. */
static void receive_bulk(struct browser *b)
{
    b->drops = true;
}

/* Starts or stops all streams. */
static void stream_all(bool on)
{
    for (size_t i = 0; run.scenario == &bulk && i < sessions.server_count; i++) {
        sessions.servers[i]->conn.streaming = on;
        conn_update(&sessions.servers[i]->conn);
    }
    for (size_t i = 0; run.scenario == &upload && i < sessions.browser_count; i++) {
        sessions.browsers[i]->conn.streaming = on;
        conn_update(&sessions.browsers[i]->conn);
    }
}

/* Starts all streams. */
static void begin(void)
{
    stream_all(true);
}

/* Stops all streams. */
static void stop(void)
{
    stream_all(false);
}

/* Remembers what was sent in the warm-up. */
static void measure(void)
{
    sent_before = sent_in_all();
}

/* Counts bytes that came to a browser. */
static bool count_at_browser(struct browser *b, const uint8_t *data, size_t size)
{
    (void)b;
    (void)data;
    run.units += size;
    return true;
}

/* Counts bytes that came to a server. */
static void count_at_server(struct server *s, size_t size)
{
    (void)s;
    run.units += size;
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

/* Tells what the pushing ends' sockets took; there is no latency here. */
static void report(FILE *to)
{
    fprintf(to, ", \"size\": %zu, \"sent_bytes\": %llu, \"counted\": \"%s\", \"lag\": null", options.size,
            (unsigned long long)(sent_in_all() - sent_before),
            run.scenario == &bulk ? "all bytes at the browsers, frame heads too" : "all bytes at the servers");
}

const struct scenario bulk = {
    .name = "bulk", .unit = "byte", .prepare = prepare_bulk, .begin = begin, .measure = measure, .stop = stop,
    .report = report, .browser_up = receive_bulk, .browser_payload = count_at_browser,
    .server_writable = write_from_server,
};

const struct scenario upload = {
    .name = "upload", .unit = "byte", .prepare = prepare_upload, .begin = begin, .measure = measure, .stop = stop,
    .report = report, .server_up = receive_upload, .server_dropped = count_at_server,
    .browser_writable = write_from_browser,
};
