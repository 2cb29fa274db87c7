#include "collector/collector.h"

#include "collector/feedback.h"
#include "collector/http.h"
#include "collector/records.h"
#include "collector/rounds.h"
#include "collector/sessions.h"
#include "collector/state.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/conf.h"
#include "proto/platform_file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define COMMIT_MS 100
#define DETECT_MS 50
#define FLEET_MS  250
#define PLAN_MS   20
#define SWEEP_MS  1000

/* ---- what runs by the clock ---- */

int collector_commit(struct collector *c, struct err *e)
{
	struct err mine = {0};
	if (c->store_ailing)
		store_poke(c->store);
	bool any = store_waiting(c->store) > 0;
	if (store_flush(c->store, &mine)) {
		c->count.store_errors++;
		if (!c->store_ailing)
			log_error("%s; nothing is acknowledged until it is stored", mine.text);
		c->store_ailing = true;
		return err_set(e, "%s", mine.text);
	}
	if (c->store_ailing)
		log_info("the state directory can be written again");
	c->store_ailing = false;
	c->count.store_flushes += any;
	sessions_acknowledge(c->sessions);
	return 0;
}

static void on_commit(void *arg) { collector_commit(arg, NULL); }

void collector_replan(struct collector *c) { c->plan_stale = true; }

static void declare_pairs(struct collector *c)
{
	static const kind_mask none[2];
	for (uint32_t i = 0; i < planner_count(c->planner); i++) {
		const struct pair *p = planner_pair(c->planner, i);
		if (p)
			detect_pair(c->detect, i, p->a, p->b, p->kinds);
		else
			detect_pair(c->detect, i, 0, 0, none);
	}
}

static void on_plan(void *arg)
{
	struct collector *c = arg;
	if (!c->plan_stale)
		return;
	c->plan_stale = false;
	if (!planner_update(c->planner, c->fleet))
		return;
	declare_pairs(c);
	sessions_push_plans(c->sessions);
}

static void on_detect(void *arg)
{
	struct collector *c = arg;
	struct detect_event events[64];
	size_t n;
	do {
		n = detect_tick(c->detect, mono_now(), events, sizeof events / sizeof *events);
		for (size_t i = 0; i < n; i++)
			rounds_event(c->rounds, &events[i]);
	} while (n == sizeof events / sizeof *events);
	rounds_tick(c->rounds, mono_now());
}

static void member_down(struct collector *c, struct member *m)
{
	log_warn("%s/%s is not heard any more", m->tenant, m->name);
	detect_online(c->detect, m->id, false, mono_now());
	rounds_member_down(c->rounds, m);
}

/* While we ourselves had no time we heard nobody: what has come in meanwhile is read first. */
static bool was_deaf(struct collector *c)
{
	struct mono before = c->fleet_looked;
	c->fleet_looked = mono_now();
	return before.ns && mono_ms_since(before, c->fleet_looked) > 3 * FLEET_MS;
}

static void on_fleet(void *arg)
{
	struct collector *c = arg;
	if (was_deaf(c))
		return;
	size_t count = fleet_count(c->fleet);
	bool *was = mem_array(count + 1, sizeof *was);
	for (size_t i = 0; i < count; i++)
		was[i] = fleet_at(c->fleet, i)->online;
	if (fleet_tick(c->fleet, mono_now())) {
		collector_replan(c);
		for (size_t i = 0; i < count; i++)
			if (was[i] && !fleet_at(c->fleet, i)->online)
				member_down(c, fleet_at(c->fleet, i));
	}
	free(was);
}

static void platforms_look(struct collector *c)
{
	if (platform_files_look(c->platforms))
		fleet_import(c->fleet, platform_files_facts(c->platforms));
}

static void on_sweep(void *arg)
{
	struct collector *c = arg;
	platforms_look(c);
	rounds_sweep(c->rounds, mono_now());
	sessions_tick(c->sessions, mono_now());
	sessions_push_plans(c->sessions); /* those whose queue was full */
}

/* ---- opening, in order ---- */

static void random_bytes(void *arg, void *out, size_t len)
{
	(void)arg;
	keys_random(out, len);
}

extern const unsigned char catalogue_yaml[]; /* the one that is shipped */
extern const unsigned catalogue_yaml_len;

static int open_catalogue(struct collector *c, const char *file, struct err *e)
{
	if (!file) {
		digest(catalogue_yaml, catalogue_yaml_len, c->catalogue_sum);
		c->catalogue = catalogue_builtin(e);
		return c->catalogue ? 0 : -1;
	}
	if (conf_slurp(file, &c->catalogue_text, e))
		return -1;
	const char *text = c->catalogue_text.data ? c->catalogue_text.data : "";
	struct conf_node *yaml = conf_parse(file, text, c->catalogue_text.len, e);
	digest(text, c->catalogue_text.len, c->catalogue_sum);
	c->catalogue = yaml ? catalogue_new(yaml, file, e) : NULL;
	conf_free(yaml);
	return c->catalogue ? 0 : -1;
}

static void restore_agent(void *arg, const struct stored_agent *a)
{
	struct collector *c = arg;
	fleet_add(c->fleet, a->id, a->name, a->tenant, a->kind, a->key);
	sessions_restore(c->sessions, a);
}

static void restore_change(void *arg, uint32_t agent, const struct fact_change *change)
{
	struct collector *c = arg;
	struct member *m = fleet_by_id(c->fleet, agent);
	if (!m || m->change_count >= FLEET_CHANGES_MAX)
		return;
	m->changes[m->change_count++] = (struct fact_change){
	    .key = mem_strdup(change->key), .was = mem_strdup(change->was), .now = mem_strdup(change->now), .at = change->at};
}

static void restore_verdict(void *arg, const struct stored_verdict *v)
{
	struct collector *c = arg;
	rounds_restore(c->rounds, v);
}

static int restore(struct collector *c, const uint8_t admin[static KEY_LEN], struct err *e)
{
	struct stored_key key = {.role = "admin"};
	memcpy(key.key, admin, KEY_LEN);
	store_put_key(c->store, &key, wall_now());
	if (store_flush(c->store, e) || store_agents(c->store, restore_agent, c, e) ||
	    store_changes(c->store, FLEET_CHANGES_MAX, restore_change, c, e) ||
	    store_open_verdicts(c->store, restore_verdict, c, e) || feedback_load(c->feedback, c->store, c->catalogue, e))
		return -1;
	collector_replan(c);
	return 0;
}

static int listen_all(struct collector *c, const struct collector_setup *setup, struct err *e)
{
	char socket[256];
	c->bus = bus_server_new(c->loop, &c->key, sessions_allow, sessions_received, c->sessions, e);
	if (!c->bus || state_socket(setup->dir, socket, sizeof socket, e))
		return -1;
	for (size_t i = 0; i < setup->listen_count; i++)
		if (bus_server_bind(c->bus, setup->listen[i], e))
			return -1;
	/* Last: whoever waits for the socket to appear finds everything else up. */
	if (setup->http && !(c->http = http_new(c, setup->http, e)))
		return -1;
	return bus_server_bind(c->bus, socket, e);
}

static void start_timers(struct collector *c)
{
	static const struct {
		int64_t ms;
		loop_fn *fn;
	} TIMERS[] = {
	    {PLAN_MS, on_plan}, {DETECT_MS, on_detect}, {COMMIT_MS, on_commit}, {FLEET_MS, on_fleet}, {SWEEP_MS, on_sweep}};
	for (size_t i = 0; i < sizeof TIMERS / sizeof *TIMERS; i++)
		c->timers[i] = loop_every_ms(c->loop, TIMERS[i].ms, TIMERS[i].fn, c);
}

int collector_open(struct collector *c, const struct collector_setup *setup, struct err *e)
{
	c->key = setup->key;
	c->started = mono_now();
	str_copy(c->advertise, sizeof c->advertise, setup->advertise);
	if (open_catalogue(c, setup->catalogue, e))
		return -1;
	c->store = store_open(setup->dir, e);
	if (!c->store)
		return -1;
	c->loop = loop_new();
	c->fleet = fleet_new();
	c->planner = planner_new(random_bytes, NULL);
	c->detect = detect_new();
	detect_seed(c->detect, keys_random64());
	c->sessions = sessions_new(c);
	c->rounds = rounds_new(c);
	c->records = records_new(c->store);
	c->feedback = feedback_new();
	c->platforms = platform_files_new(setup->platform_facts, setup->platform_count);
	platforms_look(c);
	if (restore(c, setup->admin, e) || listen_all(c, setup, e))
		return -1;
	start_timers(c);
	return 0;
}

void collector_close(struct collector *c)
{
	for (size_t i = 0; i < sizeof c->timers / sizeof *c->timers; i++)
		loop_remove(c->timers[i]);
	http_free(c->http);
	if (c->store && c->sessions && c->bus)
		collector_commit(c, NULL);
	rounds_free(c->rounds);
	records_free(c->records);
	feedback_free(c->feedback);
	sessions_free(c->sessions);
	bus_server_free(c->bus);
	detect_free(c->detect);
	planner_free(c->planner);
	fleet_free(c->fleet);
	platform_files_free(c->platforms);
	catalogue_free(c->catalogue);
	buf_free(&c->catalogue_text);
	store_close(c->store);
	loop_free(c->loop);
	memset(&c->key, 0, sizeof c->key);
}
