/* evidence_nat: addresses that are changed on the way, and tables that remember it. */
#include "collector/diagnose/inquiry.h"

#include <stdio.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

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

static const struct evidence items[] = {
    {"ttl-small", ttl_small, "sysctl, ICMP errors", "the sender's packets may pass hardly any router"},
};
const struct evidence_table evidence_nat = {items, COUNT(items)};
