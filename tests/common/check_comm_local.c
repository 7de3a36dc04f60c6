#include "common/comm.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "tests/common/run.h"

#define RANKS 4
#define ROUNDS 60
#define LEN_MAX 1500000 /* several times the region */
#define TIMEOUT_MS 20000

static void *shared_new(int size)
{
    void *p = mmap(NULL, comm_local_bytes(size), PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(p, MAP_FAILED);
    comm_local_format(p, size);
    return p;
}

static void shared_free(void *p, int size)
{
    munmap(p, comm_local_bytes(size));
}

/* The same sequence on every rank. */
static uint32_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

static size_t random_len(uint64_t *state)
{
    switch (next_random(state) % 4) {
    case 0:
        return 0;
    case 1:
        return next_random(state) % 100;
    case 2:
        return next_random(state) % 3 * 65536; /* whole chunks */
    default:
        return next_random(state) % LEN_MAX;
    }
}

static void fill(unsigned char *data, size_t len, unsigned seed)
{
    for (size_t i = 0; i < len; i++)
        data[i] = (unsigned char)((i * 31 + seed * 7919) >> 3 ^ seed);
}

static bool is_filled(const unsigned char *data, size_t len, unsigned seed)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] != (unsigned char)((i * 31 + seed * 7919) >> 3 ^ seed))
            return false;
    }
    return true;
}

/* As the ranks do it: begun, and looked after between other things. */
static bool gather_on_the_side(struct comm *c, const void *mine,
                               const size_t *sizes, void *all, int root,
                               struct err *err)
{
    int rc = comm_gather_begin(c, mine, sizes, all, root, TIMEOUT_MS, err);

    while (rc == 0) {
        rc = comm_poll(c, 0, err);
        sched_yield();
    }
    return rc < 0;
}

/* One rank of the mixed workload. NULL, or what went wrong. */
static const char *work(void *shared, int rank, uint64_t seed)
{
    unsigned char *mine = xcalloc(1, LEN_MAX);
    unsigned char *all = xcalloc(RANKS, LEN_MAX);
    static _Thread_local struct err err;
    struct comm *c = comm_local_join(shared, rank, RANKS, &err);
    const char *wrong = c == NULL ? err.text : NULL;

    for (unsigned round = 0; wrong == NULL && round < ROUNDS; round++) {
        int root = (int)(next_random(&seed) % RANKS);
        size_t sizes[RANKS], at = 0;

        if (next_random(&seed) % 2 == 0) {
            size_t len = random_len(&seed);

            if (rank == root)
                fill(mine, len, round);
            if (comm_broadcast(c, mine, len, root, TIMEOUT_MS, &err) < 0)
                wrong = err.text;
            else if (!is_filled(mine, len, round))
                wrong = "broadcast gave other bytes";
            continue;
        }
        for (int i = 0; i < RANKS; i++)
            sizes[i] = random_len(&seed);
        fill(mine, sizes[rank], round * RANKS + (unsigned)rank);
        if (round % 3 == 0
                ? gather_on_the_side(c, mine, sizes, all, root, &err)
                : comm_gather(c, mine, sizes, all, root, TIMEOUT_MS, &err) < 0)
            wrong = err.text;
        for (int i = 0; rank == root && i < RANKS && wrong == NULL; i++) {
            if (!is_filled(all + at, sizes[i], round * RANKS + (unsigned)i))
                wrong = "gather gave other bytes";
            at += sizes[i];
        }
    }
    comm_destroy(c);
    free(mine);
    free(all);
    return wrong;
}

START_TEST(four_processes_broadcast_and_gather)
{
    void *shared = shared_new(RANKS);
    pid_t pid[RANKS];

    for (int i = 0; i < RANKS; i++) {
        pid[i] = fork();
        if (pid[i] == 0) {
            const char *wrong = work(shared, i, 20261124);

            if (wrong != NULL)
                fprintf(stderr, "rank %d: %s\n", i, wrong);
            _exit(wrong != NULL);
        }
    }
    for (int i = 0; i < RANKS; i++) {
        int status;

        ck_assert_int_eq(waitpid(pid[i], &status, 0), pid[i]);
        ck_assert_int_eq(status, 0);
    }
    shared_free(shared, RANKS);
}
END_TEST

struct thread {
    pthread_t id;
    void *shared;
    int rank;
};

static void *thread_main(void *arg)
{
    struct thread *t = arg;

    return (void *)(uintptr_t)work(t->shared, t->rank, 7);
}

/* The same with threads: what the thread sanitizer can watch. */
START_TEST(four_threads_broadcast_and_gather)
{
    struct thread t[RANKS];
    void *shared = shared_new(RANKS), *wrong;

    for (int i = 0; i < RANKS; i++) {
        t[i] = (struct thread){.shared = shared, .rank = i};
        ck_assert_int_eq(pthread_create(&t[i].id, NULL, thread_main, &t[i]), 0);
    }
    for (int i = 0; i < RANKS; i++) {
        pthread_join(t[i].id, &wrong);
        ck_assert_ptr_null(wrong);
    }
    shared_free(shared, RANKS);
}
END_TEST

START_TEST(alone_nothing_travels)
{
    void *shared = shared_new(1);
    struct comm *c = comm_local_join(shared, 0, 1, NULL);
    size_t sizes[1] = {3};
    char data[] = "abc", out[4] = "";

    ck_assert_ptr_nonnull(c);
    ck_assert_int_eq(comm_broadcast(c, data, 3, 0, 0, NULL), 0);
    ck_assert_int_eq(comm_gather(c, data, sizes, out, 0, 0, NULL), 0);
    ck_assert_str_eq(out, "abc");
    sizes[0] = 0;
    ck_assert_int_eq(comm_gather(c, NULL, sizes, NULL, 0, 0, NULL), 0);
    comm_destroy(c);
    comm_destroy(NULL);
    shared_free(shared, 1);
}
END_TEST

/* A child that takes part in nothing, or in one call, and is killed. */
static pid_t doomed_rank(void *shared, int rank, int size, bool takes_part)
{
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        struct comm *c = comm_local_join(shared, rank, size, NULL);
        static char large[LEN_MAX];

        /* More than the region holds: it dies in the middle of the call. */
        if (takes_part)
            comm_broadcast(c, large, sizeof large, rank, TIMEOUT_MS, NULL);
        for (;;)
            pause();
    }
    return pid;
}

static void kill_and_reap(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* A gather that was begun costs its rank no time while the peer is away, and
 * ends with its deadline.
 */
START_TEST(begun_and_looked_after)
{
    void *shared = shared_new(2);
    struct comm *a = comm_local_join(shared, 0, 2, NULL);
    struct comm *b = comm_local_join(shared, 1, 2, NULL);
    size_t sizes[2] = {2, 3};
    char out[6] = "";
    struct err err;

    ck_assert_int_eq(comm_gather_begin(a, "ab", sizes, out, 0, 20000, &err), 0);
    ck_assert_int_eq(comm_poll(a, 0, &err), 0);
    ck_assert_int_eq(comm_poll(a, 1, &err), 0);
    ck_assert_int_eq(comm_gather_begin(b, "cde", sizes, NULL, 0, 20000, &err),
                     0);
    ck_assert_int_eq(comm_poll(b, 0, &err), 1);
    ck_assert_int_eq(comm_poll(a, 20000, &err), 1);
    ck_assert_str_eq(out, "abcde");
    ck_assert_int_eq(comm_gather_begin(a, "ab", sizes, out, 0, 30, &err), 0);
    ck_assert_int_eq(comm_poll(a, 20000, &err), -1);
    ck_assert_int_eq(err.code, ERR_TIMEOUT);
    ck_assert_int_eq(comm_gather_begin(a, "ab", sizes, out, 0, 30, &err), -1);
    ck_assert_str_eq(err.text, "comm gather: the communicator is broken");
    comm_destroy(a);
    comm_destroy(b);
    shared_free(shared, 2);
}
END_TEST

START_TEST(a_peer_that_never_comes_is_a_timeout)
{
    void *shared = shared_new(2);
    struct comm *c = comm_local_join(shared, 0, 2, NULL);
    static char large[LEN_MAX];
    size_t sizes[2] = {5, 5};
    char out[10];
    struct err err;
    int64_t start = clock_now_ms(), took;

    ck_assert_int_eq(comm_gather(c, "hello", sizes, out, 0, 150, &err), -1);
    took = clock_now_ms() - start;
    ck_assert_int_eq(err.code, ERR_TIMEOUT);
    ck_assert_str_eq(err.text, "comm gather: rank 1 did nothing within 150 ms");
    ck_assert_int_ge(took, 150);
    ck_assert_int_lt(took, 5000);
    /* From now on it is broken, and says so at once. */
    start = clock_now_ms();
    ck_assert_int_eq(comm_broadcast(c, large, 1, 0, TIMEOUT_MS, &err), -1);
    ck_assert_int_eq(err.code, ERR_TIMEOUT);
    ck_assert_int_lt(clock_now_ms() - start, 5000);
    comm_destroy(c);
    shared_free(shared, 2);
}
END_TEST

START_TEST(a_reader_that_was_killed_is_a_timeout)
{
    void *shared = shared_new(2);
    struct comm *c = comm_local_join(shared, 0, 2, NULL);
    pid_t pid = doomed_rank(shared, 1, 2, false);
    static char large[LEN_MAX];
    struct err err;

    kill_and_reap(pid);
    ck_assert_int_eq(comm_broadcast(c, large, sizeof large, 0, 200, &err), -1);
    ck_assert_int_eq(err.code, ERR_TIMEOUT);
    ck_assert_str_eq(err.text,
                     "comm broadcast: rank 1 did nothing within 200 ms");
    comm_destroy(c);
    shared_free(shared, 2);
}
END_TEST

START_TEST(a_writer_killed_in_the_middle_is_a_timeout)
{
    void *shared = shared_new(2);
    struct comm *c = comm_local_join(shared, 0, 2, NULL);
    pid_t pid = doomed_rank(shared, 1, 2, true);
    static char large[LEN_MAX];
    struct err err;

    /* Let it fill the region, where it waits for us. */
    usleep(100000);
    kill_and_reap(pid);
    ck_assert_int_eq(comm_broadcast(c, large, sizeof large, 1, 200, &err), -1);
    ck_assert_int_eq(err.code, ERR_TIMEOUT);
    comm_destroy(c);
    shared_free(shared, 2);
}
END_TEST

static void *wait_long(void *arg)
{
    struct comm *c = arg;
    static struct err err;
    char data[4];

    comm_broadcast(c, data, sizeof data, 2, TIMEOUT_MS, &err);
    return &err;
}

START_TEST(who_gives_up_tells_the_others)
{
    void *shared = shared_new(3), *got;
    struct comm *a = comm_local_join(shared, 0, 3, NULL);
    struct comm *b = comm_local_join(shared, 1, 3, NULL);
    const struct err *other;
    pthread_t thread;
    int64_t start = clock_now_ms();
    char data[4];
    struct err err;

    ck_assert_int_eq(pthread_create(&thread, NULL, wait_long, b), 0);
    ck_assert_int_eq(comm_broadcast(a, data, sizeof data, 2, 100, &err), -1);
    pthread_join(thread, &got);
    other = got;
    ck_assert_int_eq(other->code, ERR_TIMEOUT);
    ck_assert_ptr_nonnull(strstr(other->text, "comm broadcast: "));
    ck_assert_int_lt(clock_now_ms() - start, TIMEOUT_MS / 2);
    comm_destroy(a);
    comm_destroy(b);
    shared_free(shared, 3);
}
END_TEST

START_TEST(ranks_that_disagree_about_a_call_are_told)
{
    void *shared = shared_new(2);
    struct comm *a = comm_local_join(shared, 0, 2, NULL);
    struct comm *b = comm_local_join(shared, 1, 2, NULL);
    char data[8] = "";
    struct err err;

    ck_assert_int_eq(comm_broadcast(a, data, 8, 0, 1000, &err), 0);
    ck_assert_int_eq(comm_broadcast(b, data, 7, 0, 1000, &err), -1);
    ck_assert_int_eq(err.code, ERR_INTERNAL);
    ck_assert_str_eq(err.text,
                     "comm broadcast: rank 0 sent 8 bytes, expected 7");
    comm_destroy(a);
    comm_destroy(b);
    shared_free(shared, 2);
}
END_TEST

START_TEST(memory_formatted_for_others_is_refused)
{
    void *shared = shared_new(2);
    struct err err;

    ck_assert_ptr_null(comm_local_join(shared, 0, 3, &err));
    ck_assert_int_eq(err.code, ERR_INTERNAL);
    memset(shared, 0, comm_local_bytes(2));
    ck_assert_ptr_null(comm_local_join(shared, 0, 2, &err));
    shared_free(shared, 2);
}
END_TEST

int main(void)
{
    return RUN_TESTS("comm_local", four_processes_broadcast_and_gather,
                     four_threads_broadcast_and_gather, alone_nothing_travels,
                     begun_and_looked_after,
                     a_peer_that_never_comes_is_a_timeout,
                     a_reader_that_was_killed_is_a_timeout,
                     a_writer_killed_in_the_middle_is_a_timeout,
                     who_gives_up_tells_the_others,
                     ranks_that_disagree_about_a_call_are_told,
                     memory_formatted_for_others_is_refused);
}
