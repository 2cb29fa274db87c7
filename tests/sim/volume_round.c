/* volume_round: one round in a world, by the real cores. */
#include "tests/sim/volume.h"

#include <stdlib.h>
#include <string.h>

#define STEP_MS  5
#define ROUND_MS 20000

/* ---- chance ---- */

static uint64_t chance(struct volume *v)
{
	uint64_t x = v->random += 0x9e3779b97f4a7c15u; /* splitmix64 */
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}
uint32_t volume_below(struct volume *v, uint32_t n) { return (uint32_t)(chance(v) % n); }
bool volume_chance(struct volume *v, uint32_t ppm) { return ppm && volume_below(v, 1000000) < ppm; }

static void random_bytes(void *arg, void *out, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((unsigned char *)out)[i] = (unsigned char)chance(arg);
}

static struct wall wall_of(const struct volume *v)
{
	int64_t step = v->wall_step.ns && mono_reached(v->wall_step_at, v->now) ? v->wall_step.ns : 0;
	return (struct wall){v->now.ns + 1700000000LL * 1000000000 + step};
}

bool volume_is_stopped(const struct volume *v, int machine)
{
	const struct vmachine *m = &v->machines[machine];
	bool within = m->trouble_until.ns && mono_reached(m->trouble_at, v->now) && !mono_reached(m->trouble_until, v->now);
	return within && (!m->starved || v->now.ns / 1000000 % 200 < 180);
}

/* ---- messages: through the wire's encoder, in order ---- */

static void letter_put(struct volume *v, int to, const struct msg *m)
{
	if (v->letter_count == sizeof v->letters / sizeof *v->letters)
		return;
	struct buf b = {0};
	if (wire_encode(m, &b, NULL) == 0) {
		v->letters[v->letter_count].machine = to;
		v->letters[v->letter_count++].bytes = b;
	}
}

static void round_out(void *arg, struct member *to, const struct msg *m)
{
	struct volume *v = arg;
	for (size_t i = 0; i < v->machine_count; i++)
		if (v->machines[i].member == to && v->machines[i].heard)
			letter_put(v, (int)i, m);
}

static void on_arm(struct volume *v, int machine, const struct msg *m)
{
	struct vmachine *me = &v->machines[machine];
	const struct round_spec *spec = &m->u.round_arm;
	struct msg *armed = msg_new(MSG_ROUND_ARMED);
	struct msg_round_armed *a = &armed->u.round_armed;
	exec_free(me->exec);
	me->exec = exec_new(spec, v->now);
	me->unresolved = 0;
	a->round = spec->id;
	for (size_t i = 0; i < spec->point_count; i++) {
		struct point_status *st = &a->status[a->status_count++];
		*st = (struct point_status){.point = spec->points[i].id, .armed = me->captures};
		if (!me->captures)
			str_copy(st->why, sizeof st->why, "no right to capture");
		exec_armed(me->exec, st);
	}
	exec_looked(me->exec, &(struct looked){.looked = me->drops}, &(struct looked){.why = "not traced"});
	a->snapshot = snapshot_copy(me->s);
	letter_put(v, -1 - machine, armed);
	msg_free(armed);
}

static void on_end(struct volume *v, int machine)
{
	struct vmachine *me = &v->machines[machine];
	struct msg *out = msg_new(MSG_ROUND_RESULT);
	exec_result(me->exec, &out->u.round_result.result);
	out->u.round_result.result.health.steal_permille = -1;
	out->u.round_result.result.health.lag_us = me->lag_us;
	out->u.round_result.snapshot = snapshot_copy(me->s);
	letter_put(v, -1 - machine, out);
	msg_free(out);
	exec_free(me->exec);
	me->exec = NULL;
}

static void agent_told(struct volume *v, int machine, const struct msg *m)
{
	struct vmachine *me = &v->machines[machine];
	if (m->type == MSG_ROUND_ARM)
		on_arm(v, machine, m);
	else if (m->type == MSG_ROUND_GO && me->exec)
		exec_stage(me->exec, m->u.round_go.stage, v->now);
	else if (m->type == MSG_ROUND_END && me->exec)
		on_end(v, machine);
}

static void letters_deliver(struct volume *v)
{
	size_t kept = 0;                               /* for those that are stopped */
	for (size_t i = 0; i < v->letter_count; i++) { /* more may come meanwhile */
		int to = v->letters[i].machine;
		struct buf b = v->letters[i].bytes;
		if (to >= 0 && volume_is_stopped(v, to)) {
			v->letters[kept] = v->letters[i];
			kept++;
			continue;
		}
		struct msg *m = wire_decode(b.data, b.len, NULL);
		v->letters[i].bytes = (struct buf){0};
		if (m && to >= 0)
			agent_told(v, to, m);
		else if (m)
			round_message(v->round, v->machines[-1 - to].member, m, v->now);
		msg_free(m);
		buf_free(&b);
	}
	v->letter_count = kept;
}

/* ---- a round ---- */

/* Of its process: begins anew when that is its trouble, and notices how long it stood still. */
static void agent_wake(struct volume *v, int machine)
{
	struct vmachine *m = &v->machines[machine];
	if (volume_is_stopped(v, machine)) {
		m->stopped = m->stopped ? m->stopped : v->now.ns;
		if (m->restarts)
			exec_free(m->exec);
		m->exec = m->restarts ? NULL : m->exec;
	} else if (m->stopped) {
		uint32_t lag = (uint32_t)((v->now.ns - m->stopped) / 1000);
		m->lag_us = lag > m->lag_us ? lag : m->lag_us;
		m->stopped = 0;
	}
}

static void agent_step(struct volume *v, int machine)
{
	struct vmachine *m = &v->machines[machine];
	struct exec_probe due[64];
	enum stage stage;
	for (size_t n; (n = exec_due(m->exec, v->now, due, 64)) > 0;)
		for (size_t i = 0; i < n; i++)
			volume_probe(v, machine, &due[i]);
	for (uint8_t i = 0; i < 64 && m->unresolved; i++)
		if (m->unresolved >> i & 1)
			exec_unresolved(m->exec, i);
	m->unresolved = 0;
	if (!exec_stage_over(m->exec, v->now, &stage))
		return;
	struct stage_sum sum = exec_sum(m->exec, stage);
	struct msg *done = msg_new(MSG_STAGE_DONE);
	done->u.stage_done = (struct msg_stage_done){.round = exec_spec(m->exec)->id,
	                                             .stage = (uint8_t)stage,
	                                             .unanswered = exec_unanswered(m->exec, stage),
	                                             .silent = exec_silent(m->exec, stage),
	                                             .repeated = sum.repeated,
	                                             .rtt_us = sum.rtt_us};
	letter_put(v, -1 - machine, done);
	msg_free(done);
}

struct verdict *volume_diagnose(struct volume *v, const struct catalogue *c, int a, int b)
{
	struct round_ask ask = {.id = chance(v) | 1,
	                        .a = v->machines[a].member,
	                        .b = v->machines[b].member,
	                        .id_base = (uint16_t)(20000 + volume_below(v, 30000))};
	random_bytes(v, ask.key, sizeof ask.key);
	ask.well_at = (struct wall){wall_of(v).ns - 2000000000};
	v->round = round_new(&ask, v->fleet, round_out, v, v->now, NULL);
	for (int t = 0; v->round && t < ROUND_MS && !round_over(v->round); t += STEP_MS) {
		for (size_t i = 0; i < v->machine_count; i++)
			agent_wake(v, (int)i);
		volume_later(v);
		letters_deliver(v);
		for (size_t i = 0; i < v->machine_count; i++)
			if (v->machines[i].exec && !volume_is_stopped(v, (int)i))
				agent_step(v, (int)i);
		round_tick(v->round, v->now);
		v->now = mono_add_ms(v->now, STEP_MS);
	}
	if (!v->round)
		return NULL;
	struct dossier *d = mem_alloc(sizeof *d);
	round_dossier(v->round, v->fleet, v->planner, v->detect, wall_of(v), d);
	struct verdict *out = (v->why ? judge_why : judge)(c, d, round_took_ms(v->round), wall_of(v));
	dossier_clear(d);
	free(d);
	round_free(v->round);
	v->round = NULL;
	return out;
}

/* ---- a fleet that knows its machines ---- */

static void machine_tells(struct volume *v, struct vmachine *m)
{
	fleet_heard(v->fleet, m->member, HEARD_DIRECT, 0, v->now, wall_of(v));
	m->s->taken = wall_of(v);
	fleet_snapshot(v->fleet, m->member, snapshot_copy(m->s), wall_of(v));
}

void volume_tell(struct volume *v)
{
	for (size_t i = 0; i < v->machine_count; i++)
		if (v->machines[i].agent)
			machine_tells(v, &v->machines[i]);
}

void volume_enrol(struct volume *v)
{
	v->fleet = fleet_new();
	v->planner = planner_new(random_bytes, v);
	v->detect = detect_new();
	for (size_t i = 0; i < v->machine_count; i++) {
		struct vmachine *m = &v->machines[i];
		uint8_t key[KEY_LEN] = {(uint8_t)(i + 1)};
		if (!m->agent)
			continue;
		struct msg_hello hello = {.version_min = PROTOCOL_VERSION_MIN,
		                          .version_max = PROTOCOL_VERSION,
		                          .boot = 1,
		                          .next_report = 1,
		                          .probe_port = PROBE_PORT_DEFAULT};
		hello.rights = RIGHT_RAW | RIGHT_FIREWALL | (m->captures ? RIGHT_CAPTURE : 0u) | (m->drops ? RIGHT_DROPS : 0u);
		m->member = fleet_add(v->fleet, 0, m->name, m->tenant, m->kind, key);
		fleet_hello(v->fleet, m->member, &hello);
	}
	for (int times = 0; times < 2; times++)
		volume_tell(v);
}

void volume_dismiss(struct volume *v)
{
	planner_free(v->planner);
	detect_free(v->detect);
	fleet_free(v->fleet);
}
