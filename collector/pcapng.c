#include "collector/pcapng.h"

#include <string.h>

#define OPTION_LEN_MAX 65535

enum { BLOCK_SECTION = 0x0a0d0d0a, BLOCK_INTERFACE = 1, BLOCK_STATISTICS = 5, BLOCK_PACKET = 6 };
enum { MAGIC = 0x1a2b3c4d, VERSION_MAJOR = 1, LINK_ETHERNET = 1, RESOLUTION_NANO = 9 };
enum {
	OPTION_END = 0,
	OPTION_COMMENT = 1,
	SECTION_HARDWARE = 2,
	SECTION_OS = 3,
	SECTION_APPLICATION = 4,
	INTERFACE_NAME = 2,
	INTERFACE_DESCRIPTION = 3,
	INTERFACE_RESOLUTION = 9,
	INTERFACE_OS = 12,
	PACKET_FLAGS = 2,
	STATISTICS_RECEIVED = 4,
	STATISTICS_DROPPED = 5
};

static void put16(struct buf *b, uint32_t v)
{
	const uint8_t bytes[2] = {(uint8_t)v, (uint8_t)(v >> 8)};

	buf_add(b, bytes, sizeof bytes);
}

static void put32(struct buf *b, uint32_t v)
{
	put16(b, v & 0xffff);
	put16(b, v >> 16);
}

static void put64(struct buf *b, uint64_t v)
{
	put32(b, (uint32_t)v);
	put32(b, (uint32_t)(v >> 32));
}

/* A time stands as its upper, then its lower half: section 4.3. */
static void put_time(struct buf *b, struct wall at)
{
	put32(b, (uint32_t)((uint64_t)at.ns >> 32));
	put32(b, (uint32_t)at.ns);
}

static void put_padded(struct buf *b, const void *data, size_t len)
{
	static const uint8_t zeros[3];

	if (len)
		buf_add(b, data, len);
	buf_add(b, zeros, (4 - len % 4) % 4);
}

/* ---- blocks: type and length before, the length again behind ---- */

static size_t block_begin(struct buf *b, uint32_t type)
{
	size_t at = b->len;

	put32(b, type);
	put32(b, 0);
	return at;
}

static void block_end(struct buf *b, size_t at)
{
	uint32_t len = (uint32_t)(b->len - at) + 4;

	for (int i = 0; i < 4; i++)
		b->data[at + 4 + (size_t)i] = (char)(len >> 8 * i);
	put32(b, len);
}

/* ---- options ---- */

static void option(struct buf *b, uint32_t code, const void *data, size_t len)
{
	put16(b, code);
	put16(b, (uint32_t)len);
	put_padded(b, data, len);
}

/* Never half a character: what is cut in the middle of one is cut before it. */
static size_t text_len(const char *s)
{
	size_t len = strlen(s);

	if (len <= OPTION_LEN_MAX)
		return len;
	len = OPTION_LEN_MAX;
	while (len && ((unsigned char)s[len] & 0xc0) == 0x80)
		len--;
	return len;
}

static void option_text(struct buf *b, uint32_t code, const char *text)
{
	if (text && *text)
		option(b, code, text, text_len(text));
}

static void option64(struct buf *b, uint32_t code, uint64_t v)
{
	put16(b, code);
	put16(b, 8);
	put64(b, v);
}

static void options_end(struct buf *b) { put32(b, OPTION_END); }

/* ---- the blocks ---- */

void pcapng_section(struct buf *out, const struct pcapng_section *s)
{
	size_t at = block_begin(out, BLOCK_SECTION);

	put32(out, MAGIC);
	put16(out, VERSION_MAJOR);
	put16(out, 0);
	put64(out, UINT64_MAX); /* the section's length: up to the end of the file */
	for (size_t i = 0; i < s->comment_count; i++)
		option_text(out, OPTION_COMMENT, s->comments[i]);
	option_text(out, SECTION_HARDWARE, s->hardware);
	option_text(out, SECTION_OS, s->os);
	option_text(out, SECTION_APPLICATION, s->application);
	options_end(out);
	block_end(out, at);
}

void pcapng_interface(struct buf *out, const struct pcapng_interface *i)
{
	const uint8_t resolution = RESOLUTION_NANO;
	size_t at = block_begin(out, BLOCK_INTERFACE);

	put16(out, LINK_ETHERNET);
	put16(out, 0);
	put32(out, i->snap_len);
	option_text(out, OPTION_COMMENT, i->comment);
	option_text(out, INTERFACE_NAME, i->name);
	option_text(out, INTERFACE_DESCRIPTION, i->description);
	option(out, INTERFACE_RESOLUTION, &resolution, sizeof resolution);
	option_text(out, INTERFACE_OS, i->os);
	options_end(out);
	block_end(out, at);
}

void pcapng_packet(struct buf *out, const struct pcapng_packet *p)
{
	size_t at = block_begin(out, BLOCK_PACKET);

	put32(out, p->interface);
	put_time(out, p->at);
	put32(out, p->kept);
	put32(out, p->length);
	put_padded(out, p->bytes, p->kept);
	option_text(out, OPTION_COMMENT, p->comment);
	if (p->way != PCAPNG_WAY_UNKNOWN) {
		put16(out, PACKET_FLAGS);
		put16(out, 4);
		put32(out, p->way);
	}
	options_end(out);
	block_end(out, at);
}

void pcapng_statistics(struct buf *out, const struct pcapng_statistics *s)
{
	size_t at = block_begin(out, BLOCK_STATISTICS);

	put32(out, s->interface);
	put_time(out, s->at);
	option64(out, STATISTICS_RECEIVED, s->received);
	option64(out, STATISTICS_DROPPED, s->dropped);
	options_end(out);
	block_end(out, at);
}
