/* What became of a bundle, whether a replay came to the same, and what people said of verdicts. */
#include "collector/cli/output.h"

#include <stdlib.h>
#include <string.h>

void show_bundle(struct out *o, const json_t *doc)
{
	show_sentence(o, doc_get(doc, "verdict"));
	out_printf(o, INK_PLAIN, "\nround %s, %lld bytes%s\n", doc_text(doc, "round"), doc_number(doc, "bytes"),
	           json_is_true(doc_get(doc, "capture")) ? ", with the frames that were seen" : "");
}

/* ---- replay ---- */

static char *value_text(const json_t *v)
{
	return v && !json_is_null(v) ? json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
}

static void show_difference(struct out *o, const json_t *d)
{
	char *was = value_text(doc_get(d, "was")), *now = value_text(doc_get(d, "now"));
	out_printf(o, INK_BOLD, "  %s\n", doc_text(d, "at"));
	out_text(o, INK_DIM, "    was  ");
	out_wrapped(o, INK_PLAIN, was ? was : "not there", 9, 9);
	out_text(o, INK_DIM, "    now  ");
	out_wrapped(o, INK_PLAIN, now ? now : "not there", 9, 9);
	free(was);
	free(now);
}

static void show_sameness(struct out *o, const json_t *report)
{
	const json_t *same = doc_get(report, "same"), *differences = doc_get(report, "differences");
	size_t n = json_array_size(differences);
	if (json_is_true(same))
		out_printf(o, INK_GOOD, "the verdict is the same\n");
	else if (!json_is_false(same))
		out_printf(o, INK_WARN, "the bundle does not say what the verdict was\n");
	else
		out_printf(o, INK_BAD, "the verdict is not the same: %zu difference%s\n", n, n == 1 ? "" : "s");
	for (size_t i = 0; i < n; i++)
		show_difference(o, json_array_get(differences, i));
}

void show_replay(struct out *o, const json_t *report)
{
	char ago[48];
	out_ago(o, doc_text(report, "at"), ago, sizeof ago);
	out_printf(o, INK_DIM, "replayed: round %s, %s (%s); judged by version %s (then: %s); catalogue: %s\n",
	           doc_text(report, "round"), doc_text(report, "at"), ago, doc_text(report, "program_now"),
	           doc_text(report, "program_then"), doc_text(report, "catalogue"));
	show_sameness(o, report);
}

/* ---- feedback ---- */

static void add_said(struct table *t, const struct out *o, const json_t *f)
{
	char ago[48];
	enum ink ink = json_is_true(doc_get(f, "undone")) ? INK_DIM : INK_PLAIN;
	const char *said = doc_text(f, "said"), *real = doc_text(f, "real");
	out_ago(o, doc_text(f, "at"), ago, sizeof ago);
	table_addf(t, ink, "%lld", doc_number(f, "number"));
	table_add(t, ink, ago);
	table_add(t, ink, doc_text(f, "round"));
	table_addf(t, ink, "%s ⇄ %s", doc_text(f, "a"), doc_text(f, "b"));
	table_addf(t, ink, "%s: %s%s%s", *said ? said : "no cause", json_is_true(doc_get(f, "right")) ? "right" : "wrong",
	           *real ? ", it was " : "", real);
	table_addf(t, ink, "%s%s", doc_text(f, "by"), ink == INK_DIM ? ", taken back" : "");
}

static void show_shifts(struct out *o, const json_t *doc)
{
	static const char *const heads[] = {"cause", "prior, log-odds"};
	const json_t *shifts = doc_get(doc, "shifts");
	struct table *t = table_new(2, heads);
	for (size_t i = 0; i < json_array_size(shifts); i++) {
		const json_t *s = json_array_get(shifts, i);
		double by = json_number_value(doc_get(s, "log_odds"));
		table_add(t, INK_PLAIN, doc_text(s, "cause"));
		table_addf(t, by < 0 ? INK_BAD : INK_GOOD, "%+.2f of at most %.1f", by, json_number_value(doc_get(doc, "limit")));
	}
	table_print(t, o, 2);
	table_free(t);
}

void show_feedback(struct out *o, const json_t *doc)
{
	static const char *const heads[] = {"number", "when", "round", "pair", "said", "by"};
	const json_t *list = doc_get(doc, "feedback");
	struct table *t = table_new(6, heads);
	if (!json_array_size(list)) {
		out_printf(o, INK_PLAIN, "nobody has said anything yet: bothways feedback ROUND --right | --wrong [--cause ID]\n");
		table_free(t);
		return;
	}
	for (size_t i = 0; i < json_array_size(list); i++)
		add_said(t, o, json_array_get(list, i));
	table_print(t, o, 2);
	table_free(t);
	if (json_array_size(doc_get(doc, "shifts"))) {
		out_printf(o, INK_BOLD, "\nwhat it changes\n");
		show_shifts(o, doc);
	} else {
		out_printf(o, INK_PLAIN, "\nit changes no cause's prior\n");
	}
}
