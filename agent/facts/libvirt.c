/* libvirt: domains and networks from the XML that the daemon keeps of them; see platform.h. */
#include "agent/facts/platform.h"
#include "agent/facts/xml.h"
#include "proto/base/mem.h"
#include "proto/platform_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* What is said of the whole domain, and of the adapter that is being read. */
struct domain {
	struct vport vm, nic;
	bool in_nic, filtered;
	size_t first; /* of its adapters in the snapshot */
	const char *leases;
	int64_t now;
};

#define SET(field, text) str_copy((field), sizeof(field), (text))

static uint8_t state_of(const char *state, const char *reason)
{
	static const char *const stunned[] = {"migration",     "save",        "dump",      "io-error",       "snapshot",
	                                      "from-snapshot", "starting-up", "post-copy", "postcopy-failed"};

	if (strcmp(state, "running") == 0 || strcmp(state, "blocked") == 0)
		return VM_RUNNING;
	if (strcmp(state, "crashed") == 0)
		return VM_CRASHED;
	if (strcmp(state, "shutoff") == 0 || strcmp(state, "shut off") == 0)
		return VM_OFF;
	if (strcmp(state, "paused") != 0 && strcmp(state, "pmsuspended") != 0)
		return VM_UNKNOWN;
	for (size_t i = 0; i < COUNT(stunned); i++) {
		if (strcmp(reason, stunned[i]) == 0)
			return VM_STUNNED;
	}
	return strcmp(reason, "crashed") == 0 || strcmp(reason, "panicked") == 0 ? VM_CRASHED : VM_PAUSED;
}

/* "0-3,^2,7": how many. */
static uint16_t cpus_of(const char *set)
{
	unsigned n = 0;

	for (const char *at = set; *at;) {
		bool out = *at == '^';
		char *end;
		unsigned long first = strtoul(at + out, &end, 10), last = first;
		if (end == at + out)
			return 0;
		if (*end == '-')
			last = strtoul(end + 1, &end, 10);
		if (last < first || last - first > 4096)
			return 0;
		n = out ? n - (n > 0) : n + (unsigned)(last - first) + 1;
		at = *end == ',' ? end + 1 : end;
		if (at == end && *at)
			return 0;
	}
	return n > UINT16_MAX ? 0 : (uint16_t)n;
}

/* ---- the domain ---- */

static void domain_tag(struct domain *d, const struct xml *x)
{
	if (x->opens && xml_is(x, "domstatus")) {
		d->vm.state = state_of(xml_attr(x, "state"), xml_attr(x, "reason"));
		SET(d->vm.state_why, xml_attr(x, "reason"));
	} else if (x->opens && xml_is(x, "domain/vcpu")) {
		d->vm.cpus = cpus_of(xml_attr(x, "cpuset"));
	} else if (x->closes && xml_is(x, "domain/vcpu")) {
		d->vm.vcpus = (uint16_t)atoi(x->text);
	} else if (x->closes && xml_is(x, "domain/name")) {
		SET(d->vm.vm, x->text);
	} else if (x->closes && xml_is(x, "domain/uuid")) {
		SET(d->vm.id, x->text);
	}
}

/* ---- an adapter ---- */

static void nic_start(struct domain *d, const struct xml *x)
{
	static const struct {
		const char *type, *backend;
	} backends[] = {{"network", "bridge"}, {"bridge", "bridge"},    {"direct", "macvtap"}, {"ethernet", "tap"},
	                {"user", "user"},      {"hostdev", "vf"},       {"vdpa", "vdpa"},      {"vhostuser", "vhostuser"},
	                {"null", "none"},      {"internal", "internal"}};
	const char *type = xml_attr(x, "type");

	d->nic = (struct vport){.connected = SAID_YES};
	d->in_nic = true;
	d->filtered = false;
	SET(d->nic.platform, "libvirt");
	for (size_t i = 0; i < COUNT(backends); i++) {
		if (strcmp(type, backends[i].type) == 0)
			SET(d->nic.backend, backends[i].backend);
	}
}

static void nic_source(struct domain *d, const struct xml *x)
{
	const char *network = xml_attr(x, "network"), *bridge = xml_attr(x, "bridge"), *dev = xml_attr(x, "dev");

	if (network[0])
		SET(d->nic.network, network);
	if (bridge[0])
		SET(d->nic.vswitch, bridge);
	if (!d->nic.network[0] && (bridge[0] || dev[0]))
		SET(d->nic.network, bridge[0] ? bridge : dev);
}

static void nic_target(struct domain *d, const struct xml *x) { SET(d->nic.port, xml_attr(x, "dev")); }
static void nic_mac(struct domain *d, const struct xml *x) { mac_parse(xml_attr(x, "address"), &d->nic.mac); }
static void nic_model(struct domain *d, const struct xml *x) { SET(d->nic.model, xml_attr(x, "type")); }
static void nic_alias(struct domain *d, const struct xml *x) { SET(d->nic.nic, xml_attr(x, "name")); }
static void nic_link(struct domain *d, const struct xml *x)
{
	d->nic.connected = strcmp(xml_attr(x, "state"), "down") == 0 ? SAID_NO : SAID_YES;
}

static void nic_driver(struct domain *d, const struct xml *x)
{
	const char *name = xml_attr(x, "name");

	d->nic.queues = (uint16_t)atoi(xml_attr(x, "queues"));
	d->nic.vhost = !name[0] ? SAID_NOTHING : strcmp(name, "vhost") == 0 ? SAID_YES : SAID_NO;
}

/* libvirt counts kilobytes per second. */
static uint32_t rate_of(const struct xml *x)
{
	unsigned long long kb = strtoull(xml_attr(x, "average"), NULL, 10);

	return kb > UINT32_MAX / 8 ? UINT32_MAX : (uint32_t)(kb * 8);
}
static void nic_inbound(struct domain *d, const struct xml *x) { d->nic.rate_in = rate_of(x); }
static void nic_outbound(struct domain *d, const struct xml *x) { d->nic.rate_out = rate_of(x); }

static void nic_vlan(struct domain *d, const struct xml *x)
{
	d->nic.vlan_mode = strcmp(xml_attr(x, "trunk"), "yes") == 0 ? VLAN_TRUNK : VLAN_ACCESS;
}

static void nic_tag(struct domain *d, const struct xml *x)
{
	unsigned long id = strtoul(xml_attr(x, "id"), NULL, 10);
	size_t used = strlen(d->nic.vlans);

	if (id == 0 || id > 4094)
		return;
	if (d->nic.vlan_mode == VLAN_ACCESS)
		d->nic.vlan = (uint16_t)id;
	else
		snprintf(d->nic.vlans + used, sizeof d->nic.vlans - used, "%s%lu", used ? "," : "", id);
	if (xml_attr(x, "nativeMode")[0])
		d->nic.native = (uint16_t)id;
}

/* The filters that come with libvirt; what others do their names do not tell. */
static void nic_filter(struct domain *d, const struct xml *x)
{
	const char *name = xml_attr(x, "filter");
	bool clean = strncmp(name, "clean-traffic", 13) == 0;

	d->filtered = true;
	SET(d->nic.ip_learning, "any"); /* unless a parameter says otherwise */
	if (clean || strcmp(name, "no-mac-spoofing") == 0)
		d->nic.mac_guard = SAID_YES;
	if (clean || strcmp(name, "no-ip-spoofing") == 0)
		d->nic.ip_guard = SAID_YES;
	d->nic.firewall = SAID_YES;
}

static void nic_parameter(struct domain *d, const struct xml *x)
{
	const char *name = xml_attr(x, "name");

	if (strcmp(name, "CTRL_IP_LEARNING") == 0)
		SET(d->nic.ip_learning, xml_attr(x, "value"));
	else if (strcmp(name, "IP") == 0)
		SET(d->nic.ip_learning, "none");
}

static void nic_address(struct domain *d, const struct xml *x)
{
	if (strcmp(d->nic.backend, "vf") == 0 && !d->nic.pf[0] && strcmp(xml_attr(x, "type"), "pci") == 0)
		d->nic.vf = (uint16_t)strtoul(xml_attr(x, "function"), NULL, 0);
}

static const struct {
	const char *tail;
	void (*read)(struct domain *d, const struct xml *x);
} nic_tags[] = {
    {"interface/mac", nic_mac},
    {"interface/source", nic_source},
    {"interface/actual/source", nic_source},
    {"interface/target", nic_target},
    {"interface/model", nic_model},
    {"interface/driver", nic_driver},
    {"interface/alias", nic_alias},
    {"interface/link", nic_link},
    {"interface/bandwidth/inbound", nic_inbound},
    {"interface/bandwidth/outbound", nic_outbound},
    {"interface/vlan", nic_vlan},
    {"interface/vlan/tag", nic_tag},
    {"interface/filterref", nic_filter},
    {"interface/filterref/parameter", nic_parameter},
    {"interface/source/address", nic_address},
};

/* "EXPIRES UUID-MAC IP SERVER", of what the filters learned by DHCP. */
static uint8_t lease_of(const struct domain *d)
{
	char mac[MAC_TEXT_MAX], key[PLATFORM_NAME_MAX + MAC_TEXT_MAX + 2];

	if (strcmp(d->nic.ip_learning, "dhcp") != 0 || !d->leases)
		return SAID_NOTHING;
	snprintf(key, sizeof key, "%s-%s ", d->vm.id, mac_format(d->nic.mac, mac));
	for (const char *at = d->leases, *line; (line = strstr(at, key)); at = line + 1) {
		const char *start = line;
		while (start > d->leases && start[-1] != '\n')
			start--;
		if (strtoll(start, NULL, 10) > d->now)
			return SAID_YES;
	}
	return SAID_NO;
}

static void nic_end(struct snapshot *s, struct domain *d)
{
	struct vport *v = platform_row(s, 0);

	d->in_nic = false;
	if (!d->nic.vlan_mode)
		d->nic.vlan_mode = VLAN_UNTAGGED;
	if (!d->filtered)
		d->nic.firewall = d->nic.mac_guard = d->nic.ip_guard = SAID_NO;
	d->nic.lease = lease_of(d);
	if (v)
		*v = d->nic;
}

static void nic_of_domain(struct snapshot *s, struct domain *d, const struct xml *x)
{
	if (x->opens && xml_is(x, "devices/interface"))
		nic_start(d, x);
	for (size_t i = 0; d->in_nic && x->opens && i < COUNT(nic_tags); i++) {
		if (xml_is(x, nic_tags[i].tail))
			nic_tags[i].read(d, x);
	}
	if (x->closes && d->in_nic && xml_is(x, "devices/interface"))
		nic_end(s, d);
}

static void vm_spread(struct snapshot *s, const struct domain *d)
{
	for (size_t i = d->first; i < s->vport_count; i++) {
		struct vport *v = &s->vports[i];
		SET(v->vm, d->vm.vm);
		SET(v->id, d->vm.id);
		SET(v->state_why, d->vm.state_why);
		v->state = d->vm.state;
		v->vcpus = d->vm.vcpus;
		v->cpus = d->vm.cpus;
		if (!v->nic[0])
			snprintf(v->nic, sizeof v->nic, "net%zu", i - d->first);
	}
}

void libvirt_read_domain(struct snapshot *s, const char *text, const char *leases, int64_t now)
{
	struct domain d = {.first = s->vport_count, .leases = leases, .now = now};
	struct xml x;

	for (xml_begin(&x, text); xml_next(&x);) {
		domain_tag(&d, &x);
		nic_of_domain(s, &d, &x);
	}
	/* a definition alone: it is not running */
	if (d.vm.state == VM_UNKNOWN && !strstr(text, "<domstatus"))
		d.vm.state = VM_OFF;
	if (d.vm.vm[0])
		vm_spread(s, &d);
	else
		s->vport_count = d.first;
}

/* ---- networks ---- */

static void network_tag(struct vswitch *n, const struct xml *x)
{
	const char *mode = xml_attr(x, "mode");

	if (x->closes && xml_is(x, "network/name"))
		SET(n->name, x->text);
	else if (x->opens && xml_is(x, "network/bridge"))
		SET(n->bridge, xml_attr(x, "name"));
	else if (x->opens && xml_is(x, "network/forward"))
		n->kind = !mode[0] || strcmp(mode, "nat") == 0 ? VSWITCH_NAT : VSWITCH_EXTERNAL;
	else if (x->opens && xml_is(x, "network/ip"))
		n->management = SAID_YES;
}

void libvirt_read_network(struct snapshot *s, const char *text, bool active)
{
	struct vswitch n = {.kind = VSWITCH_ISOLATED, .active = active ? SAID_YES : SAID_NO};
	struct vswitch *row;
	struct xml x;

	SET(n.platform, "libvirt");
	for (xml_begin(&x, text); xml_next(&x);)
		network_tag(&n, &x);
	row = n.name[0] ? platform_row(s, 1) : NULL;
	if (row)
		*row = n;
}
