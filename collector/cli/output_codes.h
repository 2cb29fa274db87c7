/* output_codes: what `bothways explain` tells, as a document (bothways.explain/1) and for people. */
#ifndef BW_CLI_OUTPUT_CODES_H
#define BW_CLI_OUTPUT_CODES_H

#include "collector/cli/codes.h"
#include "collector/cli/lang.h"

/* What was found; NULL when nothing is near. The caller owns it. */
json_t *explain_answer(const struct codes *c, const char *query);
/* The systems, and how many codes of each are known. */
json_t *explain_systems(const struct codes *c);
void show_explain(struct out *o, const json_t *doc, enum lang lang);

#endif
