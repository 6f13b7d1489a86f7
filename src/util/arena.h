/* Arena: many small allocations, freed together.
 * With -Darena_debug=true every item is its own malloc, so that ASan sees inside.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_UTIL_ARENA_H
#define PLN_UTIL_ARENA_H

#include "src/util/alloc.h"

typedef struct pln_arena pln_arena;

pln_arena *pln_arena_new(const pln_allocator *a); /* NULL: no memory */
void pln_arena_free(pln_arena *arena);
void pln_arena_reset(pln_arena *arena); /* frees all items, keeps a block */
const pln_allocator *pln_arena_allocator(const pln_arena *arena);

/* Zeroed, aligned to 16. NULL: no memory, or n * size overflows. */
void *pln_arena_alloc(pln_arena *arena, size_t size);
void *pln_arena_array(pln_arena *arena, size_t n, size_t size);
void *pln_arena_dup(pln_arena *arena, const void *p, size_t size);
char *pln_arena_str(pln_arena *arena, const char *s, size_t len); /* with a NUL added */
char *pln_arena_printf(pln_arena *arena, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#define PLN_NEW(arena, type) ((type *)pln_arena_alloc((arena), sizeof(type)))
#define PLN_NEW_ARRAY(arena, type, n) \
    ((type *)pln_arena_array((arena), (size_t)(n), sizeof(type)))

#endif
