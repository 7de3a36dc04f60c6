/* tests/daemon/core_fixture.h - one world, two workers, and short questions */
#ifndef TESTS_DAEMON_CORE_FIXTURE_H
#define TESTS_DAEMON_CORE_FIXTURE_H

#include <check.h>
#include <string.h>

#include "proto/limits.h"
#include "tests/daemon/world.h"

extern struct world w;
extern const struct world_worker anna; /* peer 1 */
extern const struct world_worker bert; /* peer 2 */

void setup(void);
void teardown(void);

/* Take the oldest message to `peer` of this type. */
bool took(uint64_t peer, enum wire_type type);

/* The code of the oldest ERROR to `peer`, taken; ERR_NONE if there is none. */
uint32_t error_code(uint64_t peer);

/* What JOBS_QUERY says of one job; freed by the caller. */
struct wire_msg job_info(uint64_t job);
Skein__JobState job_state(uint64_t job);

/* A job of one shard, granted to `who`. */
struct token grant_one(const struct world_worker *who);

/* Run the suite; the exit status. */
int run_suite(Suite *s);

#endif /* TESTS_DAEMON_CORE_FIXTURE_H */
