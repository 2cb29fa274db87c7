#include "collector/scope.h"

#include "proto/base/mem.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* ---- names ----
 * A name that is shared is told as tenant/name: that would say that somebody else uses it. */

static bool begins_word(const char *all, const char *at) { return at == all || strchr(" >(\"'", at[-1]); }

static size_t prefix_len(const char *at, const char *tenant)
{
	size_t n = strlen(tenant);
	return strncmp(at, tenant, n) == 0 && at[n] == '/' ? n + 1 : 0;
}

static json_t *text_scoped(const char *text, const char *tenant)
{
	struct buf out = {0};
	buf_puts(&out, "");
	for (const char *at = text; *at;) {
		size_t skip = begins_word(text, at) ? prefix_len(at, tenant) + prefix_len(at, "fleet") : 0;
		if (!skip)
			buf_add(&out, at, 1);
		at += skip ? skip : 1;
	}
	json_t *o = json_string(out.len ? out.data : "");
	buf_free(&out);
	return o;
}

static json_t *names_scoped(const json_t *v, const char *tenant)
{
	const char *key;
	json_t *item, *out;
	size_t i;
	switch (json_typeof(v)) {
	case JSON_STRING: return text_scoped(json_string_value(v), tenant);
	case JSON_ARRAY:
		out = json_array();
		json_array_foreach(v, i, item) json_array_append_new(out, names_scoped(item, tenant));
		return out;
	case JSON_OBJECT:
		out = json_object();
		json_object_foreach((json_t *)v, key, item) json_object_set_new(out, key, names_scoped(item, tenant));
		return out;
	default: return json_copy((json_t *)v);
	}
}

/* ---- documents ---- */

static void keep_only(json_t *o, const char *const *keys)
{
	const char *key;
	json_t *item;
	void *next;
	json_object_foreach_safe(o, next, key, item)
	{
		const char *const *k = keys;
		while (*k && strcmp(*k, key) != 0)
			k++;
		if (!*k)
			json_object_del(o, key);
	}
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

/* Of the two ends of a pair, is this one the tenant's? */
static bool is_own(const json_t *doc, const char *name, const char *tenant)
{
	return (strcmp(text_of(doc, "a"), name) == 0 && strcmp(text_of(doc, "tenant_a"), tenant) == 0) ||
	       (strcmp(text_of(doc, "b"), name) == 0 && strcmp(text_of(doc, "tenant_b"), tenant) == 0);
}

/* Evidence may name witnesses and owners of addresses: it is not shown. */
static void scope_causes(json_t *doc, const char *tenant)
{
	static const char *const named[] = {"id", "title", "zh", "confidence", "where", "direction", NULL};
	static const char *const own[] = {"id", "title", "zh", "confidence", "where", "direction", "fix", "verify", NULL};
	json_t *cause, *fix;
	size_t i, k;
	json_array_foreach(json_object_get(doc, "causes"), i, cause)
	{
		keep_only(cause, is_own(doc, text_of(cause, "where"), tenant) ? own : named);
		json_t *fixes = json_object_get(cause, "fix"), *kept = json_array();
		json_array_foreach(fixes, k, fix) if (is_own(doc, text_of(fix, "where"), tenant)) json_array_append(kept, fix);
		json_object_set_new(cause, "fix", kept);
	}
}

/* The kernel's word may be told; which rule and which interface of a machine that is not theirs may not. */
static void scope_cuts(json_t *doc, const char *tenant)
{
	static const char *const inside[] = {"rule", "drop_if", "drop_at"};
	json_t *dir, *cut;
	size_t i, k;
	json_array_foreach(json_object_get(doc, "directions"), i, dir)
	{
		json_array_foreach(json_object_get(dir, "cuts"), k, cut)
		{
			for (size_t n = 0; n < 3 && !is_own(doc, text_of(cut, "drop_where"), tenant); n++)
				json_object_del(cut, inside[n]);
		}
	}
}

/* A point is the tenant's when its machine is. */
static bool is_own_point(const json_t *doc, const char *point, const char *tenant)
{
	size_t n = strcspn(point, ":");
	char *agent = mem_printf("%.*s", (int)n, point);
	bool own = is_own(doc, agent, tenant);
	free(agent);
	return own;
}

/* Why somebody else's machine did not look is its own business. */
static void scope_points(json_t *doc, const char *tenant)
{
	json_t *dir, *point;
	size_t i, k;
	json_array_foreach(json_object_get(doc, "directions"), i, dir)
	{
		json_array_foreach(json_object_get(dir, "path"), k, point)
		{
			if (!is_own_point(doc, text_of(point, "point"), tenant))
				json_object_del(point, "why");
		}
	}
}

static void scope_verdict(json_t *doc, const char *tenant)
{
	static const char *const keys[] = {"schema", "a",  "b",     "tenant_a",     "tenant_b", "state",   "directions",
	                                   "causes", "at", "round", "service_port", "changed",  "took_ms", NULL};
	json_t *change, *kept = json_array();
	size_t i;
	keep_only(doc, keys);
	scope_causes(doc, tenant);
	scope_cuts(doc, tenant);
	scope_points(doc, tenant);
	json_array_foreach(json_object_get(doc, "changed"), i, change) if (is_own(doc, text_of(change, "agent"), tenant))
	    json_array_append(kept, change);
	json_object_set_new(doc, "changed", kept);
}

static void scope_problem(json_t *problem)
{
	if (json_is_object(problem))
		json_object_del(problem, "sentence");
}

static void scope_mesh(json_t *doc, const char *tenant)
{
	json_t *pair;
	size_t i;
	(void)tenant;
	json_array_foreach(json_object_get(doc, "pairs"), i, pair) scope_problem(json_object_get(pair, "verdict"));
}

/* What the whole collector does and how it fares is not theirs to know. */
static void scope_status(json_t *doc, const char *tenant)
{
	static const char *const keys[] = {"schema", "version", "agents", "pairs", "problems", "coverage", NULL};
	json_t *problem;
	size_t i;
	(void)tenant;
	keep_only(doc, keys);
	json_array_foreach(json_object_get(doc, "problems"), i, problem) scope_problem(problem);
}

/* The tenant's own findings; where somebody else's machine is part of one, its facts are left out. */
static void scope_lint(json_t *doc, const char *tenant)
{
	static const char *const keys[] = {"schema", "findings", "checks", "table", NULL};
	static const char *const named[] = {"id",    "severity", "machine", "tenant", "component",
	                                    "title", "fix",      "verify",  "source", NULL};
	json_t *finding, *kept = json_array();
	size_t i;
	keep_only(doc, keys);
	json_array_foreach(json_object_get(doc, "findings"), i, finding)
	{
		json_t *other = json_object_get(finding, "other_tenant"), *fix = json_object_get(finding, "fix");
		if (strcmp(text_of(finding, "tenant"), tenant) != 0)
			continue;
		if (json_is_string(other) && strcmp(json_string_value(other), tenant) != 0)
			keep_only(finding, named);
		if (json_is_object(fix) && strcmp(text_of(fix, "tenant"), tenant) != 0)
			json_object_set_new(finding, "fix", json_null());
		json_array_append(kept, finding);
	}
	if (json_object_get(doc, "findings"))
		json_object_set(doc, "findings", kept);
	json_decref(kept);
}

json_t *scope_for_tenant(const json_t *doc, const char *tenant)
{
	static const struct {
		const char *schema;
		void (*scope)(json_t *doc, const char *tenant);
	} schemas[] = {{"bothways.verdict/1", scope_verdict},
	               {"bothways.mesh/1", scope_mesh},
	               {"bothways.status/1", scope_status},
	               {"bothways.lint/1", scope_lint}};
	json_t *out = names_scoped(doc, tenant);
	for (size_t i = 0; i < sizeof schemas / sizeof *schemas; i++)
		if (strcmp(text_of(out, "schema"), schemas[i].schema) == 0)
			schemas[i].scope(out, tenant);
	return out;
}
