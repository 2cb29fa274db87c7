/* firewall: walks base chains by priority, with jump, goto and return. A rule that may or may not match is followed both
 * ways, so the result is the set of what can happen; only when nothing but a stop can happen is it one. */
#include "collector/diagnose/firewall.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX   16 /* as the kernel's jump stack */
#define STEPS_MAX   20000
#define BASES_MAX   64
#define LIMIT_TIGHT 6 /* packets in a second */

#define ETH_IP4 0x0800
#define ETH_IP6 0x86dd
#define ETH_ARP 0x0806

/* ---- matches ---- */

static enum tri tri_of(bool b) { return b ? TRI_YES : TRI_NO; }
static int packet_family(const struct fw_packet *p) { return p->ethertype == ETH_IP4 ? 4 : p->ethertype == ETH_IP6 ? 6 : 0; }
static bool packet_has_ports(const struct fw_packet *p)
{
	return packet_family(p) && (p->l4proto == IPPROTO_TCP || p->l4proto == IPPROTO_UDP);
}

static enum tri span_in(struct fw_span s, const struct fw_value *v)
{
	if (s.lo >= v->lo && s.hi <= v->hi)
		return TRI_YES;
	return s.hi < v->lo || s.lo > v->hi ? TRI_NO : TRI_UNKNOWN;
}

static enum tri number_in(uint64_t n, const struct fw_value *v) { return tri_of(n >= v->lo && n <= v->hi); }

static enum tri ip_in(struct ip a, const struct fw_value *v)
{
	if (a.family == 0 || v->prefix.ip.family != a.family)
		return TRI_NO;
	if (v->range_end.family)
		return tri_of(ip_cmp(a, v->prefix.ip) >= 0 && ip_cmp(a, v->range_end) <= 0);
	return tri_of(prefix_contains(v->prefix, a));
}

static enum tri name_in(const char *name, const struct fw_value *v)
{
	size_t len = strlen(v->text);
	if (!name || !name[0])
		return TRI_NO;
	if (len && v->text[len - 1] == '*')
		return tri_of(strncmp(name, v->text, len - 1) == 0);
	return tri_of(strcmp(name, v->text) == 0);
}

static enum tri mac_in(struct mac m, const struct fw_value *v)
{
	return mac_is_set(m) ? tri_of(mac_equal(m, v->mac)) : TRI_UNKNOWN;
}

static enum tri state_in(uint8_t ct, const struct fw_value *v) { return ct ? tri_of((v->lo & ct) != 0) : TRI_UNKNOWN; }
static enum tri never_known(void) { return TRI_UNKNOWN; }

static enum tri value_matches(uint8_t field, const struct fw_packet *p, const struct fw_value *v)
{
	static const struct ip none = {.family = 4};
	switch (field) {
	case FW_ETHERTYPE: return number_in(p->ethertype, v);
	case FW_NFPROTO: return number_in(packet_family(p) == 4 ? 2 : packet_family(p) == 6 ? 10 : 3, v);
	case FW_L4PROTO: return number_in(p->l4proto, v);
	case FW_IIF: return name_in(p->iif, v);
	case FW_OIF: return name_in(p->oif, v);
	case FW_IN_BRIDGE: return name_in(p->in_bridge, v);
	case FW_OUT_BRIDGE: return name_in(p->out_bridge, v);
	case FW_SADDR: return ip_in(p->src, v);
	case FW_DADDR: return ip_in(p->dst, v);
	case FW_ARP_SPA: return ip_in(p->src.family ? p->src : none, v);
	case FW_ARP_TPA: return ip_in(p->dst, v);
	case FW_ETH_SADDR:
	case FW_ARP_SHA: return mac_in(p->eth_src, v);
	case FW_ETH_DADDR: return mac_in(p->eth_dst, v);
	case FW_SPORT: return span_in(p->sport, v);
	case FW_DPORT: return span_in(p->dport, v);
	case FW_ICMP_TYPE:
	case FW_ICMP6_TYPE: return number_in(p->icmp_type, v);
	case FW_ARP_OP: return number_in(p->arp_op, v);
	case FW_CT_STATE: return state_in(p->ct, v);
	case FW_PKT_LENGTH: return span_in(p->length, v);
	case FW_TCP_FLAGS: return tri_of((p->tcp_flags & v->hi) == v->lo);
	case FW_FRAG_OFF: return v->lo == 0 && v->hi == 0 ? TRI_YES : TRI_UNKNOWN; /* never a fragment */
	default: return never_known();
	}
}

static bool values_of_family(const struct fw_match *m, int family)
{
	for (size_t i = 0; i < m->value_count; i++) {
		if (m->values[i].prefix.ip.family == family)
			return true;
	}
	return m->value_count == 0;
}

/* A match on a header that the packet does not have fails, negated or not. */
static bool header_is_there(const struct fw_match *m, const struct fw_packet *p)
{
	switch (m->field) {
	case FW_SADDR:
	case FW_DADDR: return packet_family(p) && values_of_family(m, packet_family(p));
	case FW_L4PROTO: return packet_family(p) != 0;
	case FW_SPORT:
	case FW_DPORT: return packet_has_ports(p);
	case FW_ICMP_TYPE: return packet_family(p) == 4 && p->l4proto == IPPROTO_ICMP;
	case FW_ICMP6_TYPE: return packet_family(p) == 6 && p->l4proto == IPPROTO_ICMPV6;
	case FW_TCP_FLAGS: return packet_family(p) && p->l4proto == IPPROTO_TCP;
	case FW_ARP_OP:
	case FW_ARP_SPA:
	case FW_ARP_TPA:
	case FW_ARP_SHA: return p->ethertype == ETH_ARP;
	case FW_FRAG_OFF:
	case FW_PKT_LENGTH: return packet_family(p) != 0;
	default: return true;
	}
}

/* A limit so low that most of what a round sends is beyond it. */
static enum tri limit_matches(const struct fw_match *m)
{
	if (m->value_count == 0 || m->values[0].lo == 0 || m->values[0].lo > LIMIT_TIGHT)
		return TRI_UNKNOWN;
	return tri_of(m->negate);
}

enum tri firewall_match(const struct fw_match *m, const struct fw_packet *p)
{
	enum tri any = TRI_NO;
	if (m->field == FW_RANDOM)
		return limit_matches(m);
	if (!header_is_there(m, p))
		return TRI_NO;
	if (m->value_count == 0)
		return TRI_UNKNOWN;
	for (size_t i = 0; i < m->value_count && any != TRI_YES; i++) {
		enum tri one = value_matches(m->field, p, &m->values[i]);
		any = one == TRI_NO ? any : one;
	}
	if (any == TRI_UNKNOWN || !m->negate)
		return any;
	return any == TRI_YES ? TRI_NO : TRI_YES;
}

/* ---- walking ---- */

struct walk {
	const struct snapshot *s;
	const struct fw_packet *p;
	unsigned steps;
	bool accept, stop, reject;
	bool random;                  /* a rule that applies to some packets only had a say */
	const struct fw_chain *chain; /* of the first rule that stops */
	const struct fw_rule *rule;
};

/* Whether a rule applies; *random when that is left to chance by design. */
static enum tri rule_matches(const struct fw_rule *r, const struct fw_packet *p, bool *random)
{
	enum tri all = TRI_YES;
	*random = false;
	for (size_t i = 0; i < r->match_count; i++) {
		enum tri one = firewall_match(&r->matches[i], p);
		if (one == TRI_NO)
			return TRI_NO;
		if (one == TRI_UNKNOWN)
			all = TRI_UNKNOWN;
		*random |= r->matches[i].field == FW_RANDOM && one == TRI_UNKNOWN;
	}
	return all;
}

static const struct fw_chain *chain_find(const struct snapshot *s, const struct fw_chain *near, const char *name)
{
	for (size_t i = 0; i < s->chain_count; i++) {
		const struct fw_chain *c = &s->chains[i];
		if (strcmp(c->family, near->family) == 0 && strcmp(c->table, near->table) == 0 && strcmp(c->name, name) == 0)
			return c;
	}
	return NULL;
}

static void walk_stop(struct walk *w, const struct fw_chain *c, const struct fw_rule *r, bool reject)
{
	if (!w->stop) {
		w->chain = c;
		w->rule = r;
		w->reject = reject;
	}
	w->stop = true;
}

static bool walk_chain(struct walk *w, const struct fw_chain *c, int depth);

/* Follows a rule that applies. True: evaluation may go on behind it. */
static bool walk_verdict(struct walk *w, const struct fw_chain *c, const struct fw_rule *r, int depth, bool *returned)
{
	const struct fw_chain *to;
	switch (r->verdict) {
	case FW_NONE: return true;
	case FW_ACCEPT: w->accept = true; return false;
	case FW_DROP:
	case FW_REJECT: walk_stop(w, c, r, r->verdict == FW_REJECT); return false;
	case FW_RETURN: *returned = true; return false;
	case FW_NAT: w->accept = true; return false;
	case FW_JUMP:
	case FW_GOTO:
		to = depth < DEPTH_MAX ? chain_find(w->s, c, r->target) : NULL;
		if (!to)
			return true;
		if (!walk_chain(w, to, depth + 1))
			return false;
		*returned = r->verdict == FW_GOTO;
		return r->verdict == FW_JUMP;
	default: /* a queue, a verdict map: anything may happen */
		w->accept = true;
		walk_stop(w, c, r, false);
		return true;
	}
}

/* True: the packet may come out at the end of the chain (or by return). */
static bool walk_chain(struct walk *w, const struct fw_chain *c, int depth)
{
	bool out = false;
	for (size_t i = 0; i < c->rule_count && w->steps < STEPS_MAX; i++, w->steps++) {
		bool random, returned = false;
		enum tri m = rule_matches(&c->rules[i], w->p, &random);
		if (m == TRI_NO)
			continue;
		w->random |= random;
		bool on = walk_verdict(w, c, &c->rules[i], depth, &returned);
		out |= returned;
		if (!on && m == TRI_YES)
			return out;
	}
	return true;
}

static struct fw_decision decide(const struct snapshot *s, const struct fw_chain *base, const struct fw_packet *p)
{
	struct walk w = {.s = s, .p = p};
	if (walk_chain(&w, base, 0)) {
		if (base->policy == FW_DROP)
			walk_stop(&w, base, NULL, false);
		else
			w.accept = true;
	}
	struct fw_decision d = {.base = base, .chain = w.chain, .rule = w.rule, .reject = w.reject, .random = w.random};
	if (w.steps >= STEPS_MAX)
		d.outcome = w.stop ? FW_MAY_STOP : FW_PASSES;
	else
		d.outcome = !w.stop ? FW_PASSES : w.accept ? FW_MAY_STOP : FW_STOPS;
	return d;
}

/* ---- base chains ---- */

static bool family_fits(const struct fw_chain *c, enum fw_layer layer, const struct fw_packet *p)
{
	if (layer == FW_LAYER_BRIDGE)
		return strcmp(c->family, "bridge") == 0;
	if (layer == FW_LAYER_NETDEV)
		return strcmp(c->family, "netdev") == 0 || strcmp(c->family, "inet") == 0;
	if (p->ethertype == ETH_ARP)
		return strcmp(c->family, "arp") == 0;
	return strcmp(c->family, "inet") == 0 || strcmp(c->family, packet_family(p) == 6 ? "ip6" : "ip") == 0;
}

static bool chain_fits(const struct fw_chain *c, enum fw_layer layer, const char *hook, const char *device,
                       const struct fw_packet *p)
{
	if (!c->hook[0] || strcmp(c->hook, hook) != 0 || !family_fits(c, layer, p))
		return false;
	return layer != FW_LAYER_NETDEV || (device && strcmp(c->device, device) == 0);
}

static int priority_cmp(const void *a, const void *b)
{
	const struct fw_chain *x = *(const struct fw_chain *const *)a, *y = *(const struct fw_chain *const *)b;
	return (x->priority > y->priority) - (x->priority < y->priority);
}

size_t firewall_decide(const struct snapshot *s, enum fw_layer layer, const char *hook, const char *device,
                       const struct fw_packet *p, struct fw_decision *out, size_t max)
{
	const struct fw_chain *bases[BASES_MAX];
	size_t count = 0, n = 0;
	for (size_t i = 0; i < s->chain_count && count < BASES_MAX; i++) {
		if (chain_fits(&s->chains[i], layer, hook, device, p))
			bases[count++] = &s->chains[i];
	}
	qsort(bases, count, sizeof *bases, priority_cmp);
	for (size_t i = 0; i < count && n < max; i++) {
		out[n] = decide(s, bases[i], p);
		n += out[n].outcome != FW_PASSES;
	}
	return n;
}

const char *firewall_text(const struct fw_decision *d, char *out, size_t size)
{
	const struct fw_chain *c = d->chain ? d->chain : d->base;
	snprintf(out, size, "%s %s %s: %s", c->family, c->table, c->name, d->rule ? d->rule->text : "policy drop");
	return out;
}
