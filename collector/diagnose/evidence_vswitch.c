/* evidence_vswitch: what the platform says of the virtual switch and network a guest is on, compared with the other end's. */
#include "collector/diagnose/inquiry.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static void ask(const struct inquiry *q, const char *name, struct finding *f)
{
	memset(f, 0, sizeof *f);
	evidence_find(name)->find(q, f);
}

static bool is_guest(const struct inquiry *q, int end) { return q->d->party[end].kind == AGENT_GUEST; }

static const struct vport *adapter(const struct inquiry *q, int end, struct finding *f)
{
	const struct vport *v = is_guest(q, end) ? vport_of(q, end) : NULL;
	if (v)
		vport_bind(q, end, v);
	else
		find_unknown(f, "needs facts of the platform: nobody told of the adapter of %s", name_of(q, end));
	return v;
}

static const struct vswitch *virtual_switch(const struct inquiry *q, const struct vport *v, struct finding *f)
{
	const struct vswitch *s = vswitch_of(q, v);
	if (v && !s)
		find_unknown(f, "needs facts of the platform: nobody told of the switch of %s", v->vm);
	return s;
}

/* Both adapters; NULL: not known. */
static const struct vport *both(const struct inquiry *q, const struct vport **other, struct finding *f)
{
	const struct vport *v = adapter(q, q->who, f);
	*other = v && is_guest(q, other_end(q)) ? vport_of(q, other_end(q)) : NULL;
	if (v && !*other)
		find_unknown(f, "needs facts of the platform: nobody told of the adapter of %s", name_of(q, other_end(q)));
	return *other ? v : NULL;
}

/* ---- who is the odd one ---- */

typedef bool alike_fn(const struct vport *a, const struct vport *b);

/* More adapters of the same switch are like the other end than like this one; or this one was changed lately. */
static bool is_odd_one(const struct inquiry *q, const struct vport *me, const struct vport *other, alike_fn *alike)
{
	int mine = 0, theirs = 0;
	for (const struct vport *v = vport_next(q, NULL); v; v = vport_next(q, v)) {
		if (strcmp(v->platform, me->platform) == 0 && !vport_same(v, me) && !vport_same(v, other)) {
			mine += alike(v, me);
			theirs += alike(v, other);
		}
	}
	return mine < theirs;
}

static bool changed_lately(const struct inquiry *q, const struct vport *v, const char *field)
{
	char key[FACT_KEY_MAX];
	snprintf(key, sizeof key, "vport.%s%s%s.%s", v->vm, v->nic[0] ? "." : "", v->nic, field);
	for (size_t i = 0; i < q->d->party_count; i++) {
		if (history_last(&q->d->party[i], key))
			return true;
	}
	return false;
}

/* Of two that do not fit, and neither is more wrong than the other, one is told, the same in both directions. */
static bool is_told(const struct inquiry *q) { return q->who < other_end(q); }

/* Says yes about `who`, weakly when nothing tells which of the two is wrong; no when it is the other one. */
static void blame(const struct inquiry *q, struct finding *f, const struct vport *me, const struct vport *other, const char *field,
                  alike_fn *alike, const char *what)
{
	bool mine = changed_lately(q, me, field) || is_odd_one(q, me, other, alike);
	bool theirs = changed_lately(q, other, field) || is_odd_one(q, other, me, alike);
	if (theirs && !mine) {
		find_no(f, "%s, and %s is the odd one", what, name_of(q, other_end(q)));
		return;
	}
	if (!mine && !is_told(q)) {
		find_no(f, "%s, which is told of %s", what, name_of(q, other_end(q)));
		return;
	}
	find_yes(f, ~0u, "%s", what);
	f->weak = !mine;
}

/* ---- the network ---- */

static bool same_network(const struct vport *a, const struct vport *b)
{
	return strcmp(a->network, b->network) == 0 && strcmp(a->vswitch, b->vswitch) == 0;
}

/* The subnets say that they belong together. */
static bool one_subnet(const struct inquiry *q)
{
	for (int family = 4; family <= 6; family += 2) {
		struct prefix a = party_prefix(q->d, q->who, family), b = party_prefix(q->d, other_end(q), family);
		if (a.ip.family && b.ip.family && a.len == b.len && a.len && ip_equal(prefix_network(a).ip, prefix_network(b).ip))
			return true;
	}
	return false;
}

static void wrong_network(const struct inquiry *q, struct finding *f)
{
	const struct vport *other, *me = both(q, &other, f);
	char what[320];
	if (!me)
		return;
	if (!me->network[0] || !other->network[0] || strcmp(me->platform, other->platform) != 0) {
		find_unknown(f, "the platform did not say on which networks %s and %s are", me->vm, other->vm);
		return;
	}
	if (same_network(me, other) || !one_subnet(q)) {
		find_no(f, "%s and %s are on the networks they belong to", me->vm, other->vm);
		return;
	}
	bindings_add(q->learned, "want.net", "%s", other->network);
	if (other->vswitch[0])
		bindings_add(q->learned, "want.switch", "%s", other->vswitch);
	snprintf(what, sizeof what, "%s is on %s, %s on %s, with addresses of one subnet", me->vm, me->network, other->vm,
	         other->network);
	blame(q, f, me, other, "network", same_network, what);
}

static void on_wrong_network(const struct inquiry *q, struct finding *f)
{
	if (is_guest(q, q->who))
		wrong_network(q, f);
	else
		ask(q, "port-elsewhere", f);
}

static void lost_at_own_port(const struct inquiry *q, struct finding *f)
{
	ask(q, is_guest(q, q->who) ? "lost-outside" : "lost-at-port", f);
}

/* ---- VLANs ---- */

/* What the guest's untagged frames are in. */
static enum said vlan_of(const struct vport *v, unsigned *vid)
{
	*vid = v->vlan_mode == VLAN_ACCESS ? v->vlan : v->vlan_mode == VLAN_TRUNK ? v->native : 0;
	return v->vlan_mode >= VLAN_UNTAGGED && v->vlan_mode <= VLAN_TRUNK ? SAID_YES : SAID_NOTHING;
}

static bool same_vlan(const struct vport *a, const struct vport *b)
{
	unsigned x, y;
	return vlan_of(a, &x) == SAID_YES && vlan_of(b, &y) == SAID_YES && x == y;
}

static void vlans_differ(const struct inquiry *q, struct finding *f)
{
	const struct vport *other, *me = both(q, &other, f);
	unsigned mine, theirs;
	char what[320];
	if (!me)
		return;
	if (vlan_of(me, &mine) != SAID_YES || vlan_of(other, &theirs) != SAID_YES) {
		find_unknown(f, "the platform did not say in which VLANs %s and %s are", me->vm, other->vm);
		return;
	}
	if (mine == theirs) {
		find_no(f, "%s and %s are in the same VLAN (%u)", me->vm, other->vm, mine);
		return;
	}
	if (theirs)
		bindings_add(q->learned, "want.vlan", "%u", theirs);
	else
		bindings_add(q->learned, "untag", "%s", "");
	snprintf(what, sizeof what, "%s is in VLAN %u, %s in VLAN %u", me->vm, mine, other->vm, theirs);
	blame(q, f, me, other, "vlan", same_vlan, what);
}

static void in_wrong_vlan(const struct inquiry *q, struct finding *f)
{
	if (is_guest(q, q->who))
		vlans_differ(q, f);
	else
		ask(q, "ports-vlan-differ", f);
}

static void lost_at_vlan_filter(const struct inquiry *q, struct finding *f)
{
	ask(q, is_guest(q, q->who) ? "lost-outside" : "lost-crossing", f);
}

/* ---- private VLANs ---- */

static bool in_private(const struct vport *v) { return v->vlan_mode >= VLAN_PROMISCUOUS && v->vlan_mode <= VLAN_COMMUNITY; }

static bool private_keeps_apart(const struct vport *a, const struct vport *b)
{
	if (!in_private(a) || !in_private(b) || a->vlan != b->vlan)
		return false;
	if (a->vlan_mode == VLAN_PROMISCUOUS || b->vlan_mode == VLAN_PROMISCUOUS)
		return false;
	return a->vlan_mode == VLAN_ISOLATED || b->vlan_mode == VLAN_ISOLATED || a->secondary != b->secondary;
}

static void private_vlan(const struct inquiry *q, struct finding *f)
{
	const struct vport *other, *me = both(q, &other, f);
	if (!me)
		return;
	if (me->vlan_mode == VLAN_UNKNOWN || other->vlan_mode == VLAN_UNKNOWN)
		find_unknown(f, "the platform did not say how the VLANs of %s and %s are", me->vm, other->vm);
	else if (!private_keeps_apart(me, other) || !is_told(q))
		find_no(f, "no private VLAN of %s keeps it apart", me->vm);
	else {
		bindings_add(q->learned, "pvlan.primary", "%u", me->vlan);
		bindings_add(q->learned, "pvlan.secondary", "%u", me->secondary);
		find_yes(f, ~0u,
		         "%s is %s (VLAN %u/%u) and %s is %s (VLAN %u/%u) in one private VLAN: they do not reach each other",
		         me->vm, vlan_mode_name(me->vlan_mode), me->vlan, me->secondary, other->vm,
		         vlan_mode_name(other->vlan_mode), other->vlan, other->secondary);
	}
}

/* ---- isolation (Hyper-V) ---- */

static void isolation_differs(const struct inquiry *q, struct finding *f)
{
	static const char *const codes[] = {"pktmon.20", "pktmon.29", "pktmon.36", NULL};
	const struct vport *other, *me = both(q, &other, f);
	const struct pnote *n = me ? pnote_of(q, q->who, codes) : NULL;
	if (!me)
		return;
	if (me->isolation == ISOLATION_UNKNOWN || me->isolation == ISOLATION_NONE) {
		if (me->isolation == ISOLATION_NONE)
			find_no(f, "the adapter of %s has no isolation", me->vm);
		else
			find_unknown(f, "the platform did not say which isolation %s has", me->vm);
	} else if (other->isolation == ISOLATION_UNKNOWN) {
		find_unknown(f, "the platform did not say which isolation %s has", other->vm);
	} else if (other->isolation > ISOLATION_NONE && !is_told(q)) {
		find_no(f, "the isolation of %s and %s is told of %s", me->vm, other->vm, name_of(q, other_end(q)));
	} else if (me->isolation != other->isolation || me->subnet != other->subnet) {
		find_yes(f, ~0u, "%s is isolated in subnet %u, %s %s%s", me->vm, me->subnet, other->vm,
		         other->isolation == ISOLATION_NONE ? "not" : "in another",
		         n && n->count ? "; the switch drops such frames" : "");
	} else if (me->untagged == SAID_NO) {
		find_yes(f, ~0u, "the isolation of %s lets no untagged frames pass", me->vm);
	} else {
		find_no(f, "%s and %s have the same isolation", me->vm, other->vm);
	}
}

/* ---- what the switch connects ---- */

static bool on_switch(const struct inquiry *q, int end, const struct vport *me, const struct vswitch *s)
{
	const struct vport *o = is_guest(q, end) ? vport_of(q, end) : NULL;
	return o && vswitch_of(q, o) == s && (!me->host[0] || !o->host[0] || strcasecmp(me->host, o->host) == 0);
}

/* Does the switch lead from `who` to the other end at all? */
static void switch_is(const struct inquiry *q, struct finding *f, uint8_t first, uint8_t second, const char *what)
{
	const struct vport *me = adapter(q, q->who, f);
	const struct vswitch *s = virtual_switch(q, me, f);
	int other = other_end(q);
	bool own_host = me && s && s->kind != VSWITCH_PRIVATE && dossier_host(q->d, q->who) == other;
	if (!s)
		return;
	if (s->kind == VSWITCH_UNKNOWN)
		find_unknown(f, "the platform did not say what %s connects", s->name);
	else if (s->kind != first && s->kind != second)
		find_no(f, "the switch of %s (%s) is not %s", me->vm, s->name, what);
	else if (on_switch(q, other, me, s) || own_host)
		find_no(f, "%s is on the same switch (%s)", name_of(q, other), s->name);
	else
		find_yes(f, ~0u, "%s is on %s, which is %s: it does not lead to %s", me->vm, s->name, what, name_of(q, other));
}

static void switch_is_inside(const struct inquiry *q, struct finding *f)
{
	switch_is(q, f, VSWITCH_INTERNAL, VSWITCH_ISOLATED, "for the host and its VMs only");
}

static void switch_is_private(const struct inquiry *q, struct finding *f)
{
	switch_is(q, f, VSWITCH_PRIVATE, VSWITCH_PRIVATE, "for VMs only, not even for the host");
}

static void switch_without_host(const struct inquiry *q, struct finding *f)
{
	int other = other_end(q);
	const struct vport *me = adapter(q, q->who, f);
	const struct vswitch *s = virtual_switch(q, me, f);
	if (!s)
		return;
	if (dossier_host(q->d, q->who) != other && !(me->host[0] && party_is_called(q, other, me->host)))
		find_no(f, "%s is not the host of %s", name_of(q, other), name_of(q, q->who));
	else if (s->management == SAID_NOTHING)
		find_unknown(f, "the platform did not say whether the host has a port on %s", s->name);
	else if (s->management == SAID_YES || s->kind == VSWITCH_PRIVATE)
		find_no(f, "the host has a port on %s", s->name);
	else
		find_yes(f, ~0u, "the host itself has no port on %s", s->name);
}

static void nat_stopped(const struct inquiry *q, struct finding *f)
{
	const struct vport *me = adapter(q, q->who, f);
	const struct vswitch *s = virtual_switch(q, me, f);
	if (!s)
		return;
	if (s->kind != VSWITCH_NAT)
		find_no(f, "the network of %s does not translate addresses", me->vm);
	else if (s->nat_running == SAID_NO || s->active == SAID_NO)
		find_yes(f, ~0u, "the address translation of %s does not run", s->name);
	else if (s->nat_running == SAID_NOTHING)
		find_unknown(f, "the platform did not say whether the address translation of %s runs", s->name);
	else
		find_no(f, "the address translation of %s runs", s->name);
}

static void extension_drops(const struct inquiry *q, struct finding *f)
{
	static const char *const codes[] = {"pktmon.21", "pktmon.8", "dvfilter.*", NULL};
	const struct vport *me = adapter(q, q->who, f);
	const struct vswitch *s = virtual_switch(q, me, f);
	const struct pnote *n = s ? pnote_of(q, q->who, codes) : NULL;
	if (!s)
		return;
	if (s->extension_ok == SAID_NO && s->extension[0]) {
		bindings_add(q->learned, "extension", "%s", s->extension);
		find_yes(f, ~0u, "the extension %s of %s is missing or does not pass frames%s%s", s->extension, s->name,
		         n ? "; the platform counts " : "", n ? n->code : "");
	} else if (n && n->count && s->extension[0]) {
		bindings_add(q->learned, "extension", "%s", s->extension);
		find_yes(f, ~0u, "the platform counts %llu drops at %s (%s)", (unsigned long long)n->count, n->object, n->code);
	} else if (s->extension_ok == SAID_NOTHING) {
		find_unknown(f, "the platform did not say what filters are in %s", s->name);
	} else {
		find_no(f, "no extension of %s drops anything", s->name);
	}
}

/* Seen of a flow: the first packets, and then nothing. */
static kind_mask only_first_arrive(const struct inquiry *q)
{
	kind_mask m = 0;
	for (size_t i = 0; i < q->d->flow_count; i++) {
		const struct flow *fl = &q->d->flows[i];
		const struct flow_sent *s = fl->dir == q->p->dir ? dossier_sent(q->d, fl->id) : NULL;
		const struct flow_received *r = dossier_received(q->d, fl->id);
		seqset seen = r ? r->seen : 0;
		if (s && r && s->sent & ~seen && seen & 1 && (seen & (seen + 1)) == 0)
			m |= KIND_BIT(fl->kind);
	}
	return m;
}

static void offload_holds_flow(const struct inquiry *q, struct finding *f)
{
	const struct vport *me = adapter(q, q->who, f);
	const struct vswitch *s = virtual_switch(q, me, f);
	kind_mask first = only_first_arrive(q);
	char text[KINDS_TEXT_MAX];
	if (!s)
		return;
	if (s->hw_offload == SAID_NO)
		find_no(f, "the NIC forwards no flows of %s by itself", s->name);
	else if (s->hw_offload == SAID_NOTHING)
		find_unknown(f, "the platform did not say whether the NIC forwards flows of %s by itself", s->name);
	else if (!(first & dying(q)))
		find_no(f, "not only the first packets of a flow arrive");
	else
		find_yes(f, first, "the NIC forwards flows of %s by itself, and only the first packets of a flow arrive (%s)",
		         s->name, kinds_text(first & dying(q), text, sizeof text));
}

/* ---- events of the platform ---- */

static void queues_at_fault(const struct inquiry *q, struct finding *f)
{
	static const char *const codes[] = {"vmswitch.106", "vmswitch.113", NULL};
	const struct vport *me = adapter(q, q->who, f);
	const struct pnote *n = me ? pnote_of(q, q->who, codes) : NULL;
	if (!me)
		return;
	if (n)
		find_yes(f, ~0u, "the platform tells of %s at %s: %s", n->code, n->object, n->text);
	else
		find_unknown(f, "the platform told of no fault of hardware queues at the host of %s", me->vm);
}

static void advisory_open(const struct inquiry *q, struct finding *f)
{
	static const char *const codes[] = {"advisory.*", NULL};
	const struct vport *me = adapter(q, q->who, f);
	const struct pnote *n = me ? pnote_of(q, q->who, codes) : NULL;
	if (!me)
		return;
	if (!n) {
		find_unknown(f, "nobody told of a known flaw in the platform of %s", me->vm);
		return;
	}
	bindings_add(q->learned, "advisory", "%s", n->code);
	find_yes(f, ~0u, "the platform of %s has a known flaw that is not repaired: %s %s", me->vm, n->code, n->text);
}

/* What the platform says must not pass does: its isolation cannot be relied on. */
static void isolation_leaks(const struct inquiry *q, struct finding *f)
{
	const struct vport *other, *me = both(q, &other, f);
	unsigned mine, theirs;
	kind_mask through = 0;
	if (!me)
		return;
	bool apart = private_keeps_apart(me, other) || (vlan_of(me, &mine) == SAID_YES && vlan_of(other, &theirs) == SAID_YES &&
	                                                strcmp(me->vswitch, other->vswitch) == 0 && mine != theirs);
	for (int k = 0; k < KIND_COUNT; k++)
		through |= q->v->dir[0].delivery[k] == CELL_OK || q->v->dir[1].delivery[k] == CELL_OK ? KIND_BIT(k) : 0;
	if (apart && through && q->d->onlink)
		find_yes(f, ~0u, "the platform keeps %s and %s apart, and some of it passes nevertheless", me->vm, other->vm);
	else
		find_no(f, "nothing passes that the platform forbids");
}

static void esxi_firewall(const struct inquiry *q, struct finding *f)
{
	static const char *const codes[] = {"esxi.firewall", "esxi.firewall.*", NULL};
	const struct pnote *n = pnote_of(q, q->who, codes);
	kind_mask ports = kinds_of_proto(PROTO_TCP) | kinds_of_proto(PROTO_UDP);
	if (!n) {
		find_unknown(f, "needs facts of the platform: nobody told of a firewall of %s", name_of(q, q->who));
		return;
	}
	bindings_add(q->learned, "esxi.ruleset", "%s", n->code[13] == '.' ? n->code + 14 : "(the one of the service)");
	if (dying(q) & ~ports)
		find_no(f, "not only TCP and UDP are lost");
	else
		find_yes(f, ports, "the firewall of %s lets only listed services pass: %s %s", name_of(q, q->who), n->code,
		         n->text);
}

static const struct evidence items[] = {
    {"on-wrong-network", on_wrong_network, "links of the host, platform: adapters",
     "the port is on another network than it should be"},
    {"lost-at-own-port", lost_at_own_port, "cut", "it is lost where the guest's port, or its adapter, is"},
    {"in-wrong-vlan", in_wrong_vlan, "VLANs of ports, platform: adapters", "the two are in different VLANs of one switch"},
    {"lost-at-vlan-filter", lost_at_vlan_filter, "cut", "it is lost between two ports, or at an adapter"},
    {"private-vlan-apart", private_vlan, "platform: adapters", "a private VLAN keeps the two apart"},
    {"isolation-differs", isolation_differs, "platform: adapters, drops", "the isolation of the two adapters does not fit"},
    {"switch-is-inside", switch_is_inside, "platform: switch", "the guest's switch leads to its host and other VMs only"},
    {"switch-is-private", switch_is_private, "platform: switch", "the guest's switch leads to other VMs only"},
    {"switch-without-host", switch_without_host, "platform: switch", "the host has no port on the guest's switch"},
    {"nat-stopped", nat_stopped, "platform: switch", "the network's address translation does not run"},
    {"extension-drops", extension_drops, "platform: switch, drops", "an extension of the virtual switch drops it or is missing"},
    {"offload-holds-flow", offload_holds_flow, "platform: switch; what arrived",
     "a flow in the NIC's hardware swallows all but its first packets"},
    {"queues-at-fault", queues_at_fault, "platform: events", "the host's hardware queues are at fault"},
    {"advisory-open", advisory_open, "platform: advisories", "a known flaw of the platform is not repaired"},
    {"isolation-leaks", isolation_leaks, "platform: adapters; matrix", "packets pass that the platform forbids"},
    {"esxi-firewall-closed", esxi_firewall, "platform: firewall of the host", "the ESXi host's firewall is closed"},
};
const struct evidence_table evidence_vswitch = {items, COUNT(items)};
