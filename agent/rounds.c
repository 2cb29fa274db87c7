#include "agent/rounds.h"

#include "agent/capture.h"
#include "agent/drops.h"
#include "agent/facts/facts.h"
#include "agent/ovs_rules.h"
#include "agent/report.h"
#include "agent/trim.h"
#include "agent/uplink.h"
#include "proto/base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUND_LIFE_MS 15000 /* a round whose end never comes is forgotten */
#define TICK_MS       50    /* while there are rounds: a nap must be noticed */
#define IDLE_TICKS    20    /* without a round, then it ends */

struct round {
	struct exec *exec; /* NULL = free place */
	struct capture *capture;
	struct mono began;
	struct fit_mark mark;
	bool ready, ending, ended; /* the observer of drops: looks; was told to end; has told everything */
	struct names *names;       /* what the peer's name leads to; NULL = is not asked */
	struct msg *answer;        /* ROUND_ARMED or ROUND_RESULT, waiting for the observer */
};

struct rounds {
	struct agent *a;
	struct drops *drops;
	struct round items[ROUNDS_MAX];
	struct loop_source *tick; /* while there are any */
	unsigned idle;            /* ticks without a round */
};

static struct round *round_find(struct rounds *r, uint64_t id)
{
	for (size_t i = 0; i < ROUNDS_MAX; i++)
		if (r->items[i].exec && exec_spec(r->items[i].exec)->id == id)
			return &r->items[i];
	return NULL;
}

static struct round *round_place(struct rounds *r)
{
	for (size_t i = 0; i < ROUNDS_MAX; i++)
		if (!r->items[i].exec)
			return &r->items[i];
	return NULL;
}

static void round_drop(struct rounds *r, struct round *round)
{
	drops_forget(r->drops, exec_spec(round->exec)->id);
	msg_free(round->answer);
	names_free(round->names);
	prober_round_remove(r->a->prober, round->exec);
	capture_free(round->capture);
	exec_free(round->exec);
	*round = (struct round){0};
}

static void ticked(void *arg)
{
	struct rounds *r = arg;
	struct mono now = mono_now();
	bool any = false;

	for (size_t i = 0; i < ROUNDS_MAX; i++) {
		if (r->items[i].exec && mono_ms_since(r->items[i].began, now) >= ROUND_LIFE_MS)
			round_drop(r, &r->items[i]);
		any = any || r->items[i].exec;
	}
	r->idle = any ? 0 : r->idle + 1;
	if (r->idle >= IDLE_TICKS) {
		r->idle = 0;
		loop_remove(r->tick);
		r->tick = NULL;
		trim_memory(); /* captures and snapshots took some */
	}
}

/* ---- arm ---- */

static void armed_send(struct rounds *r, struct msg *m)
{
	if (uplink_send(r->a->uplink, m) < 0)
		log_warn("round %016llx: the collector cannot be told that we are ready",
		         (unsigned long long)m->u.round_armed.round);
	msg_free(m);
}

static void arm_refuse(struct rounds *r, const struct round_spec *spec, const char *why)
{
	struct msg *m = msg_new(MSG_ROUND_ARMED);
	struct msg_round_armed *out = &m->u.round_armed;

	out->round = spec->id;
	out->refused = true;
	out->status_count = spec->point_count;
	for (size_t i = 0; i < spec->point_count; i++) {
		out->status[i].point = spec->points[i].id;
		str_copy(out->status[i].why, sizeof out->status[i].why, why);
	}
	armed_send(r, m);
}

static void arm_answer(struct rounds *r, struct round *round)
{
	struct round_result *result;
	struct msg_round_armed *out;

	if (!round->answer || !round->ready)
		return;
	result = mem_alloc(sizeof *result);
	exec_result(round->exec, result);
	out = &round->answer->u.round_armed;
	out->round = result->id;
	out->status_count = result->status_count;
	memcpy(out->status, result->status, sizeof out->status);
	round_result_clear(result);
	free(result);
	armed_send(r, round->answer);
	round->answer = NULL;
}

void rounds_arm(struct rounds *r, const struct round_spec *spec)
{
	struct round *round = round_find(r, spec->id);
	struct err e = {""};

	if (round)
		round_drop(r, round);
	round = round_place(r);
	if (!round) {
		arm_refuse(r, spec, "too many rounds at once");
		return;
	}
	round->began = mono_now();
	round->mark = report_mark(r->a->report);
	round->exec = exec_new(spec, round->began);
	drops_arm(r->drops, spec); /* gets ready while the captures open */
	round->capture = capture_new(r->a->loop, round->exec);
	if (prober_round_add(r->a->prober, round->exec, &e) < 0)
		log_warn("round %016llx: %s", (unsigned long long)spec->id, e.text);
	if (!r->tick)
		r->tick = loop_every_ms(r->a->loop, TICK_MS, ticked, r);
	round->answer = msg_new(MSG_ROUND_ARMED);
	round->answer->u.round_armed.snapshot = facts_read(FACTS_ALL, NULL, 0);
	arm_answer(r, round);
	round->names = names_ask(spec->resolve);
}

/* ---- go ---- */

static void stage_over(void *arg, struct exec *x, enum stage stage)
{
	struct rounds *r = arg;
	struct msg *m = msg_new(MSG_STAGE_DONE);
	struct stage_sum sum = exec_sum(x, stage);

	m->u.stage_done.round = exec_spec(x)->id;
	m->u.stage_done.stage = (uint8_t)stage;
	m->u.stage_done.unanswered = exec_unanswered(x, stage);
	m->u.stage_done.silent = exec_silent(x, stage);
	m->u.stage_done.repeated = sum.repeated;
	m->u.stage_done.rtt_us = sum.rtt_us;
	uplink_send(r->a->uplink, m); /* unheard, the collector goes on when the stage's time is over */
	msg_free(m);
}

void rounds_go(struct rounds *r, const struct msg_round_go *go)
{
	struct round *round = round_find(r, go->round);

	if (!round || go->stage >= STAGE_COUNT)
		return;
	exec_stage(round->exec, (enum stage)go->stage, mono_now());
	prober_round_kick(r->a->prober, round->exec);
}

/* ---- end ---- */

static void end_answer(struct rounds *r, struct round *round)
{
	struct msg *m = round->answer;

	if (!m || !round->ended)
		return;
	round->answer = NULL;
	capture_drain(round->capture);
	prober_drain(r->a->prober);
	ovs_rules(round->exec, m->u.round_result.snapshot);
	names_tell(round->names, m->u.round_result.snapshot);
	exec_result(round->exec, &m->u.round_result.result);
	m->u.round_result.result.health = report_health_since(r->a->report, &round->mark);
	if (uplink_send(r->a->uplink, m) < 0)
		log_warn("round %016llx: its result cannot be sent", (unsigned long long)exec_spec(round->exec)->id);
	round_drop(r, round);
	msg_free(m);
}

void rounds_end(struct rounds *r, const struct msg_round_end *end)
{
	struct round *round = round_find(r, end->round);

	if (!round || round->ending)
		return;
	round->ending = true;
	msg_free(round->answer);
	round->answer = NULL;
	drops_end(r->drops, end->round); /* tells the rest while we read the facts */
	round->answer = msg_new(MSG_ROUND_RESULT);
	round->answer->u.round_result.snapshot = facts_read(FACTS_ALL, NULL, 0);
	end_answer(r, round);
}

/* ---- what the observer of drops tells ---- */

static void drops_told(void *arg, const struct drops_record *record)
{
	struct rounds *r = arg;
	struct round *round = round_find(r, record->round);

	if (!round)
		return;
	if (record->what == RECORD_DROP) {
		exec_drop(round->exec, &record->u.drop);
	} else if (record->what == RECORD_RULE) {
		exec_rule(round->exec, &record->u.rule);
	} else {
		exec_looked(round->exec, &record->u.looked.drops, &record->u.looked.rules);
		if (record->what == RECORD_READY) {
			round->ready = true;
			arm_answer(r, round);
		} else {
			round->ended = true;
			end_answer(r, round);
		}
	}
}

struct rounds *rounds_new(struct agent *a)
{
	struct rounds *r = mem_alloc(sizeof *r);

	r->a = a;
	r->drops = drops_new(a->loop, a->setup.trace_rules, drops_told, r);
	prober_on_stage(a->prober, stage_over, r);
	return r;
}

void rounds_free(struct rounds *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < ROUNDS_MAX; i++)
		if (r->items[i].exec)
			round_drop(r, &r->items[i]);
	loop_remove(r->tick);
	drops_free(r->drops);
	free(r);
}
