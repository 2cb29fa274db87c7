/* planner: PURE. Which pairs are watched, under which numbers and keys, and each agent's plan. Now: host and its own guests,
 * guests of one tenant, host and host. A sparse plan for large fleets comes behind the same interface. */
#ifndef BW_COLLECTOR_PLANNER_H
#define BW_COLLECTOR_PLANNER_H

#include "collector/fleet.h"

struct pair { /* plan-given number = position */
	bool used;
	uint32_t a, b; /* member ids, a < b by (host first, then name) */
	uint8_t key[PAIR_KEY_LEN];
	struct endpoint ep_a, ep_b;
	bool onlink;
	kind_mask kinds[2];       /* per direction */
	char *why[2][KIND_COUNT]; /* of the kinds left out; owned, NULL = none */
};

struct planner;
/* `random` fills bytes (keys); arg is its own. */
struct planner *planner_new(void (*random)(void *arg, void *out, size_t len), void *arg);
void planner_free(struct planner *p);
/* Brings the plan up to the fleet; returns true when any agent's plan changed. Pair numbers are stable while both ends stay. */
bool planner_update(struct planner *p, const struct fleet *f);
size_t planner_count(const struct planner *p);                                        /* highest pair number + 1 */
const struct pair *planner_pair(const struct planner *p, uint32_t number);            /* NULL if unused */
int64_t planner_find(const struct planner *p, uint32_t a, uint32_t b, bool *swapped); /* number or -1 */
/* The plan of one agent; `out` is to be cleared by the caller. Version rises with every change of this agent's plan. */
void planner_plan_of(const struct planner *p, const struct fleet *f, uint32_t member, struct plan *out);
uint64_t planner_version_of(const struct planner *p, uint32_t member);
/* Ready-made knobs; 0 = the default: probes every 100 ms (longer for agents with many peers, so that each stays within its
 * budget), reports every 100 ms in small fleets, else 200 ms, 1000 packets per second. Takes effect with the next update. */
struct planner_rates {
	uint32_t interval_ms, report_ms, budget_pps;
};
void planner_rates(struct planner *p, struct planner_rates r);
/* How much of the whole is watched: pairs that should be, and those of them that have at least one kind in one direction. */
struct planner_coverage {
	size_t planned, possible;
};
struct planner_coverage planner_coverage(const struct planner *p);

#endif
