#include "agent/packet.h"
#include "agent/capture_filter.h"
#include "agent/exec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define ROUND 0x1122334455667788u

/* ---- frames, piece by piece ---- */

struct frame {
	uint8_t b[512];
	size_t len;
};

static void add(struct frame *f, const void *data, size_t len)
{
	memcpy(f->b + f->len, data, len);
	f->len += len;
}
static void add8(struct frame *f, unsigned v) { f->b[f->len++] = (uint8_t)v; }
static void add16(struct frame *f, unsigned v)
{
	add8(f, v >> 8);
	add8(f, v & 255);
}
static void add32(struct frame *f, uint32_t v)
{
	add16(f, v >> 16);
	add16(f, v & 0xffff);
}

static struct ip ip(const char *text)
{
	struct ip a;

	assert_int_equal(ip_parse(text, &a), 0);
	return a;
}

static void ether(struct frame *f, unsigned type)
{
	static const uint8_t dst[] = {2, 0, 0, 0, 0, 2}, src[] = {2, 0, 0, 0, 0, 1};

	add(f, dst, 6);
	add(f, src, 6);
	add16(f, type);
}

static void ip4(struct frame *f, const char *src, const char *dst, unsigned l4, size_t payload)
{
	add16(f, 0x4500);
	add16(f, (unsigned)(20 + payload));
	add32(f, 0x4000);
	add8(f, 64);
	add8(f, l4);
	add16(f, 0);
	add(f, ip(src).b, 4);
	add(f, ip(dst).b, 4);
}

static void ip6(struct frame *f, const char *src, const char *dst, unsigned next, size_t payload)
{
	add32(f, 0x60000000);
	add16(f, (unsigned)payload);
	add8(f, next);
	add8(f, 255);
	add(f, ip(src).b, 16);
	add(f, ip(dst).b, 16);
}

static void probe(struct frame *f, unsigned flow, unsigned seq, bool answer, uint64_t round)
{
	static const uint8_t key[PAIR_KEY_LEN] = {1};
	struct probe_header h = {.kind = KIND_ICMP, .answer = answer, .round = round, .flow = (uint8_t)flow, .seq = (uint8_t)seq};

	probe_write(&h, key, f->b + f->len);
	f->len += PROBE_HEADER_LEN;
}

static void udp(struct frame *f, unsigned sport, unsigned dport, size_t payload)
{
	add16(f, sport);
	add16(f, dport);
	add16(f, (unsigned)(8 + payload));
	add16(f, 0);
}

static void tcp(struct frame *f, unsigned sport, unsigned dport, uint32_t seq, unsigned flags)
{
	add16(f, sport);
	add16(f, dport);
	add32(f, seq);
	add32(f, 1);
	add8(f, 0x50);
	add8(f, flags);
	add16(f, 1000);
	add32(f, 0);
}

static void icmp(struct frame *f, unsigned type, unsigned code, unsigned id, unsigned seq)
{
	add8(f, type);
	add8(f, code);
	add16(f, 0);
	add16(f, id);
	add16(f, seq);
}

static void arp(struct frame *f, unsigned op, const char *spa, const char *tpa)
{
	static const uint8_t head[] = {0, 1, 8, 0, 6, 4}, sha[] = {2, 0, 0, 0, 0, 1}, tha[] = {2, 0, 0, 0, 0, 2};

	add(f, head, sizeof head);
	add16(f, op);
	add(f, sha, 6);
	add(f, ip(spa).b, 4);
	add(f, tha, 6);
	add(f, ip(tpa).b, 4);
}

static void nd(struct frame *f, unsigned type, const char *target)
{
	icmp(f, type, 0, 0, 0);
	add(f, ip(target).b, 16);
}

static struct frame f; /* the frame under test */

static struct packet parsed(void)
{
	struct packet p;

	assert_int_equal(packet_parse(f.b, f.len, 0, &p), 0);
	return p;
}

/* ---- the flows of a round between 10.0.0.1 / fd00::1 (a) and 10.0.0.2 / fd00::2 (b) ---- */

enum { ARP_AB, ARP_COLD, ICMP_AB, UDP_AB, UDP_BA, TCP_AB, ND_AB, ICMP6_AB, UDP6_AB, TCP6_BA, FLOWS };

static struct flow flows[FLOWS];

static void flow_set(int i, enum kind kind, int dir, uint16_t id_base, const char *src, const char *dst)
{
	flows[i] = (struct flow){
	    .id = (uint8_t)(i + 10), .kind = (uint8_t)kind, .dir = (uint8_t)dir, .count = 5, .id_base = id_base, .dport = 7401};
	if (src)
		flows[i].src = ip(src);
	flows[i].dst = ip(dst);
}

static int setup(void **state)
{
	(void)state;
	memset(&f, 0, sizeof f);
	flow_set(ARP_AB, KIND_ARP, 0, 0, "10.0.0.1", "10.0.0.2");
	flow_set(ARP_COLD, KIND_ARP, 1, 0, NULL, "10.0.0.9");
	flow_set(ICMP_AB, KIND_ICMP, 0, 777, "10.0.0.1", "10.0.0.2");
	flow_set(UDP_AB, KIND_UDP, 0, 20000, "10.0.0.1", "10.0.0.2");
	flow_set(UDP_BA, KIND_UDP, 1, 20100, "10.0.0.2", "10.0.0.1");
	flow_set(TCP_AB, KIND_TCP, 0, 20200, "10.0.0.1", "10.0.0.2");
	flow_set(ND_AB, KIND_ND, 0, 0, "fd00::1", "fd00::2");
	flow_set(ICMP6_AB, KIND_ICMP6, 0, 888, "fd00::1", "fd00::2");
	flow_set(UDP6_AB, KIND_UDP6, 0, 20300, "fd00::1", "fd00::2");
	flow_set(TCP6_BA, KIND_TCP6, 1, 20400, "fd00::2", "fd00::1");
	return 0;
}

/* The kernel itself runs the filter: any socket takes one. */
static bool kernel_passes(void)
{
	struct round_spec spec = {.id = ROUND, .flow_count = FLOWS};
	struct sock_filter *ops;
	struct sock_fprog program;
	uint8_t got[sizeof f.b];
	int ends[2];

	memcpy(spec.flows, flows, sizeof flows);
	program.len = (unsigned short)capture_filter(&spec, sizeof got, &ops);
	program.filter = ops;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, ends), 0);
	assert_int_equal(setsockopt(ends[1], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program), 0);
	send(ends[0], f.b, f.len, 0);
	ssize_t len = recv(ends[1], got, sizeof got, 0);
	close(ends[0]);
	close(ends[1]);
	free(ops);
	assert_true(len < 0 || (size_t)len == f.len);
	return len > 0;
}

/* Which flow, sequence and part; -1 for none. Whatever is one must get through the kernel's filter. */
static void assert_match(int flow, int seq, int part)
{
	struct packet p = parsed();
	uint8_t got_flow = 0, got_seq = 0;
	int got_part = -1, result = packet_match(&p, flows, FLOWS, ROUND, &got_flow, &got_seq, &got_part);

	assert_int_equal(result, flow < 0 ? -1 : 0);
	if (flow < 0)
		return;
	assert_true(kernel_passes());
	assert_int_equal(got_flow, flows[flow].id);
	assert_int_equal(got_seq, seq);
	assert_int_equal(got_part, part);
}

static void assert_no_match(void) { assert_match(-1, 0, 0); }

/* ---- ARP and neighbour discovery ---- */

static void arp_request_with_trailer(void **state)
{
	struct packet p;

	(void)state;
	ether(&f, 0x0806);
	arp(&f, 1, "0.0.0.0", "10.0.0.2");
	probe(&f, 10, 3, false, ROUND);
	p = parsed();
	assert_int_equal(p.arp.op, 1);
	assert_true(ip_equal(p.arp.tpa, ip("10.0.0.2")));
	assert_true(p.has_probe);
	assert_match(ARP_AB, 3, PART_PROBE);
}

static void arp_of_others_is_not_ours(void **state)
{
	(void)state;
	ether(&f, 0x0806);
	arp(&f, 1, "10.0.0.1", "10.0.0.2"); /* the kernel's own question */
	assert_no_match();
	f.len = 14;
	arp(&f, 2, "10.0.0.2", "10.0.0.77"); /* an answer to somebody else */
	assert_no_match();
	f.len = 14;
	arp(&f, 2, "10.0.0.77", "10.0.0.1");
	assert_no_match();
}

static void arp_replies(void **state)
{
	(void)state;
	ether(&f, 0x0806);
	arp(&f, 2, "10.0.0.2", "0.0.0.0"); /* to the cold one, which has sequence 0 */
	assert_match(ARP_AB, 0, PART_ANSWER);
	f.len = 14;
	arp(&f, 2, "10.0.0.2", "10.0.0.1");
	assert_match(ARP_AB, PACKET_SEQ_UNKNOWN, PART_ANSWER);
	f.len = 14;
	arp(&f, 2, "10.0.0.9", "0.0.0.0"); /* a flow without an address of its own: every one is cold */
	assert_match(ARP_COLD, PACKET_SEQ_UNKNOWN, PART_ANSWER);
}

static void cold_arp_replies_to_somebody_else(void **state)
{
	(void)state;
	ether(&f, 0x0806);
	arp(&f, 2, "10.0.0.2", "0.0.0.0");
	flows[ARP_COLD].dst_mac = (struct mac){{2, 0, 0, 0, 0, 9}}; /* who asks in ARP_AB */
	assert_match(-1, 0, 0);
	flows[ARP_COLD].dst_mac = (struct mac){{2, 0, 0, 0, 0, 2}};
	assert_match(ARP_AB, 0, PART_ANSWER);
}

static void arp_padded_to_sixty_bytes(void **state)
{
	(void)state;
	ether(&f, 0x0806);
	arp(&f, 2, "10.0.0.2", "10.0.0.1");
	f.len = 60;
	assert_match(ARP_AB, PACKET_SEQ_UNKNOWN, PART_ANSWER);
}

static void solicitation_with_nonce(void **state)
{
	(void)state;
	ether(&f, 0x86dd);
	ip6(&f, "fd00::1", "ff02::1:ff00:2", 58, 24 + 8 + 40);
	nd(&f, 135, "fd00::2");
	add16(&f, 0x0101);
	add(&f, "\2\0\0\0\0\1", 6);
	add16(&f, 14 << 8 | 5);
	probe(&f, 16, 2, false, ROUND);
	add16(&f, 0);
	assert_true(ip_equal(parsed().nd.target, ip("fd00::2")));
	assert_int_equal(parsed().nd.lladdr.b[5], 1);
	assert_match(ND_AB, 2, PART_PROBE);
}

static void advertisement_answers(void **state)
{
	(void)state;
	ether(&f, 0x86dd);
	ip6(&f, "fd00::2", "fd00::1", 58, 24);
	nd(&f, 136, "fd00::2");
	assert_match(ND_AB, PACKET_SEQ_UNKNOWN, PART_ANSWER);
	f.len = 14;
	ip6(&f, "fd00::2", "fd00::77", 58, 24); /* to somebody else */
	nd(&f, 136, "fd00::2");
	assert_no_match();
	f.len = 14;
	ip6(&f, "fd00::1", "fd00::2", 58, 24); /* a plain solicitation */
	nd(&f, 135, "fd00::2");
	assert_no_match();
}

/* ---- echo ---- */

static void echo_by_header_and_by_tuple(void **state)
{
	(void)state;
	ether(&f, 0x0800);
	ip4(&f, "10.0.0.1", "10.0.0.2", 1, 8 + PROBE_HEADER_LEN);
	icmp(&f, 8, 0, 5, 6); /* a ping socket chose its own identifier */
	probe(&f, 12, 4, false, ROUND);
	assert_match(ICMP_AB, 4, PART_PROBE);
	f.b[14 + 20] = 0; /* the kernel's reply carries the question's payload */
	assert_match(ICMP_AB, 4, PART_ANSWER);
	f.len = 14;
	ip4(&f, "10.0.0.2", "10.0.0.1", 1, 8);
	icmp(&f, 0, 0, 777, 3);
	assert_match(ICMP_AB, 3, PART_ANSWER);
	f.len = 14;
	ip4(&f, "10.0.0.1", "10.0.0.2", 1, 8);
	icmp(&f, 8, 0, 777, 5); /* one more than there are */
	assert_no_match();
}

static void echo6(void **state)
{
	(void)state;
	ether(&f, 0x86dd);
	ip6(&f, "fd00::1", "fd00::2", 58, 8 + PROBE_HEADER_LEN);
	icmp(&f, 128, 0, 888, 1);
	probe(&f, 17, 1, false, ROUND);
	assert_match(ICMP6_AB, 1, PART_PROBE);
	f.len = 14;
	ip6(&f, "fd00::2", "fd00::1", 58, 8);
	icmp(&f, 129, 0, 888, 1);
	assert_match(ICMP6_AB, 1, PART_ANSWER);
}

static void other_rounds_and_the_watch_are_not_ours(void **state)
{
	(void)state;
	ether(&f, 0x0800);
	ip4(&f, "10.0.0.1", "10.0.0.2", 17, 8 + PROBE_HEADER_LEN);
	udp(&f, 20000, 7401, PROBE_HEADER_LEN);
	probe(&f, 13, 0, false, 0);
	assert_no_match();
	f.len -= PROBE_HEADER_LEN;
	probe(&f, 13, 0, false, ROUND + 1);
	assert_no_match();
	f.len -= PROBE_HEADER_LEN;
	probe(&f, 13, 0, false, ROUND);
	assert_match(UDP_AB, 0, PART_PROBE);
	f.len -= PROBE_HEADER_LEN;
	probe(&f, 63, 0, false, ROUND); /* no such flow */
	assert_no_match();
}

/* ---- UDP and TCP ---- */

/* A datagram that carries the header of a probe of flows[flow]. */
static void udp_probe(const char *src, const char *dst, unsigned sport, unsigned dport, int flow, unsigned seq, bool answer)
{
	f.len = 14;
	ip4(&f, src, dst, 17, 8 + PROBE_HEADER_LEN);
	udp(&f, sport, dport, PROBE_HEADER_LEN);
	probe(&f, flows[flow].id, seq, answer, ROUND);
}

static void udp_both_ways(void **state)
{
	(void)state;
	ether(&f, 0x0800);
	udp_probe("10.0.0.1", "10.0.0.2", 20004, 7401, UDP_AB, 4, false);
	assert_match(UDP_AB, 4, PART_PROBE);
	udp_probe("10.0.0.2", "10.0.0.1", 7401, 20004, UDP_AB, 4, true);
	assert_match(UDP_AB, 4, PART_ANSWER);
	udp_probe("10.0.0.2", "10.0.0.1", 20101, 7401, UDP_BA, 1, false);
	assert_match(UDP_BA, 1, PART_PROBE);
	udp_probe("10.0.0.2", "10.0.0.1", 7401, 20004, UDP_AB, 4, false); /* the very bytes come back: an echo service */
	assert_match(UDP_AB, 4, PART_ANSWER);
	f.len = 14;
	ip4(&f, "10.0.0.2", "10.0.0.1", 17, 8); /* somebody else answers there */
	udp(&f, 7401, 20004, 0);
	assert_match(UDP_AB, 4, PART_ANSWER);
}

static void udp_through_nat_is_still_ours(void **state)
{
	(void)state;
	ether(&f, 0x0800);
	udp_probe("192.0.2.9", "10.0.0.2", 20002, 7401, UDP_AB, 2, false);
	assert_match(UDP_AB, 2, PART_PROBE);
	udp_probe("192.0.2.9", "192.0.2.10", 61234, 7999, UDP_AB, 2, false); /* not an address nor a port is left */
	assert_match(UDP_AB, 2, PART_PROBE);
}

static void what_has_no_header_is_no_probe(void **state)
{
	(void)state;
	ether(&f, 0x0800);
	ip4(&f, "10.0.0.1", "10.0.0.2", 17, 8); /* the ports and addresses of a probe by chance */
	udp(&f, 20002, 7401, 0);
	assert_no_match();
	assert_false(kernel_passes());
	f.len = 14;
	ip4(&f, "10.0.0.1", "10.0.0.2", 1, 8);
	icmp(&f, 8, 0, 777, 1);
	assert_no_match();
	f.len = 14;
	ip4(&f, "10.0.0.77", "10.0.0.1", 1, 8); /* somebody else answers somebody else */
	icmp(&f, 0, 0, 777, 1);
	assert_no_match();
	f.len = 14;
	ip4(&f, "10.0.0.1", "10.0.0.2", 17, 8 + PROBE_HEADER_LEN); /* another round */
	udp(&f, 20002, 7401, PROBE_HEADER_LEN);
	probe(&f, 13, 2, false, ROUND + 1);
	assert_no_match();
	assert_false(kernel_passes());
}

static void tcp_with_one_strange_address_is_half_a_match(void **state)
{
	struct packet p;
	uint32_t first = 0;

	(void)state;
	ether(&f, 0x0800);
	ip4(&f, "10.0.0.1", "10.0.0.2", 6, 20);
	tcp(&f, 20201, 7401, 4711, 0x02);
	p = parsed();
	assert_false(packet_is_half(&p, &flows[TCP_AB], &first));
	assert_int_equal(first, 4711);
	f.len = 14;
	ip4(&f, "192.0.2.9", "10.0.0.2", 6, 20);
	tcp(&f, 20201, 7401, 4711, 0x02);
	assert_match(TCP_AB, 1, PART_PROBE);
	p = parsed();
	assert_true(packet_is_half(&p, &flows[TCP_AB], &first));
	assert_int_equal(first, 4711);
	f.len = 14;
	ip4(&f, "192.0.2.8", "10.0.0.1", 6, 20);
	tcp(&f, 7401, 20201, 9, 0x12); /* acknowledges 1 */
	assert_match(TCP_AB, 1, PART_ANSWER);
	p = parsed();
	assert_true(packet_is_half(&p, &flows[TCP_AB], &first));
	assert_int_equal(first, 0);
	f.len = 14;
	ip4(&f, "192.0.2.9", "192.0.2.8", 6, 20);
	tcp(&f, 20201, 7401, 4711, 0x02);
	assert_no_match();
}

static void tcp_connection(void **state)
{
	static const struct {
		bool back;
		unsigned flags;
		uint32_t seq;
		int part;
	} rows[] = {
	    {false, 0x02, 1000, PART_PROBE}, {true, 0x12, 5000, PART_ANSWER}, {false, 0x10, 1001, -1},
	    {false, 0x18, 1001, -1},         {false, 0x04, 1001, -1},         {true, 0x14, 0, PART_REFUSAL},
	    {true, 0x04, 5001, -1},          {true, 0x11, 5001, -1},          {false, 0xc2, 1000, PART_PROBE}, /* with ECN */
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		f.len = 0;
		ether(&f, 0x0800);
		ip4(&f, rows[i].back ? "10.0.0.2" : "10.0.0.1", rows[i].back ? "10.0.0.1" : "10.0.0.2", 6, 20);
		tcp(&f, rows[i].back ? 7401 : 20203, rows[i].back ? 20203 : 7401, rows[i].seq, rows[i].flags);
		assert_match(rows[i].part < 0 ? -1 : TCP_AB, 3, rows[i].part);
	}
	f.len = 0;
	ether(&f, 0x86dd);
	ip6(&f, "fd00::2", "fd00::1", 6, 20);
	tcp(&f, 20400, 7401, 1, 0x02);
	assert_match(TCP6_BA, 0, PART_PROBE);
}

/* ---- errors about a probe ---- */

static void quoted_udp(void **state)
{
	struct packet p;

	(void)state;
	ether(&f, 0x0800);
	ip4(&f, "10.0.0.254", "10.0.0.1", 1, 36);
	icmp(&f, 3, 13, 0, 0);
	ip4(&f, "10.0.0.1", "10.0.0.2", 17, 8);
	udp(&f, 20001, 7401, 0);
	p = parsed();
	assert_true(p.has_quoted);
	assert_int_equal(p.icmp_code, 13);
	assert_match(UDP_AB, 1, PART_REFUSAL);
}

static void quoted_echo_with_mtu(void **state)
{
	(void)state;
	ether(&f, 0x0800);
	ip4(&f, "10.0.0.254", "10.0.0.1", 1, 36);
	icmp(&f, 3, 4, 0, 1400);
	ip4(&f, "10.0.0.1", "10.0.0.2", 1, 8);
	icmp(&f, 8, 0, 777, 2);
	assert_int_equal(parsed().icmp_mtu, 1400);
	assert_match(ICMP_AB, 2, PART_REFUSAL);
}

static void quoted6_behind_extension_headers(void **state)
{
	static const uint8_t hop_by_hop[] = {0, 0, 1, 4, 0, 0, 0, 0}, fragment[] = {17, 0, 0, 1, 0, 0, 0, 9};

	(void)state;
	ether(&f, 0x86dd);
	ip6(&f, "fd00::fe", "fd00::1", 58, 8 + 40 + 16 + 8);
	icmp(&f, 2, 0, 0, 1280);
	ip6(&f, "fd00::1", "fd00::2", 0, 24);
	add(&f, hop_by_hop, 8);
	f.b[f.len - 8] = 44;
	add(&f, fragment, 8);
	udp(&f, 20304, 7401, 0);
	assert_int_equal(parsed().icmp_mtu, 1280);
	assert_match(UDP6_AB, 4, PART_REFUSAL);
}

static void errors_about_others_are_not_ours(void **state)
{
	(void)state;
	ether(&f, 0x0800);
	ip4(&f, "10.0.0.254", "10.0.0.1", 1, 36);
	icmp(&f, 3, 3, 0, 0);
	ip4(&f, "10.0.0.1", "10.0.0.2", 17, 8);
	udp(&f, 20001, 53, 0);
	assert_no_match();
	f.b[14 + 20] = 5; /* a redirect refuses nothing */
	assert_false(parsed().has_quoted);
}

/* ---- tags, tunnels, fragments ---- */

static void vlan_tags(void **state)
{
	struct packet p;

	(void)state;
	ether(&f, 0x88a8);
	add16(&f, 0x6000 | 100);
	add16(&f, 0x8100);
	add16(&f, 20);
	add16(&f, 0x0800);
	ip4(&f, "10.0.0.1", "10.0.0.2", 17, 8 + PROBE_HEADER_LEN);
	udp(&f, 20000, 7401, PROBE_HEADER_LEN);
	probe(&f, 13, 0, false, ROUND);
	p = parsed();
	assert_int_equal(p.vlan, 100);
	assert_int_equal(p.ethertype, 0x0800);
	assert_match(UDP_AB, 0, PART_PROBE);
	f.len = 0;
	ether(&f, 0x0806);
	arp(&f, 2, "10.0.0.2", "10.0.0.1");
	assert_int_equal(packet_parse(f.b, f.len, 0x6000 | 42, &p), 0);
	assert_int_equal(p.vlan, 42);
}

/* ---- everything within everything ---- */

static void in_nothing(void) {}

static void tagged(unsigned type, unsigned vlan) /* the frame so far ends with its type */
{
	unsigned inner = (unsigned)f.b[f.len - 2] << 8 | f.b[f.len - 1];

	f.len -= 2;
	add16(&f, type);
	add16(&f, vlan);
	add16(&f, inner);
}

static void outer4(unsigned l4)
{
	ether(&f, 0x0800);
	ip4(&f, "198.51.100.1", "198.51.100.2", l4, 400);
	f.b[16] = f.b[17] = 0; /* the length is of no interest */
}

static void outer6(unsigned l4)
{
	ether(&f, 0x86dd);
	ip6(&f, "fd99::1", "fd99::2", l4, 0);
}

static void vxlan(unsigned port)
{
	udp(&f, 55555, port, 400);
	add32(&f, 0x08000000);
	add32(&f, 100 << 8);
}

static void in_vxlan4(void) { outer4(17), vxlan(4789); }
static void in_vxlan6(void) { outer6(17), vxlan(4789); }
static void in_vxlan_old_port(void) { outer4(17), vxlan(8472); }
static void in_vxlan_any_port(void) { outer6(17), vxlan(12345); }

static void in_vxlan_tagged(void)
{
	ether(&f, 0x86dd);
	tagged(0x8100, 7);
	tagged(0x88a8, 8);
	ip6(&f, "fd99::1", "fd99::2", 17, 0);
	vxlan(4789);
}

static void in_vxlan_with_ip_options(void)
{
	outer4(17);
	f.b[14] = 0x46;
	add32(&f, 0x01010101);
	vxlan(4789);
}

static void in_geneve(void)
{
	outer4(17);
	udp(&f, 55555, 6081, 400);
	add16(&f, 0x0200); /* two words of options */
	add16(&f, 0x6558);
	add32(&f, 100 << 8);
	add32(&f, 0x01020301);
	add32(&f, 0);
}

static void in_gre(void)
{
	outer6(47);
	add16(&f, 0x2000); /* with a key */
	add16(&f, 0x6558);
	add32(&f, 99);
}

static void in_gre_with_all(void)
{
	outer4(47);
	add16(&f, 0xb000);
	add16(&f, 0x6558);
	add32(&f, 1);
	add32(&f, 2);
	add32(&f, 3);
}

static void ether_in(int tag, unsigned type)
{
	static const unsigned types[] = {0x8100, 0x88a8, 0x9100};

	ether(&f, type);
	if (tag > 0)
		tagged(types[tag % 3], 30 + (unsigned)tag);
	if (tag > 3)
		tagged(0x8100, 40);
}

static void a_udp(int tag)
{
	ether_in(tag, 0x0800);
	ip4(&f, "10.0.0.1", "10.0.0.2", 17, 8 + PROBE_HEADER_LEN);
	udp(&f, 20003, 7401, PROBE_HEADER_LEN);
	probe(&f, flows[UDP_AB].id, 3, false, ROUND);
}

static void a_udp6(int tag)
{
	ether_in(tag, 0x86dd);
	ip6(&f, "fd00::1", "fd00::2", 17, 8 + PROBE_HEADER_LEN);
	udp(&f, 20303, 7401, PROBE_HEADER_LEN);
	probe(&f, flows[UDP6_AB].id, 3, false, ROUND);
}

static void a_syn(int tag)
{
	ether_in(tag, 0x0800);
	ip4(&f, "10.0.0.1", "10.0.0.2", 6, 20);
	tcp(&f, 20203, 7401, 1, 0x02);
}

static void a_syn6(int tag)
{
	ether_in(tag, 0x86dd);
	ip6(&f, "fd00::2", "fd00::1", 6, 20);
	tcp(&f, 20403, 7401, 1, 0x02);
}

static void an_arp(int tag)
{
	ether_in(tag, 0x0806);
	arp(&f, 1, "0.0.0.0", "10.0.0.2");
	probe(&f, flows[ARP_AB].id, 3, false, ROUND);
}

static void a_solicitation(int tag)
{
	ether_in(tag, 0x86dd);
	ip6(&f, "fd00::1", "ff02::1:ff00:2", 58, 24 + 40);
	nd(&f, 135, "fd00::2");
	add16(&f, 14 << 8 | 5);
	probe(&f, flows[ND_AB].id, 3, false, ROUND);
	add16(&f, 0);
}

static void an_echo6(int tag)
{
	ether_in(tag, 0x86dd);
	ip6(&f, "fd00::1", "fd00::2", 58, 8 + PROBE_HEADER_LEN);
	icmp(&f, 128, 0, 888, 3);
	probe(&f, flows[ICMP6_AB].id, 3, false, ROUND);
}

static void every_packet_is_known_in_every_wrapping(void **state)
{
	static void (*const wrappings[])(void) = {
	    in_nothing, in_vxlan4, in_vxlan6,      in_vxlan_old_port, in_vxlan_any_port, in_vxlan_tagged, in_vxlan_with_ip_options,
	    in_geneve,  in_gre,    in_gre_with_all};
	static const struct {
		void (*add)(int tag);
		int flow;
	} packets[] = {{a_udp, UDP_AB},  {a_udp6, UDP6_AB},       {a_syn, TCP_AB},     {a_syn6, TCP6_BA},
	               {an_arp, ARP_AB}, {a_solicitation, ND_AB}, {an_echo6, ICMP6_AB}};

	(void)state;
	for (size_t w = 0; w < sizeof wrappings / sizeof *wrappings; w++)
		for (size_t i = 0; i < sizeof packets / sizeof *packets; i++)
			for (int tag = 0; tag < 7; tag++) {
				f.len = 0;
				wrappings[w]();
				packets[i].add(tag);
				assert_int_equal(parsed().tunneled, w > 0);
				assert_int_equal(parsed().vlan, tag ? 30 + tag : 0);
				assert_match(packets[i].flow, 3, PART_PROBE);
			}
}

static void other_traffic_stays_in_the_kernel(void **state)
{
	(void)state;
	in_vxlan6();
	ether_in(0, 0x0800);
	ip4(&f, "10.0.0.1", "10.0.0.2", 17, 8);
	udp(&f, 20003, 53, 0);
	assert_false(kernel_passes());
	f.len = 0;
	ether(&f, 0x0806);
	arp(&f, 1, "10.0.0.7", "10.0.0.8"); /* others */
	assert_false(kernel_passes());
	f.len = 0;
	ether(&f, 0x0800);
	ip4(&f, "10.0.0.1", "10.0.0.2", 6, 20);
	tcp(&f, 20203, 7401, 1, 0x10); /* what follows a handshake */
	assert_false(kernel_passes());
	f.len = 0;
	ether(&f, 0x86dd);
	ip6(&f, "fd00::1", "ff02::1:ff00:9", 58, 24);
	nd(&f, 135, "fd00::9");
	assert_false(kernel_passes());
}

static void later_fragments_have_no_ports(void **state)
{
	(void)state;
	ether(&f, 0x0800);
	ip4(&f, "10.0.0.1", "10.0.0.2", 17, 8);
	f.b[14 + 6] = 0;
	f.b[14 + 7] = 100;
	udp(&f, 20000, 7401, 0);
	assert_true(parsed().fragment);
	assert_int_equal(parsed().sport, 0);
	assert_no_match();
}

static void padding_is_not_payload(void **state)
{
	(void)state;
	ether(&f, 0x0800);
	ip4(&f, "10.0.0.1", "10.0.0.2", 17, 8);
	udp(&f, 1, 2, 0);
	probe(&f, 13, 0, false, ROUND); /* behind the end of the packet */
	assert_false(parsed().has_probe);
}

/* ---- malformed ---- */

static void build_everything(int which)
{
	static void (*const builders[])(void **) = {arp_request_with_trailer,
	                                            solicitation_with_nonce,
	                                            echo_by_header_and_by_tuple,
	                                            udp_both_ways,
	                                            quoted_udp,
	                                            quoted6_behind_extension_headers,
	                                            vlan_tags,
	                                            every_packet_is_known_in_every_wrapping,
	                                            advertisement_answers};

	setup(NULL);
	builders[which](NULL);
}

/* Cut at every length in memory of exactly that length, so that a sanitizer sees every byte too far. */
static void truncated_at_every_length(void **state)
{
	(void)state;
	for (int which = 0; which < 9; which++) {
		build_everything(which);
		for (size_t len = 0; len <= f.len; len++) {
			uint8_t *copy = malloc(len ? len : 1);
			struct packet p;
			uint8_t flow, seq;
			int part;

			memcpy(copy, f.b, len);
			if (packet_parse(copy, len, 0, &p) == 0)
				packet_match(&p, flows, FLOWS, ROUND, &flow, &seq, &part);
			free(copy);
		}
	}
}

static void lies_about_lengths(void **state)
{
	struct packet p;

	(void)state;
	ether(&f, 0x0800);
	ip4(&f, "10.0.0.1", "10.0.0.2", 17, 8);
	udp(&f, 20000, 7401, 0);
	f.b[14] = 0x44; /* header of 16 bytes */
	assert_int_equal(packet_parse(f.b, f.len, 0, &p), -1);
	f.b[14] = 0x4f; /* of 60 */
	assert_int_equal(packet_parse(f.b, f.len, 0, &p), -1);
	f.b[14] = 0x45;
	f.b[16] = 0, f.b[17] = 10; /* total shorter than the header */
	assert_int_equal(packet_parse(f.b, f.len, 0, &p), -1);
	f.b[16] = 0xff; /* longer than captured: fine, captures are cut */
	assert_int_equal(packet_parse(f.b, f.len, 0, &p), 0);
	f.b[16] = 0, f.b[17] = 0; /* offloaded */
	assert_int_equal(packet_parse(f.b, f.len, 0, &p), 0);
	assert_int_equal(p.sport, 20000);
	f.len = 0;
	ether(&f, 0x86dd);
	ip6(&f, "fd00::1", "fd00::2", 58, 32);
	nd(&f, 136, "fd00::2");
	add32(&f, 0x02000000); /* an option of length zero: RFC 4861 section 4.6 */
	add32(&f, 0);
	assert_int_equal(packet_parse(f.b, f.len, 0, &p), 0);
	f.len = 0;
	ether(&f, 0x88cc); /* LLDP: none of our business */
	add32(&f, 0);
	assert_int_equal(packet_parse(f.b, f.len, 0, &p), -1);
}

#define T(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(arp_request_with_trailer),
	    T(arp_of_others_is_not_ours),
	    T(arp_replies),
	    T(arp_padded_to_sixty_bytes),
	    T(cold_arp_replies_to_somebody_else),
	    T(solicitation_with_nonce),
	    T(advertisement_answers),
	    T(echo_by_header_and_by_tuple),
	    T(echo6),
	    T(other_rounds_and_the_watch_are_not_ours),
	    T(udp_both_ways),
	    T(udp_through_nat_is_still_ours),
	    T(what_has_no_header_is_no_probe),
	    T(tcp_with_one_strange_address_is_half_a_match),
	    T(tcp_connection),
	    T(quoted_udp),
	    T(quoted_echo_with_mtu),
	    T(quoted6_behind_extension_headers),
	    T(errors_about_others_are_not_ours),
	    T(vlan_tags),
	    T(every_packet_is_known_in_every_wrapping),
	    T(other_traffic_stays_in_the_kernel),
	    T(later_fragments_have_no_ports),
	    T(padding_is_not_payload),
	    T(truncated_at_every_length),
	    T(lies_about_lengths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
