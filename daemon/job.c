#include "daemon/job.h"

#include <stdlib.h>
#include <string.h>

bool job_state_final(Skein__JobState state)
{
    return state == SKEIN__JOB_STATE__JOB_DONE
           || state == SKEIN__JOB_STATE__JOB_FAILED
           || state == SKEIN__JOB_STATE__JOB_CANCELLED
           || state == SKEIN__JOB_STATE__JOB_CORRUPT;
}

uint32_t shard_records_left(const struct shard_image *s)
{
    if (s->state == SHARD_DONE)
        return 0;
    return s->n_errors > 0 ? s->n_errors : s->n_records;
}

uint64_t shard_cost_left(const struct shard_image *s)
{
    uint32_t left = shard_records_left(s);

    return left == s->n_records ? s->cost : s->cost * left / s->n_records;
}

void shard_end(struct shard_image *s)
{
    if (s->state == SHARD_DONE)
        return;
    s->state = s->n_errors > 0 ? SHARD_DONE : SHARD_CANCELLED;
    s->epoch = 0; /* the row has the token of an attempt without a result */
}

const char *job_state_name(Skein__JobState state)
{
    static const char *const name[] = {
        [SKEIN__JOB_STATE__JOB_QUEUED] = "queued",
        [SKEIN__JOB_STATE__JOB_RUNNING] = "running",
        [SKEIN__JOB_STATE__JOB_DONE] = "done",
        [SKEIN__JOB_STATE__JOB_FAILED] = "failed",
        [SKEIN__JOB_STATE__JOB_CANCELLED] = "cancelled",
        [SKEIN__JOB_STATE__JOB_HELD] = "held",
        [SKEIN__JOB_STATE__JOB_CORRUPT] = "corrupt",
    };

    return name[state];
}

void job_image_count(struct job_image *image)
{
    bool in_prefix = true;

    image->answered = image->failed = image->cost_done = 0;
    image->tokens_in = image->tokens_out = 0;
    image->shards_done = image->prefix = 0;
    for (uint32_t i = 0; i < image->n_shards; i++) {
        const struct shard_image *s = &image->shard[i];
        bool done = s->state == SHARD_DONE;

        in_prefix = in_prefix && done;
        image->answered += s->n_records - shard_records_left(s);
        image->failed += done ? s->n_errors : 0;
        image->tokens_in += s->tokens_in;
        image->tokens_out += s->tokens_out;
        image->cost_done += s->cost - shard_cost_left(s);
        image->shards_done += done;
        image->prefix += in_prefix;
    }
}

void job_image_clear(struct job_image *image)
{
    buf_free(&image->spec);
    free(image->shard);
    *image = (struct job_image){0};
}

void job_image_free(struct job_image *image)
{
    if (image == NULL)
        return;
    job_image_clear(image);
    free(image);
}

bool token_same(const struct token *a, const struct token *b)
{
    return a->epoch == b->epoch && a->job == b->job && a->shard == b->shard
           && a->attempt == b->attempt && a->nonce == b->nonce;
}

struct token token_of(const Skein__Token *t)
{
    if (t == NULL)
        return (struct token){0};
    return (struct token){
        .epoch = t->epoch,
        .job = t->job,
        .shard = t->shard,
        .attempt = t->attempt,
        .nonce = t->nonce,
    };
}

void token_fill(const struct token *t, Skein__Token *out)
{
    skein__token__init(out);
    out->epoch = t->epoch;
    out->job = t->job;
    out->shard = t->shard;
    out->attempt = t->attempt;
    out->nonce = t->nonce;
}
