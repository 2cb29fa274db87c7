#include "collector/cli/client.h"

#include "proto/base/mem.h"
#include "proto/bus.h"
#include "proto/loop.h"

#include <stdlib.h>
#include <string.h>

#define CONNECT_MS 5000

struct client {
	struct loop *loop;
	struct bus_client *bus;
	struct loop_source *timer;
	const char *endpoint;
	const struct msg_query *query;
	int seconds;
	const struct client_hooks *hooks;
	struct answer *out;
	struct err *e;
};

static void fail(struct client *c, const char *why)
{
	err_set(c->e, "collector at %s: %s", c->endpoint, why);
	loop_stop(c->loop, -1);
}

static void ask(struct client *c)
{
	struct buf b = {0};
	struct msg *m = msg_new(MSG_QUERY);
	m->u.query = *c->query;
	if (wire_encode(m, &b, c->e) || bus_client_send(c->bus, b.data, b.len))
		fail(c, "the question could not be sent");
	buf_free(&b);
	msg_free(m);
	loop_timer_arm(c->timer, (int64_t)c->seconds * 1000000);
}

static void on_event(void *arg, enum bus_event event, const char *text)
{
	struct client *c = arg;
	switch (event) {
	case BUS_CONNECTED: ask(c); break;
	case BUS_REFUSED: fail(c, "it does not know this key"); break;
	case BUS_DISCONNECTED:
	case BUS_WRONG_SERVER: fail(c, text); break;
	case BUS_UNREACHABLE:
		if (strstr(text, c->endpoint))
			err_set(c->e, "collector unreachable: %s", text);
		else
			err_set(c->e, "collector unreachable at %s: %s", c->endpoint, text);
		loop_stop(c->loop, -1);
		break;
	}
}

static void take_answer(struct client *c, struct msg_answer *a)
{
	if (a->id != c->query->id)
		return;
	if (a->more) {
		if (a->blob_len && c->hooks->blob)
			c->hooks->blob(c->hooks->arg, a->blob, a->blob_len);
		else if (!a->blob_len && a->json && c->hooks->progress)
			c->hooks->progress(c->hooks->arg, a->json);
		return;
	}
	c->out->exit_code = a->exit_code;
	c->out->json = a->json;
	a->json = NULL;
	loop_stop(c->loop, 0);
}

static void on_message(void *arg, const void *data, size_t len)
{
	struct client *c = arg;
	struct msg *m = wire_decode(data, len, NULL);
	if (m && m->type == MSG_ANSWER)
		take_answer(c, &m->u.answer);
	msg_free(m);
}

static void on_timeout(void *arg)
{
	struct client *c = arg;
	fail(c, bus_client_connected(c->bus) ? "no answer in time" : "no connection in time");
}

int client_ask(const char *endpoint, const struct keyfile *key, const struct msg_query *q, int seconds,
               const struct client_hooks *hooks, struct answer *out, struct err *e)
{
	struct client c = {.endpoint = endpoint, .query = q, .seconds = seconds, .hooks = hooks, .out = out, .e = e};
	int rc = -1;
	c.loop = loop_new();
	c.timer = loop_timer(c.loop, on_timeout, &c);
	loop_timer_arm(c.timer, CONNECT_MS * 1000);
	c.bus = bus_client_new(c.loop, endpoint, &key->pair, key->collector, on_message, on_event, &c, e);
	if (c.bus)
		rc = loop_run(c.loop);
	bus_client_free(c.bus);
	loop_remove(c.timer);
	loop_free(c.loop);
	return rc;
}
