/* Which browser is joined to which server is not known here: only the bytes could tell. */
#include "sessions.h"

#include "clock.h"
#include "load.h"
#include "paths.h"
#include "report.h"

#include <stdlib.h>

struct sessions sessions;

static struct browser *oldest, *newest; /* browsers on their way up, in the order of their start */

/* Makes room for one more in a table. */
static void *grow(void *table, size_t count)
{
    if (count & (count - 1) || count == 1)
        return table;
    table = realloc(table, (count ? 2 * count : 2) * sizeof(void *));
    if (!table)
        fail("out of memory");
    return table;
}

/* Puts a server that is up into the table. */
void sessions_add_server(struct server *s)
{
    sessions.servers = grow(sessions.servers, sessions.server_count);
    s->place = sessions.server_count++;
    sessions.servers[s->place] = s;
}

/* Takes a server out of the table, where it is in it; the last one gets its place. */
void sessions_drop_server(struct server *s)
{
    if (s->place >= sessions.server_count || sessions.servers[s->place] != s)
        return;
    struct server *last = sessions.servers[--sessions.server_count];
    last->place = s->place;
    sessions.servers[s->place] = last;
}

/* Puts a browser that is up into the table. */
void sessions_add_browser(struct browser *b)
{
    sessions.browsers = grow(sessions.browsers, sessions.browser_count);
    b->place = sessions.browser_count++;
    sessions.browsers[b->place] = b;
}

/* Takes a browser out of the table, where it is in it; the last one gets its place. */
void sessions_drop_browser(struct browser *b)
{
    if (b->place >= sessions.browser_count || sessions.browsers[b->place] != b)
        return;
    struct browser *last = sessions.browsers[--sessions.browser_count];
    last->place = b->place;
    sessions.browsers[b->place] = last;
}

/* Begins to watch a browser's way up. */
void sessions_watch_opening(struct browser *b)
{
    b->older = newest;
    b->newer = NULL;
    *(newest ? &newest->newer : &oldest) = b;
    newest = b;
    sessions.under_way++;
}

/* Ends the watch over a browser that is up or lost. */
void sessions_end_opening(struct browser *b)
{
    *(b->older ? &b->older->newer : &oldest) = b->newer;
    *(b->newer ? &b->newer->older : &newest) = b->older;
    sessions.under_way--;
}

/* Starts browsers until so many in all are up or under way; false when the paths are used up before. */
bool sessions_open(uint64_t wanted)
{
    while (sessions.under_way < options.connecting && sessions.started - sessions.failed < wanted) {
        const char *path = paths_next();
        if (!path)
            return false;
        sessions.started++;
        browser_start(path);
    }
    return true;
}

/* Gives up browsers whose way up lasts too long; returns when to look again. */
uint64_t sessions_check_deadlines(uint64_t now)
{
    uint64_t limit = (uint64_t)(options.deadline * (double)SECOND);
    while (oldest && now >= oldest->started + limit)
        browser_lose(oldest, browser_missing(oldest));
    return oldest ? oldest->started + limit : NEVER;
}

/* Takes the loss of an end that was not to go: fatal before the measurement, an error within it. */
void sessions_lost(const char *what, const char *why)
{
    if (run.phase == OPENING || run.phase == READY)
        fail("%s was lost: %s", what, why);
    if (run.phase == WARMING || run.phase == MEASURING)
        run_error("%s was lost: %s", what, why);
    if (run.phase <= MEASURING && run.wanted_sessions && sessions.browser_count == 0)
        fail("all sessions are lost: %s", run.first_error);
}

/* Closes every browser, also those on their way up. */
void sessions_close_browsers(void)
{
    while (oldest) {
        struct browser *b = oldest;
        browser_close(b);
    }
    while (sessions.browser_count)
        browser_close(sessions.browsers[sessions.browser_count - 1]);
}

/* Closes every server that is up. */
void sessions_close_servers(void)
{
    while (sessions.server_count)
        server_close(sessions.servers[sessions.server_count - 1]);
}
