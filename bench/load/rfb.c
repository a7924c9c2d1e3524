/* Everything that either end sends is built here, once. */
#include "rfb.h"

#include "report.h"

#include <stdlib.h>
#include <string.h>

#define NAME "load"
#define PICTURE_HEAD 16

/* Writes a number in network order. */
static void put(uint8_t *to, uint32_t value, unsigned size)
{
    while (size--) {
        to[size] = (uint8_t)value;
        value >>= 8;
    }
}

/* Makes room for a fixed text, filled with a pattern of letters. */
static struct blob make_blob(size_t size)
{
    struct blob blob = {.data = malloc(size), .size = size};
    if (!blob.data)
        fail("out of memory");
    for (size_t i = 0; i < size; i++)
        blob.data[i] = (uint8_t)('a' + i % 26);
    return blob;
}

/* Returns ServerInit: 640x480, 32 bits a pixel, depth 24, little-endian true colour, the name "load". */
const struct blob *rfb_server_init(void)
{
    static struct blob init;
    if (!init.data) {
        static const uint8_t format[16] = {32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0};
        init = make_blob(RFB_SERVER_INIT_SIZE + sizeof NAME - 1);
        put(init.data, RFB_WIDTH, 2);
        put(init.data + 2, RFB_HEIGHT, 2);
        memcpy(init.data + 4, format, sizeof format);
        put(init.data + 20, sizeof NAME - 1, 4);
        memcpy(init.data + 24, NAME, sizeof NAME - 1);
    }
    return &init;
}

/* Returns a FramebufferUpdate with one Raw rectangle that fills the screen. */
const struct blob *rfb_picture(void)
{
    static struct blob picture;
    if (!picture.data) {
        picture = make_blob(PICTURE_HEAD + RFB_WIDTH * RFB_HEIGHT * 4);
        put(picture.data, 0, 2);
        put(picture.data + 2, 1, 2);
        put(picture.data + 4, 0, 4);
        put(picture.data + 8, RFB_WIDTH, 2);
        put(picture.data + 10, RFB_HEIGHT, 2);
        put(picture.data + 12, 0, 4);
    }
    return &picture;
}

/* Writes the head of a cut text message: type, three bytes of padding, the text's length. */
void rfb_text_head(uint8_t *to, uint8_t type, size_t text_size)
{
    put(to, 0, 4);
    to[0] = type;
    put(to + 4, (uint32_t)text_size, 4);
}

/* Builds a ServerCutText message of `size` bytes in all. */
struct blob rfb_server_text(size_t size)
{
    struct blob blob = make_blob(size);
    rfb_text_head(blob.data, 3, size - RFB_TEXT_HEAD);
    return blob;
}

/* Builds a ClientCutText message of `size` bytes in all. */
struct blob rfb_client_text(size_t size)
{
    struct blob blob = make_blob(size);
    rfb_text_head(blob.data, CLIENT_CUT_TEXT, size - RFB_TEXT_HEAD);
    return blob;
}

/* Writes a KeyEvent for the letter a. */
void rfb_key_event(uint8_t *to, bool down)
{
    put(to, 0, 4);
    to[0] = KEY_EVENT;
    to[1] = down;
    put(to + 4, 'a', 4);
}

/* Writes SetEncodings (Raw alone) and a FramebufferUpdateRequest for the whole screen; returns the size of both. */
size_t rfb_picture_request(uint8_t *to)
{
    put(to, (uint32_t)SET_ENCODINGS << 24 | 1, 4);
    put(to + 4, 0, 4);
    put(to + 8, (uint32_t)UPDATE_REQUEST << 24, 4);
    put(to + 12, 0, 2);
    put(to + 14, RFB_WIDTH, 2);
    put(to + 16, RFB_HEIGHT, 2);
    return 18;
}

/* Prepares the reader for the first message. */
void messages_start(struct messages *m)
{
    memset(m, 0, sizeof *m);
    m->need = 1;
}

/* Tells how long the head of a message of this type is; 0 for an unknown type. */
static uint8_t head_size(uint8_t type)
{
    static const uint8_t sizes[] = {20, 0, 4, 10, 8, 6, 8};
    return type < sizeof sizes ? sizes[type] : 0;
}

/* Takes a whole head: how long is the body behind it? */
static void take_head(struct messages *m)
{
    int32_t length = (int32_t)((uint32_t)m->head[4] << 24 | (uint32_t)m->head[5] << 16 | (uint32_t)m->head[6] << 8 |
                               m->head[7]);
    m->left = 0;
    if (m->head[0] == SET_ENCODINGS)
        m->left = 4 * (uint64_t)(m->head[2] << 8 | m->head[3]);
    else if (m->head[0] == CLIENT_CUT_TEXT) /* negative in the extended clipboard */
        m->left = (uint64_t)(length < 0 ? -(int64_t)length : length);
    m->size = m->need + m->left;
}

/* Ends a message and makes ready for the next one. */
static bool end_message(struct messages *m, const struct messages_listener *to, void *owner)
{
    m->have = 0;
    m->need = 1;
    return to->message(owner, m->head[0], m->size);
}

/* Reads client messages from bytes; an error text when a type is unknown, else NULL. */
const char *messages_feed(struct messages *m, const uint8_t *data, size_t size, const struct messages_listener *to,
                          void *owner)
{
    while (size) {
        size_t part = m->have < m->need ? (size_t)(m->need - m->have) : m->left;
        part = part < size ? part : size;
        if (m->have < m->need) {
            memcpy(m->head + m->have, data, part);
            m->have = (uint8_t)(m->have + part);
            if (m->have == 1 && m->need == 1 && (m->need = head_size(m->head[0])) == 0)
                return "a client message of unknown type";
            if (m->have == m->need)
                take_head(m);
        } else {
            m->left -= part;
            if (m->head[0] == CLIENT_CUT_TEXT && to->text && !to->text(owner, data, part))
                return NULL;
        }
        data += part;
        size -= part;
        if (m->have == m->need && m->left == 0 && !end_message(m, to, owner))
            return NULL;
    }
    return NULL;
}
