/* The last round hop by hop, both directions side by side where there is room: what each point saw of every kind, where it dies,
 * and the kernel's and the ruleset's word for it. Kinds that fared alike share a column. */
#include "collector/cli/output.h"

#include "proto/base/mem.h"
#include "proto/model/kind.h"

#include <stdlib.h>
#include <string.h>

#define BETWEEN    4 /* columns between the two directions */
#define SPANS_MAX  8
#define LABEL_MAX  18 /* columns of a column's head */
#define GROUPS_MAX 6
#define POINTS_MAX 64

/* ---- a block of lines, so that two can stand side by side ---- */

struct span {
	enum ink ink;
	char *text; /* owned */
};

struct line {
	struct span spans[SPANS_MAX];
	size_t count;
	int width;
};

struct block {
	struct line *lines;
	size_t count, cap;
	int room; /* where long text is wrapped */
};

static void line_begin(struct block *b) { *VEC_ADD(b->lines, b->count, b->cap) = (struct line){.count = 0}; }

static void line_take(struct block *b, enum ink ink, char *text)
{
	struct line *l = &b->lines[b->count - 1];
	if (l->count == SPANS_MAX) {
		free(text);
		return;
	}
	l->spans[l->count++] = (struct span){ink, text};
	l->width += text_width(text);
}

static void line_add(struct block *b, enum ink ink, const char *text) { line_take(b, ink, mem_strdup(text)); }

static void line_pad(struct block *b, int to)
{
	int missing = to - b->lines[b->count - 1].width;
	if (missing > 0)
		line_take(b, INK_PLAIN, mem_printf("%*s", missing, ""));
}

/* Bytes of the words that fit; a word that is too long stands alone. */
static size_t words_fitting(const char *s, int room)
{
	size_t best = 0;
	for (size_t at = strcspn(s, " ");; at += 1 + strcspn(s + at + 1, " ")) {
		char *part = mem_printf("%.*s", (int)at, s);
		bool fits = text_width(part) <= room;
		free(part);
		if (fits || !best)
			best = at;
		if (!fits || !s[at])
			return best;
	}
}

static void block_wrapped(struct block *b, enum ink ink, int indent, int hang, const char *text)
{
	for (bool first = true; *text; first = false) {
		int at = first ? indent : indent + hang;
		size_t n = words_fitting(text, b->room - at);
		line_begin(b);
		line_pad(b, at);
		line_take(b, ink, mem_printf("%.*s", (int)n, text));
		text += n;
		text += strspn(text, " ");
	}
}

static int block_width(const struct block *b)
{
	int most = 0;
	for (size_t i = 0; i < b->count; i++)
		most = b->lines[i].width > most ? b->lines[i].width : most;
	return most;
}

static void line_print(struct out *o, const struct line *l)
{
	for (size_t i = 0; i < l->count; i++)
		out_text(o, l->spans[i].ink, l->spans[i].text);
}

static void blocks_print(struct out *o, const struct block *left, const struct block *right, int column)
{
	for (size_t i = 0; i < left->count || (right && i < right->count); i++) {
		if (i < left->count)
			line_print(o, &left->lines[i]);
		if (right && i < right->count && right->lines[i].width) {
			out_pad(o, column - (i < left->count ? left->lines[i].width : 0));
			line_print(o, &right->lines[i]);
		}
		out_printf(o, INK_PLAIN, "\n");
	}
}

static void block_clear(struct block *b)
{
	for (size_t i = 0; i < b->count; i++)
		for (size_t k = 0; k < b->lines[i].count; k++)
			free(b->lines[i].spans[k].text);
	free(b->lines);
	*b = (struct block){.room = b->room};
}

/* ---- kinds that fared alike ---- */

struct group {
	kind_mask kinds;
	char *label;                /* owned */
	long long seen[POINTS_MAX]; /* by point, of all its kinds */
	long long most;
};

struct way { /* one direction */
	const json_t *doc, *path;
	size_t points, group_count;
	struct group groups[GROUPS_MAX];
};

static bool looked(const json_t *point) { return !json_is_false(doc_get(point, "looked")); }

static long long kind_at(const struct way *w, int kind, size_t point)
{
	return doc_number(doc_get(json_array_get(w->path, point), "kinds"), kind_info((enum kind)kind)->name);
}

static long long kind_most(const struct way *w, int kind)
{
	long long most = 0;
	for (size_t i = 0; i < w->points; i++)
		most = kind_at(w, kind, i) > most ? kind_at(w, kind, i) : most;
	return most;
}

/* Everything, nothing, or a part of it at every point that looked. */
static bool fared_alike(const struct way *w, int a, int b)
{
	long long all_a = kind_most(w, a), all_b = kind_most(w, b);
	for (size_t i = 0; i < w->points; i++) {
		long long at_a = kind_at(w, a, i), at_b = kind_at(w, b, i);
		if (looked(json_array_get(w->path, i)) && at_a * all_b != at_b * all_a)
			return false;
	}
	return true;
}

static void group_fill(const struct way *w, struct group *g)
{
	for (int k = 0; k < KIND_COUNT; k++)
		for (size_t i = 0; i < w->points; i++)
			g->seen[i] += g->kinds & KIND_BIT(k) ? kind_at(w, k, i) : 0;
	for (size_t i = 0; i < w->points; i++)
		g->most = g->seen[i] > g->most ? g->seen[i] : g->most;
}

static bool is_whole(const struct way *w, const struct group *g)
{
	for (size_t i = 0; i < w->points; i++)
		if (looked(json_array_get(w->path, i)) && g->seen[i] != g->most)
			return false;
	return true;
}

static void group_label(const struct way *w, struct group *g)
{
	char text[KINDS_TEXT_MAX];
	int kinds = __builtin_popcount(g->kinds);
	kinds_text(g->kinds, text, sizeof text);
	if (w->group_count == 1)
		g->label = mem_strdup("all kinds");
	else if (text_width(text) <= LABEL_MAX)
		g->label = mem_strdup(text);
	else
		g->label = mem_printf(is_whole(w, g) ? "%d others" : "%d kinds", kinds);
}

static int compare_groups(const void *a, const void *b)
{
	const struct group *x = a, *y = b;
	return x->kinds < y->kinds ? -1 : x->kinds > y->kinds;
}

/* The ones that lose something first. */
static void groups_order(struct way *w)
{
	size_t bad = 0;
	qsort(w->groups, w->group_count, sizeof *w->groups, compare_groups);
	for (size_t i = 0; i < w->group_count; i++) {
		struct group g = w->groups[i];
		if (is_whole(w, &g))
			continue;
		memmove(&w->groups[bad + 1], &w->groups[bad], (i - bad) * sizeof g);
		w->groups[bad++] = g;
	}
}

static void way_fill(struct way *w, const json_t *doc)
{
	*w = (struct way){.doc = doc, .path = doc_get(doc, "path")};
	w->points = json_array_size(w->path) < POINTS_MAX ? json_array_size(w->path) : POINTS_MAX;
	for (int k = 0; k < KIND_COUNT; k++) {
		size_t i = 0;
		if (!kind_most(w, k))
			continue;
		while (i < w->group_count && i + 1 < GROUPS_MAX && !fared_alike(w, k, __builtin_ctz(w->groups[i].kinds)))
			i++;
		w->group_count = i == w->group_count ? i + 1 : w->group_count;
		w->groups[i].kinds |= KIND_BIT(k);
	}
	for (size_t i = 0; i < w->group_count; i++)
		group_fill(w, &w->groups[i]);
	groups_order(w);
	for (size_t i = 0; i < w->group_count; i++)
		group_label(w, &w->groups[i]);
}

static void way_clear(struct way *w)
{
	for (size_t i = 0; i < w->group_count; i++)
		free(w->groups[i].label);
}

/* ---- a direction ---- */

static int point_column(const struct way *w)
{
	int most = 0;
	for (size_t i = 0; i < w->points; i++) {
		int width = text_width(doc_text(json_array_get(w->path, i), "point"));
		most = width > most ? width : most;
	}
	return most + 4;
}

static int group_width(const struct group *g)
{
	int width = text_width(g->label);
	return width < 5 ? 5 : width;
}

static void add_head(struct block *b, const struct way *w)
{
	const json_t *loss = doc_get(w->doc, "loss");
	int at = point_column(w);
	line_begin(b);
	line_take(b, INK_BOLD, mem_printf("%s → %s", doc_text(w->doc, "from"), doc_text(w->doc, "to")));
	line_take(b, INK_DIM, mem_printf("   %lld of %lld probes arrived", doc_number(loss, "received"), doc_number(loss, "sent")));
	if (w->group_count)
		line_begin(b);
	for (size_t i = 0; i < w->group_count; i++) {
		line_pad(b, at + group_width(&w->groups[i]) - text_width(w->groups[i].label));
		line_add(b, INK_DIM, w->groups[i].label);
		at += group_width(&w->groups[i]) + 2;
	}
}

static enum ink count_ink(const struct group *g, size_t point)
{
	return g->seen[point] == 0 ? INK_BAD : g->seen[point] < g->most ? INK_WARN : INK_PLAIN;
}

static void add_counts(struct block *b, const struct way *w, size_t point)
{
	int at = point_column(w);
	for (size_t i = 0; i < w->group_count; i++) {
		char *number = mem_printf("%lld", w->groups[i].seen[point]);
		line_pad(b, at + group_width(&w->groups[i]) - text_width(number));
		line_take(b, count_ink(&w->groups[i], point), number);
		at += group_width(&w->groups[i]) + 2;
	}
}

static enum ink hop_ink(const struct way *w, size_t point)
{
	bool all = true, none = true;
	for (size_t i = 0; i < w->group_count; i++) {
		all = all && w->groups[i].seen[point] == w->groups[i].most;
		none = none && w->groups[i].seen[point] == 0;
	}
	return all ? INK_GOOD : none ? INK_BAD : INK_WARN;
}

static void add_hop(struct block *b, const struct way *w, size_t point)
{
	const json_t *hop = json_array_get(w->path, point);
	const char *why = doc_text(hop, "why");
	bool here = looked(hop);
	enum ink ink = here ? hop_ink(w, point) : INK_DIM;
	line_begin(b);
	line_add(b, ink, !here ? "·" : ink == INK_BAD ? "○" : "●");
	line_take(b, here ? INK_PLAIN : INK_DIM, mem_printf(" %s", doc_text(hop, "point")));
	if (here) {
		add_counts(b, w, point);
		return;
	}
	char *text = mem_printf("nobody looked here%s%s", *why ? ": " : "", why);
	block_wrapped(b, INK_DIM, 4, 0, text);
	free(text);
}

static kind_mask kinds_in(const json_t *list)
{
	kind_mask mask = 0;
	for (size_t i = 0; i < json_array_size(list); i++)
		mask |= kind_parse(doc_item(list, i)) < 0 ? 0 : KIND_BIT(kind_parse(doc_item(list, i)));
	return mask;
}

/* "NETFILTER_DROP in nft_do_chain, at eth0 of web", as far as it is known. */
static void add_drop(struct block *b, const json_t *cut)
{
	static const struct {
		const char *key, *before;
	} parts[] = {{"drop_reason", "kernel: "}, {"drop_at", " in "}, {"drop_if", ", at "}, {"drop_where", " of "}};
	struct buf text = {0};
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		if (*doc_text(cut, parts[i].key))
			buf_printf(&text, "%s%s", parts[i].before, doc_text(cut, parts[i].key));
	if (text.len && *doc_text(cut, "drop_reason"))
		block_wrapped(b, INK_DIM, 4, 2, text.data);
	buf_clear(&text);
	if (*doc_text(cut, "rule")) {
		buf_printf(&text, "rule: %s", doc_text(cut, "rule"));
		block_wrapped(b, INK_DIM, 4, 2, text.data);
	}
	buf_free(&text);
}

static void add_cut(struct block *b, const json_t *cut, const char *next)
{
	char kinds[KINDS_TEXT_MAX];
	const char *before = doc_text(cut, "before");
	bool partial = json_is_true(doc_get(cut, "partial")), adjacent = strcmp(before, next) == 0;
	kinds_text(kinds_in(doc_get(cut, "kinds")), kinds, sizeof kinds);
	char *text =
	    mem_printf("✗ %s%s %slost here%s%s", json_is_true(doc_get(cut, "answer")) ? "the answers to " : "",
	               *kinds ? kinds : "all", partial ? "partly " : "", adjacent ? "" : ", before ", adjacent ? "" : before);
	block_wrapped(b, partial ? INK_WARN : INK_BAD, 0, 2, text);
	free(text);
	add_drop(b, cut);
}

static void add_cuts_after(struct block *b, const struct way *w, size_t point)
{
	const json_t *cuts = doc_get(w->doc, "cuts");
	const char *name = doc_text(json_array_get(w->path, point), "point");
	const char *next = point + 1 < w->points ? doc_text(json_array_get(w->path, point + 1), "point") : "";
	for (size_t i = 0; i < json_array_size(cuts); i++)
		if (strcmp(doc_text(json_array_get(cuts, i), "after"), name) == 0)
			add_cut(b, json_array_get(cuts, i), next);
}

/* What stands in a column that several kinds share. */
static void add_legend(struct block *b, const struct way *w, const struct group *g)
{
	struct buf text = {0};
	buf_printf(&text, "%s:", g->label);
	for (int k = 0; k < KIND_COUNT; k++)
		if (g->kinds & KIND_BIT(k))
			buf_printf(&text, "%s %s×%lld", text.data[text.len - 1] == ':' ? "" : ",", kind_info((enum kind)k)->name,
			           kind_most(w, k));
	block_wrapped(b, INK_DIM, 2, 2, text.data);
	buf_free(&text);
}

static void block_fill(struct block *b, const struct way *w, int room)
{
	block_clear(b);
	b->room = room;
	add_head(b, w);
	for (size_t i = 0; i < w->points; i++) {
		add_hop(b, w, i);
		add_cuts_after(b, w, i);
	}
	if (w->points == 0)
		block_wrapped(b, INK_DIM, 2, 0, "the path is not known");
	else if (json_is_false(doc_get(w->doc, "path_complete")))
		block_wrapped(b, INK_DIM, 2, 0, "not every hop between the two is known");
	for (size_t i = 0; i < w->group_count; i++)
		if (w->groups[i].kinds & (w->groups[i].kinds - 1))
			add_legend(b, w, &w->groups[i]);
}

static void show_ways(struct out *o, const struct way *w)
{
	struct block left = {.room = 0}, right = {.room = 0};
	int half = (o->width - BETWEEN) / 2;
	block_fill(&left, &w[0], half);
	block_fill(&right, &w[1], half);
	out_printf(o, INK_PLAIN, "\n");
	if (block_width(&left) <= half && block_width(&right) <= half) {
		blocks_print(o, &left, &right, block_width(&left) + BETWEEN);
	} else {
		block_fill(&left, &w[0], o->width);
		block_fill(&right, &w[1], o->width);
		blocks_print(o, &left, NULL, 0);
		out_printf(o, INK_PLAIN, "\n");
		blocks_print(o, &right, NULL, 0);
	}
	block_clear(&left);
	block_clear(&right);
}

/* ---- the rest ---- */

static void show_cause(struct out *o, const json_t *doc)
{
	const json_t *cause = json_array_get(doc_get(doc, "causes"), 0);
	const char *component = doc_text(cause, "component");
	if (!cause)
		return;
	out_printf(o, INK_DIM, "\nCause  ");
	out_text(o, INK_BAD, doc_text(cause, "id"));
	out_printf(o, INK_PLAIN, " at %s%s%s%s", doc_text(cause, "where"), *component ? " (" : "", component,
	           *component ? ")" : "");
	out_printf(o, INK_DIM, "   %.0f %% sure\n", 100 * json_number_value(doc_get(cause, "confidence")));
}

static void show_notes(struct out *o, const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		out_printf(o, INK_DIM, "%s%s", i ? "" : "\n", i ? "       " : "Note   ");
		out_wrapped(o, INK_DIM, doc_item(list, i), 7, 7);
	}
}

void show_trace(struct out *o, const json_t *doc)
{
	const json_t *directions = doc_get(doc, "directions");
	struct way ways[2];
	char ago[48];
	show_sentence(o, doc);
	for (size_t i = 0; i < 2; i++)
		way_fill(&ways[i], json_array_get(directions, i));
	show_ways(o, ways);
	show_cause(o, doc);
	show_notes(o, doc_get(doc, "notes"));
	out_ago(o, doc_text(doc, "at"), ago, sizeof ago);
	out_printf(o, INK_DIM, "\nround %s, %s; evidence and fix: bothways diagnose %s %s\n", doc_text(doc, "round"), ago,
	           doc_text(doc, "a"), doc_text(doc, "b"));
	for (size_t i = 0; i < 2; i++)
		way_clear(&ways[i]);
}
