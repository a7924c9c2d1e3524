/* Reads the driver's words from standard input, as one more connection of the loop. */
#include "control.h"

#include "loop.h"
#include "report.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

struct control control;

static char line[64];
static size_t line_size;

/* Understands one whole line. */
static void take_line(void)
{
    line[line_size] = 0;
    line_size = 0;
    if (strcmp(line, "go") == 0)
        control.go = true;
    else if (strcmp(line, "close") == 0)
        control.close = true;
    else if (line[0])
        fail("unknown word on standard input: %s", line);
}

/* Reads what has come; the end of the input takes it out of the loop. */
static void read_input(struct conn *conn)
{
    char some[256];
    ssize_t n = read(conn->fd, some, sizeof some);
    if (n < 0 && errno == EINTR)
        return;
    if (n <= 0) {
        control.ended = true;
        conn_remove(conn);
        return;
    }
    for (ssize_t i = 0; i < n; i++) {
        if (some[i] == '\n')
            take_line();
        else if (line_size < sizeof line - 1)
            line[line_size++] = some[i];
    }
}

/* Begins to listen to standard input; a file, which epoll cannot watch, is read to its end at once. */
void control_start(void)
{
    static struct conn input = {.fd = STDIN_FILENO, .readable = read_input};
    if (!conn_add(&input))
        while (!control.ended)
            read_input(&input);
}
