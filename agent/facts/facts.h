/* facts: reads a snapshot of this machine (its network namespace): netlink (libmnl), /proc, nftables (libnftables JSON).
 * No shelling out. One file per source, in a table of sources. Left out: sysctls of bridge ports, UDP sockets on ephemeral
 * ports, kernel-made neighbours (NOARP), VLANs of bridges that do not filter, tables of our own (FW_TABLE_OURS).
 *
 * Sysctls, beside those by their own names: bridge.NAME.{mcast_snooping,mcast_querier,fdb_max_learned}, and of bridge ports
 * port.NAME.{guard,hairpin,neigh_suppress} that are on. Counters: bridge.NAME.fdb_learned.
 *
 * Texts: link.NAME.medium ("wireless"); machine.id, a digest of it: clones have the same;
 * hardware.{vendor,product,bios,hypervisor}, clock.{source,synchronized}. Counters, beside those of /proc/net/{snmp,netstat,snmp6}
 * by their names there: link.NAME.{rx_missed,rx_fifo,tx_carrier,...} when not zero; softnet.{dropped,squeezed};
 * conntrack.{drop,insert_failed,early_drop,invalid} and, a counter rather than a sysctl, net.netfilter.nf_conntrack_count;
 * neigh.{arp,nd}.{entries,failed,discards,table_full} (first namespace only); cpu.{total,idle,steal} in ticks, cpu.count, cpu.load1
 * in hundredths; pressure.{cpu,memory,io}: hundredths of a percent of the last 10 s. What the kernel does not offer is absent. */
#ifndef BW_AGENT_FACTS_H
#define BW_AGENT_FACTS_H

#include "proto/base/err.h"
#include "proto/loop.h"
#include "proto/model/snapshot.h"

#define FACTS_ALL      0xffffffffu
#define FACTS_FAST     0x1u /* leave the firewall and sockets out: what changes by netlink events */
#define FACTS_SOCKETS  0x2u
#define FACTS_FIREWALL 0x4u

/* A fresh snapshot. Sources that fail leave their part empty and say so in *why (may be NULL). */
struct snapshot *facts_read(uint32_t what, char *why, size_t size);
/* Rights: RIGHT_FIREWALL when the ruleset can be read. */
bool facts_firewall_possible(char *why, size_t size);

/* Watches rtnetlink, nfnetlink and the database of Open vSwitch for changes of links, addresses, routes, rules, bridge ports, FDB
 * and the ruleset; calls `fn` at most once per `quiet_ms` after something changed (debounced: neighbour noise alone does not count,
 * FDB moves do). */
struct facts_watch;
typedef void facts_changed_fn(void *arg);
struct facts_watch *facts_watch_new(struct loop *l, int64_t quiet_ms, facts_changed_fn *fn, void *arg, struct err *e);
void facts_watch_free(struct facts_watch *w);
/* What this machine takes a name for, asked of its resolver as any program would ask (nsswitch.conf(5): hosts file, DNS, mDNS). A
 * short-lived child waits for it, no longer than a second, and nobody waits for the child. */
struct names; /* one question */

/* NULL: it cannot be asked, or is not worth asking (an address, this machine's own name). */
struct names *names_ask(const char *name);
/* What is known by now, as texts: name.asked, name.ip4 and name.ip6 (addresses, separated by spaces; absent: none), name.hosts
 * ("yes": the hosts file has the name). No answer yet: nothing. `n` may be NULL. */
void names_tell(struct names *n, struct snapshot *s);
void names_free(struct names *n); /* NULL is fine */

/* State of the neighbour now (a direct netlink GET, no dump): NUD_* or 0 if unknown; used while a round runs. */
uint16_t facts_neigh_state(struct ip ip, const char *ifname /* NULL = by route */, struct ip src);

#endif
