/* conf: options from the command line and from a YAML file of the same names, and a plain tree for YAML data files.
 * The only file pair that meets libfyaml. One const table of options serves parsing, --help, --check-config and the manual check.
 */
#ifndef BW_CONF_H
#define BW_CONF_H

#include "proto/base/err.h"
#include "proto/base/mem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* ---- YAML as a tree; lines count from 1 ---- */
enum conf_type { CONF_SCALAR, CONF_LIST, CONF_MAP };
struct conf_node {
	enum conf_type type;
	int line;
	char *key;    /* of the entry when the parent is a map, else NULL */
	char *scalar; /* CONF_SCALAR */
	size_t count;
	struct conf_node **items;
};
/* `name` is used in errors: "name:LINE: what is wrong". NULL on error. Bounded in depth and size (1 MiB). */
struct conf_node *conf_parse(const char *name, const char *text, size_t len, struct err *e);
struct conf_node *conf_read(const char *path, struct err *e);
int conf_slurp(const char *path, struct buf *out, struct err *e);               /* the text of a file, to be parsed */
const struct conf_node *conf_get(const struct conf_node *map, const char *key); /* NULL if absent */
const char *conf_text(const struct conf_node *map, const char *key);            /* scalar, NULL if absent */
void conf_free(struct conf_node *n);

/* ---- options ---- */
struct option_info {
	const char *name;  /* "state": --state DIR, and `state:` in YAML; one of one letter: -w FILE */
	const char *value; /* "DIR"; NULL = a flag */
	const char *help;  /* NULL = not shown by --help */
	bool many;         /* may be given several times; a list in YAML */
};
struct options {
	struct {
		const char *name;
		char *value;
	} * items;
	size_t count, cap;
	int first_arg; /* index into argv of the first non-option */
};

/* Fills `out` from argv (command line wins) and, when --config FILE is among them, from that file. --help and --version
 * are handled by the caller through options_has. Stops at the first non-option. Error: one clear line naming the option, or
 * file:line. */
int options_parse(struct options *out, const struct option_info *table, size_t count, int argc, char **argv, struct err *e);
bool options_has(const struct options *o, const char *name);
const char *options_get(const struct options *o, const char *name); /* last one, NULL if absent */
size_t options_all(const struct options *o, const char *name, const char **out, size_t max);
void options_help(const struct option_info *table, size_t count, FILE *to);
void options_print(const struct options *o, FILE *to); /* --check-config: as YAML */
void options_free(struct options *o);
/* "tcp://ADDR:PORT" checks and pieces */
int endpoint_check(const char *text, struct err *e);
int duration_parse(const char *text, int64_t *seconds); /* 90, 90s, 10m, 1h, 2d; -1 if not one */

#endif
