/* fact: the flat, comparable view of a snapshot: `link.eth0.mtu = 1500`. Volatile parts (neighbour states, FDB,
 * counters) are left out, so that two lists differ only where somebody changed something. */
#ifndef BW_MODEL_FACT_H
#define BW_MODEL_FACT_H

#include "proto/model/snapshot.h"

struct fact {
	char *key;
	char *value;
};

struct facts { /* sorted by key */
	struct fact *items;
	size_t count, cap;
};

struct fact_change {
	char *key;
	char *was, *now; /* NULL = absent */
	struct wall at;
};

/* Keys: link.NAME.{mac,mtu,admin,carrier,master,kind,arp,parent,mode,active,vlan,vxlan.{vni,port,local,remote},driver,
 * offloads,queues,speed}; port.NAME.{state,isolated,flood,...}; vlan.PORT.{VID,FIRST-LAST}; hardware.*, clock.* and other
 * texts by their names; addr.NAME.PREFIX; route.FAMILY.[table.]DST; rule.FAMILY.PRIO; sysctl.NAME; listen.PROTO.ADDR.PORT;
 * firewall.FAMILY.TABLE.CHAIN (value: hook, policy and the rules' texts); vport.VM.NIC.*, vswitch.HOST.NAME.*,
 * swport.DEVICE.PORT.*, pnote.OBJECT.CODE.* (what platforms and switches say, see platform.h). */
struct facts facts_of(const struct snapshot *s);
/* As above, with the volatile ones (neigh.DEV.IP, fdb.BRIDGE.MAC, counter.NAME, counter.link.NAME.*) too: for showing, not for
 * comparing. */
struct facts facts_of_all(const struct snapshot *s);
bool fact_is_route(const char *key, struct prefix *dst);       /* "route.FAMILY.DST", of table main */
const char *facts_get(const struct facts *f, const char *key); /* NULL if absent */
uint64_t facts_digest(const struct facts *f);
/* Left out: a ruleset that one side did not read, and attendants of a link that come and go with it (its driver, its sysctls).
 * Changes from `was` to `now`, stamped `at`; returns the count, *out is owned by the caller. */
size_t facts_diff(const struct facts *was, const struct facts *now, struct wall at, struct fact_change **out);
void facts_free(struct facts *f);
void fact_changes_free(struct fact_change *changes, size_t count);

#endif
