/* mono: time with types. Monotonic time for durations and deadlines; wall time for people and the wire. */
#ifndef BW_BASE_MONO_H
#define BW_BASE_MONO_H

#include <stdbool.h>
#include <stdint.h>

struct mono {
	int64_t ns; /* CLOCK_MONOTONIC */
};

struct wall {
	int64_t ns; /* since 1970-01-01 UTC; 0 = not known */
};

struct mono mono_now(void);
struct wall wall_now(void);

static inline struct mono mono_add_ms(struct mono t, int64_t ms) { return (struct mono){t.ns + ms * 1000000}; }
static inline struct mono mono_add_us(struct mono t, int64_t us) { return (struct mono){t.ns + us * 1000}; }
static inline int64_t mono_ms_since(struct mono then, struct mono now) { return (now.ns - then.ns) / 1000000; }
static inline int64_t mono_us_since(struct mono then, struct mono now) { return (now.ns - then.ns) / 1000; }
static inline bool mono_before(struct mono a, struct mono b) { return a.ns < b.ns; }
static inline bool mono_reached(struct mono deadline, struct mono now) { return now.ns >= deadline.ns; }

#define WALL_TEXT_MAX 40
/* RFC 3339 in UTC with milliseconds, e.g. 2026-11-22T10:00:00.123Z. Returns `out`. */
const char *wall_format(struct wall t, char out[static WALL_TEXT_MAX]);
/* Accepts what wall_format writes (fraction optional). -1 if it is not such a time. */
int wall_parse(const char *text, struct wall *out);

#endif
