/* Routes as the kernel would choose them, and facts: flat, sorted, comparable. */
#include "proto/base/mem.h"
#include "proto/model/fact.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct ip ip_of(const char *text)
{
	struct ip a = {0};
	if (text && ip_parse(text, &a) != 0)
		fail_msg("not an address: %s", text);
	return a;
}

static struct prefix prefix_of(const char *text)
{
	struct prefix p = {0};
	if (text && prefix_parse(text, &p) != 0)
		fail_msg("not a prefix: %s", text);
	return p;
}

/* ---- routes ---- */

static void add_route(struct snapshot *s, uint32_t table, const char *dst, uint32_t link, uint8_t type, uint32_t metric)
{
	size_t n = s->route_count;
	s->routes = mem_resize(s->routes, n + 1, sizeof *s->routes);
	s->routes[n] = (struct route){.type = type, .table = table, .dst = prefix_of(dst), .link = link, .metric = metric};
	s->route_count = n + 1;
}

static struct policy_rule *add_rule(struct snapshot *s, uint32_t priority, uint8_t action, uint32_t table)
{
	size_t n = s->rule_count;
	s->rules = mem_resize(s->rules, n + 1, sizeof *s->rules);
	s->rules[n] = (struct policy_rule){.family = 4, .priority = priority, .action = action, .table = table};
	s->rule_count = n + 1;
	return &s->rules[n];
}

static struct snapshot *typical(void)
{
	struct snapshot *s = snapshot_new();
	add_route(s, 254, "0.0.0.0/0", 1, ROUTE_UNICAST, 100);
	add_route(s, 254, "10.0.0.0/8", 2, ROUTE_UNICAST, 0);
	add_route(s, 254, "10.1.0.0/16", 3, ROUTE_UNICAST, 0);
	add_route(s, 254, "10.1.2.3/32", 0, ROUTE_BLACKHOLE, 0);
	add_route(s, 254, "fe80::/64", 4, ROUTE_UNICAST, 256);
	add_route(s, 100, "0.0.0.0/0", 9, ROUTE_UNICAST, 0);
	return s;
}

static void assert_link(const struct snapshot *s, const char *dst, const char *src, uint32_t link)
{
	const struct route *r = snapshot_route(s, ip_of(dst), ip_of(src));
	assert_non_null(r);
	assert_int_equal(r->link, link);
}

static void the_longest_prefix_wins(void **state)
{
	struct snapshot *s = typical();
	(void)state;
	assert_link(s, "192.0.2.1", NULL, 1);
	assert_link(s, "10.9.9.9", NULL, 2);
	assert_link(s, "10.1.9.9", NULL, 3);
	assert_int_equal(snapshot_route(s, ip_of("10.1.2.3"), ip_of(NULL))->type, ROUTE_BLACKHOLE);
	assert_link(s, "fe80::1", NULL, 4);
	assert_null(snapshot_route(s, ip_of("2001:db8::1"), ip_of(NULL)));
	snapshot_free(s);
}

static void of_equal_prefixes_the_lower_metric_wins(void **state)
{
	struct snapshot *s = typical();
	(void)state;
	add_route(s, 254, "0.0.0.0/0", 7, ROUTE_UNICAST, 50);
	assert_link(s, "192.0.2.1", NULL, 7);
	add_route(s, 254, "0.0.0.0/0", 8, ROUTE_UNICAST, 50);
	assert_link(s, "192.0.2.1", NULL, 7); /* the first of equals */
	snapshot_free(s);
}

static void table_default_is_asked_last(void **state)
{
	struct snapshot *s = snapshot_new();
	(void)state;
	add_route(s, 253, "0.0.0.0/0", 5, ROUTE_UNICAST, 0);
	assert_link(s, "192.0.2.1", NULL, 5);
	add_route(s, 254, "0.0.0.0/0", 6, ROUTE_UNICAST, 999);
	assert_link(s, "192.0.2.1", NULL, 6);
	snapshot_free(s);
}

static void rules_choose_tables_by_source(void **state)
{
	struct snapshot *s = typical();
	(void)state;
	add_rule(s, 1000, 1, 100)->src = prefix_of("10.5.0.0/16");
	assert_link(s, "192.0.2.1", "10.5.0.1", 9);
	assert_link(s, "192.0.2.1", "10.6.0.1", 1);
	assert_link(s, "192.0.2.1", NULL, 1); /* no source chosen yet: a rule on sources does not match */
	snapshot_free(s);
}

static void rules_are_taken_by_priority(void **state)
{
	struct snapshot *s = typical();
	(void)state;
	add_rule(s, 2000, 6, 0)->dst = prefix_of("192.0.2.0/24");
	assert_int_equal(snapshot_route(s, ip_of("192.0.2.1"), ip_of(NULL))->type, ROUTE_BLACKHOLE);
	assert_link(s, "192.0.3.1", NULL, 1);
	add_rule(s, 1000, 1, 100)->dst = prefix_of("192.0.2.0/24"); /* listed later, asked earlier */
	assert_link(s, "192.0.2.1", NULL, 9);
	snapshot_free(s);
}

static void refusing_rules_answer_by_themselves(void **state)
{
	struct snapshot *s = typical();
	struct policy_rule *r = add_rule(s, 10, 7, 0);
	(void)state;
	assert_int_equal(snapshot_route(s, ip_of("10.1.2.3"), ip_of(NULL))->type, ROUTE_UNREACHABLE);
	r->action = 8;
	assert_int_equal(snapshot_route(s, ip_of("10.1.2.3"), ip_of(NULL))->type, ROUTE_PROHIBIT);
	assert_link(s, "fe80::1", NULL, 4); /* the rule is of the other family */
	r->priority = 40000;                /* behind table main: too late where main has a route */
	assert_link(s, "10.9.9.9", NULL, 2);
	snapshot_free(s);
}

static void rules_for_marks_and_interfaces_do_not_apply(void **state)
{
	struct snapshot *s = typical();
	(void)state;
	add_rule(s, 10, 6, 0)->fwmark = 1;
	strcpy(add_rule(s, 11, 6, 0)->iif, "eth1");
	strcpy(add_rule(s, 12, 6, 0)->oif, "eth1");
	assert_link(s, "10.9.9.9", NULL, 2);
	snapshot_free(s);
}

static void a_table_without_the_route_is_passed(void **state)
{
	struct snapshot *s = typical();
	(void)state;
	add_rule(s, 10, 1, 77); /* an empty table */
	assert_link(s, "10.9.9.9", NULL, 2);
	add_route(s, 77, "10.0.0.0/8", 0, 9, 0); /* throw: as if it were not there */
	assert_link(s, "10.9.9.9", NULL, 2);
	snapshot_free(s);
}

/* ---- facts ---- */

static struct snapshot *machine(void)
{
	struct snapshot *s = snapshot_new();
	strcpy(s->hostname, "vm1");
	s->link_count = 2;
	s->links = mem_array(2, sizeof *s->links);
	s->links[0] = (struct link){.index = 2, .name = "br0", .kind = "bridge", .mtu = 1500, .up = true, .carrier = true};
	s->links[1] = (struct link){.index = 3,
	                            .name = "eth0",
	                            .mtu = 9000,
	                            .up = true,
	                            .master = 2,
	                            .port = true,
	                            .port_state = PORT_FORWARDING,
	                            .mac.b = {2, 0, 0, 0, 0, 1}};
	s->addr_count = 1;
	s->addrs = mem_array(1, sizeof *s->addrs);
	s->addrs[0] = (struct addr){.link = 2, .prefix = prefix_of("10.0.0.1/24"), .tentative = true};
	add_route(s, 254, "0.0.0.0/0", 2, ROUTE_UNICAST, 100);
	s->routes[0].gateway = ip_of("10.0.0.254");
	add_route(s, 100, "10.9.0.0/16", 0, ROUTE_BLACKHOLE, 0);
	add_rule(s, 1000, 1, 100)->src = prefix_of("10.0.0.0/24");
	s->sysctl_count = 1;
	s->sysctls = mem_array(1, sizeof *s->sysctls);
	s->sysctls[0] = (struct value){"net.ipv4.ip_forward", 1};
	s->neigh_count = 1;
	s->neighs = mem_array(1, sizeof *s->neighs);
	s->neighs[0] = (struct neigh){.link = 2, .ip = ip_of("10.0.0.2"), .mac.b = {2, 0, 0, 0, 0, 2}, .state = NEIGH_STALE};
	return s;
}

/* No value: no such fact. */
static void assert_fact(const struct facts *f, const char *key, const char *value)
{
	const char *have = facts_get(f, key);
	if (!value) {
		assert_null(have);
		return;
	}
	if (!have)
		fail_msg("no fact %s", key);
	assert_string_equal(have, value);
}

/* A machine with links below links. */
static struct snapshot *stacked(void)
{
	static const struct link links[] = {
	    {.index = 1,
	     .name = "eth0",
	     .driver = "virtio_net",
	     .driver_version = "1.0.0",
	     .offloads_known = true,
	     .offloads = OFFLOAD_TSO | OFFLOAD_GRO,
	     .rx_queues = 4,
	     .tx_queues = 4,
	     .speed = 10000,
	     .rx_dropped = 3},
	    {.index = 2, .name = "eth0.7", .kind = "vlan", .parent = 1, .vlan = 7, .driver = "802.1Q VLAN Support", .speed = 10000},
	    {.index = 3,
	     .name = "v0",
	     .kind = "veth",
	     .parent = 1,
	     .parent_elsewhere = true,
	     .offloads_known = true,
	     .rx_queues = 1},
	    {.index = 4, .name = "mt0", .kind = "macvtap", .parent = 1, .mode = "bridge"},
	    {.index = 5, .name = "bond0", .kind = "bond", .mode = "active-backup", .active = 1},
	    {.index = 6, .name = "vx0", .kind = "vxlan", .parent = 5, .vni = 100, .vx_port = 4789},
	};
	struct snapshot *s = snapshot_new();
	s->link_count = sizeof links / sizeof *links;
	s->links = memcpy(mem_array(s->link_count, sizeof *links), links, sizeof links);
	s->links[5].vx_remote = ip_of("192.0.2.1");
	s->vlan_count = 2;
	s->vlans = mem_array(2, sizeof *s->vlans);
	s->vlans[0] = (struct port_vlan){.link = 3, .vid = 1, .last = 1, .pvid = true, .untagged = true};
	s->vlans[1] = (struct port_vlan){.link = 3, .vid = 10, .last = 19};
	s->text_count = 1;
	s->texts = mem_array(1, sizeof *s->texts);
	s->texts[0] = (struct text){"clock.source", "tsc"};
	s->fdb_count = 1;
	s->fdbs = mem_array(1, sizeof *s->fdbs);
	s->fdbs[0] = (struct fdb){.bridge = 6, .port = 6, .mac.b = {2}, .remote = ip_of("192.0.2.9")};
	return s;
}

static void links_below_links(void **state)
{
	static const char *const rows[][2] = {
	    {"link.eth0.parent", NULL},
	    {"link.eth0.driver", "virtio_net 1.0.0"},
	    {"link.eth0.offloads", "tso gro"},
	    {"link.eth0.queues", "4 in, 4 out"},
	    {"link.eth0.speed", "10000 Mbit/s"},
	    {"link.eth0.7.parent", "eth0"},
	    {"link.eth0.7.vlan", "7"},
	    {"link.eth0.7.speed", NULL}, /* the device's below */
	    {"link.v0.parent", "elsewhere"},
	    {"link.v0.offloads", "none"},
	    {"link.v0.queues", NULL},
	    {"link.v0.vlan", NULL},
	    {"link.mt0.mode", "bridge"},
	    {"link.bond0.active", "eth0"},
	    {"link.vx0.vxlan.vni", "100"},
	    {"link.vx0.vxlan.port", "4789"},
	    {"link.vx0.vxlan.remote", "192.0.2.1"},
	    {"link.vx0.vxlan.local", NULL},
	    {"vlan.v0.1", "pvid untagged"},
	    {"vlan.v0.10-19", "tagged"},
	    {"clock.source", "tsc"},
	    {"fdb.vx0.02:00:00:00:00:00", NULL},
	    {"counter.link.eth0.rx_dropped", NULL},
	};
	struct snapshot *s = stacked();
	struct facts f = facts_of(s);
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		assert_fact(&f, rows[i][0], rows[i][1]);
	facts_free(&f);
	f = facts_of_all(s);
	assert_fact(&f, "fdb.vx0.02:00:00:00:00:00", "own remote 192.0.2.9");
	assert_fact(&f, "counter.link.eth0.rx_dropped", "3");
	assert_fact(&f, "counter.link.eth0.rx_packets", "0");
	assert_fact(&f, "counter.link.eth0.tx_dropped", NULL); /* nothing to say */
	facts_free(&f);
	snapshot_free(s);
}

/* A new link is a change; that it has a driver and sysctls is none, and neither is a reading that failed. */
static void what_accompanies_a_link_is_no_change(void **state)
{
	struct snapshot *before = stacked(), *after = stacked();
	struct fact_change *changes;
	size_t vxlan = 0;
	(void)state;
	before->link_count = 5;
	before->links[0].offloads_known = false;
	before->text_count = 0;
	before->links[3].mode[0] = '\0';
	after->links[0].rx_queues = 2;
	after->sysctl_count = 1;
	after->sysctls = mem_array(1, sizeof *after->sysctls);
	after->sysctls[0] = (struct value){"net.ipv4.conf.vx0.rp_filter", 1};
	struct facts was = facts_of(before), now = facts_of(after);
	size_t count = facts_diff(&was, &now, (struct wall){1}, &changes);
	for (size_t i = 0; i < count; i++)
		if (strncmp(changes[i].key, "link.vx0.", 9) == 0)
			vxlan++;
		else
			assert_string_equal(changes[i].key, "link.eth0.queues");
	assert_true(vxlan >= 5 && count == vxlan + 1);
	assert_string_equal(changes[0].was, "4 in, 4 out");
	fact_changes_free(changes, count);
	facts_free(&was);
	facts_free(&now);
	snapshot_free(before);
	snapshot_free(after);
}

static void add_chain(struct snapshot *s, const char *rule)
{
	s->firewall_known = FW_READ;
	s->chain_count = 1;
	s->chains = mem_array(1, sizeof *s->chains);
	s->chains[0] = (struct fw_chain){.family = "inet", .table = "filter", .name = "input", .hook = "input", .policy = FW_DROP};
	s->chains[0].rule_count = 1;
	s->chains[0].rules = mem_array(1, sizeof *s->chains[0].rules);
	str_copy(s->chains[0].rules[0].text, sizeof s->chains[0].rules[0].text, rule);
}

static void a_machine_becomes_keys_and_values(void **state)
{
	struct snapshot *s = machine();
	add_chain(s, "ct state established accept");
	struct facts f = facts_of(s);
	(void)state;
	assert_fact(&f, "link.eth0.mtu", "9000");
	assert_fact(&f, "link.eth0.mac", "02:00:00:00:00:01");
	assert_fact(&f, "link.eth0.admin", "up");
	assert_fact(&f, "link.eth0.carrier", "off");
	assert_fact(&f, "link.eth0.master", "br0");
	assert_fact(&f, "link.br0.kind", "bridge");
	assert_fact(&f, "port.eth0.state", "forwarding");
	assert_fact(&f, "addr.br0.10.0.0.1/24", "present");
	assert_fact(&f, "route.4.default", "unicast via 10.0.0.254 dev br0 metric 100");
	assert_fact(&f, "route.4.100.10.9.0.0/16", "blackhole");
	assert_fact(&f, "rule.4.1000", "from 10.0.0.0/24 lookup 100");
	assert_fact(&f, "sysctl.net.ipv4.ip_forward", "1");
	assert_fact(&f, "firewall.inet.filter.input", "hook input priority 0 policy drop: ct state established accept");
	assert_null(facts_get(&f, "neigh.br0.10.0.0.2"));
	facts_free(&f);
	f = facts_of_all(s);
	assert_fact(&f, "neigh.br0.10.0.0.2", "02:00:00:00:00:02 stale");
	facts_free(&f);
	snapshot_free(s);
}

static void one_key_holds_all_its_values_once(void **state)
{
	struct snapshot *s = snapshot_new();
	(void)state;
	add_route(s, 254, "10.0.0.0/8", 0, ROUTE_UNICAST, 2);
	add_route(s, 254, "10.0.0.0/8", 0, ROUTE_UNICAST, 1);
	add_route(s, 254, "10.0.0.0/8", 0, ROUTE_UNICAST, 2);
	struct facts f = facts_of(s);
	assert_fact(&f, "route.4.10.0.0.0/8", "unicast metric 1; unicast metric 2");
	facts_free(&f);
	snapshot_free(s);
}

static void what_changed_and_only_that_is_told(void **state)
{
	struct snapshot *s = machine();
	struct facts was = facts_of(s), now;
	struct fact_change *changes;
	(void)state;
	s->neighs[0].state = NEIGH_FAILED;
	s->addrs[0].tentative = false;
	s->links[1].rx_packets = 99;
	now = facts_of(s);
	assert_true(facts_digest(&was) == facts_digest(&now));
	assert_int_equal(facts_diff(&was, &now, (struct wall){7}, &changes), 0);
	fact_changes_free(changes, 0);
	facts_free(&now);

	s->links[1].mtu = 1400;
	s->addr_count = 0;
	add_route(s, 254, "10.8.0.0/16", 3, ROUTE_UNICAST, 0);
	now = facts_of(s);
	assert_true(facts_digest(&was) != facts_digest(&now));
	assert_int_equal(facts_diff(&was, &now, (struct wall){7}, &changes), 3);
	assert_string_equal(changes[0].key, "addr.br0.10.0.0.1/24");
	assert_string_equal(changes[0].was, "present");
	assert_null(changes[0].now);
	assert_string_equal(changes[1].key, "link.eth0.mtu");
	assert_string_equal(changes[1].now, "1400");
	assert_null(changes[2].was);
	assert_int_equal(changes[2].at.ns, 7);
	fact_changes_free(changes, 3);
	facts_free(&was);
	facts_free(&now);
	snapshot_free(s);
}

static void a_ruleset_not_read_is_not_a_ruleset_removed(void **state)
{
	struct snapshot *s = machine();
	struct fact_change *changes;
	(void)state;
	add_chain(s, "drop");
	struct facts was = facts_of(s);
	s->firewall_known = FW_NOT_READ;
	struct facts now = facts_of(s);
	assert_int_equal(facts_diff(&was, &now, (struct wall){1}, &changes), 0);
	fact_changes_free(changes, 0);
	assert_int_equal(facts_diff(&now, &was, (struct wall){1}, &changes), 0);
	fact_changes_free(changes, 0);
	facts_free(&now);
	s->firewall_known = FW_READ;
	str_copy(s->chains[0].rules[0].text, 8, "accept");
	now = facts_of(s);
	assert_int_equal(facts_diff(&was, &now, (struct wall){1}, &changes), 1);
	fact_changes_free(changes, 1);
	facts_free(&was);
	facts_free(&now);
	snapshot_free(s);
}

/* A change beyond the length of a value still shows. */
static void a_long_ruleset_still_differs_at_its_end(void **state)
{
	struct snapshot *s = machine();
	(void)state;
	add_chain(s, "accept");
	struct fw_chain *c = &s->chains[0];
	c->rule_count = 100;
	c->rules = mem_resize(c->rules, c->rule_count, sizeof *c->rules);
	memset(c->rules, 0, c->rule_count * sizeof *c->rules);
	for (size_t i = 0; i < c->rule_count; i++)
		strcpy(c->rules[i].text, "ip saddr 10.0.0.0/24 accept");
	struct facts was = facts_of(s);
	strcpy(c->rules[99].text, "drop");
	struct facts now = facts_of(s);
	const char *a = facts_get(&was, "firewall.inet.filter.input"), *b = facts_get(&now, "firewall.inet.filter.input");
	assert_true(strlen(a) < FACT_VALUE_MAX && strlen(b) < FACT_VALUE_MAX);
	assert_string_not_equal(a, b);
	facts_free(&was);
	facts_free(&now);
	snapshot_free(s);
}

static void an_empty_machine_has_hardly_any_facts(void **state)
{
	struct snapshot *s = snapshot_new();
	struct facts f = facts_of(s), none = {0};
	struct fact_change *changes;
	(void)state;
	assert_null(facts_get(&none, "anything"));
	assert_int_equal(facts_diff(&none, &none, (struct wall){0}, &changes), 0);
	assert_non_null(facts_get(&f, "system.hostname"));
	facts_free(&f);
	facts_free(&none);
	snapshot_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_longest_prefix_wins),
	    cmocka_unit_test(of_equal_prefixes_the_lower_metric_wins),
	    cmocka_unit_test(table_default_is_asked_last),
	    cmocka_unit_test(rules_choose_tables_by_source),
	    cmocka_unit_test(rules_are_taken_by_priority),
	    cmocka_unit_test(refusing_rules_answer_by_themselves),
	    cmocka_unit_test(rules_for_marks_and_interfaces_do_not_apply),
	    cmocka_unit_test(a_table_without_the_route_is_passed),
	    cmocka_unit_test(a_machine_becomes_keys_and_values),
	    cmocka_unit_test(one_key_holds_all_its_values_once),
	    cmocka_unit_test(what_changed_and_only_that_is_told),
	    cmocka_unit_test(a_ruleset_not_read_is_not_a_ruleset_removed),
	    cmocka_unit_test(a_long_ruleset_still_differs_at_its_end),
	    cmocka_unit_test(an_empty_machine_has_hardly_any_facts),
	    cmocka_unit_test(links_below_links),
	    cmocka_unit_test(what_accompanies_a_link_is_no_change),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
