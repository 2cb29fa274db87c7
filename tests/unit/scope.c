/* scope: what a tenant sees of a verdict in which somebody dropped something. */
#include "collector/scope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

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

/* ---- lint ---- */

static json_t *lint_seen(const char *tenant)
{
	json_t *doc = json_load_file("tests/golden/cli/lint.json", 0, NULL), *scoped = scope_for_tenant(doc, tenant);
	json_decref(doc);
	return scoped;
}

static const json_t *finding_at(const json_t *doc, size_t i) { return json_array_get(json_object_get(doc, "findings"), i); }

/* Its own machines' findings; where its host has a part in one, what the host said is left out; of others, and how many machines
 * there are, nothing. */
static void a_tenant_sees_the_findings_of_its_own_machines(void **state)
{
	(void)state;
	json_t *doc = lint_seen("red");
	assert_int_equal(json_array_size(json_object_get(doc, "findings")), 2);
	assert_string_equal(json_string_value(json_object_get(finding_at(doc, 0), "machine")), "web");
	assert_non_null(json_object_get(finding_at(doc, 0), "sentence"));
	const json_t *mtu = finding_at(doc, 1);
	assert_string_equal(json_string_value(json_object_get(mtu, "id")), "mtu-drift");
	assert_true(json_is_object(json_object_get(mtu, "fix")));
	assert_false(json_object_get(mtu, "sentence") || json_object_get(mtu, "evidence") || json_object_get(mtu, "other") ||
	             json_object_get(mtu, "zh"));
	char *text = json_dumps(doc, 0);
	assert_null(strstr(text, "hv1"));
	assert_null(strstr(text, "blue"));
	assert_null(strstr(text, "vn-web"));
	assert_null(json_object_get(doc, "machines"));
	free(text);
	json_decref(doc);
}

static void a_tenant_without_findings_sees_none(void **state)
{
	(void)state;
	json_t *doc = lint_seen("green");
	assert_int_equal(json_array_size(json_object_get(doc, "findings")), 0);
	assert_null(json_object_get(doc, "pairs"));
	json_decref(doc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_rule_of_ones_own_machine_is_shown),
	    cmocka_unit_test(the_rules_of_others_are_not),
	    cmocka_unit_test(a_tenant_sees_the_findings_of_its_own_machines),
	    cmocka_unit_test(a_tenant_without_findings_sees_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
