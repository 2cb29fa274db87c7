/* link: one link as rtnetlink tells it, with what stands below or beside it, and the VLANs of bridge ports. */
#include "agent/facts/source.h"
#include "proto/base/mem.h"

#include <arpa/inet.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifndef IFF_LOWER_UP
#define IFF_LOWER_UP 0x10000
#endif
#define COUNT(a) (sizeof(a) / sizeof *(a))

/* ---- what each kind says of itself ---- */

struct number_name {
	uint32_t number;
	const char *name;
};

static void name_number(char out[static sizeof((struct link *)0)->mode], const struct number_name *names, size_t count,
                        uint32_t number)
{
	for (size_t i = 0; i < count; i++)
		if (names[i].number == number)
			str_copy(out, sizeof((struct link *)0)->mode, names[i].name);
}

static void link_bridge(struct link *l, const struct nlattr *data)
{
	const struct nlattr *tb[IFLA_BR_MAX + 1];

	nl_nested(data, tb, IFLA_BR_MAX);
	l->stp = nl_u32(tb[IFLA_BR_STP_STATE]) != 0;
	l->vlan_filtering = nl_u8(tb[IFLA_BR_VLAN_FILTERING]);
}

static void link_vlan(struct link *l, const struct nlattr *data)
{
	const struct nlattr *tb[IFLA_VLAN_MAX + 1];

	nl_nested(data, tb, IFLA_VLAN_MAX);
	l->vlan = nl_u16(tb[IFLA_VLAN_ID]);
}

static void link_vxlan(struct link *l, const struct nlattr *data)
{
	const struct nlattr *tb[IFLA_VXLAN_MAX + 1];
	bool local6 = false, remote6 = false;

	nl_nested(data, tb, IFLA_VXLAN_MAX);
	local6 = tb[IFLA_VXLAN_LOCAL6];
	remote6 = tb[IFLA_VXLAN_GROUP6];
	l->vni = nl_u32(tb[IFLA_VXLAN_ID]);
	l->vx_local = nl_ip(tb[local6 ? IFLA_VXLAN_LOCAL6 : IFLA_VXLAN_LOCAL], local6 ? AF_INET6 : AF_INET);
	l->vx_remote = nl_ip(tb[remote6 ? IFLA_VXLAN_GROUP6 : IFLA_VXLAN_GROUP], remote6 ? AF_INET6 : AF_INET);
	l->vx_port = ntohs(nl_u16(tb[IFLA_VXLAN_PORT]));
	if (tb[IFLA_VXLAN_LINK])
		l->parent = nl_u32(tb[IFLA_VXLAN_LINK]);
}

static void link_macvlan(struct link *l, const struct nlattr *data)
{
	static const struct number_name modes[] = {{MACVLAN_MODE_PRIVATE, "private"},
	                                           {MACVLAN_MODE_VEPA, "vepa"},
	                                           {MACVLAN_MODE_BRIDGE, "bridge"},
	                                           {MACVLAN_MODE_PASSTHRU, "passthru"},
	                                           {MACVLAN_MODE_SOURCE, "source"}};
	const struct nlattr *tb[IFLA_MACVLAN_MAX + 1];

	nl_nested(data, tb, IFLA_MACVLAN_MAX);
	name_number(l->mode, modes, COUNT(modes), nl_u32(tb[IFLA_MACVLAN_MODE]));
}

static void link_ipvlan(struct link *l, const struct nlattr *data)
{
	static const struct number_name modes[] = {{IPVLAN_MODE_L2, "l2"}, {IPVLAN_MODE_L3, "l3"}, {IPVLAN_MODE_L3S, "l3s"}};
	const struct nlattr *tb[IFLA_IPVLAN_MAX + 1];

	nl_nested(data, tb, IFLA_IPVLAN_MAX);
	if (tb[IFLA_IPVLAN_MODE])
		name_number(l->mode, modes, COUNT(modes), nl_u16(tb[IFLA_IPVLAN_MODE]));
}

static void link_bond(struct link *l, const struct nlattr *data)
{
	static const struct number_name modes[] = {{0, "balance-rr"}, {1, "active-backup"}, {2, "balance-xor"}, {3, "broadcast"},
	                                           {4, "802.3ad"},    {5, "balance-tlb"},   {6, "balance-alb"}};
	const struct nlattr *tb[IFLA_BOND_MAX + 1];

	nl_nested(data, tb, IFLA_BOND_MAX);
	if (tb[IFLA_BOND_MODE])
		name_number(l->mode, modes, COUNT(modes), nl_u8(tb[IFLA_BOND_MODE]));
	l->active = nl_u32(tb[IFLA_BOND_ACTIVE_SLAVE]);
}

static const struct kind {
	const char *name;
	void (*read)(struct link *l, const struct nlattr *data);
} kinds[] = {
    {"bridge", link_bridge},   {"vlan", link_vlan},     {"vxlan", link_vxlan},   {"macvlan", link_macvlan},
    {"macvtap", link_macvlan}, {"ipvlan", link_ipvlan}, {"ipvtap", link_ipvlan}, {"bond", link_bond},
};

static void link_port(struct link *l, const struct nlattr *data)
{
	const struct nlattr *tb[IFLA_BRPORT_MAX + 1];

	nl_nested(data, tb, IFLA_BRPORT_MAX);
	l->port = true;
	l->port_state = nl_u8(tb[IFLA_BRPORT_STATE]);
	l->isolated = nl_u8(tb[IFLA_BRPORT_ISOLATED]);
	l->learning = nl_u8(tb[IFLA_BRPORT_LEARNING]);
	l->flood = nl_u8(tb[IFLA_BRPORT_UNICAST_FLOOD]);
	l->mcast_flood = nl_u8(tb[IFLA_BRPORT_MCAST_FLOOD]);
	l->bcast_flood = nl_u8(tb[IFLA_BRPORT_BCAST_FLOOD]);
	l->locked = nl_u8(tb[IFLA_BRPORT_LOCKED]);
}

static void link_info(struct link *l, const struct nlattr *info)
{
	const struct nlattr *tb[IFLA_INFO_MAX + 1];

	nl_nested(info, tb, IFLA_INFO_MAX);
	if (tb[IFLA_INFO_KIND])
		str_copy(l->kind, sizeof l->kind, mnl_attr_get_str(tb[IFLA_INFO_KIND]));
	for (size_t i = 0; i < COUNT(kinds) && tb[IFLA_INFO_DATA]; i++)
		if (strcmp(l->kind, kinds[i].name) == 0)
			kinds[i].read(l, tb[IFLA_INFO_DATA]);
	if (tb[IFLA_INFO_SLAVE_KIND] && strcmp(mnl_attr_get_str(tb[IFLA_INFO_SLAVE_KIND]), "bridge") == 0)
		link_port(l, tb[IFLA_INFO_SLAVE_DATA]);
}

/* ---- counters ---- */

static struct rtnl_link_stats64 stats_of(const struct nlattr *a)
{
	struct rtnl_link_stats64 st = {0};
	size_t len = a ? mnl_attr_get_payload_len(a) : 0;

	if (len)
		memcpy(&st, mnl_attr_get_payload(a), len < sizeof st ? len : sizeof st);
	return st;
}

static void link_stats(struct link *l, const struct nlattr *a)
{
	struct rtnl_link_stats64 st = stats_of(a);

	l->rx_packets = st.rx_packets;
	l->tx_packets = st.tx_packets;
	l->rx_dropped = st.rx_dropped;
	l->tx_dropped = st.tx_dropped;
	l->rx_errors = st.rx_errors;
	l->tx_errors = st.tx_errors;
}

void link_read_counters(struct snapshot *s, const char *name, const struct nlattr *stats)
{
#define STAT(field, name)                                                                                                          \
	{                                                                                                                          \
		offsetof(struct rtnl_link_stats64, field), name                                                                    \
	}
	static const struct {
		size_t at;
		const char *name;
	} wanted[] = {
	    STAT(rx_missed_errors, "rx_missed"),   STAT(rx_over_errors, "rx_over"),       STAT(rx_fifo_errors, "rx_fifo"),
	    STAT(rx_crc_errors, "rx_crc"),         STAT(rx_frame_errors, "rx_frame"),     STAT(rx_length_errors, "rx_length"),
	    STAT(rx_nohandler, "rx_nohandler"),    STAT(tx_carrier_errors, "tx_carrier"), STAT(tx_fifo_errors, "tx_fifo"),
	    STAT(tx_aborted_errors, "tx_aborted"), STAT(tx_window_errors, "tx_window"),   STAT(collisions, "collisions"),
	};
#undef STAT
	struct rtnl_link_stats64 st = stats_of(stats);

	for (size_t i = 0; i < COUNT(wanted) && s->counter_count < LINK_COUNTERS_MAX; i++) {
		char full[96];
		uint64_t v;

		memcpy(&v, (const char *)&st + wanted[i].at, sizeof v);
		snprintf(full, sizeof full, "link.%s.%s", name, wanted[i].name);
		if (v)
			snapshot_add_counter(s, full, (int64_t)v);
	}
}

/* ---- settings ---- */

struct setting {
	uint16_t type;
	const char *name;
};

static void setting_add(struct snapshot *s, const char *what, const struct link *l, const struct setting *of, int64_t v)
{
	char full[96];

	snprintf(full, sizeof full, "%s.%s.%s", what, l->name, of->name);
	snapshot_add_sysctl(s, full, v);
}

/* Since Linux 6.7; older headers do not know them. */
#define BR_FDB_LEARNED     48
#define BR_FDB_MAX_LEARNED 49

static void bridge_settings(struct snapshot *s, const struct link *l, const struct nlattr *data)
{
	static const struct setting flags[] = {{IFLA_BR_MCAST_SNOOPING, "mcast_snooping"},
	                                       {IFLA_BR_MCAST_QUERIER, "mcast_querier"}};
	static const struct setting max = {BR_FDB_MAX_LEARNED, "fdb_max_learned"};
	const struct nlattr *tb[BR_FDB_MAX_LEARNED + 1];
	char full[96];

	nl_nested(data, tb, BR_FDB_MAX_LEARNED);
	for (size_t i = 0; i < COUNT(flags); i++)
		if (tb[flags[i].type])
			setting_add(s, "bridge", l, &flags[i], nl_u8(tb[flags[i].type]));
	if (nl_u32(tb[BR_FDB_MAX_LEARNED]))
		setting_add(s, "bridge", l, &max, nl_u32(tb[BR_FDB_MAX_LEARNED]));
	if (!tb[BR_FDB_LEARNED])
		return;
	snprintf(full, sizeof full, "bridge.%s.fdb_learned", l->name);
	snapshot_add_counter(s, full, nl_u32(tb[BR_FDB_LEARNED]));
}

static void port_settings(struct snapshot *s, const struct link *l, const struct nlattr *data)
{
	static const struct setting flags[] = {
	    {IFLA_BRPORT_GUARD, "guard"}, {IFLA_BRPORT_MODE, "hairpin"}, {IFLA_BRPORT_NEIGH_SUPPRESS, "neigh_suppress"}};
	const struct nlattr *tb[IFLA_BRPORT_MAX + 1];

	nl_nested(data, tb, IFLA_BRPORT_MAX);
	for (size_t i = 0; i < COUNT(flags); i++)
		if (nl_u8(tb[flags[i].type]))
			setting_add(s, "port", l, &flags[i], 1);
}

/* A station of a wireless network has a radio. */
static void medium_read(struct snapshot *s, const struct link *l)
{
	char path[64], name[64];

	snprintf(path, sizeof path, "/sys/class/net/%s/phy80211", l->name);
	snprintf(name, sizeof name, "link.%s.medium", l->name);
	if (!l->kind[0] && !l->loopback && access(path, F_OK) == 0)
		snapshot_add_text(s, name, "wireless");
}

void link_read_settings(struct snapshot *s, const struct link *l, const struct nlattr *info)
{
	medium_read(s, l);

	const struct nlattr *tb[IFLA_INFO_MAX + 1];

	nl_nested(info, tb, IFLA_INFO_MAX);
	if (strcmp(l->kind, "bridge") == 0)
		bridge_settings(s, l, tb[IFLA_INFO_DATA]);
	if (l->port)
		port_settings(s, l, tb[IFLA_INFO_SLAVE_DATA]);
}

/* ---- the link ---- */

static void link_flags(struct link *l, unsigned flags)
{
	l->up = flags & IFF_UP;
	l->carrier = flags & IFF_LOWER_UP;
	l->noarp = flags & IFF_NOARP;
	l->loopback = flags & IFF_LOOPBACK;
	l->promisc = flags & IFF_PROMISC;
}

void link_read(struct link *l, const struct nlmsghdr *h)
{
	const struct ifinfomsg *i = mnl_nlmsg_get_payload(h);
	const struct nlattr *tb[IFLA_MAX + 1];

	nl_attrs(h, sizeof *i, tb, IFLA_MAX);
	l->index = (uint32_t)i->ifi_index;
	if (tb[IFLA_IFNAME])
		str_copy(l->name, sizeof l->name, mnl_attr_get_str(tb[IFLA_IFNAME]));
	l->mac = nl_mac(tb[IFLA_ADDRESS]);
	l->mtu = nl_u32(tb[IFLA_MTU]);
	l->master = nl_u32(tb[IFLA_MASTER]);
	l->parent = nl_u32(tb[IFLA_LINK]);
	l->parent_elsewhere = tb[IFLA_LINK_NETNSID];
	link_flags(l, i->ifi_flags);
	link_info(l, tb[IFLA_LINKINFO]);
	link_stats(l, tb[IFLA_STATS64]);
	if (l->parent == l->index && !l->parent_elsewhere)
		l->parent = 0;
}

/* ---- VLANs ---- */

/* VLANs that stand side by side are told as two entries, the first and the last one of the range. */
static void vlan_add(struct snapshot *s, uint32_t link, const struct bridge_vlan_info *info, uint16_t *first)
{
	struct port_vlan *v;

	if (info->flags & BRIDGE_VLAN_INFO_RANGE_BEGIN) {
		*first = info->vid;
		return;
	}
	v = SNAP_ADD(s, vlans, vlan_count, SNAP_VLANS_MAX);
	if (!v)
		return;
	v->link = link;
	v->vid = info->flags & BRIDGE_VLAN_INFO_RANGE_END && *first ? *first : info->vid;
	v->last = info->vid;
	v->pvid = info->flags & BRIDGE_VLAN_INFO_PVID;
	v->untagged = info->flags & BRIDGE_VLAN_INFO_UNTAGGED;
	*first = 0;
}

void link_read_vlans(struct snapshot *s, const struct nlmsghdr *h)
{
	const struct ifinfomsg *i = mnl_nlmsg_get_payload(h);
	const struct nlattr *tb[IFLA_MAX + 1], *a;
	const struct link *l, *bridge;
	uint16_t first = 0;

	nl_attrs(h, sizeof *i, tb, IFLA_MAX);
	if (i->ifi_family != AF_BRIDGE || !tb[IFLA_AF_SPEC])
		return;
	l = snapshot_link(s, (uint32_t)i->ifi_index);
	bridge = l && l->master ? snapshot_link(s, l->master) : l;
	if (!bridge || !bridge->vlan_filtering)
		return;
	mnl_attr_for_each_nested(a, tb[IFLA_AF_SPEC])
	{
		if (mnl_attr_get_type(a) == IFLA_BRIDGE_VLAN_INFO && mnl_attr_get_payload_len(a) >= sizeof(struct bridge_vlan_info))
			vlan_add(s, l->index, mnl_attr_get_payload(a), &first);
	}
}
