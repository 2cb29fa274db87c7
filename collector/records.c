#include "collector/records.h"

#include "proto/base/log.h"
#include "proto/base/mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define LEVEL 1 /* it happens between two messages: quick, and five times smaller already */

struct packed {
	uint64_t round;
	size_t len;
	uint8_t *data; /* length of what is packed (4 bytes, little endian), then zlib's */
};

struct records {
	struct store *store;
	struct packed items[RECORDS_MEMORY_MAX]; /* oldest first */
	size_t count, bytes;
};

/* ---- packing ---- */

static int pack(const struct record *record, struct packed *out, struct err *e)
{
	struct buf plain = {0};
	if (record_encode(record, &plain, e)) {
		buf_free(&plain);
		return -1;
	}
	uLongf len = compressBound(plain.len);
	*out = (struct packed){.round = record->dossier.round, .data = mem_alloc(4 + len)};
	for (int i = 0; i < 4; i++)
		out->data[i] = (uint8_t)(plain.len >> (8 * i));
	int rc = compress2(out->data + 4, &len, (const Bytef *)plain.data, plain.len, LEVEL);
	out->len = 4 + len;
	buf_free(&plain);
	if (rc == Z_OK)
		return 0;
	free(out->data);
	return err_set(e, "zlib: %s", zError(rc));
}

static struct record *unpack(const uint8_t *data, size_t len, struct err *e)
{
	uLongf plain = len < 4 ? 0 : (uLongf)data[0] | (uLongf)data[1] << 8 | (uLongf)data[2] << 16 | (uLongf)data[3] << 24;
	struct record *r = NULL;
	if (plain == 0 || plain > RECORD_BYTES_MAX) {
		err_set(e, "what is stored of this round is damaged");
		return NULL;
	}
	uint8_t *bytes = mem_alloc(plain);
	uLongf got = plain;
	if (uncompress(bytes, &got, data + 4, len - 4) != Z_OK || got != plain)
		err_set(e, "what is stored of this round is damaged");
	else
		r = record_decode(bytes, plain, e);
	free(bytes);
	return r;
}

/* ---- keeping ---- */

static void forget_oldest(struct records *r)
{
	r->bytes -= r->items[0].len;
	free(r->items[0].data);
	memmove(&r->items[0], &r->items[1], --r->count * sizeof r->items[0]);
}

static void remember(struct records *r, const struct packed *p)
{
	while (r->count && (r->count == RECORDS_MEMORY_MAX || r->bytes + p->len > RECORDS_MEMORY_BYTES_MAX))
		forget_oldest(r);
	r->items[r->count++] = *p;
	r->bytes += p->len;
}

void records_keep(struct records *r, const struct record *record, uint32_t a, uint32_t b, bool problem)
{
	struct packed p;
	struct err e;
	if (pack(record, &p, &e)) {
		log_warn("round %016" PRIx64 " is not kept: %s", record->dossier.round, e.text);
		return;
	}
	if (problem)
		store_put_record(r->store, &(struct stored_record){p.round, a, b, record->at, p.len, p.data});
	if (p.len <= RECORDS_MEMORY_BYTES_MAX)
		remember(r, &p);
	else
		free(p.data);
}

/* ---- finding ---- */

struct finding {
	struct record *record;
	struct err *e;
	bool found;
};

static void take_stored(void *arg, const struct stored_record *s)
{
	struct finding *f = arg;
	f->found = true;
	f->record = unpack(s->data, s->len, f->e);
}

struct record *records_get(struct records *r, uint64_t round, struct err *e)
{
	struct finding f = {.e = e};
	for (size_t i = r->count; i-- > 0;)
		if (r->items[i].round == round)
			return unpack(r->items[i].data, r->items[i].len, e);
	if (store_record(r->store, round, take_stored, &f, e))
		return NULL;
	if (!f.found)
		err_set(e, "what round %016" PRIx64 " was judged from is not kept any more", round);
	return f.record;
}

struct records *records_new(struct store *s)
{
	struct records *r = mem_alloc(sizeof *r);
	r->store = s;
	return r;
}

void records_free(struct records *r)
{
	while (r && r->count)
		forget_oldest(r);
	free(r);
}
