/* evidence_spoof: filters at a guest's port that let through only what they know of the guest: its hardware address, its IP
 * addresses. What such a filter would let through is found by asking it. */
#include "collector/diagnose/inquiry.h"

#include <stdio.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

enum source { SOURCE_MAC, SOURCE_IP };

static struct ip nobody(int family) /* for documentation: RFC 5737, RFC 3849 */
{
	struct ip ip = {0};
	ip_parse(family == 4 ? "198.51.100.77" : "2001:db8::77", &ip);
	return ip;
}

static bool passes_as(const struct inquiry *q, const struct hit *h, enum source what, const struct fw_value *v)
{
	struct fw_packet k;
	if (!hit_packet(q, h, &k))
		return false;
	if (what == SOURCE_MAC)
		k.eth_src = v->mac;
	else
		k.src = v->prefix.ip;
	return hit_lets(q, h, &k);
}

static bool passes_stranger(const struct inquiry *q, const struct hit *h, enum source what)
{
	struct fw_packet k;
	struct fw_value v = {.mac = {{0x02, 0x77, 0x77, 0x77, 0x77, 0x77}}};
	if (!hit_packet(q, h, &k) || (what == SOURCE_IP && !k.src.family))
		return true;
	v.prefix.ip = nobody(k.src.family);
	return passes_as(q, h, what, &v);
}

/* At another port it would pass: the filter is about who stands at this one. */
static bool is_about_port(const struct inquiry *q, const struct hit *h)
{
	struct fw_packet k;
	const struct placement *at = &q->d->party[q->src].at;
	if (!hit_packet(q, h, &k) || strcmp(k.iif, at->port) != 0)
		return false;
	k.iif = "another0";
	return strcmp(h->decision.base->family, "netdev") == 0 || hit_lets(q, h, &k);
}

static bool match_names(const struct fw_match *m, enum source what)
{
	if (what == SOURCE_MAC)
		return m->field == FW_ETH_SADDR || m->field == FW_ARP_SHA;
	return m->field == FW_SADDR || m->field == FW_ARP_SPA;
}

/* A source that a rule of the same table names, and with which the packet would pass. */
static const struct fw_value *rule_allows(const struct inquiry *q, const struct hit *h, enum source what, const struct fw_rule *r)
{
	for (size_t m = 0; m < r->match_count; m++) {
		const struct fw_match *match = &r->matches[m];
		for (size_t i = 0; match_names(match, what) && i < match->value_count; i++) {
			if (passes_as(q, h, what, &match->values[i]))
				return &match->values[i];
		}
	}
	return NULL;
}

static const struct fw_value *allowed(const struct inquiry *q, const struct hit *h, enum source what)
{
	const struct snapshot *s = party_facts(q->d, h->party);
	const struct fw_value *v = NULL;
	for (size_t i = 0; s && i < s->chain_count && !v; i++) {
		const struct fw_chain *c = &s->chains[i];
		bool same = !strcmp(c->family, h->decision.base->family) && !strcmp(c->table, h->decision.base->table);
		for (size_t r = 0; same && r < c->rule_count && !v; r++)
			v = rule_allows(q, h, what, &c->rules[r]);
	}
	return v;
}

/* Who asks whether an address is in use has none yet (RFC 5227, section 2.1.1). */
static void accept_ip(const struct inquiry *q, const struct fw_chain *c, const struct fw_packet *k)
{
	const char *what = k->ethertype == 0x0806 ? "arp saddr ip" : k->ethertype == 0x0800 ? "ip saddr" : "ip6 saddr";
	char ip[IP_TEXT_MAX];
	bindings_add(q->learned, "source.accept", "%s %s %s iifname %s %s %s accept", c->family, c->table, c->name, k->iif, what,
	             ip_format(k->src, ip));
	if (k->ethertype == 0x0806)
		bindings_add(q->learned, "source.accept", "%s %s %s iifname %s %s 0.0.0.0 accept", c->family, c->table, c->name,
		             k->iif, what);
}

static void accept_bind(const struct inquiry *q, const struct hit *h, enum source what)
{
	const struct fw_chain *c = h->decision.base;
	char mac[MAC_TEXT_MAX];
	struct fw_packet k;
	if (!hit_packet(q, h, &k))
		return;
	if (what == SOURCE_IP)
		accept_ip(q, c, &k);
	else if (mac_is_set(k.eth_src))
		bindings_add(q->learned, "source.accept", "%s %s %s iifname %s ether saddr %s accept", c->family, c->table, c->name,
		             k.iif, mac_format(k.eth_src, mac));
}

/* The guest had the address that is let through until somebody changed it. */
static bool restore_bind(const struct inquiry *q, struct mac m)
{
	char key[64], text[MAC_TEXT_MAX];
	snprintf(key, sizeof key, "link.%s.mac", party_if(q->d, q->src));
	const struct fact_change *c = history_last(&q->d->party[q->src], key);
	if (!c || !c->was || strcmp(c->was, mac_format(m, text)) != 0)
		return false;
	bindings_add(q->learned, "mac.restore", "%s", text);
	return true;
}

/* Kinds that the filter stops for their source; *v is one that it would let through. */
static kind_mask filtered(const struct inquiry *q, enum source what, const struct fw_value **v, const struct hit **which)
{
	kind_mask kinds = 0;
	for (size_t i = 0; i < q->hits->count; i++) {
		const struct hit *h = &q->hits->item[i];
		const struct fw_value *ok;
		if (h->party != q->who || h->foreseen || !h->sure || h->layer != HIT_L2 || q->d->party[q->src].kind != AGENT_GUEST)
			continue;
		if (passes_stranger(q, h, what) || !is_about_port(q, h) || !(ok = allowed(q, h, what)))
			continue;
		*v = ok;
		*which = h;
		kinds |= KIND_BIT(h->kind);
		accept_bind(q, h, what);
	}
	return kinds;
}

static void source_mac_filtered(const struct inquiry *q, struct finding *f)
{
	const struct fw_value *v;
	const struct hit *h;
	char has[MAC_TEXT_MAX], may[MAC_TEXT_MAX];
	kind_mask kinds = filtered(q, SOURCE_MAC, &v, &h);
	if (!kinds) {
		find_no(f, "no filter at the port of %s asks for a certain hardware address", name_of(q, q->src));
		return;
	}
	restore_bind(q, v->mac);
	filter_bind(q, h);
	find_yes(f, kinds, "at the port of %s only frames from %s pass, and %s has %s", name_of(q, q->src), mac_format(v->mac, may),
	         name_of(q, q->src), mac_format(q->d->party[q->src].ep.mac, has));
}

static void source_ip_filtered(const struct inquiry *q, struct finding *f)
{
	const struct fw_value *v;
	const struct hit *h;
	char may[IP_TEXT_MAX], has[IP_TEXT_MAX];
	kind_mask kinds = filtered(q, SOURCE_IP, &v, &h);
	if (!kinds) {
		find_no(f, "no filter at the port of %s asks for a certain IP address", name_of(q, q->src));
		return;
	}
	filter_bind(q, h);
	find_yes(f, kinds, "at the port of %s only packets from %s pass, and %s sends from %s", name_of(q, q->src),
	         ip_format(v->prefix.ip, may), name_of(q, q->src),
	         ip_format(party_prefix(q->d, q->src, v->prefix.ip.family).ip, has));
}

/* ---- other things a filter may single out ---- */

static void only_neighbour_answers(const struct inquiry *q, struct finding *f)
{
	kind_mask answers = q->p->answers & kinds_of_proto(PROTO_NEIGH);
	if (!answers || q->p->probes || q->p->answers & ~answers)
		find_no(f, "it is not only answers to ARP or neighbour solicitations that die");
	else
		find_yes(f, answers, "only answers to %s die there; requests pass",
		         answers & KIND_BIT(KIND_ARP) ? "ARP" : "neighbour solicitations");
}

static void filter_on_the_way(const struct inquiry *q, struct finding *f)
{
	kind_mask kinds = 0;
	char text[400] = "";
	for (size_t i = 0; i < q->hits->count; i++) {
		const struct hit *h = &q->hits->item[i];
		if (!h->sure || h->foreseen)
			continue;
		kinds |= KIND_BIT(h->kind);
		firewall_text(&h->decision, text, sizeof text);
	}
	if (kinds)
		find_yes(f, kinds, "a filter stops it: %s", text);
	else
		find_no(f, "no filter on the way is known to stop it");
}

static const struct evidence items[] = {
    {"source-mac-filtered", source_mac_filtered, "firewall rules on the stretch, captures",
     "a filter at the guest's port lets through frames from another hardware address than it has"},
    {"source-ip-filtered", source_ip_filtered, "firewall rules on the stretch",
     "a filter at the guest's port lets through packets from another IP address than it has"},
    {"only-neighbour-answers", only_neighbour_answers, "cut", "nothing but answers to ARP or neighbour solicitations dies"},
    {"filter-on-the-way", filter_on_the_way, "firewall rules on the stretch", "a filter of some machine on the stretch stops it"},
};
const struct evidence_table evidence_spoof = {items, COUNT(items)};
