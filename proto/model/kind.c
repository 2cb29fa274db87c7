/* kind: one table; the names are those of the contract (bothways.verdict/1). */
#include "proto/model/kind.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const struct kind_info kinds[KIND_COUNT] = {
    [KIND_ARP] = {"arp", PROTO_NEIGH, 4, false, false},
    [KIND_ICMP] = {"icmp", PROTO_ICMP, 4, false, false},
    [KIND_UDP] = {"udp", PROTO_UDP, 4, false, false},
    [KIND_TCP] = {"tcp", PROTO_TCP, 4, false, false},
    [KIND_ICMP_LARGE] = {"icmp_large", PROTO_ICMP, 4, true, false},
    [KIND_UDP_LARGE] = {"udp_large", PROTO_UDP, 4, true, false},
    [KIND_ND] = {"nd", PROTO_NEIGH, 6, false, false},
    [KIND_ICMP6] = {"icmp6", PROTO_ICMP, 6, false, false},
    [KIND_UDP6] = {"udp6", PROTO_UDP, 6, false, false},
    [KIND_TCP6] = {"tcp6", PROTO_TCP, 6, false, false},
    [KIND_ICMP_LARGE6] = {"icmp_large6", PROTO_ICMP, 6, true, false},
    [KIND_UDP_LARGE6] = {"udp_large6", PROTO_UDP, 6, true, false},
    [KIND_SERVICE] = {"service", PROTO_TCP, 4, false, false},
    [KIND_SERVICE6] = {"service6", PROTO_TCP, 6, false, false},
    [KIND_FRAGMENTS] = {"fragments", PROTO_UDP, 4, false, true},
    [KIND_FRAGMENTS6] = {"fragments6", PROTO_UDP, 6, false, true},
};

const struct kind_info *kind_info(enum kind k)
{
	assert((unsigned)k < KIND_COUNT);
	return &kinds[k];
}

int kind_parse(const char *name)
{
	for (int k = 0; k < KIND_COUNT; k++) {
		if (strcmp(kinds[k].name, name) == 0)
			return k;
	}
	return -1;
}

/* ---- words ---- */

#define BOTH(k)   (KIND_BIT(k) | KIND_BIT((k) + KIND_ND))
#define SIZES(k)  (KIND_BIT(k) | KIND_BIT((k)-KIND_ICMP + KIND_ICMP_LARGE))
#define LARGE_4   (KIND_BIT(KIND_ICMP_LARGE) | KIND_BIT(KIND_UDP_LARGE))
#define SMALL_4   (KIND_MASK_4 & ~LARGE_4)
#define SIXTH(m)  ((m) << KIND_ND)
#define NEIGHBOUR BOTH(KIND_ARP)

/* The widest first: each is said when all of it is there. */
static const struct {
	kind_mask kinds;
	const char *words;
} groups[] = {
    {KIND_MASK_4 | KIND_MASK_6 | NEIGHBOUR, "everything"},
    {KIND_MASK_4 | KIND_MASK_6, "IP packets"},
    {KIND_MASK_4, "IPv4 packets"},
    {KIND_MASK_6, "IPv6 packets"},
    {LARGE_4 | SIXTH(LARGE_4), "large packets"},
    {SMALL_4 | SIXTH(SMALL_4), "small packets"},
    {SIZES(KIND_ICMP) | SIXTH(SIZES(KIND_ICMP)), "ICMP"},
    {SIZES(KIND_UDP) | SIXTH(SIZES(KIND_UDP)), "UDP"},
    {BOTH(KIND_TCP), "TCP"},
    {BOTH(KIND_ICMP), "small ICMP"},
    {BOTH(KIND_UDP), "small UDP"},
    {BOTH(KIND_ICMP_LARGE), "large ICMP"},
    {BOTH(KIND_UDP_LARGE), "large UDP"},
    {LARGE_4, "large IPv4 packets"},
    {SIXTH(LARGE_4), "large IPv6 packets"},
    {SIZES(KIND_ICMP), "IPv4 ICMP"},
    {SIXTH(SIZES(KIND_ICMP)), "IPv6 ICMP"},
    {SIZES(KIND_UDP), "IPv4 UDP"},
    {SIXTH(SIZES(KIND_UDP)), "IPv6 UDP"},
    {KIND_BIT(KIND_ARP), "ARP"},
    {KIND_BIT(KIND_ND), "neighbour discovery"},
    {KIND_BIT(KIND_TCP), "IPv4 TCP"},
    {KIND_BIT(KIND_TCP6), "IPv6 TCP"},
    {KIND_BIT(KIND_ICMP), "small IPv4 ICMP"},
    {KIND_BIT(KIND_ICMP6), "small IPv6 ICMP"},
    {KIND_BIT(KIND_ICMP_LARGE), "large IPv4 ICMP"},
    {KIND_BIT(KIND_ICMP_LARGE6), "large IPv6 ICMP"},
    {KIND_BIT(KIND_UDP), "small IPv4 UDP"},
    {KIND_BIT(KIND_UDP6), "small IPv6 UDP"},
    {KIND_BIT(KIND_UDP_LARGE), "large IPv4 UDP"},
    {KIND_BIT(KIND_UDP_LARGE6), "large IPv6 UDP"},
    {KIND_BIT(KIND_SERVICE), "the service over IPv4"},
    {KIND_BIT(KIND_SERVICE6), "the service over IPv6"},
    {KIND_BIT(KIND_FRAGMENTS) | KIND_BIT(KIND_FRAGMENTS6), "fragments"},
    {KIND_BIT(KIND_FRAGMENTS), "IPv4 fragments"},
    {KIND_BIT(KIND_FRAGMENTS6), "IPv6 fragments"},
};

const char *kinds_text(kind_mask mask, char *out, size_t size)
{
	size_t n = 0;
	out[0] = '\0';
	for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
		if ((mask & groups[i].kinds) != groups[i].kinds)
			continue;
		mask &= ~groups[i].kinds;
		if (n < size)
			n += (size_t)snprintf(out + n, size - n, "%s%s", n ? ", " : "", groups[i].words);
	}
	return out;
}
