#include "collector/bundle_answer.h"

#include "collector/answer.h"
#include "collector/bundle.h"
#include "collector/feedback.h"
#include "collector/records.h"
#include "collector/verdict_json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- bundle ---- */

static json_t *summary(const struct record *r, size_t bytes, const struct buf *capture, json_t *verdict)
{
	char round[20], at[WALL_TEXT_MAX];
	snprintf(round, sizeof round, "%016" PRIx64, r->dossier.round);
	return json_pack("{s:s, s:s, s:s, s:I, s:b, s:o}", "schema", "bothways.bundle/1", "round", round, "at",
	                 wall_format(r->at, at), "bytes", (json_int_t)bytes, "capture", capture && capture->len, "verdict",
	                 verdict);
}

static char *verdict_pretty(const json_t *doc)
{
	char *text = json_dumps(doc, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
	char *line = mem_printf("%s\n", text ? text : "{}");
	free(text);
	return line;
}

void bundle_reply(const struct reply *reply, const struct record *r, const struct buf *capture)
{
	struct buf file = {0};
	struct err e;
	json_t *doc = json_loadb(r->verdict ? r->verdict : "", r->verdict_len, 0, NULL);
	char *verdict = verdict_pretty(doc);
	if (bundle_write(r, verdict, capture, &file, &e)) {
		reply_error(reply, e.text);
		json_decref(doc);
	} else {
		for (size_t at = 0; at < file.len; at += ANSWER_BLOB_MAX)
			reply_blob(reply, file.data + at, file.len - at < ANSWER_BLOB_MAX ? file.len - at : ANSWER_BLOB_MAX);
		json_t *answer = summary(r, file.len, capture, doc);
		reply_document(reply, 0, answer);
		json_decref(answer);
	}
	free(verdict);
	buf_free(&file);
}

/* ---- which round ---- */

#define PREFIX_MIN 4

struct named {
	size_t count;
	uint64_t round;
	json_t *doc; /* its verdict, the newest first */
};

static void take_named(void *arg, const struct stored_verdict *v)
{
	struct named *n = arg;
	if (n->count && n->round == v->round)
		return;
	if (n->count++ == 0) {
		n->round = v->round;
		n->doc = json_loads(v->json ? v->json : "", 0, NULL);
	}
}

/* A round by its number or the beginning of it. */
static int round_named(struct collector *c, const char *id, struct named *out, struct err *e)
{
	size_t len = strlen(id);
	if (len < PREFIX_MIN || len > 16 || strspn(id, "0123456789abcdef") != len)
		return err_set(e, "no round is called %s: `bothways status` and `bothways diagnose` show their numbers", id);
	collector_commit(c, NULL); /* what waits to be stored is found, too */
	if (store_verdicts_like(c->store, id, 8, take_named, out, e))
		return -1;
	if (out->count == 1 && out->doc)
		return 0;
	json_decref(out->doc);
	return out->count ? err_set(e, "several rounds begin with %s: say more of it", id)
	                  : err_set(e, "no round %s is known (any more)", id);
}

static int round_of_pair(struct collector *c, const char *a, const char *b, uint64_t *round, struct err *e)
{
	const struct member *ma = fleet_find(c->fleet, a, NULL, e), *mb = ma ? fleet_find(c->fleet, b, NULL, e) : NULL;
	json_t *doc = ma && mb ? answer_trace(c, ma, mb, e) : NULL;
	const char *id = json_string_value(json_object_get(doc, "round"));
	*round = id ? strtoull(id, NULL, 16) : 0;
	json_decref(doc);
	if (doc)
		return 0;
	return ma && mb ? err_set(e, "there was no round of %s and %s yet: --now makes one", a, b) : -1;
}

void bundle_query(struct collector *c, const struct msg_query *q, const struct reply *r)
{
	struct err e;
	struct named n = {0};
	const char *first = query_word(q, 0), *second = query_word(q, 1);
	int rc = second ? round_of_pair(c, first, second, &n.round, &e) : round_named(c, first, &n, &e);
	if (!rc) {
		json_decref(n.doc);
		struct record *record = records_get(c->records, n.round, &e);
		if (record)
			bundle_reply(r, record, NULL);
		else if (second)
			err_set(&e, "what the last round of %s and %s was judged from is not kept any more: --now makes one", first,
			        second);
		if (!record)
			rc = -1;
		record_free(record);
	}
	if (rc)
		reply_error(r, e.text);
}

/* ---- feedback ---- */

static json_t *feedback_json(const struct stored_feedback *f)
{
	char at[WALL_TEXT_MAX], round[20];
	snprintf(round, sizeof round, "%016" PRIx64, f->round);
	json_t *o = json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:b, s:s, s:b}", "number", (json_int_t)f->number, "at",
	                      wall_format(f->at, at), "round", round, "a", f->a, "b", f->b, "by", f->role, "right", f->right,
	                      "said", f->said, "undone", f->undone);
	json_object_set_new(o, "real", f->real[0] ? json_text(f->real) : json_null());
	return o;
}

static json_t *feedback_doc(const struct feedback *f)
{
	json_t *list = json_array(), *causes = json_array();
	const struct shift *shifts;
	size_t n = feedback_shifts(f, &shifts);
	for (size_t i = 0; i < feedback_count(f); i++)
		json_array_append_new(list, feedback_json(feedback_at(f, i)));
	for (size_t i = 0; i < n; i++)
		json_array_append_new(causes,
		                      json_pack("{s:s, s:f}", "cause", shifts[i].cause, "log_odds", shifts[i].milli / 1000.0));
	return json_pack("{s:s, s:o, s:o, s:f}", "schema", "bothways.feedback/1", "feedback", list, "shifts", causes, "limit",
	                 CATALOGUE_SHIFT_MAX);
}

static int check_room(const struct feedback *f, uint64_t round, struct err *e)
{
	size_t counting = 0;
	for (size_t i = 0; i < feedback_count(f); i++) {
		const struct stored_feedback *item = feedback_at(f, i);
		counting += !item->undone;
		if (!item->undone && item->round == round)
			return err_set(e, "number %lld is about this round already: --undo %lld takes it back",
			               (long long)item->number, (long long)item->number);
	}
	return counting < STORE_FEEDBACK_MAX ? 0 : err_set(e, "%zu are kept, and no more: take some back", counting);
}

static const char *text_at(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

static int check_said(const struct collector *c, const struct msg_query *q, const char *said, struct err *e)
{
	const char *real = query_option(q, "cause");
	bool right = query_option(q, "right") != NULL, wrong = query_option(q, "wrong") != NULL;
	if (right == wrong)
		return err_set(e, "was it --right or --wrong?");
	if (right && real)
		return err_set(e, "--cause names what it really was: it goes with --wrong");
	if (real && catalogue_find(c->catalogue, real) < 0)
		return err_set(e, "the catalogue has no cause %s: `bothways causes` lists them", real);
	if (real && strcmp(real, said) == 0)
		return err_set(e, "%s is what the verdict says", real);
	if (!said[0] && !real)
		return err_set(e, "this verdict names no cause: say which it was, with --wrong --cause ID");
	return 0;
}

static int feedback_add(struct collector *c, const struct asker *who, const struct msg_query *q, struct err *e)
{
	struct named n = {0};
	if (round_named(c, query_word(q, 0), &n, e))
		return -1;
	const char *said = text_at(json_array_get(json_object_get(n.doc, "causes"), 0), "id"), *real = query_option(q, "cause");
	struct stored_feedback f = {.at = wall_now(), .round = n.round, .right = query_option(q, "right") != NULL};
	str_copy(f.a, sizeof f.a, text_at(n.doc, "a"));
	str_copy(f.b, sizeof f.b, text_at(n.doc, "b"));
	str_copy(f.said, sizeof f.said, said);
	str_copy(f.real, sizeof f.real, real ? real : "");
	str_copy(f.role, sizeof f.role, who->role);
	int rc = check_said(c, q, said, e) || check_room(c->feedback, n.round, e) ? -1 : 0;
	json_decref(n.doc);
	return rc ? -1 : store_put_feedback(c->store, &f) ? err_set(e, "the store takes no more: its disk is failing") : 0;
}

static int feedback_undo(struct collector *c, const char *text, struct err *e)
{
	char *end;
	long long number = strtoll(text, &end, 10);
	for (size_t i = 0; *text && !*end && i < feedback_count(c->feedback); i++) {
		const struct stored_feedback *f = feedback_at(c->feedback, i);
		if (f->number == number && !f->undone)
			return store_undo_feedback(c->store, number, wall_now())
			           ? err_set(e, "the store takes no more: its disk is failing")
			           : 0;
	}
	return err_set(e, "--undo: there is no number %s that counts", text);
}

/* Listed, added to, or taken back from; each ends with the list as it then is. */
static int feedback_change(struct collector *c, const struct asker *who, const struct msg_query *q, struct err *e)
{
	const char *undo = query_option(q, "undo");
	if (undo && query_word(q, 0))
		return err_set(e, "--undo takes back a number of the list: it needs no round");
	if (!undo && !query_word(q, 0))
		return 0;
	if (collector_commit(c, e))
		return -1;
	if (undo ? feedback_undo(c, undo, e) : feedback_add(c, who, q, e))
		return -1;
	if (collector_commit(c, e)) {
		store_forget_waiting(c->store);
		return -1;
	}
	return feedback_load(c->feedback, c->store, c->catalogue, e);
}

void feedback_query(struct collector *c, const struct asker *who, const struct msg_query *q, const struct reply *r)
{
	struct err e;
	if (feedback_change(c, who, q, &e)) {
		reply_error(r, e.text);
		return;
	}
	json_t *doc = feedback_doc(c->feedback);
	reply_document(r, 0, doc);
	json_decref(doc);
}
