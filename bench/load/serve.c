/* serve: VNC servers alone, for clients of others; every request is answered with the whole picture. */
#include "load.h"
#include "report.h"
#include "sessions.h"

static uint64_t connections;

/* There are no browsers and there is no interval: it runs until close. */
static void prepare(void)
{
    run.wanted_sessions = 0;
    run.until_close = true;
    options.warmup = 0;
    rfb_picture();
}

/* Counts a client that is up. */
static void count(struct server *s)
{
    (void)s;
    connections++;
}

/* Answers a request with the picture; requests that come while a second picture waits are answered by that one. */
static void answer(struct server *s, enum client_message type, uint64_t size)
{
    (void)size;
    if (type != UPDATE_REQUEST || s->conn.out.copied_at < s->conn.out.copied_end)
        return;
    run.units++;
    conn_send_fixed(&s->conn, rfb_picture()->data, rfb_picture()->size);
}

/* Clients come and go as they like. */
static void ignore(struct server *s, const char *why)
{
    (void)s;
    (void)why;
}

/* Tells how many clients there were. */
static void report(FILE *to)
{
    fprintf(to, ", \"connections\": %llu, \"open\": %zu", (unsigned long long)connections, sessions.server_count);
}

const struct scenario serve = {
    .name = "serve", .unit = "picture", .prepare = prepare, .report = report, .server_up = count,
    .server_message = answer, .server_gone = ignore,
};
