/* loop: timers, file descriptors and signals. The only file pair that meets libevent. */
#ifndef BW_LOOP_H
#define BW_LOOP_H

#include "proto/base/mono.h"

#include <stdbool.h>

struct loop;
struct loop_source; /* a timer, fd, signal or idle watcher; freed by loop_remove */

#define LOOP_READ  1
#define LOOP_WRITE 2

typedef void loop_fn(void *arg);
typedef void loop_fd_fn(void *arg, int fd, int what);

struct loop *loop_new(void);
void loop_free(struct loop *l);
/* Runs until loop_stop. Returns the value given to loop_stop. */
int loop_run(struct loop *l);
void loop_stop(struct loop *l, int result);

struct loop_source *loop_fd(struct loop *l, int fd, int what, loop_fd_fn *fn, void *arg);
void loop_fd_want(struct loop_source *s, int what);
struct loop_source *loop_every_ms(struct loop *l, int64_t ms, loop_fn *fn, void *arg);
/* Fires once each time it is armed. Made unarmed. */
struct loop_source *loop_timer(struct loop *l, loop_fn *fn, void *arg);
void loop_timer_arm(struct loop_source *s, int64_t us);
void loop_timer_disarm(struct loop_source *s);
struct loop_source *loop_signal(struct loop *l, int signo, loop_fn *fn, void *arg);
/* Makes `s` (any kind) fire soon although nothing happened: for edge-triggered sources (ZMQ_FD). */
void loop_wake(struct loop_source *s);
void loop_remove(struct loop_source *s); /* NULL is fine */
/* Worst lag of loop_every_ms timers since last asked, microseconds. */
uint32_t loop_take_lag_us(struct loop *l);

struct event_base *loop_base(struct loop *l); /* for evhttp only (collector/http.c) */

#endif
