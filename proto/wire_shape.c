/* wire_shape: writing, reading and freeing along a table of fields. One operation of each per type of field. */
#include "proto/wire_shape.h"

#include "proto/base/addr.h"
#include "proto/base/mem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- plain access ---- */

static const void *at(const void *base, size_t off) { return (const char *)base + off; }
static void *at_mut(void *base, size_t off) { return (char *)base + off; }

static uint64_t load(const void *p, size_t size)
{
	uint64_t v;
	uint8_t v1;
	uint16_t v2;
	uint32_t v4;
	switch (size) {
	case 1: memcpy(&v1, p, 1); return v1;
	case 2: memcpy(&v2, p, 2); return v2;
	case 4: memcpy(&v4, p, 4); return v4;
	default: memcpy(&v, p, 8); return v;
	}
}

static void store(void *p, size_t size, uint64_t v)
{
	uint8_t v1 = (uint8_t)v;
	uint16_t v2 = (uint16_t)v;
	uint32_t v4 = (uint32_t)v;
	switch (size) {
	case 1: memcpy(p, &v1, 1); break;
	case 2: memcpy(p, &v2, 2); break;
	case 4: memcpy(p, &v4, 4); break;
	default: memcpy(p, &v, 8); break;
	}
}

static void *pointer_get(const void *base, size_t off)
{
	void *p;
	memcpy(&p, at(base, off), sizeof p);
	return p;
}

static void pointer_put(void *base, size_t off, const void *p) { memcpy(at_mut(base, off), &p, sizeof p); }

static size_t count_get(const struct field *f, const void *model) { return load(at(model, f->count_off), f->count_size); }
static void count_set(const struct field *f, void *model, size_t n) { store(at_mut(model, f->count_off), f->count_size, n); }

static const ProtobufCBinaryData *bytes_of(const struct field *f, const void *pb) { return at(pb, f->pb); }

static void bytes_set(const struct field *f, void *pb, const void *data, size_t len)
{
	ProtobufCBinaryData *b = at_mut(pb, f->pb);
	b->data = (uint8_t *)(uintptr_t)data; /* lent: protobuf-c only reads it */
	b->len = len;
}

int shape_refuse(const struct reader *r, const char *shape, const char *what) { return err_set(r->e, "%s: %s", shape, what); }

static int refuse(const struct reader *r, const struct field *f, const char *what)
{
	return err_set(r->e, "field %s %s", f->name, what);
}

/* Elements a model's array of structs or numbers has room for. */
static size_t room_of(const struct field *f) { return f->owned ? f->max : f->size / f->item_size; }
static size_t limit_of(const struct field *f) { return f->owned || f->max == 0 || f->max > room_of(f) ? room_of(f) : f->max; }

/* ---- numbers ---- */

static int num_read(const struct field *f, const void *pb, void *model, struct reader *r)
{
	uint64_t v = load(at(pb, f->pb), f->pb_size);
	if (v > f->max)
		return refuse(r, f, "is out of range");
	store(at_mut(model, f->off), f->size, v ? v : f->otherwise);
	return 0;
}

static void num_write(const struct field *f, const void *model, void *pb, struct writer *w)
{
	uint64_t v = load(at(model, f->off), f->size);
	(void)w;
	store(at_mut(pb, f->pb), f->pb_size, v > f->max ? f->max : v);
}

static int enum_read(const struct field *f, const void *pb, void *model, struct reader *r)
{
	uint64_t v = load(at(pb, f->pb), f->pb_size);
	(void)r;
	store(at_mut(model, f->off), f->size, v > f->max ? f->otherwise : v);
	return 0;
}

static void enum_write(const struct field *f, const void *model, void *pb, struct writer *w)
{
	uint64_t v = load(at(model, f->off), f->size);
	(void)w;
	store(at_mut(pb, f->pb), f->pb_size, v > f->max ? f->otherwise : v);
}

static int mask_read(const struct field *f, const void *pb, void *model, struct reader *r)
{
	(void)r;
	store(at_mut(model, f->off), f->size, load(at(pb, f->pb), f->pb_size) & f->max);
	return 0;
}

static void mask_write(const struct field *f, const void *model, void *pb, struct writer *w)
{
	(void)w;
	store(at_mut(pb, f->pb), f->pb_size, load(at(model, f->off), f->size) & f->max);
}

static int shifted_read(const struct field *f, const void *pb, void *model, struct reader *r)
{
	uint64_t v = load(at(pb, f->pb), f->pb_size);
	if (v > f->max + 1)
		return refuse(r, f, "is out of range");
	store(at_mut(model, f->off), f->size, v - 1);
	return 0;
}

static void shifted_write(const struct field *f, const void *model, void *pb, struct writer *w)
{
	int32_t v;
	(void)w;
	memcpy(&v, at(model, f->off), sizeof v);
	uint64_t wire = v < 0 ? 0 : (uint64_t)v + 1;
	store(at_mut(pb, f->pb), f->pb_size, wire > f->max + 1 ? f->max + 1 : wire);
}

static int signed_read(const struct field *f, const void *pb, void *model, struct reader *r)
{
	(void)r;
	assert(f->size == f->pb_size);
	memcpy(at_mut(model, f->off), at(pb, f->pb), f->size);
	return 0;
}

static void signed_write(const struct field *f, const void *model, void *pb, struct writer *w)
{
	(void)w;
	assert(f->size == f->pb_size);
	memcpy(at_mut(pb, f->pb), at(model, f->off), f->size);
}

static int flag_read(const struct field *f, const void *pb, void *model, struct reader *r)
{
	(void)r;
	*(bool *)at_mut(model, f->off) = load(at(pb, f->pb), f->pb_size) != 0;
	return 0;
}

static void flag_write(const struct field *f, const void *model, void *pb, struct writer *w)
{
	(void)w;
	store(at_mut(pb, f->pb), f->pb_size, *(const bool *)at(model, f->off));
}

/* ---- text and bytes ---- */

static bool has_nul(const ProtobufCBinaryData *b) { return b->len && memchr(b->data, 0, b->len); }

static int name_copy(const struct field *f, const ProtobufCBinaryData *b, char *out, size_t size, struct reader *r)
{
	if (b->len >= size)
		return refuse(r, f, "is too long");
	if (!text_is_clean(b->data, b->len, ""))
		return refuse(r, f, "is not clean text");
	if (b->len)
		memcpy(out, b->data, b->len);
	out[b->len] = '\0';
	return 0;
}

static int name_read(const struct field *f, const void *pb, void *model, struct reader *r)
{
	return name_copy(f, bytes_of(f, pb), at_mut(model, f->off), f->size, r);
}

static int text_read(const struct field *f, const void *pb, void *model, struct reader *r)
{
	const ProtobufCBinaryData *b = bytes_of(f, pb);
	if (has_nul(b))
		return refuse(r, f, "contains a NUL");
	text_clean(b->data, b->len, at_mut(model, f->off), f->size);
	return 0;
}

/* What this machine says of itself may hold any bytes (interface names): it leaves clean. */
static ProtobufCBinaryData text_lend(const char *text, size_t size, struct writer *w)
{
	size_t len = strnlen(text, size - 1);
	char *copy = NULL;
	if (!text_is_clean((const uint8_t *)text, len, "")) {
		copy = arena_alloc(&w->arena, size);
		text_clean((const uint8_t *)text, len, copy, size);
		len = strlen(copy);
	}
	return (ProtobufCBinaryData){.data = (uint8_t *)(uintptr_t)(copy ? copy : text), .len = len};
}

static void text_write(const struct field *f, const void *model, void *pb, struct writer *w)
{
	ProtobufCBinaryData b = text_lend(at(model, f->off), f->size, w);
	bytes_set(f, pb, b.data, b.len);
}

static int key_read(const struct field *f, const void *pb, void *model, struct reader *r)
{
	const ProtobufCBinaryData *b = bytes_of(f, pb);
	if (b->len != f->size)
		return refuse(r, f, "has a wrong length");
	memcpy(at_mut(model, f->off), b->data, b->len);
	return 0;
}

static void key_write(const struct field *f, const void *model, void *pb, struct writer *w)
{
	(void)w;
	bytes_set(f, pb, at(model, f->off), f->size);
}

/* Owned bytes with a NUL behind them, whether text or not. */
static void blob_take(const struct field *f, const ProtobufCBinaryData *b, void *model)
{
	uint8_t *copy = mem_array(b->len + 1, 1);
	if (b->len)
		memcpy(copy, b->data, b->len);
	pointer_put(model, f->off, copy);
	count_set(f, model, b->len);
}

static int blob_read(const struct field *f, const void *pb, void *model, struct reader *r)
{
	const ProtobufCBinaryData *b = bytes_of(f, pb);
	if (b->len > f->max)
		return refuse(r, f, "is too long");
	blob_take(f, b, model);
	return 0;
}

static int json_read(const struct field *f, const void *pb, void *model, struct reader *r)
{
	const ProtobufCBinaryData *b = bytes_of(f, pb);
	if (!text_is_clean(b->data, b->len, "\t\r\n"))
		return refuse(r, f, "is not clean text");
	return blob_read(f, pb, model, r);
}

static void blob_write(const struct field *f, const void *model, void *pb, struct writer *w)
{
	const uint8_t *data = pointer_get(model, f->off);
	size_t len = count_get(f, model);
	if (len > f->max)
		w->too_big = f->name;
	else if (data)
		bytes_set(f, pb, data, len);
}

/* ---- addresses ---- */

static int mac_read(const struct field *f, const void *pb, void *model, struct reader *r)
{
	const ProtobufCBinaryData *b = bytes_of(f, pb);
	struct mac m = {0};
	if (b->len != 0 && b->len != sizeof m.b)
		return refuse(r, f, "is not a MAC address");
	if (b->len)
		memcpy(m.b, b->data, sizeof m.b);
	memcpy(at_mut(model, f->off), &m, sizeof m);
	return 0;
}

static void mac_write(const struct field *f, const void *model, void *pb, struct writer *w)
{
	const struct mac *m = at(model, f->off);
	(void)w;
	if (mac_is_set(*m))
		bytes_set(f, pb, m->b, sizeof m->b);
}

static int macs_read(const struct field *f, const void *pb, void *model, struct reader *r)
{
	const ProtobufCBinaryData *b = bytes_of(f, pb);
	if (b->len > f->size || b->len % sizeof(struct mac) != 0)
		return refuse(r, f, "has a wrong length");
	if (b->len)
		memcpy(at_mut(model, f->off), b->data, b->len);
	count_set(f, model, b->len / sizeof(struct mac));
	return 0;
}

static void macs_write(const struct field *f, const void *model, void *pb, struct writer *w)
{
	size_t len = count_get(f, model) * sizeof(struct mac);
	(void)w;
	bytes_set(f, pb, at(model, f->off), len > f->size ? f->size : len);
}

static int family_of(size_t len) { return len == 4 ? 4 : len == 16 ? 6 : 0; }
static size_t length_of(struct ip a) { return a.family == 4 ? 4 : a.family == 6 ? 16 : 0; }

static int ip_read(const struct field *f, const void *pb, void *model, struct reader *r)
{
	const ProtobufCBinaryData *b = bytes_of(f, pb);
	struct ip a = {0};
	if (b->len && !family_of(b->len))
		return refuse(r, f, "is not an IP address");
	if (b->len)
		a = ip_from_bytes(family_of(b->len), b->data);
	memcpy(at_mut(model, f->off), &a, sizeof a);
	return 0;
}

static void ip_write(const struct field *f, const void *model, void *pb, struct writer *w)
{
	const struct ip *a = at(model, f->off);
	(void)w;
	bytes_set(f, pb, a->b, length_of(*a));
}

static int prefix_read(const struct field *f, const void *pb, void *model, struct reader *r)
{
	const ProtobufCBinaryData *b = bytes_of(f, pb);
	struct prefix p = {0};
	if (b->len) {
		size_t n = b->len - 1;
		int family = family_of(n);
		if (!family || b->data[n] > n * 8 || (f->max && f->max != (uint64_t)family))
			return refuse(r, f, "is not such a prefix");
		p.ip = ip_from_bytes(family, b->data);
		p.len = b->data[n];
	}
	memcpy(at_mut(model, f->off), &p, sizeof p);
	return 0;
}

static void prefix_write(const struct field *f, const void *model, void *pb, struct writer *w)
{
	const struct prefix *p = at(model, f->off);
	size_t n = length_of(p->ip);
	if (n == 0)
		return;
	uint8_t *b = arena_alloc(&w->arena, n + 1);
	memcpy(b, p->ip.b, n);
	b[n] = p->len > n * 8 ? (uint8_t)(n * 8) : p->len;
	bytes_set(f, pb, b, n + 1);
}

/* ---- several of one ---- */

static size_t pb_count(const struct field *f, const void *pb) { return load(at(pb, f->pb_count), sizeof(size_t)); }
static void *pb_items(const struct field *f, const void *pb) { return pointer_get(pb, f->pb); }

static void pb_set(const struct field *f, void *pb, const void *items, size_t count)
{
	pointer_put(pb, f->pb, items);
	store(at_mut(pb, f->pb_count), sizeof(size_t), count);
}

static int numbers_read(const struct field *f, const void *pb, void *model, struct reader *r)
{
	const uint32_t *in = pb_items(f, pb);
	uint16_t *out = at_mut(model, f->off);
	size_t n = pb_count(f, pb);
	if (n > limit_of(f))
		return refuse(r, f, "has too many elements");
	for (size_t i = 0; i < n; i++) {
		if (in[i] > UINT16_MAX)
			return refuse(r, f, "is out of range");
		out[i] = (uint16_t)in[i];
	}
	count_set(f, model, n);
	return 0;
}

static void numbers_write(const struct field *f, const void *model, void *pb, struct writer *w)
{
	const uint16_t *in = at(model, f->off);
	size_t n = count_get(f, model);
	if (n > limit_of(f))
		n = limit_of(f);
	uint32_t *out = arena_alloc(&w->arena, n * sizeof *out);
	for (size_t i = 0; i < n; i++)
		out[i] = in[i];
	pb_set(f, pb, out, n);
}

static int texts_read(const struct field *f, const void *pb, void *model, struct reader *r)
{
	const ProtobufCBinaryData *in = pb_items(f, pb);
	size_t n = pb_count(f, pb);
	if (n > limit_of(f))
		return refuse(r, f, "has too many elements");
	for (size_t i = 0; i < n; i++) {
		if (name_copy(f, &in[i], at_mut(model, f->off + i * f->item_size), f->item_size, r) < 0)
			return -1;
	}
	count_set(f, model, n);
	return 0;
}

static void texts_write(const struct field *f, const void *model, void *pb, struct writer *w)
{
	size_t n = count_get(f, model);
	if (n > limit_of(f))
		n = limit_of(f);
	ProtobufCBinaryData *out = arena_alloc(&w->arena, n * sizeof *out);
	for (size_t i = 0; i < n; i++)
		out[i] = text_lend(at(model, f->off + i * f->item_size), f->item_size, w);
	pb_set(f, pb, out, n);
}

static int bytes_read(const struct field *f, const void *pb, void *model, struct reader *r)
{
	const ProtobufCBinaryData *b = bytes_of(f, pb);
	(void)r;
	if (b->len)
		memcpy(at_mut(model, f->off), b->data, b->len < f->size ? b->len : f->size);
	return 0;
}

/* ---- owned text ---- */

#define STRING_LAYOUT "\t\r\n"

static int string_take(const struct field *f, const ProtobufCBinaryData *b, char **out, struct reader *r)
{
	if (b->len > f->max)
		return refuse(r, f, "is too long");
	if (!text_is_clean(b->data, b->len, STRING_LAYOUT))
		return refuse(r, f, "is not clean text");
	*out = mem_alloc(b->len + 1);
	if (b->len)
		memcpy(*out, b->data, b->len);
	return 0;
}

static ProtobufCBinaryData string_lend(const struct field *f, const char *text, struct writer *w)
{
	size_t len = strnlen(text, f->max);
	if (text_is_clean((const uint8_t *)text, len, STRING_LAYOUT))
		return (ProtobufCBinaryData){.data = (uint8_t *)(uintptr_t)text, .len = len};
	char *copy = arena_alloc(&w->arena, len + 1);
	text_clean((const uint8_t *)text, len, copy, len + 1);
	return (ProtobufCBinaryData){.data = (uint8_t *)copy, .len = strlen(copy)};
}

static int string_read(const struct field *f, const void *pb, void *model, struct reader *r)
{
	size_t n = pb_count(f, pb);
	char *text = NULL;
	if (n > 1)
		return refuse(r, f, "stands twice");
	if (n && string_take(f, pb_items(f, pb), &text, r) < 0)
		return -1;
	pointer_put(model, f->off, text);
	return 0;
}

static void string_write(const struct field *f, const void *model, void *pb, struct writer *w)
{
	const char *text = pointer_get(model, f->off);
	if (!text)
		return;
	ProtobufCBinaryData *out = arena_alloc(&w->arena, sizeof *out);
	*out = string_lend(f, text, w);
	pb_set(f, pb, out, 1);
}

static void string_clear(const struct field *f, void *model)
{
	free(pointer_get(model, f->off));
	pointer_put(model, f->off, NULL);
}

static size_t strings_room(const struct field *f) { return f->size / sizeof(char *); }

static int strings_read(const struct field *f, const void *pb, void *model, struct reader *r)
{
	const ProtobufCBinaryData *in = pb_items(f, pb);
	for (size_t i = 0; i < pb_count(f, pb) && i < strings_room(f); i++) {
		char *text = NULL;
		if (in[i].len && string_take(f, &in[i], &text, r) < 0)
			return -1;
		pointer_put(model, f->off + i * sizeof text, text);
	}
	return 0;
}

static void strings_write(const struct field *f, const void *model, void *pb, struct writer *w)
{
	size_t n = strings_room(f);
	while (n && !pointer_get(model, f->off + (n - 1) * sizeof(char *)))
		n--;
	ProtobufCBinaryData *out = arena_alloc(&w->arena, n * sizeof *out);
	for (size_t i = 0; i < n; i++) {
		const char *text = pointer_get(model, f->off + i * sizeof text);
		out[i] = string_lend(f, text ? text : "", w);
	}
	pb_set(f, pb, out, n);
}

static void strings_clear(const struct field *f, void *model)
{
	for (size_t i = 0; i < strings_room(f); i++) {
		free(pointer_get(model, f->off + i * sizeof(char *)));
		pointer_put(model, f->off + i * sizeof(char *), NULL);
	}
}

/* ---- structs in structs ---- */

static int sub_read(const struct field *f, const void *pb, void *model, struct reader *r)
{
	const void *sub = pb_items(f, pb);
	ProtobufCMessage *empty = NULL;
	if (!sub) { /* absent: the defaults of its fields */
		empty = mem_alloc(f->shape->pb->sizeof_message);
		f->shape->pb->message_init(empty);
	}
	int rc = shape_read(f->shape, sub ? sub : empty, at_mut(model, f->off), r);
	free(empty);
	return rc;
}

static void sub_write(const struct field *f, const void *model, void *pb, struct writer *w)
{
	pointer_put(pb, f->pb, shape_write(f->shape, at(model, f->off), w));
}

static void sub_clear(const struct field *f, void *model) { shape_clear(f->shape, at_mut(model, f->off)); }

static void *pointer_of(const struct field *f, const void *model) { return pointer_get(model, f->off); }
static void pointer_set(const struct field *f, void *model, const void *p) { pointer_put(model, f->off, p); }

static int owned_read(const struct field *f, const void *pb, void *model, struct reader *r)
{
	const void *sub = pb_items(f, pb);
	if (!sub)
		return 0;
	void *fresh = mem_alloc(f->shape->size);
	pointer_set(f, model, fresh);
	return shape_read(f->shape, sub, fresh, r);
}

static void owned_write(const struct field *f, const void *model, void *pb, struct writer *w)
{
	const void *p = pointer_of(f, model);
	if (p)
		pointer_put(pb, f->pb, shape_write(f->shape, p, w));
}

static void owned_clear(const struct field *f, void *model)
{
	void *p = pointer_of(f, model);
	if (p)
		shape_clear(f->shape, p);
	free(p);
	pointer_set(f, model, NULL);
}

static void *list_items(const struct field *f, const void *model)
{
	return f->owned ? pointer_of(f, model) : (void *)(uintptr_t)at(model, f->off);
}

/* Reads one element behind the last. A lenient list goes on without an element that was refused. */
static int list_read_one(const struct field *f, const void *item, void *model, struct reader *r)
{
	size_t n = count_get(f, model);
	void *to = (char *)list_items(f, model) + n * f->item_size;
	struct reader quiet = {0};
	if (shape_read(f->shape, item, to, f->lenient ? &quiet : r) == 0) {
		r->left_out += quiet.left_out;
		count_set(f, model, n + 1);
		return 0;
	}
	shape_clear(f->shape, to);
	memset(to, 0, f->item_size);
	r->left_out++;
	return f->lenient ? 0 : -1;
}

static int list_read(const struct field *f, const void *pb, void *model, struct reader *r)
{
	ProtobufCMessage *const *items = pb_items(f, pb);
	size_t n = pb_count(f, pb), limit = limit_of(f);
	if (n > limit && !f->lenient)
		return refuse(r, f, "has too many elements");
	if (n > limit) {
		r->left_out += n - limit;
		n = limit;
	}
	if (f->owned && n)
		pointer_set(f, model, mem_array(n, f->item_size));
	for (size_t i = 0; i < n; i++) {
		if (list_read_one(f, items[i], model, r) < 0)
			return -1;
	}
	return 0;
}

static void list_write(const struct field *f, const void *model, void *pb, struct writer *w)
{
	size_t n = list_items(f, model) ? count_get(f, model) : 0;
	const char *items = list_items(f, model);
	if (n > limit_of(f)) {
		w->too_big = f->lenient ? w->too_big : f->name;
		w->left_out += n - limit_of(f);
		n = limit_of(f);
	}
	void **out = arena_alloc(&w->arena, n * sizeof *out);
	for (size_t i = 0; i < n; i++)
		out[i] = shape_write(f->shape, items + i * f->item_size, w);
	pb_set(f, pb, out, n);
}

static void list_clear(const struct field *f, void *model)
{
	char *items = list_items(f, model);
	for (size_t i = 0; items && i < count_get(f, model) && i < limit_of(f); i++)
		shape_clear(f->shape, items + i * f->item_size);
	if (f->owned) {
		free(items);
		pointer_set(f, model, NULL);
	}
	count_set(f, model, 0);
}

static void pointer_clear(const struct field *f, void *model)
{
	free(pointer_of(f, model));
	pointer_set(f, model, NULL);
	count_set(f, model, 0);
}

/* ---- the table of types ---- */

static const struct {
	int (*read)(const struct field *f, const void *pb, void *model, struct reader *r);
	void (*write)(const struct field *f, const void *model, void *pb, struct writer *w);
	void (*clear)(const struct field *f, void *model);
} types[FIELD_TYPE_COUNT] = {
    [FIELD_NUM] = {num_read, num_write, NULL},
    [FIELD_ENUM] = {enum_read, enum_write, NULL},
    [FIELD_MASK] = {mask_read, mask_write, NULL},
    [FIELD_SHIFTED] = {shifted_read, shifted_write, NULL},
    [FIELD_SIGNED] = {signed_read, signed_write, NULL},
    [FIELD_FLAG] = {flag_read, flag_write, NULL},
    [FIELD_NAME] = {name_read, text_write, NULL},
    [FIELD_TEXT] = {text_read, text_write, NULL},
    [FIELD_KEY] = {key_read, key_write, NULL},
    [FIELD_MAC] = {mac_read, mac_write, NULL},
    [FIELD_MACS] = {macs_read, macs_write, NULL},
    [FIELD_IP] = {ip_read, ip_write, NULL},
    [FIELD_PREFIX] = {prefix_read, prefix_write, NULL},
    [FIELD_BLOB] = {blob_read, blob_write, pointer_clear},
    [FIELD_JSON] = {json_read, blob_write, pointer_clear},
    [FIELD_NUMBERS] = {numbers_read, numbers_write, NULL},
    [FIELD_BYTES] = {bytes_read, key_write, NULL},
    [FIELD_STRING] = {string_read, string_write, string_clear},
    [FIELD_STRINGS] = {strings_read, strings_write, strings_clear},
    [FIELD_TEXTS] = {texts_read, texts_write, NULL},
    [FIELD_SUB] = {sub_read, sub_write, sub_clear},
    [FIELD_OWNED] = {owned_read, owned_write, owned_clear},
    [FIELD_LIST] = {list_read, list_write, list_clear},
    [FIELD_COLUMNS] = {columns_read, columns_write, pointer_clear},
};

void *shape_write(const struct shape *s, const void *model, struct writer *w)
{
	ProtobufCMessage *pb = arena_alloc(&w->arena, s->pb->sizeof_message);
	s->pb->message_init(pb);
	for (size_t i = 0; i < s->count; i++)
		types[s->fields[i].type].write(&s->fields[i], model, pb, w);
	if (s->amend)
		s->amend(model, pb, w);
	return pb;
}

int shape_read(const struct shape *s, const void *pb, void *model, struct reader *r)
{
	for (size_t i = 0; i < s->count; i++) {
		if (types[s->fields[i].type].read(&s->fields[i], pb, model, r) < 0)
			return err_prefix(r->e, "%s", s->name);
	}
	return s->check ? s->check(pb, model, r) : 0;
}

void shape_clear(const struct shape *s, void *model)
{
	for (size_t i = 0; i < s->count; i++) {
		if (types[s->fields[i].type].clear)
			types[s->fields[i].type].clear(&s->fields[i], model);
	}
}
