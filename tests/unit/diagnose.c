/* diagnose: every cause of the catalogue's first set named from what it does, and not named from what only looks like it. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/case_world.h"

#define DEAD "02:de:ad:00:00:01"

struct scenario {
	const char *name, *a, *b;
	void (*inject)(struct world *w);
	const char *cause; /* NULL = none may be named */
	const char *where;
	const char *fix;  /* part of a command */
	const char *also; /* a second cause that must be there too */
};

/* ---- filters ---- */

static void icmp_only(struct world *w)
{
	struct fw_chain *c = add_chain(facts(w, "g1"), "inet", "filter", "input", "input", FW_ACCEPT);
	match_number(add_rule(c, FW_DROP, "icmp type echo-request drop"), FW_ICMP_TYPE, 8, 8);
	cut(w, "h1", "g1:eth0", "g1:socket", ICMP4, 0);
}
static void icmp_only_unreadable(struct world *w)
{
	facts(w, "g1")->firewall_known = FW_NO_RIGHTS;
	cut(w, "h1", "g1:eth0", "g1:socket", ICMP4, 0);
}
static void icmp_only_no_rule(struct world *w)
{
	struct fw_chain *c = add_chain(facts(w, "g1"), "inet", "filter", "input", "input", FW_ACCEPT);
	match_ip(match_number(add_rule(c, FW_DROP, "ip saddr 10.9.9.9 icmp type echo-request drop"), FW_ICMP_TYPE, 8, 8), FW_SADDR,
	         "10.9.9.9");
	cut(w, "h1", "g1:eth0", "g1:socket", ICMP4, 0);
}
static void stateful_input(struct world *w)
{
	struct fw_chain *c = add_chain(facts(w, "g1"), "inet", "filter", "input", "input", FW_DROP);
	match_number(add_rule(c, FW_ACCEPT, "ct state established,related accept"), FW_CT_STATE, FW_CT_ESTABLISHED | FW_CT_RELATED,
	             0);
	match_number(add_rule(c, FW_ACCEPT, "icmpv6 type nd accept"), FW_ICMP6_TYPE, 133, 137);
	cut(w, "g2", "g1:eth0", "g1:socket", IP4 | IP6, 0);
}
static void stateless_input(struct world *w)
{
	add_chain(facts(w, "g1"), "ip", "filter", "INPUT", "input", FW_DROP);
	cut(w, "g2", "g1:eth0", "g1:socket", IP4, IP4);
}
static void stateless_replies(struct world *w)
{
	struct fw_chain *c = add_chain(facts(w, "g1"), "ip", "f", "in", "input", FW_ACCEPT);
	match_number(add_rule(c, FW_DROP, "icmp type echo-reply drop"), FW_ICMP_TYPE, 0, 0);
	cut(w, "g2", "g1:eth0", "g1:socket", 0, ICMP4);
}
static void half_understood(struct world *w) /* a rule with a part nobody can evaluate: it may stop UDP, and nothing else */
{
	struct fw_chain *c = add_chain(facts(w, "g1"), "inet", "f", "in", "input", FW_ACCEPT);
	add_match(match_number(add_rule(c, FW_DROP, "meta l4proto udp meta mark 7 drop"), FW_L4PROTO, 17, 17), FW_UNKNOWN);
}
static void half_understood_fits(struct world *w)
{
	half_understood(w);
	cut(w, "g2", "g1:eth0", "g1:socket", K(UDP) | K(UDP_LARGE) | K(UDP6) | K(UDP_LARGE6), 0);
}
static void half_understood_of_more(struct world *w) /* UDP over IPv6 passes, which the rule may stop as well */
{
	half_understood(w);
	cut(w, "g2", "g1:eth0", "g1:socket", K(UDP) | K(UDP_LARGE), 0);
}
static void half_understood_all_lost(struct world *w)
{
	struct fw_chain *c = add_chain(facts(w, "g1"), "inet", "f", "in", "input", FW_ACCEPT);
	add_match(add_rule(c, FW_DROP, "meta mark 7 drop"), FW_UNKNOWN);
	cut(w, "g2", "g1:eth0", "g1:socket", IP4 | IP6, 0);
}
static void flood_guard(struct world *w) /* a limit that nobody reached: something else takes UDP */
{
	struct fw_chain *c = add_chain(facts(w, "g1"), "inet", "f", "in", "input", FW_ACCEPT);
	add_match(match_number(add_rule(c, FW_DROP, "udp limit rate over 9999/second drop"), FW_L4PROTO, 17, 17), FW_RANDOM);
	cut(w, "g2", "g1:eth0", "g1:socket", K(UDP) | K(UDP_LARGE) | K(UDP6) | K(UDP_LARGE6), 0);
}
static void syn_only(struct world *w)
{
	struct fw_chain *c = add_chain(facts(w, "g1"), "inet", "f", "in", "input", FW_ACCEPT);
	match_number(add_rule(c, FW_DROP, "tcp flags & (syn | ack) == syn drop"), FW_TCP_FLAGS, 0x02, 0x12);
	cut(w, "g2", "g1:eth0", "g1:socket", K(TCP) | K(TCP6), 0);
}
static void output_drop(struct world *w)
{
	struct fw_chain *c = add_chain(facts(w, "g1"), "inet", "filter", "output", "output", FW_DROP);
	match_number(add_rule(c, FW_ACCEPT, "ct state established accept"), FW_CT_STATE, FW_CT_ESTABLISHED, 0);
	cut(w, "g1", "g1:socket", "g1:eth0", IP4 | IP6, K(ND));
}
static void reject(struct world *w)
{
	struct fw_chain *c = add_chain(facts(w, "g1"), "inet", "filter", "input", "input", FW_ACCEPT);
	match_number(add_rule(c, FW_REJECT, "meta l4proto { tcp, udp } reject"), FW_L4PROTO, 6, 17);
	cut(w, "h1", "g1:eth0", "g1:socket", K(UDP) | K(TCP) | K(UDP_LARGE), 0);
	fails(w, "h1", K(UDP) | K(TCP) | K(UDP_LARGE), CELL_REFUSED);
}
static void echo_ignore(struct world *w)
{
	add_sysctl(facts(w, "g1"), "net.ipv4.icmp_echo_ignore_all", 1);
	cut(w, "g1", "g1:socket", "g1:eth0", 0, ICMP4);
}
static void echo_reply_filtered(struct world *w) /* looks like echo_ignore */
{
	struct fw_chain *c = add_chain(facts(w, "g1"), "ip", "f", "out", "output", FW_ACCEPT);
	match_number(add_rule(c, FW_DROP, "icmp type echo-reply drop"), FW_ICMP_TYPE, 0, 0);
	cut(w, "g1", "g1:socket", "g1:eth0", 0, ICMP4);
}
static void host_input(struct world *w)
{
	struct fw_chain *c = add_chain(facts(w, "h1"), "inet", "filter", "input", "input", FW_ACCEPT);
	match_name(match_number(add_rule(c, FW_DROP, "iifname br0 meta l4proto udp drop"), FW_L4PROTO, 17, 17), FW_IIF, "br0");
	cut(w, "g1", "h1:br0", "h1:socket", K(UDP) | K(UDP_LARGE), 0);
}
static void host_input_other_if(struct world *w)
{
	struct fw_chain *c = add_chain(facts(w, "h1"), "inet", "filter", "input", "input", FW_ACCEPT);
	match_name(match_number(add_rule(c, FW_DROP, "iifname br1 meta l4proto udp drop"), FW_L4PROTO, 17, 17), FW_IIF, "br1");
	cut(w, "g1", "h1:br0", "h1:socket", K(UDP) | K(UDP_LARGE), 0);
}
static void host_output(struct world *w)
{
	struct fw_chain *c = add_chain(facts(w, "h1"), "inet", "filter", "output", "output", FW_ACCEPT);
	match_name(match_number(add_rule(c, FW_ACCEPT, "ct state established accept"), FW_CT_STATE, FW_CT_ESTABLISHED, 0), FW_OIF,
	           "br*");
	match_name(add_rule(c, FW_DROP, "oifname br0 drop"), FW_OIF, "br0");
	cut(w, "h1", "h1:socket", "h1:br0", IP4, 0);
}
static void bridge_filter(struct world *w)
{
	struct fw_chain *c = add_chain(facts(w, "h2"), "bridge", "filter", "FORWARD", "forward", FW_ACCEPT);
	match_ip(add_rule(c, FW_DROP, "ip daddr 10.0.0.12 drop"), FW_DADDR, "10.0.0.12");
	cut(w, "g1", "h2:up0", "h2:v2", IP4, IP4);
}
static void bridge_filter_arp(struct world *w)
{
	struct fw_chain *c = add_chain(facts(w, "h2"), "bridge", "filter", "FORWARD", "forward", FW_ACCEPT);
	match_number(match_ip(add_rule(c, FW_DROP, "arp daddr ip 10.0.0.12 drop"), FW_ARP_TPA, "10.0.0.12"), FW_ARP_OP, 1, 1);
	cut(w, "g1", "h2:up0", "h2:v2", K(ARP), 0);
	fails(w, "g1", IP4, CELL_LOST);
	unresolved(w, "g1", IP4);
}
static void netdev_filter(struct world *w)
{
	struct fw_chain *c = add_chain(facts(w, "h2"), "netdev", "t", "c", "ingress", FW_DROP);
	str_copy(c->device, IFNAME_LEN, "up0");
	cut(w, "g1", "h2:up0", "h2:v2", ALL, ALL);
}
static void bridge_nf(struct world *w)
{
	add_sysctl(facts(w, "h1"), "net.bridge.bridge-nf-call-iptables", 1);
	add_chain(facts(w, "h1"), "ip", "filter", "FORWARD", "forward", FW_DROP);
	cut(w, "g1", "h1:v1", "h1:up0", IP4, 0);
	cut(w, "g2", "h1:up0", "h1:v1", IP4, 0);
}
static void bridge_nf_new(struct world *w)
{
	bridge_nf(w);
	changed(w, "h1", "sysctl.net.bridge.bridge-nf-call-iptables", "0", "1");
}
static void bridge_nf_off(struct world *w) /* the policy is there, bridged frames do not meet it */
{
	add_chain(facts(w, "h1"), "ip", "filter", "FORWARD", "forward", FW_DROP);
	cut(w, "g1", "h1:v1", "h1:up0", IP4, 0);
}

/* ---- addresses and routes ---- */

/* The peer asks in vain; its packets, sent as directed frames, are not for anybody there. */
static void unreachable_stack(struct world *w, kind_mask neigh, kind_mask ip)
{
	cut(w, "h1", "g1:eth0", "g1:socket", ip, 0);
	cut(w, "g1", "g1:socket", "g1:eth0", ip, neigh);
	unresolved(w, "h1", ip);
}
static void no_ip(struct world *w)
{
	drop_addr(w, "g1", "10.0.0.11/24");
	drop_route(w, "g1", "10.0.0.0/24");
	changed(w, "g1", "addr.eth0.10.0.0.11/24", "present", NULL);
	changed(w, "g1", "route.4.10.0.0.0/24", "unicast dev eth0 src 10.0.0.11", NULL);
	changed(w, "g1", "route.4.default", "unicast via 10.0.0.1 dev eth0", NULL);
	unreachable_stack(w, K(ARP), IP4);
}
static void flushed(struct world *w)
{
	no_ip(w);
	drop_addr(w, "g1", "fd00::11/64");
	changed(w, "g1", "addr.eth0.fd00::11/64", "present", NULL);
	changed(w, "g1", "addr.eth0.fe80::11/64", "present", NULL);
	unreachable_stack(w, K(ND), IP6);
}
static void ip_on_vlan_device(struct world *w) /* a guest that was told to tag, on a port that does not */
{
	no_ip(w);
	struct link *l = GROW(facts(w, "g1")->links, facts(w, "g1")->link_count);
	l->index = 5;
	str_copy(l->name, sizeof l->name, "eth0.5");
	l->up = l->carrier = true;
	add_addr(facts(w, "g1"), 5, "10.0.0.11/24");
}
static void no_ip_unheard(struct world *w)
{
	silence(w, "g1");
	w->d->party[party(w, "g1")].before = facts(w, "g1");
	drop_addr(w, "g1", "10.0.0.11/24");
	fails(w, "h1", K(ARP) | IP4, CELL_LOST);
	for (int k = 0; k < KIND_COUNT; k++)
		w->v->dir[1].delivery[k] = w->v->dir[1].initiation[k] = CELL_UNKNOWN;
	verdict_decide_state(w->v);
	for (int k = 0; k < KIND_SERVICE; k++)
		sent(w, "h1", k)->answered = 0;
}
static void wrong_subnet(struct world *w)
{
	drop_addr(w, "g1", "10.0.0.11/24");
	drop_route(w, "g1", "10.0.0.0/24");
	add_addr(facts(w, "g1"), 1, "10.77.5.11/24");
	changed(w, "g1", "addr.eth0.10.0.0.11/24", "present", NULL);
	changed(w, "g1", "addr.eth0.10.77.5.11/24", NULL, "present");
	unreachable_stack(w, K(ARP), IP4);
}
static void two_subnets(struct world *w) /* always were, and nobody else says otherwise */
{
	w->d->owner_count = 0;
	drop_addr(w, "g1", "10.0.0.11/24");
	drop_route(w, "g1", "10.0.0.0/24");
	add_addr(facts(w, "g1"), 1, "10.77.5.11/24");
	struct party *p = &w->d->party[party(w, "g1")];
	p->ep.ip4 = p->ep_last.ip4 = P("10.77.5.11/24");
	add_route(facts(w, "g1"), ROUTE_UNICAST, "0.0.0.0/0", "10.77.5.1", 1);
	cut(w, "h1", "g1:eth0", "g1:socket", IP4, 0);
}
static void narrow(struct world *w)
{
	drop_addr(w, "g1", "10.0.0.11/24");
	drop_route(w, "g1", "10.0.0.0/24");
	add_addr(facts(w, "g1"), 1, "10.0.0.11/30");
	add_route(facts(w, "g1"), ROUTE_UNICAST, "10.0.0.8/30", NULL, 1);
	struct party *p = &w->d->party[party(w, "g1")];
	p->ep.ip4 = P("10.0.0.11/30");
	cut(w, "g1", "g1:socket", "g1:eth0", IP4, 0);
}
static void narrow_at_both(struct world *w) /* and only the other one's past is known */
{
	narrow(w);
	struct party *p = &w->d->party[party(w, "g2")];
	w->d->party[party(w, "g1")].ep_last.ip4 = P("10.0.0.11/30");
	p->ep.ip4 = p->ep_last.ip4 = P("10.0.0.12/32");
	drop_addr(w, "g2", "10.0.0.12/24");
	add_addr(facts(w, "g2"), 1, "10.0.0.12/32");
	changed(w, "g2", "addr.eth0.10.0.0.12/24", "present", NULL);
}
static void peer_was_widened(struct world *w) /* of another network; it is the peer whose prefix is wrong */
{
	struct party *p = &w->d->party[party(w, "g2")];
	w->d->onlink = false;
	p->ep.ip4 = p->ep_last.ip4 = P("10.0.1.12/8");
	drop_addr(w, "g2", "10.0.0.12/24");
	add_addr(facts(w, "g2"), 1, "10.0.1.12/8");
	changed(w, "g2", "addr.eth0.10.0.1.12/24", "present", NULL);
	cut(w, "g1", "g1:socket", "g1:eth0", IP4, 0);
}
static void peer_was_wide_meanwhile(struct world *w) /* it is well again; a default route is what is missing */
{
	struct party *p = &w->d->party[party(w, "g2")];
	w->d->onlink = false;
	p->ep.ip4 = p->ep_last.ip4 = P("10.0.1.12/24");
	drop_addr(w, "g2", "10.0.0.12/24");
	add_addr(facts(w, "g2"), 1, "10.0.1.12/24");
	changed(w, "g2", "addr.eth0.10.0.1.12/8", NULL, "present");
	changed(w, "g2", "addr.eth0.10.0.1.12/8", "present", NULL);
	cut(w, "g1", "g1:socket", "g1:eth0", IP4, 0);
}
static void gave_itself_an_address(struct world *w)
{
	drop_addr(w, "g1", "10.0.0.11/24");
	drop_route(w, "g1", "10.0.0.0/24");
	add_addr(facts(w, "g1"), 1, "169.254.7.7/16");
	changed(w, "g1", "addr.eth0.10.0.0.11/24", "present", NULL);
	unreachable_stack(w, K(ARP), IP4);
}
static void group_address(struct world *w)
{
	struct link *l = link_named(w, "g1", "eth0");
	l->mac = M("03:00:00:00:00:11");
	cut(w, "g1", "h1:v1", "h1:up0", IP4 | IP6, 0);
}
static void connections(struct world *w, int64_t count)
{
	add_counter(facts(w, "g1"), "net.netfilter.nf_conntrack_count", count);
	add_sysctl(facts(w, "g1"), "net.netfilter.nf_conntrack_max", 262144);
	cut(w, "h1", "g1:eth0", "g1:socket", IP4, 0);
}
static void table_full(struct world *w) { connections(w, 262144); }
static void table_half_full(struct world *w) { connections(w, 131072); }
static void sent_to_another(struct world *w, const char *rule)
{
	struct fw_chain *c = add_chain(facts(w, "g1"), "ip", "nat", "pre", "prerouting", FW_ACCEPT);
	str_copy(c->type, sizeof c->type, "nat");
	add_match(add_rule(c, FW_NAT, rule), FW_DADDR)->prefix = P("10.0.0.11/32");
	cut(w, "g2", "g1:eth0", "g1:socket", K(UDP) | K(TCP), 0);
}
static void mapped_elsewhere(struct world *w) { sent_to_another(w, "ip daddr 10.0.0.11 dnat to 10.0.0.99:80"); }
static void mapped_to_itself(struct world *w) { sent_to_another(w, "ip daddr 10.0.0.11 dnat to 10.0.0.11:80"); }
/* Between g1 and g2 is a router nobody knows; it answers what g1 sends with that error. */
static void router_says(struct world *w, const char *by, uint8_t type, uint8_t code)
{
	struct round_result *r = w->result[party(w, "g1")];
	for (size_t i = 0; i < r->sent_count; i++) {
		if (KIND_BIT(w->d->flows[r->sent[i].flow].kind) & IP4) {
			r->sent[i].icmp_from = P(by).ip;
			r->sent[i].icmp_type = type;
			r->sent[i].icmp_code = code;
		}
	}
	w->d->onlink = false;
	cut(w, "g1", "h1:up0", "h2:up0", IP4, 0);
}
static void router_has_no_way(struct world *w) { router_says(w, "10.0.0.254/24", 3, 0); }
static void router_forbids(struct world *w) { router_says(w, "10.0.0.254/24", 3, 13); }
static void router_finds_nobody(struct world *w) { router_says(w, "10.0.0.254/24", 3, 1); }
static void peer_itself_forbids(struct world *w) { router_says(w, "10.0.0.12/24", 3, 13); }

/* What g1 sends is seen as from h1, or some of it; g1's own address is unknown beyond. */
static void seen_as_from_host(struct world *w, kind_mask kinds)
{
	struct round_result *r = w->result[party(w, "h2")];
	for (size_t i = 0; i < r->received_count; i++) {
		const struct flow *f = &w->d->flows[r->received[i].flow];
		if (f->src.family == 4)
			r->received[i].from = kinds & KIND_BIT(f->kind) ? P("10.0.0.1/24").ip : f->src;
	}
	cut(w, "h2", "h2:socket", "h2:br0", IP4, 0);
}
static void behind_nat(struct world *w) { seen_as_from_host(w, ALL); }
static void somebody_elses_syn(struct world *w) { seen_as_from_host(w, K(TCP)); }
/* What is seen of ARP has no IP header. */
static void only_arp_is_seen(struct world *w)
{
	struct round_result *r = w->result[party(w, "h2")];
	cut(w, "h2", "h2:socket", "h2:br0", IP4, 0);
	for (size_t i = 0; i < r->received_count; i++) {
		bool arp = w->d->flows[r->received[i].flow].kind == KIND_ARP;
		r->received[i].from = (struct ip){.family = arp ? 4 : 0};
	}
}
/* h2 stands outside; h1 hides what it routes from 10.0.0.0/24, and nothing that g1 sends arrives. */
static void hidden_by_rule(struct world *w)
{
	struct party *p = &w->d->party[party(w, "h2")];
	struct fw_chain *c = add_chain(facts(w, "h1"), "ip", "nat", "post", "postrouting", FW_ACCEPT);
	str_copy(c->type, sizeof c->type, "nat");
	add_match(add_rule(c, FW_NAT, "ip saddr 10.0.0.0/24 masquerade"), FW_SADDR)->prefix = P("10.0.0.0/24");
	p->ep.ip4 = p->ep_last.ip4 = P("192.168.5.2/24");
	drop_addr(w, "h2", "10.0.0.2/24");
	drop_route(w, "h2", "10.0.0.0/24");
	add_addr(facts(w, "h2"), 1, "192.168.5.2/24");
	w->d->onlink = false;
	add_route(facts(w, "g1"), ROUTE_BLACKHOLE, "192.168.5.2/32", NULL, 0);
	cut(w, "g1", "g1:socket", "g1:eth0", IP4, 0);
	cut(w, "h2", "h2:socket", "h2:br0", IP4, 0);
}
static void hidden_and_had_a_way(struct world *w)
{
	hidden_by_rule(w);
	changed(w, "h2", "route.4.10.0.0.0/24", "unicast via 192.168.5.1 dev br0", NULL);
}
static void hidden_by_half_a_rule(struct world *w) /* of what is marked */
{
	hidden_by_rule(w);
	add_match(&facts(w, "h1")->chains[0].rules[0], FW_UNKNOWN);
}
static void with_policy(struct world *w, const char *way, const char *action)
{
	struct snapshot *s = facts(w, "g1");
	struct text *x = GROW(s->texts, s->text_count);
	snprintf(x->name, sizeof x->name, "xfrm.policy.%s 10.0.0.12/32 10.0.0.0/24", way);
	str_copy(x->text, sizeof x->text, action);
	cut(w, "g2", "g1:eth0", "g1:socket", IP4, 0);
}
static void policy_blocks(struct world *w) { with_policy(w, "in", "block"); }
static void policy_of_the_other_way(struct world *w) { with_policy(w, "out", "block"); }
static void narrow_with_route(struct world *w)
{
	narrow(w);
	add_route(facts(w, "g1"), ROUTE_UNICAST, "0.0.0.0/0", "10.0.0.9", 1);
}
static void off_link_pair(struct world *w)
{
	struct party *p = &w->d->party[party(w, "h1")];
	p->ep.ip4 = p->ep_last.ip4 = P("192.168.5.1/24");
	for (size_t i = 0; i < w->d->flow_count; i++)
		w->d->flows[i].onlink = false;
	w->d->onlink = false;
}
static void no_gateway(struct world *w)
{
	off_link_pair(w);
	changed(w, "g1", "route.4.default", "unicast via 10.0.0.254 dev eth0", NULL);
	cut(w, "g1", "g1:socket", "g1:eth0", IP4, 0);
}
static void has_gateway(struct world *w)
{
	off_link_pair(w);
	add_route(facts(w, "g1"), ROUTE_UNICAST, "0.0.0.0/0", "10.0.0.254", 1);
	cut(w, "g1", "g1:socket", "g1:eth0", IP4, 0);
}
static void routed_pair(struct world *w) /* each in its own subnet, g1 lost its gateway */
{
	struct party *p = &w->d->party[party(w, "g3")];
	p->ep.ip4 = p->ep_last.ip4 = P("10.0.1.13/24");
	drop_addr(w, "g3", "10.0.0.13/24");
	drop_route(w, "g3", "10.0.0.0/24");
	add_addr(facts(w, "g3"), 1, "10.0.1.13/24");
	w->d->onlink = false;
	changed(w, "g1", "route.4.default", "unicast via 10.0.0.1 dev eth0", NULL);
	cut(w, "g1", "g1:socket", "g1:eth0", IP4, IP4);
}
static void divert(struct world *w)
{
	add_link(facts(w, "g1"), "eth1", "", "02:00:00:00:01:11");
	add_route(facts(w, "g1"), ROUTE_UNICAST, "10.0.0.1/32", NULL, 2);
}
static void rp_strict(struct world *w)
{
	divert(w);
	add_sysctl(facts(w, "g1"), "net.ipv4.conf.all.rp_filter", 1);
	changed(w, "g1", "route.4.10.0.0.1/32", NULL, "unicast dev eth1");
	cut(w, "h1", "g1:eth0", "g1:socket", IP4, 0);
	cut(w, "g1", "g1:socket", "g1:eth0", IP4, K(ARP));
}
static void rp_loose(struct world *w)
{
	divert(w);
	add_sysctl(facts(w, "g1"), "net.ipv4.conf.all.rp_filter", 1);
	add_sysctl(facts(w, "g1"), "net.ipv4.conf.eth0.rp_filter", 2);
	cut(w, "h1", "g1:eth0", "g1:socket", IP4, 0);
}
static void rp_strict_same_way(struct world *w)
{
	add_sysctl(facts(w, "g1"), "net.ipv4.conf.all.rp_filter", 1);
	cut(w, "h1", "g1:eth0", "g1:socket", IP4, 0);
}
static void policy_route(struct world *w)
{
	divert(w);
	cut(w, "g1", "g1:socket", "g1:eth0", IP4, 0);
}
static void blackhole(struct world *w)
{
	add_route(facts(w, "g1"), ROUTE_BLACKHOLE, "10.0.0.1/32", NULL, 0);
	cut(w, "g1", "g1:socket", "g1:eth0", IP4, 0);
}
static void blackhole_of_another(struct world *w)
{
	add_route(facts(w, "g1"), ROUTE_BLACKHOLE, "10.0.0.99/32", NULL, 0);
	cut(w, "g1", "g1:socket", "g1:eth0", IP4, 0);
}
static void prohibit_rule(struct world *w)
{
	struct snapshot *s = facts(w, "g1");
	struct policy_rule *r = GROW(s->rules, s->rule_count);
	*r = (struct policy_rule){.family = 4, .priority = 100, .action = 8, .dst = P("10.0.0.1/32")};
	cut(w, "g1", "g1:socket", "g1:eth0", IP4, 0);
}

/* ---- who is behind an address ---- */

static void two_macs(struct world *w, const char *from, const char *own, const char *other)
{
	struct flow_sent *s = sent(w, from, KIND_ARP);
	s->mac_count = 2;
	s->macs[0] = M(own);
	s->macs[1] = M(other);
}
static void twin_vm(struct world *w)
{
	world_owner(w, "g3", "10.0.0.12/24", "02:00:00:00:00:13");
	two_macs(w, "g1", "02:00:00:00:00:12", "02:00:00:00:00:13");
	frames_to(w, "g1", false, "h1", "v1", IP4, "02:00:00:00:00:13");
	cut(w, "g1", "h1:v1", "h1:up0", IP4, 0);
	fails(w, "g1", ICMP4, CELL_IMPOSTOR);
	fails(w, "g1", K(UDP) | K(TCP) | K(UDP_LARGE), CELL_REFUSED);
}
static void twin_elsewhere(struct world *w) /* same address on another tenant's segment: normal */
{
	world_owner(w, "g3", "10.0.0.12/24", "02:00:00:00:00:13");
	w->d->owners[w->d->owner_count - 1].same_segment = false;
	cut(w, "g1", "h1:v1", "h1:up0", IP4, 0);
}
static void twin_stranger(struct world *w)
{
	two_macs(w, "g1", "02:00:00:00:00:12", "02:77:00:00:00:77");
	frames_to(w, "g1", false, "h1", "v1", IP4, "02:77:00:00:00:77");
	cut(w, "g1", "h1:v1", "h1:up0", IP4, 0);
}
static void twin_host(struct world *w)
{
	add_addr(facts(w, "g1"), 1, "10.0.0.1/32");
	changed(w, "g1", "addr.eth0.10.0.0.1/32", NULL, "present");
	cut(w, "g1", "g1:socket", "g1:eth0", IP4, 0);
	cut(w, "h1", "g1:eth0", "g1:socket", IP4, 0);
}
static void spoof(struct world *w)
{
	add_neigh(w, "g1", "10.0.0.12", "02:00:00:00:00:13", NEIGH_REACHABLE);
	struct snapshot *h = facts(w, "h1");
	struct fdb *f = GROW(h->fdbs, h->fdb_count);
	*f = (struct fdb){.bridge = 1, .port = link_named(w, "h1", "v3")->index, .mac = M("02:00:00:00:00:13")};
	frames_to(w, "g1", false, "h1", "v1", IP4, "02:00:00:00:00:13");
	frames_to(w, "g2", true, "h1", "v1", IP4, "02:00:00:00:00:13");
	cut(w, "g1", "h1:v1", "h1:up0", IP4, IP4);
}
static void only_tcp_to_another(struct world *w) /* somebody else's connection with the same ports */
{
	frames_to(w, "g1", false, "h1", "v1", K(TCP), "02:00:00:00:00:13");
	cut(w, "g1", "h1:v1", "h1:up0", IP4, 0);
}
static void via_gateway(struct world *w, const char *mac)
{
	drop_route(w, "g1", "10.0.0.0/24");
	add_route(facts(w, "g1"), ROUTE_UNICAST, "0.0.0.0/0", "10.0.0.1", 1);
	frames_to(w, "g1", false, "h1", "v1", IP4, mac);
	cut(w, "g1", "h1:v1", "h1:up0", IP4, 0);
}
static void by_the_gateway(struct world *w) { via_gateway(w, "02:a0:00:00:00:01"); } /* as the route says: nobody steals them */
static void stale_gateway(struct world *w)
{
	add_neigh(w, "g1", "10.0.0.1", DEAD, NEIGH_PERMANENT);
	via_gateway(w, DEAD);
}
static void spoof_by_arp_only(struct world *w) /* the frames happen to go the right way at the moment */
{
	struct snapshot *h = facts(w, "h1");
	struct fdb *f = GROW(h->fdbs, h->fdb_count);
	*f = (struct fdb){.bridge = 1, .port = link_named(w, "h1", "v3")->index, .mac = M("02:00:00:00:00:13")};
	two_macs(w, "g1", "02:00:00:00:00:12", "02:00:00:00:00:13");
	fails(w, "g1", K(ARP), CELL_IMPOSTOR);
}
static void permanent_to_other_vm(struct world *w)
{
	spoof(w);
	facts(w, "g1")->neighs[0].state = NEIGH_PERMANENT;
}
static void stale_host(struct world *w)
{
	add_neigh(w, "h1", "10.0.0.11", DEAD, NEIGH_PERMANENT);
	frames_to(w, "h1", false, "h1", "v1", IP4, DEAD);
	cut(w, "h1", "g1:eth0", "g1:socket", IP4, IP4);
}
static void stale_guest(struct world *w)
{
	add_neigh(w, "g1", "10.0.0.1", DEAD, NEIGH_STALE);
	frames_to(w, "g1", false, "g1", "eth0", IP4, DEAD);
	cut(w, "g1", "h1:v1", "h1:br0", IP4, IP4);
}
static void right_mac(struct world *w)
{
	add_neigh(w, "g1", "10.0.0.1", machine("h1")->mac, NEIGH_PERMANENT);
	frames_to(w, "g1", false, "g1", "eth0", IP4, machine("h1")->mac);
	cut(w, "g1", "h1:v1", "h1:br0", IP4, IP4);
}
static void arp_mute(struct world *w)
{
	cut(w, "g1", "g1:socket", "g1:eth0", 0, K(ARP));
	fails(w, "h1", K(ARP) | IP4, CELL_LOST);
	unresolved(w, "h1", IP4);
}
static void arp_ignore(struct world *w)
{
	add_sysctl(facts(w, "g1"), "net.ipv4.conf.all.arp_ignore", 8);
	arp_mute(w);
}
static void arp_ignore_1(struct world *w) /* harmless: the address is on this interface */
{
	add_sysctl(facts(w, "g1"), "net.ipv4.conf.all.arp_ignore", 1);
	arp_mute(w);
}
static void arp_off(struct world *w)
{
	link_named(w, "g1", "eth0")->noarp = true;
	arp_mute(w);
	frames_to(w, "g1", false, "h1", "v1", IP4, machine("g1")->mac);
	cut(w, "g1", "h1:v1", "h1:br0", IP4, 0);
}
static void nd_rule(struct world *w)
{
	struct fw_chain *c = add_chain(facts(w, "g1"), "ip6", "f", "in", "input", FW_ACCEPT);
	match_number(add_rule(c, FW_DROP, "icmpv6 type nd-neighbor-solicit drop"), FW_ICMP6_TYPE, 135, 135);
	cut(w, "g1", "g1:socket", "g1:eth0", 0, K(ND));
	fails(w, "h1", K(ND) | IP6, CELL_LOST);
	unresolved(w, "h1", IP6);
}
static void arp_rule(struct world *w)
{
	struct fw_chain *c = add_chain(facts(w, "g1"), "arp", "f", "out", "output", FW_ACCEPT);
	match_number(add_rule(c, FW_DROP, "arp operation reply drop"), FW_ARP_OP, 2, 2);
	arp_mute(w);
}

/* ---- cables, bridges, ports ---- */

static void dead_cable(struct world *w)
{
	cut(w, "h1", "h1:br0", "h1:v1", ALL, 0);
	cut(w, "g1", "g1:socket", "g1:eth0", ALL, 0);
}
static void port_down(struct world *w)
{
	link_named(w, "h1", "v1")->up = link_named(w, "h1", "v1")->carrier = false;
	link_named(w, "h1", "v1")->port_state = PORT_DISABLED;
	link_named(w, "g1", "eth0")->carrier = false;
	dead_cable(w);
}
static void qemu_link_off(struct world *w)
{
	str_copy(link_named(w, "h1", "v1")->name, IFNAME_LEN, "vnet1");
	str_copy(w->d->party[party(w, "g1")].at.port, IFNAME_LEN, "vnet1");
	link_named(w, "g1", "eth0")->carrier = false;
	cut(w, "h1", "h1:v1", "g1:eth0", ALL, 0);
	cut(w, "g1", "g1:socket", "g1:eth0", ALL, 0);
}
static void cable_fine(struct world *w) { dead_cable(w); }
static void nic_down(struct world *w)
{
	struct link *l = link_named(w, "g1", "eth0");
	l->up = l->carrier = false;
	link_named(w, "h1", "v1")->carrier = false;
	link_named(w, "h1", "v1")->port_state = PORT_DISABLED;
	drop_addr(w, "g1", "fd00::11/64");
	changed(w, "g1", "addr.eth0.fd00::11/64", "present", NULL);
	changed(w, "g1", "route.4.default", "unicast via 10.0.0.1 dev eth0 metric 100", NULL);
	dead_cable(w);
}
static void unplugged(struct world *w)
{
	struct link *l = link_named(w, "h1", "v1");
	l->master = 0;
	l->port = false;
	cut(w, "h1", "h1:br0", "h1:v1", ALL, IP4 | IP6);
}
static void unplugged_unasked(struct world *w) /* the host takes what comes at the port, and nobody answers it at the bridge */
{
	struct link *l = link_named(w, "h1", "v1");
	l->master = 0;
	l->port = false;
	cut(w, "h1", "h1:socket", "h1:br0", 0, IP4);
}
static void unplugged_both(struct world *w)
{
	unplugged(w);
	cut(w, "g1", "h1:v1", "h1:br0", K(ND) | IP6, 0);
}
static void no_uplink(struct world *w)
{
	struct link *l = link_named(w, "h1", "up0");
	l->master = 0;
	l->port = false;
	cut(w, "g1", "h1:v1", "h1:up0", ALL, 0);
	cut(w, "g2", "h1:up0", "h1:v1", ALL, 0);
}
static void uplink_off(struct world *w)
{
	struct link *l = link_named(w, "h1", "up0");
	l->up = l->carrier = false;
	cut(w, "g1", "h1:v1", "h1:up0", ALL, 0);
	cut(w, "g2", "h2:up0", "h1:up0", ALL, 0);
}
static void uplink_member(struct world *w)
{
	cut(w, "g1", "h1:v1", "h1:up0", ALL, 0);
	cut(w, "g2", "h1:up0", "h1:v1", ALL, 0);
}
static void isolated(struct world *w)
{
	link_named(w, "h1", "v1")->isolated = link_named(w, "h1", "v3")->isolated = true;
	changed(w, "h1", "port.v1.isolated", "off", "on");
	cut(w, "g1", "h1:v1", "h1:v3", ALL, 0);
	cut(w, "g3", "h1:v3", "h1:v1", ALL, 0);
}
static void isolated_one(struct world *w)
{
	link_named(w, "h1", "v1")->isolated = true;
	cut(w, "g1", "h1:v1", "h1:v3", ALL, 0);
}
static void isolated_up(struct world *w)
{
	link_named(w, "h1", "v1")->isolated = link_named(w, "h1", "up0")->isolated = true;
	cut(w, "g1", "h1:v1", "h1:up0", ALL, 0);
}
static void held(struct world *w)
{
	link_named(w, "h1", "v1")->port_state = PORT_DISABLED;
	cut(w, "h1", "h1:br0", "h1:v1", ALL, 0);
	cut(w, "g1", "h1:v1", "h1:br0", ALL, 0);
}
static void held_by_stp(struct world *w)
{
	held(w);
	link_named(w, "h1", "v1")->port_state = PORT_LEARNING;
	link_named(w, "h1", "br0")->stp = true;
}
/* Port `dev` of h1 carries vid..last. */
static void vlan(struct world *w, const char *dev, uint16_t vid, uint16_t last, bool native)
{
	struct snapshot *s = facts(w, "h1");
	*GROW(s->vlans, s->vlan_count) = (struct port_vlan){
	    .link = link_named(w, "h1", dev)->index, .vid = vid, .last = last, .pvid = native, .untagged = native};
	link_named(w, "h1", "br0")->vlan_filtering = true;
}
static void vlan_one_changed(struct world *w)
{
	vlan(w, "v1", 20, 20, true);
	vlan(w, "v3", 1, 1, true);
	changed(w, "h1", "vlan.v1.20", NULL, "pvid untagged");
	cut(w, "g1", "h1:v1", "h1:v3", ALL, 0);
	cut(w, "g3", "h1:v3", "h1:v1", ALL, 0);
}
static void vlan_one_alone(struct world *w)
{
	vlan(w, "v1", 1, 1, true);
	vlan(w, "v3", 30, 30, true);
	vlan(w, "up0", 1, 1, true);
	cut(w, "g1", "h1:v1", "h1:v3", ALL, 0);
	cut(w, "g3", "h1:v3", "h1:v1", ALL, 0);
}
static void vlan_same(struct world *w)
{
	vlan(w, "v1", 5, 5, true);
	vlan(w, "v3", 5, 5, true);
	cut(w, "g1", "h1:v1", "h1:v3", ALL, 0);
}
static void vlan_not_filtered(struct world *w)
{
	vlan_one_alone(w);
	link_named(w, "h1", "br0")->vlan_filtering = false;
}
static void vlan_of_others(struct world *w)
{
	vlan(w, "v1", 5, 5, true);
	vlan(w, "v3", 6, 6, true);
	vlan(w, "up0", 1, 1, true);
	vlan(w, "up0", 2, 100, false);
	cut(w, "g1", "h1:v1", "h1:up0", ALL, 0);
}
static void trunk_without(struct world *w)
{
	vlan(w, "v1", 20, 20, true);
	vlan(w, "up0", 1, 1, true);
	vlan(w, "up0", 30, 40, false);
	cut(w, "g1", "h1:v1", "h1:up0", ALL, 0);
}
static void ovs_tags(struct world *w)
{
	str_copy(link_named(w, "h1", "br0")->kind, 16, "ovs-bridge");
	vlan_one_alone(w);
}
static void ovs_rule(struct world *w, const char *text)
{
	str_copy(link_named(w, "h1", "br0")->kind, 16, "ovs-bridge");
	cut(w, "g1", "h1:v1", "h1:v3", K(UDP), 0);
	struct round_result *r = w->result[party(w, "h1")];
	for (size_t i = 0; i < w->d->flow_count; i++) {
		if (w->d->flows[i].dir != dir_of(w, "g1") || w->d->flows[i].kind != KIND_UDP)
			continue;
		struct flow_rule *rule = GROW(r->rules, r->rules_count);
		*rule = (struct flow_rule){.flow = w->d->flows[i].id, .seqs = ~(seqset)0, .verdict = FW_DROP};
		str_copy(rule->family, sizeof rule->family, "ovs");
		str_copy(rule->table, sizeof rule->table, "br0");
		str_copy(rule->chain, sizeof rule->chain, "table 3");
		str_copy(rule->text, sizeof rule->text, text);
	}
}
static void ovs_entry(struct world *w) { ovs_rule(w, "udp,nw_dst=10.0.0.13, priority 9: drop"); }
static void ovs_of_controller(struct world *w) { ovs_rule(w, "udp, priority 9, cookie 0x7: drop"); }
static void ovs_no_entry(struct world *w) { ovs_rule(w, "no flow entry matches: drop"); }
static void ovs_strange_entry(struct world *w) { ovs_rule(w, "udp,in_port=$(reboot), priority 9: drop"); }
static void ovs_forwards(struct world *w)
{
	struct fw_chain *c = add_chain(facts(w, "h1"), "bridge", "f", "fwd", "forward", FW_ACCEPT);
	add_rule(c, FW_DROP, "drop");
	str_copy(link_named(w, "h1", "br0")->kind, 16, "ovs-bridge");
	link_named(w, "h1", "br0")->up = false;
	cut(w, "g1", "h1:v1", "h1:v3", ALL, 0);
}

static void bridge_off(struct world *w)
{
	link_named(w, "h1", "br0")->up = false;
	held(w);
}
/* The host stands in one bridge and routes to the guest's, in which it dies. */
static void other_bridge_off(struct world *w)
{
	add_link(facts(w, "h1"), "br9", "bridge", "02:a9:00:00:00:01")->up = false;
	str_copy(w->d->party[party(w, "h1")].at.bridge, IFNAME_LEN, "br9");
	cut(w, "h1", "h1:br0", "h1:v1", ALL, 0);
	cut(w, "g1", "h1:v1", "h1:br0", ALL, 0);
}
static void bcast_off(struct world *w)
{
	link_named(w, "h2", "v2")->bcast_flood = false;
	cut(w, "g1", "h2:up0", "h2:v2", K(ARP), 0);
	fails(w, "g1", IP4, CELL_LOST);
	unresolved(w, "g1", IP4);
}
static void fdb_sticky(struct world *w)
{
	struct snapshot *h = facts(w, "h1");
	struct fdb *f = GROW(h->fdbs, h->fdb_count);
	*f = (struct fdb){.bridge = 1,
	                  .port = link_named(w, "h1", "v3")->index,
	                  .mac = M("02:00:00:00:00:12"),
	                  .sticky = true,
	                  .is_static = true};
	cut(w, "g1", "h1:v1", "h1:up0", IP4 | IP6, K(ARP) | K(ND));
}

/* ---- sizes ---- */

static void mtu_small(struct world *w)
{
	link_named(w, "g1", "eth0")->mtu = 1400;
	changed(w, "g1", "link.eth0.mtu", "1500", "1400");
	cut(w, "g2", "h1:v1", "g1:eth0", LARGE4, 0);
}
static void mtu_small_all_die(struct world *w)
{
	link_named(w, "g1", "eth0")->mtu = 1400;
	cut(w, "g2", "h1:v1", "g1:eth0", IP4, 0);
}
static void mtu_large(struct world *w)
{
	link_named(w, "g1", "eth0")->mtu = 9000;
	for (size_t i = 0; i < w->d->flow_count; i++) {
		if (w->d->flows[i].dir == 0 && w->d->flows[i].size)
			w->d->flows[i].size = 9000;
	}
	cut(w, "g1", "g1:socket", "g1:eth0", LARGE4, 0);
}
static void ladder(struct world *w, int dir, seqset seen)
{
	struct flow *f = &w->d->flows[w->d->flow_count];
	*f = (struct flow){.id = (uint8_t)w->d->flow_count,
	                   .kind = KIND_UDP_LARGE,
	                   .dir = (uint8_t)dir,
	                   .stage = STAGE_LADDER,
	                   .ladder = true,
	                   .count = LADDER_COUNT};
	w->d->flow_count++;
	struct round_result *r = w->result[1 - dir];
	r->received[r->received_count++] = (struct flow_received){.flow = f->id, .looked = true, .seen = seen};
}
static void fabric_mtu(struct world *w)
{
	cut(w, "g1", "h1:up0", "h2:up0", LARGE4, 0);
	cut(w, "g2", "h2:up0", "h1:up0", LARGE4, 0);
	ladder(w, 0, 0xff); /* up to 1400 */
	ladder(w, 1, 0xff);
}
static void uplink_mtu(struct world *w)
{
	fabric_mtu(w);
	link_named(w, "h2", "up0")->mtu = 1400;
}

/* ---- tunnels: the uplinks are VXLAN devices ---- */

static void tunnel_ends(struct world *w)
{
	static const char *const hosts[] = {"h1", "h2"};
	for (int i = 0; i < 2; i++) {
		struct link *l = link_named(w, hosts[i], "up0");
		str_copy(l->kind, sizeof l->kind, "vxlan");
		l->vni = 5;
		l->vx_port = 4789;
		l->vx_local = P(machine(hosts[i])->ip).ip;
		l->vx_remote = P(machine(hosts[1 - i])->ip).ip;
	}
}
static void tunnel(struct world *w)
{
	tunnel_ends(w);
	cut(w, "g1", "h1:up0", "h2:up0", ALL, 0);
}
static void tunnel_number(struct world *w)
{
	tunnel(w);
	link_named(w, "h2", "up0")->vni = 6;
}
static void tunnel_port(struct world *w)
{
	tunnel(w);
	link_named(w, "h2", "up0")->vx_port = 8472;
}
static void tunnel_remote(struct world *w)
{
	tunnel(w);
	link_named(w, "h1", "up0")->vx_remote = P("10.0.0.77/24").ip;
}
static void tunnel_group(struct world *w)
{
	tunnel(w);
	link_named(w, "h1", "up0")->vx_remote = P("239.1.1.1/32").ip;
}
static void tunnel_number_but_not_there(struct world *w)
{
	tunnel_ends(w);
	link_named(w, "h2", "up0")->vni = 6;
	cut(w, "g1", "h1:v1", "h1:up0", ALL, 0);
}
static void tunnel_table(struct world *w)
{
	tunnel(w);
	struct snapshot *h = facts(w, "h1");
	struct fdb *f = GROW(h->fdbs, h->fdb_count);
	uint32_t at = link_named(w, "h1", "up0")->index;
	*f = (struct fdb){.bridge = at, .port = at, .mac = M("02:00:00:00:00:12"), .remote = P("10.0.0.77/24").ip};
}
static void tunnel_table_right(struct world *w)
{
	tunnel_table(w);
	facts(w, "h1")->fdbs[facts(w, "h1")->fdb_count - 1].remote = P("10.0.0.2/24").ip;
}
static void tunnel_filtered(struct world *w)
{
	tunnel(w);
	says(w, "h2", "g1", false, ALL, "NETFILTER_DROP", "nft_do_chain", "up0");
}
static void tunnel_entry_exists(struct world *w)
{
	tunnel(w);
	says(w, "h2", "g1", false, ALL, "VXLAN_ENTRY_EXISTS", "vxlan_rcv", "up0");
}
static void fabric_dead(struct world *w) { cut(w, "g1", "h1:up0", "h2:up0", ALL, 0); }

/* ---- services and agents ---- */

static void service(struct world *w)
{
	struct flow *f = &w->d->flows[w->d->flow_count];
	*f = (struct flow){.id = (uint8_t)w->d->flow_count,
	                   .kind = KIND_SERVICE,
	                   .dir = 0,
	                   .count = 3,
	                   .dport = 8080,
	                   .dst = w->d->party[1].ep.ip4.ip};
	w->d->flow_count++;
	struct round_result *r = w->result[0];
	r->sent[r->sent_count++] = (struct flow_sent){.flow = f->id, .status = FLOW_DONE, .sent = 7, .refused = 7};
	w->v->dir[0].delivery[KIND_SERVICE] = CELL_OK;
	w->v->service_port = w->d->service_port = 8080;
	fails(w, "g1", K(SERVICE), CELL_REFUSED);
}
static void service_startable(struct world *w)
{
	service(w);
	struct party *p = &w->d->party[1];
	p->services[0].port = 8080;
	str_copy(p->services[0].start, sizeof p->services[0].start, "systemctl start web");
	p->service_count = 1;
}
static void listener(struct world *w, const char *ip)
{
	struct snapshot *s = facts(w, "g2");
	struct listener *l = GROW(s->listeners, s->listener_count);
	l->proto = IPPROTO_TCP;
	l->port = 8080;
	ip_parse(ip, &l->ip);
}
static void service_local(struct world *w)
{
	service(w);
	listener(w, "127.0.0.1");
}
static void service_rejected(struct world *w) /* it listens; something else refuses */
{
	service(w);
	listener(w, "0.0.0.0");
}
static void dead_for(struct world *w, const char *asker)
{
	silence(w, "g1");
	str_copy(w->d->party[party(w, "g1")].restart, 64, "systemctl start bothways-agent");
	for (int k = 0; k < KIND_COUNT; k++)
		w->v->dir[1].delivery[k] = w->v->dir[1].initiation[k] = CELL_UNKNOWN;
	for (int k = 0; k < KIND_SERVICE; k++) {
		enum proto p = kind_info((enum kind)k)->proto;
		if (p != PROTO_UDP && p != PROTO_TCP)
			continue;
		sent(w, asker, k)->answered = 0;
		sent(w, asker, k)->refused = 7;
		w->v->dir[0].delivery[k] = CELL_UNKNOWN;
		w->v->dir[0].initiation[k] = CELL_REFUSED;
	}
	verdict_decide_state(w->v);
}
static void dead_agent(struct world *w) { dead_for(w, "h1"); }
static void slow_agent(struct world *w) /* it runs, and had no time */
{
	dead_agent(w);
	w->d->party[party(w, "g1")].online = w->d->party[party(w, "g1")].heard = true;
}
static void starved_agent(struct world *w) /* silent for a few seconds, but nothing says that its port is closed */
{
	dead_agent(w);
	w->d->party[party(w, "g1")].lately = true;
	for (int k = 0; k < KIND_SERVICE; k++)
		sent(w, "h1", k)->refused = 0;
}
static void takes_and_resets(struct world *w) /* it runs: whatever else breaks its ways */
{
	dead_agent(w);
	for (int k = 0; k < KIND_SERVICE; k++) {
		enum proto p = kind_info((enum kind)k)->proto;
		if (p == PROTO_UDP)
			sent(w, "h1", k)->refused = 0;
		else if (p == PROTO_TCP)
			sent(w, "h1", k)->taken = 7;
	}
	w->d->witnesses[w->d->witness_count++] =
	    (struct witness){.from = -1, .to = party(w, "g1"), .initiation = {[KIND_UDP] = CELL_LOST}};
}
static void just_ended(struct world *w) /* its port is closed: that is no slowness */
{
	dead_agent(w);
	w->d->party[party(w, "g1")].lately = true;
}
static void dead_relay(struct world *w)
{
	dead_for(w, "g2");
	silence(w, "h1");
	w->d->party[party(w, "g1")].relayed = true;
	str_copy(w->d->party[party(w, "h1")].restart, 64, "systemctl start bothways-agent");
}
static void slow_relay(struct world *w)
{
	dead_relay(w);
	w->d->party[party(w, "h1")].lately = true;
}
static void dead_machine(struct world *w)
{
	dead_agent(w);
	for (int k = 0; k < KIND_SERVICE; k++) {
		sent(w, "h1", k)->answered = sent(w, "h1", k)->refused = 0;
		w->v->dir[0].initiation[k] = CELL_LOST;
		w->v->dir[0].delivery[k] = CELL_UNKNOWN;
	}
	verdict_decide_state(w->v);
}

/* ---- what kernels say ---- */

#define UT4 (K(UDP) | K(UDP_LARGE) | K(TCP))
static void said_rp(struct world *w) /* a filter would stop it as well, and never gets to see it */
{
	rp_strict(w);
	add_chain(facts(w, "g1"), "inet", "filter", "input", "input", FW_DROP);
	says(w, "g1", "h1", false, IP4, "IP_RPFILTER", "ip_rcv_finish_core", "eth0");
}
static void said_filter(struct world *w) /* and the other way round */
{
	divert(w);
	add_sysctl(facts(w, "g1"), "net.ipv4.conf.all.rp_filter", 1);
	add_chain(facts(w, "g1"), "inet", "filter", "pre", "prerouting", FW_DROP);
	cut(w, "h1", "g1:eth0", "g1:socket", IP4, 0);
	says(w, "g1", "h1", false, IP4, "NETFILTER_DROP", "nft_do_chain", "eth0");
}
static void said_no_filter(struct world *w) /* a rule that may stop it, and the kernel names something else */
{
	half_understood_fits(w);
	says(w, "g1", "g2", false, K(UDP) | K(UDP_LARGE) | K(UDP6) | K(UDP_LARGE6), "SOCKET_RCVBUFF", "udp_queue_rcv_one_skb",
	     "eth0");
}
static void said_checksum(struct world *w)
{
	cut(w, "g2", "g1:eth0", "g1:socket", UT4, 0);
	says(w, "g1", "g2", false, K(UDP) | K(UDP_LARGE), "UDP_CSUM", "__udp4_lib_rcv", "eth0");
	says(w, "g1", "g2", false, K(TCP), "TCP_CSUM", "tcp_v4_rcv", "eth0");
}
static void said_damaged(struct world *w)
{
	said_checksum(w);
	cut(w, "g2", "g1:eth0", "g1:socket", ICMP4, 0);
	says(w, "g1", "g2", false, ICMP4, "ICMP_CSUM", "icmp_rcv", "eth0");
}
static void said_program(struct world *w)
{
	cut(w, "g1", "h2:up0", "h2:v2", IP4, 0);
	says(w, "h2", "g1", false, IP4, "TC_INGRESS", "__netif_receive_skb_core", "up0");
}
static void said_ring(struct world *w)
{
	cut(w, "g2", "h1:v1", "g1:eth0", IP4, 0);
	says(w, "h1", "g2", false, IP4, "FULL_RING", "tun_net_xmit", "v1");
}
static void said_buffer(struct world *w)
{
	cut(w, "g2", "g1:eth0", "g1:socket", K(UDP), 0);
	says(w, "g1", "g2", false, K(UDP), "SOCKET_RCVBUFF", "udp_queue_rcv_one_skb", "eth0");
}
static void said_queue(struct world *w)
{
	cut(w, "g1", "h1:v1", "h1:up0", K(UDP) | K(TCP), 0);
	says(w, "h1", "g1", false, K(UDP) | K(TCP), "QDISC_DROP", "__dev_queue_xmit", "up0");
}
static void said_tunnel(struct world *w)
{
	cut(w, "g1", "h2:up0", "h2:v2", K(ARP), 0);
	says(w, "h2", "g1", false, K(ARP), "VXLAN_VNI_NOT_FOUND", "vxlan_rcv", "br0");
}
static void said_aftermath(struct world *w) /* what waited for a neighbour names nothing */
{
	cut(w, "g1", "g1:socket", "g1:eth0", IP4, 0);
	says(w, "g1", "g1", false, IP4, "NEIGH_FAILED", "neigh_invalidate", "eth0");
}
static void said_noise(struct world *w)
{
	cut(w, "g2", "g1:eth0", "g1:socket", K(UDP), 0);
	says(w, "g1", "g2", false, K(UDP), "SOCKET_FILTER", "sk_filter_trim_cap", "eth0");
}
static void said_of_what_arrived(struct world *w) /* a copy of it was dropped, the packets themselves were not */
{
	cut(w, "g2", "g1:eth0", "g1:socket", K(ICMP), 0);
	says(w, "g1", "g2", false, K(UDP), "SOCKET_RCVBUFF", "udp_queue_rcv_one_skb", "eth0");
}
static void said_wrong_mac(struct world *w)
{
	stale_guest(w);
	says(w, "h1", "g1", false, IP4, "OTHERHOST", "ip_rcv_core", "br0");
}

/* ---- rules that were traced ---- */

static struct fw_chain *blocklist(struct world *w, bool jumped)
{
	struct fw_chain *c = add_chain(facts(w, "g1"), "inet", "quick", "in", "input", FW_ACCEPT);
	struct fw_rule *r = jumped ? add_rule(c, FW_JUMP, "jump list") : NULL;
	if (r) {
		str_copy(r->target, sizeof r->target, "list");
		match_number(r, FW_L4PROTO, 1, 1); /* of ICMP only, as far as anybody can read */
		c = add_chain(facts(w, "g1"), "inet", "quick", "list", "", FW_ACCEPT);
	}
	match_number(add_rule(c, FW_DROP, "ip saddr @blocked drop"), FW_UNKNOWN, 0, 0);
	return c;
}
static void traced_set(struct world *w) /* reading it says maybe */
{
	struct fw_chain *c = blocklist(w, false);
	cut(w, "g2", "g1:eth0", "g1:socket", IP4, 0);
	says(w, "g1", "g2", false, IP4, "NETFILTER_DROP", "nft_do_chain", "eth0");
	traces(w, "g1", "g2", IP4, c, 1, FW_DROP);
}
static void traced_against_reading(struct world *w) /* reading it says that UDP never comes to that rule */
{
	struct fw_chain *c = blocklist(w, true);
	cut(w, "g2", "g1:eth0", "g1:socket", K(UDP), 0);
	traces(w, "g1", "g2", K(UDP), c, 1, FW_DROP);
}
static void traced_other(struct world *w) /* two rules would stop it; the policy is said to be innocent */
{
	struct fw_chain *c = add_chain(facts(w, "g1"), "inet", "late", "in", "input", FW_DROP);
	c->priority = 10;
	c = add_chain(facts(w, "g1"), "inet", "early", "in", "input", FW_ACCEPT);
	match_number(add_rule(c, FW_DROP, "meta l4proto udp drop"), FW_L4PROTO, 17, 17);
	cut(w, "g2", "g1:eth0", "g1:socket", K(UDP), 0);
	traces(w, "g1", "g2", K(UDP), &facts(w, "g1")->chains[0], 0, FW_DROP);
}
static void traced_copy(struct world *w) /* the bridge's filter drops a flooded copy, which is not what is missing */
{
	struct fw_chain *c = add_chain(facts(w, "h1"), "bridge", "f", "fwd", "forward", FW_ACCEPT);
	match_name(add_rule(c, FW_DROP, "oifname v3 drop"), FW_OIF, "v3");
	cut(w, "g1", "h1:v1", "h1:up0", K(ARP), 0);
	traces(w, "h1", "g1", K(ARP), c, 1, FW_DROP);
}

/* ---- none, and several ---- */

static void healthy(struct world *w) { (void)w; }
static void unknown_in_stack(struct world *w) { cut(w, "h1", "g1:eth0", "g1:socket", K(UDP), 0); }
static void unknown_in_bridge(struct world *w) { cut(w, "g1", "h1:v1", "h1:up0", IP4, 0); }
static void unknown_leaving(struct world *w) { cut(w, "g1", "g1:socket", "g1:eth0", K(TCP), 0); }
static void two_faults(struct world *w)
{
	icmp_only(w);
	add_route(facts(w, "g1"), ROUTE_BLACKHOLE, "10.0.0.1/32", NULL, 0);
	cut(w, "g1", "g1:socket", "g1:eth0", IP4, 0);
}
static void two_families(struct world *w) /* ping is filtered, IPv6 has nowhere to go */
{
	icmp_only(w);
	add_route(facts(w, "h1"), ROUTE_BLACKHOLE, "fd00::11/128", NULL, 0);
	cut(w, "h1", "h1:socket", "h1:br0", IP6, 0);
}
static void two_faults_one_place(struct world *w) /* a rule for TCP, and echo replies not made */
{
	struct fw_chain *c = add_chain(facts(w, "g1"), "inet", "f", "o", "output", FW_ACCEPT);
	match_number(add_rule(c, FW_DROP, "meta l4proto tcp drop"), FW_L4PROTO, 6, 6);
	add_sysctl(facts(w, "g1"), "net.ipv4.icmp_echo_ignore_all", 1);
	cut(w, "g1", "g1:socket", "g1:eth0", K(TCP) | K(TCP6), ICMP4);
}
static void refused(struct world *w, const char *who, kind_mask kinds, int error)
{
	for (int k = 0; k < KIND_COUNT; k++) {
		struct flow_sent *s = kinds & KIND_BIT(k) ? sent(w, who, k) : NULL;
		if (!s)
			continue;
		s->refused_local = 7;
		s->error = (int16_t)error;
	}
}
static void no_ip_and_a_route(struct world *w) /* each end stops what it sends, for a reason of its own */
{
	drop_addr(w, "g1", "10.0.0.11/24");
	drop_route(w, "g1", "10.0.0.0/24");
	add_route(facts(w, "h1"), ROUTE_PROHIBIT, "10.0.0.11/32", NULL, 0);
	cut(w, "g1", "g1:socket", "g1:eth0", IP4, K(ARP));
	cut(w, "h1", "h1:socket", "h1:br0", IP4, 0);
	refused(w, "h1", IP4, EACCES);
}
static void icmp_here_the_rest_before(struct world *w)
{
	struct fw_chain *c = add_chain(facts(w, "h2"), "bridge", "filter", "FORWARD", "forward", FW_ACCEPT);
	match_number(add_rule(c, FW_DROP, "meta l4proto { tcp, udp } drop"), FW_L4PROTO, 6, 17);
	cut(w, "g1", "h2:up0", "h2:v2", K(UDP) | K(TCP) | K(UDP_LARGE), 0);
	c = add_chain(facts(w, "g2"), "inet", "filter", "input", "input", FW_ACCEPT);
	match_number(add_rule(c, FW_DROP, "icmp type echo-request drop"), FW_ICMP_TYPE, 8, 8);
	cut(w, "g1", "g2:eth0", "g2:socket", ICMP4, 0);
}
static void output_rule(struct world *w)
{
	struct fw_chain *c = add_chain(facts(w, "g1"), "inet", "f", "o", "output", FW_ACCEPT);
	match_number(add_rule(c, FW_ACCEPT, "ct state established accept"), FW_CT_STATE, FW_CT_ESTABLISHED, 0);
	match_number(add_rule(c, FW_DROP, "meta l4proto tcp drop"), FW_L4PROTO, 6, 6);
}
static void output_rule_before_an_input_rule(struct world *w) /* what is left to the second is ICMP; it would stop the rest, too */
{
	struct fw_chain *c = add_chain(facts(w, "g1"), "inet", "f", "o", "output", FW_ACCEPT);
	match_number(add_rule(c, FW_ACCEPT, "ct state established accept"), FW_CT_STATE, FW_CT_ESTABLISHED, 0);
	match_number(add_rule(c, FW_DROP, "meta l4proto { tcp, udp } drop"), FW_L4PROTO, 6, 17);
	c = add_chain(facts(w, "g2"), "inet", "f", "i", "input", FW_ACCEPT);
	match_number(add_rule(c, FW_ACCEPT, "ct state established accept"), FW_CT_STATE, FW_CT_ESTABLISHED, 0);
	match_ip(add_rule(c, FW_DROP, "ip saddr 10.0.0.11 drop"), FW_SADDR, "10.0.0.11");
	cut(w, "g1", "g1:socket", "g1:eth0", K(UDP) | K(TCP) | K(UDP_LARGE), 0);
	cut(w, "g1", "g2:eth0", "g2:socket", ICMP4, 0);
}
static void output_policy_behind_a_route(struct world *w) /* what the route refuses no filter sees */
{
	struct fw_chain *c = add_chain(facts(w, "g1"), "inet", "f", "o", "output", FW_DROP);
	match_number(add_rule(c, FW_ACCEPT, "ct state established accept"), FW_CT_STATE, FW_CT_ESTABLISHED, 0);
	add_route(facts(w, "g1"), ROUTE_BLACKHOLE, "10.0.0.1/32", NULL, 0);
	cut(w, "g1", "g1:socket", "g1:eth0", IP4 | IP6, K(ND));
}
static void no_ip_and_another_way(struct world *w)
{
	drop_addr(w, "g1", "10.0.0.11/24");
	drop_route(w, "g1", "10.0.0.0/24");
	add_route(facts(w, "h1"), ROUTE_UNICAST, "10.0.0.11/32", NULL, link_named(w, "h1", "up0")->index);
	cut(w, "g1", "g1:socket", "g1:eth0", IP4, K(ARP));
	cut(w, "h1", "h1:socket", "h1:br0", IP4, 0);
}
static void output_rule_and_no_arp(struct world *w)
{
	output_rule(w);
	add_sysctl(facts(w, "g1"), "net.ipv4.conf.all.arp_ignore", 8);
	cut(w, "g1", "g1:socket", "g1:eth0", K(TCP), K(ARP));
}
static void output_rule_before_a_dead_cable(struct world *w)
{
	output_rule(w);
	link_named(w, "h1", "v1")->up = link_named(w, "h1", "v1")->carrier = false;
	link_named(w, "h1", "v1")->port_state = PORT_DISABLED;
	cut(w, "h1", "h1:br0", "h1:v1", ALL, 0);
	cut(w, "g1", "g1:eth0", "h1:v1", ALL & ~(K(TCP) | K(TCP6)), 0);
	cut(w, "g1", "g1:socket", "g1:eth0", K(TCP) | K(TCP6), 0);
}

static const struct scenario scenarios[] = {
    {"icmp only", "h1", "g1", icmp_only, "guest-fw-icmp-only", "g1",
     "nft insert rule inet filter input ip saddr 10.0.0.1 icmp type echo-request accept", NULL},
    {"icmp only, seen from the guest", "g1", "h1", icmp_only, "guest-fw-icmp-only", "g1", "ip saddr 10.0.0.1", NULL},
    {"icmp only, rules unreadable", "h1", "g1", icmp_only_unreadable, NULL, NULL, NULL, NULL},
    {"icmp only, the rule is for others", "h1", "g1", icmp_only_no_rule, NULL, NULL, NULL, NULL},
    {"stateful input", "g2", "g1", stateful_input, "guest-fw-inbound-drop", "g1", "ip6 saddr fd00::12 accept", NULL},
    {"stateless input", "g2", "g1", stateless_input, "guest-fw-stateless-drop", "g1",
     "nft insert rule ip filter INPUT ip saddr 10.0.0.12 accept", NULL},
    {"replies dropped", "g2", "g1", stateless_replies, "guest-fw-icmp-only", "g1", "icmp type echo-reply accept", NULL},
    {"a rule half understood", "g2", "g1", half_understood_fits, "guest-fw-inbound-drop", "g1",
     "nft insert rule inet f in ip saddr 10.0.0.12 meta l4proto udp accept", NULL},
    {"a rule half understood that covers more", "g2", "g1", half_understood_of_more, NULL, NULL, NULL, NULL},
    {"a rule half understood, all is lost", "g2", "g1", half_understood_all_lost, NULL, NULL, NULL, NULL},
    {"a flood guard", "g2", "g1", flood_guard, NULL, NULL, NULL, NULL},
    {"new TCP connections only", "g2", "g1", syn_only, "guest-fw-inbound-drop", "g1", "ip saddr 10.0.0.12 meta l4proto tcp accept",
     NULL},
    {"output", "g1", "h1", output_drop, "guest-fw-egress-drop", "g1",
     "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept", NULL},
    {"reject", "h1", "g1", reject, "guest-fw-reject", "g1", "ip saddr 10.0.0.1 meta l4proto { udp, tcp } accept", NULL},
    {"echo ignored", "h1", "g1", echo_ignore, "icmp-echo-ignore", "g1", "sysctl -w net.ipv4.icmp_echo_ignore_all=0", NULL},
    {"echo reply filtered", "h1", "g1", echo_reply_filtered, "guest-fw-egress-stateless", "g1",
     "ip daddr 10.0.0.1 icmp type echo-reply accept", NULL},
    {"host input", "h1", "g1", host_input, "host-fw-input-drop", "h1",
     "nft insert rule inet filter input ip saddr 10.0.0.11 meta l4proto udp accept", NULL},
    {"host input of another interface", "h1", "g1", host_input_other_if, NULL, NULL, NULL, NULL},
    {"host output", "h1", "g1", host_output, "host-fw-output-drop", "h1", "ip daddr 10.0.0.11 accept", NULL},
    {"bridge filter", "g1", "g2", bridge_filter, "hypervisor-vm-firewall", "h2",
     "nft insert rule bridge filter FORWARD ip saddr 10.0.0.11 ip daddr 10.0.0.12 accept", NULL},
    {"bridge filter, ARP", "g1", "g2", bridge_filter_arp, "hypervisor-vm-firewall", "h2",
     "nft insert rule bridge filter FORWARD arp daddr ip 10.0.0.12 accept", NULL},
    {"interface filter", "g1", "g2", netdev_filter, "hypervisor-vm-firewall", "h2", "arp saddr ip 10.0.0.11 accept", NULL},
    {"bridged frames forwarded", "g1", "g2", bridge_nf, "bridge-nf-forward-drop", "h1",
     "nft insert rule ip filter FORWARD iifname br0 oifname br0 accept", NULL},
    {"bridged frames, lately", "g1", "g2", bridge_nf_new, "bridge-nf-forward-drop", "h1",
     "sysctl -w net.bridge.bridge-nf-call-iptables=0", NULL},
    {"forward policy that bridged frames do not meet", "g1", "g2", bridge_nf_off, NULL, NULL, NULL, NULL},
    {"no address", "h1", "g1", no_ip, "guest-no-ip", "g1",
     "ip addr add 10.0.0.11/24 dev eth0 && ip route replace default via 10.0.0.1 dev eth0", NULL},
    {"address on a VLAN device", "h1", "g1", ip_on_vlan_device, "guest-no-ip", "g1",
     "ip addr del 10.0.0.11/24 dev eth0.5 && ip addr add 10.0.0.11/24 dev eth0", NULL},
    {"flushed", "h1", "g1", flushed, "guest-no-ip", "g1", "ip addr replace fe80::11/64 dev eth0 nodad", NULL},
    {"no address, and not heard", "h1", "g1", no_ip_unheard, NULL, NULL, NULL, NULL},
    {"wrong subnet", "h1", "g1", wrong_subnet, "wrong-subnet-ip", "g1",
     "ip addr add 10.0.0.11/24 dev eth0 && ip addr del 10.77.5.11/24 dev eth0", NULL},
    {"two subnets", "h1", "g1", two_subnets, NULL, NULL, NULL, NULL},
    {"narrow prefix", "h1", "g1", narrow, "netmask-too-narrow", "g1",
     "ip addr add 10.0.0.11/24 dev eth0 && ip addr del 10.0.0.11/30 dev eth0", NULL},
    {"peer that was wide meanwhile", "g1", "g2", peer_was_wide_meanwhile, "default-gateway-missing", "g1", NULL, NULL},
    {"peer that was widened", "g1", "g2", peer_was_widened, NULL, NULL, NULL, NULL},
    {"narrow prefix at both ends", "g1", "g2", narrow_at_both, "netmask-too-narrow", "g1", "ip addr add 10.0.0.11/24 dev eth0",
     NULL},
    {"link-local address", "h1", "g1", gave_itself_an_address, "dhcp-failed-link-local", "g1", "ip addr add 10.0.0.11/24 dev eth0",
     NULL},
    {"group hardware address", "g1", "g2", group_address, "invalid-multicast-mac", "g1", "address 02:00:00:00:00:11", NULL},
    {"connection table full", "h1", "g1", table_full, "conntrack-table-full", "g1", "nf_conntrack_max=524288", NULL},
    {"connection table half full", "h1", "g1", table_half_full, NULL, NULL, NULL, NULL},
    {"unknown router without a way", "g1", "g2", router_has_no_way, "inter-vlan-routing-missing", "10.0.0.254", NULL, NULL},
    {"unknown router that forbids it", "g1", "g2", router_forbids, "inter-vlan-routing-missing", "10.0.0.254", NULL, NULL},
    {"unknown router that finds nobody", "g1", "g2", router_finds_nobody, NULL, NULL, NULL, NULL},
    {"the peer's own word", "g1", "g2", peer_itself_forbids, NULL, NULL, NULL, NULL},
    {"behind NAT", "h2", "g1", behind_nat, "nat-no-inbound-mapping", "g1", NULL, NULL},
    {"behind NAT by its rule", "h2", "g1", hidden_by_rule, "blackhole-route", "g1", "ip route del blackhole 192.168.5.2/32",
     "nat-no-inbound-mapping"},
    {"behind NAT with a way that is gone", "h2", "g1", hidden_and_had_a_way, "no-return-route", "h2",
     "ip route replace 10.0.0.0/24 via 192.168.5.1 dev br0", "blackhole-route"},
    {"a rule that may be for others", "h2", "g1", hidden_by_half_a_rule, "no-return-route", "h2", NULL, "blackhole-route"},
    {"an ARP request without address", "h2", "g1", only_arp_is_seen, NULL, NULL, NULL, NULL},
    {"another machine's SYN", "h2", "g1", somebody_elses_syn, NULL, NULL, NULL, NULL},
    {"port map to another", "g2", "g1", mapped_elsewhere, "nat-dnat-wrong-target", "g1",
     "nft replace rule ip nat pre handle 1 ip daddr 10.0.0.11 dnat to 10.0.0.11:80", NULL},
    {"port map to itself", "g2", "g1", mapped_to_itself, NULL, NULL, NULL, NULL},
    {"blocked by IPsec", "g2", "g1", policy_blocks, "encryption-policy-mismatch", "g1",
     "ip xfrm policy delete src 10.0.0.12/32 dst 10.0.0.0/24 dir in", NULL},
    {"IPsec of the other direction", "g2", "g1", policy_of_the_other_way, NULL, NULL, NULL, NULL},
    {"narrow prefix with a route", "h1", "g1", narrow_with_route, NULL, NULL, NULL, NULL},
    {"no gateway", "h1", "g1", no_gateway, "default-gateway-missing", "g1", "ip route replace default via 10.0.0.254 dev eth0",
     NULL},
    {"no gateway, routed", "g3", "g1", routed_pair, "default-gateway-missing", "g1",
     "ip route replace default via 10.0.0.1 dev eth0", NULL},
    {"a gateway", "h1", "g1", has_gateway, NULL, NULL, NULL, NULL},
    {"reverse path", "h1", "g1", rp_strict, "rp-filter-strict", "g1", "ip route del 10.0.0.1/32 dev eth1", NULL},
    {"reverse path, loose", "h1", "g1", rp_loose, NULL, NULL, NULL, NULL},
    {"reverse path, the same way", "h1", "g1", rp_strict_same_way, NULL, NULL, NULL, NULL},
    {"diverted", "h1", "g1", policy_route, "policy-route-guest", "g1", "ip route del 10.0.0.1/32 dev eth1", NULL},
    {"blackhole", "h1", "g1", blackhole, "blackhole-route", "g1", "ip route del blackhole 10.0.0.1/32", NULL},
    {"blackhole of another", "h1", "g1", blackhole_of_another, NULL, NULL, NULL, NULL},
    {"prohibit rule", "h1", "g1", prohibit_rule, "blackhole-route", "g1", "ip rule del priority 100", NULL},
    {"twin guest", "g1", "g2", twin_vm, "duplicate-ip-vm-vm", "g3", "ip addr del 10.0.0.12/24 dev eth0", NULL},
    {"twin elsewhere", "g1", "g2", twin_elsewhere, NULL, NULL, NULL, NULL},
    {"twin without an agent", "g1", "g2", twin_stranger, "duplicate-ip-vm-vm", "the machine with 02:77:00:00:00:77",
     "ip neigh flush to 10.0.0.12 dev eth0", NULL},
    {"twin of a host", "h1", "g1", twin_host, "duplicate-ip-vm-host", "g1", "ip addr del 10.0.0.1/32 dev eth0", NULL},
    {"spoofing", "g1", "g2", spoof, "arp-spoofing", "g3", "spoof iifname v3 arp saddr ip 10.0.0.12 drop", NULL},
    {"spoofing, by ARP only", "g1", "g2", spoof_by_arp_only, "arp-spoofing", "g3", "ip neigh flush to 10.0.0.12 dev eth0", NULL},
    {"a connection of others", "g1", "g2", only_tcp_to_another, NULL, NULL, NULL, NULL},
    {"by way of the gateway", "g1", "g2", by_the_gateway, "hairpin-via-gateway", "g1", NULL, NULL},
    {"stale entry for the gateway", "g1", "g2", stale_gateway, "stale-arp-guest", "g1", "ip neigh del 10.0.0.1 dev eth0", NULL},
    {"permanent entry for another guest", "g1", "g2", permanent_to_other_vm, "stale-arp-guest", "g1",
     "ip neigh del 10.0.0.12 dev eth0", NULL},
    {"stale at the host", "h1", "g1", stale_host, "stale-arp-host", "h1", "ip neigh del 10.0.0.11 dev br0", NULL},
    {"stale at the guest", "h1", "g1", stale_guest, "stale-arp-guest", "g1", "ip neigh del 10.0.0.1 dev eth0", NULL},
    {"right hardware address", "h1", "g1", right_mac, NULL, NULL, NULL, NULL},
    {"arp_ignore", "h1", "g1", arp_ignore, "arp-not-answered", "g1", "sysctl -w net.ipv4.conf.all.arp_ignore=0", NULL},
    {"arp_ignore that does not matter", "h1", "g1", arp_ignore_1, NULL, NULL, NULL, NULL},
    {"arp off", "h1", "g1", arp_off, "arp-not-answered", "g1", "ip link set dev eth0 arp on", NULL},
    {"nd rule", "h1", "g1", nd_rule, "nd-filtered", "g1",
     "nft insert rule ip6 f in icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept", NULL},
    {"arp rule", "h1", "g1", arp_rule, "arp-not-answered", "g1", "nft insert rule arp f out arp saddr ip 10.0.0.11 accept", NULL},
    {"host side down", "h1", "g1", port_down, "vnic-link-down", "h1", "ip link set dev v1 up", NULL},
    {"link off in qemu", "h1", "g1", qemu_link_off, "vnic-link-down", "h1", "virsh domif-setlink \"$d\" vnet1 up", NULL},
    {"cable fine", "h1", "g1", cable_fine, NULL, NULL, NULL, NULL},
    {"interface off", "h1", "g1", nic_down, "guest-nic-admin-down", "g1",
     "ip addr add fd00::11/64 dev eth0 nodad && ip route replace default via 10.0.0.1 dev eth0 metric 100", NULL},
    {"port out", "h1", "g1", unplugged, "tap-not-in-bridge", "h1", "ip link set dev v1 master br0", NULL},
    {"port out, nothing is sent to the bridge", "h1", "g1", unplugged_unasked, "tap-not-in-bridge", "h1",
     "ip link set dev v1 master br0", NULL},
    {"port out, both ways", "g1", "h1", unplugged_both, "tap-not-in-bridge", "h1", "ip link set dev v1 master br0", NULL},
    {"uplink out", "g1", "g2", no_uplink, "uplink-missing-from-bridge", "h1", "ip link set dev up0 master br0", NULL},
    {"uplink off", "g1", "g2", uplink_off, "pnic-link-down", "h1", "ip link set dev up0 up", NULL},
    {"uplink in place", "g1", "g2", uplink_member, NULL, NULL, NULL, NULL},
    {"isolated", "g1", "g3", isolated, "port-isolation", "h1", "bridge link set dev v1 isolated off", NULL},
    {"one isolated", "g1", "g3", isolated_one, NULL, NULL, NULL, NULL},
    {"isolated uplink", "g1", "g2", isolated_up, "port-isolation-uplink", "h1", "bridge link set dev up0 isolated off", NULL},
    {"port disabled", "h1", "g1", held, "stp-not-forwarding", "h1", "bridge link set dev v1 state 3", NULL},
    {"port learning", "h1", "g1", held_by_stp, "stp-not-forwarding", "h1", "stp_state 0 && bridge link set dev v1 state 3", NULL},
    {"a port moved to another VLAN", "g1", "g3", vlan_one_changed, "vlan-mismatch", "h1",
     "bridge vlan add dev v1 vid 1 pvid untagged", NULL},
    {"a port alone in its VLAN", "g1", "g3", vlan_one_alone, "vlan-mismatch", "h1", "bridge vlan add dev v3 vid 1 pvid untagged",
     NULL},
    {"one VLAN", "g1", "g3", vlan_same, NULL, NULL, NULL, NULL},
    {"VLANs on a bridge that does not look at them", "g1", "g3", vlan_not_filtered, NULL, NULL, NULL, NULL},
    {"a trunk that carries it", "g1", "g2", vlan_of_others, NULL, NULL, NULL, NULL},
    {"a trunk that lacks it", "g1", "g2", trunk_without, "vlan-not-trunked", "h1", "bridge vlan add dev up0 vid 20", NULL},
    {"tags of Open vSwitch", "g1", "g3", ovs_tags, "vlan-mismatch", "h1", "ovs-vsctl set port v3 tag=1", NULL},
    {"a flow entry", "g1", "g3", ovs_entry, "ovs-flow-drop", "h1",
     "ovs-ofctl --strict del-flows br0 table=3,priority=9,udp,nw_dst=10.0.0.13", NULL},
    {"a flow entry of a controller", "g1", "g3", ovs_of_controller, "ovs-flow-drop", "h1", "what writes the flow entries of br0",
     NULL},
    {"no flow entry", "g1", "g3", ovs_no_entry, "ovs-flow-missing", "h1", "the controller of h1", NULL},
    {"a flow entry that is no text for a shell", "g1", "g3", ovs_strange_entry, "ovs-flow-drop", "h1",
     "what writes the flow entries of br0", NULL},
    {"chains and a device that Open vSwitch does not ask", "g1", "g3", ovs_forwards, NULL, NULL, NULL, NULL},
    {"bridge off", "h1", "g1", bridge_off, "bridge-down", "h1", "ip link set dev br0 up", NULL},
    {"another bridge off", "h1", "g1", other_bridge_off, NULL, NULL, NULL, NULL},
    {"no broadcasts", "g1", "g2", bcast_off, "broadcast-flood-off", "h2", "bridge link set dev v2 bcast_flood on", NULL},
    {"sticky entry", "g1", "g2", fdb_sticky, "stale-fdb", "h1", "bridge fdb del 02:00:00:00:00:12 dev v3 master", NULL},
    {"small receiver", "g2", "g1", mtu_small, "mtu-guest-smaller", "g1", "ip link set dev eth0 mtu 1500", NULL},
    {"small receiver, but all die", "g2", "g1", mtu_small_all_die, NULL, NULL, NULL, NULL},
    {"large sender", "g1", "g2", mtu_large, "mtu-guest-larger", "g1", "ip link set dev eth0 mtu 1500", NULL},
    {"small fabric", "g1", "g2", fabric_mtu, "mtu-physical-path", NULL, "ip link set dev eth0 mtu 1400", NULL},
    {"small uplink", "g1", "g2", uplink_mtu, "mtu-physical-path", "h2", "ip link set dev eth0 mtu 1400", NULL},
    {"a tunnel", "g1", "g2", tunnel, NULL, NULL, NULL, NULL},
    {"tunnel, two numbers", "g1", "g2", tunnel_number, "overlay-vni-or-vtep-mismatch", NULL, "compare both ends", NULL},
    {"tunnel, two ports", "g1", "g2", tunnel_port, "overlay-vni-or-vtep-mismatch", NULL, "compare both ends", NULL},
    {"tunnel to nowhere", "g1", "g2", tunnel_remote, "overlay-vni-or-vtep-mismatch", "h1", "compare both ends", NULL},
    {"tunnel to a group", "g1", "g2", tunnel_group, NULL, NULL, NULL, NULL},
    {"tunnel, two numbers, but lost before it", "g1", "g2", tunnel_number_but_not_there, NULL, NULL, NULL, NULL},
    {"tunnel that leads elsewhere", "g1", "g2", tunnel_table, "overlay-fdb-wrong", "h1",
     "bridge fdb del 02:00:00:00:00:12 dev up0 dst 10.0.0.77 self", NULL},
    {"tunnel that leads there", "g1", "g2", tunnel_table_right, NULL, NULL, NULL, NULL},
    {"tunnel in a filter", "g1", "g2", tunnel_filtered, "overlay-filtered", "h2", "allow UDP port 4789", NULL},
    {"tunnel with an odd entry", "g1", "g2", tunnel_entry_exists, NULL, NULL, NULL, NULL},
    {"dead fabric", "g1", "g2", fabric_dead, NULL, NULL, NULL, NULL},
    {"no service", "g1", "g2", service, "service-not-listening", "g2", "start the service that should listen on TCP port 8080",
     NULL},
    {"no service, with a command", "g1", "g2", service_startable, "service-not-listening", "g2", "systemctl start web", NULL},
    {"service on loopback", "g1", "g2", service_local, "service-bound-wrong-address", "g2", "listen on all addresses", NULL},
    {"service refused by something else", "g1", "g2", service_rejected, NULL, NULL, NULL, NULL},
    {"dead agent", "h1", "g1", dead_agent, "agent-down", "g1", "systemctl start bothways-agent", NULL},
    {"slow agent", "h1", "g1", slow_agent, NULL, NULL, NULL, NULL},
    {"starved agent", "h1", "g1", starved_agent, NULL, NULL, NULL, NULL},
    {"agent that resets what it does not know", "h1", "g1", takes_and_resets, "control-channel-lost", "g1",
     "let g1 reach the collector", NULL},
    {"agent that just ended", "h1", "g1", just_ended, "agent-down", "g1", "systemctl start bothways-agent", NULL},
    {"slow relay", "g2", "g1", slow_relay, NULL, NULL, NULL, NULL},
    {"dead relay", "g2", "g1", dead_relay, "agent-down", "h1", "systemctl start bothways-agent", NULL},
    {"dead machine", "h1", "g1", dead_machine, NULL, NULL, NULL, NULL},
    {"healthy", "g1", "g2", healthy, NULL, NULL, NULL, NULL},
    {"unknown, in the stack", "h1", "g1", unknown_in_stack, NULL, NULL, NULL, NULL},
    {"unknown, in the bridge", "g1", "g2", unknown_in_bridge, NULL, NULL, NULL, NULL},
    {"unknown, leaving", "g1", "g2", unknown_leaving, NULL, NULL, NULL, NULL},
    {"the kernel says reverse path", "h1", "g1", said_rp, "rp-filter-strict", "g1", NULL, NULL},
    {"the kernel says filter", "h1", "g1", said_filter, "guest-fw-inbound-drop", "g1", "ip saddr 10.0.0.1 accept", NULL},
    {"the kernel says no filter", "g2", "g1", said_no_filter, "receive-buffer-full", "g1", NULL, NULL},
    {"the kernel says checksum", "g2", "g1", said_checksum, "checksum-offload-bad", "g2", "ethtool -K eth0 tx off", NULL},
    {"the kernel says checksum, of ICMP too", "g2", "g1", said_damaged, "packets-damaged", "g1", NULL, NULL},
    {"the kernel says tc", "g1", "g2", said_program, "interface-program-drop", "h2", "tc filter show dev up0 ingress", NULL},
    {"the kernel says full ring", "g2", "g1", said_ring, "tap-or-vswitch-queue-overflow", "h1", "see whether g1 runs", NULL},
    {"the kernel says full buffer", "g2", "g1", said_buffer, "receive-buffer-full", "g1", NULL, NULL},
    {"the kernel says queue", "g1", "g2", said_queue, "traffic-shaping-policing", "h1", "tc -s qdisc show dev up0", NULL},
    {"the kernel says tunnel", "g1", "g2", said_tunnel, "overlay-vni-or-vtep-mismatch", "h2", NULL, NULL},
    {"the kernel says neighbour", "g1", "g2", said_aftermath, NULL, NULL, NULL, NULL},
    {"the kernel says nothing of it", "g2", "g1", said_noise, NULL, NULL, NULL, NULL},
    {"the kernel speaks of others", "g2", "g1", said_of_what_arrived, NULL, NULL, NULL, NULL},
    {"the kernel says wrong address", "h1", "g1", said_wrong_mac, "stale-arp-guest", "g1", NULL, NULL},
    {"traced, a set", "g2", "g1", traced_set, "guest-fw-inbound-drop", "g1", "nft insert rule inet quick in", NULL},
    {"traced, against the reading", "g2", "g1", traced_against_reading, "guest-fw-inbound-drop", "g1",
     "nft insert rule inet quick list ip saddr 10.0.0.12 meta l4proto udp accept", NULL},
    {"traced, the policy of two", "g2", "g1", traced_other, "guest-fw-inbound-drop", "g1",
     "nft insert rule inet late in ip saddr 10.0.0.12 meta l4proto udp accept", NULL},
    {"traced, a copy", "g1", "g2", traced_copy, NULL, NULL, NULL, NULL},
    {"two faults", "h1", "g1", two_faults, "blackhole-route", "g1", NULL, "guest-fw-icmp-only"},
    {"two families", "h1", "g1", two_families, "blackhole-route", "h1", NULL, "guest-fw-icmp-only"},
    {"two faults in one place", "h1", "g1", two_faults_one_place, "guest-fw-egress-drop", "g1", NULL, "icmp-echo-ignore"},
    {"no address, and a route that refuses at the other end", "h1", "g1", no_ip_and_a_route, "guest-no-ip", "g1", NULL,
     "blackhole-route"},
    {"ICMP at the end, the rest before it", "g1", "g2", icmp_here_the_rest_before, "hypervisor-vm-firewall", "h2", NULL,
     "guest-fw-icmp-only"},
    {"a rule for what it sends, and one at the other end", "g1", "g2", output_rule_before_an_input_rule, "guest-fw-egress-drop",
     "g1", NULL, "guest-fw-inbound-drop"},
    {"a route that refuses before a policy", "g1", "h1", output_policy_behind_a_route, "guest-fw-egress-drop", "g1", NULL,
     "blackhole-route"},
    {"no address, and a way elsewhere at the other end", "h1", "g1", no_ip_and_another_way, "guest-no-ip", "g1", NULL,
     "vpn-route-capture-host"},
    {"a rule for what it sends, and no answers to ARP", "h1", "g1", output_rule_and_no_arp, "guest-fw-egress-drop", "g1", NULL,
     "arp-not-answered"},
    {"a rule for what it sends before a dead cable", "h1", "g1", output_rule_before_a_dead_cable, "vnic-link-down", "h1", NULL,
     "guest-fw-egress-drop"},
};

static bool has_fix(const struct verdict *v, const char *part)
{
	for (size_t i = 0; i < v->causes[0].fix_count; i++) {
		if (strstr(v->causes[0].fixes[i].command, part))
			return true;
	}
	return false;
}

static bool has_cause(const struct verdict *v, const char *id)
{
	for (size_t i = 0; i < v->cause_count; i++) {
		if (strcmp(v->causes[i].id, id) == 0)
			return true;
	}
	return false;
}

static const char *judge(const struct scenario *s, const struct verdict *v)
{
	if (!s->cause)
		return v->cause_count ? "named a cause although there is none to be named" : NULL;
	if (!v->cause_count || strcmp(v->causes[0].id, s->cause))
		return "did not name the cause first";
	if (s->where && strcmp(v->causes[0].where, s->where))
		return "blamed the wrong machine";
	if (s->fix && !has_fix(v, s->fix))
		return "does not print the fix";
	if (v->causes[0].confidence < 0.75)
		return "is not sure enough";
	if (s->also && !has_cause(v, s->also))
		return "did not name the second cause";
	return !s->also && v->cause_count > 1 && v->causes[1].confidence > 0.5 ? "named too much" : NULL;
}

static void every_scenario(void **state)
{
	struct catalogue *c = catalogue_shipped();
	int failed = 0;
	(void)state;
	for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
		const struct scenario *s = &scenarios[i];
		struct world *w = world_new(s->a, s->b);
		s->inject(w);
		diagnose(c, w->d, w->v);
		const char *wrong = judge(s, w->v);
		if (wrong) {
			fprintf(stderr, "%s: %s (expected %s)\n", s->name, wrong, s->cause ? s->cause : "nothing");
			verdict_dump(w->v);
			failed++;
		}
		world_free(w);
	}
	catalogue_free(c);
	assert_int_equal(failed, 0);
}

/* Both ends and the host between may be to blame; whoever asks, it is the same one. */
static void either_side_may_ask(void **state)
{
	struct catalogue *c = catalogue_shipped();
	(void)state;
	for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
		const struct scenario *s = &scenarios[i];
		if (s->inject == service || s->inject == service_startable || s->inject == service_local ||
		    s->inject == service_rejected || s->inject == dead_agent || s->inject == slow_agent ||
		    s->inject == starved_agent || s->inject == just_ended || s->inject == dead_machine ||
		    s->inject == no_ip_unheard || s->inject == mtu_large)
			continue; /* these know which one is a */
		struct world *w = world_new(s->b, s->a);
		s->inject(w);
		diagnose(c, w->d, w->v);
		const char *wrong = judge(s, w->v);
		if (wrong) {
			fprintf(stderr, "%s, asked from the other side: %s\n", s->name, wrong);
			verdict_dump(w->v);
		}
		assert_null(wrong);
		world_free(w);
	}
	catalogue_free(c);
}

static void texts_are_filled_in(void **state)
{
	struct catalogue *c = catalogue_shipped();
	(void)state;
	for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
		struct world *w = world_new(scenarios[i].a, scenarios[i].b);
		scenarios[i].inject(w);
		diagnose(c, w->d, w->v);
		assert_non_null(w->v->sentence);
		for (size_t k = 0; k < w->v->cause_count; k++) {
			assert_true(w->v->causes[k].fix_count > 0);
			assert_true(w->v->causes[k].for_count > 0);
			assert_non_null(strstr(w->v->causes[k].verify, "bothways diagnose "));
		}
		world_free(w);
	}
	catalogue_free(c);
}

static void what_looks_alike_is_ruled_out(void **state)
{
	struct catalogue *c = catalogue_shipped();
	struct world *w = world_new("h1", "g1");
	bool found = false;
	(void)state;
	icmp_only(w);
	diagnose(c, w->d, w->v);
	for (size_t i = 0; i < w->v->ruled_out_count; i++)
		found |= strcmp(w->v->ruled_out[i].id, "icmp-echo-ignore") == 0 && w->v->ruled_out[i].because[0];
	assert_true(found);
	world_free(w);
	catalogue_free(c);
}

static void what_remains_possible_is_told(void **state)
{
	struct catalogue *c = catalogue_shipped();
	struct world *w = world_new("h1", "g1");
	(void)state;
	icmp_only_unreadable(w);
	diagnose(c, w->d, w->v);
	assert_in_range(w->v->left_count, 1, 3);
	bool told = false;
	for (size_t i = 0; i < w->v->left_count; i++) {
		told |= strcmp(w->v->left[i].id, "guest-fw-icmp-only") == 0 && strcmp(w->v->left[i].where, "g1") == 0;
		assert_true(w->v->left[i].missing[0]);
	}
	assert_true(told);
	assert_string_equal(w->v->sentence,
	                    "h1 does not reach g1 with IPv4 ICMP; the other way works. Packets die between g1:eth0 and "
	                    "g1:socket; the cause is undetermined.");
	world_free(w);
	catalogue_free(c);
}

/* ---- two faults at once ---- */

static bool explains(const struct scenario *s, const char *id)
{
	return strcmp(s->cause, id) == 0 || (s->also && strcmp(s->also, id) == 0);
}

/* What is ill, per direction: dying probes and answers, conversations that do not start. */
static void ill_kinds(const struct scenario *s, kind_mask out[2])
{
	struct world *w = world_new(s->a, s->b);
	s->inject(w);
	for (int d = 0; d < 2; d++) {
		const struct direction *dir = &w->v->dir[d];
		out[d] = 0;
		for (size_t i = 0; i < dir->cut_count; i++)
			out[d] |= dir->cuts[i].kinds;
		for (int k = 0; k < KIND_COUNT; k++)
			out[d] |= cell_is_bad((enum cell)dir->initiation[k]) ? KIND_BIT(k) : 0;
	}
	world_free(w);
}

/* Neither hides what the other does. */
static bool are_apart(const struct scenario *x, const struct scenario *y)
{
	kind_mask of_x[2], of_y[2];
	if (!x->cause || !y->cause || strcmp(x->a, y->a) || strcmp(x->b, y->b) || strcmp(x->cause, y->cause) == 0)
		return false;
	ill_kinds(x, of_x);
	ill_kinds(y, of_y);
	return !((of_x[0] | of_x[1]) & (of_y[0] | of_y[1])) && of_x[0] | of_x[1] && of_y[0] | of_y[1];
}

struct pair_count {
	int tried, both, wrong;
};

static void pair_try(const struct catalogue *c, const struct scenario *x, const struct scenario *y, struct pair_count *n)
{
	struct world *w = world_new(x->a, x->b);
	x->inject(w);
	y->inject(w);
	diagnose(c, w->d, w->v);
	bool both = has_cause(w->v, x->cause) && has_cause(w->v, y->cause), wrong = false;
	for (size_t i = 0; i < w->v->cause_count; i++) {
		const struct cause *got = &w->v->causes[i];
		wrong |= got->confidence >= 0.5 && !explains(x, got->id) && !explains(y, got->id);
	}
	n->tried++;
	n->both += both;
	n->wrong += wrong;
	if (!both || wrong) {
		print_message("%s (%s) and %s (%s):", x->name, x->cause, y->name, y->cause);
		for (size_t i = 0; i < w->v->cause_count; i++)
			print_message(" %s %.2f", w->v->causes[i].id, w->v->causes[i].confidence);
		print_message("\n");
	}
	world_free(w);
}

static void two_faults_are_two_causes(void **state)
{
	struct catalogue *c = catalogue_shipped();
	struct pair_count n = {0};
	(void)state;
	for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
		for (size_t k = 0; k < sizeof scenarios / sizeof *scenarios; k++) {
			if (i != k && are_apart(&scenarios[i], &scenarios[k]))
				pair_try(c, &scenarios[i], &scenarios[k], &n);
		}
	}
	print_message("%d pairs, both named in %d, something else in %d\n", n.tried, n.both, n.wrong);
	assert_true(n.tried > 300);
	assert_true(n.both * 100 >= n.tried * 85);
	assert_true(n.wrong * 100 <= n.tried);
	catalogue_free(c);
}

/* ---- a fault that no fact speaks of ---- */

/* Between the hosts nobody has facts: there all large packets, or ARP alone, say by themselves what takes them. */
static bool place_is_enough(const char *id, kind_mask kinds, int what)
{
	bool whole = what != 3;
	return whole && ((strcmp(id, "mtu-physical-path") == 0 && kinds == LARGE4) ||
	                 (strcmp(id, "arp-inspection-drop") == 0 && kinds == K(ARP)));
}

static int named_for_nothing(const struct catalogue *c, const char *a, const char *b, int dir, size_t at, kind_mask kinds, int what)
{
	struct world *w = world_new(a, b);
	char after[POINT_NAME_MAX], before[POINT_NAME_MAX];
	path_point_name(&w->v->dir[dir].path[at], after);
	path_point_name(&w->v->dir[dir].path[at + 1], before);
	struct cut *cut_made = cut(w, dir == 0 ? a : b, after, before, what != 1 ? kinds : 0, what != 0 ? kinds : 0);
	cut_made->partial = what == 3;
	diagnose(c, w->d, w->v);
	int n = 0;
	for (size_t i = 0; i < w->v->cause_count; i++) {
		if (place_is_enough(w->v->causes[i].id, kinds, what))
			continue;
		n++;
		print_message("%s - %s, %#x die between %s and %s (%d): %s at %s %.2f\n", a, b, kinds, after, before, what,
		              w->v->causes[i].id, w->v->causes[i].where, w->v->causes[i].confidence);
	}
	assert_in_range(w->v->left_count, 0, 3);
	assert_true(w->v->sentence && w->v->sentence[0]);
	world_free(w);
	return n;
}

/* Packets die somewhere, and every machine's facts are those of a healthy one: the place is all there is to say. */
static void nothing_is_made_up(void **state)
{
	static const char *const pairs[][2] = {{"h1", "g1"}, {"g1", "g2"}, {"g1", "g3"}, {"h1", "h2"}, {"h1", "g2"}};
	static const kind_mask sets[] = {ALL,          IP4,          IP6,     NEIGH,        K(ARP),
	                                 K(ND),        ICMP4,        K(UDP),  LARGE4,       K(TCP),
	                                 IP4 | IP6,    K(ARP) | IP4, K(ICMP), K(FRAGMENTS), K(UDP) | K(UDP_LARGE),
	                                 K(ICMP_LARGE)};
	struct catalogue *c = catalogue_shipped();
	int named = 0;
	(void)state;
	for (size_t p = 0; p < sizeof pairs / sizeof *pairs; p++) {
		struct world *w = world_new(pairs[p][0], pairs[p][1]);
		size_t points = w->v->dir[0].path_count;
		world_free(w);
		for (size_t at = 0; at + 1 < points; at++) {
			for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
				for (int v = 0; v < 8; v++)
					named += named_for_nothing(c, pairs[p][0], pairs[p][1], v % 2, at, sets[s], v / 2);
			}
		}
	}
	catalogue_free(c);
	assert_int_equal(named, 0);
}

/* The ledger adds up, and holds every cause that was considered; nobody pays for it who does not ask. */
static void the_arithmetic_is_told(void **state)
{
	struct catalogue *c = catalogue_shipped();
	(void)state;
	assert_int_equal(catalogue_shift(c, "guest-fw-icmp-only", 0.4), 0);
	for (int asked = 0; asked < 2; asked++) {
		struct world *w = world_new("h1", "g1");
		w->v->wants_why = asked;
		icmp_only(w);
		diagnose(c, w->d, w->v);
		assert_int_equal(w->v->weighing_count, asked);
		for (size_t i = 0; asked && i < w->v->weighings[0].count; i++) {
			const struct weighed_cause *e = &w->v->weighings[0].causes[i];
			double sum = e->prior + e->shift + e->agreement - e->partial;
			for (size_t k = 0; k < e->line_count; k++)
				sum += e->lines[k].added;
			assert_true(fabs(sum - e->sum) < 1e-9);
			assert_true(e->outcome != OUTCOME_RULED_OUT || e->line_count > 0);
			assert_true((i == 0) == (e->outcome == OUTCOME_NAMED));
			assert_true(fabs(e->shift - (strcmp(e->id, "guest-fw-icmp-only") ? 0 : 0.4)) < 1e-9);
		}
		world_free(w);
	}
	catalogue_free(c);
}

static void what_nothing_speaks_for_is_not(void **state)
{
	struct catalogue *c = catalogue_shipped();
	struct world *w = world_new("g1", "g2");
	(void)state;
	fabric_dead(w);
	diagnose(c, w->d, w->v);
	for (size_t i = 0; i < w->v->note_count; i++) {
		assert_null(strstr(w->v->notes[i], "tap-or-vswitch-queue-overflow"));
		assert_null(strstr(w->v->notes[i], "overlay-"));
	}
	world_free(w);
	catalogue_free(c);
}

/* The impostor comes in by a port that its victim uses as well: no rule is put there. */
static void a_guard_hits_nobody_else(void **state)
{
	struct catalogue *c = catalogue_shipped();
	struct world *w = world_new("g1", "g2");
	(void)state;
	spoof(w);
	struct snapshot *h = facts(w, "h1");
	struct fdb *f = GROW(h->fdbs, h->fdb_count);
	*f = (struct fdb){.bridge = 1, .port = link_named(w, "h1", "v3")->index, .mac = M("02:00:00:00:00:12")};
	diagnose(c, w->d, w->v);
	assert_string_equal(w->v->causes[0].id, "arp-spoofing");
	assert_true(w->v->causes[0].fix_count > 0);
	for (size_t i = 0; i < w->v->causes[0].fix_count; i++)
		assert_null(strstr(w->v->causes[0].fixes[i].command, "drop"));
	world_free(w);
	catalogue_free(c);
}

/* What a machine says of itself is pasted into a shell by whoever follows the fix. */
static void a_hostile_name_makes_no_command(void **state)
{
	static const char *const names[] = {"in; reboot", "in`id`", "$(id)", "in|sh", "in\nid", "in>x", "in'"};
	struct catalogue *c = catalogue_shipped();
	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct world *w = world_new("g2", "g1");
		add_chain(facts(w, "g1"), "ip", "filter", names[i], "input", FW_DROP);
		cut(w, "g2", "g1:eth0", "g1:socket", IP4, IP4);
		diagnose(c, w->d, w->v);
		assert_true(w->v->cause_count > 0);
		assert_string_equal(w->v->causes[0].id, "guest-fw-stateless-drop");
		for (size_t k = 0; k < w->v->causes[0].fix_count; k++)
			assert_true(w->v->causes[0].fixes[k].manual);
		world_free(w);
	}
	catalogue_free(c);
}

/* Of a filter of what is new and one of everything nobody can tell which, while nobody saw what became of answers. */
static void what_nobody_had_time_to_see_is_less_sure(void **state)
{
	struct catalogue *c = catalogue_shipped();
	double sure[2];
	(void)state;
	for (int slept = 0; slept < 2; slept++) {
		struct world *w = world_new("g2", "g1");
		stateful_input(w);
		for (int k = 0; slept && k < KIND_COUNT; k++)
			w->v->dir[1].initiation[k] = CELL_UNKNOWN;
		diagnose(c, w->d, w->v);
		assert_string_equal(w->v->causes[0].id, "guest-fw-inbound-drop");
		sure[slept] = w->v->causes[0].confidence;
		world_free(w);
	}
	assert_true(sure[0] > 0.97 && sure[1] < 0.9);
	catalogue_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_hostile_name_makes_no_command),
	    cmocka_unit_test(every_scenario),
	    cmocka_unit_test(either_side_may_ask),
	    cmocka_unit_test(texts_are_filled_in),
	    cmocka_unit_test(what_looks_alike_is_ruled_out),
	    cmocka_unit_test(what_remains_possible_is_told),
	    cmocka_unit_test(what_nothing_speaks_for_is_not),
	    cmocka_unit_test(nothing_is_made_up),
	    cmocka_unit_test(the_arithmetic_is_told),
	    cmocka_unit_test(two_faults_are_two_causes),
	    cmocka_unit_test(a_guard_hits_nobody_else),
	    cmocka_unit_test(what_nobody_had_time_to_see_is_less_sure),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
