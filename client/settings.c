#include "client/settings.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "client/commands.h"
#include "common/conf.h"
#include "common/file.h"

#define SYSTEM_FILE "/etc/skein/skein.yaml"

static struct setting *find(struct settings *s, const char *name)
{
    for (size_t i = 0; i < s->n; i++) {
        if (strcmp(s->item[i].row->name, name) == 0)
            return &s->item[i];
    }
    return NULL;
}

void settings_init(struct settings *s)
{
    *s = (struct settings){.n = 0};
    for (size_t c = 0; commands[c] != NULL; c++) {
        const struct option_row *row[OPTIONS_MAX + 1];

        options_rows(&commands[c]->spec, row);
        for (size_t i = 0; row[i] != NULL; i++) {
            if (!row[i]->setting || find(s, row[i]->name) != NULL)
                continue;
            assert(s->n < SETTINGS_MAX);
            s->item[s->n++] = (struct setting){.row = row[i]};
        }
    }
}

static const char *remember_file(struct settings *s, const char *path)
{
    struct settings_file *f = &s->file[s->files++];

    assert(s->files <= SETTINGS_FILES_MAX);
    *f = (struct settings_file){.path = xstrdup(path),
                                .read = file_exists(path)};
    return f->path;
}

int settings_load(const char *path, bool required, struct settings *s,
                  struct err *err)
{
    struct conf_key keys[SETTINGS_MAX + 1] = {{.name = NULL}};
    char *value[SETTINGS_MAX] = {NULL};
    const char *file = remember_file(s, path);
    int ret;

    if (!required && !file_exists(path))
        return 0;
    for (size_t i = 0; i < s->n; i++)
        keys[i] = (struct conf_key){.name = s->item[i].row->name,
                                    .type = CONF_STRING,
                                    .offset = i * sizeof *value};
    ret = conf_load(path, keys, value, err);
    for (size_t i = 0; i < s->n; i++) {
        if (value[i] == NULL)
            continue;
        free(s->item[i].value);
        s->item[i].value = value[i];
        s->item[i].file = file;
    }
    if (ret < 0 && err != NULL)
        err->code = ERR_CONFIG; /* also when the named file is missing */
    return ret;
}

/* The user's file, malloc'ed, or NULL when there is no home. */
static char *user_file(void)
{
    const char *base = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");

    if (base != NULL && base[0] == '/')
        return file_join(base, "skein/skein.yaml");
    if (home != NULL && home[0] == '/')
        return file_join(home, ".config/skein/skein.yaml");
    return NULL;
}

int settings_load_all(const char *config, struct settings *s, struct err *err)
{
    char *user;
    int ret;

    settings_init(s);
    if (config == NULL)
        config = getenv("SKEIN_CONFIG");
    if (config != NULL && config[0] != '\0')
        return settings_load(config, true, s, err);
    if (settings_load(SYSTEM_FILE, false, s, err) < 0)
        return -1;
    user = user_file();
    if (user == NULL)
        return 0;
    ret = settings_load(user, false, s, err);
    free(user);
    return ret;
}

/* "tokens-per-step" -> "SKEIN_TOKENS_PER_STEP" */
static void variable_name(const char *option, char out[SETTINGS_VARIABLE_MAX])
{
    size_t n = 6;

    memcpy(out, "SKEIN_", 6);
    for (; *option != '\0' && n < SETTINGS_VARIABLE_MAX - 1; option++)
        out[n++] = *option == '-' ? '_' : (char)toupper((int)*option);
    out[n] = '\0';
}

const char *settings_value(const struct settings *s,
                           const struct option_row *row,
                           char variable[SETTINGS_VARIABLE_MAX],
                           const char **origin)
{
    const char *text;
    const struct setting *item;

    variable_name(row->name, variable);
    *origin = variable;
    text = getenv(variable);
    if (text != NULL && text[0] != '\0')
        return text;
    item = find((struct settings *)(uintptr_t)s, row->name);
    if (item == NULL || item->value == NULL)
        return NULL;
    *origin = item->file;
    return item->value;
}

static int fill_row(const struct option_row *row, const struct settings *s,
                    void *values, struct err *err)
{
    char variable[SETTINGS_VARIABLE_MAX];
    const char *origin, *text;

    text = settings_value(s, row, variable, &origin);
    if (text == NULL)
        return 0;
    if (origin == variable)
        return options_assign(row, text, variable, values, err);
    if (options_assign(row, text, row->name, values, err) < 0)
        return err_wrap(err, "%s", origin);
    return 0;
}

int settings_fill(const struct option_spec *spec, const struct settings *s,
                  void *values, struct err *err)
{
    const struct option_row *row[OPTIONS_MAX + 1];

    options_rows(spec, row);
    for (size_t i = 0; row[i] != NULL; i++) {
        if (row[i]->setting && !options_given(row[i], values)
            && fill_row(row[i], s, values, err) < 0)
            return -1;
    }
    return 0;
}

void settings_free(struct settings *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->item[i].value);
    for (size_t i = 0; i < s->files; i++)
        free(s->file[i].path);
    *s = (struct settings){.n = 0};
}
