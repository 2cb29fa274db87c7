/* verdict: names, memory, and the state of the pair as the contract decides it. */
#include "proto/model/verdict.h"

#include "proto/base/mem.h"
#include "proto/model/plan.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- names ---- */

static const char *const state_names[] = {
    [STATE_OK] = "ok",
    [STATE_ONE_WAY] = "one-way",
    [STATE_BOTH_WAYS] = "both-ways",
    [STATE_DEGRADED] = "degraded",
    [STATE_UNDETERMINED] = "undetermined",
};

const char *state_name(enum state s) { return state_names[s]; }

struct cell_info {
	const char *delivery, *initiation;
	bool bad;   /* something is wrong */
	bool fails; /* wrong outright, not only poor */
};

static const struct cell_info cells[] = {
    [CELL_UNKNOWN] = {"unknown", "unknown", false, false},
    [CELL_OK] = {"ok", "ok", false, false},
    [CELL_LOST] = {"lost", "fail", true, true},
    [CELL_PARTIAL] = {"partial", "partial", true, false},
    [CELL_SLOW] = {"slow", "slow", true, false},
    [CELL_REFUSED] = {"refused", "refused", true, true},
    [CELL_REPLY_ONLY] = {"reply-only", "reply-only", true, true},
    [CELL_IMPOSTOR] = {"impostor", "impostor", true, true},
    [CELL_SKIPPED] = {"skipped", "skipped", false, false},
};

const char *cell_name(enum cell c, bool delivery) { return delivery ? cells[c].delivery : cells[c].initiation; }
bool cell_is_bad(enum cell c) { return cells[c].bad; }

const char *path_point_name(const struct path_point *p, char out[static POINT_NAME_MAX])
{
	const char *place = p->role == POINT_SOCKET ? "socket" : p->ifname;
	snprintf(out, POINT_NAME_MAX, "%s:%s", p->agent, place);
	return out;
}

/* ---- memory ---- */

struct verdict *verdict_new(void)
{
	struct verdict *v = mem_alloc(sizeof *v);
	v->state = STATE_UNDETERMINED;
	return v;
}

static void texts_free(char **texts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(texts[i]);
	free(texts);
}

static void fixes_free(struct fix *fixes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(fixes[i].where);
		free(fixes[i].command);
	}
	free(fixes);
}

void cause_clear(struct cause *c)
{
	free(c->id);
	free(c->title);
	free(c->explanation);
	free(c->title_zh);
	free(c->explanation_zh);
	free(c->where);
	free(c->component);
	free(c->direction);
	free(c->verify);
	texts_free(c->for_text, c->for_count);
	texts_free(c->against_text, c->against_count);
	fixes_free(c->fixes, c->fix_count);
}

static void changed_clear(struct verdict *v)
{
	for (size_t i = 0; i < v->changed_count; i++) {
		free(v->changed[i].fact);
		free(v->changed[i].was);
		free(v->changed[i].now);
	}
	free(v->changed);
}

static void whys_clear(struct verdict *v)
{
	for (int k = 0; k < KIND_COUNT; k++) {
		free(v->dir[0].why[k]);
		free(v->dir[1].why[k]);
	}
}

static void ruled_out_clear(struct verdict *v)
{
	for (size_t i = 0; i < v->ruled_out_count; i++) {
		free(v->ruled_out[i].id);
		free(v->ruled_out[i].because);
	}
	free(v->ruled_out);
}

static void left_clear(struct verdict *v)
{
	for (size_t i = 0; i < v->left_count; i++) {
		struct left_over *l = &v->left[i];
		char *const owned[] = {l->id, l->title, l->title_zh, l->where, l->missing};
		for (size_t k = 0; k < sizeof owned / sizeof *owned; k++)
			free(owned[k]);
	}
	free(v->left);
}

void verdict_free(struct verdict *v)
{
	if (!v)
		return;
	free(v->sentence);
	whys_clear(v);
	for (size_t i = 0; i < v->cause_count; i++)
		cause_clear(&v->causes[i]);
	free(v->causes);
	ruled_out_clear(v);
	left_clear(v);
	for (size_t i = 0; i < v->weighing_count; i++)
		weighing_clear(&v->weighings[i]);
	free(v->weighings);
	changed_clear(v);
	texts_free(v->notes, v->note_count);
	free(v);
}

const char *odd_name(enum oddity o)
{
	static const char *const names[ODD_COUNT] = {"none",       "loss",   "delay", "jitter", "reorder",
	                                             "duplicates", "damage", "queue", "name"};
	return o < ODD_COUNT ? names[o] : "?";
}

const char *odd_unit(enum oddity o) { return o == ODD_DELAY || o == ODD_JITTER || o == ODD_QUEUE ? "us" : "of_10000"; }

/* ---- state ---- */

struct tally {
	bool known;      /* any cell says anything */
	bool delivery;   /* some delivery fails */
	bool initiation; /* some initiation fails, and no poor delivery of its kind explains it */
	bool poor;       /* packets arrive, but not as they should */
};

static bool cell_is_known(uint8_t c) { return c != CELL_UNKNOWN && c != CELL_SKIPPED; }
static bool cell_is_poor(uint8_t c) { return cells[c].bad && !cells[c].fails; }

/* A conversation needs both deliveries: where one of them is lossy, a failed conversation proves nothing more. */
static bool delivery_is_poor(const struct verdict *v, int k)
{
	return cell_is_poor(v->dir[0].delivery[k]) || cell_is_poor(v->dir[1].delivery[k]);
}

static struct tally tally_of(const struct verdict *v, int dir)
{
	struct tally t = {0};
	for (int k = 0; k < KIND_COUNT; k++) {
		uint8_t d = v->dir[dir].delivery[k], i = v->dir[dir].initiation[k];
		t.known |= cell_is_known(d) || cell_is_known(i);
		t.delivery |= cells[d].fails;
		t.initiation |= cells[i].fails && !delivery_is_poor(v, k);
		t.poor |= cell_is_poor(d) || cell_is_poor(i);
	}
	return t;
}

/* "In exactly one direction" is a claim about both: about a direction of which nothing is known none can be made. */
static enum state failing(bool ab, bool ba, bool both_known)
{
	if (ab && ba)
		return STATE_BOTH_WAYS;
	return both_known ? STATE_ONE_WAY : STATE_UNDETERMINED;
}

void verdict_decide_state(struct verdict *v)
{
	struct tally ab = tally_of(v, 0), ba = tally_of(v, 1);
	bool both_known = ab.known && ba.known;

	if (ab.delivery || ba.delivery)
		v->state = failing(ab.delivery, ba.delivery, both_known);
	else if (ab.initiation || ba.initiation)
		v->state = failing(ab.initiation, ba.initiation, both_known);
	else if (ab.poor || ba.poor)
		v->state = STATE_DEGRADED;
	else if (!ab.known && !ba.known)
		v->state = STATE_UNDETERMINED;
	else
		v->state = STATE_OK;
}
