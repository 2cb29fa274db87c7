/* What became of a capture: the verdict's sentence, and what each point kept. */
#include "collector/cli/output.h"

static void add_point(struct table *t, const json_t *p)
{
	bool looked = json_is_true(doc_get(p, "looked"));
	long long dropped = doc_number(p, "dropped");
	table_add(t, looked ? INK_PLAIN : INK_DIM, doc_text(p, "point"));
	if (!looked) {
		table_add(t, INK_DIM, "-");
		table_addf(t, INK_DIM, "nobody looked here: %s", doc_text(p, "why"));
		return;
	}
	table_addf(t, INK_PLAIN, "%lld", doc_number(p, "frames"));
	if (dropped)
		table_addf(t, INK_WARN, "the capture itself lost %lld", dropped);
	else
		table_add(t, INK_PLAIN, "");
}

void show_capture(struct out *o, const json_t *doc)
{
	static const char *const heads[] = {"point", "frames", ""};
	const json_t *points = doc_get(doc, "interfaces");
	struct table *t = table_new(3, heads);
	show_sentence(o, doc_get(doc, "verdict"));
	out_printf(o, INK_PLAIN, "\n");
	for (size_t i = 0; i < json_array_size(points); i++)
		add_point(t, json_array_get(points, i));
	table_print(t, o, 2);
	table_free(t);
	if (doc_number(doc, "left_out"))
		out_printf(o, INK_WARN, "\n%lld more frames were seen than an agent keeps of one round: they are left out\n",
		           doc_number(doc, "left_out"));
}
