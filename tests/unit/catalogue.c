/* catalogue: what is shipped is whole, and every mistake in one is told with its line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/case_world.h"

static const char *const first_set[] = {"guest-fw-icmp-only",
                                        "guest-fw-inbound-drop",
                                        "guest-fw-egress-drop",
                                        "guest-fw-reject",
                                        "icmp-echo-ignore",
                                        "host-fw-input-drop",
                                        "host-fw-output-drop",
                                        "hypervisor-vm-firewall",
                                        "bridge-nf-forward-drop",
                                        "guest-no-ip",
                                        "wrong-subnet-ip",
                                        "netmask-too-narrow",
                                        "default-gateway-missing",
                                        "rp-filter-strict",
                                        "blackhole-route",
                                        "duplicate-ip-vm-vm",
                                        "duplicate-ip-vm-host",
                                        "arp-spoofing",
                                        "stale-arp-host",
                                        "stale-arp-guest",
                                        "arp-not-answered",
                                        "vnic-link-down",
                                        "guest-nic-admin-down",
                                        "tap-not-in-bridge",
                                        "uplink-missing-from-bridge",
                                        "port-isolation",
                                        "stp-not-forwarding",
                                        "mtu-guest-smaller",
                                        "mtu-physical-path",
                                        "service-not-listening",
                                        "agent-down"};

static void the_first_set_is_there(void **state)
{
	struct catalogue *c = catalogue_shipped();
	(void)state;
	for (size_t i = 0; i < sizeof first_set / sizeof *first_set; i++) {
		struct catalogue_entry e;
		int at = catalogue_find(c, first_set[i]);
		assert_true(at >= 0);
		assert_true(catalogue_get(c, (size_t)at, &e));
		assert_string_equal(e.id, first_set[i]);
		assert_true(e.requires_count > 0 && e.fix_count > 0);
		for (size_t k = 0; k < e.requires_count; k++)
			assert_non_null(evidence_doc(e.requires[k]));
		for (size_t k = 0; k < e.fix_count; k++)
			assert_non_null(e.fixes[k]);
	}
	assert_int_equal(catalogue_find(c, "nothing-of-the-sort"), -1);
	struct catalogue_entry e;
	assert_false(catalogue_get(c, catalogue_count(c), &e));
	catalogue_free(c);
}

/* ---- everything that is shipped is whole ---- */

static int lacks(const struct catalogue_entry *e, bool is_there, const char *what)
{
	if (!is_there)
		fprintf(stderr, "%s: lacks %s\n", e->id, what);
	return !is_there;
}

static bool is_chinese(const char *text)
{
	for (; text && *text; text++) {
		unsigned char c = (unsigned char)*text;
		if (c >= 0xe4 && c <= 0xe9) /* CJK unified ideographs in UTF-8 begin like this */
			return true;
	}
	return false;
}

static int lacking(const struct catalogue *c, const struct catalogue_entry *e)
{
	int n = lacks(e, is_chinese(e->title_zh) && is_chinese(e->explanation_zh), "a title and an explanation in Chinese") +
	        lacks(e, e->source_count > 0, "a source") + lacks(e, e->fix_count > 0, "a fix") +
	        lacks(e, e->platform_count > 0, "platforms") +
	        lacks(e, e->confused_count > 0 || e->unlike, "what it is confused with, or else why with nothing");
	for (size_t i = 0; i < e->confused_count; i++) {
		n += lacks(e, strcmp(e->confused_with[i], e->id) != 0, "another cause to be confused with than itself");
		n += lacks(e, catalogue_find(c, e->confused_with[i]) >= 0, e->confused_with[i]);
	}
	return n;
}

static void every_cause_is_whole(void **state)
{
	struct catalogue *c = catalogue_shipped();
	struct catalogue_entry e;
	int n = 0;
	(void)state;
	for (size_t i = 0; catalogue_get(c, i, &e); i++)
		n += lacking(c, &e);
	catalogue_free(c);
	assert_int_equal(n, 0);
}

/* Users' scripts rely on these names. */
static void every_promised_cause_is_there(void **state)
{
	struct catalogue *c = catalogue_shipped();
	FILE *f = fopen("tests/golden/cause-ids.txt", "re");
	char id[80];
	int promised = 0, missing = 0;
	(void)state;
	assert_non_null(f);
	while (fgets(id, sizeof id, f)) {
		id[strcspn(id, "\n")] = '\0';
		promised++;
		if (catalogue_find(c, id) >= 0)
			continue;
		print_message("not yet: %s\n", id);
		missing++;
	}
	fclose(f);
	catalogue_free(c);
	assert_int_equal(promised, 160);
	assert_int_equal(missing, 0);
}

static struct catalogue *read(const char *text, struct err *e)
{
	memset(e, 0, sizeof *e);
	struct conf_node *n = conf_parse("mine.yaml", text, strlen(text), e);
	struct catalogue *c = n ? catalogue_new(n, "mine.yaml", e) : NULL;
	conf_free(n);
	return c;
}

#define HEAD "causes:\n  - id: x\n    title: t\n    explanation: e\n    category: mtu\n    severity: low\n"
#define REST "    where: [dst]\n    requires: {is-guest: 1}\n    fix:\n      - command: true\n"

static void mistakes_are_told_with_their_line(void **state)
{
	static const struct {
		const char *text, *message;
	} rows[] = {
	    {"other: 1\n", "mine.yaml:1: needs a list named causes"},
	    {"causes:\n  - title: t\n", "mine.yaml:2: needs a text for id"},
	    {HEAD "    where: [dst]\n    requires: {no-such: 1}\n    fix:\n      - command: true\n",
	     "mine.yaml:8: x: unknown evidence no-such"},
	    {HEAD "    where: [nowhere]\n", "mine.yaml:7: x: where is one of"},
	    {HEAD "    where: [dst]\n    requires: {is-guest: heavy}\n", "mine.yaml:8: x: is not a weight: heavy"},
	    {HEAD "    where: [dst]\n    fix:\n      - command: true\n", "mine.yaml:2: x: needs evidence for requires"},
	    {HEAD "    where: [dst]\n    requires: [is-guest]\n", "mine.yaml:2: x: needs a list of 1 to 16 for fix"},
	    {HEAD "    where: [dst]\n    requires: [is-guest]\n    fix:\n      - at: who\n",
	     "mine.yaml:10: x: needs a text for command"},
	    {"causes:\n  - id: x\n    title: t\n    explanation: e\n    category: weather\n    severity: low\n" REST,
	     "mine.yaml:5: x: is no such thing: category"},
	    {"causes:\n  - id: x\n    title: t\n    explanation: e\n    category: mtu\n    severity: dire\n" REST,
	     "mine.yaml:6: x: is no such thing: severity"},
	    {HEAD REST "    asks: [tea]\n", "mine.yaml:11: x: asks for no known stage: tea"},
	    {HEAD REST "    speling: 1\n", "mine.yaml:11: x: unknown part speling"},
	    {HEAD REST "    confused_with: [y]\n", "mine.yaml:2: x: confused_with names no cause of this catalogue: y"},
	    {HEAD REST "  - id: x\n    title: t\n    explanation: e\n    category: mtu\n    severity: low\n" REST,
	     "mine.yaml:11: x: stands twice"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct err e;
		struct catalogue *c = read(rows[i].text, &e);
		if (c || strncmp(e.text, rows[i].message, strlen(rows[i].message)))
			fprintf(stderr, "row %zu: \"%s\" instead of \"%s\"\n", i, e.text, rows[i].message);
		assert_null(c);
		assert_int_equal(strncmp(e.text, rows[i].message, strlen(rows[i].message)), 0);
	}
}

/* A cause made of known evidence needs no C. */
static void a_new_cause_is_data(void **state)
{
	static const char text[] =
	    "causes:\n"
	    "  - id: udp-lost-in-guest\n    title: UDP is lost in the guest\n    explanation: e\n    category: mtu\n    severity: "
	    "low\n"
	    "    where: [dst]\n    requires: {is-guest: 1, lost-arriving: 3}\n    fix:\n      - command: echo {who} {who.if}\n";
	struct err e;
	struct catalogue *c = read(text, &e);
	struct world *w = world_new("h1", "g1");
	(void)state;
	assert_non_null(c);
	cut(w, "h1", "g1:eth0", "g1:socket", K(UDP), 0);
	diagnose(c, w->d, w->v);
	assert_int_equal(w->v->cause_count, 1);
	assert_string_equal(w->v->causes[0].id, "udp-lost-in-guest");
	assert_string_equal(w->v->causes[0].fixes[0].command, "echo g1 eth0");
	assert_string_equal(w->v->causes[0].verify, "bothways diagnose h1 g1");
	world_free(w);
	catalogue_free(c);
}

/* Two causes that fit alike: experience decides between them, and no more than that. */
static void experience_ranks_what_fits(void **state)
{
	static const char text[] =
	    "causes:\n"
	    "  - id: one\n    title: t\n    explanation: e\n    category: mtu\n    severity: low\n"
	    "    where: [dst]\n    requires: {is-guest: 1, lost-arriving: 1}\n    fix:\n      - command: a\n"
	    "  - id: two\n    title: t\n    explanation: e\n    category: mtu\n    severity: low\n"
	    "    where: [dst]\n    requires: {is-guest: 1, lost-arriving: 0.8}\n    fix:\n      - command: a\n"
	    "  - id: wrong\n    title: t\n    explanation: e\n    category: mtu\n    severity: low\n"
	    "    where: [dst]\n    requires: {is-host: 0.9, lost-arriving: 1}\n    fix:\n      - command: a\n"
	    "  - id: weak\n    title: t\n    explanation: e\n    category: mtu\n    severity: low\n"
	    "    where: [dst]\n    requires: {is-guest: 0.4, lost-arriving: 0.5}\n    fix:\n      - command: a\n";
	struct err e;
	struct catalogue *c = read(text, &e);
	struct world *w = world_new("h1", "g1");
	(void)state;
	assert_non_null(c);
	assert_int_equal(catalogue_shift(c, "two", 0.5), 0);
	assert_int_equal(catalogue_shift(c, "wrong", 100), 0);
	assert_int_equal(catalogue_shift(c, "weak", 100), 0);
	assert_int_equal(catalogue_shift(c, "nobody", 1), -1);
	assert_true(catalogue_entry(c, 2)->shift == CATALOGUE_SHIFT_MAX);
	cut(w, "h1", "g1:eth0", "g1:socket", K(UDP), 0);
	diagnose(c, w->d, w->v);
	assert_string_equal(w->v->causes[0].id, "two");
	for (size_t i = 0; i < w->v->cause_count; i++) {
		assert_string_not_equal(w->v->causes[i].id, "wrong");
		assert_string_not_equal(w->v->causes[i].id, "weak");
	}
	world_free(w);
	catalogue_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_first_set_is_there),        cmocka_unit_test(every_cause_is_whole),
	    cmocka_unit_test(every_promised_cause_is_there), cmocka_unit_test(mistakes_are_told_with_their_line),
	    cmocka_unit_test(a_new_cause_is_data),           cmocka_unit_test(experience_ranks_what_fits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
