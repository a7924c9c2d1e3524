/* Durations in nanoseconds go in, quantiles in microseconds come out. */
#include "histogram.h"

#include <string.h>

/* Forgets everything that was added. */
void histogram_clear(struct histogram *h)
{
    memset(h, 0, sizeof *h);
}

/* Returns the place of a duration: exact below 256 ns, then 128 places for every doubling. */
static unsigned place_of(uint64_t ns)
{
    if (ns < 2 * HISTOGRAM_STEPS)
        return (unsigned)ns;
    unsigned doublings = 63 - (unsigned)__builtin_clzll(ns) - 7;
    return HISTOGRAM_STEPS * doublings + (unsigned)(ns >> doublings);
}

/* Returns the middle of a place, the inverse of place_of. */
static uint64_t middle_of(unsigned place)
{
    if (place < 2 * HISTOGRAM_STEPS)
        return place;
    unsigned doublings = place / HISTOGRAM_STEPS - 1;
    uint64_t low = (uint64_t)(place - HISTOGRAM_STEPS * doublings) << doublings;
    return low + (1ULL << doublings) / 2;
}

/* Counts one duration. */
void histogram_add(struct histogram *h, uint64_t ns)
{
    h->bucket[place_of(ns)]++;
    h->count++;
    if (ns > h->max)
        h->max = ns;
}

/* Returns the duration that the given share of all durations does not exceed. */
uint64_t histogram_quantile(const struct histogram *h, double quantile)
{
    uint64_t wanted = (uint64_t)(quantile * (double)h->count + 0.5), seen = 0;
    if (wanted < 1)
        wanted = 1;
    for (unsigned place = 0; place < HISTOGRAM_SIZE; place++) {
        seen += h->bucket[place];
        if (seen >= wanted)
            return middle_of(place) < h->max ? middle_of(place) : h->max;
    }
    return h->max;
}

/* Prints the quantiles as JSON members with a leading comma; nothing where nothing was added. */
void histogram_print(FILE *to, const char *prefix, const struct histogram *h)
{
    if (h->count == 0)
        return;
    fprintf(to, ", \"%sp50_us\": %.3f, \"%sp90_us\": %.3f, \"%sp99_us\": %.3f, \"%smax_us\": %.3f",
            prefix, (double)histogram_quantile(h, 0.50) / 1e3, prefix, (double)histogram_quantile(h, 0.90) / 1e3,
            prefix, (double)histogram_quantile(h, 0.99) / 1e3, prefix, (double)h->max / 1e3);
}
