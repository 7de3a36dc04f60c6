#include "worker/devices.h"

#include <dirent.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "cuda/devices.h"
#include "proto/limits.h"

#define AUTO_RANKS_MAX 16
/* Resident bytes of a cpu rank per byte of checkpoint, at most: 16-bit weights
 * become fp32 once for the products and once more while loading.
 */
#define MEMORY_PER_BYTE 4

_Static_assert(sizeof((struct devices *)0)->engine / sizeof(char *)
                   == DEVICES_MAX,
               "as many ranks as the protocol can describe");

static uint64_t tree_bytes(const char *path)
{
    struct stat st;
    uint64_t sum = 0;
    struct dirent *e;
    DIR *dir;

    if (stat(path, &st) < 0)
        return 0;
    if (!S_ISDIR(st.st_mode))
        return (uint64_t)st.st_size;
    dir = opendir(path);
    while (dir != NULL && (e = readdir(dir)) != NULL) {
        if (fstatat(dirfd(dir), e->d_name, &st, 0) == 0 && S_ISREG(st.st_mode))
            sum += (uint64_t)st.st_size;
    }
    if (dir != NULL)
        closedir(dir);
    return sum;
}

static uint64_t available_bytes(void)
{
    unsigned long long kib = 0;
    char line[128];
    FILE *f = fopen("/proc/meminfo", "re");

    if (f == NULL)
        return 0;
    while (fgets(line, sizeof line, f) != NULL
           && sscanf(line, "MemAvailable: %llu kB", &kib) != 1)
        ;
    fclose(f);
    return (uint64_t)kib << 10;
}

/* One cpu rank per core that this process may use and that memory allows. */
static size_t auto_ranks(const char *model)
{
    uint64_t each = MEMORY_PER_BYTE * tree_bytes(model);
    uint64_t memory = available_bytes();
    cpu_set_t set;
    size_t n = 1;

    if (sched_getaffinity(0, sizeof set, &set) == 0)
        n = (size_t)CPU_COUNT(&set);
    if (n > AUTO_RANKS_MAX)
        n = AUTO_RANKS_MAX;
    if (each > 0 && memory > 0 && n > memory / each)
        n = (size_t)(memory / each);
    return n > 0 ? n : 1;
}

static int add(struct devices *d, const char *engine,
               const struct cuda_device *gpu, struct err *err)
{
    if (d->n == DEVICES_MAX)
        return err_set(err, ERR_CONFIG, "devices: more than %d", DEVICES_MAX);
    d->gpu[d->n] = gpu != NULL ? *gpu : (struct cuda_device){0};
    d->engine[d->n++] = engine;
    return 0;
}

static int add_cpus(const struct config *c, struct devices *d, struct err *err)
{
    const struct config_model *m = c->models.item;
    size_t n = auto_ranks(m->path != NULL ? m->path : "");

    while (n-- > 0) {
        if (add(d, "cpu", NULL, err) < 0)
            return -1;
    }
    return 0;
}

/* Every GPU, or every core where there is none that this engine can use. */
static int add_auto(const struct config *c, struct devices *d, struct err *err)
{
    static const char *const name[] = {"cuda:0", "cuda:1", "cuda:2", "cuda:3",
                                       "cuda:4", "cuda:5", "cuda:6", "cuda:7"};
    const int most = (int)(sizeof name / sizeof *name);
    struct cuda_device gpu[sizeof name / sizeof *name] = {0};
    struct err why = {0};
    int n = cuda_devices(gpu, most, &why);

    if (n < 0)
        log_info("devices: the GPU driver fails (%s): using cpu", why.text);
    for (int i = 0; i < n && i < most; i++) {
        if (!cuda_usable(&gpu[i]))
            log_info("devices: %s (%s, sm_%d%d) is not used: kernels are built"
                     " for sm_90",
                     name[i], gpu[i].name, gpu[i].major, gpu[i].minor);
        else if (add(d, name[i], &gpu[i], err) < 0)
            return -1;
    }
    if (!cuda_built())
        log_info("devices: cpu: this program was built without CUDA");
    else if (n == 0)
        log_info("devices: cpu: there is no GPU here");
    return d->n > 0 ? 0 : add_cpus(c, d, err);
}

/* `name` is "cuda:K" with a K that exists. */
static int add_cuda(const char *name, struct devices *d, struct err *err)
{
    struct err why = {.text = "no driver or no GPU"};
    struct cuda_device gpu[64];
    char *end;
    long k = strtol(name + 5, &end, 10);
    int n;

    if (name[4] != ':' || end == name + 5 || *end != '\0' || k < 0 || k >= 64)
        return err_set(err, ERR_CONFIG,
                       "devices: \"%s\"; cuda:0, cuda:1, ... expected", name);
    if (!cuda_built())
        return err_set(err, ERR_CONFIG,
                       "devices: %s: this program was built without CUDA"
                       " (cmake -DSKEIN_CUDA=on); use cpu",
                       name);
    n = cuda_devices(gpu, 64, &why);
    if (n <= 0)
        return err_set(err, ERR_CONFIG, "devices: %s: %s; use cpu", name,
                       why.text);
    if (k >= n)
        return err_set(err, ERR_CONFIG, "devices: %s: this host has %d GPU%s",
                       name, n, n > 1 ? "s" : "");
    if (!cuda_usable(&gpu[k]))
        return err_set(err, ERR_CONFIG,
                       "devices: %s is a %s (sm_%d%d); kernels are built for"
                       " sm_90",
                       name, gpu[k].name, gpu[k].major, gpu[k].minor);
    return add(d, name, &gpu[k], err);
}

static int add_named(const struct config *c, const char *name,
                     struct devices *d, struct err *err)
{
    if (strcmp(name, "auto") == 0)
        return add_auto(c, d, err);
    if (strcmp(name, "cpu") == 0)
        return add(d, "cpu", NULL, err);
    if (strcmp(name, "null") == 0)
        return add(d, "null", NULL, err);
    if (strncmp(name, "cuda", 4) == 0)
        return add_cuda(name, d, err);
    return err_set(err, ERR_CONFIG,
                   "devices: \"%s\"; cuda:K, cpu, null or auto expected", name);
}

/* "cuda:0" and "cuda:1" compute the same bits; different engines do not. */
static bool same_engine(const char *a, const char *b)
{
    size_t n = strcspn(a, ":");

    return n == strcspn(b, ":") && strncmp(a, b, n) == 0;
}

static void choose_sizes(const struct config *c, struct devices *out)
{
    const bool null = same_engine(out->engine[0], "null");
    const bool cuda = same_engine(out->engine[0], "cuda");
    int32_t tokens = null ? 8192 : cuda ? 4096 : 1024;
    int32_t slots = null ? 128 : cuda ? 256 : 64;

    if (c->tokens_per_step != 0)
        tokens = (int32_t)c->tokens_per_step;
    if (c->slots != 0)
        slots = (int32_t)c->slots;
    out->tokens_per_step = tokens;
    out->slots = slots;
    /* A step of a large model takes a cpu minutes. */
    out->stall_ms =
        1000 * (c->stall_s != 0 ? c->stall_s : (null || cuda ? 30 : 300));
}

/* NCCL joins GPUs, each with one rank. */
static int choose_comm(const struct config *c, struct devices *out,
                       struct err *err)
{
    bool must = strcmp(c->comm, "nccl") == 0;

    out->comm = must ? RANKS_NCCL : RANKS_NCCL_IF_FOUND;
    if (!same_engine(out->engine[0], "cuda")) {
        out->comm = RANKS_LOCAL;
        return !must ? 0
                     : err_set(err, ERR_CONFIG,
                               "comm: nccl joins GPUs, not %s; use local",
                               out->engine[0]);
    }
    for (size_t i = 0; i < out->n; i++)
        for (size_t k = 0; k < i; k++) {
            if (strcmp(out->engine[i], out->engine[k]) != 0)
                continue;
            out->comm = RANKS_LOCAL;
            return !must ? 0
                         : err_set(err, ERR_CONFIG,
                                   "comm: nccl cannot join two ranks on %s;"
                                   " use local",
                                   out->engine[i]);
        }
    if (strcmp(c->comm, "local") == 0)
        out->comm = RANKS_LOCAL;
    return 0;
}

int devices_resolve(const struct config *c, struct devices *out,
                    struct err *err)
{
    const struct config_model *m = c->models.item;

    *out = (struct devices){0};
    for (size_t i = 0; i < c->devices.n; i++) {
        if (add_named(c, c->devices.item[i], out, err) < 0)
            return -1;
    }
    for (size_t i = 1; i < out->n; i++) {
        if (!same_engine(out->engine[i], out->engine[0]))
            return err_set(err, ERR_CONFIG,
                           "devices: %s and %s cannot be mixed: they compute"
                           " different bits",
                           out->engine[0], out->engine[i]);
    }
    if (!same_engine(out->engine[0], "null")
        && (m->path == NULL || m->path[0] == '\0'))
        return err_set(err, ERR_CONFIG, "model %s: no path", m->name);
    choose_sizes(c, out);
    return choose_comm(c, out, err);
}
