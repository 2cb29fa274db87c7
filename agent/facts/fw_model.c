#include "agent/facts/fw_model.h"
#include "agent/facts/fw_match.h"
#include "proto/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VARIANTS_MAX 32 /* entries one rule may become */

/* ---- a rule under construction: several, where keys are concatenated or verdicts mapped ---- */

struct variants {
	size_t count;
	struct fw_rule rules[VARIANTS_MAX];
};

struct reader {
	struct fw_model *out;
	json_t *items;
	const struct xt_rules *xt;
	const char *family, *table; /* of the rule being read */
	const struct xt_rule *xt_rule;
	size_t xt_next;
	struct variants v;
	const char *text, *text_at; /* the listing, and where the last rule was found in it */
	char text_family[8], text_table[64];
};

static void rule_clear(struct fw_rule *r)
{
	for (size_t i = 0; i < r->match_count; i++)
		free(r->matches[i].values);
	free(r->matches);
	memset(r, 0, sizeof *r);
}

static struct fw_rule rule_clone(const struct fw_rule *r)
{
	struct fw_rule c = *r;

	c.matches = r->match_count ? mem_array(r->match_count, sizeof *c.matches) : NULL;
	for (size_t i = 0; i < r->match_count; i++) {
		struct fw_match *m = &c.matches[i];

		*m = r->matches[i];
		if (m->value_count)
			m->values = memcpy(mem_array(m->value_count, sizeof *m->values), r->matches[i].values,
			                   m->value_count * sizeof *m->values);
		else
			m->values = NULL;
	}
	return c;
}

static const char *text_of(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static json_t *elements_of(json_t *set)
{
	json_t *flags = json_object_get(set, "flags"), *flag;
	size_t i;

	json_array_foreach(flags, i,
	                   flag) if (json_string_value(flag) && strcmp(json_string_value(flag), "dynamic") == 0) return NULL;
	return json_object_get(set, "elem");
}

/* A set without elements is printed without "elem". */
static json_t *set_find(void *arg, const char *name)
{
	static json_t *empty;
	struct reader *r = arg;
	json_t *item, *set, *elements;
	size_t i;

	if (!empty)
		empty = json_array();
	json_array_foreach(r->items, i, item)
	{
		set = json_object_get(item, "set") ? json_object_get(item, "set") : json_object_get(item, "map");
		if (!set || strcmp(text_of(set, "name"), name) != 0 || strcmp(text_of(set, "table"), r->table) != 0 ||
		    strcmp(text_of(set, "family"), r->family) != 0)
			continue;
		elements = elements_of(set);
		return elements || json_object_get(set, "flags") ? elements : empty;
	}
	return NULL;
}

static void all_unknown(struct reader *r)
{
	for (size_t i = 0; i < r->v.count; i++)
		rule_add_unknown(&r->v.rules[i]);
}

/* ---- verdicts ---- */

static const struct {
	const char *name;
	enum fw_verdict verdict;
} verdicts[] = {
    {"accept", FW_ACCEPT}, {"drop", FW_DROP},     {"return", FW_RETURN}, {"jump", FW_JUMP},    {"goto", FW_GOTO},
    {"reject", FW_REJECT}, {"queue", FW_QUEUE},   {"snat", FW_NAT},      {"dnat", FW_NAT},     {"masquerade", FW_NAT},
    {"redirect", FW_NAT},  {"continue", FW_NONE}, {"fwd", FW_MAYBE},     {"tproxy", FW_MAYBE}, {"synproxy", FW_MAYBE},
};

static void reject_target(struct fw_rule *r, json_t *how)
{
	const char *type = text_of(how, "type"), *expr = text_of(how, "expr");

	if (!type[0])
		type = "icmp", expr = "port-unreachable";
	snprintf(r->target, sizeof r->target, "%s%s%s", type, expr[0] ? " " : "", expr);
}

static bool verdict_set(struct fw_rule *r, json_t *statement)
{
	json_t *body = json_object_iter_value(json_object_iter(statement));
	const char *name = json_object_iter_key(json_object_iter(statement));

	for (size_t i = 0; name && i < sizeof verdicts / sizeof *verdicts; i++) {
		if (strcmp(name, verdicts[i].name) != 0)
			continue;
		if (r->verdict != FW_NONE) /* the first one ends the rule */
			return true;
		r->verdict = (uint8_t)verdicts[i].verdict;
		if (r->verdict == FW_JUMP || r->verdict == FW_GOTO)
			str_copy(r->target, sizeof r->target, text_of(body, "target"));
		if (r->verdict == FW_REJECT)
			reject_target(r, body);
		return true;
	}
	return false;
}

/* ---- keys: one field, or several concatenated ---- */

static void key_add(struct reader *r, struct fw_rule *rule, json_t *key, json_t *value)
{
	json_t *keys = json_object_get(key, "concat"), *values = json_object_get(value, "concat"), *k;
	size_t i;

	if (!keys) {
		fw_match_add(rule, r->family, "==", key, value, set_find, r);
		return;
	}
	json_array_foreach(keys, i, k) fw_match_add(rule, r->family, "==", k, json_array_get(values, i), set_find, r);
}

static bool is_catchall(json_t *value) { return json_is_string(value) && strcmp(json_string_value(value), "*") == 0; }

/* Multiplies the variants by the elements; `verdict`: an element is [key, verdict]. */
static void elements_multiply(struct reader *r, json_t *key, json_t *elements, bool verdict)
{
	struct variants *v = &r->v;
	size_t count = json_array_size(elements), made = 0;
	struct fw_rule out[VARIANTS_MAX];

	if (!json_is_array(elements) || count * v->count > VARIANTS_MAX) {
		all_unknown(r);
		for (size_t i = 0; verdict && i < v->count; i++)
			v->rules[i].verdict = FW_MAYBE;
		return;
	}
	/* what matches everything else comes last */
	for (int last = 0; last < 2; last++) {
		for (size_t i = 0; i < count * v->count; i++) {
			json_t *item = json_array_get(elements, i / v->count);
			json_t *value = fw_elem_value(verdict ? json_array_get(item, 0) : item);

			if (is_catchall(value) != (last == 1))
				continue;
			out[made] = rule_clone(&v->rules[i % v->count]);
			if (!last)
				key_add(r, &out[made], key, value);
			if (verdict && !verdict_set(&out[made], json_array_get(item, 1)))
				out[made].verdict = FW_MAYBE;
			made++;
		}
	}
	for (size_t i = 0; i < v->count; i++)
		rule_clear(&v->rules[i]);
	memcpy(v->rules, out, made * sizeof *out);
	v->count = made;
}

/* ---- statements ---- */

static json_t *resolve(struct reader *r, json_t *right)
{
	const char *name = json_string_value(right);

	if (name && name[0] == '@')
		return set_find(r, name + 1);
	return json_object_get(right, "set") ? json_object_get(right, "set") : right;
}

static void on_match(struct reader *r, json_t *body)
{
	json_t *left = json_object_get(body, "left"), *right = json_object_get(body, "right");
	const char *op = text_of(body, "op");

	if (json_object_get(left, "concat")) {
		json_t *elements = resolve(r, right);

		if (strcmp(op, "==") == 0 && json_is_object(elements))
			for (size_t i = 0; i < r->v.count; i++)
				key_add(r, &r->v.rules[i], left, elements);
		else if (strcmp(op, "!=") == 0)
			all_unknown(r);
		else
			elements_multiply(r, left, elements, false);
		return;
	}
	for (size_t i = 0; i < r->v.count; i++)
		fw_match_add(&r->v.rules[i], r->family, op, left, right, set_find, r);
}

static void on_vmap(struct reader *r, json_t *body)
{
	elements_multiply(r, json_object_get(body, "key"), resolve(r, json_object_get(body, "data")), true);
}

static void on_counter(struct reader *r, json_t *body)
{
	for (size_t i = 0; i < r->v.count; i++) {
		r->v.rules[i].has_counter = json_is_object(body);
		r->v.rules[i].packets = (uint64_t)json_integer_value(json_object_get(body, "packets"));
	}
}

static void on_random(struct reader *r, json_t *body)
{
	(void)body;
	for (size_t i = 0; i < r->v.count; i++)
		rule_add_match(&r->v.rules[i], FW_RANDOM, false);
}

/* Packets it lets through in its first second; negated when the rule is about those beyond. */
static void on_limit(struct reader *r, json_t *body)
{
	static const struct {
		const char *name;
		uint64_t seconds;
	} periods[] = {{"second", 1}, {"minute", 60}, {"hour", 3600}, {"day", 86400}, {"week", 604800}};
	uint64_t rate = (uint64_t)json_integer_value(json_object_get(body, "rate"));
	uint64_t burst = (uint64_t)json_integer_value(json_object_get(body, "burst"));
	const char *unit = text_of(body, "rate_unit"), *per = text_of(body, "per");

	if (unit[0] && strcmp(unit, "packets") != 0) {
		on_random(r, body);
		return;
	}
	for (size_t i = 0; i < sizeof periods / sizeof *periods; i++)
		if (strcmp(per, periods[i].name) == 0)
			rate = (rate + periods[i].seconds - 1) / periods[i].seconds;
	for (size_t i = 0; i < r->v.count; i++)
		rule_add_number(&r->v.rules[i], FW_RANDOM, json_is_true(json_object_get(body, "inv")), rate + burst, rate + burst);
}

static void on_nothing(struct reader *r, json_t *body)
{
	(void)r;
	(void)body;
}

/* Adding to a set with a limit inside passes on only what is within the limit. */
static void on_set(struct reader *r, json_t *body)
{
	if (json_array_size(json_object_get(body, "stmt")) > 0)
		on_random(r, body);
}

static void on_xt(struct reader *r, json_t *body)
{
	const struct xt_expr *x = r->xt_rule && r->xt_next < r->xt_rule->count ? &r->xt_rule->exprs[r->xt_next] : NULL;
	const char *name = text_of(body, "name");

	r->xt_next++;
	if (x && name[0] && strcmp(name, x->name) != 0)
		x = NULL;
	for (size_t i = 0; i < r->v.count; i++) {
		if (x)
			xt_decode(x, r->family, &r->v.rules[i]);
		else if (strcmp(text_of(body, "type"), "target") == 0)
			r->v.rules[i].verdict = FW_MAYBE;
		else
			rule_add_unknown(&r->v.rules[i]);
	}
}

static const struct {
	const char *name;
	void (*fn)(struct reader *r, json_t *body);
} statements[] = {
    {"match", on_match},       {"vmap", on_vmap},          {"counter", on_counter},        {"xt", on_xt},
    {"set", on_set},           {"limit", on_limit},        {"quota", on_random},           {"ct count", on_random},
    {"meter", on_random},      {"log", on_nothing},        {"mangle", on_nothing},         {"notrack", on_nothing},
    {"ct helper", on_nothing}, {"ct timeout", on_nothing}, {"ct expectation", on_nothing}, {"flow", on_nothing},
    {"dup", on_nothing},       {"secmark", on_nothing},    {"last", on_nothing},           {"map", on_nothing},
};

static void on_statement(struct reader *r, json_t *statement)
{
	const char *name = json_object_iter_key(json_object_iter(statement));
	bool verdict = false;

	for (size_t i = 0; name && i < sizeof statements / sizeof *statements; i++) {
		if (strcmp(name, statements[i].name) == 0) {
			statements[i].fn(r, json_object_get(statement, name));
			return;
		}
	}
	for (size_t i = 0; i < r->v.count; i++)
		verdict |= verdict_set(&r->v.rules[i], statement);
	if (!verdict)
		all_unknown(r);
}

/* ---- the line for people ---- */

static void text_header(struct reader *r, const char *line, size_t len)
{
	if (len > 6 && strncmp(line, "table ", 6) == 0)
		sscanf(line, "table %7s %63s", r->text_family, r->text_table);
}

static uint64_t line_handle(const char *line, size_t len, size_t *before)
{
	static const char mark[] = " # handle ";

	for (size_t i = len; i-- > 0;) {
		if (len - i > sizeof mark - 1 && memcmp(line + i, mark, sizeof mark - 1) == 0) {
			*before = i;
			return strtoull(line + i + sizeof mark - 1, NULL, 10);
		}
	}
	return 0;
}

/* The line of this rule at or behind `from`; rules are the lines indented twice that end with a handle. */
static const char *text_find(struct reader *r, const char *from, uint64_t handle, size_t *len)
{
	for (const char *line = from; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
		size_t whole = strcspn(line, "\n");

		text_header(r, line, whole);
		if (strncmp(line, "\t\t", 2) == 0 && line_handle(line, whole, len) == handle &&
		    strcmp(r->text_family, r->family) == 0 && strcmp(r->text_table, r->table) == 0) {
			r->text_at = line + whole + (line[whole] == '\n');
			*len -= 2;
			return line + 2;
		}
	}
	return NULL;
}

static void rule_text(struct reader *r, struct fw_rule *rule)
{
	const char *line;
	size_t len;

	if (!r->text)
		return;
	/* both listings have the same order, so the line usually is the next one */
	line = text_find(r, r->text_at, rule->handle, &len);
	if (!line)
		line = text_find(r, r->text, rule->handle, &len);
	if (line)
		snprintf(rule->text, sizeof rule->text, "%.*s", (int)len, line);
}

/* ---- tables, chains, rules ---- */

bool fw_table_is_ours(const char *table) { return strncmp(table, FW_TABLE_OURS, sizeof FW_TABLE_OURS - 1) == 0; }

static struct fw_chain *chain_find(struct fw_model *m, const char *family, const char *table, const char *name)
{
	for (size_t i = m->chain_count; i-- > 0;) {
		struct fw_chain *c = &m->chains[i];

		if (strcmp(c->name, name) == 0 && strcmp(c->table, table) == 0 && strcmp(c->family, family) == 0)
			return c;
	}
	return NULL;
}

static void chain_rule_add(struct fw_model *m, struct fw_chain *c, struct fw_rule *rule)
{
	if (m->rule_count == FW_RULES_MAX) {
		rule_clear(rule);
		m->truncated++;
		return;
	}
	if ((c->rule_count & (c->rule_count - 1)) == 0)
		c->rules = mem_resize(c->rules, c->rule_count ? c->rule_count * 2 : 1, sizeof *c->rules);
	c->rules[c->rule_count++] = *rule;
	m->rule_count++;
}

static void read_chain(struct reader *r, json_t *o)
{
	struct fw_chain *c;
	json_t *dev = json_object_get(o, "dev");

	if (fw_table_is_ours(text_of(o, "table"))) /* nor are its rules, which find no chain */
		return;
	if (r->out->chain_count == FW_CHAINS_MAX) {
		r->out->truncated++;
		return;
	}
	c = VEC_ADD(r->out->chains, r->out->chain_count, r->out->chain_cap);
	str_copy(c->family, sizeof c->family, text_of(o, "family"));
	str_copy(c->table, sizeof c->table, text_of(o, "table"));
	str_copy(c->name, sizeof c->name, text_of(o, "name"));
	str_copy(c->hook, sizeof c->hook, text_of(o, "hook"));
	str_copy(c->type, sizeof c->type, text_of(o, "type"));
	if (json_is_array(dev))
		dev = json_array_get(dev, 0);
	if (json_is_string(dev))
		str_copy(c->device, sizeof c->device, json_string_value(dev));
	c->handle = (uint64_t)json_integer_value(json_object_get(o, "handle"));
	c->priority = (int32_t)json_integer_value(json_object_get(o, "prio"));
	c->policy = strcmp(text_of(o, "policy"), "drop") == 0 ? FW_DROP : FW_ACCEPT;
}

static void read_rule(struct reader *r, json_t *o)
{
	struct fw_chain *c;
	json_t *statement;
	size_t i;

	r->family = text_of(o, "family");
	r->table = text_of(o, "table");
	c = chain_find(r->out, r->family, r->table, text_of(o, "chain"));
	if (!c)
		return;
	r->v.count = 1;
	memset(&r->v.rules[0], 0, sizeof r->v.rules[0]);
	r->v.rules[0].handle = (uint64_t)json_integer_value(json_object_get(o, "handle"));
	rule_text(r, &r->v.rules[0]);
	r->xt_rule = r->xt ? xt_rules_find(r->xt, r->family, r->table, r->v.rules[0].handle) : NULL;
	r->xt_next = 0;
	json_array_foreach(json_object_get(o, "expr"), i, statement) on_statement(r, statement);
	for (i = 0; i < r->v.count; i++)
		chain_rule_add(r->out, c, &r->v.rules[i]);
}

/* Some versions leave a chain's device out of the JSON: take it from `hook ingress device "X"` in the text. */
static void read_devices(struct reader *r)
{
	char table[64] = "", chain[64] = "", family[8] = "", device[IFNAME_LEN + 1];

	for (const char *line = r->text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
		const char *at = strncmp(line, "\t\ttype ", 7) == 0 ? memmem(line, strcspn(line, "\n"), "device", 6) : NULL;
		struct fw_chain *c;

		sscanf(line, "table %7s %63s", family, table);
		sscanf(line, "\tchain %63s", chain);
		if (!at || sscanf(at, "%*[^\"\n]\"%16[^\"\n]\"", device) != 1)
			continue;
		c = chain_find(r->out, family, table, chain);
		if (c && !c->device[0])
			str_copy(c->device, sizeof c->device, device);
	}
}

static void read_kind(struct reader *r, const char *kind, void (*fn)(struct reader *, json_t *))
{
	json_t *item;
	size_t i;

	json_array_foreach(r->items, i, item) if (json_object_get(item, kind)) fn(r, json_object_get(item, kind));
}

int fw_model_read(struct fw_model *out, const char *json, const char *text, const struct xt_rules *xt, struct err *e)
{
	json_error_t bad;
	json_t *root = json_loads(json, 0, &bad);
	struct reader *r;

	if (!root)
		return err_set(e, "ruleset: %s", bad.text);
	r = mem_alloc(sizeof *r);
	r->out = out;
	r->items = json_object_get(root, "nftables");
	r->xt = xt;
	r->text = r->text_at = text;
	read_kind(r, "chain", read_chain);
	read_kind(r, "rule", read_rule);
	read_devices(r);
	free(r);
	json_decref(root);
	return 0;
}

void fw_model_free(struct fw_model *m)
{
	for (size_t i = 0; i < m->chain_count; i++) {
		for (size_t k = 0; k < m->chains[i].rule_count; k++)
			rule_clear(&m->chains[i].rules[k]);
		free(m->chains[i].rules);
	}
	free(m->chains);
	memset(m, 0, sizeof *m);
}

/* ---- xt ---- */

const struct xt_rule *xt_rules_find(const struct xt_rules *x, const char *family, const char *table, uint64_t handle)
{
	for (size_t i = 0; i < x->count; i++)
		if (x->items[i].handle == handle && strcmp(x->items[i].table, table) == 0 &&
		    strcmp(x->items[i].family, family) == 0)
			return &x->items[i];
	return NULL;
}

void xt_rules_free(struct xt_rules *x)
{
	for (size_t i = 0; i < x->count; i++) {
		for (size_t k = 0; k < x->items[i].count; k++)
			free(x->items[i].exprs[k].data);
		free(x->items[i].exprs);
	}
	free(x->items);
	memset(x, 0, sizeof *x);
}
