/* evidence_config: addresses that nobody gave, prefixes that are too short, detours over a gateway, interfaces under another name.
 */
#include "collector/diagnose/inquiry.h"
#include "collector/names.h"

#include <stdio.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static bool is_end(const struct inquiry *q) { return q->who == q->src || q->who == q->dst; }

static const struct snapshot *facts_of_end(const struct inquiry *q) { return is_end(q) ? party_facts(q->d, q->who) : NULL; }

static kind_mask ip_kinds(int family) { return kinds_of_family(family) & ~kinds_of_proto(PROTO_NEIGH); }

/* ---- an address the machine gave itself ---- */

static const struct addr *zeroconf_only(const struct snapshot *s, const struct link *l)
{
	const struct addr *found = NULL;
	for (size_t i = 0; l && i < s->addr_count; i++) {
		const struct addr *a = &s->addrs[i];
		if (a->link != l->index || a->prefix.ip.family != 4)
			continue;
		if (!ip_is_link_local(a->prefix.ip))
			return NULL;
		found = a;
	}
	return found;
}

static void zeroconf_address(const struct inquiry *q, struct finding *f)
{
	const struct snapshot *s = facts_of_end(q);
	const struct addr *a = s ? zeroconf_only(s, party_link(q->d, q->who)) : NULL;
	char has[PREFIX_TEXT_MAX];
	if (!a) {
		find_no(f, "%s has no address of 169.254.0.0/16 alone", name_of(q, q->who));
		return;
	}
	history_restore(q, 1);
	bindings_add(q->learned, "restore", "addr del %s dev %s", prefix_format(a->prefix, has), party_if(q->d, q->who));
	find_yes(f, kinds_of_family(4), "%s:%s has %s and no other IPv4 address: it gave that to itself, no DHCP server answered",
	         name_of(q, q->who), party_if(q->d, q->who), has);
}

/* ---- a prefix that takes in other networks ---- */

static const struct addr *own_addr(const struct inquiry *q, const struct snapshot *s, int family)
{
	struct ip mine = party_prefix(q->d, q->who, family).ip;
	const struct addr *a = mine.family ? snapshot_addr_of(s, mine) : NULL;
	return a && snapshot_link(s, a->link) ? a : NULL;
}

/* The same address with a longer prefix, in the machine's own past. */
static bool longer_before(const struct inquiry *q, struct prefix now, struct prefix *out)
{
	const struct party *p = &q->d->party[q->who];
	*out = now.ip.family == 4 ? p->ep_last.ip4 : p->ep_last.ip6;
	if (ip_equal(out->ip, now.ip) && out->len > now.len)
		return true;
	for (size_t i = p->change_count; i-- > 0;) {
		const struct fact_change *c = &p->changes[i];
		const char *dot = strncmp(c->key, "addr.", 5) == 0 ? strchr(c->key + 5, '.') : NULL;
		if (dot && c->was && prefix_parse(dot + 1, out) == 0 && ip_equal(out->ip, now.ip) && out->len > now.len)
			return true;
	}
	return false;
}

/* What the others on its segment call the network, when that is narrower and leaves the peer out. */
static bool longer_at_others(const struct inquiry *q, struct prefix now, struct ip peer, struct prefix *out)
{
	for (size_t i = 0; i < q->d->owner_count; i++) {
		const struct owner *o = &q->d->owners[i];
		if (!o->same_segment || o->ip.len <= now.len || strcmp(o->agent, name_of(q, q->who)) == 0 ||
		    !prefix_contains(o->ip, now.ip) || prefix_contains(o->ip, peer))
			continue;
		*out = (struct prefix){now.ip, o->ip.len};
		return true;
	}
	return false;
}

static void wide_bind(const struct inquiry *q, struct prefix now, struct ip peer)
{
	char a[PREFIX_TEXT_MAX], b[PREFIX_TEXT_MAX];
	const char *dev = party_if(q->d, q->who);
	struct prefix was;
	if (!longer_before(q, now, &was) && !longer_at_others(q, now, peer, &was))
		return;
	prefix_format(was, a);
	prefix_format(now, b);
	if (now.ip.family == 6)
		bindings_add(q->learned, "restore", "addr del %s dev %s", b, dev);
	bindings_add(q->learned, "restore", "addr add %s dev %s%s", a, dev, now.ip.family == 6 ? " nodad" : "");
	if (now.ip.family == 4)
		bindings_add(q->learned, "restore", "addr del %s dev %s", b, dev);
}

/* Its peer is on another network and counts itself so, and this machine looks for it on its own link. */
static bool is_wide(const struct inquiry *q, const struct snapshot *s, const struct addr *a, int family)
{
	struct prefix theirs = party_prefix(q->d, other_end(q), family);
	struct ip peer = theirs.ip;
	if (!a || !peer.family || q->d->onlink || ip_is_link_local(peer) || ip_is_link_local(a->prefix.ip))
		return false;
	if (!prefix_contains(a->prefix, peer) || prefix_contains(theirs, a->prefix.ip))
		return false;
	const struct route *r = snapshot_route(s, peer, a->prefix.ip);
	const struct neigh *n = snapshot_neigh(s, peer, a->link);
	return r && !r->gateway.family && r->link == a->link && (!n || !mac_is_set(n->mac) || n->state & NEIGH_FAILED);
}

static void prefix_wide(const struct inquiry *q, struct finding *f)
{
	const struct snapshot *s = facts_of_end(q);
	char own[PREFIX_TEXT_MAX], peer[IP_TEXT_MAX];
	for (int family = 4; s && family <= 6; family += 2) {
		const struct addr *a = own_addr(q, s, family);
		if (!(ip_kinds(family) & dying(q)) || !is_wide(q, s, a, family))
			continue;
		wide_bind(q, a->prefix, other_ip(q, family));
		find_yes(f, ip_kinds(family) | (f->is == TRI_YES ? f->kinds : 0),
		         "%s has %s and looks for %s on its own link, where that is not", name_of(q, q->who),
		         prefix_format(a->prefix, own), ip_format(other_ip(q, family), peer));
	}
	if (f->is != TRI_YES)
		find_no(f, "the prefix of %s takes in no other network", name_of(q, q->who));
}

/* ---- astray, since the address of one end is not where the other looks for it ---- */

/* An end sends what is for the other by a gateway, although the two stand on one link. */
static bool sends_astray(const struct inquiry *q, int party)
{
	const struct snapshot *s = party_facts(q->d, party);
	int other = party == q->src ? q->dst : q->src;
	for (int family = 4; s && q->d->onlink && family <= 6; family += 2) {
		struct ip peer = party_prefix(q->d, other, family).ip;
		const struct route *r = peer.family ? snapshot_route(s, peer, party_prefix(q->d, party, family).ip) : NULL;
		if (dying(q) & ip_kinds(family) && r && r->gateway.family && !ip_equal(r->gateway, peer))
			return true;
	}
	return false;
}

/* A router on the way does not know the address of the machine that all is sent to. */
static void router_knows_not(const struct inquiry *q, struct finding *f)
{
	struct bindings unused = {0};
	struct inquiry at = *q;
	at.learned = &unused;
	at.who = q->p->placed && q->who == q->dst ? point_party(q->d, q->v, q->p->dir, q->p->after) : -1;
	if (at.who >= 0 && at.who != q->src && at.who != q->dst)
		evidence_find("way-lost")->find(&at, f);
	bindings_free(&unused);
}

static void lost_or_astray(const struct inquiry *q, struct finding *f)
{
	evidence_find("in-end-stack")->find(q, f);
	if (f->is != TRI_YES && sends_astray(q, q->src))
		find_yes(f, dying(q), "%s sends what is for %s by a gateway, although the two are on one link", name_of(q, q->src),
		         name_of(q, q->dst));
	if (f->is != TRI_YES)
		router_knows_not(q, f);
}

/* ---- by a gateway to a peer on the same link ---- */

static void detour_bind(const struct inquiry *q, const struct addr *a, const struct route *r)
{
	char to[PREFIX_TEXT_MAX], via[IP_TEXT_MAX];
	struct prefix theirs = party_prefix(q->d, other_end(q), a->prefix.ip.family);
	if (!prefix_contains(a->prefix, theirs.ip)) {
		prefix_bind_shorter(q, a->prefix);
		history_restore(q, a->prefix.ip.family == 4 ? 1 : 2);
	} else if (r->dst.len && r->table == 254) {
		bindings_add(q->learned, "undo", "%sroute del %s via %s", r->dst.ip.family == 6 ? "-6 " : "",
		             prefix_format(r->dst, to), ip_format(r->gateway, via));
	}
}

static const struct route *detour(const struct inquiry *q, const struct snapshot *s, const struct addr *a, int family)
{
	struct prefix theirs = party_prefix(q->d, other_end(q), family);
	if (!a || !q->d->onlink || !theirs.ip.family || ip_is_link_local(a->prefix.ip) || !prefix_contains(theirs, a->prefix.ip))
		return NULL;
	const struct route *r = snapshot_route(s, theirs.ip, a->prefix.ip);
	bool by_other = r && r->type == ROUTE_UNICAST && r->gateway.family && !ip_equal(r->gateway, theirs.ip);
	return by_other && r->link == a->link ? r : NULL;
}

static void sends_by_gateway(const struct inquiry *q, struct finding *f)
{
	const struct snapshot *s = facts_of_end(q);
	char peer[IP_TEXT_MAX], via[IP_TEXT_MAX];
	for (int family = 4; s && family <= 6; family += 2) {
		const struct addr *a = own_addr(q, s, family);
		const struct route *r = ip_kinds(family) & dying(q) ? detour(q, s, a, family) : NULL;
		if (!r)
			continue;
		detour_bind(q, a, r);
		find_yes(f, ip_kinds(family) | (f->is == TRI_YES ? f->kinds : 0),
		         "%s sends what is for %s by the gateway %s, although the two are on one link", name_of(q, q->who),
		         ip_format(other_ip(q, family), peer), ip_format(r->gateway, via));
	}
	if (f->is != TRI_YES)
		find_no(f, "%s needs no gateway for its peer, or uses none", name_of(q, q->who));
}

/* It left the machine, and did not come to its peer's machine. */
static void lost_behind(const struct inquiry *q, struct finding *f)
{
	const struct direction *d = &q->v->dir[q->p->dir];
	if (q->p->placed && q->who == q->src && q->p->after >= 1 && q->p->before + 1u < d->path_count)
		find_yes(f, dying(q), "it leaves %s and dies on the way", name_of(q, q->who));
	else
		find_no(f, "it is not lost behind %s", name_of(q, q->who));
}

/* ---- the same network twice ---- */

static const struct addr *addr_of_route(const struct snapshot *s, const struct route *r)
{
	for (size_t i = 0; i < s->addr_count; i++) {
		const struct addr *a = &s->addrs[i];
		if (a->link == r->link && a->prefix.len == r->dst.len && prefix_contains(r->dst, a->prefix.ip))
			return a;
	}
	return NULL;
}

/* The route to the peer belongs to an address on another interface, whose network overlaps that of the probed one. */
static const struct route *overlap(const struct inquiry *q, const struct snapshot *s, int family)
{
	const struct link *l = party_link(q->d, q->who);
	struct prefix mine = party_prefix(q->d, q->who, family);
	struct ip peer = other_ip(q, family);
	if (!l || !mine.ip.family || !peer.family || ip_is_link_local(peer) || snapshot_addr_of(s, peer))
		return NULL;
	const struct route *r = snapshot_route(s, peer, mine.ip);
	bool elsewhere = r && r->type == ROUTE_UNICAST && !r->gateway.family && r->link && r->link != l->index;
	bool overlaps = elsewhere && (prefix_contains(mine, r->dst.ip) || prefix_contains(r->dst, mine.ip));
	return overlaps && addr_of_route(s, r) ? r : NULL;
}

static void route_overlaps(const struct inquiry *q, struct finding *f)
{
	const struct snapshot *s = facts_of_end(q);
	char net[PREFIX_TEXT_MAX], mine[PREFIX_TEXT_MAX];
	for (int family = 4; s && family <= 6; family += 2) {
		const struct route *r = ip_kinds(family) & dying(q) ? overlap(q, s, family) : NULL;
		const struct link *out = r ? snapshot_link(s, r->link) : NULL;
		if (!out)
			continue;
		prefix_format(r->dst, net);
		bindings_add(q->learned, "undo", "%sroute del %s dev %s", family == 6 ? "-6 " : "", net, out->name);
		bindings_add(q->learned, "component", "%s", out->name);
		find_yes(f, ip_kinds(family) | (f->is == TRI_YES ? f->kinds : 0),
		         "%s has the network %s on %s, which overlaps %s on %s: what is for %s leaves by %s", name_of(q, q->who),
		         net, out->name, prefix_format(prefix_network(party_prefix(q->d, q->who, family)), mine),
		         party_if(q->d, q->who), name_of(q, other_end(q)), out->name);
	}
	if (f->is != TRI_YES)
		find_no(f, "no other interface of %s has an overlapping network", name_of(q, q->who));
}

/* ---- under another name ---- */

/* "link.IF.mac" of an interface that is gone and had this hardware address. */
static const char *name_before(const struct party *p, const struct link *l, char *out, size_t size)
{
	char mac[MAC_TEXT_MAX];
	mac_format(l->mac, mac);
	for (size_t i = p->change_count; i-- > 0;) {
		const struct fact_change *c = &p->changes[i];
		size_t len = strlen(c->key);
		if (strncmp(c->key, "link.", 5) || len < 10 || strcmp(c->key + len - 4, ".mac") || !c->was || c->now ||
		    strcmp(c->was, mac))
			continue;
		snprintf(out, size, "%.*s", (int)(len - 9), c->key + 5);
		return strcmp(out, l->name) ? out : NULL;
	}
	return NULL;
}

static bool lacks_address(const struct inquiry *q, const struct snapshot *s, const struct link *l)
{
	for (size_t i = 0; i < s->addr_count; i++) {
		if (s->addrs[i].link == l->index && !ip_is_link_local(s->addrs[i].prefix.ip))
			return false;
	}
	return party_prefix(q->d, q->who, 4).ip.family || party_prefix(q->d, q->who, 6).ip.family;
}

static void interface_renamed(const struct inquiry *q, struct finding *f)
{
	const struct snapshot *s = facts_of_end(q);
	const struct link *l = s ? party_link(q->d, q->who) : NULL;
	char was[IFNAME_LEN];
	if (!l || !name_before(&q->d->party[q->who], l, was, sizeof was) || !lacks_address(q, s, l)) {
		find_no(f, "the interface of %s has the name it had", name_of(q, q->who));
		return;
	}
	bindings_add(q->learned, "nic.now", "%s", l->name);
	bindings_add(q->learned, "nic.was", "%s", was);
	bindings_add(q->learned, "component", "%s", l->name);
	history_restore_on(q, was, 3);
	find_yes(f, ~0u, "the interface that was %s on %s is now %s, and has none of its addresses", was, name_of(q, q->who),
	         l->name);
}

/* ---- answers from another of its addresses ---- */

static kind_mask kinds_impostor(const struct inquiry *q)
{
	kind_mask m = 0;
	for (int k = 0; k < KIND_COUNT; k++) {
		if (q->v->dir[q->p->dir].initiation[k] == CELL_IMPOSTOR)
			m |= KIND_BIT(k);
	}
	return m;
}

static const struct addr *second_addr(const struct snapshot *s, struct ip first)
{
	for (size_t i = 0; i < s->addr_count; i++) {
		const struct addr *a = &s->addrs[i];
		if (a->prefix.ip.family == first.family && !ip_equal(a->prefix.ip, first) && !ip_is_link_local(a->prefix.ip) &&
		    !ip_is_loopback(a->prefix.ip))
			return a;
	}
	return NULL;
}

/* A twin or a man in the middle answers everything; a program that is bound to all addresses errs in its own protocol only. */
static void other_source(const struct inquiry *q, struct finding *f)
{
	const struct snapshot *s = facts_of_end(q);
	kind_mask odd = q->who == q->dst ? kinds_impostor(q) & q->p->starts : 0, udp = odd & kinds_of_proto(PROTO_UDP);
	char text[PREFIX_TEXT_MAX];
	if (!udp || odd != udp) {
		find_no(f, "it is not UDP alone that is answered by somebody else");
		return;
	}
	int family = udp & kinds_of_family(4) ? 4 : 6;
	const struct addr *a = s ? second_addr(s, party_prefix(q->d, q->who, family).ip) : NULL;
	if (!s)
		find_unknown(f, "%s did not report its addresses", name_of(q, q->who));
	else if (!a)
		find_no(f, "%s has one address only", name_of(q, q->who));
	else
		find_yes(f, udp,
		         "UDP is answered from an address that was not asked, ICMP and TCP from the right one; %s also has %s",
		         name_of(q, q->who), prefix_format(a->prefix, text));
}

static void multicast_mac(const struct inquiry *q, struct finding *f)
{
	const struct link *l = is_end(q) ? party_link(q->d, q->who) : NULL;
	char mac[MAC_TEXT_MAX];
	if (!l || !(l->mac.b[0] & 1)) {
		find_no(f, "the hardware address of %s is one of a machine", name_of(q, q->who));
		return;
	}
	bindings_add(q->learned, "mac.fixed", "%02x%s", l->mac.b[0] & 0xfe, mac_format(l->mac, mac) + 2);
	find_yes(f, dying(q), "%s:%s has the hardware address %s, which is a group's, not a machine's", name_of(q, q->who), l->name,
	         mac_format(l->mac, mac));
}

/* ---- names ---- */

/* What the hosts file should say of the name. */
static void hosts_bind(const struct inquiry *q, const char *name)
{
	char pattern[3 * NAME_MAX_LEN] = "", right[2 * IP_TEXT_MAX + 2] = "", ip[IP_TEXT_MAX];
	for (size_t n = 0; *name && n + 4 < sizeof pattern; n += strlen(pattern + n), name++)
		snprintf(pattern + n, sizeof pattern - n, *name == '.' ? "[%c]" : "%c", *name);
	for (int family = 4; family <= 6; family += 2) {
		struct ip own = party_prefix(q->d, other_end(q), family).ip;
		size_t used = strlen(right);
		if (own.family && !ip_is_link_local(own))
			snprintf(right + used, sizeof right - used, "%s%s", used ? " " : "", ip_format(own, ip));
	}
	bindings_add(q->learned, "name.pattern", "%s", pattern);
	bindings_add(q->learned, "name.right", "%s", right);
}

static void name_elsewhere(const struct inquiry *q, struct finding *f)
{
	struct name_found found;
	char ip[IP_TEXT_MAX];
	bool asks = q->p->odd == ODD_NAME && q->who == q->src;
	if (!asks || name_leads(q->d, q->who, &found) != NAME_ELSEWHERE) {
		find_no(f, "what %s takes the name of %s for is its address, or not known", name_of(q, q->who),
		        name_of(q, other_end(q)));
		return;
	}
	bindings_add(q->learned, "name", "%s", found.name);
	bindings_add(q->learned, "component", "%s", found.in_hosts ? "/etc/hosts" : "name resolution");
	if (found.in_hosts)
		hosts_bind(q, found.name);
	find_yes(f, dying(q), "%s takes the name %s for %s, which is %s%s%s", name_of(q, q->who), found.name,
	         ip_format(found.ip, ip), found.owner ? "the address of " : "not its address",
	         found.owner ? found.owner->agent : "", found.in_hosts ? " (hosts file)" : "");
}

static const struct evidence items[] = {
    {"odd-name", name_elsewhere, "name resolution, addresses of the fleet",
     "the machine takes its peer's name for an address the peer does not have"},
    {"zeroconf-address", zeroconf_address, "addresses", "the only IPv4 address of the machine is of 169.254.0.0/16"},
    {"prefix-wide", prefix_wide, "addresses, routes, neighbours, others",
     "the machine's prefix is so short that it looks for a peer of another network on its own link"},
    {"lost-or-astray", lost_or_astray, "cut, matrix, routes",
     "it is lost inside one of the two ends, or sent by a gateway although the two are on one link, or a router has no route to "
     "it"},
    {"sends-by-gateway", sends_by_gateway, "addresses, routes", "the machine sends to a peer on its own link by way of a gateway"},
    {"lost-behind", lost_behind, "cut", "it leaves the machine and dies before it comes to its peer's"},
    {"route-overlaps", route_overlaps, "addresses, routes",
     "another interface of the machine has an overlapping network, and the route to the peer leads there"},
    {"interface-renamed", interface_renamed, "links, history",
     "the machine's interface has another name than before, and has lost its addresses with it"},
    {"other-source", other_source, "matrix, addresses",
     "UDP alone is answered from another address than was asked, and it has several"},
    {"multicast-mac", multicast_mac, "links", "the hardware address of the machine's interface is a group address"},
};
const struct evidence_table evidence_config = {items, COUNT(items)};
