#include "agent/facts/facts.h"
#include "agent/facts/ovs.h"
#include "agent/facts/source.h"
#include "proto/base/mem.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>

#define TRIES    4   /* where it changes faster than it can be read ... */
#define TRIES_MS 100 /* ... and none begins later */

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
    {FACTS_FAST, fact_read_queues},
    {FACTS_FAST, fact_read_xfrm},
    {FACTS_SOCKETS, fact_read_sockets},
    {FACTS_FAST, fact_read_ovs}, /* over what the network showed */
    {FACTS_FAST, fact_read_platform},
    {FACTS_FIREWALL, fact_read_firewall},
};

/* True: something of it changed while it was being read, and is worth another look. */
static bool sources_read(struct snapshot *s, uint32_t what, char *why, size_t size)
{
	size_t used = 0;
	bool disturbed = false;

	if (size)
		why[0] = '\0';
	s->taken = wall_now();
	for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
		struct err e = {{0}};
		int result = what & sources[i].part ? sources[i].read(s, &e) : 0;

		disturbed |= result == FACT_DISTURBED;
		s->truncated += result == FACT_DISTURBED;
		if (result && used < size)
			used += (size_t)snprintf(why + used, size - used, "%s%s", used ? "; " : "", e.text);
	}
	return disturbed;
}

struct snapshot *facts_read(uint32_t what, char *why, size_t size)
{
	struct snapshot *s = snapshot_new();
	struct mono end = mono_add_ms(mono_now(), TRIES_MS);

	for (int tries = 1; sources_read(s, what, why, why ? size : 0) && tries < TRIES; tries++) {
		if (mono_reached(end, mono_now()))
			break;
		snapshot_free(s);
		s = snapshot_new();
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
