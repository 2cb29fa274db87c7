/* volume_pairs: several faults at once, each at one of the two ends. Each is put into its world alone first, to know what it takes;
 * where the others take everything that would show one of them before it gets there, nobody could tell, and nobody is asked. */
#include "tests/sim/volume_pairs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOSSES_MAX  256
#define WAY_MAX     PATH_POINTS_MAX
#define WORST_SHOWN 25

/* ---- which faults, and where ---- */

struct ask {
	uint64_t seed; /* of the world and of everything else */
	bool why;      /* tell what was weighed */
	size_t count;
	const struct volume_fault *fault[FAULTS_AT_ONCE_MAX];
	int end[FAULTS_AT_ONCE_MAX];
};

static bool is_chosen_already(const struct ask *q, const char *cause)
{
	for (size_t i = 0; i < q->count; i++)
		if (!strcmp(q->fault[i]->cause, cause))
			return true;
	return false;
}

static void ask_choose(struct ask *q, uint64_t seed, size_t count)
{
	struct volume *chance = mem_alloc(sizeof *chance);
	chance->random = ~seed;
	*q = (struct ask){.seed = seed};
	while (q->count < count) {
		const struct volume_fault *f = &volume_faults[volume_below(chance, (uint32_t)volume_fault_count)];
		if (!f->cause || !f->cause[0] || is_chosen_already(q, f->cause))
			continue;
		q->end[q->count] = (int)volume_below(chance, 2);
		q->fault[q->count++] = f;
	}
	free(chance);
}

static const char *ask_name(const struct ask *q, bool causes_only, char *out, size_t size)
{
	size_t len = 0;
	out[0] = '\0';
	for (size_t i = 0; i < q->count && len < size; i++) {
		const struct volume_fault *f = q->fault[i];
		len += (size_t)snprintf(out + len, size - len, "%s%s%s%s", i ? " + " : "", f->cause, causes_only ? "" : "/",
		                        causes_only ? "" : f->name);
	}
	return out;
}

/* The verdict while those of `which` are broken; NULL: they make no sense there. */
static struct verdict *ask_with(const struct ask *q, const struct catalogue *c, unsigned which, struct truth *truths)
{
	struct volume *v = mem_alloc(sizeof *v);
	struct verdict *got = NULL;
	bool sense = true;
	int a, b;
	v->random = q->seed;
	v->why = q->why;
	v->now.ns = 1000000000;
	volume_build(v, &a, &b);
	volume_enrol(v);
	v->now = mono_add_ms(v->now, 1000);
	for (size_t i = 0; i < q->count && sense; i++) {
		struct victim at = {.machine = q->end[i] ? b : a, .peer = q->end[i] ? a : b, .end = q->end[i]};
		truths[i] = (struct truth){.cause = q->fault[i]->cause, .where = -1, .direction = -1};
		if (which >> i & 1)
			sense = q->fault[i]->inject(v, &at, &truths[i]) && truths[i].cause;
	}
	volume_tell(v);
	if (sense)
		got = volume_diagnose(v, c, a, b);
	volume_dismiss(v);
	volume_clear(v);
	free(v);
	return got;
}

/* ---- what a fault takes ---- */

struct loss {
	int dir;
	int kind;
	size_t at; /* how far it gets on its way */
	bool answer;
};
struct losses {
	int end, where; /* of the fault */
	size_t count;
	struct loss item[LOSSES_MAX];
};

static void loss_add(struct losses *l, int dir, int kind, size_t at, bool answer)
{
	if (l->count < LOSSES_MAX)
		l->item[l->count++] = (struct loss){dir, kind, at, answer};
}

static bool way_index(const struct direction *way, const struct path_point *p, size_t *at)
{
	char name[POINT_NAME_MAX], other[POINT_NAME_MAX];
	path_point_name(p, name);
	for (*at = 0; *at < way->path_count; ++*at)
		if (!strcmp(path_point_name(&way->path[*at], other), name))
			return true;
	return false;
}

static bool is_asked(uint8_t cell) { return cell != CELL_SKIPPED && cell != CELL_UNKNOWN; }

/* The small packet of its protocol: where that dies, larger ones are not tried. */
static int plain_of(int kind)
{
	const struct kind_info *i = kind_info((enum kind)kind);
	for (int k = 0; k < KIND_COUNT; k++) {
		const struct kind_info *o = kind_info((enum kind)k);
		if (o->proto == i->proto && o->family == i->family && !o->large && !o->fragments)
			return k;
	}
	return kind;
}

static bool is_untried(const struct verdict *well, const struct verdict *v, int dir, int kind)
{
	return !is_asked(v->dir[dir].delivery[kind]) && is_asked(well->dir[dir].delivery[kind]);
}

static void losses_of_cut(struct losses *l, const struct verdict *well, const struct verdict *v, int dir, const struct cut *c)
{
	size_t at;
	if (c->partial || !way_index(&well->dir[dir], &v->dir[dir].path[c->after], &at))
		return;
	for (int k = 0; k < KIND_COUNT; k++) {
		int tried = is_untried(well, v, dir, k) ? plain_of(k) : k;
		if (c->kinds & KIND_BIT(tried))
			loss_add(l, dir, k, at, c->answers & KIND_BIT(tried));
	}
}

/* What dies somewhere, and what arrives and is not answered as it should be: an answer that goes wrong at once. */
static void losses_of_cells(struct losses *l, const struct verdict *well, const struct verdict *v, int dir, const kind_mask cut[2])
{
	for (int k = 0; k < KIND_COUNT; k++) {
		uint8_t cell = v->dir[dir].initiation[k];
		bool fails = cell == CELL_LOST || cell == CELL_REFUSED || cell == CELL_IMPOSTOR;
		int tried = is_untried(well, v, dir, k) ? plain_of(k) : k;
		if (v->dir[dir].delivery[tried] == CELL_LOST && !(cut[dir] & KIND_BIT(tried)))
			loss_add(l, dir, k, 0, false);
		else if (fails && !((cut[0] | cut[1]) & KIND_BIT(k)))
			loss_add(l, 1 - dir, k, 0, true);
	}
}

static void losses_find(struct losses *l, const struct verdict *well, const struct verdict *v)
{
	kind_mask cut[2] = {0};
	for (int dir = 0; dir < 2; dir++) {
		for (size_t i = 0; i < v->dir[dir].cut_count; i++) {
			losses_of_cut(l, well, v, dir, &v->dir[dir].cuts[i]);
			cut[dir] |= v->dir[dir].cuts[i].kinds;
		}
	}
	for (int dir = 0; dir < 2; dir++)
		losses_of_cells(l, well, v, dir, cut);
}

static bool takes(const struct losses *these, const struct losses *those, const struct loss *one)
{
	for (size_t i = 0; i < these->count; i++) {
		const struct loss *l = &these->item[i];
		bool together = these->end == those->end || (these->where >= 0 && these->where == those->where);
		bool before = l->at < one->at || (l->at == one->at && (together || these->end == one->dir));
		if (l->kind != one->kind)
			continue;
		if (l->dir == one->dir ? l->answer <= one->answer && before : one->answer && !l->answer)
			return true;
	}
	return false;
}

/* Nothing of what fault `at` takes gets as far as to it. */
static bool is_hidden(const struct losses *all, size_t count, size_t at)
{
	for (size_t i = 0; i < all[at].count; i++) {
		bool gone = false;
		for (size_t k = 0; k < count; k++)
			gone |= k != at && takes(&all[k], &all[at], &all[at].item[i]);
		if (!gone)
			return false;
	}
	return true;
}

/* All that it takes alone arrives while the others are there: it is not in the way any more. */
static bool is_moot(const struct losses *l, const struct verdict *v)
{
	for (size_t i = 0; i < l->count; i++) {
		const struct loss *one = &l->item[i];
		if ((one->answer ? v->dir[1 - one->dir].initiation : v->dir[one->dir].delivery)[one->kind] != CELL_OK)
			return false;
	}
	return true;
}

/* ---- one of thousands ---- */

enum pair_outcome { PAIR_SENSELESS, PAIR_UNFAIR, PAIR_ALL, PAIR_SOME, PAIR_NONE };

static void weighing_tell(const struct weighing *w)
{
	char text[KINDS_TEXT_MAX];
	printf("    problem of direction %d, %d to %d: %s\n", w->dir, w->placed ? w->after : -1, w->placed ? w->before : -1,
	       kinds_text(w->kinds, text, sizeof text));
	for (size_t i = 0; i < w->count; i++) {
		const struct weighed_cause *c = &w->causes[i];
		if (c->outcome > OUTCOME_UNKNOWN)
			printf("      %c %5.2f %s at %s: %s\n", "-?~+*"[c->outcome], c -> sum, c -> id, c -> where,
			       c -> because ? c -> because : "");
		for (size_t k = 0; c->outcome > OUTCOME_UNKNOWN && k < c->line_count; k++)
			printf("              %s %s %s %.1f: %s\n", ledger_part_name((enum ledger_part)c->lines[k].part),
			       c->lines[k].name, ledger_answer_name((enum ledger_answer)c->lines[k].answer), c->lines[k].added,
			       c->lines[k].text);
	}
}

static void cells_tell(const struct direction *d)
{
	for (int k = 0; k < KIND_COUNT; k++)
		if (is_asked(d->delivery[k]))
			printf(" %s:%s/%s", kind_info((enum kind)k)->name, cell_name((enum cell)d->delivery[k], true),
			       cell_name((enum cell)d->initiation[k], false));
	putchar('\n');
}

static void ask_tell(const struct ask *q, const struct verdict *v)
{
	char name[256];
	printf("seed %llu: %s, at the ends", (unsigned long long)q->seed, ask_name(q, false, name, sizeof name));
	for (size_t i = 0; i < q->count; i++)
		printf(" %c", "ab"[q->end[i]]);
	volume_tell_verdict(v);
	for (int dir = 0; dir < 2 && q->why; dir++)
		cells_tell(&v->dir[dir]);
	for (size_t i = 0; i < v->weighing_count && q->why; i++)
		weighing_tell(&v->weighings[i]);
}

static void losses_tell(const struct losses *l)
{
	printf("    takes");
	for (size_t i = 0; i < l->count; i++)
		printf(" %s%s%zu%s", kind_info((enum kind)l->item[i].kind)->name, l->item[i].dir ? "<" : ">", l->item[i].at,
		       l->item[i].answer ? "a" : "");
	putchar('\n');
}

/* Each alone shows, is told, and is not hidden by the others. */
static bool ask_is_fair(const struct ask *q, const struct catalogue *c, struct losses *all, bool verbose, bool *sense)
{
	struct truth t[FAULTS_AT_ONCE_MAX];
	struct verdict *well = ask_with(q, c, 0, t);
	bool fair = *sense = well != NULL;
	for (size_t i = 0; i < q->count && *sense; i++) {
		struct verdict *v = ask_with(q, c, 1u << i, t);
		*sense = v != NULL;
		fair = fair && v && v->cause_count;
		all[i].end = q->end[i];
		all[i].where = t[i].where;
		if (fair)
			losses_find(&all[i], well, v);
		if (verbose && v) {
			ask_tell(&(struct ask){q->seed, q->why, 1, {q->fault[i]}, {q->end[i]}}, v);
			losses_tell(&all[i]);
		}
		verdict_free(v);
	}
	for (size_t i = 0; i < q->count && fair; i++)
		fair = !is_hidden(all, q->count, i);
	verdict_free(well);
	return fair;
}

static size_t named(const struct ask *q, const struct verdict *v, bool *wrong)
{
	size_t n = 0;
	unsigned seen = 0;
	*wrong = false;
	for (size_t i = 0; i < v->cause_count; i++) {
		bool there = false;
		for (size_t k = 0; k < q->count; k++) {
			bool is = !strcmp(v->causes[i].id, q->fault[k]->cause);
			n += is && !(seen >> k & 1);
			seen |= is ? 1u << k : 0;
			there |= is;
		}
		*wrong |= !there;
	}
	return n;
}

static enum pair_outcome ask_judge(const struct ask *q, const struct verdict *v, const struct losses *all, bool fair, bool *wrong)
{
	size_t n = named(q, v, wrong);
	for (size_t i = 0; i < q->count && n < q->count; i++)
		fair = fair && !is_moot(&all[i], v);
	return !fair ? PAIR_UNFAIR : n == q->count ? PAIR_ALL : n ? PAIR_SOME : PAIR_NONE;
}

static enum pair_outcome ask_run(const struct ask *q, const struct catalogue *c, bool verbose, bool *wrong)
{
	struct losses *all = mem_array(FAULTS_AT_ONCE_MAX, sizeof *all);
	struct truth t[FAULTS_AT_ONCE_MAX];
	bool sense, fair = ask_is_fair(q, c, all, verbose, &sense);
	struct verdict *v = sense && (fair || verbose) ? ask_with(q, c, ~0u, t) : NULL;
	enum pair_outcome o = sense ? PAIR_UNFAIR : PAIR_SENSELESS;
	if (v) {
		o = ask_judge(q, v, all, fair, wrong);
		if (verbose || o == PAIR_SOME || o == PAIR_NONE || *wrong)
			ask_tell(q, v);
	}
	verdict_free(v);
	free(all);
	return o;
}

/* ---- counting ---- */

struct tally {
	char name[200]; /* causes */
	unsigned runs, of[PAIR_NONE + 1], wrong;
};
struct tallies {
	size_t count, cap;
	struct tally *items;
};

static void tally_add(struct tally *t, enum pair_outcome o, bool wrong)
{
	t->runs++;
	t->of[o]++;
	t->wrong += wrong;
}

static struct tally *tally_of(struct tallies *l, const struct ask *q)
{
	struct ask sorted = *q;
	char name[200];
	for (size_t i = 0; i < sorted.count; i++)
		for (size_t k = i + 1; k < sorted.count; k++)
			if (strcmp(sorted.fault[i]->cause, sorted.fault[k]->cause) > 0) {
				const struct volume_fault *f = sorted.fault[i];
				sorted.fault[i] = sorted.fault[k];
				sorted.fault[k] = f;
			}
	ask_name(&sorted, true, name, sizeof name);
	for (size_t i = 0; i < l->count; i++)
		if (!strcmp(l->items[i].name, name))
			return &l->items[i];
	struct tally *t = VEC_ADD(l->items, l->count, l->cap);
	*t = (struct tally){0};
	str_copy(t->name, sizeof t->name, name);
	return t;
}

static unsigned bad(const struct tally *t) { return t->of[PAIR_SOME] + t->of[PAIR_NONE] + t->wrong; }

static int tally_cmp(const void *x, const void *y)
{
	const struct tally *a = x, *b = y;
	return bad(a) != bad(b) ? (bad(a) < bad(b) ? 1 : -1) : strcmp(a->name, b->name);
}

static void tally_line(const struct tally *t)
{
	printf("%-62s %6u %6u %6u %6u %6u\n", t->name, t->runs, t->of[PAIR_ALL], t->of[PAIR_SOME], t->of[PAIR_NONE], t->wrong);
}

static double percent(unsigned part, unsigned whole) { return whole ? 100.0 * part / whole : 0; }

static void report(struct tallies *l, const struct tally *all, const char *what)
{
	unsigned judged = all->runs - all->of[PAIR_UNFAIR];
	qsort(l->items, l->count, sizeof *l->items, tally_cmp);
	printf("%-62s %6s %6s %6s %6s %6s\n", "worst", "runs", "all", "some", "none", "wrong");
	for (size_t i = 0; i < l->count && i < WORST_SHOWN && bad(&l->items[i]); i++)
		tally_line(&l->items[i]);
	tally_line(all);
	printf("hidden, or unseen alone: %u\n", all->of[PAIR_UNFAIR]);
	printf("value: %s_judged %u\nvalue: %s_all_named %.3f\nvalue: %s_wrong %.3f\n", what, judged, what,
	       percent(all->of[PAIR_ALL], judged), what, percent(all->wrong, judged));
}

int volume_pairs(const struct catalogue *c, size_t at_once, uint64_t seed, unsigned count, const char *only)
{
	struct tallies each = {0};
	struct tally all = {.name = "all"};
	struct ask q;
	char name[256];
	for (uint64_t k = 0; all.runs - all.of[PAIR_UNFAIR] < count && k < 200ull * count; k++) {
		bool wrong = false;
		ask_choose(&q, seed * 1000003 + k, at_once);
		if (only && !strstr(ask_name(&q, false, name, sizeof name), only))
			continue;
		enum pair_outcome o = ask_run(&q, c, false, &wrong);
		if (o == PAIR_SENSELESS)
			continue;
		tally_add(&all, o, wrong);
		if (o != PAIR_UNFAIR)
			tally_add(tally_of(&each, &q), o, wrong);
	}
	if (!count) { /* this one only, as it was told */
		bool wrong;
		ask_choose(&q, seed, at_once);
		q.why = true;
		ask_run(&q, c, true, &wrong);
	}
	report(&each, &all, at_once == 2 ? "pairs" : "triples");
	free(each.items);
	unsigned judged = all.runs - all.of[PAIR_UNFAIR];
	return all.of[PAIR_ALL] * 100 < judged * PAIRS_PERCENT_MIN || all.wrong * 100 > judged;
}
