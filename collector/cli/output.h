/* output: how things look to people: ink, width, columns. What is shown is decided in output_*.c, which read the collector's
 * JSON documents only. Text from machines is shown without its control characters. */
#ifndef BW_CLI_OUTPUT_H
#define BW_CLI_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

enum ink { INK_PLAIN, INK_BOLD, INK_DIM, INK_GOOD, INK_BAD, INK_WARN };

struct out {
	FILE *to;
	bool color;
	bool utf8;     /* else ASCII stands in */
	bool zh;       /* in Chinese, as far as there are words */
	int width;     /* columns; where long text is wrapped */
	long long now; /* seconds since 1970, for "12 s ago"; 0 = print times as they are */
};

/* Colour on a terminal only and never with NO_COLOR; the terminal's width, or 120. Call setlocale before. */
struct out out_for(FILE *to);

/* Columns the text takes. */
int text_width(const char *s);
void out_text(struct out *o, enum ink ink, const char *s);
void out_printf(struct out *o, enum ink ink, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Text wrapped at the width; the first line begins at column `at`, the next ones are indented by `indent`. Ends the line. */
void out_wrapped(struct out *o, enum ink ink, const char *s, int at, int indent);
void out_pad(struct out *o, int columns);
/* "12 s ago", or the time itself. `time` as in the documents; NULL or "": "never". */
void out_ago(const struct out *o, const char *time, char *buf, size_t size);

/* ---- a table: columns as wide as their widest cell; the last one is wrapped ---- */
struct table;
struct table *table_new(size_t columns, const char *const *heads /* NULL = none */);
/* Cells in order, row after row. */
void table_add(struct table *t, enum ink ink, const char *text);
void table_addf(struct table *t, enum ink ink, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void table_print(const struct table *t, struct out *o, int indent);
void table_free(struct table *t);

/* ---- reading documents: absent is "", 0, NULL ---- */
const char *doc_text(const json_t *o, const char *key);
const char *doc_item(const json_t *list, size_t i);
long long doc_number(const json_t *o, const char *key);
const json_t *doc_get(const json_t *o, const char *key);
enum ink state_ink(const char *state);

/* ---- the documents ---- */
/* One open problem: the pair, its state and cause, and the sentence. */
void show_problem(struct out *o, const json_t *problem);
void show_verdict(struct out *o, const json_t *doc);
void show_why(struct out *o, const json_t *verdict); /* the arithmetic, when it is in it */
/* Its state and the sentence. */
void show_sentence(struct out *o, const json_t *verdict);
void show_trace(struct out *o, const json_t *doc);
void show_capture(struct out *o, const json_t *doc);
void show_bundle(struct out *o, const json_t *doc);
void show_replay(struct out *o, const json_t *report);
void show_feedback(struct out *o, const json_t *doc);
void show_mesh(struct out *o, const json_t *doc);
void show_status(struct out *o, const json_t *doc);
void show_agents(struct out *o, const json_t *doc);
void show_facts(struct out *o, const json_t *doc);
void show_causes(struct out *o, const json_t *doc);
void show_token(struct out *o, const json_t *doc);

#endif
