/* A log-linear histogram of durations: 128 steps in every doubling, so a quantile is off by less than 0.4 %. */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>

#define HISTOGRAM_STEPS 128
#define HISTOGRAM_SIZE (HISTOGRAM_STEPS * 58)

struct histogram {
    uint64_t count;
    uint64_t max;
    uint64_t bucket[HISTOGRAM_SIZE];
};

void histogram_clear(struct histogram *h);
void histogram_add(struct histogram *h, uint64_t ns);
uint64_t histogram_quantile(const struct histogram *h, double quantile);
void histogram_print(FILE *to, const char *prefix, const struct histogram *h);

#endif
