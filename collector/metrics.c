#include "collector/metrics.h"

#include "collector/answer.h"
#include "collector/rounds.h"
#include "collector/sessions.h"

#include <inttypes.h>
#include <stddef.h>

static const struct {
	const char *name, *help;
	size_t offset;
} COUNTERS[] = {
    {"messages", "messages received", offsetof(struct counters, messages)},
    {"malformed", "messages that could not be decoded or were out of place", offsetof(struct counters, malformed)},
    {"unknown_key", "connections refused because nobody knows their key", offsetof(struct counters, unknown_key)},
    {"limited", "messages and ways refused by a limit", offsetof(struct counters, limited)},
    {"no_session", "messages before a hello", offsetof(struct counters, no_session)},
    {"reports", "reports applied", offsetof(struct counters, reports)},
    {"reports_again", "reports that came again and were ignored", offsetof(struct counters, reports_again)},
    {"reports_early", "reports that came before the one that is next, and were left to come again",
     offsetof(struct counters, reports_early)},
    {"reports_missing", "reports that agents had to give up", offsetof(struct counters, reports_missing)},
    {"reports_gap", "places where an agent had to give up reports", offsetof(struct counters, reports_gap)},
    {"rows", "watch rows applied", offsetof(struct counters, rows)},
    {"joins", "agents that joined", offsetof(struct counters, joins)},
    {"joins_refused", "joins refused", offsetof(struct counters, joins_refused)},
    {"rounds_asked", "rounds somebody asked for", offsetof(struct counters, rounds_asked)},
    {"rounds_automatic", "rounds begun because the watch suspected a pair", offsetof(struct counters, rounds_automatic)},
    {"rounds_failed", "rounds that could not begin", offsetof(struct counters, rounds_failed)},
    {"queries", "questions answered", offsetof(struct counters, queries)},
    {"answers_too_large", "answers that did not fit into a message", offsetof(struct counters, answers_too_large)},
    {"store_flushes", "transactions written", offsetof(struct counters, store_flushes)},
    {"store_errors", "transactions that failed and were kept", offsetof(struct counters, store_errors)},
    {"send_failed", "messages for peers that are gone or too slow", offsetof(struct counters, send_failed)},
};

static void write_gauge(struct buf *out, const char *name, const char *help, double value)
{
	buf_printf(out, "# HELP bothways_%s %s\n# TYPE bothways_%s gauge\nbothways_%s %.17g\n", name, help, name, name, value);
}

static void write_counters(const struct collector *c, struct buf *out)
{
	for (size_t i = 0; i < sizeof COUNTERS / sizeof *COUNTERS; i++) {
		const char *name = COUNTERS[i].name;
		uint64_t value = *(const uint64_t *)((const char *)&c->count + COUNTERS[i].offset);
		buf_printf(out, "# HELP bothways_%s_total %s\n# TYPE bothways_%s_total counter\nbothways_%s_total %" PRIu64 "\n",
		           name, COUNTERS[i].help, name, name, value);
	}
	buf_puts(out, "# HELP bothways_verdicts_total verdicts by state\n# TYPE bothways_verdicts_total counter\n");
	for (int s = 0; s <= STATE_UNDETERMINED; s++)
		buf_printf(out, "bothways_verdicts_total{state=\"%s\"} %" PRIu64 "\n", state_name((enum state)s),
		           c->count.verdicts[s]);
}

static void write_fleet(const struct collector *c, struct buf *out)
{
	size_t online = 0, total = fleet_count(c->fleet);
	for (size_t i = 0; i < total; i++)
		online += fleet_at(c->fleet, i)->online;
	buf_puts(out, "# HELP bothways_agents agents by whether they are heard\n# TYPE bothways_agents gauge\n");
	buf_printf(out, "bothways_agents{state=\"online\"} %zu\nbothways_agents{state=\"offline\"} %zu\n", online, total - online);
	struct pair_counts n = answer_pair_counts(c, NULL);
	buf_puts(out, "# HELP bothways_pairs watched pairs by how they are\n# TYPE bothways_pairs gauge\n");
	buf_printf(
	    out,
	    "bothways_pairs{state=\"healthy\"} %zu\nbothways_pairs{state=\"bad\"} %zu\nbothways_pairs{state=\"unknown\"} %zu\n",
	    n.healthy, n.bad, n.unknown);
}

/* One line per open problem: names and causes are of a few characters only (checked when they came in), so nothing needs escaping.
 */
static void write_problems(const struct collector *c, struct buf *out)
{
	buf_puts(out, "# HELP bothways_problem a pair that is not well: 1 while it lasts\n# TYPE bothways_problem gauge\n");
	for (size_t i = 0; i < rounds_current_count(c->rounds); i++) {
		const struct current *v = rounds_current_at(c->rounds, i);
		const struct member *a = fleet_by_id(c->fleet, v->a), *b = fleet_by_id(c->fleet, v->b);
		char na[TITLE_MAX_LEN], nb[TITLE_MAX_LEN];
		if (a && b)
			buf_printf(out, "bothways_problem{a=\"%s\",b=\"%s\",state=\"%s\",cause=\"%s\"} 1\n",
			           fleet_title(c->fleet, a, na), fleet_title(c->fleet, b, nb), state_name(v->state),
			           v->cause ? v->cause : "");
	}
}

void metrics_write(const struct collector *c, struct buf *out)
{
	buf_printf(out,
	           "# HELP bothways_build_info the version that runs\n# TYPE bothways_build_info "
	           "gauge\nbothways_build_info{version=\"%s\"} 1\n",
	           BOTHWAYS_VERSION);
	write_gauge(out, "up_seconds", "since the start", (double)mono_ms_since(c->started, mono_now()) / 1000);
	write_gauge(out, "ways", "connections and relayed streams in use", (double)sessions_channels(c->sessions));
	write_gauge(out, "rounds_running", "rounds under way", (double)rounds_running(c->rounds));
	write_gauge(out, "store_waiting", "writes not yet on disk", (double)store_waiting(c->store));
	write_gauge(out, "store_failing", "1 while the state directory cannot be written", c->store_ailing);
	write_fleet(c, out);
	write_counters(c, out);
	write_problems(c, out);
}
