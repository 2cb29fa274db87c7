/* Checks of one machine by itself: tables that fill, ports of bridges, offloads, clock, rights, services. */
#include "collector/lint_parts.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define NEARLY_FULL_PERCENT 80

/* ---- tables that fill ---- */

static bool is_nearly_full(int64_t used, int64_t max) { return max > 0 && used * 100 >= max * NEARLY_FULL_PERCENT; }

static void conntrack_use(struct lint *l, const struct lint_check *check)
{
	static const char limit[] = "net.netfilter.nf_conntrack_max", count[] = "net.netfilter.nf_conntrack_count";
	const struct member *m;
	for (size_t at = 0; (m = lint_next(l, &at));) {
		int64_t used, max;
		if (!snapshot_counter(m->snapshot, count, &used) || !snapshot_sysctl(m->snapshot, limit, &max) ||
		    !is_nearly_full(used, max))
			continue;
		struct finding *f = lint_add(l, check, m, limit);
		if (!f)
			continue;
		finding_say(
		    f,
		    "%s tracks %lld connections of at most %lld: when the table is full, new ones are dropped in every direction.",
		    "%s 已跟踪 %lld 条连接，上限为 %lld：表满后所有方向的新连接都会被丢弃。", lint_name(l, m), (long long)used,
		    (long long)max);
		finding_evidence(f, "%s = %lld", count, (long long)used);
		finding_evidence(f, "%s = %lld", limit, (long long)max);
		finding_fix(f, m, "sysctl -w %s=%lld", limit, (long long)max * 2);
	}
}

static size_t neighbours_of(const struct snapshot *s, int family)
{
	size_t n = 0;
	for (size_t i = 0; i < s->neigh_count; i++)
		n += s->neighs[i].ip.family == family && !(s->neighs[i].state & (NEIGH_NOARP | NEIGH_PERMANENT));
	return n;
}

static void neighbour_use_of(struct lint *l, const struct lint_check *check, const struct member *m, int family)
{
	char limit[64];
	int64_t max, whole, used = (int64_t)neighbours_of(m->snapshot, family);
	snprintf(limit, sizeof limit, "net.ipv%d.neigh.default.gc_thresh3", family);
	if (snapshot_counter(m->snapshot, family == 4 ? "neigh.arp.entries" : "neigh.nd.entries", &whole) && whole > used)
		used = whole;
	if (!snapshot_sysctl(m->snapshot, limit, &max) || !is_nearly_full(used, max))
		return;
	struct finding *f = lint_add(l, check, m, limit);
	if (!f)
		return;
	finding_say(f, "%s has %lld neighbours of at most %lld: when the table is full, new ones cannot be reached.",
	            "%s 的邻居表已有 %lld 个条目，上限为 %lld：表满后无法到达新的邻居。", lint_name(l, m), (long long)used,
	            (long long)max);
	finding_evidence(f, "IPv%d neighbours: %lld", family, (long long)used);
	finding_evidence(f, "%s = %lld", limit, (long long)max);
	finding_fix(f, m, "sysctl -w net.ipv%d.neigh.default.gc_thresh3=%lld net.ipv%d.neigh.default.gc_thresh2=%lld", family,
	            (long long)max * 4, family, (long long)max * 2);
}

static void neighbour_use(struct lint *l, const struct lint_check *check)
{
	const struct member *m;
	for (size_t at = 0; (m = lint_next(l, &at));) {
		neighbour_use_of(l, check, m, 4);
		neighbour_use_of(l, check, m, 6);
	}
}

/* ---- ports of bridges ---- */

/* Flags of a port, and what they ought to be where nobody wants something special. */
static const struct port_flag {
	const char *name, *option;
	size_t at;
	bool normal, of_tunnels; /* tunnels with an outside control plane do without learning and flooding */
	bool managed;            /* usual where the entries are made from outside */
	const char *effect[LINT_LANGS];
} FLAGS[] = {
    {"isolated",
     "isolated",
     offsetof(struct link, isolated),
     false,
     true,
     false,
     {"it reaches no other isolated port of the bridge", "它无法到达该网桥上其他隔离端口"}},
    {"locked",
     "locked",
     offsetof(struct link, locked),
     false,
     true,
     true,
     {"only machines that were entered by hand may send through it", "只有手工登记的机器可以经它发送"}},
    {"learning off",
     "learning",
     offsetof(struct link, learning),
     true,
     false,
     true,
     {"what is sent to the machines behind it is flooded to all ports, or lost", "发往其后机器的帧会泛洪到所有端口或丢失"}},
    {"flood off",
     "flood",
     offsetof(struct link, flood),
     true,
     false,
     true,
     {"it is silent to the machines behind it once their entries have aged", "其后机器的转发条目老化后便收不到单播"}},
    {"bcast_flood off",
     "bcast_flood",
     offsetof(struct link, bcast_flood),
     true,
     false,
     false,
     {"no ARP request reaches the machines behind it", "ARP 请求到不了其后的机器"}},
    {"mcast_flood off",
     "mcast_flood",
     offsetof(struct link, mcast_flood),
     true,
     false,
     false,
     {"no IPv6 neighbour solicitation reaches the machines behind it", "IPv6 邻居请求到不了其后的机器"}},
};

static bool flag_of(const struct link *l, const struct port_flag *flag)
{
	bool value;
	memcpy(&value, (const char *)l + flag->at, sizeof value);
	return value;
}

/* Entries made by hand or by a program stand in for learning: libvirt with macTableManager, 802.1X. */
static bool is_managed(const struct snapshot *s, const struct link *port)
{
	for (size_t i = 0; i < s->fdb_count; i++)
		if (s->fdbs[i].port == port->index && s->fdbs[i].is_static && !s->fdbs[i].local)
			return true;
	return false;
}

static void port_flag_check(struct lint *l, const struct lint_check *check, const struct member *m, const struct link *port,
                            const struct port_flag *flag)
{
	char component[64];
	const struct link *bridge = lint_bridge_of(m->snapshot, port);
	if (!bridge || flag_of(port, flag) == flag->normal || (!flag->of_tunnels && strcmp(port->kind, "vxlan") == 0) ||
	    (flag->managed && is_managed(m->snapshot, port)))
		return;
	snprintf(component, sizeof component, "%s %s", port->name, flag->name);
	struct finding *f = lint_add(l, check, m, component);
	if (!f)
		return;
	finding_say_in(f, 0, "On %s, port %s of %s is set to \"%s\": %s.", lint_name(l, m), port->name, bridge->name, flag->name,
	               flag->effect[0]);
	finding_say_in(f, 1, "%1$s 上，网桥 %3$s 的端口 %2$s 设为 \"%4$s\"：%5$s。", lint_name(l, m), port->name, bridge->name,
	               flag->name, flag->effect[1]);
	finding_evidence(f, "%s: %s", port->name, flag->name);
	finding_fix(f, m, "bridge link set dev %s %s %s", port->name, flag->option, flag->normal ? "on" : "off");
}

static void port_flags(struct lint *l, const struct lint_check *check)
{
	const struct member *m;
	for (size_t at = 0; (m = lint_next(l, &at));)
		for (size_t i = 0; i < m->snapshot->link_count; i++)
			for (size_t k = 0; k < sizeof FLAGS / sizeof *FLAGS; k++)
				port_flag_check(l, check, m, &m->snapshot->links[i], &FLAGS[k]);
}

/* ---- offloads that go wrong with a driver ---- */

enum use { USE_ANY, USE_FORWARDS /* it routes, or the device is in a bridge */ };

#define BARE "none"

static const struct offload_fault {
	const char *driver;     /* "" = any */
	const char *hypervisor; /* "" = any; BARE = of real hardware */
	uint32_t offload;
	enum use use;
	const char *option, *source;
	const char *effect[LINT_LANGS];
} OFFLOADS[] = {
    {"",
     "",
     OFFLOAD_LRO,
     USE_FORWARDS,
     "lro",
     "Linux Documentation/networking/netdevices, ethtool(8)",
     {"packets that were joined on receipt are too large to be sent on", "接收时合并的报文过大，无法继续转发"}},
    {"e1000e",
     BARE,
     OFFLOAD_TSO,
     USE_ANY,
     "tso",
     "e1000e: \"Detected Hardware Unit Hang\" (I217 to I219)",
     {"the NIC may hang while it cuts large packets", "网卡在分段大包时可能挂起"}},
    {"e1000",
     "vmware",
     OFFLOAD_TSO,
     USE_ANY,
     "tso",
     "VMware: esx.problem.net.e1000.tso6.notsupported",
     {"the emulated NIC may lose large IPv6 packets", "模拟网卡可能丢失 IPv6 大包"}},
};

static bool forwards(const struct snapshot *s, const struct link *l)
{
	int64_t on = 0;
	for (const struct link *at = l; at && at->master; at = snapshot_link(s, at->master))
		if (lint_bridge_of(s, at))
			return true;
	return snapshot_sysctl(s, "net.ipv4.ip_forward", &on) && on;
}

static bool runs_on(const struct snapshot *s, const char *hypervisor)
{
	const char *own = snapshot_text(s, "hardware.hypervisor");
	return !*hypervisor || strcmp(own ? own : BARE, hypervisor) == 0;
}

static void offload_check(struct lint *l, const struct lint_check *check, const struct member *m, const struct link *link,
                          const struct offload_fault *o)
{
	char component[64];
	if (!link->offloads_known || !(link->offloads & o->offload) || (*o->driver && strcmp(o->driver, link->driver) != 0) ||
	    !runs_on(m->snapshot, o->hypervisor) || (o->use == USE_FORWARDS && !forwards(m->snapshot, link)))
		return;
	snprintf(component, sizeof component, "%s %s", link->name, o->option);
	struct finding *f = lint_add(l, check, m, component);
	if (!f)
		return;
	finding_say_in(f, 0, "%s: %s, driver %s, has \"%s\" on: %s.", lint_name(l, m), link->name, link->driver, o->option,
	               o->effect[0]);
	finding_say_in(f, 1, "%s 的接口 %s（驱动 %s）开启了 \"%s\"：%s。", lint_name(l, m), link->name, link->driver, o->option,
	               o->effect[1]);
	finding_evidence(f, "%s: driver %s, %s on", link->name, link->driver, o->option);
	finding_evidence(f, "source: %s", o->source);
	finding_fix(f, m, "ethtool -K %s %s off", link->name, o->option);
}

static void offloads(struct lint *l, const struct lint_check *check)
{
	const struct member *m;
	for (size_t at = 0; (m = lint_next(l, &at));)
		for (size_t i = 0; i < m->snapshot->link_count; i++)
			for (size_t k = 0; k < sizeof OFFLOADS / sizeof *OFFLOADS; k++)
				offload_check(l, check, m, &m->snapshot->links[i], &OFFLOADS[k]);
}

/* ---- services ---- */

struct bound {
	bool any, usable; /* somebody listens on the port; where others can reach it */
	struct ip at;
};

static bool is_wild(struct ip ip)
{
	static const struct ip none;
	return memcmp(ip.b, none.b, ip.family == 4 ? 4 : 16) == 0;
}

/* An address that others can reach it by. */
static bool is_offered(const struct member *m, struct ip ip)
{
	const struct addr *a = snapshot_addr_of(m->snapshot, ip);
	const struct link *l = a && !ip_is_loopback(ip) ? snapshot_link(m->snapshot, a->link) : NULL;
	return l && !l->loopback;
}

static struct bound bound_to(const struct member *m, uint16_t port)
{
	struct bound b = {0};
	for (size_t i = 0; i < m->snapshot->listener_count; i++) {
		const struct listener *n = &m->snapshot->listeners[i];
		if (n->proto != IPPROTO_TCP || n->port != port)
			continue;
		b.any = true;
		b.at = n->ip;
		b.usable = b.usable || is_wild(n->ip) || is_offered(m, n->ip);
	}
	return b;
}

static void service_address(struct lint *l, const struct lint_check *check)
{
	const struct member *m;
	for (size_t at = 0; (m = lint_next(l, &at));)
		for (size_t i = 0; i < m->hello.service_count; i++) {
			char component[32];
			struct bound b = bound_to(m, m->hello.services[i]);
			snprintf(component, sizeof component, "tcp port %u", m->hello.services[i]);
			struct finding *f = b.any && !b.usable ? lint_add(l, check, m, component) : NULL;
			if (!f)
				continue;
			finding_say(f, "The service at port %u of %s listens on %s only: nobody else reaches it.",
			            "端口 %u 的服务（%s）只监听 %s：其他机器无法访问。", m->hello.services[i], lint_name(l, m),
			            lint_ip(b.at));
			finding_evidence(f, "listener: tcp %s:%u", lint_ip(b.at), m->hello.services[i]);
			const char *start = i < m->hello.start_count ? m->hello.starts[i] : "";
			if (*start)
				finding_fix(f, m, "kill $(ss -Hlntp 'sport = :%u' | grep -oP 'pid=\\K[0-9]+' | sort -u); %s",
				            m->hello.services[i], start);
		}
}

/* ---- the observer ---- */

static void clock_step(struct lint *l, const struct lint_check *check)
{
	const struct member *m;
	for (size_t at = 0; (m = lint_next(l, &at));) {
		struct health h = m->fitness.known ? fitness_minute(&m->fitness, l->now) : (struct health){0};
		struct finding *f =
		    h.clock_step_us > FIT_STEP_US || h.clock_step_us < -FIT_STEP_US ? lint_add(l, check, m, "clock") : NULL;
		if (!f)
			continue;
		finding_say(f, "The clock of %s was set by %lld ms within the last minute: certificates, leases and logs go by it.",
		            "%s 的时钟在一分钟内被调整了 %lld 毫秒：证书、租约和日志都依赖它。", lint_name(l, m),
		            (long long)(h.clock_step_us / 1000));
		finding_evidence(f, "clock step: %lld us", (long long)h.clock_step_us);
		finding_fix(f, m, "chronyc makestep");
	}
}

static void clock_skew(struct lint *l, const struct lint_check *check)
{
	const struct member *m;
	for (size_t at = 0; (m = lint_next(l, &at));) {
		long long s = (long long)m->clock_apart_ms / 1000;
		struct finding *f = s ? lint_add(l, check, m, "clock") : NULL;
		if (!f)
			continue;
		finding_say(f, "The clock of %s is %+lld s from the collector's: certificates, leases and logs go by it.",
		            "%s 的时钟与采集器相差 %+lld 秒：证书、租约和日志都依赖它。", lint_name(l, m), s);
		finding_evidence(f, "its last round: the facts are dated %+lld s from when they were asked for", s);
		finding_fix(f, m, "chronyc makestep");
	}
}

static void agent_rights(struct lint *l, const struct lint_check *check)
{
	const struct member *m;
	for (size_t at = 0; (m = lint_next(l, &at));) {
		struct finding *f =
		    m->hello.version_max && !(m->hello.rights & RIGHT_CAPTURE) ? lint_add(l, check, m, "agent") : NULL;
		if (!f)
			continue;
		finding_say(f, "The agent of %s may not capture: when something is lost there, the place will not be found.",
		            "%s 上的代理没有抓包权限：那里丢包时将无法定位。", lint_name(l, m));
		finding_evidence(f, "rights: %s", m->hello.rights_why);
		if (strncmp(m->hello.restart, "systemctl ", 10) == 0) /* what starts one by hand does not stop this one before */
			finding_fix(f, m, "%s", m->hello.restart);
	}
}

const struct lint_check LINT_MACHINE[] = {
    {"conntrack-near-limit",
     LINT_WARNING,
     conntrack_use,
     "net.netfilter.nf_conntrack_count, net.netfilter.nf_conntrack_max",
     {"The connection table is nearly full", "连接跟踪表将满"},
     {"At least 80 % of nf_conntrack_max are in use.", "nf_conntrack_max 已使用 80 % 以上。"},
     "Linux Documentation/networking/nf_conntrack-sysctl.rst"},
    {"neighbour-table-near-limit",
     LINT_WARNING,
     neighbour_use,
     "neighbours, neigh.default.gc_thresh3",
     {"The neighbour table is nearly full", "邻居表将满"},
     {"At least 80 % of gc_thresh3 are in use, for IPv4 or IPv6.", "IPv4 或 IPv6 的 gc_thresh3 已使用 80 % 以上。"},
     "arp(7), Linux Documentation/networking/ip-sysctl.rst"},
    {"bridge-port-flags",
     LINT_WARNING,
     port_flags,
     "bridge port flags",
     {"A port of a bridge is set up unusually", "网桥端口设置异常"},
     {"A port is isolated or locked, does not learn, or is not flooded to.", "端口被隔离或锁定、不学习地址，或不接收泛洪。"},
     "bridge(8)"},
    {"offload-driver",
     LINT_WARNING,
     offloads,
     "ethtool offloads, drivers, forwarding",
     {"An offload that is known to go wrong is on", "启用了已知有问题的卸载功能"},
     {"Pairs of driver and offload from a table; LRO where packets are forwarded.",
      "驱动与卸载功能的已知问题组合；在转发报文处启用 LRO。"},
     "see the evidence"},
    {"service-wrong-address",
     LINT_WARNING,
     service_address,
     "listeners, declared services, addresses",
     {"A declared service is bound to an address nobody can reach", "声明的服务绑定在他人无法访问的地址"},
     {"A declared service listens, but only on loopback or on an address the machine does not have.",
      "声明的服务在监听，但只绑定回环地址或本机没有的地址。"},
     "ss(8)"},
    {"clock-step",
     LINT_NOTE,
     clock_step,
     "clock steps that the agent measured",
     {"The clock was set", "时钟被调整"},
     {"The wall clock moved against the monotonic one by more than 100 ms.", "墙上时钟相对单调时钟移动超过 100 毫秒。"},
     "adjtimex(2)"},
    {"clock-skew",
     LINT_NOTE,
     clock_skew,
     "the agent's wall clock, in its last round",
     {"The clock differs from the collector's", "时钟与采集器不一致"},
     {"What was read during a round is dated outside of it, by more than 20 s.",
      "一轮测量期间读取的事实，其时间戳在该轮之外 20 秒以上。"},
     "RFC 5905, chrony.conf(5)"},
    {"agent-rights",
     LINT_NOTE,
     agent_rights,
     "rights that the agent has",
     {"The agent lacks rights", "代理缺少权限"},
     {"An agent without the right to capture sees no packets on its machine's interfaces.",
      "没有抓包权限的代理看不到本机接口上的报文。"},
     "capabilities(7)"},
};
const size_t LINT_MACHINE_COUNT = sizeof LINT_MACHINE / sizeof *LINT_MACHINE;
