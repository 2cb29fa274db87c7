/* history: what a machine had before somebody changed it, as commands that bring it back. */
#include "collector/diagnose/inquiry.h"

#include <stdio.h>
#include <string.h>

const struct fact_change *history_last(const struct party *p, const char *key)
{
	for (size_t i = p->change_count; i-- > 0;) {
		if (strcmp(p->changes[i].key, key) == 0)
			return &p->changes[i];
	}
	return NULL;
}

/* ---- addresses ---- */

static bool addr_present(const struct snapshot *s, const char *ifname, struct prefix a)
{
	const struct link *l = snapshot_link_named(s, ifname);
	for (size_t i = 0; l && i < s->addr_count; i++) {
		const struct addr *have = &s->addrs[i];
		if (have->link == l->index && have->prefix.len == a.len && ip_equal(have->prefix.ip, a.ip))
			return true;
	}
	return false;
}

static bool prefix_usable(struct prefix a, int family) { return a.ip.family == family && !ip_is_link_local(a.ip); }

/* "addr.IF.PREFIX" of this interface and family */
static bool change_is_addr(const struct fact_change *c, const char *ifname, int family, struct prefix *out)
{
	size_t len = strlen(ifname);
	if (strncmp(c->key, "addr.", 5) || strncmp(c->key + 5, ifname, len) || c->key[5 + len] != '.')
		return false;
	return prefix_parse(c->key + 6 + len, out) == 0 && prefix_usable(*out, family);
}

/* The address of that family which the machine had on that interface and has no more. */
static bool addr_lost(const struct inquiry *q, const char *ifname, int family, struct prefix *out)
{
	const struct party *p = &q->d->party[q->who];
	const struct snapshot *s = party_facts(q->d, q->who);
	*out = family == 4 ? p->ep_last.ip4 : p->ep_last.ip6;
	if (strcmp(ifname, party_if(q->d, q->who)) == 0 && prefix_usable(*out, family) && !addr_present(s, ifname, *out))
		return true;
	for (size_t i = p->change_count; i-- > 0;) {
		if (p->changes[i].was && !p->changes[i].now && change_is_addr(&p->changes[i], ifname, family, out))
			return !addr_present(s, ifname, *out);
	}
	return false;
}

static void restore_addr(const struct inquiry *q, const char *ifname, int family)
{
	struct prefix a;
	char text[PREFIX_TEXT_MAX];
	if (!addr_lost(q, ifname, family, &a))
		return;
	const char *nodad = family == 6 ? " nodad" : ""; /* it was this machine's a moment ago */
	bindings_add(q->learned, "restore", "addr add %s dev %s%s", prefix_format(a, text), ifname, nodad);
	bindings_add(q->learned, "was", "%s", text);
}

void history_restore_link_local(const struct inquiry *q)
{
	const struct party *p = &q->d->party[q->who];
	const struct snapshot *s = party_facts(q->d, q->who);
	const char *ifname = party_if(q->d, q->who);
	char text[PREFIX_TEXT_MAX];
	size_t len = strlen(ifname);
	for (size_t i = p->change_count; s && i-- > 0;) {
		const struct fact_change *c = &p->changes[i];
		struct prefix a;
		if (strncmp(c->key, "addr.", 5) || strncmp(c->key + 5, ifname, len) || c->key[5 + len] != '.' ||
		    prefix_parse(c->key + 6 + len, &a) < 0 || !ip_is_link_local(a.ip) || a.ip.family != 6)
			continue;
		if (c->was && !c->now && !addr_present(s, ifname, a)) /* replace: the kernel may have made it by then */
			bindings_add(q->learned, "restore", "addr replace %s dev %s nodad", prefix_format(a, text), ifname);
		return;
	}
}

/* ---- routes ---- */

static bool route_present(const struct snapshot *s, struct prefix dst)
{
	for (size_t i = 0; i < s->route_count; i++) {
		const struct route *r = &s->routes[i];
		if (r->table == 254 && r->dst.len == dst.len && ip_equal(r->dst.ip, dst.ip))
			return true;
	}
	return false;
}

/* On link: those that come with an address have its source (IPv4), or are of a whole subnet (IPv6). */
static bool is_made_by_hand(const char *route, struct prefix dst)
{
	if (strncmp(route, "unicast via ", 12) == 0)
		return strncmp(route, "unicast via fe80:", 17) != 0;
	return strncmp(route, "unicast dev ", 12) == 0 && (dst.ip.family == 4 ? !strstr(route, " src ") : dst.len == 128);
}

/* Copies the first of several routes' values without its type: "via 10.0.0.1 dev eth0". False: not one that can be given back. */
static bool route_arguments(const char *value, struct prefix dst, const char *ifname, char *out, size_t size)
{
	char first[256], dev[IFNAME_LEN + 8];
	snprintf(first, sizeof first, "%.*s", (int)strcspn(value, ";"), value);
	snprintf(dev, sizeof dev, " dev %s", ifname);
	const char *at = strstr(first, dev);
	if (!is_made_by_hand(first, dst) || !at)
		return false;
	if (at[strlen(dev)] != '\0' && at[strlen(dev)] != ' ')
		return false;
	snprintf(out, size, "%s", first + strlen("unicast "));
	return true;
}

/* A gateway outside the machine's own subnet (169.254.1.1 for an address with /32) had a route of its own, which is gone as well.
 */
static bool gateway_is_apart(const struct inquiry *q, const char *args)
{
	const struct endpoint *e = &q->d->party[q->who].ep_last;
	char text[IP_TEXT_MAX];
	struct ip gateway;
	if (strncmp(args, "via ", 4) != 0)
		return false;
	snprintf(text, sizeof text, "%.*s", (int)strcspn(args + strlen("via "), " "), args + strlen("via "));
	if (ip_parse(text, &gateway) < 0)
		return false;
	struct prefix own = gateway.family == 6 ? e->ip6 : e->ip4;
	return own.ip.family && !prefix_contains(own, gateway);
}

static void restore_route(const struct inquiry *q, const char *ifname, const struct fact_change *c, int families)
{
	struct prefix dst;
	char args[256];
	if (!c->was || !fact_is_route(c->key, &dst) || !(families & (dst.ip.family == 4 ? 1 : 2)))
		return;
	if (history_last(&q->d->party[q->who], c->key) != c || route_present(party_facts(q->d, q->who), dst))
		return;
	if (route_arguments(c->was, dst, ifname, args, sizeof args))
		bindings_add(q->learned, "restore", "%sroute replace %s %s%s", dst.ip.family == 6 ? "-6 " : "", c->key + 8, args,
		             gateway_is_apart(q, args) ? " onlink" : "");
}

void history_restore(const struct inquiry *q, int families) { history_restore_on(q, party_if(q->d, q->who), families); }

void history_restore_on(const struct inquiry *q, const char *ifname, int families)
{
	const struct party *p = &q->d->party[q->who];
	if (!party_facts(q->d, q->who))
		return;
	if (families & 1)
		restore_addr(q, ifname, 4);
	if (families & 2)
		restore_addr(q, ifname, 6);
	for (size_t i = 0; i < p->change_count; i++) {
		if (!p->changes[i].now)
			restore_route(q, ifname, &p->changes[i], families);
	}
}

bool history_lost_route(const struct inquiry *q, const char *ifname, struct ip dst, uint8_t longer, char *out, size_t size)
{
	const struct party *p = &q->d->party[q->who];
	struct prefix to;
	char args[256];
	for (size_t i = p->change_count; i-- > 0;) {
		const struct fact_change *c = &p->changes[i];
		if (!c->was || !fact_is_route(c->key, &to) || to.ip.family != dst.family || !prefix_contains(to, dst) ||
		    to.len < longer)
			continue;
		if (!route_arguments(c->was, to, ifname, args, sizeof args) || (c->now && strcmp(c->now, c->was) == 0))
			continue;
		snprintf(out, size, "%sroute replace %s %s", dst.family == 6 ? "-6 " : "", c->key + 8, args);
		return true;
	}
	return false;
}

/* ---- what others use ---- */

static struct ip default_gateway(const struct snapshot *s, struct prefix net)
{
	for (size_t i = 0; i < s->route_count; i++) {
		const struct route *r = &s->routes[i];
		if (r->dst.len == 0 && r->dst.ip.family == net.ip.family && r->gateway.family && prefix_contains(net, r->gateway))
			return r->gateway;
	}
	return (struct ip){0};
}

/* A host that forwards and owns an address of this subnet on the bridge of `who` is its router. */
static struct ip gateway_is_host(const struct inquiry *q, struct prefix mine)
{
	const struct party *p = &q->d->party[q->who];
	const struct snapshot *s = party_facts(q->d, dossier_host(q->d, q->who));
	const struct link *bridge = s && p->kind == AGENT_GUEST ? snapshot_link_named(s, p->at.bridge) : NULL;
	const char *name = mine.ip.family == 4 ? "net.ipv4.ip_forward" : "net.ipv6.conf.all.forwarding";
	int64_t forwards = 0;
	if (!bridge || !snapshot_sysctl(s, name, &forwards) || !forwards)
		return (struct ip){0};
	for (size_t i = 0; i < s->addr_count; i++) {
		if (s->addrs[i].link == bridge->index && prefix_same_net(s->addrs[i].prefix, mine))
			return s->addrs[i].prefix.ip;
	}
	return (struct ip){0};
}

/* Addresses of different tenants overlap: only what this tenant's own machines use says anything. */
struct ip gateway_of_others(const struct inquiry *q, int family)
{
	const struct party *p = &q->d->party[q->who];
	struct prefix mine = party_prefix(q->d, q->who, family);
	if (!mine.ip.family)
		return (struct ip){0};
	for (size_t i = 0; i < q->d->party_count; i++) {
		const struct snapshot *s = party_facts(q->d, (int)i);
		if (!s || (int)i == q->who || q->d->party[i].kind != p->kind || strcmp(q->d->party[i].tenant, p->tenant))
			continue;
		struct ip g = default_gateway(s, mine);
		if (g.family && !snapshot_addr_of(s, g))
			return g;
	}
	return gateway_is_host(q, mine);
}
