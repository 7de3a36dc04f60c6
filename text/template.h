/* text/template.h - the turns of a chat as the text a model was trained on
 *
 * Pure. A template belongs to a family of models, told by its tokenizer:
 *
 *   world   System: ..\n\nUser: ..\n\nAssistant: ..\n\nUser: ..\n\nAssistant:
 *
 * "\n\n" ends a turn, so a text must not contain it: runs of line ends become
 * one, and white space around a text is dropped.
 */
#ifndef TEXT_TEMPLATE_H
#define TEXT_TEMPLATE_H

#include <stddef.h>

#include "common/buf.h"
#include "text/tokenizer.h"

struct chat_message {
    const char *role; /* "system", "developer", "user", "assistant" */
    const char *text; /* UTF-8 */
    size_t len;
};

struct chat_template {
    const char *name;
    const char *stop; /* where the answer ends, besides the end token: the
                       * beginning of the next turn */
    size_t lead;      /* spaces an answer begins with, not part of it */
};

/* By name, or the one of a tokenizer's models; NULL: there is none. */
const struct chat_template *template_find(const char *name);
const struct chat_template *template_of(const struct tokenizer *t);

/* Append the prompt that ends where the assistant's next turn begins. Returns
 * n, or the index of the first message whose role the template does not know.
 */
size_t template_render(const struct chat_template *t,
                       const struct chat_message *message, size_t n,
                       struct buf *out);

#endif /* TEXT_TEMPLATE_H */
