/* trace_rules: the messages that make a table of our own which marks a round's packets for tracing. Values in, bytes out. */
#ifndef BW_AGENT_TRACE_RULES_H
#define BW_AGENT_TRACE_RULES_H

#include "proto/model/plan.h"

#include <libmnl/libmnl.h>

#define TRACE_TABLE_PREFIX "bothways-"
#define TRACE_MARKS        "marks" /* the chain whose rules mark; one per flow and part */
#define TRACE_BATCH_MAX    (160 * 1024)

/* A batch of nftables messages, one transaction. */
struct trace_batch {
	char *data; /* 2 * TRACE_BATCH_MAX, owned */
	struct mnl_nlmsg_batch *batch;
	uint32_t seq;
	bool full;
};
void trace_batch_begin(struct trace_batch *b, uint32_t seq);
void trace_batch_end(struct trace_batch *b);
void trace_batch_free(struct trace_batch *b);

void trace_put_delete(struct trace_batch *b, uint8_t family, const char *table);
/* The whole table: its chains, what leads to the marks, and the marks. The last message asks for an acknowledgement. */
void trace_put_table(struct trace_batch *b, uint8_t family, const char *table, bool owned, const struct round_spec *spec);
/* Which flow and part a rule of ours marks: 0, or -1 when it says neither. */
int trace_mark_read(const void *userdata, size_t len, uint8_t *flow, uint8_t *part);

#endif
