/* The language of Graphviz: `dot -Tsvg`. */
#include "collector/cli/graph.h"
#include "collector/cli/words.h"

#include <string.h>

static void put_quoted(struct out *o, const char *s)
{
	fputc('"', o->to);
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			fputc('\\', o->to);
		fputc((unsigned char)*s < 0x20 ? ' ' : *s, o->to);
	}
	fputc('"', o->to);
}

static void put_cause(struct out *o, const json_t *c)
{
	fputs("    ", o->to);
	put_quoted(o, doc_text(c, "id"));
	fputs(" [shape=box, style=\"rounded,filled\", fillcolor=\"#fff5e6\", tooltip=", o->to);
	put_quoted(o, say_text(o, c, "title"));
	fputs("];\n", o->to);
}

static void put_evidence(struct out *o, const json_t *c)
{
	static const struct {
		const char *part, *style;
	} STYLES[] = {{"requires", "color=\"#2f855a\""},
	              {"supports", "color=\"#2b6cb0\", style=dashed"},
	              {"contradicts", "color=\"#c53030\", style=dotted, arrowhead=tee"}};
	const json_t *evidence = doc_get(c, "evidence");
	for (size_t i = 0; i < json_array_size(evidence); i++) {
		const json_t *piece = json_array_get(evidence, i);
		size_t k = 0;
		while (k < 2 && strcmp(STYLES[k].part, doc_text(piece, "part")) != 0)
			k++;
		fputs("  ", o->to);
		put_quoted(o, doc_text(piece, "name"));
		fputs(" -> ", o->to);
		put_quoted(o, doc_text(c, "id"));
		fprintf(o->to, " [%s", STYLES[k].style);
		if (json_is_number(doc_get(piece, "weight")))
			fprintf(o->to, ", label=\"%+.1f\"", json_number_value(doc_get(piece, "weight")));
		fputs("];\n", o->to);
	}
}

static void put_fixes(struct out *o, const json_t *c)
{
	const json_t *fixes = doc_get(c, "fix");
	for (size_t i = 0; i < json_array_size(fixes); i++) {
		const char *command = doc_text(json_array_get(fixes, i), "command");
		fprintf(o->to, "  \"%s fix %zu\" [shape=note, style=filled, fillcolor=\"#ebf8ff\", label=", doc_text(c, "id"),
		        i + 1);
		put_quoted(o, command);
		fputs("];\n  ", o->to);
		put_quoted(o, doc_text(c, "id"));
		fprintf(o->to, " -> \"%s fix %zu\";\n", doc_text(c, "id"), i + 1);
	}
}

static void put_cluster(struct out *o, const json_t *causes, const char *category)
{
	fputs("  subgraph ", o->to);
	fprintf(o->to, "\"cluster %s\" {\n    label=", category);
	put_quoted(o, say(o, category));
	fputs(";\n", o->to);
	for (size_t i = 0; i < json_array_size(causes); i++) {
		if (strcmp(doc_text(json_array_get(causes, i), "category"), category) == 0)
			put_cause(o, json_array_get(causes, i));
	}
	fputs("  }\n", o->to);
}

void graph_dot(struct out *o, const json_t *doc)
{
	const json_t *causes = doc_get(doc, "causes");
	fputs("digraph causes {\n  rankdir=LR;\n  node [fontname=\"sans-serif\", fontsize=11, shape=ellipse];\n"
	      "  edge [fontname=\"sans-serif\", fontsize=9];\n",
	      o->to);
	for (size_t i = 0; i < json_array_size(causes); i++) {
		const char *category = doc_text(json_array_get(causes, i), "category");
		size_t k = 0;
		while (k < i && strcmp(doc_text(json_array_get(causes, k), "category"), category) != 0)
			k++;
		if (k == i)
			put_cluster(o, causes, category);
	}
	for (size_t i = 0; i < json_array_size(causes); i++) {
		put_evidence(o, json_array_get(causes, i));
		put_fixes(o, json_array_get(causes, i));
	}
	fputs("}\n", o->to);
}
