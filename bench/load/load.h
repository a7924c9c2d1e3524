/* What all parts share: the scenario's hooks and the state of the run. */
#ifndef LOAD_H
#define LOAD_H

#include "histogram.h"
#include "options.h"
#include "rfb.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct server;
struct browser;

enum phase { OPENING, READY, WARMING, MEASURING, FINISHING, DONE, CLOSING };

/* One kind of load. A hook that is NULL does nothing. */
struct scenario {
    const char *name;
    const char *unit;
    void (*prepare)(void);              /* builds what is sent; sets run.wanted_sessions */
    void (*begin)(void);                /* the driver said go */
    void (*measure)(void);              /* the warm-up is over: forget what was counted */
    uint64_t (*on_time)(uint64_t now);  /* does what is due, returns when it wants to be called again */
    void (*stop)(void);                 /* the interval is over: send nothing more */
    bool (*finished)(void);             /* after stop: is everything brought to its end? */
    void (*report)(FILE *to);           /* further JSON members, each with a leading comma */
    void (*server_up)(struct server *s);
    bool (*server_text)(struct server *s, const uint8_t *data, size_t size);
    void (*server_message)(struct server *s, enum client_message type, uint64_t size);
    void (*server_dropped)(struct server *s, size_t size); /* bytes that were not looked at */
    void (*server_writable)(struct server *s);
    void (*server_gone)(struct server *s, const char *why);
    void (*browser_up)(struct browser *b);
    bool (*browser_payload)(struct browser *b, const uint8_t *data, size_t size); /* data NULL: not looked at */
    void (*browser_writable)(struct browser *b);
    void (*browser_gone)(struct browser *b, const char *why);
};

/* What happened so far. */
struct run {
    const struct scenario *scenario;
    enum phase phase;
    size_t wanted_sessions; /* to be up before `ready` */
    int server_buffer, browser_buffer; /* SO_RCVBUF, 0 for the kernel's choice */
    int chunks_a_turn; /* how often a streaming end writes before others have their turn */
    bool by_count;          /* the phases end after so many units and not by time */
    uint64_t warmup_units, measured_units;
    uint64_t later_sessions; /* that many are opened after `ready`, and need a path each */
    bool until_close;       /* no go, no warm-up: it runs until the driver says close */
    uint64_t units, errors, pongs;
    char first_error[256];
    struct histogram latency;
};

extern struct run run;

void run_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

extern const struct scenario bulk, upload, pingpong, idle, fair, carry, storm, slow, serve, verify, churn;

#endif
