#include "agent/priv.h"

#include "agent/facts/ovs.h"

#include "agent/facts/ovs.h"

#include <cap-ng.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

static bool always(const struct agent_setup *setup)
{
	(void)setup;
	return true;
}

static bool relays(const struct agent_setup *setup) { return setup->relay_dir != NULL; }

/* Open vSwitch may run as a user of its own, whose sockets are for that user alone. */
static bool has_foreign_ovs(const struct agent_setup *setup)
{
	char path[256];
	struct stat st;

	snprintf(path, sizeof path, "%s/db.sock", setup->ovs_dir);
	return stat(path, &st) == 0 && st.st_uid != geteuid();
}

static bool has_low_port(const struct agent_setup *setup) { return setup->probe_port > 0 && setup->probe_port < 1024; }

static const struct kept {
	unsigned capability;
	bool (*needed)(const struct agent_setup *setup);
	const char *why;
} kept[] = {
    {CAP_NET_RAW, always, "raw and packet sockets: ARP, ND and ICMP probes, captures at NICs and ports, binding to a device"},
    {CAP_NET_ADMIN, always, "reading and tracing the nftables ruleset; receive buffers beyond the limit"},
    {CAP_BPF, always, "the program that tells why the kernel drops packets of a round"},
    {CAP_PERFMON, always, "attaching it to kfree_skb, and its reading of kernel memory"},
    {CAP_DAC_OVERRIDE, relays, "connecting to the guests' sockets, which belong to the hypervisor's user"},
    {CAP_DAC_OVERRIDE, has_foreign_ovs, "connecting to the sockets of Open vSwitch, which belong to its user"},
    {CAP_NET_BIND_SERVICE, has_low_port, "the probe port is below 1024"},
};
#define KEPT_COUNT (sizeof kept / sizeof *kept)

int priv_drop(const struct agent_setup *setup, struct err *e)
{
	bool have[KEPT_COUNT], bounding;

	if (capng_get_caps_process() != 0)
		return err_set(e, "cannot read this process's capabilities");
	bounding = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);
	for (size_t i = 0; i < KEPT_COUNT; i++)
		have[i] = kept[i].needed(setup) && capng_have_capability(CAPNG_PERMITTED, kept[i].capability);
	capng_clear(CAPNG_SELECT_BOTH);
	for (size_t i = 0; i < KEPT_COUNT; i++)
		if (have[i])
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET, kept[i].capability);
	/* the bounding set can only be narrowed with CAP_SETPCAP; without it there is nothing to gain either: no exec, no setuid */
	if (capng_apply(bounding ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS) != 0)
		return err_set(e, "cannot give up capabilities");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return err_sys(e, "cannot give up new privileges");
	return 0;
}
