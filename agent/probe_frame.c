/* probe_frame: packet sockets of the interfaces we probe from, frames built by hand, and the questions whose answers carry
 * no header of ours. */
#include "agent/probe_ops.h"
#include "proto/base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DEVICES_MAX   (2 * ENDPOINTS_MAX)
#define QUESTIONS_MAX 512
#define OPEN_MS       1000 /* an older question is not answered any more */

struct device {
	char ifname[IFNAME_LEN];
	uint32_t ifindex;
	struct mac mac;
	int send_fd; /* -1 until needed; receives nothing */
	struct listening {
		struct prober *prober;
		struct device *device;
		int fd;
		frame_fn *fn;
		struct gather_source *source;
		uint32_t drops;
	} on[FRAME_PROTOS];
};

struct probe_frames {
	struct device *devices[DEVICES_MAX];
	size_t device_count;
	struct question questions[QUESTIONS_MAX]; /* a ring */
	size_t question_next;
};

static struct probe_frames *frames_get(struct prober *p)
{
	if (!p->frames)
		p->frames = mem_alloc(sizeof(*p->frames));
	return p->frames;
}

/* ---- devices ---- */

static void device_stop(struct device *d)
{
	for (size_t i = 0; i < FRAME_PROTOS; i++) {
		gather_remove(d->on[i].source);
		if (d->on[i].fd >= 0)
			close(d->on[i].fd);
		d->on[i] = (struct listening){.fd = -1};
	}
	if (d->send_fd >= 0)
		close(d->send_fd);
	d->send_fd = -1;
}

/* As it was when last looked at: frames_mac is asked before a frame is written. */
static struct device *device_known(struct prober *p, const char *ifname)
{
	struct probe_frames *f = frames_get(p);
	for (size_t i = 0; i < f->device_count; i++)
		if (strcmp(f->devices[i]->ifname, ifname) == 0)
			return f->devices[i];
	return NULL;
}

/* The device of that name; one that was made anew under its old name starts afresh. NULL and errno if there is none. */
static struct device *device_get(struct prober *p, const char *ifname, bool fresh)
{
	struct probe_frames *f = frames_get(p);
	struct device_facts now;
	errno = device_look(ifname, fresh, &now);
	if (errno)
		return NULL;
	struct device *d = device_known(p, ifname);
	if (!d && f->device_count == DEVICES_MAX) {
		errno = ENOSPC;
		return NULL;
	}
	if (!d) {
		d = f->devices[f->device_count++] = mem_alloc(sizeof(*d));
		str_copy(d->ifname, sizeof(d->ifname), ifname);
		d->send_fd = d->on[FRAME_ARP].fd = d->on[FRAME_IP6].fd = -1;
	} else if (d->ifindex != now.index) {
		device_stop(d);
	}
	d->ifindex = now.index;
	d->mac = now.mac;
	return d;
}

static int packet_open(const struct device *d, uint16_t protocol)
{
	struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(protocol), .sll_ifindex = (int)d->ifindex};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &one, sizeof(one));
	sock_want_room(fd);
	if (protocol == 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0)
		return fd;
	int error = errno;
	close(fd);
	errno = error;
	return -1;
}

/* ---- receiving ---- */

/* ARP over Ethernet and IPv4, whole; RFC 826. */
static const struct sock_filter filter_arp[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 14),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x00010800, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, RX_BYTES),
    BPF_STMT(BPF_RET | BPF_K, 0),
};

/* Neighbour solicitations and advertisements, hop limit 255; RFC 4861 section 7.1. */
static const struct sock_filter filter_nd[] = {
    BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 20),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 58 << 8 | 255, 0, 4),
    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 54),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 135, 1, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 136, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, RX_BYTES),
    BPF_STMT(BPF_RET | BPF_K, 0),
};

static const struct {
	uint16_t ethertype;
	const struct sock_filter *filter;
	size_t filter_len;
} frame_protos[FRAME_PROTOS] = {
    [FRAME_ARP] = {ETH_P_ARP, filter_arp, sizeof(filter_arp) / sizeof(filter_arp[0])},
    [FRAME_IP6] = {ETH_P_IPV6, filter_nd, sizeof(filter_nd) / sizeof(filter_nd[0])},
};

static void frame_take(struct prober *p, struct listening *l, const struct rx *rx)
{
	if (rx->drops) { /* told only once there were some */
		p->stats.socket_drops += rx->drops - l->drops;
		l->drops = rx->drops;
	}
	if (rx->pkttype == PACKET_OUTGOING || rx->pkttype == PACKET_OTHERHOST || rx->tagged)
		return; /* the kernel would not take it for ours either */
	l->fn(p, l->device->ifindex, rx);
}

static void frames_readable(void *arg, int fd, int what)
{
	struct listening *l = arg;
	struct prober *p = l->prober;
	struct rx rx[RX_BATCH];
	int n = RX_BATCH;
	(void)what;
	for (int batch = 0; batch < RX_BATCHES && n == RX_BATCH; batch++) {
		n = sock_read(fd, false, rx);
		for (int i = 0; i < n; i++)
			frame_take(p, l, &rx[i]);
	}
	prober_arm(p);
}

int frames_listen(struct prober *p, const char *ifname, enum frame_proto proto, frame_fn *fn)
{
	struct device *d = device_get(p, ifname, true);
	if (!d)
		return -1;
	struct listening *l = &d->on[proto];
	if (l->fd >= 0)
		return 0;
	int fd = packet_open(d, frame_protos[proto].ethertype);
	if (fd < 0)
		return -1;
	sock_filter(fd, frame_protos[proto].filter, frame_protos[proto].filter_len);
	*l = (struct listening){.prober = p, .device = d, .fd = fd, .fn = fn};
	l->source = gather_add(p->gather, fd, LOOP_READ, frames_readable, l);
	return l->source ? 0 : -1;
}

static bool speaks(const struct endpoint *e, enum frame_proto proto) { return proto == FRAME_ARP || e->ip6.ip.family == 6; }

void frames_listen_plan(struct prober *p, enum frame_proto proto, frame_fn *fn)
{
	const struct plan *plan = watch_current(p->watch);
	char last[IFNAME_LEN] = "";
	for (size_t i = 0; p->raw && i < plan->peer_count; i++) {
		const struct endpoint *e = &plan->peers[i].self;
		if (!e->ifname[0] || !speaks(e, proto) || strcmp(e->ifname, last) == 0)
			continue;
		str_copy(last, sizeof(last), e->ifname);
		frames_listen(p, e->ifname, proto, fn); /* trouble shows in what is sent there */
	}
}

/* Where probes of that flow would arrive: flows name the interface of their sender only. */
static const char *arrival_device(struct prober *p, const struct round_spec *s, const struct flow *theirs)
{
	const struct peer *peer = watch_peer(p->watch, s->pair);
	for (size_t i = 0; i < s->flow_count; i++)
		if (flow_is_ours(s, &s->flows[i]) && s->flows[i].kind == theirs->kind && s->flows[i].ifname[0])
			return s->flows[i].ifname;
	for (size_t i = 0; i < s->flow_count; i++)
		if (flow_is_ours(s, &s->flows[i]) && s->flows[i].ifname[0])
			return s->flows[i].ifname;
	return peer ? peer->self.ifname : "";
}

static void listen_flow(struct prober *p, struct exec *x, const struct flow *f, enum frame_proto proto, frame_fn *fn)
{
	const struct round_spec *s = exec_spec(x);
	bool ours = flow_is_ours(s, f);
	const char *ifname = ours ? f->ifname : arrival_device(p, s, f);
	char why[REASON_MAX_LEN] = "the interface is not known";
	if (!p->raw)
		str_copy(why, sizeof(why), p->raw_why);
	else if (ifname[0] && frames_listen(p, ifname, proto, fn) == 0)
		return;
	else if (ifname[0])
		str_copy(why, sizeof(why), strerror(errno));
	if (ours)
		exec_skipped(x, f->id, why);
	else
		exec_deaf(x, f->id, why);
}

void frames_listen_round(struct prober *p, struct round_slot *r, enum frame_proto proto, frame_fn *fn)
{
	const struct round_spec *s = exec_spec(r->x);
	uint8_t kind = proto == FRAME_ARP ? KIND_ARP : KIND_ND;
	for (size_t i = 0; s->endpoint && i < s->flow_count; i++)
		if (s->flows[i].kind == kind)
			listen_flow(p, r->x, &s->flows[i], proto, fn);
}

/* ---- sending ---- */

int frames_mac(struct prober *p, const char *ifname, struct mac *out, uint32_t *ifindex)
{
	struct device *d = device_get(p, ifname, false);
	if (!d)
		return errno;
	*out = d->mac;
	*ifindex = d->ifindex;
	return 0;
}

int frames_send(struct prober *p, const char *ifname, const uint8_t *frame, size_t len)
{
	struct device *d = device_known(p, ifname);
	if (!d)
		return ENODEV;
	if (d->send_fd < 0)
		d->send_fd = packet_open(d, 0);
	if (d->send_fd < 0)
		return errno;
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)d->ifindex, .sll_halen = ETH_ALEN};
	memcpy(to.sll_addr, frame, ETH_ALEN);
	memcpy(&to.sll_protocol, frame + 12, sizeof(to.sll_protocol));
	return sendto(d->send_fd, frame, len, MSG_NOSIGNAL, (struct sockaddr *)&to, sizeof(to)) < 0 ? errno : 0;
}

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint32_t sum16(uint32_t sum, const uint8_t *p, size_t len)
{
	for (; len > 1; p += 2, len -= 2)
		sum += (uint32_t)p[0] << 8 | p[1];
	return len ? sum + ((uint32_t)p[0] << 8) : sum;
}

static uint16_t sum_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

#define IP4_LEN 20
#define IP6_LEN 40

static size_t write_ip(uint8_t *ip, const struct shot *s, uint8_t protocol, size_t payload)
{
	bool four = s->dst.family == 4;
	memset(ip, 0, four ? IP4_LEN : IP6_LEN);
	if (four) {
		ip[0] = 0x45;
		put16(ip + 2, (uint32_t)(IP4_LEN + payload));
		ip[6] = 0x40; /* DF */
		ip[8] = 64;
		ip[9] = protocol;
		memcpy(ip + 12, s->src.b, 4);
		memcpy(ip + 16, s->dst.b, 4);
		put16(ip + 10, sum_fold(sum16(0, ip, IP4_LEN)));
		return IP4_LEN;
	}
	ip[0] = 0x60;
	put16(ip + 4, (uint32_t)payload);
	ip[6] = protocol;
	ip[7] = 64;
	memcpy(ip + 8, s->src.b, 16);
	memcpy(ip + 24, s->dst.b, 16);
	return IP6_LEN;
}

/* Pseudo header included, where the protocol has one (RFC 768, 793, 4443). */
static uint16_t l4_checksum(const struct shot *s, uint8_t protocol, const uint8_t *l4, size_t len)
{
	size_t bytes = s->dst.family == 4 ? 4 : 16;
	uint32_t sum = sum16(0, l4, len);
	if (protocol != IPPROTO_ICMP)
		sum = sum16(sum16(sum, s->src.b, bytes), s->dst.b, bytes) + protocol + (uint32_t)len;
	return sum_fold(sum);
}

struct l4 {
	uint8_t protocol;
	size_t head, checksum_at;
	bool payload;
};

static struct l4 l4_of(const struct shot *s)
{
	switch (kind_info(s->id.kind)->proto) {
	case PROTO_UDP: return (struct l4){IPPROTO_UDP, 8, 6, true};
	case PROTO_TCP: return (struct l4){IPPROTO_TCP, 20, 16, false};
	default: return (struct l4){s->dst.family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6, 8, 2, true};
	}
}

static void write_l4(uint8_t *h, const struct l4 *l, const struct shot *s, uint16_t sport, uint16_t id_seq, size_t len)
{
	put16(h, sport);
	put16(h + 2, s->dport);
	if (l->protocol == IPPROTO_UDP) {
		put16(h + 4, (uint32_t)len);
	} else if (l->protocol == IPPROTO_TCP) {
		put16(h + 4, (uint32_t)rand() & 0xffff); /* initial sequence number: nothing rests on it */
		h[12] = 5 << 4;
		h[13] = 0x02; /* SYN */
		put16(h + 14, 64240);
	} else {
		h[0] = l->protocol == IPPROTO_ICMP ? 8 : 128;
		h[1] = 0;
		put16(h + 2, 0);
		put16(h + 4, sport);
		put16(h + 6, id_seq);
	}
}

/* Writes the packet behind the Ethernet header; its length. */
static size_t write_packet(uint8_t *ip, const struct shot *s, uint16_t sport, uint16_t id_seq)
{
	struct l4 l = l4_of(s);
	size_t ip_len = s->dst.family == 4 ? IP4_LEN : IP6_LEN, len = l.head + (l.payload ? PROBE_HEADER_LEN : 0);
	if (l.payload && s->size > ip_len + len)
		len = s->size - ip_len;
	uint8_t *h = ip + write_ip(ip, s, l.protocol, len);
	write_l4(h, &l, s, sport, id_seq, len);
	if (l.payload)
		memcpy(h + l.head, s->header, PROBE_HEADER_LEN);
	uint16_t sum = l4_checksum(s, l.protocol, h, len);
	put16(h + l.checksum_at, sum || l.protocol != IPPROTO_UDP ? sum : 0xffff);
	return ip_len + len;
}

int frames_send_directed(struct prober *p, const struct shot *s, uint16_t sport, uint16_t id_seq)
{
	struct mac own;
	uint32_t ifindex;
	if (!p->raw)
		return EPERM;
	if (!s->src.family || !mac_is_set(s->dst_mac))
		return EADDRNOTAVAIL;
	int error = frames_mac(p, s->ifname, &own, &ifindex);
	if (error)
		return error;
	uint8_t *frame = mem_alloc(ETH_HLEN + IP6_LEN + 64 + (size_t)s->size);
	memcpy(frame, s->dst_mac.b, ETH_ALEN);
	memcpy(frame + ETH_ALEN, own.b, ETH_ALEN);
	put16(frame + 12, s->dst.family == 4 ? ETH_P_IP : ETH_P_IPV6);
	error = frames_send(p, s->ifname, frame, ETH_HLEN + write_packet(frame + ETH_HLEN, s, sport, id_seq));
	free(frame);
	return error;
}

void frames_close(struct prober *p)
{
	for (size_t i = 0; p->frames && i < p->frames->device_count; i++) {
		device_stop(p->frames->devices[i]);
		free(p->frames->devices[i]);
	}
	free(p->frames);
	p->frames = NULL;
}

/* ---- questions ---- */

void questions_add(struct prober *p, const struct question *q)
{
	struct probe_frames *f = frames_get(p);
	f->questions[f->question_next] = *q;
	f->questions[f->question_next].asked = mono_now();
	f->question_next = (f->question_next + 1) % QUESTIONS_MAX;
}

void questions_forget(struct prober *p, const struct exec *x)
{
	for (size_t i = 0; p->frames && i < QUESTIONS_MAX; i++)
		if (p->frames->questions[i].id.x == x)
			p->frames->questions[i] = (struct question){0};
}

/* The latest that fits and has no answer yet; an old one that never got its answer takes nobody else's. */
void questions_answer(struct prober *p, uint32_t ifindex, struct ip target, struct ip asker, struct mac from)
{
	struct probe_frames *f = frames_get(p);
	struct question *latest = NULL, *latest_open = NULL;
	struct mono now = mono_now();
	for (size_t i = 0; i < QUESTIONS_MAX; i++) {
		struct question *q = &f->questions[(f->question_next + i) % QUESTIONS_MAX];
		if (!q->target.family || q->ifindex != ifindex || !ip_equal(q->target, target) || !ip_equal(q->asker, asker))
			continue;
		latest = q;
		if (!q->answered && mono_ms_since(q->asked, now) < OPEN_MS)
			latest_open = q;
	}
	if (!latest)
		return;
	bool right = !mac_is_set(latest->expect) || mac_equal(latest->expect, from);
	struct question *q = right && latest_open ? latest_open : latest;
	q->answered |= right;
	prober_told(p, &q->id, right ? TOLD_ANSWERED : TOLD_IMPOSTOR, from);
}
