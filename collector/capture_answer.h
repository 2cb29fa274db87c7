/* capture_answer: the answer to `capture`: the file in parts, then a summary of it with the verdict (schema bothways.capture/1). */
#ifndef BW_COLLECTOR_CAPTURE_ANSWER_H
#define BW_COLLECTOR_CAPTURE_ANSWER_H

#include "collector/query.h"
#include "proto/model/dossier.h"

struct json_t; /* jansson's */

/* `doc`: the verdict's document, which stays the caller's. */
void capture_reply(const struct reply *r, const struct dossier *d, const struct verdict *v, const struct json_t *doc);

#endif
