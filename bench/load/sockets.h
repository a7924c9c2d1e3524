/* Non-blocking TCP sockets, all with TCP_NODELAY, and the limit on how many there may be. */
#ifndef SOCKETS_H
#define SOCKETS_H

void sockets_raise_limit(unsigned long needed);
void sockets_resolve_relay(const char *host_and_port);
int sockets_listen(unsigned port, int buffer);
int sockets_accept(int listener);
int sockets_connect(int buffer);
void sockets_set_buffers(int fd, int receive, int send);

#endif
