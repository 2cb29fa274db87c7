/* platform_file: facts of platforms and switches from files that somebody else wrote: an exporter, a script, a person. YAML, and so
 * JSON, too; the lists and the fields are those of proto/model/platform.h:
 *
 *     platform: vmware          # of every row that does not say its own; likewise `host`
 *     vports:
 *       - {vm: web, nic: Network adapter 1, mac: 00:50:56:aa:bb:01, network: VLAN20, connected: yes}
 *
 * A value of null, or an empty one, is "not said". */
#ifndef BW_PLATFORM_FILE_H
#define BW_PLATFORM_FILE_H

#include "proto/base/err.h"
#include "proto/model/snapshot.h"

#include <stdbool.h>

struct conf_node;

#define PLATFORM_FILES_MAX 16

/* Adds its rows to the snapshot; what is beyond a limit is counted there. -1 with "NAME:LINE: what is wrong": then some may have
 * been added. */
int platform_parse(struct snapshot *s, const struct conf_node *n, const char *name, struct err *e);
/* Adds all rows of another one, within the limits. */
void platform_merge(struct snapshot *to, const struct snapshot *from);
/* A zeroed row of the nth table; NULL at the limit, which is counted. */
void *platform_row(struct snapshot *s, size_t table);

/* Files that are read again whenever they change. One that is missing or wrong keeps what it said last, and is complained of once;
 * gone for good is what a file that exists says no more. */
struct platform_files;
struct platform_files *platform_files_new(const char *const *paths, size_t count);
bool platform_files_look(struct platform_files *p); /* true: there is news */
const struct snapshot *platform_files_facts(const struct platform_files *p);
void platform_files_free(struct platform_files *p);

#endif
