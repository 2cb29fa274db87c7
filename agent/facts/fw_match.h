/* fw_match: PURE. One `match` of libnftables' JSON -> struct fw_match. */
#ifndef BW_AGENT_FACTS_FW_MATCH_H
#define BW_AGENT_FACTS_FW_MATCH_H

#include "agent/facts/fw_model.h"

#include <jansson.h>

/* The elements of a named set or map of this table, NULL if there is none or they change by themselves. */
typedef json_t *fw_set_fn(void *arg, const char *name);

/* `right` compared with `left` by `op` ("==", "!=", "in", "<", ...); adds one match and what it implies. `family` is the table's.
 */
void fw_match_add(struct fw_rule *r, const char *family, const char *op, json_t *left, json_t *right, fw_set_fn *sets, void *arg);
/* {"elem": {"val": X, ...}} -> X */
json_t *fw_elem_value(json_t *elem);

#endif
