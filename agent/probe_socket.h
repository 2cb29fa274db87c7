/* probe_socket: what all probe sockets have in common: options, sending from a chosen address, receiving with all that the
 * kernel tells beside the data (arrival address and interface, TTL, drops, VLAN tag, error queue). */
#ifndef BW_AGENT_PROBE_SOCKET_H
#define BW_AGENT_PROBE_SOCKET_H

#include "proto/base/addr.h"
#include "proto/model/limits.h"

#include <linux/filter.h>
#include <stddef.h>

#define RX_BYTES 512 /* more than any header we look for */

struct rx {
	size_t len;     /* of data, at most RX_BYTES */
	struct ip from; /* sender; error queue: where the packet in question went */
	uint16_t from_port;
	struct ip to; /* the address it was sent to */
	uint32_t ifindex;
	int ttl;
	uint32_t age_us; /* since the kernel had it, where asked for (sock_want_details) */
	uint32_t drops;  /* SO_RXQ_OVFL: the socket's count so far */
	bool tagged;     /* carried a VLAN tag */
	uint8_t pkttype;
	bool is_error; /* from the error queue */
	bool is_icmp;  /* ... an ICMP error; else the kernel's own */
	uint8_t type, code;
	uint32_t info; /* MTU */
	int error;     /* errno */
	struct ip offender;
	uint8_t data[RX_BYTES];
};

/* Non-blocking, close-on-exec. -1 and errno. */
int sock_open(int family /* 4, 6 */, int type, int protocol);
/* The options of every probe socket: errors are queued, DF without the cached path MTU, receive drops counted. */
void sock_prepare(int fd, int family);
void sock_may_fragment(int fd, int family); /* instead: what is too large leaves in fragments */
void sock_set_ttl(int fd, int family, uint8_t ttl);
/* What arrives while we get no CPU for a second waits: the default holds some 250 packets only. */
void sock_want_room(int fd);
/* Also tell the arrival address, interface and TTL; with room. */
void sock_want_details(int fd, int family);
int sock_bind_device(int fd, const char *ifname);
int sock_filter(int fd, const struct sock_filter *code, size_t count);
/* Binds; when the address has vanished, to any address. 0 or errno. */
int sock_bind_source(int fd, struct ip src, uint16_t port, uint32_t scope);

struct tx {
	struct ip src, dst; /* src.family 0: the kernel chooses */
	uint16_t dport;
	uint32_t ifindex; /* 0: by route */
	bool pin;         /* name src (and ifindex) beside the packet: for sockets not bound to it */
	const void *head;
	size_t head_len, pad; /* zeros behind the head */
};
int sock_send(int fd, const struct tx *t); /* 0 or errno */
/* Up to RX_BATCH datagrams that wait, in one go; with `errors` the error queue is read once there is no data. Returns how many:
 * fewer than RX_BATCH means that no more data was there. */
#define RX_BATCH   8
#define RX_BATCHES 16 /* per turn and socket; then others have theirs */
int sock_read(int fd, bool errors, struct rx *out);
int sock_read_error(int fd, struct rx *out); /* 1 = got one */
/* Of an interface, remembered for a second: no question to the kernel per probe. `fresh` asks anew. 0 or errno. */
struct device_facts {
	uint32_t index, mtu;
	struct mac mac;
};
int device_look(const char *ifname, bool fresh, struct device_facts *out);
void devices_forget(void);                 /* something changed: ask anew */
uint32_t device_index(const char *ifname); /* 0 = none */
uint32_t device_mtu(const char *ifname);   /* 0 = not known */

#endif
