#include "collector/cli/output.h"

#include "proto/base/mem.h"
#include "proto/base/mono.h"

#include <ctype.h>
#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

#define WIDTH_PIPED 120
#define WIDTH_LEAST 40

struct out out_for(FILE *to)
{
	struct winsize size;
	bool terminal = isatty(fileno(to));
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
	struct out o = {
	    .to = to, .width = WIDTH_PIPED, .utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0, .now = (long long)time(NULL)};
	if (!o.utf8)
		setlocale(LC_CTYPE, "C.UTF-8"); /* what we read is UTF-8, whatever the terminal can show */
	o.color = terminal && !(no_color && *no_color) && !(term && strcmp(term, "dumb") == 0);
	if (terminal && ioctl(fileno(to), TIOCGWINSZ, &size) == 0 && size.ws_col)
		o.width = size.ws_col < WIDTH_LEAST ? WIDTH_LEAST : size.ws_col;
	return o;
}

/* ---- characters ---- */

/* One character: its bytes (at least 1) and its columns. What is no character counts as one column, shown as '?'. */
static int char_at(const char *s, int *columns, wchar_t *wide)
{
	mbstate_t st = {0};
	*wide = 0;
	*columns = 1;
	if (!((unsigned char)*s & 0x80)) {
		*wide = (unsigned char)*s >= 0x20 && *s != 0x7f ? *s : 0;
		return 1;
	}
	size_t n = mbrtowc(wide, s, strlen(s), &st);
	if (n == (size_t)-1 || n == (size_t)-2 || n == 0) {
		*wide = 0;
		return 1;
	}
	int w = wcwidth(*wide);
	if (w < 0)
		*wide = 0;
	else
		*columns = w;
	return (int)n;
}

int text_width(const char *s)
{
	int sum = 0, columns;
	wchar_t wide;
	while (*s) {
		s += char_at(s, &columns, &wide);
		sum += columns;
	}
	return sum;
}

/* What stands in for our own signs where there is no UTF-8; each takes as many columns as the sign itself. */
static const struct {
	wchar_t sign;
	const char *ascii;
} ASCII[] = {{L'→', ">"}, {L'←', "<"}, {L'⇄', "="}, {L'●', "o"}, {L'○', "."}, {L'│', "|"}, {L'─', "-"},  {L'✗', "X"}, {L'✓', "+"},
             {L'·', "."}, {L'…', "~"}, {L'–', "-"}, {L'—', "-"}, {L'×', "x"}, {L'’', "'"}, {L'“', "\""}, {L'”', "\""}};

static const char *stand_in(wchar_t wide)
{
	for (size_t i = 0; i < sizeof ASCII / sizeof *ASCII; i++)
		if (ASCII[i].sign == wide)
			return ASCII[i].ascii;
	return "?";
}

static void put_bytes(struct out *o, const char *s, size_t len)
{
	int columns;
	wchar_t wide;
	for (size_t i = 0; i < len;) {
		int n = char_at(s + i, &columns, &wide);
		if (!wide)
			fputc('?', o->to);
		else if (wide < 0x80 || o->utf8)
			fwrite(s + i, 1, (size_t)n, o->to);
		else
			fputs(stand_in(wide), o->to);
		i += (size_t)n;
	}
}

static void ink_begin(struct out *o, enum ink ink)
{
	static const char *const CODES[] = {"", "\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[1;31m", "\x1b[33m"};
	if (o->color)
		fputs(CODES[ink], o->to);
}

static void ink_end(struct out *o, enum ink ink)
{
	if (o->color && ink != INK_PLAIN)
		fputs("\x1b[0m", o->to);
}

static void out_bytes(struct out *o, enum ink ink, const char *s, size_t len)
{
	ink_begin(o, ink);
	put_bytes(o, s, len);
	ink_end(o, ink);
}

void out_text(struct out *o, enum ink ink, const char *s) { out_bytes(o, ink, s, strlen(s)); }

void out_printf(struct out *o, enum ink ink, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&text, fmt, ap);
	va_end(ap);
	size_t line;
	for (const char *s = n < 0 ? "" : text; *s; s += line) {
		line = strcspn(s, "\n");
		if (line)
			out_bytes(o, ink, s, line);
		if (s[line] == '\n') {
			fputc('\n', o->to);
			line++;
		}
	}
	free(text);
}

void out_pad(struct out *o, int columns)
{
	while (columns-- > 0)
		fputc(' ', o->to);
}

/* Chinese has no blanks: a line may end behind each sign, but must not begin with these. */
static bool may_begin_line(wchar_t wide) { return !wcschr(L"，。；：、！？）”’》", wide); }

/* How many bytes fit into `room` columns, broken at a blank or beside a wide sign where there is one. */
static size_t fitting(const char *s, int room)
{
	size_t at = 0, blank = 0;
	int columns, used = 0, last = 0;
	wchar_t wide;
	while (s[at] && s[at] != '\n') {
		int n = char_at(s + at, &columns, &wide);
		if ((columns == 2 || last == 2) && at && may_begin_line(wide))
			blank = at;
		if (used + columns > room)
			return blank ? blank : at ? at : (size_t)n;
		if (s[at] == ' ')
			blank = at;
		last = columns;
		used += columns;
		at += (size_t)n;
	}
	return at;
}

void out_wrapped(struct out *o, enum ink ink, const char *s, int at, int indent)
{
	for (;;) {
		int room = o->width - at;
		size_t n = fitting(s, room < 20 ? 20 : room);
		out_bytes(o, ink, s, n);
		fputc('\n', o->to);
		s += n;
		while (*s == ' ' || *s == '\n')
			s++;
		if (!*s)
			return;
		out_pad(o, indent);
		at = indent;
	}
}

void out_ago(const struct out *o, const char *when, char *buf, size_t size)
{
	static const struct {
		long long seconds;
		const char *unit;
	} UNITS[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
	struct wall t;
	if (!when || !*when) {
		snprintf(buf, size, "never");
		return;
	}
	if (!o->now || wall_parse(when, &t)) {
		snprintf(buf, size, "%s", when);
		return;
	}
	long long ago = o->now - t.ns / 1000000000;
	snprintf(buf, size, "just now");
	for (size_t i = 0; i < sizeof UNITS / sizeof *UNITS; i++)
		if (ago >= UNITS[i].seconds) {
			snprintf(buf, size, "%lld %s ago", ago / UNITS[i].seconds, UNITS[i].unit);
			return;
		}
}

/* ---- table ---- */

struct cell {
	char *text;
	enum ink ink;
};

struct table {
	size_t columns, count, cap;
	bool has_head;
	struct cell *cells;
};

struct table *table_new(size_t columns, const char *const *heads)
{
	struct table *t = mem_alloc(sizeof *t);
	t->columns = columns;
	t->has_head = heads != NULL;
	for (size_t i = 0; heads && i < columns; i++)
		table_add(t, INK_DIM, heads[i]);
	return t;
}

void table_add(struct table *t, enum ink ink, const char *text)
{
	struct cell *c = VEC_ADD(t->cells, t->count, t->cap);
	c->text = mem_strdup(text);
	c->ink = ink;
}

void table_addf(struct table *t, enum ink ink, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	table_add(t, ink, text ? text : "");
	free(text);
}

static int column_width(const struct table *t, size_t column)
{
	int most = 0;
	for (size_t i = column; i < t->count; i += t->columns) {
		int w = text_width(t->cells[i].text);
		most = w > most ? w : most;
	}
	return most;
}

static void print_row(const struct table *t, struct out *o, size_t row, const int *widths, int indent)
{
	int at = indent;
	out_pad(o, indent);
	size_t used = t->columns;
	while (used && !t->cells[row + used - 1].text[0])
		used--;
	for (size_t i = 0; i + 1 < t->columns && i < used; i++) {
		const struct cell *c = &t->cells[row + i];
		out_text(o, c->ink, c->text);
		out_pad(o, i + 1 < used ? widths[i] - text_width(c->text) + 2 : 0);
		at += widths[i] + 2;
	}
	const struct cell *last = &t->cells[row + t->columns - 1];
	out_wrapped(o, last->ink, last->text, at, at);
}

void table_print(const struct table *t, struct out *o, int indent)
{
	int *widths = mem_array(t->columns, sizeof *widths);
	for (size_t i = 0; i < t->columns; i++)
		widths[i] = column_width(t, i);
	for (size_t row = 0; row + t->columns <= t->count; row += t->columns)
		print_row(t, o, row, widths, indent);
	free(widths);
}

void table_free(struct table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->count; i++)
		free(t->cells[i].text);
	free(t->cells);
	free(t);
}

/* ---- documents ---- */

const json_t *doc_get(const json_t *o, const char *key) { return json_object_get(o, key); }

const char *doc_text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

const char *doc_item(const json_t *list, size_t i)
{
	const char *s = json_string_value(json_array_get(list, i));
	return s ? s : "";
}

long long doc_number(const json_t *o, const char *key)
{
	const json_t *n = json_object_get(o, key);
	return json_is_real(n) ? (long long)json_real_value(n) : json_integer_value(n);
}

enum ink state_ink(const char *state)
{
	static const struct {
		const char *word;
		enum ink ink;
	} INKS[] = {{"ok", INK_GOOD},       {"lost", INK_BAD},    {"fail", INK_BAD},      {"one-way", INK_BAD},
	            {"both-ways", INK_BAD}, {"refused", INK_BAD}, {"impostor", INK_BAD},  {"reply-only", INK_BAD},
	            {"partial", INK_WARN},  {"slow", INK_WARN},   {"degraded", INK_WARN}, {"undetermined", INK_WARN},
	            {"unknown", INK_DIM},   {"skipped", INK_DIM}, {"offline", INK_DIM},   {"-", INK_DIM}};
	for (size_t i = 0; i < sizeof INKS / sizeof *INKS; i++)
		if (strcmp(state, INKS[i].word) == 0)
			return INKS[i].ink;
	return INK_PLAIN;
}
