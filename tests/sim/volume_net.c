/* volume_net: what kernels do with packets, each by its own snapshot. Sending is synchronous: when it returns, the packet and all
 * that it brought about have gone their way. */
#include "collector/diagnose/firewall.h"
#include "tests/sim/volume.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define DEPTH_MAX  120
#define ETH_IP4    0x0800
#define ETH_IP6    0x86dd
#define ETH_ARP    0x0806
#define VX_PORT    4789
#define VX_HEADERS 50
#define ND_ASK     135
#define ND_TELL    136

static const struct mac broadcast = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

static void link_receive(struct volume *v, int machine, uint32_t link, struct frame f);
static void link_send(struct volume *v, int machine, uint32_t link, struct frame f);

static struct snapshot *facts(struct volume *v, int machine) { return v->machines[machine].s; }
static struct link *link_of(struct volume *v, int machine, uint32_t index) { return &facts(v, machine)->links[index - 1]; }
static bool mac_is_group(struct mac m) { return m.b[0] & 1; }
static bool is_nd(const struct frame *f) { return f->l4 == IPPROTO_ICMPV6 && (f->type == ND_ASK || f->type == ND_TELL); }

/* ---- what agents see ---- */

static void seen(struct volume *v, int machine, uint32_t link, const struct frame *f, enum frame_way way)
{
	struct vmachine *m = &v->machines[machine];
	const struct frame *in = f->inner ? f->inner : f;
	if (!m->exec || !m->captures || !in->ours)
		return;
	const struct round_spec *spec = exec_spec(m->exec);
	for (size_t i = 0; i < spec->point_count; i++) {
		if (strcmp(spec->points[i].ifname, link_of(v, machine, link)->name) == 0)
			exec_seen(m->exec, &(struct sighting){.point = spec->points[i].id,
			                                      .flow = in->flow,
			                                      .seq = in->seq,
			                                      .part = in->part,
			                                      .way = way,
			                                      .src = in->src,
			                                      .dst = in->dst,
			                                      .at = v->now});
	}
}

static void dropped(struct volume *v, int machine, uint32_t link, const struct frame *f, const char *reason, const char *place)
{
	struct vmachine *m = &v->machines[machine];
	const struct frame *in = f->inner ? f->inner : f;
	if (!m->exec || !m->drops || !in->ours)
		return;
	struct flow_drop d = {.flow = in->flow, .part = in->part, .seqs = (seqset)1 << in->seq};
	str_copy(d.reason, sizeof d.reason, reason);
	str_copy(d.place, sizeof d.place, place);
	if (link)
		str_copy(d.ifname, sizeof d.ifname, link_of(v, machine, link)->name);
	exec_drop(m->exec, &d);
}

/* ---- filters ---- */

static struct fw_packet packet_of(const struct frame *f, const char *iif, const char *oif)
{
	struct fw_packet p = {.ethertype = f->ethertype, .l4proto = f->l4, .src = f->sip, .dst = f->dip, .iif = iif, .oif = oif};
	p.sport = (struct fw_span){f->sport, f->sport};
	p.dport = (struct fw_span){f->dport, f->dport};
	p.icmp_type = f->type;
	p.tcp_flags = f->tcp_flags;
	p.arp_op = f->arp_op;
	p.ct = is_nd(f)                  ? FW_CT_UNTRACKED
	       : f->part == PART_PROBE   ? FW_CT_NEW
	       : f->part == PART_REFUSAL ? FW_CT_RELATED
	                                 : FW_CT_ESTABLISHED;
	p.length = (struct fw_span){f->size, f->size};
	p.eth_src = f->src;
	p.eth_dst = f->dst;
	p.in_bridge = p.out_bridge = "";
	return p;
}

/* Does it pass? *reject: it is answered. */
static bool filter_passes(struct volume *v, int machine, enum fw_layer layer, const char *hook, const char *device,
                          const struct frame *f, const char *iif, const char *oif, bool *reject)
{
	struct fw_packet p = packet_of(f, iif, oif);
	struct fw_decision d[4];
	size_t n = firewall_decide(facts(v, machine), layer, hook, device, &p, d, 4);
	for (size_t i = 0; i < n; i++) {
		bool stops = d[i].outcome == FW_STOPS || (d[i].outcome == FW_MAY_STOP && d[i].random && volume_chance(v, 100000));
		if (stops && reject)
			*reject = d[i].reject;
		if (stops)
			return false;
	}
	return true;
}

static bool netdev_passes(struct volume *v, int machine, uint32_t link, const char *hook, const struct frame *f)
{
	const char *name = link_of(v, machine, link)->name;
	if (filter_passes(v, machine, FW_LAYER_NETDEV, hook, name, f, name, "", NULL))
		return true;
	dropped(v, machine, link, f, "NETFILTER_DROP", "nft_do_chain");
	return false;
}

/* ---- routes ---- */

static const struct addr *address_owned(struct volume *v, int machine, struct ip ip)
{
	struct snapshot *s = facts(v, machine);
	for (size_t i = 0; i < s->addr_count; i++)
		if (ip_equal(s->addrs[i].prefix.ip, ip) && link_of(v, machine, s->addrs[i].link)->up)
			return &s->addrs[i];
	return NULL;
}

static const struct route *route_to(struct volume *v, int machine, struct ip dst, uint32_t device)
{
	struct snapshot *s = facts(v, machine);
	const struct route *best = NULL;
	for (size_t i = 0; i < s->route_count; i++) {
		const struct route *r = &s->routes[i];
		if (!prefix_contains(r->dst, dst) || (device && r->link != device))
			continue;
		if (r->link && (!link_of(v, machine, r->link)->up || !link_of(v, machine, r->link)->carrier))
			continue;
		if (!best || r->dst.len > best->dst.len)
			best = r;
	}
	return best;
}

static int route_error(const struct route *r)
{
	if (!r)
		return ENETUNREACH;
	return r->type == ROUTE_BLACKHOLE     ? EINVAL
	       : r->type == ROUTE_UNREACHABLE ? EHOSTUNREACH
	       : r->type == ROUTE_PROHIBIT    ? EACCES
	                                      : 0;
}

/* ---- neighbours ---- */

static struct neigh *neighbour(struct volume *v, int machine, struct ip ip, uint32_t link)
{
	struct snapshot *s = facts(v, machine);
	for (size_t i = 0; i < s->neigh_count; i++)
		if (ip_equal(s->neighs[i].ip, ip) && s->neighs[i].link == link)
			return &s->neighs[i];
	return NULL;
}

static void neighbour_set(struct volume *v, int machine, struct ip ip, uint32_t link, struct mac mac, uint16_t state)
{
	struct snapshot *s = facts(v, machine);
	struct neigh *n = neighbour(v, machine, ip, link);
	if (n && n->state == NEIGH_PERMANENT)
		return;
	if (!n) {
		s->neighs = mem_resize(s->neighs, s->neigh_count + 1, sizeof *s->neighs);
		n = &s->neighs[s->neigh_count++];
	}
	*n = (struct neigh){.link = link, .ip = ip, .mac = mac, .state = state};
}

static struct frame question(struct volume *v, int machine, uint32_t link, struct ip asker, struct ip target)
{
	struct frame f = {
	    .src = link_of(v, machine, link)->mac, .dst = broadcast, .sip = asker, .dip = target, .size = 28, .ttl = 255};
	f.ethertype = target.family == 4 ? ETH_ARP : ETH_IP6;
	f.arp_op = 1;
	if (target.family == 6) {
		f.dst = (struct mac){{0x33, 0x33, 0xff, 0, 0, 1}};
		f.l4 = IPPROTO_ICMPV6;
		f.type = ND_ASK;
	}
	return f;
}

static struct ip address_on(struct volume *v, int machine, uint32_t link, int family)
{
	struct snapshot *s = facts(v, machine);
	for (size_t i = 0; i < s->addr_count; i++)
		if (s->addrs[i].link == link && s->addrs[i].prefix.ip.family == family)
			return s->addrs[i].prefix.ip;
	return (struct ip){0};
}

static bool neighbour_resolve(struct volume *v, int machine, uint32_t link, struct ip ip, struct mac *out)
{
	const uint16_t known = NEIGH_REACHABLE | NEIGH_PERMANENT | NEIGH_STALE;
	struct neigh *n = neighbour(v, machine, ip, link);
	if (!n || !(n->state & known)) {
		neighbour_set(v, machine, ip, link, (struct mac){{0}}, NEIGH_INCOMPLETE);
		link_send(v, machine, link, question(v, machine, link, address_on(v, machine, link, ip.family), ip));
		n = neighbour(v, machine, ip, link);
	}
	if (n && n->state & known) {
		*out = n->mac;
		return true;
	}
	neighbour_set(v, machine, ip, link, (struct mac){{0}}, NEIGH_FAILED);
	return false;
}

/* ---- sending of a kernel ---- */

static void neighbour_failed(struct volume *v, int machine, uint32_t link, const struct frame *f)
{
	struct vmachine *m = &v->machines[machine];
	dropped(v, machine, link, f, "NEIGH_FAILED", "neigh_invalidate");
	if (f->ours && f->part == PART_PROBE && m->exec)
		m->unresolved |= (uint64_t)1 << f->flow;
}

/* By this route, whose link is up. */
static void route_send(struct volume *v, int machine, const struct route *r, struct ip next, uint32_t link, struct frame f)
{
	struct ip hop = r && r->gateway.family ? r->gateway : next;
	f.src = link_of(v, machine, link)->mac;
	if (link_of(v, machine, link)->noarp)
		f.dst = f.src;
	else if (!neighbour_resolve(v, machine, link, hop, &f.dst)) {
		neighbour_failed(v, machine, link, &f);
		return;
	}
	link_send(v, machine, link, f);
}

/* What the kernel says to a program that wants to send this: an errno, or 0 and by which route and link it would leave. */
static int stack_check(struct volume *v, int machine, uint32_t device, const struct frame *f, const struct route **r,
                       uint32_t *link)
{
	bool reject;
	*r = route_to(v, machine, f->dip, device);
	*link = *r ? (*r)->link : device;
	int error = *r || !device ? route_error(*r) : 0;
	if (error)
		return error;
	if (!address_owned(v, machine, f->sip))
		return EADDRNOTAVAIL;
	if (f->df && f->size > link_of(v, machine, *link)->mtu)
		return EMSGSIZE;
	if (filter_passes(v, machine, FW_LAYER_IP, "output", "", f, "", link_of(v, machine, *link)->name, &reject))
		return 0;
	dropped(v, machine, *link, f, "NETFILTER_DROP", "nft_do_chain");
	return EPERM;
}

/* `device`: bound to it; 0 = not. */
static int stack_send(struct volume *v, int machine, uint32_t device, struct frame f)
{
	const struct route *r;
	uint32_t link;
	int error = stack_check(v, machine, device, &f, &r, &link);
	if (!error)
		route_send(v, machine, r, f.dip, link, f);
	return error;
}

/* ---- answers ---- */

static struct frame answer_to(const struct frame *f, uint8_t part)
{
	struct frame a = *f;
	a.sip = f->dip;
	a.dip = f->sip;
	a.sport = f->dport;
	a.dport = f->sport;
	a.part = part;
	a.ttl = 64;
	if (f->l4 == IPPROTO_ICMP)
		a.type = 0;
	if (f->l4 == IPPROTO_ICMPV6)
		a.type = 129;
	if (f->l4 == IPPROTO_TCP)
		a.tcp_flags = 0x12;
	return a;
}

static void refuse(struct volume *v, int machine, const struct frame *f, uint8_t type, uint8_t code, uint32_t mtu)
{
	struct frame a = answer_to(f, PART_REFUSAL);
	const struct route *r = route_to(v, machine, f->sip, 0);
	if (f->part != PART_PROBE || !f->ours || route_error(r))
		return;
	a.sip = address_on(v, machine, r->link, f->sip.family);
	a.l4 = f->sip.family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	a.type = type;
	a.code = code;
	a.mtu = mtu;
	a.size = 56;
	stack_send(v, machine, 0, a);
}

/* ---- what arrives later ---- */

static void later_put(struct volume *v, int machine, uint32_t link, const struct frame *f, int64_t ms)
{
	if (!v->later)
		v->later = mem_array(V_LATER, sizeof *v->later);
	if (v->later_count == V_LATER)
		return;
	struct later *l = &v->later[v->later_count++];
	*l = (struct later){.at = mono_add_ms(v->now, ms), .machine = machine, .link = link, .frame = *f};
	if (f->inner)
		l->inner = *f->inner;
}

void volume_later(struct volume *v)
{
	size_t n = v->later_count;
	for (size_t i = 0; i < n; i++) {
		struct later l = v->later[i];
		if (!mono_reached(l.at, v->now) || (!l.link && volume_is_stopped(v, l.machine)))
			continue;
		memmove(&v->later[i], &v->later[i + 1], (--v->later_count - i) * sizeof l);
		n--, i--;
		l.frame.inner = l.frame.inner ? &l.inner : NULL;
		if (l.link)
			link_receive(v, l.machine, l.link, l.frame);
		else if (v->machines[l.machine].exec)
			exec_replied(v->machines[l.machine].exec, l.frame.flow, l.frame.seq,
			             stack_send(v, l.machine, 0, answer_to(&l.frame, PART_ANSWER)));
	}
}

/* ---- to the sockets ---- */

static void probe_arrived(struct volume *v, int machine, const struct frame *f)
{
	struct vmachine *m = &v->machines[machine];
	const struct flow *flow = NULL;
	if (m->exec && f->flow < exec_spec(m->exec)->flow_count)
		flow = &exec_spec(m->exec)->flows[f->flow];
	if (flow && ip_equal(flow->dst, f->dip))
		exec_received(m->exec, f->flow, f->seq, f->sip, f->ttl, v->now);
	if (f->l4 == IPPROTO_ICMP && volume_sysctl_of(v, machine, "net.ipv4.icmp_echo_ignore_all", NULL))
		return;
	if (f->l4 == IPPROTO_ICMPV6 && volume_sysctl_of(v, machine, "net.ipv6.icmp.echo_ignore_all", NULL))
		return;
	if (f->l4 != IPPROTO_UDP) {
		stack_send(v, machine, 0, answer_to(f, PART_ANSWER));
		return;
	}
	if (!flow || (flow->asks && f->seq % flow->asks))
		return;
	if (volume_is_stopped(v, machine))
		later_put(v, machine, 0, f, 0);
	else
		exec_replied(m->exec, f->flow, f->seq, stack_send(v, machine, 0, answer_to(f, PART_ANSWER)));
}

static void sockets_receive(struct volume *v, int machine, const struct frame *f)
{
	struct vmachine *m = &v->machines[machine];
	if (!f->ours)
		return;
	if (f->part == PART_PROBE)
		probe_arrived(v, machine, f);
	else if (m->exec && f->part == PART_ANSWER)
		exec_answered(m->exec, f->flow, f->seq, EXEC_ANSWERED, (struct mac){{0}}, mono_add_us(v->now, 300));
	else if (m->exec)
		exec_icmp_error(m->exec, f->flow, f->seq, f->type, f->code, f->mtu, f->sip, mono_add_us(v->now, 300));
}

/* ---- neighbours ask and tell ---- */

static void neighbour_answer(struct volume *v, int machine, uint32_t link, const struct frame *f)
{
	struct frame a = *f;
	if (f->sip.family && route_error(route_to(v, machine, f->sip, 0)))
		return; /* as Linux: no way back, no word */
	a.src = link_of(v, machine, link)->mac;
	a.dst = f->src;
	a.sip = f->dip;
	a.dip = f->sip;
	a.arp_op = 2;
	a.type = f->l4 ? ND_TELL : 0;
	a.part = PART_ANSWER;
	if (f->sip.family)
		neighbour_set(v, machine, f->sip, link, f->src, NEIGH_REACHABLE);
	bool reject;
	if (f->l4 && !filter_passes(v, machine, FW_LAYER_IP, "output", "", &a, "", link_of(v, machine, link)->name, &reject))
		return;
	if (!link_of(v, machine, link)->noarp)
		link_send(v, machine, link, a);
}

static void neighbour_told(struct volume *v, int machine, uint32_t link, const struct frame *f)
{
	struct vmachine *m = &v->machines[machine];
	if (!f->raw)
		neighbour_set(v, machine, f->sip, link, f->src, NEIGH_REACHABLE);
	if (!f->ours || !m->exec)
		return;
	const struct flow *flow = &exec_spec(m->exec)->flows[f->flow];
	bool right = mac_equal(flow->dst_mac, f->src);
	exec_answered(m->exec, f->flow, f->seq, right ? EXEC_ANSWERED : EXEC_IMPOSTOR, f->src, mono_add_us(v->now, 300));
}

static void neighbour_receive(struct volume *v, int machine, uint32_t link, const struct frame *f)
{
	struct vmachine *m = &v->machines[machine];
	bool asks = f->part == PART_PROBE;
	if (!asks) {
		neighbour_told(v, machine, link, f);
		return;
	}
	if (f->ours && m->exec && ip_equal(exec_spec(m->exec)->flows[f->flow].dst, f->dip) && (int)link == (int)m->nic)
		exec_received(m->exec, f->flow, f->seq, f->sip, 255, v->now);
	if (f->ethertype == ETH_ARP &&
	    volume_sysctl_of(v, machine, "net.ipv4.conf.%s.arp_ignore", link_of(v, machine, link)->name) == 8)
		return;
	if (address_owned(v, machine, f->dip))
		neighbour_answer(v, machine, link, f);
}

/* ---- what a kernel receives ---- */

static bool way_back_is_strange(struct volume *v, int machine, uint32_t link, const struct frame *f)
{
	if (f->ethertype != ETH_IP4 || !volume_sysctl_of(v, machine, "net.ipv4.conf.%s.rp_filter", link_of(v, machine, link)->name))
		return false;
	const struct route *r = route_to(v, machine, f->sip, 0);
	return !r || r->link != link;
}

static void stack_forward(struct volume *v, int machine, uint32_t link, struct frame f)
{
	bool reject = false, six = f.dip.family == 6;
	if (!volume_sysctl_of(v, machine, six ? "net.ipv6.conf.all.forwarding" : "net.ipv4.ip_forward", NULL)) {
		dropped(v, machine, link, &f, "IP_INADDRERRORS", "ip_error");
		return;
	}
	const struct route *r = route_to(v, machine, f.dip, 0);
	if (route_error(r)) {
		dropped(v, machine, link, &f, "IP_INNOROUTES", "ip_error");
		if (r && r->type != ROUTE_BLACKHOLE)
			refuse(v, machine, &f, six ? 1 : 3, six ? 0 : r->type == ROUTE_PROHIBIT ? 13 : 1, 0);
		return;
	}
	const char *iif = link_of(v, machine, link)->name, *oif = link_of(v, machine, r->link)->name;
	if (!filter_passes(v, machine, FW_LAYER_IP, "forward", "", &f, iif, oif, &reject)) {
		dropped(v, machine, link, &f, "NETFILTER_DROP", "nft_do_chain");
		if (reject)
			refuse(v, machine, &f, six ? 1 : 3, six ? 1 : 13, 0);
		return;
	}
	if (f.ttl <= 1)
		return;
	f.ttl--;
	if (f.size > link_of(v, machine, r->link)->mtu && (f.df || six)) {
		dropped(v, machine, link, &f, "PKT_TOO_BIG", "ip_forward");
		refuse(v, machine, &f, six ? 2 : 3, six ? 0 : 4, link_of(v, machine, r->link)->mtu);
		return;
	}
	route_send(v, machine, r, f.dip, r->link, f);
}

static void tunnel_receive(struct volume *v, int machine, const struct frame *f)
{
	struct snapshot *s = facts(v, machine);
	for (size_t i = 0; i < s->link_count; i++)
		if (!strcmp(s->links[i].kind, "vxlan") && s->links[i].vni == f->vni && s->links[i].vx_port == f->dport)
			link_receive(v, machine, s->links[i].index, *f->inner);
}

static void stack_input(struct volume *v, int machine, uint32_t link, const struct frame *f)
{
	bool reject = false;
	const char *name = link_of(v, machine, link)->name;
	if (!filter_passes(v, machine, FW_LAYER_IP, "input", "", f, name, "", &reject)) {
		dropped(v, machine, link, f, "NETFILTER_DROP", "nft_do_chain");
		if (reject && !is_nd(f))
			refuse(v, machine, f, f->dip.family == 6 ? 1 : 3, f->dip.family == 6 ? 1 : 13, 0);
		return;
	}
	if (is_nd(f))
		neighbour_receive(v, machine, link, f);
	else if (f->inner)
		tunnel_receive(v, machine, f);
	else
		sockets_receive(v, machine, f);
}

static void stack_receive(struct volume *v, int machine, uint32_t link, const struct frame *f)
{
	bool reject;
	const char *name = link_of(v, machine, link)->name;
	if (!mac_is_group(f->dst) && !mac_equal(f->dst, link_of(v, machine, link)->mac))
		return;
	if (f->ethertype == ETH_ARP) {
		if (!link_of(v, machine, link)->noarp)
			neighbour_receive(v, machine, link, f);
		return;
	}
	if (f->ethertype == ETH_IP6 && volume_sysctl_of(v, machine, "net.ipv6.conf.%s.disable_ipv6", name))
		return;
	if (!filter_passes(v, machine, FW_LAYER_IP, "prerouting", "", f, name, "", &reject)) {
		dropped(v, machine, link, f, "NETFILTER_DROP", "nft_do_chain");
		return;
	}
	if (is_nd(f)) {
		stack_input(v, machine, link, f);
		return;
	}
	if (way_back_is_strange(v, machine, link, f))
		dropped(v, machine, link, f, "IP_RPFILTER", "ip_rcv_finish_core");
	else if (address_owned(v, machine, f->dip))
		stack_input(v, machine, link, f);
	else
		stack_forward(v, machine, link, *f);
}

/* ---- bridges ---- */

static void bridge_learn(struct volume *v, int machine, uint32_t bridge, uint32_t port, struct mac mac)
{
	struct snapshot *s = facts(v, machine);
	for (size_t i = 0; i < s->fdb_count; i++) {
		struct fdb *e = &s->fdbs[i];
		if (e->bridge != bridge || !mac_equal(e->mac, mac) || e->remote.family)
			continue;
		if (!e->sticky && !e->local)
			e->port = port;
		return;
	}
	s->fdbs = mem_resize(s->fdbs, s->fdb_count + 1, sizeof *s->fdbs);
	s->fdbs[s->fdb_count++] = (struct fdb){.bridge = bridge, .port = port, .mac = mac};
}

static uint32_t bridge_port_of(struct volume *v, int machine, uint32_t bridge, struct mac mac)
{
	struct snapshot *s = facts(v, machine);
	for (size_t i = 0; i < s->fdb_count; i++)
		if (s->fdbs[i].bridge == bridge && mac_equal(s->fdbs[i].mac, mac) && !s->fdbs[i].remote.family)
			return s->fdbs[i].port;
	return 0;
}

/* A flooded frame: does this port take it? */
static bool port_floods(const struct link *l, struct mac dst)
{
	if (mac_equal(dst, broadcast))
		return l->bcast_flood;
	return mac_is_group(dst) ? l->mcast_flood : l->flood;
}

static void port_send(struct volume *v, int machine, const struct link *in, const struct link *out, const struct frame *f)
{
	bool reject;
	if (!out->up || out->port_state != PORT_FORWARDING || (in && in->isolated && out->isolated))
		return;
	if (in && !filter_passes(v, machine, FW_LAYER_BRIDGE, "forward", "", f, in->name, out->name, &reject)) {
		dropped(v, machine, out->index, f, "NETFILTER_DROP", "nft_do_chain");
		return;
	}
	bool through_ip = in && f->ethertype == ETH_IP4 && volume_sysctl_of(v, machine, "net.bridge.bridge-nf-call-iptables", NULL);
	if (through_ip && !filter_passes(v, machine, FW_LAYER_IP, "forward", "", f, "br0", "br0", &reject)) {
		dropped(v, machine, out->index, f, "NETFILTER_DROP", "nft_do_chain");
		return;
	}
	link_send(v, machine, out->index, *f);
}

/* in NULL: from the machine itself. */
static void bridge_forward(struct volume *v, int machine, uint32_t bridge, const struct link *in, const struct frame *f)
{
	struct snapshot *s = facts(v, machine);
	uint32_t to = mac_is_group(f->dst) ? 0 : bridge_port_of(v, machine, bridge, f->dst);
	for (size_t i = 0; i < s->link_count; i++) {
		const struct link *l = &s->links[i];
		if (l->master != bridge || l == in || (to && l->index != to) || (!to && !port_floods(l, f->dst)))
			continue;
		port_send(v, machine, in, l, f);
	}
}

static void bridge_receive(struct volume *v, int machine, const struct link *in, const struct frame *f)
{
	struct link *br = link_of(v, machine, in->master);
	bool mine = mac_equal(f->dst, br->mac);
	if (!br->up || in->port_state != PORT_FORWARDING) {
		dropped(v, machine, in->index, f, "BRIDGE_INGRESS_STP_STATE", "br_handle_frame_finish");
		return;
	}
	if (in->locked && bridge_port_of(v, machine, br->index, f->src) != in->index)
		return;
	if (in->learning && !in->locked)
		bridge_learn(v, machine, br->index, in->index, f->src);
	if (!mine)
		bridge_forward(v, machine, br->index, in, f);
	if (mine || mac_is_group(f->dst)) {
		seen(v, machine, br->index, f, FRAME_IN);
		stack_receive(v, machine, br->index, f);
	}
}

/* ---- devices ---- */

static void tunnel_send(struct volume *v, int machine, const struct link *l, const struct frame *f)
{
	struct frame outer = {.ethertype = l->vx_local.family == 4 ? ETH_IP4 : ETH_IP6,
	                      .l4 = IPPROTO_UDP,
	                      .sport = 50000,
	                      .dport = l->vx_port,
	                      .size = (uint16_t)(f->size + VX_HEADERS),
	                      .ttl = 64,
	                      .sip = l->vx_local,
	                      .dip = l->vx_remote,
	                      .vni = l->vni,
	                      .inner = f};
	stack_send(v, machine, 0, outer);
}

static void wire_carry(struct volume *v, const struct wire *w, const struct frame *f)
{
	if (volume_chance(v, w->late_ppm))
		later_put(v, w->machine, w->link, f, 1 + volume_below(v, 20));
	else
		link_receive(v, w->machine, w->link, *f);
	if (volume_chance(v, w->copy_ppm))
		link_receive(v, w->machine, w->link, *f);
}

static void link_send(struct volume *v, int machine, uint32_t link, struct frame f)
{
	struct link *l = link_of(v, machine, link);
	struct wire w = v->machines[machine].wire[link];
	if (!l->up || !l->carrier || v->depth > DEPTH_MAX || !netdev_passes(v, machine, link, "egress", &f))
		return;
	v->packets++;
	v->depth++;
	if (f.size > l->mtu)
		dropped(v, machine, link, &f, "NOT_SPECIFIED", "br_dev_queue_push_xmit");
	else {
		seen(v, machine, link, &f, FRAME_OUT);
		if (!strcmp(l->kind, "bridge"))
			bridge_forward(v, machine, link, NULL, &f);
		else if (!strcmp(l->kind, "vxlan"))
			tunnel_send(v, machine, l, &f);
		else if (w.machine >= 0 && !volume_chance(v, w.lose_ppm))
			wire_carry(v, &w, &f);
	}
	v->depth--;
}

static void link_receive(struct volume *v, int machine, uint32_t link, struct frame f)
{
	struct link *l = link_of(v, machine, link);
	if (!l->up)
		return;
	if (f.size > l->mtu) {
		dropped(v, machine, link, &f, "PKT_TOO_BIG", "__dev_forward_skb2");
		return;
	}
	seen(v, machine, link, &f, FRAME_IN);
	if (!netdev_passes(v, machine, link, "ingress", &f))
		return;
	if (l->master)
		bridge_receive(v, machine, l, &f);
	else
		stack_receive(v, machine, link, &f);
}

/* ---- probes ---- */

static struct frame frame_of(const struct exec_probe *p)
{
	const struct flow *flow = p->flow;
	const struct kind_info *k = kind_info(flow->kind);
	static const uint8_t l4[2][4] = {{0, IPPROTO_ICMP, IPPROTO_UDP, IPPROTO_TCP},
	                                 {IPPROTO_ICMPV6, IPPROTO_ICMPV6, IPPROTO_UDP, IPPROTO_TCP}};
	struct frame f = {
	    .ours = true, .kind = flow->kind, .flow = flow->id, .seq = p->seq, .sip = flow->src, .dip = flow->dst, .df = k->large};
	f.ethertype = k->family == 6 ? ETH_IP6 : k->proto == PROTO_NEIGH ? ETH_ARP : ETH_IP4;
	f.l4 = l4[k->family == 6][k->proto];
	f.size = p->size && !k->fragments ? p->size : 84;
	f.sport = (uint16_t)(flow->id_base + (flow->ports ? p->seq % flow->ports : p->seq));
	f.dport = flow->dport;
	f.ttl = flow->ttl ? flow->ttl : 64;
	f.type = f.l4 == IPPROTO_ICMP ? 8 : 128;
	f.tcp_flags = 0x02;
	return f;
}

static void probe_raw(struct volume *v, int machine, const struct exec_probe *p, uint32_t link, struct frame f)
{
	exec_sent(v->machines[machine].exec, f.flow, f.seq, p->directed, link_of(v, machine, link)->up ? 0 : ENETDOWN, v->now);
	f.src = link_of(v, machine, link)->mac;
	f.dst = p->flow->dst_mac;
	link_send(v, machine, link, f);
}

static void probe_neighbour(struct volume *v, int machine, const struct exec_probe *p, const struct link *l)
{
	struct ip asker = p->seq == 0 && p->flow->dst.family == 4 ? (struct ip){0} : p->flow->src;
	struct frame f = question(v, machine, l->index, asker, p->flow->dst);
	f.ours = f.raw = true;
	f.kind = p->flow->kind;
	f.flow = p->flow->id;
	f.seq = p->seq;
	exec_sent(v->machines[machine].exec, f.flow, f.seq, false, l->up ? 0 : ENETDOWN, v->now);
	link_send(v, machine, l->index, f);
}

void volume_probe(struct volume *v, int machine, const struct exec_probe *p)
{
	struct frame f = frame_of(p);
	const struct link *l = volume_named(v, machine, p->flow->ifname);
	const struct route *r;
	uint32_t out;
	if (kind_info(p->flow->kind)->proto == PROTO_NEIGH) {
		probe_neighbour(v, machine, p, l);
	} else if (p->directed) {
		probe_raw(v, machine, p, l->index, f);
	} else {
		int error = stack_check(v, machine, p->flow->bind_device ? l->index : 0, &f, &r, &out);
		exec_sent(v->machines[machine].exec, f.flow, f.seq, false, error, v->now);
		if (!error)
			route_send(v, machine, r, f.dip, out, f);
	}
}

void volume_learn(struct volume *v)
{
	for (size_t i = 0; i < v->machine_count; i++) {
		struct snapshot *s = v->machines[i].s;
		for (size_t k = 0; k < s->addr_count; k++) {
			struct addr *a = &s->addrs[k];
			if (a->prefix.ip.family == 4 && !s->links[a->link - 1].loopback)
				link_send(v, (int)i, a->link, question(v, (int)i, a->link, a->prefix.ip, a->prefix.ip));
		}
	}
	for (size_t i = 0; i < v->machine_count; i++)
		v->machines[i].s->neigh_count = 0;
}
