/* The arithmetic of a verdict: per place where packets die, the causes that were considered, line by line to the sum. */
#include "collector/cli/words.h"

#include "proto/base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_OUT 8  /* of those that are ruled out; --json has all */
#define NUMBERS   22 /* column where the numbers end */

static void number(struct out *o, const char *what, double n)
{
	out_pad(o, 4);
	out_text(o, INK_DIM, say(o, what));
	out_pad(o, NUMBERS - 4 - 6 - text_width(say(o, what)));
	out_printf(o, INK_PLAIN, "%+6.2f", n);
}

static void number_line(struct out *o, const json_t *c, const char *key, const char *what)
{
	if (!json_is_number(doc_get(c, key)))
		return;
	number(o, what, json_number_value(doc_get(c, key)));
	out_printf(o, INK_PLAIN, "\n");
}

static void show_piece(struct out *o, const json_t *piece)
{
	const char *is = doc_text(piece, "is"), *text = doc_text(piece, "text");
	bool yes = strcmp(is, "yes") == 0, no = strcmp(is, "no") == 0;
	enum ink ink = yes ? INK_GOOD : no ? INK_BAD : INK_WARN;
	number(o, doc_text(piece, "part"), json_number_value(doc_get(piece, "added")));
	out_printf(o, INK_PLAIN, "  ");
	out_text(o, ink, say(o, is));
	out_printf(o, INK_BOLD, " %s", doc_text(piece, "evidence"));
	int at = NUMBERS + 3 + text_width(say(o, is)) + text_width(doc_text(piece, "evidence"));
	if (json_number_value(doc_get(piece, "weight")) > 0 && !yes) {
		char of[16];
		snprintf(of, sizeof of, " (%+.1f)", json_number_value(doc_get(piece, "weight")));
		out_text(o, INK_DIM, of);
		at += text_width(of);
	}
	if (!*text) {
		out_printf(o, INK_PLAIN, "\n");
		return;
	}
	out_printf(o, INK_DIM, ": ");
	out_wrapped(o, INK_DIM, text, at + 2, NUMBERS + 4);
}

static const char *outcome_words(const char *outcome)
{
	static const char *const WORDS[][2] = {{"named", "named"},
	                                       {"fits", "fits"},
	                                       {"weak", "fits, and is not sure enough"},
	                                       {"unknown", "cannot be told"},
	                                       {"ruled-out", "does not fit"}};
	for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++)
		if (strcmp(WORDS[i][0], outcome) == 0)
			return WORDS[i][1];
	return outcome;
}

static void show_considered(struct out *o, const json_t *c)
{
	const json_t *evidence = doc_get(c, "evidence");
	bool named = strcmp(doc_text(c, "outcome"), "named") == 0;
	out_pad(o, 2);
	out_text(o, named ? INK_GOOD : INK_BOLD, doc_text(c, "id"));
	out_printf(o, INK_PLAIN, "%s%s", say(o, " at "), doc_text(c, "where"));
	out_printf(o, INK_DIM, "   %s\n", say(o, outcome_words(doc_text(c, "outcome"))));
	number_line(o, c, "prior", "prior");
	number_line(o, c, "shift", "experience");
	for (size_t i = 0; i < json_array_size(evidence); i++)
		show_piece(o, json_array_get(evidence, i));
	number_line(o, c, "partial", "a part only");
	number_line(o, c, "agreement", "agreement");
	number(o, "sum", json_number_value(doc_get(c, "sum")));
	out_printf(o, INK_DIM, "  = %.1f %%\n", 100 * json_number_value(doc_get(c, "confidence")));
}

/* What failed at its first condition says nothing more than that. */
static void show_out(struct out *o, const json_t *considered, size_t from)
{
	size_t shown = 0, count = json_array_size(considered);
	for (size_t i = from; i < count && shown < SHOWN_OUT; i++) {
		const json_t *c = json_array_get(considered, i);
		if (json_array_size(doc_get(c, "evidence")) < 2 || !*doc_text(c, "because"))
			continue;
		char *text = mem_printf("%s: %s", doc_text(c, "id"), doc_text(c, "because"));
		out_pad(o, 2);
		out_wrapped(o, INK_DIM, text, 2, 4);
		free(text);
		shown++;
	}
	if (from + shown < count) {
		out_pad(o, 2);
		out_printf(o, INK_DIM, say(o, "and %zu more (--json has all)\n"), count - from - shown);
	}
}

static void show_place(struct out *o, const json_t *problem)
{
	const json_t *considered = doc_get(problem, "considered"), *kinds = doc_get(problem, "kinds");
	char words[2 * KINDS_TEXT_MAX];
	kind_mask mask = 0;
	for (size_t i = 0; i < json_array_size(kinds); i++)
		mask |= kind_parse(doc_item(kinds, i)) < 0 ? 0 : KIND_BIT(kind_parse(doc_item(kinds, i)));
	out_printf(o, INK_BOLD, "\n%s  %s → %s  %s", say(o, "Why"), doc_text(problem, "from"), doc_text(problem, "to"),
	           say_kinds(o, mask, words, sizeof words));
	if (*doc_text(problem, "after"))
		out_printf(o, INK_DIM, "  %s ─ %s", doc_text(problem, "after"), doc_text(problem, "before"));
	out_printf(o, INK_PLAIN, "\n");
	size_t i = 0;
	while (i < json_array_size(considered) && strcmp(doc_text(json_array_get(considered, i), "outcome"), "ruled-out") != 0)
		show_considered(o, json_array_get(considered, i++));
	show_out(o, considered, i);
}

void show_why(struct out *o, const json_t *verdict)
{
	const json_t *problems = doc_get(verdict, "why");
	for (size_t i = 0; i < json_array_size(problems); i++)
		show_place(o, json_array_get(problems, i));
}
