/* ovs_rpc: JSON-RPC (RFC 7047 section 4) with a daemon of Open vSwitch over its unix socket. Nothing waits beyond its deadline,
 * and what the other end sends is bounded. Not for what the messages mean. */
#ifndef BW_AGENT_FACTS_OVS_RPC_H
#define BW_AGENT_FACTS_OVS_RPC_H

#include "proto/base/err.h"
#include "proto/base/mem.h"
#include "proto/base/mono.h"

#include <jansson.h>

#define OVS_MESSAGE_MAX (4 << 20)

/* Finds where a JSON value ends in a stream of them, byte by byte. */
struct json_scan {
	uint32_t depth;
	bool in_text, escaped, begun;
};
/* Bytes of `data` that belong to the value: `len` + 1 = it goes on, 0 = that is no JSON object or array. */
size_t json_scan(struct json_scan *s, const char *data, size_t len);

struct ovs_rpc {
	bool open;
	int fd;
	struct buf in;
	size_t scanned; /* bytes of `in` */
	struct json_scan scan;
};

int ovs_rpc_open(struct ovs_rpc *r, const char *path, struct err *e); /* errno: ENOENT = there is none */
void ovs_rpc_close(struct ovs_rpc *r);
/* A request `{"id":ID,"method":METHOD,"params":PARAMS}`; takes `params`. */
int ovs_rpc_ask(struct ovs_rpc *r, int id, const char *method, json_t *params, struct mono deadline, struct err *e);
/* The next message, owned by the caller; requests of the other end ("echo") are answered on the way. NULL when there is none by
 * the deadline (*e empty), or when the connection is of no use any more (*e says why, and it is closed). */
json_t *ovs_rpc_next(struct ovs_rpc *r, struct mono deadline, struct err *e);

#endif
