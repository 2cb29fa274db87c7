/* observation: what was seen, as values. Answered, late, lost, refused and not sent are five different things, and
 * "not looked at" is a sixth: every set has a flag that says whether anybody looked. */
#ifndef BW_MODEL_OBSERVATION_H
#define BW_MODEL_OBSERVATION_H

#include "proto/base/addr.h"
#include "proto/base/mono.h"
#include "proto/model/kind.h"
#include "proto/model/limits.h"

#include <stddef.h>

typedef uint64_t seqset; /* bit i: sequence i */

/* ---- watch: one row per (pair, direction, kind, epoch) and side ---- */

struct watch_row {
	uint32_t pair;
	uint8_t dir; /* 0: a->b, 1: b->a: the direction of the probes, whoever reports */
	uint8_t kind;
	bool sender;    /* the sender's row or the receiver's */
	uint32_t epoch; /* counted by the sender, per pair, direction and kind; carried in every probe */
	/* sender */
	uint8_t sent;     /* sequences 0..sent-1 were handed to the kernel or refused by it */
	uint8_t not_sent; /* refused locally: see error */
	uint8_t answered, late, refused, impostor;
	bool wants_answer; /* this kind is answered (echo, tcp, neigh) */
	int16_t error;     /* last local errno, or 0 */
	uint32_t rtt_us;   /* median of the answered ones, 0 = none */
	/* receiver */
	seqset seen;
	uint8_t duplicated, reordered;
};
/* How many of the sent ones wanted an answer: of udp the even sequences, of every other kind all. */
static inline uint8_t watch_row_asked(const struct watch_row *r)
{
	return kind_info(r->kind)->proto == PROTO_UDP ? (r->sent + 1) / 2 : r->sent;
}

/* How fit the observer was while it looked. */
struct health {
	uint32_t lag_us;        /* worst scheduling lag of the loop since the last report */
	uint32_t socket_drops;  /* SO_RXQ_OVFL and capture drops since the last report */
	uint32_t spool_dropped; /* reports lost to the spool's limit, ever */
	uint32_t rejected;      /* packets with a bad MAC or header, ever */
	uint32_t limited;       /* replies or probes withheld by a rate limit, ever */
	int32_t steal_permille; /* CPU steal over the last interval, -1 = not known */
	int64_t clock_step_us;  /* wall clock against monotonic since the last report */
};

/* ---- round ---- */

enum flow_status { FLOW_UNKNOWN, FLOW_DONE, FLOW_SKIPPED /* cannot exist here: see why */ };

/* What the sender of a flow saw. */
struct flow_sent {
	uint8_t flow;
	uint8_t status; /* enum flow_status */
	char why[REASON_MAX_LEN];
	seqset sent;          /* handed to the kernel without an error */
	seqset refused_local; /* the kernel refused: see error */
	seqset directed;      /* sent as frames to the peer's MAC because the neighbour did not resolve */
	seqset answered;      /* proven answers in time */
	seqset late;          /* proven answers after the stage */
	seqset refused;       /* RST, ICMP error */
	seqset taken;         /* of these: connections that were made before they were reset: somebody listens there */
	seqset impostor;      /* answers that could not prove themselves, or came from another MAC or address */
	uint16_t duplicates;
	int16_t error;                /* errno of the last local refusal */
	uint8_t icmp_type, icmp_code; /* of the last ICMP error (with icmp_from set), else of one to the watch, see agent/words.h */
	uint32_t icmp_mtu;            /* of a fragmentation-needed or packet-too-big */
	struct ip icmp_from;
	bool unresolved;   /* the neighbour (target or gateway) did not resolve */
	uint8_t mac_count; /* neigh: different MACs that answered for the address */
	struct mac macs[FLOW_MACS_MAX];
	uint32_t rtt_us;
};

/* What the receiver's socket (for ICMP and TCP: a raw socket behind the input filter) saw. */
struct flow_received {
	uint8_t flow;
	bool looked; /* false: no right or no socket: unknown, not zero */
	char why[REASON_MAX_LEN];
	seqset seen;
	uint16_t duplicates, reordered;
	struct ip from; /* source address of the last one */
	uint8_t ttl;    /* of the last one */
	seqset replied; /* answers the agent itself sent without an error (udp, tcp); kernel answers (icmp, neigh) are not known
	                   here */
	int16_t reply_error; /* errno of the last failed answer */
};

/* What one capture point saw of one flow: the probes, and the answers on their way back. */
struct point_seen {
	uint8_t point;
	uint8_t flow;
	seqset probes;
	seqset answers;
	seqset refusals;                   /* RST or ICMP errors about this flow, on their way back */
	struct mac probe_src, probe_dst;   /* of the last probe */
	struct mac answer_src, answer_dst; /* of the last answer */
	uint16_t vlan;                     /* tag of the last probe, 0 = none */
	uint16_t duplicates;
	seqset damaged; /* probes whose contents are not what was sent */
};

struct point_status {
	uint8_t point;
	bool armed;
	uint32_t dropped; /* the capture lost packets itself: its "not seen" is not proof */
	char why[REASON_MAX_LEN];
};

/* When one machine saw the probes of a timed flow, or their answers, at one place: the first sighting of each, by its own clock;
 * so only differences of times of the same machine say something. At its socket: when the sender handed a probe to its kernel;
 * when the probe reached the receiver's program, and the answer the sender's. */
#define TIMES_SOCKET 255
struct flow_times {
	uint8_t point; /* or TIMES_SOCKET */
	uint8_t flow;
	uint8_t part; /* PART_PROBE or PART_ANSWER */
	seqset seqs;
	uint32_t at_us[FLOW_PROBES_MAX]; /* by sequence, since the round began; 0 where it is not in seqs */
};

/* Packets of a flow that the kernel of this machine (its network namespace) dropped, with its own word for why: skb:kfree_skb.
 * Not every drop is a fault: it says something only about packets that were not seen any further. */
struct flow_drop {
	uint8_t flow;
	uint8_t part; /* enum flow_part */
	seqset seqs;
	char reason[48];         /* by its name in the running kernel: "NETFILTER_DROP" */
	char place[48];          /* the kernel's function: "nft_do_chain" */
	char ifname[IFNAME_LEN]; /* the device the packet was at, "" = none */
};
enum flow_part { PART_PROBE, PART_ANSWER, PART_REFUSAL };

/* The rule that ended the way of packets of a flow, told by whoever applies the rules: nftables tracing, Open vSwitch. */
struct flow_rule {
	uint8_t flow;
	uint8_t part; /* enum flow_part */
	seqset seqs;
	char family[8];            /* of nftables, or "ovs" */
	char table[64], chain[64]; /* ovs: the bridge, "table N" */
	uint64_t handle;           /* 0 = not a rule: the chain's policy */
	uint8_t verdict;           /* enum fw_verdict */
	char text[256];            /* as a person would write it; "" = look it up by its handle in the snapshot */
};

/* Which way a frame went at the device it was seen at. */
enum frame_way { FRAME_WAY_UNKNOWN, FRAME_IN, FRAME_OUT };

/* A frame as a point saw it, kept when the round asks for it. */
struct frame_kept {
	uint8_t point;
	uint8_t flow, seq; /* which probe it is, its answer, or an error about it */
	uint8_t part;      /* enum flow_part */
	uint8_t way;       /* enum frame_way */
	struct wall at;    /* by the clock of the machine that saw it */
	uint32_t length;   /* on the wire */
	uint16_t kept;     /* bytes */
	uint8_t *bytes;    /* owned */
};

/* Did somebody look for drops (rules)? Not looked, with the reason: then their absence says nothing. */
struct looked {
	bool looked;
	uint32_t lost; /* events the observer itself lost */
	char why[REASON_MAX_LEN];
};

struct round_result { /* of one agent */
	uint64_t id;
	size_t sent_count;
	struct flow_sent sent[ROUND_FLOWS_MAX];
	size_t received_count;
	struct flow_received received[ROUND_FLOWS_MAX];
	size_t status_count;
	struct point_status status[ROUND_POINTS_MAX];
	size_t seen_count;
	struct point_seen *seen; /* owned; <= FLOWS * POINTS; absent = armed and nothing seen */
	struct looked drops_looked, rules_looked;
	size_t drops_count;
	struct flow_drop *drops; /* owned; <= ROUND_DROPS_MAX */
	size_t rules_count;
	struct flow_rule *rules; /* owned; <= ROUND_DROPS_MAX */
	size_t frames_count;
	struct frame_kept *frames; /* owned, in order of time; <= FRAMES_MAX */
	uint32_t frames_left_out;  /* beyond what may be kept */
	size_t times_count;
	struct flow_times *times; /* owned; <= ROUND_TIMES_MAX */
	struct health health;
};
void round_result_clear(struct round_result *r);

#endif
