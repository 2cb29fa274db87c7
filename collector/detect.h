/* detect: PURE. Joins the senders' and receivers' rows of the watch into the hot state of every pair, direction and kind, and
 * decides by a sequential test with hysteresis when something is wrong and when it is well again. Counting only: a
 * receiver's silence is loss only when the receiver was heard after the epoch and was fit; else unknown. */
#ifndef BW_COLLECTOR_DETECT_H
#define BW_COLLECTOR_DETECT_H

#include "proto/model/dossier.h"
#include "proto/model/observation.h"

struct detect;

/* DETECT_DOUBT: too many single losses to be chance, too few to call it ill. */
enum detect_event_type { DETECT_SUSPECT, DETECT_WELL, DETECT_DOUBT };
struct detect_event {
	enum detect_event_type type;
	uint32_t pair;
	kind_mask delivery[2], initiation[2]; /* what is bad now */
	bool poor;                            /* some is lost, late or doubled: worth a train of probes */
};

struct cells {
	uint8_t delivery[2][KIND_COUNT], initiation[2][KIND_COUNT]; /* enum cell */
	uint32_t rtt_us[2];
	uint32_t usual_us[2];          /* round trip, the usual one: learned slowly; 0 = not yet */
	bool doubtful;                 /* losses that are not yet enough to call it ill, or just were */
	uint32_t sent[2], received[2]; /* last minute or so */
	bool measured;
};

struct detect *detect_new(void);
void detect_free(struct detect *d);
/* Before the first row: something random, so that nobody can choose epochs that collide. */
void detect_seed(struct detect *d, uint64_t seed);
/* Pair set: (re)declares a pair and which kinds each direction sends; forgets it when both are 0. */
void detect_pair(struct detect *d, uint32_t pair, uint32_t a, uint32_t b, const kind_mask kinds[2]);
/* Rows of a report of `member`, in order. */
void detect_rows(struct detect *d, uint32_t member, const struct watch_row *rows, size_t count, const struct health *h,
                 struct mono now);
void detect_online(struct detect *d, uint32_t member, bool online, struct mono now);
/* Settles what waited for the other side; fills events. Call every 50 ms or so. */
size_t detect_tick(struct detect *d, struct mono now, struct detect_event *out, size_t max);
bool detect_cells(const struct detect *d, uint32_t pair, struct cells *out);
/* Every declared kind of every pair of two online members has been measured once. */
bool detect_all_measured(const struct detect *d);
/* Hot bytes for one direction of a pair. On top comes what waits to be joined: 44 bytes for each row of the
 * last moments, at most DETECT_WAIT_MAX rows of each side. */
size_t detect_bytes_per_direction(void);
/* `member` started anew: what it counted before is gone, its silence about that time is no loss. Call on a hello with another boot.
 */
void detect_restarted(struct detect *d, uint32_t member, struct mono now);
/* Kinds this member cannot see arriving (fleet_deaf_kinds): their delivery to it stays unknown. */
void detect_deaf(struct detect *d, uint32_t member, kind_mask kinds);
/* The machines changed since, and a round found the pair well: what was counted before is about another world. Partial losses
 * begin anew; full ones end by themselves with the first good probes. */
void detect_anew(struct detect *d, uint32_t pair);
/* A cell not measured for so long is unknown; default 5000. Large fleets probe more rarely. */
void detect_stale_ms(struct detect *d, uint32_t ms);

#define DETECT_WAIT_MAX (1u << 20)
struct detect_stats {
	uint64_t joined, lost_rows, unknown_rows, foreign_rows, late_rows;
	size_t waiting;
};
struct detect_stats detect_stats(const struct detect *d);

#endif
