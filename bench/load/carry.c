/* carry: every session gets so many bytes from its VNC server in bursts, then all are still. The next burst goes to
   all when the last one has come everywhere. What the relay still keeps for them is looked at by the driver. */
#include "clock.h"
#include "load.h"
#include "report.h"
#include "sessions.h"

static struct blob burst;
static uint64_t received, bursts_sent, wanted_bursts;
static uint64_t stuck_at, rest_until;

/* Builds the burst; the interval ends when all of them have come. */
static void prepare(void)
{
    burst = rfb_server_text(options.size);
    wanted_bursts = (options.amount + options.size - 1) / options.size;
    run.by_count = true;
    run.measured_units = wanted_bursts * burst.size * options.sessions;
}

/* Tells how many bytes a round of bursts has. */
static uint64_t round_size(void)
{
    return burst.size * sessions.server_count;
}

/* Tells until when something must have come. */
static uint64_t patience(void)
{
    return now_ns() + (uint64_t)(options.deadline * (double)SECOND);
}

/* Sends a burst to every session. */
static void send_round(void)
{
    for (size_t i = 0; i < sessions.server_count; i++)
        conn_send_fixed(&sessions.servers[i]->conn, burst.data, burst.size);
    bursts_sent++;
    stuck_at = patience();
}

/* Sends the next round when the last one has come everywhere. */
static uint64_t on_time(uint64_t now)
{
    if (run.phase > MEASURING)
        return rest_until;
    if (bursts_sent < wanted_bursts && received >= bursts_sent * round_size())
        send_round();
    else if (now >= stuck_at)
        fail("after %llu bytes no more have come within the deadline", (unsigned long long)received);
    return stuck_at;
}

/* Has payload counted and not looked at, without the heads of frames. */
static void take_browser(struct browser *b)
{
    b->skips = true;
}

/* Counts payload. */
static bool count(struct browser *b, const uint8_t *data, size_t size)
{
    (void)b;
    (void)data;
    received += size;
    run.units += size;
    stuck_at = patience();
    return true;
}

/* Begins the rest. */
static void stop(void)
{
    rest_until = now_ns() + (uint64_t)(options.rest * (double)SECOND);
}

/* Says whether the rest is over. */
static bool finished(void)
{
    return now_ns() >= rest_until;
}

/* Tells the sizes. */
static void report(FILE *to)
{
    fprintf(to, ", \"size\": %zu, \"bursts\": %llu, \"rest\": %.1f", options.size, (unsigned long long)wanted_bursts,
            options.rest);
}

const struct scenario carry = {
    .name = "carry", .unit = "byte", .prepare = prepare, .on_time = on_time, .stop = stop, .finished = finished,
    .report = report, .browser_up = take_browser, .browser_payload = count,
};
