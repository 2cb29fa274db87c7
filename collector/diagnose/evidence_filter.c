/* evidence_filter: what the rulesets say about the packets that die. */
#include "collector/diagnose/inquiry.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ANY_LAYER (1u << HIT_IP | 1u << HIT_BRIDGED_IP | 1u << HIT_ROUTED | 1u << HIT_L2)

enum stop { STOP_ANY, STOP_DROP, STOP_REJECT };

static bool hit_fits(const struct inquiry *q, const struct hit *h, unsigned layers, enum stop how)
{
	if (h->party != q->who || h->foreseen || !(layers & 1u << h->layer))
		return false;
	return how == STOP_ANY || h->decision.reject == (how == STOP_REJECT);
}

static const char *const verbs[] = {"stops", "drops", "rejects"};

/* *first: the one to speak of; one that was traced before one that was read. */
static kind_mask hits_kinds(const struct inquiry *q, unsigned layers, enum stop how, bool sure, const struct hit **first)
{
	kind_mask m = 0;
	for (size_t i = 0; i < q->hits->count; i++) {
		const struct hit *h = &q->hits->item[i];
		if (!hit_fits(q, h, layers, how) || (sure && !h->sure && !h->fits))
			continue;
		m |= KIND_BIT(h->kind);
		if (!*first || (h->traced && !(*first)->traced))
			*first = h;
	}
	return m;
}

static bool firewall_read(const struct inquiry *q, struct finding *f)
{
	const struct snapshot *s = party_facts(q->d, q->who);
	if (!s) {
		find_unknown(f, "%s did not report its facts", name_of(q, q->who));
		return false;
	}
	if (s->firewall_known == FW_READ)
		return true;
	find_unknown(f, "the firewall of %s could not be read%s", name_of(q, q->who),
	             s->firewall_known == FW_TRUNCATED ? " in full" : "");
	return s->firewall_known == FW_TRUNCATED;
}

void filter_bind(const struct inquiry *q, const struct hit *h)
{
	const struct fw_chain *c = h->decision.chain ? h->decision.chain : h->decision.base;
	bindings_add(q->learned, "component", "%s %s %s", c->family, c->table, c->name);
}

/* "inet filter input handle 7: tcp dport 22 drop" */
static const char *rule_text(const struct hit *h, char *out, size_t size)
{
	const struct fw_decision *d = &h->decision;
	if (d->rule)
		snprintf(out, size, "%s %s %s handle %" PRIu64 ": %s", d->chain->family, d->chain->table, d->chain->name,
		         d->rule->handle, d->rule->text);
	else
		snprintf(out, size, "%s %s %s policy drop", d->base->family, d->base->table, d->base->name);
	return out;
}

static void filter_says_yes(const struct inquiry *q, struct finding *f, const struct hit *h, kind_mask kinds, enum stop how)
{
	static const char *const past[] = {"stopped", "dropped", "rejected"};
	char rule[480];
	filter_bind(q, h);
	if (h->traced)
		find_yes(f, kinds, "the rule on %s that %s it: %s (seen by tracing)", name_of(q, q->who), past[how],
		         rule_text(h, rule, sizeof rule));
	else
		find_yes(f, kinds, "a filter on %s %s it: %s%s", name_of(q, q->who), verbs[how],
		         firewall_text(&h->decision, rule, sizeof rule),
		         h->fits ? " (not all of it is understood, but just what it may stop is lost)" : "");
	f->weak = h->fits && !h->traced;
}

static void filter_is_not_read(const struct inquiry *q, struct finding *f, enum stop how)
{
	kind_mask kinds = how == STOP_REJECT ? 0 : said_by_filter(q);
	if (kinds)
		find_yes(f, kinds, "a filter on %s drops it, says the kernel; its rules could not be read", name_of(q, q->who));
}

static void filter_says(const struct inquiry *q, struct finding *f, unsigned layers, enum stop how)
{
	const struct hit *first = NULL, *maybe = NULL;
	char rule[400];
	if (!firewall_read(q, f)) {
		filter_is_not_read(q, f, how);
		return;
	}
	enum tri otherwise = f->is;
	kind_mask kinds = hits_kinds(q, layers, how, true, &first) & ~(q->who == q->src ? refused_by_route(q) : 0);
	if (kinds) {
		accepts_bind(q, q->hits, layers);
		filter_says_yes(q, f, first, kinds, how);
	} else if (hits_kinds(q, layers, how, false, &maybe)) {
		find_unknown(f, "a filter on %s may stop it: %s", name_of(q, q->who),
		             firewall_text(&maybe->decision, rule, sizeof rule));
	} else if (otherwise != TRI_UNKNOWN) {
		find_no(f, "no filter rule on %s %s it", name_of(q, q->who), verbs[how]);
	}
}

static void filter_stops(const struct inquiry *q, struct finding *f) { filter_says(q, f, ANY_LAYER, STOP_ANY); }
static void filter_drops(const struct inquiry *q, struct finding *f) { filter_says(q, f, ANY_LAYER, STOP_DROP); }
static void filter_rejects(const struct inquiry *q, struct finding *f) { filter_says(q, f, ANY_LAYER, STOP_REJECT); }

static bool guest_in_pair(const struct inquiry *q)
{
	return q->d->party[PARTY_A].kind == AGENT_GUEST || q->d->party[PARTY_B].kind == AGENT_GUEST;
}

static void layer_says(const struct inquiry *q, struct finding *f, unsigned layers, const char *what)
{
	const struct hit *first = NULL;
	kind_mask kinds = hits_kinds(q, layers, STOP_ANY, true, &first);
	if (kinds)
		find_yes(f, kinds, "%s", "");
	else
		find_no(f, "%s of %s does not stop it", what, name_of(q, q->who));
}

static void filter_is_ip(const struct inquiry *q, struct finding *f)
{
	layer_says(q, f, guest_in_pair(q) ? 1u << HIT_IP : 1u << HIT_IP | 1u << HIT_L2, "the IP filter");
}
static void filter_is_l2(const struct inquiry *q, struct finding *f)
{
	layer_says(q, f, guest_in_pair(q) ? 1u << HIT_L2 | 1u << HIT_ROUTED : 0, "the filter on the way of its guests");
}
static void filter_is_bridged_ip(const struct inquiry *q, struct finding *f)
{
	layer_says(q, f, 1u << HIT_BRIDGED_IP, "the IP filter for bridged frames");
}

/* ---- IP filters that see bridged frames ---- */

static bool bridging_is_new(const struct inquiry *q)
{
	static const char *const names[] = {"net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables"};
	bool changed = false;
	for (size_t i = 0; i < 2; i++) {
		char key[96];
		snprintf(key, sizeof key, "sysctl.%s", names[i]);
		const struct fact_change *c = history_last(&q->d->party[q->who], key);
		if (!c || !c->was || !c->now || strcmp(c->was, "0") || strcmp(c->now, "1"))
			continue;
		bindings_add(q->learned, "sysctl.was", "%s=0", names[i]);
		changed = true;
	}
	return changed;
}

/* A policy stops everything: the bridge as a whole is let through. */
static void accept_bridge(const struct inquiry *q)
{
	for (size_t i = 0; i < q->hits->count; i++) {
		const struct hit *h = &q->hits->item[i];
		const struct fw_chain *c = h->decision.base;
		if (h->party == q->who && h->layer == HIT_BRIDGED_IP && h->sure && !h->decision.rule && h->iif[0] && h->oif[0])
			bindings_add(q->learned, "accept.left", "%s %s %s iifname %s oifname %s accept", c->family, c->table,
			             c->name, h->iif, h->oif);
	}
}

/* Back to how it was when it was switched on lately; else let through the chains. Other things may rely on it being on. */
static void bridging_bind(const struct inquiry *q)
{
	if (bridging_is_new(q))
		return;
	accept_bridge(q);
	size_t n = q->learned->count;
	for (size_t i = 0; i < n && !bindings_get(q->learned, "accept.left"); i++) {
		for (size_t k = i; k < n; k++) {
			if (strcmp(q->learned->items[k].key, "accept") == 0)
				bindings_add(q->learned, "accept.left", "%s", q->learned->items[k].value);
		}
	}
}

static void bridge_calls_ip(const struct inquiry *q, struct finding *f)
{
	const struct snapshot *s = party_facts(q->d, q->who);
	int64_t v4 = 0, v6 = 0;
	bool known = s && snapshot_sysctl(s, "net.bridge.bridge-nf-call-iptables", &v4);
	known |= s && snapshot_sysctl(s, "net.bridge.bridge-nf-call-ip6tables", &v6);
	if (!known) {
		find_unknown(f, "%s did not say whether its IP filter sees bridged frames", name_of(q, q->who));
		return;
	}
	if (v4 != 1 && v6 != 1) {
		find_no(f, "bridged frames do not pass the IP filter of %s", name_of(q, q->who));
		return;
	}
	bridging_bind(q);
	find_yes(f, (v4 == 1 ? kinds_of_family(4) : 0) | (v6 == 1 ? kinds_of_family(6) : 0),
	         "on %s bridged frames pass the IP filter (net.bridge.bridge-nf-call-ip%stables=1)", name_of(q, q->who),
	         v4 == 1 ? "" : "6");
}

static const struct evidence items[] = {
    {"filter-stops", filter_stops, "firewall rules on the stretch",
     "a rule or policy of this machine drops or rejects exactly these packets there"},
    {"filter-drops", filter_drops, "firewall rules on the stretch",
     "a rule or policy of this machine silently drops exactly these packets there"},
    {"filter-rejects", filter_rejects, "firewall rules on the stretch",
     "a rule of this machine rejects exactly these packets there"},
    {"filter-is-ip", filter_is_ip, "firewall rules on the stretch", "the rule stands in an ip, ip6 or inet table"},
    {"filter-is-l2", filter_is_l2, "firewall rules on the stretch",
     "the rule stands on the way to or from a guest: in a bridge or netdev table, or where the machine routes for it"},
    {"filter-is-bridged-ip", filter_is_bridged_ip, "firewall rules on the stretch",
     "the rule stands in an IP table that sees bridged frames"},
    {"bridge-calls-ip", bridge_calls_ip, "sysctl", "bridged frames of this host pass its IP filter"},
};
const struct evidence_table evidence_filter = {items, sizeof items / sizeof *items};
