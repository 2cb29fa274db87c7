#include "agent/capture.h"
#include "agent/capture_filter.h"
#include "agent/packet.h"
#include "proto/base/mem.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SNAP_LEN     320               /* headers, options, a tunnel around it, and the probe header */
#define BUFFER_BYTES (4 * 1024 * 1024) /* of a socket, at most; nothing is taken before frames are waiting */
#define BATCH        32                /* frames of one point before the loop gets its turn again */
#define HALVES_MAX   256
#define THREAD_STACK (64 * 1024)
#define SEQ_NONE     255

struct point {
	struct capture *capture;
	const char *ifname;
	struct point_status status;
	int fd; /* -1 = none */
	bool loopback;
	struct loop_source *source;
	uint8_t last_probe[ROUND_FLOWS_MAX]; /* by flow id: for answers that do not say which one they answer */
};

/* One frame, told by the kernel. */
struct caught {
	const uint8_t *bytes;
	size_t len;
	uint32_t length; /* on the wire, with the tag that was taken out */
	struct wall at;
	enum frame_way way;
	uint16_t tag, tag_type; /* taken out of the frame; type 0 = none was */
};

/* A frame of TCP that fits by its ports and one address only: decided when the round is over. */
struct half {
	struct sighting sighting;
	uint32_t first_number;
	struct wall at;
	uint32_t length;
	size_t kept;
	uint8_t bytes[SNAP_LEN + 4];
};

struct capture {
	struct loop *loop;
	struct exec *exec;
	const struct round_spec *spec;
	struct sock_filter *filter;
	size_t filter_len;
	seqset first_known[ROUND_FLOWS_MAX]; /* TCP: probes whose first sequence number is known for certain */
	uint32_t first_number[ROUND_FLOWS_MAX][FLOW_PROBES_MAX];
	struct half *halves;
	size_t half_count, half_cap;
	size_t count;
	struct point points[ROUND_POINTS_MAX];
};

/* ---- frames ---- */

/* An answer without a number answers the last question seen here, or the first one if none passed this way. */
static uint8_t seq_known(struct point *p, uint8_t flow, uint8_t seq, enum flow_part part)
{
	uint8_t *last = &p->last_probe[flow % ROUND_FLOWS_MAX];

	if (part == PART_PROBE)
		*last = seq;
	if (seq != PACKET_SEQ_UNKNOWN)
		return seq;
	return *last == SEQ_NONE ? 0 : *last;
}

static const struct flow *flow_of(const struct round_spec *spec, uint8_t id)
{
	for (size_t i = 0; i < spec->flow_count; i++)
		if (spec->flows[i].id == id)
			return &spec->flows[i];
	return NULL;
}

/* As it was on the wire: a tag that the kernel took out stands behind the addresses again. Returns the length. */
static size_t frame_whole(const struct caught *f, uint8_t out[static SNAP_LEN + 4])
{
	const size_t addresses = 2 * ETH_ALEN;

	if (!f->tag_type || f->len < addresses) {
		memcpy(out, f->bytes, f->len);
		return f->len;
	}
	memcpy(out, f->bytes, addresses);
	out[addresses] = (uint8_t)(f->tag_type >> 8);
	out[addresses + 1] = (uint8_t)f->tag_type;
	out[addresses + 2] = (uint8_t)(f->tag >> 8);
	out[addresses + 3] = (uint8_t)f->tag;
	memcpy(out + addresses + 4, f->bytes + addresses, f->len - addresses);
	return f->len + 4;
}

static void half_add(struct capture *c, const struct sighting *s, const struct caught *f, uint32_t first_number)
{
	struct half *h;

	if (c->half_count == HALVES_MAX)
		return;
	h = VEC_ADD(c->halves, c->half_count, c->half_cap);
	*h = (struct half){.sighting = *s, .first_number = first_number, .at = f->at, .length = f->length};
	h->kept = frame_whole(f, h->bytes);
}

static bool is_foreign(const struct capture *c, const struct half *h)
{
	uint8_t flow = h->sighting.flow, seq = h->sighting.seq;

	return c->first_known[flow] >> seq & 1 && c->first_number[flow][seq] != h->first_number;
}

/* Without a certain sighting on this machine, NAT is the likelier reading: the ports are the round's own, for its second only. */
static void halves_decide(struct capture *c)
{
	for (size_t i = 0; i < c->half_count; i++) {
		const struct half *h = &c->halves[i];

		if (is_foreign(c, h))
			continue;
		exec_seen(c->exec, &h->sighting);
		exec_frame(c->exec, &h->sighting, h->at, h->bytes, h->kept, h->length);
	}
	c->half_count = 0;
}

static void frame_tell(struct capture *c, const struct sighting *s, const struct caught *f)
{
	uint8_t whole[SNAP_LEN + 4];

	exec_seen(c->exec, s);
	if (c->spec->keep_frames)
		exec_frame(c->exec, s, f->at, whole, frame_whole(f, whole), f->length);
}

static void frame_take(struct point *p, const struct caught *f)
{
	struct capture *c = p->capture;
	struct sighting s = {.point = p->status.point, .way = f->way};
	const struct flow *flow;
	struct packet packet;
	uint32_t first = 0;
	int part;

	if (packet_parse(f->bytes, f->len, f->tag, &packet) ||
	    packet_match(&packet, c->spec->flows, c->spec->flow_count, c->spec->id, &s.flow, &s.seq, &part))
		return;
	flow = flow_of(c->spec, s.flow);
	s.part = (enum flow_part)part;
	s.seq = seq_known(p, s.flow, s.seq, s.part);
	s.src = packet.src;
	s.dst = packet.dst;
	s.vlan = packet.vlan;
	if (!flow || s.flow >= ROUND_FLOWS_MAX || s.seq >= FLOW_PROBES_MAX)
		return;
	if (packet_is_half(&packet, flow, &first)) {
		half_add(c, &s, f, first);
		return;
	}
	if (first) {
		c->first_known[s.flow] |= (seqset)1 << s.seq;
		c->first_number[s.flow][s.seq] = first;
	}
	frame_tell(c, &s, f);
}

/* ---- reading ---- */

struct batch {
	struct mmsghdr headers[BATCH];
	struct iovec vecs[BATCH];
	struct sockaddr_ll from[BATCH];
	uint8_t bytes[BATCH][SNAP_LEN];
	_Alignas(struct cmsghdr)
	    uint8_t control[BATCH][CMSG_SPACE(sizeof(struct tpacket_auxdata)) + CMSG_SPACE(sizeof(struct timespec))];
};

static void batch_init(struct batch *b)
{
	for (size_t i = 0; i < BATCH; i++) {
		b->vecs[i] = (struct iovec){b->bytes[i], SNAP_LEN};
		b->headers[i].msg_hdr = (struct msghdr){.msg_name = &b->from[i],
		                                        .msg_namelen = sizeof b->from[i],
		                                        .msg_iov = &b->vecs[i],
		                                        .msg_iovlen = 1,
		                                        .msg_control = b->control[i],
		                                        .msg_controllen = sizeof b->control[i]};
	}
}

static void aux_read(const struct tpacket_auxdata *aux, struct caught *f)
{
	f->length = aux->tp_len;
	if (!(aux->tp_status & TP_STATUS_VLAN_VALID))
		return;
	f->tag = aux->tp_vlan_tci;
	f->tag_type = aux->tp_status & TP_STATUS_VLAN_TPID_VALID ? aux->tp_vlan_tpid : ETH_P_8021Q;
	f->length += 4;
}

static void control_read(struct msghdr *m, struct caught *f)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		struct tpacket_auxdata aux;
		struct timespec ts;

		if (c->cmsg_level == SOL_PACKET && c->cmsg_type == PACKET_AUXDATA) {
			memcpy(&aux, CMSG_DATA(c), sizeof aux);
			aux_read(&aux, f);
		} else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
			memcpy(&ts, CMSG_DATA(c), sizeof ts);
			f->at.ns = (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
		}
	}
}

static void batch_take(struct point *p, struct batch *b, size_t i)
{
	size_t len = b->headers[i].msg_len < SNAP_LEN ? b->headers[i].msg_len : SNAP_LEN;
	bool out = b->from[i].sll_pkttype == PACKET_OUTGOING;
	struct caught f = {.bytes = b->bytes[i], .len = len, .length = (uint32_t)len, .way = out ? FRAME_OUT : FRAME_IN};

	if (out && p->loopback) /* where every frame passes twice */
		return;
	control_read(&b->headers[i].msg_hdr, &f);
	frame_take(p, &f);
}

static void point_lost(struct point *p, const char *why)
{
	str_copy(p->status.why, sizeof p->status.why, why);
	p->status.armed = false;
	loop_remove(p->source);
	p->source = NULL;
	exec_armed(p->capture->exec, &p->status);
}

/* A device that is taken down tells so once, and its socket hears again when it comes back: what did not pass while it was down
 * was not there. One that is removed does not come back, not even under the same name; a new name changes nothing. */
static bool point_is_gone(const struct point *p)
{
	struct sockaddr_ll at = {0};
	socklen_t len = sizeof at;

	return getsockname(p->fd, (struct sockaddr *)&at, &len) || at.sll_ifindex <= 0;
}

/* True when there may be more. */
static bool point_read(struct point *p)
{
	struct batch b;
	int got;

	batch_init(&b);
	got = recvmmsg(p->fd, b.headers, BATCH, MSG_DONTWAIT, NULL);
	if (got < 0 && errno != EAGAIN && errno != EINTR && point_is_gone(p)) {
		point_lost(p, "the interface was removed");
		return false;
	}
	for (int i = 0; i < got; i++)
		batch_take(p, &b, (size_t)i);
	return got == BATCH;
}

static void on_readable(void *arg, int fd, int what)
{
	(void)fd;
	(void)what;
	point_read(arg);
}

/* ---- arming ---- */

static int point_failed(struct point *p, const char *what)
{
	str_copy(p->status.why, sizeof p->status.why, what);
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	return -1;
}

static int point_options(const struct point *p)
{
	const struct capture *c = p->capture;
	struct sock_fprog program = {.len = (unsigned short)c->filter_len, .filter = c->filter};
	int yes = 1, bytes = BUFFER_BYTES;

	if (setsockopt(p->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) ||
	    setsockopt(p->fd, SOL_PACKET, PACKET_AUXDATA, &yes, sizeof yes) ||
	    setsockopt(p->fd, SOL_SOCKET, SO_TIMESTAMPNS, &yes, sizeof yes))
		return -1;
	if (setsockopt(p->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes)) /* beyond the limit, with CAP_NET_ADMIN */
		setsockopt(p->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
	return 0;
}

/* The protocol is given last, with the device: a socket that is bound before it hears has nothing to wait for in the kernel. */
static int point_bind(struct point *p, unsigned index)
{
	struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)index};
	socklen_t len = sizeof at;

	if (bind(p->fd, (struct sockaddr *)&at, sizeof at) || getsockname(p->fd, (struct sockaddr *)&at, &len))
		return point_failed(p, strerror(errno));
	p->loopback = at.sll_hatype == ARPHRD_LOOPBACK;
	if (!p->loopback && at.sll_hatype != ARPHRD_ETHER)
		return point_failed(p, "not an Ethernet device");
	return 0;
}

static int point_open(struct point *p)
{
	unsigned index = if_nametoindex(p->ifname);

	if (index == 0)
		return point_failed(p, "no such interface");
	p->fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (p->fd < 0 || point_options(p))
		return point_failed(p, strerror(errno));
	return point_bind(p, index);
}

static void point_arm(struct point *p)
{
	if (point_open(p))
		return;
	p->source = loop_fd(p->capture->loop, p->fd, LOOP_READ, on_readable, p);
	p->status.armed = true;
}

static void point_init(struct point *p, struct capture *c, const struct point_spec *spec)
{
	p->capture = c;
	p->ifname = spec->ifname;
	p->fd = -1;
	p->status.point = spec->id;
	memset(p->last_probe, SEQ_NONE, sizeof p->last_probe);
}

struct capture *capture_new(struct loop *l, struct exec *x)
{
	struct capture *c = mem_alloc(sizeof *c);

	c->loop = l;
	c->exec = x;
	c->spec = exec_spec(x);
	c->count = c->spec->point_count;
	if (c->count)
		c->filter_len = capture_filter(c->spec, SNAP_LEN, &c->filter);
	for (size_t i = 0; i < c->count; i++) {
		point_init(&c->points[i], c, &c->spec->points[i]);
		point_arm(&c->points[i]);
		exec_armed(x, &c->points[i].status);
	}
	return c;
}

static void point_count_drops(struct point *p)
{
	struct tpacket_stats stats = {0};
	socklen_t len = sizeof stats;

	if (!p->status.armed || getsockopt(p->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len))
		return;
	p->status.dropped += stats.tp_drops;
	exec_armed(p->capture->exec, &p->status);
}

void capture_drain(struct capture *c)
{
	for (size_t i = 0; i < c->count; i++) {
		while (c->points[i].status.armed && point_read(&c->points[i]))
			;
		point_count_drops(&c->points[i]);
	}
	halves_decide(c);
}

/* ---- the end ---- */

struct closing {
	size_t count;
	int fds[ROUND_POINTS_MAX];
};

static void *close_all(void *arg)
{
	struct closing *k = arg;

	for (size_t i = 0; i < k->count; i++)
		close(k->fds[i]);
	free(k);
	return NULL;
}

static bool thread_start(void *(*fn)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;
	int failed;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, THREAD_STACK);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	failed = pthread_create(&thread, &attr, fn, arg);
	pthread_attr_destroy(&attr);
	return !failed;
}

/* The kernel lets each close wait about 25 ms: not on the loop's time. */
void capture_free(struct capture *c)
{
	struct closing *k;

	if (!c)
		return;
	k = mem_alloc(sizeof *k);
	for (size_t i = 0; i < c->count; i++) {
		loop_remove(c->points[i].source);
		if (c->points[i].fd >= 0)
			k->fds[k->count++] = c->points[i].fd;
	}
	if (k->count == 0 || !thread_start(close_all, k))
		close_all(k);
	free(c->filter);
	free(c->halves);
	free(c);
}

bool capture_possible(char *why, size_t size)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		snprintf(why, size, "captures: %s", strerror(errno));
		return false;
	}
	close(fd);
	return true;
}
