/* Real captures, in a network namespace of the test's own: frames that a packet socket writes, and what the points say of them.
 * Without the right to make one there is nothing to test. */
#include "agent/capture.h"

#include "proto/base/mem.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define ROUND 0x1122334455667788u
#define FLOOD 20000

static struct loop *loop;
static struct exec *x;
static struct capture *c;
static struct round_result r;

static void shell(const char *command)
{
	if (system(command) != 0)
		fail_msg("%s", command);
}

/* The other end of a pair takes a moment to notice: until then it drops what is sent. */
static void up(const char *ifname)
{
	char command[128];

	snprintf(command, sizeof command, "ip link set %s up; while ip link show up | grep -q 'qdisc noop '; do sleep 0.01; done",
	         ifname);
	shell(command);
}

/* ---- a round: a UDP, a TCP and an ARP flow from 10.0.0.1 to 10.0.0.2, at the points named ---- */

static void arm(const char *const *names, size_t count, bool keep)
{
	struct round_spec spec = {.id = ROUND, .flow_count = 3, .point_count = count, .keep_frames = keep};
	struct flow udp = {.id = 0, .kind = KIND_UDP, .count = 8, .id_base = 20000, .dport = 7401}, tcp, arp;

	ip_parse("10.0.0.1", &udp.src);
	ip_parse("10.0.0.2", &udp.dst);
	tcp = udp;
	tcp.id = 1;
	tcp.kind = KIND_TCP;
	tcp.id_base = 20100;
	spec.flows[0] = udp;
	spec.flows[1] = tcp;
	arp = udp;
	arp.id = 2;
	arp.kind = KIND_ARP;
	spec.flows[2] = arp;
	for (size_t i = 0; i < count; i++) {
		spec.points[i].id = (uint8_t)i;
		str_copy(spec.points[i].ifname, sizeof spec.points[i].ifname, names[i]);
	}
	x = exec_new(&spec, (struct mono){0});
	c = capture_new(loop, x);
}

static void end(void)
{
	capture_drain(c);
	exec_result(x, &r);
	capture_free(c);
	exec_free(x);
	c = NULL;
	x = NULL;
}

static const struct point_seen *seen(uint8_t point, uint8_t flow)
{
	for (size_t i = 0; i < r.seen_count; i++)
		if (r.seen[i].point == point && r.seen[i].flow == flow)
			return &r.seen[i];
	return NULL;
}

/* ---- frames ---- */

struct frame {
	uint8_t b[512];
	size_t len;
};

static void put(struct frame *f, const void *data, size_t len)
{
	memcpy(f->b + f->len, data, len);
	f->len += len;
}

static void put16(struct frame *f, unsigned v) { put(f, (uint8_t[]){(uint8_t)(v >> 8), (uint8_t)v}, 2); }

static void ether(struct frame *f, unsigned outer_tag, unsigned inner_tag)
{
	put(f, "\2\0\0\0\0\2\2\0\0\0\0\1", 12);
	if (outer_tag) {
		put16(f, inner_tag ? 0x88a8 : 0x8100);
		put16(f, outer_tag);
	}
	if (inner_tag) {
		put16(f, 0x8100);
		put16(f, inner_tag);
	}
	put16(f, 0x0800);
}

static void ip4(struct frame *f, unsigned proto, const char *src, unsigned payload)
{
	struct in_addr from, to;

	inet_aton(src, &from);
	inet_aton("10.0.0.2", &to);
	put16(f, 0x4500);
	put16(f, 20 + payload);
	put(f, "\0\0\0\0\100", 5);
	put(f, &(uint8_t){(uint8_t)proto}, 1);
	put16(f, 0); /* no checksum: it is not looked at */
	put(f, &from, 4);
	put(f, &to, 4);
}

static struct frame udp_probe(unsigned seq, unsigned outer_tag, unsigned inner_tag)
{
	static const uint8_t key[PAIR_KEY_LEN];
	struct probe_header h = {.kind = KIND_UDP, .round = ROUND, .flow = 0, .seq = (uint8_t)seq};
	struct frame f = {.len = 0};

	ether(&f, outer_tag, inner_tag);
	ip4(&f, 17, "10.0.0.1", 8 + PROBE_HEADER_LEN);
	put16(&f, 20000 + seq);
	put16(&f, 7401);
	put16(&f, 8 + PROBE_HEADER_LEN);
	put16(&f, 0xdead); /* a checksum that is not made yet */
	probe_write(&h, key, f.b + f.len);
	f.len += PROBE_HEADER_LEN;
	return f;
}

static struct frame syn(unsigned seq, const char *src, uint32_t first_number)
{
	struct frame f = {.len = 0};

	ether(&f, 0, 0);
	ip4(&f, 6, src, 20);
	put16(&f, 20100 + seq);
	put16(&f, 7401);
	put16(&f, first_number >> 16);
	put16(&f, first_number & 0xffff);
	put(&f, "\0\0\0\0\x50\2\xff\xff\0\0\0\0", 12);
	return f;
}

/* A question carries the probe header behind it, an answer nothing. */
static struct frame arp_frame(bool answer, unsigned seq)
{
	static const uint8_t key[PAIR_KEY_LEN];
	struct probe_header h = {.kind = KIND_ARP, .round = ROUND, .flow = 2, .seq = (uint8_t)seq};
	struct in_addr from, to;
	struct frame f = {.len = 0};

	inet_aton(answer ? "10.0.0.2" : "10.0.0.1", &from);
	inet_aton(answer ? "10.0.0.1" : "10.0.0.2", &to);
	put(&f, "\2\0\0\0\0\2\2\0\0\0\0\1\x08\6\0\1\x08\0\6\4\0", 21);
	put(&f, answer ? "\2" : "\1", 1);
	put(&f, "\2\0\0\0\0\1", 6);
	put(&f, &from, 4);
	put(&f, "\0\0\0\0\0\0", 6);
	put(&f, &to, 4);
	if (!answer) {
		probe_write(&h, key, f.b + f.len);
		f.len += PROBE_HEADER_LEN;
	}
	return f;
}

static int out_of(const char *ifname)
{
	struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(ifname)};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
	return fd;
}

static void send_frame(const char *ifname, struct frame f)
{
	int fd = out_of(ifname);

	assert_int_equal(send(fd, f.b, f.len, 0), f.len);
	close(fd);
}

/* ---- the tests ---- */

static const char *const both[] = {"va", "vb"};

static void a_tag_is_seen_in_the_frame_and_aside(void **state)
{
	(void)state;
	arm(both, 2, true);
	send_frame("va", udp_probe(0, 0, 0));
	send_frame("va", udp_probe(1, 42, 0));
	end();
	for (uint8_t point = 0; point < 2; point++) {
		assert_non_null(seen(point, 0));
		assert_int_equal(seen(point, 0)->probes, 3);
		assert_int_equal(seen(point, 0)->vlan, 42);
		assert_int_equal(seen(point, 0)->duplicates, 0);
		assert_int_equal(seen(point, 0)->probe_src.b[5], 1);
	}
	/* the kept frame is as it was on the wire, at the point that got the tag aside, too */
	assert_int_equal(r.frames_count, 4);
	for (size_t i = 0; i < 4; i++) {
		struct frame sent = udp_probe(r.frames[i].seq, r.frames[i].seq ? 42 : 0, 0);

		assert_int_equal(r.frames[i].length, sent.len);
		assert_int_equal(r.frames[i].kept, sent.len);
		assert_memory_equal(r.frames[i].bytes, sent.b, sent.len);
		assert_int_equal(r.frames[i].way, r.frames[i].point == 0 ? FRAME_OUT : FRAME_IN);
		assert_int_equal(r.frames[i].part, PART_PROBE);
		assert_true(r.frames[i].at.ns > wall_now().ns - 10000000000 && r.frames[i].at.ns <= wall_now().ns);
	}
	round_result_clear(&r);
}

static void two_tags_are_the_outer_one(void **state)
{
	(void)state;
	arm(both, 2, false);
	send_frame("va", udp_probe(2, 100, 42));
	end();
	for (uint8_t point = 0; point < 2; point++) {
		assert_non_null(seen(point, 0));
		assert_int_equal(seen(point, 0)->vlan, 100);
	}
	assert_int_equal(r.frames_count, 0);
	round_result_clear(&r);
}

static void a_hairpin_is_no_duplicate_and_a_repeat_is(void **state)
{
	(void)state;
	arm(both, 1, false);
	send_frame("va", udp_probe(0, 0, 0)); /* out of va ... */
	send_frame("vb", udp_probe(0, 0, 0)); /* ... and back into it */
	send_frame("va", udp_probe(1, 0, 0));
	send_frame("va", udp_probe(1, 0, 0));
	end();
	assert_int_equal(seen(0, 0)->probes, 3);
	assert_int_equal(seen(0, 0)->duplicates, 1);
	round_result_clear(&r);
}

static void loopback_is_seen_once(void **state)
{
	(void)state;
	static const char *const lo[] = {"lo"};
	arm(lo, 1, true);
	send_frame("lo", udp_probe(0, 0, 0));
	end();
	assert_int_equal(seen(0, 0)->probes, 1);
	assert_int_equal(seen(0, 0)->duplicates, 0);
	assert_int_equal(r.frames_count, 1);
	round_result_clear(&r);
}

static void somebody_elses_connection_is_not_taken_for_a_probe(void **state)
{
	(void)state;
	arm(both, 2, true);
	send_frame("va", syn(0, "192.0.2.7", 99)); /* before ours: the same ports, by chance */
	send_frame("va", syn(0, "10.0.0.1", 4711));
	send_frame("va", syn(1, "192.0.2.7", 99));
	send_frame("vb", syn(1, "10.0.0.1", 4712));
	send_frame("vb", syn(1, "198.51.100.9", 4712)); /* ours, behind NAT */
	send_frame("va", syn(2, "198.51.100.9", 4713)); /* seen behind NAT only */
	end();
	assert_int_equal(seen(0, 1)->probes, 7);
	assert_int_equal(seen(0, 1)->duplicates,
	                 1); /* here both of seq 1 came in; a machine that translates sees them at two devices */
	assert_int_equal(r.frames_count, 2 * 4);
	round_result_clear(&r);
}

/* They do not say themselves which question they answer, and come in where the questions went out. */
static void answers_stand_behind_their_questions(void **state)
{
	(void)state;
	arm(both, 1, true);
	for (unsigned seq = 0; seq < 3; seq++) {
		send_frame("va", arp_frame(false, seq));
		send_frame("vb", arp_frame(true, 0));
	}
	send_frame("va", arp_frame(false, 3));
	end();
	assert_non_null(seen(0, 2));
	assert_int_equal(seen(0, 2)->probes, 15);
	assert_int_equal(seen(0, 2)->answers, 7);
	assert_int_equal(seen(0, 2)->duplicates, 0);
	assert_int_equal(r.frames_count, 7);
	for (size_t i = 0; i < r.frames_count; i++)
		assert_int_equal(r.frames[i].way, i % 2 ? FRAME_IN : FRAME_OUT);
	round_result_clear(&r);
}

static void what_others_send_stays_away(void **state)
{
	(void)state;
	struct frame f = udp_probe(0, 0, 0);
	f.b[f.len - PROBE_HEADER_LEN + 19] ^= 1; /* another round */
	arm(both, 2, false);
	send_frame("va", f);
	end();
	assert_null(seen(0, 0));
	assert_null(seen(1, 0));
	round_result_clear(&r);
}

/* More than a buffer holds, and nobody reads: the kernel counts what it could not keep. */
static void own_drops_are_counted(void **state)
{
	(void)state;
	struct frame f = udp_probe(0, 0, 0);
	arm(both, 2, false);
	int fd = out_of("va");
	for (int i = 0; i < FLOOD; i++)
		send(fd, f.b, f.len, 0);
	close(fd);
	end();
	assert_int_equal(r.status_count, 2);
	assert_true(r.status[0].armed);
	assert_true(r.status[0].dropped > 0);
	assert_int_equal(seen(0, 0)->duplicates + 1 + r.status[0].dropped, FLOOD);
	round_result_clear(&r);
}

static void a_device_may_go_down_and_up_and_take_another_name(void **state)
{
	(void)state;
	arm(both, 2, false);
	shell("ip link set vb down");
	capture_drain(c);
	shell("ip link set vb name vc");
	up("vc");
	send_frame("va", udp_probe(0, 0, 0));
	end();
	assert_true(r.status[1].armed);
	assert_int_equal(seen(1, 0)->probes, 1);
	shell("ip link set vc down; ip link set vc name vb");
	up("vb");
	round_result_clear(&r);
}

/* Nothing passes it, which is as good as seen. */
static void a_device_that_is_down_counts_while_it_stays_down(void **state)
{
	(void)state;
	shell("ip link set vb down");
	arm(both, 2, false);
	end();
	assert_true(r.status[0].armed && r.status[1].armed);
	assert_null(seen(1, 0));
	round_result_clear(&r);
	arm(both, 2, false);
	up("vb");
	end();
	assert_true(r.status[0].armed);
	assert_false(r.status[1].armed);
	assert_string_equal(r.status[1].why, "the interface came up during the round");
	round_result_clear(&r);
}

static void a_device_that_is_removed_is_said_so(void **state)
{
	(void)state;
	static const char *const names[] = {"va", "gone", "never", "raw"};
	shell("ip link add gone type veth peer name gone2; ip link set gone up; ip tuntap add raw mode tun");
	arm(names, 4, false);
	shell("ip link del gone; ip tuntap del raw mode tun");
	end();
	assert_true(r.status[0].armed);
	assert_false(r.status[1].armed);
	assert_string_equal(r.status[1].why, "the interface was removed");
	assert_false(r.status[2].armed);
	assert_string_equal(r.status[2].why, "no such interface");
	assert_false(r.status[3].armed);
	assert_string_equal(r.status[3].why, "not an Ethernet device");
	round_result_clear(&r);
}

/* As many as a round may have. They wait for the kernel together. */
static void many_points_are_armed_at_once(void **state)
{
	(void)state;
	static const size_t counts[] = {1, 4, 10, ROUND_POINTS_MAX};
	const char *names[ROUND_POINTS_MAX];
	for (size_t i = 0; i < ROUND_POINTS_MAX; i++)
		names[i] = both[i % 2];
	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
		struct mono begin = mono_now();
		arm(names, counts[i], false);
		int64_t us = mono_us_since(begin, mono_now());
		send_frame("va", udp_probe(0, 0, 0));
		begin = mono_now();
		end();
		print_message("%2zu points: armed in %lld us, drained and closed in %lld us\n", counts[i], (long long)us,
		              (long long)mono_us_since(begin, mono_now()));
		assert_int_equal(r.status_count, counts[i]);
		for (uint8_t p = 0; p < counts[i]; p++)
			assert_int_equal(seen(p, 0)->probes, 1);
		round_result_clear(&r);
	}
}

static int setup(void **state)
{
	(void)state;
	loop = loop_new();
	shell("ip link set lo up; ip link add va type veth peer name vb; sysctl -qw net.ipv6.conf.va.disable_ipv6=1 "
	      "net.ipv6.conf.vb.disable_ipv6=1; ip link set va up; ip link set vb up");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	loop_free(loop);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_tag_is_seen_in_the_frame_and_aside),
	    cmocka_unit_test(two_tags_are_the_outer_one),
	    cmocka_unit_test(a_hairpin_is_no_duplicate_and_a_repeat_is),
	    cmocka_unit_test(loopback_is_seen_once),
	    cmocka_unit_test(somebody_elses_connection_is_not_taken_for_a_probe),
	    cmocka_unit_test(answers_stand_behind_their_questions),
	    cmocka_unit_test(what_others_send_stays_away),
	    cmocka_unit_test(own_drops_are_counted),
	    cmocka_unit_test(a_device_may_go_down_and_up_and_take_another_name),
	    cmocka_unit_test(a_device_that_is_down_counts_while_it_stays_down),
	    cmocka_unit_test(a_device_that_is_removed_is_said_so),
	    cmocka_unit_test(many_points_are_armed_at_once),
	};

	if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET)) {
		puts("skipped: no right to make a network namespace");
		return 0;
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
