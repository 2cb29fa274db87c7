#include "collector/answer.h"

#include "collector/rounds.h"
#include "collector/sessions.h"
#include "collector/verdict_json.h"

#include "proto/base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- names and visibility ---- */

static bool is_visible(const struct member *m, const char *tenant) { return !tenant || strcmp(m->tenant, tenant) == 0; }

static json_t *name_json(const struct collector *c, const struct member *m)
{
	char name[TITLE_MAX_LEN];
	return json_string(fleet_title(c->fleet, m, name));
}

static json_t *time_json(struct wall t)
{
	char text[WALL_TEXT_MAX];
	return t.ns ? json_string(wall_format(t, text)) : json_null();
}

/* The next pair both of whose ends may be seen; `at` goes on behind it. */
struct seen_pair {
	uint32_t number;
	const struct pair *pair;
	const struct member *a, *b;
};

static bool next_pair(const struct collector *c, const char *tenant, uint32_t *at, struct seen_pair *out)
{
	while (*at < planner_count(c->planner)) {
		uint32_t number = (*at)++;
		const struct pair *p = planner_pair(c->planner, number);
		if (!p)
			continue;
		*out = (struct seen_pair){number, p, fleet_by_id(c->fleet, p->a), fleet_by_id(c->fleet, p->b)};
		/* a tenant sees the pairs one end of which is its own: the hosts on their paths are named, not shown */
		if (out->a && out->b && (is_visible(out->a, tenant) || is_visible(out->b, tenant)))
			return true;
	}
	return false;
}

/* ---- how a pair is ---- */

enum pair_state { PAIR_UNKNOWN, PAIR_OFFLINE, PAIR_OK, PAIR_BAD };
struct pair_view {
	enum pair_state state;
	enum state how;
	struct cells cells;
	const struct current *current;
};

static enum state state_of_cells(const struct cells *cells)
{
	struct verdict *v = verdict_new();
	for (int d = 0; d < 2; d++) {
		memcpy(v->dir[d].delivery, cells->delivery[d], KIND_COUNT);
		memcpy(v->dir[d].initiation, cells->initiation[d], KIND_COUNT);
	}
	verdict_decide_state(v);
	enum state s = v->state;
	verdict_free(v);
	return s;
}

static struct pair_view view_pair(const struct collector *c, const struct seen_pair *p)
{
	struct pair_view v = {.current = rounds_current(c->rounds, p->pair->a, p->pair->b)};
	bool known = detect_cells(c->detect, p->number, &v.cells) && v.cells.measured;
	if (v.current) {
		v.state = PAIR_BAD;
		v.how = v.current->state;
	} else if (!p->a->online || !p->b->online) {
		v.state = PAIR_OFFLINE;
	} else if (known) {
		v.how = state_of_cells(&v.cells);
		v.state = v.how == STATE_OK ? PAIR_OK : v.how == STATE_UNDETERMINED ? PAIR_UNKNOWN : PAIR_BAD;
	}
	return v;
}

static const char *pair_state_name(const struct pair_view *v)
{
	switch (v->state) {
	case PAIR_UNKNOWN: return "unknown";
	case PAIR_OFFLINE: return "offline";
	case PAIR_OK: return "ok";
	case PAIR_BAD: break;
	}
	return state_name(v->how);
}

struct pair_counts answer_pair_counts(const struct collector *c, const char *tenant)
{
	struct pair_counts n = {0};
	struct seen_pair p;
	for (uint32_t at = 0; next_pair(c, tenant, &at, &p);) {
		struct pair_view v = view_pair(c, &p);
		n.planned++;
		n.measured += v.cells.measured;
		n.healthy += v.state == PAIR_OK;
		n.bad += v.state == PAIR_BAD;
		n.unknown += v.state == PAIR_UNKNOWN || v.state == PAIR_OFFLINE;
	}
	return n;
}

bool answer_is_settled(const struct collector *c)
{
	for (size_t i = 0; i < fleet_count(c->fleet); i++) {
		const struct member *m = fleet_at(c->fleet, i);
		if (m->online && !m->snapshot)
			return false;
	}
	return !c->plan_stale && detect_all_measured(c->detect);
}

/* ---- status ---- */

static json_t *problem_json(const struct collector *c, const struct current *v)
{
	const struct member *a = fleet_by_id(c->fleet, v->a), *b = fleet_by_id(c->fleet, v->b);
	char round[20];
	snprintf(round, sizeof round, "%016" PRIx64, v->round);
	json_t *o = json_object();
	json_object_set_new(o, "a", name_json(c, a));
	json_object_set_new(o, "b", name_json(c, b));
	json_object_set_new(o, "state", json_string(state_name(v->state)));
	json_object_set_new(o, "cause", json_text(v->cause));
	json_object_set_new(o, "confidence", json_real(v->confidence));
	json_object_set_new(o, "where", json_text(v->where));
	json_object_set_new(o, "direction", json_text(v->direction));
	json_object_set_new(o, "sentence", json_text(v->sentence));
	json_object_set_new(o, "at", time_json(v->at));
	json_object_set_new(o, "round", json_string(round));
	return o;
}

static json_t *problems_json(const struct collector *c, const char *tenant)
{
	json_t *list = json_array();
	for (size_t i = 0; i < rounds_current_count(c->rounds); i++) {
		const struct current *v = rounds_current_at(c->rounds, i);
		const struct member *a = fleet_by_id(c->fleet, v->a), *b = fleet_by_id(c->fleet, v->b);
		if (a && b && (is_visible(a, tenant) || is_visible(b, tenant)))
			json_array_append_new(list, problem_json(c, v));
	}
	return list;
}

static size_t count_uncovered(const struct collector *c, const char *tenant)
{
	uint32_t top = 0;
	size_t uncovered = 0;
	for (size_t i = 0; i < fleet_count(c->fleet); i++)
		top = fleet_at(c->fleet, i)->id > top ? fleet_at(c->fleet, i)->id : top;
	bool *covered = mem_array((size_t)top + 1, sizeof *covered);
	for (uint32_t n = 0; n < planner_count(c->planner); n++) {
		const struct pair *p = planner_pair(c->planner, n);
		if (p && p->a <= top && p->b <= top)
			covered[p->a] = covered[p->b] = true;
	}
	for (size_t i = 0; i < fleet_count(c->fleet); i++)
		uncovered += is_visible(fleet_at(c->fleet, i), tenant) && !covered[fleet_at(c->fleet, i)->id];
	free(covered);
	return uncovered;
}

/* What the plan covers: pairs by what stands at their ends, and agents that no pair covers. */
static json_t *coverage_json(const struct collector *c, const char *tenant)
{
	json_int_t by_hosts[3] = {0};
	struct seen_pair p;
	for (uint32_t at = 0; next_pair(c, tenant, &at, &p);)
		by_hosts[(p.a->kind == AGENT_HOST) + (p.b->kind == AGENT_HOST)]++;
	return json_pack("{s:I, s:I, s:I, s:I}", "host_guest", by_hosts[1], "guest_guest", by_hosts[0], "host_host", by_hosts[2],
	                 "agents_in_no_pair", (json_int_t)count_uncovered(c, tenant));
}

json_t *answer_status(const struct collector *c, const char *tenant)
{
	size_t total = 0, online = 0;
	for (size_t i = 0; i < fleet_count(c->fleet); i++) {
		const struct member *m = fleet_at(c->fleet, i);
		total += is_visible(m, tenant);
		online += is_visible(m, tenant) && m->online;
	}
	struct pair_counts n = answer_pair_counts(c, tenant);
	json_t *o = json_pack("{s:s, s:s, s:{s:I, s:I}}", "schema", "bothways.status/1", "version", BOTHWAYS_VERSION, "agents",
	                      "online", (json_int_t)online, "total", (json_int_t)total);
	json_object_set_new(o, "pairs",
	                    json_pack("{s:I, s:I, s:I, s:I, s:I}", "planned", (json_int_t)n.planned, "measured",
	                              (json_int_t)n.measured, "healthy", (json_int_t)n.healthy, "bad", (json_int_t)n.bad, "unknown",
	                              (json_int_t)n.unknown));
	json_object_set_new(o, "settled", json_boolean(answer_is_settled(c)));
	json_object_set_new(o, "problems", problems_json(c, tenant));
	json_object_set_new(o, "coverage", coverage_json(c, tenant));
	json_object_set_new(o, "rounds_running", json_integer((json_int_t)rounds_running(c->rounds)));
	json_object_set_new(o, "storage", json_string(c->store_ailing ? "failing" : "ok"));
	json_object_set_new(o, "up_seconds", json_integer(mono_ms_since(c->started, mono_now()) / 1000));
	return o;
}

/* ---- agents ---- */

static json_t *path_json(const struct collector *c, const struct member *m)
{
	const struct member *relay = m->heard_by == HEARD_RELAY ? fleet_by_id(c->fleet, m->relay) : NULL;
	char text[TITLE_MAX_LEN + 16], name[TITLE_MAX_LEN];
	if (m->heard_by == HEARD_NEVER)
		return json_string("never");
	if (m->heard_by == HEARD_DIRECT)
		return json_string("direct");
	snprintf(text, sizeof text, "relay via %s", relay ? fleet_title(c->fleet, relay, name) : "?");
	return json_string(text);
}

static json_t *way_json(const struct collector *c, const struct member *m, enum heard_by how)
{
	const struct way_heard *w = &m->ways[how];
	json_t *o = json_object();
	json_object_set_new(o, "path", json_string(how == HEARD_RELAY ? "relay" : "direct"));
	json_object_set_new(o, "works", json_boolean(fleet_way_works(m, how, mono_now())));
	json_object_set_new(o, "last_heard", time_json(w->wall));
	if (how == HEARD_RELAY) {
		const struct member *relay = fleet_by_id(c->fleet, w->relay);
		json_object_set_new(o, "via", relay ? name_json(c, relay) : json_null());
		json_object_set_new(o, "stream", w->stream[0] ? json_text(w->stream) : json_null());
	}
	return o;
}

/* Every path it was heard by since the collector started. */
static json_t *ways_json(const struct collector *c, const struct member *m)
{
	json_t *list = json_array();
	for (int how = HEARD_DIRECT; how <= HEARD_RELAY; how++)
		if (m->ways[how].at.ns)
			json_array_append_new(list, way_json(c, m, (enum heard_by)how));
	return list;
}

static json_t *reports_json(const struct collector *c, const struct member *m)
{
	struct report_count n = sessions_reports(c->sessions, m);
	char boot[24];
	json_t *o = json_object();
	snprintf(boot, sizeof boot, "%016" PRIx64, n.boot);
	json_object_set_new(o, "boot", json_string(boot));
	json_object_set_new(o, "number", json_integer((json_int_t)n.number));
	json_object_set_new(o, "applied", json_integer((json_int_t)n.applied));
	json_object_set_new(o, "again", json_integer((json_int_t)n.again));
	json_object_set_new(o, "missing", json_integer((json_int_t)n.missing));
	return o;
}

static json_t *rights_json(const struct member *m)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} RIGHTS[] = {{RIGHT_RAW, "raw"},
	              {RIGHT_CAPTURE, "capture"},
	              {RIGHT_FIREWALL, "firewall"},
	              {RIGHT_DROPS, "drops"},
	              {RIGHT_ECHO, "echo"}};
	json_t *has = json_array();
	for (size_t i = 0; i < sizeof RIGHTS / sizeof *RIGHTS; i++)
		if (m->hello.rights & RIGHTS[i].bit)
			json_array_append_new(has, json_string(RIGHTS[i].name));
	return json_pack("{s:o, s:o}", "has", has, "limited",
	                 m->hello.rights_why[0] ? json_text(m->hello.rights_why) : json_null());
}

/* The worst of the last minute, and what to call it. */
static void add_fitness(json_t *o, const struct fitness *f)
{
	struct health h = fitness_minute(f, mono_now());
	json_t *steal = h.steal_permille < 0 ? json_null() : json_integer(h.steal_permille);
	json_object_set_new(o, "state", json_string(fit_name(fitness_judge(&h))));
	json_object_set_new(o, "minute",
	                    json_pack("{s:I, s:I, s:o, s:I}", "lag_us", (json_int_t)h.lag_us, "socket_drops",
	                              (json_int_t)h.socket_drops, "steal_permille", steal, "clock_step_us",
	                              (json_int_t)h.clock_step_us));
}

static json_t *health_json(const struct health *h)
{
	json_t *o = json_object();
	json_object_set_new(o, "lag_us", json_integer(h->lag_us));
	json_object_set_new(o, "socket_drops", json_integer(h->socket_drops));
	json_object_set_new(o, "spool_dropped", json_integer(h->spool_dropped));
	json_object_set_new(o, "rejected", json_integer(h->rejected));
	json_object_set_new(o, "limited", json_integer(h->limited));
	json_object_set_new(o, "steal_permille", h->steal_permille < 0 ? json_null() : json_integer(h->steal_permille));
	json_object_set_new(o, "clock_step_us", json_integer(h->clock_step_us));
	return o;
}

static json_t *host_json(const struct collector *c, const struct member *m)
{
	struct place place;
	for (size_t i = 0; m->kind == AGENT_GUEST && i < m->endpoint_count; i++)
		if (fleet_place(c->fleet, m, m->endpoints[i].mac, &place))
			return name_json(c, place.host);
	const struct member *relay = m->heard_by == HEARD_RELAY ? fleet_by_id(c->fleet, m->relay) : NULL;
	return relay && relay->kind == AGENT_HOST ? name_json(c, relay) : json_null();
}

static json_t *agent_json(const struct collector *c, const struct member *m)
{
	json_t *o = json_object();
	json_object_set_new(o, "name", json_string(m->name));
	json_object_set_new(o, "tenant", json_string(m->tenant));
	json_object_set_new(o, "kind", json_string(m->kind == AGENT_HOST ? "host" : "guest"));
	json_object_set_new(o, "host", host_json(c, m));
	json_object_set_new(o, "online", json_boolean(m->online));
	json_object_set_new(o, "last_heard", time_json(m->last_heard_wall));
	json_object_set_new(o, "path", path_json(c, m));
	json_object_set_new(o, "ways", ways_json(c, m));
	json_object_set_new(o, "reports", reports_json(c, m));
	json_object_set_new(o, "rights", rights_json(m));
	json_t *health = health_json(&m->health);
	add_fitness(health, &m->fitness);
	json_object_set_new(o, "health", health);
	json_object_set_new(o, "version", m->hello.software[0] ? json_text(m->hello.software) : json_null());
	return o;
}

json_t *answer_agents(const struct collector *c, const char *tenant)
{
	json_t *list = json_array();
	for (size_t i = 0; i < fleet_count(c->fleet); i++)
		if (is_visible(fleet_at(c->fleet, i), tenant))
			json_array_append_new(list, agent_json(c, fleet_at(c->fleet, i)));
	return json_pack("{s:s, s:o}", "schema", "bothways.agents/1", "agents", list);
}

/* ---- mesh ---- */

/* The worst of a direction in one word. */
static const char *direction_word(const struct pair_view *v, int dir)
{
	bool measured = false, fails = false, degraded = false;
	for (int k = 0; k < KIND_COUNT; k++) {
		enum cell d = v->cells.delivery[dir][k], i = v->cells.initiation[dir][k];
		if (d == CELL_LOST)
			return "lost";
		fails = fails || (cell_is_bad(i) && i != CELL_PARTIAL && i != CELL_SLOW);
		degraded = degraded || cell_is_bad(d) || cell_is_bad(i);
		measured = measured || d == CELL_OK || i == CELL_OK;
	}
	return fails ? "fail" : degraded ? "degraded" : measured ? "ok" : "unknown";
}

static json_t *mesh_direction(const struct collector *c, const struct seen_pair *p, const struct pair_view *v, int dir)
{
	const struct member *from = dir ? p->b : p->a, *to = dir ? p->a : p->b;
	json_t *o = json_object();
	json_object_set_new(o, "from", name_json(c, from));
	json_object_set_new(o, "to", name_json(c, to));
	json_object_set_new(o, "state", json_string(from->online && to->online ? direction_word(v, dir) : "offline"));
	json_object_set_new(o, "delivery", cells_json(v->cells.delivery[dir], p->pair->why[dir], true));
	json_object_set_new(o, "initiation", cells_json(v->cells.initiation[dir], p->pair->why[dir], false));
	json_object_set_new(o, "loss",
	                    json_pack("{s:i, s:i}", "sent", (int)v->cells.sent[dir], "received", (int)v->cells.received[dir]));
	json_object_set_new(o, "rtt_us", v->cells.rtt_us[dir] ? json_integer(v->cells.rtt_us[dir]) : json_null());
	return o;
}

static json_t *mesh_pair(const struct collector *c, const struct seen_pair *p)
{
	struct pair_view v = view_pair(c, p);
	json_t *o = json_object();
	json_object_set_new(o, "a", name_json(c, p->a));
	json_object_set_new(o, "b", name_json(c, p->b));
	json_object_set_new(o, "tenant_a", json_string(p->a->tenant));
	json_object_set_new(o, "tenant_b", json_string(p->b->tenant));
	json_object_set_new(o, "state", json_string(pair_state_name(&v)));
	json_object_set_new(o, "directions", json_pack("[o, o]", mesh_direction(c, p, &v, 0), mesh_direction(c, p, &v, 1)));
	json_object_set_new(o, "verdict", v.current ? problem_json(c, v.current) : json_null());
	return o;
}

static json_t *mesh_agents(const struct collector *c, const char *tenant)
{
	json_t *list = json_array();
	for (size_t i = 0; i < fleet_count(c->fleet); i++) {
		const struct member *m = fleet_at(c->fleet, i);
		if (is_visible(m, tenant))
			json_array_append_new(list,
			                      json_pack("{s:o, s:s, s:s, s:b}", "name", name_json(c, m), "tenant", m->tenant,
			                                "kind", m->kind == AGENT_HOST ? "host" : "guest", "online", m->online));
	}
	return list;
}

json_t *answer_mesh(const struct collector *c, const char *tenant)
{
	json_t *pairs = json_array();
	struct seen_pair p;
	for (uint32_t at = 0; next_pair(c, tenant, &at, &p);)
		json_array_append_new(pairs, mesh_pair(c, &p));
	return json_pack("{s:s, s:o, s:o}", "schema", "bothways.mesh/1", "agents", mesh_agents(c, tenant), "pairs", pairs);
}

/* ---- facts ---- */

static json_t *facts_head(const struct member *m)
{
	return json_pack("{s:s, s:s, s:s, s:b, s:o}", "schema", "bothways.facts/1", "name", m->name, "tenant", m->tenant, "online",
	                 m->online, "taken", time_json(m->snapshot ? m->snapshot->taken : (struct wall){0}));
}

json_t *answer_facts(const struct member *m)
{
	json_t *facts = json_object(), *o = facts_head(m);
	struct facts all = m->snapshot ? facts_of_all(m->snapshot) : (struct facts){0};
	for (size_t i = 0; i < all.count; i++) {
		json_t *key = json_text(all.items[i].key);
		json_object_set_new(facts, json_string_value(key), json_text(all.items[i].value));
		json_decref(key);
	}
	facts_free(&all);
	json_object_set_new(o, "facts", facts);
	return o;
}

static json_t *troubles_json(const struct collector *c, const struct member *m)
{
	json_t *list = json_array();
	for (size_t i = 0; i < rounds_current_count(c->rounds); i++) {
		const struct current *v = rounds_current_at(c->rounds, i);
		const struct member *a = fleet_by_id(c->fleet, v->a), *b = fleet_by_id(c->fleet, v->b);
		if (!a || !b || (a != m && b != m))
			continue;
		json_t *o = problem_json(c, v);
		json_object_set_new(o, "well_at", time_json(rounds_well_at(c->rounds, v->a, v->b)));
		json_object_set_new(o, "ill_at", time_json(v->since));
		json_array_append_new(list, o);
	}
	return list;
}

json_t *answer_changes(const struct collector *c, const struct member *m)
{
	json_t *list = json_array(), *o = facts_head(m);
	for (size_t i = 0; i < m->change_count; i++) {
		const struct fact_change *ch = &m->changes[i];
		json_array_append_new(list, json_pack("{s:o, s:o, s:o, s:o}", "at", time_json(ch->at), "fact", json_text(ch->key),
		                                      "was", json_text(ch->was), "now", json_text(ch->now)));
	}
	json_object_set_new(o, "changes", list);
	json_object_set_new(o, "problems", troubles_json(c, m));
	return o;
}

/* ---- the last round of a pair ---- */

struct last_verdict {
	uint32_t a;
	json_t *doc;
};

static void take_last(void *arg, const struct stored_verdict *v)
{
	struct last_verdict *last = arg;
	last->a = v->a;
	last->doc = json_loads(v->json ? v->json : "", 0, NULL);
}

json_t *answer_trace(struct collector *c, const struct member *a, const struct member *b, struct err *e)
{
	struct last_verdict last = {0};
	char ta[TITLE_MAX_LEN], tb[TITLE_MAX_LEN];
	collector_commit(c, NULL); /* what waits to be stored is the newest */
	if (store_last_verdict(c->store, a->id, b->id, take_last, &last, e))
		return NULL;
	if (!last.doc) {
		fleet_title(c->fleet, a, ta);
		fleet_title(c->fleet, b, tb);
		err_set(e, "there was no round of %s and %s yet: `bothways trace %s %s --now` makes one", ta, tb, ta, tb);
		return NULL;
	}
	if (last.a != a->id)
		verdict_doc_swap(last.doc);
	return last.doc;
}
