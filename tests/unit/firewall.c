/* Recorded rulesets (tests/golden/nft) and what becomes of them. */
#include "agent/facts/fw_model.h"
#include "agent/facts/nft.h"
#include "proto/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <linux/netfilter/xt_conntrack.h>
#include <linux/netfilter/xt_multiport.h>

#define GOLDEN "tests/golden/nft/"

static char *file_text(const char *path)
{
	struct buf b = {0};
	char chunk[4096];
	size_t got;
	FILE *f = fopen(path, "re");

	assert_non_null(f);
	while ((got = fread(chunk, 1, sizeof chunk, f)) > 0)
		buf_add(&b, chunk, got);
	fclose(f);
	buf_add(&b, "", 1);
	return b.data;
}

static struct fw_model golden_xt(const char *name, const struct xt_rules *xt)
{
	char path[128];
	struct fw_model m = {0};
	struct err e = {{0}};
	char *json, *text;

	snprintf(path, sizeof path, GOLDEN "%s.json", name);
	json = file_text(path);
	snprintf(path, sizeof path, GOLDEN "%s.txt", name);
	text = file_text(path);
	assert_int_equal(fw_model_read(&m, json, text, xt, &e), 0);
	free(json);
	free(text);
	return m;
}

static struct fw_model golden(const char *name) { return golden_xt(name, NULL); }

static const struct fw_chain *chain(const struct fw_model *m, const char *family, const char *table, const char *name)
{
	for (size_t i = 0; i < m->chain_count; i++)
		if (!strcmp(m->chains[i].family, family) && !strcmp(m->chains[i].table, table) && !strcmp(m->chains[i].name, name))
			return &m->chains[i];
	fail_msg("no chain %s %s %s", family, table, name);
	return NULL;
}

static const struct fw_rule *rule(const struct fw_chain *c, uint64_t handle, size_t nth)
{
	for (size_t i = 0; i < c->rule_count; i++)
		if (c->rules[i].handle == handle && nth-- == 0)
			return &c->rules[i];
	fail_msg("no rule %lu in %s", (unsigned long)handle, c->name);
	return NULL;
}

static const struct fw_match *match(const struct fw_rule *r, enum fw_field field)
{
	for (size_t i = 0; i < r->match_count; i++)
		if (r->matches[i].field == field)
			return &r->matches[i];
	fail_msg("no field %d in \"%s\"", (int)field, r->text);
	return NULL;
}

static bool has(const struct fw_rule *r, enum fw_field field)
{
	for (size_t i = 0; i < r->match_count; i++)
		if (r->matches[i].field == field)
			return true;
	return false;
}

static void assert_number(const struct fw_rule *r, enum fw_field field, uint64_t lo, uint64_t hi)
{
	const struct fw_match *m = match(r, field);

	assert_int_equal(m->value_count, 1);
	assert_int_equal(m->values[0].lo, lo);
	assert_int_equal(m->values[0].hi, hi);
}

static void assert_prefix(const struct fw_value *v, const char *text)
{
	char out[PREFIX_TEXT_MAX];

	assert_string_equal(prefix_format(v->prefix, out), text);
}

static void chains_carry_hook_policy_and_device(void **state)
{
	struct fw_model m = golden("native");
	const struct fw_chain *in = chain(&m, "inet", "t", "in"), *sub = chain(&m, "inet", "t", "sub"),
	                      *dev = chain(&m, "netdev", "nd", "ing");

	(void)state;
	assert_string_equal(in->hook, "input");
	assert_string_equal(in->type, "filter");
	assert_int_equal(in->policy, FW_DROP);
	assert_int_equal(in->priority, 0);
	assert_string_equal(sub->hook, "");
	assert_int_equal(sub->policy, FW_ACCEPT);
	assert_string_equal(dev->device, "lo");
	assert_int_equal(chain(&m, "bridge", "b", "f")->priority, -200);
	fw_model_free(&m);
}

static void connection_states_are_bits(void **state)
{
	struct fw_model m = golden("native");
	const struct fw_chain *in = chain(&m, "inet", "t", "in");
	const struct fw_match *ct = match(rule(in, 6, 0), FW_CT_STATE);

	(void)state;
	assert_int_equal(ct->value_count, 2);
	assert_int_equal(ct->values[0].lo | ct->values[1].lo, FW_CT_ESTABLISHED | FW_CT_RELATED);
	assert_true(has(rule(in, 38, 0), FW_UNKNOWN)); /* "!= invalid | new" means nothing anybody wants */
	fw_model_free(&m);
}

static void a_verdict_map_becomes_a_rule_per_element(void **state)
{
	struct fw_model m = golden("native");
	const struct fw_chain *in = chain(&m, "inet", "t", "in");

	(void)state;
	assert_number(rule(in, 8, 0), FW_CT_STATE, FW_CT_INVALID, FW_CT_INVALID);
	assert_int_equal(rule(in, 8, 0)->verdict, FW_DROP);
	assert_int_equal(rule(in, 8, 1)->verdict, FW_NONE);
	assert_number(rule(in, 16, 0), FW_DPORT, 22, 22); /* of the named map */
	assert_int_equal(rule(in, 16, 0)->verdict, FW_ACCEPT);
	assert_int_equal(rule(in, 16, 1)->verdict, FW_DROP);
	assert_number(rule(in, 16, 1), FW_L4PROTO, 6, 6);
	assert_int_equal(rule(in, 41, 1)->verdict, FW_JUMP);
	assert_string_equal(rule(in, 41, 1)->target, "sub");
	assert_prefix(&match(rule(in, 41, 1), FW_SADDR)->values[0], "10.0.0.0/8");
	assert_prefix(&match(rule(in, 41, 1), FW_DADDR)->values[0], "3.3.3.3/32");
	fw_model_free(&m);
}

static void sets_ranges_and_prefixes_are_resolved(void **state)
{
	struct fw_model m = golden("native");
	const struct fw_chain *in = chain(&m, "inet", "t", "in");
	const struct fw_match *named = match(rule(in, 9, 0), FW_SADDR), *not = match(rule(in, 12, 0), FW_SADDR);
	char end[IP_TEXT_MAX];

	(void)state;
	assert_int_equal(named->value_count, 3);
	assert_prefix(&named->values[0], "10.0.0.0/8");
	assert_string_equal(ip_format(named->values[1].range_end, end), "172.16.0.9");
	assert_true(not ->negate);
	assert_int_equal(match(rule(in, 12, 0), FW_DPORT)->values[1].hi, 90);
	assert_number(rule(in, 12, 0), FW_NFPROTO, 2, 2);
	assert_string_equal(match(rule(in, 9, 0), FW_IIF)->values[0].text, "eth*");
	assert_int_equal(rule(in, 9, 0)->packets, 5);
	assert_true(rule(in, 9, 0)->has_counter);
	fw_model_free(&m);
}

static void protocols_are_implied(void **state)
{
	struct fw_model m = golden("native");
	const struct fw_chain *in = chain(&m, "inet", "t", "in"), *f = chain(&m, "bridge", "b", "f");

	(void)state;
	assert_number(rule(in, 13, 0), FW_L4PROTO, 1, 1);
	assert_number(rule(in, 13, 0), FW_ICMP_TYPE, 8, 8);
	assert_number(rule(in, 13, 0), FW_RANDOM, 10, 10); /* 5 a second and a burst of 5 */
	assert_number(rule(f, 2, 0), FW_ETHERTYPE, 0x0806, 0x0806);
	assert_number(rule(f, 2, 0), FW_ARP_OP, 2, 2);
	assert_number(rule(f, 9, 0), FW_ETHERTYPE, 0x86dd, 0x86dd);
	assert_number(rule(f, 7, 0), FW_PKTTYPE, 1, 2);
	assert_true(has(rule(f, 8, 0), FW_UNKNOWN));                              /* vlan id */
	assert_int_equal(rule(chain(&m, "arp", "a", "i"), 3, 0)->match_count, 1); /* htype 1 goes without saying */
	fw_model_free(&m);
}

static void comparisons_masks_and_rejects(void **state)
{
	struct fw_model m = golden("native");
	const struct fw_chain *in = chain(&m, "inet", "t", "in");

	(void)state;
	assert_number(rule(in, 21, 0), FW_TCP_FLAGS, 0x02, 0x12);
	assert_number(rule(in, 39, 0), FW_TCP_FLAGS, 0x02, 0x02);
	assert_number(rule(in, 25, 0), FW_PKT_LENGTH, 1001, UINT64_MAX);
	assert_true(match(rule(in, 24, 0), FW_FRAG_OFF)->negate);
	assert_true(has(rule(in, 23, 0), FW_RANDOM));
	assert_true(has(rule(in, 36, 0), FW_UNKNOWN)); /* fib */
	assert_string_equal(rule(in, 28, 0)->target, "tcp reset");
	assert_string_equal(rule(in, 27, 0)->target, "icmpx port-unreachable");
	assert_int_equal(rule(in, 29, 0)->verdict, FW_GOTO);
	assert_int_equal(rule(chain(&m, "ip", "nat", "post"), 2, 0)->verdict, FW_NAT);
	assert_int_equal(rule(in, 32, 0)->verdict, FW_NONE);
	fw_model_free(&m);
}

static void texts_are_those_of_nft(void **state)
{
	struct fw_model m = golden("native");

	(void)state;
	assert_string_equal(rule(chain(&m, "inet", "t", "in"), 9, 0)->text,
	                    "iifname \"eth*\" ip saddr @bad counter drop comment \"hello\"");
	assert_string_equal(rule(chain(&m, "arp", "a", "i"), 2, 0)->text, "arp operation request drop");
	assert_string_equal(rule(chain(&m, "ip", "nat", "post"), 2, 0)->text, "oifname \"eth0\" masquerade");
	fw_model_free(&m);
}

static void iptables_without_its_structs_stays_unknown(void **state)
{
	struct fw_model m = golden("iptables");
	const struct fw_chain *in = chain(&m, "ip", "filter", "INPUT");

	(void)state;
	assert_true(has(rule(in, 2, 0), FW_UNKNOWN));
	assert_int_equal(rule(in, 4, 0)->verdict, FW_MAYBE);
	assert_int_equal(rule(in, 3, 0)->verdict, FW_DROP);
	assert_int_equal(chain(&m, "bridge", "filter", "FORWARD")->policy, FW_DROP);
	fw_model_free(&m);
}

static struct xt_expr expr(bool target, const char *name, uint8_t revision, const void *data, size_t len)
{
	struct xt_expr x = {.target = target, .revision = revision, .len = (uint16_t)len};

	str_copy(x.name, sizeof x.name, name);
	x.data = len ? memcpy(mem_array(len, 1), data, len) : NULL;
	return x;
}

static void iptables_structs_are_understood(void **state)
{
	struct xt_conntrack_mtinfo3 ct = {.match_flags = XT_CONNTRACK_STATE, .state_mask = 0x2 | 0x8};
	struct xt_multiport_v1 ports = {.flags = XT_MULTIPORT_DESTINATION, .count = 3, .ports = {53, 67, 68}, .pflags = {0, 1, 0}};
	uint32_t with = 6; /* host-prohibited */
	struct xt_rules xt = {0};
	struct xt_rule *accept = VEC_ADD(xt.items, xt.count, xt.cap), *reject;

	(void)state;
	*accept = (struct xt_rule){.family = "ip", .table = "filter", .handle = 2};
	*VEC_ADD(accept->exprs, accept->count, accept->cap) = expr(false, "conntrack", 3, &ct, sizeof ct);
	*VEC_ADD(accept->exprs, accept->count, accept->cap) = expr(false, "comment", 0, "hi", 3);
	reject = VEC_ADD(xt.items, xt.count, xt.cap);
	*reject = (struct xt_rule){.family = "ip", .table = "filter", .handle = 4};
	*VEC_ADD(reject->exprs, reject->count, reject->cap) = expr(false, "multiport", 1, &ports, sizeof ports);
	*VEC_ADD(reject->exprs, reject->count, reject->cap) = expr(true, "REJECT", 0, &with, sizeof with);

	struct fw_model m = golden_xt("iptables", &xt);
	const struct fw_chain *in = chain(&m, "ip", "filter", "INPUT");
	const struct fw_match *dports = match(rule(in, 4, 0), FW_DPORT);

	assert_number(rule(in, 2, 0), FW_CT_STATE, FW_CT_NEW | FW_CT_ESTABLISHED, FW_CT_NEW | FW_CT_ESTABLISHED);
	assert_false(has(rule(in, 2, 0), FW_UNKNOWN));
	assert_int_equal(dports->value_count, 2);
	assert_int_equal(dports->values[1].lo, 67);
	assert_int_equal(dports->values[1].hi, 68);
	assert_int_equal(rule(in, 4, 0)->verdict, FW_REJECT);
	assert_string_equal(rule(in, 4, 0)->target, "icmp host-prohibited");
	fw_model_free(&m);
	xt_rules_free(&xt);
}

/* Structs of every decoder, cut short at every length, must not be read beyond their end. */
static void short_structs_are_unknown(void **state)
{
	static const char *const names[] = {"conntrack", "tcp",    "udp",     "multiport", "icmp", "icmp6", "iprange",
	                                    "mac",       "length", "pkttype", "arp",       "ip",   "ip6",   "REJECT"};

	(void)state;
	for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
		for (size_t len = 0; len < 200; len++) {
			uint8_t *data = mem_array(len ? len : 1, 1);
			struct xt_expr x = expr(strcmp(names[n], "REJECT") == 0, names[n], 3, memset(data, 0xff, len), len);
			struct fw_model m = {0};
			struct fw_chain *c = VEC_ADD(m.chains, m.chain_count, m.chain_cap);

			c->rules = mem_array(1, sizeof *c->rules);
			c->rule_count = 1;
			xt_decode(&x, n % 2 ? "ip6" : "bridge", &c->rules[0]);
			fw_model_free(&m);
			free(x.data);
			free(data);
		}
	}
}

static void a_model_survives_the_pipe(void **state)
{
	struct fw_model m = golden("native"), again;
	struct buf b = {0}, b2 = {0};

	(void)state;
	fw_model_encode(&m, &b);
	assert_int_equal(fw_model_decode(b.data, b.len, &again), 0);
	assert_int_equal(again.chain_count, m.chain_count);
	assert_string_equal(rule(chain(&again, "inet", "t", "in"), 9, 0)->text, rule(chain(&m, "inet", "t", "in"), 9, 0)->text);
	assert_int_equal(match(rule(chain(&again, "inet", "t", "in"), 9, 0), FW_SADDR)->value_count, 3);
	fw_model_encode(&again, &b2);
	assert_int_equal(b.len, b2.len);
	fw_model_free(&again);
	for (size_t len = 0; len < b.len; len += 7)
		assert_int_equal(fw_model_decode(b.data, len, &again), -1);
	buf_free(&b);
	buf_free(&b2);
	fw_model_free(&m);
}

static void garbage_is_an_error_or_nothing(void **state)
{
	static const char *const texts[] = {
	    "",
	    "{",
	    "[]",
	    "{\"nftables\": 5}",
	    "{\"nftables\": [{\"rule\": 7}, {\"chain\": []}, 3]}",
	    "{\"nftables\": [{\"chain\": {\"family\": \"ip\", \"table\": \"t\", \"name\": \"c\"}},"
	    "{\"rule\": {\"family\": \"ip\", \"table\": \"t\", \"chain\": \"c\", \"expr\": [1, {}, {\"match\": 1},"
	    "{\"vmap\": {}}, {\"match\": {\"op\": \"<\", \"left\": {\"meta\": {\"key\": \"length\"}}, \"right\": 0}},"
	    "{\"match\": {\"op\": \"==\", \"left\": {\"concat\": [1, 2]}, \"right\": {\"set\": [{\"concat\": [1]}]}}}]}}]}"};

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct fw_model m = {0};
		struct err e = {{0}};

		fw_model_read(&m, texts[i], "\t\tx # handle 1\n", NULL, &e);
		fw_model_free(&m);
	}
}

static void limits_are_counted(void **state)
{
	struct buf b = {0};
	struct fw_model m = {0};
	struct err e = {{0}};

	(void)state;
	buf_puts(&b, "{\"nftables\": [{\"chain\": {\"family\": \"ip\", \"table\": \"t\", \"name\": \"c\"}}");
	for (int i = 0; i < FW_RULES_MAX + 3; i++)
		buf_puts(&b, ", {\"rule\": {\"family\": \"ip\", \"table\": \"t\", \"chain\": \"c\", \"handle\": 1, \"expr\": "
		             "[{\"drop\": null}]}}");
	buf_puts(&b, "]}");
	assert_int_equal(fw_model_read(&m, b.data, NULL, NULL, &e), 0);
	assert_int_equal(m.chains[0].rule_count, FW_RULES_MAX);
	assert_int_equal(m.truncated, 3);
	fw_model_free(&m);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(chains_carry_hook_policy_and_device),
	    cmocka_unit_test(connection_states_are_bits),
	    cmocka_unit_test(a_verdict_map_becomes_a_rule_per_element),
	    cmocka_unit_test(sets_ranges_and_prefixes_are_resolved),
	    cmocka_unit_test(protocols_are_implied),
	    cmocka_unit_test(comparisons_masks_and_rejects),
	    cmocka_unit_test(texts_are_those_of_nft),
	    cmocka_unit_test(iptables_without_its_structs_stays_unknown),
	    cmocka_unit_test(iptables_structs_are_understood),
	    cmocka_unit_test(short_structs_are_unknown),
	    cmocka_unit_test(a_model_survives_the_pipe),
	    cmocka_unit_test(garbage_is_an_error_or_nothing),
	    cmocka_unit_test(limits_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
