#include "agent/facts/nft.h"
#include "agent/facts/source.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>

#define DUMP_TRIES 5 /* of one that changes meanwhile */

static struct nlmsghdr *nft_request(struct nl *n, int type, uint16_t flags)
{
	struct nlmsghdr *h = nl_request(n, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags, sizeof(struct nfgenmsg));
	struct nfgenmsg *g = mnl_nlmsg_get_payload(h);

	g->nfgen_family = NFPROTO_UNSPEC;
	g->version = NFNETLINK_V0;
	return h;
}

static int nft_talk(int type, uint16_t flags, mnl_cb_t fn, void *arg)
{
	struct nl n;
	int failed, saved;

	if (nl_open(&n, NETLINK_NETFILTER, NULL))
		return -1;
	failed = nl_talk(&n, nft_request(&n, type, flags), fn, arg);
	saved = errno;
	nl_close(&n);
	errno = saved;
	return failed;
}

static int on_generation(const struct nlmsghdr *h, void *arg)
{
	const struct nlattr *tb[NFTA_GEN_MAX + 1];

	nl_attrs(h, sizeof(struct nfgenmsg), tb, NFTA_GEN_MAX);
	*(uint32_t *)arg = ntohl(nl_u32(tb[NFTA_GEN_ID]));
	return MNL_CB_OK;
}

int nft_generation(uint32_t *out)
{
	*out = 0;
	return nft_talk(NFT_MSG_GETGEN, 0, on_generation, out);
}

/* ---- rules ---- */

static const char *family_name(uint8_t family)
{
	static const struct {
		uint8_t number;
		const char *name;
	} names[] = {
	    {NFPROTO_INET, "inet"},     {NFPROTO_IPV4, "ip"},       {NFPROTO_ARP, "arp"},
	    {NFPROTO_NETDEV, "netdev"}, {NFPROTO_BRIDGE, "bridge"}, {NFPROTO_IPV6, "ip6"},
	};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (names[i].number == family)
			return names[i].name;
	return "";
}

#ifndef NFT_TABLE_F_OWNER
#define NFT_TABLE_F_OWNER 2
#endif

struct table_sink {
	struct nft_table_seen *items;
	size_t count, cap;
};

static int on_table(const struct nlmsghdr *h, void *arg)
{
	struct table_sink *sink = arg;
	const struct nfgenmsg *g = mnl_nlmsg_get_payload(h);
	const struct nlattr *tb[NFTA_TABLE_MAX + 1];

	nl_attrs(h, sizeof *g, tb, NFTA_TABLE_MAX);
	if (tb[NFTA_TABLE_NAME])
		*VEC_ADD(sink->items, sink->count, sink->cap) =
		    (struct nft_table_seen){.family = family_name(g->nfgen_family),
		                            .name = mem_strdup(mnl_attr_get_str(tb[NFTA_TABLE_NAME])),
		                            .owned = ntohl(nl_u32(tb[NFTA_TABLE_FLAGS])) & NFT_TABLE_F_OWNER};
	return MNL_CB_OK;
}

static void tables_drop(struct table_sink *sink)
{
	for (size_t i = 0; i < sink->count; i++)
		free((char *)(uintptr_t)sink->items[i].name);
	free(sink->items);
	*sink = (struct table_sink){0};
}

int nft_tables(nft_table_fn *fn, void *arg)
{
	struct table_sink sink = {0};
	int failed, tries = 0;

	do {
		tables_drop(&sink);
		failed = nft_talk(NFT_MSG_GETTABLE, NLM_F_DUMP, on_table, &sink);
	} while (failed && errno == EINTR && ++tries < DUMP_TRIES);
	for (size_t i = 0; i < sink.count; i++)
		fn(arg, &sink.items[i]);
	tables_drop(&sink);
	return failed;
}

/* Name and data of one expression in the list. */
static const char *expr_open(const struct nlattr *elem, const struct nlattr **data)
{
	const struct nlattr *tb[NFTA_EXPR_MAX + 1];

	nl_nested(elem, tb, NFTA_EXPR_MAX);
	*data = tb[NFTA_EXPR_DATA];
	return tb[NFTA_EXPR_NAME] && tb[NFTA_EXPR_DATA] ? mnl_attr_get_str(tb[NFTA_EXPR_NAME]) : "";
}

static void find_counter(struct nft_rule_seen *r)
{
	const struct nlattr *elem, *data, *tb[NFTA_COUNTER_MAX + 1];

	mnl_attr_for_each_nested(elem, r->exprs)
	{
		if (strcmp(expr_open(elem, &data), "counter") != 0)
			continue;
		nl_nested(data, tb, NFTA_COUNTER_MAX);
		r->has_counter = true;
		r->packets = be64toh(nl_u64(tb[NFTA_COUNTER_PACKETS]));
	}
}

struct rule_sink {
	nft_rule_fn *fn;
	void *arg;
};

static int on_rule(const struct nlmsghdr *h, void *arg)
{
	const struct rule_sink *sink = arg;
	const struct nfgenmsg *g = mnl_nlmsg_get_payload(h);
	const struct nlattr *tb[NFTA_RULE_MAX + 1];
	struct nft_rule_seen r = {.family = family_name(g->nfgen_family)};

	nl_attrs(h, sizeof *g, tb, NFTA_RULE_MAX);
	if (!tb[NFTA_RULE_TABLE] || !tb[NFTA_RULE_HANDLE] || !tb[NFTA_RULE_EXPRESSIONS])
		return MNL_CB_OK;
	r.table = mnl_attr_get_str(tb[NFTA_RULE_TABLE]);
	r.handle = be64toh(nl_u64(tb[NFTA_RULE_HANDLE]));
	r.exprs = tb[NFTA_RULE_EXPRESSIONS];
	find_counter(&r);
	sink->fn(sink->arg, &r);
	return MNL_CB_OK;
}

int nft_rules(nft_rule_fn *fn, void *arg)
{
	struct rule_sink sink = {fn, arg};

	return nft_talk(NFT_MSG_GETRULE, NLM_F_DUMP, on_rule, &sink);
}

/* ---- matches and targets of iptables ---- */

_Static_assert(NFTA_MATCH_NAME == (int)NFTA_TARGET_NAME && NFTA_MATCH_REV == (int)NFTA_TARGET_REV &&
                   NFTA_MATCH_INFO == (int)NFTA_TARGET_INFO,
               "matches and targets are laid out alike");

static void xt_add(struct xt_rule *r, bool target, const struct nlattr *data)
{
	const struct nlattr *tb[NFTA_MATCH_MAX + 1];
	struct xt_expr *x = VEC_ADD(r->exprs, r->count, r->cap);
	size_t len;

	nl_nested(data, tb, NFTA_MATCH_MAX);
	len = tb[NFTA_MATCH_INFO] ? mnl_attr_get_payload_len(tb[NFTA_MATCH_INFO]) : 0;
	if (len > XT_DATA_MAX)
		len = XT_DATA_MAX;
	x->target = target;
	x->revision = (uint8_t)ntohl(nl_u32(tb[NFTA_MATCH_REV]));
	x->len = (uint16_t)len;
	if (tb[NFTA_MATCH_NAME])
		str_copy(x->name, sizeof x->name, mnl_attr_get_str(tb[NFTA_MATCH_NAME]));
	if (len)
		x->data = memcpy(mem_array(len, 1), mnl_attr_get_payload(tb[NFTA_MATCH_INFO]), len);
}

static void on_xt_rule(void *arg, const struct nft_rule_seen *seen)
{
	struct xt_rules *out = arg;
	struct xt_rule r = {.handle = seen->handle};
	const struct nlattr *elem, *data;

	mnl_attr_for_each_nested(elem, seen->exprs)
	{
		const char *name = expr_open(elem, &data);

		if (strcmp(name, "match") == 0 || strcmp(name, "target") == 0)
			xt_add(&r, name[0] == 't', data);
	}
	if (r.count == 0 || out->count == XT_RULES_MAX)
		return;
	str_copy(r.family, sizeof r.family, seen->family);
	str_copy(r.table, sizeof r.table, seen->table);
	*VEC_ADD(out->items, out->count, out->cap) = r;
}

/* What is there twice after a second look does no harm: rules are found by their handles. */
int nft_read_xt(struct xt_rules *out)
{
	int failed = -1;

	for (int tries = 0; failed && tries < DUMP_TRIES; tries++) {
		failed = nft_rules(on_xt_rule, out);
		if (failed && errno != EINTR)
			break;
	}
	return failed;
}
