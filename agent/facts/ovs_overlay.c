/* ovs_overlay: lays the model of an Open vSwitch over a snapshot. What the kernel has as a device keeps that link; the rest (patch
 * ports, tunnels, vhost-user, bonds) becomes links of its own. */
#include "agent/facts/ovs_model.h"
#include "agent/facts/source.h"
#include "proto/base/mem.h"

#include <stdio.h>
#include <string.h>

#define VXLAN_PORT 4789

/* ---- links ---- */

static struct link *link_at(struct snapshot *s, uint32_t index)
{
	for (size_t i = 0; i < s->link_count; i++)
		if (s->links[i].index == index)
			return &s->links[i];
	return NULL;
}

/* Names of ports may be longer than those of devices: cut, and with the number, unique in their bridge. */
static void name_fit(char out[static IFNAME_LEN], const char *name, uint32_t number)
{
	if (str_copy(out, IFNAME_LEN, name) < 0)
		snprintf(out + 9, IFNAME_LEN - 9, "~%u", number & 0xffff);
}

/* The same index each time as long as the row lives: `hint` comes from its uuid. */
static struct link *link_make(struct snapshot *s, const char *name, uint32_t number, uint32_t hint)
{
	struct link *l;

	while (link_at(s, hint))
		hint = (hint + 1) | OVS_SYNTHETIC;
	l = SNAP_ADD(s, links, link_count, SNAP_LINKS_MAX);
	if (!l)
		return NULL;
	name_fit(l->name, name, number);
	l->index = hint;
	l->up = l->carrier = true;
	return l;
}

static struct link *link_of_kernel(struct snapshot *s, const char *name)
{
	const struct link *l = snapshot_link_named(s, name);
	return l && l->index < OVS_SYNTHETIC ? link_at(s, l->index) : NULL;
}

static const char *kind_of(const char *type)
{
	static const struct {
		const char *type, *kind;
	} kinds[] = {
	    {"patch", "ovs-patch"},
	    {"dpdkvhostuser", "ovs-vhostuser"},
	    {"dpdk", "ovs-dpdk"},
	    {"dpdkvhostuserclient", "ovs-vhostuser"},
	    {"internal", "ovs-internal"},
	    {"tap", "tun"},
	    {"", "ovs-absent"} /* in the configuration, not on the machine */,
	};

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (strcmp(type, kinds[i].type) == 0)
			return kinds[i].kind;
	return type;
}

static bool is_tunnel(const struct ovs_iface *f) { return f->remote.family || f->key || f->tunnel_port; }

static void link_fill(struct link *l, const struct ovs_iface *f)
{
	str_copy(l->kind, sizeof l->kind, kind_of(f->type));
	l->mac = f->mac;
	l->mtu = f->mtu;
	l->up = f->up;
	l->carrier = f->carrier;
	if (!is_tunnel(f))
		return;
	l->vni = f->key;
	l->vx_remote = f->remote;
	l->vx_local = f->local;
	l->vx_port = f->tunnel_port || strcmp(f->type, "vxlan") ? f->tunnel_port : VXLAN_PORT;
}

static void iface_lay(struct snapshot *s, struct ovs_iface *f)
{
	struct link *l = link_of_kernel(s, f->name);

	if (l && strcmp(f->type, "internal") == 0)
		str_copy(l->kind, sizeof l->kind, kind_of(f->type));
	if (!l && (l = link_make(s, f->name, f->number, f->hint)))
		link_fill(l, f);
	f->index = l ? l->index : 0;
}

static void port_join(struct snapshot *s, uint32_t index, uint32_t master)
{
	struct link *l = link_at(s, index);

	if (!l || index == master)
		return;
	l->master = master;
	l->port = true;
	l->port_state = l->up ? PORT_FORWARDING : PORT_DISABLED;
	l->learning = l->flood = l->mcast_flood = l->bcast_flood = true;
}

/* ---- VLANs of a port ---- */

static void vlan_add(struct snapshot *s, uint32_t link, uint16_t first, uint16_t last, bool native)
{
	struct port_vlan *v = first <= last ? SNAP_ADD(s, vlans, vlan_count, SNAP_VLANS_MAX) : NULL;

	if (v)
		*v = (struct port_vlan){.link = link, .vid = first, .last = last, .pvid = native, .untagged = native};
}

/* The range without `native`, which stands for itself. */
static void vlan_range_add(struct snapshot *s, uint32_t link, struct ovs_range r, int native)
{
	if (native < r.first || native > r.last) {
		vlan_add(s, link, r.first, r.last, false);
		return;
	}
	if (native > 0)
		vlan_add(s, link, r.first, (uint16_t)(native - 1), false);
	vlan_add(s, link, (uint16_t)(native + 1), r.last, false);
}

static bool port_carries(const struct ovs_port *p, uint16_t vid)
{
	for (size_t i = 0; i < p->trunk_count; i++)
		if (vid >= p->trunks[i].first && vid <= p->trunks[i].last)
			return true;
	return p->trunk_count == 0;
}

/* Untagged packets of a plain trunk are in VLAN 0, as Open vSwitch counts. */
static void vlans_lay(struct snapshot *s, const struct ovs_port *p)
{
	static const struct ovs_range all = {0, 4094};
	int native = p->mode != OVS_TRUNK ? p->tag : port_carries(p, 0) ? 0 : -1;

	if (native >= 0) {
		size_t at = s->vlan_count;

		vlan_add(s, p->index, (uint16_t)native, (uint16_t)native, true);
		if (s->vlan_count > at && p->mode == OVS_NATIVE_TAGGED)
			s->vlans[at].untagged = false;
	}
	if (p->mode == OVS_ACCESS)
		return;
	for (size_t i = 0; i < p->trunk_count; i++)
		vlan_range_add(s, p->index, p->trunks[i], native);
	if (p->trunk_count == 0)
		vlan_range_add(s, p->index, all, native);
}

/* ---- bonds and patches ---- */

static uint32_t bond_lay(struct ovs_model *m, struct snapshot *s, const struct ovs_port *p, size_t first)
{
	struct link *bond = link_make(s, p->name, 0, p->hint);
	uint32_t index = bond ? bond->index : 0;

	if (!bond)
		return 0;
	str_copy(bond->kind, sizeof bond->kind, "bond");
	str_copy(bond->mode, sizeof bond->mode, p->bond_mode[0] ? p->bond_mode : "active-backup");
	for (size_t i = first; i < first + p->iface_count; i++) {
		struct link *l = link_at(s, m->ifaces[i].index);

		if (!l)
			continue;
		l->master = index;
		bond = link_at(s, index);
		bond->mtu = l->mtu;
		if (mac_equal(l->mac, p->active) && mac_is_set(p->active))
			bond->active = l->index;
	}
	return index;
}

static void patches_lay(struct ovs_model *m, struct snapshot *s)
{
	for (size_t i = 0; i < m->iface_count; i++) {
		struct link *l = m->ifaces[i].peer[0] ? link_at(s, m->ifaces[i].index) : NULL;

		for (size_t k = 0; l && k < m->iface_count; k++)
			if (strcmp(m->ifaces[k].name, m->ifaces[i].peer) == 0)
				l->parent = m->ifaces[k].index;
	}
}

/* ---- bridges ---- */

static void bridge_lay(struct snapshot *s, struct ovs_bridge *b, uint32_t hint)
{
	struct link *l = link_of_kernel(s, b->name);

	if (!l)
		l = link_make(s, b->name, OVS_LOCAL, hint);
	b->index = l ? l->index : 0;
	if (!l)
		return;
	str_copy(l->kind, sizeof l->kind, "ovs-bridge");
	l->master = 0;
	l->stp = b->stp;
	l->vlan_filtering = true;
}

static void port_lay(struct ovs_model *m, struct snapshot *s, struct ovs_port *p, size_t first)
{
	const struct ovs_bridge *b = &m->bridges[p->bridge];

	if (strcmp(p->name, b->name) == 0) { /* the bridge's own device */
		p->index = b->index;
		if (p->iface_count)
			m->ifaces[first].index = b->index;
	} else {
		for (size_t i = first; i < first + p->iface_count; i++)
			iface_lay(s, &m->ifaces[i]);
		p->index = p->iface_count > 1 ? bond_lay(m, s, p, first) : p->iface_count ? m->ifaces[first].index : 0;
		port_join(s, p->index, b->index);
	}
	if (p->index)
		vlans_lay(s, p);
}

static void entries_lay(const struct ovs_model *m, struct snapshot *s)
{
	for (size_t i = 0; i < m->entry_count; i++) {
		const struct ovs_entry *in = &m->entries[i];
		const struct ovs_iface *at = NULL;
		struct fdb *f;

		for (size_t k = 0; k < m->iface_count && !at; k++)
			if (m->ifaces[k].number == in->number && m->ports[m->ifaces[k].port].bridge == in->bridge)
				at = &m->ifaces[k];
		if (!at || !m->ports[at->port].index || !(f = SNAP_ADD(s, fdbs, fdb_count, SNAP_FDB_MAX)))
			continue;
		*f = (struct fdb){.bridge = m->bridges[in->bridge].index,
		                  .port = m->ports[at->port].index,
		                  .mac = in->mac,
		                  .vlan = in->vlan,
		                  .local = in->number == OVS_LOCAL,
		                  .is_static = in->is_static,
		                  .remote = at->remote};
	}
}

static void text_lay(struct snapshot *s, const char *name, const char *text)
{
	struct text *t = text[0] ? SNAP_ADD(s, texts, text_count, SNAP_TEXTS_MAX) : NULL;

	if (!t)
		return;
	str_copy(t->name, sizeof t->name, name);
	str_copy(t->text, sizeof t->text, text);
}

void ovs_overlay(struct ovs_model *m, struct snapshot *s)
{
	size_t first = 0;

	for (size_t i = 0; i < m->bridge_count; i++)
		bridge_lay(s, &m->bridges[i], OVS_SYNTHETIC + 1);
	for (size_t i = 0; i < m->port_count; i++) {
		port_lay(m, s, &m->ports[i], first);
		first += m->ports[i].iface_count;
	}
	patches_lay(m, s);
	entries_lay(m, s);
	text_lay(s, "ovs.version", m->version);
	s->truncated += m->truncated;
}
