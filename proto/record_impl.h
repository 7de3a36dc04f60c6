/* proto/record_impl.h - the two ways a line may be written
 *
 * Private to proto/.
 */
#ifndef PROTO_RECORD_IMPL_H
#define PROTO_RECORD_IMPL_H

#include "proto/json_read.h"
#include "proto/record.h"

#define TEMPERATURE_MAX 100.0

/* Fill `r`, which holds defaults, from a line that is the object `root`. 0, or
 * -1 with *e filled; the id is read then, too, if it can be.
 */
int record_read_native(const struct record_job *job,
                       const struct json_value *root, struct record *r,
                       struct record_error *e);
int record_read_openai(const struct record_job *job,
                       const struct json_value *root, struct record *r,
                       struct record_error *e);

/* Is the object a line of an OpenAI batch, or meant to be one? */
bool record_is_openai(const struct json_value *root);

#endif /* PROTO_RECORD_IMPL_H */
