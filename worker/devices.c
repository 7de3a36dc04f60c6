#include "worker/devices.h"

#include <dirent.h>
#include <sched.h>
#include <stdio.h>
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

static void say_gpus(void)
{
    struct cuda_device gpu[1] = {0};
    struct err err = {0};
    int n = cuda_devices(gpu, 1, &err);

    if (n > 0)
        log_info("devices: %d GPU%s found (%s); this version has no CUDA"
                 " engine yet: using cpu",
                 n, n > 1 ? "s" : "", gpu[0].name);
    else if (n < 0)
        log_info("devices: the GPU driver fails (%s): using cpu", err.text);
}

static int add(struct devices *d, const char *engine, struct err *err)
{
    if (d->n == DEVICES_MAX)
        return err_set(err, ERR_CONFIG, "devices: more than %d", DEVICES_MAX);
    d->engine[d->n++] = engine;
    return 0;
}

static int add_auto(const struct config *c, struct devices *d, struct err *err)
{
    const struct config_model *m = c->models.item;
    size_t n = auto_ranks(m->path != NULL ? m->path : "");

    say_gpus();
    while (n-- > 0) {
        if (add(d, "cpu", err) < 0)
            return -1;
    }
    return 0;
}

static int add_named(const struct config *c, const char *name,
                     struct devices *d, struct err *err)
{
    if (strcmp(name, "auto") == 0)
        return add_auto(c, d, err);
    if (strcmp(name, "cpu") == 0)
        return add(d, "cpu", err);
    if (strcmp(name, "null") == 0)
        return add(d, "null", err);
    if (strncmp(name, "cuda", 4) == 0)
        return err_set(err, ERR_CONFIG,
                       "devices: %s: this version has no CUDA engine yet; use"
                       " cpu",
                       name);
    return err_set(err, ERR_CONFIG,
                   "devices: \"%s\"; cpu, null or auto expected", name);
}

int devices_resolve(const struct config *c, struct devices *out,
                    struct err *err)
{
    const struct config_model *m = c->models.item;
    bool null;

    *out = (struct devices){0};
    for (size_t i = 0; i < c->devices.n; i++) {
        if (add_named(c, c->devices.item[i], out, err) < 0)
            return -1;
    }
    null = strcmp(out->engine[0], "null") == 0;
    for (size_t i = 1; i < out->n; i++) {
        if (strcmp(out->engine[i], out->engine[0]) != 0)
            return err_set(err, ERR_CONFIG,
                           "devices: %s and %s cannot be mixed: they compute"
                           " different bits",
                           out->engine[0], out->engine[i]);
    }
    if (!null && (m->path == NULL || m->path[0] == '\0'))
        return err_set(err, ERR_CONFIG, "model %s: no path", m->name);
    out->tokens_per_step = c->tokens_per_step != 0 ? (int32_t)c->tokens_per_step
                                                   : (null ? 8192 : 1024);
    out->slots = c->slots != 0 ? (int32_t)c->slots : (null ? 128 : 64);
    /* A step of a large model takes a cpu minutes. */
    out->stall_ms = 1000 * (c->stall_s != 0 ? c->stall_s : (null ? 30 : 300));
    return 0;
}
