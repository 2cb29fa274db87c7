/* rounds: the rounds that run now, by hand or because the watch suspects a pair, and the current verdict of every pair that is
 * not well. One automatic round per pair at a time, not too often, a bounded number at once. */
#ifndef BW_COLLECTOR_ROUNDS_H
#define BW_COLLECTOR_ROUNDS_H

#include "collector/query.h"

#define ROUNDS_MAX            64    /* at once, of both sorts */
#define ROUNDS_AUTOMATIC_MAX  8     /* of them begun by ourselves */
#define ROUNDS_WAITING_MAX    256   /* asked for and not begun */
#define ROUND_COOLDOWN_MS     1000  /* between two automatic rounds of a pair; doubles while nothing changes ... */
#define ROUND_COOLDOWN_MAX_MS 60000 /* ... up to this */

struct current { /* the verdict of a pair that is not well */
	uint32_t a, b;
	enum state state;
	uint64_t round;
	struct wall at;    /* of the verdict */
	struct wall since; /* of the first one of this trouble */
	struct mono noted;
	bool automatic;
	char *cause, *where, *direction, *sentence; /* owned, NULL = none */
	double confidence;
};

struct rounds *rounds_new(struct collector *c);
void rounds_free(struct rounds *r);
void rounds_restore(struct rounds *r, const struct stored_verdict *v);
/* A round now (or as soon as one of the same pair is over). -1 and the reason when it cannot be. */
struct round_wish {
	struct member *a, *b;
	uint16_t service_port;
	bool why;     /* the answer shows the arithmetic, too */
	bool deep;    /* measure quality in any case */
	bool capture; /* the answer brings a capture file in parts, and a summary of it around the verdict */
	bool bundle;  /* the answer brings a bundle instead */
};
int rounds_ask(struct rounds *r, const struct round_wish *wish, const struct reply *reply, struct err *e);
/* The watch thinks the pair is ill or well. */
void rounds_event(struct rounds *r, const struct detect_event *event);
/* Facts of a member changed: some of the pairs that this may have broken or healed are looked at, at once. */
void rounds_changed(struct rounds *r, const struct member *m, const struct fact_change *changes, size_t count);
/* A member fell silent: one of its pairs is looked at. */
void rounds_member_down(struct rounds *r, const struct member *m);
void rounds_message(struct rounds *r, const struct member *from, struct msg *m);
/* Deadlines and what waits. */
void rounds_tick(struct rounds *r, struct mono now);
/* Once a second: pairs that are well again, pairs that stay ill without a verdict. */
void rounds_sweep(struct rounds *r, struct mono now);
size_t rounds_current_count(const struct rounds *r);
const struct current *rounds_current_at(const struct rounds *r, size_t i);
const struct current *rounds_current(const struct rounds *r, uint32_t a, uint32_t b); /* in either order; NULL = none */
/* When the pair was last known to be well; 0 = not known. */
struct wall rounds_well_at(const struct rounds *r, uint32_t a, uint32_t b);
size_t rounds_running(const struct rounds *r);

#endif
