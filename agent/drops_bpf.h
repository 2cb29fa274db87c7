/* drops_bpf: the program in the kernel that tells of drops (drops.bpf.c), and what its numbers are called. The only file pair
 * that meets libbpf, which is opened at run time: an agent without it, or one that never takes part in a round, pays nothing.
 * To be used in a short-lived child only: reading the kernel's type information takes memory. Nothing is pinned, so
 * the kernel takes everything away when this process ends, however it ends. */
#ifndef BW_AGENT_DROPS_BPF_H
#define BW_AGENT_DROPS_BPF_H

#include "agent/drops_event.h"
#include "proto/base/err.h"

#include <stddef.h>
#include <stdint.h>

struct drops_bpf;

struct drops_bpf *drops_bpf_new(struct err *e); /* loaded, not attached */
void drops_bpf_free(struct drops_bpf *b);
int drops_bpf_attach(struct drops_bpf *b, struct err *e);
void drops_bpf_detach(struct drops_bpf *b);
struct drop_wanted *drops_bpf_wanted(struct drops_bpf *b); /* shared with the kernel */
uint64_t drops_bpf_lost(struct drops_bpf *b);              /* events, since it was loaded */
int drops_bpf_fd(struct drops_bpf *b);                     /* readable when there is something to read */
typedef void drops_bpf_fn(void *arg, const struct drop_event *event);
void drops_bpf_read(struct drops_bpf *b, drops_bpf_fn *fn, void *arg);
/* The reason by its name in the running kernel: "NETFILTER_DROP"; without a name its number, of a subsystem "SUBSYS_2_1". */
void drops_bpf_reason(struct drops_bpf *b, uint32_t reason, char *out, size_t size);

bool drops_bpf_possible(char *why, size_t size); /* have we the rights at all, and the kernel its type information? */

#endif
