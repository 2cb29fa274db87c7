/* http: the query plane for browsers and monitoring, read-only, meant for the machine itself (127.0.0.1 by default): /healthz,
 * /api/v1/{status,agents,mesh,causes}, /metrics and one page. The only file that meets evhttp. Every answer comes from query.h. */
#ifndef BW_COLLECTOR_HTTP_H
#define BW_COLLECTOR_HTTP_H

#include "collector/collector.h"

struct http;
/* "ADDR:PORT" or "[ADDR6]:PORT"; the error says "port in use" and the like. */
struct http *http_new(struct collector *c, const char *where, struct err *e);
void http_free(struct http *h);

#endif
