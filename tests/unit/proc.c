#include "agent/facts/source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static int64_t counter(const struct snapshot *s, const char *name)
{
	int64_t v = INT64_MIN;

	snapshot_counter(s, name, &v);
	return v;
}

static void pairs_of_lines(void **state)
{
	struct snapshot *s = snapshot_new();

	(void)state;
	proc_parse_pairs(s, "Ip: Forwarding DefaultTTL OutNoRoutes\nIp: 1 64 7\n"
	                    "Icmp: InMsgs InEchos OutEchoReps\nIcmp: 9 5 4\n"
	                    "IcmpMsg: InType8\nIcmpMsg: 5\n"
	                    "Tcp: RtoAlgorithm MaxConn RetransSegs\nTcp: 1 -1 12\n");
	proc_parse_pairs(s, "TcpExt: SyncookiesSent ListenOverflows IPReversePathFilter TCPHPHits\nTcpExt: 0 3 11 99\n"
	                    "IpExt: InNoRoutes\nIpExt: 18446744073709551615\n");
	assert_int_equal(counter(s, "Ip.OutNoRoutes"), 7);
	assert_int_equal(counter(s, "Icmp.InEchos"), 5);
	assert_int_equal(counter(s, "Icmp.OutEchoReps"), 4);
	assert_int_equal(counter(s, "Tcp.RetransSegs"), 12);
	assert_int_equal(counter(s, "TcpExt.ListenOverflows"), 3);
	assert_int_equal(counter(s, "TcpExt.IPReversePathFilter"), 11);
	assert_int_equal(counter(s, "TcpExt.TCPHPHits"), INT64_MIN); /* says nothing about reachability */
	assert_int_equal(counter(s, "IcmpMsg.InType8"), INT64_MIN);
	snapshot_free(s);
}

static void snmp6_lines(void **state)
{
	struct snapshot *s = snapshot_new();

	(void)state;
	proc_parse_snmp6(s, "Ip6InReceives                   \t32\nIp6OutNoRoutes \t2\nIcmp6InEchos  \t6\nIcmp6InType135  "
	                    "\t8\nUdp6NoPorts\t1\nUdpLite6InDatagrams\t5\n");
	assert_int_equal(counter(s, "Ip6.OutNoRoutes"), 2);
	assert_int_equal(counter(s, "Icmp6.InEchos"), 6);
	assert_int_equal(counter(s, "Udp6.NoPorts"), 1);
	assert_int_equal(s->counter_count, 4);
	snapshot_free(s);
}

static void broken_lines_are_left_out(void **state)
{
	static const char *const texts[] = {
	    "",          "\n", "Ip:", "Ip:\nIp:\n", "Ip: A B\nIp: 1\n", "Ip: A\nTcp: 1\n", "Ip: A\nIp: x\n", "Ip6InReceives\n",
	    ":::\n:::\n"};

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct snapshot *s = snapshot_new();

		proc_parse_pairs(s, texts[i]);
		proc_parse_snmp6(s, texts[i]);
		proc_parse_sockets(s, texts[i], IPPROTO_TCP, 4);
		assert_true(s->counter_count <= 1);
		snapshot_free(s);
	}
}

static void columns_are_summed_over_processors(void **state)
{
	struct snapshot *s = snapshot_new();

	(void)state;
	proc_parse_softnet(s, "04259414 00000002 00000036 00000000\n03b775fc 00000010 00000021 00000000\n");
	proc_parse_conntrack(s,
	                     "entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop\n"
	                     "0000000a  00000000 0 0 00000003 0 0 0 0 00000001 00000004 00000000\n"
	                     "0000000a  00000000 0 0 00000001 0 0 0 0 00000001 000000ff 00000000\n");
	proc_parse_arp_cache(s, "entries  allocs res_failed unresolved_discards table_fulls\n"
	                        "000000c8 00000000 00000051 00000dbb 00000001\n"
	                        "000000c8 00000000 00000065 000009b3 00000000\n");
	proc_parse_nd_cache(s, "entries table_fulls\n00000003 00000000\n");
	assert_int_equal(counter(s, "softnet.dropped"), 0x12);
	assert_int_equal(counter(s, "softnet.squeezed"), 0x57);
	assert_int_equal(counter(s, "conntrack.drop"), 0x103);
	assert_int_equal(counter(s, "conntrack.insert_failed"), 2);
	assert_int_equal(counter(s, "conntrack.invalid"), 4);
	assert_int_equal(counter(s, "conntrack.early_drop"), 0);
	assert_int_equal(counter(s, "neigh.arp.entries"), 0xc8); /* of one table, told on every line */
	assert_int_equal(counter(s, "neigh.arp.table_full"), 1);
	assert_int_equal(counter(s, "neigh.arp.discards"), 0x176e);
	assert_int_equal(counter(s, "neigh.nd.entries"), 3);
	assert_int_equal(counter(s, "neigh.nd.failed"), INT64_MIN); /* an older kernel does not count them */
	snapshot_free(s);
}

static void how_busy_it_is(void **state)
{
	struct snapshot *s = snapshot_new();

	(void)state;
	proc_parse_cpu(s, "cpu  100 10 20 500 5 1 4 60 7 0\ncpu0 1 2 3\n");
	proc_parse_load(s, "44.63 22.19 10.12 2/425 13166\n");
	proc_parse_pressure(s, "pressure.cpu", "some avg10=70.68 avg60=67.90 avg300=42.02 total=3151437234\nfull avg10=0.00\n");
	assert_int_equal(counter(s, "cpu.total"), 700);
	assert_int_equal(counter(s, "cpu.idle"), 500);
	assert_int_equal(counter(s, "cpu.steal"), 60);
	assert_int_equal(counter(s, "cpu.load1"), 4463);
	assert_int_equal(counter(s, "pressure.cpu"), 7068);
	snapshot_free(s);
}

static void what_is_cut_short_is_left_out(void **state)
{
	static const char *const texts[] = {"",
	                                    "\n",
	                                    "cpu ",
	                                    "cpu  1 2 3 4 5 6 7\n",
	                                    "some",
	                                    "some avg10=",
	                                    "some avg10=x",
	                                    "x",
	                                    "drop\n",
	                                    "entries drop\n00000001\n",
	                                    "zz zz\n",
	                                    "entries\nzz\n"};

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct snapshot *s = snapshot_new();

		proc_parse_cpu(s, texts[i]);
		proc_parse_load(s, texts[i]);
		proc_parse_pressure(s, "p", texts[i]);
		proc_parse_softnet(s, texts[i]);
		proc_parse_conntrack(s, texts[i]);
		assert_int_equal(s->counter_count, 0);
		snapshot_free(s);
	}
}

static void hypervisors_by_name(void **state)
{
	(void)state;
	assert_string_equal(hypervisor_by_cpu("KVMKVMKVM"), "kvm");
	assert_string_equal(hypervisor_by_cpu("VMwareVMware"), "vmware");
	assert_string_equal(hypervisor_by_cpu("Microsoft Hv"), "hyper-v");
	assert_string_equal(hypervisor_by_cpu(""), "");
	assert_string_equal(hypervisor_by_cpu("somethingnew"), "");
	assert_string_equal(hypervisor_by_vendor("VMware, Inc."), "vmware");
	assert_string_equal(hypervisor_by_vendor("Dell Inc."), "");
}

static void listening_sockets(void **state)
{
	static const char tcp[] =
	    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	    "   0: 0100007F:1538 00000000:0000 0A 00000000:00000002 00:00000000 00000000     0        0 1 1\n"
	    "   1: 0100007F:1539 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 1 1\n";
	static const char udp6[] =
	    "  sl  local_address                         remote_address\n"
	    "  9: 00000000000000000000000001000000:1CE9 00000000000000000000000000000000:0000 07 00000000:00000000 00:0 0 0 0\n";
	struct snapshot *s = snapshot_new();
	char text[IP_TEXT_MAX];

	(void)state;
	proc_parse_sockets(s, tcp, IPPROTO_TCP, 4);
	assert_int_equal(s->listener_count, 1);
	assert_string_equal(ip_format(s->listeners[0].ip, text), "127.0.0.1");
	assert_int_equal(s->listeners[0].port, 5432);
	assert_int_equal(s->listeners[0].queued, 2);
	proc_parse_sockets(s, udp6, IPPROTO_UDP, 6);
	assert_int_equal(s->listener_count, 2);
	assert_string_equal(ip_format(s->listeners[1].ip, text), "::1");
	assert_int_equal(s->listeners[1].port, 7401);
	snapshot_free(s);
}

static void a_full_snapshot_counts_what_it_leaves_out(void **state)
{
	struct snapshot *s = snapshot_new();

	(void)state;
	for (int i = 0; i < SNAP_VALUES_MAX + 5; i++)
		snapshot_add_sysctl(s, "x", i);
	assert_int_equal(s->sysctl_count, SNAP_VALUES_MAX);
	assert_int_equal(s->sysctls[SNAP_VALUES_MAX - 1].value, SNAP_VALUES_MAX - 1);
	assert_int_equal(s->truncated, 5);
	snapshot_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(pairs_of_lines),
	    cmocka_unit_test(snmp6_lines),
	    cmocka_unit_test(broken_lines_are_left_out),
	    cmocka_unit_test(columns_are_summed_over_processors),
	    cmocka_unit_test(how_busy_it_is),
	    cmocka_unit_test(what_is_cut_short_is_left_out),
	    cmocka_unit_test(hypervisors_by_name),
	    cmocka_unit_test(listening_sockets),
	    cmocka_unit_test(a_full_snapshot_counts_what_it_leaves_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
