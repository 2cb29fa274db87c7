/* weighing: the arithmetic behind a verdict, kept only when somebody asks for it: of every place where packets die, every cause
 * that was considered, with each piece of its evidence and what it added. */
#ifndef BW_MODEL_WEIGHING_H
#define BW_MODEL_WEIGHING_H

#include "proto/model/kind.h"

enum ledger_part { LEDGER_REQUIRES, LEDGER_SUPPORTS, LEDGER_CONTRADICTS, LEDGER_PARTS };
const char *ledger_part_name(enum ledger_part p); /* "requires" "supports" "contradicts" */

enum ledger_answer { LEDGER_NO, LEDGER_YES, LEDGER_UNKNOWN };
const char *ledger_answer_name(enum ledger_answer a);

struct ledger_line {
	uint8_t part;   /* enum ledger_part */
	uint8_t answer; /* enum ledger_answer */
	double weight;  /* what it could add, in log-odds */
	double added;   /* what it did */
	char *name, *text;
};

enum outcome {
	OUTCOME_RULED_OUT, /* something required fails, or something contradicts it */
	OUTCOME_UNKNOWN,   /* something required is not known */
	OUTCOME_WEAK,      /* it fits, and that is not enough to name it */
	OUTCOME_FITS,      /* it fits, and another one fits better */
	OUTCOME_NAMED
};
const char *outcome_name(enum outcome o);

struct weighed_cause {
	char *id, *where, *because; /* because: the first thing that fails or is not known; NULL = nothing */
	double prior, shift, agreement, partial, sum, confidence;
	uint8_t outcome; /* enum outcome */
	size_t line_count;
	struct ledger_line *lines;
};

struct weighing { /* one problem */
	uint8_t dir;
	kind_mask kinds;
	bool placed; /* between these two points of the direction's path */
	uint8_t after, before;
	size_t count;
	struct weighed_cause *causes; /* the best first */
};
void weighing_clear(struct weighing *w); /* what it owns */
void ledger_free(struct ledger_line *lines, size_t count);

#endif
