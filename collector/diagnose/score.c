/* score: explainable arithmetic. A cause starts at its prior, in log-odds; everything required must hold and adds its weight, what
 * supports adds or takes away, and one contradiction rules it out. */
#include "collector/diagnose/inquiry.h"

#include "proto/base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PART_OF_IT 0.5 /* taken away from a cause that accounts for a part of the problem only */

void texts_add(struct texts *t, const char *text)
{
	if (!text || !text[0])
		return;
	for (size_t i = 0; i < t->count; i++) {
		if (strcmp(t->items[i], text) == 0)
			return;
	}
	char **slot = VEC_ADD(t->items, t->count, t->cap);
	*slot = mem_strdup(text);
}

void texts_free(struct texts *t)
{
	for (size_t i = 0; i < t->count; i++)
		free(t->items[i]);
	free(t->items);
	memset(t, 0, sizeof *t);
}

void candidate_clear(struct candidate *c)
{
	texts_free(&c->for_text);
	texts_free(&c->against_text);
	free(c->no);
	free(c->unknown);
	ledger_free(c->lines, c->line_count);
	bindings_free(&c->learned);
	memset(c, 0, sizeof *c);
}

static double confidence(double odds) { return 1.0 / (1.0 + exp(-odds)); }

double candidate_confidence(const struct candidate *c) { return confidence(c->odds); }

/* With what was seen here alone: experience may hold a cause back, and carries none over the threshold. */
bool candidate_is_named(const struct candidate *c)
{
	double helped = c->entry->shift > 0 ? c->entry->shift : 0;
	return c->fits == TRI_YES && confidence(c->odds - helped) >= NAMED_FROM;
}

/* ---- names that every template may use ---- */

static void bind_machine(const struct inquiry *q, const char *key, int party)
{
	char name[32];
	if (party < 0)
		return;
	bindings_add(q->learned, key, "%s", name_of(q, party));
	if (party_if(q->d, party)[0]) {
		strcpy(name, key);
		bindings_add(q->learned, strcat(name, ".if"), "%s", party_if(q->d, party));
	}
}

static void bind_names(const struct inquiry *q)
{
	bind_machine(q, "src", q->src);
	bind_machine(q, "dst", q->dst);
	bind_machine(q, "src-host", dossier_host(q->d, q->src));
	bind_machine(q, "dst-host", dossier_host(q->d, q->dst));
	bind_machine(q, "who", q->who);
	if (q->v->service_port)
		bindings_add(q->learned, "service", " --service %u", q->v->service_port);
	else
		bindings_add(q->learned, "service", "%s", "");
	bindings_add(q->learned, "a", "%s%s%s", strcmp(q->v->a, q->v->b) ? "" : q->v->tenant_a, strcmp(q->v->a, q->v->b) ? "" : "/",
	             q->v->a);
	bindings_add(q->learned, "b", "%s%s%s", strcmp(q->v->a, q->v->b) ? "" : q->v->tenant_b, strcmp(q->v->a, q->v->b) ? "" : "/",
	             q->v->b);
}

/* ---- weighing ---- */

static void note_first(char **slot, const char *text)
{
	if (!*slot && text[0])
		*slot = mem_strdup(text);
}

static void weigh_required(const struct entry *e, const struct inquiry *q, struct candidate *c)
{
	for (size_t i = 0; i < e->requires_count; i++) {
		struct finding f = {.is = TRI_NO};
		e->requires[i].evidence->find(q, &f);
		if (f.is == TRI_YES && !(f.kinds & c->kinds))
			f.is = TRI_NO;
		double added = f.is == TRI_YES ? e->requires[i].weight * (f.weak ? 0.5 : 1) : 0;
		ledger_add(c, LEDGER_REQUIRES, &e->requires[i], &f, added);
		if (f.is == TRI_YES) {
			c->odds += added;
			c->kinds &= f.kinds;
			c->yes++;
			texts_add(&c->for_text, f.text);
			continue;
		}
		note_first(f.is == TRI_NO ? &c->no : &c->unknown, f.text);
		c->fits = f.is == TRI_NO ? TRI_NO : c->fits == TRI_YES ? TRI_UNKNOWN : c->fits;
		if (f.is == TRI_NO)
			return;
	}
}

static void weigh_supporting(const struct entry *e, const struct inquiry *q, struct candidate *c)
{
	for (size_t i = 0; i < e->supports_count; i++) {
		struct finding f = {.is = TRI_NO};
		const struct weighed *w = &e->supports[i];
		w->evidence->find(q, &f);
		bool holds = f.is == TRI_YES && f.kinds & c->kinds;
		double added = holds ? w->weight : f.is == TRI_NO ? -w->weight / 2 : 0;
		c->odds += added;
		ledger_add(c, LEDGER_SUPPORTS, w, &f, added);
		if (holds)
			texts_add(&c->for_text, f.text);
		else if (f.is == TRI_NO)
			texts_add(&c->against_text, f.text);
	}
}

static void weigh_contradicting(const struct entry *e, const struct inquiry *q, struct candidate *c)
{
	for (size_t i = 0; i < e->contradicts_count; i++) {
		struct finding f = {.is = TRI_NO};
		e->contradicts[i].evidence->find(q, &f);
		if (f.is == TRI_YES && !(f.kinds & c->kinds))
			f.is = TRI_NO;
		ledger_add(c, LEDGER_CONTRADICTS, &e->contradicts[i], &f, 0);
		if (f.is != TRI_YES)
			continue;
		c->kinds &= ~f.kinds;
		if (c->kinds)
			continue; /* something else accounts for a part of it */
		c->fits = TRI_NO;
		note_first(&c->no, f.text);
		return;
	}
}

static void weigh(const struct entry *e, struct inquiry *q, struct candidate *c)
{
	*c = (struct candidate){
	    .entry = e, .who = q->who, .fits = TRI_YES, .odds = e->prior + e->shift, .kinds = dying(q), .kept = q->v->wants_why};
	if (inquiry_unheard(q) == q->who && !c->kinds)
		c->kinds = ~(kind_mask)0;
	kind_mask all = c->kinds;
	q->learned = &c->learned;
	bind_names(q);
	bool design = strcmp(e->severity, "info") == 0; /* it is as it is meant, whatever the sender does */
	c->kinds &= ~(q->who == q->src || design ? 0 : stopped_at_home(q));
	if (all && !c->kinds) {
		c->fits = TRI_NO;
		c->no = mem_printf("%s itself stops what it sends", name_of(q, q->src));
		return;
	}
	weigh_required(e, q, c);
	if (c->fits == TRI_NO)
		return;
	weigh_contradicting(e, q, c);
	if (c->fits != TRI_YES)
		return;
	weigh_supporting(e, q, c);
	if (c->kinds != all)
		c->odds -= c->partial = PART_OF_IT;
}

/* Fitting before unknown before not; then by odds, or by how much of it holds. */
static bool better(const struct candidate *a, const struct candidate *b)
{
	static const int rank[] = {[TRI_NO] = 0, [TRI_UNKNOWN] = 1, [TRI_YES] = 2};
	if (a->fits != b->fits)
		return rank[a->fits] > rank[b->fits];
	if (a->fits == TRI_YES)
		return a->odds > b->odds;
	return a->yes > b->yes;
}

/* Who is on the way and is no end, nor the host of one: it routes. */
static int router_party(const struct inquiry *q, size_t n)
{
	for (size_t i = PARTY_B + 1; i < q->d->party_count; i++) {
		bool carries = (int)i == dossier_host(q->d, q->src) || (int)i == dossier_host(q->d, q->dst);
		if (!carries && n-- == 0)
			return (int)i;
	}
	return -1;
}

/* The n-th machine in that role; -1 = no more. */
static int role_party(const struct inquiry *q, uint8_t role, size_t n)
{
	if (role == WHERE_ROUTER)
		return router_party(q, n);
	if (n > 0)
		return -1;
	switch (role) {
	case WHERE_SRC: return q->src;
	case WHERE_DST: return q->dst;
	case WHERE_SRC_HOST: return dossier_host(q->d, q->src);
	default: return dossier_host(q->d, q->dst);
	}
}

static void candidate_try(struct inquiry *q, const struct entry *e, struct candidate *out)
{
	struct candidate c;
	weigh(e, q, &c);
	bool keep = out->who < 0 || better(&c, out);
	candidate_clear(keep ? out : &c);
	if (keep)
		*out = c;
}

void candidate_weigh(const struct entry *e, const struct dossier *d, const struct verdict *v, const struct problem *p,
                     const struct hits *hits, int only, struct candidate *out)
{
	*out = (struct candidate){.entry = e, .who = -1, .fits = TRI_NO};
	if (p->odd && !entry_is_of_quality(e))
		return;
	for (size_t i = 0; i < e->where_count; i++) {
		struct inquiry q = {.d = d, .v = v, .p = p, .hits = hits, .src = dir_src(p->dir), .dst = dir_dst(p->dir)};
		for (size_t n = 0; (q.who = role_party(&q, e->where[i], n)) >= 0; n++) {
			if (only < 0 || q.who == only)
				candidate_try(&q, e, out);
		}
	}
}
