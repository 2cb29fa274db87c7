#include "collector/http.h"

#include "collector/metrics.h"
#include "collector/query.h"
#include "proto/base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HEADERS_MAX     8192
#define TIMEOUT_SECONDS 10

extern const unsigned char index_html[];
extern const unsigned index_html_len;

struct http {
	struct collector *c;
	struct evhttp *server;
	bool loopback; /* bound to this machine only */
};

/* ---- answering ---- */

static void answer(struct evhttp_request *req, int code, const char *type, const void *body, size_t len)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
	struct evbuffer *out = evbuffer_new();
	evhttp_add_header(headers, "Content-Type", type);
	evhttp_add_header(headers, "Cache-Control", "no-store");
	evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
	evhttp_add_header(headers, "Content-Security-Policy",
	                  "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
	                  "frame-ancestors 'none'");
	evbuffer_add(out, body, len);
	evhttp_send_reply(req, code, NULL, out);
	evbuffer_free(out);
}

static void answer_text(struct evhttp_request *req, int code, const char *text)
{
	answer(req, code, "text/plain; charset=utf-8", text, strlen(text));
}

static void on_healthz(struct http *h, struct evhttp_request *req, const char *rest)
{
	(void)rest;
	answer_text(req, h->c->store_ailing ? 503 : 200, h->c->store_ailing ? "the state directory cannot be written\n" : "ok\n");
}

static void on_page(struct http *h, struct evhttp_request *req, const char *rest)
{
	(void)h;
	(void)rest;
	answer(req, 200, "text/html; charset=utf-8", index_html, index_html_len);
}

static void on_metrics(struct http *h, struct evhttp_request *req, const char *rest)
{
	(void)rest;
	struct buf b = {0};
	metrics_write(h->c, &b);
	answer(req, 200, "text/plain; version=0.0.4; charset=utf-8", b.data, b.len);
	buf_free(&b);
}

static void on_answer(void *arg, bool more, int exit_code, const char *json)
{
	if (!more)
		answer(arg, exit_code == 1 ? 400 : 200, "application/json", json, strlen(json));
}

/* /api/v1/COMMAND[/WORD]?name=value: the same question the CLI asks. */
static void add_arg(struct msg_query *q, const char *prefix, const char *name, const char *value)
{
	if (q->argc >= QUERY_ARGS_MAX)
		return;
	char *arg = mem_printf("%s%s%s%s", prefix, name, value ? "=" : "", value ? value : "");
	str_copy(q->args[q->argc++], sizeof q->args[0], arg);
	free(arg);
}

static void add_parameters(struct msg_query *q, struct evhttp_request *req)
{
	struct evkeyvalq list;
	const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(req));
	if (!query || evhttp_parse_query_str(query, &list))
		return;
	for (struct evkeyval *kv = list.tqh_first; kv; kv = kv->next.tqe_next)
		add_arg(q, "--", kv->key, kv->value);
	evhttp_clear_headers(&list);
}

static void on_api(struct http *h, struct evhttp_request *req, const char *rest)
{
	static const char *const OPEN[] = {"status", "agents", "mesh", "causes", "lint"};
	struct asker asker = {.role = "viewer"};
	struct reply reply = {.c = h->c, .send = on_answer, .arg = req};
	size_t n = strcspn(rest, "/");
	for (size_t i = 0; i < sizeof OPEN / sizeof *OPEN; i++)
		if (strlen(OPEN[i]) == n && strncmp(OPEN[i], rest, n) == 0) {
			struct msg_query *q = mem_alloc(sizeof *q);
			add_arg(q, "", OPEN[i], NULL);
			if (rest[n] && rest[n + 1])
				add_arg(q, "", rest + n + 1, NULL);
			add_parameters(q, req);
			query_run(h->c, &asker, q, &reply);
			free(q);
			return;
		}
	answer_text(req, 404, "no such question: status, agents, mesh, causes\n");
}

static const struct {
	const char *path;
	bool prefix;
	void (*fn)(struct http *, struct evhttp_request *, const char *rest);
} PAGES[] = {
    {"/", false, on_page},
    {"/healthz", false, on_healthz},
    {"/metrics", false, on_metrics},
    {"/api/v1/", true, on_api},
};

/* A page of somebody else's, whose name was made to point at this machine, must not read the API through a visitor's
 * browser: when we serve this machine only, we answer to its own names only. */
static bool host_is_ours(const struct http *h, struct evhttp_request *req)
{
	const char *host = evhttp_request_get_host(req);
	struct in_addr ip4;
	struct in6_addr ip6;
	return !h->loopback || !host || strcasecmp(host, "localhost") == 0 || inet_pton(AF_INET, host, &ip4) == 1 ||
	       host[0] == '[' || inet_pton(AF_INET6, host, &ip6) == 1;
}

static void on_request(struct evhttp_request *req, void *arg)
{
	struct http *h = arg;
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(req));
	if (!host_is_ours(h, req)) {
		answer_text(req, 403, "ask for this machine by its address or as localhost\n");
		return;
	}
	for (size_t i = 0; path && i < sizeof PAGES / sizeof *PAGES; i++) {
		size_t n = strlen(PAGES[i].path);
		if (PAGES[i].prefix ? strncmp(path, PAGES[i].path, n) == 0 : strcmp(path, PAGES[i].path) == 0) {
			PAGES[i].fn(h, req, path + n);
			return;
		}
	}
	answer_text(req, 404, "nothing here: /, /healthz, /metrics, /api/v1/{status,agents,mesh,causes,lint}\n");
}

/* ---- opening ---- */

static int split_address(const char *where, char host[static 64], uint16_t *port, struct err *e)
{
	const char *colon = strrchr(where, ':');
	char *end;
	long n = colon ? strtol(colon + 1, &end, 10) : 0;
	size_t len = colon ? (size_t)(colon - where) : 0;
	if (!colon || !len || *end || n < 1 || n > 65535 || len >= 64)
		return err_set(e, "--http: not ADDR:PORT: %s", where);
	if (where[0] == '[' && where[len - 1] == ']') {
		where++;
		len -= 2;
	}
	memcpy(host, where, len);
	host[len] = '\0';
	*port = (uint16_t)n;
	return 0;
}

struct http *http_new(struct collector *c, const char *where, struct err *e)
{
	char host[64];
	uint16_t port = 0;
	if (split_address(where, host, &port, e))
		return NULL;
	struct http *h = mem_alloc(sizeof *h);
	h->c = c;
	h->loopback = strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 || strcmp(host, "localhost") == 0;
	h->server = evhttp_new(loop_base(c->loop));
	evhttp_set_allowed_methods(h->server, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
	evhttp_set_max_headers_size(h->server, HEADERS_MAX);
	evhttp_set_max_body_size(h->server, 0);
	evhttp_set_timeout(h->server, TIMEOUT_SECONDS);
	evhttp_set_gencb(h->server, on_request, h);
	errno = 0;
	if (evhttp_bind_socket(h->server, host, port)) {
		err_set(e, "http: cannot listen on %s: %s", where,
		        errno == EADDRINUSE ? "port in use"
		        : errno             ? strerror(errno)
		                            : "not an address of this machine");
		http_free(h);
		return NULL;
	}
	return h;
}

void http_free(struct http *h)
{
	if (!h)
		return;
	evhttp_free(h->server);
	free(h);
}
