/* records: what the rounds that are over were judged from, for bundles and replays. The newest of all rounds are kept in memory,
 * those of problems also in the store, where they survive a restart; both within bounds, compressed. */
#ifndef BW_COLLECTOR_RECORDS_H
#define BW_COLLECTOR_RECORDS_H

#include "collector/store.h"
#include "proto/record.h"

#define RECORDS_MEMORY_MAX       64
#define RECORDS_MEMORY_BYTES_MAX (16 << 20)

struct records;

struct records *records_new(struct store *s);
void records_free(struct records *r); /* NULL is fine */
/* A round of agents a and b that is over. One that is too large to be kept is left out. */
void records_keep(struct records *r, const struct record *record, uint32_t a, uint32_t b, bool problem);
/* The caller owns the result. NULL: not kept (any more), or unreadable; the reason is in `e`. What waits to be stored is found,
 * too. */
struct record *records_get(struct records *r, uint64_t round, struct err *e);

#endif
