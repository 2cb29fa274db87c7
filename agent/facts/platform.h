/* platform: what this host's virtualization platform has configured, read from its own files: libvirt (/run/libvirt, /etc/libvirt),
 * Proxmox VE (/etc/pve, /run/qemu-server), and files that others wrote (proto/platform_file.h). Nothing is run and nothing is
 * asked: reading cannot disturb a VM. Files are parsed again only when one of them changed. */
#ifndef BW_AGENT_FACTS_PLATFORM_H
#define BW_AGENT_FACTS_PLATFORM_H

#include "proto/model/snapshot.h"

#include <stdbool.h>
#include <stddef.h>

/* Before the first snapshot. `root` is where the directories above begin ("" = /); both are lent. */
void platform_use(const char *root, const char *const *files, size_t count);

/* ---- pure parsers (tested on samples, fuzzed); texts are terminated ---- */

/* A domain's status or definition. `now`: seconds since 1970. `leases`: nwfilter's file, "" = empty, NULL = could not be read. */
void libvirt_read_domain(struct snapshot *s, const char *text, const char *leases, int64_t now);
/* A network's definition; `active`: it also has a status. */
void libvirt_read_network(struct snapshot *s, const char *text, bool active);
/* A VM's configuration. `fw` is its firewall's, NULL = none; `fw_on`: the datacenter's firewall is enabled. */
void proxmox_read_vm(struct snapshot *s, const char *id, const char *text, const char *fw, bool fw_on, bool running);
bool proxmox_firewall_on(const char *text); /* cluster.fw */
/* /etc/network/interfaces: the bridges. */
void proxmox_read_bridges(struct snapshot *s, const char *text);

#endif
