/* priv: which capabilities the agent keeps, and why. Rights are per thread: this runs before any other thread exists, that
 * is before the first ZeroMQ context. */
#ifndef BW_AGENT_PRIV_H
#define BW_AGENT_PRIV_H

#include "agent/agent.h"
#include "proto/base/err.h"

/* Keeps what the setup needs of what we have, gives up everything else for good. Without any rights it does nothing. */
int priv_drop(const struct agent_setup *setup, struct err *e);

#endif
