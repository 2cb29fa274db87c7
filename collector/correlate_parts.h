/* correlate_parts: what the files of correlate share. Private to them.
 *
 * A trace is what the points of one path saw of one flow's probes (or of its answers, which travel on the path of the other
 * direction). A gap is where a trace ends. */
#ifndef BW_COLLECTOR_CORRELATE_PARTS_H
#define BW_COLLECTOR_CORRELATE_PARTS_H

#include "collector/correlate.h"

struct sight {
	bool looked; /* somebody looked and lost nothing of its own: what is not in `set` was not there */
	seqset set;
};

struct trace {
	size_t count;
	struct sight at[PATH_POINTS_MAX]; /* the sender's socket first, the receiver's last */
};

struct gap { /* indexes into the path */
	uint8_t after, before;
	bool partial;
};

/* One flow of the round with what both ends said of it. */
struct view {
	const struct flow *flow;
	const struct flow_sent *sent;         /* NULL = its sender did not report */
	const struct flow_received *received; /* NULL = its receiver did not report */
	seqset base;                          /* probes that are judged: all that were meant to arrive */
	bool never_left; /* the kernel waits for a neighbour that does not resolve, and nothing went onto the wire */
	struct trace probes;
	struct trace answers;                         /* along the path of the other direction */
	uint8_t delivery, initiation;                 /* enum cell */
	char why[REASON_MAX_LEN + 2 * TITLE_MAX_LEN]; /* when one of them is unknown or skipped */
};

struct correlation {
	const struct dossier *d;
	struct verdict *v;
	size_t count;
	struct view views[ROUND_FLOWS_MAX]; /* without the ladder */
};

int set_count(seqset s);
static inline int sender_of(const struct flow *f) { return f->dir == 0 ? PARTY_A : PARTY_B; }
static inline int receiver_of(const struct flow *f) { return f->dir == 0 ? PARTY_B : PARTY_A; }

/* correlate_trace.c */
void view_fill(const struct dossier *d, const struct flow *f, struct view *w);
seqset view_delivered(const struct view *w);
seqset view_returned(const struct view *w); /* answers of any sort that came back to the sender */
/* Where a trace ends: between the last point that saw any and the first later one that looked and did not; when some get
 * through, where most are lost. False: nothing is missing, or nobody can tell where. */
bool trace_gap(const struct trace *t, struct gap *out);
seqset trace_all(const struct trace *t); /* seen anywhere */

/* correlate_cells.c */
#define LAG_UNFIT_US  200000 /* who slept this long is no witness of what came late or not at all */
#define LAG_MISSED_US 350000 /* what it sends then may leave when the stage is over and nobody looks any more */
bool party_lagged(const struct dossier *d, int party, uint32_t at_least_us);
void view_judge(const struct dossier *d, struct view *w);
void cells_fill(struct correlation *c);

/* correlate_cuts.c */
void cuts_fill(struct correlation *c);

/* A part of that kind's probes is lost on this stretch. */
void cuts_partial(struct correlation *c, int dir, uint8_t after, uint8_t before, uint8_t kind);

/* correlate_quality.c: what trains of probes say of what arrives. */
void quality_fill(struct correlation *c);

/* correlate_drops.c: what the kernels say of the packets that die at the cuts. */
void drops_fill(struct correlation *c);
/* A cut at this machine has no word (no rule), and it could not look: the reason; NULL = that is not so. */
void drops_not_known(const struct correlation *c, int party, const char **drops, const char **rules);

/* correlate_notes.c */
void notes_fill(struct correlation *c);

#endif
