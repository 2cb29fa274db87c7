#include "collector/cli/lang.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>

/* "zh", "zh_CN.UTF-8", "zh-Hans": the part before the territory. */
static bool names_language(const char *text, const char *language)
{
	size_t n = strlen(language);
	return strncmp(text, language, n) == 0 && (!text[n] || strchr("_-.@", text[n]));
}

static enum lang from_environment(void)
{
	static const char *const NAMES[] = {"LC_ALL", "LC_MESSAGES", "LANG"};
	for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
		const char *value = getenv(NAMES[i]);
		if (value && *value)
			return names_language(value, "zh") ? LANG_ZH : LANG_EN;
	}
	return LANG_EN;
}

int lang_choose(const char *given, enum lang *out, struct err *e)
{
	*out = LANG_EN;
	if (!given)
		*out = from_environment();
	else if (names_language(given, "zh"))
		*out = LANG_ZH;
	else if (!names_language(given, "en"))
		return err_set(e, "--lang: not a language we speak: %.40s (en, zh)", given);
	return 0;
}

const char *lang_text(const json_t *doc, const char *key, enum lang lang)
{
	const char *text = lang == LANG_ZH ? doc_text(doc_get(doc, "zh"), key) : "";
	return *text ? text : doc_text(doc, key);
}

void lang_prepare(struct out *o, enum lang lang)
{
	if (lang != LANG_ZH || o->utf8)
		return;
	setlocale(LC_CTYPE, "C.UTF-8");
	o->utf8 = true;
}
