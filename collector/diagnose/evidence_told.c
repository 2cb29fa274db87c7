/* evidence_told: what routers in which nobody of ours stands say of a packet that they do not pass on (ICMP, ICMPv6). */
#include "collector/diagnose/inquiry.h"

enum word { NO_WAY, PROHIBITED };

/* RFC 792, RFC 1812 section 5.2.7.1; RFC 4443 section 3.1. That the last router finds no neighbour is another matter. */
static const struct {
	uint8_t family, type, code;
	enum word word;
} words[] = {
    {4, 3, 0, NO_WAY},      {4, 3, 6, NO_WAY},      {4, 3, 11, NO_WAY},    {6, 1, 0, NO_WAY},     {4, 3, 9, PROHIBITED},
    {4, 3, 10, PROHIBITED}, {4, 3, 13, PROHIBITED}, {6, 1, 1, PROHIBITED}, {6, 1, 5, PROHIBITED}, {6, 1, 6, PROHIBITED},
};

static bool says(const struct flow_sent *s, enum word *word)
{
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		if (words[i].family == s->icmp_from.family && words[i].type == s->icmp_type && words[i].code == s->icmp_code) {
			*word = words[i].word;
			return true;
		}
	}
	return false;
}

static bool is_ours(const struct dossier *d, struct ip ip)
{
	for (size_t i = 0; i < d->party_count; i++)
		if (ip_equal(d->party[i].ep.ip4.ip, ip) || ip_equal(d->party[i].ep.ip6.ip, ip))
			return true;
	for (size_t i = 0; i < d->owner_count; i++)
		if (ip_equal(d->owners[i].ip.ip, ip))
			return true;
	return party_of_ip(d, ip) >= 0;
}

static void router_refuses_told(const struct inquiry *q, struct finding *f)
{
	kind_mask kinds = 0;
	enum word word, first = NO_WAY;
	struct ip by = {0}, dst = {0};
	char from[IP_TEXT_MAX], to[IP_TEXT_MAX];
	for (size_t i = 0; q->who == q->src && i < q->d->flow_count; i++) {
		const struct flow *w = &q->d->flows[i];
		const struct flow_sent *s = w->dir == q->p->dir && !flow_is_aside(w) ? dossier_sent(q->d, w->id) : NULL;
		if (!s || !(q->p->probes & KIND_BIT(w->kind)) || !says(s, &word) || is_ours(q->d, s->icmp_from))
			continue;
		if (!kinds)
			by = s->icmp_from, dst = w->dst, first = word;
		kinds |= KIND_BIT(w->kind);
	}
	if (!kinds) {
		find_no(f, "no router says that it does not pass on what %s sends", name_of(q, q->src));
		return;
	}
	bindings_add(q->learned, "refusing.router", "%s", ip_format(by, from));
	bindings_add(q->learned, "component", "%s", from);
	find_yes(f, kinds, "the router %s says of %s that %s (ICMP)", from, ip_format(dst, to),
	         first == NO_WAY ? "it has no way to that network" : "it may not pass that on");
}

static const struct evidence items[] = {
    {"router-refuses-told", router_refuses_told, "ICMP errors",
     "a router in which no agent stands says that it has no way, or may not pass it on"},
};
const struct evidence_table evidence_told = {items, sizeof items / sizeof *items};
