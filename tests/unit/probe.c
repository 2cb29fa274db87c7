#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/probe.h"

#include <string.h>

static const uint8_t key[PAIR_KEY_LEN] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
static const struct probe_header sample = {
    .kind = KIND_UDP_LARGE6,
    .answer = true,
    .wants_answer = true,
    .pair = 0xdeadbeef,
    .epoch = 77,
    .round = 0x0123456789abcdef,
    .flow = 200,
    .seq = 63,
    .dir = 1,
    .time_us = 0xcafe,
};

static void a_header_is_read_as_it_was_written(void **state)
{
	uint8_t bytes[PROBE_HEADER_LEN];
	struct probe_header h;

	(void)state;
	probe_write(&sample, key, bytes);
	assert_int_equal(probe_read(bytes, sizeof bytes, &h), 0);
	assert_true(h.kind == sample.kind && h.answer && h.wants_answer && h.pair == sample.pair && h.epoch == sample.epoch);
	assert_true(h.round == sample.round && h.flow == sample.flow && h.seq == sample.seq && h.dir == 1 && h.time_us == 0xcafe);
	assert_true(probe_proven(bytes, key));
}

static void every_byte_is_under_the_mac(void **state)
{
	uint8_t bytes[PROBE_HEADER_LEN], other[PAIR_KEY_LEN];

	(void)state;
	for (size_t i = 0; i < sizeof bytes; i++) {
		probe_write(&sample, key, bytes);
		bytes[i] ^= 0x10;
		assert_false(probe_proven(bytes, key));
	}
	probe_write(&sample, key, bytes);
	memcpy(other, key, sizeof other);
	other[15] ^= 1;
	assert_false(probe_proven(bytes, other));
}

static void what_is_out_of_range_is_no_header(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
	} bad[] = {{0, 'X'}, {1, 'X'}, {2, 9}, {3, KIND_COUNT}, {21, FLOW_PROBES_MAX}, {22, 2}};
	uint8_t bytes[PROBE_HEADER_LEN];
	struct probe_header h;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		probe_write(&sample, key, bytes);
		bytes[bad[i].at] = bad[i].value;
		assert_int_equal(probe_read(bytes, sizeof bytes, &h), -1);
	}
	probe_write(&sample, key, bytes);
	assert_int_equal(probe_read(bytes, sizeof bytes - 1, &h), -1);
	assert_int_equal(probe_read(bytes, 0, &h), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_header_is_read_as_it_was_written),
	    cmocka_unit_test(every_byte_is_under_the_mac),
	    cmocka_unit_test(what_is_out_of_range_is_no_header),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
