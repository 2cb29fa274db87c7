#include "collector/cli/codes.h"

#include "collector/cli/codes_priv.h"
#include "proto/base/mem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

extern const unsigned char codes_tsv[];
extern const unsigned codes_tsv_len;

#define FIELDS_MAX 8

/* ---- reading ---- */

struct reader {
	struct codes *codes;
	char *fields[FIELDS_MAX];
	size_t field_count;
	size_t line;
	struct err *e;
};

static int bad(const struct reader *r, const char *what) { return err_set(r->e, "codes: line %zu: %s", r->line, what); }

/* Splits at `sep`, in place. More fields than room: the count says so. */
static size_t split(char *text, const char *sep, char **out, size_t max)
{
	size_t count = 0, n = strlen(sep);
	for (char *next; text; text = next) {
		next = strstr(text, sep);
		if (next) {
			*next = '\0';
			next += n;
		}
		if (count < max)
			out[count] = text;
		count++;
	}
	return count;
}

static struct code_system *find_system(struct codes *c, const char *id)
{
	for (size_t i = 0; i < c->system_count; i++)
		if (strcmp(c->systems[i].id, id) == 0)
			return &c->systems[i];
	return NULL;
}

static const struct advice *find_advice(const struct codes *c, const char *id)
{
	for (size_t i = 0; i < c->advice_count; i++)
		if (strcmp(c->advice[i].id, id) == 0)
			return &c->advice[i];
	return NULL;
}

static int read_system(struct reader *r)
{
	char **f = r->fields;
	if (r->field_count != 6)
		return bad(r, "a system has six fields");
	if (find_system(r->codes, f[1]))
		return bad(r, "this system was there before");
	if (r->codes->system_count == SYSTEMS_MAX)
		return bad(r, "too many systems");
	r->codes->systems[r->codes->system_count++] =
	    (struct code_system){.id = f[1], .title = {f[2], f[3]}, .sources = f[4], .words = f[5]};
	return 0;
}

static int read_advice(struct reader *r)
{
	char **f = r->fields;
	if (r->field_count != 4)
		return bad(r, "an advice has four fields");
	if (find_advice(r->codes, f[1]))
		return bad(r, "this advice was there before");
	struct advice *a = VEC_ADD(r->codes->advice, r->codes->advice_count, r->codes->advice_cap);
	*a = (struct advice){f[1], {f[2], f[3]}};
	return 0;
}

static int take_advice(struct reader *r, struct code *code, char *list)
{
	char *ids[CODE_ADVICE_MAX];
	code->advice_count = *list ? split(list, " ", ids, CODE_ADVICE_MAX) : 0;
	if (code->advice_count > CODE_ADVICE_MAX)
		return bad(r, "too much advice");
	for (size_t i = 0; i < code->advice_count; i++) {
		const struct advice *a = find_advice(r->codes, ids[i]);
		if (!a)
			return bad(r, "there is no such advice");
		memcpy(code->advice[i], a->text, sizeof a->text);
	}
	return 0;
}

static int read_code(struct reader *r)
{
	char **f = r->fields, *causes[CODE_CAUSES_MAX];
	struct code_system *system = find_system(r->codes, f[0]);
	if (r->field_count != 8 || !*f[1] || !*f[4] || !*f[5])
		return bad(r,
		           "a code has eight fields: system, code, number, aliases, meaning, meaning in Chinese, causes, advice");
	if (!system)
		return bad(r, "there is no such system");
	struct code *code = VEC_ADD(r->codes->items, r->codes->count, r->codes->cap);
	*code = (struct code){.system = system, .code = f[1], .number = f[2], .aliases = f[3], .meaning = {f[4], f[5]}};
	code->cause_count = *f[6] ? split(f[6], " ", causes, CODE_CAUSES_MAX) : 0;
	if (code->cause_count > CODE_CAUSES_MAX)
		return bad(r, "too many causes");
	for (size_t i = 0; i < code->cause_count; i++)
		code->causes[i] = causes[i];
	system->count++;
	return take_advice(r, code, f[7]);
}

static int read_line(struct reader *r, char *line)
{
	r->line++;
	if (!*line || *line == '#')
		return 0;
	r->field_count = split(line, "\t", r->fields, FIELDS_MAX);
	if (r->field_count < 2 || r->field_count > FIELDS_MAX)
		return bad(r, "fields are missing, or too many");
	if (strcmp(r->fields[0], "system") == 0)
		return read_system(r);
	return strcmp(r->fields[0], "advice") == 0 ? read_advice(r) : read_code(r);
}

/* ---- ---- */

struct codes *codes_parse(const char *text, size_t len, struct err *e)
{
	struct codes *c = mem_alloc(sizeof *c);
	struct reader r = {.codes = c, .e = e};
	c->text = mem_alloc(len + 1);
	memcpy(c->text, text, len);
	for (char *line = c->text, *next; line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (read_line(&r, line)) {
			codes_free(c);
			return NULL;
		}
	}
	phrases_make(c);
	return c;
}

struct codes *codes_builtin(void)
{
	struct err e = {0};
	struct codes *c = codes_parse((const char *)codes_tsv, codes_tsv_len, &e);
	assert(c); /* a test reads it */
	return c;
}

void codes_free(struct codes *c)
{
	if (!c)
		return;
	phrases_free(c);
	free(c->items);
	free(c->advice);
	free(c->text);
	free(c);
}

size_t codes_count(const struct codes *c) { return c->count; }
const struct code *codes_at(const struct codes *c, size_t i) { return &c->items[i]; }
size_t codes_system_count(const struct codes *c) { return c->system_count; }
const struct code_system *codes_system_at(const struct codes *c, size_t i) { return &c->systems[i]; }
