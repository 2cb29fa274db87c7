/* exec: one agent's part in one round. Knows no sockets: it says which probes leave next and is told what became of them. */
#include "agent/exec.h"

#include "proto/base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DIRECTED_GAP_MS 5
#define NEVER           ((struct mono){INT64_MAX})

struct sending {      /* one flow of ours */
	uint8_t next; /* sequence that leaves next */
	uint8_t next_directed;
	bool directing; /* the neighbour is unresolved: frames */
	struct mono next_at, last_at;
	seqset settled;                  /* needs no more waiting */
	uint32_t at_us[FLOW_PROBES_MAX]; /* since the stage began; of answered ones: round-trip time */
	struct flow_sent told;
};

struct receiving {
	struct flow_received told;
	int highest;
};

struct exec {
	struct round_spec spec;
	uint16_t stages; /* bit per stage that was started */
	struct mono began;
	bool running, over_told;
	enum stage stage;
	struct mono stage_at;
	struct sending *sending; /* per flow */
	struct receiving *receiving;
	struct point_status status[ROUND_POINTS_MAX];
	size_t status_count;
	struct point_seen *seen;
	size_t seen_count, seen_cap;
	struct seen_ways {
		seqset in, out;
	} * ways; /* of the probes in `seen`, row by row */
	size_t ways_count, ways_cap;
	struct frame_kept *frames;
	size_t frames_count, frames_cap, frames_bytes;
	uint32_t frames_left_out;
	struct looked drops_looked, rules_looked;
	uint32_t drops_refused, rules_refused; /* rows there was no room for */
	struct flow_drop *drops;
	size_t drops_count, drops_cap;
	struct flow_rule *rules;
	size_t rules_count, rules_cap;
	struct flow_times *times; /* of timed flows only */
	size_t times_count, times_cap;
};
_Static_assert(STAGE_COUNT <= 16, "a bit for each");

static bool is_ours(const struct exec *x, const struct flow *f) { return x->spec.endpoint && f->dir == (x->spec.is_a ? 0 : 1); }
static bool is_theirs(const struct exec *x, const struct flow *f) { return x->spec.endpoint && f->dir == (x->spec.is_a ? 1 : 0); }
static seqset bit(uint8_t seq) { return (seqset)1 << seq; }
static seqset all_of(const struct flow *f) { return f->count >= FLOW_PROBES_MAX ? ~(seqset)0 : bit(f->count) - 1; }

static bool asks_for(const struct flow *f, uint8_t seq) { return !f->asks || seq % f->asks == 0; }

static seqset asked_of(const struct flow *f)
{
	seqset asked = 0;
	for (uint8_t seq = 0; seq < f->count; seq++)
		asked |= asks_for(f, seq) ? bit(seq) : 0;
	return asked;
}

static const struct flow *exec_flow(const struct exec *x, uint8_t flow)
{
	return flow < x->spec.flow_count ? &x->spec.flows[flow] : NULL;
}

/* The sender's record, or NULL when the flow or sequence is not one of ours. */
static struct sending *exec_sending(struct exec *x, uint8_t flow, uint8_t seq)
{
	const struct flow *f = exec_flow(x, flow);
	return f && is_ours(x, f) && seq < f->count && seq < FLOW_PROBES_MAX ? &x->sending[flow] : NULL;
}

static struct receiving *exec_receiving(struct exec *x, uint8_t flow, uint8_t seq)
{
	const struct flow *f = exec_flow(x, flow);
	return f && is_theirs(x, f) && seq < f->count && seq < FLOW_PROBES_MAX ? &x->receiving[flow] : NULL;
}

struct exec *exec_new(const struct round_spec *spec, struct mono now)
{
	struct exec *x = mem_alloc(sizeof(*x));
	x->spec = *spec;
	x->stage_at = x->began = now;
	if (x->spec.flow_count > ROUND_FLOWS_MAX)
		x->spec.flow_count = ROUND_FLOWS_MAX;
	x->sending = mem_array(x->spec.flow_count + 1, sizeof(*x->sending));
	x->receiving = mem_array(x->spec.flow_count + 1, sizeof(*x->receiving));
	for (size_t i = 0; i < x->spec.flow_count; i++) {
		x->spec.flows[i].id = (uint8_t)i;
		if (x->spec.flows[i].count > FLOW_PROBES_MAX)
			x->spec.flows[i].count = FLOW_PROBES_MAX;
		x->sending[i].told.flow = x->receiving[i].told.flow = (uint8_t)i;
		x->receiving[i].told.looked = true;
	}
	return x;
}

void exec_free(struct exec *x)
{
	if (!x)
		return;
	free(x->sending);
	free(x->receiving);
	free(x->seen);
	free(x->ways);
	for (size_t i = 0; i < x->frames_count; i++)
		free(x->frames[i].bytes);
	free(x->frames);
	free(x->drops);
	free(x->rules);
	free(x->times);
	free(x);
}

const struct round_spec *exec_spec(const struct exec *x) { return &x->spec; }

void exec_stage(struct exec *x, enum stage stage, struct mono now)
{
	if (stage >= STAGE_COUNT || x->stages & 1u << stage)
		return;
	x->stages |= 1u << stage;
	x->running = true;
	x->over_told = false;
	x->stage = stage;
	x->stage_at = now;
	for (size_t i = 0; i < x->spec.flow_count; i++)
		x->sending[i].next_at = x->sending[i].last_at = now;
}

/* ---- when it was seen ---- */

static struct flow_times *times_row(struct exec *x, uint8_t point, uint8_t flow, uint8_t part)
{
	for (size_t i = 0; i < x->times_count; i++)
		if (x->times[i].point == point && x->times[i].flow == flow && x->times[i].part == part)
			return &x->times[i];
	if (x->times_count == ROUND_TIMES_MAX)
		return NULL;
	struct flow_times *row = VEC_ADD(x->times, x->times_count, x->times_cap);
	*row = (struct flow_times){.point = point, .flow = flow, .part = part};
	return row;
}

/* What a point tells later came later, even when the clock that stamps packets was put back between the two. */
static uint32_t times_newest(const struct flow_times *row)
{
	uint32_t newest = 0;
	for (seqset left = row->seqs; left; left &= left - 1) {
		uint32_t at = row->at_us[__builtin_ctzll(left)];
		newest = at > newest ? at : newest;
	}
	return newest;
}

/* The first time counts. */
static void times_note(struct exec *x, uint8_t point, uint8_t flow, uint8_t part, uint8_t seq, struct mono at)
{
	const struct flow *f = exec_flow(x, flow);
	struct flow_times *row = f && f->timed && part != PART_REFUSAL && seq < f->count ? times_row(x, point, flow, part) : NULL;
	int64_t us = mono_us_since(x->began, at);
	if (!row || row->seqs & bit(seq))
		return;
	uint32_t newest = times_newest(row);
	row->seqs |= bit(seq);
	row->at_us[seq] = us < newest ? newest : us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

/* ---- sending ---- */

static bool flow_runs(const struct exec *x, const struct flow *f)
{
	return x->running && !x->over_told && f->stage == x->stage && is_ours(x, f) &&
	       x->sending[f->id].told.status != FLOW_SKIPPED;
}

static bool sending_has_more(const struct sending *s, const struct flow *f)
{
	return s->next < f->count || (s->directing && s->next_directed < f->count);
}

static uint16_t probe_size(const struct flow *f, uint8_t seq)
{
	if (!f->ladder)
		return f->size;
	return ladder_sizes[seq < LADDER_COUNT ? seq : LADDER_COUNT - 1];
}

static struct exec_probe probe_make(const struct exec *x, const struct flow *f, uint8_t seq, bool directed, struct mono now)
{
	return (struct exec_probe){
	    .flow = f,
	    .seq = seq,
	    .directed = directed,
	    .size = probe_size(f, seq),
	    .header = {.kind = f->kind,
	               .wants_answer = asks_for(f, seq),
	               .pair = x->spec.pair,
	               .round = x->spec.id,
	               .flow = f->id,
	               .seq = seq,
	               .dir = f->dir,
	               .time_us = (uint32_t)(now.ns / 1000)},
	};
}

/* Directed frames repeat what was sent in vain, quickly; then both go on together. */
static struct exec_probe sending_step(struct exec *x, const struct flow *f, struct mono now)
{
	struct sending *s = &x->sending[f->id];
	bool directed = s->directing && s->next_directed < f->count;
	uint8_t seq = directed ? s->next_directed++ : s->next++;
	if (directed && s->next < s->next_directed)
		s->next = s->next_directed; /* no use in asking the kernel any more */
	s->next_at = mono_add_ms(now, directed && f->gap_ms > DIRECTED_GAP_MS ? DIRECTED_GAP_MS : f->gap_ms);
	s->last_at = now;
	s->at_us[seq] = (uint32_t)mono_us_since(x->stage_at, now);
	if (!asks_for(f, seq))
		s->settled |= bit(seq);
	return probe_make(x, f, seq, directed, now);
}

size_t exec_due(struct exec *x, struct mono now, struct exec_probe *out, size_t max)
{
	size_t n = 0;
	for (size_t i = 0; i < x->spec.flow_count; i++) {
		const struct flow *f = &x->spec.flows[i];
		struct sending *s = &x->sending[i];
		while (n < max && flow_runs(x, f) && sending_has_more(s, f) && mono_reached(s->next_at, now))
			out[n++] = sending_step(x, f, now);
	}
	return n;
}

/* ---- the end of a stage ---- */

static struct mono flow_deadline(const struct exec *x, const struct flow *f)
{
	return mono_add_ms(x->sending[f->id].last_at, x->spec.wait_ms);
}

static bool flow_over(const struct exec *x, const struct flow *f, struct mono now)
{
	const struct sending *s = &x->sending[f->id];
	if (sending_has_more(s, f))
		return false;
	return (s->settled & all_of(f)) == all_of(f) || mono_reached(flow_deadline(x, f), now);
}

static bool sends_in_stage(const struct exec *x)
{
	for (size_t i = 0; i < x->spec.flow_count; i++)
		if (x->spec.flows[i].stage == x->stage && is_ours(x, &x->spec.flows[i]))
			return true;
	return false;
}

bool exec_stage_over(struct exec *x, struct mono now, enum stage *stage)
{
	if (!x->running || x->over_told || !sends_in_stage(x))
		return false;
	for (size_t i = 0; i < x->spec.flow_count; i++)
		if (flow_runs(x, &x->spec.flows[i]) && !flow_over(x, &x->spec.flows[i], now))
			return false;
	x->over_told = true;
	*stage = x->stage;
	return true;
}

kind_mask exec_unanswered(const struct exec *x, enum stage stage)
{
	kind_mask kinds = 0;
	for (size_t i = 0; i < x->spec.flow_count; i++) {
		const struct flow *f = &x->spec.flows[i];
		const struct flow_sent *t = &x->sending[i].told;
		if (f->stage == stage && is_ours(x, f) && t->status != FLOW_SKIPPED && t->answered != asked_of(f))
			kinds |= KIND_BIT(f->kind);
	}
	return kinds;
}

kind_mask exec_silent(const struct exec *x, enum stage stage)
{
	kind_mask kinds = exec_unanswered(x, stage);
	for (size_t i = 0; i < x->spec.flow_count; i++) {
		const struct flow *f = &x->spec.flows[i];
		if (f->stage == stage && is_ours(x, f) && x->sending[i].told.answered)
			kinds &= ~KIND_BIT(f->kind);
	}
	return kinds;
}

/* Only the kernel answers an echo: no program has to wake up for it. */
static uint32_t shortest_us(const struct sending *s, const struct flow *f, uint32_t than)
{
	for (seqset left = kind_info(f->kind)->proto == PROTO_ICMP ? s->told.answered : 0; left; left &= left - 1)
		if (!than || s->at_us[__builtin_ctzll(left)] < than)
			than = s->at_us[__builtin_ctzll(left)] ? s->at_us[__builtin_ctzll(left)] : 1;
	return than;
}

struct stage_sum exec_sum(const struct exec *x, enum stage stage)
{
	struct stage_sum sum = {0};
	for (size_t i = 0; i < x->spec.flow_count; i++) {
		const struct flow *f = &x->spec.flows[i];
		if (f->stage != stage)
			continue;
		sum.repeated += x->sending[i].told.duplicates + x->receiving[i].told.duplicates;
		if (is_ours(x, f))
			sum.rtt_us = shortest_us(&x->sending[i], f, sum.rtt_us);
	}
	return sum;
}

struct mono exec_next(const struct exec *x)
{
	struct mono next = NEVER;
	bool open = false;
	for (size_t i = 0; i < x->spec.flow_count; i++) {
		const struct flow *f = &x->spec.flows[i];
		if (!flow_runs(x, f))
			continue;
		open = true;
		bool more = sending_has_more(&x->sending[i], f), settled = (x->sending[i].settled & all_of(f)) == all_of(f);
		struct mono at = more ? x->sending[i].next_at : flow_deadline(x, f);
		if ((more || !settled) && mono_before(at, next))
			next = at;
	}
	bool nothing_left = next.ns == INT64_MAX && x->running && !x->over_told && (open || sends_in_stage(x));
	return nothing_left ? x->stage_at : next;
}

/* ---- what became of our probes ---- */

void exec_sent(struct exec *x, uint8_t flow, uint8_t seq, bool directed, int error, struct mono now)
{
	struct sending *s = exec_sending(x, flow, seq);
	if (!s)
		return;
	if (!error)
		times_note(x, TIMES_SOCKET, flow, PART_PROBE, seq, now);
	s->told.status = FLOW_DONE;
	if (error) {
		s->told.error = (int16_t)error;
		if (!directed) {
			s->told.refused_local |= bit(seq);
			s->settled |= bit(seq);
		}
		return;
	}
	if (directed) {
		s->told.directed |= bit(seq);
		s->settled &= ~bit(seq) | s->told.answered | s->told.refused;
	} else {
		s->told.sent |= bit(seq);
	}
}

void exec_skipped(struct exec *x, uint8_t flow, const char *why)
{
	struct sending *s = exec_sending(x, flow, 0);
	if (!s)
		return;
	s->told.status = FLOW_SKIPPED;
	str_copy(s->told.why, sizeof(s->told.why), why);
}

static void add_mac(struct flow_sent *t, struct mac m)
{
	for (size_t i = 0; i < t->mac_count; i++)
		if (mac_equal(t->macs[i], m))
			return;
	if (mac_is_set(m) && t->mac_count < FLOW_MACS_MAX)
		t->macs[t->mac_count++] = m;
}

static bool in_time(const struct exec *x, uint8_t flow)
{
	return x->running && !x->over_told && x->spec.flows[flow].stage == x->stage;
}

static void sending_answered(struct exec *x, struct sending *s, uint8_t seq, struct mono now)
{
	if ((s->told.answered | s->told.late) & bit(seq)) {
		s->told.duplicates++;
		return;
	}
	s->settled |= bit(seq);
	if (!in_time(x, s->told.flow)) {
		s->told.late |= bit(seq);
		return;
	}
	s->told.answered |= bit(seq);
	times_note(x, TIMES_SOCKET, s->told.flow, PART_ANSWER, seq, now);
	int64_t rtt = mono_us_since(x->stage_at, now) - s->at_us[seq];
	s->at_us[seq] = (uint32_t)(rtt > 0 ? rtt : 0);
}

void exec_answered(struct exec *x, uint8_t flow, uint8_t seq, enum exec_answer how, struct mac from, struct mono now)
{
	struct sending *s = exec_sending(x, flow, seq);
	if (!s || !((s->told.sent | s->told.directed | s->told.refused_local) & bit(seq)))
		return;
	add_mac(&s->told, from);
	if (how == EXEC_IMPOSTOR) {
		s->told.impostor |= bit(seq);
	} else if (how == EXEC_REFUSED || how == EXEC_RESET) {
		s->told.refused |= bit(seq);
		s->told.taken |= how == EXEC_RESET ? bit(seq) : 0;
		s->settled |= bit(seq);
	} else {
		sending_answered(x, s, seq, now);
	}
}

void exec_icmp_error(struct exec *x, uint8_t flow, uint8_t seq, uint8_t type, uint8_t code, uint32_t mtu, struct ip from,
                     struct mono now)
{
	struct sending *s = exec_sending(x, flow, seq);
	if (!s)
		return;
	exec_answered(x, flow, seq, EXEC_REFUSED, (struct mac){0}, now);
	s->told.icmp_type = type;
	s->told.icmp_code = code;
	s->told.icmp_from = from;
	if (mtu)
		s->told.icmp_mtu = mtu;
}

void exec_word(struct exec *x, const struct word *said)
{
	for (size_t i = 0; i < x->spec.flow_count; i++) {
		struct flow_sent *told = &x->sending[i].told;
		const struct flow *f = &x->spec.flows[i];
		if (!is_ours(x, f) || kind_info(f->kind)->proto != said->proto || !ip_equal(f->dst, said->dst) ||
		    told->icmp_from.family)
			continue;
		told->icmp_type = said->type;
		told->icmp_code = said->code;
		told->icmp_from = said->from;
	}
}

void exec_unresolved(struct exec *x, uint8_t flow)
{
	struct sending *s = exec_sending(x, flow, 0);
	if (!s || s->told.unresolved || s->told.status == FLOW_SKIPPED)
		return;
	const struct flow *f = &x->spec.flows[flow];
	s->told.unresolved = true;
	if (!f->onlink || !mac_is_set(f->dst_mac) || kind_info(f->kind)->proto == PROTO_NEIGH || kind_info(f->kind)->fragments ||
	    !in_time(x, flow))
		return;
	s->directing = true;
	s->next_at = x->stage_at; /* at once */
}

/* ---- what arrived ---- */

void exec_received(struct exec *x, uint8_t flow, uint8_t seq, struct ip from, uint8_t ttl, struct mono now)
{
	struct receiving *r = exec_receiving(x, flow, seq);
	if (!r)
		return;
	times_note(x, TIMES_SOCKET, flow, PART_PROBE, seq, now);
	r->told.from = from;
	r->told.ttl = ttl;
	if (r->told.seen & bit(seq)) {
		r->told.duplicates++;
		return;
	}
	r->told.seen |= bit(seq);
	if (seq < r->highest)
		r->told.reordered++;
	else
		r->highest = seq;
}

void exec_replied(struct exec *x, uint8_t flow, uint8_t seq, int error)
{
	struct receiving *r = exec_receiving(x, flow, seq);
	if (!r)
		return;
	if (error)
		r->told.reply_error = (int16_t)error;
	else
		r->told.replied |= bit(seq);
}

void exec_deaf(struct exec *x, uint8_t flow, const char *why)
{
	struct receiving *r = exec_receiving(x, flow, 0);
	if (!r)
		return;
	r->told.looked = false;
	str_copy(r->told.why, sizeof(r->told.why), why);
}

/* ---- captures ---- */

void exec_armed(struct exec *x, const struct point_status *status)
{
	for (size_t i = 0; i < x->status_count; i++)
		if (x->status[i].point == status->point) {
			x->status[i] = *status;
			return;
		}
	if (x->status_count < ROUND_POINTS_MAX)
		x->status[x->status_count++] = *status;
}

/* The row's index, or -1 when there is no room. */
static int exec_seen_at(struct exec *x, uint8_t point, uint8_t flow)
{
	for (size_t i = 0; i < x->seen_count; i++)
		if (x->seen[i].point == point && x->seen[i].flow == flow)
			return (int)i;
	if (x->seen_count == ROUND_FLOWS_MAX * ROUND_POINTS_MAX)
		return -1;
	struct point_seen *s = VEC_ADD(x->seen, x->seen_count, x->seen_cap);
	(void)VEC_ADD(x->ways, x->ways_count, x->ways_cap);
	s->point = point;
	s->flow = flow;
	return (int)x->seen_count - 1;
}

static bool sighting_is_possible(const struct exec *x, const struct sighting *s)
{
	return exec_flow(x, s->flow) && s->seq < FLOW_PROBES_MAX;
}

static void seen_probe(struct point_seen *row, struct seen_ways *ways, const struct sighting *s)
{
	seqset *way = s->way == FRAME_OUT ? &ways->out : &ways->in;
	row->duplicates += (*way & bit(s->seq)) != 0;
	*way |= bit(s->seq);
	row->probes |= bit(s->seq);
	row->probe_src = s->src;
	row->probe_dst = s->dst;
	row->vlan = s->vlan;
}

void exec_seen(struct exec *x, const struct sighting *s)
{
	int i = sighting_is_possible(x, s) ? exec_seen_at(x, s->point, s->flow) : -1;
	if (i < 0)
		return;
	struct point_seen *row = &x->seen[i];
	times_note(x, s->point, s->flow, (uint8_t)s->part, s->seq, s->at);
	if (s->damaged)
		row->damaged |= bit(s->seq);
	if (s->part == PART_PROBE) {
		seen_probe(row, &x->ways[i], s);
	} else if (s->part == PART_REFUSAL) {
		row->refusals |= bit(s->seq);
	} else {
		row->answers |= bit(s->seq);
		row->answer_src = s->src;
		row->answer_dst = s->dst;
	}
}

void exec_frame(struct exec *x, const struct sighting *s, struct wall at, const void *bytes, size_t kept, uint32_t length)
{
	size_t len = kept > FRAME_KEEP_MAX ? FRAME_KEEP_MAX : kept;
	if (!x->spec.keep_frames || !sighting_is_possible(x, s))
		return;
	if (x->frames_count == FRAMES_MAX || x->frames_bytes + len > FRAMES_KEEP_MAX) {
		x->frames_left_out++;
		return;
	}
	struct frame_kept *f = VEC_ADD(x->frames, x->frames_count, x->frames_cap);
	*f = (struct frame_kept){.point = s->point,
	                         .flow = s->flow,
	                         .seq = s->seq,
	                         .part = (uint8_t)s->part,
	                         .way = (uint8_t)s->way,
	                         .at = at,
	                         .length = length,
	                         .kept = (uint16_t)len};
	f->bytes = mem_alloc(len ? len : 1);
	memcpy(f->bytes, bytes, len);
	x->frames_bytes += len;
}

/* ---- drops and rules ---- */

static bool drop_is_same(const struct flow_drop *a, const struct flow_drop *b)
{
	return a->flow == b->flow && a->part == b->part && strcmp(a->reason, b->reason) == 0 && strcmp(a->place, b->place) == 0 &&
	       strcmp(a->ifname, b->ifname) == 0;
}

void exec_drop(struct exec *x, const struct flow_drop *drop)
{
	const struct flow *f = exec_flow(x, drop->flow);
	if (!f)
		return;
	for (size_t i = 0; i < x->drops_count; i++)
		if (drop_is_same(&x->drops[i], drop)) {
			x->drops[i].seqs |= drop->seqs & all_of(f);
			return;
		}
	if (x->drops_count == ROUND_DROPS_MAX) {
		x->drops_refused++;
		return;
	}
	struct flow_drop *new = VEC_ADD(x->drops, x->drops_count, x->drops_cap);
	*new = *drop;
	new->seqs &= all_of(f);
}

static bool rule_is_same(const struct flow_rule *a, const struct flow_rule *b)
{
	return a->flow == b->flow && a->part == b->part && a->handle == b->handle && a->verdict == b->verdict &&
	       strcmp(a->family, b->family) == 0 && strcmp(a->table, b->table) == 0 && strcmp(a->chain, b->chain) == 0 &&
	       strcmp(a->text, b->text) == 0;
}

void exec_rule(struct exec *x, const struct flow_rule *rule)
{
	const struct flow *f = exec_flow(x, rule->flow);
	if (!f)
		return;
	for (size_t i = 0; i < x->rules_count; i++)
		if (rule_is_same(&x->rules[i], rule)) {
			x->rules[i].seqs |= rule->seqs & all_of(f);
			return;
		}
	if (x->rules_count == ROUND_DROPS_MAX) {
		x->rules_refused++;
		return;
	}
	struct flow_rule *new = VEC_ADD(x->rules, x->rules_count, x->rules_cap);
	*new = *rule;
	new->seqs &= all_of(f);
}

void exec_looked(struct exec *x, const struct looked *drops, const struct looked *rules)
{
	x->drops_looked = *drops;
	x->rules_looked = *rules;
}

/* ---- the result ---- */

static int compare_us(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static uint32_t sending_median_us(const struct sending *s)
{
	uint32_t us[FLOW_PROBES_MAX];
	size_t n = 0;
	for (size_t i = 0; i < FLOW_PROBES_MAX; i++)
		if (s->told.answered >> i & 1)
			us[n++] = s->at_us[i];
	if (n == 0)
		return 0;
	qsort(us, n, sizeof(us[0]), compare_us);
	return us[n / 2] ? us[n / 2] : 1;
}

static int compare_frames(const void *a, const void *b)
{
	int64_t x = ((const struct frame_kept *)a)->at.ns, y = ((const struct frame_kept *)b)->at.ns;
	return (x > y) - (x < y);
}

static void frames_copy(const struct exec *x, struct round_result *out)
{
	out->frames_left_out = x->frames_left_out;
	out->frames_count = x->frames_count;
	out->frames = x->frames_count ? mem_array(x->frames_count, sizeof(*out->frames)) : NULL;
	for (size_t i = 0; i < x->frames_count; i++) {
		out->frames[i] = x->frames[i];
		out->frames[i].bytes = mem_alloc(x->frames[i].kept ? x->frames[i].kept : 1);
		memcpy(out->frames[i].bytes, x->frames[i].bytes, x->frames[i].kept);
	}
	if (x->frames_count)
		qsort(out->frames, out->frames_count, sizeof(*out->frames), compare_frames);
}

static void *rows_copy(const void *rows, size_t count, size_t size)
{
	return count ? memcpy(mem_array(count, size), rows, count * size) : NULL;
}

void exec_result(const struct exec *x, struct round_result *out)
{
	*out = (struct round_result){.id = x->spec.id, .status_count = x->status_count, .seen_count = x->seen_count};
	memcpy(out->status, x->status, sizeof(x->status));
	for (size_t i = 0; i < x->spec.flow_count; i++) {
		if (is_ours(x, &x->spec.flows[i])) {
			struct flow_sent *t = &out->sent[out->sent_count++];
			*t = x->sending[i].told;
			t->rtt_us = sending_median_us(&x->sending[i]);
		} else if (is_theirs(x, &x->spec.flows[i])) {
			out->received[out->received_count++] = x->receiving[i].told;
		}
	}
	out->drops_looked = x->drops_looked;
	out->rules_looked = x->rules_looked;
	out->drops_looked.lost += x->drops_refused;
	out->rules_looked.lost += x->rules_refused;
	out->drops_count = x->drops_count;
	out->rules_count = x->rules_count;
	out->drops = rows_copy(x->drops, x->drops_count, sizeof(*out->drops));
	out->rules = rows_copy(x->rules, x->rules_count, sizeof(*out->rules));
	out->times_count = x->times_count;
	out->times = rows_copy(x->times, x->times_count, sizeof(*out->times));
	out->seen = rows_copy(x->seen, x->seen_count, sizeof(*out->seen));
	frames_copy(x, out);
}
