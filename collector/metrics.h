/* metrics: the collector's numbers in Prometheus' text format. They only read. */
#ifndef BW_COLLECTOR_METRICS_H
#define BW_COLLECTOR_METRICS_H

#include "collector/collector.h"

void metrics_write(const struct collector *c, struct buf *out);

#endif
