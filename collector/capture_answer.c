#include "collector/capture_answer.h"

#include "collector/capture_file.h"
#include "collector/scope.h"
#include "collector/verdict_json.h"

#include <stdlib.h>

static json_t *point_json(const struct captured_point *p)
{
	json_t *o = json_pack("{s:o, s:b, s:I, s:I}", "point", json_text(p->name), "looked", p->looked, "frames",
	                      (json_int_t)p->frames, "dropped", (json_int_t)p->dropped);
	if (!p->looked)
		json_object_set_new(o, "why", json_text(p->why));
	return o;
}

static json_t *summary_json(const struct capture_summary *sum, size_t bytes, json_t *verdict)
{
	json_t *points = json_array();
	for (size_t i = 0; i < sum->point_count; i++)
		json_array_append_new(points, point_json(&sum->points[i]));
	return json_pack("{s:s, s:I, s:I, s:I, s:o, s:o}", "schema", "bothways.capture/1", "frames", (json_int_t)sum->frames,
	                 "left_out", (json_int_t)sum->left_out, "bytes", (json_int_t)bytes, "interfaces", points, "verdict",
	                 verdict);
}

void capture_reply(const struct reply *r, const struct dossier *d, const struct verdict *v, const struct json_t *doc)
{
	const char *tenant = r->tenant[0] ? r->tenant : NULL;
	struct capture_summary *sum = mem_alloc(sizeof *sum);
	struct buf file = {0};
	json_t *verdict = tenant ? scope_for_tenant(doc, tenant) : json_deep_copy(doc);
	capture_file(d, v, tenant, &file, sum);
	for (size_t at = 0; at < file.len; at += ANSWER_BLOB_MAX)
		reply_blob(r, file.data + at, file.len - at < ANSWER_BLOB_MAX ? file.len - at : ANSWER_BLOB_MAX);
	json_t *summary = summary_json(sum, file.len, verdict);
	reply_document(r, verdict_exit_code(v), summary);
	json_decref(summary);
	buf_free(&file);
	free(sum);
}
