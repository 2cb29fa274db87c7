/* lang: the language answers are shown in. What has no translation is shown in English. */
#ifndef BW_CLI_LANG_H
#define BW_CLI_LANG_H

#include "collector/cli/output.h"
#include "proto/base/err.h"

enum lang { LANG_EN, LANG_ZH };

/* `given` is what --lang says ("en", "zh", also "zh_CN.UTF-8"); NULL = not given: LC_ALL, LC_MESSAGES, LANG decide, the first
 * that is set, and what is not Chinese is English. -1 when --lang names a language there is not. */
int lang_choose(const char *given, enum lang *out, struct err *e);
/* A text of a document: for Chinese that of its part "zh", when there is one. Absent: "". */
const char *lang_text(const json_t *doc, const char *key, enum lang lang);
/* Before Chinese is shown: it wants UTF-8, also where the locale is not installed. */
void lang_prepare(struct out *o, enum lang lang);

#endif
