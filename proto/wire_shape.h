/* wire_shape: private to wire*.c. A message is described once, by a table of its fields; writing, reading (with every
 * bound) and freeing all follow the table. A field has the same name in the .proto file and in the model's struct. */
#ifndef BW_WIRE_SHAPE_H
#define BW_WIRE_SHAPE_H

#include "proto/base/err.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- memory of one message while it is written ---- */

struct arena_chunk;
struct arena {
	struct arena_chunk *chunks;
};
void *arena_alloc(struct arena *a, size_t size); /* zeroed, aligned for anything */
void arena_free(struct arena *a);

/* ---- tables ---- */

enum field_type {
	FIELD_NUM,     /* unsigned, <= max, else the message is refused; absent or 0 = `otherwise` */
	FIELD_ENUM,    /* as NUM, but what is beyond max becomes `otherwise`: a newer peer's value */
	FIELD_MASK,    /* bits beyond max are dropped: a newer peer's bits */
	FIELD_SHIFTED, /* int32 >= -1, one more on the wire: absent = -1 */
	FIELD_SIGNED,  /* any int32 or int64 */
	FIELD_FLAG,
	FIELD_NAME, /* char[]: names somebody; refused when too long or not clean text */
	FIELD_TEXT, /* char[]: for people; cut when too long, unclean characters become '?' */
	FIELD_KEY,  /* uint8_t[]: exactly so many bytes */
	FIELD_MAC,
	FIELD_MACS, /* struct mac[] with a count */
	FIELD_IP,
	FIELD_PREFIX,  /* of family `max`, 0 = any */
	FIELD_BLOB,    /* owned bytes with a count, <= max */
	FIELD_JSON,    /* owned text with a count, <= max */
	FIELD_NUMBERS, /* uint16_t[] with a count */
	FIELD_BYTES,   /* uint8_t[] without one: fewer are followed by zeros, more are cut */
	FIELD_STRING,  /* char *: owned text of up to `max` bytes, NULL = absent */
	FIELD_STRINGS, /* char *[] without a count: as above, the absent and the empty ones are NULL */
	FIELD_TEXTS,   /* char[][] with a count; the elements are NAMEs */
	FIELD_SUB,     /* a struct within the struct */
	FIELD_OWNED,   /* a pointer to a struct, NULL = absent */
	FIELD_LIST,    /* structs with a count: in an array of `max`, or owned */
	FIELD_COLUMNS, /* owned structs with a count, as columns: see wire_rows.c */
	FIELD_TYPE_COUNT
};

struct shape;

struct field {
	const char *name;
	uint8_t type;
	bool owned;                     /* LIST: the array is allocated */
	bool lenient;                   /* LIST: what is too much or out of range is left out and counted, not refused */
	uint16_t pb, pb_size, pb_count; /* offset and size of the protobuf member; offset of its count */
	uint32_t off, size;             /* offset and size of the model's member */
	uint32_t count_off;             /* and of its count */
	uint8_t count_size;
	uint32_t item_size;
	uint64_t max, otherwise;
	const struct shape *shape;
};

struct reader {
	struct err *e;
	size_t left_out; /* entries of lenient lists that were left out */
};

struct writer {
	struct arena arena;
	const char *too_big; /* name of the field that breaks a limit, NULL = none */
	size_t left_out;     /* entries of lenient lists that were left out */
};

struct shape {
	const char *name;
	const struct field *fields;
	size_t count, size;
	const ProtobufCMessageDescriptor *pb;
	/* Bounds that concern several fields at once; runs when all were read. -1 = refuse. May be NULL. */
	int (*check)(const void *pb, void *model, struct reader *r);
	/* The same for writing: may change what was written. May be NULL. */
	void (*amend)(const void *model, void *pb, struct writer *w);
};

void *shape_write(const struct shape *s, const void *model, struct writer *w); /* the protobuf message, in the arena */
int shape_read(const struct shape *s, const void *pb, void *model, struct reader *r);
void shape_clear(const struct shape *s, void *model); /* frees what it owns */
/* For checks: -1, with "SHAPE: WHAT" as the reason. */
int shape_refuse(const struct reader *r, const char *shape, const char *what);

/* Clean text: UTF-8 without control characters. */
bool text_is_clean(const uint8_t *data, size_t len, const char *allowed /* control characters that may stand in it */);
/* Copies up to `size` - 1 bytes, never half a character, always terminated; what is not clean becomes '?'. */
void text_clean(const uint8_t *data, size_t len, char *out, size_t size);

/* ---- for writing the tables: define PB and MODEL first ---- */

#define SIZE_OF(type, f) sizeof(((type *)0)->f)
#define WIDTH_MAX(f)     (UINT64_MAX >> (64 - 8 * SIZE_OF(MODEL, f)))
#define FIELD_AS(t, p, m, ...)                                                                                                     \
	{                                                                                                                          \
		.name = #p, .type = (t), .pb = offsetof(PB, p), .pb_size = SIZE_OF(PB, p), .off = offsetof(MODEL, m),              \
		.size = SIZE_OF(MODEL, m), __VA_ARGS__                                                                             \
	}
#define COUNTED(n) .count_off = offsetof(MODEL, n), .count_size = SIZE_OF(MODEL, n)
#define ITEMS(f)   .pb_count = offsetof(PB, n_##f), .item_size = sizeof *((MODEL *)0)->f

#define NUM(f)                 FIELD_AS(FIELD_NUM, f, f, .max = WIDTH_MAX(f))
#define RANGE(f, m)            FIELD_AS(FIELD_NUM, f, f, .max = (m))
#define NUM_OR(f, d)           FIELD_AS(FIELD_NUM, f, f, .max = WIDTH_MAX(f), .otherwise = (d))
#define ENUM_OR(f, m, d)       FIELD_AS(FIELD_ENUM, f, f, .max = (m), .otherwise = (d))
#define MASK(f, m)             FIELD_AS(FIELD_MASK, f, f, .max = (m))
#define SHIFTED(f, m)          FIELD_AS(FIELD_SHIFTED, f, f, .max = (m))
#define SIGNED(f)              FIELD_AS(FIELD_SIGNED, f, f, .max = 0)
#define FLAG(f)                FIELD_AS(FIELD_FLAG, f, f, .max = 1)
#define NAME(f)                FIELD_AS(FIELD_NAME, f, f, .max = 0)
#define TEXT(f)                FIELD_AS(FIELD_TEXT, f, f, .max = 0)
#define KEY(f)                 FIELD_AS(FIELD_KEY, f, f, .max = 0)
#define MAC(f)                 FIELD_AS(FIELD_MAC, f, f, .max = 0)
#define MACS(f, n)             FIELD_AS(FIELD_MACS, f, f, COUNTED(n))
#define IP(f)                  FIELD_AS(FIELD_IP, f, f, .max = 0)
#define PREFIX(f, family)      FIELD_AS(FIELD_PREFIX, f, f, .max = (family))
#define BLOB(f, n, m)          FIELD_AS(FIELD_BLOB, f, f, COUNTED(n), .max = (m))
#define JSON(f, n, m)          FIELD_AS(FIELD_JSON, f, f, COUNTED(n), .max = (m))
#define BYTES(f)               FIELD_AS(FIELD_BYTES, f, f, .max = 0)
#define STRING(f, m)           FIELD_AS(FIELD_STRING, f, f, .pb_count = offsetof(PB, n_##f), .max = (m))
#define NUMBERS(f, n)          FIELD_AS(FIELD_NUMBERS, f, f, COUNTED(n), ITEMS(f))
#define TEXTS(f, n)            FIELD_AS(FIELD_TEXTS, f, f, COUNTED(n), ITEMS(f))
#define SUB(f, s)              FIELD_AS(FIELD_SUB, f, f, .shape = &(s))
#define OWNED(f, s)            FIELD_AS(FIELD_OWNED, f, f, .shape = &(s))
#define LIST(f, n, s, m)       FIELD_AS(FIELD_LIST, f, f, COUNTED(n), ITEMS(f), .shape = &(s), .max = (m))
#define OWNED_LIST(f, n, s, m) FIELD_AS(FIELD_LIST, f, f, COUNTED(n), ITEMS(f), .shape = &(s), .max = (m), .owned = true)
#define LENIENT_LIST(f, n, s, m)                                                                                                   \
	FIELD_AS(FIELD_LIST, f, f, COUNTED(n), ITEMS(f), .shape = &(s), .max = (m), .owned = true, .lenient = true)
#define SHAPE(text, table, descriptor, ...)                                                                                        \
	{                                                                                                                          \
		.name = (text), .fields = (table), .count = sizeof(table) / sizeof *(table), .size = sizeof(MODEL),                \
		.pb = &(descriptor), __VA_ARGS__                                                                                   \
	}

/* ---- shapes that several files use ---- */

extern const struct shape snapshot_shape, plan_shape, round_arm_shape, round_armed_shape, round_result_shape, health_shape;
extern const struct shape endpoint_shape, flow_shape;
extern const struct shape round_result_kept_shape; /* its model is struct round_result: without the snapshot, and the frames */

/* Leaves entries out, the largest lists first, until `excess` bytes are saved or nothing is left. Counted in `truncated`. */
void snapshot_trim(void *snapshot, size_t excess);

extern const struct shape vport_shape, vswitch_shape, swport_shape, pnote_shape;
int columns_read(const struct field *f, const void *pb, void *model, struct reader *r);
void columns_write(const struct field *f, const void *model, void *pb, struct writer *w);

#endif
