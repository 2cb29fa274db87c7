/* spool: PURE. Numbered reports kept until acknowledged, bounded in bytes; the oldest go first when it is full, counted. */
#ifndef BW_AGENT_SPOOL_H
#define BW_AGENT_SPOOL_H

#include <stddef.h>
#include <stdint.h>

struct spool;
struct spool *spool_new(size_t max_bytes);
void spool_free(struct spool *s);
/* Numbers go on from here; for an empty spool only. */
void spool_begin(struct spool *s, uint64_t number);
uint64_t spool_next_number(const struct spool *s);             /* the number the next report must carry; from 1 */
void spool_put(struct spool *s, const void *data, size_t len); /* copied; takes spool_next_number */
void spool_ack(struct spool *s, uint64_t number);              /* this and all before are done */
/* The report after `number` (0 = the oldest): its bytes, or NULL. */
const void *spool_after(const struct spool *s, uint64_t number, uint64_t *found, size_t *len);
uint64_t spool_oldest(const struct spool *s); /* number of the oldest kept, or next number */
size_t spool_bytes(const struct spool *s);
uint32_t spool_dropped(const struct spool *s);

#endif
