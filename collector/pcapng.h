/* pcapng: PURE. Writes the blocks of a capture file (draft-ietf-opsawg-pcapng-02), little-endian, with the options that people see
 * in Wireshark: names, comments, directions, drop counts. Reads nothing. */
#ifndef BW_COLLECTOR_PCAPNG_H
#define BW_COLLECTOR_PCAPNG_H

#include "proto/base/mem.h"
#include "proto/base/mono.h"

#include <stdint.h>

/* Texts may be NULL: then the option is left out. Longer than 65,535 bytes they are cut. */
struct pcapng_section {
	const char *hardware, *os, *application;
	size_t comment_count;
	const char *const *comments;
};
void pcapng_section(struct buf *out, const struct pcapng_section *s);

/* Ethernet, nanoseconds. Interfaces are numbered from 0 in the order they are written. */
struct pcapng_interface {
	const char *name, *description, *os, *comment;
	uint32_t snap_len;
};
void pcapng_interface(struct buf *out, const struct pcapng_interface *i);

enum pcapng_way { PCAPNG_WAY_UNKNOWN, PCAPNG_IN, PCAPNG_OUT };
struct pcapng_packet {
	uint32_t interface;
	struct wall at;
	const uint8_t *bytes;
	uint32_t kept, length; /* length: on the wire */
	enum pcapng_way way;
	const char *comment;
};
void pcapng_packet(struct buf *out, const struct pcapng_packet *p);

struct pcapng_statistics {
	uint32_t interface;
	struct wall at;
	uint64_t received, dropped; /* dropped: by the capture itself */
};
void pcapng_statistics(struct buf *out, const struct pcapng_statistics *s);

#endif
