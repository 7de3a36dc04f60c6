#include "worker/config.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/log.h"
#include "proto/limits.h"
#include "proto/sock.h"
#include "text/utf8.h"
#include "worker/rank.h"
#include "worker/usage.h"

#define THREADS_MAX 64
#define NAME_BYTES_MAX 256 /* of a worker, on the wire */

static const struct conf_key model_keys[] = {
    {.name = "name",
     .type = CONF_STRING,
     .offset = offsetof(struct config_model, name),
     .required = true},
    {.name = "path",
     .type = CONF_STRING,
     .offset = offsetof(struct config_model, path)},
    {.name = "tokenizer",
     .type = CONF_STRING,
     .offset = offsetof(struct config_model, tokenizer)},
    {0},
};

#define STRING(key)                             \
    {                                           \
        .name = #key, .type = CONF_STRING,      \
        .offset = offsetof(struct config, key), \
    }
#define INT(key, least, most)                                                  \
    {                                                                          \
        .name = #key, .type = CONF_INT,                                        \
        .offset = offsetof(struct config, key), .min = (least), .max = (most), \
    }

static const struct conf_key keys[] = {
    STRING(connect),
    STRING(name),
    {.name = "models",
     .type = CONF_MAP_LIST,
     .offset = offsetof(struct config, models),
     .sub = model_keys,
     .sub_size = sizeof(struct config_model)},
    {.name = "devices",
     .type = CONF_STRING_LIST,
     .offset = offsetof(struct config, devices)},
    STRING(backend_options),
    STRING(comm),
    INT(tokens_per_step, 0, USAGE_TOKENS_PER_STEP_MAX),
    INT(slots, 0, RANK_SLOTS_MAX),
    INT(encode_threads, 1, THREADS_MAX),
    INT(gather_ms, 1, 10000),
    INT(stall_s, 0, 86400),
    INT(start_s, 1, 86400),
    INT(drain_s, 0, 86400),
    STRING(log_level),
    {0},
};

static void set(char **to, const char *value)
{
    if (value == NULL)
        return;
    free(*to);
    *to = xstrdup(value);
}

static void fill_defaults(struct config *c)
{
    *c = (struct config){
        .connect = xstrdup("ipc:///run/skein/skeind.sock"),
        .encode_threads = 2,
        .gather_ms = 100,
        .start_s = 900,
        .drain_s = 30,
        .comm = xstrdup("auto"),
        .log_level = xstrdup("info"),
    };
}

/* The one model that the command line is about. */
static struct config_model *the_model(struct config *c)
{
    if (c->models.n == 0) {
        c->models.item = xcalloc(1, sizeof(struct config_model));
        c->models.n = 1;
    }
    return c->models.item;
}

static int set_model(struct config *c, const char *arg, struct err *err)
{
    const char *equals = strchr(arg, '=');
    struct config_model *m;

    if (equals == NULL || equals == arg || equals[1] == '\0')
        return err_set(err, ERR_USAGE, "--model is \"%s\"; NAME=PATH expected",
                       arg);
    if (c->models.n > 1)
        return err_set(err, ERR_USAGE,
                       "--model, but the configuration lists %zu models",
                       c->models.n);
    m = the_model(c);
    free(m->name);
    m->name = xstrndup(arg, (size_t)(equals - arg));
    set(&m->path, equals + 1);
    return 0;
}

static int set_devices(struct config *c, const char *arg, struct err *err)
{
    const char *at = arg, *end;

    for (size_t i = 0; i < c->devices.n; i++)
        free(c->devices.item[i]);
    c->devices.n = 0;
    do {
        end = strchrnul(at, ',');
        if (end == at)
            return err_set(err, ERR_USAGE,
                           "--devices is \"%s\"; names separated by commas"
                           " expected",
                           arg);
        c->devices.item = xrealloc(
            c->devices.item, (c->devices.n + 1) * sizeof *c->devices.item);
        c->devices.item[c->devices.n++] = xstrndup(at, (size_t)(end - at));
        at = end + 1;
    } while (*end != '\0');
    return 0;
}

/* What the command line says, over what the file says. */
static int take_options(struct config *c, const struct usage *u,
                        struct err *err)
{
    set(&c->connect, u->connect);
    set(&c->name, u->name);
    set(&c->backend_options, u->backend_options);
    set(&c->comm, u->comm);
    set(&c->log_level, u->log_level);
    if (u->tokens_per_step.given)
        c->tokens_per_step = u->tokens_per_step.value;
    if (u->slots.given)
        c->slots = u->slots.value;
    c->check = u->check_config;
    c->die_with_parent = u->die_with_parent;
    if (u->model != NULL && set_model(c, u->model, err) < 0)
        return -1;
    if (u->tokenizer != NULL)
        set(&the_model(c)->tokenizer, u->tokenizer);
    if (u->devices != NULL)
        return set_devices(c, u->devices, err);
    return c->devices.n > 0 ? 0 : set_devices(c, "auto", err);
}

/* Whatever is wrong with the file is a matter of configuration. */
static int load(const char *path, struct config *c, struct err *err)
{
    struct err cause = {0};

    if (conf_load(path, keys, c, &cause) == 0)
        return 0;
    return err_set(err, ERR_CONFIG, "%s", cause.text);
}

static int check(struct config *c, struct err *err)
{
    const struct config_model *m = c->models.item;

    if (c->models.n == 0 || m->name == NULL)
        return err_set(err, ERR_CONFIG,
                       "no model: give --model NAME=PATH, or `models` in the"
                       " configuration");
    if (c->models.n > 1)
        return err_set(err, ERR_CONFIG,
                       "%zu models: several models per worker come with"
                       " issue 7; start one worker for each",
                       c->models.n);
    if (strlen(m->name) > MODEL_NAME_BYTES_MAX)
        return err_set(err, ERR_CONFIG, "the model's name is over %d bytes",
                       MODEL_NAME_BYTES_MAX);
    if (c->name != NULL
        && (c->name[0] == '\0' || strlen(c->name) > NAME_BYTES_MAX
            || !utf8_valid(c->name, strlen(c->name))))
        return err_set(err, ERR_CONFIG,
                       "the worker's name must be 1..%d bytes of UTF-8",
                       NAME_BYTES_MAX);
    if (!utf8_valid(m->name, strlen(m->name)))
        return err_set(err, ERR_CONFIG, "the model's name is not UTF-8");
    if (c->slots == 1)
        return err_set(err, ERR_CONFIG, "slots is 1; at least %d expected",
                       RANK_SLOTS_MIN);
    /* Here, because loading a model can take minutes. */
    if (sock_check(c->connect, err) < 0)
        return -1;
    if (strcmp(c->comm, "auto") != 0 && strcmp(c->comm, "local") != 0
        && strcmp(c->comm, "nccl") != 0)
        return err_set(err, ERR_CONFIG,
                       "comm is \"%s\"; auto, local or nccl expected", c->comm);
    if (log_level_parse(c->log_level) < 0)
        return err_set(err, ERR_CONFIG,
                       "log_level is \"%s\"; error, warn, info or debug"
                       " expected",
                       c->log_level);
    return 0;
}

int config_read(int argc, char **argv, struct config *c,
                enum config_action *action, struct err *err)
{
    struct usage u = {.help = false};
    int first;

    fill_defaults(c);
    *action = CONFIG_DONE;
    if (options_parse(&usage_worker, argc, argv, &u, &first, err) < 0)
        return -1;
    if (u.help) {
        options_print_help(&usage_worker);
        return 0;
    }
    if (u.version) {
        puts("skein-worker " SKEIN_VERSION);
        return 0;
    }
    *action = CONFIG_RUN;
    if (u.config != NULL && load(u.config, c, err) < 0)
        return -1;
    if (take_options(c, &u, err) < 0)
        return -1;
    return check(c, err);
}

void config_free(struct config *c)
{
    conf_free(keys, c);
}
