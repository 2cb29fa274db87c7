/* evidence_twins: addresses that two machines have, and what clones share. */
#include "collector/diagnose/inquiry.h"

#include "proto/base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* On its way, not in the stack of an end. */
static bool dies_on_the_way(const struct inquiry *q)
{
	return q->p->placed && q->p->after > 0 && q->p->before + 1u < q->v->dir[q->p->dir].path_count;
}

/* ---- another hardware address for one of two ---- */

/* A unicast address of the locally administered kind (IEEE 802, section 8.4), the same each time it is asked for. */
static struct mac fresh_mac(const char *agent, struct mac old)
{
	uint64_t h = 0xcbf29ce484222325u;
	struct mac m;
	for (const char *c = agent; *c; c++)
		h = (h ^ (unsigned char)*c) * 0x100000001b3u;
	for (size_t i = 0; i < 6; i++)
		m.b[i] = (uint8_t)(h >> 8 * i) ^ old.b[i];
	m.b[0] = 0x02;
	return m;
}

static const struct fact_change *mac_change(const struct inquiry *q, int party)
{
	char key[64], now[MAC_TEXT_MAX];
	snprintf(key, sizeof key, "link.%s.mac", party_if(q->d, party));
	const struct fact_change *c = history_last(&q->d->party[party], key);
	return c && c->was && c->now && !strcmp(c->now, mac_format(q->d->party[party].ep.mac, now)) ? c : NULL;
}

/* `agent` gets its former address back, or one that nobody has. */
static void change_bind(const struct inquiry *q, const char *agent, const char *ifname, int party)
{
	char text[MAC_TEXT_MAX];
	const struct fact_change *c = party >= 0 ? mac_change(q, party) : NULL;
	bindings_add(q->learned, "other", "%s", agent);
	bindings_add(q->learned, "mac.new", "dev %s address %s", ifname,
	             c ? c->was : mac_format(fresh_mac(agent, q->d->party[q->dst].ep.mac), text));
}

/* ---- two guests ---- */

static const struct owner *mac_twin(const struct inquiry *q, int of)
{
	struct mac m = q->d->party[of].ep.mac;
	for (size_t i = 0; mac_is_set(m) && i < q->d->owner_count; i++) {
		const struct owner *o = &q->d->owners[i];
		int party = dossier_party(q->d, o->agent);
		if (party >= 0 && q->d->party[party].kind == AGENT_HOST)
			continue;
		if (o->same_segment && !o->host && mac_equal(o->mac, m) && strcmp(o->agent, name_of(q, of)) != 0)
			return o;
	}
	return NULL;
}

/* What a bridge on the way believes: the receiver's address is behind another port than the one that leads there. */
static const struct link *learned_elsewhere(const struct inquiry *q, struct mac m)
{
	const struct snapshot *s = party_facts(q->d, q->who);
	for (size_t i = 0; s && i < s->fdb_count; i++) {
		const struct fdb *e = &s->fdbs[i];
		const struct link *l =
		    mac_equal(e->mac, m) && !e->is_static && e->port != e->bridge ? snapshot_link(s, e->port) : NULL;
		bool on_path = false;
		for (size_t k = q->p->after; l && k <= q->p->before; k++)
			on_path |= k > q->p->after && strcmp(q->v->dir[q->p->dir].path[k].ifname, l->name) == 0;
		if (l && !on_path)
			return l;
	}
	return NULL;
}

static void twin_blame(const struct inquiry *q, const struct owner *o)
{
	int party = dossier_party(q->d, o->agent);
	if (party < 0 && mac_change(q, q->dst)) { /* the receiver took it from the other one */
		change_bind(q, name_of(q, q->dst), party_if(q->d, q->dst), q->dst);
		return;
	}
	if (party >= 0 && !mac_change(q, party) && mac_change(q, q->dst))
		change_bind(q, name_of(q, q->dst), party_if(q->d, q->dst), q->dst);
	else
		change_bind(q, o->agent, o->ifname, party);
}

static void mac_owned_twice(const struct inquiry *q, struct finding *f)
{
	const struct owner *o = q->d->party[q->dst].kind == AGENT_GUEST && dies_on_the_way(q) ? mac_twin(q, q->dst) : NULL;
	char mac[MAC_TEXT_MAX];
	if (!o) {
		find_no(f, "nobody else on the segment has the hardware address of %s", name_of(q, q->dst));
		return;
	}
	twin_blame(q, o);
	bindings_add(q->learned, "component", "%s", mac_format(o->mac, mac));
	find_yes(f, ~0u, "%s and %s:%s have the same hardware address %s", name_of(q, q->dst), o->agent, o->ifname, mac);
}

/* The platform's word first: it knows adapters of guests without an agent, too. */
static void mac_shared(const struct inquiry *q, struct finding *f)
{
	evidence_find("mac-twin")->find(q, f);
	if (f->is == TRI_YES)
		return;
	*f = (struct finding){.is = TRI_NO};
	mac_owned_twice(q, f);
}

static void mac_learned_elsewhere(const struct inquiry *q, struct finding *f)
{
	struct inquiry at = *q;
	for (at.who = 0; q->d->onlink && at.who < (int)q->d->party_count; at.who++) {
		bool host = q->d->party[at.who].kind == AGENT_HOST;
		const struct link *l = host ? learned_elsewhere(&at, q->d->party[q->dst].ep.mac) : NULL;
		if (!l)
			continue;
		find_yes(f, ~0u, "%s learned the hardware address of %s behind %s", name_of(q, at.who), name_of(q, q->dst),
		         l->name);
		return;
	}
	find_unknown(f, "where bridges learned the hardware address of %s is not known", name_of(q, q->dst));
}

/* ---- a guest and a host ---- */

static bool is_shared_device(const struct link *l) /* has the MAC of the guest behind it, as it should */
{
	return strncmp(l->kind, "macv", 4) == 0 || strncmp(l->kind, "ipv", 3) == 0;
}

static bool link_has_address(const struct snapshot *s, const struct link *l)
{
	for (size_t i = 0; i < s->addr_count; i++) {
		if (s->addrs[i].link == l->index)
			return true;
	}
	return false;
}

/* An interface of a host that frames on the segment may be for, with the guest's address. */
static const struct link *host_twin(const struct inquiry *q, struct mac m, int *host)
{
	for (*host = 0; *host < (int)q->d->party_count; ++*host) {
		const struct snapshot *s = party_facts(q->d, *host);
		for (size_t i = 0; s && q->d->party[*host].kind == AGENT_HOST && i < s->link_count; i++) {
			const struct link *l = &s->links[i];
			if (mac_equal(l->mac, m) && !is_shared_device(l) &&
			    (link_is_bridge(l) || l->port || link_has_address(s, l)))
				return l;
		}
	}
	return NULL;
}

/* That host keeps what is for the guest; where it is the other end, neither gets anything to the other. */
static bool host_keeps_it(const struct inquiry *q, int host)
{
	if (host == q->src || host == q->dst)
		return true;
	for (size_t i = q->p->after; q->who == q->dst && i <= q->p->before; i++) {
		if (point_party(q->d, q->v, q->p->dir, i) == host)
			return true;
	}
	return false;
}

static void mac_of_host(const struct inquiry *q, struct finding *f)
{
	struct mac m = q->d->party[q->who].ep.mac;
	bool guest = q->d->party[q->who].kind == AGENT_GUEST && mac_is_set(m);
	int host;
	const struct link *l = guest && q->p->placed ? host_twin(q, m, &host) : NULL;
	char mac[MAC_TEXT_MAX];
	if (!l || strcmp(l->name, q->d->party[q->who].at.port) == 0 || !host_keeps_it(q, host)) {
		find_no(f, "no host on the way has the hardware address of %s", name_of(q, q->who));
		return;
	}
	change_bind(q, name_of(q, q->who), party_if(q->d, q->who), q->who);
	bindings_add(q->learned, "component", "%s", party_if(q->d, q->who));
	find_yes(f, ~0u, "%s has the hardware address %s, which is that of %s:%s", name_of(q, q->who), mac_format(m, mac),
	         name_of(q, host), l->name);
}

/* ---- clones ---- */

static const struct owner *ip_owner(const struct inquiry *q, const char *agent, struct ip ip)
{
	for (size_t i = 0; i < q->d->owner_count; i++) {
		const struct owner *o = &q->d->owners[i];
		if (o->same_segment && ip_equal(o->ip.ip, ip) && (strcmp(o->agent, agent) == 0))
			return o;
	}
	return NULL;
}

/* Both got the address by DHCP, and both introduce themselves by the same identity. */
static bool are_clones(const struct owner *a, const struct owner *b)
{
	return a && a->leased && b->leased && a->machine[0] && !strcmp(a->machine, b->machine);
}

static const struct owner *clone_of(const struct inquiry *q, int party, struct ip ip)
{
	const struct owner *mine = ip.family ? ip_owner(q, name_of(q, party), ip) : NULL;
	for (size_t i = 0; mine && i < q->d->owner_count; i++) {
		const struct owner *o = &q->d->owners[i];
		if (o->same_segment && !o->host && ip_equal(o->ip.ip, ip) && strcmp(o->agent, mine->agent) && are_clones(mine, o))
			return o;
	}
	return NULL;
}

static bool end_has_clone(const struct inquiry *q, int end, struct finding *f)
{
	for (int family = 4; family <= 6; family += 2) {
		struct ip ip = party_prefix(q->d, end, family).ip;
		const struct owner *o = clone_of(q, end, ip);
		char text[IP_TEXT_MAX];
		if (!o)
			continue;
		bindings_add(q->learned, "clone", "%s", o->agent);
		find_yes(f, kinds_of_family(family), "%s and %s have the same machine-id, and both got %s by DHCP", name_of(q, end),
		         o->agent, ip_format(ip, text));
		return true;
	}
	return false;
}

static void twin_is_clone(const struct inquiry *q, struct finding *f)
{
	if (!end_has_clone(q, q->dst, f) && !end_has_clone(q, q->src, f))
		find_no(f, "neither of the two has a clone that got its address");
}

/* ---- an address that the machine itself found to be taken ---- */

/* *out: the address, with its interface. */
static const struct addr *addr_taken(const struct inquiry *q, int party, const struct link **out)
{
	const struct snapshot *s = party_facts(q->d, party);
	for (size_t i = 0; s && i < s->addr_count; i++) {
		*out = s->addrs[i].dadfailed ? snapshot_link(s, s->addrs[i].link) : NULL;
		if (*out && strcmp((*out)->name, party_if(q->d, party)) == 0)
			return &s->addrs[i];
	}
	return NULL;
}

static void dad_failed(const struct inquiry *q, struct finding *f)
{
	const struct link *l;
	const struct addr *a = addr_taken(q, q->who, &l);
	char ip[PREFIX_TEXT_MAX];
	if (!party_facts(q->d, q->who)) {
		find_unknown(f, "%s did not report its addresses", name_of(q, q->who));
		return;
	}
	if (!a) {
		find_no(f, "%s uses its IPv6 addresses", name_of(q, q->who));
		return;
	}
	prefix_format(a->prefix, ip);
	bindings_add(q->learned, "component", "%s", ip);
	bindings_add(q->learned, "again", "addr del %s dev %s", ip, l->name);
	bindings_add(q->learned, "again", "addr add %s dev %s", ip, l->name);
	find_yes(f, kinds_of_family(6), "%s found out that somebody has %s already (dadfailed), and does not use it",
	         name_of(q, q->who), ip);
}

static void dad_failed_at_end(const struct inquiry *q, struct finding *f)
{
	const struct link *l;
	for (int end = 0; end < 2; end++) {
		if (addr_taken(q, end, &l))
			find_yes(f, kinds_of_family(6), "%s found its address taken", name_of(q, end));
	}
}

/* Whoever has it must give it back first. */
static void taker_known(const struct inquiry *q, struct finding *f)
{
	const struct link *l;
	const struct addr *a = addr_taken(q, q->who, &l);
	const struct owner *o = NULL;
	char ip[PREFIX_TEXT_MAX];
	for (size_t i = 0; a && !o && i < q->d->owner_count; i++) {
		const struct owner *n = &q->d->owners[i];
		if (n->same_segment && ip_equal(n->ip.ip, a->prefix.ip) && strcmp(n->agent, name_of(q, q->who)) != 0)
			o = n;
	}
	if (!o) {
		find_unknown(f, "who has the address is not known");
		return;
	}
	bindings_add(q->learned, "other", "%s", o->agent);
	bindings_add(q->learned, "twin.del", "addr del %s dev %s", prefix_format(o->ip, ip), o->ifname);
	bindings_add(q->learned, "asker", "%s", name_of(q, other_end(q)));
	bindings_add(q->learned, "flush", "%s dev %s", ip_format(o->ip.ip, ip), party_if(q->d, other_end(q)));
	find_yes(f, ~0u, "%s has that address", o->agent);
}

static const struct evidence items[] = {
    {"mac-shared", mac_shared, "platform: adapters; hardware addresses of all agents",
     "another guest on the segment has the receiver's hardware address"},
    {"mac-learned-elsewhere", mac_learned_elsewhere, "forwarding entries",
     "the bridge learned the receiver's hardware address behind another port"},
    {"mac-of-host", mac_of_host, "hardware addresses of the hosts on the way", "the guest has the hardware address of a host"},
    {"twin-is-clone", twin_is_clone, "machine-id and leases of all agents",
     "the other owner of the address has the same machine-id, and both got the address by DHCP"},
    {"taker-known", taker_known, "addresses of all agents", "another agent says that it has the address"},
    {"dad-failed-at-end", dad_failed_at_end, "addresses", "an end does not use its IPv6 address, because it found it taken"},
    {"dad-failed", dad_failed, "addresses",
     "the machine does not use its IPv6 address, because it found that somebody else has it"},
};
const struct evidence_table evidence_twins = {items, COUNT(items)};
