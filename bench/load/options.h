/* The command line: one row for each option, which --help prints too. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct options {
    const char *scenario;
    const char *relay, *paths, *direction, *ping, *tls_version;
    bool raw, tls, picture;
    unsigned vnc_port, sessions, connecting, streams;
    size_t size;
    double seconds, warmup, interval, deadline, rate, rest;
    uint64_t amount, total, warmup_total, seed;
};

extern struct options options;

void options_read(int count, char **words);

#endif
