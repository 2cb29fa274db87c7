/* ovs: what Open vSwitch 3.1 said on a machine of ours, and what is made of it. */
#include "agent/facts/ovs.h"
#include "agent/facts/ovs_model.h"
#include "agent/facts/ovs_rpc.h"
#include "agent/ovs_flow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the fate of a packet ---- */

#define FLOW "Flow: icmp,in_port=3,vlan_tci=0x0000,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02\n\n"
#define INT  "bridge(\"br-int\")\n----------------\n"
#define EX   "\nbridge(\"br-ex\")\n---------------\n"
#define FINAL(mask, actions)                                                                                                       \
	"\nFinal flow: unchanged\nMegaflow: recirc_id=0,eth,ip,in_port=3," mask "nw_frag=no\nDatapath actions: " actions "\n"
#define RECIRC                                                                                                                     \
	"\n===============================================================================\n"                                      \
	"recirc(0x2) - resume conntrack with default ct_state=trk|new (use --ct-next to customize)\n"                              \
	"===============================================================================\n\n"
#define CT                                                                                                                         \
	" 0. ip, priority 1\n    ct(table=1,zone=5)\n    drop\n     -> A clone of the packet is forked to recirculate. The "       \
	"forked "                                                                                                                  \
	"pipeline will be resumed at table 1.\n     -> Sets the packet to an untracked state, and clears all the conntrack "       \
	"fields.\n"
#define THAW INT "    thaw\n        Resuming from table 1\n"

static const struct fate_case {
	const char *name, *trace;
	bool dropped, by_ports;
	const char *bridge;
	unsigned table;
	const char *text;
} fates[] = {
    {"forwarded", FLOW INT " 0. priority 0\n    NORMAL\n     -> forwarding to learned port\n" FINAL("", "4"), false, false, "", 0,
     ""},
    {"flooded through a patch port",
     FLOW INT " 0. priority 0\n    NORMAL\n     -> no learned MAC for destination, flooding\n" EX
              " 0. priority 0\n    NORMAL\n     -> no learned MAC for destination, flooding\n" FINAL(
                  "", "push_vlan(vid=100,pcp=0),2,1,3,pop_vlan,4"),
     false, false, "", 0, ""},
    {"drop by an entry", FLOW INT " 0. icmp, priority 10\n    drop\n" FINAL("", "drop"), true, false, "br-int", 0,
     "icmp, priority 10: drop"},
    {"drop by an entry with a port", FLOW INT " 0. udp,tp_src=5, priority 20\n    drop\n" FINAL("tp_src=5,", "drop"), true, true,
     "br-int", 0, "udp,tp_src=5, priority 20: drop"},
    {"no match", FLOW INT " 0. No match.\n    drop\n" FINAL("", "drop"), true, false, "br-int", 0, "no flow entry matches: drop"},
    {"tagged on an access port",
     FLOW INT " 0. priority 0\n    NORMAL\n     >>>> dropping VLAN 7 tagged packet received on port vg1 configured as VLAN 100 "
              "access port <<<<\n"
              "     >> disallowed VLAN VID for this input port, dropping\n" FINAL("", "drop"),
     true, false, "br-int", 0,
     "priority 0: NORMAL - dropping VLAN 7 tagged packet received on port vg1 configured as VLAN 100 access port - disallowed VLAN "
     "VID for "
     "this input port, dropping"},
    {"untagged on a trunk",
     FLOW INT " 0. priority 0\n    NORMAL\n     >>>> dropping VLAN 0 packet received on port vg1 not configured for trunking VLAN "
              "0 <<<<\n" FINAL("", "drop"),
     true, false, "br-int", 0,
     "priority 0: NORMAL - dropping VLAN 0 packet received on port vg1 not configured for trunking VLAN 0"},
    {"behind a patch port",
     FLOW INT " 0. priority 0\n    NORMAL\n     -> forwarding to learned port\n" EX
              " 0. udp, priority 32768\n    drop\n" FINAL("", "drop"),
     true, false, "br-ex", 0, "udp, priority 32768: drop"},
    {"dropped beside, delivered here",
     FLOW INT " 0. priority 0\n    NORMAL\n     -> no learned MAC for destination, flooding\n" EX
              " 0. udp, priority 32768\n    drop\n" FINAL("", "push_vlan(vid=100,pcp=0),2,pop_vlan,4"),
     false, false, "", 0, ""},
    {"no such port", FLOW INT " 0. icmp, priority 1\n    output:77\n     >> Nonexistent output port\n" FINAL("", "drop"), true,
     false, "br-int", 0, "icmp, priority 1: output:77 - Nonexistent output port"},
    {"tracked, then dropped",
     FLOW INT CT FINAL("", "ct(zone=5),recirc(0x2)") RECIRC FLOW THAW
     " 1. ct_state=+new+trk,tcp, priority 10\n    drop\n" FINAL("", "drop"),
     true, false, "br-int", 1, "ct_state=+new+trk,tcp, priority 10: drop"},
    {"tracked, then delivered",
     FLOW INT CT FINAL("", "ct(zone=5),recirc(0x3)") RECIRC FLOW THAW
     " 1. ct_state=+trk,ip, priority 5\n    ct(commit,zone=5)\n    drop\n     -> Sets the packet to an untracked state, and clears "
     "all the "
     "conntrack fields.\n    resubmit(,2)\n 2. ip,nw_dst=10.5.0.2, priority 5\n    NORMAL\n     -> forwarding to learned "
     "port\n" FINAL("", "ct(commit,zone=5),4"),
     false, false, "", 0, ""},
    {"tracked, resubmitted, no match",
     FLOW INT CT FINAL("", "ct(zone=5),recirc(0x4)") RECIRC FLOW THAW
     " 1. ct_state=+trk,ip, priority 5\n    ct(commit,zone=5)\n    drop\n    resubmit(,2)\n 2. No match.\n    drop\n" FINAL(
         "", "ct(commit,zone=5)"),
     true, false, "br-int", 2, "no flow entry matches: drop"},
    {"tracked, and the rest is missing", FLOW INT CT FINAL("", "ct(zone=5),recirc(0x4)"), false, false, "", 0, ""},
    {"to the controller", FLOW INT " 0. arp, priority 2\n    CONTROLLER:65535\n" FINAL("", "userspace(pid=0,controller(reason=1))"),
     false, false, "", 0, ""},
    {"into a tunnel",
     FLOW INT " 0. priority 0\n    output:9\n" FINAL("", "clone(tnl_push(tnl_port(4789),header(size=50),out_port(1)),2)"), false,
     false, "", 0, ""},
    {"an action of tomorrow", FLOW INT " 0. priority 0\n    drop\n" FINAL("", "teleport(7)"), false, false, "", 0, ""},
    {"nothing", "", false, false, "", 0, ""},
    {"no trace", "Bad openflow flow syntax: in_port=none1,icmp", false, false, "", 0, ""},
};

static void fates_are_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof fates / sizeof *fates; i++) {
		const struct fate_case *c = &fates[i];
		struct ovs_fate f;

		ovs_fate_read(c->trace, &f);
		if (f.dropped != c->dropped)
			fail_msg("%s: dropped %d", c->name, f.dropped);
		if (!c->dropped)
			continue;
		assert_string_equal(f.text, c->text);
		assert_string_equal(f.bridge, c->bridge);
		assert_int_equal(f.table, c->table);
		assert_int_equal(f.by_ports, c->by_ports);
	}
}

/* ---- a packet as a flow ---- */

static struct ip ip_of(const char *text)
{
	struct ip out = {0};

	ip_parse(text, &out);
	return out;
}

static void packets_become_flows(void **state)
{
#define MACS "in_port=3,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02"
	static const struct {
		uint8_t kind, part;
		uint16_t vlan;
		const char *src, *dst, *text;
	} rows[] = {
	    {KIND_ICMP, PART_PROBE, 0, "10.5.0.1", "10.5.0.2",
	     MACS ",icmp,nw_src=10.5.0.1,nw_dst=10.5.0.2,nw_ttl=64,icmp_type=8,icmp_code=0"},
	    {KIND_ICMP, PART_ANSWER, 0, "10.5.0.1", "10.5.0.2",
	     MACS ",icmp,nw_src=10.5.0.2,nw_dst=10.5.0.1,nw_ttl=64,icmp_type=0,icmp_code=0"},
	    {KIND_UDP, PART_PROBE, 7, "10.5.0.1", "10.5.0.2",
	     MACS ",dl_vlan=7,udp,nw_src=10.5.0.1,nw_dst=10.5.0.2,nw_ttl=64,udp_src=30002,udp_dst=7401"},
	    {KIND_TCP, PART_ANSWER, 0, "10.5.0.1", "10.5.0.2",
	     MACS ",tcp,nw_src=10.5.0.2,nw_dst=10.5.0.1,nw_ttl=64,tcp_src=7401,tcp_dst=30002,tcp_flags=syn|ack"},
	    {KIND_ICMP6, PART_PROBE, 0, "fd00::1", "fd00::2",
	     MACS ",icmp6,ipv6_src=fd00::1,ipv6_dst=fd00::2,nw_ttl=64,icmpv6_type=128,icmpv6_code=0"},
	    {KIND_ARP, PART_PROBE, 0, "10.5.0.1", "10.5.0.2",
	     MACS ",arp,arp_op=1,arp_spa=10.5.0.1,arp_tpa=10.5.0.2,arp_sha=02:00:00:00:00:01"},
	    {KIND_ND, PART_ANSWER, 0, "fd00::1", "fd00::2",
	     MACS ",icmp6,ipv6_src=fd00::2,ipv6_dst=fd00::1,nw_ttl=255,icmpv6_type=136,icmpv6_code=0,nd_target=fd00::2"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct flow f = {
		    .kind = rows[i].kind, .id_base = 30000, .dport = 7401, .src = ip_of(rows[i].src), .dst = ip_of(rows[i].dst)};
		struct ovs_packet p = {.flow = &f, .part = rows[i].part, .seq = 2, .vlan = rows[i].vlan, .in_port = 3};
		char text[OVS_FLOW_MAX];

		mac_parse("02:00:00:00:00:01", &p.src);
		mac_parse("02:00:00:00:00:02", &p.dst);
		ovs_flow_format(&p, text);
		assert_string_equal(text, rows[i].text);
	}
}

/* ---- the model over a snapshot ---- */

#define NONE "[\"set\",[]]"
#define U(x) "[\"uuid\",\"" x "\"]"
#define PORT(uuid, name, ifaces, rest)                                                                                             \
	"{\"_uuid\":" U(uuid) ",\"name\":\"" name "\",\"interfaces\":" ifaces "," rest ",\"bond_mode\":" NONE                      \
	                      ",\"bond_active_slave\":" NONE "}"
#define PLAIN "\"tag\":" NONE ",\"trunks\":" NONE ",\"vlan_mode\":" NONE
#define IFACE(uuid, name, type, ofport, options)                                                                                   \
	"{\"_uuid\":" U(                                                                                                           \
	    uuid) ",\"name\":\"" name "\",\"type\":\"" type "\",\"ofport\":" ofport                                                \
	          ",\"ifindex\":0,\"mtu\":1500,\"link_state\":\"up\",\"admin_state\":\"up\",\"options\":[\"map\",[" options "]],"  \
	          "\"mac_in_use\":\"0a:00:00:00:00:07\"}"

static const char
    result[] = "[{\"rows\":[{\"ovs_version\":\"3.1.0\"}]},"
               "{\"rows\":[{\"name\":\"br-int\",\"ports\":[\"set\",[" U("10000001-a") "," U("10000002-a") "," U(
                   "10000003-a") "," U("10000004-a") "]],"
                                                     "\"stp_enable\":false,\"rstp_enable\":false},"
                                                     "{\"name\":\"br-ex\",\"ports\":[\"set\",[" U("10000005-a") "," U(
                                                         "10000006-a") "," U("10000007-a") "]],\"stp_enable\":true,\"rstp_enable\":"
                                                                                           "false}]},"
                                                                                           "{\"rows\":[" PORT("10000001-a",
                                                                                                              "br-int",
                                                                                                              U("20000001-a"), PLAIN) "," PORT("10000002-a", "vg1", U("20000002-a"), "\"tag\":100,\"trunks\":" NONE ",\"vlan_mode\":" NONE) "," PORT("10000003-a", "vg2", U("20000003-a"), "\"tag\":5,\"trunks\":[\"set\",[7,8,9,100]],\"vlan_mode\":\"native-untagged\"") "," PORT("10000004-a",
                                                                                                                                                                                                                                                                                                                                                                                    "patch-to-external", U("20000004-a"), PLAIN) "," PORT("10000005-a",
                                                                                                                                                                                                                                                                                                                                                                                                                                          "patch-to-internal",
                                                                                                                                                                                                                                                                                                                                                                                                                                          U("20000005-a"),
                                                                                                                                                                                                                                                                                                                                                                                                                                          PLAIN) "," PORT("10000006-a",
                                                                                                                                                                                                                                                                                                                                                                                                                                                          "bond0",
                                                                                                                                                                                                                                                                                                                                                                                                                                                          "[\"set\",[" U("20000006-a") "," U(
                                                                                                                                                                                                                                                                                                                                                                                                                                                              "20000007-a") "]]",
                                                                                                                                                                                                                                                                                                                                                                                                                                                          PLAIN) "," PORT("10000007-a",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                          "vx1",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                          U("20000008-a"), "\"tag\":" NONE ",\"trunks\":30,\"vlan_mode\":" NONE) "]},"
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                 "{\"rows\":[" IFACE(
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                     "20000001-a",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                     "br-int",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                     "internal", "65534", "") "," IFACE("20000002-a",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                        "vg1",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                        "",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                        "3", "") "," IFACE("20000003-a", "vg2", "", "1", "") "," IFACE("20000004-a", "patch-to-external", "patch", "2", "[\"peer\",\"patch-to-internal\"]") "," IFACE("20000005-a", "patch-to-internal", "patch", "1", "[\"peer\",\"patch-to-external\"]") "," IFACE("20000006-a",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                     "eth1",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                     "", "2", "") "," IFACE("20000007-a",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                            "eth2",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                            "", "3",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                            "") "," IFACE("20000008-a", "vx1", "vxlan", "4", "[\"key\",\"77\"],[\"remote_ip\",\"192.0.2.9\"]") "]}]";

static void link_put(struct snapshot *s, uint32_t index, const char *name, const char *kind, uint32_t master)
{
	struct link *l = &s->links[s->link_count++];

	*l = (struct link){.index = index, .master = master, .up = true, .carrier = true, .mtu = 1500};
	snprintf(l->name, sizeof l->name, "%s", name);
	snprintf(l->kind, sizeof l->kind, "%s", kind);
}

static struct snapshot *overlaid(struct ovs_model *m)
{
	struct snapshot *s = snapshot_new();
	struct err e = {""};
	json_t *json = json_loads(result, 0, NULL);

	assert_non_null(json);
	assert_int_equal(ovs_model_read(m, json, &e), 0);
	json_decref(json);
	s->links = calloc(8, sizeof *s->links); /* room for eight: the overlay grows it from there */
	link_put(s, 1, "lo", "", 0);
	link_put(s, 2, "br-int", "tun", 9);
	link_put(s, 3, "vg1", "veth", 9);
	link_put(s, 4, "vg2", "veth", 9);
	link_put(s, 5, "eth1", "", 9);
	link_put(s, 6, "eth2", "", 9);
	link_put(s, 7, "mgmt0", "", 0);
	link_put(s, 9, "ovs-system", "openvswitch", 0);
	ovs_entries_read(
	    m, 0,
	    " port  VLAN  MAC                Age\n    3   100  02:00:00:00:00:01  119\nLOCAL     0  02:00:00:00:00:09   15\n"
	    "    2     0  02:00:00:00:00:03   static\nrubbish\n   77     0  02:00:00:00:00:04    1\n");
	ovs_entries_read(m, 1, "    2     0  02:00:00:00:00:03    4\n    4    30  02:00:00:00:00:05    4\n");
	ovs_overlay(m, s);
	return s;
}

static const struct port_vlan *vlan_of(const struct snapshot *s, const char *name, uint16_t vid)
{
	const struct link *l = snapshot_link_named(s, name);

	for (size_t i = 0; l && i < s->vlan_count; i++)
		if (s->vlans[i].link == l->index && vid >= s->vlans[i].vid && vid <= s->vlans[i].last)
			return &s->vlans[i];
	return NULL;
}

static void bridges_look_like_bridges(void **state)
{
	struct ovs_model m = {0};
	struct snapshot *s = overlaid(&m);
	const struct link *br = snapshot_link_named(s, "br-int"), *ex = snapshot_link_named(s, "br-ex"),
	                  *vg1 = snapshot_link_named(s, "vg1");

	(void)state;
	assert_true(link_is_bridge(br) && link_is_bridge(ex));
	assert_int_equal(br->index, 2);
	assert_int_equal(br->master, 0); /* not ovs-system */
	assert_true(ex->index >= OVS_SYNTHETIC && ex->stp && !br->stp);
	assert_true(vg1->port && vg1->master == 2 && vg1->port_state == PORT_FORWARDING);
	assert_string_equal(vg1->kind, "veth");
	assert_int_equal(snapshot_link_named(s, "mgmt0")->master, 0);
	assert_string_equal(snapshot_text(s, "ovs.version"), "3.1.0");
	snapshot_free(s);
	ovs_model_clear(&m);
}

static void patches_and_bonds_are_links(void **state)
{
	struct ovs_model m = {0};
	struct snapshot *s = overlaid(&m);
	const struct link *patch = snapshot_link_named(s, "patch-to-~2"), *bond = snapshot_link_named(s, "bond0"), *peer;

	(void)state;
	assert_non_null(patch);
	peer = snapshot_link(s, patch->parent);
	assert_non_null(peer);
	assert_string_equal(patch->kind, "ovs-patch");
	assert_int_equal(patch->master, 2);
	assert_int_equal(peer->parent, patch->index);
	assert_string_equal(snapshot_link(s, peer->master)->name, "br-ex");
	assert_string_equal(bond->kind, "bond");
	assert_int_equal(bond->master, peer->master);
	assert_int_equal(snapshot_link_named(s, "eth1")->master, bond->index);
	assert_int_equal(snapshot_link_named(s, "eth2")->master, bond->index);
	assert_int_equal(snapshot_link_named(s, "vx1")->vni, 77);
	assert_int_equal(snapshot_link_named(s, "vx1")->vx_port, 4789);
	snapshot_free(s);
	ovs_model_clear(&m);
}

static void indexes_stay(void **state)
{
	struct ovs_model m = {0}, again = {0};
	struct snapshot *s = overlaid(&m), *t = overlaid(&again);

	(void)state;
	assert_int_equal(snapshot_link_named(s, "bond0")->index, snapshot_link_named(t, "bond0")->index);
	assert_int_equal(snapshot_link_named(s, "patch-to-~1")->index, snapshot_link_named(t, "patch-to-~1")->index);
	snapshot_free(s);
	snapshot_free(t);
	ovs_model_clear(&m);
	ovs_model_clear(&again);
}

static void vlans_of_ports(void **state)
{
	struct ovs_model m = {0};
	struct snapshot *s = overlaid(&m);

	(void)state;
	assert_true(vlan_of(s, "vg1", 100)->pvid && vlan_of(s, "vg1", 100)->untagged);
	assert_null(vlan_of(s, "vg1", 0));
	assert_null(vlan_of(s, "vg1", 5));
	assert_true(vlan_of(s, "vg2", 5)->pvid);
	assert_true(vlan_of(s, "vg2", 8) && !vlan_of(s, "vg2", 8)->pvid && !vlan_of(s, "vg2", 8)->untagged);
	assert_null(vlan_of(s, "vg2", 10));
	assert_true(vlan_of(s, "bond0", 0)->pvid && vlan_of(s, "bond0", 4094));
	assert_null(vlan_of(s, "vx1", 0)); /* a trunk of VLAN 30 takes nothing untagged */
	assert_non_null(vlan_of(s, "vx1", 30));
	assert_true(vlan_of(s, "br-int", 0)->untagged);
	snapshot_free(s);
	ovs_model_clear(&m);
}

static void forwarding_entries(void **state)
{
	struct ovs_model m = {0};
	struct snapshot *s = overlaid(&m);

	(void)state;
	assert_int_equal(s->fdb_count, 5);
	assert_true(s->fdbs[0].bridge == 2 && s->fdbs[0].port == 3 && s->fdbs[0].vlan == 100 && !s->fdbs[0].local);
	assert_true(s->fdbs[1].local && s->fdbs[1].port == 2);
	assert_true(s->fdbs[2].is_static);
	assert_int_equal(s->fdbs[3].port, snapshot_link_named(s, "bond0")->index); /* of its first member */
	assert_true(ip_equal(s->fdbs[4].remote, ip_of("192.0.2.9")));
	snapshot_free(s);
	ovs_model_clear(&m);
}

static void other_databases_are_refused(void **state)
{
	static const char *const texts[] = {"[]", "{}", "[{},{},{},{}]",
	                                    "[{\"rows\":7},{\"rows\":[]},{\"rows\":[]},{\"rows\":[]}]"};

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct ovs_model m = {0};
		json_t *json = json_loads(texts[i], 0, NULL);

		assert_int_equal(ovs_model_read(&m, json, NULL), -1);
		json_decref(json);
		ovs_model_clear(&m);
	}
}

/* ---- other ends ---- */

static void values_are_found_in_a_stream(void **state)
{
	struct json_scan s = {0};

	(void)state;
	assert_int_equal(json_scan(&s, "{\"a\":\"}\\\"\"", 10), 11);
	assert_int_equal(json_scan(&s, ",\"b\":[1]}{", 10), 9);
	assert_int_equal(json_scan(&s, "  \n[]", 5), 5);
	assert_int_equal(json_scan(&s, "HTTP/1.1", 8), 0);
	s = (struct json_scan){0};
	for (int i = 0; i < 64; i++)
		assert_int_equal(json_scan(&s, "[", 1), 2);
	assert_int_equal(json_scan(&s, "[", 1), 0); /* deeper than anything they say */
}

/* A server that never reads: what it says is in the socket before it is asked. */
static int snapshot_against(const char *says, size_t len, char *problem, size_t size)
{
	char dir[] = "/tmp/bw-ovs-XXXXXX";
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	struct snapshot *s = snapshot_new();
	struct err e = {""};
	struct mono began;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), result_of, ms;

	assert_non_null(mkdtemp(dir));
	snprintf(at.sun_path, sizeof at.sun_path, "%s/db.sock", dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(listen(fd, 1), 0);
	ovs_use(dir);
	if (says) {
		pid_t child = fork();

		if (child == 0) {
			int c = accept(fd, NULL, NULL);

			_exit(write(c, says, len) < 0);
		}
	}
	began = mono_now();
	result_of = fact_read_ovs(s, &e);
	ms = (int)mono_ms_since(began, mono_now());
	assert_true(ms < 500); /* OVS_MS_MAX and whatever a busy machine adds */
	snprintf(problem, size, "%s", snapshot_text(s, "ovs.problem") ? snapshot_text(s, "ovs.problem") : "");
	close(fd);
	unlink(at.sun_path);
	rmdir(dir);
	snapshot_free(s);
	return result_of;
}

static void hostile_databases_cost_little(void **state)
{
	static const char *const texts[] = {"HTTP/1.1 400 Bad Request\r\n",
	                                    "{\"id\":2,\"result\":[]}",
	                                    "{\"id\":2,\"result\":",
	                                    "{]",
	                                    "",
	                                    "{\"id\":2,\"error\":\"no\",\"result\":null}"};
	char problem[128];
	struct snapshot *s = snapshot_new();

	(void)state;
	ovs_use("/nonexistent/openvswitch");
	assert_int_equal(fact_read_ovs(s, NULL), 0);
	assert_int_equal(s->text_count + s->link_count, 0); /* no Open vSwitch is no problem */
	snapshot_free(s);
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		assert_int_equal(snapshot_against(texts[i], strlen(texts[i]), problem, sizeof problem), -1);
		assert_true(problem[0]);
	}
	assert_int_equal(snapshot_against(NULL, 0, problem, sizeof problem), -1); /* takes the call and is silent */
	assert_true(problem[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(fates_are_read),
	    cmocka_unit_test(packets_become_flows),
	    cmocka_unit_test(bridges_look_like_bridges),
	    cmocka_unit_test(patches_and_bonds_are_links),
	    cmocka_unit_test(indexes_stay),
	    cmocka_unit_test(vlans_of_ports),
	    cmocka_unit_test(forwarding_entries),
	    cmocka_unit_test(other_databases_are_refused),
	    cmocka_unit_test(values_are_found_in_a_stream),
	    cmocka_unit_test(hostile_databases_cost_little),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
