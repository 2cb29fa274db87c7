/* trail: PURE. The way of a frame out of one machine: from one of its interfaces down through VLANs, bonds, bridges and tunnels
 * to a wire; of a guest, on through the host that carries it. Read off snapshots and the fleet's memory of who is plugged in
 * where. Two trails of one segment meet in a bridge, or on the wire. */
#ifndef BW_COLLECTOR_TRAIL_H
#define BW_COLLECTOR_TRAIL_H

#include "collector/fleet.h"
#include "proto/model/plan.h"

#define TRAIL_MAX 32

struct trail_step {
	struct member *member;
	char ifname[IFNAME_LEN];
	uint8_t role;  /* enum point_role */
	bool junction; /* no place of its own: here a bridge (or what macvlans have in common) chooses the port */
};

struct trail {
	size_t count;
	struct trail_step step[TRAIL_MAX];
	size_t sure;         /* steps that do not depend on where the other end is; == count when that is known */
	bool wire;           /* it ends on a wire */
	bool open;           /* a step in between is not known */
	struct member *into; /* it ends inside this machine, at its own interface `step[count - 1]`: it is the other end's router */
};

/* Where frames go, as far as known. */
struct trail_aim {
	struct mac mac;             /* all zero = not known */
	const struct member *whose; /* NULL = not known */
};

/* From `ifname`, whose MAC is or was `mac` (all zero = not known). */
void trail_down(const struct fleet *f, struct member *m, const char *ifname, struct mac mac, const struct trail_aim *aim,
                struct trail *out);
/* The step where two trails meet: true, and the index in each. Steps behind them are not gone. */
bool trail_meet(const struct trail *a, const struct trail *b, size_t *at_a, size_t *at_b);

#endif
