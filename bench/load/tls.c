/* One thread handles one connection at a time, so all share one place for what came in and one for what goes out:
   the caller receives once, has everything decrypted, and sends what there is to send. OpenSSL itself sees no
   socket, reads a record without a system call, and keeps nothing but the beginning of a record that is not whole. */
#include "tls.h"

#include "report.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#define RECORD_OVERHEAD 96
#define OUTPUT_ROOM (TLS_PIECE + (TLS_PIECE / SSL3_RT_MAX_PLAIN_LENGTH + 1) * RECORD_OVERHEAD + 32 * 1024)

struct tls {
    SSL *ssl;
    const char *problem; /* why it is over; NULL while it is not */
};

static SSL_CTX *context;
static BIO_METHOD *method;
static const uint8_t *input;
static size_t input_left;
static uint8_t output[OUTPUT_ROOM];
static size_t output_size;

/* Gives OpenSSL bytes that have come. */
static int read_input(BIO *bio, char *to, int room)
{
    BIO_clear_retry_flags(bio);
    if (!input_left) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t part = input_left < (size_t)room ? input_left : (size_t)room;
    memcpy(to, input, part);
    input += part;
    input_left -= part;
    return (int)part;
}

/* Takes bytes that OpenSSL wants to be sent. */
static int write_output(BIO *bio, const char *data, int size)
{
    BIO_clear_retry_flags(bio);
    if (output_size + (size_t)size > sizeof output)
        fail("TLS: there is no room for what is to be sent");
    memcpy(output + output_size, data, (size_t)size);
    output_size += (size_t)size;
    return size;
}

/* Answers OpenSSL's questions: a flush is always done. */
static long control_bio(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

/* Tells what OpenSSL complains about. */
static const char *complaint(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    return reason ? reason : "unknown";
}

/* Makes what all connections share: one version of TLS, nothing verified, no session kept. */
void tls_prepare(const char *version)
{
    int wanted = strcmp(version, "1.2") == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
    context = SSL_CTX_new(TLS_client_method());
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "the shared buffers");
    if (!context || !method || !SSL_CTX_set_min_proto_version(context, wanted) ||
        !SSL_CTX_set_max_proto_version(context, wanted))
        fail("TLS: %s", complaint());
    BIO_meth_set_read(method, read_input);
    BIO_meth_set_write(method, write_output);
    BIO_meth_set_ctrl(method, control_bio);
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
}

/* Makes the browser's end of a connection; its first words are in the output after `tls_shake_hands`. */
struct tls *tls_start(void)
{
    struct tls *t = calloc(1, sizeof *t);
    BIO *bio = BIO_new(method);
    if (!t || !bio || !(t->ssl = SSL_new(context)))
        fail("TLS: %s", complaint());
    BIO_set_init(bio, 1);
    SSL_set_bio(t->ssl, bio, bio);
    SSL_set_connect_state(t->ssl);
    return t;
}

/* Frees it. */
void tls_free(struct tls *t)
{
    SSL_free(t->ssl);
    free(t);
}

/* Says whether the handshake is over. */
bool tls_is_up(const struct tls *t)
{
    return SSL_is_init_finished(t->ssl);
}

/* Hands over what has come from the socket, to be read at once by the calls that follow. */
void tls_take(const uint8_t *data, size_t size)
{
    input = data;
    input_left = size;
}

/* Says whether some of it was not looked at yet; what was is decrypted, or the beginning of a record. */
bool tls_has_input(void)
{
    return input_left;
}

/* Takes note of a result that is no success: more bytes are needed, or it is over. */
static void note(struct tls *t, int result)
{
    switch (SSL_get_error(t->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        break;
    case SSL_ERROR_ZERO_RETURN:
        t->problem = "the relay closed the connection";
        break;
    default:
        t->problem = complaint();
    }
}

/* Goes on with the handshake as far as the input reaches; true when it is over. */
bool tls_shake_hands(struct tls *t)
{
    ERR_clear_error();
    int result = SSL_do_handshake(t->ssl);
    if (result != 1)
        note(t, result);
    return result == 1;
}

/* Decrypts the next record of the input; returns 0 when there is none, or when it is over (`tls_problem`). */
size_t tls_read(struct tls *t, uint8_t *to, size_t room)
{
    ERR_clear_error();
    int result = SSL_read(t->ssl, to, (int)room);
    if (result > 0)
        return (size_t)result;
    note(t, result);
    return 0;
}

/* Encrypts TLS_PIECE bytes at most, into the output. */
void tls_write(struct tls *t, const uint8_t *data, size_t size)
{
    ERR_clear_error();
    if (size && SSL_write(t->ssl, data, (int)size) != (int)size)
        t->problem = complaint();
}

/* Writes close_notify where a handshake has been and nothing has gone wrong. */
void tls_say_goodbye(struct tls *t)
{
    bool is_whole = !t->problem || SSL_get_shutdown(t->ssl) & SSL_RECEIVED_SHUTDOWN;
    ERR_clear_error();
    if (is_whole && tls_is_up(t))
        SSL_shutdown(t->ssl);
}

/* Takes what is to be sent out of the output; it stays there until the next call of another function here. */
size_t tls_output(const uint8_t **data)
{
    size_t size = output_size;
    *data = output;
    output_size = 0;
    return size;
}

/* Tells why the connection is over, or NULL while it is not. */
const char *tls_problem(const struct tls *t)
{
    return t->problem;
}
