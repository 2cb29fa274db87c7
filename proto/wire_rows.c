/* wire_rows: the rows of the watch as packed columns: ten times faster to read than a message for each row. A column
 * that is all zero is not sent. */
#include "proto/wire_shape.h"

#include "proto/base/mem.h"
#include "proto/model/kind.h"
#include "proto/model/limits.h"
#include "proto/model/observation.h"

#include "bothways.pb-c.h"

#include <string.h>

struct column {
	const char *name;
	uint16_t count, data; /* offsets in the protobuf message */
	uint16_t off;         /* in struct watch_row */
	uint8_t size;
	bool wide; /* uint64 elements */
	uint64_t max;
};

#define ROW_SIZE(f) sizeof(((struct watch_row *)0)->f)
#define COLUMN(f, m)                                                                                                               \
	{                                                                                                                          \
		.name = #f, .count = offsetof(Bothways__V1__WatchRows, n_##f), .data = offsetof(Bothways__V1__WatchRows, f),       \
		.off = offsetof(struct watch_row, f), .size = ROW_SIZE(f), .wide = sizeof *((Bothways__V1__WatchRows *)0)->f == 8, \
		.max = (m)                                                                                                         \
	}

static const struct column columns[] = {
    COLUMN(pair, UINT32_MAX),
    COLUMN(dir, 1),
    COLUMN(kind, UINT8_MAX), /* rows of a kind we do not know are skipped below */
    COLUMN(sender, 1),
    COLUMN(epoch, UINT32_MAX),
    COLUMN(sent, FLOW_PROBES_MAX),
    COLUMN(not_sent, FLOW_PROBES_MAX),
    COLUMN(answered, FLOW_PROBES_MAX),
    COLUMN(late, FLOW_PROBES_MAX),
    COLUMN(refused, FLOW_PROBES_MAX),
    COLUMN(impostor, FLOW_PROBES_MAX),
    COLUMN(wants_answer, 1),
    COLUMN(error, INT16_MAX),
    COLUMN(rtt_us, UINT32_MAX),
    COLUMN(seen, UINT64_MAX),
    COLUMN(duplicated, UINT8_MAX),
    COLUMN(reordered, UINT8_MAX),
};
#define COLUMN_COUNT (sizeof columns / sizeof *columns)

static size_t column_count(const struct column *c, const void *pb)
{
	size_t n;
	memcpy(&n, (const char *)pb + c->count, sizeof n);
	return n;
}

static const void *column_data(const struct column *c, const void *pb)
{
	const void *p;
	memcpy(&p, (const char *)pb + c->data, sizeof p);
	return p;
}

/* ---- reading ---- */

/* Little loops over one width each: this is where millions of values per second pass. */
#define SPREAD(type)                                                                                                               \
	for (size_t i = 0; i < n; i++, to += sizeof(struct watch_row)) {                                                           \
		type v = (type)in[i];                                                                                              \
		beyond |= in[i] > c->max;                                                                                          \
		memcpy(to, &v, sizeof v);                                                                                          \
	}

static bool spread_narrow(const struct column *c, const uint32_t *in, size_t n, struct watch_row *rows)
{
	char *to = (char *)rows + c->off;
	bool beyond = false;
	if (c->size == 1)
		SPREAD(uint8_t)
	else if (c->size == 2)
		SPREAD(uint16_t)
	else
		SPREAD(uint32_t)
	return !beyond;
}

static bool spread_wide(const struct column *c, const uint64_t *in, size_t n, struct watch_row *rows)
{
	char *to = (char *)rows + c->off;
	bool beyond = false;
	SPREAD(uint64_t)
	return !beyond;
}

static int column_read(const struct column *c, const void *pb, size_t n, struct watch_row *rows, struct reader *r)
{
	size_t have = column_count(c, pb);
	if (have == 0)
		return 0;
	if (have != n)
		return err_set(r->e, "column %s has %zu values for %zu rows", c->name, have, n);
	const void *data = column_data(c, pb);
	if (!(c->wide ? spread_wide(c, data, n, rows) : spread_narrow(c, data, n, rows)))
		return err_set(r->e, "column %s is out of range", c->name);
	return 0;
}

static size_t drop_unknown_kinds(struct watch_row *rows, size_t n)
{
	size_t kept = 0;
	for (size_t i = 0; i < n; i++) {
		if (rows[i].kind < KIND_COUNT)
			rows[kept++] = rows[i];
	}
	return kept;
}

int columns_read(const struct field *f, const void *pb, void *model, struct reader *r)
{
	const Bothways__V1__WatchRows *in;
	memcpy(&in, (const char *)pb + f->pb, sizeof in);
	size_t n = in ? in->n_pair : 0;
	if (n > REPORT_ROWS_MAX)
		return err_set(r->e, "%zu rows are too many", n);
	struct watch_row *rows = n ? mem_array(n, sizeof *rows) : NULL;
	memcpy((char *)model + f->off, &rows, sizeof rows);
	for (size_t i = 0; in && i < COLUMN_COUNT; i++) {
		if (column_read(&columns[i], in, n, rows, r) < 0)
			return -1;
	}
	n = drop_unknown_kinds(rows, n);
	memcpy((char *)model + f->count_off, &n, sizeof n);
	return 0;
}

/* ---- writing ---- */

static uint64_t cell_of(const struct column *c, const struct watch_row *row)
{
	const char *from = (const char *)row + c->off;
	uint8_t v1;
	uint16_t v2;
	uint32_t v4;
	uint64_t v8;
	switch (c->size) {
	case 1: memcpy(&v1, from, 1); return v1;
	case 2: memcpy(&v2, from, 2); return v2;
	case 4: memcpy(&v4, from, 4); return v4;
	default: memcpy(&v8, from, 8); return v8;
	}
}

static bool column_is_zero(const struct column *c, const struct watch_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (cell_of(c, &rows[i]) != 0)
			return false;
	}
	return true;
}

static const void *gather(const struct column *c, const struct watch_row *rows, size_t n, struct writer *w)
{
	uint64_t *wide = c->wide ? arena_alloc(&w->arena, n * sizeof *wide) : NULL;
	uint32_t *narrow = c->wide ? NULL : arena_alloc(&w->arena, n * sizeof *narrow);
	for (size_t i = 0; i < n; i++) {
		uint64_t v = cell_of(c, &rows[i]);
		v = v > c->max ? c->max : v;
		if (c->wide)
			wide[i] = v;
		else
			narrow[i] = (uint32_t)v;
	}
	return c->wide ? (const void *)wide : narrow;
}

static void column_write(const struct column *c, const struct watch_row *rows, size_t n, void *pb, struct writer *w)
{
	const void *data = gather(c, rows, n, w);
	memcpy((char *)pb + c->data, &data, sizeof data);
	memcpy((char *)pb + c->count, &n, sizeof n);
}

void columns_write(const struct field *f, const void *model, void *pb, struct writer *w)
{
	const struct watch_row *rows;
	size_t n;
	memcpy(&rows, (const char *)model + f->off, sizeof rows);
	memcpy(&n, (const char *)model + f->count_off, sizeof n);
	if (n > REPORT_ROWS_MAX)
		w->too_big = f->name;
	if (n == 0 || n > REPORT_ROWS_MAX)
		return;
	Bothways__V1__WatchRows *out = arena_alloc(&w->arena, sizeof *out);
	bothways__v1__watch_rows__init(out);
	for (size_t i = 0; i < COLUMN_COUNT; i++) {
		if (i == 0 || !column_is_zero(&columns[i], rows, n)) /* the first one says how many rows there are */
			column_write(&columns[i], rows, n, out, w);
	}
	memcpy((char *)pb + f->pb, &out, sizeof out);
}
