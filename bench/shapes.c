#include "bench/shapes.h"

#include <string.h>

#include "common/buf.h"

/* L, H, N, F, V, ranks of w, a, v, g, ln0, bias */
const struct shape shapes[] = {
    {"0.1B", {12, 12, 64, 3072, 65536, 64, 64, 32, 128, true, false}},
    {"0.4B", {24, 16, 64, 4096, 65536, 64, 64, 32, 128, true, false}},
    {"1.5B", {24, 32, 64, 8192, 65536, 96, 96, 64, 256, true, false}},
    {"2.9B", {32, 40, 64, 10240, 65536, 96, 96, 64, 320, true, false}},
    {"7.2B", {32, 64, 64, 16384, 65536, 128, 128, 96, 480, true, false}},
};
const int shapes_n = sizeof shapes / sizeof *shapes;

const struct shape *shape_find(const char *name, struct err *err)
{
    struct buf names = BUF_INIT;

    for (int i = 0; i < shapes_n; i++) {
        if (strcmp(shapes[i].name, name) == 0) {
            buf_free(&names);
            return &shapes[i];
        }
        buf_addf(&names, "%s%s", i > 0 ? ", " : "", shapes[i].name);
    }
    err_set(err, ERR_USAGE, "no shape \"%s\"; one of %s expected", name,
            names.data);
    buf_free(&names);
    return NULL;
}
