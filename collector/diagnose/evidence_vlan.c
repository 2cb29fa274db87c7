/* evidence_vlan: the VLANs of the ports that frames cross, and the flow entries of a virtual switch. */
#include "collector/diagnose/inquiry.h"

#include "proto/base/mem.h"

#include <stdio.h>
#include <string.h>

#define NO_VLAN -1

/* ---- VLANs of a port ---- */

static bool port_is_told(const struct snapshot *s, const struct link *l)
{
	for (size_t i = 0; i < s->vlan_count; i++)
		if (s->vlans[i].link == l->index)
			return true;
	return false;
}

/* Which VLAN frames without a tag are in. */
static int port_native(const struct snapshot *s, const struct link *l)
{
	for (size_t i = 0; i < s->vlan_count; i++)
		if (s->vlans[i].link == l->index && s->vlans[i].pvid)
			return s->vlans[i].vid;
	return NO_VLAN;
}

static const struct port_vlan *port_carries(const struct snapshot *s, const struct link *l, int vid)
{
	for (size_t i = 0; i < s->vlan_count; i++)
		if (s->vlans[i].link == l->index && vid >= s->vlans[i].vid && vid <= s->vlans[i].last)
			return &s->vlans[i];
	return NULL;
}

/* One VLAN, without a tag: what a machine that knows nothing of VLANs is plugged into. */
static bool port_is_access(const struct snapshot *s, const struct link *l)
{
	size_t rows = 0;

	for (size_t i = 0; i < s->vlan_count; i++)
		rows += s->vlans[i].link == l->index ? 1u + (s->vlans[i].last > s->vlans[i].vid) : 0;
	return rows == 1 && port_native(s, l) != NO_VLAN;
}

/* ---- the way of the frames ---- */

struct barrier {
	const struct link *bridge, *in, *out;
	int vid;                /* in which it comes in; NO_VLAN: the port takes no frames without a tag */
	const struct link *odd; /* the one to change ... */
	int wanted;             /* ... and what it lacks; NO_VLAN = not known */
	bool trunk;             /* ... because it is one that carries several */
};

static const struct link *bridge_between(const struct snapshot *s, const struct link *in, const struct link *out)
{
	uint32_t a = link_is_bridge(in) ? in->index : in->master, b = link_is_bridge(out) ? out->index : out->master;
	const struct link *bridge = a == b && a ? snapshot_link(s, a) : NULL;
	return bridge && in != out && link_is_bridge(bridge) && bridge->vlan_filtering ? bridge : NULL;
}

/* The tag of what dies, where a point saw it; NO_VLAN = nobody looked. */
static int tag_seen(const struct inquiry *q, size_t at)
{
	int point = q->v->dir[q->p->dir].path_count > at ? q->d->path[q->p->dir][at] : -1;

	for (size_t i = 0; point >= 0 && i < q->d->flow_count; i++) {
		bool looked;
		const struct point_seen *seen = dossier_seen(q->d, q->d->points[point].id, q->d->flows[i].id, &looked);
		if (seen && seen->probes && q->d->flows[i].dir == q->p->dir && KIND_BIT(q->d->flows[i].kind) & dying(q))
			return seen->vlan;
	}
	return NO_VLAN;
}

/* Was it put into this VLAN lately? */
static bool port_was_changed(const struct inquiry *q, const struct link *l, int vid)
{
	char key[64];
	snprintf(key, sizeof key, "vlan.%s.%d", l->name, vid);
	const struct fact_change *c = history_last(&q->d->party[q->who], key);
	return c && c->now && c->now[0];
}

/* How many other ports of the bridge are in that VLAN. */
static size_t company(const struct snapshot *s, const struct barrier *b, int vid)
{
	size_t n = 0;

	for (size_t i = 0; i < s->link_count; i++) {
		const struct link *l = &s->links[i];
		n += l != b->in && l != b->out && (l->master == b->bridge->index || l == b->bridge) && port_native(s, l) == vid;
	}
	return n;
}

/* Which of two access ports is the odd one: the one that was changed, else the one that stands alone. Whichever way it is asked,
 * the answer is the same. */
static bool in_is_odd(const struct inquiry *q, const struct snapshot *s, const struct barrier *b, int other)
{
	bool in_changed = port_was_changed(q, b->in, b->vid), out_changed = port_was_changed(q, b->out, other);
	size_t with_in = company(s, b, b->vid), with_out = company(s, b, other);

	if (in_changed != out_changed)
		return in_changed;
	return with_in != with_out ? with_in < with_out : b->in->index > b->out->index;
}

static void barrier_blame(const struct inquiry *q, const struct snapshot *s, struct barrier *b)
{
	int other = port_native(s, b->out);
	bool both_access = port_is_access(s, b->in) && port_is_access(s, b->out);
	bool odd_in = b->vid == NO_VLAN || (both_access && in_is_odd(q, s, b, other));

	b->odd = odd_in ? b->in : b->out;
	b->wanted = odd_in ? other : b->vid;
	b->trunk = !odd_in && !port_is_access(s, b->out);
}

/* One step, with the tag it begins with; *tag is that of what comes out. */
static bool step_stops(const struct snapshot *s, const struct link *in, const struct link *out, int *tag, struct barrier *b)
{
	const struct port_vlan *at;

	*b = (struct barrier){.bridge = bridge_between(s, in, out), .in = in, .out = out};
	if (!b->bridge || !port_is_told(s, in) || !port_is_told(s, out))
		return false;
	b->vid = *tag > 0 ? *tag : port_native(s, in);
	at = b->vid == NO_VLAN ? NULL : port_carries(s, out, b->vid);
	*tag = at && !at->untagged ? b->vid : 0;
	return !at;
}

static bool barrier_find(const struct inquiry *q, struct barrier *b)
{
	const struct snapshot *s = party_facts(q->d, q->who);
	const struct path_point *path = q->v->dir[q->p->dir].path;
	int tag = 0;

	for (size_t i = 0; s && q->p->placed && i < q->p->before; i++) {
		const struct link *in = snapshot_link_named(s, path[i].ifname), *out = snapshot_link_named(s, path[i + 1].ifname);
		int seen = tag_seen(q, i);
		bool here = point_party(q->d, q->v, q->p->dir, i) == q->who && point_party(q->d, q->v, q->p->dir, i + 1) == q->who;

		tag = seen != NO_VLAN ? seen : tag;
		if (here && in && out && step_stops(s, in, out, &tag, b) && i >= q->p->after) {
			barrier_blame(q, s, b);
			return true;
		}
	}
	return false;
}

/* ---- saying it ---- */

static void bind_ovs(const struct inquiry *q, const struct barrier *b)
{
	if (b->trunk)
		bindings_add(q->learned, "ovs.change", "add port %s trunks %d", b->odd->name, b->wanted);
	else if (b->wanted > 0)
		bindings_add(q->learned, "ovs.change", "set port %s tag=%d", b->odd->name, b->wanted);
	else
		bindings_add(q->learned, "ovs.change", "clear port %s tag", b->odd->name);
}

static void bind_kernel(const struct inquiry *q, const struct snapshot *s, const struct barrier *b)
{
	const char *self = link_is_bridge(b->odd) ? " self" : "";
	int was = port_native(s, b->odd);

	if (!b->trunk && was != NO_VLAN)
		bindings_add(q->learned, "vlan.del", "dev %s vid %d%s", b->odd->name, was, self);
	bindings_add(q->learned, "vlan.add", "dev %s vid %d%s%s", b->odd->name, b->wanted, b->trunk ? "" : " pvid untagged", self);
}

static void barrier_bind(const struct inquiry *q, const struct barrier *b)
{
	bindings_add(q->learned, "component", "%s", b->odd->name);
	if (b->wanted == NO_VLAN)
		return;
	if (strcmp(b->bridge->kind, "ovs-bridge") == 0)
		bind_ovs(q, b);
	else
		bind_kernel(q, party_facts(q->d, q->who), b);
}

static const char *port_words(const struct snapshot *s, const struct link *l, char *out, size_t size)
{
	int native = port_native(s, l);

	if (port_is_access(s, l) && native > 0)
		snprintf(out, size, "in VLAN %d", native);
	else if (native > 0)
		snprintf(out, size, "a trunk with the native VLAN %d", native);
	else
		snprintf(out, size, native == 0 ? "in no VLAN" : "a trunk that takes tagged frames only");
	return out;
}

static void vlans_differ(const struct inquiry *q, struct finding *f, bool trunk)
{
	const struct snapshot *s = party_facts(q->d, q->who);
	const char *who = name_of(q, q->who);
	struct barrier b;
	char in[64], out[64];

	if (!s) {
		find_unknown(f, "%s did not say which VLANs its ports are in", who);
		return;
	}
	if (!barrier_find(q, &b) || b.trunk != trunk) {
		find_no(f, "the VLANs of the ports of %s fit each other", who);
		return;
	}
	barrier_bind(q, &b);
	if (trunk)
		find_yes(f, ~0u, "%s:%s does not carry VLAN %d, in which it comes in by %s", who, b.out->name, b.vid, b.in->name);
	else
		find_yes(f, ~0u, "%s:%s is %s, %s:%s is %s: %s passes nothing between them", who, b.in->name,
		         port_words(s, b.in, in, sizeof in), who, b.out->name, port_words(s, b.out, out, sizeof out),
		         b.bridge->name);
}

static void ports_vlan(const struct inquiry *q, struct finding *f) { vlans_differ(q, f, false); }
static void trunk_lacks(const struct inquiry *q, struct finding *f) { vlans_differ(q, f, true); }

/* ---- flow entries ---- */

/* "icmp,nw_dst=10.0.0.2, priority 77: drop" as ovs-ofctl takes it. An entry with a cookie belongs to a controller, which would put
 * it back. */
static void entry_bind(const struct inquiry *q, const struct flow_rule *r)
{
	const char *at = strstr(r->text, "priority ");
	unsigned priority;
	int match = at ? (int)(at - r->text) : 0;

	bindings_add(q->learned, "component", "%s %s", r->table, r->chain);
	bindings_add(q->learned, "ovs.bridge", "%s", r->table);
	if (!at || sscanf(at, "priority %u", &priority) != 1 || strstr(r->text, "cookie"))
		return;
	while (match > 0 && (r->text[match - 1] == ' ' || r->text[match - 1] == ','))
		match--;
	bindings_add(q->learned, "ovs.entry", "table=%s,priority=%u%s%.*s", r->chain + strcspn(r->chain, "0123456789"), priority,
	             match ? "," : "", match, r->text);
}

/* What a port's VLAN stops is no matter of entries. */
static bool is_entry(const struct flow_rule *r) { return strcmp(r->family, "ovs") == 0 && !strstr(r->text, "VLAN"); }

/* Open vSwitch has an entry of its own for what no other one matches, and shows it by the register it marks that with. */
static bool is_missing(const struct flow_rule *r)
{
	return is_entry(r) && (strstr(r->text, "no flow entry matches") || strcmp(r->text, "reg0=0x2, priority 0: drop") == 0);
}
static bool is_written(const struct flow_rule *r) { return is_entry(r) && !is_missing(r); }

/* The first of the rows that end the way of what dies; *kinds: of which. */
static const struct flow_rule *ovs_ended(const struct inquiry *q, bool (*is)(const struct flow_rule *r), kind_mask *kinds)
{
	const struct round_result *r = q->d->party[q->who].result;
	const struct flow_rule *first = NULL;

	*kinds = 0;
	for (size_t i = 0; r && i < r->rules_count; i++) {
		const struct flow_rule *rule = &r->rules[i];
		int kind = is(rule) ? problem_row_kind(q->d, q->p, rule->flow, rule->part, rule->seqs) : -1;
		if (kind < 0 || !(KIND_BIT(kind) & dying(q)))
			continue;
		*kinds |= KIND_BIT(kind);
		first = first ? first : rule;
	}
	return first;
}

static void ovs_drops(const struct inquiry *q, struct finding *f)
{
	kind_mask kinds;
	const struct flow_rule *first = ovs_ended(q, is_written, &kinds);

	if (!first) {
		find_no(f, "no flow entry of %s is known to drop it", name_of(q, q->who));
		return;
	}
	entry_bind(q, first);
	find_yes(f, kinds, "the flow tables of Open vSwitch on %s drop it: %s %s: %s", name_of(q, q->who), first->table,
	         first->chain, first->text);
}

static void ovs_misses(const struct inquiry *q, struct finding *f)
{
	kind_mask kinds;
	const struct flow_rule *first = ovs_ended(q, is_missing, &kinds);

	if (!first) {
		find_no(f, "the flow tables of %s have an entry for it", name_of(q, q->who));
		return;
	}
	bindings_add(q->learned, "component", "%s %s", first->table, first->chain);
	if (strcmp(first->chain, "table 0") == 0)
		bindings_add(q->learned, "ovs.empty", "%s", first->table);
	find_yes(f, kinds, "the flow tables of Open vSwitch on %s have no entry for it: %s %s", name_of(q, q->who), first->table,
	         first->chain);
}

/* ---- tags that the machine itself makes ---- */

/* Of the frames of one direction, where they leave their machine; NO_VLAN = nobody looked. */
static int tag_leaving(const struct inquiry *q, int dir)
{
	for (size_t i = 0; i < q->d->flow_count; i++) {
		bool looked;
		int point = q->d->path_count[dir] > 1 ? q->d->path[dir][1] : -1;
		const struct point_seen *seen = point >= 0 && q->d->flows[i].dir == dir
		                                    ? dossier_seen(q->d, q->d->points[point].id, q->d->flows[i].id, &looked)
		                                    : NULL;
		if (seen && seen->probes)
			return seen->vlan;
	}
	return NO_VLAN;
}

static void sender_tags(const struct inquiry *q, struct finding *f)
{
	int here = q->who == q->src ? tag_leaving(q, q->p->dir) : NO_VLAN, there = tag_leaving(q, 1 - q->p->dir);

	if (here <= 0 || there == NO_VLAN || here == there) {
		find_no(f, "the frames of %s carry the tag that its peer's do", name_of(q, q->src));
		return;
	}
	bindings_add(q->learned, "component", "%s", party_if(q->d, q->src));
	bindings_add(q->learned, "tag", "%d", here);
	if (q->d->party[q->src].at.port[0])
		bindings_add(q->learned, "port", "%s", q->d->party[q->src].at.port);
	find_yes(f, ~0u, "frames leave %s:%s with the VLAN tag %d, those of %s %s", name_of(q, q->src), party_if(q->d, q->src),
	         here, name_of(q, q->dst), there ? "with another one" : "without");
}

static const struct evidence items[] = {
    {"ports-vlan-differ", ports_vlan, "VLANs of the ports", "the two ports on the way are in different VLANs"},
    {"trunk-lacks-vlan", trunk_lacks, "VLANs of the ports", "a trunk on the way does not carry the VLAN"},
    {"ovs-entry-drops", ovs_drops, "ofproto/trace of the probe", "a flow entry of Open vSwitch drops it"},
    {"ovs-no-entry", ovs_misses, "ofproto/trace of the probe", "the flow tables of Open vSwitch have no entry for it"},
    {"sender-tags", sender_tags, "captures", "the machine's frames leave it with a VLAN tag that its peer's do not have"},
};
const struct evidence_table evidence_vlan = {items, sizeof items / sizeof *items};
