/* tests/fuzz/replay.c - run a fuzz entry over committed files, without libFuzzer
 *
 * Usage: fuzz_NAME DIR-OR-FILE...   Fails when there is nothing to replay.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/buf.h"
#include "common/file.h"

#define SEED_BYTES_MAX (64u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    struct buf bytes = BUF_INIT;
    struct err err;

    if (file_read(path, SEED_BYTES_MAX, &bytes, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return -1;
    }
    buf_reserve(&bytes, 0);
    LLVMFuzzerTestOneInput((const uint8_t *)bytes.data, bytes.len);
    buf_free(&bytes);
    return 1;
}

static int replay_dir(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    int n = 0;

    if (dir == NULL) {
        perror(path);
        return -1;
    }
    while ((entry = readdir(dir)) != NULL) {
        char name[4096];

        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (replay_file(name) < 0) {
            closedir(dir);
            return -1;
        }
        n++;
    }
    closedir(dir);
    return n;
}

int main(int argc, char **argv)
{
    int total = 0;

    for (int i = 1; i < argc; i++) {
        int n =
            file_is_dir(argv[i]) ? replay_dir(argv[i]) : replay_file(argv[i]);

        if (n < 0)
            return 1;
        total += n;
    }
    printf("%d inputs replayed\n", total);
    return total > 0 ? 0 : 1;
}
