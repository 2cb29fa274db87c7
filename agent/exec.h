/* exec: PURE. One agent's part in one round: which probes of the current stage leave next, what became of them, what
 * arrived, what the captures saw; the result. Several rounds may run at once, each its own exec. */
#ifndef BW_AGENT_EXEC_H
#define BW_AGENT_EXEC_H

#include "agent/words.h"
#include "proto/base/mono.h"
#include "proto/model/observation.h"
#include "proto/model/plan.h"
#include "proto/probe.h"

struct exec;

struct exec_probe {
	const struct flow *flow;
	uint8_t seq;
	bool directed; /* send as a frame to flow->dst_mac: the kernel could not resolve the neighbour */
	uint16_t size; /* IP packet length, 0 = small */
	struct probe_header header;
};

struct exec *exec_new(const struct round_spec *spec, struct mono now);
void exec_free(struct exec *x);
const struct round_spec *exec_spec(const struct exec *x);
void exec_stage(struct exec *x, enum stage stage, struct mono now);
/* Probes of the running stage that are due. Every probe of a round wants an answer. Directed ones repeat sequences that the
 * kernel may have swallowed: their answers count as answered, but they prove no initiation (see flow_sent.directed). */
size_t exec_due(struct exec *x, struct mono now, struct exec_probe *out, size_t max);
struct mono exec_next(const struct exec *x); /* when to ask exec_due or exec_stage_over again */
/* True once per stage: everything is answered, or its time is over. Only for stages in which we send. */
bool exec_stage_over(struct exec *x, struct mono now, enum stage *stage);
/* Kinds of a stage with probes that got no answer yet: what MSG_STAGE_DONE tells of it. */
kind_mask exec_unanswered(const struct exec *x, enum stage stage);
kind_mask exec_silent(const struct exec *x, enum stage stage); /* of these, kinds of which not one was answered */
struct stage_sum {
	uint32_t repeated; /* probes and answers that came more than once */
	uint32_t rtt_us;   /* the shortest round trip of an echo; 0 = none */
};
struct stage_sum exec_sum(const struct exec *x, enum stage stage);

void exec_sent(struct exec *x, uint8_t flow, uint8_t seq, bool directed, int error, struct mono now);
void exec_skipped(struct exec *x, uint8_t flow, const char *why); /* we cannot send this flow at all */
enum exec_answer { EXEC_ANSWERED, EXEC_REFUSED, EXEC_RESET /* after it was taken */, EXEC_IMPOSTOR };
void exec_answered(struct exec *x, uint8_t flow, uint8_t seq, enum exec_answer how, struct mac from, struct mono now);
void exec_icmp_error(struct exec *x, uint8_t flow, uint8_t seq, uint8_t type, uint8_t code, uint32_t mtu, struct ip from,
                     struct mono now);
/* What a router said of other packets of the protocol to the same address: counts for flows of ours that have no ICMP error of
 * their own. */
void exec_word(struct exec *x, const struct word *said);
/* Neighbour FAILED or INCOMPLETE: exec_due then yields directed probes, if flow->onlink and the MAC is known. */
void exec_unresolved(struct exec *x, uint8_t flow);
void exec_received(struct exec *x, uint8_t flow, uint8_t seq, struct ip from, uint8_t ttl, struct mono now);
void exec_replied(struct exec *x, uint8_t flow, uint8_t seq, int error);
void exec_deaf(struct exec *x, uint8_t flow, const char *why); /* we cannot look for this flow */
void exec_armed(struct exec *x, const struct point_status *status);
/* A frame at a capture point. The same probe going out and coming in at one device (a hairpin, a looped-back broadcast) is not a
 * duplicate; twice the same way is. */
struct sighting {
	uint8_t point, flow, seq;
	enum flow_part part;
	enum frame_way way;
	struct mac src, dst;
	uint16_t vlan;
	struct mono at; /* when; for timed flows */
	bool damaged;   /* its contents are not what was sent */
};
void exec_seen(struct exec *x, const struct sighting *s);
/* The frame itself, when the round keeps frames: copied; what is beyond FRAMES_MAX or FRAMES_KEEP_MAX is counted. */
void exec_frame(struct exec *x, const struct sighting *s, struct wall at, const void *bytes, size_t kept, uint32_t length);
/* What the kernel dropped, and which rule ended a way: one packet or several; rows that differ in seqs only become one. */
void exec_drop(struct exec *x, const struct flow_drop *drop);
void exec_rule(struct exec *x, const struct flow_rule *rule);
void exec_looked(struct exec *x, const struct looked *drops, const struct looked *rules);
/* Fills the result (to be cleared by the caller). */
void exec_result(const struct exec *x, struct round_result *out);

#endif
