/* evidence_vport: what the platform says of a guest's adapter, and of its VM. Where nobody told, it is unknown. */
#include "collector/diagnose/inquiry.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static void ask(const struct inquiry *q, const char *name, struct finding *f)
{
	memset(f, 0, sizeof *f);
	evidence_find(name)->find(q, f);
}

static bool is_guest(const struct inquiry *q, int end) { return end >= 0 && q->d->party[end].kind == AGENT_GUEST; }

/* The adapter of `end`, bound for the fixes; NULL: not known, and said so. */
static const struct vport *adapter(const struct inquiry *q, int end, struct finding *f)
{
	const struct vport *v = is_guest(q, end) ? vport_of(q, end) : NULL;
	if (v)
		vport_bind(q, end, v);
	else if (is_guest(q, end))
		find_unknown(f, "needs facts of the platform: nobody told of the adapter of %s", name_of(q, end));
	return v;
}

/* ---- where: at the adapter, or anywhere between the machines ---- */

static int owner(const struct inquiry *q, size_t i) { return point_party(q->d, q->v, q->p->dir, i); }

static bool is_port_of(const struct inquiry *q, int end, size_t i)
{
	const struct path_point *p = &q->v->dir[q->p->dir].path[i];
	return owner(q, i) == dossier_host(q->d, end) && p->role == POINT_PORT &&
	       (!q->d->party[end].at.port[0] || strcmp(p->ifname, q->d->party[end].at.port) == 0);
}

static bool step_at_adapter(const struct inquiry *q, int end, size_t i)
{
	int a = owner(q, i), b = owner(q, i + 1), host = dossier_host(q->d, end);
	if ((a == end) != (b == end))
		return true;
	return host >= 0 && a == host && b == host && (is_port_of(q, end, i) || is_port_of(q, end, i + 1));
}

static bool stretch_has(const struct inquiry *q, int end, bool (*is)(const struct inquiry *q, int end, size_t i))
{
	for (size_t i = q->p->after; q->p->placed && i < q->p->before; i++) {
		if (is(q, end, i))
			return true;
	}
	return false;
}

static void place_text(const struct inquiry *q, char out[static 2 * POINT_NAME_MAX + 48])
{
	char after[POINT_NAME_MAX], before[POINT_NAME_MAX];
	const struct direction *d = &q->v->dir[q->p->dir];
	snprintf(out, 2 * POINT_NAME_MAX + 48, "last seen at %s and do not reach %s", path_point_name(&d->path[q->p->after], after),
	         path_point_name(&d->path[q->p->before], before));
}

static void lost_at_adapter(const struct inquiry *q, struct finding *f)
{
	char text[2 * POINT_NAME_MAX + 48];
	if (!is_guest(q, q->who) || !q->p->placed)
		return;
	if (!stretch_has(q, q->who, step_at_adapter)) {
		find_no(f, "it is not lost at the virtual adapter of %s", name_of(q, q->who));
		return;
	}
	place_text(q, text);
	find_yes(f, dying(q), "packets are %s: the adapter of %s is in between", text, name_of(q, q->who));
}

static bool is_socket(const struct inquiry *q, size_t i) { return q->v->dir[q->p->dir].path[i].role == POINT_SOCKET; }

static bool step_is_outside(const struct inquiry *q, int end, size_t i)
{
	int a = owner(q, i), b = owner(q, i + 1);
	bool in_guest = a == b && (a == PARTY_A || a == PARTY_B) && is_guest(q, a);
	(void)end;
	return !in_guest && !is_socket(q, i) && !is_socket(q, i + 1);
}

/* In no machine's own stack: between two interfaces. */
static void lost_outside(const struct inquiry *q, struct finding *f)
{
	char text[2 * POINT_NAME_MAX + 48];
	if (!q->p->placed)
		return;
	if (!stretch_has(q, q->who, step_is_outside)) {
		find_no(f, "it is lost within a machine, not on the way");
		return;
	}
	place_text(q, text);
	find_yes(f, dying(q), "packets are %s", text);
}

/* ---- how: degraded ---- */

static bool cell_is_some(uint8_t c) { return c == CELL_PARTIAL || c == CELL_SLOW; }

static void not_all_lost(const struct inquiry *q, struct finding *f)
{
	kind_mask some = 0;
	char text[KINDS_TEXT_MAX];
	for (int k = 0; k < KIND_COUNT; k++) {
		for (int dir = 0; dir < 2; dir++) {
			const struct direction *d = &q->v->dir[dir];
			if (dying(q) & KIND_BIT(k) && (cell_is_some(d->delivery[k]) || cell_is_some(d->initiation[k])))
				some |= KIND_BIT(k);
		}
	}
	if (some)
		find_yes(f, some, "some of it passes, or late (%s)", kinds_text(some, text, sizeof text));
	else
		find_no(f, "it is not slow or lost in part, but lost");
}

static void only_late(const struct inquiry *q, struct finding *f)
{
	char text[KINDS_TEXT_MAX];
	for (int k = 0; k < KIND_COUNT; k++) {
		for (int dir = 0; dir < 2; dir++) {
			const struct direction *d = &q->v->dir[dir];
			uint8_t cells[] = {d->delivery[k], d->initiation[k]};
			for (size_t i = 0; dying(q) & KIND_BIT(k) && i < COUNT(cells); i++) {
				if (cell_is_bad(cells[i]) && cells[i] != CELL_SLOW) {
					find_no(f, "it is not only late, but lost");
					return;
				}
			}
		}
	}
	find_yes(f, dying(q), "all of it arrives, and late (%s)", kinds_text(dying(q), text, sizeof text));
}

static void only_neighbours(const struct inquiry *q, struct finding *f)
{
	kind_mask neigh = kinds_of_proto(PROTO_NEIGH);
	char text[KINDS_TEXT_MAX];
	if (!(q->p->probes & neigh) || q->p->probes & ~neigh) {
		find_no(f, "not only broadcasts are lost");
		return;
	}
	find_yes(f, dying(q), "only %s is lost: what goes to one machine passes", kinds_text(q->p->probes, text, sizeof text));
}

/* ---- the VM ---- */

static bool unheard_here(const struct inquiry *q) { return q->p->unheard == q->who; }

static void vm_state_find(const struct inquiry *q, struct finding *f, uint8_t first, uint8_t last)
{
	const struct vport *v = adapter(q, q->who, f);
	if (!v)
		return;
	if (v->state == VM_UNKNOWN)
		find_unknown(f, "the platform did not say whether %s runs", v->vm);
	else if (v->state < first || v->state > last)
		find_no(f, "the platform says that %s is %s", v->vm, vm_state_name(v->state));
	else
		find_yes(f, ~0u, "the platform says that %s is %s%s%s%s", v->vm, vm_state_name(v->state),
		         v->state_why[0] ? " (" : "", v->state_why, v->state_why[0] ? ")" : "");
}

static void vm_paused(const struct inquiry *q, struct finding *f) { vm_state_find(q, f, VM_PAUSED, VM_STUNNED); }
static void vm_off(const struct inquiry *q, struct finding *f) { vm_state_find(q, f, VM_OFF, VM_CRASHED); }

/* It takes no part in the round, or nothing that was sent to it came back from it. */
static void vm_silent(const struct inquiry *q, struct finding *f)
{
	const struct party *p = &q->d->party[q->who];
	if (unheard_here(q) || !p->reported)
		find_yes(f, ~0u, "%s takes no part in the round", name_of(q, q->who));
	else
		find_no(f, "%s takes part in the round", name_of(q, q->who));
}

static void cpus_are_few(const struct inquiry *q, struct finding *f)
{
	const struct vport *v = adapter(q, q->who, f);
	if (!v)
		return;
	if (v->cpus && v->vcpus > v->cpus)
		find_yes(f, ~0u, "the %u CPUs of %s share %u of the host's", v->vcpus, v->vm, v->cpus);
	else if (v->cpu_limit && v->vcpus && v->cpu_limit < 100 * v->vcpus)
		find_yes(f, ~0u, "the %u CPUs of %s get %u %% of one at most", v->vcpus, v->vm, v->cpu_limit);
	else if (!v->vcpus)
		find_unknown(f, "the platform did not say on which CPUs %s runs", v->vm);
	else
		find_no(f, "the CPUs of %s are not restricted", v->vm);
}

/* ---- the cable and the port ---- */

static void unplugged(const struct inquiry *q, struct finding *f)
{
	ask(q, "cable-out", f);
	if (f->is == TRI_YES || !is_guest(q, q->who))
		return;
	const struct vport *v = vport_of(q, q->who);
	if (!v || v->connected != SAID_NO)
		return;
	vport_bind(q, q->who, v);
	int host = dossier_host(q->d, q->who);
	bindings_add(q->learned, "cable", "%s", name_of(q, host >= 0 ? host : q->who));
	find_yes(f, ~0u, "the platform says that %s of %s is not connected", v->nic[0] ? v->nic : "the adapter", v->vm);
}

static void port_blocked(const struct inquiry *q, struct finding *f)
{
	static const char *const codes[] = {"pktmon.33",
	                                    "pktmon.35",
	                                    "DvsPortBlockedEvent",
	                                    "esx.problem.net.portset.port.full",
	                                    "esx.problem.net.proxyswitch.port.unavailable",
	                                    NULL};
	const struct vport *v = adapter(q, q->who, f);
	const struct pnote *n = v ? pnote_of(q, q->who, codes) : NULL;
	if (!v)
		return;
	if (v->blocked == SAID_YES)
		find_yes(f, ~0u, "the platform says that the port of %s is blocked%s%s", v->vm, v->blocked_why[0] ? ": " : "",
		         v->blocked_why);
	else if (n && v->blocked != SAID_NO)
		find_yes(f, ~0u, "the platform tells of %s at %s: %s", n->code, n->object, n->text);
	else if (v->blocked == SAID_NOTHING)
		find_unknown(f, "the platform did not say whether the port of %s is blocked", v->vm);
	else
		find_no(f, "the port of %s is not blocked", v->vm);
}

static void out_of_sync(const struct inquiry *q, struct finding *f)
{
	const struct vport *v = adapter(q, q->who, f);
	const struct vswitch *s = vswitch_of(q, v);
	if (!v)
		return;
	if (v->in_sync == SAID_NO || (s && s->in_sync == SAID_NO))
		find_yes(f, ~0u, "the host does not have what the controller wants: %s %s is out of sync",
		         v->in_sync == SAID_NO ? "the port of" : "the switch", v->in_sync == SAID_NO ? v->vm : s->name);
	else if (v->in_sync == SAID_NOTHING && (!s || s->in_sync == SAID_NOTHING))
		find_unknown(f, "the platform did not say whether the switch of %s is in sync", v->vm);
	else
		find_no(f, "the switch of %s is in sync", v->vm);
}

static void backend_is_none(const struct inquiry *q, struct finding *f)
{
	const struct vport *v = adapter(q, q->who, f);
	if (!v)
		return;
	if (strcmp(v->backend, "user") == 0)
		find_yes(f, ~0u, "the adapter of %s is behind QEMU's own NAT (user mode): nothing reaches it from outside", v->vm);
	else if (strcmp(v->backend, "none") == 0)
		find_yes(f, ~0u, "the adapter of %s is connected to nothing on the host", v->vm);
	else if (!v->backend[0])
		find_unknown(f, "the platform did not say what the adapter of %s is connected to", v->vm);
	else
		find_no(f, "the adapter of %s is connected to a %s", v->vm, v->backend);
}

/* The VM runs, its agent speaks, and no interface of it has the adapter's address, nor any other that nobody knows. */
static void no_driver(const struct inquiry *q, struct finding *f)
{
	const struct vport *v = adapter(q, q->who, f);
	const struct snapshot *s = v ? party_facts(q->d, q->who) : NULL;
	if (!v)
		return;
	if (!s) {
		find_unknown(f, "%s did not report its interfaces", name_of(q, q->who));
		return;
	}
	for (size_t i = 0; i < s->link_count; i++) {
		if (!s->links[i].loopback && (mac_equal(s->links[i].mac, v->mac) || !s->links[i].kind[0])) {
			find_no(f, "%s has the interface %s", name_of(q, q->who), s->links[i].name);
			return;
		}
	}
	find_yes(f, ~0u, "%s has an adapter (%s), and %s shows no interface for it", v->vm, v->model[0] ? v->model : "of any model",
	         name_of(q, q->who));
}

static void adapter_emulated(const struct inquiry *q, struct finding *f)
{
	static const char *const slow[] = {"e1000",  "e1000e",   "rtl8139", "pcnet", "ne2k_pci",
	                                   "vlance", "flexible", "legacy",  "i82551"};
	const struct vport *v = adapter(q, q->who, f);
	if (!v)
		return;
	for (size_t i = 0; i < COUNT(slow); i++) {
		if (strcasecmp(v->model, slow[i]) == 0) {
			find_yes(f, ~0u, "the adapter of %s is an emulated %s", v->vm, v->model);
			return;
		}
	}
	if (v->model[0])
		find_no(f, "the adapter of %s is a %s", v->vm, v->model);
	else
		find_unknown(f, "the platform did not say which model the adapter of %s is", v->vm);
}

/* ---- guards ---- */

static struct mac own_mac(const struct inquiry *q, int end)
{
	const struct link *nic = party_link(q->d, end);
	return nic ? nic->mac : q->d->party[end].ep.mac;
}

static bool mac_differs(const struct inquiry *q, int end, const struct vport *v)
{
	struct mac own = own_mac(q, end);
	return mac_is_set(own) && mac_is_set(v->mac) && !mac_equal(own, v->mac);
}

static void guarded(const struct inquiry *q, struct finding *f, int end, bool to_it)
{
	const struct vport *v = adapter(q, end, f);
	uint8_t guard = v ? to_it ? v->change_guard : v->mac_guard : SAID_NOTHING;
	char own[MAC_TEXT_MAX], wants[MAC_TEXT_MAX];
	if (!v)
		return;
	mac_format(own_mac(q, end), own);
	mac_format(v->mac, wants);
	if (!mac_differs(q, end, v))
		find_no(f, "%s uses the hardware address that the platform gave it", name_of(q, end));
	else if (guard == SAID_NOTHING)
		find_unknown(f, "%s uses %s, the platform gave it %s, and nobody told whether it guards that", name_of(q, end), own,
		             wants);
	else if (guard == SAID_NO)
		find_no(f, "the platform lets %s use any hardware address", name_of(q, end));
	else
		find_yes(f, ~0u, "%s uses %s, the platform gave it %s and drops what %s another one", name_of(q, end), own, wants,
		         to_it ? "goes to" : "comes from");
}

static void mac_guarded(const struct inquiry *q, struct finding *f) { guarded(q, f, q->who, false); }
static void change_guarded(const struct inquiry *q, struct finding *f) { guarded(q, f, q->who, true); }

/* Whichever: a rule of the host that shows, or the word of the platform. */
static void lease_gone(const struct inquiry *q, struct finding *f)
{
	const struct vport *v = adapter(q, q->who, f);
	if (!v)
		return;
	if (v->ip_guard == SAID_NO || (v->ip_guard == SAID_YES && v->ip_learning[0] && strcasecmp(v->ip_learning, "none") == 0))
		find_no(f, "the platform does not learn the address of %s", v->vm);
	else if (v->ip_guard == SAID_NOTHING || !v->ip_learning[0] || v->lease == SAID_NOTHING)
		find_unknown(f, "the platform did not say which address of %s it has learned", v->vm);
	else if (v->lease == SAID_YES)
		find_no(f, "the platform has learned an address of %s that is still good", v->vm);
	else
		find_yes(f, ~kinds_of_proto(PROTO_NEIGH) | KIND_BIT(KIND_ARP),
		         "the filter of %s learns its address (%s) and has none now: every packet is from a wrong address", v->vm,
		         v->ip_learning);
}

static void storm_limited(const struct inquiry *q, struct finding *f)
{
	static const char *const codes[] = {"pktmon.30", NULL};
	const struct vport *v = adapter(q, q->who, f);
	const struct pnote *n = v ? pnote_of(q, q->who, codes) : NULL;
	if (!v)
		return;
	if (v->storm_limit)
		find_yes(f, kinds_of_proto(PROTO_NEIGH), "the port of %s passes %u broadcasts per second%s", v->vm, v->storm_limit,
		         n && n->count ? " and has dropped some" : "");
	else if (n && n->count)
		find_yes(f, kinds_of_proto(PROTO_NEIGH), "the platform dropped %llu broadcasts at %s: storm limit",
		         (unsigned long long)n->count, n->object);
	else
		find_unknown(f, "the platform told of no limit of broadcasts at %s", v->vm);
}

/* A limit that the platform set; which way, by who sends. */
static void rate_limited(const struct inquiry *q, struct finding *f)
{
	if (queue_is_limited(q, f))
		return;
	ask(q, "drop-reason-queue", f);
	const struct vport *v = f->is != TRI_YES && is_guest(q, q->who) ? vport_of(q, q->who) : NULL;
	uint32_t rate = v ? q->who == q->src ? v->rate_out : v->rate_in : 0;
	if (!rate)
		return;
	struct finding some;
	memset(&some, 0, sizeof some);
	not_all_lost(q, &some);
	if (some.is != TRI_YES)
		return;
	vport_bind(q, q->who, v);
	find_yes(f, some.kinds, "the platform limits what goes %s %s to %u kbit/s", q->who == q->src ? "out of" : "into", v->vm,
	         rate);
}

static bool listens_as_dhcp(const struct inquiry *q, int end)
{
	const struct snapshot *s = party_facts(q->d, end);
	const struct vport *v = vport_of(q, end);
	if (v && strcasecmp(v->role, "dhcp") == 0)
		return true;
	for (size_t i = 0; s && i < s->listener_count; i++) {
		if (s->listeners[i].proto == 17 && s->listeners[i].port == 67)
			return true;
	}
	return false;
}

/* Of whom `who` should get its address: any guest of the round that serves DHCP, or an adapter with that role on its network. */
static const struct vport *dhcp_server(const struct inquiry *q, const struct vport *me)
{
	for (size_t i = 0; i < q->d->party_count; i++) {
		if ((int)i != q->who && is_guest(q, (int)i) && listens_as_dhcp(q, (int)i))
			return vport_of(q, (int)i);
	}
	for (const struct vport *v = vport_next(q, NULL); v; v = vport_next(q, v)) {
		if (strcasecmp(v->role, "dhcp") == 0 && strcmp(v->network, me->network) == 0)
			return v;
	}
	return NULL;
}

/* The client has no address of its own, and the server's port drops offers. */
static void dhcp_guarded(const struct inquiry *q, struct finding *f)
{
	const struct vport *me = adapter(q, q->who, f), *server = me ? dhcp_server(q, me) : NULL;
	const struct snapshot *s = party_facts(q->d, q->who);
	if (!me)
		return;
	if (!server || server->dhcp_guard == SAID_NOTHING) {
		find_unknown(f, "needs facts of the platform: nobody told whether the offers of a DHCP server are dropped");
		return;
	}
	for (size_t i = 0; s && i < s->addr_count; i++) {
		const struct ip *ip = &s->addrs[i].prefix.ip;
		bool own = ip->family == 4 && !(ip->b[0] == 169 && ip->b[1] == 254) && ip->b[0] != 127;
		if (own) {
			find_no(f, "%s has an address", name_of(q, q->who));
			return;
		}
	}
	vport_bind(q, q->who, server);
	bindings_add(q->learned, "hyperv.server", "%s", server->vm);
	if (!s)
		find_unknown(f, "%s did not report its addresses", name_of(q, q->who));
	else if (server->dhcp_guard == SAID_NO)
		find_no(f, "the port of %s lets DHCP offers pass", server->vm);
	else
		find_yes(f, kinds_of_family(4), "%s has no address, and the platform drops the DHCP offers of %s",
		         name_of(q, q->who), server->vm);
}

/* ---- a virtual function ---- */

static void vf_filters(const struct inquiry *q, struct finding *f)
{
	const struct vport *v = adapter(q, q->who, f), *o = v ? vport_of(q, other_end(q)) : NULL;
	if (!v)
		return;
	if (!v->pf[0]) {
		find_no(f, "the adapter of %s is no virtual function of a NIC", v->vm);
		return;
	}
	bindings_add(q->learned, "vf.pf", "%s", v->pf);
	bindings_add(q->learned, "vf.number", "%u", v->vf);
	if (v->vf_link == SAID_NO) {
		bindings_add(q->learned, "vf.set", "state auto");
		find_yes(f, ~0u, "the link of virtual function %u of %s is disabled", v->vf, v->pf);
	} else if (v->vf_spoofchk == SAID_YES && mac_differs(q, q->who, v)) {
		bindings_add(q->learned, "vf.set", "spoofchk off trust on");
		find_yes(f, ~0u, "virtual function %u of %s checks source addresses, and %s uses another one", v->vf, v->pf,
		         name_of(q, q->who));
	} else if (o && o->pf[0] && v->vf_vlan != o->vf_vlan && q->who < other_end(q)) {
		bindings_add(q->learned, "vf.set", "vlan %u", o->vf_vlan);
		find_yes(f, ~0u, "virtual function %u of %s is in VLAN %u, the other end's in %u", v->vf, v->pf, v->vf_vlan,
		         o->vf_vlan);
	} else {
		find_no(f, "nothing that is known of virtual function %u of %s drops it", v->vf, v->pf);
	}
}

/* ---- the same address twice ---- */

static void mac_twin(const struct inquiry *q, struct finding *f)
{
	const struct vport *v = adapter(q, q->who, f);
	char mac[MAC_TEXT_MAX];
	if (!v)
		return;
	for (const struct vport *o = vport_next(q, NULL); o; o = vport_next(q, o)) {
		if (vport_same(o, v) || !mac_is_set(v->mac) || !mac_equal(o->mac, v->mac))
			continue;
		if (v->vlan != o->vlan || (v->vswitch[0] && o->vswitch[0] && strcmp(v->vswitch, o->vswitch) != 0) ||
		    o->state == VM_OFF || o->connected == SAID_NO)
			continue;
		bindings_add(q->learned, "twin.vm", "%s", o->vm);
		find_yes(f, ~0u, "the adapters of %s and %s have the same hardware address %s", v->vm, o->vm,
		         mac_format(v->mac, mac));
		return;
	}
	find_no(f, "no other adapter that the platform has on this network has the address %s", mac_format(v->mac, mac));
}

static const struct evidence items[] = {
    {"lost-at-adapter", lost_at_adapter, "cut", "it is lost where the guest's virtual adapter is"},
    {"lost-outside", lost_outside, "cut", "it is lost on the way between machines, not in the stack of one"},
    {"not-all-lost", not_all_lost, "matrix", "some of it passes, or late"},
    {"only-late", only_late, "matrix", "all of it arrives, and late"},
    {"only-neighbours", only_neighbours, "cut", "only ARP or neighbour discovery is lost"},
    {"vm-paused", vm_paused, "platform: state of the VM", "the VM is paused or stunned"},
    {"vm-off", vm_off, "platform: state of the VM", "the VM is off or has crashed"},
    {"vm-silent", vm_silent, "who reported", "the guest takes no part in the round"},
    {"cpus-are-few", cpus_are_few, "platform: CPUs of the VM", "the VM's CPUs share too few of the host's, or are limited"},
    {"unplugged", unplugged, "links of guest and host, platform: adapter",
     "the guest's cable is out at one end, or as the platform says"},
    {"port-blocked", port_blocked, "platform: adapter, events", "the port of the virtual switch passes nothing"},
    {"out-of-sync", out_of_sync, "platform: adapter, switch", "the host's switch is not as its controller wants it"},
    {"backend-is-none", backend_is_none, "platform: adapter", "the adapter is connected to nothing, or to QEMU's own NAT"},
    {"no-driver", no_driver, "platform: adapter; the guest's links", "the guest shows no interface for its adapter"},
    {"adapter-emulated", adapter_emulated, "platform: adapter", "the adapter is an emulated piece of hardware"},
    {"mac-guarded", mac_guarded, "platform: adapter; the guest's links",
     "the platform drops what comes from another hardware address"},
    {"change-guarded", change_guarded, "platform: adapter; the guest's links",
     "the platform drops what goes to a changed hardware address"},
    {"lease-gone", lease_gone, "platform: filter of the adapter", "a filter that learns the guest's address has none"},
    {"storm-limited", storm_limited, "platform: adapter, drops", "the port passes so many broadcasts per second"},
    {"rate-limited", rate_limited, "kernel drops, platform: adapter",
     "a queueing discipline drops it, or the platform limits the rate"},
    {"dhcp-guarded", dhcp_guarded, "platform: adapters; the guest's addresses", "the DHCP server's port drops its offers"},
    {"vf-filters", vf_filters, "platform: virtual function", "the NIC's own switch does not pass the virtual function's frames"},
    {"mac-twin", mac_twin, "platform: adapters", "another adapter has the same hardware address"},
};
const struct evidence_table evidence_vport = {items, COUNT(items)};
