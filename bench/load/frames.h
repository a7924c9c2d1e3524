/* Websocket frames (RFC 6455, 5.2): a browser writes masked ones and reads unmasked ones. */
#ifndef FRAMES_H
#define FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_HEAD_MAX 14

enum opcode { CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

/* Where a reader of frames stands. */
struct frames {
    uint8_t head[10];
    uint8_t have, need;
    uint8_t opcode;
    bool final, in_message;
    uint64_t left; /* payload bytes of this frame that are still to come */
    uint8_t control[125];
    uint8_t control_size;
};

/* Who hears what the reader finds; each returns false when the reader is to stop. */
struct frames_listener {
    bool (*payload)(void *owner, const uint8_t *data, size_t size);
    bool (*control)(void *owner, enum opcode opcode, const uint8_t *data, size_t size);
};

void frames_start(struct frames *f);
const char *frames_feed(struct frames *f, const uint8_t *data, size_t size, const struct frames_listener *to,
                        void *owner);
size_t frame_head(uint8_t *to, enum opcode opcode, bool final, size_t size, const uint8_t mask[4]);
void frame_mask(uint8_t *data, size_t size, const uint8_t mask[4]);

/* Says whether the reader is inside the payload of a data frame. */
static inline bool frames_in_payload(const struct frames *f)
{
    return f->have == f->need && f->left && f->opcode < CLOSE;
}

#endif
