/* rounds: the agent's part in the rounds the collector conducts: arms captures, lets the prober run stages, sends results. */
#ifndef BW_AGENT_ROUNDS_H
#define BW_AGENT_ROUNDS_H

#include "agent/agent.h"

#define ROUNDS_MAX 16 /* at once; more are answered as not armed */

struct rounds *rounds_new(struct agent *a);
void rounds_free(struct rounds *r);
void rounds_arm(struct rounds *r, const struct round_spec *spec);
void rounds_go(struct rounds *r, const struct msg_round_go *go);
void rounds_end(struct rounds *r, const struct msg_round_end *end);

#endif
