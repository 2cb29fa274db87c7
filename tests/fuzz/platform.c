/* Files of libvirt and Proxmox, and files of facts: whatever stands in them. */
#include "agent/facts/platform.h"
#include "proto/base/mem.h"
#include "proto/conf.h"
#include "proto/model/fact.h"
#include "proto/platform_file.h"

#include "fyaml.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct snapshot *s = snapshot_new();
	struct err e = {""};
	char *text = mem_alloc(size + 1);

	memcpy(text, data, size);
	libvirt_read_domain(s, text, text, 1700000000);
	libvirt_read_network(s, text, size & 1);
	proxmox_read_vm(s, "100", text, text, proxmox_firewall_on(text), size & 1);
	proxmox_read_bridges(s, text);
	struct conf_node *n = conf_parse("fuzz", text, size, &e);
	if (n && platform_parse(s, n, "fuzz", &e) < 0 && !e.text[0])
		__builtin_trap();
	conf_free(n);
	struct facts f = facts_of_all(s);
	facts_free(&f);
	snapshot_free(s);
	free(text);
	return 0;
}
