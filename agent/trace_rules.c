#include "agent/trace_rules.h"
#include "proto/base/mem.h"
#include "proto/model/observation.h"

#include <arpa/inet.h>
#include <limits.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_arp.h>
#include <linux/netfilter_bridge.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef NFT_TABLE_F_OWNER
#define NFT_TABLE_F_OWNER 0x2 /* 5.12 */
#endif
#define TYPE_ARP     0x0806
#define REGISTER     NFT_REG_1
#define CONDS_MAX    4
#define COMMENT      0 /* how nft marks a comment in the data kept for users */
#define COMMENT_TEXT "flow %hhu part %hhu"

/* ---- messages ---- */

static struct nlmsghdr *put_header(struct trace_batch *b, uint16_t type, uint16_t flags, uint8_t family, uint16_t resource)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(mnl_nlmsg_batch_current(b->batch));
	struct nfgenmsg *g = mnl_nlmsg_put_extra_header(h, sizeof *g);

	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | flags;
	h->nlmsg_seq = b->seq;
	g->nfgen_family = family;
	g->version = NFNETLINK_V0;
	g->res_id = htons(resource);
	return h;
}

static struct nlmsghdr *put_nft(struct trace_batch *b, uint16_t message, uint16_t flags, uint8_t family)
{
	return put_header(b, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | message), flags, family, 0);
}

static void put_done(struct trace_batch *b)
{
	if (!mnl_nlmsg_batch_next(b->batch))
		b->full = true;
}

void trace_batch_begin(struct trace_batch *b, uint32_t seq)
{
	*b = (struct trace_batch){.data = mem_alloc(2 * TRACE_BATCH_MAX), .seq = seq};
	b->batch = mnl_nlmsg_batch_start(b->data, TRACE_BATCH_MAX);
	put_header(b, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
	put_done(b);
}

void trace_batch_end(struct trace_batch *b)
{
	put_header(b, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
	put_done(b);
}

void trace_batch_free(struct trace_batch *b)
{
	if (b->batch)
		mnl_nlmsg_batch_stop(b->batch);
	free(b->data);
	*b = (struct trace_batch){0};
}

/* ---- expressions ---- */

struct expression {
	struct nlattr *element, *data;
};

static struct expression expression_begin(struct nlmsghdr *h, const char *name)
{
	struct expression x;

	x.element = mnl_attr_nest_start(h, NFTA_LIST_ELEM);
	mnl_attr_put_strz(h, NFTA_EXPR_NAME, name);
	x.data = mnl_attr_nest_start(h, NFTA_EXPR_DATA);
	return x;
}

static void expression_end(struct nlmsghdr *h, struct expression x)
{
	mnl_attr_nest_end(h, x.data);
	mnl_attr_nest_end(h, x.element);
}

static void put_u32(struct nlmsghdr *h, uint16_t type, uint32_t value) { mnl_attr_put_u32(h, type, htonl(value)); }

static void put_value(struct nlmsghdr *h, uint16_t type, const void *value, size_t len)
{
	struct nlattr *nest = mnl_attr_nest_start(h, type);

	mnl_attr_put(h, NFTA_DATA_VALUE, len, value);
	mnl_attr_nest_end(h, nest);
}

static void put_meta(struct nlmsghdr *h, uint32_t key)
{
	struct expression x = expression_begin(h, "meta");

	put_u32(h, NFTA_META_KEY, key);
	put_u32(h, NFTA_META_DREG, REGISTER);
	expression_end(h, x);
}

static void put_payload(struct nlmsghdr *h, uint32_t base, uint32_t offset, uint32_t len)
{
	struct expression x = expression_begin(h, "payload");

	put_u32(h, NFTA_PAYLOAD_DREG, REGISTER);
	put_u32(h, NFTA_PAYLOAD_BASE, base);
	put_u32(h, NFTA_PAYLOAD_OFFSET, offset);
	put_u32(h, NFTA_PAYLOAD_LEN, len);
	expression_end(h, x);
}

static void put_compare(struct nlmsghdr *h, uint32_t op, const void *value, size_t len)
{
	struct expression x = expression_begin(h, "cmp");

	put_u32(h, NFTA_CMP_SREG, REGISTER);
	put_u32(h, NFTA_CMP_OP, op);
	put_value(h, NFTA_CMP_DATA, value, len);
	expression_end(h, x);
}

static void put_mark(struct nlmsghdr *h)
{
	const uint8_t on = 1;
	struct expression x = expression_begin(h, "immediate");

	put_u32(h, NFTA_IMMEDIATE_DREG, REGISTER);
	put_value(h, NFTA_IMMEDIATE_DATA, &on, sizeof on);
	expression_end(h, x);
	x = expression_begin(h, "meta");
	put_u32(h, NFTA_META_KEY, NFT_META_NFTRACE);
	put_u32(h, NFTA_META_SREG, REGISTER);
	expression_end(h, x);
}

static void put_jump(struct nlmsghdr *h)
{
	struct expression x = expression_begin(h, "immediate");
	struct nlattr *data, *verdict;

	put_u32(h, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	data = mnl_attr_nest_start(h, NFTA_IMMEDIATE_DATA);
	verdict = mnl_attr_nest_start(h, NFTA_DATA_VERDICT);
	put_u32(h, NFTA_VERDICT_CODE, (uint32_t)NFT_JUMP);
	mnl_attr_put_strz(h, NFTA_VERDICT_CHAIN, TRACE_MARKS);
	mnl_attr_nest_end(h, verdict);
	mnl_attr_nest_end(h, data);
	expression_end(h, x);
}

/* ---- conditions ---- */

/* Bytes of the packet that must lie within bounds (both included). */
struct cond {
	uint32_t base; /* NFT_PAYLOAD_* */
	uint8_t offset, len;
	uint8_t lo[16], hi[16];
};

/* What a rule looks at: the protocol, then bytes. */
struct match {
	bool arp;
	uint8_t l4; /* 0 = any: the hook knows nothing else */
	size_t count;
	struct cond conds[CONDS_MAX];
};

static void match_bytes(struct match *m, uint32_t base, uint8_t offset, const void *value, uint8_t len)
{
	struct cond *c = &m->conds[m->count++];

	*c = (struct cond){.base = base, .offset = offset, .len = len};
	memcpy(c->lo, value, len);
	memcpy(c->hi, value, len);
}

static void match_range(struct match *m, uint8_t offset, unsigned lo, unsigned hi)
{
	struct cond *c = &m->conds[m->count++];

	hi = hi > 65535 ? 65535 : hi;
	*c = (struct cond){.base = NFT_PAYLOAD_TRANSPORT_HEADER, .offset = offset, .len = 2};
	memcpy(c->lo, &(uint16_t){htons((uint16_t)lo)}, 2);
	memcpy(c->hi, &(uint16_t){htons((uint16_t)hi)}, 2);
}

static void match_byte(struct match *m, uint32_t base, uint8_t offset, uint8_t value) { match_bytes(m, base, offset, &value, 1); }

static void put_cond(struct nlmsghdr *h, const struct cond *c)
{
	put_payload(h, c->base, c->offset, c->len);
	if (memcmp(c->lo, c->hi, c->len) == 0) {
		put_compare(h, NFT_CMP_EQ, c->lo, c->len);
		return;
	}
	put_compare(h, NFT_CMP_GTE, c->lo, c->len);
	put_compare(h, NFT_CMP_LTE, c->hi, c->len);
}

static void put_match(struct nlmsghdr *h, uint8_t family, const struct match *m)
{
	if (m->arp && family != NFPROTO_ARP) {
		put_meta(h, NFT_META_PROTOCOL);
		put_compare(h, NFT_CMP_EQ, &(uint16_t){htons(TYPE_ARP)}, 2);
	}
	if (m->l4) {
		put_meta(h, NFT_META_L4PROTO);
		put_compare(h, NFT_CMP_EQ, &m->l4, 1);
	}
	for (size_t i = 0; i < m->count; i++)
		put_cond(h, &m->conds[i]);
}

/* ---- what a flow's packets look like ---- */

static void match_ports(const struct flow *f, uint8_t part, struct match *m)
{
	bool probe = part == PART_PROBE;

	m->l4 = kind_info(f->kind)->proto == PROTO_TCP ? IPPROTO_TCP : IPPROTO_UDP;
	match_range(m, probe ? 0 : 2, f->id_base, f->id_base + f->count - 1u);
	match_range(m, probe ? 2 : 0, f->dport, f->dport);
}

static void match_echo(const struct flow *f, uint8_t part, struct match *m)
{
	bool six = kind_info(f->kind)->family == 6;

	m->l4 = six ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	match_byte(m, NFT_PAYLOAD_TRANSPORT_HEADER, 0, part == PART_PROBE ? (six ? 128 : 8) : (six ? 129 : 0));
	match_range(m, 4, f->id_base, f->id_base);
}

/* ARP: operation, then who is asked for (the answer's sender). ND: type, then the target. */
static void match_neigh(const struct flow *f, uint8_t part, struct match *m)
{
	bool probe = part == PART_PROBE;

	if (kind_info(f->kind)->family == 6) {
		m->l4 = IPPROTO_ICMPV6;
		match_byte(m, NFT_PAYLOAD_TRANSPORT_HEADER, 0, probe ? 135 : 136);
		match_bytes(m, NFT_PAYLOAD_TRANSPORT_HEADER, 8, f->dst.b, 16);
		return;
	}
	m->arp = true;
	match_byte(m, NFT_PAYLOAD_NETWORK_HEADER, 7, probe ? 1 : 2);
	match_bytes(m, NFT_PAYLOAD_NETWORK_HEADER, probe ? 24 : 14, f->dst.b, 4);
}

static void flow_match(const struct flow *f, uint8_t part, struct match *m)
{
	static void (*const matchers[])(const struct flow *, uint8_t, struct match *) = {
	    [PROTO_NEIGH] = match_neigh, [PROTO_ICMP] = match_echo, [PROTO_UDP] = match_ports, [PROTO_TCP] = match_ports};

	*m = (struct match){0};
	matchers[kind_info(f->kind)->proto](f, part, m);
}

static bool family_has(uint8_t family, const struct match *m)
{
	return family == NFPROTO_BRIDGE || m->arp == (family == NFPROTO_ARP);
}

/* ---- rules ---- */

static struct nlmsghdr *rule_begin(struct trace_batch *b, uint8_t family, const char *table, const char *chain)
{
	struct nlmsghdr *h = put_nft(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, family);

	mnl_attr_put_strz(h, NFTA_RULE_TABLE, table);
	mnl_attr_put_strz(h, NFTA_RULE_CHAIN, chain);
	return h;
}

static void put_comment(struct nlmsghdr *h, uint8_t flow, uint8_t part)
{
	uint8_t data[64];
	int len = snprintf((char *)data + 2, sizeof data - 2, COMMENT_TEXT, flow, part) + 1;

	data[0] = COMMENT;
	data[1] = (uint8_t)len;
	mnl_attr_put(h, NFTA_RULE_USERDATA, (size_t)len + 2, data);
}

int trace_mark_read(const void *userdata, size_t len, uint8_t *flow, uint8_t *part)
{
	const char *data = userdata;
	char text[64];

	if (len < 3 || data[0] != COMMENT || len - 2 > sizeof text)
		return -1;
	memcpy(text, data + 2, len - 2);
	text[len - 3] = '\0';
	return sscanf(text, COMMENT_TEXT, flow, part) == 2 ? 0 : -1;
}

static void put_marks(struct trace_batch *b, uint8_t family, const char *table, const struct flow *f)
{
	for (uint8_t part = PART_PROBE; part <= PART_ANSWER && !b->full; part++) {
		struct nlmsghdr *h;
		struct nlattr *list;
		struct match m;

		flow_match(f, part, &m);
		if (!family_has(family, &m))
			continue;
		h = rule_begin(b, family, table, TRACE_MARKS);
		list = mnl_attr_nest_start(h, NFTA_RULE_EXPRESSIONS);
		put_match(h, family, &m);
		put_mark(h);
		mnl_attr_nest_end(h, list);
		put_comment(h, f->id, part);
		put_done(b);
	}
}

static void put_lead(struct trace_batch *b, uint8_t family, const char *table, const char *chain, const struct match *m)
{
	struct nlmsghdr *h;
	struct nlattr *list;

	if (b->full || !family_has(family, m))
		return;
	h = rule_begin(b, family, table, chain);
	list = mnl_attr_nest_start(h, NFTA_RULE_EXPRESSIONS);
	put_match(h, family, m);
	put_jump(h);
	mnl_attr_nest_end(h, list);
	put_done(b);
}

struct span {
	bool any;
	unsigned lo, hi;
};

static struct span ports_of(const struct round_spec *spec, enum proto proto)
{
	struct span s = {0};

	for (size_t i = 0; i < spec->flow_count; i++) {
		const struct flow *f = &spec->flows[i];
		unsigned last = f->id_base + (f->count ? f->count - 1u : 0u);

		if (f->kind >= KIND_COUNT || kind_info(f->kind)->proto != proto || f->timed)
			continue;
		s.lo = !s.any || f->id_base < s.lo ? f->id_base : s.lo;
		s.hi = last > s.hi ? last : s.hi;
		s.any = true;
	}
	return s;
}

/* What passes here and is none of the round's is asked a handful of questions only. */
static void put_leads(struct trace_batch *b, uint8_t family, const char *table, const char *chain, const struct round_spec *spec)
{
	static const struct {
		enum proto proto;
		uint8_t l4, offsets[2];
		size_t count;
	} leads[] = {{PROTO_UDP, IPPROTO_UDP, {0, 2}, 2}, {PROTO_TCP, IPPROTO_TCP, {0, 2}, 2}, {PROTO_ICMP, IPPROTO_ICMP, {4}, 1}};
	struct match m;

	for (size_t i = 0; i < sizeof leads / sizeof *leads; i++) {
		struct span s = ports_of(spec, leads[i].proto);

		for (size_t k = 0; s.any && k < leads[i].count; k++) {
			m = (struct match){.l4 = leads[i].l4};
			match_range(&m, leads[i].offsets[k], s.lo, s.hi);
			put_lead(b, family, table, chain, &m);
		}
	}
	put_lead(b, family, table, chain, &(struct match){.l4 = IPPROTO_ICMPV6});
	put_lead(b, family, table, chain, &(struct match){.arp = true});
}

/* ---- the table ---- */

static void put_chain(struct trace_batch *b, uint8_t family, const char *table, const char *chain, int hook)
{
	struct nlmsghdr *h = put_nft(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE, family);

	mnl_attr_put_strz(h, NFTA_CHAIN_TABLE, table);
	mnl_attr_put_strz(h, NFTA_CHAIN_NAME, chain);
	if (hook >= 0) {
		struct nlattr *nest = mnl_attr_nest_start(h, NFTA_CHAIN_HOOK);

		put_u32(h, NFTA_HOOK_HOOKNUM, (uint32_t)hook);
		put_u32(h, NFTA_HOOK_PRIORITY, (uint32_t)(INT_MIN + 1)); /* before all others */
		mnl_attr_nest_end(h, nest);
		mnl_attr_put_strz(h, NFTA_CHAIN_TYPE, "filter");
	}
	put_done(b);
}

/* Where packets enter the ruleset: from outside, and from this machine. */
static const struct {
	uint8_t family;
	int in, out;
} hooks[] = {
    {NFPROTO_INET, NF_INET_PRE_ROUTING, NF_INET_LOCAL_OUT},
    {NFPROTO_BRIDGE, NF_BR_PRE_ROUTING, NF_BR_LOCAL_OUT},
    {NFPROTO_ARP, NF_ARP_IN, NF_ARP_OUT},
};

void trace_put_table(struct trace_batch *b, uint8_t family, const char *table, bool owned, const struct round_spec *spec)
{
	struct nlmsghdr *h = put_nft(b, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_ACK, family);

	mnl_attr_put_strz(h, NFTA_TABLE_NAME, table);
	put_u32(h, NFTA_TABLE_FLAGS, owned ? NFT_TABLE_F_OWNER : 0);
	put_done(b);
	put_chain(b, family, table, TRACE_MARKS, -1);
	for (size_t i = 0; i < sizeof hooks / sizeof *hooks; i++) {
		if (hooks[i].family != family)
			continue;
		put_chain(b, family, table, "in", hooks[i].in);
		put_chain(b, family, table, "out", hooks[i].out);
		put_leads(b, family, table, "in", spec);
		put_leads(b, family, table, "out", spec);
	}
	for (size_t i = 0; i < spec->flow_count && !b->full; i++)
		if (spec->flows[i].kind < KIND_COUNT && spec->flows[i].count && !spec->flows[i].timed) /* too many to trace */
			put_marks(b, family, table, &spec->flows[i]);
}

void trace_put_delete(struct trace_batch *b, uint8_t family, const char *table)
{
	struct nlmsghdr *h = put_nft(b, NFT_MSG_DELTABLE, NLM_F_ACK, family);

	mnl_attr_put_strz(h, NFTA_TABLE_NAME, table);
	put_done(b);
}
