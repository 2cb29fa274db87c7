#include "agent/words.h"

#include <stddef.h>

static bool is_kept(const struct word *said)
{
	if (said->from.family == 4)
		return (said->type == 3 && (said->code < 2 || said->code > 4)) || said->type == 11;
	return said->from.family == 6 && ((said->type == 1 && said->code != 4) || said->type == 3);
}

static bool is_of(const struct word *said, struct ip dst, uint8_t proto)
{
	return said->proto == proto && said->dst.family && ip_equal(said->dst, dst);
}

void words_note(struct words *w, const struct word *said)
{
	struct word *place = &w->of[0];
	if (!said->dst.family || !is_kept(said))
		return;
	for (size_t i = 0; i < WORDS_MAX; i++) {
		struct word *old = &w->of[i];
		if (is_of(old, said->dst, said->proto)) {
			place = old;
			break;
		}
		if (mono_before(old->at, place->at))
			place = old;
	}
	*place = *said;
}

const struct word *words_find(const struct words *w, struct ip dst, uint8_t proto, struct mono now)
{
	for (size_t i = 0; i < WORDS_MAX; i++) {
		const struct word *said = &w->of[i];
		if (is_of(said, dst, proto) && mono_us_since(said->at, now) <= WORD_LASTS_MS * 1000LL)
			return said;
	}
	return NULL;
}

void words_forget(struct words *w, struct ip dst, uint8_t proto)
{
	for (size_t i = 0; i < WORDS_MAX; i++) {
		if (is_of(&w->of[i], dst, proto))
			w->of[i] = (struct word){0};
	}
}
