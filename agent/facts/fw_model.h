/* fw_model: PURE. A ruleset as libnftables prints it (JSON, and text for people) -> chains that can be evaluated.
 * What cannot be modelled becomes an FW_UNKNOWN match or an FW_MAYBE verdict, never a guess. */
#ifndef BW_AGENT_FACTS_FW_MODEL_H
#define BW_AGENT_FACTS_FW_MODEL_H

#include "proto/base/err.h"
#include "proto/model/snapshot.h"

#define XT_NAME_MAX  32
#define XT_DATA_MAX  1024
#define XT_RULES_MAX FW_RULES_MAX

/* Tables with a name that starts like this are the agent's own, made for the length of a round: they are no part of the
 * ruleset, and their coming and going is no change. */
#define FW_TABLE_OURS "bothways"
bool fw_table_is_ours(const char *table);

/* A match or target of iptables-nft or ebtables-nft that nftables itself knows by name only. */
struct xt_expr {
	bool target;
	char name[XT_NAME_MAX];
	uint8_t revision;
	uint16_t len;
	uint8_t *data; /* owned */
};
struct xt_rule {
	char family[8], table[64];
	uint64_t handle;
	size_t count, cap;
	struct xt_expr *exprs; /* in the rule's order; owned */
};
struct xt_rules {
	size_t count, cap;
	struct xt_rule *items;
};
const struct xt_rule *xt_rules_find(const struct xt_rules *x, const char *family, const char *table, uint64_t handle);
void xt_rules_free(struct xt_rules *x);

struct fw_model {
	size_t chain_count, chain_cap;
	struct fw_chain *chains; /* owned */
	size_t rule_count;       /* in all */
	size_t truncated;        /* chains and rules beyond the limits */
};
void fw_model_free(struct fw_model *m);

/* A rule with a verdict map or with a set of concatenated keys becomes several consecutive entries of the same handle, one
 * for each element. `text` (a listing with handles) and `xt` may be NULL. */
int fw_model_read(struct fw_model *out, const char *json, const char *text, const struct xt_rules *xt, struct err *e);

/* ---- building rules, for fw_model.c, fw_match.c and xt.c ---- */

/* A fresh match at the end of the rule; at the limit the last one is lent again, as FW_UNKNOWN. */
struct fw_match *rule_add_match(struct fw_rule *r, enum fw_field field, bool negate);
struct fw_value *match_add_value(struct fw_match *m); /* at the limit: the match becomes FW_UNKNOWN, NULL */
void rule_add_number(struct fw_rule *r, enum fw_field field, bool negate, uint64_t lo, uint64_t hi);
void rule_add_unknown(struct fw_rule *r);
/* What a match silently requires, unless the rule says it already: IPv4, TCP, ... */
void rule_imply(struct fw_rule *r, enum fw_field field, uint64_t number);
void match_make_unknown(struct fw_match *m);

/* Adds what the expression matches, or sets the verdict. */
void xt_decode(const struct xt_expr *x, const char *family, struct fw_rule *r);

#endif
