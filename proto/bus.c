/* What there is to know about ZeroMQ on an event loop stands in the three comments below: draining, reconnecting, and
 * the handshakes that fail. */
#include "proto/bus.h"

#include "proto/base/mem.h"
#include "proto/conf.h"
#include "proto/model/limits.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

#define ZAP_ENDPOINT    "inproc://zeromq.zap.01"
#define DRAIN_MAX       32                    /* messages of one source per turn of the loop: probes must keep their pace */
#define FRAME_BYTES_MAX (MSG_BYTES_MAX + 256) /* CURVE adds its own to every message */
#define SERVER_QUEUE    256
#define CLIENT_QUEUE    64
#define HEARTBEAT_MS    1000
#define SILENCE_MS      2500
#define HANDSHAKE_MS    3000
#define CONNECT_MS      3000
#define WATCHDOG_US     ((CONNECT_MS + HANDSHAKE_MS + 500) * 1000LL)
#define BACKOFF_MIN_MS  100
#define BACKOFF_MAX_MS  5000
#define STEADY_MS       5000 /* a connection that lasted this long was a good one: back-off starts anew */
#define EARLY_CLOSE_MAX 3    /* handshakes cut off in a row until we say: that is another server */

struct option_value {
	int option, value;
};

static int socket_set(void *sock, const struct option_value *values, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (zmq_setsockopt(sock, values[i].option, &values[i].value, sizeof values[i].value) != 0)
			return -1;
	return 0;
}

static int socket_fd(void *sock)
{
	int fd = -1;
	size_t len = sizeof fd;

	zmq_getsockopt(sock, ZMQ_FD, &fd, &len);
	return fd;
}

/* ---- draining ----
 * ZMQ_FD is edge-triggered, and it may lose its edge in any call on the socket, sending too: after each of them somebody has
 * to look again (loop_wake), and whoever looks must read until EAGAIN. Who reads much yields after DRAIN_MAX and wakes himself. */

typedef bool drain_fn(void *arg); /* one message; false = none there */

static void socket_drain(drain_fn *one, void *arg, struct loop_source **source, const bool *dead)
{
	for (int i = 0; i < DRAIN_MAX; i++)
		if (!one(arg) || *dead)
			return;
	if (*source)
		loop_wake(*source);
}

/* Reads away what is left of the message at hand; returns how many parts that were. */
static int parts_drop(void *sock)
{
	zmq_msg_t part;
	int dropped = 0, more = 0;
	size_t len = sizeof more;

	while (zmq_getsockopt(sock, ZMQ_RCVMORE, &more, &len) == 0 && more) {
		zmq_msg_init(&part);
		if (zmq_msg_recv(&part, sock, ZMQ_DONTWAIT) < 0) {
			zmq_msg_close(&part);
			break;
		}
		zmq_msg_close(&part);
		dropped++;
	}
	return dropped;
}

/* ---- server ---- */

struct bus_server {
	struct loop *loop;
	void *ctx, *sock, *zap;
	struct loop_source *sock_source, *zap_source;
	bus_allow_fn *allow;
	bus_server_fn *fn;
	void *arg;
	bool dead; /* never: a server is not freed from within its callbacks */
	struct bus_stats stats;
};

#define ZAP_PARTS 7
enum zap_part { ZAP_VERSION, ZAP_REQUEST, ZAP_DOMAIN, ZAP_ADDRESS, ZAP_IDENTITY, ZAP_MECHANISM, ZAP_CREDENTIALS };

static bool part_is(zmq_msg_t *part, const char *text)
{
	return zmq_msg_size(part) == strlen(text) && memcmp(zmq_msg_data(part), text, strlen(text)) == 0;
}

static void zap_answer(struct bus_server *s, zmq_msg_t parts[static ZAP_PARTS])
{
	char user[KEY_TEXT_MAX] = "";
	bool good = part_is(&parts[ZAP_VERSION], "1.0") && part_is(&parts[ZAP_MECHANISM], "CURVE") &&
	            zmq_msg_size(&parts[ZAP_CREDENTIALS]) == KEY_LEN;

	good = good && s->allow(s->arg, zmq_msg_data(&parts[ZAP_CREDENTIALS]));
	if (good)
		key_hex(zmq_msg_data(&parts[ZAP_CREDENTIALS]), user);
	else
		s->stats.refused++;
	zmq_send(s->zap, "1.0", 3, ZMQ_SNDMORE);
	zmq_send(s->zap, zmq_msg_data(&parts[ZAP_REQUEST]), zmq_msg_size(&parts[ZAP_REQUEST]), ZMQ_SNDMORE);
	zmq_send(s->zap, good ? "200" : "400", 3, ZMQ_SNDMORE);
	zmq_send(s->zap, "", 0, ZMQ_SNDMORE);
	zmq_send(s->zap, user, strlen(user), ZMQ_SNDMORE);
	zmq_send(s->zap, "", 0, 0);
}

static bool zap_one(void *arg)
{
	struct bus_server *s = arg;
	zmq_msg_t parts[ZAP_PARTS];
	bool whole = true;

	for (int i = 0; i < ZAP_PARTS; i++)
		zmq_msg_init(&parts[i]);
	for (int i = 0; i < ZAP_PARTS && whole; i++)
		whole = zmq_msg_recv(&parts[i], s->zap, ZMQ_DONTWAIT) >= 0 && (i == ZAP_PARTS - 1 || zmq_msg_more(&parts[i]));
	/* requests come from ZeroMQ itself: they are whole, or there is none */
	if (whole) {
		parts_drop(s->zap);
		zap_answer(s, parts);
	}
	for (int i = 0; i < ZAP_PARTS; i++)
		zmq_msg_close(&parts[i]);
	return whole;
}

static void zap_ready(void *arg, int fd, int what)
{
	struct bus_server *s = arg;

	(void)fd;
	(void)what;
	socket_drain(zap_one, s, &s->zap_source, &s->dead);
}

static void server_deliver(struct bus_server *s, zmq_msg_t *route, zmq_msg_t *data)
{
	const char *user = zmq_msg_gets(data, "User-Id");
	uint8_t key[KEY_LEN];

	if (!user || key_from_hex(user, key) < 0) {
		s->stats.malformed++;
		return;
	}
	s->fn(s->arg, key, zmq_msg_data(route), zmq_msg_size(route), zmq_msg_data(data), zmq_msg_size(data));
}

static bool server_one(void *arg)
{
	struct bus_server *s = arg;
	zmq_msg_t route, data;
	bool got;

	zmq_msg_init(&route);
	zmq_msg_init(&data);
	got = zmq_msg_recv(&route, s->sock, ZMQ_DONTWAIT) >= 0;
	if (got) {
		bool good = zmq_msg_more(&route) && zmq_msg_recv(&data, s->sock, ZMQ_DONTWAIT) >= 0;

		if (parts_drop(s->sock) == 0 && good)
			server_deliver(s, &route, &data);
		else
			s->stats.malformed++;
	}
	zmq_msg_close(&route);
	zmq_msg_close(&data);
	return got;
}

static void server_ready(void *arg, int fd, int what)
{
	struct bus_server *s = arg;

	(void)fd;
	(void)what;
	socket_drain(server_one, s, &s->sock_source, &s->dead);
}

static int server_configure(struct bus_server *s, const struct keypair *own)
{
	static const struct option_value values[] = {
	    {ZMQ_LINGER, 200},          {ZMQ_IPV6, 1},
	    {ZMQ_ROUTER_MANDATORY, 1},  {ZMQ_RCVHWM, SERVER_QUEUE},
	    {ZMQ_SNDHWM, SERVER_QUEUE}, {ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS},
	    {ZMQ_BACKLOG, 1024},        {ZMQ_CURVE_SERVER, 1},
	};
	int64_t max = FRAME_BYTES_MAX;

	/* heartbeats are the clients' business: their PINGs carry the time to live that makes this side notice, too */
	if (socket_set(s->sock, values, sizeof values / sizeof *values) < 0)
		return -1;
	if (zmq_setsockopt(s->sock, ZMQ_MAXMSGSIZE, &max, sizeof max) != 0 ||
	    zmq_setsockopt(s->sock, ZMQ_ZAP_DOMAIN, "bothways", 8) != 0)
		return -1;
	return zmq_setsockopt(s->sock, ZMQ_CURVE_SECRETKEY, own->sec, KEY_LEN);
}

struct bus_server *bus_server_new(struct loop *l, const struct keypair *own, bus_allow_fn *allow, bus_server_fn *fn, void *arg,
                                  struct err *e)
{
	struct bus_server *s = mem_alloc(sizeof *s);

	*s = (struct bus_server){.loop = l, .allow = allow, .fn = fn, .arg = arg, .ctx = zmq_ctx_new()};
	/* the door-keeper stands before the door opens */
	s->zap = zmq_socket(s->ctx, ZMQ_REP);
	s->sock = zmq_socket(s->ctx, ZMQ_ROUTER);
	if (!s->zap || !s->sock || zmq_bind(s->zap, ZAP_ENDPOINT) != 0 || server_configure(s, own) < 0) {
		err_set(e, "cannot make a server socket: %s", zmq_strerror(zmq_errno()));
		bus_server_free(s);
		return NULL;
	}
	s->zap_source = loop_fd(l, socket_fd(s->zap), LOOP_READ, zap_ready, s);
	s->sock_source = loop_fd(l, socket_fd(s->sock), LOOP_READ, server_ready, s);
	loop_wake(s->zap_source);
	loop_wake(s->sock_source);
	return s;
}

int bus_server_bind(struct bus_server *s, const char *endpoint, struct err *e)
{
	if (zmq_bind(s->sock, endpoint) == 0) {
		loop_wake(s->sock_source);
		return 0;
	}
	if (zmq_errno() == EADDRINUSE)
		return err_set(e, "cannot listen on %s: the port is in use by another program", endpoint);
	return err_set(e, "cannot listen on %s: %s", endpoint, zmq_strerror(zmq_errno()));
}

int bus_server_send(struct bus_server *s, const void *route, size_t route_len, const void *data, size_t len)
{
	bool good = len <= MSG_BYTES_MAX && zmq_send(s->sock, route, route_len, ZMQ_DONTWAIT | ZMQ_SNDMORE) >= 0 &&
	            zmq_send(s->sock, data, len, ZMQ_DONTWAIT) >= 0;

	loop_wake(s->sock_source);
	if (!good)
		s->stats.unsent++;
	return good ? 0 : -1;
}

struct bus_stats bus_server_stats(const struct bus_server *s) { return s->stats; }

void bus_server_free(struct bus_server *s)
{
	if (!s)
		return;
	loop_remove(s->sock_source);
	loop_remove(s->zap_source);
	if (s->sock)
		zmq_close(s->sock);
	if (s->zap)
		zmq_close(s->zap);
	zmq_ctx_term(s->ctx);
	free(s);
}

/* ---- client ----
 * ZeroMQ could reconnect by itself. But then it would deliver what was queued for the old connection before our hello, start its
 * back-off anew after every refused handshake, and never say why. So each attempt is a socket of its own. */

enum client_state {
	CLIENT_WAITING,    /* the retry timer runs */
	CLIENT_CONNECTING, /* the watchdog runs (the same timer) */
	CLIENT_HANDSHAKE,
	CLIENT_CONNECTED,
};

struct bus_client {
	struct loop *loop;
	char *endpoint;
	struct keypair own;
	uint8_t server[KEY_LEN];
	bus_client_fn *fn;
	bus_event_fn *event;
	void *arg;

	void *ctx, *sock, *monitor;
	struct loop_source *sock_source, *monitor_source, *timer;
	enum client_state state;
	struct mono began; /* this attempt, or this connection */
	int64_t backoff_ms;
	int early_closes;  /* handshakes cut off, in a row */
	unsigned attempts; /* names the monitor's endpoint */
	int depth;         /* calls of ours on the stack */
	bool dead;         /* freed from within a callback: memory goes when they return */
};

static void client_enter(struct bus_client *c) { c->depth++; }

static void client_leave(struct bus_client *c)
{
	if (--c->depth > 0 || !c->dead)
		return;
	free(c->endpoint);
	free(c);
}

static void client_tell(struct bus_client *c, enum bus_event ev, const char *text)
{
	if (!c->dead)
		c->event(c->arg, ev, text);
}

static void client_close(struct bus_client *c)
{
	loop_remove(c->sock_source);
	loop_remove(c->monitor_source);
	c->sock_source = c->monitor_source = NULL;
	if (c->sock) {
		zmq_socket_monitor(c->sock, NULL, 0);
		zmq_close(c->sock);
	}
	if (c->monitor)
		zmq_close(c->monitor);
	c->sock = c->monitor = NULL;
}

static void client_wait(struct bus_client *c)
{
	int64_t half = c->backoff_ms / 2, jitter = (int64_t)(keys_random64() % (uint64_t)(c->backoff_ms + 1));

	client_close(c);
	c->state = CLIENT_WAITING;
	loop_timer_arm(c->timer, (half + jitter) * 1000);
	c->backoff_ms = c->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : c->backoff_ms * 2;
}

/* This attempt or connection is over. */
static void client_fail(struct bus_client *c, enum bus_event ev, const char *text)
{
	if (c->state == CLIENT_CONNECTED && mono_ms_since(c->began, mono_now()) >= STEADY_MS)
		c->backoff_ms = BACKOFF_MIN_MS;
	client_wait(c);
	client_tell(c, ev, text);
}

/* ---- why connecting failed: ZeroMQ does not tell, so the kernel is asked again ---- */

static const char *explain_ipc(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), result;

	if (fd < 0 || str_copy(sun.sun_path, sizeof sun.sun_path, path) < 0) {
		close(fd);
		return "the path is too long";
	}
	result = connect(fd, (struct sockaddr *)&sun, sizeof sun);
	close(fd);
	return result < 0 ? strerror(errno) : "it closed the connection";
}

/* Connecting a UDP socket sends nothing and still meets the routing table. */
static const char *explain_tcp(const char *host, const char *port, int64_t took_ms)
{
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST}, *found = NULL;
	int error = 0, fd;

	if (getaddrinfo(host, port, &hints, &found) == 0) {
		fd = socket(found->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		error = fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) < 0 ? errno : 0;
		close(fd);
		freeaddrinfo(found);
	}
	if (error)
		return strerror(error);
	return took_ms >= CONNECT_MS - 500 ? "no answer" : "connection refused, or the name is not known";
}

static const char *explain(const struct bus_client *c)
{
	char host[ENDPOINT_MAX], *colon, *begin = host;
	size_t len;

	if (strncmp(c->endpoint, "ipc://", 6) == 0)
		return explain_ipc(c->endpoint + 6);
	if (strncmp(c->endpoint, "tcp://", 6) != 0 || str_copy(host, sizeof host, c->endpoint + 6) < 0 ||
	    !(colon = strrchr(host, ':')))
		return "not an endpoint";
	*colon = '\0';
	len = strlen(host);
	if (*host == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		begin++;
	}
	return explain_tcp(begin, colon + 1, mono_ms_since(c->began, mono_now()));
}

static void client_unreachable(struct bus_client *c)
{
	char text[ERR_TEXT_MAX];

	snprintf(text, sizeof text, "cannot connect to %s: %s", c->endpoint, explain(c));
	client_fail(c, BUS_UNREACHABLE, text);
}

/* ---- handshakes that fail ----
 * A server that refuses our key says so (an ERROR command: ..._FAILED_AUTH). One that cannot open our first box, because it holds
 * another key than we expect, just closes the connection, as does one that goes down at that moment: only several in a row mean
 * another server, and nothing is said before. One that speaks something else altogether is a protocol failure. One that says
 * nothing is not reachable. */

static void handshake_cut(struct bus_client *c)
{
	if (mono_ms_since(c->began, mono_now()) >= HANDSHAKE_MS - 100)
		client_fail(c, BUS_UNREACHABLE, "connected, but the handshake was not answered within 3 s");
	else if (++c->early_closes >= EARLY_CLOSE_MAX)
		client_fail(c, BUS_WRONG_SERVER, "the server does not hold the key we expect, or is no bothways collector");
	else
		client_wait(c);
}

static bool client_one(void *arg);

static void client_disconnected(struct bus_client *c)
{
	/* what came before the end still counts: it may say why */
	for (int i = 0; i < CLIENT_QUEUE && c->sock && client_one(c); i++)
		if (c->dead)
			return;
	if (c->sock)
		client_fail(c, BUS_DISCONNECTED, "the connection was lost");
}

static void client_connected(struct bus_client *c)
{
	c->state = CLIENT_CONNECTED;
	c->early_closes = 0;
	c->began = mono_now();
	loop_timer_disarm(c->timer);
	client_tell(c, BUS_CONNECTED, "connected");
	if (c->sock_source)
		loop_wake(c->sock_source);
}

static void client_closed(struct bus_client *c)
{
	switch (c->state) {
	case CLIENT_CONNECTED: client_disconnected(c); break;
	case CLIENT_HANDSHAKE: handshake_cut(c); break;
	case CLIENT_CONNECTING: client_unreachable(c); break;
	case CLIENT_WAITING: break;
	}
}

static void monitor_event(struct bus_client *c, uint16_t event, uint32_t value)
{
	switch (event) {
	case ZMQ_EVENT_CONNECTED:
		c->state = CLIENT_HANDSHAKE;
		c->began = mono_now();
		break;
	case ZMQ_EVENT_HANDSHAKE_SUCCEEDED: client_connected(c); break;
	case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
		if (value >= 400)
			client_fail(c, BUS_REFUSED, "the server refused our key");
		else
			client_fail(c, BUS_UNREACHABLE, "the server cannot take us just now");
		break;
	case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL: client_fail(c, BUS_WRONG_SERVER, "the server is no bothways collector"); break;
	case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
	case ZMQ_EVENT_DISCONNECTED:
	case ZMQ_EVENT_CLOSED: client_closed(c); break;
	default: break;
	}
}

static bool monitor_one(void *arg)
{
	struct bus_client *c = arg;
	zmq_msg_t head;
	uint16_t event = 0;
	uint32_t value = 0;
	bool got;

	if (!c->monitor)
		return false;
	zmq_msg_init(&head);
	got = zmq_msg_recv(&head, c->monitor, ZMQ_DONTWAIT) >= 0;
	if (got && zmq_msg_size(&head) >= 6) {
		memcpy(&event, zmq_msg_data(&head), sizeof event);
		memcpy(&value, (char *)zmq_msg_data(&head) + sizeof event, sizeof value);
	}
	zmq_msg_close(&head);
	if (!got)
		return false;
	parts_drop(c->monitor);
	monitor_event(c, event, value);
	return c->monitor != NULL;
}

static void monitor_ready(void *arg, int fd, int what)
{
	struct bus_client *c = arg;

	(void)fd;
	(void)what;
	client_enter(c);
	socket_drain(monitor_one, c, &c->monitor_source, &c->dead);
	client_leave(c);
}

static bool client_one(void *arg)
{
	struct bus_client *c = arg;
	zmq_msg_t data;
	bool got;

	if (!c->sock)
		return false;
	zmq_msg_init(&data);
	got = zmq_msg_recv(&data, c->sock, ZMQ_DONTWAIT) >= 0;
	if (got && parts_drop(c->sock) == 0)
		c->fn(c->arg, zmq_msg_data(&data), zmq_msg_size(&data));
	zmq_msg_close(&data);
	return got && c->sock;
}

static void client_ready(void *arg, int fd, int what)
{
	struct bus_client *c = arg;

	(void)fd;
	(void)what;
	client_enter(c);
	socket_drain(client_one, c, &c->sock_source, &c->dead);
	client_leave(c);
}

static int client_configure(struct bus_client *c)
{
	static const struct option_value values[] = {
	    {ZMQ_LINGER, 200},
	    {ZMQ_IPV6, 1},
	    {ZMQ_RCVHWM, CLIENT_QUEUE},
	    {ZMQ_SNDHWM, CLIENT_QUEUE},
	    {ZMQ_RECONNECT_IVL, -1},
	    {ZMQ_CONNECT_TIMEOUT, CONNECT_MS},
	    {ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS},
	    {ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS},
	    {ZMQ_HEARTBEAT_TIMEOUT, SILENCE_MS},
	    {ZMQ_HEARTBEAT_TTL, SILENCE_MS},
	};
	int64_t max = FRAME_BYTES_MAX;

	if (socket_set(c->sock, values, sizeof values / sizeof *values) < 0)
		return -1;
	if (zmq_setsockopt(c->sock, ZMQ_MAXMSGSIZE, &max, sizeof max) != 0)
		return -1;
	return zmq_setsockopt(c->sock, ZMQ_CURVE_SERVERKEY, c->server, KEY_LEN) ||
	               zmq_setsockopt(c->sock, ZMQ_CURVE_PUBLICKEY, c->own.pub, KEY_LEN) ||
	               zmq_setsockopt(c->sock, ZMQ_CURVE_SECRETKEY, c->own.sec, KEY_LEN)
	           ? -1
	           : 0;
}

static int monitor_open(struct bus_client *c)
{
	char name[40];

	snprintf(name, sizeof name, "inproc://monitor-%u", c->attempts);
	c->monitor = zmq_socket(c->ctx, ZMQ_PAIR);
	if (!c->monitor || zmq_socket_monitor(c->sock, name, ZMQ_EVENT_ALL) != 0)
		return -1;
	return zmq_connect(c->monitor, name);
}

static int client_open(struct bus_client *c)
{
	c->attempts++;
	c->sock = zmq_socket(c->ctx, ZMQ_DEALER);
	if (!c->sock || client_configure(c) < 0 || monitor_open(c) < 0 || zmq_connect(c->sock, c->endpoint) != 0)
		return -1;
	c->sock_source = loop_fd(c->loop, socket_fd(c->sock), LOOP_READ, client_ready, c);
	c->monitor_source = loop_fd(c->loop, socket_fd(c->monitor), LOOP_READ, monitor_ready, c);
	loop_wake(c->sock_source);
	loop_wake(c->monitor_source);
	c->state = CLIENT_CONNECTING;
	c->began = mono_now();
	loop_timer_arm(c->timer, WATCHDOG_US);
	return 0;
}

static void client_timer(void *arg)
{
	struct bus_client *c = arg;

	client_enter(c);
	if (c->state != CLIENT_WAITING) /* a name that does not resolve makes no event at all */
		client_unreachable(c);
	else if (client_open(c) < 0)
		client_fail(c, BUS_UNREACHABLE, zmq_strerror(zmq_errno()));
	client_leave(c);
}

struct bus_client *bus_client_new(struct loop *l, const char *endpoint, const struct keypair *own,
                                  const uint8_t server[static KEY_LEN], bus_client_fn *fn, bus_event_fn *event, void *arg,
                                  struct err *e)
{
	struct bus_client *c;

	if (endpoint_check(endpoint, e) < 0)
		return NULL;
	c = mem_alloc(sizeof *c);
	*c = (struct bus_client){.loop = l, .own = *own, .fn = fn, .event = event, .arg = arg, .backoff_ms = BACKOFF_MIN_MS};
	memcpy(c->server, server, KEY_LEN);
	c->endpoint = mem_strdup(endpoint);
	c->ctx = zmq_ctx_new();
	zmq_ctx_set(c->ctx, ZMQ_MAX_SOCKETS, 16);
	c->timer = loop_timer(l, client_timer, c);
	if (client_open(c) == 0)
		return c;
	err_set(e, "cannot connect to %s: %s", endpoint, zmq_strerror(zmq_errno()));
	bus_client_free(c);
	return NULL;
}

int bus_client_send(struct bus_client *c, const void *data, size_t len)
{
	int sent;

	if (c->state != CLIENT_CONNECTED || len > MSG_BYTES_MAX)
		return -1;
	sent = zmq_send(c->sock, data, len, ZMQ_DONTWAIT);
	loop_wake(c->sock_source);
	return sent < 0 ? -1 : 0;
}

bool bus_client_connected(const struct bus_client *c) { return c->state == CLIENT_CONNECTED; }

void bus_client_free(struct bus_client *c)
{
	if (!c)
		return;
	client_enter(c);
	client_close(c);
	loop_remove(c->timer);
	zmq_ctx_term(c->ctx);
	c->state = CLIENT_WAITING;
	c->dead = true;
	client_leave(c);
}
