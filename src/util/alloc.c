/* The only door to malloc.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/util/alloc.h"

#include <stdlib.h>
#include <string.h>

#include "src/util/size.h"

static void *libc_alloc(void *user, size_t size, size_t align)
{
    void *p = NULL;
    if (align <= _Alignof(max_align_t))
        return malloc(size ? size : 1);
    return posix_memalign(&p, align, size ? size : 1) ? NULL : p;
}

static void libc_free(void *user, void *ptr)
{
    free(ptr);
}

const pln_allocator pln_allocator_libc = { .alloc = libc_alloc, .free = libc_free };

void *pln_alloc_aligned(const pln_allocator *a, size_t size, size_t align)
{
    if (!a)
        a = &pln_allocator_libc;
    return a->alloc(a->user, size ? size : 1, align);
}

void *pln_alloc(const pln_allocator *a, size_t size)
{
    return pln_alloc_aligned(a, size, _Alignof(max_align_t));
}

void *pln_calloc(const pln_allocator *a, size_t n, size_t size)
{
    size_t bytes;
    if (!pln_size_mul(&bytes, n, size))
        return NULL;
    void *p = pln_alloc(a, bytes);
    if (p)
        memset(p, 0, bytes);
    return p;
}

void *pln_realloc(const pln_allocator *a, void *p, size_t old_size, size_t size)
{
    void *q = pln_alloc(a, size);
    if (!q)
        return NULL;
    if (p)
        memcpy(q, p, old_size < size ? old_size : size);
    pln_release(a, p);
    return q;
}

void pln_release(const pln_allocator *a, void *p)
{
    if (!p)
        return;
    if (!a)
        a = &pln_allocator_libc;
    a->free(a->user, p);
}

bool pln_grow(const pln_allocator *a, void **items, size_t *cap, size_t need,
              size_t item_size)
{
    if (need <= *cap)
        return true;
    size_t n = *cap < 8 ? 8 : *cap, bytes;
    while (n < need)
        if (!pln_size_mul(&n, n, 2))
            return false;
    if (!pln_size_mul(&bytes, n, item_size))
        return false;
    void *p = pln_realloc(a, *items, *cap * item_size, bytes);
    if (!p)
        return false;
    *items = p;
    *cap = n;
    return true;
}
