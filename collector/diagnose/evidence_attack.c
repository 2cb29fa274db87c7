/* evidence_attack: what floods a segment, whoever does it with or without intent: loops, floods, and gateways that somebody handed
 * out who is none. */
#include "collector/diagnose/inquiry.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* ---- who stands behind a port ---- */

static const struct owner *owner_behind(const struct inquiry *q, int host, uint32_t port)
{
	const struct snapshot *s = party_facts(q->d, host);
	for (size_t i = 0; s && i < s->fdb_count; i++) {
		const struct fdb *e = &s->fdbs[i];
		const struct owner *o = e->port == port && !e->local ? mac_owner(q->d, e->mac, true) : NULL;
		if (o)
			return o;
	}
	return NULL;
}

/* The port by which a hardware address enters a host of this pair, and that host; NULL = not known, or the uplink. */
static const struct link *port_of_mac(const struct inquiry *q, struct mac m, int *host)
{
	const int ends[] = {q->src, q->dst};
	for (size_t e = 0; e < 2; e++) {
		const struct snapshot *s = party_facts(q->d, *host = dossier_host(q->d, ends[e]));
		for (size_t i = 0; s && i < s->fdb_count; i++) {
			const struct link *l =
			    mac_equal(s->fdbs[i].mac, m) && !s->fdbs[i].local ? snapshot_link(s, s->fdbs[i].port) : NULL;
			if (l && l->port && strcmp(l->name, q->d->party[ends[e]].at.uplink) != 0)
				return l;
		}
	}
	return NULL;
}

/* ---- a gateway that was handed out ---- */

static bool handed_out(const struct route *r, struct ip to)
{
	return (r->protocol == ROUTE_BY_RA || r->protocol == ROUTE_BY_DHCP) && r->type == ROUTE_UNICAST && r->gateway.family &&
	       r->dst.ip.family == to.family && (r->dst.len == 0 || prefix_contains(r->dst, to));
}

/* What others of the segment use, or what the machine itself has besides. */
static struct ip proper_gateway(const struct inquiry *q, const struct route *r)
{
	const struct snapshot *s = party_facts(q->d, q->who);
	for (size_t i = 0; i < s->route_count; i++) {
		const struct route *o = &s->routes[i];
		if (o->dst.ip.family == r->dst.ip.family && o->dst.len == r->dst.len && o->type == ROUTE_UNICAST &&
		    o->gateway.family && !ip_equal(o->gateway, r->gateway) && o->protocol != r->protocol)
			return o->gateway;
	}
	return gateway_of_others(q, r->dst.ip.family);
}

/* A guest that is on the segment, and neither end of this pair. */
static const struct owner *giver_of(const struct inquiry *q, const struct route *r)
{
	const struct neigh *n = snapshot_neigh(party_facts(q->d, q->who), r->gateway, r->link);
	const struct owner *o = n && mac_is_set(n->mac) ? mac_owner(q->d, n->mac, false) : NULL;
	for (size_t i = 0; !o && i < q->d->owner_count; i++) {
		if (q->d->owners[i].same_segment && ip_equal(q->d->owners[i].ip.ip, r->gateway))
			o = &q->d->owners[i];
	}
	return o && !o->host && strcmp(o->agent, name_of(q, q->src)) && strcmp(o->agent, name_of(q, q->dst)) ? o : NULL;
}

static void giver_bind(const struct inquiry *q, const struct route *r, const struct owner *o, struct ip proper)
{
	const struct link *out = snapshot_link(party_facts(q->d, q->who), r->link), *port;
	bool ra = r->protocol == ROUTE_BY_RA;
	char ip[IP_TEXT_MAX], dst[PREFIX_TEXT_MAX], mac[MAC_TEXT_MAX];
	int host;
	bindings_add(q->learned, "other", "%s", o->agent);
	bindings_add(q->learned, "component", "%s", mac_format(o->mac, mac));
	port = port_of_mac(q, o->mac, &host);
	if (port) {
		bindings_add(q->learned, "guard", "%s", name_of(q, host));
		bindings_add(q->learned, "guard.rule", "iifname %s %s drop", port->name,
		             ra ? "icmpv6 type nd-router-advert" : "udp sport 67");
	}
	bindings_add(q->learned, "route.del", "%sroute del %s via %s dev %s proto %s", r->dst.ip.family == 6 ? "-6 " : "",
	             r->dst.len ? prefix_format(r->dst, dst) : "default", ip_format(r->gateway, ip), out ? out->name : "?",
	             ra ? "ra" : "dhcp");
	if (proper.family && !ra)
		bindings_add(q->learned, "route.add", "route replace default via %s dev %s", ip_format(proper, ip),
		             out ? out->name : "?");
}

static bool gateway_is_rogue(const struct inquiry *q, int family, struct finding *f)
{
	const struct snapshot *s = party_facts(q->d, q->who);
	struct ip to = party_prefix(q->d, other_end(q), family).ip;
	for (size_t i = 0; s && to.family && i < s->route_count; i++) {
		const struct route *r = &s->routes[i];
		const struct owner *o =
		    handed_out(r, to) && !prefix_contains(party_prefix(q->d, q->who, family), to) ? giver_of(q, r) : NULL;
		struct ip proper = o ? proper_gateway(q, r) : (struct ip){0};
		char ip[IP_TEXT_MAX], other[IP_TEXT_MAX];
		int host;
		if (!o || !proper.family || ip_equal(proper, r->gateway))
			continue;
		const struct link *port = port_of_mac(q, o->mac, &host);
		giver_bind(q, r, o, proper);
		find_yes(f, kinds_of_family(family), "%s got %s as its gateway by %s, which is %s%s%s%s%s; the gateway there is %s",
		         name_of(q, q->who), ip_format(r->gateway, ip),
		         r->protocol == ROUTE_BY_RA ? "a router advertisement" : "DHCP", o->agent, port ? " at " : "",
		         port ? name_of(q, host) : "", port ? ":" : "", port ? port->name : "", ip_format(proper, other));
		return true;
	}
	return false;
}

static void gateway_handed_out(const struct inquiry *q, struct finding *f)
{
	bool four = kinds_of_family(4) & dying(q), six = kinds_of_family(6) & dying(q);
	if (!party_facts(q->d, q->who))
		find_unknown(f, "%s did not report its routes", name_of(q, q->who));
	else if (!(four && gateway_is_rogue(q, 4, f)) && !(six && gateway_is_rogue(q, 6, f)))
		find_no(f, "nobody but a router gave %s its gateway", name_of(q, q->who));
}

/* ---- floods ---- */

#define FLOOD_RATE 2000 /* packets a second: a round sends some hundred */
#define FLOOD_MIN  500

static double seconds_between(const struct snapshot *was, const struct snapshot *now)
{
	return (double)(now->taken.ns - was->taken.ns) / 1e9;
}

static uint64_t came_in(const struct snapshot *was, const struct link *l)
{
	const struct link *o = snapshot_link_named(was, l->name);
	return o && o->index == l->index && l->rx_packets > o->rx_packets ? l->rx_packets - o->rx_packets : 0;
}

struct flood {
	int host;
	const struct link *port;
	double rate;
};

/* The port by which most came in while the round ran, when that is a flood. */
static bool flood_find(const struct inquiry *q, struct flood *out)
{
	*out = (struct flood){.host = -1};
	for (int i = 0; i < (int)q->d->party_count; i++) {
		const struct party *p = &q->d->party[i];
		double dt = p->kind == AGENT_HOST && p->before && p->after ? seconds_between(p->before, p->after) : 0;
		for (size_t k = 0; dt > 0 && dt < 60 && k < p->after->link_count; k++) {
			const struct link *l = &p->after->links[k];
			uint64_t n = l->port && strcmp(l->name, p->at.uplink) ? came_in(p->before, l) : 0;
			if (n >= FLOOD_MIN && (double)n / dt >= FLOOD_RATE && (double)n / dt > out->rate)
				*out = (struct flood){i, l, (double)n / dt};
		}
	}
	return out->host >= 0;
}

static void port_flooded(const struct inquiry *q, struct finding *f)
{
	struct flood n;
	if (!flood_find(q, &n)) {
		find_unknown(f, "no port of a host on the way is flooded");
		return;
	}
	const struct owner *o = owner_behind(q, n.host, n.port->index);
	bindings_add(q->learned, "guard", "%s", name_of(q, n.host));
	bindings_add(q->learned, "guard.port", "%s", n.port->name);
	if (o)
		bindings_add(q->learned, "other", "%s", o->agent);
	find_yes(f, ~0u, "%.0f packets a second come in by %s:%s%s%s%s", n.rate, name_of(q, n.host), n.port->name, o ? " (" : "",
	         o ? o->agent : "", o ? ")" : "");
}

static int64_t counted(const struct party *p, const char *name)
{
	int64_t was = 0, now = 0;
	if (!p->before || !p->after || !snapshot_counter(p->before, name, &was) || !snapshot_counter(p->after, name, &now))
		return 0;
	return now > was ? now - was : 0;
}

/* Of the two ways taken together. What becomes of ICMP alone is no matter of a connection. */
static bool more_than_tcp_dies(const struct inquiry *q)
{
	kind_mask other = ~(kinds_of_proto(PROTO_TCP) | kinds_of_proto(PROTO_ICMP));
	for (int k = 0; k < 2 * KIND_COUNT; k++) {
		const struct direction *d = &q->v->dir[k / KIND_COUNT];
		if (other & KIND_BIT(k % KIND_COUNT) && d->delivery[k % KIND_COUNT] == CELL_LOST)
			return true;
	}
	return (dying(q) & ~kinds_of_proto(PROTO_TCP)) != 0;
}

/* Where more than TCP is lost, the queue may be full because answers do not get out: then it is a symptom. */
static void request_queue_full(const struct inquiry *q, struct finding *f)
{
	const struct party *p = &q->d->party[q->who];
	int64_t n = counted(p, "TcpExt.TCPReqQFullDrop"), cookies = 1;
	if (n <= 0 || more_than_tcp_dies(q)) {
		find_no(f, "it is not that the queue of half-open connections of %s is full", name_of(q, q->who));
		return;
	}
	if (snapshot_sysctl(p->after, "net.ipv4.tcp_syncookies", &cookies) && cookies == 0)
		bindings_add(q->learned, "cookies", "%s", "net.ipv4.tcp_syncookies=1");
	find_yes(f, kinds_of_proto(PROTO_TCP),
	         "%s dropped %" PRId64 " connection requests while the round ran: its queue of half-open connections is full",
	         name_of(q, q->who), n);
}

/* ---- loops ---- */

/* The same broadcast more often than by chance: per point, beyond the first of each. */
#define REPEATS_MIN 6

static uint32_t repeats(const struct inquiry *q, char *where, size_t size)
{
	uint32_t most = 0;
	for (size_t i = 0; i < q->d->point_count; i++) {
		const struct round_result *r = q->d->party[q->d->points[i].party].result;
		uint32_t n = 0;
		for (size_t k = 0; r && k < r->seen_count; k++)
			n += r->seen[k].point == q->d->points[i].id ? r->seen[k].duplicates : 0;
		if (n <= most)
			continue;
		most = n;
		snprintf(where, size, "%s:%s", name_of(q, q->d->points[i].party), q->d->points[i].ifname);
	}
	return most;
}

static void frames_repeat(const struct inquiry *q, struct finding *f)
{
	char where[POINT_NAME_MAX] = "";
	uint32_t n = repeats(q, where, sizeof where);
	if (n >= REPEATS_MIN)
		find_yes(f, ~0u, "packets of this round came by %s again and again (%u times more than they were sent)", where, n);
	else
		find_no(f, "no packet of this round was seen again and again");
}

/* Two ports of one bridge that are the two ends of one cable. */
static const struct link *shorted(const struct snapshot *s)
{
	for (size_t i = 0; i < s->link_count; i++) {
		const struct link *a = &s->links[i], *b = a->parent && !a->parent_elsewhere ? snapshot_link(s, a->parent) : NULL;
		if (b && a->master && a->master == b->master && a->up && b->up && !strcmp(a->kind, "veth") && a->index > b->index)
			return a;
	}
	return NULL;
}

enum stand { STANDS_ASIDE, STANDS_IN_BRIDGE, STANDS_ON_WAY };

/* Whether a port is on the way between the two, or in a bridge that is. */
static enum stand stands(const struct inquiry *q, const struct snapshot *s, const struct link *port)
{
	enum stand found = STANDS_ASIDE;
	for (int dir = 0; dir < 2; dir++) {
		const struct direction *d = &q->v->dir[dir];
		for (size_t i = 0; i < d->path_count; i++) {
			const struct link *l =
			    point_party(q->d, q->v, dir, i) == q->who ? snapshot_link_named(s, d->path[i].ifname) : NULL;
			if (l == port)
				return STANDS_ON_WAY;
			if (l && (l->master == port->master || l->index == port->master))
				found = STANDS_IN_BRIDGE;
		}
	}
	return found;
}

/* A port that is not on the way between the two, behind which a bridge on the way believes one of them to be. */
static const struct link *returning(const struct inquiry *q, const struct snapshot *s)
{
	for (int end = 0; end < 2; end++) {
		for (size_t i = 0; i < s->fdb_count; i++) {
			const struct fdb *e = &s->fdbs[i];
			const struct link *l =
			    mac_equal(e->mac, q->d->party[end].ep.mac) && !e->is_static ? snapshot_link(s, e->port) : NULL;
			if (l && l->port && stands(q, s, l) == STANDS_IN_BRIDGE)
				return l;
		}
	}
	return NULL;
}

static void loop_at_port(const struct inquiry *q, struct finding *f)
{
	const struct snapshot *s = party_facts(q->d, q->who);
	const struct link *l = s ? shorted(s) : NULL;
	if (l) {
		bindings_add(q->learned, "component", "%s", l->name);
		bindings_add(q->learned, "loop", "%s", l->name);
		find_yes(f, ~0u, "%s:%s and %s are two ports of one bridge and joined by a cable", name_of(q, q->who), l->name,
		         snapshot_link(s, l->parent)->name);
		return;
	}
	l = s ? returning(q, s) : NULL;
	if (!l) {
		find_no(f, "no port of %s leads back into the same bridge", name_of(q, q->who));
		return;
	}
	bindings_add(q->learned, "component", "%s", l->name);
	bindings_add(q->learned, "loop", "%s", l->name);
	find_yes(f, ~0u, "what an end sends comes back to %s by %s", name_of(q, q->who), l->name);
	f->weak = true;
}

static const struct evidence items[] = {
    {"gateway-handed-out", gateway_handed_out, "routes, neighbours, forwarding entries",
     "the machine got its gateway by a router advertisement or DHCP from a guest that is no gateway"},
    {"port-flooded", port_flooded, "packets of the ports while the round ran", "a port of a host on the way is flooded"},
    {"request-queue-full", request_queue_full, "counters while the round ran",
     "the machine drops connection requests because too many are half open"},
    {"frames-repeat", frames_repeat, "captures", "the same packet comes by a point again and again"},
    {"loop-at-port", loop_at_port, "links, forwarding entries", "a port leads back into the bridge it belongs to"},
};
const struct evidence_table evidence_attack = {items, COUNT(items)};
