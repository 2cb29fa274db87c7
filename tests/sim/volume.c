/* volume: thousands of random networks, one fault in each, a round, its verdict, and what should have been said. Ends with a table
 * per cause and figures as lines `value: NAME VALUE`. Arguments: [SEED] [COUNT] [NAME], NAME: only that fault, "cause/name"; each
 * wrong one is told. Exit 1 when more is wrong than may be. */
#include "tests/sim/volume.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WRONG_PERMILLE_MAX 5
#define STEP_MS            5
#define ROUND_MS           20000

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

static struct wall wall_of(const struct volume *v) { return (struct wall){v->now.ns + 1700000000LL * 1000000000}; }

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
	for (size_t i = 0; i < v->letter_count; i++) { /* more may come meanwhile */
		int to = v->letters[i].machine;
		struct buf b = v->letters[i].bytes;
		struct msg *m = wire_decode(b.data, b.len, NULL);
		v->letters[i].bytes = (struct buf){0};
		if (m && to >= 0)
			agent_told(v, to, m);
		else if (m)
			round_message(v->round, v->machines[-1 - to].member, m, v->now);
		msg_free(m);
		buf_free(&b);
	}
	v->letter_count = 0;
}

/* ---- a round ---- */

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

static struct verdict *diagnosed(struct volume *v, const struct catalogue *c, int a, int b)
{
	struct round_ask ask = {.id = chance(v) | 1,
	                        .a = v->machines[a].member,
	                        .b = v->machines[b].member,
	                        .id_base = (uint16_t)(20000 + volume_below(v, 30000))};
	random_bytes(v, ask.key, sizeof ask.key);
	ask.well_at = (struct wall){wall_of(v).ns - 2000000000};
	v->round = round_new(&ask, v->fleet, round_out, v, v->now, NULL);
	for (int t = 0; v->round && t < ROUND_MS && !round_over(v->round); t += STEP_MS) {
		letters_deliver(v);
		for (size_t i = 0; i < v->machine_count; i++)
			if (v->machines[i].exec)
				agent_step(v, (int)i);
		round_tick(v->round, v->now);
		v->now = mono_add_ms(v->now, STEP_MS);
	}
	if (!v->round)
		return NULL;
	struct dossier *d = mem_alloc(sizeof *d);
	round_dossier(v->round, v->fleet, v->planner, v->detect, wall_of(v), d);
	struct verdict *out = judge(c, d, round_took_ms(v->round), wall_of(v));
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

static void fleet_fill(struct volume *v)
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
		for (size_t i = 0; i < v->machine_count; i++)
			if (v->machines[i].agent)
				machine_tells(v, &v->machines[i]);
}

static void fleet_empty(struct volume *v)
{
	planner_free(v->planner);
	detect_free(v->detect);
	fleet_free(v->fleet);
}

/* ---- counting ---- */

struct count {
	unsigned runs, right, wrong, undetermined, direction_right, direction_judged, where_right, where_judged, cut_right,
	    cut_judged;
};

static void count_add(struct count *to, const struct count *c)
{
	unsigned *t = (unsigned *)to;
	const unsigned *f = (const unsigned *)c;
	for (size_t i = 0; i < sizeof *c / sizeof *t; i++)
		t[i] += f[i];
}

static bool cut_is_there(const struct verdict *v, const struct truth *t)
{
	char text[POINT_NAME_MAX];
	for (int dir = 0; dir < 2; dir++) {
		for (size_t i = 0; i < v->dir[dir].cut_count; i++) {
			const struct direction *d = &v->dir[dir];
			const struct cut *c = &d->cuts[i];
			if (!strcmp(path_point_name(&d->path[c->after], text), t->after) &&
			    !strcmp(path_point_name(&d->path[c->before], text), t->before))
				return true;
		}
	}
	return false;
}

static void judge_right(struct volume *v, const struct verdict *got, const struct truth *t, const struct cause *first,
                        struct count *n)
{
	if (t->where >= 0) {
		n->where_judged++;
		n->where_right += !strcmp(first->where ? first->where : "", v->machines[t->where].name);
	}
	if (t->direction >= 0) {
		char want[2 * TITLE_MAX_LEN + 4];
		const struct direction *d = &got->dir[t->direction % 2];
		snprintf(want, sizeof want, "%s->%s", d->from, d->to);
		n->direction_judged++;
		n->direction_right += !strcmp(first->direction ? first->direction : "", t->direction == 2 ? "both" : want);
	}
	if (t->after[0] && v->machines[1].captures) {
		n->cut_judged++;
		n->cut_right += cut_is_there(got, t);
	}
}

static bool causes_are(const struct verdict *v, const char *id)
{
	for (size_t i = 0; i < v->cause_count; i++)
		if (strcmp(v->causes[i].id, id) != 0)
			return false;
	return v->cause_count > 0;
}

/* What was said of what is true. */
static struct count verdict_judge(struct volume *v, const struct verdict *got, const struct truth *t)
{
	struct count n = {.runs = 1};
	if (!t->cause) {
		n.right = got->cause_count == 0;
		n.wrong = got->cause_count != 0;
	} else if (!got->cause_count) {
		n.undetermined = 1;
	} else if (causes_are(got, t->cause)) {
		n.right = 1;
		judge_right(v, got, t, &got->causes[0], &n);
	} else {
		n.wrong = 1;
	}
	return n;
}

static void tell(const struct volume *v, uint64_t seed, const struct volume_fault *f, const struct truth *t,
                 const struct verdict *got)
{
	static const char *const names[] = {"bridged", "routed", "vxlan"};
	printf("seed %llu %s: %s/%s at %s, %s %s: state %s:", (unsigned long long)seed, names[v->topology],
	       f->cause ? f->cause : "none", f->name, t->where >= 0 ? v->machines[t->where].name : "-", got->a, got->b,
	       state_name(got->state));
	for (size_t i = 0; i < got->cause_count; i++)
		printf(" %s at %s %s", got->causes[i].id, got->causes[i].where, got->causes[i].direction);
	for (int dir = 0; dir < 2; dir++)
		for (size_t i = 0; i < got->dir[dir].cut_count; i++) {
			char a[POINT_NAME_MAX], b[POINT_NAME_MAX], k[KINDS_TEXT_MAX];
			const struct cut *c = &got->dir[dir].cuts[i];
			printf("\n    cut %s | %s: %s", path_point_name(&got->dir[dir].path[c->after], a),
			       path_point_name(&got->dir[dir].path[c->before], b), kinds_text(c->kinds, k, sizeof k));
		}
	for (size_t i = 0; i < got->note_count; i++)
		printf("\n    note %s", got->notes[i]);
	putchar('\n');
}

/* ---- one of thousands ---- */

/* False: this fault makes no sense in this network. */
static bool run_one(const struct catalogue *c, const struct volume_fault *f, uint64_t seed, bool verbose, struct count *out)
{
	struct volume *v = mem_alloc(sizeof *v);
	struct truth t = {.cause = f->cause, .where = -1, .direction = -1};
	int a, b;
	v->random = seed;
	v->now.ns = 1000000000;
	volume_build(v, &a, &b);
	fleet_fill(v);
	v->now = mono_add_ms(v->now, 1000);
	int end = (int)volume_below(v, 2);
	bool sense = f->inject(v, &(struct victim){.machine = end ? b : a, .peer = end ? a : b, .end = end}, &t);
	if (sense && t.cause && !t.cause[0])
		t.cause = NULL;
	if (sense) {
		struct verdict *got = diagnosed(v, c, a, b);
		*out = got ? verdict_judge(v, got, &t) : (struct count){.runs = 1, .undetermined = 1};
		if (got && (verbose || out->wrong || out->undetermined || out->direction_right < out->direction_judged ||
		            out->where_right < out->where_judged || out->cut_right < out->cut_judged))
			tell(v, seed, f, &t, got);
		verdict_free(got);
	}
	fleet_empty(v);
	volume_clear(v);
	free(v);
	return sense;
}

static void line(const char *cause, const char *name, const struct count *n)
{
	printf("%-30s %-20s %6u %6u %6u %6u   where %u/%u direction %u/%u cut %u/%u\n", cause, name, n->runs, n->right, n->wrong,
	       n->undetermined, n->where_right, n->where_judged, n->direction_right, n->direction_judged, n->cut_right,
	       n->cut_judged);
}

static double percent(unsigned part, unsigned whole) { return whole ? 100.0 * part / whole : 0; }

static int report(const struct count *each)
{
	struct count all = {0};
	unsigned kinds = 0;
	printf("%-30s %-20s %6s %6s %6s %6s\n", "cause", "fault", "runs", "right", "wrong", "undet.");
	for (size_t i = 0; i < volume_fault_count; i++) {
		if (!each[i].runs)
			continue;
		line(volume_faults[i].cause ? volume_faults[i].cause : "none", volume_faults[i].name, &each[i]);
		count_add(&all, &each[i]);
		kinds++;
	}
	line("all", "", &all);
	printf("value: injected %u\nvalue: kinds %u\nvalue: right_first %.3f\nvalue: wrong_cause %.3f\n", all.runs, kinds,
	       percent(all.right, all.runs), percent(all.wrong, all.runs));
	printf("value: where_right %.3f\nvalue: direction_right %.3f\nvalue: cut_right %.3f\n",
	       percent(all.where_right, all.where_judged), percent(all.direction_right, all.direction_judged),
	       percent(all.cut_right, all.cut_judged));
	return all.wrong * 1000 > all.runs * WRONG_PERMILLE_MAX;
}

int main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	unsigned count = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 300, done = 0;
	struct err e = {0};
	struct catalogue *c = catalogue_builtin(&e);
	struct count *each = mem_array(volume_fault_count, sizeof *each);
	char name[128];
	if (!c) {
		fprintf(stderr, "volume: %s\n", e.text);
		return 1;
	}
	for (uint64_t k = 0; done < count && k < 50ull * count; k++) {
		size_t at = k % volume_fault_count;
		struct count n = {0};
		snprintf(name, sizeof name, "%s/%s", volume_faults[at].cause ? volume_faults[at].cause : "none",
		         volume_faults[at].name);
		if (argc > 3 && !strstr(name, argv[3]))
			continue;
		if (run_one(c, &volume_faults[at], seed * 1000003 + k, argc > 4, &n)) {
			count_add(&each[at], &n);
			done++;
		}
	}
	catalogue_free(c);
	int rc = report(each);
	free(each);
	return rc;
}
