/* What a train of probes says of the way: two machines, a wire between them, and what both ends and their interfaces saw. */
#include "collector/correlate.h"
#include "proto/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FLOWS 6
#define ALL   (~(seqset)0)
enum { NIC_A, NIC_B };

/* The way a -> b: what the wire does to a probe, and how late programs and clocks are. */
struct wire {
	uint32_t delay_us;               /* one way */
	uint32_t (*more_us)(unsigned i); /* on top, of the i-th packet */
	bool (*loses)(unsigned i);
	bool (*damages)(unsigned i);
	uint16_t duplicates;                /* of every flow, behind the wire */
	uint32_t gap_us;                    /* between the packets of the burst, behind the wire */
	bool in_order;                      /* nothing overtakes */
	uint32_t (*program_us)(unsigned i); /* the receiver's program */
	uint32_t back_us;                   /* the way back */
};

struct table {
	struct dossier d;
	struct round_result result[2];
	struct snapshot *facts;
	struct verdict *v;
};

static struct flow_times *row(struct round_result *r, uint8_t point, uint8_t flow, uint8_t part)
{
	struct flow_times *t = &r->times[r->times_count++];
	*t = (struct flow_times){.point = point, .flow = flow, .part = part};
	return t;
}

static void note(struct flow_times *t, unsigned seq, uint32_t at)
{
	t->seqs |= (seqset)1 << seq;
	t->at_us[seq] = at;
}

#define B_CLOCK 4000000 /* b's clock is ahead by that */

static void flow_fill(struct table *t, const struct wire *w, uint8_t id, bool burst)
{
	struct round_result *a = &t->result[0], *b = &t->result[1];
	struct flow_times *sent = row(a, TIMES_SOCKET, id, PART_PROBE), *out = row(a, NIC_A, id, PART_PROBE),
	                  *in = row(b, NIC_B, id, PART_PROBE), *got = row(b, TIMES_SOCKET, id, PART_PROBE),
	                  *answer = row(a, TIMES_SOCKET, id, PART_ANSWER), *answer_a = row(a, NIC_A, id, PART_ANSWER),
	                  *answer_b = row(b, NIC_B, id, PART_ANSWER);
	struct flow_sent *s = &a->sent[a->sent_count++];
	struct flow_received *r = &b->received[b->received_count++];
	struct point_seen *pa = &a->seen[a->seen_count++], *pb = &b->seen[b->seen_count++];
	*s = (struct flow_sent){.flow = id, .status = FLOW_DONE, .sent = ALL};
	*r = (struct flow_received){.flow = id, .looked = true};
	*pa = (struct point_seen){.point = NIC_A, .flow = id, .probes = ALL};
	*pb = (struct point_seen){.point = NIC_B, .flow = id, .duplicates = w->duplicates};
	uint32_t last = 0, last_done = 0;
	for (unsigned seq = 0; seq < FLOW_PROBES_MAX; seq++) {
		unsigned i = id * FLOW_PROBES_MAX + seq;
		uint32_t at = 100000 + (burst ? 12 * seq : 6000 * seq);
		uint32_t there = at + 20 + w->delay_us + (w->more_us ? w->more_us(i) : 0) + (burst ? w->gap_us * seq : 0) + B_CLOCK;
		if (w->in_order && there < last)
			there = last;
		last = there;
		uint32_t done = there + 30 + (w->program_us ? w->program_us(i) : 0);
		if (done < last_done) /* a socket is a queue */
			done = last_done;
		last_done = done;
		note(sent, seq, at);
		note(out, seq, at + 20);
		if (w->loses && w->loses(i))
			continue;
		note(in, seq, there);
		pb->probes |= (seqset)1 << seq;
		if (w->damages && w->damages(i)) {
			pb->damaged |= (seqset)1 << seq;
			continue;
		}
		note(got, seq, done);
		r->seen |= (seqset)1 << seq;
		if (seq % 4 || burst)
			continue;
		s->answered |= (seqset)1 << seq;
		note(answer_b, seq, done + 20);
		note(answer_a, seq, done + 20 + w->back_us - B_CLOCK);
		note(answer, seq, done + 40 + w->back_us - B_CLOCK);
	}
}

static struct table *judged(const struct wire *w, uint32_t usual_us)
{
	struct table *t = mem_alloc(sizeof *t);
	struct dossier *d = &t->d;
	d->party_count = 2;
	d->point_count = 2;
	d->onlink = true;
	d->usual_us[0] = usual_us;
	t->facts = snapshot_new();
	for (int i = 0; i < 2; i++) {
		snprintf(d->party[i].name, sizeof d->party[i].name, "%c", 'a' + i);
		d->party[i].reported = d->party[i].online = true;
		d->party[i].result = &t->result[i];
		d->points[i].id = (uint8_t)i;
		d->points[i].party = i;
		d->points[i].role = POINT_NIC;
		snprintf(d->points[i].ifname, sizeof d->points[i].ifname, "eth0");
		t->result[i].status[t->result[i].status_count++] = (struct point_status){.point = (uint8_t)i, .armed = true};
		t->result[i].seen = mem_array(FLOWS + 1, sizeof(struct point_seen));
		t->result[i].times = mem_array((FLOWS + 1) * 7, sizeof(struct flow_times));
		for (int k = 0; k < 4; k++)
			d->path[i][k] = k == 0 ? -1 - i : k == 1 ? i : k == 2 ? 1 - i : -1 - (1 - i);
		d->path_count[i] = 4;
		d->path_complete[i] = true;
	}
	for (uint8_t id = 0; id <= FLOWS; id++) {
		bool burst = id == FLOWS;
		d->flows[d->flow_count++] = (struct flow){.id = id,
		                                          .kind = burst ? KIND_UDP_LARGE : KIND_UDP,
		                                          .stage = burst ? STAGE_BURST_A : STAGE_TRAIN,
		                                          .count = FLOW_PROBES_MAX,
		                                          .size = burst ? 1500 : 300,
		                                          .timed = true,
		                                          .ports = 1,
		                                          .asks = 4};
		flow_fill(t, w, id, burst);
	}
	t->v = verdict_new();
	correlate(d, t->v);
	return t;
}

static void table_free(struct table *t)
{
	round_result_clear(&t->result[0]);
	round_result_clear(&t->result[1]);
	snapshot_free(t->facts);
	verdict_free(t->v);
	free(t);
}

static const struct odd *only_odd(const struct table *t, enum oddity what)
{
	const struct quality *q = &t->v->dir[0].quality;
	assert_true(q->measured);
	if (q->odd_count != 1 || q->odds[0].what != what)
		for (size_t i = 0; i < q->odd_count; i++)
			print_message("%s %u\n", odd_name((enum oddity)q->odds[i].what), q->odds[i].amount);
	assert_int_equal(q->odd_count, 1);
	assert_int_equal(q->odds[0].what, what);
	return &q->odds[0];
}

static void assert_on_the_wire(const struct odd *o)
{
	assert_int_equal(o->after, 1);
	assert_int_equal(o->before, 2);
}

static uint32_t random_of(unsigned i) /* the same every time */
{
	uint32_t x = i * 2654435761u + 12345;
	x ^= x >> 15;
	return (x * 2246822519u) >> 8;
}

/* ---- nothing is odd ---- */

/* One packet in ten is late by up to 20 ms, the programs are late all the time, and one packet in 400 is lost. */
static uint32_t busy_us(unsigned i) { return random_of(i) % 10 == 0 ? random_of(i + 7) % 20000 : random_of(i) % 300; }
static uint32_t busy_program_us(unsigned i) { return random_of(i + 3) % 12000; }
static bool lost_by_chance(unsigned i) { return i == 77; }

static void assert_nothing_odd(const struct table *t)
{
	const struct quality *q = &t->v->dir[0].quality;
	assert_true(q->measured);
	for (size_t i = 0; i < q->odd_count; i++)
		print_message("%s %u between %u and %u\n", odd_name((enum oddity)q->odds[i].what), q->odds[i].amount,
		              q->odds[i].after, q->odds[i].before);
	assert_int_equal(q->odd_count, 0);
}

static void a_busy_machine_is_not_odd(void **state)
{
	(void)state;
	const struct wire w = {.delay_us = 50,
	                       .back_us = 60,
	                       .more_us = busy_us,
	                       .program_us = busy_program_us,
	                       .loses = lost_by_chance,
	                       .in_order = true};
	struct table *t = judged(&w, 250);
	assert_nothing_odd(t);
	assert_int_equal(t->v->dir[0].quality.sent - t->v->dir[0].quality.received, 1);
	table_free(t);
}

static uint32_t some_overtaken(unsigned i) { return i % 50 == 0 ? 20000 : 0; }

static void a_little_disorder_is_not_odd(void **state)
{
	(void)state;
	const struct wire w = {.delay_us = 50, .back_us = 60, .more_us = some_overtaken, .duplicates = 0};
	struct table *t = judged(&w, 250);
	assert_nothing_odd(t);
	table_free(t);
}

/* An observer that slept is no witness. */
static void of_a_sleepy_observer_nothing_is_odd(void **state)
{
	(void)state;
	const struct wire w = {.delay_us = 40000, .back_us = 60};
	struct table *t = judged(&w, 250);
	assert_true(t->v->dir[0].quality.odd_count > 0);
	t->result[1].health.lag_us = 300000;
	verdict_free(t->v);
	t->v = verdict_new();
	correlate(&t->d, t->v);
	assert_nothing_odd(t);
	table_free(t);
}

/* ---- each of them, at its place ---- */

static bool two_of_a_hundred(unsigned i) { return random_of(i) % 50 == 0; }
static bool half(unsigned i) { return random_of(i) & 1; }

static void loss_is_counted_at_its_stretch(void **state)
{
	(void)state;
	const struct wire w = {.delay_us = 50, .back_us = 60, .loses = two_of_a_hundred};
	struct table *t = judged(&w, 250);
	const struct odd *o = only_odd(t, ODD_LOSS);
	assert_on_the_wire(o);
	assert_in_range(o->amount, 50, 400);
	assert_int_equal(t->v->dir[0].cut_count, 1);
	assert_true(t->v->dir[0].cuts[0].partial);
	table_free(t);
}

/* b's clock is four seconds ahead: that is no delay. */
static void delay_is_found_without_trusting_clocks(void **state)
{
	(void)state;
	const struct wire w = {.delay_us = 30000, .back_us = 60};
	struct table *t = judged(&w, 250);
	const struct odd *o = only_odd(t, ODD_DELAY);
	assert_on_the_wire(o);
	assert_true(o->around);
	assert_in_range(o->amount, 29000, 31000);
	assert_int_equal(t->v->dir[0].initiation[KIND_UDP], CELL_UNKNOWN); /* nothing small was asked in this round */
	table_free(t);
}

static void what_was_always_far_away_is_not_slow(void **state)
{
	(void)state;
	const struct wire w = {.delay_us = 30000, .back_us = 30000};
	struct table *t = judged(&w, 60000);
	assert_nothing_odd(t);
	table_free(t);
}

static uint32_t gate_us(unsigned i) { return random_of(i) % 20000; }

static void jitter_is_told_from_delay(void **state)
{
	(void)state;
	const struct wire w = {.delay_us = 50, .back_us = 60, .more_us = gate_us};
	struct table *t = judged(&w, 250);
	const struct quality *q = &t->v->dir[0].quality;
	bool jitter = false;
	for (size_t i = 0; i < q->odd_count; i++) {
		jitter |= q->odds[i].what == ODD_JITTER;
		assert_int_not_equal(q->odds[i].what, ODD_DELAY);
	}
	assert_true(jitter);
	table_free(t);
}

static void copies_and_damage_are_counted(void **state)
{
	(void)state;
	const struct wire doubles = {.delay_us = 50, .back_us = 60, .duplicates = 9},
	                  breaks = {.delay_us = 50, .back_us = 60, .damages = two_of_a_hundred};
	struct table *t = judged(&doubles, 250);
	assert_on_the_wire(only_odd(t, ODD_DUPLICATES));
	table_free(t);
	t = judged(&breaks, 250);
	const struct quality *q = &t->v->dir[0].quality;
	bool damage = false;
	for (size_t i = 0; i < q->odd_count; i++)
		damage |= q->odds[i].what == ODD_DAMAGE && q->odds[i].after == 1 && q->odds[i].before == 2;
	assert_true(damage);
	table_free(t);
}

static uint32_t overtaking_us(unsigned i) { return half(i) ? 9000 : 0; }

static void disorder_is_counted(void **state)
{
	(void)state;
	const struct wire w = {.delay_us = 50, .back_us = 60, .more_us = overtaking_us};
	struct table *t = judged(&w, 250);
	const struct quality *q = &t->v->dir[0].quality;
	bool disorder = false;
	for (size_t i = 0; i < q->odd_count; i++)
		disorder |= q->odds[i].what == ODD_REORDER;
	assert_true(disorder);
	table_free(t);
}

static void a_narrow_place_shows_its_rate(void **state)
{
	(void)state;
	const struct wire w = {.delay_us = 50, .back_us = 60, .gap_us = 1500}; /* 1500 bytes in 1.5 ms */
	struct table *t = judged(&w, 250);
	assert_on_the_wire(only_odd(t, ODD_QUEUE));
	assert_in_range(t->v->dir[0].quality.rate_kbit, 7800, 8100);
	table_free(t);
}

/* Somebody else fills the narrow place now and then: what waits behind him is no matter of its own. */
static uint32_t gate_of_train_us(unsigned i) { return i < FLOWS * FLOW_PROBES_MAX ? gate_us(i) : 0; }

static void a_narrow_place_that_others_fill_is_one_thing(void **state)
{
	(void)state;
	const struct wire w = {.delay_us = 50, .back_us = 60, .gap_us = 1500, .more_us = gate_of_train_us, .in_order = true};
	struct table *t = judged(&w, 250);
	assert_on_the_wire(only_odd(t, ODD_QUEUE));
	table_free(t);
}

static void a_wide_one_does_not(void **state)
{
	(void)state;
	const struct wire w = {.delay_us = 50, .back_us = 60, .gap_us = 12}; /* a gigabit */
	struct table *t = judged(&w, 250);
	assert_nothing_odd(t);
	table_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_busy_machine_is_not_odd),
	    cmocka_unit_test(a_little_disorder_is_not_odd),
	    cmocka_unit_test(of_a_sleepy_observer_nothing_is_odd),
	    cmocka_unit_test(loss_is_counted_at_its_stretch),
	    cmocka_unit_test(delay_is_found_without_trusting_clocks),
	    cmocka_unit_test(what_was_always_far_away_is_not_slow),
	    cmocka_unit_test(jitter_is_told_from_delay),
	    cmocka_unit_test(copies_and_damage_are_counted),
	    cmocka_unit_test(disorder_is_counted),
	    cmocka_unit_test(a_narrow_place_shows_its_rate),
	    cmocka_unit_test(a_narrow_place_that_others_fill_is_one_thing),
	    cmocka_unit_test(a_wide_one_does_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
