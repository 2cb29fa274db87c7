/* volume: faults by thousands. A world whose machines are snapshots: what they say of themselves is what carries their packets.
 * So a rule, a prefix, a port's flag, an MTU put into a snapshot changes what packets do and what the facts say, as on a real
 * machine. Rounds are conducted by the real cores (round, exec, fleet, judge); packets travel at once, the clock is fake. */
#ifndef BW_SIM_VOLUME_H
#define BW_SIM_VOLUME_H

#include "agent/exec.h"
#include "collector/judge.h"
#include "collector/round.h"
#include "proto/base/mem.h"

#define V_MACHINES 24
#define V_LINKS    24

struct wire {
	int machine; /* at the other end, -1 = nothing is plugged in */
	uint32_t link;
	uint32_t lose_ppm, copy_ppm; /* of what leaves here */
	uint32_t late_ppm;           /* some milliseconds later, overtaken by others */
};

struct vmachine {
	char name[NAME_MAX_LEN], tenant[NAME_MAX_LEN];
	uint8_t kind;         /* enum agent_kind */
	bool agent;           /* the fabric has none */
	bool heard;           /* its agent takes part */
	bool captures, drops; /* rights */
	int host;             /* of a guest; itself of a host */
	uint32_t nic;         /* where it is probed */
	struct ip own[2];     /* its addresses as they were given: IPv4, IPv6 */
	char port[IFNAME_LEN], bridge[IFNAME_LEN];
	struct snapshot *s;
	struct wire wire[V_LINKS + 1]; /* by ifindex; a snapshot's links stand in the order of their indexes, from 1 on */
	struct exec *exec;
	struct member *member;
	uint64_t unresolved; /* flows whose neighbour did not answer */
	/* its agent is stopped meanwhile, or gets CPU now and then only, or begins anew after it */
	struct mono trouble_at, trouble_until;
	bool starved, restarts;
	int64_t stopped; /* since then */
	uint32_t lag_us;
};

enum topology { T_BRIDGED, T_ROUTED, T_VXLAN, T_COUNT };

struct volume {
	uint64_t random;
	struct mono now;
	enum topology topology;
	size_t machine_count;
	struct vmachine machines[V_MACHINES];
	struct fleet *fleet;
	struct planner *planner;
	struct detect *detect;
	struct round *round;
	struct wall wall_step; /* what the collector's and all machines' clocks jump by, from wall_step_at on */
	struct mono wall_step_at;
	int router; /* the machine that routes between the pair, -1 = none */
	bool why;   /* verdicts keep what was weighed */
	uint64_t packets;
	int depth;
	size_t later_count;
	struct later *later; /* frames on their way, and questions to stopped agents */
	size_t letter_count;
	struct {
		int machine;
		struct buf bytes;
	} letters[64]; /* from and to the collector: machine, and -1 - machine */
};

/* A frame; inside a tunnel `inner` is what it carries. */
struct frame {
	struct mac src, dst;
	uint16_t ethertype, sport, dport, size;
	uint8_t l4, type, code, arp_op, ttl, tcp_flags;
	bool df, raw; /* raw: of a program that asks by itself, not of a kernel */
	struct ip sip, dip;
	bool ours; /* belongs to a flow of the round */
	uint8_t kind, part, flow, seq;
	uint32_t mtu;
	uint32_t vni;
	const struct frame *inner;
};

struct later {
	struct mono at;
	int machine;
	uint32_t link; /* where it arrives; 0: at the agent's socket */
	struct frame frame, inner;
};
#define V_LATER 1024

/* volume_round.c: chance, and a round */
uint32_t volume_below(struct volume *v, uint32_t n);
bool volume_chance(struct volume *v, uint32_t ppm);
void volume_enrol(struct volume *v); /* a fleet of all machines with an agent, and what they say of themselves */
void volume_tell(struct volume *v);  /* agents report what has changed */
void volume_dismiss(struct volume *v);
bool volume_is_stopped(const struct volume *v, int machine);                                /* its agent */
struct verdict *volume_diagnose(struct volume *v, const struct catalogue *c, int a, int b); /* NULL: no round could be run */

/* volume_world.c: machines, and random networks of them */
int volume_machine(struct volume *v, const char *name, uint8_t kind, int host);
struct link *volume_link(struct volume *v, int machine, const char *name, const char *kind);
void volume_plug(struct volume *v, int a, const struct link *at, int b, const struct link *to);
void volume_address(struct volume *v, int machine, uint32_t link, const char *prefix);
struct route *volume_route(struct volume *v, int machine, uint8_t type, const char *dst, const char *via, uint32_t link);
void volume_sysctl(struct volume *v, int machine, const char *name, int64_t value);
int64_t volume_sysctl_of(const struct volume *v, int machine, const char *name, const char *dev);
struct link *volume_named(struct volume *v, int machine, const char *name);
/* A random network; *a and *b stand where their pair makes sense. */
void volume_build(struct volume *v, int *a, int *b);
void volume_clear(struct volume *v);

/* volume_net.c: packets */
void volume_probe(struct volume *v, int machine, const struct exec_probe *p);
void volume_later(struct volume *v); /* what is due by now arrives */
void volume_learn(struct volume *v); /* everybody is heard once: bridges learn */

/* volume_faults.c: what can be broken */
struct truth {
	const char *cause;                                  /* NULL = nothing is wrong */
	int where;                                          /* who is to blame, -1 = not judged */
	int direction;                                      /* 0: a->b, 1: b->a, 2: both, -1 = not judged */
	char after[POINT_NAME_MAX], before[POINT_NAME_MAX]; /* the cut; "" = not judged */
};
struct victim {
	int machine, peer; /* who is broken, and the other end of the pair */
	int end;           /* 0: the victim is a */
};
struct volume_fault {
	const char *cause, *name;
	bool (*inject)(struct volume *v, const struct victim *at, struct truth *t); /* false: it makes no sense here */
};
extern const struct volume_fault volume_faults[];
extern const size_t volume_fault_count;

#endif
