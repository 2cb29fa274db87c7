/* property: random topologies with one random cut. Whatever the hop, the direction and the kinds: correlation names exactly
 * that cut, and none where there is none. Arguments: [SEED [CASES]]; a failure prints the seed of its case. */
#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define CASES     8000
#define BUDGET_MS 35000 /* stop early on a slow machine; the number of cases is printed */

enum what { WHAT_BOTH, WHAT_PROBES, WHAT_ANSWERS, WHAT_NOTHING };
static const char *const what_names[] = {"everything", "probes", "answers", "nothing"};

/* So that a green run cannot be an empty one. */
static struct {
	unsigned cut, healthy, untold, partners;
} tally;

struct trial {
	uint64_t seed;
	struct sim *s;
	int a, b;
	int segment;
	size_t path_count[2];
	struct hop_end path[2][SIM_PATH_MAX];
	int dir;
	size_t hop;
	enum what what;
	kind_mask kinds;
};

/* ---- making a case ---- */

static void make_world(struct trial *t)
{
	int hosts[4];
	size_t host_count = 1 + sim_below(t->s, 4), guests = 2 + sim_below(t->s, 7);
	for (size_t i = 0; i < host_count; i++)
		hosts[i] = world_host(t->s, !sim_chance(t->s, 80000));
	for (size_t i = 0; i < guests; i++)
		world_guest(t->s, hosts[sim_below(t->s, (uint32_t)host_count)], (int)sim_below(t->s, SIM_SEGMENTS));
	for (size_t i = 0; i < t->s->machine_count; i++)
		t->s->machines[i].no_capture = sim_chance(t->s, 80000);
}

/* Pairs that are probed at all: on one segment; a host towards tenants only where it carries the guest. */
static bool pair_makes_sense(const struct sim *s, int a, int b, int *segment)
{
	const struct machine *x = &s->machines[a], *y = &s->machines[b];
	if (a == b || !x->agent || !y->agent)
		return false;
	bool x_guest = x->kind == AGENT_GUEST, y_guest = y->kind == AGENT_GUEST;
	*segment = x_guest ? x->segment : y_guest ? y->segment : 0;
	if (x_guest && y_guest)
		return x->segment == y->segment;
	if (!x_guest && !y_guest)
		return true;
	return x_guest ? x->host == b : y->host == a;
}

static bool choose_pair(struct trial *t)
{
	for (int tries = 0; tries < 200; tries++) {
		t->a = (int)sim_below(t->s, (uint32_t)t->s->machine_count);
		t->b = (int)sim_below(t->s, (uint32_t)t->s->machine_count);
		if (pair_makes_sense(t->s, t->a, t->b, &t->segment))
			return true;
	}
	return false;
}

static kind_mask choose_kinds(struct sim *s)
{
	const kind_mask fragments = KIND_BIT(KIND_FRAGMENTS) | KIND_BIT(KIND_FRAGMENTS6);
	const kind_mask neighbours = KIND_BIT(KIND_ARP) | KIND_BIT(KIND_ND), ip = KIND_MASK_4 | KIND_MASK_6 | fragments;
	const kind_mask sets[] = {neighbours | ip,
	                          ip,
	                          neighbours,
	                          KIND_MASK_4 | KIND_BIT(KIND_FRAGMENTS) | KIND_BIT(KIND_ARP),
	                          KIND_MASK_6 | KIND_BIT(KIND_FRAGMENTS6) | KIND_BIT(KIND_ND),
	                          fragments,
	                          KIND_BIT(KIND_ICMP_LARGE) | KIND_BIT(KIND_UDP_LARGE) | KIND_BIT(KIND_ICMP_LARGE6) |
	                              KIND_BIT(KIND_UDP_LARGE6),
	                          KIND_BIT(sim_below(s, KIND_SERVICE)),
	                          (kind_mask)sim_random(s) & (neighbours | ip)};
	return sets[sim_below(s, sizeof sets / sizeof *sets)];
}

static void choose_fault(struct trial *t)
{
	t->path_count[0] = world_path(t->s, t->a, t->b, t->segment, t->path[0]);
	t->path_count[1] = world_path(t->s, t->b, t->a, t->segment, t->path[1]);
	t->dir = (int)sim_below(t->s, 2);
	t->hop = sim_below(t->s, (uint32_t)t->path_count[t->dir] - 1);
	t->what = sim_below(t->s, 4);
	t->kinds = choose_kinds(t->s);
	if (t->what == WHAT_NOTHING)
		return;
	struct net_fault *f = net_fault_add(t->s, t->path[t->dir][t->hop], t->path[t->dir][t->hop + 1], t->kinds);
	f->probes = t->what != WHAT_ANSWERS;
	f->answers = t->what != WHAT_PROBES;
}

/* Caches are cold, or as long traffic has left them. */
static void choose_caches(struct trial *t)
{
	bool warm = sim_chance(t->s, 500000);
	for (int family = 0; family < 2 && warm; family++) {
		t->s->machines[t->a].neighbours[t->b][family].known = true;
		t->s->machines[t->b].neighbours[t->a][family].known = true;
	}
}

/* ---- what must be found ---- */

static bool end_is_watched(const struct trial *t, const struct hop_end *e)
{
	const struct machine *m = &t->s->machines[e->machine];
	return !e->ifname[0] || (m->agent && !m->no_capture);
}

static void end_name(const struct trial *t, const struct hop_end *e, char out[static POINT_NAME_MAX])
{
	snprintf(out, POINT_NAME_MAX, "%s:%s", t->s->machines[e->machine].name, e->ifname[0] ? e->ifname : "socket");
}

/* The nearest watched points around the hop. */
static void expected_ends(const struct trial *t, char after[static POINT_NAME_MAX], char before[static POINT_NAME_MAX])
{
	size_t i = t->hop, j = t->hop + 1;
	while (!end_is_watched(t, &t->path[t->dir][i]))
		i--;
	while (!end_is_watched(t, &t->path[t->dir][j]))
		j++;
	end_name(t, &t->path[t->dir][i], after);
	end_name(t, &t->path[t->dir][j], before);
}

/* Kinds whose probes (or answers) can have died there: those that were measured. */
static kind_mask measured(const struct verdict *v, int dir)
{
	kind_mask m = 0;
	for (int k = 0; k < KIND_COUNT; k++) {
		if (v->dir[dir].delivery[k] != CELL_SKIPPED && v->dir[dir].delivery[k] != CELL_UNKNOWN)
			m |= KIND_BIT(k);
	}
	return m;
}

static kind_mask expected_kinds(const struct trial *t, const struct verdict *v)
{
	kind_mask probes = t->what != WHAT_ANSWERS ? measured(v, t->dir) : 0;
	kind_mask answers = t->what != WHAT_PROBES ? measured(v, 1 - t->dir) : 0;
	return t->kinds & (probes | answers);
}

static int complain(const struct trial *t, const struct verdict *v, const char *what)
{
	char name[POINT_NAME_MAX], other[POINT_NAME_MAX];
	end_name(t, &t->path[t->dir][t->hop], name);
	end_name(t, &t->path[t->dir][t->hop + 1], other);
	fprintf(stderr, "seed %llu: %s\n  cut: %s of kinds %#x, %s | %s\n", (unsigned long long)t->seed, what, what_names[t->what],
	        t->kinds, name, other);
	for (int n = 0; v && n < 2; n++) {
		const struct direction *d = &v->dir[n];
		fprintf(stderr, "  %s -> %s:", d->from, d->to);
		for (size_t i = 0; i < d->path_count; i++)
			fprintf(stderr, " %s(%u%s)", path_point_name(&d->path[i], name), d->path[i].seen,
			        d->path[i].looked ? "" : "?");
		fprintf(stderr, "\n   ");
		for (int k = 0; k < KIND_COUNT; k++)
			fprintf(stderr, " %s %s/%s", kind_info(k)->name, cell_name(d->delivery[k], true),
			        cell_name(d->initiation[k], false));
		fprintf(stderr, "\n");
		for (size_t i = 0; i < d->cut_count; i++)
			fprintf(stderr, "    cut of %#x%s%s: %s | %s\n", d->cuts[i].kinds, d->cuts[i].answer ? " answers" : "",
			        d->cuts[i].partial ? " partly" : "", path_point_name(&d->path[d->cuts[i].after], name),
			        path_point_name(&d->path[d->cuts[i].before], other));
	}
	return -1;
}

static int check_cut(const struct trial *t, const struct verdict *v, kind_mask kinds)
{
	char after[POINT_NAME_MAX], before[POINT_NAME_MAX], name[POINT_NAME_MAX];
	const struct direction *d = &v->dir[t->dir];
	expected_ends(t, after, before);
	if (d->cut_count != 1 || v->dir[1 - t->dir].cut_count != 0)
		return complain(t, v, "not exactly one cut");
	const struct cut *c = &d->cuts[0];
	if (strcmp(path_point_name(&d->path[c->after], name), after) != 0 ||
	    strcmp(path_point_name(&d->path[c->before], name), before) != 0)
		return complain(t, v, "the cut is at the wrong place");
	if (c->kinds != kinds)
		return complain(t, v, "the cut has the wrong kinds");
	if (c->partial || c->answer != !(t->what != WHAT_ANSWERS && t->kinds & measured(v, t->dir)))
		return complain(t, v, "the cut has the wrong nature");
	if (v->state != STATE_ONE_WAY)
		return complain(t, v, "the pair is not called one-way");
	if (v->took_ms > 2000)
		return complain(t, v, "a broken round took more than two seconds");
	return 0;
}

/* Neighbours fail, and nobody may look at that: where both ends are not known to share a segment, ARP is not probed. */
static bool is_beyond_telling(const struct trial *t, const struct verdict *v)
{
	kind_mask m = measured(v, 0) | measured(v, 1);
	bool four = t->kinds & KIND_BIT(KIND_ARP) && !(m & KIND_BIT(KIND_ARP)) && m & KIND_MASK_4;
	bool six = t->kinds & KIND_BIT(KIND_ND) && !(m & KIND_BIT(KIND_ND)) && m & KIND_MASK_6;
	return t->what != WHAT_NOTHING && (four || six);
}

static int check(const struct trial *t, const struct verdict *v)
{
	if (!v)
		return complain(t, v, "the round could not be run");
	if (!measured(v, 0) || !measured(v, 1))
		return complain(t, v, "nothing was measured");
	if (is_beyond_telling(t, v)) {
		tally.untold++;
		return 0;
	}
	kind_mask kinds = t->what == WHAT_NOTHING ? 0 : expected_kinds(t, v);
	tally.cut += kinds != 0;
	tally.healthy += kinds == 0;
	if (kinds)
		return check_cut(t, v, kinds);
	if (v->dir[0].cut_count || v->dir[1].cut_count)
		return complain(t, v, "a cut where nothing is cut");
	if (v->state != STATE_OK)
		return complain(t, v, "not called ok");
	return v->took_ms > 1000 ? complain(t, v, "a healthy round took more than a second") : 0;
}

/* ---- running ---- */

static int run_case(uint64_t seed)
{
	struct trial t = {.seed = seed, .s = sim_new(seed)};
	int result = 0;
	make_world(&t);
	if (choose_pair(&t)) {
		tally.partners++;
		world_start(t.s);
		choose_fault(&t);
		choose_caches(&t);
		struct verdict *v = collector_diagnose(t.s, t.a, t.b);
		result = check(&t, v);
		verdict_free(v);
	}
	sim_free(t.s);
	return result;
}

static int64_t elapsed_ms(const struct timespec *since)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - since->tv_sec) * 1000 + (now.tv_nsec - since->tv_nsec) / 1000000;
}

int main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	uint64_t cases = argc > 2 ? strtoull(argv[2], NULL, 10) : argc > 1 ? 1 : CASES;
	struct timespec began;
	uint64_t i = 0;
	int failed = 0;
	clock_gettime(CLOCK_MONOTONIC, &began);
	for (; i < cases && failed < 5 && (i % 64 || elapsed_ms(&began) < BUDGET_MS); i++)
		failed += run_case(seed + i) != 0;
	printf("%llu cases from seed %llu: %u pairs, %u cuts found, %u without a cut, %u cannot be told, %d failed\n",
	       (unsigned long long)i, (unsigned long long)seed, tally.partners, tally.cut, tally.healthy, tally.untold, failed);
	return failed || (cases >= CASES && tally.cut < i / 4);
}
