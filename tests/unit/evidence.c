/* evidence: the statements themselves: names, documentation, and the corners that no whole scenario shows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/case_world.h"

static const struct evidence_table *const tables[] = {&evidence_place, &evidence_filter, &evidence_address,
                                                      &evidence_neigh, &evidence_link,   &evidence_agent};

static void every_one_is_documented_once(void **state)
{
	(void)state;
	for (size_t t = 0; t < 6; t++) {
		for (size_t i = 0; i < tables[t]->count; i++) {
			const struct evidence *e = &tables[t]->items[i];
			assert_true(e->doc[0] && e->reads[0]);
			assert_ptr_equal(evidence_find(e->name), e); /* the first of that name */
			assert_string_equal(evidence_doc(e->name), e->doc);
		}
	}
	assert_null(evidence_doc("no-such-thing"));
}

static struct finding ask(struct world *w, size_t problem, const char *who, const char *name, struct bindings *b)
{
	struct problem p[PROBLEMS_MAX];
	struct hits *h = mem_alloc(sizeof *h);
	struct finding f = {.is = TRI_NO};
	assert_true(problems_find(w->d, w->v, p, PROBLEMS_MAX) > problem);
	hits_find(w->d, w->v, &p[problem], h);
	struct inquiry q = {.d = w->d,
	                    .v = w->v,
	                    .p = &p[problem],
	                    .hits = h,
	                    .src = dir_src(p[problem].dir),
	                    .dst = dir_dst(p[problem].dir),
	                    .who = party(w, who),
	                    .learned = b};
	evidence_find(name)->find(&q, &f);
	free(h);
	return f;
}

/* Nothing that evidence says depends on facts being there: without them it is unknown or no, never a crash or a yes. */
static void without_facts_nothing_is_claimed(void **state)
{
	static const char *const may[] = {"is-guest", "is-host", "kernel-answers", "agent-answers", "agent-refused", NULL};
	(void)state;
	struct world *w = world_new("h1", "g1");
	cut(w, "h1", "h1:br0", "h1:v1", ALL, 0);
	silence(w, "h1");
	silence(w, "g1");
	for (size_t t = 1; t < 6; t++) {
		for (size_t i = 0; i < tables[t]->count; i++) {
			struct bindings b = {0};
			const char *const *m = may;
			const struct finding f = ask(w, 0, "g1", tables[t]->items[i].name, &b);
			while (*m && strcmp(*m, tables[t]->items[i].name))
				m++;
			assert_true(*m || f.is != TRI_YES);
			bindings_free(&b);
		}
	}
	world_free(w);
}

static void a_partial_rule_explains_partial_loss(void **state)
{
	(void)state;
	for (int partial = 0; partial < 2; partial++) {
		struct bindings b = {0};
		struct world *w = world_new("h1", "g1");
		struct fw_chain *c = add_chain(facts(w, "g1"), "inet", "f", "in", "input", FW_ACCEPT);
		match_number(add_rule(c, FW_DROP, "numgen random mod 10 < 3 drop"), FW_RANDOM, 0, 0);
		cut(w, "h1", "g1:eth0", "g1:socket", K(UDP), 0)->partial = partial;
		assert_int_equal(ask(w, 0, "g1", "filter-drops", &b).is, partial ? TRI_YES : TRI_UNKNOWN);
		bindings_free(&b);
		world_free(w);
	}
}

static void a_counter_that_grew_settles_a_doubt(void **state)
{
	struct bindings b = {0};
	struct world *w = world_new("h1", "g1");
	struct fw_rule *r = add_rule(add_chain(facts(w, "g1"), "inet", "f", "in", "input", FW_ACCEPT), FW_DROP, "@blocked drop");
	(void)state;
	match_number(r, FW_UNKNOWN, 0, 0);
	r->has_counter = true;
	w->old[party(w, "g1")] = snapshot_copy(facts(w, "g1"));
	w->d->party[party(w, "g1")].before = w->old[party(w, "g1")];
	cut(w, "h1", "g1:eth0", "g1:socket", K(UDP), 0);
	assert_int_equal(ask(w, 0, "g1", "filter-drops", &b).is, TRI_UNKNOWN);
	r->packets = 3;
	assert_int_equal(ask(w, 0, "g1", "filter-drops", &b).is, TRI_YES);
	bindings_free(&b);
	world_free(w);
}

static void the_kernels_word_stands_for_unreadable_rules(void **state)
{
	struct bindings b = {0};
	struct world *w = world_new("h1", "g1");
	(void)state;
	facts(w, "g1")->firewall_known = FW_NO_RIGHTS;
	struct cut *c = cut(w, "h1", "g1:eth0", "g1:socket", K(UDP), 0);
	assert_int_equal(ask(w, 0, "g1", "filter-drops", &b).is, TRI_UNKNOWN);
	str_copy(c->drop_reason, sizeof c->drop_reason, "NETFILTER_DROP");
	assert_int_equal(ask(w, 0, "g1", "filter-drops", &b).is, TRI_YES);
	bindings_free(&b);
	world_free(w);
}

/* A rule behind the place where the packets die has nothing to do with it. */
static void only_rules_on_the_stretch_count(void **state)
{
	struct bindings b = {0};
	struct world *w = world_new("g1", "h1");
	(void)state;
	add_chain(facts(w, "h1"), "inet", "f", "in", "input", FW_DROP);
	cut(w, "g1", "h1:v1", "h1:br0", IP4, 0);
	assert_int_equal(ask(w, 0, "h1", "filter-stops", &b).is, TRI_NO);
	world_free(w);
	w = world_new("g1", "h1");
	add_chain(facts(w, "h1"), "inet", "f", "in", "input", FW_DROP);
	cut(w, "g1", "h1:v1", "h1:socket", IP4, 0); /* nobody looked at the bridge */
	assert_int_equal(ask(w, 0, "h1", "filter-stops", &b).is, TRI_YES);
	bindings_free(&b);
	world_free(w);
}

static void waiting_conversations_go_with_their_neighbour(void **state)
{
	struct problem p[PROBLEMS_MAX];
	struct world *w = world_new("h1", "g1");
	(void)state;
	cut(w, "g1", "g1:socket", "g1:eth0", 0, K(ARP));
	fails(w, "h1", K(ARP) | IP4, CELL_LOST);
	assert_int_equal(problems_find(w->d, w->v, p, PROBLEMS_MAX), 2);
	unresolved(w, "h1", IP4);
	assert_int_equal(problems_find(w->d, w->v, p, PROBLEMS_MAX), 1);
	assert_int_equal(p[0].answers, K(ARP));
	assert_int_equal(p[0].starts, IP4);
	world_free(w);
}

static void templates(void **state)
{
	struct bindings b = {0};
	(void)state;
	bindings_add(&b, "one", "1");
	bindings_add(&b, "many", "a");
	bindings_add(&b, "many", "b");
	bindings_add(&b, "many", "a"); /* once each */
	static const struct {
		const char *in, *out;
	} rows[] = {{"x {one} y", "x 1 y"},
	            {"x {many} {one}", "x a 1 && x b 1"},
	            {"{ echo, reply } {one}", "{ echo, reply } 1"},
	            {"no {none}", NULL},
	            {"{many", "{many"},
	            {"plain", "plain"},
	            {"{}", "{}"}};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char *text = template_fill(rows[i].in, &b);
		if (rows[i].out)
			assert_string_equal(text, rows[i].out);
		else
			assert_null(text);
		free(text);
	}
	bindings_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_one_is_documented_once),
	    cmocka_unit_test(without_facts_nothing_is_claimed),
	    cmocka_unit_test(a_partial_rule_explains_partial_loss),
	    cmocka_unit_test(a_counter_that_grew_settles_a_doubt),
	    cmocka_unit_test(the_kernels_word_stands_for_unreadable_rules),
	    cmocka_unit_test(only_rules_on_the_stretch_count),
	    cmocka_unit_test(waiting_conversations_go_with_their_neighbour),
	    cmocka_unit_test(templates),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
