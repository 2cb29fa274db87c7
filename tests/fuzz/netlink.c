#include "agent/facts/source.h"

#include <string.h>

typedef void parser_fn(struct snapshot *s, const struct nlmsghdr *h);

static void link_one(struct snapshot *s, const struct nlmsghdr *h) { link_read(&s->links[0], h); }

static parser_fn *const parsers[] = {queue_read, filter_read, xfrm_read, link_one, link_read_vlans, fdb_read, ethtool_read_answer};

/* The first byte chooses who reads the message that follows; its length is told truly, as the kernel's library checks that. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_Alignas(8) static uint8_t message[8192];
	struct nlmsghdr *h = (struct nlmsghdr *)message;

	if (size < 1 + sizeof *h || size > sizeof message)
		return 0;
	memcpy(message, data + 1, size - 1);
	h->nlmsg_len = (uint32_t)(size - 1);
	struct snapshot *s = snapshot_new();
	struct link *l = snapshot_grow(s, (void **)&s->links, &s->link_count, 16, sizeof *s->links);
	l->index = 2;
	strcpy(l->name, "eth0");
	parsers[data[0] % (sizeof parsers / sizeof *parsers)](s, h);
	for (size_t i = 0; i < s->text_count; i++)
		if (!memchr(s->texts[i].name, 0, sizeof s->texts[i].name) || !memchr(s->texts[i].text, 0, sizeof s->texts[i].text))
			__builtin_trap();
	snapshot_free(s);
	return 0;
}
