/* platform: what the platform of a VM (a hypervisor, its manager, a cloud) and the switches behind it have configured, typed, as
 * far as somebody could read it. Rows are plain values without owned memory; a snapshot has lists of them. What was not said is a
 * value: SAID_NOTHING, an empty text, the first of an enum; of numbers 0 is "none, or not said".
 *
 * The fields are listed once, in tables: the file format (platform_file.h), the facts that people read (fact.h) and the documented
 * names all come from there. */
#ifndef BW_MODEL_PLATFORM_H
#define BW_MODEL_PLATFORM_H

#include "proto/base/addr.h"
#include "proto/model/limits.h"

#include <stddef.h>

enum said { SAID_NOTHING, SAID_NO, SAID_YES };
enum vm_state { VM_UNKNOWN, VM_RUNNING, VM_PAUSED, VM_STUNNED, VM_OFF, VM_CRASHED };
enum vlan_mode { VLAN_UNKNOWN, VLAN_UNTAGGED, VLAN_ACCESS, VLAN_TRUNK, VLAN_PROMISCUOUS, VLAN_ISOLATED, VLAN_COMMUNITY };
enum vswitch_kind { VSWITCH_UNKNOWN, VSWITCH_EXTERNAL, VSWITCH_INTERNAL, VSWITCH_PRIVATE, VSWITCH_NAT, VSWITCH_ISOLATED };
enum isolation { ISOLATION_UNKNOWN, ISOLATION_NONE, ISOLATION_VLAN, ISOLATION_SUBNET, ISOLATION_EXTERNAL };
enum swport_state { SWPORT_UNKNOWN, SWPORT_UP, SWPORT_DOWN, SWPORT_ERR_DISABLED };

#define PLATFORM_NAME_MAX  64
#define PLATFORM_VLANS_MAX 96 /* "1,10-20" */
#define PLATFORM_MACS_MAX  16

struct vport {                      /* a VM's network adapter */
	char platform[16];          /* libvirt, proxmox, vmware, hyperv, openstack, ... */
	char vm[PLATFORM_NAME_MAX]; /* by the name the platform's commands take */
	char id[PLATFORM_NAME_MAX]; /* Proxmox: the number */
	char nic[PLATFORM_NAME_MAX];
	char guest[PLATFORM_NAME_MAX]; /* the machine's own host name, as its tools tell the platform */
	char host[PLATFORM_NAME_MAX];  /* where it runs, as the platform calls it */
	char role[16];                 /* "router", "firewall", "dhcp": what it is to others */
	char port[IFNAME_LEN];         /* the host's device */
	struct mac mac;
	char model[24];   /* virtio e1000 vmxnet3 synthetic legacy ... */
	char backend[16]; /* tap bridge macvtap user vf none */
	char network[PLATFORM_NAME_MAX], vswitch[PLATFORM_NAME_MAX];
	struct ip ip; /* assigned by the platform */
	uint8_t state;
	char state_why[PLATFORM_NAME_MAX];
	uint8_t connected; /* said: the virtual cable is plugged in */
	uint8_t blocked;   /* said: the port passes nothing: policy, or no port was free */
	char blocked_why[PLATFORM_NAME_MAX];
	uint8_t in_sync; /* said: the host has what the controller wants */
	/* VLANs and isolation */
	uint8_t vlan_mode;
	uint16_t vlan, native, secondary;
	char vlans[PLATFORM_VLANS_MAX]; /* of a trunk */
	uint8_t isolation;
	uint32_t subnet;  /* virtual subnet (VSID) */
	uint8_t untagged; /* said: isolation lets untagged frames pass */
	/* guards: said, yes = it drops */
	uint8_t mac_guard;    /* frames from other hardware addresses (forged transmits rejected, spoofing off, macfilter) */
	uint8_t change_guard; /* frames to the guest once it has changed its hardware address */
	uint8_t promiscuous;  /* yes = gets frames for other hardware addresses, too */
	uint8_t dhcp_guard, router_guard, ip_guard, firewall;
	char ip_learning[16]; /* how the IP filter learns: dhcp any none */
	uint8_t lease;        /* said: it has learned an address that is still good */
	/* limits */
	uint32_t storm_limit;       /* broadcasts per second */
	uint32_t rate_in, rate_out; /* kbit/s to and from the VM */
	uint16_t queues;
	uint8_t vhost;
	uint8_t vmq;
	uint16_t vcpus, cpus; /* how many it has; how many of the host's they may use */
	uint16_t cpu_limit;   /* percent of one CPU */
	/* a virtual function of a NIC */
	char pf[IFNAME_LEN];
	uint16_t vf, vf_vlan;
	uint8_t vf_spoofchk, vf_trust, vf_link; /* said; vf_link no = disabled */
};

struct vswitch {
	char platform[16], name[PLATFORM_NAME_MAX], host[PLATFORM_NAME_MAX];
	uint8_t kind;
	char bridge[IFNAME_LEN]; /* the host's device */
	char uplinks[PLATFORM_VLANS_MAX], vlans[PLATFORM_VLANS_MAX] /* it passes */;
	uint8_t active;      /* said */
	uint8_t management;  /* said: the host itself has a port on it */
	uint8_t nat_running; /* said */
	uint8_t in_sync;     /* said */
	char extension[PLATFORM_NAME_MAX];
	uint8_t extension_ok; /* said: that filter or extension is there and passes frames */
	uint8_t hw_offload;   /* said: the NIC forwards flows by itself */
};

struct swport { /* a port of a switch or router, or a cloud's interface, at which a machine of ours is plugged in */
	char platform[16];
	char device[PLATFORM_NAME_MAX], port[PLATFORM_NAME_MAX];
	char host[PLATFORM_NAME_MAX], ifname[IFNAME_LEN]; /* who is plugged in, and with what */
	struct mac peer;                                  /* its hardware address */
	struct mac mac;                                   /* the device's own */
	uint8_t state;
	char why[48];
	uint8_t vlan_mode;
	uint16_t vlan, native;
	char vlans[PLATFORM_VLANS_MAX]; /* allowed */
	uint32_t mac_limit;             /* port security */
	uint64_t violations;
	uint8_t arp_inspection, trusted;
	uint8_t bound_said; /* said: `bound` is all there is */
	uint8_t bound_count;
	struct mac bound[PLATFORM_MACS_MAX]; /* secured or snooped addresses */
	uint8_t src_dst_check, proxy_arp;
	uint32_t pause_rate; /* received pause frames per second */
};

struct pnote { /* an event, a drop reason or an advisory of the platform, by its own code */
	char platform[16];
	char object[PLATFORM_NAME_MAX]; /* VM, switch or host it is about */
	char code[PLATFORM_NAME_MAX];   /* "pktmon.30", "vmswitch.106", "esxi.firewall", "advisory.CVE-..." */
	uint64_t count;
	char text[96];
};

/* ---- the tables ---- */

enum pfield_type { PFIELD_TEXT, PFIELD_NUMBER, PFIELD_SAID, PFIELD_ENUM, PFIELD_MAC, PFIELD_MACS, PFIELD_IP };

struct pfield {
	const char *name;
	uint8_t type; /* enum pfield_type */
	bool passing; /* changes by itself: shown, not compared */
	uint16_t offset, size;
	const char *const *names; /* of an enum, by value, up to NULL */
	uint16_t count_offset;    /* of MACs */
	const char *doc;
};

struct ptable {
	const char *list; /* "vports" */
	const char *row;  /* "vport" */
	size_t size;      /* of a row */
	size_t max;
	size_t key[2]; /* offsets of the texts that name a row to people */
	size_t count;
	const struct pfield *fields;
};
#define PTABLE_COUNT 4
extern const struct ptable platform_tables[PTABLE_COUNT]; /* vports, vswitches, swports, pnotes */

/* Sets a field from text; -1 = no value of that field. An empty text is "not said". */
int pfield_set(const struct pfield *f, void *row, const char *text);
/* The field as text; false = not said. */
bool pfield_get(const struct pfield *f, const void *row, char *out, size_t size);
/* Who a row is about, for people: "vm.nic". */
void prow_name(const struct ptable *t, const void *row, char *out, size_t size);

/* "1,10-20" has it? An empty list says nothing; "all" and "none" are words for it. */
enum said vlans_have(const char *list, unsigned vid);

const char *vm_state_name(uint8_t state);
const char *vlan_mode_name(uint8_t mode);

#endif
