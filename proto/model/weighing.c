#include "proto/model/weighing.h"

#include <stdlib.h>
#include <string.h>

const char *ledger_part_name(enum ledger_part p)
{
	static const char *const names[LEDGER_PARTS] = {"requires", "supports", "contradicts"};
	return p < LEDGER_PARTS ? names[p] : "?";
}

const char *ledger_answer_name(enum ledger_answer a)
{
	static const char *const names[] = {"no", "yes", "unknown"};
	return a <= LEDGER_UNKNOWN ? names[a] : "?";
}

const char *outcome_name(enum outcome o)
{
	static const char *const names[] = {"ruled-out", "unknown", "weak", "fits", "named"};
	return o <= OUTCOME_NAMED ? names[o] : "?";
}

void ledger_free(struct ledger_line *lines, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(lines[i].name);
		free(lines[i].text);
	}
	free(lines);
}

void weighing_clear(struct weighing *w)
{
	for (size_t i = 0; i < w->count; i++) {
		struct weighed_cause *c = &w->causes[i];
		free(c->id);
		free(c->where);
		free(c->because);
		ledger_free(c->lines, c->line_count);
	}
	free(w->causes);
	memset(w, 0, sizeof *w);
}
