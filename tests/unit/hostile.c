/* What hostile agents, hosts and tenants try against a real collector: each can hurt its own reports and its own quota only. */
#include "collector/query.h"
#include "collector/rounds.h"
#include "collector_world.h"

/* ---- helpers ---- */

static void ping_until_heard(struct client *c)
{
	client_send(c, msg_new(MSG_PING));
	struct msg *m = client_hear(c, MSG_PONG);
	assert_non_null(m);
	msg_free(m);
}

static struct msg *report_with_rows(uint64_t number, size_t count, uint32_t pair)
{
	struct msg *m = report(1, number);
	m->u.report.row_count = count;
	m->u.report.rows = mem_array(count, sizeof *m->u.report.rows);
	for (size_t i = 0; i < count; i++)
		m->u.report.rows[i] =
		    (struct watch_row){.pair = pair, .sender = i & 1, .epoch = (uint32_t)i, .sent = 200, .seen = UINT64_MAX};
	return m;
}

static struct snapshot *snapshot_named(const char *ifname, uint8_t last)
{
	struct snapshot *s = snapshot_new();
	s->link_count = 1;
	s->links = mem_array(1, sizeof *s->links);
	s->links[0].index = 2;
	s->links[0].up = true;
	s->links[0].mac = (struct mac){{2, 0, 0, 0, 0, last}};
	str_copy(s->links[0].name, sizeof s->links[0].name, ifname);
	return s;
}

/* ---- agents ---- */

static void rows_of_pairs_that_are_not_ones_own_count_for_nothing(void **state)
{
	struct world *w = *state;
	static const kind_mask all[2] = {KIND_BIT(KIND_UDP), KIND_BIT(KIND_UDP)};
	struct keypair own;
	struct cells cells;
	enrol(w, &own, "liar");
	struct client *c = say_hello(w, &own, 1, 0);
	detect_pair(w->c->detect, 7, 1000, 1001, all);
	client_send(c, report_with_rows(1, 64, 7));
	client_send(c, report_with_rows(2, 64, UINT32_MAX));
	expect_ack(c, 2);
	assert_int_equal(detect_stats(w->c->detect).foreign_rows, 128);
	assert_int_equal(detect_stats(w->c->detect).waiting, 0);
	assert_true(detect_cells(w->c->detect, 7, &cells) && !cells.measured);
	client_free(c);
}

static void one_side_cannot_speak_for_the_other(void **state)
{
	struct world *w = *state;
	static const kind_mask all[2] = {KIND_BIT(KIND_UDP), KIND_BIT(KIND_UDP)};
	struct keypair own;
	enrol(w, &own, "liar");
	struct client *c = say_hello(w, &own, 1, 0);
	uint32_t me = fleet_by_key(w->c->fleet, own.pub)->id;
	detect_pair(w->c->detect, 7, me, 1001, all);
	struct msg *m = report_with_rows(1, 4, 7); /* as the receiver of what it sends, as the sender of what it receives */
	for (size_t i = 0; i < 4; i++) {
		m->u.report.rows[i].kind = KIND_UDP;
		m->u.report.rows[i].dir = !m->u.report.rows[i].sender ? 0 : 1;
	}
	client_send(c, m);
	expect_ack(c, 1);
	assert_int_equal(detect_stats(w->c->detect).foreign_rows, 4);
	client_free(c);
}

static void the_same_row_over_and_over_waits_once(void **state)
{
	struct world *w = *state;
	static const kind_mask all[2] = {KIND_BIT(KIND_UDP), KIND_BIT(KIND_UDP)};
	struct keypair own;
	enrol(w, &own, "liar");
	struct client *c = say_hello(w, &own, 1, 0);
	uint32_t me = fleet_by_key(w->c->fleet, own.pub)->id;
	detect_pair(w->c->detect, 7, 1001, me, all);
	for (uint64_t n = 1; n <= 40; n++) { /* more than a burst of rows */
		struct msg *m = report_with_rows(n, REPORT_ROWS_MAX, 7);
		for (size_t i = 0; i < REPORT_ROWS_MAX; i++) {
			m->u.report.rows[i].kind = KIND_UDP;
			m->u.report.rows[i].sender = false;
			m->u.report.rows[i].epoch = 5;
		}
		client_send(c, m);
	}
	expect_ack(c, 40);
	assert_int_equal(detect_stats(w->c->detect).waiting, 1);
	assert_true(w->c->count.limited > 0);
	assert_true(w->c->count.rows <= 100000);
	client_free(c);
}

static void snapshots_are_read_at_a_bounded_rate_and_the_newest_counts(void **state)
{
	struct world *w = *state;
	struct keypair own;
	enrol(w, &own, "busy");
	struct client *c = say_hello(w, &own, 1, 0);
	for (uint64_t n = 1; n <= 200; n++) {
		struct msg *m = report(1, n);
		char name[16];
		snprintf(name, sizeof name, "eth%d", (int)n);
		m->u.report.snapshot = snapshot_named(name, (uint8_t)n);
		client_send(c, m);
	}
	expect_ack(c, 200);
	const struct member *m = fleet_by_key(w->c->fleet, own.pub);
	assert_true(w->c->count.limited > 100);
	for (int i = 0; i < 30 && strcmp(m->snapshot->links[0].name, "eth200"); i++)
		run(w, 100);
	assert_string_equal(m->snapshot->links[0].name, "eth200");
	client_free(c);
}

static void a_flood_is_cut_and_others_are_served(void **state)
{
	struct world *w = *state;
	struct keypair loud, calm;
	enrol(w, &loud, "loud");
	enrol(w, &calm, "calm");
	struct client *a = say_hello(w, &loud, 1, 0), *b = say_hello(w, &calm, 1, 0);
	struct buf ping = {0};
	struct msg *m = msg_new(MSG_ACK); /* nothing for us: costs its sender all the same */
	assert_int_equal(wire_encode(m, &ping, NULL), 0);
	msg_free(m);
	for (int i = 0; i < 30000; i++) {
		while (bus_client_send(a->bus, ping.data, ping.len) < 0)
			run(w, 1);
		if (i % 10000 == 0)
			ping_until_heard(b);
	}
	while (!w->c->count.limited)
		run(w, 10);
	ping_until_heard(b);
	client_send(b, report(1, 1));
	expect_ack(b, 1);
	buf_free(&ping);
	client_free(a);
	client_free(b);
}

static void round_messages_of_no_round_are_nothing(void **state)
{
	struct world *w = *state;
	struct keypair own;
	enrol(w, &own, "liar");
	struct client *c = say_hello(w, &own, 1, 0);
	static const enum msg_type types[] = {MSG_ROUND_ARMED, MSG_STAGE_DONE, MSG_ROUND_RESULT};
	for (size_t i = 0; i < 3; i++)
		client_send(c, msg_new(types[i]));
	ping_until_heard(c);
	assert_int_equal(rounds_running(w->c->rounds), 0);
	client_free(c);
}

static void numbers_at_the_limit_hurt_only_their_owner(void **state)
{
	struct world *w = *state;
	struct keypair own;
	enrol(w, &own, "odd");
	struct client *c = say_hello(w, &own, 1, 0);
	client_send(c, report(1, UINT64_MAX)); /* not the next: it waits */
	struct msg *m = hello(1);
	m->u.hello.next_report = UINT64_MAX;
	client_send(c, m);
	client_send(c, report(1, UINT64_MAX));
	expect_ack(c, UINT64_MAX);
	client_send(c, report(1, 1));
	client_send(c, report(1, 0));
	ping_until_heard(c);
	assert_int_equal(w->c->count.reports, 1);
	assert_int_equal(w->c->count.reports_again, 2);
	client_free(c);
}

/* ---- relays ---- */

static void a_guest_is_no_relay(void **state)
{
	struct world *w = *state;
	struct keypair own;
	enrol(w, &own, "vm");
	struct relayed r = {.host = say_hello(w, &own, 1, 0), .stream = 1};
	size_t before = sessions_channels(w->c->sessions);
	sealed_start(&r.sealed, &own, w->setup.key.pub, send_up, &r);
	ping_until_heard(r.host);
	assert_int_equal(w->c->count.malformed, 1);
	assert_int_equal(sessions_channels(w->c->sessions), before);
	sealed_clear(&r.sealed);
	client_free(r.host);
}

/* Its streams are forgotten when it begins anew: that must not happen in the middle of one of them. */
static void a_host_cannot_relay_itself(void **state)
{
	struct world *w = *state;
	struct keypair own;
	struct buf message = {0};
	struct relayed r = {.host = host_session(w, &own), .stream = 1};
	sealed_start(&r.sealed, &own, w->setup.key.pub, send_up, &r);
	assert_int_equal(hear_down(&r, &message), SEALED_REFUSED);
	buf_free(&message);
	sealed_clear(&r.sealed);
	client_free(r.host);
}

static void one_stream_of_a_guest_and_host_at_a_time(void **state)
{
	struct world *w = *state;
	struct keypair host, guest;
	struct buf message = {0};
	enrol(w, &guest, "vm");
	struct client *c = host_session(w, &host);
	size_t before = sessions_channels(w->c->sessions);
	for (uint32_t i = 0; i < 20; i++) {
		struct relayed r = {.host = c, .stream = i};
		sealed_start(&r.sealed, &guest, w->setup.key.pub, send_up, &r);
		assert_int_equal(hear_down(&r, &message), SEALED_READY);
		sealed_clear(&r.sealed);
	}
	assert_int_equal(sessions_channels(w->c->sessions), before + 1);
	buf_free(&message);
	client_free(c);
}

static void relayed_garbage_is_refused(void **state)
{
	struct world *w = *state;
	struct keypair host;
	struct relayed r = {.host = host_session(w, &host), .stream = 9};
	static const uint8_t junk[300] = {'O', 1, 2, 3};
	for (size_t len = 1; len <= sizeof junk; len += 13)
		send_up(&r, junk, len);
	ping_until_heard(r.host);
	assert_int_equal(w->c->count.reports, 0);
	client_free(r.host);
}

/* ---- tenants ---- */

struct answer {
	int code;
	char *json;
};

static void keep_answer(void *arg, bool more, int exit_code, const char *json)
{
	struct answer *a = arg;
	if (more)
		return;
	free(a->json);
	*a = (struct answer){exit_code, mem_strdup(json)};
}

static struct answer ask(struct world *w, const struct asker *who, const char *a, const char *b, const char *c)
{
	struct answer out = {-1, NULL};
	struct msg *m = query(1, a, b, c, NULL);
	struct reply reply = {.c = w->c, .send = keep_answer, .arg = &out};
	query_run(w->c, who, &m->u.query, &reply);
	assert_non_null(out.json);
	msg_free(m);
	return out;
}

static const struct asker RED = {.role = "tenant", .tenant = "red"};

static void a_tenant_cannot_tell_others_from_nobody(void **state)
{
	static const char *const questions[][3] = {
	    {"facts", "%s", NULL},    {"facts", "%s", "--changes"}, {"diagnose", "vm", "%s"},
	    {"diagnose", "%s", "vm"}, {"facts", "blue/%s", NULL},
	};
	struct world *w = *state;
	struct keypair red, blue;
	enrol(w, &red, "vm");
	enrol_in(w, "blue", &blue, "secret");
	for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
		char text[2][3][32] = {0};
		struct answer a[2];
		for (int k = 0; k < 2; k++) {
			for (int n = 0; n < 3; n++)
				snprintf(text[k][n], 32, questions[i][n] ? questions[i][n] : "", k ? "nobody" : "secret");
			a[k] = ask(w, &RED, text[k][0], text[k][1], text[k][2][0] ? text[k][2] : NULL);
			assert_int_equal(a[k].code, 1);
		}
		char *at = strstr(a[0].json, "secret"); /* the same answer, but for the name that was asked for */
		assert_non_null(at);
		char *same = mem_printf("%.*s%s%s", (int)(at - a[0].json), a[0].json, "nobody", at + strlen("secret"));
		assert_string_equal(same, a[1].json);
		free(same);
		free(a[0].json);
		free(a[1].json);
	}
}

static void a_tenant_sees_its_own_only(void **state)
{
	static const char *const questions[][2] = {
	    {"status", NULL}, {"agents", NULL}, {"mesh", NULL}, {"agents", "--tenant=red"}, {"mesh", "--tenant=red"}};
	struct world *w = *state;
	struct keypair red, blue, twin;
	enrol(w, &red, "vm");
	struct answer before[5], after;
	for (size_t i = 0; i < 5; i++)
		before[i] = ask(w, &RED, questions[i][0], questions[i][1], NULL);
	enrol_in(w, "blue", &blue, "secret");
	enrol_in(w, "blue", &twin, "vm"); /* of the same name */
	for (size_t i = 0; i < 5; i++) {
		after = ask(w, &RED, questions[i][0], questions[i][1], NULL);
		assert_string_equal(before[i].json, after.json);
		free(before[i].json);
		free(after.json);
	}
	after = ask(w, &RED, "mesh", "--tenant=blue", NULL);
	struct answer nobody = ask(w, &RED, "mesh", "--tenant=nobd", NULL);
	assert_int_equal(after.code, 1);
	assert_int_equal(strlen(after.json), strlen(nobody.json));
	free(after.json);
	free(nobody.json);
}

static void only_an_admin_makes_tokens(void **state)
{
	static const struct asker others[] = {{"tenant", "red"}, {"viewer", NULL}, {"operator", NULL}, {"", NULL}, {"Admin", NULL}};
	struct world *w = *state;
	for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
		struct answer a = ask(w, &others[i], "token", "--tenant=red", "--kind=guest");
		assert_int_equal(a.code, 1);
		assert_null(strstr(a.json, "bw1."));
		free(a.json);
	}
}

static void a_tenants_key_without_a_tenant_sees_nothing(void **state)
{
	static const struct asker lost[] = {{"tenant", NULL}, {"", NULL}, {"nobody", NULL}};
	static const char *const commands[] = {"status", "agents", "mesh"};
	struct world *w = *state;
	struct keypair red;
	enrol(w, &red, "vm");
	for (size_t i = 0; i < 9; i++) {
		struct answer a = ask(w, &lost[i / 3], commands[i % 3], NULL, NULL);
		assert_int_equal(a.code, 1);
		assert_null(strstr(a.json, "\"vm\""));
		free(a.json);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(rows_of_pairs_that_are_not_ones_own_count_for_nothing),
	    TEST(one_side_cannot_speak_for_the_other),
	    TEST(the_same_row_over_and_over_waits_once),
	    TEST(snapshots_are_read_at_a_bounded_rate_and_the_newest_counts),
	    TEST(a_flood_is_cut_and_others_are_served),
	    TEST(round_messages_of_no_round_are_nothing),
	    TEST(numbers_at_the_limit_hurt_only_their_owner),
	    TEST(a_guest_is_no_relay),
	    TEST(a_host_cannot_relay_itself),
	    TEST(one_stream_of_a_guest_and_host_at_a_time),
	    TEST(relayed_garbage_is_refused),
	    TEST(a_tenant_cannot_tell_others_from_nobody),
	    TEST(a_tenant_sees_its_own_only),
	    TEST(only_an_admin_makes_tokens),
	    TEST(a_tenants_key_without_a_tenant_sees_nothing),
	};
	keys_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
