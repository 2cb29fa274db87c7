/* kind: one table; the names are those of the contract (bothways.verdict/1). */
#include "proto/model/kind.h"

#include <assert.h>
#include <string.h>

static const struct kind_info kinds[KIND_COUNT] = {
    [KIND_ARP] = {"arp", PROTO_NEIGH, 4, false},
    [KIND_ICMP] = {"icmp", PROTO_ICMP, 4, false},
    [KIND_UDP] = {"udp", PROTO_UDP, 4, false},
    [KIND_TCP] = {"tcp", PROTO_TCP, 4, false},
    [KIND_ICMP_LARGE] = {"icmp_large", PROTO_ICMP, 4, true},
    [KIND_UDP_LARGE] = {"udp_large", PROTO_UDP, 4, true},
    [KIND_ND] = {"nd", PROTO_NEIGH, 6, false},
    [KIND_ICMP6] = {"icmp6", PROTO_ICMP, 6, false},
    [KIND_UDP6] = {"udp6", PROTO_UDP, 6, false},
    [KIND_TCP6] = {"tcp6", PROTO_TCP, 6, false},
    [KIND_ICMP_LARGE6] = {"icmp_large6", PROTO_ICMP, 6, true},
    [KIND_UDP_LARGE6] = {"udp_large6", PROTO_UDP, 6, true},
    [KIND_SERVICE] = {"service", PROTO_TCP, 4, false},
    [KIND_SERVICE6] = {"service6", PROTO_TCP, 6, false},
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
