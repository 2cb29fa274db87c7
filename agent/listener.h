/* listener: a libpcap handle that hears the frames of a round at one interface, those that go one way only. The only file pair
 * that meets libpcap.
 *
 * libpcap does not say of a frame which way it went, hence a handle for each way. Its filter and direction decide; the kernel is
 * told the direction as well, so that what goes the other way takes no room in the buffer and is no frame lost. A tag that the
 * kernel took out of a frame stands in it again. */
#ifndef BW_AGENT_LISTENER_H
#define BW_AGENT_LISTENER_H

#include "proto/base/mono.h"
#include "proto/model/observation.h"

#include <linux/filter.h>

#define LISTENER_SNAP 320 /* bytes of a frame: headers, options, a tunnel around them, and the probe header */

enum listener_state {
	LISTENER_OFF,    /* could not be opened, or was lost: `why` */
	LISTENER_ASLEEP, /* the interface is down: nothing passes it, and nobody can listen */
	LISTENER_ON,
};

struct listener {
	const char *ifname; /* asked for ... */
	enum frame_way way;
	enum listener_state state; /* ... and what became of it */
	char why[REASON_MAX_LEN];
	struct pcap *pcap;
	uint32_t dropped_before; /* while there was no filter yet */
};

struct listener_frame {
	const uint8_t *bytes; /* until the next call */
	size_t len;
	uint32_t length; /* on the wire */
	struct wall at;
};

/* Opens all of them, together: the kernel lets each wait some 10 ms, but all at once. */
void listeners_open(struct listener *const *all, size_t count, const struct sock_filter *filter, size_t filter_len);
/* Closes them in the background, where the kernel lets each wait, too. */
void listeners_close(struct listener *const *all, size_t count);
int listener_fd(const struct listener *l); /* to be polled for reading */
/* 1: a frame; 0: none now; -1: lost, l->why. One that goes down and up, or gets another name, is not lost. */
int listener_next(struct listener *l, struct listener_frame *out);
bool listener_overslept(const struct listener *l); /* it was asleep, and its interface is up now */
uint32_t listener_dropped(struct listener *l);     /* frames that found no room in the buffer */

#endif
