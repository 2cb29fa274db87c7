/* diagnose: for every problem the cause that explains it best; causes that explain several problems are told once. What no
 * cause explains stays undetermined: then the cut is named, and what it might be. */
#include "collector/diagnose/inquiry.h"

#include "proto/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AGREE_BONUS 0.7 /* log-odds for each further problem that the same cause explains */
#define ROUNDS_MAX  3   /* several causes in one place */
#define CHANGED_MAX 40
#define TOLD_FROM   0.1 /* less probable alternatives are not worth a line */

struct study { /* one problem with what every cause has to say about it */
	struct problem problem;
	struct hits hits;
	struct candidate *of; /* one per entry */
	int winner;           /* entry index, -1 = none */
	int rest_of;          /* what this study's cause left unexplained; -1 = it is none of that */
};

struct work {
	const struct catalogue *c;
	const struct dossier *d;
	struct verdict *v;
	size_t entries;
	size_t count;
	struct study *studies; /* PROBLEMS_MAX of them */
};

/* ---- studies ---- */

static void study_clear(struct work *w, struct study *s)
{
	for (size_t i = 0; i < w->entries; i++)
		candidate_clear(&s->of[i]);
	free(s->of);
}

static void study_fill(struct work *w, struct study *s, const struct problem *p)
{
	s->problem = *p;
	s->winner = s->rest_of = -1;
	s->of = mem_array(w->entries, sizeof *s->of);
	hits_find(w->d, w->v, p, &s->hits);
	for (size_t i = 0; i < w->entries; i++)
		candidate_weigh(catalogue_entry(w->c, i), w->d, w->v, p, &s->hits, -1, &s->of[i]);
}

static struct study *study_add(struct work *w, const struct problem *p)
{
	if (w->count == PROBLEMS_MAX)
		return NULL;
	struct study *s = &w->studies[w->count++];
	study_fill(w, s, p);
	return s;
}

static const char *blamed(const struct work *w, const struct candidate *c)
{
	const char *name = c->entry->blames ? bindings_get(&c->learned, c->entry->blames) : NULL;
	return name ? name : w->d->party[c->who].name;
}

static bool same_blame(const struct work *w, const struct candidate *a, const struct candidate *b)
{
	return a->entry == b->entry && strcmp(blamed(w, a), blamed(w, b)) == 0;
}

/* How many other problems this cause explains with the same machine to blame. */
static size_t agreements(const struct work *w, const struct study *s, size_t entry)
{
	size_t n = 0;
	for (size_t i = 0; i < w->count && s->of[entry].who >= 0; i++) {
		const struct candidate *c = &w->studies[i].of[entry];
		n += &w->studies[i] != s && c->fits == TRI_YES && same_blame(w, c, &s->of[entry]);
	}
	return n;
}

static double odds_with_agreement(const struct work *w, const struct study *s, size_t entry)
{
	return s->of[entry].odds + AGREE_BONUS * (double)agreements(w, s, entry);
}

static void study_decide(struct work *w, struct study *s)
{
	double best = 0;
	for (size_t i = 0; i < w->entries; i++) {
		const struct candidate *c = &s->of[i];
		if (!candidate_is_named(c))
			continue;
		double odds = odds_with_agreement(w, s, i);
		if (s->winner < 0 || odds > best) {
			s->winner = (int)i;
			best = odds;
		}
	}
}

/* What the winner leaves unexplained is a problem of its own. */
static void study_rest(struct work *w, size_t at)
{
	struct study *s = &w->studies[at];
	if (s->winner < 0 || s->problem.unheard >= 0)
		return;
	struct problem rest = s->problem;
	problem_limit(&rest, ~s->of[s->winner].kinds);
	rest.explained |= problem_kinds(&s->problem) & s->of[s->winner].kinds;
	struct study *new = problem_kinds(&rest) ? study_add(w, &rest) : NULL;
	if (new)
		new->rest_of = (int)at;
}

/* Two causes in one place: each is looked at again without what the other one accounts for, which may have hidden what it is. */
static void study_refine(struct work *w, struct study *s, const struct study *rest)
{
	struct problem own = s->problem;
	struct study again;
	if (s->winner < 0 || rest->winner < 0)
		return;
	problem_limit(&own, s->of[s->winner].kinds);
	own.explained |= problem_kinds(&rest->problem) & rest->of[rest->winner].kinds;
	study_fill(w, &again, &own);
	study_decide(w, &again);
	bool better = again.winner >= 0 && again.winner != s->winner && !(problem_kinds(&own) & ~again.of[again.winner].kinds) &&
	              again.of[again.winner].odds > s->of[s->winner].odds;
	study_clear(w, better ? s : &again);
	if (!better)
		return;
	again.rest_of = s->rest_of;
	*s = again;
}

static void studies_make(struct work *w)
{
	struct problem problems[PROBLEMS_MAX];
	size_t n = problems_find(w->d, w->v, problems, PROBLEMS_MAX), from = 0;
	for (size_t i = 0; i < n; i++)
		study_add(w, &problems[i]);
	for (int round = 0; round < ROUNDS_MAX; round++) {
		size_t to = w->count;
		for (size_t i = from; i < to; i++)
			study_decide(w, &w->studies[i]);
		for (size_t i = from; i < to; i++)
			study_rest(w, i);
		from = to;
	}
	for (size_t i = from; i < w->count; i++)
		study_decide(w, &w->studies[i]);
	for (size_t i = 0; i < w->count; i++) {
		if (w->studies[i].rest_of >= 0)
			study_refine(w, &w->studies[w->studies[i].rest_of], &w->studies[i]);
	}
}

/* ---- causes ---- */

struct found { /* a cause of the verdict in the making */
	const struct candidate *first;
	double confidence;
	size_t problems;
	kind_mask kinds;
	bool dirs[2];
	bool main; /* explains a problem best, not only as well */
	bool absorbed;
	struct cause cause;
};

struct founds {
	struct found items[PROBLEMS_MAX * 2];
	size_t count;
};

static struct found *found_of(const struct work *w, struct founds *f, const struct candidate *c)
{
	for (size_t i = 0; i < f->count; i++) {
		if (same_blame(w, f->items[i].first, c))
			return &f->items[i];
	}
	return NULL;
}

static void texts_move(struct texts *from, const struct texts *more)
{
	for (size_t i = 0; i < more->count; i++)
		texts_add(from, more->items[i]);
}

static void cause_texts(struct cause *out, const struct candidate *c)
{
	struct texts for_text = {out->for_count, out->for_count, out->for_text};
	struct texts against = {out->against_count, out->against_count, out->against_text};
	texts_move(&for_text, &c->for_text);
	texts_move(&against, &c->against_text);
	out->for_count = for_text.count;
	out->for_text = for_text.items;
	out->against_count = against.count;
	out->against_text = against.items;
}

static void cause_start(const struct work *w, struct cause *out, const struct study *s, const struct candidate *c)
{
	const char *component = bindings_get(&c->learned, "component");
	out->id = mem_strdup(c->entry->id);
	out->title = mem_strdup(c->entry->title);
	out->explanation = mem_strdup(c->entry->explanation);
	out->title_zh = mem_strdup(c->entry->title_zh);
	out->explanation_zh = mem_strdup(c->entry->explanation_zh);
	out->where = mem_strdup(blamed(w, c));
	out->component = component ? mem_strdup(component) : NULL;
	out->cut_dir = s->problem.cut_dir;
	out->cut = s->problem.cut;
	out->verify = template_fill(c->entry->verify, &c->learned);
}

/* Nothing was lost on the way of answers that were never made. */
static int cause_dir(const struct study *s, const struct candidate *c)
{
	const struct problem *p = &s->problem;
	return c->entry->asked && c->kinds & p->answers && !(c->kinds & (p->probes | p->starts)) ? 1 - p->dir : p->dir;
}

static void found_add(struct work *w, struct founds *f, const struct study *s, const struct candidate *c, bool main,
                      double confidence)
{
	struct found *n = found_of(w, f, c);
	if (!n) {
		if (f->count == sizeof f->items / sizeof *f->items)
			return;
		n = &f->items[f->count++];
		*n = (struct found){.first = c, .confidence = confidence};
		cause_start(w, &n->cause, s, c);
	}
	n->main |= main;
	n->problems += main;
	n->confidence = confidence > n->confidence ? confidence : n->confidence;
	n->dirs[cause_dir(s, c)] = true;
	n->dirs[1 - cause_dir(s, c)] |= (c->kinds & s->problem.back) != 0;
	n->kinds |= c->kinds & problem_kinds(&s->problem);
	cause_texts(&n->cause, c);
	fixes_make(c, party_facts(w->d, c->who), &n->cause);
}

static double capped(double confidence) { return confidence > 0.99 ? 0.99 : confidence; }

static double confidence_of(double odds)
{
	struct candidate c = {.odds = odds};
	return capped(candidate_confidence(&c));
}

static void founds_make(struct work *w, struct founds *f)
{
	for (size_t i = 0; i < w->count; i++) {
		struct study *s = &w->studies[i];
		if (s->winner >= 0)
			found_add(w, f, s, &s->of[s->winner], true, confidence_of(odds_with_agreement(w, s, (size_t)s->winner)));
	}
	for (size_t i = 0; i < w->count; i++) {
		struct study *s = &w->studies[i];
		for (size_t k = 0; s->winner >= 0 && k < w->entries; k++) {
			const struct candidate *c = &s->of[k];
			double rest = 1 - confidence_of(odds_with_agreement(w, s, (size_t)s->winner));
			bool fits = candidate_is_named(c) && c->kinds & s->of[s->winner].kinds;
			if ((int)k != s->winner && fits && candidate_confidence(c) * rest >= TOLD_FROM)
				found_add(w, f, s, c, false, candidate_confidence(c) * rest);
		}
	}
}

static bool is_part_of(const struct found *part, const struct found *whole)
{
	const struct entry *e = part->first->entry;
	if (!whole->main || !part->cause.component || !whole->cause.component || strcmp(part->cause.where, whole->cause.where) ||
	    strcmp(part->cause.component, whole->cause.component))
		return false;
	for (size_t i = 0; i < e->part_of_count; i++) {
		if (strcmp(e->part_of[i], whole->first->entry->id) == 0)
			return true;
	}
	return false;
}

/* Keeps what it knew: what speaks for it, and its fixes. */
static void found_absorb(struct found *whole, struct found *part)
{
	struct cause *to = &whole->cause, *from = &part->cause;
	struct texts for_text = {to->for_count, to->for_count, to->for_text};
	texts_move(&for_text, &(struct texts){from->for_count, from->for_count, from->for_text});
	to->for_count = for_text.count;
	to->for_text = for_text.items;
	to->fixes = mem_resize(to->fixes, to->fix_count + from->fix_count, sizeof *to->fixes);
	for (size_t i = 0; i < from->fix_count; i++)
		to->fixes[to->fix_count++] = from->fixes[i];
	from->fix_count = 0;
	whole->kinds |= part->kinds;
	cause_clear(from);
	part->absorbed = true;
}

/* One chain that breaks two things is one cause. */
static void founds_fold(struct founds *f)
{
	size_t kept = 0;
	for (size_t i = 0; i < f->count; i++) {
		for (size_t k = 0; k < f->count && !f->items[i].absorbed; k++) {
			if (!f->items[k].absorbed && is_part_of(&f->items[i], &f->items[k]))
				found_absorb(&f->items[k], &f->items[i]);
		}
	}
	for (size_t i = 0; i < f->count; i++) {
		if (!f->items[i].absorbed)
			f->items[kept++] = f->items[i];
	}
	f->count = kept;
}

static bool may_be_meant(const struct found *f) { return strcmp(f->first->entry->severity, "info") == 0; }

static int found_cmp(const void *a, const void *b)
{
	const struct found *x = a, *y = b;
	if (may_be_meant(x) != may_be_meant(y))
		return may_be_meant(x) - may_be_meant(y);
	if (x->main != y->main)
		return y->main - x->main;
	if (x->problems != y->problems)
		return x->problems < y->problems ? 1 : -1;
	int a_kinds = __builtin_popcount(x->kinds), b_kinds = __builtin_popcount(y->kinds);
	if (a_kinds != b_kinds)
		return b_kinds - a_kinds;
	return (x->confidence < y->confidence) - (x->confidence > y->confidence);
}

static void causes_fill(struct work *w, struct founds *f)
{
	struct verdict *v = w->v;
	qsort(f->items, f->count, sizeof *f->items, found_cmp);
	v->causes = f->count ? mem_array(f->count, sizeof *v->causes) : NULL;
	for (size_t i = 0; i < f->count; i++) {
		struct found *n = &f->items[i];
		bool both = n->dirs[0] && n->dirs[1];
		const struct direction *d = &v->dir[n->dirs[0] ? 0 : 1];
		n->cause.confidence = n->confidence;
		n->cause.direction = both ? mem_strdup("both") : mem_printf("%s->%s", d->from, d->to);
		v->causes[v->cause_count++] = n->cause;
	}
}

/* ---- ruled out, left over ---- */

static bool is_named(const struct verdict *v, const char *id)
{
	for (size_t i = 0; i < v->cause_count; i++) {
		if (strcmp(v->causes[i].id, id) == 0)
			return true;
	}
	return false;
}

static void rule_out(struct verdict *v, const char *id, const char *because)
{
	if (!because || is_named(v, id))
		return;
	for (size_t i = 0; i < v->ruled_out_count; i++) {
		if (strcmp(v->ruled_out[i].id, id) == 0)
			return;
	}
	v->ruled_out = mem_resize(v->ruled_out, v->ruled_out_count + 1, sizeof *v->ruled_out);
	v->ruled_out[v->ruled_out_count++] = (struct ruled_out){mem_strdup(id), mem_strdup(because)};
}

/* Why it is not this one either; at the machine that is to blame, when that is possible. */
static void rule_out_alike(struct work *w, const struct study *s, size_t entry)
{
	struct candidate there;
	if (s->of[entry].fits != TRI_NO)
		return;
	candidate_weigh(catalogue_entry(w->c, entry), w->d, w->v, &s->problem, &s->hits, s->of[s->winner].who, &there);
	rule_out(w->v, s->of[entry].entry->id, there.no ? there.no : s->of[entry].no);
	candidate_clear(&there);
}

/* What is easily taken for the cause that was found, and everything else that would explain the same place. */
static void ruled_out_fill(struct work *w)
{
	for (size_t i = 0; i < w->count; i++) {
		const struct study *s = &w->studies[i];
		const struct entry *e = s->winner >= 0 ? catalogue_entry(w->c, (size_t)s->winner) : NULL;
		for (size_t k = 0; e && k < e->confused_count; k++) {
			rule_out_alike(w, s, (size_t)catalogue_find(w->c, e->confused[k]));
		}
		for (size_t k = 0; k < w->entries; k++) {
			const struct candidate *c = &s->of[k];
			if (c->fits == TRI_NO && c->yes == c->entry->requires_count)
				rule_out(w->v, c->entry->id, c->no);
		}
	}
}

/* What is left of problems without a cause, and, when it is wanted, how every cause fared with every problem. */
static void weighed_fill(struct work *w)
{
	struct weighed_candidate *of = mem_array(w->entries + 1, sizeof *of);
	for (size_t i = 0; i < w->count; i++) {
		struct study *s = &w->studies[i];
		for (size_t k = 0; k < w->entries; k++)
			of[k] = (struct weighed_candidate){.candidate = &s->of[k],
			                                   .where = s->of[k].who < 0 ? "" : blamed(w, &s->of[k]),
			                                   .agreement = AGREE_BONUS * (double)agreements(w, s, k),
			                                   .won = (int)k == s->winner};
		if (s->winner < 0)
			left_take(w->v, of, w->entries);
		if (w->v->wants_why)
			weighing_take(w->v, &s->problem, of, w->entries);
	}
	free(of);
}

static void changed_fill(struct work *w)
{
	struct verdict *v = w->v;
	for (size_t i = 0; i < w->d->party_count; i++) {
		const struct party *p = &w->d->party[i];
		for (size_t k = p->change_count; k-- > 0 && v->changed_count < CHANGED_MAX;) {
			v->changed = mem_resize(v->changed, v->changed_count + 1, sizeof *v->changed);
			memset(&v->changed[v->changed_count], 0, sizeof *v->changed);
			str_copy(v->changed[v->changed_count].agent, TITLE_MAX_LEN, p->name);
			v->changed[v->changed_count].fact = mem_strdup(p->changes[k].key);
			v->changed[v->changed_count].was = mem_strdup(p->changes[k].was);
			v->changed[v->changed_count].now = mem_strdup(p->changes[k].now);
			v->changed[v->changed_count++].at = p->changes[k].at;
		}
	}
}

/* The problem that the first cause explains; without a cause the largest one. */
static const struct problem *main_problem(const struct work *w)
{
	const struct problem *largest = NULL;
	for (size_t i = 0; i < w->count; i++) {
		const struct study *s = &w->studies[i];
		if (s->winner >= 0 && w->v->cause_count && strcmp(s->of[s->winner].entry->id, w->v->causes[0].id) == 0)
			return &s->problem;
		if (!largest || __builtin_popcount(problem_kinds(&s->problem)) > __builtin_popcount(problem_kinds(largest)))
			largest = &s->problem;
	}
	return largest;
}

void diagnose(const struct catalogue *c, const struct dossier *d, struct verdict *v)
{
	struct work w = {.c = c, .d = d, .v = v, .entries = catalogue_count(c)};
	struct founds *f = mem_alloc(sizeof *f);
	w.studies = mem_array(PROBLEMS_MAX, sizeof *w.studies);
	if (v->state != STATE_OK) {
		studies_make(&w);
		founds_make(&w, f);
		founds_fold(f);
		causes_fill(&w, f);
		ruled_out_fill(&w);
		weighed_fill(&w);
		changed_fill(&w);
	}
	free(v->sentence);
	v->sentence = sentence_make(d, v, main_problem(&w));
	for (size_t i = 0; i < w.count; i++)
		study_clear(&w, &w.studies[i]);
	free(w.studies);
	free(f);
}
