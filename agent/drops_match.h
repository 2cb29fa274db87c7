/* drops_match: which packet of a round is it that the kernel dropped? An event's bytes in, a row of the result out. */
#ifndef BW_AGENT_DROPS_MATCH_H
#define BW_AGENT_DROPS_MATCH_H

#include "agent/drops_event.h"
#include "agent/packet.h"

#define DROP_PARTS 3

/* Packets that do not say which one they are, counted by flow and part. */
struct drop_nameless {
	uint8_t next[ROUND_FLOWS_MAX][DROP_PARTS];
};

int drop_parse(const struct drop_event *event, struct packet *out); /* -1: not one to care for */
/* `wholly`: not when only NAT could explain it. Fills all but the reason; -1 = none of this round. */
int drop_match(const struct drop_event *event, const struct packet *p, const struct round_spec *spec, bool wholly,
               struct drop_nameless *nameless, struct flow_drop *out);
/* Nothing was lost: a socket closed with something unread, or raw sockets got what the kernel itself had no use for. */
bool drop_is_noise(const struct packet *p, const struct flow_drop *drop);

#endif
