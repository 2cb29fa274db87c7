#include "collector/lint_answer.h"

#include "collector/lint.h"
#include "collector/verdict_json.h"

#include <string.h>

static json_t *title_json(const struct collector *c, const struct member *m)
{
	char name[TITLE_MAX_LEN];
	return json_text(fleet_title(c->fleet, m, name));
}

static json_t *fix_json(const struct collector *c, const struct finding *f)
{
	if (!f->fix)
		return json_null();
	return json_pack("{s:o, s:s, s:o}", "where", title_json(c, f->fix_at), "tenant", f->fix_at->tenant, "command",
	                 json_text(f->fix));
}

static json_t *finding_json(const struct collector *c, const struct finding *f)
{
	char name[TITLE_MAX_LEN];
	json_t *o = json_object(), *evidence = json_array();
	for (size_t i = 0; i < f->evidence_count; i++)
		json_array_append_new(evidence, json_text(f->evidence[i]));
	json_object_set_new(o, "id", json_text(f->check->id));
	json_object_set_new(o, "severity", json_text(lint_severity_name(f->check->severity)));
	json_object_set_new(o, "machine", title_json(c, f->who));
	json_object_set_new(o, "tenant", json_text(f->who->tenant));
	json_object_set_new(o, "other", f->other ? title_json(c, f->other) : json_null());
	json_object_set_new(o, "other_tenant", f->other ? json_text(f->other->tenant) : json_null());
	json_object_set_new(o, "component", json_text(f->component));
	json_object_set_new(o, "title", json_text(f->check->title[0]));
	json_object_set_new(o, "sentence", json_text(f->sentence[0]));
	json_object_set_new(o, "evidence", evidence);
	json_object_set_new(o, "fix", fix_json(c, f));
	json_object_set_new(o, "verify", json_sprintf("bothways lint %s", fleet_title(c->fleet, f->who, name)));
	json_object_set_new(o, "source", json_text(f->check->source));
	json_object_set_new(o, "zh",
	                    json_pack("{s:o, s:o}", "title", json_text(f->check->title[1]), "sentence", json_text(f->sentence[1])));
	return o;
}

/* A tenant sees what is the matter with its own machines, nothing of its hosts. */
static bool is_wanted(const struct finding *f, const char *tenant, const struct member *of)
{
	return (!tenant || strcmp(f->who->tenant, tenant) == 0) && (!of || f->who == of || f->other == of);
}

json_t *lint_answer(const struct collector *c, const char *tenant, const struct member *of)
{
	struct lint_result *r = lint_run(c->fleet, c->planner, mono_now());
	json_t *doc = json_object(), *findings = json_array();
	for (size_t i = 0; i < r->count; i++)
		if (is_wanted(&r->findings[i], tenant, of))
			json_array_append_new(findings, finding_json(c, &r->findings[i]));
	json_object_set_new(doc, "schema", json_string("bothways.lint/1"));
	json_object_set_new(doc, "findings", findings);
	json_object_set_new(doc, "left_out", json_integer((json_int_t)r->left_out));
	json_object_set_new(doc, "checks", json_integer((json_int_t)lint_check_count()));
	json_object_set_new(doc, "machines", json_integer((json_int_t)r->machines));
	json_object_set_new(doc, "pairs", json_integer((json_int_t)r->pairs));
	lint_free(r);
	return doc;
}

json_t *lint_answer_checks(void)
{
	json_t *list = json_array();
	for (size_t i = 0; i < lint_check_count(); i++) {
		const struct lint_check *k = lint_check_at(i);
		json_array_append_new(list,
		                      json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:{s:s, s:s}}", "id", k->id, "severity",
		                                lint_severity_name(k->severity), "reads", k->reads, "title", k->title[0], "doc",
		                                k->doc[0], "source", k->source, "zh", "title", k->title[1], "doc", k->doc[1]));
	}
	return json_pack("{s:s, s:o}", "schema", "bothways.lint/1", "table", list);
}

int lint_exit_code(const json_t *doc) { return json_array_size(json_object_get(doc, "findings")) ? 2 : 0; }
