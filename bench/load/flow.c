/* Random choices for the run, and the random streams that the ends exchange. */
#include "flow.h"

#include <string.h>

#define PART 4096
#define LARGEST (200 * 1024)

static uint64_t state;

/* Mixes a number into 64 random bits (splitmix64's last steps). */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
    return x ^ x >> 31;
}

/* Begins the run's choices. */
void random_start(uint64_t seed)
{
    state = mix(seed + 1);
}

/* Returns 64 random bits. */
uint64_t random_next(void)
{
    state += 0x9e3779b97f4a7c15ULL;
    return mix(state);
}

/* Returns a random number below the limit. */
uint64_t random_below(uint64_t limit)
{
    return random_next() % limit;
}

/* Returns a random number between two others. */
double random_between(double low, double high)
{
    return low + (high - low) * (double)(random_next() >> 11) / 9007199254740992.0;
}

/* Returns a size between 1 byte and 200 KiB; small, middle and large ones are equally likely. */
size_t random_size(void)
{
    static const uint64_t limits[3] = {16, 4096, LARGEST};
    return 1 + (size_t)random_below(limits[random_below(3)]);
}

/* Starts a stream to be sent, with a seed of its own. */
void flow_start(struct flow *f)
{
    *f = (struct flow){.seed = random_next(), .hash = 0xcbf29ce484222325ULL};
}

/* Makes the stream's bytes from its present place on. */
static void generate(const struct flow *f, uint8_t *to, size_t size)
{
    uint64_t at = f->count;
    while (size) {
        uint64_t word = mix(f->seed + at / 8 * 0x9e3779b97f4a7c15ULL);
        size_t skip = at % 8, part = 8 - skip < size ? 8 - skip : size;
        word >>= 8 * skip;
        memcpy(to, &word, part);
        to += part;
        at += part;
        size -= part;
    }
}

/* Counts bytes into the hash. */
static void count(struct flow *f, const uint8_t *data, size_t size)
{
    uint64_t hash = f->hash;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ data[i]) * 0x100000001b3ULL;
    f->hash = hash;
    f->count += size;
}

/* Writes the stream's next bytes; its seed comes first. */
void flow_write(struct flow *f, uint8_t *to, size_t size)
{
    for (; size && f->seed_have < FLOW_SEED_SIZE; size--)
        *to++ = (uint8_t)(f->seed >> 8 * f->seed_have++);
    generate(f, to, size);
    count(f, to, size);
}

/* Takes received bytes; false when they are not the stream's. */
bool flow_check(struct flow *f, const uint8_t *data, size_t size)
{
    uint8_t expected[PART];
    if (size && !f->seed_have)
        *f = (struct flow){.hash = 0xcbf29ce484222325ULL};
    for (; size && f->seed_have < FLOW_SEED_SIZE; size--)
        f->seed |= (uint64_t)*data++ << 8 * f->seed_have++;
    while (size) {
        size_t part = size < PART ? size : PART;
        generate(f, expected, part);
        if (memcmp(expected, data, part) != 0)
            return false;
        count(f, data, part);
        data += part;
        size -= part;
    }
    return true;
}

/* Says whether what was received is what was sent, whole: the same seed, length and hash. */
bool flow_equal(const struct flow *a, const struct flow *b)
{
    return a->seed_have == FLOW_SEED_SIZE && b->seed_have == FLOW_SEED_SIZE && a->seed == b->seed &&
           a->count == b->count && a->hash == b->hash;
}
