/* trail: from an interface down to the wire. */
#include "collector/trail.h"

#include "proto/base/mem.h"

#include <string.h>

#define VISITS_MAX 32 /* devices looked at: ends what goes round in circles */

struct descent {
	const struct fleet *f;
	struct trail *t;
	struct trail_aim aim;
	struct mac sender; /* of the frame, from the topmost device with a MAC */
	int left;          /* visits */
};

static void down(struct descent *d, struct member *m, const struct link *l, uint8_t role);

/* ---- steps ---- */

static bool step_is(const struct trail_step *s, const struct member *m, const char *ifname, bool junction)
{
	return s->member == m && s->junction == junction && strcmp(s->ifname, ifname) == 0;
}

static bool trail_has(const struct trail *t, const struct member *m, const char *ifname, bool junction)
{
	for (size_t i = 0; i < t->count; i++) {
		if (step_is(&t->step[i], m, ifname, junction))
			return true;
	}
	return false;
}

static bool step_add(struct descent *d, struct member *m, const char *ifname, uint8_t role, bool junction)
{
	struct trail *t = d->t;
	if (d->left-- <= 0 || t->count == TRAIL_MAX || trail_has(t, m, ifname, junction)) {
		t->open = true;
		return false;
	}
	struct trail_step *s = &t->step[t->count++];
	*s = (struct trail_step){.member = m, .role = role, .junction = junction};
	str_copy(s->ifname, sizeof s->ifname, ifname);
	return true;
}

static const struct link *link_of(const struct member *m, const char *ifname)
{
	return m->snapshot && ifname[0] ? snapshot_link_named(m->snapshot, ifname) : NULL;
}

static const struct link *link_below(const struct member *m, const struct link *l)
{
	return l->parent && !l->parent_elsewhere && l->parent != l->index ? snapshot_link(m->snapshot, l->parent) : NULL;
}

static bool is_one_of(const struct link *l, const char *const *kinds)
{
	for (; *kinds; kinds++) {
		if (strcmp(l->kind, *kinds) == 0)
			return true;
	}
	return false;
}

/* Devices on one parent that may hand frames to each other. */
static bool shares_parent(const struct link *l)
{
	static const char *const kinds[] = {"macvlan", "macvtap", "ipvlan", "ipvtap", NULL};
	return is_one_of(l, kinds);
}

static bool hands_over(const struct link *l)
{
	return shares_parent(l) && strcmp(l->mode, "vepa") != 0 && strcmp(l->mode, "private") != 0;
}

static bool has_twin(const struct link *l)
{
	static const char *const kinds[] = {"veth", "ovs-patch", "netkit", NULL};
	return is_one_of(l, kinds);
}

/* ---- bridges ---- */

/* The other side of a pair of devices joins its bridge with another one of the same machine. */
static bool leads_to_bridge(const struct member *m, const struct link *l)
{
	const struct link *twin = has_twin(l) ? link_below(m, l) : NULL;
	const struct link *over = twin && twin->master ? snapshot_link(m->snapshot, twin->master) : NULL;
	return over && link_is_bridge(over) && over->index != l->master;
}

/* A bridge with one such pair and no other way out: that is it. */
static const struct link *pair_out(const struct member *m, const char *bridge)
{
	const struct link *b = link_of(m, bridge), *found = NULL;
	for (size_t i = 0; b && i < m->snapshot->link_count; i++) {
		const struct link *l = &m->snapshot->links[i];
		if (l->master != b->index || !leads_to_bridge(m, l))
			continue;
		if (found)
			return NULL;
		found = l;
	}
	return found;
}

/* Where the bridge itself knows somebody to be whom nobody else knows: a router without an agent. */
static const struct link *learned_at(const struct descent *d, const struct member *m, const char *bridge)
{
	const struct link *b = mac_is_set(d->aim.mac) && !d->aim.whose ? link_of(m, bridge) : NULL;
	for (size_t i = 0; b && i < m->snapshot->fdb_count; i++) {
		const struct fdb *e = &m->snapshot->fdbs[i];
		bool is = e->bridge == b->index && !e->local && mac_equal(e->mac, d->aim.mac);
		const struct link *l = is ? snapshot_link(m->snapshot, e->port) : NULL;
		if (l && l->master == b->index && !trail_has(d->t, m, l->name, false))
			return l;
	}
	return NULL;
}

static void junction(struct descent *d, struct member *m, const char *bridge)
{
	struct trail *t = d->t;
	char port[IFNAME_LEN];
	if (!step_add(d, m, bridge, POINT_BRIDGE, true))
		return;
	if (!mac_is_set(d->aim.mac) && t->sure == TRAIL_MAX)
		t->sure = t->count;
	const struct link *l = fleet_uplink(d->f, m, bridge, d->aim.mac, port) ? link_of(m, port) : NULL;
	if (l && trail_has(t, m, l->name, false))
		l = NULL;
	if (!l)
		l = pair_out(m, bridge);
	if (!l)
		l = learned_at(d, m, bridge);
	if (l)
		down(d, m, l, leads_to_bridge(m, l) ? POINT_OTHER : POINT_UPLINK);
	else if (port[0] && step_add(d, m, port, POINT_UPLINK, false)) /* remembered; the device is gone */
		t->wire = true;
}

/* ---- what is below a device ---- */

static void wire(struct descent *d, struct member *m, const struct link *l)
{
	struct place place;
	struct trail *t = d->t;
	if (m->kind == AGENT_HOST) {
		t->wire = true;
		return;
	}
	struct mac mac = mac_is_set(l->mac) ? l->mac : d->sender;
	if (!fleet_place(d->f, m, mac, &place) || !place.host || !place.port[0]) {
		t->open = true;
		return;
	}
	const struct link *port = link_of(place.host, place.port);
	if (!step_add(d, place.host, place.port, POINT_PORT, false))
		return;
	if (place.bridge[0]) {
		junction(d, place.host, place.bridge);
	} else if (port && shares_parent(port)) {
		const struct link *parent = link_below(place.host, port);
		if (parent && (!hands_over(port) || step_add(d, place.host, parent->name, POINT_BRIDGE, true)))
			down(d, place.host, parent, POINT_UPLINK);
		else
			t->wire = true;
	} else {
		t->into = place.host;
	}
}

static void below_bridge(struct descent *d, struct member *m, const struct link *l) { junction(d, m, l->name); }

static void below_parent(struct descent *d, struct member *m, const struct link *l)
{
	const struct link *parent = link_below(m, l);
	if (!parent)
		wire(d, m, l);
	else if (!hands_over(l) || step_add(d, m, parent->name, POINT_BRIDGE, true))
		down(d, m, parent, POINT_OTHER);
}

/* Which of several ports of a bond a frame takes nobody says. */
static void below_bond(struct descent *d, struct member *m, const struct link *l)
{
	const struct link *only = l->active ? snapshot_link(m->snapshot, l->active) : NULL;
	size_t ports = 0;
	for (size_t i = 0; !l->active && i < m->snapshot->link_count; i++) {
		if (m->snapshot->links[i].master == l->index && m->snapshot->links[i].up) {
			only = &m->snapshot->links[i];
			ports++;
		}
	}
	if (only && ports <= 1) {
		down(d, m, only, POINT_OTHER);
		return;
	}
	d->t->open = true;
	wire(d, m, l);
}

static void below_pair(struct descent *d, struct member *m, const struct link *l)
{
	const struct link *twin = link_below(m, l);
	const struct link *over = twin && twin->master ? snapshot_link(m->snapshot, twin->master) : NULL;
	if (!twin) {
		wire(d, m, l);
		return;
	}
	if (!step_add(d, m, twin->name, POINT_OTHER, false))
		return;
	if (over && link_is_bridge(over))
		junction(d, m, over->name);
	else
		d->t->into = m;
}

/* ---- tunnels ---- */

static bool same_tunnel(const struct link *a, const struct link *b) { return a->vni == b->vni && strcmp(a->kind, b->kind) == 0; }

/* The machine that carries the other end has a device of the same tunnel: its address. */
static struct ip remote_of_peer(const struct descent *d, const struct link *l)
{
	struct place place;
	const struct member *at = d->aim.whose;
	if (at && at->kind == AGENT_GUEST)
		at = fleet_place(d->f, at, d->aim.mac, &place) ? place.host : NULL;
	for (size_t i = 0; at && at->snapshot && i < at->snapshot->link_count; i++) {
		const struct link *other = &at->snapshot->links[i];
		if (same_tunnel(l, other) && other->vx_local.family)
			return other->vx_local;
	}
	return (struct ip){0};
}

static struct ip remote_learned(const struct snapshot *s, const struct link *l, struct mac mac)
{
	for (size_t i = 0; i < s->fdb_count && mac_is_set(mac); i++) {
		const struct fdb *e = &s->fdbs[i];
		if (e->port == l->index && e->remote.family && mac_equal(e->mac, mac))
			return e->remote;
	}
	return (struct ip){0};
}

static struct ip remote_of(const struct descent *d, const struct member *m, const struct link *l)
{
	struct ip remote = remote_learned(m->snapshot, l, d->aim.mac);
	if (!remote.family)
		remote = remote_of_peer(d, l);
	if (!remote.family && l->vx_remote.family && !ip_is_multicast(l->vx_remote))
		remote = l->vx_remote;
	return remote;
}

static const struct member *owner_of_ip(const struct fleet *f, struct ip ip)
{
	const struct member *found = NULL;
	for (size_t i = 0; i < fleet_count(f); i++) {
		const struct member *m = fleet_at(f, i);
		if (m->kind != AGENT_HOST || !m->snapshot || !snapshot_addr_of(m->snapshot, ip))
			continue;
		if (found)
			return NULL;
		found = m;
	}
	return found;
}

/* The outer packet goes to the remote's own MAC, when that is on link. */
static struct trail_aim aim_at(const struct descent *d, const struct member *m, struct ip next)
{
	const struct neigh *n = snapshot_neigh(m->snapshot, next, 0);
	const struct member *owner = owner_of_ip(d->f, next);
	const struct addr *a = owner ? snapshot_addr_of(owner->snapshot, next) : NULL;
	const struct link *l = a ? snapshot_link(owner->snapshot, a->link) : NULL;
	struct trail_aim aim = {.whose = owner};
	if (n && mac_is_set(n->mac))
		aim.mac = n->mac;
	else if (l)
		aim.mac = l->mac;
	return aim;
}

static void below_tunnel(struct descent *d, struct member *m, const struct link *l)
{
	struct ip remote = remote_of(d, m, l);
	const struct route *r = remote.family ? snapshot_route(m->snapshot, remote, l->vx_local) : NULL;
	const struct link *out = r && r->link ? snapshot_link(m->snapshot, r->link) : link_below(m, l);
	if (!out) {
		d->t->open = d->t->wire = true;
		return;
	}
	if (!r || r->gateway.family) /* who carries it on is not looked for */
		d->t->open = true;
	if (remote.family)
		d->aim = aim_at(d, m, r && r->gateway.family ? r->gateway : remote);
	down(d, m, out, POINT_OTHER);
}

static const struct {
	const char *kind;
	void (*below)(struct descent *d, struct member *m, const struct link *l);
} kinds[] = {
    {"bridge", below_bridge},    {"ovs-bridge", below_bridge}, {"vlan", below_parent},   {"macvlan", below_parent},
    {"macvtap", below_parent},   {"ipvlan", below_parent},     {"ipvtap", below_parent}, {"bond", below_bond},
    {"team", below_bond},        {"veth", below_pair},         {"netkit", below_pair},   {"ovs-patch", below_pair},
    {"vxlan", below_tunnel},     {"geneve", below_tunnel},     {"gre", below_tunnel},    {"gretap", below_tunnel},
    {"ip6gretap", below_tunnel},
};

static void down(struct descent *d, struct member *m, const struct link *l, uint8_t role)
{
	if (!step_add(d, m, l->name, role, false))
		return;
	if (mac_is_set(l->mac) && !mac_is_set(d->sender))
		d->sender = l->mac;
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		if (strcmp(l->kind, kinds[i].kind) == 0) {
			kinds[i].below(d, m, l);
			return;
		}
	}
	wire(d, m, l);
}

/* ---- the whole ---- */

/* The device is not reported: what is remembered of it still tells the port. */
static void down_unseen(struct descent *d, struct member *m, const char *ifname)
{
	const struct link gone = {.index = 0};
	if (step_add(d, m, ifname, POINT_NIC, false))
		wire(d, m, &gone);
}

void trail_down(const struct fleet *f, struct member *m, const char *ifname, struct mac mac, const struct trail_aim *aim,
                struct trail *out)
{
	struct descent d = {.f = f, .t = out, .aim = *aim, .sender = mac, .left = VISITS_MAX};
	const struct link *l = link_of(m, ifname);
	const struct link *over = l && l->master ? snapshot_link(m->snapshot, l->master) : NULL;
	*out = (struct trail){.sure = TRAIL_MAX};
	if (!l)
		down_unseen(&d, m, ifname);
	else if (over && strcmp(over->kind, "ovs-bridge") == 0 && step_add(&d, m, l->name, POINT_BRIDGE, false))
		junction(&d, m, over->name); /* an internal port: the machine's own foot in that bridge */
	else
		down(&d, m, l, m->kind == AGENT_HOST && link_is_bridge(l) ? POINT_BRIDGE : POINT_NIC);
	if (out->sure > out->count)
		out->sure = out->count;
}

bool trail_meet(const struct trail *a, const struct trail *b, size_t *at_a, size_t *at_b)
{
	for (size_t i = 0; i < a->count; i++) {
		for (size_t k = 0; k < b->count; k++) {
			if (!step_is(&b->step[k], a->step[i].member, a->step[i].ifname, a->step[i].junction))
				continue;
			*at_a = i;
			*at_b = k;
			return true;
		}
	}
	return false;
}
