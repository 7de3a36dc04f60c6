/* config show and config check: what is set, where, and whether it is right */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/commands.h"
#include "client/json_out.h"
#include "client/settings.h"
#include "common/conf.h"

struct config_options {
    struct common_options common;
    struct list_options list;
};

/* One setting as it is in force. */
struct shown {
    char *name;
    char *value;
    char *origin;
    bool set; /* false: the value is a built-in default */
};

#define TEXT(name, title, key)                                                 \
    {                                                                          \
        name, title, FIELD_STRING, offsetof(struct shown, key), .right = false \
    }
#define CONFIG_FIELDS "name,value,origin"

static const struct field config_fields[] = {
    TEXT("name", "NAME", name),
    TEXT("value", "VALUE", value),
    TEXT("origin", "ORIGIN", origin),
    {.name = NULL},
};

static const struct option_row show_rows[] = {
    CMD_LIST_ROWS(struct config_options, list, "name, value, origin",
                  CONFIG_FIELDS, "name"),
    {.name = NULL},
};

/* The text an option of ours was given, if it is this setting. */
static const char *given(const struct config_options *o,
                         const struct option_row *row)
{
    for (const struct option_row *r = common_rows; r->name != NULL; r++) {
        if (strcmp(r->name, row->name) == 0 && options_given(r, o))
            return *(const char *const *)((const char *)o + r->offset);
    }
    return NULL;
}

static void resolve(const struct config_options *o, const struct settings *s,
                    const struct option_row *row, struct shown *out)
{
    char variable[SETTINGS_VARIABLE_MAX];
    const char *origin = NULL, *text = given(o, row);
    struct buf b = BUF_INIT;

    out->name = xstrdup(row->name);
    out->set = true;
    if (text != NULL) {
        buf_addf(&b, "--%s", row->name);
    } else {
        text = settings_value(s, row, variable, &origin);
        buf_adds(&b, text != NULL ? origin : "default");
    }
    if (text == NULL) {
        out->set = false;
        text = row->fallback != NULL ? row->fallback : "";
    }
    out->value = xstrdup(text);
    out->origin = b.data;
}

static json_t *shown_json(const struct shown *v)
{
    json_t *o = json_object();

    json_object_set_new(o, "name", json_string(v->name));
    if (v->value[0] != '\0')
        json_object_set_new(o, v->set ? "value" : "default",
                            json_text(v->value));
    json_object_set_new(o, "origin", json_text(v->origin));
    return o;
}

static int print_json(const struct settings *s, const struct shown *v, size_t n,
                      struct err *err)
{
    json_t *o = json_begin(), *list = json_array(), *files = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, shown_json(&v[i]));
    for (size_t i = 0; i < s->files; i++) {
        json_t *f = json_object();

        json_object_set_new(f, "path", json_text(s->file[i].path));
        json_object_set_new(f, "exists", json_boolean(s->file[i].read));
        json_array_append_new(files, f);
    }
    json_object_set_new(o, "settings", list);
    json_object_set_new(o, "files", files);
    return json_print(o, err);
}

static void say_files(const struct settings *s)
{
    for (size_t i = 0; i < s->files; i++)
        fprintf(stderr, "%s: %s\n", s->file[i].path,
                s->file[i].read ? "read" : "not there");
}

static const struct option_row *find_setting(const struct settings *s,
                                             const char *name, struct err *err)
{
    const char *known[SETTINGS_MAX + 1] = {NULL};
    const char *nearest;

    for (size_t i = 0; i < s->n; i++) {
        known[i] = s->item[i].row->name;
        if (strcmp(known[i], name) == 0)
            return s->item[i].row;
    }
    nearest = conf_nearest(name, known);
    if (nearest != NULL)
        err_set(err, ERR_USAGE,
                "there is no setting '%.60s'; did you mean '%s'?", name,
                nearest);
    else
        err_set(err, ERR_USAGE,
                "there is no setting '%.60s'; skein config show lists them",
                name);
    return NULL;
}

/* The settings that the words name, or all; their number. */
static int choose(const struct config_options *o, const struct settings *s,
                  char *const *arg, int n_arg, struct shown *out,
                  struct err *err)
{
    const struct option_row *row;

    if (n_arg > SETTINGS_MAX)
        return err_set(err, ERR_USAGE, "more than %d names", SETTINGS_MAX);
    for (int i = 0; i < n_arg; i++) {
        row = find_setting(s, arg[i], err);
        if (row == NULL)
            return -1;
        resolve(o, s, row, &out[i]);
    }
    if (n_arg > 0)
        return n_arg;
    for (size_t i = 0; i < s->n; i++)
        resolve(o, s, s->item[i].row, &out[i]);
    return (int)s->n;
}

static int run_show(const void *options, char *const *arg, int n_arg,
                    struct err *err)
{
    const struct config_options *o = options;
    struct shown shown[SETTINGS_MAX] = {{.name = NULL}};
    const void *item[SETTINGS_MAX];
    struct fields columns;
    struct settings s;
    int n, ret = -1;

    if (cmd_list_columns(&o->list, &o->common, config_fields, CONFIG_FIELDS,
                         "name", &columns, err)
        < 0)
        return -1;
    if (settings_load_all(o->common.config, &s, err) < 0)
        goto out;
    n = choose(o, &s, arg, n_arg, shown, err);
    if (n < 0)
        goto out;
    ret = 0;
    for (int i = 0; i < n; i++)
        item[i] = &shown[i];
    if (o->common.json)
        ret = print_json(&s, shown, (size_t)n, err);
    else
        cmd_list_print(&o->list, &o->common, &columns, item, (size_t)n, "");
    if (!o->common.quiet && !o->common.json && !o->list.no_header
        && !o->list.parsable)
        say_files(&s);
out:
    for (size_t i = 0; i < SETTINGS_MAX; i++) {
        free(shown[i].name);
        free(shown[i].value);
        free(shown[i].origin);
    }
    settings_free(&s);
    return ret;
}

const struct command cmd_config_show = {
    .spec =
        {
            .command = "config show",
            .synopsis = "[OPTIONS] [NAME]...",
            .purpose = "show each setting with its value and where it is from",
            .about =
                "ORIGIN is the option, the variable or the file that set the "
                "value, or 'default'. The files looked at are named on "
                "standard error, the weaker first.",
            .examples = "  skein config show\n"
                        "  skein config show server --format value --no-header",
            .rows = show_rows,
            .common = common_rows,
            .args_max = INT_MAX,
        },
    .options_size = sizeof(struct config_options),
    .reads_settings = true,
    .run = run_show,
};

/* ---- config check ------------------------------------------------------- */

/* Would every command take what is set? */
static int check_values(const struct settings *s, struct err *err)
{
    for (size_t i = 0; commands[i] != NULL; i++) {
        void *values = xcalloc(1, commands[i]->options_size);
        int ret = settings_fill(&commands[i]->spec, s, values, err);

        free(values);
        if (ret < 0)
            return -1;
    }
    return 0;
}

static int run_check(const void *options, char *const *arg, int n_arg,
                     struct err *err)
{
    const struct common_options *o = options;
    struct settings s;
    int ret;

    (void)arg;
    (void)n_arg;
    ret = settings_load_all(o->config, &s, err);
    if (ret == 0)
        ret = check_values(&s, err);
    if (ret == 0 && o->json)
        ret = print_json(&s, NULL, 0, err);
    else if (ret == 0 && !o->quiet)
        say_files(&s);
    settings_free(&s);
    return ret;
}

const struct command cmd_config_check = {
    .spec =
        {
            .command = "config check",
            .synopsis = "[OPTIONS]",
            .purpose = "check the settings in files and environment",
            .about = "Exit status 78, and the first mistake with its place, "
                     "when something is wrong.",
            .examples = "  skein config check\n"
                        "  skein config check -c new.yaml",
            .common = cmd_local_rows,
        },
    .options_size = sizeof(struct common_options),
    .reads_settings = true,
    .run = run_check,
};
