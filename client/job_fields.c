#include "client/job_fields.h"

#include <inttypes.h>

#include "client/json_out.h"
#include "common/hash.h"

double job_share(const Skein__JobInfo *job)
{
    uint64_t total = job->records + job->rejected;
    uint64_t ended = job->answered + job->rejected;
    double share;

    if (ended >= total)
        return 1;
    if (job->cost > 0)
        share = (double)job->cost_done / (double)job->cost;
    else
        share = (double)ended / (double)total;
    return share > 0.999 ? 0.999 : share;
}

const char *job_state_paint(Skein__JobState state)
{
    static const char *const paint[] = {
        [SKEIN__JOB_STATE__JOB_QUEUED] = "2",
        [SKEIN__JOB_STATE__JOB_RUNNING] = "36",
        [SKEIN__JOB_STATE__JOB_DONE] = "32",
        [SKEIN__JOB_STATE__JOB_FAILED] = "31",
        [SKEIN__JOB_STATE__JOB_CANCELLED] = "33",
        [SKEIN__JOB_STATE__JOB_HELD] = "2",
        [SKEIN__JOB_STATE__JOB_CORRUPT] = "31;1",
    };

    return (size_t)state < sizeof paint / sizeof *paint ? paint[state] : NULL;
}

static void state_text(const void *item, struct buf *out)
{
    buf_adds(out, job_state_name(((const Skein__JobInfo *)item)->state));
}

static const char *state_paint(const void *item)
{
    return job_state_paint(((const Skein__JobInfo *)item)->state);
}

static void done_text(const void *item, struct buf *out)
{
    buf_addf(out, "%.1f%%", 100 * job_share(item));
}

static void failed_text(const void *item, struct buf *out)
{
    const Skein__JobInfo *job = item;

    buf_addf(out, "%" PRIu64, job->failed + job->rejected);
}

static void fingerprint_text(const void *item, struct buf *out)
{
    const Skein__JobInfo *job = item;
    char hex[2 * HASH_BYTES + 1];

    if (job->fingerprint.len == 0 || job->fingerprint.len > HASH_BYTES)
        return;
    hash_hex(job->fingerprint.data, job->fingerprint.len, hex);
    buf_adds(out, hex);
}

static void bos_text(const void *item, struct buf *out)
{
    buf_adds(out, bos_name(((const Skein__JobSpec *)item)->bos));
}

static const void *spec_of(const void *item)
{
    return ((const Skein__JobInfo *)item)->spec;
}

#define NUMBER(name, title, type, key)                                  \
    {                                                                   \
        name, title, type, offsetof(Skein__JobInfo, key), .right = true \
    }
#define PLAIN(name, title, type, key)                                    \
    {                                                                    \
        name, title, type, offsetof(Skein__JobInfo, key), .right = false \
    }
#define SPEC(name, title, type, key, side)                                 \
    {                                                                      \
        name, title, type, offsetof(Skein__JobSpec, key), .part = spec_of, \
                                                          .right = side    \
    }

const struct field job_fields[] = {
    NUMBER("id", "ID", FIELD_U64, job),
    {"state", "STATE", .text = state_text, .values = job_state_names,
     .paint = state_paint},
    {"done", "DONE", .text = done_text, .right = true},
    NUMBER("lines", "LINES", FIELD_U64, lines),
    NUMBER("records", "RECORDS", FIELD_U64, records),
    NUMBER("rejected", "REJECTED", FIELD_U64, rejected),
    NUMBER("answered", "ANSWERED", FIELD_U64, answered),
    {"failed", "FAILED", .text = failed_text, .right = true},
    SPEC("model", "MODEL", FIELD_STRING, model, false),
    SPEC("name", "NAME", FIELD_STRING, name, false),
    SPEC("user", "USER", FIELD_STRING, user, false),
    SPEC("priority", "PRIORITY", FIELD_I32, priority, true),
    {"bos", "BOS", .part = spec_of, .text = bos_text},
    SPEC("seed", "SEED", FIELD_U64, seed, true),
    NUMBER("tokens_in", "TOKENS-IN", FIELD_U64, tokens_in),
    NUMBER("tokens_out", "TOKENS-OUT", FIELD_U64, tokens_out),
    NUMBER("shards", "SHARDS", FIELD_U32, shards),
    NUMBER("workers", "WORKERS", FIELD_U32, workers),
    PLAIN("submitted", "SUBMITTED", FIELD_TIME, submitted_unix_ms),
    PLAIN("started", "STARTED", FIELD_TIME, started_unix_ms),
    PLAIN("finished", "FINISHED", FIELD_TIME, finished_unix_ms),
    {"fingerprint", "FINGERPRINT", .text = fingerprint_text},
    PLAIN("message", "MESSAGE", FIELD_STRING, message),
    {.name = NULL},
};
