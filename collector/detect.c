/* detect: the hot state. Per cell two sequential tests (CUSUM form of Wald's): a fast one for heavy loss, a slow one for
 * small loss of delivery. What a sender reported waits here until its receiver either reported too, or was heard for long
 * enough to know that it had nothing to report. */
#include "collector/detect.h"

#include "collector/detect_wait.h"
#include "proto/base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define KINDS KIND_SERVICE /* service kinds are not watched */

/* The tests: alpha 1e-9, so ln(1/alpha) = 20.72 decides. Baseline 1e-4 against 1/2 (fast, in 1/12) and 1/50 (slow, in 1/1000). */
#define FAST_DECIDES 249
#define FAST_LOST    102 /* ln(0.5 / 1e-4) */
#define FAST_GOOD    8   /* -ln(0.5 / 0.9999) */
#define SLOW_DECIDES 20723
#define SLOW_LOST    5298 /* ln(0.02 / 1e-4) */
#define SLOW_GOOD    20   /* -ln(0.98 / 0.9999) */

/* All kinds of one direction together: single losses that are no chance. Doubt is looked into by a train of probes. */
#define POOL_DOUBTS 9210 /* ln(1e4), in 1/1000 */

/* The usual round trip, as its logarithm in 1/256 of an octave: learned in steps, so that nothing that lasts seconds moves it. */
#define USUAL_OCTAVE   256
#define USUAL_YOUNG    32 /* epochs in which it is learned by halves */
#define SLOW_OCTAVE    USUAL_OCTAVE
#define SLOW_MORE_US   3000 /* twice the usual, and that much more */
#define SLOW_DECIDE    10   /* epochs, every one of them: a busy machine has quick moments */
#define SLOW_WELL      20
#define SLOW_LAG_US    20000 /* of an observer who was late himself nothing is slow */
#define COPIES_DECIDES 48    /* each epoch with copies adds COPIES_PAID, one without takes 1 */
#define COPIES_PAID    8

/* Good probes in a row that make a bad cell well again. */
#define WELL_LOST    5
#define WELL_PARTIAL 40 /* of a loss that the fast test found, 30 % and more: 0.7^40 < 1e-6 */
#define WELL_SLOW    1000

#define STREAK_MAX   7
#define STREAK_LOST  3 /* lost in a row when the test decides: all is lost */
#define STREAK_WORSE 6 /* ... to call a partial loss a full one later */

#define GRACE_MS     250
#define LATE_STEP_MS 100
#define LATE_MAX_MS  1000
#define GAP_MS       600  /* a longer silence breaks the flow of an agent's reports ... */
#define SETTLE_MS    2000 /* ... and for that long afterwards they may be old ones */
#define BLIND_MS     1500 /* a new pair: the plan has not reached both ends */
#define UNFIT_LAG_US 500000
#define STALL_MS     250 /* who was silent for longer may have stood still: what it did not answer then proves nothing */
#define ASKED_MS     100 /* heard so long after the question failed: it goes on */
#define ASKED_MAX    (DETECT_WAIT_MAX / 4)
#define TX_KEEP_MS   3000
#define RX_KEEP_MS   5000
#define OLDER_MAX    8
#define STALE_MS     5000
#define STAMP_MS     500
#define STAMPS       255
#define SWEEP_MS     10000
#define HALVE_SWEEPS 4

struct tally {                                /* one kind of one direction */
	uint8_t delivery : 4, initiation : 4; /* enum cell */
	uint8_t fast[2];                      /* [0] delivery; [1] initiation: the test, or when bad: good ones in a row */
	uint8_t streak : 3, streak_init : 3, small : 1, measured : 1;
	uint8_t at[2]; /* when measured: stamp, 0 = long ago */
	uint16_t slow; /* delivery: the test, or when bad: good ones in a row */
};
_Static_assert(sizeof(struct tally) == 8, "hot memory");

struct side { /* one direction */
	struct tally tallies[KINDS];
	uint32_t rtt_us, sent, received;
	uint16_t pool;        /* the test of all kinds together, or when lossy: good ones in a row */
	uint16_t usual;       /* logarithm of the usual round trip; 0 = not known */
	uint32_t young : 6;   /* epochs it was learned from, up to USUAL_YOUNG */
	uint32_t late : 5;    /* in a row; when slow: quick ones in a row */
	uint32_t copies : 6;  /* the test */
	uint32_t lost_at : 8; /* stamp of the last loss that counted in the pool */
	uint32_t lossy : 1, slow : 1, doubt : 1, doubled : 1;
};
_Static_assert(sizeof(struct side) == 116, "hot memory");

struct hot { /* one pair */
	uint32_t a, b;
	uint16_t kinds[2];
	uint32_t blind_until; /* in 100 ms; 0 = nothing heard yet */
	bool used, suspect : 1, well : 1, listed : 1, doubt : 1;
	struct side dir[2];
};

struct watcher { /* an agent as an observer */
	bool known, online;
	struct mono heard, fluent_since, unfit, stalled, lagged;
	int64_t spacing_ms; /* between its reports, smoothed */
	int64_t late_ms;    /* its rows have come that late */
	kind_mask deaf;
};

struct detect {
	size_t pair_count, watcher_count;
	struct hot *pairs;
	struct watcher *watchers;
	struct wait tx, rx; /* senders' and receivers' rows */
	struct wait asked;  /* unanswered questions; `seen` holds the counts */
	size_t dirty_count, dirty_cap;
	uint32_t *dirty;
	uint32_t stale_ms;
	struct mono now; /* of the last call */
	struct mono swept, overflow_until;
	unsigned sweeps;
	struct detect_stats stats;
};

struct detect *detect_new(void)
{
	struct detect *d = mem_alloc(sizeof(*d));
	d->stale_ms = STALE_MS;
	wait_init(&d->tx, DETECT_WAIT_MAX);
	wait_init(&d->rx, DETECT_WAIT_MAX);
	wait_init(&d->asked, ASKED_MAX);
	return d;
}

void detect_free(struct detect *d)
{
	if (!d)
		return;
	wait_clear(&d->tx);
	wait_clear(&d->rx);
	wait_clear(&d->asked);
	free(d->pairs);
	free(d->watchers);
	free(d->dirty);
	free(d);
}

void detect_seed(struct detect *d, uint64_t seed) { d->tx.seed = d->rx.seed = d->asked.seed = seed; }

/* ---- tables ---- */

static void *reach(void *items, size_t *count, size_t index, size_t size)
{
	if (index < *count)
		return items;
	size_t more = index + 1 + *count / 2;
	items = mem_resize(items, more, size);
	memset((char *)items + *count * size, 0, (more - *count) * size);
	*count = more;
	return items;
}

static struct watcher *watcher_of(struct detect *d, uint32_t member)
{
	d->watchers = reach(d->watchers, &d->watcher_count, member, sizeof(*d->watchers));
	return &d->watchers[member];
}

static struct hot *pair_of(const struct detect *d, uint32_t pair)
{
	return pair < d->pair_count && d->pairs[pair].used ? &d->pairs[pair] : NULL;
}

static uint32_t sender_of(const struct hot *p, uint8_t dir) { return dir ? p->b : p->a; }
static uint32_t receiver_of(const struct hot *p, uint8_t dir) { return dir ? p->a : p->b; }

void detect_pair(struct detect *d, uint32_t pair, uint32_t a, uint32_t b, const kind_mask kinds[2])
{
	const kind_mask all = KIND_BIT(KINDS) - 1;
	d->pairs = reach(d->pairs, &d->pair_count, pair, sizeof(*d->pairs));
	struct hot *p = &d->pairs[pair];
	bool same = p->used && p->a == a && p->b == b && ((kinds[0] | kinds[1]) & all);
	bool listed = p->listed, more = (kinds[0] & all & ~p->kinds[0]) | (kinds[1] & all & ~p->kinds[1]);
	if (same && more)
		p->blind_until = 0;
	if (!same)
		*p = (struct hot){.a = a, .b = b, .used = ((kinds[0] | kinds[1]) & all) != 0, .listed = listed};
	for (size_t dir = 0; dir < 2; dir++)
		for (size_t k = 0; k < KINDS; k++)
			if (!(kinds[dir] & KIND_BIT(k)))
				p->dir[dir].tallies[k] = (struct tally){0};
	p->kinds[0] = (uint16_t)(kinds[0] & all);
	p->kinds[1] = (uint16_t)(kinds[1] & all);
}

/* ---- observers ---- */

static bool at_or_after(struct mono a, struct mono b) { return a.ns >= b.ns; }

static void watcher_unsettle(struct watcher *w, struct mono now) { w->fluent_since = mono_add_ms(now, SETTLE_MS); }

static void watcher_hear(struct watcher *w, const struct health *h, struct mono now)
{
	int64_t gap = mono_ms_since(w->heard, now);
	int64_t limit = 4 * w->spacing_ms > GAP_MS ? 4 * w->spacing_ms : GAP_MS;
	if (gap > STALL_MS && gap > 3 * w->spacing_ms)
		w->stalled = now;
	if (!w->known || gap > limit)
		watcher_unsettle(w, now);
	else if (gap > 0)
		w->spacing_ms = (7 * w->spacing_ms + gap) / 8;
	if (!w->known) {
		w->known = w->online = true;
		w->spacing_ms = 100;
		w->unfit = w->stalled = w->lagged = (struct mono){INT64_MIN};
	}
	if (h->lag_us > SLOW_LAG_US)
		w->lagged = now;
	w->heard = now;
	if (h->socket_drops || h->lag_us > UNFIT_LAG_US)
		w->unfit = now;
}

static int64_t watcher_grace_ms(const struct watcher *w)
{
	int64_t grace = w->spacing_ms * 5 / 2;
	return (grace > GRACE_MS ? grace : GRACE_MS) + w->late_ms;
}

static bool watcher_is_fluent(const struct watcher *w, struct mono at)
{
	return w->known && w->online && at_or_after(at, w->fluent_since);
}

void detect_online(struct detect *d, uint32_t member, bool online, struct mono now)
{
	struct watcher *w = watcher_of(d, member);
	if (online && !w->online)
		watcher_unsettle(w, now);
	w->online = online;
}

void detect_restarted(struct detect *d, uint32_t member, struct mono now) { watcher_unsettle(watcher_of(d, member), now); }

void detect_deaf(struct detect *d, uint32_t member, kind_mask kinds) { watcher_of(d, member)->deaf = kinds; }

void detect_stale_ms(struct detect *d, uint32_t ms) { d->stale_ms = ms < STAMP_MS ? STAMP_MS : ms > 60000 ? 60000 : ms; }

/* ---- tallies ---- */

static uint8_t stamp_of(struct mono now) { return (uint8_t)(1 + (uint64_t)(now.ns / (STAMP_MS * 1000000LL)) % STAMPS); }

static bool stamp_is_fresh(const struct detect *d, uint8_t stamp, struct mono now)
{
	unsigned age = (unsigned)(stamp_of(now) + STAMPS - stamp) % STAMPS;
	return stamp && age * STAMP_MS <= d->stale_ms;
}

static uint32_t test_feed(uint32_t value, unsigned lost, uint32_t per_lost, unsigned good, uint32_t per_good, uint32_t max)
{
	uint64_t up = value + (uint64_t)lost * per_lost, down = (uint64_t)good * per_good;
	uint64_t next = up > down ? up - down : 0;
	return next > max ? max : (uint32_t)next;
}

static uint8_t streak_next(uint8_t streak, unsigned lost, unsigned good)
{
	if (good)
		return 0;
	return streak + lost > STREAK_MAX ? STREAK_MAX : (uint8_t)(streak + lost);
}

static void pair_mark(struct detect *d, uint32_t pair, bool bad)
{
	struct hot *p = &d->pairs[pair];
	if (bad)
		p->suspect = true;
	else
		p->well = true;
	if (p->listed)
		return;
	p->listed = true;
	*VEC_ADD(d->dirty, d->dirty_count, d->dirty_cap) = pair;
}

static void delivery_test(struct tally *c, unsigned lost, unsigned good)
{
	c->fast[0] = (uint8_t)test_feed(c->fast[0], lost, FAST_LOST, good, FAST_GOOD, UINT8_MAX);
	c->slow = (uint16_t)test_feed(c->slow, lost, SLOW_LOST, good, SLOW_GOOD, UINT16_MAX);
	bool fast = c->fast[0] >= FAST_DECIDES;
	if (!fast && c->slow < SLOW_DECIDES) {
		if (good)
			c->delivery = CELL_OK;
		return;
	}
	c->delivery = c->streak >= STREAK_LOST ? CELL_LOST : CELL_PARTIAL;
	c->small = !fast;
	c->slow = 0;
}

static void delivery_recover(struct tally *c, unsigned lost, unsigned good)
{
	unsigned need = c->delivery == CELL_LOST ? WELL_LOST : c->small ? WELL_SLOW : WELL_PARTIAL;
	if (lost) {
		bool mixed = c->delivery == CELL_LOST && (good || c->slow);
		if (mixed && c->slow) {
			c->delivery = CELL_PARTIAL;
			c->small = false;
		} else if (c->streak >= STREAK_WORSE) {
			c->delivery = CELL_LOST;
		}
		c->slow = mixed && !c->slow; /* the epoch in which a full loss ends has both: that alone is no partial loss */
		return;
	}
	c->slow = (uint16_t)test_feed(c->slow, good, 1, 0, 0, UINT16_MAX);
	if (c->slow < need)
		return;
	c->delivery = CELL_OK;
	c->slow = c->fast[0] = 0;
}

/* ---- quality ---- */

static void pair_doubt(struct detect *d, uint32_t pair)
{
	struct hot *p = &d->pairs[pair];
	p->doubt = true;
	if (p->listed)
		return;
	p->listed = true;
	*VEC_ADD(d->dirty, d->dirty_count, d->dirty_cap) = pair;
}

/* A kind that is cut is no loss here and there. What is lost within a moment, of whatever kind, has one reason, and may be a nap
 * of an observer: it counts once. */
static void pool_feed(struct detect *d, uint32_t pair, struct side *s, unsigned lost, unsigned good, struct mono now)
{
	bool again = lost && s->lost_at == stamp_of(now);
	if (lost)
		s->lost_at = stamp_of(now);
	lost = again ? 0 : lost > 0;
	if (s->lossy) {
		s->pool = lost ? 0 : (uint16_t)test_feed(s->pool, good, 1, 0, 0, UINT16_MAX);
		s->lossy = s->pool < WELL_SLOW;
		s->pool = s->lossy ? s->pool : 0;
		if (!s->lossy)
			pair_mark(d, pair, false);
		return;
	}
	s->pool = (uint16_t)test_feed(s->pool, lost, SLOW_LOST, good, SLOW_GOOD, UINT16_MAX);
	bool doubt = s->pool >= POOL_DOUBTS && !lost; /* where nothing gets through any more there is nothing to doubt */
	if (doubt && !s->doubt)
		pair_doubt(d, pair);
	s->doubt = doubt || (s->doubt && s->pool);
	if (s->pool < SLOW_DECIDES)
		return;
	s->lossy = true;
	s->pool = 0;
	pair_mark(d, pair, true);
}

/* log2 in 1/256, of the highest bit and the eight below it: near enough. */
static uint16_t octaves(uint32_t us)
{
	unsigned top = 31 - (unsigned)__builtin_clz(us | 1);
	uint32_t fraction = top >= 8 ? us >> (top - 8) & 255 : us << (8 - top) & 255;
	return (uint16_t)(top * USUAL_OCTAVE + fraction);
}

static uint32_t octaves_us(uint16_t v)
{
	unsigned top = v / USUAL_OCTAVE;
	uint32_t us = 256 + v % USUAL_OCTAVE;
	return top >= 8 ? us << (top - 8) : us >> (8 - top);
}

static void usual_learn(struct side *s, uint16_t v)
{
	if (s->young < USUAL_YOUNG) {
		s->usual = s->young++ ? (uint16_t)(s->usual + (v - s->usual) / 4) : v;
		return;
	}
	s->usual = (uint16_t)(s->usual + (v > s->usual) - (v < s->usual));
}

static bool rtt_is_late(const struct side *s, uint32_t rtt_us, uint16_t v)
{
	return s->young == USUAL_YOUNG && v > s->usual + SLOW_OCTAVE && rtt_us > octaves_us(s->usual) + SLOW_MORE_US;
}

static void feed_rtt(struct detect *d, uint32_t pair, struct side *s, uint32_t rtt_us)
{
	uint16_t v = octaves(rtt_us);
	bool late = rtt_is_late(s, rtt_us, v), was = s->slow;
	if (!late)
		usual_learn(s, v);
	s->late = late == was ? 0 : (s->late + 1) & 31;
	if (s->late < (was ? SLOW_WELL : SLOW_DECIDE))
		return;
	s->slow = !was;
	s->late = 0;
	pair_mark(d, pair, s->slow);
}

static void feed_copies(struct detect *d, uint32_t pair, struct side *s, bool copies)
{
	if (copies)
		s->copies = (s->copies + COPIES_PAID > COPIES_DECIDES ? COPIES_DECIDES : s->copies + COPIES_PAID) & 63;
	else if (s->copies)
		s->copies = (s->copies - 1) & 63;
	bool doubled = s->copies >= COPIES_DECIDES || (s->doubled && s->copies);
	if (doubled && !s->doubled)
		pair_doubt(d, pair);
	s->doubled = doubled;
}

static void feed_delivery(struct detect *d, uint32_t pair, uint8_t dir, uint8_t kind, unsigned lost, unsigned good, struct mono now)
{
	struct side *s = &d->pairs[pair].dir[dir];
	struct tally *c = &s->tallies[kind];
	bool was_bad = cell_is_bad(c->delivery);
	c->streak = streak_next(c->streak, lost, good) & STREAK_MAX;
	if (was_bad)
		delivery_recover(c, lost, good);
	else
		delivery_test(c, lost, good);
	c->at[0] = stamp_of(now);
	c->measured = true;
	s->sent += lost + good;
	s->received += good;
	if (cell_is_bad(c->delivery))
		s->pool = s->lossy = s->doubt = 0; /* has its own test */
	else if (c->streak < 2)
		pool_feed(d, pair, s, lost, good, now);
	if (cell_is_bad(c->delivery) != was_bad)
		pair_mark(d, pair, !was_bad);
}

static bool tally_anew(struct tally *c)
{
	bool partial = c->delivery == CELL_PARTIAL, partial_init = c->initiation == CELL_PARTIAL;
	if (partial)
		c->delivery = CELL_OK;
	if (partial_init)
		c->initiation = CELL_OK;
	if (!cell_is_bad(c->delivery))
		c->slow = c->fast[0] = 0;
	if (!cell_is_bad(c->initiation))
		c->fast[1] = 0;
	return partial || partial_init;
}

void detect_anew(struct detect *d, uint32_t pair)
{
	struct hot *p = pair_of(d, pair);
	for (size_t dir = 0; p && dir < 2; dir++) {
		p->dir[dir].pool = 0;
		p->dir[dir].lossy = p->dir[dir].doubt = false;
	}
	for (size_t i = 0; p && i < 2 * KINDS; i++)
		if (tally_anew(&p->dir[i / KINDS].tallies[i % KINDS]))
			pair_mark(d, pair, false);
}

struct asked { /* what became of the probes that wanted an answer */
	unsigned good, failed, refused, impostor;
};

static enum cell initiation_fault(const struct tally *c, const struct asked *a)
{
	if (2 * a->impostor >= a->failed)
		return CELL_IMPOSTOR;
	if (2 * a->refused >= a->failed)
		return CELL_REFUSED;
	return c->streak_init >= STREAK_LOST ? CELL_LOST : CELL_PARTIAL;
}

static void initiation_recover(struct tally *c, const struct asked *a)
{
	unsigned need = c->initiation == CELL_PARTIAL ? WELL_PARTIAL : WELL_LOST;
	if (a->failed) {
		bool mixed = c->initiation != CELL_PARTIAL && (a->good || c->fast[1]);
		if (mixed && c->fast[1])
			c->initiation = CELL_PARTIAL;
		else if (!mixed && (c->initiation != CELL_PARTIAL || c->streak_init >= STREAK_WORSE))
			c->initiation = initiation_fault(c, a) & 15;
		c->fast[1] = mixed && !c->fast[1]; /* as for deliveries */
		return;
	}
	c->fast[1] = (uint8_t)test_feed(c->fast[1], a->good, 1, 0, 0, UINT8_MAX);
	if (c->fast[1] < need)
		return;
	c->initiation = CELL_OK;
	c->fast[1] = 0;
}

static void initiation_test(struct tally *c, const struct asked *a)
{
	c->fast[1] = (uint8_t)test_feed(c->fast[1], a->failed, FAST_LOST, a->good, FAST_GOOD, UINT8_MAX);
	if (c->fast[1] >= FAST_DECIDES) {
		c->initiation = initiation_fault(c, a) & 15;
		c->fast[1] = 0;
	} else if (a->good) {
		c->initiation = CELL_OK;
	}
}

static void feed_initiation(struct detect *d, uint32_t pair, uint8_t dir, uint8_t kind, const struct asked *a, struct mono now)
{
	struct tally *c = &d->pairs[pair].dir[dir].tallies[kind];
	bool was_bad = cell_is_bad(c->initiation);
	c->streak_init = streak_next(c->streak_init, a->failed, a->good) & STREAK_MAX;
	if (was_bad)
		initiation_recover(c, a);
	else
		initiation_test(c, a);
	c->at[1] = stamp_of(now);
	c->measured = true;
	if (cell_is_bad(c->initiation) != was_bad)
		pair_mark(d, pair, !was_bad);
}

/* ---- rows ---- */

static bool error_is_ours(int error) /* says nothing about the path */
{
	return error == ENOBUFS || error == EAGAIN || error == ENOMEM || error == EINTR || error == EBUSY;
}

static unsigned sent_count(const struct watch_row *r)
{
	unsigned sent = r->sent > FLOW_PROBES_MAX ? FLOW_PROBES_MAX : r->sent;
	unsigned ours = error_is_ours(r->error) ? r->not_sent : 0;
	return sent > ours ? sent - ours : 0;
}

static uint64_t low_bits(unsigned n) { return n >= 64 ? UINT64_MAX : (1ull << n) - 1; }

static bool pair_is_blind(struct hot *p, struct mono now)
{
	uint32_t tenths = (uint32_t)(now.ns / 100000000);
	if (!p->blind_until)
		p->blind_until = tenths + BLIND_MS / 100;
	return (int32_t)(p->blind_until - tenths) > 0;
}

/* False: it proves nothing. */
static bool settle(struct detect *d, uint32_t pair, uint8_t dir, uint8_t kind, unsigned sent, uint64_t seen, bool fit,
                   struct mono now)
{
	unsigned good = (unsigned)__builtin_popcountll(seen);
	unsigned lost = sent > good ? sent - good : 0;
	good = sent - lost;
	if (lost && (!fit || pair_is_blind(&d->pairs[pair], now) || mono_before(now, d->overflow_until))) {
		d->stats.unknown_rows++;
		return false;
	}
	d->stats.joined++;
	feed_delivery(d, pair, dir, kind, lost, good, now);
	return true;
}

static void wait_put(struct detect *d, struct wait *w, const struct watch_row *r, uint64_t seen, bool unfit, struct mono now)
{
	struct waiting pushed, *e = wait_find(w, r->pair, r->dir, r->kind, r->epoch);
	if (e) { /* told again */
		e->seen |= seen;
		e->unfit |= unfit;
		return;
	}
	e = wait_add(w, r->pair, r->dir, r->kind, r->epoch, now, &pushed);
	e->seen = seen;
	e->unfit = unfit;
	if (pushed.used) /* something was forgotten: for a while nothing that is missing proves anything */
		d->overflow_until = mono_add_ms(now, RX_KEEP_MS);
}

/* ---- what was missing ---- */

/* It is lost, if the receiver was a good witness all the time. */
static void judge_now(struct detect *d, const struct hot *p, struct waiting *e, struct mono now)
{
	const struct watcher *w = watcher_of(d, receiver_of(p, e->dir));
	bool fit = mono_before(w->unfit, mono_add_ms(e->at, -1000));
	e->judged = true;
	e->unfit = !settle(d, e->pair, e->dir, e->kind, (unsigned)__builtin_popcountll(e->seen), 0, fit, now);
	d->stats.lost_rows += !e->unfit;
}

/* The receiver reported for long enough after the sender's row came, and not a word of this epoch. */
static void judge(struct detect *d, struct waiting *e, struct mono now)
{
	const struct hot *p = pair_of(d, e->pair);
	if (!p || !(p->kinds[e->dir] & KIND_BIT(e->kind))) {
		e->judged = e->unfit = true;
		return;
	}
	const struct watcher *w = watcher_of(d, receiver_of(p, e->dir));
	if (watcher_is_fluent(w, e->at) && mono_ms_since(e->at, w->heard) >= watcher_grace_ms(w))
		judge_now(d, p, e, now);
}

/* Something arrived again where all was bad: what is missing from before must count first, or it would break the run of
 * good ones that begins. Receivers report in order. */
static void judge_older(struct detect *d, const struct hot *p, const struct watch_row *r, struct mono now)
{
	const struct watcher *w = watcher_of(d, receiver_of(p, r->dir));
	if (!cell_is_bad(p->dir[r->dir].tallies[r->kind].delivery))
		return;
	for (uint32_t back = OLDER_MAX; back > 0; back--) {
		struct waiting *e = wait_find(&d->tx, r->pair, r->dir, r->kind, r->epoch - back);
		if (e && !e->judged && watcher_is_fluent(w, e->at))
			judge_now(d, p, e, now);
	}
}

static void take_delivery(struct detect *d, const struct hot *p, const struct watch_row *r, struct mono now)
{
	unsigned sent = sent_count(r);
	if (!sent || watcher_of(d, receiver_of(p, r->dir))->deaf & KIND_BIT(r->kind))
		return;
	if (r->not_sent >= r->sent) { /* nothing left: nobody else has to be asked */
		settle(d, r->pair, r->dir, r->kind, sent, 0, true, now);
		return;
	}
	struct waiting *e = wait_find(&d->rx, r->pair, r->dir, r->kind, r->epoch);
	if (e) {
		judge_older(d, p, r, now);
		settle(d, r->pair, r->dir, r->kind, sent, e->seen & low_bits(r->sent), !e->unfit, now);
		wait_remove(&d->rx, e);
	} else if (watcher_is_fluent(watcher_of(d, sender_of(p, r->dir)), now)) {
		wait_put(d, &d->tx, r, low_bits(sent), false, now);
	} else {
		d->stats.unknown_rows++; /* an old row: the other side's may have been forgotten */
	}
}

/* ---- questions ---- */

/* The agent itself answers these, not its kernel. */
static bool agent_answers(uint8_t kind) { return kind_info(kind)->proto == PROTO_UDP || kind_info(kind)->proto == PROTO_TCP; }

static uint64_t asked_pack(const struct asked *a)
{
	return (uint64_t)a->good | (uint64_t)a->failed << 16 | (uint64_t)a->refused << 32 | (uint64_t)a->impostor << 48;
}

static struct asked asked_unpack(uint64_t v)
{
	return (struct asked){.good = v & 0xffff, .failed = v >> 16 & 0xffff, .refused = v >> 32 & 0xffff, .impostor = v >> 48};
}

/* Somebody was there and did not answer? An agent that stood still says nothing about the path. */
static void asked_judge(struct detect *d, struct waiting *e, struct mono now)
{
	const struct hot *p = pair_of(d, e->pair);
	const struct watcher *w = p ? watcher_of(d, receiver_of(p, e->dir)) : NULL;
	struct asked a = asked_unpack(e->seen);
	if (w && p->kinds[e->dir] & KIND_BIT(e->kind) && watcher_is_fluent(w, e->at) && at_or_after(w->heard, e->at) &&
	    mono_before(w->stalled, mono_add_ms(e->at, -1000)))
		feed_initiation(d, e->pair, e->dir, e->kind, &a, now);
	wait_remove(&d->asked, e);
}

static bool asked_is_ripe(struct detect *d, const struct waiting *e)
{
	const struct hot *p = pair_of(d, e->pair);
	const struct watcher *w = p ? watcher_of(d, receiver_of(p, e->dir)) : NULL;
	return !w || mono_ms_since(e->at, w->heard) >= ASKED_MS;
}

/* What waits from before counts first. */
static void asked_flush(struct detect *d, const struct watch_row *r, struct mono now)
{
	for (uint32_t back = OLDER_MAX; back > 0 && wait_count(&d->asked); back--) {
		struct waiting *e = wait_find(&d->asked, r->pair, r->dir, r->kind, r->epoch - back);
		if (e)
			asked_judge(d, e, now);
	}
}

static void asked_put(struct detect *d, const struct watch_row *r, const struct asked *a, struct mono now)
{
	struct waiting pushed;
	if (!wait_find(&d->asked, r->pair, r->dir, r->kind, r->epoch))
		wait_add(&d->asked, r->pair, r->dir, r->kind, r->epoch, now, &pushed)->seen = asked_pack(a);
}

static void asked_judge_all(struct detect *d, struct mono now)
{
	for (size_t i = 0; i < wait_count(&d->asked);) {
		struct waiting *e = wait_at(&d->asked, i);
		size_t before = wait_count(&d->asked);
		if (e && asked_is_ripe(d, e))
			asked_judge(d, e, now);
		if (wait_count(&d->asked) == before) /* else the tail moved on */
			i++;
	}
	wait_expire(&d->asked, mono_add_ms(now, -TX_KEEP_MS));
}

/* UDP asks for an answer with every other probe, beginning with the first. */
static void take_initiation(struct detect *d, const struct watch_row *r, bool fit, struct mono now)
{
	unsigned sent = sent_count(r), answered = (unsigned)r->answered + r->late;
	unsigned asked = kind_info(r->kind)->proto == PROTO_UDP ? (sent + 1) / 2 : sent;
	if (!r->wants_answer || !asked)
		return;
	struct asked a = {.good = answered < asked ? answered : asked, .refused = r->refused, .impostor = r->impostor};
	a.failed = asked - a.good;
	if (a.failed && (!fit || pair_is_blind(&d->pairs[r->pair], now)))
		return;
	if (a.failed > a.refused + a.impostor && agent_answers(r->kind)) {
		asked_put(d, r, &a, now);
	} else {
		asked_flush(d, r, now);
		feed_initiation(d, r->pair, r->dir, r->kind, &a, now);
	}
	if (!r->rtt_us)
		return;
	d->pairs[r->pair].dir[r->dir].rtt_us = r->rtt_us;
	bool late_itself = watcher_of(d, sender_of(&d->pairs[r->pair], r->dir))->lagged.ns == now.ns;
	if (fit && !late_itself && kind_info(r->kind)->proto == PROTO_ICMP && !kind_info(r->kind)->large)
		feed_rtt(d, r->pair, &d->pairs[r->pair].dir[r->dir], r->rtt_us);
}

/* It was taken for lost, wrongly: this observer needs more time. */
static void take_back(struct detect *d, const struct hot *p, const struct waiting *e)
{
	struct tally *c = &d->pairs[e->pair].dir[e->dir].tallies[e->kind];
	struct side *s = &d->pairs[e->pair].dir[e->dir];
	struct watcher *w = watcher_of(d, receiver_of(p, e->dir));
	unsigned lost = (unsigned)__builtin_popcountll(e->seen);
	w->late_ms = w->late_ms + LATE_STEP_MS > LATE_MAX_MS ? LATE_MAX_MS : w->late_ms + LATE_STEP_MS;
	d->stats.late_rows++;
	s->sent -= s->sent < lost ? s->sent : lost;
	c->streak = 0;
	if (!s->lossy)
		s->pool = (uint16_t)test_feed(s->pool, 0, 0, lost, SLOW_LOST, UINT16_MAX);
	if (cell_is_bad(c->delivery))
		return;
	c->fast[0] = 0;
	c->slow = (uint16_t)test_feed(c->slow, 0, 0, lost, SLOW_LOST, UINT16_MAX);
}

static void take_arrivals(struct detect *d, const struct hot *p, const struct watch_row *r, bool fit, struct mono now)
{
	struct waiting *e = wait_find(&d->tx, r->pair, r->dir, r->kind, r->epoch);
	if (!e) {
		wait_put(d, &d->rx, r, r->seen, !fit, now);
		return;
	}
	if (fit && kind_info(r->kind)->proto == PROTO_UDP && !kind_info(r->kind)->large)
		feed_copies(d, r->pair, &d->pairs[r->pair].dir[r->dir], r->duplicated > 0);
	if (e->judged && !e->unfit)
		take_back(d, p, e);
	judge_older(d, p, r, now);
	/* e->seen has one bit per probe that counts; more bits than probes cannot be, fewer are lost */
	settle(d, r->pair, r->dir, r->kind, (unsigned)__builtin_popcountll(e->seen), r->seen, fit, now);
	wait_remove(&d->tx, e);
}

static void take_row(struct detect *d, uint32_t member, const struct watch_row *r, bool fit, struct mono now)
{
	struct hot *p = pair_of(d, r->pair);
	bool known = p && r->dir < 2 && r->kind < KINDS && p->kinds[r->dir] & KIND_BIT(r->kind);
	if (!known || member != (r->sender ? sender_of(p, r->dir) : receiver_of(p, r->dir))) {
		d->stats.foreign_rows++;
		return;
	}
	(void)pair_is_blind(p, now); /* its time begins with the first row */
	if (r->sender) {
		take_initiation(d, r, fit, now);
		take_delivery(d, p, r, now);
	} else {
		take_arrivals(d, p, r, fit, now);
	}
}

void detect_rows(struct detect *d, uint32_t member, const struct watch_row *rows, size_t count, const struct health *h,
                 struct mono now)
{
	struct watcher *w = watcher_of(d, member);
	d->now = now;
	watcher_hear(w, h, now);
	bool fit = w->unfit.ns != now.ns;
	for (size_t i = 0; i < count; i++)
		take_row(d, member, &rows[i], fit, now);
}

/* ---- time passes ---- */

static void judge_all(struct detect *d, struct mono now)
{
	for (size_t i = 0; i < wait_count(&d->tx); i++) {
		struct waiting *e = wait_at(&d->tx, i);
		if (e && !e->judged)
			judge(d, e, now);
	}
	wait_expire(&d->tx, mono_add_ms(now, -TX_KEEP_MS));
	wait_expire(&d->rx, mono_add_ms(now, -RX_KEEP_MS));
}

static void sweep_side(struct detect *d, struct side *s, bool halve, struct mono now)
{
	for (size_t k = 0; k < KINDS; k++)
		for (size_t i = 0; i < 2; i++)
			if (!stamp_is_fresh(d, s->tallies[k].at[i], now))
				s->tallies[k].at[i] = 0;
	if (halve) {
		s->sent /= 2;
		s->received /= 2;
	}
}

static void sweep(struct detect *d, struct mono now)
{
	if (mono_ms_since(d->swept, now) < SWEEP_MS)
		return;
	bool halve = ++d->sweeps % HALVE_SWEEPS == 0;
	d->swept = now;
	for (size_t i = 0; i < d->pair_count; i++)
		for (size_t dir = 0; dir < 2 && d->pairs[i].used; dir++)
			sweep_side(d, &d->pairs[i].dir[dir], halve, now);
	for (size_t i = 0; i < d->watcher_count && halve; i++)
		d->watchers[i].late_ms -= d->watchers[i].late_ms < LATE_STEP_MS ? d->watchers[i].late_ms : LATE_STEP_MS;
}

/* What single kinds do not show yet: told of those that are measured most. */
static kind_mask poor_mask(const struct hot *p, size_t dir, bool delivery)
{
	const kind_mask told = KIND_BIT(KIND_UDP) | KIND_BIT(KIND_UDP6) | KIND_BIT(KIND_ICMP) | KIND_BIT(KIND_ICMP6);
	return (delivery ? p->dir[dir].lossy : p->dir[dir].slow) ? told & p->kinds[dir] : 0;
}

static kind_mask bad_mask(const struct hot *p, size_t dir, bool delivery)
{
	kind_mask bad = poor_mask(p, dir, delivery);
	for (size_t k = 0; k < KINDS; k++) {
		const struct tally *c = &p->dir[dir].tallies[k];
		if (cell_is_bad(delivery ? c->delivery : c->initiation))
			bad |= KIND_BIT(k);
	}
	return bad;
}

static bool side_is_poor(const struct side *s)
{
	bool partial = s->lossy || s->slow || s->doubled;
	for (size_t k = 0; k < KINDS; k++)
		partial |= s->tallies[k].delivery == CELL_PARTIAL || s->tallies[k].initiation == CELL_PARTIAL;
	return partial;
}

static bool pair_is_poor(const struct hot *p) { return side_is_poor(&p->dir[0]) || side_is_poor(&p->dir[1]); }

/* Fills the event, if there is one to tell. */
static bool pair_event(struct detect *d, uint32_t pair, struct detect_event *out)
{
	struct hot *p = &d->pairs[pair];
	bool suspect = p->suspect, well = p->well, doubt = p->doubt;
	kind_mask all = 0;
	p->listed = p->suspect = p->well = p->doubt = false;
	if (!p->used)
		return false;
	*out = (struct detect_event){.pair = pair};
	for (size_t dir = 0; dir < 2; dir++) {
		out->delivery[dir] = bad_mask(p, dir, true);
		out->initiation[dir] = bad_mask(p, dir, false);
		all |= out->delivery[dir] | out->initiation[dir];
	}
	out->type = all ? DETECT_SUSPECT : doubt ? DETECT_DOUBT : DETECT_WELL;
	out->poor = doubt || pair_is_poor(p);
	return (all ? suspect : well) || doubt;
}

size_t detect_tick(struct detect *d, struct mono now, struct detect_event *out, size_t max)
{
	size_t count = 0, done = 0;
	d->now = now;
	judge_all(d, now);
	asked_judge_all(d, now);
	sweep(d, now);
	while (done < d->dirty_count && count < max)
		count += pair_event(d, d->dirty[done++], &out[count]);
	d->dirty_count -= done;
	if (d->dirty_count)
		memmove(d->dirty, d->dirty + done, d->dirty_count * sizeof(*d->dirty));
	return count;
}

/* ---- answers ---- */

static uint8_t cell_shown(const struct detect *d, uint8_t value, uint8_t stamp)
{
	return stamp_is_fresh(d, stamp, d->now) ? value : CELL_UNKNOWN;
}

static void show_side(const struct detect *d, const struct hot *p, size_t dir, struct cells *out)
{
	const struct side *s = &p->dir[dir];
	for (size_t k = 0; k < KIND_COUNT; k++) {
		bool watched = k < KINDS && p->kinds[dir] & KIND_BIT(k);
		out->delivery[dir][k] = watched ? cell_shown(d, s->tallies[k].delivery, s->tallies[k].at[0]) : CELL_SKIPPED;
		out->initiation[dir][k] = watched ? cell_shown(d, s->tallies[k].initiation, s->tallies[k].at[1]) : CELL_SKIPPED;
		if (poor_mask(p, dir, true) & KIND_BIT(k) && out->delivery[dir][k] == CELL_OK)
			out->delivery[dir][k] = CELL_PARTIAL;
		if (poor_mask(p, dir, false) & KIND_BIT(k) && out->initiation[dir][k] == CELL_OK)
			out->initiation[dir][k] = CELL_SLOW;
	}
	out->usual_us[dir] = s->young == USUAL_YOUNG ? octaves_us(s->usual) : 0;
	out->doubtful |= s->doubt || s->pool > POOL_DOUBTS / 2;
	out->rtt_us[dir] = s->rtt_us;
	out->sent[dir] = s->sent;
	out->received[dir] = s->received;
}

static bool pair_is_measured(const struct hot *p)
{
	for (size_t dir = 0; dir < 2; dir++)
		for (size_t k = 0; k < KINDS; k++)
			if (p->kinds[dir] & KIND_BIT(k) && !p->dir[dir].tallies[k].measured)
				return false;
	return true;
}

bool detect_cells(const struct detect *d, uint32_t pair, struct cells *out)
{
	const struct hot *p = pair_of(d, pair);
	*out = (struct cells){0};
	if (!p)
		return false;
	show_side(d, p, 0, out);
	show_side(d, p, 1, out);
	out->measured = pair_is_measured(p);
	return true;
}

static bool is_online(const struct detect *d, uint32_t member) { return member < d->watcher_count && d->watchers[member].online; }

bool detect_all_measured(const struct detect *d)
{
	for (size_t i = 0; i < d->pair_count; i++) {
		const struct hot *p = &d->pairs[i];
		if (p->used && is_online(d, p->a) && is_online(d, p->b) && !pair_is_measured(p))
			return false;
	}
	return true;
}

size_t detect_bytes_per_direction(void) { return sizeof(struct hot) / 2; }

struct detect_stats detect_stats(const struct detect *d)
{
	struct detect_stats s = d->stats;
	s.waiting = wait_count(&d->tx) + wait_count(&d->rx);
	return s;
}
