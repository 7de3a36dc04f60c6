#include "text/trie.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"

#define NONE UINT32_MAX
/* A node with more children than this gets a row of 256 child numbers; others
 * are searched from their first child on, whose labels share a cache line.
 */
#define SEARCH_MAX 12

/* Nodes in breadth-first order, so that the children of one node are
 * neighbours, in order of their labels. Node 0 is the root.
 */
struct node {
    int32_t value;     /* of the key that ends here, or -1 */
    uint32_t child;    /* first child, or the number of a row */
    uint16_t children; /* 0..256 */
};

struct trie {
    struct node *node;
    uint8_t *label; /* of the edge that leads to the node */
    uint32_t *row;  /* [rows * 256] child numbers, NONE where there is none */
};

/* What a node still has to be made of: keys[first..end), equal in their first
 * `depth` bytes. Only while building.
 */
struct span {
    uint32_t first, end, depth;
};

struct builder {
    struct trie *trie;
    const struct trie_key *keys;
    struct span *span; /* of each node */
    uint32_t nodes, cap;
    uint32_t rows, rows_cap;
};

static int compare_keys(const void *a, const void *b)
{
    const struct trie_key *x = a, *y = b;
    uint32_t n = x->len < y->len ? x->len : y->len;
    int order = memcmp(x->bytes, y->bytes, n);

    if (order != 0)
        return order;
    if (x->len != y->len)
        return x->len < y->len ? -1 : 1;
    return (x->value > y->value) - (x->value < y->value);
}

static int find_twin(const struct trie_key *keys, size_t n, int32_t twin[2])
{
    for (size_t i = 1; i < n; i++) {
        if (keys[i].len != keys[i - 1].len
            || memcmp(keys[i].bytes, keys[i - 1].bytes, keys[i].len) != 0)
            continue;
        if (twin != NULL) {
            twin[0] = keys[i - 1].value;
            twin[1] = keys[i].value;
        }
        return 1;
    }
    return 0;
}

static void add_node(struct builder *b, uint8_t label, struct span span)
{
    struct trie *t = b->trie;

    if (b->nodes == b->cap) {
        b->cap = b->cap < 128 ? 256 : b->cap * 2;
        t->node = xrealloc(t->node, b->cap * sizeof *t->node);
        t->label = xrealloc(t->label, b->cap);
        b->span = xrealloc(b->span, b->cap * sizeof *b->span);
    }
    t->node[b->nodes] = (struct node){.value = -1};
    t->label[b->nodes] = label;
    b->span[b->nodes] = span;
    b->nodes++;
}

/* Replace the child list first..first+n of a node by a row. */
static void add_row(struct builder *b, struct node *node)
{
    struct trie *t = b->trie;
    uint32_t *row;

    if (b->rows == b->rows_cap) {
        b->rows_cap = b->rows_cap < 8 ? 16 : b->rows_cap * 2;
        t->row = xrealloc(t->row, (size_t)b->rows_cap * 256 * sizeof *row);
    }
    row = t->row + (size_t)b->rows * 256;
    for (int i = 0; i < 256; i++)
        row[i] = NONE;
    for (uint32_t i = 0; i < node->children; i++)
        row[t->label[node->child + i]] = node->child + i;
    node->child = b->rows++;
}

/* Give node `i` its value and its children. */
static void expand(struct builder *b, uint32_t i)
{
    struct span span = b->span[i];
    uint32_t first_child = b->nodes, at = span.first;
    struct node *node;
    int32_t value = -1;

    if (at < span.end && b->keys[at].len == span.depth)
        value = b->keys[at++].value;
    while (at < span.end) {
        uint8_t label = (uint8_t)b->keys[at].bytes[span.depth];
        uint32_t end = at + 1;

        while (end < span.end
               && (uint8_t)b->keys[end].bytes[span.depth] == label)
            end++;
        add_node(b, label, (struct span){at, end, span.depth + 1});
        at = end;
    }
    node = &b->trie->node[i];
    node->value = value;
    node->child = first_child;
    node->children = (uint16_t)(b->nodes - first_child);
    if (node->children > SEARCH_MAX)
        add_row(b, node);
}

struct trie *trie_build(struct trie_key *keys, size_t n, int32_t twin[2])
{
    struct builder b = {.keys = keys};

    assert(n < NONE);
    if (n > 1)
        qsort(keys, n, sizeof *keys, compare_keys);
    if (find_twin(keys, n, twin))
        return NULL;
    b.trie = xcalloc(1, sizeof *b.trie);
    add_node(&b, 0, (struct span){0, (uint32_t)n, 0});
    for (uint32_t i = 0; i < b.nodes; i++)
        expand(&b, i);
    free(b.span);
    return b.trie;
}

void trie_destroy(struct trie *t)
{
    if (t == NULL)
        return;
    free(t->node);
    free(t->label);
    free(t->row);
    free(t);
}

static uint32_t child_of(const struct trie *t, uint32_t at, uint8_t label)
{
    const struct node *node = &t->node[at];

    if (node->children > SEARCH_MAX)
        return t->row[(size_t)node->child * 256 + label];
    for (uint32_t i = 0; i < node->children; i++) {
        if (t->label[node->child + i] == label)
            return node->child + i;
    }
    return NONE;
}

size_t trie_longest(const struct trie *t, const char *s, size_t len,
                    int32_t *value)
{
    size_t longest = 0;
    uint32_t at = 0;

    for (size_t i = 0; i < len; i++) {
        at = child_of(t, at, (uint8_t)s[i]);
        if (at == NONE)
            break;
        if (t->node[at].value >= 0) {
            longest = i + 1;
            *value = t->node[at].value;
        }
    }
    return longest;
}

int32_t trie_find(const struct trie *t, const char *s, size_t len)
{
    uint32_t at = 0;

    for (size_t i = 0; i < len; i++) {
        at = child_of(t, at, (uint8_t)s[i]);
        if (at == NONE)
            return -1;
    }
    return t->node[at].value;
}
