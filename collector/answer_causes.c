/* The catalogue as a document: everything that a page about a cause, a list, or a picture of them all is made from. */
#include "collector/answer.h"
#include "collector/verdict_json.h"

#include <stdlib.h>
#include <string.h>

enum { REQUIRES, SUPPORTS, CONTRADICTS, PARTS };
static const char *const parts[PARTS] = {"requires", "supports", "contradicts"};

struct listed { /* one part of an entry */
	const char *const *names;
	const double *weights; /* NULL: it has none */
	size_t count;
};

static struct listed part_of(const struct catalogue_entry *e, int part)
{
	const struct listed all[PARTS] = {{e->requires, e->requires_weights, e->requires_count},
	                                  {e->supports, e->supports_weights, e->supports_count},
	                                  {e->contradicts, NULL, e->contradicts_count}};
	return all[part];
}

static json_t *list_json(const char *const *items, size_t count)
{
	json_t *list = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, json_text(items[i]));
	return list;
}

static json_t *evidence_json(const struct catalogue_entry *e)
{
	json_t *list = json_array();
	for (int p = 0; p < PARTS; p++) {
		struct listed l = part_of(e, p);
		for (size_t i = 0; i < l.count; i++) {
			json_t *o = json_pack("{s:s, s:s}", "name", l.names[i], "part", parts[p]);
			if (l.weights)
				json_object_set_new(o, "weight", json_real(l.weights[i]));
			json_array_append_new(list, o);
		}
	}
	return list;
}

static json_t *fixes_json(const struct catalogue *cat, size_t at, const struct catalogue_entry *e)
{
	json_t *list = json_array();
	struct catalogue_fix f;
	for (size_t k = 0; k < e->fix_count && catalogue_fix_get(cat, at, k, &f); k++)
		json_array_append_new(list, json_pack("{s:s, s:o, s:s, s:b}", "at", f.at, "platform", json_text(f.platform),
		                                      "command", f.command, "manual", f.manual));
	return list;
}

/* ---- how two that look alike are told apart ---- */

static bool has(const struct catalogue_entry *e, const char *name)
{
	for (size_t i = 0; i < e->requires_count; i++) {
		if (strcmp(e->requires[i], name) == 0)
			return true;
	}
	return false;
}

/* What the one requires and the other does not. */
static json_t *only_of(const struct catalogue_entry *e, const struct catalogue_entry *other)
{
	json_t *list = json_array();
	for (size_t i = 0; i < e->requires_count; i++) {
		if (!has(other, e->requires[i]))
			json_array_append_new(list, json_text(e->requires[i]));
	}
	return list;
}

static json_t *apart_json(const struct catalogue *cat, const struct catalogue_entry *e)
{
	json_t *list = json_array();
	struct catalogue_entry other;
	for (size_t i = 0; i < e->confused_count; i++) {
		int at = catalogue_find(cat, e->confused_with[i]);
		if (at < 0 || !catalogue_get(cat, (size_t)at, &other))
			continue;
		json_t *o = json_pack("{s:s, s:s, s:o, s:o}", "id", other.id, "title", other.title, "this", only_of(e, &other),
		                      "that", only_of(&other, e));
		if (other.title_zh)
			json_object_set_new(o, "zh", json_pack("{s:s}", "title", other.title_zh));
		json_array_append_new(list, o);
	}
	return list;
}

/* ---- an entry ---- */

static void set_lists(json_t *o, const struct catalogue_entry *e)
{
	const struct {
		const char *key;
		const char *const *items;
		size_t count;
	} lists[] = {
	    {"requires", e->requires, e->requires_count},
	    {"supports", e->supports, e->supports_count},
	    {"contradicts", e->contradicts, e->contradicts_count},
	    {"fixes", e->fixes, e->fix_count},
	    {"confused_with", e->confused_with, e->confused_count},
	    {"platforms", e->platforms, e->platform_count},
	    {"needs", e->needs, e->needs_count},
	    {"asks", e->asks, e->ask_count},
	    {"sources", e->sources, e->source_count},
	};
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		json_object_set_new(o, lists[i].key, list_json(lists[i].items, lists[i].count));
}

static json_t *cause_json(const struct catalogue *cat, size_t at, const struct catalogue_entry *e)
{
	json_t *o = json_object();
	json_object_set_new(o, "id", json_text(e->id));
	json_object_set_new(o, "title", json_text(e->title));
	json_object_set_new(o, "category", json_text(e->category));
	json_object_set_new(o, "severity", json_text(e->severity));
	json_object_set_new(o, "explanation", json_text(e->explanation));
	if (e->title_zh)
		json_object_set_new(
		    o, "zh",
		    json_pack("{s:s, s:s}", "title", e->title_zh, "explanation", e->explanation_zh ? e->explanation_zh : ""));
	json_object_set_new(o, "prior", json_real(e->prior));
	if (e->shift < 0 || e->shift > 0)
		json_object_set_new(o, "shift", json_real(e->shift));
	set_lists(o, e);
	json_object_set_new(o, "evidence", evidence_json(e));
	json_object_set_new(o, "fix", fixes_json(cat, at, e));
	json_object_set_new(o, "apart", apart_json(cat, e));
	if (e->unlike)
		json_object_set_new(o, "unlike", json_text(e->unlike));
	json_object_set_new(o, "verify", json_text(e->verify));
	return o;
}

/* ---- what evidence means, each piece once ---- */

static void meaning_add(json_t *all, const char *name)
{
	if (name && !json_object_get(all, name))
		json_object_set_new(all, name, json_pack("{s:s, s:s}", "says", evidence_doc(name), "reads", evidence_reads(name)));
}

static void meanings_add_names(json_t *all, const json_t *names)
{
	for (size_t i = 0; i < json_array_size(names); i++)
		meaning_add(all, json_string_value(json_array_get(names, i)));
}

static json_t *meanings(json_t *causes)
{
	json_t *all = json_object();
	for (size_t i = 0; i < json_array_size(causes); i++) {
		const json_t *evidence = json_object_get(json_array_get(causes, i), "evidence");
		const json_t *apart = json_object_get(json_array_get(causes, i), "apart");
		for (size_t k = 0; k < json_array_size(evidence); k++)
			meaning_add(all, json_string_value(json_object_get(json_array_get(evidence, k), "name")));
		for (size_t k = 0; k < json_array_size(apart); k++)
			meanings_add_names(all, json_object_get(json_array_get(apart, k), "that"));
	}
	return all;
}

json_t *answer_causes(const struct catalogue *cat, const char *id)
{
	json_t *list = json_array();
	struct catalogue_entry e;
	for (size_t i = 0; catalogue_get(cat, i, &e); i++) {
		if (!id || strcmp(e.id, id) == 0 || strcmp(e.category, id) == 0)
			json_array_append_new(list, cause_json(cat, i, &e));
	}
	if (id && !json_array_size(list)) {
		json_decref(list);
		return NULL;
	}
	return json_pack("{s:s, s:o, s:o}", "schema", "bothways.causes/1", "causes", list, "evidence", meanings(list));
}
