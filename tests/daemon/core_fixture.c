#include "tests/daemon/core_fixture.h"

struct world w;
const struct world_worker anna = {
    .peer = 1, .incarnation = 1, .records = 1000, .fingerprint = 9};
const struct world_worker bert = {
    .peer = 2, .incarnation = 2, .records = 1000, .fingerprint = 9};

void setup(void)
{
    struct core_config config = world_config();

    world_init(&w, &config);
    world_tick(&w, 0);
}

void teardown(void)
{
    world_free(&w);
}

bool took(uint64_t peer, enum wire_type type)
{
    struct wire_msg m;

    if (!world_take(&w, peer, type, &m))
        return false;
    wire_free(&m);
    return true;
}

uint32_t error_code(uint64_t peer)
{
    struct wire_msg m;
    uint32_t code;

    if (!world_take(&w, peer, WIRE_ERROR, &m))
        return ERR_NONE;
    code = m.error->code;
    wire_free(&m);
    return code;
}

struct wire_msg job_info(uint64_t job)
{
    Skein__JobsQuery query = SKEIN__JOBS_QUERY__INIT;
    struct wire_msg m;

    query.job = &job;
    query.n_job = 1;
    world_message(&w, 50, WIRE_JOBS_QUERY, &query.base);
    ck_assert(world_take(&w, 50, WIRE_JOBS, &m));
    ck_assert_uint_eq(m.jobs->n_job, 1);
    return m;
}

Skein__JobState job_state(uint64_t job)
{
    struct wire_msg m = job_info(job);
    Skein__JobState state = m.jobs->job[0]->state;

    wire_free(&m);
    return state;
}

struct token grant_one(const struct world_worker *who)
{
    struct token t;

    world_job_n(&w, 1);
    world_hello(&w, who, NULL, 0);
    world_store(&w);
    t = world_granted(&w, who);
    ck_assert_uint_ne(t.job, 0);
    return t;
}

int run_suite(Suite *s)
{
    SRunner *runner = srunner_create(s);
    int failed;

    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
