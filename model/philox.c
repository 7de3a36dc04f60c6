#include "model/philox.h"

#include <string.h>

#define ROUNDS 10

static void mul(uint32_t a, uint32_t b, uint32_t *high, uint32_t *low)
{
    uint64_t p = (uint64_t)a * b;

    *high = (uint32_t)(p >> 32);
    *low = (uint32_t)p;
}

void philox4x32(const uint32_t key[2], const uint32_t counter[4],
                uint32_t out[4])
{
    uint32_t k0 = key[0], k1 = key[1];
    uint32_t c[4];

    memcpy(c, counter, sizeof c);
    for (int i = 0; i < ROUNDS; i++) {
        uint32_t high0, low0, high1, low1;

        mul(0xd2511f53, c[0], &high0, &low0);
        mul(0xcd9e8d57, c[2], &high1, &low1);
        c[0] = high1 ^ c[1] ^ k0;
        c[1] = low1;
        c[2] = high0 ^ c[3] ^ k1;
        c[3] = low0;
        k0 += 0x9e3779b9;
        k1 += 0xbb67ae85;
    }
    memcpy(out, c, sizeof c);
}

uint64_t philox_bits(uint64_t key, uint32_t sample, uint32_t position,
                     uint32_t draw)
{
    const uint32_t k[2] = {(uint32_t)key, (uint32_t)(key >> 32)};
    const uint32_t counter[4] = {sample, position, draw, 0};
    uint32_t word[4];

    philox4x32(k, counter, word);
    return (uint64_t)word[0] << 32 | word[1];
}
