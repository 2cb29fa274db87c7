/* Every folder of tests/replays is judged as it always was: state, causes with place and direction, cuts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "collector/replay.h"
#include "proto/base/mem.h"

#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FOLDER "tests/replays"
#define LEAST  20

static json_t *picked(const json_t *from, const char *const *keys, size_t count)
{
	json_t *o = json_object();
	for (size_t i = 0; i < count; i++) {
		json_t *v = json_object_get(from, keys[i]);
		json_object_set(o, keys[i], v ? v : json_null());
	}
	return o;
}

static json_t *all_picked(const json_t *list, const char *const *keys, size_t count)
{
	json_t *out = json_array();
	for (size_t i = 0; i < json_array_size(list); i++)
		json_array_append_new(out, picked(json_array_get(list, i), keys, count));
	return out;
}

/* Of a verdict, what expected.json speaks of. */
static json_t *essence(const json_t *verdict)
{
	static const char *const CAUSE[] = {"id", "where", "direction"}, *const CUT[] = {"kinds", "after", "before"};
	const json_t *directions = json_object_get(verdict, "directions");
	json_t *cuts = json_array();
	for (size_t i = 0; i < json_array_size(directions); i++)
		json_array_append_new(cuts, all_picked(json_object_get(json_array_get(directions, i), "cuts"), CUT, 3));
	return json_pack("{s:O, s:o, s:o}", "state", json_object_get(verdict, "state"), "causes",
	                 all_picked(json_object_get(verdict, "causes"), CAUSE, 3), "cuts", cuts);
}

/* Says what was expected and what came; true when they are the same. */
static bool is_as_expected(const char *name, const json_t *expected, const json_t *is)
{
	if (expected && json_equal(expected, is))
		return true;
	char *was = json_dumps(expected, JSON_SORT_KEYS), *now = json_dumps(is, JSON_SORT_KEYS);
	fprintf(stderr, "%s\n  expected %s\n  judged   %s\n", name, was ? was : "nothing", now);
	free(was);
	free(now);
	return false;
}

static bool replays_well(const char *name)
{
	char *path = mem_printf(FOLDER "/%s", name), *file = mem_printf("%s/expected.json", path);
	struct replay r;
	struct err e = {0};
	json_t *expected = json_load_file(file, 0, NULL), *is = NULL;
	bool well = false;
	if (replay(&(struct replay_wish){.path = path}, &r, &e)) {
		fprintf(stderr, "%s: %s\n", name, e.text);
	} else {
		is = essence(r.verdict);
		well = is_as_expected(name, expected, is);
		replay_clear(&r);
	}
	json_decref(expected);
	json_decref(is);
	free(path);
	free(file);
	return well;
}

static bool is_folder(const char *name)
{
	char *path = mem_printf(FOLDER "/%s", name);
	struct stat st;
	bool folder = name[0] != '.' && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
	free(path);
	return folder;
}

static void test_every_replay_is_judged_as_it_was(void **state)
{
	struct dirent **names;
	int n = scandir(FOLDER, &names, NULL, alphasort), replays = 0, bad = 0;
	(void)state;
	for (int i = 0; i < n; i++) {
		if (is_folder(names[i]->d_name)) {
			replays++;
			bad += !replays_well(names[i]->d_name);
		}
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	if (bad)
		fail_msg("%d of %d are judged otherwise", bad, replays);
	assert_true(replays >= LEAST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_replay_is_judged_as_it_was)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
