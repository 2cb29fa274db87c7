/* evidence_policy: what a filter is meant for, as far as it can be seen: whose traffic, what ports, whether it keeps state. */
#include "collector/diagnose/inquiry.h"

#include <stdio.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define SERVICES (KIND_BIT(KIND_SERVICE) | KIND_BIT(KIND_SERVICE6))

/* ---- state ---- */

/* Kinds whose neighbours are found: where they are not, nothing starts, whatever a filter does. */
static kind_mask kinds_resolved(const struct inquiry *q)
{
	kind_mask m = 0;
	for (int family = 4; family <= 6; family += 2) {
		kind_mask all = kinds_of_family(family), neigh = all & kinds_of_proto(PROTO_NEIGH);
		if (!(dying(q) & neigh))
			m |= all & ~neigh;
	}
	return m;
}

/* The other side's questions never came as far as to be answered: what the rule does to answers is known from the rule only. */
static bool answer_would_die(const struct inquiry *q, const struct hit *h)
{
	struct hit as = *h;
	struct fw_packet k;
	as.answer = true;
	return h->party == q->who && h->sure && !h->foreseen && !h->answer && hit_packet(q, &as, &k) && !hit_lets(q, &as, &k);
}

static kind_mask answers_foreseen(const struct inquiry *q)
{
	const struct direction *back = &q->v->dir[1 - q->p->dir];
	kind_mask m = 0;
	for (size_t i = 0; i < q->hits->count; i++) {
		const struct hit *h = &q->hits->item[i];
		if (q->p->probes & KIND_BIT(h->kind) && back->delivery[h->kind] == CELL_LOST && answer_would_die(q, h))
			m |= KIND_BIT(h->kind);
	}
	return m;
}

/* Answers that are seen to die in another place of this direction. */
static kind_mask answers_elsewhere(const struct inquiry *q)
{
	kind_mask m = 0;
	for (size_t i = 0; i < q->v->dir[q->p->dir].cut_count; i++) {
		const struct cut *c = &q->v->dir[q->p->dir].cuts[i];
		m |= q->p->placed && (c->after != q->p->after || c->before != q->p->before) ? c->answers : 0;
	}
	return m;
}

/* Who asks lacks a neighbour: that his questions lead to nothing says nothing about answers. */
static bool asker_is_lost(const struct inquiry *q, int kind)
{
	const struct flow *f = flow_of(q->d, kind, 1 - q->p->dir);
	const struct flow_sent *s = f ? dossier_sent(q->d, f->id) : NULL;
	return s && s->unresolved;
}

/* Of the kinds that die this way: those whose answers to the other side's questions do not get through either. */
static kind_mask answers_dying(const struct inquiry *q)
{
	const struct direction *back = &q->v->dir[1 - q->p->dir];
	kind_mask m = (q->p->answers & ~q->p->probes) | answers_foreseen(q);
	for (int k = 0; k < KIND_COUNT; k++) {
		if (q->p->probes & KIND_BIT(k) && back->delivery[k] == CELL_OK && !asker_is_lost(q, k) &&
		    (back->initiation[k] == CELL_LOST || back->initiation[k] == CELL_PARTIAL))
			m |= KIND_BIT(k);
	}
	return m & kinds_resolved(q) & ~(answers_elsewhere(q) & q->p->probes);
}

static void answers_die_too(const struct inquiry *q, struct finding *f)
{
	char text[KINDS_TEXT_MAX];
	kind_mask kinds = answers_dying(q);
	if (kinds)
		find_yes(f, kinds, "answers die there as well as new packets, so neither side can start anything (%s)",
		         kinds_text(kinds, text, sizeof text));
	else
		find_no(f, "answers get through, only new packets do not");
}

/* Nothing speaks for a filter of what is new only while nobody had the time to see what becomes of answers. */
static void answers_watched(const struct inquiry *q, struct finding *f)
{
	const struct direction *back = &q->v->dir[1 - q->p->dir];
	kind_mask known = 0, untold = 0;
	for (int k = 0; k < KIND_COUNT; k++) {
		kind_mask bit = q->p->probes & KIND_BIT(k);
		known |= back->initiation[k] == CELL_UNKNOWN || back->initiation[k] == CELL_SKIPPED ? 0 : bit;
		untold |= back->initiation[k] == CELL_UNKNOWN ? bit : 0;
	}
	if (untold && !known)
		find_no(f, "whether answers die there as well is not known");
	else
		find_unknown(f, "%s", "");
}

static bool asks_for_state(const struct hit *h)
{
	const struct fw_rule *r = h->decision.rule;
	for (size_t i = 0; r && i < r->match_count; i++) {
		if (r->matches[i].field == FW_CT_STATE)
			return true;
	}
	return r && strstr(r->text, "ct state") != NULL;
}

/* Does this machine route, from one of its interfaces to another, what travels in that direction? */
static bool routes_in(const struct inquiry *q, int dir)
{
	struct problem whole = {.dir = (uint8_t)dir, .placed = true, .probes = ~0u};
	struct inquiry at = *q;
	struct bindings unused = {0};
	struct finding f = {.is = TRI_NO};
	if (!q->v->dir[dir].path_count)
		return false;
	whole.before = (uint8_t)(q->v->dir[dir].path_count - 1);
	at.p = &whole;
	at.src = dir_src(dir);
	at.dst = dir_dst(dir);
	at.learned = &unused;
	evidence_find("lost-routing")->find(&at, &f);
	bindings_free(&unused);
	return f.is == TRI_YES;
}

/* A filter that asks for state stops answers to questions that went another way. */
static void state_one_way(const struct inquiry *q, struct finding *f)
{
	kind_mask kinds = 0;
	char rule[480] = "";
	for (size_t i = 0; q->p->answers && i < q->hits->count; i++) {
		const struct hit *h = &q->hits->item[i];
		if (h->party != q->who || !h->answer || !(h->traced || h->sure) || !asks_for_state(h))
			continue;
		kinds |= KIND_BIT(h->kind);
		firewall_text(&h->decision, rule, sizeof rule);
		filter_bind(q, h);
	}
	kinds &= q->p->answers;
	if (!kinds) {
		find_no(f, "no filter of %s stops answers for want of their questions", name_of(q, q->who));
		return;
	}
	if (routes_in(q, 1 - q->p->dir)) {
		find_no(f, "%s sees both directions", name_of(q, q->who));
		return;
	}
	accepts_bind(q, q->hits, 1u << HIT_IP | 1u << HIT_ROUTED | 1u << HIT_BRIDGED_IP);
	find_yes(f, kinds, "%s gets the answers and never saw the questions, and its filter asks for them: %s", name_of(q, q->who),
	         rule);
}

/* ---- whose traffic ---- */

static const struct fw_rule *deciding(const struct hit *h) { return h->decision.rule; }

static bool rule_names(const struct fw_rule *r, uint8_t field, const char *text)
{
	for (size_t i = 0; r && text[0] && i < r->match_count; i++) {
		const struct fw_match *m = &r->matches[i];
		for (size_t k = 0; m->field == field && !m->negate && k < m->value_count; k++) {
			if (strcmp(m->values[k].text, text) == 0)
				return true;
		}
	}
	return false;
}

static bool rule_matches(const struct fw_rule *r, uint8_t field)
{
	for (size_t i = 0; r && i < r->match_count; i++) {
		if (r->matches[i].field == field && !r->matches[i].negate)
			return true;
	}
	return false;
}

/* A rule in the base chain that leads into the chain where it was decided, and names this interface. */
static bool led_by(const struct hit *h, uint8_t field, const char *port)
{
	const struct fw_chain *base = h->decision.base, *at = h->decision.chain;
	for (size_t i = 0; base && at && at != base && i < base->rule_count; i++) {
		const struct fw_rule *r = &base->rules[i];
		if ((r->verdict == FW_JUMP || r->verdict == FW_GOTO) && strcmp(r->target, at->name) == 0 &&
		    rule_names(r, field, port))
			return true;
	}
	return false;
}

static bool names_port(const struct hit *h, uint8_t field, const char *port)
{
	return rule_names(deciding(h), field, port) || led_by(h, field, port);
}

/* Which of the two guests a rule is meant for, by what it names: 1 the sender, -1 the receiver, 0 it does not say. */
static int rule_side(const struct inquiry *q, const struct hit *h)
{
	const struct placement *src = &q->d->party[q->src].at, *dst = &q->d->party[q->dst].at;
	const struct fw_chain *base = h->decision.base;
	bool from_src = src->known && src->host == q->who, to_dst = dst->known && dst->host == q->who;
	if (to_dst && dst->port[0] && (strcmp(base->device, dst->port) == 0 || names_port(h, FW_OIF, dst->port)))
		return -1;
	if (from_src && src->port[0] && (strcmp(base->device, src->port) == 0 || names_port(h, FW_IIF, src->port)))
		return 1;
	bool saddr = rule_matches(deciding(h), FW_SADDR), daddr = rule_matches(deciding(h), FW_DADDR);
	return from_src && saddr && !daddr ? 1 : to_dst && daddr && !saddr ? -1 : 0;
}

/* A guest's own host is meant where nothing else tells; of a host and its guest the guest. */
static bool is_senders(const struct inquiry *q, const struct hit *h)
{
	int side = rule_side(q, h);
	bool guest_src = q->d->party[q->src].kind == AGENT_GUEST && dossier_host(q->d, q->src) == q->who;
	bool guest_dst = q->d->party[q->dst].kind == AGENT_GUEST && dossier_host(q->d, q->dst) == q->who;
	return side ? side > 0 : guest_src && !guest_dst;
}

static void filter_at_sender(const struct inquiry *q, struct finding *f)
{
	kind_mask kinds = 0;
	for (size_t i = 0; i < q->hits->count; i++) {
		const struct hit *h = &q->hits->item[i];
		if (h->party == q->who && !h->foreseen && (h->sure || h->fits) && is_senders(q, h))
			kinds |= KIND_BIT(h->kind);
	}
	if (kinds)
		find_yes(f, kinds, "the rule is for what %s sends", name_of(q, q->src));
	else
		find_no(f, "the rule is for what %s gets, not for what %s sends", name_of(q, q->dst), name_of(q, q->src));
}

/* ---- what ports ---- */

static bool rejects(const struct inquiry *q)
{
	for (size_t i = 0; i < q->hits->count; i++) {
		const struct hit *h = &q->hits->item[i];
		if (h->party == q->who && !h->foreseen && h->decision.reject && (h->sure || h->fits))
			return true;
	}
	return false;
}

static void only_service(const struct inquiry *q, struct finding *f)
{
	kind_mask tcp = (dying(q) & KIND_BIT(KIND_SERVICE) ? KIND_BIT(KIND_TCP) : 0) |
	                (dying(q) & KIND_BIT(KIND_SERVICE6) ? KIND_BIT(KIND_TCP6) : 0);
	kind_mask ok = 0;
	for (int k = 0; k < KIND_COUNT; k++)
		ok |= q->v->dir[q->p->dir].delivery[k] == CELL_OK ? KIND_BIT(k) : 0;
	if (!tcp || dying(q) & ~SERVICES || (ok & tcp) != tcp || rejects(q)) {
		find_no(f, "not only the port of a service is concerned");
		return;
	}
	bindings_add(q->learned, "service.port", "%u", q->v->service_port);
	find_yes(f, SERVICES, "TCP to the service's port is dropped; TCP to another port of the same machine passes");
}

static const struct evidence items[] = {
    {"answers-die-too", answers_die_too, "cut, matrix",
     "not only new packets die there, but also answers to what the other side starts"},
    {"answers-watched", answers_watched, "matrix",
     "only ever says no: nobody had the time to see whether answers die there as well"},
    {"state-one-way", state_one_way, "firewall rules on the stretch, paths",
     "a filter that asks for state stops answers whose questions went another way"},
    {"filter-at-sender", filter_at_sender, "firewall rules on the stretch",
     "the rule is meant for what the guest sends, not for what it gets"},
    {"only-service", only_service, "cut, matrix", "only TCP to the service's port is dropped, TCP to other ports passes"},
};
const struct evidence_table evidence_policy = {items, COUNT(items)};
