/* snapshot: what one machine said of itself at one moment, typed. The flat key = value facts that people read and
 * that are compared over time are derived from it (fact.h); evidence reads it directly. A plain value: no I/O here. */
#ifndef BW_MODEL_SNAPSHOT_H
#define BW_MODEL_SNAPSHOT_H

#include "proto/base/addr.h"
#include "proto/base/mono.h"
#include "proto/model/limits.h"
#include "proto/model/platform.h"

#include <stddef.h>

/* as in linux/if_bridge.h BR_STATE_*; only meaningful for bridge ports */
enum bridge_state { PORT_DISABLED, PORT_LISTENING, PORT_LEARNING, PORT_FORWARDING, PORT_BLOCKING };

struct link {
	uint32_t index;
	char name[IFNAME_LEN];
	char kind[16]; /* IFLA_INFO_KIND: "bridge" "veth" "tun" "vxlan" "macvtap" ...; "ovs-bridge"; "" = physical or none */
	struct mac mac;
	uint32_t mtu;
	uint32_t master; /* ifindex of the bridge/bond above, 0 = none */
	bool up;         /* IFF_UP: what the administrator wants */
	bool carrier;    /* IFF_LOWER_UP */
	bool noarp;
	bool loopback;
	bool promisc;
	/* bridge port attributes, when `port` */
	bool port;
	uint8_t port_state; /* enum bridge_state */
	bool isolated, learning, flood, mcast_flood, bcast_flood, locked;
	/* bridge attributes, when kind is "bridge" */
	bool stp;
	bool vlan_filtering;
	uint64_t rx_packets, tx_packets, rx_dropped, tx_dropped, rx_errors, tx_errors; /* volatile */
	uint32_t parent; /* ifindex below or beside in this namespace: of a vlan, macvlan, vxlan its device, of a veth its peer; 0 =
	                    none */
	bool parent_elsewhere; /* that is in another namespace, and so is the number: compare it with nothing of this one */
	uint16_t vlan;         /* id, when kind is "vlan" */
	uint32_t vni;          /* VXLAN */
	struct ip vx_local, vx_remote;
	uint16_t vx_port;
	char mode[16];   /* of a macvlan or macvtap ("bridge", "vepa", "private", "passthru"), of a bond ("active-backup", "802.3ad"
	                    ...) */
	uint32_t active; /* a bond's active port, ifindex; 0 = none or all */
	/* ethtool */
	char driver[32], driver_version[32];
	uint32_t offloads; /* OFFLOAD_* that are on */
	bool offloads_known;
	uint16_t rx_queues, tx_queues;
	uint32_t speed; /* Mbit/s, 0 = not known */
};

#define OFFLOAD_RX_CSUM 1
#define OFFLOAD_TX_CSUM 2
#define OFFLOAD_TSO     4
#define OFFLOAD_GSO     8
#define OFFLOAD_GRO     16
#define OFFLOAD_LRO     32
#define OFFLOAD_RX_VLAN 64
#define OFFLOAD_TX_VLAN 128

/* A VLAN of a bridge port (also of the bridge itself: its own port). */
struct port_vlan {
	uint32_t link;
	uint16_t vid, last; /* vid..last */
	bool pvid, untagged;
};

struct addr {
	uint32_t link;
	struct prefix prefix;
	bool tentative, dadfailed, temporary;
	bool leased; /* it ends some day: somebody else gave it, by DHCP or a router's advertisement */
};

enum route_type { ROUTE_UNICAST = 1, ROUTE_BLACKHOLE = 6, ROUTE_UNREACHABLE = 7, ROUTE_PROHIBIT = 8 }; /* RTN_* */

struct route {
	uint8_t type; /* enum route_type (RTN_*); local and broadcast routes are left out */
	uint32_t table;
	struct prefix dst; /* family always set; 0.0.0.0/0 or ::/0 = default */
	struct ip gateway; /* family 0 = on link */
	struct ip source;  /* preferred source */
	uint32_t link;     /* 0 = none */
	uint32_t metric;
	uint32_t mtu;     /* RTAX_MTU, 0 = not set */
	uint8_t protocol; /* who made it: RTPROT_*; 0 = not known */
	uint8_t hops;     /* next hops of the route of which this is one, when it has several; else 0 */
};
#define ROUTE_BY_RA   9 /* RTPROT_RA: a router's advertisement */
#define ROUTE_BY_DHCP 16

struct policy_rule { /* `ip rule`, without the three standard ones */
	uint8_t family;
	uint32_t priority, table;
	uint8_t action;         /* FR_ACT_*: 1 to table, 6 blackhole, 7 unreachable, 8 prohibit */
	struct prefix src, dst; /* family 0 = any */
	char iif[IFNAME_LEN], oif[IFNAME_LEN];
	uint32_t fwmark;
};

/* NUD_* */
enum neigh_state {
	NEIGH_INCOMPLETE = 0x01,
	NEIGH_REACHABLE = 0x02,
	NEIGH_STALE = 0x04,
	NEIGH_DELAY = 0x08,
	NEIGH_PROBE = 0x10,
	NEIGH_FAILED = 0x20,
	NEIGH_NOARP = 0x40,
	NEIGH_PERMANENT = 0x80
};

struct neigh { /* volatile */
	uint32_t link;
	struct ip ip;
	struct mac mac;
	uint16_t state;
};

/* Volatile; one learned or configured MAC of a bridge, or of a VXLAN device's own table: then bridge == port == the device
 * and `remote` is set. There, an all-zero MAC is where frames go that are for all or for nobody known; it may have several. */
struct fdb {
	uint32_t bridge, port; /* ifindexes; port == bridge: the bridge's own */
	struct mac mac;
	uint16_t vlan;
	bool local; /* an address of the port itself, or permanent */
	bool is_static, sticky;
	struct ip remote; /* of a VXLAN device: the tunnel endpoint behind which it is; family 0 = none */
};

struct value { /* a sysctl by its dotted name, or a counter such as "TcpExt.ListenOverflows", "Ip.OutNoRoutes" */
	char name[96];
	int64_t value;
};

struct text { /* what is no number: "clock.source", "hardware.product" */
	char name[96];
	char text[96];
};

struct listener {
	uint8_t proto; /* IPPROTO_TCP or IPPROTO_UDP */
	struct ip ip;  /* all-zero address of its family = any */
	bool v6only;
	uint16_t port;
	uint32_t backlog, queued;
};

/* ---- firewall: nftables (and iptables-nft, ebtables-nft, which live in it), as a list that can be evaluated ---- */

enum fw_field {
	FW_UNKNOWN,   /* a match we do not model: evaluates to "maybe" */
	FW_ETHERTYPE, /* values: numbers (0x0800 ...) */
	FW_NFPROTO,   /* 2 = ipv4, 10 = ipv6 */
	FW_L4PROTO,   /* IP protocol number */
	FW_IIF,
	FW_OIF, /* values: text, a trailing '*' is a wildcard */
	FW_IN_BRIDGE,
	FW_OUT_BRIDGE, /* meta ibrname / obrname */
	FW_SADDR,
	FW_DADDR, /* values: prefixes or ranges; IPv4 or IPv6 by their family */
	FW_ETH_SADDR,
	FW_ETH_DADDR,
	FW_SPORT,
	FW_DPORT, /* numbers or ranges, TCP and UDP alike */
	FW_ICMP_TYPE,
	FW_ICMP6_TYPE,
	FW_ARP_OP,
	FW_ARP_SPA,
	FW_ARP_TPA,
	FW_ARP_SHA,
	FW_CT_STATE,  /* FW_CT_* bits: any of them */
	FW_TCP_FLAGS, /* (flags & hi) == lo */
	FW_PKT_LENGTH,
	FW_FRAG_OFF, /* fragment offset: 0 for whole packets and first fragments */
	FW_RANDOM,   /* numgen random, limit, quota: "maybe", by design partial; a value: the limit's packets of the first second */
	FW_PKTTYPE,  /* 0 to this host, 1 broadcast, 2 multicast, 3 to another host */
	FW_FIELD_COUNT
};
#define FW_CT_NEW         1
#define FW_CT_ESTABLISHED 2
#define FW_CT_RELATED     4
#define FW_CT_INVALID     8
#define FW_CT_UNTRACKED   16

struct fw_value {
	uint64_t lo, hi;      /* numbers; lo == hi for a single one; CT states: bit set in lo */
	struct prefix prefix; /* addresses; family 0 when the value is a number, MAC or text */
	struct ip range_end;  /* addresses given as a range prefix.ip - range_end; family 0 otherwise */
	struct mac mac;
	char text[IFNAME_LEN];
};

struct fw_match {
	uint8_t field; /* enum fw_field */
	bool negate;   /* != */
	uint8_t value_count;
	struct fw_value *values; /* any of them matches */
};

enum fw_verdict {
	FW_NONE /* counts, sets, logs: goes on */,
	FW_ACCEPT,
	FW_DROP,
	FW_REJECT,
	FW_JUMP,
	FW_GOTO,
	FW_RETURN,
	FW_QUEUE,
	FW_NAT,
	FW_MAYBE /* verdict map etc.: cannot tell */
};

struct fw_rule {
	uint64_t handle;
	uint8_t verdict;  /* enum fw_verdict */
	char target[64];  /* chain of jump/goto; reject: "tcp reset", "icmp port-unreachable", ... */
	uint64_t packets; /* of its counter; volatile */
	bool has_counter;
	uint8_t match_count;
	struct fw_match *matches;
	char text[256]; /* as a person would write it, cut if longer */
};

struct fw_chain {
	char family[8]; /* ip ip6 inet arp bridge netdev */
	char table[64], name[64];
	uint64_t handle;
	char hook[16]; /* "" = not a base chain; prerouting input forward output postrouting ingress egress */
	char type[16];
	char device[IFNAME_LEN]; /* netdev chains */
	int32_t priority;
	uint8_t policy; /* FW_ACCEPT or FW_DROP */
	size_t rule_count;
	struct fw_rule *rules; /* owned, with their matches */
};

enum fw_known { FW_NOT_READ, FW_READ, FW_NO_RIGHTS, FW_TRUNCATED };

struct snapshot {
	struct wall taken;
	char hostname[64];
	char kernel[64];
	char platform[64];      /* DMI product / hypervisor hint, may be "" */
	uint8_t firewall_known; /* enum fw_known */
	size_t link_count;
	struct link *links;
	size_t addr_count;
	struct addr *addrs;
	size_t route_count;
	struct route *routes;
	size_t rule_count;
	struct policy_rule *rules;
	size_t neigh_count;
	struct neigh *neighs;
	size_t fdb_count;
	struct fdb *fdbs;
	size_t sysctl_count;
	struct value *sysctls;
	size_t counter_count;
	struct value *counters; /* volatile */
	size_t text_count;
	struct text *texts;
	size_t vlan_count;
	struct port_vlan *vlans;
	size_t listener_count;
	struct listener *listeners;
	size_t chain_count;
	struct fw_chain *chains;
	size_t vport_count; /* these four: what this machine knows of platforms and switches */
	struct vport *vports;
	size_t vswitch_count;
	struct vswitch *vswitches;
	size_t swport_count;
	struct swport *swports;
	size_t pnote_count;
	struct pnote *pnotes;
	size_t truncated; /* entries left out because a limit was reached */
};

struct snapshot *snapshot_new(void);
void snapshot_free(struct snapshot *s); /* NULL is fine */
struct snapshot *snapshot_copy(const struct snapshot *s);

const struct link *snapshot_link(const struct snapshot *s, uint32_t index); /* NULL if none */
const struct link *snapshot_link_named(const struct snapshot *s, const char *name);
/* A bridge, of the kernel or of Open vSwitch: other links have it as their master. */
bool link_is_bridge(const struct link *l);
const char *snapshot_text(const struct snapshot *s, const char *name);       /* NULL = not read */
const struct addr *snapshot_addr_of(const struct snapshot *s, struct ip ip); /* the machine owns it */
const struct neigh *snapshot_neigh(const struct snapshot *s, struct ip ip, uint32_t link /* 0 = any */);
bool snapshot_sysctl(const struct snapshot *s, const char *name, int64_t *out); /* false = not read */
bool snapshot_counter(const struct snapshot *s, const char *name, int64_t *out);
/* Longest-prefix lookup in table main (254) and default, after policy rules that match `dst`/`src` without marks or
 * interfaces. NULL = no route. On-link and special types are returned as they are. */
const struct route *snapshot_route(const struct snapshot *s, struct ip dst, struct ip src);

#endif
