#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/frame.h"

#include <string.h>

static void expect(struct frame_reader *r, uint8_t type, const char *text)
{
	const void *data;
	size_t len;
	uint8_t got;

	assert_true(frame_next(r, &got, &data, &len));
	assert_int_equal(got, type);
	assert_int_equal(len, strlen(text));
	assert_memory_equal(data, text, len);
}

static void expect_none(struct frame_reader *r)
{
	const void *data;
	size_t len;
	uint8_t type;

	assert_false(frame_next(r, &type, &data, &len));
}

static void put(struct buf *b, uint8_t type, const char *text) { assert_int_equal(frame_write(b, type, text, strlen(text)), 0); }

static void a_frame_can_be_given_back(void **state)
{
	struct frame_reader r = {0};
	struct buf b = {0};
	const void *data;
	size_t len;
	uint8_t type;

	(void)state;
	put(&b, FRAME_DATA, "first");
	put(&b, FRAME_DATA, "second");
	frame_feed(&r, b.data, b.len);
	for (int i = 0; i < 3; i++) {
		expect(&r, FRAME_DATA, "first");
		frame_return(&r, 5);
		frame_feed(&r, "", 0); /* more may come in between */
	}
	expect(&r, FRAME_DATA, "first");
	assert_true(frame_next(&r, &type, &data, &len));
	assert_int_equal(len, 6);
	assert_int_equal(r.frames, 2);
	frame_reader_free(&r);
	buf_free(&b);
}

static void frames_arrive_whatever_the_pieces(void **state)
{
	struct buf b = {0};

	(void)state;
	put(&b, FRAME_DATA, "hello");
	put(&b, FRAME_PING, "");
	put(&b, FRAME_DATA, "world");
	for (size_t step = 1; step <= b.len; step++) {
		struct frame_reader r = {0};
		const void *data;
		size_t len, total = 0;
		uint8_t type;

		for (size_t at = 0; at < b.len; at += step) {
			frame_feed(&r, b.data + at, b.len - at < step ? b.len - at : step);
			while (frame_next(&r, &type, &data, &len))
				total += len;
		}
		assert_int_equal(r.frames, 3);
		assert_int_equal(total, 10);
		assert_int_equal(r.skipped_bytes + r.bad_frames, 0);
		frame_reader_free(&r);
	}
	buf_free(&b);
}

static void garbage_before_between_and_in_frames_is_skipped(void **state)
{
	struct frame_reader r = {0};
	struct buf b = {0};

	(void)state;
	buf_puts(&b, "boot: loading\xb7 kernel \xb7"
	             "BW\x02");
	put(&b, FRAME_DATA, "one");
	buf_puts(&b, "login: ");
	put(&b, FRAME_DATA, "two");
	frame_feed(&r, b.data, b.len);
	expect(&r, FRAME_DATA, "one");
	expect(&r, FRAME_DATA, "two");
	expect_none(&r);
	assert_true(r.skipped_bytes > 20);
	frame_reader_free(&r);
	buf_free(&b);
}

static void a_broken_frame_costs_only_itself(void **state)
{
	struct frame_reader r = {0};
	struct buf b = {0};
	size_t second;

	(void)state;
	put(&b, FRAME_DATA, "one");
	second = b.len;
	put(&b, FRAME_DATA, "two");
	put(&b, FRAME_DATA, "three");
	b.data[second + FRAME_HEADER_LEN] ^= 1;
	frame_feed(&r, b.data, b.len);
	expect(&r, FRAME_DATA, "one");
	expect(&r, FRAME_DATA, "three");
	assert_int_equal(r.bad_frames, 1);
	frame_reader_free(&r);
	buf_free(&b);
}

static void a_stream_that_broke_off_is_resumed(void **state)
{
	struct frame_reader r = {0};
	struct buf b = {0};

	(void)state;
	put(&b, FRAME_DATA, "a frame that its writer did not finish because it died");
	b.len = 20;
	put(&b, FRAME_RESET, "");
	frame_feed(&r, b.data, b.len);
	expect_none(&r); /* its length says there is more to come */
	assert_true(frame_partial(&r));
	frame_resync(&r);
	expect(&r, FRAME_RESET, "");
	assert_false(frame_partial(&r));
	frame_reader_free(&r);
	buf_free(&b);
}

static void a_length_beyond_the_limit_is_not_waited_for(void **state)
{
	static char big[RELAY_BYTES_MAX + 1];
	struct frame_reader r = {0};
	struct buf b = {0};

	(void)state;
	assert_int_equal(frame_write(&b, FRAME_DATA, big, sizeof big), -1);
	assert_int_equal(frame_write(&b, FRAME_DATA, big, sizeof big - 1), 0);
	b.data[7] = 1; /* one too long */
	put(&b, FRAME_DATA, "next");
	frame_feed(&r, b.data, b.len);
	expect(&r, FRAME_DATA, "next");
	assert_int_equal(r.bad_frames, 1);
	frame_reader_free(&r);
	buf_free(&b);
}

/* Each of these beginnings claims a long frame; checking every claim would cost seconds. */
static void false_beginnings_cannot_burn_the_processor(void **state)
{
	static const uint8_t head[FRAME_HEADER_LEN] = {0xb7, 'B', 'W', 1, 1, 0, 0xff, 0xff};
	struct frame_reader r = {0};
	const void *data;
	size_t len;
	uint8_t type;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		frame_feed(&r, head, sizeof head);
		while (frame_next(&r, &type, &data, &len))
			;
		assert_true(r.in.len - r.at <= RELAY_BYTES_MAX + FRAME_HEADER_LEN);
	}
	assert_int_equal(r.frames, 0);
	assert_true(r.bad_frames < 400);
	frame_reader_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_frame_can_be_given_back),
	    cmocka_unit_test(frames_arrive_whatever_the_pieces),
	    cmocka_unit_test(garbage_before_between_and_in_frames_is_skipped),
	    cmocka_unit_test(a_broken_frame_costs_only_itself),
	    cmocka_unit_test(a_stream_that_broke_off_is_resumed),
	    cmocka_unit_test(a_length_beyond_the_limit_is_not_waited_for),
	    cmocka_unit_test(false_beginnings_cannot_burn_the_processor),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
