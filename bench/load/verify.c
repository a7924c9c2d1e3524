/* verify: every byte that a relay carries is compared, under all that may happen to a session. Pieces of 1 byte to
   200 KiB go both ways; a browser's messages are cut into frames at random places, with pings in between. */
#include "frames.h"
#include "pair.h"
#include "report.h"

#include <string.h>

#define TEXTS_MAX 3
#define PIECE_MAX (TEXTS_MAX * (200 * 1024 + RFB_TEXT_HEAD))
#define WIRE_MAX (2 * PIECE_MAX)
#define PAUSE_MAX (30 * MILLISECOND)
#define FRAGMENTS_MAX 4

static uint8_t piece[PIECE_MAX], wire[WIRE_MAX];
static uint64_t pings;

/* Chooses when the next piece may go: mostly at once. */
static uint64_t choose_pause(void)
{
    return random_below(5) == 0 ? now_ns() + random_below(PAUSE_MAX) : 0;
}

/* Sends bytes at once, or cut in two. */
static void send_piece(struct end *e, const uint8_t *data, size_t size)
{
    conn_send_in_two(e->conn, data, size, random_below(4) == 0 ? (size_t)random_below(size) : size);
    e->resume = choose_pause();
}

/* Sends bare random bytes from a VM. */
static void push_down(struct server *s)
{
    struct end *e = s->own;
    size_t size = random_size() + FLOW_SEED_SIZE;
    flow_write(&e->out, piece, size);
    send_piece(e, piece, size);
}

/* Writes one frame with a mask of its own; returns its size. */
static size_t write_frame(uint8_t *to, enum opcode opcode, bool final, const uint8_t *data, size_t size)
{
    uint64_t mask = random_next();
    size_t head = frame_head(to, opcode, final, size, (const uint8_t *)&mask);
    memcpy(to + head, data, size);
    frame_mask(to + head, size, (const uint8_t *)&mask);
    return head + size;
}

/* Writes one message in up to four frames, some of them empty, with a ping here and there; returns its size. */
static size_t write_message(uint8_t *to, const uint8_t *data, size_t size)
{
    size_t at = 0, fragments = random_below(2) ? 1 : 1 + (size_t)random_below(FRAGMENTS_MAX);
    for (size_t i = 0; i < fragments; i++) {
        bool final = i == fragments - 1;
        size_t part = final ? size : (size_t)random_below(size + 1);
        at += write_frame(to + at, i ? CONTINUATION : BINARY, final, data, part);
        data += part;
        size -= part;
        if (random_below(8) == 0) {
            at += write_frame(to + at, PING, true, piece, (size_t)random_below(126));
            pings++;
        }
    }
    return at;
}

/* Cuts bytes into messages that need not end where RFB's do; returns the size on the wire. */
static size_t write_messages(const uint8_t *data, size_t size)
{
    size_t at = 0;
    for (int i = 0; size; i++) {
        size_t part = i < 16 && random_below(2) ? 1 + (size_t)random_below(size) : size;
        at += write_message(wire + at, data, part);
        data += part;
        size -= part;
    }
    return at;
}

/* Sends up to three cut texts from a browser. */
static void push_up(struct browser *b)
{
    struct end *e = b->own;
    size_t size = 0;
    for (uint64_t i = 1 + random_below(TEXTS_MAX); i > 0; i--) {
        size_t text = random_size();
        rfb_text_head(piece + size, CLIENT_CUT_TEXT, text);
        flow_write(&e->out, piece + size + RFB_TEXT_HEAD, text);
        size += RFB_TEXT_HEAD + text;
    }
    if (options.raw)
        send_piece(e, piece, size);
    else
        send_piece(e, wire, write_messages(piece, size));
}

static const struct habits verify_habits = {
    .shortest_life = 0.2, .longest_life = 3, .slow_readers = true, .tick = 10 * MILLISECOND,
    .push_down = push_down, .push_up = push_up,
};

/* Begins the random choices. */
static void prepare(void)
{
    habits = &verify_habits;
    random_start(options.seed);
}

/* Tells the counts, and how many pings were answered. */
static void report(FILE *to)
{
    pair_report(to);
    fprintf(to, ", \"seed\": %llu, \"pings\": %llu, \"pongs\": %llu", (unsigned long long)options.seed,
            (unsigned long long)pings, (unsigned long long)run.pongs);
}

const struct scenario verify = {
    .name = "verify", .unit = "byte", .prepare = prepare, .begin = pair_begin, .on_time = pair_on_time,
    .finished = pair_finished, .report = report, .server_up = pair_server_up, .server_text = pair_server_text,
    .server_writable = pair_server_writable, .server_gone = pair_server_gone, .browser_up = pair_browser_up,
    .browser_payload = pair_browser_payload, .browser_writable = pair_browser_writable,
    .browser_gone = pair_browser_gone,
};
