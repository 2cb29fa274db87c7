/* restart: the command that starts this agent again, fit to be run verbatim in a shell: what the diagnosis of a dead agent
 * prints as its fix. */
#ifndef BW_AGENT_RESTART_H
#define BW_AGENT_RESTART_H

#include <stddef.h>

/* Writes it to `out`; "" if it does not fit. The token is left out: after joining it is not needed. */
void restart_command(char *out, size_t size, int argc, char **argv);

#endif
