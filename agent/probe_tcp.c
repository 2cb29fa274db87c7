/* probe_tcp: connections to the other side's probe port (or, for the service kinds, to a port the operator named), and the
 * listener for its own. While a round runs a raw socket behind the input filter counts its SYNs: that is delivery.
 * Connections end by reset, so that none is left in TIME_WAIT. */
#include "agent/probe_ops.h"
#include "proto/base/mem.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ATTEMPTS_MAX 1024
#define ATTEMPT_MS   950 /* before the kernel repeats the SYN: one probe is one SYN */
#define SERVED_MAX   64
#define SERVED_MS    2000
#define BACKLOG      64
#define SYN_FLOWS    (ROUNDS_MAX * 4)

struct attempt {
	struct prober *prober;
	int fd;
	struct gather_source *source;
	struct probe_id id;
	struct mono began;
	bool connected;
	uint8_t header[PROBE_HEADER_LEN];
	uint8_t got[PROBE_HEADER_LEN];
	size_t got_len;
};

struct served {
	struct prober *prober;
	int fd, family;
	struct gather_source *source;
	struct ip from;
	struct mono began;
	uint8_t got[PROBE_HEADER_LEN];
	size_t got_len;
};

struct listener_socket {
	struct prober *prober;
	int fd, family;
	struct gather_source *source;
	int syn_fd; /* raw */
	struct gather_source *syn_source;
};

struct probe_tcp {
	struct listener_socket on[2]; /* IPv4, IPv6 */
	struct attempt *attempts[ATTEMPTS_MAX];
	size_t attempt_count;
	struct served *served[SERVED_MAX];
	size_t served_count;
};

static bool is_service(uint8_t kind) { return kind == KIND_SERVICE || kind == KIND_SERVICE6; }

static int close_hard(int fd)
{
	struct linger l = {.l_onoff = 1};
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	return close(fd);
}

/* Reads towards a full header: 1 = complete, 0 = not yet, -1 = it will not come. */
static int read_header(int fd, uint8_t *got, size_t *len)
{
	ssize_t n = recv(fd, got + *len, PROBE_HEADER_LEN - *len, 0);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		return -1;
	*len += n > 0 ? (size_t)n : 0;
	return *len == PROBE_HEADER_LEN;
}

/* ---- our attempts ---- */

static void attempt_end(struct attempt *a)
{
	struct probe_tcp *t = a->prober->tcp;
	gather_remove(a->source);
	if (is_service(a->id.kind) && a->connected)
		close(a->fd); /* somebody else's service: say goodbye politely */
	else
		close_hard(a->fd);
	for (size_t i = 0; i < t->attempt_count; i++)
		if (t->attempts[i] == a)
			t->attempts[i] = t->attempts[--t->attempt_count];
	free(a);
}

/* The connection failed: an ICMP error says more than errno. */
static void attempt_failed(struct attempt *a, int error)
{
	struct rx rx;
	if (sock_read_error(a->fd, &rx) && rx.is_error && rx.is_icmp)
		prober_told_error(a->prober, &a->id, &rx);
	else if (error == ECONNREFUSED || error == ECONNRESET)
		prober_told(a->prober, &a->id, a->connected ? TOLD_RESET : TOLD_REFUSED, (struct mac){0});
	else if (error == EHOSTUNREACH)
		prober_told_unresolved(a->prober, &a->id);
	attempt_end(a);
}

static bool attempt_established(struct attempt *a)
{
	a->connected = true;
	if (is_service(a->id.kind)) {
		prober_told(a->prober, &a->id, TOLD_ANSWERED, (struct mac){0});
		attempt_end(a);
		return false;
	}
	if (send(a->fd, a->header, sizeof(a->header), MSG_NOSIGNAL) != sizeof(a->header)) {
		attempt_failed(a, errno);
		return false;
	}
	return true;
}

static void attempt_read(struct attempt *a)
{
	struct proof f;
	int done = read_header(a->fd, a->got, &a->got_len);
	if (done == 0)
		return;
	if (done < 0) {
		attempt_failed(a, errno);
		return;
	}
	int family = kind_info(a->id.kind)->family;
	bool proven = prober_prove(a->prober, a->got, a->got_len, PROOF_ANSWER, PROTO_TCP, family, &f);
	bool same = proven && f.x == a->id.x && f.header.pair == a->id.pair && f.header.epoch == a->id.epoch &&
	            f.header.flow == a->id.flow && f.header.seq == a->id.seq;
	prober_told(a->prober, &a->id, same ? TOLD_ANSWERED : TOLD_IMPOSTOR, (struct mac){0});
	attempt_end(a);
}

static void attempt_ready(void *arg, int fd, int what)
{
	struct attempt *a = arg;
	struct prober *p = a->prober;
	int error = 0;
	socklen_t len = sizeof(error);
	if (what & GATHER_ERROR)
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error)
		attempt_failed(a, error);
	else if (a->connected)
		attempt_read(a);
	else
		attempt_established(a);
	prober_arm(p);
}

static int attempt_bind(int fd, const struct shot *s)
{
	int one = 1, error = s->bind_device ? sock_bind_device(fd, s->ifname) : 0;
	uint32_t scope = ip_is_link_local(s->src) ? device_index(s->ifname) : 0;
	if (error)
		return error;
	sock_prepare(fd, s->dst.family);
	if (s->id_base)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	else
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return sock_bind_source(fd, s->src, s->id_base ? (uint16_t)(s->id_base + s->id.seq) : 0, scope);
}

static int attempt_connect(int fd, const struct shot *s)
{
	struct sockaddr_storage to;
	socklen_t len = ip_to_sockaddr(s->dst, s->dport, ip_is_link_local(s->dst) ? device_index(s->ifname) : 0, &to);
	int error = attempt_bind(fd, s);
	if (error)
		return error;
	return connect(fd, (struct sockaddr *)&to, len) < 0 && errno != EINPROGRESS ? errno : 0;
}

static int tcp_send(struct prober *p, const struct shot *s)
{
	struct probe_tcp *t = p->tcp;
	if (s->directed)
		return frames_send_directed(p, s, (uint16_t)(s->id_base + s->id.seq), 0);
	int fd = t->attempt_count < ATTEMPTS_MAX ? sock_open(s->dst.family, SOCK_STREAM, 0) : -1;
	if (fd < 0)
		return t->attempt_count < ATTEMPTS_MAX ? errno : ENFILE;
	int error = attempt_connect(fd, s);
	if (error) {
		close(fd);
		return error;
	}
	struct attempt *a = t->attempts[t->attempt_count++] = mem_alloc(sizeof(*a));
	*a = (struct attempt){.prober = p, .fd = fd, .id = s->id, .began = mono_now()};
	memcpy(a->header, s->header, sizeof(a->header));
	a->source = gather_add(p->gather, fd, LOOP_READ | LOOP_WRITE | GATHER_EDGE, attempt_ready, a);
	prober_busy(p);
	return 0;
}

/* ---- the listener ---- */

static void served_over(struct served *c, int (*how)(int))
{
	struct probe_tcp *t = c->prober->tcp;
	gather_remove(c->source);
	how(c->fd);
	for (size_t i = 0; i < t->served_count; i++)
		if (t->served[i] == c)
			t->served[i] = t->served[--t->served_count];
	free(c);
}

static void served_end(struct served *c) { served_over(c, close_hard); }

/* The asker resets the connection once it has read: nothing is left of it here. */
static void served_answer(struct served *c, const struct proof *f)
{
	uint8_t bytes[PROBE_HEADER_LEN];
	struct probe_header h = f->header;
	h.answer = true;
	h.wants_answer = false;
	probe_write(&h, f->key, bytes);
	int error = send(c->fd, bytes, sizeof(bytes), MSG_NOSIGNAL) == sizeof(bytes) ? 0 : errno;
	prober_replied(c->prober, f, error);
	served_over(c, close);
}

static gather_fn served_ready;

static bool served_wait(struct served *c)
{
	c->source = gather_add(c->prober->gather, c->fd, LOOP_READ, served_ready, c);
	prober_busy(c->prober);
	return c->source;
}

static void served_ready(void *arg, int fd, int what)
{
	struct served *c = arg;
	struct prober *p = c->prober;
	struct proof f;
	(void)what;
	int done = read_header(fd, c->got, &c->got_len);
	if (done == 0 && (c->source || served_wait(c)))
		return;
	if (done < 0 || !prober_prove(p, c->got, c->got_len, PROOF_PROBE, PROTO_TCP, c->family, &f)) {
		served_end(c);
		return;
	}
	bool counted = f.round && (c->family == 4 ? f.round->raw_tcp4 : f.round->raw_tcp6); /* its SYN was */
	if (!counted)
		prober_arrived(p, &f, c->from, 0);
	if (prober_may_reply(p, &f))
		served_answer(c, &f);
	else
		served_end(c);
	prober_arm(p);
}

/* Whoever is served says all it has to say at once: who holds a place for long has no claim to it. */
static void served_make_room(struct probe_tcp *t)
{
	struct served *oldest = t->served[0];
	if (t->served_count < SERVED_MAX)
		return;
	for (size_t i = 1; i < t->served_count; i++)
		if (mono_before(t->served[i]->began, oldest->began))
			oldest = t->served[i];
	oldest->prober->stats.limited++;
	served_end(oldest);
}

static void tcp_accept(void *arg, int fd, int what)
{
	struct listener_socket *l = arg;
	struct probe_tcp *t = l->prober->tcp;
	struct sockaddr_storage ss;
	(void)what;
	for (int i = 0; i < 16; i++) {
		socklen_t len = sizeof(ss);
		int conn = accept4(fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (conn < 0)
			break;
		served_make_room(t);
		struct served *c = t->served[t->served_count++] = mem_alloc(sizeof(*c));
		*c = (struct served){.prober = l->prober, .fd = conn, .family = l->family, .began = mono_now()};
		ip_from_sockaddr((struct sockaddr *)&ss, &c->from, NULL);
		served_ready(c, conn, LOOP_READ); /* it was not let in before it had something to say */
	}
	prober_arm(l->prober);
}

/* What the connections inherit: they come in once there is data (or a second went by), and whoever does not end his side after
 * our answer is forgotten soon. */
static void listener_prepare(int fd)
{
	int one = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_LINGER2, &one, sizeof(one));
}

static int listener_open(struct prober *p, struct listener_socket *l, int family)
{
	int one = 1;
	*l = (struct listener_socket){.prober = p, .family = family, .fd = sock_open(family, SOCK_STREAM, 0), .syn_fd = -1};
	if (l->fd < 0)
		return errno;
	if (family == 6)
		setsockopt(l->fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	listener_prepare(l->fd);
	int error = sock_bind_source(l->fd, (struct ip){.family = (uint8_t)family}, p->port, 0);
	if (!error && listen(l->fd, BACKLOG) < 0)
		error = errno;
	if (!error)
		l->source = gather_add(p->gather, l->fd, LOOP_READ, tcp_accept, l);
	return error;
}

static int tcp_open(struct prober *p, struct err *e)
{
	struct probe_tcp *t = p->tcp = mem_alloc(sizeof(*t));
	t->on[1].fd = t->on[1].syn_fd = -1;
	int error = listener_open(p, &t->on[0], 4);
	if (!error)
		error = listener_open(p, &t->on[1], 6);
	if (!error || error == EAFNOSUPPORT || error == EADDRNOTAVAIL)
		return 0;
	errno = error;
	return err_sys(e, "cannot listen on TCP port %u", p->port);
}

/* ---- SYNs of rounds, behind the input filter ---- */

static bool flow_counts_syns(const struct round_spec *s, const struct flow *f, int family)
{
	const struct kind_info *k = kind_info(f->kind);
	return s->endpoint && !flow_is_ours(s, f) && k->proto == PROTO_TCP && k->family == family && f->count > 0;
}

static void syn_match(struct prober *p, int family, const uint8_t *tcp, struct ip from, int ttl)
{
	uint16_t sport = (uint16_t)(tcp[0] << 8 | tcp[1]), dport = (uint16_t)(tcp[2] << 8 | tcp[3]);
	for (size_t r = 0; r < p->round_count; r++) {
		const struct round_spec *s = exec_spec(p->rounds[r]->x);
		for (size_t i = 0; i < s->flow_count; i++) {
			const struct flow *f = &s->flows[i];
			uint16_t seq = (uint16_t)(sport - f->id_base);
			if (flow_counts_syns(s, f, family) && f->dport == dport && seq < f->count)
				exec_received(p->rounds[r]->x, f->id, (uint8_t)seq, from, (uint8_t)ttl, mono_now());
		}
	}
}

static void syn_take(struct listener_socket *l, const struct rx *rx)
{
	size_t skip = l->family == 4 ? 4 * (size_t)(rx->data[0] & 15) : 0;
	if (rx->len >= skip + 20 && (rx->data[skip + 13] & 0x12) == 0x02)
		syn_match(l->prober, l->family, rx->data + skip, rx->from, l->family == 4 ? rx->data[8] : rx->ttl);
}

static void syn_readable(void *arg, int fd, int what)
{
	struct listener_socket *l = arg;
	struct rx rx[RX_BATCH];
	int n = RX_BATCH;
	(void)what;
	for (int batch = 0; batch < RX_BATCHES && n == RX_BATCH; batch++) {
		n = sock_read(fd, false, rx);
		for (int i = 0; i < n; i++)
			syn_take(l, &rx[i]);
	}
}

struct program {
	struct sock_filter code[8 + 2 * SYN_FLOWS];
	size_t len;
};

static void emit(struct program *g, struct sock_filter i) { g->code[g->len++] = i; }

/* SYN without ACK, from a source port of one of the flows. Returns how many flows there are. */
static size_t syn_program(struct prober *p, int family, struct program *g)
{
	size_t flows = 0;
	g->len = 0;
	if (family == 4)
		emit(g, (struct sock_filter)BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0));
	else
		emit(g, (struct sock_filter)BPF_STMT(BPF_LDX | BPF_W | BPF_IMM, 0));
	emit(g, (struct sock_filter)BPF_STMT(BPF_LD | BPF_B | BPF_IND, 13));
	emit(g, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12));
	emit(g, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 1, 0));
	emit(g, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0));
	emit(g, (struct sock_filter)BPF_STMT(BPF_LD | BPF_H | BPF_IND, 0));
	size_t first = g->len;
	for (size_t r = 0; r < p->round_count; r++) {
		const struct round_spec *s = exec_spec(p->rounds[r]->x);
		for (size_t i = 0; i < s->flow_count && flows < SYN_FLOWS; i++) {
			const struct flow *f = &s->flows[i];
			if (!flow_counts_syns(s, f, family))
				continue;
			emit(g, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, f->id_base, 0, 1));
			emit(g, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)f->id_base + f->count, 0, 0));
			flows++;
		}
	}
	emit(g, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0));
	emit(g, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, RX_BYTES));
	for (size_t i = first + 1; i < g->len - 2; i += 2)
		g->code[i].jf = (uint8_t)(g->len - 1 - i - 1); /* below the range's end: take it */
	return flows;
}

static void syn_close(struct listener_socket *l)
{
	gather_remove(l->syn_source);
	l->syn_source = NULL;
	if (l->syn_fd >= 0)
		close(l->syn_fd);
	l->syn_fd = -1;
}

/* Opens, adapts or closes the raw socket to what the rounds need now. */
static bool syn_update(struct prober *p, int family)
{
	struct listener_socket *l = &p->tcp->on[family == 6];
	struct program g;
	if (syn_program(p, family, &g) == 0 || !p->raw) {
		syn_close(l);
		return false;
	}
	if (l->syn_fd < 0) {
		l->prober = p;
		l->family = family;
		l->syn_fd = sock_open(family, SOCK_RAW, IPPROTO_TCP);
		if (l->syn_fd < 0)
			return false;
		sock_want_details(l->syn_fd, family);
		l->syn_source = gather_add(p->gather, l->syn_fd, LOOP_READ, syn_readable, l);
	}
	return sock_filter(l->syn_fd, g.code, g.len) == 0;
}

static void tcp_round_add(struct prober *p, struct round_slot *r)
{
	const struct round_spec *s = exec_spec(r->x);
	r->raw_tcp4 = syn_update(p, 4);
	r->raw_tcp6 = syn_update(p, 6);
	for (size_t i = 0; i < s->flow_count; i++) {
		const struct flow *f = &s->flows[i];
		int family = kind_info(f->kind)->family;
		bool raw = family == 4 ? r->raw_tcp4 : r->raw_tcp6;
		if (flow_counts_syns(s, f, family) && !raw && (is_service(f->kind) || p->tcp->on[family == 6].fd < 0))
			exec_deaf(r->x, f->id, p->raw ? "no socket of that family" : p->raw_why);
	}
}

static void tcp_round_remove(struct prober *p, struct exec *x)
{
	for (size_t i = p->tcp->attempt_count; i-- > 0;)
		if (p->tcp->attempts[i]->id.x == x)
			attempt_end(p->tcp->attempts[i]);
	syn_update(p, 4);
	syn_update(p, 6);
}

/* ---- housekeeping ---- */

static int64_t tcp_tick(struct prober *p, struct mono now)
{
	struct probe_tcp *t = p->tcp;
	for (size_t i = t->attempt_count; i-- > 0;)
		if (mono_ms_since(t->attempts[i]->began, now) >= ATTEMPT_MS)
			attempt_end(t->attempts[i]);
	for (size_t i = t->served_count; i-- > 0;)
		if (mono_ms_since(t->served[i]->began, now) >= SERVED_MS)
			served_end(t->served[i]);
	if (t->attempt_count)
		return 40;
	return t->served_count ? 500 : 0;
}

static void tcp_close(struct prober *p)
{
	struct probe_tcp *t = p->tcp;
	if (!t)
		return;
	while (t->attempt_count)
		attempt_end(t->attempts[0]);
	while (t->served_count)
		served_end(t->served[0]);
	for (size_t i = 0; i < 2; i++) {
		syn_close(&t->on[i]);
		gather_remove(t->on[i].source);
		if (t->on[i].fd >= 0)
			close(t->on[i].fd);
	}
	free(t);
	p->tcp = NULL;
}

const struct probe_ops probe_tcp_ops = {
    .open = tcp_open,
    .close = tcp_close,
    .round_add = tcp_round_add,
    .round_remove = tcp_round_remove,
    .send = tcp_send,
    .tick = tcp_tick,
};
