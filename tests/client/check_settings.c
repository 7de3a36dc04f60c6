#include "client/settings.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/cmd.h"
#include "common/file.h"
#include "tests/common/run.h"

struct sample {
    const char *server;
    const char *bos;
};

static const struct option_row rows[] = {
    {.name = "server",
     .type = OPTION_TEXT,
     .offset = offsetof(struct sample, server),
     .value = "ENDPOINT",
     .help = "x",
     .setting = true},
    {.name = "bos",
     .type = OPTION_CHOICE,
     .offset = offsetof(struct sample, bos),
     .value = "POLICY",
     .choice = cmd_bos_choices,
     .help = "x",
     .setting = true},
    {.name = NULL},
};
static const struct option_spec spec = {.command = "x", .rows = rows};

static char dir[64];

/* An own home and configuration directory; nothing set in the environment. */
static void set_up(void)
{
    strcpy(dir, "/tmp/check-settings-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    setenv("HOME", dir, 1);
    setenv("XDG_CONFIG_HOME", dir, 1);
    unsetenv("SKEIN_CONFIG");
    unsetenv("SKEIN_SERVER");
    unsetenv("SKEIN_BOS");
}

static void tear_down(void)
{
    file_remove_tree(dir, NULL);
}

static void put(const char *name, const char *text)
{
    char path[256];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (strchr(name, '/') != NULL) {
        char *slash = strrchr(path, '/');

        *slash = '\0';
        ck_assert_int_eq(file_mkdirs(path, NULL), 0);
        *slash = '/';
    }
    ck_assert_int_eq(file_replace(path, text, strlen(text), NULL), 0);
}

static const char *value_of(const struct settings *s, const char *name)
{
    for (size_t i = 0; i < s->n; i++) {
        if (strcmp(s->item[i].row->name, name) == 0)
            return s->item[i].value;
    }
    ck_abort_msg("there is no setting %s", name);
    return NULL;
}

static const char *origin_of(const struct settings *s, const char *name)
{
    const struct option_row row = {.name = name};
    char variable[SETTINGS_VARIABLE_MAX];
    const char *origin;

    return settings_value(s, &row, variable, &origin) != NULL ? origin : NULL;
}

START_TEST(option_beats_environment_beats_file)
{
    struct settings s;
    struct sample v = {.server = "ipc://flag"};

    set_up();
    put("skein/skein.yaml", "server: ipc://file\nbos: never\n");
    setenv("SKEIN_SERVER", "ipc://environment", 1);
    ck_assert_int_eq(settings_load_all(NULL, &s, NULL), 0);
    ck_assert_int_eq(settings_fill(&spec, &s, &v, NULL), 0);
    ck_assert_str_eq(v.server, "ipc://flag");
    ck_assert_str_eq(v.bos, "never");

    v = (struct sample){NULL, NULL};
    ck_assert_int_eq(settings_fill(&spec, &s, &v, NULL), 0);
    ck_assert_str_eq(v.server, "ipc://environment");

    setenv("SKEIN_SERVER", "", 1); /* empty is not set */
    v = (struct sample){NULL, NULL};
    ck_assert_int_eq(settings_fill(&spec, &s, &v, NULL), 0);
    ck_assert_str_eq(v.server, "ipc://file");
    settings_free(&s);
    tear_down();
}
END_TEST

START_TEST(users_file_beats_the_systems)
{
    struct settings s;
    char path[256];

    set_up();
    put("etc.yaml", "server: ipc://etc\nmodel: etc-model\n");
    put("user.yaml", "server: ipc://user\n");
    settings_init(&s);
    snprintf(path, sizeof path, "%s/etc.yaml", dir);
    ck_assert_int_eq(settings_load(path, true, &s, NULL), 0);
    snprintf(path, sizeof path, "%s/user.yaml", dir);
    ck_assert_int_eq(settings_load(path, true, &s, NULL), 0);
    ck_assert_str_eq(value_of(&s, "server"), "ipc://user");
    ck_assert_str_eq(origin_of(&s, "server"), path);
    ck_assert_str_eq(value_of(&s, "model"), "etc-model");
    ck_assert_ptr_nonnull(strstr(origin_of(&s, "model"), "etc.yaml"));
    settings_free(&s);
    tear_down();
}
END_TEST

START_TEST(named_file_replaces_both)
{
    struct settings s;
    char path[256];

    set_up();
    put("skein/skein.yaml", "server: ipc://user\n");
    put("own.yaml", "bos: if-empty\n");
    snprintf(path, sizeof path, "%s/own.yaml", dir);
    ck_assert_int_eq(settings_load_all(path, &s, NULL), 0);
    ck_assert_ptr_null(value_of(&s, "server"));
    ck_assert_str_eq(value_of(&s, "bos"), "if-empty");
    settings_free(&s);

    setenv("SKEIN_CONFIG", path, 1);
    ck_assert_int_eq(settings_load_all(NULL, &s, NULL), 0);
    ck_assert_ptr_null(value_of(&s, "server"));
    settings_free(&s);
    tear_down();
}
END_TEST

START_TEST(without_files_nothing_is_set)
{
    struct settings s;

    set_up();
    ck_assert_int_eq(settings_load_all(NULL, &s, NULL), 0);
    ck_assert_ptr_null(value_of(&s, "bos"));
    settings_free(&s);
    tear_down();
}
END_TEST

START_TEST(mistakes_name_their_place)
{
    struct settings s;
    struct sample v = {NULL, NULL};
    struct err err = {.code = ERR_NONE};

    set_up();
    put("skein/skein.yaml", "sevrer: x\n");
    ck_assert_int_eq(settings_load_all(NULL, &s, &err), -1);
    ck_assert_int_eq(err.code, ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(err.text, "skein.yaml:1"));
    ck_assert_ptr_nonnull(strstr(err.text, "server"));
    settings_free(&s);

    ck_assert_int_eq(settings_load_all("/nowhere.yaml", &s, &err), -1);
    ck_assert_int_eq(err.code, ERR_CONFIG);
    settings_free(&s);

    setenv("SKEIN_BOS", "sometimes", 1);
    ck_assert_int_eq(settings_fill(&spec, &s, &v, &err), -1);
    ck_assert_int_eq(err.code, ERR_CONFIG);
    ck_assert_str_eq(err.text, "SKEIN_BOS: 'sometimes' is not one of always, "
                               "if-empty, never");
    settings_free(&s);
    tear_down();
}
END_TEST

/* conf/skein.yaml documents every key; it must be readable as it is. */
START_TEST(shipped_file_is_valid)
{
    struct settings s;
    struct err err = {.code = ERR_NONE};

    settings_init(&s);
    ck_assert_msg(settings_load("conf/skein.yaml", true, &s, &err) == 0, "%s",
                  err.text);
    settings_free(&s);
}
END_TEST

int main(void)
{
    return RUN_TESTS("settings", option_beats_environment_beats_file,
                     users_file_beats_the_systems, named_file_replaces_both,
                     without_files_nothing_is_set, mistakes_name_their_place,
                     shipped_file_is_valid);
}
