/* names: what an end takes its peer's name for, where it was asked. */
#ifndef BW_COLLECTOR_NAMES_H
#define BW_COLLECTOR_NAMES_H

#include "proto/model/dossier.h"

enum name_leads {
	NAME_UNKNOWN,   /* nobody asked, or the name leads nowhere: names of agents need not be known to anybody */
	NAME_TO_PEER,   /* in each family in which it leads anywhere */
	NAME_ELSEWHERE, /* to an address that cannot be the peer's */
	NAME_OUTSIDE    /* to one that is not the peer's and may lead there, as one does that a router publishes */
};

struct name_found {
	const char *name;
	struct ip ip;              /* the first wrong one */
	const struct owner *owner; /* who has it; NULL = nobody is known to */
	bool in_hosts;             /* the hosts file has the name */
};

enum name_leads name_leads(const struct dossier *d, int end, struct name_found *out);

#endif
