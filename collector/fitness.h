/* fitness: PURE. How fit an agent was as an observer during the last minute: the worst of what its reports said. */
#ifndef BW_COLLECTOR_FITNESS_H
#define BW_COLLECTOR_FITNESS_H

#include "proto/base/mono.h"
#include "proto/model/observation.h"

enum fit { FIT, FIT_LOSING /* packets in its own sockets */, FIT_STEPPED /* its clock was set */, FIT_STARVED, FIT_PAUSED };
const char *fit_name(enum fit f); /* "fit" "losing" "clock-stepped" "starved" "paused" */

#define FIT_STARVED_US     200000
#define FIT_PAUSED_US      2000000
#define FIT_STEP_US        100000
#define FIT_STEAL_PERMILLE 300

struct fitness {
	bool known;
	struct mono began;      /* of `now` */
	struct health now, was; /* this half minute and the one before */
};
void fitness_hear(struct fitness *f, const struct health *h, struct mono now);
/* What is counted since the start (spool, rejected, limited) is as it was last. */
struct health fitness_minute(const struct fitness *f, struct mono now);
enum fit fitness_judge(const struct health *h);

#endif
