/* Who is let in, what is answered, and that reports count once: a real collector and hand-made agents. */
#include "collector_world.h"

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
	assert_true(m && strstr(m->u.refused.reason, "99") && m->u.refused.final);
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

/* A relay lost 2 and 3: 4 waits for them, unless the agent has them no more. */
static void a_report_that_is_not_the_next_waits(void **state)
{
	struct world *w = *state;
	struct keypair own;
	enrol(w, &own, "vm");
	struct client *c = say_hello(w, &own, 5, 0);
	client_send(c, report(5, 1));
	client_send(c, report(5, 4));
	expect_ack(c, 1);
	assert_int_equal(w->c->count.reports, 1);
	assert_int_equal(w->c->count.reports_early, 1);
	for (uint64_t n = 2; n <= 4; n++)
		client_send(c, report(5, n));
	expect_ack(c, 4);
	assert_int_equal(w->c->count.reports, 4);
	assert_int_equal(w->c->count.reports_missing, 0);

	struct msg *m = hello(5);
	m->u.hello.next_report = 8; /* 5, 6 and 7 had to go */
	client_send(c, m);
	client_send(c, report(5, 8));
	expect_ack(c, 8);
	assert_int_equal(w->c->count.reports, 5);
	assert_int_equal(w->c->count.reports_gap, 1);
	assert_int_equal(w->c->count.reports_missing, 3);
	struct report_count n = sessions_reports(w->c->sessions, fleet_by_key(w->c->fleet, own.pub));
	assert_int_equal(n.applied, 5);
	assert_int_equal(n.missing, 3);
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
	enum sealed_event ev;
	while ((ev = hear_down(&r, &message)) == SEALED_MESSAGE) /* a plan may have been on its way */
		;
	assert_int_equal(ev, SEALED_RESET);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(unknown_keys_are_refused),
	    TEST(a_token_serves_once_and_then_says_so),
	    TEST(an_expired_token_says_so),
	    TEST(names_are_unique_in_a_tenant),
	    TEST(an_unknown_version_is_refused),
	    TEST(reports_are_applied_once_and_acknowledged_when_stored),
	    TEST(a_report_that_is_not_the_next_waits),
	    TEST(nothing_counts_before_a_hello),
	    TEST(garbage_is_counted),
	    TEST(queries_answer_or_say_why),
	    TEST(a_guest_joins_and_reports_through_its_host),
	    TEST(a_relay_cannot_bring_strangers),
	    TEST(a_directory_is_used_by_one),
	};
	keys_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
