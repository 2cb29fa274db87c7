/* watch: the counting probes that always run. Every (peer, kind) we send is a `sender` in a heap ordered by what it has to
 * do next: send, or notice that an answer is overdue. Senders count in epochs; receivers keep a bitmap per epoch. */
#include "agent/watch.h"

#include "proto/base/mem.h"

#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MIN_US  150000
#define TIMEOUT_MAX_US  1000000
#define REORDER_MS      50 /* a receiver's epoch waits that long for stragglers when the next one has begun */
#define HOT_PROBES      40 /* at full rate after a change for the worse or the better */
#define REFUSALS_SLOW   3  /* in a row; then REFUSED_MS: kernels limit the errors they send */
#define REFUSED_MS      1000
#define NEIGH_MS        300
#define MISSES_DECIDE   3 /* missing answers that close an epoch early, so that they are reported soon */
#define REPORT_MS_MIN   100
#define INTERVAL_MS_MIN 10
#define BURST_MIN       8
#define TOKEN           1000000LL
#define NEVER           ((struct mono){INT64_MAX})

struct epoch {
	bool open;
	uint32_t number;
	uint8_t sent, not_sent, late, refused, impostor;
	uint8_t at_cap;
	int16_t error;
	seqset asked, settled, answered, missed;
	struct mono started, last_ask;
	uint32_t *at; /* us after `started` it was sent; of answered ones: the round-trip time */
};

struct sender {
	uint32_t peer; /* index into the plan */
	uint8_t kind;
	uint8_t hot, refusals;
	bool bad;      /* the last thing that happened was a missing answer */
	bool deferred; /* waits for the budget, counted once */
	uint32_t next_epoch, rtt_us;
	size_t heap_at;
	struct mono send_at, check_at;
	struct epoch now, before; /* running; and the one whose answers still have time */
};

struct arrivals {
	bool open;
	uint32_t epoch;
	uint8_t highest, duplicated, reordered;
	seqset seen;
	struct mono first, last;
};

struct receiver {
	struct arrivals e[2];
};

struct watched { /* parallel to plan.peers */
	size_t sender_count;
	struct sender *senders;
	struct receiver *receivers[KIND_COUNT]; /* made when something arrives */
};

struct watch {
	struct plan plan; /* peers sorted by pair */
	struct watched *peers;
	struct sender **heap;
	size_t heap_count;
	uint64_t random;
	int64_t tokens;
	struct mono refilled, resume;
	struct watch_row *ready; /* rows that had to leave their slot */
	size_t ready_count, ready_cap;
	struct watch_stats stats;
};

/* ---- small things ---- */

static uint64_t watch_random(struct watch *w)
{
	uint64_t x = w->random += 0x9e3779b97f4a7c15u; /* splitmix64 */
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static void count_up(uint8_t *n) { *n += *n < UINT8_MAX; }
static struct mono earlier(struct mono a, struct mono b) { return mono_before(a, b) ? a : b; }

bool watch_wants_answer(uint8_t kind, uint8_t seq) { return kind_info(kind)->proto != PROTO_UDP || seq % 2 == 0; }

static int64_t report_ms(const struct watch *w) { return w->plan.report_ms > REPORT_MS_MIN ? w->plan.report_ms : REPORT_MS_MIN; }

static int64_t sender_timeout_us(const struct sender *s)
{
	int64_t us = 3 * (int64_t)s->rtt_us;
	if (us < TIMEOUT_MIN_US)
		return TIMEOUT_MIN_US;
	return us > TIMEOUT_MAX_US ? TIMEOUT_MAX_US : us;
}

/* ---- the heap of senders, by what is due first ---- */

static struct mono sender_due(const struct sender *s) { return earlier(s->send_at, s->check_at); }

static void heap_put(struct watch *w, size_t at, struct sender *s)
{
	w->heap[at] = s;
	s->heap_at = at;
}

static void heap_fix(struct watch *w, struct sender *s)
{
	size_t at = s->heap_at;
	while (at > 0 && mono_before(sender_due(s), sender_due(w->heap[(at - 1) / 2]))) {
		heap_put(w, at, w->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	for (size_t child; (child = 2 * at + 1) < w->heap_count; at = child) {
		if (child + 1 < w->heap_count && mono_before(sender_due(w->heap[child + 1]), sender_due(w->heap[child])))
			child++;
		if (!mono_before(sender_due(w->heap[child]), sender_due(s)))
			break;
		heap_put(w, at, w->heap[child]);
	}
	heap_put(w, at, s);
}

static void heap_build(struct watch *w)
{
	size_t total = 0;
	for (size_t i = 0; i < w->plan.peer_count; i++)
		total += w->peers[i].sender_count;
	w->heap = mem_resize(w->heap, total ? total : 1, sizeof(*w->heap));
	w->heap_count = 0;
	for (size_t i = 0; i < w->plan.peer_count; i++)
		for (size_t k = 0; k < w->peers[i].sender_count; k++) {
			heap_put(w, w->heap_count++, &w->peers[i].senders[k]);
			heap_fix(w, &w->peers[i].senders[k]);
		}
}

/* ---- rows ---- */

static struct watch_row *ready_add(struct watch *w)
{
	if (w->ready_count == REPORT_ROWS_MAX) {
		w->stats.rows_dropped++;
		memmove(w->ready, w->ready + 1, --w->ready_count * sizeof(*w->ready));
	}
	return VEC_ADD(w->ready, w->ready_count, w->ready_cap);
}

static int compare_us(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static uint32_t epoch_median_us(const struct epoch *e)
{
	uint32_t us[FLOW_PROBES_MAX];
	size_t n = 0;
	for (size_t i = 0; i < e->sent; i++)
		if (e->answered >> i & 1)
			us[n++] = e->at[i];
	if (n == 0)
		return 0;
	qsort(us, n, sizeof(us[0]), compare_us);
	return us[n / 2] ? us[n / 2] : 1;
}

/* Turns the epoch into its row and closes it. */
static void epoch_close(struct watch *w, const struct sender *s, struct epoch *e, struct watch_row *row)
{
	const struct peer *p = &w->plan.peers[s->peer];
	*row = (struct watch_row){
	    .pair = p->pair,
	    .dir = p->is_a ? 0 : 1,
	    .kind = s->kind,
	    .sender = true,
	    .epoch = e->number,
	    .sent = e->sent,
	    .not_sent = e->not_sent,
	    .answered = __builtin_popcountll(e->answered),
	    .late = e->late,
	    .refused = e->refused,
	    .impostor = e->impostor,
	    .wants_answer = true,
	    .error = e->error,
	    .rtt_us = kind_info(s->kind)->proto == PROTO_ICMP ? epoch_median_us(e) : 0,
	};
	e->open = false;
}

static void arrivals_close(struct watch *w, size_t peer, uint8_t kind, struct arrivals *a, struct watch_row *row)
{
	const struct peer *p = &w->plan.peers[peer];
	*row = (struct watch_row){
	    .pair = p->pair,
	    .dir = p->is_a ? 1 : 0,
	    .kind = kind,
	    .epoch = a->epoch,
	    .seen = a->seen,
	    .duplicated = a->duplicated,
	    .reordered = a->reordered,
	};
	a->open = false;
}

/* ---- epochs of the sender ---- */

/* No more probes go into it. */
static bool epoch_ended(const struct watch *w, const struct epoch *e, struct mono now)
{
	return e->sent == FLOW_PROBES_MAX || mono_ms_since(e->started, now) >= report_ms(w) ||
	       __builtin_popcountll(e->missed) >= MISSES_DECIDE;
}

/* All its answers came or had their time. */
static bool epoch_done(const struct sender *s, const struct epoch *e, struct mono now)
{
	return !(e->asked & ~e->settled) || mono_reached(mono_add_us(e->last_ask, sender_timeout_us(s)), now);
}

static void epoch_open(struct sender *s, struct epoch *e, struct mono now)
{
	uint32_t *at = e->at;
	uint8_t cap = e->at_cap;
	*e = (struct epoch){.open = true, .number = s->next_epoch++, .started = now, .last_ask = now, .at = at, .at_cap = cap};
}

/* The epoch the next probe counts in; NULL when it must wait for the one before to close. */
static struct epoch *sender_epoch(struct watch *w, struct sender *s, struct mono now)
{
	if (!s->now.open) {
		epoch_open(s, &s->now, now);
		return &s->now;
	}
	if (!epoch_ended(w, &s->now, now))
		return &s->now;
	if (s->before.open) {
		if (!epoch_done(s, &s->before, now))
			return s->now.sent < FLOW_PROBES_MAX ? &s->now : NULL;
		epoch_close(w, s, &s->before, ready_add(w));
	}
	struct epoch freed = s->before;
	s->before = s->now;
	s->now = freed;
	epoch_open(s, &s->now, now);
	return &s->now;
}

static struct epoch *sender_find_epoch(struct sender *s, uint32_t number)
{
	if (s->now.open && s->now.number == number)
		return &s->now;
	return s->before.open && s->before.number == number ? &s->before : NULL;
}

static void epoch_note_time(struct epoch *e, uint8_t seq, struct mono now)
{
	if (seq >= e->at_cap) {
		e->at_cap = e->at_cap ? e->at_cap * 2 : 4;
		e->at = mem_resize(e->at, e->at_cap, sizeof(*e->at));
	}
	e->at[seq] = (uint32_t)mono_us_since(e->started, now);
}

/* ---- pace ---- */

static int64_t sender_interval_ms(const struct watch *w, const struct sender *s)
{
	const struct kind_info *k = kind_info(s->kind);
	int64_t ms = w->plan.peers[s->peer].interval_ms;
	if (ms < INTERVAL_MS_MIN)
		ms = INTERVAL_MS_MIN;
	if (s->refusals >= REFUSALS_SLOW)
		return ms > REFUSED_MS ? ms : REFUSED_MS;
	if (s->hot)
		return ms;
	if (k->proto == PROTO_NEIGH)
		return ms > NEIGH_MS ? ms : NEIGH_MS;
	return k->large || k->proto == PROTO_TCP ? 4 * ms : ms;
}

static struct mono on_grid(struct mono t)
{
	int64_t tick = WATCH_TICK_MS * 1000000LL;
	return (struct mono){(t.ns + tick / 2) / tick * tick};
}

static void sender_plan_next(struct watch *w, struct sender *s, struct mono now)
{
	int64_t us = sender_interval_ms(w, s) * 1000;
	us += (int64_t)(watch_random(w) % (uint64_t)(us / 2 + 1)) - us / 4;
	s->send_at = on_grid(mono_add_us(now, us));
	if (mono_reached(s->send_at, now))
		s->send_at = mono_add_ms(s->send_at, WATCH_TICK_MS);
	s->hot -= s->hot > 0;
}

static void sender_heat(struct watch *w, struct sender *s, bool bad, struct mono now)
{
	if (s->bad == bad)
		return;
	s->bad = bad;
	s->hot = HOT_PROBES;
	s->send_at = earlier(s->send_at, on_grid(mono_add_ms(now, w->plan.peers[s->peer].interval_ms / 2)));
}

/* When the oldest open question of the epoch runs out of time; marks those that have. */
static struct mono epoch_check(const struct sender *s, struct epoch *e, struct mono now)
{
	struct mono next = NEVER;
	seqset waiting = e->open ? e->asked & ~e->settled & ~e->missed : 0;
	for (; waiting; waiting &= waiting - 1) {
		uint8_t seq = (uint8_t)__builtin_ctzll(waiting);
		struct mono deadline = mono_add_us(e->started, e->at[seq] + sender_timeout_us(s));
		if (!mono_reached(deadline, now))
			return earlier(next, deadline);
		e->missed |= 1ull << seq;
	}
	return next;
}

static void sender_check(struct watch *w, struct sender *s, struct mono now)
{
	seqset missed = s->now.missed, missed_before = s->before.missed;
	struct mono a = epoch_check(s, &s->now, now), b = epoch_check(s, &s->before, now);
	s->check_at = earlier(a, b);
	if (missed != s->now.missed || missed_before != s->before.missed)
		sender_heat(w, s, true, now);
}

/* ---- budget: a token bucket ---- */

static int64_t probe_cost(uint8_t kind) { return kind_info(kind)->proto == PROTO_TCP ? 4 * TOKEN : TOKEN; }

static void budget_refill(struct watch *w, struct mono now)
{
	int64_t pps = w->plan.budget_pps, most = (pps / 5 > BURST_MIN ? pps / 5 : BURST_MIN) * TOKEN;
	int64_t us = mono_us_since(w->refilled, now);
	w->refilled = now;
	w->tokens += us > 1000000 ? most : us * pps;
	if (w->tokens > most)
		w->tokens = most;
}

static bool budget_take(struct watch *w, struct sender *s, struct mono now)
{
	int64_t cost = probe_cost(s->kind), pps = w->plan.budget_pps;
	if (w->tokens >= cost) {
		w->tokens -= cost;
		s->deferred = false;
		return true;
	}
	w->stats.limited += !s->deferred;
	s->deferred = true;
	w->resume = pps ? mono_add_us(now, (cost - w->tokens + pps - 1) / pps) : mono_add_ms(now, 1000);
	return false;
}

/* ---- sending ---- */

static void sender_emit(struct watch *w, struct sender *s, struct epoch *e, struct mono now, struct watch_probe *out)
{
	const struct peer *p = &w->plan.peers[s->peer];
	uint8_t seq = e->sent++;
	epoch_note_time(e, seq, now);
	if (watch_wants_answer(s->kind, seq)) {
		e->asked |= 1ull << seq;
		e->last_ask = now;
		s->check_at = earlier(s->check_at, mono_add_us(now, sender_timeout_us(s)));
	}
	*out = (struct watch_probe){
	    .peer = p,
	    .header = {.kind = s->kind,
	               .wants_answer = watch_wants_answer(s->kind, seq),
	               .pair = p->pair,
	               .epoch = e->number,
	               .seq = seq,
	               .dir = p->is_a ? 0 : 1,
	               .time_us = (uint32_t)(now.ns / 1000)},
	};
	sender_plan_next(w, s, now);
}

size_t watch_due(struct watch *w, struct mono now, struct watch_probe *out, size_t max)
{
	size_t n = 0;
	budget_refill(w, now);
	w->resume = (struct mono){0};
	while (n < max && w->heap_count > 0 && mono_reached(sender_due(w->heap[0]), now)) {
		struct sender *s = w->heap[0];
		if (mono_reached(s->check_at, now))
			sender_check(w, s, now);
		if (mono_reached(s->send_at, now)) {
			if (!budget_take(w, s, now))
				break;
			struct epoch *e = sender_epoch(w, s, now);
			if (e)
				sender_emit(w, s, e, now, &out[n++]);
			else
				sender_plan_next(w, s, now);
		}
		heap_fix(w, s);
	}
	return n;
}

struct mono watch_next(const struct watch *w)
{
	struct mono due = w->heap_count ? sender_due(w->heap[0]) : NEVER;
	return mono_before(due, w->resume) ? w->resume : due;
}

/* ---- what became of them ---- */

static size_t find_peer(const struct watch *w, uint32_t pair)
{
	size_t lo = 0, hi = w->plan.peer_count;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (w->plan.peers[mid].pair < pair)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < w->plan.peer_count && w->plan.peers[lo].pair == pair ? lo : SIZE_MAX;
}

const struct peer *watch_peer(const struct watch *w, uint32_t pair)
{
	size_t i = find_peer(w, pair);
	return i == SIZE_MAX ? NULL : &w->plan.peers[i];
}

static struct sender *find_sender(const struct watch *w, uint32_t pair, uint8_t kind)
{
	size_t i = find_peer(w, pair);
	if (i == SIZE_MAX)
		return NULL;
	for (size_t k = 0; k < w->peers[i].sender_count; k++)
		if (w->peers[i].senders[k].kind == kind)
			return &w->peers[i].senders[k];
	return NULL;
}

void watch_sent(struct watch *w, const struct probe_header *h, int error, struct mono now)
{
	struct sender *s = error ? find_sender(w, h->pair, h->kind) : NULL;
	struct epoch *e = s ? sender_find_epoch(s, h->epoch) : NULL;
	if (!e || h->seq >= e->sent || e->settled >> h->seq & 1)
		return;
	count_up(&e->not_sent);
	e->error = (int16_t)error;
	e->settled |= 1ull << h->seq;
	sender_heat(w, s, true, now);
	heap_fix(w, s);
}

static void epoch_answered(struct watch *w, struct sender *s, struct epoch *e, uint8_t seq, struct mono now)
{
	int64_t rtt = mono_us_since(e->started, now) - e->at[seq];
	e->settled |= 1ull << seq;
	if (rtt > sender_timeout_us(s)) {
		count_up(&e->late);
	} else {
		e->answered |= 1ull << seq;
		e->at[seq] = (uint32_t)(rtt > 0 ? rtt : 0);
	}
	s->rtt_us = s->rtt_us ? (uint32_t)((7 * (int64_t)s->rtt_us + rtt) / 8) : (uint32_t)rtt;
	s->refusals = 0;
	sender_heat(w, s, false, now);
}

static void epoch_refused(struct watch *w, struct sender *s, struct epoch *e, uint8_t seq, struct mono now)
{
	e->settled |= 1ull << seq;
	count_up(&e->refused);
	count_up(&s->refusals);
	sender_heat(w, s, true, now);
	if (s->refusals == REFUSALS_SLOW)
		s->send_at = on_grid(mono_add_ms(now, sender_interval_ms(w, s)));
}

void watch_answered(struct watch *w, uint32_t pair, uint8_t kind, uint32_t epoch, uint8_t seq, enum watch_answer how,
                    struct mono now)
{
	struct sender *s = find_sender(w, pair, kind);
	struct epoch *e = s ? sender_find_epoch(s, epoch) : NULL;
	if (!e) { /* its epoch is reported: count it where it still can be told */
		if (s && s->now.open && how == WATCH_ANSWERED && (int32_t)(epoch - s->now.number) < 0)
			count_up(&s->now.late);
		return;
	}
	if (seq >= e->sent)
		return;
	if (how == WATCH_IMPOSTOR)
		count_up(&e->impostor);
	else if (e->settled >> seq & 1)
		return;
	else if (how == WATCH_ANSWERED)
		epoch_answered(w, s, e, seq, now);
	else
		epoch_refused(w, s, e, seq, now);
	s->check_at = earlier(epoch_check(s, &s->now, (struct mono){0}), epoch_check(s, &s->before, (struct mono){0}));
	heap_fix(w, s);
}

/* ---- arrivals ---- */

/* The slot of that epoch; a new epoch takes a free slot or that of the one silent longest, whose row then leaves early. */
static struct arrivals *receiver_slot(struct watch *w, size_t peer, uint8_t kind, uint32_t epoch, struct mono now)
{
	struct receiver *r = w->peers[peer].receivers[kind];
	if (!r)
		r = w->peers[peer].receivers[kind] = mem_alloc(sizeof(*r));
	for (size_t i = 0; i < 2; i++)
		if (r->e[i].open && r->e[i].epoch == epoch)
			return &r->e[i];
	struct arrivals *a = !r->e[0].open ? &r->e[0] : !r->e[1].open ? &r->e[1] : NULL;
	if (!a) {
		a = mono_before(r->e[0].last, r->e[1].last) ? &r->e[0] : &r->e[1];
		arrivals_close(w, peer, kind, a, ready_add(w));
	}
	*a = (struct arrivals){.open = true, .epoch = epoch, .first = now, .last = now};
	return a;
}

void watch_received(struct watch *w, const struct probe_header *h, struct mono now)
{
	size_t i = find_peer(w, h->pair);
	if (i == SIZE_MAX || h->kind >= KIND_COUNT || h->seq >= FLOW_PROBES_MAX || h->dir != (w->plan.peers[i].is_a ? 1 : 0))
		return;
	struct arrivals *a = receiver_slot(w, i, h->kind, h->epoch, now);
	a->last = now;
	if (a->seen >> h->seq & 1) {
		count_up(&a->duplicated);
		return;
	}
	a->seen |= 1ull << h->seq;
	if (h->seq < a->highest)
		count_up(&a->reordered);
	else
		a->highest = h->seq;
}

/* ---- reporting ---- */

struct rows {
	struct watch_row *out;
	size_t count, max;
};

static bool arrivals_over(const struct watch *w, const struct arrivals *a, const struct arrivals *other, struct mono now)
{
	bool later_began = other->open && mono_before(a->first, other->first);
	/* the sender spreads an epoch over less than a report interval; looking with the ticks adds to that */
	return mono_ms_since(a->last, now) >= (later_began ? 0 : report_ms(w)) + REORDER_MS;
}

static void report_receivers(struct watch *w, size_t peer, struct rows *r, struct mono now)
{
	for (uint8_t kind = 0; kind < KIND_COUNT; kind++) {
		struct receiver *v = w->peers[peer].receivers[kind];
		for (size_t i = 0; v && i < 2 && r->count < r->max; i++)
			if (v->e[i].open && arrivals_over(w, &v->e[i], &v->e[1 - i], now))
				arrivals_close(w, peer, kind, &v->e[i], &r->out[r->count++]);
	}
}

static void report_senders(struct watch *w, size_t peer, struct rows *r, struct mono now)
{
	for (size_t k = 0; k < w->peers[peer].sender_count; k++) {
		struct sender *s = &w->peers[peer].senders[k];
		struct epoch *e[2] = {&s->before, &s->now};
		for (size_t i = 0; i < 2 && r->count < r->max; i++)
			if (e[i]->open && epoch_ended(w, e[i], now) && epoch_done(s, e[i], now))
				epoch_close(w, s, e[i], &r->out[r->count++]);
	}
}

size_t watch_report(struct watch *w, struct mono now, struct watch_row *out, size_t max)
{
	struct rows r = {.out = out, .max = max};
	while (r.count < r.max && r.count < w->ready_count) {
		out[r.count] = w->ready[r.count];
		r.count++;
	}
	w->ready_count -= r.count;
	if (w->ready_count)
		memmove(w->ready, w->ready + r.count, w->ready_count * sizeof(*w->ready));
	for (size_t i = 0; i < w->plan.peer_count; i++) {
		report_senders(w, i, &r, now);
		report_receivers(w, i, &r, now);
	}
	return r.count;
}

/* ---- plans ---- */

static void watched_free(struct watched *p)
{
	for (size_t k = 0; k < p->sender_count; k++) {
		free(p->senders[k].now.at);
		free(p->senders[k].before.at);
	}
	free(p->senders);
	for (size_t k = 0; k < KIND_COUNT; k++)
		free(p->receivers[k]);
	*p = (struct watched){0};
}

/* The first probes are spread over the interval. */
static void sender_init(struct watch *w, struct sender *s, size_t peer, uint8_t kind, struct mono now)
{
	*s = (struct sender){.peer = (uint32_t)peer, .kind = kind, .check_at = NEVER, .next_epoch = (uint32_t)watch_random(w)};
	uint64_t spread = (uint64_t)sender_interval_ms(w, s) + 1;
	s->send_at = on_grid(mono_add_ms(now, (int64_t)(watch_random(w) % spread)));
}

static bool sender_take(struct watched *old, uint8_t kind, struct sender *out)
{
	for (size_t k = 0; k < old->sender_count; k++)
		if (old->senders[k].kind == kind) {
			*out = old->senders[k];
			old->senders[k].now = old->senders[k].before = (struct epoch){0};
			return true;
		}
	return false;
}

/* Fills watched peer `i` of the new plan; what `old` (may be NULL) had counted is moved over. */
static void watched_fill(struct watch *w, size_t i, struct watched *old, struct mono now)
{
	const struct peer *p = &w->plan.peers[i];
	struct watched *v = &w->peers[i];
	kind_mask kinds = p->kinds & (KIND_BIT(KIND_COUNT) - 1);
	v->senders = mem_array((size_t)__builtin_popcount(kinds) + 1, sizeof(*v->senders));
	for (uint8_t kind = 0; kind < KIND_COUNT; kind++) {
		if (!(kinds & KIND_BIT(kind)))
			continue;
		struct sender *s = &v->senders[v->sender_count++];
		if (!old || !sender_take(old, kind, s))
			sender_init(w, s, i, kind, now);
		s->peer = (uint32_t)i;
	}
	if (old) {
		memcpy(v->receivers, old->receivers, sizeof(v->receivers));
		memset(old->receivers, 0, sizeof(old->receivers));
	}
}

static int compare_pair(const void *a, const void *b)
{
	const struct peer *x = a, *y = b;
	return (x->pair > y->pair) - (x->pair < y->pair);
}

static bool same_pair(const struct peer *a, const struct peer *b)
{
	return a->pair == b->pair && a->is_a == b->is_a && memcmp(a->key, b->key, PAIR_KEY_LEN) == 0;
}

void watch_plan(struct watch *w, struct plan *p, struct mono now)
{
	struct plan old_plan = w->plan;
	struct watched *old = w->peers;
	w->plan = *p;
	*p = (struct plan){0};
	if (w->plan.peer_count)
		qsort(w->plan.peers, w->plan.peer_count, sizeof(*w->plan.peers), compare_pair);
	w->peers = mem_array(w->plan.peer_count + 1, sizeof(*w->peers));
	for (size_t i = 0, o = 0; i < w->plan.peer_count; i++) {
		while (o < old_plan.peer_count && old_plan.peers[o].pair < w->plan.peers[i].pair)
			o++;
		bool stays = o < old_plan.peer_count && same_pair(&old_plan.peers[o], &w->plan.peers[i]);
		watched_fill(w, i, stays ? &old[o] : NULL, now);
	}
	for (size_t o = 0; o < old_plan.peer_count; o++)
		watched_free(&old[o]);
	free(old);
	plan_clear(&old_plan);
	heap_build(w);
}

const struct plan *watch_current(const struct watch *w) { return &w->plan; }
struct watch_stats watch_stats(const struct watch *w) { return w->stats; }

struct watch *watch_new(uint64_t seed)
{
	struct watch *w = mem_alloc(sizeof(*w));
	w->random = seed;
	return w;
}

void watch_free(struct watch *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->plan.peer_count; i++)
		watched_free(&w->peers[i]);
	free(w->peers);
	free(w->heap);
	free(w->ready);
	plan_clear(&w->plan);
	free(w);
}
