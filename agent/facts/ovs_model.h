/* ovs_model: the configuration of an Open vSwitch as values, read from what ovsdb-server and ovs-vswitchd say, and laid over a
 * snapshot, in which an OVS bridge then looks like any other bridge. No I/O here. */
#ifndef BW_AGENT_FACTS_OVS_MODEL_H
#define BW_AGENT_FACTS_OVS_MODEL_H

#include "proto/base/err.h"
#include "proto/model/snapshot.h"

#include <jansson.h>

#define OVS_NAME_LEN    64
#define OVS_BRIDGES_MAX 256
#define OVS_PORTS_MAX   2048 /* interfaces likewise */
#define OVS_LOCAL       65534
#define OVS_SYNTHETIC   0x80000000u /* indexes of links that the kernel does not have, from here up */

enum ovs_vlan_mode { OVS_TRUNK, OVS_ACCESS, OVS_NATIVE_TAGGED, OVS_NATIVE_UNTAGGED };

struct ovs_range {
	uint16_t first, last;
};

struct ovs_bridge {
	char name[OVS_NAME_LEN];
	bool stp;
	uint32_t index; /* in the snapshot it was last laid over */
};

struct ovs_port {
	char name[OVS_NAME_LEN];
	size_t bridge;
	uint8_t mode; /* enum ovs_vlan_mode */
	uint16_t tag;
	size_t trunk_count;
	struct ovs_range *trunks; /* owned; none = all */
	char bond_mode[16];
	struct mac active; /* of a bond */
	size_t iface_count;
	uint32_t hint; /* for an index */
	uint32_t index;
};

struct ovs_iface {
	char name[OVS_NAME_LEN], type[24], peer[OVS_NAME_LEN];
	size_t port;
	uint32_t number; /* in its bridge; 0 = none */
	uint32_t ifindex, mtu;
	bool up, carrier;
	struct mac mac;
	struct ip remote, local; /* of a tunnel */
	uint32_t key;
	uint16_t tunnel_port;
	uint32_t hint;
	uint32_t index;
};

struct ovs_entry { /* of the forwarding tables */
	size_t bridge;
	uint32_t number;
	uint16_t vlan;
	struct mac mac;
	bool is_static;
};

struct ovs_model {
	char version[32];
	size_t bridge_count, port_count, iface_count, entry_count, truncated;
	struct ovs_bridge *bridges; /* owned, as the others */
	struct ovs_port *ports;     /* those of one bridge stand together */
	struct ovs_iface *ifaces;   /* those of one port stand together */
	struct ovs_entry *entries;
	size_t bridge_cap, port_cap, iface_cap, entry_cap;
};
void ovs_model_clear(struct ovs_model *m);

json_t *ovs_select(void);  /* parameters of the `transact` that ovs_model_read understands the result of */
json_t *ovs_monitor(void); /* parameters of the `monitor` that tells when that would read differently */
int ovs_model_read(struct ovs_model *m, const json_t *result, struct err *e);
void ovs_entries_clear(struct ovs_model *m);
void ovs_entries_read(struct ovs_model *m, size_t bridge, const char *text); /* `fdb/show` of that bridge */
void ovs_overlay(struct ovs_model *m, struct snapshot *s);

#endif
