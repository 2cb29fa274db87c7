/* sentence: the answer in plain words: who does not reach whom, with what, where it dies, and why. */
#include "collector/diagnose/inquiry.h"

#include "proto/base/mem.h"

#define IP_KINDS (KIND_MASK_4 | KIND_MASK_6 | KIND_BIT(KIND_SERVICE) | KIND_BIT(KIND_SERVICE6))

static kind_mask bad_of(const uint8_t cells[static KIND_COUNT])
{
	kind_mask bad = 0;
	for (int k = 0; k < KIND_COUNT; k++)
		bad |= cell_is_bad((enum cell)cells[k]) ? KIND_BIT(k) : 0;
	return bad;
}

static bool anything_works(const uint8_t cells[static KIND_COUNT])
{
	for (int k = 0; k < KIND_COUNT; k++)
		if (cells[k] == CELL_OK && KIND_BIT(k) & IP_KINDS)
			return true;
	return false;
}

/* " with ICMP", " (ICMP)"; nothing when it holds for all there is. */
static void which_kinds(const uint8_t cells[static KIND_COUNT], kind_mask bad, bool starts, struct buf *b)
{
	char text[KINDS_TEXT_MAX];
	if (bad && (anything_works(cells) || !(bad & IP_KINDS)))
		buf_printf(b, starts ? " (%s)" : " with %s", kinds_text(bad, text, sizeof text));
}

static void say_one_way(const struct verdict *v, struct buf *b)
{
	int dir = bad_of(v->dir[0].delivery) ? 0 : bad_of(v->dir[1].delivery) ? 1 : -1;
	if (dir >= 0) {
		const struct direction *d = &v->dir[dir];
		buf_printf(b, "%s does not reach %s", d->from, d->to);
		which_kinds(d->delivery, bad_of(d->delivery), false, b);
		buf_puts(b, "; the other way works");
		return;
	}
	const struct direction *d = &v->dir[bad_of(v->dir[0].initiation) ? 0 : 1];
	buf_printf(b, "%s cannot open conversations with %s", d->from, d->to);
	which_kinds(d->initiation, bad_of(d->initiation), true, b);
	buf_puts(b, ", although packets arrive both ways");
}

static void say_both_ways(const struct verdict *v, struct buf *b)
{
	const struct direction *d = v->dir;
	bool arrives = !bad_of(d[0].delivery) || !bad_of(d[1].delivery);
	kind_mask bad[2];
	for (int i = 0; i < 2; i++)
		bad[i] = bad_of(arrives ? d[i].initiation : d[i].delivery);
	const uint8_t *cells[2] = {arrives ? d[0].initiation : d[0].delivery, arrives ? d[1].initiation : d[1].delivery};
	if (bad[0] == bad[1]) {
		buf_printf(
		    b, arrives ? "Neither %s nor %s can open conversations with the other" : "%s and %s do not reach each other",
		    v->a, v->b);
		which_kinds(cells[0], bad[0], arrives, b);
		buf_puts(b, arrives ? ", although packets arrive" : ", neither way");
		return;
	}
	const char *verb = arrives ? "open conversations with" : "reach";
	buf_printf(b, "%s %s %s %s", d[0].from, arrives ? "cannot" : "does not", verb, d[0].to);
	which_kinds(cells[0], bad[0], arrives, b);
	buf_printf(b, ", nor %s %s %s", arrives ? "can" : "does", d[1].from, verb);
	buf_printf(b, " %s", d[1].to);
	which_kinds(cells[1], bad[1], arrives, b);
}

static void say_state(const struct verdict *v, struct buf *b)
{
	switch (v->state) {
	case STATE_OK: buf_printf(b, "%s and %s reach each other both ways", v->a, v->b); break;
	case STATE_ONE_WAY: say_one_way(v, b); break;
	case STATE_BOTH_WAYS: say_both_ways(v, b); break;
	case STATE_DEGRADED: buf_printf(b, "%s and %s reach each other, but not as they should", v->a, v->b); break;
	case STATE_UNDETERMINED: buf_printf(b, "It cannot be told whether %s and %s reach each other", v->a, v->b); break;
	}
}

static void say_place(const struct dossier *d, const struct verdict *v, const struct problem *p, struct buf *b)
{
	char after[POINT_NAME_MAX], before[POINT_NAME_MAX];
	if (!p) {
		buf_puts(b, ": too little could be measured");
	} else if (p->unheard >= 0) {
		const struct party *end = &d->party[p->unheard];
		buf_printf(b, ". The agent of %s %s", end->name,
		           end->online && end->heard ? "was too slow to take part" : "is not heard");
	} else if (p->odd == ODD_NAME) {
		buf_puts(b, ". By address all is well");
	} else if (p->odd) {
		path_point_name(&v->dir[p->dir].path[p->after], after);
		path_point_name(&v->dir[p->dir].path[p->before], before);
		buf_printf(b, ". What is odd (%s) begins between %s and %s", odd_name((enum oddity)p->odd), after, before);
	} else if (p->placed) {
		path_point_name(&v->dir[p->dir].path[p->after], after);
		path_point_name(&v->dir[p->dir].path[p->before], before);
		buf_printf(b, ". %s die between %s and %s",
		           p->partial  ? p->probes ? "Some packets" : "Some answers"
		           : p->probes ? "Packets"
		                       : "Answers",
		           after, before);
	}
}

static void say_cause(const struct cause *c, const char *before, struct buf *b)
{
	buf_printf(b, "%s%s (%s%s%s)", before, c->title, c->where, c->component ? ", " : "", c->component ? c->component : "");
}

char *sentence_make(const struct dossier *d, const struct verdict *v, const struct problem *main)
{
	struct buf b = {0};
	say_state(v, &b);
	if (v->state != STATE_OK) {
		say_place(d, v, main, &b);
		if (v->cause_count)
			say_cause(&v->causes[0], ": ", &b);
		else
			buf_puts(&b, "; the cause is undetermined");
		for (size_t i = 1; i < v->cause_count; i++)
			if (v->causes[i].confidence >= NAMED_FROM)
				say_cause(&v->causes[i], i == 1 ? ". Also: " : "; ", &b);
	}
	buf_puts(&b, ".");
	return b.data;
}
