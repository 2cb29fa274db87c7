#include "collector/replay.h"

#include "collector/bundle.h"
#include "collector/judge.h"
#include "collector/verdict_json.h"
#include "proto/conf.h"
#include "proto/digest.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIFFERENCES_MAX 40

extern const unsigned char catalogue_yaml[]; /* the one that is shipped */
extern const unsigned catalogue_yaml_len;

/* ---- the catalogue to judge by ---- */

static struct catalogue *catalogue_of_text(const char *name, const char *text, size_t len, struct err *e)
{
	struct conf_node *yaml = conf_parse(name, text, len, e);
	struct catalogue *c = yaml ? catalogue_new(yaml, name, e) : NULL;
	conf_free(yaml);
	return c;
}

static bool is_of_then(const struct record *r, const void *text, size_t len)
{
	uint8_t sum[DIGEST_LEN];
	digest(text, len, sum);
	return memcmp(sum, r->catalogue, sizeof sum) == 0;
}

static struct catalogue *catalogue_given(const char *path, const struct record *r, enum replay_catalogue *which, struct err *e)
{
	struct buf text = {0};
	struct catalogue *c = NULL;
	if (conf_slurp(path, &text, e) == 0) {
		*which = is_of_then(r, text.data, text.len) ? REPLAY_GIVEN : REPLAY_GIVEN_NEW;
		c = catalogue_of_text(path, text.data, text.len, e);
	}
	buf_free(&text);
	return c;
}

static struct catalogue *catalogue_choose(const char *path, const struct bundle *b, enum replay_catalogue *which, struct err *e)
{
	struct catalogue *c;
	if (path) {
		c = catalogue_given(path, b->record, which, e);
	} else if (b->catalogue.len) {
		*which = REPLAY_CARRIED;
		c = catalogue_of_text("catalogue.yaml of the bundle", b->catalogue.data, b->catalogue.len, e);
	} else {
		*which = is_of_then(b->record, catalogue_yaml, catalogue_yaml_len) ? REPLAY_SHIPPED : REPLAY_OTHER;
		c = catalogue_builtin(e);
	}
	for (size_t i = 0; c && i < b->record->shift_count; i++)
		catalogue_shift(c, b->record->shifts[i].cause, b->record->shifts[i].milli / 1000.0);
	return c;
}

/* ---- what differs ---- */

static void differ(json_t *list, const char *at, const json_t *was, const json_t *now)
{
	if (json_array_size(list) < DIFFERENCES_MAX)
		json_array_append_new(list, json_pack("{s:s, s:O?, s:O?}", "at", at, "was", was, "now", now));
}

static void compare(json_t *list, const char *at, const json_t *was, const json_t *now);

static void compare_objects(json_t *list, const char *at, const json_t *was, const json_t *now)
{
	const json_t *both[] = {was, now};
	for (int side = 0; side < 2; side++) {
		for (void *i = json_object_iter((json_t *)(uintptr_t)both[side]); i;
		     i = json_object_iter_next((json_t *)(uintptr_t)both[side], i)) {
			const char *key = json_object_iter_key(i);
			char *path = mem_printf("%s%s%s", at, *at ? "." : "", key);
			if (side == 0 || !json_object_get(was, key))
				compare(list, path, json_object_get(was, key), json_object_get(now, key));
			free(path);
		}
	}
}

static void compare_lists(json_t *list, const char *at, const json_t *was, const json_t *now)
{
	size_t n = json_array_size(was) > json_array_size(now) ? json_array_size(was) : json_array_size(now);
	for (size_t i = 0; i < n; i++) {
		char *path = mem_printf("%s[%zu]", at, i);
		compare(list, path, json_array_get(was, i), json_array_get(now, i));
		free(path);
	}
}

/* A verdict is no deeper than the collector makes it, but this one comes from others: jansson bounds what it reads. */
static void compare(json_t *list, const char *at, const json_t *was, const json_t *now)
{
	if (was && now && json_equal(was, now))
		return;
	if (json_is_object(was) && json_is_object(now))
		compare_objects(list, at, was, now);
	else if (json_is_array(was) && json_is_array(now))
		compare_lists(list, at, was, now);
	else
		differ(list, at, was, now);
}

/* As it looks when it has been written down. */
static json_t *as_written(json_t *doc)
{
	char *text = json_dumps(doc, JSON_COMPACT | JSON_REAL_PRECISION(6));
	json_t *again = json_loads(text ? text : "", 0, NULL);
	free(text);
	json_decref(doc);
	return again;
}

static const char *const CATALOGUES[] = {[REPLAY_SHIPPED] = "as then",
                                         [REPLAY_CARRIED] = "of the bundle",
                                         [REPLAY_OTHER] = "another than then",
                                         [REPLAY_GIVEN] = "given, as then",
                                         [REPLAY_GIVEN_NEW] = "given, another than then"};

static json_t *report(const struct bundle *b, const struct replay *r, json_t *differences)
{
	char round[20], at[WALL_TEXT_MAX];
	snprintf(round, sizeof round, "%016" PRIx64, b->record->dossier.round);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o}", "schema", "bothways.replay/1", "round", round, "at",
	                 wall_format(b->record->at, at), "program_then", b->record->program, "program_now", BOTHWAYS_VERSION,
	                 "catalogue", CATALOGUES[r->catalogue], "same", r->was ? json_boolean(r->same) : json_null(), "differences",
	                 differences);
}

/* ---- the whole ---- */

static int verdict_then(const struct bundle *b, struct replay *out, struct err *e)
{
	json_error_t trouble;
	if (!b->verdict.len)
		return 0;
	out->was = json_loadb(b->verdict.data, b->verdict.len, 0, &trouble);
	return json_is_object(out->was) ? 0 : err_set(e, "verdict.json: line %d: %s", trouble.line, trouble.text);
}

static int replay_bundle(const struct bundle *b, const struct replay_wish *wish, struct replay *out, struct err *e)
{
	struct catalogue *c = catalogue_choose(wish->catalogue, b, &out->catalogue, e);
	if (!c || verdict_then(b, out, e)) {
		catalogue_free(c);
		return -1;
	}
	struct verdict *v = (wish->why ? judge_why : judge)(c, &b->record->dossier, b->record->took_ms, b->record->at);
	out->verdict = as_written(verdict_json(v, b->record->dossier.round));
	out->exit_code = verdict_exit_code(v);
	json_t *differences = json_array();
	if (out->was)
		compare(differences, "", out->was, out->verdict);
	out->same = json_array_size(differences) == 0;
	out->report = report(b, out, differences);
	if (wish->why)
		json_object_set_new(out->verdict, "why", weighings_json(v));
	verdict_free(v);
	catalogue_free(c);
	return 0;
}

int replay(const struct replay_wish *wish, struct replay *out, struct err *e)
{
	*out = (struct replay){0};
	struct bundle *b = bundle_open(wish->path, e);
	int rc = b ? replay_bundle(b, wish, out, e) : -1;
	if (rc)
		replay_clear(out);
	bundle_free(b);
	return rc;
}

void replay_clear(struct replay *r)
{
	json_decref(r->verdict);
	json_decref(r->was);
	json_decref(r->report);
	*r = (struct replay){0};
}
