/* sim_collector: the glue a real collector has around its core, and the control channel. */
#include "tests/sim/sim.h"

#include <stdlib.h>

#define CONTROL_US 300

/* ---- the control channel ---- */

struct letter {
	int from, to; /* a machine; -1 = the collector */
	size_t len;
	uint8_t data[];
};

static void letter_arrive(struct sim *s, const void *what)
{
	const struct letter *l = what;
	struct msg *m = wire_decode(l->data, l->len, NULL);
	if (!m)
		return;
	if (l->to < 0)
		collector_message(s, l->from, m);
	else
		agent_message(s, l->to, m);
	msg_free(m);
}

static void letter_post(struct sim *s, int from, int to, const struct buf *b)
{
	struct letter *l = mem_alloc(sizeof *l + b->len);
	*l = (struct letter){from, to, b->len};
	if (b->len)
		memcpy(l->data, b->data, b->len);
	uint32_t jitter = s->control_jitter_us ? sim_below(s, s->control_jitter_us) : 0;
	sim_at(s, mono_add_us(s->now, CONTROL_US + jitter), letter_arrive, l, sizeof *l + b->len);
	free(l);
}

void control_send(struct sim *s, int from, int to, const struct msg *m)
{
	struct buf b = {0};
	bool report = m && (m->type == MSG_REPORT || m->type == MSG_ACK); /* what is repeated until it is done */
	if (m && wire_encode(m, &b, NULL) == 0 && !(report && sim_chance(s, s->control_loss_ppm))) {
		letter_post(s, from, to, &b);
		if (report && sim_chance(s, s->control_double_ppm))
			letter_post(s, from, to, &b);
	}
	buf_free(&b);
}

/* ---- life ---- */

static void random_bytes(void *arg, void *out, size_t len)
{
	unsigned char *bytes = out;
	for (size_t i = 0; i < len; i++)
		bytes[i] = (unsigned char)sim_random(arg);
}

static struct member *member_of(struct sim *s, int machine) { return fleet_by_id(s->c.fleet, s->c.ledger[machine].id); }

void collector_start(struct sim *s)
{
	struct sim_collector *c = &s->c;
	c->fleet = fleet_new();
	c->planner = planner_new(random_bytes, s);
	c->detect = detect_new();
	planner_rates(c->planner, (struct planner_rates){.interval_ms = 100, .report_ms = 200, .budget_pps = 2000});
	memset(c->plan_sent, 0xff, sizeof c->plan_sent);
	for (size_t i = 0; i < s->machine_count; i++) {
		uint8_t key[KEY_LEN] = {(uint8_t)(i + 1)};
		const struct machine *m = &s->machines[i];
		if (m->agent)
			c->ledger[i].id = fleet_add(c->fleet, c->ledger[i].id, m->name, m->tenant, m->kind, key)->id;
	}
}

void collector_stop(struct sim *s)
{
	struct sim_collector *c = &s->c;
	round_free(c->round);
	planner_free(c->planner);
	detect_free(c->detect);
	fleet_free(c->fleet);
	c->round = NULL;
	c->planner = NULL;
	c->detect = NULL;
	c->fleet = NULL;
}

/* ---- messages ---- */

static void plans_send(struct sim *s)
{
	struct sim_collector *c = &s->c;
	for (size_t i = 0; i < s->machine_count; i++) {
		struct member *m = s->machines[i].agent ? member_of(s, (int)i) : NULL;
		if (!m || !m->hello.version_max || c->plan_sent[i] == planner_version_of(c->planner, m->id))
			continue;
		struct msg *plan = msg_new(MSG_PLAN);
		planner_plan_of(c->planner, c->fleet, m->id, &plan->u.plan);
		c->plan_sent[i] = planner_version_of(c->planner, m->id);
		control_send(s, -1, (int)i, plan);
		msg_free(plan);
	}
}

/* The pairs of the plan are the pairs detection knows. */
static void pairs_declare(struct sim *s)
{
	const kind_mask none[2] = {0, 0};
	for (uint32_t i = 0; i < planner_count(s->c.planner); i++) {
		const struct pair *p = planner_pair(s->c.planner, i);
		detect_pair(s->c.detect, i, p ? p->a : 0, p ? p->b : 0, p ? p->kinds : none);
	}
}

static void on_hello(struct sim *s, int machine, struct member *m, struct msg *msg)
{
	struct ledger *l = &s->c.ledger[machine];
	fleet_hello(s->c.fleet, m, &msg->u.hello);
	if (l->boot != msg->u.hello.boot)
		l->boot = msg->u.hello.boot, l->applied = 0;
	if (l->applied + 1 < msg->u.hello.next_report)
		l->applied = msg->u.hello.next_report - 1; /* given up by the agent */
	struct msg *welcome = msg_new(MSG_WELCOME);
	welcome->u.welcome.version = PROTOCOL_VERSION;
	welcome->u.welcome.acked = l->applied;
	control_send(s, -1, machine, welcome);
	msg_free(welcome);
	s->c.plan_sent[machine] = UINT64_MAX;
	s->c.stale = true;
}

static void on_report(struct sim *s, int machine, struct member *m, struct msg *msg)
{
	struct ledger *l = &s->c.ledger[machine];
	struct msg_report *r = &msg->u.report;
	if (r->boot != l->boot || r->number > l->applied + 1)
		return; /* not yet: it comes again */
	s->c.again += r->number <= l->applied;
	if (r->number == l->applied + 1) {
		l->applied = r->number;
		m->health = r->health;
		detect_rows(s->c.detect, m->id, r->rows, r->row_count, &r->health, s->now);
		s->c.rows_applied += r->row_count;
		if (r->snapshot)
			fleet_snapshot(s->c.fleet, m, r->snapshot, sim_wall(s));
		s->c.stale |= r->snapshot != NULL;
		r->snapshot = NULL;
	}
	struct msg *ack = msg_new(MSG_ACK);
	ack->u.ack = (struct msg_ack){l->boot, l->applied};
	control_send(s, -1, machine, ack);
	msg_free(ack);
}

void collector_message(struct sim *s, int machine, struct msg *msg)
{
	struct member *m = s->c.fleet ? member_of(s, machine) : NULL;
	if (!m)
		return;
	bool was_online = m->online;
	fleet_heard(s->c.fleet, m, HEARD_DIRECT, 0, s->now, sim_wall(s));
	if (!was_online)
		detect_online(s->c.detect, m->id, true, s->now);
	if (msg->type == MSG_HELLO)
		on_hello(s, machine, m, msg);
	else if (msg->type == MSG_REPORT && m->hello.version_max)
		on_report(s, machine, m, msg);
	else if (s->c.round)
		round_message(s->c.round, m, msg, s->now);
}

void collector_tick(struct sim *s)
{
	struct sim_collector *c = &s->c;
	struct detect_event events[16];
	if (!c->fleet)
		return;
	if (c->round)
		round_tick(c->round, s->now);
	if (fleet_tick(c->fleet, s->now)) {
		for (size_t i = 0; i < fleet_count(c->fleet); i++)
			detect_online(c->detect, fleet_at(c->fleet, i)->id, fleet_at(c->fleet, i)->online, s->now);
	}
	if (c->stale && s->watching) {
		c->stale = false;
		planner_update(c->planner, c->fleet);
		pairs_declare(s);
		plans_send(s);
	}
	size_t n = detect_tick(c->detect, s->now, events, 16);
	for (size_t i = 0; i < n && c->event_count < 256; i++) {
		if (events[i].type == DETECT_DOUBT) { /* no alarm: a reason to look */
			c->doubts++;
			c->doubted = events[i].pair;
			continue;
		}
		c->events[c->event_count].event = events[i];
		c->events[c->event_count++].at = s->now;
	}
}

/* ---- a round ---- */

static void round_out(void *arg, struct member *to, const struct msg *m)
{
	struct sim *s = arg;
	control_send(s, -1, world_find_member(s, to), m);
}

static bool round_is_over(struct sim *s) { return round_over(s->c.round); }

static bool round_start(struct sim *s, int a, int b)
{
	struct round_ask ask = {.id = sim_random(s) | 1, .a = member_of(s, a), .b = member_of(s, b)};
	ask.id_base = (uint16_t)(20000 + sim_below(s, 30001));
	ask.deep = s->deep;
	random_bytes(s, ask.key, sizeof ask.key);
	round_free(s->c.round);
	s->c.round = round_new(&ask, s->c.fleet, round_out, s, s->now, NULL);
	return s->c.round != NULL;
}

bool collector_round(struct sim *s, int a, int b) { return round_start(s, a, b) && sim_run_until(s, round_is_over, 10000); }

static struct verdict *round_verdict(struct sim *s)
{
	struct dossier *d = mem_alloc(sizeof *d);
	struct verdict *v = verdict_new();
	round_dossier(s->c.round, s->c.fleet, s->c.planner, s->c.detect, sim_wall(s), d);
	correlate(d, v);
	v->took_ms = round_took_ms(s->c.round);
	dossier_clear(d);
	free(d);
	round_free(s->c.round);
	s->c.round = NULL;
	return v;
}

struct verdict *collector_diagnose(struct sim *s, int a, int b) { return collector_round(s, a, b) ? round_verdict(s) : NULL; }

struct verdict *collector_diagnose_nap(struct sim *s, int a, int b, int sleeper, int64_t after_ms, int64_t ms)
{
	if (!round_start(s, a, b))
		return NULL;
	sim_run(s, after_ms);
	agent_pause(s, sleeper, true);
	sim_run(s, ms);
	agent_pause(s, sleeper, false);
	return sim_run_until(s, round_is_over, 10000) ? round_verdict(s) : NULL;
}
