/* fleet: names, placement from forwarding tables, what a fault hides, endpoints, kinds. */
#include "fleet_world.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct mac ANY = {{0}};

static void assert_place(const struct world *w, const struct member *guest, const struct member *host, const char *port,
                         const char *bridge, bool live)
{
	struct place at;
	assert_true(fleet_place(w->f, guest, ANY, &at));
	assert_ptr_equal(at.host, host);
	assert_string_equal(at.port, port);
	assert_string_equal(at.bridge, bridge);
	assert_int_equal(at.live, live);
}

static void assert_nowhere(const struct world *w, const struct member *guest)
{
	struct place at;
	assert_false(fleet_place(w->f, guest, ANY, &at));
}

static void relayed(struct world *w, struct member *m, const struct member *host)
{
	fleet_heard(w->f, m, HEARD_RELAY, host->id, w->now, (struct wall){w->now.ns});
}

/* ---- members ---- */

static void names_are_found_within_what_the_caller_may_see(void **state)
{
	(void)state;
	struct world w = world_empty();
	struct err e;
	world_member(&w, "a1", "B", AGENT_GUEST, "");
	assert_null(fleet_find(w.f, "a1", NULL, &e));
	assert_string_equal(e.text, "'a1' is ambiguous: A/a1, B/a1");
	assert_ptr_equal(fleet_find(w.f, "A/a1", NULL, &e), w.a1);
	assert_ptr_equal(fleet_find(w.f, "a1", "A", &e), w.a1);
	assert_null(fleet_find(w.f, "b1", "A", &e));
	assert_string_equal(e.text, "no agent is called 'b1'");
	char title[TITLE_MAX_LEN];
	assert_string_equal(fleet_title(w.f, w.a1, title), "A/a1");
	assert_string_equal(fleet_title(w.f, w.b2, title), "b2");
	assert_string_equal(fleet_at(w.f, 0)->name, "a1");
	assert_ptr_equal(fleet_by_id(w.f, w.b2->id), w.b2);
	assert_ptr_equal(fleet_by_key(w.f, w.b2->key), w.b2);
	uint32_t gone = w.b2->id;
	fleet_remove(w.f, w.b2);
	assert_null(fleet_by_id(w.f, gone));
	fleet_free(w.f);
}

static void silence_is_offline_after_three_seconds(void **state)
{
	(void)state;
	struct world w = world_empty();
	assert_int_equal(fleet_tick(w.f, mono_add_ms(w.now, FLEET_OFFLINE_MS - 1)), 0);
	assert_int_equal(fleet_tick(w.f, mono_add_ms(w.now, FLEET_OFFLINE_MS)), 7);
	assert_false(w.a1->online);
	fleet_free(w.f);
}

static void changes_are_kept_but_not_the_first_snapshot(void **state)
{
	(void)state;
	struct world w = world_new();
	assert_int_equal(w.a1->change_count, 0);
	for (int i = 0; i < FLEET_CHANGES_MAX + 10; i++) {
		struct snapshot *s = world_copy(w.a1);
		link_named(s, "eth0")->mtu = (uint32_t)(1400 + i);
		assert_int_equal(fleet_snapshot(w.f, w.a1, s, (struct wall){5}), 1);
	}
	assert_int_equal(w.a1->change_count, FLEET_CHANGES_MAX);
	assert_string_equal(w.a1->changes[FLEET_CHANGES_MAX - 1].key, "link.eth0.mtu");
	fleet_free(w.f);
}

/* ---- placement ---- */

static void guests_are_found_on_the_ports_of_their_own_hosts(void **state)
{
	(void)state;
	struct world w = world_new();
	assert_place(&w, w.a1, w.hv1, "va1", "br0", true);
	assert_place(&w, w.a2, w.hv2, "va2", "br0", true);
	assert_place(&w, w.a3, w.hv1, "va3", "br0", true);
	assert_place(&w, w.b1, w.hv1, "vb1", "brB", true);
	assert_place(&w, w.b2, w.hv2, "vb2", "brB", true);
	fleet_free(w.f);
}

static void the_order_of_the_first_reports_does_not_matter(void **state)
{
	(void)state;
	struct world w = world_empty();
	world_says(&w, w.hv2, world_hv2());
	world_guests_say(&w);
	world_says(&w, w.hv1, world_hv1());
	assert_place(&w, w.a1, w.hv1, "va1", "br0", true);
	assert_place(&w, w.a2, w.hv2, "va2", "br0", true);
	assert_place(&w, w.b1, w.hv1, "vb1", "brB", true);
	fleet_free(w.f);
}

/* Two veth uplinks that carry one guest each cannot be told from access ports, until a relay speaks. */
static struct world undecided(void)
{
	struct world w = world_empty();
	struct snapshot *h1 = world_hv1(), *h2 = world_hv2();
	world_forget(h1, MAC_HV2_BR);
	world_forget(h1, MAC_ROUTER);
	world_forget(h2, MAC_HV1_BR);
	world_forget(h2, MAC_A3);
	world_guests_say(&w);
	world_says(&w, w.hv1, h1);
	world_says(&w, w.hv2, h2);
	return w;
}

static void two_hosts_that_qualify_equally_leave_it_unknown(void **state)
{
	(void)state;
	struct world w = undecided();
	assert_nowhere(&w, w.a1);
	assert_nowhere(&w, w.a2);
	assert_place(&w, w.a3, w.hv1, "va3", "br0", true);
	fleet_free(w.f);
}

static void the_relaying_host_is_the_host(void **state)
{
	(void)state;
	struct world w = undecided();
	relayed(&w, w.a1, w.hv1);
	assert_place(&w, w.a1, w.hv1, "va1", "br0", true);
	relayed(&w, w.a2, w.hv2);
	assert_place(&w, w.a2, w.hv2, "va2", "br0", true);
	fleet_free(w.f);
}

static void a_tap_with_the_guests_mac_is_its_port_even_unlearned(void **state)
{
	(void)state;
	struct world w = undecided();
	struct snapshot *s = world_copy(w.hv1);
	world_forget(s, MAC_A1);
	world_link(s, "tap7", "tun", "fe:1a:00:00:00:11", "br0");
	world_says(&w, w.hv1, s);
	assert_place(&w, w.a1, w.hv1, "tap7", "br0", false);
	fleet_free(w.f);
}

static void equal_macs_of_two_tenants_need_certain_evidence(void **state)
{
	(void)state;
	struct world w = world_empty();
	world_says(&w, w.a1, world_guest(MAC_A1, "10.10.0.11/24", "fd10::11/64"));
	world_says(&w, w.b2, world_guest(MAC_A1, "10.10.0.11/24", "fd10::11/64"));
	struct snapshot *h2 = world_hv2();
	world_forget(h2, MAC_A1);
	world_forget(h2, MAC_B2);
	world_learn(h2, "vb2", MAC_A1);
	world_says(&w, w.hv1, world_hv1());
	world_says(&w, w.hv2, h2);
	assert_nowhere(&w, w.a1);
	assert_nowhere(&w, w.b2);
	relayed(&w, w.a1, w.hv1);
	relayed(&w, w.b2, w.hv2);
	assert_place(&w, w.a1, w.hv1, "va1", "br0", true);
	assert_place(&w, w.b2, w.hv2, "vb2", "brB", true);
	fleet_free(w.f);
}

static void a_fault_hides_the_place_but_not_the_memory(void **state)
{
	(void)state;
	struct world w = world_new();
	struct snapshot *s = world_copy(w.hv1);
	world_unplug(s, "va1"); /* hv2 still has the MAC behind its uplink */
	world_says(&w, w.hv1, s);
	assert_place(&w, w.a1, w.hv1, "va1", "br0", false);
	s = world_copy(w.hv1);
	link_named(s, "va1")->up = link_named(s, "va1")->carrier = false;
	world_says(&w, w.hv1, s);
	assert_place(&w, w.a1, w.hv1, "va1", "br0", false);
	world_says(&w, w.hv1, world_hv1());
	assert_place(&w, w.a1, w.hv1, "va1", "br0", true);
	fleet_free(w.f);
}

static void a_port_in_the_wrong_bridge_is_still_remembered_in_its_own(void **state)
{
	(void)state;
	struct world w = world_new();
	struct snapshot *s = world_copy(w.hv1);
	world_unplug(s, "va1");
	link_named(s, "va1")->master = link_named(s, "brB")->index;
	world_learn(s, "va1", MAC_A1);
	world_says(&w, w.hv1, s);
	assert_place(&w, w.a1, w.hv1, "va1", "br0", false);
	w.now = mono_add_ms(w.now, 3700 * 1000LL);
	world_says(&w, w.hv1, world_copy(w.hv1));
	assert_place(&w, w.a1, w.hv1, "va1", "brB", true);
	fleet_free(w.f);
}

static void a_guest_that_moved_is_found_on_its_new_host(void **state)
{
	(void)state;
	struct world w = world_new();
	struct snapshot *s = world_copy(w.hv2);
	world_forget(s, MAC_A1);
	world_link(s, "va1n", "veth", "02:f1:00:00:00:99", "br0");
	world_learn(s, "va1n", MAC_A1);
	world_says(&w, w.hv2, s);
	assert_place(&w, w.a1, w.hv1, "va1", "br0", true); /* the old host has not said otherwise */
	s = world_hv1();
	world_forget(s, MAC_A1);
	world_learn(s, "up0", MAC_A1);
	str_copy(link_named(s, "va1")->name, IFNAME_LEN, "other");
	world_says(&w, w.hv1, s);
	assert_place(&w, w.a1, w.hv2, "va1n", "br0", true);
	fleet_free(w.f);
}

static void a_relayed_guest_that_moved_is_found_at_once(void **state)
{
	(void)state;
	struct world w = world_new();
	relayed(&w, w.a1, w.hv1);
	struct snapshot *s = world_copy(w.hv2);
	world_forget(s, MAC_A1);
	world_link(s, "va1n", "veth", "02:f1:00:00:00:99", "br0");
	world_learn(s, "va1n", MAC_A1);
	world_says(&w, w.hv2, s);
	relayed(&w, w.a1, w.hv2);
	assert_place(&w, w.a1, w.hv2, "va1n", "br0", true);
	fleet_free(w.f);
}

static void another_guest_with_the_same_mac_does_not_pull_it_over(void **state)
{
	(void)state;
	struct world w = world_new();
	relayed(&w, w.a2, w.hv2);
	relayed(&w, w.a3, w.hv1);
	world_says(&w, w.a3, world_guest(MAC_A2, "10.10.0.13/24", "fd10::13/64"));
	struct snapshot *s = world_copy(w.hv1);
	world_forget(s, MAC_A2);
	world_learn(s, "va3", MAC_A2);
	world_says(&w, w.hv1, s);
	s = world_copy(w.hv2);
	world_forget(s, MAC_A2);
	world_learn(s, "up0", MAC_A2);
	world_says(&w, w.hv2, s);
	assert_place(&w, w.a2, w.hv2, "va2", "br0", false);
	assert_place(&w, w.a3, w.hv1, "va3", "br0", true);
	char up[IFNAME_LEN];
	assert_true(fleet_uplink(w.f, w.hv1, "br0", ANY, up));
	assert_string_equal(up, "up0");
	fleet_free(w.f);
}

static void a_static_entry_on_a_wrong_port_moves_nobody(void **state)
{
	(void)state;
	struct world w = world_new();
	relayed(&w, w.a1, w.hv1);
	relayed(&w, w.a2, w.hv2);
	struct snapshot *s = world_copy(w.hv1);
	world_forget(s, MAC_A2);
	world_learn(s, "va3", MAC_A2)->is_static = true;
	world_says(&w, w.hv1, s);
	assert_place(&w, w.a2, w.hv2, "va2", "br0", true);
	assert_place(&w, w.a3, w.hv1, "va3", "br0", true);
	char up[IFNAME_LEN];
	assert_true(fleet_uplink(w.f, w.hv1, "br0", mac_of(MAC_A2), up));
	assert_string_equal(up, "up0");
	fleet_free(w.f);
}

static void a_nic_with_a_new_mac_keeps_its_place(void **state)
{
	(void)state;
	struct world w = world_new();
	world_says(&w, w.a1, world_guest("02:1a:00:00:00:99", "10.10.0.11/24", "fd10::11/64"));
	struct place at;
	assert_true(fleet_place(w.f, w.a1, mac_of("02:1a:00:00:00:99"), &at));
	assert_string_equal(at.port, "va1");
	fleet_free(w.f);
}

static void an_unbridged_device_is_found_by_its_neighbour(void **state)
{
	(void)state;
	struct world w = world_empty();
	struct snapshot *s = world_host(1);
	world_link(s, "tapr", "tun", "02:77:00:00:00:01", "");
	world_addr(s, "tapr", "10.77.0.1/32");
	struct neigh *n = ADD(s->neighs, s->neigh_count);
	*n = (struct neigh){
	    .link = link_named(s, "tapr")->index, .ip = prefix_of("10.77.0.2").ip, .mac = mac_of(MAC_A1), .state = NEIGH_STALE};
	world_says(&w, w.a1, world_guest(MAC_A1, "10.77.0.2/32", "fe80::11/64"));
	world_says(&w, w.hv1, s);
	assert_place(&w, w.a1, w.hv1, "tapr", "", true);
	struct endpoint h, g;
	bool onlink;
	assert_true(fleet_endpoints(w.f, w.hv1, w.a1, &h, &g, &onlink, NULL));
	assert_string_equal(h.ifname, "tapr");
	assert_string_equal(g.ifname, "eth0");
	assert_true(onlink);
	fleet_free(w.f);
}

static void a_firewall_bridge_in_between_is_seen_through(void **state)
{
	(void)state;
	struct world w = world_empty();
	struct snapshot *s = world_host(1);
	world_link(s, "fwbr1", "bridge", "02:fe:00:00:00:01", "");
	world_link(s, "tap1", "tun", "02:fe:00:00:00:02", "fwbr1");
	world_link(s, "fwln1", "veth", "02:fe:00:00:00:03", "fwbr1");
	world_link(s, "fwpr1", "veth", "02:fe:00:00:00:04", "br0");
	world_learn(s, "tap1", MAC_A1);
	world_learn(s, "fwpr1", MAC_A1);
	world_learn(s, "fwln1", MAC_ROUTER);
	world_learn(s, "up0", MAC_ROUTER);
	world_says(&w, w.a1, world_guest(MAC_A1, "10.10.0.11/24", "fd10::11/64"));
	world_says(&w, w.hv1, s);
	relayed(&w, w.a1, w.hv1);
	assert_place(&w, w.a1, w.hv1, "tap1", "fwbr1", true);
	struct endpoint h, g;
	bool onlink;
	assert_true(fleet_endpoints(w.f, w.hv1, w.a1, &h, &g, &onlink, NULL));
	assert_string_equal(h.ifname, "br0");
	assert_true(onlink);
	fleet_free(w.f);
}

/* ---- uplinks ---- */

static void uplink_is(const struct world *w, const struct member *host, const char *bridge, struct mac towards, const char *port)
{
	char up[IFNAME_LEN];
	fleet_uplink(w->f, host, bridge, towards, up);
	assert_string_equal(up, port);
}

static void uplinks_stay_uplinks_until_they_leave(void **state)
{
	(void)state;
	struct world w = world_new();
	uplink_is(&w, w.hv2, "br0", mac_of(MAC_A1), "up0");
	uplink_is(&w, w.hv2, "brB", ANY, "vx100");
	struct snapshot *s = world_copy(w.hv2);
	world_forget(s, MAC_HV1_BR);
	world_forget(s, MAC_A3); /* only a1 is left there, as on an access port */
	world_says(&w, w.hv2, s);
	s = world_copy(w.hv1);
	world_unplug(s, "va1");
	world_says(&w, w.hv1, s);
	assert_place(&w, w.a1, w.hv1, "va1", "br0", false);
	s = world_copy(w.hv2);
	world_unplug(s, "up0");
	world_says(&w, w.hv2, s);
	uplink_is(&w, w.hv2, "br0", mac_of(MAC_A1), "up0"); /* remembered */
	uplink_is(&w, w.hv2, "br0", ANY, "up0");
	uplink_is(&w, w.hv2, "none", ANY, "");
	fleet_free(w.f);
}

/* At first it may be a guest arriving from the other host. */
static void a_new_uplink_with_one_guest_is_known_after_a_while(void **state)
{
	(void)state;
	struct world w = world_empty();
	world_guests_say(&w);
	relayed(&w, w.a2, w.hv2);
	world_says(&w, w.hv1, world_host(1));
	struct snapshot *s = world_copy(w.hv1);
	world_link(s, "up1", "veth", "02:0a:00:00:00:71", "brB");
	world_learn(s, "up1", MAC_A2);
	world_unplug(s, "vx100");
	world_says(&w, w.hv1, s);
	uplink_is(&w, w.hv1, "brB", mac_of(MAC_A2), "vx100");
	w.now = mono_add_ms(w.now, 60000);
	world_says(&w, w.hv1, world_copy(w.hv1));
	uplink_is(&w, w.hv1, "brB", mac_of(MAC_A2), "up1");
	fleet_free(w.f);
}

/* The same MAC twice in the world: what looked like the one elsewhere was the one here, which spoke later. */
static void a_port_taken_for_an_uplink_is_given_back(void **state)
{
	(void)state;
	struct world w = world_empty();
	world_says(&w, w.b2, world_guest(MAC_A1, "10.10.0.12/24", "fe80::b2/64"));
	relayed(&w, w.b2, w.hv2);
	struct snapshot *s = world_host(1);
	world_link(s, "va1", "veth", "02:f1:00:00:00:11", "br0");
	world_learn(s, "va1", MAC_A1);
	world_learn(s, "up0", MAC_HV2_BR);
	world_says(&w, w.hv1, s);
	relayed(&w, w.a1, w.hv1);
	world_says(&w, w.a1, world_guest(MAC_A1, "10.10.0.11/24", "fd10::11/64"));
	world_says(&w, w.hv1, world_copy(w.hv1));
	assert_place(&w, w.a1, w.hv1, "va1", "br0", true);
	fleet_free(w.f);
}

/* A veth uplink to a host without an agent: a guest and a stranger behind it, and no other way out of the bridge. */
static void a_port_with_strangers_may_be_the_only_way_out(void **state)
{
	(void)state;
	struct world w = world_empty();
	struct snapshot *s = world_host(1);
	world_learn(s, "up0", MAC_A2);
	world_learn(s, "up0", MAC_ROUTER);
	world_says(&w, w.a2, world_guest(MAC_A2, "10.10.0.12/24", "fd10::12/64"));
	world_says(&w, w.hv1, s);
	assert_nowhere(&w, w.a2);
	uplink_is(&w, w.hv1, "br0", mac_of(MAC_A2), "up0");
	fleet_free(w.f);
}

static void another_device_of_the_same_name_is_no_uplink(void **state)
{
	(void)state;
	struct world w = world_new();
	struct snapshot *s = world_host(2);
	link_named(s, "up0")->index = 77;
	for (size_t i = 0; i < s->fdb_count; i++)
		if (s->fdbs[i].port == 4)
			s->fdbs[i].port = 77;
	world_learn(s, "up0", "02:1a:00:00:00:44");
	world_says(&w, w.hv2, s);
	struct member *a4 = world_member(&w, "a4", "A", AGENT_GUEST, "");
	world_says(&w, a4, world_guest("02:1a:00:00:00:44", "10.10.0.44/24", "fd10::44/64"));
	assert_place(&w, a4, w.hv2, "up0", "br0", true);
	fleet_free(w.f);
}

/* ---- endpoints ---- */

static void ends_are(const struct world *w, const struct member *a, const struct member *b, const char *if_a, const char *if_b,
                     bool onlink)
{
	struct endpoint ea, eb;
	struct err e = {""};
	bool on;
	if (!fleet_endpoints(w->f, a, b, &ea, &eb, &on, &e))
		fail_msg("%s", e.text);
	assert_string_equal(ea.ifname, if_a);
	assert_string_equal(eb.ifname, if_b);
	assert_int_equal(on, onlink);
}

static void endpoints_are_on_the_shared_segment(void **state)
{
	(void)state;
	struct world w = world_new();
	ends_are(&w, w.hv1, w.a1, "br0", "eth0", true);
	ends_are(&w, w.a1, w.hv1, "eth0", "br0", true);
	ends_are(&w, w.hv1, w.b1, "brB", "eth0", true);
	ends_are(&w, w.hv2, w.a1, "br0", "eth0", true); /* the other host, over the uplinks */
	ends_are(&w, w.a1, w.a3, "eth0", "eth0", true);
	ends_are(&w, w.a1, w.a2, "eth0", "eth0", true);
	ends_are(&w, w.b1, w.b2, "eth0", "eth0", true);
	ends_are(&w, w.hv1, w.hv2, "br0", "br0", true); /* not mgmt0 */
	assert_int_equal(w.hv1->endpoint_count, 2);
	fleet_free(w.f);
}

static void tenants_with_equal_subnets_are_not_one_segment(void **state)
{
	(void)state;
	struct world w = world_new();
	ends_are(&w, w.a1, w.b2, "eth0", "eth0", false);
	struct endpoint a, b;
	struct err e;
	bool on;
	assert_false(fleet_endpoints(w.f, w.a1, w.b1, &a, &b, &on, &e)); /* 10.10.0.11 both */
	assert_string_equal(e.text, "a1 and b1 have the same address on different networks");
	fleet_free(w.f);
}

static void the_management_nic_is_the_last_resort(void **state)
{
	(void)state;
	struct world w = world_new();
	struct snapshot *s = world_guest(MAC_A1, "10.10.0.11/24", "fd10::11/64");
	world_link(s, "eth9", "virtio", "02:99:00:00:00:01", "");
	world_addr(s, "eth9", "172.31.254.11/24");
	struct msg_hello h = w.a1->hello;
	str_copy(h.uplink_if, sizeof(h.uplink_if), "eth9");
	fleet_hello(w.f, w.a1, &h);
	world_says(&w, w.a1, s);
	assert_int_equal(w.a1->endpoint_count, 1);
	assert_string_equal(w.a1->endpoints[0].ifname, "eth0");
	s = world_copy(w.a1);
	world_no_addr(s, "10.10.0.11");
	world_no_addr(s, "fd10::11");
	world_says(&w, w.a1, s); /* a fault must not send the probes through management */
	assert_string_equal(w.a1->endpoints[0].ifname, "eth0");
	assert_int_equal(w.a1->endpoint_count, 1);
	str_copy(h.probe_ifs, sizeof(h.probe_ifs), "eth8,eth9");
	fleet_hello(w.f, w.a1, &h);
	assert_int_equal(w.a1->endpoint_count, 1);
	assert_string_equal(w.a1->endpoints[0].ifname, "eth9");
	str_copy(h.probe_ifs, sizeof(h.probe_ifs), "");
	str_copy(h.uplink_if, sizeof(h.uplink_if), "eth0");
	fleet_hello(w.f, w.a2, &h); /* a2 has no other */
	assert_string_equal(w.a2->endpoints[0].ifname, "eth0");
	fleet_free(w.f);
}

static void hosts_without_a_common_subnet_but_management_use_that(void **state)
{
	(void)state;
	struct world w = world_new();
	struct snapshot *s = world_hv1();
	fleet_free(w.f);
	w = world_empty();
	world_no_addr(s, "10.10.0.1");
	world_says(&w, w.hv1, s);
	s = world_hv2();
	world_no_addr(s, "10.10.0.2");
	world_says(&w, w.hv2, s);
	ends_are(&w, w.hv1, w.hv2, "mgmt0", "mgmt0", true);
	fleet_free(w.f);
}

static void vanished_addresses_are_kept_and_changed_ones_followed(void **state)
{
	(void)state;
	struct world w = world_new();
	struct snapshot *s = world_copy(w.a1);
	world_no_addr(s, "10.10.0.11");
	link_named(s, "eth0")->up = false;
	world_says(&w, w.a1, s);
	struct endpoint a, b;
	bool on;
	assert_true(fleet_endpoints(w.f, w.a1, w.a2, &a, &b, &on, NULL));
	assert_true(ip_equal(a.ip4.ip, prefix_of("10.10.0.11").ip));
	assert_true(on);
	assert_int_equal(w.a1->endpoints[0].ip4.ip.family, 0);
	assert_int_equal(w.a1->last[0].ip4.ip.family, 4);
	s = world_copy(w.a1);
	world_no_addr(s, "fd10::11");
	world_addr(s, "eth0", "fe80::11/64"); /* is no substitute */
	world_says(&w, w.a1, s);
	assert_true(fleet_endpoints(w.f, w.a1, w.a2, &a, &b, &on, NULL));
	assert_true(ip_equal(a.ip6.ip, prefix_of("fd10::11").ip));
	world_says(&w, w.a1, world_guest(MAC_A1, "192.168.7.11/24", "fd10::11/64")); /* wrong subnet */
	assert_true(fleet_endpoints(w.f, w.a1, w.a2, &a, &b, &on, NULL));
	assert_true(ip_equal(a.ip4.ip, prefix_of("192.168.7.11").ip));
	assert_true(on);
	s = world_lo(); /* the NIC is gone */
	world_says(&w, w.a1, s);
	ends_are(&w, w.a1, w.a2, "eth0", "eth0", true);
	fleet_free(w.f);
}

static void a_second_address_does_not_displace_the_first(void **state)
{
	(void)state;
	struct world w = world_new();
	struct snapshot *s = world_copy(w.a3);
	world_addr(s, "eth0", "10.10.0.12/24");
	world_says(&w, w.a3, s);
	assert_true(ip_equal(w.a3->endpoints[0].ip4.ip, prefix_of("10.10.0.13").ip));
	fleet_free(w.f);
}

static void routed_guests_without_a_segment_are_not_on_link(void **state)
{
	(void)state;
	struct world w = world_empty();
	world_says(&w, w.a1, world_guest(MAC_A1, "10.10.0.11/24", "fe80::1/64"));
	world_says(&w, w.a2, world_guest(MAC_A2, "10.99.0.12/24", "fe80::2/64"));
	ends_are(&w, w.a1, w.a2, "eth0", "eth0", false);
	struct endpoint a, b;
	struct err e;
	bool on;
	assert_false(fleet_endpoints(w.f, w.a1, w.a3, &a, &b, &on, &e));
	assert_string_equal(e.text, "a3 has not reported its interfaces yet");
	fleet_free(w.f);
}

static void who_never_had_an_address_is_told_so(void **state)
{
	(void)state;
	struct world w = world_empty();
	struct snapshot *s = world_guest(MAC_A3, "10.10.0.13/24", "fe80::3/64");
	s->addr_count = 0;
	world_says(&w, w.a3, s);
	world_says(&w, w.a1, world_guest(MAC_A1, "10.10.0.11/24", "fe80::1/64"));
	struct endpoint a, b;
	struct err e;
	bool on;
	assert_false(fleet_endpoints(w.f, w.a1, w.a3, &a, &b, &on, &e));
	assert_string_equal(e.text, "a3 has no interface to probe: eth0 has no address");
	fleet_free(w.f);
}

/* ---- kinds ---- */

static void world_meets(struct snapshot *s, const char *dev, const char *ip, const char *mac)
{
	*ADD(s->neighs, s->neigh_count) =
	    (struct neigh){.link = link_named(s, dev)->index, .ip = prefix_of(ip).ip, .mac = mac_of(mac), .state = NEIGH_REACHABLE};
}

/* No host knows them; they met, and are on one segment even when the entry is gone or wrong. A router that answers for one is not
 * met. */
static void machines_that_met_share_a_segment(void **state)
{
	(void)state;
	struct world w = world_empty();
	struct endpoint a, b;
	bool on;
	world_guests_say(&w);
	assert_true(fleet_endpoints(w.f, w.a1, w.a2, &a, &b, &on, NULL));
	assert_false(on);
	struct snapshot *s = world_copy(w.a1);
	world_meets(s, "eth0", "10.10.0.12/24", MAC_A2);
	world_meets(s, "eth0", "10.10.0.99/24", MAC_A3);
	world_says(&w, w.a1, s);
	world_says(&w, w.a1, world_guest(MAC_A1, "10.10.0.11/24", "fd10::11/64"));
	assert_true(fleet_endpoints(w.f, w.a1, w.a2, &a, &b, &on, NULL));
	assert_true(on);
	assert_true(fleet_endpoints(w.f, w.a1, w.a3, &a, &b, &on, NULL));
	assert_false(on);
	fleet_free(w.f);
}

/* A guest on a port without an address of its own: its host speaks with the address it has elsewhere. */
static void an_unnumbered_port_borrows_an_address(void **state)
{
	(void)state;
	struct world w = world_empty();
	struct endpoint h, g;
	bool on;
	struct snapshot *s = world_host(1);
	world_link(s, "cali1", "veth", "02:f1:00:00:00:11", "");
	world_meets(s, "cali1", "10.50.1.1/32", MAC_A1);
	world_says(&w, w.a1, world_guest(MAC_A1, "10.50.1.1/32", "fe80::11/64"));
	world_says(&w, w.hv1, s);
	relayed(&w, w.a1, w.hv1);
	assert_place(&w, w.a1, w.hv1, "cali1", "", true);
	assert_true(fleet_endpoints(w.f, w.hv1, w.a1, &h, &g, &on, NULL));
	assert_true(on);
	assert_string_equal(h.ifname, "cali1");
	assert_true(ip_equal(h.ip4.ip, prefix_of("10.10.0.1/24").ip));
	fleet_free(w.f);
}

/* Two that have no way to each other have nothing to say to each other, unless one had a way and lost it. */
static void kinds_outlive_a_lost_route(void **state)
{
	(void)state;
	struct world w = world_new();
	struct endpoint a = {.ip4 = prefix_of("10.10.0.11/24")}, b = {.ip4 = prefix_of("192.0.2.2/24")};
	const char *why[KIND_COUNT];
	struct snapshot *s = snapshot_copy(w.a1->snapshot);
	assert_int_equal(fleet_kinds(w.a1, &a, w.hv2, &b, false, why), 0);
	assert_string_equal(why[KIND_UDP], "neither of the two has an IPv4 route to the other");
	s->routes = mem_resize(s->routes, s->route_count + 1, sizeof *s->routes);
	s->routes[s->route_count++] = (struct route){.dst = {.ip = {.family = 4}},
	                                             .gateway = prefix_of("10.10.0.1/24").ip,
	                                             .table = 254,
	                                             .type = ROUTE_UNICAST,
	                                             .link = s->links[1].index};
	struct snapshot *without = snapshot_copy(w.a1->snapshot);
	world_says(&w, w.a1, s);
	assert_int_equal(fleet_kinds(w.a1, &a, w.hv2, &b, false, why), KIND_MASK_4);
	world_says(&w, w.a1, without);
	assert_int_equal(fleet_kinds(w.a1, &a, w.hv2, &b, false, why), KIND_MASK_4);
	fleet_free(w.f);
}

static void kinds_follow_the_addresses(void **state)
{
	(void)state;
	struct world w = world_new();
	struct endpoint h, g;
	const char *why[KIND_COUNT];
	bool on;
	assert_true(fleet_endpoints(w.f, w.hv1, w.b1, &h, &g, &on, NULL));
	assert_int_equal(fleet_kinds(w.hv1, &h, w.b1, &g, on, why), KIND_BIT(KIND_ARP));
	assert_string_equal(why[KIND_ICMP], "no IPv4 address of hv1 on brB");
	assert_string_equal(why[KIND_ND], "no IPv6 address of hv1 on brB");
	assert_null(why[KIND_SERVICE]);
	assert_int_equal(fleet_kinds(w.b1, &g, w.hv1, &h, on, why), 0);
	assert_string_equal(why[KIND_ARP], "no IPv4 address of hv1 on brB");
	assert_true(fleet_endpoints(w.f, w.a1, w.a2, &h, &g, &on, NULL));
	assert_int_equal(fleet_kinds(w.a1, &h, w.a2, &g, on, why),
	                 KIND_MASK_4 | KIND_MASK_6 | KIND_BIT(KIND_ARP) | KIND_BIT(KIND_ND));
	assert_int_equal(fleet_kinds(w.a1, &h, w.a2, &g, false, why), KIND_MASK_4 | KIND_MASK_6);
	assert_string_equal(why[KIND_ARP], "the two are not known to be on one segment");
	assert_true(fleet_endpoints(w.f, w.b1, w.b2, &h, &g, &on, NULL));
	assert_int_equal(fleet_kinds(w.b1, &h, w.b2, &g, true, why) & KIND_MASK_6, KIND_MASK_6);
	assert_int_equal(fleet_kinds(w.b1, &h, w.b2, &g, false, why) & KIND_MASK_6, 0);
	assert_string_equal(why[KIND_ICMP6], "b1 has only a link-local IPv6 address on eth0");
	w.a1->hello.rights = 0;
	assert_true(fleet_endpoints(w.f, w.a1, w.a2, &h, &g, &on, NULL));
	assert_int_equal(
	    fleet_kinds(w.a1, &h, w.a2, &g, on, why) & (KIND_BIT(KIND_ICMP) | KIND_BIT(KIND_ICMP6) | KIND_BIT(KIND_ARP)), 0);
	assert_string_equal(why[KIND_ICMP], "the agent of a1 may not send echo requests");
	w.a1->hello.rights = RIGHT_ECHO;
	assert_int_equal(fleet_kinds(w.a1, &h, w.a2, &g, on, why) & (KIND_BIT(KIND_ICMP) | KIND_BIT(KIND_ARP)),
	                 KIND_BIT(KIND_ICMP));
	w.a1->hello.rights = 0;
	assert_true(fleet_deaf_kinds(w.a1) & KIND_BIT(KIND_ICMP));
	assert_false(fleet_deaf_kinds(w.a1) & KIND_BIT(KIND_UDP));
	fleet_free(w.f);
}

static void owners_know_their_segment(void **state)
{
	(void)state;
	struct world w = world_new();
	struct owner o[OWNERS_MAX];
	size_t n = fleet_owners(w.f, o, OWNERS_MAX, w.a1), near = 0;
	for (size_t i = 0; i < n; i++) {
		near += o[i].same_segment;
		assert_true(strcmp(o[i].agent, "b1") && strcmp(o[i].agent, "b2")); /* another tenant's, elsewhere */
	}
	assert_int_equal(near, 3 * 2 + 2); /* three guests with two addresses, two bridges */
	assert_int_equal(fleet_owners(w.f, o, 3, w.a1), 3);
	fleet_free(w.f);
}

/* macvtap on the interface that has the host's address. */
static void a_host_and_its_own_macvtap_guest_are_no_pair(void **state)
{
	(void)state;
	struct world w = world_new();
	struct endpoint h, g;
	struct err e = {{0}};
	bool on;
	struct snapshot *s = world_lo();
	world_link(s, "eno1", "", MAC_HV1_BR, "");
	world_addr(s, "eno1", "10.10.0.1/24");
	struct link *tap = world_link(s, "macvtap0", "macvtap", MAC_A1, "");
	tap->parent = link_named(s, "eno1")->index;
	world_says(&w, w.hv1, s);
	world_says(&w, w.a1, world_guest(MAC_A1, "10.10.0.11/24", "fd10::11/64"));
	assert_false(fleet_endpoints(w.f, w.hv1, w.a1, &h, &g, &on, &e));
	assert_non_null(strstr(e.text, "macvtap"));
	assert_false(fleet_endpoints(w.f, w.a1, w.hv1, &g, &h, &on, NULL));
	assert_true(fleet_endpoints(w.f, w.hv2, w.a1, &h, &g, &on, NULL));
	fleet_free(w.f);
}

/* The bridge of its own is where it is plugged in, the one behind it where it meets the others. */
static void a_pair_of_devices_between_bridges_has_no_guest(void **state)
{
	(void)state;
	struct world w = world_new();
	struct place p;
	struct snapshot *s = world_lo();
	world_link(s, "vmbr0", "bridge", MAC_HV1_BR, "");
	world_link(s, "eno1", "", "02:0a:00:00:00:01", "vmbr0");
	world_link(s, "fwbr1", "bridge", "02:fb:00:00:00:01", "");
	world_link(s, "fwpr1", "veth", "02:fd:00:00:00:01", "vmbr0");
	world_link(s, "fwln1", "veth", "02:fc:00:00:00:01", "fwbr1");
	world_link(s, "veth1", "veth", "02:f1:00:00:00:11", "fwbr1")->parent_elsewhere = true;
	link_named(s, "fwpr1")->parent = link_named(s, "fwln1")->index;
	link_named(s, "fwln1")->parent = link_named(s, "fwpr1")->index;
	world_learn(s, "fwpr1", MAC_A1);
	world_learn(s, "veth1", MAC_A1);
	world_learn(s, "fwln1", MAC_A2);
	world_learn(s, "eno1", MAC_A2);
	fleet_free(w.f);
	w = world_empty();
	world_guests_say(&w);
	world_says(&w, w.hv1, s);
	assert_true(fleet_place(w.f, w.a1, mac_of(MAC_A1), &p));
	assert_string_equal(p.port, "veth1");
	assert_string_equal(p.bridge, "fwbr1");
	assert_false(fleet_place(w.f, w.a2, mac_of(MAC_A2), &p));
	fleet_free(w.f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_host_and_its_own_macvtap_guest_are_no_pair),
	    cmocka_unit_test(a_pair_of_devices_between_bridges_has_no_guest),
	    cmocka_unit_test(names_are_found_within_what_the_caller_may_see),
	    cmocka_unit_test(silence_is_offline_after_three_seconds),
	    cmocka_unit_test(changes_are_kept_but_not_the_first_snapshot),
	    cmocka_unit_test(guests_are_found_on_the_ports_of_their_own_hosts),
	    cmocka_unit_test(the_order_of_the_first_reports_does_not_matter),
	    cmocka_unit_test(two_hosts_that_qualify_equally_leave_it_unknown),
	    cmocka_unit_test(the_relaying_host_is_the_host),
	    cmocka_unit_test(a_tap_with_the_guests_mac_is_its_port_even_unlearned),
	    cmocka_unit_test(equal_macs_of_two_tenants_need_certain_evidence),
	    cmocka_unit_test(a_fault_hides_the_place_but_not_the_memory),
	    cmocka_unit_test(a_port_in_the_wrong_bridge_is_still_remembered_in_its_own),
	    cmocka_unit_test(a_guest_that_moved_is_found_on_its_new_host),
	    cmocka_unit_test(a_relayed_guest_that_moved_is_found_at_once),
	    cmocka_unit_test(another_guest_with_the_same_mac_does_not_pull_it_over),
	    cmocka_unit_test(a_static_entry_on_a_wrong_port_moves_nobody),
	    cmocka_unit_test(a_nic_with_a_new_mac_keeps_its_place),
	    cmocka_unit_test(an_unbridged_device_is_found_by_its_neighbour),
	    cmocka_unit_test(a_firewall_bridge_in_between_is_seen_through),
	    cmocka_unit_test(uplinks_stay_uplinks_until_they_leave),
	    cmocka_unit_test(a_new_uplink_with_one_guest_is_known_after_a_while),
	    cmocka_unit_test(a_port_taken_for_an_uplink_is_given_back),
	    cmocka_unit_test(a_port_with_strangers_may_be_the_only_way_out),
	    cmocka_unit_test(another_device_of_the_same_name_is_no_uplink),
	    cmocka_unit_test(endpoints_are_on_the_shared_segment),
	    cmocka_unit_test(tenants_with_equal_subnets_are_not_one_segment),
	    cmocka_unit_test(the_management_nic_is_the_last_resort),
	    cmocka_unit_test(hosts_without_a_common_subnet_but_management_use_that),
	    cmocka_unit_test(vanished_addresses_are_kept_and_changed_ones_followed),
	    cmocka_unit_test(a_second_address_does_not_displace_the_first),
	    cmocka_unit_test(routed_guests_without_a_segment_are_not_on_link),
	    cmocka_unit_test(who_never_had_an_address_is_told_so),
	    cmocka_unit_test(machines_that_met_share_a_segment),
	    cmocka_unit_test(an_unnumbered_port_borrows_an_address),
	    cmocka_unit_test(kinds_follow_the_addresses),
	    cmocka_unit_test(kinds_outlive_a_lost_route),
	    cmocka_unit_test(owners_know_their_segment),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
