/* scope: what a tenant sees of a verdict in which somebody dropped something. */
#include "collector/scope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

static json_t *first_cut(const json_t *doc)
{
	return json_array_get(json_object_get(json_array_get(json_object_get(doc, "directions"), 0), "cuts"), 0);
}

/* The golden verdict between host1 (fleet) and vm1 (red), dropped by `where`, as the tenant sees it. */
static json_t *cut_seen(const char *tenant, const char *where)
{
	json_t *doc = json_load_file("tests/golden/cli/one-way.json", 0, NULL);
	json_object_set_new(first_cut(doc), "drop_where", json_string(where));
	json_t *scoped = scope_for_tenant(doc, tenant), *cut = json_incref(first_cut(scoped));
	assert_non_null(cut);
	json_decref(doc);
	json_decref(scoped);
	return cut;
}

static bool shows_inside(const json_t *cut)
{
	bool rule = json_object_get(cut, "rule"), at = json_object_get(cut, "drop_at"), dev = json_object_get(cut, "drop_if");
	assert_true(rule == at && at == dev);
	return rule;
}

static void the_rule_of_ones_own_machine_is_shown(void **state)
{
	(void)state;
	json_t *cut = cut_seen("red", "vm1");
	assert_true(shows_inside(cut));
	json_decref(cut);
}

static void the_rules_of_others_are_not(void **state)
{
	(void)state;
	json_t *cut = cut_seen("red", "host1");
	assert_false(shows_inside(cut));
	assert_string_equal(json_string_value(json_object_get(cut, "drop_reason")), "NETFILTER_DROP");
	json_decref(cut);
	cut = cut_seen("blue", "vm1"); /* of another tenant, by the same name */
	assert_false(shows_inside(cut));
	json_decref(cut);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_rule_of_ones_own_machine_is_shown),
	    cmocka_unit_test(the_rules_of_others_are_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
