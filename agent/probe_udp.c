/* probe_udp: datagrams to the other side's probe port, and the answers to its own. In a round every probe has its own socket
 * on the port the collector chose; in the watch probes from one address share a socket whose port is fresh every quarter of a
 * second. */
#include "agent/probe_ops.h"
#include "proto/base/mem.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UDP_LEN       8
#define ASKERS_MAX    1024
#define KEEP_MS       1100 /* a retired watch socket waits that long for late answers */
#define RECENT_MAX    128
#define SOCKET_MS_MIN 250 /* a port lives that long: what a state table let through once must not hide a new filter for longer */

struct asker { /* a socket probes leave from */
	struct prober *prober;
	int fd, family;
	struct gather_source *source;
	struct probe_id id; /* of the one probe in a round; the first one, where several share a port */
	uint8_t port_step;  /* beyond the flow's first port */
	struct ip src;
	char ifname[IFNAME_LEN]; /* bound to it; "" = not */
	struct mono born;
};

struct responder {
	struct prober *prober;
	int fd, family;
	struct gather_source *source;
	uint32_t drops, lost; /* since it was opened: all of them, and those that were not damaged */
	uint32_t damaged;     /* of all sockets here, when it was opened */
};

/* For errors that quote too little to hold our header: the last probe that went to that address. */
struct recent {
	struct ip dst;
	struct probe_id id;
};

struct probe_udp {
	struct responder on[2]; /* IPv4, IPv6 */
	struct asker *askers[ASKERS_MAX];
	size_t asker_count;
	struct recent recent[RECENT_MAX];
	size_t recent_next;
};

/* ---- what the socket lost ---- */

/* The value below the name, in two lines of words. */
static uint32_t column(char *names, char *values, const char *want)
{
	char *in_names, *in_values, *value = strtok_r(values, " \n", &in_values);
	for (char *name = strtok_r(names, " \n", &in_names); name && value; name = strtok_r(NULL, " \n", &in_names)) {
		if (strcmp(name, want) == 0)
			return (uint32_t)strtoul(value, NULL, 10);
		value = strtok_r(NULL, " \n", &in_values);
	}
	return 0;
}

/* Datagrams with a wrong checksum, of all sockets here. */
static uint32_t damaged_count(int family)
{
	char line[512], names[512] = "";
	uint32_t n = 0;
	FILE *f = fopen(family == 4 ? "/proc/net/snmp" : "/proc/net/snmp6", "re");
	while (f && !n && fgets(line, sizeof line, f)) {
		if (family == 6)
			(void)sscanf(line, "Udp6InCsumErrors %u", &n);
		else if (strncmp(line, "Udp: ", 5) == 0 && names[0])
			n = column(names, line, "InCsumErrors");
		else if (strncmp(line, "Udp: ", 5) == 0)
			memcpy(names, line, sizeof names);
	}
	if (f)
		fclose(f);
	return n;
}

/* The kernel counts damaged datagrams as drops of their socket, too: those are lost, and not by us. */
static void note_drops(struct prober *p, struct responder *r, const struct rx *rx)
{
	if (!rx->drops || rx->drops == r->drops)
		return;
	r->drops = rx->drops;
	/* all since the socket is there: of the damaged ones some may have come after this packet did */
	uint32_t damaged = damaged_count(r->family) - r->damaged, lost = r->drops > damaged ? r->drops - damaged : 0;
	if (lost <= r->lost)
		return;
	p->stats.socket_drops += lost - r->lost;
	r->lost = lost;
}

/* ---- the responder ---- */

/* From the address that was asked, to the one that asked, with no more than a header. */
static void udp_reply(struct prober *p, struct responder *r, const struct rx *rx, const struct proof *f)
{
	uint8_t bytes[PROBE_HEADER_LEN];
	struct probe_header h = f->header;
	h.answer = true;
	h.wants_answer = false;
	probe_write(&h, f->key, bytes);
	bool scoped = proof_bind_device(p, f) || ip_is_link_local(rx->from);
	struct tx t = {.src = rx->to,
	               .dst = rx->from,
	               .dport = rx->from_port,
	               .ifindex = scoped ? rx->ifindex : 0,
	               .pin = true,
	               .head = bytes,
	               .head_len = sizeof(bytes)};
	prober_replied(p, f, sock_send(r->fd, &t));
}

static void responder_take(struct prober *p, struct responder *r, const struct rx *rx)
{
	struct proof f;
	note_drops(p, r, rx);
	if (!prober_prove(p, rx->data, rx->len, PROOF_PROBE, PROTO_UDP, r->family, &f))
		return;
	prober_arrived(p, &f, rx->from, rx->ttl);
	if (f.header.wants_answer && !ip_is_multicast(rx->to) && prober_may_reply(p, &f))
		udp_reply(p, r, rx, &f);
}

static void responder_readable(void *arg, int fd, int what)
{
	struct responder *r = arg;
	struct prober *p = r->prober;
	struct rx rx[RX_BATCH];
	int n = RX_BATCH;
	(void)what;
	for (int batch = 0; batch < RX_BATCHES && n == RX_BATCH; batch++) {
		n = sock_read(fd, false, rx);
		for (int i = 0; i < n; i++)
			responder_take(p, r, &rx[i]);
	}
	prober_arm(p);
}

static int responder_open(struct prober *p, struct responder *r, int family, uint16_t port)
{
	int one = 1;
	*r = (struct responder){.prober = p, .family = family, .fd = sock_open(family, SOCK_DGRAM, 0)};
	if (r->fd < 0)
		return errno;
	if (family == 6)
		setsockopt(r->fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	sock_want_details(r->fd, family);
	setsockopt(r->fd, SOL_SOCKET, SO_RXQ_OVFL, &one, sizeof(one));
	r->damaged = damaged_count(family);
	int error = sock_bind_source(r->fd, (struct ip){.family = (uint8_t)family}, port, 0);
	if (!error)
		r->source = gather_add(p->gather, r->fd, LOOP_READ, responder_readable, r);
	return error;
}

static uint16_t bound_port(int fd)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct ip ip;
	uint16_t port = 0;
	if (getsockname(fd, (struct sockaddr *)&ss, &len) == 0)
		ip_from_sockaddr((struct sockaddr *)&ss, &ip, &port);
	return port;
}

static void responders_close(struct probe_udp *u)
{
	for (size_t i = 0; i < 2; i++) {
		gather_remove(u->on[i].source);
		if (u->on[i].fd >= 0)
			close(u->on[i].fd);
		u->on[i] = (struct responder){.fd = -1};
	}
}

static bool no_ip6(int error) { return error == EAFNOSUPPORT || error == EADDRNOTAVAIL; }

static int udp_open(struct prober *p, struct err *e)
{
	struct probe_udp *u = p->udp = mem_alloc(sizeof(*u));
	u->on[0].fd = u->on[1].fd = -1;
	int error = responder_open(p, &u->on[0], 4, p->port);
	if (!error && !p->port)
		p->port = bound_port(u->on[0].fd);
	if (!error)
		error = responder_open(p, &u->on[1], 6, p->port);
	if (!error || no_ip6(error))
		return 0;
	errno = error;
	return err_sys(e, "cannot listen on UDP port %u", p->port);
}

/* ---- askers ---- */

static void asker_free(struct asker *a)
{
	gather_remove(a->source);
	close(a->fd);
	free(a);
}

static void asker_drop(struct probe_udp *u, size_t i)
{
	asker_free(u->askers[i]);
	u->askers[i] = u->askers[--u->asker_count];
}

static void recent_add(struct probe_udp *u, const struct shot *s)
{
	u->recent[u->recent_next] = (struct recent){s->dst, s->id};
	u->recent_next = (u->recent_next + 1) % RECENT_MAX;
}

static bool recent_find(const struct probe_udp *u, struct ip dst, struct probe_id *out)
{
	for (size_t i = 1; i <= RECENT_MAX; i++) {
		const struct recent *r = &u->recent[(u->recent_next + RECENT_MAX - i) % RECENT_MAX];
		if (r->dst.family && ip_equal(r->dst, dst)) {
			*out = r->id;
			return true;
		}
	}
	return false;
}

static void asker_failed(struct asker *a, const struct rx *rx)
{
	struct probe_id id = a->id;
	struct proof f;
	if (!id.x && rx->len >= PROBE_HEADER_LEN && prober_prove(a->prober, rx->data, rx->len, PROOF_OWN, PROTO_UDP, a->family, &f))
		id = proof_id(&f);
	else if (!id.x && !recent_find(a->prober->udp, rx->from, &id))
		return;
	prober_told_error(a->prober, &id, rx);
}

static bool asker_expects(const struct asker *a, const struct proof *f, struct ip from)
{
	if (a->id.x)
		return f->x == a->id.x && ip_equal(from, f->flow->dst);
	return f->peer && ip_equal(from, a->family == 4 ? f->peer->other.ip4.ip : f->peer->other.ip6.ip);
}

static void asker_answered(struct asker *a, const struct rx *rx)
{
	struct proof f;
	if (prober_prove(a->prober, rx->data, rx->len, PROOF_ANSWER, PROTO_UDP, a->family, &f)) {
		struct probe_id id = proof_id(&f);
		prober_told(a->prober, &id, asker_expects(a, &f, rx->from) ? TOLD_ANSWERED : TOLD_IMPOSTOR, (struct mac){0});
	} else if (a->id.x) { /* somebody answers that port who cannot prove to be the one asked */
		prober_told(a->prober, &a->id, TOLD_IMPOSTOR, (struct mac){0});
	}
}

static void asker_readable(void *arg, int fd, int what)
{
	struct asker *a = arg;
	struct prober *p = a->prober;
	struct rx rx[RX_BATCH];
	int n = RX_BATCH;
	for (int batch = 0; batch < RX_BATCHES && n == RX_BATCH; batch++) {
		n = sock_read(fd, what & GATHER_ERROR, rx);
		for (int i = 0; i < n; i++)
			if (rx[i].is_error)
				asker_failed(a, &rx[i]);
			else
				asker_answered(a, &rx[i]);
	}
	prober_arm(p);
}

static uint8_t port_step(const struct shot *s) { return s->ports ? s->id.seq % s->ports : s->id.seq; }

/* NULL and errno. */
static struct asker *asker_open(struct prober *p, const struct shot *s, uint16_t port)
{
	struct probe_udp *u = p->udp;
	errno = ENFILE;
	int error = 0, fd = u->asker_count < ASKERS_MAX ? sock_open(s->dst.family, SOCK_DGRAM, 0) : -1;
	if (fd < 0)
		return NULL;
	sock_prepare(fd, s->dst.family);
	if (s->fragments)
		sock_may_fragment(fd, s->dst.family);
	if (s->ttl)
		sock_set_ttl(fd, s->dst.family, s->ttl);
	uint32_t scope = ip_is_link_local(s->src) ? device_index(s->ifname) : 0;
	if (s->bind_device)
		error = sock_bind_device(fd, s->ifname);
	if (!error)
		error = sock_bind_source(fd, s->src, port, scope);
	if (error) {
		close(fd);
		errno = error;
		return NULL;
	}
	struct asker *a = u->askers[u->asker_count++] = mem_alloc(sizeof(*a));
	*a = (struct asker){.prober = p, .fd = fd, .family = s->dst.family, .src = s->src, .born = mono_now()};
	str_copy(a->ifname, sizeof(a->ifname), s->bind_device ? s->ifname : "");
	if (s->id.x)
		a->id = s->id;
	a->port_step = port_step(s);
	a->source = gather_add(p->gather, fd, LOOP_READ, asker_readable, a);
	prober_busy(p);
	return a;
}

static int64_t epoch_ms(const struct prober *p)
{
	uint32_t ms = watch_current(p->watch)->report_ms;
	return ms > SOCKET_MS_MIN ? ms : SOCKET_MS_MIN;
}

static bool asker_serves(const struct prober *p, const struct asker *a, const struct shot *s)
{
	if (s->id.x)
		return a->id.x == s->id.x && a->id.flow == s->id.flow && a->port_step == port_step(s);
	return !a->id.x && a->family == s->dst.family && ip_equal(a->src, s->src) &&
	       strcmp(a->ifname, s->bind_device ? s->ifname : "") == 0 && mono_ms_since(a->born, mono_now()) < epoch_ms(p);
}

static struct asker *asker_get(struct prober *p, const struct shot *s)
{
	struct probe_udp *u = p->udp;
	for (size_t i = 0; i < u->asker_count; i++)
		if (asker_serves(p, u->askers[i], s))
			return u->askers[i];
	if (s->id.x && !s->id_base) {
		errno = EINVAL;
		return NULL;
	}
	return asker_open(p, s, s->id.x ? (uint16_t)(s->id_base + port_step(s)) : 0);
}

static size_t pad_of(const struct shot *s)
{
	size_t small = (s->dst.family == 4 ? 20 : 40) + UDP_LEN + PROBE_HEADER_LEN;
	return s->size > small ? s->size - small : 0;
}

static int udp_send(struct prober *p, const struct shot *s)
{
	struct asker *a = asker_get(p, s); /* a directed probe's answer comes back to it, too */
	if (!a)
		return errno;
	if (s->directed)
		return frames_send_directed(p, s, (uint16_t)(s->id_base + port_step(s)), 0);
	struct tx t = {.src = s->src,
	               .dst = s->dst,
	               .dport = s->dport,
	               .ifindex = ip_is_link_local(s->dst) ? device_index(s->ifname) : 0,
	               .head = s->header,
	               .head_len = PROBE_HEADER_LEN,
	               .pad = pad_of(s)};
	if (!s->id.x)
		recent_add(p->udp, s);
	return sock_send(a->fd, &t);
}

/* ---- housekeeping ---- */

static void udp_round_remove(struct prober *p, struct exec *x)
{
	for (size_t i = 0; i < p->udp->asker_count;)
		if (p->udp->askers[i]->id.x == x)
			asker_drop(p->udp, i);
		else
			i++;
}

static int64_t udp_tick(struct prober *p, struct mono now)
{
	bool watching = false;
	for (size_t i = 0; i < p->udp->asker_count;) {
		struct asker *a = p->udp->askers[i];
		if (!a->id.x && mono_ms_since(a->born, now) > epoch_ms(p) + KEEP_MS) {
			asker_drop(p->udp, i);
			continue;
		}
		watching |= !a->id.x;
		i++;
	}
	return watching ? 500 : 0;
}

static void udp_close(struct prober *p)
{
	if (!p->udp)
		return;
	responders_close(p->udp);
	while (p->udp->asker_count)
		asker_drop(p->udp, 0);
	free(p->udp);
	p->udp = NULL;
}

static void udp_round_add(struct prober *p, struct round_slot *r)
{
	const struct round_spec *s = exec_spec(r->x);
	for (size_t i = 0; s->endpoint && i < s->flow_count; i++) {
		const struct kind_info *k = kind_info(s->flows[i].kind);
		if (k->proto == PROTO_UDP && !flow_is_ours(s, &s->flows[i]) && p->udp->on[k->family == 6].fd < 0)
			exec_deaf(r->x, s->flows[i].id, "no socket of that family");
	}
}

const struct probe_ops probe_udp_ops = {
    .open = udp_open,
    .close = udp_close,
    .round_add = udp_round_add,
    .round_remove = udp_round_remove,
    .send = udp_send,
    .tick = udp_tick,
};
