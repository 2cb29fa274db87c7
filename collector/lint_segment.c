/* Checks of machines of one segment against each other and against what carries them: masks, duplicates, entries by hand, MTUs,
 * VLANs. */
#include "collector/lint_parts.h"

#include <stdio.h>
#include <string.h>

/* ---- who is at the segment of a pair ---- */

/* The end's own interface, or one that stands on it. */
static bool is_at(const struct snapshot *s, const struct link *l, const char *ifname)
{
	const struct link *below = l->parent && !l->parent_elsewhere ? snapshot_link(s, l->parent) : NULL;
	if (strcmp(l->name, ifname) == 0)
		return true;
	return below && strcmp(below->name, ifname) == 0 && (strcmp(l->kind, "macvlan") == 0 || strcmp(l->kind, "macvtap") == 0);
}

static const struct link *link_at(const struct lint_pair *p, int end, uint32_t index)
{
	const struct link *l = snapshot_link(p->end[end]->snapshot, index);
	return l && is_at(p->end[end]->snapshot, l, p->ep[end]->ifname) ? l : NULL;
}

/* Of one segment, and neither of them is the other's host: their addresses are meant for each other. */
static bool are_neighbours(const struct lint_pair *p) { return p->pair->onlink; }

/* ---- masks ---- */

static bool overlap(struct prefix a, struct prefix b)
{
	return a.ip.family && a.ip.family == b.ip.family && (prefix_contains(a, b.ip) || prefix_contains(b, a.ip));
}

static void mask_check(struct lint *l, const struct lint_check *check, const struct lint_pair *p, struct prefix a, struct prefix b)
{
	if (!overlap(a, b) || a.len == b.len || ip_is_link_local(a.ip) || ip_is_link_local(b.ip))
		return;
	int narrow = a.len > b.len ? 0 : 1; /* whose mask is the narrower one: it sees less than the other */
	struct prefix mine = narrow == 0 ? a : b, other = narrow == 0 ? b : a;
	const struct member *m = p->end[narrow];
	if (mine.len == (mine.ip.family == 4 ? 32 : 128))
		return; /* by design: routed */
	struct finding *f = lint_add(l, check, m, p->ep[narrow]->ifname);
	if (!f)
		return;
	f->other = p->end[1 - narrow];
	finding_say(f, "%s has %s and %s has %s in the same segment: part of the neighbours are not neighbours to %s.",
	            "%s 为 %s，而 %s 为 %s，同处一个网段：部分邻居对 %s 而言不是邻居。", lint_name(l, m), lint_prefix(mine),
	            lint_name(l, f->other), lint_prefix(other), lint_name(l, m));
	finding_evidence(f, "%s: %s", lint_name(l, m), lint_prefix(mine));
	finding_evidence(f, "%s: %s", lint_name(l, f->other), lint_prefix(other));
	finding_fix(f, m, "ip addr replace %s/%u dev %s && ip addr del %s dev %s", lint_ip(mine.ip), other.len,
	            p->ep[narrow]->ifname, lint_prefix(mine), p->ep[narrow]->ifname);
}

static void netmask_differs(struct lint *l, const struct lint_check *check)
{
	struct lint_pair p;
	for (uint32_t at = 0; lint_next_pair(l, &at, &p);) {
		if (!are_neighbours(&p))
			continue;
		mask_check(l, check, &p, p.ep[0]->ip4, p.ep[1]->ip4);
		mask_check(l, check, &p, p.ep[0]->ip6, p.ep[1]->ip6);
	}
}

/* ---- duplicates ---- */

/* Of two owners the one whose own address it is not (the one it is called by) is the intruder. */
static int intruder_of(const struct lint_pair *p, struct ip ip)
{
	return ip_equal(p->ep[1]->ip4.ip, ip) || ip_equal(p->ep[1]->ip6.ip, ip) ? 0 : 1;
}

static void address_check(struct lint *l, const struct lint_check *check, const struct lint_pair *p, const struct addr *a,
                          const struct addr *b)
{
	int who = intruder_of(p, a->prefix.ip);
	const struct addr *mine = who == 0 ? a : b;
	const struct member *m = p->end[who];
	struct finding *f = lint_add(l, check, m, lint_ip(a->prefix.ip));
	if (!f)
		return;
	f->other = p->end[1 - who];
	finding_say(f, "%s and %s both have the address %s in the same segment.", "%s 与 %s 在同一网段中都配置了地址 %s。",
	            lint_name(l, m), lint_name(l, f->other), lint_ip(a->prefix.ip));
	finding_evidence(f, "%s: %s at %s", lint_name(l, m), lint_prefix(mine->prefix),
	                 snapshot_link(m->snapshot, mine->link)->name);
	finding_evidence(f, "%s: %s", lint_name(l, f->other), lint_prefix((who == 0 ? b : a)->prefix));
	finding_fix(f, m, "ip addr del %s dev %s", lint_prefix(mine->prefix), snapshot_link(m->snapshot, mine->link)->name);
}

static void duplicate_address(struct lint *l, const struct lint_check *check)
{
	struct lint_pair p;
	for (uint32_t at = 0; lint_next_pair(l, &at, &p);) {
		const struct snapshot *s[2] = {p.end[0]->snapshot, p.end[1]->snapshot};
		for (size_t i = 0; are_neighbours(&p) && i < s[0]->addr_count; i++) {
			const struct addr *a = &s[0]->addrs[i], *b = snapshot_addr_of(s[1], a->prefix.ip);
			if (b && !ip_is_link_local(a->prefix.ip) && !ip_is_loopback(a->prefix.ip) && link_at(&p, 0, a->link) &&
			    link_at(&p, 1, b->link))
				address_check(l, check, &p, a, b);
		}
	}
}

static void mac_check(struct lint *l, const struct lint_check *check, const struct lint_pair *p, const struct link *a,
                      const struct link *b)
{
	int who = strcmp(b->name, p->ep[1]->ifname) == 0 ? 0 : 1;
	const struct link *mine = who == 0 ? a : b;
	const struct member *m = p->end[who];
	struct finding *f = lint_add(l, check, m, mine->name);
	if (!f)
		return;
	f->other = p->end[1 - who];
	finding_say(f, "%s and %s have the same hardware address %s in one segment: the bridge finds one of them at a time.",
	            "%s 与 %s 在同一网段中使用相同的 MAC %s：网桥同一时刻只能找到其中一个。", lint_name(l, m),
	            lint_name(l, f->other), lint_mac(a->mac));
	finding_evidence(f, "%s: %s %s", lint_name(l, p->end[0]), a->name, lint_mac(a->mac));
	finding_evidence(f, "%s: %s %s", lint_name(l, p->end[1]), b->name, lint_mac(b->mac));
	struct mac fresh = mine->mac;
	fresh.b[0] = (uint8_t)((fresh.b[0] | 2) & ~1);
	fresh.b[1] ^= 0x40;
	fresh.b[5] ^= (uint8_t)m->id;
	finding_fix(f, m, "ip link set %s address %s", mine->name, lint_mac(fresh));
}

static void duplicate_mac(struct lint *l, const struct lint_check *check)
{
	struct lint_pair p;
	for (uint32_t at = 0; lint_next_pair(l, &at, &p);) {
		const struct snapshot *s[2] = {p.end[0]->snapshot, p.end[1]->snapshot};
		for (size_t i = 0; are_neighbours(&p) && i < s[0]->link_count; i++)
			for (size_t k = 0; k < s[1]->link_count; k++) {
				const struct link *a = &s[0]->links[i], *b = &s[1]->links[k];
				if (mac_is_set(a->mac) && mac_equal(a->mac, b->mac) && is_at(s[0], a, p.ep[0]->ifname) &&
				    is_at(s[1], b, p.ep[1]->ifname))
					mac_check(l, check, &p, a, b);
			}
	}
}

/* ---- neighbour entries that were entered by hand ---- */

static void entry_check(struct lint *l, const struct lint_check *check, const struct lint_pair *p, int who, const struct neigh *n)
{
	const struct member *m = p->end[who], *owner = p->end[1 - who];
	const struct addr *a = n->state & NEIGH_PERMANENT ? snapshot_addr_of(owner->snapshot, n->ip) : NULL;
	const struct link *its = a ? link_at(p, 1 - who, a->link) : NULL, *mine = link_at(p, who, n->link);
	if (!its || !mine || !mac_is_set(n->mac) || mac_equal(its->mac, n->mac))
		return;
	char component[64];
	snprintf(component, sizeof component, "%s", lint_ip(n->ip));
	struct finding *f = lint_add(l, check, m, component);
	if (!f)
		return;
	f->other = owner;
	finding_say(f, "%s has a permanent entry that says %s is at %s, but %s has it, at %s: what it sends there is lost.",
	            "%s 有一条永久邻居条目：%s 位于 %s，但该地址属于 %s（%s）：发往那里的报文会丢失。", lint_name(l, m),
	            lint_ip(n->ip), lint_mac(n->mac), lint_name(l, owner), lint_mac(its->mac));
	finding_evidence(f, "%s: %s lladdr %s dev %s PERMANENT", lint_name(l, m), lint_ip(n->ip), lint_mac(n->mac), mine->name);
	finding_evidence(f, "%s: %s %s", lint_name(l, owner), its->name, lint_mac(its->mac));
	finding_fix(f, m, "ip neigh del %s dev %s", lint_ip(n->ip), mine->name);
}

static void permanent_neighbour(struct lint *l, const struct lint_check *check)
{
	struct lint_pair p;
	for (uint32_t at = 0; lint_next_pair(l, &at, &p);)
		for (int who = 0; are_neighbours(&p) && who < 2; who++)
			for (size_t i = 0; i < p.end[who]->snapshot->neigh_count; i++)
				entry_check(l, check, &p, who, &p.end[who]->snapshot->neighs[i]);
}

/* ---- MTUs ---- */

static void mtu_too_large(struct lint *l, const struct lint_check *check, const struct member *m, const struct link *link,
                          const struct member *host, const struct link *limit)
{
	struct finding *f = lint_add(l, check, m, link->name);
	if (!f)
		return;
	f->other = host;
	finding_say(f, "%s sends packets of up to %u bytes at %s, but %s on %s carries %u only: larger ones vanish without a word.",
	            "%s 的报文最大 %u 字节（接口 %s），而 %s（%s 上）只能承载 %u 字节：更大的报文会无声消失。", lint_name(l, m),
	            link->mtu, link->name, limit->name, lint_name(l, host), limit->mtu);
	finding_evidence(f, "%s: %s mtu %u", lint_name(l, m), link->name, link->mtu);
	finding_evidence(f, "%s: %s mtu %u", lint_name(l, host), limit->name, limit->mtu);
	finding_fix(f, m, "ip link set %s mtu %u", link->name, limit->mtu);
}

/* A patch port of Open vSwitch has none. */
static bool is_narrower(const struct link *l, uint32_t mtu) { return l && l->mtu && l->mtu < mtu; }

static void mtu_of_guest(struct lint *l, const struct lint_check *check, const struct member *m, const struct link *link)
{
	struct place place;
	char uplink[IFNAME_LEN];
	if (link->loopback || !link->up || link->master || !mac_is_set(link->mac) || !fleet_place(l->fleet, m, link->mac, &place) ||
	    !place.host->online || !place.host->snapshot)
		return;
	const struct snapshot *s = place.host->snapshot;
	const struct link *port = snapshot_link_named(s, place.port), *up = NULL;
	if (fleet_uplink(l->fleet, place.host, place.bridge, (struct mac){0}, uplink))
		up = snapshot_link_named(s, uplink);
	if (is_narrower(port, link->mtu))
		mtu_too_large(l, check, m, link, place.host, port);
	else if (is_narrower(up, link->mtu))
		mtu_too_large(l, check, m, link, place.host, up);
}

/* A tunnel adds 50 bytes of headers over IPv4, 70 over IPv6. */
static void mtu_of_tunnel(struct lint *l, const struct lint_check *check, const struct member *m, const struct link *tunnel)
{
	const struct route *r = tunnel->vx_remote.family ? snapshot_route(m->snapshot, tunnel->vx_remote, tunnel->vx_local) : NULL;
	uint32_t index = tunnel->parent && !tunnel->parent_elsewhere ? tunnel->parent : r ? r->link : 0;
	const struct link *below = index ? snapshot_link(m->snapshot, index) : NULL;
	uint32_t extra = tunnel->vx_remote.family == 6 ? 70 : 50;
	if (strcmp(tunnel->kind, "vxlan") != 0 || !tunnel->up || !below || below->loopback || !below->mtu ||
	    tunnel->mtu + extra <= below->mtu)
		return;
	struct finding *f = lint_add(l, check, m, tunnel->name);
	if (!f)
		return;
	finding_say(f, "Tunnel %s of %s takes packets of %u bytes, but with its headers only %u fit into %s.",
	            "隧道 %1$s（%2$s）接受 %3$u 字节的报文，但加上封装后，%5$s 只能容纳 %4$u 字节。", tunnel->name, lint_name(l, m),
	            tunnel->mtu, below->mtu - extra, below->name);
	finding_evidence(f, "%s mtu %u", tunnel->name, tunnel->mtu);
	finding_evidence(f, "%s mtu %u", below->name, below->mtu);
	finding_fix(f, m, "ip link set %s mtu %u", tunnel->name, below->mtu - extra);
}

static bool is_told(const struct lint *l, const struct lint_check *check, const struct member *m)
{
	for (size_t i = 0; i < l->result->count; i++)
		if (l->result->findings[i].check == check && l->result->findings[i].who == m)
			return true;
	return false;
}

/* Would the place where it is plugged in carry so much? */
static bool port_carries(const struct lint *l, const struct member *m, const struct link *link, uint32_t mtu)
{
	struct place place;
	if (m->kind == AGENT_HOST || !fleet_place(l->fleet, m, link->mac, &place) || !place.host->snapshot)
		return true;
	const struct link *port = snapshot_link_named(place.host->snapshot, place.port);
	return !is_narrower(port, mtu);
}

/* A host's bridge takes the smallest MTU of its ports: it is compared with other hosts' only. */
static void mtu_of_ends(struct lint *l, const struct lint_check *check, const struct lint_pair *p)
{
	const struct link *at[2] = {snapshot_link_named(p->end[0]->snapshot, p->ep[0]->ifname),
	                            snapshot_link_named(p->end[1]->snapshot, p->ep[1]->ifname)};
	if (!p->pair->onlink || p->end[0]->kind != p->end[1]->kind || !at[0] || !at[1] || at[0]->mtu == at[1]->mtu ||
	    is_told(l, check, p->end[0]) || is_told(l, check, p->end[1]))
		return;
	int small = at[0]->mtu < at[1]->mtu ? 0 : 1;
	const struct member *m = p->end[small];
	struct finding *f = lint_add(l, check, m, at[small]->name);
	if (!f)
		return;
	f->other = p->end[1 - small];
	finding_say(
	    f, "%s takes packets of up to %u bytes at %s, %s sends up to %u in the same segment: large ones are lost towards %s.",
	    "%s 最大接收 %u 字节（接口 %s），同网段的 %s 最大发送 %u 字节：发往 %s 的大包会丢失。", lint_name(l, m), at[small]->mtu,
	    at[small]->name, lint_name(l, f->other), at[1 - small]->mtu, lint_name(l, m));
	finding_evidence(f, "%s: %s mtu %u", lint_name(l, m), at[small]->name, at[small]->mtu);
	finding_evidence(f, "%s: %s mtu %u", lint_name(l, f->other), at[1 - small]->name, at[1 - small]->mtu);
	int to = port_carries(l, m, at[small], at[1 - small]->mtu) ? small : 1 - small;
	finding_fix(f, p->end[to], "ip link set %s mtu %u", at[to]->name, at[1 - to]->mtu);
}

static void mtu_drift(struct lint *l, const struct lint_check *check)
{
	const struct member *m;
	struct lint_pair p;
	for (size_t at = 0; (m = lint_next(l, &at));)
		for (size_t i = 0; i < m->snapshot->link_count; i++) {
			if (m->kind == AGENT_GUEST)
				mtu_of_guest(l, check, m, &m->snapshot->links[i]);
			mtu_of_tunnel(l, check, m, &m->snapshot->links[i]);
		}
	for (uint32_t at = 0; lint_next_pair(l, &at, &p);)
		mtu_of_ends(l, check, &p);
}

/* ---- VLANs ---- */

struct stand {
	struct place place;
	const struct link *port, *bridge;
	uint16_t pvid; /* 0 = none */
};

static uint16_t pvid_of(const struct snapshot *s, uint32_t port)
{
	for (size_t i = 0; i < s->vlan_count; i++)
		if (s->vlans[i].link == port && s->vlans[i].pvid)
			return s->vlans[i].vid;
	return 0;
}

static bool carries(const struct snapshot *s, uint32_t port, uint16_t vid)
{
	for (size_t i = 0; i < s->vlan_count; i++)
		if (s->vlans[i].link == port && s->vlans[i].vid <= vid && s->vlans[i].last >= vid)
			return true;
	return false;
}

/* The bridge of a port, the kernel's or one of Open vSwitch. */
static const struct link *switch_of(const struct snapshot *s, const struct link *port)
{
	const struct link *l = port->master ? snapshot_link(s, port->master) : NULL;
	return l && link_is_bridge(l) ? l : NULL;
}

static bool is_ovs(const struct link *bridge) { return strcmp(bridge->kind, "ovs-bridge") == 0; }

/* Where the machine is plugged in, when that is a bridge that minds VLANs. */
static bool stand_find(const struct lint *l, const struct member *m, struct mac mac, struct stand *out)
{
	if (!fleet_place(l->fleet, m, mac, &out->place) || !out->place.host->online || !out->place.host->snapshot)
		return false;
	const struct snapshot *s = out->place.host->snapshot;
	out->port = snapshot_link_named(s, out->place.port);
	out->bridge = out->port ? switch_of(s, out->port) : NULL;
	out->pvid = out->port ? pvid_of(s, out->port->index) : 0;
	return out->bridge && out->bridge->vlan_filtering && out->pvid;
}

static void vlan_pair(struct lint *l, const struct lint_check *check, const struct lint_pair *p)
{
	struct stand a, b;
	if (p->end[0]->kind != AGENT_GUEST || p->end[1]->kind != AGENT_GUEST || !overlap(p->ep[0]->ip4, p->ep[1]->ip4) ||
	    !stand_find(l, p->end[0], p->ep[0]->mac, &a) || !stand_find(l, p->end[1], p->ep[1]->mac, &b) || a.pvid == b.pvid)
		return;
	struct finding *f = lint_add(l, check, b.place.host, b.port->name);
	if (!f)
		return;
	f->other = p->end[1];
	finding_say(f, "%s and %s have addresses of one network, but their ports are in VLAN %u and VLAN %u.",
	            "%s 与 %s 的地址属于同一网络，但端口分别在 VLAN %u 与 VLAN %u。", lint_name(l, p->end[0]),
	            lint_name(l, p->end[1]), a.pvid, b.pvid);
	finding_evidence(f, "%s: %s pvid %u", lint_name(l, a.place.host), a.port->name, a.pvid);
	finding_evidence(f, "%s: %s pvid %u", lint_name(l, b.place.host), b.port->name, b.pvid);
	if (is_ovs(b.bridge))
		finding_fix(f, b.place.host, "ovs-vsctl set port %s tag=%u", b.port->name, a.pvid);
	else
		finding_fix(f, b.place.host, "bridge vlan add dev %s vid %u pvid untagged && bridge vlan del dev %s vid %u",
		            b.port->name, a.pvid, b.port->name, b.pvid);
}

static void vlan_differs(struct lint *l, const struct lint_check *check)
{
	struct lint_pair p;
	for (uint32_t at = 0; lint_next_pair(l, &at, &p);)
		vlan_pair(l, check, &p);
}

static void trunk_of(struct lint *l, const struct lint_check *check, const struct member *m, const struct link *link)
{
	struct stand at;
	char uplink[IFNAME_LEN], component[64];
	if (m->kind != AGENT_GUEST || link->loopback || !mac_is_set(link->mac) || !stand_find(l, m, link->mac, &at) ||
	    !fleet_uplink(l->fleet, at.place.host, at.place.bridge, (struct mac){0}, uplink))
		return;
	const struct snapshot *s = at.place.host->snapshot;
	const struct link *up = snapshot_link_named(s, uplink);
	if (!up || switch_of(s, up) != at.bridge || carries(s, up->index, at.pvid))
		return;
	snprintf(component, sizeof component, "%s VLAN %u", up->name, at.pvid);
	struct finding *f = lint_add(l, check, at.place.host, component);
	if (!f)
		return;
	f->other = m;
	finding_say(f, "Uplink %s of %s does not carry VLAN %u, where %s is: it reaches nobody on another host.",
	            "上联 %s（%s）未放行 VLAN %u，而 %s 在该 VLAN 中：它无法到达其他主机。", up->name, lint_name(l, at.place.host),
	            at.pvid, lint_name(l, m));
	finding_evidence(f, "%s pvid %u", at.port->name, at.pvid);
	if (is_ovs(at.bridge) && !pvid_of(s, up->index)) /* an access port is no trunk by being told one more VLAN */
		finding_fix(f, at.place.host, "ovs-vsctl add port %s trunks %u", up->name, at.pvid);
	else if (!is_ovs(at.bridge))
		finding_fix(f, at.place.host, "bridge vlan add dev %s vid %u", up->name, at.pvid);
}

static void vlan_not_on_uplink(struct lint *l, const struct lint_check *check)
{
	const struct member *m;
	for (size_t at = 0; (m = lint_next(l, &at));)
		for (size_t i = 0; i < m->snapshot->link_count; i++)
			trunk_of(l, check, m, &m->snapshot->links[i]);
}

const struct lint_check LINT_SEGMENT[] = {
    {"netmask-differs",
     LINT_WARNING,
     netmask_differs,
     "addresses of both ends",
     {"Machines of one segment have different masks", "同一网段内掩码不一致"},
     {"Two machines of a segment have overlapping networks of different size.", "同一网段的两台机器网络重叠但掩码长度不同。"},
     "RFC 1122 section 3.3.1"},
    {"duplicate-address",
     LINT_SERIOUS,
     duplicate_address,
     "addresses of both ends",
     {"Two machines of one segment have the same address", "同一网段内地址重复"},
     {"An address, be it a second one or one that is not used yet, is at two machines.",
      "某地址（包括附加或尚未使用的地址）同时配置在两台机器上。"},
     "RFC 5227"},
    {"duplicate-mac",
     LINT_SERIOUS,
     duplicate_mac,
     "links of both ends",
     {"Two machines of one segment have the same hardware address", "同一网段内 MAC 重复"},
     {"A hardware address is at two machines, be it of a device that is not used yet.",
      "某 MAC 同时出现在两台机器上（包括尚未使用的设备）。"},
     "IEEE 802 section 8"},
    {"permanent-neighbour-wrong",
     LINT_SERIOUS,
     permanent_neighbour,
     "neighbours and addresses of both ends",
     {"A permanent neighbour entry is wrong", "永久邻居条目错误"},
     {"An entry made by hand leads to a hardware address that is not the owner's.", "手工条目指向的 MAC 不是该地址所有者的 MAC。"},
     "ip-neighbour(8)"},
    {"mtu-drift",
     LINT_WARNING,
     mtu_drift,
     "MTUs of both ends, ports, uplinks, tunnels",
     {"MTUs do not fit each other", "MTU 不一致"},
     {"A guest's MTU is larger than its port or uplink carries, two ends of a segment differ, or a tunnel does not fit into what "
      "is below.",
      "虚拟机 MTU 大于端口或上联可承载的值、同网段两端不同，或隧道加封装后超过下层。"},
     "RFC 1191, RFC 7348 section 4.3"},
    {"vlan-differs",
     LINT_WARNING,
     vlan_differs,
     "bridge VLANs, addresses",
     {"Machines of one network are in different VLANs", "同一网络的机器在不同 VLAN"},
     {"Two guests have addresses of one network, their ports different VLANs.", "两台虚拟机地址同网络而端口 VLAN 不同。"},
     "IEEE 802.1Q, bridge(8)"},
    {"vlan-not-on-uplink",
     LINT_WARNING,
     vlan_not_on_uplink,
     "bridge VLANs, uplinks",
     {"An uplink does not carry a VLAN that is used", "上联未放行在用的 VLAN"},
     {"The VLAN of a guest's port is not allowed on the uplink of its bridge.", "虚拟机端口的 VLAN 未在网桥上联上放行。"},
     "IEEE 802.1Q, bridge(8)"},
};
const size_t LINT_SEGMENT_COUNT = sizeof LINT_SEGMENT / sizeof *LINT_SEGMENT;
