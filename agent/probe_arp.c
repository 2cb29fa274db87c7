/* probe_arp: ARP requests with the probe header as trailer behind the 28 bytes of ARP. Every other one in the watch, and the
 * first of a round, carries sender address 0.0.0.0: it teaches the target nothing (RFC 5227), so that what it answers is
 * not owed to our asking ("cold"). */
#include "agent/probe_ops.h"

#include <linux/if_ether.h>
#include <string.h>

#define ARP_LEN     28
#define TRAILER_AT  (ETH_HLEN + ARP_LEN)
#define FRAME_LEN   (TRAILER_AT + PROBE_HEADER_LEN)
#define ARP_REQUEST 1
#define ARP_REPLY   2

/* Offsets in the frame. */
enum { ARP_OP = 21, ARP_SHA = 22, ARP_SPA = 28, ARP_THA = 32, ARP_TPA = 38 };

static bool is_cold(const struct shot *s) { return !s->src.family || (s->id.x ? s->id.seq == 0 : s->id.seq % 2 == 0); }

static int arp_send(struct prober *p, const struct shot *s)
{
	static const uint8_t fixed[] = {0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4, 0, ARP_REQUEST};
	uint8_t frame[FRAME_LEN] = {0};
	struct mac own;
	struct question q = {.id = s->id, .target = s->dst, .expect = s->dst_mac, .asker = {.family = 4}};
	int error = frames_mac(p, s->ifname, &own, &q.ifindex);
	if (error)
		return error;
	if (s->unicast)
		memcpy(frame, s->dst_mac.b, ETH_ALEN);
	else
		memset(frame, 0xff, ETH_ALEN);
	memcpy(frame + ETH_ALEN, own.b, ETH_ALEN);
	memcpy(frame + 12, fixed, sizeof(fixed));
	memcpy(frame + ARP_SHA, own.b, ETH_ALEN);
	if (!is_cold(s))
		q.asker = s->src;
	memcpy(frame + ARP_SPA, q.asker.b, 4);
	memcpy(frame + ARP_TPA, s->dst.b, 4);
	memcpy(frame + TRAILER_AT, s->header, PROBE_HEADER_LEN);
	questions_add(p, &q);
	return frames_send(p, s->ifname, frame, sizeof(frame));
}

static void arp_request(struct prober *p, const struct rx *rx)
{
	struct proof f;
	if (!prober_prove(p, rx->data + TRAILER_AT, rx->len - TRAILER_AT, PROOF_PROBE, PROTO_NEIGH, 4, &f))
		return; /* other people's ARP, or ours seen by a third */
	prober_arrived(p, &f, ip_from_bytes(4, rx->data + ARP_SPA), 0);
}

static void arp_reply(struct prober *p, uint32_t ifindex, const struct rx *rx)
{
	struct mac from;
	memcpy(from.b, rx->data + ARP_SHA, sizeof(from.b));
	questions_answer(p, ifindex, ip_from_bytes(4, rx->data + ARP_SPA), ip_from_bytes(4, rx->data + ARP_TPA), from);
}

static void arp_frame(struct prober *p, uint32_t ifindex, const struct rx *rx)
{
	if (rx->len < TRAILER_AT)
		return;
	if (rx->data[ARP_OP] == ARP_REQUEST)
		arp_request(p, rx);
	else if (rx->data[ARP_OP] == ARP_REPLY)
		arp_reply(p, ifindex, rx);
}

static void arp_plan_changed(struct prober *p) { frames_listen_plan(p, FRAME_ARP, arp_frame); }
static void arp_round_add(struct prober *p, struct round_slot *r) { frames_listen_round(p, r, FRAME_ARP, arp_frame); }

const struct probe_ops probe_arp_ops = {
    .plan_changed = arp_plan_changed,
    .round_add = arp_round_add,
    .round_remove = NULL,
    .send = arp_send,
};
