/* round: conducts one round. Arm everybody, wait a little for the slow ones, start the stages one after another with quiet
 * between them, end, collect. Who stays silent is left behind: that, too, is an answer. */
#include "collector/round_parts.h"

#include "proto/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A machine that has little CPU (an emulated guest, a crowded host) may be slow and still have much to say. Only who does not
 * answer is waited for. */
#define ARM_MS     400
#define ARM_END_MS 1000 /* for the two ends: without them there is nothing to see */
#define QUIET_MS   15   /* between stages, so that nothing of one is taken for the other */
#define GRACE_MS   250  /* on top of a stage's own time, for the way to the agent and back */
#define DRAIN_MS   150  /* after the last stage with answers missing: late is not lost */
#define RESULT_MS  800
#define FRAMES_MS  3000 /* instead, with frames: up to a megabyte, perhaps through a relay */

/* ---- sending ---- */

static void part_send(struct round *r, int part, const struct msg *m)
{
	if (r->part[part].asked)
		r->send(r->arg, r->part[part].member, m);
}

static void arm_all(struct round *r)
{
	struct msg *m = msg_new(MSG_ROUND_ARM);
	for (size_t i = 0; i < r->part_count; i++) {
		r->part[i].asked = r->part[i].member->online;
		round_spec_of(r, (int)i, &m->u.round_arm);
		part_send(r, (int)i, m);
	}
	msg_free(m);
}

static void go(struct round *r)
{
	struct msg *m = msg_new(MSG_ROUND_GO);
	m->u.round_go = (struct msg_round_go){.round = r->ask.id, .stage = (uint8_t)r->stage};
	part_send(r, PARTY_A, m);
	part_send(r, PARTY_B, m);
	msg_free(m);
}

static void end_all(struct round *r)
{
	struct msg *m = msg_new(MSG_ROUND_END);
	m->u.round_end.round = r->ask.id;
	for (size_t i = 0; i < r->part_count; i++)
		part_send(r, (int)i, m);
	msg_free(m);
}

/* ---- phases ---- */

/* What people are told in each phase; made once, so that the texts live as long as the round. */
static void progress_prepare(struct round *r, const struct fleet *f)
{
	char a[TITLE_MAX_LEN], b[TITLE_MAX_LEN];
	static const char *const texts[] = {[STAGE_NEIGH] = "neighbours of %s and %s",
	                                    [STAGE_A_TO_B] = "probing %s -> %s",
	                                    [STAGE_B_TO_A] = "probing %s -> %s",
	                                    [STAGE_LADDER] = "packet sizes between %s and %s",
	                                    [STAGE_PORTS] = "source ports between %s and %s",
	                                    [STAGE_HOPS] = "hops between %s and %s",
	                                    [STAGE_TRAIN] = "a train of probes between %s and %s",
	                                    [STAGE_BURST_A] = "a burst %s -> %s",
	                                    [STAGE_BURST_B] = "a burst %s -> %s"};
	fleet_title(f, r->part[PARTY_A].member, a);
	fleet_title(f, r->part[PARTY_B].member, b);
	for (int s = 0; s < STAGE_COUNT; s++) {
		bool turned = s == STAGE_B_TO_A || s == STAGE_BURST_B;
		snprintf(r->progress[s], sizeof r->progress[s], texts[s] ? texts[s] : "%s and %s", turned ? b : a, turned ? a : b);
	}
}

const char *round_progress(const struct round *r)
{
	static const char *const phases[] = {
	    [PHASE_ARM] = "arming", [PHASE_DRAIN] = "collecting", [PHASE_END] = "collecting", [PHASE_OVER] = "done"};
	return r->phase == PHASE_QUIET || r->phase == PHASE_STAGE ? r->progress[r->stage] : phases[r->phase];
}

static void phase_set(struct round *r, enum round_phase phase, struct mono now, int64_t ms)
{
	r->phase = phase;
	r->deadline = mono_add_ms(now, ms);
	if (phase == PHASE_OVER)
		r->ended = now;
}

static void round_end(struct round *r, struct mono now)
{
	end_all(r);
	phase_set(r, PHASE_END, now, r->ask.keep_frames ? FRAMES_MS : RESULT_MS);
}

/* Answers that are on their way still may come. */
static void round_drain(struct round *r, struct mono now)
{
	struct mono until = mono_add_ms(r->unanswered_at, DRAIN_MS);
	if (!r->unanswered_at.ns || mono_reached(until, now))
		round_end(r, now);
	else
		phase_set(r, PHASE_DRAIN, now, (until.ns - now.ns) / 1000000 + 1);
}

static void stage_begin(struct round *r, struct mono now)
{
	r->stage_began = now;
	phase_set(r, PHASE_STAGE, now, round_stage_ms(r, r->stage) + GRACE_MS);
	go(r);
}

/* From stage `s` on: the first one somebody has something to send in. */
static void stage_next(struct round *r, int s, struct mono now)
{
	while (s < STAGE_COUNT && !round_stage_needed(r, s))
		s++;
	if (s == STAGE_COUNT) {
		round_drain(r, now);
		return;
	}
	r->stage = s;
	phase_set(r, PHASE_QUIET, now, QUIET_MS);
}

/* ---- is everybody ready? ---- */

static bool armed(const struct round *r, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (r->part[i].asked && !r->part[i].armed)
			return false;
	}
	return true;
}

static void arming_check(struct round *r, struct mono now)
{
	if (armed(r, r->part_count) || mono_ms_since(r->started, now) >= ARM_END_MS)
		stage_next(r, STAGE_NEIGH, now);
	else if (mono_ms_since(r->started, now) >= ARM_MS && armed(r, 2))
		stage_next(r, STAGE_NEIGH, now);
	else if (mono_reached(r->deadline, now))
		r->deadline = mono_add_ms(r->started, ARM_END_MS);
}

static bool stage_done(const struct round *r)
{
	for (int i = 0; i < 2; i++) {
		if (r->part[i].armed && !r->part[i].done[r->stage] && round_sends(r, i, r->stage))
			return false;
	}
	return true;
}

static bool all_reported(const struct round *r)
{
	for (size_t i = 0; i < r->part_count; i++) {
		if (r->part[i].armed && !r->part[i].result)
			return false;
	}
	return true;
}

/* What is beside the matrix is meant to stay unanswered, in part. */
static void stage_over(struct round *r, struct mono now)
{
	for (int i = 0; i < 2; i++) {
		if (r->stage < STAGE_LADDER && r->part[i].armed && round_sends(r, i, r->stage) &&
		    (r->part[i].lacking || !r->part[i].done[r->stage]))
			r->unanswered_at = now;
		r->part[i].lacking = false;
	}
	stage_next(r, r->stage + 1, now);
}

static void phase_advance(struct round *r, struct mono now)
{
	bool due = mono_reached(r->deadline, now);
	if (r->phase == PHASE_ARM)
		arming_check(r, now);
	else if (r->phase == PHASE_QUIET && due)
		stage_begin(r, now);
	else if (r->phase == PHASE_STAGE && (due || stage_done(r)))
		stage_over(r, now);
	else if (r->phase == PHASE_DRAIN && due)
		round_end(r, now);
	else if (r->phase == PHASE_END && (due || all_reported(r)))
		phase_set(r, PHASE_OVER, now, 0);
}

/* ---- messages ---- */

static int part_by_member(const struct round *r, const struct member *m)
{
	for (size_t i = 0; i < r->part_count; i++) {
		if (r->part[i].member == m)
			return (int)i;
	}
	return -1;
}

static void on_armed(struct round *r, struct participant *p, struct msg *m, struct mono now)
{
	struct msg_round_armed *armed = &m->u.round_armed;
	(void)now;
	if (armed->round != r->ask.id || p->armed)
		return;
	if (armed->refused) { /* it is too busy: the round goes on without it, and nobody waits for it */
		p->asked = false;
		return;
	}
	p->armed = true;
	p->before = armed->snapshot;
	armed->snapshot = NULL;
}

/* An agent that does not tell what stayed unanswered ended its stage early when nothing did. */
static kind_mask unanswered_guess(const struct round *r, struct mono now)
{
	bool early = mono_ms_since(r->stage_began, now) < (int64_t)round_stage_ms(r, r->stage) * 3 / 4;
	return early ? 0 : KIND_BIT(KIND_ICMP_LARGE) | KIND_BIT(KIND_ICMP_LARGE6);
}

static void on_stage_done(struct round *r, struct participant *p, struct msg *m, struct mono now)
{
	const struct msg_stage_done *done = &m->u.stage_done;
	if (done->round != r->ask.id || done->stage >= STAGE_COUNT || p->done[done->stage])
		return;
	p->done[done->stage] = true;
	if (r->phase != PHASE_STAGE || done->stage != r->stage)
		return;
	kind_mask unanswered = done->unanswered ? done->unanswered : unanswered_guess(r, now);
	p->lacking = unanswered != 0;
	if (r->stage >= STAGE_LADDER)
		return;
	p->unanswered |= unanswered;
	p->silent |= done->silent;
	p->repeated += done->repeated;
	if (done->rtt_us && (!p->rtt_us || done->rtt_us < p->rtt_us))
		p->rtt_us = done->rtt_us;
}

static void on_result(struct round *r, struct participant *p, struct msg *m, struct mono now)
{
	struct msg_round_result *in = &m->u.round_result;
	(void)now;
	if (in->result.id != r->ask.id || p->result)
		return;
	p->result = mem_alloc(sizeof *p->result);
	*p->result = in->result;
	p->after = in->snapshot;
	memset(in, 0, sizeof *in);
}

void round_message(struct round *r, const struct member *from, struct msg *m, struct mono now)
{
	static const struct {
		enum msg_type type;
		void (*on)(struct round *r, struct participant *p, struct msg *m, struct mono now);
	} handlers[] = {{MSG_ROUND_ARMED, on_armed}, {MSG_STAGE_DONE, on_stage_done}, {MSG_ROUND_RESULT, on_result}};
	int part = part_by_member(r, from);
	if (part < 0 || r->phase == PHASE_OVER) /* the dossier lends from what is here: nothing may change any more */
		return;
	for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++) {
		if (handlers[i].type == m->type)
			handlers[i].on(r, &r->part[part], m, now);
	}
	phase_advance(r, now);
}

void round_tick(struct round *r, struct mono now) { phase_advance(r, now); }

struct mono round_next(const struct round *r) { return r->deadline; }

bool round_over(const struct round *r) { return r->phase == PHASE_OVER; }

uint64_t round_id(const struct round *r) { return r->ask.id; }

uint32_t round_took_ms(const struct round *r) { return (uint32_t)mono_ms_since(r->started, r->ended); }

/* ---- life ---- */

struct round *round_new(const struct round_ask *ask, const struct fleet *f, round_send_fn *send, void *arg, struct mono now,
                        struct err *e)
{
	struct round *r = mem_alloc(sizeof *r);
	*r = (struct round){.ask = *ask, .send = send, .arg = arg, .part_count = 2, .started = now, .ended = now};
	r->part[PARTY_A].member = ask->a;
	r->part[PARTY_B].member = ask->b;
	if (!ask->a->online && !ask->b->online) {
		err_set(e, "neither %s nor %s is connected", ask->a->name, ask->b->name);
		round_free(r);
		return NULL;
	}
	if (!fleet_endpoints(f, ask->a, ask->b, &r->ep[0], &r->ep[1], &r->onlink, e) &&
	    !(r->onlink = fleet_endpoints_apart(f, ask->a, ask->b, &r->ep[0], &r->ep[1]))) {
		round_free(r);
		return NULL;
	}
	progress_prepare(r, f);
	round_flows(r);
	round_paths(r, f);
	arm_all(r);
	phase_set(r, PHASE_ARM, now, ARM_MS);
	return r;
}

static void participant_clear(struct participant *p)
{
	snapshot_free(p->before);
	snapshot_free(p->after);
	if (p->result)
		round_result_clear(p->result);
	free(p->result);
}

void round_free(struct round *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->part_count; i++)
		participant_clear(&r->part[i]);
	for (int k = 0; k < KIND_COUNT; k++) {
		free(r->skip_why[0][k]);
		free(r->skip_why[1][k]);
	}
	free(r);
}
