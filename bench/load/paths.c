/* Paths are taken in turn and never twice, since a path may hold a one-time token; a single line serves all. */
#include "paths.h"

#include "report.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static char *text = "/";
static char **lines = &text;
static size_t count = 1, taken;

/* Reads a whole file into memory with a zero byte behind it. */
static char *read_whole(const char *file)
{
    FILE *from = fopen(file, "r");
    char *whole = NULL;
    size_t size = 0;
    ssize_t n = from ? getdelim(&whole, &size, 0, from) : -1;
    if (n < 0)
        fail("--paths %s: %s", file, errno ? strerror(errno) : "it is empty");
    fclose(from);
    return whole;
}

/* Takes the lines of a file as paths; without a file all use "/". */
void paths_load(const char *file)
{
    char *rest = NULL, *whole = read_whole(file);
    size_t room = 0;
    lines = NULL;
    count = 0;
    for (char *line = strtok_r(whole, "\r\n", &rest); line; line = strtok_r(NULL, "\r\n", &rest)) {
        if (line[0] != '/' || strlen(line) > 6000)
            fail("--paths %s: line %zu is no path", file, count + 1);
        if (count == room) {
            room = room ? room * 2 : 64;
            lines = realloc(lines, room * sizeof *lines);
            if (!lines)
                fail("out of memory");
        }
        lines[count++] = line;
    }
    if (count == 0)
        fail("--paths %s: it is empty", file);
}

/* Returns the next path, or NULL when all are used up. */
const char *paths_next(void)
{
    if (count == 1)
        return lines[0];
    return taken < count ? lines[taken++] : NULL;
}

/* Tells how many more sessions have a path. */
size_t paths_left(void)
{
    return count == 1 ? SIZE_MAX : count - taken;
}
