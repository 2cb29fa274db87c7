/* lint: PURE. Latent faults: what is wrong by the machines' own words although nothing is lost yet, or that nobody watches. The
 * snapshots of both ends of every watched pair, and of the hosts between, are checked against each other. Each check is one entry
 * of a table; what is not known is never found. */
#ifndef BW_COLLECTOR_LINT_H
#define BW_COLLECTOR_LINT_H

#include "collector/fleet.h"
#include "collector/planner.h"

#define LINT_EVIDENCE_MAX 4
#define LINT_FINDINGS_MAX 1000 /* the rest is counted */
#define LINT_LANGS        2    /* English, Chinese */

enum lint_severity { LINT_NOTE, LINT_WARNING, LINT_SERIOUS };
const char *lint_severity_name(enum lint_severity s); /* "note" "warning" "serious" */

struct lint;
struct lint_check {
	const char *id;
	enum lint_severity severity;
	void (*run)(struct lint *l, const struct lint_check *check);
	const char *reads; /* facts */
	const char *title[LINT_LANGS], *doc[LINT_LANGS];
	const char *source;
};
size_t lint_check_count(void);
const struct lint_check *lint_check_at(size_t i);

struct finding {
	const struct lint_check *check;
	const struct member *who, *other; /* whose it is; who else has to do with it, NULL = nobody */
	char component[160];              /* interface, port, chain, sysctl ... */
	char *sentence[LINT_LANGS];
	size_t evidence_count;
	char *evidence[LINT_EVIDENCE_MAX]; /* facts, as the machines said them */
	const struct member *fix_at;       /* where the command is to be run */
	char *fix;                         /* NULL = no command can do it */
};

struct lint_result {
	size_t count, left_out;
	struct finding *findings; /* the serious ones first, then by machine */
	size_t machines, pairs;   /* that were looked at */
};

/* All checks over all machines that are online. */
struct lint_result *lint_run(const struct fleet *f, const struct planner *p, struct mono now);
void lint_free(struct lint_result *r); /* NULL is fine */

#endif
