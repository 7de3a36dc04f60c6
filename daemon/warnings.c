#include "daemon/warnings.h"

#include <stdlib.h>

#include "common/buf.h"

void warnings_add(struct warnings *w, uint64_t line, uint64_t n,
                  const char *text)
{
    w->n += n;
    if (w->n_kept == WARNINGS_MAX)
        return;
    w->kept[w->n_kept].line = line;
    w->kept[w->n_kept].text = xstrdup(text);
    w->n_kept++;
}

void warnings_join(struct warnings *w, struct warnings *from)
{
    w->n += from->n;
    for (size_t i = 0; i < from->n_kept; i++) {
        if (w->n_kept < WARNINGS_MAX)
            w->kept[w->n_kept++] = from->kept[i];
        else
            free(from->kept[i].text);
    }
    *from = (struct warnings){0};
}

void warnings_clear(struct warnings *w)
{
    for (size_t i = 0; i < w->n_kept; i++)
        free(w->kept[i].text);
    *w = (struct warnings){0};
}
