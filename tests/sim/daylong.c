/* daylong: a day of many pairs that are well and badly treated. What the watch of each pair would report is drawn by chance, not
 * packet by packet: one in ten thousand lost, reordered and doubled ones, observers without CPU, machines that stand still,
 * restarts of agents and of the collector. Quiet stretches, which change nothing in detection, are left out. A suspicion is
 * followed up as the collector would: a round in a network with that loss. Arguments: [SEED] [PAIRS] [MINUTES]. */
#include "tests/sim/volume.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOSS_PPM      100
#define BEFORE_S      4  /* of a window around something: reports flow */
#define AFTER_S       30 /* ... until the test has forgotten it */
#define ROUND_HOLD_S  30 /* after a round one does not ask again at once */
#define PROBES        10 /* per second of a small kind; large ones and TCP a quarter of it */
#define STEPS         4  /* reports per second */
#define MEMBERS       2
#define HAPPENS_EVERY 1800 /* seconds between two troubles of one machine */

enum trouble { NO_TROUBLE, NO_CPU, STANDS_STILL, RESTARTS, COLLECTOR_RESTARTS, TROUBLES };

struct day {
	struct volume chance; /* for its random numbers */
	struct detect *detect;
	struct mono now;
	uint32_t epoch[2][KIND_COUNT];
	kind_mask kinds;
	int quiet_after; /* second from which nothing needs to be looked at */
	enum trouble trouble[MEMBERS];
	int trouble_until[MEMBERS];
	int hold_until;
	uint64_t suspicions, rounds, causes, lost, seconds;
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
static struct second second_draw(struct day *d)
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

/* A report of one machine: what it sent, and what it saw of the other. Who had no CPU saw less and says so; who stands still is
 * silent and tells later. */
static void report(struct day *d, int member, const struct second *s, bool whole)
{
	struct watch_row rows[2 * KIND_COUNT];
	struct health h = {.steal_permille = -1};
	size_t n = 0;
	for (int k = 0; whole && k < KIND_SERVICE; k++) {
		if (!(d->kinds & KIND_BIT(k)))
			continue;
		rows[n++] = row_sent(d, member, k, s);
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

static void trouble_begins(struct day *d, int second, int member)
{
	d->trouble[member] = (enum trouble)(1 + volume_below(&d->chance, TROUBLES - 1));
	d->trouble_until[member] = second + 1 + (int)volume_below(&d->chance, 10);
	d->quiet_after = second + AFTER_S;
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
		else if (!d->trouble[m] && volume_below(&d->chance, HAPPENS_EVERY) == 0)
			trouble_begins(d, second, m);
	}
}

/* ---- what the collector does ---- */

/* A round between two machines of some network with that loss everywhere. */
static void follow_up(struct day *d)
{
	struct volume *v = mem_alloc(sizeof *v);
	int a, b;
	v->random = d->chance.random;
	v->now.ns = 1000000000;
	volume_build(v, &a, &b);
	volume_enrol(v);
	for (size_t i = 0; i < v->machine_count; i++)
		for (size_t k = 0; k <= V_LINKS; k++)
			v->machines[i].wire[k].lose_ppm = LOSS_PPM;
	struct verdict *got = volume_diagnose(v, catalogue, a, b);
	d->rounds++;
	for (size_t i = 0; got && i < got->cause_count; i++) {
		printf("a cause in a healthy network: %s at %s\n", got->causes[i].id, got->causes[i].where);
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
				report(d, m, s, step == 0);
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
	d->quiet_after = AFTER_S;
	d->hold_until = 0;
	memset(d->trouble, 0, sizeof d->trouble);
	detect_begin(d);
	for (int t = 0; t < seconds; t++) {
		struct second now = ahead[t % BEFORE_S];
		ahead[t % BEFORE_S] = second_draw(d);
		if (ahead[t % BEFORE_S].any)
			d->quiet_after = t + BEFORE_S + AFTER_S;
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
	printf("value: pair_hours %.1f\nvalue: asked_pair_hours %.1f\nvalue: suspicions %llu\nvalue: causes %llu\n",
	       pairs * (minutes / 60.0), pairs * (minutes / 60.0), (unsigned long long)d->suspicions,
	       (unsigned long long)d->causes);
	int rc = d->causes != 0;
	free(d);
	catalogue_free(c);
	return rc;
}
