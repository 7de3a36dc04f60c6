#include "model/fingerprint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/buf.h"
#include "common/file.h"
#include "model/weights.h"

/* Part of every key, so that another way to hash finds an empty cache. */
#define CACHE_VERSION "skein weights hash 1"
#define HEX_BYTES (2 * HASH_BYTES)

/* What identifies a file's content short of reading it. */
struct file_id {
    uint64_t device, inode, size;
    int64_t mtime_s, mtime_ns;
};

/* The name of the cache entry of these files: 0, or -1 when one is gone. */
static int cache_key(const struct tensor_file *f, char hex[HEX_BYTES + 1])
{
    struct hash_ctx *ctx = hash_begin();
    uint8_t key[HASH_BYTES];

    hash_update(ctx, CACHE_VERSION, sizeof CACHE_VERSION);
    for (size_t i = 0; i < f->n_map; i++) {
        struct file_id id = {0};
        struct stat st;

        if (stat(f->map[i].path, &st) < 0) {
            hash_end(ctx, NULL);
            return -1;
        }
        id.device = st.st_dev;
        id.inode = st.st_ino;
        id.size = (uint64_t)st.st_size;
        id.mtime_s = st.st_mtim.tv_sec;
        id.mtime_ns = st.st_mtim.tv_nsec;
        hash_update(ctx, &id, sizeof id);
    }
    hash_end(ctx, key);
    hash_hex(key, sizeof key, hex);
    return 0;
}

/* $XDG_CACHE_HOME/skein, ~/.cache/skein, or NULL; malloc'ed. */
static char *cache_dir(void)
{
    const char *base = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    struct buf path = BUF_INIT;

    if (base != NULL && base[0] == '/')
        buf_addf(&path, "%s/skein", base);
    else if (home != NULL && home[0] == '/')
        buf_addf(&path, "%s/.cache/skein", home);
    return path.data;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* An entry is 64 hex digits and a newline; anything else is no entry. */
static int cache_read(const char *path, uint8_t out[HASH_BYTES])
{
    struct buf text = BUF_INIT;
    uint8_t hash[HASH_BYTES];
    int rc = file_read(path, HEX_BYTES + 1, &text, NULL);

    if (rc == 0 && (text.len != HEX_BYTES + 1 || text.data[HEX_BYTES] != '\n'))
        rc = -1;
    for (size_t i = 0; i < HASH_BYTES && rc == 0; i++) {
        int high = hex_digit(text.data[2 * i]);
        int low = hex_digit(text.data[2 * i + 1]);

        if (high < 0 || low < 0)
            rc = -1;
        hash[i] = (uint8_t)(high * 16 + low);
    }
    buf_free(&text);
    if (rc == 0)
        memcpy(out, hash, sizeof hash);
    return rc;
}

static void cache_write(const char *dir, const char *path,
                        const uint8_t hash[HASH_BYTES])
{
    char text[HEX_BYTES + 2];

    hash_hex(hash, HASH_BYTES, text);
    text[HEX_BYTES] = '\n';
    if (file_mkdirs(dir, NULL) == 0)
        file_replace(path, text, HEX_BYTES + 1, NULL);
}

int fingerprint_weights(const char *path, const struct weights *w,
                        uint8_t out[HASH_BYTES], struct err *err)
{
    char before[HEX_BYTES + 1], after[HEX_BYTES + 1];
    char *dir = cache_dir();
    char *entry = NULL;
    int rc = 0;

    if (dir != NULL && cache_key(w->file, before) == 0)
        entry = file_join(dir, before);
    if (entry == NULL || cache_read(entry, out) < 0) {
        rc = weights_hash(w, out, err);
        /* A file that changed under way must not name the old content. */
        if (rc == 0 && entry != NULL && cache_key(w->file, after) == 0
            && strcmp(before, after) == 0)
            cache_write(dir, entry, out);
    }
    free(entry);
    free(dir);
    return rc == 0 ? 0 : err_wrap(err, "%s", path);
}
