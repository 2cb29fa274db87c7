/* The matrix: rows from, columns to, and in every cell both directions; below it what is not well. */
#include "collector/cli/output.h"

#include "proto/base/mem.h"

#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 512
#define LEGEND    "✓ works  ✗ lost  ! cannot start  ~ degraded  ? unknown  – offline  · not watched"

struct names {
	const char *name[NAMES_MAX];
	size_t count;
};

/* ---- who stands in a tenant's matrix ---- */

static bool belongs(const json_t *pair, const char *tenant)
{
	const char *a = doc_text(pair, "tenant_a"), *b = doc_text(pair, "tenant_b");
	if (strcmp(tenant, "fleet") == 0)
		return strcmp(a, tenant) == 0 && strcmp(b, tenant) == 0;
	return strcmp(a, tenant) == 0 || strcmp(b, tenant) == 0;
}

static void names_add(struct names *n, const char *name)
{
	for (size_t i = 0; i < n->count; i++)
		if (strcmp(n->name[i], name) == 0)
			return;
	if (n->count < NAMES_MAX)
		n->name[n->count++] = name;
}

static int compare(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static struct names names_of(const json_t *pairs, const char *tenant)
{
	struct names n = {0};
	for (size_t i = 0; i < json_array_size(pairs); i++) {
		const json_t *pair = json_array_get(pairs, i);
		if (belongs(pair, tenant)) {
			names_add(&n, doc_text(pair, "a"));
			names_add(&n, doc_text(pair, "b"));
		}
	}
	qsort(n.name, n.count, sizeof *n.name, compare);
	return n;
}

static const json_t *pair_of(const json_t *pairs, const char *x, const char *y, bool *flip)
{
	for (size_t i = 0; i < json_array_size(pairs); i++) {
		const json_t *pair = json_array_get(pairs, i);
		*flip = strcmp(doc_text(pair, "b"), x) == 0 && strcmp(doc_text(pair, "a"), y) == 0;
		if (*flip || (strcmp(doc_text(pair, "a"), x) == 0 && strcmp(doc_text(pair, "b"), y) == 0))
			return pair;
	}
	return NULL;
}

/* ---- cells ---- */

static const char *sign_of(const char *state)
{
	static const struct {
		const char *state, *sign;
	} SIGNS[] = {{"ok", "✓"}, {"lost", "✗"}, {"fail", "!"}, {"degraded", "~"}, {"offline", "–"}};
	for (size_t i = 0; i < sizeof SIGNS / sizeof *SIGNS; i++)
		if (strcmp(SIGNS[i].state, state) == 0)
			return SIGNS[i].sign;
	return "?";
}

static const char *direction_state(const json_t *pair, int dir)
{
	return doc_text(json_array_get(doc_get(pair, "directions"), (size_t)dir), "state");
}

static void add_cell(struct table *t, const json_t *pairs, const char *from, const char *to)
{
	bool flip;
	const json_t *pair = strcmp(from, to) == 0 ? NULL : pair_of(pairs, from, to, &flip);
	if (!pair) {
		table_add(t, INK_DIM, "·");
		return;
	}
	const char *there = direction_state(pair, flip), *back = direction_state(pair, !flip);
	enum ink worst = state_ink(strcmp(there, "ok") == 0 ? back : there);
	table_addf(t, worst, "%s %s", sign_of(there), sign_of(back));
}

static int matrix_width(const struct names *n, bool numbers)
{
	int sum = 2, most = 0;
	for (size_t i = 0; i < n->count; i++) {
		int w = text_width(n->name[i]);
		most = w > most ? w : most;
		sum += numbers || w < 3 ? 5 : w + 2;
	}
	return sum + most + (numbers ? 6 : 2);
}

static void print_matrix(struct out *o, const json_t *pairs, const struct names *n, bool numbers)
{
	struct table *t = table_new(n->count + 1, NULL);
	table_add(t, INK_DIM, "from \\ to");
	for (size_t i = 0; i < n->count; i++)
		if (numbers)
			table_addf(t, INK_DIM, "%zu", i + 1);
		else
			table_add(t, INK_DIM, n->name[i]);
	for (size_t r = 0; r < n->count; r++) {
		if (numbers)
			table_addf(t, INK_PLAIN, "%3zu %s", r + 1, n->name[r]);
		else
			table_add(t, INK_PLAIN, n->name[r]);
		for (size_t i = 0; i < n->count; i++)
			add_cell(t, pairs, n->name[r], n->name[i]);
	}
	table_print(t, o, 2);
	table_free(t);
}

static void show_tenant(struct out *o, const json_t *pairs, const char *tenant)
{
	struct names n = names_of(pairs, tenant);
	if (!n.count)
		return;
	out_printf(o, INK_BOLD, "%s\n", tenant);
	if (matrix_width(&n, false) <= o->width)
		print_matrix(o, pairs, &n, false);
	else if (matrix_width(&n, true) <= o->width)
		print_matrix(o, pairs, &n, true);
	else
		out_printf(o, INK_DIM, "  %zu agents: too many for %d columns; what is not well follows, --json has all\n", n.count,
		           o->width);
	out_printf(o, INK_PLAIN, "\n");
}

/* ---- what is not well ---- */

/* No verdict: no more than why there is none. */
static void show_trouble(struct out *o, const json_t *pair)
{
	const char *state = doc_text(pair, "state");
	out_text(o, state_ink(state), "  ● ");
	out_printf(o, INK_BOLD, "%s ⇄ %s", doc_text(pair, "a"), doc_text(pair, "b"));
	out_printf(o, state_ink(state), "  %s", state);
	out_printf(o, INK_DIM, "  %s\n",
	           strcmp(state, "offline") == 0   ? "an agent is offline"
	           : strcmp(state, "unknown") == 0 ? "not measured yet"
	                                           : "no verdict yet");
}

static void show_problems(struct out *o, const json_t *pairs)
{
	size_t well = 0, count = json_array_size(pairs);
	if (!count) {
		out_printf(o, INK_PLAIN, "no pairs are watched yet: that takes two agents with something between them\n");
		return;
	}
	for (size_t i = 0; i < count; i++) {
		const json_t *pair = json_array_get(pairs, i), *v = doc_get(pair, "verdict");
		if (strcmp(doc_text(pair, "state"), "ok") == 0)
			well++;
		else if (json_is_object(v))
			show_problem(o, v);
		else
			show_trouble(o, pair);
	}
	out_printf(o, well == count ? INK_GOOD : INK_PLAIN, "%s%zu of %zu pairs are well\n", well == count ? "" : "\n", well,
	           count);
}

void show_mesh(struct out *o, const json_t *doc)
{
	const json_t *pairs = doc_get(doc, "pairs"), *agents = doc_get(doc, "agents");
	struct names tenants = {0};
	for (size_t i = 0; i < json_array_size(agents); i++)
		names_add(&tenants, doc_text(json_array_get(agents, i), "tenant"));
	for (size_t i = 0; i < tenants.count; i++)
		show_tenant(o, pairs, tenants.name[i]);
	if (json_array_size(pairs)) {
		out_printf(o, INK_DIM, "row → column, then column → row:\n");
		out_wrapped(o, INK_DIM, LEGEND, 0, 0);
		out_printf(o, INK_PLAIN, "\n");
	}
	show_problems(o, pairs);
}
