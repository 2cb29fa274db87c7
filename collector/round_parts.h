/* round_parts: what the files of round share. Private to them. */
#ifndef BW_COLLECTOR_ROUND_PARTS_H
#define BW_COLLECTOR_ROUND_PARTS_H

#include "collector/round.h"

/* One machine that takes part: [0] a, [1] b, then hosts that are not an end themselves and who routes in between. */
struct participant {
	struct member *member;
	bool asked; /* was online when the round began: it got the spec */
	bool armed;
	bool done[STAGE_COUNT];
	kind_mask unanswered;            /* kinds it sent that were not all answered, as its stages ended; without those aside */
	kind_mask silent;                /* of these: not one was */
	bool lacking;                    /* so in the running stage */
	uint32_t repeated;               /* probes and answers that came more than once */
	uint32_t rtt_us;                 /* the shortest round trip of an echo; 0 = none */
	struct snapshot *before, *after; /* owned */
	struct round_result *result;     /* owned; NULL = not yet */
	struct placement at;             /* where it is plugged in; `host` is an index into `part` */
	struct point_spec points[ROUND_POINTS_MAX];
	size_t point_count;
};

#define PARTICIPANTS_MAX PARTIES_MAX
#define POINTS_MAX       64 /* of all participants; ids are their indexes */

/* A step along a path: a socket (point -1) or a capture point (index into `points`). */
struct hop {
	int part;
	int point;
};

enum round_phase { PHASE_ARM, PHASE_QUIET, PHASE_STAGE, PHASE_DRAIN, PHASE_END, PHASE_OVER };

struct round_point {
	int part;
	uint8_t role;
	char ifname[IFNAME_LEN];
};

struct round {
	struct round_ask ask;
	round_send_fn *send;
	void *arg;
	size_t part_count;
	struct participant part[PARTICIPANTS_MAX];
	struct endpoint ep[2];
	bool onlink;
	size_t flow_count, old_flow_count; /* the first of them are what agents know that speak version 3 or less */
	struct flow flows[ROUND_FLOWS_MAX];
	kind_mask kinds[2]; /* that can be, in each direction */
	kind_mask skipped[2];
	char *skip_why[2][KIND_COUNT]; /* owned */
	size_t point_count;
	struct round_point points[POINTS_MAX];
	size_t path_count[2];
	struct hop path[2][PATH_POINTS_MAX];
	bool path_complete[2];
	enum round_phase phase;
	enum stage stage;
	struct mono started, stage_began, unanswered_at, deadline, ended;
	char progress[STAGE_COUNT][2 * TITLE_MAX_LEN + 32];
};

#define ID_STRIDE 32 /* between the identifiers of two flows: >= LADDER_COUNT and any probe count but of timed ones */

/* round_spec.c: flows of both directions, and what one participant is told. */
void round_flows(struct round *r);
struct flow *round_flow_add(struct round *r, enum kind kind, int dir); /* NULL = there is no room */
bool round_stage_needed(const struct round *r, enum stage s);          /* somebody who armed has something to send in it */
bool round_sends(const struct round *r, int part, enum stage s);
uint32_t round_stage_ms(const struct round *r, enum stage s); /* the longest it may take, answers included */
void round_spec_of(const struct round *r, int part, struct round_spec *out);

/* round_extra.c: flows beside the matrix, and whether their stage is to run. */
void round_extra_flows(struct round *r);
bool round_extra_wanted(const struct round *r, enum stage s);

/* round_path.c: participants' placements, capture points and paths. */
void round_paths(struct round *r, const struct fleet *f);

#endif
