/* model/zip.h - the directory of a zip archive in memory
 *
 * Stored entries only, as torch writes them: sizes come from the central
 * directory (local headers leave them 0 and a data descriptor follows), ZIP64
 * where sizes or counts need it. Refuses compression, encryption and anything
 * that points outside the file. Pure.
 */
#ifndef MODEL_ZIP_H
#define MODEL_ZIP_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define ZIP_ENTRIES_MAX (1u << 17) /* twice TENSORS_MAX: room for the rest */

struct zip_entry {
    const char *name; /* into the archive, not terminated */
    size_t name_len;
    const uint8_t *data;
    size_t size;
};

struct zip {
    struct zip_entry *entry; /* [n] sorted by name, no name twice */
    size_t n;
};

/* Read the directory of data[size], which must outlive `z`. 0, or -1:
 * ERR_INVALID, ERR_LIMIT.
 */
int zip_parse(struct zip *z, const uint8_t *data, size_t size, struct err *err);
void zip_free(struct zip *z);

const struct zip_entry *zip_find(const struct zip *z, const char *name,
                                 size_t name_len);

#endif /* MODEL_ZIP_H */
