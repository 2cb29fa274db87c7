/* netlink: links, addresses, routes, rules, neighbours and forwarding entries, and the interfaces' own sysctls, which the
 * kernel hands out with the links: one dump instead of a dozen files per interface. */
#include "agent/facts/facts.h"
#include "agent/facts/source.h"
#include "proto/base/mem.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- per-interface sysctls ---- */

struct conf_name {
	int index; /* in the kernel's array */
	const char *name;
};

static const struct conf_name conf4_names[] = {
    {IPV4_DEVCONF_RP_FILTER - 1, "rp_filter"},       {IPV4_DEVCONF_ARP_IGNORE - 1, "arp_ignore"},
    {IPV4_DEVCONF_ARP_ANNOUNCE - 1, "arp_announce"}, {IPV4_DEVCONF_ARPFILTER - 1, "arp_filter"},
    {IPV4_DEVCONF_FORWARDING - 1, "forwarding"},     {IPV4_DEVCONF_ACCEPT_LOCAL - 1, "accept_local"},
    {IPV4_DEVCONF_PROXY_ARP - 1, "proxy_arp"},       {IPV4_DEVCONF_ROUTE_LOCALNET - 1, "route_localnet"},
    {IPV4_DEVCONF_SRC_VMARK - 1, "src_valid_mark"},
};
static const struct conf_name conf6_names[] = {
    {DEVCONF_DISABLE_IPV6, "disable_ipv6"}, {DEVCONF_FORWARDING, "forwarding"}, {DEVCONF_ACCEPT_RA, "accept_ra"},
    {DEVCONF_ACCEPT_DAD, "accept_dad"},     {DEVCONF_PROXY_NDP, "proxy_ndp"},   {DEVCONF_HOPLIMIT, "hop_limit"},
};
#define COUNT(a) (sizeof(a) / sizeof *(a))

struct conf {
	uint32_t link;
	int32_t v4[COUNT(conf4_names)], v6[COUNT(conf6_names)];
	bool has4, has6;
};

struct pull {
	struct snapshot *s;
	struct conf *confs;
	size_t conf_count, conf_cap;
};

static bool conf_take(const struct nlattr *array, const struct conf_name *names, size_t count, int32_t *out)
{
	size_t len = array ? mnl_attr_get_payload_len(array) / 4 : 0;

	for (size_t i = 0; i < count; i++) {
		if ((size_t)names[i].index >= len)
			return false;
		memcpy(&out[i], (const char *)mnl_attr_get_payload(array) + names[i].index * 4, 4);
	}
	return true;
}

static void conf_read(struct pull *p, uint32_t link, const struct nlattr *spec)
{
	const struct nlattr *af[AF_INET6 + 1], *in[IFLA_INET_MAX + 1], *in6[IFLA_INET6_MAX + 1];
	struct conf *c = VEC_ADD(p->confs, p->conf_count, p->conf_cap);

	nl_nested(spec, af, AF_INET6);
	nl_nested(af[AF_INET], in, IFLA_INET_MAX);
	nl_nested(af[AF_INET6], in6, IFLA_INET6_MAX);
	c->link = link;
	c->has4 = conf_take(in[IFLA_INET_CONF], conf4_names, COUNT(conf4_names), c->v4);
	c->has6 = conf_take(in6[IFLA_INET6_CONF], conf6_names, COUNT(conf6_names), c->v6);
}

static void conf_emit(struct snapshot *s, int family, const char *link, const struct conf_name *names, size_t count,
                      const int32_t *v)
{
	for (size_t i = 0; i < count; i++) {
		char name[96];

		snprintf(name, sizeof name, "net.ipv%d.conf.%s.%s", family, link, names[i].name);
		snapshot_add_sysctl(s, name, v[i]);
	}
}

static bool has_address(const struct snapshot *s, uint32_t link)
{
	for (size_t i = 0; i < s->addr_count; i++)
		if (s->addrs[i].link == link)
			return true;
	return false;
}

/* Bridge ports do no IP of their own: theirs are left out. Interfaces with addresses come first, in case there is no room for all.
 */
static void confs_emit(struct pull *p, bool addressed)
{
	for (size_t i = 0; i < p->conf_count; i++) {
		const struct conf *c = &p->confs[i];
		const struct link *l = snapshot_link(p->s, c->link);

		if (!l || l->port || has_address(p->s, l->index) != addressed)
			continue;
		if (c->has4)
			conf_emit(p->s, 4, l->name, conf4_names, COUNT(conf4_names), c->v4);
		if (c->has6)
			conf_emit(p->s, 6, l->name, conf6_names, COUNT(conf6_names), c->v6);
	}
}

/* ---- links ---- */

static int on_link(const struct nlmsghdr *h, void *arg)
{
	struct pull *p = arg;
	const struct ifinfomsg *i = mnl_nlmsg_get_payload(h);
	const struct nlattr *tb[IFLA_MAX + 1];
	struct link *l = SNAP_ADD(p->s, links, link_count, SNAP_LINKS_MAX);

	if (!l)
		return MNL_CB_OK;
	nl_attrs(h, sizeof *i, tb, IFLA_MAX);
	link_read(l, h);
	link_read_counters(p->s, l->name, tb[IFLA_STATS64]);
	link_read_settings(p->s, l, tb[IFLA_LINKINFO]);
	conf_read(p, l->index, tb[IFLA_AF_SPEC]);
	return MNL_CB_OK;
}

/* ---- addresses ---- */

static int on_addr(const struct nlmsghdr *h, void *arg)
{
	struct pull *p = arg;
	const struct ifaddrmsg *i = mnl_nlmsg_get_payload(h);
	const struct nlattr *tb[IFA_MAX + 1];
	struct addr *a;
	uint32_t flags;

	if (i->ifa_family != AF_INET && i->ifa_family != AF_INET6)
		return MNL_CB_OK;
	a = SNAP_ADD(p->s, addrs, addr_count, SNAP_ADDRS_MAX);
	if (!a)
		return MNL_CB_OK;
	nl_attrs(h, sizeof *i, tb, IFA_MAX);
	flags = tb[IFA_FLAGS] ? nl_u32(tb[IFA_FLAGS]) : i->ifa_flags;
	a->link = i->ifa_index;
	/* on point-to-point links IFA_ADDRESS is the other end */
	a->prefix.ip = nl_ip(tb[IFA_LOCAL] ? tb[IFA_LOCAL] : tb[IFA_ADDRESS], i->ifa_family);
	a->prefix.len = i->ifa_prefixlen;
	a->tentative = flags & IFA_F_TENTATIVE;
	a->dadfailed = flags & IFA_F_DADFAILED;
	a->temporary = i->ifa_family == AF_INET6 && (flags & IFA_F_TEMPORARY);
	a->leased = !(flags & IFA_F_PERMANENT);
	return MNL_CB_OK;
}

/* ---- routes ---- */

static bool route_wanted(const struct rtmsg *m)
{
	bool type = m->rtm_type == RTN_UNICAST || m->rtm_type == RTN_BLACKHOLE || m->rtm_type == RTN_UNREACHABLE ||
	            m->rtm_type == RTN_PROHIBIT;

	return type && !(m->rtm_flags & RTM_F_CLONED) && (m->rtm_family == AF_INET || m->rtm_family == AF_INET6);
}

/* RTA_VIA: a gateway of the other family (IPv4 over an IPv6 next hop). */
static struct ip route_via(const struct nlattr *a)
{
	const struct rtvia *v = a && mnl_attr_get_payload_len(a) >= sizeof(*v) + 4 ? mnl_attr_get_payload(a) : NULL;

	if (v && v->rtvia_family == AF_INET)
		return ip_from_bytes(4, v->rtvia_addr);
	if (v && v->rtvia_family == AF_INET6 && mnl_attr_get_payload_len(a) >= sizeof(*v) + 16)
		return ip_from_bytes(6, v->rtvia_addr);
	return (struct ip){0};
}

static struct ip route_gateway(const struct nlattr *const *tb, int family)
{
	return tb[RTA_GATEWAY] ? nl_ip(tb[RTA_GATEWAY], family) : route_via(tb[RTA_VIA]);
}

static uint32_t route_mtu(const struct nlattr *metrics)
{
	const struct nlattr *tb[RTAX_MAX + 1];

	nl_nested(metrics, tb, RTAX_MAX);
	return nl_u32(tb[RTAX_MTU]);
}

static struct route *route_add(struct pull *p, const struct rtmsg *m, const struct nlattr *const *tb)
{
	struct route *r = SNAP_ADD(p->s, routes, route_count, SNAP_ROUTES_MAX);

	if (!r)
		return NULL;
	r->type = m->rtm_type;
	r->table = tb[RTA_TABLE] ? nl_u32(tb[RTA_TABLE]) : m->rtm_table;
	r->protocol = m->rtm_protocol;
	r->dst.ip = nl_ip(tb[RTA_DST], m->rtm_family);
	r->dst.ip.family = m->rtm_family == AF_INET ? 4 : 6;
	r->dst.len = m->rtm_dst_len;
	r->gateway = route_gateway(tb, m->rtm_family);
	r->source = nl_ip(tb[RTA_PREFSRC], m->rtm_family);
	r->link = nl_u32(tb[RTA_OIF]);
	r->metric = nl_u32(tb[RTA_PRIORITY]);
	r->mtu = route_mtu(tb[RTA_METRICS]);
	return r;
}

static uint8_t hops_count(const struct nlattr *multipath)
{
	int left = mnl_attr_get_payload_len(multipath);
	uint8_t count = 0;
	for (const struct rtnexthop *nh = mnl_attr_get_payload(multipath); RTNH_OK(nh, left) && count < UINT8_MAX;
	     left -= RTNH_ALIGN(nh->rtnh_len), nh = RTNH_NEXT(nh))
		count++;
	return count;
}

/* A route with several next hops becomes one entry for each. */
static void routes_add_hops(struct pull *p, const struct rtmsg *m, const struct nlattr *const *tb)
{
	int left = mnl_attr_get_payload_len(tb[RTA_MULTIPATH]);

	for (const struct rtnexthop *nh = mnl_attr_get_payload(tb[RTA_MULTIPATH]); RTNH_OK(nh, left);
	     left -= RTNH_ALIGN(nh->rtnh_len), nh = RTNH_NEXT(nh)) {
		const struct nlattr *hop[RTA_MAX + 1];
		struct route *r = route_add(p, m, tb);

		if (!r || nh->rtnh_len < sizeof *nh)
			return;
		nl_payload(RTNH_DATA(nh), nh->rtnh_len - sizeof *nh, hop, RTA_MAX);
		r->gateway = route_gateway(hop, m->rtm_family);
		r->link = (uint32_t)nh->rtnh_ifindex;
		r->hops = hops_count(tb[RTA_MULTIPATH]);
	}
}

static int on_route(const struct nlmsghdr *h, void *arg)
{
	struct pull *p = arg;
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	const struct nlattr *tb[RTA_MAX + 1];

	if (!route_wanted(m))
		return MNL_CB_OK;
	nl_attrs(h, sizeof *m, tb, RTA_MAX);
	if (tb[RTA_MULTIPATH])
		routes_add_hops(p, m, tb);
	else
		route_add(p, m, tb);
	return MNL_CB_OK;
}

/* ---- rules ---- */

static struct prefix rule_prefix(const struct nlattr *a, int family, uint8_t len)
{
	struct prefix p = {nl_ip(a, family), len};

	if (!a && len == 0)
		p.ip.family = 0;
	return p;
}

/* Those every machine has: 0 local, 32766 main, 32767 default. */
static bool rule_is_standard(const struct policy_rule *r)
{
	static const struct {
		uint32_t priority, table;
	} standard[] = {{0, RT_TABLE_LOCAL}, {32766, RT_TABLE_MAIN}, {32767, RT_TABLE_DEFAULT}};

	if (r->action != FR_ACT_TO_TBL || r->src.ip.family || r->dst.ip.family || r->iif[0] || r->oif[0] || r->fwmark)
		return false;
	for (size_t i = 0; i < COUNT(standard); i++)
		if (r->priority == standard[i].priority && r->table == standard[i].table)
			return true;
	return false;
}

static int on_rule(const struct nlmsghdr *h, void *arg)
{
	struct pull *p = arg;
	const struct fib_rule_hdr *m = mnl_nlmsg_get_payload(h);
	const struct nlattr *tb[FRA_MAX + 1];
	struct policy_rule r = {0}, *out;

	if (m->family != AF_INET && m->family != AF_INET6)
		return MNL_CB_OK;
	nl_attrs(h, sizeof *m, tb, FRA_MAX);
	r.family = m->family == AF_INET ? 4 : 6;
	r.priority = nl_u32(tb[FRA_PRIORITY]);
	r.table = tb[FRA_TABLE] ? nl_u32(tb[FRA_TABLE]) : m->table;
	r.action = m->action;
	r.src = rule_prefix(tb[FRA_SRC], m->family, m->src_len);
	r.dst = rule_prefix(tb[FRA_DST], m->family, m->dst_len);
	r.fwmark = nl_u32(tb[FRA_FWMARK]);
	if (tb[FRA_IIFNAME])
		str_copy(r.iif, sizeof r.iif, mnl_attr_get_str(tb[FRA_IIFNAME]));
	if (tb[FRA_OIFNAME])
		str_copy(r.oif, sizeof r.oif, mnl_attr_get_str(tb[FRA_OIFNAME]));
	if (!rule_is_standard(&r) && (out = SNAP_ADD(p->s, rules, rule_count, SNAP_RULES_MAX)))
		*out = r;
	return MNL_CB_OK;
}

/* ---- neighbours and forwarding entries ---- */

static int on_neigh(const struct nlmsghdr *h, void *arg)
{
	struct pull *p = arg;
	const struct ndmsg *m = mnl_nlmsg_get_payload(h);
	const struct nlattr *tb[NDA_MAX + 1];
	struct neigh *n;

	/* entries of state NOARP are the kernel's own for multicast and loopback */
	if ((m->ndm_family != AF_INET && m->ndm_family != AF_INET6) || m->ndm_state == 0 || m->ndm_state & NUD_NOARP)
		return MNL_CB_OK;
	n = SNAP_ADD(p->s, neighs, neigh_count, SNAP_NEIGHS_MAX);
	if (!n)
		return MNL_CB_OK;
	nl_attrs(h, sizeof *m, tb, NDA_MAX);
	n->link = (uint32_t)m->ndm_ifindex;
	n->ip = nl_ip(tb[NDA_DST], m->ndm_family);
	n->mac = nl_mac(tb[NDA_LLADDR]);
	n->state = m->ndm_state;
	return MNL_CB_OK;
}

static bool fdb_wanted(const struct ndmsg *m, const struct nlattr *const *tb, struct mac mac)
{
	if (m->ndm_family != AF_BRIDGE || mac.b[0] & 1)
		return false;
	/* a VXLAN device's own table names the tunnel endpoint; an all-zero MAC: where to send what is for all or unknown */
	if (!tb[NDA_MASTER])
		return tb[NDA_DST];
	/* without either it is a device's own filter list */
	return mac_is_set(mac);
}

void fdb_read(struct snapshot *s, const struct nlmsghdr *h)
{
	const struct ndmsg *m = mnl_nlmsg_get_payload(h);
	const struct nlattr *tb[NDA_MAX + 1];
	struct fdb *f;
	struct mac mac;

	nl_attrs(h, sizeof *m, tb, NDA_MAX);
	mac = nl_mac(tb[NDA_LLADDR]);
	if (!fdb_wanted(m, tb, mac) || !(f = SNAP_ADD(s, fdbs, fdb_count, SNAP_FDB_MAX)))
		return;
	f->port = (uint32_t)m->ndm_ifindex;
	f->bridge = tb[NDA_MASTER] ? nl_u32(tb[NDA_MASTER]) : f->port;
	f->mac = mac;
	f->vlan = nl_u16(tb[NDA_VLAN]);
	f->local = tb[NDA_MASTER] && m->ndm_state & NUD_PERMANENT;
	f->is_static = m->ndm_state & (NUD_PERMANENT | NUD_NOARP);
	f->sticky = m->ndm_flags & NTF_STICKY;
	f->remote = nl_ip(tb[NDA_DST], tb[NDA_DST] && mnl_attr_get_payload_len(tb[NDA_DST]) == 16 ? AF_INET6 : AF_INET);
}

static int on_fdb(const struct nlmsghdr *h, void *arg)
{
	fdb_read(((struct pull *)arg)->s, h);
	return MNL_CB_OK;
}

static int on_vlans(const struct nlmsghdr *h, void *arg)
{
	link_read_vlans(((struct pull *)arg)->s, h);
	return MNL_CB_OK;
}

static const struct dump {
	const char *what;
	uint16_t type;
	uint8_t family;
	uint8_t header;
	mnl_cb_t fn;
	uint32_t mask; /* RTEXT_FILTER_* */
} dumps[] = {
    {"links", RTM_GETLINK, AF_UNSPEC, sizeof(struct ifinfomsg), on_link, 0},
    {"addresses", RTM_GETADDR, AF_UNSPEC, sizeof(struct ifaddrmsg), on_addr, 0},
    {"routes", RTM_GETROUTE, AF_INET, sizeof(struct rtmsg), on_route, 0},
    {"routes", RTM_GETROUTE, AF_INET6, sizeof(struct rtmsg), on_route, 0},
    {"rules", RTM_GETRULE, AF_INET, sizeof(struct fib_rule_hdr), on_rule, 0},
    {"rules", RTM_GETRULE, AF_INET6, sizeof(struct fib_rule_hdr), on_rule, 0},
    {"neighbours", RTM_GETNEIGH, AF_UNSPEC, sizeof(struct ndmsg), on_neigh, 0},
    {"forwarding entries", RTM_GETNEIGH, AF_BRIDGE, sizeof(struct ndmsg), on_fdb, 0},
    {"bridge VLANs", RTM_GETLINK, AF_BRIDGE, sizeof(struct ifinfomsg), on_vlans, RTEXT_FILTER_BRVLAN_COMPRESSED},
};

static int dump_run(struct nl *n, const struct dump *d, struct pull *p)
{
	struct nlmsghdr *req = nl_request(n, d->type, NLM_F_DUMP, d->header);

	*(uint8_t *)mnl_nlmsg_get_payload(req) = d->family; /* the first byte of each of these headers */
	if (d->mask)
		mnl_attr_put_u32(req, IFLA_EXT_MASK, d->mask);
	return nl_talk(n, req, d->fn, p);
}

/* A kernel without IPv6 or without bridges refuses that family: nothing to read there. */
static int dump_failed(const struct dump *d, int before, struct err *e)
{
	if (errno == EOPNOTSUPP || errno == EAFNOSUPPORT)
		return before;
	if (errno == EINTR)
		return err_set(e, "%s changed while they were read", d->what), FACT_DISTURBED;
	return err_sys(e, "reading %s", d->what);
}

int fact_read_network(struct snapshot *s, struct err *e)
{
	struct pull p = {.s = s};
	struct nl n;
	int failed = 0;

	if (nl_open(&n, NETLINK_ROUTE, e))
		return -1;
	for (size_t i = 0; i < COUNT(dumps) && failed >= 0; i++)
		if (dump_run(&n, &dumps[i], &p))
			failed = dump_failed(&dumps[i], failed, e);
	confs_emit(&p, true);
	confs_emit(&p, false);
	free(p.confs);
	nl_close(&n);
	return failed;
}

/* ---- one neighbour, now ---- */

struct hop {
	struct ip ip;
	uint32_t link;
};

static int on_hop(const struct nlmsghdr *h, void *arg)
{
	struct hop *out = arg;
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	const struct nlattr *tb[RTA_MAX + 1];
	struct ip gateway;

	nl_attrs(h, sizeof *m, tb, RTA_MAX);
	gateway = route_gateway(tb, m->rtm_family);
	if (gateway.family)
		out->ip = gateway;
	out->link = nl_u32(tb[RTA_OIF]);
	return MNL_CB_OK;
}

static void put_ip(struct nlmsghdr *req, uint16_t type, struct ip ip) { mnl_attr_put(req, type, ip.family == 4 ? 4 : 16, ip.b); }

static int ip_af(struct ip ip) { return ip.family == 4 ? AF_INET : AF_INET6; }

static void hop_find(struct nl *n, struct hop *hop, struct ip src)
{
	struct nlmsghdr *req = nl_request(n, RTM_GETROUTE, 0, sizeof(struct rtmsg));
	struct rtmsg *m = mnl_nlmsg_get_payload(req);

	m->rtm_family = (unsigned char)ip_af(hop->ip);
	m->rtm_dst_len = hop->ip.family == 4 ? 32 : 128;
	put_ip(req, RTA_DST, hop->ip);
	if (src.family == hop->ip.family) {
		m->rtm_src_len = m->rtm_dst_len;
		put_ip(req, RTA_SRC, src);
	}
	if (hop->link)
		mnl_attr_put_u32(req, RTA_OIF, hop->link);
	nl_talk(n, req, on_hop, hop); /* no route: the address is taken to be on that link */
}

static int on_state(const struct nlmsghdr *h, void *arg)
{
	if (h->nlmsg_type == RTM_NEWNEIGH)
		*(uint16_t *)arg = ((const struct ndmsg *)mnl_nlmsg_get_payload(h))->ndm_state;
	return MNL_CB_OK;
}

uint16_t facts_neigh_state(struct ip ip, const char *ifname, struct ip src)
{
	struct hop hop = {ip, ifname ? if_nametoindex(ifname) : 0};
	struct nlmsghdr *req;
	struct ndmsg *m;
	uint16_t state = 0;
	struct nl n;

	if (!ip.family || nl_open(&n, NETLINK_ROUTE, NULL))
		return 0;
	hop_find(&n, &hop, src);
	req = nl_request(&n, RTM_GETNEIGH, 0, sizeof *m);
	m = mnl_nlmsg_get_payload(req);
	m->ndm_family = (uint8_t)ip_af(hop.ip);
	m->ndm_ifindex = (int)hop.link;
	put_ip(req, NDA_DST, hop.ip);
	if (hop.link)
		nl_talk(&n, req, on_state, &state);
	nl_close(&n);
	return state;
}
