/* churn: sessions that come and go as a day's do, for a soak. Each gets a small update every second; some get bursts
   of 1 MiB, some type keys. Bytes are compared as in verify. */
#include "pair.h"
#include "report.h"

#include <string.h>

#define TELL_EVERY (5 * SECOND)
#define UPDATE_SIZE 100
#define BURST_SIZE (1024 * 1024)
#define FIRST_TEXT (RFB_TEXT_HEAD + FLOW_SEED_SIZE)

static uint8_t burst[BURST_SIZE];
static uint64_t began, next_line, bursts, keys;

/* Sends an update from a VM; one session in twenty gets a burst instead, every third time. */
static void push_down(struct server *s)
{
    struct end *e = s->own;
    bool bursts_now = e->out.seed % 20 == 0 && random_below(3) == 0;
    size_t size = bursts_now ? BURST_SIZE : UPDATE_SIZE;
    flow_write(&e->out, burst, size);
    conn_send(&s->conn, burst, size);
    bursts += bursts_now;
    e->resume = now_ns() + (e->out.count <= UPDATE_SIZE ? random_below(SECOND) : SECOND);
}

/* Sends the seed from a browser, and later keys, down and up, where somebody types: one session in five. */
static void push_up(struct browser *b)
{
    struct end *e = b->own;
    uint8_t text[FIRST_TEXT], key[2 * RFB_KEY_SIZE];
    if (e->out.seed_have == 0) {
        rfb_text_head(text, CLIENT_CUT_TEXT, FLOW_SEED_SIZE);
        flow_write(&e->out, text + RFB_TEXT_HEAD, FLOW_SEED_SIZE);
        browser_send(b, text, sizeof text);
    } else {
        rfb_key_event(key, true);
        rfb_key_event(key + RFB_KEY_SIZE, false);
        browser_send(b, key, sizeof key);
        keys++;
    }
    e->resume = e->out.seed % 5 ? NEVER : now_ns() + random_below(2 * SECOND);
}

static const struct habits churn_habits = {
    .shortest_life = 0.5, .longest_life = 20, .slow_readers = false, .tick = 25 * MILLISECOND,
    .push_down = push_down, .push_up = push_up,
};

/* Begins the random choices. */
static void prepare(void)
{
    habits = &churn_habits;
    random_start(options.seed);
}

/* Begins to send, and the time of the lines. */
static void begin(void)
{
    began = now_ns();
    next_line = began + TELL_EVERY;
    pair_begin();
}

/* Prints a line about the sessions. */
static void tell(uint64_t now)
{
    say("tick {\"seconds\": %.1f, \"opened\": %llu, \"ended\": %llu, \"live\": %zu, \"servers\": %zu, "
        "\"errors\": %llu}",
        (double)(now - began) / (double)SECOND, (unsigned long long)(sessions.started - sessions.failed),
        (unsigned long long)pair_counts.ended, sessions.browser_count, sessions.server_count,
        (unsigned long long)run.errors);
    next_line = now + TELL_EVERY;
}

/* Does what is due for the sessions, and tells about them every five seconds. */
static uint64_t on_time(uint64_t now)
{
    if (run.phase > MEASURING)
        return NEVER;
    if (now >= next_line)
        tell(now);
    return earlier(next_line, pair_on_time(now));
}

/* Stops the sending; the sessions stay. */
static void stop(void)
{
    for (size_t i = 0; i < sessions.server_count; i++) {
        ((struct end *)sessions.servers[i]->own)->resume = NEVER;
        sessions.servers[i]->conn.streaming = false;
    }
    for (size_t i = 0; i < sessions.browser_count; i++) {
        ((struct end *)sessions.browsers[i]->own)->resume = NEVER;
        sessions.browsers[i]->conn.streaming = false;
    }
}

/* Tells the counts. */
static void report(FILE *to)
{
    pair_report(to);
    fprintf(to, ", \"seed\": %llu, \"bursts\": %llu, \"keys\": %llu", (unsigned long long)options.seed,
            (unsigned long long)bursts, (unsigned long long)keys);
}

const struct scenario churn = {
    .name = "churn", .unit = "byte", .prepare = prepare, .begin = begin, .on_time = on_time, .stop = stop,
    .report = report, .server_up = pair_server_up, .server_text = pair_server_text,
    .server_writable = pair_server_writable, .server_gone = pair_server_gone, .browser_up = pair_browser_up,
    .browser_payload = pair_browser_payload, .browser_writable = pair_browser_writable,
    .browser_gone = pair_browser_gone,
};
