#include "collector/sessions.h"

#include "collector/query.h"
#include "collector/rounds.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/sealed.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS        4096
#define REFUSAL_LOG_MS 10000 /* one line about unknown keys in that time */

/* Of one agent: reading what a machine says of itself is work for the whole fleet. */
#define SNAPSHOTS_PER_SECOND 5
#define SNAPSHOTS_BURST      20
#define ROWS_PER_SECOND      20000
#define ROWS_BURST           60000
#define CHANGES_PER_SECOND   10 /* kept on disk */
#define CHANGES_BURST        1024
#define BYTES_PER_MESSAGE    4096 /* a larger one counts as several */

#define GAP_PATIENCE_MS 15000 /* for the report that is next, before one behind it is taken */

/* A token bucket: `rate` a second, bursts of `burst`. */
struct limiter {
	double level;
	struct mono at;
};

enum who { WHO_AGENT, WHO_TOKEN, WHO_CLI };

static const struct {
	double rate, burst;
} LIMITS[] = {
    [WHO_AGENT] = {2000, 8000},
    [WHO_TOKEN] = {5, 10},
    [WHO_CLI] = {100, 200},
};

struct channel {
	struct channel *next_place, *next_id; /* in their buckets */
	uint64_t id;
	uint8_t key[KEY_LEN]; /* proven by the handshake; relayed: claimed, until sealed.proven */
	enum who who;
	uint32_t member;       /* WHO_AGENT: its id */
	struct stored_key cli; /* WHO_CLI */
	bool greeted;          /* said hello here */
	struct mono heard;
	struct limiter limiter;
	bool relayed;
	size_t route_len; /* direct */
	uint8_t route[255];
	uint32_t relay, stream;   /* relayed: by which host's agent, under which number */
	char label[NAME_MAX_LEN]; /* what that agent calls the stream, "" = it did not say */
	struct sealed sealed;
};

struct stream_label {
	uint32_t stream;
	char label[NAME_MAX_LEN];
};

/* What is kept of each member beside the fleet's knowledge; position = member id. */
struct presence {
	uint64_t at; /* id of the channel of the newest hello, 0 = none */
	uint64_t boot, applied, durable;
	struct report_count reports;
	struct mono early; /* since when reports come that are not the next, ns 0 = they do not */
	bool due;          /* an acknowledgement waits for the next flush */
	bool has_plan;
	uint64_t plan;               /* version it was sent */
	uint32_t streams;            /* it relays */
	struct stream_label *labels; /* of the streams it said are open */
	size_t label_count, label_cap;
	struct limiter limiter; /* of all its ways together: a host relays for many */
	struct limiter snapshots, rows, changes;
	struct snapshot *late; /* the newest, of more than we read at once */
};

struct sessions {
	struct collector *c;
	struct channel *places[BUCKETS], *ids[BUCKETS];
	size_t count;
	uint64_t last_id;
	struct presence *presence;
	size_t presence_count, presence_cap;
	struct limiter joins;
	struct mono refusal_logged;
};

/* ---- small helpers ---- */

static bool limiter_take(struct limiter *l, double rate, double burst, double cost, struct mono now)
{
	if (l->at.ns == 0)
		l->level = burst;
	else
		l->level += rate * (double)(now.ns - l->at.ns) / 1e9;
	l->at = now;
	if (l->level > burst)
		l->level = burst;
	if (l->level < cost)
		return false;
	l->level -= cost;
	return true;
}

static struct presence *presence_of(struct sessions *s, uint32_t member)
{
	while (s->presence_count <= member)
		VEC_ADD(s->presence, s->presence_count, s->presence_cap);
	return &s->presence[member];
}

static struct stream_label *label_of(struct presence *p, uint32_t stream)
{
	for (size_t i = 0; i < p->label_count; i++)
		if (p->labels[i].stream == stream)
			return &p->labels[i];
	return NULL;
}

static void label_set(struct presence *p, uint32_t stream, const char *text)
{
	struct stream_label *l = label_of(p, stream);
	if (!l && p->label_count >= RELAY_STREAMS_MAX)
		return;
	if (!l)
		l = VEC_ADD(p->labels, p->label_count, p->label_cap);
	l->stream = stream;
	str_copy(l->label, sizeof l->label, text);
}

static void label_forget(struct presence *p, uint32_t stream)
{
	struct stream_label *l = label_of(p, stream);
	if (l)
		*l = p->labels[--p->label_count];
}

static size_t hash_bytes(const void *data, size_t len)
{
	uint64_t h = 14695981039346656037u; /* FNV-1a; the keys are ours (ZeroMQ's ids, our numbers), not an adversary's */
	for (size_t i = 0; i < len; i++)
		h = (h ^ ((const uint8_t *)data)[i]) * 1099511628211u;
	return (size_t)(h ^ h >> 32) % BUCKETS;
}

static size_t hash_stream(uint32_t relay, uint32_t stream)
{
	uint32_t both[2] = {relay, stream};
	return hash_bytes(both, sizeof both);
}

/* ---- the table of channels ---- */

static struct channel *channel_by_id(const struct sessions *s, uint64_t id)
{
	struct channel *ch = s->ids[id % BUCKETS];
	while (ch && ch->id != id)
		ch = ch->next_id;
	return id ? ch : NULL;
}

static struct channel *channel_by_route(const struct sessions *s, const void *route, size_t len)
{
	struct channel *ch = s->places[hash_bytes(route, len)];
	while (ch && (ch->relayed || ch->route_len != len || memcmp(ch->route, route, len) != 0))
		ch = ch->next_place;
	return ch;
}

static struct channel *channel_by_stream(const struct sessions *s, uint32_t relay, uint32_t stream)
{
	struct channel *ch = s->places[hash_stream(relay, stream)];
	while (ch && !(ch->relayed && ch->relay == relay && ch->stream == stream))
		ch = ch->next_place;
	return ch;
}

static struct channel *channel_add(struct sessions *s, size_t place, struct mono now)
{
	if (s->count >= CHANNELS_MAX) {
		s->c->count.limited++;
		return NULL;
	}
	struct channel *ch = mem_alloc(sizeof *ch);
	ch->id = ++s->last_id;
	ch->heard = now;
	ch->next_place = s->places[place];
	s->places[place] = ch;
	ch->next_id = s->ids[ch->id % BUCKETS];
	s->ids[ch->id % BUCKETS] = ch;
	s->count++;
	return ch;
}

static void channel_remove(struct sessions *s, struct channel *ch)
{
	size_t place = ch->relayed ? hash_stream(ch->relay, ch->stream) : hash_bytes(ch->route, ch->route_len);
	struct channel **at = &s->places[place];
	while (*at != ch)
		at = &(*at)->next_place;
	*at = ch->next_place;
	at = &s->ids[ch->id % BUCKETS];
	while (*at != ch)
		at = &(*at)->next_id;
	*at = ch->next_id;
	s->count--;
	if (ch->relayed)
		presence_of(s, ch->relay)->streams--;
	sealed_clear(&ch->sealed);
	free(ch);
}

uint64_t channel_id(const struct channel *ch) { return ch->id; }
const uint8_t *channel_key(const struct channel *ch) { return ch->key; }
size_t sessions_channels(const struct sessions *s) { return s->count; }

/* ---- whom to let in ---- */

/* Who holds this key? False: nobody we know. Spent and expired tokens are known: they get an answer that says so. */
static bool identify(const struct sessions *s, const uint8_t key[static KEY_LEN], enum who *who, uint32_t *member,
                     struct stored_key *cli)
{
	const struct member *m = fleet_by_key(s->c->fleet, key);
	struct stored_token t;
	if (m) {
		*who = WHO_AGENT;
		*member = m->id;
		return true;
	}
	if (store_key(s->c->store, key, cli) == 1) {
		*who = WHO_CLI;
		return true;
	}
	*who = WHO_TOKEN;
	return store_token(s->c->store, key, &t) == 1;
}

static void count_unknown_key(struct sessions *s, const uint8_t key[static KEY_LEN])
{
	struct mono now = mono_now();
	char hex[KEY_TEXT_MAX];
	s->c->count.unknown_key++;
	if (s->refusal_logged.ns && mono_ms_since(s->refusal_logged, now) < REFUSAL_LOG_MS)
		return;
	s->refusal_logged = now;
	log_warn("refused a client with an unknown key (%.16s...)", key_hex(key, hex));
}

bool sessions_allow(void *arg, const uint8_t key[static KEY_LEN])
{
	struct sessions *s = arg;
	enum who who;
	uint32_t member;
	struct stored_key cli;
	if (identify(s, key, &who, &member, &cli))
		return true;
	count_unknown_key(s, key);
	return false;
}

static bool channel_identify(struct sessions *s, struct channel *ch, const uint8_t key[static KEY_LEN])
{
	memcpy(ch->key, key, KEY_LEN);
	ch->greeted = false;
	return identify(s, key, &ch->who, &ch->member, &ch->cli);
}

/* ---- sending ---- */

static int send_direct(struct sessions *s, const struct channel *ch, const void *data, size_t len)
{
	if (bus_server_send(s->c->bus, ch->route, ch->route_len, data, len) == 0)
		return 0;
	s->c->count.send_failed++;
	return -1;
}

struct relay_target {
	struct sessions *s;
	uint32_t relay, stream;
};

static void relay_down(void *arg, const void *payload, size_t len)
{
	const struct relay_target *t = arg;
	const struct member *host = fleet_by_id(t->s->c->fleet, t->relay);
	struct msg *m = msg_new(MSG_RELAY_DOWN);
	m->u.relay.stream = t->stream;
	m->u.relay.len = len;
	m->u.relay.data = mem_array(len ? len : 1, 1);
	memcpy(m->u.relay.data, payload, len);
	if (host)
		sessions_send(t->s, host, m);
	msg_free(m);
}

static int channel_send(struct sessions *s, struct channel *ch, const struct msg *msg)
{
	struct buf b = {0};
	struct err e = {0};
	int rc = wire_encode(msg, &b, &e);
	if (rc)
		log_error("a message of type %d could not be sent: %s", (int)msg->type, e.text);
	else if (ch->relayed)
		rc = sealed_write(&ch->sealed, b.data, b.len, relay_down, &(struct relay_target){s, ch->relay, ch->stream});
	else
		rc = send_direct(s, ch, b.data, b.len);
	buf_free(&b);
	return rc;
}

int sessions_answer(struct sessions *s, uint64_t channel, const struct msg *msg)
{
	struct channel *ch = channel_by_id(s, channel);
	return ch ? channel_send(s, ch, msg) : -1;
}

int sessions_send(struct sessions *s, const struct member *m, const struct msg *msg)
{
	struct channel *ch = channel_by_id(s, presence_of(s, m->id)->at);
	/* A relay's own way must be direct: a relay of a relay would be a loop. */
	if (!ch || (ch->relayed && msg->type == MSG_RELAY_DOWN))
		return -1;
	return channel_send(s, ch, msg);
}

static void pong(struct sessions *s, struct channel *ch)
{
	struct msg *m = msg_new(MSG_PONG);
	channel_send(s, ch, m);
	msg_free(m);
}

static void refuse_version(struct sessions *s, struct channel *ch, const struct member *m, const struct msg_hello *h)
{
	struct err e;
	err_set(&e, "protocol: the collector speaks versions %d to %d, the agent %u to %u", PROTOCOL_VERSION_MIN, PROTOCOL_VERSION,
	        h->version_min, h->version_max);
	log_warn("%s/%s refused: %s", m->tenant, m->name, e.text);
	struct msg *r = msg_new(MSG_REFUSED);
	str_copy(r->u.refused.reason, sizeof r->u.refused.reason, e.text);
	r->u.refused.final = true;
	channel_send(s, ch, r);
	msg_free(r);
}

/* ---- what agents say ---- */

static void send_plan(struct sessions *s, const struct member *m)
{
	struct msg *plan = msg_new(MSG_PLAN);
	planner_plan_of(s->c->planner, s->c->fleet, m->id, &plan->u.plan);
	uint64_t version = planner_version_of(s->c->planner, m->id);
	bool sent = sessions_send(s, m, plan) == 0;
	struct presence *p = presence_of(s, m->id);
	p->has_plan = sent;
	p->plan = version;
	msg_free(plan);
}

static void welcome(struct sessions *s, struct channel *ch, const struct member *m, uint32_t version)
{
	struct msg *w = msg_new(MSG_WELCOME);
	w->u.welcome.version = version;
	w->u.welcome.acked = presence_of(s, m->id)->durable;
	str_copy(w->u.welcome.name, sizeof w->u.welcome.name, m->name);
	str_copy(w->u.welcome.tenant, sizeof w->u.welcome.tenant, m->tenant);
	w->u.welcome.kind = m->kind;
	channel_send(s, ch, w);
	msg_free(w);
}

/* A host's agent that started anew numbers its streams anew. */
static void forget_streams(struct sessions *s, uint32_t relay)
{
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct channel *ch = s->ids[i], *next; ch; ch = next) {
			next = ch->next_id;
			if (ch->relayed && ch->relay == relay)
				channel_remove(s, ch);
		}
	presence_of(s, relay)->label_count = 0;
}

/* An agent has one stream to its host: another one in its name takes its place. */
static void forget_older(struct sessions *s, const struct channel *newest)
{
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct channel *ch = s->ids[i], *next; ch; ch = next) {
			next = ch->next_id;
			if (ch != newest && ch->relayed && ch->relay == newest->relay && ch->who == WHO_AGENT &&
			    ch->member == newest->member)
				channel_remove(s, ch);
		}
}

static void begin_boot(struct sessions *s, const struct member *m, uint64_t boot)
{
	struct presence *p = presence_of(s, m->id);
	if (p->boot == boot)
		return;
	p->boot = boot;
	p->applied = p->durable = 0;
	p->early = (struct mono){0};
	p->due = false;
	detect_restarted(s->c->detect, m->id, mono_now());
	forget_streams(s, m->id);
}

static void say_heard(struct sessions *s, struct channel *ch, struct member *m, struct mono now)
{
	bool was = m->online;
	fleet_heard(s->c->fleet, m, ch->relayed ? HEARD_RELAY : HEARD_DIRECT, ch->relayed ? ch->relay : 0, now, wall_now());
	if (!was && m->online) {
		detect_online(s->c->detect, m->id, true, now);
		collector_replan(s->c);
	}
}

/* Reports up to there are not with us, and the agent has nothing older than `next`: it had to give them up. */
static void skip_reports(struct sessions *s, struct presence *p, uint64_t next)
{
	if (next <= p->applied + 1)
		return;
	s->c->count.reports_gap++;
	s->c->count.reports_missing += next - p->applied - 1;
	p->reports.missing += next - p->applied - 1;
	p->applied = next - 1;
}

static void on_hello(struct sessions *s, struct channel *ch, struct member *m, struct msg *msg)
{
	const struct msg_hello *h = &msg->u.hello;
	uint32_t version = wire_common_version(PROTOCOL_VERSION_MIN, PROTOCOL_VERSION, h->version_min, h->version_max);
	if (!version) {
		refuse_version(s, ch, m, h);
		return;
	}
	struct presence *p = presence_of(s, m->id);
	begin_boot(s, m, h->boot);
	skip_reports(s, p, h->next_report);
	p->at = ch->id;
	p->has_plan = false;
	if (!ch->greeted)
		log_info("%s/%s is here %s (%s%s%s)", m->tenant, m->name, ch->relayed ? "by relay" : "directly", h->software,
		         h->rights_why[0] ? "; limited: " : "", h->rights_why);
	ch->greeted = true;
	say_heard(s, ch, m, mono_now());
	fleet_hello(s->c->fleet, m, h);
	detect_deaf(s->c->detect, m->id, fleet_deaf_kinds(m));
	welcome(s, ch, m, version);
	send_plan(s, m);
	collector_replan(s->c);
}

static void take_snapshot(struct sessions *s, struct member *m, struct snapshot *snapshot)
{
	struct collector *c = s->c;
	struct mono now = mono_now();
	size_t n = fleet_snapshot(c->fleet, m, snapshot, wall_now());
	size_t first = n > m->change_count ? 0 : m->change_count - n;
	for (size_t i = first; i < m->change_count; i++)
		if (limiter_take(&presence_of(s, m->id)->changes, CHANGES_PER_SECOND, CHANGES_BURST, 1, now))
			store_put_change(c->store, m->id, &m->changes[i]);
		else
			c->count.limited++;
	collector_replan(c);
	rounds_changed(c->rounds, m, &m->changes[first], m->change_count - first);
}

static bool may_take_snapshot(struct presence *p, struct mono now)
{
	return limiter_take(&p->snapshots, SNAPSHOTS_PER_SECOND, SNAPSHOTS_BURST, 1, now);
}

/* More than may be read at once: the newest of them counts, a little later. */
static void offer_snapshot(struct sessions *s, struct member *m, struct snapshot *snapshot)
{
	struct presence *p = presence_of(s, m->id);
	snapshot_free(p->late);
	p->late = NULL;
	if (may_take_snapshot(p, mono_now())) {
		take_snapshot(s, m, snapshot);
		return;
	}
	p->late = snapshot;
	s->c->count.limited++;
}

static void take_late_snapshots(struct sessions *s, struct mono now)
{
	for (uint32_t id = 0; id < s->presence_count; id++) {
		struct snapshot *late = s->presence[id].late;
		struct member *m = late ? fleet_by_id(s->c->fleet, id) : NULL;
		if (!m || !may_take_snapshot(&s->presence[id], now))
			continue;
		s->presence[id].late = NULL;
		take_snapshot(s, m, late);
	}
}

static void apply_report(struct sessions *s, struct member *m, struct msg_report *r)
{
	struct collector *c = s->c;
	m->health = r->health;
	fitness_hear(&m->fitness, &r->health, mono_now());
	if (r->snapshot)
		offer_snapshot(s, m, r->snapshot);
	r->snapshot = NULL;
	struct mono now = mono_now();
	bool good = limiter_take(&presence_of(s, m->id)->rows, ROWS_PER_SECOND, ROWS_BURST, (double)r->row_count, now);
	detect_rows(c->detect, m->id, r->rows, good ? r->row_count : 0, &r->health, now);
	c->count.limited += !good;
	c->count.reports++;
	c->count.rows += good ? r->row_count : 0;
}

/* A relay can lose what it carries. A report that is not the next has to wait: the agent sends what was not acknowledged again, and
 * says in a hello from where on it still has them. One that never does (an older one) is believed after a while. */
static bool gap_is_final(struct presence *p, struct mono now)
{
	if (p->early.ns == 0)
		p->early = now;
	return mono_ms_since(p->early, now) >= GAP_PATIENCE_MS;
}

static void on_report(struct sessions *s, struct channel *ch, struct member *m, struct msg *msg)
{
	(void)ch;
	struct presence *p = presence_of(s, m->id);
	struct msg_report *r = &msg->u.report;
	if (r->boot != p->boot || store_full(s->c->store))
		return; /* not acknowledged: it comes again */
	if (r->number <= p->applied) {
		p->due = true;
		p->reports.again++;
		s->c->count.reports_again++;
		return;
	}
	if (r->number != p->applied + 1 && !gap_is_final(p, mono_now())) {
		s->c->count.reports_early++;
		return;
	}
	skip_reports(s, p, r->number);
	apply_report(s, m, r);
	p = presence_of(s, m->id);
	p->due = true;
	p->early = (struct mono){0};
	p->applied = r->number;
	p->reports.applied++;
	store_applied(s->c->store, m->id, p->boot, p->applied);
}

struct report_count sessions_reports(const struct sessions *s, const struct member *m)
{
	struct report_count n = {0};
	if (m->id < s->presence_count) {
		n = s->presence[m->id].reports;
		n.boot = s->presence[m->id].boot;
		n.number = s->presence[m->id].applied;
	}
	return n;
}

static void on_round(struct sessions *s, struct channel *ch, struct member *m, struct msg *msg)
{
	(void)ch;
	rounds_message(s->c->rounds, m, msg);
}

/* ---- relayed streams ---- */

static void channel_receive(struct sessions *s, struct channel *ch, const void *data, size_t len, struct mono now);

static struct channel *stream_open(struct sessions *s, const struct member *host, uint32_t stream, struct mono now)
{
	struct channel *ch = channel_by_stream(s, host->id, stream);
	if (ch)
		return ch;
	if (presence_of(s, host->id)->streams >= RELAY_STREAMS_MAX) {
		s->c->count.limited++;
		return NULL;
	}
	ch = channel_add(s, hash_stream(host->id, stream), now);
	if (ch) {
		presence_of(s, host->id)->streams++;
		ch->relayed = true;
		ch->relay = host->id;
		ch->stream = stream;
		const struct stream_label *l = label_of(presence_of(s, host->id), stream);
		str_copy(ch->label, sizeof ch->label, l ? l->label : "");
	}
	return ch;
}

static void on_opening(struct sessions *s, const struct member *host, const struct msg_relay *r, const uint8_t key[static KEY_LEN],
                       struct mono now)
{
	struct relay_target back = {s, host->id, r->stream};
	enum who who;
	uint32_t member;
	struct stored_key cli;
	bool known = identify(s, key, &who, &member, &cli);
	bool itself = known && who == WHO_AGENT && member == host->id; /* a session cannot hang on itself */
	if (!known || who == WHO_CLI || itself) {
		count_unknown_key(s, key);
		sealed_refuse(relay_down, &back);
		return;
	}
	struct channel *ch = stream_open(s, host, r->stream, now);
	if (!ch || !sealed_accept(&ch->sealed, &s->c->key, r->data, r->len, relay_down, &back))
		return;
	channel_identify(s, ch, key);
	if (ch->who == WHO_AGENT)
		forget_older(s, ch);
}

static void on_relay_up(struct sessions *s, struct channel *host_way, struct member *host, struct msg *msg)
{
	const struct msg_relay *r = &msg->u.relay;
	struct mono now = mono_now();
	uint8_t key[KEY_LEN];
	if (host->kind != AGENT_HOST || host_way->relayed) {
		s->c->count.malformed++;
		return;
	}
	if (sealed_peer(r->data, r->len, key)) {
		on_opening(s, host, r, key, now);
		return;
	}
	struct channel *ch = channel_by_stream(s, host->id, r->stream);
	if (!ch || !ch->sealed.ready) {
		sealed_reset(relay_down, &(struct relay_target){s, host->id, r->stream});
		return;
	}
	struct buf message = {0};
	if (sealed_read(&ch->sealed, r->data, r->len, &message) == SEALED_MESSAGE)
		channel_receive(s, ch, message.data, message.len, now);
	buf_free(&message);
}

static void on_relay_state(struct sessions *s, struct channel *host_way, struct member *host, struct msg *msg)
{
	(void)host_way;
	const struct msg_relay_state *state = &msg->u.relay_state;
	struct channel *ch = channel_by_stream(s, host->id, state->stream);
	if (host->kind != AGENT_HOST) {
		s->c->count.malformed++;
		return;
	}
	if (state->open)
		label_set(presence_of(s, host->id), state->stream, state->label);
	else
		label_forget(presence_of(s, host->id), state->stream);
	if (ch && state->open)
		str_copy(ch->label, sizeof ch->label, state->label);
	else if (ch)
		channel_remove(s, ch);
}

static void on_ping(struct sessions *s, struct channel *ch, struct member *m, struct msg *msg)
{
	(void)m;
	(void)msg;
	pong(s, ch);
}

typedef void agent_fn(struct sessions *s, struct channel *ch, struct member *m, struct msg *msg);

static agent_fn *const FROM_AGENT[MSG_TYPE_COUNT] = {
    [MSG_HELLO] = on_hello,        [MSG_REPORT] = on_report,     [MSG_ROUND_ARMED] = on_round,       [MSG_STAGE_DONE] = on_round,
    [MSG_ROUND_RESULT] = on_round, [MSG_RELAY_UP] = on_relay_up, [MSG_RELAY_STATE] = on_relay_state, [MSG_PING] = on_ping,
};

static void from_agent(struct sessions *s, struct channel *ch, struct msg *msg, struct mono now)
{
	struct member *m = fleet_by_id(s->c->fleet, ch->member);
	agent_fn *fn = msg->type < MSG_TYPE_COUNT ? FROM_AGENT[msg->type] : NULL;
	if (!m || !fn)
		return; /* of a newer agent, or nothing for us */
	fleet_way(m, ch->relayed ? HEARD_RELAY : HEARD_DIRECT, ch->relayed ? ch->relay : 0, ch->label, now, wall_now());
	if (!ch->greeted && msg->type != MSG_HELLO && msg->type != MSG_PING) {
		s->c->count.no_session++;
		return;
	}
	if (ch->greeted && presence_of(s, m->id)->at == ch->id)
		say_heard(s, ch, m, now);
	fn(s, ch, m, msg);
}

static void from_token(struct sessions *s, struct channel *ch, struct msg *msg, struct mono now)
{
	if (msg->type == MSG_PING)
		pong(s, ch);
	if (msg->type != MSG_JOIN)
		return;
	if (limiter_take(&s->joins, JOINS_PER_SECOND, 2 * JOINS_PER_SECOND, 1, now))
		join_handle(s, s->c, ch, &msg->u.join);
	else
		s->c->count.limited++; /* the agent asks again */
}

static void from_cli(struct sessions *s, struct channel *ch, struct msg *msg, struct mono now)
{
	(void)now;
	if (msg->type == MSG_PING)
		pong(s, ch);
	if (msg->type != MSG_QUERY)
		return;
	struct asker asker = {.role = ch->cli.role, .tenant = ch->cli.tenant[0] ? ch->cli.tenant : NULL};
	struct reply reply = {.c = s->c, .channel = ch->id, .id = msg->u.query.id};
	query_run(s->c, &asker, &msg->u.query, &reply);
}

static void channel_receive(struct sessions *s, struct channel *ch, const void *data, size_t len, struct mono now)
{
	static void (*const by_who[])(struct sessions *, struct channel *, struct msg *,
	                              struct mono) = {[WHO_AGENT] = from_agent, [WHO_TOKEN] = from_token, [WHO_CLI] = from_cli};
	ch->heard = now;
	s->c->count.messages++;
	struct limiter *l = ch->who == WHO_AGENT ? &presence_of(s, ch->member)->limiter : &ch->limiter;
	double cost = ch->who == WHO_AGENT ? 1 + (double)(len / BYTES_PER_MESSAGE) : 1;
	if (!limiter_take(l, LIMITS[ch->who].rate, LIMITS[ch->who].burst, cost, now)) {
		s->c->count.limited++;
		return;
	}
	struct msg *msg = wire_decode(data, len, NULL);
	if (!msg) {
		s->c->count.malformed++;
		return;
	}
	by_who[ch->who](s, ch, msg, now);
	msg_free(msg);
}

void sessions_received(void *arg, const uint8_t key[static KEY_LEN], const void *route, size_t route_len, const void *data,
                       size_t len)
{
	struct sessions *s = arg;
	struct mono now = mono_now();
	if (!route_len || route_len > sizeof((struct channel *)0)->route)
		return;
	struct channel *ch = channel_by_route(s, route, route_len);
	if (!ch) {
		ch = channel_add(s, hash_bytes(route, route_len), now);
		if (!ch)
			return;
		ch->route_len = route_len;
		memcpy(ch->route, route, route_len);
	}
	/* A token's key may have become an agent's, a key may have been removed: ask again where it is cheap. */
	if ((memcmp(ch->key, key, KEY_LEN) != 0 || ch->who == WHO_TOKEN) && !channel_identify(s, ch, key)) {
		channel_remove(s, ch);
		s->c->count.unknown_key++;
		return;
	}
	channel_receive(s, ch, data, len, now);
}

/* ---- as time goes by ---- */

void sessions_acknowledge(struct sessions *s)
{
	struct msg *ack = msg_new(MSG_ACK);
	for (uint32_t id = 0; id < s->presence_count; id++) {
		struct presence *p = &s->presence[id];
		const struct member *m = p->due ? fleet_by_id(s->c->fleet, id) : NULL;
		p->due = false;
		if (!m)
			continue;
		p->durable = p->applied;
		ack->u.ack = (struct msg_ack){.boot = p->boot, .number = p->durable};
		sessions_send(s, m, ack);
	}
	msg_free(ack);
}

void sessions_push_plans(struct sessions *s)
{
	for (size_t i = 0; i < fleet_count(s->c->fleet); i++) {
		const struct member *m = fleet_at(s->c->fleet, i);
		const struct presence *p = presence_of(s, m->id);
		if (p->at && (!p->has_plan || p->plan != planner_version_of(s->c->planner, m->id)))
			send_plan(s, m);
	}
}

void sessions_tick(struct sessions *s, struct mono now)
{
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct channel *ch = s->ids[i], *next; ch; ch = next) {
			next = ch->next_id;
			if (mono_ms_since(ch->heard, now) > CHANNEL_IDLE_MS)
				channel_remove(s, ch);
		}
	take_late_snapshots(s, now);
}

void sessions_restore(struct sessions *s, const struct stored_agent *a)
{
	struct presence *p = presence_of(s, a->id);
	p->boot = a->boot;
	p->applied = p->durable = a->applied;
}

struct sessions *sessions_new(struct collector *c)
{
	struct sessions *s = mem_alloc(sizeof *s);
	s->c = c;
	return s;
}

static void presence_clear(struct presence *p)
{
	snapshot_free(p->late);
	free(p->labels);
}

void sessions_free(struct sessions *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		while (s->ids[i])
			channel_remove(s, s->ids[i]);
	for (size_t i = 0; i < s->presence_count; i++)
		presence_clear(&s->presence[i]);
	free(s->presence);
	free(s);
}
