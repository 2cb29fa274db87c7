/* touch: which watched pairs a change of one machine's facts is about. */
#include "collector/touch.h"
#include "fleet_world.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct bench {
	struct world w;
	struct planner *p;
	uint8_t serial;
};

static void fill(void *arg, void *out, size_t len)
{
	uint8_t *serial = arg;
	memset(out, ++*serial, len);
}

static int setup(void **state)
{
	struct bench *b = mem_alloc(sizeof *b);
	b->w = world_new();
	b->p = planner_new(fill, &b->serial);
	planner_update(b->p, b->w.f);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;
	planner_free(b->p);
	fleet_free(b->w.f);
	free(b);
	return 0;
}

static size_t touched(const struct bench *b, const struct member *m, const char *key, uint32_t *out, size_t max)
{
	const struct fact_change c = {.key = (char *)(uintptr_t)key};
	return changes_touch(b->w.f, b->p, m, &c, 1, out, max);
}

static bool touches(const struct bench *b, const struct member *m, const char *key, const struct member *x, const struct member *y)
{
	uint32_t out[16];
	size_t n = touched(b, m, key, out, 16);
	for (size_t i = 0; i < n; i++)
		if (out[i] == planner_find(b->p, x->id, y->id, NULL))
			return true;
	return false;
}

static void a_guests_own_change_touches_all_its_pairs_and_no_other(void **state)
{
	struct bench *b = *state;
	const struct world *w = &b->w;
	uint32_t out[16];
	assert_int_equal(touched(b, w->a1, "firewall.inet.filter.input", out, 16), 3);
	assert_int_equal(out[0], planner_find(b->p, w->hv1->id, w->a1->id, NULL)); /* its own host first */
	assert_true(touches(b, w->a1, "link.eth0.mtu", w->a1, w->a2));
	assert_false(touches(b, w->a1, "route.4.default", w->a2, w->a3));
	assert_int_equal(touched(b, w->a1, "addr.wg0.10.9.0.1/24", out, 16), 0);
}

static void a_hosts_port_touches_the_guest_behind_it(void **state)
{
	struct bench *b = *state;
	const struct world *w = &b->w;
	assert_true(touches(b, w->hv1, "port.va1.isolated", w->hv1, w->a1));
	assert_true(touches(b, w->hv1, "link.va1.master", w->a1, w->a3));
	assert_false(touches(b, w->hv1, "link.va1.master", w->hv1, w->a3));
	assert_false(touches(b, w->hv1, "link.va1.master", w->b1, w->b2));
	assert_false(touches(b, w->hv1, "link.va.master", w->hv1, w->a1)); /* another device of a similar name */
	assert_false(touches(b, w->hv2, "link.va1.master", w->hv1, w->a1));
}

static void a_bridge_or_an_uplink_touches_whoever_goes_through_it(void **state)
{
	struct bench *b = *state;
	const struct world *w = &b->w;
	assert_true(touches(b, w->hv1, "link.br0.admin", w->hv1, w->a1));
	assert_true(touches(b, w->hv1, "link.up0.admin", w->a1, w->a2));
	assert_true(touches(b, w->hv1, "link.up0.admin", w->hv1, w->hv2));
	assert_false(touches(b, w->hv1, "link.up0.admin", w->b1, w->b2));
	assert_true(touches(b, w->hv1, "link.vx100.mtu", w->b1, w->b2));
	assert_true(touches(b, w->hv2, "sysctl.net.ipv4.ip_forward", w->b1, w->b2));
}

static void what_only_describes_touches_nothing(void **state)
{
	struct bench *b = *state;
	static const char *const keys[] = {"clock.source", "hardware.product", "link.eth0.driver", "listen.tcp.0.0.0.0.22",
	                                   "kernel"};
	uint32_t out[16];
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		assert_int_equal(touched(b, b->w.a1, keys[i], out, 16), 0);
	b->w.a1->hello.services[b->w.a1->hello.service_count++] = 8080;
	assert_true(touches(b, b->w.a1, "listen.tcp.0.0.0.0.8080", b->w.a1, b->w.a2));
}

static void no_more_than_asked_for_and_nobody_silent(void **state)
{
	struct bench *b = *state;
	uint32_t out[16];
	assert_int_equal(touched(b, b->w.hv1, "firewall.bridge.filter.forward", out, 2), 2);
	b->w.a1->online = false;
	assert_false(touches(b, b->w.hv1, "link.va1.master", b->w.hv1, b->w.a1));
}

/* ---- a guest routes between two bridges ---- */

static void connect_route(struct snapshot *s, const char *dev, const char *dst, const char *gateway)
{
	struct route *r = ADD(s->routes, s->route_count);
	*r = (struct route){.type = ROUTE_UNICAST, .table = 254, .dst = prefix_of(dst), .link = link_named(s, dev)->index};
	if (gateway)
		assert_int_equal(ip_parse(gateway, &r->gateway), 0);
}

static struct snapshot *routed_guest(const char *mac, const char *ip, const char *net, const char *gateway)
{
	struct snapshot *s = world_guest(mac, ip, "fe80::1/64");
	connect_route(s, "eth0", net, NULL);
	connect_route(s, "eth0", "0.0.0.0/0", gateway);
	return s;
}

static struct snapshot *router(void)
{
	struct snapshot *s = world_guest("02:1a:00:00:00:fe", "10.10.0.254/24", "fe80::fe/64");
	struct value *v = ADD(s->sysctls, s->sysctl_count);
	world_link(s, "eth1", "veth", "02:1c:00:00:00:fe", "");
	world_addr(s, "eth1", "10.20.0.254/24");
	connect_route(s, "eth0", "10.10.0.0/24", NULL);
	connect_route(s, "eth1", "10.20.0.0/24", NULL);
	*v = (struct value){.name = "net.ipv4.ip_forward", .value = 1};
	return s;
}

static void what_a_router_in_between_changes_touches_those_it_carries(void **state)
{
	struct bench *b = *state;
	struct world *w = &b->w;
	struct member *r = world_member(w, "r", "A", AGENT_GUEST, ""), *c1 = world_member(w, "c1", "A", AGENT_GUEST, "");
	struct snapshot *s = world_copy(w->hv1);
	world_link(s, "brC", "bridge", "02:cc:00:00:00:01", "");
	world_link(s, "vr0", "veth", "02:f1:00:00:00:fe", "br0");
	world_link(s, "vr1", "veth", "02:f2:00:00:00:fe", "brC");
	world_link(s, "vc1", "veth", "02:f2:00:00:00:11", "brC");
	world_learn(s, "vr0", "02:1a:00:00:00:fe");
	world_learn(s, "vr1", "02:1c:00:00:00:fe");
	world_learn(s, "vc1", "02:1c:00:00:00:11");
	world_says(w, r, router());
	world_says(w, c1, routed_guest("02:1c:00:00:00:11", "10.20.0.11/24", "10.20.0.0/24", "10.20.0.254"));
	world_says(w, w->a1, routed_guest(MAC_A1, "10.10.0.11/24", "10.10.0.0/24", "10.10.0.254"));
	world_says(w, w->hv1, s);
	planner_update(b->p, w->f);
	assert_true(touches(b, r, "firewall.ip.filter.forward", w->a1, c1));
	assert_true(touches(b, r, "link.eth1.admin", w->a1, c1));
	assert_false(touches(b, r, "link.eth7.admin", w->a1, c1));
	assert_false(touches(b, r, "firewall.ip.filter.forward", w->a1, w->a3)); /* on one segment */
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(a_guests_own_change_touches_all_its_pairs_and_no_other),
	    T(a_hosts_port_touches_the_guest_behind_it),
	    T(a_bridge_or_an_uplink_touches_whoever_goes_through_it),
	    T(what_a_router_in_between_changes_touches_those_it_carries),
	    T(what_only_describes_touches_nothing),
	    T(no_more_than_asked_for_and_nobody_silent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
