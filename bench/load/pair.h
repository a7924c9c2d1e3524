/* Sessions whose two ends know each other: what each sent is compared with what the other received. */
#ifndef PAIR_H
#define PAIR_H

#include "clock.h"
#include "flow.h"
#include "load.h"
#include "sessions.h"

/* How a session comes to its end. QUIET: both stop, all must arrive, then one closes. TAIL: one stops, the other
   sends a last piece and closes at once behind it. */
enum ending { NO_END, QUIET_BROWSER, QUIET_SERVER, TAIL_BROWSER, TAIL_SERVER, RESET_BROWSER, RESET_SERVER };

/* One end of a session, its browser's or its server's; each has `own` of that struct pointing here. */
struct end {
    struct conn *conn;
    struct end *peer;     /* known once the server has read the browser's seed */
    bool joined;          /* it had one */
    struct flow out, in;
    enum ending ending;   /* at the browser's end, for both */
    bool slow;            /* reads at a small rate */
    bool tail_sent;       /* the last piece of a TAIL ending is on its way */
    bool has_tail;        /* the other end closed behind its last byte: `tail` must have arrived whole */
    struct flow tail;
    uint64_t born, dies;  /* when it came up; when its ending begins (at the browser's end) */
    uint64_t resume;      /* sends nothing before; NEVER when it has stopped */
    uint64_t gone_by;     /* the relay must have ended this side by then; 0 where it is to live */
};

/* What a scenario does with its pairs. */
struct habits {
    double shortest_life, longest_life;
    bool slow_readers;
    uint64_t tick;
    void (*push_down)(struct server *s); /* sends one piece, sets `resume` */
    void (*push_up)(struct browser *b);
};

struct pair_counts {
    uint64_t ended, resets, server_closes, browser_closes, down_bytes, up_bytes;
    uint64_t hashes, mismatches, browser_tails, browser_tails_lost;
    bool paths_used_up;
};

extern const struct habits *habits;
extern struct pair_counts pair_counts;

void pair_begin(void);
void pair_server_up(struct server *s);
void pair_browser_up(struct browser *b);
bool pair_server_text(struct server *s, const uint8_t *data, size_t size);
bool pair_browser_payload(struct browser *b, const uint8_t *data, size_t size);
void pair_server_writable(struct server *s);
void pair_browser_writable(struct browser *b);
void pair_server_gone(struct server *s, const char *why);
void pair_browser_gone(struct browser *b, const char *why);

uint64_t pair_deadline(void);
void pair_fail(struct end *e, const char *what);
void pair_part(struct end *e);
void pair_reset_browser(struct browser *b);
void pair_reset_server(struct server *s);

uint64_t pair_on_time(uint64_t now);
bool pair_finished(void);
void pair_report(FILE *to);

#endif
