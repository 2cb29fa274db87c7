#!/bin/sh
# Facts of OpenStack for bothways: openstack.sh > FILE.new && mv FILE.new FILE      (needs the openstack client, admin rights and jq)
set -eu
openstack port list --long -f json -c ID -c 'MAC Address' -c 'Fixed IP Addresses' -c Status -c 'Device Owner' > /tmp/bothways-ports.$$
openstack server list --all-projects --long -f json -c ID -c Name -c Status -c Host > /tmp/bothways-servers.$$
trap 'rm -f /tmp/bothways-ports.$$ /tmp/bothways-servers.$$' EXIT
for id in $(jq -r '.[] | select(."Device Owner" | startswith("compute:")) | .ID' /tmp/bothways-ports.$$); do
	openstack port show "$id" -f json
done | jq -s --slurpfile servers /tmp/bothways-servers.$$ '
	($servers[0] | map({(.ID): .}) | add) as $by | {platform: "openstack", vports: map(. as $p | ($by[.device_id] // {}) as $s | {
		vm: ($s.Name // .device_id), id: .device_id, nic: .id[0:8], host: .binding_host_id, mac: .mac_address, network: .network_id,
		ip: (.fixed_ips[0].ip_address // null), port: ("tap" + .id[0:11]),
		state: ({ACTIVE: "running", PAUSED: "paused", SUSPENDED: "paused", SHUTOFF: "off", ERROR: "crashed"}[$s.Status // ""] // "unknown"),
		connected: (if .admin_state_up then "yes" else "no" end),
		blocked: (if .status == "DOWN" and $s.Status == "ACTIVE" then "yes" else "no" end), blocked_why: ("port is " + .status),
		mac_guard: (if .port_security_enabled then "yes" else "no" end), ip_guard: (if .port_security_enabled then "yes" else "no" end),
		firewall: (if (.security_group_ids | length) > 0 then "yes" else "no" end)})}'
