/* volume_world: random networks. Hosts with a bridge, guests plugged into it, a switch between the hosts; the guests of one tenant
 * on one segment, or on two with a router between them, or on one that a VXLAN tunnel carries from host to host. */
#include "tests/sim/volume.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct ip ip_of(const char *text)
{
	struct ip ip = {0};
	ip_parse(text, &ip);
	return ip;
}

/* ---- parts ---- */

struct link *volume_named(struct volume *v, int machine, const char *name)
{
	struct snapshot *s = v->machines[machine].s;
	for (size_t i = 0; i < s->link_count; i++)
		if (!strcmp(s->links[i].name, name))
			return &s->links[i];
	return NULL;
}

struct link *volume_link(struct volume *v, int machine, const char *name, const char *kind)
{
	struct vmachine *m = &v->machines[machine];
	if (!m->s->links)
		m->s->links = mem_array(V_LINKS, sizeof *m->s->links);
	struct link *l = &m->s->links[m->s->link_count++];
	*l = (struct link){.index = (uint32_t)m->s->link_count, .mtu = 1500, .up = true, .carrier = true};
	l->mac = (struct mac){{0x02, (uint8_t)(m->kind == AGENT_GUEST ? 0x5a : 0xb0), 0, (uint8_t)machine, 0, (uint8_t)l->index}};
	str_copy(l->name, sizeof l->name, name);
	str_copy(l->kind, sizeof l->kind, kind);
	m->wire[l->index].machine = -1;
	return l;
}

void volume_plug(struct volume *v, int a, const struct link *at, int b, const struct link *to)
{
	v->machines[a].wire[at->index] = (struct wire){.machine = b, .link = to->index};
	v->machines[b].wire[to->index] = (struct wire){.machine = a, .link = at->index};
}

static void port_of(struct link *l, const struct link *bridge)
{
	l->master = bridge->index;
	l->port = l->learning = l->flood = l->mcast_flood = l->bcast_flood = true;
	l->port_state = PORT_FORWARDING;
}

struct route *volume_route(struct volume *v, int machine, uint8_t type, const char *dst, const char *via, uint32_t link)
{
	struct snapshot *s = v->machines[machine].s;
	s->routes = mem_resize(s->routes, s->route_count + 1, sizeof *s->routes);
	struct route *r = &s->routes[s->route_count++];
	*r = (struct route){.type = type, .table = 254, .link = link};
	prefix_parse(dst, &r->dst);
	r->dst = prefix_network(r->dst);
	if (via)
		r->gateway = ip_of(via);
	return r;
}

void volume_address(struct volume *v, int machine, uint32_t link, const char *prefix)
{
	struct snapshot *s = v->machines[machine].s;
	s->addrs = mem_resize(s->addrs, s->addr_count + 1, sizeof *s->addrs);
	s->addrs[s->addr_count] = (struct addr){.link = link};
	prefix_parse(prefix, &s->addrs[s->addr_count++].prefix);
	if (s->links[link - 1].loopback)
		return;
	volume_route(v, machine, ROUTE_UNICAST, prefix, NULL, link);
}

void volume_sysctl(struct volume *v, int machine, const char *name, int64_t value)
{
	struct snapshot *s = v->machines[machine].s;
	for (size_t i = 0; i < s->sysctl_count; i++) {
		if (!strcmp(s->sysctls[i].name, name)) {
			s->sysctls[i].value = value;
			return;
		}
	}
	s->sysctls = mem_resize(s->sysctls, s->sysctl_count + 1, sizeof *s->sysctls);
	struct value *n = &s->sysctls[s->sysctl_count++];
	*n = (struct value){.value = value};
	str_copy(n->name, sizeof n->name, name);
}

/* A name with %s: the larger of "all" and that of the device. */
int64_t volume_sysctl_of(const struct volume *v, int machine, const char *name, const char *dev)
{
	char key[96];
	int64_t all = 0, own = 0;
	if (!dev)
		return snapshot_sysctl(v->machines[machine].s, name, &own) ? own : 0;
	snprintf(key, sizeof key, name, "all"); /* NOLINT: the callers' literals */
	snapshot_sysctl(v->machines[machine].s, key, &all);
	snprintf(key, sizeof key, name, dev); /* NOLINT */
	snapshot_sysctl(v->machines[machine].s, key, &own);
	return all > own ? all : own;
}

static void settings(struct volume *v, int machine)
{
	static const char *const of_all[] = {
	    "net.ipv4.icmp_echo_ignore_all",       "net.ipv6.icmp.echo_ignore_all", "net.bridge.bridge-nf-call-iptables",
	    "net.bridge.bridge-nf-call-ip6tables", "net.ipv4.ip_forward",           "net.ipv6.conf.all.forwarding"};
	static const char *const of_each[] = {"net.ipv4.conf.%s.rp_filter", "net.ipv4.conf.%s.arp_ignore",
	                                      "net.ipv6.conf.%s.disable_ipv6"};
	const struct snapshot *s = v->machines[machine].s;
	char key[96];
	for (size_t i = 0; i < sizeof of_all / sizeof *of_all; i++)
		volume_sysctl(v, machine, of_all[i], 0);
	for (size_t i = 0; i < sizeof of_each / sizeof *of_each; i++) {
		for (size_t k = 0; k <= s->link_count; k++) {
			snprintf(key, sizeof key, of_each[i], k < s->link_count ? s->links[k].name : "all"); /* NOLINT */
			volume_sysctl(v, machine, key, 0);
		}
	}
}

int volume_machine(struct volume *v, const char *name, uint8_t kind, int host)
{
	int i = (int)v->machine_count++;
	struct vmachine *m = &v->machines[i];
	*m = (struct vmachine){
	    .kind = kind, .agent = true, .heard = true, .captures = true, .host = host < 0 ? i : host, .s = snapshot_new()};
	str_copy(m->name, sizeof m->name, name);
	str_copy(m->tenant, sizeof m->tenant, kind == AGENT_HOST ? "fleet" : "red");
	str_copy(m->s->hostname, sizeof m->s->hostname, name);
	m->s->firewall_known = FW_READ;
	m->s->listeners = mem_array(2, sizeof *m->s->listeners);
	m->s->listener_count = 2;
	m->s->listeners[0] = (struct listener){.proto = IPPROTO_TCP, .port = PROBE_PORT_DEFAULT, .ip = {.family = 6}};
	m->s->listeners[1] = (struct listener){.proto = IPPROTO_UDP, .port = PROBE_PORT_DEFAULT, .ip = {.family = 6}};
	volume_link(v, i, "lo", "")->loopback = true;
	volume_address(v, i, 1, "127.0.0.1/8");
	return i;
}

/* ---- networks ---- */

struct net {
	int fabric;
	const struct link *core[2]; /* of the fabric: a switch per segment */
	bool six;
	bool host_has_address; /* on the bridge */
};

static void fabric_build(struct volume *v, struct net *n)
{
	n->fabric = volume_machine(v, "fabric", AGENT_HOST, -1);
	v->machines[n->fabric].agent = false;
	for (int k = 0; k < 2; k++)
		n->core[k] = volume_link(v, n->fabric, k ? "core1" : "core0", "bridge");
}

static void fabric_plug(struct volume *v, const struct net *n, int host, const struct link *nic, int segment)
{
	char name[IFNAME_LEN];
	snprintf(name, sizeof name, "s%d-%d", segment, host);
	struct link *port = volume_link(v, n->fabric, name, "");
	port_of(port, n->core[segment]);
	volume_plug(v, host, nic, n->fabric, port);
}

static void addresses(struct volume *v, const struct net *n, int machine, uint32_t link, int segment, int number)
{
	char text[64];
	const struct mac *m = &v->machines[machine].s->links[link - 1].mac;
	struct ip *own = v->machines[machine].own;
	snprintf(text, sizeof text, "10.0.%d.%d", segment, number);
	own[0] = ip_of(text);
	snprintf(text, sizeof text, "10.0.%d.%d/24", segment, number);
	volume_address(v, machine, link, text);
	snprintf(text, sizeof text, "fe80::%x:%x/64", m->b[3] + 1, m->b[5]);
	volume_address(v, machine, link, text);
	if (!n->six)
		return;
	snprintf(text, sizeof text, "fd00:%d::%d", segment, number);
	own[1] = ip_of(text);
	snprintf(text, sizeof text, "fd00:%d::%d/64", segment, number);
	volume_address(v, machine, link, text);
}

static void host_underlay(struct volume *v, struct net *n, int i, int k)
{
	char text[64];
	struct link *nic = volume_link(v, i, "eno1", ""), *br = volume_named(v, i, "br0"), *vx;
	fabric_plug(v, n, i, nic, 0);
	snprintf(text, sizeof text, "192.0.2.%d/24", k + 1);
	volume_address(v, i, nic->index, text);
	vx = volume_link(v, i, "vx5", "vxlan");
	vx->vni = 5;
	vx->vx_port = 4789;
	vx->mtu = 1450;
	snprintf(text, sizeof text, "192.0.2.%d", k + 1);
	vx->vx_local = ip_of(text);
	snprintf(text, sizeof text, "192.0.2.%d", 2 - k);
	vx->vx_remote = ip_of(text);
	vx->parent = 0;
	port_of(vx, br);
}

static int host_build(struct volume *v, struct net *n, int k)
{
	char name[NAME_MAX_LEN];
	snprintf(name, sizeof name, "h%d", k + 1);
	int i = volume_machine(v, name, AGENT_HOST, -1), segment = v->topology == T_ROUTED ? k % 2 : 0;
	struct link *br = volume_link(v, i, "br0", "bridge");
	if (v->topology == T_VXLAN) {
		host_underlay(v, n, i, k);
	} else {
		struct link *up = volume_link(v, i, "up0", "");
		port_of(up, br);
		fabric_plug(v, n, i, up, segment);
	}
	if (n->host_has_address)
		addresses(v, n, i, br->index, segment, k + 1);
	v->machines[i].nic = br->index;
	str_copy(v->machines[i].bridge, IFNAME_LEN, "br0");
	return i;
}

static int guest_build(struct volume *v, struct net *n, int host, int k)
{
	char name[NAME_MAX_LEN], text[64];
	snprintf(name, sizeof name, "g%d", k + 1);
	int i = volume_machine(v, name, AGENT_GUEST, host), segment = v->topology == T_ROUTED ? (host - 1) % 2 : 0;
	struct vmachine *m = &v->machines[i];
	snprintf(m->port, sizeof m->port, "vnet%d", k);
	str_copy(m->bridge, IFNAME_LEN, "br0");
	struct link *nic = volume_link(v, i, "eth0", ""),
	            *port = volume_link(v, host, m->port, volume_below(v, 2) ? "tun" : "veth");
	port->mac.b[0] = 0xfe;
	port_of(port, volume_named(v, host, "br0"));
	volume_plug(v, i, nic, host, port);
	if (v->topology == T_VXLAN)
		nic->mtu = port->mtu = 1450;
	addresses(v, n, i, nic->index, segment, 11 + k);
	if (v->topology == T_ROUTED) {
		snprintf(text, sizeof text, "10.0.%d.254", segment);
		volume_route(v, i, ROUTE_UNICAST, "0.0.0.0/0", text, nic->index);
		snprintf(text, sizeof text, "fd00:%d::254", segment);
		if (n->six)
			volume_route(v, i, ROUTE_UNICAST, "::/0", text, nic->index);
	}
	m->nic = nic->index;
	return i;
}

static void router_build(struct volume *v, struct net *n)
{
	v->router = volume_machine(v, "r1", AGENT_HOST, -1);
	for (int k = 0; k < 2; k++) {
		struct link *l = volume_link(v, v->router, k ? "lan1" : "lan0", "");
		fabric_plug(v, n, v->router, l, k);
		addresses(v, n, v->router, l->index, k, 254);
	}
	v->machines[v->router].nic = 2;
}

static void rights(struct volume *v)
{
	bool drops = volume_below(v, 2), captures = volume_below(v, 8) != 0;
	for (size_t i = 0; i < v->machine_count; i++) {
		v->machines[i].drops = drops;
		v->machines[i].captures = captures;
		settings(v, (int)i);
	}
	if (v->router >= 0) {
		volume_sysctl(v, v->router, "net.ipv4.ip_forward", 1);
		volume_sysctl(v, v->router, "net.ipv6.conf.all.forwarding", 1);
	}
}

/* Who is asked about whom: two guests, or a host with an address and a guest of its segment. */
static void pair_choose(struct volume *v, const struct net *n, const int *hosts, int host_count, const int *guests, int guest_count,
                        int *a, int *b)
{
	*b = guests[volume_below(v, (uint32_t)guest_count)];
	do {
		bool of_hosts = n->host_has_address && v->topology == T_BRIDGED && volume_below(v, 3) == 0;
		*a = of_hosts ? hosts[volume_below(v, (uint32_t)host_count)] : guests[volume_below(v, (uint32_t)guest_count)];
	} while (*a == *b);
	if (volume_below(v, 2)) {
		int t = *a;
		*a = *b;
		*b = t;
	}
}

void volume_build(struct volume *v, int *a, int *b)
{
	struct net n = {.six = volume_below(v, 4) != 0, .host_has_address = volume_below(v, 4) != 0};
	int hosts[4], guests[8], host_count, guest_count = 0;
	v->topology = (enum topology)volume_below(v, T_COUNT);
	v->router = -1;
	v->machine_count = 0;
	if (v->topology == T_VXLAN)
		n.host_has_address = false;
	fabric_build(v, &n);
	host_count = v->topology == T_BRIDGED ? 1 + (int)volume_below(v, 4) : 2;
	for (int k = 0; k < host_count; k++)
		hosts[k] = host_build(v, &n, k);
	for (int k = 0; k < host_count; k++)
		for (int g = 1 + (int)volume_below(v, 2) + (host_count == 1); g > 0; g--, guest_count++)
			guests[guest_count] = guest_build(v, &n, hosts[k], guest_count);
	if (v->topology == T_ROUTED)
		router_build(v, &n);
	rights(v);
	pair_choose(v, &n, hosts, host_count, guests, guest_count, a, b);
	volume_learn(v);
}

void volume_clear(struct volume *v)
{
	for (size_t i = 0; i < v->machine_count; i++) {
		exec_free(v->machines[i].exec);
		snapshot_free(v->machines[i].s);
		v->machines[i] = (struct vmachine){0};
	}
	for (size_t i = 0; i < v->letter_count; i++)
		buf_free(&v->letters[i].bytes);
	free(v->later);
	v->later = NULL;
	v->machine_count = v->letter_count = v->later_count = 0;
}
