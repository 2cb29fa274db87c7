/* plan: what an agent is told to do: whom to watch (plan) and what to measure at once (round). */
#ifndef BW_MODEL_PLAN_H
#define BW_MODEL_PLAN_H

#include "proto/base/addr.h"
#include "proto/base/mono.h"
#include "proto/model/kind.h"
#include "proto/model/limits.h"

#include <stddef.h>

#define PAIR_KEY_LEN       16 /* SipHash-2-4 key */
#define PROBE_PORT_DEFAULT 7401

/* Where one machine stands on a network: one interface, one address of each family. */
struct endpoint {
	char ifname[IFNAME_LEN];
	struct mac mac;
	struct prefix ip4, ip6; /* family 0 = none. ip6: global or ULA when there is one, else link-local */
	uint32_t mtu;
};

/* One watched pair, as one side sees it. */
struct peer {
	uint32_t pair; /* plan-given, dense, fleet-wide */
	bool is_a;     /* our side: a sends on direction 0 and receives on 1 */
	uint8_t key[PAIR_KEY_LEN];
	struct endpoint self, other;
	uint16_t port;           /* the other's probe port */
	bool bind_device;        /* bind sockets to self.ifname (hosts towards guests) */
	kind_mask kinds;         /* what we send on this pair */
	uint32_t interval_ms;    /* one small probe of each kind that often; large and tcp at a quarter of it */
	char name[NAME_MAX_LEN]; /* of the other agent, for logs: a guest sees it only when allowed; may be "" */
};

struct plan {
	uint64_t version;
	uint32_t report_ms;  /* how often to report */
	uint32_t budget_pps; /* packets per second this agent may send, replies excluded */
	size_t peer_count;
	struct peer *peers; /* owned */
};
void plan_clear(struct plan *p); /* frees what it owns, leaves an empty plan */

/* ---- round ---- */

/* From the ladder on: run only when what came before asks for it (collector/round_extra.c). */
enum stage {
	STAGE_NEIGH,
	STAGE_A_TO_B,
	STAGE_B_TO_A,
	STAGE_LADDER,
	STAGE_PORTS,
	STAGE_HOPS,
	STAGE_TRAIN,   /* many small probes at an even pace, both ways at once: loss, delay, jitter, order, copies */
	STAGE_BURST_A, /* large ones as fast as they go, from a ... */
	STAGE_BURST_B, /* ... and from b: what the way carries, and how long its queues get */
	STAGE_COUNT
};
const char *stage_name(enum stage s); /* as a cause asks for it: "ladder", "ports", "hops" */

/* One flow: `count` probes of one kind in one direction. Its tuples are chosen by the collector, so that every point on
 * the path knows them in advance and can name the sequence of a packet it sees:
 *   udp, tcp: source port = id_base + seq, destination port = dport
 *             with `ports`: id_base + seq % ports, and points do not name the sequence
 *   icmp:     echo identifier = id_base, ICMP sequence = seq (and the header is in the payload)
 *   neigh:    the probe header stands in the frame's trailer (ARP) or in a Nonce option (ND, RFC 3971 section 5.3.2) */
struct flow {
	uint8_t id;      /* index within the round */
	uint8_t kind;    /* enum kind */
	uint8_t dir;     /* 0: a sends to b, 1: b sends to a */
	uint8_t stage;   /* enum stage */
	uint8_t count;   /* probes, <= FLOW_PROBES_MAX */
	uint16_t gap_ms; /* between probes */
	uint16_t size;   /* IP packet length; 0 = small */
	bool ladder;     /* size of seq i is ladder_sizes[i] */
	uint8_t ports;   /* udp: so many source ports, in turn; 0 = every probe has its own */
	uint8_t ttl;     /* udp: leaves with it; 0 = the system's own */
	uint8_t asks;    /* one probe of so many wants an answer; 0 = all */
	bool timed;      /* every machine keeps when it saw each of them: struct flow_times */
	uint16_t id_base;
	uint16_t dport;
	struct ip src, dst;      /* neigh: src may be family 0 (no address of our own on that network): ARP probe, RFC 5227 */
	struct mac dst_mac;      /* who should answer; also for directed frames when the neighbour is unresolved */
	bool onlink;             /* both ends are on one L2 segment as far as the collector knows: directed frames make sense */
	char ifname[IFNAME_LEN]; /* at the sender */
	bool bind_device;
};

/* Says more about a loss and is none itself: not part of the matrix. */
static inline bool flow_is_aside(const struct flow *f) { return f->ladder || f->stage >= STAGE_LADDER; }

extern const uint16_t ladder_sizes[]; /* well-known MTUs, ascending, LADDER_COUNT of them */
#define LADDER_COUNT 16

enum point_role { POINT_SOCKET, POINT_NIC, POINT_PORT, POINT_UPLINK, POINT_BRIDGE, POINT_OTHER };

/* A place of capture asked of one agent. */
struct point_spec {
	uint8_t id; /* within the round, fleet-wide */
	char ifname[IFNAME_LEN];
};

struct round_spec {
	uint64_t id;
	uint32_t pair; /* number used in probe headers; rounds of unplanned pairs use a temporary one */
	uint8_t key[PAIR_KEY_LEN];
	bool endpoint; /* this agent is a or b (else only captures and facts) */
	bool is_a;
	uint16_t wait_ms; /* how long a stage waits for answers after its last probe */
	size_t flow_count;
	struct flow flows[ROUND_FLOWS_MAX];
	size_t point_count;
	struct point_spec points[ROUND_POINTS_MAX]; /* to be armed on this agent */
	bool name_drops;                            /* watch the kernel's drops of these flows */
	bool name_rules;                            /* trace their way through the ruleset */
	bool keep_frames;                           /* keep what the points see */
	char resolve[NAME_MAX_LEN];                 /* say what the machine takes this name for; "" = none */
};

#endif
