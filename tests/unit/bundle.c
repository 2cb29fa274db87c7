/* Bundles: the file and the folder, what is refused of them, and what a replay says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "collector/bundle.h"
#include "collector/judge.h"
#include "collector/replay.h"
#include "collector/verdict_json.h"
#include "proto/digest.h"
#include "tests/unit/case_world.h"

#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/bothways-bundle-XXXXXX";

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	static const char *const names[] = {"dossier.json", "verdict.json", "catalogue.yaml", "MANIFEST", "x.tar.gz"};
	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char *path = mem_printf("%s/%s", folder, names[i]);
		unlink(path);
		free(path);
	}
	return rmdir(folder);
}

static void save(const char *name, const void *data, size_t len)
{
	char *path = mem_printf("%s/%s", folder, name);
	FILE *f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	fclose(f);
	free(path);
}

static void forget(const char *name)
{
	char *path = mem_printf("%s/%s", folder, name);
	unlink(path);
	free(path);
}

extern const unsigned char catalogue_yaml[];
extern const unsigned catalogue_yaml_len;

/* A pair of which one end has lost its address. */
static struct world *broken(struct record *r)
{
	struct world *w = world_new("g1", "g2");
	drop_addr(w, "g2", "10.0.0.12/24");
	changed(w, "g2", "addr.eth0.10.0.0.12/24", "present", NULL);
	*r =
	    (struct record){.format = RECORD_FORMAT, .program = "0.9", .at = {1700000000000000000}, .took_ms = 7, .dossier = *w->d};
	r->dossier.round = 0xfeed;
	digest(catalogue_yaml, catalogue_yaml_len, r->catalogue);
	return w;
}

static char *verdict_of(const struct record *r)
{
	struct catalogue *c = catalogue_shipped();
	struct verdict *v = judge(c, &r->dossier, r->took_ms, r->at);
	json_t *doc = verdict_json(v, r->dossier.round);
	char *text = json_dumps(doc, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
	json_decref(doc);
	verdict_free(v);
	catalogue_free(c);
	return text;
}

static void file_of(const struct record *r, const char *verdict, struct buf *out)
{
	struct buf capture = {0};
	struct err e = {0};
	buf_puts(&capture, "frames");
	if (bundle_write(r, verdict, &capture, out, &e))
		fail_msg("%s", e.text);
	buf_free(&capture);
}

static void test_file_and_back(void **state)
{
	struct record r;
	struct world *w = broken(&r);
	struct buf file = {0}, first = {0}, second = {0};
	struct err e = {0};
	(void)state;
	file_of(&r, "{}", &file);
	struct bundle *b = bundle_read(file.data, file.len, &e);
	if (!b)
		fail_msg("%s", e.text);
	assert_string_equal(b->verdict.data, "{}");
	assert_string_equal(b->capture.data, "frames");
	assert_int_equal(b->catalogue.len, 0);
	record_encode(&r, &first, NULL);
	record_encode(b->record, &second, NULL);
	assert_true(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
	bundle_free(b);
	buf_free(&file);
	buf_free(&first);
	buf_free(&second);
	world_free(w);
}

/* Every cut and every changed byte is refused, or reads as what it was. */
static void test_damage_is_refused(void **state)
{
	struct record r;
	struct world *w = broken(&r);
	struct buf file = {0};
	struct err e = {0};
	unsigned refused = 0, looked = 0;
	(void)state;
	file_of(&r, "{}", &file);
	for (size_t len = 0; len < file.len; len += 97, looked++) {
		struct bundle *b = bundle_read(file.data, len, &e);
		refused += !b;
		bundle_free(b);
	}
	for (size_t i = 0; i < file.len; i += 61, looked++) {
		file.data[i] = (char)(file.data[i] ^ 0x10);
		struct bundle *b = bundle_read(file.data, file.len, &e);
		file.data[i] = (char)(file.data[i] ^ 0x10);
		refused += !b;
		if (b)
			assert_int_equal(b->record->dossier.round, 0xfeed);
		bundle_free(b);
	}
	assert_true(looked > 50 && refused > looked / 2);
	assert_null(bundle_read("not a bundle at all", 19, &e));
	assert_non_null(strstr(e.text, "not a bundle"));
	buf_free(&file);
	world_free(w);
}

static void test_replay_is_identical(void **state)
{
	struct record r;
	struct world *w = broken(&r);
	struct buf file = {0};
	struct err e = {0};
	struct replay p;
	char *verdict = verdict_of(&r), *path = mem_printf("%s/x.tar.gz", folder);
	(void)state;
	file_of(&r, verdict, &file);
	save("x.tar.gz", file.data, file.len);
	if (replay(&(struct replay_wish){.path = path}, &p, &e))
		fail_msg("%s", e.text);
	assert_true(p.same);
	assert_int_equal(p.catalogue, REPLAY_SHIPPED);
	assert_true(json_equal(p.was, p.verdict));
	assert_int_equal(p.exit_code, verdict_doc_exit_code(p.was));
	replay_clear(&p);
	assert_int_equal(replay(&(struct replay_wish){.path = path, .why = true}, &p, &e), 0);
	assert_true(p.same);
	assert_non_null(json_object_get(p.verdict, "why"));
	replay_clear(&p);
	free(verdict);
	free(path);
	buf_free(&file);
	world_free(w);
}

static void test_folder_says_what_differs(void **state)
{
	struct record r;
	struct world *w = broken(&r);
	struct buf doc = {0};
	struct err e = {0};
	struct replay p;
	char *verdict = verdict_of(&r);
	(void)state;
	r.catalogue[0] ^= 1;
	assert_int_equal(record_write(&r, &doc, &e), 0);
	save("dossier.json", doc.data, doc.len);
	assert_int_equal(replay(&(struct replay_wish){.path = folder}, &p, &e), 0);
	assert_null(p.was); /* people need not keep it */
	assert_int_equal(p.catalogue, REPLAY_OTHER);
	replay_clear(&p);
	char *took = strstr(verdict, "\"took_ms\": 7");
	assert_non_null(took);
	took[strlen("\"took_ms\": ")] = '8';
	save("verdict.json", verdict, strlen(verdict));
	assert_int_equal(replay(&(struct replay_wish){.path = folder}, &p, &e), 0);
	assert_false(p.same);
	const json_t *differences = json_object_get(p.report, "differences");
	assert_int_equal(json_array_size(differences), 1);
	assert_string_equal(json_string_value(json_object_get(json_array_get(differences, 0), "at")), "took_ms");
	replay_clear(&p);
	save("MANIFEST", "0000  dossier.json\n", 19);
	assert_int_equal(replay(&(struct replay_wish){.path = folder}, &p, &e), -1);
	assert_non_null(strstr(e.text, "MANIFEST"));
	forget("MANIFEST");
	free(verdict);
	buf_free(&doc);
	world_free(w);
}

/* One cause and nothing else: what was named by another catalogue is not known here. */
static void test_carried_catalogue_is_used(void **state)
{
	static const char text[] = "causes:\n- id: my-own\n  title: t\n  explanation: e\n  category: time-agent\n  severity: low\n"
	                           "  platforms: [any]\n  where: [dst]\n  requires: {agent-silent: 1}\n  fix: [{manual: none}]\n";
	struct record r;
	struct world *w = broken(&r);
	struct buf doc = {0};
	struct err e = {0};
	struct replay p;
	(void)state;
	forget("verdict.json");
	digest(text, sizeof text - 1, r.catalogue);
	assert_int_equal(record_write(&r, &doc, &e), 0);
	save("dossier.json", doc.data, doc.len);
	save("catalogue.yaml", text, sizeof text - 1);
	/* its schema is not of interest here: whichever way it comes out, it is this catalogue that was read */
	if (replay(&(struct replay_wish){.path = folder}, &p, &e))
		assert_non_null(strstr(e.text, "catalogue.yaml of the bundle"));
	else
		assert_int_equal(p.catalogue, REPLAY_CARRIED);
	replay_clear(&p);
	buf_free(&doc);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_file_and_back),
	    cmocka_unit_test(test_damage_is_refused),
	    cmocka_unit_test(test_replay_is_identical),
	    cmocka_unit_test(test_folder_says_what_differs),
	    cmocka_unit_test(test_carried_catalogue_is_used),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
