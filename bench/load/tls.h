/* TLS at the browser's end, without a socket: records go in and come out as bytes, whoever carries them. */
#ifndef TLS_H
#define TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TLS_PIECE (256 * 1024) /* the most that is encrypted at once */

struct tls;

void tls_prepare(const char *version);
struct tls *tls_start(void);
void tls_free(struct tls *t);
bool tls_is_up(const struct tls *t);
void tls_take(const uint8_t *data, size_t size);
bool tls_has_input(void);
bool tls_shake_hands(struct tls *t);
size_t tls_read(struct tls *t, uint8_t *to, size_t room);
void tls_write(struct tls *t, const uint8_t *data, size_t size);
void tls_say_goodbye(struct tls *t);
size_t tls_output(const uint8_t **data);
const char *tls_problem(const struct tls *t);

#endif
