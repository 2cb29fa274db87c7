/* layer two: bridges, twins, filters at ports, floods. Each cause is named when it is so, and not when something that looks like it
 * is so instead. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/scenario.h"

#define UNICAST (IP4 | IP6)

/* ---- bridges ---- */

static void forgotten(struct world *w)
{
	link_named(w, "h2", "v2")->flood = link_named(w, "h2", "v2")->learning = false;
	cut(w, "g1", "h2:up0", "h2:v2", UNICAST, NEIGH);
}
static void known_after_all(struct world *w)
{
	struct snapshot *s = facts(w, "h2");
	forgotten(w);
	*GROW(s->fdbs, s->fdb_count) =
	    (struct fdb){.bridge = 1, .port = link_named(w, "h2", "v2")->index, .mac = M("02:00:00:00:00:12")};
}

static void full_table(struct world *w)
{
	struct snapshot *s = facts(w, "h1");
	link_named(w, "h1", "v1")->flood = false;
	add_sysctl(s, "bridge.br0.fdb_max_learned", 3);
	add_counter(s, "bridge.br0.fdb_learned", 3);
	for (int i = 0; i < 3; i++)
		*GROW(s->fdbs, s->fdb_count) =
		    (struct fdb){.bridge = 1, .port = link_named(w, "h1", "v3")->index, .mac = {{2, 9, 9, 9, 9, (uint8_t)i}}};
	cut(w, "g2", "h1:up0", "h1:v1", UNICAST, NEIGH);
}
static void table_with_room(struct world *w)
{
	full_table(w);
	add_sysctl(facts(w, "h1"), "bridge.br0.fdb_max_learned", 1000);
}

static void snooped(struct world *w)
{
	add_sysctl(facts(w, "h2"), "bridge.br0.mcast_snooping", 1);
	cut(w, "g1", "h2:up0", "h2:v2", K(ND), 0);
}
static void snooped_and_arp_dies(struct world *w)
{
	add_sysctl(facts(w, "h2"), "bridge.br0.mcast_snooping", 1);
	cut(w, "g1", "h2:up0", "h2:v2", K(ND) | K(ARP), 0);
}

static void address_on_uplink(struct world *w)
{
	drop_addr(w, "h1", "10.0.0.1/24");
	add_addr(facts(w, "h1"), link_named(w, "h1", "up0")->index, "10.0.0.1/24");
	cut(w, "h1", "h1:socket", "h1:br0", 0, IP4);
}
static void address_lost(struct world *w)
{
	drop_addr(w, "h1", "10.0.0.1/24");
	cut(w, "h1", "h1:socket", "h1:br0", 0, IP4);
}

static void wireless(struct world *w)
{
	struct text *t = GROW(facts(w, "h1")->texts, facts(w, "h1")->text_count);
	str_copy(t->name, sizeof t->name, "link.up0.medium");
	str_copy(t->text, sizeof t->text, "wireless");
	cut(w, "g1", "h1:up0", "h2:up0", ALL, 0);
}
static void wired(struct world *w) { cut(w, "g1", "h1:up0", "h2:up0", ALL, 0); }

/* ---- the network between the hosts ---- */

static void hosts_meet(struct world *w)
{
	struct witness *n = &w->d->witnesses[w->d->witness_count++];
	*n = (struct witness){.from = party(w, "h1"), .to = party(w, "h2")};
	n->delivery[KIND_ARP] = n->delivery[KIND_UDP] = CELL_OK;
}
static void mac_restricted(struct world *w)
{
	hosts_meet(w);
	cut(w, "g1", "h1:up0", "h2:up0", ALL, 0);
}

static void mac_passes_at_times(struct world *w)
{
	mac_restricted(w);
	w->v->dir[dir_of(w, "g1")].cuts[0].partial = true;
}

static void arp_inspected(struct world *w)
{
	cut(w, "g1", "h1:up0", "h2:up0", K(ARP), 0);
	fails(w, "g2", K(ARP), CELL_LOST);
}
static void broadcasts_limited(struct world *w) { cut(w, "g1", "h1:up0", "h2:up0", K(ARP), 0); } /* replies pass */

/* ---- twins ---- */

static void mac_of_bridge(struct world *w)
{
	w->d->party[party(w, "g1")].ep.mac = link_named(w, "g1", "eth0")->mac = M("02:a0:00:00:00:01");
	cut(w, "g2", "h1:up0", "h1:v1", UNICAST, NEIGH);
}

static void mac_of_guest(struct world *w)
{
	w->d->owners[4].mac = M("02:00:00:00:00:12"); /* g3 */
	cut(w, "g1", "h1:v1", "h1:up0", UNICAST, NEIGH);
}
static void mac_elsewhere(struct world *w)
{
	mac_of_guest(w);
	w->d->owners[4].same_segment = false;
}

static void twin(struct world *w, const char *other)
{
	world_owner(w, "g3", "10.0.0.12/24", "02:00:00:00:00:13");
	for (size_t i = 0; i < w->d->owner_count; i++) {
		struct owner *o = &w->d->owners[i];
		bool third = strcmp(o->agent, "g3") == 0;
		o->leased = ip_equal(o->ip.ip, P("10.0.0.12/24").ip);
		str_copy(o->machine, sizeof o->machine, third ? other : "0123");
	}
	sent(w, "g1", KIND_ARP)->mac_count = 2;
	sent(w, "g1", KIND_ARP)->macs[0] = M("02:00:00:00:00:12");
	sent(w, "g1", KIND_ARP)->macs[1] = M("02:00:00:00:00:13");
	fails(w, "g1", K(ARP), CELL_IMPOSTOR);
}
static void clone(struct world *w) { twin(w, "0123"); }
static void stranger(struct world *w) { twin(w, "4567"); }

static void dad(struct world *w)
{
	struct snapshot *s = facts(w, "g2");
	for (size_t i = 0; i < s->addr_count; i++)
		s->addrs[i].dadfailed = s->addrs[i].prefix.ip.family == 6;
	fails(w, "g1", IP6 | K(ND), CELL_LOST);
}

/* ---- neighbours ---- */

static void former_address(struct world *w)
{
	changed(w, "g2", "link.eth0.mac", "02:00:00:00:00:77", "02:00:00:00:00:12");
	add_neigh(w, "g1", "10.0.0.12", "02:00:00:00:00:77", NEIGH_STALE);
	frames_to(w, "g1", false, "g1", "eth0", IP4, "02:00:00:00:00:77");
	cut(w, "g1", "h2:v2", "g2:eth0", IP4, 0);
}
static void never_its_own(struct world *w)
{
	add_neigh(w, "g1", "10.0.0.12", "02:00:00:00:00:77", NEIGH_STALE);
	frames_to(w, "g1", false, "g1", "eth0", IP4, "02:00:00:00:00:77");
	cut(w, "g1", "h2:v2", "g2:eth0", IP4, 0);
}

static void before(struct world *w, const char *name, const char *counter, int64_t was, int64_t now)
{
	int i = party(w, name);
	w->old[i] = snapshot_copy(w->now[i]);
	w->d->party[i].before = w->old[i];
	add_counter(w->old[i], counter, was);
	add_counter(w->now[i], counter, now);
}
static void table_full(struct world *w)
{
	add_sysctl(facts(w, "g1"), "net.ipv4.neigh.default.gc_thresh3", 1024);
	before(w, "g1", "neigh.arp.table_full", 5, 9);
	cut(w, "g1", "g1:socket", "g1:eth0", IP4, 0);
}
static void table_was_full_once(struct world *w)
{
	before(w, "g1", "neigh.arp.table_full", 5, 5);
	cut(w, "g1", "g1:socket", "g1:eth0", IP4, 0);
}

/* ---- filters at the port ---- */

static struct fw_rule *match_mac(struct fw_rule *r, const char *mac, bool negate)
{
	add_match(r, FW_ETH_SADDR)->mac = M(mac);
	r->matches[r->match_count - 1].negate = negate;
	return r;
}
static void mac_filtered(struct world *w)
{
	struct fw_chain *c = add_chain(facts(w, "h1"), "bridge", "f", "fwd", "forward", FW_ACCEPT);
	match_mac(match_name(add_rule(c, FW_DROP, "other sources drop"), FW_IIF, "v1"), "02:00:00:00:00:99", true);
	cut(w, "g1", "h1:v1", "h1:up0", ALL, 0);
}
static void mac_filtered_on_the_way_to_a_router(struct world *w)
{
	mac_filtered(w);
	w->d->onlink = false;
	for (size_t i = 0; i < w->d->flow_count; i++)
		w->d->flows[i].onlink = false;
}
static void mac_banned(struct world *w) /* its own address is on a list: nobody asks for another one */
{
	struct fw_chain *c = add_chain(facts(w, "h1"), "bridge", "f", "fwd", "forward", FW_ACCEPT);
	match_mac(match_name(add_rule(c, FW_DROP, "that source drop"), FW_IIF, "v1"), "02:00:00:00:00:11", false);
	cut(w, "g1", "h1:v1", "h1:up0", ALL, 0);
}
static void ip_filtered(struct world *w)
{
	struct fw_chain *c = add_chain(facts(w, "h1"), "bridge", "f", "fwd", "forward", FW_ACCEPT);
	struct fw_rule *r = match_name(add_rule(c, FW_DROP, "other sources drop"), FW_IIF, "v1");
	match_ip(match_number(r, FW_ETHERTYPE, 0x0800, 0x0800), FW_SADDR, "10.0.0.99/32");
	r->matches[2].negate = true;
	cut(w, "g1", "h1:v1", "h1:up0", IP4, 0);
}
static void ip_list_of_the_receiver(struct world *w) /* g2 is reached by one address only, from whatever port */
{
	struct fw_chain *c = add_chain(facts(w, "h1"), "bridge", "f", "fwd", "forward", FW_ACCEPT);
	struct fw_rule *r = match_ip(add_rule(c, FW_DROP, "for g2 from others drop"), FW_DADDR, "10.0.0.12/32");
	match_ip(r, FW_SADDR, "10.0.0.99/32");
	r->matches[1].negate = true;
	cut(w, "g1", "h1:v1", "h1:up0", IP4, 0);
}
static void replies_filtered(struct world *w)
{
	struct fw_chain *c = add_chain(facts(w, "h1"), "bridge", "f", "fwd", "forward", FW_ACCEPT);
	match_number(match_name(add_rule(c, FW_DROP, "arp operation reply drop"), FW_IIF, "v1"), FW_ARP_OP, 2, 2);
	cut(w, "g1", "h1:v1", "h1:up0", 0, K(ARP));
}
static void all_arp_filtered(struct world *w)
{
	struct fw_chain *c = add_chain(facts(w, "h1"), "bridge", "f", "fwd", "forward", FW_ACCEPT);
	match_number(match_name(add_rule(c, FW_DROP, "arp drop"), FW_IIF, "v1"), FW_ETHERTYPE, 0x0806, 0x0806);
	cut(w, "g1", "h1:v1", "h1:up0", K(ARP), 0);
}

/* ---- floods, loops, tags ---- */

static void looped(struct world *w)
{
	struct snapshot *s = facts(w, "h1");
	struct round_result *r = w->result[party(w, "h1")];
	add_port(s, "lp0", "02:0f:00:00:00:08");
	add_port(s, "lp1", "02:0f:00:00:00:09");
	link_named(w, "h1", "lp1")->parent = link_named(w, "h1", "lp0")->index;
	*GROW(r->seen, r->seen_count) = (struct point_seen){.point = r->status[0].point, .probes = 7, .duplicates = 40};
	cut(w, "g1", "h1:v1", "h1:up0", UNICAST, 0);
}
static void duplicated_elsewhere(struct world *w)
{
	struct round_result *r = w->result[party(w, "h1")];
	*GROW(r->seen, r->seen_count) = (struct point_seen){.point = r->status[0].point, .probes = 7, .duplicates = 40};
	cut(w, "g1", "h1:v1", "h1:up0", UNICAST, 0);
}
static void learned_at(struct world *w, uint32_t bridge)
{
	struct snapshot *s = facts(w, "h1");
	duplicated_elsewhere(w);
	add_port(s, "lp0", "02:0f:00:00:00:08");
	link_named(w, "h1", "lp0")->master = bridge;
	*GROW(s->fdbs, s->fdb_count) =
	    (struct fdb){.bridge = bridge, .port = link_named(w, "h1", "lp0")->index, .mac = M("02:00:00:00:00:11")};
}
static void comes_back(struct world *w) { learned_at(w, 1); }
static void known_to_another_bridge(struct world *w) { learned_at(w, 77); }

static void tagged_from(struct world *w, const char *name, uint16_t tag)
{
	struct round_result *r = w->result[party(w, name)];
	size_t from = r->seen_count;
	frames_to(w, name, false, name, "eth0", ALL, "02:00:00:00:00:99");
	for (size_t i = from; i < r->seen_count; i++)
		r->seen[i].vlan = tag;
}
static void guest_tags(struct world *w)
{
	tagged_from(w, "g1", 20);
	tagged_from(w, "g2", 0);
	cut(w, "g1", "g2:eth0", "g2:socket", ALL, 0);
}
static void both_tag(struct world *w)
{
	tagged_from(w, "g1", 20);
	tagged_from(w, "g2", 20);
	cut(w, "g1", "g2:eth0", "g2:socket", ALL, 0);
}

static void flooded(struct world *w)
{
	before(w, "g2", "TcpExt.TCPReqQFullDrop", 10, 90);
	add_sysctl(facts(w, "g2"), "net.ipv4.tcp_syncookies", 0);
	fails(w, "g1", K(TCP), CELL_LOST);
}
static void full_because_nothing_leaves(struct world *w)
{
	before(w, "g2", "TcpExt.TCPReqQFullDrop", 10, 90);
	cut(w, "g2", "g2:socket", "g2:eth0", 0, IP4);
}
static void full_while_others_die(struct world *w)
{
	flooded(w);
	cut(w, "g1", "h1:up0", "h2:up0", K(UDP), 0);
}

/* ---- two interfaces in one network ---- */

static void second_nic(struct world *w, int ignore)
{
	struct snapshot *s = facts(w, "g2");
	add_link(s, "eth9", "", "02:00:00:00:09:12");
	add_addr(s, (uint32_t)s->link_count, "10.0.0.92/24");
	add_sysctl(s, "net.ipv4.conf.eth9.arp_ignore", ignore);
	add_neigh(w, "g1", "10.0.0.12", "02:00:00:00:09:12", NEIGH_REACHABLE);
	cut(w, "g1", "h2:up0", "h2:v2", IP4, 0);
}
static void other_nic_answers(struct world *w) { second_nic(w, 0); }
static void other_nic_is_silent(struct world *w) { second_nic(w, 1); }
static void lost_in_its_stack(struct world *w)
{
	second_nic(w, 0);
	w->v->dir[dir_of(w, "g1")].cut_count = 0;
	cut(w, "g1", "g2:eth0", "g2:socket", IP4, 0);
}

static const struct scenario scenarios[] = {
    {"mac-learning-disabled", "g1", "g2", "h2", forgotten, known_after_all, "bridge link set dev v2 learning on flood on"},
    {"mac-flood-cam-exhaustion", "g2", "g1", "h1", full_table, table_with_room, "dev v3 learning off"},
    {"mcast-snooping-breaks-nd", "g1", "g2", "h2", snooped, snooped_and_arp_dies, "br0 type bridge mcast_snooping 0"},
    {"host-ip-on-enslaved-nic", "h1", "g1", "h1", address_on_uplink, address_lost, "addr add 10.0.0.1/24 dev br0"},
    {"wifi-bridge-single-mac", "g1", "g2", "h1", wireless, wired, "route or NAT"},
    {"upstream-mac-restriction", "g1", "g2", NULL, mac_restricted, wired, "port security"},
    {"upstream-mac-restriction", "g1", "g2", NULL, mac_restricted, mac_passes_at_times, "port security"},
    {"arp-inspection-drop", "g1", "g2", NULL, arp_inspected, broadcasts_limited, "static binding"},
    {"duplicate-mac-vm-host", "g2", "g1", "g1", mac_of_bridge, mac_of_guest, "ip link set dev eth0 address 02:"},
    {"duplicate-mac-vm-vm", "g1", "g2", "g3", mac_of_guest, mac_elsewhere, "ip link set dev eth0 address 02:"},
    {"clone-identity-collision", "g1", "g2", "g3", clone, stranger, "addr del 10.0.0.12/24 dev eth0"},
    {"duplicate-ip-vm-vm", "g1", "g2", "g3", stranger, clone, "addr del 10.0.0.12/24 dev eth0"},
    {"ipv6-dad-failed", "g1", "g2", "g2", dad, NULL, "addr add fd00::12/64 dev eth0"},
    {"arp-flux-multihomed", "g1", "g2", "g2", other_nic_answers, other_nic_is_silent, "all.arp_ignore=1"},
    {"arp-flux-multihomed", "g1", "g2", "g2", other_nic_answers, lost_in_its_stack, "neigh flush to 10.0.0.12"},
    {"no-garp-after-move", "g1", "g2", "g1", former_address, never_its_own, "neigh del 10.0.0.12"},
    {"stale-arp-guest", "g1", "g2", "g1", never_its_own, former_address, "neigh del 10.0.0.12"},
    {"neigh-table-overflow", "g1", "g2", "g1", table_full, table_was_full_once, "net.ipv4.neigh.default.gc_thresh3=4096"},
    {"mac-antispoof-drop", "g1", "g2", "h1", mac_filtered, mac_banned, "ether saddr 02:00:00:00:00:11 accept"},
    {"mac-antispoof-drop", "g1", "g2", "h1", mac_filtered_on_the_way_to_a_router, NULL, "ether saddr 02:00:00:00:00:11 accept"},
    {"hypervisor-vm-egress-firewall", "g1", "g2", "h1", mac_banned, mac_filtered, NULL},
    {"ip-antispoof-drop", "g1", "g2", "h1", ip_filtered, ip_list_of_the_receiver, "ip saddr 10.0.0.11 accept"},
    {"arp-reply-dropped", "g1", "g2", "h1", replies_filtered, all_arp_filtered, "arp saddr ip 10.0.0.11 accept"},
    {"l2-loop-storm", "g1", "g2", "h1", looped, duplicated_elsewhere, "ip link set dev lp1 down"},
    {"l2-loop-storm", "g1", "g2", "h1", comes_back, known_to_another_bridge, "ip link set dev lp0 down"},
    {"double-or-guest-tagging", "g1", "g2", "g1", guest_tags, both_tag, "VLAN 20"},
    {"syn-or-packet-flood", "g1", "g2", "g2", flooded, full_because_nothing_leaves, "net.ipv4.tcp_syncookies=1"},
    {"syn-or-packet-flood", "g1", "g2", "g2", flooded, full_while_others_die, "net.ipv4.tcp_syncookies=1"},
};

static void it_is_named_first(void **state)
{
	(void)state;
	assert_named_first(scenarios, sizeof scenarios / sizeof *scenarios, false);
}

/* Without the switch's word it is a guess, if a good one. */
static void what_only_looks_like_it_is_less_sure(void **state)
{
	struct world *w = world_new("g1", "g2");
	(void)state;
	arp_inspected(w);
	diagnose(catalogue, w->d, w->v);
	const struct cause *c = named(w, "arp-inspection-drop");
	assert_non_null(c);
	assert_true(c->confidence < 0.95);
	world_free(w);
}

static void what_looks_like_it_is_not(void **state)
{
	(void)state;
	assert_alike_not_named(scenarios, sizeof scenarios / sizeof *scenarios);
}

static void whatever_is_missing_it_is_judged(void **state)
{
	(void)state;
	assert_nothing_is_indispensable(scenarios, sizeof scenarios / sizeof *scenarios);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(it_is_named_first),
	    cmocka_unit_test(what_looks_like_it_is_not),
	    cmocka_unit_test(whatever_is_missing_it_is_judged),
	    cmocka_unit_test(what_only_looks_like_it_is_less_sure),
	};
	return cmocka_run_group_tests(tests, open_catalogue, close_catalogue);
}
