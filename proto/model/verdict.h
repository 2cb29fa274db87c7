/* verdict: the answer about one pair. What `diagnose` prints, the store keeps and an incident refers to. */
#ifndef BW_MODEL_VERDICT_H
#define BW_MODEL_VERDICT_H

#include "proto/base/mono.h"
#include "proto/model/kind.h"
#include "proto/model/limits.h"
#include "proto/model/weighing.h"

#include <stddef.h>

enum state { STATE_OK, STATE_ONE_WAY, STATE_BOTH_WAYS, STATE_DEGRADED, STATE_UNDETERMINED };
const char *state_name(enum state s); /* "ok" "one-way" "both-ways" "degraded" "undetermined" */

/* a value of the delivery / initiation matrix */
enum cell {
	CELL_UNKNOWN,
	CELL_OK,
	CELL_LOST /* "lost" in delivery, "fail" in initiation */,
	CELL_PARTIAL,
	CELL_SLOW,
	CELL_REFUSED,
	CELL_REPLY_ONLY,
	CELL_IMPOSTOR,
	CELL_SKIPPED
};
const char *cell_name(enum cell c, bool delivery);
bool cell_is_bad(enum cell c); /* lost, partial, slow, refused, reply-only, impostor */

struct path_point {
	char agent[TITLE_MAX_LEN];      /* whose point */
	char ifname[IFNAME_LEN];        /* "" for the socket */
	uint8_t role;                   /* enum point_role */
	bool looked;                    /* somebody looked here (armed, no drops of its own) */
	uint32_t seen;                  /* of this direction's probes, all kinds */
	uint8_t agent_kind;             /* enum agent_kind */
	uint16_t kind_seen[KIND_COUNT]; /* of this direction's probes, by kind */
	char why[REASON_MAX_LEN];       /* nobody looked here: the reason, "" = not known */
};
#define POINT_NAME_MAX (TITLE_MAX_LEN + IFNAME_LEN + 8)
const char *path_point_name(const struct path_point *p, char out[static POINT_NAME_MAX]); /* "vm1:eth0", "vm1:socket" */

#define PATH_POINTS_MAX 40

struct cut { /* the last point that saw it and the first that should have and did not; indexes into the path */
	kind_mask kinds;
	uint8_t after, before;          /* before > after; points between the two did not look */
	kind_mask answers;              /* of `kinds`: those of which only answers (to the opposite direction's probes) die here */
	bool answer;                    /* nothing but answers dies here: answers == kinds */
	bool partial;                   /* some get through */
	char drop_reason[64];           /* of the kernel, "" = not known */
	char drop_place[48];            /* the kernel's function that dropped it, "" = not known */
	char drop_if[IFNAME_LEN];       /* the device it was at there, "" = none */
	int drop_party;                 /* whose kernel: index into dossier.party; -1 = not known */
	char drop_where[TITLE_MAX_LEN]; /* its name, "" = not known */
	char rule[320]; /* the rule that did it, as tracing named it: "inet filter input handle 7: tcp dport 22 drop"; "" = not
	                   known */
};
#define CUTS_MAX 12

/* What is odd about packets that arrive, and on which stretch of the path it comes about. */
enum oddity {
	ODD_NONE,
	ODD_LOSS,       /* more than chance; amount: lost of 10000 */
	ODD_DELAY,      /* us more than usual */
	ODD_JITTER,     /* us: half of them are later than the quickest by more than that */
	ODD_REORDER,    /* of 10000 */
	ODD_DUPLICATES, /* of 10000 */
	ODD_DAMAGE,     /* of 10000 */
	ODD_QUEUE,      /* us that packets wait behind a burst of their own */
	ODD_NAME,       /* nothing of packets: who asks for the other by name is led elsewhere */
	ODD_COUNT
};
const char *odd_name(enum oddity o); /* "loss" "delay" "jitter" "reorder" "duplicates" "damage" "queue" "name" */
const char *odd_unit(enum oddity o); /* of its amount: "us", "of_10000" */
#define ODDS_MAX 8

struct odd {
	uint8_t what;          /* enum oddity */
	uint8_t after, before; /* indexes into the path */
	bool around;           /* there and back together: which of the two ways it is cannot be told */
	uint32_t amount;
};

/* Measured by a train of probes, when there was reason for one. Times of one machine's clock only. */
struct quality {
	bool measured;
	uint32_t sent, received, duplicates, reordered, damaged;
	uint32_t rtt_us, rtt_p95_us; /* the quickest round trip, 19 of 20 are quicker; 0 = none came back */
	uint32_t usual_us;           /* what the watch is used to, 0 = not known */
	uint32_t jitter_us;          /* median delay beyond the quickest, from the sender's interface to the receiver's */
	uint32_t queue_us;           /* the longest wait behind the burst */
	uint32_t rate_kbit;          /* what the way carries, when that is so little that the burst showed it; else 0 */
	size_t odd_count;
	struct odd odds[ODDS_MAX];
};

struct direction {
	char from[TITLE_MAX_LEN], to[TITLE_MAX_LEN];
	uint8_t delivery[KIND_COUNT]; /* enum cell */
	uint8_t initiation[KIND_COUNT];
	char *why[KIND_COUNT]; /* owned; why skipped or unknown, else NULL */
	uint32_t loss_sent, loss_received;
	size_t path_count;
	struct path_point path[PATH_POINTS_MAX];
	bool path_complete; /* every hop between the two is known */
	size_t cut_count;
	struct cut cuts[CUTS_MAX];
	struct quality quality;
};

struct fix {
	char *where;   /* agent name, or "fabric" and the like when no agent stands there */
	char *command; /* verbatim, ready to run as root there; or a sentence when `manual` */
	bool manual;
};

struct cause {
	char *id, *title, *explanation;
	char *title_zh, *explanation_zh; /* NULL = there is none */
	double confidence;               /* 0..1 */
	char *where;                     /* agent blamed, or "host1-host2" for what lies between */
	char *component;                 /* "eth0", "vnet3", "br0", a rule: what is blamed there; may be NULL */
	char *direction;                 /* "host1->vm1", or "both" */
	uint8_t cut_dir, cut;            /* the cut it explains: direction 0/1 and index, cut == 255: none (initiation only) */
	size_t for_count;
	char **for_text;
	size_t against_count;
	char **against_text;
	size_t fix_count;
	struct fix *fixes;
	char *verify;
};

struct ruled_out {
	char *id, *because;
};

/* A cause that nothing speaks against, where none could be named. */
struct left_over {
	char *id, *title, *title_zh /* may be NULL */, *where, *missing; /* missing: what would have to be known */
};

struct verdict {
	bool wants_why;                          /* to be set before the diagnosis: keep what was weighed */
	char a[TITLE_MAX_LEN], b[TITLE_MAX_LEN]; /* as people are told them */
	char tenant_a[NAME_MAX_LEN], tenant_b[NAME_MAX_LEN];
	enum state state;
	char *sentence;          /* one sentence that answers the question */
	struct direction dir[2]; /* a->b, b->a */
	size_t cause_count;
	struct cause *causes; /* ranked */
	size_t left_count;
	struct left_over *left; /* of a place without a cause, the likeliest first */
	size_t ruled_out_count;
	struct ruled_out *ruled_out;
	size_t weighing_count;
	struct weighing *weighings; /* with wants_why: per problem */
	size_t changed_count;
	struct {
		char agent[TITLE_MAX_LEN];
		char *fact, *was, *now;
		struct wall at;
	} * changed;
	size_t note_count;
	char **notes;          /* what could not be measured and why */
	uint16_t service_port; /* of the "service" kinds, 0 = none */
	uint32_t took_ms;
	struct wall at;
};

struct verdict *verdict_new(void);
void cause_clear(struct cause *c); /* what it owns */
void verdict_free(struct verdict *v);
/* States by the contract: delivery first, then initiation. Fills v->state from the matrices. */
void verdict_decide_state(struct verdict *v);

#endif
