/* planner: which pairs, stable numbers, fresh keys, versions that rise only for those concerned, the pace within budgets. */
#include "collector/planner.h"
#include "fleet_world.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void fill(void *arg, void *out, size_t len)
{
	uint8_t *serial = arg;
	memset(out, ++*serial, len);
}

static bool planned(const struct planner *p, const struct member *a, const struct member *b)
{
	return planner_find(p, a->id, b->id, NULL) >= 0;
}

static void pairs_are_hosts_own_guests_and_tenants(void **state)
{
	(void)state;
	struct world w = world_new();
	uint8_t serial = 0;
	struct planner *p = planner_new(fill, &serial);
	assert_true(planner_update(p, w.f));
	assert_false(planner_update(p, w.f));
	assert_true(planned(p, w.hv1, w.hv2));
	assert_true(planned(p, w.hv1, w.a1) && planned(p, w.hv1, w.a3) && planned(p, w.hv1, w.b1));
	assert_true(planned(p, w.hv2, w.a2) && planned(p, w.hv2, w.b2));
	assert_true(planned(p, w.a1, w.a2) && planned(p, w.a1, w.a3) && planned(p, w.a2, w.a3) && planned(p, w.b1, w.b2));
	assert_false(planned(p, w.hv2, w.a1) || planned(p, w.a1, w.b1));
	assert_int_equal(planner_count(p), 10);
	assert_int_equal(planner_coverage(p).possible, 10);
	assert_int_equal(planner_coverage(p).planned, 10);
	bool swapped;
	int64_t n = planner_find(p, w.a1->id, w.hv1->id, &swapped);
	assert_true(swapped);
	const struct pair *q = planner_pair(p, (uint32_t)n);
	assert_int_equal(q->a, w.hv1->id);
	assert_string_equal(q->ep_a.ifname, "br0");
	q = planner_pair(p, (uint32_t)planner_find(p, w.hv1->id, w.b1->id, NULL));
	assert_int_equal(q->kinds[0], KIND_BIT(KIND_ARP));
	assert_int_equal(q->kinds[1], 0);
	assert_string_equal(q->why[0][KIND_UDP], "no IPv4 address of hv1 on brB");
	planner_free(p);
	fleet_free(w.f);
}

static const struct peer *peer_of(const struct plan *plan, uint32_t pair)
{
	for (size_t i = 0; i < plan->peer_count; i++)
		if (plan->peers[i].pair == pair)
			return &plan->peers[i];
	return NULL;
}

static void both_ends_are_told_the_same(void **state)
{
	(void)state;
	struct world w = world_new();
	uint8_t serial = 0;
	struct planner *p = planner_new(fill, &serial);
	planner_update(p, w.f);
	struct plan host, guest;
	planner_plan_of(p, w.f, w.hv1->id, &host);
	planner_plan_of(p, w.f, w.a1->id, &guest);
	assert_int_equal(host.peer_count, 4);
	assert_int_equal(guest.peer_count, 3);
	uint32_t n = (uint32_t)planner_find(p, w.hv1->id, w.a1->id, NULL);
	const struct peer *a = peer_of(&host, n), *b = peer_of(&guest, n);
	assert_true(a->is_a && !b->is_a);
	assert_memory_equal(a->key, b->key, PAIR_KEY_LEN);
	assert_string_equal(a->self.ifname, "br0");
	assert_string_equal(a->other.ifname, "eth0");
	assert_string_equal(b->self.ifname, "eth0");
	assert_false(a->bind_device || b->bind_device);
	assert_int_equal(a->port, 7401);
	assert_string_equal(b->name, "hv1");
	plan_clear(&host);
	plan_clear(&guest);
	planner_plan_of(p, w.f, 999, &host);
	assert_int_equal(host.peer_count, 0);
	plan_clear(&host);
	planner_free(p);
	fleet_free(w.f);
}

static void numbers_and_keys_stay_and_only_those_concerned_hear_of_a_change(void **state)
{
	(void)state;
	struct world w = world_new();
	uint8_t serial = 0, key[PAIR_KEY_LEN];
	struct planner *p = planner_new(fill, &serial);
	planner_update(p, w.f);
	uint32_t n = (uint32_t)planner_find(p, w.a1->id, w.a2->id, NULL);
	memcpy(key, planner_pair(p, n)->key, sizeof(key));
	uint64_t v_a1 = planner_version_of(p, w.a1->id), v_b2 = planner_version_of(p, w.b2->id);
	world_says(&w, w.a2, world_guest(MAC_A2, "10.10.0.77/24", "fd10::12/64"));
	assert_true(planner_update(p, w.f));
	assert_int_equal(planner_find(p, w.a1->id, w.a2->id, NULL), n);
	assert_memory_equal(planner_pair(p, n)->key, key, sizeof(key));
	assert_int_equal(planner_version_of(p, w.a1->id), v_a1 + 1);
	assert_int_equal(planner_version_of(p, w.b2->id), v_b2);
	fleet_remove(w.f, w.b1);
	assert_true(planner_update(p, w.f));
	assert_null(planner_pair(p, 99));
	assert_int_equal(planner_find(p, w.a1->id, w.a2->id, NULL), n);
	assert_int_equal(planner_coverage(p).possible, 8);
	assert_true(planner_version_of(p, w.b2->id) > v_b2);
	planner_free(p);
	fleet_free(w.f);
}

static void a_freed_number_rests_and_comes_back_with_a_fresh_key(void **state)
{
	(void)state;
	struct world w = world_new();
	uint8_t serial = 0;
	struct planner *p = planner_new(fill, &serial);
	planner_update(p, w.f);
	for (int i = 0; i < 20; i++) {
		struct member *m = world_member(&w, "a9", "A", AGENT_GUEST, "");
		world_says(&w, m, world_guest("02:1a:00:00:00:99", "10.10.0.99/24", "fd10::99/64"));
		size_t before = planner_count(p);
		planner_update(p, w.f);
		int64_t n = planner_find(p, m->id, w.a1->id, NULL);
		assert_true(n >= 0);
		assert_int_equal(planner_pair(p, (uint32_t)n)->key[0] != 0, true);
		assert_true(planner_count(p) <= before + 3);
		fleet_remove(w.f, m);
		planner_update(p, w.f);
	}
	assert_true(planner_count(p) <= 10 + 16 + 6);
	planner_free(p);
	fleet_free(w.f);
}

static void faults_and_silence_leave_the_plan_alone(void **state)
{
	(void)state;
	struct world w = world_new();
	uint8_t serial = 0;
	struct planner *p = planner_new(fill, &serial);
	planner_update(p, w.f);
	fleet_tick(w.f, mono_add_ms(w.now, 60000));
	struct snapshot *s = world_copy(w.hv1);
	world_unplug(s, "va1");
	world_says(&w, w.hv1, s);
	s = world_copy(w.hv2);
	world_unplug(s, "up0");
	world_says(&w, w.hv2, s);
	s = world_copy(w.a1);
	world_no_addr(s, "10.10.0.11");
	world_no_addr(s, "fd10::11");
	link_named(s, "eth0")->up = link_named(s, "eth0")->carrier = false;
	world_says(&w, w.a1, s);
	assert_false(planner_update(p, w.f));
	assert_int_equal(planner_coverage(p).planned, 10);
	planner_free(p);
	fleet_free(w.f);
}

static double packets_per_second(const struct plan *plan)
{
	double pps = 0;
	for (size_t i = 0; i < plan->peer_count; i++)
		for (enum kind k = 0; k < KIND_COUNT; k++)
			if (plan->peers[i].kinds & KIND_BIT(k))
				pps += 1000.0 / plan->peers[i].interval_ms /
				       (kind_info(k)->large || kind_info(k)->proto == PROTO_TCP ? 4 : 1);
	return pps;
}

static void the_pace_keeps_within_the_budget(void **state)
{
	(void)state;
	struct world w = world_new();
	uint8_t serial = 0;
	struct planner *p = planner_new(fill, &serial);
	struct plan plan;
	planner_update(p, w.f);
	planner_plan_of(p, w.f, w.a1->id, &plan);
	assert_int_equal(plan.report_ms, 100);
	assert_int_equal(plan.peers[0].interval_ms, 100);
	plan_clear(&plan);
	for (int i = 0; i < 60; i++) {
		char name[16], mac[32], ip[32];
		snprintf(name, sizeof(name), "n%02d", i);
		snprintf(mac, sizeof(mac), "02:1a:00:00:01:%02d", i);
		snprintf(ip, sizeof(ip), "10.10.0.%d/24", 100 + i);
		struct member *m = world_member(&w, name, "A", AGENT_GUEST, "");
		world_says(&w, m, world_guest(mac, ip, "fe80::1/64"));
	}
	assert_true(planner_update(p, w.f));
	planner_plan_of(p, w.f, w.a1->id, &plan);
	assert_int_equal(plan.report_ms, 200);
	assert_true(plan.peers[0].interval_ms > 100);
	assert_true(packets_per_second(&plan) <= plan.budget_pps);
	assert_true(packets_per_second(&plan) > 0.9 * plan.budget_pps);
	plan_clear(&plan);
	planner_rates(p, (struct planner_rates){.interval_ms = 50, .budget_pps = 200, .report_ms = 400});
	assert_true(planner_update(p, w.f));
	planner_plan_of(p, w.f, w.a1->id, &plan);
	assert_int_equal(plan.report_ms, 400);
	assert_true(packets_per_second(&plan) <= 200);
	plan_clear(&plan);
	planner_free(p);
	fleet_free(w.f);
}

static uint32_t interval_towards(const struct planner *p, const struct world *w, const struct member *from, const struct member *to)
{
	struct plan plan;
	planner_plan_of(p, w->f, from->id, &plan);
	const struct peer *q = peer_of(&plan, (uint32_t)planner_find(p, from->id, to->id, NULL));
	uint32_t ms = q ? q->interval_ms : 0;
	plan_clear(&plan);
	return ms;
}

static void whoever_has_many_peers_is_not_asked_more_than_it_asks(void **state)
{
	(void)state;
	struct world w = world_new();
	uint8_t serial = 0;
	struct planner *p = planner_new(fill, &serial);
	planner_rates(p, (struct planner_rates){.budget_pps = 50});
	assert_true(planner_update(p, w.f));
	/* a1 watches three, its host four; b1 two */
	assert_int_equal(interval_towards(p, &w, w.a1, w.hv1), interval_towards(p, &w, w.hv1, w.a1));
	assert_true(interval_towards(p, &w, w.a1, w.hv1) > interval_towards(p, &w, w.b1, w.b2));
	assert_int_equal(interval_towards(p, &w, w.b1, w.hv1), interval_towards(p, &w, w.hv1, w.b1));
	planner_free(p);
	fleet_free(w.f);
}

static bool binds(const struct world *w, const struct member *guest)
{
	const struct member *host = w->hv1;
	struct endpoint ep, other;
	bool onlink;
	assert_true(fleet_endpoints(w->f, host, guest, &ep, &other, &onlink, NULL));
	return fleet_binds_device(host, &ep, guest, &other, onlink);
}

/* The same address on two bridges: only the device tells them apart. */
static void a_host_binds_to_a_bridge_when_addresses_do_not_tell(void **state)
{
	(void)state;
	struct world w = world_new();
	struct snapshot *s = world_copy(w.hv1);
	world_addr(s, "br0", "fd10::1/64");
	world_says(&w, w.hv1, s);
	assert_false(binds(&w, w.a1));
	assert_true(binds(&w, w.b1)); /* no address there */
	s = world_copy(w.hv1);
	world_addr(s, "brB", "10.10.0.1/24");
	world_says(&w, w.hv1, s);
	assert_true(binds(&w, w.a1));
	assert_true(binds(&w, w.b1));
	fleet_free(w.f);
}

static void an_empty_fleet_has_an_empty_plan(void **state)
{
	(void)state;
	struct fleet *f = fleet_new();
	uint8_t serial = 0;
	struct planner *p = planner_new(fill, &serial);
	planner_update(p, f);
	assert_int_equal(planner_count(p), 0);
	assert_int_equal(planner_find(p, 1, 2, NULL), -1);
	planner_free(p);
	fleet_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(pairs_are_hosts_own_guests_and_tenants),
	    cmocka_unit_test(both_ends_are_told_the_same),
	    cmocka_unit_test(numbers_and_keys_stay_and_only_those_concerned_hear_of_a_change),
	    cmocka_unit_test(a_freed_number_rests_and_comes_back_with_a_fresh_key),
	    cmocka_unit_test(faults_and_silence_leave_the_plan_alone),
	    cmocka_unit_test(the_pace_keeps_within_the_budget),
	    cmocka_unit_test(whoever_has_many_peers_is_not_asked_more_than_it_asks),
	    cmocka_unit_test(a_host_binds_to_a_bridge_when_addresses_do_not_tell),
	    cmocka_unit_test(an_empty_fleet_has_an_empty_plan),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
