/* evidence_quality: what is odd about packets that arrive, some of which are lost, and what the machines on the stretch where
 * it begins say of their CPUs, queues and interfaces. */
#include "collector/diagnose/inquiry.h"

#include <stdio.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

#define STEAL_MIN      150  /* permille */
#define STALL_MIN      2000 /* hundredths of a percent of time in which something waited (PSI, avg10) */
#define FLAPS_MIN      3    /* changes of a carrier since the pair was well */
#define RETRANSMIT_OF  20   /* one segment of so many */
#define RETRANSMIT_MIN 20
#define SATURATED_OF   10 /* nine tenths of the speed */
#define SWEPT_DEAD_MIN 1

/* ---- where ---- */

static const struct path_point *point_of(const struct inquiry *q, size_t i) { return &q->v->dir[q->p->dir].path[i]; }
static int party_of(const struct inquiry *q, size_t i) { return point_party(q->d, q->v, q->p->dir, i); }

static const char *stretch(const struct inquiry *q, char *out, size_t size)
{
	char after[POINT_NAME_MAX], before[POINT_NAME_MAX];
	snprintf(out, size, "between %s and %s", path_point_name(point_of(q, q->p->after), after),
	         path_point_name(point_of(q, q->p->before), before));
	return out;
}
#define STRETCH_MAX (2 * POINT_NAME_MAX + 16)

static bool in_stack(const struct inquiry *q)
{
	const struct problem *p = q->p;
	bool own = p->placed && party_of(q, p->after) == q->who && party_of(q, p->before) == q->who;
	return own && (point_of(q, p->after)->role == POINT_SOCKET || point_of(q, p->before)->role == POINT_SOCKET);
}

static void at_stack(const struct inquiry *q, struct finding *f)
{
	if (in_stack(q))
		find_yes(f, ~0u, "it is inside %s, between its interface and its programs", name_of(q, q->who));
	else
		find_no(f, "it is not between the interface and the programs of %s", name_of(q, q->who));
}

static void at_machine(const struct inquiry *q, struct finding *f)
{
	const struct problem *p = q->p;
	if (p->placed && (party_of(q, p->after) == q->who || party_of(q, p->before) == q->who))
		find_yes(f, ~0u, "%s", "");
	else
		find_no(f, "it is not at %s", name_of(q, q->who));
}

/* Where a guest's interface meets the host's side of its port. */
static void at_own_cable(const struct inquiry *q, struct finding *f)
{
	const struct problem *p = q->p;
	size_t other = q->who == q->src ? p->before : p->after, own = q->who == q->src ? p->after : p->before;
	bool nic = p->placed && (q->who == q->src || q->who == q->dst) && party_of(q, own) == q->who;
	if (nic && (point_of(q, own)->role == POINT_NIC || point_of(q, own)->role == POINT_SOCKET) &&
	    (party_of(q, other) != q->who || point_of(q, other)->role == POINT_NIC))
		find_yes(f, ~0u, "it is at the interface of %s", name_of(q, q->who));
	else
		find_no(f, "it is not at the interface of %s", name_of(q, q->who));
}

/* Who is to blame: one machine, or what lies between two. */
static void span_bind(const struct inquiry *q, const char *key)
{
	int x = party_of(q, q->p->after), y = party_of(q, q->p->before);
	if (x == y)
		bindings_add(q->learned, key, "%s", name_of(q, x));
	else
		bindings_add(q->learned, key, "%s-%s", name_of(q, x < y ? x : y), name_of(q, x < y ? y : x));
	bindings_add(q->learned, "component", "%s",
	             point_of(q, q->p->before)->ifname[0] ? point_of(q, q->p->before)->ifname : "its stack");
}

static bool hosts_it(const struct inquiry *q, int host, int guest)
{
	return guest >= 0 && q->d->party[guest].kind == AGENT_GUEST && dossier_host(q->d, guest) == host;
}

/* A guest and its own host are one machine to what lies between machines. */
static void between_machines(const struct inquiry *q, struct finding *f)
{
	const struct problem *p = q->p;
	char text[STRETCH_MAX];
	int x = p->placed ? party_of(q, p->after) : -1, y = p->placed ? party_of(q, p->before) : -1;
	if (x == y || hosts_it(q, x, y) || hosts_it(q, y, x)) {
		find_no(f, "it is inside of one machine");
		return;
	}
	span_bind(q, "span");
	find_yes(f, ~0u, "it begins %s", stretch(q, text, sizeof text));
}

/* Devices of this machine on the stretch, one call each; true: that one is it. */
typedef bool device_fn(const struct inquiry *q, const char *ifname, struct finding *f);
typedef bool side_fn(const struct inquiry *q, size_t i);

static bool either_side(const struct inquiry *q, size_t i) { return party_of(q, i) == q->who; }

/* Packets come into the machine there; it is not where they were seen last. */
static bool receives(const struct inquiry *q, size_t i)
{
	return i > q->p->after && party_of(q, i) == q->who && party_of(q, i - 1) != q->who;
}

static bool sends(const struct inquiry *q, size_t i)
{
	return i < q->p->before && party_of(q, i) == q->who && party_of(q, i + 1) != q->who;
}

static bool device_of(const struct inquiry *q, side_fn *side, device_fn *is, struct finding *f)
{
	for (size_t i = q->p->after; q->p->placed && i <= q->p->before; i++)
		if (side(q, i) && point_of(q, i)->ifname[0] && is(q, point_of(q, i)->ifname, f)) {
			bindings_add(q->learned, "component", "%s", point_of(q, i)->ifname);
			return true;
		}
	return false;
}
static bool any_device(const struct inquiry *q, device_fn *is, struct finding *f) { return device_of(q, either_side, is, f); }

/* ---- what ---- */

static void say_share(const struct inquiry *q, struct finding *f, uint32_t of_10000, const char *what)
{
	char text[STRETCH_MAX];
	span_bind(q, "span");
	find_yes(f, ~0u, "%u.%02u %% of the packets %s %s", of_10000 / 100, of_10000 % 100, what, stretch(q, text, sizeof text));
}

static void say_time(const struct inquiry *q, struct finding *f, const char *what)
{
	char text[STRETCH_MAX];
	span_bind(q, "span");
	find_yes(f, ~0u, "%u.%01u ms %s %s%s", q->p->amount / 1000, q->p->amount % 1000 / 100, what, stretch(q, text, sizeof text),
	         q->p->around ? ", there and back together" : "");
}

static const struct odd *loss_of(const struct inquiry *q)
{
	const struct quality *m = &q->v->dir[q->p->dir].quality;
	for (size_t i = 0; q->p->placed && !q->p->odd && i < m->odd_count; i++)
		if (m->odds[i].what == ODD_LOSS && m->odds[i].after == q->p->after && m->odds[i].before == q->p->before)
			return &m->odds[i];
	return NULL;
}

static void odd_loss(const struct inquiry *q, struct finding *f)
{
	const struct odd *o = loss_of(q);
	if (o)
		say_share(q, f, o->amount, "are lost");
	else
		find_no(f, "no train of probes shows that a share of the packets is lost there");
}

/* Or it dies there without a train: what was seen on both sides of the place tells how much. */
static void loss_or_cut(const struct inquiry *q, struct finding *f)
{
	char text[STRETCH_MAX];
	odd_loss(q, f);
	if (f->is == TRI_YES || !q->p->placed || q->p->odd || !q->p->probes)
		return;
	span_bind(q, "span");
	find_yes(f, ~0u, "%u of %u packets pass %s", point_of(q, q->p->before)->seen, point_of(q, q->p->after)->seen,
	         stretch(q, text, sizeof text));
}

/* A counter that rose by less than what is lost there was not about that. */
static bool accounts(const struct inquiry *q, int64_t rise)
{
	uint32_t from = point_of(q, q->p->after)->seen, to = point_of(q, q->p->before)->seen;
	return loss_of(q) || 2 * rise >= (int64_t)(from > to ? from - to : 0);
}

static bool is_odd(const struct inquiry *q, enum oddity what, struct finding *f)
{
	if (q->p->odd == what)
		return true;
	find_no(f, "it is not a matter of %s", odd_name(what));
	return false;
}

static void odd_delay(const struct inquiry *q, struct finding *f)
{
	if (is_odd(q, ODD_DELAY, f))
		say_time(q, f, "pass");
}

static void odd_jitter(const struct inquiry *q, struct finding *f)
{
	if (is_odd(q, ODD_JITTER, f))
		say_time(q, f, "more than the quickest need is what half of the packets need");
}

static void odd_queue(const struct inquiry *q, struct finding *f)
{
	if (is_odd(q, ODD_QUEUE, f))
		say_time(q, f, "packets of a burst wait for each other");
}

static void odd_reorder(const struct inquiry *q, struct finding *f)
{
	if (is_odd(q, ODD_REORDER, f))
		say_share(q, f, q->p->amount, "are overtaken by later ones");
}

static void odd_duplicates(const struct inquiry *q, struct finding *f)
{
	if (is_odd(q, ODD_DUPLICATES, f))
		say_share(q, f, q->p->amount, "are doubled");
}

/* A loop multiplies everything; what doubles some packets is none. */
static void copies_of_all(const struct inquiry *q, struct finding *f)
{
	if (q->p->odd == ODD_DUPLICATES && q->p->amount >= 8000)
		say_share(q, f, q->p->amount, "are doubled");
	else
		find_no(f, "only some of the packets are doubled");
}

static void odd_damage(const struct inquiry *q, struct finding *f)
{
	if (is_odd(q, ODD_DAMAGE, f))
		say_share(q, f, q->p->amount, "are damaged");
}

/* Of the stretch where the damage happens, not of the one where the damaged packets die. */
static const char *damage_span(const struct inquiry *q)
{
	static _Thread_local char out[2 * TITLE_MAX_LEN];
	const struct quality *m = &q->v->dir[q->p->dir].quality;
	for (size_t i = 0; i < m->odd_count; i++) {
		int x = party_of(q, m->odds[i].after), y = party_of(q, m->odds[i].before);
		if (m->odds[i].what == ODD_DAMAGE)
			snprintf(out, sizeof out, "%s%s%s", name_of(q, x < y ? x : y), x == y ? "" : "-",
			         x == y ? "" : name_of(q, x < y ? y : x));
	}
	return out;
}

static void damage_seen(const struct inquiry *q, struct finding *f)
{
	const struct quality *m = &q->v->dir[q->p->dir].quality;
	for (size_t i = 0; i < m->odd_count; i++)
		if (m->odds[i].what == ODD_DAMAGE) {
			find_yes(f, ~0u, "packets are seen to be damaged on this way");
			return;
		}
	find_no(f, "nobody saw a damaged packet");
}

/* A kernel throws damaged packets away: about as many as were seen to be damaged before they came to it. */
static void lost_as_damaged(const struct inquiry *q, struct finding *f)
{
	const struct direction *dir = &q->v->dir[q->p->dir];
	const struct odd *lost = loss_of(q);
	bool at_socket = lost && lost->before < dir->path_count && !dir->path[lost->before].ifname[0];
	for (size_t i = 0; at_socket && i < dir->quality.odd_count; i++) {
		const struct odd *o = &dir->quality.odds[i];
		if (o->what == ODD_DAMAGE && o->before <= lost->after && lost->amount <= 2 * o->amount) {
			find_yes(f, ~0u, "as many packets came there damaged as are lost");
			return;
		}
	}
	find_no(f, "not as many packets came there damaged as are lost");
}

/* Seen on the way, with its place; else a receiver's word for packets of every protocol. */
static void damaged_or_dropped(const struct inquiry *q, struct finding *f)
{
	const struct evidence *dropped = evidence_find("drop-reason-checksum"), *intact = evidence_find("icmp-intact");
	struct finding icmp = {.is = TRI_NO}, seen = {.is = TRI_NO};
	if (q->p->odd == ODD_DAMAGE) {
		odd_damage(q, f);
		span_bind(q, "damaged.span");
		return;
	}
	damage_seen(q, &seen);
	intact->find(q, &icmp);
	if (q->p->odd || (icmp.is == TRI_YES && seen.is != TRI_YES))
		find_no(f, "%s", icmp.is == TRI_YES ? icmp.text : "it is not a matter of damage");
	else
		dropped->find(q, f);
	if (f->is == TRI_YES && seen.is == TRI_YES)
		bindings_add(q->learned, "damaged.span", "%s", damage_span(q));
}

static void some_pass(const struct inquiry *q, struct finding *f)
{
	if (q->p->partial)
		find_yes(f, ~0u, "some of them get through");
	else
		find_no(f, "none of them gets through");
}

static void odd_late(const struct inquiry *q, struct finding *f)
{
	if (q->p->odd == ODD_DELAY || q->p->odd == ODD_JITTER)
		say_time(q, f, "packets wait");
	else
		find_no(f, "nothing is late");
}

static void loss_or_late(const struct inquiry *q, struct finding *f)
{
	if (q->p->odd == ODD_QUEUE)
		odd_queue(q, f);
	else if (q->p->odd)
		odd_late(q, f);
	else
		odd_loss(q, f);
}

/* ---- all of one direction ---- */

static bool all_dies_here(const struct inquiry *q)
{
	const struct direction *d = &q->v->dir[q->p->dir];
	for (int k = 0; k < KIND_COUNT; k++) {
		bool known = d->delivery[k] != CELL_UNKNOWN && d->delivery[k] != CELL_SKIPPED;
		if (known && !(q->p->probes & KIND_BIT(k)))
			return false;
	}
	return !q->p->partial && q->p->probes;
}

static bool other_way_passes(const struct inquiry *q)
{
	const struct direction *d = &q->v->dir[1 - q->p->dir];
	bool any = false;
	for (int k = 0; k < KIND_COUNT; k++) {
		if (d->delivery[k] == CELL_LOST || d->delivery[k] == CELL_PARTIAL)
			return false;
		any |= d->delivery[k] == CELL_OK;
	}
	return any;
}

static void one_way_dead(const struct inquiry *q, struct finding *f)
{
	char text[STRETCH_MAX];
	if (!q->p->placed || q->p->odd || !all_dies_here(q))
		find_no(f, "something of that direction passes");
	else if (!other_way_passes(q))
		find_no(f, "the other direction is not well either");
	else if (!q->d->path_complete[q->p->dir])
		find_no(f, "who else stands between the two is not known: it need not be a cable");
	else
		find_yes(f, ~0u, "everything of that direction dies %s, ARP and neighbour discovery too, and nothing of the other",
		         stretch(q, text, sizeof text));
}

/* Between the guest's interface and the host's side of its port, or right behind that. */
static bool at_cable(const struct inquiry *q, bool leaving)
{
	const struct problem *p = q->p;
	int guest = leaving ? q->src : q->dst, host = dossier_host(q->d, guest);
	const struct placement *at = &q->d->party[guest].at;
	if (!p->placed || q->d->party[guest].kind != AGENT_GUEST || host < 0 || host != q->who || !at->known)
		return false;
	const struct path_point *x = point_of(q, leaving ? p->after : p->before), *y = point_of(q, leaving ? p->before : p->after);
	bool port = strcmp(x->ifname, at->port) == 0 || strcmp(y->ifname, at->port) == 0;
	bool nic = party_of(q, leaving ? p->after : p->before) == guest && x->role == POINT_NIC;
	return (port && nic) || strcmp(x->ifname, at->port) == 0;
}

static void say_cable(const struct inquiry *q, struct finding *f, bool leaving)
{
	int guest = leaving ? q->src : q->dst;
	char text[STRETCH_MAX];
	if (!at_cable(q, leaving)) {
		find_no(f, "it is not at the virtual cable of %s", name_of(q, guest));
		return;
	}
	bindings_add(q->learned, "component", "%s", q->d->party[guest].at.port);
	bindings_add(q->learned, "cable.port", "%s", q->d->party[guest].at.port);
	bindings_add(q->learned, "guest", "%s", name_of(q, guest));
	find_yes(f, ~0u, "what %s %s dies %s", name_of(q, guest), leaving ? "sends" : "is sent", stretch(q, text, sizeof text));
}

static void cable_from_guest(const struct inquiry *q, struct finding *f) { say_cable(q, f, true); }
static void cable_to_guest(const struct inquiry *q, struct finding *f) { say_cable(q, f, false); }

/* ---- counters of a link that is dead one way ---- */

#define SENT_MIN 10 /* frames; a round sends more */

/* Frames that a device sent and received while the round was running. */
static bool link_moved(const struct dossier *d, int party, const char *ifname, uint64_t *sent, uint64_t *got)
{
	const struct party *p = party < 0 ? NULL : &d->party[party];
	const struct link *was = p && p->reported && p->before ? snapshot_link_named(p->before, ifname) : NULL;
	const struct link *now = was && p->after ? snapshot_link_named(p->after, ifname) : NULL;
	if (!now)
		return false;
	*sent = now->tx_packets - was->tx_packets;
	*got = now->rx_packets - was->rx_packets;
	return true;
}

static void link_hears_nothing(const struct inquiry *q, struct finding *f)
{
	const struct path_point *to = point_of(q, q->p->before);
	uint64_t sent, got;
	if (!q->p->placed || !to->ifname[0] || !link_moved(q->d, party_of(q, q->p->before), to->ifname, &sent, &got))
		find_unknown(f, "the counters of the receiving interface are not known");
	else if (got || sent < SENT_MIN)
		find_no(f, "%s:%s receives other frames", to->agent, to->ifname);
	else
		find_yes(f, ~0u, "%s:%s sent %llu frames meanwhile and received none at all", to->agent, to->ifname,
		         (unsigned long long)sent);
}

/* tc at the port takes all of it away, or the other side of the cable counts nothing. */
static void say_taken(const struct inquiry *q, struct finding *f, bool leaving)
{
	int guest = leaving ? q->src : q->dst;
	const char *port = q->d->party[guest].at.port, *way = leaving ? "ingress" : "egress";
	const struct snapshot *s = party_facts(q->d, q->who);
	uint64_t sent, got;
	char name[96];
	snprintf(name, sizeof name, "link.%s.tc_%s", port, way);
	const char *tc = s ? snapshot_text(s, name) : NULL;
	if (tc) {
		bindings_add(q->learned, "redirected", "%s %s", port, way);
		find_yes(f, ~0u, "a tc filter at %s:%s takes what comes by (%s: %s)", name_of(q, q->who), port, way, tc);
		return;
	}
	const char *far = leaving ? port : party_if(q->d, guest);
	if (point_of(q, leaving ? q->p->after : q->p->before)->role != POINT_NIC)
		find_no(f, "no tc filter takes the frames at %s:%s", name_of(q, q->who), port);
	else if (!link_moved(q->d, leaving ? q->who : guest, far, &sent, &got))
		find_unknown(f, "the counters of the virtual cable are not known");
	else if (got || sent < SENT_MIN)
		find_no(f, "the far side of the virtual cable receives other frames, and no tc filter takes them");
	else
		find_yes(f, ~0u, "%s:%s received no frame at all", name_of(q, leaving ? q->who : guest), far);
}

static void taken_from_guest(const struct inquiry *q, struct finding *f) { say_taken(q, f, true); }
static void taken_to_guest(const struct inquiry *q, struct finding *f) { say_taken(q, f, false); }

/* ---- source ports: what the sweep says ---- */

struct sweep {
	unsigned ports, dead, well;
};

static bool sweep_flow(const struct dossier *d, const struct flow *f, struct sweep *out)
{
	const struct flow_sent *s = dossier_sent(d, f->id);
	const struct flow_received *r = dossier_received(d, f->id);
	if (!s || !r || !r->looked || !f->ports)
		return false;
	for (unsigned port = 0; port < f->ports; port++) {
		seqset mine = 0;
		for (unsigned seq = port; seq < f->count && seq < FLOW_PROBES_MAX; seq += f->ports)
			mine |= (seqset)1 << seq;
		mine &= s->sent;
		out->ports += mine != 0;
		out->dead += mine && !(r->seen & mine);
		out->well += mine && (r->seen & mine) == mine;
	}
	return true;
}

static void ports_dead(const struct inquiry *q, struct finding *f)
{
	struct sweep sum = {0};
	bool any = false;
	for (size_t i = 0; i < q->d->flow_count; i++)
		if (q->d->flows[i].dir == q->p->dir && q->d->flows[i].stage == STAGE_PORTS)
			any |= sweep_flow(q->d, &q->d->flows[i], &sum);
	if (!any || !sum.ports)
		find_unknown(f, "it was not tried with several source ports");
	else if (sum.dead < SWEPT_DEAD_MIN || sum.dead + sum.well < sum.ports || !sum.well)
		find_no(f, "it does not depend on the source port");
	else
		find_yes(f, ~0u, "of %u source ports %u never get through and the others always do", sum.ports, sum.dead);
}

/* ---- counters of the machines ---- */

/* How much it grew while the round was running; false: nobody read it twice. */
static bool counter_rise(const struct inquiry *q, const char *name, int64_t *out)
{
	const struct party *p = &q->d->party[q->who];
	int64_t was = 0, now = 0;
	if (!p->reported || !p->before || !p->after)
		return false;
	snapshot_counter(p->before, name, &was); /* those that are zero are left out */
	snapshot_counter(p->after, name, &now);
	*out = now - was;
	return true;
}

static bool device_rise(const struct inquiry *q, const char *ifname, const char *what, int64_t *out)
{
	char name[96];
	snprintf(name, sizeof name, "link.%s.%s", ifname, what);
	return counter_rise(q, name, out) && *out > 0;
}

static bool rises_one(const struct inquiry *q, const char *ifname, const char *const *names, size_t count, struct finding *f)
{
	int64_t rise;
	for (size_t i = 0; i < count; i++)
		if (device_rise(q, ifname, names[i], &rise) && accounts(q, rise)) {
			find_yes(f, ~0u, "%s:%s counts %lld more of %s", name_of(q, q->who), ifname, (long long)rise, names[i]);
			return true;
		}
	return false;
}

static bool ring_device(const struct inquiry *q, const char *ifname, struct finding *f)
{
	static const char *const names[] = {"rx_missed", "rx_over", "rx_fifo"};
	const struct snapshot *s = party_facts(q->d, q->who);
	char name[96];
	int64_t now = 0, max = 0;
	if (!rises_one(q, ifname, names, COUNT(names), f))
		return false;
	snprintf(name, sizeof name, "link.%s.ring", ifname);
	snapshot_counter(s, name, &now);
	snprintf(name, sizeof name, "link.%s.ring_max", ifname);
	snapshot_counter(s, name, &max);
	if (max > now)
		bindings_add(q->learned, "ring.max", "%lld", (long long)max);
	return true;
}

static void ring_overflows(const struct inquiry *q, struct finding *f)
{
	if (!device_of(q, receives, ring_device, f))
		find_no(f, "no interface of %s counts packets that found no room in its ring", name_of(q, q->who));
}

static bool crc_device(const struct inquiry *q, const char *ifname, struct finding *f)
{
	static const char *const names[] = {"rx_crc", "rx_frame", "rx_length"};
	return rises_one(q, ifname, names, COUNT(names), f);
}

static void crc_errors(const struct inquiry *q, struct finding *f)
{
	if (!device_of(q, receives, crc_device, f))
		find_no(f, "no interface of %s counts damaged frames", name_of(q, q->who));
}

static bool hang_device(const struct inquiry *q, const char *ifname, struct finding *f)
{
	int64_t rise;
	if (!device_rise(q, ifname, "tx_timeouts", &rise))
		return false;
	find_yes(f, ~0u, "the transmitter of %s:%s was reset %lld times", name_of(q, q->who), ifname, (long long)rise);
	return true;
}

static void tx_hangs(const struct inquiry *q, struct finding *f)
{
	if (!device_of(q, sends, hang_device, f))
		find_no(f, "no interface of %s had its transmitter reset", name_of(q, q->who));
}

static void backlog_bind(const struct inquiry *q, int64_t rise, struct finding *f)
{
	const struct snapshot *s = party_facts(q->d, q->who);
	int64_t room = 0;
	if (s && snapshot_sysctl(s, "net.core.netdev_max_backlog", &room) && room < 5000)
		bindings_add(q->learned, "backlog.more", "5000");
	find_yes(f, ~0u, "the CPUs of %s dropped %lld packets for a full backlog (softnet)", name_of(q, q->who), (long long)rise);
}

/* Packets wait for a CPU before anybody sees them. */
static void backlog_dropped(const struct inquiry *q, struct finding *f)
{
	int64_t rise;
	if (!q->p->placed || party_of(q, q->p->before) != q->who)
		find_no(f, "it is not lost on its way into %s", name_of(q, q->who));
	else if (!counter_rise(q, "softnet.dropped", &rise))
		find_unknown(f, "%s did not report its backlogs", name_of(q, q->who));
	else if (rise <= 0 || !accounts(q, rise))
		find_no(f, "no CPU of %s had its backlog full", name_of(q, q->who));
	else
		backlog_bind(q, rise, f);
}

static void tcp_retransmits(const struct inquiry *q, struct finding *f)
{
	int64_t again, out;
	if (!counter_rise(q, "Tcp.RetransSegs", &again) || !counter_rise(q, "Tcp.OutSegs", &out))
		find_unknown(f, "%s did not report its TCP", name_of(q, q->who));
	else if (again < RETRANSMIT_MIN || again * RETRANSMIT_OF < out)
		find_no(f, "TCP of %s sends little again", name_of(q, q->who));
	else
		find_yes(f, ~0u, "TCP of %s sent %lld of %lld segments again", name_of(q, q->who), (long long)again,
		         (long long)out);
}

/* ---- drivers ---- */

static void segments_dropped(const struct inquiry *q, struct finding *f)
{
	const struct round_result *r = q->d->party[q->who].result;
	for (size_t i = 0; r && i < r->drops_count; i++) {
		const struct flow_drop *d = &r->drops[i];
		if (strncmp(d->reason, "SKB_GSO", 7) != 0 || problem_row_kind(q->d, q->p, d->flow, d->part, d->seqs) < 0)
			continue;
		if (d->ifname[0])
			bindings_add(q->learned, "segment.if", "%s", d->ifname);
		find_yes(f, ~0u, "the kernel of %s could not cut a large segment (%s)", name_of(q, q->who), d->reason);
		return;
	}
	find_unknown(f, "the kernel of %s does not say that it dropped large segments", name_of(q, q->who));
}

static void vmxnet3_resets(const struct inquiry *q, struct finding *f)
{
	const struct link *l = party_link(q->d, q->who);
	int64_t rise;
	if (!l || strcmp(l->driver, "vmxnet3") != 0)
		find_no(f, "%s has no VMXNET3 interface", name_of(q, q->who));
	else if (device_rise(q, l->name, "tx_timeouts", &rise))
		find_yes(f, ~0u, "the driver of %s:%s has reset it %lld times", name_of(q, q->who), l->name, (long long)rise);
	else
		find_no(f, "the driver of %s:%s has not reset it", name_of(q, q->who), l->name);
}

static bool bond_device(const struct inquiry *q, const char *ifname, struct finding *f)
{
	const struct party *p = &q->d->party[q->who];
	char key[FACT_KEY_MAX];
	snprintf(key, sizeof key, "link.%s.active", ifname);
	const struct fact_change *c = history_last(p, key);
	if (!c || !c->was || !c->now)
		return false;
	bindings_add(q->learned, "failed.bond.first", "%s", c->was);
	find_yes(f, ~0u, "%s:%s has changed from %s to %s", name_of(q, q->who), ifname, c->was, c->now);
	return true;
}

static void failed_over(const struct inquiry *q, struct finding *f)
{
	if (!any_device(q, bond_device, f))
		find_no(f, "no bond of %s has changed its active member", name_of(q, q->who));
}

/* ---- CPU, memory ---- */

static int64_t stalled(const struct inquiry *q, const char *name)
{
	const struct snapshot *s = party_facts(q->d, q->who);
	int64_t v = 0;
	return s && snapshot_counter(s, name, &v) ? v : -1;
}

static void cpu_starved(const struct inquiry *q, struct finding *f)
{
	const struct round_result *r = q->d->party[q->who].result;
	int32_t steal = r ? r->health.steal_permille : -1;
	int64_t waits = stalled(q, "pressure.cpu");
	if (steal >= STEAL_MIN)
		find_yes(f, ~0u, "the hypervisor gave %d %% of the CPU time of %s to others (steal)", steal / 10,
		         name_of(q, q->who));
	else if (waits >= STALL_MIN)
		find_yes(f, ~0u, "programs of %s waited for a CPU in %d %% of the last 10 s (PSI)", name_of(q, q->who),
		         (int)waits / 100);
	else if (steal < 0 && waits < 0)
		find_unknown(f, "%s does not say whether its CPUs are short", name_of(q, q->who));
	else
		find_no(f, "%s has the CPU it needs", name_of(q, q->who));
}

/* Packets wait between its interface and its programs. */
static bool stack_waits(const struct inquiry *q, int party)
{
	for (int dir = 0; dir < 2; dir++) {
		const struct direction *d = &q->v->dir[dir];
		for (size_t i = 0; i < d->quality.odd_count; i++) {
			const struct odd *o = &d->quality.odds[i];
			bool late = o->what == ODD_DELAY || o->what == ODD_JITTER;
			bool inside =
			    point_party(q->d, q->v, dir, o->after) == party && point_party(q->d, q->v, dir, o->before) == party;
			if (late && inside && (d->path[o->after].role == POINT_SOCKET || d->path[o->before].role == POINT_SOCKET))
				return true;
		}
	}
	return false;
}

/* A machine that lacks CPU is late with what it forwards and captures, too: that is no queue of the path. */
static void late_for_cpu(const struct inquiry *q, struct finding *f)
{
	struct inquiry at = *q;
	for (at.who = 0; at.who < (int)q->d->party_count; at.who++) {
		int64_t waits = stack_waits(q, at.who) ? stalled(&at, "pressure.cpu") : 0;
		if (waits < STALL_MIN / 4)
			continue;
		find_yes(f, ~0u, "programs of %s wait for a CPU (%d %% of the last 10 s), and packets wait for them",
		         name_of(q, at.who), (int)waits / 100);
		return;
	}
	find_no(f, "packets wait for no machine's programs");
}

static void memory_stalls(const struct inquiry *q, struct finding *f)
{
	int64_t waits = stalled(q, "pressure.memory");
	if (waits >= STALL_MIN)
		find_yes(f, ~0u, "programs of %s waited for memory in %d %% of the last 10 s (PSI)", name_of(q, q->who),
		         (int)waits / 100);
	else if (waits < 0)
		find_unknown(f, "%s does not say whether it waits for memory", name_of(q, q->who));
	else
		find_no(f, "nothing waits for memory on %s", name_of(q, q->who));
}

/* ---- interfaces ---- */

static int carrier_changes(const struct inquiry *q, const char *ifname)
{
	const struct party *p = &q->d->party[q->who];
	char key[FACT_KEY_MAX];
	int n = 0;
	snprintf(key, sizeof key, "link.%s.carrier", ifname);
	for (size_t i = 0; i < p->change_count; i++)
		n += strcmp(p->changes[i].key, key) == 0;
	return n;
}

/* One that its own machine has switched off does not flap. */
static bool flap_device(const struct inquiry *q, const char *ifname, struct finding *f)
{
	const struct snapshot *s = party_facts(q->d, q->who);
	const struct link *l = s ? snapshot_link_named(s, ifname) : NULL;
	int64_t rise = 0;
	int changes = carrier_changes(q, ifname);
	device_rise(q, ifname, "carrier_changes", &rise);
	if (changes + rise < FLAPS_MIN || (l && !l->up))
		return false;
	find_yes(f, ~0u, "%s:%s lost and found its carrier %lld times", name_of(q, q->who), ifname, (long long)(changes + rise));
	return true;
}

static void link_flaps(const struct inquiry *q, struct finding *f)
{
	if (!any_device(q, flap_device, f))
		find_no(f, "the carriers of %s are steady", name_of(q, q->who));
}

static bool limiter_device(const struct inquiry *q, const char *ifname, struct finding *f)
{
	const struct snapshot *s = party_facts(q->d, q->who);
	char name[96];
	snprintf(name, sizeof name, "link.%s.limit", ifname);
	const char *text = s ? snapshot_text(s, name) : NULL;
	if (!text)
		return false;
	bindings_add(q->learned, "limited", "%s", ifname);
	bindings_add(q->learned, "limit", "%s", text);
	find_yes(f, ~0u, "%s:%s is limited: %s", name_of(q, q->who), ifname, text);
	return true;
}

static void limiter(const struct inquiry *q, struct finding *f)
{
	if (!any_device(q, limiter_device, f))
		find_no(f, "no interface of %s on that stretch is limited", name_of(q, q->who));
}

bool queue_is_limited(const struct inquiry *q, struct finding *f)
{
	bool waits = q->p->odd == ODD_QUEUE || q->p->odd == ODD_JITTER || q->p->odd == ODD_DELAY;
	if (!waits && !loss_of(q))
		return false;
	limiter(q, f);
	return f->is == TRI_YES;
}

static bool duplex_device(const struct inquiry *q, const char *ifname, struct finding *f)
{
	const struct snapshot *s = party_facts(q->d, q->who);
	char name[96];
	snprintf(name, sizeof name, "link.%s.duplex", ifname);
	const char *text = s ? snapshot_text(s, name) : NULL;
	if (!text || strcmp(text, "half") != 0)
		return false;
	find_yes(f, ~0u, "%s:%s runs at half duplex", name_of(q, q->who), ifname);
	return true;
}

static void half_duplex(const struct inquiry *q, struct finding *f)
{
	if (!any_device(q, duplex_device, f))
		find_no(f, "no interface of %s runs at half duplex", name_of(q, q->who));
}

static bool saturated_device(const struct inquiry *q, const char *ifname, struct finding *f)
{
	const struct party *p = &q->d->party[q->who];
	const struct snapshot *s = party_facts(q->d, q->who);
	const struct link *l = s ? snapshot_link_named(s, ifname) : NULL;
	int64_t sent = 0, got = 0, us = p->before && p->after ? (p->after->taken.ns - p->before->taken.ns) / 1000 : 0;
	device_rise(q, ifname, "tx_bytes", &sent);
	device_rise(q, ifname, "rx_bytes", &got);
	int64_t bits = (sent > got ? sent : got) * 8;
	if (!l || !l->speed || us < 100000 || bits * SATURATED_OF < (int64_t)l->speed * us * (SATURATED_OF - 1))
		return false;
	find_yes(f, ~0u, "%s:%s carries %lld of %u Mbit/s", name_of(q, q->who), ifname, (long long)(bits / us), l->speed);
	return true;
}

static void saturated(const struct inquiry *q, struct finding *f)
{
	if (!any_device(q, saturated_device, f))
		find_no(f, "no interface of %s on that stretch is full", name_of(q, q->who));
}

static const struct evidence items[] = {
    {"odd-loss", odd_loss, "train of probes", "a share of the packets is lost there, more than chance"},
    {"odd-loss-or-cut", loss_or_cut, "train of probes, cut", "a share of the packets is lost there, or all of them"},
    {"odd-delay", odd_delay, "train of probes, the usual round trip", "packets need longer there than they used to"},
    {"odd-jitter", odd_jitter, "train of probes", "packets need very different times there"},
    {"odd-late", odd_late, "train of probes", "packets are late there, all or many of them"},
    {"odd-queue", odd_queue, "burst of probes", "packets of a burst wait behind each other there"},
    {"odd-reorder", odd_reorder, "train and burst of probes", "packets overtake each other there"},
    {"odd-duplicates", odd_duplicates, "train of probes", "packets come twice from there on"},
    {"copies-of-all", copies_of_all, "train of probes", "nearly every packet comes more than once from there on"},
    {"odd-damage", odd_damage, "train of probes", "the contents of packets change there"},
    {"at-own-stack", at_stack, "train of probes", "it is between the machine's interface and its programs"},
    {"odd-damage-or-dropped", damaged_or_dropped, "train of probes, drop reasons",
     "packets are damaged, by what the points saw or by a kernel's word for packets of every protocol"},
    {"odd-loss-or-late", loss_or_late, "train of probes", "a share of the packets is lost there, or waits"},
    {"lost-as-damaged", lost_as_damaged, "train of probes", "what a machine's own kernel does not deliver came to it damaged"},
    {"damage-seen", damage_seen, "train of probes", "somebody saw damaged packets on this way"},
    {"some-pass", some_pass, "cut", "some of what dies there gets through"},
    {"at-own-cable", at_own_cable, "cut, train of probes", "it is at the machine's own interface"},
    {"segments-dropped", segments_dropped, "drop reasons", "the machine's kernel could not cut a large segment"},
    {"vmxnet3-resets", vmxnet3_resets, "driver, link counters", "a VMXNET3 interface is reset by its driver"},
    {"failed-over", failed_over, "changes", "a bond on the stretch has changed its active member"},
    {"at-machine", at_machine, "cut, train of probes", "one end of the stretch is this machine"},
    {"between-machines", between_machines, "cut, train of probes",
     "the stretch lies between two machines, of which none hosts the other"},
    {"one-way-dead", one_way_dead, "cut, matrix", "all of one direction dies there, and nothing of the other"},
    {"cable-from-guest", cable_from_guest, "cut, placement", "it is lost where what the guest sends enters the host"},
    {"cable-to-guest", cable_to_guest, "cut, placement", "it is lost where the host hands it to the guest"},
    {"link-hears-nothing", link_hears_nothing, "link counters", "the receiving interface counts no frame at all while it sends"},
    {"taken-from-guest", taken_from_guest, "tc filters, link counters",
     "a tc filter takes what the guest sends at its port, or the port counts no frame at all"},
    {"taken-to-guest", taken_to_guest, "tc filters, link counters",
     "a tc filter takes what the guest is sent at its port, or the guest's interface counts no frame at all"},
    {"ports-dead", ports_dead, "source ports", "some source ports never get through and the others always do"},
    {"ring-overflows", ring_overflows, "link counters", "an interface on the stretch finds no room for what it receives"},
    {"crc-errors", crc_errors, "link counters", "an interface on the stretch receives damaged frames"},
    {"tx-hangs", tx_hangs, "link counters", "an interface on the stretch had its transmitter reset"},
    {"backlog-dropped", backlog_dropped, "softnet counters", "a CPU's backlog was full"},
    {"tcp-retransmits", tcp_retransmits, "TCP counters", "much of what TCP sends it sends again"},
    {"late-for-cpu", late_for_cpu, "train of probes, pressure", "packets wait inside a machine whose programs wait for a CPU"},
    {"cpu-starved", cpu_starved, "CPU steal, pressure", "the machine does not get the CPU it needs"},
    {"memory-stalls", memory_stalls, "memory pressure", "the machine waits for memory"},
    {"link-flaps", link_flaps, "changes, link counters", "an interface on the stretch loses its carrier again and again"},
    {"limiter", limiter, "queueing disciplines", "an interface on the stretch is limited to a rate"},
    {"half-duplex", half_duplex, "ethtool", "an interface on the stretch runs at half duplex"},
    {"saturated", saturated, "link counters, speed", "an interface on the stretch carries all it can"},
};
const struct evidence_table evidence_quality = {items, COUNT(items)};

/* Those that begin with odd- look at what arrives. */
bool entry_is_of_quality(const struct entry *e)
{
	static const char *const too[] = {"rate-limited", "frames-repeat"};
	for (size_t i = 0; i < e->requires_count; i++) {
		const char *name = e->requires[i].evidence->name;
		if (strncmp(name, "odd-", 4) == 0)
			return true;
		for (size_t k = 0; k < COUNT(too); k++)
			if (strcmp(name, too[k]) == 0)
				return true;
	}
	return false;
}
