/* dropped: PURE. What a kernel's word for a drop, or a traced rule, is worth. A drop is told for every copy of a packet and for
 * many packets that did their duty: only what was not seen any further counts, and not every word says why it was lost. */
#ifndef BW_COLLECTOR_DROPPED_H
#define BW_COLLECTOR_DROPPED_H

#include "proto/model/dossier.h"

enum drop_weight {
	DROP_NOISE,     /* said of packets that arrived, or of copies that nobody wanted */
	DROP_AFTERMATH, /* says that the packet waited for something that failed elsewhere: a neighbour */
	DROP_COPY,      /* true of a packet for nobody here; also of every flooded copy */
	DROP_VAGUE,     /* it died there; the kernel has no word for why */
	DROP_NAMED
};
enum drop_weight dropped_weight(const char *reason, const char *place);

enum drop_class {
	DROP_BY_OTHER,
	DROP_BY_FILTER,
	DROP_BY_RPFILTER,
	DROP_BY_ROUTE,     /* no route, or one that refuses */
	DROP_BY_ADDRESS,   /* not an address of this machine, and it does not forward */
	DROP_BY_NEIGHBOUR, /* the next hop's hardware address is not known */
	DROP_BY_OTHERHOST, /* the frame is addressed to another machine */
	DROP_BY_CHECKSUM,
	DROP_BY_SIZE,
	DROP_BY_SOCKET, /* nothing listens */
	DROP_BY_RING,   /* the queue of a virtual interface is full */
	DROP_BY_BUFFER, /* of a socket, or the backlog of a CPU */
	DROP_BY_QUEUE,  /* discipline */
	DROP_BY_PORT,   /* a bridge port does not forward */
	DROP_BY_FDB,    /* a bridge has no port for it */
	DROP_BY_IPV6_OFF,
	DROP_BY_PROGRAM, /* tc, XDP, BPF */
	DROP_BY_TUNNEL,
	DROP_CLASSES
};
enum drop_class dropped_class(const char *reason, const char *place);
const char *dropped_class_words(enum drop_class c); /* "a filter"; for sentences */

/* Of the packets in this row those that did not get to the end of their way. */
seqset dropped_for_good(const struct dossier *d, const struct flow *f, uint8_t part, seqset seqs);

/* The rule in its machine's facts; NULL = the policy, or not there. *chain: where it stands, NULL = not there either. */
const struct fw_rule *traced_rule(const struct dossier *d, int party, const struct flow_rule *r, const struct fw_chain **chain);
/* "inet filter input handle 7: tcp dport 22 drop", "inet filter input policy drop" */
const char *traced_text(const struct dossier *d, int party, const struct flow_rule *r, char *out, size_t size);
bool traced_stops(const struct flow_rule *r);

#endif
