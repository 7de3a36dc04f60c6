/* worker/sender.h - where the transfer clients put their messages
 *
 * A message that cannot be sent now (queue full, no connection) is lost: its
 * sender repeats it by time, as the protocol wants.
 */
#ifndef WORKER_SENDER_H
#define WORKER_SENDER_H

#include <stdbool.h>

#include "proto/wire.h"

struct sender {
    bool (*send)(void *arg, enum wire_type type, const ProtobufCMessage *msg);
    void *arg;
};

static inline bool sender_put(const struct sender *s, enum wire_type type,
                              const ProtobufCMessage *msg)
{
    return s->send(s->arg, type, msg);
}

#endif /* WORKER_SENDER_H */
