/* scenario: a cause as it shows in a dossier, and what looks like it: a table of them, and the tests that every table passes. */
#ifndef BW_TESTS_SCENARIO_H
#define BW_TESTS_SCENARIO_H

#include "tests/unit/case_world.h"

struct scenario {
	const char *id, *a, *b, *where; /* who is blamed, NULL = not judged */
	void (*breaks)(struct world *w);
	void (*alike)(struct world *w); /* looks like it: then it is not named. NULL = none */
	const char *fix;                /* a part of a command or sentence, NULL = not judged */
};

static struct catalogue *catalogue;

static inline int open_catalogue(void **state)
{
	(void)state;
	catalogue = catalogue_shipped();
	return 0;
}

static inline int close_catalogue(void **state)
{
	(void)state;
	catalogue_free(catalogue);
	return 0;
}

static inline const struct cause *named(const struct world *w, const char *id)
{
	for (size_t i = 0; i < w->v->cause_count; i++) {
		if (strcmp(w->v->causes[i].id, id) == 0)
			return &w->v->causes[i];
	}
	return NULL;
}

static inline bool fix_has(const struct cause *c, const char *part)
{
	for (size_t i = 0; part && i < c->fix_count; i++) {
		if (strstr(c->fixes[i].command, part))
			return true;
	}
	return !part;
}

static inline struct world *diagnosed(const struct scenario *s, void (*breaks)(struct world *w), bool turned)
{
	struct world *w = world_new(turned ? s->b : s->a, turned ? s->a : s->b);
	breaks(w);
	diagnose(catalogue, w->d, w->v);
	return w;
}

/* Whoever of the two asks, each is named first, or even `alone`. */
static inline void assert_named_first(const struct scenario *table, size_t count, bool alone)
{
	int wrong = 0;
	for (size_t i = 0; i < 2 * count; i++) {
		const struct scenario *s = &table[i / 2];
		struct world *w = diagnosed(s, s->breaks, i % 2);
		const struct cause *c = w->v->cause_count == 1 || (w->v->cause_count && !alone) ? &w->v->causes[0] : NULL;
		if (!c || strcmp(c->id, s->id) || (s->where && strcmp(c->where, s->where)) || !fix_has(c, s->fix)) {
			fprintf(stderr, "%s from %s:\n", s->id, i % 2 ? s->b : s->a);
			verdict_dump(w->v);
			wrong++;
		}
		world_free(w);
	}
	assert_int_equal(wrong, 0);
}

static inline void assert_alike_not_named(const struct scenario *table, size_t count)
{
	int wrong = 0;
	for (size_t i = 0; i < count; i++) {
		const struct scenario *s = &table[i];
		if (!s->alike)
			continue;
		struct world *w = diagnosed(s, s->alike, false);
		if (named(w, s->id)) {
			fprintf(stderr, "%s, and only alike:\n", s->id);
			verdict_dump(w->v);
			wrong++;
		}
		world_free(w);
	}
	assert_int_equal(wrong, 0);
}

/* ---- whatever is missing, every piece of evidence has an answer ---- */

#define LACKS 7

static inline void take_away(struct party *p, int what, struct snapshot *half)
{
	if (what == 0)
		p->before = p->after = NULL;
	else if (what == 1)
		p->after = NULL;
	else if (what == 2)
		p->result = NULL;
	else if (what == 3)
		*p->ep.ifname = *p->ep_last.ifname = '?';
	else if (what == 4)
		p->at = (struct placement){.host = -1};
	else if (what == 5)
		p->ep = p->ep_last = (struct endpoint){0};
	else if (p->after) {
		*half = *p->after;
		half->link_count = half->addr_count = half->route_count = 0;
		p->before = p->after = half;
	}
}

static inline void ask_all(const struct inquiry *q, const struct weighed *w, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct finding f = {.is = TRI_NO};
		w[i].evidence->find(q, &f);
	}
}

static inline void ask_everything(const struct world *w, const struct problem *p, struct hits *hits, int who)
{
	for (size_t i = 0; i < catalogue_count(catalogue); i++) {
		const struct entry *e = catalogue_entry(catalogue, i);
		struct bindings learned = {0};
		struct inquiry q = {w->d, w->v, p, hits, dir_src(p->dir), dir_dst(p->dir), who, &learned};
		ask_all(&q, e->requires, e->requires_count);
		ask_all(&q, e->supports, e->supports_count);
		ask_all(&q, e->contradicts, e->contradicts_count);
		bindings_free(&learned);
	}
}

static inline void assert_survives(const struct scenario *s, int what, size_t of)
{
	struct world *w = world_new(s->a, s->b);
	struct snapshot half;
	struct problem p[PROBLEMS_MAX];
	struct hits *hits = mem_alloc(sizeof *hits);
	s->breaks(w);
	take_away(&w->d->party[of % w->d->party_count], what, &half);
	size_t n = problems_find(w->d, w->v, p, PROBLEMS_MAX);
	for (size_t i = 0; i < n; i++) {
		hits_find(w->d, w->v, &p[i], hits);
		ask_everything(w, &p[i], hits, dir_src(p[i].dir));
		ask_everything(w, &p[i], hits, dossier_host(w->d, PARTY_B) < 0 ? PARTY_B : dossier_host(w->d, PARTY_B));
	}
	diagnose(catalogue, w->d, w->v);
	assert_non_null(w->v->sentence);
	free(hits);
	world_free(w);
}

/* A part of what is known of one machine is taken away from each. */
static inline void assert_nothing_is_indispensable(const struct scenario *table, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		for (int k = 0; k < LACKS * (int)MACHINES; k++)
			assert_survives(&table[i], k % LACKS, (size_t)k / LACKS);
	}
}

#endif
