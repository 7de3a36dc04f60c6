/* model/philox.h - Philox4x32-10, a random function of (key, counter)
 *
 * Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3",
 * SC 2011. No state: the same key and counter give the same four words, so a
 * draw is named, not taken from a stream.
 */
#ifndef MODEL_PHILOX_H
#define MODEL_PHILOX_H

#include <stdint.h>

void philox4x32(const uint32_t key[2], const uint32_t counter[4],
                uint32_t out[4]);

/* 64 random bits: words 0 (the upper half) and 1 of counter (sample, position,
 * draw, 0), with the key's low and high half as key (DESIGN 8.5).
 */
uint64_t philox_bits(uint64_t key, uint32_t sample, uint32_t position,
                     uint32_t draw);

#endif /* MODEL_PHILOX_H */
