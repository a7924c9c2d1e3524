/* Up, joined, sending and receiving, gone. How sessions are brought to their ends is in ending.c. */
#include "pair.h"

#include "clock.h"
#include "report.h"

#include <stdlib.h>

#define MOST_ERRORS 100

const struct habits *habits;
struct pair_counts pair_counts;

/* Tells until when the relay must have done what is expected now. */
uint64_t pair_deadline(void)
{
    return now_ns() + (uint64_t)(options.deadline * (double)SECOND);
}

/* Makes one end of a session; it sends from the word go on. */
static struct end *make_end(struct conn *conn)
{
    struct end *e = calloc(1, sizeof *e);
    if (!e)
        fail("out of memory");
    e->conn = conn;
    e->born = now_ns();
    flow_start(&e->out);
    conn->streaming = run.phase >= WARMING;
    return e;
}

/* Lets the ends that are up already begin to send. */
void pair_begin(void)
{
    for (size_t i = 0; i < sessions.server_count; i++) {
        ((struct end *)sessions.servers[i]->own)->born = now_ns();
        sessions.servers[i]->conn.streaming = true;
        conn_update(&sessions.servers[i]->conn);
    }
    for (size_t i = 0; i < sessions.browser_count; i++) {
        ((struct end *)sessions.browsers[i]->own)->born = now_ns();
        sessions.browsers[i]->conn.streaming = true;
        conn_update(&sessions.browsers[i]->conn);
    }
}

/* Makes the VM's end. */
void pair_server_up(struct server *s)
{
    s->own = make_end(&s->conn);
    conn_update(&s->conn);
}

/* Makes the browser's end; one in three may be a slow reader. */
void pair_browser_up(struct browser *b)
{
    struct end *e = make_end(&b->conn);
    b->own = e;
    e->slow = habits->slow_readers && random_below(3) == 0;
    b->conn.paused = e->slow;
    conn_update(&b->conn);
}

/* Counts an error of a session, and ends the run when there are too many; once it is done nothing counts. */
void pair_fail(struct end *e, const char *what)
{
    if (run.phase >= DONE)
        return;
    run_error("%s (%llu bytes sent, %llu received)", what, (unsigned long long)e->out.count,
              (unsigned long long)e->in.count);
    if (run.errors >= MOST_ERRORS)
        fail("%d errors, the first one: %s", MOST_ERRORS, run.first_error);
}

/* Joins a server with the browser whose seed it has read. */
static void join(struct end *server)
{
    for (size_t i = 0; i < sessions.browser_count; i++) {
        struct end *e = sessions.browsers[i]->own;
        if (e->out.seed != server->in.seed || e->peer)
            continue;
        e->peer = server;
        server->peer = e;
        e->joined = server->joined = true;
        e->dies = now_ns() + (uint64_t)(random_between(habits->shortest_life, habits->longest_life) * (double)SECOND);
        return;
    }
    pair_fail(server, "a server got a seed that no browser has sent");
}

/* Takes received bytes; false when they are wrong. */
static bool receive(struct end *e, const uint8_t *data, size_t size, const char *problem)
{
    if (flow_check(&e->in, data, size))
        return true;
    pair_counts.mismatches++;
    pair_fail(e, problem);
    return false;
}

/* Compares cut text at the server; its seed tells the browser. */
bool pair_server_text(struct server *s, const uint8_t *data, size_t size)
{
    struct end *e = s->own;
    pair_counts.up_bytes += size;
    run.units += size;
    if (!receive(e, data, size, "wrong bytes came to a server")) {
        pair_reset_server(s);
        return false;
    }
    if (!e->joined && e->in.seed_have == FLOW_SEED_SIZE)
        join(e);
    return true;
}

/* Compares payload at the browser. */
bool pair_browser_payload(struct browser *b, const uint8_t *data, size_t size)
{
    struct end *e = b->own;
    pair_counts.down_bytes += size;
    run.units += size;
    if (receive(e, data, size, "wrong bytes came to a browser"))
        return true;
    pair_reset_browser(b);
    return false;
}

/* Says whether an end may send now; if not, it is woken by a later tick. */
static bool may_send(struct end *e)
{
    if (now_ns() >= e->resume)
        return true;
    e->conn->streaming = false;
    return false;
}

/* Sends a piece from a server. */
void pair_server_writable(struct server *s)
{
    if (may_send(s->own))
        habits->push_down(s);
}

/* Sends a piece from a browser. */
void pair_browser_writable(struct browser *b)
{
    if (may_send(b->own))
        habits->push_up(b);
}

/* Parts two ends: the other one is to be ended by the relay. While all is closed, the other may be freed already. */
void pair_part(struct end *e)
{
    if (!e->peer || run.phase == CLOSING)
        return;
    if (!e->peer->gone_by)
        e->peer->gone_by = pair_deadline();
    e->peer->peer = NULL;
    e->peer = NULL;
}

/* Ends a browser with a reset. */
void pair_reset_browser(struct browser *b)
{
    pair_part(b->own);
    pair_counts.ended++;
    browser_reset(b);
}

/* Ends a server with a reset. */
void pair_reset_server(struct server *s)
{
    pair_part(s->own);
    server_reset(s);
}

/* Takes the end of a server's connection: expected, or an error. */
void pair_server_gone(struct server *s, const char *why)
{
    struct end *e = s->own;
    char text[128];
    if (e->has_tail) {
        pair_counts.browser_tails++;
        pair_counts.browser_tails_lost += !flow_equal(&e->tail, &e->in);
    }
    snprintf(text, sizeof text, "a server's session was to go on: %s", why);
    if (!e->gone_by)
        pair_fail(e, text);
    pair_part(e);
}

/* Takes the end of a browser that never came up. */
static void take_failure(const char *why)
{
    run_error("a session did not come up: %s", why);
    if (run.phase == OPENING || run.errors >= MOST_ERRORS)
        fail("%llu errors, the first one: %s", (unsigned long long)run.errors, run.first_error);
}

/* Takes the end of a browser's connection: expected, or an error. */
void pair_browser_gone(struct browser *b, const char *why)
{
    struct end *e = b->own;
    char text[256];
    if (!e) {
        take_failure(why);
        return;
    }
    pair_counts.ended++;
    if (e->has_tail) {
        pair_counts.hashes++;
        if (!flow_equal(&e->tail, &e->in)) {
            pair_counts.mismatches++;
            pair_fail(e, "a server's last bytes did not come to the browser");
        }
    }
    snprintf(text, sizeof text, "a browser's session was to go on: %s", why);
    if (!e->gone_by)
        pair_fail(e, text);
    pair_part(e);
}
