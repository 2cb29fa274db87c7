/* walk: PURE. Where packets from one machine to another go, hop by hop, as far as the machines' own words tell: what each of
 * them would do with the packet (route, neighbour, bridge, tunnel), simulated one after the other. */
#ifndef BW_COLLECTOR_WALK_H
#define BW_COLLECTOR_WALK_H

#include "collector/fleet.h"
#include "proto/model/verdict.h"

#define WALK_POINTS_MAX (PATH_POINTS_MAX - 2) /* the sockets are no points */

struct walk_point {
	struct member *member;
	char ifname[IFNAME_LEN];
	uint8_t role; /* enum point_role */
};

struct walk {
	size_t count;
	struct walk_point at[WALK_POINTS_MAX]; /* in the order of travel, each once */
	size_t sure;                           /* those that do not rest on a guess */
	size_t first;                          /* those of the sender and of the host that carries it, up to the first wire */
	bool complete;                         /* nothing is missing in between */
};

struct walk_end {
	struct member *member;
	const struct endpoint *ep;
};

/* `onlink`: the two are known to be on one segment: nobody routes between them, whatever they say now. */
void walk_path(const struct fleet *f, const struct walk_end *from, const struct walk_end *to, bool onlink, struct walk *out);
/* Both directions, each completed with what the other one knows. */
void walk_both(const struct fleet *f, const struct walk_end end[static 2], bool onlink, struct walk out[static 2]);

#endif
