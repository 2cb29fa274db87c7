/* nl: requests over netlink. Sockets live for one snapshot only. */
#include "agent/facts/source.h"
#include "proto/base/mem.h"
#include "proto/base/mono.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define NL_BUFFER   32768 /* the kernel fills dumps up to this size */
#define NL_QUIET_MS 100   /* it answers while it is being asked: one that says nothing has nothing to say */
#define NL_TOTAL_MS 500

int nl_open(struct nl *n, int bus, struct err *e)
{
	const struct timeval quiet = {.tv_usec = NL_QUIET_MS * 1000};

	memset(n, 0, sizeof *n);
	n->sock = mnl_socket_open2(bus, SOCK_CLOEXEC);
	if (!n->sock)
		return err_sys(e, "netlink socket");
	if (mnl_socket_bind(n->sock, 0, MNL_SOCKET_AUTOPID) < 0) {
		err_sys(e, "netlink bind");
		nl_close(n);
		return -1;
	}
	setsockopt(mnl_socket_get_fd(n->sock), SOL_SOCKET, SO_RCVTIMEO, &quiet, sizeof quiet);
	n->buf = mem_alloc(NL_BUFFER);
	return 0;
}

void nl_close(struct nl *n)
{
	if (n->sock)
		mnl_socket_close(n->sock);
	free(n->buf);
	memset(n, 0, sizeof *n);
}

struct nlmsghdr *nl_request(struct nl *n, uint16_t type, uint16_t flags, size_t extra)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(n->buf);

	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | flags;
	h->nlmsg_seq = ++n->seq;
	mnl_nlmsg_put_extra_header(h, extra);
	return h;
}

/* libmnl gives up at the first message that is flagged, with what else came along with it; and that may be the one that ends the
 * dump, for which one would then wait forever. */
bool nl_unflag(char *buf, size_t len)
{
	int left = (int)len;
	bool flagged = false;

	for (struct nlmsghdr *h = (struct nlmsghdr *)buf; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
		flagged |= h->nlmsg_flags & NLM_F_DUMP_INTR;
		h->nlmsg_flags &= (uint16_t)~NLM_F_DUMP_INTR;
	}
	return flagged;
}

/* The next answer to this very request: those to one that was given up may still come before it. */
static ssize_t answer_wait(struct nl *n, struct mono deadline)
{
	while (!mono_reached(deadline, mono_now())) {
		ssize_t len = mnl_socket_recvfrom(n->sock, n->buf, NL_BUFFER);

		if (len < 0 && errno == EAGAIN)
			break;
		if (len < 0 && errno != EINTR)
			return -1;
		if (len >= (ssize_t)sizeof(struct nlmsghdr) && ((struct nlmsghdr *)n->buf)->nlmsg_seq == n->seq)
			return len;
	}
	errno = ETIMEDOUT;
	return -1;
}

int nl_talk(struct nl *n, struct nlmsghdr *req, mnl_cb_t fn, void *arg)
{
	struct mono deadline = mono_add_ms(mono_now(), NL_TOTAL_MS);
	unsigned port = mnl_socket_get_portid(n->sock);
	/* a dump ends with DONE, a plain get with its answer or an error */
	bool dump = (req->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP, disturbed = false;
	int again = MNL_CB_OK;

	if (mnl_socket_sendto(n->sock, req, req->nlmsg_len) < 0)
		return -1;
	while (again > MNL_CB_STOP) {
		ssize_t len = answer_wait(n, deadline);

		if (len < 0)
			return -1;
		disturbed |= nl_unflag(n->buf, (size_t)len);
		again = mnl_cb_run(n->buf, (size_t)len, n->seq, port, fn, arg);
		if (!dump)
			break;
	}
	if (again >= 0 && !disturbed)
		return 0;
	if (again >= 0)
		errno = EINTR;
	return -1;
}

struct attr_table {
	const struct nlattr **tb;
	uint16_t max;
};

static int attr_keep(const struct nlattr *a, void *arg)
{
	struct attr_table *t = arg;

	if (mnl_attr_get_type(a) <= t->max)
		t->tb[mnl_attr_get_type(a)] = a;
	return MNL_CB_OK;
}

void nl_attrs(const struct nlmsghdr *h, size_t header, const struct nlattr **tb, uint16_t max)
{
	struct attr_table t = {tb, max};

	memset(tb, 0, (max + 1u) * sizeof *tb);
	mnl_attr_parse(h, (unsigned)header, attr_keep, &t);
}

void nl_nested(const struct nlattr *nest, const struct nlattr **tb, uint16_t max)
{
	struct attr_table t = {tb, max};

	memset(tb, 0, (max + 1u) * sizeof *tb);
	if (nest)
		mnl_attr_parse_nested(nest, attr_keep, &t);
}

void nl_payload(const void *attrs, size_t len, const struct nlattr **tb, uint16_t max)
{
	struct attr_table t = {tb, max};

	memset(tb, 0, (max + 1u) * sizeof *tb);
	mnl_attr_parse_payload(attrs, len, attr_keep, &t);
}

static bool attr_has(const struct nlattr *a, size_t len) { return a && mnl_attr_get_payload_len(a) >= len; }

uint8_t nl_u8(const struct nlattr *a) { return attr_has(a, 1) ? mnl_attr_get_u8(a) : 0; }

uint16_t nl_u16(const struct nlattr *a) { return attr_has(a, 2) ? mnl_attr_get_u16(a) : 0; }

uint32_t nl_u32(const struct nlattr *a) { return attr_has(a, 4) ? mnl_attr_get_u32(a) : 0; }

uint64_t nl_u64(const struct nlattr *a) { return attr_has(a, 8) ? mnl_attr_get_u64(a) : 0; }

struct ip nl_ip(const struct nlattr *a, int family)
{
	if (family == AF_INET && attr_has(a, 4))
		return ip_from_bytes(4, mnl_attr_get_payload(a));
	if (family == AF_INET6 && attr_has(a, 16))
		return ip_from_bytes(6, mnl_attr_get_payload(a));
	return (struct ip){0};
}

struct mac nl_mac(const struct nlattr *a)
{
	struct mac m = {{0}};

	if (a && mnl_attr_get_payload_len(a) == sizeof m.b)
		memcpy(m.b, mnl_attr_get_payload(a), sizeof m.b);
	return m;
}
