#include "agent/facts/facts.h"
#include "agent/facts/ovs.h"
#include "agent/facts/source.h"
#include "proto/base/mem.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>

static const struct source {
	uint32_t part; /* FACTS_* */
	fact_source_fn *read;
} sources[] = {
    {FACTS_FAST, fact_read_machine},
    {FACTS_FAST, fact_read_load},
    /* before the network, whose interfaces add more of them, as many as there is room for */
    {FACTS_FAST, fact_read_sysctls},
    {FACTS_FAST, fact_read_counters},
    {FACTS_FAST, fact_read_network},
    {FACTS_FAST, fact_read_devices},
    {FACTS_SOCKETS, fact_read_sockets},
    {FACTS_FAST, fact_read_ovs}, /* over what the network showed */
    {FACTS_FIREWALL, fact_read_firewall},
};

struct snapshot *facts_read(uint32_t what, char *why, size_t size)
{
	struct snapshot *s = snapshot_new();
	size_t used = 0;

	if (why && size)
		why[0] = '\0';
	s->taken = wall_now();
	for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
		struct err e = {{0}};

		if (!(what & sources[i].part) || sources[i].read(s, &e) == 0)
			continue;
		if (why && used < size)
			used += (size_t)snprintf(why + used, size - used, "%s%s", used ? "; " : "", e.text);
	}
	malloc_trim(0); /* dumps pass through big buffers */
	return s;
}

void *snapshot_grow(struct snapshot *s, void **items, size_t *count, size_t max, size_t size)
{
	char *slot;

	if (*count == max) {
		s->truncated++;
		return NULL;
	}
	if ((*count & (*count - 1)) == 0) /* full at every power of two */
		*items = mem_resize(*items, *count ? *count * 2 : 1, size);
	slot = (char *)*items + *count * size;
	memset(slot, 0, size);
	(*count)++;
	return slot;
}
