/* evidence_address: addresses, prefixes, routes and reverse-path filtering of the two ends. */
#include "collector/diagnose/inquiry.h"

#include <stdio.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* Facts of an end of the pair; says so when there are none. */
static const struct snapshot *end_facts(const struct inquiry *q, struct finding *f)
{
	const struct snapshot *s = party_facts(q->d, q->who);
	if (!s)
		find_unknown(f, "%s did not report its facts", name_of(q, q->who));
	return q->who == q->src || q->who == q->dst ? s : NULL;
}

static bool nic_works(const struct inquiry *q)
{
	const struct link *l = party_link(q->d, q->who);
	return l && l->up && l->carrier;
}

/* The nth usable address of that family on the probed interface. */
static const struct addr *addr_on(const struct snapshot *s, const struct link *l, int family, size_t n)
{
	for (size_t i = 0; l && i < s->addr_count; i++) {
		const struct addr *a = &s->addrs[i];
		if (a->link == l->index && a->prefix.ip.family == family && !(family == 6 && ip_is_link_local(a->prefix.ip)) &&
		    n-- == 0)
			return a;
	}
	return NULL;
}

/* ---- no address ---- */

static bool family_expected(const struct inquiry *q, int family)
{
	struct ip a = party_prefix(q->d, q->who, family).ip;
	return a.family && !(family == 6 && ip_is_link_local(a));
}

static bool has_no_address(const struct inquiry *q, const struct snapshot *s, int family)
{
	return family_expected(q, family) && !addr_on(s, party_link(q->d, q->who), family, 0);
}

/* Its address may be on another interface now: on a VLAN device, for example. There it has to go away. */
static const char *address_elsewhere(const struct inquiry *q, const struct snapshot *s, bool wanted, int family)
{
	struct ip own = party_prefix(q->d, q->who, family).ip;
	char text[PREFIX_TEXT_MAX];
	for (size_t i = 0; wanted && i < s->addr_count; i++) {
		const struct addr *a = &s->addrs[i];
		const struct link *l = ip_equal(a->prefix.ip, own) ? snapshot_link(s, a->link) : NULL;
		if (!l)
			continue;
		bindings_add(q->learned, "restore", "addr del %s dev %s", prefix_format(a->prefix, text), l->name);
		return l->name;
	}
	return NULL;
}

static void no_address(const struct inquiry *q, struct finding *f)
{
	const struct snapshot *s = end_facts(q, f);
	if (!s)
		return;
	if (!nic_works(q)) {
		find_no(f, "the interface of %s is not up", name_of(q, q->who));
		return;
	}
	bool v4 = has_no_address(q, s, 4), v6 = has_no_address(q, s, 6);
	kind_mask kinds = (v4 ? kinds_of_family(4) : 0) | (v6 ? kinds_of_family(6) : 0);
	if (!(kinds & dying(q))) {
		find_no(f, "%s:%s has an address", name_of(q, q->who), party_if(q->d, q->who));
		return;
	}
	const char *now4 = address_elsewhere(q, s, v4, 4), *now6 = address_elsewhere(q, s, v6, 6), *now = now4 ? now4 : now6;
	history_restore(q, (v4 ? 1 : 0) | (v6 ? 2 : 0));
	if (v6)
		history_restore_link_local(q);
	const char *was = bindings_get(q->learned, "was");
	find_yes(f, kinds, "%s:%s is up and has no %s address%s%s%s%s", name_of(q, q->who), party_if(q->d, q->who),
	         v4 && v6 ? "IPv4 nor IPv6"
	         : v4     ? "IPv4"
	                  : "IPv6",
	         was ? "; it had " : "", was ? was : "", now ? ", which is now on " : "", now ? now : "");
}

static void ipv6_off(const struct inquiry *q, struct finding *f)
{
	const struct snapshot *s = end_facts(q, f);
	char name[96];
	int64_t all = 0, own = 0;
	if (!s)
		return;
	snprintf(name, sizeof name, "net.ipv6.conf.%s.disable_ipv6", party_if(q->d, q->who));
	bool known = snapshot_sysctl(s, name, &own);
	known |= snapshot_sysctl(s, "net.ipv6.conf.all.disable_ipv6", &all);
	if (!known) {
		find_unknown(f, "%s did not say whether IPv6 is disabled", name_of(q, q->who));
	} else if (own == 1) {
		bindings_add(q->learned, "sysctls", "%s%s=0", all == 1 ? "net.ipv6.conf.all.disable_ipv6=0 " : "", name);
		history_restore(q, 2);
		find_yes(f, kinds_of_family(6), "%s has %s=1", name_of(q, q->who), name);
	} else {
		find_no(f, "IPv6 is not disabled on %s", name_of(q, q->who));
	}
}

/* ---- the wrong subnet ---- */

static bool was_in(const struct inquiry *q, struct prefix net)
{
	const struct party *p = &q->d->party[q->who];
	struct prefix last = net.ip.family == 4 ? p->ep_last.ip4 : p->ep_last.ip6, a;
	if (last.ip.family && prefix_contains(net, last.ip))
		return true;
	for (size_t i = p->change_count; i-- > 0;) {
		const struct fact_change *c = &p->changes[i];
		const char *dot = strncmp(c->key, "addr.", 5) == 0 ? strchr(c->key + 5, '.') : NULL;
		if (dot && c->was && prefix_parse(dot + 1, &a) == 0 && a.ip.family == net.ip.family && prefix_contains(net, a.ip))
			return true;
	}
	return false;
}

/* Without a history: several others on the segment have their address in `net`, and nobody shares the subnet of `mine`. */
static bool others_are_in(const struct inquiry *q, struct prefix net, struct prefix mine)
{
	size_t in = 0;
	for (size_t i = 0; i < q->d->owner_count; i++) {
		const struct owner *o = &q->d->owners[i];
		if (!o->same_segment || o->ip.ip.family != net.ip.family || strcmp(o->agent, name_of(q, q->who)) == 0 ||
		    strcmp(o->agent, name_of(q, other_end(q))) == 0)
			continue;
		if (prefix_contains(mine, o->ip.ip))
			return false;
		in += prefix_contains(net, o->ip.ip);
	}
	return in >= 2;
}

/* A gateway that is there makes a subnet of its own on the same wire. */
static bool gateway_is_there(const struct snapshot *s, struct prefix mine)
{
	for (size_t i = 0; i < s->route_count; i++) {
		const struct route *r = &s->routes[i];
		const struct neigh *n = r->dst.len == 0 && r->gateway.family ? snapshot_neigh(s, r->gateway, r->link) : NULL;
		if (n && prefix_contains(mine, r->gateway) && mac_is_set(n->mac) && !(n->state & (NEIGH_FAILED | NEIGH_INCOMPLETE)))
			return true;
	}
	return false;
}

static bool addr_is_new(const struct inquiry *q, const char *prefix)
{
	char key[96];
	snprintf(key, sizeof key, "addr.%s.%s", party_if(q->d, q->who), prefix);
	const struct fact_change *c = history_last(&q->d->party[q->who], key);
	return c && !c->was;
}

/* The newest of the addresses that were on its probed interface and are no more. */
static struct prefix lost_prefix(const struct inquiry *q)
{
	const struct party *p = &q->d->party[q->who];
	char on[64];
	snprintf(on, sizeof on, "addr.%s.", party_if(q->d, q->who));
	for (size_t i = p->change_count; i-- > 0;) {
		const struct fact_change *c = &p->changes[i];
		struct prefix a;
		bool lost = strncmp(c->key, on, strlen(on)) == 0 && c->was && !c->now && history_last(p, c->key) == c;
		if (lost && prefix_parse(c->key + strlen(on), &a) == 0 && a.ip.family == 4)
			return a;
	}
	return (struct prefix){0};
}

/* Of the peer when it stands on the same segment, else where the machine was before. */
static struct prefix segment_net(const struct inquiry *q)
{
	return q->d->onlink ? party_prefix(q->d, other_end(q), 4) : lost_prefix(q);
}

static bool belongs_elsewhere(const struct inquiry *q, const struct snapshot *s, struct prefix net, struct prefix mine)
{
	if (q->d->onlink && was_in(q, net))
		return false;
	return gateway_is_there(s, mine) || (q->d->onlink && !others_are_in(q, net, mine));
}

static void outside_subnet(const struct inquiry *q, struct finding *f)
{
	const struct snapshot *s = end_facts(q, f);
	struct prefix net = segment_net(q);
	char has[PREFIX_TEXT_MAX], want[PREFIX_TEXT_MAX];
	if (!s || !net.ip.family) {
		find_no(f, "%s has the address it had", name_of(q, q->who));
		return;
	}
	const struct addr *first = addr_on(s, party_link(q->d, q->who), 4, 0), *a;
	if (!first || !nic_works(q)) {
		find_no(f, "%s has no address at all there", name_of(q, q->who));
		return;
	}
	for (size_t n = 0; (a = addr_on(s, party_link(q->d, q->who), 4, n)); n++) {
		if (prefix_contains(net, a->prefix.ip)) {
			find_no(f, "the address of %s is in the subnet of its segment", name_of(q, q->who));
			return;
		}
	}
	if (belongs_elsewhere(q, s, net, first->prefix)) {
		find_no(f, "%s and %s are in different subnets, and were before", name_of(q, q->who), name_of(q, other_end(q)));
		return;
	}
	history_restore(q, 1);
	prefix_format(first->prefix, has);
	if (addr_is_new(q, has))
		bindings_add(q->learned, "restore", "addr del %s dev %s", has, party_if(q->d, q->who));
	find_yes(f, kinds_of_family(4), "%s:%s has %s, which is outside the segment's subnet %s", name_of(q, q->who),
	         party_if(q->d, q->who), has, prefix_format(prefix_network(net), want));
}

static void end_outside_subnet(const struct inquiry *q, struct finding *f)
{
	for (int end = 0; end < 2 && f->is != TRI_YES; end++) {
		struct bindings unused = {0};
		struct inquiry at = *q;
		at.who = end;
		at.learned = &unused;
		outside_subnet(&at, f);
		bindings_free(&unused);
	}
}

/* ---- prefix and gateway ---- */

/* The route towards the other end, with the source address that is used. NULL: none. */
static const struct route *way(const struct inquiry *q, const struct snapshot *s, int family)
{
	return snapshot_route(s, other_ip(q, family), party_prefix(q->d, q->who, family).ip);
}

static const struct addr *own_addr(const struct inquiry *q, const struct snapshot *s, int family)
{
	struct ip a = party_prefix(q->d, q->who, family).ip;
	const struct addr *have = a.family ? snapshot_addr_of(s, a) : NULL;
	return have && have->link && snapshot_link(s, have->link) ? have : NULL;
}

/* It came and went since all was well: nobody's state of old. */
static bool was_passing(const struct party *p, const char *key)
{
	for (size_t i = 0; i < p->change_count; i++) {
		if (strcmp(p->changes[i].key, key) == 0)
			return !p->changes[i].was;
	}
	return false;
}

/* The shorter prefix that this machine had with the same address. */
static bool prefix_before(const struct inquiry *q, int party, struct prefix now, struct prefix *out)
{
	const struct party *p = &q->d->party[party];
	*out = now.ip.family == 4 ? p->ep_last.ip4 : p->ep_last.ip6;
	if (ip_equal(out->ip, now.ip) && out->len < now.len)
		return true;
	for (size_t i = p->change_count; i-- > 0;) {
		const char *dot = strncmp(p->changes[i].key, "addr.", 5) == 0 ? strchr(p->changes[i].key + 5, '.') : NULL;
		if (dot && p->changes[i].was && prefix_parse(dot + 1, out) == 0 && ip_equal(out->ip, now.ip) &&
		    out->len < now.len && !was_passing(p, p->changes[i].key))
			return true;
	}
	return false;
}

static bool was_on_link(const struct inquiry *q, struct prefix now, struct ip peer)
{
	struct prefix was;
	return prefix_before(q, q->who, now, &was) && prefix_contains(was, peer);
}

/* The peer had us on its link. */
static bool was_on_peers_link(const struct inquiry *q, struct prefix theirs, struct ip mine)
{
	struct prefix was;
	return prefix_before(q, other_end(q), theirs, &was) && prefix_contains(was, mine);
}

/* The peer had the same address with a longer prefix: whom it takes for near since says nothing about us. */
static bool was_widened(const struct inquiry *q, struct prefix theirs)
{
	const struct party *p = &q->d->party[other_end(q)];
	struct prefix was;
	for (size_t i = p->change_count; i-- > 0;) {
		const struct fact_change *c = &p->changes[i];
		const char *dot = strncmp(c->key, "addr.", 5) == 0 ? strchr(c->key + 5, '.') : NULL;
		if (dot && c->was && !c->now && prefix_parse(dot + 1, &was) == 0 && ip_equal(was.ip, theirs.ip) &&
		    was.len > theirs.len)
			return true;
	}
	return false;
}

/* The peer sees us on its link or we saw it on ours before, and now we do not. */
static bool narrow(const struct inquiry *q, const struct snapshot *s, int family)
{
	const struct addr *a = own_addr(q, s, family);
	struct prefix theirs = party_prefix(q->d, other_end(q), family);
	if (!a || !theirs.ip.family || (family == 6 && ip_is_link_local(a->prefix.ip)))
		return false;
	bool near = theirs.len < a->prefix.len && prefix_contains(theirs, a->prefix.ip) && !was_widened(q, theirs);
	near |= was_on_link(q, a->prefix, theirs.ip) || was_on_peers_link(q, theirs, a->prefix.ip);
	return near && !prefix_contains(a->prefix, theirs.ip) && !way(q, s, family);
}

/* The prefix it had with the same address, else the length of the peer's, now or then. */
static struct prefix former_prefix(const struct inquiry *q, struct prefix now)
{
	struct prefix was, theirs = party_prefix(q->d, other_end(q), now.ip.family);
	if (prefix_before(q, q->who, now, &was))
		return was;
	if (theirs.len >= now.len && prefix_before(q, other_end(q), theirs, &was))
		theirs = was;
	return (struct prefix){now.ip, theirs.len};
}

void prefix_bind_shorter(const struct inquiry *q, struct prefix now)
{
	char a[PREFIX_TEXT_MAX], b[PREFIX_TEXT_MAX];
	bool v6 = now.ip.family == 6; /* an address stands there once, whatever its prefix */
	prefix_format(former_prefix(q, now), a);
	prefix_format(now, b);
	if (v6)
		bindings_add(q->learned, "restore", "addr del %s dev %s", b, party_if(q->d, q->who));
	bindings_add(q->learned, "restore", "addr add %s dev %s%s", a, party_if(q->d, q->who), v6 ? " nodad" : "");
	if (!v6)
		bindings_add(q->learned, "restore", "addr del %s dev %s", b, party_if(q->d, q->who));
}

static void prefix_narrow(const struct inquiry *q, struct finding *f)
{
	const struct snapshot *s = end_facts(q, f);
	char own[PREFIX_TEXT_MAX], peer[PREFIX_TEXT_MAX];
	if (!s)
		return;
	for (int family = 4; family <= 6; family += 2) {
		if (!narrow(q, s, family) || !(kinds_of_family(family) & dying(q)))
			continue;
		struct prefix now = own_addr(q, s, family)->prefix;
		kind_mask kinds = kinds_of_family(family) | (f->is == TRI_YES ? f->kinds : 0);
		prefix_bind_shorter(q, now);
		find_yes(f, kinds, "%s has %s: %s is not on its link, and it has no other route there", name_of(q, q->who),
		         prefix_format(now, own), prefix_format(party_prefix(q->d, other_end(q), family), peer));
	}
	if (f->is == TRI_YES)
		history_restore(q, 3);
	else
		find_no(f, "the prefix of %s covers its peer, or it has another route", name_of(q, q->who));
}

static bool off_link(const struct inquiry *q, int family)
{
	struct prefix mine = party_prefix(q->d, q->who, family), theirs = party_prefix(q->d, other_end(q), family);
	const struct party *p = &q->d->party[q->who];
	if (!ip_equal(theirs.ip, other_ip(q, family)))
		theirs = (struct prefix){other_ip(q, family), 32};
	struct prefix last = family == 4 ? p->ep_last.ip4 : p->ep_last.ip6;
	if (!mine.ip.family || !theirs.ip.family || ip_is_link_local(mine.ip) || ip_is_link_local(theirs.ip))
		return false;
	if ((last.ip.family && prefix_contains(last, theirs.ip)) || was_on_link(q, mine, theirs.ip) ||
	    was_on_peers_link(q, theirs, mine.ip))
		return false;
	return !prefix_contains(mine, theirs.ip) && !prefix_contains(theirs, mine.ip);
}

static void gateway_bind(const struct inquiry *q, int family)
{
	char route[320], ip[IP_TEXT_MAX];
	struct ip g;
	if (history_lost_route(q, party_if(q->d, q->who), other_ip(q, family), 0, route, sizeof route)) {
		bindings_add(q->learned, "restore", "%s", route);
		return;
	}
	g = gateway_of_others(q, family);
	if (g.family)
		bindings_add(q->learned, "restore", "%sroute replace default via %s dev %s", family == 6 ? "-6 " : "",
		             ip_format(g, ip), party_if(q->d, q->who));
}

/* A gateway that does not answer, and that was another one before or is another one at the others. */
static bool gateway_is_wrong(const struct inquiry *q, const struct snapshot *s, const struct route *r, int family)
{
	char route[320], ip[IP_TEXT_MAX + 8];
	const struct neigh *n = r->gateway.family ? snapshot_neigh(s, r->gateway, r->link) : NULL;
	if (!n || !(n->state & (NEIGH_FAILED | NEIGH_INCOMPLETE)))
		return false;
	struct ip others = gateway_of_others(q, family);
	if (others.family && !ip_equal(others, r->gateway))
		return true;
	char plain[IP_TEXT_MAX];
	snprintf(ip, sizeof ip, "via %s ", ip_format(r->gateway, plain));
	return history_lost_route(q, party_if(q->d, q->who), other_ip(q, family), 0, route, sizeof route) && !strstr(route, ip);
}

static void no_gateway(const struct inquiry *q, struct finding *f)
{
	const struct snapshot *s = end_facts(q, f);
	char peer[IP_TEXT_MAX], gw[IP_TEXT_MAX];
	if (!s)
		return;
	for (int family = 4; family <= 6; family += 2) {
		if (!off_link(q, family) || !own_addr(q, s, family) || !(kinds_of_family(family) & dying(q)) || !nic_works(q))
			continue;
		const struct route *r = way(q, s, family);
		kind_mask kinds = kinds_of_family(family) | (f->is == TRI_YES ? f->kinds : 0);
		ip_format(other_ip(q, family), peer);
		if (!r)
			find_yes(f, kinds, "%s has no route to %s: no default gateway", name_of(q, q->who), peer);
		else if (gateway_is_wrong(q, s, r, family))
			find_yes(f, kinds, "%s sends what is for %s to the gateway %s, which does not answer", name_of(q, q->who),
			         peer, ip_format(r->gateway, gw));
		else
			continue;
		gateway_bind(q, family);
	}
	if (f->is != TRI_YES)
		find_no(f, "%s has a route to its peer, or needs no gateway for it", name_of(q, q->who));
}

/* The newest route to `dst` that was taken away: was it the default route? */
static bool lost_default(const struct inquiry *q, struct ip dst, bool *found)
{
	const struct party *p = &q->d->party[q->who];
	*found = false;
	for (size_t i = p->change_count; i-- > 0;) {
		const struct fact_change *c = &p->changes[i];
		struct prefix to;
		bool family = strncmp(c->key, dst.family == 4 ? "route.4." : "route.6.", 8) == 0;
		if (!family || !c->was || c->now || history_last(p, c->key) != c)
			continue;
		bool is_default = strcmp(c->key + 8, "default") == 0;
		if (!is_default && (prefix_parse(c->key + 8, &to) < 0 || !prefix_contains(to, dst)))
			continue;
		*found = true;
		return is_default;
	}
	return false;
}

/* A host has routes of its own to the networks of guests; a guest may have had one besides its default route. */
static void end_lost_way(const struct inquiry *q, struct finding *f)
{
	const struct snapshot *s = end_facts(q, f);
	char peer[IP_TEXT_MAX], route[320];
	for (int family = 4; s && family <= 6; family += 2) {
		struct ip dst = other_ip(q, family);
		bool found, by_default = lost_default(q, dst, &found);
		bool host = q->d->party[q->who].kind == AGENT_HOST;
		if (!off_link(q, family) || !own_addr(q, s, family) || !(kinds_of_family(family) & dying(q)) || way(q, s, family))
			continue;
		if (found ? by_default : !host)
			continue;
		if (history_lost_route(q, party_if(q->d, q->who), dst, 0, route, sizeof route))
			bindings_add(q->learned, "restore", "%s", route);
		find_yes(f, (kinds_of_family(family) & ~kinds_of_proto(PROTO_NEIGH)) | (f->is == TRI_YES ? f->kinds : 0),
		         "%s has no route to %s%s", name_of(q, q->who), ip_format(dst, peer), found ? " any more" : "");
	}
	if (f->is != TRI_YES)
		find_no(f, "%s has a route to its peer, or lost its default route", name_of(q, q->who));
}

/* ---- routes that refuse, or lead elsewhere ---- */

static const char *refusal_name(uint8_t type)
{
	return type == ROUTE_BLACKHOLE     ? "blackhole"
	       : type == ROUTE_UNREACHABLE ? "unreachable"
	       : type == ROUTE_PROHIBIT    ? "prohibit"
	                                   : NULL;
}

static bool route_is_listed(const struct snapshot *s, const struct route *r)
{
	return s->route_count && r >= s->routes && r < s->routes + s->route_count;
}

/* The policy rule that refuses by itself. */
static const struct policy_rule *refusing_rule(const struct snapshot *s, struct ip dst, uint8_t action)
{
	for (size_t i = 0; i < s->rule_count; i++) {
		const struct policy_rule *r = &s->rules[i];
		if (r->action == action && (r->family == 0 || r->family == dst.family) &&
		    (!r->dst.ip.family || prefix_contains(r->dst, dst)))
			return r;
	}
	return NULL;
}

static void refusal_bind(const struct inquiry *q, const struct snapshot *s, const struct route *r, struct ip dst)
{
	char to[PREFIX_TEXT_MAX], table[24] = "", metric[24] = "";
	const char *six = dst.family == 6 ? "-6 " : "";
	if (!route_is_listed(s, r)) {
		const struct policy_rule *rule = refusing_rule(s, dst, r->type);
		if (rule)
			bindings_add(q->learned, "undo", "%srule del priority %u", six, rule->priority);
		return;
	}
	if (r->table != 254)
		snprintf(table, sizeof table, " table %u", r->table);
	if (r->metric && dst.family == 4)
		snprintf(metric, sizeof metric, " metric %u", r->metric);
	bindings_add(q->learned, "undo", "%sroute del %s %s%s%s", six, refusal_name(r->type),
	             r->dst.len ? prefix_format(r->dst, to) : "default", table, metric);
}

static void refusing_route(const struct inquiry *q, struct finding *f)
{
	const struct snapshot *s = end_facts(q, f);
	char peer[IP_TEXT_MAX];
	if (!s)
		return;
	for (int family = 4; family <= 6; family += 2) {
		struct ip dst = other_ip(q, family);
		const struct route *r = dst.family ? way(q, s, family) : NULL;
		if (!r || !refusal_name(r->type) || !(kinds_of_family(family) & dying(q)))
			continue;
		kind_mask kinds = (kinds_of_family(family) & ~kinds_of_proto(PROTO_NEIGH)) | (f->is == TRI_YES ? f->kinds : 0);
		refusal_bind(q, s, r, dst);
		find_yes(f, kinds, "%s has a %s route that covers %s", name_of(q, q->who), refusal_name(r->type),
		         ip_format(dst, peer));
	}
	if (f->is != TRI_YES)
		find_no(f, "%s has no blackhole, unreachable or prohibit route to its peer", name_of(q, q->who));
}

/* An ordinary route to a peer on our link that leaves by another interface than the probed one. */
static const struct route *diverted(const struct inquiry *q, const struct snapshot *s, int family)
{
	const struct link *l = party_link(q->d, q->who);
	struct prefix mine = party_prefix(q->d, q->who, family);
	struct ip dst = other_ip(q, family);
	if (!l || !mine.ip.family || !dst.family || snapshot_addr_of(s, dst))
		return NULL;
	const struct route *r = snapshot_route(s, dst, mine.ip);
	return r && !refusal_name(r->type) && r->link && r->link != l->index ? r : NULL;
}

static const char *if_of(const struct snapshot *s, const struct route *r)
{
	const struct link *l = snapshot_link(s, r->link);
	return l ? l->name : "?";
}

/* It was not there when all was well. */
static bool route_was_added(const struct inquiry *q, const struct route *r)
{
	char key[96], dst[PREFIX_TEXT_MAX];
	if (!r->dst.len || r->table != 254)
		return false;
	snprintf(key, sizeof key, "route.%d.%s", r->dst.ip.family, prefix_format(r->dst, dst));
	const struct fact_change *c = history_last(&q->d->party[q->who], key);
	return c && c->now && !c->was;
}

static void divert_bind(const struct inquiry *q, const struct snapshot *s, const struct route *r, int family)
{
	char to[PREFIX_TEXT_MAX], via[IP_TEXT_MAX];
	struct prefix mine = party_prefix(q->d, q->who, family);
	bool near = prefix_contains(mine, other_ip(q, family)) && r->dst.len > mine.len && r->table == 254;
	if (!near && !route_was_added(q, r))
		return; /* not on our link: where it should go nobody knows */
	bindings_add(q->learned, "undo", "%sroute del %s%s%s dev %s", family == 6 ? "-6 " : "", prefix_format(r->dst, to),
	             r->gateway.family ? " via " : "", r->gateway.family ? ip_format(r->gateway, via) : "", if_of(s, r));
}

static void route_elsewhere(const struct inquiry *q, struct finding *f)
{
	const struct snapshot *s = end_facts(q, f);
	char peer[IP_TEXT_MAX];
	if (!s)
		return;
	for (int family = 4; family <= 6; family += 2) {
		const struct route *r = diverted(q, s, family);
		if (!r || !(kinds_of_family(family) & dying(q)))
			continue;
		kind_mask kinds = kinds_of_family(family) | (f->is == TRI_YES ? f->kinds : 0);
		divert_bind(q, s, r, family);
		find_yes(f, kinds, "the route of %s to %s leaves by %s, not by %s", name_of(q, q->who),
		         ip_format(other_ip(q, family), peer), if_of(s, r), party_if(q->d, q->who));
	}
	if (f->is != TRI_YES)
		find_no(f, "the route of %s to %s leaves by %s", name_of(q, q->who), name_of(q, other_end(q)),
		        party_if(q->d, q->who));
}

/* ---- reverse-path filter ---- */

static bool rp_values(const struct inquiry *q, const struct snapshot *s, int64_t *all, int64_t *own)
{
	char name[96];
	snprintf(name, sizeof name, "net.ipv4.conf.%s.rp_filter", party_if(q->d, q->who));
	*all = *own = 0;
	return snapshot_sysctl(s, "net.ipv4.conf.all.rp_filter", all) && snapshot_sysctl(s, name, own);
}

/* What the two settings were before, when one of them was made strict lately. */
static bool rp_restore(const struct inquiry *q, char names[2][64])
{
	char key[160];
	bool changed = false;
	for (size_t i = 0; i < 2; i++) {
		snprintf(key, sizeof key, "sysctl.%s", names[i]);
		const struct fact_change *c = history_last(&q->d->party[q->who], key);
		if (!c || !c->was || !c->now || strcmp(c->now, "1"))
			continue;
		bindings_add(q->learned, "sysctl", "%s=%s", names[i], c->was);
		changed = true;
	}
	return changed;
}

static bool route_is_new(const struct inquiry *q, const struct route *r)
{
	char key[96], dst[PREFIX_TEXT_MAX];
	snprintf(key, sizeof key, "route.%d.%s", r->dst.ip.family, r->dst.len ? prefix_format(r->dst, dst) : "default");
	const struct fact_change *c = history_last(&q->d->party[q->who], key);
	return c && c->now && r->table == 254;
}

/* Whichever of the two was changed lately is undone: the filter or the route. When nobody knows, both; loose on this
 * interface is enough, since the kernel takes the larger one. */
static void rp_bind(const struct inquiry *q, const struct snapshot *s, const struct route *r)
{
	char names[2][64];
	snprintf(names[0], sizeof names[0], "net.ipv4.conf.all.rp_filter");
	snprintf(names[1], sizeof names[1], "net.ipv4.conf.%s.rp_filter", party_if(q->d, q->who));
	bool filter_new = rp_restore(q, names), route_new = route_is_new(q, r);
	if (route_new || !filter_new)
		divert_bind(q, s, r, 4);
	if (!filter_new && (!route_new || !bindings_get(q->learned, "undo")))
		bindings_add(q->learned, "sysctl", "%s=2", names[1]);
}

static void rp_filter(const struct inquiry *q, struct finding *f)
{
	const struct snapshot *s = end_facts(q, f);
	int64_t all, own;
	if (!s)
		return;
	if (!rp_values(q, s, &all, &own)) {
		find_unknown(f, "%s did not say its rp_filter", name_of(q, q->who));
		return;
	}
	if ((all > own ? all : own) != 1) {
		find_no(f, "reverse-path filtering is not strict on %s:%s", name_of(q, q->who), party_if(q->d, q->who));
		return;
	}
	const struct route *r = diverted(q, s, 4);
	char peer[IP_TEXT_MAX];
	if (!r) {
		find_no(f, "the reverse-path filter of %s is strict, but its route back is the right one", name_of(q, q->who));
		return;
	}
	rp_bind(q, s, r);
	find_yes(f, kinds_of_family(4), "reverse-path filtering is strict on %s:%s, and the route back to %s leaves by %s",
	         name_of(q, q->who), party_if(q->d, q->who), ip_format(other_ip(q, 4), peer), if_of(s, r));
}

static void rp_counter(const struct inquiry *q, struct finding *f)
{
	static const char *const names[] = {"TcpExt.IPReversePathFilter", "IpExt.InReversePathFilter"};
	const struct party *p = &q->d->party[q->who];
	int64_t was, now;
	for (size_t i = 0; p->before && p->after && i < COUNT(names); i++) {
		if (!snapshot_counter(p->before, names[i], &was) || !snapshot_counter(p->after, names[i], &now))
			continue;
		if (now > was)
			find_yes(f, ~0u, "%s counted %lld packets against its reverse-path filter meanwhile", name_of(q, q->who),
			         (long long)(now - was));
		else
			find_no(f, "the counter of the reverse-path filter of %s stood still", name_of(q, q->who));
		return;
	}
	find_unknown(f, "%s did not report its reverse-path counter", name_of(q, q->who));
}

/* ARP of the real address is not answered, that of 0.0.0.0 is. */
static void arp_cold_only(const struct inquiry *q, struct finding *f)
{
	int from = other_end(q);
	const struct flow *flow = flow_of(q->d, KIND_ARP, from == PARTY_A ? 0 : 1);
	const struct flow_sent *s = flow ? dossier_sent(q->d, flow->id) : NULL;
	if (!s || !(s->sent & ~(seqset)1))
		find_unknown(f, "ARP was not tried both ways");
	else if (s->answered & 1 && !(s->answered & ~(seqset)1))
		find_yes(f, ~0u, "%s answers ARP without a sender address, and not %s's", name_of(q, q->who), name_of(q, from));
	else
		find_no(f, "%s treats ARP requests alike, whoever asks", name_of(q, q->who));
}

static void echo_ignored(const struct inquiry *q, struct finding *f)
{
	static const struct {
		const char *name;
		int family;
	} knobs[] = {{"net.ipv4.icmp_echo_ignore_all", 4}, {"net.ipv6.icmp.echo_ignore_all", 6}};
	const struct snapshot *s = end_facts(q, f);
	bool known = false;
	kind_mask kinds = 0;
	char names[128] = "";
	for (size_t i = 0; s && i < COUNT(knobs); i++) {
		int64_t v = 0;
		known |= snapshot_sysctl(s, knobs[i].name, &v);
		if (v != 1 || !(dying(q) & kinds_of_family(knobs[i].family) & kinds_of_proto(PROTO_ICMP)))
			continue;
		kinds |= kinds_of_family(knobs[i].family) & kinds_of_proto(PROTO_ICMP);
		bindings_add(q->learned, "sysctl", "%s=0", knobs[i].name);
		snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s=1", names[0] ? ", " : "", knobs[i].name);
	}
	if (kinds)
		find_yes(f, kinds, "%s is told not to answer echo requests: %s", name_of(q, q->who), names);
	else if (s && !known)
		find_unknown(f, "%s did not say whether it ignores echo requests", name_of(q, q->who));
	else if (s)
		find_no(f, "%s is not told to ignore echo requests", name_of(q, q->who));
}

static const struct evidence items[] = {
    {"no-address", no_address, "addresses, links", "the machine's interface is up and has no address"},
    {"ipv6-off", ipv6_off, "sysctl", "IPv6 is disabled on the machine's interface"},
    {"outside-subnet", outside_subnet, "addresses, history, others", "the machine's address is outside the subnet of its segment"},
    {"end-outside-subnet", end_outside_subnet, "addresses, history, others",
     "the address of one of the two ends is outside the subnet of its segment"},
    {"prefix-narrow", prefix_narrow, "addresses, routes",
     "the machine's prefix is so long that its peer looks off-link, and there is no other route"},
    {"no-gateway", no_gateway, "routes, neighbours, history",
     "the peer is off-link, and the machine has no default route or a wrong one"},
    {"end-lost-way", end_lost_way, "routes, history",
     "this end has no route to the other's network, and it is not for want of a default route"},
    {"refusing-route", refusing_route, "routes, rules", "a blackhole, unreachable or prohibit route or rule covers the peer"},
    {"route-elsewhere", route_elsewhere, "routes, rules", "the machine's route to the peer leaves by another interface"},
    {"rp-filter-strict", rp_filter, "sysctl, routes",
     "reverse-path filtering is strict and the route back leaves by another interface"},
    {"rp-counter-grew", rp_counter, "counters", "the kernel counted packets against the reverse-path filter while the round ran"},
    {"arp-cold-only", arp_cold_only, "ARP probes", "ARP is answered without a sender address and not with the peer's own"},
    {"echo-ignored", echo_ignored, "sysctl", "the kernel is told not to answer echo requests"},
};
const struct evidence_table evidence_address = {items, COUNT(items)};
