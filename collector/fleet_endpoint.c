/* fleet_endpoint: where a machine may be probed, and between which two places a pair is. A fault must not move an endpoint:
 * an interface that went away stays a candidate, an address that vanished is kept as the last one. */
#include "collector/fleet_priv.h"
#include "proto/base/mem.h"

#include <stdlib.h>
#include <string.h>

/* ---- addresses ---- */

static bool addr_usable(const struct addr *a) { return !a->dadfailed && !ip_is_loopback(a->prefix.ip); }

/* Higher is better; 0 = not to be used. */
static int addr_rank(const struct addr *a, const struct prefix *last)
{
	if (!addr_usable(a))
		return 0;
	int rank = ip_is_link_local(a->prefix.ip) ? 1 : a->temporary || a->tentative ? 2 : 4;
	bool single = a->prefix.len == (a->prefix.ip.family == 4 ? 32 : 128);
	rank = rank * 4 + (single ? 0 : 2);
	return rank + (ip_equal(a->prefix.ip, last->ip) ? 1 : 0); /* of equals, the one it had */
}

/* The primary address; IPv4 link-local counts as none. */
static struct prefix addr_primary(const struct snapshot *s, uint32_t link, int family, const struct prefix *last)
{
	const struct addr *best = NULL;
	for (size_t i = 0; i < s->addr_count; i++) {
		const struct addr *a = &s->addrs[i];
		if (a->link != link || a->prefix.ip.family != family || (family == 4 && ip_is_link_local(a->prefix.ip)))
			continue;
		if (addr_rank(a, last) > (best ? addr_rank(best, last) : 0))
			best = a;
	}
	return best ? best->prefix : (struct prefix){0};
}

/* ---- candidates ---- */

static bool link_is_candidate(const struct node *n, const struct link *l)
{
	if (l->loopback || !mac_is_set(l->mac) || l->master)
		return false;
	bool plugged = node_is_host(n) && (!strcmp(l->kind, "tun") || !strcmp(l->kind, "macvtap"));
	return !plugged && strcmp(l->kind, "dummy") && strcmp(l->kind, "ifb");
}

static struct cand *cand_named(struct node *n, const char *ifname)
{
	for (size_t i = 0; i < n->cand_count; i++)
		if (!strcmp(n->cands[i].last.ifname, ifname))
			return &n->cands[i];
	return NULL;
}

static bool same_prefix(struct prefix a, struct prefix b) { return a.len == b.len && ip_equal(a.ip, b.ip); }

static bool cand_has_address6(const struct cand *c) { return c->last.ip6.ip.family && !ip_is_link_local(c->last.ip6.ip); }

static void cand_remember(struct cand *c)
{
	if (c->now.ip4.ip.family && c->last.ip4.ip.family && !prefix_same_net(c->now.ip4, c->last.ip4))
		c->home4 = c->last.ip4;
	if (c->now.ip4.ip.family && c->home4.ip.family && prefix_same_net(c->now.ip4, c->home4))
		c->home4 = (struct prefix){0};
	if (c->now.ip4.ip.family)
		c->last.ip4 = c->now.ip4;
	if (c->now.ip6.ip.family && (!ip_is_link_local(c->now.ip6.ip) || !cand_has_address6(c)))
		c->last.ip6 = c->now.ip6; /* a link-local one is no substitute */
	c->last.mac = c->now.mac;
	c->last.mtu = c->now.mtu;
}

static void cand_read(const struct fleet *f, struct node *n, const struct link *l)
{
	const struct snapshot *s = n->member.snapshot;
	struct cand *c = cand_named(n, l->name);
	if (!c) {
		c = VEC_ADD(n->cands, n->cand_count, n->cand_cap);
		str_copy(c->last.ifname, sizeof(c->last.ifname), l->name);
		str_copy(c->now.ifname, sizeof(c->now.ifname), l->name);
	}
	c->index = l->index;
	c->bridge = link_is_bridge(l);
	c->carries = node_is_host(n) && c->bridge && bridge_carries(f, n, l->name);
	c->was_up |= l->up && l->carrier;
	c->now.mac = l->mac;
	c->now.mtu = l->mtu;
	c->now.ip4 = addr_primary(s, l->index, 4, &c->last.ip4);
	c->now.ip6 = addr_primary(s, l->index, 6, &c->last.ip6);
	cand_remember(c);
}

static bool cand_has_address(const struct cand *c) { return c->last.ip4.ip.family || cand_has_address6(c); }

static bool list_has(const char *list, const char *name)
{
	size_t len = strlen(name);
	for (const char *at = list; (at = strstr(at, name)); at += len)
		if ((at == list || at[-1] == ',' || at[-1] == ' ') && (!at[len] || at[len] == ',' || at[len] == ' '))
			return true;
	return false;
}

/* Vanished interfaces stay, unless they never had an address or another one has taken theirs over. */
static bool cand_is_stale(const struct node *n, const struct cand *c)
{
	if (c->index)
		return false;
	if (!cand_has_address(c))
		return true;
	for (size_t i = 0; i < n->cand_count; i++) {
		const struct cand *o = &n->cands[i];
		if (o->index &&
		    (mac_equal(o->last.mac, c->last.mac) || (c->last.ip4.ip.family && same_prefix(o->now.ip4, c->last.ip4))))
			return true;
	}
	return false;
}

/* An interface that got another name without its addresses: they are what it last had. */
static void cand_inherit(struct node *n, const struct cand *gone)
{
	for (size_t i = 0; i < n->cand_count; i++) {
		struct cand *o = &n->cands[i];
		if (!o->index || !mac_equal(o->last.mac, gone->last.mac))
			continue;
		if (!o->last.ip4.ip.family)
			o->last.ip4 = gone->last.ip4;
		if (!cand_has_address6(o) && cand_has_address6(gone))
			o->last.ip6 = gone->last.ip6;
	}
}

static void cands_drop_stale(struct node *n)
{
	for (size_t i = 0; i < n->cand_count; i++) {
		if (!n->cands[i].index && mac_is_set(n->cands[i].last.mac))
			cand_inherit(n, &n->cands[i]);
	}
	size_t kept = 0;
	for (size_t i = 0; i < n->cand_count; i++)
		if (!cand_is_stale(n, &n->cands[i]))
			n->cands[kept++] = n->cands[i];
	n->cand_count = kept;
}

static bool cand_is_useful(const struct cand *c) { return cand_has_address(c) || c->carries || c->was_up; }

/* The way to the collector is left out where there is another that has, or had, an address, or carries guests. */
static void cands_allow(struct node *n)
{
	const struct msg_hello *h = &n->member.hello;
	bool other = false;
	for (size_t i = 0; i < n->cand_count; i++) {
		struct cand *c = &n->cands[i];
		c->management = h->uplink_if[0] && !strcmp(c->last.ifname, h->uplink_if);
		other |= !c->management && cand_is_useful(c) && (cand_has_address(c) || c->carries);
	}
	for (size_t i = 0; i < n->cand_count; i++) {
		struct cand *c = &n->cands[i];
		c->allowed = cand_is_useful(c) && (!c->management || c->carries || !other);
		if (h->probe_ifs[0])
			c->allowed = list_has(h->probe_ifs, c->last.ifname);
	}
}

static int cand_rank(const struct cand *c)
{
	return 8 * c->carries + 4 * cand_has_address(c) + 2 * (c->bridge == c->carries) + (c->index != 0);
}

static int cand_cmp(const void *a, const void *b)
{
	const struct cand *x = a, *y = b;
	int rank = cand_rank(y) - cand_rank(x);
	return rank ? rank : (int)(x->index > y->index) - (int)(x->index < y->index);
}

static void endpoints_publish(struct node *n)
{
	struct member *m = &n->member;
	struct endpoint now[ENDPOINTS_MAX] = {0}, last[ENDPOINTS_MAX] = {0};
	size_t count = 0;
	for (size_t i = 0; i < n->cand_count && count < ENDPOINTS_MAX; i++) {
		if (!n->cands[i].allowed)
			continue;
		now[count] = n->cands[i].now;
		last[count++] = n->cands[i].last;
	}
	if (count != m->endpoint_count || memcmp(now, m->endpoints, sizeof(now)) || memcmp(last, m->last, sizeof(last)))
		m->version++;
	m->endpoint_count = count;
	memcpy(m->endpoints, now, sizeof(now));
	memcpy(m->last, last, sizeof(last));
}

void cands_update(const struct fleet *f, struct node *n)
{
	const struct snapshot *s = n->member.snapshot;
	if (!s)
		return;
	for (size_t i = 0; i < n->cand_count; i++) {
		n->cands[i].index = 0;
		n->cands[i].now.ip4 = n->cands[i].now.ip6 = (struct prefix){0};
	}
	for (size_t i = 0; i < s->link_count; i++)
		if (link_is_candidate(n, &s->links[i]))
			cand_read(f, n, &s->links[i]);
	cands_drop_stale(n);
	cands_allow(n);
	if (n->cand_count)
		qsort(n->cands, n->cand_count, sizeof(*n->cands), cand_cmp);
	endpoints_publish(n);
}

/* ---- segments ---- */

static bool same_subnet(struct prefix a, struct prefix b)
{
	return a.ip.family && b.ip.family && prefix_same_net(a, b) && !ip_equal(a.ip, b.ip);
}

/* Now, or before something changed. */
static bool cands_share_subnet(const struct cand *a, const struct cand *b)
{
	bool v6 = !ip_is_link_local(a->last.ip6.ip) && same_subnet(a->last.ip6, b->last.ip6);
	return v6 || same_subnet(a->last.ip4, b->last.ip4) || same_subnet(a->home4, b->last.ip4) ||
	       same_subnet(a->last.ip4, b->home4);
}

/* On which bridge of which host a candidate stands. */
struct stand {
	const struct node *host;
	const char *bridge, *outer;
	uint16_t vlan;
};

static bool stand_of(const struct node *n, const struct cand *c, struct stand *out)
{
	if (node_is_host(n)) {
		*out = (struct stand){.host = n, .bridge = c->bridge ? c->last.ifname : "", .outer = ""};
		return c->bridge;
	}
	const struct plug *g = plug_find(n, c->last.mac);
	if (!g)
		return false;
	*out = (struct stand){.host = g->host, .bridge = g->bridge, .outer = g->outer, .vlan = g->vlan};
	return g->bridge[0] != '\0';
}

static const char *stand_bridge(const struct stand *s) { return s->outer[0] ? s->outer : s->bridge; }

static bool stand_is_at(const struct stand *s, const char *bridge)
{
	return !strcmp(s->bridge, bridge) || (s->outer[0] && !strcmp(s->outer, bridge));
}

/* Equal subnets mean something between these two. Between a host and a guest they do not: tenants overlap. */
static bool subnets_tell(const struct node *a, const struct node *b)
{
	return node_is_host(a) == node_is_host(b) && (node_is_host(a) || !strcmp(a->member.tenant, b->member.tenant));
}

/* The bridge of one saw the other's MAC behind its uplink. */
static bool stand_knows(const struct fleet *f, const struct stand *s, const struct cand *c)
{
	return mac_is_unique(f, c->last.mac) && bridge_knows(s->host, stand_bridge(s), s->vlan, c->last.mac);
}

static bool hosts_meet(const struct node *a, const struct cand *ca, const struct node *b, const struct cand *cb)
{
	return node_is_host(a) && node_is_host(b) && a != b && same_subnet(ca->last.ip4, cb->last.ip4) &&
	       (!ca->bridge || port_leads_out(a, ca->last.ifname)) && (!cb->bridge || port_leads_out(b, cb->last.ifname));
}

/* Where they stand is not known, but they were neighbours. */
static bool cands_met(const struct fleet *f, const struct node *a, const struct cand *ca, const struct node *b,
                      const struct cand *cb)
{
	return (mac_is_unique(f, cb->last.mac) && node_met(a, ca->last.ifname, cb->last.mac)) ||
	       (mac_is_unique(f, ca->last.mac) && node_met(b, cb->last.ifname, ca->last.mac));
}

bool cands_share_segment(const struct fleet *f, const struct node *a, const struct cand *ca, const struct node *b,
                         const struct cand *cb)
{
	struct stand sa, sb;
	bool both = stand_of(a, ca, &sa) && stand_of(b, cb, &sb);
	if (!both)
		return hosts_meet(a, ca, b, cb) || cands_met(f, a, ca, b, cb);
	if (sa.host == sb.host)
		return (stand_is_at(&sa, sb.bridge) || stand_is_at(&sa, stand_bridge(&sb))) &&
		       (sa.vlan == sb.vlan || !sa.vlan || !sb.vlan);
	if (!port_leads_out(sa.host, stand_bridge(&sa)) || !port_leads_out(sb.host, stand_bridge(&sb)))
		return false;
	if (stand_knows(f, &sa, cb) || stand_knows(f, &sb, ca))
		return true;
	return subnets_tell(a, b) && cands_share_subnet(ca, cb);
}

/* ---- pairs ---- */

/* The host's device of a guest that shares one of the host's own interfaces (macvtap and its kind). NULL: not so. */
static const struct link *plug_sharing(const struct node *g, const struct cand *cg, const struct node *h)
{
	static const char *const kinds[] = {"macvtap", "macvlan", "ipvtap", "ipvlan"};
	const struct plug *p = plug_find(g, cg->last.mac);
	const struct link *l = p && p->host == h && !p->bridge[0] ? snapshot_link_named(h->member.snapshot, p->port) : NULL;
	for (size_t i = 0; l && i < sizeof kinds / sizeof *kinds; i++)
		if (!strcmp(l->kind, kinds[i]))
			return l;
	return NULL;
}

/* The kernel keeps such a guest and the interface it shares apart. */
static bool kept_apart(const struct node *g, const struct cand *cg, const struct node *h, const struct cand *ch)
{
	const struct link *l = plug_sharing(g, cg, h);
	return l && (!l->parent || l->parent == ch->index);
}

/* Of the two bridges behind a guest's port, the one where the host has an address; else the outer one. */
static int own_bridge_score(const struct stand *s, const struct cand *ch, int subnet)
{
	bool outer = !strcmp(stand_bridge(s), ch->last.ifname), addressed = cand_has_address(ch);
	if (!outer && !(addressed && stand_is_at(s, ch->last.ifname)))
		return 0;
	return 200 + 20 * addressed + outer + subnet;
}

/* A bridge of a host's own guests only: others do not know of its address. */
static bool cand_leads_nowhere(const struct node *n, const struct cand *c)
{
	return node_is_host(n) && c->bridge && !port_leads_out(n, c->last.ifname);
}

static int score_guest_and_host(const struct fleet *f, const struct node *g, const struct cand *cg, const struct node *h,
                                const struct cand *ch)
{
	struct stand s = {0};
	bool placed = stand_of(g, cg, &s);
	int subnet = cands_share_subnet(cg, ch) ? 10 : 0;
	if (kept_apart(g, cg, h, ch))
		return 0;
	if (placed && s.host == h)
		return own_bridge_score(&s, ch, subnet);
	if (!ch->allowed)
		return 0;
	if (cands_share_segment(f, g, cg, h, ch))
		return 100 + subnet;
	return subnet && !cand_leads_nowhere(h, ch) ? 50 : 0;
}

static int score_guests(const struct fleet *f, const struct node *a, const struct cand *ca, const struct node *b,
                        const struct cand *cb)
{
	int subnet = subnets_tell(a, b) && cands_share_subnet(ca, cb) ? 10 : 0;
	if (cands_share_segment(f, a, ca, b, cb))
		return 100 + subnet;
	return subnet ? 50 : 0;
}

/* The way to the collector only when nothing else joins the two. */
static int score_hosts(const struct fleet *f, const struct node *a, const struct cand *ca, const struct node *b,
                       const struct cand *cb)
{
	int score = 0;
	if (cands_share_segment(f, a, ca, b, cb) && (same_subnet(ca->last.ip4, cb->last.ip4) || !ip_is_link_local(ca->last.ip6.ip)))
		score = 100 + 10 * (cands_share_subnet(ca, cb) != 0);
	else if (hosts_meet(a, ca, b, cb))
		score = 100;
	if (!score || !cand_has_address(ca) || !cand_has_address(cb))
		return 0;
	struct stand sa, sb;
	if (stand_of(a, ca, &sa) && stand_of(b, cb, &sb))
		score += 5 * (stand_knows(f, &sa, cb) || stand_knows(f, &sb, ca));
	score += 20 * (ca->carries && cb->carries);
	return ca->management || cb->management ? score - 90 : ca->allowed && cb->allowed ? score : 0;
}

static int cands_score(const struct fleet *f, const struct node *a, const struct cand *ca, const struct node *b,
                       const struct cand *cb)
{
	if (node_is_host(a) && node_is_host(b))
		return score_hosts(f, a, ca, b, cb);
	if ((!node_is_host(a) && !ca->allowed) || (!node_is_host(b) && !cb->allowed))
		return 0;
	if (node_is_host(a))
		return score_guest_and_host(f, b, cb, a, ca);
	return node_is_host(b) ? score_guest_and_host(f, a, ca, b, cb) : score_guests(f, a, ca, b, cb);
}

struct choice {
	const struct cand *a, *b;
	int score;
};

static struct choice choose_together(const struct fleet *f, const struct node *a, const struct node *b)
{
	struct choice best = {0};
	for (size_t i = 0; i < a->cand_count; i++)
		for (size_t k = 0; k < b->cand_count; k++) {
			int score = cands_score(f, a, &a->cands[i], b, &b->cands[k]);
			if (score > best.score)
				best = (struct choice){&a->cands[i], &b->cands[k], score};
		}
	return best;
}

/* Nothing joins them but routers: the first one with an address that others may know. */
static const struct cand *cand_routed(const struct node *n)
{
	const struct cand *inner = NULL;
	for (size_t i = 0; i < n->cand_count; i++) {
		const struct cand *c = &n->cands[i];
		if (!c->allowed || !cand_has_address(c))
			continue;
		if (!cand_leads_nowhere(n, c))
			return c;
		inner = inner ? inner : c;
	}
	return inner;
}

/* The address of that link that is in the network of `other`, when there is one. */
static struct prefix addr_towards(const struct node *n, const struct cand *c, struct prefix own, struct prefix other)
{
	const struct snapshot *s = n->member.snapshot;
	if (!other.ip.family || same_subnet(own, other))
		return own;
	for (size_t i = 0; i < s->addr_count; i++)
		if (c->index && s->addrs[i].link == c->index && addr_usable(&s->addrs[i]) && same_subnet(s->addrs[i].prefix, other))
			return s->addrs[i].prefix;
	return own;
}

static struct prefix addr_link_local(const struct node *n, const struct cand *c)
{
	const struct snapshot *s = n->member.snapshot;
	for (size_t i = 0; i < s->addr_count; i++)
		if (c->index && s->addrs[i].link == c->index && s->addrs[i].prefix.ip.family == 6 && addr_usable(&s->addrs[i]) &&
		    ip_is_link_local(s->addrs[i].prefix.ip))
			return s->addrs[i].prefix;
	return (struct prefix){0};
}

/* Both global, or both link-local. */
static void match_scopes(const struct node *a, const struct cand *ca, struct endpoint *ea, const struct node *b,
                         const struct cand *cb, struct endpoint *eb)
{
	if (!ea->ip6.ip.family || !eb->ip6.ip.family || ip_is_link_local(ea->ip6.ip) == ip_is_link_local(eb->ip6.ip))
		return;
	bool a_local = ip_is_link_local(ea->ip6.ip);
	struct prefix other = a_local ? addr_link_local(b, cb) : addr_link_local(a, ca);
	if (other.ip.family)
		*(a_local ? &eb->ip6 : &ea->ip6) = other;
}

/* A port without an address speaks with one of the host's others, as unnumbered interfaces do. */
static struct prefix addr_borrowed(const struct node *host, int family)
{
	const struct cand *c = cand_routed(host);
	struct prefix own = !c ? (struct prefix){0} : family == 4 ? c->last.ip4 : c->last.ip6;
	if (!own.ip.family || ip_is_link_local(own.ip))
		return (struct prefix){0};
	own.len = family == 4 ? 32 : 128;
	return own;
}

/* A guest's own device on its host, when it is in no bridge: that is where the host stands towards it. */
static bool choose_routed_port(const struct node *host, const struct node *guest, struct endpoint *ep_host,
                               struct endpoint *ep_guest)
{
	for (size_t i = 0; i < guest->cand_count; i++) {
		const struct plug *g = guest->cands[i].allowed ? plug_find(guest, guest->cands[i].last.mac) : NULL;
		const struct link *l =
		    g && g->host == host && !g->bridge[0] ? snapshot_link_named(host->member.snapshot, g->port) : NULL;
		if (!l || plug_sharing(guest, &guest->cands[i], host))
			continue;
		struct prefix none = {0};
		*ep_guest = guest->cands[i].last;
		*ep_host = (struct endpoint){.mac = l->mac, .mtu = l->mtu};
		str_copy(ep_host->ifname, sizeof(ep_host->ifname), l->name);
		ep_host->ip4 = addr_primary(host->member.snapshot, l->index, 4, &none);
		ep_host->ip6 = addr_primary(host->member.snapshot, l->index, 6, &none);
		if (!ep_host->ip4.ip.family)
			ep_host->ip4 = addr_borrowed(host, 4);
		return true;
	}
	return false;
}

static void choice_fill(const struct node *a, const struct node *b, const struct choice *c, struct endpoint *ep_a,
                        struct endpoint *ep_b)
{
	*ep_a = c->a->last;
	*ep_b = c->b->last;
	ep_a->ip4 = addr_towards(a, c->a, ep_a->ip4, ep_b->ip4);
	ep_b->ip4 = addr_towards(b, c->b, ep_b->ip4, ep_a->ip4);
	if (!ip_is_link_local(ep_a->ip6.ip) && !ip_is_link_local(ep_b->ip6.ip)) {
		ep_a->ip6 = addr_towards(a, c->a, ep_a->ip6, ep_b->ip6);
		ep_b->ip6 = addr_towards(b, c->b, ep_b->ip6, ep_a->ip6);
	}
	match_scopes(a, c->a, ep_a, b, c->b, ep_b);
}

/* A machine that never had a network and is heard through its host only: what it has instead. */
static const char *interface_without_address(const struct snapshot *s, bool *up)
{
	for (size_t i = 0; i < s->link_count; i++) {
		const struct link *l = &s->links[i];
		bool addressed = l->master || strcmp(l->name, "lo") == 0;
		for (size_t k = 0; k < s->addr_count && !addressed; k++)
			addressed = s->addrs[k].link == l->index && !ip_is_link_local(s->addrs[k].prefix.ip);
		*up = l->up;
		if (!addressed)
			return l->name;
	}
	return NULL;
}

static bool no_endpoint(const struct node *n, struct err *e)
{
	const struct snapshot *s = n->member.snapshot;
	bool up = false;
	const char *bare = s ? interface_without_address(s, &up) : NULL;
	if (!s)
		err_set(e, "%s has not reported its interfaces yet", n->member.name);
	else if (bare)
		err_set(e, "%s has no interface to probe: %s %shas no address", n->member.name, bare, up ? "" : "is down and ");
	else
		err_set(e, "%s has no interface to probe", n->member.name);
	return false;
}

static bool choose_apart(const struct node *a, const struct node *b, struct choice *c, struct err *e)
{
	*c = (struct choice){.a = cand_routed(a), .b = cand_routed(b)};
	if (!c->a || !c->b)
		return no_endpoint(c->a ? b : a, e);
	bool overlap = c->a->last.ip4.ip.family && ip_equal(c->a->last.ip4.ip, c->b->last.ip4.ip);
	if (overlap)
		err_set(e, "%s and %s have the same address on different networks", a->member.name, b->member.name);
	return !overlap;
}

/* The guest lives on this very host, all it has is such a device, and nothing else joins the two. */
static bool is_own_sharer(const struct node *host, const struct node *guest, struct err *e)
{
	for (size_t i = 0; node_is_host(host) && !node_is_host(guest) && i < guest->cand_count; i++) {
		const struct link *l = guest->cands[i].allowed ? plug_sharing(guest, &guest->cands[i], host) : NULL;
		if (!l)
			continue;
		err_set(e, "%s is plugged into %s:%s, a %s: the kernel lets a host and such a guest of its own not talk",
		        guest->member.name, host->member.name, l->name, l->kind);
		return true;
	}
	return false;
}

/* The interface of the host that its guest shares; its first with an address where that is not known. */
static const struct cand *cand_shared(const struct node *host, const struct link *l)
{
	for (size_t i = 0; i < host->cand_count; i++)
		if (l->parent && host->cands[i].index == l->parent)
			return &host->cands[i];
	return cand_routed(host);
}

static bool choose_sharer(const struct node *host, const struct node *guest, struct endpoint *ep_host, struct endpoint *ep_guest)
{
	for (size_t i = 0; node_is_host(host) && !node_is_host(guest) && i < guest->cand_count; i++) {
		const struct link *l = guest->cands[i].allowed ? plug_sharing(guest, &guest->cands[i], host) : NULL;
		struct choice c = {.a = l ? cand_shared(host, l) : NULL, .b = &guest->cands[i]};
		if (!c.a)
			continue;
		choice_fill(host, guest, &c, ep_host, ep_guest);
		return true;
	}
	return false;
}

bool fleet_endpoints_apart(const struct fleet *f, const struct member *ma, const struct member *mb, struct endpoint *ep_a,
                           struct endpoint *ep_b)
{
	const struct node *a = node_of(ma), *b = node_of(mb);
	(void)f;
	if (!ma->snapshot || !mb->snapshot)
		return false;
	return choose_sharer(a, b, ep_a, ep_b) || choose_sharer(b, a, ep_b, ep_a);
}

bool fleet_endpoints(const struct fleet *f, const struct member *ma, const struct member *mb, struct endpoint *ep_a,
                     struct endpoint *ep_b, bool *onlink, struct err *e)
{
	const struct node *a = node_of(ma), *b = node_of(mb);
	*onlink = true;
	if (!ma->snapshot || !mb->snapshot)
		return no_endpoint(ma->snapshot ? b : a, e);
	struct choice c = choose_together(f, a, b);
	if (c.score < 200 && node_is_host(a) && !node_is_host(b) && choose_routed_port(a, b, ep_a, ep_b))
		return true;
	if (c.score < 200 && node_is_host(b) && !node_is_host(a) && choose_routed_port(b, a, ep_b, ep_a))
		return true;
	if (!c.score && (is_own_sharer(a, b, e) || is_own_sharer(b, a, e)))
		return false;
	if (!c.score && !choose_apart(a, b, &c, e))
		return false;
	choice_fill(a, b, &c, ep_a, ep_b);
	*onlink = c.score && cands_share_segment(f, a, c.a, b, c.b);
	return true;
}
