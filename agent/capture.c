#include "agent/capture.h"
#include "agent/capture_filter.h"
#include "agent/listener.h"
#include "agent/packet.h"
#include "proto/base/mem.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLOCKS_APART_NS 5000 /* two readings of a clock are closer than this, unless the process was stopped in between */
#define BATCH           32   /* frames of one point before the loop gets its turn again */
#define HALVES_MAX      256
#define SEQ_NONE        255
#define LOOPBACK_INDEX  1 /* in every network namespace */

enum { SIDE_IN, SIDE_OUT, SIDES };

/* What goes one way. */
struct side {
	struct listener listener;
	struct loop_source *source;
	bool waits; /* a frame that was fetched, until it is the oldest of both sides */
	struct listener_frame frame;
};

struct point {
	struct capture *capture;
	const char *ifname;
	struct point_status status;
	size_t sides; /* on the loopback, where every frame passes twice, only one */
	struct side side[SIDES];
	uint8_t last_probe[ROUND_FLOWS_MAX]; /* by flow id: for answers that do not say which one they answer */
};

/* A frame of TCP that fits by its ports and one address only: decided when the round is over. */
struct half {
	struct sighting sighting;
	uint32_t first_number;
	struct wall at;
	uint32_t length;
	size_t kept;
	uint8_t bytes[LISTENER_SNAP];
};

struct capture {
	struct loop *loop;
	struct exec *exec;
	const struct round_spec *spec;
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

static void half_add(struct capture *c, const struct sighting *s, const struct listener_frame *f, uint32_t first_number)
{
	struct half *h;

	if (c->half_count == HALVES_MAX)
		return;
	h = VEC_ADD(c->halves, c->half_count, c->half_cap);
	*h = (struct half){.sighting = *s, .first_number = first_number, .at = f->at, .length = f->length};
	h->kept = f->len < sizeof h->bytes ? f->len : sizeof h->bytes;
	memcpy(h->bytes, f->bytes, h->kept);
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

/* How far the wall clock is ahead of the monotonic one: read between two readings of the latter, the closest of a few, for
 * this process may be stopped between any two of them. */
static int64_t wall_ahead_ns(void)
{
	int64_t best = 0, closest = INT64_MAX;
	for (int i = 0; i < 3 && closest > CLOCKS_APART_NS; i++) {
		struct mono before = mono_now();
		struct wall wall = wall_now();
		int64_t apart = mono_now().ns - before.ns;
		if (apart < closest) {
			closest = apart;
			best = wall.ns - before.ns - apart / 2;
		}
	}
	return best;
}

static struct mono mono_of(struct wall at) { return (struct mono){at.ns - wall_ahead_ns()}; }

static void frame_take(struct point *p, enum frame_way way, const struct listener_frame *f)
{
	struct capture *c = p->capture;
	struct sighting s = {.point = p->status.point, .way = way};
	const struct flow *flow;
	struct packet packet;
	uint32_t first = 0;
	int part;

	if (packet_parse(f->bytes, f->len, 0, &packet) ||
	    packet_match(&packet, c->spec->flows, c->spec->flow_count, c->spec->id, &s.flow, &s.seq, &part))
		return;
	flow = flow_of(c->spec, s.flow);
	s.part = (enum flow_part)part;
	s.seq = seq_known(p, s.flow, s.seq, s.part);
	s.src = packet.src;
	s.dst = packet.dst;
	s.vlan = packet.vlan;
	s.at = mono_of(f->at);
	s.damaged = packet.probe_damaged;
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
	exec_seen(c->exec, &s);
	exec_frame(c->exec, &s, f->at, f->bytes, f->len, f->length);
}

/* ---- reading ---- */

static void point_lost(struct point *p, const char *why)
{
	str_copy(p->status.why, sizeof p->status.why, why);
	p->status.armed = false;
	for (size_t i = 0; i < p->sides; i++) {
		loop_remove(p->side[i].source);
		p->side[i].source = NULL;
	}
	exec_armed(p->capture->exec, &p->status);
}

/* True when a frame waits. */
static bool side_fetch(struct point *p, struct side *s)
{
	int got;

	if (s->waits || !p->status.armed || s->listener.state != LISTENER_ON)
		return s->waits;
	got = listener_next(&s->listener, &s->frame);
	if (got < 0)
		point_lost(p, s->listener.why);
	s->waits = got > 0;
	return s->waits;
}

/* The next frame in order of time: a question before its answer. A side that had nothing is asked again after the other one
 * had something, which may have come later. */
static struct side *point_next(struct point *p)
{
	struct side *out = &p->side[SIDE_OUT], *in = &p->side[SIDE_IN];
	bool had = side_fetch(p, out);

	if (!side_fetch(p, in))
		return had ? out : NULL;
	if (!had && !side_fetch(p, out))
		return in;
	return in->frame.at.ns < out->frame.at.ns ? in : out;
}

/* True when there may be more. */
static bool point_read(struct point *p)
{
	struct side *s;

	for (size_t i = 0; i < BATCH; i++) {
		s = point_next(p);
		if (!s)
			return false;
		s->waits = false;
		frame_take(p, s->listener.way, &s->frame);
	}
	return true;
}

static void on_readable(void *arg, int fd, int what)
{
	struct point *p = arg;

	(void)fd;
	(void)what;
	if (!point_read(p))
		return;
	for (size_t i = 0; i < p->sides; i++)
		if (p->side[i].waits && p->side[i].source) /* its buffer may be empty by now */
			loop_wake(p->side[i].source);
}

/* ---- arming ---- */

static void point_init(struct point *p, struct capture *c, const struct point_spec *spec)
{
	p->capture = c;
	p->ifname = spec->ifname;
	p->status.point = spec->id;
	p->sides = if_nametoindex(spec->ifname) == LOOPBACK_INDEX ? 1 : SIDES;
	p->side[SIDE_IN].listener.way = FRAME_IN;
	p->side[SIDE_OUT].listener.way = FRAME_OUT;
	for (size_t i = 0; i < p->sides; i++)
		p->side[i].listener.ifname = p->ifname;
	memset(p->last_probe, SEQ_NONE, sizeof p->last_probe);
}

static size_t listeners_of(struct capture *c, struct listener *out[static ROUND_POINTS_MAX * SIDES])
{
	size_t count = 0;

	for (size_t i = 0; i < c->count; i++)
		for (size_t k = 0; k < c->points[i].sides; k++)
			out[count++] = &c->points[i].side[k].listener;
	return count;
}

static void points_open(struct capture *c)
{
	struct listener *all[ROUND_POINTS_MAX * SIDES];
	size_t count = listeners_of(c, all), filter_len;
	struct sock_filter *filter;

	if (count == 0)
		return;
	filter_len = capture_filter(c->spec, LISTENER_SNAP, &filter);
	listeners_open(all, count, filter, filter_len);
	free(filter);
}

/* At an interface that is down nothing passes: not seen is seen. */
static void point_arm(struct point *p)
{
	p->status.armed = true;
	for (size_t i = 0; i < p->sides; i++) {
		struct side *s = &p->side[i];

		if (s->listener.state == LISTENER_OFF) {
			point_lost(p, s->listener.why);
			return;
		}
		if (s->listener.state == LISTENER_ON)
			s->source = loop_fd(p->capture->loop, listener_fd(&s->listener), LOOP_READ, on_readable, p);
	}
}

struct capture *capture_new(struct loop *l, struct exec *x)
{
	struct capture *c = mem_alloc(sizeof *c);

	c->loop = l;
	c->exec = x;
	c->spec = exec_spec(x);
	c->count = c->spec->point_count;
	for (size_t i = 0; i < c->count; i++)
		point_init(&c->points[i], c, &c->spec->points[i]);
	points_open(c);
	for (size_t i = 0; i < c->count; i++) {
		point_arm(&c->points[i]);
		exec_armed(x, &c->points[i].status);
	}
	return c;
}

/* What is true of the point at the end: its own losses, and whether one that was down stayed so. */
static void point_conclude(struct point *p)
{
	if (!p->status.armed)
		return;
	p->status.dropped = 0;
	for (size_t i = 0; i < p->sides; i++) {
		struct listener *l = &p->side[i].listener;

		if (l->state == LISTENER_ON) {
			p->status.dropped += listener_dropped(l);
		} else if (listener_overslept(l)) {
			point_lost(p, "the interface came up during the round");
			return;
		}
	}
	exec_armed(p->capture->exec, &p->status);
}

void capture_drain(struct capture *c)
{
	for (size_t i = 0; i < c->count; i++) {
		while (c->points[i].status.armed && point_read(&c->points[i]))
			;
		point_conclude(&c->points[i]);
	}
	halves_decide(c);
}

/* ---- the end ---- */

void capture_free(struct capture *c)
{
	struct listener *all[ROUND_POINTS_MAX * SIDES];

	if (!c)
		return;
	for (size_t i = 0; i < c->count; i++)
		for (size_t k = 0; k < c->points[i].sides; k++)
			loop_remove(c->points[i].side[k].source);
	listeners_close(all, listeners_of(c, all));
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
