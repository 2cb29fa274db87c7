/* Any bytes decode or are refused; what was decoded can be sent, and then decodes again. */
#include "proto/wire.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf first = {0}, second = {0};
	struct msg *m = wire_decode(data, size, NULL);
	if (m && m->type != MSG_UNKNOWN) {
		/* it may have grown beyond the limit: what was absent has defaults now */
		if (wire_encode(m, &first, NULL) == 0) {
			struct msg *back = wire_decode(first.data, first.len, NULL);
			if (!back || back->type != m->type || wire_encode(back, &second, NULL) != 0)
				abort();
			msg_free(back);
		}
	}
	msg_free(m);
	buf_free(&first);
	buf_free(&second);
	return 0;
}
