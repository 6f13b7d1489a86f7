/* Arena: blocks that double in size; in debug builds one allocation for each item.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/util/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "src/util/size.h"

#define ARENA_ALIGN     16
#define ARENA_BLOCK_MIN 4096
#define ARENA_BLOCK_MAX (1u << 20)

typedef struct arena_block {
    struct arena_block *next;
    size_t size, used; /* of the bytes after this header */
    _Alignas(ARENA_ALIGN) unsigned char bytes[];
} arena_block;

struct pln_arena {
    const pln_allocator *alloc;
    arena_block *blocks;
    size_t next_size;
};

pln_arena *pln_arena_new(const pln_allocator *a)
{
    pln_arena *arena = pln_calloc(a, 1, sizeof *arena);
    if (!arena)
        return NULL;
    arena->alloc = a;
    arena->next_size = ARENA_BLOCK_MIN;
    return arena;
}

static void free_blocks(pln_arena *arena, arena_block *b)
{
    while (b) {
        arena_block *next = b->next;
        pln_release(arena->alloc, b);
        b = next;
    }
}

void pln_arena_free(pln_arena *arena)
{
    if (!arena)
        return;
    free_blocks(arena, arena->blocks);
    pln_release(arena->alloc, arena);
}

void pln_arena_reset(pln_arena *arena)
{
    arena_block *keep = PLN_ARENA_DEBUG ? NULL : arena->blocks;
    if (!keep) {
        free_blocks(arena, arena->blocks);
        arena->blocks = NULL;
        return;
    }
    free_blocks(arena, keep->next);
    keep->next = NULL;
    keep->used = 0;
}

const pln_allocator *pln_arena_allocator(const pln_arena *arena)
{
    return arena->alloc;
}

static arena_block *add_block(pln_arena *arena, size_t size)
{
    size_t want = PLN_ARENA_DEBUG || size > arena->next_size ? size : arena->next_size;
    size_t bytes;
    if (!pln_size_add(&bytes, want, sizeof(arena_block)))
        return NULL;
    arena_block *b = pln_alloc_aligned(arena->alloc, bytes, ARENA_ALIGN);
    if (!b)
        return NULL;
    b->size = want;
    b->used = 0;
    b->next = arena->blocks;
    arena->blocks = b;
    if (arena->next_size < ARENA_BLOCK_MAX)
        arena->next_size *= 2;
    return b;
}

void *pln_arena_alloc(pln_arena *arena, size_t size)
{
    size_t need;
    if (!pln_size_add(&need, size ? size : 1, ARENA_ALIGN - 1))
        return NULL;
    need &= ~(size_t)(ARENA_ALIGN - 1);
    arena_block *b = arena->blocks;
    if (!b || PLN_ARENA_DEBUG || b->size - b->used < need)
        b = add_block(arena, PLN_ARENA_DEBUG ? (size ? size : 1) : need);
    if (!b)
        return NULL;
    void *p = b->bytes + b->used;
    b->used = PLN_ARENA_DEBUG ? b->size : b->used + need;
    memset(p, 0, size);
    return p;
}

void *pln_arena_array(pln_arena *arena, size_t n, size_t size)
{
    size_t bytes;
    return pln_size_mul(&bytes, n, size) ? pln_arena_alloc(arena, bytes) : NULL;
}

void *pln_arena_dup(pln_arena *arena, const void *p, size_t size)
{
    void *q = pln_arena_alloc(arena, size);
    if (q && size)
        memcpy(q, p, size);
    return q;
}

char *pln_arena_str(pln_arena *arena, const char *s, size_t len)
{
    size_t bytes;
    if (!pln_size_add(&bytes, len, 1))
        return NULL;
    char *q = pln_arena_alloc(arena, bytes);
    if (q && len)
        memcpy(q, s, len);
    return q;
}

char *pln_arena_printf(pln_arena *arena, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *q = n < 0 ? NULL : pln_arena_alloc(arena, (size_t)n + 1);
    if (!q)
        return NULL;
    va_start(ap, fmt);
    vsnprintf(q, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return q;
}
