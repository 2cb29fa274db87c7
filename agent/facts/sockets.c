/* sockets: who listens where: TCP listeners and unconnected UDP sockets, from sock_diag, or from /proc where that is not
 * to be had. UDP sockets on ephemeral ports are left out: nearly all are clients waiting for an answer, and they come and go. */
#include "agent/facts/source.h"
#include "proto/base/mem.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct range {
	unsigned lo, hi;
};

static struct range ephemeral_ports(void)
{
	struct range r = {32768, 60999};
	FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");

	if (f && fscanf(f, "%u %u", &r.lo, &r.hi) != 2)
		r = (struct range){32768, 60999};
	if (f)
		fclose(f);
	return r;
}

/* This process' own sockets: those of a round are gone in a second and no change of the machine. */
struct own {
	size_t count, cap;
	uint32_t *inodes;
};

static struct own own_sockets(void)
{
	struct own own = {0};
	char path[32], target[64];
	DIR *dir = opendir("/proc/self/fd");
	for (struct dirent *d; dir && (d = readdir(dir));) {
		unsigned long inode;
		snprintf(path, sizeof path, "/proc/self/fd/%.16s", d->d_name);
		ssize_t n = readlink(path, target, sizeof target - 1);
		target[n < 0 ? 0 : n] = '\0';
		if (sscanf(target, "socket:[%lu]", &inode) == 1)
			*VEC_ADD(own.inodes, own.count, own.cap) = (uint32_t)inode;
	}
	if (dir)
		closedir(dir);
	return own;
}

static bool own_has(const struct own *own, uint32_t inode)
{
	for (size_t i = 0; i < own->count; i++)
		if (own->inodes[i] == inode)
			return true;
	return false;
}

struct pull {
	struct snapshot *s;
	struct own own;
	struct range ephemeral;
	uint8_t proto;
};

static void listener_add(struct pull *p, const struct listener *l)
{
	struct listener *out;

	if (l->port == 0 || (l->proto == IPPROTO_UDP && l->port >= p->ephemeral.lo && l->port <= p->ephemeral.hi))
		return;
	out = SNAP_ADD(p->s, listeners, listener_count, SNAP_LISTENERS_MAX);
	if (out)
		*out = *l;
}

static bool is_any(struct ip ip) { return ip_equal(ip, (struct ip){.family = ip.family}); }

static int on_socket(const struct nlmsghdr *h, void *arg)
{
	struct pull *p = arg;
	const struct inet_diag_msg *m = mnl_nlmsg_get_payload(h);
	const struct nlattr *tb[INET_DIAG_MAX + 1];
	struct listener l = {.proto = p->proto, .port = ntohs(m->id.idiag_sport)};

	if (m->id.idiag_dport != 0) /* connected */
		return MNL_CB_OK;
	nl_attrs(h, sizeof *m, tb, INET_DIAG_MAX);
	l.ip = ip_from_bytes(m->idiag_family == AF_INET ? 4 : 6, m->id.idiag_src);
	if (l.proto == IPPROTO_UDP && !is_any(l.ip) && own_has(&p->own, m->idiag_inode))
		return MNL_CB_OK;
	l.v6only = nl_u8(tb[INET_DIAG_SKV6ONLY]);
	if (l.proto == IPPROTO_TCP) {
		l.queued = m->idiag_rqueue;
		l.backlog = m->idiag_wqueue;
	}
	listener_add(p, &l);
	return MNL_CB_OK;
}

static int diag_read(struct nl *n, struct pull *p, int family)
{
	struct nlmsghdr *req = nl_request(n, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, sizeof(struct inet_diag_req_v2));
	struct inet_diag_req_v2 *r = mnl_nlmsg_get_payload(req);

	r->sdiag_family = (uint8_t)family;
	r->sdiag_protocol = p->proto;
	r->idiag_states = p->proto == IPPROTO_TCP ? 1u << TCP_LISTEN : 1u << TCP_CLOSE;
	return nl_talk(n, req, on_socket, p);
}

/* ---- /proc/net/{tcp,tcp6,udp,udp6} ---- */

/* Addresses stand there as 32-bit words of the host's byte order. */
static bool hex_ip(const char *hex, int family, struct ip *out)
{
	uint32_t words[4];
	size_t count = family == 4 ? 1 : 4;

	if (strspn(hex, "0123456789ABCDEFabcdef") != count * 8)
		return false;
	for (size_t i = 0; i < count; i++) {
		char word[9] = {0};

		memcpy(word, hex + i * 8, 8);
		words[i] = (uint32_t)strtoul(word, NULL, 16);
	}
	*out = ip_from_bytes(family, words);
	return true;
}

static void proc_line(struct pull *p, const char *line, int family)
{
	char local[40], remote[40];
	unsigned lport, rport, state, tx, rx;
	struct listener l = {.proto = p->proto};

	if (sscanf(line, " %*u: %39[0-9A-Fa-f]:%x %39[0-9A-Fa-f]:%x %x %x:%x", local, &lport, remote, &rport, &state, &tx, &rx) !=
	    7)
		return;
	if (rport != 0 || state != (p->proto == IPPROTO_TCP ? TCP_LISTEN : TCP_CLOSE) || !hex_ip(local, family, &l.ip))
		return;
	l.port = (uint16_t)lport;
	l.queued = p->proto == IPPROTO_TCP ? rx : 0;
	listener_add(p, &l);
}

void proc_parse_sockets(struct snapshot *s, const char *text, uint8_t proto, int family)
{
	struct pull p = {.s = s, .ephemeral = ephemeral_ports(), .proto = proto};
	char *copy = mem_strdup(text), *save;

	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		proc_line(&p, line, family);
	free(copy);
}

static void proc_read(struct snapshot *s, uint8_t proto, int family)
{
	char path[40];
	struct buf b = {0};
	char chunk[4096];
	size_t got;
	FILE *f;

	snprintf(path, sizeof path, "/proc/net/%s%s", proto == IPPROTO_TCP ? "tcp" : "udp", family == 4 ? "" : "6");
	f = fopen(path, "re");
	if (!f)
		return;
	while ((got = fread(chunk, 1, sizeof chunk, f)) > 0 && b.len < (8u << 20))
		buf_add(&b, chunk, got);
	fclose(f);
	if (b.len)
		proc_parse_sockets(s, b.data, proto, family);
	buf_free(&b);
}

int fact_read_sockets(struct snapshot *s, struct err *e)
{
	static const struct {
		uint8_t proto;
		int family;
	} sets[] = {{IPPROTO_TCP, 4}, {IPPROTO_TCP, 6}, {IPPROTO_UDP, 4}, {IPPROTO_UDP, 6}};
	struct pull p = {.s = s, .own = own_sockets(), .ephemeral = ephemeral_ports()};
	struct nl n = {0};
	bool diag = nl_open(&n, NETLINK_SOCK_DIAG, e) == 0;

	for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
		p.proto = sets[i].proto;
		if (!diag || diag_read(&n, &p, sets[i].family == 4 ? AF_INET : AF_INET6))
			proc_read(s, sets[i].proto, sets[i].family);
	}
	if (diag)
		nl_close(&n);
	free(p.own.inodes);
	return 0;
}
