/* prober: the sockets of the probe plane: sends probes (of the watch and of rounds), answers the other side's, and reads
 * what comes back, errors included. One kind per file behind it (probe_arp.c, probe_nd.c, probe_icmp.c, probe_udp.c,
 * probe_tcp.c), in a table of operations. Without CAP_NET_RAW it works with what is left: udp, tcp, ping sockets. */
#ifndef BW_AGENT_PROBER_H
#define BW_AGENT_PROBER_H

#include "agent/exec.h"
#include "agent/watch.h"
#include "proto/base/err.h"
#include "proto/loop.h"

struct prober;

struct prober_stats {
	uint32_t rejected /* bad header or MAC */, limited /* withheld by a rate limit */, socket_drops;
};

/* `port`: UDP and TCP probe port (0 = any free one, see prober_port). Needs no rights to succeed; missing ones are named by
 * prober_rights. */
struct prober *prober_new(struct loop *l, struct watch *w, uint16_t port, struct err *e);
void prober_free(struct prober *p);
uint16_t prober_port(const struct prober *p);
uint32_t prober_rights(const struct prober *p, char *why, size_t size); /* of RIGHT_RAW, RIGHT_ECHO */
void prober_plan_changed(struct prober *p);                             /* after watch_plan: listen where the endpoints are */
/* A round's flows become known to the responder and the sender; the exec stays the caller's and outlives it here. */
int prober_round_add(struct prober *p, struct exec *x, struct err *e);
void prober_round_remove(struct prober *p, struct exec *x);
void prober_round_kick(struct prober *p, struct exec *x); /* after exec_stage */
/* Called when a stage of some round is over. */
typedef void prober_stage_fn(void *arg, struct exec *x, enum stage stage);
void prober_on_stage(struct prober *p, prober_stage_fn *fn, void *arg);
void prober_drain(struct prober *p); /* takes what waits on the sockets, before a result is made of it */
struct prober_stats prober_stats(const struct prober *p);

#endif
