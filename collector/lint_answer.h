/* lint_answer: what lint found, as a document (bothways.lint/1). */
#ifndef BW_COLLECTOR_LINT_ANSWER_H
#define BW_COLLECTOR_LINT_ANSWER_H

#include "collector/collector.h"

#include <jansson.h>

/* `tenant`: only its machines (NULL = all); `of`: only what has to do with this machine (NULL = all). The caller owns the result.
 */
json_t *lint_answer(const struct collector *c, const char *tenant, const struct member *of);
/* The checks there are. */
json_t *lint_answer_checks(void);
/* 0 none, 2 findings. */
int lint_exit_code(const json_t *doc);

#endif
