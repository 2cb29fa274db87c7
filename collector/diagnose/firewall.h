/* firewall: PURE. What a ruleset, as read into a snapshot, does to one packet. Every match is three-valued: yes, no, or cannot
 * tell; so is the answer. It does not rewrite packets: NAT is taken as "goes on". */
#ifndef BW_COLLECTOR_FIREWALL_H
#define BW_COLLECTOR_FIREWALL_H

#include "proto/model/snapshot.h"

enum tri { TRI_NO, TRI_YES, TRI_UNKNOWN };

struct fw_span { /* any number between the two, both included */
	uint32_t lo, hi;
};

struct fw_packet {
	uint16_t ethertype; /* 0x0800, 0x86dd, 0x0806 */
	uint8_t l4proto;    /* IPPROTO_*; nothing for ARP */
	struct ip src, dst; /* ARP: sender and target protocol address; src may be family 0 (0.0.0.0) */
	struct fw_span sport, dport;
	uint8_t icmp_type; /* ICMP or ICMPv6 */
	uint8_t tcp_flags; /* as FW_TCP_FLAGS */
	uint8_t arp_op;
	uint8_t ct;                  /* FW_CT_*: what connection tracking would call it */
	struct fw_span length;       /* of the IP packet */
	struct mac eth_src, eth_dst; /* all zero: not known */
	const char *iif, *oif;       /* "" = none at this hook */
	const char *in_bridge, *out_bridge;
};

enum fw_layer { FW_LAYER_IP /* ip, ip6, inet; arp for ARP */, FW_LAYER_BRIDGE, FW_LAYER_NETDEV };

enum fw_outcome { FW_PASSES, FW_MAY_STOP, FW_STOPS };

struct fw_decision {
	enum fw_outcome outcome;
	bool reject; /* stops with an answer */
	bool random; /* stops some, by design: a limit, a random number */
	const struct fw_chain *base;
	const struct fw_chain *chain; /* where the deciding rule stands; the base chain for its policy */
	const struct fw_rule *rule;   /* NULL = the policy */
};

/* Every base chain of that layer and hook (and device, for netdev) that stops or may stop the packet, by priority. */
size_t firewall_decide(const struct snapshot *s, enum fw_layer layer, const char *hook, const char *device,
                       const struct fw_packet *p, struct fw_decision *out, size_t max);
/* One match against one packet: for tests. */
enum tri firewall_match(const struct fw_match *m, const struct fw_packet *p);
/* "inet filter input: icmp type echo-request drop", "ip filter FORWARD: policy drop". */
const char *firewall_text(const struct fw_decision *d, char *out, size_t size);

#endif
