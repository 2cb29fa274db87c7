#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/base/mem.h"
#include "proto/bus.h"
#include "proto/model/limits.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* One server and one client on one loop; the test waits until something was seen. */
struct world {
	struct loop *loop;
	struct loop_source *tick;
	struct keypair server_key, client_key;
	struct bus_server *server;
	struct bus_client *client;
	bool allow;
	int events[5]; /* by enum bus_event */
	char text[256];
	int server_got, client_got;
	size_t last_len;
	uint8_t key[KEY_LEN], route[256];
	size_t route_len;
	bool echo, free_on_connect;
	bool (*until)(const struct world *w);
	struct mono deadline;
	char endpoint[64];
};

static bool allow(void *arg, const uint8_t key[static KEY_LEN])
{
	struct world *w = arg;

	return w->allow && memcmp(key, w->client_key.pub, KEY_LEN) == 0;
}

static void server_message(void *arg, const uint8_t key[static KEY_LEN], const void *route, size_t route_len, const void *data,
                           size_t len)
{
	struct world *w = arg;

	w->server_got++;
	w->last_len = len;
	memcpy(w->key, key, KEY_LEN);
	memcpy(w->route, route, route_len);
	w->route_len = route_len;
	if (w->echo)
		bus_server_send(w->server, route, route_len, data, len);
}

static void client_message(void *arg, const void *data, size_t len)
{
	struct world *w = arg;

	(void)data;
	w->client_got++;
	w->last_len = len;
}

static void client_event(void *arg, enum bus_event ev, const char *text)
{
	struct world *w = arg;

	w->events[ev]++;
	snprintf(w->text, sizeof w->text, "%s", text);
	if (w->free_on_connect && ev == BUS_CONNECTED) {
		bus_client_free(w->client);
		w->client = NULL;
	}
}

static void tick(void *arg)
{
	struct world *w = arg;

	if (w->until(w))
		loop_stop(w->loop, 1);
	else if (mono_reached(w->deadline, mono_now()))
		loop_stop(w->loop, 0);
}

static bool wait_for(struct world *w, bool (*until)(const struct world *), int ms)
{
	w->until = until;
	w->deadline = mono_add_ms(mono_now(), ms);
	return loop_run(w->loop) == 1;
}

static bool never(const struct world *w) { return w == NULL; }
static bool connected(const struct world *w) { return w->events[BUS_CONNECTED] > 0; }
static bool reconnected(const struct world *w) { return w->events[BUS_CONNECTED] > 1; }
static bool disconnected(const struct world *w) { return w->events[BUS_DISCONNECTED] > 0; }
static bool refused(const struct world *w) { return w->events[BUS_REFUSED] > 0; }
static bool wrong_server(const struct world *w) { return w->events[BUS_WRONG_SERVER] > 0; }
static bool unreachable(const struct world *w) { return w->events[BUS_UNREACHABLE] > 0; }
static bool served(const struct world *w) { return w->server_got > 0; }
static bool answered(const struct world *w) { return w->client_got > 0; }

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

static void server_start(struct world *w)
{
	struct err e = {""};

	w->server = bus_server_new(w->loop, &w->server_key, allow, server_message, w, &e);
	assert_non_null(w->server);
	if (bus_server_bind(w->server, w->endpoint, &e) < 0)
		fail_msg("%s", e.text);
}

static void client_start(struct world *w)
{
	struct err e = {""};

	w->client = bus_client_new(w->loop, w->endpoint, &w->client_key, w->server_key.pub, client_message, client_event, w, &e);
	if (!w->client)
		fail_msg("%s", e.text);
}

static int setup(void **state)
{
	struct world *w = mem_alloc(sizeof *w);

	keys_init();
	w->loop = loop_new();
	w->tick = loop_every_ms(w->loop, 2, tick, w);
	w->allow = true;
	keypair_make(&w->server_key);
	keypair_make(&w->client_key);
	snprintf(w->endpoint, sizeof w->endpoint, "tcp://127.0.0.1:%d", port_free());
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	bus_client_free(w->client);
	bus_server_free(w->server);
	loop_free(w->loop);
	free(w);
	return 0;
}

static void exchange(struct world *w)
{
	server_start(w);
	client_start(w);
	assert_int_equal(bus_client_send(w->client, "early", 5), -1);
	assert_true(wait_for(w, connected, 3000));
	assert_true(bus_client_connected(w->client));
	assert_int_equal(bus_client_send(w->client, "hello", 5), 0);
	assert_true(wait_for(w, served, 2000));
	assert_memory_equal(w->key, w->client_key.pub, KEY_LEN);
	assert_int_equal(bus_server_send(w->server, w->route, w->route_len, "welcome!", 8), 0);
	assert_true(wait_for(w, answered, 2000));
	assert_int_equal(w->last_len, 8);
}

static void messages_pass_over_tcp(void **state) { exchange(*state); }

static void messages_pass_over_a_unix_socket(void **state)
{
	struct world *w = *state;
	char path[40];

	snprintf(path, sizeof path, "/tmp/bothways-bus-%d", (int)getpid());
	snprintf(w->endpoint, sizeof w->endpoint, "ipc://%s", path);
	exchange(w);
	unlink(path);
}

static bool echoed_all(const struct world *w) { return w->client_got == 60; }

static void every_message_of_a_burst_arrives(void **state)
{
	static char big[MSG_BYTES_MAX / 16];
	struct world *w = *state;

	w->echo = true;
	server_start(w);
	client_start(w);
	assert_true(wait_for(w, connected, 3000));
	for (int i = 0; i < 60; i++)
		assert_int_equal(bus_client_send(w->client, big, sizeof big), 0);
	assert_true(wait_for(w, echoed_all, 10000));
}

static void too_large_messages_do_not_leave(void **state)
{
	struct world *w = *state;
	char *big = mem_alloc(MSG_BYTES_MAX + 1);

	server_start(w);
	client_start(w);
	assert_true(wait_for(w, connected, 3000));
	assert_int_equal(bus_client_send(w->client, big, MSG_BYTES_MAX + 1), -1);
	assert_int_equal(bus_client_send(w->client, big, MSG_BYTES_MAX), 0);
	assert_true(wait_for(w, served, 5000));
	assert_int_equal(w->last_len, MSG_BYTES_MAX);
	free(big);
}

static void an_unknown_key_is_refused(void **state)
{
	struct world *w = *state;

	w->allow = false;
	server_start(w);
	client_start(w);
	assert_true(wait_for(w, refused, 3000));
	assert_int_equal(w->events[BUS_CONNECTED], 0);
	assert_true(bus_server_stats(w->server).refused >= 1);
}

static void another_servers_key_is_noticed(void **state)
{
	struct world *w = *state;
	struct keypair real = w->server_key;

	server_start(w);
	keypair_make(&w->server_key); /* what the client expects */
	client_start(w);
	assert_true(wait_for(w, wrong_server, 5000));
	assert_int_equal(w->events[BUS_CONNECTED], 0);
	w->server_key = real;
}

static int listener_open(const struct world *w)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	sin.sin_port = htons((uint16_t)atoi(strrchr(w->endpoint, ':') + 1));
	assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof sin), 0);
	assert_int_equal(listen(fd, 5), 0);
	return fd;
}

static void a_server_that_keeps_silent_is_unreachable(void **state)
{
	struct world *w = *state;
	int fd = listener_open(w);

	client_start(w);
	assert_true(wait_for(w, unreachable, 6000));
	assert_non_null(strstr(w->text, "handshake was not answered"));
	close(fd);
}

static void nobody_there_is_said_and_retried(void **state)
{
	struct world *w = *state;

	client_start(w);
	assert_true(wait_for(w, unreachable, 3000));
	assert_non_null(strstr(w->text, "refused"));
	server_start(w);
	assert_true(wait_for(w, connected, 3000));
}

static void a_restarted_server_is_found_again(void **state)
{
	struct world *w = *state;

	exchange(w);
	bus_server_free(w->server);
	w->server = NULL;
	assert_true(wait_for(w, disconnected, 4000));
	assert_int_equal(bus_client_send(w->client, "lost", 4), -1);
	server_start(w);
	assert_true(wait_for(w, reconnected, 4000));
	w->server_got = 0;
	assert_int_equal(bus_client_send(w->client, "hello", 5), 0);
	assert_true(wait_for(w, served, 2000));
	assert_int_equal(w->server_got, 1);
}

static void sending_to_a_vanished_client_fails(void **state)
{
	struct world *w = *state;

	exchange(w);
	bus_client_free(w->client);
	w->client = NULL;
	wait_for(w, never, 300);
	assert_int_equal(bus_server_send(w->server, w->route, w->route_len, "gone?", 5), -1);
	assert_int_equal(bus_server_send(w->server, "nobody", 6, "x", 1), -1);
	assert_int_equal(bus_server_stats(w->server).unsent, 2);
}

static void a_client_may_be_freed_from_its_callback(void **state)
{
	struct world *w = *state;

	w->free_on_connect = true;
	server_start(w);
	client_start(w);
	assert_true(wait_for(w, connected, 3000));
	assert_null(w->client);
	wait_for(w, never, 50);
}

static void garbage_on_the_port_harms_nobody(void **state)
{
	struct world *w = *state;
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	char noise[4096];

	server_start(w);
	sin.sin_port = htons((uint16_t)atoi(strrchr(w->endpoint, ':') + 1));
	for (int i = 0; i < 8; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		keys_random(noise, sizeof noise);
		if (i & 1)
			memcpy(noise,
			       "\xff\0\0\0\0\0\0\0\x01\x7f\x03\x00"
			       "CURVE",
			       17);
		assert_int_equal(connect(fd, (struct sockaddr *)&sin, sizeof sin), 0);
		assert_true(send(fd, noise, sizeof noise, MSG_NOSIGNAL) > 0);
		close(fd);
	}
	client_start(w);
	assert_true(wait_for(w, connected, 3000));
}

static void a_port_in_use_is_said(void **state)
{
	struct world *w = *state;
	int fd = listener_open(w);
	struct err e = {""};

	w->server = bus_server_new(w->loop, &w->server_key, allow, server_message, w, &e);
	assert_int_equal(bus_server_bind(w->server, w->endpoint, &e), -1);
	assert_non_null(strstr(e.text, "in use"));
	assert_null(
	    bus_client_new(w->loop, "tcp://nowhere", &w->client_key, w->server_key.pub, client_message, client_event, w, &e));
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(messages_pass_over_tcp),
	    TEST(messages_pass_over_a_unix_socket),
	    TEST(every_message_of_a_burst_arrives),
	    TEST(too_large_messages_do_not_leave),
	    TEST(an_unknown_key_is_refused),
	    TEST(another_servers_key_is_noticed),
	    TEST(a_server_that_keeps_silent_is_unreachable),
	    TEST(nobody_there_is_said_and_retried),
	    TEST(a_restarted_server_is_found_again),
	    TEST(sending_to_a_vanished_client_fails),
	    TEST(a_client_may_be_freed_from_its_callback),
	    TEST(garbage_on_the_port_harms_nobody),
	    TEST(a_port_in_use_is_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
