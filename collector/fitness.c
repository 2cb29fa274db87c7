#include "collector/fitness.h"

#include <stdlib.h>

#define HALF_MS 30000

static const struct health nothing = {.steal_permille = -1};

static struct health worse(const struct health *a, const struct health *last)
{
	struct health h = *last;
	if (a->lag_us > h.lag_us)
		h.lag_us = a->lag_us;
	if (a->steal_permille > h.steal_permille)
		h.steal_permille = a->steal_permille;
	if (llabs(a->clock_step_us) > llabs(h.clock_step_us))
		h.clock_step_us = a->clock_step_us;
	uint32_t sum = a->socket_drops + h.socket_drops;
	h.socket_drops = sum < a->socket_drops ? UINT32_MAX : sum;
	return h;
}

/* The halves as they are now, without changing them. */
static struct fitness turned(const struct fitness *f, struct mono now)
{
	struct fitness t = *f;
	int64_t age = mono_ms_since(f->began, now);
	if (!f->known || age >= 2 * HALF_MS)
		t = (struct fitness){.known = true, .began = now, .now = nothing, .was = nothing};
	else if (age >= HALF_MS)
		t = (struct fitness){.known = true, .began = now, .now = nothing, .was = f->now};
	return t;
}

void fitness_hear(struct fitness *f, const struct health *h, struct mono now)
{
	*f = turned(f, now);
	f->now = worse(&f->now, h);
}

struct health fitness_minute(const struct fitness *f, struct mono now)
{
	struct fitness t = turned(f, now);
	struct health latest = mono_ms_since(f->began, now) >= HALF_MS ? t.was : t.now;
	struct health h = worse(&t.was, &t.now);
	h.spool_dropped = latest.spool_dropped;
	h.rejected = latest.rejected;
	h.limited = latest.limited;
	return h;
}

enum fit fitness_judge(const struct health *h)
{
	if (h->lag_us >= FIT_PAUSED_US)
		return FIT_PAUSED;
	if (h->lag_us >= FIT_STARVED_US || h->steal_permille >= FIT_STEAL_PERMILLE)
		return FIT_STARVED;
	if (llabs(h->clock_step_us) >= FIT_STEP_US)
		return FIT_STEPPED;
	return h->socket_drops ? FIT_LOSING : FIT;
}

const char *fit_name(enum fit f)
{
	static const char *const names[] = {[FIT] = "fit",
	                                    [FIT_LOSING] = "losing",
	                                    [FIT_STEPPED] = "clock-stepped",
	                                    [FIT_STARVED] = "starved",
	                                    [FIT_PAUSED] = "paused"};
	return names[f];
}
