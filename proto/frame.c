#include "proto/frame.h"

#include <string.h>

#define BODY_OFFSET 4 /* the CRC covers type and length, then the payload */
#define CRC_OFFSET  8
#define RESCANS     8 /* how often a byte may be looked at again, on average */
#define CREDIT_MAX  (8 * RELAY_BYTES_MAX)

static const uint8_t magic[4] = {0xb7, 'B', 'W', 0x01};

/* CRC-32 as of IEEE 802.3, four bits at a time: frames are few and a small table is cheap to keep in cache. */
static uint32_t crc32_add(uint32_t crc, const uint8_t *p, size_t len)
{
	static const uint32_t table[16] = {
	    0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
	    0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};

	for (size_t i = 0; i < len; i++) {
		crc = table[(crc ^ p[i]) & 15] ^ crc >> 4;
		crc = table[(crc ^ p[i] >> 4) & 15] ^ crc >> 4;
	}
	return crc;
}

static uint32_t frame_crc(const uint8_t *frame, size_t len)
{
	uint32_t crc = crc32_add(0xffffffff, frame + BODY_OFFSET, CRC_OFFSET - BODY_OFFSET);

	return ~crc32_add(crc, frame + FRAME_HEADER_LEN, len);
}

static size_t frame_len(const uint8_t *frame) { return (size_t)frame[5] << 16 | (size_t)frame[6] << 8 | frame[7]; }

static uint32_t frame_crc_told(const uint8_t *f)
{
	return (uint32_t)f[8] << 24 | (uint32_t)f[9] << 16 | (uint32_t)f[10] << 8 | f[11];
}

int frame_write(struct buf *out, uint8_t type, const void *data, size_t len)
{
	uint8_t head[FRAME_HEADER_LEN] = {magic[0], magic[1], magic[2], magic[3], type};
	size_t at = out->len;
	uint32_t crc;
	uint8_t *frame;

	if (len > RELAY_BYTES_MAX)
		return -1;
	head[5] = (uint8_t)(len >> 16);
	head[6] = (uint8_t)(len >> 8);
	head[7] = (uint8_t)len;
	buf_add(out, head, sizeof head);
	buf_add(out, data, len);
	frame = (uint8_t *)out->data + at;
	crc = frame_crc(frame, len);
	for (int i = 0; i < 4; i++)
		frame[CRC_OFFSET + i] = (uint8_t)(crc >> (24 - 8 * i));
	return 0;
}

static size_t kept(const struct frame_reader *r) { return r->in.len - r->at; }

static void skip(struct frame_reader *r, size_t len)
{
	r->skipped_bytes += len;
	r->at += len;
}

void frame_feed(struct frame_reader *r, const void *data, size_t len)
{
	buf_consume(&r->in, r->at);
	r->at = 0;
	buf_add(&r->in, data, len);
	r->credit += len * RESCANS;
	if (r->credit > CREDIT_MAX)
		r->credit = CREDIT_MAX;
}

/* Drops what stands before the next possible magic. */
static void magic_seek(struct frame_reader *r)
{
	const uint8_t *p = (const uint8_t *)r->in.data + r->at;
	size_t len = kept(r), at = 0;

	while (at < len && memcmp(p + at, magic, len - at < sizeof magic ? len - at : sizeof magic) != 0)
		at++;
	skip(r, at);
}

/* The frame is wrong, and so may be its length: a good one may begin within it. Searching there costs another checksum
 * over the same bytes, so a stream made of false beginnings gets only so much of it. */
static void frame_reject(struct frame_reader *r, size_t len)
{
	bool search = len > RELAY_BYTES_MAX || r->credit >= len;

	r->bad_frames++;
	if (len <= RELAY_BYTES_MAX && search)
		r->credit -= len;
	skip(r, search ? 1 : FRAME_HEADER_LEN + len);
}

bool frame_next(struct frame_reader *r, uint8_t *type, const void **data, size_t *len)
{
	for (;;) {
		const uint8_t *f;
		size_t n;

		magic_seek(r);
		if (kept(r) < FRAME_HEADER_LEN)
			return false;
		f = (const uint8_t *)r->in.data + r->at;
		n = frame_len(f);
		if (n <= RELAY_BYTES_MAX && kept(r) < FRAME_HEADER_LEN + n)
			return false;
		if (n > RELAY_BYTES_MAX || frame_crc(f, n) != frame_crc_told(f)) {
			frame_reject(r, n);
			continue;
		}
		r->frames++;
		r->at += FRAME_HEADER_LEN + n;
		*type = f[4];
		*data = f + FRAME_HEADER_LEN;
		*len = n;
		return true;
	}
}

void frame_return(struct frame_reader *r, size_t len)
{
	r->at -= FRAME_HEADER_LEN + len;
	r->frames--;
}

void frame_resync(struct frame_reader *r)
{
	if (kept(r) == 0)
		return;
	r->bad_frames++;
	skip(r, 1);
}

void frame_reader_free(struct frame_reader *r)
{
	buf_free(&r->in);
	*r = (struct frame_reader){0};
}
