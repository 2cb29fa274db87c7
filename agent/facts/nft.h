/* nft: the ruleset over netlink, as far as it is to be had without libnftables, and a model as bytes. */
#ifndef BW_AGENT_FACTS_NFT_H
#define BW_AGENT_FACTS_NFT_H

#include "agent/facts/fw_model.h"
#include "proto/base/mem.h"

#include <libmnl/libmnl.h>

/* The number of the ruleset's generation: it grows with every change. -1 with errno (EPERM: no right). */
int nft_generation(uint32_t *out);

/* The watch saw the end of a transaction: of our own tables only, or of others too. What was read before stays good over ours. */
void nft_generation_told(uint32_t generation, bool ours);

struct nft_table_seen { /* lent for the call */
	const char *family, *name;
	bool owned; /* by a process: it goes away with it */
};
typedef void nft_table_fn(void *arg, const struct nft_table_seen *table);
int nft_tables(nft_table_fn *fn, void *arg);

struct nft_rule_seen { /* lent for the call */
	const char *family, *table;
	uint64_t handle;
	bool has_counter;
	uint64_t packets;
	const struct nlattr *exprs;
};
typedef void nft_rule_fn(void *arg, const struct nft_rule_seen *r);
int nft_rules(nft_rule_fn *fn, void *arg);
/* Matches and targets of every rule that has some. */
int nft_read_xt(struct xt_rules *out);

/* Between two processes of one program only: plain memory. Decoding still checks every length. */
void fw_model_encode(const struct fw_model *m, struct buf *out);
int fw_model_decode(const void *data, size_t len, struct fw_model *out);

#endif
