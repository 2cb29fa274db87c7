#include "agent/packet.h"
#include "agent/exec.h"

#include <string.h>

enum {
	ETH_HEADER = 14,
	VLAN_TAG = 4,
	VLAN_TAGS_MAX = 2,
	ARP_BYTES = 28,
	IP4_HEADER = 20,
	IP6_HEADER = 40,
	EXTENSIONS_MAX = 8,
	TUNNEL_HEADER = 8, /* VXLAN's, and GENEVE's without options */
	GRE_HEADER = 4
};
enum { TYPE_IP4 = 0x0800, TYPE_ARP = 0x0806, TYPE_IP6 = 0x86dd, TYPE_BRIDGED = 0x6558 };
enum { TYPE_8021Q = 0x8100, TYPE_8021AD = 0x88a8, TYPE_QINQ_OLD = 0x9100 };
enum { ICMP4_REPLY = 0, ICMP4_UNREACHABLE = 3, ICMP4_ECHO = 8, ICMP4_EXCEEDED = 11, ICMP4_PARAMETER = 12 };
enum {
	ICMP6_UNREACHABLE = 1,
	ICMP6_TOO_BIG = 2,
	ICMP6_PARAMETER = 4,
	ICMP6_ECHO = 128,
	ICMP6_REPLY = 129,
	ICMP6_NS = 135,
	ICMP6_NA = 136
};
enum { ND_SLLA = 1, ND_TLLA = 2, ND_NONCE = 14 };
enum { TCP_SYN = 0x02, TCP_RST = 0x04, TCP_ACK = 0x10 };

/* What is left of the frame. */
struct view {
	const uint8_t *at;
	size_t left;
};

static bool view_has(const struct view *v, size_t len) { return v->left >= len; }

static void view_skip(struct view *v, size_t len)
{
	v->at += len;
	v->left -= len;
}

static uint16_t get16(const uint8_t *b) { return (uint16_t)(b[0] << 8 | b[1]); }

static uint32_t get32(const uint8_t *b) { return (uint32_t)get16(b) << 16 | get16(b + 2); }

static struct mac get_mac(const uint8_t *b)
{
	struct mac m;

	memcpy(m.b, b, sizeof m.b);
	return m;
}

static void find_probe(struct packet *p, const uint8_t *data, size_t len) { p->has_probe = probe_read(data, len, &p->probe) == 0; }

/* ---- ARP: RFC 826, Ethernet and IPv4 only; the probe header is the trailer ---- */

static int parse_arp(struct view v, struct packet *p)
{
	static const uint8_t ethernet_ip4[] = {0, 1, 0x08, 0x00, 6, 4};

	if (!view_has(&v, ARP_BYTES) || memcmp(v.at, ethernet_ip4, sizeof ethernet_ip4) != 0)
		return -1;
	p->arp.op = get16(v.at + 6);
	p->arp.sha = get_mac(v.at + 8);
	p->arp.spa = ip_from_bytes(4, v.at + 14);
	p->arp.tha = get_mac(v.at + 18);
	p->arp.tpa = ip_from_bytes(4, v.at + 24);
	find_probe(p, v.at + ARP_BYTES, v.left - ARP_BYTES);
	return 0;
}

/* ---- quoted packets ---- */

/* At least 8 bytes of the quoted transport header are there by RFC 792 and RFC 4443; routers may send less. */
static void quote_transport(struct view v, struct packet *p)
{
	if (!view_has(&v, 8))
		return;
	if (p->quoted.l4 == IPPROTO_TCP || p->quoted.l4 == IPPROTO_UDP) {
		p->quoted.sport = get16(v.at);
		p->quoted.dport = get16(v.at + 2);
		p->quoted.tcp_seq = get32(v.at + 4);
	} else if ((p->quoted.l4 == IPPROTO_ICMP && v.at[0] == ICMP4_ECHO) ||
	           (p->quoted.l4 == IPPROTO_ICMPV6 && v.at[0] == ICMP6_ECHO)) {
		p->quoted.icmp_id = get16(v.at + 4);
		p->quoted.icmp_seq = get16(v.at + 6);
	} else {
		return;
	}
	p->has_quoted = true;
}

static void parse_quoted4(struct view v, struct packet *p)
{
	size_t header;

	if (!view_has(&v, IP4_HEADER) || v.at[0] >> 4 != 4)
		return;
	header = (v.at[0] & 15u) * 4u;
	if (header < IP4_HEADER || !view_has(&v, header) || get16(v.at + 6) & 0x1fff)
		return;
	p->quoted.l4 = v.at[9];
	p->quoted.src = ip_from_bytes(4, v.at + 12);
	p->quoted.dst = ip_from_bytes(4, v.at + 16);
	view_skip(&v, header);
	quote_transport(v, p);
}

/* Walks over extension headers (RFC 8200 section 4) to the transport; -1 if it is not there. */
static int skip_extensions(struct view *v, uint8_t next, bool *fragment)
{
	for (int i = 0; i < EXTENSIONS_MAX; i++) {
		size_t len = 8;

		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS && next != IPPROTO_FRAGMENT)
			return next;
		if (!view_has(v, 8))
			return -1;
		if (next == IPPROTO_FRAGMENT)
			*fragment = *fragment || get16(v->at + 2) >> 3 != 0;
		else
			len = (v->at[1] + 1u) * 8u;
		if (!view_has(v, len))
			return -1;
		next = v->at[0];
		view_skip(v, len);
	}
	return -1;
}

static void parse_quoted6(struct view v, struct packet *p)
{
	bool fragment = false;
	int next;

	if (!view_has(&v, IP6_HEADER) || v.at[0] >> 4 != 6)
		return;
	p->quoted.src = ip_from_bytes(6, v.at + 8);
	p->quoted.dst = ip_from_bytes(6, v.at + 24);
	next = v.at[6];
	view_skip(&v, IP6_HEADER);
	next = skip_extensions(&v, (uint8_t)next, &fragment);
	if (next < 0 || fragment)
		return;
	p->quoted.l4 = (uint8_t)next;
	quote_transport(v, p);
}

/* ---- ICMP ---- */

static bool is_error4(uint8_t type) { return type == ICMP4_UNREACHABLE || type == ICMP4_EXCEEDED || type == ICMP4_PARAMETER; }

static bool is_error6(uint8_t type) { return type >= ICMP6_UNREACHABLE && type <= ICMP6_PARAMETER; }

static void parse_echo(struct view v, struct packet *p)
{
	p->icmp_id = get16(v.at + 4);
	p->icmp_seq = get16(v.at + 6);
	find_probe(p, v.at + 8, v.left - 8);
}

static int parse_icmp4(struct view v, struct packet *p)
{
	if (!view_has(&v, 8))
		return -1;
	p->icmp_type = v.at[0];
	p->icmp_code = v.at[1];
	if (p->icmp_type == ICMP4_ECHO || p->icmp_type == ICMP4_REPLY)
		parse_echo(v, p);
	if (!is_error4(p->icmp_type))
		return 0;
	if (p->icmp_type == ICMP4_UNREACHABLE && p->icmp_code == 4)
		p->icmp_mtu = get16(v.at + 6); /* RFC 1191 section 4 */
	view_skip(&v, 8);
	parse_quoted4(v, p);
	return 0;
}

/* Neighbour discovery, RFC 4861 sections 4.3, 4.4 and 4.6. */
static void parse_nd(struct view v, struct packet *p)
{
	if (!view_has(&v, 24))
		return;
	p->nd.target = ip_from_bytes(6, v.at + 8);
	view_skip(&v, 24);
	while (view_has(&v, 8)) {
		size_t len = v.at[1] * 8u;

		if (len == 0 || !view_has(&v, len))
			return;
		if (v.at[0] == ND_SLLA || v.at[0] == ND_TLLA)
			p->nd.lladdr = get_mac(v.at + 2);
		if (v.at[0] == ND_NONCE)
			find_probe(p, v.at + 2, len - 2);
		view_skip(&v, len);
	}
}

static int parse_icmp6(struct view v, struct packet *p)
{
	if (!view_has(&v, 8))
		return -1;
	p->icmp_type = v.at[0];
	p->icmp_code = v.at[1];
	if (p->icmp_type == ICMP6_ECHO || p->icmp_type == ICMP6_REPLY)
		parse_echo(v, p);
	if (p->icmp_type == ICMP6_NS || p->icmp_type == ICMP6_NA)
		parse_nd(v, p);
	if (!is_error6(p->icmp_type))
		return 0;
	if (p->icmp_type == ICMP6_TOO_BIG)
		p->icmp_mtu = get32(v.at + 4);
	view_skip(&v, 8);
	parse_quoted6(v, p);
	return 0;
}

/* ---- UDP, TCP, tunnels ---- */

static int parse_frame(struct view v, uint16_t vlan, bool tunneled, struct packet *p);

static bool parse_inner(struct view v, size_t header, struct packet *p)
{
	struct packet inner;

	if (p->tunneled || !view_has(&v, header))
		return false;
	view_skip(&v, header);
	if (parse_frame(v, 0, true, &inner))
		return false;
	*p = inner;
	return true;
}

/* VXLAN (RFC 7348 section 5) and GENEVE (RFC 8926 section 3.4), by shape. Anything else that looks like it carries no probe. */
static bool parse_udp_tunnel(struct view v, struct packet *p)
{
	if (!view_has(&v, TUNNEL_HEADER))
		return false;
	if (get16(v.at + 2) == TYPE_BRIDGED && v.at[0] >> 6 == 0)
		return parse_inner(v, TUNNEL_HEADER + (v.at[0] & 0x3fu) * 4u, p);
	return v.at[0] & 0x08 && parse_inner(v, TUNNEL_HEADER, p);
}

/* RFC 2784 and 2890: what carries Ethernet; other GRE is of no interest. */
static int parse_gre(struct view v, struct packet *p)
{
	size_t header = GRE_HEADER;

	if (!view_has(&v, GRE_HEADER) || get16(v.at + 2) != TYPE_BRIDGED)
		return 0;
	for (uint8_t flag = 0x80; flag >= 0x10; flag >>= 1)
		if (flag != 0x40 && v.at[0] & flag)
			header += 4;
	parse_inner(v, header, p);
	return 0;
}

/* Behind the header we send nothing but zeros. */
static bool is_padding(const uint8_t *at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (at[i])
			return false;
	return true;
}

static int parse_udp(struct view v, struct packet *p)
{
	if (!view_has(&v, 8))
		return -1;
	p->sport = get16(v.at);
	p->dport = get16(v.at + 2);
	view_skip(&v, 8);
	find_probe(p, v.at, v.left);
	if (p->has_probe)
		p->probe_damaged = !is_padding(v.at + PROBE_HEADER_LEN, v.left - PROBE_HEADER_LEN);
	else
		parse_udp_tunnel(v, p);
	return 0;
}

static int parse_tcp(struct view v, struct packet *p)
{
	if (!view_has(&v, 20))
		return -1;
	p->sport = get16(v.at);
	p->dport = get16(v.at + 2);
	p->tcp_seq = get32(v.at + 4);
	p->tcp_ack = get32(v.at + 8);
	p->tcp_flags = v.at[13];
	return 0;
}

static int parse_transport(struct view v, struct packet *p)
{
	static const struct {
		uint8_t l4;
		int (*parse)(struct view, struct packet *);
	} table[] = {
	    {IPPROTO_ICMP, parse_icmp4}, {IPPROTO_ICMPV6, parse_icmp6}, {IPPROTO_UDP, parse_udp},
	    {IPPROTO_TCP, parse_tcp},    {IPPROTO_GRE, parse_gre},
	};

	if (p->fragment)
		return 0;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (table[i].l4 == p->l4)
			return table[i].parse(v, p);
	return 0;
}

/* ---- IP ---- */

/* Ethernet pads short frames: the packet ends where its own length says, unless that says 0 (offloaded, too big for the
 * field) or more than was captured. */
static void view_limit(struct view *v, size_t len)
{
	if (len != 0 && len < v->left)
		v->left = len;
}

static int parse_ip4(struct view v, struct packet *p)
{
	size_t header, total;

	if (!view_has(&v, IP4_HEADER) || v.at[0] >> 4 != 4)
		return -1;
	header = (v.at[0] & 15u) * 4u;
	total = get16(v.at + 2);
	if (header < IP4_HEADER || (total != 0 && total < header))
		return -1;
	view_limit(&v, total);
	if (!view_has(&v, header))
		return -1;
	p->fragment = get16(v.at + 6) & 0x1fff;
	p->ttl = v.at[8];
	p->l4 = v.at[9];
	p->ip_src = ip_from_bytes(4, v.at + 12);
	p->ip_dst = ip_from_bytes(4, v.at + 16);
	view_skip(&v, header);
	return parse_transport(v, p);
}

static int parse_ip6(struct view v, struct packet *p)
{
	int next;

	if (!view_has(&v, IP6_HEADER) || v.at[0] >> 4 != 6)
		return -1;
	p->ttl = v.at[7];
	p->ip_src = ip_from_bytes(6, v.at + 8);
	p->ip_dst = ip_from_bytes(6, v.at + 24);
	next = v.at[6];
	if (get16(v.at + 4) != 0)
		view_limit(&v, IP6_HEADER + (size_t)get16(v.at + 4));
	view_skip(&v, IP6_HEADER);
	next = skip_extensions(&v, (uint8_t)next, &p->fragment);
	if (next < 0)
		return -1;
	p->l4 = (uint8_t)next;
	return parse_transport(v, p);
}

/* ---- Ethernet ---- */

static bool is_tag(uint16_t type) { return type == TYPE_8021Q || type == TYPE_8021AD || type == TYPE_QINQ_OLD; }

static int parse_frame(struct view v, uint16_t vlan, bool tunneled, struct packet *p)
{
	memset(p, 0, sizeof *p);
	if (!view_has(&v, ETH_HEADER))
		return -1;
	p->tunneled = tunneled;
	p->vlan = vlan;
	p->dst = get_mac(v.at);
	p->src = get_mac(v.at + 6);
	p->ethertype = get16(v.at + 12);
	view_skip(&v, ETH_HEADER);
	for (int i = 0; i < VLAN_TAGS_MAX && is_tag(p->ethertype); i++) {
		if (!view_has(&v, VLAN_TAG))
			return -1;
		if (p->vlan == 0)
			p->vlan = get16(v.at) & 0x0fff; /* the outermost one: it is what the next switch looks at */
		p->ethertype = get16(v.at + 2);
		view_skip(&v, VLAN_TAG);
	}
	switch (p->ethertype) {
	case TYPE_ARP: return parse_arp(v, p);
	case TYPE_IP4: return parse_ip4(v, p);
	case TYPE_IP6: return parse_ip6(v, p);
	default: return -1;
	}
}

int packet_parse(const void *frame, size_t len, uint16_t vlan_aside, struct packet *out)
{
	return parse_frame((struct view){frame, len}, vlan_aside & 0x0fff, false, out);
}

/* ---- which probe is it? ---- */

struct match {
	uint8_t seq;
	enum flow_part part;
};

static bool ip_is_zero(struct ip a)
{
	static const uint8_t zero[16];

	return memcmp(a.b, zero, a.family == 6 ? 16 : 4) == 0;
}

/* One end may have been rewritten (NAT); ports or identifiers were compared already. */
static bool near(struct ip src, struct ip dst, const struct flow *f) { return ip_equal(src, f->src) || ip_equal(dst, f->dst); }
static bool exact(struct ip src, struct ip dst, const struct flow *f) { return ip_equal(src, f->src) && ip_equal(dst, f->dst); }

static bool seq_of(uint16_t number, const struct flow *f, struct match *m)
{
	uint16_t seq = (uint16_t)(number - f->id_base);

	m->seq = (uint8_t)seq;
	return seq < f->count;
}

/* ---- neighbours ---- */

/* What the question's sender address was tells at least the first, cold one from the others. */
static uint8_t neigh_seq(struct ip asker, const struct flow *f)
{
	return ip_is_zero(asker) && f->src.family && !ip_is_zero(f->src) ? 0 : PACKET_SEQ_UNKNOWN;
}

static bool match_arp(const struct packet *p, const struct flow *f, struct match *m)
{
	if (p->arp.op != 2 || !ip_equal(p->arp.spa, f->dst) || !(ip_is_zero(p->arp.tpa) || ip_equal(p->arp.tpa, f->src)))
		return false;
	*m = (struct match){neigh_seq(p->arp.tpa, f), PART_ANSWER};
	return true;
}

static bool match_nd(const struct packet *p, const struct flow *f, struct match *m)
{
	if (p->l4 != IPPROTO_ICMPV6 || p->icmp_type != ICMP6_NA || !ip_equal(p->nd.target, f->dst))
		return false;
	if (!ip_is_multicast(p->ip_dst) && !ip_equal(p->ip_dst, f->src))
		return false;
	*m = (struct match){PACKET_SEQ_UNKNOWN, PART_ANSWER};
	return true;
}

static bool match_neigh(const struct packet *p, const struct flow *f, struct match *m)
{
	return p->ethertype == TYPE_ARP ? kind_info(f->kind)->family == 4 && match_arp(p, f, m)
	                                : kind_info(f->kind)->family == 6 && match_nd(p, f, m);
}

/* ---- echo, UDP, TCP: without a probe header, echo and UDP can only be an answer of somebody who is not the peer ---- */

static bool match_icmp(const struct packet *p, const struct flow *f, struct match *m)
{
	bool six = kind_info(f->kind)->family == 6;
	uint8_t reply = six ? ICMP6_REPLY : ICMP4_REPLY;

	if (p->l4 != (six ? IPPROTO_ICMPV6 : IPPROTO_ICMP) || p->icmp_id != f->id_base || p->icmp_seq >= f->count)
		return false;
	*m = (struct match){(uint8_t)p->icmp_seq, PART_ANSWER};
	return p->icmp_type == reply && exact(p->ip_dst, p->ip_src, f);
}

static bool match_udp(const struct packet *p, const struct flow *f, struct match *m)
{
	m->part = PART_ANSWER;
	return p->l4 == IPPROTO_UDP && p->sport == f->dport && exact(p->ip_dst, p->ip_src, f) && seq_of(p->dport, f, m);
}

/* A reset that refuses a SYN has sequence number 0 (RFC 9293 section 3.5.2); later ones end a connection that was made. */
static bool match_tcp(const struct packet *p, const struct flow *f, struct match *m)
{
	uint8_t flags = p->tcp_flags & (TCP_SYN | TCP_RST | TCP_ACK);

	if (p->l4 != IPPROTO_TCP)
		return false;
	if (flags == TCP_SYN) {
		m->part = PART_PROBE;
		return p->dport == f->dport && near(p->ip_src, p->ip_dst, f) && seq_of(p->sport, f, m);
	}
	if (flags == (TCP_SYN | TCP_ACK))
		m->part = PART_ANSWER;
	else if ((flags & TCP_RST) && p->tcp_seq == 0)
		m->part = PART_REFUSAL;
	else
		return false;
	return p->sport == f->dport && near(p->ip_dst, p->ip_src, f) && seq_of(p->dport, f, m);
}

static bool (*const matchers[])(const struct packet *, const struct flow *, struct match *) = {
    [PROTO_NEIGH] = match_neigh, [PROTO_ICMP] = match_icmp, [PROTO_UDP] = match_udp, [PROTO_TCP] = match_tcp};

/* ---- errors about a probe ---- */

static bool match_quoted(const struct packet *p, const struct flow *f, struct match *m)
{
	static const uint8_t l4s[] = {
	    [PROTO_NEIGH] = 255, [PROTO_ICMP] = IPPROTO_ICMP, [PROTO_UDP] = IPPROTO_UDP, [PROTO_TCP] = IPPROTO_TCP};
	const struct kind_info *k = kind_info(f->kind);
	uint8_t l4 = k->proto == PROTO_ICMP && k->family == 6 ? IPPROTO_ICMPV6 : l4s[k->proto];

	m->part = PART_REFUSAL;
	if (p->quoted.l4 != l4 || !near(p->quoted.src, p->quoted.dst, f))
		return false;
	if (k->proto != PROTO_ICMP)
		return p->quoted.dport == f->dport && seq_of(p->quoted.sport, f, m);
	m->seq = (uint8_t)p->quoted.icmp_seq;
	return p->quoted.icmp_id == f->id_base && p->quoted.icmp_seq < f->count;
}

/* ---- a probe header ---- */

/* Kernels answer an echo with the question's own payload, and a TCP payload or a datagram sent back may carry it, too. */
static enum flow_part header_part(const struct packet *p, const struct flow *f)
{
	struct match m;

	if (p->probe.answer)
		return PART_ANSWER;
	if (p->l4 == IPPROTO_ICMP)
		return p->icmp_type == ICMP4_REPLY ? PART_ANSWER : PART_PROBE;
	if (p->l4 == IPPROTO_ICMPV6)
		return p->icmp_type == ICMP6_REPLY ? PART_ANSWER : PART_PROBE;
	if (p->ethertype == TYPE_ARP)
		return p->arp.op == 2 ? PART_ANSWER : PART_PROBE;
	return p->sport == f->dport && seq_of(p->dport, f, &m) ? PART_ANSWER : PART_PROBE;
}

static bool match_header(const struct packet *p, const struct flow *f, struct match *m)
{
	if (f->id != p->probe.flow || p->probe.seq >= f->count)
		return false;
	*m = (struct match){p->probe.seq, header_part(p, f)};
	return true;
}

static bool match_any(const struct packet *p, const struct flow *f, uint64_t round, struct match *m)
{
	if (p->has_probe)
		return p->probe.round == round && match_header(p, f, m);
	if (p->has_quoted)
		return match_quoted(p, f, m);
	return !p->fragment && matchers[kind_info(f->kind)->proto](p, f, m);
}

/* The answer to a cold ARP probe does not tell the asker's address: others ask that way too. The flow back knows its MAC. */
static bool asked_by(const struct packet *p, const struct flow *f, const struct flow *flows, size_t flow_count)
{
	if (p->ethertype != TYPE_ARP || p->arp.op != 2 || !ip_is_zero(p->arp.tpa))
		return true;
	for (size_t i = 0; i < flow_count; i++) {
		if (flows[i].kind == f->kind && flows[i].dir != f->dir && mac_is_set(flows[i].dst_mac))
			return mac_equal(p->arp.tha, flows[i].dst_mac);
	}
	return true;
}

int packet_match(const struct packet *p, const struct flow *flows, size_t flow_count, uint64_t round, uint8_t *flow, uint8_t *seq,
                 int *part)
{
	struct match m;

	for (size_t i = 0; i < flow_count; i++) {
		if (flows[i].kind >= KIND_COUNT || !match_any(p, &flows[i], round, &m) ||
		    !asked_by(p, &flows[i], flows, flow_count))
			continue;
		*flow = flows[i].id;
		*seq = m.seq;
		*part = (int)m.part;
		return 0;
	}
	return -1;
}

bool packet_is_half(const struct packet *p, const struct flow *f, uint32_t *first_number)
{
	bool syn = (p->tcp_flags & (TCP_SYN | TCP_RST | TCP_ACK)) == TCP_SYN;

	if (kind_info(f->kind)->proto != PROTO_TCP)
		return false;
	if (p->has_quoted) {
		*first_number = p->quoted.tcp_seq;
		return !exact(p->quoted.src, p->quoted.dst, f);
	}
	*first_number = syn ? p->tcp_seq : p->tcp_ack - 1;
	return syn ? !exact(p->ip_src, p->ip_dst, f) : !exact(p->ip_dst, p->ip_src, f);
}
