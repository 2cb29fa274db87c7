#include "agent/drops.h"
#include "agent/child.h"
#include "agent/drops_bpf.h"
#include "agent/trace.h"
#include "proto/base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WATCHES_MAX 16
#define ARM_MS_MAX  300 /* a round does not wait longer for us */
#define END_MS_MAX  150
#define LINGER_MS   3000 /* the next round of an incident finds the child at work */
#define BATCH       64

enum watch_state { WATCH_FREE, WATCH_ARMING, WATCH_ON, WATCH_ENDING };

struct watch_of_round {
	enum watch_state state;
	uint64_t round;
	bool wants_drops, wants_rules;
	bool sent;            /* the child knows of it */
	const char *why;      /* what was missed: our silence is no proof. NULL = nothing */
	struct mono deadline; /* while arming or ending */
};

struct drops {
	struct loop *loop;
	bool trace_rules;
	drops_told_fn *fn;
	void *arg;
	pid_t child; /* 0 = none */
	int fd;
	bool leaving;        /* the child was told to go */
	struct mono used_at; /* last time that a round needed it */
	struct loop_source *source, *timer;
	struct watch_of_round watches[WATCHES_MAX];
};

/* ---- telling ---- */

static struct watch_of_round *watch_find(struct drops *d, uint64_t round)
{
	for (size_t i = 0; i < WATCHES_MAX; i++)
		if (d->watches[i].state != WATCH_FREE && d->watches[i].round == round)
			return &d->watches[i];
	return NULL;
}

static void missed(struct looked *l, const char *why)
{
	l->looked = false;
	str_copy(l->why, sizeof l->why, why);
}

/* READY or ENDED, to whoever asked. */
static void watch_tell(struct drops *d, struct watch_of_round *w, struct drops_record *record)
{
	record->round = w->round;
	if (w->why) {
		missed(&record->u.looked.drops, w->why);
		missed(&record->u.looked.rules, w->why);
	}
	if (!w->wants_drops)
		missed(&record->u.looked.drops, "not asked for");
	if (!w->wants_rules)
		missed(&record->u.looked.rules, d->trace_rules ? "not asked for" : "switched off (--rule-trace)");
	w->state = record->what == RECORD_READY ? WATCH_ON : WATCH_FREE;
	d->used_at = mono_now();
	d->fn(d->arg, record);
}

static void watch_fail(struct drops *d, struct watch_of_round *w, const char *why)
{
	struct drops_record record = {.what = w->state == WATCH_ARMING ? RECORD_READY : RECORD_ENDED};

	w->why = w->why ? w->why : why;
	watch_tell(d, w, &record);
}

/* ---- the child ---- */

static void observer_close(struct drops *d)
{
	loop_remove(d->source);
	d->source = NULL;
	close(d->fd);
	d->fd = -1;
}

static void observer_end(struct drops *d, child_gone_fn *gone)
{
	if (d->child == 0)
		return;
	observer_close(d);
	child_end(d->child, gone);
	d->child = 0;
	d->leaving = false;
}

static void observer_lost(struct drops *d)
{
	observer_end(d, trace_sweep);
	for (size_t i = 0; i < WATCHES_MAX; i++) {
		struct watch_of_round *w = &d->watches[i];

		if (w->state == WATCH_FREE)
			continue;
		w->why = w->why ? w->why : "the observer broke off";
		w->sent = false;
		if (w->state != WATCH_ON)
			watch_fail(d, w, w->why);
	}
}

static void record_take(struct drops *d, struct drops_record *record)
{
	struct watch_of_round *w = watch_find(d, record->round);

	if (!w)
		return;
	if (record->what == RECORD_DROP || record->what == RECORD_RULE)
		d->fn(d->arg, record);
	else if (record->what == RECORD_READY ? w->state == WATCH_ARMING : w->state == WATCH_ENDING)
		watch_tell(d, w, record);
}

static void on_record(void *arg, int fd, int what)
{
	struct drops *d = arg;
	struct drops_record record;

	(void)what;
	for (int i = 0; i < BATCH && d->fd == fd; i++) {
		ssize_t got = recv(fd, &record, sizeof record, MSG_DONTWAIT);

		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (got != (ssize_t)sizeof record) {
			observer_lost(d);
			return;
		}
		record_take(d, &record);
	}
}

static int observer_start(struct drops *d, struct err *e)
{
	int fds[2];

	if (d->leaving)
		observer_end(d, NULL);
	if (d->child)
		return 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds))
		return err_sys(e, "socketpair");
	d->child = child_start(drops_child_run, fds[1], "bothways-drops");
	close(fds[1]);
	d->fd = fds[0];
	if (d->child < 0) {
		d->child = 0;
		close(d->fd);
		return err_sys(e, "fork");
	}
	d->source = loop_fd(d->loop, d->fd, LOOP_READ, on_record, d);
	return 0;
}

static bool order_send(struct drops *d, const struct drops_order *order)
{
	return send(d->fd, order, sizeof *order, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof *order;
}

/* ---- time ---- */

static bool watch_waits(const struct watch_of_round *w) { return w->state == WATCH_ARMING || w->state == WATCH_ENDING; }

/* For the next one that waits for the child, or for the child's own end. */
static void timer_set(struct drops *d)
{
	struct mono now = mono_now(), next = mono_add_ms(d->used_at, LINGER_MS);
	bool any = false;

	for (size_t i = 0; i < WATCHES_MAX; i++) {
		const struct watch_of_round *w = &d->watches[i];

		any = any || w->state != WATCH_FREE;
		if (watch_waits(w) && mono_before(w->deadline, next))
			next = w->deadline;
	}
	if (any || (d->child && !d->leaving))
		loop_timer_arm(d->timer, mono_before(next, now) ? 0 : mono_us_since(now, next));
}

static void on_time(void *arg)
{
	struct drops *d = arg;
	struct mono now = mono_now();
	bool any = false;

	for (size_t i = 0; i < WATCHES_MAX; i++) {
		struct watch_of_round *w = &d->watches[i];

		if (watch_waits(w) && mono_reached(w->deadline, now))
			watch_fail(d, w, w->state == WATCH_ARMING ? "not ready in time" : "not told in time");
		any = any || w->state != WATCH_FREE;
	}
	if (any) {
		d->used_at = now;
	} else if (d->child && !d->leaving && mono_ms_since(d->used_at, now) >= LINGER_MS) {
		shutdown(d->fd, SHUT_WR); /* it ends by itself; on_record then sees the end */
		d->leaving = true;
	}
	timer_set(d);
}

/* ---- arm, end ---- */

static void watch_start(struct drops *d, struct watch_of_round *w, const struct round_spec *spec)
{
	struct drops_order *order = mem_alloc(sizeof *order);
	struct err e = {""};

	*order = (struct drops_order){.what = ORDER_ARM, .name_drops = w->wants_drops, .name_rules = w->wants_rules, .spec = *spec};
	w->sent = observer_start(d, &e) == 0 && order_send(d, order);
	free(order);
	if (!w->sent)
		watch_fail(d, w, "no process for the observer");
}

void drops_arm(struct drops *d, const struct round_spec *spec)
{
	struct watch_of_round *w = watch_find(d, spec->id);
	struct drops_record none = {.what = RECORD_READY, .round = spec->id};

	for (size_t i = 0; i < WATCHES_MAX && !w; i++)
		if (d->watches[i].state == WATCH_FREE)
			w = &d->watches[i];
	if (!w) {
		missed(&none.u.looked.drops, "too many rounds at once");
		missed(&none.u.looked.rules, "too many rounds at once");
		d->fn(d->arg, &none);
		return;
	}
	*w = (struct watch_of_round){.state = WATCH_ARMING,
	                             .round = spec->id,
	                             .wants_drops = spec->name_drops,
	                             .wants_rules = spec->name_rules && d->trace_rules,
	                             .deadline = mono_add_ms(mono_now(), ARM_MS_MAX)};
	if (w->wants_drops || w->wants_rules)
		watch_start(d, w, spec);
	else
		watch_tell(d, w, &none);
	timer_set(d);
}

static bool watch_end_order(struct drops *d, struct watch_of_round *w)
{
	struct drops_order *order = mem_alloc(sizeof *order);
	bool sent;

	order->what = ORDER_END;
	order->spec.id = w->round;
	sent = w->sent && order_send(d, order);
	free(order);
	return sent;
}

void drops_end(struct drops *d, uint64_t round)
{
	struct watch_of_round *w = watch_find(d, round);
	struct drops_record none = {.what = RECORD_ENDED, .round = round};

	if (!w) {
		missed(&none.u.looked.drops, "too many rounds at once");
		missed(&none.u.looked.rules, "too many rounds at once");
		d->fn(d->arg, &none);
		return;
	}
	w->state = WATCH_ENDING;
	w->deadline = mono_add_ms(mono_now(), END_MS_MAX);
	if (!watch_end_order(d, w))
		watch_fail(d, w, "the observer broke off");
	timer_set(d);
}

void drops_forget(struct drops *d, uint64_t round)
{
	struct watch_of_round *w = watch_find(d, round);

	if (!w)
		return;
	if (w->state != WATCH_ENDING)
		watch_end_order(d, w);
	w->state = WATCH_FREE;
	d->used_at = mono_now();
	timer_set(d);
}

struct drops *drops_new(struct loop *l, bool trace_rules, drops_told_fn *fn, void *arg)
{
	struct drops *d = mem_alloc(sizeof *d);

	d->loop = l;
	d->trace_rules = trace_rules;
	d->fn = fn;
	d->arg = arg;
	d->fd = -1;
	d->timer = loop_timer(l, on_time, d);
	trace_sweep(); /* of one that was killed on a kernel that does not do it */
	return d;
}

void drops_free(struct drops *d)
{
	if (!d)
		return;
	observer_end(d, NULL);
	loop_remove(d->timer);
	free(d);
}

bool drops_possible(char *why, size_t size) { return drops_bpf_possible(why, size); }
