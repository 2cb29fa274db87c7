/* words: the fixed words of what is shown, in the reader's language. English is the key, and what stands where there is no other.
 */
#ifndef BW_CLI_WORDS_H
#define BW_CLI_WORDS_H

#include "collector/cli/output.h"
#include "proto/model/kind.h"

const char *say(const struct out *o, const char *english);
/* As kinds_text. */
const char *say_kinds(const struct out *o, kind_mask kinds, char *out, size_t size);
/* "title" or "explanation" of a part of a document, in the reader's language when it is there. */
const char *say_text(const struct out *o, const json_t *part, const char *key);

#endif
