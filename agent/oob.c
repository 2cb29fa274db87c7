/* The stream carries frames (proto/frame.h), the frames carry a sealed session (proto/sealed.h): PROTOCOL.md, sections 4
 * and 5. In short, what this end does:
 *
 *   stream opens          -> RESET, PING, opening       (RESET: what was queued for who was here before us is void)
 *   opening not answered  -> again after 1 s, doubling to 10 s, jittered
 *   RESET from the host,
 *   PONG 0, or `R`        -> the session is lost; a new opening, but not more often than every 200 ms
 *   welcome               -> OOB_READY; messages both ways
 *   stream closes         -> lost; wait for the next connection, or open the device again
 *
 * A virtio-serial port hangs up while nobody on the host holds the other end (poll says POLLHUP without end, read says 0): then it
 * is left out of the loop and looked at once a second. A device that is not there, that somebody else holds, or that goes away is
 * opened again once a second; a vsock connection after 1 s, doubling to 10 s. */
#include "agent/oob.h"

#include "agent/vsock.h"
#include "proto/base/log.h"
#include "proto/frame.h"
#include "proto/sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#define QUEUE_FULL      (256 * 1024) /* no new messages */
#define QUEUE_MAX       (QUEUE_FULL + 2 * MSG_BYTES_MAX)
#define TICK_MS         1000
#define PING_TICKS      5
#define PARTIAL_TICKS   2
#define OPENING_GAP_MS  200
#define OPENING_MIN_MS  1000
#define OPENING_MAX_MS  10000
#define READS_PER_EVENT 8
#define CONNECT_TICKS   5
#define PAUSE_MAX       10 /* ticks between two attempts to connect */

enum kind { LISTENS, DEVICE, VSOCK };

struct oob {
	struct loop *loop;
	char *path;
	enum kind kind;
	struct vsock_addr vsock;
	int listen_fd, fd;
	struct loop_source *listen_source, *source, *tick, *opening;
	bool hung; /* device: nobody holds the host's end */
	/* vsock: the attempt under way, and when the next one is due */
	int connecting;
	struct loop_source *connecting_source;
	unsigned connecting_ticks, pause, waited;
	char trouble[ERR_TEXT_MAX]; /* why there is no stream; "" = there is one, or it is for the host to connect */
	struct frame_reader in;
	struct buf out;
	unsigned ticks, partial_ticks;
	uint64_t partial_seen; /* bytes the reader had taken when the frame was last looked at */
	uint64_t received;

	bool started;
	struct keypair own;
	uint8_t collector[KEY_LEN];
	struct sealed sealed;
	struct buf message;
	struct mono opened; /* last opening */
	int64_t backoff_ms;
	oob_message_fn *message_fn;
	oob_event_fn *event_fn;
	void *arg;
};

static void stream_close(struct oob *o);
static void stream_read(struct oob *o);

/* ---- writing ---- */

static void stream_flush(struct oob *o)
{
	while (o->fd >= 0 && !o->hung && o->out.len) {
		ssize_t n = write(o->fd, o->out.data, o->out.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			stream_close(o);
			return;
		}
		if (n <= 0)
			break;
		buf_consume(&o->out, (size_t)n);
	}
	if (o->source && !o->hung)
		loop_fd_want(o->source, LOOP_READ | (o->out.len ? LOOP_WRITE : 0));
}

static void frame_put(struct oob *o, enum frame_type type, const void *data, size_t len)
{
	if (o->fd < 0 || o->hung || o->out.len > QUEUE_MAX)
		return;
	frame_write(&o->out, (uint8_t)type, data, len);
}

static void payload_put(void *arg, const void *payload, size_t len) { frame_put(arg, FRAME_DATA, payload, len); }

/* ---- the session ---- */

static int64_t jittered(int64_t ms) { return ms / 2 + (int64_t)(keys_random64() % (uint64_t)(ms + 1)); }

static void opening_send(void *arg)
{
	struct oob *o = arg;

	if (o->fd < 0 || o->hung || !o->started || o->sealed.ready)
		return;
	o->opened = mono_now();
	sealed_start(&o->sealed, &o->own, o->collector, payload_put, o);
	loop_timer_arm(o->opening, jittered(o->backoff_ms) * 1000);
	o->backoff_ms = o->backoff_ms * 2 > OPENING_MAX_MS ? OPENING_MAX_MS : o->backoff_ms * 2;
	stream_flush(o);
}

static void opening_soon(struct oob *o)
{
	int64_t since = mono_ms_since(o->opened, mono_now());

	o->backoff_ms = OPENING_MIN_MS;
	loop_timer_arm(o->opening, since < OPENING_GAP_MS ? (OPENING_GAP_MS - since) * 1000 : 0);
}

static void session_lost(struct oob *o)
{
	bool was = o->sealed.ready;

	sealed_clear(&o->sealed);
	if (was)
		o->event_fn(o->arg, OOB_LOST);
}

static void payload_take(struct oob *o, const void *data, size_t len)
{
	if (!o->started)
		return;
	switch (sealed_read(&o->sealed, data, len, &o->message)) {
	case SEALED_READY:
		o->backoff_ms = OPENING_MIN_MS;
		o->pause = 1;
		loop_timer_disarm(o->opening);
		o->event_fn(o->arg, OOB_READY);
		break;
	case SEALED_MESSAGE: o->message_fn(o->arg, o->message.data, o->message.len); break;
	case SEALED_RESET:
		session_lost(o);
		opening_soon(o);
		break;
	case SEALED_REFUSED: /* the next opening comes in its time */ o->event_fn(o->arg, OOB_REFUSED); break;
	case SEALED_NOTHING: break;
	}
	if (o->sealed.lost) {
		o->sealed.lost = 0;
		o->event_fn(o->arg, OOB_GAP);
	}
	if (o->message.cap > RELAY_BYTES_MAX)
		buf_free(&o->message);
}

static void pong_take(struct oob *o, const uint8_t *data, size_t len)
{
	if (len == 1 && data[0] == 0)
		session_lost(o); /* the host says RESET when it is connected again */
}

static void frame_take(struct oob *o, uint8_t type, const void *data, size_t len)
{
	switch (type) {
	case FRAME_DATA: payload_take(o, data, len); break;
	case FRAME_RESET:
		session_lost(o);
		opening_soon(o);
		break;
	case FRAME_PONG: pong_take(o, data, len); break;
	default: break;
	}
}

static void frames_take(struct oob *o)
{
	const void *data;
	uint8_t type;
	size_t len;

	while (o->fd >= 0 && frame_next(&o->in, &type, &data, &len))
		frame_take(o, type, data, len);
}

/* ---- the stream ---- */

static void stream_ready(void *arg, int fd, int what)
{
	struct oob *o = arg;

	(void)fd;
	if (what & LOOP_READ)
		stream_read(o);
	stream_flush(o);
}

/* Somebody holds the other end (again). */
static void stream_greet(struct oob *o)
{
	o->opened = (struct mono){0};
	frame_put(o, FRAME_RESET, NULL, 0);
	frame_put(o, FRAME_PING, NULL, 0);
	opening_soon(o);
	stream_flush(o);
}

static void stream_begin(struct oob *o, int fd)
{
	stream_close(o);
	o->fd = fd;
	o->trouble[0] = '\0';
	o->source = loop_fd(o->loop, fd, LOOP_READ, stream_ready, o);
	stream_greet(o);
}

/* What was under way is void. */
static void stream_drain(struct oob *o)
{
	frame_reader_free(&o->in);
	buf_free(&o->out);
	loop_timer_disarm(o->opening);
	session_lost(o);
}

static void stream_close(struct oob *o)
{
	if (o->fd < 0)
		return;
	loop_remove(o->source);
	o->source = NULL;
	close(o->fd);
	o->fd = -1;
	o->hung = false;
	stream_drain(o);
}

static void stream_hang(struct oob *o)
{
	o->hung = true;
	loop_fd_want(o->source, 0);
	stream_drain(o);
}

static void stream_read(struct oob *o)
{
	char chunk[16384];

	for (int i = 0; i < READS_PER_EVENT && o->fd >= 0; i++) {
		ssize_t n = read(o->fd, chunk, sizeof chunk);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			if (n == 0 && o->kind == DEVICE)
				stream_hang(o);
			else
				stream_close(o);
			return;
		}
		o->received += (uint64_t)n;
		frame_feed(&o->in, chunk, (size_t)n);
		frames_take(o);
	}
}

/* A frame whose rest does not come was cut off: its writer is gone. */
static void partial_check(struct oob *o)
{
	if (!frame_partial(&o->in) || o->received != o->partial_seen)
		o->partial_ticks = 0;
	else if (++o->partial_ticks >= PARTIAL_TICKS) {
		frame_resync(&o->in);
		frames_take(o);
	}
	o->partial_seen = o->received;
}

/* ---- opening ---- */

/* Logged when it is news. */
static void open_failed(struct oob *o, const char *why)
{
	if (strcmp(o->trouble, why) != 0)
		log_warn("--oob %s: %s; trying again from time to time", o->path, why);
	str_copy(o->trouble, sizeof o->trouble, why);
}

/* A serial port passes bytes on as they are only when told so. */
static void tty_make_raw(int fd)
{
	struct termios t;

	if (tcgetattr(fd, &t) < 0)
		return;
	cfmakeraw(&t);
	tcsetattr(fd, TCSANOW, &t);
}

static void device_open(struct oob *o)
{
	int fd = open(o->path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	struct stat st;

	if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode))) {
		close(fd);
		open_failed(o, "not a character device");
	} else if (fd < 0) {
		open_failed(o, errno == ENOENT || errno == ENXIO ? "there is no such device yet"
		               : errno == EBUSY                  ? "another program holds this port"
		                                                 : strerror(errno));
	} else {
		tty_make_raw(fd);
		stream_begin(o, fd);
	}
}

static void device_look(struct oob *o)
{
	struct pollfd p = {.fd = o->fd, .events = POLLIN};

	if (poll(&p, 1, 0) >= 0 && p.revents & POLLHUP && !(p.revents & POLLIN))
		return;
	o->hung = false;
	loop_fd_want(o->source, LOOP_READ);
	stream_greet(o);
}

static void connect_end(struct oob *o)
{
	loop_remove(o->connecting_source);
	o->connecting_source = NULL;
	o->connecting = -1;
}

static void connect_failed(struct oob *o, const char *why)
{
	open_failed(o, why);
	o->pause = o->pause * 2 > PAUSE_MAX ? PAUSE_MAX : o->pause * 2;
}

static void connect_ready(void *arg, int fd, int what)
{
	struct oob *o = arg;
	struct err e = {""};

	(void)what;
	connect_end(o);
	if (vsock_result(fd, &e) == 0) {
		stream_begin(o, fd);
		return;
	}
	close(fd);
	connect_failed(o, e.text);
}

static void vsock_open(struct oob *o)
{
	struct err e = {""};

	if (o->connecting >= 0) {
		if (++o->connecting_ticks < CONNECT_TICKS)
			return;
		close(o->connecting);
		connect_end(o);
		connect_failed(o, "no answer");
		return;
	}
	if (o->waited++ < o->pause)
		return;
	o->waited = o->connecting_ticks = 0;
	o->connecting = vsock_connect(o->vsock, &e);
	if (o->connecting < 0)
		connect_failed(o, e.text);
	else
		o->connecting_source = loop_fd(o->loop, o->connecting, LOOP_WRITE, connect_ready, o);
}

static void stream_open(struct oob *o)
{
	if (o->kind == DEVICE)
		device_open(o);
	else if (o->kind == VSOCK)
		vsock_open(o);
}

static void ticked(void *arg)
{
	struct oob *o = arg;

	if (o->fd < 0)
		stream_open(o);
	else if (o->hung)
		device_look(o);
	if (o->fd < 0 || o->hung)
		return;
	partial_check(o);
	if (++o->ticks % PING_TICKS == 0)
		frame_put(o, FRAME_PING, NULL, 0);
	stream_flush(o);
}

static void accept_ready(void *arg, int listen_fd, int what)
{
	struct oob *o = arg;
	int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)what;
	if (fd >= 0)
		stream_begin(o, fd); /* the newest is the host's living agent */
}

/* Nobody may find the socket before it listens: it is made aside and moved into place. */
static int socket_listen(struct oob *o, struct err *e)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	const char *slash = strrchr(o->path, '/');
	size_t dir = slash ? (size_t)(slash - o->path) + 1 : 0;
	int len = snprintf(sun.sun_path, sizeof sun.sun_path, "%.*s.%s.new", (int)dir, o->path, o->path + dir);

	if (len < 0 || (size_t)len >= sizeof sun.sun_path)
		return err_set(e, "--oob %s: the path is too long for a socket", o->path);
	unlink(sun.sun_path);
	o->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (o->listen_fd < 0 || bind(o->listen_fd, (struct sockaddr *)&sun, sizeof sun) < 0 || chmod(sun.sun_path, 0660) < 0 ||
	    listen(o->listen_fd, 4) < 0 || rename(sun.sun_path, o->path) < 0)
		return err_sys(e, "--oob %s: cannot listen there", o->path);
	o->listen_source = loop_fd(o->loop, o->listen_fd, LOOP_READ, accept_ready, o);
	return 0;
}

/* What is not there yet is a device when it stands where devices do, else a socket to be made. */
static int path_open(struct oob *o, struct err *e)
{
	struct stat st;
	bool exists = stat(o->path, &st) == 0;

	if (exists ? S_ISCHR(st.st_mode) : strncmp(o->path, "/dev/", 5) == 0) {
		o->kind = DEVICE;
		device_open(o);
		return 0;
	}
	if (exists && !S_ISSOCK(st.st_mode))
		return err_set(e, "--oob %s: neither a character device nor a socket", o->path);
	return socket_listen(o, e);
}

static int kind_open(struct oob *o, struct err *e)
{
	if (strncmp(o->path, VSOCK_PREFIX, sizeof VSOCK_PREFIX - 1) != 0)
		return path_open(o, e);
	o->kind = VSOCK;
	if (vsock_parse(o->path, &o->vsock, e) < 0)
		return err_prefix(e, "--oob");
	o->waited = o->pause;
	vsock_open(o);
	return 0;
}

struct oob *oob_new(struct loop *l, const char *path, struct err *e)
{
	struct oob *o = mem_alloc(sizeof *o);

	*o = (struct oob){.loop = l,
	                  .path = mem_strdup(path),
	                  .fd = -1,
	                  .listen_fd = -1,
	                  .connecting = -1,
	                  .pause = 1,
	                  .backoff_ms = OPENING_MIN_MS};
	o->opening = loop_timer(l, opening_send, o);
	o->tick = loop_every_ms(l, TICK_MS, ticked, o);
	if (kind_open(o, e) == 0)
		return o;
	oob_free(o);
	return NULL;
}

void oob_start(struct oob *o, const struct keypair *own, const uint8_t collector[static KEY_LEN], oob_message_fn *message,
               oob_event_fn *event, void *arg)
{
	o->started = true;
	o->own = *own;
	memcpy(o->collector, collector, KEY_LEN);
	o->message_fn = message;
	o->event_fn = event;
	o->arg = arg;
	sealed_clear(&o->sealed);
	if (o->fd >= 0)
		opening_soon(o);
}

void oob_restart(struct oob *o)
{
	sealed_clear(&o->sealed);
	if (o->fd >= 0)
		loop_timer_arm(o->opening, jittered(OPENING_MIN_MS) * 1000);
}

int oob_send(struct oob *o, const void *data, size_t len)
{
	if (o->fd < 0 || o->hung || !o->sealed.ready || o->out.len > QUEUE_FULL)
		return -1;
	if (sealed_write(&o->sealed, data, len, payload_put, o) < 0)
		return -1;
	/* what cannot be written now is flushed from the loop: the stream may turn out closed, and the caller is no place to hear
	 * it */
	ssize_t n = o->out.len ? write(o->fd, o->out.data, o->out.len) : 0;
	if (n > 0)
		buf_consume(&o->out, (size_t)n);
	loop_fd_want(o->source, LOOP_READ | (o->out.len ? LOOP_WRITE : 0));
	return 0;
}

const char *oob_trouble(const struct oob *o) { return o->trouble; }

void oob_free(struct oob *o)
{
	if (!o)
		return;
	o->sealed.ready = false; /* no more events */
	stream_close(o);
	loop_remove(o->connecting_source);
	if (o->connecting >= 0)
		close(o->connecting);
	loop_remove(o->listen_source);
	loop_remove(o->tick);
	loop_remove(o->opening);
	if (o->listen_fd >= 0) {
		close(o->listen_fd);
		unlink(o->path);
	}
	sealed_clear(&o->sealed);
	buf_free(&o->message);
	free(o->path);
	explicit_bzero(&o->own, sizeof o->own);
	free(o);
}
