/* What people see: documents of tests/golden/cli/NAME.json shown as NAME.txt (BW_GOLDEN=write makes them anew). */
#include "collector/cli/graph.h"
#include "collector/cli/output.h"
#include "collector/cli/output_codes.h"
#include "collector/cli/output_lint.h"

#include "proto/base/mem.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW 1795341700 /* 100 s after the golden documents' changes */

static char *show(void (*fn)(struct out *, const json_t *), const char *name, struct out how)
{
	char *text = NULL, *path = mem_printf("tests/golden/cli/%s.json", name);
	size_t size;
	json_error_t e;
	json_t *doc = json_load_file(path, 0, &e);
	if (!doc)
		fail_msg("%s:%d: %s", path, e.line, e.text);
	how.to = open_memstream(&text, &size);
	how.now = NOW;
	fn(&how, doc);
	fclose(how.to);
	json_decref(doc);
	free(path);
	return text;
}

static void check(const char *text, const char *golden)
{
	static char expected[65536];
	char *path = mem_printf("tests/golden/cli/%s.txt", golden);
	const char *mode = getenv("BW_GOLDEN");
	bool write = mode && strcmp(mode, "write") == 0;
	FILE *f = fopen(path, write ? "w+" : "r");
	if (!f)
		fail_msg("%s is not there", path);
	if (write) {
		fputs(text, f);
		rewind(f);
	}
	expected[fread(expected, 1, sizeof expected - 1, f)] = '\0';
	fclose(f);
	free(path);
	assert_string_equal(text, expected);
}

static void explain_en(struct out *o, const json_t *doc) { show_explain(o, doc, LANG_EN); }
static void explain_zh(struct out *o, const json_t *doc) { show_explain(o, doc, LANG_ZH); }

static void lint_en(struct out *o, const json_t *doc) { show_lint(o, doc, LANG_EN); }
static void lint_zh(struct out *o, const json_t *doc) { show_lint(o, doc, LANG_ZH); }

static void documents_look_as_they_did(void **state)
{
	(void)state;
	static const struct {
		const char *document, *golden;
		void (*fn)(struct out *, const json_t *);
		struct out how;
	} CASES[] = {
	    {"one-way", "one-way", show_verdict, {.utf8 = true, .width = 100}},
	    {"one-way", "one-way-narrow", show_verdict, {.utf8 = true, .width = 60}},
	    {"one-way", "one-way-ascii", show_verdict, {.utf8 = false, .width = 100}},
	    {"one-way", "one-way-color", show_verdict, {.utf8 = true, .width = 100, .color = true}},
	    {"ok", "ok", show_verdict, {.utf8 = true, .width = 100}},
	    {"undetermined", "undetermined", show_verdict, {.utf8 = true, .width = 100}},
	    {"trace", "trace", show_trace, {.utf8 = true, .width = 120}},
	    {"trace", "trace-narrow", show_trace, {.utf8 = true, .width = 80}},
	    {"trace", "trace-ascii", show_trace, {.utf8 = false, .width = 120}},
	    {"ok", "trace-old", show_trace, {.utf8 = true, .width = 100}},
	    {"capture", "capture", show_capture, {.utf8 = true, .width = 100}},
	    {"feedback", "feedback", show_feedback, {.utf8 = true, .width = 110}},
	    {"replay", "replay", show_replay, {.utf8 = true, .width = 100}},
	    {"mesh", "mesh", show_mesh, {.utf8 = true, .width = 100}},
	    {"mesh", "mesh-narrow", show_mesh, {.utf8 = true, .width = 40}},
	    {"status", "status", show_status, {.utf8 = true, .width = 100}},
	    {"agents", "agents", show_agents, {.utf8 = true, .width = 120}},
	    {"changes", "changes", show_facts, {.utf8 = true, .width = 100}},
	    {"facts", "facts", show_facts, {.utf8 = true, .width = 100}},
	    {"lint", "lint", lint_en, {.utf8 = true, .width = 100}},
	    {"lint", "lint-zh", lint_zh, {.utf8 = true, .width = 80}},
	    {"explain", "explain", explain_en, {.utf8 = true, .width = 100}},
	    {"explain", "explain-zh", explain_zh, {.utf8 = false, .width = 60}},
	    {"explain-near", "explain-near", explain_en, {.utf8 = true, .width = 100}},
	    {"explain-systems", "explain-systems", explain_en, {.utf8 = true, .width = 100}},
	    {"cause", "cause", show_causes, {.utf8 = true, .width = 100}},
	    {"cause", "cause-zh", show_causes, {.utf8 = true, .zh = true, .width = 60}},
	    {"cause", "cause-svg", graph_svg, {.utf8 = true}},
	    {"cause", "cause-dot", graph_dot, {.utf8 = true}},
	    {"causes", "causes", show_causes, {.utf8 = true, .width = 100}},
	    {"causes", "causes-zh-svg", graph_svg, {.utf8 = true, .zh = true}},
	    {"one-way", "one-way-zh", show_verdict, {.utf8 = true, .zh = true, .width = 100}},
	    {"undetermined", "undetermined-zh", show_verdict, {.utf8 = true, .zh = true, .width = 100}},
	};
	for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
		char *text = show(CASES[i].fn, CASES[i].document, CASES[i].how);
		check(text, CASES[i].golden);
		free(text);
	}
}

static void width_counts_columns_not_bytes(void **state)
{
	(void)state;
	assert_int_equal(text_width("vm1 → vm2"), 9);
	assert_int_equal(text_width("漢字"), 4);
	assert_int_equal(text_width("e\xcc\x81"), 1); /* a combining accent */
	assert_int_equal(text_width("\xff\xfe"), 2);
}

/* A machine may call its interface what it likes: it cannot write on the reader's terminal. */
static void control_characters_are_not_shown(void **state)
{
	(void)state;
	char *text = NULL;
	size_t size;
	struct out o = {.to = open_memstream(&text, &size), .utf8 = true, .width = 80};
	out_text(&o, INK_PLAIN, "a\x1b[31mb\rc\x7f\xc2\x9b");
	fclose(o.to);
	assert_string_equal(text, "a?[31mb?c??");
	free(text);
}

static void a_wrong_document_is_survived(void **state)
{
	(void)state;
	static void (*const all[])(struct out *, const json_t *) = {show_verdict, show_mesh,   show_status, show_agents,
	                                                            show_facts,   show_causes, show_token,  show_trace,
	                                                            show_capture, explain_zh,  graph_svg,   graph_dot};
	static const char *const wrong[] = {
	    "{}", "[]",
	    "{\"directions\": 3, \"causes\": [1, null], \"pairs\": [{}], \"agents\": [[]], \"facts\": [], \"problems\": [0]}"};
	for (size_t w = 0; w < sizeof wrong / sizeof *wrong; w++)
		for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
			char *text = NULL;
			size_t size;
			struct out o = {.to = open_memstream(&text, &size), .utf8 = true, .width = 80};
			json_t *doc = json_loads(wrong[w], 0, NULL);
			all[i](&o, doc);
			fclose(o.to);
			free(text);
			json_decref(doc);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(documents_look_as_they_did),
	    cmocka_unit_test(width_counts_columns_not_bytes),
	    cmocka_unit_test(control_characters_are_not_shown),
	    cmocka_unit_test(a_wrong_document_is_survived),
	};
	setlocale(LC_CTYPE, "C.UTF-8");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
