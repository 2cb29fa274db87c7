/* bundle_answer: the answers about what verdicts were made from: `bundle`, the file in parts and a summary of it (schema
 * bothways.bundle/1), and `feedback` (schema bothways.feedback/1). */
#ifndef BW_COLLECTOR_BUNDLE_ANSWER_H
#define BW_COLLECTOR_BUNDLE_ANSWER_H

#include "collector/query.h"
#include "proto/record.h"

/* `r` with its verdict. `capture`: NULL or empty = the round kept no frames. */
void bundle_reply(const struct reply *reply, const struct record *r, const struct buf *capture);
void bundle_query(struct collector *c, const struct msg_query *q, const struct reply *r);
void feedback_query(struct collector *c, const struct asker *who, const struct msg_query *q, const struct reply *r);

#endif
