/* why: what was weighed, as values that outlive the weighing: the whole ledger when somebody asked for it, and of a problem without
 * a cause the few that are left. */
#include "collector/diagnose/inquiry.h"

#include "proto/base/mem.h"

#include <stdlib.h>
#include <string.h>

#define LEFT_MAX 3

/* ---- the ledger ---- */

void ledger_add(struct candidate *c, enum ledger_part part, const struct weighed *w, const struct finding *f, double added)
{
	static const uint8_t answers[] = {[TRI_NO] = LEDGER_NO, [TRI_YES] = LEDGER_YES, [TRI_UNKNOWN] = LEDGER_UNKNOWN};
	if (!c->kept)
		return;
	struct ledger_line *l = VEC_ADD(c->lines, c->line_count, c->line_cap);
	*l = (struct ledger_line){.part = (uint8_t)part,
	                          .answer = answers[f->is],
	                          .weight = part == LEDGER_CONTRADICTS ? 0 : w->weight,
	                          .added = added,
	                          .name = mem_strdup(w->evidence->name),
	                          .text = mem_strdup(f->text)};
}

static enum outcome outcome_of(const struct candidate *c, bool won)
{
	if (won)
		return OUTCOME_NAMED;
	if (c->fits != TRI_YES)
		return c->fits == TRI_NO ? OUTCOME_RULED_OUT : OUTCOME_UNKNOWN;
	return candidate_is_named(c) ? OUTCOME_FITS : OUTCOME_WEAK;
}

static int by_outcome(const void *x, const void *y)
{
	const struct weighed_cause *a = x, *b = y;
	if (a->outcome != b->outcome)
		return b->outcome - a->outcome;
	if (a->sum < b->sum || a->sum > b->sum)
		return a->sum < b->sum ? 1 : -1;
	return strcmp(a->id, b->id);
}

static void weighed_take(struct weighed_cause *out, struct candidate *c, const char *where, double agreement, bool won)
{
	const char *because = c->no ? c->no : c->unknown;
	struct candidate summed = {.odds = c->odds + agreement};
	*out = (struct weighed_cause){.id = mem_strdup(c->entry->id),
	                              .where = mem_strdup(where),
	                              .because = mem_strdup(because),
	                              .prior = c->entry->prior,
	                              .shift = c->entry->shift,
	                              .agreement = agreement,
	                              .partial = c->partial,
	                              .sum = c->odds + agreement,
	                              .confidence = candidate_confidence(&summed),
	                              .outcome = (uint8_t)outcome_of(c, won),
	                              .line_count = c->line_count,
	                              .lines = c->lines};
	c->lines = NULL;
	c->line_count = c->line_cap = 0;
}

void weighing_take(struct verdict *v, const struct problem *p, const struct weighed_candidate *of, size_t count)
{
	v->weighings = mem_resize(v->weighings, v->weighing_count + 1, sizeof *v->weighings);
	struct weighing *w = &v->weighings[v->weighing_count++];
	*w = (struct weighing){
	    .dir = p->dir, .kinds = problem_kinds(p), .placed = p->placed, .after = p->after, .before = p->before};
	w->causes = count ? mem_array(count, sizeof *w->causes) : NULL;
	for (size_t i = 0; i < count; i++) {
		if (of[i].candidate->who >= 0)
			weighed_take(&w->causes[w->count++], of[i].candidate, of[i].where, of[i].agreement, of[i].won);
	}
	if (w->count)
		qsort(w->causes, w->count, sizeof *w->causes, by_outcome);
}

/* ---- what is left of a problem without a cause ---- */

static bool is_known_left(const struct verdict *v, const char *id)
{
	for (size_t i = 0; i < v->left_count; i++) {
		if (strcmp(v->left[i].id, id) == 0)
			return true;
	}
	for (size_t i = 0; i < v->cause_count; i++) {
		if (strcmp(v->causes[i].id, id) == 0)
			return true;
	}
	return false;
}

/* Nothing speaks against it, something does for it; the most of it first. */
static const struct weighed_candidate *best_left(const struct verdict *v, const struct weighed_candidate *of, size_t count)
{
	const struct weighed_candidate *best = NULL;
	for (size_t i = 0; i < count; i++) {
		const struct candidate *c = of[i].candidate;
		bool open = c->who >= 0 && c->fits != TRI_NO && c->odds > c->entry->prior + c->entry->shift;
		if (open && !is_known_left(v, c->entry->id) && (!best || c->odds > best->candidate->odds))
			best = &of[i];
	}
	return best;
}

void left_take(struct verdict *v, const struct weighed_candidate *of, size_t count)
{
	const struct weighed_candidate *next;
	while (v->left_count < LEFT_MAX && (next = best_left(v, of, count))) {
		const struct candidate *c = next->candidate;
		v->left = mem_resize(v->left, v->left_count + 1, sizeof *v->left);
		v->left[v->left_count++] =
		    (struct left_over){.id = mem_strdup(c->entry->id),
		                       .title = mem_strdup(c->entry->title),
		                       .title_zh = mem_strdup(c->entry->title_zh),
		                       .where = mem_strdup(next->where),
		                       .missing = mem_strdup(c->unknown ? c->unknown : "what speaks for it is not enough")};
	}
}
