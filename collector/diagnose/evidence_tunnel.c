/* evidence_tunnel: VXLAN devices on the stretch where packets die, and what both hosts say of their ends. */
#include "collector/diagnose/inquiry.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

/* ---- the two ends of a tunnel ---- */

static const struct link *tunnel_at(const struct inquiry *q, int party, size_t i)
{
	const struct snapshot *s = party_facts(q->d, party);
	const struct link *l = s && point_party(q->d, q->v, q->p->dir, i) == party
	                           ? snapshot_link_named(s, q->v->dir[q->p->dir].path[i].ifname)
	                           : NULL;
	return l && strcmp(l->kind, "vxlan") == 0 ? l : NULL;
}

/* The tunnel of `party` that the packets pass, or should pass, and of which the stretch sees one end at least. */
static const struct link *tunnel_of(const struct inquiry *q, int party)
{
	const struct direction *v = &q->v->dir[q->p->dir];
	const struct link *found = NULL;
	for (size_t i = 0; party >= 0 && i < v->path_count && !found; i++)
		found = tunnel_at(q, party, i);
	return found;
}

struct tunnel {
	int near, far; /* the hosts: of the machine in mind, and the other one */
	const struct link *here, *there;
};

static bool tunnel_find(const struct inquiry *q, struct tunnel *t)
{
	int src = dossier_host(q->d, q->src), dst = dossier_host(q->d, q->dst);
	bool sends = q->who == src;
	*t = (struct tunnel){.near = q->who, .far = sends ? dst : src};
	if ((q->who != src && q->who != dst) || src == dst)
		return false;
	t->here = tunnel_of(q, t->near);
	t->there = tunnel_of(q, t->far);
	return t->here && t->there;
}

/* Where packets are inside of the tunnel: between its devices, whatever carries it in between. */
static bool dies_inside(const struct inquiry *q)
{
	const struct direction *v = &q->v->dir[q->p->dir];
	size_t first = v->path_count, last = 0;
	for (size_t i = 0; i < v->path_count; i++) {
		if (!tunnel_at(q, dossier_host(q->d, q->src), i) && !tunnel_at(q, dossier_host(q->d, q->dst), i))
			continue;
		first = i < first ? i : first;
		last = i;
	}
	return q->p->placed && first < last && q->p->after >= first && q->p->before <= last;
}

static void lost_in_tunnel(const struct inquiry *q, struct finding *f)
{
	struct tunnel t;
	bool inside = tunnel_find(q, &t) && dies_inside(q);
	if (inside)
		find_yes(f, dying(q), "it dies inside of the tunnel between %s:%s and %s:%s", name_of(q, t.near), t.here->name,
		         name_of(q, t.far), t.there->name);
	else
		find_no(f, "it does not die in a tunnel");
}

/* ---- what they do not agree on ---- */

static bool owns(const struct inquiry *q, int party, struct ip ip)
{
	const struct snapshot *s = party_facts(q->d, party);
	return s && snapshot_addr_of(s, ip);
}

/* The first thing that is amiss at this end, in words; "" = nothing. The other end's numbers may be as wrong as this one's. */
static void amiss(const struct inquiry *q, const struct tunnel *t, char *out, size_t size)
{
	const struct link *a = t->here, *b = t->there;
	char ip[IP_TEXT_MAX];
	out[0] = '\0';
	if (a->vni != b->vni)
		snprintf(out, size, "%s:%s has the VXLAN identifier %u, %s:%s has %u", name_of(q, t->near), a->name, a->vni,
		         name_of(q, t->far), b->name, b->vni);
	else if (a->vx_port != b->vx_port)
		snprintf(out, size, "%s:%s uses UDP port %u, %s:%s uses %u", name_of(q, t->near), a->name, a->vx_port,
		         name_of(q, t->far), b->name, b->vx_port);
	else if (a->vx_local.family && !owns(q, t->near, a->vx_local))
		snprintf(out, size, "%s:%s sends from %s, which %s does not have", name_of(q, t->near), a->name,
		         ip_format(a->vx_local, ip), name_of(q, t->near));
	else if (a->vx_remote.family && !ip_is_multicast(a->vx_remote) && !owns(q, t->far, a->vx_remote))
		snprintf(out, size, "%s:%s sends to %s, which %s does not have", name_of(q, t->near), a->name,
		         ip_format(a->vx_remote, ip), name_of(q, t->far));
}

/* Facts first; where an end is not known, the word of a kernel. */
static void ends_differ(const struct inquiry *q, struct finding *f)
{
	struct tunnel t;
	char text[200] = "";
	if (!tunnel_find(q, &t)) {
		evidence_find("drop-reason-tunnel")->find(q, f);
		return;
	}
	if (dies_inside(q))
		amiss(q, &t, text, sizeof text);
	bindings_add(q->learned, "component", "%s", t.here->name);
	if (text[0])
		find_yes(f, dying(q), "%s", text);
	else
		find_no(f, "both ends of the tunnel agree");
}

/* ---- where its own table leads ---- */

static struct mac guest_behind(const struct inquiry *q, const struct tunnel *t)
{
	return q->d->party[dossier_host(q->d, q->src) == t->far ? q->src : q->dst].ep.mac;
}

static const struct fdb *wrong_entry(const struct inquiry *q, const struct tunnel *t)
{
	const struct snapshot *s = party_facts(q->d, t->near);
	struct mac m = guest_behind(q, t);
	for (size_t i = 0; i < s->fdb_count; i++) {
		const struct fdb *e = &s->fdbs[i];
		if (e->bridge == t->here->index && e->port == e->bridge && mac_is_set(m) && mac_equal(e->mac, m) &&
		    e->remote.family && !owns(q, t->far, e->remote))
			return e;
	}
	return NULL;
}

static void tunnel_fdb_wrong(const struct inquiry *q, struct finding *f)
{
	struct tunnel t;
	char mac[MAC_TEXT_MAX], ip[IP_TEXT_MAX];
	const struct fdb *e = tunnel_find(q, &t) ? wrong_entry(q, &t) : NULL;
	if (!e) {
		find_no(f, "no forwarding entry of a tunnel of %s leads elsewhere", name_of(q, q->who));
		return;
	}
	mac_format(e->mac, mac);
	ip_format(e->remote, ip);
	bindings_add(q->learned, "component", "%s", mac);
	bindings_add(q->learned, "fdb", "%s dev %s dst %s self", mac, t.here->name, ip);
	find_yes(f, dying(q), "%s:%s sends what is for %s to %s, which %s does not have", name_of(q, t.near), t.here->name, mac, ip,
	         name_of(q, t.far));
}

/* ---- what a host's own rules make of it ---- */

static const char *carrying_if(const struct snapshot *s, struct ip ip)
{
	const struct addr *a = snapshot_addr_of(s, ip);
	const struct link *l = a ? snapshot_link(s, a->link) : NULL;
	return l ? l->name : NULL;
}

/* A packet of the tunnel as the near host's chains see it; false: its addresses are not known. */
static bool carrier_packet(const struct inquiry *q, const struct tunnel *t, bool in, struct fw_packet *out)
{
	const struct link *from = in ? t->there : t->here, *to = in ? t->here : t->there;
	const char *via = carrying_if(party_facts(q->d, t->near), t->here->vx_local);
	*out = (struct fw_packet){.ethertype = from->vx_local.family == 6 ? 0x86dd : 0x0800,
	                          .l4proto = IPPROTO_UDP,
	                          .src = from->vx_local,
	                          .dst = to->vx_local,
	                          .sport = {1, UINT16_MAX},
	                          .dport = {from->vx_port, from->vx_port},
	                          .ct = FW_CT_NEW,
	                          .length = {0, UINT16_MAX},
	                          .iif = in && via ? via : "",
	                          .oif = in || !via ? "" : via,
	                          .in_bridge = "",
	                          .out_bridge = ""};
	return via && from->vx_local.family && to->vx_local.family == from->vx_local.family;
}

static bool carrier_is_stopped(const struct inquiry *q, const struct tunnel *t, struct fw_decision *d)
{
	static const char *const hooks[2][2] = {{"output", "postrouting"}, {"prerouting", "input"}};
	bool in = t->near == dossier_host(q->d, q->dst);
	struct fw_packet p;
	for (size_t i = 0; i < 2 && carrier_packet(q, t, in, &p); i++) {
		size_t n = firewall_decide(party_facts(q->d, t->near), FW_LAYER_IP, hooks[in][i], "", &p, d, 1);
		if (n && d->outcome == FW_STOPS && !d->random)
			return true;
	}
	return false;
}

/* Its rules first; where they do not tell, the word of its kernel. */
static void tunnel_filtered(const struct inquiry *q, struct finding *f)
{
	struct tunnel t;
	struct fw_decision d;
	char text[400];
	if (!tunnel_find(q, &t) || !dies_inside(q) || !carrier_is_stopped(q, &t, &d)) {
		evidence_find("drop-reason-filter")->find(q, f);
		if (t.here)
			bindings_add(q->learned, "tunnel.port", "%u", t.here->vx_port);
		return;
	}
	bindings_add(q->learned, "component", "%s %s %s", d.base->family, d.base->table, d.base->name);
	bindings_add(q->learned, "tunnel.accept", "%s %s %s udp dport %u accept", d.base->family, d.base->table, d.base->name,
	             t.here->vx_port);
	find_yes(f, dying(q), "the rules of %s stop the tunnel's own packets: %s", name_of(q, t.near),
	         firewall_text(&d, text, sizeof text));
}

static const struct evidence items[] = {
    {"lost-in-tunnel", lost_in_tunnel, "cut, links", "it dies between the two VXLAN devices"},
    {"tunnel-ends-differ", ends_differ, "links, addresses",
     "identifier or port of the two VXLAN devices differ, or one uses an address that its host does not have"},
    {"tunnel-filtered", tunnel_filtered, "firewall rules, drop reasons",
     "the host's own rules stop the tunnel's packets, or its kernel says a filter dropped them"},
    {"tunnel-fdb-wrong", tunnel_fdb_wrong, "forwarding entries",
     "the VXLAN device's own table sends what is for the guest to another host"},
};
const struct evidence_table evidence_tunnel = {items, sizeof items / sizeof *items};
