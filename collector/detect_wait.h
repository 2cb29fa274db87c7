/* detect_wait: rows of one side that wait for the other side's: a ring in order of arrival with an index over it. */
#ifndef BW_COLLECTOR_DETECT_WAIT_H
#define BW_COLLECTOR_DETECT_WAIT_H

#include "proto/base/mono.h"
#include "proto/model/observation.h"

struct waiting {
	struct mono at; /* when it came */
	uint64_t seen;  /* receiver's rows: the bitmap; sender's: the sequences to look for */
	uint32_t pair, epoch;
	uint32_t next; /* in its chain */
	uint8_t dir, kind;
	bool used;
	bool judged; /* sender's rows: taken for lost; kept to take that back */
	bool unfit;  /* receiver's rows: what is missing in them proves nothing; sender's: nor did its judgement */
};

struct wait {
	struct waiting *ring;   /* capacity a power of two */
	size_t cap, head, tail; /* [tail, head) modulo cap is occupied, holes included */
	uint32_t *buckets;      /* cap of them */
	size_t max;             /* of cap */
	uint64_t seed;          /* of the index: who reports must not choose what collides */
};

void wait_init(struct wait *w, size_t max);
void wait_clear(struct wait *w);
/* A fresh entry; valid until the next call. When the ring is full the oldest goes: it is copied to *pushed, else pushed->used is
 * false. */
struct waiting *wait_add(struct wait *w, uint32_t pair, uint8_t dir, uint8_t kind, uint32_t epoch, struct mono at,
                         struct waiting *pushed);
struct waiting *wait_find(struct wait *w, uint32_t pair, uint8_t dir, uint8_t kind, uint32_t epoch); /* NULL if none */
void wait_remove(struct wait *w, struct waiting *e);
/* Removes what came before `limit`. */
void wait_expire(struct wait *w, struct mono limit);
size_t wait_count(const struct wait *w); /* holes included */
/* The i-th of wait_count; NULL for a hole. */
struct waiting *wait_at(struct wait *w, size_t i);

#endif
