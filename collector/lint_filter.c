/* Checks of filters: rules are evaluated for packets that nobody has sent. */
#include "collector/diagnose/firewall.h"
#include "collector/lint_parts.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define ETH_IP4       0x0800
#define TCP_SYN       0x02
#define DECISIONS_MAX 8

/* ---- conversations that one side only can begin ---- */

/* Ports of common services and one of none: a filter that stops all of them stops beginnings as such. */
static const uint16_t PORTS[] = {22, 80, 443, 3306, 8080, 40000};
#define PORT_COUNT (sizeof PORTS / sizeof *PORTS)

struct way {
	const struct member *from, *to;
	const struct endpoint *ep_from, *ep_to;
};

static struct way way_of(const struct lint_pair *p, int from)
{
	return (struct way){p->end[from], p->end[1 - from], p->ep[from], p->ep[1 - from]};
}

static struct fw_packet first_packet(const struct way *w, uint16_t port)
{
	return (struct fw_packet){.ethertype = ETH_IP4,
	                          .l4proto = IPPROTO_TCP,
	                          .src = w->ep_from->ip4.ip,
	                          .dst = w->ep_to->ip4.ip,
	                          .sport = {1024, 65535},
	                          .dport = {port, port},
	                          .tcp_flags = TCP_SYN,
	                          .ct = FW_CT_NEW,
	                          .length = {40, 80},
	                          .iif = "",
	                          .oif = "",
	                          .in_bridge = "",
	                          .out_bridge = ""};
}

/* What the machine does with it at that hook; false = it passes there for certain. */
static bool stops_at(const struct member *m, const char *hook, const struct fw_packet *k, struct fw_decision *out, bool *sure)
{
	struct fw_decision all[DECISIONS_MAX];
	size_t n = firewall_decide(m->snapshot, FW_LAYER_IP, hook, "", k, all, DECISIONS_MAX);
	for (size_t i = 0; i < n; i++)
		if (all[i].outcome != FW_PASSES) {
			*out = all[i];
			*sure = all[i].outcome == FW_STOPS && !all[i].random;
			return true;
		}
	return false;
}

enum start { START_FREE, START_STOPPED, START_UNSURE };

/* Can conversations begin that way? Stopped: at `at`, by `why`, whatever the port. */
static enum start start_of(const struct way *w, const struct member **at, struct fw_decision *why)
{
	size_t stopped = 0;
	for (size_t i = 0; i < PORT_COUNT; i++) {
		struct fw_packet k = first_packet(w, PORTS[i]);
		bool sure = true;
		k.oif = w->ep_from->ifname;
		*at = w->from;
		bool stops = stops_at(w->from, "output", &k, why, &sure);
		k.oif = "";
		k.iif = w->ep_to->ifname;
		if (!stops) {
			*at = w->to;
			stops = stops_at(w->to, "input", &k, why, &sure);
		}
		if (stops && !sure)
			return START_UNSURE;
		stopped += stops;
	}
	return !stopped ? START_FREE : stopped == PORT_COUNT ? START_STOPPED : START_UNSURE;
}

static void one_way_tell(struct lint *l, const struct lint_check *check, const struct way *w, const struct member *at,
                         const struct fw_decision *why)
{
	char text[160];
	snprintf(text, sizeof text, "%s %s %s", why->chain->family, why->chain->table, why->chain->name);
	struct finding *f = lint_add(l, check, at, text);
	if (!f)
		return;
	bool sender = at == w->from;
	f->other = sender ? w->to : w->from;
	finding_say(
	    f,
	    "%s cannot begin a TCP connection to %s, but %s can to %s: a filter of %s stops it. Pings and probes do not show it.",
	    "%s 无法向 %s 发起 TCP 连接，而 %s 可以向 %s 发起：被 %s 的过滤规则阻止。ping 和探测看不出来。", lint_name(l, w->from),
	    lint_name(l, w->to), lint_name(l, w->to), lint_name(l, w->from), lint_name(l, at));
	char rule[400];
	finding_evidence(f, "%s", firewall_text(why, rule, sizeof rule));
	finding_fix(f, at, "nft insert rule %s %s %s %s \"%s\" meta l4proto tcp accept", why->chain->family, why->chain->table,
	            why->chain->name, sender ? "oifname" : "iifname", sender ? w->ep_from->ifname : w->ep_to->ifname);
}

static void filter_one_way(struct lint *l, const struct lint_check *check)
{
	struct lint_pair p;
	for (uint32_t n = 0; lint_next_pair(l, &n, &p);) {
		const struct member *at[2];
		struct fw_decision why[2];
		bool read = p.end[0]->snapshot->firewall_known == FW_READ && p.end[1]->snapshot->firewall_known == FW_READ;
		if (p.end[0]->kind != p.end[1]->kind || !read || !p.ep[0]->ip4.ip.family || !p.ep[1]->ip4.ip.family)
			continue; /* that guests may not call their hosts is as it should be */
		struct way there = way_of(&p, 0), back = way_of(&p, 1);
		enum start a = start_of(&there, &at[0], &why[0]), b = start_of(&back, &at[1], &why[1]);
		if (a == START_STOPPED && b == START_FREE)
			one_way_tell(l, check, &there, at[0], &why[0]);
		else if (b == START_STOPPED && a == START_FREE)
			one_way_tell(l, check, &back, at[1], &why[1]);
	}
}

/* ---- bridged packets in front of the host's own filter ---- */

static const struct {
	const char *sysctl, *families[2];
} CALLS[] = {{"net.bridge.bridge-nf-call-iptables", {"ip", "inet"}}, {"net.bridge.bridge-nf-call-ip6tables", {"ip6", "inet"}}};

static bool is_of(const struct fw_chain *c, const char *const families[2])
{
	return strcmp(c->family, families[0]) == 0 || strcmp(c->family, families[1]) == 0;
}

static bool has_ports(const struct snapshot *s)
{
	size_t ports = 0;
	for (size_t i = 0; i < s->link_count; i++)
		ports += lint_bridge_of(s, &s->links[i]) != NULL;
	return ports >= 2;
}

static void bridge_nf_of(struct lint *l, const struct lint_check *check, const struct member *m, const struct fw_chain *c,
                         size_t call)
{
	int64_t on = 0;
	char component[160];
	if (strcmp(c->hook, "forward") != 0 || c->policy != FW_DROP || !is_of(c, CALLS[call].families) ||
	    !snapshot_sysctl(m->snapshot, CALLS[call].sysctl, &on) || !on || !has_ports(m->snapshot))
		return;
	snprintf(component, sizeof component, "%s %s %s", c->family, c->table, c->name);
	struct finding *f = lint_add(l, check, m, component);
	if (!f)
		return;
	finding_say(f,
	            "%s shows bridged packets to its own filter, and chain %s drops what no rule lets through: each new guest "
	            "wants a rule there.",
	            "%s 会把桥接报文交给自身的过滤规则，而链 %s 丢弃未放行的报文：每台新虚拟机都需要在此加规则。", lint_name(l, m),
	            component);
	finding_evidence(f, "%s = 1", CALLS[call].sysctl);
	finding_evidence(f, "%s: policy drop", component);
	finding_fix(f, m, "sysctl -w %s=0", CALLS[call].sysctl);
}

static void bridge_nf_forward(struct lint *l, const struct lint_check *check)
{
	const struct member *m;
	for (size_t at = 0; (m = lint_next(l, &at));)
		for (size_t i = 0; m->kind == AGENT_HOST && i < m->snapshot->chain_count; i++)
			for (size_t k = 0; k < sizeof CALLS / sizeof *CALLS; k++)
				bridge_nf_of(l, check, m, &m->snapshot->chains[i], k);
}

const struct lint_check LINT_FILTER[] = {
    {"filter-one-way",
     LINT_NOTE,
     filter_one_way,
     "rulesets of both ends",
     {"Only one side can begin a conversation", "仅一方可以发起会话"},
     {"Rules of one end stop every TCP connection from the other but not the other way; between guests, or between hosts.",
      "一端的规则阻止对方发起的全部 TCP 连接，反向则不阻止；仅比较虚拟机之间或主机之间。"},
     "nft(8)"},
    {"bridge-nf-forward-drop",
     LINT_WARNING,
     bridge_nf_forward,
     "bridge-nf-call, forward chains",
     {"Bridged packets pass a forward chain that drops", "桥接报文经过默认丢弃的 forward 链"},
     {"bridge-nf-call is on and a forward chain's policy is drop, on a host with bridges.",
      "启用了 bridge-nf-call，且主机上 forward 链默认策略为丢弃。"},
     "Linux Documentation/networking/ip-sysctl.rst, bridge-nf-call"},
};
const size_t LINT_FILTER_COUNT = sizeof LINT_FILTER / sizeof *LINT_FILTER;
