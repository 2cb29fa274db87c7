/* Checks of addresses and routes: what a machine would do with packets that nobody has sent yet. */
#include "collector/lint_parts.h"

#include <stdio.h>
#include <string.h>

#define RP_STRICT  1
#define TABLE_MAIN 254

static bool is_default(const struct route *r) { return r->type == ROUTE_UNICAST && r->dst.len == 0; }

/* ---- reverse path filter ---- */

/* Some address of the prefix that is not its own. */
static struct ip neighbour_in(struct prefix p)
{
	struct ip ip = p.ip;
	ip.b[ip.family == 4 ? 3 : 15] ^= 1;
	return ip;
}

static void rp_filter_on(struct lint *l, const struct lint_check *check, const struct member *m, const struct addr *a)
{
	const struct snapshot *s = m->snapshot;
	const struct link *in = snapshot_link(s, a->link), *out;
	int64_t strict;
	if (!in || in->loopback || !in->up || a->prefix.ip.family != 4 || a->prefix.len > 30 ||
	    !lint_conf(s, "net.ipv4.conf.%s.rp_filter", in->name, &strict) || strict != RP_STRICT)
		return;
	const struct route *back = snapshot_route(s, neighbour_in(a->prefix), a->prefix.ip);
	if (!back || back->type != ROUTE_UNICAST || back->link == a->link || !(out = snapshot_link(s, back->link)))
		return;
	struct finding *f = lint_add(l, check, m, in->name);
	if (!f)
		return;
	finding_say(f, "%s would drop what comes from %s by %s: its way back leads by %s, and its reverse path filter is strict.",
	            "%s 会丢弃从 %s 经 %s 进入的报文：回程走 %s，而反向路径过滤为严格模式。", lint_name(l, m),
	            lint_prefix(prefix_network(a->prefix)), in->name, out->name);
	finding_evidence(f, "net.ipv4.conf.%s.rp_filter = %lld (the larger of it and of all)", in->name, (long long)strict);
	finding_evidence(f, "route to %s by %s", lint_prefix(prefix_network(a->prefix)), out->name);
	finding_fix(f, m, "sysctl -w net.ipv4.conf.%s.rp_filter=2", in->name);
}

static void rp_filter_asymmetric(struct lint *l, const struct lint_check *check)
{
	const struct member *m;
	for (size_t at = 0; (m = lint_next(l, &at));)
		for (size_t i = 0; i < m->snapshot->addr_count; i++)
			rp_filter_on(l, check, m, &m->snapshot->addrs[i]);
}

/* ---- several interfaces in one network ---- */

static const struct link *nic_of(const struct snapshot *s, const struct addr *a)
{
	const struct link *l = a->prefix.ip.family == 4 && a->prefix.len < 31 ? snapshot_link(s, a->link) : NULL;
	return l && l->up && !l->noarp && !l->loopback && !l->master ? l : NULL;
}

static bool is_beside(const struct link *a, const struct link *b)
{
	return a != b && a->index != b->parent && b->index != a->parent && !mac_equal(a->mac, b->mac);
}

static void flux_of(struct lint *l, const struct lint_check *check, const struct member *m, const struct addr *a,
                    const struct addr *b)
{
	const struct snapshot *s = m->snapshot;
	const struct link *one = nic_of(s, a), *two = nic_of(s, b);
	int64_t ignore;
	if (!one || !two || !is_beside(one, two) ||
	    !(prefix_contains(a->prefix, b->prefix.ip) || prefix_contains(b->prefix, a->prefix.ip)) ||
	    !lint_conf(s, "net.ipv4.conf.%s.arp_ignore", two->name, &ignore) || ignore)
		return;
	struct finding *f = lint_add(l, check, m, two->name);
	if (!f)
		return;
	finding_say(f,
	            "%s has %s and %s in one network: each of them answers ARP for the other's address, and packets come in where "
	            "they are not expected.",
	            "%s 的 %s 与 %s 在同一网段：每块网卡都会应答对方地址的 ARP，报文会从意料之外的网卡进入。", lint_name(l, m),
	            one->name, two->name);
	finding_evidence(f, "%s: %s", one->name, lint_prefix(a->prefix));
	finding_evidence(f, "%s: %s", two->name, lint_prefix(b->prefix));
	finding_evidence(f, "net.ipv4.conf.%s.arp_ignore = 0 (the larger of it and of all)", two->name);
	finding_fix(f, m, "sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2");
}

static void arp_flux(struct lint *l, const struct lint_check *check)
{
	const struct member *m;
	for (size_t at = 0; (m = lint_next(l, &at));)
		for (size_t i = 0; i < m->snapshot->addr_count; i++)
			for (size_t k = i + 1; k < m->snapshot->addr_count; k++)
				flux_of(l, check, m, &m->snapshot->addrs[i], &m->snapshot->addrs[k]);
}

/* ---- gateways ---- */

static bool is_on_link(const struct snapshot *s, struct ip gateway, uint32_t link)
{
	for (size_t i = 0; i < s->addr_count; i++)
		if (s->addrs[i].link == link && prefix_contains(s->addrs[i].prefix, gateway))
			return true;
	for (size_t i = 0; i < s->route_count; i++)
		if (s->routes[i].link == link && !s->routes[i].gateway.family && s->routes[i].dst.len &&
		    s->routes[i].type == ROUTE_UNICAST && prefix_contains(s->routes[i].dst, gateway))
			return true;
	return false;
}

/* Clouds give single addresses and a gateway beside them. */
static bool has_network(const struct snapshot *s, int family, uint32_t link)
{
	for (size_t i = 0; i < s->addr_count; i++) {
		const struct prefix *p = &s->addrs[i].prefix;
		if (s->addrs[i].link == link && p->ip.family == family && p->len < (family == 4 ? 32 : 128) &&
		    !ip_is_link_local(p->ip))
			return true;
	}
	return false;
}

static void gateway_check(struct lint *l, const struct lint_check *check, const struct member *m, const struct route *r)
{
	const struct link *link = snapshot_link(m->snapshot, r->link);
	if (!is_default(r) || !r->gateway.family || !link || ip_is_link_local(r->gateway) ||
	    is_on_link(m->snapshot, r->gateway, r->link) || !has_network(m->snapshot, r->gateway.family, r->link))
		return;
	struct finding *f = lint_add(l, check, m, link->name);
	if (!f)
		return;
	finding_say(
	    f, "The default gateway %s of %s is in none of the networks at %s: it is found only if somebody there answers for it.",
	    "默认网关 %s（%s）不在接口 %s 的任何网段内：只有当有人代答时才能解析。", lint_ip(r->gateway), lint_name(l, m),
	    link->name);
	finding_evidence(f, "default via %s dev %s", lint_ip(r->gateway), link->name);
	for (size_t i = 0; i < m->snapshot->addr_count; i++)
		if (m->snapshot->addrs[i].link == r->link && m->snapshot->addrs[i].prefix.ip.family == r->gateway.family &&
		    !ip_is_link_local(m->snapshot->addrs[i].prefix.ip))
			finding_evidence(f, "%s: %s", link->name, lint_prefix(m->snapshot->addrs[i].prefix));
	finding_fix(f, m, "ip -%d route del default via %s dev %s", r->gateway.family, lint_ip(r->gateway), link->name);
}

static void gateway_outside(struct lint *l, const struct lint_check *check)
{
	const struct member *m;
	for (size_t at = 0; (m = lint_next(l, &at));)
		for (size_t i = 0; i < m->snapshot->route_count; i++)
			gateway_check(l, check, m, &m->snapshot->routes[i]);
}

/* Two of one metric: which of them is taken is a matter of luck. One route with several next hops is meant so. */
static bool are_rivals(const struct route *a, const struct route *b)
{
	return is_default(a) && is_default(b) && a->dst.ip.family == b->dst.ip.family && a->table == b->table &&
	       a->metric == b->metric && a->hops < 2 && b->hops < 2 && a->gateway.family && b->gateway.family &&
	       !ip_is_link_local(a->gateway) && (!ip_equal(a->gateway, b->gateway) || a->link != b->link);
}

static void rivals_tell(struct lint *l, const struct lint_check *check, const struct member *m, const struct route *a,
                        const struct route *b)
{
	const struct link *la = snapshot_link(m->snapshot, a->link), *lb = snapshot_link(m->snapshot, b->link);
	struct finding *f =
	    la && lb ? lint_add(l, check, m, a->dst.ip.family == 4 ? "default route" : "default route, IPv6") : NULL;
	if (!f)
		return;
	finding_say(f, "%s has two default routes of the same rank, by %s and by %s: which one is taken is a matter of luck.",
	            "%s 有两条优先级相同的默认路由（%s 与 %s）：走哪条全凭运气。", lint_name(l, m), lint_ip(a->gateway),
	            lint_ip(b->gateway));
	finding_evidence(f, "default via %s dev %s metric %u", lint_ip(a->gateway), la->name, a->metric);
	finding_evidence(f, "default via %s dev %s metric %u", lint_ip(b->gateway), lb->name, b->metric);
	finding_fix(f, m, "ip -%d route del default via %s dev %s", b->gateway.family, lint_ip(b->gateway), lb->name);
}

static void duplicate_default(struct lint *l, const struct lint_check *check)
{
	const struct member *m;
	for (size_t at = 0; (m = lint_next(l, &at));) {
		const struct snapshot *s = m->snapshot;
		for (size_t i = 0; i < s->route_count; i++)
			for (size_t k = i + 1; is_default(&s->routes[i]) && k < s->route_count; k++)
				if (are_rivals(&s->routes[i], &s->routes[k]))
					rivals_tell(l, check, m, &s->routes[i], &s->routes[k]);
	}
}

/* ---- routers ---- */

static bool owns(const struct member *m, struct ip ip) { return ip.family && snapshot_addr_of(m->snapshot, ip); }

static void router_check(struct lint *l, const struct lint_check *check, const struct member *user, const struct member *router)
{
	const struct snapshot *s = user->snapshot;
	for (size_t i = 0; i < s->route_count; i++) {
		const struct route *r = &s->routes[i];
		const char *name = r->gateway.family == 4 ? "net.ipv4.ip_forward" : "net.ipv6.conf.all.forwarding";
		int64_t on;
		if (r->type != ROUTE_UNICAST || !owns(router, r->gateway) || !snapshot_sysctl(router->snapshot, name, &on) || on)
			continue;
		struct finding *f = lint_add(l, check, router, name);
		if (!f)
			return;
		f->other = user;
		finding_say(f, "%s is the router of %s (%s by %s), but does not forward.",
		            "%s 是 %s 的路由器（%s 经 %s），但未开启转发。", lint_name(l, router), lint_name(l, user),
		            r->dst.len ? lint_prefix(r->dst) : "default", lint_ip(r->gateway));
		finding_evidence(f, "%s = 0", name);
		finding_fix(f, router, "sysctl -w %s=1", name);
		return;
	}
}

/* Addresses alone do not tell who is meant where tenants have the same ones: only watched pairs can be each other's routers. */
static void router_not_forwarding(struct lint *l, const struct lint_check *check)
{
	struct lint_pair p;
	for (uint32_t at = 0; lint_next_pair(l, &at, &p);) {
		if (!p.pair->onlink)
			continue;
		router_check(l, check, p.end[0], p.end[1]);
		router_check(l, check, p.end[1], p.end[0]);
	}
}

const struct lint_check LINT_ROUTES[] = {
    {"rp-filter-asymmetric",
     LINT_WARNING,
     rp_filter_asymmetric,
     "rp_filter, addresses, routes",
     {"The reverse path filter does not fit the routes", "反向路径过滤与路由不符"},
     {"Strict rp_filter at an interface whose own network is reached by another one.",
      "接口为严格 rp_filter，而其自身网段的路由走另一接口。"},
     "RFC 3704, Linux Documentation/networking/ip-sysctl.rst"},
    {"arp-flux",
     LINT_WARNING,
     arp_flux,
     "addresses, arp_ignore",
     {"Two interfaces in one network answer ARP for each other", "同一网段的两块网卡互相应答 ARP"},
     {"A machine has two interfaces with addresses of one network, and arp_ignore is 0.",
      "机器的两块网卡地址属于同一网段，而 arp_ignore 为 0。"},
     "Linux Documentation/networking/ip-sysctl.rst, arp_ignore"},
    {"gateway-outside-subnet",
     LINT_WARNING,
     gateway_outside,
     "routes, addresses",
     {"The default gateway is outside of the subnet", "默认网关不在本网段"},
     {"The default gateway is in no network of its interface.", "默认网关不属于其接口的任何网段。"},
     "ip-route(8), onlink"},
    {"duplicate-default-route",
     LINT_WARNING,
     duplicate_default,
     "routes",
     {"Two default routes of the same rank", "两条同优先级默认路由"},
     {"Two default routes of one table have the same metric and different gateways.",
      "同一路由表中两条默认路由 metric 相同而网关不同。"},
     "ip-route(8)"},
    {"router-not-forwarding",
     LINT_SERIOUS,
     router_not_forwarding,
     "routes, addresses, ip_forward",
     {"A router does not forward", "路由器未开启转发"},
     {"A machine is another one's gateway, and forwarding is off.", "某机器是另一机器的网关，但转发未开启。"},
     "RFC 1812 section 2.2.1, Linux Documentation/networking/ip-sysctl.rst"},
};
const size_t LINT_ROUTES_COUNT = sizeof LINT_ROUTES / sizeof *LINT_ROUTES;
