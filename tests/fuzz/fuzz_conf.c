/* Configuration: whatever the bytes are, conf_parse() says yes or why not. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/conf.h"

struct item {
    char *name;
    int64_t number;
    struct conf_strings tags;
    struct conf_maps items; /* of the same table: nesting to the bound */
};

static const struct conf_key keys[] = {
    {.name = "name",
     .type = CONF_STRING,
     .offset = offsetof(struct item, name),
     .required = true},
    {.name = "number",
     .type = CONF_INT,
     .offset = offsetof(struct item, number),
     .min = -5,
     .max = 1000},
    {.name = "tags",
     .type = CONF_STRING_LIST,
     .offset = offsetof(struct item, tags)},
    {.name = "items",
     .type = CONF_MAP_LIST,
     .offset = offsetof(struct item, items),
     .sub = keys,
     .sub_size = sizeof(struct item)},
    {0},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct item cfg = {0};
    struct err err = {0};
    int ret = conf_parse("f", (const char *)data, size, keys, &cfg, &err);

    if (ret < 0 && err.code == ERR_NONE)
        abort(); /* refused without a reason */
    if (ret == 0 && (cfg.name == NULL || cfg.number < -5 || cfg.number > 1000))
        abort();
    conf_free(keys, &cfg);
    return 0;
}
