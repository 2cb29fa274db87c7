/* Checks of translated addresses: published ones that do not work from inside. */
#include "collector/diagnose/firewall.h"
#include "collector/lint_parts.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define ETH_IP4 0x0800

/* "... dnat to 10.0.0.99:80", "--to-destination 10.0.0.99:80": IPv4; family 0 = no such thing. */
static struct ip published_for(const struct fw_rule *r)
{
	static const char *const marks[] = {"dnat to ", "dnat ip to ", "--to-destination "};
	struct ip ip = {0};
	char word[IP_TEXT_MAX];
	for (size_t i = 0; r->verdict == FW_NAT && i < sizeof marks / sizeof *marks; i++) {
		const char *at = strstr(r->text, marks[i]);
		if (!at)
			continue;
		at += strlen(marks[i]);
		snprintf(word, sizeof word, "%.*s", (int)strcspn(at, " :;,-"), at);
		return ip_parse(word, &ip) == 0 && ip.family == 4 ? ip : (struct ip){0};
	}
	return ip;
}

/* A TCP packet from the network of `a` that the machine sends back into it; `dst` as the rules see it. */
static struct fw_packet turned_back(const struct addr *a, const struct link *l, struct ip dst)
{
	struct ip src = a->prefix.ip;
	src.b[3] ^= 1;
	return (struct fw_packet){.ethertype = ETH_IP4,
	                          .l4proto = IPPROTO_TCP,
	                          .src = src,
	                          .dst = dst,
	                          .sport = {1024, 65535},
	                          .dport = {1, 65535},
	                          .ct = FW_CT_NEW,
	                          .length = {40, 80},
	                          .iif = l->name,
	                          .oif = l->name,
	                          .in_bridge = "",
	                          .out_bridge = ""};
}

/* But for where it goes: that is the published address, whichever it is. */
static bool takes_from_inside(const struct fw_rule *r, const struct fw_packet *k)
{
	for (size_t i = 0; i < r->match_count; i++)
		if (r->matches[i].field != FW_DADDR && firewall_match(&r->matches[i], k) == TRI_NO)
			return false;
	return true;
}

/* Of its state only the rules know: this one was rewritten before. */
static bool may_hide(const struct fw_rule *r, const struct fw_packet *k)
{
	if (r->verdict != FW_NAT ||
	    !(strstr(r->text, "masquerade") || strstr(r->text, "MASQUERADE") || strcasestr(r->text, "snat")))
		return false;
	for (size_t i = 0; i < r->match_count; i++)
		if (r->matches[i].field != FW_CT_STATE && firewall_match(&r->matches[i], k) == TRI_NO)
			return false;
	return true;
}

static bool is_hidden(const struct snapshot *s, const struct fw_packet *k)
{
	for (size_t i = 0; i < s->chain_count; i++)
		for (size_t n = 0; n < s->chains[i].rule_count; n++)
			if (may_hide(&s->chains[i].rules[n], k))
				return true;
	return false;
}

static void hairpin_of(struct lint *l, const struct lint_check *check, const struct member *m, const struct fw_rule *r)
{
	const struct snapshot *s = m->snapshot;
	struct ip to = published_for(r);
	for (size_t i = 0; to.family && !snapshot_addr_of(s, to) && i < s->addr_count; i++) {
		const struct addr *a = &s->addrs[i];
		const struct link *in = a->prefix.len < 31 && prefix_contains(a->prefix, to) ? snapshot_link(s, a->link) : NULL;
		struct fw_packet k = in ? turned_back(a, in, to) : (struct fw_packet){0};
		if (!in || !takes_from_inside(r, &k) || is_hidden(s, &k))
			continue;
		const char *net = lint_prefix(prefix_network(a->prefix));
		struct finding *f = lint_add(l, check, m, lint_ip(to));
		if (!f)
			return;
		finding_say(
		    f,
		    "%s sends connections from %s to a published address back to %s in the same network and does not hide who "
		    "asks: the answer goes there directly, from an address that was not asked.",
		    "%s 把 %s 访问已发布地址的连接转回同一网络中的 %s，却不隐藏请求方：应答会直接返回，来源不是被访问的地址。",
		    lint_name(l, m), net, lint_ip(to));
		finding_evidence(f, "%s", r->text);
		finding_fix(f, m,
		            "nft 'table ip hairpin { chain p { type nat hook postrouting priority srcnat; ip saddr %s ip daddr %s "
		            "masquerade; }; }'",
		            net, lint_ip(to));
		return;
	}
}

static void nat_hairpin(struct lint *l, const struct lint_check *check)
{
	const struct member *m;
	for (size_t at = 0; (m = lint_next(l, &at));) {
		int64_t on = 0;
		bool routes = snapshot_sysctl(m->snapshot, "net.ipv4.ip_forward", &on) && on;
		for (size_t i = 0; routes && m->snapshot->firewall_known == FW_READ && i < m->snapshot->chain_count; i++)
			for (size_t n = 0; n < m->snapshot->chains[i].rule_count; n++)
				hairpin_of(l, check, m, &m->snapshot->chains[i].rules[n]);
	}
}

const struct lint_check LINT_NAT[] = {
    {"nat-hairpin",
     LINT_NOTE,
     nat_hairpin,
     "rulesets, addresses, ip_forward",
     {"A published address does not work from inside", "已发布的地址无法从内部访问"},
     {"A rule changes the destination to a machine of the network the packet came from, and none changes the source.",
      "规则把目的地址改为来源网络中的机器，而没有规则改变源地址。"},
     "RFC 4787 section 6, nft(8)"},
};
const size_t LINT_NAT_COUNT = sizeof LINT_NAT / sizeof *LINT_NAT;
