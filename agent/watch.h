/* watch: PURE. The counting probes that always run: which leaves next, what came back, what arrived; per epoch.
 * Knows no sockets and no clock. One epoch per peer, direction and kind lasts one report interval. */
#ifndef BW_AGENT_WATCH_H
#define BW_AGENT_WATCH_H

#include "proto/base/mono.h"
#include "proto/model/observation.h"
#include "proto/model/plan.h"
#include "proto/probe.h"

struct watch;

/* One probe that is to leave now; valid until the plan changes. */
struct watch_probe {
	const struct peer *peer;
	struct probe_header header;
};

struct watch *watch_new(uint64_t seed /* jitter and epoch start */);
void watch_free(struct watch *w);
/* Takes over the plan's contents; peers that stay keep their counters. */
void watch_plan(struct watch *w, struct plan *p, struct mono now);
const struct plan *watch_current(const struct watch *w);
/* Fills up to `max` probes due at `now`, within the packet budget (what is over it is counted and comes later). */
size_t watch_due(struct watch *w, struct mono now, struct watch_probe *out, size_t max);
struct mono watch_next(const struct watch *w); /* when to ask again */
/* What the kernel said when it was handed over: 0 or errno. */
void watch_sent(struct watch *w, const struct probe_header *h, int error, struct mono now);
enum watch_answer { WATCH_ANSWERED, WATCH_REFUSED, WATCH_IMPOSTOR };
void watch_answered(struct watch *w, uint32_t pair, uint8_t kind, uint32_t epoch, uint8_t seq, enum watch_answer how,
                    struct mono now);
/* A proven probe of the other side arrived at our socket. */
void watch_received(struct watch *w, const struct probe_header *h, struct mono now);
const struct peer *watch_peer(const struct watch *w, uint32_t pair); /* NULL if not planned */
/* Rows of the epochs that closed (sender: answers had their time; receiver: a later epoch began or nothing came for a while). */
size_t watch_report(struct watch *w, struct mono now, struct watch_row *out, size_t max);

/* How it keeps pace, per kind: udp wants an answer to every second probe (the even sequences); tcp and large run at a quarter
 * of the rate, arp and nd at most every 300 ms. When an expected answer is missing, or comes back after it was missing, that
 * kind runs at the full rate for a few probes; after a few refusals in a row it runs at 1/s. */
#define WATCH_TICK_MS 25 /* probes leave on this grid, so that they share wake-ups */
bool watch_wants_answer(uint8_t kind, uint8_t seq);
struct watch_stats {
	uint32_t limited;      /* probes that had to wait for the packet budget */
	uint32_t rows_dropped; /* closed epochs lost because nobody asked for a report */
};
struct watch_stats watch_stats(const struct watch *w);

#endif
