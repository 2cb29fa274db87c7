/* The collector as its clients meet it: a real one on a unix socket in a directory of its own, with hand-made agents. */
#include "collector/sessions.h"
#include "collector/collector.h"
#include "collector/state.h"

#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/sealed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_MS 3000

struct world {
	char dir[64];
	char endpoint[128];
	int lock;
	struct keyfile admin;
	struct collector_setup setup;
	struct collector *c;
};

/* ---- the collector ---- */

static void start(struct world *w)
{
	struct err e = {0};
	w->c = mem_alloc(sizeof *w->c);
	if (collector_open(w->c, &w->setup, &e))
		fail_msg("%s", e.text);
}

static void stop(struct world *w)
{
	collector_close(w->c);
	free(w->c);
	w->c = NULL;
}

static int setup(void **state)
{
	static struct world w;
	struct err e = {0};
	char path[128];
	w = (struct world){.dir = "/tmp/bw-sessions-XXXXXX"};
	log_open("test", LOG_LEVEL_ERROR);
	if (!mkdtemp(w.dir) || (w.lock = state_open(w.dir, &e)) < 0)
		return -1;
	w.setup = (struct collector_setup){.dir = w.dir, .advertise = "tcp://192.0.2.1:7400"};
	if (state_key(w.dir, &w.setup.key, &e) || state_admin(w.dir, &w.setup.key, w.setup.advertise, w.setup.admin, &e))
		return -1;
	snprintf(path, sizeof path, "%s/admin.key", w.dir);
	if (keyfile_read(path, &w.admin, &e) || state_socket(w.dir, w.endpoint, sizeof w.endpoint, &e))
		return -1;
	start(&w);
	*state = &w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	char command[128];
	stop(w);
	close(w->lock);
	snprintf(command, sizeof command, "rm -r %s", w->dir);
	return system(command);
}

/* ---- a client, and waiting for what it hears ---- */

struct client {
	struct world *w;
	struct bus_client *bus;
	enum bus_event event;
	bool any_event;
	struct msg *heard[64];
	size_t count;
};

static void on_message(void *arg, const void *data, size_t len)
{
	struct client *c = arg;
	struct msg *m = wire_decode(data, len, NULL);
	assert_non_null(m);
	if (c->count < 64)
		c->heard[c->count++] = m;
	else
		msg_free(m);
	loop_stop(c->w->c->loop, 1);
}

static void on_event(void *arg, enum bus_event event, const char *text)
{
	struct client *c = arg;
	(void)text;
	c->event = event;
	c->any_event = true;
	loop_stop(c->w->c->loop, 1);
}

static void on_end(void *arg) { loop_stop(arg, 2); }

/* Runs the loop until something happens or for `ms`; false = nothing happened. */
static bool run(struct world *w, int64_t ms)
{
	struct loop_source *end = loop_timer(w->c->loop, on_end, w->c->loop);
	loop_timer_arm(end, ms * 1000);
	int rc = loop_run(w->c->loop);
	loop_remove(end);
	return rc == 1;
}

static struct client *client_new(struct world *w, const struct keypair *key)
{
	struct client *c = mem_alloc(sizeof *c);
	c->w = w;
	c->bus = bus_client_new(w->c->loop, w->endpoint, key, w->setup.key.pub, on_message, on_event, c, NULL);
	assert_non_null(c->bus);
	while (!c->any_event)
		assert_true(run(w, WAIT_MS));
	return c;
}

static void client_free(struct client *c)
{
	bus_client_free(c->bus);
	for (size_t i = 0; i < c->count; i++)
		msg_free(c->heard[i]);
	free(c);
}

static void client_send(struct client *c, struct msg *m)
{
	struct buf b = {0};
	assert_int_equal(wire_encode(m, &b, NULL), 0);
	assert_int_equal(bus_client_send(c->bus, b.data, b.len), 0);
	buf_free(&b);
	msg_free(m);
}

/* The next message of that type; what comes before it is thrown away. */
static struct msg *client_hear(struct client *c, enum msg_type type)
{
	for (;;) {
		while (!c->count)
			if (!run(c->w, WAIT_MS))
				return NULL;
		struct msg *m = c->heard[0];
		memmove(c->heard, c->heard + 1, --c->count * sizeof *c->heard);
		if (m->type == type)
			return m;
		msg_free(m);
	}
}

/* ---- what clients say ---- */

static struct msg *query(uint32_t id, const char *a, const char *b, const char *c, const char *d)
{
	const char *const words[] = {a, b, c, d};
	struct msg *m = msg_new(MSG_QUERY);
	m->u.query.id = id;
	for (size_t i = 0; i < 4 && words[i]; i++)
		str_copy(m->u.query.args[m->u.query.argc++], sizeof m->u.query.args[0], words[i]);
	return m;
}

static void get_token(struct world *w, const char *ttl, struct keypair *out)
{
	struct client *cli = client_new(w, &w->admin.pair);
	client_send(cli, query(7, "token", "--tenant=red", "--kind=guest", ttl));
	struct msg *m = client_hear(cli, MSG_ANSWER);
	assert_non_null(m);
	assert_int_equal(m->u.answer.id, 7);
	char *at = strstr(m->u.answer.json, "bw1.");
	assert_non_null(at);
	at[strcspn(at, "\"")] = '\0';
	struct token t;
	assert_int_equal(token_parse(at, &t, NULL), 0);
	token_keypair(&t, out);
	msg_free(m);
	client_free(cli);
}

static struct msg *join(const struct keypair *own, const char *name)
{
	struct msg *m = msg_new(MSG_JOIN);
	m->u.join.version_min = PROTOCOL_VERSION_MIN;
	m->u.join.version_max = PROTOCOL_VERSION;
	memcpy(m->u.join.agent_key, own->pub, KEY_LEN);
	str_copy(m->u.join.name, sizeof m->u.join.name, name);
	str_copy(m->u.join.hostname, sizeof m->u.join.hostname, "web 1.example");
	return m;
}

static struct msg *hello(uint64_t boot)
{
	struct msg *m = msg_new(MSG_HELLO);
	m->u.hello.version_min = PROTOCOL_VERSION_MIN;
	m->u.hello.version_max = PROTOCOL_VERSION;
	m->u.hello.boot = boot;
	m->u.hello.next_report = 1;
	return m;
}

static struct msg *report(uint64_t boot, uint64_t number)
{
	struct msg *m = msg_new(MSG_REPORT);
	m->u.report.boot = boot;
	m->u.report.number = number;
	return m;
}

static void expect_join(struct client *c, struct msg *request, enum msg_type type, const char *word)
{
	client_send(c, request);
	struct msg *m = client_hear(c, type);
	assert_non_null(m);
	const char *text = type == MSG_JOINED ? m->u.joined.name : m->u.refused.reason;
	if (!strstr(text, word))
		fail_msg("\"%s\" does not say \"%s\"", text, word);
	msg_free(m);
}

static void enrol(struct world *w, struct keypair *own, const char *name)
{
	struct keypair token;
	keypair_make(own);
	get_token(w, "--ttl=1h", &token);
	struct client *c = client_new(w, &token);
	expect_join(c, join(own, name), MSG_JOINED, name);
	client_free(c);
}

static struct client *say_hello(struct world *w, const struct keypair *own, uint64_t boot, uint64_t acked)
{
	struct client *c = client_new(w, own);
	client_send(c, hello(boot));
	struct msg *m = client_hear(c, MSG_WELCOME);
	assert_non_null(m);
	assert_int_equal(m->u.welcome.acked, acked);
	msg_free(m);
	m = client_hear(c, MSG_PLAN);
	assert_non_null(m);
	msg_free(m);
	return c;
}

static void expect_ack(struct client *c, uint64_t number)
{
	struct msg *m;
	do {
		m = client_hear(c, MSG_ACK);
		assert_non_null(m);
		uint64_t got = m->u.ack.number;
		msg_free(m);
		assert_true(got <= number);
		if (got == number)
			return;
	} while (m);
}

/* ---- tests ---- */

static void unknown_keys_are_refused(void **state)
{
	struct world *w = *state;
	struct keypair stranger;
	keypair_make(&stranger);
	struct client *c = client_new(w, &stranger);
	assert_int_equal(c->event, BUS_REFUSED);
	assert_true(w->c->count.unknown_key > 0);
	client_free(c);
}

static void a_token_serves_once_and_then_says_so(void **state)
{
	struct world *w = *state;
	struct keypair token, one, two;
	keypair_make(&one);
	keypair_make(&two);
	get_token(w, "--ttl=1h", &token);
	struct client *c = client_new(w, &token);
	expect_join(c, join(&one, ""), MSG_JOINED, "web-1.example");
	expect_join(c, join(&one, ""), MSG_JOINED, "web-1.example"); /* the answer was lost: asked again */
	expect_join(c, join(&two, ""), MSG_REFUSED, "used");
	client_free(c);
	c = client_new(w, &token); /* a spent token still gets an answer */
	expect_join(c, join(&two, ""), MSG_REFUSED, "used");
	client_free(c);
	assert_int_equal(fleet_count(w->c->fleet), 1);
}

static void an_expired_token_says_so(void **state)
{
	struct world *w = *state;
	struct keypair token, own;
	keypair_make(&own);
	get_token(w, "--ttl=1s", &token);
	while (run(w, 1100))
		;
	struct client *c = client_new(w, &token);
	expect_join(c, join(&own, ""), MSG_REFUSED, "expired");
	client_free(c);
}

static void names_are_unique_in_a_tenant(void **state)
{
	struct world *w = *state;
	struct keypair one, two, token;
	enrol(w, &one, "db");
	keypair_make(&two);
	get_token(w, "--ttl=1h", &token);
	struct client *c = client_new(w, &token);
	expect_join(c, join(&two, "db"), MSG_REFUSED, "name taken");
	expect_join(c, join(&two, "../etc"), MSG_REFUSED, "not allowed");
	expect_join(c, join(&two, "db2"), MSG_JOINED, "db2");
	client_free(c);
}

static void an_unknown_version_is_refused(void **state)
{
	struct world *w = *state;
	struct keypair own;
	enrol(w, &own, "old");
	struct client *c = client_new(w, &own);
	struct msg *m = hello(1);
	m->u.hello.version_min = m->u.hello.version_max = 99;
	client_send(c, m);
	m = client_hear(c, MSG_REFUSED);
	assert_non_null(m);
	assert_non_null(strstr(m->u.refused.reason, "99"));
	assert_true(m->u.refused.final);
	msg_free(m);
	client_free(c);
}

static void reports_are_applied_once_and_acknowledged_when_stored(void **state)
{
	struct world *w = *state;
	struct keypair own;
	enrol(w, &own, "vm");
	struct client *c = say_hello(w, &own, 5, 0);
	for (uint64_t n = 1; n <= 3; n++)
		client_send(c, report(5, n));
	client_send(c, report(5, 2));
	client_send(c, report(4, 9)); /* of a boot that is over */
	expect_ack(c, 3);
	assert_int_equal(w->c->count.reports, 3);
	assert_int_equal(w->c->count.reports_again, 1);
	client_free(c);
	stop(w);

	start(w); /* the numbers are remembered, and begin anew with another boot */
	c = say_hello(w, &own, 5, 3);
	client_send(c, report(5, 3));
	client_send(c, report(5, 4));
	expect_ack(c, 4);
	assert_int_equal(w->c->count.reports, 1);
	client_free(c);
	c = say_hello(w, &own, 6, 0);
	client_free(c);
}

static void nothing_counts_before_a_hello(void **state)
{
	struct world *w = *state;
	struct keypair own;
	enrol(w, &own, "vm");
	struct client *c = client_new(w, &own);
	client_send(c, report(1, 1));
	client_send(c, msg_new(MSG_PING));
	struct msg *m = client_hear(c, MSG_PONG);
	assert_non_null(m);
	msg_free(m);
	assert_int_equal(w->c->count.reports, 0);
	assert_int_equal(w->c->count.no_session, 1);
	client_free(c);
}

static void garbage_is_counted(void **state)
{
	struct world *w = *state;
	struct keypair own;
	enrol(w, &own, "vm");
	struct client *c = client_new(w, &own);
	assert_int_equal(bus_client_send(c->bus, "\xff\xff\xff rubbish", 11), 0);
	assert_int_equal(bus_client_send(c->bus, "", 0), 0);
	client_send(c, msg_new(MSG_PING));
	struct msg *m = client_hear(c, MSG_PONG);
	assert_non_null(m);
	msg_free(m);
	assert_true(w->c->count.malformed >= 1);
	client_free(c);
}

static void queries_answer_or_say_why(void **state)
{
	static const struct {
		const char *args[3];
		int code;
		const char *says;
	} CASES[] = {
	    {{"status"}, 0, "bothways.status/1"},
	    {{"agents"}, 0, "\"name\":\"vm\""},
	    {{"mesh"}, 0, "bothways.mesh/1"},
	    {{"mesh", "--tenant=blue"}, 1, "no agent of tenant blue"},
	    {{"causes"}, 0, "bothways.causes/1"},
	    {{"causes", "no-such"}, 1, "no cause no-such"},
	    {{"facts", "nobody"}, 1, "nobody"},
	    {{"facts", "vm", "--changes"}, 0, "\"changes\":[]"},
	    {{"diagnose", "vm", "nobody"}, 1, "nobody"},
	    {{"diagnose", "vm", "vm"}, 1, "same agent"},
	    {{"diagnose", "vm", "vm2"}, 1, "both agents are offline"},
	    {{"diagnose", "vm"}, 1, "names"},
	    {{"token", "--tenant=fleet", "--kind=guest"}, 1, "hosts belong"},
	    {{"token", "--tenant=a/b", "--kind=guest"}, 1, "a/b"},
	    {{"dance"}, 1, "dance"},
	};
	struct world *w = *state;
	struct keypair own, other;
	enrol(w, &own, "vm");
	enrol(w, &other, "vm2");
	struct client *cli = client_new(w, &w->admin.pair);
	for (uint32_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
		client_send(cli, query(i, CASES[i].args[0], CASES[i].args[1], CASES[i].args[2], NULL));
		struct msg *m = client_hear(cli, MSG_ANSWER);
		assert_non_null(m);
		assert_int_equal(m->u.answer.id, i);
		if (m->u.answer.exit_code != CASES[i].code || !strstr(m->u.answer.json, CASES[i].says))
			fail_msg("%s: exit %d: %s", CASES[i].args[0], m->u.answer.exit_code, m->u.answer.json);
		msg_free(m);
	}
	client_free(cli);
}

/* A guest that has only its host's agent to speak through. */
struct relayed {
	struct client *host;
	struct sealed sealed;
	uint32_t stream;
};

static void send_up(void *arg, const void *payload, size_t len)
{
	struct relayed *r = arg;
	struct msg *m = msg_new(MSG_RELAY_UP);
	m->u.relay.stream = r->stream;
	m->u.relay.len = len;
	m->u.relay.data = mem_alloc(len);
	memcpy(m->u.relay.data, payload, len);
	client_send(r->host, m);
}

static enum sealed_event hear_down(struct relayed *r, struct buf *message)
{
	struct msg *m = client_hear(r->host, MSG_RELAY_DOWN);
	assert_non_null(m);
	assert_int_equal(m->u.relay.stream, r->stream);
	enum sealed_event event = sealed_read(&r->sealed, m->u.relay.data, m->u.relay.len, message);
	msg_free(m);
	return event;
}

static struct client *host_session(struct world *w, struct keypair *own)
{
	struct keypair token;
	struct client *cli = client_new(w, &w->admin.pair);
	keypair_make(own);
	client_send(cli, query(1, "token", "--tenant=fleet", "--kind=host", "--name=h1"));
	struct msg *m = client_hear(cli, MSG_ANSWER);
	char *at = strstr(m->u.answer.json, "bw1.");
	struct token t;
	at[strcspn(at, "\"")] = '\0';
	assert_int_equal(token_parse(at, &t, NULL), 0);
	token_keypair(&t, &token);
	msg_free(m);
	client_free(cli);
	struct client *c = client_new(w, &token);
	expect_join(c, join(own, "ignored"), MSG_JOINED, "h1");
	client_free(c);
	return say_hello(w, own, 1, 0);
}

static void sealed_say(struct relayed *r, struct msg *m)
{
	struct buf b = {0};
	wire_encode(m, &b, NULL);
	assert_int_equal(sealed_write(&r->sealed, b.data, b.len, send_up, r), 0);
	buf_free(&b);
	msg_free(m);
}

static struct msg *sealed_hear(struct relayed *r, enum msg_type type)
{
	struct buf message = {0};
	struct msg *m = NULL;
	while (!m || m->type != type) {
		msg_free(m);
		m = NULL;
		if (hear_down(r, &message) == SEALED_MESSAGE)
			m = wire_decode(message.data, message.len, NULL);
	}
	buf_free(&message);
	return m;
}

static void a_guest_joins_and_reports_through_its_host(void **state)
{
	struct world *w = *state;
	struct keypair host_key, own, token;
	struct buf message = {0};
	get_token(w, "--ttl=1h", &token);
	keypair_make(&own);
	struct relayed r = {.host = host_session(w, &host_key), .stream = 3};

	sealed_start(&r.sealed, &token, w->setup.key.pub, send_up, &r);
	assert_int_equal(hear_down(&r, &message), SEALED_READY);
	sealed_say(&r, join(&own, "island"));
	struct msg *m = sealed_hear(&r, MSG_JOINED);
	assert_string_equal(m->u.joined.name, "island");
	msg_free(m);

	sealed_start(&r.sealed, &own, w->setup.key.pub, send_up, &r);
	assert_int_equal(hear_down(&r, &message), SEALED_READY);
	sealed_say(&r, hello(77));
	msg_free(sealed_hear(&r, MSG_WELCOME));
	msg_free(sealed_hear(&r, MSG_PLAN));
	sealed_say(&r, report(77, 1));
	m = sealed_hear(&r, MSG_ACK);
	assert_int_equal(m->u.ack.number, 1);
	msg_free(m);
	const struct member *guest = fleet_by_key(w->c->fleet, own.pub), *host = fleet_by_key(w->c->fleet, host_key.pub);
	assert_true(guest->online && guest->heard_by == HEARD_RELAY && guest->relay == host->id);

	m = msg_new(MSG_RELAY_STATE); /* the stream closes: its session is gone */
	m->u.relay_state.stream = 3;
	client_send(r.host, m);
	sealed_say(&r, report(77, 2));
	assert_int_equal(hear_down(&r, &message), SEALED_RESET);
	buf_free(&message);
	sealed_clear(&r.sealed);
	client_free(r.host);
}

static void a_relay_cannot_bring_strangers(void **state)
{
	struct world *w = *state;
	struct keypair host_key, stranger;
	struct buf message = {0};
	keypair_make(&stranger);
	struct relayed r = {.host = host_session(w, &host_key), .stream = 1};
	sealed_start(&r.sealed, &stranger, w->setup.key.pub, send_up, &r);
	assert_int_equal(hear_down(&r, &message), SEALED_REFUSED);
	/* nor the admin: people come over the bus only */
	sealed_start(&r.sealed, &w->admin.pair, w->setup.key.pub, send_up, &r);
	assert_int_equal(hear_down(&r, &message), SEALED_REFUSED);
	buf_free(&message);
	sealed_clear(&r.sealed);
	client_free(r.host);
}

static void a_directory_is_used_by_one(void **state)
{
	struct world *w = *state;
	struct err e = {0};
	assert_int_equal(state_open(w->dir, &e), -1);
	assert_non_null(strstr(e.text, "in use"));
	assert_int_equal(state_open("/proc/nowhere/here", &e), -1);
	assert_non_null(strstr(e.text, "/proc/nowhere/here"));
	char path[256], out[256];
	memset(path, 'x', sizeof path - 1);
	path[sizeof path - 1] = '\0';
	assert_int_equal(state_socket(path, out, sizeof out, &e), -1);
	assert_non_null(strstr(e.text, "too long"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(unknown_keys_are_refused),       TEST(a_token_serves_once_and_then_says_so),
	    TEST(an_expired_token_says_so),       TEST(names_are_unique_in_a_tenant),
	    TEST(an_unknown_version_is_refused),  TEST(reports_are_applied_once_and_acknowledged_when_stored),
	    TEST(nothing_counts_before_a_hello),  TEST(garbage_is_counted),
	    TEST(queries_answer_or_say_why),      TEST(a_guest_joins_and_reports_through_its_host),
	    TEST(a_relay_cannot_bring_strangers), TEST(a_directory_is_used_by_one),
	};
	keys_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
