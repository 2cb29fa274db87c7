/* collector_world: the collector as its clients meet it: a real one on a unix socket in a directory of its own, with hand-made
 * agents and CLIs. For the tests of sessions and of what hostile agents try. */
#ifndef BW_TESTS_COLLECTOR_WORLD_H
#define BW_TESTS_COLLECTOR_WORLD_H

#include "collector/collector.h"
#include "collector/sessions.h"
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

static inline void start(struct world *w)
{
	struct err e = {0};
	w->c = mem_alloc(sizeof *w->c);
	if (collector_open(w->c, &w->setup, &e))
		fail_msg("%s", e.text);
}

static inline void stop(struct world *w)
{
	collector_close(w->c);
	free(w->c);
	w->c = NULL;
}

static inline int setup(void **state)
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

static inline int teardown(void **state)
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

static inline void on_message(void *arg, const void *data, size_t len)
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

static inline void on_event(void *arg, enum bus_event event, const char *text)
{
	struct client *c = arg;
	(void)text;
	c->event = event;
	c->any_event = true;
	loop_stop(c->w->c->loop, 1);
}

static inline void on_end(void *arg) { loop_stop(arg, 2); }

/* Runs the loop until something happens or for `ms`; false = nothing happened. */
static inline bool run(struct world *w, int64_t ms)
{
	struct loop_source *end = loop_timer(w->c->loop, on_end, w->c->loop);
	loop_timer_arm(end, ms * 1000);
	int rc = loop_run(w->c->loop);
	loop_remove(end);
	return rc == 1;
}

static inline struct client *client_new(struct world *w, const struct keypair *key)
{
	struct client *c = mem_alloc(sizeof *c);
	c->w = w;
	c->bus = bus_client_new(w->c->loop, w->endpoint, key, w->setup.key.pub, on_message, on_event, c, NULL);
	assert_non_null(c->bus);
	while (!c->any_event)
		assert_true(run(w, WAIT_MS));
	return c;
}

static inline void client_free(struct client *c)
{
	bus_client_free(c->bus);
	for (size_t i = 0; i < c->count; i++)
		msg_free(c->heard[i]);
	free(c);
}

static inline void client_send(struct client *c, struct msg *m)
{
	struct buf b = {0};
	assert_int_equal(wire_encode(m, &b, NULL), 0);
	while (bus_client_send(c->bus, b.data, b.len) < 0) /* its queue is full */
		run(c->w, 1);
	buf_free(&b);
	msg_free(m);
}

/* The next message of that type; what comes before it is thrown away. */
static inline struct msg *client_hear(struct client *c, enum msg_type type)
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

static inline struct msg *query(uint32_t id, const char *a, const char *b, const char *c, const char *d)
{
	const char *const words[] = {a, b, c, d};
	struct msg *m = msg_new(MSG_QUERY);
	m->u.query.id = id;
	for (size_t i = 0; i < 4 && words[i]; i++)
		str_copy(m->u.query.args[m->u.query.argc++], sizeof m->u.query.args[0], words[i]);
	return m;
}

/* Asks the admin's CLI for a token. */
static inline void token_for(struct world *w, const char *tenant, const char *kind, const char *other, struct keypair *out)
{
	char tenant_option[80], kind_option[32];
	struct client *cli = client_new(w, &w->admin.pair);
	snprintf(tenant_option, sizeof tenant_option, "--tenant=%s", tenant);
	snprintf(kind_option, sizeof kind_option, "--kind=%s", kind);
	client_send(cli, query(7, "token", tenant_option, kind_option, other));
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

static inline void get_token(struct world *w, const char *ttl, struct keypair *out) { token_for(w, "red", "guest", ttl, out); }

static inline struct msg *join(const struct keypair *own, const char *name)
{
	struct msg *m = msg_new(MSG_JOIN);
	m->u.join.version_min = PROTOCOL_VERSION_MIN;
	m->u.join.version_max = PROTOCOL_VERSION;
	memcpy(m->u.join.agent_key, own->pub, KEY_LEN);
	str_copy(m->u.join.name, sizeof m->u.join.name, name);
	str_copy(m->u.join.hostname, sizeof m->u.join.hostname, "web 1.example");
	return m;
}

static inline struct msg *hello(uint64_t boot)
{
	struct msg *m = msg_new(MSG_HELLO);
	m->u.hello.version_min = PROTOCOL_VERSION_MIN;
	m->u.hello.version_max = PROTOCOL_VERSION;
	m->u.hello.boot = boot;
	m->u.hello.next_report = 1;
	return m;
}

static inline struct msg *report(uint64_t boot, uint64_t number)
{
	struct msg *m = msg_new(MSG_REPORT);
	m->u.report.boot = boot;
	m->u.report.number = number;
	return m;
}

static inline void expect_join(struct client *c, struct msg *request, enum msg_type type, const char *word)
{
	client_send(c, request);
	struct msg *m = client_hear(c, type);
	assert_non_null(m);
	const char *text = type == MSG_JOINED ? m->u.joined.name : m->u.refused.reason;
	if (!strstr(text, word))
		fail_msg("\"%s\" does not say \"%s\"", text, word);
	msg_free(m);
}

static inline void enrol_in(struct world *w, const char *tenant, struct keypair *own, const char *name)
{
	struct keypair token;
	keypair_make(own);
	token_for(w, tenant, "guest", "--ttl=1h", &token);
	struct client *c = client_new(w, &token);
	expect_join(c, join(own, name), MSG_JOINED, name);
	client_free(c);
}

static inline void enrol(struct world *w, struct keypair *own, const char *name) { enrol_in(w, "red", own, name); }

static inline struct client *say_hello(struct world *w, const struct keypair *own, uint64_t boot, uint64_t acked)
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

static inline void expect_ack(struct client *c, uint64_t number)
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

/* ---- relayed ---- */

/* A guest that has only its host's agent to speak through. */
struct relayed {
	struct client *host;
	struct sealed sealed;
	uint32_t stream;
};

static inline void send_up(void *arg, const void *payload, size_t len)
{
	struct relayed *r = arg;
	struct msg *m = msg_new(MSG_RELAY_UP);
	m->u.relay.stream = r->stream;
	m->u.relay.len = len;
	m->u.relay.data = mem_alloc(len);
	memcpy(m->u.relay.data, payload, len);
	client_send(r->host, m);
}

static inline enum sealed_event hear_down(struct relayed *r, struct buf *message)
{
	struct msg *m = client_hear(r->host, MSG_RELAY_DOWN);
	assert_non_null(m);
	assert_int_equal(m->u.relay.stream, r->stream);
	enum sealed_event event = sealed_read(&r->sealed, m->u.relay.data, m->u.relay.len, message);
	msg_free(m);
	return event;
}

static inline struct client *host_session(struct world *w, struct keypair *own)
{
	struct keypair token;
	keypair_make(own);
	token_for(w, "fleet", "host", "--name=h1", &token);
	struct client *c = client_new(w, &token);
	expect_join(c, join(own, "ignored"), MSG_JOINED, "h1");
	client_free(c);
	return say_hello(w, own, 1, 0);
}

static inline void sealed_say(struct relayed *r, struct msg *m)
{
	struct buf b = {0};
	wire_encode(m, &b, NULL);
	assert_int_equal(sealed_write(&r->sealed, b.data, b.len, send_up, r), 0);
	buf_free(&b);
	msg_free(m);
}

static inline struct msg *sealed_hear(struct relayed *r, enum msg_type type)
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
