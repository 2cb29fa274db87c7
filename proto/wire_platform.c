/* wire_platform: the tables of what platforms and switches say of themselves. An odd value there is one that was not said. */
#include "proto/wire_shape.h"

#include "proto/model/limits.h"
#include "proto/model/platform.h"

#include "bothways.pb-c.h"

#define PB    Bothways__V1__VPort
#define MODEL struct vport
static const struct field vport_fields[] = {
    TEXT(platform),
    TEXT(vm),
    TEXT(id),
    TEXT(nic),
    TEXT(guest),
    TEXT(host),
    TEXT(role),
    TEXT(port),
    MAC(mac),
    TEXT(model),
    TEXT(backend),
    TEXT(network),
    TEXT(vswitch),
    IP(ip),
    ENUM_OR(state, VM_CRASHED, 0),
    TEXT(state_why),
    ENUM_OR(connected, SAID_YES, 0),
    ENUM_OR(blocked, SAID_YES, 0),
    TEXT(blocked_why),
    ENUM_OR(in_sync, SAID_YES, 0),
    ENUM_OR(vlan_mode, VLAN_COMMUNITY, 0),
    NUM(vlan),
    NUM(native),
    NUM(secondary),
    TEXT(vlans),
    ENUM_OR(isolation, ISOLATION_EXTERNAL, 0),
    NUM(subnet),
    ENUM_OR(untagged, SAID_YES, 0),
    ENUM_OR(mac_guard, SAID_YES, 0),
    ENUM_OR(change_guard, SAID_YES, 0),
    ENUM_OR(promiscuous, SAID_YES, 0),
    ENUM_OR(dhcp_guard, SAID_YES, 0),
    ENUM_OR(router_guard, SAID_YES, 0),
    ENUM_OR(ip_guard, SAID_YES, 0),
    ENUM_OR(firewall, SAID_YES, 0),
    TEXT(ip_learning),
    ENUM_OR(lease, SAID_YES, 0),
    NUM(storm_limit),
    NUM(rate_in),
    NUM(rate_out),
    NUM(queues),
    ENUM_OR(vhost, SAID_YES, 0),
    ENUM_OR(vmq, SAID_YES, 0),
    NUM(vcpus),
    NUM(cpus),
    NUM(cpu_limit),
    TEXT(pf),
    NUM(vf),
    NUM(vf_vlan),
    ENUM_OR(vf_spoofchk, SAID_YES, 0),
    ENUM_OR(vf_trust, SAID_YES, 0),
    ENUM_OR(vf_link, SAID_YES, 0),
};
const struct shape vport_shape = SHAPE("vport", vport_fields, bothways__v1__vport__descriptor);
#undef PB
#undef MODEL

#define PB    Bothways__V1__VSwitch
#define MODEL struct vswitch
static const struct field vswitch_fields[] = {
    TEXT(platform),
    TEXT(name),
    TEXT(host),
    ENUM_OR(kind, VSWITCH_ISOLATED, 0),
    TEXT(bridge),
    TEXT(uplinks),
    TEXT(vlans),
    ENUM_OR(active, SAID_YES, 0),
    ENUM_OR(management, SAID_YES, 0),
    ENUM_OR(nat_running, SAID_YES, 0),
    ENUM_OR(in_sync, SAID_YES, 0),
    TEXT(extension),
    ENUM_OR(extension_ok, SAID_YES, 0),
    ENUM_OR(hw_offload, SAID_YES, 0),
};
const struct shape vswitch_shape = SHAPE("vswitch", vswitch_fields, bothways__v1__vswitch__descriptor);
#undef PB
#undef MODEL

#define PB    Bothways__V1__SwPort
#define MODEL struct swport
static const struct field swport_fields[] = {
    TEXT(platform),
    TEXT(device),
    TEXT(port),
    TEXT(host),
    TEXT(ifname),
    MAC(peer),
    MAC(mac),
    ENUM_OR(state, SWPORT_ERR_DISABLED, 0),
    TEXT(why),
    ENUM_OR(vlan_mode, VLAN_COMMUNITY, 0),
    NUM(vlan),
    NUM(native),
    TEXT(vlans),
    NUM(mac_limit),
    NUM(violations),
    ENUM_OR(arp_inspection, SAID_YES, 0),
    ENUM_OR(trusted, SAID_YES, 0),
    ENUM_OR(bound_said, SAID_YES, 0),
    MACS(bound, bound_count),
    ENUM_OR(src_dst_check, SAID_YES, 0),
    ENUM_OR(proxy_arp, SAID_YES, 0),
    NUM(pause_rate),
};
const struct shape swport_shape = SHAPE("swport", swport_fields, bothways__v1__sw_port__descriptor);
#undef PB
#undef MODEL

#define PB    Bothways__V1__PNote
#define MODEL struct pnote
static const struct field pnote_fields[] = {
    TEXT(platform), TEXT(object), TEXT(code), NUM(count), TEXT(text),
};
const struct shape pnote_shape = SHAPE("pnote", pnote_fields, bothways__v1__pnote__descriptor);
#undef PB
#undef MODEL
