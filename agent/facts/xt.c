/* xt: matches and targets of iptables-nft and ebtables-nft, which reach us as the kernel's own structs. Those not in the
 * table are honest unknowns. */
#include "agent/facts/fw_model.h"
#include "proto/base/mem.h"

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/xt_conntrack.h>
#include <linux/netfilter/xt_iprange.h>
#include <linux/netfilter/xt_length.h>
#include <linux/netfilter/xt_mac.h>
#include <linux/netfilter/xt_multiport.h>
#include <linux/netfilter/xt_physdev.h>
#include <linux/netfilter/xt_pkttype.h>
#include <linux/netfilter/xt_tcpudp.h>
#include <linux/netfilter_bridge/ebt_arp.h>
#include <linux/netfilter_bridge/ebt_ip.h>
#include <linux/netfilter_bridge/ebt_ip6.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

typedef void xt_fn(const struct xt_expr *x, const char *family, struct fw_rule *r);

/* Copies the struct out of the bytes; false if they are too short for it. */
static bool take(const struct xt_expr *x, void *out, size_t size)
{
	if (x->len < size)
		return false;
	memcpy(out, x->data, size);
	return true;
}
#define TAKE(x, r, s)                                                                                                              \
	do {                                                                                                                       \
		if (!take((x), &(s), sizeof(s))) {                                                                                 \
			rule_add_unknown(r);                                                                                       \
			return;                                                                                                    \
		}                                                                                                                  \
	} while (0)

/* ---- values ---- */

static void add_ports(struct fw_rule *r, enum fw_field field, const uint16_t range[2], bool negate)
{
	if (range[0] == 0 && range[1] == 0xffff && !negate)
		return;
	rule_add_number(r, field, negate, range[0], range[1]);
}

/* Consecutive ones from the left, or -1. */
static int mask_len(const uint8_t *mask, size_t bytes)
{
	size_t len = 0;

	while (len < bytes * 8 && (mask[len / 8] & (0x80 >> len % 8)))
		len++;
	for (size_t i = len; i < bytes * 8; i++)
		if (mask[i / 8] & (0x80 >> i % 8))
			return -1;
	return (int)len;
}

static void add_prefix(struct fw_rule *r, enum fw_field field, int family, const void *addr, const void *mask, bool negate)
{
	int len = mask_len(mask, family == 4 ? 4 : 16);
	struct fw_value *v = match_add_value(rule_add_match(r, len < 0 ? FW_UNKNOWN : field, negate));

	if (v) {
		v->prefix.ip = ip_from_bytes(family, addr);
		v->prefix.len = (uint8_t)len;
	}
}

static void add_range(struct fw_rule *r, enum fw_field field, int family, const void *lo, const void *hi, bool negate)
{
	struct fw_value *v = match_add_value(rule_add_match(r, field, negate));

	if (v) {
		v->prefix.ip = ip_from_bytes(family, lo);
		v->prefix.len = family == 4 ? 32 : 128;
		v->range_end = ip_from_bytes(family, hi);
	}
}

static void add_mac(struct fw_rule *r, enum fw_field field, const unsigned char *mac, bool negate)
{
	struct fw_value *v = match_add_value(rule_add_match(r, field, negate));

	if (v)
		memcpy(v->mac.b, mac, sizeof v->mac.b);
}

/* ---- matches ---- */

static void on_comment(const struct xt_expr *x, const char *family, struct fw_rule *r)
{
	(void)x;
	(void)family;
	(void)r;
}

static void on_random(const struct xt_expr *x, const char *family, struct fw_rule *r)
{
	(void)x;
	(void)family;
	rule_add_match(r, FW_RANDOM, false);
}

static uint64_t ct_bits(uint16_t mask)
{
	static const struct {
		uint16_t xt;
		uint8_t fw;
	} map[] = {
	    {XT_CONNTRACK_STATE_INVALID, FW_CT_INVALID},
	    {XT_CONNTRACK_STATE_BIT(IP_CT_ESTABLISHED), FW_CT_ESTABLISHED},
	    {XT_CONNTRACK_STATE_BIT(IP_CT_RELATED), FW_CT_RELATED},
	    {XT_CONNTRACK_STATE_BIT(IP_CT_NEW), FW_CT_NEW},
	    {XT_CONNTRACK_STATE_UNTRACKED, FW_CT_UNTRACKED},
	};
	uint64_t bits = 0;

	for (size_t i = 0; i < COUNT(map); i++)
		if (mask & map[i].xt)
			bits |= map[i].fw;
	return bits;
}

static void on_conntrack(const struct xt_expr *x, const char *family, struct fw_rule *r)
{
	struct xt_conntrack_mtinfo2 m; /* revision 3 begins the same */
	uint64_t bits;

	(void)family;
	if (x->revision < 2) {
		rule_add_unknown(r);
		return;
	}
	TAKE(x, r, m);
	bits = ct_bits(m.state_mask);
	if (m.match_flags & XT_CONNTRACK_STATE)
		rule_add_number(r, FW_CT_STATE, m.invert_flags & XT_CONNTRACK_STATE, bits, bits);
	if (m.match_flags & ~(XT_CONNTRACK_STATE | XT_CONNTRACK_STATE_ALIAS) ||
	    m.state_mask & (XT_CONNTRACK_STATE_SNAT | XT_CONNTRACK_STATE_DNAT))
		rule_add_unknown(r);
}

static void on_tcp(const struct xt_expr *x, const char *family, struct fw_rule *r)
{
	struct xt_tcp m;

	(void)family;
	TAKE(x, r, m);
	rule_imply(r, FW_L4PROTO, IPPROTO_TCP);
	add_ports(r, FW_SPORT, m.spts, m.invflags & XT_TCP_INV_SRCPT);
	add_ports(r, FW_DPORT, m.dpts, m.invflags & XT_TCP_INV_DSTPT);
	if (m.flg_mask)
		rule_add_number(r, FW_TCP_FLAGS, m.invflags & XT_TCP_INV_FLAGS, m.flg_cmp, m.flg_mask);
	if (m.option)
		rule_add_unknown(r);
}

static void on_udp(const struct xt_expr *x, const char *family, struct fw_rule *r)
{
	struct xt_udp m;

	(void)family;
	TAKE(x, r, m);
	rule_imply(r, FW_L4PROTO, IPPROTO_UDP);
	add_ports(r, FW_SPORT, m.spts, m.invflags & XT_UDP_INV_SRCPT);
	add_ports(r, FW_DPORT, m.dpts, m.invflags & XT_UDP_INV_DSTPT);
}

static void on_multiport(const struct xt_expr *x, const char *family, struct fw_rule *r)
{
	struct xt_multiport_v1 m;
	struct fw_match *out;

	(void)family;
	TAKE(x, r, m);
	if (m.flags == XT_MULTIPORT_EITHER || x->revision != 1 || m.count > XT_MULTI_PORTS) {
		rule_add_unknown(r);
		return;
	}
	out = rule_add_match(r, m.flags == XT_MULTIPORT_SOURCE ? FW_SPORT : FW_DPORT, m.invert);
	for (size_t i = 0; i < m.count; i++) {
		struct fw_value *v = match_add_value(out);
		size_t end = i + (m.pflags[i] && i + 1u < m.count); /* "67:68" takes two places */

		if (v) {
			v->lo = m.ports[i];
			v->hi = m.ports[end];
		}
		i = end;
	}
}

struct icmp_match { /* struct ipt_icmp and ip6t_icmp */
	uint8_t type, code[2], invflags;
};

static void icmp_add(const struct xt_expr *x, struct fw_rule *r, enum fw_field field)
{
	struct icmp_match m;

	TAKE(x, r, m);
	if (m.type != 0xff) /* any */
		rule_add_number(r, field, m.invflags & 1, m.type, m.type);
	if (m.type != 0xff && (m.code[0] != 0 || m.code[1] != 0xff))
		rule_add_unknown(r);
}

static void on_icmp(const struct xt_expr *x, const char *family, struct fw_rule *r)
{
	(void)family;
	rule_imply(r, FW_L4PROTO, IPPROTO_ICMP);
	icmp_add(x, r, FW_ICMP_TYPE);
}

static void on_icmp6(const struct xt_expr *x, const char *family, struct fw_rule *r)
{
	(void)family;
	rule_imply(r, FW_L4PROTO, IPPROTO_ICMPV6);
	icmp_add(x, r, FW_ICMP6_TYPE);
}

static void on_iprange(const struct xt_expr *x, const char *family, struct fw_rule *r)
{
	struct xt_iprange_mtinfo m;
	int f = strcmp(family, "ip6") == 0 ? 6 : 4;

	TAKE(x, r, m);
	if (m.flags & IPRANGE_SRC)
		add_range(r, FW_SADDR, f, &m.src_min, &m.src_max, m.flags & IPRANGE_SRC_INV);
	if (m.flags & IPRANGE_DST)
		add_range(r, FW_DADDR, f, &m.dst_min, &m.dst_max, m.flags & IPRANGE_DST_INV);
}

static void on_mac(const struct xt_expr *x, const char *family, struct fw_rule *r)
{
	struct xt_mac_info m;

	(void)family;
	TAKE(x, r, m);
	add_mac(r, FW_ETH_SADDR, m.srcaddr, m.invert);
}

static void on_length(const struct xt_expr *x, const char *family, struct fw_rule *r)
{
	struct xt_length_info m;

	(void)family;
	TAKE(x, r, m);
	rule_add_number(r, FW_PKT_LENGTH, m.invert, m.min, m.max);
}

static void on_pkttype(const struct xt_expr *x, const char *family, struct fw_rule *r)
{
	struct xt_pkttype_info m; /* ebt_pkttype_info is the same in two bytes */
	uint8_t small[2];
	bool ebt = strcmp(family, "bridge") == 0;

	if (ebt ? !take(x, small, sizeof small) : !take(x, &m, sizeof m)) {
		rule_add_unknown(r);
		return;
	}
	if (ebt)
		m = (struct xt_pkttype_info){small[0], small[1]};
	rule_add_number(r, FW_PKTTYPE, m.invert, (uint64_t)m.pkttype, (uint64_t)m.pkttype);
}

/* The port a bridged packet came in by, which FW_IIF names in the hooks of a bridge only: no field for it, but a bridged
 * packet is what it needs, and that alone cannot be told here. */
static void on_physdev(const struct xt_expr *x, const char *family, struct fw_rule *r)
{
	(void)x;
	(void)family;
	rule_add_unknown(r);
}

static void on_ebt_arp(const struct xt_expr *x, const char *family, struct fw_rule *r)
{
	struct ebt_arp_info m;

	(void)family;
	TAKE(x, r, m);
	if (m.bitmask & EBT_ARP_OPCODE)
		rule_add_number(r, FW_ARP_OP, m.invflags & EBT_ARP_OPCODE, ntohs(m.opcode), ntohs(m.opcode));
	if (m.bitmask & EBT_ARP_SRC_IP)
		add_prefix(r, FW_ARP_SPA, 4, &m.saddr, &m.smsk, m.invflags & EBT_ARP_SRC_IP);
	if (m.bitmask & EBT_ARP_DST_IP)
		add_prefix(r, FW_ARP_TPA, 4, &m.daddr, &m.dmsk, m.invflags & EBT_ARP_DST_IP);
	if (m.bitmask & EBT_ARP_SRC_MAC && mask_len(m.smmsk, 6) == 48)
		add_mac(r, FW_ARP_SHA, m.smaddr, m.invflags & EBT_ARP_SRC_MAC);
	else if (m.bitmask & EBT_ARP_SRC_MAC)
		rule_add_unknown(r);
	if (m.bitmask & (EBT_ARP_DST_MAC | EBT_ARP_GRAT))
		rule_add_unknown(r);
}

static void on_ebt_ip(const struct xt_expr *x, const char *family, struct fw_rule *r)
{
	struct ebt_ip_info m;

	(void)family;
	TAKE(x, r, m);
	if (m.bitmask & EBT_IP_SOURCE)
		add_prefix(r, FW_SADDR, 4, &m.saddr, &m.smsk, m.invflags & EBT_IP_SOURCE);
	if (m.bitmask & EBT_IP_DEST)
		add_prefix(r, FW_DADDR, 4, &m.daddr, &m.dmsk, m.invflags & EBT_IP_DEST);
	if (m.bitmask & EBT_IP_PROTO)
		rule_add_number(r, FW_L4PROTO, m.invflags & EBT_IP_PROTO, m.protocol, m.protocol);
	if (m.bitmask & EBT_IP_SPORT)
		add_ports(r, FW_SPORT, m.sport, m.invflags & EBT_IP_SPORT);
	if (m.bitmask & EBT_IP_DPORT)
		add_ports(r, FW_DPORT, m.dport, m.invflags & EBT_IP_DPORT);
	if (m.bitmask & EBT_IP_ICMP)
		rule_add_number(r, FW_ICMP_TYPE, m.invflags & EBT_IP_ICMP, m.icmp_type[0], m.icmp_type[1]);
	if (m.bitmask & (EBT_IP_TOS | EBT_IP_IGMP))
		rule_add_unknown(r);
}

static void on_ebt_ip6(const struct xt_expr *x, const char *family, struct fw_rule *r)
{
	struct ebt_ip6_info m;

	(void)family;
	TAKE(x, r, m);
	if (m.bitmask & EBT_IP6_SOURCE)
		add_prefix(r, FW_SADDR, 6, &m.saddr, &m.smsk, m.invflags & EBT_IP6_SOURCE);
	if (m.bitmask & EBT_IP6_DEST)
		add_prefix(r, FW_DADDR, 6, &m.daddr, &m.dmsk, m.invflags & EBT_IP6_DEST);
	if (m.bitmask & EBT_IP6_PROTO)
		rule_add_number(r, FW_L4PROTO, m.invflags & EBT_IP6_PROTO, m.protocol, m.protocol);
	if (m.bitmask & EBT_IP6_SPORT)
		add_ports(r, FW_SPORT, m.sport, m.invflags & EBT_IP6_SPORT);
	if (m.bitmask & EBT_IP6_DPORT)
		add_ports(r, FW_DPORT, m.dport, m.invflags & EBT_IP6_DPORT);
	if (m.bitmask & EBT_IP6_ICMP6)
		rule_add_number(r, FW_ICMP6_TYPE, m.invflags & EBT_IP6_ICMP6, m.icmpv6_type[0], m.icmpv6_type[1]);
	if (m.bitmask & EBT_IP6_TCLASS)
		rule_add_unknown(r);
}

/* ---- targets ---- */

static void on_nothing(const struct xt_expr *x, const char *family, struct fw_rule *r)
{
	(void)x;
	(void)family;
	(void)r;
}

static void on_nat(const struct xt_expr *x, const char *family, struct fw_rule *r)
{
	(void)x;
	(void)family;
	r->verdict = FW_NAT;
}

static void on_queue(const struct xt_expr *x, const char *family, struct fw_rule *r)
{
	(void)x;
	(void)family;
	r->verdict = FW_QUEUE;
}

/* By the kernels' enums ipt_reject_with and ip6t_reject_with. */
static const char *const rejects4[] = {
    "icmp net-unreachable", "icmp host-unreachable", "icmp prot-unreachable", "icmp port-unreachable",
    "icmp echo-reply",      "icmp net-prohibited",   "icmp host-prohibited",  "tcp reset",
    "icmp admin-prohibited"};
static const char *const rejects6[] = {"icmpv6 no-route",
                                       "icmpv6 admin-prohibited",
                                       "icmpv6 not-neighbour",
                                       "icmpv6 addr-unreachable",
                                       "icmpv6 port-unreachable",
                                       "icmpv6 echo-reply",
                                       "tcp reset",
                                       "icmpv6 policy-fail",
                                       "icmpv6 reject-route"};

static void on_reject(const struct xt_expr *x, const char *family, struct fw_rule *r)
{
	uint32_t with;
	bool six = strcmp(family, "ip6") == 0;

	r->verdict = FW_REJECT;
	if (take(x, &with, sizeof with) && with < COUNT(rejects4))
		str_copy(r->target, sizeof r->target, six ? rejects6[with] : rejects4[with]);
}

static const struct {
	bool target;
	const char *name;
	xt_fn *fn;
} decoders[] = {
    {false, "comment", on_comment},
    {false, "conntrack", on_conntrack},
    {false, "tcp", on_tcp},
    {false, "udp", on_udp},
    {false, "multiport", on_multiport},
    {false, "icmp", on_icmp},
    {false, "icmp6", on_icmp6},
    {false, "iprange", on_iprange},
    {false, "mac", on_mac},
    {false, "length", on_length},
    {false, "pkttype", on_pkttype},
    {false, "physdev", on_physdev},
    {false, "limit", on_random},
    {false, "hashlimit", on_random},
    {false, "statistic", on_random},
    {false, "connlimit", on_random},
    {false, "quota", on_random},
    {false, "arp", on_ebt_arp},
    {false, "ip", on_ebt_ip},
    {false, "ip6", on_ebt_ip6},
    {true, "REJECT", on_reject},
    {true, "MASQUERADE", on_nat},
    {true, "SNAT", on_nat},
    {true, "DNAT", on_nat},
    {true, "REDIRECT", on_nat},
    {true, "NETMAP", on_nat},
    {true, "NFQUEUE", on_queue},
    {true, "LOG", on_nothing},
    {true, "NFLOG", on_nothing},
    {true, "MARK", on_nothing},
    {true, "CONNMARK", on_nothing},
    {true, "CHECKSUM", on_nothing},
    {true, "TCPMSS", on_nothing},
    {true, "CT", on_nothing},
    {true, "DSCP", on_nothing},
    {true, "TOS", on_nothing},
    {true, "CLASSIFY", on_nothing},
    {true, "TRACE", on_nothing},
    {true, "SET", on_nothing},
    {true, "TTL", on_nothing},
    {true, "HL", on_nothing},
    {true, "mark", on_nothing},
    {true, "log", on_nothing},
    {true, "nflog", on_nothing},
};

void xt_decode(const struct xt_expr *x, const char *family, struct fw_rule *r)
{
	for (size_t i = 0; i < COUNT(decoders); i++) {
		if (decoders[i].target == x->target && strcmp(decoders[i].name, x->name) == 0) {
			decoders[i].fn(x, family, r);
			return;
		}
	}
	if (x->target)
		r->verdict = FW_MAYBE;
	else
		rule_add_unknown(r);
}
