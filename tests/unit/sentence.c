/* The sentence of a verdict: who does not reach whom, with what, in plain words. */
#include "collector/diagnose/inquiry.h"

#include "proto/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ICMP (KIND_BIT(KIND_ICMP) | KIND_BIT(KIND_ICMP_LARGE))
#define ALL  (KIND_MASK_4 | KIND_MASK_6)

struct row {
	enum state state;
	kind_mask lost[2], fail[2];
	const char *text;
};

static void fill(struct direction *d, const char *from, const char *to, kind_mask lost, kind_mask fail)
{
	str_copy(d->from, sizeof d->from, from);
	str_copy(d->to, sizeof d->to, to);
	for (int k = 0; k <= KIND_UDP_LARGE6; k++) {
		d->delivery[k] = lost & KIND_BIT(k) ? CELL_LOST : CELL_OK;
		d->initiation[k] = (lost | fail) & KIND_BIT(k) ? CELL_LOST : CELL_OK;
	}
}

static char *sentence_of(const struct row *r)
{
	struct dossier *d = mem_alloc(sizeof *d);
	struct verdict *v = verdict_new();
	struct problem p = {.unheard = -1};
	str_copy(v->a, sizeof v->a, "h1");
	str_copy(v->b, sizeof v->b, "red/web");
	v->state = r->state;
	fill(&v->dir[0], "h1", "red/web", r->lost[0], r->fail[0]);
	fill(&v->dir[1], "red/web", "h1", r->lost[1], r->fail[1]);
	char *text = sentence_make(d, v, &p);
	verdict_free(v);
	free(d);
	return text;
}

static void it_answers_the_question(void **state)
{
	(void)state;
	static const struct row rows[] = {
	    {STATE_OK, {0}, {0}, "h1 and red/web reach each other both ways."},
	    {STATE_ONE_WAY,
	     {ICMP},
	     {0},
	     "h1 does not reach red/web with IPv4 ICMP; the other way works; the cause is undetermined."},
	    {STATE_ONE_WAY, {0, ALL}, {0}, "red/web does not reach h1; the other way works; the cause is undetermined."},
	    {STATE_ONE_WAY,
	     {0},
	     {ICMP},
	     "h1 cannot open conversations with red/web (IPv4 ICMP), although packets arrive both ways; the cause is "
	     "undetermined."},
	    {STATE_BOTH_WAYS, {ALL, ALL}, {0}, "h1 and red/web do not reach each other, neither way; the cause is undetermined."},
	    {STATE_BOTH_WAYS,
	     {ALL, ICMP},
	     {0},
	     "h1 does not reach red/web, nor does red/web reach h1 with IPv4 ICMP; the cause is undetermined."},
	    {STATE_BOTH_WAYS,
	     {0},
	     {ICMP, ICMP},
	     "Neither h1 nor red/web can open conversations with the other (IPv4 ICMP), although packets arrive; the cause is "
	     "undetermined."},
	    {STATE_DEGRADED, {0}, {0}, "h1 and red/web reach each other, but not as they should; the cause is undetermined."},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char *text = sentence_of(&rows[i]);
		assert_string_equal(text, rows[i].text);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(it_answers_the_question)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
