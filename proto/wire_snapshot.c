/* wire_snapshot: the tables of a snapshot, and making one that is too large fit. A snapshot is never refused for one bad
 * or superfluous entry: that is left out and counted in `truncated`; a ruleset with holes says FW_TRUNCATED. */
#include "proto/wire_shape.h"

#include "proto/model/limits.h"
#include "proto/model/snapshot.h"

#include "bothways.pb-c.h"

#include <stdlib.h>
#include <string.h>

/* ---- links, addresses, routes ---- */

#define PB    Bothways__V1__Link
#define MODEL struct link
static const struct field link_fields[] = {
    NUM(index),
    NAME(name),
    TEXT(kind),
    MAC(mac),
    NUM(mtu),
    NUM(master),
    FLAG(up),
    FLAG(carrier),
    FLAG(noarp),
    FLAG(loopback),
    FLAG(promisc),
    FLAG(port),
    ENUM_OR(port_state, PORT_BLOCKING, PORT_DISABLED),
    FLAG(isolated),
    FLAG(learning),
    FLAG(flood),
    FLAG(mcast_flood),
    FLAG(bcast_flood),
    FLAG(locked),
    FLAG(stp),
    FLAG(vlan_filtering),
    NUM(rx_packets),
    NUM(tx_packets),
    NUM(rx_dropped),
    NUM(tx_dropped),
    NUM(rx_errors),
    NUM(tx_errors),
    NUM(parent),
    FLAG(parent_elsewhere),
    NUM(vlan),
    NUM(vni),
    IP(vx_local),
    IP(vx_remote),
    NUM(vx_port),
    TEXT(mode),
    NUM(active),
    TEXT(driver),
    TEXT(driver_version),
    NUM(offloads),
    FLAG(offloads_known),
    NUM(rx_queues),
    NUM(tx_queues),
    NUM(speed),
};
static const struct shape link_shape = SHAPE("link", link_fields, bothways__v1__link__descriptor);
#undef PB
#undef MODEL

#define PB    Bothways__V1__Addr
#define MODEL struct addr
static const struct field addr_fields[] = {NUM(link),       PREFIX(prefix, 0), FLAG(tentative),
                                           FLAG(dadfailed), FLAG(temporary),   FLAG(leased)};
static const struct shape addr_shape = SHAPE("address", addr_fields, bothways__v1__addr__descriptor);
#undef PB
#undef MODEL

static int route_check(const void *pb, void *model, struct reader *r)
{
	const struct route *route = model;
	(void)pb;
	return route->dst.ip.family ? 0 : shape_refuse(r, "route", "has no destination");
}

#define PB    Bothways__V1__Route
#define MODEL struct route
static const struct field route_fields[] = {NUM(type), NUM(table),  PREFIX(dst, 0), IP(gateway),   IP(source),
                                            NUM(link), NUM(metric), NUM(mtu),       NUM(protocol), NUM(hops)};
static const struct shape route_shape = SHAPE("route", route_fields, bothways__v1__route__descriptor, .check = route_check);
#undef PB
#undef MODEL

#define PB    Bothways__V1__PolicyRule
#define MODEL struct policy_rule
static const struct field policy_rule_fields[] = {RANGE(family, 6), NUM(priority), NUM(table), NUM(action), PREFIX(src, 0),
                                                  PREFIX(dst, 0),   TEXT(iif),     TEXT(oif),  NUM(fwmark)};
static const struct shape policy_rule_shape = SHAPE("rule", policy_rule_fields, bothways__v1__policy_rule__descriptor);
#undef PB
#undef MODEL

#define PB    Bothways__V1__Neigh
#define MODEL struct neigh
static const struct field neigh_fields[] = {NUM(link), IP(ip), MAC(mac), NUM(state)};
static const struct shape neigh_shape = SHAPE("neighbour", neigh_fields, bothways__v1__neigh__descriptor);
#undef PB
#undef MODEL

#define PB    Bothways__V1__Fdb
#define MODEL struct fdb
static const struct field fdb_fields[] = {NUM(bridge), NUM(port),       MAC(mac),     NUM(vlan),
                                          FLAG(local), FLAG(is_static), FLAG(sticky), IP(remote)};
static const struct shape fdb_shape = SHAPE("fdb entry", fdb_fields, bothways__v1__fdb__descriptor);
#undef PB
#undef MODEL

#define PB    Bothways__V1__PortVlan
#define MODEL struct port_vlan
static const struct field port_vlan_fields[] = {NUM(link), NUM(vid), NUM(last), FLAG(pvid), FLAG(untagged)};
static const struct shape port_vlan_shape = SHAPE("port VLAN", port_vlan_fields, bothways__v1__port_vlan__descriptor);
#undef PB
#undef MODEL

#define PB    Bothways__V1__Text
#define MODEL struct text
static const struct field text_fields[] = {NAME(name), TEXT(text)};
static const struct shape text_shape = SHAPE("text", text_fields, bothways__v1__text__descriptor);
#undef PB
#undef MODEL

#define PB    Bothways__V1__Value
#define MODEL struct value
static const struct field value_fields[] = {NAME(name), SIGNED(value)};
static const struct shape value_shape = SHAPE("value", value_fields, bothways__v1__value__descriptor);
#undef PB
#undef MODEL

#define PB    Bothways__V1__Listener
#define MODEL struct listener
static const struct field listener_fields[] = {NUM(proto), IP(ip), FLAG(v6only), NUM(port), NUM(backlog), NUM(queued)};
static const struct shape listener_shape = SHAPE("listener", listener_fields, bothways__v1__listener__descriptor);
#undef PB
#undef MODEL

/* ---- firewall ----
 * A match with some of its values, or a rule with some of its matches, would say something else than the ruleset does.
 * Reading leaves the whole rule out; writing turns the match into one that nobody can evaluate. */

static int match_check(const void *pb, void *model, struct reader *r)
{
	bool whole = ((const Bothways__V1__FwMatch *)pb)->n_values == ((struct fw_match *)model)->value_count;
	return whole ? 0 : shape_refuse(r, "match", "has values that cannot be kept");
}

static void match_make_unknown(Bothways__V1__FwMatch *m)
{
	m->field = FW_UNKNOWN;
	m->n_values = 0;
}

static void match_amend(const void *model, void *pb, struct writer *w)
{
	(void)w;
	if (((const struct fw_match *)model)->value_count > FW_VALUES_MAX)
		match_make_unknown(pb);
}

static int rule_check(const void *pb, void *model, struct reader *r)
{
	bool whole = ((const Bothways__V1__FwRule *)pb)->n_matches == ((struct fw_rule *)model)->match_count;
	return whole ? 0 : shape_refuse(r, "rule", "has matches that cannot be kept");
}

static void rule_amend(const void *model, void *pb, struct writer *w)
{
	(void)w;
	if (((const struct fw_rule *)model)->match_count > FW_MATCHES_MAX)
		match_make_unknown(((Bothways__V1__FwRule *)pb)->matches[FW_MATCHES_MAX - 1]);
}

#define PB    Bothways__V1__FwValue
#define MODEL struct fw_value
static const struct field fw_value_fields[] = {NUM(lo), NUM(hi), PREFIX(prefix, 0), IP(range_end), MAC(mac), TEXT(text)};
static const struct shape fw_value_shape = SHAPE("value", fw_value_fields, bothways__v1__fw_value__descriptor);
#undef PB
#undef MODEL

#define PB    Bothways__V1__FwMatch
#define MODEL struct fw_match
static const struct field fw_match_fields[] = {ENUM_OR(field, FW_FIELD_COUNT - 1, FW_UNKNOWN), FLAG(negate),
                                               LENIENT_LIST(values, value_count, fw_value_shape, FW_VALUES_MAX)};
static const struct shape fw_match_shape =
    SHAPE("match", fw_match_fields, bothways__v1__fw_match__descriptor, .check = match_check, .amend = match_amend);
#undef PB
#undef MODEL

#define PB    Bothways__V1__FwRule
#define MODEL struct fw_rule
static const struct field fw_rule_fields[] = {
    NUM(handle),       ENUM_OR(verdict, FW_MAYBE, FW_MAYBE),
    TEXT(target),      NUM(packets),
    FLAG(has_counter), LENIENT_LIST(matches, match_count, fw_match_shape, FW_MATCHES_MAX),
    TEXT(text),
};
static const struct shape fw_rule_shape =
    SHAPE("rule", fw_rule_fields, bothways__v1__fw_rule__descriptor, .check = rule_check, .amend = rule_amend);
#undef PB
#undef MODEL

#define PB    Bothways__V1__FwChain
#define MODEL struct fw_chain
static const struct field fw_chain_fields[] = {
    NAME(family),
    NAME(table),
    NAME(name),
    NUM(handle),
    TEXT(hook),
    TEXT(type),
    TEXT(device),
    SIGNED(priority),
    ENUM_OR(policy, FW_DROP, FW_ACCEPT),
    LENIENT_LIST(rules, rule_count, fw_rule_shape, FW_RULES_MAX),
};
static const struct shape fw_chain_shape = SHAPE("chain", fw_chain_fields, bothways__v1__fw_chain__descriptor);
#undef PB
#undef MODEL

static size_t rule_values(const struct fw_rule *r)
{
	size_t n = 0;
	for (size_t i = 0; i < r->match_count; i++)
		n += r->matches[i].value_count;
	return n;
}

/* Cuts the chain's rules where the limits over all chains are reached; returns how many went. */
static size_t chain_cut(struct fw_chain *c, size_t *rules, size_t *values)
{
	size_t keep = 0, gone;
	while (keep < c->rule_count && *rules < FW_RULES_MAX) {
		size_t more = rule_values(&c->rules[keep]);
		if (*values + more > FW_VALUES_ALL_MAX)
			break;
		*values += more;
		++*rules;
		keep++;
	}
	gone = c->rule_count - keep;
	for (size_t i = keep; i < c->rule_count; i++)
		shape_clear(&fw_rule_shape, &c->rules[i]);
	c->rule_count = keep;
	return gone;
}

static bool firewall_is_whole(const Bothways__V1__Snapshot *pb, const struct snapshot *s)
{
	if (pb->n_chains != s->chain_count)
		return false;
	for (size_t i = 0; i < s->chain_count; i++) {
		if (pb->chains[i]->n_rules != s->chains[i].rule_count)
			return false;
	}
	return true;
}

static int snapshot_check(const void *pb, void *model, struct reader *r)
{
	struct snapshot *s = model;
	size_t rules = 0, values = 0;
	for (size_t i = 0; i < s->chain_count; i++)
		r->left_out += chain_cut(&s->chains[i], &rules, &values);
	if (!firewall_is_whole(pb, s) && s->firewall_known == FW_READ)
		s->firewall_known = FW_TRUNCATED;
	s->truncated += r->left_out;
	r->left_out = 0;
	return 0;
}

static void snapshot_amend(const void *model, void *pb, struct writer *w)
{
	const struct snapshot *s = model;
	Bothways__V1__Snapshot *p = pb;
	p->truncated += w->left_out;
	w->left_out = 0;
	if (s->chain_count > FW_CHAINS_MAX && p->firewall_known == FW_READ)
		p->firewall_known = FW_TRUNCATED;
}

/* ---- the snapshot ---- */

#define PB    Bothways__V1__Snapshot
#define MODEL struct snapshot
static const struct field snapshot_fields[] = {
    FIELD_AS(FIELD_SIGNED, taken, taken.ns, .max = 0),
    TEXT(hostname),
    TEXT(kernel),
    TEXT(platform),
    ENUM_OR(firewall_known, FW_TRUNCATED, FW_NOT_READ),
    RANGE(truncated, UINT32_MAX),
    LENIENT_LIST(links, link_count, link_shape, SNAP_LINKS_MAX),
    LENIENT_LIST(addrs, addr_count, addr_shape, SNAP_ADDRS_MAX),
    LENIENT_LIST(routes, route_count, route_shape, SNAP_ROUTES_MAX),
    LENIENT_LIST(rules, rule_count, policy_rule_shape, SNAP_RULES_MAX),
    LENIENT_LIST(neighs, neigh_count, neigh_shape, SNAP_NEIGHS_MAX),
    LENIENT_LIST(fdbs, fdb_count, fdb_shape, SNAP_FDB_MAX),
    LENIENT_LIST(sysctls, sysctl_count, value_shape, SNAP_VALUES_MAX),
    LENIENT_LIST(counters, counter_count, value_shape, SNAP_VALUES_MAX),
    LENIENT_LIST(listeners, listener_count, listener_shape, SNAP_LISTENERS_MAX),
    LENIENT_LIST(chains, chain_count, fw_chain_shape, FW_CHAINS_MAX),
    LENIENT_LIST(texts, text_count, text_shape, SNAP_TEXTS_MAX),
    LENIENT_LIST(vlans, vlan_count, port_vlan_shape, SNAP_VLANS_MAX),
    LENIENT_LIST(vports, vport_count, vport_shape, SNAP_VPORTS_MAX),
    LENIENT_LIST(vswitches, vswitch_count, vswitch_shape, SNAP_VSWITCHES_MAX),
    LENIENT_LIST(swports, swport_count, swport_shape, SNAP_SWPORTS_MAX),
    LENIENT_LIST(pnotes, pnote_count, pnote_shape, SNAP_PNOTES_MAX),
};
const struct shape snapshot_shape =
    SHAPE("snapshot", snapshot_fields, bothways__v1__snapshot__descriptor, .check = snapshot_check, .amend = snapshot_amend);
#undef PB
#undef MODEL

/* ---- making it fit ---- */

struct section { /* one list of the snapshot, or the rules of one chain */
	size_t *count;
	ProtobufCMessage **items;
	size_t bytes;
};

static size_t items_bytes(ProtobufCMessage *const *items, size_t from, size_t to)
{
	size_t n = 0;
	for (size_t i = from; i < to; i++)
		n += protobuf_c_message_get_packed_size(items[i]) + 2; /* its tag and the least of a length */
	return n;
}

static void section_offer(struct section *largest, size_t *count, ProtobufCMessage **items)
{
	size_t bytes = items_bytes(items, 0, *count);
	if (bytes > largest->bytes)
		*largest = (struct section){count, items, bytes};
}

/* Of the firewall, the chain with most rules; only when no rules are left, the chains themselves. */
static void firewall_offer(struct section *largest, Bothways__V1__Snapshot *s)
{
	size_t before = largest->bytes;
	for (size_t i = 0; i < s->n_chains; i++)
		section_offer(largest, &s->chains[i]->n_rules, (ProtobufCMessage **)s->chains[i]->rules);
	if (largest->bytes == before)
		section_offer(largest, &s->n_chains, (ProtobufCMessage **)s->chains);
}

static struct section section_largest(Bothways__V1__Snapshot *s)
{
	struct section largest = {0};
	for (size_t i = 0; i < snapshot_shape.count; i++) {
		const struct field *f = &snapshot_shape.fields[i];
		if (f->type != FIELD_LIST || f->shape == &fw_chain_shape)
			continue;
		ProtobufCMessage **items;
		memcpy(&items, (char *)s + f->pb, sizeof items);
		section_offer(&largest, (size_t *)(void *)((char *)s + f->pb_count), items);
	}
	firewall_offer(&largest, s);
	return largest;
}

static bool is_firewall(const Bothways__V1__Snapshot *s, const struct section *x)
{
	for (size_t i = 0; i < s->n_chains; i++) {
		if (x->count == &s->chains[i]->n_rules)
			return true;
	}
	return x->count == &s->n_chains;
}

void snapshot_trim(void *snapshot, size_t excess)
{
	Bothways__V1__Snapshot *s = snapshot;
	for (size_t saved = 0; saved < excess;) {
		struct section x = section_largest(s);
		if (!x.count)
			return;
		size_t keep = *x.count / 2;
		saved += items_bytes(x.items, keep, *x.count);
		s->truncated += *x.count - keep;
		if (is_firewall(s, &x) && s->firewall_known == FW_READ)
			s->firewall_known = FW_TRUNCATED;
		*x.count = keep;
	}
}
