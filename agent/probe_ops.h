/* probe_ops: what the files of the prober share: one table of operations per kind, the shot that is to leave, the proof of
 * what arrived, and the ways to tell watch and exec about it. Not for anybody outside agent/prober.c and agent/probe_*.c. */
#ifndef BW_AGENT_PROBE_OPS_H
#define BW_AGENT_PROBE_OPS_H

#include "agent/gather.h"
#include "agent/probe_socket.h"
#include "agent/prober.h"

/* Which probe: of a round when `x` is set, else of the watch. */
struct probe_id {
	struct exec *x;
	uint32_t pair, epoch;
	uint8_t kind, flow, seq;
};

/* One probe that is to leave now. */
struct shot {
	struct probe_id id;
	struct ip src, dst; /* src.family 0: no address of our own there */
	struct mac dst_mac; /* who should answer; may be unset */
	char ifname[IFNAME_LEN];
	bool bind_device, directed;
	bool unicast;         /* neighbours: ask dst_mac alone, as the kernel does when it verifies what it knows */
	uint16_t dport, size; /* size: IP packet length, 0 = small */
	uint16_t id_base;     /* 0: choose freely */
	uint8_t ports, ttl;   /* as the flow says; 0 = nothing special */
	bool fragments;       /* may be taken apart on the way */
	uint8_t header[PROBE_HEADER_LEN];
};

struct round_slot {
	struct exec *x;
	struct mono look_at[ROUND_FLOWS_MAX]; /* when to look at the neighbour's state; 0 = not */
	uint8_t looks[ROUND_FLOWS_MAX];
	uint64_t heard;          /* bit per flow: something came back */
	bool raw_tcp4, raw_tcp6; /* SYNs are counted on a raw socket */
};

struct probe_icmp;
struct probe_udp;
struct probe_tcp;
struct probe_frames;

#define ROUNDS_MAX 16

/* Answers are rationed: all together, and of every pair, so that one peer cannot use up what is there for all. */
#define REPLY_PAIRS 256 /* pairs share by number */
struct reply_budget {
	int64_t tokens; /* microtokens */
	struct mono refilled;
};

struct prober {
	struct gather *gather; /* all sockets of the probes */
	struct watch *watch;
	struct loop_source *timer;
	struct mono armed, house_at;
	bool lazy;       /* sockets are looked at with the ticks, not at once */
	bool in_tick;    /* it arms the timer itself, at its end */
	uint32_t age_us; /* of what is being worked on: since the kernel had it */
	bool raw;        /* CAP_NET_RAW */
	bool echo;       /* sockets for echo requests */
	char raw_why[REASON_MAX_LEN];
	uint16_t port;
	struct round_slot *rounds[ROUNDS_MAX];
	size_t round_count;
	prober_stage_fn *stage_fn;
	void *stage_arg;
	struct prober_stats stats;
	struct words words; /* of probes of the watch */
	struct reply_budget replies, replies_of[REPLY_PAIRS];
	struct probe_icmp *icmp;
	struct probe_udp *udp;
	struct probe_tcp *tcp;
	struct probe_frames *frames;
};

struct probe_ops {
	int (*open)(struct prober *p, struct err *e);
	void (*close)(struct prober *p);
	void (*plan_changed)(struct prober *p);
	/* Says exec_skipped and exec_deaf for the flows that cannot be. */
	void (*round_add)(struct prober *p, struct round_slot *r);
	void (*round_remove)(struct prober *p, struct exec *x);
	int (*send)(struct prober *p, const struct shot *s); /* 0 or errno */
	/* Housekeeping; returns in how many ms it wants to be called again, 0 = not. */
	int64_t (*tick)(struct prober *p, struct mono now);
};

extern const struct probe_ops probe_arp_ops, probe_nd_ops, probe_icmp_ops, probe_udp_ops, probe_tcp_ops;

/* ---- proof ---- */

/* Whose header it may be: a probe of the other side, our own come back (echoed or quoted), the other's answer to ours. */
enum proof_kind { PROOF_PROBE, PROOF_OWN, PROOF_ANSWER };

struct proof {
	struct probe_header header;
	struct exec *x; /* NULL: watch */
	struct round_slot *round;
	const struct peer *peer;
	const struct flow *flow;
	const uint8_t *key;
};

/* Is it a header of our plan or of a round, with a MAC that proves it, of that protocol and family? */
bool prober_prove(struct prober *p, const void *data, size_t len, enum proof_kind want, enum proto proto, int family,
                  struct proof *out);
struct probe_id proof_id(const struct proof *f);
bool proof_bind_device(const struct prober *p, const struct proof *f); /* answers must leave by the device they came in */
bool prober_may_reply(struct prober *p, const struct proof *f);        /* under the rate limits? counts if not */

/* ---- telling ---- */

void prober_arrived(struct prober *p, const struct proof *f, struct ip from, int ttl);
void prober_replied(struct prober *p, const struct proof *f, int error);
enum told { TOLD_ANSWERED, TOLD_REFUSED, TOLD_RESET /* after it was taken */, TOLD_IMPOSTOR };
void prober_told(struct prober *p, const struct probe_id *id, enum told how, struct mac from);
/* An entry of an error queue: an ICMP error, or the kernel's own word. */
void prober_told_error(struct prober *p, const struct probe_id *id, const struct rx *rx);
void prober_told_unresolved(struct prober *p, const struct probe_id *id);
void prober_arm(struct prober *p);  /* look again at what is due */
void prober_busy(struct prober *p); /* something was made that housekeeping must end */
bool flow_is_ours(const struct round_spec *s, const struct flow *f);

/* ---- frames (probe_frame.c) ---- */

enum frame_proto { FRAME_ARP, FRAME_IP6, FRAME_PROTOS };
typedef void frame_fn(struct prober *p, uint32_t ifindex, const struct rx *rx);

/* Reads frames of that protocol on the interface from now on. -1 and errno if it cannot be. */
int frames_listen(struct prober *p, const char *ifname, enum frame_proto proto, frame_fn *fn);
/* As frames_listen, for every interface that the plan or the round probes from. */
void frames_listen_plan(struct prober *p, enum frame_proto proto, frame_fn *fn);
void frames_listen_round(struct prober *p, struct round_slot *r, enum frame_proto proto, frame_fn *fn);
/* Sends an Ethernet frame; 0 or errno. */
int frames_send(struct prober *p, const char *ifname, const uint8_t *frame, size_t len);
int frames_mac(struct prober *p, const char *ifname, struct mac *out, uint32_t *ifindex);
/* Sends the shot as a frame to shot.dst_mac, past the kernel's neighbour table. `sport`: source port or echo identifier. */
int frames_send_directed(struct prober *p, const struct shot *s, uint16_t sport, uint16_t id_seq);
void frames_close(struct prober *p);

/* Questions whose answers carry no header (ARP, ND): the latest that fits is the one that is answered. */
struct question {
	struct probe_id id;
	uint32_t ifindex;
	struct ip target, asker; /* asker family 0: none (RFC 5227 probe) */
	struct mac expect;
	bool answered;
	struct mono asked; /* filled in by questions_add */
};
void questions_add(struct prober *p, const struct question *q);
void questions_forget(struct prober *p, const struct exec *x);
void questions_answer(struct prober *p, uint32_t ifindex, struct ip target, struct ip asker, struct mac from);

#endif
