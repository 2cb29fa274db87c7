/* words: PURE. What routers said lately, by ICMP, of probes of the watch. They say it seldom (RFC 1812 section 4.3.2.8; Linux once
 * a second to one machine), and the watch asks all the time: a round often gets no word of its own. */
#ifndef BW_AGENT_WORDS_H
#define BW_AGENT_WORDS_H

#include "proto/base/addr.h"
#include "proto/base/mono.h"

#include <stdbool.h>

#define WORDS_MAX     32
#define WORD_LASTS_MS 10000

struct word {
	struct ip dst, from; /* of the probe; who says it */
	uint8_t proto;       /* enum proto of the probe: a list may forbid some and pass others */
	uint8_t type, code;
	struct mono at;
};

struct words {
	struct word of[WORDS_MAX];
};

/* Keeps it when it is of a router that does not pass a packet on; what a machine says of its ports, and sizes, are not kept. */
void words_note(struct words *w, const struct word *said);
/* The last one of such packets to `dst`, not older than WORD_LASTS_MS. NULL = none. */
const struct word *words_find(const struct words *w, struct ip dst, uint8_t proto, struct mono now);
/* One of them was answered: what was said of them is over. */
void words_forget(struct words *w, struct ip dst, uint8_t proto);

#endif
