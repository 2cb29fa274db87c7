/* scope: what a tenant may see of an answer that was made for those who see all: its own machines whole, the hosts on its
 * paths by name only, of other tenants nothing, not even that there are any. */
#ifndef BW_COLLECTOR_SCOPE_H
#define BW_COLLECTOR_SCOPE_H

struct json_t; /* jansson's */

/* A new document; `doc` is left as it is. */
struct json_t *scope_for_tenant(const struct json_t *doc, const char *tenant);

#endif
