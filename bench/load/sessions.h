/* The table of ends that are up, and the opening of sessions: so many, so many at once, each within the deadline. */
#ifndef SESSIONS_H
#define SESSIONS_H

#include "browser.h"
#include "server.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sessions {
    struct server **servers;
    struct browser **browsers;
    size_t server_count, browser_count; /* up now */
    size_t under_way;                   /* browsers that are not up yet */
    uint64_t started, failed;           /* browsers in all, and those that never came up */
};

extern struct sessions sessions;

void sessions_add_server(struct server *s);
void sessions_drop_server(struct server *s);
void sessions_add_browser(struct browser *b);
void sessions_drop_browser(struct browser *b);
void sessions_watch_opening(struct browser *b);
void sessions_end_opening(struct browser *b);
bool sessions_open(uint64_t wanted);
uint64_t sessions_check_deadlines(uint64_t now);
void sessions_lost(const char *what, const char *why);
void sessions_close_browsers(void);
void sessions_close_servers(void);

#endif
