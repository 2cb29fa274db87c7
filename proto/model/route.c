/* route: the kernel's route look-up, on a snapshot: policy rules in order of priority, then the longest prefix of the
 * table they name, then the lowest metric. The local table is not in a snapshot: ask snapshot_addr_of first. */
#include "proto/model/snapshot.h"

#include <string.h>

#define ACT_TO_TABLE  1 /* FR_ACT_TO_TBL */
#define TYPE_THROW    9 /* RTN_THROW: as if the table had no such route */
#define TABLE_MAIN    254
#define TABLE_DEFAULT 253

/* What every machine has and no snapshot lists; family 0: of both. */
static const struct policy_rule standard[] = {
    {.priority = 32766, .action = ACT_TO_TABLE, .table = TABLE_MAIN},
    {.priority = 32767, .action = ACT_TO_TABLE, .table = TABLE_DEFAULT},
};
#define STANDARD_COUNT (sizeof standard / sizeof *standard)

/* A rule that refuses by itself, without a table, answers with one of these. */
static const struct route refusals[2][3] = {
    {{.type = ROUTE_BLACKHOLE, .dst.ip.family = 4},
     {.type = ROUTE_UNREACHABLE, .dst.ip.family = 4},
     {.type = ROUTE_PROHIBIT, .dst.ip.family = 4}},
    {{.type = ROUTE_BLACKHOLE, .dst.ip.family = 6},
     {.type = ROUTE_UNREACHABLE, .dst.ip.family = 6},
     {.type = ROUTE_PROHIBIT, .dst.ip.family = 6}},
};

static const struct policy_rule *rule_at(const struct snapshot *s, size_t i)
{
	return i < s->rule_count ? &s->rules[i] : &standard[i - s->rule_count];
}

/* Position of the rule that comes after `last` by (priority, position); `last` < 0: the first one. -1 = no more. */
static long rule_next(const struct snapshot *s, long last)
{
	long best = -1;
	uint32_t after = last < 0 ? 0 : rule_at(s, (size_t)last)->priority;
	for (size_t i = 0; i < s->rule_count + STANDARD_COUNT; i++) {
		uint32_t p = rule_at(s, i)->priority;
		bool later = last < 0 || p > after || (p == after && (long)i > last);
		if (later && (best < 0 || p < rule_at(s, (size_t)best)->priority))
			best = (long)i;
	}
	return best;
}

static bool side_matches(struct prefix p, struct ip a)
{
	return p.ip.family == 0 || p.len == 0 || (a.family != 0 && prefix_contains(p, a));
}

static bool rule_matches(const struct policy_rule *r, struct ip dst, struct ip src)
{
	if (r->family != 0 && r->family != dst.family)
		return false;
	if (r->iif[0] || r->oif[0] || r->fwmark)
		return false;
	return side_matches(r->dst, dst) && side_matches(r->src, src);
}

static bool route_better(const struct route *r, const struct route *than)
{
	if (!than || r->dst.len != than->dst.len)
		return !than || r->dst.len > than->dst.len;
	return r->metric < than->metric;
}

static const struct route *table_lookup(const struct snapshot *s, uint32_t table, struct ip dst)
{
	const struct route *best = NULL;
	for (size_t i = 0; i < s->route_count; i++) {
		const struct route *r = &s->routes[i];
		if (r->table == table && r->dst.ip.family == dst.family && prefix_contains(r->dst, dst) && route_better(r, best))
			best = r;
	}
	return best && best->type != TYPE_THROW ? best : NULL;
}

static const struct route *rule_answer(const struct snapshot *s, const struct policy_rule *r, struct ip dst)
{
	if (r->action == ACT_TO_TABLE)
		return table_lookup(s, r->table, dst);
	if (r->action >= ROUTE_BLACKHOLE && r->action <= ROUTE_PROHIBIT) /* FR_ACT_* and RTN_* agree here */
		return &refusals[dst.family == 6][r->action - ROUTE_BLACKHOLE];
	return NULL;
}

const struct route *snapshot_route(const struct snapshot *s, struct ip dst, struct ip src)
{
	for (long i = rule_next(s, -1); i >= 0; i = rule_next(s, i)) {
		const struct policy_rule *r = rule_at(s, (size_t)i);
		const struct route *found = rule_matches(r, dst, src) ? rule_answer(s, r, dst) : NULL;
		if (found)
			return found;
	}
	return NULL;
}
