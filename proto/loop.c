#include "proto/loop.h"

#include "proto/base/mem.h"

#include <assert.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/queue.h>

#define OVERDUE_US 10000 /* less is told when the timer fires */

struct loop_source {
	struct loop *loop;
	struct event *event;
	union {
		loop_fn *fn;
		loop_fd_fn *fd_fn;
	};
	void *arg;
	int fd; /* -1 for timers and signals */
	int64_t every_us;
	struct mono due; /* of loop_every_ms */
	bool woken;
	LIST_ENTRY(loop_source) all;
	TAILQ_ENTRY(loop_source) wake;
};

struct loop {
	struct event_base *base;
	struct event *wake; /* fires at once when armed */
	LIST_HEAD(, loop_source) sources;
	TAILQ_HEAD(, loop_source) woken;
	unsigned woken_count;
	int result;
	int64_t worst_lag_us;
};

static void woken_run(evutil_socket_t fd, short what, void *arg);

struct loop *loop_new(void)
{
	struct loop *l = mem_alloc(sizeof *l);
	struct event_config *config = event_config_new();

	/* the coarse clock libevent would take has steps of 4 ms */
	event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	/* timers count from when they are armed, not from when this turn of the loop began: else they fire early, and again */
	event_config_set_flag(config, EVENT_BASE_FLAG_NO_CACHE_TIME);
	l->base = event_base_new_with_config(config);
	event_config_free(config);
	assert(l->base);
	l->wake = event_new(l->base, -1, 0, woken_run, l);
	LIST_INIT(&l->sources);
	TAILQ_INIT(&l->woken);
	signal(SIGPIPE, SIG_IGN); /* writing to a stream that closed is an error like others */
	return l;
}

void loop_free(struct loop *l)
{
	struct loop_source *s;

	if (!l)
		return;
	while ((s = LIST_FIRST(&l->sources)))
		loop_remove(s);
	event_free(l->wake);
	event_base_free(l->base);
	free(l);
}

int loop_run(struct loop *l)
{
	l->result = 0;
	event_base_loop(l->base, EVLOOP_NO_EXIT_ON_EMPTY);
	return l->result;
}

void loop_stop(struct loop *l, int result)
{
	l->result = result;
	event_base_loopbreak(l->base);
}

struct event_base *loop_base(struct loop *l) { return l->base; }

static struct loop_source *source_new(struct loop *l, loop_fn *fn, void *arg)
{
	struct loop_source *s = mem_alloc(sizeof *s);

	s->loop = l;
	s->fn = fn;
	s->arg = arg;
	s->fd = -1;
	LIST_INSERT_HEAD(&l->sources, s, all);
	return s;
}

static void woken_drop(struct loop_source *s)
{
	TAILQ_REMOVE(&s->loop->woken, s, wake);
	s->loop->woken_count--;
	s->woken = false;
}

void loop_remove(struct loop_source *s)
{
	if (!s)
		return;
	if (s->woken)
		woken_drop(s);
	LIST_REMOVE(s, all);
	event_free(s->event);
	free(s);
}

static struct timeval timeval_from_us(int64_t us)
{
	if (us < 0)
		us = 0;
	return (struct timeval){us / 1000000, us % 1000000};
}

/* ---- file descriptors ---- */

static void fd_ready(evutil_socket_t fd, short what, void *arg)
{
	struct loop_source *s = arg;

	s->fd_fn(s->arg, fd, (what & EV_READ ? LOOP_READ : 0) | (what & EV_WRITE ? LOOP_WRITE : 0));
}

static short fd_events(int what)
{
	return (short)(EV_PERSIST | (what & LOOP_READ ? EV_READ : 0) | (what & LOOP_WRITE ? EV_WRITE : 0));
}

struct loop_source *loop_fd(struct loop *l, int fd, int what, loop_fd_fn *fn, void *arg)
{
	struct loop_source *s = source_new(l, NULL, arg);

	s->fd_fn = fn;
	s->fd = fd;
	s->event = event_new(l->base, fd, fd_events(what), fd_ready, s);
	if (what)
		event_add(s->event, NULL);
	return s;
}

void loop_fd_want(struct loop_source *s, int what)
{
	assert(s->fd >= 0);
	if (event_get_events(s->event) == fd_events(what) && event_pending(s->event, EV_READ | EV_WRITE, NULL))
		return;
	event_del(s->event);
	event_assign(s->event, s->loop->base, s->fd, fd_events(what), fd_ready, s);
	if (what)
		event_add(s->event, NULL);
}

/* ---- timers ---- */

static void timer_fired(evutil_socket_t fd, short what, void *arg)
{
	struct loop_source *s = arg;

	(void)fd;
	(void)what;
	s->fn(s->arg);
}

static void every_arm(struct loop_source *s, struct mono now)
{
	struct timeval tv;

	/* on multiples of its period, so that timers share wake-ups; turns that were missed are not made up for */
	s->due.ns = (now.ns / (s->every_us * 1000) + 1) * s->every_us * 1000;
	tv = timeval_from_us(mono_us_since(now, s->due) + 1);
	event_add(s->event, &tv);
}

static void every_fired(evutil_socket_t fd, short what, void *arg)
{
	struct loop_source *s = arg;
	struct mono now = mono_now();
	int64_t lag = mono_us_since(s->due, now);

	(void)fd;
	(void)what;
	if (lag > s->loop->worst_lag_us)
		s->loop->worst_lag_us = lag;
	every_arm(s, now); /* first: the callback may remove the source */
	s->fn(s->arg);
}

struct loop_source *loop_every_ms(struct loop *l, int64_t ms, loop_fn *fn, void *arg)
{
	struct loop_source *s = source_new(l, fn, arg);

	assert(ms > 0);
	s->every_us = ms * 1000;
	s->event = event_new(l->base, -1, 0, every_fired, s);
	every_arm(s, mono_now());
	return s;
}

struct loop_source *loop_timer(struct loop *l, loop_fn *fn, void *arg)
{
	struct loop_source *s = source_new(l, fn, arg);

	s->event = event_new(l->base, -1, 0, timer_fired, s);
	return s;
}

void loop_timer_arm(struct loop_source *s, int64_t us)
{
	struct timeval tv = timeval_from_us(us);

	event_add(s->event, &tv);
}

void loop_timer_disarm(struct loop_source *s) { event_del(s->event); }

/* Timers that are due and have not had their turn: who stood still hears of its messages first. Told once: the rest of their
 * lag counts from now. */
static int64_t overdue_take_us(struct loop *l)
{
	struct mono now = mono_now();
	struct loop_source *s;
	int64_t worst = 0;

	LIST_FOREACH(s, &l->sources, all)
	{
		int64_t lag = s->every_us ? mono_us_since(s->due, now) : 0;
		if (lag < OVERDUE_US)
			continue;
		worst = lag > worst ? lag : worst;
		s->due = now;
	}
	return worst;
}

uint32_t loop_take_lag_us(struct loop *l)
{
	int64_t lag = overdue_take_us(l);

	if (l->worst_lag_us > lag)
		lag = l->worst_lag_us;

	l->worst_lag_us = 0;
	return lag > UINT32_MAX ? UINT32_MAX : (uint32_t)lag;
}

/* ---- signals ---- */

struct loop_source *loop_signal(struct loop *l, int signo, loop_fn *fn, void *arg)
{
	struct loop_source *s = source_new(l, fn, arg);

	s->event = evsignal_new(l->base, signo, timer_fired, s);
	event_add(s->event, NULL);
	return s;
}

/* ---- waking ----
 * event_active() would run the source again within the same turn, before timers and sockets get theirs: a busy source
 * that wakes itself would starve them. A timer of zero length fires in the next turn. */

void loop_wake(struct loop_source *s)
{
	static const struct timeval at_once;

	if (s->woken)
		return;
	s->woken = true;
	s->loop->woken_count++;
	TAILQ_INSERT_TAIL(&s->loop->woken, s, wake);
	event_add(s->loop->wake, &at_once);
}

static void woken_run(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;
	struct loop_source *s;

	(void)fd;
	(void)what;
	/* those that are woken meanwhile have their turn the next time */
	for (unsigned left = l->woken_count; left && (s = TAILQ_FIRST(&l->woken)); left--) {
		woken_drop(s);
		if (s->fd >= 0)
			s->fd_fn(s->arg, s->fd, LOOP_READ);
		else
			s->fn(s->arg);
	}
}
