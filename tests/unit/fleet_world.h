/* fleet_world: two hypervisors with bridges, uplinks, a tunnel and management NICs, and guests of two tenants, as snapshots
 * whose forwarding tables hold what a kernel puts there. For the tests of fleet and planner. */
#ifndef BW_TESTS_FLEET_WORLD_H
#define BW_TESTS_FLEET_WORLD_H

#include "collector/fleet.h"
#include "proto/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADD(items, count)                                                                                                          \
	((items) = mem_resize((items), (count) + 1, sizeof(*(items))), memset(&(items)[count], 0, sizeof(*(items))),               \
	 &(items)[(count)++])

static inline struct mac mac_of(const char *text)
{
	struct mac m;
	if (mac_parse(text, &m) < 0)
		abort();
	return m;
}

static inline struct prefix prefix_of(const char *text)
{
	struct prefix p;
	if (prefix_parse(text, &p) < 0)
		abort();
	return p;
}

static inline struct link *link_named(struct snapshot *s, const char *name)
{
	return (struct link *)(uintptr_t)snapshot_link_named(s, name);
}

/* The device, up; as a port of `master` ("" = of none) with the entries a bridge makes for its ports. */
static inline struct link *world_link(struct snapshot *s, const char *name, const char *kind, const char *mac, const char *master)
{
	uint32_t index = (uint32_t)s->link_count + 1;
	struct link *l = ADD(s->links, s->link_count);
	l->index = index;
	str_copy(l->name, sizeof(l->name), name);
	str_copy(l->kind, sizeof(l->kind), kind);
	l->mac = mac_of(mac);
	l->mtu = 1500;
	l->up = l->carrier = true;
	if (master[0]) {
		l->master = link_named(s, master)->index;
		l->port = l->learning = l->flood = l->mcast_flood = l->bcast_flood = true;
		l->port_state = PORT_FORWARDING;
		*ADD(s->fdbs, s->fdb_count) =
		    (struct fdb){.bridge = l->master, .port = index, .mac = l->mac, .local = true, .is_static = true};
		*ADD(s->fdbs, s->fdb_count) = (struct fdb){
		    .bridge = l->master, .port = index, .mac = mac_of("33:33:00:00:00:01"), .local = true, .is_static = true};
	}
	return l;
}

static inline void world_addr(struct snapshot *s, const char *name, const char *prefix)
{
	*ADD(s->addrs, s->addr_count) = (struct addr){.link = link_named(s, name)->index, .prefix = prefix_of(prefix)};
}

static inline struct fdb *world_learn(struct snapshot *s, const char *port, const char *mac)
{
	const struct link *l = link_named(s, port);
	struct fdb *e = ADD(s->fdbs, s->fdb_count);
	*e = (struct fdb){.bridge = l->master, .port = l->index, .mac = mac_of(mac)};
	return e;
}

/* What the bridge learned of that MAC goes. */
static inline void world_forget(struct snapshot *s, const char *mac)
{
	size_t kept = 0;
	for (size_t i = 0; i < s->fdb_count; i++)
		if (s->fdbs[i].local || !mac_equal(s->fdbs[i].mac, mac_of(mac)))
			s->fdbs[kept++] = s->fdbs[i];
	s->fdb_count = kept;
}

/* The kernel flushes a port that leaves. */
static inline void world_unplug(struct snapshot *s, const char *port)
{
	struct link *l = link_named(s, port);
	size_t kept = 0;
	for (size_t i = 0; i < s->fdb_count; i++)
		if (s->fdbs[i].port != l->index)
			s->fdbs[kept++] = s->fdbs[i];
	s->fdb_count = kept;
	l->master = 0;
	l->port = false;
}

static inline void world_no_addr(struct snapshot *s, const char *prefix)
{
	size_t kept = 0;
	for (size_t i = 0; i < s->addr_count; i++)
		if (!ip_equal(s->addrs[i].prefix.ip, prefix_of(prefix).ip))
			s->addrs[kept++] = s->addrs[i];
	s->addr_count = kept;
}

#define MAC_A1     "02:1a:00:00:00:11"
#define MAC_A2     "02:1a:00:00:00:12"
#define MAC_A3     "02:1a:00:00:00:13"
#define MAC_B1     "02:1b:00:00:00:11"
#define MAC_B2     "02:1b:00:00:00:12"
#define MAC_ROUTER "02:ee:00:00:00:fe" /* no agent there */
#define MAC_HV1_BR "02:aa:00:00:00:01"
#define MAC_HV2_BR "02:aa:00:00:00:02"

static inline struct snapshot *world_lo(void)
{
	struct snapshot *s = snapshot_new();
	struct link *l = world_link(s, "lo", "", "00:00:00:00:00:00", "");
	l->loopback = true;
	world_addr(s, "lo", "127.0.0.1/8");
	return s;
}

static inline struct snapshot *world_guest(const char *mac, const char *ip, const char *ip6)
{
	struct snapshot *s = world_lo();
	world_link(s, "eth0", "veth", mac, "");
	world_addr(s, "eth0", ip);
	world_addr(s, "eth0", ip6);
	return s;
}

static inline struct snapshot *world_host(int number)
{
	struct snapshot *s = world_lo();
	char mac[32], ip[32];
	snprintf(mac, sizeof(mac), "02:0e:00:00:00:%02d", number);
	world_link(s, "mgmt0", "veth", mac, "");
	snprintf(ip, sizeof(ip), "172.31.254.%d/24", number);
	world_addr(s, "mgmt0", ip);
	world_link(s, "br0", "bridge", number == 1 ? MAC_HV1_BR : MAC_HV2_BR, "");
	snprintf(ip, sizeof(ip), "10.10.0.%d/24", number);
	world_addr(s, "br0", ip);
	snprintf(mac, sizeof(mac), "02:0a:00:00:00:%02d", number);
	world_link(s, "up0", "veth", mac, "br0");
	snprintf(mac, sizeof(mac), "02:ab:00:00:00:%02d", number);
	world_link(s, "brB", "bridge", mac, "");
	snprintf(mac, sizeof(mac), "02:0b:00:00:00:%02d", number);
	world_link(s, "vx100", "vxlan", mac, "brB");
	return s;
}

static inline struct snapshot *world_hv1(void)
{
	struct snapshot *s = world_host(1);
	world_link(s, "va1", "veth", "02:f1:00:00:00:11", "br0");
	world_link(s, "va3", "veth", "02:f1:00:00:00:13", "br0");
	world_link(s, "vb1", "veth", "02:fb:00:00:00:11", "brB");
	world_learn(s, "va1", MAC_A1);
	world_learn(s, "va3", MAC_A3);
	world_learn(s, "up0", MAC_A2);
	world_learn(s, "up0", MAC_HV2_BR);
	world_learn(s, "up0", MAC_ROUTER);
	world_learn(s, "vb1", MAC_B1);
	world_learn(s, "vx100", MAC_B2);
	return s;
}

static inline struct snapshot *world_hv2(void)
{
	struct snapshot *s = world_host(2);
	world_link(s, "va2", "veth", "02:f1:00:00:00:12", "br0");
	world_link(s, "vb2", "veth", "02:fb:00:00:00:12", "brB");
	world_learn(s, "va2", MAC_A2);
	world_learn(s, "up0", MAC_A1);
	world_learn(s, "up0", MAC_A3);
	world_learn(s, "up0", MAC_HV1_BR);
	world_learn(s, "vb2", MAC_B2);
	world_learn(s, "vx100", MAC_B1);
	return s;
}

struct world {
	struct fleet *f;
	struct member *hv1, *hv2, *a1, *a2, *a3, *b1, *b2;
	struct mono now;
};

static inline struct member *world_member(struct world *w, const char *name, const char *tenant, uint8_t kind, const char *uplink)
{
	uint8_t key[KEY_LEN] = {0};
	static uint8_t serial;
	key[0] = ++serial;
	struct member *m = fleet_add(w->f, 0, name, tenant, kind, key);
	struct msg_hello h = {.version_min = 1, .version_max = 2, .probe_port = 7401, .rights = RIGHT_RAW | RIGHT_CAPTURE};
	str_copy(h.uplink_if, sizeof(h.uplink_if), uplink);
	fleet_hello(w->f, m, &h);
	fleet_heard(w->f, m, HEARD_DIRECT, 0, w->now, (struct wall){1});
	return m;
}

static inline struct world world_empty(void)
{
	struct world w = {.f = fleet_new(), .now = {1000000000000}};
	w.hv1 = world_member(&w, "hv1", "fleet", AGENT_HOST, "mgmt0");
	w.hv2 = world_member(&w, "hv2", "fleet", AGENT_HOST, "mgmt0");
	w.a1 = world_member(&w, "a1", "A", AGENT_GUEST, "");
	w.a2 = world_member(&w, "a2", "A", AGENT_GUEST, "");
	w.a3 = world_member(&w, "a3", "A", AGENT_GUEST, "");
	w.b1 = world_member(&w, "b1", "B", AGENT_GUEST, "");
	w.b2 = world_member(&w, "b2", "B", AGENT_GUEST, "");
	return w;
}

static inline void world_says(struct world *w, struct member *m, struct snapshot *s)
{
	w->now = mono_add_ms(w->now, 100);
	fleet_snapshot(w->f, m, s, (struct wall){w->now.ns});
}

static inline void world_guests_say(struct world *w)
{
	world_says(w, w->a1, world_guest(MAC_A1, "10.10.0.11/24", "fd10::11/64"));
	world_says(w, w->a2, world_guest(MAC_A2, "10.10.0.12/24", "fd10::12/64"));
	world_says(w, w->a3, world_guest(MAC_A3, "10.10.0.13/24", "fd10::13/64"));
	world_says(w, w->b1, world_guest(MAC_B1, "10.10.0.11/24", "fe80::b1/64"));
	world_says(w, w->b2, world_guest(MAC_B2, "10.10.0.12/24", "fe80::b2/64"));
}

static inline struct world world_new(void)
{
	struct world w = world_empty();
	world_guests_say(&w);
	world_says(&w, w.hv1, world_hv1());
	world_says(&w, w.hv2, world_hv2());
	return w;
}

/* A changed copy of what it said last. */
static inline struct snapshot *world_copy(const struct member *m) { return snapshot_copy(m->snapshot); }

#endif
