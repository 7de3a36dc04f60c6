#include "worker/seq.h"

#include <assert.h>

void seq_score(struct seq *s, const int32_t *token, int32_t n,
               int32_t n_unscored)
{
    assert(n_unscored >= 1);
    *s = (struct seq){
        .token = token,
        .n_token = n,
        .n_feed = n > n_unscored ? n - 1 : 0,
        .score_at = n_unscored - 1,
        .greedy = true,
        .finite = true,
    };
}

void seq_echo(struct seq *s, const int32_t *token, int32_t n,
              int32_t n_unscored)
{
    seq_score(s, token, n, n_unscored);
    s->n_feed = n;
}

void seq_read(struct seq *s, const int32_t *token, int32_t n)
{
    *s = (struct seq){
        .token = token,
        .n_token = n,
        .n_feed = n,
        .score_at = n,
        .greedy = true,
        .finite = true,
    };
}

int32_t seq_left(const struct seq *s)
{
    return s->n_feed - s->fed;
}

int32_t seq_feed(struct seq *s, int32_t take, int32_t row,
                 struct score_row *out)
{
    int32_t n = 0;

    assert(take <= seq_left(s));
    for (int32_t i = s->fed; i < s->fed + take; i++) {
        if (i < s->score_at || i + 1 >= s->n_token)
            continue;
        out[n++] = (struct score_row){.row = row + i - s->fed,
                                      .target = s->token[i + 1]};
    }
    s->fed += take;
    return n;
}

void seq_scored(struct seq *s, const struct score_out *out, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        s->logprob += (double)out[i].logprob;
        s->greedy = s->greedy && out[i].argmax;
        s->finite = s->finite && out[i].finite;
    }
}
