#include "proto/conf.h"

#include "fyaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = {""};
	struct conf_node *n = conf_parse("fuzz", (const char *)data, size, &e);

	if (!n && !e.text[0])
		__builtin_trap();
	conf_free(n);
	return 0;
}
