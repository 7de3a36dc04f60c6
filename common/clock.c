#include "common/clock.h"

#include <string.h>
#include <time.h>

static int64_t read_us(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_now_us(void)
{
    return read_us(CLOCK_BOOTTIME);
}

int64_t clock_now_ms(void)
{
    return clock_now_us() / 1000;
}

int64_t clock_unix_ms(void)
{
    return read_us(CLOCK_REALTIME) / 1000;
}

void clock_iso8601(int64_t unix_ms, char out[21])
{
    time_t t = (time_t)(unix_ms / 1000);
    struct tm tm;

    gmtime_r(&t, &tm);
    if (strftime(out, 21, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        strcpy(out, "?");
}
