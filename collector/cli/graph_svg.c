/* A picture without any tool: evidence on the left, causes in the middle, fixes on the right; a band for each category. Evidence
 * stands near the causes it speaks of, so that few lines cross. */
#include "collector/cli/graph.h"
#include "collector/cli/words.h"
#include "proto/base/mem.h"

#include <stdlib.h>
#include <string.h>

#define WIDTH       1320
#define MARGIN      24
#define BOX_HEIGHT  26
#define CAUSE_HIGH  40
#define GAP         8
#define BAND_HEAD   46
#define BAND_GAP    26
#define LEGEND_HIGH 64

enum column { EVIDENCE, CAUSE, FIX };
static const struct {
	int x, width, columns; /* columns of text that fit */
} COLUMNS[] = {{MARGIN, 250, 33}, {410, 330, 46}, {860, WIDTH - 860 - MARGIN, 55}};

struct node {
	const char *text, *small, *tip, *severity;
	double y;    /* of its middle */
	double pull; /* evidence: sum of the causes' places, and of how many */
	int pulls;
};

struct band { /* one category */
	const char *category;
	const json_t **causes;
	size_t cause_count;
	struct node *nodes[3];
	size_t counts[3];
	double top, height;
};

/* ---- what stands in a band ---- */

static struct node *node_add(struct band *b, enum column c, const char *text)
{
	b->nodes[c] = mem_resize(b->nodes[c], b->counts[c] + 1, sizeof *b->nodes[c]);
	struct node *n = &b->nodes[c][b->counts[c]++];
	*n = (struct node){.text = text, .small = "", .tip = text, .severity = ""};
	return n;
}

static struct node *evidence_node(struct band *b, const char *name)
{
	for (size_t i = 0; i < b->counts[EVIDENCE]; i++) {
		if (strcmp(b->nodes[EVIDENCE][i].text, name) == 0)
			return &b->nodes[EVIDENCE][i];
	}
	return node_add(b, EVIDENCE, name);
}

static void band_add(const struct out *o, struct band *b, const json_t *doc, const json_t *c)
{
	const json_t *evidence = doc_get(c, "evidence"), *fixes = doc_get(c, "fix");
	b->causes = mem_resize(b->causes, b->cause_count + 1, sizeof *b->causes);
	b->causes[b->cause_count++] = c;
	struct node *n = node_add(b, CAUSE, doc_text(c, "id"));
	n->small = n->tip = say_text(o, c, "title");
	n->severity = doc_text(c, "severity");
	for (size_t i = 0; i < json_array_size(evidence); i++) {
		const char *name = doc_text(json_array_get(evidence, i), "name");
		evidence_node(b, name)->tip = doc_text(doc_get(doc_get(doc, "evidence"), name), "says");
	}
	for (size_t i = 0; i < json_array_size(fixes); i++)
		node_add(b, FIX, doc_text(json_array_get(fixes, i), "command"));
}

/* ---- places ---- */

static double cause_height(const json_t *c)
{
	size_t fixes = json_array_size(doc_get(c, "fix"));
	double high = (double)fixes * (BOX_HEIGHT + GAP);
	return high > CAUSE_HIGH + GAP ? high : CAUSE_HIGH + GAP;
}

static int by_pull(const void *x, const void *y)
{
	const struct node *a = x, *b = y;
	double pa = a->pulls ? a->pull / a->pulls : 0, pb = b->pulls ? b->pull / b->pulls : 0;
	return (pa > pb) - (pa < pb);
}

static void place_causes(struct band *b, double stretch)
{
	double y = b->top + BAND_HEAD;
	size_t fix = 0;
	for (size_t i = 0; i < b->cause_count; i++) {
		double high = cause_height(b->causes[i]) * stretch, middle = y + high / 2;
		size_t fixes = json_array_size(doc_get(b->causes[i], "fix"));
		b->nodes[CAUSE][i].y = middle;
		for (size_t k = 0; k < fixes; k++)
			b->nodes[FIX][fix++].y = middle + ((double)k - (double)(fixes - 1) / 2) * (BOX_HEIGHT + GAP);
		y += high;
	}
}

static void place_evidence(struct band *b, double room)
{
	double step = room / (double)(b->counts[EVIDENCE] ? b->counts[EVIDENCE] : 1);
	for (size_t i = 0; i < b->cause_count; i++) {
		const json_t *evidence = doc_get(b->causes[i], "evidence");
		for (size_t k = 0; k < json_array_size(evidence); k++) {
			struct node *n = evidence_node(b, doc_text(json_array_get(evidence, k), "name"));
			n->pull += b->nodes[CAUSE][i].y;
			n->pulls++;
		}
	}
	if (b->counts[EVIDENCE])
		qsort(b->nodes[EVIDENCE], b->counts[EVIDENCE], sizeof *b->nodes[EVIDENCE], by_pull);
	for (size_t i = 0; i < b->counts[EVIDENCE]; i++)
		b->nodes[EVIDENCE][i].y = b->top + BAND_HEAD + step * ((double)i + 0.5);
}

static void band_place(struct band *b, double top)
{
	double causes = 0, evidence = (double)b->counts[EVIDENCE] * (BOX_HEIGHT + GAP);
	for (size_t i = 0; i < b->cause_count; i++)
		causes += cause_height(b->causes[i]);
	double room = causes > evidence ? causes : evidence;
	b->top = top;
	b->height = BAND_HEAD + room + GAP;
	place_causes(b, room / causes);
	place_evidence(b, room);
}

/* ---- drawing ---- */

static void put_text(struct out *o, const char *s)
{
	for (; *s; s++) {
		switch (*s) {
		case '<': fputs("&lt;", o->to); break;
		case '>': fputs("&gt;", o->to); break;
		case '&': fputs("&amp;", o->to); break;
		case '"': fputs("&quot;", o->to); break;
		default: fputc((unsigned char)*s < 0x20 ? ' ' : *s, o->to);
		}
	}
}

/* As much as fits, whole characters. */
static void put_short(struct out *o, const char *s, int columns)
{
	char part[8];
	if (text_width(s) <= columns) {
		put_text(o, s);
		return;
	}
	for (int used = 0; *s;) {
		size_t n = 1;
		while (((unsigned char)s[n] & 0xc0) == 0x80 && n < sizeof part - 1)
			n++;
		memcpy(part, s, n);
		part[n] = '\0';
		used += text_width(part);
		if (used > columns - 1)
			break;
		put_text(o, part);
		s += n;
	}
	fputs("…", o->to);
}

static const char *severity_color(const char *severity)
{
	static const char *const COLORS[][2] = {
	    {"critical", "#9b2c2c"}, {"high", "#dd6b20"}, {"medium", "#d69e2e"}, {"low", "#68a063"}, {"info", "#718096"}};
	for (size_t i = 0; i < sizeof COLORS / sizeof *COLORS; i++) {
		if (strcmp(COLORS[i][0], severity) == 0)
			return COLORS[i][1];
	}
	return "#718096";
}

static void draw_node(struct out *o, enum column c, const struct node *n)
{
	static const char *const classes[] = {"evidence", "cause", "fix"};
	double high = c == CAUSE ? CAUSE_HIGH : BOX_HEIGHT, top = n->y - high / 2;
	fprintf(o->to, "<g class=\"%s\"><title>", classes[c]);
	put_text(o, n->tip);
	fprintf(o->to, "</title><rect x=\"%d\" y=\"%.1f\" width=\"%d\" height=\"%.0f\" rx=\"%d\"/>", COLUMNS[c].x, top,
	        COLUMNS[c].width, high, c == EVIDENCE ? 13 : 5);
	if (c == CAUSE)
		fprintf(o->to, "<rect x=\"%d\" y=\"%.1f\" width=\"5\" height=\"%.0f\" style=\"fill:%s;stroke:none\"/>",
		        COLUMNS[c].x, top, high, severity_color(n->severity));
	fprintf(o->to, "<text x=\"%d\" y=\"%.1f\">", COLUMNS[c].x + 14, n->y + (c == CAUSE ? -3 : 4));
	put_short(o, n->text, COLUMNS[c].columns);
	fputs("</text>", o->to);
	if (*n->small) {
		fprintf(o->to, "<text class=\"small\" x=\"%d\" y=\"%.1f\">", COLUMNS[c].x + 14, n->y + 12);
		put_short(o, n->small, COLUMNS[c].columns + 4);
		fputs("</text>", o->to);
	}
	fputs("</g>\n", o->to);
}

static void draw_line(struct out *o, const char *class, enum column from, double y1, double y2, double weight)
{
	int x1 = COLUMNS[from].x + COLUMNS[from].width, x2 = COLUMNS[from + 1].x, bend = (x2 - x1) / 2;
	fprintf(o->to, "<path class=\"%s\" stroke-width=\"%.1f\" d=\"M%d %.1f C%d %.1f %d %.1f %d %.1f\"/>\n", class,
	        1 + (weight > 0 ? weight : 0) * 0.5, x1, y1, x1 + bend, y1, x2 - bend, y2, x2, y2);
}

static void draw_lines(struct out *o, struct band *b)
{
	size_t fix = 0;
	for (size_t i = 0; i < b->cause_count; i++) {
		const json_t *evidence = doc_get(b->causes[i], "evidence");
		double y = b->nodes[CAUSE][i].y;
		for (size_t k = 0; k < json_array_size(evidence); k++) {
			const json_t *piece = json_array_get(evidence, k);
			draw_line(o, doc_text(piece, "part"), EVIDENCE, evidence_node(b, doc_text(piece, "name"))->y, y,
			          json_number_value(doc_get(piece, "weight")));
		}
		for (size_t k = 0; k < json_array_size(doc_get(b->causes[i], "fix")); k++)
			draw_line(o, "mends", CAUSE, y, b->nodes[FIX][fix++].y, 0.4);
	}
}

static void draw_band(struct out *o, struct band *b)
{
	fprintf(o->to, "<rect class=\"band\" x=\"%d\" y=\"%.1f\" width=\"%d\" height=\"%.1f\" rx=\"10\"/>\n", MARGIN / 2, b->top,
	        WIDTH - MARGIN, b->height);
	fprintf(o->to, "<text class=\"head\" x=\"%d\" y=\"%.1f\">", MARGIN + 4, b->top + 28);
	put_text(o, say(o, b->category));
	fputs("</text>\n", o->to);
	draw_lines(o, b);
	for (int c = EVIDENCE; c <= FIX; c++) {
		for (size_t i = 0; i < b->counts[c]; i++)
			draw_node(o, (enum column)c, &b->nodes[c][i]);
	}
}

static void draw_legend(struct out *o)
{
	static const struct {
		const char *class, *words;
	} LINES[] = {{"requires", "must hold"}, {"supports", "speaks for it"}, {"contradicts", "rules it out"}};
	static const char *const HEADS[] = {"Evidence", "Cause", "Fix"};
	for (int c = EVIDENCE; c <= FIX; c++)
		fprintf(o->to, "<text class=\"head\" x=\"%d\" y=\"30\">%s</text>\n", COLUMNS[c].x + 4, say(o, HEADS[c]));
	for (int i = 0; i < 3; i++)
		fprintf(
		    o->to,
		    "<path class=\"%s\" stroke-width=\"2\" d=\"M%d 48 h36\"/><text class=\"small\" x=\"%d\" y=\"52\">%s</text>\n",
		    LINES[i].class, MARGIN + 4 + i * 150, MARGIN + 46 + i * 150, say(o, LINES[i].words));
}

static void draw_start(struct out *o, double height)
{
	fprintf(o->to,
	        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%.0f\" viewBox=\"0 0 %d %.0f\">\n<style>"
	        "text{font:13px sans-serif;fill:#1a202c} .small{font-size:11px;fill:#4a5568} .head{font-weight:bold;font-size:15px}"
	        " .cause text{font-weight:bold} .cause .small{font-weight:normal} .fix text{font:12px monospace}"
	        " rect{stroke:#a0aec0} .band{fill:#f7fafc;stroke:#e2e8f0} .evidence rect{fill:#f0fff4;stroke:#9ae6b4}"
	        " .cause rect{fill:#fffaf0;stroke:#ed8936} .fix rect{fill:#ebf8ff;stroke:#90cdf4}"
	        " path{fill:none;stroke-opacity:.75} .requires{stroke:#2f855a} .supports{stroke:#3182ce;stroke-dasharray:6 4}"
	        " .contradicts{stroke:#c53030;stroke-dasharray:2 3} .mends{stroke:#718096}</style>\n"
	        "<rect width=\"100%%\" height=\"100%%\" style=\"fill:#fff;stroke:none\"/>\n",
	        WIDTH, height, WIDTH, height);
}

/* ---- the whole ---- */

struct bands {
	struct band *items;
	size_t count, cap;
};

static struct band *band_of(struct bands *all, const char *category)
{
	for (size_t i = 0; i < all->count; i++) {
		if (strcmp(all->items[i].category, category) == 0)
			return &all->items[i];
	}
	struct band *b = VEC_ADD(all->items, all->count, all->cap);
	b->category = category;
	return b;
}

static void bands_free(struct bands *all)
{
	for (size_t i = 0; i < all->count; i++) {
		for (int c = EVIDENCE; c <= FIX; c++)
			free(all->items[i].nodes[c]);
		free(all->items[i].causes);
	}
	free(all->items);
}

void graph_svg(struct out *o, const json_t *doc)
{
	const json_t *causes = doc_get(doc, "causes");
	struct bands all = {0};
	double y = LEGEND_HIGH;
	for (size_t i = 0; i < json_array_size(causes); i++)
		band_add(o, band_of(&all, doc_text(json_array_get(causes, i), "category")), doc, json_array_get(causes, i));
	for (size_t i = 0; i < all.count; i++) {
		band_place(&all.items[i], y);
		y += all.items[i].height + BAND_GAP;
	}
	draw_start(o, y);
	draw_legend(o);
	for (size_t i = 0; i < all.count; i++)
		draw_band(o, &all.items[i]);
	fputs("</svg>\n", o->to);
	bands_free(&all);
}
