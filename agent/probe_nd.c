/* probe_nd: neighbour solicitations (RFC 4861) whose Nonce option (RFC 3971 section 5.3.2) holds the probe header. */
#include "agent/probe_ops.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <string.h>

#define NS           135
#define NA           136
#define OPTION_SLLA  1
#define OPTION_TLLA  2
#define OPTION_NONCE 14
#define NONCE_LEN    40 /* type, length, header, padded to units of 8 bytes */
#define ICMP_AT      (ETH_HLEN + 40)
#define TARGET_AT    (ICMP_AT + 8)
#define OPTIONS_AT   (ICMP_AT + 24)
#define FRAME_LEN    (OPTIONS_AT + 8 + NONCE_LEN)
#define SOURCE_AT    (ETH_HLEN + 8)
#define DEST_AT      (ETH_HLEN + 24)

static uint16_t checksum(const uint8_t *frame, size_t len)
{
	uint32_t sum = IPPROTO_ICMPV6 + (uint32_t)len;
	for (size_t i = SOURCE_AT; i < ICMP_AT + len; i += 2) /* both addresses and the message; len is even */
		sum += (uint32_t)frame[i] << 8 | frame[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* To the target itself (RFC 4861 section 7.3.3), or to its solicited-node multicast group (RFC 4291 section 2.7.1). */
static void write_target(uint8_t *frame, const struct shot *s)
{
	static const uint8_t group[13] = {0xff, 0x02, [11] = 1, [12] = 0xff};
	if (s->unicast) {
		memcpy(frame, s->dst_mac.b, ETH_ALEN);
		memcpy(frame + DEST_AT, s->dst.b, 16);
		return;
	}
	frame[0] = frame[1] = 0x33;
	frame[2] = 0xff;
	memcpy(frame + 3, s->dst.b + 13, 3);
	memcpy(frame + DEST_AT, group, sizeof(group));
	memcpy(frame + DEST_AT + 13, s->dst.b + 13, 3);
}

static void write_head(uint8_t *frame, const struct shot *s, struct mac own)
{
	const size_t len = FRAME_LEN - ICMP_AT;
	write_target(frame, s);
	memcpy(frame + ETH_ALEN, own.b, ETH_ALEN);
	frame[12] = 0x86;
	frame[13] = 0xdd;
	frame[14] = 0x60;
	frame[19] = (uint8_t)len;
	frame[20] = IPPROTO_ICMPV6;
	frame[21] = 255;
	memcpy(frame + SOURCE_AT, s->src.b, 16);
}

static int nd_send(struct prober *p, const struct shot *s)
{
	uint8_t frame[FRAME_LEN] = {0};
	struct mac own;
	struct question q = {.id = s->id, .target = s->dst, .expect = s->dst_mac, .asker = s->src};
	int error = s->src.family ? frames_mac(p, s->ifname, &own, &q.ifindex) : EADDRNOTAVAIL;
	if (error)
		return error;
	write_head(frame, s, own);
	frame[ICMP_AT] = NS;
	memcpy(frame + TARGET_AT, s->dst.b, 16);
	frame[OPTIONS_AT] = OPTION_SLLA;
	frame[OPTIONS_AT + 1] = 1;
	memcpy(frame + OPTIONS_AT + 2, own.b, ETH_ALEN);
	frame[OPTIONS_AT + 8] = OPTION_NONCE;
	frame[OPTIONS_AT + 9] = NONCE_LEN / 8;
	memcpy(frame + OPTIONS_AT + 10, s->header, PROBE_HEADER_LEN);
	uint16_t sum = checksum(frame, FRAME_LEN - ICMP_AT);
	frame[ICMP_AT + 2] = (uint8_t)(sum >> 8);
	frame[ICMP_AT + 3] = (uint8_t)sum;
	questions_add(p, &q);
	return frames_send(p, s->ifname, frame, sizeof(frame));
}

/* An option's body, NULL when it is absent or malformed (length zero: RFC 4861 section 4.6). */
static const uint8_t *find_option(const struct rx *rx, uint8_t type, size_t *len)
{
	for (size_t at = OPTIONS_AT; at + 8 <= rx->len;) {
		size_t size = 8 * (size_t)rx->data[at + 1];
		if (size == 0 || at + size > rx->len)
			return NULL;
		if (rx->data[at] == type) {
			*len = size - 2;
			return rx->data + at + 2;
		}
		at += size;
	}
	return NULL;
}

static void nd_solicited(struct prober *p, const struct rx *rx)
{
	size_t len = 0;
	const uint8_t *nonce = find_option(rx, OPTION_NONCE, &len);
	struct proof f;
	if (nonce && prober_prove(p, nonce, len, PROOF_PROBE, PROTO_NEIGH, 6, &f))
		prober_arrived(p, &f, ip_from_bytes(6, rx->data + SOURCE_AT), rx->data[ETH_HLEN + 7]);
}

static void nd_advertised(struct prober *p, uint32_t ifindex, const struct rx *rx)
{
	size_t len = 0;
	const uint8_t *lladdr = find_option(rx, OPTION_TLLA, &len);
	struct mac from;
	memcpy(from.b, lladdr && len >= ETH_ALEN ? lladdr : rx->data + ETH_ALEN, sizeof(from.b));
	questions_answer(p, ifindex, ip_from_bytes(6, rx->data + TARGET_AT), ip_from_bytes(6, rx->data + DEST_AT), from);
}

static void nd_frame(struct prober *p, uint32_t ifindex, const struct rx *rx)
{
	if (rx->len < OPTIONS_AT)
		return;
	if (rx->data[ICMP_AT] == NS)
		nd_solicited(p, rx);
	else if (rx->data[ICMP_AT] == NA)
		nd_advertised(p, ifindex, rx);
}

static void nd_plan_changed(struct prober *p) { frames_listen_plan(p, FRAME_IP6, nd_frame); }
static void nd_round_add(struct prober *p, struct round_slot *r) { frames_listen_round(p, r, FRAME_IP6, nd_frame); }

const struct probe_ops probe_nd_ops = {
    .plan_changed = nd_plan_changed,
    .round_add = nd_round_add,
    .send = nd_send,
};
