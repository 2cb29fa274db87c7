#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/loop.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

struct seen {
	struct loop *loop;
	struct loop_source *source, *other;
	int count, other_count;
	int fd;
};

static void stop_after_three(void *arg)
{
	struct seen *s = arg;

	if (++s->count == 3)
		loop_stop(s->loop, 42);
}

static void a_periodic_timer_keeps_its_pace(void **state)
{
	struct seen s = {.loop = loop_new()};
	struct mono began = mono_now();
	int64_t took;

	(void)state;
	s.source = loop_every_ms(s.loop, 20, stop_after_three, &s);
	assert_int_equal(loop_run(s.loop), 42);
	took = mono_ms_since(began, mono_now());
	assert_true(took >= 39);
	loop_free(s.loop);
}

static void nap(void *arg)
{
	struct seen *s = arg;

	usleep(50000);
	if (++s->count == 2)
		loop_stop(s->loop, 0);
}

static void lag_is_noticed_and_taken_once(void **state)
{
	struct seen s = {.loop = loop_new()};

	(void)state;
	loop_every_ms(s.loop, 10, nap, &s);
	loop_run(s.loop);
	assert_true(loop_take_lag_us(s.loop) >= 30000);
	assert_int_equal(loop_take_lag_us(s.loop), 0);
	loop_free(s.loop);
}

/* Asked before its timers have had their turn. */
static void lag_is_noticed_before_the_timer_fires(void **state)
{
	struct seen s = {.loop = loop_new()};

	(void)state;
	loop_every_ms(s.loop, 10, nap, &s);
	usleep(60000);
	assert_true(loop_take_lag_us(s.loop) >= 40000);
	assert_true(loop_take_lag_us(s.loop) < 40000);
	loop_free(s.loop);
}

static void remove_self(void *arg)
{
	struct seen *s = arg;

	s->count++;
	loop_remove(s->source);
	loop_remove(s->other);
	s->source = s->other = NULL;
}

static void count_other(void *arg) { ((struct seen *)arg)->other_count++; }

static void stop(void *arg) { loop_stop(arg, 0); }

static void a_source_may_remove_itself_and_others(void **state)
{
	struct seen s = {.loop = loop_new()};
	struct loop_source *end = loop_timer(s.loop, stop, s.loop);

	(void)state;
	s.source = loop_every_ms(s.loop, 1, remove_self, &s);
	s.other = loop_timer(s.loop, count_other, &s);
	loop_wake(s.source);
	loop_wake(s.other);
	loop_timer_arm(end, 20000);
	loop_run(s.loop);
	assert_int_equal(s.count, 1);
	assert_int_equal(s.other_count, 0);
	loop_remove(NULL);
	loop_free(s.loop);
}

static void fd_seen(void *arg, int fd, int what)
{
	struct seen *s = arg;
	char byte;

	assert_int_equal(what, LOOP_READ);
	assert_int_equal(read(fd, &byte, 1), 1);
	if (++s->count == 1)
		loop_fd_want(s->source, 0);
}

static void a_descriptor_is_watched_while_wanted(void **state)
{
	struct seen s = {.loop = loop_new()};
	struct loop_source *end = loop_timer(s.loop, stop, s.loop);
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	s.source = loop_fd(s.loop, fds[0], LOOP_READ, fd_seen, &s);
	assert_int_equal(write(fds[1], "ab", 2), 2);
	loop_timer_arm(end, 20000);
	loop_run(s.loop);
	assert_int_equal(s.count, 1);
	loop_fd_want(s.source, LOOP_READ);
	loop_timer_arm(end, 20000);
	loop_run(s.loop);
	assert_int_equal(s.count, 2);
	loop_free(s.loop);
	close(fds[0]);
	close(fds[1]);
}

static void wake_again(void *arg)
{
	struct seen *s = arg;

	s->count++;
	loop_wake(s->source);
}

static void a_source_that_wakes_itself_starves_nobody(void **state)
{
	struct seen s = {.loop = loop_new()};

	(void)state;
	s.source = loop_timer(s.loop, wake_again, &s);
	s.other = loop_every_ms(s.loop, 5, count_other, &s);
	loop_timer_arm(loop_timer(s.loop, stop, s.loop), 50000);
	loop_wake(s.source);
	loop_run(s.loop);
	assert_true(s.count > 100);
	assert_true(s.other_count >= 5);
	loop_free(s.loop);
}

static void signals_arrive_on_the_loop(void **state)
{
	struct seen s = {.loop = loop_new(), .count = 2};

	(void)state;
	loop_signal(s.loop, SIGUSR1, stop_after_three, &s);
	raise(SIGUSR1);
	assert_int_equal(loop_run(s.loop), 42);
	loop_free(s.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_periodic_timer_keeps_its_pace),
	    cmocka_unit_test(lag_is_noticed_and_taken_once),
	    cmocka_unit_test(lag_is_noticed_before_the_timer_fires),
	    cmocka_unit_test(a_source_may_remove_itself_and_others),
	    cmocka_unit_test(a_descriptor_is_watched_while_wanted),
	    cmocka_unit_test(a_source_that_wakes_itself_starves_nobody),
	    cmocka_unit_test(signals_arrive_on_the_loop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
