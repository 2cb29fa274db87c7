/* watch: counting under loss, duplicates, reorder, delay, refusals, at the budget's limit, over a change of plan. Two
 * watches face each other over a network that a test shapes, on a fake clock. */
#include "agent/watch.h"
#include "proto/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROWS_MAX 4096

struct net {
	struct watch *a, *b;
	struct mono now;
	uint64_t random;
	int delay_ms, answer_delay_ms;
	int loss_ab, loss_ba; /* percent, of probes and answers alike */
	bool twice, swapped, refuse;
	int error; /* of the sender's kernel */
	size_t sent_count;
	struct probe_header sent[ROWS_MAX];
	size_t rows_a_count, rows_b_count;
	struct watch_row rows_a[ROWS_MAX], rows_b[ROWS_MAX];
};

struct flight {
	struct mono at;
	bool answer;
	struct probe_header h;
};
static struct flight flights[ROWS_MAX];
static size_t flight_count;

static struct plan make_plan(size_t peers, bool is_a, kind_mask kinds, uint32_t interval_ms, uint32_t pps)
{
	struct plan p = {.report_ms = 500, .budget_pps = pps, .peer_count = peers};
	p.peers = mem_array(peers + 1, sizeof(*p.peers));
	for (size_t i = 0; i < peers; i++)
		p.peers[i] = (struct peer){.pair = (uint32_t)(peers - i), .is_a = is_a, .kinds = kinds, .interval_ms = interval_ms};
	return p;
}

static struct net *net_new(uint64_t seed, kind_mask kinds)
{
	struct net *n = mem_alloc(sizeof(*n));
	*n = (struct net){.a = watch_new(seed), .b = watch_new(seed + 1), .now = {1000000000}, .random = seed, .delay_ms = 1};
	struct plan pa = make_plan(1, true, kinds, 50, 1000), pb = make_plan(1, false, 0, 50, 1000);
	watch_plan(n->a, &pa, n->now);
	watch_plan(n->b, &pb, n->now);
	flight_count = 0;
	return n;
}

static void net_free(struct net *n)
{
	watch_free(n->a);
	watch_free(n->b);
	free(n);
}

static bool net_loses(struct net *n, int percent)
{
	n->random = n->random * 6364136223846793005u + 1442695040888963407u;
	return (int)(n->random >> 33) % 100 < percent;
}

static void fly(struct net *n, const struct probe_header *h, bool answer, int delay_ms)
{
	if (flight_count < ROWS_MAX && !net_loses(n, answer ? n->loss_ba : n->loss_ab))
		flights[flight_count++] = (struct flight){mono_add_ms(n->now, delay_ms), answer, *h};
}

static void net_send(struct net *n)
{
	struct watch_probe due[64];
	size_t count = watch_due(n->a, n->now, due, 64);
	for (size_t i = 0; i < count; i++) {
		const struct probe_header *h = &due[i].header;
		if (n->sent_count < ROWS_MAX)
			n->sent[n->sent_count++] = *h;
		watch_sent(n->a, h, n->error, n->now);
		if (n->error)
			continue;
		int late = n->swapped && h->seq % 2 == 0 ? 70 : 0;
		for (int copy = 0; copy <= n->twice; copy++)
			fly(n, h, false, n->delay_ms + late);
	}
}

static void net_arrive(struct net *n, const struct flight *f)
{
	if (f->answer) {
		watch_answered(n->a, f->h.pair, f->h.kind, f->h.epoch, f->h.seq, n->refuse ? WATCH_REFUSED : WATCH_ANSWERED,
		               n->now);
		return;
	}
	if (!n->refuse)
		watch_received(n->b, &f->h, n->now);
	if (f->h.wants_answer)
		fly(n, &f->h, true, n->answer_delay_ms);
}

static void net_deliver(struct net *n)
{
	for (size_t i = 0; i < flight_count;) {
		struct flight f = flights[i];
		if (!mono_reached(f.at, n->now)) {
			i++;
			continue;
		}
		flights[i] = flights[--flight_count];
		net_arrive(n, &f);
	}
}

static void net_run(struct net *n, int ms)
{
	for (int i = 0; i < ms; i++) {
		n->now = mono_add_ms(n->now, 1);
		net_deliver(n);
		net_send(n);
		if (i % 100 == 99) {
			n->rows_a_count += watch_report(n->a, n->now, n->rows_a + n->rows_a_count, ROWS_MAX - n->rows_a_count);
			n->rows_b_count += watch_report(n->b, n->now, n->rows_b + n->rows_b_count, ROWS_MAX - n->rows_b_count);
		}
	}
}

struct sum {
	unsigned sent, not_sent, asked, answered, late, refused, seen, duplicated, reordered;
};

/* Over the sender's closed epochs, and what the receiver said of them. */
static struct sum net_sum(const struct net *n, uint8_t kind)
{
	struct sum s = {0};
	for (size_t i = 0; i < n->rows_a_count; i++) {
		const struct watch_row *a = &n->rows_a[i];
		if (a->kind != kind)
			continue;
		assert_true(a->sender && a->dir == 0 && a->sent > 0);
		s.sent += a->sent;
		s.not_sent += a->not_sent;
		s.asked += watch_row_asked(a);
		s.answered += a->answered;
		s.late += a->late;
		s.refused += a->refused;
		for (size_t k = 0; k < n->rows_b_count; k++) {
			const struct watch_row *b = &n->rows_b[k];
			if (b->kind != kind || b->epoch != a->epoch)
				continue;
			assert_true(!b->sender && b->dir == 0 && b->seen != 0);
			s.seen += (unsigned)__builtin_popcountll(b->seen);
			s.duplicated += b->duplicated;
			s.reordered += b->reordered;
		}
	}
	return s;
}

static void test_healthy_counts_match(void **state)
{
	(void)state;
	struct net *n = net_new(1, KIND_BIT(KIND_UDP) | KIND_BIT(KIND_ICMP) | KIND_BIT(KIND_TCP) | KIND_BIT(KIND_ARP));
	net_run(n, 10000);
	struct sum udp = net_sum(n, KIND_UDP), tcp = net_sum(n, KIND_TCP), arp = net_sum(n, KIND_ARP);
	assert_in_range(udp.sent, 150, 220);
	assert_int_equal(udp.seen, udp.sent);
	assert_int_equal(udp.answered, udp.asked);
	assert_in_range(udp.asked, udp.sent / 2, udp.sent * 3 / 4);
	assert_in_range(tcp.sent, 35, 55); /* a quarter of the rate */
	assert_int_equal(tcp.answered, tcp.sent);
	assert_in_range(arp.sent, 25, 40); /* about 1 per 300 ms */
	assert_int_equal(udp.duplicated + udp.reordered + udp.late + udp.refused, 0);
	net_free(n);
}

static void test_rows_carry_round_trip_and_number(void **state)
{
	(void)state;
	struct net *n = net_new(2, KIND_BIT(KIND_ICMP));
	n->delay_ms = 5;
	n->answer_delay_ms = 15;
	net_run(n, 3000);
	assert_true(n->rows_a_count >= 3);
	for (size_t i = 0; i < n->rows_a_count; i++) {
		assert_in_range(n->rows_a[i].rtt_us, 19000, 22000);
		if (i > 0)
			assert_int_equal(n->rows_a[i].epoch, n->rows_a[i - 1].epoch + 1);
	}
	net_free(n);
}

static void test_loss_is_counted_exactly(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 20; seed++) {
		struct net *n = net_new(seed, KIND_BIT(KIND_UDP));
		n->loss_ab = 30;
		net_run(n, 20000);
		struct sum s = net_sum(n, KIND_UDP);
		assert_in_range(s.seen, s.sent * 55 / 100, s.sent * 85 / 100);
		assert_true(s.answered < s.asked && s.answered > 0);
		net_free(n);
	}
}

static void test_one_way_loss_leaves_delivery_whole(void **state)
{
	(void)state;
	struct net *n = net_new(3, KIND_BIT(KIND_UDP));
	n->loss_ba = 100;
	net_run(n, 5000);
	struct sum s = net_sum(n, KIND_UDP);
	assert_int_equal(s.seen, s.sent);
	assert_int_equal(s.answered, 0);
	net_free(n);
}

static void test_full_loss_is_reported_soon(void **state)
{
	(void)state;
	struct net *n = net_new(4, KIND_BIT(KIND_TCP));
	net_run(n, 2000);
	n->rows_a_count = 0;
	n->loss_ab = 100;
	net_run(n, 1200);
	unsigned lost = 0;
	for (size_t i = 0; i < n->rows_a_count; i++)
		lost += n->rows_a[i].sent - n->rows_a[i].answered;
	assert_true(lost >= 3);
	net_free(n);
}

static void test_duplicates_and_reorder(void **state)
{
	(void)state;
	struct net *n = net_new(5, KIND_BIT(KIND_UDP));
	n->twice = n->swapped = true;
	net_run(n, 5000);
	struct sum s = net_sum(n, KIND_UDP);
	assert_int_equal(s.seen, s.sent);
	assert_int_equal(s.duplicated, s.sent);
	assert_true(s.reordered > s.sent / 5);
	assert_true(s.answered == s.asked);
	net_free(n);
}

static void test_late_is_not_answered(void **state)
{
	(void)state;
	struct net *n = net_new(6, KIND_BIT(KIND_ICMP));
	net_run(n, 2000);
	struct sum before = net_sum(n, KIND_ICMP);
	assert_int_equal(before.late, 0);
	n->answer_delay_ms = 250;
	net_run(n, 3000);
	assert_true(net_sum(n, KIND_ICMP).late > 0);
	net_free(n);
}

static void test_refusals_slow_it_down(void **state)
{
	(void)state;
	struct net *n = net_new(7, KIND_BIT(KIND_UDP));
	n->refuse = true;
	net_run(n, 3000);
	size_t first = n->sent_count;
	net_run(n, 10000);
	assert_in_range(n->sent_count - first, 8, 13); /* 1/s */
	assert_true(net_sum(n, KIND_UDP).refused >= 3);
	n->refuse = false;
	net_run(n, 3000);
	first = n->sent_count;
	net_run(n, 2000);
	assert_true(n->sent_count - first > 25); /* and it comes back */
	net_free(n);
}

static void test_local_refusal_is_not_loss(void **state)
{
	(void)state;
	struct net *n = net_new(8, KIND_BIT(KIND_UDP));
	n->error = 1; /* EPERM */
	net_run(n, 3000);
	struct sum s = net_sum(n, KIND_UDP);
	assert_true(s.sent > 0);
	assert_int_equal(s.not_sent, s.sent);
	assert_int_equal(n->rows_a[0].error, 1);
	net_free(n);
}

static void test_budget_holds_at_its_limit(void **state)
{
	(void)state;
	struct watch *w = watch_new(9);
	struct plan p = make_plan(100, true, KIND_BIT(KIND_UDP) | KIND_BIT(KIND_ICMP), 100, 200); /* wants 2000/s */
	struct mono now = {5000000000};
	watch_plan(w, &p, now);
	size_t sent = 0, per_pair[101] = {0};
	for (int i = 0; i < 5000; i++, now = mono_add_ms(now, 1)) {
		struct watch_probe due[64];
		size_t n = watch_due(w, now, due, 64);
		for (size_t k = 0; k < n; k++)
			per_pair[due[k].header.pair]++;
		sent += n;
		assert_true(mono_before(now, watch_next(w)) || n == 64);
	}
	assert_in_range(sent, 950, 1050);
	for (size_t i = 1; i <= 100; i++)
		assert_in_range(per_pair[i], 5, 15); /* nobody starves */
	assert_true(watch_stats(w).limited > 0);
	watch_free(w);
}

static void test_plan_change_keeps_counters(void **state)
{
	(void)state;
	struct net *n = net_new(10, KIND_BIT(KIND_UDP));
	net_run(n, 1030);
	for (int i = 0; i < 20; i++) {
		struct plan p = make_plan(1 + i % 3, true, KIND_BIT(KIND_UDP) | (i % 2 ? KIND_BIT(KIND_ICMP) : 0), 50, 1000);
		struct plan q = make_plan(1 + i % 3, false, 0, 50, 1000);
		watch_plan(n->a, &p, n->now);
		watch_plan(n->b, &q, n->now);
		net_run(n, 170);
	}
	n->random = 0;
	for (size_t i = 0; i < n->rows_a_count; i++) { /* pair 1 was there all the time: its numbers have no hole */
		if (n->rows_a[i].pair != 1 || n->rows_a[i].kind != KIND_UDP)
			continue;
		if (n->random)
			assert_int_equal(n->rows_a[i].epoch, (uint32_t)n->random + 1);
		n->random = n->rows_a[i].epoch;
		assert_int_equal(n->rows_a[i].answered, watch_row_asked(&n->rows_a[i]));
	}
	net_free(n);
}

static void test_strangers_are_ignored(void **state)
{
	(void)state;
	struct net *n = net_new(11, KIND_BIT(KIND_UDP));
	struct probe_header h = {.kind = KIND_UDP, .pair = 77};
	watch_received(n->b, &h, n->now);
	h.pair = 1;
	h.dir = 1; /* our own direction */
	watch_received(n->b, &h, n->now);
	h.dir = 0;
	h.kind = KIND_COUNT;
	watch_received(n->b, &h, n->now);
	h.kind = KIND_UDP;
	h.seq = FLOW_PROBES_MAX;
	watch_received(n->b, &h, n->now);
	watch_answered(n->a, 77, KIND_UDP, 1, 1, WATCH_ANSWERED, n->now);
	watch_answered(n->a, 1, KIND_UDP, 12345, 63, WATCH_ANSWERED, n->now);
	n->now = mono_add_ms(n->now, 5000);
	assert_int_equal(watch_report(n->b, n->now, n->rows_b, ROWS_MAX), 0);
	assert_null(watch_peer(n->a, 77));
	assert_int_equal(watch_peer(n->a, 1)->pair, 1);
	net_free(n);
}

static void test_restart_of_the_sender_is_not_loss(void **state)
{
	(void)state;
	struct net *n = net_new(12, KIND_BIT(KIND_UDP));
	net_run(n, 2000);
	watch_free(n->a);
	n->a = watch_new(999);
	struct plan p = make_plan(1, true, KIND_BIT(KIND_UDP), 50, 1000);
	watch_plan(n->a, &p, n->now);
	n->rows_a_count = n->rows_b_count = 0;
	net_run(n, 4000);
	struct sum s = net_sum(n, KIND_UDP);
	assert_int_equal(s.seen, s.sent);
	net_free(n);
}

/* What many peers send leaves on one grid: the number of wake-ups does not grow with them, and the budget holds. */
static void test_many_peers_share_wake_ups(void **state)
{
	(void)state;
	struct watch *w = watch_new(5);
	struct mono now = {1000000000};
	struct plan p = make_plan(200, true, KIND_BIT(KIND_ICMP) | KIND_BIT(KIND_UDP), 1000, 1000);
	struct watch_probe due[32];
	size_t sent = 0, wakes = 0;
	watch_plan(w, &p, now);
	struct mono end = mono_add_ms(now, 10000);
	while (mono_before(now = watch_next(w), end)) {
		size_t before = sent, n;
		while ((n = watch_due(w, now, due, 32)) > 0) {
			for (size_t i = 0; i < n; i++) /* all is answered at once */
				watch_answered(w, due[i].header.pair, due[i].header.kind, due[i].header.epoch, due[i].header.seq,
				               WATCH_ANSWERED, mono_add_us(now, 100));
			sent += n;
		}
		wakes += sent > before;
	}
	assert_in_range(sent, 200 * 2 * 9, 200 * 2 * 11);
	assert_in_range(wakes, 1, 10 * 1000 / WATCH_TICK_MS + 1);
	watch_free(w);
}

/* An epoch's probes may come nearly a report interval apart, and be looked at a tick later: still one row. */
static void test_a_spread_epoch_is_one_row(void **state)
{
	(void)state;
	struct net *n = net_new(6, 0);
	struct watch_row rows[4];
	struct probe_header h = {.kind = KIND_ICMP, .pair = 1, .epoch = 7, .seq = 0};
	watch_received(n->b, &h, n->now);
	n->now = mono_add_ms(n->now, 500 + WATCH_TICK_MS);
	assert_int_equal(watch_report(n->b, n->now, rows, 4), 0);
	h.seq = 1;
	watch_received(n->b, &h, n->now);
	n->now = mono_add_ms(n->now, 600);
	assert_int_equal(watch_report(n->b, n->now, rows, 4), 1);
	assert_int_equal(rows[0].seen, 3);
	net_free(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_healthy_counts_match),
	    cmocka_unit_test(test_rows_carry_round_trip_and_number),
	    cmocka_unit_test(test_loss_is_counted_exactly),
	    cmocka_unit_test(test_one_way_loss_leaves_delivery_whole),
	    cmocka_unit_test(test_full_loss_is_reported_soon),
	    cmocka_unit_test(test_duplicates_and_reorder),
	    cmocka_unit_test(test_late_is_not_answered),
	    cmocka_unit_test(test_refusals_slow_it_down),
	    cmocka_unit_test(test_local_refusal_is_not_loss),
	    cmocka_unit_test(test_budget_holds_at_its_limit),
	    cmocka_unit_test(test_plan_change_keeps_counters),
	    cmocka_unit_test(test_strangers_are_ignored),
	    cmocka_unit_test(test_many_peers_share_wake_ups),
	    cmocka_unit_test(test_a_spread_epoch_is_one_row),
	    cmocka_unit_test(test_restart_of_the_sender_is_not_loss),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
