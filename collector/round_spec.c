/* round_spec: the flows of a round. Every flow has its own block of source ports and identifiers, so that no flow's packet
 * can be taken for another's, nor for an answer to one: a state table must not open the door for the opposite direction. */
#include "collector/round_parts.h"

#include "proto/base/mem.h"

#include <string.h>

#define WAIT_MS           200
#define SERVICE_FLOWS_MAX 8 /* per direction */

struct flow_shape {
	uint8_t count;
	uint16_t gap_ms;
};
static const struct flow_shape shapes[] = {
    /* by protocol: enough to tell one lost packet from a dead path, in little time */
    [PROTO_NEIGH] = {3, 20},
    [PROTO_ICMP] = {3, 10},
    [PROTO_UDP] = {3, 10},
    [PROTO_TCP] = {3, 10},
};

static uint8_t stage_of(enum proto proto, int dir)
{
	if (proto == PROTO_NEIGH)
		return STAGE_NEIGH;
	return dir == 0 ? STAGE_A_TO_B : STAGE_B_TO_A;
}

struct flow *round_flow_add(struct round *r, enum kind kind, int dir)
{
	if (r->flow_count == ROUND_FLOWS_MAX)
		return NULL;
	const struct kind_info *info = kind_info(kind);
	const struct endpoint *from = &r->ep[dir], *to = &r->ep[1 - dir];
	const struct member *sender = r->part[dir].member, *receiver = r->part[1 - dir].member;
	struct flow *f = &r->flows[r->flow_count];
	*f = (struct flow){
	    .id = (uint8_t)r->flow_count,
	    .kind = (uint8_t)kind,
	    .dir = (uint8_t)dir,
	    .stage = stage_of(info->proto, dir),
	    .count = shapes[info->proto].count,
	    .gap_ms = shapes[info->proto].gap_ms,
	    .size = info->large ? (uint16_t)(from->mtu > UINT16_MAX ? UINT16_MAX : from->mtu) : 0,
	    .id_base = (uint16_t)(r->ask.id_base + r->flow_count * ID_STRIDE),
	    .dport = receiver->hello.probe_port ? receiver->hello.probe_port : PROBE_PORT_DEFAULT,
	    .src = info->family == 4 ? from->ip4.ip : from->ip6.ip,
	    .dst = info->family == 4 ? to->ip4.ip : to->ip6.ip,
	    .dst_mac = to->mac,
	    .onlink = r->onlink,
	    .bind_device = fleet_binds_device(sender, from, receiver, to, r->onlink),
	};
	str_copy(f->ifname, sizeof f->ifname, from->ifname);
	r->flow_count++;
	return f;
}

static bool listens(const struct snapshot *s, uint16_t port, int family)
{
	for (size_t i = 0; s && i < s->listener_count; i++) {
		const struct listener *l = &s->listeners[i];
		bool dual = l->ip.family == 6 && !l->v6only;
		if (l->proto == IPPROTO_TCP && l->port == port && (l->ip.family == family || (dual && family == 4)))
			return true;
	}
	return false;
}

/* A service that lives in one family only is not ill in the other. One that nobody listens for is asked for in every family. */
static kind_mask service_families(const struct snapshot *s, kind_mask kinds, uint16_t port)
{
	kind_mask have = (listens(s, port, 4) ? KIND_BIT(KIND_TCP) : 0) | (listens(s, port, 6) ? KIND_BIT(KIND_TCP6) : 0);
	return kinds & have ? kinds & have : kinds;
}

static void flow_add_service(struct round *r, kind_mask kinds, int dir, uint16_t port)
{
	kinds = service_families(r->part[1 - dir].member->snapshot, kinds, port);
	if (kinds & KIND_BIT(KIND_TCP)) {
		struct flow *f = round_flow_add(r, KIND_SERVICE, dir);
		if (f)
			f->dport = port;
	}
	if (kinds & KIND_BIT(KIND_TCP6)) {
		struct flow *f = round_flow_add(r, KIND_SERVICE6, dir);
		if (f)
			f->dport = port;
	}
}

/* Services towards the side that offers them; the one that was asked for is b's. */
static void flows_of_services(struct round *r, kind_mask kinds, int dir)
{
	const struct msg_hello *offer = &r->part[1 - dir].member->hello;
	size_t left = SERVICE_FLOWS_MAX;
	uint16_t asked = dir == 0 ? r->ask.service_port : 0;
	if (asked) {
		flow_add_service(r, kinds, dir, asked);
		left--;
	}
	for (size_t i = 0; i < offer->service_count && left; i++) {
		if (offer->services[i] == asked)
			continue;
		flow_add_service(r, kinds, dir, offer->services[i]);
		left--;
	}
}

static void flows_of_direction(struct round *r, int dir)
{
	const kind_mask apart =
	    KIND_BIT(KIND_SERVICE) | KIND_BIT(KIND_SERVICE6) | KIND_BIT(KIND_FRAGMENTS) | KIND_BIT(KIND_FRAGMENTS6);
	const char *why[KIND_COUNT];
	kind_mask kinds = fleet_kinds(r->part[dir].member, &r->ep[dir], r->part[1 - dir].member, &r->ep[1 - dir], r->onlink, why);
	for (int k = 0; k < KIND_COUNT; k++)
		r->skip_why[dir][k] = mem_strdup(why[k]);
	r->kinds[dir] = kinds;
	r->skipped[dir] = ~kinds & ~apart & (KIND_BIT(KIND_COUNT) - 1);
	for (int k = 0; k < KIND_COUNT; k++) {
		if (kinds & ~apart & KIND_BIT(k))
			round_flow_add(r, k, dir);
	}
	flows_of_services(r, kinds, dir);
}

void round_flows(struct round *r)
{
	flows_of_direction(r, 0);
	flows_of_direction(r, 1);
	round_extra_flows(r);
}

/* ---- stages ---- */

bool round_sends(const struct round *r, int part, enum stage s)
{
	for (size_t i = 0; i < r->flow_count; i++) {
		if (r->flows[i].stage == s && r->flows[i].dir == part)
			return true;
	}
	return false;
}

bool round_stage_needed(const struct round *r, enum stage s)
{
	if (!round_extra_wanted(r, s))
		return false;
	for (int part = 0; part < 2; part++) {
		if (r->part[part].armed && round_sends(r, part, s))
			return true;
	}
	return false;
}

uint32_t round_stage_ms(const struct round *r, enum stage s)
{
	uint32_t longest = 0;
	for (size_t i = 0; i < r->flow_count; i++) {
		uint32_t ms = (uint32_t)r->flows[i].count * r->flows[i].gap_ms;
		if (r->flows[i].stage == s && ms > longest)
			longest = ms;
	}
	return longest + WAIT_MS;
}

/* ---- what one participant is told ---- */

/* A pair number for probe headers that no plan gives out: plans count from 0 upwards. */
static uint32_t round_pair(const struct round *r) { return (uint32_t)r->ask.id | 0x80000000u; }

/* A tenant's guest is told no names but its tenant's. */
static bool may_know(const struct member *m, const struct member *other)
{
	return m->kind == AGENT_HOST || strcmp(m->tenant, other->tenant) == 0;
}

void round_spec_of(const struct round *r, int part, struct round_spec *out)
{
	const struct participant *p = &r->part[part];
	memset(out, 0, sizeof *out);
	out->id = r->ask.id;
	out->pair = round_pair(r);
	out->endpoint = part == PARTY_A || part == PARTY_B;
	out->is_a = part == PARTY_A;
	out->wait_ms = WAIT_MS;
	if (out->endpoint) /* who only captures proves nothing and needs no key */
		memcpy(out->key, r->ask.key, sizeof out->key);
	out->flow_count = p->member->hello.version_max < 4 ? r->old_flow_count : r->flow_count;
	memcpy(out->flows, r->flows, out->flow_count * sizeof *r->flows);
	out->point_count = p->point_count;
	memcpy(out->points, p->points, p->point_count * sizeof *p->points);
	out->keep_frames = r->ask.keep_frames;
	if (out->endpoint && r->ask.names && may_know(p->member, r->part[1 - part].member))
		str_copy(out->resolve, sizeof out->resolve, r->part[1 - part].member->name);
	out->name_drops = out->name_rules = true; /* who cannot says why */
}
