#include "agent/spool.h"

#include "proto/base/mem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct report {
	size_t len;
	void *data;
};

struct spool {
	struct report *ring; /* `count` reports from `head` on, with rising numbers without a gap, ending before `next` */
	size_t head, count, cap;
	size_t bytes, max_bytes;
	uint64_t next;
	uint32_t dropped;
};

struct spool *spool_new(size_t max_bytes)
{
	struct spool *s = mem_alloc(sizeof *s);

	s->max_bytes = max_bytes;
	s->next = 1;
	return s;
}

static struct report *report_at(const struct spool *s, size_t i) { return &s->ring[(s->head + i) % s->cap]; }

static void front_drop(struct spool *s)
{
	struct report *r = report_at(s, 0);

	s->bytes -= r->len;
	free(r->data);
	s->head = (s->head + 1) % s->cap;
	s->count--;
}

void spool_free(struct spool *s)
{
	if (!s)
		return;
	while (s->count)
		front_drop(s);
	free(s->ring);
	free(s);
}

void spool_begin(struct spool *s, uint64_t number)
{
	assert(s->count == 0);
	s->next = number;
}

uint64_t spool_next_number(const struct spool *s) { return s->next; }

uint64_t spool_oldest(const struct spool *s) { return s->next - s->count; }

size_t spool_bytes(const struct spool *s) { return s->bytes; }

uint32_t spool_dropped(const struct spool *s) { return s->dropped; }

static void ring_grow(struct spool *s)
{
	size_t cap = s->cap ? s->cap * 2 : 16;
	struct report *ring = mem_array(cap, sizeof *ring);

	for (size_t i = 0; i < s->count; i++)
		ring[i] = *report_at(s, i);
	free(s->ring);
	s->ring = ring;
	s->cap = cap;
	s->head = 0;
}

void spool_put(struct spool *s, const void *data, size_t len)
{
	struct report *r;

	while (s->count && s->bytes + len > s->max_bytes) {
		front_drop(s);
		s->dropped++;
	}
	s->next++;
	if (len > s->max_bytes) { /* alone too big: everything before it went, and so does it */
		s->dropped++;
		return;
	}
	if (s->count == s->cap)
		ring_grow(s);
	r = report_at(s, s->count++);
	r->len = len;
	r->data = mem_array(len, 1);
	memcpy(r->data, data, len);
	s->bytes += len;
}

void spool_ack(struct spool *s, uint64_t number)
{
	while (s->count && spool_oldest(s) <= number)
		front_drop(s);
}

const void *spool_after(const struct spool *s, uint64_t number, uint64_t *found, size_t *len)
{
	uint64_t oldest = spool_oldest(s), want = number + 1 > oldest ? number + 1 : oldest;
	const struct report *r;

	if (number >= s->next || want >= s->next)
		return NULL;
	r = report_at(s, (size_t)(want - oldest));
	*found = want;
	*len = r->len;
	return r->data;
}
