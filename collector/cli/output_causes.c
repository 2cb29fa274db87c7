/* The catalogue for people: a list by category, and a page per cause. */
#include "collector/cli/words.h"

#include "proto/base/mem.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define LABEL_WIDTH 12

static void label(struct out *o, const char *name)
{
	out_text(o, INK_DIM, say(o, name));
	out_pad(o, LABEL_WIDTH - text_width(say(o, name)));
}

static enum ink severity_ink(const char *severity)
{
	if (strcmp(severity, "critical") == 0 || strcmp(severity, "high") == 0)
		return INK_BAD;
	return strcmp(severity, "medium") == 0 ? INK_WARN : INK_DIM;
}

static char *joined(const json_t *list)
{
	struct buf b = {0};
	for (size_t i = 0; i < json_array_size(list); i++)
		buf_printf(&b, "%s%s", i ? ", " : "", doc_item(list, i));
	return b.data;
}

/* One line of a list, joined. */
static void show_joined(struct out *o, const char *name, const json_t *list)
{
	char *text = joined(list);
	if (text) {
		label(o, name);
		out_wrapped(o, INK_PLAIN, text, LABEL_WIDTH, LABEL_WIDTH);
	}
	free(text);
}

static void show_lines(struct out *o, const char *name, const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		label(o, i ? "" : name);
		out_wrapped(o, INK_PLAIN, doc_item(list, i), LABEL_WIDTH, LABEL_WIDTH + 2);
	}
}

/* ---- evidence ---- */

static const char *meaning(const json_t *doc, const char *name)
{
	return doc_text(doc_get(doc_get(doc, "evidence"), name), "says");
}

static void show_piece(struct out *o, const json_t *doc, const json_t *piece, bool first)
{
	static const struct {
		const char *part, *sign, *words;
		enum ink ink;
	} PARTS[] = {{"requires", "●", "must hold", INK_GOOD},
	             {"supports", "+", "speaks for it", INK_PLAIN},
	             {"contradicts", "✗", "rules it out", INK_BAD}};
	const char *part = doc_text(piece, "part"), *name = doc_text(piece, "name");
	size_t k = 0;
	while (k < 2 && strcmp(PARTS[k].part, part) != 0)
		k++;
	label(o, first ? "Evidence" : "");
	out_text(o, PARTS[k].ink, PARTS[k].sign);
	out_printf(o, INK_BOLD, " %s", name);
	if (json_is_number(doc_get(piece, "weight")))
		out_printf(o, INK_DIM, "  %+.1f", json_number_value(doc_get(piece, "weight")));
	out_printf(o, INK_DIM, "  %s\n", say(o, PARTS[k].words));
	out_pad(o, LABEL_WIDTH + 2);
	out_wrapped(o, INK_PLAIN, meaning(doc, name), LABEL_WIDTH + 2, LABEL_WIDTH + 2);
}

/* ---- what it is easily taken for ---- */

static void show_difference(struct out *o, const json_t *doc, const char *name, const json_t *pieces)
{
	for (size_t i = 0; i < json_array_size(pieces); i++) {
		const char *says = meaning(doc, doc_item(pieces, i));
		out_pad(o, LABEL_WIDTH + 2);
		char *text = mem_printf("%s%s%s%s", say(o, name), doc_item(pieces, i), *says ? ": " : "", says);
		out_wrapped(o, INK_DIM, text, LABEL_WIDTH + 2, LABEL_WIDTH + 4);
		free(text);
	}
}

static void show_alike(struct out *o, const json_t *doc, const json_t *cause)
{
	const json_t *apart = doc_get(cause, "apart");
	for (size_t i = 0; i < json_array_size(apart); i++) {
		const json_t *other = json_array_get(apart, i);
		label(o, i ? "" : "Alike");
		out_text(o, INK_BOLD, doc_text(other, "id"));
		out_printf(o, INK_PLAIN, "  ");
		out_wrapped(o, INK_PLAIN, say_text(o, other, "title"), LABEL_WIDTH + text_width(doc_text(other, "id")) + 2,
		            LABEL_WIDTH + 2);
		show_difference(o, doc, "here: ", doc_get(other, "this"));
		show_difference(o, doc, "there: ", doc_get(other, "that"));
	}
	if (!json_array_size(apart) && *doc_text(cause, "unlike")) {
		label(o, "Alike");
		out_wrapped(o, INK_PLAIN, doc_text(cause, "unlike"), LABEL_WIDTH, LABEL_WIDTH);
	}
}

/* ---- fixes ---- */

static void show_fixes(struct out *o, const json_t *cause)
{
	const json_t *fixes = doc_get(cause, "fix");
	for (size_t i = 0; i < json_array_size(fixes); i++) {
		const json_t *f = json_array_get(fixes, i);
		const char *platform = doc_text(f, "platform"), *at = doc_text(f, "at");
		label(o, i ? "" : "Fix");
		out_printf(o, INK_DIM, "%s%s%s", *platform ? platform : "linux", *at && strcmp(at, "who") != 0 ? ", " : "",
		           strcmp(at, "who") != 0 ? at : "");
		out_printf(o, INK_PLAIN, "\n");
		out_pad(o, LABEL_WIDTH + 2);
		char *text =
		    mem_printf("%s%s", json_is_true(doc_get(f, "manual")) ? say(o, "by hand: ") : "", doc_text(f, "command"));
		out_wrapped(o, json_is_true(doc_get(f, "manual")) ? INK_PLAIN : INK_BOLD, text, LABEL_WIDTH + 2, LABEL_WIDTH + 2);
		free(text);
	}
	if (!fixes) /* of an older collector */
		show_lines(o, "Fix", doc_get(cause, "fixes"));
}

/* ---- a page ---- */

static void show_page(struct out *o, const json_t *doc, const json_t *c)
{
	const char *severity = doc_text(c, "severity");
	const json_t *evidence = doc_get(c, "evidence");
	char *title = mem_strdup(say_text(o, c, "title"));
	title[0] = (char)toupper((unsigned char)title[0]);
	out_text(o, INK_BOLD, doc_text(c, "id"));
	out_printf(o, INK_DIM, "   %s   ", say(o, doc_text(c, "category")));
	out_text(o, severity_ink(severity), say(o, severity));
	out_printf(o, INK_PLAIN, "\n\n");
	out_wrapped(o, INK_PLAIN, title, 0, 0);
	out_wrapped(o, INK_PLAIN, say_text(o, c, "explanation"), 0, 0);
	out_printf(o, INK_PLAIN, "\n");
	show_joined(o, "Platforms", doc_get(c, "platforms"));
	show_joined(o, "Needs", doc_get(c, "needs"));
	for (size_t i = 0; i < json_array_size(evidence); i++)
		show_piece(o, doc, json_array_get(evidence, i), i == 0);
	show_joined(o, "Asks for", doc_get(c, "asks"));
	show_alike(o, doc, c);
	show_fixes(o, c);
	if (*doc_text(c, "verify")) {
		label(o, "Verify");
		out_printf(o, INK_PLAIN, "%s\n", doc_text(c, "verify"));
	}
	show_lines(o, "Sources", doc_get(c, "sources"));
	free(title);
}

/* ---- the list ---- */

static int widest_id(const json_t *causes)
{
	int most = 0;
	for (size_t i = 0; i < json_array_size(causes); i++) {
		int w = text_width(doc_text(json_array_get(causes, i), "id"));
		most = w > most ? w : most;
	}
	return most;
}

static void show_line(struct out *o, const json_t *c, int width)
{
	const char *severity = doc_text(c, "severity"), *id = doc_text(c, "id");
	int severity_width = o->zh ? 6 : 10;
	out_pad(o, 2);
	out_text(o, INK_BOLD, id);
	out_pad(o, width - text_width(id) + 2);
	out_text(o, severity_ink(severity), say(o, severity));
	out_pad(o, severity_width - text_width(say(o, severity)));
	out_wrapped(o, INK_PLAIN, say_text(o, c, "title"), 2 + width + 2 + severity_width, 2 + width + 2 + severity_width);
}

/* Categories in the order in which they first come. */
static bool is_first_of_category(const json_t *causes, size_t i)
{
	const char *category = doc_text(json_array_get(causes, i), "category");
	for (size_t k = 0; k < i; k++) {
		if (strcmp(doc_text(json_array_get(causes, k), "category"), category) == 0)
			return false;
	}
	return true;
}

static void show_category(struct out *o, const json_t *causes, const char *category, int width)
{
	if (o->zh && strcmp(say(o, category), category) != 0) {
		out_text(o, INK_DIM, say(o, category));
		out_printf(o, INK_DIM, "  ");
	}
	out_printf(o, INK_DIM, "%s\n", category);
	for (size_t i = 0; i < json_array_size(causes); i++) {
		const json_t *c = json_array_get(causes, i);
		if (strcmp(doc_text(c, "category"), category) == 0)
			show_line(o, c, width);
	}
	out_printf(o, INK_PLAIN, "\n");
}

void show_causes(struct out *o, const json_t *doc)
{
	const json_t *causes = doc_get(doc, "causes");
	size_t count = json_array_size(causes);
	if (count == 1) {
		show_page(o, doc, json_array_get(causes, 0));
		return;
	}
	for (size_t i = 0; i < count; i++) {
		if (is_first_of_category(causes, i))
			show_category(o, causes, doc_text(json_array_get(causes, i), "category"), widest_id(causes));
	}
	out_printf(o, INK_DIM,
	           say(o, "%zu causes. `bothways causes ID` explains one, `bothways causes CATEGORY` lists one category.\n"),
	           count);
}
