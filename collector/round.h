/* round: PURE. Conducts one round: chooses participants, flows, points and tuples; arms, starts stages, ends; and puts what came
 * back into a dossier. Talks through `send`; time comes in as an argument. */
#ifndef BW_COLLECTOR_ROUND_H
#define BW_COLLECTOR_ROUND_H

#include "collector/detect.h"
#include "collector/fleet.h"
#include "collector/planner.h"

struct round;

struct round_ask {
	uint64_t id; /* random, not 0 */
	struct member *a, *b;
	uint16_t service_port;     /* 0 = none: also TCP to this port of b (and a's and b's declared services are probed anyway) */
	struct wall well_at;       /* when the pair was last known to be well, 0 = not known: changes since then may matter */
	uint8_t key[PAIR_KEY_LEN]; /* fresh */
	bool keep_frames;          /* every point keeps what it sees */
	bool names;                /* the ends say what they take each other's names for */
	bool deep;                 /* measure quality, whatever the first stages say */
	uint32_t usual_us[2];      /* round trip that the watch is used to, as a and b measure it; 0 = not known */
	uint16_t id_base;          /* start of its ports and identifiers, at most UINT16_MAX - ROUND_IDS */
};

#define ROUND_IDS 3072 /* so many ports and identifiers from id_base on are the round's */

typedef void round_send_fn(void *arg, struct member *to, const struct msg *m);

/* NULL and the reason when it cannot be run at all (no endpoints, neither agent online). An offline end does not stop it. */
struct round *round_new(const struct round_ask *ask, const struct fleet *f, round_send_fn *send, void *arg, struct mono now,
                        struct err *e);
void round_free(struct round *r);
uint64_t round_id(const struct round *r);
/* MSG_ROUND_ARMED, MSG_STAGE_DONE, MSG_ROUND_RESULT of a participant; takes over what the message owns (leaves it emptied). */
void round_message(struct round *r, const struct member *from, struct msg *m, struct mono now);
void round_tick(struct round *r, struct mono now); /* deadlines */
struct mono round_next(const struct round *r);     /* the next deadline */
bool round_over(const struct round *r);
const char *
round_progress(const struct round *r); /* "arming", "probing host1 -> vm1", ... for people; lives as long as the round */
/* The dossier lends from round and fleet: valid while both live and unchanged. `planner` and `detect` give witnesses. */
void round_dossier(const struct round *r, const struct fleet *f, const struct planner *p, const struct detect *d, struct wall now,
                   struct dossier *out);
uint32_t round_took_ms(const struct round *r);

#endif
