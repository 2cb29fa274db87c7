#include "agent/facts/ovs_rpc.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CHUNK     16384
#define DEPTH_MAX 64

/* ---- one value of a stream ---- */

static bool scan_text(struct json_scan *s, char c)
{
	if (s->escaped)
		s->escaped = false;
	else if (c == '\\')
		s->escaped = true;
	else if (c == '"')
		s->in_text = false;
	return false;
}

/* True when `c` closes the outermost bracket. */
static bool scan_byte(struct json_scan *s, char c)
{
	if (s->in_text)
		return scan_text(s, c);
	if (c == '"')
		s->in_text = true;
	else if (c == '{' || c == '[')
		s->depth++;
	else if (c == '}' || c == ']')
		return --s->depth == 0;
	return false;
}

static bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

size_t json_scan(struct json_scan *s, const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!s->begun && is_space(data[i]))
			continue;
		if (!s->begun && data[i] != '{' && data[i] != '[')
			return 0;
		s->begun = true;
		if (scan_byte(s, data[i])) {
			*s = (struct json_scan){0};
			return i + 1;
		}
		if (s->depth > DEPTH_MAX)
			return 0;
	}
	return len + 1;
}

/* ---- the connection ---- */

int ovs_rpc_open(struct ovs_rpc *r, const char *path, struct err *e)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int problem;

	if (str_copy(to.sun_path, sizeof to.sun_path, path) < 0) {
		errno = ENAMETOOLONG;
		return err_sys(e, "%s", path);
	}
	*r = (struct ovs_rpc){.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
	if (r->fd < 0)
		return err_sys(e, "a unix socket");
	if (connect(r->fd, (struct sockaddr *)&to, sizeof to) == 0) {
		r->open = true;
		return 0;
	}
	problem = errno;
	close(r->fd);
	errno = problem;
	return err_sys(e, "%s", path);
}

void ovs_rpc_close(struct ovs_rpc *r)
{
	if (!r->open)
		return;
	close(r->fd);
	buf_free(&r->in);
	*r = (struct ovs_rpc){0};
}

/* False when the deadline came first. */
static bool ready(int fd, short events, struct mono deadline)
{
	struct pollfd p = {.fd = fd, .events = events};

	for (;;) {
		int64_t left = mono_us_since(mono_now(), deadline);
		int n = poll(&p, 1, left <= 0 ? 0 : (int)(left / 1000) + 1);

		if (n > 0 || (n == 0 && left <= 0))
			return n > 0;
	}
}

static int put(struct ovs_rpc *r, json_t *message, struct mono deadline, struct err *e)
{
	char *text = json_dumps(message, JSON_COMPACT);
	size_t len = text ? strlen(text) : 0, done = 0;

	json_decref(message);
	while (done < len) {
		ssize_t n = send(r->fd, text + done, len - done, MSG_NOSIGNAL);

		if (n > 0)
			done += (size_t)n;
		else if (errno != EAGAIN && errno != EINTR)
			break;
		else if (!ready(r->fd, POLLOUT, deadline))
			break;
	}
	free(text);
	if (len && done == len)
		return 0;
	err_set(e, "Open vSwitch does not take our question");
	ovs_rpc_close(r); /* half a message cannot be taken back */
	return -1;
}

int ovs_rpc_ask(struct ovs_rpc *r, int id, const char *method, json_t *params, struct mono deadline, struct err *e)
{
	return put(r, json_pack("{s:i,s:s,s:o}", "id", id, "method", method, "params", params), deadline, e);
}

/* ---- receiving ---- */

static json_t *broken(struct ovs_rpc *r, struct err *e, const char *why)
{
	ovs_rpc_close(r);
	err_set(e, "%s", why);
	return NULL;
}

/* The first whole message that is here, else NULL. */
static json_t *message_take(struct ovs_rpc *r, struct err *e)
{
	size_t left = r->in.len - r->scanned, used = left ? json_scan(&r->scan, r->in.data + r->scanned, left) : 1;
	json_t *m;

	if (used == 0)
		return broken(r, e, "Open vSwitch answers with what is no JSON");
	if (used > left) {
		r->scanned = r->in.len;
		return NULL;
	}
	m = json_loadb(r->in.data, r->scanned + used, 0, NULL);
	buf_consume(&r->in, r->scanned + used);
	r->scanned = 0;
	if (r->in.len == 0)
		buf_free(&r->in); /* large ones are rare */
	return json_is_object(m) ? m : (json_decref(m), broken(r, e, "Open vSwitch answers with malformed JSON"));
}

/* 1: something came. 0: nothing yet. -1: the end. */
static int bytes_take(struct ovs_rpc *r, struct err *e)
{
	char chunk[CHUNK];
	ssize_t n = recv(r->fd, chunk, sizeof chunk, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return broken(r, e, "Open vSwitch has closed the connection"), -1;
	if (r->in.len + (size_t)n > OVS_MESSAGE_MAX)
		return broken(r, e, "Open vSwitch sends more than fits"), -1;
	buf_add(&r->in, chunk, (size_t)n);
	return 1;
}

static bool is_echo(const json_t *m)
{
	const char *method = json_string_value(json_object_get(m, "method"));
	return method && strcmp(method, "echo") == 0;
}

/* RFC 7047 section 4.1.11: the answer repeats the parameters. */
static void echo_answer(struct ovs_rpc *r, json_t *m, struct mono deadline, struct err *e)
{
	json_t *params = json_object_get(m, "params"), *id = json_object_get(m, "id");

	put(r, json_pack("{s:O?,s:O?,s:n}", "id", id, "result", params, "error"), deadline, e);
	json_decref(m);
}

json_t *ovs_rpc_next(struct ovs_rpc *r, struct mono deadline, struct err *e)
{
	while (r->open) {
		json_t *m = message_take(r, e);
		int got;

		if (m && is_echo(m)) {
			echo_answer(r, m, deadline, e);
			if (mono_reached(deadline, mono_now()))
				return NULL;
			continue;
		}
		if (m || !r->open)
			return m;
		got = bytes_take(r, e);
		if (got < 0 || (got == 0 && !ready(r->fd, POLLIN, deadline)))
			return NULL;
		if (got > 0 && deadline.ns && mono_reached(deadline, mono_now()))
			return message_take(r, e);
	}
	return NULL;
}
