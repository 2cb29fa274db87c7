/* walk: legs from machine to machine. A leg is one segment: down from the sender's interface, up to the receiver's. */
#include "collector/walk.h"

#include "collector/trail.h"
#include "proto/base/mem.h"

#include <string.h>

#define LEGS_MAX 8

/* Where a packet leaves or enters a machine. */
struct stand {
	struct member *member;
	char ifname[IFNAME_LEN];
	struct mac mac;
};

static struct stand stand_at(struct member *m, const char *ifname, struct mac mac)
{
	struct stand s = {.member = m, .mac = mac};
	str_copy(s.ifname, sizeof s.ifname, ifname);
	return s;
}

static struct stand stand_on(struct member *m, const struct link *l) { return stand_at(m, l->name, l->mac); }

/* ---- points ---- */

static bool walk_has(const struct walk *w, const struct walk_point *p)
{
	for (size_t i = 0; i < w->count; i++) {
		if (w->at[i].member == p->member && strcmp(w->at[i].ifname, p->ifname) == 0)
			return true;
	}
	return false;
}

static void point_add(struct walk *w, const struct walk_point *p)
{
	if (walk_has(w, p))
		return;
	if (w->count == WALK_POINTS_MAX)
		w->complete = false;
	else
		w->at[w->count++] = *p;
}

static void step_add(struct walk *w, const struct trail_step *s)
{
	struct walk_point p = {.member = s->member, .role = s->role};
	if (s->junction)
		return;
	str_copy(p.ifname, sizeof p.ifname, s->ifname);
	point_add(w, &p);
}

static void steps_add(struct walk *w, const struct trail *t, size_t count)
{
	for (size_t i = 0; i < count; i++)
		step_add(w, &t->step[i]);
}

static void steps_add_back(struct walk *w, const struct trail *t, size_t count)
{
	for (size_t i = count; i-- > 0;)
		step_add(w, &t->step[i]);
}

/* ---- one leg ---- */

static const struct member *trail_end(const struct trail *t) { return t->count ? t->step[t->count - 1].member : NULL; }

/* Behind different wires of two machines is one network. Of one machine: who knows. */
static bool wires_join(const struct trail *out, const struct trail *in)
{
	return out->wire && in->wire && !out->open && !in->open && trail_end(out) != trail_end(in);
}

static void leg_add(struct walk *w, const struct fleet *f, const struct stand *from, const struct stand *to)
{
	struct trail out, in;
	size_t i, k;
	bool start = w->count == 0;
	trail_down(f, from->member, from->ifname, from->mac, &(struct trail_aim){to->mac, to->member}, &out);
	trail_down(f, to->member, to->ifname, to->mac, &(struct trail_aim){from->mac, from->member}, &in);
	if (trail_meet(&out, &in, &i, &k)) {
		steps_add(w, &out, i + 1);
		if (start)
			w->first = w->count;
		steps_add_back(w, &in, k);
		return;
	}
	steps_add(w, &out, out.count);
	if (start)
		w->first = w->count;
	steps_add_back(w, &in, in.count);
	w->complete &= wires_join(&out, &in);
}

/* Nobody known is at the other end. */
static void leg_open(struct walk *w, const struct fleet *f, const struct stand *from, struct mac next)
{
	struct trail out;
	trail_down(f, from->member, from->ifname, from->mac, &(struct trail_aim){.mac = next}, &out);
	bool start = w->count == 0;
	steps_add(w, &out, out.sure);
	w->sure = w->count;
	steps_add(w, &out, out.count);
	if (start)
		w->first = w->count;
	w->complete = false;
}

/* ---- who is the next machine? ---- */

struct hop_search {
	const struct fleet *f;
	const struct stand *from;
	struct ip ip;
	struct mac mac; /* as the sender has it, all zero = not known */
	struct trail trail;
	struct stand best;
	int score;
	size_t found;
};

/* What makes an owner of the address the one that is meant. */
enum { HOP_SAME_BRIDGE = 8, HOP_SAME_MAC = 4, HOP_KIN = 2, HOP_HOST = 1 };

static bool is_kin(const struct member *a, const struct member *b)
{
	return a->kind == b->kind && (a->kind == AGENT_HOST || strcmp(a->tenant, b->tenant) == 0);
}

static bool on_same_bridge(const struct hop_search *s, struct member *m, const struct link *l)
{
	struct trail t;
	size_t i, k;
	trail_down(s->f, m, l->name, l->mac, &(struct trail_aim){.mac = s->from->mac, .whose = s->from->member}, &t);
	return trail_meet(&s->trail, &t, &i, &k);
}

static void hop_consider(struct hop_search *s, struct member *m, const struct link *l)
{
	int score = (on_same_bridge(s, m, l) ? HOP_SAME_BRIDGE : 0) +
	            (mac_is_set(s->mac) && mac_equal(s->mac, l->mac) ? HOP_SAME_MAC : 0) +
	            (is_kin(s->from->member, m) ? HOP_KIN : 0) + (m->kind == AGENT_HOST ? HOP_HOST : 0);
	s->found += score > 0;
	if (score <= s->score)
		return;
	s->score = score;
	s->best = stand_on(m, l);
}

static void hop_by_ip(struct hop_search *s, struct member *m)
{
	for (size_t i = 0; i < m->snapshot->addr_count; i++) {
		const struct addr *a = &m->snapshot->addrs[i];
		const struct link *l = ip_equal(a->prefix.ip, s->ip) ? snapshot_link(m->snapshot, a->link) : NULL;
		if (l && !l->loopback)
			hop_consider(s, m, l);
	}
}

static bool forwards(const struct member *m, int family)
{
	int64_t on = 0;
	return snapshot_sysctl(m->snapshot, family == 4 ? "net.ipv4.ip_forward" : "net.ipv6.conf.all.forwarding", &on) && on;
}

static void hop_by_mac(struct hop_search *s, struct member *m)
{
	for (size_t i = 0; i < m->snapshot->link_count; i++) {
		const struct link *l = &m->snapshot->links[i];
		if (!l->loopback && mac_equal(l->mac, s->mac) && forwards(m, s->ip.family))
			hop_consider(s, m, l);
	}
}

static void hop_each(struct hop_search *s, void (*look)(struct hop_search *s, struct member *m))
{
	for (size_t i = 0; i < fleet_count(s->f); i++) {
		struct member *m = fleet_at(s->f, i);
		if (m != s->from->member && m->snapshot)
			look(s, m);
	}
}

/* Of several owners, one that is on the sender's own bridge or that the sender knows by its MAC; a single one of its kind
 * needs no more. */
static bool hop_is_clear(const struct hop_search *s) { return s->score >= HOP_SAME_MAC || (s->found == 1 && s->score >= HOP_HOST); }

/* Whoever answers for the address instead of its owner: a proxy. */
static bool hop_proxy(struct hop_search *s, const struct member *owner)
{
	if (!mac_is_set(s->mac))
		return false;
	s->score = 0;
	s->found = 0;
	hop_each(s, hop_by_mac);
	return hop_is_clear(s) && s->best.member != owner;
}

static bool mac_is_of(const struct member *m, struct mac mac)
{
	for (size_t i = 0; i < m->snapshot->link_count; i++) {
		if (mac_equal(m->snapshot->links[i].mac, mac))
			return true;
	}
	return false;
}

static bool hop_find(const struct fleet *f, const struct stand *from, struct ip ip, struct mac mac, const struct walk_end *to,
                     struct stand *out)
{
	struct hop_search s = {.f = f, .from = from, .ip = ip, .mac = mac};
	const struct prefix *own = ip.family == 4 ? &to->ep->ip4 : &to->ep->ip6;
	trail_down(f, from->member, from->ifname, from->mac, &(struct trail_aim){.mac = mac}, &s.trail);
	if (s.trail.into) { /* its host is at the other end of its cable */
		const struct trail_step *end = &s.trail.step[s.trail.count - 1];
		const struct link *l = s.trail.into->snapshot ? snapshot_link_named(s.trail.into->snapshot, end->ifname) : NULL;
		*out = stand_at(s.trail.into, end->ifname, l ? l->mac : (struct mac){0});
		return true;
	}
	if (ip_equal(ip, own->ip)) {
		bool its_own = !mac_is_set(mac) || mac_is_of(to->member, mac) || !hop_proxy(&s, to->member);
		*out = its_own ? stand_at(to->member, to->ep->ifname, to->ep->mac) : s.best;
		return true;
	}
	hop_each(&s, hop_by_ip);
	if (!hop_is_clear(&s) && !hop_proxy(&s, NULL))
		return false;
	*out = s.best;
	return true;
}

/* ---- from leg to leg ---- */

struct journey {
	const struct fleet *f;
	const struct walk_end *from, *to;
	struct ip src, dst;
	struct walk *w;
};

/* What `at` does with the packet: by which interface it leaves, and to whom. */
static bool journey_next(const struct journey *j, struct stand *at, struct ip *hop, struct mac *mac)
{
	const struct snapshot *s = at->member->snapshot;
	const struct route *r = snapshot_route(s, j->dst, j->src);
	const struct link *l = r && r->type == ROUTE_UNICAST ? snapshot_link(s, r->link) : NULL;
	if (!l)
		return false;
	*hop = r->gateway.family ? r->gateway : j->dst;
	const struct neigh *n = snapshot_neigh(s, *hop, l->index);
	*mac = n && !(n->state & (NEIGH_FAILED | NEIGH_INCOMPLETE)) ? n->mac : (struct mac){0};
	if (at->member != j->from->member || strcmp(l->name, at->ifname) != 0)
		*at = stand_on(at->member, l);
	return true;
}

static bool was_there(struct member *const *seen, size_t count, const struct member *m)
{
	for (size_t i = 0; i < count; i++) {
		if (seen[i] == m)
			return true;
	}
	return false;
}

static void journey_go(const struct journey *j)
{
	struct member *seen[LEGS_MAX];
	struct stand at = stand_at(j->from->member, j->from->ep->ifname, j->from->ep->mac), next;
	for (size_t n = 0; n < LEGS_MAX; n++) {
		struct ip hop;
		struct mac mac = {0};
		seen[n] = at.member;
		bool routed = at.member->snapshot && journey_next(j, &at, &hop, &mac);
		if (!routed || !hop_find(j->f, &at, hop, mac, j->to, &next)) {
			leg_open(j->w, j->f, &at, mac);
			return;
		}
		leg_add(j->w, j->f, &at, &next);
		j->w->sure = j->w->count;
		if (next.member == j->to->member)
			return;
		if (was_there(seen, n + 1, next.member))
			break;
		at = next;
	}
	j->w->complete = false;
}

static void walk_routed(const struct fleet *f, const struct walk_end *from, const struct walk_end *to, int family, struct walk *out)
{
	const struct endpoint *a = from->ep, *b = to->ep;
	struct journey j = {.f = f, .from = from, .to = to, .w = out};
	j.src = family == 4 ? a->ip4.ip : a->ip6.ip;
	j.dst = family == 4 ? b->ip4.ip : b->ip6.ip;
	*out = (struct walk){.complete = true};
	journey_go(&j);
}

/* Link-local addresses are routed by nobody. */
static bool can_route(const struct endpoint *a, const struct endpoint *b, int family)
{
	struct ip from = family == 4 ? a->ip4.ip : a->ip6.ip, to = family == 4 ? b->ip4.ip : b->ip6.ip;
	return from.family && to.family && !ip_is_link_local(from) && !ip_is_link_local(to);
}

static void walk_direct(const struct fleet *f, const struct walk_end *from, const struct walk_end *to, struct walk *out)
{
	struct stand a = stand_at(from->member, from->ep->ifname, from->ep->mac);
	struct stand b = stand_at(to->member, to->ep->ifname, to->ep->mac);
	*out = (struct walk){.complete = true};
	leg_add(out, f, &a, &b);
	out->sure = out->count;
}

void walk_path(const struct fleet *f, const struct walk_end *from, const struct walk_end *to, bool onlink, struct walk *out)
{
	struct walk six;
	if (onlink) {
		walk_direct(f, from, to, out);
		return;
	}
	walk_routed(f, from, to, 4, out);
	if (out->complete || !can_route(from->ep, to->ep, 6))
		return;
	walk_routed(f, from, to, 6, &six);
	if (six.complete || !can_route(from->ep, to->ep, 4))
		*out = six;
}

/* ---- both directions ---- */

static bool same_point(const struct walk_point *a, const struct walk_point *b)
{
	return a->member == b->member && strcmp(a->ifname, b->ifname) == 0;
}

/* What is sure of `w` is how the way back ends. */
static bool fits_reversed(const struct walk *w, const struct walk *back)
{
	if (w->sure > back->count)
		return false;
	for (size_t i = 0; i < w->sure; i++) {
		if (!same_point(&w->at[i], &back->at[back->count - 1 - i]))
			return false;
	}
	return true;
}

static void add_reversed(struct walk *w, const struct walk *back, size_t count)
{
	for (size_t i = count; i-- > 0;)
		point_add(w, &back->at[i]);
}

/* A direction that is not known to its end goes, as far as anybody can tell, where the other one comes from; when it sets out
 * another way, only the last steps to the receiver are taken from there. */
static void walk_complete(struct walk *w, const struct walk *back)
{
	if (back->complete && fits_reversed(w, back)) {
		w->count = 0;
		add_reversed(w, back, back->count);
	} else {
		add_reversed(w, back, back->complete ? back->first : back->count);
	}
}

void walk_both(const struct fleet *f, const struct walk_end end[static 2], bool onlink, struct walk out[static 2])
{
	walk_path(f, &end[0], &end[1], onlink, &out[0]);
	walk_path(f, &end[1], &end[0], onlink, &out[1]);
	struct walk there = out[0];
	if (!out[0].complete && !onlink)
		walk_complete(&out[0], &out[1]);
	if (!out[1].complete && !onlink)
		walk_complete(&out[1], &there);
}
