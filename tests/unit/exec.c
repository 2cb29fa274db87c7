/* exec: pacing, early end, waiting, directed probes, the ladder, and what a result says. */
#include "agent/exec.h"
#include "proto/base/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct mono at(int ms) { return (struct mono){1000000000LL + ms * 1000000LL}; }
static const struct mac MAC1 = {{2, 0, 0, 0, 0, 1}}, MAC2 = {{2, 0, 0, 0, 0, 2}};

static struct round_spec make_round(void)
{
	struct round_spec s = {.id = 42, .pair = 7, .endpoint = true, .is_a = true, .wait_ms = 200};
	struct flow udp = {
	    .kind = KIND_UDP, .dir = 0, .stage = STAGE_A_TO_B, .count = 5, .gap_ms = 10, .onlink = true, .dst_mac = MAC1};
	struct flow back = udp, arp = udp, ladder = udp;
	back.dir = 1;
	back.stage = STAGE_B_TO_A;
	arp.kind = KIND_ARP;
	arp.stage = STAGE_NEIGH;
	ladder.kind = KIND_UDP_LARGE;
	ladder.stage = STAGE_LADDER;
	ladder.ladder = true;
	ladder.count = LADDER_COUNT;
	const struct flow flows[] = {udp, back, arp, ladder};
	for (size_t i = 0; i < 4; i++) {
		s.flows[i] = flows[i];
		s.flows[i].id = (uint8_t)i;
	}
	s.flow_count = 4;
	return s;
}

static struct exec *exec_made(void)
{
	struct round_spec s = make_round();
	return exec_new(&s, at(0));
}

static const struct flow_sent *sent_of(const struct round_result *r, uint8_t flow)
{
	for (size_t i = 0; i < r->sent_count; i++)
		if (r->sent[i].flow == flow)
			return &r->sent[i];
	fail();
	return NULL;
}

/* Sends all that is due until `until`, answering what `answers` names. Returns when the stage was over, or -1. */
static int run(struct exec *x, int from, int until, seqset answers)
{
	enum stage over;
	for (int ms = from; ms < until; ms++) {
		struct exec_probe p[8];
		size_t n = exec_due(x, at(ms), p, 8);
		for (size_t i = 0; i < n; i++) {
			exec_sent(x, p[i].flow->id, p[i].seq, p[i].directed, 0, at(ms));
			if (answers >> p[i].seq & 1)
				exec_answered(x, p[i].flow->id, p[i].seq, EXEC_ANSWERED, MAC1, at(ms));
		}
		if (exec_stage_over(x, at(ms), &over))
			return ms;
	}
	return -1;
}

static void test_all_answered_ends_early(void **state)
{
	(void)state;
	struct exec *x = exec_made();
	struct exec_probe p[4];
	assert_int_equal(exec_due(x, at(0), p, 4), 0); /* no stage yet */
	exec_stage(x, STAGE_A_TO_B, at(0));
	assert_int_equal(run(x, 0, 1000, ~0ull), 40);
	enum stage over;
	assert_false(exec_stage_over(x, at(41), &over)); /* told once */
	struct round_result r;
	exec_result(x, &r);
	assert_int_equal(sent_of(&r, 0)->sent, 0x1f);
	assert_int_equal(sent_of(&r, 0)->answered, 0x1f);
	assert_int_equal(sent_of(&r, 0)->status, FLOW_DONE);
	assert_int_equal(sent_of(&r, 2)->status, FLOW_UNKNOWN); /* stage never ran */
	assert_int_equal(r.received_count, 1);
	assert_true(r.received[0].looked);
	round_result_clear(&r);
	exec_free(x);
}

static void test_silence_waits_and_late_is_told(void **state)
{
	(void)state;
	struct exec *x = exec_made();
	exec_stage(x, STAGE_A_TO_B, at(0));
	assert_int_equal(run(x, 0, 1000, 0x3), 40 + 200);
	exec_answered(x, 0, 2, EXEC_ANSWERED, MAC1, at(300));
	exec_answered(x, 0, 0, EXEC_ANSWERED, MAC1, at(300)); /* a duplicate */
	struct round_result r;
	exec_result(x, &r);
	assert_int_equal(sent_of(&r, 0)->answered, 0x3);
	assert_int_equal(sent_of(&r, 0)->late, 0x4);
	assert_int_equal(sent_of(&r, 0)->duplicates, 1);
	round_result_clear(&r);
	exec_free(x);
}

static void test_refused_ends_early_with_its_reason(void **state)
{
	(void)state;
	struct exec *x = exec_made();
	exec_stage(x, STAGE_A_TO_B, at(0));
	run(x, 0, 45, 0);
	struct ip from;
	ip_parse("10.0.0.1", &from);
	for (uint8_t i = 0; i < 5; i++)
		exec_icmp_error(x, 0, i, 3, 4, 1400, from, at(46));
	enum stage over;
	assert_true(exec_stage_over(x, at(47), &over));
	struct round_result r;
	exec_result(x, &r);
	assert_int_equal(sent_of(&r, 0)->refused, 0x1f);
	assert_int_equal(sent_of(&r, 0)->icmp_type, 3);
	assert_int_equal(sent_of(&r, 0)->icmp_code, 4);
	assert_int_equal(sent_of(&r, 0)->icmp_mtu, 1400);
	assert_true(ip_equal(sent_of(&r, 0)->icmp_from, from));
	exec_free(x);
}

static void test_local_refusal(void **state)
{
	(void)state;
	struct exec *x = exec_made();
	exec_stage(x, STAGE_A_TO_B, at(0));
	for (int ms = 0; ms < 60; ms++) {
		struct exec_probe p[8];
		size_t n = exec_due(x, at(ms), p, 8);
		for (size_t i = 0; i < n; i++)
			exec_sent(x, 0, p[i].seq, false, EPERM, at(ms));
	}
	enum stage over;
	assert_true(exec_stage_over(x, at(60), &over));
	struct round_result r;
	exec_result(x, &r);
	assert_int_equal(sent_of(&r, 0)->sent, 0);
	assert_int_equal(sent_of(&r, 0)->refused_local, 0x1f);
	assert_int_equal(sent_of(&r, 0)->error, EPERM);
	exec_free(x);
}

static void test_unresolved_sends_directed(void **state)
{
	(void)state;
	struct exec *x = exec_made();
	exec_stage(x, STAGE_A_TO_B, at(0));
	run(x, 0, 25, 0); /* 0, 1, 2 went to the kernel */
	exec_unresolved(x, 0);
	assert_true(mono_reached(exec_next(x), at(25)));
	assert_int_equal(run(x, 25, 1000, 0x1f), 25 + 4 * 5);
	struct round_result r;
	exec_result(x, &r);
	assert_true(sent_of(&r, 0)->unresolved);
	assert_int_equal(sent_of(&r, 0)->sent, 0x7);
	assert_int_equal(sent_of(&r, 0)->directed, 0x1f);
	exec_free(x);
}

static void test_unresolved_off_link_stays(void **state)
{
	(void)state;
	struct round_spec s = make_round();
	s.flows[0].onlink = false;
	struct exec *x = exec_new(&s, at(0));
	exec_stage(x, STAGE_A_TO_B, at(0));
	run(x, 0, 25, 0);
	exec_unresolved(x, 0);
	run(x, 25, 1000, 0);
	struct round_result r;
	exec_result(x, &r);
	assert_true(sent_of(&r, 0)->unresolved);
	assert_int_equal(sent_of(&r, 0)->directed, 0);
	exec_free(x);
}

static void test_ladder_sizes_and_headers(void **state)
{
	(void)state;
	struct exec *x = exec_made();
	exec_stage(x, STAGE_LADDER, at(0));
	seqset got = 0;
	for (int ms = 0; ms < 400; ms++) {
		struct exec_probe p[4];
		size_t n = exec_due(x, at(ms), p, 4);
		for (size_t i = 0; i < n; i++) {
			assert_int_equal(p[i].size, ladder_sizes[p[i].seq]);
			assert_int_equal(p[i].header.round, 42);
			assert_int_equal(p[i].header.pair, 7);
			assert_int_equal(p[i].header.seq, p[i].seq);
			assert_int_equal(p[i].header.flow, 3);
			got |= 1ull << p[i].seq;
		}
	}
	assert_int_equal(got, (1ull << LADDER_COUNT) - 1);
	exec_free(x);
}

static void test_skipped_does_not_hold_the_stage(void **state)
{
	(void)state;
	struct exec *x = exec_made();
	exec_skipped(x, 0, "no address");
	exec_stage(x, STAGE_A_TO_B, at(0));
	assert_true(mono_reached(exec_next(x), at(0)));
	assert_int_equal(run(x, 0, 10, 0), 0);
	struct round_result r;
	exec_result(x, &r);
	assert_int_equal(sent_of(&r, 0)->status, FLOW_SKIPPED);
	assert_string_equal(sent_of(&r, 0)->why, "no address");
	exec_free(x);
}

static void test_arp_keeps_every_mac(void **state)
{
	(void)state;
	struct exec *x = exec_made();
	exec_stage(x, STAGE_NEIGH, at(0));
	run(x, 0, 45, 0x1f);
	exec_answered(x, 2, 0, EXEC_IMPOSTOR, MAC2, at(46));
	exec_answered(x, 2, 1, EXEC_IMPOSTOR, MAC2, at(46));
	struct round_result r;
	exec_result(x, &r);
	assert_int_equal(sent_of(&r, 2)->mac_count, 2);
	assert_int_equal(sent_of(&r, 2)->impostor, 0x3);
	assert_int_equal(sent_of(&r, 2)->answered, 0x1f);
	exec_free(x);
}

static void test_receiver_counts(void **state)
{
	(void)state;
	struct exec *x = exec_made();
	struct ip from;
	ip_parse("10.0.0.9", &from);
	exec_received(x, 1, 1, from, 64, at(1));
	exec_received(x, 1, 0, from, 64, at(2));
	exec_received(x, 1, 0, from, 63, at(3));
	exec_replied(x, 1, 0, 0);
	exec_replied(x, 1, 1, ENETUNREACH);
	exec_received(x, 0, 0, from, 64, at(1));  /* ours: not ours to receive */
	exec_received(x, 99, 0, from, 64, at(1)); /* no such flow */
	exec_received(x, 1, 5, from, 64, at(1));  /* no such sequence */
	struct round_result r;
	exec_result(x, &r);
	assert_int_equal(r.received_count, 1);
	assert_int_equal(r.received[0].seen, 0x3);
	assert_int_equal(r.received[0].duplicates, 1);
	assert_int_equal(r.received[0].reordered, 1);
	assert_int_equal(r.received[0].ttl, 63);
	assert_int_equal(r.received[0].replied, 0x1);
	assert_int_equal(r.received[0].reply_error, ENETUNREACH);
	exec_deaf(x, 1, "no right");
	exec_result(x, &r);
	assert_false(r.received[0].looked);
	exec_free(x);
}

static void test_points(void **state)
{
	(void)state;
	struct exec *x = exec_made();
	exec_armed(x, &(struct point_status){.point = 3, .armed = true});
	exec_armed(x, &(struct point_status){.point = 3, .armed = true, .dropped = 2});
	struct sighting out = {.point = 3, .part = PART_PROBE, .way = FRAME_OUT, .src = MAC1, .dst = MAC2, .vlan = 5}, in = out;
	in.way = FRAME_IN;
	exec_seen(x, &out);
	exec_seen(x, &in); /* a hairpin: the same frame, back again */
	exec_seen(x, &in);
	exec_seen(x, &(struct sighting){.point = 3, .seq = 4, .part = PART_ANSWER, .src = MAC2, .dst = MAC1});
	exec_seen(x, &(struct sighting){.point = 3, .seq = 2, .part = PART_REFUSAL, .src = MAC2, .dst = MAC1});
	exec_seen(x, &(struct sighting){.point = 3, .seq = 64, .part = PART_PROBE});
	exec_seen(x, &(struct sighting){.point = 3, .flow = 64, .part = PART_PROBE});
	struct round_result r;
	exec_result(x, &r);
	assert_int_equal(r.status_count, 1);
	assert_int_equal(r.status[0].dropped, 2);
	assert_int_equal(r.seen_count, 1);
	assert_int_equal(r.seen[0].probes, 1);
	assert_int_equal(r.seen[0].duplicates, 1);
	assert_int_equal(r.seen[0].answers, 1 << 4);
	assert_int_equal(r.seen[0].refusals, 1 << 2);
	assert_int_equal(r.seen[0].vlan, 5);
	assert_true(mac_equal(r.seen[0].answer_src, MAC2));
	round_result_clear(&r);
	exec_free(x);
}

static void test_frames_are_kept_when_asked_for_in_order_and_bounded(void **state)
{
	(void)state;
	static const uint8_t bytes[FRAME_KEEP_MAX + 1] = {1, 2, 3};
	struct sighting s = {.point = 3, .seq = 1, .part = PART_ANSWER, .way = FRAME_OUT};
	struct round_result r;
	struct exec *x = exec_made();
	exec_frame(x, &s, (struct wall){5}, bytes, 3, 3);
	exec_result(x, &r);
	assert_int_equal(r.frames_count, 0); /* nobody asked */
	round_result_clear(&r);
	struct round_spec spec = *exec_spec(x);
	exec_free(x);
	spec.keep_frames = true;
	x = exec_new(&spec, at(0));
	exec_frame(x, &s, (struct wall){7}, bytes, 2, 1500);
	exec_frame(x, &s, (struct wall){5}, bytes, sizeof bytes, sizeof bytes);
	for (int i = 0; i < FRAMES_MAX; i++)
		exec_frame(x, &s, (struct wall){8}, bytes, FRAME_KEEP_MAX, FRAME_KEEP_MAX);
	exec_result(x, &r);
	size_t room = 2 + (FRAMES_KEEP_MAX - FRAME_KEEP_MAX - 2) / FRAME_KEEP_MAX;
	assert_int_equal(r.frames_count, room);
	assert_int_equal(r.frames_left_out, FRAMES_MAX + 2 - room);
	assert_int_equal(r.frames[0].at.ns, 5);
	assert_int_equal(r.frames[0].kept, FRAME_KEEP_MAX);
	assert_int_equal(r.frames[0].length, FRAME_KEEP_MAX + 1);
	assert_int_equal(r.frames[1].length, 1500);
	assert_int_equal(r.frames[1].kept, 2);
	assert_int_equal(r.frames[1].part, PART_ANSWER);
	assert_int_equal(r.frames[1].way, FRAME_OUT);
	round_result_clear(&r);
	exec_free(x);
}

static void test_witness_has_no_flows(void **state)
{
	(void)state;
	struct round_spec s = make_round();
	s.endpoint = false;
	struct exec *x = exec_new(&s, at(0));
	exec_stage(x, STAGE_A_TO_B, at(0));
	enum stage over;
	struct exec_probe p[4];
	assert_int_equal(exec_due(x, at(1), p, 4), 0);
	assert_false(exec_stage_over(x, at(1000), &over));
	struct round_result r;
	exec_result(x, &r);
	assert_int_equal(r.sent_count + r.received_count, 0);
	exec_free(x);
}

/* Any order of calls, from any seed, keeps the sets within the flow and never loops. */
static void test_seeded_noise(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed < 300; seed++) {
		struct exec *x = exec_made();
		srand(seed);
		for (int ms = 0; ms < 300; ms++) {
			uint8_t flow = (uint8_t)(rand() % 6), seq = (uint8_t)(rand() % 70);
			struct exec_probe p[4];
			enum stage over;
			size_t n = exec_due(x, at(ms), p, 4);
			for (size_t i = 0; i < n; i++)
				exec_sent(x, p[i].flow->id, p[i].seq, p[i].directed, rand() % 3 ? 0 : EHOSTUNREACH, at(ms));
			if (rand() % 40 == 0)
				exec_stage(x, (enum stage)(rand() % 5), at(ms));
			if (rand() % 50 == 0)
				exec_unresolved(x, flow);
			exec_answered(x, flow, seq, (enum exec_answer)(rand() % 3), MAC1, at(ms));
			exec_received(x, flow, seq, (struct ip){0}, 1, at(ms));
			exec_stage_over(x, at(ms), &over);
		}
		struct round_result r;
		exec_result(x, &r);
		for (size_t i = 0; i < r.sent_count; i++) {
			seqset all = (1ull << exec_spec(x)->flows[r.sent[i].flow].count) - 1;
			const struct flow_sent *t = &r.sent[i];
			assert_int_equal((t->sent | t->directed | t->answered | t->late | t->refused | t->impostor) & ~all, 0);
			assert_int_equal((t->answered | t->late) & ~(t->sent | t->directed | t->refused_local), 0);
		}
		exec_free(x);
	}
}

static struct flow_drop drop_of(uint8_t flow, uint8_t part, seqset seqs, const char *reason, const char *place)
{
	struct flow_drop d = {.flow = flow, .part = part, .seqs = seqs, .ifname = "eth0"};

	str_copy(d.reason, sizeof d.reason, reason);
	str_copy(d.place, sizeof d.place, place);
	return d;
}

static void drop_tell(struct exec *x, struct flow_drop d) { exec_drop(x, &d); }

static void test_drops_of_one_place_become_one_row(void **state)
{
	const struct looked drops = {.looked = true, .lost = 2}, rules = {.why = "switched off"};
	struct exec *x = exec_made();
	struct round_result r;

	(void)state;
	exec_looked(x, &drops, &rules);
	for (int seq = 0; seq < 3; seq++)
		drop_tell(x, drop_of(0, PART_PROBE, 1u << seq, "NETFILTER_DROP", "nft_do_chain"));
	drop_tell(x, drop_of(0, PART_PROBE, 1, "NETFILTER_DROP", "nf_hook_slow"));
	drop_tell(x, drop_of(0, PART_ANSWER, 1, "NETFILTER_DROP", "nft_do_chain"));
	drop_tell(x, drop_of(200, PART_PROBE, 1, "no such flow", ""));
	exec_result(x, &r);
	assert_int_equal(r.drops_count, 3);
	assert_int_equal(r.drops[0].seqs, 7);
	assert_string_equal(r.drops[1].place, "nf_hook_slow");
	assert_int_equal(r.drops[2].part, PART_ANSWER);
	assert_true(r.drops_looked.looked);
	assert_int_equal(r.drops_looked.lost, 2);
	assert_false(r.rules_looked.looked);
	assert_string_equal(r.rules_looked.why, "switched off");
	round_result_clear(&r);
	exec_free(x);
}

static void test_rows_of_drops_and_rules_are_bounded(void **state)
{
	struct exec *x = exec_made();
	struct flow_rule rule = {.family = "inet", .table = "t", .chain = "c", .verdict = 2, .seqs = ~(seqset)0};
	struct round_result r;

	(void)state;
	exec_looked(x, &(struct looked){.looked = true}, &(struct looked){.looked = true});
	for (int i = 0; i < ROUND_DROPS_MAX + 5; i++) {
		struct flow_drop d = drop_of(1, PART_PROBE, 1, "R", "");

		snprintf(d.place, sizeof d.place, "place%d", i);
		exec_drop(x, &d);
		rule.handle = (uint64_t)i;
		exec_rule(x, &rule);
		exec_rule(x, &rule);
	}
	exec_result(x, &r);
	assert_int_equal(r.drops_count, ROUND_DROPS_MAX);
	assert_int_equal(r.drops_looked.lost, 5);
	assert_int_equal(r.rules_count, ROUND_DROPS_MAX);
	assert_int_equal(r.rules_looked.lost, 10);
	assert_int_equal(r.rules[0].seqs, (1ull << exec_spec(x)->flows[0].count) - 1);
	round_result_clear(&r);
	exec_free(x);
}

static struct ip address(const char *text)
{
	struct ip ip;

	assert_int_equal(ip_parse(text, &ip), 0);
	return ip;
}

static void test_words_of_the_watch_count_where_the_round_got_none(void **state)
{
	struct round_spec s = make_round();
	struct words words = {0};
	struct word said = {
	    .dst = address("10.0.1.12"), .from = address("10.0.0.1"), .proto = PROTO_UDP, .type = 3, .code = 0, .at = {1000}};
	struct word port = said, other = {.dst = said.dst, .from = address("10.0.0.9"), .type = 3, .code = 13};
	struct round_result r = {0};

	(void)state;
	port.code = 3;
	words_note(&words, &port);
	assert_null(words_find(&words, said.dst, PROTO_UDP, said.at));
	words_note(&words, &said);
	assert_null(words_find(&words, address("10.0.1.13"), PROTO_UDP, said.at));
	assert_null(words_find(&words, said.dst, PROTO_UDP, (struct mono){1000 + (WORD_LASTS_MS + 1) * 1000000LL}));
	const struct word *kept = words_find(&words, said.dst, PROTO_UDP, said.at);
	assert_non_null(kept);
	assert_null(words_find(&words, said.dst, PROTO_TCP, said.at));

	s.flows[0].dst = s.flows[3].dst = said.dst;
	struct exec *x = exec_new(&s, at(0));
	exec_icmp_error(x, 3, 0, other.type, other.code, 0, other.from, at(1));
	exec_word(x, kept);
	exec_result(x, &r);
	for (size_t i = 0; i < r.sent_count; i++) {
		if (r.sent[i].flow == 0 || r.sent[i].flow == 3)
			assert_true(ip_equal(r.sent[i].icmp_from, r.sent[i].flow ? other.from : said.from));
		else
			assert_int_equal(r.sent[i].icmp_from.family, 0);
	}
	assert_true(r.sent_count >= 2);
	words_forget(&words, said.dst, PROTO_TCP);
	assert_non_null(words_find(&words, said.dst, PROTO_UDP, said.at));
	words_forget(&words, said.dst, PROTO_UDP);
	assert_null(words_find(&words, said.dst, PROTO_UDP, said.at));
	round_result_clear(&r);
	exec_free(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_drops_of_one_place_become_one_row),
	    cmocka_unit_test(test_rows_of_drops_and_rules_are_bounded),
	    cmocka_unit_test(test_all_answered_ends_early),
	    cmocka_unit_test(test_silence_waits_and_late_is_told),
	    cmocka_unit_test(test_refused_ends_early_with_its_reason),
	    cmocka_unit_test(test_local_refusal),
	    cmocka_unit_test(test_unresolved_sends_directed),
	    cmocka_unit_test(test_unresolved_off_link_stays),
	    cmocka_unit_test(test_ladder_sizes_and_headers),
	    cmocka_unit_test(test_skipped_does_not_hold_the_stage),
	    cmocka_unit_test(test_arp_keeps_every_mac),
	    cmocka_unit_test(test_receiver_counts),
	    cmocka_unit_test(test_points),
	    cmocka_unit_test(test_frames_are_kept_when_asked_for_in_order_and_bounded),
	    cmocka_unit_test(test_witness_has_no_flows),
	    cmocka_unit_test(test_words_of_the_watch_count_where_the_round_got_none),
	    cmocka_unit_test(test_seeded_noise),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
