/* client/completion.h - completion scripts, made from the command table
 *
 * A script is a generated part, which says what may stand where, followed by
 * the same shell code every time (client/completion.bash and so on). Job ids
 * and model names are asked of the coordinator when they are wanted.
 */
#ifndef CLIENT_COMPLETION_H
#define CLIENT_COMPLETION_H

#include "client/cmd.h"
#include "common/buf.h"

/* "bash", "zsh", "fish", NULL */
extern const char *const completion_shells[];

/* Append the script for one of these. `list` ends with NULL. */
void completion_script(const char *shell, const struct command *const *list,
                       struct buf *out);

#endif /* CLIENT_COMPLETION_H */
