/* lint_parts: what the files of checks share. Each of them has its checks in a table, registered in lint.c. */
#ifndef BW_COLLECTOR_LINT_PARTS_H
#define BW_COLLECTOR_LINT_PARTS_H

#include "collector/lint.h"

struct lint {
	const struct fleet *fleet;
	const struct planner *planner;
	struct mono now;
	struct lint_result *result;
};

/* ---- telling ---- */

/* A new finding, or NULL: there is one of that check for that component of the machine, or there are too many. */
struct finding *lint_add(struct lint *l, const struct lint_check *check, const struct member *who, const char *component);
/* Both formats take the same arguments in the same order. */
void finding_say(struct finding *f, const char *en, const char *zh, ...) __attribute__((format(printf, 2, 4)));
void finding_say_in(struct finding *f, size_t lang, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void finding_evidence(struct finding *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void finding_fix(struct finding *f, const struct member *at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Text for a sentence: valid until eight more were asked for. */
const char *lint_name(const struct lint *l, const struct member *m);
const char *lint_ip(struct ip ip);
const char *lint_prefix(struct prefix p);
const char *lint_mac(struct mac m);

/* ---- looking ---- */

/* The next machine that is online and has said what it is like; NULL = no more. Begin with *at = 0. */
const struct member *lint_next(const struct lint *l, size_t *at);
/* The next watched pair whose ends are both of them so. */
struct lint_pair {
	const struct pair *pair;
	const struct member *end[2];
	const struct endpoint *ep[2];
};
bool lint_next_pair(const struct lint *l, uint32_t *at, struct lint_pair *out);
/* The larger of a sysctl of all interfaces and of this one; false = not known. */
bool lint_conf(const struct snapshot *s, const char *name /* "net.ipv4.conf.%s.rp_filter" */, const char *ifname, int64_t *out);
/* The bridge of the kernel that the link is a port of; NULL = of none. */
const struct link *lint_bridge_of(const struct snapshot *s, const struct link *port);

extern const struct lint_check LINT_MACHINE[], LINT_ROUTES[], LINT_SEGMENT[], LINT_FILTER[], LINT_NAT[];
extern const size_t LINT_MACHINE_COUNT, LINT_ROUTES_COUNT, LINT_SEGMENT_COUNT, LINT_FILTER_COUNT, LINT_NAT_COUNT;

#endif
