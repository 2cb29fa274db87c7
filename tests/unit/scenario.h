/* scenario: a cause as it shows in a dossier, and what looks like it: a table of them, and the two tests that every table passes.
 */
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

#endif
