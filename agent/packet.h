/* packet: PURE. What is this captured frame? Ethernet (802.1Q/ad tags in the frame or handed aside), ARP, IPv4, IPv6, ICMP,
 * ICMPv6, UDP, TCP, packets quoted in ICMP errors, VXLAN's inner packet. Every length is checked before reading. */
#ifndef BW_AGENT_PACKET_H
#define BW_AGENT_PACKET_H

#include "proto/model/observation.h"
#include "proto/model/plan.h"
#include "proto/probe.h"

struct packet {
	struct mac src, dst;
	uint16_t vlan;      /* 0 = none */
	uint16_t ethertype; /* behind the tags */
	struct ip ip_src, ip_dst;
	uint8_t l4; /* IPPROTO_* */
	uint8_t ttl;
	uint16_t sport, dport; /* TCP, UDP */
	uint8_t tcp_flags;
	uint32_t tcp_seq;
	uint8_t icmp_type, icmp_code;
	uint16_t icmp_id, icmp_seq;
	uint32_t icmp_mtu;
	bool fragment; /* not the first one */
	struct {
		uint16_t op;
		struct mac sha, tha;
		struct ip spa, tpa;
	} arp;
	struct {
		struct ip target;
		struct mac lladdr;
	} nd;           /* NS, NA */
	bool has_probe; /* a probe header was found where its kind has it */
	struct probe_header probe;
	bool has_quoted; /* ICMP error: the packet it is about */
	struct {
		struct ip src, dst;
		uint8_t l4;
		uint16_t sport, dport, icmp_id, icmp_seq;
	} quoted;
	bool tunneled; /* this is the inner packet of a VXLAN frame */
};

/* `vlan_aside`: tag the kernel took out of the frame, 0 = none. -1 = malformed or not a frame of ours to care for. */
int packet_parse(const void *frame, size_t len, uint16_t vlan_aside, struct packet *out);

/* The sequence of an answer that does not name the question it answers: ARP replies and neighbour advertisements. */
#define PACKET_SEQ_UNKNOWN 255

/* Which probe of the round is it, and is it the probe, its answer, or a refusal? -1 = none of it. A probe header of this
 * round decides; else the tuples of the flows do. Of a TCP connection only SYN, SYN+ACK and a refusing RST count. */
int packet_match(const struct packet *p, const struct flow *flows, size_t flow_count, uint64_t round, uint8_t *flow, uint8_t *seq,
                 int *part /* enum flow_part */);

#endif
