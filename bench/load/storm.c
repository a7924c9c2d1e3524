/* storm: connects under way all the time; each session is closed by the browser as soon as it is up, or as soon
   as it has the whole picture. Latency begins at connect(). */
#include "clock.h"
#include "load.h"
#include "report.h"
#include "sessions.h"

#define MOST_ERRORS 100

/* Nothing is open before go; the phases end by count. */
static void prepare(void)
{
    run.wanted_sessions = 0;
    run.by_count = true;
    run.warmup_units = options.warmup_total;
    run.measured_units = options.total;
    run.later_sessions = options.warmup_total + options.total;
    if (options.picture)
        rfb_picture();
}

static uint64_t completed;

/* Keeps enough browsers under way for what is still wanted. */
static uint64_t on_time(uint64_t now)
{
    (void)now;
    uint64_t wanted = options.warmup_total + options.total;
    if (run.phase <= MEASURING && !sessions_open(wanted))
        fail("the paths are used up");
    return NEVER;
}

/* Counts a session that did what it came for, and closes it. */
static void complete(struct browser *b)
{
    if (run.phase == MEASURING)
        histogram_add(&run.latency, now_ns() - b->started);
    run.units++;
    completed++;
    browser_close(b);
}

/* Asks for the picture, or is done. */
static void take_up(struct browser *b)
{
    uint8_t request[32];
    if (!options.picture) {
        complete(b);
        return;
    }
    b->skips = true;
    browser_send(b, request, rfb_picture_request(request));
}

/* Takes bytes of the picture. */
static bool take_picture(struct browser *b, const uint8_t *data, size_t size)
{
    (void)data;
    b->at += size;
    if (b->at < rfb_picture()->size)
        return true;
    complete(b);
    return false;
}

/* Answers a request with the picture. */
static void answer(struct server *s, enum client_message type, uint64_t size)
{
    (void)size;
    if (type == UPDATE_REQUEST && options.picture)
        conn_send_fixed(&s->conn, rfb_picture()->data, rfb_picture()->size);
}

/* A handshake that failed is an error and is tried again; too many of them end the run. */
static void take_loss(struct browser *b, const char *why)
{
    (void)b;
    run_error("%s", why);
    if (run.errors >= MOST_ERRORS)
        fail("%d handshakes failed, the first one: %s", MOST_ERRORS, run.first_error);
}

/* A server is left when its browser closes. */
static void ignore(struct server *s, const char *why)
{
    (void)s;
    (void)why;
}

/* Tells how many were under way at once. */
static void report(FILE *to)
{
    fprintf(to, ", \"connecting\": %u, \"picture\": %s, \"completed\": %llu", options.connecting,
            options.picture ? "true" : "false", (unsigned long long)completed);
}

const struct scenario storm = {
    .name = "storm", .unit = "handshake", .prepare = prepare, .on_time = on_time, .report = report,
    .server_message = answer, .server_gone = ignore, .browser_up = take_up, .browser_payload = take_picture,
    .browser_gone = take_loss,
};
