/* pingpong: a client message of B bytes (or a key), B bytes back, and the next one when the whole pong has come. */
#include "clock.h"
#include "load.h"
#include "report.h"
#include "sessions.h"

#include <stdlib.h>
#include <string.h>

static struct blob pings[2], pong;

/* Builds pings and pong; keys go down and up in turn. */
static void prepare(void)
{
    bool keys = strcmp(options.ping, "key") == 0;
    struct blob text = rfb_client_text(options.size);
    for (int i = 0; i < 2; i++) {
        uint8_t key[RFB_KEY_SIZE];
        rfb_key_event(key, i == 0);
        pings[i] = keys ? browser_message(key, sizeof key) : browser_message(text.data, text.size);
    }
    free(text.data);
    pong = rfb_server_text(options.size);
}

/* Sends a browser's next ping. */
static void send_ping(struct browser *b)
{
    const struct blob *ping = &pings[b->at++ & 1];
    b->sent_at = now_ns();
    b->step_size = 0;
    conn_send_fixed(&b->conn, ping->data, ping->size);
}

/* Sends every browser's first ping. */
static void begin(void)
{
    for (size_t i = 0; i < sessions.browser_count; i++)
        send_ping(sessions.browsers[i]);
}

/* Answers a whole ping. */
static void answer(struct server *s, enum client_message type, uint64_t size)
{
    (void)size;
    if (type == CLIENT_CUT_TEXT || type == KEY_EVENT)
        conn_send_fixed(&s->conn, pong.data, pong.size);
}

/* Takes pong bytes; after the last one the round trip counts and the next ping goes. */
static bool take_pong(struct browser *b, const uint8_t *data, size_t size)
{
    (void)data;
    b->step_size += size;
    if (b->step_size < pong.size)
        return true;
    if (b->step_size > pong.size) {
        browser_lose(b, "more came than one pong");
        return false;
    }
    if (run.phase == MEASURING) {
        histogram_add(&run.latency, now_ns() - b->sent_at);
        run.units++;
    }
    if (run.phase <= MEASURING)
        send_ping(b);
    return true;
}

/* Tells the sizes. */
static void report(FILE *to)
{
    fprintf(to, ", \"size\": %zu, \"ping\": \"%s\"", options.size, options.ping);
}

const struct scenario pingpong = {
    .name = "pingpong", .unit = "round trip", .prepare = prepare, .begin = begin, .report = report,
    .server_message = answer, .browser_payload = take_pong,
};
