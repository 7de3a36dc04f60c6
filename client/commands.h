/* client/commands.h - the table of all commands
 *
 * What main() runs, and what help, man page and completion scripts are made of.
 */
#ifndef CLIENT_COMMANDS_H
#define CLIENT_COMMANDS_H

#include "client/cmd.h"

/* In the order of the overview; ends with NULL. */
extern const struct command *const commands[];

/* The command that argv[0..argc) begins with, by name or alias, and the number
 * of its words; NULL: ERR_USAGE, naming what was meant.
 */
const struct command *commands_find(int argc, char *const *argv, int *words,
                                    struct err *err);

#endif /* CLIENT_COMMANDS_H */
