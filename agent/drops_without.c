/* drops_bpf for builds without libbpf or a compiler for the kernel's programs. */
#include "agent/drops_bpf.h"

#include <stdio.h>

struct drops_bpf *drops_bpf_new(struct err *e)
{
	err_set(e, "built without BPF");
	return NULL;
}

void drops_bpf_free(struct drops_bpf *b) { (void)b; }

int drops_bpf_attach(struct drops_bpf *b, struct err *e)
{
	(void)b;
	return err_set(e, "built without BPF");
}

void drops_bpf_detach(struct drops_bpf *b) { (void)b; }

struct drop_wanted *drops_bpf_wanted(struct drops_bpf *b)
{
	(void)b;
	return NULL;
}

uint64_t drops_bpf_lost(struct drops_bpf *b)
{
	(void)b;
	return 0;
}

int drops_bpf_fd(struct drops_bpf *b)
{
	(void)b;
	return -1;
}

void drops_bpf_read(struct drops_bpf *b, drops_bpf_fn *fn, void *arg)
{
	(void)b;
	(void)fn;
	(void)arg;
}

void drops_bpf_reason(struct drops_bpf *b, uint32_t reason, char *out, size_t size)
{
	(void)b;
	snprintf(out, size, "%u", reason);
}

bool drops_bpf_possible(char *why, size_t size)
{
	snprintf(why, size, "no kernel drop reasons: built without BPF");
	return false;
}
