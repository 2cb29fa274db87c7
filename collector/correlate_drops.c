/* correlate_drops: the kernels' own words for what dies at a cut, and the rules that were traced. A word counts when its
 * machine stands at the cut and the packets it speaks of were not seen beyond it. That nobody says a word proves nothing. */
#include "collector/correlate_parts.h"
#include "collector/dropped.h"

#include "proto/base/mem.h"

#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 64 /* different ones at one cut */

struct site { /* one cut, and who is looked at */
	const struct correlation *c;
	int dir;
	struct cut *cut;
};

/* How near the machine is to the cut. One that the packets had passed already speaks of copies. */
enum stand { STANDS_BEFORE, STANDS_BEYOND, STANDS_AT };

struct word { /* what one machine says of it, added up */
	int party;
	enum stand stand;
	enum drop_weight weight;
	const struct flow_drop *drop;
	const struct flow_rule *rule;
	int count; /* packets it explains */
};

static int owner_of(const struct site *s, size_t i)
{
	int at = s->c->d->path[s->dir][i];
	return at < 0 ? -1 - at : s->c->d->points[at].party;
}

static enum stand stand_of(const struct site *s, int party)
{
	for (size_t i = s->cut->after; i <= s->cut->before; i++) {
		if (owner_of(s, i) == party)
			return STANDS_AT;
	}
	for (size_t i = 0; i < s->cut->after; i++) {
		if (owner_of(s, i) == party)
			return STANDS_BEFORE;
	}
	return STANDS_BEYOND;
}

/* ---- which packets ---- */

static const struct view *view_of(const struct site *s, uint8_t flow)
{
	for (size_t i = 0; i < s->c->count; i++) {
		if (s->c->views[i].flow->id == flow)
			return &s->c->views[i];
	}
	return NULL;
}

static bool dies_here(const struct site *s, const struct view *w, bool answers)
{
	return s->cut->kinds & KIND_BIT(w->flow->kind) && (answers ? 1 - w->flow->dir : w->flow->dir) == s->dir;
}

/* The kernel's own probes die in its stack, whatever becomes of the frames that were sent in their place. */
static bool replaced(const struct site *s, const struct view *w)
{
	return s->cut->before == 1 && w->sent && w->sent->unresolved && w->sent->directed;
}

static seqset missing(const struct site *s, uint8_t flow, uint8_t part)
{
	const struct view *w = view_of(s, flow);
	bool answers = part != PART_PROBE;
	seqset beyond = 0;
	if (!w || !dies_here(s, w, answers))
		return 0;
	const struct trace *t = answers ? &w->answers : &w->probes;
	for (size_t i = s->cut->before; i < t->count; i++)
		beyond |= t->at[i].set;
	return replaced(s, w) && !answers ? w->base : ~beyond;
}

/* ---- words ---- */

/* A bridge that hears everything hands a copy of everything to its host, which is not meant by it. */
static bool is_copy_to_bridge(const struct party *p, const struct flow_drop *r)
{
	const struct snapshot *s = p->after ? p->after : p->before;
	const struct link *l = s ? snapshot_link_named(s, r->ifname) : NULL;
	return l && link_is_bridge(l) && l->promisc;
}

static enum drop_weight weight_of(const struct site *s, int party, const struct flow_drop *r)
{
	enum drop_weight w = dropped_weight(r->reason, r->place);
	return w == DROP_COPY && is_copy_to_bridge(&s->c->d->party[party], r) ? DROP_NOISE : w;
}

static bool same_drop(const struct flow_drop *a, const struct flow_drop *b)
{
	return a && b && !strcmp(a->reason, b->reason) && !strcmp(a->place, b->place) && !strcmp(a->ifname, b->ifname);
}

static bool same_rule(const struct flow_rule *a, const struct flow_rule *b)
{
	return a && b && !strcmp(a->family, b->family) && !strcmp(a->table, b->table) && !strcmp(a->chain, b->chain) &&
	       a->handle == b->handle && !strcmp(a->text, b->text);
}

struct words {
	size_t count;
	struct word items[WORDS_MAX];
};

static void word_add(struct words *all, const struct word *n)
{
	for (size_t i = 0; i < all->count; i++) {
		struct word *w = &all->items[i];
		if (w->party != n->party || !(same_drop(w->drop, n->drop) || same_rule(w->rule, n->rule)))
			continue;
		w->count += n->count;
		return;
	}
	if (all->count < WORDS_MAX)
		all->items[all->count++] = *n;
}

static void words_of_drops(const struct site *s, int party, struct words *all)
{
	const struct round_result *r = s->c->d->party[party].result;
	for (size_t i = 0; r && i < r->drops_count; i++) {
		const struct flow_drop *d = &r->drops[i];
		struct word w = {.party = party, .stand = stand_of(s, party), .weight = weight_of(s, party, d), .drop = d};
		w.count = set_count(d->seqs & missing(s, d->flow, d->part));
		bool counts = w.stand == STANDS_AT || (w.stand == STANDS_BEYOND && w.weight >= DROP_VAGUE);
		if (counts && w.count && w.weight != DROP_NOISE)
			word_add(all, &w);
	}
}

static void words_of_rules(const struct site *s, int party, struct words *all)
{
	const struct round_result *r = s->c->d->party[party].result;
	for (size_t i = 0; r && i < r->rules_count; i++) {
		const struct flow_rule *d = &r->rules[i];
		struct word w = {.party = party, .stand = stand_of(s, party), .weight = DROP_NAMED, .rule = d};
		w.count = traced_stops(d) ? set_count(d->seqs & missing(s, d->flow, d->part)) : 0;
		if (w.stand != STANDS_BEFORE && w.count)
			word_add(all, &w);
	}
}

/* At the cut before elsewhere; what happened before what it led to; what explains more; then what has a name. */
static bool better(const struct word *a, const struct word *b)
{
	enum drop_weight x = a->weight > DROP_VAGUE ? DROP_VAGUE : a->weight, y = b->weight > DROP_VAGUE ? DROP_VAGUE : b->weight;
	if (a->stand != b->stand)
		return a->stand > b->stand;
	if (x != y)
		return x > y;
	return a->count != b->count ? a->count > b->count : a->weight > b->weight;
}

static const struct word *best(const struct words *all, const struct word *rule)
{
	const struct word *found = NULL;
	for (size_t i = 0; i < all->count; i++) {
		const struct word *w = &all->items[i];
		bool fits = !rule || (w->party == rule->party && dropped_class(w->drop->reason, w->drop->place) == DROP_BY_FILTER);
		if (fits && (!found || better(w, found)))
			found = w;
	}
	return found;
}

/* A kernel with a name for the drop that is no filter's knows better than a trace that explains less. */
static bool rule_speaks(const struct word *rule, const struct word *drop)
{
	if (!rule || !drop || dropped_class(drop->drop->reason, drop->drop->place) == DROP_BY_FILTER)
		return rule != NULL;
	return drop->weight < DROP_NAMED || rule->count > drop->count;
}

static void cut_name(const struct site *s, const struct word *drop, const struct word *rule)
{
	struct cut *cut = s->cut;
	if (rule) {
		traced_text(s->c->d, rule->party, rule->rule, cut->rule, sizeof cut->rule);
		cut->drop_party = rule->party;
	}
	if (rule || drop)
		str_copy(cut->drop_where, sizeof cut->drop_where, s->c->d->party[rule ? rule->party : drop->party].name);
	if (!drop)
		return;
	cut->drop_party = drop->party;
	str_copy(cut->drop_reason, sizeof cut->drop_reason, drop->drop->reason);
	str_copy(cut->drop_place, sizeof cut->drop_place, drop->drop->place);
	str_copy(cut->drop_if, sizeof cut->drop_if, drop->drop->ifname);
}

static void cut_ask(const struct site *s)
{
	struct words *drops = mem_alloc(sizeof *drops), *rules = mem_alloc(sizeof *rules);
	for (size_t i = 0; i < s->c->d->party_count; i++) {
		words_of_drops(s, (int)i, drops);
		words_of_rules(s, (int)i, rules);
	}
	const struct word *drop = best(drops, NULL), *rule = NULL;
	for (size_t i = 0; i < rules->count; i++) {
		if (!rule || better(&rules->items[i], rule))
			rule = &rules->items[i];
	}
	if (rule_speaks(rule, drop))
		cut_name(s, best(drops, rule), rule);
	else
		cut_name(s, drop, NULL);
	free(drops);
	free(rules);
}

void drops_fill(struct correlation *c)
{
	for (int n = 0; n < 2; n++) {
		for (size_t i = 0; i < c->v->dir[n].cut_count; i++) {
			struct site s = {c, n, &c->v->dir[n].cuts[i]};
			cut_ask(&s);
		}
	}
}

/* ---- who could not tell ---- */

static const char *why_silent(const struct looked *l) { return l->looked || !l->why[0] ? NULL : l->why; }

void drops_not_known(const struct correlation *c, int party, const char **drops, const char **rules)
{
	const struct round_result *r = c->d->party[party].result;
	*drops = *rules = NULL;
	for (int n = 0; r && n < 2; n++) {
		for (size_t i = 0; i < c->v->dir[n].cut_count; i++) {
			struct site s = {c, n, &c->v->dir[n].cuts[i]};
			const struct cut *cut = s.cut;
			bool filter = dropped_class(cut->drop_reason, cut->drop_place) == DROP_BY_FILTER;
			if (stand_of(&s, party) != STANDS_AT)
				continue;
			if (!cut->drop_reason[0])
				*drops = why_silent(&r->drops_looked);
			if (filter && !cut->rule[0] && cut->drop_party == party)
				*rules = why_silent(&r->rules_looked);
		}
	}
}
