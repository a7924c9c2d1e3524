/* Everything here happens before bytes flow: addresses, options of the sockets, limits. */
#define _GNU_SOURCE
#include "sockets.h"

#include "report.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 4096

static struct sockaddr_storage relay;
static socklen_t relay_size;

/* Allows as many descriptors as the run needs: to the hard limit, and past it where the system lets us. */
void sockets_raise_limit(unsigned long needed)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        fail("getrlimit: %s", strerror(errno));
    if (limit.rlim_max < needed) {
        struct rlimit higher = {.rlim_cur = needed, .rlim_max = needed};
        if (setrlimit(RLIMIT_NOFILE, &higher) == 0)
            return;
    }
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < needed)
        fail("%lu file descriptors are needed, the limit is %lu", needed, (unsigned long)limit.rlim_cur);
}

/* Finds the relay's address from HOST:PORT, an IPv6 host in brackets. */
void sockets_resolve_relay(const char *host_and_port)
{
    char host[256];
    const char *colon = strrchr(host_and_port, ':'), *from = host_and_port;
    struct addrinfo *found, wish = {.ai_socktype = SOCK_STREAM};
    if (!colon || colon == host_and_port || !colon[1] || colon - host_and_port >= (long)sizeof host)
        fail("--relay wants HOST:PORT, not %s", host_and_port);
    size_t size = (size_t)(colon - host_and_port);
    if (from[0] == '[' && from[size - 1] == ']') {
        from++;
        size -= 2;
    }
    memcpy(host, from, size);
    host[size] = 0;
    int problem = getaddrinfo(host, colon + 1, &wish, &found);
    if (problem)
        fail("--relay %s: %s", host_and_port, gai_strerror(problem));
    memcpy(&relay, found->ai_addr, found->ai_addrlen);
    relay_size = found->ai_addrlen;
    freeaddrinfo(found);
}

/* Sends small messages at once. */
static void set_no_delay(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* Fixes the kernel's buffers of a socket; 0 leaves a buffer to the kernel. */
void sockets_set_buffers(int fd, int receive, int send)
{
    if (receive)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive, sizeof receive);
    if (send)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send, sizeof send);
}

/* Listens on 127.0.0.1; a buffer size, where given, is what accepted sockets receive with. */
int sockets_listen(unsigned port, int buffer)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        fail("socket: %s", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockets_set_buffers(fd, buffer, 0);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, BACKLOG) != 0)
        fail("listening on 127.0.0.1:%u: %s", port, strerror(errno));
    return fd;
}

/* Takes one connection from the backlog, or -1 when there is none. */
int sockets_accept(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0)
        set_no_delay(fd);
    else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
        fail("accept: %s", strerror(errno));
    return fd;
}

/* Begins to connect to the relay; the socket becomes writable when that is done. */
int sockets_connect(int buffer)
{
    int fd = socket(relay.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        fail("socket: %s", strerror(errno));
    set_no_delay(fd);
    sockets_set_buffers(fd, buffer, 0);
    if (connect(fd, (struct sockaddr *)&relay, relay_size) != 0 && errno != EINPROGRESS)
        fail("connecting to the relay: %s", strerror(errno));
    return fd;
}
