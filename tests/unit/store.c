/* The store: what it keeps over a restart, and what it says when the directory is of a newer version, cannot be written, or full.
 */
#include "collector/store.h"

#include "proto/base/mem.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];

static int setup(void **state)
{
	(void)state;
	str_copy(dir, sizeof dir, "/tmp/bw-store-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	static const char *const files[] = {"store.db", "store.db-wal", "store.db-shm"};
	char path[128];
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		snprintf(path, sizeof path, "%s/%s", dir, files[i]);
		unlink(path);
	}
	return rmdir(dir);
}

static struct store *open_store(void)
{
	struct err e = {0};
	struct store *s = store_open(dir, &e);
	if (!s)
		fail_msg("%s", e.text);
	return s;
}

static void count_agent(void *arg, const struct stored_agent *a)
{
	struct stored_agent *out = arg;
	*out = *a;
}

static void everything_survives_a_restart(void **state)
{
	(void)state;
	struct wall now = wall_now();
	struct stored_agent a = {.id = 7, .name = "vm1", .tenant = "red", .kind = AGENT_GUEST, .key = {1, 2, 3}}, back = {0};
	struct stored_token t = {.key = {9},
	                         .tenant = "red",
	                         .name = "vm1",
	                         .kind = AGENT_GUEST,
	                         .expires = {now.ns + 1},
	                         .uses_left = 2},
	                    found;
	struct stored_key k = {.key = {8}, .role = "admin"}, key;
	struct store *s = open_store();
	assert_int_equal(store_put_agent(s, &a, now), 0);
	assert_int_equal(store_put_token(s, &t, now), 0);
	assert_int_equal(store_put_key(s, &k, now), 0);
	assert_int_equal(store_applied(s, 7, UINT64_MAX - 1, 41), 0); /* any 64 bits */
	assert_int_equal(store_spend_token(s, t.key), 0);
	assert_int_equal(store_flush(s, NULL), 0);
	store_close(s);

	s = open_store();
	assert_int_equal(store_agents(s, count_agent, &back, NULL), 0);
	assert_string_equal(back.name, "vm1");
	assert_int_equal(back.id, 7);
	assert_memory_equal(back.key, a.key, KEY_LEN);
	assert_true(back.boot == UINT64_MAX - 1 && back.applied == 41);
	assert_int_equal(store_token(s, t.key, &found), 1);
	assert_int_equal(found.uses_left, 1);
	assert_int_equal(store_key(s, k.key, &key), 1);
	assert_string_equal(key.role, "admin");
	assert_int_equal(store_token(s, k.key, &found), 0);
	store_close(s);
}

static void a_spent_token_stays_known(void **state)
{
	(void)state;
	struct stored_token t = {.key = {9}, .tenant = "red", .uses_left = 1}, found;
	struct store *s = open_store();
	store_put_token(s, &t, wall_now());
	store_spend_token(s, t.key);
	store_spend_token(s, t.key);
	assert_int_equal(store_flush(s, NULL), 0);
	assert_int_equal(store_token(s, t.key, &found), 1);
	assert_int_equal(found.uses_left, 0);
	store_close(s);
}

struct seen {
	size_t count;
	struct stored_verdict last;
};

static void see_verdict(void *arg, const struct stored_verdict *v)
{
	struct seen *s = arg;
	s->count++;
	s->last = *v;
	s->last.cause = NULL;
	s->last.json = NULL;
}

static void a_pair_has_one_open_verdict(void **state)
{
	(void)state;
	struct store *s = open_store();
	struct stored_verdict v = {
	    .round = 1, .a = 1, .b = 2, .state = STATE_ONE_WAY, .at = {1}, .cause = "x", .json = "{}", .open = true};
	struct seen seen = {0};
	store_put_verdict(s, &v);
	v.round = 2;
	store_put_verdict(s, &v);
	store_flush(s, NULL);
	assert_int_equal(store_open_verdicts(s, see_verdict, &seen, NULL), 0);
	assert_int_equal(seen.count, 1);
	assert_int_equal(seen.last.round, 2);
	store_close_verdict(s, 1, 2, wall_now());
	store_flush(s, NULL);
	seen.count = 0;
	assert_int_equal(store_open_verdicts(s, see_verdict, &seen, NULL), 0);
	assert_int_equal(seen.count, 0);
	store_close(s);
}

static void the_last_verdict_of_a_pair_is_found_either_way_round(void **state)
{
	(void)state;
	struct store *s = open_store();
	struct stored_verdict v = {.round = 1, .a = 1, .b = 2, .state = STATE_OK, .at = {1}, .cause = "", .json = "{}"};
	struct seen seen = {0};
	store_put_verdict(s, &v);
	v.round = 2;
	v.a = 2;
	v.b = 1;
	store_put_verdict(s, &v);
	v.round = 3;
	v.b = 3;
	store_put_verdict(s, &v);
	store_flush(s, NULL);
	assert_int_equal(store_last_verdict(s, 1, 2, see_verdict, &seen, NULL), 0);
	assert_int_equal(seen.count, 1);
	assert_int_equal(seen.last.round, 2);
	assert_int_equal(seen.last.a, 2);
	assert_int_equal(store_last_verdict(s, 3, 2, see_verdict, &seen, NULL), 0);
	assert_int_equal(seen.last.round, 3);
	assert_int_equal(store_last_verdict(s, 1, 3, see_verdict, &seen, NULL), 0);
	assert_int_equal(seen.count, 2);
	store_close(s);
}

static void see_change(void *arg, uint32_t agent, const struct fact_change *c)
{
	char *list = arg;
	assert_int_equal(agent, 3);
	strcat(list, c->key);
	if (!c->was)
		strcat(list, "!");
}

static void the_newest_changes_come_back_in_order(void **state)
{
	(void)state;
	struct store *s = open_store();
	char list[64] = "", keys[3][2] = {"a", "b", "c"};
	struct wall now = wall_now();
	for (int i = 0; i < 3; i++) {
		struct fact_change c = {.key = keys[i], .was = i == 2 ? NULL : keys[i], .now = keys[i], .at = {now.ns + i}};
		store_put_change(s, 3, &c);
	}
	store_flush(s, NULL);
	assert_int_equal(store_changes(s, 2, see_change, list, NULL), 0);
	assert_string_equal(list, "bc!");
	store_close(s);
}

static void a_newer_directory_is_refused(void **state)
{
	(void)state;
	struct err e = {0};
	store_close(open_store());
	char command[192];
	/* user_version stands in the file header, 4 bytes at offset 60 (SQLite file format, section 1.3) */
	snprintf(command, sizeof command, "printf '\\000\\000\\000\\143' | dd of=%s/store.db bs=1 seek=60 conv=notrunc status=none",
	         dir);
	assert_int_equal(system(command), 0);
	assert_null(store_open(dir, &e));
	assert_non_null(strstr(e.text, "newer version"));
	assert_non_null(strstr(e.text, "99"));
	assert_null(strchr(e.text, '\n'));
}

static void a_directory_that_is_not_there_is_one_line(void **state)
{
	(void)state;
	struct err e = {0};
	assert_null(store_open("/proc/nowhere", &e));
	assert_non_null(strstr(e.text, "/proc/nowhere"));
	assert_null(strchr(e.text, '\n'));
}

static void rubbish_instead_of_a_database_is_one_line(void **state)
{
	(void)state;
	struct err e = {0};
	char path[128];
	snprintf(path, sizeof path, "%s/store.db", dir);
	FILE *f = fopen(path, "w");
	for (int i = 0; i < 5000; i++)
		fputc('x', f);
	fclose(f);
	assert_null(store_open(dir, &e));
	assert_non_null(strstr(e.text, "store.db"));
}

/* A full disk, as the kernel shows it to us: writes beyond a size fail. */
static void a_full_disk_keeps_the_queue(void **state)
{
	(void)state;
	struct err e = {0};
	struct store *s = open_store();
	struct stored_agent a = {.id = 1, .name = "vm1", .tenant = "red", .key = {1}}, back = {0};
	struct rlimit old, tiny;
	getrlimit(RLIMIT_FSIZE, &old);
	tiny = old;
	tiny.rlim_cur = 4096;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &tiny);
	store_put_agent(s, &a, wall_now());
	int rc = store_flush(s, &e);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(rc, -1);
	assert_true(e.text[0]);
	assert_true(store_waiting(s) > 0);
	store_agents(s, count_agent, &back, NULL);
	assert_int_equal(back.id, 0);
	assert_int_equal(store_flush(s, &e), 0); /* there is room again */
	assert_int_equal(store_waiting(s), 0);
	store_agents(s, count_agent, &back, NULL);
	assert_int_equal(back.id, 1);
	store_close(s);
}

static void the_queue_is_bounded(void **state)
{
	(void)state;
	struct store *s = open_store();
	size_t taken = 0;
	while (taken <= STORE_QUEUE_MAX && store_applied(s, 1, 1, taken) == 0)
		taken++;
	assert_true(taken < STORE_QUEUE_MAX && taken > STORE_QUEUE_MAX - 16);
	assert_true(store_full(s));
	assert_int_equal(store_flush(s, NULL), 0);
	assert_false(store_full(s));
	store_close(s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(everything_survives_a_restart),
	    TEST(a_spent_token_stays_known),
	    TEST(a_pair_has_one_open_verdict),
	    TEST(the_last_verdict_of_a_pair_is_found_either_way_round),
	    TEST(the_newest_changes_come_back_in_order),
	    TEST(a_newer_directory_is_refused),
	    TEST(a_directory_that_is_not_there_is_one_line),
	    TEST(rubbish_instead_of_a_database_is_one_line),
	    TEST(a_full_disk_keeps_the_queue),
	    TEST(the_queue_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
