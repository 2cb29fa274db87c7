/* digest: SHA-256 of bytes that are all there. */
#ifndef BW_DIGEST_H
#define BW_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define DIGEST_LEN      32
#define DIGEST_TEXT_MAX (2 * DIGEST_LEN + 1)

void digest(const void *data, size_t len, uint8_t out[static DIGEST_LEN]);
const char *digest_text(const void *data, size_t len, char out[static DIGEST_TEXT_MAX]); /* in hexadecimal */

#endif
