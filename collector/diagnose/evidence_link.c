/* evidence_link: cables, bridges, ports, forwarding entries and packet sizes. */
#include "collector/diagnose/inquiry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const struct link *named(const struct snapshot *s, const char *name)
{
	return s && name && name[0] ? snapshot_link_named(s, name) : NULL;
}

static const struct placement *place(const struct inquiry *q, int end) { return &q->d->party[end].at; }
static bool is_guest(const struct inquiry *q, int end) { return q->d->party[end].kind == AGENT_GUEST; }

/* The host's side of a guest's cable. NULL: not known. */
static const struct link *port_of(const struct inquiry *q, int end)
{
	return is_guest(q, end) && place(q, end)->known ? named(party_facts(q->d, dossier_host(q->d, end)), place(q, end)->port)
	                                                : NULL;
}

/* ---- the guest's cable and NIC ---- */

static void cable_bind_host(const struct inquiry *q, const struct link *port)
{
	bindings_add(q->learned, "cable", "%s", name_of(q, dossier_host(q->d, q->who)));
	bindings_add(q->learned, "component", "%s", port->name);
	bindings_add(q->learned, port->up ? "port.unplugged" : "port.down", "%s", port->name);
	if (port->up && strncmp(port->name, "vnet", 4) == 0)
		bindings_add(q->learned, "port.libvirt", "%s", port->name);
	if (!port->up) { /* what the host routes to the guest went with it */
		struct inquiry there = *q;
		there.who = dossier_host(q->d, q->who);
		history_restore_on(&there, port->name, 3);
	}
}

static void cable_out(const struct inquiry *q, struct finding *f)
{
	const struct link *port = port_of(q, q->who), *nic = party_link(q->d, q->who);
	if (port && !port->up) {
		cable_bind_host(q, port);
		find_yes(f, ~0u, "the host's side of the cable of %s, %s:%s, is down", name_of(q, q->who),
		         name_of(q, dossier_host(q->d, q->who)), port->name);
	} else if (nic && nic->up && !nic->carrier) {
		if (port)
			cable_bind_host(q, port);
		else
			bindings_add(q->learned, "cable", "%s", name_of(q, q->who));
		find_yes(f, ~0u, "%s:%s is up and has no carrier", name_of(q, q->who), nic->name);
	} else if (!nic && (!port || !port->carrier)) {
		find_unknown(f, "%s did not say whether its interface has a carrier", name_of(q, q->who));
	} else {
		find_no(f, "the cable of %s is plugged in at both ends", name_of(q, q->who));
	}
}

static void nic_down(const struct inquiry *q, struct finding *f)
{
	const struct link *nic = party_link(q->d, q->who);
	if (!nic) {
		find_unknown(f, "%s did not report its interface", name_of(q, q->who));
	} else if (nic->up) {
		find_no(f, "%s:%s is up", name_of(q, q->who), nic->name);
	} else {
		history_restore(q, 3);
		bindings_add(q->learned, "component", "%s", nic->name);
		find_yes(f, ~0u, "%s:%s is switched off in %s", name_of(q, q->who), nic->name, name_of(q, q->who));
	}
}

/* ---- bridge membership ---- */

typedef bool end_fn(const struct inquiry *q, int end, struct finding *f);

/* Asks about both ends that stand on this host; true: said yes about one. */
static bool either_end(const struct inquiry *q, end_fn *ask, struct finding *f)
{
	const int ends[] = {q->dst, q->src};
	bool yes = false;
	for (size_t i = 0; i < 2; i++) {
		if (dossier_host(q->d, ends[i]) == q->who)
			yes |= ask(q, ends[i], f);
	}
	return yes;
}

static bool end_port_out(const struct inquiry *q, int end, struct finding *f)
{
	const struct link *port = port_of(q, end);
	if (!port || port->master || !place(q, end)->bridge[0])
		return false;
	bindings_add(q->learned, "port", "%s", port->name);
	bindings_add(q->learned, "component", "%s", port->name);
	bindings_add(q->learned, "join", "%s master %s", port->name, place(q, end)->bridge);
	find_yes(f, ~0u, "%s:%s, the port of %s, is no member of %s", name_of(q, q->who), port->name, name_of(q, end),
	         place(q, end)->bridge);
	return true;
}

static void port_out(const struct inquiry *q, struct finding *f)
{
	if (!either_end(q, end_port_out, f))
		find_no(f, "the guest's port is a member of its bridge");
}

static bool end_port_elsewhere(const struct inquiry *q, int end, struct finding *f)
{
	const struct link *port = port_of(q, end), *master = port ? snapshot_link(party_facts(q->d, q->who), port->master) : NULL;
	if (!master || !place(q, end)->bridge[0] || strcmp(master->name, place(q, end)->bridge) == 0)
		return false;
	bindings_add(q->learned, "component", "%s", port->name);
	bindings_add(q->learned, "join", "%s master %s", port->name, place(q, end)->bridge);
	find_yes(f, ~0u, "%s:%s, the port of %s, is in %s instead of %s", name_of(q, q->who), port->name, name_of(q, end),
	         master->name, place(q, end)->bridge);
	return true;
}

static void port_elsewhere(const struct inquiry *q, struct finding *f)
{
	if (!either_end(q, end_port_elsewhere, f))
		find_no(f, "the guest's port is in its own bridge");
}

static bool end_uplink_out(const struct inquiry *q, int end, struct finding *f)
{
	const struct placement *at = place(q, end);
	const struct link *up = named(party_facts(q->d, q->who), at->uplink);
	if (!up || up->master || !at->bridge[0])
		return false;
	bindings_add(q->learned, "component", "%s", up->name);
	bindings_add(q->learned, "join", "%s master %s", up->name, at->bridge);
	find_yes(f, ~0u, "%s:%s, the uplink, is no member of %s", name_of(q, q->who), up->name, at->bridge);
	return true;
}

/* Between two on the same link nothing but a bridge joins a port and an uplink. */
static bool is_torn(const struct inquiry *q, const struct crossing *c)
{
	const struct link *in = snapshot_link(party_facts(q->d, q->who), c->in->master),
	                  *out = snapshot_link(party_facts(q->d, q->who), c->out->master);
	bool leads_out = c->out_role == POINT_UPLINK && !c->out->master && in && link_is_bridge(in);
	bool leads_in = c->in_role == POINT_UPLINK && !c->in->master && out && link_is_bridge(out);
	return q->d->onlink && (leads_out || leads_in);
}

static void uplink_out(const struct inquiry *q, struct finding *f)
{
	struct crossing c;
	if (either_end(q, end_uplink_out, f))
		return;
	if (!crossing_find(q, is_torn, &c)) {
		find_no(f, "the uplink of %s is a member of the bridge", name_of(q, q->who));
		return;
	}
	const struct link *up = c.in->master ? c.out : c.in, *port = up == c.in ? c.out : c.in;
	const char *bridge = snapshot_link(party_facts(q->d, q->who), port->master)->name;
	bindings_add(q->learned, "component", "%s", up->name);
	bindings_add(q->learned, "join", "%s master %s", up->name, bridge);
	find_yes(f, ~0u, "%s:%s, the uplink, is no member of %s, where %s leads to", name_of(q, q->who), up->name, bridge,
	         port->name);
}

/* A veth has no carrier when the other one of the pair is switched off. */
static const struct link *peer_down(const struct inquiry *q, const struct link *l)
{
	const struct link *peer = l->parent && !l->parent_elsewhere && strcmp(l->kind, "veth") == 0
	                              ? snapshot_link(party_facts(q->d, q->who), l->parent)
	                              : NULL;
	return l->up && peer && !peer->up ? peer : NULL;
}

static bool end_uplink_down(const struct inquiry *q, int end, struct finding *f)
{
	const struct link *up = named(party_facts(q->d, q->who), place(q, end)->uplink);
	if (!up || (up->up && up->carrier))
		return false;
	if (peer_down(q, up))
		up = peer_down(q, up);
	bindings_add(q->learned, "component", "%s", up->name);
	bindings_add(q->learned, up->up ? "uplink.cable" : "uplink.down", "%s", up->name);
	find_yes(f, ~0u, "%s:%s, the uplink, %s", name_of(q, q->who), up->name, up->up ? "has no carrier" : "is switched off");
	return true;
}

static void uplink_down(const struct inquiry *q, struct finding *f)
{
	if (!either_end(q, end_uplink_down, f))
		find_no(f, "the uplink of %s is up", name_of(q, q->who));
}

/* The bridge that this point of the way belongs to, as a port or as the bridge itself; 0 = to none of q->who. */
static uint32_t bridge_at(const struct inquiry *q, uint8_t point)
{
	const struct path_point *p = &q->v->dir[q->p->dir].path[point];
	bool here = point_party(q->d, q->v, q->p->dir, point) == q->who && p->role != POINT_SOCKET;
	const struct link *l = here ? named(party_facts(q->d, q->who), p->ifname) : NULL;
	return !l ? 0 : link_is_bridge(l) ? l->index : l->master;
}

/* What dies within one bridge of a host is no matter of another one, between which the host only routes. */
static bool dies_in_other_bridge(const struct inquiry *q, const struct link *bridge)
{
	uint32_t at = bridge_at(q, q->p->after);
	return at && at != bridge->index && at == bridge_at(q, q->p->before);
}

/* Open vSwitch forwards between ports whatever the bridge's own device is: that is the host's only. */
static bool end_bridge_down(const struct inquiry *q, int end, struct finding *f)
{
	const struct link *b = named(party_facts(q->d, q->who), place(q, end)->bridge);
	if (!b || b->up || dies_in_other_bridge(q, b) ||
	    (strcmp(b->kind, "ovs-bridge") == 0 && is_guest(q, PARTY_A) && is_guest(q, PARTY_B)))
		return false;
	bindings_add(q->learned, "component", "%s", b->name);
	bindings_add(q->learned, "bridge.down", "%s", b->name);
	history_restore_on(q, b->name, 3);
	find_yes(f, ~0u, "%s:%s, the bridge, is switched off", name_of(q, q->who), b->name);
	return true;
}

static void bridge_down(const struct inquiry *q, struct finding *f)
{
	if (!either_end(q, end_bridge_down, f))
		find_no(f, "the bridge of %s is up", name_of(q, q->who));
}

/* ---- ports: pairs that frames cross ---- */

static const struct path_point *at_point(const struct inquiry *q, size_t i) { return &q->v->dir[q->p->dir].path[i]; }

/* The step from point i to the next, when both are interfaces of `who`. */
static bool crossing_at(const struct inquiry *q, size_t i, struct crossing *c)
{
	const struct snapshot *s = party_facts(q->d, q->who);
	if (point_party(q->d, q->v, q->p->dir, i) != q->who || point_party(q->d, q->v, q->p->dir, i + 1) != q->who)
		return false;
	*c = (struct crossing){named(s, at_point(q, i)->ifname), named(s, at_point(q, i + 1)->ifname), at_point(q, i)->role,
	                       at_point(q, i + 1)->role};
	return c->in && c->out;
}

bool crossing_find(const struct inquiry *q, crossing_fn *is, struct crossing *c)
{
	for (size_t i = q->p->after; q->p->placed && i < q->p->before; i++) {
		if (crossing_at(q, i, c) && is(q, c))
			return true;
	}
	return false;
}

/* Of a machine in between: an interface that the packets came by, or should leave by. */
static void way_down(const struct inquiry *q, struct finding *f)
{
	const struct snapshot *s = party_facts(q->d, q->who);
	for (size_t i = q->p->after; s && q->p->placed && i <= q->p->before; i++) {
		const struct link *l = point_party(q->d, q->v, q->p->dir, i) == q->who ? named(s, at_point(q, i)->ifname) : NULL;
		if (!l || (l->up && l->carrier))
			continue;
		bindings_add(q->learned, "component", "%s", l->name);
		bindings_add(q->learned, l->up ? "link.cable" : "link.down", "%s", l->name);
		if (!l->up)
			history_restore_on(q, l->name, 3);
		find_yes(f, ~0u, "%s:%s %s", name_of(q, q->who), l->name, l->up ? "has no carrier" : "is switched off");
		return;
	}
	if (s)
		find_no(f, "the interfaces of %s on the way are up", name_of(q, q->who));
	else
		find_unknown(f, "%s did not report its interfaces", name_of(q, q->who));
}

static bool both_isolated(const struct inquiry *q, const struct crossing *c)
{
	(void)q;
	return c->in->port && c->out->port && c->in->master == c->out->master && c->in->isolated && c->out->isolated;
}

static bool turned_on(const struct inquiry *q, const struct link *port)
{
	char key[64];
	snprintf(key, sizeof key, "port.%s.isolated", port->name);
	const struct fact_change *c = history_last(&q->d->party[q->who], key);
	return c && c->now && strcmp(c->now, "on") == 0;
}

/* One of the two is enough: the uplink if it is one, else those that were changed, else the receiver's. */
static void isolation_bind(const struct inquiry *q, const struct crossing *c)
{
	const struct link *const both[] = {c->in, c->out};
	const uint8_t roles[] = {c->in_role, c->out_role};
	for (size_t i = 0; i < 2; i++) {
		if (roles[i] == POINT_UPLINK)
			bindings_add(q->learned, "isolated", "%s", both[i]->name);
	}
	bool turn = c->in->index > c->out->index; /* the same order whichever way the packets go */
	for (size_t i = 0; i < 2 && c->in_role != POINT_UPLINK && c->out_role != POINT_UPLINK; i++) {
		if (turned_on(q, both[turn ? 1 - i : i]))
			bindings_add(q->learned, "isolated", "%s", both[turn ? 1 - i : i]->name);
	}
	if (!bindings_get(q->learned, "isolated"))
		bindings_add(q->learned, "isolated", "%s", c->out->name);
	bindings_add(q->learned, "component", "%s", bindings_get(q->learned, "isolated"));
}

static void ports_isolated(const struct inquiry *q, struct finding *f)
{
	struct crossing c;
	if (!crossing_find(q, both_isolated, &c)) {
		find_no(f, "the two ports are not isolated from each other");
		return;
	}
	isolation_bind(q, &c);
	find_yes(f, ~0u, "%s:%s and %s:%s are both isolated ports: the bridge passes nothing between them", name_of(q, q->who),
	         c.in->name, name_of(q, q->who), c.out->name);
}

static void isolated_uplink(const struct inquiry *q, struct finding *f)
{
	struct crossing c;
	if (crossing_find(q, both_isolated, &c) && (c.in_role == POINT_UPLINK || c.out_role == POINT_UPLINK))
		find_yes(f, ~0u, "one of the two is the uplink");
	else
		find_no(f, "neither of the two is the uplink");
}

static const char *const state_names[] = {"disabled", "listening", "learning", "forwarding", "blocking"};

/* A port may be kept from forwarding by more than its state: then the state is a symptom. */
static bool is_held(const struct snapshot *s, const struct link *l)
{
	const struct link *bridge = l && l->port && l->master ? snapshot_link(s, l->master) : NULL;
	return bridge && bridge->up && l->up && l->carrier && l->port_state != PORT_FORWARDING;
}

static void state_bind(const struct inquiry *q, const struct snapshot *s, const struct link *l, bool uplink)
{
	const struct link *bridge = snapshot_link(s, l->master);
	bindings_add(q->learned, "component", "%s", l->name);
	bindings_add(q->learned, "port", "%s", l->name);
	bindings_add(q->learned, "bridge", "%s", bridge->name);
	if (!bridge->stp)
		bindings_add(q->learned, "port.held", "%s", l->name);
	else if (!uplink) /* nothing can loop behind a guest's port */
		bindings_add(q->learned, "port.held.stp", "%s", l->name);
}

static void port_held(const struct inquiry *q, struct finding *f)
{
	const struct snapshot *s = party_facts(q->d, q->who);
	for (size_t i = q->p->after; s && q->p->placed && i <= q->p->before; i++) {
		const struct link *l = point_party(q->d, q->v, q->p->dir, i) == q->who ? named(s, at_point(q, i)->ifname) : NULL;
		if (!is_held(s, l))
			continue;
		state_bind(q, s, l, at_point(q, i)->role == POINT_UPLINK);
		find_yes(f, ~0u, "%s:%s is up and %s, not forwarding", name_of(q, q->who), l->name,
		         l->port_state < COUNT(state_names) ? state_names[l->port_state] : "?");
		return;
	}
	if (s)
		find_no(f, "every port on the way forwards");
	else
		find_unknown(f, "%s did not report its ports", name_of(q, q->who));
}

static bool in_is_locked(const struct inquiry *q, const struct crossing *c)
{
	(void)q;
	return c->in->port && c->in->locked;
}

static void port_locked(const struct inquiry *q, struct finding *f)
{
	struct crossing c;
	if (!crossing_find(q, in_is_locked, &c)) {
		find_no(f, "the port it comes in by is not locked");
		return;
	}
	bindings_add(q->learned, "component", "%s", c.in->name);
	bindings_add(q->learned, "port", "%s", c.in->name);
	find_yes(f, ~0u, "%s:%s is locked: it takes frames of authorised addresses only", name_of(q, q->who), c.in->name);
}

static bool out_is_quiet(const struct inquiry *q, const struct crossing *c)
{
	bool arp = dying(q) & KIND_BIT(KIND_ARP), nd = dying(q) & KIND_BIT(KIND_ND);
	return c->out->port && ((arp && !c->out->bcast_flood) || (nd && !c->out->mcast_flood));
}

/* Where a router asks in vain, its question dies further on than the packets that wait for the answer. */
static bool question_dies(const struct inquiry *q, struct crossing *c)
{
	struct finding vain = {0};
	struct problem further = *q->p;
	struct inquiry at = *q;
	evidence_find("asked-in-vain")->find(q, &vain);
	if (vain.is != TRI_YES)
		return false;
	further.after = q->p->before;
	further.before = (uint8_t)(q->v->dir[q->p->dir].path_count - 1);
	further.probes = (vain.kinds & KIND_BIT(KIND_ICMP) ? KIND_BIT(KIND_ARP) : 0) |
	                 (vain.kinds & KIND_BIT(KIND_ICMP6) ? KIND_BIT(KIND_ND) : 0);
	at.p = &further;
	return crossing_find(&at, out_is_quiet, c);
}

static void flood_off(const struct inquiry *q, struct finding *f)
{
	struct crossing c;
	if (!crossing_find(q, out_is_quiet, &c) && !question_dies(q, &c)) {
		find_no(f, "the port it should leave by gets what is meant for all");
		return;
	}
	kind_mask kinds = (!c.out->bcast_flood ? kinds_of_family(4) : 0) | (!c.out->mcast_flood ? kinds_of_family(6) : 0);
	bindings_add(q->learned, "component", "%s", c.out->name);
	if (!c.out->bcast_flood)
		bindings_add(q->learned, "flood", "%s bcast_flood on", c.out->name);
	if (!c.out->mcast_flood)
		bindings_add(q->learned, "flood", "%s mcast_flood on", c.out->name);
	find_yes(f, kinds, "%s:%s does not get frames meant for all (%s off)", name_of(q, q->who), c.out->name,
	         !c.out->bcast_flood ? "bcast_flood" : "mcast_flood");
}

/* A fixed entry that sends the receiver's frames to another port than the path does. */
static const struct fdb *wrong_fdb(const struct inquiry *q, const struct crossing *c)
{
	const struct snapshot *s = party_facts(q->d, q->who);
	for (size_t i = 0; i < s->fdb_count; i++) {
		const struct fdb *e = &s->fdbs[i];
		if (mac_equal(e->mac, q->d->party[q->dst].ep.mac) && e->bridge == c->out->master && e->port != c->out->index &&
		    e->port != e->bridge && (e->sticky || e->local))
			return e;
	}
	return NULL;
}

static bool has_wrong_fdb(const struct inquiry *q, const struct crossing *c) { return c->out->master && wrong_fdb(q, c); }

static void fdb_wrong(const struct inquiry *q, struct finding *f)
{
	struct crossing c;
	char mac[MAC_TEXT_MAX];
	if (!crossing_find(q, has_wrong_fdb, &c)) {
		find_no(f, "no fixed forwarding entry of %s leads elsewhere", name_of(q, q->who));
		return;
	}
	const struct fdb *e = wrong_fdb(q, &c);
	const struct link *port = snapshot_link(party_facts(q->d, q->who), e->port);
	const char *name = port ? port->name : "?";
	bindings_add(q->learned, "component", "%s", mac_format(e->mac, mac));
	bindings_add(q->learned, "fdb", "%s dev %s master", mac, name);
	find_yes(f, ~0u, "on %s a fixed entry sends %s to port %s, not to %s", name_of(q, q->who), mac, name, c.out->name);
}

/* ---- sizes ---- */

static uint32_t large_size(const struct inquiry *q)
{
	uint32_t size = 0;
	for (int k = 0; k < KIND_COUNT; k++) {
		bool answer = !(q->p->probes & KIND_BIT(k));
		const struct flow *f = dying(q) & KIND_BIT(k) ? flow_of(q->d, k, answer ? 1 - q->p->dir : q->p->dir) : NULL;
		if (f && kind_info((enum kind)k)->large && f->size > size)
			size = f->size;
	}
	return size;
}

static uint32_t former_mtu(const struct inquiry *q, const char *ifname)
{
	char key[64];
	snprintf(key, sizeof key, "link.%s.mtu", ifname);
	const struct fact_change *c = history_last(&q->d->party[q->who], key);
	return c && c->was ? (uint32_t)strtoul(c->was, NULL, 10) : 0;
}

static void receiver_small(const struct inquiry *q, struct finding *f)
{
	const struct link *l = q->who == q->dst ? party_link(q->d, q->who) : NULL;
	uint32_t size = large_size(q), was;
	if (!l) {
		find_unknown(f, "%s did not report its MTU", name_of(q, q->who));
		return;
	}
	if (l->mtu >= size) {
		find_no(f, "the MTU of %s:%s is %u, enough for packets of %u", name_of(q, q->who), l->name, l->mtu, size);
		return;
	}
	was = former_mtu(q, l->name);
	bindings_add(q->learned, "component", "%s", l->name);
	bindings_add(q->learned, "mtu", "%u", was >= size ? was : size);
	find_yes(f, kinds_large(), "the MTU of %s:%s is %u, and packets of %u come for it", name_of(q, q->who), l->name, l->mtu,
	         size);
}

/* IPv6 is switched off on an interface whose MTU is smaller (RFC 8200 section 5): then there is nothing to lower. */
#define IPV6_MTU_MIN 1280
static void lower_bind(const struct inquiry *q, uint32_t mtu)
{
	bool six = party_prefix(q->d, q->src, 6).ip.family || party_prefix(q->d, q->dst, 6).ip.family;
	if (mtu && (!six || mtu >= IPV6_MTU_MIN))
		bindings_add(q->learned, "mtu", "%u", mtu);
}

static void sender_large(const struct inquiry *q, struct finding *f)
{
	const struct link *l = q->who == q->src ? party_link(q->d, q->who) : NULL,
	                  *port = q->who == q->src ? port_of(q, q->who) : NULL;
	uint32_t size = large_size(q);
	if (!l || !port) {
		find_unknown(f, "the MTU of the port of %s is not known", name_of(q, q->who));
		return;
	}
	if (l->mtu <= port->mtu || size <= port->mtu) {
		find_no(f, "the port of %s carries what it sends", name_of(q, q->who));
		return;
	}
	bindings_add(q->learned, "component", "%s", l->name);
	lower_bind(q, port->mtu);
	find_yes(f, kinds_large(), "the MTU of %s:%s is %u, that of its port %s only %u", name_of(q, q->who), l->name, l->mtu,
	         port->name, port->mtu);
}

/* The largest rung of the ladder that arrived; 0 = it was not climbed. */
static uint32_t ladder_best(const struct dossier *d, int dir)
{
	uint32_t best = 0;
	for (size_t i = 0; i < d->flow_count; i++) {
		const struct flow *f = &d->flows[i];
		if (!f->ladder || f->dir != dir)
			continue;
		const struct flow_received *r = dossier_received(d, f->id);
		const struct flow_sent *s = dossier_sent(d, f->id);
		seqset got = (r && r->looked ? r->seen : 0) | (s ? s->answered : 0);
		for (size_t n = 0; n < LADDER_COUNT; n++) {
			if (got & (seqset)1 << n && ladder_sizes[n] > best)
				best = ladder_sizes[n];
		}
	}
	return best;
}

static uint32_t path_mtu(const struct dossier *d)
{
	uint32_t ab = ladder_best(d, 0), ba = ladder_best(d, 1);
	return !ab ? ba : !ba || ab < ba ? ab : ba;
}

/* What leaves by this port: a packet that is routed from one bridge to another goes through the other one's own device. */
static const struct link *narrow_part(const struct inquiry *q, const struct crossing *c)
{
	const struct link *bridge = snapshot_link(party_facts(q->d, q->who), c->out->master);
	bool routed = bridge && c->in->master != c->out->master;
	return routed && bridge->mtu < c->out->mtu ? bridge : c->out;
}

static bool out_is_narrow(const struct inquiry *q, const struct crossing *c)
{
	uint32_t mtu = narrow_part(q, c)->mtu; /* a patch port of Open vSwitch has none */
	return mtu && mtu < large_size(q);
}

/* An interface of `who` on the stretch, but not that of an end, that is too small for it. NULL = none. */
static const struct link *narrow_find(const struct inquiry *q)
{
	struct crossing c;
	const struct snapshot *s = party_facts(q->d, q->who);
	if (q->who == q->src || q->who == q->dst)
		s = NULL;
	if (crossing_find(q, out_is_narrow, &c))
		return narrow_part(q, &c);
	for (size_t i = q->p->after; s && q->p->placed && i <= q->p->before; i++) {
		const struct link *l = point_party(q->d, q->v, q->p->dir, i) == q->who ? named(s, at_point(q, i)->ifname) : NULL;
		if (l && l->mtu && l->mtu < large_size(q))
			return l;
	}
	return NULL;
}

static bool narrow_elsewhere(const struct inquiry *q)
{
	struct inquiry at = *q;
	for (at.who = 0; at.who < (int)q->d->party_count; at.who++) {
		if (at.who != q->who && narrow_find(&at))
			return true;
	}
	return false;
}

static bool is_host_point(const struct inquiry *q, size_t i) { return at_point(q, i)->agent_kind == AGENT_HOST; }

static bool lost_behind_uplink(const struct inquiry *q)
{
	for (size_t i = q->p->after; q->p->placed && i < q->p->before; i++) {
		if (is_host_point(q, i) && is_host_point(q, i + 1) &&
		    point_party(q->d, q->v, q->p->dir, i) != point_party(q->d, q->v, q->p->dir, i + 1))
			return true;
	}
	return false;
}

static bool ends_large_enough(const struct inquiry *q, uint32_t size)
{
	const struct link *a = party_link(q->d, q->src), *b = party_link(q->d, q->dst);
	return a && b && a->mtu >= size && b->mtu >= size;
}

static void small_here(const struct inquiry *q, const struct link *part, uint32_t size, struct finding *f)
{
	uint32_t best = path_mtu(q->d), was = former_mtu(q, part->name);
	if (was >= size)
		bindings_add(q->learned, "narrow", "%s mtu %u", part->name, was);
	else
		lower_bind(q, part->mtu < best || !best ? part->mtu : best);
	bindings_add(q->learned, "component", "%s", part->name);
	bindings_add(q->learned, "span", "%s", name_of(q, q->who));
	find_yes(f, kinds_large(), "the MTU of %s:%s on the way is %u", name_of(q, q->who), part->name, part->mtu);
}

static void path_small(const struct inquiry *q, struct finding *f)
{
	uint32_t size = large_size(q);
	const struct link *part = narrow_find(q);
	if (!ends_large_enough(q, size) || (!part && (!lost_behind_uplink(q) || narrow_elsewhere(q)))) {
		find_no(f, "the network between the hosts carries packets of this size, or an end does not");
		return;
	}
	if (part) {
		small_here(q, part, size, f);
		return;
	}
	lower_bind(q, path_mtu(q->d));
	bindings_add(q->learned, "component", "%s", "between the uplinks");
	bindings_add(q->learned, "span", "%s-%s", name_of(q, dossier_host(q->d, PARTY_A)), name_of(q, dossier_host(q->d, PARTY_B)));
	find_yes(f, kinds_large(), "both ends have an MTU of at least %u, and packets of that size do not cross between the hosts",
	         size);
}

static void ladder_fits(const struct inquiry *q, struct finding *f)
{
	uint32_t best = path_mtu(q->d), size = large_size(q);
	if (!best)
		find_unknown(f, "smaller sizes were not tried");
	else if (best < size)
		find_yes(f, ~0u, "packets of %u arrive, of %u do not", best, size);
	else
		find_no(f, "packets of %u arrive", best);
}

static const struct evidence items[] = {
    {"cable-out", cable_out, "links of guest and host",
     "the guest's virtual cable is unplugged: its interface is up without a carrier, or the host's side is down"},
    {"nic-down", nic_down, "links", "the interface is switched off in the guest"},
    {"port-out", port_out, "links of the host, placement", "the guest's port is no member of the bridge it belongs to"},
    {"port-elsewhere", port_elsewhere, "links of the host, placement", "the guest's port is in another bridge than before"},
    {"uplink-out", uplink_out, "links of the host, placement", "the uplink is no member of the bridge"},
    {"uplink-down", uplink_down, "links of the host", "the uplink is switched off or has no carrier"},
    {"way-down", way_down, "cut, links", "an interface of the machine on the way is switched off or has no carrier"},
    {"bridge-down", bridge_down, "links of the host", "the bridge is switched off"},
    {"ports-isolated", ports_isolated, "bridge ports", "both ports on the way are isolated"},
    {"isolated-uplink", isolated_uplink, "bridge ports", "one of the two isolated ports is the uplink"},
    {"port-held", port_held, "bridge ports", "a port on the way is up and does not forward"},
    {"port-locked", port_locked, "bridge ports", "the port it comes in by is locked"},
    {"flood-off", flood_off, "bridge ports", "the port it should leave by gets no broadcasts or multicasts"},
    {"fdb-wrong", fdb_wrong, "forwarding entries", "a fixed forwarding entry leads to another port"},
    {"receiver-mtu-smaller", receiver_small, "MTU", "the receiver's MTU is smaller than the packets"},
    {"sender-mtu-larger", sender_large, "MTU", "the sender's MTU is larger than that of its port"},
    {"path-mtu-smaller", path_small, "MTU, cut", "both ends take packets of this size and the way between them does not"},
    {"ladder-fits", ladder_fits, "packets of several sizes", "smaller packets arrive"},
};
const struct evidence_table evidence_link = {items, COUNT(items)};
