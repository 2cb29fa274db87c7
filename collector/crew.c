#include "collector/crew.h"

void crew_add(struct crew *c, uint32_t member)
{
	for (size_t i = 0; i < c->count; i++)
		if (c->member[i] == member)
			return;
	if (c->count < CREW_MAX)
		c->member[c->count++] = member;
}

static bool takes(const struct crew *c, uint32_t member)
{
	for (size_t i = 0; i < c->count; i++)
		if (c->member[i] == member)
			return true;
	return false;
}

void crew_load_add(struct crew_load *l, const struct crew *running)
{
	for (size_t i = 0; i < l->wanted->count; i++) {
		bool busy = takes(running, l->wanted->member[i]);
		l->all[i] += busy && l->all[i] < UINT8_MAX;
		l->automatic[i] += busy && running->automatic && l->automatic[i] < UINT8_MAX;
	}
}

bool crew_has_room(const struct crew_load *l)
{
	for (size_t i = 0; i < l->wanted->count; i++)
		if (l->all[i] >= CREW_ROUNDS_MAX || (l->wanted->automatic && l->automatic[i] >= CREW_AUTOMATIC_MAX))
			return false;
	return true;
}
