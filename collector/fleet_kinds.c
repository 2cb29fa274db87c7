/* fleet_kinds: what can be probed between two places at all, and who owns which address. */
#include "collector/fleet_priv.h"

#include "proto/base/mem.h"

#include <stdio.h>
#include <string.h>

#define WHY_MAX 192

/* ---- kinds ---- */

struct leg { /* one direction between two places */
	const struct member *from, *to;
	const struct endpoint *ep_from, *ep_to;
	bool onlink;
};

/* Each returns true and says why the kind cannot be. */
typedef bool obstacle_fn(const struct leg *l, const struct kind_info *k, char why[static WHY_MAX]);

static const struct prefix *family_of(const struct endpoint *e, int family) { return family == 4 ? &e->ip4 : &e->ip6; }

static bool no_address(const struct member *m, const struct endpoint *e, int family, char why[static WHY_MAX])
{
	if (family_of(e, family)->ip.family)
		return false;
	snprintf(why, WHY_MAX, "no IPv%d address of %s on %s", family, m->name, e->ifname);
	return true;
}

static bool no_segment(const struct leg *l, const struct kind_info *k, char why[static WHY_MAX])
{
	if (k->proto != PROTO_NEIGH || l->onlink)
		return false;
	snprintf(why, WHY_MAX, "the two are not known to be on one segment");
	return true;
}

static bool no_target(const struct leg *l, const struct kind_info *k, char why[static WHY_MAX])
{
	return no_address(l->to, l->ep_to, k->family, why);
}

/* An ARP probe needs no address of the sender's own (RFC 5227, section 2.1.1). */
static bool no_source(const struct leg *l, const struct kind_info *k, char why[static WHY_MAX])
{
	bool arp = k->proto == PROTO_NEIGH && k->family == 4;
	return !arp && no_address(l->from, l->ep_from, k->family, why);
}

static bool no_common_scope(const struct leg *l, const struct kind_info *k, char why[static WHY_MAX])
{
	if (k->family != 6 || k->proto == PROTO_NEIGH)
		return false;
	bool from_local = ip_is_link_local(l->ep_from->ip6.ip), to_local = ip_is_link_local(l->ep_to->ip6.ip);
	if (from_local == to_local && (!from_local || l->onlink))
		return false;
	const struct member *m = from_local ? l->from : l->to;
	snprintf(why, WHY_MAX, "%s has only a link-local IPv6 address on %s", m->name,
	         from_local ? l->ep_from->ifname : l->ep_to->ifname);
	return true;
}

static bool no_right(const struct leg *l, const struct kind_info *k, char why[static WHY_MAX])
{
	bool frames = k->proto == PROTO_NEIGH;
	uint32_t any_of = frames ? RIGHT_RAW : RIGHT_RAW | RIGHT_ECHO;
	if ((!frames && k->proto != PROTO_ICMP) || l->from->hello.rights & any_of)
		return false;
	snprintf(why, WHY_MAX, "the agent of %s may not send %s", l->from->name, frames ? "raw frames" : "echo requests");
	return true;
}

static bool no_port(const struct leg *l, const struct kind_info *k, char why[static WHY_MAX])
{
	if ((k->proto != PROTO_UDP && k->proto != PROTO_TCP) || l->to->hello.probe_port)
		return false;
	snprintf(why, WHY_MAX, "the agent of %s has no probe port", l->to->name);
	return true;
}

/* It had a way there until lately: to lose it is a fault, and does not mean that the two have nothing to say to each other. */
static bool was_routed(const struct member *from, struct ip to)
{
	struct prefix dst;
	for (size_t i = 0; i < from->change_count; i++) {
		const struct fact_change *c = &from->changes[i];
		if (c->was && strncmp(c->was, "unicast via ", 12) == 0 && fact_is_route(c->key, &dst) && prefix_contains(dst, to))
			return true;
	}
	return false;
}

static bool routed(const struct member *from, const struct prefix *own, struct ip to)
{
	return !from->snapshot || prefix_contains(*own, to) || snapshot_route(from->snapshot, to, own->ip) || was_routed(from, to);
}

/* Where neither end has, or was given, a way to the other, nobody meant them to talk. One that has none is a fault. */
static bool no_route(const struct leg *l, const struct kind_info *k, char why[static WHY_MAX])
{
	if (k->proto == PROTO_NEIGH || l->onlink)
		return false;
	const struct prefix *from = family_of(l->ep_from, k->family), *to = family_of(l->ep_to, k->family);
	if (routed(l->from, from, to->ip) || routed(l->to, to, from->ip))
		return false;
	snprintf(why, WHY_MAX, "neither of the two has an IPv%d route to the other", k->family);
	return true;
}

static obstacle_fn *const obstacles[] = {no_target, no_source, no_common_scope, no_segment, no_right, no_port, no_route};

static bool kind_possible(const struct leg *l, enum kind kind, char why[static WHY_MAX])
{
	for (size_t i = 0; i < sizeof(obstacles) / sizeof(obstacles[0]); i++)
		if (obstacles[i](l, kind_info(kind), why))
			return false;
	return true;
}

kind_mask fleet_kinds(const struct member *from, const struct endpoint *ep_from, const struct member *to,
                      const struct endpoint *ep_to, bool onlink, const char *why[KIND_COUNT])
{
	static _Thread_local char texts[KIND_COUNT][WHY_MAX];
	const struct leg leg = {from, to, ep_from, ep_to, onlink};
	kind_mask kinds = 0;
	for (enum kind k = 0; k < KIND_COUNT; k++) {
		why[k] = NULL;
		if (k == KIND_SERVICE || k == KIND_SERVICE6 || kind_info(k)->fragments) /* of rounds only */
			continue;
		if (kind_possible(&leg, k, texts[k]))
			kinds |= KIND_BIT(k);
		else
			why[k] = texts[k];
	}
	return kinds;
}

/* Without raw sockets only UDP is seen to arrive. */
kind_mask fleet_deaf_kinds(const struct member *m)
{
	kind_mask deaf = 0;
	for (enum kind k = 0; k < KIND_COUNT && !(m->hello.rights & RIGHT_RAW); k++)
		if (kind_info(k)->proto != PROTO_UDP)
			deaf |= KIND_BIT(k);
	return deaf;
}

/* ---- owners ---- */

struct listing {
	const struct fleet *f;
	const struct member *titled; /* whose title it holds */
	char title[TITLE_MAX_LEN];
	struct owner *out;
	size_t count, max;
};

static bool link_proxies(const struct snapshot *s, const struct link *link)
{
	char own[96];
	int64_t all = 0, here = 0;
	snprintf(own, sizeof own, "net.ipv4.conf.%s.proxy_arp", link->name);
	snapshot_sysctl(s, "net.ipv4.conf.all.proxy_arp", &all);
	snapshot_sysctl(s, own, &here);
	return all || here;
}

static const char *or_empty(const char *text) { return text ? text : ""; }

static void listing_add(struct listing *l, const struct member *m, const struct link *link, struct prefix ip, bool same_segment)
{
	if (l->count == l->max)
		return;
	struct owner *o = &l->out[l->count++];
	*o = (struct owner){.mac = link->mac,
	                    .ip = ip,
	                    .same_segment = same_segment,
	                    .host = m->kind == AGENT_HOST,
	                    .proxies = link_proxies(m->snapshot, link)};
	str_copy(o->machine, sizeof o->machine, or_empty(snapshot_text(m->snapshot, "machine.id")));
	if (l->titled != m)
		fleet_title(l->f, l->titled = m, l->title);
	memcpy(o->agent, l->title, sizeof(o->agent));
	memcpy(o->ifname, link->name, sizeof(o->ifname));
}

static void listing_link(struct listing *l, const struct member *m, const struct link *link, bool same_segment)
{
	const struct snapshot *s = m->snapshot;
	size_t before = l->count;
	for (size_t i = 0; i < s->addr_count; i++)
		if (s->addrs[i].link == link->index) {
			listing_add(l, m, link, s->addrs[i].prefix, same_segment);
			l->out[l->count - 1].leased |= l->count > before && s->addrs[i].leased;
		}
	if (l->count == before)
		listing_add(l, m, link, (struct prefix){0}, same_segment);
}

static const struct cand *cand_of_link(const struct node *n, const struct link *l)
{
	for (size_t i = 0; i < n->cand_count; i++)
		if (n->cands[i].index == l->index)
			return &n->cands[i];
	return NULL;
}

static bool link_is_near(const struct fleet *f, const struct node *near, const struct node *n, const struct link *l)
{
	const struct cand *c = cand_of_link(n, l);
	for (size_t i = 0; c && i < near->cand_count; i++)
		if (near->cands[i].allowed && (&near->cands[i] == c || cands_share_segment(f, near, &near->cands[i], n, c)))
			return true;
	return false;
}

/* Members of other tenants are listed only where they are on the segment. */
static void listing_member(struct listing *l, const struct fleet *f, const struct node *near, const struct node *n,
                           bool same_segment)
{
	const struct snapshot *s = n->member.snapshot;
	bool own = node_is_host(n) || node_is_host(near) || !strcmp(n->member.tenant, near->member.tenant);
	for (size_t i = 0; s && i < s->link_count; i++) {
		const struct link *link = &s->links[i];
		if (link->loopback || !mac_is_set(link->mac) || link_is_near(f, near, n, link) != same_segment)
			continue;
		if (own || same_segment)
			listing_link(l, &n->member, link, same_segment);
	}
}

size_t fleet_owners(const struct fleet *f, struct owner *out, size_t max, const struct member *near)
{
	struct listing l = {.f = f, .out = out, .max = max};
	for (int same_segment = 1; same_segment >= 0; same_segment--) /* those first, where room is short */
		for (size_t i = 0; i < f->count; i++)
			listing_member(&l, f, node_of(near), f->nodes[i], same_segment);
	return l.count;
}

/* In no other of its networks could `to` be. Link-local addresses are bound to their link as it is. */
static bool stands_there_only(const struct member *m, const struct endpoint *ep, struct ip to)
{
	bool there = false;
	if (!to.family || ip_is_link_local(to))
		return true;
	for (size_t i = 0; i < m->snapshot->addr_count; i++) {
		const struct addr *a = &m->snapshot->addrs[i];
		const struct link *l = snapshot_link(m->snapshot, a->link);
		if (!prefix_contains(a->prefix, to))
			continue;
		if (!l || strcmp(l->name, ep->ifname) != 0)
			return false;
		there = true;
	}
	return there;
}

bool fleet_binds_device(const struct member *from, const struct endpoint *ep_from, const struct member *to,
                        const struct endpoint *ep_to, bool onlink)
{
	if (!onlink || from->kind != AGENT_HOST || to->kind != AGENT_GUEST)
		return false;
	struct ip none = {0};
	bool has4 = ep_from->ip4.ip.family, has6 = ep_from->ip6.ip.family;
	return !from->snapshot || (!has4 && !has6) || !stands_there_only(from, ep_from, has4 ? ep_to->ip4.ip : none) ||
	       !stands_there_only(from, ep_from, has6 ? ep_to->ip6.ip : none);
}
