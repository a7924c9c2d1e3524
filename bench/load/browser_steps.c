/* Version 3.8, security None, shared, ServerInit: each step waits for a known number of bytes. */
#include "browser_steps.h"

#include "load.h"
#include "sessions.h"

#include <stdio.h>
#include <string.h>

/* Tells how many bytes the step at hand has in all, as far as they show it. */
static size_t step_needs(const struct browser *b)
{
    const uint8_t *got = b->step;
    switch (b->state) {
    case BROWSER_VERSION:
        return RFB_VERSION_SIZE;
    case BROWSER_TYPES:
        return b->step_size ? 1 + (size_t)got[0] : 1;
    case BROWSER_RESULT:
        return 4;
    default: /* ServerInit with its name */
        if (b->step_size < RFB_SERVER_INIT_SIZE)
            return RFB_SERVER_INIT_SIZE;
        return RFB_SERVER_INIT_SIZE +
               ((size_t)got[20] << 24 | (size_t)got[21] << 16 | (size_t)got[22] << 8 | (size_t)got[23]);
    }
}

/* Puts a browser that is through into the table and tells the scenario. */
static void come_up(struct browser *b)
{
    sessions_end_opening(b);
    b->state = BROWSER_UP;
    b->step_size = 0;
    sessions_add_browser(b);
    if (run.scenario->browser_up)
        run.scenario->browser_up(b);
}

/* Answers one whole step. */
static void take_step(struct browser *b)
{
    static const uint8_t none = 1, shared = 1, accepted[4] = {0};
    switch (b->state) {
    case BROWSER_VERSION:
        if (memcmp(b->step, RFB_VERSION, RFB_VERSION_SIZE) != 0) {
            browser_lose(b, "the relay offers another version than 3.8");
            return;
        }
        browser_send(b, (const uint8_t *)RFB_VERSION, RFB_VERSION_SIZE);
        b->state = BROWSER_TYPES;
        break;
    case BROWSER_TYPES:
        if (!memchr(b->step + 1, 1, b->step[0])) {
            browser_lose(b, "the relay does not offer security None");
            return;
        }
        browser_send(b, &none, 1);
        b->state = BROWSER_RESULT;
        break;
    case BROWSER_RESULT:
        if (memcmp(b->step, accepted, sizeof accepted) != 0) {
            browser_lose(b, "the relay refused security None");
            return;
        }
        browser_send(b, &shared, 1);
        b->state = BROWSER_INIT;
        break;
    default:
        come_up(b);
    }
    b->step_size = 0;
}

/* Takes handshake bytes; returns how many were used, the rest belongs to the scenario. */
size_t browser_take_steps(struct browser *b, const uint8_t *data, size_t size)
{
    size_t used = 0;
    while (used < size && b->state < BROWSER_UP && conn_is_open(&b->conn)) {
        size_t needs = step_needs(b);
        if (needs > sizeof b->step) {
            browser_lose(b, "a step of the RFB handshake is too long");
            break;
        }
        b->step[b->step_size++] = data[used++];
        if (b->step_size == step_needs(b))
            take_step(b);
    }
    return used;
}

/* Tells what a browser that is not up waits for. */
const char *browser_missing(const struct browser *b)
{
    static const char *const missing[] = {"connect()", "end of the TLS handshake", "the reply to the upgrade", "the RFB version",
                                          "the security types", "the security result", "ServerInit"};
    static char text[96];
    snprintf(text, sizeof text, "no %s within the deadline", missing[b->state]);
    return text;
}
