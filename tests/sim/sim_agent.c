/* sim_agent: the glue a real agent has around its core, with the fake network in place of sockets and captures. */
#include "tests/sim/sim.h"

#include <errno.h>
#include <stdlib.h>

#define BATCH         64
#define RESEND_MS     1000
#define NEIGH_LOOK_MS 20 /* after sending: has the neighbour resolved? */
#define SPOOL_BYTES   (1 << 20)
#define REPORT_MS     200

/* ---- life ---- */

void agent_open(struct sim *s, int machine)
{
	struct machine *m = &s->machines[machine];
	m->watch = watch_new(sim_random(s));
	m->spool = spool_new(SPOOL_BYTES);
	m->boot = sim_random(s) | 1;
	m->held = mem_array(SIM_SOCKET_MAX, sizeof *m->held);
	m->report_at = s->now;
	agent_connect(s, machine);
}

void agent_close(struct sim *s, int machine)
{
	struct machine *m = &s->machines[machine];
	watch_free(m->watch);
	exec_free(m->exec);
	if (m->spool)
		spool_free(m->spool);
	free(m->held);
	m->watch = NULL;
	m->exec = NULL;
	m->spool = NULL;
	m->held = NULL;
}

void agent_connect(struct sim *s, int machine)
{
	struct machine *m = &s->machines[machine];
	struct msg *hello = msg_new(MSG_HELLO);
	m->session = false;
	m->resend_at = mono_add_ms(s->now, RESEND_MS);
	world_hello(s, machine, &hello->u.hello);
	control_send(s, machine, -1, hello);
	msg_free(hello);
}

/* ---- reports ---- */

static void report_make(struct sim *s, int machine, bool with_snapshot)
{
	struct machine *m = &s->machines[machine];
	struct msg *report = msg_new(MSG_REPORT);
	struct buf bytes = {0};
	struct msg_report *r = &report->u.report;
	r->boot = m->boot;
	r->number = spool_next_number(m->spool);
	r->health = m->health;
	r->rows = mem_array(REPORT_ROWS_MAX, sizeof *r->rows);
	r->row_count = watch_report(m->watch, s->now, r->rows, REPORT_ROWS_MAX);
	r->snapshot = with_snapshot ? world_snapshot(s, machine) : NULL;
	m->rows_reported += r->row_count;
	if (wire_encode(report, &bytes, NULL) == 0)
		spool_put(m->spool, bytes.data, bytes.len);
	m->health = (struct health){.steal_permille = -1};
	buf_free(&bytes);
	msg_free(report);
}

static void reports_send(struct sim *s, int machine)
{
	struct machine *m = &s->machines[machine];
	const void *data;
	size_t len;
	uint64_t number;
	while (m->session && (data = spool_after(m->spool, m->told, &number, &len))) {
		struct msg *copy = wire_decode(data, len, NULL);
		control_send(s, machine, -1, copy);
		msg_free(copy);
		m->told = number;
	}
}

/* Nothing was acknowledged for long: again from the oldest. */
static void reports_resend(struct sim *s, int machine)
{
	struct machine *m = &s->machines[machine];
	if (!mono_reached(m->resend_at, s->now))
		return;
	m->resend_at = mono_add_ms(s->now, RESEND_MS);
	if (!m->session)
		agent_connect(s, machine);
	else
		m->told = spool_oldest(m->spool) - 1;
}

/* ---- sending probes ---- */

static void probe_send_round(struct sim *s, int machine, const struct exec_probe *e)
{
	struct machine *m = &s->machines[machine];
	int segment = 0;
	struct packet p = {.from = machine,
	                   .kind = e->flow->kind,
	                   .cold = kind_info(e->flow->kind)->proto == PROTO_NEIGH && (e->seq == 0 || !e->flow->src.family),
	                   .directed = e->directed,
	                   .proven = true,
	                   .round = exec_spec(m->exec)->id,
	                   .flow = e->flow->id,
	                   .seq = e->seq};
	p.to = world_find_mac(s, e->flow->dst_mac, &segment);
	p.segment = segment;
	exec_sent(m->exec, e->flow->id, e->seq, e->directed, p.to < 0 ? ENETUNREACH : 0, s->now);
	if (p.to < 0)
		return;
	net_send(s, &p);
	if (!m->checks)
		m->check_at = mono_add_ms(s->now, NEIGH_LOOK_MS);
	m->checks |= 1ull << e->flow->id;
}

static void neighbours_check(struct sim *s, int machine)
{
	struct machine *m = &s->machines[machine];
	if (!m->checks || !mono_reached(m->check_at, s->now))
		return;
	const struct round_spec *spec = exec_spec(m->exec);
	for (size_t i = 0; i < spec->flow_count; i++) {
		int segment, to = world_find_mac(s, spec->flows[i].dst_mac, &segment);
		const struct kind_info *info = kind_info(spec->flows[i].kind);
		if (m->checks >> i & 1 && to >= 0 && info->proto != PROTO_NEIGH && !net_resolved(s, machine, to, info->family))
			exec_unresolved(m->exec, (uint8_t)i);
	}
	m->checks = 0;
}

static void round_step(struct sim *s, int machine)
{
	struct machine *m = &s->machines[machine];
	struct exec_probe due[BATCH];
	enum stage stage;
	neighbours_check(s, machine);
	for (size_t n; (n = exec_due(m->exec, s->now, due, BATCH)) > 0;) {
		for (size_t i = 0; i < n; i++)
			probe_send_round(s, machine, &due[i]);
	}
	if (!exec_stage_over(m->exec, s->now, &stage))
		return;
	struct msg *done = msg_new(MSG_STAGE_DONE);
	done->u.stage_done = (struct msg_stage_done){
	    .round = exec_spec(m->exec)->id, .stage = (uint8_t)stage, .unanswered = exec_unanswered(m->exec, stage)};
	struct stage_sum sum = exec_sum(m->exec, stage);
	done->u.stage_done.silent = exec_silent(m->exec, stage);
	done->u.stage_done.repeated = sum.repeated;
	done->u.stage_done.rtt_us = sum.rtt_us;
	control_send(s, machine, -1, done);
	msg_free(done);
}

static void watch_step(struct sim *s, int machine)
{
	struct machine *m = &s->machines[machine];
	struct watch_probe due[BATCH];
	size_t n = watch_due(m->watch, s->now, due, BATCH);
	for (size_t i = 0; i < n; i++) {
		int segment = 0;
		struct packet p = {.from = machine, .kind = due[i].header.kind, .proven = true, .watch = due[i].header};
		p.cold = kind_info(p.kind)->proto == PROTO_NEIGH && !due[i].peer->self.ip4.ip.family;
		p.to = world_find_mac(s, due[i].peer->other.mac, &segment);
		p.segment = segment;
		watch_sent(m->watch, &due[i].header, p.to < 0 ? ENETUNREACH : 0, s->now);
		if (p.to >= 0)
			net_send(s, &p);
	}
}

void agent_tick(struct sim *s, int machine)
{
	struct machine *m = &s->machines[machine];
	if (!m->watch || m->paused)
		return;
	if (m->exec)
		round_step(s, machine);
	if (s->watching)
		watch_step(s, machine);
	if (s->watching && m->session && mono_reached(m->report_at, s->now)) {
		m->report_at = mono_add_ms(s->now, REPORT_MS);
		report_make(s, machine, false);
	}
	reports_send(s, machine);
	reports_resend(s, machine);
}

/* ---- what arrives ---- */

static void heard_watch(struct sim *s, struct machine *m, const struct packet *p)
{
	struct packet answer = *p;
	if (p->part == PART_ANSWER) {
		watch_answered(m->watch, p->watch.pair, p->kind, p->watch.epoch, p->watch.seq,
		               p->proven ? WATCH_ANSWERED : WATCH_IMPOSTOR, s->now);
		return;
	}
	watch_received(m->watch, &p->watch, s->now);
	if (kind_info(p->kind)->proto != PROTO_UDP || !p->watch.wants_answer)
		return;
	answer.from = p->to;
	answer.to = p->from;
	answer.part = PART_ANSWER;
	net_send(s, &answer);
}

static void heard_round(struct sim *s, struct machine *m, const struct packet *p)
{
	struct packet answer = *p;
	if (!m->exec || exec_spec(m->exec)->id != p->round)
		return;
	if (p->part == PART_ANSWER) {
		exec_answered(m->exec, p->flow, p->seq, p->proven ? EXEC_ANSWERED : EXEC_IMPOSTOR, (struct mac){{0}}, s->now);
		return;
	}
	exec_received(m->exec, p->flow, p->seq, (struct ip){0}, 64, s->now);
	if (kind_info(p->kind)->proto != PROTO_UDP)
		return;
	answer.from = p->to;
	answer.to = p->from;
	answer.part = PART_ANSWER;
	answer.directed = false;
	exec_replied(m->exec, p->flow, p->seq, 0);
	net_send(s, &answer);
}

void agent_heard(struct sim *s, const struct packet *p)
{
	struct machine *m = &s->machines[p->to];
	if (!m->watch)
		return;
	if (m->paused && m->held_count == SIM_SOCKET_MAX)
		m->health.socket_drops++;
	else if (m->paused)
		m->held[m->held_count++] = *p;
	else if (p->round)
		heard_round(s, m, p);
	else
		heard_watch(s, m, p);
}

void agent_saw(struct sim *s, int machine, const char *ifname, const struct packet *p)
{
	struct machine *m = &s->machines[machine];
	if (!m->exec || !p->round || exec_spec(m->exec)->id != p->round || m->no_capture)
		return;
	const struct round_spec *spec = exec_spec(m->exec);
	for (size_t i = 0; i < spec->point_count; i++) {
		if (strcmp(spec->points[i].ifname, ifname) == 0)
			exec_seen(m->exec,
			          &(struct sighting){.point = spec->points[i].id, .flow = p->flow, .seq = p->seq, .part = p->part});
	}
}

void agent_pause(struct sim *s, int machine, bool paused)
{
	struct machine *m = &s->machines[machine];
	m->paused = paused;
	if (paused) {
		m->check_at = s->now;
		return;
	}
	m->health.lag_us = (uint32_t)mono_us_since(m->check_at, s->now);
	for (size_t i = 0; i < m->held_count; i++)
		agent_heard(s, &m->held[i]);
	m->held_count = 0;
}

/* ---- the collector's word ---- */

static void on_arm(struct sim *s, int machine, struct msg *m)
{
	struct machine *me = &s->machines[machine];
	const struct round_spec *spec = &m->u.round_arm;
	exec_free(me->exec);
	me->exec = exec_new(spec, s->now);
	me->checks = 0;
	struct msg *armed = msg_new(MSG_ROUND_ARMED);
	struct msg_round_armed *a = &armed->u.round_armed;
	a->round = spec->id;
	for (size_t i = 0; i < spec->point_count; i++) {
		struct point_status *st = &a->status[a->status_count++];
		*st = (struct point_status){.point = spec->points[i].id, .armed = !me->no_capture};
		if (me->no_capture)
			str_copy(st->why, sizeof st->why, "no right to capture");
		exec_armed(me->exec, st);
	}
	a->snapshot = world_snapshot(s, machine);
	control_send(s, machine, -1, armed);
	msg_free(armed);
}

static void on_end(struct sim *s, int machine, struct msg *m)
{
	struct machine *me = &s->machines[machine];
	if (!me->exec || exec_spec(me->exec)->id != m->u.round_end.round)
		return;
	struct msg *result = msg_new(MSG_ROUND_RESULT);
	exec_result(me->exec, &result->u.round_result.result);
	result->u.round_result.result.health = me->health;
	control_send(s, machine, -1, result);
	msg_free(result);
	exec_free(me->exec);
	me->exec = NULL;
}

static void on_welcome(struct sim *s, int machine, struct msg *m)
{
	struct machine *me = &s->machines[machine];
	bool first = spool_next_number(me->spool) == 1;
	spool_ack(me->spool, m->u.welcome.acked);
	me->session = true;
	me->told = spool_oldest(me->spool) - 1;
	if (first || s->watching) /* a collector that started again knows nothing of us */
		report_make(s, machine, true);
}

static void on_ack(struct sim *s, struct machine *me, uint64_t number)
{
	uint64_t oldest = spool_oldest(me->spool);
	spool_ack(me->spool, number);
	if (spool_oldest(me->spool) != oldest)
		me->resend_at = mono_add_ms(s->now, RESEND_MS);
}

void agent_message(struct sim *s, int machine, struct msg *m)
{
	struct machine *me = &s->machines[machine];
	if (me->paused || !me->watch)
		return;
	if (m->type == MSG_WELCOME)
		on_welcome(s, machine, m);
	else if (m->type == MSG_PLAN)
		watch_plan(me->watch, &m->u.plan, s->now);
	else if (m->type == MSG_ACK && m->u.ack.boot == me->boot)
		on_ack(s, me, m->u.ack.number);
	else if (m->type == MSG_ROUND_ARM)
		on_arm(s, machine, m);
	else if (m->type == MSG_ROUND_GO && me->exec && exec_spec(me->exec)->id == m->u.round_go.round)
		exec_stage(me->exec, m->u.round_go.stage, s->now);
	else if (m->type == MSG_ROUND_END)
		on_end(s, machine, m);
}
