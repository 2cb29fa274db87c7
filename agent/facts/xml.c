#include "agent/facts/xml.h"

#include "proto/base/mem.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

void xml_begin(struct xml *x, const char *text) { *x = (struct xml){.at = text}; }

static const char *skip_blanks(const char *at) { return at + strspn(at, " \t\r\n"); }

/* Copies up to `end`, with the five entities replaced; what is too long is cut. */
static void decode(const char *from, const char *end, char *out, size_t size)
{
	static const struct {
		const char *name;
		char c;
	} entities[] = {{"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'}, {"&quot;", '"'}, {"&apos;", '\''}};
	size_t n = 0;

	while (from < end && n + 1 < size) {
		size_t step = 1;
		char c = *from;
		for (size_t i = 0; c == '&' && i < sizeof entities / sizeof *entities; i++) {
			size_t len = strlen(entities[i].name);
			if ((size_t)(end - from) >= len && strncmp(from, entities[i].name, len) == 0) {
				c = entities[i].c;
				step = len;
				break;
			}
		}
		out[n++] = c;
		from += step;
	}
	out[n] = '\0';
}

static void take_text(struct xml *x, const char *from, const char *end)
{
	from = skip_blanks(from);
	while (end > from && isspace((unsigned char)end[-1]))
		end--;
	decode(from, end > from ? end : from, x->text, sizeof x->text);
}

static size_t name_len(const char *at) { return strcspn(at, " \t\r\n=/>\"'<"); }

/* One attribute; NULL: no XML. */
static const char *take_attr(struct xml *x, const char *at)
{
	size_t len = name_len(at);
	const char *name = at, *end;

	at = skip_blanks(at + len);
	if (len == 0 || *at != '=')
		return NULL;
	at = skip_blanks(at + 1);
	if (*at != '"' && *at != '\'')
		return NULL;
	end = strchr(at + 1, *at);
	if (!end)
		return NULL;
	if (x->attr_count < XML_ATTRS_MAX) {
		decode(name, name + len, x->attrs[x->attr_count].name, XML_NAME_MAX);
		decode(at + 1, end, x->attrs[x->attr_count].value, XML_VALUE_MAX);
		x->attr_count++;
	}
	return end + 1;
}

static const char *take_attrs(struct xml *x, const char *at)
{
	x->attr_count = 0;
	for (at = skip_blanks(at); *at && *at != '>' && *at != '/'; at = skip_blanks(at)) {
		at = take_attr(x, at);
		if (!at)
			return NULL;
	}
	return at;
}

static const char *skip_to(const char *at, const char *mark)
{
	const char *end = strstr(at, mark);

	return end ? end + strlen(mark) : NULL;
}

/* <? ?>, <!-- -->, <! >: nothing of ours. */
static const char *skip_special(const char *at)
{
	if (strncmp(at, "<!--", 4) == 0)
		return skip_to(at + 4, "-->");
	return skip_to(at, at[1] == '?' ? "?>" : ">");
}

static bool take_close(struct xml *x, const char *at)
{
	const char *end = strchr(at, '>');

	if (!end || x->depth == 0)
		return false;
	x->opens = false;
	x->closes = true;
	x->attr_count = 0;
	x->at = end + 1;
	return true;
}

static bool take_open(struct xml *x, const char *at)
{
	size_t len = name_len(at);

	if (len == 0 || x->depth == XML_DEPTH_MAX)
		return false;
	decode(at, at + len, x->path[x->depth++], XML_NAME_MAX);
	at = take_attrs(x, at + len);
	if (!at || !*at)
		return false;
	x->opens = true;
	x->closes = *at == '/';
	if (x->closes && at[1] != '>')
		return false;
	x->at = at + 1 + x->closes;
	return true;
}

bool xml_next(struct xml *x)
{
	const char *from = x->at, *at = from;

	if (x->closes && x->depth > 0)
		x->depth--;
	x->opens = x->closes = false;
	for (at = strchr(at, '<'); at && (at[1] == '?' || at[1] == '!'); at = at ? strchr(at, '<') : NULL)
		from = at = skip_special(at);
	if (!at)
		return false;
	take_text(x, from, at);
	return at[1] == '/' ? take_close(x, at) : take_open(x, at + 1);
}

const char *xml_attr(const struct xml *x, const char *name)
{
	for (size_t i = 0; i < x->attr_count; i++) {
		if (strcmp(x->attrs[i].name, name) == 0)
			return x->attrs[i].value;
	}
	return "";
}

bool xml_is(const struct xml *x, const char *tail)
{
	size_t end = strlen(tail);

	for (size_t d = x->depth; end > 0; d--) {
		size_t start = end;
		while (start > 0 && tail[start - 1] != '/')
			start--;
		if (d == 0 || strlen(x->path[d - 1]) != end - start || strncmp(x->path[d - 1], tail + start, end - start) != 0)
			return false;
		end = start > 0 ? start - 1 : 0;
	}
	return true;
}
