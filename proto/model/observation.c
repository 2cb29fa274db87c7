/* observation: what little an observation needs beyond being a value. */
#include "proto/model/observation.h"

#include <stdlib.h>
#include <string.h>

void round_result_clear(struct round_result *r)
{
	for (size_t i = 0; r->frames && i < r->frames_count; i++)
		free(r->frames[i].bytes);
	free(r->frames);
	free(r->drops);
	free(r->rules);
	free(r->seen);
	free(r->times);
	memset(r, 0, sizeof *r);
}
