#include "agent/drops_match.h"
#include "agent/trace_event.h"

#include <string.h>

static void rounds_of(const struct packet *p, struct round_spec *spec)
{
	*spec = (struct round_spec){.id = p->probe.round, .flow_count = KIND_COUNT};
	for (uint8_t i = 0; i < KIND_COUNT; i++)
		spec->flows[i] = (struct flow){.id = i,
		                               .kind = i,
		                               .count = FLOW_PROBES_MAX,
		                               .id_base = (uint16_t)(20000 + 64 * i),
		                               .dport = 7401,
		                               .src = p->ip_src,
		                               .dst = p->ip_dst};
}

static void drop_fuzz(const uint8_t *data, size_t size)
{
	static struct round_spec spec;
	struct drop_event event = {0};
	struct drop_nameless nameless = {{{0}}};
	struct flow_drop drop;
	struct packet p;

	memcpy(&event, data, size < sizeof event ? size : sizeof event);
	if (drop_parse(&event, &p))
		return;
	rounds_of(&p, &spec);
	if (drop_match(&event, &p, &spec, data[0] & 1, &nameless, &drop) == 0 && (drop.flow >= KIND_COUNT || drop.seqs == 0))
		__builtin_trap();
	drop_is_noise(&p, &drop);
}

/* The first byte says what the others are: an event of our program in the kernel, or a message of nftables' tracing. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_Alignas(8) static uint8_t aligned[4096];
	struct trace_event ev;

	if (size < 2 || size > sizeof aligned)
		return 0;
	memcpy(aligned, data + 2, size - 2);
	if (data[0] & 1)
		drop_fuzz(aligned, size - 2);
	else if (trace_event_parse(data[1], aligned, size - 2, &ev) == 0 && strlen(ev.table) >= sizeof ev.table)
		__builtin_trap();
	return 0;
}
