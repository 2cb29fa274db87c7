/* evidence_nat: addresses that are changed on the way, and tables that remember it. */
#include "collector/diagnose/inquiry.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static kind_mask kinds_routed(int family) { return kinds_of_family(family) & ~kinds_of_proto(PROTO_NEIGH); }

/* ---- time to live ---- */

static const struct flow_sent *expired(const struct inquiry *q, int family)
{
	for (size_t i = 0; i < q->d->flow_count; i++) {
		const struct flow *f = &q->d->flows[i];
		const struct flow_sent *s = dossier_sent(q->d, f->id);
		bool ours = f->dir == q->p->dir && kind_info((enum kind)f->kind)->family == family;
		if (ours && s && s->icmp_from.family && s->icmp_type == (family == 4 ? 11 : 3) && s->icmp_code == 0)
			return s;
	}
	return NULL;
}

static bool few_hops(const struct inquiry *q, int family, const char **name, int64_t *value)
{
	static char own[96];
	const struct snapshot *s = party_facts(q->d, q->who);
	snprintf(own, sizeof own, "net.ipv6.conf.%s.hop_limit", party_if(q->d, q->who));
	*name = family == 4 ? "net.ipv4.ip_default_ttl" : own;
	return s && snapshot_sysctl(s, *name, value) && *value < 16;
}

static void ttl_small(const struct inquiry *q, struct finding *f)
{
	char by[IP_TEXT_MAX];
	for (int family = 4; q->who == q->src && family <= 6; family += 2) {
		const char *name;
		int64_t value;
		if (!(dying(q) & kinds_of_family(family)) || !few_hops(q, family, &name, &value))
			continue;
		const struct flow_sent *s = expired(q, family);
		bindings_add(q->learned, "sysctl", "%s=64", name);
		find_yes(f, (kinds_of_family(family) & ~kinds_of_proto(PROTO_NEIGH)) | (f->is == TRI_YES ? f->kinds : 0),
		         "packets of %s may pass %lld routers (%s)%s%s", name_of(q, q->who), (long long)value - 1, name,
		         s ? "; time exceeded, says " : "", s ? ip_format(s->icmp_from, by) : "");
	}
	if (f->is != TRI_YES)
		find_no(f, "packets of %s may pass enough routers", name_of(q, q->who));
}

/* ---- a rule that sends it to somebody else ---- */

static struct fw_packet packet_of(const struct inquiry *q, int kind)
{
	const struct kind_info *info = kind_info((enum kind)kind);
	const struct flow *f = flow_of(q->d, kind, q->p->dir);
	struct fw_packet k = {.iif = "", .oif = "", .in_bridge = "", .out_bridge = ""};
	k.ethertype = info->family == 4 ? 0x0800 : 0x86dd;
	k.src = party_prefix(q->d, q->src, info->family).ip;
	k.dst = party_prefix(q->d, q->dst, info->family).ip;
	k.l4proto = info->proto == PROTO_UDP   ? IPPROTO_UDP
	            : info->proto == PROTO_TCP ? IPPROTO_TCP
	            : info->family == 4        ? IPPROTO_ICMP
	                                       : IPPROTO_ICMPV6;
	k.ct = FW_CT_NEW;
	k.length = (struct fw_span){28, 65535};
	if (f) {
		k.sport = (struct fw_span){f->id_base, f->id_base + (f->count ? f->count - 1u : 0)};
		k.dport = (struct fw_span){f->dport, f->dport};
	}
	return k;
}

static bool may_match(const struct fw_rule *r, const struct fw_packet *k)
{
	for (size_t i = 0; i < r->match_count; i++) {
		bool device = r->matches[i].field == FW_IIF || r->matches[i].field == FW_OIF;
		if (!device && firewall_match(&r->matches[i], k) == TRI_NO)
			return false;
	}
	return true;
}

/* "... dnat to 10.0.0.99:80": where to; family 0 = it does not say so. */
static struct ip dnat_target(const char *text, const char **at, size_t *len)
{
	static const char *const marks[] = {"dnat to ", "dnat ip to ", "dnat ip6 to ", "--to-destination "};
	struct ip ip = {0};
	char word[64];
	for (size_t i = 0; i < COUNT(marks); i++) {
		const char *found = strstr(text, marks[i]);
		if (!found)
			continue;
		*at = found + strlen(marks[i]);
		*len = strcspn(*at, " ;");
		bool six = memchr(*at, '[', *len) || (memchr(*at, ':', *len) && memchr(*at, ':', *len) != strrchr(*at, ':'));
		if (!six)
			*len = strcspn(*at, ": ;-");
		snprintf(word, sizeof word, "%.*s", (int)(*len < 63 ? *len : 63), *at);
		return ip_parse(word, &ip) == 0 ? ip : (struct ip){0};
	}
	return ip;
}

struct redirect {
	const struct fw_chain *chain;
	const struct fw_rule *rule;
	struct ip to;
	const char *at; /* of the address in the rule's text */
	size_t len;
};

static bool redirects(const struct snapshot *s, const struct fw_packet *k, struct redirect *out)
{
	for (size_t i = 0; s && i < s->chain_count; i++) {
		const struct fw_chain *c = &s->chains[i];
		for (size_t n = 0; n < c->rule_count; n++) {
			const struct fw_rule *r = &c->rules[n];
			*out = (struct redirect){.chain = c, .rule = r};
			out->to =
			    r->verdict == FW_NAT && may_match(r, k) ? dnat_target(r->text, &out->at, &out->len) : (struct ip){0};
			if (out->to.family && !ip_equal(out->to, k->dst))
				return true;
		}
	}
	return false;
}

static void redirect_bind(const struct inquiry *q, const struct redirect *r, struct ip right)
{
	char ip[IP_TEXT_MAX], old[IP_TEXT_MAX];
	const struct fw_chain *c = r->chain;
	bindings_add(q->learned, "component", "%s %s %s", c->family, c->table, c->name);
	bindings_add(q->learned, "map", "%s", ip_format(r->to, old));
	if (strlen(r->rule->text) + 1 >= sizeof r->rule->text || strchr(r->rule->text, '"'))
		bindings_add(q->learned, "wrong.rule", "%s %s %s handle %llu", c->family, c->table, c->name,
		             (unsigned long long)r->rule->handle);
	else
		bindings_add(q->learned, "right.rule", "%s %s %s handle %llu %.*s%s%s", c->family, c->table, c->name,
		             (unsigned long long)r->rule->handle, (int)(r->at - r->rule->text), r->rule->text, ip_format(right, ip),
		             r->at + r->len);
}

static void redirected(const struct inquiry *q, struct finding *f)
{
	const struct snapshot *s = q->who == q->src ? NULL : party_facts(q->d, q->who);
	kind_mask kinds = 0;
	struct redirect first = {0}, r;
	char to[IP_TEXT_MAX];
	for (int k = 0; s && k < KIND_COUNT; k++) {
		if (!(q->p->probes & KIND_BIT(k)) || kind_info((enum kind)k)->proto == PROTO_NEIGH)
			continue;
		struct fw_packet p = packet_of(q, k);
		if (!redirects(s, &p, &r))
			continue;
		first = first.rule ? first : r;
		kinds |= KIND_BIT(k);
	}
	if (!kinds) {
		find_no(f, "no rule of %s sends it to another address", name_of(q, q->who));
		return;
	}
	redirect_bind(q, &first, party_prefix(q->d, q->dst, first.to.family).ip);
	find_yes(f, kinds, "a rule of %s sends what is for %s to %s: %s %s %s: %s", name_of(q, q->who), name_of(q, q->dst),
	         ip_format(first.to, to), first.chain->family, first.chain->table, first.chain->name, first.rule->text);
}

/* ---- who is hidden behind another machine's address ---- */

static bool text_hides(const char *text) { return text && (strstr(text, "masquerade") || strstr(text, "snat")); }

/* What it sends to `out` goes by this rule: nothing of the rule is doubtful. */
static bool rule_hides(const struct fw_rule *r, const struct fw_packet *k)
{
	for (size_t i = 0; i < r->match_count; i++) {
		const struct fw_match *m = &r->matches[i];
		bool l4 = m->field == FW_L4PROTO || m->field == FW_SPORT || m->field == FW_DPORT;
		if (!l4 && m->field != FW_IIF && firewall_match(m, k) != TRI_YES)
			return false;
	}
	return r->verdict == FW_NAT && text_hides(r->text);
}

static const struct fw_chain *chain_hides(const struct snapshot *s, struct ip hidden, struct ip out, const char *oif)
{
	struct fw_packet k = {.ethertype = 0x0800, .src = hidden, .dst = out, .iif = "", .oif = oif, .ct = FW_CT_NEW};
	k.in_bridge = k.out_bridge = "";
	k.length = (struct fw_span){28, 65535};
	for (size_t i = 0; i < s->chain_count; i++) {
		const struct fw_chain *c = &s->chains[i];
		for (size_t n = 0; n < c->rule_count && (!strcmp(c->family, "ip") || !strcmp(c->family, "inet")); n++) {
			if (rule_hides(&c->rules[n], &k))
				return c;
		}
	}
	return NULL;
}

static bool has_network_of(const struct snapshot *s, struct ip ip)
{
	bool there = false;
	for (size_t i = 0; i < s->addr_count; i++)
		there |= prefix_contains(s->addrs[i].prefix, ip);
	return there && !snapshot_addr_of(s, ip);
}

static const struct fw_chain *hides(const struct snapshot *s, struct ip hidden, struct ip out)
{
	const struct route *way = s ? snapshot_route(s, out, hidden) : NULL;
	const struct link *oif = way ? snapshot_link(s, way->link) : NULL;
	if (!s || !has_network_of(s, hidden) || snapshot_addr_of(s, out))
		return NULL;
	return chain_hides(s, hidden, out, oif ? oif->name : "");
}

/* The machine on that address' own network whose rules hide it from `out`: its host before others; -1 = none. */
static int hider_of(const struct inquiry *q, struct ip hidden, struct ip out, const struct fw_chain **chain)
{
	int host = dossier_host(q->d, q->dst);
	*chain = hides(party_facts(q->d, host), hidden, out);
	if (*chain)
		return host;
	for (size_t i = 0; i < q->d->party_count; i++) {
		*chain = hides(party_facts(q->d, (int)i), hidden, out);
		if (*chain)
			return (int)i;
	}
	return -1;
}

/* It had a way of its own to that address: that it has none is no design. */
static bool had_own_way(const struct party *p, struct ip to)
{
	struct prefix dst;
	for (size_t i = 0; i < p->change_count; i++) {
		const struct fact_change *c = &p->changes[i];
		if (c->was && strncmp(c->was, "unicast ", 8) == 0 && fact_is_route(c->key, &dst) && dst.len &&
		    prefix_contains(dst, to))
			return true;
	}
	return false;
}

static void behind_nat_as_seen(const struct inquiry *q, struct finding *f, struct ip from, struct ip hidden)
{
	char seen[IP_TEXT_MAX], own[IP_TEXT_MAX];
	int nat = party_of_ip(q->d, from);
	if (nat == q->dst) { /* of several addresses the kernel takes one that is there */
		find_no(f, "%s sends with another address of its own, %s", name_of(q, q->dst), ip_format(from, seen));
		return;
	}
	if (dies_behind(q, nat)) {
		find_no(f, "it comes as far as %s, which changes the addresses", name_of(q, nat));
		return;
	}
	bindings_add(q->learned, "nat", "%s", nat >= 0 ? name_of(q, nat) : ip_format(from, seen));
	bindings_add(q->learned, "hidden", "%s", ip_format(hidden, own));
	find_yes(f, kinds_routed(4), "%s sees what %s sends as from %s, not from %s: its address is changed on the way (NAT)",
	         name_of(q, q->src), name_of(q, q->dst), ip_format(from, seen), ip_format(hidden, own));
}

/* The other side has seen its own address, and no other one. */
static bool seen_bare(const struct inquiry *q, struct ip hidden)
{
	bool bare = false;
	for (size_t i = 0; i < q->d->flow_count; i++) {
		const struct flow *f = &q->d->flows[i];
		const struct flow_received *r = f->dir != q->p->dir && f->src.family == 4 ? dossier_received(q->d, f->id) : NULL;
		if (!r || !r->seen || r->from.family != 4)
			continue;
		if (!ip_equal(r->from, hidden))
			return false;
		bare = true;
	}
	return bare;
}

/* Nothing of what it sends was seen outside, but who would hide it has the rule for that; and where what is for it dies, there is
 * no way to it. A default route leads to somebody who may know one. */
static void behind_nat_by_rules(const struct inquiry *q, struct finding *f, struct ip hidden)
{
	const struct fw_chain *chain = NULL;
	struct ip out = party_prefix(q->d, q->src, 4).ip;
	char own[IP_TEXT_MAX];
	int nat = hider_of(q, hidden, out, &chain), at = point_party(q->d, q->v, q->p->dir, q->p->after);
	const struct snapshot *s = party_facts(q->d, at);
	const struct route *way = s ? snapshot_route(s, hidden, out) : NULL;
	bool outside = point_party(q->d, q->v, q->p->dir, q->p->after + 1u) != at;
	if (nat < 0 || !s || dies_behind(q, nat) || seen_bare(q, hidden) || had_own_way(&q->d->party[at], hidden) ||
	    (way && (way->dst.len || !outside))) {
		find_no(f, "%s is seen with its own address", name_of(q, q->dst));
		return;
	}
	bindings_add(q->learned, "nat", "%s", name_of(q, nat));
	bindings_add(q->learned, "hidden", "%s", ip_format(hidden, own));
	find_yes(f, kinds_routed(4), "%s hides %s, the address of %s, behind its own (%s %s %s): nobody outside has a way to it",
	         name_of(q, nat), own, name_of(q, q->dst), chain->family, chain->table, chain->name);
	f->weak = way != NULL;
}

/* A port of that bridge is no guest's. */
static bool leads_out(const struct snapshot *s, const char *bridge)
{
	const struct link *over = s ? snapshot_link_named(s, bridge) : NULL;
	for (size_t i = 0; over && i < s->link_count; i++) {
		const struct link *l = &s->links[i];
		if (l->master == over->index && strcmp(l->kind, "tun") && strcmp(l->kind, "veth"))
			return true;
	}
	return !over;
}

/* Two hosts have networks of the same numbers, each its own, with no way out but through the host: one is not the other. */
static bool apart_alike(const struct inquiry *q, struct ip hidden, struct finding *f)
{
	const struct placement *far = &q->d->party[q->dst].at;
	const struct snapshot *near = party_facts(q->d, q->src), *s = party_facts(q->d, far->known ? far->host : -1);
	const struct fw_chain *chain = NULL;
	struct ip anybody = {0};
	char ip[IP_TEXT_MAX];
	ip_parse("198.51.100.1", &anybody); /* of no network that is in use */
	if (!s || !near || far->uplink[0] || leads_out(s, far->bridge) || dossier_host(q->d, q->src) == far->host ||
	    !has_network_of(near, hidden) || hider_of(q, hidden, anybody, &chain) != far->host)
		return false;
	bindings_add(q->learned, "nat", "%s", name_of(q, far->host));
	bindings_add(q->learned, "hidden", "%s", ip_format(hidden, ip));
	find_yes(f, kinds_of_family(4),
	         "%s is in a network of %s alone, behind its address (%s %s %s): it is not the one that %s has by the same numbers",
	         ip, name_of(q, far->host), chain->family, chain->table, chain->name, name_of(q, q->src));
	return true;
}

static void behind_nat(const struct inquiry *q, struct finding *f)
{
	struct ip from = seen_otherwise(q->d, q->src), hidden = party_prefix(q->d, q->dst, 4).ip;
	if (!q->p->placed || !(dying(q) & kinds_routed(4)))
		find_no(f, "it is not known where what is for %s dies", name_of(q, q->dst));
	else if (from.family)
		behind_nat_as_seen(q, f, from, hidden);
	else if (!apart_alike(q, hidden, f))
		behind_nat_by_rules(q, f, hidden);
}

/* ---- an address that should have been changed ---- */

static const struct fw_chain *hiding_chain(const struct snapshot *s)
{
	for (size_t i = 0; i < s->chain_count; i++) {
		const struct fw_chain *c = &s->chains[i];
		if (strcmp(c->type, "nat") == 0 && strcmp(c->hook, "postrouting") == 0 && strcmp(c->family, "ip") == 0)
			return c;
	}
	return NULL;
}

/* "firewall.ip.TABLE.CHAIN" that hid addresses until lately. */
static bool hid_before(const struct party *p, char table[64], char chain[64])
{
	for (size_t i = p->change_count; i-- > 0;) {
		const struct fact_change *c = &p->changes[i];
		if (strncmp(c->key, "firewall.ip.", 12) || !text_hides(c->was) || text_hides(c->now))
			continue;
		return sscanf(c->key + 12, "%63[^.].%63s", table, chain) == 2;
	}
	return false;
}

/* `who` routes for the machine whose address it is: its next hop is an address of `who`. */
static bool routes_for(const struct inquiry *q, int party, struct ip far)
{
	const struct snapshot *s = party_facts(q->d, party), *own = party_facts(q->d, q->who);
	const struct route *r = s ? snapshot_route(s, far, party_prefix(q->d, party, 4).ip) : NULL;
	return r && own && r->gateway.family && snapshot_addr_of(own, r->gateway);
}

static void hide_bind(const struct inquiry *q, const struct snapshot *s, struct prefix hidden)
{
	char table[64] = "bothways_nat", chain[64] = "postrouting", net[PREFIX_TEXT_MAX];
	const struct fw_chain *now = hiding_chain(s);
	hid_before(&q->d->party[q->who], table, chain);
	if (now) {
		snprintf(table, sizeof table, "%s", now->table);
		snprintf(chain, sizeof chain, "%s", now->name);
	} else {
		bindings_add(q->learned, "nat.make", "%s", table);
	}
	bindings_add(q->learned, "nat.table", "%s", table);
	bindings_add(q->learned, "nat.chain", "%s", chain);
	bindings_add(q->learned, "net", "%s", prefix_format(prefix_network(hidden), net));
	bindings_add(q->learned, "component", "ip %s %s", table, chain);
}

/* Where the rule was lately, a route of the far end that leads elsewhere is no way back either, nor is its own network of the same
 * numbers. */
static bool far_has_way(const struct inquiry *q, struct ip hidden, struct ip out, bool hid)
{
	const struct snapshot *far = party_facts(q->d, q->src), *own = party_facts(q->d, q->who);
	const struct route *r = snapshot_route(far, hidden, out);
	bool elsewhere = r && (r->gateway.family ? r->dst.len == 0 && !snapshot_addr_of(own, r->gateway) : !q->d->onlink);
	return r && !(hid && elsewhere);
}

/* What comes from behind `who` arrives with an address that the other side has no way to, and `who` is there to hide it. */
static void hiding_missing(const struct inquiry *q, struct finding *f)
{
	const struct snapshot *s = party_facts(q->d, q->who), *far = party_facts(q->d, q->src);
	struct prefix hidden = party_prefix(q->d, q->dst, 4);
	struct ip out = party_prefix(q->d, q->src, 4).ip;
	char table[64], chain[64], ip[IP_TEXT_MAX];
	if (!s || !far || !hidden.ip.family || !out.family || !(dying(q) & kinds_of_family(4)) || q->who == q->src ||
	    q->who == q->dst) {
		find_no(f, "%s hides nobody's address", name_of(q, q->who));
		return;
	}
	bool hid = hid_before(&q->d->party[q->who], table, chain);
	if (!(hid || hiding_chain(s)) || !routes_for(q, q->dst, out) || far_has_way(q, hidden.ip, out, hid) ||
	    !seen_bare(q, hidden.ip)) {
		find_no(f, "%s is not there to hide the address of %s, or it needs not be hidden", name_of(q, q->who),
		        name_of(q, q->dst));
		return;
	}
	hide_bind(q, s, hidden);
	find_yes(f, kinds_routed(4),
	         "%s lets %s out with its own address %s, to which %s has no way; nothing on %s translates it%s",
	         name_of(q, q->who), name_of(q, q->dst), ip_format(hidden.ip, ip), name_of(q, q->src), name_of(q, q->who),
	         hid ? " any more" : "");
}

static void hiding_missing_somewhere(const struct inquiry *q, struct finding *f)
{
	struct bindings unused = {0};
	struct inquiry at = *q;
	at.learned = &unused;
	for (size_t i = 0; f->is != TRI_YES && i < q->d->party_count; i++) {
		at.who = (int)i;
		hiding_missing(&at, f);
	}
	bindings_free(&unused);
}

/* ---- the table of connections ---- */

static bool touches(const struct inquiry *q)
{
	for (size_t i = q->p->after; q->p->placed && i <= q->p->before; i++) {
		if (point_party(q->d, q->v, q->p->dir, i) == q->who)
			return true;
	}
	return !q->p->placed && (q->who == q->src || q->who == q->dst);
}

static int64_t grown(const struct party *p, const char *name)
{
	int64_t was, now;
	bool both = p->before && p->after && snapshot_counter(p->before, name, &was) && snapshot_counter(p->after, name, &now);
	return both && now > was ? now - was : 0;
}

static void table_full(const struct inquiry *q, struct finding *f)
{
	const struct snapshot *s = touches(q) ? party_facts(q->d, q->who) : NULL;
	const struct party *p = &q->d->party[q->who];
	int64_t count = 0, max = 0, lost = grown(p, "conntrack.drop");
	if (!s || !snapshot_counter(s, "net.netfilter.nf_conntrack_count", &count) ||
	    !snapshot_sysctl(s, "net.netfilter.nf_conntrack_max", &max) || max <= 0) {
		find_no(f, "%s tracks no connections on this way", name_of(q, q->who));
		return;
	}
	if (count * 100 < max * 98 && !(lost && count * 100 >= max * 90)) {
		find_no(f, "the connection table of %s has room (%lld of %lld)", name_of(q, q->who), (long long)count,
		        (long long)max);
		return;
	}
	bindings_add(q->learned, "sysctl", "net.netfilter.nf_conntrack_max=%lld", (long long)max * 2);
	bindings_add(q->learned, "component", "%s", "nf_conntrack");
	find_yes(f, dying(q) & ~kinds_of_proto(PROTO_NEIGH),
	         "the connection table of %s is full: %lld of %lld, and %lld packets dropped meanwhile", name_of(q, q->who),
	         (long long)count, (long long)max, (long long)lost);
}

static void ports_used_up(const struct inquiry *q, struct finding *f)
{
	const struct snapshot *s = touches(q) ? party_facts(q->d, q->who) : NULL;
	int64_t failed = grown(&q->d->party[q->who], "conntrack.insert_failed"),
	        lost = grown(&q->d->party[q->who], "conntrack.drop");
	const struct fw_chain *c = s ? hiding_chain(s) : NULL;
	kind_mask ports = dying(q) & (kinds_of_proto(PROTO_UDP) | kinds_of_proto(PROTO_TCP));
	if (!c || !(failed || lost) || !ports) {
		find_no(f, "%s does not run out of ports for the addresses it hides", name_of(q, q->who));
		return;
	}
	bindings_add(q->learned, "component", "%s %s %s", c->family, c->table, c->name);
	find_yes(f, ports, "%s hides addresses behind its own (%s %s %s), and %lld connections found no free port meanwhile",
	         name_of(q, q->who), c->family, c->table, c->name, (long long)(failed ? failed : lost));
}

static const struct evidence items[] = {
    {"behind-nat", behind_nat, "addresses seen, firewall rules, routes",
     "the machine it is for is known outside by another machine's address only"},
    {"redirected", redirected, "firewall rules", "a rule of the machine sends it to another address than it is for"},
    {"hiding-missing", hiding_missing, "firewall rules, history, routes",
     "the machine should hide the address of who is behind it, and does not"},
    {"hiding-missing-somewhere", hiding_missing_somewhere, "firewall rules, history, routes",
     "a machine on the way should hide the address of who is behind it, and does not"},
    {"table-full", table_full, "counters, sysctl", "the machine's connection table is full"},
    {"ports-used-up", ports_used_up, "counters, firewall rules",
     "the machine hides addresses behind its own and finds no free port"},
    {"ttl-small", ttl_small, "sysctl, ICMP errors", "the sender's packets may pass hardly any router"},
};
const struct evidence_table evidence_nat = {items, COUNT(items)};
