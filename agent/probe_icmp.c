/* probe_icmp: echo requests on raw sockets, which also see the other side's requests behind the input filter (delivery). The
 * kernel answers them. Without CAP_NET_RAW: ping sockets, which can ask but not see. */
#include "agent/probe_ops.h"
#include "proto/base/mem.h"

#include <errno.h>
#include <netinet/icmp6.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ECHO4       8
#define ECHO4_REPLY 0
#define ECHO_LEN    8

struct echo_socket {
	struct prober *prober;
	int family, fd;
	bool raw;
	struct gather_source *source;
	uint32_t drops;
	char why[REASON_MAX_LEN];
};

struct probe_icmp {
	struct echo_socket s[2]; /* IPv4, IPv6 */
};

static struct echo_socket *echo_of(struct prober *p, int family) { return &p->icmp->s[family == 6]; }

/* Only echoes that begin with the probe header's magic: raw IPv4 sockets see the IP header too. */
static const struct sock_filter filter4[] = {
    BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
    BPF_STMT(BPF_LD | BPF_H | BPF_IND, ECHO_LEN),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 'B' << 8 | 'W', 0, 1),
    BPF_STMT(BPF_RET | BPF_K, RX_BYTES),
    BPF_STMT(BPF_RET | BPF_K, 0),
};
static const struct sock_filter filter6[] = {
    BPF_STMT(BPF_LD | BPF_H | BPF_ABS, ECHO_LEN),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 'B' << 8 | 'W', 0, 1),
    BPF_STMT(BPF_RET | BPF_K, RX_BYTES),
    BPF_STMT(BPF_RET | BPF_K, 0),
};

/* ---- receiving ---- */

/* Strips the IP header of a raw IPv4 socket; false if it is cut. */
static bool strip_ip(const struct echo_socket *s, struct rx *rx, const uint8_t **icmp, size_t *len)
{
	size_t skip = s->family == 4 && s->raw && !rx->is_error ? 4 * (size_t)(rx->data[0] & 15) : 0;
	if (rx->len < skip + ECHO_LEN)
		return false;
	if (skip)
		rx->ttl = rx->data[8];
	*icmp = rx->data + skip;
	*len = rx->len - skip;
	return true;
}

static void echo_replied(struct prober *p, const struct echo_socket *s, const struct rx *rx, const uint8_t *data, size_t len)
{
	struct proof f;
	if (!prober_prove(p, data, len, PROOF_OWN, PROTO_ICMP, s->family, &f))
		return;
	struct probe_id id = proof_id(&f);
	struct ip dst = f.flow ? f.flow->dst : s->family == 4 ? f.peer->other.ip4.ip : f.peer->other.ip6.ip;
	prober_told(p, &id, ip_equal(rx->from, dst) ? TOLD_ANSWERED : TOLD_IMPOSTOR, (struct mac){0});
}

static void echo_asked(struct prober *p, const struct echo_socket *s, const struct rx *rx, const uint8_t *data, size_t len)
{
	struct proof f;
	if (prober_prove(p, data, len, PROOF_PROBE, PROTO_ICMP, s->family, &f))
		prober_arrived(p, &f, rx->from, rx->ttl);
}

static void echo_failed(struct prober *p, const struct echo_socket *s, const struct rx *rx, const uint8_t *data, size_t len)
{
	struct proof f;
	if (!prober_prove(p, data, len, PROOF_OWN, PROTO_ICMP, s->family, &f))
		return; /* not of ours: a raw socket sees the errors of all */
	struct probe_id id = proof_id(&f);
	prober_told_error(p, &id, rx);
}

static void echo_take(struct prober *p, struct echo_socket *s, struct rx *rx)
{
	const uint8_t *icmp;
	size_t len;
	p->age_us = rx->age_us;
	if (rx->drops) {
		p->stats.socket_drops += rx->drops - s->drops;
		s->drops = rx->drops;
	}
	if (!strip_ip(s, rx, &icmp, &len))
		return;
	if (rx->is_error)
		echo_failed(p, s, rx, icmp + ECHO_LEN, len - ECHO_LEN);
	else if (icmp[0] == (s->family == 4 ? ECHO4 : ICMP6_ECHO_REQUEST))
		echo_asked(p, s, rx, icmp + ECHO_LEN, len - ECHO_LEN);
	else if (icmp[0] == (s->family == 4 ? ECHO4_REPLY : ICMP6_ECHO_REPLY))
		echo_replied(p, s, rx, icmp + ECHO_LEN, len - ECHO_LEN);
}

static void echo_readable(void *arg, int fd, int what)
{
	struct echo_socket *s = arg;
	struct rx rx[RX_BATCH];
	int n = RX_BATCH;
	for (int batch = 0; batch < RX_BATCHES && n == RX_BATCH; batch++) {
		n = sock_read(fd, what & GATHER_ERROR, rx);
		for (int i = 0; i < n; i++)
			echo_take(s->prober, s, &rx[i]);
	}
	s->prober->age_us = 0;
	prober_arm(s->prober);
}

/* ---- sending ---- */

static size_t pad_of(const struct shot *s)
{
	size_t small = (s->dst.family == 4 ? 20 : 40) + ECHO_LEN + PROBE_HEADER_LEN;
	return s->size > small ? s->size - small : 0;
}

static uint16_t echo_id(const struct shot *s)
{
	if (s->id_base)
		return s->id_base;
	uint32_t mixed = (s->id.epoch * 2654435761u) ^ (s->id.pair * 40503u) ^ s->id.kind;
	return (uint16_t)(mixed >> 16 ^ mixed) | 1;
}

static void write_echo(uint8_t *out, const struct shot *s, bool raw)
{
	uint16_t id = echo_id(s), sum = 0;
	uint8_t head[ECHO_LEN] = {s->dst.family == 4 ? ECHO4 : ICMP6_ECHO_REQUEST, 0, 0, 0, id >> 8, id & 0xff, 0, s->id.seq};
	memcpy(out, head, ECHO_LEN);
	memcpy(out + ECHO_LEN, s->header, PROBE_HEADER_LEN);
	if (s->dst.family != 4 || !raw)
		return; /* the kernel fills in the checksum */
	uint32_t acc = 0;
	for (size_t i = 0; i < ECHO_LEN + PROBE_HEADER_LEN; i += 2)
		acc += (uint32_t)out[i] << 8 | out[i + 1];
	acc = (acc & 0xffff) + (acc >> 16);
	sum = (uint16_t) ~(acc + (acc >> 16));
	out[2] = (uint8_t)(sum >> 8);
	out[3] = (uint8_t)sum;
}

static int icmp_send(struct prober *p, const struct shot *s)
{
	struct echo_socket *e = echo_of(p, s->dst.family);
	uint8_t packet[ECHO_LEN + PROBE_HEADER_LEN];
	if (s->directed)
		return frames_send_directed(p, s, echo_id(s), s->id.seq);
	if (e->fd < 0)
		return EPERM;
	write_echo(packet, s, e->raw);
	bool scoped = s->bind_device || ip_is_link_local(s->dst);
	struct tx t = {.src = s->src,
	               .dst = s->dst,
	               .ifindex = scoped ? device_index(s->ifname) : 0,
	               .pin = true,
	               .head = packet,
	               .head_len = sizeof(packet),
	               .pad = pad_of(s)};
	int error = sock_send(e->fd, &t);
	if (error != EINVAL && error != EADDRNOTAVAIL)
		return error;
	t.src.family = 0; /* our address may have vanished: let the kernel choose, and say no if it must */
	memset(t.src.b, 0, sizeof(t.src.b));
	return sock_send(e->fd, &t);
}

/* ---- opening ---- */

static void echo_open(struct prober *p, struct echo_socket *s, int family)
{
	int protocol = family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	*s = (struct echo_socket){.prober = p, .family = family, .raw = p->raw};
	s->fd = sock_open(family, p->raw ? SOCK_RAW : SOCK_DGRAM, protocol);
	if (s->fd < 0) {
		str_copy(s->why, sizeof(s->why), strerror(errno));
		return;
	}
	sock_prepare(s->fd, family);
	sock_want_details(s->fd, family);
	if (s->raw && family == 4) {
		sock_filter(s->fd, filter4, sizeof(filter4) / sizeof(filter4[0]));
	} else if (s->raw) {
		struct icmp6_filter f;
		ICMP6_FILTER_SETBLOCKALL(&f);
		ICMP6_FILTER_SETPASS(ICMP6_ECHO_REQUEST, &f);
		ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &f);
		setsockopt(s->fd, IPPROTO_ICMPV6, ICMP6_FILTER, &f, sizeof(f));
		sock_filter(s->fd, filter6, sizeof(filter6) / sizeof(filter6[0]));
	}
	s->source = gather_add(p->gather, s->fd, LOOP_READ, echo_readable, s);
}

static int icmp_open(struct prober *p, struct err *e)
{
	(void)e;
	p->icmp = mem_alloc(sizeof(*p->icmp));
	echo_open(p, &p->icmp->s[0], 4);
	echo_open(p, &p->icmp->s[1], 6);
	return 0;
}

static void icmp_close(struct prober *p)
{
	for (size_t i = 0; p->icmp && i < 2; i++) {
		gather_remove(p->icmp->s[i].source);
		if (p->icmp->s[i].fd >= 0)
			close(p->icmp->s[i].fd);
	}
	free(p->icmp);
	p->icmp = NULL;
}

static void icmp_round_add(struct prober *p, struct round_slot *r)
{
	const struct round_spec *s = exec_spec(r->x);
	for (size_t i = 0; s->endpoint && i < s->flow_count; i++) {
		const struct flow *f = &s->flows[i];
		const struct echo_socket *e = echo_of(p, kind_info(f->kind)->family);
		if (kind_info(f->kind)->proto != PROTO_ICMP)
			continue;
		if (flow_is_ours(s, f) && e->fd < 0)
			exec_skipped(r->x, f->id, e->why);
		else if (!flow_is_ours(s, f) && (e->fd < 0 || !e->raw))
			exec_deaf(r->x, f->id, e->fd < 0 ? e->why : p->raw_why);
	}
}

const struct probe_ops probe_icmp_ops = {
    .open = icmp_open,
    .close = icmp_close,
    .round_add = icmp_round_add,
    .send = icmp_send,
};
