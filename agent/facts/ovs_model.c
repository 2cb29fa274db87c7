#include "agent/facts/ovs_model.h"

#include "proto/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VLANS 4096

void ovs_entries_clear(struct ovs_model *m)
{
	free(m->entries);
	m->entries = NULL;
	m->entry_count = m->entry_cap = 0;
}

void ovs_model_clear(struct ovs_model *m)
{
	for (size_t i = 0; i < m->port_count; i++)
		free(m->ports[i].trunks);
	free(m->bridges);
	free(m->ports);
	free(m->ifaces);
	free(m->entries);
	*m = (struct ovs_model){0};
}

/* ---- the questions ---- */

static const struct table {
	const char *name;
	const char *columns[12]; /* what is asked for; ends with NULL */
} tables[] = {
    {"Open_vSwitch", {"ovs_version"}},
    {"Bridge", {"name", "ports", "stp_enable", "rstp_enable"}},
    {"Port", {"name", "interfaces", "tag", "trunks", "vlan_mode", "bond_mode", "bond_active_slave"}},
    {"Interface", {"name", "type", "ofport", "ifindex", "mtu", "link_state", "admin_state", "options", "mac_in_use"}},
};
enum { TABLE_SWITCH, TABLE_BRIDGE, TABLE_PORT, TABLE_IFACE, TABLE_COUNT };

static json_t *columns_of(const struct table *t)
{
	json_t *out = json_array();

	for (size_t i = 0; t->columns[i]; i++)
		json_array_append_new(out, json_string(t->columns[i]));
	return out;
}

json_t *ovs_select(void)
{
	json_t *out = json_pack("[s]", "Open_vSwitch");

	for (int i = 0; i < TABLE_COUNT; i++) {
		json_t *columns = columns_of(&tables[i]);

		if (i > TABLE_BRIDGE)
			json_array_append_new(columns, json_string("_uuid"));
		json_array_append_new(
		    out, json_pack("{s:s,s:s,s:[],s:o}", "op", "select", "table", tables[i].name, "where", "columns", columns));
	}
	return out;
}

json_t *ovs_monitor(void)
{
	json_t *what = json_object();

	for (int i = 0; i < TABLE_COUNT; i++)
		json_object_set_new(what, tables[i].name,
		                    json_pack("{s:o,s:{s:b}}", "columns", columns_of(&tables[i]), "select", "initial", 0));
	return json_pack("[s,n,o]", "Open_vSwitch", what);
}

/* ---- values of OVSDB (RFC 7047 section 5.1): a set of one stands as the value itself ---- */

static const json_t *set_items(const json_t *v)
{
	const char *tag = json_string_value(json_array_get(v, 0));

	return tag && (strcmp(tag, "set") == 0 || strcmp(tag, "map") == 0) ? json_array_get(v, 1) : NULL;
}

static size_t set_count(const json_t *v)
{
	const json_t *items = set_items(v);
	return items ? json_array_size(items) : v ? 1 : 0;
}

static const json_t *set_at(const json_t *v, size_t i)
{
	const json_t *items = set_items(v);
	return items ? json_array_get(items, i) : v;
}

static const json_t *field(const json_t *row, const char *name) { return set_at(json_object_get(row, name), 0); }

static const char *text_of(const json_t *v)
{
	const char *s = json_string_value(v);
	return s ? s : "";
}

static uint32_t number_of(const json_t *v, uint32_t max)
{
	json_int_t n = json_integer_value(v);
	return n > 0 && n <= (json_int_t)max ? (uint32_t)n : 0;
}

static const char *uuid_of(const json_t *v) { return text_of(json_array_get(v, 1)); }

static const char *map_get(const json_t *map, const char *key)
{
	const json_t *items = set_items(map);

	for (size_t i = 0; i < json_array_size(items); i++) {
		const json_t *pair = json_array_get(items, i);

		if (strcmp(text_of(json_array_get(pair, 0)), key) == 0)
			return text_of(json_array_get(pair, 1));
	}
	return "";
}

/* ---- rows ---- */

struct reading {
	struct ovs_model *m;
	json_t *ports, *ifaces; /* rows by uuid, lent */
};

static uint32_t hint_of(const char *uuid) { return (uint32_t)strtoul(uuid, NULL, 16) | OVS_SYNTHETIC; }

static void tunnel_read(struct ovs_iface *f, const json_t *options)
{
	const char *port = map_get(options, "dst_port");

	str_copy(f->peer, sizeof f->peer, map_get(options, "peer"));
	ip_parse(map_get(options, "remote_ip"), &f->remote); /* "flow" is none */
	ip_parse(map_get(options, "local_ip"), &f->local);
	f->key = (uint32_t)strtoul(map_get(options, "key"), NULL, 0);
	f->tunnel_port = (uint16_t)strtoul(port, NULL, 10);
}

static void iface_read(struct reading *r, size_t port, const char *uuid)
{
	struct ovs_model *m = r->m;
	const json_t *row = json_object_get(r->ifaces, uuid);
	struct ovs_iface *f;

	if (!row || m->iface_count == OVS_PORTS_MAX) {
		m->truncated += row != NULL;
		return;
	}
	f = VEC_ADD(m->ifaces, m->iface_count, m->iface_cap);
	f->port = port;
	f->hint = hint_of(uuid);
	str_copy(f->name, sizeof f->name, text_of(field(row, "name")));
	str_copy(f->type, sizeof f->type, text_of(field(row, "type")));
	f->number = number_of(field(row, "ofport"), OVS_LOCAL);
	f->ifindex = number_of(field(row, "ifindex"), INT32_MAX);
	f->mtu = number_of(field(row, "mtu"), UINT16_MAX);
	f->up = strcmp(text_of(field(row, "admin_state")), "up") == 0;
	f->carrier = strcmp(text_of(field(row, "link_state")), "up") == 0;
	mac_parse(text_of(field(row, "mac_in_use")), &f->mac);
	tunnel_read(f, json_object_get(row, "options"));
	m->ports[port].iface_count++;
}

static uint8_t mode_of(const json_t *row, bool tagged)
{
	static const struct {
		const char *name;
		uint8_t mode;
	} modes[] = {{"access", OVS_ACCESS},
	             {"trunk", OVS_TRUNK},
	             {"native-tagged", OVS_NATIVE_TAGGED},
	             {"native-untagged", OVS_NATIVE_UNTAGGED},
	             {"dot1q-tunnel", OVS_ACCESS}};
	const char *text = text_of(field(row, "vlan_mode"));

	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
		if (strcmp(text, modes[i].name) == 0)
			return modes[i].mode;
	return tagged ? OVS_ACCESS : OVS_TRUNK;
}

/* VLANs as ranges: a trunk may list thousands. */
static void trunks_read(struct ovs_port *p, const json_t *set, bool native)
{
	bool *in = mem_array(VLANS + 1, sizeof *in);
	size_t cap = 0;

	for (size_t i = 0; i < set_count(set); i++) {
		json_int_t vid = json_is_integer(set_at(set, i)) ? json_integer_value(set_at(set, i)) : -1;

		if (vid >= 0 && vid < VLANS)
			in[vid] = true;
	}
	if (native && set_count(set)) /* always carried, RFC or not: ovs-vswitchd.conf.db(5) */
		in[p->tag] = true;
	for (uint16_t vid = 0; vid < VLANS; vid++) {
		if (in[vid] && (vid == 0 || !in[vid - 1]))
			*VEC_ADD(p->trunks, p->trunk_count, cap) = (struct ovs_range){vid, vid};
		else if (in[vid])
			p->trunks[p->trunk_count - 1].last = vid;
	}
	free(in);
}

static void port_read(struct reading *r, size_t bridge, const char *uuid)
{
	struct ovs_model *m = r->m;
	const json_t *row = json_object_get(r->ports, uuid), *ifaces = json_object_get(row, "interfaces");
	struct ovs_port *p;

	if (!row || m->port_count == OVS_PORTS_MAX) {
		m->truncated += row != NULL;
		return;
	}
	p = VEC_ADD(m->ports, m->port_count, m->port_cap);
	p->bridge = bridge;
	p->hint = hint_of(uuid);
	str_copy(p->name, sizeof p->name, text_of(field(row, "name")));
	p->mode = mode_of(row, field(row, "tag") != NULL);
	p->tag = (uint16_t)number_of(field(row, "tag"), VLANS - 1);
	trunks_read(p, json_object_get(row, "trunks"), p->mode != OVS_TRUNK);
	str_copy(p->bond_mode, sizeof p->bond_mode, text_of(field(row, "bond_mode")));
	mac_parse(text_of(field(row, "bond_active_slave")), &p->active);
	for (size_t i = 0; i < set_count(ifaces); i++)
		iface_read(r, m->port_count - 1, uuid_of(set_at(ifaces, i)));
}

static void bridge_read(struct reading *r, const json_t *row)
{
	struct ovs_model *m = r->m;
	const json_t *ports = json_object_get(row, "ports");
	struct ovs_bridge *b;

	if (m->bridge_count == OVS_BRIDGES_MAX) {
		m->truncated++;
		return;
	}
	b = VEC_ADD(m->bridges, m->bridge_count, m->bridge_cap);
	str_copy(b->name, sizeof b->name, text_of(field(row, "name")));
	b->stp = json_is_true(field(row, "stp_enable")) || json_is_true(field(row, "rstp_enable"));
	for (size_t i = 0; i < set_count(ports); i++)
		port_read(r, m->bridge_count - 1, uuid_of(set_at(ports, i)));
}

static json_t *rows_by_uuid(const json_t *rows)
{
	json_t *out = json_object();

	for (size_t i = 0; i < json_array_size(rows); i++) {
		json_t *row = json_array_get(rows, i);
		json_object_set(out, uuid_of(json_object_get(row, "_uuid")), row);
	}
	return out;
}

static const json_t *rows_of(const json_t *result, int table)
{
	return json_object_get(json_array_get(result, (size_t)table), "rows");
}

int ovs_model_read(struct ovs_model *m, const json_t *result, struct err *e)
{
	struct reading r = {.m = m};

	ovs_model_clear(m);
	for (int i = 0; i < TABLE_COUNT; i++)
		if (!json_is_array(rows_of(result, i)))
			return err_set(e, "Open vSwitch: its database has no table %s such as we know it", tables[i].name);
	r.ports = rows_by_uuid(rows_of(result, TABLE_PORT));
	r.ifaces = rows_by_uuid(rows_of(result, TABLE_IFACE));
	str_copy(m->version, sizeof m->version, text_of(field(json_array_get(rows_of(result, TABLE_SWITCH), 0), "ovs_version")));
	for (size_t i = 0; i < json_array_size(rows_of(result, TABLE_BRIDGE)); i++)
		bridge_read(&r, json_array_get(rows_of(result, TABLE_BRIDGE), i));
	json_decref(r.ports);
	json_decref(r.ifaces);
	return 0;
}

/* ---- forwarding entries ---- */

/* "  port  VLAN  MAC  Age" of one entry: the port's number or LOCAL, the age in seconds or "static" */
static void entry_read(struct ovs_model *m, size_t bridge, const char *line)
{
	char port[16], mac[MAC_TEXT_MAX], age[16];
	struct ovs_entry in = {.bridge = bridge};
	unsigned vlan;

	if (sscanf(line, "%15s %u %17s %15s", port, &vlan, mac, age) != 4 || mac_parse(mac, &in.mac) < 0 || vlan >= VLANS)
		return;
	in.number = strcmp(port, "LOCAL") == 0 ? OVS_LOCAL : (uint32_t)strtoul(port, NULL, 10);
	in.vlan = (uint16_t)vlan;
	in.is_static = strcmp(age, "static") == 0;
	if (m->entry_count < SNAP_FDB_MAX)
		*VEC_ADD(m->entries, m->entry_count, m->entry_cap) = in;
	else
		m->truncated++;
}

void ovs_entries_read(struct ovs_model *m, size_t bridge, const char *text)
{
	while (text && *text) {
		char line[96];
		size_t len = strcspn(text, "\n");

		if (len < sizeof line) {
			memcpy(line, text, len);
			line[len] = '\0';
			entry_read(m, bridge, line);
		}
		text += len + (text[len] == '\n');
	}
}
