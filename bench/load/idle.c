/* idle: small updates on a schedule, one-way latency. fair: the same beside sessions that stream.
   An update carries the moment of its own write, so latency is the relay's; how late that write was against the
   schedule, which is the generator's own lag, is told apart. */
#include "clock.h"
#include "load.h"
#include "report.h"
#include "sessions.h"

#include <string.h>

#define STAMP_AT RFB_TEXT_HEAD
#define HEAD_SIZE (RFB_TEXT_HEAD + 8)
#define FAIR_UPDATE 100
#define STREAM_MARK UINT64_MAX /* in the stamp's place: this session streams from here on */
#define SENDS_A_TURN 64

static struct blob update, chunk;
static struct histogram late;
static uint64_t schedule_began, schedule_count, schedule_interval;
static uint64_t stream_bytes, sent_updates;

/* Builds the update; its stamp is written anew each time. */
static void prepare_idle(void)
{
    update = rfb_server_text(options.size);
    schedule_interval = (uint64_t)(options.interval * (double)SECOND);
}

/* Builds the small update and the streams' chunk; the streams are sessions on top of the quiet ones. */
static void prepare_fair(void)
{
    update = rfb_server_text(FAIR_UPDATE);
    chunk = rfb_server_text(options.size);
    schedule_interval = (uint64_t)(options.interval * (double)SECOND);
    run.wanted_sessions += options.streams;
    run.chunks_a_turn = 1;
}

/* Tells how many servers stream: the first ones of the table. */
static size_t stream_count(void)
{
    return run.scenario == &fair ? options.streams : 0;
}

/* Writes the stamp into the update and sends it. */
static void send_update(struct server *s, uint64_t stamp)
{
    memcpy(update.data + STAMP_AT, &stamp, sizeof stamp);
    conn_send(&s->conn, update.data, update.size);
}

/* Begins the schedule and the streams. */
static void begin(void)
{
    schedule_began = now_ns();
    for (size_t i = 0; i < sessions.server_count; i++) {
        struct server *s = sessions.servers[i];
        s->conn.urgent = i >= stream_count();
        if (s->conn.urgent)
            continue;
        send_update(s, STREAM_MARK);
        s->conn.streaming = true;
        conn_update(&s->conn);
    }
    for (size_t i = 0; i < sessions.browser_count; i++)
        sessions.browsers[i]->conn.urgent = true;
}

/* Forgets the warm-up. */
static void measure(void)
{
    histogram_clear(&late);
    stream_bytes = sent_updates = 0;
}

/* Sends the updates that are due, spread evenly over all quiet sessions; returns when the next one is. */
static uint64_t on_time(uint64_t now)
{
    if (run.phase > MEASURING || sessions.server_count <= stream_count())
        return NEVER;
    size_t quiet = sessions.server_count - stream_count();
    for (int i = 0; i < SENDS_A_TURN; i++) {
        uint64_t due = schedule_began + schedule_count * schedule_interval / (run.wanted_sessions - stream_count());
        if (due > now)
            return due;
        now = now_ns();
        send_update(sessions.servers[stream_count() + schedule_count++ % quiet], now);
        sent_updates++;
        histogram_add(&late, now - due);
    }
    return now;
}

/* Takes the head of an update: is it one, and does it turn the session into a stream? */
static bool take_stamp(struct browser *b)
{
    if (memcmp(b->step, update.data, RFB_TEXT_HEAD) != 0) {
        browser_lose(b, "what came is no update");
        return false;
    }
    memcpy(&b->sent_at, b->step + STAMP_AT, sizeof b->sent_at);
    if (b->sent_at == STREAM_MARK && stream_count()) {
        b->drops = true;
        b->conn.urgent = false;
    }
    return true;
}

/* Takes bytes of updates, split anywhere; an update counts when its last byte has come. */
static bool take_update(struct browser *b, const uint8_t *data, size_t size)
{
    while (size && !b->drops) {
        size_t limit = b->at < HEAD_SIZE ? HEAD_SIZE : update.size, part = limit - b->at < size ? limit - b->at : size;
        if (b->at < HEAD_SIZE)
            memcpy(b->step + b->at, data, part);
        b->at += part;
        data += part;
        size -= part;
        if (b->at == HEAD_SIZE && limit == HEAD_SIZE && !take_stamp(b))
            return false;
        if (b->at < update.size)
            continue;
        b->at = 0;
        if (run.phase != MEASURING)
            continue;
        histogram_add(&run.latency, now_ns() - b->sent_at);
        run.units++;
    }
    stream_bytes += size;
    return true;
}

/* Streams from a server. */
static void write_stream(struct server *s)
{
    server_play(s, &chunk);
}

/* Stops the streams; the schedule stops by itself. */
static void stop(void)
{
    for (size_t i = 0; i < stream_count() && i < sessions.server_count; i++) {
        sessions.servers[i]->conn.streaming = false;
        conn_update(&sessions.servers[i]->conn);
    }
}

/* Tells how late the generator itself was, and what the streams carried. */
static void report(FILE *to)
{
    fprintf(to, ", \"size\": %zu, \"interval\": %.4f, \"sent_updates\": %llu", update.size, options.interval,
            (unsigned long long)sent_updates);
    histogram_print(to, "late_", &late);
    if (run.scenario == &fair)
        fprintf(to, ", \"streams\": %zu, \"chunk\": %zu, \"stream_bytes\": %llu", stream_count(), options.size,
                (unsigned long long)stream_bytes);
}

const struct scenario idle = {
    .name = "idle", .unit = "update", .prepare = prepare_idle, .begin = begin, .measure = measure, .stop = stop,
    .on_time = on_time, .report = report, .browser_payload = take_update,
};

const struct scenario fair = {
    .name = "fair", .unit = "update", .prepare = prepare_fair, .begin = begin, .measure = measure, .stop = stop,
    .on_time = on_time, .report = report, .browser_payload = take_update, .server_writable = write_stream,
};
