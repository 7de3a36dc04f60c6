#include "tests/daemon/http_peer.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

int http_peer_connect(uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0)
        ck_assert_int_eq(errno, EINPROGRESS);
    return fd;
}

void http_peer_say(int fd, const void *data, size_t len)
{
    ck_assert_int_eq(send(fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT),
                     (ssize_t)len);
}

void http_peer_say_text(int fd, const char *text)
{
    http_peer_say(fd, text, strlen(text));
}

const char *http_peer_heard(int fd)
{
    static char text[64 << 10];
    size_t len = 0;
    ssize_t n;

    while ((n = recv(fd, text + len, sizeof text - 1 - len, MSG_DONTWAIT)) > 0)
        len += (size_t)n;
    text[len] = '\0';
    return text;
}
