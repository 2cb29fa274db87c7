/* volume: thousands of random networks, one fault in each, a round, its verdict, and what should have been said. Ends with a table
 * per cause and figures as lines `value: NAME VALUE`. Arguments: [SEED] [COUNT] [NAME], NAME: only that fault, "cause/name"; each
 * wrong one is told. Exit 1 when more is wrong than may be, or too little right. With --pairs or --triples first: so many faults of
 * different causes at once; COUNT 0: the world of that seed only. */
#include "tests/sim/volume_pairs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WRONG_PERMILLE_MAX 5
#define RIGHT_PERMILLE_MIN 985
#define RIGHT_JUDGED_FROM  300

/* ---- counting ---- */

struct count {
	unsigned runs, right, wrong, undetermined, unseen, blind, direction_right, direction_judged, where_right, where_judged,
	    cut_right, cut_judged;
};

static void count_add(struct count *to, const struct count *c)
{
	unsigned *t = (unsigned *)to;
	const unsigned *f = (const unsigned *)c;
	for (size_t i = 0; i < sizeof *c / sizeof *t; i++)
		t[i] += f[i];
}

static bool cut_is_there(const struct verdict *v, const struct truth *t)
{
	char text[POINT_NAME_MAX];
	for (int dir = 0; dir < 2; dir++) {
		for (size_t i = 0; i < v->dir[dir].cut_count; i++) {
			const struct direction *d = &v->dir[dir];
			const struct cut *c = &d->cuts[i];
			if (!strcmp(path_point_name(&d->path[c->after], text), t->after) &&
			    !strcmp(path_point_name(&d->path[c->before], text), t->before))
				return true;
		}
	}
	return false;
}

static void judge_right(struct volume *v, const struct verdict *got, const struct truth *t, const struct cause *first,
                        struct count *n)
{
	if (t->where >= 0) {
		n->where_judged++;
		n->where_right += !strcmp(first->where ? first->where : "", v->machines[t->where].name);
	}
	if (t->direction >= 0) {
		char want[2 * TITLE_MAX_LEN + 4];
		const struct direction *d = &got->dir[t->direction % 2];
		snprintf(want, sizeof want, "%s->%s", d->from, d->to);
		n->direction_judged++;
		n->direction_right += !strcmp(first->direction ? first->direction : "", t->direction == 2 ? "both" : want);
	}
	if (t->after[0] && v->machines[1].captures) {
		n->cut_judged++;
		n->cut_right += cut_is_there(got, t);
	}
}

static bool causes_are(const struct verdict *v, const char *id)
{
	for (size_t i = 0; i < v->cause_count; i++)
		if (strcmp(v->causes[i].id, id) != 0)
			return false;
	return v->cause_count > 0;
}

/* What was said of what is true. */
static struct count verdict_judge(struct volume *v, const struct verdict *got, const struct truth *t)
{
	struct count n = {.runs = 1};
	if (t->cause && got->state == STATE_OK && !got->cause_count) {
		n.unseen = 1; /* what was broken is in nobody's way here */
		return n;
	}
	if (!t->cause) {
		n.right = got->cause_count == 0;
		n.wrong = got->cause_count != 0;
	} else if (!got->cause_count) {
		n.undetermined = 1;
		n.blind = !v->machines[1].captures; /* less may be said where nobody may look */
	} else if (causes_are(got, t->cause)) {
		n.right = 1;
		judge_right(v, got, t, &got->causes[0], &n);
	} else {
		n.wrong = 1;
	}
	return n;
}

static void tell(const struct volume *v, uint64_t seed, const struct volume_fault *f, const struct truth *t,
                 const struct verdict *got)
{
	static const char *const names[] = {"bridged", "routed", "vxlan"};
	printf("seed %llu %s: %s/%s at %s", (unsigned long long)seed, names[v->topology], f->cause ? f->cause : "none", f->name,
	       t->where >= 0 ? v->machines[t->where].name : "-");
	volume_tell_verdict(got);
}

void volume_tell_verdict(const struct verdict *got)
{
	printf(", %s %s: state %s:", got->a, got->b, state_name(got->state));
	for (size_t i = 0; i < got->cause_count; i++)
		printf(" %s at %s %s", got->causes[i].id, got->causes[i].where, got->causes[i].direction);
	for (int dir = 0; dir < 2; dir++)
		for (size_t i = 0; i < got->dir[dir].cut_count; i++) {
			char a[POINT_NAME_MAX], b[POINT_NAME_MAX], k[KINDS_TEXT_MAX];
			const struct cut *c = &got->dir[dir].cuts[i];
			printf("\n    cut %s | %s: %s", path_point_name(&got->dir[dir].path[c->after], a),
			       path_point_name(&got->dir[dir].path[c->before], b), kinds_text(c->kinds, k, sizeof k));
		}
	for (size_t i = 0; i < got->note_count; i++)
		printf("\n    note %s", got->notes[i]);
	putchar('\n');
}

/* ---- one of thousands ---- */

/* False: this fault makes no sense in this network. */
static bool run_one(const struct catalogue *c, const struct volume_fault *f, uint64_t seed, bool verbose, struct count *out)
{
	struct volume *v = mem_alloc(sizeof *v);
	struct truth t = {.cause = f->cause, .where = -1, .direction = -1};
	int a, b;
	v->random = seed;
	v->now.ns = 1000000000;
	volume_build(v, &a, &b);
	volume_enrol(v);
	v->now = mono_add_ms(v->now, 1000);
	int end = (int)volume_below(v, 2);
	bool sense = f->inject(v, &(struct victim){.machine = end ? b : a, .peer = end ? a : b, .end = end}, &t);
	if (sense && t.cause && !t.cause[0])
		t.cause = NULL;
	if (volume_below(v, 4)) /* else somebody asks before it was reported */
		volume_tell(v);
	if (sense) {
		struct verdict *got = volume_diagnose(v, c, a, b);
		*out = got ? verdict_judge(v, got, &t) : (struct count){.runs = 1, .undetermined = 1};
		if (got && (verbose || out->wrong || out->undetermined || out->direction_right < out->direction_judged ||
		            out->where_right < out->where_judged || out->cut_right < out->cut_judged))
			tell(v, seed, f, &t, got);
		verdict_free(got);
	}
	volume_dismiss(v);
	volume_clear(v);
	free(v);
	return sense;
}

static void line(const char *cause, const char *name, const struct count *n)
{
	printf("%-30s %-20s %6u %6u %6u %6u %6u %6u   where %u/%u direction %u/%u cut %u/%u\n", cause, name, n->runs, n->right,
	       n->wrong, n->undetermined, n->blind, n->unseen, n->where_right, n->where_judged, n->direction_right,
	       n->direction_judged, n->cut_right, n->cut_judged);
}

static double percent(unsigned part, unsigned whole) { return whole ? 100.0 * part / whole : 0; }

/* Of what did something; and where nobody may capture, only what was said counts. */
static int report(const struct count *each)
{
	struct count all = {0};
	unsigned kinds = 0;
	printf("%-30s %-20s %6s %6s %6s %6s %6s %6s\n", "cause", "fault", "runs", "right", "wrong", "undet.", "blind", "unseen");
	for (size_t i = 0; i < volume_fault_count; i++) {
		if (!each[i].runs)
			continue;
		line(volume_faults[i].cause ? volume_faults[i].cause : "none", volume_faults[i].name, &each[i]);
		count_add(&all, &each[i]);
		kinds++;
	}
	line("all", "", &all);
	unsigned felt = all.runs - all.unseen;
	printf("value: injected %u\nvalue: kinds %u\nvalue: right_first %.3f\nvalue: right_first_blind_too %.3f\n", felt, kinds,
	       percent(all.right, felt - all.blind), percent(all.right, felt));
	printf("value: wrong_cause %.3f\nvalue: where_right %.3f\nvalue: direction_right %.3f\nvalue: cut_right %.3f\n",
	       percent(all.wrong, felt), percent(all.where_right, all.where_judged),
	       percent(all.direction_right, all.direction_judged), percent(all.cut_right, all.cut_judged));
	bool few = all.right * 1000 < (felt - all.blind) * RIGHT_PERMILLE_MIN && felt >= RIGHT_JUDGED_FROM;
	return few || all.wrong * 1000 > felt * WRONG_PERMILLE_MAX;
}

static int singles(const struct catalogue *c, int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	unsigned count = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 300, done = 0;
	struct count *each = mem_array(volume_fault_count, sizeof *each);
	char name[128];
	for (uint64_t k = 0; done < count && k < 50ull * count; k++) {
		size_t at = k % volume_fault_count;
		struct count n = {0};
		snprintf(name, sizeof name, "%s/%s", volume_faults[at].cause ? volume_faults[at].cause : "none",
		         volume_faults[at].name);
		if (argc > 3 && !strstr(name, argv[3]))
			continue;
		if (run_one(c, &volume_faults[at], seed * 1000003 + k, argc > 4, &n)) {
			count_add(&each[at], &n);
			done += !n.unseen;
		}
	}
	int rc = report(each);
	free(each);
	return rc;
}

int main(int argc, char **argv)
{
	struct err e = {0};
	struct catalogue *c = catalogue_builtin(&e);
	size_t at_once = argc < 2 ? 1 : !strcmp(argv[1], "--pairs") ? 2 : !strcmp(argv[1], "--triples") ? 3 : 1;
	int rc;
	if (!c) {
		fprintf(stderr, "volume: %s\n", e.text);
		return 1;
	}
	if (at_once == 1)
		rc = singles(c, argc, argv);
	else
		rc = volume_pairs(c, at_once, argc > 2 ? strtoull(argv[2], NULL, 10) : 1,
		                  argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 100, argc > 4 ? argv[4] : NULL);
	if (argc < 2) /* some of everything */
		rc |= volume_pairs(c, 2, 1, 60, NULL);
	catalogue_free(c);
	return rc;
}
