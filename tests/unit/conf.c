#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/conf.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct conf_node *parse(const char *text, struct err *e) { return conf_parse("file", text, strlen(text), e); }

static void yaml_becomes_a_tree_with_lines(void **state)
{
	struct conf_node *n = parse("# head\nname: \"a b\"\nlist:\n  - one\n  - two: 2\n    three: ''\nempty:\n", NULL);
	const struct conf_node *list;

	(void)state;
	assert_non_null(n);
	assert_int_equal(n->type, CONF_MAP);
	assert_string_equal(conf_text(n, "name"), "a b");
	list = conf_get(n, "list");
	assert_int_equal(list->type, CONF_LIST);
	assert_int_equal(list->count, 2);
	assert_string_equal(list->items[0]->scalar, "one");
	assert_int_equal(list->items[0]->line, 4);
	assert_string_equal(conf_text(list->items[1], "two"), "2");
	assert_int_equal(conf_get(list->items[1], "three")->line, 6);
	assert_string_equal(conf_text(n, "empty"), "");
	assert_null(conf_get(n, "absent"));
	assert_null(conf_text(n, "list"));
	conf_free(n);
}

static void block_text_is_kept(void **state)
{
	struct conf_node *n = parse("text: >-\n  folded\n  lines\nraw: |\n  a\n  b\n", NULL);

	(void)state;
	assert_string_equal(conf_text(n, "text"), "folded lines");
	assert_string_equal(conf_text(n, "raw"), "a\nb\n");
	conf_free(n);
}

static void an_empty_file_is_an_empty_map(void **state)
{
	static const char *const texts[] = {"", "\n\n", "# only a comment\n", "---\n"};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct conf_node *n = parse(texts[i], NULL);

		assert_non_null(n);
		assert_int_equal(n->type, CONF_MAP);
		assert_int_equal(n->count, 0);
		conf_free(n);
	}
}

static void an_error_names_file_and_line(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
	    {"a: 1\nb: [1, 2\nc: 3\n", "file:"},
	    {"a: 1\n  b: 2\n", "file:1: "},
	    {"a: 1\na: 2\n", "file:2: `a` is given twice"},
	    {"a: &x 1\nb: *x\n", "file:2: aliases"},
	    {"a: 1\n---\nb: 1\n", "file:2: a second document"},
	    {"a: 1\n[1]: 2\n", "file:2: a key must be plain text"},
	    {"a: \"unclosed\n", "file:"},
	    {"a: 1\n%TAG x\n", "file:2: directives"},
	    {"a: \xff\n", "file:1: not text"},
	    {"a: 1\nb: \xc0\xaf\n", "file:2: not text"},
	    {"\t- x\n: :", "file:"},
	};
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		e.text[0] = '\0';
		assert_null(parse(cases[i].text, &e));
		if (strncmp(e.text, cases[i].says, strlen(cases[i].says)) != 0)
			fail_msg("case %zu: %s", i, e.text);
	}
	assert_null(conf_parse("file", "a: 1\nb: \0x", 10, &e));
	assert_string_equal(e.text, "file:2: not text");
	assert_null(conf_read("/nonexistent/file.yaml", &e));
	assert_string_equal(e.text, "/nonexistent/file.yaml: No such file or directory");
}

static void depth_and_size_are_bounded(void **state)
{
	char *big = mem_array((1 << 20) + 2, 1), deep[200];
	struct err e;

	(void)state;
	memset(deep, '[', 100);
	memset(deep + 100, ']', 100);
	assert_null(conf_parse("file", deep, sizeof deep, &e));
	memset(big, '#', (1 << 20) + 1);
	assert_null(conf_parse("file", big, (1 << 20) + 1, &e));
	assert_string_equal(e.text, "file: longer than 1048576 bytes");
	free(big);
}

/* ---- options ---- */

static const struct option_info table[] = {
    {"state", "DIR", "where it keeps its state", false},
    {"service", "PORT", "a port", true},
    {"config", "FILE", "options from a file", false},
    {"quiet", NULL, "say less", false},
    {"help", NULL, "this", false},
};
#define TABLE table, sizeof table / sizeof *table

static int run(struct options *o, struct err *e, int argc, ...)
{
	static char program[] = "program";
	char *argv[16] = {program};
	va_list ap;

	va_start(ap, argc);
	for (int i = 1; i <= argc; i++)
		argv[i] = va_arg(ap, char *);
	va_end(ap);
	return options_parse(o, TABLE, argc + 1, argv, e);
}

static void options_come_from_the_command_line(void **state)
{
	const char *ports[4];
	struct options o;
	struct err e;

	(void)state;
	assert_int_equal(run(&o, &e, 7, "--state", "/x", "--service=80", "--quiet", "--service", "443", "rest"), 0);
	assert_string_equal(options_get(&o, "state"), "/x");
	assert_true(options_has(&o, "quiet"));
	assert_false(options_has(&o, "help"));
	assert_int_equal(options_all(&o, "service", ports, 4), 2);
	assert_string_equal(ports[0], "80");
	assert_string_equal(ports[1], "443");
	assert_int_equal(o.first_arg, 7);
	options_free(&o);
	assert_int_equal(run(&o, &e, 3, "--quiet", "--", "--state"), 0);
	assert_int_equal(o.first_arg, 3);
	options_free(&o);
}

static void an_option_of_one_letter_has_one_dash(void **state)
{
	static const struct option_info letters[] = {{"w", "FILE", "where to", false}, {"wide", NULL, "more", false}};
	static char program[] = "p", w[] = "-w", dash[] = "-", wide[] = "--wide", rest[] = "rest";
	static char long_w[] = "--w", short_wide[] = "-wide", x[] = "-x";
	static const struct {
		char *option;
		const char *trouble;
	} wrong[] = {{w, "option -w needs a value: -w FILE"},
	             {long_w, "unknown option --w"},
	             {short_wide, "unknown option -wide"},
	             {x, "unknown option -x"}};
	char *argv[] = {program, w, dash, wide, rest};
	struct options o;
	struct err e;

	(void)state;
	assert_int_equal(options_parse(&o, letters, 2, 5, argv, &e), 0);
	assert_string_equal(options_get(&o, "w"), "-");
	assert_true(options_has(&o, "wide"));
	assert_int_equal(o.first_arg, 4);
	options_free(&o);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		argv[1] = wrong[i].option;
		assert_int_equal(options_parse(&o, letters, 2, 2, argv, &e), -1);
		assert_non_null(strstr(e.text, wrong[i].trouble));
	}
}

static void bad_usage_names_the_option(void **state)
{
	struct options o;
	struct err e;

	(void)state;
	assert_int_equal(run(&o, &e, 1, "--stat"), -1);
	assert_non_null(strstr(e.text, "unknown option --stat"));
	assert_int_equal(run(&o, &e, 1, "--state"), -1);
	assert_non_null(strstr(e.text, "--state needs a value"));
	assert_int_equal(run(&o, &e, 1, "--quiet=1"), -1);
	assert_non_null(strstr(e.text, "--quiet takes no value"));
	assert_int_equal(run(&o, &e, 1, "-x"), -1);
}

static char file[] = "/tmp/bothways-conf-XXXXXX";

static void file_put(const char *text)
{
	FILE *f = fopen(file, "w");

	fputs(text, f);
	fclose(f);
}

static void a_file_fills_in_what_the_command_line_leaves(void **state)
{
	const char *ports[4];
	struct options o;
	struct err e;

	(void)state;
	file_put("state: /from/file\nservice: [1, 2]\nquiet: true\n");
	assert_int_equal(run(&o, &e, 4, "--config", file, "--service", "9"), 0);
	assert_string_equal(options_get(&o, "state"), "/from/file");
	assert_true(options_has(&o, "quiet"));
	assert_int_equal(options_all(&o, "service", ports, 4), 1);
	assert_string_equal(ports[0], "9");
	options_free(&o);
	assert_int_equal(run(&o, &e, 2, "--config", file), 0);
	assert_int_equal(options_all(&o, "service", ports, 4), 2);
	options_free(&o);
}

static void a_bad_file_is_refused_with_its_line(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
	    {"state: /x\nstaet: /y\n", ":2: unknown option `staet`"},
	    {"\nquiet: maybe\n", ":2: `quiet` is true or false"},
	    {"state: [a, b]\n", ":1: `state` must be one value"},
	    {"service: [[1]]\n", ":1: an entry of `service` must be plain text"},
	    {"- a\n", ":1: `option: value` lines are expected"},
	    {"config: other\n", ":1: unknown option `config`"},
	};
	struct options o;
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		file_put(cases[i].text);
		assert_int_equal(run(&o, &e, 2, "--config", file), -1);
		assert_non_null(strstr(e.text, cases[i].says));
	}
}

static void what_was_understood_prints_as_yaml(void **state)
{
	struct options o, again;
	struct buf text = {0};
	struct err e;
	char *out = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&out, &len);

	(void)state;
	run(&o, &e, 6, "--state", "a \"b\"\\", "--service=1", "--quiet", "--service", "2");
	options_print(&o, f);
	fclose(f);
	assert_string_equal(out, "state: \"a \\\"b\\\"\\\\\"\nservice:\n  - \"1\"\n  - \"2\"\nquiet: \"true\"\n");
	file_put(out);
	assert_int_equal(run(&again, &e, 2, "--config", file), 0);
	assert_string_equal(options_get(&again, "state"), "a \"b\"\\");
	options_free(&o);
	options_free(&again);
	buf_free(&text);
	free(out);
}

static void help_shows_what_is_for_users(void **state)
{
	static const struct option_info shown[] = {{"state", "DIR", "where", false}, {"hidden", "N", NULL, false}};
	char *out = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&out, &len);

	(void)state;
	options_help(shown, 2, f);
	fclose(f);
	assert_string_equal(out, "  --state DIR                   where\n");
	free(out);
}

static void endpoints_and_durations_are_checked(void **state)
{
	static const char *const good[] = {"tcp://192.0.2.1:7400", "tcp://[2001:db8::1]:1", "tcp://*:65535", "tcp://a-b.example:80",
	                                   "ipc:///run/x"};
	static const char *const bad[] = {
	    "",           "192.0.2.1:7400", "tcp://192.0.2.1",        "tcp://:7400", "tcp://h:0", "tcp://h:65536",
	    "tcp://h:7x", "tcp://a b:1",    "tcp://2001:db8::1:7400", "ipc://"};
	int64_t s = 0;
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		assert_int_equal(endpoint_check(good[i], &e), 0);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(endpoint_check(bad[i], &e), -1);
	assert_true(duration_parse("90", &s) == 0 && s == 90);
	assert_true(duration_parse("10m", &s) == 0 && s == 600);
	assert_true(duration_parse("2d", &s) == 0 && s == 172800);
	assert_int_equal(duration_parse("", &s), -1);
	assert_int_equal(duration_parse("-1s", &s), -1);
	assert_int_equal(duration_parse("5 parsecs", &s), -1);
	assert_int_equal(duration_parse("99999999999999999999", &s), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(yaml_becomes_a_tree_with_lines),
	    cmocka_unit_test(block_text_is_kept),
	    cmocka_unit_test(an_empty_file_is_an_empty_map),
	    cmocka_unit_test(an_error_names_file_and_line),
	    cmocka_unit_test(depth_and_size_are_bounded),
	    cmocka_unit_test(options_come_from_the_command_line),
	    cmocka_unit_test(an_option_of_one_letter_has_one_dash),
	    cmocka_unit_test(bad_usage_names_the_option),
	    cmocka_unit_test(a_file_fills_in_what_the_command_line_leaves),
	    cmocka_unit_test(a_bad_file_is_refused_with_its_line),
	    cmocka_unit_test(what_was_understood_prints_as_yaml),
	    cmocka_unit_test(help_shows_what_is_for_users),
	    cmocka_unit_test(endpoints_and_durations_are_checked),
	};
	int result;

	close(mkstemp(file));
	result = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(file);
	return result;
}
