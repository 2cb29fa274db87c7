/* Any bytes are a bundle or are refused; whatever dossier is read can be judged, and written again. The first byte says what the
 * others are: a an archive, j a document, p packed bytes. */
#include "collector/bundle.h"
#include "collector/judge.h"
#include "collector/verdict_json.h"

#include <stdlib.h>

static const struct catalogue *shipped(void)
{
	static struct catalogue *c;
	struct err e;
	if (!c && !(c = catalogue_builtin(&e)))
		abort();
	return c;
}

static void judged(const struct record *r)
{
	struct buf doc = {0}, bytes = {0};
	struct verdict *v = judge(shipped(), &r->dossier, r->took_ms, r->at);
	json_decref(verdict_json(v, r->dossier.round));
	verdict_free(v);
	if (record_write(r, &doc, NULL) == 0) {
		struct record *again = record_read(doc.data, doc.len, NULL);
		if (!again || record_encode(again, &bytes, NULL) != 0)
			abort();
		record_free(again);
	}
	buf_free(&doc);
	buf_free(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bundle *b = NULL;
	struct record *r = NULL;
	if (size == 0)
		return 0;
	if (data[0] == 'a')
		b = bundle_read(data + 1, size - 1, NULL);
	else if (data[0] == 'j')
		r = record_read((const char *)data + 1, size - 1, NULL);
	else if (data[0] == 'p')
		r = record_decode(data + 1, size - 1, NULL);
	if (b || r)
		judged(b ? b->record : r);
	bundle_free(b);
	record_free(r);
	return 0;
}
