/* Status, agents, token: lists. */
#include "collector/cli/output.h"

#include "proto/base/mem.h"

#include <stdlib.h>
#include <string.h>

/* ---- status ---- */

void show_problem(struct out *o, const json_t *p)
{
	char ago[48];
	const char *cause = doc_text(p, "cause");
	enum ink ink = state_ink(doc_text(p, "state"));
	out_ago(o, doc_text(p, "at"), ago, sizeof ago);
	out_text(o, ink, "  ● ");
	out_printf(o, INK_BOLD, "%s ⇄ %s", doc_text(p, "a"), doc_text(p, "b"));
	out_printf(o, ink, "  %s", doc_text(p, "state"));
	out_printf(o, INK_PLAIN, "  %s", *cause ? cause : "undetermined");
	out_printf(o, INK_DIM, "  %s%s%s\n", ago, *doc_text(p, "round") ? "  round " : "", doc_text(p, "round"));
	if (*doc_text(p, "sentence")) {
		out_pad(o, 4);
		out_wrapped(o, INK_PLAIN, doc_text(p, "sentence"), 4, 4);
	}
}

/* "5 min" */
static void span_text(long long seconds, char *buf, size_t size)
{
	static const struct {
		long long seconds;
		const char *unit;
	} UNITS[] = {{86400, "days"}, {3600, "h"}, {60, "min"}};
	snprintf(buf, size, "%lld s", seconds);
	for (size_t i = 0; i < sizeof UNITS / sizeof *UNITS; i++)
		if (seconds >= 2 * UNITS[i].seconds) {
			snprintf(buf, size, "%lld %s", seconds / UNITS[i].seconds, UNITS[i].unit);
			return;
		}
}

void show_status(struct out *o, const json_t *doc)
{
	const json_t *agents = doc_get(doc, "agents"), *pairs = doc_get(doc, "pairs"), *problems = doc_get(doc, "problems"),
	             *cover = doc_get(doc, "coverage");
	struct table *t = table_new(2, NULL);
	char up[32];
	long long online = doc_number(agents, "online"), total = doc_number(agents, "total"), bad = doc_number(pairs, "bad");
	table_add(t, INK_DIM, "agents");
	table_addf(t, online == total ? INK_PLAIN : INK_WARN, "%lld of %lld online", online, total);
	table_add(t, INK_DIM, "pairs");
	table_addf(t, bad ? INK_BAD : INK_PLAIN, "%lld watched, %lld measured: %lld healthy, %lld with a problem, %lld unknown",
	           doc_number(pairs, "planned"), doc_number(pairs, "measured"), doc_number(pairs, "healthy"), bad,
	           doc_number(pairs, "unknown"));
	table_add(t, INK_DIM, "coverage");
	table_addf(t, INK_PLAIN, "%lld host–guest, %lld guest–guest, %lld host–host pairs; %lld agents in no pair",
	           doc_number(cover, "host_guest"), doc_number(cover, "guest_guest"), doc_number(cover, "host_host"),
	           doc_number(cover, "agents_in_no_pair"));
	table_add(t, INK_DIM, "collector");
	span_text(doc_number(doc, "up_seconds"), up, sizeof up);
	table_addf(t, INK_PLAIN, "version %s, up %s%s", doc_text(doc, "version"), up,
	           strcmp(doc_text(doc, "storage"), "ok") == 0 ? "" : "; it cannot write its state directory");
	table_print(t, o, 0);
	table_free(t);
	if (!json_array_size(problems)) {
		out_printf(o, INK_GOOD, "\nno open problems\n");
		return;
	}
	out_printf(o, INK_BOLD, "\n%zu open problem%s\n", json_array_size(problems), json_array_size(problems) == 1 ? "" : "s");
	for (size_t i = 0; i < json_array_size(problems); i++)
		show_problem(o, json_array_get(problems, i));
}

/* ---- agents ---- */

/* How long it stood still, or how late it was. */
static void add_lag(struct buf *b, long long us)
{
	if (us >= 2000000)
		buf_printf(b, ", paused for %lld s", us / 1000000);
	else if (us >= 200000)
		buf_printf(b, ", starved: %lld ms late", us / 1000);
	else if (us > 50000)
		buf_printf(b, ", %lld ms late", us / 1000);
}

static void add_step(struct buf *b, long long us)
{
	if (us >= 10000000 || us <= -10000000)
		buf_printf(b, ", clock stepped %+lld s", us / 1000000);
	else if (us > 100000 || us < -100000)
		buf_printf(b, ", clock stepped %+lld ms", us / 1000);
}

/* Of the last minute, when the collector keeps that. */
static void add_health(struct table *t, const json_t *h, bool online)
{
	struct buf b = {0};
	const json_t *m = doc_get(h, "minute") ? doc_get(h, "minute") : h;
	long long drops = doc_number(m, "socket_drops"), lost = doc_number(h, "spool_dropped");
	add_lag(&b, doc_number(m, "lag_us"));
	if (drops)
		buf_printf(&b, ", %lld packets dropped", drops);
	if (lost)
		buf_printf(&b, ", %lld reports lost", lost);
	if (doc_number(m, "steal_permille") > 100)
		buf_printf(&b, ", %lld %% steal", doc_number(m, "steal_permille") / 10);
	add_step(&b, doc_number(m, "clock_step_us"));
	table_add(t, b.len ? INK_WARN : INK_PLAIN, !online ? "-" : b.len ? b.data + 2 : "fit");
	buf_free(&b);
}

/* "direct", "via h1" */
static const char *path_words(const char *path)
{
	static const char RELAY[] = "relay ";
	return strncmp(path, RELAY, sizeof RELAY - 1) == 0 ? path + sizeof RELAY - 1 : strcmp(path, "never") == 0 ? "-" : path;
}

/* By which path it is heard now, and which other one works too: "via h1 (vsock), direct too". */
static void add_path(struct table *t, const json_t *a)
{
	const char *path = doc_text(a, "path");
	bool direct = strcmp(path, "direct") == 0;
	const char *stream = "", *other = "";
	const json_t *ways = doc_get(a, "ways");
	for (size_t i = 0; i < json_array_size(ways); i++) {
		const json_t *w = json_array_get(ways, i);
		bool relay = strcmp(doc_text(w, "path"), "relay") == 0;
		if (relay == direct && json_is_true(doc_get(w, "works")))
			other = relay ? ", relay too" : ", direct too";
		if (relay && !direct && strncmp(doc_text(w, "stream"), "vsock:", 6) == 0)
			stream = " (vsock)";
	}
	table_addf(t, INK_PLAIN, "%s%s%s", path_words(path), stream, other);
}

static const char *version_number(const char *version)
{
	const char *blank = strrchr(version, ' ');
	return blank ? blank + 1 : *version ? version : "-";
}

static void add_agent(struct table *t, const struct out *o, const json_t *a)
{
	char ago[48];
	bool online = json_is_true(doc_get(a, "online")), heard = *doc_text(a, "last_heard");
	const char *limited = doc_text(doc_get(a, "rights"), "limited");
	out_ago(o, doc_text(a, "last_heard"), ago, sizeof ago);
	table_add(t, INK_BOLD, doc_text(a, "name"));
	table_add(t, INK_PLAIN, doc_text(a, "tenant"));
	table_add(t, INK_PLAIN, doc_text(a, "kind"));
	table_add(t, INK_PLAIN, *doc_text(a, "host") ? doc_text(a, "host") : "-");
	table_addf(t, online ? INK_GOOD : INK_BAD, "%s%s%s", online ? "online" : "offline",
	           online  ? ""
	           : heard ? ", heard "
	                   : ", ",
	           online  ? ""
	           : heard ? ago
	                   : "never heard");
	add_path(t, a);
	add_health(t, doc_get(a, "health"), online);
	table_add(t, INK_DIM, version_number(doc_text(a, "version")));
	table_add(t, *limited ? INK_WARN : INK_PLAIN, *limited ? limited : *doc_text(a, "version") ? "all" : "-");
}

void show_agents(struct out *o, const json_t *doc)
{
	static const char *const heads[] = {"NAME", "TENANT", "KIND", "HOST", "STATE", "PATH", "HEALTH", "VERSION", "RIGHTS"};
	const json_t *agents = doc_get(doc, "agents");
	struct table *t = table_new(sizeof heads / sizeof *heads, heads);
	for (size_t i = 0; i < json_array_size(agents); i++)
		add_agent(t, o, json_array_get(agents, i));
	if (json_array_size(agents))
		table_print(t, o, 0);
	else
		out_printf(o, INK_PLAIN, "no agents yet: `bothways token` makes a token for one to join with\n");
	table_free(t);
}

void show_token(struct out *o, const json_t *doc) { out_printf(o, INK_PLAIN, "%s\n", doc_text(doc, "token")); }
