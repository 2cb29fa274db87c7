/* capture_filter: the program by which the kernel tells frames of one round from all others, before anything is copied:
 * probes and answers by the header in them, TCP and answers without a header by their ports or identifier, ARP and neighbour
 * discovery by the addresses asked for, all ICMP errors; behind up to two VLAN tags in the frame (one that the kernel took out is
 * not in the way), and the same within VXLAN, GENEVE and GRE on any port and either family. It may let too much through: what a
 * frame is, packet_match decides. */
#ifndef BW_AGENT_CAPTURE_FILTER_H
#define BW_AGENT_CAPTURE_FILTER_H

#include "proto/model/plan.h"

#include <linux/filter.h>

/* The program, for listeners_open; `snap` bytes are kept of each frame. The caller frees *out. Returns its length. */
size_t capture_filter(const struct round_spec *spec, unsigned snap, struct sock_filter **out);

#endif
