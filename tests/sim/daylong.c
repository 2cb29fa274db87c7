/* daylong: a day of many pairs that are well and badly treated. What the watch of each pair would report is drawn by chance, not
 * packet by packet: one in ten thousand lost, reordered and doubled ones, observers without CPU, machines that stand still, whose
 * clocks jump, restarts of agents and of the collector. What is well changes nothing in detection that is at rest, and is left out:
 * quiet stretches, and beside a kind that is still remembered to have lost something the kinds that have not. A suspicion is
 * followed up as the collector would: a round in a network with that loss, late and doubled packets, and a machine that is treated
 * as badly. Arguments: [SEED] [PAIRS] [MINUTES]. */
#include "tests/sim/volume.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOSS_PPM      100
#define WIRES         5    /* of a way: together they lose that much */
#define LATE_PPM      1000 /* in rounds: overtaken by others */
#define COPIED_PPM    100
#define BEFORE_S      4  /* of a window around something: reports flow */
#define AFTER_S       30 /* ... until the test has forgotten it */
#define ALL_S         4  /* ... until the test of all kinds together has */
#define SETTLED_S     40 /* a collector that begins has learned what is usual */
#define ROUND_HOLD_S  30 /* after a round one does not ask again at once */
#define PROBES        10 /* per second of a small kind; large ones and TCP a quarter of it */
#define STEPS         4  /* reports per second */
#define MEMBERS       2
#define HAPPENS_EVERY 1800 /* seconds between two troubles of one machine */

enum trouble { NO_TROUBLE, NO_CPU, STANDS_STILL, RESTARTS, CLOCK_JUMPS, COLLECTOR_RESTARTS, TROUBLES };

struct day {
	struct volume chance; /* for its random numbers */
	struct detect *detect;
	struct mono now;
	uint32_t epoch[2][KIND_COUNT];
	kind_mask kinds;
	int quiet_after; /* second from which nothing needs to be looked at */
	int all_until;   /* second until which all kinds are told */
	int told_until[2][KIND_COUNT];
	enum trouble trouble[MEMBERS];
	int trouble_at[MEMBERS], trouble_until[MEMBERS];
	int hold_until;
	uint64_t suspicions, rounds, bad_rounds, sick, causes, lost, seconds, happened[TROUBLES];
};

static const struct catalogue *catalogue;

static bool is_rare(int kind) { return kind_info((enum kind)kind)->large || kind_info((enum kind)kind)->proto == PROTO_TCP; }

static void detect_begin(struct day *d)
{
	const kind_mask kinds[2] = {d->kinds, d->kinds};
	detect_free(d->detect);
	d->detect = detect_new();
	detect_seed(d->detect, volume_below(&d->chance, UINT32_MAX));
	detect_pair(d->detect, 0, 1, 2, kinds);
	detect_online(d->detect, 1, true, d->now);
	detect_online(d->detect, 2, true, d->now);
}

/* ---- rows ---- */

struct second { /* what happens in one: by direction and kind, how many are lost, copied, turned round */
	bool any;
	uint8_t lost[2][KIND_COUNT], copies[2][KIND_COUNT], order[2][KIND_COUNT];
};

static unsigned probes_of(const struct day *d, int kind, int dir) { return is_rare(kind) ? 2 + (d->epoch[dir][kind] & 1) : PROBES; }

/* How many of n are hit, each with that chance; the whole is rare. */
static uint8_t hits(struct day *d, unsigned n, uint32_t ppm)
{
	uint8_t k = 0;
	for (unsigned i = 0; i < n; i++)
		k += volume_chance(&d->chance, ppm);
	return k;
}

/* One draw for the whole second: most have nothing. */
static struct second second_draw(struct day *d, int at)
{
	struct second s = {0};
	unsigned total = 2 * (8 * PROBES + 4 * 3);
	if (!volume_chance(&d->chance, total * LOSS_PPM * 3))
		return s;
	int dir = (int)volume_below(&d->chance, 2), kind = (int)volume_below(&d->chance, KIND_SERVICE);
	if (!(d->kinds & KIND_BIT(kind)) || (is_rare(kind) && volume_below(&d->chance, 4)))
		return s;
	uint32_t what = volume_below(&d->chance, 3);
	uint8_t n = (uint8_t)(1 + hits(d, 1, 20000));
	s.any = true;
	s.lost[dir][kind] = what == 0 ? n : 0;
	s.copies[dir][kind] = what == 1 ? n : 0;
	s.order[dir][kind] = what == 2 ? n : 0;
	d->lost += s.lost[dir][kind];
	d->told_until[dir][kind] = at + AFTER_S;
	return s;
}

static struct watch_row row_sent(struct day *d, int dir, int kind, const struct second *s)
{
	struct watch_row r = {
	    .dir = (uint8_t)dir, .kind = (uint8_t)kind, .sender = true, .epoch = d->epoch[dir][kind], .wants_answer = true};
	r.sent = (uint8_t)probes_of(d, kind, dir);
	r.rtt_us = 300 + volume_below(&d->chance, 200);
	uint8_t asked = watch_row_asked(&r), lost = s->lost[dir][kind];
	r.answered = (uint8_t)(lost < asked ? asked - lost : 0);
	return r;
}

static struct watch_row row_seen(struct day *d, int dir, int kind, const struct second *s)
{
	struct watch_row r = {.dir = (uint8_t)dir, .kind = (uint8_t)kind, .epoch = d->epoch[dir][kind]};
	unsigned n = probes_of(d, kind, dir);
	r.seen = ((seqset)1 << n) - 1;
	for (unsigned i = 0; i < s->lost[dir][kind]; i++)
		r.seen &= ~((seqset)1 << volume_below(&d->chance, n));
	r.duplicated = s->copies[dir][kind];
	r.reordered = s->order[dir][kind];
	return r;
}

static bool is_told(const struct day *d, int second, int dir, int kind)
{
	return d->kinds & KIND_BIT(kind) && (second < d->all_until || second < d->told_until[dir][kind]);
}

/* A report of one machine: what it sent, and what it saw of the other. Who had no CPU saw less and says so; who stands still is
 * silent and tells later. */
static void report(struct day *d, int second, int member, const struct second *s, bool whole)
{
	struct watch_row rows[2 * KIND_COUNT];
	struct health h = {.steal_permille = -1};
	size_t n = 0;
	for (int k = 0; whole && k < KIND_SERVICE; k++) {
		if (is_told(d, second, member, k))
			rows[n++] = row_sent(d, member, k, s);
		if (!is_told(d, second, 1 - member, k))
			continue;
		rows[n] = row_seen(d, 1 - member, k, s);
		if (d->trouble[member] == NO_CPU && volume_below(&d->chance, 3) == 0) {
			rows[n].seen &= rows[n].seen << 3;
			h.lag_us = 600000;
			h.socket_drops = 3;
		}
		n++;
	}
	if (d->trouble[member] == NO_CPU && !h.lag_us)
		h.lag_us = 150000 + volume_below(&d->chance, 600000);
	if (d->trouble[member] == CLOCK_JUMPS)
		h.clock_step_us = member ? 3600000000 : -3600000000;
	detect_rows(d->detect, (uint32_t)member + 1, rows, n, &h, d->now);
}

/* ---- troubles ---- */

static bool is_silent(const struct day *d, int member)
{
	return d->trouble[member] == STANDS_STILL || d->trouble[member] == RESTARTS;
}

static void trouble_ends(struct day *d, int member)
{
	bool anew = d->trouble[member] == RESTARTS;
	if (anew) {
		detect_restarted(d->detect, (uint32_t)member + 1, d->now);
		for (int k = 0; k < KIND_COUNT; k++)
			d->epoch[member][k] += 1000; /* chosen anew by chance */
	}
	detect_online(d->detect, (uint32_t)member + 1, true, d->now);
	d->trouble[member] = NO_TROUBLE;
}

static void live(struct day *d, int until, int all_until)
{
	d->quiet_after = d->quiet_after > until ? d->quiet_after : until;
	d->all_until = d->all_until > all_until ? d->all_until : all_until;
}

static void trouble_begins(struct day *d, int second, int member)
{
	d->trouble[member] = (enum trouble)(1 + volume_below(&d->chance, TROUBLES - 1));
	d->trouble_until[member] = second + 1 + (int)volume_below(&d->chance, 10);
	d->trouble_at[member] = second + 1 + (int)volume_below(&d->chance, 2 * HAPPENS_EVERY);
	d->happened[d->trouble[member]]++;
	live(d, second + SETTLED_S, second + SETTLED_S);
	if (d->trouble[member] != COLLECTOR_RESTARTS)
		return;
	detect_begin(d);
	d->trouble[member] = NO_TROUBLE;
}

static void troubles_step(struct day *d, int second)
{
	for (int m = 0; m < MEMBERS; m++) {
		if (d->trouble[m] && second >= d->trouble_until[m])
			trouble_ends(d, m);
		else if (!d->trouble[m] && second >= d->trouble_at[m])
			trouble_begins(d, second, m);
	}
}

/* ---- what the collector does ---- */

/* One of the machines of a round is treated as badly as others in its day. */
static void treat_badly(struct volume *v, int machine)
{
	struct vmachine *m = &v->machines[machine];
	uint32_t what = volume_below(v, 5);
	m->trouble_at = mono_add_ms(v->now, 1 + volume_below(v, 600));
	m->trouble_until = mono_add_ms(m->trouble_at, 100 + volume_below(v, 9900));
	m->starved = what == 0;
	m->restarts = what == 1;
	if (what == 2)
		m->trouble_until = m->trouble_at;
	v->wall_step.ns = what == 2 ? (volume_below(v, 2) ? 1 : -1) * 3600000000000 : 0;
	v->wall_step_at = m->trouble_at;
}

/* A round between two machines of some network with that loss everywhere. */
static struct verdict *round_run(struct volume *v, bool bad)
{
	int a, b;
	volume_build(v, &a, &b);
	volume_enrol(v);
	for (size_t i = 0; i < v->machine_count; i++)
		for (size_t k = 0; k <= V_LINKS; k++) {
			struct wire *w = &v->machines[i].wire[k];
			w->lose_ppm = LOSS_PPM / WIRES;
			w->late_ppm = LATE_PPM;
			w->copy_ppm = COPIED_PPM;
		}
	if (bad) {
		const int who[] = {a, b, v->machines[a].host, v->machines[b].host};
		treat_badly(v, who[volume_below(v, 4)]);
	}
	return volume_diagnose(v, catalogue, a, b);
}

/* A round that happened to lose something may say so, but name nothing. */
static void tell_sick(struct day *d, const struct verdict *got, uint64_t seed, bool bad)
{
	d->sick++;
	printf("round %llu%s: %s: %s\n", (unsigned long long)seed, bad ? " (bad)" : "", state_name(got->state), got->sentence);
}

static void follow_up(struct day *d)
{
	struct volume *v = mem_alloc(sizeof *v);
	bool bad = volume_below(&d->chance, 2);
	uint64_t seed = v->random = d->chance.random;
	v->now.ns = 1000000000;
	struct verdict *got = round_run(v, bad);
	d->rounds++;
	d->bad_rounds += bad;
	if (got && got->state != STATE_OK && got->state != STATE_UNDETERMINED)
		tell_sick(d, got, seed, bad);
	for (size_t i = 0; got && i < got->cause_count; i++) {
		printf("a cause in a healthy network, round %llu%s: %s at %s\n", (unsigned long long)seed, bad ? " (bad)" : "",
		       got->causes[i].id, got->causes[i].where);
		d->causes++;
	}
	verdict_free(got);
	volume_dismiss(v);
	volume_clear(v);
	free(v);
	detect_anew(d->detect, 0);
}

static void look(struct day *d, int second)
{
	struct detect_event e[4];
	size_t n = detect_tick(d->detect, d->now, e, 4);
	for (size_t i = 0; i < n; i++) {
		d->suspicions += e[i].type == DETECT_SUSPECT;
		if (e[i].type == DETECT_WELL || second < d->hold_until)
			continue;
		follow_up(d);
		d->hold_until = second + ROUND_HOLD_S;
	}
}

/* One second with everybody's reports. */
static void second_live(struct day *d, int second, const struct second *s)
{
	for (int step = 0; step < STEPS; step++) {
		d->now = mono_add_ms(d->now, 1000 / STEPS);
		for (int m = 0; m < MEMBERS; m++)
			if (!is_silent(d, m))
				report(d, second, m, s, step == 0);
		look(d, second);
	}
	for (int dir = 0; dir < 2; dir++)
		for (int k = 0; k < KIND_COUNT; k++)
			d->epoch[dir][k] += d->trouble[dir] != STANDS_STILL;
	d->seconds++;
}

static void pair_day(struct day *d, int seconds)
{
	struct second ahead[BEFORE_S] = {{0}};
	d->now.ns = 1000000000;
	d->kinds = (1u << KIND_SERVICE) - 1;
	d->quiet_after = d->all_until = SETTLED_S;
	d->hold_until = 0;
	memset(d->trouble, 0, sizeof d->trouble);
	memset(d->told_until, 0, sizeof d->told_until);
	for (int m = 0; m < MEMBERS; m++)
		d->trouble_at[m] = (int)volume_below(&d->chance, 2 * HAPPENS_EVERY);
	detect_begin(d);
	for (int t = 0; t < seconds; t++) {
		struct second now = ahead[t % BEFORE_S];
		ahead[t % BEFORE_S] = second_draw(d, t + BEFORE_S);
		if (ahead[t % BEFORE_S].any)
			live(d, t + BEFORE_S + AFTER_S, 0);
		if (now.any)
			live(d, 0, t + ALL_S);
		troubles_step(d, t);
		if (t < d->quiet_after)
			second_live(d, t, &now);
		else
			d->now = mono_add_ms(d->now, 1000);
	}
	detect_free(d->detect);
	d->detect = NULL;
}

int main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	unsigned pairs = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 100;
	int minutes = argc > 3 ? atoi(argv[3]) : 60;
	struct day *d = mem_alloc(sizeof *d);
	struct err e = {0};
	struct catalogue *c = catalogue_builtin(&e);
	if (!c) {
		fprintf(stderr, "daylong: %s\n", e.text);
		return 1;
	}
	catalogue = c;
	d->chance.random = seed;
	for (unsigned i = 0; i < pairs; i++)
		pair_day(d, 60 * minutes);
	printf(
	    "%u pairs, %d minutes each: %llu packets lost, %llu suspicions, %llu rounds, %llu causes; %llu s looked at closely\n",
	    pairs, minutes, (unsigned long long)d->lost, (unsigned long long)d->suspicions, (unsigned long long)d->rounds,
	    (unsigned long long)d->causes, (unsigned long long)d->seconds);
	printf(
	    "observers without CPU %llu, standing still %llu, restarts %llu, jumps of clocks %llu, restarts of the collector %llu; "
	    "%llu of the rounds treated as badly\n",
	    (unsigned long long)d->happened[NO_CPU], (unsigned long long)d->happened[STANDS_STILL],
	    (unsigned long long)d->happened[RESTARTS], (unsigned long long)d->happened[CLOCK_JUMPS],
	    (unsigned long long)d->happened[COLLECTOR_RESTARTS], (unsigned long long)d->bad_rounds);
	printf(
	    "value: pair_hours %.1f\nvalue: asked_pair_hours %.1f\nvalue: suspicions %llu\nvalue: sick %llu\nvalue: causes %llu\n",
	    pairs * (minutes / 60.0), pairs * (minutes / 60.0), (unsigned long long)d->suspicions, (unsigned long long)d->sick,
	    (unsigned long long)d->causes);
	int rc = d->causes != 0;
	free(d);
	catalogue_free(c);
	return rc;
}
