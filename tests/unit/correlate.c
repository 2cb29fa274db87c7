/* correlate: dossiers built by hand, or by letting probes run along a path with one fault in it. */
#include "collector/correlate.h"
#include "proto/base/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- the bench: vm1 on host1, vm2 on host2, eight points between two sockets ---- */

enum { A, B, HOST1, HOST2 };
enum { SOCKET_A, NIC_A, PORT_A, UP_1, UP_2, PORT_B, NIC_B, SOCKET_B, HOPS }; /* indexes into path 0 */

struct fault {
	int dir; /* of the packets that die */
	int hop; /* between path[hop] and path[hop + 1] of that direction */
	kind_mask kinds;
	bool probes, answers;
	seqset which; /* sequences that die */
};

struct bench {
	struct dossier d;
	struct round_result results[5];
	size_t seen_cap[4];
	struct fault fault;
	struct verdict *v;
};

static const kind_mask all_kinds = KIND_MASK_4 | KIND_BIT(KIND_ARP) | KIND_BIT(KIND_ND) | KIND_MASK_6;
static const seqset three = 7;

static void add_party(struct bench *b, const char *name, uint8_t kind)
{
	struct party *p = &b->d.party[b->d.party_count];
	str_copy(p->name, sizeof p->name, name);
	str_copy(p->tenant, sizeof p->tenant, kind == AGENT_HOST ? "fleet" : "blue");
	p->kind = kind;
	p->online = p->reported = true;
	p->result = &b->results[b->d.party_count++];
}

static void add_point(struct bench *b, int party, const char *ifname, uint8_t role)
{
	size_t i = b->d.point_count++;
	struct round_result *r = &b->results[party];
	b->d.points[i].id = (uint8_t)i;
	b->d.points[i].party = party;
	b->d.points[i].role = role;
	str_copy(b->d.points[i].ifname, IFNAME_LEN, ifname);
	r->status[r->status_count++] = (struct point_status){.point = (uint8_t)i, .armed = true};
}

static void add_paths(struct bench *b)
{
	b->d.path[0][0] = b->d.path[1][HOPS - 1] = -1 - A;
	b->d.path[0][HOPS - 1] = b->d.path[1][0] = -1 - B;
	for (int i = 1; i < HOPS - 1; i++)
		b->d.path[0][i] = b->d.path[1][HOPS - 1 - i] = i - 1;
	b->d.path_count[0] = b->d.path_count[1] = HOPS;
	b->d.path_complete[0] = b->d.path_complete[1] = true;
}

static struct flow *add_flow(struct bench *b, int kind, int dir)
{
	struct flow *f = &b->d.flows[b->d.flow_count];
	*f = (struct flow){.id = (uint8_t)b->d.flow_count++, .kind = (uint8_t)kind, .dir = (uint8_t)dir, .count = 3};
	struct round_result *from = &b->results[dir], *to = &b->results[1 - dir];
	from->sent[from->sent_count++] = (struct flow_sent){.flow = f->id, .status = FLOW_DONE};
	to->received[to->received_count++] = (struct flow_received){.flow = f->id, .looked = true};
	return f;
}

static struct bench *bench_new(kind_mask kinds)
{
	struct bench *b = mem_alloc(sizeof *b);
	add_party(b, "vm1", AGENT_GUEST);
	add_party(b, "vm2", AGENT_GUEST);
	add_party(b, "host1", AGENT_HOST);
	add_party(b, "host2", AGENT_HOST);
	b->d.party[A].at = (struct placement){.known = true, .host = HOST1};
	b->d.party[B].at = (struct placement){.known = true, .host = HOST2};
	add_point(b, A, "eth0", POINT_NIC);
	add_point(b, HOST1, "vnet1", POINT_PORT);
	add_point(b, HOST1, "up0", POINT_UPLINK);
	add_point(b, HOST2, "up0", POINT_UPLINK);
	add_point(b, HOST2, "vnet2", POINT_PORT);
	add_point(b, B, "eth0", POINT_NIC);
	add_paths(b);
	for (int k = 0; k < KIND_COUNT; k++) {
		for (int dir = 0; dir < 2 && kinds & KIND_BIT(k); dir++)
			add_flow(b, k, dir);
	}
	return b;
}

static void bench_free(struct bench *b)
{
	for (int i = 0; i < 4; i++)
		round_result_clear(&b->results[i]);
	verdict_free(b->v);
	dossier_clear(&b->d);
	free(b);
}

/* ---- packets on their way ---- */

static struct flow_sent *sent(struct bench *b, int flow) { return (struct flow_sent *)dossier_sent(&b->d, (uint8_t)flow); }

static struct flow_received *received(struct bench *b, int flow)
{
	return (struct flow_received *)dossier_received(&b->d, (uint8_t)flow);
}

static struct point_seen *seen(struct bench *b, int point, int flow)
{
	int party = b->d.points[point].party;
	struct round_result *r = &b->results[party];
	for (size_t i = 0; i < r->seen_count; i++) {
		if (r->seen[i].point == point && r->seen[i].flow == flow)
			return &r->seen[i];
	}
	struct point_seen *s = VEC_ADD(r->seen, r->seen_count, b->seen_cap[party]);
	s->point = (uint8_t)point;
	s->flow = (uint8_t)flow;
	return s;
}

/* Carries `set` along the path of `dir`; returns what arrives. */
static seqset carry(struct bench *b, const struct flow *f, int dir, seqset set, bool answers)
{
	const struct fault *x = &b->fault;
	bool hit = x->dir == dir && x->kinds & KIND_BIT(f->kind) && (answers ? x->answers : x->probes);
	for (size_t i = 0; i + 1 < b->d.path_count[dir]; i++) {
		int at = b->d.path[dir][i];
		if (at >= 0 && set)
			*(answers ? &seen(b, at, f->id)->answers : &seen(b, at, f->id)->probes) |= set;
		if (hit && (int)i == x->hop)
			set &= ~x->which;
	}
	return set;
}

static void run_flow(struct bench *b, const struct flow *f)
{
	struct flow_sent *s = sent(b, f->id);
	struct flow_received *r = received(b, f->id);
	s->sent |= three;
	r->seen |= carry(b, f, f->dir, three, false);
	s->answered |= carry(b, f, 1 - f->dir, r->seen, true);
}

static void run(struct bench *b)
{
	for (size_t i = 0; i < b->d.flow_count; i++)
		run_flow(b, &b->d.flows[i]);
}

static struct verdict *judge(struct bench *b)
{
	verdict_free(b->v);
	b->v = verdict_new();
	correlate(&b->d, b->v);
	return b->v;
}

static struct flow *flow_of(struct bench *b, int kind, int dir)
{
	for (size_t i = 0; i < b->d.flow_count; i++) {
		if (b->d.flows[i].kind == kind && b->d.flows[i].dir == dir)
			return &b->d.flows[i];
	}
	fail_msg("no such flow");
	return NULL;
}

static void forget(struct bench *b, int flow)
{
	struct flow_sent *s = sent(b, flow);
	struct flow_received *r = received(b, flow);
	*s = (struct flow_sent){.flow = (uint8_t)flow, .status = FLOW_DONE};
	*r = (struct flow_received){.flow = (uint8_t)flow, .looked = true};
	for (int p = 0; p < 4; p++) {
		for (size_t i = 0; i < b->results[p].seen_count; i++) {
			struct point_seen *x = &b->results[p].seen[i];
			if (x->flow == flow)
				x->probes = x->answers = 0;
		}
	}
}

static void assert_one_cut(const struct verdict *v, int dir, int after, int before, kind_mask kinds, bool answer)
{
	assert_int_equal(v->dir[dir].cut_count, 1);
	assert_int_equal(v->dir[1 - dir].cut_count, 0);
	const struct cut *c = &v->dir[dir].cuts[0];
	assert_int_equal(c->after, after);
	assert_int_equal(c->before, before);
	assert_int_equal(c->kinds, kinds);
	assert_int_equal(c->answer, answer);
}

static void assert_no_cut(const struct verdict *v)
{
	assert_int_equal(v->dir[0].cut_count, 0);
	assert_int_equal(v->dir[1].cut_count, 0);
}

/* ---- scenarios ---- */

static void a_healthy_pair_has_no_cut(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	run(b);
	const struct verdict *v = judge(b);
	assert_int_equal(v->state, STATE_OK);
	assert_no_cut(v);
	assert_int_equal(v->note_count, 0);
	assert_int_equal(v->dir[0].loss_sent, 12 * 3);
	assert_int_equal(v->dir[0].loss_received, 12 * 3);
	assert_int_equal(v->dir[0].path[UP_1].seen, 12 * 3);
	assert_true(v->dir[0].path[UP_1].looked && v->dir[0].path[SOCKET_B].looked);
	assert_string_equal(v->dir[1].from, "vm2");
	bench_free(b);
}

static void check_cut_at(int dir, int hop, kind_mask kinds)
{
	struct bench *b = bench_new(all_kinds);
	b->fault = (struct fault){dir, hop, kinds, true, true, three};
	run(b);
	const struct verdict *v = judge(b);
	assert_one_cut(v, dir, hop, hop + 1, kinds, false);
	assert_int_equal(v->state, STATE_ONE_WAY);
	for (int k = 0; k < KIND_COUNT; k++) {
		bool dead = kinds & KIND_BIT(k), probed = all_kinds & KIND_BIT(k);
		assert_int_equal(v->dir[dir].delivery[k], dead ? CELL_LOST : probed ? CELL_OK : CELL_UNKNOWN);
		assert_int_equal(v->dir[1 - dir].delivery[k], probed ? CELL_OK : CELL_UNKNOWN);
	}
	bench_free(b);
}

static void every_single_cut_is_found_where_it_is(void **state)
{
	(void)state;
	const kind_mask sets[] = {all_kinds, KIND_BIT(KIND_ICMP), KIND_BIT(KIND_ARP), KIND_MASK_6,
	                          KIND_BIT(KIND_ICMP_LARGE) | KIND_BIT(KIND_UDP_LARGE)};
	for (int dir = 0; dir < 2; dir++) {
		for (int hop = 0; hop + 1 < HOPS; hop++) {
			for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
				check_cut_at(dir, hop, sets[i]);
		}
	}
}

static void dying_answers_are_a_cut_in_their_own_direction(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	b->fault = (struct fault){1, 3, KIND_BIT(KIND_UDP), false, true, three};
	run(b);
	const struct verdict *v = judge(b);
	assert_one_cut(v, 1, 3, 4, KIND_BIT(KIND_UDP), true);
	assert_int_equal(v->dir[0].delivery[KIND_UDP], CELL_OK);
	assert_int_equal(v->dir[0].initiation[KIND_UDP], CELL_LOST);
	assert_int_equal(v->state, STATE_ONE_WAY);
	bench_free(b);
}

static void answers_that_never_start_are_cut_behind_the_socket(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	b->fault = (struct fault){1, 0, KIND_BIT(KIND_ARP), false, true, three};
	run(b);
	assert_one_cut(judge(b), 1, 0, 1, KIND_BIT(KIND_ARP), true);
	bench_free(b);
}

static void partial_loss_is_cut_at_the_biggest_drop(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	b->fault = (struct fault){0, 4, KIND_BIT(KIND_UDP), true, false, 2};
	run(b);
	const struct verdict *v = judge(b);
	assert_one_cut(v, 0, 4, 5, KIND_BIT(KIND_UDP), false);
	assert_true(v->dir[0].cuts[0].partial);
	assert_int_equal(v->dir[0].delivery[KIND_UDP], CELL_PARTIAL);
	assert_int_equal(v->state, STATE_DEGRADED);
	bench_free(b);
}

static void a_point_that_did_not_look_is_transparent(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	b->fault = (struct fault){0, UP_1, all_kinds, true, true, three};
	run(b);
	b->results[HOST2].status[0].armed = false;
	str_copy(b->results[HOST2].status[0].why, REASON_MAX_LEN, "no such device");
	const struct verdict *v = judge(b);
	assert_one_cut(v, 0, UP_1, PORT_B, all_kinds, false);
	assert_int_equal(v->note_count, 1);
	assert_string_equal(v->notes[0], "host2:up0 could not be watched: no such device");
	bench_free(b);
}

static void a_host_without_agent_widens_the_cut(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	b->fault = (struct fault){0, UP_2, all_kinds, true, true, three};
	run(b);
	b->d.party[HOST2].result = NULL;
	assert_one_cut(judge(b), 0, UP_1, NIC_B, all_kinds, false);
	bench_free(b);
}

static void what_a_lossy_capture_missed_proves_nothing(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	run(b);
	b->fault = (struct fault){0, NIC_B, KIND_BIT(KIND_TCP), true, true, three};
	forget(b, flow_of(b, KIND_TCP, 0)->id);
	run_flow(b, flow_of(b, KIND_TCP, 0));
	seen(b, 1, flow_of(b, KIND_TCP, 0)->id)->probes = 0;
	b->results[HOST1].status[0].dropped = 4;
	assert_one_cut(judge(b), 0, NIC_B, SOCKET_B, KIND_BIT(KIND_TCP), false);
	bench_free(b);
}

static void refuse(struct bench *b, int kind, int error)
{
	int flow = flow_of(b, kind, 0)->id;
	forget(b, flow);
	*sent(b, flow) =
	    (struct flow_sent){.flow = (uint8_t)flow, .status = FLOW_DONE, .refused_local = three, .error = (int16_t)error};
}

static void what_the_kernel_refuses_dies_behind_the_socket(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	run(b);
	refuse(b, KIND_ICMP, EPERM);
	refuse(b, KIND_UDP, ENETUNREACH);
	const struct verdict *v = judge(b);
	assert_one_cut(v, 0, SOCKET_A, NIC_A, KIND_BIT(KIND_ICMP) | KIND_BIT(KIND_UDP), false);
	assert_int_equal(v->dir[0].delivery[KIND_ICMP], CELL_LOST);
	bench_free(b);
}

static void our_own_shortage_is_not_loss(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	run(b);
	refuse(b, KIND_UDP, EMFILE);
	const struct verdict *v = judge(b);
	assert_no_cut(v);
	assert_int_equal(v->dir[0].delivery[KIND_UDP], CELL_UNKNOWN);
	assert_string_equal(v->dir[0].why[KIND_UDP], "vm1 could not send");
	bench_free(b);
}

/* The kernel waits for the neighbour; nothing leaves. */
static void keep_back(struct bench *b, int dir)
{
	for (size_t i = 0; i < b->d.flow_count; i++) {
		const struct flow *f = &b->d.flows[i];
		if (f->dir != dir || kind_info(f->kind)->proto == PROTO_NEIGH || kind_info(f->kind)->family == 6)
			continue;
		forget(b, f->id);
		*sent(b, f->id) = (struct flow_sent){.flow = f->id, .status = FLOW_DONE, .sent = three, .unresolved = true};
	}
}

static void what_waits_for_a_neighbour_dies_where_the_request_died(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	b->fault = (struct fault){0, UP_2, KIND_BIT(KIND_ARP), true, false, three};
	run(b);
	keep_back(b, 0);
	assert_one_cut(judge(b), 0, UP_2, PORT_B, KIND_MASK_4 | KIND_BIT(KIND_ARP), false);
	bench_free(b);
}

static void what_waits_for_a_neighbour_dies_where_its_answer_died(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	b->fault = (struct fault){1, 2, KIND_BIT(KIND_ARP), false, true, three};
	run(b);
	keep_back(b, 0);
	assert_one_cut(judge(b), 1, 2, 3, KIND_MASK_4 | KIND_BIT(KIND_ARP), true);
	bench_free(b);
}

static void what_waits_although_the_neighbour_answers_is_kept_by_its_own_kernel(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	run(b);
	keep_back(b, 0);
	assert_one_cut(judge(b), 0, SOCKET_A, NIC_A, KIND_MASK_4, false);
	bench_free(b);
}

static void direct(struct bench *b, int dir)
{
	keep_back(b, dir);
	for (size_t i = 0; i < b->d.flow_count; i++) {
		if (!sent(b, (int)i)->unresolved || b->d.flows[i].dir != dir)
			continue;
		run_flow(b, &b->d.flows[i]);
		sent(b, (int)i)->directed = three;
	}
}

static void directed_frames_tell_the_wire_from_the_neighbour_cache(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	b->fault = (struct fault){0, UP_2, KIND_BIT(KIND_ARP), true, false, three};
	run(b);
	direct(b, 0);
	const struct verdict *v = judge(b);
	assert_one_cut(v, 0, UP_2, PORT_B, KIND_BIT(KIND_ARP), false);
	assert_int_equal(v->dir[0].delivery[KIND_ICMP], CELL_OK);
	assert_int_equal(v->dir[0].initiation[KIND_ICMP], CELL_LOST);
	bench_free(b);
}

static void what_its_kernel_keeps_back_is_cut_although_answers_die_as_well(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds & ~KIND_MASK_6 & ~KIND_BIT(KIND_ND));
	b->fault = (struct fault){1, PORT_B, KIND_MASK_4, true, true, three};
	run(b);
	direct(b, 0);
	const struct verdict *v = judge(b);
	assert_int_equal(v->dir[0].cut_count, 1);
	assert_int_equal(v->dir[0].cuts[0].after, SOCKET_A);
	assert_int_equal(v->dir[0].cuts[0].kinds, KIND_MASK_4);
	assert_int_equal(v->dir[1].cut_count, 1);
	assert_int_equal(v->dir[1].cuts[0].after, PORT_B);
	bench_free(b);
}

static void one_dead_direction_is_one_cut_although_the_other_side_resolves_nothing(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds & ~KIND_MASK_6 & ~KIND_BIT(KIND_ND));
	const kind_mask four = KIND_MASK_4 | KIND_BIT(KIND_ARP);
	b->fault = (struct fault){0, PORT_A, four, true, true, three};
	run(b);
	direct(b, 1);
	const struct verdict *v = judge(b);
	assert_one_cut(v, 0, PORT_A, UP_1, four, false);
	assert_int_equal(v->dir[1].delivery[KIND_ICMP], CELL_OK);
	assert_int_equal(v->dir[1].initiation[KIND_ICMP], CELL_LOST);
	assert_int_equal(v->state, STATE_ONE_WAY);
	bench_free(b);
}

static void answers_that_wait_for_a_neighbour_have_no_cut_of_their_own(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds & ~KIND_MASK_6 & ~KIND_BIT(KIND_ND));
	b->fault = (struct fault){0, UP_1, KIND_BIT(KIND_ARP), true, true, three}; /* vm2 never hears vm1's ARP */
	run(b);
	direct(b, 1);
	for (size_t i = 0; i < b->d.flow_count; i++) {
		const struct flow *f = &b->d.flows[i];
		if (f->dir != 0 || f->kind == KIND_ARP)
			continue;
		forget(b, f->id); /* delivered, but vm2 cannot answer */
		sent(b, f->id)->sent = three;
		received(b, f->id)->seen = carry(b, f, 0, three, false);
	}
	assert_one_cut(judge(b), 0, UP_1, UP_2, KIND_BIT(KIND_ARP), false);
	bench_free(b);
}

/* The kernel drops the SYN+ACK of a SYN that it did not send itself. */
static void what_answers_a_syn_sent_past_the_kernel_is_home_at_the_nic(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	b->fault = (struct fault){0, UP_2, KIND_BIT(KIND_ARP), true, true, three};
	run(b);
	direct(b, 0);
	sent(b, flow_of(b, KIND_TCP, 0)->id)->answered = 0;
	assert_one_cut(judge(b), 0, UP_2, PORT_B, KIND_BIT(KIND_ARP), false);
	sent(b, flow_of(b, KIND_UDP, 0)->id)->answered = 0; /* but a datagram's answer is anybody's */
	assert_int_equal(judge(b)->dir[1].cut_count, 1);
	bench_free(b);
}

static void an_echo_of_what_the_peer_never_saw_comes_from_an_impostor(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	run(b);
	struct flow *f = flow_of(b, KIND_ICMP, 0);
	b->fault = (struct fault){0, PORT_A, KIND_BIT(KIND_ICMP), true, true, three};
	forget(b, f->id);
	run_flow(b, f);
	sent(b, f->id)->answered = three;
	const struct verdict *v = judge(b);
	assert_int_equal(v->dir[0].initiation[KIND_ICMP], CELL_IMPOSTOR);
	assert_int_equal(v->dir[0].delivery[KIND_ICMP], CELL_LOST);
	assert_one_cut(v, 0, PORT_A, UP_1, KIND_BIT(KIND_ICMP), false);
	for (int who = A; who <= B; who++) { /* it left too late, or was not looked at in time */
		b->results[who].health.lag_us = 300000;
		assert_int_equal(judge(b)->dir[0].initiation[KIND_ICMP], CELL_OK);
		b->results[who].health.lag_us = 0;
	}
	bench_free(b);
}

/* Firewall bridges: the host answers for its address with the MAC of another of its devices. */
static void an_answer_with_another_mac_of_the_same_machine_is_no_impostor(void **state)
{
	static const struct {
		const char *kind;
		enum cell cell;
	} rows[] = {{"bridge", CELL_OK}, {"macvtap", CELL_IMPOSTOR} /* that is the guest behind it */};
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct bench *b = bench_new(all_kinds);
		struct snapshot *facts = snapshot_new();
		run(b);
		struct flow_sent *s = sent(b, flow_of(b, KIND_ARP, 0)->id);
		s->impostor = three;
		s->mac_count = 1;
		s->macs[0] = (struct mac){{2, 0xfb, 0, 0, 0, 1}};
		assert_int_equal(judge(b)->dir[0].initiation[KIND_ARP], CELL_IMPOSTOR);
		facts->links = mem_array(1, sizeof *facts->links);
		facts->link_count = 1;
		facts->links[0].mac = s->macs[0];
		str_copy(facts->links[0].kind, sizeof facts->links[0].kind, rows[i].kind);
		b->d.party[PARTY_B].after = facts;
		assert_int_equal(judge(b)->dir[0].initiation[KIND_ARP], rows[i].cell);
		bench_free(b);
		snapshot_free(facts);
	}
}

static void what_passes_only_as_an_answer_is_reply_only(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	b->fault = (struct fault){0, NIC_B, KIND_BIT(KIND_UDP) | KIND_BIT(KIND_UDP_LARGE), true, false, three};
	run(b);
	const struct verdict *v = judge(b);
	assert_int_equal(v->dir[0].initiation[KIND_UDP], CELL_REPLY_ONLY);
	assert_int_equal(v->dir[0].initiation[KIND_UDP_LARGE], CELL_REPLY_ONLY);
	assert_int_equal(v->dir[1].initiation[KIND_UDP], CELL_OK);
	bench_free(b);
}

static void size_alone_does_not_look_like_a_state_table(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	b->fault = (struct fault){0, UP_1, KIND_BIT(KIND_UDP_LARGE), true, false, three};
	run(b);
	assert_int_equal(judge(b)->dir[0].initiation[KIND_UDP_LARGE], CELL_LOST);
	bench_free(b);
}

static void a_refused_service_is_delivered_and_has_no_cut(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds | KIND_BIT(KIND_SERVICE));
	run(b);
	struct flow *f = flow_of(b, KIND_SERVICE, 0);
	sent(b, f->id)->answered = 0;
	sent(b, f->id)->refused = three;
	const struct verdict *v = judge(b);
	assert_int_equal(v->dir[0].delivery[KIND_SERVICE], CELL_OK);
	assert_int_equal(v->dir[0].initiation[KIND_SERVICE], CELL_REFUSED);
	assert_no_cut(v);
	bench_free(b);
}

static void of_several_services_the_worst_one_shows(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds | KIND_BIT(KIND_SERVICE));
	struct flow *f = add_flow(b, KIND_SERVICE, 0);
	run(b);
	sent(b, f->id)->answered = 0;
	sent(b, f->id)->refused = three;
	assert_int_equal(judge(b)->dir[0].initiation[KIND_SERVICE], CELL_REFUSED);
	bench_free(b);
}

static void late_answers_are_slow_not_lost(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	run(b);
	struct flow_sent *s = sent(b, flow_of(b, KIND_ICMP, 0)->id);
	s->late = s->answered;
	s->answered = 0;
	const struct verdict *v = judge(b);
	assert_int_equal(v->dir[0].initiation[KIND_ICMP], CELL_SLOW);
	assert_no_cut(v);
	bench_free(b);
}

static void a_starved_sender_is_no_witness_of_missing_answers(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	run(b);
	sent(b, flow_of(b, KIND_UDP, 0)->id)->answered = 0;
	b->results[A].health.lag_us = 900000;
	const struct verdict *v = judge(b);
	assert_int_equal(v->dir[0].initiation[KIND_UDP], CELL_UNKNOWN);
	assert_no_cut(v);
	bench_free(b);
}

static void a_starved_answerer_is_no_witness_of_slowness(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	run(b);
	struct flow_sent *s = sent(b, flow_of(b, KIND_UDP, 0)->id);
	received(b, flow_of(b, KIND_UDP, 0)->id)->replied = three;
	s->late = three;
	s->answered = 0;
	assert_int_equal(judge(b)->dir[0].initiation[KIND_UDP], CELL_SLOW);
	b->results[B].health.lag_us = 900000;
	assert_int_equal(judge(b)->dir[0].initiation[KIND_UDP], CELL_UNKNOWN);
	bench_free(b);
}

static void a_packet_too_big_is_not_refused_by_the_peer(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	b->fault = (struct fault){0, PORT_A, KIND_BIT(KIND_ICMP_LARGE), true, true, three};
	run(b);
	struct flow_sent *s = sent(b, flow_of(b, KIND_ICMP_LARGE, 0)->id);
	s->refused = three;
	s->icmp_mtu = 1400;
	assert_int_equal(judge(b)->dir[0].initiation[KIND_ICMP_LARGE], CELL_LOST);
	bench_free(b);
}

static void no_route_to_host_is_the_neighbours_fault(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	b->fault = (struct fault){0, UP_2, KIND_BIT(KIND_ARP), true, false, three};
	run(b);
	keep_back(b, 0);
	struct flow_sent *s = sent(b, flow_of(b, KIND_TCP, 0)->id);
	*s = (struct flow_sent){.flow = s->flow,
	                        .status = FLOW_DONE,
	                        .sent = 1,
	                        .refused_local = 6,
	                        .refused = 1,
	                        .error = EHOSTUNREACH,
	                        .unresolved = true};
	const struct verdict *v = judge(b);
	assert_one_cut(v, 0, UP_2, PORT_B, KIND_MASK_4 | KIND_BIT(KIND_ARP), false);
	assert_int_equal(v->dir[0].initiation[KIND_TCP], CELL_LOST);
	bench_free(b);
}

static void what_the_kernel_refuses_is_lost_even_if_a_frame_gets_through(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	run(b);
	struct flow_sent *s = sent(b, flow_of(b, KIND_UDP, 0)->id);
	s->refused_local = s->directed = three;
	s->sent = 0;
	s->unresolved = true;
	s->error = EPERM;
	const struct verdict *v = judge(b);
	assert_int_equal(v->dir[0].delivery[KIND_UDP], CELL_LOST);
	assert_one_cut(v, 0, SOCKET_A, NIC_A, KIND_BIT(KIND_UDP), false);
	bench_free(b);
}

static void kinds_that_die_at_one_place_share_an_entry(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	b->fault = (struct fault){0, UP_1, KIND_BIT(KIND_UDP), true, true, three};
	run(b);
	b->fault = (struct fault){0, UP_1, KIND_BIT(KIND_ICMP), false, true, three};
	forget(b, flow_of(b, KIND_ICMP, 1)->id);
	run_flow(b, flow_of(b, KIND_ICMP, 1));
	const struct verdict *v = judge(b);
	assert_one_cut(v, 0, UP_1, UP_2, KIND_BIT(KIND_UDP) | KIND_BIT(KIND_ICMP), false);
	assert_int_equal(v->dir[0].cuts[0].answers, KIND_BIT(KIND_ICMP));
	bench_free(b);
}

static void an_overflowing_receiver_is_no_witness_of_loss(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	run(b);
	received(b, flow_of(b, KIND_ICMP, 0)->id)->seen = 0;
	sent(b, flow_of(b, KIND_ICMP, 0)->id)->answered = 0;
	b->results[B].health.socket_drops = 9;
	const struct verdict *v = judge(b);
	assert_int_equal(v->dir[0].delivery[KIND_ICMP], CELL_UNKNOWN);
	assert_int_equal(v->dir[0].delivery[KIND_UDP], CELL_OK);
	bench_free(b);
}

static void an_offline_end_leaves_delivery_unknown(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	b->fault = (struct fault){1, 0, all_kinds & ~KIND_BIT(KIND_ICMP) & ~KIND_BIT(KIND_ARP), false, true, three};
	for (size_t i = 0; i < b->d.flow_count; i++) {
		if (b->d.flows[i].dir == 0)
			run_flow(b, &b->d.flows[i]);
	}
	b->d.party[B].result = NULL;
	b->d.party[B].online = false;
	const struct verdict *v = judge(b);
	assert_int_equal(v->dir[0].delivery[KIND_ICMP], CELL_OK); /* its kernel answers */
	assert_int_equal(v->dir[0].initiation[KIND_ICMP], CELL_OK);
	assert_int_equal(v->dir[0].delivery[KIND_UDP], CELL_UNKNOWN);
	assert_string_equal(v->dir[0].why[KIND_UDP], "vm2 did not report");
	assert_int_equal(v->dir[1].delivery[KIND_UDP], CELL_UNKNOWN);
	assert_no_cut(v);
	assert_string_equal(v->notes[0], "vm2: its agent is not connected");
	bench_free(b);
}

static void the_hosts_speak_for_an_offline_end(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	b->fault = (struct fault){0, UP_1, all_kinds, true, true, three};
	for (size_t i = 0; i < b->d.flow_count; i++) {
		if (b->d.flows[i].dir == 0)
			run_flow(b, &b->d.flows[i]);
	}
	b->d.party[B].result = NULL;
	const struct verdict *v = judge(b);
	assert_int_equal(v->dir[0].delivery[KIND_UDP], CELL_LOST);
	assert_one_cut(v, 0, UP_1, UP_2, all_kinds, false);
	bench_free(b);
}

static void a_lost_report_of_the_sender_is_pieced_together(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	b->fault = (struct fault){0, UP_2, KIND_BIT(KIND_TCP), true, true, three};
	run(b);
	b->d.party[A].result = NULL;
	const struct verdict *v = judge(b);
	assert_int_equal(v->dir[0].delivery[KIND_UDP], CELL_OK);
	assert_int_equal(v->dir[0].delivery[KIND_TCP], CELL_LOST);
	assert_int_equal(v->dir[0].initiation[KIND_UDP], CELL_UNKNOWN);
	assert_one_cut(v, 0, UP_2, PORT_B, KIND_BIT(KIND_TCP), false);
	bench_free(b);
}

static void skipped_kinds_say_why(void **state)
{
	(void)state;
	struct bench *b = bench_new(KIND_BIT(KIND_ARP) | KIND_BIT(KIND_UDP));
	run(b);
	b->d.skipped[0] = KIND_BIT(KIND_ICMP);
	b->d.skip_why[0][KIND_ICMP] = mem_strdup("no address on that network");
	struct flow_sent *s = sent(b, flow_of(b, KIND_UDP, 0)->id);
	s->status = FLOW_SKIPPED;
	str_copy(s->why, sizeof s->why, "no right to send");
	const struct verdict *v = judge(b);
	assert_int_equal(v->dir[0].delivery[KIND_ICMP], CELL_SKIPPED);
	assert_string_equal(v->dir[0].why[KIND_ICMP], "no address on that network");
	assert_int_equal(v->dir[0].initiation[KIND_UDP], CELL_SKIPPED);
	assert_string_equal(v->dir[0].why[KIND_UDP], "no right to send");
	assert_null(v->dir[0].why[KIND_ND]);
	assert_int_equal(v->dir[1].delivery[KIND_UDP], CELL_OK);
	bench_free(b);
}

static void doubled_packets_degrade_a_pair(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	run(b);
	for (size_t i = 0; i < b->d.flow_count; i++)
		received(b, (int)i)->duplicates = b->d.flows[i].dir == 0 ? 3 : 0;
	const struct verdict *v = judge(b);
	assert_int_equal(v->state, STATE_DEGRADED);
	assert_string_equal(v->notes[0], "vm1 -> vm2: 30 probes arrived more than once");
	bench_free(b);
}

static void ladder_flows_are_not_part_of_the_matrix(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	struct flow *f = add_flow(b, KIND_ICMP_LARGE, 0);
	run(b);
	f->ladder = true;
	received(b, f->id)->seen = 1;
	sent(b, f->id)->answered = 1;
	const struct verdict *v = judge(b);
	assert_int_equal(v->dir[0].delivery[KIND_ICMP_LARGE], CELL_OK);
	assert_no_cut(v);
	bench_free(b);
}

static void nothing_at_all_is_unknown_not_a_crash(void **state)
{
	(void)state;
	struct dossier *d = mem_alloc(sizeof *d);
	struct verdict *v = verdict_new();
	d->party_count = 2;
	d->flow_count = 1;
	correlate(d, v);
	assert_int_equal(v->state, STATE_UNDETERMINED);
	assert_no_cut(v);
	verdict_free(v);
	free(d);
}

static bool noted(const struct verdict *v, const char *part)
{
	for (size_t i = 0; i < v->note_count; i++) {
		if (strstr(v->notes[i], part))
			return true;
	}
	return false;
}

/* What it sent may have left when the others had stopped looking. */
static void a_sender_that_slept_through_the_stage_proves_no_loss(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	b->fault = (struct fault){0, SOCKET_A, KIND_BIT(KIND_ICMP), true, false, 6};
	run(b);
	b->results[A].health = (struct health){.lag_us = 300000, .steal_permille = -1};
	assert_int_equal(judge(b)->dir[0].delivery[KIND_ICMP], CELL_PARTIAL);
	b->results[A].health = (struct health){.lag_us = 900000, .steal_permille = 400};
	const struct verdict *v = judge(b);
	assert_int_equal(v->dir[0].delivery[KIND_ICMP], CELL_UNKNOWN);
	assert_int_equal(v->dir[0].initiation[KIND_ICMP], CELL_UNKNOWN);
	assert_int_equal(v->dir[0].delivery[KIND_UDP], CELL_OK);
	assert_no_cut(v);
	assert_true(noted(v, "vm1 was short of CPU while it measured (900 ms late, 40 % steal): its silence is not called loss"));
	bench_free(b);
}

/* What its kernel kept back is no matter of time. */
static void a_sender_that_slept_still_knows_what_its_kernel_refused(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	run(b);
	forget(b, flow_of(b, KIND_UDP, 0)->id);
	struct flow_sent *s = sent(b, flow_of(b, KIND_UDP, 0)->id);
	s->refused_local = three;
	s->error = EPERM;
	b->results[A].health.lag_us = 900000;
	assert_int_equal(judge(b)->dir[0].delivery[KIND_UDP], CELL_LOST);
	bench_free(b);
}

static void a_capture_that_lost_packets_is_no_witness(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	b->fault = (struct fault){0, UP_1, KIND_BIT(KIND_ICMP), true, false, three};
	run(b);
	assert_one_cut(judge(b), 0, UP_1, UP_2, KIND_BIT(KIND_ICMP), false);
	b->results[HOST2].status[0].dropped = 12; /* up0 */
	assert_one_cut(judge(b), 0, UP_1, PORT_B, KIND_BIT(KIND_ICMP), false);
	assert_true(noted(b->v, "host2:up0 lost 12 packets of its own"));
	bench_free(b);
}

/* Nothing that is measured goes by a clock: it is told, and no more. */
static void a_clock_that_is_wrong_is_noted(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	struct snapshot *s = snapshot_new();
	run(b);
	b->d.now.ns = 1700000000LL * 1000000000;
	s->taken.ns = b->d.now.ns - 3600LL * 1000000000;
	b->d.party[B].after = s;
	const struct verdict *v = judge(b);
	assert_int_equal(v->state, STATE_OK);
	assert_true(noted(v, "the clock of vm2 is 3600 s behind the collector's"));
	s->taken.ns = b->d.now.ns - 5LL * 1000000000;
	assert_int_equal(judge(b)->note_count, 0);
	snapshot_free(s);
	bench_free(b);
}

/* What meets silence behind the first few errors is refused as well. */
static void errors_that_the_kernel_limits_are_noted(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	struct value counter[2] = {{"Icmp.OutRateLimitHost", 5}, {"Icmp.OutRateLimitHost", 5}};
	struct addr has = {.prefix.len = 24};
	struct snapshot was = {.counter_count = 1, .counters = &counter[0]},
	                now = {.counter_count = 1, .counters = &counter[1], .addr_count = 1, .addrs = &has};
	run(b);
	struct flow *f = flow_of(b, KIND_UDP, 0);
	forget(b, f->id);
	ip_parse("10.0.0.12", &has.prefix.ip);
	sent(b, f->id)->refused = 1;
	sent(b, f->id)->icmp_from = has.prefix.ip;
	b->d.party[B].before = &was;
	b->d.party[B].after = &now;
	assert_false(noted(judge(b), "limits the rate of ICMP errors"));
	counter[1].value = 9;
	assert_true(noted(judge(b), "vm2 refuses more than it says"));
	bench_free(b);
}

/* A limit of sight, not a fault of the path. */
static void an_agent_without_raw_sockets_is_noted(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	run(b);
	b->d.party[A].rights = RIGHT_ECHO | RIGHT_CAPTURE | RIGHT_RAW;
	b->d.party[B].rights = RIGHT_ECHO;
	const struct verdict *v = judge(b);
	assert_int_equal(v->state, STATE_OK);
	assert_false(noted(v, "vm1: its agent may not"));
	assert_true(noted(v, "vm2: its agent may not open raw sockets"));
	bench_free(b);
}

static void fitness_is_no_matter_where_nothing_is_missing(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	run(b);
	for (int p = 0; p < 4; p++)
		b->results[p].health = (struct health){.lag_us = 900000, .socket_drops = 4};
	const struct verdict *v = judge(b);
	assert_int_equal(v->state, STATE_OK);
	assert_int_equal(v->note_count, 0);
	bench_free(b);
}

/* ---- what kernels say of it ---- */

static void says(struct bench *b, int party, int flow, int part, seqset seqs, const char *reason, const char *place,
                 const char *ifname)
{
	struct round_result *r = &b->results[party];
	r->drops = mem_resize(r->drops, r->drops_count + 1, sizeof *r->drops);
	struct flow_drop *d = &r->drops[r->drops_count++];
	*d = (struct flow_drop){.flow = (uint8_t)flow, .part = (uint8_t)part, .seqs = seqs};
	str_copy(d->reason, sizeof d->reason, reason);
	str_copy(d->place, sizeof d->place, place);
	str_copy(d->ifname, sizeof d->ifname, ifname);
	r->drops_looked.looked = true;
}

static struct flow_rule *traces(struct bench *b, int party, int flow, seqset seqs, uint64_t handle)
{
	struct round_result *r = &b->results[party];
	r->rules = mem_resize(r->rules, r->rules_count + 1, sizeof *r->rules);
	struct flow_rule *t = &r->rules[r->rules_count++];
	*t = (struct flow_rule){.flow = (uint8_t)flow, .part = PART_PROBE, .seqs = seqs, .handle = handle, .verdict = FW_DROP};
	strcpy(t->family, "inet");
	strcpy(t->table, "filter");
	strcpy(t->chain, "input");
	r->rules_looked.looked = true;
	return t;
}

/* `kinds` of vm1 die behind the hop. */
static struct bench *broken(int hop, kind_mask kinds)
{
	struct bench *b = bench_new(all_kinds);
	b->fault = (struct fault){0, hop, kinds, true, false, three};
	run(b);
	return b;
}

static int icmp(struct bench *b) { return flow_of(b, KIND_ICMP, 0)->id; }

static const struct cut *the_cut(struct bench *b)
{
	const struct verdict *v = judge(b);
	assert_int_equal(v->dir[0].cut_count + v->dir[1].cut_count, 1);
	return &v->dir[v->dir[0].cut_count ? 0 : 1].cuts[0];
}

static void a_kernels_word_names_the_drop(void **state)
{
	(void)state;
	struct bench *b = broken(NIC_B, KIND_BIT(KIND_ICMP));
	assert_int_equal(the_cut(b)->drop_party, -1);
	says(b, B, icmp(b), PART_PROBE, three, "NETFILTER_DROP", "nft_do_chain", "eth0");
	const struct cut *c = the_cut(b);
	assert_string_equal(c->drop_reason, "NETFILTER_DROP");
	assert_string_equal(c->drop_place, "nft_do_chain");
	assert_string_equal(c->drop_if, "eth0");
	assert_int_equal(c->drop_party, B);
	bench_free(b);
}

static void words_of_packets_that_arrived_say_nothing(void **state)
{
	(void)state;
	struct bench *b = broken(NIC_B, KIND_BIT(KIND_ICMP));
	says(b, B, flow_of(b, KIND_UDP, 0)->id, PART_PROBE, three, "SOCKET_RCVBUFF", "x", "eth0"); /* a copy: it arrived */
	says(b, B, icmp(b), PART_ANSWER, three, "NO_SOCKET", "icmp_x", "eth0");                    /* of answers, and probes die */
	says(b, A, icmp(b), PART_PROBE, three, "NETFILTER_DROP", "nft_do_chain", "eth0");          /* they had left by then */
	says(b, B, icmp(b), PART_PROBE, three, "SOCKET_FILTER", "sk_filter_trim_cap", "eth0");
	assert_string_equal(the_cut(b)->drop_reason, "");
	bench_free(b);
}

static void what_explains_most_is_told_and_what_happened_before_what_it_led_to(void **state)
{
	(void)state;
	struct bench *b = broken(PORT_B, KIND_BIT(KIND_ICMP) | KIND_BIT(KIND_UDP));
	int udp = flow_of(b, KIND_UDP, 0)->id;
	says(b, HOST2, icmp(b), PART_PROBE, three, "OTHERHOST", "ip_rcv_core", "br0");
	says(b, HOST2, udp, PART_PROBE, three, "OTHERHOST", "ip_rcv_core", "br0");
	assert_string_equal(the_cut(b)->drop_reason, "OTHERHOST");
	says(b, HOST2, icmp(b), PART_PROBE, 1, "NOT_SPECIFIED", "somewhere", "vnet2");
	assert_string_equal(the_cut(b)->drop_reason, "NOT_SPECIFIED");
	says(b, HOST2, icmp(b), PART_PROBE, 2, "QDISC_DROP", "__dev_queue_xmit", "vnet2");
	assert_string_equal(the_cut(b)->drop_reason, "QDISC_DROP");
	says(b, HOST2, udp, PART_PROBE, three, "FULL_RING", "tun_net_xmit", "vnet2");
	assert_string_equal(the_cut(b)->drop_reason, "FULL_RING");
	bench_free(b);
}

static void a_neighbour_that_failed_does_not_hide_what_dropped_its_request(void **state)
{
	(void)state;
	struct bench *b = broken(SOCKET_A, KIND_BIT(KIND_ARP));
	keep_back(b, 0);
	for (int k = KIND_ICMP; k < KIND_ND; k++)
		says(b, A, flow_of(b, k, 0)->id, PART_PROBE, three, "NEIGH_FAILED", "neigh_invalidate", "eth0");
	assert_string_equal(the_cut(b)->drop_reason, "NEIGH_FAILED");
	says(b, A, flow_of(b, KIND_ARP, 0)->id, PART_PROBE, three, "NETFILTER_DROP", "nft_do_chain", "eth0");
	assert_string_equal(the_cut(b)->drop_reason, "NETFILTER_DROP");
	bench_free(b);
}

static void a_machine_off_the_way_speaks_when_nobody_at_the_cut_does(void **state)
{
	(void)state;
	struct bench *b = broken(UP_1, KIND_BIT(KIND_ICMP));
	add_party(b, "host3", AGENT_HOST);
	struct round_result r = {0};
	b->d.party[4].result = &r;
	struct flow_drop d = {.flow = (uint8_t)icmp(b), .seqs = three, .reason = "IP_INADDRERRORS", .place = "ip_error"};
	r.drops = &d;
	r.drops_count = 1;
	assert_string_equal(the_cut(b)->drop_reason, "IP_INADDRERRORS");
	assert_int_equal(the_cut(b)->drop_party, 4);
	says(b, HOST2, icmp(b), PART_PROBE, 1, "TC_INGRESS", "x", "up0");
	assert_string_equal(the_cut(b)->drop_reason, "TC_INGRESS");
	bench_free(b);
}

static void a_bridge_that_hears_everything_is_no_wrong_address(void **state)
{
	(void)state;
	struct bench *b = broken(PORT_A, KIND_BIT(KIND_ICMP));
	struct snapshot *s = snapshot_new();
	s->links = mem_array(1, sizeof *s->links);
	s->link_count = 1;
	strcpy(s->links[0].name, "br0");
	strcpy(s->links[0].kind, "bridge");
	b->d.party[HOST1].after = s;
	says(b, HOST1, icmp(b), PART_PROBE, three, "OTHERHOST", "ip_rcv_core", "br0");
	assert_string_equal(the_cut(b)->drop_reason, "OTHERHOST");
	s->links[0].promisc = true;
	assert_string_equal(the_cut(b)->drop_reason, "");
	snapshot_free(s);
	bench_free(b);
}

static void a_traced_rule_is_told_with_its_text(void **state)
{
	(void)state;
	struct bench *b = broken(NIC_B, KIND_BIT(KIND_ICMP));
	struct snapshot *s = snapshot_new();
	struct fw_chain *c = s->chains = mem_array(1, sizeof *s->chains);
	s->chain_count = 1;
	strcpy(c->family, "inet");
	strcpy(c->table, "filter");
	strcpy(c->name, "input");
	c->rules = mem_array(1, sizeof *c->rules);
	c->rule_count = 1;
	c->rules[0].handle = 7;
	strcpy(c->rules[0].text, "icmp type echo-request drop");
	b->d.party[B].before = s;
	says(b, B, icmp(b), PART_PROBE, three, "NETFILTER_DROP", "nft_do_chain", "eth0");
	struct flow_rule *r = traces(b, B, icmp(b), three, 7);
	assert_string_equal(the_cut(b)->rule, "inet filter input handle 7: icmp type echo-request drop");
	assert_string_equal(the_cut(b)->drop_reason, "NETFILTER_DROP");
	r->handle = 8; /* gone by now */
	assert_string_equal(the_cut(b)->rule, "inet filter input handle 8");
	r->handle = 0;
	assert_string_equal(the_cut(b)->rule, "inet filter input policy drop");
	strcpy(r->family, "ovs");
	strcpy(r->table, "br-int");
	strcpy(r->chain, "table 0");
	strcpy(r->text, "priority=10,icmp actions=drop");
	assert_string_equal(the_cut(b)->rule, "ovs br-int table 0: priority=10,icmp actions=drop");
	r->verdict = FW_ACCEPT;
	assert_string_equal(the_cut(b)->rule, "");
	snapshot_free(s);
	bench_free(b);
}

static void a_named_drop_that_is_no_filters_beats_a_trace_of_less(void **state)
{
	(void)state;
	struct bench *b = broken(NIC_B, KIND_BIT(KIND_ICMP));
	says(b, B, icmp(b), PART_PROBE, three, "IP_RPFILTER", "ip_rcv_finish_core", "eth0");
	struct flow_rule *r = traces(b, B, icmp(b), 1, 7);
	assert_string_equal(the_cut(b)->rule, "");
	assert_string_equal(the_cut(b)->drop_reason, "IP_RPFILTER");
	r->seqs = three;
	b->results[B].drops[0].seqs = 1;
	assert_string_equal(the_cut(b)->drop_reason, ""); /* no kernel's word fits the rule */
	assert_int_equal(the_cut(b)->drop_party, B);
	assert_true(the_cut(b)->rule[0]);
	bench_free(b);
}

static void who_could_not_look_for_drops_is_told_where_it_matters(void **state)
{
	(void)state;
	struct bench *b = bench_new(all_kinds);
	run(b);
	for (int p = 0; p < 4; p++)
		strcpy(b->results[p].drops_looked.why, "no right to load BPF");
	strcpy(b->results[B].rules_looked.why, "no CAP_NET_ADMIN");
	assert_false(noted(judge(b), "drop reasons"));
	bench_free(b);
	b = broken(NIC_B, KIND_BIT(KIND_ICMP));
	for (int p = 0; p < 4; p++)
		strcpy(b->results[p].drops_looked.why, "no right to load BPF");
	strcpy(b->results[B].rules_looked.why, "no CAP_NET_ADMIN");
	assert_true(noted(judge(b), "vm2: the kernel's drop reasons are not known: no right to load BPF"));
	assert_false(noted(b->v, "vm1: the kernel's"));
	assert_false(noted(b->v, "not traced"));
	says(b, B, icmp(b), PART_PROBE, three, "NETFILTER_DROP", "nft_do_chain", "eth0");
	assert_true(noted(judge(b), "vm2: the rule that dropped it was not traced: no CAP_NET_ADMIN"));
	assert_false(noted(b->v, "drop reasons are not known"));
	bench_free(b);
}

static void every_point_counts_by_kind(void **state)
{
	(void)state;
	struct bench *b = broken(UP_1, KIND_BIT(KIND_ICMP));
	const struct verdict *v = judge(b);
	assert_int_equal(v->dir[0].path[UP_1].kind_seen[KIND_ICMP], 3);
	assert_int_equal(v->dir[0].path[UP_2].kind_seen[KIND_ICMP], 0);
	assert_int_equal(v->dir[0].path[UP_2].kind_seen[KIND_UDP], 3);
	assert_int_equal(v->dir[1].path[UP_2].kind_seen[KIND_ICMP], 3);
	bench_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_healthy_pair_has_no_cut),
	    cmocka_unit_test(a_kernels_word_names_the_drop),
	    cmocka_unit_test(words_of_packets_that_arrived_say_nothing),
	    cmocka_unit_test(what_explains_most_is_told_and_what_happened_before_what_it_led_to),
	    cmocka_unit_test(a_neighbour_that_failed_does_not_hide_what_dropped_its_request),
	    cmocka_unit_test(a_machine_off_the_way_speaks_when_nobody_at_the_cut_does),
	    cmocka_unit_test(a_bridge_that_hears_everything_is_no_wrong_address),
	    cmocka_unit_test(a_traced_rule_is_told_with_its_text),
	    cmocka_unit_test(a_named_drop_that_is_no_filters_beats_a_trace_of_less),
	    cmocka_unit_test(who_could_not_look_for_drops_is_told_where_it_matters),
	    cmocka_unit_test(every_point_counts_by_kind),
	    cmocka_unit_test(a_sender_that_slept_through_the_stage_proves_no_loss),
	    cmocka_unit_test(a_sender_that_slept_still_knows_what_its_kernel_refused),
	    cmocka_unit_test(a_capture_that_lost_packets_is_no_witness),
	    cmocka_unit_test(a_clock_that_is_wrong_is_noted),
	    cmocka_unit_test(errors_that_the_kernel_limits_are_noted),
	    cmocka_unit_test(an_agent_without_raw_sockets_is_noted),
	    cmocka_unit_test(fitness_is_no_matter_where_nothing_is_missing),
	    cmocka_unit_test(every_single_cut_is_found_where_it_is),
	    cmocka_unit_test(dying_answers_are_a_cut_in_their_own_direction),
	    cmocka_unit_test(answers_that_never_start_are_cut_behind_the_socket),
	    cmocka_unit_test(partial_loss_is_cut_at_the_biggest_drop),
	    cmocka_unit_test(a_point_that_did_not_look_is_transparent),
	    cmocka_unit_test(a_host_without_agent_widens_the_cut),
	    cmocka_unit_test(what_a_lossy_capture_missed_proves_nothing),
	    cmocka_unit_test(what_the_kernel_refuses_dies_behind_the_socket),
	    cmocka_unit_test(our_own_shortage_is_not_loss),
	    cmocka_unit_test(what_waits_for_a_neighbour_dies_where_the_request_died),
	    cmocka_unit_test(what_waits_for_a_neighbour_dies_where_its_answer_died),
	    cmocka_unit_test(what_waits_although_the_neighbour_answers_is_kept_by_its_own_kernel),
	    cmocka_unit_test(what_answers_a_syn_sent_past_the_kernel_is_home_at_the_nic),
	    cmocka_unit_test(directed_frames_tell_the_wire_from_the_neighbour_cache),
	    cmocka_unit_test(what_its_kernel_keeps_back_is_cut_although_answers_die_as_well),
	    cmocka_unit_test(one_dead_direction_is_one_cut_although_the_other_side_resolves_nothing),
	    cmocka_unit_test(answers_that_wait_for_a_neighbour_have_no_cut_of_their_own),
	    cmocka_unit_test(an_echo_of_what_the_peer_never_saw_comes_from_an_impostor),
	    cmocka_unit_test(an_answer_with_another_mac_of_the_same_machine_is_no_impostor),
	    cmocka_unit_test(what_passes_only_as_an_answer_is_reply_only),
	    cmocka_unit_test(size_alone_does_not_look_like_a_state_table),
	    cmocka_unit_test(a_refused_service_is_delivered_and_has_no_cut),
	    cmocka_unit_test(of_several_services_the_worst_one_shows),
	    cmocka_unit_test(late_answers_are_slow_not_lost),
	    cmocka_unit_test(a_starved_sender_is_no_witness_of_missing_answers),
	    cmocka_unit_test(a_starved_answerer_is_no_witness_of_slowness),
	    cmocka_unit_test(a_packet_too_big_is_not_refused_by_the_peer),
	    cmocka_unit_test(no_route_to_host_is_the_neighbours_fault),
	    cmocka_unit_test(what_the_kernel_refuses_is_lost_even_if_a_frame_gets_through),
	    cmocka_unit_test(kinds_that_die_at_one_place_share_an_entry),
	    cmocka_unit_test(an_overflowing_receiver_is_no_witness_of_loss),
	    cmocka_unit_test(an_offline_end_leaves_delivery_unknown),
	    cmocka_unit_test(the_hosts_speak_for_an_offline_end),
	    cmocka_unit_test(a_lost_report_of_the_sender_is_pieced_together),
	    cmocka_unit_test(skipped_kinds_say_why),
	    cmocka_unit_test(doubled_packets_degrade_a_pair),
	    cmocka_unit_test(ladder_flows_are_not_part_of_the_matrix),
	    cmocka_unit_test(nothing_at_all_is_unknown_not_a_crash),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
