/* evidence: the statements themselves: names, documentation, and the corners that no whole scenario shows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "collector/dropped.h"
#include "tests/unit/case_world.h"

static const struct evidence_table *const tables[] = {&evidence_place, &evidence_filter, &evidence_address,
                                                      &evidence_neigh, &evidence_link,   &evidence_agent,
                                                      &evidence_drops, &evidence_vlan,   &evidence_route};
#define TABLES (sizeof tables / sizeof *tables)

static void every_one_is_documented_once(void **state)
{
	(void)state;
	for (size_t t = 0; t < TABLES; t++) {
		for (size_t i = 0; i < tables[t]->count; i++) {
			const struct evidence *e = &tables[t]->items[i];
			assert_true(e->doc[0] && e->reads[0]);
			assert_ptr_equal(evidence_find(e->name), e); /* the first of that name */
			assert_string_equal(evidence_doc(e->name), e->doc);
		}
	}
	assert_null(evidence_doc("no-such-thing"));
}

static struct finding ask(struct world *w, size_t problem, const char *who, const char *name, struct bindings *b)
{
	struct problem p[PROBLEMS_MAX];
	struct hits *h = mem_alloc(sizeof *h);
	struct finding f = {.is = TRI_NO};
	assert_true(problems_find(w->d, w->v, p, PROBLEMS_MAX) > problem);
	hits_find(w->d, w->v, &p[problem], h);
	struct inquiry q = {.d = w->d,
	                    .v = w->v,
	                    .p = &p[problem],
	                    .hits = h,
	                    .src = dir_src(p[problem].dir),
	                    .dst = dir_dst(p[problem].dir),
	                    .who = party(w, who),
	                    .learned = b};
	evidence_find(name)->find(&q, &f);
	free(h);
	return f;
}

/* Nothing that evidence says depends on facts being there: without them it is unknown or no, never a crash or a yes. */
static void without_facts_nothing_is_claimed(void **state)
{
	static const char *const may[] = {"is-guest", "is-host", "kernel-answers", "agent-answers", "agent-refused", NULL};
	(void)state;
	struct world *w = world_new("h1", "g1");
	cut(w, "h1", "h1:br0", "h1:v1", ALL, 0);
	silence(w, "h1");
	silence(w, "g1");
	for (size_t t = 1; t < TABLES; t++) {
		for (size_t i = 0; i < tables[t]->count; i++) {
			struct bindings b = {0};
			const char *const *m = may;
			const struct finding f = ask(w, 0, "g1", tables[t]->items[i].name, &b);
			while (*m && strcmp(*m, tables[t]->items[i].name))
				m++;
			assert_true(*m || f.is != TRI_YES);
			bindings_free(&b);
		}
	}
	world_free(w);
}

static void a_partial_rule_explains_partial_loss(void **state)
{
	(void)state;
	for (int partial = 0; partial < 2; partial++) {
		struct bindings b = {0};
		struct world *w = world_new("h1", "g1");
		struct fw_chain *c = add_chain(facts(w, "g1"), "inet", "f", "in", "input", FW_ACCEPT);
		match_number(add_rule(c, FW_DROP, "numgen random mod 10 < 3 drop"), FW_RANDOM, 0, 0);
		cut(w, "h1", "g1:eth0", "g1:socket", K(UDP), 0)->partial = partial;
		assert_int_equal(ask(w, 0, "g1", "filter-drops", &b).is, partial ? TRI_YES : TRI_UNKNOWN);
		bindings_free(&b);
		world_free(w);
	}
}

static void a_counter_that_grew_settles_a_doubt(void **state)
{
	struct bindings b = {0};
	struct world *w = world_new("h1", "g1");
	struct fw_rule *r = add_rule(add_chain(facts(w, "g1"), "inet", "f", "in", "input", FW_ACCEPT), FW_DROP, "@blocked drop");
	(void)state;
	match_number(r, FW_UNKNOWN, 0, 0);
	r->has_counter = true;
	w->old[party(w, "g1")] = snapshot_copy(facts(w, "g1"));
	w->d->party[party(w, "g1")].before = w->old[party(w, "g1")];
	cut(w, "h1", "g1:eth0", "g1:socket", K(UDP), 0);
	assert_int_equal(ask(w, 0, "g1", "filter-drops", &b).is, TRI_UNKNOWN);
	r->packets = 3;
	assert_int_equal(ask(w, 0, "g1", "filter-drops", &b).is, TRI_YES);
	bindings_free(&b);
	world_free(w);
}

static void the_kernels_word_stands_for_unreadable_rules(void **state)
{
	struct bindings b = {0};
	struct world *w = world_new("h1", "g1");
	(void)state;
	facts(w, "g1")->firewall_known = FW_NO_RIGHTS;
	cut(w, "h1", "g1:eth0", "g1:socket", K(UDP), 0);
	assert_int_equal(ask(w, 0, "g1", "filter-drops", &b).is, TRI_UNKNOWN);
	says(w, "g1", "h1", false, K(UDP), "NETFILTER_DROP", "nft_do_chain", "eth0");
	assert_int_equal(ask(w, 0, "g1", "filter-drops", &b).is, TRI_YES);
	bindings_free(&b);
	world_free(w);
}

static void what_a_kernel_says_is_three_valued(void **state)
{
	static const struct {
		const char *evidence, *reason, *place;
	} rows[] = {
	    {"drop-reason-filter", "NETFILTER_DROP", "nft_do_chain"},
	    {"drop-reason-rpfilter", "IP_RPFILTER", "ip_rcv_finish_core"},
	    {"drop-reason-no-route", "IP_INNOROUTES", "ip_error"},
	    {"drop-reason-no-route", "NOT_SPECIFIED", "ip_error"},
	    {"drop-reason-address", "IP_INADDRERRORS", "ip_error"},
	    {"drop-reason-neighbour", "NEIGH_FAILED", "neigh_invalidate"},
	    {"drop-reason-neighbour", "NOT_SPECIFIED", "neigh_invalidate"},
	    {"drop-reason-otherhost", "OTHERHOST", "ip_rcv_core"},
	    {"drop-reason-checksum", "UDP_CSUM", "__udp4_lib_rcv"},
	    {"drop-reason-checksum", "IP_CSUM", "ip_rcv_core"},
	    {"drop-reason-size", "PKT_TOO_BIG", "ip_forward"},
	    {"drop-reason-size", "NOT_SPECIFIED", "__dev_forward_skb2"},
	    {"drop-reason-size", "NOT_SPECIFIED", "br_dev_queue_push_xmit"},
	    {"drop-reason-no-socket", "NO_SOCKET", "__udp4_lib_rcv"},
	    {"drop-reason-ring", "FULL_RING", "tun_net_xmit"},
	    {"drop-reason-buffer", "SOCKET_RCVBUFF", "udp_queue_rcv_one_skb"},
	    {"drop-reason-queue", "QDISC_DROP", "__dev_queue_xmit"},
	    {"drop-reason-port-state", "BRIDGE_INGRESS_STP_STATE", "br_handle_frame"},
	    {"drop-reason-no-port", "NO_TX_TARGET", "br_handle_frame_finish"},
	    {"drop-reason-ipv6-off", "IPV6DISABLED", "ip6_rcv_core"},
	    {"drop-reason-program", "TC_EGRESS", "__dev_queue_xmit"},
	    {"drop-reason-program", "XDP", ""},
	    {"drop-reason-tunnel", "VXLAN_VNI_NOT_FOUND", "vxlan_rcv"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct bindings b = {0};
		struct world *w = world_new("h1", "g1");
		cut(w, "h1", "g1:eth0", "g1:socket", K(UDP) | K(TCP), 0);
		assert_int_equal(ask(w, 0, "g1", rows[i].evidence, &b).is, TRI_UNKNOWN);
		says(w, "g1", "h1", false, K(UDP), rows[i].reason, rows[i].place, "eth0");
		struct finding f = ask(w, 0, "g1", rows[i].evidence, &b);
		assert_int_equal(f.is, TRI_YES);
		assert_int_equal(f.kinds, K(UDP));
		assert_non_null(strstr(f.text, rows[i].reason));
		says(w, "g1", "h1", false, K(TCP), rows[i].reason, rows[i].place, "eth0");
		const char *other = strcmp(rows[i].evidence, "drop-reason-ring") ? "drop-reason-ring" : "drop-reason-size";
		bool named = dropped_weight(rows[i].reason, rows[i].place) == DROP_NAMED;
		assert_int_equal(ask(w, 0, "g1", other, &b).is, named ? TRI_NO : TRI_UNKNOWN);
		bindings_free(&b);
		world_free(w);
	}
}

static void the_text_says_who_and_where(void **state)
{
	struct bindings b = {0};
	struct world *w = world_new("h1", "g1");
	struct fw_chain *c = add_chain(facts(w, "g1"), "inet", "quick", "c", "input", FW_ACCEPT);
	(void)state;
	add_rule(c, FW_DROP, "icmp type echo-request drop");
	cut(w, "h1", "g1:eth0", "g1:socket", ICMP4, 0);
	says(w, "g1", "h1", false, ICMP4, "NETFILTER_DROP", "nft_do_chain", "eth0");
	traces(w, "g1", "h1", ICMP4, c, 1, FW_DROP);
	assert_string_equal(ask(w, 0, "g1", "drop-reason-filter", &b).text,
	                    "the kernel of g1 dropped it: NETFILTER_DROP in nft_do_chain at eth0");
	assert_string_equal(ask(w, 0, "g1", "filter-drops", &b).text,
	                    "the rule on g1 that dropped it: inet quick c handle 1: icmp type echo-request drop (seen by tracing)");
	assert_int_equal(ask(w, 0, "g1", "drop-not-by-filter", &b).is, TRI_NO);
	bindings_free(&b);
	world_free(w);
}

/* A rule behind the place where the packets die has nothing to do with it. */
static void only_rules_on_the_stretch_count(void **state)
{
	struct bindings b = {0};
	struct world *w = world_new("g1", "h1");
	(void)state;
	add_chain(facts(w, "h1"), "inet", "f", "in", "input", FW_DROP);
	cut(w, "g1", "h1:v1", "h1:br0", IP4, 0);
	assert_int_equal(ask(w, 0, "h1", "filter-stops", &b).is, TRI_NO);
	world_free(w);
	w = world_new("g1", "h1");
	add_chain(facts(w, "h1"), "inet", "f", "in", "input", FW_DROP);
	cut(w, "g1", "h1:v1", "h1:socket", IP4, 0); /* nobody looked at the bridge */
	assert_int_equal(ask(w, 0, "h1", "filter-stops", &b).is, TRI_YES);
	bindings_free(&b);
	world_free(w);
}

static void waiting_conversations_go_with_their_neighbour(void **state)
{
	struct problem p[PROBLEMS_MAX];
	struct world *w = world_new("h1", "g1");
	(void)state;
	cut(w, "g1", "g1:socket", "g1:eth0", 0, K(ARP));
	fails(w, "h1", K(ARP) | IP4, CELL_LOST);
	assert_int_equal(problems_find(w->d, w->v, p, PROBLEMS_MAX), 2);
	unresolved(w, "h1", IP4);
	assert_int_equal(problems_find(w->d, w->v, p, PROBLEMS_MAX), 1);
	assert_int_equal(p[0].answers, K(ARP));
	assert_int_equal(p[0].starts, IP4);
	world_free(w);
}

static void templates(void **state)
{
	struct bindings b = {0};
	(void)state;
	bindings_add(&b, "one", "1");
	bindings_add(&b, "many", "a");
	bindings_add(&b, "many", "b");
	bindings_add(&b, "many", "a"); /* once each */
	static const struct {
		const char *in, *out;
	} rows[] = {{"x {one} y", "x 1 y"},
	            {"x {many} {one}", "x a 1 && x b 1"},
	            {"{ echo, reply } {one}", "{ echo, reply } 1"},
	            {"no {none}", NULL},
	            {"{many", "{many"},
	            {"plain", "plain"},
	            {"{}", "{}"}};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char *text = template_fill(rows[i].in, &b);
		if (rows[i].out)
			assert_string_equal(text, rows[i].out);
		else
			assert_null(text);
		free(text);
	}
	bindings_free(&b);
}

static struct finding ask_h1(struct world *w, const char *name)
{
	struct bindings b = {0};
	struct finding f = ask(w, 0, "h1", name, &b);
	bindings_free(&b);
	return f;
}

/* h1 routes what g1 sends from its port to its uplink: neither is in a bridge, nor belongs in one. */
static struct world *world_routing(void)
{
	struct world *w = world_new("g1", "g2");
	w->d->onlink = false;
	link_named(w, "h1", "v1")->master = link_named(w, "h1", "up0")->master = 0;
	for (size_t i = 0; i < w->d->party_count; i++)
		w->d->party[i].at.bridge[0] = '\0';
	cut(w, "g1", "h1:v1", "h1:up0", IP4, 0);
	return w;
}

static void a_router_is_asked_what_it_does_with_packets(void **state)
{
	(void)state;
	struct world *w = world_routing();
	add_sysctl(facts(w, "h1"), "net.ipv4.ip_forward", 1);
	assert_int_equal(ask_h1(w, "lost-routing").is, TRI_YES);
	assert_int_equal(ask_h1(w, "forwarding-off").is, TRI_NO);
	assert_int_equal(ask_h1(w, "router-refuses").is, TRI_NO);
	add_sysctl(facts(w, "h1"), "net.ipv4.conf.v1.forwarding", 0);
	struct finding f = ask_h1(w, "forwarding-off");
	assert_int_equal(f.is, TRI_YES);
	assert_non_null(strstr(f.text, "net.ipv4.conf.v1.forwarding"));
	add_route(facts(w, "h1"), ROUTE_PROHIBIT, "10.0.0.12/32", NULL, 0);
	f = ask_h1(w, "router-refuses");
	assert_int_equal(f.is, TRI_YES);
	assert_true(f.kinds & K(UDP) && !(f.kinds & K(ARP)));
	world_free(w);
}

/* A port that fell out of its bridge routes nothing, nor does anybody between two on one segment. */
static void a_port_that_belongs_in_a_bridge_is_no_router(void **state)
{
	(void)state;
	struct world *w = world_routing();
	add_sysctl(facts(w, "h1"), "net.ipv4.ip_forward", 0);
	w->d->onlink = true;
	assert_int_equal(ask_h1(w, "lost-routing").is, TRI_NO);
	w->d->onlink = false;
	assert_int_equal(ask_h1(w, "lost-routing").is, TRI_YES);
	str_copy(w->d->party[PARTY_A].at.bridge, IFNAME_LEN, "br0");
	assert_int_equal(ask_h1(w, "lost-routing").is, TRI_NO);
	assert_int_equal(ask_h1(w, "forwarding-off").is, TRI_NO);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_router_is_asked_what_it_does_with_packets),
	    cmocka_unit_test(a_port_that_belongs_in_a_bridge_is_no_router),
	    cmocka_unit_test(every_one_is_documented_once),
	    cmocka_unit_test(without_facts_nothing_is_claimed),
	    cmocka_unit_test(a_partial_rule_explains_partial_loss),
	    cmocka_unit_test(a_counter_that_grew_settles_a_doubt),
	    cmocka_unit_test(the_kernels_word_stands_for_unreadable_rules),
	    cmocka_unit_test(what_a_kernel_says_is_three_valued),
	    cmocka_unit_test(the_text_says_who_and_where),
	    cmocka_unit_test(only_rules_on_the_stretch_count),
	    cmocka_unit_test(waiting_conversations_go_with_their_neighbour),
	    cmocka_unit_test(templates),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
