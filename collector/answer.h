/* answer: the documents that queries return, made from what the collector knows. They only read. The caller owns the result.
 * `tenant` limits what is shown to that tenant's agents and pairs (NULL = all). */
#ifndef BW_COLLECTOR_ANSWER_H
#define BW_COLLECTOR_ANSWER_H

#include "collector/collector.h"

#include <jansson.h>

json_t *answer_status(const struct collector *c, const char *tenant);
json_t *answer_agents(const struct collector *c, const char *tenant);
json_t *answer_mesh(const struct collector *c, const char *tenant);
json_t *answer_facts(const struct member *m);
/* What changed, and which of its pairs are ill: since when, and when they were last known to be well. */
json_t *answer_changes(const struct collector *c, const struct member *m);
/* One entry, those of a category, or all with `id` NULL; NULL when there is no such entry. */
json_t *answer_causes(const struct catalogue *cat, const char *id);

/* Pairs by how they are, for status and metrics. */
struct pair_counts {
	size_t planned, measured, healthy, bad, unknown;
};
struct pair_counts answer_pair_counts(const struct collector *c, const char *tenant);
/* Every agent that is online has reported, has its plan, and every pair of such agents was measured once. */
bool answer_is_settled(const struct collector *c);

/* The verdict of the pair's last round, a's direction first. NULL and what to do when there was none. */
json_t *answer_trace(struct collector *c, const struct member *a, const struct member *b, struct err *e);

#endif
