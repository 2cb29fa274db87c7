/* source: what the parts of facts share: the table of sources, netlink requests, and bounded growth of a snapshot. */
#ifndef BW_AGENT_FACTS_SOURCE_H
#define BW_AGENT_FACTS_SOURCE_H

#include "proto/base/err.h"
#include "proto/model/snapshot.h"

#include <libmnl/libmnl.h>
#include <stdbool.h>

/* One source fills its part of the snapshot; -1 with the reason leaves that part empty. FACT_DISTURBED: it changed while it was
 * being read, so that something may be missing; with the reason, too. */
#define FACT_DISTURBED 1
typedef int fact_source_fn(struct snapshot *s, struct err *e);
fact_source_fn fact_read_machine, fact_read_load, fact_read_network, fact_read_devices /* of the links read before */,
    fact_read_sysctls, fact_read_counters, fact_read_sockets, fact_read_firewall, fact_read_platform, fact_read_xfrm;

/* One read of a small file; -1 if it is not there. Always terminated. */
ssize_t proc_file_read(const char *path, char *out, size_t size);

/* Pure parsers of /proc texts (tested on samples). */
void proc_parse_pairs(struct snapshot *s, const char *text); /* snmp, netstat: a line of names, a line of numbers */
void proc_parse_snmp6(struct snapshot *s, const char *text);
void proc_parse_softnet(struct snapshot *s, const char *text);
void proc_parse_conntrack(struct snapshot *s, const char *text);
void proc_parse_arp_cache(struct snapshot *s, const char *text);
void proc_parse_nd_cache(struct snapshot *s, const char *text);
void proc_parse_cpu(struct snapshot *s, const char *text);
void proc_parse_load(struct snapshot *s, const char *text);
void proc_parse_pressure(struct snapshot *s, const char *name, const char *text);
/* A name people know ("kvm", "vmware"), "" if none. */
const char *hypervisor_by_cpu(const char *sign);
const char *hypervisor_by_vendor(const char *vendor);
void proc_parse_sockets(struct snapshot *s, const char *text, uint8_t proto, int family);

/* An answer of ethtool's netlink family: offload names first, then links that are in the snapshot. */
void ethtool_read_answer(struct snapshot *s, const struct nlmsghdr *h);

/* Reads what the watch of this process, if there is one, was told of the ruleset by now. False: there is none. */
bool watch_catch_up(void);
/* As if something had changed: what is not known yet is there a little later. */
void watch_look_again(void);
/* An event of nftables says something of the machine's own rules (see FW_TABLE_OURS). */
bool watch_nft_is_news(const struct nlmsghdr *h);

fact_source_fn fact_read_queues;                                /* of the links read before */
void queue_read(struct snapshot *s, const struct nlmsghdr *h);  /* RTM_NEWQDISC: link.NAME.limit */
void filter_read(struct snapshot *s, const struct nlmsghdr *h); /* RTM_NEWTFILTER: link.NAME.tc_ingress, tc_egress */

void xfrm_read(struct snapshot *s, const struct nlmsghdr *h); /* policies and states: xfrm.policy.WAY SRC DST, xfrm.state SRC DST */

/* Pure parsers of rtnetlink messages. */
void link_read(struct link *l, const struct nlmsghdr *h); /* RTM_NEWLINK */
/* Those that are not zero, as link.NAME.WHAT; of few links only when there are very many. */
void link_read_counters(struct snapshot *s, const char *name, const struct nlattr *stats);
#define LINK_COUNTERS_MAX 192
/* Settings of a bridge and of its ports beyond those of struct link, see facts.h. */
void link_read_settings(struct snapshot *s, const struct link *l, const struct nlattr *info);
/* RTM_NEWLINK of AF_BRIDGE. The links are read already. VLANs of a bridge that does not filter have no effect and are left out. */
void link_read_vlans(struct snapshot *s, const struct nlmsghdr *h);
void fdb_read(struct snapshot *s, const struct nlmsghdr *h); /* RTM_NEWNEIGH of AF_BRIDGE */

/* Room for one more entry, zeroed; NULL (and counted as truncated) at the limit. */
void *snapshot_grow(struct snapshot *s, void **items, size_t *count, size_t max, size_t size);
#define SNAP_ADD(s, items, count, max) (snapshot_grow((s), (void **)&(s)->items, &(s)->count, (max), sizeof *(s)->items))
void snapshot_add_sysctl(struct snapshot *s, const char *name, int64_t value);
void snapshot_add_counter(struct snapshot *s, const char *name, int64_t value);
void snapshot_add_text(struct snapshot *s, const char *name, const char *text); /* "" is not added */

/* ---- a netlink socket for requests ---- */
struct nl {
	struct mnl_socket *sock;
	char *buf; /* request, then answers */
	unsigned seq;
};
int nl_open(struct nl *n, int bus, struct err *e);
void nl_close(struct nl *n);
/* A request in n->buf with `extra` zeroed header bytes behind the netlink header. */
struct nlmsghdr *nl_request(struct nl *n, uint16_t type, uint16_t flags, size_t extra);
/* Sends the request and hands every answer to `fn`. 0, or -1 with errno set by the kernel's answer; ETIMEDOUT: there was none, for
 * some 100 ms; EINTR: all of a dump was handed over, but it changed meanwhile and something may be missing. */
int nl_talk(struct nl *n, struct nlmsghdr *req, mnl_cb_t fn, void *arg);
/* Takes the mark of a dump that changed meanwhile off the messages; true: it was there. */
bool nl_unflag(char *buf, size_t len);

/* Attributes by type; those above `max` are skipped. `tb` has max + 1 entries. */
void nl_attrs(const struct nlmsghdr *h, size_t header, const struct nlattr **tb, uint16_t max);
void nl_nested(const struct nlattr *nest, const struct nlattr **tb, uint16_t max); /* nest may be NULL */
void nl_payload(const void *attrs, size_t len, const struct nlattr **tb, uint16_t max);
/* Values of attributes that may be absent or short (then 0 or false). */
uint8_t nl_u8(const struct nlattr *a);
uint16_t nl_u16(const struct nlattr *a);
uint32_t nl_u32(const struct nlattr *a);
uint64_t nl_u64(const struct nlattr *a);
struct ip nl_ip(const struct nlattr *a, int family /* AF_INET or AF_INET6 */);
struct mac nl_mac(const struct nlattr *a);

#endif
