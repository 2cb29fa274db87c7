/* verdict_json: a verdict as the document of the contract (schema bothways.verdict/1). PURE. */
#ifndef BW_COLLECTOR_VERDICT_JSON_H
#define BW_COLLECTOR_VERDICT_JSON_H

#include "proto/model/verdict.h"

#include <jansson.h>

/* The caller owns the result. Kinds appear only when they were measured or skipped with a reason. */
json_t *verdict_json(const struct verdict *v, uint64_t round_id);
/* What was weighed (verdict.weighings): a document's "why". */
json_t *weighings_json(const struct verdict *v);
/* A string, null for NULL; never fails on bytes that are not UTF-8. */
json_t *json_text(const char *s);
/* {"icmp": "lost", ...} of the kinds in the row that are known or have a reason; `why` may be NULL. */
json_t *cells_json(const uint8_t cells[static KIND_COUNT], char *const *why, bool delivery);
/* Exit code by the contract: 0 healthy, 2 a problem with its cause, 3 not healthy and no cause found. */
int verdict_exit_code(const struct verdict *v);
int verdict_doc_exit_code(const json_t *doc); /* the same of its document */
/* The same verdict, asked the other way round: b's direction first. */
void verdict_doc_swap(json_t *doc);

#endif
