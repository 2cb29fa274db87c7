#include "collector/rounds.h"

#include "collector/bundle_answer.h"
#include "collector/capture_answer.h"
#include "collector/capture_file.h"
#include "collector/crew.h"
#include "collector/feedback.h"
#include "collector/judge.h"
#include "collector/records.h"
#include "collector/round.h"
#include "collector/sessions.h"
#include "collector/touch.h"
#include "collector/verdict_json.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

#include <stdlib.h>
#include <string.h>

#define CHANGE_PAIRS_MAX   4                  /* looked at for one change of a machine; the watch has the others */
#define CHANGE_CALM_MS     300                /* between two rounds for changes ... */
#define CHANGE_CALM_MAX_MS 60000              /* ... up to this, when facts change all the time and nothing comes of it */
#define WELL_LAG_NS        (2LL * 1000000000) /* what the watch calls well was so before its reports came */
#define IDS_FIRST          10000              /* source ports of rounds: above those of most services, */
#define IDS_END            32768              /* below those that systems give to programs */
#define WELL_AFTER_MS      8000               /* the watch is slower than a round: so long it may still believe that all is well */

/* A round that was asked for; `round` NULL = waits for its turn. */
struct running {
	struct round *round;
	uint32_t a, b;
	uint16_t service_port;
	uint16_t id_base;
	struct crew crew;
	bool automatic, capture, deep, why;
	bool announced;       /* begun because of a change of facts */
	bool bundle;          /* the answer is a bundle */
	struct wall began;    /* what changed later may be what it did not see */
	struct reply reply;   /* of a person; c NULL = automatic */
	const char *progress; /* last one told */
};

/* What is remembered of a pair that was ever suspected. */
struct suspect {
	uint32_t a, b;
	bool ill;    /* by the watch */
	bool wanted; /* an automatic round is due at `next` */
	bool deep;   /* it is to measure quality */
	struct mono next;
	int64_t cooldown_ms;
	enum state state;    /* of the last automatic round */
	struct wall well_at; /* last known to be well, 0 = not known */
	/* changes of facts that touch the pair */
	bool announced;      /* the round that is wanted is because of one */
	bool doubted;        /* the last such round found something the watch had not, and no cause: seen twice, it counts */
	struct mono changed; /* the last one */
	struct mono looked;  /* when its round ended */
	int64_t calm_ms;     /* to the next such round; doubles while they find nothing new */
};

struct rounds {
	struct collector *c;
	struct loop_source *timer;
	struct running *list;
	size_t count, cap;
	struct suspect *suspects;
	size_t suspect_count, suspect_cap;
	struct current *current;
	size_t current_count, current_cap;
};

/* ---- small helpers ---- */

static bool same_pair(uint32_t a, uint32_t b, uint32_t x, uint32_t y) { return (a == x && b == y) || (a == y && b == x); }

static struct suspect *suspect_get(struct rounds *r, uint32_t a, uint32_t b)
{
	for (size_t i = 0; i < r->suspect_count; i++)
		if (same_pair(r->suspects[i].a, r->suspects[i].b, a, b))
			return &r->suspects[i];
	struct suspect *s = VEC_ADD(r->suspects, r->suspect_count, r->suspect_cap);
	s->a = a;
	s->b = b;
	s->cooldown_ms = ROUND_COOLDOWN_MS;
	return s;
}

static bool pair_is_busy(const struct rounds *r, uint32_t a, uint32_t b)
{
	for (size_t i = 0; i < r->count; i++)
		if (r->list[i].round && same_pair(r->list[i].a, r->list[i].b, a, b))
			return true;
	return false;
}

static size_t count_running(const struct rounds *r, bool automatic_only)
{
	size_t n = 0;
	for (size_t i = 0; i < r->count; i++)
		n += r->list[i].round && (r->list[i].automatic || !automatic_only);
	return n;
}

size_t rounds_running(const struct rounds *r) { return count_running(r, false); }

/* ---- current verdicts ---- */

static void current_clear(struct current *v)
{
	free(v->cause);
	free(v->where);
	free(v->direction);
	free(v->sentence);
}

const struct current *rounds_current(const struct rounds *r, uint32_t a, uint32_t b)
{
	for (size_t i = 0; i < r->current_count; i++)
		if (same_pair(r->current[i].a, r->current[i].b, a, b))
			return &r->current[i];
	return NULL;
}

struct wall rounds_well_at(const struct rounds *r, uint32_t a, uint32_t b)
{
	for (size_t i = 0; i < r->suspect_count; i++)
		if (same_pair(r->suspects[i].a, r->suspects[i].b, a, b))
			return r->suspects[i].well_at;
	return (struct wall){0};
}

size_t rounds_current_count(const struct rounds *r) { return r->current_count; }
const struct current *rounds_current_at(const struct rounds *r, size_t i) { return &r->current[i]; }

static void current_drop(struct rounds *r, size_t i)
{
	current_clear(&r->current[i]);
	r->current[i] = r->current[--r->current_count];
}

/* The pair is well: its verdict is history. */
static void current_end(struct rounds *r, uint32_t a, uint32_t b)
{
	for (size_t i = 0; i < r->current_count; i++)
		if (same_pair(r->current[i].a, r->current[i].b, a, b)) {
			const struct member *ma = fleet_by_id(r->c->fleet, a), *mb = fleet_by_id(r->c->fleet, b);
			store_close_verdict(r->c->store, r->current[i].a, r->current[i].b, wall_now());
			char na[TITLE_MAX_LEN], nb[TITLE_MAX_LEN];
			if (ma && mb)
				log_info("%s - %s: well again", fleet_title(r->c->fleet, ma, na), fleet_title(r->c->fleet, mb, nb));
			current_drop(r, i);
			return;
		}
}

static void current_put(struct rounds *r, struct current v)
{
	v.since = v.at;
	for (size_t i = 0; i < r->current_count; i++)
		if (same_pair(r->current[i].a, r->current[i].b, v.a, v.b)) {
			v.since = r->current[i].since;
			current_clear(&r->current[i]);
			r->current[i] = v;
			return;
		}
	*VEC_ADD(r->current, r->current_count, r->current_cap) = v;
}

static const char *string_of(const json_t *o, const char *key) { return json_string_value(json_object_get(o, key)); }

void rounds_restore(struct rounds *r, const struct stored_verdict *v)
{
	json_t *doc = json_loads(v->json, 0, NULL);
	const json_t *cause = json_array_get(json_object_get(doc, "causes"), 0);
	current_put(r, (struct current){.a = v->a,
	                                .b = v->b,
	                                .state = v->state,
	                                .round = v->round,
	                                .at = v->at,
	                                .noted = mono_now(),
	                                .automatic = true,
	                                .cause = mem_strdup(string_of(cause, "id")),
	                                .where = mem_strdup(string_of(cause, "where")),
	                                .direction = mem_strdup(string_of(cause, "direction")),
	                                .sentence = mem_strdup(string_of(doc, "sentence")),
	                                .confidence = json_number_value(json_object_get(cause, "confidence"))});
	json_decref(doc);
}

/* ---- the end of a round ---- */

/* Only the ports somebody asked for are ill: an answer to that question, not a state of the pair. */
static bool only_services_ill(const struct verdict *v)
{
	for (int d = 0; d < 2; d++)
		for (int k = 0; k < KIND_COUNT; k++)
			if (k != KIND_SERVICE && k != KIND_SERVICE6 &&
			    (cell_is_bad((enum cell)v->dir[d].delivery[k]) || cell_is_bad((enum cell)v->dir[d].initiation[k])))
				return false;
	return v->state != STATE_OK && v->state != STATE_UNDETERMINED;
}

/* What a round found right after a change may be a moment's state: without a cause it counts when the watch agrees, or when it
 * is there again a moment later. */
static bool is_doubtful(struct rounds *r, const struct running *run, const struct verdict *v)
{
	struct suspect *s = suspect_get(r, run->a, run->b);
	bool doubtful = run->announced && !s->ill && !s->doubted && v->cause_count == 0 && verdict_exit_code(v) != 0;
	s->doubted = doubtful;
	return doubtful;
}

static void remember(struct rounds *r, const struct running *run, const struct verdict *v, uint64_t id, const char *json)
{
	bool ill = verdict_exit_code(v) != 0, doubtful = is_doubtful(r, run, v);
	bool swapped;
	bool watched = planner_find(r->c->planner, run->a, run->b, &swapped) >= 0;
	bool open = ill && watched && !(only_services_ill(v) && !run->automatic) && !doubtful;
	const struct cause *first = v->cause_count ? &v->causes[0] : NULL;
	struct stored_verdict stored = {.round = id,
	                                .a = run->a,
	                                .b = run->b,
	                                .state = (uint8_t)v->state,
	                                .at = v->at,
	                                .cause = first ? first->id : "",
	                                .json = json,
	                                .open = open};
	if (!ill)
		current_end(r, run->a, run->b);
	store_put_verdict(r->c->store, &stored);
	r->c->count.verdicts[v->state]++;
	if (!open)
		return;
	current_put(r, (struct current){.a = run->a,
	                                .b = run->b,
	                                .state = v->state,
	                                .round = id,
	                                .at = v->at,
	                                .noted = mono_now(),
	                                .automatic = run->automatic,
	                                .cause = mem_strdup(stored.cause[0] ? stored.cause : NULL),
	                                .where = mem_strdup(first ? first->where : NULL),
	                                .direction = mem_strdup(first ? first->direction : NULL),
	                                .sentence = mem_strdup(v->sentence),
	                                .confidence = first ? first->confidence : 0});
}

/* One line when something new came out, not for every look at the same. */
static void log_verdict(const struct rounds *r, const struct running *run, const struct verdict *v)
{
	const struct current *known = rounds_current(r, run->a, run->b);
	const char *cause = v->cause_count ? v->causes[0].id : "", *old = known && known->cause ? known->cause : "";
	if (run->automatic && verdict_exit_code(v) != 0 && !(known && known->state == v->state && strcmp(cause, old) == 0))
		log_info("%s - %s: %s%s%s", v->a, v->b, state_name(v->state), *cause ? ", " : "", cause);
}

static void clocks_note(struct collector *c, const struct dossier *d)
{
	for (int i = 0; i < (int)d->party_count; i++) {
		struct err e;
		struct member *m = d->party[i].after ? fleet_find(c->fleet, d->party[i].name, NULL, &e) : NULL;
		if (m)
			m->clock_apart_ms = dossier_clock_apart_ms(d, i);
	}
}

static struct verdict *decide(struct rounds *r, const struct running *run, struct record *out)
{
	struct collector *c = r->c;
	const struct shift *shifts;
	round_dossier(run->round, c->fleet, c->planner, c->detect, wall_now(), &out->dossier);
	clocks_note(c, &out->dossier);
	out->format = RECORD_FORMAT;
	str_copy(out->program, sizeof out->program, BOTHWAYS_VERSION);
	memcpy(out->catalogue, c->catalogue_sum, sizeof out->catalogue);
	out->catalogue_text = c->catalogue_text.data;
	out->catalogue_len = c->catalogue_text.len;
	out->shift_count = feedback_shifts(c->feedback, &shifts);
	out->shifts = (struct shift *)(uintptr_t)shifts; /* lent, as everything in it: only read */
	out->took_ms = round_took_ms(run->round);
	out->at = wall_now();
	return (run->why ? judge_why : judge)(c->catalogue, &out->dossier, out->took_ms, out->at);
}

/* It was ill, something changed, and now it is well. */
static void watch_anew(struct rounds *r, uint32_t a, uint32_t b)
{
	bool swapped;
	int64_t number = planner_find(r->c->planner, a, b, &swapped);
	if (number >= 0)
		detect_anew(r->c->detect, (uint32_t)number);
}

static void settle_suspect(struct rounds *r, const struct running *run, const struct verdict *v)
{
	struct suspect *s = suspect_get(r, run->a, run->b);
	bool same = s->state == v->state;
	s->cooldown_ms = same ? s->cooldown_ms * 2 : ROUND_COOLDOWN_MS;
	if (s->cooldown_ms > ROUND_COOLDOWN_MAX_MS)
		s->cooldown_ms = ROUND_COOLDOWN_MAX_MS;
	s->state = v->state;
	s->looked = mono_now();
	s->calm_ms = same ? s->calm_ms * 2 : CHANGE_CALM_MS;
	/* Perhaps it began or ended in the middle of the round. */
	s->wanted = s->wanted || verdict_exit_code(v) == 3;
	s->announced = s->announced || s->doubted;
	s->next = mono_add_ms(mono_now(), s->announced ? s->calm_ms : s->cooldown_ms);
	if (run->announced && !same && v->state == STATE_OK)
		watch_anew(r, run->a, run->b);
}

static void answer_bundle(const struct running *run, const struct record *record, const struct verdict *v)
{
	struct capture_summary *sum = mem_alloc(sizeof *sum);
	struct buf frames = {0};
	capture_file(&record->dossier, v, NULL, &frames, sum);
	bundle_reply(&run->reply, record, sum->frames ? &frames : NULL);
	buf_free(&frames);
	free(sum);
}

static void answer(const struct running *run, const struct record *record, const struct verdict *v, const json_t *doc)
{
	if (!run->reply.c)
		return;
	if (run->bundle)
		answer_bundle(run, record, v);
	else if (run->capture)
		capture_reply(&run->reply, &record->dossier, v, doc);
	else
		reply_document(&run->reply, verdict_exit_code(v), doc);
}

static void finish(struct rounds *r, struct running *run)
{
	struct record *record = mem_alloc(sizeof *record);
	struct verdict *v = decide(r, run, record);
	json_t *doc = verdict_json(v, round_id(run->round));
	record->verdict = json_dumps(doc, JSON_COMPACT | JSON_REAL_PRECISION(6));
	record->verdict_len = strlen(record->verdict);
	log_verdict(r, run, v);
	remember(r, run, v, round_id(run->round), record->verdict);
	if (v->state == STATE_OK)
		suspect_get(r, run->a, run->b)->well_at = run->began;
	if (run->automatic)
		settle_suspect(r, run, v);
	if (run->why) /* for who asks; what is stored is without it */
		json_object_set_new(doc, "why", weighings_json(v));
	answer(run, record, v, doc);
	records_keep(r->c->records, record, run->a, run->b, verdict_exit_code(v) != 0);
	free(record->verdict);
	json_decref(doc);
	verdict_free(v);
	dossier_clear(&record->dossier);
	free(record);
}

/* ---- running ---- */

static void send_to(void *arg, struct member *to, const struct msg *m)
{
	struct rounds *r = arg;
	sessions_send(r->c->sessions, to, m);
}

/* Round trips that the watch of this pair is used to. */
static void usual_fill(const struct rounds *r, const struct running *run, uint32_t usual_us[2])
{
	struct cells cells;
	bool swapped;
	int64_t number = planner_find(r->c->planner, run->a, run->b, &swapped);
	if (number < 0 || !detect_cells(r->c->detect, (uint32_t)number, &cells))
		return;
	usual_us[0] = cells.usual_us[swapped];
	usual_us[1] = cells.usual_us[!swapped];
}

static bool shares_machine(const struct running *x, const struct running *y)
{
	return x->a == y->a || x->a == y->b || x->b == y->a || x->b == y->b;
}

static bool ids_are_free(const struct rounds *r, const struct running *run, int id_base)
{
	for (size_t i = 0; i < r->count; i++) {
		const struct running *other = &r->list[i];
		if (other != run && other->round && shares_machine(other, run) && abs(other->id_base - id_base) < ROUND_IDS)
			return false;
	}
	return true;
}

/* A SYN is known by its source port alone: it must be none that a system gives to a program (RFC 6056; Linux begins at 32768), nor
 * one of another round that these machines are in. */
static uint16_t ids_choose(const struct rounds *r, const struct running *run)
{
	int id_base = 0;
	for (int tries = 0; tries < 32 && (!id_base || !ids_are_free(r, run, id_base)); tries++)
		id_base = IDS_FIRST + (int)(keys_random64() % (IDS_END - IDS_FIRST - ROUND_IDS));
	return (uint16_t)id_base;
}

static int begin(struct rounds *r, struct running *run, struct err *e)
{
	struct collector *c = r->c;
	struct round_ask ask = {.id = keys_random64() | 1,
	                        .a = fleet_by_id(c->fleet, run->a),
	                        .b = fleet_by_id(c->fleet, run->b),
	                        .service_port = run->service_port,
	                        .keep_frames = run->capture || run->bundle,
	                        .deep = run->deep,
	                        .names = !run->automatic,
	                        .well_at = suspect_get(r, run->a, run->b)->well_at};
	usual_fill(r, run, ask.usual_us);
	ask.id_base = run->id_base = ids_choose(r, run);
	keys_random(ask.key, sizeof ask.key);
	run->began = wall_now();
	run->round = round_new(&ask, c->fleet, send_to, r, mono_now(), e);
	if (!run->round) {
		c->count.rounds_failed++;
		return -1;
	}
	if (run->automatic)
		c->count.rounds_automatic++;
	else
		c->count.rounds_asked++;
	return 0;
}

static void tell_progress(struct running *run)
{
	const char *now = run->round ? round_progress(run->round) : "waiting for other rounds of these machines to end";
	if (!run->reply.c || !now || (run->progress && strcmp(run->progress, now) == 0))
		return;
	run->progress = now;
	json_t *doc = json_object();
	json_object_set_new(doc, "progress", json_text(now));
	char *json = json_dumps(doc, JSON_COMPACT);
	reply_send(&run->reply, true, 0, json);
	free(json);
	json_decref(doc);
}

static void arm(struct rounds *r)
{
	int64_t soonest = INT64_MAX;
	for (size_t i = 0; i < r->count; i++)
		if (r->list[i].round && round_next(r->list[i].round).ns < soonest)
			soonest = round_next(r->list[i].round).ns;
	if (soonest == INT64_MAX)
		return;
	int64_t us = (soonest - mono_now().ns) / 1000 + 1;
	loop_timer_arm(r->timer, us > 0 ? us : 0);
}

static void run_remove(struct rounds *r, size_t i)
{
	round_free(r->list[i].round);
	memmove(&r->list[i], &r->list[i + 1], (r->count - i - 1) * sizeof *r->list);
	r->count--;
}

static bool has_room(const struct rounds *r, const struct running *run)
{
	struct crew_load load = {.wanted = &run->crew};
	for (size_t i = 0; i < r->count; i++)
		if (r->list[i].round)
			crew_load_add(&load, &r->list[i].crew);
	return crew_has_room(&load) && rounds_running(r) < ROUNDS_MAX &&
	       (!run->automatic || count_running(r, true) < ROUNDS_AUTOMATIC_MAX);
}

static void begin_waiting(struct rounds *r)
{
	for (size_t i = 0; i < r->count; i++) {
		struct running *run = &r->list[i];
		struct err e = {0};
		if (run->round || pair_is_busy(r, run->a, run->b) || !has_room(r, run))
			continue;
		if (begin(r, run, &e)) {
			if (run->reply.c)
				reply_error(&run->reply, e.text);
			run_remove(r, i--);
		}
	}
}

/* What a message or the clock has moved on: ends, begins, and the next deadline. */
static void settle(struct rounds *r)
{
	for (size_t i = 0; i < r->count; i++)
		if (r->list[i].round && round_over(r->list[i].round)) {
			finish(r, &r->list[i]);
			run_remove(r, i--);
		}
	begin_waiting(r);
	for (size_t i = 0; i < r->count; i++)
		tell_progress(&r->list[i]);
	arm(r);
}

static void on_timer(void *arg)
{
	struct rounds *r = arg;
	struct mono now = mono_now();
	for (size_t i = 0; i < r->count; i++)
		if (r->list[i].round)
			round_tick(r->list[i].round, now);
	settle(r);
}

static void crew_end(const struct fleet *f, struct crew *c, uint32_t id)
{
	const struct member *m = fleet_by_id(f, id);
	crew_add(c, id);
	for (size_t i = 0; m && m->kind == AGENT_GUEST && i < m->endpoint_count; i++) {
		struct place at;
		if (fleet_place(f, m, m->endpoints[i].mac, &at) && at.host)
			crew_add(c, at.host->id);
	}
}

static bool run_add(struct rounds *r, struct running run)
{
	if (r->count >= ROUNDS_MAX + ROUNDS_WAITING_MAX)
		return false;
	run.crew.automatic = run.automatic;
	crew_end(r->c->fleet, &run.crew, run.a);
	crew_end(r->c->fleet, &run.crew, run.b);
	*VEC_ADD(r->list, r->count, r->cap) = run;
	return true;
}

/* The best pair to ask about a silent member: its own host or guest first, and the other end must speak. */
static const struct pair *pair_of_silent(const struct rounds *r, const struct member *m)
{
	const struct pair *best = NULL;
	bool best_close = false;
	for (size_t i = 0; i < planner_count(r->c->planner); i++) {
		const struct pair *p = planner_pair(r->c->planner, (uint32_t)i);
		if (!p || (p->a != m->id && p->b != m->id))
			continue;
		const struct member *other = fleet_by_id(r->c->fleet, p->a == m->id ? p->b : p->a);
		if (!other || !other->online)
			continue;
		bool close = other->kind != m->kind;
		if (!best || (close && !best_close)) {
			best = p;
			best_close = close;
		}
	}
	return best;
}

static bool hears_through(const struct member *guest, const struct member *host)
{
	return guest->heard_by == HEARD_RELAY && guest->relay == host->id;
}

/* Nobody speaks. When the one is heard through the other only, it is the other that somebody else may be asked about. */
static int refuse_silent(const struct rounds *r, const struct member *a, const struct member *b, struct err *e)
{
	char ta[TITLE_MAX_LEN], tb[TITLE_MAX_LEN], to[TITLE_MAX_LEN];
	const struct fleet *f = r->c->fleet;
	const struct member *host = hears_through(b, a) ? a : hears_through(a, b) ? b : NULL;
	const struct pair *p = host ? pair_of_silent(r, host) : NULL;
	const struct member *other = p ? fleet_by_id(f, p->a == host->id ? p->b : p->a) : NULL;
	err_set(e, "both agents are offline: %s and %s", fleet_title(f, a, ta), fleet_title(f, b, tb));
	if (!other)
		return -1;
	const char *host_title = host == a ? ta : tb, *guest_title = host == a ? tb : ta;
	return err_set(e, "both agents are offline, and %s is heard through %s only: ask `bothways diagnose %s %s`", guest_title,
	               host_title, fleet_title(f, other, to), host_title);
}

int rounds_ask(struct rounds *r, const struct round_wish *wish, const struct reply *reply, struct err *e)
{
	struct running run = {.a = wish->a->id,
	                      .b = wish->b->id,
	                      .service_port = wish->service_port,
	                      .capture = wish->capture,
	                      .bundle = wish->bundle,
	                      .deep = wish->deep,
	                      .why = wish->why,
	                      .reply = *reply};
	if (!wish->a->online && !wish->b->online)
		return refuse_silent(r, wish->a, wish->b, e);
	if (!run_add(r, run))
		return err_set(e, "too many rounds are waiting already (%d): try again in a moment",
		               ROUNDS_MAX + ROUNDS_WAITING_MAX);
	settle(r);
	return 0;
}

void rounds_message(struct rounds *r, const struct member *from, struct msg *m)
{
	uint64_t id = m->type == MSG_ROUND_ARMED  ? m->u.round_armed.round
	              : m->type == MSG_STAGE_DONE ? m->u.stage_done.round
	                                          : m->u.round_result.result.id;
	for (size_t i = 0; i < r->count; i++)
		if (r->list[i].round && round_id(r->list[i].round) == id) {
			round_message(r->list[i].round, from, m, mono_now());
			settle(r);
			return;
		}
}

/* ---- automatic rounds ---- */

static bool is_listed(const struct rounds *r, uint32_t a, uint32_t b)
{
	for (size_t i = 0; i < r->count; i++)
		if (r->list[i].automatic && same_pair(r->list[i].a, r->list[i].b, a, b))
			return true;
	return false;
}

static void begin_wanted(struct rounds *r, struct mono now)
{
	for (size_t i = 0; i < r->suspect_count; i++) {
		struct suspect *s = &r->suspects[i];
		if (!s->wanted || !mono_reached(s->next, now) || is_listed(r, s->a, s->b))
			continue;
		const struct member *a = fleet_by_id(r->c->fleet, s->a), *b = fleet_by_id(r->c->fleet, s->b);
		bool asked = a && b && (a->online || b->online);
		if (asked && !run_add(r, (struct running){
		                             .a = s->a, .b = s->b, .automatic = true, .announced = s->announced, .deep = s->deep}))
			continue;
		s->wanted = s->announced = s->deep = false;
	}
}

static void want_round(struct rounds *r, uint32_t a, uint32_t b)
{
	suspect_get(r, a, b)->wanted = true;
	begin_wanted(r, mono_now());
	settle(r);
}

void rounds_event(struct rounds *r, const struct detect_event *event)
{
	const struct pair *p = planner_pair(r->c->planner, event->pair);
	if (!p)
		return;
	struct suspect *s = suspect_get(r, p->a, p->b);
	s->deep = event->poor;
	if (event->type == DETECT_DOUBT) { /* too little to call it ill: a round with a train of probes decides */
		want_round(r, p->a, p->b);
		return;
	}
	s->ill = event->type == DETECT_SUSPECT;
	s->cooldown_ms = ROUND_COOLDOWN_MS;
	if (s->ill) {
		if (mono_ms_since(mono_now(), s->next) > ROUND_COOLDOWN_MS)
			s->next = mono_add_ms(mono_now(), ROUND_COOLDOWN_MS); /* something new: do not wait out a long pause */
		want_round(r, p->a, p->b);
		return;
	}
	s->wanted = false;
	s->well_at = (struct wall){wall_now().ns - WELL_LAG_NS};
	current_end(r, p->a, p->b);
}

static void pair_changed(struct rounds *r, uint32_t a, uint32_t b, struct mono now)
{
	struct suspect *s = suspect_get(r, a, b);
	if (s->calm_ms < CHANGE_CALM_MS || mono_ms_since(s->changed, now) > CHANGE_CALM_MAX_MS)
		s->calm_ms = CHANGE_CALM_MS;
	if (s->calm_ms > CHANGE_CALM_MAX_MS)
		s->calm_ms = CHANGE_CALM_MAX_MS;
	s->changed = now;
	if (s->wanted && mono_reached(s->next, now))
		return; /* one is coming */
	s->next = s->looked.ns ? mono_add_ms(s->looked, s->calm_ms) : now;
	s->announced = s->wanted = true;
}

void rounds_changed(struct rounds *r, const struct member *m, const struct fact_change *changes, size_t count)
{
	uint32_t touched[CHANGE_PAIRS_MAX];
	struct mono now = mono_now();
	size_t n = changes_touch(r->c->fleet, r->c->planner, m, changes, count, touched, CHANGE_PAIRS_MAX);
	for (size_t i = 0; i < n; i++) {
		const struct pair *p = planner_pair(r->c->planner, touched[i]);
		pair_changed(r, p->a, p->b, now);
	}
	if (n)
		rounds_tick(r, now);
}

void rounds_member_down(struct rounds *r, const struct member *m)
{
	const struct pair *p = pair_of_silent(r, m);
	if (p)
		want_round(r, p->a, p->b);
}

void rounds_tick(struct rounds *r, struct mono now)
{
	begin_wanted(r, now);
	settle(r);
}

/* ---- once a second ---- */

enum opinion { OPINION_NONE, OPINION_WELL, OPINION_ILL };

/* What the watch says of a pair: ill when any cell is bad, well when it was measured and both ends speak. */
static enum opinion watch_opinion(const struct rounds *r, uint32_t a, uint32_t b)
{
	struct cells cells;
	bool swapped;
	int64_t number = planner_find(r->c->planner, a, b, &swapped);
	const struct member *ma = fleet_by_id(r->c->fleet, a), *mb = fleet_by_id(r->c->fleet, b);
	if (number < 0 || !ma || !mb || !ma->online || !mb->online)
		return OPINION_NONE;
	if (!detect_cells(r->c->detect, (uint32_t)number, &cells) || !cells.measured)
		return OPINION_NONE;
	for (int d = 0; d < 2; d++)
		for (int k = 0; k < KIND_COUNT; k++)
			if (cell_is_bad((enum cell)cells.delivery[d][k]) || cell_is_bad((enum cell)cells.initiation[d][k]))
				return OPINION_ILL;
	return cells.doubtful ? OPINION_NONE : OPINION_WELL;
}

static bool is_stale(const struct rounds *r, const struct current *v, struct mono now)
{
	bool swapped;
	if (mono_ms_since(v->noted, now) < WELL_AFTER_MS)
		return false;
	return planner_find(r->c->planner, v->a, v->b, &swapped) < 0 || watch_opinion(r, v->a, v->b) == OPINION_WELL;
}

void rounds_sweep(struct rounds *r, struct mono now)
{
	for (size_t i = r->current_count; i-- > 0;)
		if (is_stale(r, &r->current[i], now))
			current_end(r, r->current[i].a, r->current[i].b);
	for (size_t i = 0; i < r->suspect_count; i++) {
		struct suspect *s = &r->suspects[i];
		if (s->ill && !s->wanted && mono_reached(s->next, now) && !rounds_current(r, s->a, s->b) &&
		    watch_opinion(r, s->a, s->b) == OPINION_ILL)
			s->wanted = s->deep = true; /* ill for the watch, well in the round: look again, ever more rarely */
	}
	rounds_tick(r, now);
}

struct rounds *rounds_new(struct collector *c)
{
	struct rounds *r = mem_alloc(sizeof *r);
	r->c = c;
	r->timer = loop_timer(c->loop, on_timer, r);
	return r;
}

void rounds_free(struct rounds *r)
{
	if (!r)
		return;
	while (r->count)
		run_remove(r, r->count - 1);
	for (size_t i = 0; i < r->current_count; i++)
		current_clear(&r->current[i]);
	loop_remove(r->timer);
	free(r->list);
	free(r->suspects);
	free(r->current);
	free(r);
}
