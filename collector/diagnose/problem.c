/* problem: turns cuts and failed conversations into a list of things to explain, each once: probes and answers that die in
 * the same place are one problem, and what fails only because a neighbour was not found belongs to that. */
#include "collector/diagnose/inquiry.h"
#include "collector/dropped.h"

#include <string.h>

/* ---- kinds ---- */

static kind_mask kinds_where(int family, int proto, bool large)
{
	kind_mask m = 0;
	for (int k = 0; k < KIND_COUNT; k++) {
		const struct kind_info *i = kind_info((enum kind)k);
		if ((family == 0 || i->family == family) && (proto < 0 || (int)i->proto == proto) &&
		    (!large || i->large || i->fragments))
			m |= KIND_BIT(k);
	}
	return m;
}

kind_mask kinds_of_family(int family) { return kinds_where(family, -1, false); }
kind_mask kinds_of_proto(enum proto proto) { return kinds_where(0, (int)proto, false); }
kind_mask kinds_large(void) { return kinds_where(0, -1, true); }

kind_mask kinds_fragments(void) { return KIND_BIT(KIND_FRAGMENTS) | KIND_BIT(KIND_FRAGMENTS6); }

/* ---- machines ---- */

int point_party(const struct dossier *d, const struct verdict *v, int dir, size_t i)
{
	if (i >= v->dir[dir].path_count)
		return -1;
	if (d->path_count[dir] != v->dir[dir].path_count)
		return dossier_party(d, v->dir[dir].path[i].agent);
	int at = d->path[dir][i];
	return at < 0 ? -1 - at : d->points[at].party;
}

bool dies_behind(const struct inquiry *q, int party)
{
	for (size_t i = 0; i <= q->p->after; i++) {
		if (party >= 0 && point_party(q->d, q->v, q->p->dir, i) == party)
			return true;
	}
	return false;
}

const struct snapshot *party_facts(const struct dossier *d, int party)
{
	if (party < 0 || (size_t)party >= d->party_count)
		return NULL;
	const struct party *p = &d->party[party];
	if (p->after)
		return p->after;
	return p->reported ? p->before : NULL;
}

int party_of_ip(const struct dossier *d, struct ip ip)
{
	for (size_t i = 0; i < d->party_count; i++) {
		const struct snapshot *s = party_facts(d, (int)i);
		if (s && snapshot_addr_of(s, ip))
			return (int)i;
	}
	return -1;
}

struct ip seen_otherwise(const struct dossier *d, int who)
{
	struct ip other = {0};
	for (size_t i = 0; i < d->flow_count; i++) {
		const struct flow *f = &d->flows[i];
		const struct flow_received *r = dir_dst(f->dir) == who && !flow_is_aside(f) ? dossier_received(d, f->id) : NULL;
		bool ip = kind_info((enum kind)f->kind)->proto != PROTO_NEIGH; /* ARP has no such address */
		if (!r || !ip || !r->seen || r->from.family != 4 || f->src.family != 4)
			continue;
		if (ip_equal(r->from, f->src) || (other.family && !ip_equal(other, r->from)))
			return (struct ip){0}; /* a filter's rule for some packets, or somebody else's SYN */
		other = r->from;
	}
	return other;
}

struct ip other_ip(const struct inquiry *q, int family)
{
	bool answers = q->who == q->dst || !(q->p->probes | q->p->starts);
	struct ip seen = family == 4 && answers ? seen_otherwise(q->d, q->who) : (struct ip){0};
	return seen.family ? seen : party_prefix(q->d, other_end(q), family).ip;
}

const struct neigh *next_hop_neigh(const struct dossier *d, int party, int dir, int family, const struct link **out)
{
	const struct snapshot *s = party_facts(d, party);
	struct ip src = party_prefix(d, dir_src(dir), family).ip, dst = party_prefix(d, dir_dst(dir), family).ip;
	const struct route *way = s && src.family && dst.family ? snapshot_route(s, dst, src) : NULL;
	*out = way && way->type == ROUTE_UNICAST ? snapshot_link(s, way->link) : NULL;
	return *out ? snapshot_neigh(s, way->gateway.family ? way->gateway : dst, way->link) : NULL;
}

const char *party_if(const struct dossier *d, int party)
{
	const struct party *p = &d->party[party];
	return p->ep.ifname[0] ? p->ep.ifname : p->ep_last.ifname;
}

struct prefix party_prefix(const struct dossier *d, int party, int family)
{
	const struct party *p = &d->party[party];
	struct prefix now = family == 4 ? p->ep.ip4 : p->ep.ip6, last = family == 4 ? p->ep_last.ip4 : p->ep_last.ip6;
	return now.ip.family ? now : last;
}

const struct link *party_link(const struct dossier *d, int party)
{
	const struct snapshot *s = party_facts(d, party);
	return s ? snapshot_link_named(s, party_if(d, party)) : NULL;
}

const struct flow *flow_of(const struct dossier *d, int kind, int dir)
{
	for (size_t i = 0; i < d->flow_count; i++) {
		if (d->flows[i].kind == kind && d->flows[i].dir == dir && !flow_is_aside(&d->flows[i]))
			return &d->flows[i];
	}
	return NULL;
}

static bool flow_unresolved(const struct dossier *d, int kind, int dir)
{
	const struct flow *f = flow_of(d, kind, dir);
	const struct flow_sent *s = f ? dossier_sent(d, f->id) : NULL;
	return s && s->unresolved;
}

/* ---- the list ---- */

struct list {
	const struct dossier *d;
	const struct verdict *v;
	struct problem *items;
	size_t count, max;
};

static struct problem *list_add(struct list *l, int dir)
{
	if (l->count == l->max)
		return NULL;
	struct problem *p = &l->items[l->count++];
	*p = (struct problem){.dir = (uint8_t)dir, .cut_dir = (uint8_t)dir, .cut = NO_CUT, .unheard = -1, .drop_party = -1};
	return p;
}

static struct problem *list_at(struct list *l, int dir, uint8_t after, uint8_t before)
{
	for (size_t i = 0; i < l->count; i++) {
		struct problem *p = &l->items[i];
		if (p->placed && p->dir == dir && p->after == after && p->before == before)
			return p;
	}
	return NULL;
}

static void list_cut(struct list *l, int dir, size_t i)
{
	const struct cut *c = &l->v->dir[dir].cuts[i];
	struct problem *p = list_at(l, dir, c->after, c->before);
	if (!p) {
		p = list_add(l, dir);
		if (!p)
			return;
		p->placed = true;
		p->after = c->after;
		p->before = c->before;
		p->cut = (uint8_t)i;
		p->partial = c->partial;
		p->drop_party = c->drop_reason[0] || c->rule[0] ? c->drop_party : -1;
	}
	p->answers |= c->answers;
	p->probes |= c->kinds & ~c->answers;
	p->partial = p->partial && c->partial;
}

static kind_mask kinds_bad(const uint8_t *cells)
{
	kind_mask m = 0;
	for (int k = 0; k < KIND_COUNT; k++) {
		if (cell_is_bad(cells[k]))
			m |= KIND_BIT(k);
	}
	return m;
}

static kind_mask kinds_cut(const struct verdict *v, int dir, bool answer)
{
	kind_mask m = 0;
	for (size_t i = 0; i < v->dir[dir].cut_count; i++) {
		const struct cut *c = &v->dir[dir].cuts[i];
		m |= answer ? c->answers : c->kinds & ~c->answers;
	}
	return m;
}

/* Lost, and nobody could tell where: somewhere between the two. */
static void list_lost(struct list *l, int dir)
{
	const struct direction *d = &l->v->dir[dir];
	kind_mask lost = kinds_bad(d->delivery) & ~kinds_cut(l->v, dir, false);
	struct problem *p = lost && d->path_count > 1 ? list_add(l, dir) : NULL;
	if (!p)
		return;
	p->probes = lost;
	p->placed = true;
	p->before = (uint8_t)(d->path_count - 1);
}

static kind_mask kinds_answered_wrongly(const uint8_t *cells)
{
	kind_mask m = 0;
	for (int k = 0; k < KIND_COUNT; k++) {
		if (cells[k] == CELL_REFUSED || cells[k] == CELL_IMPOSTOR)
			m |= KIND_BIT(k);
	}
	return m;
}

/* Conversations that are slow because the way is: told as what is odd about the way. */
static kind_mask kinds_slow(const struct verdict *v, int dir)
{
	const struct quality *q = &v->dir[dir].quality;
	kind_mask slow = 0;
	bool explained = false;
	for (size_t i = 0; i < q->odd_count; i++)
		explained |= q->odds[i].what == ODD_DELAY;
	for (int k = 0; explained && k < KIND_COUNT; k++)
		slow |= v->dir[dir].initiation[k] == CELL_SLOW ? KIND_BIT(k) : 0;
	return slow;
}

/* Conversations that fail although neither their probes nor their answers are known to die. Where answers die on the same
 * stretch as probes of the same kind, only the probes are told: hence both. */
static void list_starts(struct list *l, int dir)
{
	const uint8_t *cells = l->v->dir[dir].initiation;
	kind_mask bad = kinds_bad(cells) & ~kinds_bad(l->v->dir[dir].delivery) & ~kinds_slow(l->v, dir);
	bad &= ~(kinds_cut(l->v, dir, false) | kinds_cut(l->v, 1 - dir, true));
	bad &= ~(kinds_cut(l->v, 1 - dir, false) & ~kinds_answered_wrongly(cells));
	struct problem *p = bad ? list_add(l, dir) : NULL;
	if (p)
		p->starts = bad;
}

/* What arrives, but not as it should. Loss has its cut already. */
static void list_odds(struct list *l, int dir)
{
	const struct quality *q = &l->v->dir[dir].quality;
	for (size_t i = 0; i < q->odd_count; i++) {
		const struct odd *o = &q->odds[i];
		struct problem *p = o->what == ODD_LOSS ? NULL : list_add(l, dir);
		if (!p)
			continue;
		p->odd = o->what;
		p->amount = o->amount;
		p->around = o->around;
		p->placed = true;
		p->after = o->after;
		p->before = o->before;
		p->probes = KIND_BIT(KIND_UDP) | KIND_BIT(KIND_UDP6);
	}
}

static struct problem *neighbour_problem(struct list *l, int dir, int family)
{
	kind_mask neigh = kinds_of_proto(PROTO_NEIGH) & kinds_of_family(family);
	for (size_t i = 0; i < l->count; i++) {
		struct problem *p = &l->items[i];
		kind_mask asked = p->dir == dir ? p->probes | p->starts : p->answers;
		if (asked & neigh)
			return p;
	}
	return NULL;
}

/* Conversations that wait for a neighbour, ours or the other side's, go with the problem of that neighbour. */
static void list_fold_starts(struct list *l, struct problem *p)
{
	for (int k = 0; k < KIND_COUNT; k++) {
		if (!(p->starts & KIND_BIT(k)) || kind_info((enum kind)k)->proto == PROTO_NEIGH)
			continue;
		for (int n = 0; n < 2; n++) {
			int dir = n == 0 ? p->dir : 1 - p->dir;
			struct problem *to = neighbour_problem(l, dir, kind_info((enum kind)k)->family);
			if (!to || to == p || !flow_unresolved(l->d, k, dir))
				continue;
			to->starts |= KIND_BIT(k);
			p->starts &= ~KIND_BIT(k);
			break;
		}
	}
}

/* Whom a router asks for in vain, and at which interface: the next hop of what travels in `dir`. */
static bool hop_is_silent(const struct dossier *d, int router, int dir, int family, const char **ifname)
{
	const struct link *out;
	const struct neigh *n = next_hop_neigh(d, router, dir, family, &out);
	*ifname = out ? out->name : "";
	return n && n->state & (NEIGH_FAILED | NEIGH_INCOMPLETE);
}

/* All of that family dies on the wire, and before it comes to that interface of the router. */
static bool dies_before(const struct list *l, const struct problem *p, int family, int router, const char *ifname)
{
	const struct direction *dir = &l->v->dir[p->dir];
	kind_mask all = kinds_of_family(family);
	for (int k = 0; k < KIND_COUNT; k++) {
		if (all & KIND_BIT(k) && dir->delivery[k] == CELL_OK)
			return false;
	}
	for (size_t i = p->before; i < dir->path_count && p->placed && p->after > 0 && p->probes & all; i++) {
		if (point_party(l->d, l->v, p->dir, i) == router && strcmp(dir->path[i].ifname, ifname) == 0)
			return true;
	}
	return false;
}

/* What waits in a router for a next hop that cannot answer goes with the problem of what dies on the way from there. */
static void list_fold_waiting(struct list *l, struct problem *p, int family)
{
	kind_mask waits = p->placed ? (p->probes | p->answers) & kinds_of_family(family) : 0;
	int router = waits ? point_party(l->d, l->v, p->dir, p->after) : -1;
	const char *ifname;
	if (router < 0 || router == PARTY_A || router == PARTY_B || !hop_is_silent(l->d, router, p->dir, family, &ifname))
		return;
	for (size_t i = 0; i < l->count; i++) {
		struct problem *back = &l->items[i];
		if (back->dir == p->dir || !dies_before(l, back, family, router, ifname))
			continue;
		back->back |= back->probes & kinds_of_family(family);
		problem_limit(p, ~kinds_of_family(family));
		return;
	}
}

static void list_fold_unheard(struct list *l, struct problem *unheard)
{
	for (size_t i = 0; i < l->count; i++) {
		struct problem *p = &l->items[i];
		if (p == unheard || p->placed || dir_dst(p->dir) != unheard->unheard)
			continue;
		unheard->starts |= p->starts;
		p->starts = 0;
	}
}

static void list_unheard(struct list *l, int end)
{
	if (l->d->party[end].result)
		return;
	struct problem *p = list_add(l, end == PARTY_B ? 0 : 1);
	if (!p)
		return;
	p->unheard = end;
	list_fold_unheard(l, p);
}

static void list_drop_empty(struct list *l)
{
	size_t kept = 0;
	for (size_t i = 0; i < l->count; i++) {
		if (problem_kinds(&l->items[i]) || l->items[i].unheard >= 0)
			l->items[kept++] = l->items[i];
	}
	l->count = kept;
}

size_t problems_find(const struct dossier *d, const struct verdict *v, struct problem *out, size_t max)
{
	struct list l = {d, v, out, 0, max};
	for (int dir = 0; dir < 2; dir++) {
		for (size_t i = 0; i < v->dir[dir].cut_count; i++)
			list_cut(&l, dir, i);
		list_lost(&l, dir);
	}
	list_starts(&l, 0);
	list_starts(&l, 1);
	for (size_t i = 0; i < l.count; i++)
		list_fold_starts(&l, &l.items[i]);
	for (size_t i = 0; i < l.count; i++) {
		list_fold_waiting(&l, &l.items[i], 4);
		list_fold_waiting(&l, &l.items[i], 6);
	}
	list_unheard(&l, PARTY_A);
	list_unheard(&l, PARTY_B);
	list_odds(&l, 0);
	list_odds(&l, 1);
	list_drop_empty(&l);
	return l.count;
}

int problem_row_kind(const struct dossier *d, const struct problem *p, uint8_t flow, uint8_t part, seqset seqs)
{
	for (size_t i = 0; i < d->flow_count; i++) {
		const struct flow *f = &d->flows[i];
		if (f->id != flow || (flow_is_aside(f) && !f->timed))
			continue;
		kind_mask among = part == PART_PROBE ? p->probes : p->probes | p->answers;
		bool same_way = (f->dir == p->dir) == (part == PART_PROBE);
		bool concerns = (same_way && among & KIND_BIT(f->kind)) || (f->dir == p->dir && p->starts & KIND_BIT(f->kind));
		return concerns && dropped_for_good(d, f, part, seqs) ? f->kind : -1;
	}
	return -1;
}

void problem_limit(struct problem *p, kind_mask kinds)
{
	p->probes &= kinds;
	p->answers &= kinds;
	p->starts &= kinds;
	p->back &= kinds;
}
