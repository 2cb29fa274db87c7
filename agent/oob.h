/* oob: the guest's end of the out-of-band stream to its host's agent, and the sealed session with the collector over it.
 * A path like the direct connection: it is ready or not, takes messages, delivers messages. */
#ifndef BW_AGENT_OOB_H
#define BW_AGENT_OOB_H

#include "proto/base/err.h"
#include "proto/keys.h"
#include "proto/loop.h"

struct oob;

enum oob_event {
	OOB_READY,   /* the collector answered: messages may be sent */
	OOB_LOST,    /* until the next OOB_READY nothing can be */
	OOB_REFUSED, /* somebody on the way says that the collector does not know our key */
	OOB_GAP,     /* something of what the collector sent got lost on the way */
};
typedef void oob_event_fn(void *arg, enum oob_event ev);
typedef void oob_message_fn(void *arg, const void *data, size_t len);

/* `path`: "vsock:PORT" or "vsock:CID:PORT" is connected to; a character device (virtio-serial) is opened, also one below /dev that
 * appears only later; else a unix socket is made there, for the host's agent to connect to. Nothing is said on it before
 * oob_start. NULL only when what is asked for can never be. */
struct oob *oob_new(struct loop *l, const char *path, struct err *e);
/* Opens sessions with this key from now on (again: with another key). The callbacks may be called from the loop only. */
void oob_start(struct oob *o, const struct keypair *own, const uint8_t collector[static KEY_LEN], oob_message_fn *message,
               oob_event_fn *event, void *arg);
/* Gives up the session, e.g. because the collector fell silent on it, and opens another after a pause. Calls no event. */
void oob_restart(struct oob *o);
/* -1 when there is no session, or too much is queued already. */
int oob_send(struct oob *o, const void *data, size_t len);
/* Why there is no stream, for people; "" = there is one, or it is for the host's agent to connect. */
const char *oob_trouble(const struct oob *o);
void oob_free(struct oob *o);

#endif
