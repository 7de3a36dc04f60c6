#include "daemon/core_stats.h"

#include <stdio.h>
#include <string.h>

struct core_model_stats *core_stats_model(struct core_stats *s,
                                          const char *model)
{
    struct core_model_stats *m;

    for (uint32_t i = 0; i < s->n_model; i++) {
        if (strcmp(s->model[i].name, model) == 0)
            return &s->model[i];
    }
    if (s->n_model == CORE_MODEL_STATS_MAX)
        model = "other";
    else if (s->n_model > CORE_MODEL_STATS_MAX)
        return &s->model[CORE_MODEL_STATS_MAX];
    m = &s->model[s->n_model++];
    snprintf(m->name, sizeof m->name, "%s", model);
    return m;
}
