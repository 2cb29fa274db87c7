/* replay: the verdict of a bundle once more, from what is in it and nothing else: no collector, no clock, no network. The door by
 * which the CLI comes to the collector's judgement. */
#ifndef BW_COLLECTOR_REPLAY_H
#define BW_COLLECTOR_REPLAY_H

#include "proto/base/err.h"

#include <jansson.h>
#include <stdbool.h>

enum replay_catalogue {
	REPLAY_SHIPPED,  /* this program's own, and so it was then */
	REPLAY_CARRIED,  /* the one in the bundle */
	REPLAY_OTHER,    /* this program's own, and it was another one then */
	REPLAY_GIVEN,    /* the one that was asked for, and so it was then */
	REPLAY_GIVEN_NEW /* the one that was asked for, and it was another one then */
};

struct replay {
	json_t *verdict; /* now */
	json_t *was;     /* then; NULL = the bundle does not say */
	json_t *report;  /* schema bothways.replay/1: same, catalogue, program, round, differences */
	bool same;       /* nothing differs; true when the bundle does not say */
	int exit_code;   /* of the verdict now, by the contract */
	enum replay_catalogue catalogue;
};

struct replay_wish {
	const char *path;      /* a bundle, or a folder with one unpacked */
	const char *catalogue; /* a file to judge by, NULL = as it was then */
	bool why;              /* the verdict brings the arithmetic, too; that is compared with nothing */
};
/* -1 and one line. */
int replay(const struct replay_wish *wish, struct replay *out, struct err *e);
void replay_clear(struct replay *r);

#endif
