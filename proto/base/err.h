/* err: why something outside failed, carried up to whoever can act and logged once there.
 * Not for bugs (assert) nor for out of memory (mem.h). */
#ifndef BW_BASE_ERR_H
#define BW_BASE_ERR_H

#include <stdbool.h>

#define ERR_TEXT_MAX 384

struct err {
	char text[ERR_TEXT_MAX]; /* one line, no newline; "" = no error */
};

/* Each returns -1, so that `return err_set(e, ...)` reads well. `e` may be NULL. */
int err_set(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Appends ": strerror(errno)". */
int err_sys(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Puts "prefix: " in front of what is there. */
int err_prefix(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
