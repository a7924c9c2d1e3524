/* What happens to pairs as time goes on: slow reading, pauses, new sessions, and the ways in which they end. */
#include "pair.h"

#include "report.h"

static uint64_t last_tick, next_tick;

/* Says whether all that one end has sent is at the other. */
static bool has_arrived(const struct end *from, const struct end *to)
{
    return !conn_is_blocked(from->conn) && from->out.seed_have == FLOW_SEED_SIZE &&
           to->in.seed_have == FLOW_SEED_SIZE && to->in.count == from->out.count;
}

/* Compares what one end sent with what the other received. */
static void compare(struct end *from, const struct end *to)
{
    pair_counts.hashes++;
    if (flow_equal(&from->out, &to->in))
        return;
    pair_counts.mismatches++;
    pair_fail(from, "the hashes of an ended session differ");
}

/* Lets the browser close: a close frame, then the relay is to end both sides. */
static void close_browser(struct browser *b)
{
    struct end *e = b->own;
    pair_counts.browser_closes++;
    e->gone_by = pair_deadline();
    pair_part(e);
    browser_leave(b);
}

/* Lets the server close, then the relay is to end the browser. */
static void close_server(struct end *browser)
{
    struct server *s = (struct server *)browser->peer->conn;
    pair_counts.server_closes++;
    pair_part(s->own);
    server_close(s);
}

/* Chooses how a session ends and takes the first step. */
static void choose_ending(struct browser *b)
{
    static const struct {
        uint64_t below;
        enum ending ending;
    } chances[] = {{15, RESET_BROWSER}, {30, RESET_SERVER}, {50, QUIET_BROWSER},
                   {70, QUIET_SERVER},  {85, TAIL_SERVER},  {100, TAIL_BROWSER}};
    struct end *e = b->own;
    uint64_t chance = run.phase == FINISHING ? 30 + random_below(40) : random_below(100);
    for (int i = 5; i >= 0; i--)
        if (chance < chances[i].below)
            e->ending = chances[i].ending;
    e->slow = b->conn.paused = false;
    conn_update(&b->conn);
    if (e->ending == QUIET_BROWSER || e->ending == QUIET_SERVER || e->ending == TAIL_SERVER)
        e->resume = NEVER;
    if (e->ending == QUIET_BROWSER || e->ending == QUIET_SERVER || e->ending == TAIL_BROWSER)
        e->peer->resume = NEVER;
    pair_counts.resets += e->ending == RESET_BROWSER || e->ending == RESET_SERVER;
    if (e->ending == RESET_BROWSER)
        pair_reset_browser(b);
    else if (e->ending == RESET_SERVER)
        pair_reset_server((struct server *)e->peer->conn);
}

/* Ends a session in which all is still, once everything has arrived both ways. */
static void end_quietly(struct browser *b)
{
    struct end *e = b->own;
    if (!has_arrived(e, e->peer) || !has_arrived(e->peer, e))
        return;
    compare(e, e->peer);
    compare(e->peer, e);
    if (e->ending == QUIET_BROWSER)
        close_browser(b);
    else
        close_server(e);
}

/* Ends a session right behind the last byte of one side, whose other direction is already still. */
static void end_with_tail(struct browser *b)
{
    struct end *e = b->own, *last = e->ending == TAIL_BROWSER ? e : e->peer, *other = last->peer;
    if (!last->tail_sent) {
        if (!has_arrived(other, last))
            return;
        compare(other, last);
        if (last == e)
            habits->push_up(b);
        else
            habits->push_down((struct server *)last->conn);
        last->tail_sent = true;
        last->resume = NEVER;
    }
    if (conn_is_blocked(last->conn))
        return;
    other->tail = last->out;
    other->has_tail = true;
    if (last == e)
        close_browser(b);
    else
        close_server(e);
}

/* Takes the next step of a session's ending; bytes that do not arrive in time are lost. */
static void advance_ending(struct browser *b, uint64_t now)
{
    struct end *e = b->own;
    if (e->ending == NO_END) {
        e->dies = now;
        choose_ending(b);
    } else if (now > e->dies + (uint64_t)(options.deadline * (double)SECOND)) {
        pair_counts.mismatches++;
        pair_fail(e, "not all bytes of an ending session have arrived");
        pair_reset_browser(b);
    } else if (e->ending == QUIET_BROWSER || e->ending == QUIET_SERVER) {
        end_quietly(b);
    } else {
        end_with_tail(b);
    }
}

/* Says whether an end waited too long for its other end, or for the relay to end it, and counts the error. */
static bool is_overdue(struct end *e, uint64_t now, const char *whose)
{
    char text[96];
    bool alone = !e->joined && !e->gone_by && now > e->born + (uint64_t)(options.deadline * (double)SECOND);
    if (!alone && !(e->gone_by && now > e->gone_by))
        return false;
    snprintf(text, sizeof text, "%s was %s", whose, alone ? "never joined" : "left open by the relay");
    pair_fail(e, text);
    return true;
}

/* Wakes an end whose pause is over. */
static void wake(struct end *e, uint64_t now)
{
    if (e->conn->streaming || e->gone_by || now < e->resume)
        return;
    e->conn->streaming = true;
    conn_update(e->conn);
}

/* Does what is due for one browser. */
static void look_at_browser(struct browser *b, uint64_t now)
{
    struct end *e = b->own;
    if (is_overdue(e, now, "a browser")) {
        pair_reset_browser(b);
        return;
    }
    if (e->gone_by && b->conn.paused) {
        e->slow = b->conn.paused = false;
        conn_update(&b->conn);
    }
    wake(e, now);
    if (e->slow)
        browser_read_at_most(b, (size_t)(options.rate * (double)(now - last_tick) / (double)SECOND) + 1);
    if (conn_is_open(&b->conn) && e->peer && (now >= e->dies || run.phase == FINISHING))
        advance_ending(b, now);
}

/* Does what is due for one server. */
static void look_at_server(struct server *s, uint64_t now)
{
    if (is_overdue(s->own, now, "a server"))
        pair_reset_server(s);
    else
        wake(s->own, now);
}

/* Does what is due for all, and opens sessions for those that have ended. */
uint64_t pair_on_time(uint64_t now)
{
    if (now < next_tick)
        return next_tick;
    next_tick = now + habits->tick;
    for (size_t i = sessions.browser_count; i-- > 0;)
        if (i < sessions.browser_count)
            look_at_browser(sessions.browsers[i], now);
    for (size_t i = sessions.server_count; i-- > 0;)
        if (i < sessions.server_count)
            look_at_server(sessions.servers[i], now);
    last_tick = now;
    if (run.phase <= MEASURING && !sessions_open(pair_counts.ended + options.sessions))
        pair_counts.paths_used_up = true;
    return next_tick;
}

/* Says whether every session has ended at both ends. */
bool pair_finished(void)
{
    return !sessions.under_way && !sessions.browser_count && !sessions.server_count;
}

/* Tells what was carried and compared, since the word go. */
void pair_report(FILE *to)
{
    const struct pair_counts *c = &pair_counts;
    fprintf(to, ", \"opened\": %llu, \"ended\": %llu, \"live\": %zu, \"paths_used_up\": %s",
            (unsigned long long)(sessions.started - sessions.failed), (unsigned long long)c->ended,
            sessions.browser_count, c->paths_used_up ? "true" : "false");
    fprintf(to, ", \"down_bytes\": %llu, \"up_bytes\": %llu, \"hashes_compared\": %llu, \"mismatches\": %llu",
            (unsigned long long)c->down_bytes, (unsigned long long)c->up_bytes, (unsigned long long)c->hashes,
            (unsigned long long)c->mismatches);
    fprintf(to, ", \"resets\": %llu, \"closes\": %llu, \"server_closes\": %llu, \"browser_closes\": %llu",
            (unsigned long long)c->resets, (unsigned long long)(c->server_closes + c->browser_closes),
            (unsigned long long)c->server_closes, (unsigned long long)c->browser_closes);
    fprintf(to, ", \"browser_tails\": %llu, \"browser_tails_lost\": %llu", (unsigned long long)c->browser_tails,
            (unsigned long long)c->browser_tails_lost);
}
