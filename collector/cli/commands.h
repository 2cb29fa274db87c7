/* commands: what the CLI can do, as one table: dispatch, help and the check of the manual read it. */
#ifndef BW_CLI_COMMANDS_H
#define BW_CLI_COMMANDS_H

#include "collector/cli/lang.h"
#include "proto/conf.h"
#include "proto/keys.h"

struct cli {
	bool json;
	enum lang lang;     /* in which people are answered */
	char *endpoint;     /* where the collector is */
	struct keyfile key; /* ours */
	struct err trouble; /* no endpoint or key: for commands that may wait until there is one */
	void (*connect)(struct cli *c, const struct options *o); /* fills the above */
	const struct options *options;
};

/* Runs argv[0] with its arguments. The exit code by the contract; on 1 the reason is in `e`. */
int command_run(struct cli *c, int argc, char **argv, struct err *e);
void commands_help(FILE *to);

#endif
