/* The one clock of the generator: CLOCK_MONOTONIC in nanoseconds, the same for both ends of every session. */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>
#include <time.h>

#define SECOND 1000000000ULL
#define MILLISECOND 1000000ULL
#define NEVER UINT64_MAX

/* Tells the time in nanoseconds since some fixed moment. */
static inline uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

/* Returns the earlier of two moments. */
static inline uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

#endif
