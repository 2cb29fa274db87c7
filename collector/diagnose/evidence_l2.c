/* evidence_l2: what a bridge does with frames it ought to pass on, and interfaces that several machines share. */
#include "collector/diagnose/inquiry.h"

#include "proto/base/mem.h"

#include <stdio.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static bool setting(const struct snapshot *s, const char *what, const char *link, const char *name, int64_t *out)
{
	char key[96];
	snprintf(key, sizeof key, "%s.%s.%s", what, link, name);
	return snapshot_sysctl(s, key, out);
}

static void no_facts(const struct inquiry *q, struct finding *f)
{
	find_unknown(f, "%s did not report its facts", name_of(q, q->who));
}

/* ---- frames for one machine that the bridge does not know the way of ---- */

static const struct fdb *fdb_of(const struct snapshot *s, uint32_t bridge, struct mac m)
{
	for (size_t i = 0; i < s->fdb_count; i++) {
		const struct fdb *e = &s->fdbs[i];
		if (e->bridge == bridge && e->port != bridge && mac_equal(e->mac, m))
			return e;
	}
	return NULL;
}

static bool out_is_forgotten(const struct inquiry *q, const struct crossing *c)
{
	const struct party *to = &q->d->party[q->dst];
	struct mac m = to->ep.mac;
	bool for_it = q->d->onlink || strcmp(c->out->name, to->at.port) == 0; /* not for a router before it */
	return c->out->port && !c->out->flood && for_it && mac_is_set(m) && !fdb_of(party_facts(q->d, q->who), c->out->master, m);
}

static kind_mask asked_by_all(const struct inquiry *q) { return q->p->probes & kinds_of_proto(PROTO_NEIGH); }

static void unicast_not_flooded(const struct inquiry *q, struct finding *f)
{
	struct crossing c;
	char mac[MAC_TEXT_MAX];
	if (!party_facts(q->d, q->who)) {
		no_facts(q, f);
		return;
	}
	if (!crossing_find(q, out_is_forgotten, &c)) {
		find_no(f, "%s knows the port of %s, or tries them all", name_of(q, q->who), name_of(q, q->dst));
		return;
	}
	bindings_add(q->learned, "component", "%s", c.out->name);
	bindings_add(q->learned, "port", "%s", c.out->name);
	find_yes(f, ~asked_by_all(q), "%s has no forwarding entry for %s (%s), and %s gets no frames for addresses nobody knows%s",
	         name_of(q, q->who), mac_format(q->d->party[q->dst].ep.mac, mac), name_of(q, q->dst), c.out->name,
	         c.out->learning ? "" : ", nor does it learn");
}

/* ---- a forwarding table that is full ---- */

/* The port behind which most of the learned addresses are. */
static const struct link *busiest_port(const struct snapshot *s, uint32_t bridge, size_t *most)
{
	const struct link *found = NULL;
	*most = 0;
	for (size_t i = 0; i < s->link_count; i++) {
		size_t n = 0;
		for (size_t k = 0; s->links[i].master == bridge && k < s->fdb_count; k++)
			n += s->fdbs[k].bridge == bridge && s->fdbs[k].port == s->links[i].index && !s->fdbs[k].is_static;
		if (n > *most) {
			*most = n;
			found = &s->links[i];
		}
	}
	return found;
}

static bool fdb_is_full(const struct snapshot *s, const char *bridge, int64_t *learned)
{
	int64_t max = 0;
	char key[96];
	snprintf(key, sizeof key, "bridge.%s.fdb_learned", bridge);
	return setting(s, "bridge", bridge, "fdb_max_learned", &max) && snapshot_counter(s, key, learned) && max > 0 &&
	       *learned >= max;
}

static void fdb_full(const struct inquiry *q, struct finding *f)
{
	const struct snapshot *s = party_facts(q->d, q->who);
	for (size_t i = 0; s && i < s->link_count; i++) {
		const struct link *b = &s->links[i];
		int64_t learned = 0;
		size_t most;
		if (!link_is_bridge(b) || !fdb_is_full(s, b->name, &learned))
			continue;
		const struct link *port = busiest_port(s, b->index, &most);
		if (!port)
			continue;
		bindings_add(q->learned, "flooder", "%s", port->name);
		find_yes(f, ~0u, "the forwarding table of %s:%s is full: it learned %lld addresses, %zu of them behind %s",
		         name_of(q, q->who), b->name, (long long)learned, most, port->name);
		return;
	}
	if (s)
		find_no(f, "the forwarding tables of %s are not full", name_of(q, q->who));
	else
		no_facts(q, f);
}

/* ---- multicast snooping ---- */

static bool out_is_snooped(const struct inquiry *q, const struct crossing *c)
{
	const struct snapshot *s = party_facts(q->d, q->who);
	const struct link *b = c->out->port ? snapshot_link(s, c->out->master) : NULL;
	int64_t on = 0;
	return b && c->out->mcast_flood && setting(s, "bridge", b->name, "mcast_snooping", &on) && on;
}

static void snooping_hides(const struct inquiry *q, struct finding *f)
{
	struct crossing c;
	bool asked = q->p->probes & KIND_BIT(KIND_ND), arp = (dying(q) & KIND_BIT(KIND_ARP)) != 0;
	if (!asked || arp || !crossing_find(q, out_is_snooped, &c)) {
		find_no(f, "no bridge of %s keeps multicasts from the port", name_of(q, q->who));
		return;
	}
	const struct link *b = snapshot_link(party_facts(q->d, q->who), c.out->master);
	bindings_add(q->learned, "component", "%s", b->name);
	bindings_add(q->learned, "bridge", "%s", b->name);
	find_yes(f, kinds_of_family(6), "%s:%s snoops multicasts, and neighbour solicitations do not reach %s, while ARP does",
	         name_of(q, q->who), b->name, c.out->name);
}

/* ---- an address on a port ---- */

static const struct addr *addr_on_port(const struct inquiry *q, int family)
{
	const struct snapshot *s = party_facts(q->d, q->who);
	struct prefix mine = party_prefix(q->d, q->who, family), other = party_prefix(q->d, other_end(q), family);
	for (size_t i = 0; s && i < s->addr_count; i++) {
		const struct addr *a = &s->addrs[i];
		const struct link *l = snapshot_link(s, a->link), *b = l ? snapshot_link(s, l->master) : NULL;
		bool meant = ip_equal(a->prefix.ip, mine.ip) || (other.ip.family && prefix_contains(a->prefix, other.ip));
		if (l && l->port && b && link_is_bridge(b) && a->prefix.ip.family == family && meant &&
		    !ip_is_link_local(a->prefix.ip))
			return a;
	}
	return NULL;
}

static void addr_on_port_bind(const struct inquiry *q, const struct addr *a)
{
	const struct snapshot *s = party_facts(q->d, q->who);
	const struct link *l = snapshot_link(s, a->link), *b = snapshot_link(s, l->master);
	char ip[PREFIX_TEXT_MAX];
	prefix_format(a->prefix, ip);
	bindings_add(q->learned, "component", "%s", l->name);
	bindings_add(q->learned, "move", "addr del %s dev %s", ip, l->name);
	bindings_add(q->learned, "move", "addr add %s dev %s", ip, b->name);
}

static void address_on_port(const struct inquiry *q, struct finding *f)
{
	const struct addr *four = addr_on_port(q, 4), *six = addr_on_port(q, 6), *a = four ? four : six;
	char ip[PREFIX_TEXT_MAX];
	if (!a) {
		find_no(f, "no address of %s is on a port of a bridge", name_of(q, q->who));
		return;
	}
	if (four)
		addr_on_port_bind(q, four);
	if (six)
		addr_on_port_bind(q, six);
	const struct link *l = snapshot_link(party_facts(q->d, q->who), a->link);
	find_yes(f, (four ? kinds_of_family(4) : 0) | (six ? kinds_of_family(6) : 0),
	         "%s has %s on %s, which is a port of %s: what comes in there goes to the bridge", name_of(q, q->who),
	         prefix_format(a->prefix, ip), l->name, snapshot_link(party_facts(q->d, q->who), l->master)->name);
}

/* ---- interfaces that several machines share: macvtap and its kind ---- */

static bool kind_shares(const struct link *l)
{
	static const char *const kinds[] = {"macvtap", "macvlan", "ipvtap", "ipvlan"};
	for (size_t i = 0; l && i < COUNT(kinds); i++) {
		if (strcmp(l->kind, kinds[i]) == 0)
			return true;
	}
	return false;
}

/* The host's device of a guest that shares an interface with others. NULL: it does not. */
static const struct link *shared_port(const struct inquiry *q, int end)
{
	const struct party *p = &q->d->party[end];
	const struct snapshot *s = party_facts(q->d, dossier_host(q->d, end));
	const struct link *l = p->kind == AGENT_GUEST && p->at.known && s ? snapshot_link_named(s, p->at.port) : NULL;
	return kind_shares(l) ? l : NULL;
}

static bool on_one_host(const struct inquiry *q) { return dossier_host(q->d, q->src) == dossier_host(q->d, q->dst); }

static void nic_shared_with_host(const struct inquiry *q, struct finding *f)
{
	int guest = q->d->party[q->src].kind == AGENT_GUEST ? q->src : q->dst, host = guest == q->src ? q->dst : q->src;
	const struct link *l = shared_port(q, guest);
	const struct snapshot *s = party_facts(q->d, host);
	const struct link *parent = l ? snapshot_link(s, l->parent) : NULL;
	if (!l || q->d->party[host].kind != AGENT_HOST || !on_one_host(q) ||
	    (parent && strcmp(parent->name, party_if(q->d, host)) != 0)) {
		find_no(f, "the guest does not share an interface with its host");
		return;
	}
	bindings_add(q->learned, "component", "%s", l->name);
	bindings_add(q->learned, "parent", "%s", parent ? parent->name : party_if(q->d, host));
	find_yes(f, ~0u, "%s shares %s:%s with its host (%s): the kernel passes nothing between the two", name_of(q, guest),
	         name_of(q, host), parent ? parent->name : party_if(q->d, host), l->kind);
}

/* Two guests of one host on one interface, in a mode that keeps them apart. */
static const struct link *kept_apart(const struct inquiry *q, const char *mode)
{
	const struct link *a = shared_port(q, q->src), *b = shared_port(q, q->dst);
	if (!a || !b || !on_one_host(q) || a->parent != b->parent)
		return NULL;
	return strcmp(a->mode, mode) == 0 ? a : strcmp(b->mode, mode) == 0 ? b : NULL;
}

static void apart_by(const struct inquiry *q, struct finding *f, const char *mode)
{
	const struct link *ports[] = {shared_port(q, q->src), shared_port(q, q->dst)}, *l = kept_apart(q, mode);
	if (!l) {
		find_no(f, "the two do not share an interface in mode %s", mode);
		return;
	}
	bindings_add(q->learned, "component", "%s", l->name);
	for (size_t i = 0; i < 2; i++) {
		if (strcmp(ports[i]->mode, mode) == 0)
			bindings_add(q->learned, "mode", "%s type %s", ports[i]->name, ports[i]->kind);
	}
	find_yes(f, ~0u, "%s and %s share an interface of %s, and %s is in mode %s", name_of(q, q->src), name_of(q, q->dst),
	         name_of(q, dossier_host(q->d, q->src)), l->name, mode);
}

static void nic_mode_private(const struct inquiry *q, struct finding *f) { apart_by(q, f, "private"); }
static void nic_mode_vepa(const struct inquiry *q, struct finding *f) { apart_by(q, f, "vepa"); }

/* ---- what the network between hosts does ---- */

static const struct path_point *at_point(const struct inquiry *q, size_t i) { return &q->v->dir[q->p->dir].path[i]; }

static bool between_hosts(const struct inquiry *q)
{
	for (size_t i = q->p->after; q->p->placed && i < q->p->before; i++) {
		int a = point_party(q->d, q->v, q->p->dir, i), b = point_party(q->d, q->v, q->p->dir, i + 1);
		if (a != b && at_point(q, i)->agent_kind == AGENT_HOST && at_point(q, i + 1)->agent_kind == AGENT_HOST)
			return true;
	}
	return false;
}

static void span_bind(const struct inquiry *q)
{
	bindings_add(q->learned, "component", "%s", "between the uplinks");
	bindings_add(q->learned, "span", "%s-%s", name_of(q, dossier_host(q->d, PARTY_A)), name_of(q, dossier_host(q->d, PARTY_B)));
	bindings_add(q->learned, "switch", "%s", bindings_get(q->learned, "span"));
}

/* Somebody between the hosts takes one machine's ARP, requests and replies, and nothing else of it. A switch that limits
 * broadcasts would let the replies pass. */
static void arp_inspected(const struct inquiry *q, struct finding *f)
{
	const struct direction *there = &q->v->dir[q->p->dir], *back = &q->v->dir[1 - q->p->dir];
	bool only = !(dying(q) & ~KIND_BIT(KIND_ARP)) && there->delivery[KIND_ARP] == CELL_LOST;
	bool replies = back->delivery[KIND_ARP] == CELL_OK && cell_is_bad(back->initiation[KIND_ARP]);
	bool passes = there->delivery[KIND_ICMP] == CELL_OK || there->delivery[KIND_UDP] == CELL_OK;
	if (!only || q->p->partial || !replies || !passes || !between_hosts(q)) {
		find_no(f, "the network between the hosts does not single out the ARP of %s", name_of(q, q->src));
		return;
	}
	span_bind(q);
	find_yes(f, KIND_BIT(KIND_ARP),
	         "ARP requests and replies of %s leave its host and do not reach the other one, its other packets do",
	         name_of(q, q->src));
}

/* The host has an address on the guest's bridge, so what it sends takes the same uplink. */
static bool host_is_near(const struct inquiry *q, int end)
{
	const struct snapshot *s = party_facts(q->d, dossier_host(q->d, end));
	const struct link *b = s ? snapshot_link_named(s, q->d->party[end].at.bridge) : NULL;
	for (size_t i = 0; b && i < s->addr_count; i++) {
		if (s->addrs[i].link == b->index && !ip_is_link_local(s->addrs[i].prefix.ip))
			return true;
	}
	return false;
}

static bool hosts_reach(const struct inquiry *q, int from, int to)
{
	for (size_t i = 0; i < q->d->witness_count; i++) {
		const struct witness *w = &q->d->witnesses[i];
		if (w->from == from && w->to == to && w->delivery[KIND_ARP] == CELL_OK && w->delivery[KIND_UDP] == CELL_OK)
			return true;
	}
	return false;
}

/* Whatever the guest sends is lost between the hosts, while its host's own frames pass there, and those for the guest, too. */
static void guest_mac_restricted(const struct inquiry *q, struct finding *f)
{
	const struct direction *back = &q->v->dir[1 - q->p->dir];
	bool guests = q->d->party[q->src].kind == AGENT_GUEST, all = (dying(q) & kinds_of_proto(PROTO_NEIGH)) != 0;
	bool one_way = back->delivery[KIND_ARP] == CELL_OK || back->delivery[KIND_UDP] == CELL_OK;
	int from = dossier_host(q->d, q->src), to = dossier_host(q->d, q->dst);
	char mac[MAC_TEXT_MAX];
	if (q->p->partial || !guests || !all || !one_way || !(dying(q) & kinds_of_proto(PROTO_UDP)) || !between_hosts(q)) {
		find_no(f, "the network between the hosts does not single out the frames of %s", name_of(q, q->src));
		return;
	}
	if (!host_is_near(q, q->src) || !hosts_reach(q, from, to)) {
		find_unknown(f, "whether frames of %s itself pass the same uplink is not known", name_of(q, from));
		return;
	}
	span_bind(q);
	find_yes(f, ~0u, "nothing from %s (%s) passes between the hosts, while frames of %s itself do, and those for %s",
	         name_of(q, q->src), mac_format(q->d->party[q->src].ep.mac, mac), name_of(q, from), name_of(q, q->src));
}

/* The switch's own word first; where it says nothing, what is seen: another filter of ARP looks the same. */
static void arp_singled_out(const struct inquiry *q, struct finding *f)
{
	evidence_find("arp-inspected")->find(q, f);
	if (f->is == TRI_YES)
		return;
	*f = (struct finding){.is = TRI_NO};
	arp_inspected(q, f);
	f->weak = true;
}

static void mac_singled_out(const struct inquiry *q, struct finding *f)
{
	evidence_find("port-security")->find(q, f);
	if (f->is == TRI_YES)
		return;
	*f = (struct finding){.is = TRI_NO};
	guest_mac_restricted(q, f);
}

/* ---- a bridge that stops it by what it is set to ---- */

static void bridge_stops(const struct inquiry *q, struct finding *f)
{
	static const char *const reasons[] = {"ports-isolated", "port-held", "port-locked", "bridge-down", "fdb-wrong", "port-out"};
	struct inquiry at = *q;
	struct bindings unused = {0};
	at.learned = &unused;
	for (at.who = 0; at.who < (int)q->d->party_count && f->is != TRI_YES; at.who++) {
		for (size_t i = 0; q->d->party[at.who].kind == AGENT_HOST && i < COUNT(reasons) && f->is != TRI_YES; i++)
			evidence_find(reasons[i])->find(&at, f);
	}
	bindings_free(&unused);
	if (f->is != TRI_YES)
		find_no(f, "no setting of a bridge on the way stops it");
}

/* ---- a neighbour table that is full ---- */

static int64_t grew(const struct party *p, const char *name)
{
	int64_t was = 0, now = 0;
	if (!p->before || !p->after || !snapshot_counter(p->before, name, &was) || !snapshot_counter(p->after, name, &now))
		return 0;
	return now - was;
}

static void grow_bind(const struct inquiry *q, int family)
{
	int64_t max = 0;
	char key[96];
	snprintf(key, sizeof key, "net.ipv%d.neigh.default.gc_thresh3", family);
	if (!snapshot_sysctl(party_facts(q->d, q->who), key, &max) || max < 1)
		return;
	max = max < 4096 ? 4096 : max * 4;
	bindings_add(q->learned, "neigh.grow", "%s=%lld net.ipv%d.neigh.default.gc_thresh2=%lld", key, (long long)max, family,
	             (long long)max / 2);
}

static void neigh_table_full(const struct inquiry *q, struct finding *f)
{
	static const struct {
		const char *counter;
		int family;
	} tables[] = {{"neigh.arp.table_full", 4}, {"neigh.nd.table_full", 6}};
	const struct party *p = &q->d->party[q->who];
	kind_mask kinds = 0;
	int64_t n = 0;
	for (size_t i = 0; i < COUNT(tables); i++) {
		int64_t full = grew(p, tables[i].counter);
		if (full <= 0)
			continue;
		n += full;
		kinds |= kinds_of_family(tables[i].family);
		grow_bind(q, tables[i].family);
	}
	if (kinds)
		find_yes(f, kinds, "the neighbour table of %s was full %lld times while the round ran", name_of(q, q->who),
		         (long long)n);
	else
		find_no(f, "the neighbour table of %s is not full", name_of(q, q->who));
}

/* The uplink of the host in question is wireless. */
static void uplink_wireless(const struct inquiry *q, struct finding *f)
{
	const struct placement *at = &q->d->party[dossier_host(q->d, q->src) == q->who ? q->src : q->dst].at;
	const struct snapshot *s = party_facts(q->d, q->who);
	char key[64];
	snprintf(key, sizeof key, "link.%s.medium", at->uplink);
	const char *medium = s && at->uplink[0] ? snapshot_text(s, key) : NULL;
	if (!medium || strcmp(medium, "wireless") != 0) {
		find_no(f, "the uplink of %s is not wireless", name_of(q, q->who));
		return;
	}
	bindings_add(q->learned, "component", "%s", at->uplink);
	find_yes(f, ~0u,
	         "%s:%s, over which the bridge leads out, is wireless: an access point passes the addresses of its stations only",
	         name_of(q, q->who), at->uplink);
}

static const struct evidence items[] = {
    {"unicast-not-flooded", unicast_not_flooded, "bridge ports, forwarding entries",
     "the bridge has no entry for the receiver, and its port gets no frames for unknown addresses"},
    {"fdb-full", fdb_full, "bridge settings, forwarding entries",
     "a forwarding table of the host learned as many addresses as it may"},
    {"snooping-hides", snooping_hides, "bridge settings, cut",
     "a bridge that snoops multicasts keeps neighbour solicitations from a port, while ARP passes"},
    {"address-on-port", address_on_port, "addresses, links", "the address is on an interface that is a port of a bridge"},
    {"nic-shared-with-host", nic_shared_with_host, "links of the host",
     "the guest shares an interface with its own host (macvtap)"},
    {"nic-mode-private", nic_mode_private, "links of the host", "two guests share an interface in mode private"},
    {"nic-mode-vepa", nic_mode_vepa, "links of the host", "two guests share an interface in mode vepa"},
    {"arp-singled-out", arp_singled_out, "switch: port; cut, matrix",
     "between the hosts the ARP of one machine is lost, and nothing else of it"},
    {"mac-singled-out", mac_singled_out, "switch: port; cut, matrix, other pairs",
     "between the hosts everything from the guest is lost, while frames of its host pass"},
    {"bridge-stops", bridge_stops, "bridge ports, forwarding entries", "a setting of a bridge on the way stops it"},
    {"neigh-table-full", neigh_table_full, "counters while the round ran", "the machine's neighbour table is full"},
    {"uplink-wireless", uplink_wireless, "links of the host", "the uplink of the host is wireless"},
};
const struct evidence_table evidence_l2 = {items, COUNT(items)};
