/* fleet_place: on which port of which host a guest is plugged in, and which ports lead elsewhere. From what bridges learned
 * and who relays for whom; never from names. The order of trust:
 *   1. the host that relays a guest's out-of-band stream is its host;
 *   2. a port behind which other hosts live, or guests that are certainly elsewhere, or that is no kind of device that
 *      guests are plugged into, is an uplink, for as long as it stays in its bridge;
 *   3. else a port that carries one guest and nothing else is that guest's, if no port of another host qualifies too. */
#include "collector/fleet_priv.h"
#include "proto/base/mem.h"

#include <stdlib.h>
#include <string.h>

#define TOWARDS_MAX     SNAP_FDB_MAX
#define FRESH_NS        (30 * 1000000000LL)
#define MOVED_ACCEPT_NS (3600 * 1000000000LL) /* a port that stays so long in another bridge belongs there */

/* ---- who owns a MAC ---- */

static int twin_cmp(struct mac a, struct mac b) { return memcmp(a.b + 1, b.b + 1, 5); }

static int owner_cmp(const void *a, const void *b)
{
	const struct mac_owner *x = a, *y = b;
	int twin = twin_cmp(x->mac, y->mac);
	return twin ? twin : x->mac.b[0] - y->mac.b[0];
}

static bool link_is(const struct link *l, const char *const *kinds)
{
	for (; *kinds; kinds++)
		if (!strcmp(l->kind, *kinds))
			return true;
	return false;
}

/* Carries the MAC of the guest behind it on the host's side as well. */
static bool link_mirrors_guest(const struct link *l)
{
	static const char *const kinds[] = {"macvtap", "macvlan", "ipvtap", NULL};
	return link_is(l, kinds);
}

static bool link_is_tap(const struct link *l)
{
	static const char *const kinds[] = {"tun", "macvtap", "ipvtap", NULL};
	return link_is(l, kinds);
}

static bool link_takes_guests(const struct link *l)
{
	static const char *const kinds[] = {"tun", "veth", "macvtap", "ipvtap", "macvlan", "netkit", NULL};
	return link_is(l, kinds);
}

/* One of a pair of devices, the other of which is on this machine as well: between two of its bridges. */
static bool link_is_inner(const struct link *l)
{
	static const char *const kinds[] = {"veth", "netkit", "ovs-patch", NULL};
	return link_is(l, kinds) && l->parent && !l->parent_elsewhere;
}

static bool link_owns_mac(const struct node *n, const struct link *l)
{
	return !l->loopback && mac_is_set(l->mac) && !(node_is_host(n) && link_mirrors_guest(l));
}

static uint64_t macs_digest(const struct node *n)
{
	const struct snapshot *s = n->member.snapshot;
	uint64_t h = 0xcbf29ce484222325u;
	for (size_t i = 0; i < s->link_count; i++)
		for (size_t k = 0; k < 6 && link_owns_mac(n, &s->links[i]); k++)
			h = (h ^ s->links[i].mac.b[k]) * 0x100000001b3u;
	return h;
}

static void owners_add(struct fleet *f, struct node *n)
{
	const struct snapshot *s = n->member.snapshot;
	for (size_t i = 0; s && i < s->link_count; i++)
		if (link_owns_mac(n, &s->links[i]))
			*VEC_ADD(f->macs, f->mac_count, f->mac_cap) = (struct mac_owner){s->links[i].mac, n};
}

static void owners_rebuild(struct fleet *f)
{
	f->mac_count = 0;
	for (size_t i = 0; i < f->count; i++)
		owners_add(f, f->nodes[i]);
	if (f->mac_count)
		qsort(f->macs, f->mac_count, sizeof(*f->macs), owner_cmp);
}

/* First owner of that MAC; the others follow it. */
static const struct mac_owner *owners_first(const struct fleet *f, struct mac mac)
{
	struct mac_owner key = {.mac = mac};
	size_t lo = 0, hi = f->mac_count;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (owner_cmp(&f->macs[mid], &key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return f->macs + lo;
}
#define FOR_OWNERS(o, f, m)                                                                                                        \
	for (const struct mac_owner *o = owners_first(f, m); o < (f)->macs + (f)->mac_count && mac_equal(o->mac, m); o++)

bool mac_is_unique(const struct fleet *f, struct mac mac)
{
	const struct node *only = NULL;
	FOR_OWNERS(o, f, mac)
	{
		if (only && only != o->node)
			return false;
		only = o->node;
	}
	return true;
}

static bool mac_is_known(const struct fleet *f, struct mac mac)
{
	const struct mac_owner *o = owners_first(f, mac);
	return o < f->macs + f->mac_count && mac_equal(o->mac, mac);
}

/* The host that certainly has this guest, NULL = not certain. */
static struct node *relay_host(const struct fleet *f, const struct node *guest)
{
	const struct member *m = &guest->member;
	struct member *host = m->heard_by == HEARD_RELAY ? fleet_by_id(f, m->relay) : NULL;
	return host && host->kind == AGENT_HOST ? node_of(host) : NULL;
}

/* ---- ports of a host ---- */

static struct port *port_find(struct node *h, const char *name, const char *bridge)
{
	for (size_t i = 0; i < h->port_count; i++)
		if (!strcmp(h->ports[i].name, name) && !strcmp(h->ports[i].bridge, bridge))
			return &h->ports[i];
	return NULL;
}

static void port_note(struct node *h, const struct link *l, const char *bridge, struct wall now)
{
	struct port *p = port_find(h, l->name, bridge);
	if (!p) {
		p = VEC_ADD(h->ports, h->port_count, h->port_cap);
		str_copy(p->name, sizeof(p->name), l->name);
		str_copy(p->bridge, sizeof(p->bridge), bridge);
		p->index = l->index;
		p->fresh_until.ns = h->macs ? now.ns + FRESH_NS : 0;
	}
	if (p->index != l->index) { /* another device of the same name: nothing is known of it */
		p->index = l->index;
		p->uplink = p->doubtful = false;
		p->fresh_until.ns = now.ns + FRESH_NS;
	}
	p->present = true;
	p->gone = false;
	p->inner = link_is_inner(l);
	p->guest_type = link_takes_guests(l) && !p->inner;
	p->direct = link_is_tap(l);
	p->uplink |= !p->guest_type && strcmp(l->kind, "ovs-internal") != 0; /* that is the machine's own foot in the bridge */
}

static void port_clear_sights(struct port *p)
{
	p->seen_count = 0;
	p->foreign = 0;
}

static void ports_prune(struct node *h)
{
	size_t kept = 0;
	for (size_t i = 0; i < h->port_count; i++) {
		if (h->ports[i].gone && h->port_count > 2 * SNAP_LINKS_MAX)
			free(h->ports[i].seen);
		else
			h->ports[kept++] = h->ports[i];
	}
	h->port_count = kept;
}

static void ports_sync(struct node *h, struct wall now)
{
	const struct snapshot *s = h->member.snapshot;
	for (size_t i = 0; i < h->port_count; i++) {
		struct port *p = &h->ports[i];
		const struct link *l = snapshot_link(s, p->index);
		p->present = false;
		p->gone = !l || strcmp(l->name, p->name);
	}
	for (size_t i = 0; i < s->link_count; i++) {
		const struct link *l = &s->links[i];
		const struct link *master = l->master ? snapshot_link(s, l->master) : NULL;
		if (master && link_is_bridge(master))
			port_note(h, l, master->name, now);
		else if (!master && link_takes_guests(l))
			port_note(h, l, "", now);
	}
	ports_prune(h);
}

/* ---- what the ports show ---- */

static void sight_add(struct port *p, struct mac mac, uint16_t vlan, enum sight_how how)
{
	for (size_t i = 0; i < p->seen_count; i++)
		if (mac_equal(p->seen[i].mac, mac)) {
			if (how < p->seen[i].how)
				p->seen[i].how = (uint8_t)how;
			return;
		}
	*VEC_ADD(p->seen, p->seen_count, p->seen_cap) = (struct sight){mac, vlan, (uint8_t)how};
}

static bool owned_by_another(const struct fleet *f, struct mac mac, const struct node *host)
{
	FOR_OWNERS(o, f, mac)
	if (o->node != host)
		return true;
	return false;
}

static struct port *port_of_fdb(struct node *h, const struct fdb *e)
{
	const struct snapshot *s = h->member.snapshot;
	const struct link *l = snapshot_link(s, e->port), *b = snapshot_link(s, e->bridge);
	return l && b && l != b ? port_find(h, l->name, b->name) : NULL;
}

static void sights_of_fdb(const struct fleet *f, struct node *h)
{
	const struct snapshot *s = h->member.snapshot;
	for (size_t i = 0; i < s->fdb_count; i++) {
		const struct fdb *e = &s->fdbs[i];
		struct port *p = e->local || (e->mac.b[0] & 1) ? NULL : port_of_fdb(h, e);
		if (!p)
			continue;
		if (owned_by_another(f, e->mac, h))
			sight_add(p, e->mac, e->vlan, e->is_static ? SIGHT_STATIC : SIGHT_LEARNED);
		else if (!e->is_static && !mac_is_known(f, e->mac))
			p->foreign++;
	}
}

/* A device in no bridge: the neighbours on it. */
static void sights_of_neighbours(const struct fleet *f, struct node *h)
{
	const struct snapshot *s = h->member.snapshot;
	for (size_t i = 0; i < s->neigh_count; i++) {
		const struct neigh *e = &s->neighs[i];
		const struct link *l = snapshot_link(s, e->link);
		struct port *p = l && !l->master && mac_is_set(e->mac) ? port_find(h, l->name, "") : NULL;
		if (!p || !p->present || (e->state & (NEIGH_INCOMPLETE | NEIGH_FAILED | NEIGH_NOARP)) ||
		    !owned_by_another(f, e->mac, h))
			continue;
		sight_add(p, e->mac, 0, e->state & NEIGH_PERMANENT ? SIGHT_STATIC : SIGHT_LEARNED);
	}
}

/* Hypervisors give a tap the guest's MAC with another first octet (FE); a macvtap has the very same. */
static void sights_of_twins(const struct fleet *f, struct node *h)
{
	for (size_t i = 0; i < h->port_count; i++) {
		struct port *p = &h->ports[i];
		const struct link *l = p->present && p->direct ? snapshot_link(h->member.snapshot, p->index) : NULL;
		if (!l || (l->mac.b[0] != 0xfe && !link_mirrors_guest(l)))
			continue;
		struct mac_owner key = {.mac = l->mac};
		key.mac.b[0] = 0;
		for (const struct mac_owner *o = owners_first(f, key.mac); o < f->macs + f->mac_count && !twin_cmp(o->mac, l->mac);
		     o++)
			if (!node_is_host(o->node) && mac_is_unique(f, o->mac))
				sight_add(p, o->mac, 0, SIGHT_TWIN);
	}
}

static void sights_update(const struct fleet *f, struct node *h)
{
	for (size_t i = 0; i < h->port_count; i++)
		port_clear_sights(&h->ports[i]);
	sights_of_fdb(f, h);
	sights_of_neighbours(f, h);
	sights_of_twins(f, h);
}

/* ---- uplinks ---- */

static const struct plug *plug_at(const struct fleet *f, const struct node *host, const struct port *p)
{
	for (size_t i = 0; i < f->count; i++)
		for (size_t k = 0; k < f->nodes[i]->plug_count; k++) {
			const struct plug *g = &f->nodes[i]->plugs[k];
			if (g->host == host && !strcmp(g->port, p->name))
				return g;
		}
	return NULL;
}

/* Everybody who owns this MAC is certainly not behind a port of `host` that guests are plugged into. */
static bool sight_is_elsewhere(const struct fleet *f, const struct node *host, struct mac mac, bool *another_host)
{
	*another_host = false;
	FOR_OWNERS(o, f, mac)
	{
		if (o->node == host)
			return false;
		const struct node *at = node_is_host(o->node) ? o->node : relay_host(f, o->node);
		if (!at || at == host)
			return false;
		*another_host |= node_is_host(o->node);
	}
	return true;
}

static bool mac_of_host(const struct fleet *f, struct mac mac)
{
	FOR_OWNERS(o, f, mac)
	if (node_is_host(o->node))
		return true;
	return false;
}

/* A new port with one guest may be that guest arriving from another host: that is no uplink yet. */
static bool port_shows_uplink(const struct fleet *f, const struct node *host, const struct port *p, struct wall now)
{
	for (size_t i = 0; i < p->seen_count; i++) {
		bool another_host;
		if (p->seen[i].how != SIGHT_LEARNED || !sight_is_elsewhere(f, host, p->seen[i].mac, &another_host))
			continue;
		if (another_host || p->fresh_until.ns <= now.ns || p->seen_count + p->foreign > 1)
			return true;
	}
	return false;
}

/* The only one behind it may be a guest of this host after all: several machines have that MAC, and this one was heard of later. */
static bool uplink_is_mistaken(const struct fleet *f, const struct node *host, const struct port *p)
{
	if (!p->doubtful || p->seen_count != 1 || p->foreign)
		return false;
	FOR_OWNERS(o, f, p->seen[0].mac)
	if (relay_host(f, o->node) == host)
		return true;
	return false;
}

static void uplink_conclude(const struct fleet *f, struct node *host, struct port *p, struct wall now)
{
	if (!port_shows_uplink(f, host, p, now))
		return;
	const struct plug *g = plug_at(f, host, p);
	p->uplink = !g || !g->firm;
	p->doubtful = p->uplink && p->seen_count == 1 && !p->foreign && !mac_of_host(f, p->seen[0].mac);
}

static void uplinks_update(const struct fleet *f, struct node *host, struct wall now)
{
	for (size_t i = 0; i < host->port_count; i++) {
		struct port *p = &host->ports[i];
		if (!p->present)
			continue;
		if (!p->uplink)
			uplink_conclude(f, host, p, now);
		else if (uplink_is_mistaken(f, host, p))
			p->uplink = p->doubtful = false;
		else if (p->seen_count + p->foreign > 1)
			p->doubtful = false;
	}
}

static void towards_note(struct node *host, const struct port *p, const struct sight *s)
{
	struct towards *t = NULL;
	for (size_t i = 0; i < host->towards_count && !t; i++)
		if (mac_equal(host->towards[i].mac, s->mac) && !strcmp(host->towards[i].bridge, p->bridge))
			t = &host->towards[i];
	if (!t && host->towards_count == TOWARDS_MAX)
		return;
	if (!t)
		t = VEC_ADD(host->towards, host->towards_count, host->towards_cap);
	*t = (struct towards){.mac = s->mac, .vlan = s->vlan};
	str_copy(t->bridge, sizeof(t->bridge), p->bridge);
	str_copy(t->port, sizeof(t->port), p->name);
}

static void towards_update(struct node *host)
{
	for (size_t i = 0; i < host->port_count; i++) {
		const struct port *p = &host->ports[i];
		for (size_t k = 0; k < p->seen_count && p->uplink && p->present; k++)
			if (p->seen[k].how == SIGHT_LEARNED)
				towards_note(host, p, &p->seen[k]);
	}
}

/* Is that address one of the machine with that MAC? A router that answers for others is not met as them. */
static bool neigh_is_its_own(const struct fleet *f, const struct neigh *e)
{
	FOR_OWNERS(o, f, e->mac)
	if (snapshot_addr_of(o->node->member.snapshot, e->ip))
		return true;
	return false;
}

static void met_note(struct node *n, const char *ifname, struct mac mac)
{
	if (n->met_count == TOWARDS_MAX)
		return;
	struct met *m = VEC_ADD(n->met, n->met_count, n->met_cap);
	m->mac = mac;
	str_copy(m->ifname, sizeof(m->ifname), ifname);
}

bool node_met(const struct node *n, const char *ifname, struct mac mac)
{
	for (size_t i = 0; i < n->met_count; i++)
		if (mac_equal(n->met[i].mac, mac) && !strcmp(n->met[i].ifname, ifname))
			return true;
	return false;
}

/* Whom a machine met on an interface of its own: they share a segment. */
static void met_update(const struct fleet *f, struct node *n)
{
	const struct snapshot *s = n->member.snapshot;
	for (size_t i = 0; i < s->neigh_count; i++) {
		const struct neigh *e = &s->neighs[i];
		const struct link *l = snapshot_link(s, e->link);
		if (!l || l->master || !mac_is_set(e->mac) ||
		    e->state & (NEIGH_INCOMPLETE | NEIGH_FAILED | NEIGH_NOARP | NEIGH_PERMANENT) ||
		    !owned_by_another(f, e->mac, n) || !neigh_is_its_own(f, e))
			continue;
		if (!node_met(n, l->name, e->mac))
			met_note(n, l->name, e->mac);
	}
}

/* ---- where a guest's NIC is seen ---- */

enum strength { SEEN_NOT, SEEN_WEAK, SEEN_CLEAN, SEEN_CERTAIN };

struct spot {
	struct node *host;
	const struct port *port;
	const struct sight *sight;
	enum strength strength;
	bool excluded; /* other hosts see it too, all of them behind ports that cannot be its own */
};

/* Do others than `guest` live behind this port, as far as that is not known to be wrong? */
static bool port_is_shared(const struct fleet *f, const struct node *host, const struct port *p, const struct node *guest)
{
	for (size_t i = 0; i < p->seen_count; i++) {
		if (p->seen[i].how != SIGHT_LEARNED)
			continue;
		FOR_OWNERS(o, f, p->seen[i].mac)
		{
			const struct node *at = relay_host(f, o->node);
			if (o->node != guest && o->node != host && !node_is_host(o->node) && (!at || at == host))
				return true;
		}
	}
	return false;
}

static enum strength spot_strength(const struct fleet *f, const struct spot *s, const struct node *guest, const struct plug *old)
{
	bool its_own = old && old->host == s->host && !strcmp(old->port, s->port->name);
	/* of a MAC that others have too, the relay tells the host, but not which of its ports */
	bool certain = (relay_host(f, guest) == s->host && mac_is_unique(f, s->sight->mac)) || s->sight->how == SIGHT_TWIN;
	if (s->port->uplink && !(its_own && old->firm))
		return SEEN_NOT;
	if (s->sight->how == SIGHT_STATIC)
		return its_own || !port_is_shared(f, s->host, s->port, guest) ? SEEN_WEAK : SEEN_NOT;
	if (!its_own && s->sight->how != SIGHT_TWIN && port_is_shared(f, s->host, s->port, guest))
		return SEEN_NOT;
	if (certain)
		return SEEN_CERTAIN;
	if (s->port->foreign && !its_own && !s->port->direct && !port_leads_out(s->host, s->port->bridge))
		return SEEN_NOT; /* strangers live there too, and the bridge's way out is not known: this may be it */
	return s->port->foreign ? SEEN_WEAK : SEEN_CLEAN;
}

/* Of two ports of one host: its old one, else the one nearest to the guest. */
static bool spot_is_better(const struct spot *a, const struct spot *b, const struct plug *old)
{
	bool a_old = old && old->host == a->host && !strcmp(old->port, a->port->name);
	bool b_old = old && old->host == b->host && !strcmp(old->port, b->port->name);
	if (a_old != b_old)
		return a_old;
	if (a->port->direct != b->port->direct)
		return a->port->direct;
	if (a->port->foreign != b->port->foreign)
		return a->port->foreign < b->port->foreign;
	return a->port->seen_count < b->port->seen_count;
}

struct search {
	const struct fleet *f;
	const struct node *guest;
	const struct plug *old;
	struct mac mac;
	struct spot best;
	const struct port *second; /* on the same host: another bridge behind it */
	bool tie;                  /* two hosts qualify equally */
	size_t refuted;            /* ports that see it and cannot be its own */
};

/* Which of two hosts that qualify equally: where it firmly is, else the one that relayed for it last. */
static const struct node *search_favourite(const struct search *q)
{
	return q->old && q->old->firm ? q->old->host : node_of(fleet_by_id(q->f, q->guest->member.relay));
}

static void search_take(struct search *q, const struct spot *s)
{
	struct spot *best = &q->best;
	if (s->strength == SEEN_NOT) {
		q->refuted++;
	} else if (!best->host || s->strength > best->strength) {
		q->second = best->host == s->host ? best->port : NULL;
		q->tie = false;
		*best = *s;
	} else if (s->host == best->host) {
		bool better = s->strength == best->strength && spot_is_better(s, best, q->old);
		q->second = better ? best->port : s->port;
		if (better)
			*best = *s;
	} else if (s->strength == best->strength) {
		const struct node *favoured = search_favourite(q);
		if (favoured == s->host)
			*best = *s;
		else if (favoured != best->host)
			q->tie = true;
	}
}

static void search_host(struct search *q, struct node *host)
{
	for (size_t i = 0; i < host->port_count; i++) {
		const struct port *p = &host->ports[i];
		for (size_t k = 0; k < p->seen_count && p->present; k++) {
			if (!mac_equal(p->seen[k].mac, q->mac))
				continue;
			struct spot s = {.host = host, .port = p, .sight = &p->seen[k]};
			s.strength = spot_strength(q->f, &s, q->guest, q->old);
			if (!p->inner)
				search_take(q, &s);
		}
	}
}

static bool port_shows(const struct port *p, struct mac mac)
{
	for (size_t i = 0; i < p->seen_count; i++)
		if (mac_equal(p->seen[i].mac, mac))
			return true;
	return false;
}

/* Where the next bridge sees that MAC, behind a pair of devices that joins it with `bridge`. */
static const struct port *port_beyond(const struct node *host, const char *bridge, struct mac mac)
{
	const struct snapshot *s = host->member.snapshot;
	for (size_t i = 0; i < host->port_count; i++) {
		const struct port *p = &host->ports[i];
		const struct link *l = p->present && p->inner && port_shows(p, mac) ? snapshot_link(s, p->index) : NULL;
		const struct link *twin = l ? snapshot_link(s, l->parent) : NULL;
		const struct link *over = twin && twin->master ? snapshot_link(s, twin->master) : NULL;
		if (over && !strcmp(over->name, bridge) && strcmp(p->bridge, bridge))
			return p;
	}
	return NULL;
}

/* Several qualify and nothing decides: none. */
static struct search place_search(const struct fleet *f, const struct node *guest, struct mac mac, const struct plug *old)
{
	struct search q = {.f = f, .guest = guest, .old = old, .mac = mac};
	struct node *relay = relay_host(f, guest);
	for (size_t i = 0; i < f->count; i++) {
		struct node *host = f->nodes[i];
		if (node_is_host(host) && host->member.snapshot && (!relay || relay == host))
			search_host(&q, host);
	}
	if (q.tie)
		q.best = (struct spot){0};
	if (!q.second && q.best.host)
		q.second = port_beyond(q.best.host, q.best.port->bridge, mac);
	return q;
}

/* ---- plugs: the memory ---- */

static void plug_drop(struct node *guest, size_t i)
{
	memmove(&guest->plugs[i], &guest->plugs[i + 1], (guest->plug_count - i - 1) * sizeof(guest->plugs[0]));
	guest->plug_count--;
	guest->member.version++;
}

static bool search_is_firm(const struct search *q)
{
	return q->best.strength == SEEN_CERTAIN ||
	       (q->best.strength == SEEN_CLEAN && q->refuted > 0 && mac_is_unique(q->f, q->mac));
}

static void plug_set(struct node *guest, struct plug *g, const struct search *q)
{
	const struct port *p = q->best.port;
	g->mac = q->mac;
	g->host = q->best.host;
	g->vlan = q->best.sight->vlan;
	g->live = true;
	g->moved = (struct wall){0};
	g->firm = search_is_firm(q);
	str_copy(g->port, sizeof(g->port), p->name);
	str_copy(g->bridge, sizeof(g->bridge), p->bridge);
	str_copy(g->outer, sizeof(g->outer), q->second ? q->second->bridge : "");
	guest->member.version++;
	g->host->member.version++;
}

/* Its port is where it was. In another bridge or VLAN it is not where it belongs, until it has stayed there. */
static void plug_confirm(struct node *guest, struct plug *g, const struct search *q, struct wall now)
{
	bool home =
	    !strcmp(g->bridge, q->best.port->bridge) && (g->vlan == q->best.sight->vlan || q->best.sight->how == SIGHT_TWIN);
	g->mac = q->mac;
	g->firm |= search_is_firm(q);
	g->live = home && q->best.sight->how != SIGHT_TWIN;
	if (home) {
		g->moved = (struct wall){0};
		if (!g->outer[0] && q->second && strcmp(q->second->bridge, g->bridge))
			str_copy(g->outer, sizeof(g->outer), q->second->bridge);
		return;
	}
	bool unplugged = g->bridge[0] && !q->best.port->bridge[0];
	if (!g->moved.ns)
		g->moved = now;
	if (!g->bridge[0])
		plug_set(guest, g, q);
	else if (!unplugged && now.ns - g->moved.ns >= MOVED_ACCEPT_NS)
		plug_set(guest, g, q);
}

static bool plug_device_gone(const struct plug *g)
{
	const struct port *p = port_find(g->host, g->port, g->bridge);
	return g->host->member.online && (!p || p->gone);
}

/* May what is seen now replace what is remembered? */
static bool plug_yields(const struct fleet *f, const struct node *guest, const struct plug *g, const struct search *q)
{
	const struct node *relay = relay_host(f, guest);
	if (g->host == q->best.host && g->outer[0] && !strcmp(g->outer, q->best.port->bridge))
		return false;
	if (relay && relay != g->host)
		return true;
	return q->best.strength == SEEN_CERTAIN || !g->firm || plug_device_gone(g);
}

static void plug_update(struct fleet *f, struct node *guest, size_t at, struct wall now)
{
	struct plug *g = &guest->plugs[at];
	struct search q = place_search(f, guest, g->mac, g);
	struct node *relay = relay_host(f, guest);
	bool same = q.best.host == g->host && q.best.host && !strcmp(q.best.port->name, g->port);
	if (same)
		plug_confirm(guest, g, &q, now);
	else if (q.best.host && plug_yields(f, guest, g, &q))
		plug_set(guest, g, &q);
	else if ((relay && relay != g->host) || (q.tie && !g->firm))
		plug_drop(guest, at);
	else
		g->live = false;
}

static size_t plug_index(const struct node *guest, const char *ifname)
{
	size_t i = 0;
	while (i < guest->plug_count && strcmp(guest->plugs[i].ifname, ifname))
		i++;
	return i;
}

/* NICs that are new, or have another MAC now. */
static void plugs_of_links(struct fleet *f, struct node *guest)
{
	const struct snapshot *s = guest->member.snapshot;
	for (size_t i = 0; s && i < s->link_count; i++) {
		const struct link *l = &s->links[i];
		if (l->loopback || !mac_is_set(l->mac) || l->master)
			continue;
		size_t at = plug_index(guest, l->name);
		if (at < guest->plug_count) {
			guest->plugs[at].mac = l->mac;
			continue;
		}
		struct search q = place_search(f, guest, l->mac, NULL);
		if (!q.best.host || guest->plug_count == PLUGS_MAX)
			continue;
		struct plug *g = &guest->plugs[guest->plug_count++];
		*g = (struct plug){0};
		str_copy(g->ifname, sizeof(g->ifname), l->name);
		plug_set(guest, g, &q);
		g->live = q.best.sight->how != SIGHT_TWIN;
	}
}

static void plugs_update(struct fleet *f, struct node *guest, struct wall now)
{
	for (size_t i = guest->plug_count; i-- > 0;)
		plug_update(f, guest, i, now);
	plugs_of_links(f, guest);
}

/* ---- the whole ---- */

static bool node_take_snapshot(struct node *n, struct wall now)
{
	uint64_t digest = macs_digest(n) | 1;
	if (node_is_host(n))
		ports_sync(n, now);
	bool macs_changed = digest != n->macs;
	n->macs = digest;
	return macs_changed;
}

static void hosts_update(struct fleet *f, const struct node *only, struct wall now)
{
	for (size_t i = 0; i < f->count; i++) {
		struct node *h = f->nodes[i];
		if (!node_is_host(h) || !h->member.snapshot)
			continue;
		if (!only || only == h)
			sights_update(f, h);
		uplinks_update(f, h, now);
		towards_update(h);
	}
}

void places_update(struct fleet *f, struct node *changed, struct wall now)
{
	bool macs_changed = changed && node_take_snapshot(changed, now);
	if (macs_changed)
		owners_rebuild(f);
	if (changed)
		met_update(f, changed);
	if (macs_changed || !changed)
		hosts_update(f, NULL, now);
	else if (node_is_host(changed))
		hosts_update(f, changed, now);
	for (size_t i = 0; i < f->count; i++)
		if (!node_is_host(f->nodes[i]))
			plugs_update(f, f->nodes[i], now);
	for (size_t i = 0; i < f->count; i++)
		if (f->nodes[i] == changed || node_is_host(f->nodes[i]))
			cands_update(f, f->nodes[i]);
}

void places_forget(struct fleet *f, const struct node *gone)
{
	owners_rebuild(f);
	for (size_t i = 0; i < f->count; i++)
		for (size_t k = f->nodes[i]->plug_count; k-- > 0;)
			if (f->nodes[i]->plugs[k].host == gone)
				plug_drop(f->nodes[i], k);
}

void places_free(struct node *n)
{
	for (size_t i = 0; i < n->port_count; i++)
		free(n->ports[i].seen);
	free(n->ports);
	free(n->towards);
	free(n->met);
}

/* ---- answers ---- */

const struct plug *plug_find(const struct node *guest, struct mac mac)
{
	const struct snapshot *s = guest->member.snapshot;
	for (size_t i = 0; i < guest->plug_count; i++)
		if (!mac_is_set(mac) || mac_equal(guest->plugs[i].mac, mac))
			return &guest->plugs[i];
	for (size_t i = 0; s && i < s->link_count; i++) {
		size_t at = mac_equal(s->links[i].mac, mac) ? plug_index(guest, s->links[i].name) : guest->plug_count;
		if (at < guest->plug_count)
			return &guest->plugs[at];
	}
	return NULL;
}

bool fleet_place(const struct fleet *f, const struct member *guest, struct mac mac, struct place *out)
{
	(void)f;
	const struct plug *g = plug_find(node_of(guest), mac);
	if (!g)
		return false;
	*out = (struct place){.host = &g->host->member, .live = g->live};
	str_copy(out->port, sizeof(out->port), g->port);
	str_copy(out->bridge, sizeof(out->bridge), g->bridge);
	return true;
}

/* Present first, then those that leave the machine, then those that lead to more of the known machines. */
static bool uplink_is_better(const struct port *a, const struct port *b)
{
	if (a->present != b->present)
		return a->present;
	return a->inner != b->inner ? b->inner : a->seen_count > b->seen_count;
}

static const struct port *uplink_default(const struct node *host, const char *bridge)
{
	const struct port *best = NULL;
	for (size_t i = 0; i < host->port_count; i++) {
		const struct port *p = &host->ports[i];
		if (p->uplink && bridge[0] && !strcmp(p->bridge, bridge) && (!best || uplink_is_better(p, best)))
			best = p;
	}
	return best;
}

/* Whatever it is: behind it that machine is seen. */
static const struct port *port_showing(const struct node *host, const char *bridge, struct mac mac)
{
	for (size_t i = 0; i < host->port_count; i++) {
		const struct port *p = &host->ports[i];
		for (size_t k = 0; k < p->seen_count && p->present && !strcmp(p->bridge, bridge); k++)
			if (mac_equal(p->seen[k].mac, mac) && p->seen[k].how == SIGHT_LEARNED)
				return p;
	}
	return NULL;
}

static const struct port *uplink_now(const struct node *host, const char *bridge, struct mac mac)
{
	for (size_t i = 0; i < host->port_count; i++) {
		const struct port *p = &host->ports[i];
		for (size_t k = 0; k < p->seen_count && p->uplink && p->present && !strcmp(p->bridge, bridge); k++)
			if (mac_equal(p->seen[k].mac, mac))
				return p;
	}
	return NULL;
}

static const struct towards *towards_find(const struct node *host, const char *bridge, struct mac mac)
{
	for (size_t i = 0; i < host->towards_count; i++)
		if (mac_equal(host->towards[i].mac, mac) && !strcmp(host->towards[i].bridge, bridge))
			return &host->towards[i];
	return NULL;
}

bool fleet_uplink(const struct fleet *f, const struct member *host, const char *bridge, struct mac towards,
                  char out[static IFNAME_LEN])
{
	(void)f;
	const struct node *h = node_of(host);
	const struct port *p = mac_is_set(towards) ? uplink_now(h, bridge, towards) : NULL;
	const struct towards *t = mac_is_set(towards) ? towards_find(h, bridge, towards) : NULL;
	if (!p && !t)
		p = uplink_default(h, bridge);
	if (!p && !t && mac_is_set(towards))
		p = port_showing(h, bridge, towards);
	str_copy(out, IFNAME_LEN, p ? p->name : t ? t->port : "");
	return out[0] != '\0';
}

bool port_leads_out(const struct node *host, const char *bridge) { return uplink_default(host, bridge) != NULL; }

bool bridge_knows(const struct node *host, const char *bridge, uint16_t vlan, struct mac mac)
{
	const struct towards *t = towards_find(host, bridge, mac);
	return t && (!vlan || !t->vlan || t->vlan == vlan);
}

bool bridge_carries(const struct fleet *f, const struct node *host, const char *bridge)
{
	for (size_t i = 0; i < host->port_count; i++) {
		const struct port *p = &host->ports[i];
		if (p->present && p->guest_type && !p->uplink && !strcmp(p->bridge, bridge))
			return true;
	}
	for (size_t i = 0; i < f->count; i++)
		for (size_t k = 0; k < f->nodes[i]->plug_count; k++) {
			const struct plug *g = &f->nodes[i]->plugs[k];
			if (g->host == host && (!strcmp(g->bridge, bridge) || !strcmp(g->outer, bridge)))
				return true;
		}
	return false;
}
