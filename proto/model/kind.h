/* kind: what a probe is. Kind, size and family in one value, because the matrix has one cell for each. */
#ifndef BW_MODEL_KIND_H
#define BW_MODEL_KIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kind {
	KIND_ARP,
	KIND_ICMP,
	KIND_UDP,
	KIND_TCP,
	KIND_ICMP_LARGE,
	KIND_UDP_LARGE,
	KIND_ND,
	KIND_ICMP6,
	KIND_UDP6,
	KIND_TCP6,
	KIND_ICMP_LARGE6,
	KIND_UDP_LARGE6,
	KIND_SERVICE, /* TCP connect to a port the operator named, IPv4 */
	KIND_SERVICE6,
	KIND_FRAGMENTS, /* UDP in a packet that leaves in two fragments; measured in rounds only */
	KIND_FRAGMENTS6,
	KIND_COUNT
};

enum proto { PROTO_NEIGH, PROTO_ICMP, PROTO_UDP, PROTO_TCP }; /* PROTO_NEIGH: ARP or ND */

struct kind_info {
	const char *name; /* the key of the contract: "arp", "icmp", ..., "nd", "icmp6", "icmp_large6" */
	enum proto proto;
	int family;     /* 4 or 6 */
	bool large;     /* as large as the interface carries in one packet */
	bool fragments; /* larger than that */
};

const struct kind_info *kind_info(enum kind k);
/* -1 if there is no such name. */
int kind_parse(const char *name);

typedef uint32_t kind_mask; /* bit per enum kind */
#define KIND_BIT(k) ((kind_mask)1 << (k))
#define KIND_MASK_4                                                                                                                \
	(KIND_BIT(KIND_ICMP) | KIND_BIT(KIND_UDP) | KIND_BIT(KIND_TCP) | KIND_BIT(KIND_ICMP_LARGE) | KIND_BIT(KIND_UDP_LARGE))
#define KIND_MASK_6 (KIND_MASK_4 << KIND_ND)

/* For people, kinds that go together as one: "ICMP, large packets", "everything". */
#define KINDS_TEXT_MAX 256
const char *kinds_text(kind_mask mask, char *out, size_t size);

#endif
