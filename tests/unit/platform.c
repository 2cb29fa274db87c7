/* What platforms and switches say: their files, whose adapter is whose, and every cause that only they can tell. Each cause is
 * named with the facts, never without them, and never when the facts say otherwise. */
#include "case_world.h"
#include "proto/platform_file.h"

#include <setjmp.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- worlds ---- */

static void told(struct world *w, const char *yaml)
{
	struct err e = {""};
	struct snapshot *s = snapshot_new();
	struct conf_node *n = conf_parse("facts", yaml, strlen(yaml), &e);
	if (!n || platform_parse(s, n, "facts", &e) < 0)
		fail_msg("%s\n%s", e.text, yaml);
	conf_free(n);
	w->d->imported = s;
}

/* Two guests on hosts without an agent, as those of VMware and Hyper-V are: g1:eth0 -> g2:eth0. */
static struct world *bare(void)
{
	struct world *w = mem_alloc(sizeof *w);
	w->d = mem_alloc(sizeof *w->d);
	w->v = verdict_new();
	world_party(w, "g1");
	world_party(w, "g2");
	for (int e = 0; e < 2; e++)
		w->d->party[e].at = (struct placement){.host = -1};
	w->d->onlink = true;
	for (int dir = 0; dir < 2; dir++) {
		world_point(w, dir, dir, "", POINT_SOCKET);
		world_point(w, dir, dir, "eth0", POINT_NIC);
		world_point(w, dir, 1 - dir, "eth0", POINT_NIC);
		world_point(w, dir, 1 - dir, "", POINT_SOCKET);
	}
	world_flows(w);
	world_verdict(w);
	return w;
}

static struct world *placed(void) { return world_new("g1", "g2"); }
static struct world *on_one_host(void) { return world_new("g1", "g3"); }
static struct world *with_host(void) { return world_new("h1", "g1"); }

/* ---- what is broken ---- */

static void both_die(struct world *w)
{
	cut(w, "g1", "g1:eth0", "g2:eth0", ALL, 0);
	cut(w, "g2", "g2:eth0", "g1:eth0", ALL, 0);
}
static void from_g1_dies(struct world *w) { cut(w, "g1", "g1:eth0", "g2:eth0", ALL, 0); }
static void behind_h1(struct world *w) { cut(w, "g1", "h1:up0", "h2:up0", ALL, 0); }
static void arp_behind_h1(struct world *w)
{
	cut(w, "g1", "h1:up0", "h2:up0", K(ARP), 0);
	fails(w, "g1", IP4, CELL_LOST);
	unresolved(w, "g1", IP4);
}
static void at_port_of_g2(struct world *w) { cut(w, "g1", "h2:up0", "h2:v2", ALL, 0); }
static void at_port_of_g1(struct world *w) { cut(w, "g1", "h1:v1", "h1:up0", ALL, 0); }
static void towards_the_host(struct world *w) { cut(w, "g1", "h1:v1", "h1:br0", ALL, 0); }
static void g2_is_silent(struct world *w)
{
	cut(w, "g1", "h2:v2", "g2:eth0", ALL, 0);
	silence(w, "g2");
}
static void g2_is_late(struct world *w)
{
	for (int k = 0; k < KIND_SERVICE; k++)
		w->v->dir[0].delivery[k] = w->v->dir[0].initiation[k] = CELL_SLOW;
	verdict_decide_state(w->v);
}
static void some_to_g2_is_lost(struct world *w)
{
	cut(w, "g1", "h2:up0", "h2:v2", IP4, 0)->partial = true;
	for (int k = 0; k < KIND_SERVICE; k++) {
		if (IP4 & KIND_BIT(k))
			w->v->dir[0].delivery[k] = w->v->dir[0].initiation[k] = CELL_PARTIAL;
	}
	verdict_decide_state(w->v);
}
static void some_arp_of_g1_is_lost(struct world *w)
{
	cut(w, "g1", "g1:eth0", "g2:eth0", NEIGH, 0)->partial = true;
	w->v->dir[0].delivery[KIND_ARP] = w->v->dir[0].delivery[KIND_ND] = CELL_PARTIAL;
	verdict_decide_state(w->v);
}
static void only_first_arrive(struct world *w)
{
	cut(w, "g1", "g1:eth0", "g2:eth0", K(UDP), 0)->partial = true;
	const struct flow *f = flow_of(w->d, KIND_UDP, 0);
	for (size_t i = 0; i < w->result[1]->received_count; i++) {
		if (w->result[1]->received[i].flow == f->id)
			w->result[1]->received[i].seen = 1;
	}
}
static void mac_of_g1_changed(struct world *w)
{
	link_named(w, "g1", "eth0")->mac = M("02:00:00:00:99:99");
	w->d->party[PARTY_A].ep.mac = M("02:00:00:00:99:99");
	changed(w, "g1", "link.eth0.mac", "02:00:00:00:00:11", "02:00:00:00:99:99");
	cut(w, "g2", "g2:eth0", "g1:eth0", ALL, 0);
}
static void g1_has_no_address(struct world *w)
{
	drop_addr(w, "g1", "10.0.0.11/24");
	fails(w, "g1", IP4, CELL_LOST);
}
static void g2_shows_no_nic(struct world *w)
{
	struct snapshot *s = facts(w, "g2");
	s->link_count = 0;
	cut(w, "g1", "h2:v2", "g2:eth0", ALL, 0);
}
static void gateway_is_gone(struct world *w)
{
	add_route(facts(w, "g1"), ROUTE_UNICAST, "10.0.0.12/32", "10.0.0.254", 1);
	fails(w, "g1", IP4 | K(ARP), CELL_LOST);
	unresolved(w, "g1", IP4);
}
static void another_answers(struct world *w)
{
	add_neigh(w, "g1", "10.0.0.12", "00:00:0c:07:ac:01", NEIGH_REACHABLE);
	cut(w, "g1", "h1:up0", "h2:up0", IP4, 0);
}
static void services_of_host_fail(struct world *w) { cut(w, "g1", "h1:br0", "h1:socket", K(TCP) | K(UDP), 0); }
static void port_is_off(struct world *w)
{
	link_named(w, "h1", "up0")->carrier = false;
	cut(w, "g1", "h1:v1", "h2:up0", ALL, 0);
	cut(w, "g2", "h2:up0", "h1:v1", ALL, 0);
}
static void pauses(struct world *w)
{
	cut(w, "g1", "h1:up0", "h2:up0", IP4, 0)->partial = true;
	for (int k = 0; k < KIND_SERVICE; k++) {
		if (IP4 & KIND_BIT(k))
			w->v->dir[0].delivery[k] = CELL_PARTIAL;
	}
	verdict_decide_state(w->v);
}
static void some_passes_that_should_not(struct world *w) { cut(w, "g1", "g1:eth0", "g2:eth0", K(TCP), 0); }
static void g1_to_another_net(struct world *w) { cut(w, "g1", "h1:v1", "h1:up0", ALL, 0); }

/* ---- the causes ---- */

#define G1  "vm: web, nic: net0, mac: '02:00:00:00:00:11'"
#define G2  "vm: db, nic: net0, mac: '02:00:00:00:00:12'"
#define VMW "platform: vmware\n"
#define HV  "platform: hyperv\n"
#define KVM "platform: libvirt\n"
#define PVE "platform: proxmox\n"

static const struct scenario {
	const char *id, *where; /* who is blamed */
	struct world *(*make)(void);
	void (*breaks)(struct world *w);
	const char *facts;  /* with these it is named */
	const char *benign; /* with these it is not */
	const char *fix;    /* a part of what is printed */
} scenarios[] = {
    {"vm-paused-or-stunned", "g2", placed, g2_is_silent, KVM "vports: [{" G2 ", state: paused, state_why: user}]",
     KVM "vports: [{" G2 ", state: running}]", "virsh resume db"},
    {"vm-crashed", "g2", placed, g2_is_silent, PVE "vports: [{" G2 ", id: 101, model: virtio, network: vmbr0, state: off}]",
     PVE "vports: [{" G2 ", id: 101, state: running}]", "qm start 101"},
    {"vnic-link-down", "g2", bare, both_die,
     VMW "vports: [{vm: db, nic: Network adapter 1, mac: '02:00:00:00:00:12', connected: no}]",
     VMW "vports: [{" G2 ", connected: yes}]", "Set-NetworkAdapter -Connected:1 -StartConnected:1"},
    {"vnic-wrong-network", "g2", bare, both_die,
     VMW "vports: [{" G1 ", network: LAN}, {" G2 ", network: DMZ}, {vm: x, mac: '020000000099', network: LAN}]",
     VMW "vports: [{" G1 ", network: LAN}, {" G2 ", network: LAN}]", "-NetworkName \"LAN\""},
    {"private-vlan", NULL, bare, both_die,
     HV "vports: [{" G1 ", vlan_mode: isolated, vlan: 10, secondary: 201}, {" G2
        ", vlan_mode: isolated, vlan: 10, secondary: 201}]",
     HV "vports: [{" G1 ", vlan_mode: isolated, vlan: 10}, {" G2 ", vlan_mode: promiscuous, vlan: 10}]",
     "Set-VMNetworkAdapterVlan"},
    {"vlan-mismatch", "g2", bare, both_die,
     HV "vports: [{" G1 ", vlan_mode: access, vlan: 100}, {" G2
        ", vlan_mode: access, vlan: 200}, {vm: x, mac: '02-00-00-00-00-99', "
        "vlan_mode: access, vlan: 100}]",
     HV "vports: [{" G1 ", vlan_mode: access, vlan: 100}, {" G2 ", vlan_mode: access, vlan: 100}]", "-Access -VlanId 100"},
    {"sdn-config-out-of-sync", NULL, bare, both_die, VMW "vports: [{" G2 ", vswitch: dvs1, host: esx1, in_sync: no}]",
     VMW "vports: [{" G2 ", vswitch: dvs1, in_sync: yes}]", "rectify"},
    {"vswitch-port-blocked-or-full", "g2", bare, both_die, VMW "vports: [{" G2 ", blocked: yes, blocked_why: policy}]",
     VMW "vports: [{" G2 ", blocked: no}]", "Set-NetworkAdapter -Connected:1"},
    {"host-only-isolation", "g1", placed, g1_to_another_net,
     KVM "vports: [{" G1 ", network: lab}]\nvswitches: [{name: lab, kind: isolated}]",
     KVM "vports: [{" G1 ", network: lab}]\nvswitches: [{name: lab, kind: external}]", "net-edit"},
    {"hyperv-private-switch", NULL, bare, both_die,
     HV "vports: [{" G1 ", vswitch: P}, {" G2 ", vswitch: X}]\nvswitches: [{name: P, kind: private}, {name: X, kind: external}]",
     HV "vports: [{" G1 ", vswitch: P}, {" G2 ", vswitch: P}]\nvswitches: [{name: P, kind: private}]", "-SwitchType Internal"},
    {"hyperv-no-management-vnic", "g1", with_host, towards_the_host,
     HV "vports: [{" G1 ", vswitch: X}]\nvswitches: [{name: X, kind: external, management: no}]",
     HV "vports: [{" G1 ", vswitch: X}]\nvswitches: [{name: X, kind: external, management: yes}]", "-AllowManagementOS 1"},
    {"hyperv-isolation-mode", NULL, bare, both_die,
     HV "vports: [{" G1 ", isolation: subnet, subnet: 5001}, {" G2 ", isolation: subnet, subnet: 5002}]",
     HV "vports: [{" G1 ", isolation: subnet, subnet: 5001}, {" G2 ", isolation: subnet, subnet: 5001}]",
     "Set-VMNetworkAdapterIsolation"},
    {"vswitch-extension-drop", NULL, bare, both_die,
     HV "vports: [{" G2 ", vswitch: X}]\nvswitches: [{name: X, extension: Fence, extension_ok: no}]",
     HV "vports: [{" G2 ", vswitch: X}]\nvswitches: [{name: X, extension: Fence, extension_ok: yes}]", "-Name \"Fence\""},
    {"sriov-vf-filter", "g1", bare, from_g1_dies, KVM "vports: [{" G1 ", pf: eno1, vf: 3, vf_link: no}]",
     KVM "vports: [{" G1 ", pf: eno1, vf: 3, vf_link: yes}]", "ip link set dev eno1 vf 3 state auto"},
    {"nested-virt-promisc", "g1", placed, behind_h1,
     VMW "vports: [{vm: hyper1, mac: '02:a0:00:00:00:01', network: N, mac_guard: yes}]",
     VMW "vports: [{vm: hyper1, mac: '02:a0:00:00:00:01', network: N, mac_guard: no}]", "-ForgedTransmits:1"},
    {"upstream-mac-restriction", "sw1", placed, behind_h1,
     "swports: [{device: sw1, port: Gi1/0/1, host: h1, mac_limit: 1, bound_said: yes, bound: ['02:a0:00:00:00:01']}]",
     "swports: [{device: sw1, port: Gi1/0/1, host: h1, mac_limit: 9, bound: ['02:00:00:00:00:11']}]", "port-security"},
    {"vlan-not-trunked", "g1", placed, behind_h1,
     VMW "vports: [{" G1 ", vlan_mode: access, vlan: 200}]\nswports: [{device: sw1, port: Gi1/0/1, host: h1, vlans: '1,10-20'}]",
     VMW "vports: [{" G1 ", vlan_mode: access, vlan: 200}]\nswports: [{device: sw1, port: Gi1/0/1, host: h1, vlans: '100-200'}]",
     "trunk allowed vlan add 200"},
    {"native-vlan-mismatch", "sw1", placed, behind_h1,
     VMW "vports: [{" G1
         ", vlan_mode: untagged}]\nswports: [{device: sw1, port: p1, host: h1, vlan_mode: trunk, native: 1}, {device: "
         "sw2, port: p2, host: h2, vlan_mode: trunk, native: 99}]",
     VMW "vports: [{" G1
         ", vlan_mode: untagged}]\nswports: [{device: sw1, port: p1, host: h1, vlan_mode: trunk, native: 99}, {device: "
         "sw2, port: p2, host: h2, vlan_mode: trunk, native: 99}]",
     "native vlan 99"},
    {"proxy-arp-hijack", "r1", placed, another_answers,
     "swports: [{device: r1, port: Vlan10, mac: '00:00:0c:07:ac:01', proxy_arp: yes}]",
     "swports: [{device: r1, port: Vlan10, mac: '00:00:0c:07:ac:02', proxy_arp: yes}]", "no ip proxy-arp"},
    {"arp-inspection-drop", "sw1", placed, arp_behind_h1,
     "swports: [{device: sw1, port: p1, host: h1, arp_inspection: yes, bound_said: yes, bound: ['02:a0:00:00:00:01']}]",
     "swports: [{device: sw1, port: p1, host: h1, arp_inspection: yes, trusted: yes}]", "ip arp inspection trust"},
    {"esxi-host-firewall", "h1", with_host, services_of_host_fail,
     VMW "pnotes: [{object: h1, code: esxi.firewall.sshServer, text: closed}]", VMW "pnotes: [{object: h9, code: esxi.firewall}]",
     "--ruleset-id sshServer"},
    {"nwfilter-lease-expired", "g1", placed, at_port_of_g1, KVM "vports: [{" G1 ", ip_guard: yes, ip_learning: dhcp, lease: no}]",
     KVM "vports: [{" G1 ", ip_guard: yes, ip_learning: dhcp, lease: yes}]", "dhclient"},
    {"mac-change-inbound-drop", "g1", bare, mac_of_g1_changed, VMW "vports: [{" G1 ", network: LAN, change_guard: yes}]",
     VMW "vports: [{" G1 ", network: LAN, change_guard: no}]", "ip link set dev eth0 address 02:00:00:00:00:11"},
    {"dhcp-router-guard", "g1", bare, g1_has_no_address,
     HV "vports: [{" G1 ", network: L}, {vm: dc1, mac: '020000000099', network: L, role: dhcp, dhcp_guard: yes}]",
     HV "vports: [{" G1 ", network: L}, {vm: dc1, mac: '020000000099', network: L, role: dhcp, dhcp_guard: no}]",
     "-VMName \"dc1\" -DhcpGuard Off"},
    {"vswitch-storm-limit", "g1", bare, some_arp_of_g1_is_lost, HV "vports: [{" G1 ", storm_limit: 10}]", HV "vports: [{" G1 "}]",
     "-StormLimit 0"},
    {"nat-service-down", NULL, bare, both_die,
     KVM "vports: [{" G1 ", network: default}]\nvswitches: [{name: default, kind: nat, active: no}]",
     KVM "vports: [{" G1 ", network: default}]\nvswitches: [{name: default, kind: nat, nat_running: yes}]", "net-start default"},
    {"virtio-driver-missing", "g2", placed, g2_shows_no_nic, PVE "vports: [{" G2 ", id: 101, model: virtio, network: vmbr0}]", NULL,
     "modprobe virtio_net"},
    {"emulated-nic-bottleneck", "g2", bare, g2_is_late, VMW "vports: [{" G2 ", model: e1000}]",
     VMW "vports: [{" G2 ", model: vmxnet3}]", "-Type Vmxnet3"},
    {"netdev-backend-misconfig", NULL, bare, both_die, KVM "vports: [{" G2 ", backend: user}]",
     KVM "vports: [{" G2 ", backend: tap}]", "virsh edit db"},
    {"vmq-rss-fault", "g2", placed, some_to_g2_is_lost,
     HV "vports: [{" G2 ", host: hv7}]\npnotes: [{object: hv7, code: vmswitch.106, count: 3, text: processor sets overlap}]",
     HV "vports: [{" G2 ", host: hv7}]\npnotes: [{object: hv8, code: vmswitch.106}]", "-VmqWeight 0"},
    {"traffic-shaping-policing", "g2", placed, some_to_g2_is_lost, PVE "vports: [{" G2 ", rate_in: 1000}]",
     PVE "vports: [{" G2 ", rate_out: 1000}]", NULL},
    {"dpu-offload-stale-flow", NULL, bare, only_first_arrive,
     KVM "vports: [{" G1 ", vswitch: br-int}]\nvswitches: [{name: br-int, hw_offload: yes}]",
     KVM "vports: [{" G1 ", vswitch: br-int}]\nvswitches: [{name: br-int, hw_offload: no}]", "hw-offload=false"},
    {"rdma-bypass-or-pfc-storm", "sw1", placed, pauses, "swports: [{device: sw1, port: p1, host: h1, pause_rate: 50000}]",
     "swports: [{device: sw1, port: p1, host: h1, pause_rate: 3}]", "PFC watchdog"},
    {"cpu-affinity-misplaced", "g2", bare, g2_is_late, KVM "vports: [{" G2 ", vcpus: 4, cpus: 1}]",
     KVM "vports: [{" G2 ", vcpus: 4, cpus: 4}]", "virsh vcpupin db"},
    {"bpdu-guard-errdisable", "sw1", placed, port_is_off,
     "swports: [{device: sw1, port: p1, host: h1, state: err-disabled, why: bpduguard}]",
     "swports: [{device: sw1, port: p1, host: h1, state: down}]", "errdisable"},
    {"hypervisor-vulnerability", NULL, bare, some_passes_that_should_not,
     VMW "vports: [{" G1 ", vlan_mode: isolated, vlan: 5}, {" G2 ", vlan_mode: isolated, vlan: 5}]\npnotes: [{object: web, code: "
         "advisory.VMSA-2099-1, text: vmxnet3}, {object: db, code: advisory.VMSA-2099-1}]",
     VMW "vports: [{" G1 ", vlan_mode: untagged}, {" G2
         ", vlan_mode: untagged}]\npnotes: [{object: web, code: advisory.VMSA-2099-1}]",
     "VMSA-2099-1"},
    {"cloud-src-dst-check", "eni-1", placed, behind_h1,
     "swports: [{platform: cloud, device: eni-1, port: eni-1, host: h1, src_dst_check: yes, peer: '02:a0:00:00:00:01'}]",
     "swports: [{platform: cloud, device: eni-1, port: eni-1, host: h1, src_dst_check: no}]", "no-source-dest-check"},
    {"nfv-inline-vm-down", "g1", bare, gateway_is_gone, KVM "vports: [{vm: fw1, mac: '020000000099', ip: 10.0.0.254, state: off}]",
     KVM "vports: [{vm: fw1, mac: '020000000099', ip: 10.0.0.254, state: running}]", "virsh start fw1"},
    {"duplicate-mac-vm-vm", "g2", placed, at_port_of_g2, KVM "vports: [{" G2 "}, {vm: copy, nic: net0, mac: '02:00:00:00:00:12'}]",
     KVM "vports: [{" G2 "}, {vm: copy, nic: net0, mac: '02:00:00:00:00:12', state: off}]", "virsh edit db"},
};
#define SCENARIOS (sizeof scenarios / sizeof *scenarios)

static struct catalogue *catalogue;

static const struct cause *cause_named(const struct verdict *v, const char *id)
{
	for (size_t i = 0; i < v->cause_count; i++) {
		if (strcmp(v->causes[i].id, id) == 0)
			return &v->causes[i];
	}
	return NULL;
}

static struct world *judged(const struct scenario *s, const char *yaml)
{
	struct world *w = s->make();
	s->breaks(w);
	if (yaml)
		told(w, yaml);
	diagnose(catalogue, w->d, w->v);
	return w;
}

static void finished(struct world *w)
{
	snapshot_free((struct snapshot *)(uintptr_t)w->d->imported);
	world_free(w);
}

static size_t times_named(const struct verdict *v, const char *id)
{
	size_t n = 0;
	for (size_t i = 0; i < v->cause_count; i++)
		n += strcmp(v->causes[i].id, id) == 0;
	return n;
}

static bool fix_has(const struct cause *c, const char *part)
{
	for (size_t i = 0; i < c->fix_count; i++) {
		if (strstr(c->fixes[i].command, part))
			return true;
	}
	return false;
}

static void facts_name_the_cause(void **state)
{
	size_t wrong = 0;
	(void)state;
	for (size_t i = 0; i < SCENARIOS; i++) {
		const struct scenario *s = &scenarios[i];
		struct world *w = judged(s, s->facts);
		const struct cause *c = w->v->cause_count ? &w->v->causes[0] : NULL;
		bool good = c && strcmp(c->id, s->id) == 0 && (!s->where || strcmp(c->where, s->where) == 0) && c->fix_count &&
		            (!s->fix || fix_has(c, s->fix)) && times_named(w->v, s->id) == 1;
		if (!good) {
			fprintf(stderr, "%s is not what was found, or not at %s, or without \"%s\":\n", s->id,
			        s->where ? s->where : "-", s->fix ? s->fix : "");
			verdict_dump(w->v);
		}
		wrong += !good;
		finished(w);
	}
	assert_int_equal(wrong, 0);
}

static void nothing_is_named_without_facts(void **state)
{
	size_t wrong = 0;
	(void)state;
	for (size_t i = 0; i < SCENARIOS; i++) {
		struct world *w = judged(&scenarios[i], NULL);
		if (cause_named(w->v, scenarios[i].id)) {
			fprintf(stderr, "%s is named although nobody told:\n", scenarios[i].id);
			verdict_dump(w->v);
			wrong++;
		}
		finished(w);
	}
	assert_int_equal(wrong, 0);
}

static void other_facts_rule_it_out(void **state)
{
	size_t wrong = 0;
	(void)state;
	for (size_t i = 0; i < SCENARIOS; i++) {
		if (!scenarios[i].benign)
			continue;
		struct world *w = judged(&scenarios[i], scenarios[i].benign);
		if (cause_named(w->v, scenarios[i].id)) {
			fprintf(stderr, "%s is named although the facts say otherwise:\n", scenarios[i].id);
			verdict_dump(w->v);
			wrong++;
		}
		finished(w);
	}
	assert_int_equal(wrong, 0);
}

/* Facts that would explain a fault are no fault: a pair that is well has no cause. */
static void a_pair_that_is_well_has_no_cause(void **state)
{
	(void)state;
	for (size_t i = 0; i < SCENARIOS; i++) {
		struct world *w = scenarios[i].make();
		told(w, scenarios[i].facts);
		diagnose(catalogue, w->d, w->v);
		assert_int_equal(w->v->cause_count, 0);
		finished(w);
	}
}

/* Facts of one cause make no other one be named for a fault in the stack of an end. */
static void facts_do_not_explain_what_is_elsewhere(void **state)
{
	size_t wrong = 0;
	(void)state;
	for (size_t i = 0; i < SCENARIOS; i++) {
		struct world *w = scenarios[i].make();
		bool to_guest = scenarios[i].make != with_host;
		if (!to_guest) {
			finished(w);
			continue;
		}
		cut(w, "g1", w->d->party_count > 2 && scenarios[i].make == on_one_host ? "g3:eth0" : "g2:eth0",
		    scenarios[i].make == on_one_host ? "g3:socket" : "g2:socket", K(UDP), 0);
		told(w, scenarios[i].facts);
		diagnose(catalogue, w->d, w->v);
		if (cause_named(w->v, scenarios[i].id)) {
			fprintf(stderr, "%s is named for a fault inside of g2:\n", scenarios[i].id);
			verdict_dump(w->v);
			wrong++;
		}
		finished(w);
	}
	assert_int_equal(wrong, 0);
}

/* ---- files ---- */

static struct snapshot *parsed(const char *yaml, struct err *e)
{
	struct snapshot *s = snapshot_new();
	struct conf_node *n = conf_parse("f", yaml, strlen(yaml), e);
	if (n && platform_parse(s, n, "f", e) == 0) {
		conf_free(n);
		return s;
	}
	conf_free(n);
	snapshot_free(s);
	return NULL;
}

static void a_file_says_what_it_says(void **state)
{
	struct err e = {""};
	struct snapshot *s =
	    parsed("{\"platform\": \"hyperv\", \"vports\": [{\"vm\": \"a\", \"mac\": \"00155D012A00\", \"connected\": true, "
	           "\"rate_in\": 5, \"blocked\": null, \"vlan_mode\": \"Access\"}], \"pnotes\": null}",
	           &e);
	(void)state;
	assert_non_null(s);
	assert_int_equal(s->vport_count, 1);
	assert_string_equal(s->vports[0].platform, "hyperv");
	assert_true(mac_equal(s->vports[0].mac, M("00:15:5d:01:2a:00")));
	assert_int_equal(s->vports[0].connected, SAID_YES);
	assert_int_equal(s->vports[0].blocked, SAID_NOTHING);
	assert_int_equal(s->vports[0].vlan_mode, VLAN_ACCESS);
	assert_int_equal(s->vports[0].rate_in, 5);
	snapshot_free(s);
}

static void a_mistake_is_told_with_its_line(void **state)
{
	static const char *const files[][2] = {
	    {"vports:\n  - {vm: a, colour: red}\n", "f:2: unknown field colour"},
	    {"vports:\n  - {vm: a,\n     mac: 1}\n", "f:3: no value that it may have: mac"},
	    {"vlans: []\n", "f:1: unknown list vlans"},
	    {"vports: 3\n", "f:1: a list is expected for vports"},
	    {"vports: [{vlan: 70000}]\n", "f:1: no value that it may have: vlan"},
	    {"vports: [{state: asleep}]\n", "f:1: no value that it may have: state"},
	    {"swports: [{bound: [x]}]\n", "f:1: is no hardware address, or one too many: bound"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		struct err e = {""};
		assert_null(parsed(files[i][0], &e));
		assert_string_equal(e.text, files[i][1]);
	}
}

/* The examples for people, and the page that lists the fields (tests run at the top of the tree). */
static void the_documents_are_true(void **state)
{
	struct err e = {""};
	struct snapshot *s = snapshot_new();
	struct conf_node *n = conf_read("deploy/platforms/switches.yaml", &e);
	char text[32768], want[64];
	FILE *f = fopen("deploy/platforms/README.md", "r");
	(void)state;
	if (!n || platform_parse(s, n, "switches.yaml", &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(s->swport_count, 2);
	assert_non_null(f);
	text[fread(text, 1, sizeof text - 1, f)] = '\0';
	fclose(f);
	for (size_t t = 0; t < PTABLE_COUNT; t++) {
		for (size_t i = 0; i < platform_tables[t].count; i++) {
			snprintf(want, sizeof want, "| `%s` |", platform_tables[t].fields[i].name);
			if (!strstr(text, want))
				fail_msg("deploy/platforms/README.md lacks %s", want);
		}
	}
	conf_free(n);
	snapshot_free(s);
}

static void what_is_too_much_is_counted(void **state)
{
	struct snapshot *s = snapshot_new();
	(void)state;
	for (size_t i = 0; i < SNAP_VSWITCHES_MAX; i++)
		assert_non_null(platform_row(s, 1));
	assert_null(platform_row(s, 1));
	assert_int_equal(s->truncated, 1);
	assert_int_equal(s->vswitch_count, SNAP_VSWITCHES_MAX);
	snapshot_free(s);
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void files_are_read_again_when_they_change(void **state)
{
	char path[] = "/tmp/bothways-platform-XXXXXX";
	int fd = mkstemp(path);
	const char *const paths[] = {path};
	(void)state;
	assert_true(fd >= 0);
	close(fd);
	write_file(path, "vports: [{vm: a}]\n");
	struct platform_files *p = platform_files_new(paths, 1);
	assert_true(platform_files_look(p));
	assert_false(platform_files_look(p));
	assert_string_equal(platform_files_facts(p)->vports[0].vm, "a");
	write_file(path, "vports: [{vm: bb}, {vm: c}]\n");
	assert_true(platform_files_look(p));
	assert_int_equal(platform_files_facts(p)->vport_count, 2);
	write_file(path, "vports: [{wm: bbb}]\n"); /* a mistake: what it said before stays */
	assert_false(platform_files_look(p));
	assert_int_equal(platform_files_facts(p)->vport_count, 2);
	unlink(path);
	assert_false(platform_files_look(p));
	assert_int_equal(platform_files_facts(p)->vport_count, 2);
	platform_files_free(p);
}

static void lists_of_vlans(void **state)
{
	(void)state;
	assert_int_equal(vlans_have("", 5), SAID_NOTHING);
	assert_int_equal(vlans_have("1,10-20", 10), SAID_YES);
	assert_int_equal(vlans_have("1;10-20", 20), SAID_YES);
	assert_int_equal(vlans_have("1,10-20", 21), SAID_NO);
	assert_int_equal(vlans_have("all", 4000), SAID_YES);
	assert_int_equal(vlans_have("none", 1), SAID_NO);
	assert_int_equal(vlans_have("some", 1), SAID_NOTHING);
	assert_int_equal(vlans_have("1x", 2), SAID_NOTHING);
}

/* Compared over time: a change is one fact, what passes by itself is none. */
static void changes_are_facts(void **state)
{
	struct snapshot *a = snapshot_new(), *b = snapshot_new();
	struct fact_change *changes;
	(void)state;
	str_copy(((struct vport *)platform_row(a, 0))->vm, PLATFORM_NAME_MAX, "web");
	str_copy(((struct vport *)platform_row(b, 0))->vm, PLATFORM_NAME_MAX, "web");
	a->vports[0].connected = SAID_YES;
	b->vports[0].connected = SAID_NO;
	b->vports[0].lease = SAID_NO;
	struct facts fa = facts_of(a), fb = facts_of(b), all = facts_of_all(b);
	assert_int_equal(facts_diff(&fa, &fb, (struct wall){1}, &changes), 1);
	assert_string_equal(changes[0].key, "vport.web.connected");
	assert_string_equal(changes[0].now, "no");
	assert_string_equal(facts_get(&all, "counter.vport.web.lease"), "no");
	fact_changes_free(changes, 1);
	facts_free(&fa);
	facts_free(&fb);
	facts_free(&all);
	snapshot_free(a);
	snapshot_free(b);
}

/* ---- whose adapter ---- */

/* As many as there may be, with the one in question last; every cause is weighed. */
static void thousands_of_adapters_take_no_time(void **state)
{
	struct world *w = bare();
	clock_t began = clock();
	(void)state;
	both_die(w);
	told(w, "vports: []");
	struct snapshot *s = (struct snapshot *)(uintptr_t)w->d->imported;
	for (size_t i = 0; i < SNAP_VPORTS_MAX; i++) {
		struct vport *v = platform_row(s, 0);
		snprintf(v->vm, sizeof v->vm, "vm%zu", i);
		str_copy(v->platform, sizeof v->platform, "vmware");
		str_copy(v->network, sizeof v->network, "LAN");
		v->mac = (struct mac){{2, 9, 0, 0, (uint8_t)(i >> 8), (uint8_t)i}};
		v->vlan_mode = VLAN_UNTAGGED;
	}
	s->vports[SNAP_VPORTS_MAX - 1].mac = M("02:00:00:00:00:12");
	s->vports[SNAP_VPORTS_MAX - 1].connected = SAID_NO;
	s->vports[SNAP_VPORTS_MAX - 2].mac = M("02:00:00:00:00:11");
	diagnose(catalogue, w->d, w->v);
	assert_string_equal(w->v->causes[0].id, "vnic-link-down");
	assert_true(clock() - began < 5 * CLOCKS_PER_SEC); /* is a part of a second; squares of it would be minutes */
	finished(w);
}

/* Nothing is named, and it is said what would have to be known. */
static void what_is_left_says_what_it_needs(void **state)
{
	struct world *w = judged(&(struct scenario){.make = bare, .breaks = both_die}, NULL);
	bool needs = false;
	(void)state;
	assert_int_equal(w->v->cause_count, 0);
	for (size_t i = 0; i < w->v->left_count; i++)
		needs |= w->v->left[i].missing && strstr(w->v->left[i].missing, "needs facts of the platform");
	assert_true(needs);
	finished(w);
}

static void the_fixes_name_nothing_a_shell_would_take_for_more(void **state)
{
	struct world *w = placed();
	(void)state;
	g2_is_silent(w);
	told(w, KVM "vports: [{vm: \"db; reboot\", mac: '02:00:00:00:00:12', state: paused}]");
	diagnose(catalogue, w->d, w->v);
	assert_string_equal(w->v->causes[0].id, "vm-paused-or-stunned");
	for (size_t i = 0; i < w->v->causes[0].fix_count; i++)
		assert_true(w->v->causes[0].fixes[i].manual);
	finished(w);
}

static int catalogue_open(void **state)
{
	(void)state;
	catalogue = catalogue_shipped();
	return 0;
}

static int catalogue_close(void **state)
{
	(void)state;
	catalogue_free(catalogue);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(facts_name_the_cause),
	    cmocka_unit_test(nothing_is_named_without_facts),
	    cmocka_unit_test(other_facts_rule_it_out),
	    cmocka_unit_test(a_pair_that_is_well_has_no_cause),
	    cmocka_unit_test(facts_do_not_explain_what_is_elsewhere),
	    cmocka_unit_test(a_file_says_what_it_says),
	    cmocka_unit_test(a_mistake_is_told_with_its_line),
	    cmocka_unit_test(the_documents_are_true),
	    cmocka_unit_test(what_is_too_much_is_counted),
	    cmocka_unit_test(files_are_read_again_when_they_change),
	    cmocka_unit_test(lists_of_vlans),
	    cmocka_unit_test(changes_are_facts),
	    cmocka_unit_test(thousands_of_adapters_take_no_time),
	    cmocka_unit_test(what_is_left_says_what_it_needs),
	    cmocka_unit_test(the_fixes_name_nothing_a_shell_would_take_for_more),
	};
	return cmocka_run_group_tests(tests, catalogue_open, catalogue_close);
}
