/* savefile: a file that is either all there or not at all: written aside (mode 0600), put in its place when it is complete. An
 * existing one stays as it was until then. "-" is standard output; what is no regular file (a pipe, a device) is written as it is.
 */
#ifndef BW_CLI_SAVEFILE_H
#define BW_CLI_SAVEFILE_H

#include "proto/base/err.h"

#include <stddef.h>

struct savefile;

/* NULL and one line when nothing can be written there. */
struct savefile *savefile_new(const char *path, struct err *e);
void savefile_write(struct savefile *f, const void *data, size_t len); /* trouble is told by savefile_done */
/* Puts the file in its place. -1 and one line when any of it failed; nothing is left then. Frees in any case. */
int savefile_done(struct savefile *f, struct err *e);
void savefile_drop(struct savefile *f); /* gives up; NULL is fine */

#endif
