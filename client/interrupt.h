/* client/interrupt.h - SIGINT and SIGTERM as a state and a descriptor
 *
 * A command that has something to finish or to say when it is interrupted
 * calls interrupt_catch(). From then on its waits include interrupt_fd() and
 * fail once a signal came. A second signal ends the program at once.
 */
#ifndef CLIENT_INTERRUPT_H
#define CLIENT_INTERRUPT_H

#include "common/err.h"

int interrupt_catch(struct err *err);

/* Readable once a signal came; -1 when signals are not caught. */
int interrupt_fd(void);

/* The signal that came, or 0. */
int interrupt_signal(void);

#endif /* CLIENT_INTERRUPT_H */
