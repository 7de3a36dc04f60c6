#include "common/conf.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "common/buf.h"
#include "common/file.h"

#define NEAREST_WORD_MAX 64 /* longer words are nobody's typing error */

struct parse {
    yaml_parser_t yaml;
    yaml_event_t event; /* the current one; owned */
    const char *name;   /* of the file */
    int depth;
    struct err *err;
};

/* "FILE:LINE:COL: " and the text, at the place of `mark`. */
static int fail(struct parse *p, const yaml_mark_t *mark, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static int fail(struct parse *p, const yaml_mark_t *mark, const char *fmt, ...)
{
    struct buf text = BUF_INIT;
    va_list ap;
    char *to;

    va_start(ap, fmt);
    to = buf_reserve(&text, ERR_TEXT_MAX);
    vsnprintf(to, ERR_TEXT_MAX, fmt, ap);
    va_end(ap);
    err_set(p->err, ERR_CONFIG, "%s:%zu:%zu: %s", p->name, mark->line + 1,
            mark->column + 1, to);
    buf_free(&text);
    return -1;
}

/* libyaml refuses the text. It gives no mark for bytes that are not UTF-8. */
static int fail_yaml(struct parse *p)
{
    const yaml_parser_t *y = &p->yaml;

    if (y->error == YAML_MEMORY_ERROR)
        return err_set(p->err, ERR_NOMEM, "%s: out of memory", p->name);
    if (y->error == YAML_READER_ERROR)
        return fail(p, &y->mark, "%s (byte %zu)", y->problem,
                    y->problem_offset);
    return fail(p, &y->problem_mark, "%s",
                y->problem != NULL ? y->problem : "not YAML");
}

/* Whether the event is an alias or carries an anchor or a tag. */
static bool has_properties(const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_ALIAS_EVENT:
        return true;
    case YAML_SCALAR_EVENT:
        return e->data.scalar.anchor != NULL || e->data.scalar.tag != NULL;
    case YAML_SEQUENCE_START_EVENT:
        return e->data.sequence_start.anchor != NULL
               || e->data.sequence_start.tag != NULL;
    case YAML_MAPPING_START_EVENT:
        return e->data.mapping_start.anchor != NULL
               || e->data.mapping_start.tag != NULL;
    default:
        return false;
    }
}

/* Move to the next event. The depth is checked here, event by event, because
 * the time libyaml takes grows with the square of the nesting (0.2.5: 80 KiB of
 * '[' take 11 s).
 */
static int next(struct parse *p)
{
    yaml_event_t *e = &p->event;

    yaml_event_delete(e);
    if (!yaml_parser_parse(&p->yaml, e)) {
        *e = (yaml_event_t){0};
        return fail_yaml(p);
    }
    if (e->type == YAML_SEQUENCE_START_EVENT
        || e->type == YAML_MAPPING_START_EVENT)
        p->depth++;
    if (e->type == YAML_SEQUENCE_END_EVENT || e->type == YAML_MAPPING_END_EVENT)
        p->depth--;
    if (p->depth > CONF_DEPTH_MAX)
        return fail(p, &e->start_mark, "nested deeper than %d levels",
                    CONF_DEPTH_MAX);
    if (has_properties(e))
        return fail(p, &e->start_mark,
                    "anchors, aliases and tags are not supported");
    return 0;
}

static const char *event_kind(yaml_event_type_t type)
{
    switch (type) {
    case YAML_SCALAR_EVENT:
        return "a single value";
    case YAML_SEQUENCE_START_EVENT:
        return "a list";
    case YAML_MAPPING_START_EVENT:
        return "a mapping";
    default:
        return "nothing";
    }
}

/* The scalar at hand as text, or NULL after an error. What YAML reads as null
 * is refused: whoever writes `spool:` and no value has forgotten something.
 */
static const char *scalar(struct parse *p, const char *key)
{
    const yaml_event_t *e = &p->event;
    const char *s;

    if (e->type != YAML_SCALAR_EVENT) {
        fail(p, &e->start_mark, "%s: expected a single value, not %s", key,
             event_kind(e->type));
        return NULL;
    }
    s = (const char *)e->data.scalar.value;
    if (strlen(s) != e->data.scalar.length) {
        fail(p, &e->start_mark, "%s: contains a NUL character", key);
        return NULL;
    }
    if (e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE
        && (*s == '\0' || strcmp(s, "~") == 0 || strcmp(s, "null") == 0)) {
        fail(p, &e->start_mark, "%s: has no value", key);
        return NULL;
    }
    return s;
}

static bool is_plain(const struct parse *p)
{
    return p->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static int get_string(struct parse *p, const struct conf_key *key, char **out)
{
    const char *s = scalar(p, key->name);

    if (s == NULL)
        return -1;
    free(*out);
    *out = xstrdup(s);
    return 0;
}

static int get_int(struct parse *p, const struct conf_key *key, int64_t *out)
{
    const char *s = scalar(p, key->name);
    const char *digits;
    long long v;

    if (s == NULL)
        return -1;
    digits = s + (*s == '-' || *s == '+');
    if (!is_plain(p) || *digits == '\0'
        || digits[strspn(digits, "0123456789")] != '\0')
        return fail(p, &p->event.start_mark,
                    "%s: expected a whole number, not \"%s\"", key->name, s);
    errno = 0;
    v = strtoll(s, NULL, 10);
    if (errno == ERANGE
        || (key->min != key->max && (v < key->min || v > key->max))) {
        if (key->min == key->max)
            return fail(p, &p->event.start_mark, "%s: %s is out of range",
                        key->name, s);
        return fail(p, &p->event.start_mark,
                    "%s: %s is not between %lld and %lld", key->name, s,
                    (long long)key->min, (long long)key->max);
    }
    *out = v;
    return 0;
}

static int get_bool(struct parse *p, const struct conf_key *key, bool *out)
{
    const char *s = scalar(p, key->name);

    if (s == NULL)
        return -1;
    if (!is_plain(p) || (strcmp(s, "true") != 0 && strcmp(s, "false") != 0))
        return fail(p, &p->event.start_mark,
                    "%s: expected true or false, not \"%s\"", key->name, s);
    *out = s[0] == 't';
    return 0;
}

static void strings_free(struct conf_strings *list)
{
    for (size_t i = 0; i < list->n; i++)
        free(list->item[i]);
    free(list->item);
    *list = (struct conf_strings){0};
}

static void maps_free(const struct conf_key *key, struct conf_maps *list)
{
    for (size_t i = 0; i < list->n; i++)
        conf_free(key->sub, (char *)list->item + i * key->sub_size);
    free(list->item);
    *list = (struct conf_maps){0};
}

static int strings_add(struct parse *p, const struct conf_key *key,
                       struct conf_strings *list)
{
    const char *s = scalar(p, key->name);

    if (s == NULL)
        return -1;
    if (list->n == CONF_ITEMS_MAX)
        return fail(p, &p->event.start_mark, "%s: more than %d elements",
                    key->name, CONF_ITEMS_MAX);
    list->item = xrealloc(list->item, (list->n + 1) * sizeof *list->item);
    list->item[list->n++] = xstrdup(s);
    return 0;
}

static int get_strings(struct parse *p, const struct conf_key *key,
                       struct conf_strings *list)
{
    strings_free(list);
    if (p->event.type != YAML_SEQUENCE_START_EVENT)
        return strings_add(p, key, list);
    for (;;) {
        if (next(p) < 0)
            return -1;
        if (p->event.type == YAML_SEQUENCE_END_EVENT)
            return 0;
        if (strings_add(p, key, list) < 0)
            return -1;
    }
}

static int get_map(struct parse *p, const struct conf_key *keys, void *cfg);

static int get_maps(struct parse *p, const struct conf_key *key,
                    struct conf_maps *list)
{
    const yaml_event_t *e = &p->event;

    maps_free(key, list);
    if (e->type != YAML_SEQUENCE_START_EVENT)
        return fail(p, &e->start_mark, "%s: expected a list, not %s", key->name,
                    event_kind(e->type));
    for (;;) {
        char *item;

        if (next(p) < 0)
            return -1;
        if (e->type == YAML_SEQUENCE_END_EVENT)
            return 0;
        if (e->type != YAML_MAPPING_START_EVENT)
            return fail(p, &e->start_mark,
                        "%s: expected a list of mappings, not %s in it",
                        key->name, event_kind(e->type));
        if (list->n == CONF_ITEMS_MAX)
            return fail(p, &e->start_mark, "%s: more than %d elements",
                        key->name, CONF_ITEMS_MAX);
        item = xrealloc(list->item, (list->n + 1) * key->sub_size);
        list->item = item;
        item += list->n++ * key->sub_size;
        memset(item, 0, key->sub_size);
        if (get_map(p, key->sub, item) < 0)
            return -1;
    }
}

static int get_value(struct parse *p, const struct conf_key *key, void *cfg)
{
    void *field = (char *)cfg + key->offset;

    switch (key->type) {
    case CONF_STRING:
        return get_string(p, key, field);
    case CONF_INT:
        return get_int(p, key, field);
    case CONF_BOOL:
        return get_bool(p, key, field);
    case CONF_STRING_LIST:
        return get_strings(p, key, field);
    case CONF_MAP_LIST:
        return get_maps(p, key, field);
    }
    return err_set(p->err, ERR_INTERNAL, "conf: no type %d", (int)key->type);
}

static size_t table_size(const struct conf_key *keys)
{
    size_t n = 0;

    while (keys[n].name != NULL)
        n++;
    assert(n <= CONF_KEYS_MAX);
    return n;
}

/* The index in `keys` of the key at hand, or -1 after an error. */
static int find_key(struct parse *p, const struct conf_key *keys, size_t n)
{
    const char *known[CONF_KEYS_MAX + 1] = {0};
    const char *word, *near;

    if (p->event.type != YAML_SCALAR_EVENT)
        return fail(p, &p->event.start_mark, "a key cannot be %s",
                    event_kind(p->event.type));
    word = (const char *)p->event.data.scalar.value;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(keys[i].name, word) == 0)
            return (int)i;
        known[i] = keys[i].name;
    }
    near = conf_nearest(word, known);
    if (near != NULL)
        return fail(p, &p->event.start_mark,
                    "unknown key \"%s\", did you mean \"%s\"?", word, near);
    return fail(p, &p->event.start_mark, "unknown key \"%s\"", word);
}

/* Read a mapping, whose start is at hand, up to its end. */
static int get_map(struct parse *p, const struct conf_key *keys, void *cfg)
{
    size_t seen[CONF_KEYS_MAX] = {0}; /* line of each key, from 1 */
    yaml_mark_t start = p->event.start_mark;
    size_t n = table_size(keys);

    for (;;) {
        int k;

        if (next(p) < 0)
            return -1;
        if (p->event.type == YAML_MAPPING_END_EVENT)
            break;
        k = find_key(p, keys, n);
        if (k < 0)
            return -1;
        if (seen[k] > 0)
            return fail(p, &p->event.start_mark,
                        "duplicate key \"%s\", first on line %zu", keys[k].name,
                        seen[k]);
        seen[k] = p->event.start_mark.line + 1;
        if (next(p) < 0 || get_value(p, &keys[k], cfg) < 0)
            return -1;
    }
    for (size_t i = 0; i < n; i++) {
        if (keys[i].required && seen[i] == 0)
            return fail(p, &start, "required key \"%s\" is missing",
                        keys[i].name);
    }
    return 0;
}

/* An empty file, or one of only comments, is an empty mapping. */
static int get_nothing(struct parse *p, const struct conf_key *keys)
{
    for (; keys->name != NULL; keys++) {
        if (keys->required)
            return fail(p, &p->event.start_mark,
                        "required key \"%s\" is missing", keys->name);
    }
    return 0;
}

static bool is_empty_scalar(const yaml_event_t *e)
{
    return e->type == YAML_SCALAR_EVENT && e->data.scalar.length == 0;
}

static int get_document(struct parse *p, const struct conf_key *keys, void *cfg)
{
    int ret;

    /* The first event is always the start of the stream. */
    if (next(p) < 0 || next(p) < 0)
        return -1;
    if (p->event.type == YAML_STREAM_END_EVENT)
        return get_nothing(p, keys);
    if (next(p) < 0)
        return -1;
    if (is_empty_scalar(&p->event))
        ret = get_nothing(p, keys);
    else if (p->event.type == YAML_MAPPING_START_EVENT)
        ret = get_map(p, keys, cfg);
    else
        ret =
            fail(p, &p->event.start_mark, "expected `key: value` lines, not %s",
                 event_kind(p->event.type));
    /* End of the document, then end of the stream. */
    if (ret < 0 || next(p) < 0 || next(p) < 0)
        return -1;
    if (p->event.type != YAML_STREAM_END_EVENT)
        return fail(p, &p->event.start_mark, "a second document begins here");
    return 0;
}

int conf_parse(const char *name, const char *text, size_t len,
               const struct conf_key *keys, void *cfg, struct err *err)
{
    struct parse p = {.name = name, .err = err};
    int ret;

    if (len > CONF_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "%s: larger than %u bytes", name,
                       CONF_BYTES_MAX);
    if (!yaml_parser_initialize(&p.yaml))
        return err_set(err, ERR_NOMEM, "%s: out of memory", name);
    yaml_parser_set_encoding(&p.yaml, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&p.yaml, (const unsigned char *)text, len);
    ret = get_document(&p, keys, cfg);
    yaml_event_delete(&p.event);
    yaml_parser_delete(&p.yaml);
    return ret;
}

int conf_load(const char *path, const struct conf_key *keys, void *cfg,
              struct err *err)
{
    struct buf text = BUF_INIT;
    int ret = file_read(path, CONF_BYTES_MAX, &text, err);

    if (ret == 0)
        ret = conf_parse(path, text.data, text.len, keys, cfg, err);
    buf_free(&text);
    return ret;
}

void conf_free(const struct conf_key *keys, void *cfg)
{
    for (; keys->name != NULL; keys++) {
        void *field = (char *)cfg + keys->offset;

        if (keys->type == CONF_STRING) {
            free(*(char **)field);
            *(char **)field = NULL;
        } else if (keys->type == CONF_STRING_LIST) {
            strings_free(field);
        } else if (keys->type == CONF_MAP_LIST) {
            maps_free(keys, field);
        }
    }
}

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;

    return m < c ? m : c;
}

/* Insertions, deletions, replacements and swaps of neighbours from a to b
 * (optimal string alignment). Both have at most NEAREST_WORD_MAX bytes.
 */
static size_t edit_distance(const char *a, size_t la, const char *b, size_t lb)
{
    size_t row[3][NEAREST_WORD_MAX + 1];
    size_t *before = row[0], *above = row[1], *here = row[2];

    for (size_t j = 0; j <= lb; j++)
        above[j] = j;
    for (size_t i = 1; i <= la; i++) {
        size_t *spare = before;

        here[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            here[j] = min3(above[j] + 1, here[j - 1] + 1,
                           above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]
                && before[j - 2] + 1 < here[j])
                here[j] = before[j - 2] + 1;
        }
        before = above;
        above = here;
        here = spare;
    }
    return above[lb];
}

const char *conf_nearest(const char *word, const char *const *known)
{
    size_t len = strlen(word), best = SIZE_MAX;
    const char *nearest = NULL;

    if (len > NEAREST_WORD_MAX)
        return NULL;
    for (; *known != NULL; known++) {
        size_t n = strlen(*known), longer = n > len ? n : len, d;

        if (n > NEAREST_WORD_MAX)
            continue;
        d = edit_distance(word, len, *known, n);
        if (3 * d <= longer && d < best) {
            best = d;
            nearest = *known;
        }
    }
    return nearest;
}
