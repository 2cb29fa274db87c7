/* capture_filter: classic BPF, written out by a small assembler. X holds the offset of the header that is looked at, so that the
 * same code serves behind tags and options; a load beyond the frame's end ends the program with "no". */
#include "agent/capture_filter.h"

#include "proto/base/mem.h"
#include "proto/probe.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define LABELS_MAX 256
#define TAGS_MAX   2
#define ADDRS_MAX  8

enum { TYPE_IP4 = 0x0800, TYPE_ARP = 0x0806, TYPE_BRIDGED = 0x6558, TYPE_IP6 = 0x86dd };
enum { TYPE_8021Q = 0x8100, TYPE_8021AD = 0x88a8, TYPE_QINQ_OLD = 0x9100 };
enum { SPARE, SPARE_LEN }; /* the machine's memory */

struct code {
	struct sock_filter *ops;
	size_t count, cap;
	size_t labels[LABELS_MAX];
	size_t label_count;
	bool *jumps; /* of ops: k is a label */
	size_t jump_cap, jump_count;
	unsigned snap;
};

struct ports {
	uint32_t lo, hi;              /* source ports of the probes; lo > hi = none */
	uint16_t to[ROUND_FLOWS_MAX]; /* their distinct destination ports */
	size_t to_count;
};

/* What distinguishes this round. */
struct marks {
	uint32_t round; /* the lower half of its number */
	struct ports udp, tcp;
	uint16_t ids[ROUND_FLOWS_MAX]; /* of echoes */
	size_t id_count;
	uint32_t ip4[ADDRS_MAX], ip6[ADDRS_MAX]; /* both ends; of IPv6 the last four bytes */
	size_t ip4_count, ip6_count;
};

/* ---- the round ---- */

static uint32_t get32(const uint8_t *b) { return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3]; }

static void number_add(uint32_t *list, size_t *count, uint32_t number)
{
	for (size_t i = 0; i < *count; i++)
		if (list[i] == number)
			return;
	if (*count < ADDRS_MAX)
		list[(*count)++] = number;
}

static void address_add(struct marks *m, struct ip a)
{
	if (a.family == 4)
		number_add(m->ip4, &m->ip4_count, get32(a.b));
	else if (a.family == 6)
		number_add(m->ip6, &m->ip6_count, get32(a.b + 12));
}

static void ports_add(struct ports *p, const struct flow *f)
{
	uint32_t last = f->id_base + (f->count ? f->count - 1u : 0u);

	p->lo = f->id_base < p->lo ? f->id_base : p->lo;
	p->hi = last > p->hi ? last : p->hi;
	for (size_t i = 0; i < p->to_count; i++)
		if (p->to[i] == f->dport)
			return;
	p->to[p->to_count++] = f->dport;
}

static void flow_add(struct marks *m, const struct flow *f)
{
	switch (kind_info(f->kind)->proto) {
	case PROTO_UDP: ports_add(&m->udp, f); break;
	case PROTO_TCP: ports_add(&m->tcp, f); break;
	case PROTO_ICMP: m->ids[m->id_count++] = f->id_base; break;
	case PROTO_NEIGH:
		address_add(m, f->src);
		address_add(m, f->dst);
		break;
	}
}

static struct marks marks_of(const struct round_spec *spec)
{
	struct marks m = {.round = (uint32_t)spec->id, .udp.lo = UINT32_MAX, .tcp.lo = UINT32_MAX};

	for (size_t i = 0; i < spec->flow_count; i++)
		if (spec->flows[i].kind < KIND_COUNT)
			flow_add(&m, &spec->flows[i]);
	return m;
}

/* ---- assembler ---- */

static void emit(struct code *c, uint16_t code, uint32_t k, uint8_t jt, uint8_t jf, bool jump)
{
	*VEC_ADD(c->ops, c->count, c->cap) = (struct sock_filter){code, jt, jf, k};
	*VEC_ADD(c->jumps, c->jump_count, c->jump_cap) = jump;
}

static void op(struct code *c, uint16_t code, uint32_t k) { emit(c, code, k, 0, 0, false); }
static size_t label(struct code *c) { return c->label_count++; }
static void place(struct code *c, size_t at) { c->labels[at] = c->count; }
static void go(struct code *c, size_t to) { emit(c, BPF_JMP | BPF_JA, (uint32_t)to, 0, 0, true); }

/* Conditional jumps reach 255 instructions only: they step over a long one. */
static void go_if(struct code *c, uint16_t test, uint32_t k, size_t to)
{
	emit(c, BPF_JMP | test | BPF_K, k, 0, 1, false);
	go(c, to);
}

static void go_unless(struct code *c, uint16_t test, uint32_t k, size_t to)
{
	emit(c, BPF_JMP | test | BPF_K, k, 1, 0, false);
	go(c, to);
}

static void load8(struct code *c, uint32_t at) { op(c, BPF_LD | BPF_B | BPF_IND, at); }
static void load16(struct code *c, uint32_t at) { op(c, BPF_LD | BPF_H | BPF_IND, at); }
static void load32(struct code *c, uint32_t at) { op(c, BPF_LD | BPF_W | BPF_IND, at); }
static void yes(struct code *c) { op(c, BPF_RET | BPF_K, c->snap); }
static void no(struct code *c) { op(c, BPF_RET | BPF_K, 0); }
static void yes_if(struct code *c, uint16_t test, uint32_t k)
{
	emit(c, BPF_JMP | test | BPF_K, k, 0, 1, false);
	yes(c);
}

static void no_if(struct code *c, uint16_t test, uint32_t k)
{
	emit(c, BPF_JMP | test | BPF_K, k, 0, 1, false);
	no(c);
}

static void no_unless(struct code *c, uint16_t test, uint32_t k)
{
	emit(c, BPF_JMP | test | BPF_K, k, 1, 0, false);
	no(c);
}

/* X moves on by A and a constant: to the next header. */
static void step_by_a(struct code *c, uint32_t more)
{
	op(c, BPF_ALU | BPF_ADD | BPF_X, 0);
	op(c, BPF_ALU | BPF_ADD | BPF_K, more);
	op(c, BPF_MISC | BPF_TAX, 0);
}

/* X moves on by a constant; A stays. */
static void step(struct code *c, uint32_t by)
{
	op(c, BPF_ST, SPARE);
	op(c, BPF_MISC | BPF_TXA, 0);
	op(c, BPF_ALU | BPF_ADD | BPF_K, by);
	op(c, BPF_MISC | BPF_TAX, 0);
	op(c, BPF_LD | BPF_MEM, SPARE);
}

static void resolve(struct code *c)
{
	for (size_t i = 0; i < c->count; i++)
		if (c->jumps[i])
			c->ops[i].k = (uint32_t)(c->labels[c->ops[i].k] - i - 1);
}

/* ---- headers: each begins with X at it, and decides ---- */

static void any_of(struct code *c, const uint32_t *numbers, size_t count)
{
	for (size_t i = 0; i < count; i++)
		yes_if(c, BPF_JEQ, numbers[i]);
}

/* Falls through when there is no probe header of this round. */
static void probe_header(struct code *c, uint32_t at, const struct marks *m)
{
	size_t other = label(c);

	load32(c, at);
	op(c, BPF_ALU | BPF_AND | BPF_K, 0xffffff00);
	go_unless(c, BPF_JEQ, (uint32_t)'B' << 24 | (uint32_t)'W' << 16 | PROBE_VERSION << 8, other);
	load32(c, at + 16);
	yes_if(c, BPF_JEQ, m->round);
	place(c, other);
}

static void arp(struct code *c, const struct marks *m)
{
	load32(c, 14); /* sender's address */
	any_of(c, m->ip4, m->ip4_count);
	load32(c, 24); /* the one asked for */
	any_of(c, m->ip4, m->ip4_count);
	no(c);
}

/* By its identifier or the header in it. In this order: what is too short for a header ends the program. */
static void echo(struct code *c, const struct marks *m)
{
	load16(c, 4);
	for (size_t i = 0; i < m->id_count; i++)
		yes_if(c, BPF_JEQ, m->ids[i]);
	probe_header(c, 8, m);
	no(c);
}

static void icmp4(struct code *c, const struct marks *m)
{
	load8(c, 0);
	yes_if(c, BPF_JEQ, 3);  /* unreachable */
	yes_if(c, BPF_JEQ, 11); /* time exceeded */
	yes_if(c, BPF_JEQ, 12); /* parameter problem */
	echo(c, m);
}

static void icmp6(struct code *c, const struct marks *m)
{
	size_t neighbour = label(c), others = label(c);

	load8(c, 0);
	go_if(c, BPF_JEQ, 135, neighbour);
	go_if(c, BPF_JEQ, 136, neighbour);
	go_if(c, BPF_JGT, 4, others);
	yes(c); /* errors */
	place(c, neighbour);
	load32(c, 20); /* the target's last four bytes */
	any_of(c, m->ip6, m->ip6_count);
	no(c);
	place(c, others);
	echo(c, m);
}

/* Falls through when these are not the ports, `ours` being the offset of the probing side's. */
static void by_ports(struct code *c, uint32_t ours, uint32_t theirs, const struct ports *p)
{
	size_t other = label(c);

	load16(c, ours);
	go_unless(c, BPF_JGE, p->lo, other);
	go_if(c, BPF_JGT, p->hi, other);
	load16(c, theirs);
	for (size_t i = 0; i < p->to_count; i++)
		yes_if(c, BPF_JEQ, p->to[i]);
	place(c, other);
}

/* SYN or RST, of our ports in either direction. */
static void tcp(struct code *c, const struct marks *m)
{
	load8(c, 13);
	no_unless(c, BPF_JSET, 0x06);
	by_ports(c, 0, 2, &m->tcp);
	by_ports(c, 2, 0, &m->tcp);
	no(c);
}

/* ---- tunnels: known by their shape, since their ports are anybody's choice ---- */

/* RFC 8926: the options' length in words, then a header that says "bridged". RFC 7348: the flag I. */
static void udp(struct code *c, const struct marks *m, bool tunneled, size_t inner)
{
	size_t vxlan = label(c);

	by_ports(c, 2, 0, &m->udp);
	probe_header(c, 8, m);
	if (tunneled) {
		no(c);
		return;
	}
	load16(c, 10);
	go_unless(c, BPF_JEQ, TYPE_BRIDGED, vxlan);
	load8(c, 8);
	op(c, BPF_ALU | BPF_AND | BPF_K, 0x3f);
	op(c, BPF_ALU | BPF_LSH | BPF_K, 2);
	step_by_a(c, 16);
	go(c, inner);
	place(c, vxlan);
	load8(c, 8);
	no_unless(c, BPF_JSET, 0x08);
	step(c, 16);
	go(c, inner);
}

static void gre_field(struct code *c, uint32_t flag)
{
	size_t absent = label(c);

	load16(c, 0);
	go_unless(c, BPF_JSET, flag, absent);
	op(c, BPF_LD | BPF_MEM, SPARE_LEN);
	op(c, BPF_ALU | BPF_ADD | BPF_K, 4);
	op(c, BPF_ST, SPARE_LEN);
	place(c, absent);
}

/* RFC 2890: checksum, key and sequence number, four bytes each, where their flags are set. */
static void gre(struct code *c, size_t inner)
{
	load16(c, 2);
	no_unless(c, BPF_JEQ, TYPE_BRIDGED);
	op(c, BPF_LD | BPF_IMM, 4);
	op(c, BPF_ST, SPARE_LEN);
	gre_field(c, 0x8000);
	gre_field(c, 0x2000);
	gre_field(c, 0x1000);
	op(c, BPF_LD | BPF_MEM, SPARE_LEN);
	step_by_a(c, 0);
	go(c, inner);
}

/* ---- IP ---- */

/* A: the protocol. */
static void transport(struct code *c, const struct marks *m, bool tunneled, size_t inner)
{
	size_t is_icmp4 = label(c), is_icmp6 = label(c), is_udp = label(c), is_tcp = label(c), is_gre = label(c);

	go_if(c, BPF_JEQ, IPPROTO_ICMP, is_icmp4);
	go_if(c, BPF_JEQ, IPPROTO_ICMPV6, is_icmp6);
	go_if(c, BPF_JEQ, IPPROTO_UDP, is_udp);
	go_if(c, BPF_JEQ, IPPROTO_TCP, is_tcp);
	if (!tunneled)
		go_if(c, BPF_JEQ, IPPROTO_GRE, is_gre);
	no(c);
	place(c, is_icmp4);
	icmp4(c, m);
	place(c, is_icmp6);
	icmp6(c, m);
	place(c, is_udp);
	udp(c, m, tunneled, inner);
	place(c, is_tcp);
	tcp(c, m);
	place(c, is_gre);
	if (!tunneled)
		gre(c, inner);
}

static void ip4(struct code *c, size_t l4)
{
	load16(c, 6);
	no_if(c, BPF_JSET, 0x1fff); /* only the first fragment says what it is */
	load8(c, 9);
	op(c, BPF_ST, SPARE_LEN);
	load8(c, 0);
	op(c, BPF_ALU | BPF_AND | BPF_K, 0x0f);
	op(c, BPF_ALU | BPF_LSH | BPF_K, 2);
	step_by_a(c, 0);
	op(c, BPF_LD | BPF_MEM, SPARE_LEN);
	go(c, l4);
}

/* Of the extension headers only a first fragment's is stepped over: no probe, answer or tunnel has others. */
static void ip6(struct code *c, size_t l4)
{
	load8(c, 6);
	step(c, 40);
	go_unless(c, BPF_JEQ, IPPROTO_FRAGMENT, l4);
	load16(c, 2);
	no_if(c, BPF_JSET, 0xfff8);
	load8(c, 0);
	step(c, 8);
	go(c, l4);
}

/* ---- Ethernet, at X ---- */

static void tags(struct code *c)
{
	size_t end = label(c);

	load16(c, 12);
	for (int i = 0; i < TAGS_MAX; i++) {
		size_t tagged = label(c);

		go_if(c, BPF_JEQ, TYPE_8021Q, tagged);
		go_if(c, BPF_JEQ, TYPE_8021AD, tagged);
		go_unless(c, BPF_JEQ, TYPE_QINQ_OLD, end);
		place(c, tagged);
		step(c, 4);
		load16(c, 12);
	}
	place(c, end);
}

static void frame(struct code *c, const struct marks *m, bool tunneled)
{
	size_t is_arp = label(c), is_ip4 = label(c), is_ip6 = label(c), l4 = label(c), inner = label(c);

	tags(c);
	step(c, 14);
	go_if(c, BPF_JEQ, TYPE_ARP, is_arp);
	go_if(c, BPF_JEQ, TYPE_IP4, is_ip4);
	go_if(c, BPF_JEQ, TYPE_IP6, is_ip6);
	no(c);
	place(c, is_arp);
	arp(c, m);
	place(c, is_ip4);
	ip4(c, l4);
	place(c, is_ip6);
	ip6(c, l4);
	place(c, l4);
	transport(c, m, tunneled, inner);
	place(c, inner);
	if (!tunneled)
		frame(c, m, true);
}

size_t capture_filter(const struct round_spec *spec, unsigned snap, struct sock_filter **out)
{
	struct marks m = marks_of(spec);
	struct code c = {.snap = snap};

	op(&c, BPF_LDX | BPF_IMM, 0);
	frame(&c, &m, false);
	resolve(&c);
	free(c.jumps);
	*out = c.ops;
	return c.count;
}
