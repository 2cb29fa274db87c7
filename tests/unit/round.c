/* round: what is asked of whom, and when it goes on without the silent ones. The fleet comes from the simulator's world;
 * the agents here are played by hand. */
#include "collector/round.h"
#include "tests/sim/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OUT_MAX 64

struct table { /* where a round is played */
	struct sim *s;
	int host1, host2, vm1, vm2, vm3; /* vm1, vm2 on host1 and host2; vm3 beside vm1 */
	struct round *round;
	size_t count;
	struct {
		const struct member *to;
		enum msg_type type;
		uint8_t stage;
	} out[OUT_MAX];
	struct round_spec specs[SIM_MACHINES]; /* by machine */
	struct dossier *d;
	kind_mask silent; /* of what stays unanswered: kinds of which nothing is answered */
};

static struct member *member(struct table *t, int machine)
{
	return fleet_find(t->s->c.fleet, t->s->machines[machine].name, NULL, NULL);
}

static void on_send(void *arg, struct member *to, const struct msg *m)
{
	struct table *t = arg;
	assert_in_range(t->count, 0, OUT_MAX - 1);
	t->out[t->count].to = to;
	t->out[t->count].type = m->type;
	t->out[t->count++].stage = m->type == MSG_ROUND_GO ? m->u.round_go.stage : 0;
	if (m->type == MSG_ROUND_ARM)
		t->specs[world_find_member(t->s, to)] = m->u.round_arm;
}

static struct table *table_new(void)
{
	struct table *t = mem_alloc(sizeof *t);
	t->s = sim_new(7);
	t->d = mem_alloc(sizeof *t->d);
	t->host1 = world_host(t->s, true);
	t->host2 = world_host(t->s, true);
	t->vm1 = world_guest(t->s, t->host1, 1);
	t->vm2 = world_guest(t->s, t->host2, 1);
	t->vm3 = world_guest(t->s, t->host1, 1);
	world_start(t->s);
	return t;
}

static void table_free(struct table *t)
{
	dossier_clear(t->d);
	free(t->d);
	round_free(t->round);
	sim_free(t->s);
	free(t);
}

static void begin(struct table *t, int a, int b, uint16_t service)
{
	struct round_ask ask = {
	    .id = 99, .a = member(t, a), .b = member(t, b), .service_port = service, .id_base = 50000, .key = {1, 2, 3}};
	t->round = round_new(&ask, t->s->c.fleet, on_send, t, t->s->now, NULL);
	assert_non_null(t->round);
}

static struct mono after(struct table *t, int64_t ms) { return t->s->now = mono_add_ms(t->s->now, ms); }

static void tell(struct table *t, int from, struct msg *m)
{
	round_message(t->round, member(t, from), m, t->s->now);
	msg_free(m);
}

static void arm(struct table *t, int machine)
{
	struct msg *m = msg_new(MSG_ROUND_ARMED);
	m->u.round_armed.round = 99;
	m->u.round_armed.snapshot = world_snapshot(t->s, machine);
	tell(t, machine, m);
}

static void done(struct table *t, int machine, uint8_t stage, kind_mask unanswered)
{
	struct msg *m = msg_new(MSG_STAGE_DONE);
	m->u.stage_done =
	    (struct msg_stage_done){.round = 99, .stage = stage, .unanswered = unanswered, .silent = t->silent & unanswered};
	tell(t, machine, m);
}

static void result(struct table *t, int machine)
{
	struct msg *m = msg_new(MSG_ROUND_RESULT);
	m->u.round_result.result.id = 99;
	m->u.round_result.result.seen = mem_array(1, sizeof(struct point_seen));
	m->u.round_result.result.seen_count = 1;
	tell(t, machine, m);
}

static size_t count_out(const struct table *t, enum msg_type type, int stage)
{
	size_t n = 0;
	for (size_t i = 0; i < t->count; i++)
		n += t->out[i].type == type && (type != MSG_ROUND_GO || t->out[i].stage == stage);
	return n;
}

static void arm_all(struct table *t)
{
	arm(t, t->vm1);
	arm(t, t->vm2);
	arm(t, t->host1);
	arm(t, t->host2);
}

/* Both ends finish one stage after the other. */
static void play_stages(struct table *t, kind_mask unanswered)
{
	for (uint8_t stage = STAGE_NEIGH; stage <= STAGE_B_TO_A; stage++) {
		round_tick(t->round, after(t, 20));
		done(t, t->vm1, stage, unanswered);
		done(t, t->vm2, stage, unanswered);
	}
	round_tick(t->round, after(t, 20));
}

/* ---- the spec ---- */

static void both_ends_and_their_hosts_take_part_and_nobody_else(void **state)
{
	(void)state;
	struct table *t = table_new();
	begin(t, t->vm1, t->vm2, 0);
	assert_int_equal(count_out(t, MSG_ROUND_ARM, 0), 4);
	assert_true(t->specs[t->vm1].endpoint && t->specs[t->vm1].is_a);
	assert_true(t->specs[t->vm2].endpoint && !t->specs[t->vm2].is_a);
	assert_false(t->specs[t->host1].endpoint);
	assert_int_equal(t->specs[t->vm3].flow_count, 0);
	table_free(t);
}

static void hosts_get_no_key(void **state)
{
	(void)state;
	struct table *t = table_new();
	const uint8_t none[PAIR_KEY_LEN] = {0};
	begin(t, t->vm1, t->vm2, 0);
	assert_memory_equal(t->specs[t->host1].key, none, PAIR_KEY_LEN);
	assert_memory_not_equal(t->specs[t->vm1].key, none, PAIR_KEY_LEN);
	table_free(t);
}

static void no_two_flows_share_ports_or_identifiers(void **state)
{
	(void)state;
	struct table *t = table_new();
	begin(t, t->vm1, t->vm2, 8080);
	const struct round_spec *s = &t->specs[t->vm1];
	assert_true(s->flow_count > 8);
	for (size_t i = 0; i < s->flow_count; i++) {
		assert_true(s->flows[i].id_base >= 50000 && s->flows[i].id_base + s->flows[i].count <= 50000 + ROUND_IDS);
		for (size_t k = i + 1; k < s->flow_count; k++)
			assert_true(s->flows[k].id_base >= s->flows[i].id_base + 16 &&
			            s->flows[k].id_base >= s->flows[i].id_base + s->flows[i].count);
	}
	table_free(t);
}

static void the_asked_service_is_probed_towards_b_only(void **state)
{
	(void)state;
	struct table *t = table_new();
	member(t, t->vm1)->hello.services[0] = 443;
	member(t, t->vm1)->hello.service_count = 1;
	begin(t, t->vm1, t->vm2, 8080);
	const struct round_spec *s = &t->specs[t->vm1];
	for (size_t i = 0; i < s->flow_count; i++) {
		if (s->flows[i].kind == KIND_SERVICE)
			assert_int_equal(s->flows[i].dport, s->flows[i].dir == 0 ? 8080 : 443);
	}
	table_free(t);
}

static void large_probes_have_the_senders_mtu(void **state)
{
	(void)state;
	struct table *t = table_new();
	begin(t, t->vm1, t->vm2, 0);
	size_t large = 0, ladders = 0;
	for (size_t i = 0; i < t->specs[t->vm1].flow_count; i++) {
		const struct flow *f = &t->specs[t->vm1].flows[i];
		ladders += f->ladder;
		large += kind_info(f->kind)->large && !flow_is_aside(f);
		if (kind_info(f->kind)->large && !f->ladder)
			assert_int_equal(f->size, 1500);
		if (f->ladder)
			assert_int_equal(f->stage, STAGE_LADDER);
	}
	assert_true(large >= 4 && ladders == large);
	table_free(t);
}

static void points_run_from_guest_to_guest_over_both_uplinks(void **state)
{
	(void)state;
	struct table *t = table_new();
	begin(t, t->vm1, t->vm2, 0);
	assert_int_equal(t->specs[t->vm1].point_count, 1);
	assert_string_equal(t->specs[t->vm1].points[0].ifname, "eth0");
	assert_int_equal(t->specs[t->host1].point_count, 2);
	assert_string_equal(t->specs[t->host1].points[0].ifname, t->s->machines[t->vm1].port);
	assert_string_equal(t->specs[t->host1].points[1].ifname, "up1");
	round_dossier(t->round, t->s->c.fleet, NULL, NULL, sim_wall(t->s), t->d);
	assert_int_equal(t->d->path_count[0], 8);
	assert_true(t->d->path_complete[0] && t->d->path_complete[1]);
	assert_int_equal(t->d->path[0][0], -1 - PARTY_A);
	assert_int_equal(t->d->path[1][0], -1 - PARTY_B);
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(t->d->path[0][i], t->d->path[1][7 - i]);
	table_free(t);
}

static void guests_of_one_host_need_no_uplink(void **state)
{
	(void)state;
	struct table *t = table_new();
	begin(t, t->vm1, t->vm3, 0);
	assert_int_equal(count_out(t, MSG_ROUND_ARM, 0), 3);
	assert_int_equal(t->specs[t->host1].point_count, 2);
	round_dossier(t->round, t->s->c.fleet, NULL, NULL, sim_wall(t->s), t->d);
	assert_int_equal(t->d->path_count[0], 6);
	assert_true(t->d->path_complete[0]);
	table_free(t);
}

static void a_host_and_its_guest_meet_on_the_bridge(void **state)
{
	(void)state;
	struct table *t = table_new();
	begin(t, t->host1, t->vm1, 0);
	assert_int_equal(count_out(t, MSG_ROUND_ARM, 0), 2);
	assert_int_equal(t->specs[t->host1].point_count, 2);
	assert_string_equal(t->specs[t->host1].points[0].ifname, "br1");
	assert_false(t->specs[t->host1].flows[0].bind_device); /* it is in the guest's network by this bridge only */
	round_dossier(t->round, t->s->c.fleet, NULL, NULL, sim_wall(t->s), t->d);
	assert_int_equal(t->d->path_count[0], 5);
	assert_int_equal(t->d->points[0].role, POINT_BRIDGE);
	table_free(t);
}

/* ---- the conduct ---- */

static void a_healthy_round_runs_its_stages_and_is_over(void **state)
{
	(void)state;
	struct table *t = table_new();
	begin(t, t->vm1, t->vm2, 0);
	assert_string_equal(round_progress(t->round), "arming");
	arm_all(t);
	play_stages(t, 0);
	assert_int_equal(count_out(t, MSG_ROUND_GO, STAGE_NEIGH), 2);
	assert_int_equal(count_out(t, MSG_ROUND_GO, STAGE_A_TO_B), 2);
	assert_int_equal(count_out(t, MSG_ROUND_GO, STAGE_B_TO_A), 2);
	assert_int_equal(count_out(t, MSG_ROUND_GO, STAGE_LADDER), 0);
	assert_int_equal(count_out(t, MSG_ROUND_END, 0), 4);
	result(t, t->vm1);
	result(t, t->vm2);
	result(t, t->host1);
	assert_false(round_over(t->round));
	result(t, t->host2);
	assert_true(round_over(t->round));
	assert_true(round_took_ms(t->round) < 500);
	round_dossier(t->round, t->s->c.fleet, NULL, NULL, sim_wall(t->s), t->d);
	assert_non_null(t->d->party[PARTY_A].result);
	assert_true(t->d->party[PARTY_A].reported);
	assert_non_null(t->d->party[PARTY_A].before);
	table_free(t);
}

static void the_ladder_runs_when_only_large_packets_die(void **state)
{
	(void)state;
	struct table *t = table_new();
	begin(t, t->vm1, t->vm2, 0);
	arm_all(t);
	play_stages(t, KIND_BIT(KIND_ICMP_LARGE) | KIND_BIT(KIND_UDP));
	assert_int_equal(count_out(t, MSG_ROUND_GO, STAGE_LADDER), 2);
	assert_int_equal(count_out(t, MSG_ROUND_END, 0), 0);
	table_free(t);
}

static void the_ladder_stays_away_when_small_packets_die_too(void **state)
{
	(void)state;
	struct table *t = table_new();
	begin(t, t->vm1, t->vm2, 0);
	arm_all(t);
	play_stages(t, KIND_BIT(KIND_ICMP_LARGE) | KIND_BIT(KIND_ICMP));
	assert_int_equal(count_out(t, MSG_ROUND_GO, STAGE_LADDER), 0);
	table_free(t);
}

/* Some of what has ports gets through: the same few source ports are tried again and again. */
static void ports_are_swept_when_some_get_through(void **state)
{
	(void)state;
	const kind_mask udp = KIND_BIT(KIND_UDP);
	for (int silent = 0; silent < 2; silent++) {
		struct table *t = table_new();
		begin(t, t->vm1, t->vm2, 0);
		arm_all(t);
		t->silent = silent ? udp : 0;
		play_stages(t, udp);
		assert_int_equal(count_out(t, MSG_ROUND_GO, STAGE_PORTS), silent ? 0 : 2);
		assert_int_equal(count_out(t, MSG_ROUND_GO, STAGE_HOPS), 0); /* nobody routes here */
		table_free(t);
	}
}

/* Who speaks an older protocol is told of the flows it knows, and these come first. */
static void older_agents_get_no_new_flows(void **state)
{
	(void)state;
	for (int old = 0; old < 2; old++) {
		struct table *t = table_new();
		bool swept = false, fragments = false;
		if (old)
			member(t, t->vm2)->hello.version_max = 3;
		begin(t, t->vm1, t->vm2, 0);
		for (size_t k = 0; k < t->specs[t->vm1].flow_count; k++) {
			swept |= t->specs[t->vm1].flows[k].ports != 0;
			fragments |= kind_info(t->specs[t->vm1].flows[k].kind)->fragments;
		}
		assert_true(swept == !old);
		assert_true(fragments == !old);
		table_free(t);
	}
	struct table *t = table_new();
	member(t, t->host1)->hello.version_max = 3; /* only looks: it is told of fewer, by the same numbers */
	begin(t, t->vm1, t->vm2, 0);
	const struct round_spec *all = &t->specs[t->vm1], *some = &t->specs[t->host1];
	assert_true(some->flow_count > 0 && some->flow_count < all->flow_count);
	for (size_t k = 0; k < some->flow_count; k++) {
		assert_int_equal(some->flows[k].id, all->flows[k].id);
		assert_true(!some->flows[k].ports && !kind_info(some->flows[k].kind)->fragments);
	}
	table_free(t);
}

static void run_dry(struct table *t)
{
	for (int i = 0; i < 1000 && !round_over(t->round); i++) {
		t->s->now = round_next(t->round);
		round_tick(t->round, t->s->now);
	}
	assert_true(round_over(t->round));
}

static void silent_agents_hold_nothing_up_for_long(void **state)
{
	(void)state;
	struct table *t = table_new();
	begin(t, t->vm1, t->vm2, 0);
	arm(t, t->vm1);
	arm(t, t->vm2);
	run_dry(t); /* both armed, then nothing more is heard */
	assert_in_range(round_took_ms(t->round), 400, 3000);
	table_free(t);
}

static void without_any_end_the_round_ends_after_arming(void **state)
{
	(void)state;
	struct table *t = table_new();
	begin(t, t->vm1, t->vm2, 0);
	arm(t, t->host1);
	run_dry(t);
	assert_int_equal(count_out(t, MSG_ROUND_GO, STAGE_NEIGH), 0);
	assert_in_range(round_took_ms(t->round), 1000, 1900);
	table_free(t);
}

/* An emulated guest needs its time to read a ruleset. A host that is no end is waited for less long. */
static void a_slow_end_is_waited_for(void **state)
{
	(void)state;
	struct table *t = table_new();
	begin(t, t->vm1, t->vm2, 0);
	arm(t, t->vm1);
	round_tick(t->round, after(t, 450));
	assert_int_equal(count_out(t, MSG_ROUND_GO, STAGE_NEIGH), 0);
	round_tick(t->round, after(t, 350));
	arm(t, t->vm2);
	round_tick(t->round, after(t, 20));
	assert_int_equal(count_out(t, MSG_ROUND_GO, STAGE_NEIGH), 2);
	table_free(t);
}

static void an_offline_end_is_not_asked_and_not_waited_for(void **state)
{
	(void)state;
	struct table *t = table_new();
	member(t, t->vm2)->online = false;
	begin(t, t->vm1, t->vm2, 0);
	assert_int_equal(count_out(t, MSG_ROUND_ARM, 0), 3);
	arm(t, t->vm1);
	arm(t, t->host1);
	arm(t, t->host2);
	round_tick(t->round, after(t, 20));
	done(t, t->vm1, STAGE_NEIGH, 0);
	round_tick(t->round, after(t, 20));
	done(t, t->vm1, STAGE_A_TO_B, 0);
	round_tick(t->round, after(t, 20));
	assert_int_equal(count_out(t, MSG_ROUND_GO, STAGE_B_TO_A), 0);
	assert_int_equal(count_out(t, MSG_ROUND_END, 0), 3);
	table_free(t);
}

static void neither_end_online_is_refused(void **state)
{
	(void)state;
	struct table *t = table_new();
	struct err e = {{0}};
	member(t, t->vm1)->online = member(t, t->vm2)->online = false;
	struct round_ask ask = {.id = 1, .a = member(t, t->vm1), .b = member(t, t->vm2), .id_base = 20000};
	assert_null(round_new(&ask, t->s->c.fleet, on_send, t, t->s->now, &e));
	assert_non_null(strstr(e.text, "connected"));
	assert_int_equal(t->count, 0);
	table_free(t);
}

static void messages_of_others_and_of_other_rounds_are_ignored(void **state)
{
	(void)state;
	struct table *t = table_new();
	begin(t, t->vm1, t->vm2, 0);
	struct msg *m = msg_new(MSG_ROUND_ARMED);
	m->u.round_armed.round = 98;
	tell(t, t->vm1, m);
	arm(t, t->vm3);
	arm(t, t->vm1);
	arm(t, t->vm1); /* twice */
	result(t, t->vm1);
	result(t, t->vm1);
	assert_string_equal(round_progress(t->round), "arming");
	table_free(t);
}

static void an_agent_that_refuses_is_not_waited_for(void **state)
{
	(void)state;
	struct table *t = table_new();
	begin(t, t->vm1, t->vm2, 0);
	arm(t, t->vm1);
	arm(t, t->vm2);
	arm(t, t->host1);
	round_tick(t->round, after(t, 1));
	assert_string_equal(round_progress(t->round), "arming");
	struct msg *m = msg_new(MSG_ROUND_ARMED);
	m->u.round_armed.round = 99;
	m->u.round_armed.refused = true;
	tell(t, t->host2, m);
	round_tick(t->round, after(t, 1));
	assert_string_not_equal(round_progress(t->round), "arming");
	table_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(both_ends_and_their_hosts_take_part_and_nobody_else),
	    cmocka_unit_test(hosts_get_no_key),
	    cmocka_unit_test(no_two_flows_share_ports_or_identifiers),
	    cmocka_unit_test(the_asked_service_is_probed_towards_b_only),
	    cmocka_unit_test(large_probes_have_the_senders_mtu),
	    cmocka_unit_test(points_run_from_guest_to_guest_over_both_uplinks),
	    cmocka_unit_test(guests_of_one_host_need_no_uplink),
	    cmocka_unit_test(a_host_and_its_guest_meet_on_the_bridge),
	    cmocka_unit_test(a_healthy_round_runs_its_stages_and_is_over),
	    cmocka_unit_test(the_ladder_runs_when_only_large_packets_die),
	    cmocka_unit_test(the_ladder_stays_away_when_small_packets_die_too),
	    cmocka_unit_test(ports_are_swept_when_some_get_through),
	    cmocka_unit_test(older_agents_get_no_new_flows),
	    cmocka_unit_test(silent_agents_hold_nothing_up_for_long),
	    cmocka_unit_test(without_any_end_the_round_ends_after_arming),
	    cmocka_unit_test(a_slow_end_is_waited_for),
	    cmocka_unit_test(an_offline_end_is_not_asked_and_not_waited_for),
	    cmocka_unit_test(neither_end_online_is_refused),
	    cmocka_unit_test(messages_of_others_and_of_other_rounds_are_ignored),
	    cmocka_unit_test(an_agent_that_refuses_is_not_waited_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
