/* The request paths of the websockets, one line of a file each. */
#ifndef PATHS_H
#define PATHS_H

#include <stddef.h>

void paths_load(const char *file);
const char *paths_next(void);
size_t paths_left(void);

#endif
