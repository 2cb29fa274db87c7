/* codes_priv: what the table of codes is made of, for its two halves: reading (codes.c) and search (codes_find.c). */
#ifndef BW_CLI_CODES_PRIV_H
#define BW_CLI_CODES_PRIV_H

#include "collector/cli/codes.h"

#define SYSTEMS_MAX 32
#define WORDS_MAX   64 /* of a phrase or a question; the rest is not looked at */

struct advice {
	const char *id, *text[CODES_LANGS];
};

/* A text taken apart: words of letters, digits, '_' and whatever is not ASCII, in small letters. */
struct words {
	char *text; /* owned: the words, each with its NUL */
	size_t count;
	const char *at[WORDS_MAX];
	bool shouted[WORDS_MAX]; /* stands out from prose: no small letter, or a '_' in it */
};

/* One way to write a code. */
struct phrase {
	const struct code *code;
	struct words words; /* "*" = any words */
	size_t weight;      /* words that are not "*" */
};

struct codes {
	char *text;
	size_t system_count, advice_count, advice_cap, count, cap;
	struct code_system systems[SYSTEMS_MAX];
	struct advice *advice;
	struct code *items;
	size_t phrase_count, phrase_cap;
	struct phrase *phrases;
};

void phrases_make(struct codes *c);
void phrases_free(struct codes *c);

#endif
