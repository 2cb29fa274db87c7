/* drops: which packet of a round an event of the kernel is about; what a message of nftables' tracing says; our own table. */
#include "agent/drops_match.h"
#include "agent/trace_event.h"
#include "agent/trace_rules.h"
#include "proto/base/mem.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct ip ip_of(const char *text)
{
	struct ip ip;

	assert_int_equal(ip_parse(text, &ip), 0);
	return ip;
}

/* TCP, ICMP, ARP and ND, from .1 to .2 */
static struct round_spec spec_made(void)
{
	struct round_spec s = {.id = 42, .flow_count = 4};
	const enum kind kinds[] = {KIND_TCP, KIND_ICMP, KIND_ARP, KIND_ND};

	for (uint8_t i = 0; i < s.flow_count; i++)
		s.flows[i] = (struct flow){.id = i,
		                           .kind = (uint8_t)kinds[i],
		                           .count = 5,
		                           .id_base = (uint16_t)(20000 + 100 * i),
		                           .dport = 7401,
		                           .src = ip_of(kinds[i] == KIND_ND ? "fd00::1" : "10.0.0.1"),
		                           .dst = ip_of(kinds[i] == KIND_ND ? "fd00::2" : "10.0.0.2")};
	return s;
}

static struct drop_event event_made(uint16_t ethertype, const void *bytes, size_t len, const char *place)
{
	struct drop_event e = {.ethertype = ethertype, .length = (uint16_t)len, .ifname = "eth0"};

	memcpy(e.data, bytes, len);
	str_copy(e.place, sizeof e.place, place);
	return e;
}

/* A SYN of sequence 3 */
static const uint8_t syn[] = {0x45, 0,    0,    40,   0, 0, 0x40, 0, 64, 6, 0, 0, 10,   0,    0,    1,    10, 0, 0, 2,
                              0x4e, 0x23, 0x1c, 0xe9, 0, 0, 0,    1, 0,  0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0,  0, 0, 0};

static void test_a_dropped_syn_is_known_by_its_ports(void **state)
{
	struct round_spec spec = spec_made();
	struct drop_event e = event_made(0x0800, syn, sizeof syn, "nft_do_chain.constprop.0 [nf_tables]");
	struct drop_nameless nameless = {{{0}}};
	struct flow_drop d;
	struct packet p;

	(void)state;
	assert_int_equal(drop_parse(&e, &p), 0);
	assert_int_equal(drop_match(&e, &p, &spec, true, &nameless, &d), 0);
	assert_int_equal(d.flow, 0);
	assert_int_equal(d.part, PART_PROBE);
	assert_int_equal(d.seqs, 1 << 3);
	assert_string_equal(d.place, "nft_do_chain");
	assert_string_equal(d.ifname, "eth0");
	spec.flows[0].dst = ip_of("10.0.0.9"); /* NAT, or somebody else's */
	assert_int_equal(drop_match(&e, &p, &spec, true, &nameless, &d), -1);
	assert_int_equal(drop_match(&e, &p, &spec, false, &nameless, &d), 0);
	spec.flows[0].src = ip_of("10.0.0.8");
	assert_int_equal(drop_match(&e, &p, &spec, false, &nameless, &d), -1);
}

static void test_answers_without_a_number_are_counted(void **state)
{
	static const uint8_t reply[] = {0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, 2, 10, 0, 0, 2, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1};
	struct round_spec spec = spec_made();
	struct drop_event e = event_made(0x0806, reply, sizeof reply, "");
	struct drop_nameless nameless = {{{0}}};
	seqset seen = 0;
	struct flow_drop d;
	struct packet p;

	(void)state;
	assert_int_equal(drop_parse(&e, &p), 0);
	for (int i = 0; i < 7; i++) {
		assert_int_equal(drop_match(&e, &p, &spec, true, &nameless, &d), 0);
		assert_int_equal(d.part, PART_ANSWER);
		seen |= d.seqs;
	}
	assert_int_equal(seen, 0x1f); /* never beyond the flow's own */
}

static void test_hidden_symbols_and_wild_lengths(void **state)
{
	struct round_spec spec = spec_made();
	struct drop_event e = event_made(0x0800, syn, sizeof syn, "0xffffffff81000000");
	struct drop_nameless nameless = {{{0}}};
	struct flow_drop d;
	struct packet p;

	(void)state;
	assert_int_equal(drop_parse(&e, &p), 0);
	assert_int_equal(drop_match(&e, &p, &spec, true, &nameless, &d), 0);
	assert_string_equal(d.place, "");
	memset(e.place, 'x', sizeof e.place);
	assert_int_equal(drop_match(&e, &p, &spec, true, &nameless, &d), 0);
	assert_int_equal(strlen(d.place), DROP_PLACE - 1);
	e.length = 65535;
	assert_int_equal(drop_parse(&e, &p), 0);
	e.length = 10;
	assert_int_equal(drop_parse(&e, &p), -1);
}

static void test_noise(void **state)
{
	const struct packet reply = {.l4 = IPPROTO_ICMP, .icmp_type = 0}, echo = {.l4 = IPPROTO_ICMP, .icmp_type = 8};
	const struct packet tcp = {.l4 = IPPROTO_TCP};

	(void)state;
	assert_true(drop_is_noise(&reply, &(struct flow_drop){.reason = "NO_SOCKET", .place = "ping_rcv"}));
	assert_false(drop_is_noise(&reply, &(struct flow_drop){.reason = "NETFILTER_DROP", .place = "nft_do_chain"}));
	assert_false(drop_is_noise(&echo, &(struct flow_drop){.reason = "NO_SOCKET"}));
	assert_false(drop_is_noise(&tcp, &(struct flow_drop){.reason = "NO_SOCKET", .place = "tcp_v4_rcv"}));
	assert_true(drop_is_noise(&tcp, &(struct flow_drop){.reason = "QUEUE_PURGE", .place = "inet_sock_destruct"}));
}

/* ---- tracing ---- */

struct message {
	char bytes[1024];
	struct nlmsghdr *h;
};

static void message_begin(struct message *m, uint32_t type, const char *chain)
{
	m->h = mnl_nlmsg_put_header(m->bytes);
	mnl_attr_put_u32(m->h, NFTA_TRACE_ID, htonl(0xabcd));
	mnl_attr_put_u32(m->h, NFTA_TRACE_TYPE, htonl(type));
	mnl_attr_put_strz(m->h, NFTA_TRACE_TABLE, "t");
	mnl_attr_put_strz(m->h, NFTA_TRACE_CHAIN, chain);
}

static int message_parse(const struct message *m, struct trace_event *out)
{
	return trace_event_parse(NFPROTO_INET, mnl_nlmsg_get_payload(m->h), mnl_nlmsg_get_payload_len(m->h), out);
}

static void put_rule(struct message *m, uint32_t verdict)
{
	struct nlattr *nest;

	mnl_attr_put_u64(m->h, NFTA_TRACE_RULE_HANDLE, htobe64(7));
	nest = mnl_attr_nest_start(m->h, NFTA_TRACE_VERDICT);
	mnl_attr_put_u32(m->h, NFTA_VERDICT_CODE, htonl(verdict));
	mnl_attr_nest_end(m->h, nest);
}

static void test_only_a_drop_ends_the_way(void **state)
{
	static const struct {
		uint32_t verdict;
		bool dropped;
	} cases[] = {{NF_DROP, true},
	             {NF_ACCEPT, false},
	             {(uint32_t)NFT_CONTINUE, false},
	             {(uint32_t)NFT_JUMP, false},
	             {(uint32_t)NFT_RETURN, false},
	             {NF_STOLEN, false},
	             {NF_QUEUE, false}};
	struct trace_event ev;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct message m;

		message_begin(&m, NFT_TRACETYPE_RULE, "c");
		put_rule(&m, cases[i].verdict);
		assert_int_equal(message_parse(&m, &ev), 0);
		assert_int_equal(ev.dropped, cases[i].dropped);
		assert_int_equal(ev.handle, 7);
		assert_string_equal(ev.family, "inet");
		assert_string_equal(ev.chain, "c");
	}
}

static void test_a_policy_has_no_handle(void **state)
{
	struct trace_event ev;
	struct message m;

	(void)state;
	message_begin(&m, NFT_TRACETYPE_POLICY, "input");
	mnl_attr_put_u32(m.h, NFTA_TRACE_POLICY, htonl(NF_DROP));
	assert_int_equal(message_parse(&m, &ev), 0);
	assert_true(ev.dropped);
	assert_int_equal(ev.handle, 0);
	message_begin(&m, NFT_TRACETYPE_POLICY, "input");
	mnl_attr_put_u32(m.h, NFTA_TRACE_POLICY, htonl(NF_ACCEPT));
	assert_int_equal(message_parse(&m, &ev), 0);
	assert_false(ev.dropped);
}

static void test_the_headers_make_a_packet(void **state)
{
	struct trace_event ev;
	struct message m;

	(void)state;
	message_begin(&m, NFT_TRACETYPE_RULE, "c");
	mnl_attr_put(m.h, NFTA_TRACE_NETWORK_HEADER, 20, syn);
	mnl_attr_put(m.h, NFTA_TRACE_TRANSPORT_HEADER, 20, syn + 20);
	mnl_attr_put_u32(m.h, NFTA_TRACE_NFPROTO, htonl(NFPROTO_IPV4));
	assert_int_equal(message_parse(&m, &ev), 0);
	assert_true(ev.has_packet);
	assert_int_equal(ev.packet.l4, IPPROTO_TCP);
	assert_int_equal(ev.packet.sport, 20003);
}

static void test_what_makes_no_sense_is_refused(void **state)
{
	struct trace_event ev;
	struct message m = {.h = NULL};

	(void)state;
	m.h = mnl_nlmsg_put_header(m.bytes);
	assert_int_equal(message_parse(&m, &ev), -1); /* no id */
	message_begin(&m, NFT_TRACETYPE_RULE, "c");
	assert_int_equal(trace_event_parse(99, mnl_nlmsg_get_payload(m.h), mnl_nlmsg_get_payload_len(m.h), &ev), -1);
	mnl_attr_put(m.h, NFTA_TRACE_NETWORK_HEADER, 3, "abc");
	mnl_attr_put(m.h, NFTA_TRACE_RULE_HANDLE, 2, "ab");
	assert_int_equal(message_parse(&m, &ev), 0);
	assert_false(ev.has_packet);
	assert_int_equal(ev.handle, 0);
}

static void test_packets_on_their_way(void **state)
{
	struct trace_packets *t = mem_alloc(sizeof *t);

	(void)state;
	assert_null(trace_packets_find(t, 0));
	trace_packets_add(t, 5, 1, 2, PART_ANSWER);
	assert_int_equal(trace_packets_find(t, 5)->seq, 2);
	trace_packets_add(t, 5, 3, 4, PART_PROBE); /* the id came again */
	assert_int_equal(trace_packets_find(t, 5)->flow, 3);
	assert_null(trace_packets_find(t, 5 + TRACE_PACKETS));
	trace_packets_add(t, 5 + TRACE_PACKETS, 0, 0, 0);
	assert_null(trace_packets_find(t, 5)); /* an older one gives way */
	free(t);
}

/* ---- our own table ---- */

struct marks {
	unsigned rules, marks, wrong;
};

static int comment_seen(const struct nlattr *a, void *arg)
{
	struct marks *k = arg;
	uint8_t flow, part;

	if (mnl_attr_get_type(a) != NFTA_RULE_USERDATA)
		return MNL_CB_OK;
	k->marks++;
	k->wrong += trace_mark_read(mnl_attr_get_payload(a), mnl_attr_get_payload_len(a), &flow, &part) < 0 || part > PART_ANSWER;
	return MNL_CB_OK;
}

static struct marks batch_count(const struct trace_batch *b)
{
	const struct nlmsghdr *h = mnl_nlmsg_batch_head(b->batch);
	int left = (int)mnl_nlmsg_batch_size(b->batch);
	struct marks k = {0};

	for (; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left))
		if (h->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE)) {
			k.rules++;
			mnl_attr_parse(h, sizeof(struct nfgenmsg), comment_seen, &k);
		}
	return k;
}

static void test_each_family_marks_what_it_can_see(void **state)
{
	static const struct {
		uint8_t family;
		unsigned marks;
	} cases[] = {{NFPROTO_INET, 6}, {NFPROTO_BRIDGE, 8}, {NFPROTO_ARP, 2}}; /* four flows, two parts each; inet has no ARP */
	struct round_spec spec = spec_made();

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct trace_batch b;
		struct marks k;

		trace_batch_begin(&b, 1);
		trace_put_table(&b, cases[i].family, "bothways-1-1", true, &spec);
		trace_batch_end(&b);
		k = batch_count(&b);
		assert_false(b.full);
		assert_int_equal(k.marks, cases[i].marks);
		assert_int_equal(k.wrong, 0);
		assert_true(k.rules > k.marks && k.rules < k.marks + 16);
		trace_batch_free(&b);
	}
}

static void test_the_biggest_round_fits(void **state)
{
	struct round_spec spec = {.id = 1, .flow_count = ROUND_FLOWS_MAX};
	struct trace_batch b;

	(void)state;
	for (uint8_t i = 0; i < ROUND_FLOWS_MAX; i++)
		spec.flows[i] = (struct flow){.id = i, .kind = i % KIND_COUNT, .count = 64, .id_base = 65530, .dport = 7401};
	trace_batch_begin(&b, 1);
	trace_put_table(&b, NFPROTO_BRIDGE, "bothways-4294967295-4294967295", true, &spec);
	trace_batch_end(&b);
	assert_false(b.full);
	assert_int_equal(batch_count(&b).marks, 2 * ROUND_FLOWS_MAX);
	trace_batch_free(&b);
}

static void test_comments_of_others_are_no_marks(void **state)
{
	static const char *const texts[] = {"", "\0\1", "\0\5flow", "\0\21flow x part 0", "\1\21flow 1 part 0"};
	uint8_t flow, part;

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		assert_int_equal(trace_mark_read(texts[i], i ? 2 + strlen(texts[i] + 2) : 0, &flow, &part), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_a_dropped_syn_is_known_by_its_ports),
	    cmocka_unit_test(test_answers_without_a_number_are_counted),
	    cmocka_unit_test(test_hidden_symbols_and_wild_lengths),
	    cmocka_unit_test(test_noise),
	    cmocka_unit_test(test_only_a_drop_ends_the_way),
	    cmocka_unit_test(test_a_policy_has_no_handle),
	    cmocka_unit_test(test_the_headers_make_a_packet),
	    cmocka_unit_test(test_what_makes_no_sense_is_refused),
	    cmocka_unit_test(test_packets_on_their_way),
	    cmocka_unit_test(test_each_family_marks_what_it_can_see),
	    cmocka_unit_test(test_the_biggest_round_fits),
	    cmocka_unit_test(test_comments_of_others_are_no_marks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
