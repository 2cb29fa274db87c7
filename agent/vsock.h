/* vsock: the few calls that AF_VSOCK needs: connecting from a guest to its host, and listening on the host. The only file pair
 * that meets linux/vm_sockets.h. Everything is non-blocking. */
#ifndef BW_AGENT_VSOCK_H
#define BW_AGENT_VSOCK_H

#include "proto/base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define VSOCK_PREFIX "vsock:"

struct vsock_addr {
	uint32_t cid, port;
};

/* "vsock:PORT" (the host's) or "vsock:CID:PORT". */
int vsock_parse(const char *text, struct vsock_addr *out, struct err *e);
/* A socket that connects, or is connected already: writable when it is decided, then ask vsock_result. -1: the reason in plain
 * words. */
int vsock_connect(struct vsock_addr to, struct err *e);
int vsock_result(int fd, struct err *e);
/* Takes connections of any guest. */
int vsock_listen(uint32_t port, struct err *e);
/* The next one and whose it is; -1 when there is none. */
int vsock_accept(int listen_fd, uint32_t *cid);

#endif
