/* sim_world: hosts with bridges and uplinks, guests of tenants plugged into them, and the snapshots they would report. */
#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>

enum { IF_LO = 1, IF_MGMT = 2, IF_BRIDGE = 10, IF_UPLINK = 20, IF_PORT = 100 };

static const char *bridge_name(int segment, char out[static IFNAME_LEN])
{
	snprintf(out, IFNAME_LEN, "br%d", segment % 10);
	return out;
}

static const char *uplink_name(int segment, char out[static IFNAME_LEN])
{
	snprintf(out, IFNAME_LEN, "up%d", segment % 10);
	return out;
}

static struct mac mac_make(uint8_t kind, int machine, int segment)
{
	return (struct mac){{0x02, kind, 0, 0, (uint8_t)segment, (uint8_t)machine}};
}

/* ---- machines ---- */

static int machine_add(struct sim *s, uint8_t kind, const char *prefix)
{
	int i = (int)s->machine_count++;
	struct machine *m = &s->machines[i];
	m->kind = kind;
	m->mtu = 1500;
	m->host = -1;
	snprintf(m->name, sizeof m->name, "%s%d", prefix, i);
	return i;
}

int world_host(struct sim *s, bool agent)
{
	int i = machine_add(s, AGENT_HOST, "host");
	struct machine *m = &s->machines[i];
	m->agent = agent;
	str_copy(m->tenant, sizeof m->tenant, "fleet");
	for (int g = 0; g < SIM_SEGMENTS; g++)
		m->mac[g] = mac_make(0xb0, i, g);
	return i;
}

int world_guest(struct sim *s, int host, int segment)
{
	int i = machine_add(s, AGENT_GUEST, "vm");
	struct machine *m = &s->machines[i];
	m->agent = true;
	m->host = host;
	m->segment = segment;
	snprintf(m->tenant, sizeof m->tenant, "tenant%d", segment);
	snprintf(m->port, sizeof m->port, "vnet%d", i);
	m->mac[segment] = mac_make(0x5a, i, segment);
	if ((size_t)segment >= s->segment_count)
		s->segment_count = (size_t)segment + 1;
	return i;
}

int world_find_mac(const struct sim *s, struct mac mac, int *segment)
{
	for (size_t i = 0; i < s->machine_count; i++) {
		for (int g = 0; g < SIM_SEGMENTS; g++) {
			if (!mac_is_set(s->machines[i].mac[g]) || !mac_equal(s->machines[i].mac[g], mac))
				continue;
			*segment = g;
			return (int)i;
		}
	}
	return -1;
}

int world_find_member(const struct sim *s, const struct member *m)
{
	for (size_t i = 0; i < s->machine_count; i++) {
		if (strcmp(s->machines[i].name, m->name) == 0)
			return (int)i;
	}
	return -1;
}

/* ---- the way between two sockets ---- */

static size_t end_stack(const struct sim *s, int machine, int segment, bool leaves, struct hop_end *out)
{
	const struct machine *m = &s->machines[machine];
	size_t n = 0;
	char name[IFNAME_LEN];
	out[n++] = (struct hop_end){.machine = machine};
	out[n] = (struct hop_end){.machine = machine};
	str_copy(out[n++].ifname, IFNAME_LEN, m->kind == AGENT_GUEST ? "eth0" : bridge_name(segment, name));
	int host = m->kind == AGENT_GUEST ? m->host : machine;
	if (m->kind == AGENT_GUEST) {
		out[n] = (struct hop_end){.machine = host};
		str_copy(out[n++].ifname, IFNAME_LEN, m->port);
	}
	if (leaves) {
		out[n] = (struct hop_end){.machine = host};
		str_copy(out[n++].ifname, IFNAME_LEN, uplink_name(segment, name));
	}
	return n;
}

static int host_of(const struct sim *s, int machine)
{
	return s->machines[machine].kind == AGENT_GUEST ? s->machines[machine].host : machine;
}

size_t world_path(const struct sim *s, int from, int to, int segment, struct hop_end out[SIM_PATH_MAX])
{
	struct hop_end back[SIM_PATH_MAX];
	bool leaves = host_of(s, from) != host_of(s, to);
	if (from < 0 || to < 0)
		return 0;
	size_t n = end_stack(s, from, segment, leaves, out);
	size_t k = end_stack(s, to, segment, leaves, back);
	while (k > 0)
		out[n++] = back[--k];
	return n;
}

/* ---- snapshots ---- */

static struct link *link_add(struct snapshot *sn, uint32_t index, const char *name, const char *kind, struct mac mac)
{
	struct link *l = &sn->links[sn->link_count++];
	*l = (struct link){.index = index, .mac = mac, .mtu = 1500, .up = true, .carrier = true};
	str_copy(l->name, sizeof l->name, name);
	str_copy(l->kind, sizeof l->kind, kind);
	return l;
}

static void link_plug(struct link *l, uint32_t master)
{
	l->master = master;
	l->port = l->learning = l->flood = l->mcast_flood = l->bcast_flood = true;
	l->port_state = PORT_FORWARDING;
}

static void addr_add(struct snapshot *sn, uint32_t link, const char *text)
{
	struct addr *a = &sn->addrs[sn->addr_count++];
	a->link = link;
	prefix_parse(text, &a->prefix);
	if (ip_is_link_local(a->prefix.ip))
		return;
	struct route *r = &sn->routes[sn->route_count++];
	*r = (struct route){.type = ROUTE_UNICAST, .table = 254, .dst = prefix_network(a->prefix), .link = link};
}

static void addr_add_link_local(struct snapshot *sn, uint32_t link, struct mac m)
{
	char text[PREFIX_TEXT_MAX];
	snprintf(text, sizeof text, "fe80::%x:%x:%x:%x/64", m.b[0], m.b[1], m.b[4], m.b[5]);
	addr_add(sn, link, text);
}

static void fdb_add(struct snapshot *sn, uint32_t bridge, uint32_t port, struct mac mac, bool local)
{
	sn->fdbs[sn->fdb_count++] = (struct fdb){.bridge = bridge, .port = port, .mac = mac, .local = local};
}

static struct snapshot *snapshot_empty(const struct sim *s, const struct machine *m)
{
	struct snapshot *sn = snapshot_new();
	sn->taken = sim_wall(s);
	str_copy(sn->hostname, sizeof sn->hostname, m->name);
	sn->links = mem_array(32, sizeof *sn->links);
	sn->addrs = mem_array(32, sizeof *sn->addrs);
	sn->routes = mem_array(32, sizeof *sn->routes);
	sn->fdbs = mem_array(4 * SIM_MACHINES, sizeof *sn->fdbs);
	link_add(sn, IF_LO, "lo", "", (struct mac){{0}})->loopback = true;
	addr_add(sn, IF_LO, "127.0.0.1/8");
	return sn;
}

static bool lives_in(const struct machine *m, int segment) { return m->kind == AGENT_GUEST ? m->segment == segment : segment == 0; }

/* What the bridge of one segment has learned: everybody on it, as seen from this host. */
static void host_segment_fdb(const struct sim *s, int host, int segment, struct snapshot *sn)
{
	uint32_t bridge = (uint32_t)(IF_BRIDGE + segment), uplink = (uint32_t)(IF_UPLINK + segment);
	for (size_t i = 0; i < s->machine_count; i++) {
		const struct machine *m = &s->machines[i];
		if ((int)i == host || !lives_in(m, segment))
			continue;
		bool here = m->kind == AGENT_GUEST && m->host == host;
		fdb_add(sn, bridge, here ? IF_PORT + (uint32_t)i : uplink, m->mac[segment], false);
	}
	fdb_add(sn, bridge, bridge, s->machines[host].mac[segment], true);
}

static void host_ports(const struct sim *s, int host, struct snapshot *sn)
{
	for (size_t i = 0; i < s->machine_count; i++) {
		const struct machine *m = &s->machines[i];
		if (m->kind != AGENT_GUEST || m->host != host)
			continue;
		struct mac tap = m->mac[m->segment];
		tap.b[0] = 0xfe;
		link_plug(link_add(sn, IF_PORT + (uint32_t)i, m->port, "tun", tap), (uint32_t)(IF_BRIDGE + m->segment));
	}
}

static struct snapshot *host_snapshot(const struct sim *s, int host)
{
	struct snapshot *sn = snapshot_empty(s, &s->machines[host]);
	char name[IFNAME_LEN], text[PREFIX_TEXT_MAX];
	link_add(sn, IF_MGMT, "mgmt0", "", mac_make(0xee, host, 0));
	snprintf(text, sizeof text, "192.168.7.%d/24", host + 1);
	addr_add(sn, IF_MGMT, text);
	for (int g = 0; g < (int)s->segment_count; g++) {
		uint32_t bridge = (uint32_t)(IF_BRIDGE + g);
		link_add(sn, bridge, bridge_name(g, name), "bridge", s->machines[host].mac[g]);
		addr_add_link_local(sn, bridge, s->machines[host].mac[g]);
		link_plug(link_add(sn, (uint32_t)(IF_UPLINK + g), uplink_name(g, name), "", mac_make(0xaa, host, g)), bridge);
		host_segment_fdb(s, host, g, sn);
	}
	snprintf(text, sizeof text, "10.1.0.%d/24", host + 1);
	addr_add(sn, IF_BRIDGE, text);
	host_ports(s, host, sn);
	return sn;
}

static struct snapshot *guest_snapshot(const struct sim *s, int guest)
{
	const struct machine *m = &s->machines[guest];
	struct snapshot *sn = snapshot_empty(s, m);
	char text[PREFIX_TEXT_MAX];
	link_add(sn, 2, "eth0", "", m->mac[m->segment]);
	snprintf(text, sizeof text, "10.1.0.%d/24", 100 + guest); /* tenants' addresses overlap */
	addr_add(sn, 2, text);
	addr_add_link_local(sn, 2, m->mac[m->segment]);
	return sn;
}

struct snapshot *world_snapshot(const struct sim *s, int machine)
{
	return s->machines[machine].kind == AGENT_HOST ? host_snapshot(s, machine) : guest_snapshot(s, machine);
}

void world_hello(const struct sim *s, int machine, struct msg_hello *out)
{
	const struct machine *m = &s->machines[machine];
	*out = (struct msg_hello){.version_min = PROTOCOL_VERSION_MIN,
	                          .version_max = PROTOCOL_VERSION,
	                          .boot = m->boot,
	                          .next_report = spool_oldest(m->spool),
	                          .probe_port = PROBE_PORT_DEFAULT,
	                          .rights = RIGHT_RAW | RIGHT_CAPTURE | RIGHT_FIREWALL};
	if (m->kind == AGENT_HOST)
		str_copy(out->uplink_if, sizeof out->uplink_if, "mgmt0");
	str_copy(out->software, sizeof out->software, "sim");
}

void world_start(struct sim *s)
{
	collector_start(s);
	for (size_t i = 0; i < s->machine_count; i++) {
		if (s->machines[i].agent)
			agent_open(s, (int)i);
	}
	sim_run(s, 50);
}
