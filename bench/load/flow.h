/* A stream of random bytes that a seed tells completely: the receiver makes the same stream and compares. */
#ifndef FLOW_H
#define FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLOW_SEED_SIZE 8

struct flow {
    uint64_t seed, count, hash; /* hash: FNV-1a of the count bytes behind the seed */
    uint8_t seed_have;          /* bytes of the seed that were sent or received */
};

void random_start(uint64_t seed);
uint64_t random_next(void);
uint64_t random_below(uint64_t limit);
double random_between(double low, double high);
size_t random_size(void);

void flow_start(struct flow *f);
void flow_write(struct flow *f, uint8_t *to, size_t size);
bool flow_check(struct flow *f, const uint8_t *data, size_t size);
bool flow_equal(const struct flow *a, const struct flow *b);

#endif
