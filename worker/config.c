#include "worker/config.h"

#include <errno.h>
#include <getopt.h>
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

#define TOKENS_PER_STEP_MAX 65536
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
    INT(tokens_per_step, 0, TOKENS_PER_STEP_MAX),
    INT(slots, 0, RANK_SLOTS_MAX),
    INT(encode_threads, 1, THREADS_MAX),
    INT(gather_ms, 1, 10000),
    INT(stall_s, 0, 86400),
    INT(start_s, 1, 86400),
    INT(drain_s, 0, 86400),
    STRING(log_level),
    {0},
};

static const char help[] =
    "skein-worker - compute leased shards of Skein jobs on this host's"
    " devices\n"
    "\n"
    "Usage: skein-worker [--config FILE] [OPTION]...\n"
    "\n"
    "Connects to a coordinator (skeind), loads one model, and scores or"
    " generates\n"
    "what it is given until told to stop. One process per device; a device"
    " that\n"
    "crashes or hangs is restarted and its work done again, with the same"
    " bits.\n"
    "\n"
    "  --config FILE           YAML; every key is in conf/skein-worker.yaml\n"
    "  --connect ENDPOINT      ipc:///path or tcp://host:port of the"
    " coordinator\n"
    "  --name NAME             of this worker in lists; default: host name\n"
    "  --model NAME=PATH       serve the checkpoint at PATH to jobs that ask"
    " for\n"
    "                          NAME: .safetensors, a directory, or .pth\n"
    "  --tokenizer FILE        of that model; default: beside the checkpoint\n"
    "  --devices LIST          comma-separated: cpu, one per rank; null; auto\n"
    "  --tokens-per-step N     rows of a step; affects speed only\n"
    "  --slots N               sequences at a time per rank; affects speed"
    " only\n"
    "  --backend-options STR   key=value,... of the engine\n"
    "  --comm KIND             between ranks: auto (default), nccl, local\n"
    "  --log-level LEVEL       error, warn, info (default) or debug\n"
    "  --check-config          say whether the configuration is good, and"
    " exit\n"
    "  --die-with-parent       end when the starting process ends\n"
    "  --version, --help\n"
    "\n"
    "The null device has no model: it answers at once with made-up numbers,"
    " for\n"
    "tests of everything around it. Without --tokenizer it reads text as"
    " bytes:\n"
    "byte b is token b + 1.\n"
    "\n"
    "Signals: SIGTERM finishes or gives back what is held, then exits 0; a"
    " second\n"
    "one exits at once.\n"
    "\n"
    "Example: two ranks on two cores, beside a coordinator on this host\n"
    "  skein-worker --connect tcp://127.0.0.1:7447 \\\n"
    "      --model demo=examples/model --devices cpu,cpu\n";

enum option_id {
    OPT_CONFIG = 256,
    OPT_CONNECT,
    OPT_NAME,
    OPT_MODEL,
    OPT_TOKENIZER,
    OPT_DEVICES,
    OPT_TOKENS_PER_STEP,
    OPT_SLOTS,
    OPT_BACKEND_OPTIONS,
    OPT_COMM,
    OPT_LOG_LEVEL,
    OPT_CHECK,
    OPT_DIE,
    OPT_VERSION,
    OPT_HELP,
};

static const struct option options[] = {
    {"config", required_argument, NULL, OPT_CONFIG},
    {"connect", required_argument, NULL, OPT_CONNECT},
    {"name", required_argument, NULL, OPT_NAME},
    {"model", required_argument, NULL, OPT_MODEL},
    {"tokenizer", required_argument, NULL, OPT_TOKENIZER},
    {"devices", required_argument, NULL, OPT_DEVICES},
    {"tokens-per-step", required_argument, NULL, OPT_TOKENS_PER_STEP},
    {"slots", required_argument, NULL, OPT_SLOTS},
    {"backend-options", required_argument, NULL, OPT_BACKEND_OPTIONS},
    {"comm", required_argument, NULL, OPT_COMM},
    {"log-level", required_argument, NULL, OPT_LOG_LEVEL},
    {"check-config", no_argument, NULL, OPT_CHECK},
    {"die-with-parent", no_argument, NULL, OPT_DIE},
    {"version", no_argument, NULL, OPT_VERSION},
    {"help", no_argument, NULL, OPT_HELP},
    {0},
};

static void set(char **to, const char *value)
{
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

static int set_int(int64_t *to, const char *name, const char *arg,
                   int64_t least, int64_t most, struct err *err)
{
    char *end;
    long long value;

    errno = 0;
    value = strtoll(arg, &end, 10);
    if (end == arg || *end != '\0' || errno != 0 || value < least
        || value > most)
        return err_set(err, ERR_USAGE,
                       "--%s is \"%s\"; a number %lld..%lld expected", name,
                       arg, (long long)least, (long long)most);
    *to = value;
    return 0;
}

static int take_option(struct config *c, int id, const char *arg,
                       struct err *err)
{
    switch (id) {
    case OPT_CONNECT:
        set(&c->connect, arg);
        return 0;
    case OPT_NAME:
        set(&c->name, arg);
        return 0;
    case OPT_MODEL:
        return set_model(c, arg, err);
    case OPT_TOKENIZER:
        set(&the_model(c)->tokenizer, arg);
        return 0;
    case OPT_DEVICES:
        return set_devices(c, arg, err);
    case OPT_TOKENS_PER_STEP:
        return set_int(&c->tokens_per_step, "tokens-per-step", arg, 1,
                       TOKENS_PER_STEP_MAX, err);
    case OPT_SLOTS:
        return set_int(&c->slots, "slots", arg, RANK_SLOTS_MIN, RANK_SLOTS_MAX,
                       err);
    case OPT_BACKEND_OPTIONS:
        set(&c->backend_options, arg);
        return 0;
    case OPT_COMM:
        set(&c->comm, arg);
        return 0;
    case OPT_LOG_LEVEL:
        set(&c->log_level, arg);
        return 0;
    case OPT_CHECK:
        c->check = true;
        return 0;
    case OPT_DIE:
        c->die_with_parent = true;
        return 0;
    default:
        return 0;
    }
}

/* Whatever is wrong with the file is a matter of configuration. */
static int load(const char *path, struct config *c, struct err *err)
{
    struct err cause = {0};

    if (conf_load(path, keys, c, &cause) == 0)
        return 0;
    return err_set(err, ERR_CONFIG, "%s", cause.text);
}

/* What --help, --version and --config ask for comes before everything else, so
 * that the order of options does not matter. 1: nothing is left to do.
 */
static int first_pass(int argc, char **argv, struct config *c, struct err *err)
{
    const char *path = NULL;
    int id;

    opterr = 0;
    optind = 1;
    while ((id = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (id == OPT_HELP || id == OPT_VERSION) {
            fputs(id == OPT_HELP ? help : "skein-worker " SKEIN_VERSION "\n",
                  stdout);
            return 1;
        }
        if (id == '?')
            return err_set(err, ERR_USAGE,
                           "%s: unknown option, or its value is missing; see"
                           " --help",
                           argv[optind - 1]);
        if (id == OPT_CONFIG)
            path = optarg;
    }
    if (optind < argc)
        return err_set(err, ERR_USAGE, "\"%s\" is not an option; see --help",
                       argv[optind]);
    return path != NULL ? load(path, c, err) : 0;
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
    int id, rc;

    fill_defaults(c);
    *action = CONFIG_DONE;
    rc = first_pass(argc, argv, c, err);
    if (rc != 0)
        return rc < 0 ? -1 : 0;
    *action = CONFIG_RUN;
    optind = 1;
    while ((id = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (take_option(c, id, optarg, err) < 0)
            return -1;
    }
    if (c->devices.n == 0 && set_devices(c, "auto", err) < 0)
        return -1;
    return check(c, err);
}

void config_free(struct config *c)
{
    conf_free(keys, c);
}
