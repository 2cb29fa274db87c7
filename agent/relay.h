/* relay: the host's end of the guests' out-of-band streams. Connects to every unix socket in a directory, takes vsock connections,
 * and carries sealed payloads between them and the collector, unread. What one guest can cost is bounded: bytes read, payloads
 * carried (all streams share RELAY_COST_TOTAL evenly, so that nobody can take the others' part of the way to the collector), bytes
 * waiting for it. */
#ifndef BW_AGENT_RELAY_H
#define BW_AGENT_RELAY_H

#include "agent/agent.h"

#define RELAY_STREAMS_MAX 1024
#define RELAY_RATE        (256 * 1024)       /* bytes per second a guest may send */
#define RELAY_BURST       (1024 * 1024)      /* and at once */
#define RELAY_QUEUE_MAX   (1024 * 1024)      /* bytes waiting for a guest that does not read */
#define RELAY_QUEUE_TOTAL (16 * 1024 * 1024) /* for all of them; beyond, a guest has one payload waiting */
/* A payload costs 1 and 1 more for every 4 KiB, as at the collector, which takes 2000 a second from one host. */
#define RELAY_COST_BYTES 4096
#define RELAY_COST_TOTAL 1600 /* per second, of all streams */
#define RELAY_COST_MAX   100  /* per second, of one stream, however few there are */
#define RELAY_COST_MIN   4    /* however many there are */
#define RELAY_COST_BURST 400
#define RELAY_ACCEPTS    20 /* new vsock connections in 100 ms */

/* `dir` NULL: no sockets; `vsock_port` 0: no vsock. Where either cannot be had now, that is said once. */
struct relay *relay_new(struct agent *a, const char *dir, uint32_t vsock_port);
void relay_free(struct relay *r);
/* The session with the collector began (again) or ended: guests are told. `r` may be NULL here and below: no guests. */
void relay_uplink(struct relay *r, bool ready);
/* From the collector for a guest. */
void relay_down(struct relay *r, const struct msg_relay *m);

struct relay_stats {
	uint32_t streams;
	uint64_t up, down; /* payloads carried */
	uint64_t unsent;   /* the collector could not be reached, or its queue was full */
	uint64_t dropped;  /* the guest's queue was full, or the stream unknown */
	uint64_t limited;  /* times a guest had to wait for its rate */
	uint64_t refused;  /* vsock connections that came too fast after another one of the same guest */
	uint64_t garbage;  /* bytes that were no frames */
};
struct relay_stats relay_stats(const struct relay *r);

#endif
