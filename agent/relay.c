#include "agent/relay.h"

#include "agent/uplink.h"
#include "agent/vsock.h"
#include "proto/base/log.h"
#include "proto/frame.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SCAN_MS         2000 /* and at once when inotify says so */
#define SCAN_SOON_US    20000
#define REFILL_MS       100
#define PARTIAL_SCANS   2 /* a frame that stands incomplete this long is given up */
#define READ_BYTES      16384
#define FRAMES_PER_TURN 8     /* of one stream, before the others have theirs */
#define RECONNECT_MS    500   /* a guest's next vsock connection is taken when the one before is so old */
#define VSOCK_TRY_MS    10000 /* the transport's module may be loaded later */

struct stream {
	struct relay *relay;
	uint32_t id; /* never used again within a run */
	char label[NAME_MAX_LEN];
	ino_t inode; /* of the socket we are connected to */
	bool vsock;  /* the guest connected to us: it is `cid` */
	uint32_t cid;
	int fd;
	struct loop_source *source;
	struct frame_reader in;
	struct buf out;
	int64_t credit;  /* bytes it might still send at `credited` */
	double payloads; /* cost it might still cause */
	struct mono credited, opened;
	bool throttled;
	bool waiting; /* there may be whole frames in `in` */
	uint64_t received, partial_seen;
	unsigned partial_scans;
	TAILQ_ENTRY(stream) all;
};

struct relay {
	struct agent *a;
	char *dir;
	TAILQ_HEAD(, stream) streams; /* served last, last */
	uint32_t next_id;
	int inotify;
	int watched; /* inotify's number of the directory, -1 = not there */
	struct loop_source *inotify_source, *scan, *scan_soon, *refill;
	uint32_t vsock_port;
	int vsock; /* listens, -1 = not (yet) */
	struct loop_source *vsock_source, *vsock_retry;
	unsigned accepts; /* since the last refill */
	char vsock_trouble[ERR_TEXT_MAX];
	size_t queued; /* bytes waiting for all guests */
	bool ready;    /* the collector can be reached */
	bool dir_trouble;
	struct relay_stats stats;
};

/* ---- one stream ---- */

static void state_send(struct stream *s, bool open)
{
	struct msg *m = msg_new(MSG_RELAY_STATE);

	m->u.relay_state.stream = s->id;
	m->u.relay_state.open = open;
	str_copy(m->u.relay_state.label, sizeof m->u.relay_state.label, s->label);
	uplink_send(s->relay->a->uplink, m); /* all states are told again when the session begins anew */
	msg_free(m);
}

static void stream_close(struct stream *s)
{
	struct relay *r = s->relay;

	state_send(s, false);
	log_info("guest stream %s closed", s->label);
	TAILQ_REMOVE(&r->streams, s, all);
	r->stats.streams--;
	r->stats.garbage += s->in.skipped_bytes;
	r->queued -= s->out.len;
	loop_remove(s->source);
	close(s->fd);
	frame_reader_free(&s->in);
	buf_free(&s->out);
	free(s);
}

static void wants_update(struct stream *s)
{
	loop_fd_want(s->source, (s->throttled ? 0 : LOOP_READ) | (s->out.len ? LOOP_WRITE : 0));
}

static void written(struct stream *s, ssize_t n)
{
	if (n <= 0)
		return;
	buf_consume(&s->out, (size_t)n);
	s->relay->queued -= (size_t)n;
}

/* -1 when the stream is broken. */
static int stream_flush(struct stream *s)
{
	while (s->out.len) {
		ssize_t n = write(s->fd, s->out.data, s->out.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return -1;
		if (n <= 0)
			break;
		written(s, n);
	}
	if (s->out.len == 0 && s->out.cap > RELAY_BYTES_MAX)
		buf_free(&s->out);
	wants_update(s);
	return 0;
}

static bool queue_has_room(const struct stream *s, size_t len)
{
	if (s->out.len + len > RELAY_QUEUE_MAX)
		return false;
	return s->out.len == 0 || s->relay->queued + len <= RELAY_QUEUE_TOTAL;
}

/* Written, or what cannot be written now queued, for the loop: that is where a broken stream is noticed. */
static void frame_put(struct stream *s, enum frame_type type, const void *data, size_t len)
{
	if (!queue_has_room(s, len + FRAME_HEADER_LEN)) {
		s->relay->stats.dropped++;
		return;
	}
	frame_write(&s->out, (uint8_t)type, data, len);
	s->relay->queued += len + FRAME_HEADER_LEN;
	written(s, write(s->fd, s->out.data, s->out.len));
	wants_update(s);
}

static void pong_put(struct stream *s)
{
	uint8_t connected = s->relay->ready;

	frame_put(s, FRAME_PONG, &connected, 1);
}

/* ---- rate ---- */

/* Its part of what all streams together may cost. */
static double payload_rate(const struct relay *r)
{
	double part = (double)RELAY_COST_TOTAL / (r->stats.streams ? r->stats.streams : 1);

	return part > RELAY_COST_MAX ? RELAY_COST_MAX : part < RELAY_COST_MIN ? RELAY_COST_MIN : part;
}

static void credit_earn(struct stream *s)
{
	struct mono now = mono_now();
	int64_t us = mono_us_since(s->credited, now);

	s->credit += us * RELAY_RATE / 1000000;
	if (s->credit > RELAY_BURST)
		s->credit = RELAY_BURST;
	s->payloads += payload_rate(s->relay) * (double)us / 1e6;
	if (s->payloads > RELAY_COST_BURST)
		s->payloads = RELAY_COST_BURST;
	s->credited = now;
}

static bool has_credit(const struct stream *s) { return s->credit >= READ_BYTES && s->payloads >= 1; }

static void frames_take(struct stream *s);
static void vsock_wants(struct relay *r);

/* What was read already and had to wait goes first. */
static void stream_resume(struct stream *s)
{
	s->throttled = false;
	frames_take(s);
	wants_update(s);
}

static void stream_refill(struct stream *s)
{
	struct relay *r = s->relay;

	credit_earn(s);
	if (!has_credit(s))
		return;
	TAILQ_REMOVE(&r->streams, s, all); /* who is served now comes last the next time */
	TAILQ_INSERT_TAIL(&r->streams, s, all);
	stream_resume(s);
}

/* Runs only while somebody is throttled, or waits at the door. */
static void refilled(void *arg)
{
	struct relay *r = arg;
	struct stream *s = TAILQ_FIRST(&r->streams), *next;
	bool any = r->accepts > 0;

	for (uint32_t left = r->stats.streams; s && left; left--, s = next) {
		next = TAILQ_NEXT(s, all);
		if (s->throttled)
			stream_refill(s);
		any = any || s->throttled;
	}
	r->accepts = 0;
	vsock_wants(r);
	if (!any) {
		loop_remove(r->refill);
		r->refill = NULL;
	}
}

static void refill_start(struct relay *r)
{
	if (!r->refill)
		r->refill = loop_every_ms(r->a->loop, REFILL_MS, refilled, r);
}

static void throttle(struct stream *s)
{
	struct relay *r = s->relay;

	s->throttled = true;
	r->stats.limited++;
	wants_update(s);
	refill_start(r);
}

/* ---- up ---- */

/* False when the way to the collector is full: it has to wait. Without a way it is lost, as the guest is told. */
static bool payload_up(struct stream *s, const void *data, size_t len)
{
	struct relay *r = s->relay;
	struct msg *m = msg_new(MSG_RELAY_UP);
	bool sent;

	m->u.relay.stream = s->id;
	m->u.relay.len = len;
	m->u.relay.data = mem_array(len, 1);
	memcpy(m->u.relay.data, data, len);
	sent = uplink_send(r->a->uplink, m) == 0;
	msg_free(m);
	if (!sent && uplink_ready(r->a->uplink))
		return false;
	if (sent)
		r->stats.up++;
	else
		r->stats.unsent++;
	return true;
}

static bool frame_take(struct stream *s, uint8_t type, const void *data, size_t len)
{
	if (type == FRAME_DATA && len && !payload_up(s, data, len))
		return false;
	if (type == FRAME_PING)
		pong_put(s);
	s->payloads -= 1 + (double)(len / RELAY_COST_BYTES);
	return true;
}

/* As many as may pass now, a few in one turn; the others wait where they are, and what is behind them in the guest's own socket. */
static void frames_take(struct stream *s)
{
	const void *data;
	uint8_t type;
	size_t len;
	int left = FRAMES_PER_TURN;

	s->waiting = true;
	while (left && s->payloads >= 1) {
		if (!frame_next(&s->in, &type, &data, &len)) {
			s->waiting = false;
			break;
		}
		if (!frame_take(s, type, data, len)) {
			frame_return(&s->in, len);
			throttle(s);
			return;
		}
		left--;
	}
	if (s->payloads < 1)
		throttle(s);
	else if (s->waiting)
		loop_wake(s->source);
	else if (!frame_partial(&s->in) && s->in.in.cap > READ_BYTES) { /* idle guests cost nothing */
		buf_free(&s->in.in);
		s->in.at = 0;
	}
}

/* -1 when the stream is over. One read per event: every stream has its turn. */
static int stream_read(struct stream *s)
{
	char chunk[READ_BYTES];
	ssize_t n;

	credit_earn(s);
	if (!has_credit(s)) {
		throttle(s);
		return 0;
	}
	if (s->waiting) {
		frames_take(s);
		return 0;
	}
	n = read(s->fd, chunk, sizeof chunk);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return -1;
	s->received += (uint64_t)n;
	s->credit -= n;
	frame_feed(&s->in, chunk, (size_t)n);
	frames_take(s);
	return 0;
}

static void stream_ready(void *arg, int fd, int what)
{
	struct stream *s = arg;

	(void)fd;
	if ((what & LOOP_READ && !s->throttled && stream_read(s) < 0) || stream_flush(s) < 0)
		stream_close(s);
}

/* ---- the directory ---- */

static int socket_connect(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd;

	if (str_copy(sun.sun_path, sizeof sun.sun_path, path) < 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sun, sizeof sun) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static struct stream *stream_add(struct relay *r, int fd, const char *label)
{
	struct stream *s = mem_alloc(sizeof *s);

	*s = (struct stream){.relay = r,
	                     .id = r->next_id++,
	                     .fd = fd,
	                     .credit = RELAY_BURST,
	                     .payloads = RELAY_COST_BURST,
	                     .credited = mono_now(),
	                     .opened = mono_now()};
	str_copy(s->label, sizeof s->label, label);
	s->source = loop_fd(r->a->loop, fd, LOOP_READ, stream_ready, s);
	TAILQ_INSERT_TAIL(&r->streams, s, all);
	r->stats.streams++;
	log_info("guest stream %s opened", s->label);
	state_send(s, true);
	frame_put(s, FRAME_RESET, NULL, 0);
	pong_put(s);
	return s;
}

static void stream_open(struct relay *r, const char *name, const char *path, ino_t inode)
{
	int fd = r->stats.streams < RELAY_STREAMS_MAX ? socket_connect(path) : -1;

	if (fd >= 0) /* else nobody listens yet: the next scan comes by */
		stream_add(r, fd, name)->inode = inode;
}

static struct stream *stream_named(struct relay *r, const char *name)
{
	char label[NAME_MAX_LEN];
	struct stream *s;

	str_copy(label, sizeof label, name);
	TAILQ_FOREACH(s, &r->streams, all)
	if (!s->vsock && strcmp(s->label, label) == 0)
		return s;
	return NULL;
}

static void entry_look(struct relay *r, const char *name)
{
	char *path = mem_printf("%s/%s", r->dir, name);
	struct stream *s = stream_named(r, name);
	struct stat st;

	if (stat(path, &st) == 0 && S_ISSOCK(st.st_mode)) {
		if (s && s->inode != st.st_ino) { /* another socket took its place: whoever held the old one is gone */
			stream_close(s);
			s = NULL;
		}
		if (!s)
			stream_open(r, name, path, st.st_ino);
	}
	free(path);
}

static void partial_check(struct stream *s)
{
	if (!frame_partial(&s->in) || s->waiting || s->received != s->partial_seen)
		s->partial_scans = 0;
	else if (++s->partial_scans >= PARTIAL_SCANS) {
		frame_resync(&s->in);
		frames_take(s);
	}
	s->partial_seen = s->received;
}

static void dir_watch(struct relay *r)
{
	if (r->inotify >= 0 && r->watched < 0)
		r->watched = inotify_add_watch(r->inotify, r->dir, IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);
}

static void dir_scan(struct relay *r)
{
	struct dirent *entry;
	DIR *dir;

	dir_watch(r);
	dir = opendir(r->dir);
	if (!dir && !r->dir_trouble)
		log_warn("relay directory %s: %s; looking again from time to time", r->dir, strerror(errno));
	r->dir_trouble = !dir;
	if (!dir)
		return;
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			entry_look(r, entry->d_name);
	closedir(dir);
}

static void scan(void *arg)
{
	struct relay *r = arg;
	struct stream *s;

	if (r->dir)
		dir_scan(r);
	TAILQ_FOREACH(s, &r->streams, all)
	partial_check(s);
}

static void inotify_ready(void *arg, int fd, int what)
{
	struct relay *r = arg;
	char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t n;

	(void)what;
	while ((n = read(fd, events, sizeof events)) > 0) {
		for (char *p = events; p < events + n;) {
			const struct inotify_event *ev = (const struct inotify_event *)p;

			if (ev->mask & IN_IGNORED)
				r->watched = -1; /* the directory went away */
			p += sizeof *ev + ev->len;
		}
	}
	loop_timer_arm(r->scan_soon, SCAN_SOON_US);
}

/* ---- vsock ---- */

static struct stream *stream_of_cid(struct relay *r, uint32_t cid)
{
	struct stream *s;

	TAILQ_FOREACH(s, &r->streams, all)
	if (s->vsock && s->cid == cid)
		return s;
	return NULL;
}

/* A guest has one stream, the newest. One that does nothing but connect is not worth telling anybody of. */
static void vsock_take(struct relay *r, int fd, uint32_t cid)
{
	struct stream *old = stream_of_cid(r, cid), *s;
	bool hasty = old && mono_ms_since(old->opened, mono_now()) < RECONNECT_MS;
	char label[NAME_MAX_LEN];

	if (hasty || (!old && r->stats.streams >= RELAY_STREAMS_MAX)) {
		r->stats.refused++;
		close(fd);
		return;
	}
	if (old)
		stream_close(old);
	snprintf(label, sizeof label, VSOCK_PREFIX "%u", cid);
	s = stream_add(r, fd, label);
	s->vsock = true;
	s->cid = cid;
}

static void vsock_ready(void *arg, int listen_fd, int what)
{
	struct relay *r = arg;
	uint32_t cid;
	int fd = vsock_accept(listen_fd, &cid);

	(void)what;
	if (fd < 0)
		return;
	r->accepts++;
	refill_start(r);
	vsock_wants(r);
	vsock_take(r, fd, cid);
}

static void vsock_wants(struct relay *r)
{
	if (r->vsock_source)
		loop_fd_want(r->vsock_source, r->accepts < RELAY_ACCEPTS ? LOOP_READ : 0);
}

static void vsock_try(void *arg)
{
	struct relay *r = arg;
	struct err e = {""};

	r->vsock = vsock_listen(r->vsock_port, &e);
	if (r->vsock < 0) {
		if (strcmp(r->vsock_trouble, e.text) != 0)
			log_warn("--relay-vsock %u: %s; trying again from time to time", r->vsock_port, e.text);
		str_copy(r->vsock_trouble, sizeof r->vsock_trouble, e.text);
		loop_timer_arm(r->vsock_retry, VSOCK_TRY_MS * 1000);
		return;
	}
	r->vsock_source = loop_fd(r->a->loop, r->vsock, LOOP_READ, vsock_ready, r);
}

/* ---- the door ---- */

void relay_uplink(struct relay *r, bool ready)
{
	struct stream *s;

	if (!r)
		return;
	r->ready = ready;
	TAILQ_FOREACH(s, &r->streams, all)
	{
		if (ready)
			state_send(s, true);
		frame_put(s, FRAME_RESET, NULL, 0);
		pong_put(s);
	}
}

void relay_down(struct relay *r, const struct msg_relay *m)
{
	struct stream *s = NULL;

	if (!r)
		return;
	TAILQ_FOREACH(s, &r->streams, all)
	if (s->id == m->stream)
		break;
	if (!s || m->len > RELAY_BYTES_MAX) {
		r->stats.dropped++;
		return;
	}
	r->stats.down++;
	frame_put(s, FRAME_DATA, m->data, m->len);
}

struct relay_stats relay_stats(const struct relay *r) { return r->stats; }

static void dir_begin(struct relay *r, const char *dir)
{
	r->dir = mem_strdup(dir);
	r->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (r->inotify >= 0)
		r->inotify_source = loop_fd(r->a->loop, r->inotify, LOOP_READ, inotify_ready, r);
}

struct relay *relay_new(struct agent *a, const char *dir, uint32_t vsock_port)
{
	struct relay *r = mem_alloc(sizeof *r);

	r->a = a;
	r->next_id = 1;
	TAILQ_INIT(&r->streams);
	r->watched = r->inotify = r->vsock = -1;
	r->vsock_port = vsock_port;
	if (dir)
		dir_begin(r, dir);
	r->scan = loop_every_ms(a->loop, SCAN_MS, scan, r);
	r->scan_soon = loop_timer(a->loop, scan, r);
	loop_timer_arm(r->scan_soon, 0);
	r->vsock_retry = loop_timer(a->loop, vsock_try, r);
	if (vsock_port)
		vsock_try(r);
	return r;
}

void relay_free(struct relay *r)
{
	struct stream *s;

	if (!r)
		return;
	while ((s = TAILQ_FIRST(&r->streams)))
		stream_close(s);
	loop_remove(r->inotify_source);
	loop_remove(r->scan);
	loop_remove(r->scan_soon);
	loop_remove(r->refill);
	loop_remove(r->vsock_source);
	loop_remove(r->vsock_retry);
	if (r->inotify >= 0)
		close(r->inotify);
	if (r->vsock >= 0)
		close(r->vsock);
	free(r->dir);
	free(r);
}
