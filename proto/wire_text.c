/* wire_text: is it clean text, and making it so; and the arena. */
#include "proto/wire_shape.h"

#include "proto/base/mem.h"

#include <stdlib.h>
#include <string.h>

/* ---- text ---- */

/* Length of the well-formed UTF-8 sequence at `s`, 0 = malformed (RFC 3629 section 4: no overlong forms, no surrogates). */
static size_t utf8_length(const uint8_t *s, size_t left)
{
	static const struct {
		uint8_t first_lo, first_hi, second_lo, second_hi, length;
	} forms[] = {
	    {0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
	    {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
	    {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
	};
	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
		size_t n = forms[i].length;
		if (s[0] < forms[i].first_lo || s[0] > forms[i].first_hi)
			continue;
		if (n > left || (n > 1 && (s[1] < forms[i].second_lo || s[1] > forms[i].second_hi)))
			return 0;
		for (size_t k = 2; k < n; k++) {
			if ((s[k] & 0xc0) != 0x80)
				return 0;
		}
		return n;
	}
	return 0;
}

/* C0, DEL, and C1 (U+0080..U+009F): what a terminal may obey. */
static bool is_control(const uint8_t *s, size_t n)
{
	return n == 1 ? s[0] < 0x20 || s[0] == 0x7f : n == 2 && s[0] == 0xc2 && s[1] < 0xa0;
}

bool text_is_clean(const uint8_t *data, size_t len, const char *allowed)
{
	for (size_t i = 0; i < len;) {
		size_t n = utf8_length(data + i, len - i);
		if (n == 0)
			return false;
		if (is_control(data + i, n) && (n > 1 || data[i] == 0 || !strchr(allowed, data[i])))
			return false;
		i += n;
	}
	return true;
}

void text_clean(const uint8_t *data, size_t len, char *out, size_t size)
{
	size_t o = 0;
	for (size_t i = 0; i < len;) {
		size_t n = utf8_length(data + i, len - i);
		bool bad = n == 0 || is_control(data + i, n);
		size_t needed = bad ? 1 : n;
		if (o + needed >= size)
			break;
		if (bad)
			out[o] = '?';
		else
			memcpy(out + o, data + i, n);
		o += needed;
		i += n ? n : 1;
	}
	out[o] = '\0';
}

/* ---- arena ---- */

struct arena_chunk {
	struct arena_chunk *next;
	size_t used, size;
	max_align_t data[];
};

#define CHUNK_BYTES 16384

static struct arena_chunk *chunk_add(struct arena *a, size_t size)
{
	size_t room = size > CHUNK_BYTES ? size : CHUNK_BYTES;
	struct arena_chunk *c = mem_alloc(sizeof *c + room);
	c->size = room;
	c->next = a->chunks;
	a->chunks = c;
	return c;
}

void *arena_alloc(struct arena *a, size_t size)
{
	size_t rounded = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
	struct arena_chunk *c = a->chunks;
	if (!c || c->size - c->used < rounded)
		c = chunk_add(a, rounded);
	void *p = (char *)c->data + c->used;
	c->used += rounded;
	return p;
}

void arena_free(struct arena *a)
{
	while (a->chunks) {
		struct arena_chunk *c = a->chunks;
		a->chunks = c->next;
		free(c);
	}
}
