#include "proto/probe.h"

#include <string.h>

/* What parses must survive being written again, byte for byte where the format has no reserved part. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key[PAIR_KEY_LEN] = {1, 2, 3};
	struct probe_header h, again;
	uint8_t out[PROBE_HEADER_LEN];

	if (probe_read(data, size, &h) < 0)
		return 0;
	probe_proven(data, key);
	probe_write(&h, key, out);
	if (!probe_proven(out, key) || probe_read(out, sizeof out, &again) < 0)
		__builtin_trap();
	if (h.kind != again.kind || h.seq != again.seq || h.round != again.round || h.answer != again.answer)
		__builtin_trap();
	return 0;
}
