#include "proto/wire_json.h"

#include "proto/base/addr.h"
#include "proto/base/mem.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One field on its way between the message and its value. */
struct here {
	const struct field *f;
	struct arena *arena;
	struct reader *r;
};

static const void *at(const void *base, size_t off) { return (const char *)base + off; }
static void *at_mut(void *base, size_t off) { return (char *)base + off; }

static const ProtobufCBinaryData *bytes_of(const struct field *f, const void *pb) { return at(pb, f->pb); }

static size_t count_of(const struct field *f, const void *pb)
{
	size_t n;
	memcpy(&n, at(pb, f->pb_count), sizeof n);
	return n;
}

static const void *items_of(const struct field *f, const void *pb)
{
	const void *p;
	memcpy(&p, at(pb, f->pb), sizeof p);
	return p;
}

static void items_set(const struct field *f, void *pb, const void *items, size_t count)
{
	memcpy(at_mut(pb, f->pb), &items, sizeof items);
	if (f->pb_count)
		memcpy(at_mut(pb, f->pb_count), &count, sizeof count);
}

static void bytes_put(const struct here *h, ProtobufCBinaryData *out, const void *data, size_t len)
{
	out->data = arena_alloc(h->arena, len + 1);
	if (len)
		memcpy(out->data, data, len);
	out->len = len;
}

static int refuse(const struct here *h, const char *what) { return err_set(h->r->e, "field %s %s", h->f->name, what); }

/* ---- numbers ---- */

static uint64_t number_load(const struct field *f, const void *pb)
{
	uint64_t v = 0;
	uint32_t v4;
	if (f->pb_size == sizeof v) {
		memcpy(&v, at(pb, f->pb), sizeof v);
		return v;
	}
	assert(f->pb_size == sizeof v4);
	memcpy(&v4, at(pb, f->pb), sizeof v4);
	return v4;
}

static void number_store(const struct field *f, void *pb, uint64_t v)
{
	uint32_t v4 = (uint32_t)v;
	if (f->pb_size == sizeof v)
		memcpy(at_mut(pb, f->pb), &v, sizeof v);
	else
		memcpy(at_mut(pb, f->pb), &v4, sizeof v4);
}

/* JSON's integers are signed here: what does not fit is written as text. */
static json_t *json_unsigned(uint64_t v)
{
	char text[24];
	if (v <= INT64_MAX)
		return json_integer((json_int_t)v);
	snprintf(text, sizeof text, "0x%" PRIx64, v);
	return json_string(text);
}

static int unsigned_of(const struct here *h, const json_t *v, uint64_t *out)
{
	const char *text = json_string_value(v);
	char *end;
	*out = 0;
	if (json_is_integer(v) && json_integer_value(v) >= 0)
		*out = (uint64_t)json_integer_value(v);
	else if (!text || strncmp(text, "0x", 2) != 0 || !text[2] || strlen(text) > 18)
		return refuse(h, "is not a number");
	else if (*out = strtoull(text, &end, 16), *end)
		return refuse(h, "is not a number");
	if (h->f->pb_size < 8 && *out > UINT32_MAX)
		return refuse(h, "is out of range");
	return 0;
}

static json_t *num_out(const struct field *f, const void *pb)
{
	uint64_t v = number_load(f, pb);
	return v ? json_unsigned(v) : NULL;
}

static int num_in(const struct here *h, const json_t *v, void *pb)
{
	uint64_t n;
	if (unsigned_of(h, v, &n) < 0)
		return -1;
	number_store(h->f, pb, n);
	return 0;
}

static json_t *shifted_out(const struct field *f, const void *pb)
{
	uint64_t v = number_load(f, pb);
	return v ? json_integer((json_int_t)v - 1) : NULL;
}

static int shifted_in(const struct here *h, const json_t *v, void *pb)
{
	if (!json_is_integer(v) || json_integer_value(v) < -1 || json_integer_value(v) >= INT32_MAX)
		return refuse(h, "is not such a number");
	number_store(h->f, pb, (uint64_t)(json_integer_value(v) + 1));
	return 0;
}

static json_t *signed_out(const struct field *f, const void *pb)
{
	uint64_t v = number_load(f, pb);
	return v ? json_integer(f->pb_size == 8 ? (json_int_t)v : (int32_t)v) : NULL;
}

static int signed_in(const struct here *h, const json_t *v, void *pb)
{
	json_int_t n = json_integer_value(v);
	if (!json_is_integer(v) || (h->f->pb_size < 8 && (n < INT32_MIN || n > INT32_MAX)))
		return refuse(h, "is not such a number");
	number_store(h->f, pb, (uint64_t)n);
	return 0;
}

static json_t *flag_out(const struct field *f, const void *pb) { return number_load(f, pb) ? json_true() : NULL; }

static int flag_in(const struct here *h, const json_t *v, void *pb)
{
	if (!json_is_boolean(v))
		return refuse(h, "is neither true nor false");
	number_store(h->f, pb, json_is_true(v));
	return 0;
}

/* ---- text and bytes ---- */

static json_t *text_out(const struct field *f, const void *pb)
{
	const ProtobufCBinaryData *b = bytes_of(f, pb);
	return b->len ? json_stringn((const char *)b->data, b->len) : NULL;
}

static int text_in(const struct here *h, const json_t *v, void *pb)
{
	if (!json_is_string(v))
		return refuse(h, "is not text");
	bytes_put(h, at_mut(pb, h->f->pb), json_string_value(v), json_string_length(v));
	return 0;
}

static json_t *hex_of(const uint8_t *data, size_t len)
{
	struct buf b = {0};
	for (size_t i = 0; i < len; i++)
		buf_printf(&b, "%02x", data[i]);
	json_t *o = json_string(b.data ? b.data : "");
	buf_free(&b);
	return o;
}

static json_t *hex_out(const struct field *f, const void *pb)
{
	const ProtobufCBinaryData *b = bytes_of(f, pb);
	return b->len ? hex_of(b->data, b->len) : NULL;
}

static int digit(char c)
{
	const char *digits = "0123456789abcdef", *found = c ? strchr(digits, c) : NULL;
	return found ? (int)(found - digits) : -1;
}

static int hex_in(const struct here *h, const json_t *v, void *pb)
{
	const char *text = json_string_value(v);
	size_t len = text ? json_string_length(v) : 1;
	ProtobufCBinaryData *out = at_mut(pb, h->f->pb);
	if (len % 2)
		return refuse(h, "is not hexadecimal");
	bytes_put(h, out, text, len / 2);
	for (size_t i = 0; i < len / 2; i++) {
		int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
		if (high < 0 || low < 0)
			return refuse(h, "is not hexadecimal");
		out->data[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

static json_t *bytes_out(const struct field *f, const void *pb)
{
	const ProtobufCBinaryData *b = bytes_of(f, pb);
	json_t *list = b->len ? json_array() : NULL;
	for (size_t i = 0; i < b->len; i++)
		json_array_append_new(list, json_integer(b->data[i]));
	return list;
}

static int bytes_in(const struct here *h, const json_t *v, void *pb)
{
	ProtobufCBinaryData *out = at_mut(pb, h->f->pb);
	if (!json_is_array(v))
		return refuse(h, "is not a list");
	bytes_put(h, out, NULL, 0);
	out->data = arena_alloc(h->arena, json_array_size(v) + 1);
	for (size_t i = 0; i < json_array_size(v); i++) {
		json_int_t n = json_integer_value(json_array_get(v, i));
		if (n < 0 || n > UINT8_MAX)
			return refuse(h, "is out of range");
		out->data[out->len++] = (uint8_t)n;
	}
	return 0;
}

/* ---- addresses ---- */

static json_t *mac_text(const uint8_t *bytes)
{
	struct mac m;
	char text[MAC_TEXT_MAX];
	memcpy(m.b, bytes, sizeof m.b);
	return json_string(mac_format(m, text));
}

static json_t *mac_out(const struct field *f, const void *pb)
{
	const ProtobufCBinaryData *b = bytes_of(f, pb);
	return b->len == sizeof(struct mac) ? mac_text(b->data) : NULL;
}

static int mac_in(const struct here *h, const json_t *v, void *pb)
{
	struct mac m;
	if (!json_is_string(v) || mac_parse(json_string_value(v), &m) < 0)
		return refuse(h, "is not a MAC address");
	bytes_put(h, at_mut(pb, h->f->pb), m.b, sizeof m.b);
	return 0;
}

static json_t *macs_out(const struct field *f, const void *pb)
{
	const ProtobufCBinaryData *b = bytes_of(f, pb);
	json_t *list = b->len ? json_array() : NULL;
	for (size_t i = 0; i + sizeof(struct mac) <= b->len; i += sizeof(struct mac))
		json_array_append_new(list, mac_text(b->data + i));
	return list;
}

static int macs_in(const struct here *h, const json_t *v, void *pb)
{
	ProtobufCBinaryData *out = at_mut(pb, h->f->pb);
	if (!json_is_array(v))
		return refuse(h, "is not a list");
	out->data = arena_alloc(h->arena, json_array_size(v) * sizeof(struct mac) + 1);
	for (size_t i = 0; i < json_array_size(v); i++) {
		const char *text = json_string_value(json_array_get(v, i));
		struct mac m;
		if (!text || mac_parse(text, &m) < 0)
			return refuse(h, "is not a MAC address");
		memcpy(out->data + i * sizeof m, m.b, sizeof m.b);
		out->len += sizeof m;
	}
	return 0;
}

static size_t ip_length(struct ip a) { return a.family == 4 ? 4 : 16; }

static json_t *ip_out(const struct field *f, const void *pb)
{
	const ProtobufCBinaryData *b = bytes_of(f, pb);
	char text[IP_TEXT_MAX];
	return b->len ? json_string(ip_format(ip_from_bytes(b->len == 4 ? 4 : 6, b->data), text)) : NULL;
}

static int ip_in(const struct here *h, const json_t *v, void *pb)
{
	struct ip a;
	if (!json_is_string(v) || ip_parse(json_string_value(v), &a) < 0)
		return refuse(h, "is not an IP address");
	bytes_put(h, at_mut(pb, h->f->pb), a.b, ip_length(a));
	return 0;
}

static json_t *prefix_out(const struct field *f, const void *pb)
{
	const ProtobufCBinaryData *b = bytes_of(f, pb);
	char text[PREFIX_TEXT_MAX];
	if (!b->len)
		return NULL;
	struct prefix p = {ip_from_bytes(b->len == 5 ? 4 : 6, b->data), b->data[b->len - 1]};
	return json_string(prefix_format(p, text));
}

static int prefix_in(const struct here *h, const json_t *v, void *pb)
{
	struct prefix p;
	ProtobufCBinaryData *out = at_mut(pb, h->f->pb);
	if (!json_is_string(v) || prefix_parse(json_string_value(v), &p) < 0)
		return refuse(h, "is not a prefix");
	bytes_put(h, out, p.ip.b, ip_length(p.ip) + 1);
	out->data[ip_length(p.ip)] = p.len;
	return 0;
}

/* ---- several of one ---- */

static json_t *numbers_out(const struct field *f, const void *pb)
{
	const uint32_t *items = items_of(f, pb);
	json_t *list = count_of(f, pb) ? json_array() : NULL;
	for (size_t i = 0; i < count_of(f, pb); i++)
		json_array_append_new(list, json_integer(items[i]));
	return list;
}

static int numbers_in(const struct here *h, const json_t *v, void *pb)
{
	size_t n = json_array_size(v);
	uint32_t *out = arena_alloc(h->arena, (n + 1) * sizeof *out);
	for (size_t i = 0; i < n; i++) {
		json_int_t x = json_integer_value(json_array_get(v, i));
		if (x < 0 || x > UINT32_MAX)
			return refuse(h, "is out of range");
		out[i] = (uint32_t)x;
	}
	items_set(h->f, pb, out, n);
	return json_is_array(v) ? 0 : refuse(h, "is not a list");
}

static json_t *texts_out(const struct field *f, const void *pb)
{
	const ProtobufCBinaryData *items = items_of(f, pb);
	json_t *list = count_of(f, pb) ? json_array() : NULL;
	for (size_t i = 0; i < count_of(f, pb); i++)
		json_array_append_new(list, items[i].len ? json_stringn((const char *)items[i].data, items[i].len) : json_null());
	return list;
}

static int texts_in(const struct here *h, const json_t *v, void *pb)
{
	size_t n = json_array_size(v);
	ProtobufCBinaryData *out = arena_alloc(h->arena, (n + 1) * sizeof *out);
	for (size_t i = 0; i < n; i++) {
		const json_t *item = json_array_get(v, i);
		if (json_is_string(item))
			bytes_put(h, &out[i], json_string_value(item), json_string_length(item));
		else if (!json_is_null(item))
			return refuse(h, "is not a list of texts");
	}
	items_set(h->f, pb, out, n);
	return json_is_array(v) ? 0 : refuse(h, "is not a list");
}

/* Absent and empty are two things. */
static json_t *string_out(const struct field *f, const void *pb)
{
	const ProtobufCBinaryData *items = items_of(f, pb);
	return count_of(f, pb) ? json_stringn((const char *)items[0].data, items[0].len) : NULL;
}

static int string_in(const struct here *h, const json_t *v, void *pb)
{
	ProtobufCBinaryData *out = arena_alloc(h->arena, sizeof *out);
	if (!json_is_string(v))
		return refuse(h, "is not text");
	bytes_put(h, out, json_string_value(v), json_string_length(v));
	items_set(h->f, pb, out, 1);
	return 0;
}

static json_t *sub_out(const struct field *f, const void *pb)
{
	const void *sub = items_of(f, pb);
	json_t *o = sub ? shape_json(f->shape, sub) : NULL;
	if (o && f->type == FIELD_SUB && !json_object_size(o)) {
		json_decref(o);
		return NULL;
	}
	return o;
}

static int sub_in(const struct here *h, const json_t *v, void *pb)
{
	const void *sub = shape_unjson(h->f->shape, v, h->arena, h->r);
	if (!sub)
		return -1;
	memcpy(at_mut(pb, h->f->pb), &sub, sizeof sub);
	return 0;
}

static json_t *list_out(const struct field *f, const void *pb)
{
	const void *const *items = items_of(f, pb);
	json_t *list = count_of(f, pb) ? json_array() : NULL;
	for (size_t i = 0; i < count_of(f, pb); i++)
		json_array_append_new(list, shape_json(f->shape, items[i]));
	return list;
}

static int list_in(const struct here *h, const json_t *v, void *pb)
{
	size_t n = json_array_size(v);
	void **out = arena_alloc(h->arena, (n + 1) * sizeof *out);
	if (!json_is_array(v))
		return refuse(h, "is not a list");
	for (size_t i = 0; i < n; i++)
		if (!(out[i] = shape_unjson(h->f->shape, json_array_get(v, i), h->arena, h->r)))
			return -1;
	items_set(h->f, pb, out, n);
	return 0;
}

/* ---- the table ---- */

static const struct {
	json_t *(*out)(const struct field *f, const void *pb); /* NULL = its default */
	int (*in)(const struct here *h, const json_t *v, void *pb);
} ways[FIELD_TYPE_COUNT] = {
    [FIELD_NUM] = {num_out, num_in},          [FIELD_ENUM] = {num_out, num_in},
    [FIELD_MASK] = {num_out, num_in},         [FIELD_SHIFTED] = {shifted_out, shifted_in},
    [FIELD_SIGNED] = {signed_out, signed_in}, [FIELD_FLAG] = {flag_out, flag_in},
    [FIELD_NAME] = {text_out, text_in},       [FIELD_TEXT] = {text_out, text_in},
    [FIELD_KEY] = {hex_out, hex_in},          [FIELD_MAC] = {mac_out, mac_in},
    [FIELD_MACS] = {macs_out, macs_in},       [FIELD_IP] = {ip_out, ip_in},
    [FIELD_PREFIX] = {prefix_out, prefix_in}, [FIELD_BLOB] = {hex_out, hex_in},
    [FIELD_JSON] = {text_out, text_in},       [FIELD_NUMBERS] = {numbers_out, numbers_in},
    [FIELD_BYTES] = {bytes_out, bytes_in},    [FIELD_STRING] = {string_out, string_in},
    [FIELD_STRINGS] = {texts_out, texts_in},  [FIELD_TEXTS] = {texts_out, texts_in},
    [FIELD_SUB] = {sub_out, sub_in},          [FIELD_OWNED] = {sub_out, sub_in},
    [FIELD_LIST] = {list_out, list_in},
};

/* A list of numbers that the shape's own check and amend read and write stands in no table: the description of the message has it.
 */
static bool is_in_table(const struct shape *s, const ProtobufCFieldDescriptor *d)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->fields[i].pb == d->offset)
			return true;
	return false;
}

static bool untabled(const struct shape *s, unsigned i, struct field *out)
{
	const ProtobufCFieldDescriptor *d = &s->pb->fields[i];
	*out = (struct field){.name = d->name, .pb = (uint16_t)d->offset, .pb_count = (uint16_t)d->quantifier_offset};
	return d->label == PROTOBUF_C_LABEL_REPEATED && d->type == PROTOBUF_C_TYPE_UINT32 && !is_in_table(s, d);
}

static void untabled_out(const struct shape *s, const void *pb, json_t *o)
{
	struct field f;
	for (unsigned i = 0; i < s->pb->n_fields; i++)
		if (untabled(s, i, &f) && count_of(&f, pb))
			json_object_set_new(o, f.name, numbers_out(&f, pb));
}

static int untabled_in(const struct shape *s, const json_t *doc, void *pb, struct arena *a, struct reader *r)
{
	struct field f;
	for (unsigned i = 0; i < s->pb->n_fields; i++) {
		const json_t *v = untabled(s, i, &f) ? json_object_get(doc, f.name) : NULL;
		struct here h = {&f, a, r};
		if (v && numbers_in(&h, v, pb) < 0)
			return -1;
	}
	return 0;
}

json_t *shape_json(const struct shape *s, const void *pb)
{
	json_t *o = json_object();
	for (size_t i = 0; i < s->count; i++) {
		const struct field *f = &s->fields[i];
		json_t *v = ways[f->type].out(f, pb);
		if (v)
			json_object_set_new(o, f->name, v);
	}
	untabled_out(s, pb, o);
	return o;
}

void *shape_unjson(const struct shape *s, const json_t *doc, struct arena *a, struct reader *r)
{
	ProtobufCMessage *pb = arena_alloc(a, s->pb->sizeof_message);
	s->pb->message_init(pb);
	if (!json_is_object(doc)) {
		shape_refuse(r, s->name, "is not an object");
		return NULL;
	}
	for (size_t i = 0; i < s->count; i++) {
		struct here h = {&s->fields[i], a, r};
		const json_t *v = json_object_get(doc, h.f->name);
		if (v && ways[h.f->type].in(&h, v, pb) < 0) {
			err_prefix(r->e, "%s", s->name);
			return NULL;
		}
	}
	return untabled_in(s, doc, pb, a, r) < 0 ? NULL : pb;
}
