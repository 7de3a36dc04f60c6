/* text/nfc.h - Unicode normalisation form C
 *
 * Tables and composition are libutf8proc's. The canonical ordering is ours:
 * the library's takes time quadratic in a run of combining marks.
 */
#ifndef TEXT_NFC_H
#define TEXT_NFC_H

#include <stddef.h>

#include "common/buf.h"

/* Append the NFC of s[len], which is valid UTF-8, to `out`. Linear time. */
void nfc_append(const char *s, size_t len, struct buf *out);

#endif /* TEXT_NFC_H */
