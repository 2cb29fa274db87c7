/* drops: what the kernel dropped of a round's probes. Runs in the kernel, at every kfree_skb while a round is on: passes on
 * what was dropped in our network namespace and looks like a probe; nothing else leaves the kernel. The exact decision is
 * packet_match's, in the process that reads the ring.
 *
 * The few kernel structs it needs are declared here by name only; libbpf finds their fields in the running kernel's own type
 * information. May be used under the GPL, version 2, as well, which the kernel asks of a program that reads its memory. */
typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u16 __sum16;
typedef __u32 __wsum;

#include "agent/drops_event.h"

#include <bpf/bpf_helpers.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <stdbool.h>

#define KERNEL __attribute__((preserve_access_index))

char program_license[] SEC("license") = "GPL";

/* ---- the kernel's structs ---- */

struct ns_common {
	__u32 inum;
} KERNEL;
struct net {
	struct ns_common ns;
} KERNEL;
typedef struct {
	struct net *net;
} possible_net_t;
struct net_device {
	char name[DROP_IFNAME];
	possible_net_t nd_net;
} KERNEL;
struct sock_common {
	possible_net_t skc_net;
} KERNEL;
struct sock {
	struct sock_common __sk_common;
} KERNEL;
struct dst_entry {
	struct net_device *dev;
} KERNEL;
struct sk_buff {
	struct net_device *dev;
	struct sock *sk;
	unsigned long _skb_refdst;
	__be16 protocol;
	__u16 network_header;
	__u32 tail;
	unsigned char *head, *data;
} KERNEL;
/* What only newer kernels have. */
enum skb_drop_reason { REASON_ANY }; /* 5.17 */
struct trace_event_raw_kfree_skb {
	void *rx_sk; /* 6.11 */
} KERNEL;
enum bpf_func_id { BPF_FUNC_snprintf = 165 }; /* 5.13 */

/* ---- what we are told ---- */

const volatile __u32 our_netns;
struct drop_wanted wanted SEC(".data.wanted");

struct {
	__uint(type, 27 /* BPF_MAP_TYPE_RINGBUF */);
	__uint(max_entries, DROP_RING_BYTES);
} bothways_ring SEC(".maps");

/* ---- whose is it? ---- */

static __always_inline struct net_device *route_device(struct sk_buff *skb)
{
	struct dst_entry *dst = (struct dst_entry *)(BPF_CORE_READ(skb, _skb_refdst) & ~7UL);

	return dst ? BPF_CORE_READ(dst, dev) : 0;
}

static __always_inline __u32 device_netns(struct net_device *dev) { return dev ? BPF_CORE_READ(dev, nd_net.net, ns.inum) : 0; }

static __always_inline __u32 socket_netns(struct sock *sk) { return sk ? BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum) : 0; }

/* A device tells where the packet is; without one the socket does, or the route. The device's place may hold other things
 * while the packet waits in a socket: what cannot be read is 0. */
static __always_inline bool is_ours(struct sk_buff *skb, struct sock *rx_sk)
{
	__u32 netns = device_netns(BPF_CORE_READ(skb, dev));

	netns = netns ? netns : socket_netns(BPF_CORE_READ(skb, sk));
	netns = netns ? netns : socket_netns(rx_sk);
	netns = netns ? netns : device_netns(route_device(skb));
	return netns == our_netns;
}

/* ---- does it look like a probe? ---- */

enum { TYPE_IP4 = 0x0800, TYPE_ARP = 0x0806, TYPE_BRIDGED = 0x6558, TYPE_8021Q = 0x8100, TYPE_IP6 = 0x86dd, TYPE_8021AD = 0x88a8 };
enum { L4_ICMP = 1, L4_TCP = 6, L4_UDP = 17, L4_GRE = 47, L4_ICMP6 = 58 };
enum { IP6_HEADER = 40, UDP_HEADER = 8, TUNNEL_HEADER = 8, GRE_HEADER = 4, ETH_HEADER = 14, VLAN_TAG = 4 };
enum { PROBE_MAGIC = 0x4257 }; /* proto/probe.h */

static __always_inline bool is_number(__u16 n) { return wanted.numbers[n >> 6] >> (n & 63) & 1; }

static __always_inline __u16 read16(const __u8 *at)
{
	__u16 n = 0;

	bpf_probe_read_kernel(&n, sizeof n, at);
	return bpf_ntohs(n);
}

static __always_inline __u8 read8(const __u8 *at)
{
	__u8 n = 0;

	bpf_probe_read_kernel(&n, sizeof n, at);
	return n;
}

static __always_inline bool is_probe(const __u8 *payload) { return read16(payload) == PROBE_MAGIC; }

/* Echo carries an identifier; errors quote what they are about; neighbour discovery is always of interest. A probe is known by
 * itself, too: NAT may have changed its numbers. */
static __always_inline bool is_icmp_like(const __u8 *icmp, __u8 echo, __u8 reply)
{
	__u8 type = read8(icmp);

	return (type != echo && type != reply) || is_number(read16(icmp + 4)) || is_probe(icmp + 8);
}

static __always_inline bool is_transport_like(__u8 l4, const __u8 *at)
{
	switch (l4) {
	case L4_ICMP: return is_icmp_like(at, 8, 0);
	case L4_ICMP6: return is_icmp_like(at, 128, 129);
	case L4_TCP: return is_number(read16(at)) && is_number(read16(at + 2));
	case L4_UDP: return (is_number(read16(at)) && is_number(read16(at + 2))) || is_probe(at + UDP_HEADER);
	default: return l4 == 0 || l4 == 43 || l4 == 44 || l4 == 60; /* IPv6 extensions: not looked behind here */
	}
}

/* Finds the transport header; 0 when there is none to look at. */
static __always_inline const __u8 *skip_ip(__u16 type, const __u8 *at, __u8 *l4)
{
	if (type == TYPE_IP4) {
		if (read16(at + 6) & 0x1fff)
			return 0; /* not the first fragment */
		*l4 = read8(at + 9);
		return at + (read8(at) & 15) * 4;
	}
	if (type != TYPE_IP6)
		return 0;
	*l4 = read8(at + 6);
	return at + IP6_HEADER;
}

static __always_inline bool is_plain_like(__u16 type, const __u8 *at)
{
	__u8 l4 = 0;
	const __u8 *transport;

	if (type == TYPE_8021Q || type == TYPE_8021AD) {
		type = read16(at + 2);
		at += VLAN_TAG;
	}
	if (type == TYPE_ARP)
		return true;
	transport = skip_ip(type, at, &l4);
	return transport && is_transport_like(l4, transport);
}

/* VXLAN and GENEVE by their shape, GRE when it carries frames: where the frame begins; 0: no tunnel. */
static __always_inline const __u8 *skip_tunnel(__u8 l4, const __u8 *at)
{
	__u8 flags;

	if (l4 == L4_UDP) {
		at += UDP_HEADER;
		flags = read8(at);
		if (read16(at + 2) == TYPE_BRIDGED && flags >> 6 == 0)
			return at + TUNNEL_HEADER + (flags & 0x3f) * 4;
		return flags & 0x08 ? at + TUNNEL_HEADER : 0;
	}
	if (l4 != L4_GRE || read16(at + 2) != TYPE_BRIDGED)
		return 0;
	flags = read8(at);
	return at + GRE_HEADER + ((flags >> 7 & 1) + (flags >> 5 & 1) + (flags >> 4 & 1)) * 4;
}

static __always_inline bool is_like(__u16 type, const __u8 *at)
{
	__u8 l4 = 0;
	const __u8 *transport, *frame;

	if (is_plain_like(type, at))
		return true;
	transport = skip_ip(type, at, &l4);
	frame = transport ? skip_tunnel(l4, transport) : 0;
	return frame && is_plain_like(read16(frame + 12), frame + ETH_HEADER);
}

/* ---- telling ---- */

static __always_inline __u16 skb_type(struct sk_buff *skb, const __u8 *at)
{
	__u16 type = bpf_ntohs(BPF_CORE_READ(skb, protocol));
	__u8 version;

	if (type)
		return type;
	version = read8(at) >> 4; /* raw sockets name it late */
	return version == 4 ? TYPE_IP4 : version == 6 ? TYPE_IP6 : 0;
}

static __always_inline void event_send(struct sk_buff *skb, __u64 location, __u32 reason, __u16 type, const __u8 *at, __u32 length)
{
	struct drop_event *e = bpf_ringbuf_reserve(&bothways_ring, sizeof *e, 0);
	struct net_device *dev = BPF_CORE_READ(skb, dev);

	if (!e) {
		__sync_fetch_and_add(&wanted.lost, 1);
		return;
	}
	e->reason = reason;
	e->ethertype = type;
	e->length = length;
	e->ifname[0] = e->place[0] = 0;
	dev = dev ? dev : route_device(skb);
	if (dev)
		bpf_probe_read_kernel_str(e->ifname, sizeof e->ifname, &dev->name);
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_snprintf)) {
		static const char format[] = "%ps";
		__u64 within = location - 1; /* where it returns to may be another function already */

		bpf_snprintf(e->place, sizeof e->place, format, &within, sizeof within);
	}
	asm volatile("" : "+r"(length)); /* the check below must stay: the verifier looks for it */
	if (length <= DROP_SNAP)
		bpf_probe_read_kernel(e->data, length, at);
	bpf_ringbuf_submit(e, 0);
}

SEC("tp_btf/kfree_skb")
int bothways_drops(__u64 *args)
{
	struct sk_buff *skb = (struct sk_buff *)args[0];
	__u32 reason = bpf_core_type_exists(enum skb_drop_reason) ? (__u32)args[2] : 0;
	struct sock *rx_sk = bpf_core_field_exists(struct trace_event_raw_kfree_skb, rx_sk) ? (struct sock *)args[3] : 0;
	const __u8 *head, *at, *end;
	__u16 network, type;

	if (!is_ours(skb, rx_sk))
		return 0;
	head = BPF_CORE_READ(skb, head);
	network = BPF_CORE_READ(skb, network_header);
	at = network && network != 0xffff ? head + network : BPF_CORE_READ(skb, data);
	end = head + BPF_CORE_READ(skb, tail);
	type = skb_type(skb, at);
	if (end <= at || !is_like(type, at))
		return 0;
	event_send(skb, args[1], reason, type, at, end - at > DROP_SNAP ? DROP_SNAP : (__u32)(end - at));
	return 0;
}
