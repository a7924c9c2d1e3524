/* All sessions send the key of RFC 6455's own example, so the answer to expect is known without SHA-1. */
#define _GNU_SOURCE
#include "upgrade.h"

#include "report.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define ANSWER "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

/* Writes the upgrade request and returns its size. */
size_t upgrade_request(char *to, size_t room, const char *host, const char *path)
{
    int size = snprintf(to, room,
                        "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Protocol: binary\r\nUser-Agent: load\r\n\r\n",
                        path, host);
    if (size < 0 || (size_t)size >= room)
        fail("a path is too long");
    return (size_t)size;
}

/* Returns how many bytes the reply's head has, or 0 while its end is missing. */
size_t upgrade_reply_size(const char *data, size_t size)
{
    const char *end = memmem(data, size, "\r\n\r\n", 4);
    return end ? (size_t)(end - data) + 4 : 0;
}

/* Returns the value of a header line, or NULL when the line is another one. */
static const char *value_of(const char *line, const char *name)
{
    size_t size = strlen(name);
    if (strncasecmp(line, name, size) != 0 || line[size] != ':')
        return NULL;
    line += size + 1;
    return line + strspn(line, " \t");
}

/* Checks a whole head: NULL when it accepts the upgrade, else what is wrong with it. The head is cut up. */
const char *upgrade_check_reply(char *head, size_t size)
{
    char *rest = NULL;
    const char *value;
    int accepted = 0;
    head[size - 1] = 0;
    char *line = strtok_r(head, "\r\n", &rest);
    if (!line || strncmp(line, "HTTP/1.1 101", 12) != 0)
        return line ? line : "an empty reply to the upgrade";
    while ((line = strtok_r(NULL, "\r\n", &rest))) {
        if ((value = value_of(line, "Sec-WebSocket-Accept")))
            accepted = strncmp(value, ANSWER, strlen(ANSWER)) == 0;
        else if ((value = value_of(line, "Sec-WebSocket-Protocol")) && strncmp(value, "binary", 6) != 0)
            return "the relay chose another subprotocol than binary";
        else if (value_of(line, "Sec-WebSocket-Extensions"))
            return "the relay chose an extension that was not offered";
    }
    return accepted ? NULL : "the reply's Sec-WebSocket-Accept is wrong or missing";
}
