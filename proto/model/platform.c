/* platform: the tables of fields, and one field from and to text. */
#include "proto/model/platform.h"

#include "proto/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const char *const states[] = {"unknown", "running", "paused", "stunned", "off", "crashed", NULL};
static const char *const modes[] = {"unknown", "untagged", "access", "trunk", "promiscuous", "isolated", "community", NULL};
static const char *const kinds[] = {"unknown", "external", "internal", "private", "nat", "isolated", NULL};
static const char *const isolations[] = {"unknown", "none", "vlan", "subnet", "external", NULL};
static const char *const port_states[] = {"unknown", "up", "down", "err-disabled", NULL};

const char *vm_state_name(uint8_t state) { return state < COUNT(states) - 1 ? states[state] : states[0]; }
const char *vlan_mode_name(uint8_t mode) { return mode < COUNT(modes) - 1 ? modes[mode] : modes[0]; }

#define AT(f) offsetof(ROW, f), sizeof(((ROW *)0)->f)
#define TEXT(f, d)                                                                                                                 \
	{                                                                                                                          \
#f, PFIELD_TEXT, false, AT(f), NULL, 0, d                                                                          \
	}
#define NUMBER(f, d)                                                                                                               \
	{                                                                                                                          \
#f, PFIELD_NUMBER, false, AT(f), NULL, 0, d                                                                        \
	}
#define PASSING(f, t, d)                                                                                                           \
	{                                                                                                                          \
#f, t, true, AT(f), NULL, 0, d                                                                                     \
	}
#define SAID(f, d)                                                                                                                 \
	{                                                                                                                          \
#f, PFIELD_SAID, false, AT(f), NULL, 0, d                                                                          \
	}
#define ENUM(f, n, d)                                                                                                              \
	{                                                                                                                          \
#f, PFIELD_ENUM, false, AT(f), n, 0, d                                                                             \
	}
#define MAC(f, d)                                                                                                                  \
	{                                                                                                                          \
#f, PFIELD_MAC, false, AT(f), NULL, 0, d                                                                           \
	}
#define MACS(f, c, d)                                                                                                              \
	{                                                                                                                          \
#f, PFIELD_MACS, false, AT(f), NULL, offsetof(ROW, c), d                                                           \
	}

#define ROW struct vport
static const struct pfield vport_fields[] = {
    TEXT(platform, "libvirt, proxmox, vmware, hyperv, openstack, cloud"),
    TEXT(vm, "the VM, by the name the platform's commands take"),
    TEXT(id, "its number or UUID"),
    TEXT(nic, "the adapter, by its name there"),
    TEXT(guest, "the VM's own host name, as its tools say"),
    TEXT(host, "the host it runs on"),
    TEXT(role, "router, firewall or dhcp: what it is to other machines"),
    TEXT(port, "the host's device"),
    MAC(mac, "its hardware address as configured"),
    TEXT(model, "virtio, e1000, vmxnet3, synthetic, legacy, ..."),
    TEXT(backend, "tap, bridge, macvtap, user, vf, none"),
    TEXT(network, "network or port group"),
    TEXT(vswitch, "virtual switch"),
    {"ip", PFIELD_IP, false, AT(ip), NULL, 0, "the address the platform assigned"},
    ENUM(state, states, "of the VM"),
    TEXT(state_why, "why it is in that state"),
    SAID(connected, "the virtual cable is plugged in"),
    SAID(blocked, "the port passes nothing"),
    TEXT(blocked_why, "policy, no free port, ..."),
    SAID(in_sync, "the host has what the controller wants"),
    ENUM(vlan_mode, modes, "of the port"),
    NUMBER(vlan, "access or primary VLAN"),
    NUMBER(native, "native VLAN of a trunk"),
    NUMBER(secondary, "secondary VLAN of a private VLAN"),
    TEXT(vlans, "VLANs of a trunk: 1,10-20"),
    ENUM(isolation, isolations, "Hyper-V's isolation mode"),
    NUMBER(subnet, "virtual subnet (VSID) or isolation id"),
    SAID(untagged, "isolation passes untagged frames"),
    SAID(mac_guard, "frames from other hardware addresses are dropped"),
    SAID(change_guard, "frames to it are dropped once it has changed its hardware address"),
    SAID(promiscuous, "it gets frames for other hardware addresses"),
    SAID(dhcp_guard, "its DHCP offers are dropped"),
    SAID(router_guard, "its router advertisements are dropped"),
    SAID(ip_guard, "frames from other IP addresses are dropped"),
    SAID(firewall, "the platform's firewall filters it"),
    TEXT(ip_learning, "how the IP guard learns: dhcp, any, none"),
    PASSING(lease, PFIELD_SAID, "it has learned an address that is still good"),
    NUMBER(storm_limit, "broadcasts per second"),
    NUMBER(rate_in, "limit towards the VM, kbit/s"),
    NUMBER(rate_out, "limit from the VM, kbit/s"),
    NUMBER(queues, "queue pairs"),
    SAID(vhost, "the kernel moves its packets"),
    SAID(vmq, "hardware queues (VMQ) are used"),
    NUMBER(vcpus, "virtual CPUs"),
    NUMBER(cpus, "CPUs of the host they may use"),
    NUMBER(cpu_limit, "limit, percent of one CPU"),
    TEXT(pf, "physical function of its virtual function"),
    NUMBER(vf, "number of the virtual function"),
    NUMBER(vf_vlan, "VLAN of the virtual function"),
    SAID(vf_spoofchk, "the NIC checks source addresses"),
    SAID(vf_trust, "the virtual function is trusted"),
    SAID(vf_link, "the virtual function's link is enabled"),
};
#define VPORT_KEY offsetof(struct vport, vm), offsetof(struct vport, nic)
#undef ROW

#define ROW struct vswitch
static const struct pfield vswitch_fields[] = {
    TEXT(platform, "as of a vport"),
    TEXT(name, "the switch or network"),
    TEXT(host, "the host it is on; absent: on all"),
    ENUM(kind, kinds, "what it connects"),
    TEXT(bridge, "the host's device"),
    TEXT(uplinks, "physical interfaces, separated by commas"),
    TEXT(vlans, "VLANs it passes"),
    SAID(active, "it is started"),
    SAID(management, "the host itself has a port on it"),
    SAID(nat_running, "its address translation works"),
    SAID(in_sync, "the host has what the controller wants"),
    TEXT(extension, "filter or extension in its path"),
    SAID(extension_ok, "that is there and passes frames"),
    SAID(hw_offload, "the NIC forwards flows by itself"),
};
#define VSWITCH_KEY offsetof(struct vswitch, host), offsetof(struct vswitch, name)
#undef ROW

#define ROW struct swport
static const struct pfield swport_fields[] = {
    TEXT(platform, "switch, router, cloud"),
    TEXT(device, "the switch"),
    TEXT(port, "its port"),
    TEXT(host, "the machine that is plugged in"),
    TEXT(ifname, "and its interface"),
    MAC(peer, "hardware address of that machine"),
    MAC(mac, "hardware address of the device itself"),
    ENUM(state, port_states, "of the port"),
    TEXT(why, "why it is in that state: bpduguard, psecure-violation"),
    ENUM(vlan_mode, modes, "of the port"),
    NUMBER(vlan, "access VLAN"),
    NUMBER(native, "native VLAN of a trunk"),
    TEXT(vlans, "allowed VLANs"),
    NUMBER(mac_limit, "port security: how many addresses"),
    PASSING(violations, PFIELD_NUMBER, "of port security"),
    SAID(arp_inspection, "ARP is checked against bindings"),
    SAID(trusted, "but not on this port"),
    SAID(bound_said, "the list of bound addresses is complete"),
    MACS(bound, bound_count, "secured or snooped addresses"),
    SAID(src_dst_check, "a cloud's check of source and destination"),
    SAID(proxy_arp, "it answers ARP for others"),
    PASSING(pause_rate, PFIELD_NUMBER, "pause frames per second"),
};
#define SWPORT_KEY offsetof(struct swport, device), offsetof(struct swport, port)
#undef ROW

#define ROW struct pnote
static const struct pfield pnote_fields[] = {
    TEXT(platform, "as of a vport"),
    TEXT(object, "VM, switch or host it is about"),
    TEXT(code, "the platform's own code: pktmon.30, vmswitch.106, esxi.firewall"),
    PASSING(count, PFIELD_NUMBER, "how often"),
    PASSING(text, PFIELD_TEXT, "in words"),
};
#define PNOTE_KEY offsetof(struct pnote, object), offsetof(struct pnote, code)
#undef ROW

const struct ptable platform_tables[PTABLE_COUNT] = {
    {"vports", "vport", sizeof(struct vport), SNAP_VPORTS_MAX, {VPORT_KEY}, COUNT(vport_fields), vport_fields},
    {"vswitches", "vswitch", sizeof(struct vswitch), SNAP_VSWITCHES_MAX, {VSWITCH_KEY}, COUNT(vswitch_fields), vswitch_fields},
    {"swports", "swport", sizeof(struct swport), SNAP_SWPORTS_MAX, {SWPORT_KEY}, COUNT(swport_fields), swport_fields},
    {"pnotes", "pnote", sizeof(struct pnote), SNAP_PNOTES_MAX, {PNOTE_KEY}, COUNT(pnote_fields), pnote_fields},
};

/* ---- from text ---- */

static int set_text(const struct pfield *f, void *at, const char *text) { return str_copy(at, f->size, text) < 0 ? -1 : 0; }

static int set_number(const struct pfield *f, void *at, const char *text)
{
	char *end;
	unsigned long long n = strtoull(text, &end, 10), max = f->size == 8 ? ~0ULL : (1ULL << 8 * f->size) - 1;

	if (!*text || *text == '-' || *end || n > max)
		return -1;
	switch (f->size) {
	case 2: *(uint16_t *)at = (uint16_t)n; break;
	case 4: *(uint32_t *)at = (uint32_t)n; break;
	default: *(uint64_t *)at = n; break;
	}
	return 0;
}

static int set_said(uint8_t *at, const char *text)
{
	static const char *const yes[] = {"yes", "true", "on", "1"}, *const no[] = {"no", "false", "off", "0"};

	for (size_t i = 0; i < COUNT(yes); i++) {
		if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
			*at = strcasecmp(text, yes[i]) == 0 ? SAID_YES : SAID_NO;
			return 0;
		}
	}
	return -1;
}

static int set_enum(const struct pfield *f, uint8_t *at, const char *text)
{
	for (size_t i = 0; f->names[i]; i++) {
		if (strcasecmp(f->names[i], text) == 0) {
			*at = (uint8_t)i;
			return 0;
		}
	}
	return -1;
}

/* As everybody writes them: with colons, dashes, dots, or without anything. */
static int mac_of(const char *text, struct mac *out)
{
	char digits[13], plain[MAC_TEXT_MAX];
	size_t n = 0;

	for (; *text; text++) {
		if (strchr(":-.", *text))
			continue;
		if (n == 12)
			return -1;
		digits[n++] = *text;
	}
	if (n != 12)
		return -1;
	snprintf(plain, sizeof plain, "%.2s:%.2s:%.2s:%.2s:%.2s:%.2s", digits, digits + 2, digits + 4, digits + 6, digits + 8,
	         digits + 10);
	return mac_parse(plain, out);
}

static int add_mac(const struct pfield *f, void *row, const char *text)
{
	uint8_t *count = (uint8_t *)row + f->count_offset;
	struct mac *macs = (struct mac *)(void *)((char *)row + f->offset);

	if (*count == PLATFORM_MACS_MAX || mac_of(text, &macs[*count]) < 0)
		return -1;
	++*count;
	return 0;
}

int pfield_set(const struct pfield *f, void *row, const char *text)
{
	void *at = (char *)row + f->offset;

	if (!*text)
		return 0;
	switch (f->type) {
	case PFIELD_TEXT: return set_text(f, at, text);
	case PFIELD_NUMBER: return set_number(f, at, text);
	case PFIELD_SAID: return set_said(at, text);
	case PFIELD_ENUM: return set_enum(f, at, text);
	case PFIELD_MAC: return mac_of(text, at);
	case PFIELD_MACS: return add_mac(f, row, text);
	default: return ip_parse(text, at);
	}
}

/* ---- to text ---- */

static unsigned long long number_at(const struct pfield *f, const void *at)
{
	switch (f->size) {
	case 2: return *(const uint16_t *)at;
	case 4: return *(const uint32_t *)at;
	default: return *(const uint64_t *)at;
	}
}

static bool get_number(const struct pfield *f, const void *at, char *out, size_t size)
{
	unsigned long long n = number_at(f, at);

	snprintf(out, size, "%llu", n);
	return n != 0;
}

static bool get_macs(const struct pfield *f, const void *row, char *out, size_t size)
{
	uint8_t count = *((const uint8_t *)row + f->count_offset);
	const struct mac *macs = (const struct mac *)(const void *)((const char *)row + f->offset);
	char text[MAC_TEXT_MAX];
	size_t used = 0;

	for (size_t i = 0; i < count && i < PLATFORM_MACS_MAX && used < size; i++)
		used += (size_t)snprintf(out + used, size - used, "%s%s", i ? " " : "", mac_format(macs[i], text));
	return count > 0;
}

static bool get_code(const char *const *names, uint8_t code, char *out, size_t size)
{
	size_t n = 0;

	while (names[n])
		n++;
	snprintf(out, size, "%s", code < n ? names[code] : names[0]);
	return code > 0 && code < n;
}

static bool get_mac(const struct mac *at, char *out, size_t size)
{
	char text[MAC_TEXT_MAX];

	snprintf(out, size, "%s", mac_format(*at, text));
	return mac_is_set(*at);
}

static bool get_ip(const struct ip *at, char *out, size_t size)
{
	char text[IP_TEXT_MAX];

	snprintf(out, size, "%s", at->family ? ip_format(*at, text) : "");
	return at->family != 0;
}

bool pfield_get(const struct pfield *f, const void *row, char *out, size_t size)
{
	static const char *const said[] = {"", "no", "yes", NULL};
	const void *at = (const char *)row + f->offset;

	switch (f->type) {
	case PFIELD_TEXT: snprintf(out, size, "%s", (const char *)at); return *(const char *)at;
	case PFIELD_NUMBER: return get_number(f, at, out, size);
	case PFIELD_SAID: return get_code(said, *(const uint8_t *)at, out, size);
	case PFIELD_ENUM: return get_code(f->names, *(const uint8_t *)at, out, size);
	case PFIELD_MAC: return get_mac(at, out, size);
	case PFIELD_MACS: return get_macs(f, row, out, size);
	default: return get_ip(at, out, size);
	}
}

void prow_name(const struct ptable *t, const void *row, char *out, size_t size)
{
	const char *first = (const char *)row + t->key[0], *second = (const char *)row + t->key[1];

	snprintf(out, size, "%s%s%s", first, *first && *second ? "." : "", second);
}

enum said vlans_have(const char *list, unsigned vid)
{
	if (!*list)
		return SAID_NOTHING;
	if (strcmp(list, "all") == 0)
		return SAID_YES;
	for (const char *at = list; *at;) {
		char *end;
		unsigned long first = strtoul(at, &end, 10), last = first;
		if (end == at)
			return strcmp(list, "none") == 0 ? SAID_NO : SAID_NOTHING;
		if (*end == '-')
			last = strtoul(end + 1, &end, 10);
		if (vid >= first && vid <= last)
			return SAID_YES;
		at = end + strspn(end, ",; ");
		if (at == end && *at)
			return SAID_NOTHING;
	}
	return SAID_NO;
}
