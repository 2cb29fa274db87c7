/* plan: what little a plan needs beyond being a value. */
#include "proto/model/plan.h"

#include <stdlib.h>
#include <string.h>

const char *stage_name(enum stage s)
{
	static const char *const names[STAGE_COUNT] = {"neighbours", "a-to-b", "b-to-a",  "ladder", "ports",
	                                               "hops",       "train",  "burst-a", "burst-b"};
	return s < STAGE_COUNT && names[s] ? names[s] : "?";
}

const uint16_t ladder_sizes[LADDER_COUNT] = {
    576, 1006, 1200, 1280, 1300, 1350, 1380, 1400, 1420, 1430, 1442, 1450, 1460, 1480, 1492, 1498,
};

void plan_clear(struct plan *p)
{
	free(p->peers);
	memset(p, 0, sizeof *p);
}
