/* evidence_swport: what switches, routers, clouds and outer hypervisors say of the port behind a machine. */
#include "collector/diagnose/inquiry.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define COUNT(a)  (sizeof(a) / sizeof *(a))
#define PAUSE_MIN 100 /* frames per second: less is flow control at work */

static void ask(const struct inquiry *q, const char *name, struct finding *f)
{
	memset(f, 0, sizeof *f);
	evidence_find(name)->find(q, f);
}

static bool is_guest(const struct inquiry *q, int end) { return q->d->party[end].kind == AGENT_GUEST; }

/* The port behind `end`, bound; NULL: nobody told. */
static const struct swport *port_behind(const struct inquiry *q, int end, struct finding *f)
{
	const struct swport *s = swport_of(q, end);
	if (!s) {
		find_unknown(f, "needs facts of the switch: nobody told of the port behind %s", name_of(q, end));
		return NULL;
	}
	bindings_add(q->learned, "switch", "%s", s->device);
	bindings_add(q->learned, "switch.port", "%s", s->port);
	bindings_add(q->learned, "component", "%s %s", s->device, s->port);
	return s;
}

static struct mac sent_mac(const struct inquiry *q, int end)
{
	const struct link *nic = party_link(q->d, end);
	return nic ? nic->mac : q->d->party[end].ep.mac;
}

static bool is_bound(const struct swport *s, struct mac mac)
{
	for (size_t i = 0; i < s->bound_count && i < PLATFORM_MACS_MAX; i++) {
		if (mac_equal(s->bound[i], mac))
			return true;
	}
	return false;
}

/* ---- where: outside every machine that has an agent ---- */

static int owner(const struct inquiry *q, size_t i) { return point_party(q->d, q->v, q->p->dir, i); }

static bool is_cable(const struct inquiry *q, int guest, int host)
{
	return guest >= 0 && host >= 0 && is_guest(q, guest) && dossier_host(q->d, guest) == host;
}

static void lost_beyond(const struct inquiry *q, struct finding *f)
{
	char after[POINT_NAME_MAX], before[POINT_NAME_MAX];
	const struct direction *d = &q->v->dir[q->p->dir];
	size_t outside = 0, steps = (size_t)(q->p->before - q->p->after);
	if (!q->p->placed)
		return;
	for (size_t i = q->p->after; i < q->p->before; i++) {
		int a = owner(q, i), b = owner(q, i + 1);
		outside += a != b && !is_cable(q, a, b) && !is_cable(q, b, a);
	}
	if (outside && outside < steps) {
		find_unknown(f, "nobody looked at all places between the two: it may as well be lost inside a machine");
		return;
	}
	path_point_name(&d->path[q->p->after], after);
	path_point_name(&d->path[q->p->before], before);
	if (outside)
		find_yes(f, dying(q), "packets leave %s and do not arrive at %s: what is in between has no agent", after, before);
	else
		find_no(f, "it is lost between %s and %s, not on the network outside", after, before);
}

/* ---- port security, ARP inspection, clouds ---- */

static void port_security(const struct inquiry *q, struct finding *f)
{
	const struct swport *s = port_behind(q, q->who, f);
	struct mac mac = sent_mac(q, q->who);
	char text[MAC_TEXT_MAX];
	if (!s)
		return;
	if (s->state == SWPORT_ERR_DISABLED && strstr(s->why, "psecure"))
		find_yes(f, ~0u, "%s %s is err-disabled: %s", s->device, s->port, s->why);
	else if (!s->mac_limit)
		find_no(f, "%s %s does not limit hardware addresses", s->device, s->port);
	else if (is_bound(s, mac))
		find_no(f, "%s %s knows %s as one of its addresses", s->device, s->port, mac_format(mac, text));
	else if (s->bound_said == SAID_YES && s->bound_count >= s->mac_limit)
		find_yes(f, ~0u, "%s %s passes %u hardware addresses, and %s is none of them", s->device, s->port, s->mac_limit,
		         mac_format(mac, text));
	else if (s->violations)
		find_yes(f, ~0u, "%s %s passes %u hardware addresses and has counted %llu violations", s->device, s->port,
		         s->mac_limit, (unsigned long long)s->violations);
	else
		find_unknown(f, "the switch did not say which addresses %s %s passes", s->device, s->port);
}

static void arp_inspected(const struct inquiry *q, struct finding *f)
{
	const struct swport *s = port_behind(q, q->who, f);
	struct mac mac = sent_mac(q, q->who);
	char text[MAC_TEXT_MAX];
	if (!s)
		return;
	bindings_add(q->learned, "who.mac", "%s", mac_format(mac, text));
	if (party_prefix(q->d, q->who, 4).ip.family == 4) {
		char ip[IP_TEXT_MAX];
		bindings_add(q->learned, "who.ip", "%s", ip_format(party_prefix(q->d, q->who, 4).ip, ip));
	}
	if (s->arp_inspection == SAID_NOTHING)
		find_unknown(f, "the switch did not say whether it inspects ARP at %s %s", s->device, s->port);
	else if (s->arp_inspection == SAID_NO || s->trusted == SAID_YES)
		find_no(f, "%s %s does not inspect ARP", s->device, s->port);
	else if (is_bound(s, mac))
		find_no(f, "%s has a binding of %s", s->device, text);
	else if (s->bound_said != SAID_YES)
		find_unknown(f, "the switch did not say which addresses it has bindings of");
	else
		find_yes(f, kinds_of_family(4), "%s inspects ARP at %s and has no binding of %s (%s)", s->device, s->port,
		         name_of(q, q->who), text);
}

static void only_arp_first(const struct inquiry *q, struct finding *f)
{
	kind_mask probes = q->p->probes | q->p->answers;
	if (probes && !(probes & ~KIND_BIT(KIND_ARP)))
		find_yes(f, dying(q), "ARP is what gets lost; the rest only waits for it");
	else
		find_no(f, "not only ARP is lost");
}

static void cloud_checks(const struct inquiry *q, struct finding *f)
{
	const struct swport *s = port_behind(q, q->who, f);
	struct mac mac = sent_mac(q, q->who);
	char text[MAC_TEXT_MAX];
	if (!s)
		return;
	if (s->src_dst_check == SAID_NOTHING)
		find_unknown(f, "the cloud did not say whether it checks source and destination at %s", s->port);
	else if (s->src_dst_check == SAID_NO)
		find_no(f, "the cloud does not check source and destination at %s", s->port);
	else if (mac_equal(mac, s->peer) || is_bound(s, mac))
		find_no(f, "%s is an address that the cloud assigned", mac_format(mac, text));
	else
		find_yes(f, ~0u, "the cloud passes at %s only what it assigned, and %s (%s) is not", s->port, name_of(q, q->who),
		         mac_format(mac, text));
}

/* ---- VLANs ---- */

/* In which VLAN its frames leave its host, as far as the platform tells. */
static enum said tag_of(const struct inquiry *q, int end, unsigned *vid)
{
	const struct vport *v = is_guest(q, end) ? vport_of(q, end) : NULL;
	if (!v || v->vlan_mode == VLAN_UNKNOWN || v->vlan_mode == VLAN_TRUNK)
		return SAID_NOTHING;
	*vid = v->vlan_mode == VLAN_UNTAGGED ? 0 : v->vlan_mode == VLAN_ACCESS ? v->vlan : v->secondary ? v->secondary : v->vlan;
	return SAID_YES;
}

static void switch_lacks_vlan(const struct inquiry *q, struct finding *f)
{
	const struct swport *s = port_behind(q, q->who, f);
	unsigned vid = 0;
	if (!s)
		return;
	if (tag_of(q, q->who, &vid) != SAID_YES || vlans_have(s->vlans, vid) == SAID_NOTHING)
		find_unknown(f, "nobody told of the VLAN of %s, or of those that %s %s carries", name_of(q, q->who), s->device,
		             s->port);
	else if (!vid || vlans_have(s->vlans, vid) == SAID_YES)
		find_no(f, "%s %s carries the VLAN of %s", s->device, s->port, name_of(q, q->who));
	else {
		bindings_add(q->learned, "vlan.id", "%u", vid);
		find_yes(f, ~0u, "%s is in VLAN %u, and %s %s carries %s only", name_of(q, q->who), vid, s->device, s->port,
		         s->vlans);
	}
}

/* On a host: what its own trunk ports carry; of a guest: the port of the switch behind. */
static void vlan_not_carried(const struct inquiry *q, struct finding *f)
{
	if (!is_guest(q, q->who)) {
		ask(q, "trunk-lacks-vlan", f);
		return;
	}
	switch_lacks_vlan(q, f);
}

static void lost_at_trunk(const struct inquiry *q, struct finding *f)
{
	if (is_guest(q, q->who))
		lost_beyond(q, f);
	else
		ask(q, "lost-crossing", f);
}

static unsigned untagged_vlan(const struct swport *s) { return s->vlan_mode == VLAN_ACCESS ? s->vlan : s->native; }

static void native_differs(const struct inquiry *q, struct finding *f)
{
	const struct swport *mine = port_behind(q, q->who, f), *theirs = mine ? swport_of(q, other_end(q)) : NULL;
	const struct vport *v = is_guest(q, q->who) ? vport_of(q, q->who) : NULL;
	unsigned vid = 0;
	if (!mine)
		return;
	if (v && v->vlan_mode == VLAN_TRUNK && v->native && mine->native && v->native != mine->native) {
		bindings_add(q->learned, "vlan.id", "%u", v->native);
		find_yes(f, ~0u, "untagged frames are VLAN %u for the host's trunk and VLAN %u for %s %s", v->native, mine->native,
		         mine->device, mine->port);
		return;
	}
	if (!theirs || mine == theirs || !untagged_vlan(mine) || !untagged_vlan(theirs) || tag_of(q, q->who, &vid) != SAID_YES) {
		find_unknown(f, "nobody told in which VLAN both ends' untagged frames are");
		return;
	}
	if (vid || untagged_vlan(mine) == untagged_vlan(theirs)) {
		find_no(f, "untagged frames are in the same VLAN at both ends");
		return;
	}
	bindings_add(q->learned, "vlan.id", "%u", untagged_vlan(theirs));
	find_yes(f, ~0u, "untagged frames of %s are VLAN %u at %s %s, those of the other end VLAN %u at %s %s", name_of(q, q->who),
	         untagged_vlan(mine), mine->device, mine->port, untagged_vlan(theirs), theirs->device, theirs->port);
}

/* ---- the port itself ---- */

static void bpdu_guarded(const struct inquiry *q, struct finding *f)
{
	const struct swport *s = port_behind(q, q->who, f);
	if (!s)
		return;
	if (s->state == SWPORT_UNKNOWN)
		find_unknown(f, "the switch did not say in which state %s %s is", s->device, s->port);
	else if (s->state != SWPORT_ERR_DISABLED || !strcasestr(s->why, "bpdu"))
		find_no(f, "%s %s is not err-disabled for a BPDU", s->device, s->port);
	else
		find_yes(f, ~0u, "%s %s is err-disabled: %s", s->device, s->port, s->why);
}

/* On the way between two hosts, or behind a guest of whose host nobody knows; or at the uplink that has lost its carrier by it. */
static void lost_at_switch(const struct inquiry *q, struct finding *f)
{
	struct inquiry at = *q;
	at.who = dossier_host(q->d, q->who);
	if (at.who >= 0)
		ask(&at, "lost-at-uplink", f);
	if (f->is != TRI_YES)
		lost_beyond(q, f);
}

static void pause_storm(const struct inquiry *q, struct finding *f)
{
	const struct swport *s = port_behind(q, q->who, f);
	if (!s)
		return;
	if (s->pause_rate >= PAUSE_MIN)
		find_yes(f, ~0u, "%s %s gets %u pause frames per second", s->device, s->port, s->pause_rate);
	else
		find_unknown(f, "the switch told of no storm of pause frames at %s %s", s->device, s->port);
}

/* ---- who else answers, who should route ---- */

static bool answered_with(const struct inquiry *q, struct mac mac)
{
	const struct snapshot *s = party_facts(q->d, q->src);
	struct ip ip = party_prefix(q->d, q->dst, 4).ip;
	const struct neigh *n = s && ip.family ? snapshot_neigh(s, ip, 0) : NULL;
	if (n && mac_equal(n->mac, mac))
		return true;
	for (size_t i = 0; i < q->d->flow_count; i++) {
		const struct flow_sent *f = q->d->flows[i].dir == q->p->dir ? dossier_sent(q->d, q->d->flows[i].id) : NULL;
		for (size_t k = 0; f && k < f->mac_count; k++) {
			if (mac_equal(f->macs[k], mac))
				return true;
		}
	}
	return false;
}

static bool proxy_find(const struct inquiry *q, const struct swport **out)
{
	const struct snapshot *from[SOURCES_OF_MAX];
	size_t n = sources_of(q, from);
	bool any = false;
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < from[i]->swport_count; k++) {
			const struct swport *s = &from[i]->swports[k];
			any |= s->proxy_arp != SAID_NOTHING;
			if (s->proxy_arp == SAID_YES && mac_is_set(s->mac) && answered_with(q, s->mac)) {
				*out = s;
				return true;
			}
		}
	}
	*out = NULL;
	return any;
}

static void proxy_answers(const struct inquiry *q, struct finding *f)
{
	const struct swport *s;
	char mac[MAC_TEXT_MAX];
	if (!proxy_find(q, &s)) {
		find_unknown(f, "needs facts of switches and routers: nobody told which of them answers ARP for others");
		return;
	}
	if (!s) {
		find_no(f, "no switch or router that is known answers ARP for %s", name_of(q, q->dst));
		return;
	}
	bindings_add(q->learned, "switch", "%s", s->device);
	bindings_add(q->learned, "switch.port", "%s", s->port);
	bindings_add(q->learned, "component", "%s %s", s->device, s->port);
	find_yes(f, kinds_of_family(4), "%s has %s for %s: that is %s, which answers ARP for others", name_of(q, q->src),
	         mac_format(s->mac, mac), name_of(q, q->dst), s->device);
}

static bool is_gateway(const struct inquiry *q, const struct vport *v)
{
	for (int family = 4; family <= 6; family += 2) {
		const struct snapshot *s = party_facts(q->d, q->who);
		struct ip dst = party_prefix(q->d, other_end(q), family).ip, src = party_prefix(q->d, q->who, family).ip;
		const struct route *r = s && dst.family ? snapshot_route(s, dst, src) : NULL;
		if (!r || !r->gateway.family)
			continue;
		const struct neigh *n = snapshot_neigh(s, r->gateway, 0);
		if (ip_equal(v->ip, r->gateway) || (n && mac_is_set(v->mac) && mac_equal(n->mac, v->mac)))
			return true;
	}
	return false;
}

static void gateway_vm_down(const struct inquiry *q, struct finding *f)
{
	bool known = false;
	for (const struct vport *v = vport_next(q, NULL); v; v = vport_next(q, v)) {
		if (!is_gateway(q, v))
			continue;
		known = true;
		if (v->state < VM_PAUSED && v->connected != SAID_NO)
			continue;
		bindings_add(q->learned, "gateway.vm", "%s", v->vm);
		vport_bind(q, q->who, v);
		find_yes(f, ~0u, "the gateway of %s is the VM %s, which is %s", name_of(q, q->who), v->vm,
		         v->state < VM_PAUSED ? "not connected" : vm_state_name(v->state));
		return;
	}
	if (known)
		find_no(f, "the gateway of %s is a VM that runs", name_of(q, q->who));
	else
		find_unknown(f, "needs facts of the platform: nobody told which VM the gateway of %s is", name_of(q, q->who));
}

/* ---- a hypervisor that is a VM itself ---- */

static const struct vport *outer_adapter(const struct inquiry *q)
{
	const struct snapshot *s = party_facts(q->d, dossier_host(q->d, q->who));
	for (const struct vport *v = vport_next(q, NULL); s && v; v = vport_next(q, v)) {
		for (size_t i = 0; i < s->link_count && mac_is_set(v->mac); i++) {
			if (!s->links[i].loopback && mac_equal(s->links[i].mac, v->mac))
				return v;
		}
	}
	return NULL;
}

static void outer_guards(const struct inquiry *q, struct finding *f)
{
	const struct vport *v = is_guest(q, q->who) ? outer_adapter(q) : NULL;
	bool in = q->who == q->dst;
	if (!v) {
		find_unknown(f, "needs facts of the platform: nobody told of an adapter of the host of %s", name_of(q, q->who));
		return;
	}
	vport_bind(q, q->who, v);
	if (mac_equal(v->mac, sent_mac(q, q->who)))
		find_no(f, "%s uses the address of its host", name_of(q, q->who));
	else if (!in && v->mac_guard == SAID_YES)
		find_yes(f, ~0u, "the host of %s is itself the VM %s, and its platform drops frames from other addresses",
		         name_of(q, q->who), v->vm);
	else if (in && v->promiscuous == SAID_NO)
		find_yes(f, ~0u, "the host of %s is itself the VM %s, and its platform gives it no frames for other addresses",
		         name_of(q, q->who), v->vm);
	else if ((in ? v->promiscuous : v->mac_guard) == SAID_NOTHING)
		find_unknown(f, "the platform did not say whether it guards the addresses of %s", v->vm);
	else
		find_no(f, "the platform of %s lets other addresses pass", v->vm);
}

static const struct evidence items[] = {
    {"lost-beyond", lost_beyond, "cut", "it is lost on the network outside, between machines"},
    {"lost-at-switch", lost_at_switch, "cut", "it is lost at the uplink or behind it"},
    {"port-security", port_security, "switch: port", "the switch's port passes other hardware addresses only"},
    {"arp-inspected", arp_inspected, "switch: port", "the switch inspects ARP and has no binding of the machine"},
    {"only-arp-first", only_arp_first, "cut", "ARP is what gets lost"},
    {"cloud-checks", cloud_checks, "cloud: interface", "the cloud passes only addresses that it assigned"},
    {"vlan-not-carried", vlan_not_carried, "VLANs of ports, switch: port", "a trunk does not carry the VLAN"},
    {"lost-at-trunk", lost_at_trunk, "cut", "it is lost between two ports of a host, or behind its uplink"},
    {"native-differs", native_differs, "switch: ports", "untagged frames are in different VLANs at the two ends"},
    {"bpdu-guarded", bpdu_guarded, "switch: port", "the switch has switched the port off for a BPDU"},
    {"pause-storm", pause_storm, "switch: port", "the port gets very many pause frames"},
    {"proxy-answers", proxy_answers, "switch: proxy ARP; who answered", "a switch or router answers ARP for the machine"},
    {"gateway-vm-down", gateway_vm_down, "platform: VMs; the machine's routes", "the gateway is a VM that does not run"},
    {"outer-guards", outer_guards, "platform: adapter of the host", "the host is a VM whose platform drops its guests' addresses"},
};
const struct evidence_table evidence_swport = {items, COUNT(items)};
