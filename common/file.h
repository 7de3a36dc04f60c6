/* common/file.h - whole-file operations with errors that name the path */
#ifndef COMMON_FILE_H
#define COMMON_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

/* A read-only mapping of a regular file. */
struct file_map {
    const uint8_t *data; /* NULL when size is 0 */
    size_t size;
};

int file_map(const char *path, struct file_map *out, struct err *err);
void file_unmap(struct file_map *map);

/* Append a file's bytes to `out`; more than `max` bytes is ERR_LIMIT. */
int file_read(const char *path, size_t max, struct buf *out, struct err *err);

/* Write `path` so that it is either the old or the new content: temporary file
 * beside it, fsync, rename, fsync of the directory.
 */
int file_replace(const char *path, const void *data, size_t len,
                 struct err *err);

/* write(2) until everything is written. 0, or -1 with errno set. */
int file_write_all(int fd, const void *data, size_t len);

/* An open file of `dir` without a name: it is gone when it is closed, however
 * the process ends. Returns the descriptor or -1.
 */
int file_scratch(const char *dir, struct err *err);

/* Write or read all of `len` bytes at `offset`; the errors name no path.
 * ERR_AGAIN: disk full; ERR_IO, also when the file ends before.
 */
int file_write_at(int fd, const void *data, size_t len, uint64_t offset,
                  struct err *err);
int file_read_at(int fd, void *data, size_t len, uint64_t offset,
                 struct err *err);

/* Give the disk space of these bytes back, if the file system can do that. They
 * read as zeros then, or as before.
 */
void file_punch(int fd, uint64_t offset, uint64_t len);

/* fsync a directory, so that names created or removed in it are durable. */
int file_sync_dir(const char *path, struct err *err);

/* mkdir -p with mode 0700 for what is missing. */
int file_mkdirs(const char *path, struct err *err);

/* Remove a directory and everything below it; a missing one is success. Never
 * follows symbolic links.
 */
int file_remove_tree(const char *path, struct err *err);

bool file_exists(const char *path);
bool file_is_dir(const char *path);

/* dir + "/" + name, malloc'ed; `name` itself when it is absolute. */
char *file_join(const char *dir, const char *name);

#endif /* COMMON_FILE_H */
