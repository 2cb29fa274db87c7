/* crew: how many rounds one machine is given at once. */
#include "collector/crew.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct crew crew_of(uint32_t a, uint32_t b, bool automatic)
{
	struct crew c = {.automatic = automatic};

	crew_add(&c, a);
	crew_add(&c, b);
	return c;
}

/* `count` rounds between 1 and others run; is there room for one of 1 (or of somebody else)? */
static bool room(size_t count, bool automatic, struct crew wanted)
{
	struct crew_load l = {.wanted = &wanted};

	for (size_t i = 0; i < count; i++) {
		struct crew c = crew_of(1, 100 + (uint32_t)i, automatic);
		crew_load_add(&l, &c);
	}
	return crew_has_room(&l);
}

static void automatic_rounds_of_one_machine_wait_for_each_other(void **state)
{
	(void)state;
	assert_true(room(CREW_AUTOMATIC_MAX - 1, true, crew_of(1, 50, true)));
	assert_false(room(CREW_AUTOMATIC_MAX, true, crew_of(1, 50, true)));
	assert_false(room(CREW_AUTOMATIC_MAX, true, crew_of(50, 1, true)));
}

static void others_go_on(void **state)
{
	(void)state;
	assert_true(room(CREW_AUTOMATIC_MAX, true, crew_of(50, 51, true)));
	assert_true(room(CREW_AUTOMATIC_MAX, true, crew_of(1, 50, false)));
	assert_true(room(CREW_AUTOMATIC_MAX, false, crew_of(1, 50, true)));
}

static void people_wait_before_an_agent_refuses(void **state)
{
	(void)state;
	assert_true(room(CREW_ROUNDS_MAX - 1, false, crew_of(1, 50, false)));
	assert_false(room(CREW_ROUNDS_MAX, false, crew_of(1, 50, false)));
}

static void a_host_that_is_an_end_counts_once(void **state)
{
	struct crew wanted = crew_of(1, 50, true);
	struct crew_load l = {.wanted = &wanted};
	struct crew guest = crew_of(7, 1, true);

	(void)state;
	crew_add(&guest, 1);
	assert_int_equal(guest.count, 2);
	crew_load_add(&l, &guest);
	assert_int_equal(l.automatic[0], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(automatic_rounds_of_one_machine_wait_for_each_other),
	    cmocka_unit_test(others_go_on),
	    cmocka_unit_test(people_wait_before_an_agent_refuses),
	    cmocka_unit_test(a_host_that_is_an_end_counts_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
