/* fuzz target: a question to `bothways explain`, and a table of codes. Every question is answered; every table is taken whole or
 * refused with one line. */
#include "collector/cli/codes.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void ask(const struct codes *c, const char *question)
{
	struct codes_found f;
	codes_find(c, question, &f);
	if ((f.how == CODES_NONE) != (f.count == 0) || f.count > CODES_FOUND_MAX)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct codes *builtin;
	struct err e = {0};
	char *text = calloc(1, size + 1);
	if (!text)
		return 0;
	memcpy(text, data, size);
	if (!builtin)
		builtin = codes_builtin();
	ask(builtin, text);
	struct codes *own = codes_parse(text, size, &e);
	if (!own && !e.text[0])
		abort();
	if (own)
		ask(own, "113 a");
	codes_free(own);
	free(text);
	return 0;
}
