/* A host's agent, a guest's agent and a collector of our own on one loop: joining, both paths, what happens when one dies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/backlog.h"
#include "agent/capture.h"
#include "agent/drops.h"
#include "agent/facts/facts.h"
#include "agent/oob.h"
#include "agent/relay.h"
#include "agent/report.h"
#include "agent/restart.h"
#include "agent/rounds.h"
#include "agent/uplink.h"
#include "agent/vsock.h"
#include "proto/base/log.h"
#include "proto/bus.h"
#include "proto/frame.h"
#include "proto/sealed.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- what the session hands over to ---- */

uint16_t prober_port(const struct prober *p) { return p ? 1 : 7401; }
uint32_t prober_rights(const struct prober *p, char *why, size_t size)
{
	str_copy(why, size, "no raw sockets");
	return p ? RIGHT_RAW : 0;
}
void prober_plan_changed(struct prober *p) { (void)p; }
bool drops_possible(char *why, size_t size)
{
	(void)why;
	(void)size;
	return true;
}

bool capture_possible(char *why, size_t size)
{
	str_copy(why, size, "no capture");
	return false;
}
bool facts_firewall_possible(char *why, size_t size)
{
	(void)why;
	(void)size;
	return true;
}
static int welcomed;
void report_welcomed(struct report *r) { (void)r, welcomed++; }
void report_plan_changed(struct report *r) { (void)r; }
void rounds_arm(struct rounds *r, const struct round_spec *spec) { (void)r, (void)spec; }
void rounds_go(struct rounds *r, const struct msg_round_go *go) { (void)r, (void)go; }
void rounds_end(struct rounds *r, const struct msg_round_end *end) { (void)r, (void)end; }

/* ---- vsock, as unix sockets: this machine may have none ---- */

static struct {
	char path[128];
	bool absent;  /* this kernel has no AF_VSOCK */
	uint32_t cid; /* of the next guest that connects */
} vsock;

static struct sockaddr_un vsock_address(uint32_t port)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	snprintf(sun.sun_path, sizeof sun.sun_path, "%.90s.%u", vsock.path, port);
	return sun;
}

int vsock_parse(const char *text, struct vsock_addr *out, struct err *e)
{
	(void)e;
	*out = (struct vsock_addr){2, (uint32_t)atoi(text + 6)};
	return 0;
}

int vsock_connect(struct vsock_addr to, struct err *e)
{
	struct sockaddr_un sun = vsock_address(to.port);
	int fd;

	if (vsock.absent)
		return err_set(e, "this kernel has no AF_VSOCK");
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (connect(fd, (struct sockaddr *)&sun, sizeof sun) == 0)
		return fd;
	close(fd);
	return err_set(e, "nobody listens there");
}

int vsock_result(int fd, struct err *e)
{
	(void)e;
	return fd >= 0 ? 0 : -1;
}

int vsock_listen(uint32_t port, struct err *e)
{
	struct sockaddr_un sun = vsock_address(port);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	unlink(sun.sun_path);
	if (vsock.absent || bind(fd, (struct sockaddr *)&sun, sizeof sun) < 0 || listen(fd, 64) < 0)
		return close(fd), err_set(e, "this kernel has no AF_VSOCK");
	return fd;
}

int vsock_accept(int listen_fd, uint32_t *cid)
{
	*cid = vsock.cid;
	return accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK);
}

/* ---- the collector: knows one host and one guest, by token or by key ---- */

enum who { HOST, GUEST, WHO_COUNT };
enum way { NOT_HEARD, DIRECT, RELAYED };

struct member {
	struct token token;
	struct keypair token_pair;
	uint8_t key[KEY_LEN];
	bool joined;
	enum way way; /* of the newest hello */
	int joins, hellos, reports;
	uint64_t highest;
	struct msg_hello hello;
};

struct world {
	struct loop *loop;
	struct keypair key;
	struct bus_server *bus;
	char endpoint[64], dir[64];
	struct member members[WHO_COUNT];
	struct agent agents[WHO_COUNT];
	struct sealed relayed; /* one stream is enough */
	uint8_t relayed_key[KEY_LEN];
	uint8_t host_route[256];
	size_t host_route_len;
	uint32_t stream;
	bool stream_open;
	const char *refuse; /* answer joins and hellos so */
	bool deaf;          /* say nothing */
	bool no_ack;
	int swallow; /* so many payloads for the guest get lost on the way */
	char label[NAME_MAX_LEN];
	bool (*until)(const struct world *w);
	struct mono deadline;
};

struct origin {
	struct world *w;
	const void *route;
	size_t route_len;
	bool sealed;
};

static void down_emit(void *arg, const void *payload, size_t len)
{
	struct world *w = arg;
	struct msg *m;
	struct buf out = {0};

	if (w->swallow > 0) {
		w->swallow--;
		return;
	}
	m = msg_new(MSG_RELAY_DOWN);
	m->u.relay.stream = w->stream;
	m->u.relay.len = len;
	m->u.relay.data = mem_array(len, 1);
	memcpy(m->u.relay.data, payload, len);
	assert_int_equal(wire_encode(m, &out, NULL), 0);
	bus_server_send(w->bus, w->host_route, w->host_route_len, out.data, out.len);
	buf_free(&out);
	msg_free(m);
}

static void reply(struct origin *o, struct msg *m)
{
	struct buf out = {0};

	assert_int_equal(wire_encode(m, &out, NULL), 0);
	if (o->sealed)
		sealed_write(&o->w->relayed, out.data, out.len, down_emit, o->w);
	else
		bus_server_send(o->w->bus, o->route, o->route_len, out.data, out.len);
	buf_free(&out);
	msg_free(m);
}

static struct member *member_of(struct world *w, const uint8_t *key)
{
	for (int i = 0; i < WHO_COUNT; i++)
		if (memcmp(w->members[i].token_pair.pub, key, KEY_LEN) == 0 ||
		    (w->members[i].joined && memcmp(w->members[i].key, key, KEY_LEN) == 0))
			return &w->members[i];
	return NULL;
}

static struct msg *refusal(const struct world *w)
{
	struct msg *m = msg_new(MSG_REFUSED);

	str_copy(m->u.refused.reason, sizeof m->u.refused.reason, w->refuse);
	m->u.refused.final = true;
	return m;
}

static void join_handle(struct origin *o, struct member *who, const struct msg *m)
{
	struct msg *answer = msg_new(MSG_JOINED);

	who->joins++;
	memcpy(who->key, m->u.join.agent_key, KEY_LEN);
	who->joined = true;
	str_copy(answer->u.joined.name, NAME_MAX_LEN, who == &o->w->members[HOST] ? "host1" : "vm1");
	str_copy(answer->u.joined.tenant, NAME_MAX_LEN, "fleet");
	reply(o, answer);
}

static void hello_handle(struct origin *o, struct member *who, const struct msg *m)
{
	struct msg *answer = msg_new(MSG_WELCOME);

	who->hellos++;
	who->hello = m->u.hello;
	who->way = o->sealed ? RELAYED : DIRECT;
	if (who == &o->w->members[HOST]) {
		memcpy(o->w->host_route, o->route, o->route_len);
		o->w->host_route_len = o->route_len;
	}
	answer->u.welcome.version = 2;
	answer->u.welcome.acked = who->highest;
	reply(o, answer);
}

static void report_handle(struct origin *o, struct member *who, const struct msg *m)
{
	struct msg *answer;

	who->reports++;
	if (m->u.report.number > who->highest)
		who->highest = m->u.report.number;
	if (o->w->no_ack)
		return;
	answer = msg_new(MSG_ACK);
	answer->u.ack.boot = m->u.report.boot;
	answer->u.ack.number = who->highest;
	reply(o, answer);
}

static void message_handle(struct origin *o, const uint8_t *key, const void *data, size_t len);

static void relay_handle(struct world *w, const struct msg_relay *r)
{
	struct origin o = {w, NULL, 0, true};
	struct buf message = {0};
	uint8_t key[KEY_LEN];

	w->stream = r->stream;
	if (sealed_peer(r->data, r->len, key)) {
		if (!member_of(w, key))
			sealed_refuse(down_emit, w);
		else if (sealed_accept(&w->relayed, &w->key, r->data, r->len, down_emit, w))
			memcpy(w->relayed_key, key, KEY_LEN);
		return;
	}
	if (!w->relayed.ready)
		sealed_reset(down_emit, w);
	else if (sealed_read(&w->relayed, r->data, r->len, &message) == SEALED_MESSAGE)
		message_handle(&o, w->relayed_key, message.data, message.len);
	buf_free(&message);
}

static void message_handle(struct origin *o, const uint8_t *key, const void *data, size_t len)
{
	struct member *who = member_of(o->w, key);
	struct msg *m = wire_decode(data, len, NULL);

	assert_non_null(m);
	assert_non_null(who);
	if (o->w->refuse && (m->type == MSG_JOIN || m->type == MSG_HELLO))
		reply(o, refusal(o->w));
	else if (m->type == MSG_JOIN)
		join_handle(o, who, m);
	else if (m->type == MSG_HELLO)
		hello_handle(o, who, m);
	else if (m->type == MSG_REPORT)
		report_handle(o, who, m);
	else if (m->type == MSG_PING)
		reply(o, msg_new(MSG_PONG));
	else if (m->type == MSG_RELAY_UP)
		relay_handle(o->w, &m->u.relay);
	else if (m->type == MSG_RELAY_STATE) {
		o->w->stream_open = m->u.relay_state.open;
		str_copy(o->w->label, sizeof o->w->label, m->u.relay_state.label);
	}
	msg_free(m);
}

static bool allow(void *arg, const uint8_t key[static KEY_LEN]) { return member_of(arg, key) != NULL; }

static void from_agent(void *arg, const uint8_t key[static KEY_LEN], const void *route, size_t route_len, const void *data,
                       size_t len)
{
	struct origin o = {arg, route, route_len, false};

	if (!o.w->deaf)
		message_handle(&o, key, data, len);
}

/* ---- the world ---- */

static void tick(void *arg)
{
	struct world *w = arg;

	if (w->until(w))
		loop_stop(w->loop, 100);
	else if (mono_reached(w->deadline, mono_now()))
		loop_stop(w->loop, 101);
}

/* 100 when it came to pass, 101 when not, else what an agent wants to exit with. */
static int run(struct world *w, bool (*until)(const struct world *), int ms)
{
	w->until = until;
	w->deadline = mono_add_ms(mono_now(), ms);
	return loop_run(w->loop);
}

static void collector_start(struct world *w)
{
	struct err e = {""};

	w->bus = bus_server_new(w->loop, &w->key, allow, from_agent, w, &e);
	if (!w->bus || bus_server_bind(w->bus, w->endpoint, &e) < 0)
		fail_msg("%s", e.text);
}

static void collector_stop(struct world *w)
{
	bus_server_free(w->bus);
	w->bus = NULL;
	sealed_clear(&w->relayed);
	for (int i = 0; i < WHO_COUNT; i++)
		w->members[i].way = NOT_HEARD;
}

static int port_free(void)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof sin;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	bind(fd, (struct sockaddr *)&sin, sizeof sin);
	getsockname(fd, (struct sockaddr *)&sin, &len);
	close(fd);
	return ntohs(sin.sin_port);
}

static int setup(void **state)
{
	struct world *w = mem_alloc(sizeof *w);

	keys_init();
	strcpy(w->dir, "/tmp/bothways-uplink-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->endpoint, sizeof w->endpoint, "tcp://127.0.0.1:%d", port_free());
	w->loop = loop_new();
	loop_every_ms(w->loop, 5, tick, w);
	vsock.absent = false;
	vsock.cid = 42;
	snprintf(vsock.path, sizeof vsock.path, "%s/vsock", w->dir);
	keypair_make(&w->key);
	for (int i = 0; i < WHO_COUNT; i++) {
		token_make(&w->members[i].token, w->endpoint, w->key.pub);
		token_keypair(&w->members[i].token, &w->members[i].token_pair);
		w->agents[i].id.lock = -1;
	}
	collector_start(w);
	*state = w;
	return 0;
}

static void agent_stop(struct world *w, enum who who)
{
	struct agent *a = &w->agents[who];

	relay_free(a->relay);
	uplink_free(a->uplink);
	a->uplink = NULL;
	backlog_free(a->backlog);
	spool_free(a->spool);
	watch_free(a->watch);
	oob_free(a->oob);
	identity_close(&a->id);
	*a = (struct agent){.id.lock = -1};
}

static int teardown(void **state)
{
	struct world *w = *state;
	char command[128];

	agent_stop(w, GUEST);
	agent_stop(w, HOST);
	collector_stop(w);
	loop_free(w->loop);
	snprintf(command, sizeof command, "rm -rf %s", w->dir);
	assert_int_equal(system(command), 0);
	free(w);
	return 0;
}

/* `endpoint`: NULL = the token's. `oob`: the stream's socket, in the directory the host's agent looks at. */
static void agent_start_with(struct world *w, enum who who, const char *endpoint, const char *stream)
{
	struct agent *a = &w->agents[who];
	char dir[96], relay[96], token[TOKEN_TEXT_MAX];
	struct err e = {""};

	snprintf(dir, sizeof dir, "%s/%s", w->dir, who == HOST ? "host" : "guest");
	snprintf(relay, sizeof relay, "%s/relay", w->dir);
	token_format(&w->members[who].token, token);
	*a = (struct agent){.loop = w->loop, .boot = keys_random64()};
	a->setup = (struct agent_setup){.name = "", .probe_ifs = "", .version_min = 1, .version_max = 2};
	if (identity_open(&a->id, dir, token, endpoint, &e) < 0)
		fail_msg("%s", e.text);
	a->watch = watch_new(1);
	a->spool = spool_new(SPOOL_BYTES_MAX);
	mkdir(relay, 0700);
	if (who == HOST)
		a->relay = relay_new(a, relay, 7400);
	if (stream && !(a->oob = oob_new(w->loop, stream, &e)))
		fail_msg("%s", e.text);
	a->backlog = backlog_load(dir);
	a->uplink = uplink_new(a, &e);
	if (!a->uplink)
		fail_msg("%s", e.text);
}

static void agent_start(struct world *w, enum who who, const char *endpoint, bool oob)
{
	char stream[128];

	snprintf(stream, sizeof stream, "%s/relay/vm1", w->dir);
	agent_start_with(w, who, endpoint, oob ? stream : NULL);
}

static void report_put(struct agent *a, int count)
{
	struct buf out = {0};

	for (int i = 0; i < count; i++) {
		struct msg *m = msg_new(MSG_REPORT);

		m->u.report.boot = a->boot;
		m->u.report.number = spool_next_number(a->spool);
		buf_clear(&out);
		assert_int_equal(wire_encode(m, &out, NULL), 0);
		spool_put(a->spool, out.data, out.len);
		msg_free(m);
	}
	buf_free(&out);
	uplink_spooled(a->uplink);
}

static bool never(const struct world *w) { return w == NULL; }
static bool host_ready(const struct world *w) { return uplink_ready(w->agents[HOST].uplink) && w->members[HOST].way == DIRECT; }
static bool guest_relayed(const struct world *w)
{
	return uplink_ready(w->agents[GUEST].uplink) && w->members[GUEST].way == RELAYED;
}
static bool guest_direct(const struct world *w) { return uplink_ready(w->agents[GUEST].uplink) && w->members[GUEST].way == DIRECT; }
static bool host_acked(const struct world *w) { return spool_bytes(w->agents[HOST].spool) == 0; }
static bool guest_acked(const struct world *w) { return spool_bytes(w->agents[GUEST].spool) == 0; }
static bool host_lost(const struct world *w) { return !uplink_ready(w->agents[HOST].uplink); }

#define assert_happens(w, until, ms) assert_int_equal(run(w, until, ms), 100)

/* A port where nobody listens. */
#define NOWHERE "tcp://127.0.0.1:9"

/* ---- tests ---- */

static void an_agent_joins_and_is_known_by_its_own_key_from_then_on(void **state)
{
	struct world *w = *state;

	agent_start(w, HOST, NULL, false);
	assert_happens(w, host_ready, 3000);
	assert_int_equal(w->members[HOST].joins, 1);
	assert_memory_equal(w->members[HOST].key, w->agents[HOST].id.key.pair.pub, KEY_LEN);
	assert_string_equal(w->agents[HOST].id.key.name, "host1");
	assert_string_equal(w->members[HOST].hello.uplink_if, "lo");
	assert_string_equal(w->members[HOST].hello.rights_why, "no raw sockets; no capture");
	assert_int_equal(w->members[HOST].hello.rights, RIGHT_FIREWALL | RIGHT_DROPS);
	agent_stop(w, HOST);
	w->members[HOST].way = NOT_HEARD;
	agent_start(w, HOST, NULL, false); /* with the same command line */
	assert_happens(w, host_ready, 3000);
	assert_int_equal(w->members[HOST].joins, 1);
}

static void reports_survive_a_restart_of_the_collector(void **state)
{
	struct world *w = *state;

	agent_start(w, HOST, NULL, false);
	assert_happens(w, host_ready, 3000);
	w->no_ack = true;
	report_put(&w->agents[HOST], 3);
	run(w, never, 200);
	assert_int_equal(w->members[HOST].reports, 3);
	collector_stop(w);
	w->members[HOST].highest = 1; /* only the first was in its store */
	w->no_ack = false;
	assert_happens(w, host_lost, 4000);
	report_put(&w->agents[HOST], 200); /* more than may be in flight */
	collector_start(w);
	assert_happens(w, host_ready, 5000);
	assert_happens(w, host_acked, 3000);
	assert_int_equal(w->members[HOST].highest, 203);
	assert_int_equal(w->members[HOST].reports, 3 + 202);
	assert_int_equal(w->members[HOST].hello.next_report, 1);
}

static void what_is_not_acknowledged_is_sent_again(void **state)
{
	struct world *w = *state;

	welcomed = 0;
	agent_start(w, HOST, NULL, false);
	assert_happens(w, host_ready, 3000);
	w->no_ack = true;
	report_put(&w->agents[HOST], 1);
	run(w, never, 100);
	w->no_ack = false;
	w->members[HOST].highest = 0; /* it never came */
	assert_happens(w, host_acked, 8000);
	assert_int_equal(w->members[HOST].reports, 2);
	assert_int_equal(w->members[HOST].hellos, 2);
	assert_int_equal(welcomed, 1); /* the same session */
}

static void a_guest_joins_and_reports_over_its_host_alone(void **state)
{
	struct world *w = *state;

	agent_start(w, HOST, NULL, false);
	agent_start(w, GUEST, NOWHERE, true);
	assert_happens(w, guest_relayed, 6000);
	assert_true(w->stream_open);
	assert_string_equal(w->agents[GUEST].id.key.name, "vm1");
	assert_int_equal(w->members[GUEST].joins, 1);
	report_put(&w->agents[GUEST], 50);
	assert_happens(w, guest_acked, 3000);
	assert_int_equal(w->members[GUEST].reports, 50);
	assert_string_equal(w->members[GUEST].hello.uplink_if, "");
}

static void the_direct_path_takes_over_when_the_hosts_agent_dies(void **state)
{
	struct world *w = *state;

	agent_start(w, HOST, NULL, false);
	agent_start(w, GUEST, NULL, true);
	assert_happens(w, guest_relayed, 6000); /* preferred */
	agent_stop(w, HOST);
	assert_happens(w, guest_direct, 3000);
	report_put(&w->agents[GUEST], 1);
	assert_happens(w, guest_acked, 3000);
	agent_start(w, HOST, NULL, false);
	assert_happens(w, guest_relayed, 5000); /* and back */
}

static void a_relayed_session_survives_a_restart_of_the_collector(void **state)
{
	struct world *w = *state;

	agent_start(w, HOST, NULL, false);
	agent_start(w, GUEST, NOWHERE, true);
	assert_happens(w, guest_relayed, 6000);
	collector_stop(w);
	assert_happens(w, host_lost, 4000);
	assert_false(uplink_ready(w->agents[GUEST].uplink) && run(w, never, 100) != 101);
	report_put(&w->agents[GUEST], 5);
	collector_start(w);
	assert_happens(w, guest_relayed, 8000);
	assert_happens(w, guest_acked, 2000);
}

static void a_collector_that_lost_the_session_gets_a_new_one(void **state)
{
	struct world *w = *state;

	agent_start(w, HOST, NULL, false);
	agent_start(w, GUEST, NOWHERE, true);
	assert_happens(w, guest_relayed, 6000);
	sealed_clear(&w->relayed);
	w->members[GUEST].way = NOT_HEARD;
	report_put(&w->agents[GUEST], 1); /* answered with a reset */
	assert_happens(w, guest_relayed, 3000);
	assert_happens(w, guest_acked, 1000);
}

static void a_message_lost_on_the_way_to_the_guest_is_asked_for_again(void **state)
{
	struct world *w = *state;
	int hellos;

	agent_start(w, HOST, NULL, false);
	agent_start(w, GUEST, NOWHERE, true);
	assert_happens(w, guest_relayed, 6000);
	hellos = w->members[GUEST].hellos;
	run(w, never, 100);
	w->swallow = 1; /* the acknowledgement; the next ping's answer shows that something is missing */
	report_put(&w->agents[GUEST], 1);
	assert_happens(w, guest_acked, 5000);
	assert_int_equal(w->members[GUEST].hellos, hellos + 1);
	assert_int_equal(w->swallow, 0);
}

static void a_spool_that_overflows_says_from_where_on_it_still_has_reports(void **state)
{
	struct world *w = *state;
	struct agent *a = &w->agents[HOST];

	agent_start(w, HOST, NULL, false);
	assert_happens(w, host_ready, 3000);
	assert_int_equal(w->members[HOST].hello.next_report, 1);
	spool_free(a->spool);
	a->spool = spool_new(200);
	w->no_ack = true;
	report_put(a, 100);
	assert_true(spool_dropped(a->spool) > 0);
	run(w, never, 1500);
	assert_int_equal(w->members[HOST].hello.next_report, spool_dropped(a->spool) + 1);
}

static void what_an_earlier_run_left_comes_first(void **state)
{
	struct world *w = *state;
	struct agent *a = &w->agents[HOST];
	uint64_t before;
	char dir[128];

	agent_start(w, HOST, NULL, false);
	assert_happens(w, host_ready, 3000);
	collector_stop(w);
	assert_happens(w, host_lost, 4000);
	report_put(a, 3);
	before = a->boot;
	snprintf(dir, sizeof dir, "%s/host", w->dir);
	assert_int_equal(backlog_save(a->backlog, dir, a->boot, a->spool, NULL), 0);
	agent_stop(w, HOST);
	collector_start(w);
	w->no_ack = true; /* it stays with the earlier run */
	welcomed = 0;
	agent_start(w, HOST, NULL, false);
	report_put(a, 2);
	assert_happens(w, host_ready, 5000);
	run(w, never, 300);
	assert_int_equal(w->members[HOST].hello.boot, before);
	assert_int_equal(w->members[HOST].reports, 3);
	assert_int_equal(welcomed, 0);
	w->no_ack = false;
	assert_happens(w, host_acked, 8000);
	assert_int_equal(w->members[HOST].hello.boot, a->boot);
	assert_int_equal(w->members[HOST].hello.next_report, 1);
	assert_int_not_equal(a->boot, before);
	assert_int_equal(welcomed, 1);
}

static void a_guest_connects_by_vsock_and_again(void **state)
{
	struct world *w = *state;

	agent_start_with(w, GUEST, NOWHERE, "vsock:7400"); /* nobody listens yet */
	run(w, never, 500);
	assert_string_equal(oob_trouble(w->agents[GUEST].oob), "nobody listens there");
	agent_start(w, HOST, NULL, false);
	assert_happens(w, guest_relayed, 9000);
	assert_string_equal(oob_trouble(w->agents[GUEST].oob), "");
	assert_string_equal(w->label, "vsock:42");
	report_put(&w->agents[GUEST], 50);
	assert_happens(w, guest_acked, 3000);
	agent_stop(w, HOST);
	w->members[GUEST].way = NOT_HEARD;
	agent_start(w, HOST, NULL, false);
	assert_happens(w, guest_relayed, 9000);
}

static void a_machine_without_vsock_goes_on_without(void **state)
{
	struct world *w = *state;

	vsock.absent = true;
	agent_start(w, HOST, NULL, false);
	agent_start_with(w, GUEST, NULL, "vsock:7400");
	assert_happens(w, guest_direct, 3000);
	assert_non_null(strstr(w->members[GUEST].hello.rights_why, "no stream to the host: this kernel has no AF_VSOCK"));
}

static void a_silent_collector_is_noticed(void **state)
{
	struct world *w = *state;

	agent_start(w, HOST, NULL, false);
	assert_happens(w, host_ready, 3000);
	w->deaf = true;
	assert_happens(w, host_lost, 9000);
	w->deaf = false;
	w->members[HOST].way = NOT_HEARD;
	assert_happens(w, host_ready, 5000);
}

static void a_refused_token_ends_the_agent(void **state)
{
	struct world *w = *state;

	w->refuse = "the token has expired";
	agent_start(w, HOST, NULL, false);
	assert_int_equal(run(w, never, 3000), 1);
}

static void an_unknown_token_ends_the_agent(void **state)
{
	struct world *w = *state;

	memset(&w->members[HOST].token_pair, 0, sizeof w->members[HOST].token_pair);
	agent_start(w, HOST, NULL, false);
	assert_int_equal(run(w, never, 3000), 1);
}

static void another_collectors_token_ends_the_agent(void **state)
{
	struct world *w = *state;

	w->members[HOST].token.collector[0] ^= 1;
	agent_start(w, HOST, NULL, false);
	assert_int_equal(run(w, never, 5000), 1);
}

static void an_agent_that_was_removed_joins_anew_with_a_new_token(void **state)
{
	struct world *w = *state;

	agent_start(w, HOST, NULL, false);
	assert_happens(w, host_ready, 3000);
	agent_stop(w, HOST);
	w->members[HOST].joined = false;
	w->members[HOST].way = NOT_HEARD;
	token_make(&w->members[HOST].token, w->endpoint, w->key.pub);
	token_keypair(&w->members[HOST].token, &w->members[HOST].token_pair);
	agent_start(w, HOST, NULL, false);
	assert_happens(w, host_ready, 4000);
	assert_int_equal(w->members[HOST].joins, 2);
}

/* ---- a hostile guest ---- */

static int guest_listen(const struct world *w)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(sun.sun_path, sizeof sun.sun_path, "%s/relay/vm1", w->dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof sun), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static bool stream_there(const struct world *w) { return relay_stats(w->agents[HOST].relay).streams == 1; }

static void a_flooding_guest_is_held_to_its_rate(void **state)
{
	static char chunk[65536];
	struct world *w = *state;
	size_t sent = 0;
	int listener, fd;

	agent_start(w, HOST, NULL, false);
	assert_happens(w, host_ready, 3000);
	listener = guest_listen(w);
	assert_happens(w, stream_there, 3000);
	fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	keys_random(chunk, sizeof chunk);
	for (int i = 0; i < 100; i++) {
		ssize_t n;

		while ((n = write(fd, chunk, sizeof chunk)) > 0)
			sent += (size_t)n;
		run(w, never, 10);
	}
	assert_true(sent < RELAY_BURST + 3 * RELAY_RATE); /* a second's worth, and the kernel's buffers */
	assert_true(relay_stats(w->agents[HOST].relay).limited > 0);
	assert_int_equal(relay_stats(w->agents[HOST].relay).up, 0);
	close(fd);
	close(listener);
}

static void a_flood_of_small_payloads_is_held_to_its_part(void **state)
{
	struct world *w = *state;
	struct buf frames = {0};
	size_t at = 0;
	int listener, fd;

	agent_start(w, HOST, NULL, false);
	assert_happens(w, host_ready, 3000);
	listener = guest_listen(w);
	assert_happens(w, stream_there, 3000);
	fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	while (frames.len < 500000)
		frame_write(&frames, FRAME_DATA, "x", 1);
	for (int i = 0; i < 100; i++) {
		ssize_t n = write(fd, frames.data + at, frames.len - at);

		at += n > 0 ? (size_t)n : 0;
		run(w, never, 10);
	}
	assert_in_range(relay_stats(w->agents[HOST].relay).up, RELAY_COST_BURST, RELAY_COST_BURST + 3 * RELAY_COST_MAX);
	assert_int_equal(relay_stats(w->agents[HOST].relay).unsent, 0);
	assert_int_equal(relay_stats(w->agents[HOST].relay).garbage, 0);
	buf_free(&frames);
	close(fd);
	close(listener);
}

static int vsock_dial(void)
{
	struct err e = {""};
	int fd = vsock_connect((struct vsock_addr){2, 7400}, &e);

	assert_true(fd >= 0);
	return fd;
}

static bool stream_gone(const struct world *w) { return relay_stats(w->agents[HOST].relay).streams == 0; }

/* The newest stream of a guest is the one that counts, but who only connects again and again bothers nobody. */
static void a_guest_has_one_vsock_stream(void **state)
{
	struct world *w = *state;
	char byte;
	int first, second, fds[60];

	agent_start(w, HOST, NULL, false);
	assert_happens(w, host_ready, 3000);
	first = vsock_dial();
	assert_happens(w, stream_there, 3000);
	run(w, never, 600);
	second = vsock_dial();
	run(w, never, 100);
	assert_int_equal(relay_stats(w->agents[HOST].relay).streams, 1);
	while (read(first, &byte, 1) > 0)
		;
	assert_int_equal(read(first, &byte, 1), 0); /* closed */
	for (size_t i = 0; i < 60; i++)
		fds[i] = vsock_dial();
	run(w, never, 30);
	assert_in_range(relay_stats(w->agents[HOST].relay).refused, 10, 40); /* a few at a time */
	run(w, never, 300);
	assert_int_equal(relay_stats(w->agents[HOST].relay).refused, 60);
	assert_int_equal(relay_stats(w->agents[HOST].relay).streams, 1);
	vsock.cid = 43; /* another guest is not concerned */
	assert_true((fds[0] = (close(fds[0]), vsock_dial())) >= 0);
	run(w, never, 200);
	assert_int_equal(relay_stats(w->agents[HOST].relay).streams, 2);
	for (size_t i = 0; i < 60; i++)
		close(fds[i]);
	close(first);
	close(second);
	assert_happens(w, stream_gone, 1000);
}

/* A pseudo terminal is a device whose other end goes away and comes back elsewhere. */
static void a_device_that_appears_and_vanishes_is_no_work(void **state)
{
	struct world *w = *state;
	struct oob *o;
	struct rusage before, after;
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
	char name[64], bytes[64];

	assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0 && ptsname_r(master, name, sizeof name) == 0);
	assert_non_null(o = oob_new(w->loop, "/dev/bothways-there-is-none", NULL));
	assert_string_equal(oob_trouble(o), "there is no such device yet");
	oob_free(o);
	assert_non_null(o = oob_new(w->loop, name, NULL));
	run(w, never, 50);
	assert_int_equal(read(master, bytes, sizeof bytes), 2 * FRAME_HEADER_LEN); /* RESET, PING */
	close(master);
	getrusage(RUSAGE_SELF, &before);
	run(w, never, 2500);
	getrusage(RUSAGE_SELF, &after);
	assert_true(after.ru_utime.tv_sec * 1000000 + after.ru_utime.tv_usec - before.ru_utime.tv_sec * 1000000 -
	                before.ru_utime.tv_usec <
	            300000);
	assert_true(oob_trouble(o)[0]);
	oob_free(o);
}

static void a_guest_that_does_not_read_costs_a_bounded_queue(void **state)
{
	struct world *w = *state;
	struct msg_relay m = {.stream = 1, .len = 60000, .data = mem_array(60000, 1)};
	int listener;

	agent_start(w, HOST, NULL, false);
	assert_happens(w, host_ready, 3000);
	listener = guest_listen(w);
	assert_happens(w, stream_there, 3000);
	for (int i = 0; i < 100; i++) {
		relay_down(w->agents[HOST].relay, &m);
		run(w, never, 6);
	}
	assert_true(relay_stats(w->agents[HOST].relay).dropped > 50);
	m.stream = 77;
	relay_down(w->agents[HOST].relay, &m); /* nobody */
	free(m.data);
	close(listener);
}

#define CROWD 24

static bool crowd_there(const struct world *w) { return relay_stats(w->agents[HOST].relay).streams == CROWD; }

/* Each of them could have its megabyte, but not all. */
static void many_that_do_not_read_cost_a_bounded_sum(void **state)
{
	struct world *w = *state;
	struct msg_relay m = {.len = 60000, .data = mem_array(60000, 1)};
	int fds[CROWD];

	agent_start(w, HOST, NULL, false);
	assert_happens(w, host_ready, 3000);
	run(w, never, 600);
	for (uint32_t i = 0; i < CROWD; i++) {
		vsock.cid = 100 + i;
		fds[i] = vsock_dial();
		run(w, never, 20);
	}
	assert_happens(w, crowd_there, 2000);
	for (int i = 0; i < 17; i++)
		for (m.stream = 1; m.stream <= CROWD; m.stream++)
			relay_down(w->agents[HOST].relay, &m);
	/* 24 times 17 payloads are 24.5 MB, of which the kernel may hold some */
	assert_in_range(relay_stats(w->agents[HOST].relay).dropped, 10, 150);
	for (size_t i = 0; i < CROWD; i++)
		close(fds[i]);
	free(m.data);
}

static void the_restart_command_can_be_run_verbatim(void **state)
{
	char out[256], *argv[] = {(char[]){"bothways-agent"}, (char[]){"--state"},    (char[]){"/x y"},
	                          (char[]){"--join"},         (char[]){"bw1.secret"}, (char[]){"--name=n"},
	                          (char[]){"--relay-dir=/r"}, (char[]){"--service"},  (char[]){"80"}};

	(void)state;
	unsetenv("INVOCATION_ID");
	restart_command(out, sizeof out, 9, argv);
	assert_memory_equal(out, "setsid /", 8);
	assert_non_null(strstr(out, " --state '/x y' --relay-dir /r --service 80 </dev/null >/dev/null 2>&1 &"));
	assert_null(strstr(out, "bw1"));
	setenv("INVOCATION_ID", "1", 1);
	restart_command(out, sizeof out, 9, argv);
	assert_string_equal(out, "systemctl restart bothways-agent");
	unsetenv("INVOCATION_ID");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(an_agent_joins_and_is_known_by_its_own_key_from_then_on),
	    TEST(reports_survive_a_restart_of_the_collector),
	    TEST(what_is_not_acknowledged_is_sent_again),
	    TEST(a_guest_joins_and_reports_over_its_host_alone),
	    TEST(the_direct_path_takes_over_when_the_hosts_agent_dies),
	    TEST(a_relayed_session_survives_a_restart_of_the_collector),
	    TEST(a_collector_that_lost_the_session_gets_a_new_one),
	    TEST(a_message_lost_on_the_way_to_the_guest_is_asked_for_again),
	    TEST(a_spool_that_overflows_says_from_where_on_it_still_has_reports),
	    TEST(what_an_earlier_run_left_comes_first),
	    TEST(a_guest_connects_by_vsock_and_again),
	    TEST(a_machine_without_vsock_goes_on_without),
	    TEST(a_silent_collector_is_noticed),
	    TEST(a_refused_token_ends_the_agent),
	    TEST(an_unknown_token_ends_the_agent),
	    TEST(another_collectors_token_ends_the_agent),
	    TEST(an_agent_that_was_removed_joins_anew_with_a_new_token),
	    TEST(a_flooding_guest_is_held_to_its_rate),
	    TEST(a_flood_of_small_payloads_is_held_to_its_part),
	    TEST(a_guest_has_one_vsock_stream),
	    TEST(a_device_that_appears_and_vanishes_is_no_work),
	    TEST(a_guest_that_does_not_read_costs_a_bounded_queue),
	    TEST(many_that_do_not_read_cost_a_bounded_sum),
	    cmocka_unit_test(the_restart_command_can_be_run_verbatim),
	};

	log_open("test", getenv("VERBOSE") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
