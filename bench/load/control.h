/* The driver's side of standard input: the words `go` and `close`, a line each. */
#ifndef CONTROL_H
#define CONTROL_H

#include <stdbool.h>

struct control {
    bool go;    /* the line `go` came */
    bool close; /* the line `close` came */
    bool ended; /* the input ended */
};

extern struct control control;

void control_start(void);

#endif
