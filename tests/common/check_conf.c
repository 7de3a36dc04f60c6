#include "common/conf.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "tests/common/run.h"

struct model {
    char *name;
    int64_t slots;
    struct conf_strings devices;
};

struct cfg {
    char *spool;
    int64_t beat_ms;
    int64_t any;
    bool strict;
    struct conf_strings devices;
    struct conf_maps models;
};

static const struct conf_key model_keys[] = {
    {.name = "name",
     .type = CONF_STRING,
     .offset = offsetof(struct model, name),
     .required = true},
    {.name = "slots",
     .type = CONF_INT,
     .offset = offsetof(struct model, slots),
     .min = 1,
     .max = 64},
    {.name = "devices",
     .type = CONF_STRING_LIST,
     .offset = offsetof(struct model, devices)},
    {0},
};

static const struct conf_key keys[] = {
    {.name = "spool",
     .type = CONF_STRING,
     .offset = offsetof(struct cfg, spool),
     .required = true},
    {.name = "beat_ms",
     .type = CONF_INT,
     .offset = offsetof(struct cfg, beat_ms),
     .min = 100,
     .max = 60000},
    {.name = "any", .type = CONF_INT, .offset = offsetof(struct cfg, any)},
    {.name = "strict",
     .type = CONF_BOOL,
     .offset = offsetof(struct cfg, strict)},
    {.name = "devices",
     .type = CONF_STRING_LIST,
     .offset = offsetof(struct cfg, devices)},
    {.name = "models",
     .type = CONF_MAP_LIST,
     .offset = offsetof(struct cfg, models),
     .sub = model_keys,
     .sub_size = sizeof(struct model)},
    {0},
};

static int parse(const char *text, struct cfg *cfg, struct err *err)
{
    return conf_parse("f.yaml", text, strlen(text), keys, cfg, err);
}

START_TEST(every_type)
{
    struct cfg cfg = {.spool = xstrdup("default"), .any = 7};
    const struct model *m;
    struct err err = {0};

    ck_assert_msg(parse("# where jobs live\n"
                        "spool: /var/spool/skein\n"
                        "beat_ms: 2000\n"
                        "strict: true\n"
                        "devices: [\"cuda:0\", cpu]\n"
                        "models:\n"
                        "  - name: 'a b'\n"
                        "    slots: 3\n"
                        "  - {name: tiny, devices: null-device}\n",
                        &cfg, &err)
                      == 0,
                  "%s", err.text);
    ck_assert_str_eq(cfg.spool, "/var/spool/skein");
    ck_assert_int_eq(cfg.beat_ms, 2000);
    ck_assert_int_eq(cfg.any, 7);
    ck_assert(cfg.strict);
    ck_assert_uint_eq(cfg.devices.n, 2);
    ck_assert_str_eq(cfg.devices.item[0], "cuda:0");
    ck_assert_str_eq(cfg.devices.item[1], "cpu");
    ck_assert_uint_eq(cfg.models.n, 2);
    m = cfg.models.item;
    ck_assert_str_eq(m[0].name, "a b");
    ck_assert_int_eq(m[0].slots, 3);
    ck_assert_str_eq(m[1].name, "tiny");
    ck_assert_int_eq(m[1].slots, 0);
    ck_assert_uint_eq(m[1].devices.n, 1);
    conf_free(keys, &cfg);
    ck_assert_ptr_null(cfg.spool);
    ck_assert_ptr_null(cfg.models.item);
    ck_assert_ptr_null(cfg.devices.item);
}
END_TEST

START_TEST(lists_replace_defaults)
{
    struct cfg cfg = {0};
    struct err err;

    cfg.devices.item = xcalloc(1, sizeof(char *));
    cfg.devices.item[cfg.devices.n++] = xstrdup("auto");
    ck_assert_int_eq(parse("spool: s\ndevices: [cpu]\n", &cfg, &err), 0);
    ck_assert_uint_eq(cfg.devices.n, 1);
    ck_assert_str_eq(cfg.devices.item[0], "cpu");
    conf_free(keys, &cfg);
}
END_TEST

START_TEST(whole_numbers)
{
    static const struct {
        const char *text;
        int64_t value;
    } cases[] = {
        {"0", 0},
        {"-12", -12},
        {"+12", 12},
        {"9223372036854775807", INT64_MAX},
        {"-9223372036854775808", INT64_MIN},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cfg cfg = {0};
        char text[64];
        struct err err;

        snprintf(text, sizeof text, "spool: s\nany: %s\n", cases[i].text);
        ck_assert_int_eq(parse(text, &cfg, &err), 0);
        ck_assert_int_eq(cfg.any, cases[i].value);
        conf_free(keys, &cfg);
    }
}
END_TEST

/* What is refused, with the whole text that tells so. */
static const struct {
    const char *text, *error;
} refused[] = {
    {"spool: a\nbeat_m: 1\n",
     "f.yaml:2:1: unknown key \"beat_m\", did you mean \"beat_ms\"?"},
    {"spool: a\ncolour: 1\n", "f.yaml:2:1: unknown key \"colour\""},
    {"spool: a\nmodels:\n  - name: x\n    slot: 1\n",
     "f.yaml:4:5: unknown key \"slot\", did you mean \"slots\"?"},
    {"spool: a\nany: 1\nspool: b\n",
     "f.yaml:3:1: duplicate key \"spool\", first on line 1"},
    {"beat_ms: 100\n", "f.yaml:1:1: required key \"spool\" is missing"},
    {"", "f.yaml:1:1: required key \"spool\" is missing"},
    {"# nothing\n---\n", "f.yaml:3:1: required key \"spool\" is missing"},
    {"spool: a\nmodels:\n  - slots: 1\n",
     "f.yaml:3:5: required key \"name\" is missing"},
    {"spool: a\nbeat_ms: 99\n",
     "f.yaml:2:10: beat_ms: 99 is not between 100 and 60000"},
    {"spool: a\nbeat_ms: 60001\n",
     "f.yaml:2:10: beat_ms: 60001 is not between 100 and 60000"},
    {"spool: a\nbeat_ms: 99999999999999999999\n",
     "f.yaml:2:10: beat_ms: 99999999999999999999 is not between 100 and "
     "60000"},
    {"spool: a\nany: 9223372036854775808\n",
     "f.yaml:2:6: any: 9223372036854775808 is out of range"},
    {"spool: a\nany: 1.5\n",
     "f.yaml:2:6: any: expected a whole number, not \"1.5\""},
    {"spool: a\nany: 0x10\n",
     "f.yaml:2:6: any: expected a whole number, not \"0x10\""},
    {"spool: a\nany: \"5\"\n",
     "f.yaml:2:6: any: expected a whole number, not \"5\""},
    {"spool: a\nany: -\n",
     "f.yaml:2:6: block sequence entries are not allowed in this context"},
    {"spool: a\nstrict: yes\n",
     "f.yaml:2:9: strict: expected true or false, not \"yes\""},
    {"spool: a\nstrict: 'true'\n",
     "f.yaml:2:9: strict: expected true or false, not \"true\""},
    {"spool: a\nstrict: [true]\n",
     "f.yaml:2:9: strict: expected a single value, not a list"},
    {"spool:\n", "f.yaml:1:7: spool: has no value"},
    {"spool: ~\n", "f.yaml:1:8: spool: has no value"},
    {"spool: null\n", "f.yaml:1:8: spool: has no value"},
    {"spool: {a: b}\n",
     "f.yaml:1:8: spool: expected a single value, not a mapping"},
    {"spool: \"a\\0b\"\n", "f.yaml:1:8: spool: contains a NUL character"},
    {"devices: [a, [b]]\n",
     "f.yaml:1:14: devices: expected a single value, not a list"},
    {"devices: {a: b}\n",
     "f.yaml:1:10: devices: expected a single value, not a mapping"},
    {"models: x\n", "f.yaml:1:9: models: expected a list, not a single value"},
    {"models: [x]\n", "f.yaml:1:10: models: expected a list of mappings, not a "
                      "single value in it"},
    {"? [a]\n: b\n", "f.yaml:1:3: a key cannot be a list"},
    {"[spool]\n", "f.yaml:1:1: expected `key: value` lines, not a list"},
    {"word\n", "f.yaml:1:1: expected `key: value` lines, not a single value"},
    {"spool: a\n---\nspool: b\n", "f.yaml:2:1: a second document begins here"},
    {"spool: &x a\n",
     "f.yaml:1:8: anchors, aliases and tags are not supported"},
    {"spool: *x\n", "f.yaml:1:8: anchors, aliases and tags are not supported"},
    {"spool: !!str a\n",
     "f.yaml:1:8: anchors, aliases and tags are not supported"},
    {"devices: &x [a]\n",
     "f.yaml:1:10: anchors, aliases and tags are not supported"},
    {"models: [&x {name: a}]\n",
     "f.yaml:1:10: anchors, aliases and tags are not supported"},
    {"<<: a\n", "f.yaml:1:1: unknown key \"<<\""},
    {"spool: 'a\n", "f.yaml:2:1: found unexpected end of stream"},
    {"devices: [a\n", "f.yaml:2:1: did not find expected ',' or ']'"},
    {"\"sp\\nool\": a\n",
     "f.yaml:1:1: unknown key \"sp?ool\", did you mean \"spool\"?"},
};

START_TEST(what_is_refused_and_how)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct cfg cfg = {0};
        struct err err = {0};

        ck_assert_msg(parse(refused[i].text, &cfg, &err) < 0, "accepted: %s",
                      refused[i].text);
        ck_assert_str_eq(err.text, refused[i].error);
        ck_assert_int_eq(err.code, ERR_CONFIG);
        conf_free(keys, &cfg);
    }
}
END_TEST

START_TEST(bytes_that_are_not_text_are_refused)
{
    static const char *const texts[] = {"spool: \xff\n", "spool: a\x01\n",
                                        "spool: \xc3", "\xff\xfe\0"};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct cfg cfg = {0};
        struct err err;

        ck_assert_int_eq(parse(texts[i], &cfg, &err), -1);
        ck_assert_int_eq(err.code, ERR_CONFIG);
        ck_assert_int_eq(strncmp(err.text, "f.yaml:1:", 9), 0);
        conf_free(keys, &cfg);
    }
}
END_TEST

/* libyaml alone takes seconds for these. */
START_TEST(nesting_bombs_are_refused_at_once)
{
    static const char *const units[] = {"[", "{ ", "? ", "- ", "[\n", "{a: "};
    static char text[CONF_BYTES_MAX + 1];
    int64_t start = clock_now_ms();

    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t n = strlen(units[i]);
        struct cfg cfg = {0};
        struct err err;

        for (size_t at = 0; at + n < sizeof text; at += n)
            memcpy(text + at, units[i], n);
        ck_assert_int_eq(
            conf_parse("f.yaml", text, sizeof text - 1, keys, &cfg, &err), -1);
        ck_assert_int_eq(err.code, ERR_CONFIG);
        conf_free(keys, &cfg);
    }
    ck_assert_int_lt(clock_now_ms() - start, 5000);
}
END_TEST

/* A table that contains itself, so that only the depth bound stops it. */
struct tree {
    struct conf_maps kids;
};

static const struct conf_key tree_keys[] = {
    {.name = "kids",
     .type = CONF_MAP_LIST,
     .offset = offsetof(struct tree, kids),
     .sub = tree_keys,
     .sub_size = sizeof(struct tree)},
    {0},
};

static int parse_tree(int depth, struct err *err)
{
    struct buf text = BUF_INIT;
    struct tree tree = {0};
    int ret;

    /* Each level is a mapping and a list. */
    for (int i = 0; i < depth; i++)
        buf_adds(&text, "{kids: [");
    for (int i = 0; i < depth; i++)
        buf_adds(&text, "]}");
    ret = conf_parse("t", text.data, text.len, tree_keys, &tree, err);
    conf_free(tree_keys, &tree);
    buf_free(&text);
    return ret;
}

START_TEST(depth_is_bounded)
{
    struct err err = {0};

    ck_assert_msg(parse_tree(CONF_DEPTH_MAX / 2, &err) == 0, "%s", err.text);
    ck_assert_int_eq(parse_tree(CONF_DEPTH_MAX / 2 + 1, &err), -1);
    ck_assert_str_eq(err.text, "t:1:65: nested deeper than 16 levels");
    ck_assert_int_eq(parse_tree(5000, &err), -1);
    ck_assert_str_eq(err.text, "t:1:65: nested deeper than 16 levels");
}
END_TEST

START_TEST(size_is_bounded)
{
    struct buf text = BUF_INIT;
    struct cfg cfg = {0};
    struct err err = {0};

    buf_adds(&text, "spool: s\n#");
    while (text.len < CONF_BYTES_MAX)
        buf_addc(&text, 'x');
    ck_assert_msg(conf_parse("f", text.data, text.len, keys, &cfg, &err) == 0,
                  "%s", err.text);
    buf_addc(&text, 'x');
    ck_assert_int_eq(conf_parse("f", text.data, text.len, keys, &cfg, &err),
                     -1);
    ck_assert_int_eq(err.code, ERR_LIMIT);
    conf_free(keys, &cfg);
    buf_free(&text);
}
END_TEST

START_TEST(list_lengths_are_bounded)
{
    struct buf text = BUF_INIT;
    struct cfg cfg = {0};
    struct err err;

    buf_adds(&text, "devices: [");
    for (int i = 0; i <= CONF_ITEMS_MAX; i++)
        buf_adds(&text, "a,");
    buf_adds(&text, "]\n");
    ck_assert_int_eq(parse(text.data, &cfg, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "devices: more than 4096 elements"));
    conf_free(keys, &cfg);
    buf_clear(&text);
    buf_adds(&text, "models: [");
    for (int i = 0; i <= CONF_ITEMS_MAX; i++)
        buf_adds(&text, "{name: a},");
    buf_adds(&text, "]\n");
    ck_assert_int_eq(parse(text.data, &cfg, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "models: more than 4096 elements"));
    conf_free(keys, &cfg);
    buf_free(&text);
}
END_TEST

START_TEST(loading_a_file)
{
    char path[] = "/tmp/check-conf-XXXXXX";
    int fd = mkstemp(path);
    struct cfg cfg = {0};
    struct buf large = BUF_INIT;
    struct err err;

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "spool: s\n", 9), 9);
    ck_assert_int_eq(conf_load(path, keys, &cfg, &err), 0);
    ck_assert_str_eq(cfg.spool, "s");
    while (large.len < CONF_BYTES_MAX)
        buf_adds(&large, "# filler\n");
    ck_assert_int_eq(write(fd, large.data, large.len), (ssize_t)large.len);
    ck_assert_int_eq(conf_load(path, keys, &cfg, &err), -1);
    ck_assert_int_eq(err.code, ERR_LIMIT);
    close(fd);
    unlink(path);
    ck_assert_int_eq(conf_load(path, keys, &cfg, &err), -1);
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    conf_free(keys, &cfg);
    buf_free(&large);
}
END_TEST

START_TEST(nearest_names)
{
    static const char *const known[] = {"spool", "beat_ms", "devices",
                                        "max_tokens", NULL};
    static const struct {
        const char *word, *nearest;
    } cases[] = {
        {"spool", "spool"},
        {"spol", "spool"},
        {"psool", "spool"},
        {"devcies", "devices"},
        {"device", "devices"},
        {"maxtokens", "max_tokens"},
        {"beat-ms", "beat_ms"},
        {"spl", NULL},
        {"x", NULL},
        {"", NULL},
        {"completely else", NULL},
    };
    char word[200];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *got = conf_nearest(cases[i].word, known);

        if (cases[i].nearest == NULL)
            ck_assert_ptr_null(got);
        else
            ck_assert_pstr_eq(got, cases[i].nearest);
    }
    memset(word, 'x', sizeof word);
    word[sizeof word - 1] = '\0';
    ck_assert_ptr_null(conf_nearest(word, known));
}
END_TEST

int main(void)
{
    return RUN_TESTS(
        "conf", every_type, lists_replace_defaults, whole_numbers,
        what_is_refused_and_how, bytes_that_are_not_text_are_refused,
        nesting_bombs_are_refused_at_once, depth_is_bounded, size_is_bounded,
        list_lengths_are_bounded, loading_a_file, nearest_names);
}
