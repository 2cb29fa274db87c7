/* sim: clock, events, chance. */
#include "tests/sim/sim.h"

#include <assert.h>
#include <stdlib.h>

struct sim_event {
	struct mono at;
	uint64_t order;
	void (*run)(struct sim *s, const void *what);
	void *what;
};

uint64_t sim_random(struct sim *s)
{
	uint64_t x = s->random += 0x9e3779b97f4a7c15u; /* splitmix64 */
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

uint32_t sim_below(struct sim *s, uint32_t n) { return (uint32_t)(sim_random(s) % n); }
bool sim_chance(struct sim *s, uint32_t ppm) { return ppm && sim_below(s, 1000000) < ppm; }
struct wall sim_wall(const struct sim *s) { return (struct wall){s->now.ns + s->wall_offset.ns}; }

struct sim *sim_new(uint64_t seed)
{
	struct sim *s = mem_alloc(sizeof *s);
	s->random = seed;
	s->now.ns = 1000000000;
	s->wall_offset.ns = 1700000000LL * 1000000000;
	s->segment_count = 1;
	return s;
}

void sim_free(struct sim *s)
{
	collector_stop(s);
	for (size_t i = 0; i < s->machine_count; i++)
		agent_close(s, (int)i);
	for (size_t i = 0; i < s->heap_count; i++)
		free(s->heap[i].what);
	free(s->heap);
	free(s);
}

/* ---- events ---- */

static bool event_before(const struct sim_event *a, const struct sim_event *b)
{
	return a->at.ns < b->at.ns || (a->at.ns == b->at.ns && a->order < b->order);
}

static void heap_swap(struct sim *s, size_t a, size_t b)
{
	struct sim_event t = s->heap[a];
	s->heap[a] = s->heap[b];
	s->heap[b] = t;
}

void sim_at(struct sim *s, struct mono at, void (*run)(struct sim *s, const void *what), const void *what, size_t len)
{
	struct sim_event *e = VEC_ADD(s->heap, s->heap_count, s->heap_cap);
	*e = (struct sim_event){.at = at, .order = s->order++, .run = run, .what = mem_alloc(len)};
	memcpy(e->what, what, len);
	for (size_t i = s->heap_count - 1; i > 0 && event_before(&s->heap[i], &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
		heap_swap(s, i, (i - 1) / 2);
}

static struct sim_event event_take(struct sim *s)
{
	struct sim_event first = s->heap[0];
	s->heap[0] = s->heap[--s->heap_count];
	for (size_t i = 0, child; (child = 2 * i + 1) < s->heap_count; i = child) {
		if (child + 1 < s->heap_count && event_before(&s->heap[child + 1], &s->heap[child]))
			child++;
		if (!event_before(&s->heap[child], &s->heap[i]))
			break;
		heap_swap(s, i, child);
	}
	return first;
}

static void events_until(struct sim *s, struct mono until)
{
	while (s->heap_count && !mono_before(until, s->heap[0].at)) {
		struct sim_event e = event_take(s);
		s->now = e.at;
		e.run(s, e.what);
		free(e.what);
	}
	s->now = until;
}

/* ---- the clock ---- */

static void tick(struct sim *s)
{
	events_until(s, mono_add_ms(s->now, SIM_TICK_MS));
	for (size_t i = 0; i < s->machine_count; i++)
		agent_tick(s, (int)i);
	collector_tick(s);
}

void sim_run(struct sim *s, int64_t ms)
{
	for (int64_t t = 0; t < ms; t += SIM_TICK_MS)
		tick(s);
}

bool sim_run_until(struct sim *s, bool (*done)(struct sim *s), int64_t max_ms)
{
	for (int64_t t = 0; t < max_ms && !done(s); t += SIM_TICK_MS)
		tick(s);
	return done(s);
}
