/* gray: how long a small one-way loss lasts until a verdict says so. Two guests on two hosts, watched as in earnest; the loss
 * begins, a suspicion or a doubt is followed up by a deep round, as the collector would, until a verdict has the loss and its
 * direction. Then with one packet in ten thousand lost both ways: of that nobody may be told. Arguments: [SEED] [COUNT], so many of
 * each loss. Prints lines `value: NAME VALUE`; exit 1 when a median is above its goal, or what is well is called ill. */
#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>

#define SETTLE_MS 15000
#define LIMIT_MS  120000
#define HOLD_MS   5000 /* between two rounds */
#define WELL_PPM  100
#define WELL_MS   600000

struct trial {
	struct sim *s;
	int vm[2];
	int64_t suspected_ms, found_ms; /* -1 = never */
	unsigned rounds;
};

static bool verdict_has_it(const struct verdict *v, int dir)
{
	if (v->state == STATE_OK || v->state == STATE_UNDETERMINED)
		return false;
	for (int k = 0; k < KIND_COUNT; k++) {
		uint8_t c = v->dir[dir].delivery[k];
		if (c == CELL_PARTIAL || c == CELL_LOST)
			return true;
	}
	return v->dir[dir].quality.measured && v->dir[dir].quality.received < v->dir[dir].quality.sent;
}

static void loss_begins(struct trial *t, int dir, uint32_t ppm)
{
	struct hop_end path[SIM_PATH_MAX];
	world_path(t->s, t->vm[dir], t->vm[1 - dir], 1, path);
	net_fault_add(t->s, path[3], path[4], ~(kind_mask)0)->lose_ppm = ppm;
}

static bool looks(struct trial *t, int dir)
{
	struct verdict *v = collector_diagnose(t->s, t->vm[0], t->vm[1]);
	bool has = v && verdict_has_it(v, dir);
	t->rounds++;
	verdict_free(v);
	return has;
}

static void wait_for_it(struct trial *t, int dir)
{
	struct mono since = t->s->now, hold = t->s->now;
	size_t events = t->s->c.event_count, doubts = t->s->c.doubts;
	while (t->found_ms < 0 && mono_ms_since(since, t->s->now) < LIMIT_MS) {
		sim_run(t->s, 50);
		bool noticed = t->s->c.event_count > events || t->s->c.doubts > doubts;
		if (noticed && t->suspected_ms < 0)
			t->suspected_ms = mono_ms_since(since, t->s->now);
		if (!noticed || !mono_reached(hold, t->s->now))
			continue;
		events = t->s->c.event_count;
		doubts = t->s->c.doubts;
		if (looks(t, dir))
			t->found_ms = mono_ms_since(since, t->s->now);
		hold = mono_add_ms(t->s->now, HOLD_MS);
	}
}

static struct trial trial_new(uint64_t seed)
{
	struct trial t = {.s = sim_new(seed), .suspected_ms = -1, .found_ms = -1};
	int host[2] = {world_host(t.s, true), world_host(t.s, true)};
	for (int i = 0; i < 2; i++)
		t.vm[i] = world_guest(t.s, host[i], 1);
	t.s->watching = t.s->deep = true;
	world_start(t.s);
	sim_run(t.s, SETTLE_MS);
	return t;
}

static struct trial trial_run(uint64_t seed, uint32_t ppm)
{
	struct trial t = trial_new(seed);
	int dir = (int)(seed & 1);
	loss_begins(&t, dir, ppm);
	wait_for_it(&t, dir);
	sim_free(t.s);
	return t;
}

/* How often a pair that loses next to nothing is called ill. */
static unsigned alarms_of_well(uint64_t seed, size_t n)
{
	unsigned alarms = 0;
	size_t doubts = 0;
	for (size_t i = 0; i < n; i++) {
		struct trial t = trial_new(seed * 7000003 + i);
		loss_begins(&t, 0, WELL_PPM);
		loss_begins(&t, 1, WELL_PPM);
		sim_run(t.s, WELL_MS);
		for (size_t k = 0; k < t.s->c.event_count; k++)
			alarms += t.s->c.events[k].event.type == DETECT_SUSPECT;
		doubts += t.s->c.doubts;
		sim_free(t.s);
	}
	printf("well: %zu times %d s, %u alarms, %zu doubts\nvalue: gray_alarms %u\n", n, WELL_MS / 1000, alarms, doubts, alarms);
	return alarms;
}

static int by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

static int64_t quantile(int64_t *ms, size_t n, double q)
{
	qsort(ms, n, sizeof *ms, by_size);
	return ms[(size_t)((double)(n - 1) * q)];
}

/* False: the median is above the goal. */
static bool measure(uint64_t seed, size_t n, uint32_t ppm, const char *name, int64_t goal_ms)
{
	int64_t *found = mem_array(n, sizeof *found), *suspected = mem_array(n, sizeof *suspected);
	unsigned never = 0, rounds = 0;
	for (size_t i = 0; i < n; i++) {
		struct trial t = trial_run(seed * 1000003 + i, ppm);
		found[i] = t.found_ms < 0 ? LIMIT_MS : t.found_ms;
		suspected[i] = t.suspected_ms < 0 ? LIMIT_MS : t.suspected_ms;
		never += t.found_ms < 0;
		rounds += t.rounds;
	}
	int64_t p50 = quantile(found, n, .5), p99 = quantile(found, n, .99);
	printf("%s: %zu times, noticed after p50 %.2f s p99 %.2f s, found after p50 %.2f s p99 %.2f s, %u rounds, %u never\n", name,
	       n, (double)quantile(suspected, n, .5) / 1000, (double)quantile(suspected, n, .99) / 1000, (double)p50 / 1000,
	       (double)p99 / 1000, rounds, never);
	printf("value: %s_p50 %.3f\nvalue: %s_p99 %.3f\nvalue: %s_never %u\n", name, (double)p50 / 1000, name, (double)p99 / 1000,
	       name, never);
	free(found);
	free(suspected);
	return p50 <= goal_ms;
}

int main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	size_t n = argc > 2 ? strtoul(argv[2], NULL, 10) : 20;
	bool good = measure(seed, n, 50000, "gray_5", 5000);
	good &= measure(seed, n, 10000, "gray_1", 30000);
	good &= alarms_of_well(seed, n / 10 + 1) == 0;
	return !good;
}
