/* common/clock.h - the only place that asks for the time
 *
 * Everything else takes times as arguments. Deadlines and durations use the
 * boot clock (it counts suspend and never jumps); Unix time is for people.
 */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stdint.h>

int64_t clock_now_ms(void);  /* CLOCK_BOOTTIME, milliseconds */
int64_t clock_now_us(void);  /* CLOCK_BOOTTIME, microseconds */
int64_t clock_unix_ms(void); /* CLOCK_REALTIME, milliseconds */

/* "2026-11-24T01:02:03Z" of Unix milliseconds into out[21]. */
void clock_iso8601(int64_t unix_ms, char out[21]);

#endif /* COMMON_CLOCK_H */
