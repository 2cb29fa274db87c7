#include "agent/probe_socket.h"

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

#define PAD_MAX 65535

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

void sock_want_details(int fd, int family)
{
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

static void read_control(struct rx *out, struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level == IPPROTO_IP) {
			read_control_ip4(out, c);
		} else if (c->cmsg_level == IPPROTO_IPV6) {
			read_control_ip6(out, c);
		} else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
			memcpy(&out->drops, CMSG_DATA(c), sizeof(out->drops));
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

/* Received, or an error that an earlier packet left on the socket: then try again. */
static int receive(int fd, bool errors, struct rx *out)
{
	struct sockaddr_storage from = {0};
	union {
		struct cmsghdr align;
		char bytes[512];
	} control;
	struct iovec part = {out->data, sizeof(out->data)};
	struct msghdr m = {.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &part, .msg_iovlen = 1};
	m.msg_control = control.bytes;
	m.msg_controllen = sizeof(control.bytes);
	for (int tries = 0; tries < 4; tries++) {
		ssize_t n = recvmsg(fd, &m, errors ? MSG_ERRQUEUE : 0);
		if (n >= 0) {
			out->len = (size_t)n;
			read_name(out, &from);
			read_control(out, &m);
			return 1;
		}
		if (errno == EAGAIN || errors)
			return 0;
	}
	return 0;
}

int sock_read(int fd, bool errors, struct rx *out)
{
	memset(out, 0, offsetof(struct rx, data));
	if (receive(fd, false, out))
		return 1;
	return errors && receive(fd, true, out);
}

int sock_read_error(int fd, struct rx *out)
{
	memset(out, 0, offsetof(struct rx, data));
	return receive(fd, true, out);
}

/* ---- devices ---- */

uint32_t device_index(const char *ifname) { return ifname[0] ? if_nametoindex(ifname) : 0; }

uint32_t device_mtu(const char *ifname)
{
	struct ifreq r = {0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	memcpy(r.ifr_name, ifname, strnlen(ifname, IFNAMSIZ - 1));
	int got = fd < 0 ? -1 : ioctl(fd, SIOCGIFMTU, &r);
	if (fd >= 0)
		close(fd);
	return got == 0 && r.ifr_mtu > 0 ? (uint32_t)r.ifr_mtu : 0;
}
