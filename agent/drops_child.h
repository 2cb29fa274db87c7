/* drops_child: the process that watches the kernel's drops and the way through the ruleset while rounds are on. It talks to the
 * agent in packets of one socket pair (SOCK_SEQPACKET): the agent sends orders, it answers with records. Both are the same
 * program, so both are plain structs. It ends when the agent's end of the socket closes, or with the agent. */
#ifndef BW_AGENT_DROPS_CHILD_H
#define BW_AGENT_DROPS_CHILD_H

#include "proto/model/observation.h"
#include "proto/model/plan.h"

enum drops_order_what { ORDER_ARM, ORDER_END };
struct drops_order {
	uint8_t what;
	bool name_drops, name_rules;
	struct round_spec spec; /* of an end only the id counts */
};

enum drops_record_what { RECORD_READY, RECORD_DROP, RECORD_RULE, RECORD_ENDED };
struct drops_record {
	uint8_t what;
	uint64_t round;
	union {
		struct {
			struct looked drops, rules;
		} looked; /* of READY and ENDED */
		struct flow_drop drop;
		struct flow_rule rule;
	} u;
};

/* See child_start. */
void drops_child_run(int fd) __attribute__((noreturn));

#endif
