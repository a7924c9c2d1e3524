/* One receive, then every record in it: nothing that has come whole waits inside TLS, so epoll alone tells when there
   is more. What is only counted is decrypted all the same, always into the same few pages. */
#include "browser_tls.h"

#include "browser_steps.h"
#include "load.h"
#include "tls.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static uint8_t records[SCRATCH_SIZE];

/* Gives up a browser whose TLS is over. */
static void lose(struct browser *b, const char *why)
{
    char text[160];
    snprintf(text, sizeof text, "TLS: %s", why);
    browser_lose(b, text);
}

/* Takes a step of the handshake; true when it is over. */
static bool shake_hands(struct browser *b)
{
    bool over = tls_shake_hands(b->conn.tls);
    conn_send_records(&b->conn);
    if (tls_problem(b->conn.tls))
        lose(b, tls_problem(b->conn.tls));
    else if (over)
        browser_begin(b);
    return over;
}

/* Begins the handshake on a connection that stands. */
void browser_tls_start(struct browser *b)
{
    b->state = BROWSER_SECURING;
    b->conn.tls = tls_start();
    tls_take(NULL, 0); /* what another browser did not want to read is not for this one */
    shake_hands(b);
}

/* Gives bytes on to whom they are for. */
static void give(struct browser *b, const uint8_t *data, size_t size)
{
    if (b->state >= BROWSER_UP && b->drops)
        run.scenario->browser_payload(b, NULL, size);
    else
        browser_take_bytes(b, data, size);
}

/* Reads what has come, so many bytes at most. */
void browser_tls_read(struct browser *b, size_t most)
{
    size_t n;
    ssize_t got = recv(b->conn.fd, records, most < sizeof records ? most : sizeof records, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        lose(b, got == 0 ? "the relay closed the connection without close_notify" : strerror(errno));
        return;
    }
    tls_take(records, (size_t)got);
    if (b->state == BROWSER_SECURING && !shake_hands(b))
        return;
    while (conn_is_open(&b->conn) && tls_has_input() && (n = tls_read(b->conn.tls, scratch, SCRATCH_SIZE)))
        give(b, scratch, n);
    if (!conn_is_open(&b->conn))
        return;
    conn_send_records(&b->conn);
    if (tls_problem(b->conn.tls))
        lose(b, tls_problem(b->conn.tls));
}
