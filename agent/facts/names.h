/* names: what this machine takes a name for, asked of its resolver as any program would ask (nsswitch.conf(5): hosts file, DNS,
 * mDNS). A short-lived child waits for it, no longer than a second, and nobody waits for the child. */
#ifndef BW_AGENT_FACTS_NAMES_H
#define BW_AGENT_FACTS_NAMES_H

#include "proto/model/snapshot.h"

struct names; /* one question */

/* NULL: it cannot be asked, or is not worth asking (an address, this machine's own name). */
struct names *names_ask(const char *name);
/* What is known by now, as texts: name.asked, name.ip4 and name.ip6 (addresses, separated by spaces; absent: none), name.hosts
 * ("yes": the hosts file has the name). No answer yet: nothing. `n` may be NULL. */
void names_tell(struct names *n, struct snapshot *s);
void names_free(struct names *n); /* NULL is fine */

#endif
