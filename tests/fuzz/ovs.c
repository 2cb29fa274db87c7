#include "agent/facts/ovs_model.h"
#include "agent/facts/ovs_rpc.h"
#include "agent/ovs_flow.h"
#include "proto/base/mem.h"

#include <stdlib.h>
#include <string.h>

/* A stream of messages as the daemons send them: where each ends, what the database's answer becomes. */
static void stream(const char *data, size_t size)
{
	struct json_scan scan = {0};

	for (size_t at = 0; at < size;) {
		size_t len = json_scan(&scan, data + at, size - at);
		json_t *m = len && len <= size - at ? json_loadb(data + at, len, 0, NULL) : NULL;
		struct ovs_model model = {0};
		struct snapshot *s = snapshot_new();

		if (m && ovs_model_read(&model, json_is_array(m) ? m : json_object_get(m, "result"), NULL) == 0)
			ovs_overlay(&model, s);
		ovs_model_clear(&model);
		snapshot_free(s);
		json_decref(m);
		if (len == 0 || len > size - at)
			return;
		at += len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = mem_alloc(size + 1);
	struct ovs_model model = {0};
	struct ovs_fate fate;

	memcpy(text, data, size);
	stream(text, size);
	ovs_fate_read(text, &fate);
	if (fate.dropped && !fate.bridge[0])
		__builtin_trap();
	ovs_entries_read(&model, 0, text);
	ovs_model_clear(&model);
	free(text);
	return 0;
}
