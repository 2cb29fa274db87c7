/* bundle: a file that holds everything one verdict was made from, for people and for replaying it elsewhere: a gzipped tar with
 *
 *   README.txt      what this is and what to do with it
 *   verdict.json    the verdict (schema bothways.verdict/1)
 *   dossier.json    the record (proto/record.h)
 *   catalogue.yaml  the catalogue, when it was not the one that the program was shipped with
 *   capture.pcapng  the frames, when the round kept them
 *   MANIFEST        SHA-256 of each, as `sha256sum -c` reads it
 *
 * or a folder with dossier.json and, if wanted, the others: what tests keep, and people may change. A bundle comes from others:
 * its size, the number and sizes of its members and everything in them are bounded. MANIFEST tells damage, not forgery. */
#ifndef BW_COLLECTOR_BUNDLE_H
#define BW_COLLECTOR_BUNDLE_H

#include "proto/base/mem.h"
#include "proto/record.h"

#define BUNDLE_BYTES_MAX   (64 << 20) /* of the file, and of everything in it */
#define BUNDLE_MEMBERS_MAX 32         /* those that a newer program put there are skipped */

struct bundle {
	struct record *record;                  /* without its texts: they are below */
	struct buf verdict, catalogue, capture; /* empty = not there */
};

/* Appends the file. `verdict`: the document as text. `capture`: NULL or empty = none. */
int bundle_write(const struct record *r, const char *verdict, const struct buf *capture, struct buf *out, struct err *e);
/* NULL and one line. */
struct bundle *bundle_read(const void *data, size_t len, struct err *e);
struct bundle *bundle_open(const char *path, struct err *e); /* a file or a folder */
void bundle_free(struct bundle *b);                          /* NULL is fine */

#endif
