/* evidence_mtu: errors about size that nobody hears, what a tunnel wraps around packets, fragments that a filter drops. */
#include "collector/diagnose/inquiry.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* ---- errors about size ---- */

static struct fw_packet size_error(const struct inquiry *q, int family, struct ip from)
{
	struct fw_packet k = {.iif = "", .oif = "", .in_bridge = "", .out_bridge = ""};
	k.ethertype = family == 4 ? 0x0800 : 0x86dd;
	k.l4proto = family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	k.icmp_type = family == 4 ? 3 : 2;
	k.src = from;
	k.dst = party_prefix(q->d, q->src, family).ip;
	k.ct = FW_CT_RELATED;
	k.length = (struct fw_span){68, 1280};
	return k;
}

/* Did the sender hear of it? */
static bool error_heard(const struct inquiry *q, int family)
{
	for (size_t i = 0; i < q->d->flow_count; i++) {
		const struct flow *f = &q->d->flows[i];
		const struct flow_sent *s = f->dir == q->p->dir ? dossier_sent(q->d, f->id) : NULL;
		bool told =
		    s && s->icmp_mtu && s->icmp_from.family && !ip_equal(s->icmp_from, f->src); /* not by itself, of the past */
		if (told && kind_info((enum kind)f->kind)->family == family)
			return true;
	}
	return false;
}

static bool size_dropped_by(const struct inquiry *q, int party)
{
	const struct round_result *r = q->d->party[party].result;
	for (size_t i = 0; r && i < r->drops_count; i++) {
		const struct flow_drop *d = &r->drops[i];
		if (strcmp(d->reason, "PKT_TOO_BIG") == 0 && problem_row_kind(q->d, q->p, d->flow, d->part, d->seqs) >= 0)
			return true;
	}
	return false;
}

/* The router that drops it for its size. */
static int size_router(const struct inquiry *q)
{
	for (size_t i = 0; i < q->d->party_count; i++) {
		if ((int)i != q->src && (int)i != q->dst && size_dropped_by(q, (int)i))
			return (int)i;
	}
	return -1;
}

static struct ip some_ip(const struct snapshot *s, int family, struct ip near)
{
	struct ip found = {0};
	for (size_t i = 0; s && i < s->addr_count; i++) {
		struct prefix p = s->addrs[i].prefix;
		if (p.ip.family == family && prefix_contains(p, near))
			return p.ip;
		if (p.ip.family == family && !ip_is_loopback(p.ip) && !ip_is_link_local(p.ip))
			found = p.ip;
	}
	return found;
}

static const struct fw_decision *stopped_at(const struct snapshot *s, const char *const *hooks, struct fw_packet *k,
                                            struct fw_decision *out)
{
	for (size_t i = 0; s && hooks[i]; i++) {
		struct fw_decision found[8];
		size_t n = firewall_decide(s, FW_LAYER_IP, hooks[i], "", k, found, COUNT(found));
		for (size_t m = 0; m < n; m++) {
			if (found[m].outcome == FW_STOPS) {
				*out = found[m];
				return out;
			}
		}
	}
	return NULL;
}

/* The filter of `party` that keeps the router's words from the sender: where they are made, or where they should be heard. */
static const struct fw_decision *silencer(const struct inquiry *q, int party, int router, int family, struct fw_decision *out)
{
	static const char *const made[] = {"output", "postrouting", NULL}, *const heard[] = {"prerouting", "input", NULL};
	const struct snapshot *s = party_facts(q->d, party);
	struct ip src = party_prefix(q->d, q->src, family).ip;
	struct fw_packet k = size_error(q, family, some_ip(party_facts(q->d, router), family, src));
	if (party == router)
		return stopped_at(s, made, &k, out);
	return party == q->src ? stopped_at(s, heard, &k, out) : NULL;
}

static kind_mask silenced(const struct inquiry *q, int party, int router, struct fw_decision *first)
{
	kind_mask kinds = 0;
	for (int family = 4; router >= 0 && family <= 6; family += 2) {
		struct fw_decision d;
		kind_mask large = kinds_of_family(family) & kinds_large() & dying(q);
		if (!large || error_heard(q, family) || !silencer(q, party, router, family, &d))
			continue;
		if (!kinds)
			*first = d;
		kinds |= large;
		const struct fw_chain *c = d.chain ? d.chain : d.base;
		bindings_add(q->learned, "accept", "%s %s %s %s accept", c->family, c->table, c->name,
		             family == 4 ? "icmp type destination-unreachable" : "icmpv6 type packet-too-big");
	}
	return kinds;
}

/* Raises what is too small as well: a probe cannot shrink as a connection can. */
static void narrow_bind(const struct inquiry *q, int router)
{
	struct inquiry at = *q;
	struct bindings found = {0};
	struct finding f = {.is = TRI_NO};
	at.who = router;
	at.learned = &found;
	evidence_find("path-mtu-smaller")->find(&at, &f);
	const char *narrow = f.is == TRI_YES ? bindings_get(&found, "narrow") : NULL;
	if (narrow) {
		bindings_add(q->learned, "narrow", "%s", narrow);
		bindings_add(q->learned, "router", "%s", name_of(q, router));
	}
	bindings_free(&found);
}

static void size_error_lost(const struct inquiry *q, struct finding *f)
{
	int router = size_router(q);
	struct fw_decision d;
	char rule[400];
	kind_mask kinds = silenced(q, q->who, router, &d);
	if (!kinds) {
		find_no(f, "no filter of %s keeps errors about size from %s", name_of(q, q->who), name_of(q, q->src));
		return;
	}
	const struct fw_chain *c = d.chain ? d.chain : d.base;
	bindings_add(q->learned, "component", "%s %s %s", c->family, c->table, c->name);
	narrow_bind(q, router);
	find_yes(f, kinds, "%s drops it for its size and would say so; %s never hears it, for a filter on %s drops the error: %s",
	         name_of(q, router), name_of(q, q->src), name_of(q, q->who), firewall_text(&d, rule, sizeof rule));
}

/* Whoever does it. */
static void size_error_lost_somewhere(const struct inquiry *q, struct finding *f)
{
	struct bindings unused = {0};
	struct inquiry at = *q;
	at.learned = &unused;
	for (size_t i = 0; f->is != TRI_YES && i < q->d->party_count; i++) {
		at.who = (int)i;
		size_error_lost(&at, f);
	}
	bindings_free(&unused);
}

/* ---- what a tunnel wraps around it ---- */

static uint32_t overhead_of(const struct link *l)
{
	if (strcmp(l->kind, "vxlan") == 0 || strcmp(l->kind, "geneve") == 0)
		return l->vx_remote.family == 6 || l->vx_local.family == 6 ? 70 : 50;
	return strncmp(l->kind, "gre", 3) == 0 || strncmp(l->kind, "ipip", 4) == 0 ? 24 : 0;
}

/* The MTU of what carries the tunnel, as far as this machine knows. */
static uint32_t carrier_mtu(const struct snapshot *s, const struct link *tunnel)
{
	const struct link *below = tunnel->parent && !tunnel->parent_elsewhere ? snapshot_link(s, tunnel->parent) : NULL;
	for (size_t i = 0; !below && i < s->addr_count; i++) {
		if (tunnel->vx_local.family && ip_equal(s->addrs[i].prefix.ip, tunnel->vx_local))
			below = snapshot_link(s, s->addrs[i].link);
	}
	return below ? below->mtu : 0;
}

static const struct link *tunnel_on_way(const struct inquiry *q)
{
	const struct snapshot *s = party_facts(q->d, q->who);
	const struct direction *v = &q->v->dir[q->p->dir];
	for (size_t i = q->p->after; s && q->p->placed && i <= q->p->before && i < v->path_count; i++) {
		if (point_party(q->d, q->v, q->p->dir, i) != q->who)
			continue;
		const struct link *l = snapshot_link_named(s, v->path[i].ifname);
		if (l && overhead_of(l))
			return l;
	}
	return NULL;
}

/* Guests, or the tunnel's own device, are set as if nothing were wrapped around their packets. */
static void wrapped_too_large(const struct inquiry *q, struct finding *f)
{
	const struct snapshot *s = party_facts(q->d, q->who);
	const struct link *l = tunnel_on_way(q), *own = party_link(q->d, q->src);
	uint32_t below = l ? carrier_mtu(s, l) : 0;
	if (!below || !own) {
		find_no(f, "it dies at no tunnel of %s", name_of(q, q->who));
		return;
	}
	uint32_t fits = below > overhead_of(l) ? below - overhead_of(l) : 0;
	if (own->mtu <= fits || (l->mtu < fits && own->mtu > l->mtu)) {
		find_no(f, "what carries %s of %s has room for it", l->name, name_of(q, q->who));
		return;
	}
	bindings_add(q->learned, "component", "%s", l->name);
	bindings_add(q->learned, "mtu", "%u", fits);
	find_yes(f, kinds_large(),
	         "%s sends packets of up to %u into the tunnel %s:%s, which adds %u and is carried by an interface of %u",
	         name_of(q, q->src), own->mtu, name_of(q, q->who), l->name, overhead_of(l), below);
}

/* ---- fragments ---- */

static void only_fragments(const struct inquiry *q, struct finding *f)
{
	kind_mask udp = (dying(q) & KIND_BIT(KIND_FRAGMENTS) ? KIND_BIT(KIND_UDP) : 0) |
	                (dying(q) & KIND_BIT(KIND_FRAGMENTS6) ? KIND_BIT(KIND_UDP6) : 0);
	kind_mask ok = 0;
	for (int k = 0; k < KIND_COUNT; k++)
		ok |= q->v->dir[q->p->dir].delivery[k] == CELL_OK ? KIND_BIT(k) : 0;
	if (!udp || dying(q) & ~kinds_fragments() || (ok & udp) != udp)
		find_no(f, "not only fragments are lost");
	else
		find_yes(f, dying(q), "only packets in fragments are lost; whole ones of the same protocol pass");
}

static bool asks_for_fragments(const struct fw_rule *r)
{
	for (size_t i = 0; i < r->match_count; i++) {
		if (r->matches[i].field == FW_FRAG_OFF)
			return true;
	}
	return strstr(r->text, "frag-off") || strstr(r->text, "exthdr frag") || strstr(r->text, "frag ");
}

static const struct fw_rule *fragment_rule(const struct snapshot *s, const struct fw_chain **chain)
{
	for (size_t i = 0; s && i < s->chain_count; i++) {
		for (size_t k = 0; k < s->chains[i].rule_count; k++) {
			const struct fw_rule *r = &s->chains[i].rules[k];
			if ((r->verdict == FW_DROP || r->verdict == FW_REJECT) && asks_for_fragments(r)) {
				*chain = &s->chains[i];
				return r;
			}
		}
	}
	return NULL;
}

static void fragments_stopped(const struct inquiry *q, struct finding *f)
{
	const struct fw_chain *c;
	const struct fw_rule *r = fragment_rule(party_facts(q->d, q->who), &c);
	char src[IP_TEXT_MAX], dst[IP_TEXT_MAX];
	int family = dying(q) & KIND_BIT(KIND_FRAGMENTS) ? 4 : 6;
	if (!r) {
		find_no(f, "no rule of %s drops fragments", name_of(q, q->who));
		return;
	}
	bindings_add(q->learned, "chain", "%s %s %s", c->family, c->table, c->name);
	bindings_add(q->learned, "component", "%s %s %s", c->family, c->table, c->name);
	if (family == 4) {
		bindings_add(q->learned, "from", "%s", ip_format(party_prefix(q->d, q->src, 4).ip, src));
		bindings_add(q->learned, "to", "%s", ip_format(party_prefix(q->d, q->dst, 4).ip, dst));
	}
	find_yes(f, kinds_fragments(), "a rule of %s drops fragments: %s %s %s: %s", name_of(q, q->who), c->family, c->table,
	         c->name, r->text);
}

static const struct evidence items[] = {
    {"size-error-lost", size_error_lost, "drop reasons, ICMP errors, firewall rules",
     "a router drops it for its size, and this machine's filter keeps the error that says so from the sender"},
    {"size-error-lost-somewhere", size_error_lost_somewhere, "drop reasons, ICMP errors, firewall rules",
     "a router drops it for its size, and a filter keeps the error from the sender"},
    {"wrapped-too-large", wrapped_too_large, "links, MTU",
     "with what a tunnel of this machine adds, packets of this size are too large for what carries it"},
    {"only-fragments", only_fragments, "cut, matrix", "only packets in fragments are lost"},
    {"fragments-stopped", fragments_stopped, "firewall rules", "a rule of the machine drops fragments"},
};
const struct evidence_table evidence_mtu = {items, COUNT(items)};
