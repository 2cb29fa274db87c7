/* names: what an end takes its peer's name for, and what is said of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "collector/names.h"
#include "tests/unit/scenario.h"

static void text_add(struct world *w, const char *who, const char *name, const char *text)
{
	struct text *t = GROW(facts(w, who)->texts, facts(w, who)->text_count);
	str_copy(t->name, sizeof t->name, name);
	str_copy(t->text, sizeof t->text, text);
}

static void takes(struct world *w, const char *four, const char *six)
{
	text_add(w, "g1", "name.asked", "g2");
	if (four)
		text_add(w, "g1", "name.ip4", four);
	if (six)
		text_add(w, "g1", "name.ip6", six);
}

static void assert_leads(enum name_leads expected, const char *four, const char *six, bool onlink)
{
	struct world *w = world_new("g1", "g2");
	struct name_found found;
	w->d->onlink = onlink;
	add_route(facts(w, "g1"), ROUTE_UNICAST, "0.0.0.0/0", "10.0.0.254", 1);
	if (four || six)
		takes(w, four, six);
	assert_int_equal(name_leads(w->d, PARTY_A, &found), expected);
	world_free(w);
}

static void test_leads(void **state)
{
	(void)state;
	assert_leads(NAME_UNKNOWN, NULL, NULL, true);
	assert_leads(NAME_TO_PEER, "10.0.0.12", NULL, true);
	assert_leads(NAME_TO_PEER, "10.9.9.9 10.0.0.12", "fd00::12", true); /* several addresses, one of them right */
	assert_leads(NAME_ELSEWHERE, "10.0.0.13", NULL, true);              /* another machine's */
	assert_leads(NAME_ELSEWHERE, "10.0.0.77", NULL, false);             /* nobody's, of the peer's own network */
	assert_leads(NAME_ELSEWHERE, "127.0.1.1", NULL, true);
	assert_leads(NAME_ELSEWHERE, "10.0.0.12", "fd00::13", true); /* half of it */
	assert_leads(NAME_ELSEWHERE, NULL, "2001:db8::1", true);     /* there is no way there */
	assert_leads(NAME_OUTSIDE, "203.0.113.5", NULL, true);       /* may well be published by a router */
	assert_leads(NAME_OUTSIDE, "203.0.113.5", "fd00::12", true);
}

static void test_a_name_is_no_command(void **state)
{
	struct world *w = world_new("g1", "g2");
	struct name_found found;
	(void)state;
	text_add(w, "g1", "name.asked", "x/y/e #");
	text_add(w, "g1", "name.ip4", "10.0.0.13");
	assert_int_equal(name_leads(w->d, PARTY_A, &found), NAME_UNKNOWN);
	world_free(w);
}

static void makes_odd(struct world *w)
{
	int dir = dir_of(w, "g1");
	w->v->dir[dir].quality.odds[w->v->dir[dir].quality.odd_count++] = (struct odd){.what = ODD_NAME, .before = 1};
	w->v->state = STATE_DEGRADED;
}
static void by_hosts_file(struct world *w)
{
	takes(w, "10.0.0.13", NULL);
	text_add(w, "g1", "name.hosts", "yes");
	makes_odd(w);
}
static void by_dns(struct world *w)
{
	takes(w, "10.0.0.77", NULL);
	makes_odd(w);
}
static void published(struct world *w)
{
	takes(w, "203.0.113.5", NULL);
	add_route(facts(w, "g1"), ROUTE_UNICAST, "0.0.0.0/0", "10.0.0.254", 1);
	makes_odd(w);
}

static const struct scenario scenarios[] = {
    {"name-resolves-to-wrong-target", "g1", "g2", "g1", by_hosts_file, published, "for a in 10.0.0.12 fd00::12; do echo $a g2"},
    {"name-resolves-to-wrong-target", "g1", "g2", "g1", by_dns, published, "correct the name g2"},
};

static void test_named_first(void **state)
{
	(void)state;
	assert_named_first(scenarios, sizeof scenarios / sizeof *scenarios, true);
}

static void test_alike_not_named(void **state)
{
	(void)state;
	assert_alike_not_named(scenarios, sizeof scenarios / sizeof *scenarios);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_leads),
	    cmocka_unit_test(test_a_name_is_no_command),
	    cmocka_unit_test_setup_teardown(test_named_first, open_catalogue, close_catalogue),
	    cmocka_unit_test_setup_teardown(test_alike_not_named, open_catalogue, close_catalogue),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
