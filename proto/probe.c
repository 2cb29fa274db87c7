#include "proto/probe.h"

#include <assert.h>
#include <sodium/crypto_shorthash.h>
#include <sodium/utils.h>
#include <string.h>

#define MAC_OFFSET (PROBE_HEADER_LEN - 8)
#define FLAG       0x80

static_assert(crypto_shorthash_BYTES == 8 && crypto_shorthash_KEYBYTES == PAIR_KEY_LEN, "SipHash-2-4");

static void put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static uint32_t get32(const uint8_t *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }

static uint8_t with_flag(uint8_t v, bool flag) { return (uint8_t)((v & ~FLAG) | (flag ? FLAG : 0)); }

void probe_write(const struct probe_header *h, const uint8_t key[static PAIR_KEY_LEN], uint8_t out[static PROBE_HEADER_LEN])
{
	out[0] = 'B';
	out[1] = 'W';
	out[2] = PROBE_VERSION;
	out[3] = with_flag(h->kind, h->answer);
	put32(out + 4, h->pair);
	put32(out + 8, h->epoch);
	put32(out + 12, (uint32_t)(h->round >> 32));
	put32(out + 16, (uint32_t)h->round);
	out[20] = h->flow;
	out[21] = h->seq;
	out[22] = with_flag(h->dir, h->wants_answer);
	out[23] = 0;
	put32(out + 24, h->time_us);
	crypto_shorthash(out + MAC_OFFSET, out, MAC_OFFSET, key);
}

int probe_read(const void *data, size_t len, struct probe_header *out)
{
	const uint8_t *p = data;

	if (len < PROBE_HEADER_LEN || p[0] != 'B' || p[1] != 'W' || p[2] != PROBE_VERSION)
		return -1;
	if ((p[3] & ~FLAG) >= KIND_COUNT || (p[22] & ~FLAG) > 1 || p[21] >= FLOW_PROBES_MAX)
		return -1;
	*out = (struct probe_header){
	    .kind = p[3] & ~FLAG & 0xff,
	    .answer = p[3] & FLAG,
	    .pair = get32(p + 4),
	    .epoch = get32(p + 8),
	    .round = (uint64_t)get32(p + 12) << 32 | get32(p + 16),
	    .flow = p[20],
	    .seq = p[21],
	    .dir = p[22] & ~FLAG & 0xff,
	    .wants_answer = p[22] & FLAG,
	    .time_us = get32(p + 24),
	};
	return 0;
}

bool probe_proven(const void *data, const uint8_t key[static PAIR_KEY_LEN])
{
	uint8_t mac[crypto_shorthash_BYTES];

	crypto_shorthash(mac, data, MAC_OFFSET, key);
	return sodium_memcmp(mac, (const uint8_t *)data + MAC_OFFSET, sizeof mac) == 0;
}
