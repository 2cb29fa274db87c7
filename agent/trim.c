#include "agent/trim.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

struct mapping {
	unsigned long start, end;
	bool of_file; /* and not writable */
	unsigned long changed_kb;
};

/* A line of /proc/self/smaps that begins a mapping. */
static bool mapping_begin(const char *line, struct mapping *m)
{
	char rights[5] = "", path[2] = "";

	*m = (struct mapping){0};
	if (sscanf(line, "%lx-%lx %4s %*s %*s %*s %1s", &m->start, &m->end, rights, path) < 3)
		return false;
	m->of_file = rights[1] == '-' && rights[3] == 'p' && path[0] == '/';
	return true;
}

/* Read-only does not mean unchanged: relocations are made before a segment is protected (RELRO). Only where no page is our own
 * copy, in memory or swapped out, nothing is lost. */
static void mapping_drop(const struct mapping *m)
{
	if (m->of_file && m->changed_kb == 0)
		madvise((void *)m->start, m->end - m->start, MADV_DONTNEED);
}

static void libraries_drop(void)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	struct mapping m = {0}, next;
	char line[512];
	unsigned long kb;

	if (!f)
		return;
	while (fgets(line, sizeof line, f)) {
		if (sscanf(line, "Anonymous: %lu", &kb) == 1 || sscanf(line, "Swap: %lu", &kb) == 1) {
			m.changed_kb += kb;
		} else if (strncmp(line, "VmFlags:", 8) == 0) { /* the last line of each */
			mapping_drop(&m);
			m = (struct mapping){0};
		} else if (mapping_begin(line, &next)) {
			m = next;
		}
	}
	fclose(f);
}

void trim_memory(void)
{
	malloc_trim(0);
	libraries_drop();
}
