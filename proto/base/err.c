#include "proto/base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void err_write(struct err *e, size_t from, const char *fmt, va_list ap)
{
	vsnprintf(e->text + from, sizeof e->text - from, fmt, ap);
	for (char *p = e->text; *p; p++)
		if (*p == '\n' || *p == '\r')
			*p = ' ';
}

int err_set(struct err *e, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return -1;
	va_start(ap, fmt);
	err_write(e, 0, fmt, ap);
	va_end(ap);
	return -1;
}

int err_sys(struct err *e, const char *fmt, ...)
{
	const char *why = strerror(errno);
	va_list ap;
	size_t len;

	if (!e)
		return -1;
	va_start(ap, fmt);
	err_write(e, 0, fmt, ap);
	va_end(ap);
	len = strlen(e->text);
	snprintf(e->text + len, sizeof e->text - len, ": %s", why);
	return -1;
}

int err_prefix(struct err *e, const char *fmt, ...)
{
	struct err was;
	va_list ap;
	size_t len;

	if (!e)
		return -1;
	was = *e;
	va_start(ap, fmt);
	err_write(e, 0, fmt, ap);
	va_end(ap);
	len = strlen(e->text);
	snprintf(e->text + len, sizeof e->text - len, ": %s", was.text);
	return -1;
}
