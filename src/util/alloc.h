/* The only door to malloc: every allocation goes through a caller's allocator.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_UTIL_ALLOC_H
#define PLN_UTIL_ALLOC_H

#include <planish/planish.h>

#define PLN_CACHE_LINE 64

/* The C library's allocator. */
extern const pln_allocator pln_allocator_libc;

/* `a` NULL stands for the C library's. Zero bytes give a valid pointer. NULL: no
 * memory. */
void *pln_alloc(const pln_allocator *a, size_t size);
void *pln_calloc(const pln_allocator *a, size_t n, size_t size); /* checked, zeroed */
void *pln_alloc_aligned(const pln_allocator *a, size_t size, size_t align);
/* A new block with the first old_size bytes of p; p is freed only on success. */
void *pln_realloc(const pln_allocator *a, void *p, size_t old_size, size_t size);
void pln_release(const pln_allocator *a, void *p); /* NULL is fine */

/* Makes room for `need` items in a growing array: *items, *cap (in items). */
bool pln_grow(const pln_allocator *a, void **items, size_t *cap, size_t need,
              size_t item_size);

#endif
