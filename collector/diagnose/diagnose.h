/* diagnose: PURE. Cuts, matrix and facts to ranked causes. The catalogue is data (catalogue/, compiled in and overridable);
 * evidence statements are small three-valued functions in one table (evidence.c); the score is log-odds (score.c). */
#ifndef BW_COLLECTOR_DIAGNOSE_H
#define BW_COLLECTOR_DIAGNOSE_H

#include "proto/base/err.h"
#include "proto/model/dossier.h"
#include "proto/model/verdict.h"

struct conf_node;
struct catalogue;

/* From parsed YAML; checks the schema: unknown evidence, missing parts, duplicate ids: "name:LINE: what". */
struct catalogue *catalogue_new(const struct conf_node *yaml, const char *name, struct err *e);
struct catalogue *catalogue_builtin(struct err *e); /* the one that is shipped */
void catalogue_free(struct catalogue *c);
size_t catalogue_count(const struct catalogue *c);

struct catalogue_entry { /* lent, for `bothways causes` */
	const char *id, *title, *explanation, *category, *severity, *verify, *unlike;
	const char *title_zh, *explanation_zh; /* NULL = not translated */
	double prior, shift;
	size_t requires_count, supports_count, contradicts_count, fix_count, confused_count;
	const char *const *requires, *const *supports, *const *contradicts, *const *fixes, *const *confused_with;
	const double *requires_weights, *supports_weights;
	size_t needs_count, source_count, platform_count, ask_count;
	const char *const *needs, *const *sources, *const *platforms, *const *asks;
};
bool catalogue_get(const struct catalogue *c, size_t i, struct catalogue_entry *out);
struct catalogue_fix {
	const char *at, *command, *platform; /* platform NULL = any Linux */
	bool manual;
};
bool catalogue_fix_get(const struct catalogue *c, size_t i, size_t k, struct catalogue_fix *out);
int catalogue_find(const struct catalogue *c, const char *id);

/* What this fleet has learned of a cause, in log-odds, instead of what was set before: kept within CATALOGUE_SHIFT_MAX either way.
 * It ranks what fits and colours how sure the verdict is. It never makes a cause win that is contradicted, lacks something
 * required, or would not be named without it. -1: there is no such cause. */
#define CATALOGUE_SHIFT_MAX 1.0
int catalogue_shift(struct catalogue *c, const char *id, double log_odds);

/* One sentence that says what a piece of evidence means; NULL = there is no such evidence. */
const char *evidence_doc(const char *name);
const char *evidence_reads(const char *name); /* what it looks at */

/* Adds causes, ruled_out, changed and sentence to a verdict that correlate has filled. */
void diagnose(const struct catalogue *c, const struct dossier *d, struct verdict *v);

#endif
