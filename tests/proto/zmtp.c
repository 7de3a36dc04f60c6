#include "tests/proto/zmtp.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define GREETING_BYTES 64

int zmtp_raw(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
    if (connect(fd, (struct sockaddr *)&un, sizeof un) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* The other side may hang up on us at any time: that is its right. */
static void put(int fd, const void *data, size_t len)
{
    const char *p = data;

    while (len > 0) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

        if (n <= 0)
            return;
        p += n;
        len -= (size_t)n;
    }
}

static int get(int fd, void *data, size_t len)
{
    return recv(fd, data, len, MSG_WAITALL) == (ssize_t)len ? 0 : -1;
}

int zmtp_connect(const char *path)
{
    /* Signature, version 3.0, mechanism NULL, as client. */
    uint8_t greeting[GREETING_BYTES] = {0xFF, 0,    0, 0, 0,   0,   0,   0,
                                        1,    0x7F, 3, 0, 'N', 'U', 'L', 'L'};
    static const uint8_t ready[] = "\x04\x1C\x05READY\x0BSocket-Type"
                                   "\x00\x00\x00\x06"
                                   "DEALER";
    uint8_t got[256], length;
    int fd = zmtp_raw(path);

    if (fd < 0)
        return -1;
    put(fd, greeting, sizeof greeting);
    if (get(fd, got, GREETING_BYTES) < 0)
        goto fail;
    put(fd, ready, 2 + ready[1]);
    if (get(fd, got, 2) < 0 || got[0] != 0x04)
        goto fail;
    length = got[1];
    if (get(fd, got, length) < 0 || memcmp(got, "\x05READY", 6) != 0)
        goto fail;
    return fd;

fail:
    close(fd);
    return -1;
}

void zmtp_send(int fd, const void *data, size_t len, bool more)
{
    uint8_t head[9] = {more ? 1 : 0};

    if (len < 256) {
        head[1] = (uint8_t)len;
        put(fd, head, 2);
    } else {
        head[0] |= 2;
        for (int i = 0; i < 8; i++)
            head[1 + i] = (uint8_t)((uint64_t)len >> (8 * (7 - i)));
        put(fd, head, 9);
    }
    put(fd, data, len);
}
