/* Feedback: what a fleet says moves priors within their bounds, in any order, back again, and never against the evidence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "collector/bundle.h"
#include "collector/feedback.h"
#include "collector/judge.h"
#include "collector/records.h"
#include "tests/unit/case_world.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/bothways-feedback-XXXXXX";

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	static const char *const names[] = {"store.db", "store.db-wal", "store.db-shm"};
	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char *path = mem_printf("%s/%s", dir, names[i]);
		unlink(path);
		free(path);
	}
	return rmdir(dir);
}

static struct store *store_fresh(void)
{
	struct err e;
	remove_dir(NULL);
	assert_int_equal(mkdir(dir, 0700), 0);
	struct store *s = store_open(dir, &e);
	if (!s)
		fail_msg("%s", e.text);
	return s;
}

static void say(struct store *s, uint64_t round, const char *said, bool right, const char *real)
{
	struct stored_feedback f = {.at = {1}, .round = round, .right = right};
	str_copy(f.said, sizeof f.said, said);
	str_copy(f.real, sizeof f.real, real);
	assert_int_equal(store_put_feedback(s, &f), 0);
	assert_int_equal(store_flush(s, NULL), 0);
}

static int32_t shift_of(const struct feedback *f, const char *cause)
{
	const struct shift *list;
	size_t n = feedback_shifts(f, &list);
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i].cause, cause) == 0)
			return list[i].milli;
	return 0;
}

static void test_each_further_one_moves_less(void **state)
{
	(void)state;
	assert_int_equal(feedback_shift(0), 0);
	assert_int_equal(feedback_shift(1), 250);
	assert_int_equal(feedback_shift(-1), -250);
	for (int n = 1; n < 2000; n++) {
		assert_true(feedback_shift(n) >= feedback_shift(n - 1));
		assert_true(feedback_shift(n) - feedback_shift(n - 1) <= 250);
		assert_true(feedback_shift(n) <= 1000 * CATALOGUE_SHIFT_MAX);
		assert_int_equal(feedback_shift(-n), -feedback_shift(n));
	}
}

static void test_said_stored_and_taken_back(void **state)
{
	struct store *s = store_fresh();
	struct catalogue *c = catalogue_shipped();
	struct feedback *f = feedback_new();
	(void)state;
	say(s, 1, "guest-no-ip", true, "");
	say(s, 2, "guest-no-ip", true, "");
	say(s, 3, "arp-not-answered", false, "stale-arp-host");
	store_close(s);
	s = store_open(dir, NULL);
	assert_int_equal(feedback_load(f, s, c, NULL), 0);
	assert_int_equal(feedback_count(f), 3);
	assert_int_equal(shift_of(f, "guest-no-ip"), feedback_shift(2));
	assert_int_equal(shift_of(f, "arp-not-answered"), -250);
	assert_int_equal(shift_of(f, "stale-arp-host"), 250);
	assert_int_equal(store_undo_feedback(s, feedback_at(f, 0)->number, (struct wall){2}), 0);
	assert_int_equal(store_flush(s, NULL), 0);
	assert_int_equal(feedback_load(f, s, c, NULL), 0);
	assert_true(feedback_at(f, 0)->undone);
	assert_int_equal(feedback_count(f), 3);
	assert_int_equal(shift_of(f, "guest-no-ip"), 250);
	feedback_free(f);
	catalogue_free(c);
	store_close(s);
}

/* ---- against the evidence ---- */

#define REPLAYS "tests/replays"

/* Everybody is sure that it was anything but what is found. */
static void shift_against(struct catalogue *c, const char *found)
{
	struct catalogue_entry e;
	for (size_t i = 0; catalogue_get(c, i, &e); i++)
		catalogue_shift(c, e.id, strcmp(e.id, found) == 0 ? -CATALOGUE_SHIFT_MAX : CATALOGUE_SHIFT_MAX);
}

static bool is_ruled_out(const struct verdict *v, const char *cause)
{
	for (size_t i = 0; i < v->ruled_out_count; i++)
		if (strcmp(v->ruled_out[i].id, cause) == 0)
			return true;
	return false;
}

/* What is found may become too unlikely to be told, and what fits as well may come before it: never what is ruled out. Nor does it
 * change what was measured. */
static void check_unmoved(const char *name, const struct dossier *d)
{
	struct catalogue *c = catalogue_shipped();
	struct verdict *was = judge(c, d, 1, (struct wall){1});
	shift_against(c, was->cause_count ? was->causes[0].id : "");
	struct verdict *is = judge(c, d, 1, (struct wall){1});
	assert_int_equal(is->state, was->state);
	assert_true(was->cause_count || !is->cause_count);
	for (size_t i = 0; i < is->cause_count; i++)
		if (is_ruled_out(was, is->causes[i].id))
			fail_msg("%s: %s is named although it is ruled out", name, is->causes[i].id);
	verdict_free(was);
	verdict_free(is);
	catalogue_free(c);
}

static void test_feedback_wins_against_no_evidence(void **state)
{
	struct dirent **names;
	int n = scandir(REPLAYS, &names, NULL, alphasort), looked = 0;
	(void)state;
	for (int i = 0; i < n; i++) {
		char *path = mem_printf(REPLAYS "/%s", names[i]->d_name);
		struct bundle *b = names[i]->d_name[0] == '.' ? NULL : bundle_open(path, NULL);
		if (b) {
			looked++;
			check_unmoved(names[i]->d_name, &b->record->dossier);
		}
		bundle_free(b);
		free(path);
		free(names[i]);
	}
	free(names);
	assert_true(looked >= 20);
}

/* A disk that takes nothing costs no more memory than this. */
static void test_waiting_records_are_bounded(void **state)
{
	struct store *s = store_fresh();
	size_t len = 1 << 20, taken = 0;
	char *data = mem_alloc(len);
	(void)state;
	for (uint64_t i = 1; i < 40; i++)
		taken += store_put_record(s, &(struct stored_record){i, 1, 2, {1}, len, data}) == 0;
	assert_int_equal(taken, STORE_RECORDS_WAITING / len);
	assert_int_equal(store_flush(s, NULL), 0);
	assert_int_equal(store_put_record(s, &(struct stored_record){50, 1, 2, {2}, len, data}), 0);
	assert_int_equal(store_put_record(s, &(struct stored_record){51, 1, 2, {2}, STORE_RECORD_BYTES_MAX + 1, data}), -1);
	free(data);
	store_close(s);
}

/* ---- records: what is kept, and what goes first ---- */

static void keep(struct records *r, struct store *s, struct world *w, uint64_t round, uint32_t a, bool problem)
{
	struct record *record = mem_alloc(sizeof *record);
	*record = (struct record){.format = RECORD_FORMAT, .at = {(int64_t)round}, .dossier = *w->d};
	record->dossier.round = round;
	records_keep(r, record, a, a + 1, problem);
	assert_int_equal(store_flush(s, NULL), 0);
	free(record);
}

static bool is_kept(struct records *r, uint64_t round)
{
	struct err e;
	struct record *record = records_get(r, round, &e);
	bool kept = record != NULL;
	if (record)
		assert_int_equal(record->dossier.round, round);
	record_free(record);
	return kept;
}

static void test_records_stay_within_bounds(void **state)
{
	struct store *s = store_fresh();
	struct records *r = records_new(s);
	struct world *w = world_new("g1", "g2");
	(void)state;
	for (uint64_t i = 1; i <= RECORDS_MEMORY_MAX + 10; i++)
		keep(r, s, w, i, 5, i % 2);
	assert_true(is_kept(r, RECORDS_MEMORY_MAX + 10));
	assert_false(is_kept(r, 2)); /* healthy: only in memory, and too old for that */
	records_free(r);
	r = records_new(s); /* after a restart */
	assert_true(is_kept(r, RECORDS_MEMORY_MAX + 9));
	assert_false(is_kept(r, RECORDS_MEMORY_MAX + 10)); /* healthy */
	assert_false(is_kept(r, 1));                       /* too many of one pair */
	records_free(r);
	world_free(w);
	store_close(s);
}

static void test_open_problems_stay_longest(void **state)
{
	struct store *s = store_fresh();
	struct stored_verdict v = {
	    .round = 1, .a = 7, .b = 8, .state = STATE_ONE_WAY, .at = {1}, .cause = "x", .json = "{}", .open = true};
	(void)state;
	assert_int_equal(store_put_verdict(s, &v), 0);
	for (uint64_t i = 1; i <= STORE_RECORDS_MAX + 5; i++)
		assert_int_equal(
		    store_put_record(
		        s, &(struct stored_record){i, i == 1 ? 7 : (uint32_t)i + 100, i == 1 ? 8 : 9, {(int64_t)i}, 4, "data"}),
		    0);
	assert_int_equal(store_flush(s, NULL), 0);
	struct records *r = records_new(s);
	struct err e;
	assert_null(records_get(r, 2, &e)); /* the oldest */
	assert_non_null(strstr(e.text, "not kept any more"));
	assert_null(records_get(r, 1, &e)); /* older, but open: there, though these bytes are none of a record */
	assert_non_null(strstr(e.text, "damaged"));
	records_free(r);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_each_further_one_moves_less),       cmocka_unit_test(test_said_stored_and_taken_back),
	    cmocka_unit_test(test_feedback_wins_against_no_evidence), cmocka_unit_test(test_records_stay_within_bounds),
	    cmocka_unit_test(test_open_problems_stay_longest),        cmocka_unit_test(test_waiting_records_are_bounded),
	};
	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
