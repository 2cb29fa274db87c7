/* volume_faults: what is put into the snapshots, and what must be named for it. */
#include "tests/sim/volume.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static const struct mac dead = {{0x02, 0xde, 0xad, 0, 0, 1}};

/* ---- what stands where ---- */

static struct vmachine *machine(struct volume *v, int i) { return &v->machines[i]; }
static bool is_guest(struct volume *v, int i) { return machine(v, i)->kind == AGENT_GUEST; }
static int host_of(struct volume *v, int i) { return machine(v, i)->host; }
static bool across(struct volume *v, const struct victim *at) { return host_of(v, at->machine) != host_of(v, at->peer); }
static struct link *nic_of(struct volume *v, int i) { return &machine(v, i)->s->links[machine(v, i)->nic - 1]; }
static struct link *port_of(struct volume *v, int guest) { return volume_named(v, host_of(v, guest), machine(v, guest)->port); }
static struct link *bridge_of(struct volume *v, int host) { return volume_named(v, host, "br0"); }

static struct link *uplink_of(struct volume *v, int host)
{
	struct link *l = volume_named(v, host, "up0");
	return l ? l : volume_named(v, host, "vx5");
}

static struct addr *address_of(struct volume *v, int i, int family)
{
	struct snapshot *s = machine(v, i)->s;
	for (size_t k = 0; k < s->addr_count; k++)
		if (s->addrs[k].link == machine(v, i)->nic && s->addrs[k].prefix.ip.family == family &&
		    !ip_is_link_local(s->addrs[k].prefix.ip))
			return &s->addrs[k];
	return NULL;
}

/* As it was given, whatever became of it. */
static struct ip own_ip(struct volume *v, int i, int family) { return machine(v, i)->own[family == 6]; }

static const char *address_text(struct volume *v, int i, int family, char out[static IP_TEXT_MAX])
{
	struct ip ip = own_ip(v, i, family);
	return ip.family ? ip_format(ip, out) : NULL;
}

/* ---- what is to be said ---- */

static bool blame(struct truth *t, int where, int direction)
{
	t->where = where;
	t->direction = direction;
	return true;
}

static int towards(const struct victim *at) { return at->end ? 0 : 1; } /* the direction in which the victim receives */
static int from(const struct victim *at) { return at->end ? 1 : 0; }

static void cut_at(struct volume *v, struct truth *t, int m1, const char *dev1, int m2, const char *dev2)
{
	snprintf(t->after, sizeof t->after, "%s:%s", machine(v, m1)->name, dev1);
	snprintf(t->before, sizeof t->before, "%s:%s", machine(v, m2)->name, dev2);
}

static void cut_inside(struct volume *v, struct truth *t, int m) { cut_at(v, t, m, nic_of(v, m)->name, m, "socket"); }

/* ---- rulesets ---- */

static struct fw_chain *chain(struct volume *v, int m, const char *family, const char *hook, int policy)
{
	struct snapshot *s = machine(v, m)->s;
	s->chains = mem_resize(s->chains, s->chain_count + 1, sizeof *s->chains);
	struct fw_chain *c = &s->chains[s->chain_count++];
	*c = (struct fw_chain){.policy = (uint8_t)policy, .handle = s->chain_count};
	str_copy(c->family, sizeof c->family, family);
	str_copy(c->table, sizeof c->table, "filter");
	str_copy(c->name, sizeof c->name, hook);
	str_copy(c->hook, sizeof c->hook, hook);
	str_copy(c->type, sizeof c->type, "filter");
	return c;
}

static struct fw_rule *rule(struct fw_chain *c, int verdict, const char *text)
{
	c->rules = mem_resize(c->rules, c->rule_count + 1, sizeof *c->rules);
	struct fw_rule *r = &c->rules[c->rule_count++];
	*r = (struct fw_rule){.handle = c->rule_count + 1, .verdict = (uint8_t)verdict};
	str_copy(r->text, sizeof r->text, text);
	return r;
}

static struct fw_value *match(struct fw_rule *r, int field, int values)
{
	r->matches = mem_resize(r->matches, r->match_count + 1u, sizeof *r->matches);
	struct fw_match *m = &r->matches[r->match_count++];
	*m = (struct fw_match){
	    .field = (uint8_t)field, .value_count = (uint8_t)values, .values = mem_array((size_t)values, sizeof *m->values)};
	return m->values;
}

static struct fw_rule *number(struct fw_rule *r, int field, uint64_t n)
{
	struct fw_value *x = match(r, field, 1);
	x->lo = x->hi = n;
	return r;
}

static struct fw_rule *l4(struct fw_rule *r)
{
	struct fw_value *x = match(r, FW_L4PROTO, 2);
	x[0].lo = x[0].hi = IPPROTO_TCP;
	x[1].lo = x[1].hi = IPPROTO_UDP;
	return r;
}

static struct fw_rule *address(struct fw_rule *r, int field, struct ip ip)
{
	match(r, field, 1)->prefix = (struct prefix){.ip = ip, .len = ip.family == 4 ? 32 : 128};
	return r;
}

static struct fw_rule *device(struct fw_rule *r, int field, const char *name)
{
	str_copy(match(r, field, 1)->text, IFNAME_LEN, name);
	return r;
}

static void established(struct fw_chain *c)
{
	match(rule(c, FW_ACCEPT, "ct state established,related accept"), FW_CT_STATE, 1)->lo = FW_CT_ESTABLISHED | FW_CT_RELATED;
}

static void neighbours_pass(struct fw_chain *c)
{
	struct fw_value *x =
	    match(rule(c, FW_ACCEPT, "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept"), FW_ICMP6_TYPE, 1);
	x->lo = 135;
	x->hi = 136;
}

/* ---- firewalls of the ends ---- */

static bool fw_echo(struct volume *v, const struct victim *at, struct truth *t)
{
	number(rule(chain(v, at->machine, "inet", "input", FW_ACCEPT), FW_DROP, "icmp type echo-request drop"), FW_ICMP_TYPE, 8);
	cut_inside(v, t, at->machine);
	return blame(t, at->machine, towards(at));
}
static bool fw_echo6(struct volume *v, const struct victim *at, struct truth *t)
{
	if (!address_of(v, at->machine, 6))
		return false;
	number(rule(chain(v, at->machine, "ip6", "input", FW_ACCEPT), FW_DROP, "icmpv6 type echo-request drop"), FW_ICMP6_TYPE,
	       128);
	cut_inside(v, t, at->machine);
	return blame(t, at->machine, towards(at));
}
static bool fw_input_policy(struct volume *v, const struct victim *at, struct truth *t)
{
	struct fw_chain *c = chain(v, at->machine, "inet", "input", FW_DROP);
	established(c);
	neighbours_pass(c);
	cut_inside(v, t, at->machine);
	return blame(t, at->machine, towards(at));
}
static bool fw_input_rule(struct volume *v, const struct victim *at, struct truth *t)
{
	struct fw_chain *c = chain(v, at->machine, "ip", "input", FW_ACCEPT);
	established(c);
	address(rule(c, FW_DROP, "ip saddr PEER drop"), FW_SADDR, own_ip(v, at->peer, 4));
	cut_inside(v, t, at->machine);
	return blame(t, at->machine, towards(at));
}
static bool fw_input_udp(struct volume *v, const struct victim *at, struct truth *t)
{
	struct fw_chain *c = chain(v, at->machine, "inet", "input", FW_ACCEPT);
	established(c);
	l4(rule(c, FW_DROP, "meta l4proto { tcp, udp } drop"));
	cut_inside(v, t, at->machine);
	return blame(t, at->machine, towards(at));
}
static bool fw_prerouting(struct volume *v, const struct victim *at, struct truth *t)
{
	struct fw_chain *c = chain(v, at->machine, "inet", "prerouting", FW_ACCEPT);
	established(c);
	l4(rule(c, FW_DROP, "meta l4proto { tcp, udp } drop"));
	cut_inside(v, t, at->machine);
	return blame(t, at->machine, towards(at));
}
static bool fw_output_policy(struct volume *v, const struct victim *at, struct truth *t)
{
	struct fw_chain *c = chain(v, at->machine, "inet", "output", FW_DROP);
	established(c);
	neighbours_pass(c);
	return blame(t, at->machine, from(at));
}
static bool fw_output_rule(struct volume *v, const struct victim *at, struct truth *t)
{
	struct fw_chain *c = chain(v, at->machine, "ip", "output", FW_ACCEPT);
	established(c);
	l4(rule(c, FW_DROP, "meta l4proto { tcp, udp } drop"));
	return blame(t, at->machine, from(at));
}
static bool fw_reject(struct volume *v, const struct victim *at, struct truth *t)
{
	struct fw_chain *c = chain(v, at->machine, "inet", "input", FW_ACCEPT);
	established(c);
	l4(rule(c, FW_REJECT, "meta l4proto { tcp, udp } reject"));
	return blame(t, at->machine, towards(at));
}
static bool echo_ignored(struct volume *v, const struct victim *at, struct truth *t)
{
	volume_sysctl(v, at->machine, "net.ipv4.icmp_echo_ignore_all", 1);
	return blame(t, at->machine, -1);
}
static bool echo6_ignored(struct volume *v, const struct victim *at, struct truth *t)
{
	volume_sysctl(v, at->machine, "net.ipv6.icmp.echo_ignore_all", 1);
	return address_of(v, at->machine, 6) && blame(t, at->machine, -1);
}

/* The same of guests and of hosts: another cause. */
#define OF_GUEST(fn)                                                                                                               \
	static bool guest_##fn(struct volume *v, const struct victim *at, struct truth *t)                                         \
	{                                                                                                                          \
		return is_guest(v, at->machine) && fn(v, at, t);                                                                   \
	}
#define OF_HOST(fn)                                                                                                                \
	static bool host_##fn(struct volume *v, const struct victim *at, struct truth *t)                                          \
	{                                                                                                                          \
		return !is_guest(v, at->machine) && fn(v, at, t);                                                                  \
	}
OF_GUEST(fw_echo)
OF_GUEST(fw_echo6)
OF_GUEST(fw_input_policy)
OF_GUEST(fw_input_rule)
OF_GUEST(fw_input_udp)
OF_GUEST(fw_prerouting)
OF_GUEST(fw_output_policy)
OF_GUEST(fw_output_rule)
OF_GUEST(fw_reject)
OF_HOST(fw_input_policy)
OF_HOST(fw_input_rule)
OF_HOST(fw_input_udp)
OF_HOST(fw_output_policy)
OF_HOST(fw_output_rule)
OF_HOST(fw_reject)

/* ---- filters of the hypervisor and of routers ---- */

static bool bridge_rule(struct volume *v, const struct victim *at, struct truth *t, int field, bool l4_only)
{
	int other = field == FW_DADDR ? at->machine : at->peer;
	if (!is_guest(v, at->machine))
		return false;
	struct fw_rule *r = rule(chain(v, host_of(v, at->machine), "bridge", "forward", FW_ACCEPT), FW_DROP, "ip daddr GUEST drop");
	if (l4_only)
		l4(number(r, FW_ETHERTYPE, 0x0800));
	address(device(r, FW_OIF, machine(v, at->machine)->port), field, own_ip(v, other, 4));
	return blame(t, host_of(v, at->machine), is_guest(v, at->peer) || across(v, at) ? towards(at) : -1);
}
static bool bridge_to_guest(struct volume *v, const struct victim *at, struct truth *t)
{
	return (is_guest(v, at->peer) || across(v, at)) && bridge_rule(v, at, t, FW_DADDR, false);
}
static bool bridge_l4(struct volume *v, const struct victim *at, struct truth *t)
{
	return (is_guest(v, at->peer) || across(v, at)) && bridge_rule(v, at, t, FW_DADDR, true);
}
static bool bridge_from_peer(struct volume *v, const struct victim *at, struct truth *t)
{
	return (is_guest(v, at->peer) || across(v, at)) && bridge_rule(v, at, t, FW_SADDR, false);
}
static bool bridge_netfilter(struct volume *v, const struct victim *at, struct truth *t)
{
	if (!is_guest(v, at->machine) || (!is_guest(v, at->peer) && !across(v, at)))
		return false;
	volume_sysctl(v, host_of(v, at->machine), "net.bridge.bridge-nf-call-iptables", 1);
	chain(v, host_of(v, at->machine), "ip", "forward", FW_DROP);
	return blame(t, host_of(v, at->machine), -1);
}
static bool router_rule(struct volume *v, const struct victim *at, struct truth *t)
{
	if (v->router < 0 || !across(v, at))
		return false;
	struct fw_chain *c = chain(v, v->router, "inet", "forward", FW_ACCEPT);
	established(c);
	address(rule(c, FW_DROP, "ip daddr GUEST drop"), FW_DADDR, own_ip(v, at->machine, 4));
	return blame(t, v->router, towards(at));
}

/* ---- addresses ---- */

static bool address_remove(struct volume *v, int m, int family)
{
	struct snapshot *s = machine(v, m)->s;
	struct addr *a = address_of(v, m, family);
	if (!a)
		return false;
	struct prefix gone = a->prefix;
	*a = s->addrs[--s->addr_count];
	for (size_t i = s->route_count; i-- > 0;) {
		struct route *r = &s->routes[i];
		bool through = r->gateway.family && prefix_contains(gone, r->gateway);
		if (r->link == machine(v, m)->nic && r->dst.ip.family == family &&
		    (through || prefix_same_net(r->dst, prefix_network(gone))))
			*r = s->routes[--s->route_count];
	}
	return true;
}
static bool no_address(struct volume *v, const struct victim *at, struct truth *t)
{
	return address_remove(v, at->machine, 4) && blame(t, at->machine, -1);
}
static bool no_address6(struct volume *v, const struct victim *at, struct truth *t)
{
	if (!address_of(v, at->machine, 6) || !address_of(v, at->peer, 6))
		return false;
	return address_remove(v, at->machine, 6) && blame(t, at->machine, -1);
}
static bool other_subnet(struct volume *v, const struct victim *at, struct truth *t)
{
	if (!address_remove(v, at->machine, 4))
		return false;
	volume_address(v, at->machine, machine(v, at->machine)->nic, "10.77.5.11/24");
	return blame(t, at->machine, -1);
}
static bool narrow(struct volume *v, const struct victim *at, struct truth *t)
{
	char ip[IP_TEXT_MAX], text[PREFIX_TEXT_MAX + 8];
	if (v->topology == T_ROUTED)
		return false;
	snprintf(text, sizeof text, "%s/32", address_text(v, at->machine, 4, ip));
	if (!address_remove(v, at->machine, 4))
		return false;
	volume_address(v, at->machine, machine(v, at->machine)->nic, text);
	return blame(t, at->machine, -1);
}
static bool wide(struct volume *v, const struct victim *at, struct truth *t)
{
	char ip[IP_TEXT_MAX], text[PREFIX_TEXT_MAX + 8];
	if (v->router < 0 || !across(v, at) || !address_of(v, at->machine, 4))
		return false;
	snprintf(text, sizeof text, "%s/8", address_text(v, at->machine, 4, ip));
	address_of(v, at->machine, 4)->prefix.len = 8;
	volume_route(v, at->machine, ROUTE_UNICAST, text, NULL, machine(v, at->machine)->nic)->dst.len = 8;
	struct snapshot *s = machine(v, at->machine)->s;
	for (size_t i = 0; i + 1 < s->route_count; i++)
		if (s->routes[i].dst.len == 24 && s->routes[i].dst.ip.family == 4)
			s->routes[i] = s->routes[--s->route_count];
	return blame(t, at->machine, -1);
}
static bool dad_failed(struct volume *v, const struct victim *at, struct truth *t)
{
	struct addr *a = address_of(v, at->machine, 6);
	(void)t;
	if (!a)
		return false;
	a->dadfailed = a->tentative = true;
	return false; /* what kernels do with such an address is not modelled */
}

/* ---- routes ---- */

static bool no_gateway(struct volume *v, const struct victim *at, struct truth *t)
{
	struct snapshot *s = machine(v, at->machine)->s;
	if (v->router < 0 || !across(v, at) || !is_guest(v, at->machine))
		return false;
	for (size_t i = s->route_count; i-- > 0;)
		if (s->routes[i].dst.len == 0)
			s->routes[i] = s->routes[--s->route_count];
	return blame(t, at->machine, -1);
}
/* A kernel has one route to each prefix. */
static bool has_route(struct volume *v, int where, const char *text)
{
	const struct snapshot *s = machine(v, where)->s;
	struct prefix p;
	prefix_parse(text, &p);
	for (size_t i = 0; i < s->route_count; i++)
		if (s->routes[i].dst.len == p.len && ip_equal(s->routes[i].dst.ip, p.ip))
			return true;
	return false;
}
static bool special_route(struct volume *v, const struct victim *at, struct truth *t, int where, int to, uint8_t type, int family)
{
	char ip[IP_TEXT_MAX], text[PREFIX_TEXT_MAX + 8];
	if (!address_text(v, to, family, ip))
		return false;
	snprintf(text, sizeof text, "%s/%d", ip, family == 4 ? 32 : 128);
	if (has_route(v, where, text))
		return false;
	volume_route(v, where, type, text, NULL, 0);
	(void)at;
	return blame(t, where, -1);
}
static bool blackhole(struct volume *v, const struct victim *at, struct truth *t)
{
	return special_route(v, at, t, at->machine, at->peer, ROUTE_BLACKHOLE, 4);
}
static bool blackhole6(struct volume *v, const struct victim *at, struct truth *t)
{
	return special_route(v, at, t, at->machine, at->peer, ROUTE_BLACKHOLE, 6);
}
static bool unreachable(struct volume *v, const struct victim *at, struct truth *t)
{
	return special_route(v, at, t, at->machine, at->peer, ROUTE_UNREACHABLE, 4);
}
static bool prohibited(struct volume *v, const struct victim *at, struct truth *t)
{
	return special_route(v, at, t, at->machine, at->peer, ROUTE_PROHIBIT, 4);
}
static bool router_blackhole(struct volume *v, const struct victim *at, struct truth *t)
{
	return v->router >= 0 && across(v, at) && special_route(v, at, t, v->router, at->machine, ROUTE_BLACKHOLE, 4);
}
static bool router_unreachable(struct volume *v, const struct victim *at, struct truth *t)
{
	return v->router >= 0 && across(v, at) && special_route(v, at, t, v->router, at->machine, ROUTE_UNREACHABLE, 4);
}
static bool no_forwarding(struct volume *v, const struct victim *at, struct truth *t)
{
	if (v->router < 0 || !across(v, at))
		return false;
	volume_sysctl(v, v->router, "net.ipv4.ip_forward", 0);
	return blame(t, v->router, -1);
}
static bool no_forwarding6(struct volume *v, const struct victim *at, struct truth *t)
{
	if (v->router < 0 || !across(v, at) || !address_of(v, at->machine, 6))
		return false;
	volume_sysctl(v, v->router, "net.ipv6.conf.all.forwarding", 0);
	return blame(t, v->router, -1);
}
static bool rp_filter(struct volume *v, const struct victim *at, struct truth *t)
{
	char ip[IP_TEXT_MAX], text[PREFIX_TEXT_MAX + 8];
	struct link *other = volume_link(v, at->machine, "eth1", "");
	snprintf(text, sizeof text, "%s/32", address_text(v, at->peer, 4, ip));
	if (has_route(v, at->machine, text))
		return false;
	volume_route(v, at->machine, ROUTE_UNICAST, text, NULL, other->index);
	volume_sysctl(v, at->machine, "net.ipv4.conf.all.rp_filter", 1);
	return is_guest(v, at->machine) && blame(t, at->machine, -1);
}

/* ---- neighbours ---- */

static bool stale(struct volume *v, const struct victim *at, struct truth *t, int where, struct ip ip, uint32_t link)
{
	struct snapshot *s = machine(v, where)->s;
	(void)at;
	s->neighs = mem_resize(s->neighs, s->neigh_count + 1, sizeof *s->neighs);
	s->neighs[s->neigh_count++] = (struct neigh){.link = link, .ip = ip, .mac = dead, .state = NEIGH_PERMANENT};
	return blame(t, where, -1);
}
static struct ip next_hop(struct volume *v, const struct victim *at) { return own_ip(v, at->peer, 4); }
static bool stale_of_guest(struct volume *v, const struct victim *at, struct truth *t)
{
	return is_guest(v, at->machine) && !(v->router >= 0 && across(v, at)) &&
	       stale(v, at, t, at->machine, next_hop(v, at), machine(v, at->machine)->nic);
}
static bool stale_of_host(struct volume *v, const struct victim *at, struct truth *t)
{
	return !is_guest(v, at->machine) && stale(v, at, t, at->machine, next_hop(v, at), machine(v, at->machine)->nic);
}
static bool stale_of_router(struct volume *v, const struct victim *at, struct truth *t)
{
	uint32_t side = (uint32_t)(2 + (host_of(v, at->machine) - 1) % 2);
	return v->router >= 0 && across(v, at) && stale(v, at, t, v->router, own_ip(v, at->machine, 4), side);
}
static bool arp_ignored(struct volume *v, const struct victim *at, struct truth *t)
{
	volume_sysctl(v, at->machine, "net.ipv4.conf.all.arp_ignore", 8);
	return blame(t, at->machine, -1);
}
static bool arp_off(struct volume *v, const struct victim *at, struct truth *t)
{
	nic_of(v, at->machine)->noarp = true;
	return is_guest(v, at->machine) && blame(t, at->machine, -1);
}

/* ---- links, ports, bridges ---- */

static bool nic_down(struct volume *v, const struct victim *at, struct truth *t)
{
	nic_of(v, at->machine)->up = false;
	if (!is_guest(v, at->machine))
		return false;
	port_of(v, at->machine)->carrier = strcmp(port_of(v, at->machine)->kind, "veth") != 0;
	return blame(t, at->machine, -1);
}
static bool port_down(struct volume *v, const struct victim *at, struct truth *t)
{
	if (!is_guest(v, at->machine))
		return false;
	port_of(v, at->machine)->up = port_of(v, at->machine)->carrier = false;
	nic_of(v, at->machine)->carrier = strcmp(port_of(v, at->machine)->kind, "veth") != 0;
	return blame(t, -1, -1);
}
static void unplug(struct volume *v, int host, struct link *l)
{
	struct snapshot *s = machine(v, host)->s;
	l->master = 0;
	l->port = false;
	for (size_t i = s->fdb_count; i-- > 0;)
		if (s->fdbs[i].port == l->index)
			s->fdbs[i] = s->fdbs[--s->fdb_count];
}
static bool port_unplugged(struct volume *v, const struct victim *at, struct truth *t)
{
	if (!is_guest(v, at->machine))
		return false;
	unplug(v, host_of(v, at->machine), port_of(v, at->machine));
	return blame(t, host_of(v, at->machine), -1);
}
static bool uplink_unplugged(struct volume *v, const struct victim *at, struct truth *t)
{
	if (!across(v, at))
		return false;
	unplug(v, host_of(v, at->machine), uplink_of(v, host_of(v, at->machine)));
	return blame(t, host_of(v, at->machine), -1);
}
static bool uplink_down(struct volume *v, const struct victim *at, struct truth *t)
{
	struct link *l = uplink_of(v, host_of(v, at->machine));
	if (!across(v, at) || v->topology == T_VXLAN)
		return false;
	l->carrier = false;
	return blame(t, host_of(v, at->machine), -1);
}
static bool isolated(struct volume *v, const struct victim *at, struct truth *t)
{
	if (!is_guest(v, at->machine) || !is_guest(v, at->peer) || across(v, at))
		return false;
	port_of(v, at->machine)->isolated = port_of(v, at->peer)->isolated = true;
	return blame(t, host_of(v, at->machine), -1);
}
static bool isolated_uplink(struct volume *v, const struct victim *at, struct truth *t)
{
	if (!is_guest(v, at->machine) || !across(v, at))
		return false;
	port_of(v, at->machine)->isolated = uplink_of(v, host_of(v, at->machine))->isolated = true;
	return blame(t, host_of(v, at->machine), -1);
}
static bool port_blocked(struct volume *v, const struct victim *at, struct truth *t)
{
	if (!is_guest(v, at->machine))
		return false;
	port_of(v, at->machine)->port_state = (uint8_t)(volume_below(v, 2) ? PORT_BLOCKING : PORT_DISABLED);
	return blame(t, host_of(v, at->machine), -1);
}
static bool uplink_blocked(struct volume *v, const struct victim *at, struct truth *t)
{
	if (!across(v, at))
		return false;
	uplink_of(v, host_of(v, at->machine))->port_state = PORT_BLOCKING;
	return blame(t, host_of(v, at->machine), -1);
}
static bool bridge_is_down(struct volume *v, const struct victim *at, struct truth *t)
{
	if (!is_guest(v, at->machine))
		return false;
	bridge_of(v, host_of(v, at->machine))->up = false;
	return blame(t, host_of(v, at->machine), -1);
}
static bool port_locked(struct volume *v, const struct victim *at, struct truth *t)
{
	struct snapshot *s = machine(v, host_of(v, at->machine))->s;
	if (!is_guest(v, at->machine))
		return false;
	struct link *l = port_of(v, at->machine);
	l->locked = true;
	l->learning = false;
	for (size_t i = s->fdb_count; i-- > 0;)
		if (s->fdbs[i].port == l->index)
			s->fdbs[i] = s->fdbs[--s->fdb_count];
	return blame(t, host_of(v, at->machine), -1);
}
static bool broadcast_off(struct volume *v, const struct victim *at, struct truth *t)
{
	if (!is_guest(v, at->machine))
		return false;
	port_of(v, at->machine)->bcast_flood = false;
	return blame(t, host_of(v, at->machine), -1);
}
static bool stale_fdb(struct volume *v, const struct victim *at, struct truth *t)
{
	struct snapshot *s = machine(v, host_of(v, at->machine))->s;
	struct link *up = uplink_of(v, host_of(v, at->machine));
	if (!is_guest(v, at->machine) || across(v, at) || v->topology == T_VXLAN)
		return false;
	for (size_t i = 0; i < s->fdb_count; i++) {
		if (!mac_equal(s->fdbs[i].mac, nic_of(v, at->machine)->mac))
			continue;
		s->fdbs[i].port = up->index;
		s->fdbs[i].is_static = s->fdbs[i].sticky = true;
	}
	return blame(t, host_of(v, at->machine), -1);
}

/* ---- sizes, tunnels ---- */

static bool mtu_of_guest(struct volume *v, const struct victim *at, struct truth *t)
{
	if (!is_guest(v, at->machine))
		return false;
	nic_of(v, at->machine)->mtu = 1300;
	return blame(t, at->machine, -1);
}
static bool mtu_of_uplink(struct volume *v, const struct victim *at, struct truth *t)
{
	struct link *l = uplink_of(v, host_of(v, at->machine));
	if (!across(v, at) || v->topology == T_VXLAN)
		return false;
	l->mtu = 1300;
	return blame(t, -1, -1);
}
static bool mtu_of_fabric(struct volume *v, const struct victim *at, struct truth *t)
{
	struct link *l = uplink_of(v, host_of(v, at->machine));
	if (!across(v, at) || v->topology == T_VXLAN)
		return false;
	struct wire w = machine(v, host_of(v, at->machine))->wire[l->index];
	machine(v, w.machine)->s->links[w.link - 1].mtu = 1300;
	return blame(t, -1, -1);
}
static bool mtu_of_router(struct volume *v, const struct victim *at, struct truth *t)
{
	if (v->router < 0 || !across(v, at))
		return false;
	machine(v, v->router)->s->links[1 + volume_below(v, 2)].mtu = 1300;
	return blame(t, v->router, -1);
}
static bool vni_differs(struct volume *v, const struct victim *at, struct truth *t)
{
	if (v->topology != T_VXLAN || !across(v, at))
		return false;
	volume_named(v, host_of(v, at->machine), "vx5")->vni = 6;
	return blame(t, -1, -1);
}
static bool remote_differs(struct volume *v, const struct victim *at, struct truth *t)
{
	if (v->topology != T_VXLAN || !across(v, at))
		return false;
	ip_parse("192.0.2.77", &volume_named(v, host_of(v, at->machine), "vx5")->vx_remote);
	return blame(t, -1, -1);
}
static bool tunnel_filtered(struct volume *v, const struct victim *at, struct truth *t)
{
	if (v->topology != T_VXLAN || !across(v, at))
		return false;
	number(number(rule(chain(v, host_of(v, at->machine), "inet", "input", FW_ACCEPT), FW_DROP, "udp dport 4789 drop"),
	              FW_L4PROTO, IPPROTO_UDP),
	       FW_DPORT, 4789);
	return blame(t, host_of(v, at->machine), towards(at));
}

/* ---- who does not take part, and nothing at all ---- */

static bool six_disabled(struct volume *v, const struct victim *at, struct truth *t)
{
	char key[96];
	struct snapshot *s = machine(v, at->machine)->s;
	if (!address_of(v, at->machine, 6) || !address_of(v, at->peer, 6))
		return false;
	snprintf(key, sizeof key, "net.ipv6.conf.%s.disable_ipv6", nic_of(v, at->machine)->name);
	volume_sysctl(v, at->machine, key, 1);
	for (size_t i = s->addr_count; i-- > 0;)
		if (s->addrs[i].prefix.ip.family == 6 && s->addrs[i].link == machine(v, at->machine)->nic)
			s->addrs[i] = s->addrs[--s->addr_count];
	for (size_t i = s->route_count; i-- > 0;)
		if (s->routes[i].dst.ip.family == 6)
			s->routes[i] = s->routes[--s->route_count];
	return blame(t, at->machine, -1);
}
static bool nothing(struct volume *v, const struct victim *at, struct truth *t)
{
	(void)v, (void)at, (void)t;
	return true;
}
/* Rules, routes and settings that are there and stop nothing. */
static bool harmless(struct volume *v, const struct victim *at, struct truth *t)
{
	struct ip nobody;
	ip_parse("10.9.9.9", &nobody);
	struct fw_chain *c = chain(v, at->machine, "inet", "input", FW_ACCEPT);
	address(rule(c, FW_DROP, "ip saddr 10.9.9.9 drop"), FW_SADDR, nobody);
	number(rule(c, FW_DROP, "tcp dport 22 drop"), FW_DPORT, 22);
	volume_route(v, at->machine, ROUTE_BLACKHOLE, "203.0.113.0/24", NULL, 0);
	c = chain(v, host_of(v, at->machine), "bridge", "forward", FW_ACCEPT);
	number(address(rule(c, FW_DROP, "ip daddr 10.9.9.9 drop"), FW_DADDR, nobody), FW_ETHERTYPE, 0x0800);
	return nothing(v, at, t);
}
/* A packet in ten thousand lost at every wire. */
static bool rare_loss(struct volume *v, const struct victim *at, struct truth *t)
{
	for (size_t i = 0; i < v->machine_count; i++)
		for (size_t k = 0; k <= V_LINKS; k++)
			v->machines[i].wire[k].lose_ppm = 100;
	return nothing(v, at, t);
}
/* A fault of the fabric, where nobody can look: no cause, but a cut. */
static bool fabric_drops(struct volume *v, const struct victim *at, struct truth *t)
{
	struct snapshot *s = machine(v, 0)->s;
	if (!across(v, at) || v->topology == T_VXLAN || s->link_count < 4)
		return false;
	address(rule(chain(v, 0, "bridge", "forward", FW_ACCEPT), FW_DROP, ""), FW_DADDR, own_ip(v, at->machine, 4));
	t->cause = NULL;
	return true;
}

const struct volume_fault volume_faults[] = {
    {NULL, "nothing", nothing},
    {NULL, "harmless", harmless},
    {NULL, "rare-loss", rare_loss},
    {"", "fabric-drops", fabric_drops},
    {"guest-fw-icmp-only", "echo", guest_fw_echo},
    {"guest-fw-icmp-only", "echo6", guest_fw_echo6},
    {"guest-fw-inbound-drop", "policy", guest_fw_input_policy},
    {"guest-fw-inbound-drop", "rule", guest_fw_input_rule},
    {"guest-fw-inbound-drop", "udp-tcp", guest_fw_input_udp},
    {"guest-fw-inbound-drop", "prerouting", guest_fw_prerouting},
    {"guest-fw-egress-drop", "policy", guest_fw_output_policy},
    {"guest-fw-egress-drop", "rule", guest_fw_output_rule},
    {"guest-fw-reject", "reject", guest_fw_reject},
    {"icmp-echo-ignore", "four", echo_ignored},
    {"icmp-echo-ignore", "six", echo6_ignored},
    {"host-fw-input-drop", "policy", host_fw_input_policy},
    {"host-fw-input-drop", "rule", host_fw_input_rule},
    {"host-fw-input-drop", "udp-tcp", host_fw_input_udp},
    {"host-fw-output-drop", "policy", host_fw_output_policy},
    {"host-fw-output-drop", "rule", host_fw_output_rule},
    {"host-fw-input-reject", "reject", host_fw_reject},
    {"hypervisor-vm-firewall", "to-guest", bridge_to_guest},
    {"hypervisor-vm-firewall", "udp-tcp", bridge_l4},
    {"hypervisor-vm-firewall", "from-peer", bridge_from_peer},
    {"bridge-nf-forward-drop", "policy", bridge_netfilter},
    {"router-filter", "rule", router_rule},
    {"guest-no-ip", "four", no_address},
    {"guest-no-ip", "six", no_address6},
    {"ipv6-disabled", "disabled", six_disabled},
    {"wrong-subnet-ip", "other", other_subnet},
    {"netmask-too-narrow", "single", narrow},
    {"netmask-too-wide", "eight", wide},
    {"ipv6-dad-failed", "dad", dad_failed},
    {"default-gateway-missing", "gone", no_gateway},
    {"blackhole-route", "four", blackhole},
    {"blackhole-route", "six", blackhole6},
    {"blackhole-route", "unreachable", unreachable},
    {"blackhole-route", "prohibit", prohibited},
    {"blackhole-route", "router", router_blackhole},
    {"blackhole-route", "router-unreachable", router_unreachable},
    {"ip-forward-off", "four", no_forwarding},
    {"ip-forward-off", "six", no_forwarding6},
    {"rp-filter-strict", "strict", rp_filter},
    {"stale-arp-guest", "permanent", stale_of_guest},
    {"stale-arp-host", "permanent", stale_of_host},
    {"stale-arp-router", "permanent", stale_of_router},
    {"arp-not-answered", "ignored", arp_ignored},
    {"arp-not-answered", "noarp", arp_off},
    {"guest-nic-admin-down", "down", nic_down},
    {"vnic-link-down", "port", port_down},
    {"tap-not-in-bridge", "outside", port_unplugged},
    {"uplink-missing-from-bridge", "outside", uplink_unplugged},
    {"pnic-link-down", "no-carrier", uplink_down},
    {"port-isolation", "guests", isolated},
    {"port-isolation-uplink", "uplink", isolated_uplink},
    {"stp-not-forwarding", "port", port_blocked},
    {"stp-not-forwarding", "uplink", uplink_blocked},
    {"bridge-down", "down", bridge_is_down},
    {"bridge-port-locked", "locked", port_locked},
    {"broadcast-flood-off", "port", broadcast_off},
    {"stale-fdb", "sticky", stale_fdb},
    {"mtu-guest-smaller", "guest", mtu_of_guest},
    {"mtu-physical-path", "uplink", mtu_of_uplink},
    {"mtu-physical-path", "fabric", mtu_of_fabric},
    {"mtu-physical-path", "router", mtu_of_router},
    {"overlay-vni-or-vtep-mismatch", "vni", vni_differs},
    {"overlay-vni-or-vtep-mismatch", "remote", remote_differs},
    {"overlay-filtered", "input", tunnel_filtered},
};
const size_t volume_fault_count = sizeof volume_faults / sizeof *volume_faults;
