/* ovs_rules: of a round's packets that came into an Open vSwitch of this host and left it by no port that was looked at, asks it
 * what it does with them, and notes the flow entry that drops them. */
#ifndef BW_AGENT_OVS_RULES_H
#define BW_AGENT_OVS_RULES_H

#include "agent/exec.h"
#include "proto/model/snapshot.h"

/* At the end of the round, with the snapshot just taken. Costs nothing without Open vSwitch or without a loss in it. */
void ovs_rules(struct exec *x, const struct snapshot *s);

#endif
