#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/spool.h"

#include <string.h>

static void put(struct spool *s, const char *text) { spool_put(s, text, strlen(text)); }

static void expect_after(const struct spool *s, uint64_t number, uint64_t found_want, const char *text)
{
	uint64_t found = 0;
	size_t len = 0;
	const void *data = spool_after(s, number, &found, &len);

	assert_non_null(data);
	assert_int_equal(found, found_want);
	assert_int_equal(len, strlen(text));
	assert_memory_equal(data, text, len);
}

static void expect_none_after(const struct spool *s, uint64_t number)
{
	uint64_t found;
	size_t len;

	assert_null(spool_after(s, number, &found, &len));
}

static void reports_stay_until_acknowledged(void **state)
{
	struct spool *s = spool_new(1000);

	(void)state;
	assert_int_equal(spool_next_number(s), 1);
	assert_int_equal(spool_oldest(s), 1);
	expect_none_after(s, 0);
	put(s, "one");
	put(s, "two");
	put(s, "three");
	expect_after(s, 0, 1, "one");
	expect_after(s, 1, 2, "two");
	spool_ack(s, 2);
	assert_int_equal(spool_oldest(s), 3);
	expect_after(s, 0, 3, "three");
	expect_none_after(s, 3);
	expect_none_after(s, UINT64_MAX);
	spool_ack(s, 99);
	assert_int_equal(spool_bytes(s), 0);
	assert_int_equal(spool_oldest(s), 4);
	assert_int_equal(spool_next_number(s), 4);
	spool_free(s);
}

static void a_full_spool_gives_up_the_oldest_and_counts(void **state)
{
	struct spool *s = spool_new(10);

	(void)state;
	put(s, "aaaa");
	put(s, "bbbb");
	put(s, "cccc");
	assert_int_equal(spool_dropped(s), 1);
	assert_int_equal(spool_bytes(s), 8);
	expect_after(s, 0, 2, "bbbb");
	put(s, "0123456789");
	assert_int_equal(spool_dropped(s), 3);
	expect_after(s, 0, 4, "0123456789");
	put(s, "0123456789x"); /* never fits */
	assert_int_equal(spool_dropped(s), 5);
	expect_none_after(s, 0);
	assert_int_equal(spool_oldest(s), 6);
	put(s, "next");
	expect_after(s, 0, 6, "next");
	spool_free(s);
}

static void numbers_hold_over_many_rounds_of_the_ring(void **state)
{
	struct spool *s = spool_new(100);

	(void)state;
	for (uint64_t i = 1; i <= 1000; i++) {
		put(s, "0123456789");
		if (i % 7 == 0)
			spool_ack(s, i - 3);
		assert_true(spool_bytes(s) <= 100);
		assert_int_equal(spool_next_number(s), i + 1);
	}
	expect_after(s, 0, spool_oldest(s), "0123456789");
	spool_free(s);
	spool_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(reports_stay_until_acknowledged),
	    cmocka_unit_test(a_full_spool_gives_up_the_oldest_and_counts),
	    cmocka_unit_test(numbers_hold_over_many_rounds_of_the_ring),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
