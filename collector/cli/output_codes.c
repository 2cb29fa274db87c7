#include "collector/cli/output_codes.h"

#include <string.h>

/* ---- documents ---- */

/* Sets `key` to the English text and zh.`key` to the Chinese one. */
static void set_text(json_t *o, const char *key, json_t *en, json_t *zh)
{
	if (!json_object_get(o, "zh"))
		json_object_set_new(o, "zh", json_object());
	json_object_set_new(o, key, en);
	json_object_set_new(json_object_get(o, "zh"), key, zh);
}

static json_t *advice_of(const struct code *code, enum lang lang)
{
	json_t *list = json_array();
	for (size_t i = 0; i < code->advice_count; i++)
		json_array_append_new(list, json_string(code->advice[i][lang]));
	return list;
}

static json_t *aliases_of(const struct code *code)
{
	json_t *list = json_array();
	for (const char *at = code->aliases; *at;) {
		const char *end = strstr(at, " ; ");
		size_t n = end ? (size_t)(end - at) : strlen(at);
		json_array_append_new(list, json_stringn(at, n));
		at += end ? n + 3 : n;
	}
	return list;
}

static json_t *entry_of(const struct code *code)
{
	const struct code_system *s = code->system;
	json_t *o = json_object(), *causes = json_array();
	json_object_set_new(o, "system", json_string(s->id));
	json_object_set_new(o, "code", json_string(code->code));
	if (*code->number)
		json_object_set_new(o, "number", json_string(code->number));
	json_object_set_new(o, "aliases", aliases_of(code));
	set_text(o, "title", json_string(s->title[LANG_EN]), json_string(s->title[LANG_ZH]));
	set_text(o, "meaning", json_string(code->meaning[LANG_EN]), json_string(code->meaning[LANG_ZH]));
	for (size_t i = 0; i < code->cause_count; i++)
		json_array_append_new(causes, json_string(code->causes[i]));
	json_object_set_new(o, "causes", causes);
	set_text(o, "next", advice_of(code, LANG_EN), advice_of(code, LANG_ZH));
	json_object_set_new(o, "sources", json_string(s->sources));
	return o;
}

json_t *explain_answer(const struct codes *c, const char *query)
{
	struct codes_found found;
	codes_find(c, query, &found);
	if (found.how == CODES_NONE)
		return NULL;
	json_t *doc = json_object(), *entries = json_array();
	json_object_set_new(doc, "schema", json_string("bothways.explain/1"));
	json_object_set_new(doc, "match", json_string(found.how == CODES_EXACT ? "exact" : "near"));
	for (size_t i = 0; i < found.count; i++)
		json_array_append_new(entries, entry_of(found.items[i]));
	json_object_set_new(doc, "entries", entries);
	return doc;
}

json_t *explain_systems(const struct codes *c)
{
	json_t *doc = json_object(), *list = json_array();
	json_object_set_new(doc, "schema", json_string("bothways.explain/1"));
	json_object_set_new(doc, "codes", json_integer((json_int_t)codes_count(c)));
	for (size_t i = 0; i < codes_system_count(c); i++) {
		const struct code_system *s = codes_system_at(c, i);
		json_t *o = json_object();
		json_object_set_new(o, "system", json_string(s->id));
		json_object_set_new(o, "codes", json_integer((json_int_t)s->count));
		set_text(o, "title", json_string(s->title[LANG_EN]), json_string(s->title[LANG_ZH]));
		json_array_append_new(list, o);
	}
	json_object_set_new(doc, "systems", list);
	return doc;
}

/* ---- for people ---- */

enum label { LABEL_CAUSES, LABEL_NEXT, LABEL_SOURCES, LABEL_NEAR, LABEL_SEVERAL, LABEL_USAGE };

static const char *const LABELS[][CODES_LANGS] = {
    [LABEL_CAUSES] = {"Causes", "原因"},
    [LABEL_NEXT] = {"Next", "下一步"},
    [LABEL_SOURCES] = {"Sources", "来源"},
    [LABEL_NEAR] = {"Nothing is called exactly that. Near it:", "没有完全匹配的条目，相近的有："},
    [LABEL_SEVERAL] = {"It means different things to different systems:", "在不同系统中含义不同："},
    [LABEL_USAGE] = {"bothways explain CODE: a number, a name, or a line as it was printed",
                     "bothways explain CODE：编号、名称，或原样粘贴的一行输出"},
};

#define LABEL_WIDTH 9

static void show_label(struct out *o, enum label label, enum lang lang)
{
	const char *text = LABELS[label][lang];
	out_text(o, INK_DIM, text);
	out_pad(o, LABEL_WIDTH - text_width(text));
}

static const json_t *list_in(const json_t *entry, const char *key, enum lang lang)
{
	const json_t *zh = lang == LANG_ZH ? doc_get(doc_get(entry, "zh"), key) : NULL;
	return zh ? zh : doc_get(entry, key);
}

static void show_causes_of(struct out *o, const json_t *entry, enum lang lang)
{
	const json_t *causes = doc_get(entry, "causes");
	if (!json_array_size(causes))
		return;
	show_label(o, LABEL_CAUSES, lang);
	for (size_t i = 0; i < json_array_size(causes); i++)
		out_printf(o, INK_PLAIN, "%s%s", i ? ", " : "", doc_item(causes, i));
	out_printf(o, INK_PLAIN, "\n");
}

static void show_entry(struct out *o, const json_t *entry, enum lang lang)
{
	const char *number = doc_text(entry, "number");
	const json_t *next = list_in(entry, "next", lang);
	out_text(o, INK_BOLD, doc_text(entry, "code"));
	if (*number)
		out_printf(o, INK_PLAIN, " (%s)", number);
	out_printf(o, INK_DIM, "  %s\n", lang_text(entry, "title", lang));
	out_pad(o, LABEL_WIDTH);
	out_wrapped(o, INK_PLAIN, lang_text(entry, "meaning", lang), LABEL_WIDTH, LABEL_WIDTH);
	show_causes_of(o, entry, lang);
	for (size_t i = 0; i < json_array_size(next); i++) {
		if (i)
			out_pad(o, LABEL_WIDTH);
		else
			show_label(o, LABEL_NEXT, lang);
		out_wrapped(o, INK_PLAIN, doc_item(next, i), LABEL_WIDTH, LABEL_WIDTH);
	}
	show_label(o, LABEL_SOURCES, lang);
	out_wrapped(o, INK_DIM, doc_text(entry, "sources"), LABEL_WIDTH, LABEL_WIDTH);
}

/* Near ones are told in one line each. */
static void show_near(struct out *o, const json_t *entries, enum lang lang)
{
	struct table *t = table_new(3, NULL);
	out_printf(o, INK_PLAIN, "%s\n", LABELS[LABEL_NEAR][lang]);
	for (size_t i = 0; i < json_array_size(entries); i++) {
		const json_t *entry = json_array_get(entries, i);
		table_add(t, INK_BOLD, doc_text(entry, "code"));
		table_add(t, INK_DIM, lang_text(entry, "title", lang));
		table_add(t, INK_PLAIN, lang_text(entry, "meaning", lang));
	}
	table_print(t, o, 2);
	table_free(t);
}

static void show_systems(struct out *o, const json_t *systems, enum lang lang)
{
	struct table *t = table_new(3, NULL);
	for (size_t i = 0; i < json_array_size(systems); i++) {
		const json_t *s = json_array_get(systems, i);
		table_add(t, INK_BOLD, doc_text(s, "system"));
		table_addf(t, INK_PLAIN, "%4lld", doc_number(s, "codes"));
		table_add(t, INK_PLAIN, lang_text(s, "title", lang));
	}
	table_print(t, o, 0);
	table_free(t);
	out_printf(o, INK_PLAIN, "\n%s\n", LABELS[LABEL_USAGE][lang]);
}

void show_explain(struct out *o, const json_t *doc, enum lang lang)
{
	const json_t *systems = doc_get(doc, "systems"), *entries = doc_get(doc, "entries");
	lang_prepare(o, lang);
	if (systems) {
		show_systems(o, systems, lang);
		return;
	}
	if (strcmp(doc_text(doc, "match"), "near") == 0) {
		show_near(o, entries, lang);
		return;
	}
	if (json_array_size(entries) > 1)
		out_printf(o, INK_PLAIN, "%s\n\n", LABELS[LABEL_SEVERAL][lang]);
	for (size_t i = 0; i < json_array_size(entries); i++) {
		out_printf(o, INK_PLAIN, "%s", i ? "\n" : "");
		show_entry(o, json_array_get(entries, i), lang);
	}
}
