/* touch: PURE. Which pairs a change of a machine's facts may have broken or healed: what a round is worth at once. */
#ifndef BW_COLLECTOR_TOUCH_H
#define BW_COLLECTOR_TOUCH_H

#include "collector/planner.h"

/* A change of this fact can make packets go another way, or nowhere. What merely describes a machine (its clock, its drivers,
 * services nobody asked us to probe) cannot. */
bool change_is_relevant(const struct member *m, const struct fact_change *c);

/* Numbers of watched pairs that `count` changes of `m` touch, at most `max`: pairs of m itself, and of the guests whose way
 * leads through what changed. A guest and its own host first: the shortest way shows most. Returns how many. */
size_t changes_touch(const struct fleet *f, const struct planner *p, const struct member *m, const struct fact_change *changes,
                     size_t count, uint32_t *out, size_t max);

#endif
