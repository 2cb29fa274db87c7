/* What libvirt and Proxmox keep of their VMs, read from samples as they write them. */
#include "agent/facts/platform.h"
#include "agent/facts/xml.h"
#include "proto/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW 1700000000

/* ---- XML ---- */

static void tags_attributes_and_texts(void **state)
{
	struct xml x;
	(void)state;
	xml_begin(&x, "<?xml version='1.0'?><!-- a <b> --><a k='1' l=\"&lt;x&amp;y\"> <b/>t &gt; u </a>");
	assert_true(xml_next(&x));
	assert_true(x.opens && !x.closes && xml_is(&x, "a"));
	assert_string_equal(xml_attr(&x, "l"), "<x&y");
	assert_string_equal(xml_attr(&x, "m"), "");
	assert_true(xml_next(&x));
	assert_true(x.opens && x.closes && xml_is(&x, "a/b") && !xml_is(&x, "c/a/b"));
	assert_true(xml_next(&x));
	assert_true(!x.opens && x.closes && xml_is(&x, "a"));
	assert_string_equal(x.text, "t > u");
	assert_false(xml_next(&x));
}

static void what_is_no_xml_ends_it(void **state)
{
	static const char *const bad[] = {"", "text", "<", "<a", "<a b", "<a b=>", "<a b='", "</a>", "<a/b>", "<!--", "< a>", "<?"};
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct xml x;
		xml_begin(&x, bad[i]);
		assert_false(xml_next(&x));
	}
}

static void what_is_too_deep_ends_it(void **state)
{
	char text[8 * XML_DEPTH_MAX] = "";
	struct xml x;
	size_t n = 0;
	(void)state;
	for (size_t i = 0; i < 2 * XML_DEPTH_MAX; i++)
		strcat(text, "<a>");
	for (xml_begin(&x, text); xml_next(&x); n++)
		;
	assert_int_equal(n, XML_DEPTH_MAX);
}

/* ---- libvirt ---- */

static const char status[] =
    "<!--\nWARNING: THIS IS AN AUTO-GENERATED FILE.\n-->\n"
    "<domstatus state='paused' reason='user' pid='4711'>\n  <monitor path='/x' type='unix'/>\n"
    "  <domain type='kvm' id='1'>\n    <name>web</name>\n    <uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid>\n"
    "    <vcpu placement='static' cpuset='0-3,^2'>4</vcpu>\n    <devices>\n"
    "      <interface type='network'>\n        <mac address='52:54:00:12:34:56'/>\n"
    "        <source network='default' portid='x' bridge='virbr0'/>\n        <target dev='vnet0'/>\n"
    "        <model type='e1000'/>\n        <driver name='vhost' queues='4'/>\n"
    "        <filterref filter='clean-traffic'><parameter name='CTRL_IP_LEARNING' value='dhcp'/></filterref>\n"
    "        <link state='down'/>\n        <bandwidth><inbound average='1000'/><outbound average='50' peak='60'/></bandwidth>\n"
    "        <alias name='net0'/>\n      </interface>\n"
    "      <interface type='bridge'>\n        <mac address='52:54:00:12:34:57'/>\n        <source bridge='br0'/>\n"
    "        <vlan><tag id='42'/></vlan>\n        <target dev='vnet1'/>\n        <model type='virtio'/>\n      </interface>\n"
    "      <interface type='user'><mac address='52:54:00:12:34:58'/></interface>\n"
    "    </devices>\n  </domain>\n</domstatus>\n";

#define LEASE "c7a5fdbd-edaf-9455-926a-d65c16db1809-52:54:00:12:34:56"

static void a_domain_of_libvirt(void **state)
{
	struct snapshot *s = snapshot_new();
	(void)state;
	libvirt_read_domain(s, status, "1600000000 " LEASE " 10.0.0.5 10.0.0.1\n", NOW);
	assert_int_equal(s->vport_count, 3);
	const struct vport *v = s->vports;
	assert_string_equal(v->platform, "libvirt");
	assert_string_equal(v->vm, "web");
	assert_int_equal(v->state, VM_PAUSED);
	assert_string_equal(v->state_why, "user");
	assert_string_equal(v->port, "vnet0");
	assert_string_equal(v->nic, "net0");
	assert_string_equal(v->network, "default");
	assert_string_equal(v->vswitch, "virbr0");
	assert_string_equal(v->model, "e1000");
	assert_int_equal(v->connected, SAID_NO);
	assert_int_equal(v->vhost, SAID_YES);
	assert_int_equal(v->queues, 4);
	assert_int_equal(v->rate_in, 8000);
	assert_int_equal(v->rate_out, 400);
	assert_int_equal(v->mac_guard, SAID_YES);
	assert_int_equal(v->ip_guard, SAID_YES);
	assert_string_equal(v->ip_learning, "dhcp");
	assert_int_equal(v->lease, SAID_NO); /* that one is over */
	assert_int_equal(v->vcpus, 4);
	assert_int_equal(v->cpus, 3);
	assert_int_equal(v[1].vlan, 42);
	assert_int_equal(v[1].vlan_mode, VLAN_ACCESS);
	assert_string_equal(v[1].network, "br0");
	assert_int_equal(v[1].connected, SAID_YES);
	assert_int_equal(v[1].mac_guard, SAID_NO);
	assert_int_equal(v[1].lease, SAID_NOTHING);
	assert_string_equal(v[2].backend, "user");
	assert_string_equal(v[2].nic, "net2");
	snapshot_free(s);
}

static void leases_of_the_filter(void **state)
{
	static const struct {
		const char *leases;
		int is;
	} cases[] = {{NULL, SAID_NOTHING},
	             {"", SAID_NO},
	             {"1800000000 " LEASE " 10.0.0.5 10.0.0.1\n", SAID_YES},
	             {"1 other 10.0.0.5 x\n1800000000 " LEASE " 10.0.0.5 10.0.0.1\n", SAID_YES},
	             {"1800000000 c7a5fdbd-edaf-9455-926a-d65c16db1809-52:54:00:12:34:99 10.0.0.5 x\n", SAID_NO}};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct snapshot *s = snapshot_new();
		libvirt_read_domain(s, status, cases[i].leases, NOW);
		assert_int_equal(s->vports[0].lease, cases[i].is);
		snapshot_free(s);
	}
}

static void states_of_libvirt(void **state)
{
	static const struct {
		const char *xml;
		int is;
	} cases[] = {{"<domstatus state='running' reason='booted'>", VM_RUNNING},
	             {"<domstatus state='paused' reason='io-error'>", VM_STUNNED},
	             {"<domstatus state='paused' reason='migration'>", VM_STUNNED},
	             {"<domstatus state='crashed' reason='panicked'>", VM_CRASHED},
	             {"<domstatus state='paused' reason='unknown'>", VM_PAUSED},
	             {"<domstatus state='odd' reason=''>", VM_UNKNOWN},
	             {"", VM_OFF}};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct snapshot *s = snapshot_new();
		char text[512];
		snprintf(text, sizeof text, "%s<domain><name>x</name><devices><interface type='ethernet'/></devices></domain>",
		         cases[i].xml);
		libvirt_read_domain(s, text, NULL, NOW);
		assert_int_equal(s->vport_count, 1);
		assert_int_equal(s->vports[0].state, cases[i].is);
		snapshot_free(s);
	}
}

static void networks_of_libvirt(void **state)
{
	struct snapshot *s = snapshot_new();
	(void)state;
	libvirt_read_network(
	    s, "<networkstatus><network><name>lab</name><bridge name='virbr9'/><ip address='10.9.0.1'/></network></networkstatus>",
	    true);
	libvirt_read_network(s, "<network><name>default</name><forward mode='nat'/></network>", false);
	libvirt_read_network(s, "<network><name>out</name><forward mode='bridge'/></network>", true);
	libvirt_read_network(s, "<network></network>", true);
	assert_int_equal(s->vswitch_count, 3);
	assert_int_equal(s->vswitches[0].kind, VSWITCH_ISOLATED);
	assert_string_equal(s->vswitches[0].bridge, "virbr9");
	assert_int_equal(s->vswitches[0].management, SAID_YES);
	assert_int_equal(s->vswitches[1].kind, VSWITCH_NAT);
	assert_int_equal(s->vswitches[1].active, SAID_NO);
	assert_int_equal(s->vswitches[2].kind, VSWITCH_EXTERNAL);
	snapshot_free(s);
}

/* ---- Proxmox ---- */

static void a_vm_of_proxmox(void **state)
{
	struct snapshot *s = snapshot_new();
	(void)state;
	proxmox_read_vm(s, "100",
	                "# a comment\nname: webmail\ncores: 2\nsockets: 2\naffinity: 0-2\ncpulimit: 1.5\n"
	                "net0: virtio=A2:C0:43:77:08:A0,bridge=vmbr0,tag=100,firewall=1,mtu=900\n"
	                "net1: e1000=EE:D2:28:5F:B6:3E,bridge=vmbr0,trunks=10;20-30,link_down=1,rate=12.5,queues=4\n"
	                "net2: model=rtl8139,macaddr=EE:D2:28:5F:B6:3F\n\n[snap]\nnet3: virtio=00:00:00:00:00:01,bridge=vmbr9\n",
	                "[OPTIONS]\n\nenable: 1\nipfilter: 1\ndhcp: 0\n\n[RULES]\nmacfilter: 0\n", true, true);
	assert_int_equal(s->vport_count, 3);
	const struct vport *v = s->vports;
	assert_string_equal(v->vm, "webmail");
	assert_string_equal(v->id, "100");
	assert_string_equal(v->nic, "net0");
	assert_string_equal(v->port, "tap100i0");
	assert_string_equal(v->model, "virtio");
	assert_int_equal(v->vlan, 100);
	assert_int_equal(v->vlan_mode, VLAN_ACCESS);
	assert_int_equal(v->state, VM_RUNNING);
	assert_int_equal(v->mac_guard, SAID_YES);
	assert_int_equal(v->ip_guard, SAID_YES);
	assert_int_equal(v->dhcp_guard, SAID_YES);
	assert_int_equal(v->router_guard, SAID_YES);
	assert_int_equal(v->vcpus, 4);
	assert_int_equal(v->cpus, 3);
	assert_int_equal(v->cpu_limit, 150);
	assert_int_equal(v[1].connected, SAID_NO);
	assert_int_equal(v[1].vlan_mode, VLAN_TRUNK);
	assert_string_equal(v[1].vlans, "10;20-30");
	assert_int_equal(v[1].rate_in, 100000);
	assert_int_equal(v[1].mac_guard, SAID_NO); /* without firewall=1 nothing is in force */
	assert_string_equal(v[2].backend, "user");
	assert_string_equal(v[2].model, "rtl8139");
	snapshot_free(s);
}

static void what_proxmox_holds_or_has_off(void **state)
{
	struct snapshot *s = snapshot_new();
	(void)state;
	proxmox_read_vm(s, "7", "lock: backup\nnet0: virtio=A2:C0:43:77:08:A0,bridge=vmbr0\n", NULL, false, true);
	proxmox_read_vm(s, "8", "net0: virtio=A2:C0:43:77:08:A1,bridge=vmbr0,firewall=1\n", "[OPTIONS]\nenable: 1\n", false, false);
	assert_int_equal(s->vports[0].state, VM_UNKNOWN);
	assert_string_equal(s->vports[0].state_why, "backup");
	assert_string_equal(s->vports[0].vm, "7");
	assert_int_equal(s->vports[1].state, VM_OFF);
	assert_int_equal(s->vports[1].mac_guard, SAID_NO); /* the datacenter's firewall is off */
	assert_true(proxmox_firewall_on("[OPTIONS]\nenable: 1\n"));
	assert_false(proxmox_firewall_on("[RULES]\nenable: 1\n"));
	assert_false(proxmox_firewall_on("[OPTIONS]\nenable: 0\n"));
	snapshot_free(s);
}

static void bridges_of_proxmox(void **state)
{
	struct snapshot *s = snapshot_new();
	(void)state;
	proxmox_read_bridges(s, "auto lo\niface lo inet loopback\n\nauto vmbr0\niface vmbr0 inet static\n\taddress 10.0.0.1/24\n"
	                        "\tbridge-ports eno1\n\tbridge-vlan-aware yes\n\tbridge-vids 2-100\niface vmbr0 inet6 manual\n"
	                        "iface vmbr1 inet manual\n\tbridge-ports none\n");
	assert_int_equal(s->vswitch_count, 2);
	assert_string_equal(s->vswitches[0].name, "vmbr0");
	assert_string_equal(s->vswitches[0].uplinks, "eno1");
	assert_string_equal(s->vswitches[0].vlans, "2-100");
	assert_int_equal(s->vswitches[0].kind, VSWITCH_EXTERNAL);
	assert_int_equal(s->vswitches[0].management, SAID_YES);
	assert_int_equal(s->vswitches[1].kind, VSWITCH_UNKNOWN); /* the host may route for it */
	snapshot_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(tags_attributes_and_texts),     cmocka_unit_test(what_is_no_xml_ends_it),
	    cmocka_unit_test(what_is_too_deep_ends_it),      cmocka_unit_test(a_domain_of_libvirt),
	    cmocka_unit_test(leases_of_the_filter),          cmocka_unit_test(states_of_libvirt),
	    cmocka_unit_test(networks_of_libvirt),           cmocka_unit_test(a_vm_of_proxmox),
	    cmocka_unit_test(what_proxmox_holds_or_has_off), cmocka_unit_test(bridges_of_proxmox),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
