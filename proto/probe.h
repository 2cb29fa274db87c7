/* probe: the header inside a probe packet and its MAC. Pure: bytes in, bytes out.
 * 36 bytes, network order: magic 'BW' | version 1 | kind (bit 7: this is an answer) | pair 4 | epoch 4 | round 8 (0 = watch)
 * | flow 1 | seq 1 | dir 1 (bit 7: an answer is wanted) | reserved 1 | time 4 (sender's monotonic us, for RTT) | MAC 8.
 * The MAC is SipHash-2-4 under the pair key over all that stands before it. */
#ifndef BW_PROBE_H
#define BW_PROBE_H

#include "proto/model/kind.h"
#include "proto/model/plan.h"

#include <stddef.h>

#define PROBE_HEADER_LEN 36
#define PROBE_VERSION    1

struct probe_header {
	uint8_t kind;
	bool answer; /* it is an agent's answer */
	bool wants_answer;
	uint32_t pair, epoch;
	uint64_t round;
	uint8_t flow, seq, dir;
	uint32_t time_us;
};

void probe_write(const struct probe_header *h, const uint8_t key[static PAIR_KEY_LEN], uint8_t out[static PROBE_HEADER_LEN]);
/* Parses without proving: 0, or -1 if it is not a probe header of our version. */
int probe_read(const void *data, size_t len, struct probe_header *out);
/* Is the MAC of this header right under that key? `data` holds at least PROBE_HEADER_LEN bytes. Constant time. */
bool probe_proven(const void *data, const uint8_t key[static PAIR_KEY_LEN]);

#endif
