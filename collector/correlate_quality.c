/* correlate_quality: what a train of probes says of packets that arrive: how many are lost, come late, twice, damaged or out of
 * order, how long queues get, and on which stretch of the path that begins.
 *
 * No two clocks are compared. Of one machine's two points the delay between them is known; of two machines' points how much it
 * varies, and from how long a probe's answer stays away behind each of them, the delay there and back. A busy machine makes
 * single packets late: what counts is the quickest packet, or the one in the middle. */
#include "collector/correlate_parts.h"

#include "proto/base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TRAIN_FLOWS_MAX 16
#define SAMPLES_MAX     (TRAIN_FLOWS_MAX * FLOW_PROBES_MAX)

#define LOSS_CHANCE   1e-4  /* healthy networks lose that much */
#define LOSS_PROVEN   8.0   /* log-likelihood ratio: two of 250 may be chance, three are not */
#define DELAY_MIN_US  2000  /* more than usual, and twice the usual */
#define DELAY_LINK_US 20000 /* on one segment, when nothing is known to be usual */
#define JITTER_US     2000
#define STACK_US      20000 /* between a machine's interface and its program: programs have to wait for their turn */
#define QUEUE_US      20000
#define ODD_MIN       4   /* packets: fewer are chance */
#define REORDERED_OF  500 /* of 10000 */
#define DUPLICATED_OF 100
#define SPREAD_TIMES  3 /* a burst leaves a narrow place that much longer than it came */

/* ---- one direction ---- */

struct train {
	const struct dossier *d;
	struct direction *dir;
	int n;
	size_t count;                             /* of views */
	const struct view *view[TRAIN_FLOWS_MAX]; /* of timed flows */
	struct view *views;                       /* owned */
	size_t points;                            /* of the path, at which somebody looked */
	uint8_t at[PATH_POINTS_MAX];              /* their indexes */
	const struct flow_times *probes[PATH_POINTS_MAX][TRAIN_FLOWS_MAX], *answers[PATH_POINTS_MAX][TRAIN_FLOWS_MAX];
	seqset passed[PATH_POINTS_MAX][TRAIN_FLOWS_MAX]; /* seen there or further on */
};

static bool is_burst(const struct view *w) { return w->flow->stage != STAGE_TRAIN; }

static int party_at(const struct train *t, size_t point)
{
	int at = t->d->path[t->n][t->at[point]];
	return at < 0 ? -1 - at : t->d->points[at].party;
}

static bool is_socket(const struct train *t, size_t point) { return t->d->path[t->n][t->at[point]] < 0; }

static void times_find(struct train *t, size_t point)
{
	int at = t->d->path[t->n][t->at[point]];
	uint8_t id = at < 0 ? TIMES_SOCKET : t->d->points[at].id;
	for (size_t i = 0; i < t->count; i++) {
		uint8_t flow = t->view[i]->flow->id;
		t->probes[point][i] = dossier_times(t->d, party_at(t, point), id, flow, PART_PROBE);
		t->answers[point][i] = dossier_times(t->d, party_at(t, point), id, flow, PART_ANSWER);
	}
}

static void passed_find(struct train *t)
{
	for (size_t i = 0; i < t->count; i++) {
		seqset further = 0;
		for (size_t p = t->points; p-- > 0;) {
			further |= t->view[i]->probes.at[t->at[p]].set;
			t->passed[p][i] = further;
		}
	}
}

static bool everybody_looked(const struct train *t, size_t index)
{
	for (size_t i = 0; i < t->count; i++)
		if (!t->view[i]->probes.at[index].looked)
			return false;
	return true;
}

static void train_views(struct train *t)
{
	t->views = mem_array(TRAIN_FLOWS_MAX, sizeof *t->views);
	for (size_t i = 0; i < t->d->flow_count && t->count < TRAIN_FLOWS_MAX; i++) {
		const struct flow *f = &t->d->flows[i];
		struct view *w = &t->views[t->count];
		if (!f->timed || f->dir != t->n)
			continue;
		view_fill(t->d, f, w);
		if (w->sent && w->sent->sent)
			t->view[t->count++] = w;
	}
}

static bool train_find(struct train *t)
{
	train_views(t);
	for (size_t i = 0; t->count && i < t->d->path_count[t->n]; i++)
		if (everybody_looked(t, i))
			t->at[t->points++] = (uint8_t)i;
	for (size_t p = 0; p < t->points; p++)
		times_find(t, p);
	passed_find(t);
	return t->count && t->points >= 2;
}

static struct odd *odd_add(const struct train *t, enum oddity what, size_t from, size_t to, uint32_t amount)
{
	struct quality *q = &t->dir->quality;
	if (q->odd_count == ODDS_MAX)
		return NULL;
	struct odd *o = &q->odds[q->odd_count++];
	*o = (struct odd){.what = (uint8_t)what, .after = t->at[from], .before = t->at[to], .amount = amount};
	return o;
}

/* ---- samples ---- */

struct samples {
	size_t count;
	int64_t us[SAMPLES_MAX];
};

static int compare_us(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

static void samples_sort(struct samples *s) { qsort(s->us, s->count, sizeof s->us[0], compare_us); }
static int64_t sample_at(const struct samples *s, unsigned percent) { return s->count ? s->us[(s->count - 1) * percent / 100] : 0; }

static uint32_t bounded(int64_t us) { return us < 0 ? 0 : us > UINT32_MAX ? UINT32_MAX : (uint32_t)us; }

/* later - earlier, of what both saw; sorted. */
static void samples_between(const struct flow_times *earlier, const struct flow_times *later, struct samples *out)
{
	for (seqset both = earlier && later ? earlier->seqs & later->seqs : 0; both; both &= both - 1) {
		int seq = __builtin_ctzll(both);
		if (out->count < SAMPLES_MAX)
			out->us[out->count++] = (int64_t)later->at_us[seq] - earlier->at_us[seq];
	}
}

/* On the way from one point to the next: of one machine a delay, of two only its differences mean something. */
static void samples_of_stretch(const struct train *t, size_t from, bool burst, struct samples *out)
{
	out->count = 0;
	for (size_t i = 0; i < t->count; i++)
		if (is_burst(t->view[i]) == burst)
			samples_between(t->probes[from][i], t->probes[from + 1][i], out);
	samples_sort(out);
}

/* How long answers stay away behind this point, less what they do behind the next. */
static void samples_around(const struct train *t, size_t from, struct samples *out)
{
	out->count = 0;
	for (size_t i = 0; i < t->count; i++) {
		const struct flow_times *p = t->probes[from][i], *a = t->answers[from][i];
		const struct flow_times *q = t->probes[from + 1][i], *b = t->answers[from + 1][i];
		seqset all = p && a && q && b && !is_burst(t->view[i]) ? p->seqs & a->seqs & q->seqs & b->seqs : 0;
		for (; all && out->count < SAMPLES_MAX; all &= all - 1) {
			int s = __builtin_ctzll(all);
			out->us[out->count++] = (int64_t)a->at_us[s] - p->at_us[s] - ((int64_t)b->at_us[s] - q->at_us[s]);
		}
	}
	samples_sort(out);
}

/* ---- loss ---- */

/* Is it more than what healthy networks lose? Likelihood of the share that was seen against that. */
static bool loss_is_proven(uint32_t lost, uint32_t of)
{
	double expected = of * LOSS_CHANCE;
	return lost >= 2 && lost * log(lost / expected) - (lost - expected) >= LOSS_PROVEN;
}

static uint32_t of_10000(uint64_t part, uint64_t of) { return of ? (uint32_t)((part * 10000 + of / 2) / of) : 0; }

static void loss_of_stretch(struct train *t, size_t from, bool burst, uint32_t *lost, uint32_t *of)
{
	*lost = *of = 0;
	for (size_t i = 0; i < t->count; i++) {
		if (is_burst(t->view[i]) != burst)
			continue;
		seqset came = from == 0 ? t->view[i]->sent->sent & t->passed[0][i] : t->passed[from][i];
		*of += (uint32_t)set_count(came);
		*lost += (uint32_t)set_count(came & ~t->passed[from + 1][i]);
	}
}

static uint8_t train_kind(const struct train *t)
{
	for (size_t i = 0; i < t->count; i++)
		if (!is_burst(t->view[i]))
			return t->view[i]->flow->kind;
	return KIND_UDP;
}

static void loss_find(struct correlation *c, struct train *t)
{
	uint32_t lost, of;
	uint8_t kind = train_kind(t);
	for (size_t p = 0; p + 1 < t->points; p++) {
		loss_of_stretch(t, p, false, &lost, &of);
		if (!loss_is_proven(lost, of) || lost == of)
			continue;
		odd_add(t, ODD_LOSS, p, p + 1, of_10000(lost, of));
		cuts_partial(c, t->n, t->at[p], t->at[p + 1], kind);
		if (t->dir->delivery[kind] == CELL_OK)
			t->dir->delivery[kind] = CELL_PARTIAL;
	}
}

static void counts_fill(struct train *t)
{
	struct quality *q = &t->dir->quality;
	for (size_t i = 0; i < t->count; i++) {
		const struct view *w = t->view[i];
		if (is_burst(w))
			continue;
		q->sent += (uint32_t)set_count(w->sent->sent);
		q->received += (uint32_t)set_count(view_delivered(w) & w->sent->sent);
		q->duplicates += w->received ? w->received->duplicates : 0;
	}
}

/* ---- delay ---- */

static void rtt_fill(struct train *t)
{
	struct samples *s = mem_alloc(sizeof *s);
	struct quality *q = &t->dir->quality;
	for (size_t i = 0; i < t->count; i++)
		if (!is_burst(t->view[i]) && is_socket(t, 0))
			samples_between(t->probes[0][i], t->answers[0][i], s);
	samples_sort(s);
	q->rtt_us = s->count ? bounded(sample_at(s, 0)) + (sample_at(s, 0) == 0) : 0;
	q->rtt_p95_us = bounded(sample_at(s, 95));
	q->usual_us = t->d->usual_us[t->n];
	free(s);
}

/* Of the echoes of the round, which no program has to answer: 0 = none. */
static uint32_t echo_us(const struct train *t)
{
	uint32_t least = 0;
	for (size_t i = 0; i < t->d->flow_count; i++) {
		const struct flow *f = &t->d->flows[i];
		const struct flow_sent *s =
		    f->dir == t->n && kind_info(f->kind)->proto == PROTO_ICMP ? dossier_sent(t->d, f->id) : NULL;
		if (s && s->rtt_us && (!least || s->rtt_us < least))
			least = s->rtt_us;
	}
	return least;
}

/* Beyond this a round trip is slow; 0 = nothing is known to be usual. */
static uint32_t slow_from(const struct train *t)
{
	uint32_t usual = t->d->usual_us[t->n];
	if (usual)
		return 2 * usual > usual + DELAY_MIN_US ? 2 * usual : usual + DELAY_MIN_US;
	return t->d->onlink ? DELAY_LINK_US : 0;
}

/* The least that any packet needed there; *around: there and back. */
static int64_t least_us(const struct train *t, size_t from, struct samples *s, bool *around)
{
	*around = party_at(t, from) != party_at(t, from + 1);
	if (*around)
		samples_around(t, from, s);
	else
		samples_of_stretch(t, from, false, s);
	return sample_at(s, 0);
}

static void delay_find(struct train *t)
{
	const struct quality *q = &t->dir->quality;
	uint32_t from = slow_from(t), echo = echo_us(t);
	if (!from || q->rtt_us < from || (echo && echo < from))
		return;
	struct samples *s = mem_alloc(sizeof *s);
	uint32_t more = q->rtt_us - q->usual_us;
	for (size_t p = 0; p + 1 < t->points; p++) {
		bool around;
		int64_t least = least_us(t, p, s, &around);
		bool stack = is_socket(t, p) || is_socket(t, p + 1);
		if (least * 3 < more || least < (stack ? STACK_US : DELAY_MIN_US))
			continue;
		struct odd *o = odd_add(t, ODD_DELAY, p, p + 1, bounded(least));
		if (o)
			o->around = around;
	}
	free(s);
}

/* ---- jitter ---- */

static void jitter_find(struct train *t)
{
	struct samples *s = mem_alloc(sizeof *s);
	for (size_t p = 0; p + 1 < t->points; p++) {
		samples_of_stretch(t, p, false, s);
		int64_t typical = sample_at(s, 50) - sample_at(s, 0);
		bool stack = is_socket(t, p) || is_socket(t, p + 1);
		if (!stack)
			t->dir->quality.jitter_us += bounded(typical);
		if (s->count >= FLOW_PROBES_MAX && typical >= (stack ? STACK_US : JITTER_US))
			odd_add(t, ODD_JITTER, p, p + 1, bounded(typical));
	}
	free(s);
}

/* ---- order ---- */

/* Packets that came after one that was sent after them. */
static uint32_t overtaken(const struct flow_times *times)
{
	uint32_t n = 0;
	for (seqset left = times ? times->seqs : 0; left; left &= left - 1) {
		int seq = __builtin_ctzll(left);
		for (seqset later = left & (left - 1); later; later &= later - 1) {
			if (times->at_us[__builtin_ctzll(later)] < times->at_us[seq]) {
				n++;
				break;
			}
		}
	}
	return n;
}

static uint32_t overtaken_at(const struct train *t, size_t point, uint32_t *of)
{
	uint32_t n = 0;
	*of = 0;
	for (size_t i = 0; i < t->count; i++) {
		n += overtaken(t->probes[point][i]);
		*of += t->probes[point][i] ? (uint32_t)set_count(t->probes[point][i]->seqs) : 0;
	}
	return n;
}

static void order_find(struct train *t)
{
	uint32_t of, before = 0;
	for (size_t p = 0; p < t->points; p++) {
		uint32_t now = overtaken_at(t, p, &of);
		if (p > 0 && now >= before + ODD_MIN && of_10000(now - before, of) >= REORDERED_OF)
			odd_add(t, ODD_REORDER, p - 1, p, of_10000(now - before, of));
		before = now;
		t->dir->quality.reordered = now;
	}
}

/* ---- copies, damage ---- */

static const struct point_seen *seen_at(const struct train *t, size_t point, size_t i)
{
	bool looked;
	int at = t->d->path[t->n][t->at[point]];
	return at < 0 ? NULL : dossier_seen(t->d, t->d->points[at].id, t->view[i]->flow->id, &looked);
}

static void copies_at(const struct train *t, size_t point, uint32_t *copies, uint32_t *damaged, uint32_t *of)
{
	*copies = *damaged = *of = 0;
	for (size_t i = 0; i < t->count; i++) {
		const struct point_seen *s = seen_at(t, point, i);
		*copies += s ? s->duplicates : 0;
		*damaged += s ? (uint32_t)set_count(s->damaged) : 0;
		*of += s ? (uint32_t)set_count(s->probes) : 0;
	}
}

static void copies_find(struct train *t)
{
	uint32_t copies, damaged, of, copies_before = 0, damaged_before = 0;
	size_t last = 0;
	for (size_t p = 0; p < t->points; p++) {
		if (is_socket(t, p))
			continue;
		copies_at(t, p, &copies, &damaged, &of);
		if (copies >= copies_before + ODD_MIN && of_10000(copies - copies_before, of) >= DUPLICATED_OF)
			odd_add(t, ODD_DUPLICATES, last, p, of_10000(copies - copies_before, of));
		if (damaged > damaged_before && loss_is_proven(damaged - damaged_before, of))
			odd_add(t, ODD_DAMAGE, last, p, of_10000(damaged - damaged_before, of));
		copies_before = copies;
		damaged_before = damaged;
		t->dir->quality.damaged = damaged;
		last = p;
	}
}

/* ---- queues ---- */

/* The time between two packets of the burst, in the middle of them all; the size of it does not matter to a sleepy sender. */
static int64_t burst_gap_us(const struct train *t, size_t point, struct samples *s)
{
	s->count = 0;
	for (size_t i = 0; i < t->count; i++) {
		const struct flow_times *times = is_burst(t->view[i]) ? t->probes[point][i] : NULL;
		int last = -1;
		for (seqset left = times ? times->seqs : 0; left; left &= left - 1) {
			int seq = __builtin_ctzll(left);
			if (last >= 0 && s->count < SAMPLES_MAX)
				s->us[s->count++] = ((int64_t)times->at_us[seq] - times->at_us[last]) / (seq - last);
			last = seq;
		}
	}
	samples_sort(s);
	return s->count >= FLOW_PROBES_MAX / 4 ? sample_at(s, 50) : 0;
}

static uint32_t burst_size(const struct train *t)
{
	for (size_t i = 0; i < t->count; i++)
		if (is_burst(t->view[i]))
			return t->view[i]->flow->size;
	return 0;
}

static void queue_find(struct train *t)
{
	struct samples *s = mem_alloc(sizeof *s);
	struct quality *q = &t->dir->quality;
	int64_t gap = burst_gap_us(t, 0, s);
	for (size_t p = 0; p + 1 < t->points; p++) {
		int64_t next = burst_gap_us(t, p + 1, s);
		uint32_t lost, of;
		samples_of_stretch(t, p, true, s);
		int64_t wait = sample_at(s, 100) - sample_at(s, 0);
		bool program = p + 2 == t->points && is_socket(t, p + 1);
		loss_of_stretch(t, p, true, &lost, &of);
		if (!program && wait >= QUEUE_US && next * FLOW_PROBES_MAX >= QUEUE_US && next >= SPREAD_TIMES * gap) {
			odd_add(t, ODD_QUEUE, p, p + 1, bounded(wait));
			q->queue_us = bounded(wait);
			q->rate_kbit = bounded((int64_t)burst_size(t) * 8000 / next);
		}
		gap = next;
	}
	free(s);
}

/* ---- all of it ---- */

static bool is_slow(const struct quality *q)
{
	for (size_t i = 0; i < q->odd_count; i++)
		if (q->odds[i].what == ODD_DELAY)
			return true;
	return false;
}

/* Conversations that begin, later than they should. */
static void cells_mark_slow(struct direction *dir)
{
	for (int k = 0; k < KIND_COUNT; k++)
		if (dir->initiation[k] == CELL_OK && kind_info((enum kind)k)->proto != PROTO_NEIGH)
			dir->initiation[k] = CELL_SLOW;
}

static void odds_find(struct correlation *c, struct train *t)
{
	loss_find(c, t);
	delay_find(t);
	jitter_find(t);
	order_find(t);
	copies_find(t);
	queue_find(t);
}

static void quality_of(struct correlation *c, int n)
{
	struct train *t = mem_alloc(sizeof *t);
	t->d = c->d;
	t->dir = &c->v->dir[n];
	t->n = n;
	if (train_find(t)) {
		t->dir->quality.measured = true;
		counts_fill(t);
		rtt_fill(t);
		if (!party_lagged(c->d, PARTY_A, LAG_UNFIT_US) && !party_lagged(c->d, PARTY_B, LAG_UNFIT_US))
			odds_find(c, t);
	}
	free(t->views);
	free(t);
}

/* ---- one reason for both ---- */

static const struct odd *odd_at(const struct direction *d, enum oddity what, const char *after, const char *before)
{
	char name[2][POINT_NAME_MAX];
	for (size_t i = 0; i < d->quality.odd_count; i++) {
		const struct odd *o = &d->quality.odds[i];
		if (o->what == what && strcmp(path_point_name(&d->path[o->after], name[0]), after) == 0 &&
		    strcmp(path_point_name(&d->path[o->before], name[1]), before) == 0)
			return o;
	}
	return NULL;
}

/* Not less than a third of what it is to explain. */
static bool explains(const struct odd *reason, const struct odd *o) { return reason && 3 * (uint64_t)reason->amount >= o->amount; }

/* Packets that wait for each other come at different times, or all of them late; packets that come at very different times are late
 * there and back, too; and late ones differ by a little. */
static bool is_shadow(const struct verdict *v, int n, const struct odd *o)
{
	const struct direction *d = &v->dir[n], *other = &v->dir[1 - n];
	char after[POINT_NAME_MAX], before[POINT_NAME_MAX];
	path_point_name(&d->path[o->after], after);
	path_point_name(&d->path[o->before], before);
	if (o->what != ODD_DELAY && o->what != ODD_JITTER)
		return false;
	if (explains(odd_at(d, ODD_QUEUE, after, before), o))
		return true;
	if (o->what == ODD_DELAY)
		return explains(odd_at(d, ODD_JITTER, after, before), o) ||
		       (o->around && (explains(odd_at(other, ODD_JITTER, before, after), o) ||
		                      explains(odd_at(other, ODD_QUEUE, before, after), o)));
	const struct odd *delay = odd_at(d, ODD_DELAY, after, before);
	return delay && 3 * (uint64_t)o->amount < delay->amount;
}

static void shadows_drop(struct verdict *v)
{
	bool drop[2][ODDS_MAX] = {{false}};
	for (int n = 0; n < 2; n++)
		for (size_t i = 0; i < v->dir[n].quality.odd_count; i++)
			drop[n][i] = is_shadow(v, n, &v->dir[n].quality.odds[i]);
	for (int n = 0; n < 2; n++) {
		struct quality *q = &v->dir[n].quality;
		size_t kept = 0;
		for (size_t i = 0; i < q->odd_count; i++)
			if (!drop[n][i])
				q->odds[kept++] = q->odds[i];
		q->odd_count = kept;
	}
}

void quality_fill(struct correlation *c)
{
	quality_of(c, 0);
	quality_of(c, 1);
	shadows_drop(c->v);
	for (int n = 0; n < 2; n++)
		if (is_slow(&c->v->dir[n].quality))
			cells_mark_slow(&c->v->dir[n]);
}
