/* frame: messages on a byte stream (unix socket, virtio-serial, vsock) that may start in the middle, break off, or carry
 * garbage. Pure. Layout: magic "\xb7BW\x01" | type 1 | length 3 (big endian, <= RELAY_BYTES_MAX) | CRC-32 4 (of type, length and
 * payload) | payload. A reader that loses its place searches for the next magic; a bad CRC costs one frame and is counted. */
#ifndef BW_FRAME_H
#define BW_FRAME_H

#include "proto/base/mem.h"
#include "proto/model/limits.h"

#include <stdbool.h>

#define FRAME_HEADER_LEN 12

enum frame_type {
	FRAME_DATA = 1,
	FRAME_RESET = 2 /* the sender (re)started: forget the session */,
	FRAME_PING = 3,
	FRAME_PONG = 4
};

struct frame_reader {
	struct buf in;
	size_t at;     /* where reading goes on in `in` */
	size_t credit; /* checksum work a stream of false beginnings may still cause */
	uint64_t skipped_bytes, bad_frames, frames;
};

/* -1 if len > RELAY_BYTES_MAX. */
int frame_write(struct buf *out, uint8_t type, const void *data, size_t len);
/* Adds received bytes; never keeps more than one maximal frame plus what was added. */
void frame_feed(struct frame_reader *r, const void *data, size_t len);
/* The next whole frame: true, with *data lent until the next call on `r`. False: need more. */
bool frame_next(struct frame_reader *r, uint8_t *type, const void **data, size_t *len);
/* The frame that frame_next gave last is given again by the next call. */
void frame_return(struct frame_reader *r, size_t len);
/* What is begun will not be completed (its writer died half-way): give it up and search on behind its first byte. For
 * owners whose stream stayed silent in the middle of a frame. */
void frame_resync(struct frame_reader *r);
static inline bool frame_partial(const struct frame_reader *r) { return r->in.len > r->at; }
void frame_reader_free(struct frame_reader *r);

#endif
