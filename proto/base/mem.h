/* mem: memory that does not fail (out of memory ends the program in one place), and a growable byte buffer. */
#ifndef BW_BASE_MEM_H
#define BW_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

void *mem_alloc(size_t size);               /* zeroed */
void *mem_array(size_t count, size_t size); /* zeroed; overflow is fatal */
void *mem_resize(void *p, size_t count, size_t size);
char *mem_strdup(const char *s); /* NULL stays NULL */
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Room for one more element: grows `*items` (of `size` bytes each) when `count` has reached `*cap`. */
void mem_grow(void **items, size_t *cap, size_t count, size_t size);
/* VEC_ADD(array, count, cap) -> pointer to a fresh zeroed last element; `count` is raised. */
#define VEC_ADD(items, count, cap)                                                                                                 \
	(mem_grow((void **)&(items), &(cap), (count), sizeof *(items)), memset(&(items)[(count)], 0, sizeof *(items)),             \
	 &(items)[(count)++])

struct buf {
	char *data; /* always NUL-terminated behind `len` once anything was added; NULL when empty */
	size_t len, cap;
};
void buf_add(struct buf *b, const void *data, size_t len);
void buf_puts(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_consume(struct buf *b, size_t len); /* drop from the front */
void buf_clear(struct buf *b);
void buf_free(struct buf *b);

/* Bounded copy: always terminates, returns 0, or -1 if it had to cut. */
int str_copy(char *out, size_t size, const char *in);

#endif
