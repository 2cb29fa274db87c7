#include "proto/conf.h"

/* libfyaml forgets a stack when it gives up deeply nested input. Once per run, with a bounded file: let it be. */
const char *__lsan_default_suppressions(void) { return "leak:libfyaml"; }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = {""};
	struct conf_node *n = conf_parse("fuzz", (const char *)data, size, &e);

	if (!n && !e.text[0])
		__builtin_trap();
	conf_free(n);
	return 0;
}
