/* The verdict for people: the sentence, each direction hop by hop, what works and what does not, causes with their evidence,
 * fix and verification, what was ruled out, what changed. */
#include "collector/cli/words.h"

#include "proto/base/mem.h"
#include "proto/model/kind.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define LABEL           10 /* column where text behind a label begins */
#define RULED_OUT_SHOWN 6
#define CHANGES_SHOWN   8
#define SURE_ENOUGH     0.5 /* causes below it are only named */

/* ---- words ---- */

static bool is_bad(const char *cell)
{
	enum ink ink = state_ink(cell);
	return ink == INK_BAD || ink == INK_WARN;
}

static kind_mask kinds_in(const json_t *list)
{
	kind_mask mask = 0;
	for (size_t i = 0; i < json_array_size(list); i++)
		mask |= kind_parse(doc_item(list, i)) < 0 ? 0 : KIND_BIT(kind_parse(doc_item(list, i)));
	return mask;
}

/* Kinds whose cell is that word. */
static kind_mask kinds_with(const json_t *cells, const char *word)
{
	kind_mask mask = 0;
	for (int k = 0; k < KIND_COUNT; k++)
		mask |= strcmp(doc_text(cells, kind_info((enum kind)k)->name), word) == 0 ? KIND_BIT(k) : 0;
	return mask;
}

/* "ICMP lost, TCP refused" of the bad ones among the cells; nothing when none is. */
static void add_bad(const struct out *o, const json_t *cells, struct buf *out)
{
	static const struct {
		const char *cell, *words;
	} WORDS[] = {{"lost", "lost"},
	             {"fail", "cannot start"},
	             {"partial", "partly lost"},
	             {"slow", "late"},
	             {"refused", "refused"},
	             {"reply-only", "only as a reply"},
	             {"impostor", "answered by another machine"}};
	char text[2 * KINDS_TEXT_MAX];
	for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++) {
		kind_mask mask = kinds_with(cells, WORDS[i].cell);
		if (mask)
			buf_printf(out, "%s%s %s", out->len ? "; " : "", say_kinds(o, mask, text, sizeof text),
			           say(o, WORDS[i].words));
	}
}

static void label(struct out *o, enum ink ink, const char *name)
{
	out_text(o, ink, say(o, name));
	out_pad(o, LABEL - text_width(say(o, name)));
}

/* ---- head ---- */

static void add_place(const struct out *o, const json_t *dir, struct buf *b)
{
	const json_t *cut = json_array_get(doc_get(dir, "cuts"), 0);
	char kinds[2 * KINDS_TEXT_MAX];
	if (!cut)
		return;
	buf_puts(b, "；");
	buf_printf(b, say(o, "%s is lost between %s and %s"), say_kinds(o, kinds_in(doc_get(cut, "kinds")), kinds, sizeof kinds),
	           doc_text(cut, "after"), doc_text(cut, "before"));
}

/* The collector's sentence is English; this says the same, made from the rest of the document. NULL = of an old one. Owned by
 * the caller. */
static char *chinese_sentence(const struct out *o, const json_t *v)
{
	struct buf b = {0};
	for (size_t i = 0; i < json_array_size(doc_get(v, "directions")); i++) {
		const json_t *dir = json_array_get(doc_get(v, "directions"), i);
		struct buf words = {0};
		add_bad(o, doc_get(dir, "delivery"), &words);
		if (!words.len)
			add_bad(o, doc_get(dir, "initiation"), &words);
		if (words.len) {
			buf_printf(&b, "%s%s → %s：%s", b.len ? "；" : "", doc_text(dir, "from"), doc_text(dir, "to"), words.data);
			add_place(o, dir, &b);
		}
		buf_free(&words);
	}
	const json_t *cause = json_array_get(doc_get(v, "causes"), 0);
	if (cause)
		buf_printf(&b, "%s%s（%s）。", b.len ? "。原因：" : "", say_text(o, cause, "title"), doc_text(cause, "where"));
	else if (!b.len && strcmp(doc_text(v, "state"), "ok") == 0)
		buf_puts(&b, say(o, "All that was measured works in both directions."));
	return b.data;
}

void show_sentence(struct out *o, const json_t *v)
{
	const char *state = doc_text(v, "state"), *sentence = doc_text(v, "sentence");
	char upper[24] = "";
	for (size_t i = 0; state[i] && i + 1 < sizeof upper; i++)
		upper[i] = (char)toupper((unsigned char)state[i]);
	const char *head = o->zh ? say(o, state) : upper;
	char *own = o->zh ? chinese_sentence(o, v) : NULL;
	out_text(o, state_ink(state), head);
	out_pad(o, 2);
	out_wrapped(o, INK_BOLD,
	            own         ? own
	            : *sentence ? sentence
	                        : say(o, "no more is known"),
	            text_width(head) + 2, text_width(head) + 2);
	free(own);
}

/* ---- a direction ---- */

static bool has_cut_after(const json_t *dir, const char *point)
{
	const json_t *cuts = doc_get(dir, "cuts");
	for (size_t i = 0; i < json_array_size(cuts); i++)
		if (strcmp(doc_text(json_array_get(cuts, i), "after"), point) == 0)
			return true;
	return false;
}

/* What the kernel says, and the rule that was seen to do it. */
static void show_drop(struct out *o, const json_t *cut)
{
	const char *reason = doc_text(cut, "drop_reason"), *where = doc_text(cut, "drop_where"), *at = doc_text(cut, "drop_at"),
	           *dev = doc_text(cut, "drop_if"), *rule = doc_text(cut, "rule");
	struct buf b = {0};
	if (*reason) {
		buf_printf(&b, "%s%s%s: %s%s%s%s%s", say(o, "kernel"), *where ? say(o, " of ") : "", where, reason,
		           *at ? " in " : "", at, *dev ? " at " : "", dev);
		out_pad(o, 4);
		out_wrapped(o, INK_PLAIN, b.data, 4, 6);
	}
	b.len = 0;
	if (*rule) {
		buf_printf(&b, "%s%s%s: %s", say(o, "rule"), *reason ? "" : say(o, " of "), *reason ? "" : where, rule);
		out_pad(o, 4);
		out_wrapped(o, INK_PLAIN, b.data, 4, 6);
	}
	buf_free(&b);
}

static void show_cut(struct out *o, const json_t *cut, const char *next)
{
	char kinds[2 * KINDS_TEXT_MAX];
	const char *before = doc_text(cut, "before");
	bool partial = json_is_true(doc_get(cut, "partial"));
	say_kinds(o, kinds_in(doc_get(cut, "kinds")), kinds, sizeof kinds);
	out_pad(o, 2);
	out_text(o, partial ? INK_WARN : INK_BAD, "✗ ");
	out_printf(o, partial ? INK_WARN : INK_BAD, "%s%s %s",
	           json_is_true(doc_get(cut, "answer")) ? say(o, "the answers to ") : "", *kinds ? kinds : say(o, "all"),
	           say(o, partial ? "partly lost here" : "lost here"));
	if (strcmp(before, next) != 0)
		out_printf(o, INK_DIM, "%s%s", say(o, ", before "), before);
	out_printf(o, INK_PLAIN, "\n");
	show_drop(o, cut);
}

static void show_cuts_after(struct out *o, const json_t *dir, const char *point, const char *next)
{
	const json_t *cuts = doc_get(dir, "cuts");
	for (size_t i = 0; i < json_array_size(cuts); i++)
		if (strcmp(doc_text(json_array_get(cuts, i), "after"), point) == 0)
			show_cut(o, json_array_get(cuts, i), next);
}

static bool looked(const json_t *point) { return !json_is_false(doc_get(point, "looked")); }

static int widest_point(const json_t *path)
{
	int most = 0;
	for (size_t i = 0; i < json_array_size(path); i++) {
		int w = text_width(doc_text(json_array_get(path, i), "point"));
		most = w > most ? w : most;
	}
	return most;
}

static void show_hop(struct out *o, const json_t *hop, long long most, int width)
{
	const char *name = doc_text(hop, "point");
	long long seen = doc_number(hop, "seen");
	enum ink ink = !looked(hop) ? INK_DIM : seen == 0 ? INK_BAD : seen < most ? INK_WARN : INK_GOOD;
	out_pad(o, 2);
	out_text(o, ink, !looked(hop) ? "·" : seen ? "●" : "○");
	out_printf(o, INK_PLAIN, " %s", name);
	out_pad(o, width - text_width(name) + 2);
	if (looked(hop))
		out_printf(o, INK_DIM, "%5lld %s\n", seen, say(o, "seen"));
	else
		out_printf(o, INK_DIM, "    - %s\n", say(o, "nobody looks here"));
}

static long long most_seen(const json_t *path)
{
	long long most = 0;
	for (size_t i = 0; i < json_array_size(path); i++) {
		long long seen = doc_number(json_array_get(path, i), "seen");
		most = seen > most ? seen : most;
	}
	return most;
}

/* Hop under hop, with the cuts between them. */
static void draw_down(struct out *o, const json_t *dir)
{
	const json_t *path = doc_get(dir, "path");
	int width = widest_point(path);
	size_t count = json_array_size(path);
	for (size_t i = 0; i < count; i++) {
		const json_t *hop = json_array_get(path, i);
		const char *next = i + 1 < count ? doc_text(json_array_get(path, i + 1), "point") : "";
		show_hop(o, hop, most_seen(path), width);
		if (has_cut_after(dir, doc_text(hop, "point")))
			show_cuts_after(o, dir, doc_text(hop, "point"), next);
	}
}

/* One line, for a direction in which nothing is cut. */
static void draw_across(struct out *o, const json_t *dir)
{
	const json_t *path = doc_get(dir, "path");
	int at = 0;
	for (size_t i = 0; i < json_array_size(path); i++) {
		const char *name = doc_text(json_array_get(path, i), "point");
		int need = text_width(name) + (i ? 3 : 2);
		if (i && at + need > o->width) {
			out_printf(o, INK_DIM, "\n    ");
			at = 4;
		}
		out_text(o, INK_DIM, i ? " ─ " : "  ");
		out_text(o, looked(json_array_get(path, i)) ? INK_PLAIN : INK_DIM, name);
		at += need;
	}
	out_printf(o, INK_PLAIN, "\n");
}

static bool anything_works(const json_t *cells)
{
	const char *kind;
	json_t *cell;
	json_object_foreach((json_t *)(uintptr_t)cells, kind,
	                    cell) if (json_is_string(cell) && strcmp(json_string_value(cell), "ok") == 0) return true;
	return false;
}

/* Answers die here, although all that is measured of this direction is well. */
static void add_lost_answers(const struct out *o, const json_t *cuts, struct buf *out)
{
	kind_mask mask = 0;
	char text[2 * KINDS_TEXT_MAX];
	for (size_t i = 0; i < json_array_size(cuts); i++)
		mask |= kinds_in(doc_get(json_array_get(cuts, i), "kinds"));
	if (mask)
		buf_printf(out, say(o, "works, but answers to %s are lost"), say_kinds(o, mask, text, sizeof text));
}

static enum ink direction_words(const struct out *o, const json_t *dir, struct buf *out)
{
	add_bad(o, doc_get(dir, "delivery"), out);
	if (out->len)
		return INK_BAD;
	add_bad(o, doc_get(dir, "initiation"), out);
	if (out->len) {
		buf_puts(out, say(o, ", although all arrives"));
		return INK_BAD;
	}
	add_lost_answers(o, doc_get(dir, "cuts"), out);
	if (out->len)
		return INK_WARN;
	bool works = anything_works(doc_get(dir, "delivery"));
	buf_puts(out, say(o, works ? "works" : "is not known"));
	return works ? INK_GOOD : INK_WARN;
}

static void say_direction(struct out *o, const json_t *dir)
{
	struct buf words = {0}, count = {0};
	const json_t *loss = doc_get(dir, "loss");
	enum ink ink = direction_words(o, dir, &words);
	int at = text_width(doc_text(dir, "from")) + text_width(doc_text(dir, "to")) + 6;
	buf_printf(&count, say(o, "%lld of %lld probes arrived"), doc_number(loss, "received"), doc_number(loss, "sent"));
	out_printf(o, INK_BOLD, "\n%s → %s", doc_text(dir, "from"), doc_text(dir, "to"));
	out_pad(o, 3);
	if (at + text_width(words.data) + 3 + text_width(count.data) <= o->width) {
		out_text(o, ink, words.data);
		out_printf(o, INK_DIM, "   %s\n", count.data);
	} else {
		out_wrapped(o, ink, words.data, at, at);
		out_pad(o, at);
		out_printf(o, INK_DIM, "%s\n", count.data);
	}
	buf_free(&words);
	buf_free(&count);
}

/* "delay", and where it begins, with how much. */
static void say_odd(struct out *o, const json_t *odd)
{
	const json_t *us = doc_get(odd, "us");
	double share = (double)doc_number(odd, "of_10000") / 100;
	out_printf(o, INK_WARN, "  ~ %s", say(o, doc_text(odd, "what")));
	if (us)
		out_printf(o, INK_WARN, " %.1f ms", (double)doc_number(odd, "us") / 1000);
	else
		out_printf(o, INK_WARN, " %.2f %%", share);
	out_printf(o, INK_PLAIN, "   %s ─ %s%s\n", doc_text(odd, "after"), doc_text(odd, "before"),
	           json_is_true(doc_get(odd, "both_ways")) ? say(o, ", there and back") : "");
}

/* What the train measured, when there was one. */
static void say_quality(struct out *o, const json_t *q)
{
	size_t i;
	json_t *odd;
	if (!json_is_object(q))
		return;
	out_printf(o, INK_DIM,
	           say(o, "  train of %lld: %.2f %% lost, round trip %.2f ms (usual %.2f), jitter %.2f ms, %lld twice, %lld out of "
	                  "order, %lld damaged\n"),
	           doc_number(q, "sent"), json_number_value(doc_get(q, "loss_percent")), (double)doc_number(q, "rtt_us") / 1000,
	           (double)doc_number(q, "usual_us") / 1000, (double)doc_number(q, "jitter_us") / 1000, doc_number(q, "duplicates"),
	           doc_number(q, "reordered"), doc_number(q, "damaged"));
	if (doc_number(q, "rate_kbit"))
		out_printf(o, INK_DIM, say(o, "  a burst passes at %lld kbit/s and waits up to %.1f ms\n"),
		           doc_number(q, "rate_kbit"), (double)doc_number(q, "queue_us") / 1000);
	json_array_foreach(doc_get(q, "odd"), i, odd) say_odd(o, odd);
}

static void show_direction(struct out *o, const json_t *dir)
{
	say_direction(o, dir);
	say_quality(o, doc_get(dir, "quality"));
	if (!json_array_size(doc_get(dir, "path")))
		out_printf(o, INK_DIM, "  %s\n", say(o, "the path is not known"));
	else if (json_array_size(doc_get(dir, "cuts")))
		draw_down(o, dir);
	else
		draw_across(o, dir);
}

/* ---- the matrix, kinds that fare alike on one line ---- */

struct fate {
	const char *cell[4];
};

static struct fate fate_of(const json_t *v, const char *kind)
{
	struct fate f;
	for (int i = 0; i < 4; i++) {
		const json_t *dir = json_array_get(doc_get(v, "directions"), (size_t)i / 2);
		const char *cell = doc_text(doc_get(dir, i % 2 ? "initiation" : "delivery"), kind);
		f.cell[i] = *cell ? cell : "-";
	}
	return f;
}

static bool same_fate(const struct fate *a, const struct fate *b)
{
	for (int i = 0; i < 4; i++)
		if (strcmp(a->cell[i], b->cell[i]) != 0)
			return false;
	return true;
}

static bool is_anything(const struct fate *f, bool bad_only)
{
	for (int i = 0; i < 4; i++)
		if (bad_only ? is_bad(f->cell[i]) : strcmp(f->cell[i], "-") != 0)
			return true;
	return false;
}

static void add_fates(const struct out *o, struct table *t, const json_t *v, bool bad)
{
	bool done[KIND_COUNT] = {false};
	for (int k = 0; k < KIND_COUNT; k++) {
		struct fate f = fate_of(v, kind_info((enum kind)k)->name);
		char names[2 * KINDS_TEXT_MAX];
		kind_mask mask = 0;
		if (done[k] || !is_anything(&f, false) || is_anything(&f, true) != bad)
			continue;
		for (int l = k; l < KIND_COUNT; l++) {
			struct fate g = fate_of(v, kind_info((enum kind)l)->name);
			if (!same_fate(&f, &g))
				continue;
			done[l] = true;
			mask |= KIND_BIT(l);
		}
		for (int i = 0; i < 4; i++)
			table_add(t, state_ink(f.cell[i]), say(o, f.cell[i]));
		table_add(t, INK_PLAIN, say_kinds(o, mask, names, sizeof names));
	}
}

static void show_matrix(struct out *o, const json_t *v)
{
	static const char *const heads[] = {"arrives", "can start", "arrives", "can start", ""};
	const json_t *dir = json_array_get(doc_get(v, "directions"), 0);
	struct table *t = table_new(5, NULL);
	table_addf(t, INK_DIM, "%s → %s", doc_text(dir, "from"), doc_text(dir, "to"));
	table_add(t, INK_DIM, "");
	table_addf(t, INK_DIM, "%s → %s", doc_text(dir, "to"), doc_text(dir, "from"));
	table_add(t, INK_DIM, "");
	table_add(t, INK_DIM, "");
	for (size_t i = 0; i < 5; i++)
		table_add(t, INK_DIM, say(o, heads[i]));
	add_fates(o, t, v, true);
	add_fates(o, t, v, false);
	out_printf(o, INK_PLAIN, "\n");
	table_print(t, o, 2);
	table_free(t);
}

/* Reasons, each once, with the kinds they hold for. */
static void show_reasons(struct out *o, const json_t *v)
{
	json_t *by_reason = json_object();
	for (size_t d = 0; d < 2; d++) {
		const json_t *dir = json_array_get(doc_get(v, "directions"), d);
		const char *kind;
		json_t *why;
		json_object_foreach((json_t *)(uintptr_t)doc_get(dir, "why"), kind, why)
		{
			const char *reason = json_is_string(why) ? json_string_value(why) : "no reason given";
			json_t *list = json_object_get(by_reason, reason);
			if (!list) {
				list = json_array();
				json_object_set_new(by_reason, reason, list);
			}
			size_t i = 0;
			while (i < json_array_size(list) && strcmp(doc_item(list, i), kind) != 0)
				i++;
			if (i == json_array_size(list))
				json_array_append_new(list, json_string(kind));
		}
	}
	const char *reason;
	json_t *kinds;
	json_object_foreach(by_reason, reason, kinds)
	{
		char text[2 * KINDS_TEXT_MAX];
		struct buf b = {0};
		buf_printf(&b, "%s: %s", say_kinds(o, kinds_in(kinds), text, sizeof text), say(o, reason));
		out_pad(o, 2);
		out_wrapped(o, INK_DIM, b.data, 2, 4);
		buf_free(&b);
	}
	json_decref(by_reason);
}

/* ---- causes ---- */

static void show_list(struct out *o, const char *name, const char *sign, enum ink ink, const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		label(o, INK_DIM, i ? "" : name);
		out_text(o, ink, sign);
		out_wrapped(o, INK_PLAIN, doc_item(list, i), LABEL + 2, LABEL + 2);
	}
}

static void show_fixes(struct out *o, const json_t *fixes)
{
	for (size_t i = 0; i < json_array_size(fixes); i++) {
		const json_t *fix = json_array_get(fixes, i);
		bool manual = json_is_true(doc_get(fix, "manual"));
		label(o, INK_DIM, i ? "" : "  fix");
		out_text(o, INK_PLAIN, say(o, manual ? "at" : "on"));
		out_printf(o, INK_PLAIN, say(o, " %s:\n"), doc_text(fix, "where"));
		out_pad(o, LABEL + 2);
		/* A command is never wrapped: it is to be copied. */
		if (manual)
			out_wrapped(o, INK_PLAIN, doc_text(fix, "command"), LABEL + 2, LABEL + 2);
		else
			out_printf(o, INK_BOLD, "%s\n", doc_text(fix, "command"));
	}
}

static void show_cause(struct out *o, const json_t *cause)
{
	const char *title = say_text(o, cause, "title"), *explanation = say_text(o, cause, "explanation"),
	           *component = doc_text(cause, "component");
	out_printf(o, INK_PLAIN, "\n");
	label(o, INK_DIM, "Cause");
	out_text(o, INK_BAD, doc_text(cause, "id"));
	out_printf(o, INK_PLAIN, "%s%s", say(o, " at "), doc_text(cause, "where"));
	if (*component)
		out_printf(o, INK_PLAIN, " (%s)", component);
	out_printf(o, INK_DIM, say(o, "   %.0f %% sure\n"), 100 * json_number_value(doc_get(cause, "confidence")));
	if (*title || *explanation) {
		out_pad(o, LABEL);
		char *text = mem_printf("%s%s%s", title, !*title || !*explanation ? "" : o->zh ? "。" : ". ", explanation);
		text[0] = (char)toupper((unsigned char)text[0]);
		out_wrapped(o, INK_PLAIN, text, LABEL, LABEL);
		free(text);
	}
	show_list(o, "  for", "+ ", INK_GOOD, doc_get(cause, "for"));
	show_list(o, "  against", "- ", INK_WARN, doc_get(cause, "against"));
	show_fixes(o, doc_get(cause, "fix"));
	if (*doc_text(cause, "verify")) {
		label(o, INK_DIM, "  verify");
		out_printf(o, INK_PLAIN, "%s\n", doc_text(cause, "verify"));
	}
}

static void show_causes_of(struct out *o, const json_t *v)
{
	const json_t *causes = doc_get(v, "causes");
	bool unlikely = false;
	for (size_t i = 0; i < json_array_size(causes); i++) {
		const json_t *cause = json_array_get(causes, i);
		double sure = json_number_value(doc_get(cause, "confidence"));
		if (i == 0 || sure >= SURE_ENOUGH) {
			show_cause(o, cause);
			continue;
		}
		if (!unlikely)
			out_printf(o, INK_PLAIN, "\n");
		label(o, INK_DIM, unlikely ? "" : "Or maybe");
		out_printf(o, INK_PLAIN, "%s, %.0f %%,%s%s\n", doc_text(cause, "id"), 100 * sure, say(o, " at "),
		           doc_text(cause, "where"));
		unlikely = true;
	}
	if (!json_array_size(causes) && strcmp(doc_text(v, "state"), "ok") != 0) {
		out_printf(o, INK_PLAIN, "\n");
		label(o, INK_DIM, "Cause");
		out_wrapped(o, INK_WARN, say(o, "undetermined: nothing in the catalogue fits. The place above is where to look."),
		            LABEL, LABEL);
	}
}

/* Causes that nothing speaks against, where none could be named, and what would have to be known. */
static void show_left(struct out *o, const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *left = json_array_get(list, i);
		if (!i)
			out_printf(o, INK_PLAIN, "\n");
		label(o, INK_DIM, i ? "" : "Possible");
		char *text = mem_printf("%s%s%s: %s. %s%s", doc_text(left, "id"), say(o, " at "), doc_text(left, "where"),
		                        say_text(o, left, "title"), say(o, "Missing: "), doc_text(left, "missing"));
		out_wrapped(o, INK_PLAIN, text, LABEL, LABEL + 2);
		free(text);
	}
}

/* ---- the rest ---- */

static void show_ruled_out(struct out *o, const json_t *list)
{
	size_t count = json_array_size(list);
	if (count)
		out_printf(o, INK_PLAIN, "\n");
	for (size_t i = 0; i < count && i < RULED_OUT_SHOWN; i++) {
		const json_t *r = json_array_get(list, i);
		label(o, INK_DIM, i ? "" : "Ruled out");
		char *text = mem_printf("%s: %s", doc_text(r, "id"), doc_text(r, "because"));
		out_wrapped(o, INK_DIM, text, LABEL, LABEL + 2);
		free(text);
	}
	if (count > RULED_OUT_SHOWN) {
		out_pad(o, LABEL);
		out_printf(o, INK_DIM, say(o, "and %zu more (--json has all)\n"), count - RULED_OUT_SHOWN);
	}
}

static void show_change(struct out *o, const json_t *c, const char *name)
{
	char ago[48];
	out_ago(o, doc_text(c, "at"), ago, sizeof ago);
	label(o, INK_DIM, name);
	char *text = mem_printf("%s  %s: %s → %s (%s)", doc_text(c, "agent"), doc_text(c, "fact"),
	                        *doc_text(c, "was") ? doc_text(c, "was") : say(o, "absent"),
	                        *doc_text(c, "now") ? doc_text(c, "now") : say(o, "absent"), ago);
	out_wrapped(o, INK_PLAIN, text, LABEL, LABEL + 2);
	free(text);
}

static void show_changed(struct out *o, const json_t *list)
{
	size_t count = json_array_size(list), first = count > CHANGES_SHOWN ? count - CHANGES_SHOWN : 0;
	if (count)
		out_printf(o, INK_PLAIN, "\n");
	for (size_t i = first; i < count; i++)
		show_change(o, json_array_get(list, i), i == first ? "Changed" : "");
}

static void show_notes(struct out *o, const json_t *list)
{
	if (json_array_size(list))
		out_printf(o, INK_PLAIN, "\n");
	for (size_t i = 0; i < json_array_size(list); i++) {
		label(o, INK_DIM, i ? "" : "Note");
		out_wrapped(o, INK_DIM, doc_item(list, i), LABEL, LABEL);
	}
}

void show_verdict(struct out *o, const json_t *v)
{
	show_sentence(o, v);
	for (size_t i = 0; i < json_array_size(doc_get(v, "directions")); i++)
		show_direction(o, json_array_get(doc_get(v, "directions"), i));
	show_matrix(o, v);
	show_reasons(o, v);
	show_causes_of(o, v);
	show_left(o, doc_get(v, "candidates"));
	show_ruled_out(o, doc_get(v, "ruled_out"));
	show_changed(o, doc_get(v, "changed"));
	show_notes(o, doc_get(v, "notes"));
	show_why(o, v);
	out_printf(o, INK_DIM, say(o, "\nmeasured in %lld ms (round %s)\n"), doc_number(v, "took_ms"), doc_text(v, "round"));
}
