#include "proto/base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The one place where running out of memory is dealt with. */
static void mem_exhausted(void)
{
	static const char text[] = "bothways: out of memory\n";

	if (write(STDERR_FILENO, text, sizeof text - 1) < 0) {
		/* nothing left to tell it to */
	}
	abort();
}

void *mem_alloc(size_t size) { return mem_array(1, size); }

void *mem_array(size_t count, size_t size)
{
	void *p = calloc(count ? count : 1, size ? size : 1);

	if (!p)
		mem_exhausted();
	return p;
}

void *mem_resize(void *p, size_t count, size_t size)
{
	void *q = reallocarray(p, count ? count : 1, size ? size : 1);

	if (!q)
		mem_exhausted();
	return q;
}

char *mem_strdup(const char *s)
{
	size_t len;

	if (!s)
		return NULL;
	len = strlen(s) + 1;
	return memcpy(mem_array(len, 1), s, len);
}

char *mem_printf(const char *fmt, ...)
{
	char *out = NULL;
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vasprintf(&out, fmt, ap);
	va_end(ap);
	if (len < 0)
		mem_exhausted();
	return out;
}

void mem_grow(void **items, size_t *cap, size_t count, size_t size)
{
	size_t room = *cap ? *cap : 4;

	if (count < *cap)
		return;
	while (room <= count) {
		if (room > SIZE_MAX / 2)
			mem_exhausted();
		room *= 2;
	}
	*items = mem_resize(*items, room, size);
	*cap = room;
}

static void buf_reserve(struct buf *b, size_t more)
{
	size_t need = b->len + more + 1, cap = b->cap ? b->cap : 64;

	if (need <= more)
		mem_exhausted();
	if (need <= b->cap)
		return;
	while (cap < need)
		cap = cap > SIZE_MAX / 2 ? need : cap * 2;
	b->data = mem_resize(b->data, cap, 1);
	b->cap = cap;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
	buf_reserve(b, len);
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void buf_puts(struct buf *b, const char *s) { buf_add(b, s, strlen(s)); }

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	int len;

	va_start(ap, fmt);
	va_copy(again, ap);
	len = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (len > 0) {
		buf_reserve(b, (size_t)len);
		vsnprintf(b->data + b->len, (size_t)len + 1, fmt, again);
		b->len += (size_t)len;
	}
	va_end(again);
}

void buf_consume(struct buf *b, size_t len)
{
	if (len >= b->len) {
		buf_clear(b);
		return;
	}
	if (len == 0)
		return;
	memmove(b->data, b->data + len, b->len - len);
	b->len -= len;
	b->data[b->len] = '\0';
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	if (b->data)
		b->data[0] = '\0';
}

void buf_free(struct buf *b)
{
	free(b->data);
	*b = (struct buf){0};
}

int str_copy(char *out, size_t size, const char *in)
{
	size_t len = strlen(in);

	if (size == 0)
		return -1;
	if (len < size) {
		memcpy(out, in, len + 1);
		return 0;
	}
	memcpy(out, in, size - 1);
	out[size - 1] = '\0';
	return -1;
}
