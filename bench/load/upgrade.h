/* The websocket's opening handshake as a browser does it (RFC 6455, 4.1). */
#ifndef UPGRADE_H
#define UPGRADE_H

#include <stddef.h>

size_t upgrade_request(char *to, size_t room, const char *host, const char *path);
size_t upgrade_reply_size(const char *data, size_t size);
const char *upgrade_check_reply(char *head, size_t size);

#endif
