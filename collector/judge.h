/* judge: PURE. From what a round gathered to its verdict: correlation, diagnosis, and what the verdict says of itself. The one
 * way by which verdicts come about, in the collector and when one is replayed. */
#ifndef BW_COLLECTOR_JUDGE_H
#define BW_COLLECTOR_JUDGE_H

#include "collector/diagnose/diagnose.h"

/* The caller owns the result. `took_ms` and `at` are only passed on. */
struct verdict *judge(const struct catalogue *c, const struct dossier *d, uint32_t took_ms, struct wall at);
/* The same verdict, with everything that was weighed for it. */
struct verdict *judge_why(const struct catalogue *c, const struct dossier *d, uint32_t took_ms, struct wall at);

#endif
