/* Two paths, one session. The out-of-band path is preferred when it works, since the network under test cannot take it away in
 * the middle of a diagnosis; the direct one takes over the moment it fails, and the other way round. A path is greeted (MSG_JOIN
 * or MSG_HELLO) while the old session goes on; the session moves with the collector's welcome. */
#include "agent/uplink.h"

#include "agent/backlog.h"
#include "agent/capture.h"
#include "agent/drops.h"
#include "agent/facts/facts.h"
#include "agent/oob.h"
#include "agent/relay.h"
#include "agent/report.h"
#include "agent/rounds.h"
#include "proto/base/log.h"
#include "proto/bus.h"

#include <ifaddrs.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TICK_MS         1000
#define PING_MS         2000
#define SILENCE_MS      6000
#define GREETING_MS     3000 /* until it is said again */
#define PATIENCE_MS     1500 /* until the other path is greeted as well */
#define GREETING_MAX_MS 30000
#define ACK_MS          4000  /* without one the path is greeted anew: whatever got lost is sent again */
#define BACKLOG_MS      15000 /* without one, reports of an earlier run are given up: nobody wants them */
#define FLIGHT_MAX      32    /* reports sent and not acknowledged */

enum path_id { PATH_OOB, PATH_DIRECT, PATH_COUNT, PATH_NONE = PATH_COUNT }; /* in order of preference */
static const char *const path_names[] = {"relay", "direct", "no"};

struct path {
	bool up;             /* something can be sent */
	bool greeting;       /* said, not answered yet */
	struct mono greeted; /* when */
	int64_t greeting_ms; /* to wait for the answer */
	struct mono heard, pinged;
	char trouble[ERR_TEXT_MAX]; /* logged last, so that it is logged once */
};

struct uplink {
	struct agent *a;
	struct bus_client *bus;
	struct path paths[PATH_COUNT];
	enum path_id current; /* of the session; PATH_NONE = no session */
	bool welcomed_once;
	uint64_t sent;             /* number of the last report sent in this session */
	struct mono progress;      /* last ack that acknowledged something, or greeting */
	uint32_t dropped_told;     /* what the spool had dropped at the last hello */
	bool gap;                  /* something of the collector's got lost */
	bool fresh;                /* it began, and who depends on it was not told yet */
	struct mono backlog_begun; /* session in which reports of earlier runs are delivered */
	struct loop_source *tick;
	struct buf out;
};

/* ---- sending ---- */

static int path_send(struct uplink *u, enum path_id id, const void *data, size_t len)
{
	if (!u->paths[id].up)
		return -1;
	return id == PATH_OOB ? oob_send(u->a->oob, data, len) : bus_client_send(u->bus, data, len);
}

static int message_send(struct uplink *u, enum path_id id, const struct msg *m)
{
	struct err e = {""};
	int result;

	buf_clear(&u->out);
	if (wire_encode(m, &u->out, &e) < 0) {
		log_warn("a message does not fit: %s", e.text);
		return -1;
	}
	result = path_send(u, id, u->out.data, u->out.len);
	if (u->out.cap > RELAY_BYTES_MAX)
		buf_free(&u->out);
	return result;
}

static void plain_send(struct uplink *u, enum path_id id, enum msg_type type)
{
	struct msg *m = msg_new(type);

	message_send(u, id, m);
	msg_free(m);
}

bool uplink_ready(const struct uplink *u) { return u && u->current != PATH_NONE; }

int uplink_send(struct uplink *u, const struct msg *m) { return uplink_ready(u) ? message_send(u, u->current, m) : -1; }

/* The reports of which run are being delivered? Those of earlier runs first. */
static struct spool *spool_now(const struct uplink *u, uint64_t *boot)
{
	struct spool *s = backlog_front(u->a->backlog, boot);

	if (s)
		return s;
	*boot = u->a->boot;
	return u->a->spool;
}

/* Reports go out in order, a bounded number ahead of the acknowledgements. */
static void reports_pump(struct uplink *u)
{
	uint64_t boot;
	const struct spool *s = spool_now(u, &boot);
	const void *data;
	uint64_t number;
	size_t len;

	if (!uplink_ready(u))
		return;
	while ((data = spool_after(s, u->sent, &number, &len)) && number - spool_oldest(s) < FLIGHT_MAX) {
		if (path_send(u, u->current, data, len) < 0)
			return; /* the queue is full: the tick comes back to it */
		u->sent = number;
	}
}

void uplink_spooled(struct uplink *u) { reports_pump(u); }

/* ---- greeting: join, or hello ---- */

static struct msg *join_make(const struct agent *a)
{
	struct msg *m = msg_new(MSG_JOIN);
	struct msg_join *j = &m->u.join;
	char host[256] = "";

	gethostname(host, sizeof host - 1);
	j->version_min = a->setup.version_min;
	j->version_max = a->setup.version_max;
	memcpy(j->agent_key, a->id.key.pair.pub, KEY_LEN);
	str_copy(j->name, sizeof j->name, a->setup.name);
	str_copy(j->hostname, sizeof j->hostname, host);
	return m;
}

static void why_add(char *out, size_t size, const char *why)
{
	size_t len = strlen(out);

	if (*why)
		snprintf(out + len, size - len, "%s%s", len ? "; " : "", why);
}

static void rights_fill(const struct agent *a, struct msg_hello *h)
{
	char why[REASON_MAX_LEN] = "";

	h->rights = prober_rights(a->prober, why, sizeof why);
	why_add(h->rights_why, sizeof h->rights_why, h->rights & RIGHT_RAW ? "" : why);
	why[0] = '\0';
	if (capture_possible(why, sizeof why))
		h->rights |= RIGHT_CAPTURE;
	else
		why_add(h->rights_why, sizeof h->rights_why, why);
	why[0] = '\0';
	if (facts_firewall_possible(why, sizeof why))
		h->rights |= RIGHT_FIREWALL;
	else
		why_add(h->rights_why, sizeof h->rights_why, why);
	why[0] = '\0';
	if (drops_possible(why, sizeof why))
		h->rights |= RIGHT_DROPS;
	else
		why_add(h->rights_why, sizeof h->rights_why, why);
	if (a->oob && oob_trouble(a->oob)[0]) {
		char text[REASON_MAX_LEN];

		snprintf(text, sizeof text, "no stream to the host: %.100s", oob_trouble(a->oob));
		why_add(h->rights_why, sizeof h->rights_why, text);
	}
}

/* The local address towards the collector: what a UDP socket would take; nothing is sent. */
static int local_address(const char *endpoint, struct ip *out)
{
	char host[ENDPOINT_MAX], *colon, *begin = host;
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV}, *found = NULL;
	struct sockaddr_storage sa;
	socklen_t len = sizeof sa;
	int fd, result = -1;

	if (strncmp(endpoint, "tcp://", 6) != 0 || str_copy(host, sizeof host, endpoint + 6) < 0 || !(colon = strrchr(host, ':')))
		return -1;
	*colon = '\0';
	if (*host == '[') {
		begin++;
		colon[-1] = '\0';
	}
	if (getaddrinfo(begin, colon + 1, &hints, &found) != 0)
		return -1;
	fd = socket(found->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) == 0 && getsockname(fd, (struct sockaddr *)&sa, &len) == 0)
		result = ip_from_sockaddr((struct sockaddr *)&sa, out, NULL);
	if (fd >= 0)
		close(fd);
	freeaddrinfo(found);
	return result;
}

static void uplink_interface(const char *endpoint, char out[static IFNAME_LEN])
{
	struct ifaddrs *all = NULL;
	struct ip local, ip;

	out[0] = '\0';
	if (local_address(endpoint, &local) < 0 || getifaddrs(&all) < 0)
		return;
	for (const struct ifaddrs *i = all; i && !out[0]; i = i->ifa_next)
		if (i->ifa_addr && ip_from_sockaddr(i->ifa_addr, &ip, NULL) == 0 && ip_equal(ip, local))
			str_copy(out, IFNAME_LEN, i->ifa_name);
	freeifaddrs(all);
}

static struct msg *hello_make(const struct uplink *u)
{
	const struct agent *a = u->a;
	struct msg *m = msg_new(MSG_HELLO);
	struct msg_hello *h = &m->u.hello;

	h->version_min = a->setup.version_min;
	h->version_max = a->setup.version_max;
	h->next_report = spool_oldest(spool_now(u, &h->boot));
	str_copy(h->software, sizeof h->software, BOTHWAYS_VERSION);
	h->probe_port = prober_port(a->prober);
	rights_fill(a, h);
	str_copy(h->restart, sizeof h->restart, a->setup.restart);
	if (u->paths[PATH_DIRECT].up)
		uplink_interface(a->id.endpoint, h->uplink_if);
	str_copy(h->probe_ifs, sizeof h->probe_ifs, a->setup.probe_ifs);
	h->service_count = a->setup.service_count;
	memcpy(h->services, a->setup.services, sizeof h->services);
	h->start_count = a->setup.service_count;
	memcpy(h->starts, a->setup.starts, sizeof h->starts);
	return m;
}

static void path_greet(struct uplink *u, enum path_id id)
{
	struct path *p = &u->paths[id];
	struct msg *m = u->a->id.joined ? hello_make(u) : join_make(u->a);

	if (message_send(u, id, m) == 0) {
		p->greeting = true;
		p->greeted = u->progress = mono_now();
		u->dropped_told = spool_dropped(u->a->spool);
		u->gap = false;
	}
	msg_free(m);
}

/* The best path that is up gets the session, unless it has it. */
static void paths_choose(struct uplink *u)
{
	struct mono now = mono_now();

	for (int id = 0; id < PATH_COUNT; id++) {
		struct path *p = &u->paths[id];

		if (!p->up)
			continue;
		if (p->greeting && u->current == PATH_NONE && mono_ms_since(p->greeted, now) >= PATIENCE_MS)
			continue; /* no answer there: try the next one too */
		if (u->current == (enum path_id)id || p->greeting)
			return;
		path_greet(u, id);
		return;
	}
}

static void session_end(struct uplink *u)
{
	u->current = PATH_NONE;
	relay_uplink(u->a->relay, false);
	log_warn("the session with the collector is lost: measuring goes on");
}

static void path_up(struct uplink *u, enum path_id id)
{
	struct path *p = &u->paths[id];

	*p = (struct path){.up = true, .greeting_ms = GREETING_MS, .heard = mono_now(), .pinged = mono_now()};
	paths_choose(u);
}

static void path_down(struct uplink *u, enum path_id id)
{
	u->paths[id].up = u->paths[id].greeting = false;
	if (u->current == id)
		session_end(u);
	paths_choose(u);
}

/* ---- trouble ---- */

/* True if this is news for the log. */
static bool trouble_is_new(struct uplink *u, enum path_id id, const char *text)
{
	struct path *p = &u->paths[id];

	if (strcmp(p->trouble, text) == 0)
		return false;
	str_copy(p->trouble, sizeof p->trouble, text);
	return true;
}

static void trouble_log(struct uplink *u, enum path_id id, const char *text)
{
	if (trouble_is_new(u, id, text))
		log_warn("%s path: %s", path_names[id], text);
}

/* Trying again is useless. An agent that worked before stays: what it sees now may be an attack, or a mistake being mended. */
static void give_up(struct uplink *u, enum path_id id, const char *text)
{
	if (u->welcomed_once) {
		trouble_log(u, id, text);
		return;
	}
	log_error("%s", text);
	loop_stop(u->a->loop, 1);
}

static int paths_open(struct uplink *u, struct err *e);

static void key_refused(struct uplink *u, enum path_id id)
{
	struct err e = {""};

	if (!u->a->id.joined) {
		give_up(u, id, "the collector does not know this token: it is another collector's, or was deleted");
	} else if (id == PATH_OOB) { /* any relay can say so */
		trouble_log(u, id, "the collector does not know this agent's key, says the relay");
	} else if (!u->welcomed_once && identity_rejoin(&u->a->id)) {
		log_info("the collector does not know this agent's key any more: joining anew with the token");
		if (paths_open(u, &e) < 0)
			give_up(u, id, e.text);
	} else {
		give_up(u, id,
		        "the collector refused this agent's key: it does not know it (any more); join anew with --join TOKEN");
	}
}

static void wrong_server(struct uplink *u, const char *text)
{
	char line[ERR_TEXT_MAX];

	snprintf(line, sizeof line, "%s: %s", u->a->id.endpoint, text);
	if (u->a->id.joined)
		trouble_log(u, PATH_DIRECT, line);
	else
		give_up(u, PATH_DIRECT, line);
}

/* ---- what comes from the collector ---- */

static void joined_take(struct uplink *u, enum path_id id, struct msg *m)
{
	struct identity *me = &u->a->id;
	struct err e = {""};

	(void)id;
	if (me->joined)
		return;
	if (identity_joined(me, &m->u.joined, &e) < 0) {
		give_up(u, id, e.text);
		return;
	}
	log_info("joined as %s, tenant %s", me->key.name, me->key.tenant);
	if (paths_open(u, &e) < 0)
		give_up(u, id, e.text);
}

static void refused_take(struct uplink *u, enum path_id id, struct msg *m)
{
	const struct msg_refused *r = &m->u.refused;
	struct path *p = &u->paths[id];
	char line[ERR_TEXT_MAX];

	snprintf(line, sizeof line, "the collector refused us: %s", r->reason);
	if (r->final)
		give_up(u, id, line);
	else
		trouble_log(u, id, line);
	p->greeting_ms = p->greeting_ms * 2 > GREETING_MAX_MS ? GREETING_MAX_MS : p->greeting_ms * 2;
}

/* The reports of an earlier run are delivered: those of the next, or ours, follow in a session of their own. */
static void run_done(struct uplink *u)
{
	uint64_t boot;

	u->sent = spool_oldest(spool_now(u, &boot)) - 1;
	if (uplink_ready(u))
		path_greet(u, u->current);
}

/* A session that was only greeted anew is nobody else's business: guests would lose theirs. */
static void session_begin(struct uplink *u)
{
	if (!u->fresh)
		return;
	u->fresh = false;
	relay_uplink(u->a->relay, true);
	report_welcomed(u->a->report);
}

static void welcome_take(struct uplink *u, enum path_id id, struct msg *m)
{
	const struct msg_welcome *w = &m->u.welcome;
	bool changed = u->current != id;
	uint64_t boot;
	struct spool *s = spool_now(u, &boot);

	if (!u->a->id.joined)
		return;
	u->paths[id].greeting = false;
	u->paths[id].greeting_ms = GREETING_MS;
	u->paths[id].trouble[0] = '\0';
	u->current = id;
	u->welcomed_once = true;
	u->progress = mono_now();
	spool_ack(s, w->acked);
	u->sent = spool_oldest(s) - 1;
	if (changed) {
		u->fresh = true;
		u->backlog_begun = u->progress;
		log_info("the collector %s welcomes %s (tenant %s), %s path", u->a->id.endpoint, w->name, w->tenant,
		         path_names[id]);
	}
	if (s == u->a->spool) {
		session_begin(u);
	} else if (spool_bytes(s) == 0) {
		run_done(u);
		return;
	}
	reports_pump(u);
}

static void plan_take(struct uplink *u, enum path_id id, struct msg *m)
{
	(void)id;
	watch_plan(u->a->watch, &m->u.plan, mono_now());
	prober_plan_changed(u->a->prober);
	report_plan_changed(u->a->report);
}

static void ack_take(struct uplink *u, enum path_id id, struct msg *m)
{
	(void)id;
	uint64_t boot;
	struct spool *s = spool_now(u, &boot);

	if (m->u.ack.boot != boot)
		return;
	if (spool_oldest(s) <= m->u.ack.number)
		u->progress = mono_now();
	spool_ack(s, m->u.ack.number);
	if (s != u->a->spool && spool_bytes(s) == 0)
		run_done(u);
	reports_pump(u);
}

static void arm_take(struct uplink *u, enum path_id id, struct msg *m)
{
	(void)id;
	rounds_arm(u->a->rounds, &m->u.round_arm);
}

static void go_take(struct uplink *u, enum path_id id, struct msg *m)
{
	(void)id;
	rounds_go(u->a->rounds, &m->u.round_go);
}

static void end_take(struct uplink *u, enum path_id id, struct msg *m)
{
	(void)id;
	rounds_end(u->a->rounds, &m->u.round_end);
}

static void relay_take(struct uplink *u, enum path_id id, struct msg *m)
{
	(void)id;
	relay_down(u->a->relay, &m->u.relay);
}

static void ping_take(struct uplink *u, enum path_id id, struct msg *m)
{
	(void)m;
	plain_send(u, id, MSG_PONG);
}

typedef void take_fn(struct uplink *u, enum path_id id, struct msg *m);
static const struct {
	take_fn *take;
	bool session; /* only from the path that has the session */
} takes[MSG_TYPE_COUNT] = {
    [MSG_JOINED] = {joined_take, false},   [MSG_REFUSED] = {refused_take, false}, [MSG_WELCOME] = {welcome_take, false},
    [MSG_PING] = {ping_take, false},       [MSG_PLAN] = {plan_take, true},        [MSG_ACK] = {ack_take, true},
    [MSG_ROUND_ARM] = {arm_take, true},    [MSG_ROUND_GO] = {go_take, true},      [MSG_ROUND_END] = {end_take, true},
    [MSG_RELAY_DOWN] = {relay_take, true},
};

static void message_take(struct uplink *u, enum path_id id, const void *data, size_t len)
{
	struct err e = {""};
	struct msg *m = wire_decode(data, len, &e);

	u->paths[id].heard = mono_now();
	if (!m) {
		trouble_log(u, id, e.text);
		return;
	}
	if (takes[m->type].take && (!takes[m->type].session || u->current == id))
		takes[m->type].take(u, id, m);
	msg_free(m);
}

/* ---- the two paths ---- */

static void bus_message(void *arg, const void *data, size_t len) { message_take(arg, PATH_DIRECT, data, len); }

static void bus_happened(void *arg, enum bus_event ev, const char *text)
{
	struct uplink *u = arg;

	switch (ev) {
	case BUS_CONNECTED: path_up(u, PATH_DIRECT); break;
	case BUS_DISCONNECTED: path_down(u, PATH_DIRECT); break;
	case BUS_REFUSED: key_refused(u, PATH_DIRECT); break;
	case BUS_WRONG_SERVER: wrong_server(u, text); break;
	case BUS_UNREACHABLE: trouble_log(u, PATH_DIRECT, text); break;
	}
}

static void oob_message(void *arg, const void *data, size_t len) { message_take(arg, PATH_OOB, data, len); }

static void oob_happened(void *arg, enum oob_event ev)
{
	struct uplink *u = arg;

	switch (ev) {
	case OOB_READY: path_up(u, PATH_OOB); break;
	case OOB_LOST: path_down(u, PATH_OOB); break;
	case OOB_REFUSED: key_refused(u, PATH_OOB); break;
	case OOB_GAP: u->gap = true; break;
	}
}

/* Opens both anew, with the key that is ours to show now. */
static int paths_open(struct uplink *u, struct err *e)
{
	struct identity *me = &u->a->id;

	bus_client_free(u->bus);
	u->current = PATH_NONE;
	for (int id = 0; id < PATH_COUNT; id++)
		u->paths[id].up = u->paths[id].greeting = false; /* what was logged of it stays known */
	u->bus =
	    bus_client_new(u->a->loop, me->endpoint, identity_pair(me), identity_collector(me), bus_message, bus_happened, u, e);
	if (!u->bus)
		return -1;
	if (u->a->oob)
		oob_start(u->a->oob, identity_pair(me), identity_collector(me), oob_message, oob_happened, u);
	return 0;
}

/* ---- time ---- */

static void path_silent(struct uplink *u, enum path_id id)
{
	trouble_log(u, id, "the collector has fallen silent");
	u->paths[id].heard = mono_now(); /* and again after as long */
	if (id == PATH_OOB) {
		oob_restart(u->a->oob);
		path_down(u, id);
	} else if (u->current == id) {
		session_end(u);
		path_greet(u, id);
	}
}

static void path_tick(struct uplink *u, enum path_id id, struct mono now)
{
	struct path *p = &u->paths[id];

	if (!p->up)
		return;
	if (mono_ms_since(p->heard, now) >= SILENCE_MS) {
		path_silent(u, id);
		return;
	}
	if (p->greeting && mono_ms_since(p->greeted, now) >= p->greeting_ms)
		path_greet(u, id);
	if (mono_ms_since(p->heard, now) >= PING_MS && mono_ms_since(p->pinged, now) >= PING_MS) {
		p->pinged = now;
		plain_send(u, id, MSG_PING);
	}
}

/* The session is greeted anew when the two ends may not know the same any more: no acknowledgement comes, reports had to be given
 * up, or a message got lost between the collector and us. */
static void session_tick(struct uplink *u, struct mono now)
{
	uint64_t boot;
	const struct spool *s = spool_now(u, &boot);
	int64_t waited = mono_ms_since(u->progress, now);
	bool stalled = u->sent >= spool_oldest(s) && waited >= ACK_MS;

	if (!uplink_ready(u))
		return;
	if (s != u->a->spool && stalled && mono_ms_since(u->backlog_begun, now) >= BACKLOG_MS) {
		log_warn("the collector does not take the reports of an earlier run: given up");
		backlog_drop(u->a->backlog);
		run_done(u);
	} else if (!u->paths[u->current].greeting && (stalled || u->gap || spool_dropped(u->a->spool) != u->dropped_told)) {
		path_greet(u, u->current);
	}
}

static void ticked(void *arg)
{
	struct uplink *u = arg;
	struct mono now = mono_now();

	for (int id = 0; id < PATH_COUNT; id++)
		path_tick(u, id, now);
	paths_choose(u);
	session_tick(u, now);
	reports_pump(u);
}

struct uplink *uplink_new(struct agent *a, struct err *e)
{
	struct uplink *u = mem_alloc(sizeof *u);

	u->a = a;
	u->current = PATH_NONE;
	u->tick = loop_every_ms(a->loop, TICK_MS, ticked, u);
	if (paths_open(u, e) == 0)
		return u;
	uplink_free(u);
	return NULL;
}

void uplink_free(struct uplink *u)
{
	if (!u)
		return;
	loop_remove(u->tick);
	bus_client_free(u->bus);
	buf_free(&u->out);
	free(u);
}
