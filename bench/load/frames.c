/* The reader takes bytes as they come, split anywhere, and gives payload on without a copy. */
#include "frames.h"

#include <string.h>

/* Prepares the reader for the first frame. */
void frames_start(struct frames *f)
{
    memset(f, 0, sizeof *f);
    f->need = 2;
}

/* Checks the first two bytes of a head and tells how long it is; an error text where it breaks the rules. */
static const char *take_first_bytes(struct frames *f)
{
    f->opcode = f->head[0] & 15;
    f->final = f->head[0] & 0x80;
    if (f->head[0] & 0x70)
        return "a frame has reserved bits set";
    if (f->head[1] & 0x80)
        return "the relay masked a frame";
    if (f->opcode >= CLOSE && (!f->final || f->head[1] > 125 || f->opcode > PONG))
        return "a control frame is fragmented, too long or unknown";
    if (f->opcode < CLOSE && f->opcode != BINARY && f->opcode != CONTINUATION)
        return "a data frame is not binary";
    if (f->opcode < CLOSE && (f->opcode == CONTINUATION) != f->in_message)
        return "a continuation frame is missing or out of place";
    f->need = f->head[1] == 126 ? 4 : f->head[1] == 127 ? 10 : 2;
    return NULL;
}

/* Reads the length from a whole head and prepares for the payload. */
static const char *take_whole_head(struct frames *f)
{
    f->left = f->head[1];
    if (f->need > 2) {
        f->left = 0;
        for (unsigned i = 2; i < f->need; i++)
            f->left = f->left << 8 | f->head[i];
        if (f->left < (f->need == 4 ? 126 : 65536))
            return "a frame's length is not in its shortest form";
    }
    f->control_size = 0;
    if (f->opcode < CLOSE)
        f->in_message = !f->final;
    return NULL;
}

/* Makes ready for the next head. */
static void begin_head(struct frames *f)
{
    f->have = 0;
    f->need = 2;
}

/* Takes payload bytes of a frame; false when the listener stops the reader. */
static bool take_payload(struct frames *f, const uint8_t *data, size_t size, const struct frames_listener *to,
                         void *owner)
{
    f->left -= size;
    if (f->opcode < CLOSE) {
        if (f->left == 0)
            begin_head(f);
        return size == 0 || to->payload(owner, data, size);
    }
    memcpy(f->control + f->control_size, data, size);
    f->control_size = (uint8_t)(f->control_size + size);
    if (f->left)
        return true;
    begin_head(f);
    return to->control(owner, f->opcode, f->control, f->control_size);
}

/* Reads frames from bytes; an error text when they break the rules, else NULL. */
const char *frames_feed(struct frames *f, const uint8_t *data, size_t size, const struct frames_listener *to,
                        void *owner)
{
    const char *problem;
    while (size) {
        if (f->have < f->need) {
            f->head[f->have++] = *data++;
            size--;
            if (f->have < f->need)
                continue;
            if (f->have == 2 && (problem = take_first_bytes(f)))
                return problem;
            if (f->have < f->need)
                continue;
            if ((problem = take_whole_head(f)))
                return problem;
            if (f->left)
                continue;
        }
        size_t part = f->left < size ? (size_t)f->left : size;
        if (!take_payload(f, data, part, to, owner))
            return NULL;
        data += part;
        size -= part;
    }
    return NULL;
}

/* Writes a frame's head, masked when a mask is given, and returns its size. */
size_t frame_head(uint8_t *to, enum opcode opcode, bool final, size_t size, const uint8_t mask[4])
{
    size_t at = 2;
    to[0] = (uint8_t)((final ? 0x80 : 0) | opcode);
    to[1] = (uint8_t)((mask ? 0x80 : 0) | (size < 126 ? size : size < 65536 ? 126 : 127));
    for (int shift = size < 126 ? -8 : size < 65536 ? 8 : 56; shift >= 0; shift -= 8)
        to[at++] = (uint8_t)((uint64_t)size >> shift);
    if (mask) {
        memcpy(to + at, mask, 4);
        at += 4;
    }
    return at;
}

/* Masks a payload in place. */
void frame_mask(uint8_t *data, size_t size, const uint8_t mask[4])
{
    for (size_t i = 0; i < size; i++)
        data[i] ^= mask[i & 3];
}
