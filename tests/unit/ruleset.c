/* ruleset: what a ruleset does to one packet: matches in three values, chains by priority, jumps, policies, partial rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/case_world.h"

static struct fw_packet echo(void)
{
	return (struct fw_packet){.ethertype = 0x0800,
	                          .l4proto = IPPROTO_ICMP,
	                          .icmp_type = 8,
	                          .src = P("10.0.0.1").ip,
	                          .dst = P("10.0.0.2").ip,
	                          .ct = FW_CT_NEW,
	                          .length = {28, 300},
	                          .iif = "eth0",
	                          .oif = "",
	                          .in_bridge = "",
	                          .out_bridge = ""};
}
static struct fw_packet udp(void)
{
	struct fw_packet p = echo();
	p.l4proto = IPPROTO_UDP;
	p.sport = (struct fw_span){30000, 30002};
	p.dport = (struct fw_span){7401, 7401};
	return p;
}

static enum fw_outcome ask(const struct snapshot *s, enum fw_layer layer, const char *hook, const struct fw_packet *p)
{
	struct fw_decision d[8];
	return firewall_decide(s, layer, hook, p->iif, p, d, 8) ? d[0].outcome : FW_PASSES;
}

static enum tri match(int field, uint64_t lo, uint64_t hi, bool negate, const struct fw_packet *p)
{
	struct fw_value v = {.lo = lo, .hi = hi};
	struct fw_match m = {.field = (uint8_t)field, .negate = negate, .value_count = 1, .values = &v};
	return firewall_match(&m, p);
}

static void matches_have_three_values(void **state)
{
	struct fw_packet e = echo(), u = udp();
	(void)state;
	assert_int_equal(match(FW_ICMP_TYPE, 8, 8, false, &e), TRI_YES);
	assert_int_equal(match(FW_ICMP_TYPE, 0, 0, false, &e), TRI_NO);
	assert_int_equal(match(FW_ICMP_TYPE, 0, 0, true, &e), TRI_YES);
	assert_int_equal(match(FW_ICMP_TYPE, 0, 0, true, &u), TRI_NO); /* no such header: not even when negated */
	assert_int_equal(match(FW_DPORT, 7401, 7401, false, &u), TRI_YES);
	assert_int_equal(match(FW_SPORT, 30001, 40000, false, &u), TRI_UNKNOWN); /* some of the probes' ports */
	assert_int_equal(match(FW_SPORT, 1, 1023, false, &u), TRI_NO);
	assert_int_equal(match(FW_DPORT, 7401, 7401, false, &e), TRI_NO);
	assert_int_equal(match(FW_UNKNOWN, 0, 0, false, &e), TRI_UNKNOWN);
	assert_int_equal(match(FW_UNKNOWN, 0, 0, true, &e), TRI_UNKNOWN);
	assert_int_equal(match(FW_CT_STATE, FW_CT_ESTABLISHED | FW_CT_RELATED, 0, false, &e), TRI_NO);
	e.ct = FW_CT_ESTABLISHED;
	assert_int_equal(match(FW_CT_STATE, FW_CT_ESTABLISHED | FW_CT_RELATED, 0, false, &e), TRI_YES);
	e.ct = 0;
	assert_int_equal(match(FW_CT_STATE, FW_CT_NEW, 0, false, &e), TRI_UNKNOWN);
	assert_int_equal(match(FW_NFPROTO, 2, 2, false, &e), TRI_YES);
	assert_int_equal(match(FW_NFPROTO, 10, 10, false, &e), TRI_NO);
	assert_int_equal(match(FW_L4PROTO, 6, 17, false, &u), TRI_YES);
}

static void addresses_and_names(void **state)
{
	struct fw_packet e = echo();
	struct fw_value v = {.prefix = P("10.0.0.0/24")};
	struct fw_match m = {.field = FW_SADDR, .value_count = 1, .values = &v};
	(void)state;
	assert_int_equal(firewall_match(&m, &e), TRI_YES);
	m.negate = true;
	assert_int_equal(firewall_match(&m, &e), TRI_NO);
	v.prefix = P("fd00::/64");
	assert_int_equal(firewall_match(&m, &e), TRI_NO); /* of the other family: never */
	v = (struct fw_value){.prefix = P("10.0.0.5"), .range_end = P("10.0.0.9").ip};
	m.negate = false;
	assert_int_equal(firewall_match(&m, &e), TRI_NO);
	v = (struct fw_value){.text = "eth*"};
	m.field = FW_IIF;
	assert_int_equal(firewall_match(&m, &e), TRI_YES);
	m.field = FW_OIF;
	assert_int_equal(firewall_match(&m, &e), TRI_NO);
	v = (struct fw_value){.mac = M("02:00:00:00:00:01")};
	m.field = FW_ETH_SADDR;
	assert_int_equal(firewall_match(&m, &e), TRI_UNKNOWN);
	e.eth_src = v.mac;
	assert_int_equal(firewall_match(&m, &e), TRI_YES);
}

static void families_and_hooks(void **state)
{
	struct snapshot *s = snapshot_new();
	struct fw_packet e = echo();
	(void)state;
	add_chain(s, "ip6", "t", "in", "input", FW_DROP);
	add_chain(s, "inet", "t", "out", "output", FW_DROP);
	add_chain(s, "bridge", "t", "fwd", "forward", FW_DROP);
	add_chain(s, "inet", "t", "not-a-base", "", FW_DROP);
	str_copy(add_chain(s, "netdev", "t", "dev", "ingress", FW_DROP)->device, IFNAME_LEN, "eth1");
	assert_int_equal(ask(s, FW_LAYER_IP, "input", &e), FW_PASSES);
	assert_int_equal(ask(s, FW_LAYER_IP, "output", &e), FW_STOPS);
	assert_int_equal(ask(s, FW_LAYER_IP, "forward", &e), FW_PASSES);
	assert_int_equal(ask(s, FW_LAYER_BRIDGE, "forward", &e), FW_STOPS);
	assert_int_equal(ask(s, FW_LAYER_NETDEV, "ingress", &e), FW_PASSES);
	e.iif = "eth1";
	assert_int_equal(ask(s, FW_LAYER_NETDEV, "ingress", &e), FW_STOPS);
	e.ethertype = 0x86dd;
	assert_int_equal(ask(s, FW_LAYER_IP, "input", &e), FW_STOPS);
	snapshot_free(s);
}

static struct fw_rule *jump(struct fw_chain *c, int how, const char *to)
{
	struct fw_rule *r = add_rule(c, how, to);
	str_copy(r->target, sizeof r->target, to);
	return r;
}

static void jumps_return(void **state)
{
	struct snapshot *s = snapshot_new();
	struct fw_packet e = echo(), u = udp();
	struct fw_decision d[4];
	(void)state;
	jump(add_chain(s, "inet", "t", "in", "input", FW_ACCEPT), FW_JUMP, "mine");
	match_number(add_rule(add_chain(s, "inet", "t", "mine", "", FW_ACCEPT), FW_RETURN, "udp return"), FW_L4PROTO, 17, 17);
	add_rule(&s->chains[1], FW_DROP, "drop");
	assert_int_equal(ask(s, FW_LAYER_IP, "input", &e), FW_STOPS);
	assert_int_equal(ask(s, FW_LAYER_IP, "input", &u), FW_PASSES);
	assert_int_equal(firewall_decide(s, FW_LAYER_IP, "input", "", &e, d, 4), 1);
	assert_string_equal(d[0].chain->name, "mine");
	assert_string_equal(d[0].base->name, "in");
	jump(&s->chains[1], FW_JUMP, "in"); /* a circle ends */
	assert_int_equal(ask(s, FW_LAYER_IP, "input", &e), FW_STOPS);
	snapshot_free(s);
}

static void goto_ends_at_the_policy(void **state)
{
	struct snapshot *s = snapshot_new();
	struct fw_packet e = echo();
	(void)state;
	jump(add_chain(s, "inet", "t", "in", "input", FW_DROP), FW_GOTO, "mine");
	add_rule(&s->chains[0], FW_ACCEPT, "never reached");
	add_chain(s, "inet", "t", "mine", "", FW_ACCEPT);
	assert_int_equal(ask(s, FW_LAYER_IP, "input", &e), FW_STOPS);
	snapshot_free(s);
}

static void what_cannot_be_told_is_not_a_stop(void **state)
{
	struct snapshot *s = snapshot_new();
	struct fw_packet e = echo();
	struct fw_decision d[4];
	struct fw_chain *c = add_chain(s, "inet", "t", "in", "input", FW_ACCEPT);
	(void)state;
	match_number(add_rule(c, FW_DROP, "something unknown drop"), FW_UNKNOWN, 0, 0);
	assert_int_equal(ask(s, FW_LAYER_IP, "input", &e), FW_MAY_STOP);
	add_rule(c, FW_DROP, "drop");
	assert_int_equal(ask(s, FW_LAYER_IP, "input", &e), FW_STOPS); /* either way it is dropped */
	match_number(add_rule(add_chain(s, "ip", "u", "in", "input", FW_ACCEPT), FW_DROP, "numgen drop"), FW_RANDOM, 0, 0);
	assert_int_equal(firewall_decide(s, FW_LAYER_IP, "input", "", &e, d, 4), 2);
	assert_true(d[1].random);
	snapshot_free(s);
}

static void a_low_limit_stops_and_a_high_one_may(void **state)
{
	struct snapshot *s = snapshot_new();
	struct fw_packet e = echo();
	struct fw_chain *c = add_chain(s, "inet", "t", "in", "input", FW_ACCEPT);
	struct fw_value *limit = add_match(add_rule(c, FW_DROP, "limit rate over 1/second drop"), FW_RANDOM);
	(void)state;
	c->rules[0].matches[0].negate = true;
	limit->lo = limit->hi = 2;
	assert_int_equal(ask(s, FW_LAYER_IP, "input", &e), FW_STOPS);
	limit->lo = limit->hi = 1000;
	assert_int_equal(ask(s, FW_LAYER_IP, "input", &e), FW_MAY_STOP);
	c->rules[0].matches[0].negate = false;
	c->rules[0].verdict = FW_ACCEPT;
	c->policy = FW_DROP;
	assert_int_equal(ask(s, FW_LAYER_IP, "input", &e), FW_MAY_STOP);
	limit->lo = limit->hi = 2;
	assert_int_equal(ask(s, FW_LAYER_IP, "input", &e), FW_STOPS);
	snapshot_free(s);
}

static void every_chain_that_stops_is_told_by_priority(void **state)
{
	struct snapshot *s = snapshot_new();
	struct fw_packet e = echo();
	struct fw_decision d[4];
	char text[200];
	(void)state;
	add_chain(s, "ip", "late", "in", "input", FW_DROP)->priority = 10;
	add_rule(add_chain(s, "inet", "early", "in", "input", FW_ACCEPT), FW_REJECT, "reject")->packets = 1;
	s->chains[1].priority = -5;
	assert_int_equal(firewall_decide(s, FW_LAYER_IP, "input", "", &e, d, 4), 2);
	assert_true(d[0].reject);
	assert_string_equal(firewall_text(&d[0], text, sizeof text), "inet early in: reject");
	assert_string_equal(firewall_text(&d[1], text, sizeof text), "ip late in: policy drop");
	snapshot_free(s);
}

static void arp_has_its_own_chains(void **state)
{
	struct snapshot *s = snapshot_new();
	struct fw_packet a = {
	    .ethertype = 0x0806, .arp_op = 1, .dst = P("10.0.0.2").ip, .iif = "eth0", .oif = "", .in_bridge = "", .out_bridge = ""};
	struct fw_chain *c = add_chain(s, "arp", "f", "in", "input", FW_ACCEPT);
	(void)state;
	match_ip(add_rule(c, FW_DROP, "arp saddr ip 0.0.0.0 drop"), FW_ARP_SPA, "0.0.0.0");
	add_chain(s, "inet", "f", "in", "input", FW_DROP);
	assert_int_equal(ask(s, FW_LAYER_IP, "input", &a), FW_STOPS); /* a probe without a sender address */
	a.src = P("10.0.0.1").ip;
	assert_int_equal(ask(s, FW_LAYER_IP, "input", &a), FW_PASSES);
	snapshot_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(matches_have_three_values),
	    cmocka_unit_test(addresses_and_names),
	    cmocka_unit_test(families_and_hooks),
	    cmocka_unit_test(jumps_return),
	    cmocka_unit_test(goto_ends_at_the_policy),
	    cmocka_unit_test(what_cannot_be_told_is_not_a_stop),
	    cmocka_unit_test(a_low_limit_stops_and_a_high_one_may),
	    cmocka_unit_test(every_chain_that_stops_is_told_by_priority),
	    cmocka_unit_test(arp_has_its_own_chains),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
