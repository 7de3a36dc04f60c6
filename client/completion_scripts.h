/* client/completion_scripts.h - client/completion.* as strings, embedded by the
 * build
 */
#ifndef CLIENT_COMPLETION_SCRIPTS_H
#define CLIENT_COMPLETION_SCRIPTS_H

extern const char completion_bash[];
extern const char completion_zsh[];
extern const char completion_fish[];

#endif /* CLIENT_COMPLETION_SCRIPTS_H */
