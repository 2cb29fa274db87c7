#include "agent/probe_socket.h"

#include "proto/base/mem.h"
#include "proto/base/mono.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/errqueue.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAD_MAX       65535
#define CONTROL_MAX   256
#define AGE_MAX_US    1000000
#define ROOM_BYTES    (1024 * 1024) /* nothing is taken before packets are waiting */
#define DEVICES_MAX   32
#define DEVICE_OLD_MS 1000

static uint8_t zeros[PAD_MAX]; /* never written: costs no memory */

static void set_int(int fd, int level, int option, int value) { setsockopt(fd, level, option, &value, sizeof(value)); }

int sock_open(int family, int type, int protocol)
{
	return socket(family == 4 ? AF_INET : AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
}

void sock_prepare(int fd, int family)
{
	set_int(fd, SOL_SOCKET, SO_RXQ_OVFL, 1);
	if (family == 4) {
		set_int(fd, IPPROTO_IP, IP_RECVERR, 1);
		set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
		return;
	}
	set_int(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
	set_int(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
	set_int(fd, IPPROTO_IPV6, IPV6_DONTFRAG, 1);
}

void sock_may_fragment(int fd, int family)
{
	if (family == 4) {
		set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
		return;
	}
	set_int(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT);
	set_int(fd, IPPROTO_IPV6, IPV6_DONTFRAG, 0);
}

void sock_set_ttl(int fd, int family, uint8_t ttl)
{
	set_int(fd, family == 4 ? IPPROTO_IP : IPPROTO_IPV6, family == 4 ? IP_TTL : IPV6_UNICAST_HOPS, ttl);
}

void sock_want_room(int fd)
{
	const int bytes = ROOM_BYTES;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes))) /* beyond the limit, with CAP_NET_ADMIN */
		set_int(fd, SOL_SOCKET, SO_RCVBUF, bytes);
}

void sock_want_details(int fd, int family)
{
	sock_want_room(fd);
	set_int(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
	if (family == 4) {
		set_int(fd, IPPROTO_IP, IP_PKTINFO, 1);
		set_int(fd, IPPROTO_IP, IP_RECVTTL, 1);
		return;
	}
	set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	set_int(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
}

int sock_bind_device(int fd, const char *ifname)
{
	return setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, ifname, (socklen_t)strlen(ifname) + 1) == 0 ? 0 : errno;
}

int sock_filter(int fd, const struct sock_filter *code, size_t count)
{
	struct sock_fprog prog = {.len = (unsigned short)count, .filter = (struct sock_filter *)code};
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog));
}

int sock_bind_source(int fd, struct ip src, uint16_t port, uint32_t scope)
{
	struct sockaddr_storage ss;
	socklen_t len = ip_to_sockaddr(src, port, scope, &ss);
	if (bind(fd, (struct sockaddr *)&ss, len) == 0)
		return 0;
	if (errno != EADDRNOTAVAIL)
		return errno;
	len = ip_to_sockaddr((struct ip){.family = src.family}, port, 0, &ss);
	return bind(fd, (struct sockaddr *)&ss, len) == 0 ? 0 : errno;
}

/* ---- sending ---- */

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + 64];
};

static void put_control(struct msghdr *m, int level, int type, const void *data, size_t len)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m);
	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(c), data, len);
	m->msg_controllen = CMSG_SPACE(len);
}

static void pin_source(struct msghdr *m, const struct tx *t)
{
	if (t->dst.family == 4) {
		struct in_pktinfo info = {.ipi_ifindex = (int)t->ifindex};
		memcpy(&info.ipi_spec_dst, t->src.b, 4);
		put_control(m, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
		return;
	}
	struct in6_pktinfo info = {.ipi6_ifindex = t->ifindex};
	memcpy(&info.ipi6_addr, t->src.b, 16);
	put_control(m, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
}

int sock_send(int fd, const struct tx *t)
{
	struct sockaddr_storage to;
	union control control = {0};
	struct iovec parts[2] = {{(void *)t->head, t->head_len}, {zeros, t->pad < PAD_MAX ? t->pad : PAD_MAX}};
	struct msghdr m = {.msg_name = &to, .msg_iov = parts, .msg_iovlen = t->pad ? 2 : 1};
	m.msg_namelen = ip_to_sockaddr(t->dst, t->dport, t->ifindex, &to);
	if (t->pin && (t->src.family || t->ifindex)) {
		m.msg_control = control.bytes;
		m.msg_controllen = sizeof(control.bytes);
		pin_source(&m, t);
	}
	/* an error that waits on the socket is reported once, whatever we send: it is about an earlier packet */
	for (int tries = 0; tries < 3; tries++) {
		if (sendmsg(fd, &m, MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno != ECONNREFUSED && errno != EHOSTUNREACH && errno != ENETUNREACH && errno != EINTR)
			break;
	}
	return errno;
}

/* ---- receiving ---- */

static void read_error(struct rx *out, const struct sock_extended_err *e)
{
	out->is_error = true;
	out->is_icmp = e->ee_origin == SO_EE_ORIGIN_ICMP || e->ee_origin == SO_EE_ORIGIN_ICMP6;
	out->type = e->ee_type;
	out->code = e->ee_code;
	out->info = e->ee_info;
	out->error = (int)e->ee_errno;
	if (out->is_icmp)
		ip_from_sockaddr(SO_EE_OFFENDER(e), &out->offender, NULL);
}

static void read_control_ip4(struct rx *out, const struct cmsghdr *c)
{
	if (c->cmsg_type == IP_PKTINFO) {
		const struct in_pktinfo *info = (const void *)CMSG_DATA(c);
		out->to = ip_from_bytes(4, &info->ipi_addr);
		out->ifindex = (uint32_t)info->ipi_ifindex;
	} else if (c->cmsg_type == IP_TTL) {
		memcpy(&out->ttl, CMSG_DATA(c), sizeof(out->ttl));
	} else if (c->cmsg_type == IP_RECVERR) {
		read_error(out, (const void *)CMSG_DATA(c));
	}
}

static void read_control_ip6(struct rx *out, const struct cmsghdr *c)
{
	if (c->cmsg_type == IPV6_PKTINFO) {
		const struct in6_pktinfo *info = (const void *)CMSG_DATA(c);
		out->to = ip_from_bytes(6, &info->ipi6_addr);
		out->ifindex = info->ipi6_ifindex;
	} else if (c->cmsg_type == IPV6_HOPLIMIT) {
		memcpy(&out->ttl, CMSG_DATA(c), sizeof(out->ttl));
	} else if (c->cmsg_type == IPV6_RECVERR) {
		read_error(out, (const void *)CMSG_DATA(c));
	}
}

/* A clock that steps between the two readings makes an age that is out of bounds: then it counts as none. */
static uint32_t age_of(const struct timespec *came)
{
	int64_t us = (wall_now().ns - ((int64_t)came->tv_sec * 1000000000 + came->tv_nsec)) / 1000;
	return us > 0 && us < AGE_MAX_US ? (uint32_t)us : 0;
}

static void read_control_socket(struct rx *out, const struct cmsghdr *c)
{
	struct timespec came;
	if (c->cmsg_type == SO_RXQ_OVFL) {
		memcpy(&out->drops, CMSG_DATA(c), sizeof(out->drops));
	} else if (c->cmsg_type == SCM_TIMESTAMPNS) {
		memcpy(&came, CMSG_DATA(c), sizeof(came));
		out->age_us = age_of(&came);
	}
}

static void read_control(struct rx *out, struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level == IPPROTO_IP) {
			read_control_ip4(out, c);
		} else if (c->cmsg_level == IPPROTO_IPV6) {
			read_control_ip6(out, c);
		} else if (c->cmsg_level == SOL_SOCKET) {
			read_control_socket(out, c);
		} else if (c->cmsg_level == SOL_PACKET && c->cmsg_type == PACKET_AUXDATA) {
			const struct tpacket_auxdata *aux = (const void *)CMSG_DATA(c);
			out->tagged = aux->tp_status & TP_STATUS_VLAN_VALID;
		}
	}
}

static void read_name(struct rx *out, const struct sockaddr_storage *from)
{
	if (from->ss_family == AF_PACKET) {
		const struct sockaddr_ll *ll = (const void *)from;
		out->ifindex = (uint32_t)ll->sll_ifindex;
		out->pkttype = ll->sll_pkttype;
	} else {
		ip_from_sockaddr((const struct sockaddr *)from, &out->from, &out->from_port);
	}
}

union received {
	struct cmsghdr align;
	char bytes[CONTROL_MAX];
};

struct slots { /* where a batch is put */
	struct sockaddr_storage from[RX_BATCH];
	union received control[RX_BATCH];
	struct iovec part[RX_BATCH];
	struct mmsghdr m[RX_BATCH];
};

static void slots_prepare(struct slots *s, struct rx *out, int count)
{
	for (int i = 0; i < count; i++) {
		memset(&out[i], 0, offsetof(struct rx, data));
		s->from[i].ss_family = AF_UNSPEC;
		s->part[i] = (struct iovec){out[i].data, sizeof(out[i].data)};
		s->m[i].msg_hdr = (struct msghdr){.msg_name = &s->from[i],
		                                  .msg_namelen = sizeof(s->from[i]),
		                                  .msg_iov = &s->part[i],
		                                  .msg_iovlen = 1,
		                                  .msg_control = s->control[i].bytes,
		                                  .msg_controllen = sizeof(s->control[i].bytes)};
	}
}

/* Received, or an error that an earlier packet left on the socket: then try again. */
static int receive(int fd, int flags, struct rx *out, int count)
{
	struct slots s;
	slots_prepare(&s, out, count);
	for (int tries = 0; tries < 4; tries++) {
		int n = recvmmsg(fd, s.m, (unsigned)count, flags, NULL);
		for (int i = 0; i < n; i++) {
			out[i].len = s.m[i].msg_len;
			read_name(&out[i], &s.from[i]);
			read_control(&out[i], &s.m[i].msg_hdr);
		}
		if (n >= 0)
			return n;
		if (errno == EAGAIN || flags)
			return 0;
	}
	return 0;
}

int sock_read(int fd, bool errors, struct rx *out)
{
	int n = receive(fd, 0, out, RX_BATCH);
	return n == 0 && errors ? receive(fd, MSG_ERRQUEUE, out, RX_BATCH) : n;
}

int sock_read_error(int fd, struct rx *out) { return receive(fd, MSG_ERRQUEUE, out, 1); }

/* ---- devices ---- */

static struct device_known {
	char ifname[IFNAME_LEN];
	struct mono at; /* 0 = free */
	struct device_facts facts;
} devices[DEVICES_MAX];

static bool device_ask(int fd, struct ifreq *r, struct device_facts *out)
{
	*out = (struct device_facts){0};
	if (ioctl(fd, SIOCGIFINDEX, r) < 0)
		return false;
	out->index = (uint32_t)r->ifr_ifindex;
	if (ioctl(fd, SIOCGIFHWADDR, r) < 0)
		return false;
	memcpy(out->mac.b, r->ifr_hwaddr.sa_data, sizeof(out->mac.b));
	if (ioctl(fd, SIOCGIFMTU, r) == 0 && r->ifr_mtu > 0)
		out->mtu = (uint32_t)r->ifr_mtu;
	return true;
}

/* Its place, or the oldest one's. */
static struct device_known *device_place(const char *ifname)
{
	struct device_known *oldest = &devices[0];
	for (size_t i = 0; i < DEVICES_MAX; i++) {
		if (devices[i].at.ns && strcmp(devices[i].ifname, ifname) == 0)
			return &devices[i];
		if (mono_before(devices[i].at, oldest->at))
			oldest = &devices[i];
	}
	oldest->at.ns = 0;
	return oldest;
}

int device_look(const char *ifname, bool fresh, struct device_facts *out)
{
	struct device_known *d = device_place(ifname);
	struct mono now = mono_now();
	struct ifreq r = {0};
	if (!fresh && d->at.ns && mono_ms_since(d->at, now) < DEVICE_OLD_MS) {
		*out = d->facts;
		return 0;
	}
	d->at.ns = 0;
	str_copy(d->ifname, sizeof(d->ifname), ifname);
	str_copy(r.ifr_name, sizeof(r.ifr_name), ifname);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int error = fd >= 0 && device_ask(fd, &r, &d->facts) ? 0 : errno;
	if (fd >= 0)
		close(fd);
	if (error)
		return error;
	d->at = now;
	*out = d->facts;
	return 0;
}

void devices_forget(void)
{
	for (size_t i = 0; i < DEVICES_MAX; i++)
		devices[i].at.ns = 0;
}

uint32_t device_index(const char *ifname)
{
	struct device_facts f;
	return ifname[0] && device_look(ifname, false, &f) == 0 ? f.index : 0;
}

uint32_t device_mtu(const char *ifname)
{
	struct device_facts f;
	return device_look(ifname, false, &f) == 0 ? f.mtu : 0;
}
