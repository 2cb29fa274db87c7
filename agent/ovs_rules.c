#include "agent/ovs_rules.h"

#include "agent/facts/ovs.h"
#include "agent/ovs_flow.h"
#include "proto/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASKED_MAX (2 * ROUND_FLOWS_MAX) /* a probe and an answer of each flow */

struct asked {
	struct ovs_packet packet;
	seqset lost;
	const char *bridge;
	char text[OVS_FLOW_MAX];
};

struct asking {
	struct exec *exec;
	const struct round_spec *spec;
	const struct snapshot *snapshot;
	struct round_result *result;
	size_t count;
	struct asked asked[ASKED_MAX];
};

static bool link_is_ovs(const struct link *l) { return l && strcmp(l->kind, "ovs-bridge") == 0; }

static bool any_ovs(const struct snapshot *s)
{
	for (size_t i = 0; i < s->link_count; i++)
		if (link_is_ovs(&s->links[i]))
			return true;
	return false;
}

/* The link where a point stands, if that is a port of an OVS bridge, or the bridge's own device. */
static const struct link *point_port(const struct asking *a, uint8_t point)
{
	const struct link *l = NULL;

	for (size_t i = 0; i < a->spec->point_count; i++)
		if (a->spec->points[i].id == point)
			l = snapshot_link_named(a->snapshot, a->spec->points[i].ifname);
	return l && (link_is_ovs(l) || link_is_ovs(snapshot_link(a->snapshot, l->master))) ? l : NULL;
}

static seqset seen_of(const struct point_seen *p, enum flow_part part) { return part == PART_PROBE ? p->probes : p->answers; }
static struct mac src_of(const struct point_seen *p, enum flow_part part)
{
	return part == PART_PROBE ? p->probe_src : p->answer_src;
}
static struct mac dst_of(const struct point_seen *p, enum flow_part part)
{
	return part == PART_PROBE ? p->probe_dst : p->answer_dst;
}

/* Does the machine with that MAC send into the switch by this device? By what was learned; of the host itself, by its own address.
 * Patch ports stand between two bridges of the switch, so only devices of the kernel count. 0: not known. */
static uint32_t entrance_of(const struct snapshot *s, struct mac src)
{
	for (size_t i = 0; i < s->link_count; i++)
		if (link_is_ovs(&s->links[i]) && mac_equal(s->links[i].mac, src))
			return s->links[i].index;
	for (size_t i = 0; i < s->fdb_count; i++) {
		const struct fdb *f = &s->fdbs[i];
		const struct link *port = snapshot_link(s, f->port);

		if (mac_equal(f->mac, src) && port && link_is_ovs(snapshot_link(s, f->bridge)) && strcmp(port->kind, "ovs-patch"))
			return f->port;
	}
	return 0;
}

/* Sequences of this part of the flow that other ports of the switch saw. */
static seqset seen_elsewhere(const struct asking *a, const struct point_seen *in, enum flow_part part)
{
	seqset all = 0;

	for (size_t i = 0; i < a->result->seen_count; i++) {
		const struct point_seen *p = &a->result->seen[i];

		if (p->flow == in->flow && p->point != in->point && point_port(a, p->point))
			all |= seen_of(p, part);
	}
	return all;
}

static uint8_t lowest(seqset s)
{
	uint8_t i = 0;

	while (!(s >> i & 1))
		i++;
	return i;
}

static void consider(struct asking *a, const struct point_seen *in, enum flow_part part)
{
	const struct link *port = point_port(a, in->point);
	seqset elsewhere = port ? seen_elsewhere(a, in, part) : 0, lost = port ? seen_of(in, part) & ~elsewhere : 0;
	uint32_t entrance = lost ? entrance_of(a->snapshot, src_of(in, part)) : 0;
	struct asked *q = &a->asked[a->count];

	if (!lost || a->count == ASKED_MAX || (entrance ? entrance != port->index : elsewhere != 0))
		return;
	*q = (struct asked){.lost = lost};
	q->packet = (struct ovs_packet){.flow = &a->spec->flows[in->flow],
	                                .part = part,
	                                .seq = lowest(lost),
	                                .src = src_of(in, part),
	                                .dst = dst_of(in, part),
	                                .vlan = part == PART_PROBE ? in->vlan : 0};
	if (!ovs_port_of(port->index, &q->packet.in_port, &q->bridge))
		return;
	ovs_flow_format(&q->packet, q->text);
	a->count++;
}

static void fate_note(struct asking *a, const struct asked *q, const char *told)
{
	struct ovs_fate fate;
	struct flow_rule rule = {.flow = q->packet.flow->id, .part = (uint8_t)q->packet.part, .verdict = FW_DROP};

	ovs_fate_read(told, &fate);
	if (!fate.dropped)
		return;
	rule.seqs = fate.by_ports ? (seqset)1 << q->packet.seq : q->lost;
	str_copy(rule.family, sizeof rule.family, "ovs");
	str_copy(rule.table, sizeof rule.table, fate.bridge);
	snprintf(rule.chain, sizeof rule.chain, "table %u", fate.table);
	str_copy(rule.text, sizeof rule.text, fate.text);
	exec_rule(a->exec, &rule);
}

static void ask(struct asking *a)
{
	struct ovs_question *q = mem_array(a->count, sizeof *q);
	struct err e = {""};

	for (size_t i = 0; i < a->count; i++)
		q[i] = (struct ovs_question){.bridge = a->asked[i].bridge,
		                             .flow = a->asked[i].text,
		                             .answer_of_known = a->asked[i].packet.part == PART_ANSWER};
	ovs_trace(q, a->count, &e); /* what was not answered in time stays unknown */
	for (size_t i = 0; i < a->count; i++) {
		if (q[i].told)
			fate_note(a, &a->asked[i], q[i].told);
		free(q[i].told);
	}
	free(q);
}

void ovs_rules(struct exec *x, const struct snapshot *s)
{
	const struct round_spec *spec = exec_spec(x);
	struct asking *a;

	if (!spec->name_rules || !any_ovs(s))
		return;
	a = mem_alloc(sizeof *a);
	*a = (struct asking){.exec = x, .spec = spec, .snapshot = s, .result = mem_alloc(sizeof *a->result)};
	exec_result(x, a->result);
	for (size_t i = 0; i < a->result->seen_count; i++) {
		consider(a, &a->result->seen[i], PART_PROBE);
		consider(a, &a->result->seen[i], PART_ANSWER);
	}
	if (a->count)
		ask(a);
	round_result_clear(a->result);
	free(a->result);
	free(a);
}
