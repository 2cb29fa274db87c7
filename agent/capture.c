#include "agent/capture.h"
#include "agent/packet.h"
#include "proto/base/mem.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <pcap/pcap.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SNAP_LEN     320           /* headers, options, VXLAN around it, and the probe header */
#define RING_ALL     (1024 * 1024) /* bytes, shared by the points */
#define RING_POINT   (256 * 1024)
#define RING_MIN     (64 * 1024)
#define BATCH        64 /* frames before the loop gets its turn again */
#define THREAD_STACK (256 * 1024)
#define SEQ_NONE     255
#define VXLAN_PORT   4789
#define VXLAN_OLD    8472

struct point {
	struct capture *capture;
	const char *ifname;
	struct point_status status;
	pcap_t *pcap;
	struct loop_source *source;
	uint8_t last_probe[ROUND_FLOWS_MAX]; /* by flow id: for answers that do not say which one they answer */
};

struct capture {
	struct loop *loop;
	struct exec *exec;
	const struct round_spec *spec;
	char *filter;
	struct bpf_program program; /* compiled with the first point, good for all of one link type */
	bool compiled;
	size_t count;
	struct point points[ROUND_POINTS_MAX];
};

/* ---- filter: coarse, since the exact decision is packet_match's; what it keeps away is the machine's other traffic ---- */

struct ports {
	unsigned lo, hi;              /* source ports of the probes */
	uint16_t to[ROUND_FLOWS_MAX]; /* distinct destination ports */
	size_t to_count;
};

static void ports_add(struct ports *p, const struct flow *f)
{
	unsigned last = f->id_base + (f->count ? f->count - 1u : 0u);

	p->lo = p->to_count == 0 || f->id_base < p->lo ? f->id_base : p->lo;
	p->hi = p->to_count == 0 || last > p->hi ? last : p->hi;
	for (size_t i = 0; i < p->to_count; i++)
		if (p->to[i] == f->dport)
			return;
	p->to[p->to_count++] = f->dport;
}

static struct ports ports_of(const struct round_spec *spec)
{
	struct ports p = {0};

	for (size_t i = 0; i < spec->flow_count; i++) {
		enum proto proto = kind_info(spec->flows[i].kind)->proto;

		if (proto == PROTO_UDP || proto == PROTO_TCP)
			ports_add(&p, &spec->flows[i]);
	}
	if (p.hi > 65535) { /* the last ports wrapped around */
		p.lo = 0;
		p.hi = 65535;
	}
	return p;
}

static void filter_ports(struct buf *b, const struct ports *p)
{
	if (p->to_count == 0)
		return;
	buf_printf(b, " or ((tcp or udp) and portrange %u-%u and (", p->lo, p->hi);
	for (size_t i = 0; i < p->to_count; i++)
		buf_printf(b, "%sport %u", i ? " or " : "", p->to[i]);
	buf_puts(b, "))");
}

/* Inner frames of VXLAN: behind 8 bytes of UDP and 8 of VXLAN stands Ethernet at 16, its type at 28, IP at 30. Either end's
 * probe port is enough to be coarse. */
static void filter_vxlan(struct buf *b, const struct ports *p)
{
	buf_printf(b, " or ((udp dst port %d or udp dst port %d) and (udp[28:2] = 0x0806", VXLAN_PORT, VXLAN_OLD);
	buf_puts(b, " or (udp[28:2] = 0x0800 and (udp[39] = 1");
	for (size_t i = 0; i < p->to_count; i++)
		buf_printf(b, " or udp[50:2] = %u or udp[52:2] = %u", p->to[i], p->to[i]);
	buf_puts(b, ")) or (udp[28:2] = 0x86dd and (udp[36] = 58");
	for (size_t i = 0; i < p->to_count; i++)
		buf_printf(b, " or udp[70:2] = %u or udp[72:2] = %u", p->to[i], p->to[i]);
	buf_puts(b, "))))");
}

static char *filter_text(const struct round_spec *spec)
{
	struct ports p = ports_of(spec);
	struct buf plain = {0}, all = {0};

	buf_puts(&plain, "arp or icmp or icmp6");
	filter_ports(&plain, &p);
	buf_puts(&all, plain.data);
	filter_vxlan(&all, &p);
	buf_printf(&all, " or (vlan and (%s))", plain.data); /* last: "vlan" moves the offsets of what stands behind it */
	buf_free(&plain);
	return all.data;
}

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

static void on_frame(u_char *user, const struct pcap_pkthdr *h, const u_char *bytes)
{
	struct point *p = (struct point *)user;
	const struct round_spec *spec = p->capture->spec;
	struct packet packet;
	uint8_t flow, seq;
	int part;

	/* libpcap puts a tag that the kernel took out back into the frame */
	if (packet_parse(bytes, h->caplen, 0, &packet))
		return;
	if (packet_match(&packet, spec->flows, spec->flow_count, spec->id, &flow, &seq, &part))
		return;
	seq = seq_known(p, flow, seq, (enum flow_part)part);
	exec_seen(p->capture->exec, p->status.point, flow, seq, (enum flow_part)part, packet.src, packet.dst, packet.vlan);
}

/* The device went away, or the like: what follows was not looked at. */
static void point_lost(struct point *p)
{
	snprintf(p->status.why, sizeof p->status.why, "%s", pcap_geterr(p->pcap));
	p->status.armed = false;
	loop_remove(p->source);
	p->source = NULL;
	exec_armed(p->capture->exec, &p->status);
}

static int point_read(struct point *p, int max)
{
	int got = pcap_dispatch(p->pcap, max, on_frame, (u_char *)p);

	if (got < 0)
		point_lost(p);
	return got;
}

static void on_readable(void *arg, int fd, int what)
{
	(void)fd;
	(void)what;
	point_read(arg, BATCH);
}

/* ---- arming ---- */

static int ring_size(size_t points)
{
	size_t share = RING_ALL / (points ? points : 1);

	return (int)(share > RING_POINT ? RING_POINT : share < RING_MIN ? RING_MIN : share);
}

static int point_failed(struct point *p, const char *what)
{
	str_copy(p->status.why, sizeof p->status.why, what);
	if (p->pcap)
		pcap_close(p->pcap);
	p->pcap = NULL;
	return -1;
}

static int point_activate(struct point *p)
{
	int result;

	pcap_set_snaplen(p->pcap, SNAP_LEN);
	pcap_set_promisc(p->pcap, 0);
	pcap_set_immediate_mode(p->pcap, 1);
	pcap_set_buffer_size(p->pcap, ring_size(p->capture->count));
	pcap_set_tstamp_precision(p->pcap, PCAP_TSTAMP_PRECISION_NANO);
	result = pcap_activate(p->pcap);
	if (result < 0)
		return point_failed(p, result == PCAP_ERROR ? pcap_geterr(p->pcap) : pcap_statustostr(result));
	if (pcap_datalink(p->pcap) != DLT_EN10MB)
		return point_failed(p, "not an Ethernet device");
	return 0;
}

/* Runs in a thread of its own: the kernel lets each activation wait about 10 ms, but lets them wait together. */
static void *point_open(void *arg)
{
	struct point *p = arg;
	const char *ifname = p->ifname;
	char text[PCAP_ERRBUF_SIZE];

	if (if_nametoindex(ifname) == 0) {
		point_failed(p, "no such interface");
		return NULL;
	}
	p->pcap = pcap_create(ifname, text);
	if (!p->pcap)
		point_failed(p, text);
	else
		point_activate(p);
	return NULL;
}

static bool thread_start(pthread_t *thread, void *(*fn)(void *), void *arg, bool detached)
{
	pthread_attr_t attr;
	int failed;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, THREAD_STACK);
	pthread_attr_setdetachstate(&attr, detached ? PTHREAD_CREATE_DETACHED : PTHREAD_CREATE_JOINABLE);
	failed = pthread_create(thread, &attr, fn, arg);
	pthread_attr_destroy(&attr);
	return !failed;
}

static void points_open(struct capture *c)
{
	pthread_t threads[ROUND_POINTS_MAX];
	bool started[ROUND_POINTS_MAX] = {false};

	for (size_t i = 0; i + 1 < c->count; i++)
		started[i] = thread_start(&threads[i], point_open, &c->points[i], false);
	for (size_t i = 0; i < c->count; i++)
		if (!started[i]) /* the last one, and what found no thread */
			point_open(&c->points[i]);
	for (size_t i = 0; i < c->count; i++)
		if (started[i])
			pthread_join(threads[i], NULL);
}

static int point_filter(struct point *p)
{
	struct capture *c = p->capture;

	if (!c->compiled && pcap_compile(p->pcap, &c->program, c->filter, 1, PCAP_NETMASK_UNKNOWN))
		return point_failed(p, pcap_geterr(p->pcap));
	c->compiled = true;
	if (pcap_setfilter(p->pcap, &c->program))
		return point_failed(p, pcap_geterr(p->pcap));
	return 0;
}

static void point_arm(struct point *p)
{
	char text[PCAP_ERRBUF_SIZE];

	if (!p->pcap || point_filter(p))
		return;
	if (strcmp(p->ifname, "lo") == 0) /* where every frame passes twice, out and in */
		pcap_setdirection(p->pcap, PCAP_D_IN);
	if (pcap_setnonblock(p->pcap, 1, text)) {
		point_failed(p, text);
		return;
	}
	p->source = loop_fd(p->capture->loop, pcap_get_selectable_fd(p->pcap), LOOP_READ, on_readable, p);
	p->status.armed = true;
}

static void point_init(struct point *p, struct capture *c, const struct point_spec *spec)
{
	p->capture = c;
	p->ifname = spec->ifname;
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
	c->filter = filter_text(c->spec);
	for (size_t i = 0; i < c->count; i++)
		point_init(&c->points[i], c, &c->spec->points[i]);
	points_open(c);
	for (size_t i = 0; i < c->count; i++) {
		point_arm(&c->points[i]);
		exec_armed(x, &c->points[i].status);
	}
	return c;
}

void capture_drain(struct capture *c)
{
	for (size_t i = 0; i < c->count; i++) {
		struct point *p = &c->points[i];
		struct pcap_stat stat;

		while (p->status.armed && point_read(p, BATCH) == BATCH)
			;
		if (!p->status.armed || pcap_stats(p->pcap, &stat))
			continue;
		p->status.dropped = stat.ps_drop;
		exec_armed(c->exec, &p->status);
	}
}

/* ---- the end ---- */

struct closing {
	size_t count;
	pcap_t *pcaps[ROUND_POINTS_MAX];
};

static void *close_all(void *arg)
{
	struct closing *k = arg;

	for (size_t i = 0; i < k->count; i++)
		pcap_close(k->pcaps[i]);
	free(k);
	return NULL;
}

/* The kernel lets each close wait about 25 ms: not on the loop's time. */
void capture_free(struct capture *c)
{
	struct closing *k;
	pthread_t thread;

	if (!c)
		return;
	k = mem_alloc(sizeof *k);
	for (size_t i = 0; i < c->count; i++) {
		loop_remove(c->points[i].source);
		if (c->points[i].pcap)
			k->pcaps[k->count++] = c->points[i].pcap;
	}
	if (k->count == 0 || !thread_start(&thread, close_all, k, true))
		close_all(k);
	if (c->compiled)
		pcap_freecode(&c->program);
	free(c->filter);
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
