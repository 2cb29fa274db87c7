/* scenarios: what the whole has to do, told in sentences. Argument: [SEED]. */
#include "tests/sim/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t seed = 20240607;

/* Two hosts, two guests of one tenant on each. */
struct fleet_of_six {
	struct sim *s;
	int host1, host2, vm1, vm2, vm3, vm4; /* vm1, vm2 on host1; vm3, vm4 on host2 */
};

static struct fleet_of_six six_make(bool watching)
{
	struct fleet_of_six f = {.s = sim_new(seed)};
	f.host1 = world_host(f.s, true);
	f.host2 = world_host(f.s, true);
	f.vm1 = world_guest(f.s, f.host1, 1);
	f.vm2 = world_guest(f.s, f.host1, 1);
	f.vm3 = world_guest(f.s, f.host2, 1);
	f.vm4 = world_guest(f.s, f.host2, 1);
	f.s->watching = watching;
	world_start(f.s);
	return f;
}

/* Watching for long enough that everything has been measured. */
static struct fleet_of_six six_watched(void)
{
	struct fleet_of_six f = six_make(true);
	sim_run(f.s, 6000);
	assert_true(detect_all_measured(f.s->c.detect));
	assert_int_equal(f.s->c.event_count, 0);
	return f;
}

static struct net_fault *cut_hop(struct fleet_of_six *f, int from, int to, size_t hop, kind_mask kinds)
{
	struct hop_end path[SIM_PATH_MAX];
	world_path(f->s, from, to, 1, path);
	return net_fault_add(f->s, path[hop], path[hop + 1], kinds);
}

/* The same on every hop between two guests, both ways. */
static void spoil_everywhere(struct fleet_of_six *f, int from, int to, const struct net_fault *how)
{
	struct hop_end path[SIM_PATH_MAX];
	for (int turned = 0; turned < 2; turned++) {
		size_t n = world_path(f->s, turned ? to : from, turned ? from : to, 1, path);
		for (size_t i = 1; i + 2 < n && f->s->fault_count < SIM_FAULTS; i += 2) {
			struct net_fault *x = net_fault_add(f->s, path[i], path[i + 1], ~(kind_mask)0);
			struct hop_end after = x->after, before = x->before;
			*x = *how;
			x->after = after;
			x->before = before;
		}
	}
}

static const kind_mask everything = ~(kind_mask)0;

/* The direction of the pair (a, b) in which an event sees lost deliveries: 1 << dir, in the order given here. */
static unsigned bad_directions(struct fleet_of_six *f, const struct detect_event *e, int a, int b)
{
	const struct pair *p = planner_pair(f->s->c.planner, e->pair);
	uint32_t ida = f->s->c.ledger[a].id, idb = f->s->c.ledger[b].id;
	bool same = p && p->a == ida && p->b == idb, turned = p && p->a == idb && p->b == ida;
	if (!same && !turned)
		return 0;
	unsigned there = e->delivery[same ? 0 : 1] != 0, back = e->delivery[same ? 1 : 0] != 0;
	return there | back << 1;
}

static int64_t suspected_after_ms(struct fleet_of_six *f, struct mono since, int a, int b, unsigned *directions)
{
	for (size_t i = 0; i < f->s->c.event_count; i++) {
		const struct detect_event *e = &f->s->c.events[i].event;
		unsigned d = e->type == DETECT_SUSPECT ? bad_directions(f, e, a, b) : 0;
		*directions |= d;
		if (d)
			return mono_ms_since(since, f->s->c.events[i].at);
	}
	return -1;
}

/* ---- detection ---- */

static void a_link_that_loses_one_in_ten_thousand_raises_no_alarm(void **state)
{
	(void)state;
	struct fleet_of_six f = six_watched();
	struct net_fault how = {.kinds = everything, .probes = true, .answers = true, .lose_ppm = 100, .jitter_us = 300};
	spoil_everywhere(&f, f.vm1, f.vm3, &how);
	sim_run(f.s, 60000);
	assert_true(f.s->packets > 10000);
	assert_int_equal(f.s->c.event_count, 0);
	sim_free(f.s);
}

static void a_one_way_loss_is_suspected_by_itself_and_in_the_right_direction(void **state)
{
	(void)state;
	struct fleet_of_six f = six_watched();
	unsigned directions = 0;
	cut_hop(&f, f.vm1, f.vm3, 3, everything); /* between the uplinks: hits vm1, vm2 -> vm3, vm4 */
	struct mono since = f.s->now;
	sim_run(f.s, 3000);
	int64_t ms = suspected_after_ms(&f, since, f.vm1, f.vm3, &directions);
	assert_in_range(ms, 1, 1500);
	assert_int_equal(directions, 1);
	sim_free(f.s);
}

static void a_gray_one_way_loss_is_suspected_too(void **state)
{
	(void)state;
	struct fleet_of_six f = six_watched();
	unsigned directions = 0;
	cut_hop(&f, f.vm3, f.vm1, 3, everything)->lose_ppm = 100000;
	struct mono since = f.s->now;
	sim_run(f.s, 30000);
	int64_t ms = suspected_after_ms(&f, since, f.vm1, f.vm3, &directions);
	assert_in_range(ms, 1, 30000);
	assert_int_equal(directions, 2);
	sim_free(f.s);
}

static void what_is_repaired_is_called_well_again(void **state)
{
	(void)state;
	struct fleet_of_six f = six_watched();
	cut_hop(&f, f.vm1, f.vm3, 3, everything);
	sim_run(f.s, 3000);
	f.s->fault_count = 0;
	sim_run(f.s, 45000);
	size_t suspect = 0, well = 0;
	for (size_t i = 0; i < f.s->c.event_count; i++) {
		suspect += f.s->c.events[i].event.type == DETECT_SUSPECT;
		well += f.s->c.events[i].event.type == DETECT_WELL;
	}
	assert_true(suspect > 0);
	assert_true(well > 0);
	assert_int_equal(f.s->c.events[f.s->c.event_count - 1].event.type, DETECT_WELL);
	sim_free(f.s);
}

static void detection_leads_to_the_cut(void **state)
{
	(void)state;
	struct fleet_of_six f = six_watched();
	char name[POINT_NAME_MAX];
	cut_hop(&f, f.vm1, f.vm3, 4, everything);
	sim_run(f.s, 2000);
	assert_true(f.s->c.event_count > 0);
	struct verdict *v = collector_diagnose(f.s, f.vm1, f.vm3);
	assert_non_null(v);
	assert_int_equal(v->state, STATE_ONE_WAY);
	assert_int_equal(v->dir[0].cut_count, 1);
	assert_int_equal(v->dir[1].cut_count, 0);
	const struct cut *c = &v->dir[0].cuts[0];
	char expected[POINT_NAME_MAX];
	snprintf(expected, sizeof expected, "%s:up1", f.s->machines[f.host2].name);
	assert_string_equal(path_point_name(&v->dir[0].path[c->after], name), expected);
	snprintf(expected, sizeof expected, "%s:%s", f.s->machines[f.host2].name, f.s->machines[f.vm3].port);
	assert_string_equal(path_point_name(&v->dir[0].path[c->before], name), expected);
	verdict_free(v);
	sim_free(f.s);
}

static const struct witness *witness_of(const struct fleet_of_six *f, const struct dossier *d, int from, int to)
{
	for (size_t i = 0; i < d->witness_count; i++) {
		const struct witness *w = &d->witnesses[i];
		if (strcmp(w->from_name, f->s->machines[from].name) == 0 && strcmp(w->to_name, f->s->machines[to].name) == 0)
			return w;
	}
	return NULL;
}

static void other_pairs_bear_witness(void **state)
{
	(void)state;
	struct fleet_of_six f = six_watched();
	struct dossier *d = mem_alloc(sizeof *d);
	cut_hop(&f, f.vm1, f.vm3, 3, everything);
	sim_run(f.s, 3000);
	assert_true(collector_round(f.s, f.vm1, f.vm3));
	round_dossier(f.s->c.round, f.s->c.fleet, f.s->c.planner, f.s->c.detect, sim_wall(f.s), d);
	const struct witness *neighbours = witness_of(&f, d, f.vm1, f.vm2), *beside = witness_of(&f, d, f.vm2, f.vm4);
	assert_non_null(neighbours);
	assert_true(neighbours->same_host);
	assert_int_equal(neighbours->from, PARTY_A);
	assert_int_equal(neighbours->to, -1);
	assert_int_equal(neighbours->delivery[KIND_ICMP], CELL_OK);
	assert_non_null(beside);
	assert_false(beside->same_host);
	assert_true(cell_is_bad(beside->delivery[KIND_ICMP]));
	assert_int_equal(witness_of(&f, d, f.vm4, f.vm2)->delivery[KIND_ICMP], CELL_OK);
	assert_null(witness_of(&f, d, f.vm1, f.vm3)); /* the pair itself is none */
	dossier_clear(d);
	free(d);
	sim_free(f.s);
}

/* ---- reports ---- */

static uint64_t rows_reported(const struct sim *s)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < s->machine_count; i++)
		sum += s->machines[i].rows_reported;
	return sum;
}

static void assert_every_row_was_applied_once(struct sim *s)
{
	s->watching = false;
	s->control_loss_ppm = s->control_double_ppm = s->control_jitter_us = 0;
	sim_run(s, 5000);
	assert_true(rows_reported(s) > 100);
	assert_int_equal(s->c.rows_applied, rows_reported(s));
	for (size_t i = 0; i < s->machine_count; i++)
		assert_int_equal(spool_bytes(s->machines[i].spool), 0);
}

static void reports_survive_a_restart_of_the_collector(void **state)
{
	(void)state;
	struct fleet_of_six f = six_watched();
	collector_stop(f.s);
	sim_run(f.s, 4000);
	collector_start(f.s);
	for (size_t i = 0; i < f.s->machine_count; i++)
		agent_connect(f.s, (int)i);
	sim_run(f.s, 8000);
	assert_true(detect_all_measured(f.s->c.detect));
	assert_int_equal(f.s->c.event_count, 0);
	assert_every_row_was_applied_once(f.s);
	sim_free(f.s);
}

static void doubled_lost_and_reordered_reports_are_applied_once(void **state)
{
	(void)state;
	struct fleet_of_six f = six_make(true);
	f.s->control_loss_ppm = 50000;
	f.s->control_double_ppm = 200000;
	f.s->control_jitter_us = 600000;
	sim_run(f.s, 30000);
	assert_true(f.s->c.again > 0);
	assert_every_row_was_applied_once(f.s);
	sim_free(f.s);
}

/* ---- sick observers ---- */

static void assert_no_loss_was_claimed(const struct sim *s)
{
	for (size_t i = 0; i < s->c.event_count; i++) {
		const struct detect_event *e = &s->c.events[i].event;
		assert_false(e->type == DETECT_SUSPECT && (e->delivery[0] || e->delivery[1]));
	}
}

static void a_paused_agent_is_not_called_loss(void **state)
{
	(void)state;
	const int64_t pauses[] = {300, 900, 2000, 6000, 10000};
	for (size_t i = 0; i < sizeof pauses / sizeof *pauses; i++) {
		struct fleet_of_six f = six_watched();
		agent_pause(f.s, f.vm3, true);
		sim_run(f.s, pauses[i]);
		agent_pause(f.s, f.vm3, false);
		sim_run(f.s, 5000);
		assert_no_loss_was_claimed(f.s);
		sim_free(f.s);
	}
}

static void clock_steps_do_not_matter(void **state)
{
	(void)state;
	struct fleet_of_six f = six_watched();
	const int64_t steps[] = {3600, -86400, 7, -3};
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		f.s->wall_offset.ns += steps[i] * 1000000000;
		f.s->machines[f.vm1].health.clock_step_us = steps[i] * 1000000;
		sim_run(f.s, 3000);
	}
	assert_int_equal(f.s->c.event_count, 0);
	struct verdict *v = collector_diagnose(f.s, f.vm1, f.vm3);
	assert_int_equal(v->state, STATE_OK);
	verdict_free(v);
	sim_free(f.s);
}

static void a_host_that_sleeps_through_a_round_only_blurs_the_cut(void **state)
{
	(void)state;
	struct fleet_of_six f = six_make(false);
	char name[POINT_NAME_MAX], expected[POINT_NAME_MAX];
	cut_hop(&f, f.vm1, f.vm3, 4, everything);
	agent_pause(f.s, f.host2, true);
	struct verdict *v = collector_diagnose(f.s, f.vm1, f.vm3);
	assert_int_equal(v->state, STATE_ONE_WAY);
	assert_true(v->took_ms < 2500);
	assert_int_equal(v->dir[0].cut_count, 1);
	snprintf(expected, sizeof expected, "%s:up1", f.s->machines[f.host1].name);
	assert_string_equal(path_point_name(&v->dir[0].path[v->dir[0].cuts[0].after], name), expected);
	assert_true(v->note_count > 0);
	verdict_free(v);
	sim_free(f.s);
}

static void an_end_that_sleeps_through_a_round_is_unknown_not_lost(void **state)
{
	(void)state;
	struct fleet_of_six f = six_make(false);
	agent_pause(f.s, f.vm3, true);
	struct verdict *v = collector_diagnose(f.s, f.vm1, f.vm3);
	assert_int_equal(v->dir[0].delivery[KIND_UDP], CELL_UNKNOWN);
	assert_int_equal(v->dir[0].delivery[KIND_ICMP], CELL_OK); /* its kernel is awake */
	assert_int_equal(v->dir[1].delivery[KIND_UDP], CELL_UNKNOWN);
	assert_int_equal(v->dir[0].initiation[KIND_UDP], CELL_UNKNOWN); /* who would answer it? */
	assert_int_equal(v->dir[0].initiation[KIND_TCP], CELL_OK);
	assert_int_not_equal(v->state, STATE_ONE_WAY);
	verdict_free(v);
	sim_free(f.s);
}

static void assert_nothing_is_lost(const struct verdict *v, int64_t after, int64_t ms)
{
	for (int dir = 0; dir < 2; dir++) {
		for (int k = 0; k < KIND_COUNT; k++) {
			if (v->dir[dir].delivery[k] == CELL_LOST || v->dir[dir].delivery[k] == CELL_PARTIAL)
				fail_msg("asleep for %lld ms after %lld: %s is called lost", (long long)ms, (long long)after,
				         kind_info((enum kind)k)->name);
		}
		assert_int_equal(v->dir[dir].cut_count, 0);
	}
}

/* Whenever it falls asleep, and however long: it sends late, or not at all, and hears late. */
static void an_observer_short_of_cpu_is_unknown_not_lost(void **state)
{
	(void)state;
	static const int64_t naps[] = {100, 300, 400, 600, 1000, 10000};
	for (int64_t after = 0; after < 300; after += 30) {
		for (size_t i = 0; i < sizeof naps / sizeof *naps * 2; i++) {
			struct fleet_of_six f = six_make(false);
			struct verdict *v = collector_diagnose_nap(f.s, f.vm1, f.vm3, i % 2 ? f.vm3 : f.vm1, after, naps[i / 2]);
			assert_nothing_is_lost(v, after, naps[i / 2]);
			verdict_free(v);
			sim_free(f.s);
		}
	}
}

static bool has_note(const struct verdict *v, const char *part)
{
	for (size_t i = 0; i < v->note_count; i++)
		if (strstr(v->notes[i], part))
			return true;
	return false;
}

/* Not heard for some seconds, an agent may still only be short of CPU; later it is taken to be away. */
static void a_silent_agent_may_be_slow_for_a_while(void **state)
{
	(void)state;
	for (int late = 0; late < 2; late++) {
		struct fleet_of_six f = six_watched();
		agent_pause(f.s, f.vm3, true);
		sim_run(f.s, late ? FLEET_SLOW_MS + 2000 : FLEET_OFFLINE_MS + 2000);
		struct verdict *v = collector_diagnose(f.s, f.vm1, f.vm3);
		assert_non_null(v);
		assert_int_equal(has_note(v, "stopped, or too slow"), !late);
		assert_int_equal(has_note(v, "is not connected"), late);
		verdict_free(v);
		sim_free(f.s);
	}
}

/* ---- networks that deliver, but badly ---- */

static void a_network_that_doubles_packets_is_degraded_and_has_no_cut(void **state)
{
	(void)state;
	struct fleet_of_six f = six_make(false);
	struct net_fault *x = cut_hop(&f, f.vm1, f.vm3, 3, everything);
	x->lose_ppm = 0;
	x->double_ppm = 1000000;
	struct verdict *v = collector_diagnose(f.s, f.vm1, f.vm3);
	assert_int_equal(v->state, STATE_DEGRADED);
	assert_int_equal(v->dir[0].cut_count + v->dir[1].cut_count, 0);
	verdict_free(v);
	sim_free(f.s);
}

static void a_slow_network_is_slow_not_lost(void **state)
{
	(void)state;
	struct fleet_of_six f = six_make(false);
	struct net_fault *x = cut_hop(&f, f.vm1, f.vm3, 3, KIND_MASK_4);
	x->lose_ppm = 0;
	x->delay_us = 300000;
	struct verdict *v = collector_diagnose(f.s, f.vm1, f.vm3);
	assert_int_equal(v->state, STATE_DEGRADED);
	assert_int_equal(v->dir[0].delivery[KIND_ICMP], CELL_OK);
	assert_int_equal(v->dir[0].initiation[KIND_ICMP], CELL_SLOW);
	assert_int_equal(v->dir[0].cut_count + v->dir[1].cut_count, 0);
	verdict_free(v);
	sim_free(f.s);
}

static void a_state_table_that_lets_only_answers_through_is_reply_only(void **state)
{
	(void)state;
	struct fleet_of_six f = six_make(false);
	cut_hop(&f, f.vm1, f.vm3, 6, KIND_MASK_4)->answers = false; /* before vm3's socket */
	struct verdict *v = collector_diagnose(f.s, f.vm1, f.vm3);
	assert_int_equal(v->dir[0].delivery[KIND_TCP], CELL_LOST);
	assert_int_equal(v->dir[0].initiation[KIND_TCP], CELL_REPLY_ONLY);
	assert_int_equal(v->dir[1].initiation[KIND_TCP], CELL_OK);
	assert_int_equal(v->state, STATE_ONE_WAY);
	verdict_free(v);
	sim_free(f.s);
}

static void a_healthy_round_takes_less_than_half_a_second_and_a_broken_one_less_than_two(void **state)
{
	(void)state;
	struct fleet_of_six f = six_make(false);
	struct verdict *v = collector_diagnose(f.s, f.vm1, f.vm3);
	assert_int_equal(v->state, STATE_OK);
	assert_in_range(v->took_ms, 1, 499);
	verdict_free(v);
	cut_hop(&f, f.vm1, f.vm3, 3, KIND_BIT(KIND_ICMP_LARGE) | KIND_BIT(KIND_UDP_LARGE)); /* with the ladder */
	v = collector_diagnose(f.s, f.vm1, f.vm3);
	assert_int_equal(v->state, STATE_ONE_WAY);
	assert_in_range(v->took_ms, 500, 1999);
	verdict_free(v);
	sim_free(f.s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_link_that_loses_one_in_ten_thousand_raises_no_alarm),
	    cmocka_unit_test(a_one_way_loss_is_suspected_by_itself_and_in_the_right_direction),
	    cmocka_unit_test(a_gray_one_way_loss_is_suspected_too),
	    cmocka_unit_test(what_is_repaired_is_called_well_again),
	    cmocka_unit_test(detection_leads_to_the_cut),
	    cmocka_unit_test(other_pairs_bear_witness),
	    cmocka_unit_test(reports_survive_a_restart_of_the_collector),
	    cmocka_unit_test(doubled_lost_and_reordered_reports_are_applied_once),
	    cmocka_unit_test(a_paused_agent_is_not_called_loss),
	    cmocka_unit_test(clock_steps_do_not_matter),
	    cmocka_unit_test(a_host_that_sleeps_through_a_round_only_blurs_the_cut),
	    cmocka_unit_test(an_end_that_sleeps_through_a_round_is_unknown_not_lost),
	    cmocka_unit_test(an_observer_short_of_cpu_is_unknown_not_lost),
	    cmocka_unit_test(a_network_that_doubles_packets_is_degraded_and_has_no_cut),
	    cmocka_unit_test(a_slow_network_is_slow_not_lost),
	    cmocka_unit_test(a_silent_agent_may_be_slow_for_a_while),
	    cmocka_unit_test(a_state_table_that_lets_only_answers_through_is_reply_only),
	    cmocka_unit_test(a_healthy_round_takes_less_than_half_a_second_and_a_broken_one_less_than_two),
	};
	if (argc > 1)
		seed = strtoull(argv[1], NULL, 10);
	printf("seed %llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
