/* proxmox: VMs, their firewall's options and the host's bridges, from Proxmox VE's files; see platform.h. */
#include "agent/facts/platform.h"
#include "proto/base/mem.h"
#include "proto/platform_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a)         (sizeof(a) / sizeof *(a))
#define SET(field, text) str_copy((field), sizeof(field), (text))
#define LINE_MAX_LEN     512

/* The next line without blanks at its ends, cut if it is too long; NULL = no more. */
static const char *line_next(const char *at, char out[static LINE_MAX_LEN])
{
	size_t len = strcspn(at, "\n"), keep;

	if (!*at)
		return NULL;
	const char *next = at + len + (at[len] == '\n');
	while (len && strchr(" \t\r", *at))
		at++, len--;
	while (len && strchr(" \t\r", at[len - 1]))
		len--;
	keep = len < LINE_MAX_LEN ? len : LINE_MAX_LEN - 1;
	memcpy(out, at, keep);
	out[keep] = '\0';
	return next;
}

/* "key: value"; the value, or NULL. */
static const char *value_of(const char *line, const char *key)
{
	size_t len = strlen(key);

	if (strncmp(line, key, len) != 0 || line[len] != ':')
		return NULL;
	return line + len + 1 + strspn(line + len + 1, " \t");
}

/* ---- the firewall ---- */

struct fw {
	bool enabled;
	bool macfilter, ipfilter, dhcp_denied, radv_denied;
};

/* An option of the part [OPTIONS]. */
static bool option_find(const char *text, const char *key, char out[static LINE_MAX_LEN])
{
	char line[LINE_MAX_LEN];
	bool inside = false;

	while ((text = line_next(text, line))) {
		const char *value = inside ? value_of(line, key) : NULL;
		if (line[0] == '[')
			inside = strncmp(line, "[OPTIONS]", 9) == 0;
		if (!value)
			continue;
		memmove(out, value, strlen(value) + 1);
		return true;
	}
	return false;
}

bool proxmox_firewall_on(const char *text)
{
	char value[LINE_MAX_LEN];

	return option_find(text, "enable", value) && atoi(value) > 0;
}

static struct fw fw_read(const char *text)
{
	char value[LINE_MAX_LEN];
	struct fw fw = {.macfilter = true};

	fw.enabled = option_find(text, "enable", value) && atoi(value) > 0;
	if (option_find(text, "macfilter", value))
		fw.macfilter = atoi(value) > 0;
	if (option_find(text, "ipfilter", value))
		fw.ipfilter = atoi(value) > 0;
	if (option_find(text, "dhcp", value))
		fw.dhcp_denied = atoi(value) == 0;
	fw.radv_denied = !option_find(text, "radv", value) || atoi(value) == 0; /* off by default */
	return fw;
}

static void fw_apply(struct vport *v, const struct fw *fw, bool in_force)
{
	bool on = in_force && v->firewall == SAID_YES;

	v->mac_guard = on && fw->macfilter ? SAID_YES : SAID_NO;
	v->ip_guard = on && fw->ipfilter ? SAID_YES : SAID_NO;
	v->dhcp_guard = on && fw->dhcp_denied ? SAID_YES : SAID_NO;
	v->router_guard = on && fw->radv_denied ? SAID_YES : SAID_NO;
}

/* ---- adapters: "virtio=MAC,bridge=vmbr0,tag=100,..." ---- */

static void nic_bridge(struct vport *v, const char *value)
{
	SET(v->network, value);
	SET(v->vswitch, value);
	SET(v->backend, "bridge");
}
static void nic_tag(struct vport *v, const char *value)
{
	v->vlan = (uint16_t)atoi(value);
	if (v->vlan_mode != VLAN_TRUNK)
		v->vlan_mode = VLAN_ACCESS;
	else
		v->native = v->vlan;
}
static void nic_trunks(struct vport *v, const char *value)
{
	SET(v->vlans, value);
	v->native = v->vlan;
	v->vlan_mode = VLAN_TRUNK;
}
static void nic_link_down(struct vport *v, const char *value) { v->connected = atoi(value) ? SAID_NO : SAID_YES; }
static void nic_firewall(struct vport *v, const char *value) { v->firewall = atoi(value) ? SAID_YES : SAID_NO; }
static void nic_queues(struct vport *v, const char *value) { v->queues = (uint16_t)atoi(value); }
static void nic_macaddr(struct vport *v, const char *value) { mac_parse(value, &v->mac); }
static void nic_model(struct vport *v, const char *value) { SET(v->model, value); }
static void nic_rate(struct vport *v, const char *value) /* megabytes per second, both ways */
{
	double mb = strtod(value, NULL);

	if (mb > 0 && mb < 500000)
		v->rate_in = v->rate_out = (uint32_t)(mb * 8000);
}

static const struct {
	const char *key;
	void (*read)(struct vport *v, const char *value);
} nic_keys[] = {
    {"bridge", nic_bridge},     {"tag", nic_tag},       {"trunks", nic_trunks},   {"link_down", nic_link_down}, {"rate", nic_rate},
    {"firewall", nic_firewall}, {"queues", nic_queues}, {"macaddr", nic_macaddr}, {"model", nic_model},
};

static void nic_item(struct vport *v, char *item)
{
	char *value = strchr(item, '=');

	if (!value)
		return;
	*value++ = '\0';
	for (size_t i = 0; i < COUNT(nic_keys); i++) {
		if (strcmp(item, nic_keys[i].key) == 0) {
			nic_keys[i].read(v, value);
			return;
		}
	}
	if (mac_parse(value, &v->mac) == 0) /* MODEL=MAC */
		SET(v->model, item);
}

static void nic_read(struct snapshot *s, const char *id, unsigned number, char *items)
{
	struct vport *v = platform_row(s, 0);

	if (!v)
		return;
	SET(v->platform, "proxmox");
	SET(v->id, id);
	SET(v->backend, "user"); /* without a bridge */
	snprintf(v->nic, sizeof v->nic, "net%u", number);
	snprintf(v->port, sizeof v->port, "tap%.8si%u", id, number);
	v->connected = SAID_YES;
	v->firewall = SAID_NO;
	v->vlan_mode = VLAN_UNTAGGED;
	for (char *save = NULL, *item = strtok_r(items, ",", &save); item; item = strtok_r(NULL, ",", &save))
		nic_item(v, item);
}

/* ---- VMs ---- */

/* In hundredths; 0 = none, or no number of CPUs. */
static unsigned limit_of(const char *value)
{
	double cpus = strtod(value, NULL);

	return cpus > 0 && cpus < 600 ? (unsigned)(cpus * 100) : 0;
}

struct vm {
	char name[PLATFORM_NAME_MAX], lock[PLATFORM_NAME_MAX];
	unsigned cores, sockets, limit;
	char affinity[PLATFORM_VLANS_MAX];
};

static void vm_line(struct snapshot *s, const char *id, struct vm *vm, char *line)
{
	const char *value;
	unsigned number;
	int used = 0;

	if ((value = value_of(line, "name")))
		SET(vm->name, value);
	else if ((value = value_of(line, "lock")))
		SET(vm->lock, value);
	else if ((value = value_of(line, "cores")))
		vm->cores = (unsigned)atoi(value);
	else if ((value = value_of(line, "sockets")))
		vm->sockets = (unsigned)atoi(value);
	else if ((value = value_of(line, "cpulimit")))
		vm->limit = limit_of(value);
	else if ((value = value_of(line, "affinity")))
		SET(vm->affinity, value);
	else if (sscanf(line, "net%2u: %n", &number, &used) == 1 && used)
		nic_read(s, id, number, line + used);
}

static uint16_t affinity_count(const char *list)
{
	unsigned n = 0;

	for (unsigned cpu = 0; *list && cpu < 1024; cpu++)
		n += vlans_have(list, cpu) == SAID_YES;
	return (uint16_t)n;
}

static void vm_spread(struct vport *v, const struct vm *vm, bool running)
{
	static const char *const stuns[] = {"backup", "snapshot", "snapshot-delete", "migrate", "suspending", "rollback"};

	SET(v->vm, vm->name[0] ? vm->name : v->id);
	SET(v->state_why, vm->lock);
	v->state = running ? VM_RUNNING : VM_OFF;
	for (size_t i = 0; running && i < COUNT(stuns); i++) {
		if (strcmp(vm->lock, stuns[i]) == 0)
			v->state = VM_UNKNOWN; /* it may be held, or go on meanwhile: QEMU knows */
	}
	v->vcpus = (uint16_t)((vm->cores ? vm->cores : 1) * (vm->sockets ? vm->sockets : 1));
	v->cpus = affinity_count(vm->affinity);
	v->cpu_limit = (uint16_t)vm->limit;
}

void proxmox_read_vm(struct snapshot *s, const char *id, const char *text, const char *fw, bool fw_on, bool running)
{
	char line[LINE_MAX_LEN];
	size_t first = s->vport_count;
	struct fw options = fw_read(fw ? fw : "");
	struct vm vm = {0};

	while ((text = line_next(text, line)) && line[0] != '[') { /* then come snapshots and what is pending */
		if (line[0] != '#')
			vm_line(s, id, &vm, line);
	}
	for (size_t i = first; i < s->vport_count; i++) {
		vm_spread(&s->vports[i], &vm, running);
		fw_apply(&s->vports[i], &options, fw_on && options.enabled);
	}
}

/* ---- bridges ---- */

static void bridge_line(struct vswitch *b, const char *line)
{
	char key[32], value[PLATFORM_VLANS_MAX];

	if (sscanf(line, "%31s %95[^\n]", key, value) != 2)
		return;
	if (strcmp(key, "bridge-ports") == 0 || strcmp(key, "bridge_ports") == 0 || strcmp(key, "ovs_ports") == 0) {
		SET(b->uplinks, value);
		b->active = SAID_YES;
		if (strcmp(value, "none") != 0) /* else the host may route for it */
			b->kind = VSWITCH_EXTERNAL;
	} else if (strcmp(key, "bridge-vids") == 0 || strcmp(key, "bridge_vids") == 0) {
		SET(b->vlans, value);
	} else if (strcmp(key, "address") == 0) {
		b->management = SAID_YES;
	}
}

static void bridge_add(struct snapshot *s, struct vswitch *b)
{
	struct vswitch *row = b->active ? platform_row(s, 1) : NULL;

	if (row)
		*row = *b;
	*b = (struct vswitch){0};
}

void proxmox_read_bridges(struct snapshot *s, const char *text)
{
	struct vswitch b = {0};
	char line[LINE_MAX_LEN], name[IFNAME_LEN];

	while ((text = line_next(text, line))) {
		if (sscanf(line, "iface %15s", name) != 1) {
			bridge_line(&b, line);
			continue;
		}
		if (strcmp(b.name, name) == 0) /* its other family */
			continue;
		bridge_add(s, &b);
		SET(b.platform, "proxmox");
		SET(b.name, name);
		SET(b.bridge, name);
	}
	bridge_add(s, &b);
}
