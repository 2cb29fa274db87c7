/* evidence_flux: machines with several interfaces in one network, of which one answers ARP for another's address. */
#include "collector/diagnose/inquiry.h"

#include <stdio.h>
#include <string.h>

/* Of a machine's interface and of all of them, whichever is larger. */
static bool conf_of(const struct snapshot *s, const char *name, const char *ifname, int64_t *out)
{
	char all[96], own[96];
	int64_t a, b;
	snprintf(all, sizeof all, "net.ipv4.conf.all.%s", name);
	snprintf(own, sizeof own, "net.ipv4.conf.%s.%s", ifname, name);
	if (!snapshot_sysctl(s, all, &a) || !snapshot_sysctl(s, own, &b))
		return false;
	*out = a > b ? a : b;
	return true;
}

/* Another interface of `who` with this hardware address, that answers ARP for every address of the machine. */
static const struct link *other_nic(const struct inquiry *q, struct mac m)
{
	const struct snapshot *s = party_facts(q->d, q->who);
	const struct link *own = party_link(q->d, q->who);
	int64_t ignore;
	for (size_t i = 0; s && own && mac_is_set(m) && !mac_equal(own->mac, m) && i < s->link_count; i++) {
		const struct link *l = &s->links[i];
		bool apart = l != own && !l->master && l->index != own->master && !links_are_stacked(s, l, own);
		if (apart && l->up && !l->noarp && mac_equal(l->mac, m) && conf_of(s, "arp_ignore", l->name, &ignore) && !ignore)
			return l;
	}
	return NULL;
}

/* The one that the other end has in its neighbour table for the address of `who`; before the round, too. */
static const struct link *believed_nic(const struct inquiry *q, struct ip ip)
{
	const struct party *p = &q->d->party[other_end(q)];
	const struct snapshot *const both[] = {p->after, p->before};
	for (size_t i = 0; i < 2; i++) {
		const struct neigh *n = both[i] ? snapshot_neigh(both[i], ip, 0) : NULL;
		const struct link *l = n && !(n->state & NEIGH_PERMANENT) ? other_nic(q, n->mac) : NULL;
		if (l)
			return l;
	}
	return NULL;
}

/* As far as anybody looked, what is for it never came to its interface; or the other one drops what its way back does not lead by.
 */
static bool is_lost_there(const struct inquiry *q, const struct link *other, struct ip peer, struct ip own)
{
	const struct snapshot *s = party_facts(q->d, q->who);
	const struct direction *dir = &q->v->dir[q->p->dir];
	const struct route *back = snapshot_route(s, peer, own);
	int64_t strict = 0;
	if (!q->p->placed || q->p->after + 2u >= dir->path_count)
		return false;
	if (q->p->before + 1u < dir->path_count)
		return true;
	return conf_of(s, "rp_filter", other->name, &strict) && strict == 1 && back && back->link != other->index;
}

static void other_nic_answers(const struct inquiry *q, struct finding *f)
{
	struct ip own = party_prefix(q->d, q->who, 4).ip, peer = party_prefix(q->d, other_end(q), 4).ip;
	const struct link *l = q->who == q->dst && own.family && peer.family ? believed_nic(q, own) : NULL;
	char ip[IP_TEXT_MAX], mac[MAC_TEXT_MAX];
	if (!l || !is_lost_there(q, l, peer, own)) {
		find_no(f, "%s sends what is for %s to its interface", name_of(q, other_end(q)), name_of(q, q->who));
		return;
	}
	bindings_add(q->learned, "component", "%s", l->name);
	bindings_add(q->learned, "asker", "%s", name_of(q, other_end(q)));
	bindings_add(q->learned, "flush", "%s", ip_format(own, ip));
	find_yes(f, kinds_of_family(4),
	         "%s:%s answers ARP for %s, which is an address of %s (arp_ignore is 0), and %s sends to its hardware address %s",
	         name_of(q, q->who), l->name, ip, party_if(q->d, q->who), name_of(q, other_end(q)), mac_format(l->mac, mac));
}

static const struct evidence items[] = {
    {"other-nic-answers", other_nic_answers, "neighbours, links, arp_ignore, cut",
     "another interface of the machine answers ARP for its address, and what is sent there is lost"},
};
const struct evidence_table evidence_flux = {items, sizeof items / sizeof *items};
