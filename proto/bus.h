/* bus: a CURVE ZeroMQ socket as a loop source. The only file pair that meets zmq.h. One ROUTER serves agents and CLI;
 * agents and CLI are DEALERs. Edge-triggered ZMQ_FD, bounded batches and re-arming are dealt with here. */
#ifndef BW_BUS_H
#define BW_BUS_H

#include "proto/base/err.h"
#include "proto/keys.h"
#include "proto/loop.h"

/* ---- server: the collector ---- */

struct bus_server;

/* ZAP: may a client with this CURVE key complete the handshake? Called on the loop, between messages. */
typedef bool bus_allow_fn(void *arg, const uint8_t key[static KEY_LEN]);
/* A message from the client proven to hold `key`. `route` identifies the connection for answers (<= 255 bytes, copied). */
typedef void bus_server_fn(void *arg, const uint8_t key[static KEY_LEN], const void *route, size_t route_len, const void *data,
                           size_t len);

struct bus_server *bus_server_new(struct loop *l, const struct keypair *own, bus_allow_fn *allow, bus_server_fn *fn, void *arg,
                                  struct err *e);
/* "tcp://ADDR:PORT" (also ipv6 in brackets) or "ipc://PATH"; several allowed. The error says "port in use" and the like. */
int bus_server_bind(struct bus_server *s, const char *endpoint, struct err *e);
/* -1 when the peer is gone or its queue is full (counted). */
int bus_server_send(struct bus_server *s, const void *route, size_t route_len, const void *data, size_t len);
/* How many keys ZAP refused, messages were malformed, answers could not be sent; ever. */
struct bus_stats {
	uint64_t refused, malformed, unsent;
};
struct bus_stats bus_server_stats(const struct bus_server *s);
void bus_server_free(struct bus_server *s);

/* ---- client: agents and CLI ---- */

struct bus_client;
enum bus_event {
	BUS_CONNECTED, /* TCP is up and the handshake succeeded */
	BUS_DISCONNECTED,
	BUS_REFUSED,      /* the server refused our key (ZAP 4xx) */
	BUS_WRONG_SERVER, /* the handshake failed: the server does not hold the key we expect */
	BUS_UNREACHABLE   /* connecting fails; `text` says why; once per attempt: log changes only */
};
typedef void bus_event_fn(void *arg, enum bus_event ev, const char *text);
typedef void bus_client_fn(void *arg, const void *data, size_t len);

/* Reconnects by itself with jittered exponential back-off, 100 ms to 10 s. Every attempt is a new connection: nothing
 * queued for one is sent on the next. bus_client_free may be called from within the callbacks. */
struct bus_client *bus_client_new(struct loop *l, const char *endpoint, const struct keypair *own,
                                  const uint8_t server[static KEY_LEN], bus_client_fn *fn, bus_event_fn *event, void *arg,
                                  struct err *e);
/* 0 queued, -1 when the queue is full or not connected (the caller keeps what matters in its spool). */
int bus_client_send(struct bus_client *c, const void *data, size_t len);
bool bus_client_connected(const struct bus_client *c);
void bus_client_free(struct bus_client *c);

#endif
