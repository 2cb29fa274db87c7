/* volume_pairs: several faults of different causes at once. */
#ifndef BW_SIM_VOLUME_PAIRS_H
#define BW_SIM_VOLUME_PAIRS_H

#include "tests/sim/volume.h"

#define FAULTS_AT_ONCE_MAX 3
#define PAIRS_PERCENT_MIN  85

/* So many random worlds with so many faults each; `only`: those whose names have it, or NULL. With `count` 0 only the world of that
 * seed, as it was told. Prints a table and figures. Returns 1 when too little was named, or too much wrongly. */
int volume_pairs(const struct catalogue *c, size_t at_once, uint64_t seed, unsigned count, const char *only);
void volume_tell_verdict(const struct verdict *v); /* ends the line: state, causes, cuts, notes */

#endif
