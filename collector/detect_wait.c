/* detect_wait: see the header. Removal leaves a hole; the tail moves over holes. */
#include "collector/detect_wait.h"

#include "proto/base/mem.h"

#include <stdlib.h>

#define CAP_MIN 64
#define NONE    UINT32_MAX

void wait_init(struct wait *w, size_t max) { *w = (struct wait){.max = max}; }

void wait_clear(struct wait *w)
{
	free(w->ring);
	free(w->buckets);
	*w = (struct wait){.max = w->max, .seed = w->seed};
}

static uint32_t *bucket_of(const struct wait *w, uint32_t pair, uint8_t dir, uint8_t kind, uint32_t epoch)
{
	uint64_t h = ((uint64_t)pair << 32 | epoch) ^ (uint64_t)(dir << 5 | kind) << 56;
	h = (h ^ w->seed) * 0x9e3779b97f4a7c15u;
	h = (h ^ h >> 32) * (w->seed | 1);
	return &w->buckets[(h >> 32) & (w->cap - 1)];
}

static uint32_t *bucket_of_entry(const struct wait *w, const struct waiting *e)
{
	return bucket_of(w, e->pair, e->dir, e->kind, e->epoch);
}

static void chain(struct wait *w, struct waiting *e)
{
	uint32_t *bucket = bucket_of_entry(w, e);
	e->next = *bucket;
	*bucket = (uint32_t)(e - w->ring);
}

static void unchain(struct wait *w, const struct waiting *e)
{
	uint32_t *at = bucket_of_entry(w, e);
	while (*at != (uint32_t)(e - w->ring))
		at = &w->ring[*at].next;
	*at = e->next;
}

size_t wait_count(const struct wait *w) { return w->head - w->tail; }

struct waiting *wait_at(struct wait *w, size_t i)
{
	struct waiting *e = &w->ring[(w->tail + i) & (w->cap - 1)];
	return e->used ? e : NULL;
}

static void buckets_reset(struct wait *w)
{
	free(w->buckets);
	w->buckets = mem_array(w->cap, sizeof(*w->buckets));
	for (size_t i = 0; i < w->cap; i++)
		w->buckets[i] = NONE;
}

static void grow(struct wait *w)
{
	struct wait old = *w;
	size_t count = 0;
	w->cap = old.cap ? old.cap * 2 : CAP_MIN;
	w->ring = mem_array(w->cap, sizeof(*w->ring));
	w->buckets = NULL;
	buckets_reset(w);
	for (size_t i = 0; i < wait_count(&old); i++) {
		const struct waiting *e = wait_at(&old, i);
		if (!e)
			continue;
		w->ring[count] = *e;
		chain(w, &w->ring[count++]);
	}
	w->tail = 0;
	w->head = count;
	free(old.ring);
	free(old.buckets);
}

static void skip_holes(struct wait *w)
{
	while (w->tail != w->head && !w->ring[w->tail & (w->cap - 1)].used)
		w->tail++;
}

void wait_remove(struct wait *w, struct waiting *e)
{
	unchain(w, e);
	e->used = false;
	skip_holes(w);
}

struct waiting *wait_add(struct wait *w, uint32_t pair, uint8_t dir, uint8_t kind, uint32_t epoch, struct mono at,
                         struct waiting *pushed)
{
	pushed->used = false;
	if (wait_count(w) == w->cap && w->cap < w->max)
		grow(w);
	if (wait_count(w) == w->cap) {
		struct waiting *oldest = &w->ring[w->tail & (w->cap - 1)]; /* never a hole: skip_holes */
		*pushed = *oldest;
		wait_remove(w, oldest);
	}
	struct waiting *e = &w->ring[w->head++ & (w->cap - 1)];
	*e = (struct waiting){.at = at, .pair = pair, .epoch = epoch, .dir = dir, .kind = kind, .used = true};
	chain(w, e);
	return e;
}

struct waiting *wait_find(struct wait *w, uint32_t pair, uint8_t dir, uint8_t kind, uint32_t epoch)
{
	if (!w->cap)
		return NULL;
	for (uint32_t i = *bucket_of(w, pair, dir, kind, epoch); i != NONE; i = w->ring[i].next) {
		struct waiting *e = &w->ring[i];
		if (e->pair == pair && e->dir == dir && e->kind == kind && e->epoch == epoch)
			return e;
	}
	return NULL;
}

void wait_expire(struct wait *w, struct mono limit)
{
	while (w->tail != w->head) {
		struct waiting *e = &w->ring[w->tail & (w->cap - 1)];
		if (!mono_before(e->at, limit))
			return;
		wait_remove(w, e);
	}
}
