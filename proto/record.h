/* record: a round that is over, as the collector keeps it and as bundles carry it: its dossier, and everything else the verdict
 * depends on. Two forms of the same: compact bytes (protobuf, proto/dossier.proto) and a document for people and for comparing
 * versions (JSON). Reading trusts nothing: every field is bounded as on the wire, every index leads somewhere. Fields that a
 * newer program wrote are skipped, fields that an older one did not know are unknown or empty. Frames that a round kept are no
 * part of it: they are a capture file. */
#ifndef BW_RECORD_H
#define BW_RECORD_H

#include "proto/base/err.h"
#include "proto/base/mem.h"
#include "proto/model/dossier.h"

#define RECORD_FORMAT        1
#define RECORD_BYTES_MAX     (32 << 20) /* either form */
#define RECORD_SHIFTS_MAX    256
#define RECORD_CATALOGUE_MAX (8 << 20)
#define RECORD_VERDICT_MAX   (4 << 20)
#define CATALOGUE_HASH_LEN   32
#define CAUSE_ID_MAX         64

struct shift { /* what feedback had made of a cause's prior */
	char cause[CAUSE_ID_MAX];
	int32_t milli; /* thousandths, log-odds */
};

struct record {
	uint32_t format;
	char program[32];
	struct wall at;
	uint32_t took_ms;
	uint8_t catalogue[CATALOGUE_HASH_LEN]; /* SHA-256 of its text */
	size_t catalogue_len;
	char *catalogue_text; /* NULL = the compiled-in one of `program` */
	size_t shift_count;
	struct shift *shifts;
	struct dossier dossier;
	size_t verdict_len;
	char *verdict; /* its document; in bytes only: a bundle has it as a file of its own */
};

/* Appends. What the record points to is only read. -1: something is beyond its limit. */
int record_encode(const struct record *r, struct buf *out, struct err *e);
int record_write(const struct record *r, struct buf *out, struct err *e); /* as a document */
/* A fresh one that owns everything in it, or NULL with the reason. */
struct record *record_decode(const void *data, size_t len, struct err *e);
struct record *record_read(const char *text, size_t len, struct err *e);
void record_free(struct record *r); /* only of such a one; NULL is fine */

#endif
