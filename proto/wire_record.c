/* wire_record: the tables of a dossier and of what is kept with it; its two forms. */
#include "proto/record.h"
#include "proto/wire_json.h"

#include "dossier.pb-c.h"

#include <stdlib.h>
#include <string.h>

#define SKIP_WHY_MAX 1024
#define CHANGE_MAX   65536 /* a firewall's chain as one value is long */
#define CHANGES_MAX  1024

/* ---- a party ---- */

#define PB    Bothways__V1__Service
#define MODEL struct service
static const struct field service_fields[] = {NUM(port), TEXT(start)};
static const struct shape service_shape = SHAPE("service", service_fields, bothways__v1__service__descriptor);
#undef PB
#undef MODEL

#define PB    Bothways__V1__Placement
#define MODEL struct placement
static const struct field placement_fields[] = {FLAG(known), SHIFTED(host, PARTIES_MAX - 1), TEXT(port), TEXT(bridge), TEXT(uplink),
                                                FLAG(live)};
static const struct shape placement_shape = SHAPE("placement", placement_fields, bothways__v1__placement__descriptor);
#undef PB
#undef MODEL

static int change_check(const void *pb, void *model, struct reader *r)
{
	(void)pb;
	return ((const struct fact_change *)model)->key ? 0 : shape_refuse(r, "change", "of nothing");
}

#define PB    Bothways__V1__FactChange
#define MODEL struct fact_change
static const struct field change_fields[] = {
    STRING(key, CHANGE_MAX),
    STRING(was, CHANGE_MAX),
    STRING(now, CHANGE_MAX),
    FIELD_AS(FIELD_SIGNED, at, at.ns, .max = 0),
};
static const struct shape change_shape =
    SHAPE("change", change_fields, bothways__v1__fact_change__descriptor, .check = change_check);
#undef PB
#undef MODEL

#define PB    Bothways__V1__Party
#define MODEL struct party
static const struct field party_fields[] = {
    NAME(name),
    NAME(tenant),
    RANGE(kind, AGENT_GUEST),
    NUM(rights),
    FLAG(online),
    FLAG(heard),
    FLAG(lately),
    FLAG(reported),
    FLAG(relayed),
    TEXT(restart),
    NUM(probe_port),
    LIST(services, service_count, service_shape, SERVICES_MAX),
    SUB(ep, endpoint_shape),
    SUB(ep_last, endpoint_shape),
    OWNED(before, snapshot_shape),
    OWNED(after, snapshot_shape),
    OWNED(result, round_result_kept_shape),
    SUB(at, placement_shape),
    OWNED_LIST(changes, change_count, change_shape, CHANGES_MAX),
};
static const struct shape party_shape = SHAPE("party", party_fields, bothways__v1__party__descriptor);
#undef PB
#undef MODEL

/* ---- what lies between ---- */

#define PB    Bothways__V1__DossierPoint
#define MODEL __typeof__(((struct dossier *)0)->points[0])
static const struct field point_fields[] = {NUM(id), SHIFTED(party, PARTIES_MAX - 1), TEXT(ifname), NUM(role)};
static const struct shape point_shape = SHAPE("point", point_fields, bothways__v1__dossier_point__descriptor);
#undef PB
#undef MODEL

struct hop { /* an element of dossier.path */
	int at;
};
#define PB    Bothways__V1__Hop
#define MODEL struct hop
static const struct field hop_fields[] = {SIGNED(at)};
static const struct shape hop_shape = SHAPE("hop", hop_fields, bothways__v1__hop__descriptor);
#undef PB
#undef MODEL

#define PB    Bothways__V1__Witness
#define MODEL struct witness
static const struct field witness_fields[] = {
    SHIFTED(from, PARTIES_MAX - 1),
    SHIFTED(to, PARTIES_MAX - 1),
    NAME(from_name),
    NAME(to_name),
    BYTES(delivery),
    BYTES(initiation),
    FLAG(same_host),
};
static const struct shape witness_shape = SHAPE("witness", witness_fields, bothways__v1__witness__descriptor);
#undef PB
#undef MODEL

#define PB    Bothways__V1__Owner
#define MODEL struct owner
static const struct field owner_fields[] = {NAME(agent), TEXT(ifname),  MAC(mac),     PREFIX(ip, 0), FLAG(same_segment),
                                            FLAG(host),  FLAG(proxies), FLAG(leased), TEXT(machine)};
static const struct shape owner_shape = SHAPE("owner", owner_fields, bothways__v1__owner__descriptor);
#undef PB
#undef MODEL

/* ---- the dossier ---- */

static bool is_party(const struct dossier *d, int i) { return i >= 0 && (size_t)i < d->party_count; }
static bool is_party_or_none(const struct dossier *d, int i) { return i == -1 || is_party(d, i); }

static bool parties_lead_somewhere(const struct dossier *d)
{
	for (size_t i = 0; i < d->party_count; i++)
		if (!is_party_or_none(d, d->party[i].at.host))
			return false;
	for (size_t i = 0; i < d->witness_count; i++)
		if (!is_party_or_none(d, d->witnesses[i].from) || !is_party_or_none(d, d->witnesses[i].to))
			return false;
	for (size_t i = 0; i < d->point_count; i++)
		if (!is_party(d, d->points[i].party))
			return false;
	return true;
}

static bool path_leads_somewhere(const struct dossier *d, int dir)
{
	for (size_t i = 0; i < d->path_count[dir]; i++) {
		int at = d->path[dir][i];
		if (at >= 0 ? (size_t)at >= d->point_count : at < -PARTIES_MAX || !is_party(d, -1 - at))
			return false;
	}
	return true;
}

static int dossier_check(const void *pb, void *model, struct reader *r)
{
	const struct dossier *d = model;
	(void)pb;
	if (d->party_count < 2)
		return shape_refuse(r, "dossier", "has no two parties");
	if (!parties_lead_somewhere(d) || !path_leads_somewhere(d, 0) || !path_leads_somewhere(d, 1))
		return shape_refuse(r, "dossier", "names a party or point that is not in it");
	return 0;
}

#define PB                          Bothways__V1__Dossier
#define MODEL                       struct dossier
#define ONE_WAY(t, p, name, i, ...) FIELD_AS(t, name, p[i], __VA_ARGS__)
#define WHYS(name, i)               ONE_WAY(FIELD_STRINGS, skip_why, name, i, .pb_count = offsetof(PB, n_##name), .max = SKIP_WHY_MAX)
#define PATH(name, i)                                                                                                              \
	FIELD_AS(FIELD_LIST, name, path[i], COUNTED(path_count[i]), .pb_count = offsetof(PB, n_##name), .item_size = sizeof(int),  \
	         .shape = &hop_shape, .max = PATH_POINTS_MAX)
static const struct field dossier_fields[] = {
    NUM(round),
    NUM(round_seconds_ago),
    LIST(party, party_count, party_shape, PARTIES_MAX),
    LIST(flows, flow_count, flow_shape, ROUND_FLOWS_MAX),
    LIST(points, point_count, point_shape, ROUND_POINTS_MAX * 4),
    ONE_WAY(FIELD_MASK, skipped, skipped_ab, 0, .max = KIND_BIT(KIND_COUNT) - 1),
    ONE_WAY(FIELD_MASK, skipped, skipped_ba, 1, .max = KIND_BIT(KIND_COUNT) - 1),
    WHYS(skip_why_ab, 0),
    WHYS(skip_why_ba, 1),
    PATH(path_ab, 0),
    PATH(path_ba, 1),
    ONE_WAY(FIELD_FLAG, path_complete, path_complete_ab, 0, .max = 1),
    ONE_WAY(FIELD_FLAG, path_complete, path_complete_ba, 1, .max = 1),
    FLAG(onlink),
    LIST(witnesses, witness_count, witness_shape, WITNESSES_MAX),
    LIST(owners, owner_count, owner_shape, OWNERS_MAX),
    NUM(service_port),
    OWNED(imported, snapshot_shape),
    ONE_WAY(FIELD_NUM, usual_us, usual_us_a, 0, .max = UINT32_MAX),
    ONE_WAY(FIELD_NUM, usual_us, usual_us_b, 1, .max = UINT32_MAX),
    FIELD_AS(FIELD_SIGNED, now, now.ns, .max = 0),
};
static const struct shape dossier_shape =
    SHAPE("dossier", dossier_fields, bothways__v1__dossier__descriptor, .check = dossier_check);
_Static_assert(sizeof(struct hop) == sizeof(int), "a hop stands for an element of the path");
#undef PB
#undef MODEL

/* ---- the record ---- */

#define PB    Bothways__V1__Shift
#define MODEL struct shift
static const struct field shift_fields[] = {NAME(cause), SIGNED(milli)};
static const struct shape shift_shape = SHAPE("shift", shift_fields, bothways__v1__shift__descriptor);
#undef PB
#undef MODEL

static int record_check(const void *pb, void *model, struct reader *r)
{
	const struct record *record = model;
	(void)pb;
	if (record->format == 0)
		return shape_refuse(r, "record", "has no format");
	return record->format > RECORD_FORMAT ? shape_refuse(r, "record", "is of a newer program: replay it with that one") : 0;
}

#define PB    Bothways__V1__Record
#define MODEL struct record
static const struct field record_fields[] = {
    NUM(format),
    TEXT(program),
    FIELD_AS(FIELD_SIGNED, at, at.ns, .max = 0),
    NUM(took_ms),
    KEY(catalogue),
    JSON(catalogue_text, catalogue_len, RECORD_CATALOGUE_MAX),
    OWNED_LIST(shifts, shift_count, shift_shape, RECORD_SHIFTS_MAX),
    SUB(dossier, dossier_shape),
    JSON(verdict, verdict_len, RECORD_VERDICT_MAX),
};
static const struct shape record_shape = SHAPE("record", record_fields, bothways__v1__record__descriptor, .check = record_check);
#undef PB
#undef MODEL

static void *write_pb(const struct record *r, struct writer *w, struct err *e)
{
	void *pb = shape_write(&record_shape, r, w);
	if (!w->too_big)
		return pb;
	err_set(e, "record: %s is beyond its limit", w->too_big);
	return NULL;
}

/* Takes what was read, or frees it. An empty text is none. */
static struct record *read_pb(const void *pb, struct err *e)
{
	struct record *r = mem_alloc(sizeof *r);
	struct reader reader = {.e = e};
	if (!pb || shape_read(&record_shape, pb, r, &reader) < 0) {
		record_free(r);
		return NULL;
	}
	if (!r->catalogue_len) {
		free(r->catalogue_text);
		r->catalogue_text = NULL;
	}
	return r;
}

void record_free(struct record *r)
{
	if (r)
		shape_clear(&record_shape, r);
	free(r);
}

int record_encode(const struct record *r, struct buf *out, struct err *e)
{
	struct writer w = {0};
	const Bothways__V1__Record *pb = write_pb(r, &w, e);
	size_t size = pb ? bothways__v1__record__get_packed_size(pb) : 0;
	if (pb && size <= RECORD_BYTES_MAX) {
		uint8_t *bytes = arena_alloc(&w.arena, size);
		buf_add(out, bytes, bothways__v1__record__pack(pb, bytes));
	}
	arena_free(&w.arena);
	return !pb ? -1 : size <= RECORD_BYTES_MAX ? 0 : err_set(e, "record: %zu bytes are more than one may have", size);
}

struct record *record_decode(const void *data, size_t len, struct err *e)
{
	if (len > RECORD_BYTES_MAX) {
		err_set(e, "record: %zu bytes are more than one may have", len);
		return NULL;
	}
	Bothways__V1__Record *pb = bothways__v1__record__unpack(NULL, len, data);
	if (!pb)
		err_set(e, "record: malformed");
	struct record *r = read_pb(pb, e);
	bothways__v1__record__free_unpacked(pb, NULL);
	return r;
}

/* ---- as a document: what holds nothing but values is one line ---- */

static bool is_flat(const json_t *v)
{
	const char *key;
	json_t *item;
	size_t i;
	if (json_is_array(v)) {
		json_array_foreach(v, i, item) if (json_is_object(item) || json_is_array(item)) return false;
	} else if (json_is_object(v)) {
		json_object_foreach((json_t *)(uintptr_t)v, key, item) if (!json_is_string(item) && !json_is_number(item) &&
		                                                           !json_is_boolean(item) && !is_flat(item)) return false;
	}
	return true;
}

static void print(const json_t *v, int depth, struct buf *out);

static void print_line(int depth, bool first, struct buf *out)
{
	buf_puts(out, first ? "\n" : ",\n");
	for (int i = 0; i < depth; i++)
		buf_puts(out, " ");
}

static void print_members(const json_t *v, int depth, struct buf *out)
{
	const char *key;
	json_t *item;
	bool first = true;
	json_object_foreach((json_t *)(uintptr_t)v, key, item)
	{
		print_line(depth + 1, first, out);
		buf_printf(out, "\"%s\": ", key);
		print(item, depth + 1, out);
		first = false;
	}
}

static void print(const json_t *v, int depth, struct buf *out)
{
	bool list = json_is_array(v);
	if (is_flat(v)) {
		char *text = json_dumps(v, JSON_ENCODE_ANY);
		buf_puts(out, text ? text : "null");
		free(text);
		return;
	}
	buf_puts(out, list ? "[" : "{");
	if (!list)
		print_members(v, depth, out);
	for (size_t i = 0; i < json_array_size(v); i++) {
		print_line(depth + 1, i == 0, out);
		print(json_array_get(v, i), depth + 1, out);
	}
	print_line(depth, true, out);
	buf_puts(out, list ? "]" : "}");
}

int record_write(const struct record *r, struct buf *out, struct err *e)
{
	struct writer w = {0};
	struct record lean = *r; /* the two texts are files of their own */
	lean.catalogue_text = lean.verdict = NULL;
	lean.catalogue_len = lean.verdict_len = 0;
	const void *pb = write_pb(&lean, &w, e);
	json_t *doc = pb ? shape_json(&record_shape, pb) : NULL;
	if (doc)
		print(doc, 0, out);
	if (doc)
		buf_puts(out, "\n");
	json_decref(doc);
	arena_free(&w.arena);
	return doc ? 0 : -1;
}

struct record *record_read(const char *text, size_t len, struct err *e)
{
	json_error_t trouble;
	struct arena arena = {0};
	struct reader r = {.e = e};
	if (len > RECORD_BYTES_MAX) {
		err_set(e, "record: %zu bytes are more than one may have", len);
		return NULL;
	}
	json_t *doc = json_loadb(text, len, JSON_REJECT_DUPLICATES, &trouble);
	if (!doc)
		err_set(e, "record: line %d: %s", trouble.line, trouble.text);
	void *pb = doc ? shape_unjson(&record_shape, doc, &arena, &r) : NULL;
	struct record *record = pb ? read_pb(pb, e) : NULL;
	arena_free(&arena);
	json_decref(doc);
	return record;
}
