/* sim: agents and collector in one process, on a fake clock and a fake network. The cores are the real ones (watch, exec,
 * spool; fleet, planner, detect, round, correlate), and what they tell each other passes through the wire's encoder and
 * decoder. The network carries values, not bytes: every hop between two points can lose, double, delay and reorder,
 * by direction and kind. Deterministic: the same seed gives the same run. */
#ifndef BW_SIM_H
#define BW_SIM_H

#include "agent/exec.h"
#include "agent/spool.h"
#include "agent/watch.h"
#include "collector/correlate.h"
#include "collector/round.h"
#include "proto/base/mem.h"

#include <string.h>

#define SIM_MACHINES    16
#define SIM_SEGMENTS    4 /* 0: where the hosts have addresses; others: tenants' bridges without */
#define SIM_FAULTS      8
#define SIM_PATH_MAX    10
#define SIM_TICK_MS     5
#define SIM_WAITING_MAX 256 /* packets that wait for a neighbour */
#define SIM_SOCKET_MAX  512 /* packets a paused agent's sockets hold */

struct sim;

/* ---- the network ---- */

struct packet {
	int from, to, segment;
	uint8_t kind, part; /* of an answer: the kind it answers */
	bool kernel;        /* the kernel's own ARP or ND, not an agent's probe */
	bool cold;          /* ARP with sender 0.0.0.0: teaches nothing */
	bool directed;      /* past the neighbour cache */
	bool proven;
	uint64_t round;
	uint8_t flow, seq;
	struct probe_header watch; /* when round is 0 */
};

/* A hop: between two neighbouring points of a path; ifname "" = the socket. */
struct hop_end {
	int machine;
	char ifname[IFNAME_LEN];
};

struct net_fault {
	struct hop_end after, before; /* packets that run this way */
	kind_mask kinds;
	bool probes, answers;
	uint32_t lose_ppm, double_ppm;
	uint32_t delay_us, jitter_us;
};

/* ---- a machine and its agent ---- */

struct waiting {
	bool used;
	struct packet p;
};
struct neighbour {
	bool known;
	uint8_t tries;
	struct mono asked;
};

struct machine {
	char name[NAME_MAX_LEN], tenant[NAME_MAX_LEN];
	uint8_t kind; /* enum agent_kind */
	int host;     /* of a guest */
	int segment;  /* of a guest */
	char port[IFNAME_LEN];
	struct mac mac[SIM_SEGMENTS]; /* a guest's NIC: in its own segment; a host's bridges */
	uint32_t mtu;
	struct neighbour neighbours[SIM_MACHINES][2]; /* by family */
	struct waiting waiting[SIM_WAITING_MAX];
	/* agent */
	bool agent;      /* has one */
	bool no_capture; /* cannot arm any point */
	bool paused, session;
	struct watch *watch;
	struct exec *exec;
	struct spool *spool;
	uint64_t boot, told; /* reports up to `told` were sent in this session */
	struct mono report_at, resend_at, check_at;
	uint64_t checks; /* flows whose neighbour is to be looked at, at check_at */
	struct health health;
	uint64_t rows_reported;
	size_t held_count;
	struct packet *held; /* while paused */
};

/* ---- the collector ---- */

struct ledger {
	uint64_t boot, applied;
	uint32_t id;
}; /* what a store keeps of a member */

struct sim_collector {
	struct fleet *fleet;
	struct planner *planner;
	struct detect *detect;
	struct round *round;
	struct ledger ledger[SIM_MACHINES];
	uint64_t plan_sent[SIM_MACHINES];
	bool stale;
	uint64_t rows_applied, again;
	size_t event_count, doubts;
	uint32_t doubted; /* the pair of the last doubt */
	struct {
		struct detect_event event;
		struct mono at;
	} events[256];
};

/* ---- everything ---- */

struct sim_event;

struct sim {
	uint64_t random;
	struct mono now;
	struct wall wall_offset; /* wall = now + offset: may be stepped */
	size_t machine_count, segment_count;
	struct machine machines[SIM_MACHINES];
	size_t fault_count;
	struct net_fault faults[SIM_FAULTS];
	struct sim_collector c;
	struct sim_event *heap;
	size_t heap_count, heap_cap;
	uint64_t order; /* breaks ties in the order of insertion */
	bool watching;  /* agents watch and report */
	bool deep;      /* rounds measure quality, whatever their first stages say */
	uint32_t control_loss_ppm, control_double_ppm, control_jitter_us;
	uint64_t packets;
};

/* sim.c: clock, events, chance */
struct sim *sim_new(uint64_t seed);
void sim_free(struct sim *s);
uint64_t sim_random(struct sim *s);
uint32_t sim_below(struct sim *s, uint32_t n); /* 0..n-1 */
bool sim_chance(struct sim *s, uint32_t ppm);
struct wall sim_wall(const struct sim *s);
void sim_at(struct sim *s, struct mono at, void (*run)(struct sim *s, const void *what), const void *what, size_t len);
void sim_run(struct sim *s, int64_t ms);
bool sim_run_until(struct sim *s, bool (*done)(struct sim *s), int64_t max_ms);

/* sim_world.c: machines and what they say of themselves */
int world_host(struct sim *s, bool agent);
int world_guest(struct sim *s, int host, int segment);
struct snapshot *world_snapshot(const struct sim *s, int machine);
void world_hello(const struct sim *s, int machine, struct msg_hello *out);
int world_find_mac(const struct sim *s, struct mac mac, int *segment);
int world_find_member(const struct sim *s, const struct member *m);
/* The points between two sockets, both included; 0 = no way. */
size_t world_path(const struct sim *s, int from, int to, int segment, struct hop_end out[SIM_PATH_MAX]);
void world_start(struct sim *s); /* everybody joins, says hello, and reports its first snapshot */

/* sim_net.c */
void net_send(struct sim *s, const struct packet *p);
struct net_fault *net_fault_add(struct sim *s, struct hop_end after, struct hop_end before, kind_mask kinds);
bool net_resolved(const struct sim *s, int machine, int peer, int family);

/* sim_agent.c */
void agent_open(struct sim *s, int machine);
void agent_close(struct sim *s, int machine);
void agent_tick(struct sim *s, int machine);
void agent_message(struct sim *s, int machine, struct msg *m);
void agent_connect(struct sim *s, int machine); /* a new session: hello */
void agent_pause(struct sim *s, int machine, bool paused);
void agent_heard(struct sim *s, const struct packet *p);                                /* a probe or answer for its sockets */
void agent_saw(struct sim *s, int machine, const char *ifname, const struct packet *p); /* at one of its capture points */

/* sim_collector.c */
void collector_start(struct sim *s);
void collector_stop(struct sim *s); /* keeps only what a store keeps */
void collector_tick(struct sim *s);
void collector_message(struct sim *s, int machine, struct msg *m);
bool collector_round(struct sim *s, int a, int b);               /* runs it to its end; it stays in c.round */
struct verdict *collector_diagnose(struct sim *s, int a, int b); /* NULL = the round could not be run */
/* The same, and one agent is stopped for a while in the midst of it. */
struct verdict *collector_diagnose_nap(struct sim *s, int a, int b, int sleeper, int64_t after_ms, int64_t ms);
void control_send(struct sim *s, int from, int to, const struct msg *m); /* -1 = the collector */

#endif
