/* fuzz target: a catalogue as YAML. Whatever it says, it is taken whole or refused with one line. */
#include "collector/diagnose/diagnose.h"
#include "proto/conf.h"

#include "fyaml.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = {0};
	struct conf_node *n = conf_parse("fuzz.yaml", (const char *)data, size, &e);
	struct catalogue *c = n ? catalogue_new(n, "fuzz.yaml", &e) : NULL;
	struct catalogue_entry entry;
	if (!c && !e.text[0])
		abort();
	for (size_t i = 0; c && i < catalogue_count(c); i++) {
		if (!catalogue_get(c, i, &entry) || catalogue_find(c, entry.id) < 0)
			abort();
	}
	catalogue_free(c);
	conf_free(n);
	return 0;
}
