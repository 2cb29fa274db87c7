/* fitness: what is remembered of an observer for a minute, and what it is called. */
#include "collector/fitness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct mono at(int64_t seconds) { return (struct mono){(1000 + seconds) * 1000000000}; }

static void the_worst_of_a_minute_is_kept_and_then_forgotten(void **state)
{
	struct fitness f = {0};
	(void)state;
	assert_int_equal(fitness_judge(&(struct health){.steal_permille = -1}), FIT);
	for (int s = 0; s < 200; s++) {
		struct health h = {.lag_us = s == 10 ? 900000 : 500, .socket_drops = s == 12, .steal_permille = s == 11 ? 450 : 20};
		h.rejected = (uint32_t)s;
		fitness_hear(&f, &h, at(s));
		struct health m = fitness_minute(&f, at(s));
		assert_int_equal(m.lag_us, s >= 10 && s < 60 ? 900000 : 500);
		assert_int_equal(m.socket_drops, s >= 12 && s < 60);
		assert_int_equal(m.steal_permille, s >= 11 && s < 60 ? 450 : 20);
		assert_int_equal(m.rejected, s);
	}
	assert_int_equal(fitness_minute(&f, at(235)).rejected, 199); /* silent for a while */
	assert_int_equal(fitness_minute(&f, at(400)).lag_us, 0);
	assert_int_equal(fitness_minute(&f, at(400)).steal_permille, -1);
}

static void a_step_of_either_sign_is_seen(void **state)
{
	struct fitness f = {0};
	(void)state;
	fitness_hear(&f, &(struct health){.clock_step_us = -7000000}, at(0));
	fitness_hear(&f, &(struct health){.clock_step_us = 3000000}, at(1));
	assert_int_equal(fitness_minute(&f, at(2)).clock_step_us, -7000000);
}

static void words(void **state)
{
	(void)state;
	static const struct {
		struct health health;
		const char *name;
	} rows[] = {
	    {{.lag_us = 100000, .steal_permille = 200, .clock_step_us = 50}, "fit"},
	    {{.socket_drops = 1}, "losing"},
	    {{.clock_step_us = -200000, .socket_drops = 1}, "clock-stepped"},
	    {{.lag_us = 200000}, "starved"},
	    {{.steal_permille = 400}, "starved"},
	    {{.lag_us = 10000000, .clock_step_us = 200000}, "paused"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		assert_string_equal(fit_name(fitness_judge(&rows[i].health)), rows[i].name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_worst_of_a_minute_is_kept_and_then_forgotten),
	    cmocka_unit_test(a_step_of_either_sign_is_seen),
	    cmocka_unit_test(words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
