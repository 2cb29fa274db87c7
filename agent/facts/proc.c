/* proc: sysctls and counters that matter to reachability. */
#include "agent/facts/source.h"
#include "proto/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROC_TEXT_MAX (64 * 1024)
#define COUNT(a)      (sizeof(a) / sizeof *(a))

ssize_t proc_file_read(const char *path, char *out, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t got;

	if (fd < 0)
		return -1;
	while (len + 1 < size && (got = read(fd, out + len, size - 1 - len)) > 0)
		len += (size_t)got;
	close(fd);
	out[len] = '\0';
	return (ssize_t)len;
}

/* ---- sysctls ---- */

/* Dots become slashes to find the file. The interfaces' own come with the links, see netlink.c. */
static const char *const sysctls[] = {
    "net.ipv4.ip_forward",
    "net.ipv4.ip_default_ttl",
    "net.ipv4.ip_no_pmtu_disc",
    "net.ipv4.route.min_pmtu",
    "net.ipv4.tcp_mtu_probing",
    "net.ipv4.tcp_timestamps",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_max_syn_backlog",
    "net.core.somaxconn",
    "net.core.netdev_max_backlog",
    "net.ipv4.icmp_ratelimit",
    "net.ipv4.icmp_echo_ignore_all",
    "net.ipv4.icmp_echo_ignore_broadcasts",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.conf.all.arp_ignore",
    "net.ipv4.conf.all.arp_announce",
    "net.ipv4.conf.all.arp_filter",
    "net.ipv4.conf.all.forwarding",
    "net.ipv4.conf.all.accept_local",
    "net.ipv4.conf.all.proxy_arp",
    "net.ipv4.conf.all.route_localnet",
    "net.ipv4.conf.all.src_valid_mark",
    "net.ipv4.conf.default.rp_filter",
    "net.ipv4.conf.default.arp_ignore",
    "net.ipv4.conf.default.arp_announce",
    "net.ipv4.conf.default.arp_filter",
    "net.ipv4.conf.default.forwarding",
    "net.ipv4.conf.default.accept_local",
    "net.ipv4.conf.default.proxy_arp",
    "net.ipv4.conf.default.route_localnet",
    "net.ipv4.conf.default.src_valid_mark",
    "net.ipv4.neigh.default.gc_thresh1",
    "net.ipv4.neigh.default.gc_thresh2",
    "net.ipv4.neigh.default.gc_thresh3",
    "net.ipv6.neigh.default.gc_thresh1",
    "net.ipv6.neigh.default.gc_thresh2",
    "net.ipv6.neigh.default.gc_thresh3",
    "net.ipv6.conf.all.disable_ipv6",
    "net.ipv6.conf.all.forwarding",
    "net.ipv6.conf.all.accept_ra",
    "net.ipv6.conf.all.accept_dad",
    "net.ipv6.conf.all.proxy_ndp",
    "net.ipv6.conf.default.disable_ipv6",
    "net.ipv6.conf.default.forwarding",
    "net.ipv6.conf.default.accept_ra",
    "net.ipv6.conf.default.accept_dad",
    "net.ipv6.conf.default.proxy_ndp",
    "net.ipv6.icmp.echo_ignore_all",
    "net.ipv6.icmp.echo_ignore_multicast",
    "net.ipv6.icmp.ratelimit",
    "net.bridge.bridge-nf-call-iptables",
    "net.bridge.bridge-nf-call-ip6tables",
    "net.bridge.bridge-nf-call-arptables",
    "net.bridge.bridge-nf-filter-vlan-tagged",
    "net.netfilter.nf_conntrack_max",
    "net.netfilter.nf_conntrack_buckets",
    "net.netfilter.nf_conntrack_tcp_loose",
    "net.netfilter.nf_conntrack_tcp_be_liberal",
};

/* Kept by the kernel as a sysctl, but it moves by itself: a counter to us. */
static const char *const moving[] = {"net.netfilter.nf_conntrack_count"};

static bool sysctl_read(const char *name, int64_t *out)
{
	char path[160], text[32];

	snprintf(path, sizeof path, "/proc/sys/%s", name);
	for (char *c = path + strlen("/proc/sys/"); *c; c++)
		if (*c == '.')
			*c = '/';
	if (proc_file_read(path, text, sizeof text) <= 0)
		return false;
	*out = strtoll(text, NULL, 10);
	return true;
}

static void value_set(struct value *v, const char *name, int64_t value)
{
	if (!v)
		return;
	str_copy(v->name, sizeof v->name, name);
	v->value = value;
}

void snapshot_add_sysctl(struct snapshot *s, const char *name, int64_t value)
{
	value_set(SNAP_ADD(s, sysctls, sysctl_count, SNAP_VALUES_MAX), name, value);
}

void snapshot_add_counter(struct snapshot *s, const char *name, int64_t value)
{
	value_set(SNAP_ADD(s, counters, counter_count, SNAP_VALUES_MAX), name, value);
}

int fact_read_sysctls(struct snapshot *s, struct err *e)
{
	int64_t v;

	(void)e; /* an absent one is a feature the kernel has not */
	for (size_t i = 0; i < COUNT(sysctls); i++)
		if (sysctl_read(sysctls[i], &v))
			snapshot_add_sysctl(s, sysctls[i], v);
	return 0;
}

/* ---- counters ---- */

/* Taken as a whole, or only what tells something about a packet that did not arrive. */
static const char *const groups_whole[] = {"Ip", "Icmp", "Udp", "Ip6", "Icmp6", "Udp6"};
static const char *const counters_single[] = {
    "Tcp.ActiveOpens",
    "Tcp.PassiveOpens",
    "Tcp.AttemptFails",
    "Tcp.EstabResets",
    "Tcp.CurrEstab",
    "Tcp.InSegs",
    "Tcp.OutSegs",
    "Tcp.RetransSegs",
    "Tcp.InErrs",
    "Tcp.OutRsts",
    "Tcp.InCsumErrors",
    "TcpExt.SyncookiesSent",
    "TcpExt.SyncookiesFailed",
    "TcpExt.OutOfWindowIcmps",
    "TcpExt.LockDroppedIcmps",
    "TcpExt.ArpFilter",
    "TcpExt.PAWSEstab",
    "TcpExt.ListenOverflows",
    "TcpExt.ListenDrops",
    "TcpExt.TCPTimeouts",
    "TcpExt.TCPSynRetrans",
    "TcpExt.TCPAbortOnMemory",
    "TcpExt.TCPMD5NotFound",
    "TcpExt.TCPMD5Unexpected",
    "TcpExt.TCPBacklogDrop",
    "TcpExt.PFMemallocDrop",
    "TcpExt.TCPMinTTLDrop",
    "TcpExt.IPReversePathFilter",
    "TcpExt.TCPReqQFullDoCookies",
    "TcpExt.TCPReqQFullDrop",
    "TcpExt.TCPRcvQDrop",
    "TcpExt.TCPSACKReneging",
    "TcpExt.TCPLostRetransmit",
    "TcpExt.TCPMTUPFail",
    "TcpExt.TCPMTUPSuccess",
    "IpExt.InNoRoutes",
    "IpExt.InTruncatedPkts",
    "IpExt.InMcastPkts",
    "IpExt.InBcastPkts",
    "IpExt.OutBcastPkts",
    "IpExt.InCsumErrors",
    "IpExt.InNoECTPkts",
    "IpExt.ReasmOverlaps",
};

static bool listed(const char *const *list, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(list[i], name) == 0)
			return true;
	return false;
}

static void counter_found(struct snapshot *s, const char *group, const char *name, const char *number)
{
	char full[96];
	char *end;
	int64_t v = strtoll(number, &end, 10);

	snprintf(full, sizeof full, "%s.%s", group, name);
	if (end == number ||
	    (!listed(groups_whole, COUNT(groups_whole), group) && !listed(counters_single, COUNT(counters_single), full)))
		return;
	snapshot_add_counter(s, full, v);
}

/* Two lines "Group: name name ..." and "Group: 1 2 ...", both modified. */
static void pairs_add(struct snapshot *s, char *names, char *numbers)
{
	char *save_n, *save_v;
	char *group = strtok_r(names, ": ", &save_n);
	char *again = strtok_r(numbers, ": ", &save_v);
	char *name, *number;

	if (!group || !again || strcmp(group, again) != 0)
		return;
	while ((name = strtok_r(NULL, " ", &save_n)) && (number = strtok_r(NULL, " ", &save_v)))
		counter_found(s, group, name, number);
}

void proc_parse_pairs(struct snapshot *s, const char *text)
{
	char *copy = mem_strdup(text), *save, *names, *numbers;

	for (names = strtok_r(copy, "\n", &save); names && (numbers = strtok_r(NULL, "\n", &save));
	     names = strtok_r(NULL, "\n", &save))
		pairs_add(s, names, numbers);
	free(copy);
}

/* "Icmp6InMsgs" is "Icmp6.InMsgs"; the counts per ICMPv6 type are left out. */
static void snmp6_add(struct snapshot *s, const char *name, const char *number)
{
	static const char *const prefixes[] = {"Ip6", "Icmp6", "Udp6"};

	for (size_t i = 0; i < COUNT(prefixes); i++) {
		size_t len = strlen(prefixes[i]);

		if (strncmp(name, prefixes[i], len) == 0 && !strstr(name, "Type"))
			counter_found(s, prefixes[i], name + len, number);
	}
}

void proc_parse_snmp6(struct snapshot *s, const char *text)
{
	char *copy = mem_strdup(text), *save, *save_line;

	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *name = strtok_r(line, " \t", &save_line);
		char *number = name ? strtok_r(NULL, " \t", &save_line) : NULL;

		if (number)
			snmp6_add(s, name, number);
	}
	free(copy);
}

/* ---- tables of hexadecimal columns, a line for each processor ---- */

struct column {
	const char *name;    /* in the head; NULL: by position */
	int at;              /* position, from 0 */
	const char *counter; /* what we call it */
	bool same;           /* the same number in every line, not a share of it */
};

static int column_find(const char *head, const char *name)
{
	char *copy = mem_strdup(head), *save;
	int at = 0, found = -1;

	for (char *word = strtok_r(copy, " ", &save); word && found < 0; word = strtok_r(NULL, " ", &save), at++)
		if (strcmp(word, name) == 0)
			found = at;
	free(copy);
	return found;
}

static bool column_value(const char *line, int at, int64_t *out)
{
	char *end;

	for (;; at--, line = end) {
		*out = (int64_t)strtoull(line, &end, 16);
		if (end == line)
			return false;
		if (at == 0)
			return true;
	}
}

static void column_add(struct snapshot *s, const struct column *c, int at, char *const *lines, size_t count)
{
	int64_t sum = 0, v;

	for (size_t i = 0; i < count; i++) {
		if (at < 0 || !column_value(lines[i], at, &v))
			return;
		sum = c->same ? v : sum + v;
	}
	snapshot_add_counter(s, c->counter, sum);
}

static void columns_parse(struct snapshot *s, const char *text, const struct column *columns, size_t count)
{
	char *copy = mem_strdup(text), *save, **lines = NULL;
	size_t line_count = 0, cap = 0, head = columns[0].name ? 1 : 0;

	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		*VEC_ADD(lines, line_count, cap) = line;
	for (size_t i = 0; i < count && line_count > head; i++)
		column_add(s, &columns[i], head ? column_find(lines[0], columns[i].name) : columns[i].at, lines + head,
		           line_count - head);
	free(lines);
	free(copy);
}

void proc_parse_softnet(struct snapshot *s, const char *text)
{
	static const struct column columns[] = {{.at = 1, .counter = "softnet.dropped"}, {.at = 2, .counter = "softnet.squeezed"}};

	columns_parse(s, text, columns, COUNT(columns));
}

void proc_parse_conntrack(struct snapshot *s, const char *text)
{
	static const struct column columns[] = {{.name = "drop", .counter = "conntrack.drop"},
	                                        {.name = "insert_failed", .counter = "conntrack.insert_failed"},
	                                        {.name = "early_drop", .counter = "conntrack.early_drop"},
	                                        {.name = "invalid", .counter = "conntrack.invalid"}};

	columns_parse(s, text, columns, COUNT(columns));
}

void proc_parse_arp_cache(struct snapshot *s, const char *text)
{
	static const struct column columns[] = {{.name = "entries", .counter = "neigh.arp.entries", .same = true},
	                                        {.name = "res_failed", .counter = "neigh.arp.failed"},
	                                        {.name = "unresolved_discards", .counter = "neigh.arp.discards"},
	                                        {.name = "table_fulls", .counter = "neigh.arp.table_full"}};

	columns_parse(s, text, columns, COUNT(columns));
}

void proc_parse_nd_cache(struct snapshot *s, const char *text)
{
	static const struct column columns[] = {{.name = "entries", .counter = "neigh.nd.entries", .same = true},
	                                        {.name = "res_failed", .counter = "neigh.nd.failed"},
	                                        {.name = "unresolved_discards", .counter = "neigh.nd.discards"},
	                                        {.name = "table_fulls", .counter = "neigh.nd.table_full"}};

	columns_parse(s, text, columns, COUNT(columns));
}

int fact_read_counters(struct snapshot *s, struct err *e)
{
	static const struct {
		const char *path;
		void (*parse)(struct snapshot *, const char *);
	} files[] = {
	    {"/proc/net/snmp", proc_parse_pairs},
	    {"/proc/net/netstat", proc_parse_pairs},
	    {"/proc/net/snmp6", proc_parse_snmp6},
	    {"/proc/net/softnet_stat", proc_parse_softnet},
	    {"/proc/net/stat/nf_conntrack", proc_parse_conntrack},
	    {"/proc/net/stat/arp_cache", proc_parse_arp_cache}, /* of the whole machine: not in a namespace */
	    {"/proc/net/stat/ndisc_cache", proc_parse_nd_cache},
	};
	char *text = mem_alloc(PROC_TEXT_MAX);
	int64_t v;

	(void)e;
	for (size_t i = 0; i < COUNT(files); i++)
		if (proc_file_read(files[i].path, text, PROC_TEXT_MAX) > 0)
			files[i].parse(s, text);
	free(text);
	for (size_t i = 0; i < COUNT(moving); i++)
		if (sysctl_read(moving[i], &v))
			snapshot_add_counter(s, moving[i], v);
	return 0;
}
