/* wire_json: a message as a document for people, and back, along the same table of fields. Only the way of writing it down is
 * decided here: what is allowed is decided by shape_read. */
#ifndef BW_WIRE_JSON_H
#define BW_WIRE_JSON_H

#include "proto/wire_shape.h"

#include <jansson.h>

/* `pb` as shape_write made it. What has its default is left out. The caller owns the result. */
json_t *shape_json(const struct shape *s, const void *pb);
/* The message, in the arena, for shape_read. NULL: something is not what it should be; the reason is in r->e. */
void *shape_unjson(const struct shape *s, const json_t *doc, struct arena *a, struct reader *r);

#endif
