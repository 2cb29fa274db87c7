/* detect: how many probes a decision takes, what is no loss, and how a pair becomes well again. One pair whose two agents
 * report every 100 ms over a network that a test shapes, on a fake clock. */
#include "collector/detect.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define A       1
#define B       2
#define PAIR    7
#define STEP_MS 100

struct sim {
	struct detect *d;
	struct mono now;
	uint64_t random;
	uint32_t epoch;
	double loss, answer_loss; /* of a -> b, and of what comes back */
	uint8_t kind;
	unsigned probes; /* per epoch */
	bool receiver_silent, sender_silent, refused;
	int receiver_late; /* its rows come so many steps later than the sender's */
	int error;         /* of the sender's kernel */
	struct health health_a, health_b;
	struct watch_row held[16];
	size_t suspects, wells, doubts;
	uint32_t rtt_us; /* 0 = 300 */
	struct detect_event last;
	unsigned long sent, lost; /* since the loss began */
};

static double sim_random(struct sim *s)
{
	s->random = s->random * 6364136223846793005u + 1442695040888963407u;
	return (double)(s->random >> 11) / (double)(1ull << 53);
}

static void sim_tick(struct sim *s)
{
	struct detect_event e[8];
	size_t n = detect_tick(s->d, s->now, e, 8);
	for (size_t i = 0; i < n; i++) {
		s->last = e[i];
		if (e[i].type == DETECT_SUSPECT)
			s->suspects++;
		else if (e[i].type == DETECT_WELL)
			s->wells++;
		else
			s->doubts++;
	}
}

static seqset sim_arrivals(struct sim *s)
{
	seqset seen = 0;
	for (unsigned i = 0; i < s->probes; i++)
		if (!s->error && sim_random(s) >= s->loss)
			seen |= 1ull << i;
	return seen;
}

static struct watch_row sim_sender_row(struct sim *s, seqset seen)
{
	struct watch_row r = {
	    .pair = PAIR, .kind = s->kind, .sender = true, .epoch = s->epoch, .sent = (uint8_t)s->probes, .wants_answer = true};
	r.error = (int16_t)s->error;
	r.not_sent = s->error ? r.sent : 0;
	for (unsigned i = 0; i < s->probes; i++) {
		if (kind_info(s->kind)->proto == PROTO_UDP && i % 2)
			continue;
		bool back = seen & 1ull << i && sim_random(s) >= s->answer_loss;
		if (back && s->refused)
			r.refused++;
		else
			r.answered += back;
	}
	r.rtt_us = s->rtt_us ? s->rtt_us : 300;
	return r;
}

/* One report interval: an epoch of a -> b; b reports first. */
static void sim_step(struct sim *s)
{
	seqset seen = sim_arrivals(s);
	struct watch_row sent = sim_sender_row(s, seen), got = {.pair = PAIR, .kind = s->kind, .epoch = s->epoch, .seen = seen};
	struct watch_row *held = &s->held[s->epoch % 16];
	s->epoch++;
	s->now = mono_add_ms(s->now, STEP_MS);
	*held = got;
	const struct watch_row *due = &s->held[(s->epoch - 1 - (uint32_t)s->receiver_late) % 16];
	if (!s->receiver_silent)
		detect_rows(s->d, B, due, due->seen != 0, &s->health_b, s->now);
	if (!s->sender_silent)
		detect_rows(s->d, A, &sent, 1, &s->health_a, s->now);
	sim_tick(s);
	s->sent += s->probes;
	s->lost += s->probes - (unsigned)__builtin_popcountll(seen);
}

static void sim_run(struct sim *s, unsigned steps)
{
	while (steps--)
		sim_step(s);
}

static struct sim sim_new(uint8_t kind)
{
	struct sim s = {.d = detect_new(), .now = {50000000000}, .random = 42, .kind = kind, .probes = 1};
	detect_pair(s.d, PAIR, A, B, (kind_mask[2]){KIND_BIT(kind), 0});
	return s;
}

/* Healthy and settled. */
static struct sim sim_settled(uint8_t kind)
{
	struct sim s = sim_new(kind);
	sim_run(&s, 60);
	s.sent = s.lost = 0;
	return s;
}

static uint8_t shown_delivery(const struct sim *s)
{
	struct cells c;
	assert_true(detect_cells(s->d, PAIR, &c));
	return c.delivery[0][s->kind];
}

static uint8_t shown_initiation(const struct sim *s)
{
	struct cells c;
	assert_true(detect_cells(s->d, PAIR, &c));
	return c.initiation[0][s->kind];
}

/* Steps until the first suspicion; 0 = none within `max`. */
static unsigned sim_until_suspect(struct sim *s, unsigned max)
{
	for (unsigned i = 1; i <= max; i++) {
		sim_step(s);
		if (s->suspects)
			return i;
	}
	return 0;
}

/* ---- decisions ---- */

static void a_healthy_pair_is_ok(void **state)
{
	(void)state;
	struct sim s = sim_new(KIND_ICMP);
	sim_run(&s, 3);
	assert_int_equal(shown_delivery(&s), CELL_OK);
	assert_int_equal(shown_initiation(&s), CELL_OK);
	assert_true(detect_all_measured(s.d));
	struct cells c;
	detect_cells(s.d, PAIR, &c);
	assert_true(c.measured);
	assert_int_equal(c.delivery[1][KIND_ICMP], CELL_SKIPPED);
	assert_int_equal(c.rtt_us[0], 300);
	assert_int_equal(c.sent[0], 3);
	assert_int_equal(c.received[0], 3);
	assert_false(detect_cells(s.d, 99, &c));
	detect_free(s.d);
}

static void full_loss_decides_within_three_probes(void **state)
{
	(void)state;
	struct sim s = sim_settled(KIND_UDP);
	s.loss = 1;
	unsigned first = sim_until_suspect(&s, 20);
	assert_int_equal(first, 4); /* initiation: the sender knows, and the other one is heard once more */
	assert_int_equal(s.last.initiation[0], KIND_BIT(KIND_UDP));
	while (!s.last.delivery[0] && first < 20) {
		sim_step(&s);
		first++;
	}
	assert_in_range(first, 5, 6); /* three epochs, and 250 ms of grace */
	assert_int_equal(s.suspects, 2);
	assert_int_equal(shown_delivery(&s), CELL_LOST);
	assert_int_equal(shown_initiation(&s), CELL_LOST);
	detect_free(s.d);
}

static double mean_probes(double loss, unsigned runs, unsigned max)
{
	double sum = 0;
	for (unsigned i = 0; i < runs; i++) {
		struct sim s = sim_settled(KIND_UDP);
		s.random = 1000 + i * 77;
		s.loss = loss;
		s.probes = 1;
		unsigned steps = 0;
		while (!s.last.delivery[0] && ++steps < max)
			sim_step(&s);
		assert_true(steps < max);
		sum += steps;
		detect_free(s.d);
	}
	return sum / runs;
}

static void small_loss_decides_within_a_bounded_number_of_probes(void **state)
{
	(void)state;
	double at30 = mean_probes(0.3, 100, 200), at5 = mean_probes(0.05, 60, 1000), at1 = mean_probes(0.01, 40, 5000);
	print_message("probes to decide: 30 %%: %.1f, 5 %%: %.1f, 1 %%: %.1f\n", at30, at5, at1);
	assert_true(at30 < 20);
	assert_true(at5 < 130);
	assert_true(at1 < 1000);
}

static void partial_loss_is_called_so(void **state)
{
	(void)state;
	struct sim s = sim_settled(KIND_UDP);
	s.loss = 0.3;
	sim_run(&s, 100);
	assert_int_equal(shown_delivery(&s), CELL_PARTIAL);
	s.loss = 1;
	sim_run(&s, 30);
	assert_int_equal(shown_delivery(&s), CELL_LOST);
	detect_free(s.d);
}

static void a_million_epochs_with_one_lost_in_ten_thousand_alarm_nobody(void **state)
{
	(void)state;
	struct sim s = sim_settled(KIND_UDP);
	s.loss = 1e-4;
	s.answer_loss = 1e-4;
	sim_run(&s, 1000000);
	assert_in_range(s.lost, 50, 200);
	assert_int_equal(s.suspects, 0);
	assert_true(detect_stats(s.d).waiting < 100);
	detect_free(s.d);
}

static void only_the_answers_lost_is_initiation_only(void **state)
{
	(void)state;
	struct sim s = sim_settled(KIND_ICMP);
	s.answer_loss = 1;
	assert_int_equal(sim_until_suspect(&s, 20), 3);
	sim_run(&s, 20);
	assert_int_equal(s.last.delivery[0], 0);
	assert_int_equal(shown_delivery(&s), CELL_OK);
	assert_int_equal(shown_initiation(&s), CELL_LOST);
	detect_free(s.d);
}

/* A machine that is paused does not answer, and is not heard either: nothing is known, and nothing stays afterwards. */
static void a_paused_machine_is_no_fault(void **state)
{
	(void)state;
	struct sim s = sim_settled(KIND_UDP);
	for (unsigned pause = 8; pause < 30; pause += 7) {
		s.receiver_silent = true;
		s.answer_loss = 1;
		sim_run(&s, pause);
		s.receiver_silent = false;
		s.answer_loss = 0;
		sim_run(&s, 40);
		assert_int_equal(s.suspects, 0);
		assert_int_equal(shown_initiation(&s), CELL_OK);
	}
	s.answer_loss = 1; /* but one that reports and does not answer is */
	assert_int_equal(sim_until_suspect(&s, 20), 4);
	detect_free(s.d);
}

static void refusals_are_called_so(void **state)
{
	(void)state;
	struct sim s = sim_settled(KIND_TCP);
	s.refused = true;
	sim_run(&s, 5);
	assert_int_equal(shown_initiation(&s), CELL_REFUSED);
	detect_free(s.d);
}

static void a_refusal_of_the_own_kernel_needs_no_witness(void **state)
{
	(void)state;
	struct sim s = sim_settled(KIND_UDP);
	s.error = EPERM;
	assert_int_equal(sim_until_suspect(&s, 10), 3);
	assert_int_equal(s.last.delivery[0], KIND_BIT(KIND_UDP));
	detect_free(s.d);
	s = sim_settled(KIND_UDP);
	s.error = ENOBUFS; /* says nothing about the path */
	assert_int_equal(sim_until_suspect(&s, 50), 0);
	detect_free(s.d);
}

/* ---- well again ---- */

static void five_good_probes_end_a_full_loss(void **state)
{
	(void)state;
	struct sim s = sim_settled(KIND_UDP);
	s.loss = 1;
	sim_run(&s, 30);
	s.loss = 0;
	sim_run(&s, 4);
	assert_int_equal(s.wells, 0);
	sim_run(&s, 5);
	assert_int_equal(s.wells, 1);
	assert_int_equal(s.last.type, DETECT_WELL);
	assert_int_equal(shown_delivery(&s), CELL_OK);
	detect_free(s.d);
}

static void partial_loss_does_not_flap(void **state)
{
	(void)state;
	struct sim s = sim_settled(KIND_UDP);
	s.loss = 0.3;
	sim_run(&s, 20000);
	assert_int_equal(s.wells, 0);
	s.loss = 0;
	sim_run(&s, 80);
	assert_int_equal(s.wells, 1);
	detect_free(s.d);
}

static void of_a_world_that_changed_nothing_is_held_against_a_pair(void **state)
{
	(void)state;
	struct sim s = sim_settled(KIND_UDP);
	for (int i = 0; i < 6; i++) { /* short outages: in sum a loss of some percent */
		s.loss = 1;
		sim_run(&s, 2);
		s.loss = 0;
		sim_run(&s, 60);
	}
	assert_int_equal(shown_delivery(&s), CELL_PARTIAL);
	assert_int_equal(s.wells, 0);
	detect_anew(s.d, PAIR);
	sim_run(&s, 1);
	assert_int_equal(s.wells, 1);
	assert_int_equal(shown_delivery(&s), CELL_OK);
	s.loss = 0.3; /* a loss that is still there is found again */
	sim_run(&s, 60);
	assert_int_equal(shown_delivery(&s), CELL_PARTIAL);
	s.loss = 1;
	sim_run(&s, 30);
	detect_anew(s.d, PAIR); /* a full one is not talked away */
	assert_int_equal(shown_delivery(&s), CELL_LOST);
	detect_anew(s.d, PAIR + 1);
	detect_free(s.d);
}

/* ---- what is no loss ---- */

static void a_silent_receiver_is_no_loss(void **state)
{
	(void)state;
	struct sim s = sim_settled(KIND_UDP);
	s.receiver_silent = true;
	s.answer_loss = 0;
	sim_run(&s, 100);
	assert_int_equal(s.suspects, 0);
	assert_int_equal(shown_delivery(&s), CELL_UNKNOWN); /* not measured for too long */
	assert_int_equal(shown_initiation(&s), CELL_OK);
	s.receiver_silent = false;
	sim_run(&s, 100);
	assert_int_equal(s.suspects, 0);
	assert_int_equal(shown_delivery(&s), CELL_OK);
	detect_free(s.d);
}

static void a_restarted_receiver_is_no_loss(void **state)
{
	(void)state;
	struct sim s = sim_settled(KIND_UDP);
	s.receiver_silent = true;
	sim_run(&s, 4);
	s.receiver_silent = false;
	detect_restarted(s.d, B, s.now);
	sim_run(&s, 100);
	assert_int_equal(s.suspects, 0);
	detect_free(s.d);
}

static void a_silent_sender_is_unknown(void **state)
{
	(void)state;
	struct sim s = sim_settled(KIND_UDP);
	s.sender_silent = true;
	sim_run(&s, 100);
	assert_int_equal(s.suspects, 0);
	assert_int_equal(shown_delivery(&s), CELL_UNKNOWN);
	assert_int_equal(shown_initiation(&s), CELL_UNKNOWN);
	detect_free(s.d);
}

static void a_sick_receiver_is_no_witness(void **state)
{
	(void)state;
	struct sim s = sim_settled(KIND_UDP);
	s.loss = 1;
	s.health_b.socket_drops = 3;
	sim_run(&s, 50);
	assert_int_equal(s.last.delivery[0], 0);
	assert_int_equal(s.last.initiation[0], KIND_BIT(KIND_UDP));
	detect_free(s.d);
}

static void a_sick_sender_knows_nothing_of_answers(void **state)
{
	(void)state;
	struct sim s = sim_settled(KIND_UDP);
	s.answer_loss = 1;
	s.health_a.lag_us = 900000;
	sim_run(&s, 50);
	assert_int_equal(s.suspects, 0);
	detect_free(s.d);
}

static void a_receiver_that_stood_still_is_no_witness(void **state)
{
	(void)state;
	struct sim s = sim_settled(KIND_UDP);
	s.loss = 1;
	s.health_b.lag_us = 10000000;
	sim_run(&s, 50);
	assert_int_equal(s.last.delivery[0], 0);
	detect_free(s.d);
}

static void a_clock_that_was_set_changes_nothing(void **state)
{
	(void)state;
	for (int lossy = 0; lossy < 2; lossy++) {
		struct sim s = sim_settled(KIND_UDP);
		s.loss = lossy;
		s.health_a.clock_step_us = 3600LL * 1000000;
		s.health_b.clock_step_us = -86400LL * 1000000;
		sim_run(&s, 50);
		assert_int_equal(s.suspects > 0, lossy); /* neither a false alarm nor none */
		detect_free(s.d);
	}
}

static void late_rows_of_the_receiver_are_waited_for(void **state)
{
	(void)state;
	for (int late = 0; late < 10; late++) {
		struct sim s = sim_settled(KIND_UDP);
		for (s.receiver_late = 0; s.receiver_late < late; s.receiver_late++)
			sim_run(&s, 20);
		sim_run(&s, 200);
		assert_int_equal(s.suspects, 0);
		assert_int_equal(shown_delivery(&s), CELL_OK);
		detect_free(s.d);
	}
}

static void a_backlog_after_a_gap_is_no_loss(void **state)
{
	(void)state;
	struct sim s = sim_settled(KIND_UDP);
	struct watch_row kept[40];
	for (size_t i = 0; i < 40; i++) { /* b is cut off from the collector and keeps its rows */
		kept[i] = (struct watch_row){.pair = PAIR, .kind = KIND_UDP, .epoch = s.epoch, .seen = 1};
		s.receiver_silent = true;
		sim_step(&s);
	}
	s.receiver_silent = false;
	for (size_t i = 0; i < 40; i++)
		detect_rows(s.d, B, &kept[i], 1, &s.health_b, s.now);
	sim_run(&s, 50);
	assert_int_equal(s.suspects, 0);
	assert_int_equal(shown_delivery(&s), CELL_OK);
	detect_free(s.d);
}

static void a_new_pair_is_given_time_but_a_dead_one_is_found(void **state)
{
	(void)state;
	struct sim s = sim_new(KIND_UDP);
	s.loss = 1;
	sim_run(&s, 14);
	assert_int_equal(s.suspects, 0);
	sim_run(&s, 20);
	assert_true(s.suspects > 0);
	assert_int_equal(shown_delivery(&s), CELL_LOST);
	detect_free(s.d);
}

static void what_the_receiver_cannot_see_stays_unknown(void **state)
{
	(void)state;
	struct sim s = sim_new(KIND_ICMP);
	detect_deaf(s.d, B, KIND_BIT(KIND_ICMP));
	sim_run(&s, 60);
	assert_int_equal(shown_delivery(&s), CELL_UNKNOWN);
	assert_int_equal(shown_initiation(&s), CELL_OK);
	assert_true(detect_all_measured(s.d));
	detect_free(s.d);
}

static void offline_members_are_not_waited_for(void **state)
{
	(void)state;
	struct sim s = sim_new(KIND_UDP);
	detect_online(s.d, A, true, s.now);
	detect_online(s.d, B, true, s.now);
	assert_false(detect_all_measured(s.d));
	detect_online(s.d, B, false, s.now);
	assert_true(detect_all_measured(s.d));
	detect_free(s.d);
}

static void rows_of_others_and_of_other_kinds_are_ignored(void **state)
{
	(void)state;
	struct sim s = sim_settled(KIND_UDP);
	struct watch_row bad[] = {
	    {.pair = PAIR, .kind = KIND_UDP, .sender = true, .sent = 60, .wants_answer = true}, /* told by the receiver */
	    {.pair = PAIR, .kind = KIND_ICMP, .sender = true, .sent = 60, .wants_answer = true},
	    {.pair = PAIR, .kind = 200, .sender = true, .sent = 60},
	    {.pair = PAIR, .kind = KIND_UDP, .dir = 9, .sender = true, .sent = 60},
	    {.pair = 4000000, .kind = KIND_UDP, .sender = true, .sent = 60},
	    {.pair = PAIR, .kind = KIND_SERVICE, .sender = true, .sent = 60},
	};
	detect_rows(s.d, B, bad, 6, &s.health_b, s.now);
	assert_int_equal(detect_stats(s.d).foreign_rows, 6);
	sim_run(&s, 30);
	assert_int_equal(s.suspects, 0);
	detect_free(s.d);
}

static void a_pair_that_is_forgotten_or_redeclared_starts_anew(void **state)
{
	(void)state;
	struct sim s = sim_settled(KIND_UDP);
	s.loss = 1;
	sim_run(&s, 20);
	detect_pair(s.d, PAIR, A, B, (kind_mask[2]){KIND_BIT(KIND_UDP), 0});
	assert_int_equal(shown_delivery(&s), CELL_LOST); /* the same again changes nothing */
	detect_pair(s.d, PAIR, A, B, (kind_mask[2]){0, 0});
	struct cells c;
	assert_false(detect_cells(s.d, PAIR, &c));
	sim_run(&s, 5);
	detect_pair(s.d, PAIR, A, 3, (kind_mask[2]){KIND_BIT(KIND_UDP), 0});
	assert_int_equal(shown_delivery(&s), CELL_UNKNOWN);
	detect_free(s.d);
}

static void events_that_find_no_room_come_later(void **state)
{
	(void)state;
	struct detect *d = detect_new();
	struct mono now = {9000000000};
	struct health h = {0};
	for (uint32_t p = 0; p < 20; p++)
		detect_pair(d, p, A, B, (kind_mask[2]){KIND_BIT(KIND_UDP), 0});
	for (uint32_t i = 0; i < 40; i++) {
		now = mono_add_ms(now, 100);
		for (uint32_t p = 0; p < 20; p++) {
			struct watch_row r = {
			    .pair = p, .kind = KIND_UDP, .sender = true, .epoch = i, .sent = 1, .not_sent = 1, .error = EPERM};
			detect_rows(d, A, &r, 1, &h, now);
		}
	}
	struct detect_event e[8];
	assert_int_equal(detect_tick(d, now, e, 8), 8);
	assert_int_equal(detect_tick(d, now, e, 8), 8);
	assert_int_equal(detect_tick(d, now, e, 8), 4);
	assert_int_equal(detect_tick(d, now, e, 8), 0);
	detect_free(d);
}

static void a_direction_costs_at_most_128_bytes(void **state)
{
	(void)state;
	print_message("%zu bytes per direction\n", detect_bytes_per_direction());
	assert_true(detect_bytes_per_direction() <= 128);
}

/* ---- quality ---- */

/* Several kinds, each probed ten times a second, all losing a little: what none of them shows in time, all together do. */
static double seconds_to_doubt(double loss, uint64_t seed)
{
	static const uint8_t kinds[] = {KIND_ICMP, KIND_UDP, KIND_ICMP6, KIND_UDP6};
	kind_mask mask = 0;
	for (size_t i = 0; i < sizeof kinds; i++)
		mask |= KIND_BIT(kinds[i]);
	struct sim s = sim_new(KIND_UDP);
	s.random = seed;
	s.loss = loss;
	detect_pair(s.d, PAIR, A, B, (kind_mask[2]){mask, 0});
	unsigned step = 0;
	for (; step < 1200 && !(step > 60 && s.doubts + s.suspects); step++) {
		if (step == 60)
			s.doubts = s.suspects = 0;
		for (size_t i = 0; i < sizeof kinds; i++) {
			struct watch_row sent = {.pair = PAIR,
			                         .kind = kinds[i],
			                         .sender = true,
			                         .epoch = step,
			                         .sent = 1,
			                         .answered = 1},
			                 got = {.pair = PAIR, .kind = kinds[i], .epoch = step};
			got.seen = step > 60 && sim_random(&s) < s.loss ? 0 : 1;
			detect_rows(s.d, B, &got, got.seen != 0, &s.health_b, s.now);
			detect_rows(s.d, A, &sent, 1, &s.health_a, s.now);
		}
		s.now = mono_add_ms(s.now, STEP_MS);
		sim_tick(&s);
	}
	detect_free(s.d);
	return (step - 60) * STEP_MS / 1000.0;
}

static void little_losses_of_several_kinds_are_doubted_soon(void **state)
{
	(void)state;
	double five = 0, one = 0;
	for (uint64_t run = 1; run <= 20; run++) {
		double x = seconds_to_doubt(0.05, run * 7919), y = seconds_to_doubt(0.01, run * 104729);
		five += x > 4.5;
		one += y > 27;
	}
	print_message("5 %%: %.0f of 20 later than 4.5 s, 1 %%: %.0f of 20 later than 27 s\n", five, one);
	assert_true(five <= 2 && one <= 2);
}

static void a_round_trip_that_stays_long_is_slow(void **state)
{
	(void)state;
	struct sim s = sim_settled(KIND_ICMP);
	struct cells c;
	assert_true(detect_cells(s.d, PAIR, &c));
	assert_in_range(c.usual_us[0], 280, 320);
	s.rtt_us = 20000;
	sim_run(&s, 20);
	assert_int_equal(s.suspects, 1);
	assert_true(s.last.poor);
	assert_int_equal(shown_initiation(&s), CELL_SLOW);
	s.rtt_us = 0;
	sim_run(&s, 40);
	assert_int_equal(s.wells, 1);
	assert_int_equal(shown_initiation(&s), CELL_OK);
	detect_free(s.d);
}

/* A busy machine: long ones in between, for seconds, and quick ones again and again. */
static void single_long_round_trips_are_not(void **state)
{
	(void)state;
	struct sim s = sim_settled(KIND_ICMP);
	for (unsigned i = 0; i < 3000; i++) {
		s.rtt_us = i % 7 ? 15000 + i % 1000 : 900;
		sim_run(&s, 1);
	}
	assert_int_equal(s.suspects, 0);
	assert_int_equal(shown_initiation(&s), CELL_OK);
	detect_free(s.d);
}

static void who_is_late_himself_calls_nothing_slow(void **state)
{
	(void)state;
	struct sim s = sim_settled(KIND_ICMP);
	s.rtt_us = 50000;
	s.health_a.lag_us = 40000;
	sim_run(&s, 200);
	assert_int_equal(s.suspects, 0);
	detect_free(s.d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_healthy_pair_is_ok),
	    cmocka_unit_test(full_loss_decides_within_three_probes),
	    cmocka_unit_test(small_loss_decides_within_a_bounded_number_of_probes),
	    cmocka_unit_test(partial_loss_is_called_so),
	    cmocka_unit_test(a_million_epochs_with_one_lost_in_ten_thousand_alarm_nobody),
	    cmocka_unit_test(only_the_answers_lost_is_initiation_only),
	    cmocka_unit_test(a_paused_machine_is_no_fault),
	    cmocka_unit_test(refusals_are_called_so),
	    cmocka_unit_test(a_refusal_of_the_own_kernel_needs_no_witness),
	    cmocka_unit_test(five_good_probes_end_a_full_loss),
	    cmocka_unit_test(partial_loss_does_not_flap),
	    cmocka_unit_test(little_losses_of_several_kinds_are_doubted_soon),
	    cmocka_unit_test(a_round_trip_that_stays_long_is_slow),
	    cmocka_unit_test(single_long_round_trips_are_not),
	    cmocka_unit_test(who_is_late_himself_calls_nothing_slow),
	    cmocka_unit_test(of_a_world_that_changed_nothing_is_held_against_a_pair),
	    cmocka_unit_test(a_silent_receiver_is_no_loss),
	    cmocka_unit_test(a_restarted_receiver_is_no_loss),
	    cmocka_unit_test(a_silent_sender_is_unknown),
	    cmocka_unit_test(a_sick_receiver_is_no_witness),
	    cmocka_unit_test(a_sick_sender_knows_nothing_of_answers),
	    cmocka_unit_test(a_receiver_that_stood_still_is_no_witness),
	    cmocka_unit_test(a_clock_that_was_set_changes_nothing),
	    cmocka_unit_test(late_rows_of_the_receiver_are_waited_for),
	    cmocka_unit_test(a_backlog_after_a_gap_is_no_loss),
	    cmocka_unit_test(a_new_pair_is_given_time_but_a_dead_one_is_found),
	    cmocka_unit_test(what_the_receiver_cannot_see_stays_unknown),
	    cmocka_unit_test(offline_members_are_not_waited_for),
	    cmocka_unit_test(rows_of_others_and_of_other_kinds_are_ignored),
	    cmocka_unit_test(a_pair_that_is_forgotten_or_redeclared_starts_anew),
	    cmocka_unit_test(events_that_find_no_room_come_later),
	    cmocka_unit_test(a_direction_costs_at_most_128_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
