/* packet: PURE. What is this captured frame? Ethernet (802.1Q/ad tags in the frame or handed aside), ARP, IPv4, IPv6, ICMP,
 * ICMPv6, UDP, TCP, packets quoted in ICMP errors, the inner packet of VXLAN and GENEVE (known by their shape, whatever the port)
 * and of GRE that carries Ethernet. Every length is checked before reading. Checksums are not: on the machine that sends, they
 * are often not made yet. */
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
	uint32_t tcp_seq, tcp_ack;
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
		uint32_t tcp_seq;
	} quoted;
	bool probe_damaged; /* behind the probe header stands what is never sent there */
	bool tunneled;      /* this is the inner packet of a tunnel; `vlan` is its own tag */
};

/* `vlan_aside`: tag the kernel took out of the frame, 0 = none. -1 = malformed or not a frame of ours to care for. */
int packet_parse(const void *frame, size_t len, uint16_t vlan_aside, struct packet *out);

/* The sequence of an answer that does not name the question it answers: ARP replies and neighbour advertisements. */
#define PACKET_SEQ_UNKNOWN 255

/* Which probe of the round is it, and is it the probe, its answer, or a refusal? -1 = none of it. A probe header of this
 * round decides, whatever NAT made of addresses and ports. TCP has none: there the tuples of the flows decide, and one of the
 * two addresses may be another one (NAT); a source port that was changed, too, makes it unrecognisable. What claims to be a probe
 * over ICMP or UDP without a header is not one. Of a TCP connection only SYN, SYN+ACK and a refusing RST count.
 * Of a fragmented packet the first fragment counts: a point that saw it did not necessarily see the rest, so nothing that
 * captures see is ever taken for delivery; that is what the receiver's socket says. */
int packet_match(const struct packet *p, const struct flow *flows, size_t flow_count, uint64_t round, uint8_t *flow, uint8_t *seq,
                 int *part /* enum flow_part */);
/* A match by TCP's ports that only one address confirms: NAT, or somebody else's connection with the same ports. They are told
 * apart by the connection's first sequence number (of the SYN; of what answers or quotes it, the same), which NAT leaves alone. */
bool packet_is_half(const struct packet *p, const struct flow *f, uint32_t *first_number);

#endif
