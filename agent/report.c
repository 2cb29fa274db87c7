#include "agent/report.h"

#include "agent/facts/facts.h"
#include "agent/uplink.h"
#include "proto/base/log.h"
#include "proto/model/fact.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPORT_MS_DEFAULT 1000
#define REPORT_MS_MIN     100
#define REPORT_MS_MAX     60000
#define FACTS_MS          10000 /* looked at even when nothing announced a change */
#define STEAL_MS          1000
#define FACTS_QUIET_MS    300
#define ROWS_PER_CALL     512
#define LAG_KEPT_US       20000 /* remembered one by one; less is of no matter to a round */
#define LAGS_MAX          16

struct cpu_times {
	uint64_t total, steal;
};

struct report {
	struct agent *a;
	struct loop_source *timer, *facts_timer, *at_once;
	struct facts_watch *facts_watch;
	int64_t every_ms;
	struct snapshot *snapshot; /* waits for the next report */
	bool facts_wanted;         /* whatever the digest says */
	uint64_t digest, fdb_digest, neigh_digest;
	struct watch_row *rows;
	/* health: what was last time */
	uint32_t lag_us, socket_drops;
	struct cpu_times cpu;
	struct mono cpu_read;   /* when; the file is long on large machines */
	int32_t steal_permille; /* between the last two readings, -1 = not known */
	int64_t wall_offset_ns;
	struct late { /* when the loop was late, the oldest is overwritten */
		struct mono at;
		uint32_t us;
	} lates[LAGS_MAX];
	size_t late_count;
};

/* ---- health ---- */

static bool cpu_read(struct cpu_times *out)
{
	unsigned long long v[8] = {0};
	FILE *f = fopen("/proc/stat", "re");
	int n;

	if (!f)
		return false;
	n = fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7]);
	fclose(f);
	*out = (struct cpu_times){0, v[7]};
	for (int i = 0; i < 8; i++)
		out->total += v[i];
	return n == 8;
}

static void steal_update(struct report *r)
{
	struct cpu_times was = r->cpu;
	struct mono now = mono_now();

	if (r->cpu_read.ns && mono_ms_since(r->cpu_read, now) < STEAL_MS)
		return;
	r->steal_permille = -1;
	if (!cpu_read(&r->cpu))
		return;
	if (r->cpu_read.ns && r->cpu.total > was.total && r->cpu.steal >= was.steal)
		r->steal_permille = (int32_t)((r->cpu.steal - was.steal) * 1000 / (r->cpu.total - was.total));
	r->cpu_read = now;
}

static int64_t wall_offset_ns(void) { return wall_now().ns - mono_now().ns; }

static void lag_update(struct report *r)
{
	uint32_t lag = loop_take_lag_us(r->a->loop);

	if (lag > r->lag_us)
		r->lag_us = lag;
	if (lag >= LAG_KEPT_US)
		r->lates[r->late_count++ % LAGS_MAX] = (struct late){mono_now(), lag};
}

static struct health report_health(struct report *r)
{
	struct prober_stats p = prober_stats(r->a->prober);

	steal_update(r);
	lag_update(r);
	return (struct health){
	    .lag_us = r->lag_us,
	    .socket_drops = p.socket_drops - r->socket_drops,
	    .spool_dropped = spool_dropped(r->a->spool),
	    .rejected = p.rejected,
	    .limited = p.limited + watch_stats(r->a->watch).limited,
	    .steal_permille = r->steal_permille,
	    .clock_step_us = (wall_offset_ns() - r->wall_offset_ns) / 1000,
	};
}

struct fit_mark report_mark(struct report *r)
{
	lag_update(r); /* what was late until now is not the round's */
	return (struct fit_mark){mono_now(), prober_stats(r->a->prober).socket_drops};
}

struct health report_health_since(struct report *r, const struct fit_mark *mark)
{
	struct health h = report_health(r);

	h.lag_us = 0;
	for (size_t i = 0; i < LAGS_MAX; i++) {
		if (mono_before(mark->at, r->lates[i].at) && r->lates[i].us > h.lag_us)
			h.lag_us = r->lates[i].us;
	}
	h.socket_drops = prober_stats(r->a->prober).socket_drops - mark->socket_drops;
	return h;
}

/* The next health counts from here. */
static void health_begin(struct report *r)
{
	r->lag_us = 0;
	r->socket_drops = prober_stats(r->a->prober).socket_drops;
	r->wall_offset_ns = wall_offset_ns();
}

/* ---- reports ---- */

static void report_put(struct report *r, size_t rows)
{
	struct msg *m = msg_new(MSG_REPORT);
	struct msg_report *p = &m->u.report;
	struct buf out = {0};
	struct err e = {""};

	p->boot = r->a->boot;
	p->number = spool_next_number(r->a->spool);
	p->health = report_health(r);
	p->row_count = rows;
	p->rows = mem_array(rows, sizeof *p->rows);
	memcpy(p->rows, r->rows, rows * sizeof *p->rows);
	p->snapshot = r->snapshot;
	r->snapshot = NULL;
	health_begin(r);
	if (wire_encode(m, &out, &e) == 0)
		spool_put(r->a->spool, out.data, out.len);
	else
		log_warn("a report does not fit: %s", e.text);
	buf_free(&out);
	msg_free(m);
}

static void report_now(void *arg)
{
	struct report *r = arg;
	size_t rows;

	prober_drain(r->a->prober); /* what the kernel holds arrived in time */
	do {
		rows = watch_report(r->a->watch, mono_now(), r->rows, ROWS_PER_CALL);
		report_put(r, rows);
	} while (rows == ROWS_PER_CALL);
	uplink_spooled(r->a->uplink);
}

/* ---- facts ---- */

static uint64_t fnv_add(uint64_t hash, const void *data, size_t len)
{
	for (const uint8_t *p = data, *end = p + len; p < end; p++)
		hash = (hash ^ *p) * 0x100000001b3;
	return hash;
}

/* Where which machine is plugged in: placement is found by it. Order does not matter. */
static uint64_t fdb_digest(const struct snapshot *s)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < s->fdb_count; i++) {
		const struct fdb *f = &s->fdbs[i];
		uint64_t h = 0xcbf29ce484222325;

		h = fnv_add(h, &f->bridge, sizeof f->bridge);
		h = fnv_add(h, &f->port, sizeof f->port);
		h = fnv_add(h, f->mac.b, sizeof f->mac.b);
		h = fnv_add(h, &f->vlan, sizeof f->vlan);
		sum += fnv_add(h, &f->remote, sizeof f->remote);
	}
	return sum;
}

/* Who is met where: guests that are in no bridge are found by it. */
static uint64_t neigh_digest(const struct snapshot *s)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < s->neigh_count; i++) {
		const struct neigh *n = &s->neighs[i];
		uint64_t h = 0xcbf29ce484222325;

		if (!mac_is_set(n->mac) || n->state & (NEIGH_INCOMPLETE | NEIGH_FAILED | NEIGH_NOARP))
			continue;
		h = fnv_add(h, &n->link, sizeof n->link);
		h = fnv_add(h, &n->ip, sizeof n->ip);
		sum += fnv_add(h, n->mac.b, sizeof n->mac.b);
	}
	return sum;
}

static void facts_look(void *arg)
{
	struct report *r = arg;
	struct snapshot *s = facts_read(FACTS_ALL, NULL, 0);
	struct facts f = facts_of(s);
	uint64_t digest = facts_digest(&f), fdb = fdb_digest(s), neigh = neigh_digest(s);
	bool news = r->facts_wanted || digest != r->digest || fdb != r->fdb_digest || neigh != r->neigh_digest;

	facts_free(&f);
	if (!news) {
		snapshot_free(s);
		return;
	}
	r->facts_wanted = false;
	r->digest = digest;
	r->fdb_digest = fdb;
	r->neigh_digest = neigh;
	snapshot_free(r->snapshot);
	r->snapshot = s;
	loop_timer_arm(r->at_once, 0);
}

void report_welcomed(struct report *r)
{
	r->facts_wanted = true;
	facts_look(r);
}

/* ---- life ---- */

void report_plan_changed(struct report *r)
{
	int64_t ms = watch_current(r->a->watch)->report_ms;

	ms = ms < REPORT_MS_MIN ? REPORT_MS_DEFAULT : ms > REPORT_MS_MAX ? REPORT_MS_MAX : ms;
	if (ms == r->every_ms)
		return;
	r->every_ms = ms;
	loop_remove(r->timer);
	r->timer = loop_every_ms(r->a->loop, ms, report_now, r);
}

struct report *report_new(struct agent *a, struct err *e)
{
	struct report *r = mem_alloc(sizeof *r);

	r->a = a;
	r->rows = mem_array(ROWS_PER_CALL, sizeof *r->rows);
	r->every_ms = REPORT_MS_DEFAULT;
	r->steal_permille = -1;
	r->timer = loop_every_ms(a->loop, r->every_ms, report_now, r);
	r->at_once = loop_timer(a->loop, report_now, r);
	r->facts_timer = loop_every_ms(a->loop, FACTS_MS, facts_look, r);
	r->facts_watch = facts_watch_new(a->loop, FACTS_QUIET_MS, facts_look, r, e);
	if (!r->facts_watch) /* slower, not blind */
		log_warn("changes of this machine are seen every %d s only: %s", FACTS_MS / 1000, e->text);
	health_begin(r);
	return r;
}

void report_free(struct report *r)
{
	if (!r)
		return;
	facts_watch_free(r->facts_watch);
	loop_remove(r->timer);
	loop_remove(r->facts_timer);
	loop_remove(r->at_once);
	snapshot_free(r->snapshot);
	free(r->rows);
	free(r);
}
