/* codes: what error numbers, ICMP types, drop reasons, event ids and messages of hypervisors mean, as a table that is compiled in
 * (codes/, a file per platform), and the search in it. PURE: no collector is asked. Texts are in English [LANG_EN] and Chinese
 * [LANG_ZH].
 *
 * The table: lines of fields between tabs. What a line is, is said by its first field:
 *   system  id  title  title, zh  sources  words by which a question names it
 *   advice  id  text  text, zh                                      what to look at next
 *   ID      code  number  aliases (" ; " between, * stands for any words)  meaning  meaning, zh  causes  advice   a code of system
 * ID Lines that begin with # and empty ones are left out. */
#ifndef BW_CLI_CODES_H
#define BW_CLI_CODES_H

#include "proto/base/err.h"

#include <stdbool.h>
#include <stddef.h>

#define CODES_LANGS     2
#define CODES_QUERY_MAX 1024 /* bytes of a question that are looked at */
#define CODES_FOUND_MAX 16
#define CODE_ADVICE_MAX 4
#define CODE_CAUSES_MAX 8

struct code_system {
	const char *id, *title[CODES_LANGS], *sources, *words;
	size_t count; /* codes of it */
};

struct code {
	const struct code_system *system;
	const char *code, *number, *aliases; /* "" = none */
	const char *meaning[CODES_LANGS];
	size_t cause_count, advice_count;
	const char *causes[CODE_CAUSES_MAX]; /* ids of the catalogue */
	const char *advice[CODE_ADVICE_MAX][CODES_LANGS];
};

struct codes;
/* NULL and "codes: line N: what is wrong". */
struct codes *codes_parse(const char *text, size_t len, struct err *e);
struct codes *codes_builtin(void);
void codes_free(struct codes *c);
size_t codes_count(const struct codes *c);
const struct code *codes_at(const struct codes *c, size_t i);
size_t codes_system_count(const struct codes *c);
const struct code_system *codes_system_at(const struct codes *c, size_t i);

enum codes_match { CODES_NONE, CODES_EXACT, CODES_NEAR };
struct codes_found {
	enum codes_match how;
	size_t count;
	const struct code *items[CODES_FOUND_MAX]; /* best first */
};
/* `query`: a number (decimal or hex, also an HRESULT), a name, "icmp 3/13", or a whole line that holds one of these or a message.
 * A number that several systems use finds them all. When nothing is exact: what comes near. */
void codes_find(const struct codes *c, const char *query, struct codes_found *out);

#endif
