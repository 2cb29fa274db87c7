/* Reports that wait on disk for the next start: nothing of them gets lost, mixed up or counted under another number, and a file
 * that was damaged hurts nobody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/agent.h"
#include "agent/backlog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64], path[80];

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/bothways-backlog-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/spool", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(dir);
}

static struct spool *filled(uint64_t first, const char *texts)
{
	struct spool *s = spool_new(SPOOL_BYTES_MAX);

	spool_begin(s, first);
	for (; *texts; texts++)
		spool_put(s, texts, 1);
	return s;
}

static void save(struct backlog *b, uint64_t boot, struct spool *s)
{
	assert_int_equal(backlog_save(b, dir, boot, s, NULL), 0);
	spool_free(s);
	backlog_free(b);
}

static void expect_front(struct backlog *b, uint64_t boot, uint64_t first, const char *texts)
{
	uint64_t got, number = 0;
	struct spool *s = backlog_front(b, &got);
	size_t len;

	assert_non_null(s);
	assert_int_equal(got, boot);
	assert_int_equal(spool_oldest(s), first);
	for (; *texts; texts++)
		assert_memory_equal(spool_after(s, number, &number, &len), texts, 1);
	assert_null(spool_after(s, number, &number, &len));
	spool_ack(s, number);
}

static void what_was_kept_comes_back_once_in_order(void **state)
{
	struct backlog *b;
	uint64_t boot;

	(void)state;
	save(backlog_load(dir), 7, filled(40, "abc"));
	b = backlog_load(dir);
	assert_int_equal(access(path, F_OK), -1);
	save(b, 8, filled(1, "xy")); /* stopped again before it was delivered */
	b = backlog_load(dir);
	expect_front(b, 7, 40, "abc");
	expect_front(b, 8, 1, "xy");
	assert_null(backlog_front(b, &boot));
	save(b, 9, filled(5, "")); /* nothing left: no file */
	assert_int_equal(access(path, F_OK), -1);

	char aside[96];
	snprintf(aside, sizeof aside, "%s.new", path);
	fclose(fopen(aside, "w")); /* killed while it wrote */
	backlog_free(backlog_load(dir));
	assert_int_equal(access(aside, F_OK), -1);
}

static void it_is_bounded(void **state)
{
	static char big[300 * 1024];
	struct backlog *b;
	struct stat st;
	uint64_t boot;
	int runs = 0;

	(void)state;
	for (uint64_t i = 1; i <= 20; i++) {
		struct spool *s = spool_new(SPOOL_BYTES_MAX);

		spool_put(s, big, i % 2 ? sizeof big : 1);
		save(backlog_load(dir), i, s);
	}
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size <= SPOOL_BYTES_MAX + 1024);
	assert_int_equal(st.st_mode & 0777, 0600);
	for (b = backlog_load(dir); backlog_front(b, &boot); backlog_drop(b))
		runs++;
	assert_in_range(runs, 5, BACKLOG_RUNS_MAX);
	backlog_free(b);
}

static void a_damaged_file_is_read_as_far_as_it_goes(void **state)
{
	char whole[256];
	size_t len;
	FILE *f;

	(void)state;
	save(backlog_load(dir), 7, filled(40, "abc"));
	f = fopen(path, "r");
	len = fread(whole, 1, sizeof whole, f);
	fclose(f);
	for (size_t cut = 0; cut < len; cut++) {
		for (int wrong = 0; wrong < 2; wrong++) {
			struct backlog *b;
			uint64_t boot;

			f = fopen(path, "w");
			fwrite(whole, 1, wrong ? len : cut, f);
			if (wrong && fseek(f, (long)cut, SEEK_SET) == 0)
				fputc(whole[cut] ^ 0xff, f);
			fclose(f);
			b = backlog_load(dir);
			while (backlog_front(b, &boot))
				backlog_drop(b);
			backlog_free(b);
			assert_int_equal(access(path, F_OK), -1);
		}
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(what_was_kept_comes_back_once_in_order),
	    TEST(it_is_bounded),
	    TEST(a_damaged_file_is_read_as_far_as_it_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
