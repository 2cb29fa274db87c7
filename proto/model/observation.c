/* observation: what little an observation needs beyond being a value. */
#include "proto/model/observation.h"

#include <stdlib.h>
#include <string.h>

void round_result_clear(struct round_result *r)
{
	free(r->seen);
	memset(r, 0, sizeof *r);
}
