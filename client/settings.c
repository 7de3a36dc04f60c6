#include "client/settings.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/conf.h"
#include "common/file.h"

#define SYSTEM_FILE "/etc/skein/skein.yaml"

static const struct conf_key keys[] = {
    {.name = "server",
     .type = CONF_STRING,
     .offset = offsetof(struct settings, server)},
    {.name = "model",
     .type = CONF_STRING,
     .offset = offsetof(struct settings, model)},
    {.name = "tokenizer",
     .type = CONF_STRING,
     .offset = offsetof(struct settings, tokenizer)},
    {.name = "devices",
     .type = CONF_STRING,
     .offset = offsetof(struct settings, devices)},
    {.name = "bos",
     .type = CONF_STRING,
     .offset = offsetof(struct settings, bos)},
    {.name = "color",
     .type = CONF_STRING,
     .offset = offsetof(struct settings, color)},
    {.name = NULL},
};

int settings_load(const char *path, bool required, struct settings *s,
                  struct err *err)
{
    if (!required && !file_exists(path))
        return 0;
    if (conf_load(path, keys, s, err) == 0)
        return 0;
    if (err != NULL)
        err->code = ERR_CONFIG; /* also when the named file is missing */
    return -1;
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
static void variable_name(const char *option, char out[64])
{
    size_t n = 6;

    memcpy(out, "SKEIN_", 6);
    for (; *option != '\0' && n < 63; option++)
        out[n++] = *option == '-' ? '_' : (char)toupper((int)*option);
    out[n] = '\0';
}

static const char *from_file(const struct settings *s, const char *name)
{
    for (size_t i = 0; keys[i].name != NULL; i++) {
        if (strcmp(keys[i].name, name) == 0)
            return *(char *const *)((const char *)s + keys[i].offset);
    }
    return NULL;
}

static int fill_row(const struct option_row *row, const struct settings *s,
                    void *values, struct err *err)
{
    char variable[64];
    const char *text;

    if (!row->setting || options_given(row, values))
        return 0;
    variable_name(row->name, variable);
    text = getenv(variable);
    if (text != NULL && text[0] != '\0')
        return options_assign(row, text, variable, values, err);
    text = from_file(s, row->name);
    if (text == NULL)
        return 0;
    if (options_assign(row, text, row->name, values, err) < 0)
        return err_wrap(err, "skein.yaml");
    return 0;
}

int settings_fill(const struct option_spec *spec, const struct settings *s,
                  void *values, struct err *err)
{
    const struct option_row *const tables[] = {spec->rows, spec->common};

    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
        const struct option_row *row = tables[t];

        for (; row != NULL && row->name != NULL; row++) {
            if (fill_row(row, s, values, err) < 0)
                return -1;
        }
    }
    return 0;
}

void settings_free(struct settings *s)
{
    conf_free(keys, s);
    *s = (struct settings){0};
}
