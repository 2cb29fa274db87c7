/* output_lint: what `bothways lint` found, for people. */
#ifndef BW_CLI_OUTPUT_LINT_H
#define BW_CLI_OUTPUT_LINT_H

#include "collector/cli/lang.h"

void show_lint(struct out *o, const json_t *doc, enum lang lang);

#endif
