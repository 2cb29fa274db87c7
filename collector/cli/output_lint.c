#include "collector/cli/output_lint.h"

#include <string.h>

#define LABEL_WIDTH 8

enum label { LABEL_FOR, LABEL_FIX, LABEL_VERIFY };

static const char *const LABELS[][2] = {
    [LABEL_FOR] = {"for", "依据"}, [LABEL_FIX] = {"fix", "修复"}, [LABEL_VERIFY] = {"verify", "验证"}};

static enum ink severity_ink(const char *severity)
{
	return strcmp(severity, "serious") == 0 ? INK_BAD : strcmp(severity, "warning") == 0 ? INK_WARN : INK_DIM;
}

static void show_label(struct out *o, enum label label, enum lang lang)
{
	const char *text = LABELS[label][lang];
	out_pad(o, 2);
	out_text(o, INK_DIM, text);
	out_pad(o, LABEL_WIDTH - text_width(text));
}

static void show_fix(struct out *o, const json_t *f, enum lang lang)
{
	const json_t *fix = doc_get(f, "fix");
	if (!json_is_object(fix))
		return;
	show_label(o, LABEL_FIX, lang);
	out_printf(o, INK_PLAIN, lang == LANG_ZH ? "在 %s 上：\n" : "on %s:\n", doc_text(fix, "where"));
	out_pad(o, LABEL_WIDTH + 4);
	out_printf(o, INK_BOLD, "%s\n", doc_text(fix, "command"));
	show_label(o, LABEL_VERIFY, lang);
	out_printf(o, INK_PLAIN, "%s\n", doc_text(f, "verify"));
}

static void show_finding(struct out *o, const json_t *f, enum lang lang)
{
	const json_t *evidence = doc_get(f, "evidence");
	const char *sentence = lang_text(f, "sentence", lang);
	out_text(o, severity_ink(doc_text(f, "severity")), doc_text(f, "severity"));
	out_text(o, INK_PLAIN, "  ");
	out_text(o, INK_BOLD, doc_text(f, "id"));
	out_printf(o, INK_PLAIN, "  %s: %s\n", doc_text(f, "machine"), doc_text(f, "component"));
	out_pad(o, 2);
	out_wrapped(o, INK_PLAIN, *sentence ? sentence : lang_text(f, "title", lang), 2, 2);
	for (size_t i = 0; i < json_array_size(evidence); i++) {
		if (i)
			out_pad(o, LABEL_WIDTH + 2);
		else
			show_label(o, LABEL_FOR, lang);
		out_text(o, INK_DIM, "+ ");
		out_wrapped(o, INK_PLAIN, doc_item(evidence, i), LABEL_WIDTH + 4, LABEL_WIDTH + 4);
	}
	show_fix(o, f, lang);
}

static void show_checks(struct out *o, const json_t *checks, enum lang lang)
{
	struct table *t = table_new(3, NULL);
	for (size_t i = 0; i < json_array_size(checks); i++) {
		const json_t *k = json_array_get(checks, i);
		table_add(t, INK_BOLD, doc_text(k, "id"));
		table_add(t, severity_ink(doc_text(k, "severity")), doc_text(k, "severity"));
		table_add(t, INK_PLAIN, lang_text(k, "doc", lang));
	}
	table_print(t, o, 0);
	table_free(t);
}

static void show_nothing(struct out *o, const json_t *doc, enum lang lang)
{
	if (lang == LANG_ZH)
		out_printf(o, INK_GOOD, "没有发现潜在问题（%lld 项检查）。\n", doc_number(doc, "checks"));
	else
		out_printf(o, INK_GOOD, "Nothing found by %lld checks.\n", doc_number(doc, "checks"));
}

void show_lint(struct out *o, const json_t *doc, enum lang lang)
{
	const json_t *findings = doc_get(doc, "findings"), *checks = doc_get(doc, "table");
	lang_prepare(o, lang);
	if (checks) {
		show_checks(o, checks, lang);
		return;
	}
	if (!json_array_size(findings))
		show_nothing(o, doc, lang);
	for (size_t i = 0; i < json_array_size(findings); i++) {
		out_printf(o, INK_PLAIN, "%s", i ? "\n" : "");
		show_finding(o, json_array_get(findings, i), lang);
	}
	if (doc_number(doc, "left_out"))
		out_printf(o, INK_WARN, "\n... %lld\n", doc_number(doc, "left_out"));
}
