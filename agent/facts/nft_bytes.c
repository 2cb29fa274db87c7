#include "agent/facts/nft.h"

#include <stdlib.h>
#include <string.h>

/* ---- out: each struct followed by what it points to ---- */

static void encode_rule(const struct fw_rule *r, struct buf *out)
{
	buf_add(out, r, sizeof *r);
	for (size_t i = 0; i < r->match_count; i++) {
		buf_add(out, &r->matches[i], sizeof r->matches[i]);
		if (r->matches[i].value_count)
			buf_add(out, r->matches[i].values, r->matches[i].value_count * sizeof *r->matches[i].values);
	}
}

void fw_model_encode(const struct fw_model *m, struct buf *out)
{
	buf_add(out, m, sizeof *m);
	for (size_t i = 0; i < m->chain_count; i++) {
		buf_add(out, &m->chains[i], sizeof m->chains[i]);
		for (size_t k = 0; k < m->chains[i].rule_count; k++)
			encode_rule(&m->chains[i].rules[k], out);
	}
}

/* ---- in ---- */

struct cursor {
	const char *at;
	size_t left;
};

static bool take(struct cursor *c, void *out, size_t size)
{
	if (c->left < size)
		return false;
	memcpy(out, c->at, size);
	c->at += size;
	c->left -= size;
	return true;
}

static bool decode_match(struct cursor *c, struct fw_match *m)
{
	size_t size;

	m->values = NULL;
	if (!take(c, m, sizeof *m))
		return false;
	m->values = NULL;
	size = m->value_count * sizeof *m->values;
	if (c->left < size) {
		m->value_count = 0;
		return false;
	}
	if (size) {
		m->values = mem_array(m->value_count, sizeof *m->values);
		take(c, m->values, size);
	}
	return true;
}

static bool decode_rule(struct cursor *c, struct fw_rule *r)
{
	uint8_t count;

	if (!take(c, r, sizeof *r))
		return false;
	count = r->match_count;
	r->match_count = 0;
	r->matches = NULL;
	if (count > FW_MATCHES_MAX)
		return false;
	if (count)
		r->matches = mem_array(count, sizeof *r->matches);
	while (r->match_count < count)
		if (!decode_match(c, &r->matches[r->match_count++]))
			return false;
	return true;
}

static bool decode_chain(struct cursor *c, struct fw_chain *out)
{
	size_t count;

	if (!take(c, out, sizeof *out))
		return false;
	count = out->rule_count;
	out->rule_count = 0;
	out->rules = NULL;
	if (count > FW_RULES_MAX)
		return false;
	if (count)
		out->rules = mem_array(count, sizeof *out->rules);
	while (out->rule_count < count)
		if (!decode_rule(c, &out->rules[out->rule_count++]))
			return false;
	return true;
}

int fw_model_decode(const void *data, size_t len, struct fw_model *out)
{
	struct cursor c = {data, len};
	size_t count;

	memset(out, 0, sizeof *out);
	if (!take(&c, out, sizeof *out))
		return -1;
	count = out->chain_count;
	out->chain_count = 0;
	out->chains = NULL;
	if (count > FW_CHAINS_MAX)
		goto malformed;
	out->chain_cap = count;
	out->chains = mem_array(count, sizeof *out->chains);
	while (out->chain_count < count)
		if (!decode_chain(&c, &out->chains[out->chain_count++]))
			goto malformed;
	return 0;
malformed:
	fw_model_free(out);
	return -1;
}
