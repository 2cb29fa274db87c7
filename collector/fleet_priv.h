/* fleet_priv: what the files of the fleet share, and nobody else sees. */
#ifndef BW_COLLECTOR_FLEET_PRIV_H
#define BW_COLLECTOR_FLEET_PRIV_H

#include "collector/fleet.h"

#define PLUGS_MAX 16

enum sight_how { SIGHT_LEARNED, SIGHT_STATIC, SIGHT_TWIN /* the port's own MAC is the guest's but for the first octet */ };

struct sight { /* the MAC of some agent, as a port shows it now */
	struct mac mac;
	uint16_t vlan;
	uint8_t how; /* enum sight_how */
};

struct port { /* of a bridge of a host, or (bridge "") a device that is in none; remembered when it leaves */
	char name[IFNAME_LEN], bridge[IFNAME_LEN];
	uint32_t index;
	bool present;            /* there now */
	bool gone;               /* the device itself does not exist any more */
	struct wall fresh_until; /* it came a moment ago, after the host's first snapshot */
	bool guest_type;         /* a kind of device that guests are plugged into */
	bool direct;             /* nothing can stand between it and the guest: tap, macvtap */
	bool uplink;             /* sticky: leads to other machines than guests */
	bool inner;              /* its other side is on the same machine: nobody is plugged in here */
	bool doubtful;           /* that was concluded from one guest that was thought to be elsewhere */
	size_t foreign;          /* learned MACs that belong to no agent */
	size_t seen_count, seen_cap;
	struct sight *seen;
};

struct towards { /* the uplink port behind which an agent's MAC was last seen */
	struct mac mac;
	uint16_t vlan;
	char bridge[IFNAME_LEN], port[IFNAME_LEN];
};

struct met { /* the MAC of an agent that was a neighbour on an interface of the machine's own */
	struct mac mac;
	char ifname[IFNAME_LEN];
};

struct node;

struct plug {                    /* where one NIC of a guest is plugged in */
	char ifname[IFNAME_LEN]; /* in the guest */
	struct mac mac;
	struct node *host;
	char port[IFNAME_LEN], bridge[IFNAME_LEN];
	char outer[IFNAME_LEN]; /* a second bridge behind that one (firewall bridges), "" = none */
	uint16_t vlan;
	bool firm; /* more than "nobody else has it": a remembered one yields only to certainty */
	bool live;
	struct wall moved; /* since when the port shows it in another bridge or VLAN; 0 = it does not */
};

struct cand { /* an interface that might be probed */
	struct endpoint now, last;
	struct prefix home4; /* the network it was in before its address changed */
	uint32_t index;      /* 0 = the interface has vanished */
	bool bridge;         /* it is one */
	bool management;
	bool carries; /* a bridge with guests */
	bool allowed; /* may be probed */
	bool was_up;
};

struct node {
	struct member member; /* first: struct member * is a struct node * */
	uint64_t macs;        /* digest of its MACs, to see them change */
	size_t port_count, port_cap;
	struct port *ports;
	size_t towards_count, towards_cap;
	struct towards *towards;
	size_t met_count, met_cap;
	struct met *met;
	size_t plug_count;
	struct plug plugs[PLUGS_MAX];
	size_t cand_count, cand_cap;
	struct cand *cands;
};

struct mac_owner {
	struct mac mac;
	struct node *node;
};

struct fleet {
	struct node **nodes; /* ordered by tenant and name */
	size_t count, cap;
	struct node **by_id;
	size_t id_cap;
	struct mac_owner *macs; /* ordered by octets 1..5, then 0 */
	size_t mac_count, mac_cap;
	const struct snapshot *imported; /* lent */
};

static inline struct node *node_of(const struct member *m) { return (struct node *)(uintptr_t)m; }
static inline bool node_is_host(const struct node *n) { return n->member.kind == AGENT_HOST; }

/* fleet_place.c */
void places_update(struct fleet *f, struct node *changed, struct wall now);
void places_forget(struct fleet *f, const struct node *gone);
void places_free(struct node *n);
const struct plug *plug_find(const struct node *guest, struct mac mac);
bool port_leads_out(const struct node *host, const char *bridge); /* the bridge has, or had, an uplink */
/* The bridge saw (or remembers having seen) that MAC behind an uplink; VLAN 0 = any. */
bool bridge_knows(const struct node *host, const char *bridge, uint16_t vlan, struct mac mac);
/* It had that MAC as a neighbour on this interface. */
bool node_met(const struct node *n, const char *ifname, struct mac mac);
bool mac_is_unique(const struct fleet *f, struct mac mac);
bool bridge_carries(const struct fleet *f, const struct node *host, const char *bridge);

/* fleet_endpoint.c */
void cands_update(const struct fleet *f, struct node *n);
/* Are these two on one L2 segment? Certain evidence only. */
bool cands_share_segment(const struct fleet *f, const struct node *a, const struct cand *ca, const struct node *b,
                         const struct cand *cb);

#endif
