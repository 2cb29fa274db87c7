#include "collector/verdict_json.h"

#include "proto/base/mem.h"
#include "proto/model/plan.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* JSON is UTF-8; what a machine calls its interfaces need not be. */
static json_t *text_repaired(const char *s)
{
	char *copy = mem_strdup(s);
	for (char *c = copy; *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	json_t *o = json_string(copy);
	free(copy);
	return o;
}

json_t *json_text(const char *s)
{
	if (!s)
		return json_null();
	json_t *o = json_string(s);
	return o ? o : text_repaired(s);
}

static json_t *texts(char *const *items, size_t count)
{
	json_t *list = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, json_text(items[i]));
	return list;
}

json_t *cells_json(const uint8_t cells[static KIND_COUNT], char *const *why, bool delivery)
{
	json_t *o = json_object();
	for (int k = 0; k < KIND_COUNT; k++)
		if (cells[k] != CELL_UNKNOWN || (why && why[k]))
			json_object_set_new(o, kind_info((enum kind)k)->name,
			                    json_string(cell_name((enum cell)cells[k], delivery)));
	return o;
}

static json_t *why_json(char *const why[static KIND_COUNT])
{
	json_t *o = json_object();
	for (int k = 0; k < KIND_COUNT; k++)
		if (why[k])
			json_object_set_new(o, kind_info((enum kind)k)->name, json_text(why[k]));
	return o;
}

static json_t *kinds_json(kind_mask kinds)
{
	json_t *list = json_array();
	for (int k = 0; k < KIND_COUNT; k++)
		if (kinds & KIND_BIT(k))
			json_array_append_new(list, json_string(kind_info((enum kind)k)->name));
	return list;
}

static const char *role_name(uint8_t role)
{
	static const char *const names[] = {[POINT_SOCKET] = "socket", [POINT_NIC] = "nic",       [POINT_PORT] = "port",
	                                    [POINT_UPLINK] = "uplink", [POINT_BRIDGE] = "bridge", [POINT_OTHER] = "other"};
	return role < sizeof names / sizeof *names ? names[role] : "other";
}

/* Of every kind that was seen here. */
static json_t *kinds_seen(const struct path_point *p)
{
	json_t *o = json_object();
	for (int k = 0; k < KIND_COUNT; k++)
		if (p->kind_seen[k])
			json_object_set_new(o, kind_info((enum kind)k)->name, json_integer(p->kind_seen[k]));
	return o;
}

static json_t *path_json(const struct direction *d)
{
	json_t *list = json_array();
	for (size_t i = 0; i < d->path_count; i++) {
		char name[POINT_NAME_MAX];
		json_t *p = json_pack("{s:o, s:s, s:i, s:o, s:b}", "point", json_text(path_point_name(&d->path[i], name)), "role",
		                      role_name(d->path[i].role), "seen", (int)d->path[i].seen, "kinds", kinds_seen(&d->path[i]),
		                      "looked", d->path[i].looked);
		if (!d->path[i].looked && d->path[i].why[0])
			json_object_set_new(p, "why", json_text(d->path[i].why));
		json_array_append_new(list, p);
	}
	return list;
}

/* Who dropped it, as far as anybody says. */
static void add_drop(json_t *o, const struct cut *c)
{
	const struct {
		const char *key, *text;
	} more[] = {{"drop_at", c->drop_place}, {"drop_if", c->drop_if}, {"drop_where", c->drop_where}, {"rule", c->rule}};
	json_object_set_new(o, "drop_reason", c->drop_reason[0] ? json_text(c->drop_reason) : json_null());
	for (size_t i = 0; i < sizeof more / sizeof *more; i++)
		if (more[i].text[0])
			json_object_set_new(o, more[i].key, json_text(more[i].text));
}

static json_t *cut_json(const struct direction *d, const struct cut *c)
{
	char after[POINT_NAME_MAX], before[POINT_NAME_MAX];
	json_t *o = json_pack("{s:o, s:o, s:o}", "kinds", kinds_json(c->kinds), "after",
	                      json_text(path_point_name(&d->path[c->after], after)), "before",
	                      json_text(path_point_name(&d->path[c->before], before)));
	add_drop(o, c);
	if (c->answer)
		json_object_set_new(o, "answer", json_true());
	if (c->partial)
		json_object_set_new(o, "partial", json_true());
	return o;
}

static json_t *cuts_json(const struct direction *d)
{
	json_t *list = json_array();
	for (size_t i = 0; i < d->cut_count; i++)
		json_array_append_new(list, cut_json(d, &d->cuts[i]));
	return list;
}

static json_t *odds_json(const struct direction *d)
{
	json_t *list = json_array();
	for (size_t i = 0; i < d->quality.odd_count; i++) {
		char after[POINT_NAME_MAX], before[POINT_NAME_MAX];
		const struct odd *o = &d->quality.odds[i];
		json_t *j = json_pack("{s:s, s:o, s:o, s:I}", "what", odd_name((enum oddity)o->what), "after",
		                      json_text(path_point_name(&d->path[o->after], after)), "before",
		                      json_text(path_point_name(&d->path[o->before], before)), odd_unit((enum oddity)o->what),
		                      (json_int_t)o->amount);
		if (o->around)
			json_object_set_new(j, "both_ways", json_true());
		json_array_append_new(list, j);
	}
	return list;
}

/* Numbers of the train; what was not measured is left out. */
static json_t *quality_json(const struct direction *d)
{
	const struct quality *q = &d->quality;
	const struct {
		const char *key;
		uint32_t value;
	} more[] = {{"rtt_us", q->rtt_us},
	            {"rtt_p95_us", q->rtt_p95_us},
	            {"usual_us", q->usual_us},
	            {"queue_us", q->queue_us},
	            {"rate_kbit", q->rate_kbit}};
	json_t *o = json_pack(
	    "{s:I, s:I, s:f, s:I, s:I, s:I, s:I}", "sent", (json_int_t)q->sent, "received", (json_int_t)q->received, "loss_percent",
	    q->sent ? round((q->sent - q->received) * 10000.0 / q->sent) / 100 : 0.0, "duplicates", (json_int_t)q->duplicates,
	    "reordered", (json_int_t)q->reordered, "damaged", (json_int_t)q->damaged, "jitter_us", (json_int_t)q->jitter_us);
	for (size_t i = 0; i < sizeof more / sizeof *more; i++)
		if (more[i].value)
			json_object_set_new(o, more[i].key, json_integer(more[i].value));
	json_object_set_new(o, "odd", odds_json(d));
	return o;
}

static json_t *direction_json(const struct direction *d)
{
	json_t *o = json_pack("{s:s, s:s}", "from", d->from, "to", d->to);
	json_object_set_new(o, "delivery", cells_json(d->delivery, d->why, true));
	json_object_set_new(o, "initiation", cells_json(d->initiation, d->why, false));
	json_t *why = why_json(d->why);
	if (json_object_size(why))
		json_object_set(o, "why", why);
	json_decref(why);
	json_object_set_new(o, "loss", json_pack("{s:i, s:i}", "sent", (int)d->loss_sent, "received", (int)d->loss_received));
	json_object_set_new(o, "path", path_json(d));
	json_object_set_new(o, "path_complete", json_boolean(d->path_complete));
	json_object_set_new(o, "cuts", cuts_json(d));
	if (d->quality.measured)
		json_object_set_new(o, "quality", quality_json(d));
	return o;
}

static json_t *fixes_json(const struct cause *c)
{
	json_t *list = json_array();
	for (size_t i = 0; i < c->fix_count; i++) {
		json_t *f =
		    json_pack("{s:o, s:o}", "where", json_text(c->fixes[i].where), "command", json_text(c->fixes[i].command));
		if (c->fixes[i].manual)
			json_object_set_new(f, "manual", json_true());
		json_array_append_new(list, f);
	}
	return list;
}

static json_t *cause_json(const struct cause *c)
{
	json_t *o = json_pack("{s:o, s:f}", "id", json_text(c->id), "confidence", round(c->confidence * 1000) / 1000);
	json_object_set_new(o, "title", json_text(c->title));
	json_object_set_new(o, "explanation", json_text(c->explanation));
	if (c->title_zh)
		json_object_set_new(
		    o, "zh", json_pack("{s:o, s:o}", "title", json_text(c->title_zh), "explanation", json_text(c->explanation_zh)));
	json_object_set_new(o, "where", json_text(c->where));
	if (c->component)
		json_object_set_new(o, "component", json_text(c->component));
	json_object_set_new(o, "direction", json_text(c->direction));
	json_object_set_new(o, "for", texts(c->for_text, c->for_count));
	json_object_set_new(o, "against", texts(c->against_text, c->against_count));
	json_object_set_new(o, "fix", fixes_json(c));
	json_object_set_new(o, "verify", json_text(c->verify));
	return o;
}

static json_t *ruled_out_json(const struct verdict *v)
{
	json_t *list = json_array();
	for (size_t i = 0; i < v->ruled_out_count; i++)
		json_array_append_new(list, json_pack("{s:o, s:o}", "id", json_text(v->ruled_out[i].id), "because",
		                                      json_text(v->ruled_out[i].because)));
	return list;
}

static json_t *left_json(const struct verdict *v)
{
	json_t *list = json_array();
	for (size_t i = 0; i < v->left_count; i++) {
		const struct left_over *l = &v->left[i];
		json_t *o = json_pack("{s:o, s:o, s:o, s:o}", "id", json_text(l->id), "title", json_text(l->title), "where",
		                      json_text(l->where), "missing", json_text(l->missing));
		if (l->title_zh)
			json_object_set_new(o, "zh", json_pack("{s:o}", "title", json_text(l->title_zh)));
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *changed_json(const struct verdict *v)
{
	json_t *list = json_array();
	for (size_t i = 0; i < v->changed_count; i++) {
		char at[WALL_TEXT_MAX];
		json_t *o = json_pack("{s:s, s:o, s:o, s:o}", "agent", v->changed[i].agent, "fact", json_text(v->changed[i].fact),
		                      "was", json_text(v->changed[i].was), "now", json_text(v->changed[i].now));
		json_object_set_new(o, "at", json_string(wall_format(v->changed[i].at, at)));
		json_array_append_new(list, o);
	}
	return list;
}

static void add_head(json_t *o, const struct verdict *v, uint64_t round_id)
{
	char at[WALL_TEXT_MAX], id[20];
	snprintf(id, sizeof id, "%016" PRIx64, round_id);
	json_object_set_new(o, "schema", json_string("bothways.verdict/1"));
	json_object_set_new(o, "a", json_string(v->a));
	json_object_set_new(o, "b", json_string(v->b));
	json_object_set_new(o, "tenant_a", json_string(v->tenant_a));
	json_object_set_new(o, "tenant_b", json_string(v->tenant_b));
	json_object_set_new(o, "state", json_string(state_name(v->state)));
	json_object_set_new(o, "sentence", json_text(v->sentence));
	json_object_set_new(o, "at", json_string(wall_format(v->at, at)));
	json_object_set_new(o, "round", json_string(id));
	if (v->service_port)
		json_object_set_new(o, "service_port", json_integer(v->service_port));
}

json_t *verdict_json(const struct verdict *v, uint64_t round_id)
{
	json_t *o = json_object();
	add_head(o, v, round_id);
	json_object_set_new(o, "directions", json_pack("[o, o]", direction_json(&v->dir[0]), direction_json(&v->dir[1])));
	json_t *causes = json_array();
	for (size_t i = 0; i < v->cause_count; i++)
		json_array_append_new(causes, cause_json(&v->causes[i]));
	json_object_set_new(o, "causes", causes);
	if (v->left_count)
		json_object_set_new(o, "candidates", left_json(v));
	json_object_set_new(o, "ruled_out", ruled_out_json(v));
	json_object_set_new(o, "changed", changed_json(v));
	json_object_set_new(o, "notes", texts(v->notes, v->note_count));
	json_object_set_new(o, "took_ms", json_integer(v->took_ms));
	return o;
}

int verdict_exit_code(const struct verdict *v)
{
	if (v->cause_count)
		return 2;
	return v->state == STATE_OK ? 0 : 3;
}

int verdict_doc_exit_code(const json_t *doc)
{
	const char *state = json_string_value(json_object_get(doc, "state"));
	if (json_array_size(json_object_get(doc, "causes")))
		return 2;
	return state && strcmp(state, state_name(STATE_OK)) == 0 ? 0 : 3;
}

static void swap_keys(json_t *o, const char *x, const char *y)
{
	json_t *was = json_incref(json_object_get(o, x));
	json_object_set(o, x, json_object_get(o, y));
	json_object_set(o, y, was);
	json_decref(was);
}

void verdict_doc_swap(json_t *doc)
{
	json_t *directions = json_object_get(doc, "directions"), *first = json_incref(json_array_get(directions, 0));
	swap_keys(doc, "a", "b");
	swap_keys(doc, "tenant_a", "tenant_b");
	if (json_array_size(directions) == 2) {
		json_array_remove(directions, 0);
		json_array_append(directions, first);
	}
	json_decref(first);
}
