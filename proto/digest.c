#include "proto/digest.h"

#include <sodium/crypto_hash_sha256.h>
#include <stdio.h>

_Static_assert(DIGEST_LEN == crypto_hash_sha256_BYTES, "as long as SHA-256 is");

void digest(const void *data, size_t len, uint8_t out[static DIGEST_LEN]) { crypto_hash_sha256(out, data, len); }

const char *digest_text(const void *data, size_t len, char out[static DIGEST_TEXT_MAX])
{
	uint8_t bytes[DIGEST_LEN];
	digest(data, len, bytes);
	for (size_t i = 0; i < DIGEST_LEN; i++)
		snprintf(out + 2 * i, 3, "%02x", bytes[i]);
	return out;
}
