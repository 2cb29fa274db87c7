/* evidence_route: what a machine does with packets that it carries from one network to another. */
#include "collector/diagnose/inquiry.h"

#include <stdio.h>
#include <string.h>

static const struct path_point *at_point(const struct inquiry *q, size_t i) { return &q->v->dir[q->p->dir].path[i]; }

static bool is_own_point(const struct inquiry *q, size_t i)
{
	return point_party(q->d, q->v, q->p->dir, i) == q->who && at_point(q, i)->role != POINT_SOCKET;
}

static bool belongs_in_bridge(const struct inquiry *q, const struct link *l)
{
	for (size_t i = 0; i < q->d->party_count; i++) {
		const struct placement *at = &q->d->party[i].at;
		if (at->known && at->host == q->who && at->bridge[0] &&
		    (strcmp(at->port, l->name) == 0 || strcmp(at->uplink, l->name) == 0))
			return true;
	}
	return false;
}

/* A packet that is routed passes the bridge's own device: between a port and anything else it is bridged, or should be. */
static bool is_port(const struct inquiry *q, const struct snapshot *s, const struct link *l)
{
	const struct link *over = l->master ? snapshot_link(s, l->master) : NULL;
	return (over && link_is_bridge(over)) || belongs_in_bridge(q, l);
}

/* The step from an interface by which it comes in to another by which it goes on, neither a bridge's port to the other. */
static bool step_routes(const struct inquiry *q, const struct snapshot *s, size_t i, const struct link **in,
                        const struct link **out)
{
	if (!is_own_point(q, i) || !is_own_point(q, i + 1))
		return false;
	*in = snapshot_link_named(s, at_point(q, i)->ifname);
	*out = snapshot_link_named(s, at_point(q, i + 1)->ifname);
	return *in && *out && !is_port(q, s, *in) && !is_port(q, s, *out) && !links_are_stacked(s, *in, *out);
}

/* Where this machine routes what dies; in, out: its interfaces. NULL facts: they are not known. */
struct routing {
	const struct snapshot *s;
	const struct link *in, *out;
	struct ip src, dst;
};

static bool routing_find(const struct inquiry *q, struct routing *r)
{
	*r = (struct routing){.s = party_facts(q->d, q->who)};
	for (size_t i = q->p->after; r->s && !q->d->onlink && q->p->placed && i < q->p->before; i++) {
		if (step_routes(q, r->s, i, &r->in, &r->out))
			return true;
	}
	return false;
}

static bool routing_of(const struct inquiry *q, int family, struct routing *r)
{
	if (!(dying(q) & kinds_of_family(family)) || !routing_find(q, r))
		return false;
	r->src = party_prefix(q->d, q->src, family).ip;
	r->dst = party_prefix(q->d, q->dst, family).ip;
	return r->src.family && r->dst.family;
}

static kind_mask routed_kinds(int family) { return kinds_of_family(family) & ~kinds_of_proto(PROTO_NEIGH); }

static void lost_routing(const struct inquiry *q, struct finding *f)
{
	struct routing r;
	if (routing_find(q, &r))
		find_yes(f, dying(q), "%s routes it from %s to %s, and it does not get there", name_of(q, q->who), r.in->name,
		         r.out->name);
	else if (!party_facts(q->d, q->who))
		find_unknown(f, "%s did not report its interfaces", name_of(q, q->who));
	else
		find_no(f, "it is not lost where %s routes it", name_of(q, q->who));
}

/* ---- forwarding is switched off ---- */

static bool sysctl_is_off(const struct inquiry *q, const struct snapshot *s, const char *name)
{
	int64_t on = 1;
	if (!snapshot_sysctl(s, name, &on) || on)
		return false;
	bindings_add(q->learned, "sysctl", "%s=1", name);
	bindings_add(q->learned, "component", "%s", name);
	return true;
}

static bool family_forwards_not(const struct inquiry *q, const struct routing *r, int family)
{
	char own[96];
	const char *all = family == 4 ? "net.ipv4.ip_forward" : "net.ipv6.conf.all.forwarding";
	snprintf(own, sizeof own, "net.ipv%d.conf.%s.forwarding", family, r->in->name);
	return sysctl_is_off(q, r->s, all) || sysctl_is_off(q, r->s, own);
}

static void forwarding_off(const struct inquiry *q, struct finding *f)
{
	kind_mask kinds = 0;
	for (int family = 4; family <= 6; family += 2) {
		struct routing r;
		if (routing_of(q, family, &r) && family_forwards_not(q, &r, family))
			kinds |= routed_kinds(family);
	}
	if (kinds)
		find_yes(f, kinds, "%s is told not to forward packets: %s is 0", name_of(q, q->who),
		         bindings_get(q->learned, "component"));
	else if (party_facts(q->d, q->who))
		find_no(f, "%s forwards packets", name_of(q, q->who));
}

/* ---- routes ---- */

static const char *refusal_of(const struct route *r)
{
	static const char *const names[] = {
	    [ROUTE_BLACKHOLE] = "blackhole", [ROUTE_UNREACHABLE] = "unreachable", [ROUTE_PROHIBIT] = "prohibit"};
	return r && r->type < sizeof names / sizeof *names ? names[r->type] : NULL;
}

static void refusal_undo(const struct inquiry *q, const struct routing *r, const struct route *way)
{
	char to[PREFIX_TEXT_MAX], table[24] = "";
	const char *six = r->dst.family == 6 ? "-6 " : "";
	bool listed = way >= r->s->routes && way < r->s->routes + r->s->route_count;
	for (size_t i = 0; !listed && i < r->s->rule_count; i++) {
		const struct policy_rule *rule = &r->s->rules[i];
		bool covers = !rule->dst.ip.family || prefix_contains(rule->dst, r->dst);
		if (rule->action == way->type && covers && (!rule->family || rule->family == r->dst.family)) {
			bindings_add(q->learned, "undo", "%srule del priority %u", six, rule->priority);
			return;
		}
	}
	if (way->table != 254)
		snprintf(table, sizeof table, " table %u", way->table);
	if (listed)
		bindings_add(q->learned, "undo", "%sroute del %s %s%s", six, refusal_of(way),
		             way->dst.len ? prefix_format(way->dst, to) : "default", table);
}

static void router_refuses(const struct inquiry *q, struct finding *f)
{
	char dst[IP_TEXT_MAX];
	for (int family = 4; family <= 6; family += 2) {
		struct routing r;
		const struct route *way = routing_of(q, family, &r) ? snapshot_route(r.s, r.dst, r.src) : NULL;
		if (!refusal_of(way))
			continue;
		refusal_undo(q, &r, way);
		find_yes(f, routed_kinds(family) | (f->is == TRI_YES ? f->kinds : 0), "%s has a %s route that covers %s",
		         name_of(q, q->who), refusal_of(way), ip_format(r.dst, dst));
	}
	if (f->is != TRI_YES)
		find_no(f, "no route of %s refuses it", name_of(q, q->who));
}

/* The route that comes with an address of its own on that interface, and was taken away alone. */
static bool connected_bind(const struct inquiry *q, const struct routing *r, int family)
{
	char net[PREFIX_TEXT_MAX], own[IP_TEXT_MAX];
	for (size_t i = 0; i < r->s->addr_count; i++) {
		const struct addr *a = &r->s->addrs[i];
		if (a->link != r->out->index || a->prefix.ip.family != family || !prefix_contains(a->prefix, r->dst))
			continue;
		prefix_format(prefix_network(a->prefix), net);
		if (family == 4)
			bindings_add(q->learned, "restore", "route replace %s dev %s proto kernel scope link src %s", net,
			             r->out->name, ip_format(a->prefix.ip, own));
		else
			bindings_add(q->learned, "restore", "-6 route replace %s dev %s", net, r->out->name);
		return true;
	}
	return false;
}

static bool next_hop_is_silent(const struct inquiry *q, int family)
{
	const struct link *out;
	const struct neigh *n = next_hop_neigh(q->d, q->who, q->p->dir, family, &out);
	return n && n->state & (NEIGH_FAILED | NEIGH_INCOMPLETE);
}

/* None is left, or one that leads elsewhere since the better one is gone: that one, as arguments to `ip`; "" = not known. */
static bool way_is_lost(const struct inquiry *q, const struct routing *r, char *was, size_t size)
{
	const struct route *left = snapshot_route(r->s, r->dst, r->src);
	bool had = history_lost_route(q, r->out->name, r->dst, left ? left->dst.len + 1 : 0, was, size);
	if (!had)
		was[0] = '\0';
	bool worse = had && left && (left->link != r->out->index || next_hop_is_silent(q, r->dst.family));
	return !snapshot_addr_of(r->s, r->dst) && (!left || worse);
}

static void router_lost_way(const struct inquiry *q, struct finding *f)
{
	char dst[IP_TEXT_MAX], route[320];
	for (int family = 4; family <= 6; family += 2) {
		struct routing r;
		if (!routing_of(q, family, &r) || !way_is_lost(q, &r, route, sizeof route))
			continue;
		if (route[0])
			bindings_add(q->learned, "restore", "%s", route);
		else if (!connected_bind(q, &r, family))
			history_restore_on(q, r.out->name, family == 4 ? 1 : 2); /* the address that the route came with */
		find_yes(f, routed_kinds(family) | (f->is == TRI_YES ? f->kinds : 0),
		         snapshot_route(r.s, r.dst, r.src) ? "%s has lost its route to %s, and the next one leads elsewhere"
		                                           : "%s has no route to %s",
		         name_of(q, q->who), ip_format(r.dst, dst));
	}
	if (f->is != TRI_YES)
		find_no(f, "%s has a route for it", name_of(q, q->who));
}

/* ---- reverse-path filter ---- */

static void router_rp_strict(const struct inquiry *q, struct finding *f)
{
	struct routing r;
	char name[96], src[IP_TEXT_MAX];
	int64_t all = 0, own = 0;
	if (!routing_of(q, 4, &r)) {
		find_no(f, "%s does not route it", name_of(q, q->who));
		return;
	}
	snprintf(name, sizeof name, "net.ipv4.conf.%s.rp_filter", r.in->name);
	if (!snapshot_sysctl(r.s, "net.ipv4.conf.all.rp_filter", &all) || !snapshot_sysctl(r.s, name, &own)) {
		find_unknown(f, "%s did not say its rp_filter", name_of(q, q->who));
		return;
	}
	const struct route *back = snapshot_route(r.s, r.src, r.dst);
	const struct link *out = back && back->type == ROUTE_UNICAST ? snapshot_link(r.s, back->link) : NULL;
	if ((all > own ? all : own) != 1 || (out && out == r.in)) {
		find_no(f, "the reverse-path filter of %s lets it in", name_of(q, q->who));
		return;
	}
	bindings_add(q->learned, "sysctl", "%s=2", name);
	find_yes(f, routed_kinds(4), "reverse-path filtering is strict on %s:%s, and %s has %s%s for %s", name_of(q, q->who),
	         r.in->name, name_of(q, q->who), out ? "its route by " : "no route", out ? out->name : "", ip_format(r.src, src));
}

/* ---- whom it is sent on to ---- */

static bool mac_is_known(const struct dossier *d, struct mac m)
{
	for (size_t i = 0; i < d->party_count; i++) {
		const struct snapshot *s = party_facts(d, (int)i);
		for (size_t k = 0; s && k < s->link_count; k++) {
			if (mac_equal(s->links[k].mac, m))
				return true;
		}
	}
	return false;
}

/* The neighbour entry of `who` for its next hop towards `dst`, when it names a hardware address that nobody on the way has, and
 * the next hop itself is one of those. NULL = none. */
static const struct neigh *wrong_next(const struct inquiry *q, int family, const char **ifname)
{
	const struct link *out;
	const struct neigh *n = next_hop_neigh(q->d, q->who, q->p->dir, family, &out);
	if (!n || q->d->onlink || q->who == q->src || q->who == q->dst)
		return NULL;
	*ifname = out->name;
	return mac_is_set(n->mac) && party_of_ip(q->d, n->ip) >= 0 && !mac_is_known(q->d, n->mac) ? n : NULL;
}

static void router_neigh_wrong(const struct inquiry *q, struct finding *f)
{
	char mac[MAC_TEXT_MAX], ip[IP_TEXT_MAX];
	const char *ifname;
	for (int family = 4; family <= 6; family += 2) {
		const struct neigh *n = dies_behind(q, q->who) ? wrong_next(q, family, &ifname) : NULL;
		if (!n || !(dying(q) & routed_kinds(family)))
			continue;
		bindings_add(q->learned, "entry", "%s dev %s", ip_format(n->ip, ip), ifname);
		bindings_add(q->learned, "component", "%s", ip);
		find_yes(f, routed_kinds(family) | (f->is == TRI_YES ? f->kinds : 0), "%s has %s as the neighbour %s%s",
		         name_of(q, q->who), mac_format(n->mac, mac), ip, n->state & NEIGH_PERMANENT ? ", entered for good" : "");
	}
	if (f->is != TRI_YES)
		find_no(f, "the neighbour entry of %s is right, or not known", name_of(q, q->who));
}

/* ---- of an end of the pair and of a machine in between alike ---- */

static void either(const struct inquiry *q, struct finding *f, const char *first, const char *second)
{
	evidence_find(first)->find(q, f);
	if (f->is != TRI_YES)
		evidence_find(second)->find(q, f);
}

static void lost_in_stack(const struct inquiry *q, struct finding *f) { either(q, f, "lost-routing", "in-own-stack"); }
static void cannot_pass(const struct inquiry *q, struct finding *f) { either(q, f, "lost-routing", "cannot-send"); }
static void route_refuses(const struct inquiry *q, struct finding *f) { either(q, f, "router-refuses", "refusing-route"); }
static void way_lost(const struct inquiry *q, struct finding *f) { either(q, f, "router-lost-way", "end-lost-way"); }
static void rp_strict(const struct inquiry *q, struct finding *f) { either(q, f, "router-rp-strict", "rp-filter-strict"); }

static const struct evidence items[] = {
    {"lost-routing", lost_routing, "cut, links", "it is lost in this machine where it is routed from one interface to another"},
    {"forwarding-off", forwarding_off, "sysctl", "the machine that should route it has forwarding switched off"},
    {"router-refuses", router_refuses, "routes, rules",
     "a blackhole, unreachable or prohibit route or rule of the router covers it"},
    {"router-lost-way", router_lost_way, "routes", "the machine that should route it has no route for it"},
    {"router-rp-strict", router_rp_strict, "sysctl, routes",
     "the router's reverse-path filter is strict and its route back leaves by another interface"},
    {"router-neigh-wrong", router_neigh_wrong, "neighbours, routes, links",
     "the router's neighbour entry for the next hop holds a hardware address that nobody on the way has"},
    {"lost-in-stack", lost_in_stack, "cut, matrix, links",
     "it is lost, or left unanswered, inside this end of the pair, or where this machine routes it"},
    {"cannot-pass", cannot_pass, "cut, matrix, sysctl, links",
     "what this end sends or answers is lost inside it, or this machine loses what it routes"},
    {"route-refuses", route_refuses, "routes, rules",
     "a blackhole, unreachable or prohibit route or rule of the machine covers what it sends or routes"},
    {"way-lost", way_lost, "routes, history", "the machine that should send or route it has no route for it"},
    {"rp-strict", rp_strict, "sysctl, routes",
     "the machine's reverse-path filter is strict and its route back leaves by another interface"},
};
const struct evidence_table evidence_route = {items, sizeof items / sizeof *items};
