#include "model/pickle.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "text/utf8.h"

enum kind {
    KIND_NONE,
    KIND_BOOL,
    KIND_INT,
    KIND_TEXT,
    KIND_TUPLE,
    KIND_DICT,
    KIND_GLOBAL,
    KIND_STORAGE,
    KIND_TENSOR,
};

static const char *const kind_name[] = {
    "None",         "a bool",   "an int",    "a string", "a tuple",
    "a dictionary", "a global", "a storage", "a tensor",
};

/* What is on the stack, in the memo, in tuples. Small and copied. */
struct value {
    enum kind kind;
    uint32_t n; /* TEXT: bytes; TUPLE: items */
    union {
        int64_t number;   /* BOOL, INT */
        const char *text; /* TEXT: into the pickle */
        uint32_t at;      /* TUPLE: first item; others: index in their list */
    };
};

struct pair {
    struct value key, value;
};

struct dict {
    struct pair *pair;
    size_t n, cap;
};

struct storage {
    enum dtype dtype;
    const char *key;
    uint32_t key_len;
    int64_t count;
};

enum global_kind {
    GLOBAL_ORDERED_DICT,
    GLOBAL_REBUILD_TENSOR,
    GLOBAL_REBUILD_PARAMETER,
    GLOBAL_STORAGE,
};

static const struct global {
    const char *module, *name;
    enum global_kind kind;
    enum dtype dtype;
} globals[] = {
    {"collections", "OrderedDict", GLOBAL_ORDERED_DICT, 0},
    {"torch._utils", "_rebuild_tensor_v2", GLOBAL_REBUILD_TENSOR, 0},
    {"torch._utils", "_rebuild_parameter", GLOBAL_REBUILD_PARAMETER, 0},
    {"torch", "DoubleStorage", GLOBAL_STORAGE, DTYPE_F64},
    {"torch", "FloatStorage", GLOBAL_STORAGE, DTYPE_F32},
    {"torch", "HalfStorage", GLOBAL_STORAGE, DTYPE_F16},
    {"torch", "BFloat16Storage", GLOBAL_STORAGE, DTYPE_BF16},
    {"torch", "LongStorage", GLOBAL_STORAGE, DTYPE_I64},
    {"torch", "IntStorage", GLOBAL_STORAGE, DTYPE_I32},
    {"torch", "ShortStorage", GLOBAL_STORAGE, DTYPE_I16},
    {"torch", "CharStorage", GLOBAL_STORAGE, DTYPE_I8},
    {"torch", "ByteStorage", GLOBAL_STORAGE, DTYPE_U8},
    {"torch", "BoolStorage", GLOBAL_STORAGE, DTYPE_BOOL},
};
#define N_GLOBALS (sizeof globals / sizeof *globals)

struct machine {
    const uint8_t *data;
    size_t len, pos;
    bool stopped;

    struct value *stack;
    size_t n_stack, cap_stack;
    size_t mark[PICKLE_MARKS_MAX]; /* stack heights */
    size_t n_mark;
    struct value *memo;
    size_t n_memo, cap_memo;

    struct value *item; /* of all tuples, each a consecutive run */
    size_t n_item, cap_item;
    struct dict *dict;
    size_t n_dict, cap_dict;
    struct storage *storage;
    size_t n_storage, cap_storage;
    struct pickle_tensor *tensor;
    size_t n_tensor, cap_tensor;
    size_t n_values; /* everything in the five lists, for the bound */
};

/* Room for one more element of a list. */
static void *grow(void *list, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return list;
    *cap = *cap == 0 ? 64 : 2 * *cap;
    return xrealloc(list, *cap * size);
}

static int count_values(struct machine *m, size_t n, struct err *err)
{
    m->n_values += n;
    if (m->n_values > PICKLE_VALUES_MAX)
        return err_set(err, ERR_LIMIT, "more than %u values",
                       PICKLE_VALUES_MAX);
    return 0;
}

/* Reading arguments. */

static int need(const struct machine *m, size_t n, struct err *err)
{
    if (n > m->len - m->pos)
        return err_set(err, ERR_INVALID, "cut short");
    return 0;
}

/* A little-endian number of n <= 8 bytes. */
static int take_number(struct machine *m, size_t n, uint64_t *out,
                       struct err *err)
{
    if (need(m, n, err) < 0)
        return -1;
    *out = 0;
    memcpy(out, m->data + m->pos, n);
    m->pos += n;
    return 0;
}

/* The stack. */

static int push(struct machine *m, struct value v, struct err *err)
{
    if (m->n_stack == PICKLE_STACK_MAX)
        return err_set(err, ERR_LIMIT, "stack of more than %u values",
                       PICKLE_STACK_MAX);
    m->stack = grow(m->stack, m->n_stack, &m->cap_stack, sizeof *m->stack);
    m->stack[m->n_stack++] = v;
    return 0;
}

/* Values above the innermost mark, which no instruction but those that end the
 * mark may take away.
 */
static size_t stack_height(const struct machine *m)
{
    return m->n_stack - (m->n_mark > 0 ? m->mark[m->n_mark - 1] : 0);
}

static int pop(struct machine *m, struct value *out, struct err *err)
{
    if (stack_height(m) == 0)
        return err_set(err, ERR_INVALID, "empty stack");
    *out = m->stack[--m->n_stack];
    return 0;
}

static int top(const struct machine *m, struct value *out, struct err *err)
{
    if (stack_height(m) == 0)
        return err_set(err, ERR_INVALID, "empty stack");
    *out = m->stack[m->n_stack - 1];
    return 0;
}

static int pop_mark(struct machine *m, size_t *first, struct err *err)
{
    if (m->n_mark == 0)
        return err_set(err, ERR_INVALID, "no mark");
    *first = m->mark[--m->n_mark];
    return 0;
}

static int expect(const struct value *v, enum kind kind, const char *what,
                  struct err *err)
{
    if (v->kind != kind)
        return err_set(err, ERR_INVALID, "%s is %s, expected %s", what,
                       kind_name[v->kind], kind_name[kind]);
    return 0;
}

/* Constants. */

static int op_none(struct machine *m, uint64_t arg, struct err *err)
{
    (void)arg;
    return push(m, (struct value){.kind = KIND_NONE}, err);
}

static int op_true(struct machine *m, uint64_t arg, struct err *err)
{
    (void)arg;
    return push(m, (struct value){.kind = KIND_BOOL, .number = 1}, err);
}

static int op_false(struct machine *m, uint64_t arg, struct err *err)
{
    (void)arg;
    return push(m, (struct value){.kind = KIND_BOOL}, err);
}

static int push_int(struct machine *m, int64_t n, struct err *err)
{
    return push(m, (struct value){.kind = KIND_INT, .number = n}, err);
}

static int op_unsigned(struct machine *m, uint64_t arg, struct err *err)
{
    return push_int(m, (int64_t)arg, err);
}

static int op_int4(struct machine *m, uint64_t arg, struct err *err)
{
    return push_int(m, (int32_t)(uint32_t)arg, err);
}

/* LONG1: a length and that many bytes of two's complement. */
static int op_long1(struct machine *m, uint64_t arg, struct err *err)
{
    uint64_t n = 0;

    if (arg > 8)
        return err_set(err, ERR_LIMIT, "a number of %llu bytes",
                       (unsigned long long)arg);
    if (take_number(m, (size_t)arg, &n, err) < 0)
        return -1;
    if (arg > 0 && arg < 8 && (n >> (8 * arg - 1) & 1) != 0)
        n |= ~(uint64_t)0 << 8 * arg;
    return push_int(m, (int64_t)n, err);
}

static int op_text(struct machine *m, uint64_t arg, struct err *err)
{
    struct value v = {.kind = KIND_TEXT,
                      .n = (uint32_t)arg,
                      .text = (const char *)m->data + m->pos};

    if (need(m, (size_t)arg, err) < 0)
        return -1;
    m->pos += (size_t)arg;
    return push(m, v, err);
}

/* Structure. */

static int op_proto(struct machine *m, uint64_t arg, struct err *err)
{
    (void)m;
    if (arg < 2 || arg > 4)
        return err_set(err, ERR_INVALID, "pickle protocol %llu, expected 2..4",
                       (unsigned long long)arg);
    return 0;
}

static int op_frame(struct machine *m, uint64_t arg, struct err *err)
{
    (void)m;
    (void)arg; /* a hint for readers of streams */
    (void)err;
    return 0;
}

static int op_stop(struct machine *m, uint64_t arg, struct err *err)
{
    (void)arg;
    (void)err;
    m->stopped = true;
    return 0;
}

static int op_mark(struct machine *m, uint64_t arg, struct err *err)
{
    (void)arg;
    if (m->n_mark == PICKLE_MARKS_MAX)
        return err_set(err, ERR_LIMIT, "nested deeper than %u",
                       PICKLE_MARKS_MAX);
    m->mark[m->n_mark++] = m->n_stack;
    return 0;
}

static int op_put(struct machine *m, uint64_t arg, struct err *err)
{
    struct value v = {0};

    if (top(m, &v, err) < 0)
        return -1;
    if (arg >= PICKLE_MEMO_MAX)
        return err_set(err, ERR_LIMIT, "memo of more than %u values",
                       PICKLE_MEMO_MAX);
    while (m->n_memo <= arg) {
        m->memo = grow(m->memo, m->n_memo, &m->cap_memo, sizeof *m->memo);
        m->memo[m->n_memo++] = (struct value){.kind = KIND_NONE};
    }
    m->memo[arg] = v;
    return 0;
}

static int op_memoize(struct machine *m, uint64_t arg, struct err *err)
{
    (void)arg;
    return op_put(m, m->n_memo, err);
}

static int op_get(struct machine *m, uint64_t arg, struct err *err)
{
    if (arg >= m->n_memo)
        return err_set(err, ERR_INVALID, "memo has no value %llu",
                       (unsigned long long)arg);
    return push(m, m->memo[arg], err);
}

/* The stack from `first` on becomes one tuple. */
static int make_tuple(struct machine *m, size_t first, struct err *err)
{
    size_t n = m->n_stack - first;
    struct value tuple = {
        .kind = KIND_TUPLE, .n = (uint32_t)n, .at = (uint32_t)m->n_item};

    if (count_values(m, n + 1, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        m->item = grow(m->item, m->n_item, &m->cap_item, sizeof *m->item);
        m->item[m->n_item++] = m->stack[first + i];
    }
    m->n_stack = first;
    return push(m, tuple, err);
}

static int op_tuple(struct machine *m, uint64_t arg, struct err *err)
{
    size_t first = 0;

    (void)arg;
    return pop_mark(m, &first, err) < 0 ? -1 : make_tuple(m, first, err);
}

static int tuple_of(struct machine *m, size_t n, struct err *err)
{
    if (stack_height(m) < n)
        return err_set(err, ERR_INVALID, "empty stack");
    return make_tuple(m, m->n_stack - n, err);
}

static int op_tuple0(struct machine *m, uint64_t arg, struct err *err)
{
    (void)arg;
    return tuple_of(m, 0, err);
}

static int op_tuple1(struct machine *m, uint64_t arg, struct err *err)
{
    (void)arg;
    return tuple_of(m, 1, err);
}

static int op_tuple2(struct machine *m, uint64_t arg, struct err *err)
{
    (void)arg;
    return tuple_of(m, 2, err);
}

static int op_tuple3(struct machine *m, uint64_t arg, struct err *err)
{
    (void)arg;
    return tuple_of(m, 3, err);
}

/* Dictionaries. */

static int op_dict(struct machine *m, uint64_t arg, struct err *err)
{
    (void)arg;
    if (count_values(m, 1, err) < 0)
        return -1;
    m->dict = grow(m->dict, m->n_dict, &m->cap_dict, sizeof *m->dict);
    m->dict[m->n_dict] = (struct dict){0};
    return push(
        m, (struct value){.kind = KIND_DICT, .at = (uint32_t)m->n_dict++}, err);
}

static int dict_add(struct machine *m, const struct value *dict,
                    const struct value *key, const struct value *value,
                    struct err *err)
{
    struct dict *d;

    if (expect(dict, KIND_DICT, "target of an item", err) < 0
        || count_values(m, 2, err) < 0)
        return -1;
    d = &m->dict[dict->at];
    d->pair = grow(d->pair, d->n, &d->cap, sizeof *d->pair);
    d->pair[d->n++] = (struct pair){*key, *value};
    return 0;
}

static int op_setitem(struct machine *m, uint64_t arg, struct err *err)
{
    struct value dict = {0}, key = {0}, value = {0};

    (void)arg;
    if (pop(m, &value, err) < 0 || pop(m, &key, err) < 0
        || top(m, &dict, err) < 0)
        return -1;
    return dict_add(m, &dict, &key, &value, err);
}

static int op_setitems(struct machine *m, uint64_t arg, struct err *err)
{
    struct value dict = {0};
    size_t first = 0, end = m->n_stack;

    (void)arg;
    if (pop_mark(m, &first, err) < 0)
        return -1;
    if ((end - first) % 2 != 0)
        return err_set(err, ERR_INVALID, "a key without a value");
    m->n_stack = first;
    if (top(m, &dict, err) < 0)
        return -1;
    for (size_t i = first; i < end; i += 2) {
        if (dict_add(m, &dict, &m->stack[i], &m->stack[i + 1], err) < 0)
            return -1;
    }
    return 0;
}

static bool text_is(const struct value *v, const char *want)
{
    return v->kind == KIND_TEXT && v->n == strlen(want)
           && memcmp(v->text, want, v->n) == 0;
}

/* BUILD sets attributes: only an OrderedDict's _metadata, which says nothing
 * about tensors.
 */
static int op_build(struct machine *m, uint64_t arg, struct err *err)
{
    struct value state = {0}, object = {0};

    (void)arg;
    if (pop(m, &state, err) < 0 || top(m, &object, err) < 0
        || expect(&state, KIND_DICT, "state of BUILD", err) < 0
        || expect(&object, KIND_DICT, "object of BUILD", err) < 0)
        return -1;
    for (size_t i = 0; i < m->dict[state.at].n; i++) {
        if (!text_is(&m->dict[state.at].pair[i].key, "_metadata"))
            return err_set(err, ERR_INVALID, "attribute other than _metadata");
    }
    return 0;
}

/* Globals, storages, tensors. */

static int push_global(struct machine *m, const char *module, size_t module_len,
                       const char *name, size_t name_len, struct err *err)
{
    for (size_t i = 0; i < N_GLOBALS; i++) {
        if (strlen(globals[i].module) == module_len
            && strlen(globals[i].name) == name_len
            && memcmp(globals[i].module, module, module_len) == 0
            && memcmp(globals[i].name, name, name_len) == 0)
            return push(
                m, (struct value){.kind = KIND_GLOBAL, .at = (uint32_t)i}, err);
    }
    return err_set(err, ERR_INVALID,
                   "wants to use %.*s.%.*s, which no checkpoint of tensors "
                   "needs: refused",
                   (int)(module_len < 64 ? module_len : 64), module,
                   (int)(name_len < 64 ? name_len : 64), name);
}

static int take_line(struct machine *m, const char **line, size_t *len,
                     struct err *err)
{
    const uint8_t *from = m->data + m->pos;
    const uint8_t *end = memchr(from, '\n', m->len - m->pos);

    if (end == NULL)
        return err_set(err, ERR_INVALID, "cut short");
    *line = (const char *)from;
    *len = (size_t)(end - from);
    m->pos += *len + 1;
    return 0;
}

static int op_global(struct machine *m, uint64_t arg, struct err *err)
{
    const char *module, *name;
    size_t module_len, name_len;

    (void)arg;
    if (take_line(m, &module, &module_len, err) < 0
        || take_line(m, &name, &name_len, err) < 0)
        return -1;
    return push_global(m, module, module_len, name, name_len, err);
}

static int op_stack_global(struct machine *m, uint64_t arg, struct err *err)
{
    struct value module = {0}, name = {0};

    (void)arg;
    if (pop(m, &name, err) < 0 || pop(m, &module, err) < 0
        || expect(&name, KIND_TEXT, "name of a global", err) < 0
        || expect(&module, KIND_TEXT, "module of a global", err) < 0)
        return -1;
    return push_global(m, module.text, module.n, name.text, name.n, err);
}

/* ("storage", torch.XStorage, key, location, element count) */
static int op_persid(struct machine *m, uint64_t arg, struct err *err)
{
    const struct global *type;
    const struct value *item;
    struct value id = {0};

    (void)arg;
    if (pop(m, &id, err) < 0
        || expect(&id, KIND_TUPLE, "persistent id", err) < 0)
        return -1;
    item = id.n == 5 ? m->item + id.at : NULL;
    if (item == NULL || !text_is(&item[0], "storage")
        || item[1].kind != KIND_GLOBAL || item[2].kind != KIND_TEXT
        || item[3].kind != KIND_TEXT || item[4].kind != KIND_INT)
        return err_set(err, ERR_INVALID,
                       "persistent id is not (\"storage\", type, key, "
                       "location, count)");
    type = &globals[item[1].at];
    if (type->kind != GLOBAL_STORAGE || item[4].number < 0
        || item[4].number > TENSOR_ELEMENTS_MAX)
        return err_set(err, ERR_INVALID, "bad storage type or element count");
    if (count_values(m, 1, err) < 0)
        return -1;
    m->storage =
        grow(m->storage, m->n_storage, &m->cap_storage, sizeof *m->storage);
    m->storage[m->n_storage] = (struct storage){.dtype = type->dtype,
                                                .key = item[2].text,
                                                .key_len = item[2].n,
                                                .count = item[4].number};
    return push(
        m, (struct value){.kind = KIND_STORAGE, .at = (uint32_t)m->n_storage++},
        err);
}

/* A tuple of sizes or strides. */
static int read_sizes(const struct machine *m, const struct value *tuple,
                      int64_t out[TENSOR_DIMS_MAX], const char *what,
                      struct err *err)
{
    if (expect(tuple, KIND_TUPLE, what, err) < 0)
        return -1;
    if (tuple->n > TENSOR_DIMS_MAX)
        return err_set(err, ERR_LIMIT, "%u dimensions, %d are allowed",
                       tuple->n, TENSOR_DIMS_MAX);
    for (uint32_t i = 0; i < tuple->n; i++) {
        const struct value *v = &m->item[tuple->at + i];

        if (v->kind != KIND_INT || v->number < 0)
            return err_set(err, ERR_INVALID, "%s holds %s", what,
                           v->kind == KIND_INT ? "a negative number"
                                               : kind_name[v->kind]);
        out[i] = v->number;
    }
    return 0;
}

/* (storage, offset, size, stride, requires_grad, hooks[, metadata]) */
static int rebuild_tensor(struct machine *m, const struct value *args,
                          struct err *err)
{
    const struct value *arg;
    const struct storage *s;
    struct pickle_tensor t = {0};

    if (args->n != 6 && args->n != 7)
        return err_set(err, ERR_INVALID, "_rebuild_tensor_v2 with %u arguments",
                       args->n);
    arg = m->item + args->at;
    if (expect(&arg[0], KIND_STORAGE, "storage of a tensor", err) < 0
        || expect(&arg[1], KIND_INT, "offset of a tensor", err) < 0
        || read_sizes(m, &arg[2], t.shape, "size of a tensor", err) < 0
        || read_sizes(m, &arg[3], t.stride, "stride of a tensor", err) < 0)
        return -1;
    if (arg[2].n != arg[3].n || arg[1].number < 0)
        return err_set(err, ERR_INVALID,
                       "tensor with %u sizes, %u strides, offset %lld",
                       arg[2].n, arg[3].n, (long long)arg[1].number);
    if (count_values(m, 1, err) < 0)
        return -1;
    s = &m->storage[arg[0].at];
    t.key = s->key;
    t.key_len = s->key_len;
    t.dtype = s->dtype;
    t.count = s->count;
    t.offset = arg[1].number;
    t.ndim = (int)arg[2].n;
    m->tensor = grow(m->tensor, m->n_tensor, &m->cap_tensor, sizeof *m->tensor);
    m->tensor[m->n_tensor] = t;
    return push(
        m, (struct value){.kind = KIND_TENSOR, .at = (uint32_t)m->n_tensor++},
        err);
}

/* (tensor, requires_grad, hooks): the tensor */
static int rebuild_parameter(struct machine *m, const struct value *args,
                             struct err *err)
{
    if (args->n != 3 || m->item[args->at].kind != KIND_TENSOR)
        return err_set(err, ERR_INVALID, "_rebuild_parameter without a tensor");
    return push(m, m->item[args->at], err);
}

static int op_reduce(struct machine *m, uint64_t arg, struct err *err)
{
    struct value args = {0}, function = {0};

    (void)arg;
    if (pop(m, &args, err) < 0 || pop(m, &function, err) < 0
        || expect(&args, KIND_TUPLE, "arguments of REDUCE", err) < 0
        || expect(&function, KIND_GLOBAL, "function of REDUCE", err) < 0)
        return -1;
    switch (globals[function.at].kind) {
    case GLOBAL_ORDERED_DICT:
        if (args.n != 0)
            return err_set(err, ERR_INVALID, "OrderedDict with arguments");
        return op_dict(m, 0, err);
    case GLOBAL_REBUILD_TENSOR:
        return rebuild_tensor(m, &args, err);
    case GLOBAL_REBUILD_PARAMETER:
        return rebuild_parameter(m, &args, err);
    case GLOBAL_STORAGE:
        break;
    }
    return err_set(err, ERR_INVALID, "call of torch.%s: refused",
                   globals[function.at].name);
}

static const struct opcode {
    const char *name;
    size_t arg; /* bytes of the number that follows */
    int (*run)(struct machine *m, uint64_t arg, struct err *err);
} opcodes[256] = {
    [0x80] = {"PROTO", 1, op_proto},
    [0x95] = {"FRAME", 8, op_frame},
    ['.'] = {"STOP", 0, op_stop},
    ['('] = {"MARK", 0, op_mark},
    ['N'] = {"NONE", 0, op_none},
    [0x88] = {"NEWTRUE", 0, op_true},
    [0x89] = {"NEWFALSE", 0, op_false},
    ['K'] = {"BININT1", 1, op_unsigned},
    ['M'] = {"BININT2", 2, op_unsigned},
    ['J'] = {"BININT", 4, op_int4},
    [0x8a] = {"LONG1", 1, op_long1},
    ['X'] = {"BINUNICODE", 4, op_text},
    [0x8c] = {"SHORT_BINUNICODE", 1, op_text},
    [')'] = {"EMPTY_TUPLE", 0, op_tuple0},
    [0x85] = {"TUPLE1", 0, op_tuple1},
    [0x86] = {"TUPLE2", 0, op_tuple2},
    [0x87] = {"TUPLE3", 0, op_tuple3},
    ['t'] = {"TUPLE", 0, op_tuple},
    ['}'] = {"EMPTY_DICT", 0, op_dict},
    ['s'] = {"SETITEM", 0, op_setitem},
    ['u'] = {"SETITEMS", 0, op_setitems},
    ['q'] = {"BINPUT", 1, op_put},
    ['r'] = {"LONG_BINPUT", 4, op_put},
    [0x94] = {"MEMOIZE", 0, op_memoize},
    ['h'] = {"BINGET", 1, op_get},
    ['j'] = {"LONG_BINGET", 4, op_get},
    ['c'] = {"GLOBAL", 0, op_global},
    [0x93] = {"STACK_GLOBAL", 0, op_stack_global},
    ['Q'] = {"BINPERSID", 0, op_persid},
    ['R'] = {"REDUCE", 0, op_reduce},
    ['b'] = {"BUILD", 0, op_build},
};

static int run(struct machine *m, struct err *err)
{
    while (!m->stopped) {
        size_t at = m->pos;
        const struct opcode *op;
        uint64_t arg = 0;

        if (at == m->len)
            return err_set(err, ERR_INVALID, "no STOP at its end: cut short");
        op = &opcodes[m->data[m->pos++]];
        if (op->run == NULL)
            return err_set(err, ERR_INVALID,
                           "opcode 0x%02x at byte %zu is not one that a "
                           "checkpoint of tensors needs: refused",
                           m->data[at], at);
        if (take_number(m, op->arg, &arg, err) < 0 || op->run(m, arg, err) < 0)
            return err_wrap(err, "%s at byte %zu", op->name, at);
    }
    return 0;
}

/* The finished dictionary as an array. */
static struct pickle_tensor *collect(const struct machine *m, size_t *n,
                                     struct err *err)
{
    struct pickle_tensor *out;
    const struct dict *d;
    struct value root = {0};

    if (top(m, &root, err) < 0 || expect(&root, KIND_DICT, "content", err) < 0)
        return NULL;
    d = &m->dict[root.at];
    out = xcalloc(d->n, sizeof *out);
    for (size_t i = 0; i < d->n; i++) {
        const struct value *key = &d->pair[i].key;
        const struct value *value = &d->pair[i].value;

        if (expect(key, KIND_TEXT, "key of the dictionary", err) < 0)
            goto fail;
        if (memchr(key->text, '\0', key->n) != NULL
            || !utf8_valid(key->text, key->n)) {
            err_set(err, ERR_INVALID, "a key is not UTF-8 text");
            goto fail;
        }
        if (expect(value, KIND_TENSOR, "value", err) < 0) {
            err_wrap(err, "key %.*s", (int)(key->n < 64 ? key->n : 64),
                     key->text);
            goto fail;
        }
        out[i] = m->tensor[value->at];
        out[i].name = key->text;
        out[i].name_len = key->n;
    }
    *n = d->n;
    return out;
fail:
    free(out);
    return NULL;
}

static void machine_free(struct machine *m)
{
    for (size_t i = 0; i < m->n_dict; i++)
        free(m->dict[i].pair);
    free(m->dict);
    free(m->stack);
    free(m->memo);
    free(m->item);
    free(m->storage);
    free(m->tensor);
    free(m);
}

struct pickle_tensor *pickle_parse(const uint8_t *data, size_t len, size_t *n,
                                   struct err *err)
{
    struct pickle_tensor *out = NULL;
    struct machine *m;

    if (len > PICKLE_BYTES_MAX) {
        err_set(err, ERR_LIMIT, "%zu bytes, %u are allowed", len,
                PICKLE_BYTES_MAX);
        return NULL;
    }
    m = xcalloc(1, sizeof *m);
    m->data = data;
    m->len = len;
    if (run(m, err) == 0)
        out = collect(m, n, err);
    machine_free(m);
    return out;
}
