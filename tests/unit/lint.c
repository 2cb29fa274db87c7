/* lint: a healthy fleet has no findings; each thing that is put in is found, by one finding, at the right machine, with a command
 * that undoes it; what is not known is never found. */
#include "collector/lint.h"
#include "fleet_world.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void fill(void *arg, void *out, size_t len)
{
	uint8_t *serial = arg;
	memset(out, ++*serial, len);
}

static struct lint_result *lint_world(struct world *w)
{
	uint8_t serial = 0;
	struct planner *p = planner_new(fill, &serial);
	planner_update(p, w->f);
	struct lint_result *r = lint_run(w->f, p, w->now);
	planner_free(p);
	return r;
}

/* ---- things that go wrong, on a copy of what the machine said ---- */

static void sysctl(struct snapshot *s, const char *name, int64_t value)
{
	struct value *v = ADD(s->sysctls, s->sysctl_count);
	str_copy(v->name, sizeof v->name, name);
	v->value = value;
}

static void counter(struct snapshot *s, const char *name, int64_t value)
{
	struct value *v = ADD(s->counters, s->counter_count);
	str_copy(v->name, sizeof v->name, name);
	v->value = value;
}

static void route(struct snapshot *s, const char *dst, const char *gateway, const char *dev, uint32_t metric)
{
	struct route *r = ADD(s->routes, s->route_count);
	*r = (struct route){
	    .type = ROUTE_UNICAST, .table = 254, .link = link_named(s, dev)->index, .metric = metric, .dst = prefix_of(dst)};
	if (*gateway)
		r->gateway = prefix_of(gateway).ip;
}

static void vlan(struct snapshot *s, const char *port, uint16_t vid, bool pvid)
{
	*ADD(s->vlans, s->vlan_count) =
	    (struct port_vlan){.link = link_named(s, port)->index, .vid = vid, .last = vid, .pvid = pvid, .untagged = pvid};
}

static struct fw_chain *chain(struct snapshot *s, const char *hook, uint8_t policy)
{
	struct fw_chain *c = ADD(s->chains, s->chain_count);
	*c = (struct fw_chain){.family = "inet", .table = "t", .type = "filter", .policy = policy};
	str_copy(c->name, sizeof c->name, hook);
	str_copy(c->hook, sizeof c->hook, hook);
	return c;
}

static void conntrack_79(struct snapshot *s)
{
	sysctl(s, "net.netfilter.nf_conntrack_max", 1000);
	counter(s, "net.netfilter.nf_conntrack_count", 799);
}
static void conntrack_80(struct snapshot *s)
{
	sysctl(s, "net.netfilter.nf_conntrack_max", 1000);
	counter(s, "net.netfilter.nf_conntrack_count", 800);
}
static void conntrack_unknown(struct snapshot *s) { counter(s, "net.netfilter.nf_conntrack_count", 800); }
static void conntrack_none(struct snapshot *s)
{
	sysctl(s, "net.netfilter.nf_conntrack_max", 0);
	counter(s, "net.netfilter.nf_conntrack_count", 0);
}
static void neighbours(struct snapshot *s, int count, uint16_t state)
{
	sysctl(s, "net.ipv4.neigh.default.gc_thresh3", 100);
	for (int i = 0; i < count; i++) {
		struct neigh *n = ADD(s->neighs, s->neigh_count);
		*n = (struct neigh){.link = link_named(s, "eth0")->index, .ip = prefix_of("10.10.0.0").ip, .state = state};
		n->ip.b[3] = (uint8_t)(i + 100);
	}
}
static void neighbours_80(struct snapshot *s) { neighbours(s, 80, NEIGH_STALE); }
static void neighbours_79(struct snapshot *s) { neighbours(s, 79, NEIGH_STALE); }
static void neighbours_permanent(struct snapshot *s) { neighbours(s, 90, NEIGH_PERMANENT); }
static void neighbours_counted(struct snapshot *s)
{
	sysctl(s, "net.ipv6.neigh.default.gc_thresh3", 100);
	counter(s, "neigh.nd.entries", 95);
}
static void port_isolated(struct snapshot *s) { link_named(s, "va1")->isolated = true; }
static void port_locked(struct snapshot *s) { link_named(s, "va1")->locked = true; }
static void port_learns_not(struct snapshot *s) { link_named(s, "va1")->learning = false; }
static void port_not_flooded(struct snapshot *s) { link_named(s, "va1")->flood = false; }
static void port_no_broadcasts(struct snapshot *s) { link_named(s, "va1")->bcast_flood = false; }
static void port_no_multicasts(struct snapshot *s) { link_named(s, "va1")->mcast_flood = false; }
static void port_managed(struct snapshot *s)
{
	link_named(s, "va1")->learning = link_named(s, "va1")->flood = false;
	world_learn(s, "va1", MAC_A1)->is_static = true;
}
static void tunnel_learns_not(struct snapshot *s) { link_named(s, "vx100")->learning = false; }
static void tunnel_isolated(struct snapshot *s) { link_named(s, "vx100")->isolated = true; }
static void ovs_port(struct snapshot *s)
{
	str_copy(link_named(s, "br0")->kind, sizeof link_named(s, "br0")->kind, "ovs-bridge");
	link_named(s, "va1")->learning = link_named(s, "va1")->flood = false;
}
static void offload(struct snapshot *s, const char *dev, const char *driver, uint32_t on)
{
	struct link *l = link_named(s, dev);
	str_copy(l->driver, sizeof l->driver, driver);
	l->offloads = on;
	l->offloads_known = true;
}
static void e1000e_tso(struct snapshot *s) { offload(s, "up0", "e1000e", OFFLOAD_TSO | OFFLOAD_GRO); }
static void hypervisor(struct snapshot *s, const char *name)
{
	struct text *t = ADD(s->texts, s->text_count);
	str_copy(t->name, sizeof t->name, "hardware.hypervisor");
	str_copy(t->text, sizeof t->text, name);
}
static void e1000e_emulated(struct snapshot *s)
{
	offload(s, "eth0", "e1000e", OFFLOAD_TSO);
	hypervisor(s, "kvm");
}
static void e1000_kvm(struct snapshot *s)
{
	offload(s, "eth0", "e1000", OFFLOAD_TSO);
	hypervisor(s, "kvm");
}
static void e1000_vmware(struct snapshot *s)
{
	offload(s, "eth0", "e1000", OFFLOAD_TSO);
	hypervisor(s, "vmware");
}
static void lro_in_bridge(struct snapshot *s) { offload(s, "up0", "ixgbe", OFFLOAD_LRO); }
static void lro_at_end(struct snapshot *s) { offload(s, "eth0", "ixgbe", OFFLOAD_LRO); }
static void lro_on_router(struct snapshot *s)
{
	offload(s, "eth0", "ixgbe", OFFLOAD_LRO);
	sysctl(s, "net.ipv4.ip_forward", 1);
}
static void offloads_unknown(struct snapshot *s)
{
	offload(s, "up0", "e1000e", OFFLOAD_TSO);
	link_named(s, "up0")->offloads_known = false;
}
static void mask_narrow(struct snapshot *s)
{
	world_no_addr(s, "10.10.0.12");
	world_addr(s, "eth0", "10.10.0.12/25");
}
static void mask_single(struct snapshot *s)
{
	world_no_addr(s, "10.10.0.12");
	world_addr(s, "eth0", "10.10.0.12/32");
}
static void address_of_a3(struct snapshot *s) { world_addr(s, "eth0", "10.10.0.13/24"); }
static void address_of_a3_on_lo(struct snapshot *s) { world_addr(s, "lo", "10.10.0.13/32"); }
static void mac_of_a3(struct snapshot *s)
{
	struct link *l = world_link(s, "mv0", "macvlan", MAC_A3, "");
	l->parent = link_named(s, "eth0")->index;
}
static void mac_of_a3_elsewhere(struct snapshot *s) { world_link(s, "dummy0", "dummy", MAC_A3, ""); }
static void entry(struct snapshot *s, const char *mac, uint16_t state)
{
	*ADD(s->neighs, s->neigh_count) = (struct neigh){
	    .link = link_named(s, "eth0")->index, .ip = prefix_of("10.10.0.13").ip, .mac = mac_of(mac), .state = state};
}
static void entry_wrong(struct snapshot *s) { entry(s, "02:de:ad:00:00:01", NEIGH_PERMANENT); }
static void entry_right(struct snapshot *s) { entry(s, MAC_A3, NEIGH_PERMANENT); }
static void entry_learned(struct snapshot *s) { entry(s, "02:de:ad:00:00:01", NEIGH_STALE); }
static void mtu_large(struct snapshot *s) { link_named(s, "eth0")->mtu = 9000; }
static void mtu_small(struct snapshot *s) { link_named(s, "eth0")->mtu = 1400; }
static void port_large(struct snapshot *s) { link_named(s, "vb1")->mtu = link_named(s, "vx100")->mtu = 9000; }
static void uplink_small(struct snapshot *s) { link_named(s, "up0")->mtu = 1400; }
static void tunnel(struct snapshot *s, uint32_t mtu)
{
	struct link *l = world_link(s, "vx9", "vxlan", "02:09:00:00:00:01", "");
	l->mtu = mtu;
	l->vx_remote = prefix_of("172.31.254.2").ip;
	l->parent = link_named(s, "mgmt0")->index;
}
static void tunnel_too_large(struct snapshot *s) { tunnel(s, 1460); }
static void tunnel_fits(struct snapshot *s) { tunnel(s, 1450); }
static void vlans(struct snapshot *s, uint16_t of_a1, uint16_t of_a3, uint16_t of_uplink)
{
	link_named(s, "br0")->vlan_filtering = true;
	vlan(s, "va1", of_a1, true);
	vlan(s, "va3", of_a3, true);
	vlan(s, "up0", of_uplink, false);
}
static void patch_port(struct snapshot *s) { link_named(s, "up0")->mtu = 0; }
static void vlans_fit(struct snapshot *s) { vlans(s, 10, 10, 10); }
static void vlans_differ(struct snapshot *s)
{
	vlans(s, 10, 20, 10);
	vlan(s, "up0", 20, false);
}
static void vlan_not_carried(struct snapshot *s) { vlans(s, 10, 10, 30); }
static void vlans_not_minded(struct snapshot *s)
{
	vlans(s, 10, 20, 30);
	link_named(s, "br0")->vlan_filtering = false;
}
static void two_nics(struct snapshot *s, int rp)
{
	world_link(s, "eth1", "veth", "02:1a:01:00:00:11", "");
	world_addr(s, "eth1", "10.20.0.11/24");
	sysctl(s, "net.ipv4.conf.all.rp_filter", 0);
	sysctl(s, "net.ipv4.conf.eth1.rp_filter", rp);
	route(s, "10.20.0.0/25", "10.10.0.1", "eth0", 0);
	route(s, "10.20.0.0/24", "", "eth1", 0);
}
static void rp_strict(struct snapshot *s) { two_nics(s, 1); }
static void second_in_network(struct snapshot *s, int ignore)
{
	world_link(s, "eth1", "veth", "02:1a:01:00:00:11", "");
	world_addr(s, "eth1", "10.10.0.99/24");
	sysctl(s, "net.ipv4.conf.all.arp_ignore", 0);
	sysctl(s, "net.ipv4.conf.eth1.arp_ignore", ignore);
}
static void two_in_one_network(struct snapshot *s) { second_in_network(s, 0); }
static void each_for_itself(struct snapshot *s) { second_in_network(s, 1); }
static void rp_by_source(struct snapshot *s)
{
	two_nics(s, 1);
	*ADD(s->rules, s->rule_count) =
	    (struct policy_rule){.family = 4, .priority = 100, .table = 200, .action = 1, .src = prefix_of("10.20.0.11/32")};
	route(s, "10.20.0.0/24", "", "eth1", 0);
	s->routes[s->route_count - 1].table = 200;
}
static void rp_loose(struct snapshot *s) { two_nics(s, 2); }
static void gateway_far(struct snapshot *s) { route(s, "0.0.0.0/0", "10.77.0.1", "eth0", 0); }
static void gateway_by_route(struct snapshot *s)
{
	route(s, "10.77.0.1/32", "", "eth0", 0);
	route(s, "0.0.0.0/0", "10.77.0.1", "eth0", 0);
}
static void gateway_of_cloud(struct snapshot *s)
{
	world_link(s, "eth1", "veth", "02:1a:01:00:00:11", "");
	world_addr(s, "eth1", "198.51.100.7/32");
	route(s, "0.0.0.0/0", "172.31.1.1", "eth1", 0);
}
static void gateway_link_local(struct snapshot *s) { route(s, "::/0", "fe80::1", "eth0", 0); }
static void defaults(struct snapshot *s, uint32_t other)
{
	route(s, "0.0.0.0/0", "10.10.0.1", "eth0", 0);
	route(s, "0.0.0.0/0", "10.10.0.2", "eth0", other);
}
static void defaults_same(struct snapshot *s) { defaults(s, 0); }
static void defaults_ranked(struct snapshot *s) { defaults(s, 100); }
static void defaults_spread(struct snapshot *s)
{
	defaults(s, 0);
	s->routes[s->route_count - 1].hops = s->routes[s->route_count - 2].hops = 2;
}
static void lro_in_bond(struct snapshot *s)
{
	uint32_t bond = world_link(s, "bond0", "bond", "02:b0:00:00:00:01", "")->index;
	offload(s, "eth0", "ixgbe", OFFLOAD_LRO);
	link_named(s, "eth0")->master = bond;
}
static void by_a3(struct snapshot *s) { route(s, "10.9.0.0/16", "10.10.0.13", "eth0", 0); }
static void forwards_not(struct snapshot *s) { sysctl(s, "net.ipv4.ip_forward", 0); }
static void forwards(struct snapshot *s) { sysctl(s, "net.ipv4.ip_forward", 1); }
static void filter_read(struct snapshot *s) { s->firewall_known = FW_READ; }
static void filter_drops_input(struct snapshot *s)
{
	filter_read(s);
	chain(s, "input", FW_DROP);
}
static void filter_drops_output(struct snapshot *s)
{
	filter_read(s);
	chain(s, "output", FW_DROP);
}
static void nat_rule(struct snapshot *s, const char *hook, const char *text)
{
	struct fw_chain *c = chain(s, hook, FW_ACCEPT);
	c->rules = mem_array(1, sizeof *c->rules);
	c->rule_count = 1;
	c->rules[0].verdict = FW_NAT;
	str_copy(c->rules[0].text, sizeof c->rules[0].text, text);
}
static void published(struct snapshot *s)
{
	filter_read(s);
	forwards(s);
	nat_rule(s, "prerouting", "ip daddr 198.51.100.7 tcp dport 80 dnat to 10.10.0.77:8080");
}
static void published_elsewhere(struct snapshot *s)
{
	filter_read(s);
	forwards(s);
	nat_rule(s, "prerouting", "ip daddr 198.51.100.7 dnat to 10.99.0.77");
}
static void published_and_hidden(struct snapshot *s)
{
	published(s);
	nat_rule(s, "postrouting", "ct status dnat masquerade");
}
static void nf_calls(struct snapshot *s, int on)
{
	sysctl(s, "net.bridge.bridge-nf-call-iptables", on);
	sysctl(s, "net.bridge.bridge-nf-call-ip6tables", 0);
	chain(s, "forward", FW_DROP);
}
static void nf_calls_on(struct snapshot *s) { nf_calls(s, 1); }
static void nf_calls_off(struct snapshot *s) { nf_calls(s, 0); }
static void listens(struct snapshot *s, const char *ip)
{
	*ADD(s->listeners, s->listener_count) = (struct listener){.proto = IPPROTO_TCP, .ip = prefix_of(ip).ip, .port = 8080};
}
static void listens_on_loopback(struct snapshot *s) { listens(s, "127.0.0.1"); }
static void listens_anywhere(struct snapshot *s) { listens(s, "0.0.0.0"); }
static void listens_on_both(struct snapshot *s)
{
	listens(s, "127.0.0.1");
	listens(s, "10.10.0.12");
}

struct put {
	const char *machine;
	void (*wrong)(struct snapshot *s);
};

static struct member *named(struct world *w, const char *name)
{
	struct err e;
	struct member *m = fleet_find(w->f, name, NULL, &e);
	assert_non_null(m);
	return m;
}

static void put_in(struct world *w, const struct put *put)
{
	struct snapshot *s = put->machine ? world_copy(named(w, put->machine)) : NULL;
	if (!s)
		return;
	put->wrong(s);
	world_says(w, named(w, put->machine), s);
}

static void services_declared(struct world *w)
{
	struct msg_hello h = w->a2->hello;
	h.service_count = h.start_count = 1;
	h.services[0] = 8080;
	str_copy(h.starts[0], sizeof h.starts[0], "systemctl start web");
	fleet_hello(w->f, w->a2, &h);
}

/* ---- */

static void a_healthy_fleet_has_no_findings(void **state)
{
	(void)state;
	struct world w = world_new();
	services_declared(&w);
	struct lint_result *r = lint_world(&w);
	if (r->count)
		fail_msg("%s at %s", r->findings[0].check->id, r->findings[0].who->name);
	assert_int_equal(r->machines, 7);
	assert_int_equal(r->pairs, 10);
	lint_free(r);
	fleet_free(w.f);
}

static const struct finding *find(const struct lint_result *r, const char *id)
{
	for (size_t i = 0; i < r->count; i++)
		if (strcmp(r->findings[i].check->id, id) == 0)
			return &r->findings[i];
	return NULL;
}

/* `check` NULL: nothing is found. */
static const struct {
	struct put put[2];
	const char *check, *machine, *component, *fix;
} CASES[] = {
    {{{"a1", conntrack_80}},
     "conntrack-near-limit",
     "a1",
     "net.netfilter.nf_conntrack_max",
     "sysctl -w net.netfilter.nf_conntrack_max=2000"},
    {{{"a1", conntrack_79}}, NULL, "", "", ""},
    {{{"a1", conntrack_unknown}}, NULL, "", "", ""},
    {{{"a1", conntrack_none}}, NULL, "", "", ""},
    {{{"a1", neighbours_80}},
     "neighbour-table-near-limit",
     "a1",
     "net.ipv4.neigh.default.gc_thresh3",
     "sysctl -w net.ipv4.neigh.default.gc_thresh3=400 net.ipv4.neigh.default.gc_thresh2=200"},
    {{{"a1", neighbours_79}}, NULL, "", "", ""},
    {{{"a1", neighbours_permanent}}, NULL, "", "", ""},
    {{{"a1", neighbours_counted}}, "neighbour-table-near-limit", "a1", "net.ipv6.neigh.default.gc_thresh3", "gc_thresh3=400"},
    {{{"hv1", port_isolated}}, "bridge-port-flags", "hv1", "va1 isolated", "bridge link set dev va1 isolated off"},
    {{{"hv1", port_locked}}, "bridge-port-flags", "hv1", "va1 locked", "bridge link set dev va1 locked off"},
    {{{"hv1", port_learns_not}}, "bridge-port-flags", "hv1", "va1 learning off", "bridge link set dev va1 learning on"},
    {{{"hv1", port_not_flooded}}, "bridge-port-flags", "hv1", "va1 flood off", "bridge link set dev va1 flood on"},
    {{{"hv1", port_no_broadcasts}}, "bridge-port-flags", "hv1", "va1 bcast_flood off", "bridge link set dev va1 bcast_flood on"},
    {{{"hv1", port_no_multicasts}}, "bridge-port-flags", "hv1", "va1 mcast_flood off", "bridge link set dev va1 mcast_flood on"},
    {{{"hv1", port_managed}}, NULL, "", "", ""},
    {{{"hv1", tunnel_learns_not}}, NULL, "", "", ""},
    {{{"hv1", tunnel_isolated}}, "bridge-port-flags", "hv1", "vx100 isolated", "bridge link set dev vx100 isolated off"},
    {{{"hv1", ovs_port}}, NULL, "", "", ""},
    {{{"hv1", e1000e_tso}}, "offload-driver", "hv1", "up0 tso", "ethtool -K up0 tso off"},
    {{{"a1", e1000e_emulated}}, NULL, "", "", ""},
    {{{"a1", e1000_kvm}}, NULL, "", "", ""},
    {{{"a1", e1000_vmware}}, "offload-driver", "a1", "eth0 tso", "ethtool -K eth0 tso off"},
    {{{"hv1", lro_in_bridge}}, "offload-driver", "hv1", "up0 lro", "ethtool -K up0 lro off"},
    {{{"a1", lro_on_router}}, "offload-driver", "a1", "eth0 lro", "ethtool -K eth0 lro off"},
    {{{"a1", lro_at_end}}, NULL, "", "", ""},
    {{{"hv1", offloads_unknown}}, NULL, "", "", ""},
    {{{"a2", mask_narrow}},
     "netmask-differs",
     "a2",
     "eth0",
     "ip addr replace 10.10.0.12/24 dev eth0 && ip addr del 10.10.0.12/25 dev eth0"},
    {{{"a2", mask_single}}, NULL, "", "", ""},
    {{{"a1", address_of_a3}}, "duplicate-address", "a1", "10.10.0.13", "ip addr del 10.10.0.13/24 dev eth0"},
    {{{"a1", address_of_a3_on_lo}}, NULL, "", "", ""},
    {{{"b1", address_of_a3}}, NULL, "", "", ""}, /* of another tenant */
    {{{"a1", mac_of_a3}}, "duplicate-mac", "a1", "mv0", "ip link set mv0 address 02:"},
    {{{"a1", mac_of_a3_elsewhere}}, NULL, "", "", ""},
    {{{"a1", entry_wrong}}, "permanent-neighbour-wrong", "a1", "10.10.0.13", "ip neigh del 10.10.0.13 dev eth0"},
    {{{"a1", entry_right}}, NULL, "", "", ""},
    {{{"a1", entry_learned}}, NULL, "", "", ""},
    {{{"b1", mtu_large}, {"b2", mtu_large}}, "mtu-drift", "b1", "eth0", "ip link set eth0 mtu 1500"},
    {{{"b1", mtu_large}}, "mtu-drift", "b1", "eth0", "ip link set eth0 mtu 1500"},
    {{{"b1", mtu_small}}, "mtu-drift", "b1", "eth0", "ip link set eth0 mtu 1500"},
    {{{"b1", mtu_large}, {"hv1", port_large}},
     "mtu-drift",
     "b2",
     "eth0",
     "ip link set eth0 mtu 1500"}, /* b2's port carries no more */
    {{{"hv1", tunnel_too_large}}, "mtu-drift", "hv1", "vx9", "ip link set vx9 mtu 1450"},
    {{{"hv1", tunnel_fits}}, NULL, "", "", ""},
    {{{"hv1", vlans_fit}}, NULL, "", "", ""},
    {{{"hv1", patch_port}}, NULL, "", "", ""},
    {{{"hv1", vlans_differ}},
     "vlan-differs",
     "hv1",
     "va3",
     "bridge vlan add dev va3 vid 10 pvid untagged && bridge vlan del dev va3 vid 20"},
    {{{"hv1", vlan_not_carried}}, "vlan-not-on-uplink", "hv1", "up0 VLAN 10", "bridge vlan add dev up0 vid 10"},
    {{{"hv1", vlans_not_minded}}, NULL, "", "", ""},
    {{{"a1", rp_strict}}, "rp-filter-asymmetric", "a1", "eth1", "sysctl -w net.ipv4.conf.eth1.rp_filter=2"},
    {{{"a1", rp_by_source}}, NULL, "", "", ""},
    {{{"a1", two_in_one_network}},
     "arp-flux",
     "a1",
     "eth1",
     "sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2"},
    {{{"a1", each_for_itself}}, NULL, "", "", ""},
    {{{"a1", rp_loose}}, NULL, "", "", ""},
    {{{"a1", gateway_far}}, "gateway-outside-subnet", "a1", "eth0", "ip -4 route del default via 10.77.0.1 dev eth0"},
    {{{"a1", gateway_by_route}}, NULL, "", "", ""},
    {{{"a1", gateway_of_cloud}}, NULL, "", "", ""},
    {{{"a1", gateway_link_local}}, NULL, "", "", ""},
    {{{"a1", defaults_same}}, "duplicate-default-route", "a1", "default route", "ip -4 route del default via 10.10.0.2 dev eth0"},
    {{{"a1", defaults_ranked}}, NULL, "", "", ""},
    {{{"a1", defaults_spread}}, NULL, "", "", ""},
    {{{"a1", lro_in_bond}}, NULL, "", "", ""},
    {{{"a1", by_a3}, {"a3", forwards_not}},
     "router-not-forwarding",
     "a3",
     "net.ipv4.ip_forward",
     "sysctl -w net.ipv4.ip_forward=1"},
    {{{"a1", by_a3}, {"a3", forwards}}, NULL, "", "", ""},
    {{{"a1", by_a3}}, NULL, "", "", ""}, /* whether it forwards is not known */
    {{{"b1", by_a3}, {"a3", forwards_not}}, NULL, "", "", ""},
    {{{"b1", filter_drops_input}, {"b2", filter_read}},
     "filter-one-way",
     "b1",
     "inet t input",
     "nft insert rule inet t input iifname \"eth0\" meta l4proto tcp accept"},
    {{{"b1", filter_drops_output}, {"b2", filter_read}},
     "filter-one-way",
     "b1",
     "inet t output",
     "nft insert rule inet t output oifname \"eth0\" meta l4proto tcp accept"},
    {{{"b1", filter_drops_input}, {"b2", filter_drops_input}}, NULL, "", "", ""},
    {{{"b1", filter_drops_input}}, NULL, "", "", ""}, /* the other one's rules are not known */
    {{{"hv1", nf_calls_on}}, "bridge-nf-forward-drop", "hv1", "inet t forward", "sysctl -w net.bridge.bridge-nf-call-iptables=0"},
    {{{"hv1", nf_calls_off}}, NULL, "", "", ""},
    {{{"a1", published}},
     "nat-hairpin",
     "a1",
     "10.10.0.77",
     "nft 'table ip hairpin { chain p { type nat hook postrouting priority srcnat; ip saddr 10.10.0.0/24 ip daddr 10.10.0.77 "
     "masquerade; }; }'"},
    {{{"a1", published_elsewhere}}, NULL, "", "", ""},
    {{{"a1", published_and_hidden}}, NULL, "", "", ""},
    {{{"a2", listens_on_loopback}}, "service-wrong-address", "a2", "tcp port 8080", "; systemctl start web"},
    {{{"a2", listens_anywhere}}, NULL, "", "", ""},
    {{{"a2", listens_on_both}}, NULL, "", "", ""},
    {{{"a1", listens_on_loopback}}, NULL, "", "", ""}, /* it declared no service */
};
#define CASE_COUNT (sizeof CASES / sizeof *CASES)

static void check_case(size_t i)
{
	struct world w = world_new();
	services_declared(&w);
	for (size_t k = 0; k < 2; k++)
		put_in(&w, &CASES[i].put[k]);
	struct lint_result *r = lint_world(&w);
	const struct finding *f = CASES[i].check ? find(r, CASES[i].check) : NULL;
	if (!CASES[i].check && r->count)
		fail_msg("case %zu: %s at %s is found for nothing", i, r->findings[0].check->id, r->findings[0].who->name);
	if (CASES[i].check && !f)
		fail_msg("case %zu: %s is not found", i, CASES[i].check);
	for (size_t k = 0; f && k < r->count; k++)
		if (r->findings[k].check != f->check)
			fail_msg("case %zu: %s is found as well", i, r->findings[k].check->id);
	if (f) {
		assert_string_equal(f->who->name, CASES[i].machine);
		assert_string_equal(f->component, CASES[i].component);
		if (!strstr(f->fix, CASES[i].fix))
			fail_msg("case %zu: the fix is \"%s\"", i, f->fix);
		assert_true(f->sentence[0][0] && f->sentence[1][0] && f->evidence_count > 0);
		assert_null(strstr(f->sentence[1], f->sentence[0]));
	}
	lint_free(r);
	fleet_free(w.f);
}

static void each_thing_is_found_once_and_with_its_fix(void **state)
{
	(void)state;
	for (size_t i = 0; i < CASE_COUNT; i++)
		check_case(i);
}

static void an_uplink_too_small_is_told_of_each_guest_behind_it(void **state)
{
	(void)state;
	struct world w = world_new();
	put_in(&w, &(struct put){"hv1", uplink_small});
	struct lint_result *r = lint_world(&w);
	assert_int_equal(r->count, 2);
	assert_string_equal(r->findings[0].who->name, "a1");
	assert_string_equal(r->findings[1].who->name, "a3");
	assert_ptr_equal(r->findings[0].other, w.hv1);
	lint_free(r);
	fleet_free(w.f);
}

static void observers_that_are_not_fit_are_told(void **state)
{
	(void)state;
	struct world w = world_new();
	fitness_hear(&w.a1->fitness, &(struct health){.clock_step_us = -3600000000}, w.now);
	w.a1->clock_apart_ms = -7200000;
	w.a2->hello.rights = RIGHT_RAW;
	str_copy(w.a2->hello.rights_why, sizeof w.a2->hello.rights_why, "no CAP_NET_RAW");
	struct lint_result *r = lint_world(&w);
	assert_int_equal(r->count, 3);
	const struct finding *skew = find(r, "clock-skew");
	assert_true(skew && skew->who == w.a1 && strstr(skew->sentence[0], "-7200 s"));
	const struct finding *clock = find(r, "clock-step"), *rights = find(r, "agent-rights");
	assert_true(clock && clock->who == w.a1 && strstr(clock->sentence[0], "-3600000 ms"));
	assert_true(rights && rights->who == w.a2 && strstr(rights->evidence[0], "CAP_NET_RAW"));
	lint_free(r);
	fleet_free(w.f);
}

static void who_is_offline_is_not_judged(void **state)
{
	(void)state;
	struct world w = world_new();
	put_in(&w, &(struct put){"a1", conntrack_80});
	w.a1->online = false;
	struct lint_result *r = lint_world(&w);
	assert_int_equal(r->count, 0);
	assert_int_equal(r->machines, 6);
	lint_free(r);
	fleet_free(w.f);
}

static void serious_ones_come_first(void **state)
{
	(void)state;
	struct world w = world_new();
	put_in(&w, &(struct put){"a1", conntrack_80});
	put_in(&w, &(struct put){"a3", address_of_a3});
	put_in(&w, &(struct put){"a2", entry_wrong});
	struct lint_result *r = lint_world(&w);
	assert_true(r->count >= 2);
	for (size_t i = 1; i < r->count; i++)
		assert_true(r->findings[i - 1].check->severity >= r->findings[i].check->severity);
	assert_string_equal(r->findings[0].check->id, "permanent-neighbour-wrong");
	lint_free(r);
	fleet_free(w.f);
}

static void the_number_of_findings_is_bounded(void **state)
{
	(void)state;
	struct world w = world_new();
	struct snapshot *s = world_copy(w.hv1);
	for (int i = 0; i < LINT_FINDINGS_MAX + 5; i++) {
		char name[IFNAME_LEN];
		snprintf(name, sizeof name, "p%d", i);
		world_link(s, name, "veth", "02:f9:00:00:00:01", "br0")->isolated = true;
	}
	world_says(&w, w.hv1, s);
	struct lint_result *r = lint_world(&w);
	assert_int_equal(r->count, LINT_FINDINGS_MAX);
	assert_true(r->left_out >= 5);
	lint_free(r);
	fleet_free(w.f);
}

static void every_check_is_whole(void **state)
{
	(void)state;
	assert_true(lint_check_count() >= 20);
	for (size_t i = 0; i < lint_check_count(); i++) {
		const struct lint_check *k = lint_check_at(i);
		assert_true(k->run && *k->reads && *k->source);
		for (size_t n = 0; n < LINT_LANGS; n++)
			assert_true(*k->title[n] && *k->doc[n]);
		for (size_t n = 0; n < i; n++)
			assert_string_not_equal(lint_check_at(n)->id, k->id);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_healthy_fleet_has_no_findings),
	    cmocka_unit_test(each_thing_is_found_once_and_with_its_fix),
	    cmocka_unit_test(an_uplink_too_small_is_told_of_each_guest_behind_it),
	    cmocka_unit_test(observers_that_are_not_fit_are_told),
	    cmocka_unit_test(who_is_offline_is_not_judged),
	    cmocka_unit_test(serious_ones_come_first),
	    cmocka_unit_test(the_number_of_findings_is_bounded),
	    cmocka_unit_test(every_check_is_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
