/* wire_round: the tables of plans and rounds, and the bounds that concern several of their fields at once. */
#include "proto/wire_shape.h"

#include "proto/model/observation.h"
#include "proto/model/plan.h"
#include "proto/wire.h"

#include "bothways.pb-c.h"

/* What an absent value means. */
#define INTERVAL_MS_DEFAULT 1000
#define REPORT_MS_DEFAULT   1000
#define BUDGET_PPS_DEFAULT  100
#define WAIT_MS_DEFAULT     250

/* ---- plan ---- */

#define PB    Bothways__V1__Endpoint
#define MODEL struct endpoint
static const struct field endpoint_fields[] = {NAME(ifname), MAC(mac), PREFIX(ip4, 4), PREFIX(ip6, 6), NUM(mtu)};
const struct shape endpoint_shape = SHAPE("endpoint", endpoint_fields, bothways__v1__endpoint__descriptor);
#undef PB
#undef MODEL

#define PB    Bothways__V1__Peer
#define MODEL struct peer
static const struct field peer_fields[] = {
    NUM(pair),
    FLAG(is_a),
    KEY(key),
    SUB(self, endpoint_shape),
    SUB(other, endpoint_shape),
    NUM_OR(port, PROBE_PORT_DEFAULT),
    FLAG(bind_device),
    MASK(kinds, KIND_BIT(KIND_COUNT) - 1),
    NUM_OR(interval_ms, INTERVAL_MS_DEFAULT),
    NAME(name),
};
static const struct shape peer_shape = SHAPE("peer", peer_fields, bothways__v1__peer__descriptor);
#undef PB
#undef MODEL

#define PB    Bothways__V1__Plan
#define MODEL struct plan
static const struct field plan_fields[] = {
    NUM(version),
    NUM_OR(report_ms, REPORT_MS_DEFAULT),
    NUM_OR(budget_pps, BUDGET_PPS_DEFAULT),
    OWNED_LIST(peers, peer_count, peer_shape, PLAN_PEERS_MAX),
};
const struct shape plan_shape = SHAPE("plan", plan_fields, bothways__v1__plan__descriptor);
#undef PB
#undef MODEL

/* ---- what to measure ---- */

static bool family_fits(struct ip a, const struct kind_info *k) { return a.family == 0 || a.family == k->family; }

static int flow_check(const void *pb, void *model, struct reader *r)
{
	const struct flow *f = model;
	const struct kind_info *k = kind_info(f->kind);
	bool by_port = k->proto == PROTO_UDP || k->proto == PROTO_TCP;
	(void)pb;
	if (!family_fits(f->src, k) || !family_fits(f->dst, k))
		return shape_refuse(r, "flow", "an address is not of the kind's family");
	if (f->ladder && f->count > LADDER_COUNT)
		return shape_refuse(r, "flow", "more probes than the ladder has sizes");
	if (by_port && f->id_base + (uint32_t)f->count > UINT16_MAX + 1u)
		return shape_refuse(r, "flow", "source ports beyond 65535");
	return 0;
}

#define PB    Bothways__V1__Flow
#define MODEL struct flow
static const struct field flow_fields[] = {
    RANGE(id, ROUND_FLOWS_MAX - 1),
    RANGE(kind, KIND_COUNT - 1),
    RANGE(dir, 1),
    RANGE(stage, STAGE_COUNT - 1),
    RANGE(count, FLOW_PROBES_MAX),
    NUM(gap_ms),
    NUM(size),
    FLAG(ladder),
    NUM(id_base),
    NUM(dport),
    IP(src),
    IP(dst),
    MAC(dst_mac),
    FLAG(onlink),
    NAME(ifname),
    FLAG(bind_device),
    RANGE(ports, FLOW_PROBES_MAX),
    RANGE(ttl, 255),
    NUM(asks),
    FLAG(timed),
};
const struct shape flow_shape = SHAPE("flow", flow_fields, bothways__v1__flow__descriptor, .check = flow_check);
#undef PB
#undef MODEL

#define PB    Bothways__V1__PointSpec
#define MODEL struct point_spec
static const struct field point_spec_fields[] = {NUM(id), NAME(ifname)};
static const struct shape point_spec_shape = SHAPE("point", point_spec_fields, bothways__v1__point_spec__descriptor);
#undef PB
#undef MODEL

static int round_arm_check(const void *pb, void *model, struct reader *r)
{
	const struct round_spec *s = model;
	uint64_t used = 0;
	(void)pb;
	for (size_t i = 0; i < s->flow_count; i++) {
		uint64_t bit = 1ULL << s->flows[i].id;
		if (used & bit)
			return shape_refuse(r, "round", "two flows have the same id");
		used |= bit;
	}
	return 0;
}

#define PB    Bothways__V1__RoundArm
#define MODEL struct round_spec
static const struct field round_arm_fields[] = {
    NUM(id),
    NUM(pair),
    KEY(key),
    FLAG(endpoint),
    FLAG(is_a),
    NUM_OR(wait_ms, WAIT_MS_DEFAULT),
    LIST(flows, flow_count, flow_shape, ROUND_FLOWS_MAX),
    LIST(points, point_count, point_spec_shape, ROUND_POINTS_MAX),
    FLAG(name_drops),
    FLAG(name_rules),
    FLAG(keep_frames),
    NAME(resolve),
};
const struct shape round_arm_shape =
    SHAPE("round", round_arm_fields, bothways__v1__round_arm__descriptor, .check = round_arm_check);
#undef PB
#undef MODEL

/* ---- what was seen ---- */

#define PB    Bothways__V1__Health
#define MODEL struct health
static const struct field health_fields[] = {NUM(lag_us),          NUM(socket_drops), NUM(spool_dropped),
                                             NUM(rejected),        NUM(limited),      SHIFTED(steal_permille, 1000),
                                             SIGNED(clock_step_us)};
const struct shape health_shape = SHAPE("health", health_fields, bothways__v1__health__descriptor);
#undef PB
#undef MODEL

#define PB    Bothways__V1__PointStatus
#define MODEL struct point_status
static const struct field point_status_fields[] = {NUM(point), FLAG(armed), NUM(dropped), TEXT(why)};
static const struct shape point_status_shape = SHAPE("point", point_status_fields, bothways__v1__point_status__descriptor);
#undef PB
#undef MODEL

#define PB    Bothways__V1__RoundArmed
#define MODEL struct msg_round_armed
static const struct field round_armed_fields[] = {NUM(round), LIST(status, status_count, point_status_shape, ROUND_POINTS_MAX),
                                                  OWNED(snapshot, snapshot_shape), FLAG(refused)};
const struct shape round_armed_shape = SHAPE("round armed", round_armed_fields, bothways__v1__round_armed__descriptor);
#undef PB
#undef MODEL

#define PB    Bothways__V1__FlowSent
#define MODEL struct flow_sent
static const struct field flow_sent_fields[] = {
    RANGE(flow, ROUND_FLOWS_MAX - 1),
    ENUM_OR(status, FLOW_SKIPPED, FLOW_UNKNOWN),
    TEXT(why),
    NUM(sent),
    NUM(refused_local),
    NUM(directed),
    NUM(answered),
    NUM(late),
    NUM(refused),
    NUM(impostor),
    NUM(duplicates),
    RANGE(error, INT16_MAX),
    NUM(icmp_type),
    NUM(icmp_code),
    NUM(icmp_mtu),
    IP(icmp_from),
    FLAG(unresolved),
    MACS(macs, mac_count),
    NUM(rtt_us),
    NUM(taken),
};
static const struct shape flow_sent_shape = SHAPE("flow sent", flow_sent_fields, bothways__v1__flow_sent__descriptor);
#undef PB
#undef MODEL

#define PB    Bothways__V1__FlowReceived
#define MODEL struct flow_received
static const struct field flow_received_fields[] = {
    RANGE(flow, ROUND_FLOWS_MAX - 1),
    FLAG(looked),
    TEXT(why),
    NUM(seen),
    NUM(duplicates),
    NUM(reordered),
    IP(from),
    NUM(ttl),
    NUM(replied),
    RANGE(reply_error, INT16_MAX),
};
static const struct shape flow_received_shape =
    SHAPE("flow received", flow_received_fields, bothways__v1__flow_received__descriptor);
#undef PB
#undef MODEL

#define PB    Bothways__V1__PointSeen
#define MODEL struct point_seen
static const struct field point_seen_fields[] = {
    NUM(point),      RANGE(flow, ROUND_FLOWS_MAX - 1),
    NUM(probes),     NUM(answers),
    NUM(refusals),   MAC(probe_src),
    MAC(probe_dst),  MAC(answer_src),
    MAC(answer_dst), NUM(vlan),
    NUM(duplicates), NUM(damaged),
};
static const struct shape point_seen_shape = SHAPE("point seen", point_seen_fields, bothways__v1__point_seen__descriptor);
#undef PB
#undef MODEL

/* By sequence in the model, one after the other on the wire. */
static int flow_times_check(const void *pb, void *model, struct reader *r)
{
	const Bothways__V1__FlowTimes *in = pb;
	struct flow_times *t = model;
	size_t n = 0;
	for (seqset left = t->seqs; left; left &= left - 1) {
		if (n == in->n_at_us)
			return shape_refuse(r, "times", "are fewer than their sequences");
		t->at_us[__builtin_ctzll(left)] = in->at_us[n++];
	}
	return 0;
}

static void flow_times_amend(const void *model, void *pb, struct writer *w)
{
	Bothways__V1__FlowTimes *out = pb;
	const struct flow_times *t = model;
	out->at_us = arena_alloc(&w->arena, FLOW_PROBES_MAX * sizeof *out->at_us);
	for (seqset left = t->seqs; left; left &= left - 1)
		out->at_us[out->n_at_us++] = t->at_us[__builtin_ctzll(left)];
}

#define PB    Bothways__V1__FlowTimes
#define MODEL struct flow_times
static const struct field flow_times_fields[] = {NUM(point), RANGE(flow, ROUND_FLOWS_MAX - 1), RANGE(part, PART_ANSWER), NUM(seqs)};
static const struct shape flow_times_shape =
    SHAPE("times", flow_times_fields, bothways__v1__flow_times__descriptor, .check = flow_times_check, .amend = flow_times_amend);
#undef PB
#undef MODEL

#define PB    Bothways__V1__Looked
#define MODEL struct looked
static const struct field looked_fields[] = {FLAG(looked), NUM(lost), TEXT(why)};
static const struct shape looked_shape = SHAPE("looked", looked_fields, bothways__v1__looked__descriptor);
#undef PB
#undef MODEL

#define PB    Bothways__V1__FlowDrop
#define MODEL struct flow_drop
static const struct field flow_drop_fields[] = {
    RANGE(flow, ROUND_FLOWS_MAX - 1), RANGE(part, PART_REFUSAL), NUM(seqs), TEXT(reason), TEXT(place), NAME(ifname)};
static const struct shape flow_drop_shape = SHAPE("drop", flow_drop_fields, bothways__v1__flow_drop__descriptor);
#undef PB
#undef MODEL

#define PB    Bothways__V1__FlowRule
#define MODEL struct flow_rule
static const struct field flow_rule_fields[] = {
    RANGE(flow, ROUND_FLOWS_MAX - 1),
    RANGE(part, PART_REFUSAL),
    NUM(seqs),
    TEXT(family),
    TEXT(table),
    TEXT(chain),
    NUM(handle),
    ENUM_OR(verdict, FW_MAYBE, FW_MAYBE),
    TEXT(text),
};
static const struct shape flow_rule_shape = SHAPE("rule", flow_rule_fields, bothways__v1__flow_rule__descriptor);
#undef PB
#undef MODEL

/* More bytes of frames than allowed: the rest is left out, a capture that ends early is still one. */
static int frame_check(const void *pb, void *model, struct reader *r)
{
	(void)r;
	return ((struct frame_kept *)model)->kept == ((const Bothways__V1__Frame *)pb)->data.len
	           ? 0
	           : shape_refuse(r, "frame", "is cut");
}

#define PB    Bothways__V1__Frame
#define MODEL struct frame_kept
static const struct field frame_fields[] = {
    NUM(point),
    FIELD_AS(FIELD_SIGNED, at, at.ns, .max = 0),
    NUM(length),
    FIELD_AS(FIELD_BLOB, data, bytes, COUNTED(kept), .max = FRAME_KEEP_MAX),
    RANGE(flow, ROUND_FLOWS_MAX - 1),
    RANGE(seq, FLOW_PROBES_MAX - 1),
    RANGE(part, PART_REFUSAL),
    ENUM_OR(way, FRAME_OUT, FRAME_WAY_UNKNOWN),
};
static const struct shape frame_shape = SHAPE("frame", frame_fields, bothways__v1__frame__descriptor, .check = frame_check);
#undef PB
#undef MODEL

#define PB    Bothways__V1__RoundResult
#define MODEL struct msg_round_result
#define RESULT_LIST(f, s, ...)                                                                                                     \
	FIELD_AS(FIELD_LIST, f, result.f, COUNTED(result.f##_count), .pb_count = offsetof(PB, n_##f),                              \
	         .item_size = sizeof *((MODEL *)0)->result.f, .shape = &(s), __VA_ARGS__)
static const struct field round_result_fields[] = {
    OWNED(snapshot, snapshot_shape), /* stays the first: see below */
    FIELD_AS(FIELD_NUM, id, result.id, .max = UINT64_MAX),
    RESULT_LIST(sent, flow_sent_shape, .max = ROUND_FLOWS_MAX),
    RESULT_LIST(received, flow_received_shape, .max = ROUND_FLOWS_MAX),
    RESULT_LIST(status, point_status_shape, .max = ROUND_POINTS_MAX),
    RESULT_LIST(seen, point_seen_shape, .max = ROUND_FLOWS_MAX * ROUND_POINTS_MAX, .owned = true),
    FIELD_AS(FIELD_SUB, health, result.health, .shape = &health_shape),
    FIELD_AS(FIELD_SUB, drops_looked, result.drops_looked, .shape = &looked_shape),
    FIELD_AS(FIELD_SUB, rules_looked, result.rules_looked, .shape = &looked_shape),
    RESULT_LIST(drops, flow_drop_shape, .max = ROUND_DROPS_MAX, .owned = true),
    RESULT_LIST(rules, flow_rule_shape, .max = ROUND_DROPS_MAX, .owned = true),
    RESULT_LIST(frames, frame_shape, .max = FRAMES_MAX, .owned = true),
    FIELD_AS(FIELD_NUM, frames_left_out, result.frames_left_out, .max = UINT32_MAX),
    RESULT_LIST(times, flow_times_shape, .max = ROUND_TIMES_MAX, .owned = true),
};
const struct shape round_result_shape = SHAPE("round result", round_result_fields, bothways__v1__round_result__descriptor);

/* Kept frames are a file of their own. */
static void result_kept_amend(const void *model, void *pb, struct writer *w)
{
	(void)model;
	(void)w;
	((PB *)pb)->n_frames = 0;
}

_Static_assert(offsetof(struct msg_round_result, result) == 0, "a round_result is read and written by the fields of its message");
const struct shape round_result_kept_shape = {.name = "round result",
                                              .fields = round_result_fields + 1,
                                              .count = sizeof round_result_fields / sizeof *round_result_fields - 1,
                                              .size = sizeof(struct round_result),
                                              .pb = &bothways__v1__round_result__descriptor,
                                              .amend = result_kept_amend};
