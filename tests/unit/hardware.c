/* hardware: what interfaces, drivers, CPUs and memory count while a round runs. Each cause is named when the counter is that of the
 * place where packets are lost or late, and not when it is another's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/scenario.h"

/* ---- what is counted while the round runs ---- */

static void rises(struct world *w, const char *name, const char *counter, int64_t was, int64_t now)
{
	int i = party(w, name);
	if (!w->old[i])
		w->old[i] = snapshot_new();
	w->d->party[i].before = w->old[i];
	w->old[i]->taken = (struct wall){1000000000};
	w->now[i]->taken = (struct wall){2000000000};
	add_counter(w->old[i], counter, was);
	add_counter(w->now[i], counter, now);
}

static void text(struct world *w, const char *name, const char *key, const char *value)
{
	struct text *t = GROW(facts(w, name)->texts, facts(w, name)->text_count);
	str_copy(t->name, sizeof t->name, key);
	str_copy(t->text, sizeof t->text, value);
}

static struct odd *odd(struct world *w, enum oddity what, const char *after, const char *before, uint32_t amount)
{
	int dir = dir_of(w, "g1");
	struct quality *q = &w->v->dir[dir].quality;
	q->measured = true;
	q->odds[q->odd_count] = (struct odd){
	    .what = (uint8_t)what, .after = at_point(w, dir, after), .before = at_point(w, dir, before), .amount = amount};
	return &q->odds[q->odd_count++];
}

/* A train shows that a share is lost there; 42 were sent before it, one of them is missing. */
static void some_lost(struct world *w, const char *after, const char *before)
{
	int dir = dir_of(w, "g1");
	cut(w, "g1", after, before, K(UDP) | K(ICMP), 0)->partial = true;
	w->v->dir[dir].delivery[KIND_UDP] = w->v->dir[dir].delivery[KIND_ICMP] = CELL_PARTIAL;
	w->v->dir[dir].initiation[KIND_UDP] = w->v->dir[dir].initiation[KIND_ICMP] = CELL_PARTIAL;
	odd(w, ODD_LOSS, after, before, 500);
	verdict_decide_state(w->v);
}

/* No train was possible: of 42 no more than two came through. */
static void nearly_all_lost(struct world *w, const char *after, const char *before)
{
	struct direction *d = &w->v->dir[dir_of(w, "g1")];
	struct cut *c = cut(w, "g1", after, before, ALL, 0);
	for (size_t i = 0; i < d->path_count; i++)
		d->path[i].seen = i < c->before ? 42 : 2;
}

/* ---- rings, backlogs ---- */

static void ring_full(struct world *w)
{
	some_lost(w, "h2:v2", "g2:eth0");
	rises(w, "g2", "link.eth0.rx_missed", 0, 31);
	rises(w, "g2", "link.eth0.ring", 256, 256);
	rises(w, "g2", "link.eth0.ring_max", 4096, 4096);
}
static void ring_full_all_lost(struct world *w)
{
	nearly_all_lost(w, "h1:up0", "h2:up0");
	rises(w, "h2", "link.up0.rx_over", 100, 160);
}
static void one_missed_all_lost(struct world *w)
{
	nearly_all_lost(w, "h1:up0", "h2:up0");
	rises(w, "h2", "link.up0.rx_over", 100, 101);
}
static void ring_full_once(struct world *w)
{
	some_lost(w, "h2:v2", "g2:eth0");
	rises(w, "g2", "link.eth0.rx_missed", 31, 31);
}
static void backlog(struct world *w)
{
	some_lost(w, "h2:v2", "g2:eth0");
	rises(w, "g2", "softnet.dropped", 5, 60);
	add_sysctl(facts(w, "g2"), "net.core.netdev_max_backlog", 1000);
}
static void backlog_of_the_sender(struct world *w)
{
	some_lost(w, "h1:up0", "h2:up0");
	rises(w, "h1", "softnet.dropped", 5, 60);
}

/* ---- cables ---- */

static void damaged_frames(struct world *w)
{
	some_lost(w, "h1:up0", "h2:up0");
	rises(w, "h2", "link.up0.rx_crc", 7, 40);
}
static void damaged_the_other_way(struct world *w)
{
	some_lost(w, "h1:up0", "h2:up0");
	rises(w, "h1", "link.up0.rx_crc", 7, 40);
}
static void duplex_half(struct world *w)
{
	some_lost(w, "h1:up0", "h2:up0");
	text(w, "h2", "link.up0.duplex", "half");
}
static void duplex_half_elsewhere(struct world *w)
{
	some_lost(w, "h2:v2", "g2:eth0");
	text(w, "h2", "link.up0.duplex", "half");
}
static void flapping(struct world *w, int changes)
{
	some_lost(w, "h1:up0", "h2:up0");
	for (int i = 0; i < changes; i++)
		changed(w, "h2", "link.up0.carrier", i & 1 ? "no" : "yes", i & 1 ? "yes" : "no");
}
static void flaps(struct world *w) { flapping(w, 6); }
static void replugged(struct world *w) { flapping(w, 2); }
static void flaps_and_is_down(struct world *w)
{
	nearly_all_lost(w, "h1:up0", "h2:up0");
	link_named(w, "h2", "up0")->carrier = false;
	for (int i = 0; i < 5; i++)
		changed(w, "h2", "link.up0.carrier", i & 1 ? "no" : "yes", i & 1 ? "yes" : "no");
}
static void switched_off(struct world *w)
{
	flaps_and_is_down(w);
	link_named(w, "h2", "up0")->up = false;
}
static void filled(struct world *w)
{
	some_lost(w, "h1:up0", "h2:up0");
	link_named(w, "h1", "up0")->speed = 1000;
	rises(w, "h1", "link.up0.tx_bytes", 0, 118000000);
}
static void half_filled(struct world *w)
{
	some_lost(w, "h1:up0", "h2:up0");
	link_named(w, "h1", "up0")->speed = 1000;
	rises(w, "h1", "link.up0.tx_bytes", 0, 60000000);
}
static void failed_over(struct world *w)
{
	nearly_all_lost(w, "h1:up0", "h2:up0");
	changed(w, "h2", "link.up0.active", "eno1", "eno2");
}
static void failed_over_at_the_sender(struct world *w)
{
	nearly_all_lost(w, "h1:up0", "h2:up0");
	changed(w, "h1", "link.up0.active", "eno1", "eno2");
}
static void sends_again(struct world *w)
{
	some_lost(w, "h1:up0", "h2:up0");
	rises(w, "g1", "Tcp.RetransSegs", 10, 90);
	rises(w, "g1", "Tcp.OutSegs", 1000, 2000);
}
static void sends_again_over_a_bad_cable(struct world *w)
{
	sends_again(w);
	rises(w, "h2", "link.up0.rx_crc", 7, 40);
}

/* ---- drivers ---- */

static void driver(struct world *w, const char *name, const char *dev, const char *is)
{
	struct link *l = link_named(w, name, dev);
	str_copy(l->driver, sizeof l->driver, is);
}
static void hangs(struct world *w)
{
	nearly_all_lost(w, "h1:up0", "h2:up0");
	driver(w, "h1", "up0", "e1000e");
	rises(w, "h1", "link.up0.tx_timeouts", 1, 2);
}
static void hangs_at_the_receiver(struct world *w)
{
	nearly_all_lost(w, "h1:up0", "h2:up0");
	rises(w, "h2", "link.up0.tx_timeouts", 1, 2);
}
static void adapter_reset(struct world *w, const char *is)
{
	nearly_all_lost(w, "g1:eth0", "h1:v1");
	driver(w, "g1", "eth0", is);
	rises(w, "g1", "link.eth0.tx_timeouts", 0, 1);
}
static void vmxnet3_reset(struct world *w) { adapter_reset(w, "vmxnet3"); }
static void e1000e_reset(struct world *w) { adapter_reset(w, "e1000e"); }

static void segments(struct world *w, const char *reason)
{
	cut(w, "g1", "g1:socket", "g1:eth0", K(TCP), 0);
	says(w, "g1", "g1", false, K(TCP), reason, "validate_xmit_skb", "eth0");
}
static void segments_die(struct world *w) { segments(w, "SKB_GSO_SEG"); }
static void queue_drops(struct world *w) { segments(w, "QDISC_DROP"); }

/* ---- a queue, a member of an aggregation ---- */

static void swept(struct world *w, const char *after, const char *before, seqset seen)
{
	struct flow *f = &w->d->flows[w->d->flow_count];
	int dir = dir_of(w, "g1");
	struct round_result *r = w->result[party(w, "g1")];
	some_lost(w, after, before);
	*f = *flow_of(w->d, KIND_UDP, dir);
	f->id = (uint8_t)w->d->flow_count++;
	f->stage = STAGE_PORTS;
	f->ports = 8;
	f->count = 32;
	r->sent[r->sent_count++] = (struct flow_sent){.flow = f->id, .status = FLOW_DONE, .sent = 0xffffffff};
	r = w->result[party(w, "g2")];
	r->received[r->received_count++] = (struct flow_received){.flow = f->id, .looked = true, .seen = seen};
}
static void queue_dead(struct world *w) { swept(w, "h2:v2", "g2:eth0", 0xb7b7b7b7); }
static void lost_at_random(struct world *w) { swept(w, "h2:v2", "g2:eth0", 0xb7f7b5e7); }
static void member_dead(struct world *w) { swept(w, "h1:up0", "h2:up0", 0xb7b7b7b7); }

/* The agent is not heard, so nobody knows where it dies; a host on the way has a word for it. */
static void tap_full(struct world *w, const char *reason)
{
	fails(w, "g1", IP4, CELL_LOST);
	says(w, "h2", "g1", false, IP4, reason, "tun_net_xmit", "v2");
	silence(w, "g2");
}
static void ring_of_tap(struct world *w) { tap_full(w, "FULL_RING"); }
static void filter_of_tap(struct world *w) { tap_full(w, "TAP_FILTER"); }

/* ---- CPU, memory ---- */

static void late_inside(struct world *w, const char *pressure)
{
	odd(w, ODD_JITTER, "g2:eth0", "g2:socket", 40000);
	fails(w, "g1", K(UDP), CELL_SLOW);
	add_counter(facts(w, "g2"), pressure, 6500);
}
static void cpu_waits(struct world *w) { late_inside(w, "pressure.cpu"); }
static void cpu_waits_and_the_way_with_it(struct world *w)
{
	cpu_waits(w);
	odd(w, ODD_JITTER, "h2:up0", "h2:v2", 40000);
}
static void memory_waits(struct world *w) { late_inside(w, "pressure.memory"); }
static void late_on_the_wire(struct world *w)
{
	odd(w, ODD_JITTER, "h1:up0", "h2:up0", 40000);
	fails(w, "g1", K(UDP), CELL_SLOW);
	add_counter(facts(w, "g2"), "pressure.cpu", 6500);
	add_counter(facts(w, "g2"), "pressure.memory", 6500);
}

/* ---- programs that do not read ---- */

static void datagrams_die(struct world *w, int64_t lost, const char *reason)
{
	cut(w, "g1", "g2:eth0", "g2:socket", K(UDP) | K(UDP_LARGE), 0);
	says(w, "g2", "g1", false, K(UDP) | K(UDP_LARGE), reason, "udp_queue_rcv_one_skb", "");
	rises(w, "g2", "Udp.RcvbufErrors", 4, 4 + lost);
}
static void socket_is_full(struct world *w) { datagrams_die(w, 6, "SOCKET_RCVBUFF"); }
static void socket_was_full_once(struct world *w) { datagrams_die(w, 0, "NETFILTER_DROP"); }

static const struct scenario scenarios[] = {
    {"socket-rcvbuf-overflow", "g1", "g2", "g2", socket_is_full, socket_was_full_once, "larger buffer"},
    {"rx-ring-exhausted", "g1", "g2", "g2", ring_full, ring_full_once, "ethtool -G eth0 rx 4096"},
    {"rx-ring-exhausted", "g1", "g2", "h2", ring_full_all_lost, one_missed_all_lost, "receive ring"},
    {"softnet-backlog-drop", "g1", "g2", "g2", backlog, backlog_of_the_sender, "net.core.netdev_max_backlog=5000"},
    {"cable-crc-errors", "g1", "g2", "h2", damaged_frames, damaged_the_other_way, "replace the cable"},
    {"speed-duplex-mismatch", "g1", "g2", "h2", duplex_half, duplex_half_elsewhere, "ethtool -s up0 autoneg on"},
    {"pnic-link-flapping", "g1", "g2", "h2", flaps, replugged, "transceiver of h2:up0"},
    {"pnic-link-flapping", "g1", "g2", "h2", flaps_and_is_down, switched_off, "transceiver of h2:up0"},
    {"pnic-link-down", "g1", "g2", "h2", switched_off, flaps_and_is_down, "ip link set dev up0 up"},
    {"pnic-saturated", "g1", "g2", "h1", filled, half_filled, "h1:up0"},
    {"teaming-failover-asymmetry", "g1", "g2", "h2", failed_over, failed_over_at_the_sender,
     "echo eno1 > /sys/class/net/up0/bonding/active_slave"},
    {"tcp-retransmission-loss", "g1", "g2", "g1", sends_again, sends_again_over_a_bad_cable, "go after the loss"},
    {"nic-tx-hang", "g1", "g2", "h1", hangs, hangs_at_the_receiver, "ethtool -K up0 tso off"},
    {"nic-tx-hang", "g1", "g2", "g1", e1000e_reset, vmxnet3_reset, "ethtool -K eth0 tso off"},
    {"vmxnet3-driver-fault", "g1", "g2", "g1", vmxnet3_reset, e1000e_reset, "VMware Tools"},
    {"gso-tso-lro-drop", "g1", "g2", "g1", segments_die, queue_drops, "ethtool -K eth0 tso off"},
    {"multiqueue-misconfig", "g1", "g2", "g2", queue_dead, lost_at_random, "ethtool -L eth0 combined 1"},
    {"lacp-hash-blackhole", "g1", "g2", NULL, member_dead, queue_dead, "LACP"},
    {"tap-or-vswitch-queue-overflow", "g1", "g2", "h2", ring_of_tap, filter_of_tap, "virsh list"},
    {"cpu-oversubscribed", "g1", "g2", "g2", cpu_waits, late_on_the_wire, "more CPU"},
    {"cpu-oversubscribed", "g1", "g2", "g2", cpu_waits_and_the_way_with_it, late_on_the_wire, "more CPU"},
    {"memory-pressure-stall", "g1", "g2", "g2", memory_waits, late_on_the_wire, "memory it needs"},
};

static void it_is_named_first_and_alone(void **state)
{
	(void)state;
	assert_named_first(scenarios, sizeof scenarios / sizeof *scenarios, true);
}

static void what_looks_like_it_is_not(void **state)
{
	(void)state;
	assert_alike_not_named(scenarios, sizeof scenarios / sizeof *scenarios);
}

static void whatever_is_missing_it_is_judged(void **state)
{
	(void)state;
	assert_nothing_is_indispensable(scenarios, sizeof scenarios / sizeof *scenarios);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(it_is_named_first_and_alone),
	    cmocka_unit_test(what_looks_like_it_is_not),
	    cmocka_unit_test(whatever_is_missing_it_is_judged),
	};
	return cmocka_run_group_tests(tests, open_catalogue, close_catalogue);
}
