#include "worker/packer.h"

#include <assert.h>

static int32_t min(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

enum kind {
    READING,
    DECODING,
    ANY,
};

static bool is_kind(const struct packer_place *place, enum kind kind)
{
    return kind == ANY || place->decoding == (kind == DECODING);
}

/* One round over the places of one kind, from *at on: up to `most` tokens each.
 * Where room ends, the next round begins. Returns the tokens given.
 */
static int32_t round_robin(int32_t *at, const struct packer_place *place,
                           int32_t n, enum kind kind, int32_t most,
                           int32_t room, int32_t *take)
{
    int32_t given = 0, start = *at;

    for (int32_t k = 0; k < n && given < room; k++) {
        int32_t i = (start + k) % n;
        int32_t more = min(place[i].left - take[i], most);

        if (!is_kind(&place[i], kind) || more <= 0)
            continue;
        more = min(more, room - given);
        take[i] += more;
        given += more;
        *at = (i + 1) % n;
    }
    return given;
}

int32_t packer_plan(struct packer *p, const struct packer_place *place,
                    int32_t n, int32_t rows, int32_t *take)
{
    int32_t reading = 0, used, share, at;

    assert(n >= 1);
    assert(rows >= 1);
    for (int32_t i = 0; i < n; i++) {
        take[i] = 0;
        reading += !place[i].decoding && place[i].left > 0;
    }
    if (rows == 1)
        return round_robin(&p->read_at, place, n, ANY, 1, 1, take);
    /* A row is kept for the readers: generations alone must not fill steps. */
    used = round_robin(&p->decode_at, place, n, DECODING, 1,
                       reading > 0 ? rows - 1 : rows, take);
    if (reading == 0)
        return used;
    share = (rows - used) / reading;
    if (share < PACKER_PIECE)
        share = PACKER_PIECE;
    used +=
        round_robin(&p->read_at, place, n, READING, share, rows - used, take);
    /* Short texts left room: whoever comes first has it. */
    at = p->read_at;
    used += round_robin(&at, place, n, READING, rows, rows - used, take);
    return used;
}
