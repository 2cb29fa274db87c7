#include "collector/cli/commands.h"

#include "collector/cli/client.h"
#include "collector/cli/graph.h"
#include "collector/cli/lang.h"
#include "collector/cli/output_codes.h"
#include "collector/cli/output_lint.h"
#include "collector/cli/savefile.h"
#include "collector/replay.h"
#include "proto/base/mem.h"
#include "proto/base/mono.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_SECONDS       15
#define DIAGNOSE_SECONDS     60
#define WAIT_DEFAULT_SECONDS 60
#define WAIT_POLL_MS         200
#define WORDS_MAX            64
#define PARTS_MAX            (WORDS_MAX + 8)

struct command;

/* A command line taken apart: words, and the options before, between and behind them. */
struct call {
	const struct command *command;
	struct options parts[PARTS_MAX];
	size_t part_count;
	const char *words[WORDS_MAX];
	size_t word_count;
};

struct command {
	const char *name, *words, *help;
	size_t words_min, words_max;
	const struct option_info *options;
	size_t option_count;
	int (*run)(struct cli *c, const struct call *call, struct err *e);
	void (*show)(struct out *o, const json_t *doc);
	int seconds;
};

/* ---- asking ---- */

static const char *call_option(const struct call *call, const char *name)
{
	for (size_t i = call->part_count; i-- > 0;)
		if (options_has(&call->parts[i], name))
			return options_get(&call->parts[i], name);
	return NULL;
}

static bool call_has(const struct call *call, const char *name)
{
	for (size_t i = 0; i < call->part_count; i++)
		if (options_has(&call->parts[i], name))
			return true;
	return false;
}

static int query_add(struct msg_query *q, const char *text, struct err *e)
{
	if (q->argc >= QUERY_ARGS_MAX || str_copy(q->args[q->argc++], sizeof q->args[0], text))
		return err_set(e, "too long: %.60s...", text);
	return 0;
}

/* Options that only say how the answer is shown. */
static bool is_of_showing(const struct option_info *o)
{
	static const char *const NAMES[] = {"json", "help", "lang", "graph"};
	for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
		if (strcmp(o->name, NAMES[i]) == 0)
			return true;
	return !o->name[1];
}

static int query_of(const struct call *call, struct msg_query *q, struct err *e)
{
	*q = (struct msg_query){.id = (uint32_t)keys_random64()};
	int rc = query_add(q, call->command->name, e);
	for (size_t i = 0; !rc && i < call->word_count; i++)
		rc = query_add(q, call->words[i], e);
	for (size_t i = 0; !rc && i < call->command->option_count; i++) {
		const struct option_info *o = &call->command->options[i];
		const char *value = call_option(call, o->name);
		if (!call_has(call, o->name) || is_of_showing(o))
			continue;
		char *arg = o->value ? mem_printf("--%s=%s", o->name, value) : mem_printf("--%s", o->name);
		rc = query_add(q, arg, e);
		free(arg);
	}
	return rc;
}

static void show_progress(void *arg, const char *json)
{
	json_t *doc = json_loads(json, 0, NULL);
	(void)arg;
	fprintf(stderr, "\r\x1b[K%s ...", doc_text(doc, "progress"));
	json_decref(doc);
}

static void save_part(void *arg, const void *data, size_t len) { savefile_write(arg, data, len); }

/* `file`: for the parts of one, if any come; may be NULL. */
static int ask(struct cli *c, const struct msg_query *q, int seconds, struct savefile *file, json_t **doc, struct err *e)
{
	bool progress = !c->json && isatty(STDERR_FILENO) && isatty(STDOUT_FILENO);
	struct client_hooks hooks = {progress ? show_progress : NULL, file ? save_part : NULL, file};
	struct answer a = {0};
	if (c->trouble.text[0])
		return err_set(e, "%s", c->trouble.text);
	int rc = client_ask(c->endpoint, &c->key, q, seconds, &hooks, &a, e);
	if (progress)
		fputs("\r\x1b[K", stderr);
	if (rc)
		return -1;
	*doc = json_loads(a.json ? a.json : "", 0, NULL);
	free(a.json);
	if (!*doc)
		return err_set(e, "the collector's answer is not JSON");
	if (a.exit_code != 1)
		return a.exit_code;
	err_set(e, "%s", doc_text(*doc, "error"));
	json_decref(*doc);
	*doc = NULL;
	return -1;
}

static struct out out_of(const struct cli *c)
{
	struct out o = out_for(stdout);
	o.zh = c->lang == LANG_ZH;
	lang_prepare(&o, c->lang);
	return o;
}

static void print(const struct cli *c, const struct command *cmd, const json_t *doc)
{
	if (c->json) {
		json_dumpf(doc, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
		putchar('\n');
		return;
	}
	struct out o = out_of(c);
	cmd->show(&o, doc);
}

/* Most commands: the question, the answer, shown. */
static int run_query(struct cli *c, const struct call *call, struct err *e)
{
	struct msg_query q;
	json_t *doc = NULL;
	if (query_of(call, &q, e))
		return 1;
	c->connect(c, c->options);
	int code = ask(c, &q, call->command->seconds, NULL, &doc, e);
	if (code < 0)
		return 1;
	print(c, call->command, doc);
	json_decref(doc);
	return code;
}

/* ---- causes ---- */

static int run_causes(struct cli *c, const struct call *call, struct err *e)
{
	const char *graph = call_option(call, "graph");
	struct msg_query q;
	json_t *doc = NULL;
	if (!graph)
		return run_query(c, call, e);
	if (strcmp(graph, "svg") != 0 && strcmp(graph, "dot") != 0)
		return err_set(e, "--graph: svg or dot, not %.40s", graph), 1;
	if (query_of(call, &q, e))
		return 1;
	c->connect(c, c->options);
	int code = ask(c, &q, call->command->seconds, NULL, &doc, e);
	if (code < 0)
		return 1;
	struct out o = {.to = stdout, .utf8 = true, .zh = c->lang == LANG_ZH};
	lang_prepare(&o, c->lang);
	(strcmp(graph, "svg") == 0 ? graph_svg : graph_dot)(&o, doc);
	json_decref(doc);
	return code;
}

/* ---- capture, bundle: answers that bring a file ---- */

static void print_saved(const struct cli *c, const struct command *cmd, const json_t *doc, const char *path)
{
	bool piped = strcmp(path, "-") == 0;
	struct out o = out_for(piped ? stderr : stdout);
	if (c->json) {
		print(c, cmd, doc);
		return;
	}
	cmd->show(&o, doc);
	if (!piped)
		out_printf(&o, INK_PLAIN, "\nwritten to %s; to look at it: %s %s\n", path,
		           cmd->show == show_capture ? "tshark -r" : "bothways replay", path);
}

/* The place is opened first: a round for nothing would be rude. */
static int run_saved(struct cli *c, const struct call *call, struct err *e)
{
	const char *path = call_option(call, "w");
	struct msg_query q;
	json_t *doc = NULL;
	if (!path)
		return err_set(e, "%s: where to? usage: bothways %s %s -w FILE", call->command->name, call->command->name,
		               call->command->words),
		       1;
	if (strcmp(path, "-") == 0 && (c->json || isatty(STDOUT_FILENO)))
		return err_set(e, c->json ? "-w - and --json both want standard output" : "-w -: not onto a terminal"), 1;
	if (query_of(call, &q, e))
		return 1;
	struct savefile *file = savefile_new(path, e);
	if (!file)
		return 1;
	c->connect(c, c->options);
	int code = ask(c, &q, call->command->seconds, file, &doc, e);
	if (code < 0)
		savefile_drop(file);
	if (code < 0 || savefile_done(file, e)) {
		json_decref(doc);
		return 1;
	}
	print_saved(c, call->command, doc, path);
	json_decref(doc);
	return code;
}

/* ---- replay ---- */

/* The bundle may name no verdict of then: a folder that people made need not. */
static int replay_check(const struct cli *c, const struct call *call, const struct replay *r, struct err *e)
{
	if (!r->was)
		return err_set(e, "%s: has no verdict.json to compare with", call->words[0]), 1;
	print(c, call->command, r->report);
	return r->same ? 0 : 2;
}

static int replay_show(const struct cli *c, const struct call *call, const struct replay *r)
{
	struct out o = out_of(c);
	if (c->json) {
		json_dumpf(r->verdict, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
		putchar('\n');
		if (!r->same)
			fprintf(stderr, "bothways: this is not the verdict in the bundle (--check says what differs)\n");
		return r->exit_code;
	}
	show_verdict(&o, r->verdict);
	out_printf(&o, INK_PLAIN, "\n");
	call->command->show(&o, r->report);
	return r->exit_code;
}

static int run_replay(struct cli *c, const struct call *call, struct err *e)
{
	struct replay r;
	struct replay_wish wish = {call->words[0], call_option(call, "catalogue"), call_has(call, "why")};
	if (replay(&wish, &r, e))
		return 1;
	int code = call_has(call, "check") ? replay_check(c, call, &r, e) : replay_show(c, call, &r);
	replay_clear(&r);
	return code;
}

/* ---- wait ---- */

static int take_seconds(const struct call *call, const char *name, int64_t *out, struct err *e)
{
	const char *text = call_option(call, name);
	if (text && (duration_parse(text, out) || *out < 0 || *out > 86400))
		return err_set(e, "--%s: not a number of seconds: %s", name, text);
	return 0;
}

static int wait_options(const struct call *call, long long *agents, int64_t *timeout, struct err *e)
{
	const char *text = call_option(call, "agents");
	char *end;
	*agents = text ? strtoll(text, &end, 10) : -1;
	if (!text)
		return err_set(e, "wait: --agents N is missing");
	if (!*text || *end || *agents < 0 || *agents > 10000000)
		return err_set(e, "--agents: not a number: %s", text);
	return take_seconds(call, "timeout", timeout, e);
}

static bool is_reached(const json_t *status, long long agents)
{
	return doc_number(doc_get(status, "agents"), "online") >= agents && json_is_true(doc_get(status, "settled"));
}

static int wait_done(const struct cli *c, const json_t *status)
{
	if (c->json) {
		json_dumpf(status, stdout, JSON_INDENT(2));
		putchar('\n');
		return 0;
	}
	printf("%lld agents are online, %lld pairs measured\n", doc_number(doc_get(status, "agents"), "online"),
	       doc_number(doc_get(status, "pairs"), "measured"));
	return 0;
}

static void wait_failed(const json_t *status, long long agents, int64_t timeout, const struct err *last, struct err *e)
{
	const json_t *a = doc_get(status, "agents"), *p = doc_get(status, "pairs");
	if (status)
		err_set(e, "not reached in %lld s: %lld of %lld agents are online, %lld of %lld pairs have been measured",
		        (long long)timeout, doc_number(a, "online"), agents, doc_number(p, "measured"), doc_number(p, "planned"));
	else
		err_set(e, "not reached in %lld s: %s", (long long)timeout, last->text);
}

static int run_wait(struct cli *c, const struct call *call, struct err *e)
{
	struct msg_query q = {.id = 1, .argc = 1, .args = {"status"}};
	int64_t timeout = WAIT_DEFAULT_SECONDS;
	long long agents;
	json_t *status = NULL;
	struct err last = {0};
	if (wait_options(call, &agents, &timeout, e))
		return 1;
	struct mono end = mono_add_ms(mono_now(), timeout * 1000);
	for (;;) {
		json_t *fresh = NULL;
		c->connect(c, c->options);
		if (ask(c, &q, 5, NULL, &fresh, &last) >= 0) {
			json_decref(status);
			status = fresh;
		}
		bool reached = fresh && is_reached(fresh, agents);
		if (reached || mono_reached(end, mono_now())) {
			int code = reached ? wait_done(c, status) : 1;
			if (!reached)
				wait_failed(status, agents, timeout, &last, e);
			json_decref(status);
			return code;
		}
		nanosleep(&(struct timespec){.tv_nsec = WAIT_POLL_MS * 1000000}, NULL);
	}
}

/* ---- explain ---- */

static void show_codes(const struct cli *c, const json_t *doc, enum lang lang)
{
	if (c->json) {
		json_dumpf(doc, stdout, JSON_INDENT(2));
		putchar('\n');
		return;
	}
	struct out o = out_for(stdout);
	show_explain(&o, doc, lang);
}

static char *words_joined(const struct call *call)
{
	struct buf b = {0};
	for (size_t i = 0; i < call->word_count; i++)
		buf_printf(&b, "%s%s", i ? " " : "", call->words[i]);
	return b.data;
}

/* From the table that is compiled in: no collector is asked. */
static int run_explain(struct cli *c, const struct call *call, struct err *e)
{
	enum lang lang;
	if (lang_choose(call_option(call, "lang"), &lang, e))
		return 1;
	struct codes *codes = codes_builtin();
	char *query = words_joined(call);
	json_t *doc = query ? explain_answer(codes, query) : explain_systems(codes);
	if (doc)
		show_codes(c, doc, lang);
	else
		err_set(e, "explain: nothing is known of \"%.80s\", and nothing is near it (bothways causes lists the causes)",
		        query);
	int code = doc ? 0 : 1;
	json_decref(doc);
	free(query);
	codes_free(codes);
	return code;
}

/* ---- lint ---- */

static int run_lint(struct cli *c, const struct call *call, struct err *e)
{
	struct msg_query q;
	json_t *doc = NULL;
	enum lang lang;
	if (lang_choose(call_option(call, "lang"), &lang, e) || query_of(call, &q, e))
		return 1;
	c->connect(c, c->options);
	int code = ask(c, &q, call->command->seconds, NULL, &doc, e);
	if (code < 0)
		return 1;
	struct out o = out_for(stdout);
	if (c->json)
		print(c, call->command, doc);
	else
		show_lint(&o, doc, lang);
	json_decref(doc);
	return code;
}

/* ---- the table ---- */

#define EVERYWHERE                                                                                                                 \
	{"json", NULL, "print the answer as one JSON document", false},                                                            \
	{                                                                                                                          \
		"help", NULL, "print what the command takes and exit", false                                                       \
	}

static const struct option_info TOKEN_OPTIONS[] = {
    {"tenant", "T", "whose it is; hosts belong to the tenant fleet; a new tenant is made", false},
    {"kind", "KIND", "host or guest", false},
    {"name", "N", "fixes the agent's name (else it may choose, by its host name)", false},
    {"ttl", "TIME", "how long the token can be used: 90s, 10m, 1h, 2d (default 1h)", false},
    {"uses", "N", "how many agents may join with it (default 1)", false},
    EVERYWHERE,
};
static const struct option_info WAIT_OPTIONS[] = {
    {"agents", "N", "how many agents are to be online", false},
    {"timeout", "S", "give up after so many seconds (default 60)", false},
    EVERYWHERE,
};
static const struct option_info TENANT_OPTIONS[] = {
    {"tenant", "T", "only this tenant", false},
    EVERYWHERE,
};
#define IN_LANGUAGE                                                                                                                \
	{                                                                                                                          \
		"lang", "LANG", "en or zh (default: what LC_ALL, LC_MESSAGES or LANG say)", false                                  \
	}

static const struct option_info DIAGNOSE_OPTIONS[] = {
    {"why", NULL, "also the arithmetic: every cause that was considered, with its evidence and weights", false},
    IN_LANGUAGE,
    {"service", "PORT", "also connect to this TCP port of B", false},
    {"deep", NULL, "measure loss, delay, order and queues with a train of probes, whatever the first ones say", false},
    EVERYWHERE,
};
static const struct option_info CAPTURE_OPTIONS[] = {
    {"w", "FILE", "where the capture goes, as pcapng; - is standard output", false},
    {"service", "PORT", "also connect to this TCP port of B", false},
    EVERYWHERE,
};
static const struct option_info BUNDLE_OPTIONS[] = {
    {"w", "FILE", "where the bundle goes, a gzipped tar; - is standard output", false},
    {"now", NULL, "make a round of the pair first, and keep the frames of it", false},
    {"service", "PORT", "with --now, also connect to this TCP port of B", false},
    EVERYWHERE,
};
static const struct option_info REPLAY_OPTIONS[] = {
    {"catalogue", "FILE", "judge by this catalogue of causes, instead of the one of then", false},
    {"why", NULL, "also the arithmetic, as diagnose --why", false},
    {"check", NULL, "only say whether the verdict is the one in the bundle; exit 2 when it is not", false},
    IN_LANGUAGE,
    EVERYWHERE,
};
static const struct option_info FEEDBACK_OPTIONS[] = {
    {"right", NULL, "the verdict of this round named the cause", false},
    {"wrong", NULL, "it did not", false},
    {"cause", "ID", "what it really was", false},
    {"undo", "N", "take back number N of the list", false},
    EVERYWHERE,
};
static const struct option_info TRACE_OPTIONS[] = {
    {"now", NULL, "make a round first, instead of showing the last one", false},
    EVERYWHERE,
};
static const struct option_info FACTS_OPTIONS[] = {
    {"changes", NULL, "what changed, and when, instead of what is", false},
    EVERYWHERE,
};
static const struct option_info LINT_OPTIONS[] = {
    {"tenant", "T", "only this tenant", false},
    {"checks", NULL, "list what is checked, instead of checking", false},
    {"lang", "LANG", "en or zh (default: what LC_ALL, LC_MESSAGES or LANG say)", false},
    EVERYWHERE,
};
static const struct option_info EXPLAIN_OPTIONS[] = {
    IN_LANGUAGE,
    EVERYWHERE,
};
static const struct option_info CAUSES_OPTIONS[] = {
    {"graph", "FORMAT", "a picture of evidence, causes and fixes: svg, or dot for Graphviz", false},
    IN_LANGUAGE,
    EVERYWHERE,
};

#define OPTIONS(list) list, sizeof list / sizeof *list

static const struct command COMMANDS[] = {
    {"token", "", "make a token for an agent to join with", 0, 0, OPTIONS(TOKEN_OPTIONS), run_query, show_token, ANSWER_SECONDS},
    {"wait", "", "until agents are online and every watched pair has been measured once", 0, 0, OPTIONS(WAIT_OPTIONS), run_wait,
     show_status, ANSWER_SECONDS},
    {"status", "", "the fleet at a glance", 0, 0, OPTIONS(TENANT_OPTIONS), run_query, show_status, ANSWER_SECONDS},
    {"agents", "", "every agent: where it is, how it was last heard, what it may do", 0, 0, OPTIONS(TENANT_OPTIONS), run_query,
     show_agents, ANSWER_SECONDS},
    {"mesh", "", "the matrix, both directions in every cell", 0, 0, OPTIONS(TENANT_OPTIONS), run_query, show_mesh, ANSWER_SECONDS},
    {"diagnose", "A B", "measure the pair now and say what is wrong, where, why, and what fixes it", 2, 2,
     OPTIONS(DIAGNOSE_OPTIONS), run_query, show_verdict, DIAGNOSE_SECONDS},
    {"trace", "A B", "the last round of the pair, hop by hop, both directions side by side", 2, 2, OPTIONS(TRACE_OPTIONS),
     run_query, show_trace, DIAGNOSE_SECONDS},
    {"capture", "A B", "measure the pair now and keep what every point saw, as one file for Wireshark", 2, 2,
     OPTIONS(CAPTURE_OPTIONS), run_saved, show_capture, DIAGNOSE_SECONDS},
    {"bundle", "A B|ROUND", "everything a verdict was made from as one file: of the last round of a pair, or of any by its number",
     1, 2, OPTIONS(BUNDLE_OPTIONS), run_saved, show_bundle, DIAGNOSE_SECONDS},
    {"replay", "FILE", "the verdict of a bundle once more, from what is in it; asks no collector", 1, 1, OPTIONS(REPLAY_OPTIONS),
     run_replay, show_replay, ANSWER_SECONDS},
    {"feedback", "[ROUND]", "say whether a verdict was right, or list what was said and what it changed", 0, 1,
     OPTIONS(FEEDBACK_OPTIONS), run_query, show_feedback, ANSWER_SECONDS},
    {"facts", "NAME", "what a machine said of itself", 1, 1, OPTIONS(FACTS_OPTIONS), run_query, show_facts, ANSWER_SECONDS},
    {"causes", "[ID]", "the catalogue of causes, a category, or one cause of it", 0, 1, OPTIONS(CAUSES_OPTIONS), run_causes,
     show_causes, ANSWER_SECONDS},
    {"lint", "[NAME]", "faults that have not hurt yet: what is wrong with machines although nothing is lost", 0, 1,
     OPTIONS(LINT_OPTIONS), run_lint, NULL, ANSWER_SECONDS},
    {"explain", "[CODE...]", "what an error number, an ICMP type, a drop reason, an event or a message means", 0, WORDS_MAX,
     OPTIONS(EXPLAIN_OPTIONS), run_explain, NULL, ANSWER_SECONDS},
};
#define COMMAND_COUNT (sizeof COMMANDS / sizeof *COMMANDS)

static void option_help(const struct option_info *o, FILE *to)
{
	char left[64];
	snprintf(left, sizeof left, "%s%s%s%s", o->name[1] ? "--" : "-", o->name, o->value ? " " : "", o->value ? o->value : "");
	fprintf(to, "      %-16s %s\n", left, o->help);
}

static bool is_everywhere(const struct option_info *o) { return strcmp(o->name, "json") == 0 || strcmp(o->name, "help") == 0; }

static void command_help(const struct command *cmd, FILE *to)
{
	fprintf(to, "  %s%s%s\n      %s\n", cmd->name, *cmd->words ? " " : "", cmd->words, cmd->help);
	for (size_t k = 0; k < cmd->option_count; k++)
		if (!is_everywhere(&cmd->options[k]))
			option_help(&cmd->options[k], to);
}

void commands_help(FILE *to)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		command_help(&COMMANDS[i], to);
}

/* ---- the command line ---- */

static int call_parse(struct call *call, int argc, char **argv, struct err *e)
{
	const struct command *cmd = call->command;
	while (argc > 0) {
		if (call->part_count == PARTS_MAX)
			return err_set(e, "%s: too many arguments", cmd->name);
		struct options *part = &call->parts[call->part_count++];
		if (options_parse(part, cmd->options, cmd->option_count, argc, argv, e))
			return err_prefix(e, "%s", cmd->name);
		int first = part->first_arg;
		if (first >= argc)
			break;
		if (call->word_count == cmd->words_max)
			return err_set(e, "%s: what is \"%s\"? usage: bothways %s %s", cmd->name, argv[first], cmd->name,
			               cmd->words);
		call->words[call->word_count++] = argv[first];
		argv += first; /* the word stands where a program's name would */
		argc -= first;
	}
	if (call->word_count < cmd->words_min && !call_has(call, "help"))
		return err_set(e, "%s: a name is missing: usage: bothways %s %s", cmd->name, cmd->name, cmd->words);
	return 0;
}

int command_run(struct cli *c, int argc, char **argv, struct err *e)
{
	struct call call = {0};
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (strcmp(COMMANDS[i].name, argv[0]) == 0)
			call.command = &COMMANDS[i];
	if (!call.command) {
		err_set(e, "no such command: %s (bothways --help lists them)", argv[0]);
		return 1;
	}
	int code = 1;
	if (!call_parse(&call, argc, argv, e)) {
		c->json = c->json || call_has(&call, "json");
		bool known = !lang_choose(call_option(&call, "lang"), &c->lang, e);
		if (call_has(&call, "help"))
			code = (command_help(call.command, stdout), 0);
		else if (known)
			code = call.command->run(c, &call, e);
	}
	for (size_t i = 0; i < call.part_count; i++)
		options_free(&call.parts[i]);
	return code;
}
