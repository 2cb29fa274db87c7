#include "proto/frame.h"

/* The first byte says in what pieces the rest arrives. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame_reader r = {0};
	size_t step = size ? (size_t)data[0] + 1 : 1, len;
	const void *frame;
	uint8_t type;

	for (size_t at = 1; at < size; at += step) {
		frame_feed(&r, data + at, size - at < step ? size - at : step);
		while (frame_next(&r, &type, &frame, &len))
			if (len > RELAY_BYTES_MAX)
				__builtin_trap();
		if (r.in.len - r.at > RELAY_BYTES_MAX + FRAME_HEADER_LEN)
			__builtin_trap();
	}
	frame_reader_free(&r);
	return 0;
}
