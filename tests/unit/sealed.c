#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/sealed.h"

#include <stdlib.h>
#include <string.h>

#define WIRE_MAX 64

/* Payloads on their way; the relay in between may do what it likes with them. */
struct wire {
	struct buf payloads[WIRE_MAX];
	size_t count;
};

static void wire_put(void *arg, const void *payload, size_t len)
{
	struct wire *w = arg;

	assert_true(w->count < WIRE_MAX);
	assert_true(len <= RELAY_BYTES_MAX);
	buf_add(&w->payloads[w->count++], payload, len);
}

static void wire_clear(struct wire *w)
{
	for (size_t i = 0; i < w->count; i++)
		buf_free(&w->payloads[i]);
	w->count = 0;
}

struct pair {
	struct keypair guest_key, collector_key;
	struct sealed guest, collector;
	struct wire up, down;
	struct buf message;
};

static int setup(void **state)
{
	struct pair *p = mem_alloc(sizeof *p);

	keys_init();
	keypair_make(&p->guest_key);
	keypair_make(&p->collector_key);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct pair *p = *state;

	sealed_clear(&p->guest);
	sealed_clear(&p->collector);
	wire_clear(&p->up);
	wire_clear(&p->down);
	buf_free(&p->message);
	free(p);
	return 0;
}

static void pair_open(struct pair *p)
{
	uint8_t key[KEY_LEN];

	sealed_start(&p->guest, &p->guest_key, p->collector_key.pub, wire_put, &p->up);
	assert_true(sealed_peer(p->up.payloads[0].data, p->up.payloads[0].len, key));
	assert_memory_equal(key, p->guest_key.pub, KEY_LEN);
	assert_true(
	    sealed_accept(&p->collector, &p->collector_key, p->up.payloads[0].data, p->up.payloads[0].len, wire_put, &p->down));
	assert_false(p->guest.ready);
	assert_int_equal(sealed_read(&p->guest, p->down.payloads[0].data, p->down.payloads[0].len, &p->message), SEALED_READY);
	assert_true(p->guest.ready && p->collector.ready);
	wire_clear(&p->up);
	wire_clear(&p->down);
}

static enum sealed_event take(struct pair *p, size_t i)
{
	return sealed_read(&p->collector, p->up.payloads[i].data, p->up.payloads[i].len, &p->message);
}

static void messages_go_both_ways(void **state)
{
	struct pair *p = *state;

	assert_int_equal(sealed_write(&p->guest, "x", 1, wire_put, &p->up), -1); /* not before the welcome */
	pair_open(p);
	assert_false(p->collector.proven);
	assert_int_equal(sealed_write(&p->guest, "hello", 5, wire_put, &p->up), 0);
	assert_int_equal(take(p, 0), SEALED_MESSAGE);
	assert_string_equal(p->message.data, "hello");
	assert_true(p->collector.proven);
	assert_int_equal(sealed_write(&p->collector, "", 0, wire_put, &p->down), 0);
	assert_int_equal(sealed_read(&p->guest, p->down.payloads[0].data, p->down.payloads[0].len, &p->message), SEALED_MESSAGE);
	assert_int_equal(p->message.len, 0);
}

static void a_large_message_travels_in_parts(void **state)
{
	struct pair *p = *state;
	char *big = mem_array(MSG_BYTES_MAX + 1, 1);

	for (size_t i = 0; i < MSG_BYTES_MAX; i++)
		big[i] = (char)(i * 31 >> 3);
	pair_open(p);
	assert_int_equal(sealed_write(&p->guest, big, MSG_BYTES_MAX + 1, wire_put, &p->up), -1);
	assert_int_equal(sealed_write(&p->guest, big, MSG_BYTES_MAX, wire_put, &p->up), 0);
	assert_int_equal(p->up.count, 32);
	for (size_t i = 0; i + 1 < p->up.count; i++)
		assert_int_equal(take(p, i), SEALED_NOTHING);
	assert_int_equal(take(p, p->up.count - 1), SEALED_MESSAGE);
	assert_int_equal(p->message.len, MSG_BYTES_MAX);
	assert_memory_equal(p->message.data, big, MSG_BYTES_MAX);
	free(big);
}

static void a_lost_part_costs_its_message_only(void **state)
{
	static char big[100000];
	struct pair *p = *state;

	pair_open(p);
	sealed_write(&p->guest, big, sizeof big, wire_put, &p->up);
	sealed_write(&p->guest, "next", 4, wire_put, &p->up);
	assert_int_equal(p->up.count, 5);
	for (size_t i = 0; i < 4; i++)
		if (i != 1)
			assert_int_equal(take(p, i), SEALED_NOTHING);
	assert_int_equal(take(p, 4), SEALED_MESSAGE);
	assert_string_equal(p->message.data, "next");
}

static void replayed_and_forged_payloads_are_dropped(void **state)
{
	struct pair *p = *state;

	pair_open(p);
	sealed_write(&p->guest, "report", 6, wire_put, &p->up);
	assert_int_equal(take(p, 0), SEALED_MESSAGE);
	assert_int_equal(take(p, 0), SEALED_NOTHING);
	sealed_write(&p->guest, "report", 6, wire_put, &p->up);
	p->up.payloads[1].data[40] ^= 1;
	assert_int_equal(take(p, 1), SEALED_NOTHING);
	p->up.payloads[1].data[40] ^= 1;
	p->up.payloads[1].data[0] = 'W';
	assert_int_equal(take(p, 1), SEALED_NOTHING);
	assert_int_equal(sealed_read(&p->collector, "", 0, &p->message), SEALED_NOTHING);
	assert_int_equal(sealed_read(&p->collector, "R", 1, &p->message), SEALED_NOTHING);
	assert_int_equal(p->collector.bad, 5);
}

static void a_recorded_session_cannot_be_played_again(void **state)
{
	struct pair *p = *state;
	struct sealed later = {0};
	struct wire record = {0}, sink = {0};

	sealed_start(&p->guest, &p->guest_key, p->collector_key.pub, wire_put, &record);
	sealed_accept(&p->collector, &p->collector_key, record.payloads[0].data, record.payloads[0].len, wire_put, &p->down);
	sealed_read(&p->guest, p->down.payloads[0].data, p->down.payloads[0].len, &p->message);
	sealed_write(&p->guest, "all is well", 11, wire_put, &record);
	/* the opening is answered again, but under a session the recording does not know */
	assert_true(sealed_accept(&later, &p->collector_key, record.payloads[0].data, record.payloads[0].len, wire_put, &sink));
	assert_int_equal(sealed_read(&later, record.payloads[1].data, record.payloads[1].len, &p->message), SEALED_NOTHING);
	assert_false(later.proven);
	/* nor can the old welcome be given to a guest that starts anew */
	sealed_start(&p->guest, &p->guest_key, p->collector_key.pub, wire_put, &sink);
	assert_int_equal(sealed_read(&p->guest, p->down.payloads[0].data, p->down.payloads[0].len, &p->message), SEALED_NOTHING);
	assert_false(p->guest.ready);
	sealed_clear(&later);
	wire_clear(&record);
	wire_clear(&sink);
}

static void an_opening_with_another_key_is_not_accepted(void **state)
{
	struct pair *p = *state;
	struct keypair other;

	keypair_make(&other);
	sealed_start(&p->guest, &p->guest_key, other.pub, wire_put, &p->up); /* meant for another collector */
	assert_false(
	    sealed_accept(&p->collector, &p->collector_key, p->up.payloads[0].data, p->up.payloads[0].len, wire_put, &p->down));
	sealed_start(&p->guest, &p->guest_key, p->collector_key.pub, wire_put, &p->up);
	memcpy(p->up.payloads[1].data + 1, other.pub, KEY_LEN); /* claims to be somebody else */
	assert_false(
	    sealed_accept(&p->collector, &p->collector_key, p->up.payloads[1].data, p->up.payloads[1].len, wire_put, &p->down));
	assert_int_equal(p->down.count, 0);
}

static void the_collector_may_ask_to_start_again(void **state)
{
	struct pair *p = *state;

	pair_open(p);
	sealed_reset(wire_put, &p->down);
	sealed_refuse(wire_put, &p->down);
	assert_int_equal(sealed_read(&p->guest, p->down.payloads[0].data, p->down.payloads[0].len, &p->message), SEALED_RESET);
	assert_int_equal(sealed_read(&p->guest, p->down.payloads[1].data, p->down.payloads[1].len, &p->message), SEALED_REFUSED);
	wire_clear(&p->down);
	pair_open(p);
	assert_int_equal(sealed_write(&p->guest, "again", 5, wire_put, &p->up), 0);
	assert_int_equal(take(p, 0), SEALED_MESSAGE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(messages_go_both_ways),
	    TEST(a_large_message_travels_in_parts),
	    TEST(a_lost_part_costs_its_message_only),
	    TEST(replayed_and_forged_payloads_are_dropped),
	    TEST(a_recorded_session_cannot_be_played_again),
	    TEST(an_opening_with_another_key_is_not_accepted),
	    TEST(the_collector_may_ask_to_start_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
