#include "model/weights_config.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/file.h"

static int check_text(const json_t *config, const char *key, const char *want,
                      struct err *err)
{
    const json_t *value = json_object_get(config, key);

    if (value == NULL || json_is_null(value)
        || (json_is_string(value)
            && strcmp(json_string_value(value), want) == 0))
        return 0;
    return err_set(err, ERR_INVALID, "%s is %.32s, expected \"%s\"", key,
                   json_is_string(value) ? json_string_value(value)
                                         : "not a string",
                   want);
}

/* value_dim: a number, or one per layer, of which each must equal the width; a
 * larger one means an expanded state.
 */
static int check_value_dim(const json_t *config, struct err *err)
{
    const json_t *dim = json_object_get(config, "value_dim");
    json_int_t width =
        json_integer_value(json_object_get(config, "hidden_size"));
    size_t n = json_is_array(dim) ? json_array_size(dim) : 1;

    if (dim == NULL || json_is_null(dim) || width == 0)
        return 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_is_array(dim) ? json_array_get(dim, i) : dim;

        if (!json_is_integer(one) || json_integer_value(one) != width)
            return err_set(err, ERR_INVALID,
                           "value_dim differs from hidden_size %lld: models "
                           "with an expanded state are not supported",
                           (long long)width);
    }
    return 0;
}

static int check_config(const json_t *config, struct err *err)
{
    const json_t *attn = json_object_get(config, "attn");
    const json_t *eps = json_object_get(config, "norm_eps");

    if (!json_is_object(config))
        return err_set(err, ERR_INVALID, "not a JSON object");
    if (check_text(config, "model_type", "rwkv7", err) < 0
        || check_text(config, "hidden_act", "sqrelu", err) < 0)
        return -1;
    if (attn != NULL && !json_is_null(attn))
        return err_set(err, ERR_INVALID,
                       "attn is not null: hybrids with attention layers are "
                       "not plain RWKV-7 and not supported");
    if (eps != NULL && fabs(json_number_value(eps) - 1e-5) > 1e-12)
        return err_set(err, ERR_INVALID, "norm_eps is %g, expected 1e-5",
                       json_number_value(eps));
    if (json_is_true(json_object_get(config, "tie_word_embeddings")))
        return err_set(err, ERR_INVALID,
                       "tie_word_embeddings is true, RWKV-7 has a head of its "
                       "own");
    return check_value_dim(config, err);
}

int weights_parse_config(const char *text, size_t len, struct err *err)
{
    json_error_t why;
    json_t *config = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
    int rc;

    if (config == NULL)
        return err_set(err, ERR_INVALID, "line %d: %s", why.line, why.text);
    rc = check_config(config, err);
    json_decref(config);
    return rc;
}

static char *config_path(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *dir, *out;

    if (file_is_dir(path))
        return file_join(path, "config.json");
    if (slash == NULL)
        return xstrdup("config.json");
    dir = xstrndup(path, (size_t)(slash - path) + 1);
    out = file_join(dir, "config.json");
    free(dir);
    return out;
}

int weights_check_config(const char *path, const struct tensor_file *f,
                         struct err *err)
{
    struct buf text = BUF_INIT;
    char *config;
    int rc = 0;

    if (tensor_file_find(f, "model.embeddings.weight") == NULL)
        return 0;
    config = config_path(path);
    if (file_exists(config)) {
        rc = file_read(config, CONFIG_BYTES_MAX, &text, err);
        if (rc == 0 && weights_parse_config(text.data, text.len, err) < 0)
            rc = err_wrap(err, "%s", config);
    }
    buf_free(&text);
    free(config);
    return rc;
}
