/* evidence_neigh: who is behind an address: wrong hardware addresses, twins, impostors, and those who do not answer ARP. */
#include "collector/diagnose/inquiry.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* ---- whose hardware address ---- */

bool mac_of_party(const struct dossier *d, int party, struct mac m)
{
	const struct party *p = &d->party[party];
	const struct snapshot *s = party_facts(d, party);
	if (mac_equal(p->ep.mac, m) || mac_equal(p->ep_last.mac, m))
		return true;
	for (size_t i = 0; s && i < s->link_count; i++) {
		if (mac_equal(s->links[i].mac, m))
			return true;
	}
	return false;
}

static bool mac_of_hosts(const struct inquiry *q, struct mac m)
{
	for (size_t i = 0; i < q->d->party_count; i++) {
		if (q->d->party[i].kind == AGENT_HOST && mac_of_party(q->d, (int)i, m))
			return true;
	}
	return false;
}

const struct owner *mac_owner(const struct dossier *d, struct mac m, bool anywhere)
{
	for (size_t i = 0; i < d->owner_count; i++) {
		if ((anywhere || d->owners[i].same_segment) && mac_equal(d->owners[i].mac, m))
			return &d->owners[i];
	}
	return NULL;
}

static bool mac_owns(const struct dossier *d, struct mac m, struct ip ip)
{
	for (size_t i = 0; i < d->owner_count; i++) {
		if (mac_equal(d->owners[i].mac, m) && ip_equal(d->owners[i].ip.ip, ip))
			return true;
	}
	return false;
}

static struct ip dst_ip(const struct inquiry *q, int family) { return party_prefix(q->d, q->dst, family).ip; }

/* ---- frames with a wrong destination ---- */

/* Where src's frames for dst go first: to dst itself, or to a gateway that is the host of src. */
struct hop {
	struct ip ip;
	int party; /* whose address that is */
};

/* The guest's cable ends at its host, which routes: whatever address it sends to, there is nobody else. */
static bool cable_ends_at_host(const struct inquiry *q, const struct snapshot *host)
{
	const struct placement *at = &q->d->party[q->src].at;
	const struct link *port = host && at->known && !at->bridge[0] ? snapshot_link_named(host, at->port) : NULL;
	return port && !port->master && (strcmp(port->kind, "veth") == 0 || strcmp(port->kind, "tun") == 0);
}

static bool hop_is_gateway(const struct inquiry *q, const struct route *r, struct hop *h)
{
	int host = dossier_host(q->d, q->src);
	const struct snapshot *mine = party_facts(q->d, q->src), *s = host == q->src ? NULL : party_facts(q->d, host);
	const struct link *out = snapshot_link(mine, r->link);
	const struct link *bridge = s ? snapshot_link_named(s, q->d->party[q->src].at.bridge) : NULL;
	const struct addr *a = bridge ? snapshot_addr_of(s, r->gateway) : NULL;
	*h = (struct hop){r->gateway, host};
	bool its = cable_ends_at_host(q, s) || (a && a->link == bridge->index);
	if (!its && (h->party = party_of_ip(q->d, r->gateway)) >= 0) /* a router of its own */
		its = h->party != q->src;
	return its && out && strcmp(out->name, party_if(q->d, q->src)) == 0;
}

static bool hop_find(const struct inquiry *q, int family, bool onlink, struct hop *h)
{
	struct prefix mine = party_prefix(q->d, q->src, family);
	struct ip to = dst_ip(q, family);
	const struct snapshot *s = party_facts(q->d, q->src);
	const struct route *r = s && to.family ? snapshot_route(s, to, mine.ip) : NULL;
	if (r && r->gateway.family && !ip_equal(r->gateway, to))
		return hop_is_gateway(q, r, h);
	*h = (struct hop){to, q->dst};
	return onlink && to.family && (ip_is_link_local(to) || prefix_contains(mine, to));
}

/* The destination of this flow's frames (its probes or its answers) as the points on the way saw it. */
static bool frame_dst(const struct inquiry *q, const struct flow *f, bool answers, struct mac *out)
{
	for (size_t i = 0; i < q->d->path_count[q->p->dir]; i++) {
		bool looked;
		int at = q->d->path[q->p->dir][i];
		const struct point_seen *s = at < 0 ? NULL : dossier_seen(q->d, q->d->points[at].id, f->id, &looked);
		if (!s || !(answers ? s->answers : s->probes))
			continue;
		*out = answers ? s->answer_dst : s->probe_dst;
		if (mac_is_set(*out))
			return true;
	}
	return false;
}

/* Answers go back to the asker's source address. Without its own, that is one of another network. */
static bool answers_go_to(const struct inquiry *q, int family)
{
	const struct snapshot *s = party_facts(q->d, q->dst);
	return !s || snapshot_addr_of(s, dst_ip(q, family));
}

static bool frame_is_wrong(const struct inquiry *q, int kind, bool answers, struct mac *m)
{
	const struct kind_info *info = kind_info((enum kind)kind);
	const struct flow *f = flow_of(q->d, kind, answers ? 1 - q->p->dir : q->p->dir);
	struct hop h;
	if (!f || info->proto == PROTO_NEIGH || !hop_find(q, info->family, f->onlink, &h) || !frame_dst(q, f, answers, m))
		return false;
	if (answers && !answers_go_to(q, info->family))
		return false;
	return !mac_of_party(q->d, h.party, *m) && !mac_of_party(q->d, q->src, *m);
}

/* Where addresses may be translated TCP is known by its ports, and a frame of another connection may be taken for the round's:
 * what no other kind of the family shows is nothing. */
static bool frame_is_surely_wrong(const struct inquiry *q, int kind, bool answers, struct mac *m)
{
	const struct kind_info *info = kind_info((enum kind)kind);
	struct mac other;
	if (!frame_is_wrong(q, kind, answers, m))
		return false;
	for (int k = 0; k < KIND_COUNT && info->proto == PROTO_TCP; k++) {
		const struct kind_info *with = kind_info((enum kind)k);
		bool others = with->proto != PROTO_TCP && with->family == info->family;
		for (int a = 0; a < 2 && others; a++) {
			if (frame_is_wrong(q, k, a, &other) && mac_equal(other, *m))
				return true;
		}
	}
	return info->proto != PROTO_TCP;
}

/* Kinds whose frames go to a hardware address that is not the peer's; *m is one of them. */
static kind_mask wrong_frames(const struct inquiry *q, struct mac *m)
{
	kind_mask wrong = 0;
	struct mac one;
	for (int k = 0; k < KIND_COUNT; k++) {
		for (int answers = 0; answers < 2; answers++) {
			kind_mask among = answers ? q->p->answers : q->p->probes;
			if (!(among & KIND_BIT(k)) || !frame_is_surely_wrong(q, k, answers, &one))
				continue;
			*m = one;
			wrong |= KIND_BIT(k);
		}
	}
	return wrong;
}

/* The next hop of what `kinds` hold: all of one family, or IPv4's. */
static bool hop_of(const struct inquiry *q, kind_mask kinds, struct hop *h)
{
	return hop_find(q, kinds & kinds_of_family(4) ? 4 : 6, q->d->onlink, h);
}

static void wrong_mac_sent(const struct inquiry *q, struct finding *f)
{
	struct mac m;
	struct hop h;
	char has[MAC_TEXT_MAX], should[MAC_TEXT_MAX], ip[IP_TEXT_MAX];
	kind_mask kinds = q->who == q->src ? wrong_frames(q, &m) : 0;
	if (!kinds)
		find_no(f, "the frames of %s carry the right hardware address", name_of(q, q->src));
	else if (hop_of(q, kinds, &h) && h.party != q->dst)
		find_yes(f, kinds, "frames of %s for %s go to %s, which is not the gateway %s (%s)", name_of(q, q->src),
		         name_of(q, q->dst), mac_format(m, has), ip_format(h.ip, ip), name_of(q, h.party));
	else
		find_yes(f, kinds, "frames of %s for %s go to %s, but %s has %s", name_of(q, q->src), name_of(q, q->dst),
		         mac_format(m, has), name_of(q, q->dst), mac_format(q->d->party[q->dst].ep.mac, should));
}

/* The neighbour entry for the next hop that holds a hardware address which is not its own. */
static const struct neigh *wrong_entry(const struct inquiry *q, int family)
{
	const struct party *p = &q->d->party[q->src];
	const struct snapshot *const both[] = {p->after, p->reported || p->after ? p->before : NULL};
	struct hop h;
	bool known = hop_find(q, family, q->d->onlink, &h);
	for (size_t i = 0; known && i < 2; i++) {
		const struct link *l = both[i] ? snapshot_link_named(both[i], party_if(q->d, q->src)) : NULL;
		const struct neigh *n = l ? snapshot_neigh(both[i], h.ip, l->index) : NULL;
		if (n && mac_is_set(n->mac) && !mac_of_party(q->d, h.party, n->mac))
			return n;
	}
	return NULL;
}

static kind_mask wrong_entries(const struct inquiry *q, bool permanent)
{
	kind_mask kinds = 0;
	for (int family = 4; family <= 6; family += 2) {
		const struct neigh *n = wrong_entry(q, family);
		if (n && (!permanent || n->state & NEIGH_PERMANENT))
			kinds |= kinds_of_family(family);
	}
	return kinds & dying(q);
}

static void neigh_entry_wrong(const struct inquiry *q, struct finding *f)
{
	char mac[MAC_TEXT_MAX], ip[IP_TEXT_MAX];
	kind_mask kinds = q->who == q->src ? wrong_entries(q, false) : 0;
	if (!kinds) {
		find_no(f, "the neighbour entry of %s for %s is right", name_of(q, q->src), name_of(q, q->dst));
		return;
	}
	for (int family = 4; family <= 6; family += 2) {
		const struct neigh *n = wrong_entry(q, family);
		if (!n || !(kinds & kinds_of_family(family)))
			continue;
		ip_format(n->ip, ip);
		bindings_add(q->learned, "entry", "%s dev %s", ip, party_if(q->d, q->src));
		bindings_add(q->learned, "component", "%s", ip);
		find_yes(f, kinds, "%s has %s as the neighbour %s%s", name_of(q, q->src), mac_format(n->mac, mac), ip,
		         n->state & NEIGH_PERMANENT ? ", entered for good" : "");
	}
}

static void neigh_entry_permanent(const struct inquiry *q, struct finding *f)
{
	if (q->who == q->src && wrong_entries(q, true))
		find_yes(f, wrong_entries(q, true), "the entry is permanent: nothing but a person made it");
	else
		find_no(f, "no such entry of %s is permanent", name_of(q, q->src));
}

/* What it holds is what the peer had until it changed. */
static void neigh_entry_former(const struct inquiry *q, struct finding *f)
{
	char key[64], mac[MAC_TEXT_MAX];
	snprintf(key, sizeof key, "link.%s.mac", party_if(q->d, q->dst));
	const struct fact_change *c = history_last(&q->d->party[q->dst], key);
	kind_mask kinds = 0;
	for (int family = 4; family <= 6 && c && c->was; family += 2) {
		const struct neigh *n = q->who == q->src ? wrong_entry(q, family) : NULL;
		if (n && strcmp(c->was, mac_format(n->mac, mac)) == 0)
			kinds |= kinds_of_family(family);
	}
	if (kinds)
		find_yes(f, kinds, "%s had %s until it changed, and %s was not told", name_of(q, q->dst), c->was,
		         name_of(q, q->src));
	else
		find_no(f, "the hardware address that %s has for %s was never its own", name_of(q, q->src), name_of(q, q->dst));
}

/* ---- another machine with the same address ---- */

struct twin {
	int victim, asker;        /* whose address it is; who meets the wrong one */
	int party;                /* the twin, when it takes part; else -1 */
	char name[TITLE_MAX_LEN]; /* "" = a machine without an agent */
	char ifname[IFNAME_LEN];
	struct mac mac;
	struct prefix ip;
	bool host;
};

static const struct flow_sent *neigh_asked(const struct inquiry *q, int asker, int family)
{
	const struct flow *f = flow_of(q->d, family == 4 ? KIND_ARP : KIND_ND, asker == PARTY_A ? 0 : 1);
	return f ? dossier_sent(q->d, f->id) : NULL;
}

static bool mac_answered(const struct inquiry *q, int asker, int family, struct mac m)
{
	const struct flow_sent *s = neigh_asked(q, asker, family);
	for (size_t i = 0; s && i < s->mac_count && i < FLOW_MACS_MAX; i++) {
		if (mac_equal(s->macs[i], m))
			return true;
	}
	return false;
}

/* It shows in what was measured: it answers ARP, or frames for its twin go to it, or answers come from the wrong one. */
static bool twin_shows(const struct inquiry *q, const struct twin *t)
{
	struct mac m;
	int dir = t->asker == PARTY_A ? 0 : 1;
	if (mac_answered(q, t->asker, t->ip.ip.family, t->mac))
		return true;
	if (t->asker == q->src && wrong_frames(q, &m) && mac_equal(m, t->mac))
		return true;
	for (int k = 0; k < KIND_COUNT; k++) {
		if (dying(q) & KIND_BIT(k) && q->v->dir[dir].initiation[k] == CELL_IMPOSTOR)
			return true;
	}
	return false;
}

/* The other end itself owns the victim's address: what it sends there never leaves it. */
static bool twin_is_peer(const struct inquiry *q, int victim, int family, struct twin *t)
{
	int peer = victim == q->src ? q->dst : q->src;
	struct ip ip = party_prefix(q->d, victim, family).ip;
	const struct snapshot *s = party_facts(q->d, peer);
	const struct addr *a = s && ip.family && !ip_is_link_local(ip) ? snapshot_addr_of(s, ip) : NULL;
	const struct link *l = a ? snapshot_link(s, a->link) : NULL;
	if (!l)
		return false;
	*t = (struct twin){.victim = victim,
	                   .asker = peer,
	                   .party = peer,
	                   .ip = a->prefix,
	                   .mac = l->mac,
	                   .host = q->d->party[peer].kind == AGENT_HOST};
	snprintf(t->name, sizeof t->name, "%s", name_of(q, peer));
	snprintf(t->ifname, sizeof t->ifname, "%s", l->name);
	return true;
}

/* What owners say of "the same segment" is said of b's (of a's when b is a host): of no use for the other end when the two stand on
 * different ones, where the same address may well exist twice. */
static bool owners_stand_near(const struct inquiry *q, int victim)
{
	int near = q->d->party[PARTY_B].kind == AGENT_GUEST ? PARTY_B : PARTY_A;
	return q->d->onlink || victim == near;
}

static bool twin_is_owner(const struct inquiry *q, int victim, int family, struct twin *t)
{
	struct ip ip = party_prefix(q->d, victim, family).ip;
	if (!owners_stand_near(q, victim))
		return false;
	for (size_t i = 0; ip.family && !ip_is_link_local(ip) && i < q->d->owner_count; i++) {
		const struct owner *o = &q->d->owners[i];
		if (!o->same_segment || !ip_equal(o->ip.ip, ip) || strcmp(o->agent, name_of(q, victim)) == 0 ||
		    mac_of_party(q->d, victim, o->mac))
			continue;
		*t = (struct twin){
		    .victim = victim, .asker = victim == q->src ? q->dst : q->src, .ip = o->ip, .mac = o->mac, .host = o->host};
		t->party = dossier_party(q->d, o->agent);
		t->host |= t->party >= 0 && q->d->party[t->party].kind == AGENT_HOST;
		snprintf(t->name, sizeof t->name, "%s", o->agent);
		snprintf(t->ifname, sizeof t->ifname, "%s", o->ifname);
		if (twin_shows(q, t))
			return true;
	}
	return false;
}

/* A hardware address that answers for the victim's address and belongs to nobody we know. */
static bool twin_is_stranger(const struct inquiry *q, int victim, int family, struct twin *t)
{
	int asker = victim == q->src ? q->dst : q->src;
	const struct flow_sent *s = party_facts(q->d, victim) ? neigh_asked(q, asker, family) : NULL;
	for (size_t i = 0; s && i < s->mac_count && i < FLOW_MACS_MAX; i++) {
		struct mac m = s->macs[i];
		if (mac_of_party(q->d, victim, m) || mac_of_party(q->d, asker, m) || mac_of_hosts(q, m) ||
		    mac_owner(q->d, m, false))
			continue;
		*t = (struct twin){.victim = victim, .asker = asker, .party = -1, .mac = m};
		t->ip = party_prefix(q->d, victim, family);
		return true;
	}
	return false;
}

static bool twin_find(const struct inquiry *q, int family, struct twin *t)
{
	const int victims[] = {q->dst, q->src};
	typedef bool finder(const struct inquiry *q, int victim, int family, struct twin *t);
	finder *const finders[] = {twin_is_peer, twin_is_owner, twin_is_stranger};
	for (size_t i = 0; i < COUNT(finders); i++) {
		for (size_t v = 0; v < 2; v++) {
			if (finders[i](q, victims[v], family, t))
				return true;
		}
	}
	return false;
}

static bool addr_is_new(const struct party *p, struct ip ip, struct prefix *out)
{
	for (size_t i = p->change_count; i-- > 0;) {
		const char *dot = strncmp(p->changes[i].key, "addr.", 5) == 0 ? strchr(p->changes[i].key + 5, '.') : NULL;
		if (dot && prefix_parse(dot + 1, out) == 0 && ip_equal(out->ip, ip))
			return p->changes[i].now && !p->changes[i].was;
	}
	return false;
}

/* The one who took it later gives it back. */
static void twin_bind(const struct inquiry *q, const struct twin *t)
{
	char ip[PREFIX_TEXT_MAX], mac[MAC_TEXT_MAX];
	struct prefix had;
	const struct party *v = &q->d->party[t->victim];
	bool twin_new = t->party >= 0 && addr_is_new(&q->d->party[t->party], t->ip.ip, &had);
	bool blame_victim = t->name[0] && t->party >= 0 && !twin_new && addr_is_new(v, t->ip.ip, &had);
	if (blame_victim) {
		bindings_add(q->learned, "other", "%s", v->name);
		bindings_add(q->learned, "twin.del", "addr del %s dev %s", prefix_format(had, ip), party_if(q->d, t->victim));
	} else if (t->name[0]) {
		bindings_add(q->learned, "other", "%s", t->name);
		bindings_add(q->learned, "twin.del", "addr del %s dev %s", prefix_format(t->ip, ip), t->ifname);
	} else {
		bindings_add(q->learned, "other", "the machine with %s", mac_format(t->mac, mac));
	}
	bindings_add(q->learned, "twin.mac", "%s", mac_format(t->mac, mac));
	bindings_add(q->learned, "twin.ip", "%s", ip_format(t->ip.ip, ip));
	bindings_add(q->learned, "component", "%s", ip);
	if (t->party != t->asker) {
		bindings_add(q->learned, "asker", "%s", name_of(q, t->asker));
		bindings_add(q->learned, "flush", "%s dev %s", ip, party_if(q->d, t->asker));
	}
}

/* Who hears both believes the one and the other in turn: of what is sent then, some goes to the twin. */
static kind_mask twin_shares(const struct inquiry *q, const struct twin *t)
{
	const struct problem *p = q->p;
	bool on_the_way = p->placed && p->after > 0 && p->before + 1u < q->v->dir[p->dir].path_count;
	return t->asker == q->src && p->partial && on_the_way ? p->probes : 0;
}

/* What the twin accounts for: all, when it is the peer itself; else what was sent to it, and what it answered. */
static kind_mask twin_takes(const struct inquiry *q, const struct twin *t)
{
	struct mac m;
	kind_mask kinds = 0;
	int dir = t->asker == PARTY_A ? 0 : 1;
	if (t->party >= 0 && (t->party == q->src || t->party == q->dst))
		return kinds_of_family(t->ip.ip.family);
	if (t->asker == q->src && (kinds = wrong_frames(q, &m)) && !mac_equal(m, t->mac))
		kinds = 0;
	for (int k = 0; k < KIND_COUNT; k++) {
		uint8_t c = q->v->dir[dir].initiation[k];
		if (c == CELL_IMPOSTOR || (c == CELL_REFUSED && q->v->dir[dir].delivery[k] != CELL_OK))
			kinds |= KIND_BIT(k);
	}
	if (mac_answered(q, t->asker, t->ip.ip.family, t->mac))
		kinds |= kinds_of_proto(PROTO_NEIGH) | twin_shares(q, t);
	return kinds & kinds_of_family(t->ip.ip.family);
}

static void twin_claims(const struct inquiry *q, struct finding *f)
{
	struct twin t;
	char ip[IP_TEXT_MAX], mac[MAC_TEXT_MAX];
	kind_mask kinds = 0;
	for (int family = 4; family <= 6; family += 2) {
		kind_mask takes = kinds_of_family(family) & dying(q) && twin_find(q, family, &t) ? twin_takes(q, &t) : 0;
		if (!(takes & dying(q)))
			continue;
		twin_bind(q, &t);
		kinds |= takes;
		find_yes(f, kinds, "%s is owned twice: by %s and by %s%s(%s)", ip_format(t.ip.ip, ip), name_of(q, t.victim),
		         t.name[0] ? t.name : "a machine without an agent", " ", mac_format(t.mac, mac));
	}
	if (!kinds)
		find_no(f, "nobody else was seen with the address of %s or of %s", name_of(q, q->src), name_of(q, q->dst));
}

static bool any_twin(const struct inquiry *q, struct twin *t)
{
	return (kinds_of_family(4) & dying(q) && twin_find(q, 4, t)) || (kinds_of_family(6) & dying(q) && twin_find(q, 6, t));
}

static void twin_known(const struct inquiry *q, struct finding *f)
{
	struct twin t;
	if (any_twin(q, &t) && t.name[0])
		find_yes(f, ~0u, "%s itself says that it owns the address", t.name);
	else
		find_no(f, "no agent says that it owns the address as well");
}

static void twin_with_host(const struct inquiry *q, struct finding *f)
{
	struct twin t;
	if (!any_twin(q, &t))
		return;
	if (t.host || q->d->party[t.victim].kind == AGENT_HOST)
		find_yes(f, ~0u, "one of the two is a host");
	else
		find_no(f, "neither of the two is a host");
}

static void twin_answers(const struct inquiry *q, struct finding *f)
{
	struct twin t;
	char mac[MAC_TEXT_MAX];
	if (any_twin(q, &t) && mac_answered(q, t.asker, t.ip.ip.family, t.mac))
		find_yes(f, ~0u, "%s answers for the address too", mac_format(t.mac, mac));
	else
		find_unknown(f, "it was not seen answering for the address");
}

/* ---- a bystander in between ---- */

struct bystander {
	const struct owner *owner;
	int family;
	struct ip claimed;
	kind_mask kinds;
	bool answers; /* seen answering for the address only: the frames go the right way at the moment */
};

/* A machine that neither is one of the two nor owns that address, dst's or the gateway's. Who stands on the segment is known of the
 * two, not of those before a gateway. */
static const struct owner *bystander_of(const struct inquiry *q, struct mac m, struct ip claimed, bool gateway)
{
	const struct owner *o = mac_owner(q->d, m, gateway);
	if (!o || mac_owns(q->d, m, claimed) || mac_of_party(q->d, q->dst, m) || mac_of_party(q->d, q->src, m))
		return NULL;
	return strcmp(o->agent, name_of(q, q->src)) && strcmp(o->agent, name_of(q, q->dst)) ? o : NULL;
}

/* It answers for dst's address while nothing of it is lost yet. A host may answer for its guests: proxy ARP. */
static bool bystander_claims(const struct inquiry *q, struct bystander *b)
{
	for (b->family = 4; b->family <= 6; b->family += 2) {
		const struct flow_sent *s = neigh_asked(q, q->src, b->family);
		b->kinds = q->p->starts & kinds_of_proto(PROTO_NEIGH) & kinds_of_family(b->family);
		for (size_t i = 0; s && b->kinds && i < s->mac_count && i < FLOW_MACS_MAX; i++) {
			b->claimed = dst_ip(q, b->family);
			b->owner = bystander_of(q, s->macs[i], b->claimed, false);
			b->answers = true;
			if (b->owner && !b->owner->host)
				return true;
		}
	}
	return false;
}

/* The frames for dst go to a live machine that does not own dst's address, or it claims it. */
static bool bystander_find(const struct inquiry *q, struct bystander *b)
{
	struct mac m;
	struct hop h;
	*b = (struct bystander){0};
	if (q->who != q->src)
		return false;
	b->kinds = wrong_frames(q, &m);
	b->family = b->kinds & kinds_of_family(4) ? 4 : 6;
	if (b->kinds && hop_of(q, b->kinds, &h)) {
		b->claimed = h.ip;
		b->owner = bystander_of(q, m, h.ip, h.party != q->dst);
	}
	return b->owner || (!b->kinds && bystander_claims(q, b));
}

/* Behind it stand others of this round, too: a rule there would hit them when they speak for themselves. */
static bool port_is_shared(const struct inquiry *q, const struct snapshot *s, uint32_t port, struct mac but)
{
	for (size_t i = 0; i < s->fdb_count; i++) {
		const struct fdb *e = &s->fdbs[i];
		if (e->port != port || e->local || mac_equal(e->mac, but))
			continue;
		for (size_t k = 0; k < q->d->party_count; k++) {
			if (mac_of_party(q->d, (int)k, e->mac))
				return true;
		}
	}
	return false;
}

/* The port by which it alone enters a host of ours: not the uplink. */
static void guard_bind(const struct inquiry *q, struct mac m, struct ip claimed)
{
	char ip[IP_TEXT_MAX];
	const int ends[] = {q->src, q->dst};
	for (size_t e = 0; e < 2; e++) {
		const struct placement *at = &q->d->party[ends[e]].at;
		int host = dossier_host(q->d, ends[e]);
		const struct snapshot *s = party_facts(q->d, host);
		for (size_t i = 0; s && i < s->fdb_count; i++) {
			const struct link *port = snapshot_link(s, s->fdbs[i].port);
			if (!mac_equal(s->fdbs[i].mac, m) || s->fdbs[i].local || !port || !port->port ||
			    strcmp(port->name, at->uplink) == 0 || port_is_shared(q, s, port->index, m))
				continue;
			bindings_add(q->learned, "guard", "%s", name_of(q, host));
			bindings_add(q->learned, "guard.rule", "iifname %s arp saddr ip %s drop", port->name,
			             ip_format(claimed, ip));
			return;
		}
	}
}

static void bystander_gets_it(const struct inquiry *q, struct finding *f)
{
	struct bystander b;
	char mac[MAC_TEXT_MAX], ip[IP_TEXT_MAX];
	if (!bystander_find(q, &b)) {
		find_no(f, "no other machine was seen in between");
		return;
	}
	struct ip claimed = b.claimed;
	bindings_add(q->learned, "other", "%s", b.owner->agent);
	bindings_add(q->learned, "component", "%s", mac_format(b.owner->mac, mac));
	bindings_add(q->learned, "victim", "%s", name_of(q, q->src));
	bindings_add(q->learned, "flush", "%s dev %s", ip_format(claimed, ip), party_if(q->d, q->src));
	if (b.family == 4)
		guard_bind(q, b.owner->mac, claimed);
	if (b.answers)
		find_yes(f, b.kinds, "%s (%s) tells %s that it has %s, and does not own that address", b.owner->agent, mac,
		         name_of(q, q->src), ip);
	else
		find_yes(f, b.kinds, "frames of %s for %s go to %s, which is %s and does not own %s", name_of(q, q->src),
		         name_of(q, q->dst), mac, b.owner->agent, ip);
}

/* It does so because it is set up to, not with ill will. */
static void bystander_proxies(const struct inquiry *q, struct finding *f)
{
	struct bystander b;
	if (!bystander_find(q, &b) || !b.owner->proxies) {
		find_no(f, "no machine that answers for others was seen in between");
		return;
	}
	bindings_add(q->learned, "proxy", "%s", b.owner->ifname);
	find_yes(f, ~0u, "%s answers ARP for others on %s (proxy_arp)", b.owner->agent, b.owner->ifname);
}

/* A switch that says so, or a machine that was seen doing so and is set up to. */
static void proxy_in_between(const struct inquiry *q, struct finding *f)
{
	struct finding set = {.is = TRI_NO};
	evidence_find("proxy-answers")->find(q, f);
	if (f->is == TRI_YES)
		return;
	bystander_proxies(q, &set);
	*f = set;
	if (set.is != TRI_YES)
		return;
	bystander_gets_it(q, f);
	bindings_add(q->learned, "switch", "%s", bindings_get(q->learned, "other"));
	if (f->is == TRI_YES)
		snprintf(f->text + strlen(f->text), sizeof f->text - strlen(f->text),
		         "; it is set up to answer for others (proxy_arp)");
}

static void bystander_answers(const struct inquiry *q, struct finding *f)
{
	struct bystander b;
	if (bystander_find(q, &b) && mac_answered(q, q->src, b.family, b.owner->mac))
		find_yes(f, ~0u, "%s claims the address of %s by ARP", b.owner->agent, name_of(q, q->dst));
	else
		find_unknown(f, "it was not seen answering ARP for it");
}

/* ---- not answering ---- */

static void ignore_bind(const struct inquiry *q, const char *name, int64_t v)
{
	char key[112];
	if (v == 0)
		return;
	snprintf(key, sizeof key, "sysctl.%s", name);
	const struct fact_change *c = history_last(&q->d->party[q->who], key);
	bindings_add(q->learned, "sysctl", "%s=%s", name, c && c->was ? c->was : "0");
}

/* arp_ignore keeps the machine from answering for this address on this interface. */
static bool arp_is_ignored(const struct inquiry *q, const struct snapshot *s, char *text, size_t size)
{
	char name[96];
	int64_t all = 0, own = 0;
	struct ip mine = party_prefix(q->d, q->who, 4).ip;
	const struct addr *a = mine.family ? snapshot_addr_of(s, mine) : NULL;
	const struct link *l = party_link(q->d, q->who);
	snprintf(name, sizeof name, "net.ipv4.conf.%s.arp_ignore", party_if(q->d, q->who));
	snapshot_sysctl(s, "net.ipv4.conf.all.arp_ignore", &all);
	snapshot_sysctl(s, name, &own);
	int64_t effective = all > own ? all : own;
	bool elsewhere = a && l && a->link != l->index;
	if (effective != 8 && !((effective == 1 || effective == 2) && elsewhere))
		return false;
	ignore_bind(q, "net.ipv4.conf.all.arp_ignore", all);
	ignore_bind(q, name, own);
	snprintf(text, size, "arp_ignore is %lld", (long long)effective);
	return true;
}

static bool neigh_is_filtered(const struct inquiry *q, int kind, bool answers_others, char *text, size_t size)
{
	struct hits hits;
	hits_neighbour(q->d, q->p, q->who, kind, answers_others, &hits);
	for (size_t i = 0; i < hits.count; i++) {
		if (!hits.item[i].sure)
			continue;
		filter_bind(q, &hits.item[i]);
		accepts_bind(q, &hits, 1u << HIT_NEIGH);
		firewall_text(&hits.item[i].decision, text, size);
		return true;
	}
	return false;
}

static bool unanswered_by(const struct inquiry *q, int kind)
{
	kind_mask here = q->who == q->src ? q->p->answers : q->who == q->dst ? q->p->starts : 0;
	return here & KIND_BIT(kind) && (q->who == q->dst || (q->p->placed && q->p->after == 0));
}

static bool lacks_neighbour(const struct inquiry *q, int router, int family)
{
	struct ip ip = party_prefix(q->d, q->dst, family).ip;
	const struct snapshot *s = q->d->party[router].after;
	for (size_t k = 0; s && ip.family && k < s->neigh_count; k++)
		if (ip_equal(s->neighs[k].ip, ip) && s->neighs[k].state & (NEIGH_FAILED | NEIGH_INCOMPLETE))
			return true;
	struct inquiry at = *q;
	struct bindings unused = {0};
	struct finding said = {0};
	at.who = router;
	at.learned = &unused;
	evidence_find("drop-reason-neighbour")->find(&at, &said);
	bindings_free(&unused);
	return said.is == TRI_YES && said.kinds & kinds_of_family(family);
}

/* A router on the stretch that asked for the receiver's hardware address in vain; -1 = none. */
static int asks_in_vain(const struct inquiry *q, int family)
{
	for (size_t i = q->p->after; q->p->placed && i <= q->p->before; i++) {
		int r = point_party(q->d, q->v, q->p->dir, i);
		if (r >= 0 && r != q->src && r != q->dst && lacks_neighbour(q, r, family))
			return r;
	}
	return -1;
}

static void asked_in_vain(const struct inquiry *q, struct finding *f)
{
	for (int family = 4; family <= 6; family += 2) {
		int r = dying(q) & kinds_of_family(family) ? asks_in_vain(q, family) : -1;
		if (r >= 0)
			find_yes(f, kinds_of_family(family) | (f->is == TRI_YES ? f->kinds : 0),
			         "%s asked for the hardware address of %s in vain", name_of(q, r), name_of(q, q->dst));
	}
	if (f->is != TRI_YES)
		find_no(f, "no router on the way lacks a hardware address");
}

/* Without ARP a machine sends its frames to its own hardware address. */
static kind_mask frames_to_self(const struct inquiry *q)
{
	kind_mask kinds = 0;
	struct mac m;
	for (int k = 0; k < KIND_COUNT && q->who == q->src; k++) {
		for (int answers = 0; answers < 2; answers++) {
			kind_mask among = answers ? q->p->answers : q->p->probes;
			const struct flow *f = among & KIND_BIT(k) ? flow_of(q->d, k, answers ? 1 - q->p->dir : q->p->dir) : NULL;
			if (f && kind_info((enum kind)k)->proto != PROTO_NEIGH && frame_dst(q, f, answers, &m) &&
			    mac_of_party(q->d, q->src, m))
				kinds |= KIND_BIT(k);
		}
	}
	return kinds;
}

/* Who does not answer takes nothing of what it sends itself: only those answers, and what waits for them. */
static kind_mask silence_takes(const struct inquiry *q, kind_mask families)
{
	kind_mask own = q->p->starts | (q->p->answers & kinds_of_proto(PROTO_NEIGH));
	return q->who == q->src ? families & own : families;
}

static kind_mask noarp_takes(const struct inquiry *q)
{
	kind_mask both = kinds_of_family(4) | kinds_of_family(6);
	return frames_to_self(q) | (unanswered_by(q, KIND_ARP) ? silence_takes(q, both) : 0);
}

static void arp_silenced(const struct inquiry *q, struct finding *f)
{
	const struct snapshot *s = party_facts(q->d, q->who);
	const struct link *l = party_link(q->d, q->who);
	char why[400];
	if (!s) {
		find_unknown(f, "%s did not report its facts", name_of(q, q->who));
		return;
	}
	if (l && l->noarp && l->up) {
		bindings_add(q->learned, "noarp", "%s", l->name);
		find_yes(f, noarp_takes(q), "ARP is switched off on %s:%s", name_of(q, q->who), l->name);
		return;
	}
	struct ip mine = party_prefix(q->d, q->who, 4).ip;
	bool has = mine.family && snapshot_addr_of(s, mine);
	bool unanswered = unanswered_by(q, KIND_ARP) || (q->who == q->dst && asks_in_vain(q, 4) >= 0);
	if (has && unanswered && (arp_is_ignored(q, s, why, sizeof why) || neigh_is_filtered(q, KIND_ARP, true, why, sizeof why)))
		find_yes(f, silence_takes(q, kinds_of_family(4)), "%s has the address and does not answer ARP for it: %s",
		         name_of(q, q->who), why);
	else
		find_no(f, "nothing keeps %s from answering ARP", name_of(q, q->who));
}

static void nd_silenced(const struct inquiry *q, struct finding *f)
{
	char why[400];
	if (!party_facts(q->d, q->who))
		find_unknown(f, "%s did not report its facts", name_of(q, q->who));
	else if (unanswered_by(q, KIND_ND) && neigh_is_filtered(q, KIND_ND, true, why, sizeof why))
		find_yes(f, silence_takes(q, kinds_of_family(6)), "%s filters neighbour discovery: %s", name_of(q, q->who), why);
	else
		find_no(f, "no filter keeps %s from answering neighbour discovery", name_of(q, q->who));
}

static void arp_replies_filtered(const struct inquiry *q, struct finding *f)
{
	char why[400];
	if (!party_facts(q->d, q->who))
		find_unknown(f, "%s did not report its facts", name_of(q, q->who));
	else if (neigh_is_filtered(q, KIND_ARP, false, why, sizeof why)) {
		find_yes(f, kinds_of_family(4), "%s drops its own ARP: %s", name_of(q, q->who), why);
		neigh_is_filtered(q, KIND_ARP, true, why, sizeof why); /* what is asked of it must get in as well */
	} else
		find_no(f, "%s does not filter its own ARP", name_of(q, q->who));
}

static const struct evidence items[] = {
    {"wrong-mac-sent", wrong_mac_sent, "captures",
     "the machine's frames for its peer carry a hardware address that is not the peer's"},
    {"neigh-entry-wrong", neigh_entry_wrong, "neighbour table",
     "the machine's neighbour entry for its peer holds a wrong hardware address"},
    {"neigh-entry-former", neigh_entry_former, "neighbour table, what changed",
     "that entry holds what the peer had before its hardware address changed"},
    {"neigh-entry-permanent", neigh_entry_permanent, "neighbour table", "that entry is permanent"},
    {"twin-claims", twin_claims, "ARP answers, addresses of all agents",
     "another machine on the segment has the address of one end, and it shows"},
    {"twin-known", twin_known, "addresses of all agents", "the other owner of the address runs an agent"},
    {"twin-with-host", twin_with_host, "addresses of all agents", "one of the two owners is a host"},
    {"twin-answers", twin_answers, "ARP answers", "the other owner answers ARP for the address"},
    {"bystander-gets-it", bystander_gets_it, "captures, addresses of all agents",
     "the machine's frames for its peer go to a third machine that does not own the address"},
    {"bystander-proxies", bystander_proxies, "sysctl of all agents", "that third machine is set up to answer ARP for others"},
    {"proxy-in-between", proxy_in_between, "switch: proxy ARP; captures, sysctl of all agents",
     "a device that is set up to answer ARP for others does so for the peer"},
    {"bystander-answers", bystander_answers, "ARP answers", "that third machine answers ARP for the address"},
    {"arp-silenced", arp_silenced, "links, sysctl, ARP rules",
     "the machine has the address and is set up not to answer ARP for it"},
    {"asked-in-vain", asked_in_vain, "neighbour tables, cut", "a router on the way found no hardware address of the receiver"},
    {"nd-silenced", nd_silenced, "firewall rules", "the machine's own filter keeps it from answering neighbour discovery"},
    {"arp-replies-filtered", arp_replies_filtered, "ARP rules", "the machine drops its own ARP requests or the replies to them"},
};
const struct evidence_table evidence_neigh = {items, COUNT(items)};
