/* The arithmetic of a verdict as a part of its document. */
#include "collector/verdict_json.h"

#include <math.h>

static json_t *rounded(double n) { return json_real(round(n * 1000) / 1000); }

static json_t *line_json(const struct ledger_line *l)
{
	json_t *o = json_pack("{s:o, s:s, s:s}", "evidence", json_text(l->name), "part", ledger_part_name(l->part), "is",
	                      ledger_answer_name(l->answer));
	if (l->part != LEDGER_CONTRADICTS) {
		json_object_set_new(o, "weight", rounded(l->weight));
		json_object_set_new(o, "added", rounded(l->added));
	}
	if (l->text && l->text[0])
		json_object_set_new(o, "text", json_text(l->text));
	return o;
}

static json_t *lines_json(const struct weighed_cause *c)
{
	json_t *list = json_array();
	for (size_t i = 0; i < c->line_count; i++)
		json_array_append_new(list, line_json(&c->lines[i]));
	return list;
}

static json_t *cause_json(const struct weighed_cause *c)
{
	json_t *o =
	    json_pack("{s:o, s:o, s:s}", "id", json_text(c->id), "where", json_text(c->where), "outcome", outcome_name(c->outcome));
	const struct {
		const char *key;
		double n;
		bool always;
	} numbers[] = {{"prior", c->prior, true},       {"shift", c->shift, false}, {"agreement", c->agreement, false},
	               {"partial", -c->partial, false}, {"sum", c->sum, true},      {"confidence", c->confidence, true}};
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		if (numbers[i].always || fabs(numbers[i].n) > 0)
			json_object_set_new(o, numbers[i].key, rounded(numbers[i].n));
	}
	if (c->because)
		json_object_set_new(o, "because", json_text(c->because));
	json_object_set_new(o, "evidence", lines_json(c));
	return o;
}

static json_t *problem_json(const struct verdict *v, const struct weighing *w)
{
	const struct direction *d = &v->dir[w->dir];
	json_t *kinds = json_array(), *causes = json_array();
	for (int k = 0; k < KIND_COUNT; k++) {
		if (w->kinds & KIND_BIT(k))
			json_array_append_new(kinds, json_string(kind_info((enum kind)k)->name));
	}
	for (size_t i = 0; i < w->count; i++)
		json_array_append_new(causes, cause_json(&w->causes[i]));
	json_t *o = json_pack("{s:s, s:s, s:o}", "from", d->from, "to", d->to, "kinds", kinds);
	if (w->placed && w->before < d->path_count) {
		char after[POINT_NAME_MAX], before[POINT_NAME_MAX];
		json_object_set_new(o, "after", json_text(path_point_name(&d->path[w->after], after)));
		json_object_set_new(o, "before", json_text(path_point_name(&d->path[w->before], before)));
	}
	json_object_set_new(o, "considered", causes);
	return o;
}

json_t *weighings_json(const struct verdict *v)
{
	json_t *list = json_array();
	for (size_t i = 0; i < v->weighing_count; i++)
		json_array_append_new(list, problem_json(v, &v->weighings[i]));
	return list;
}
