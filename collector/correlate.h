/* correlate: PURE. From a dossier to the two directions of a verdict: the matrix of delivery and initiation, the path with
 * what each point saw, and the cuts. No cause, no opinion. */
#ifndef BW_COLLECTOR_CORRELATE_H
#define BW_COLLECTOR_CORRELATE_H

#include "proto/model/dossier.h"
#include "proto/model/verdict.h"

/* Fills names, dir[0..1], state and notes of a fresh verdict. A kind that is unknown without a reason (why) was not asked
 * for at all: no such flow, and nobody skipped it. */
void correlate(const struct dossier *d, struct verdict *v);

#endif
