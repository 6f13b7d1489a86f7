/* Reference-counted bytes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/util/buf.h"

#include <stdatomic.h>

static void release_heap(pln_buf *buf)
{
    pln_release(buf->alloc, buf->data);
}

static void release_user(pln_buf *buf)
{
    if (buf->user_release)
        buf->user_release(buf->user, buf->data);
}

static pln_buf *make(const pln_allocator *a, void *data, size_t size,
                     void (*release)(pln_buf *buf))
{
    pln_buf *buf = pln_calloc(a, 1, sizeof *buf);
    if (!buf)
        return NULL;
    buf->data = data;
    buf->size = size;
    buf->alloc = a;
    buf->release = release;
    atomic_init(&buf->refs, 1);
    return buf;
}

pln_buf *pln_buf_new(const pln_allocator *a, size_t size)
{
    void *data = pln_alloc_aligned(a, size, PLN_CACHE_LINE);
    if (!data)
        return NULL;
    pln_buf *buf = make(a, data, size, release_heap);
    if (!buf) {
        pln_release(a, data);
        return NULL;
    }
    buf->writable = true;
    return buf;
}

pln_buf *pln_buf_wrap(const pln_allocator *a, void *data, size_t size,
                      pln_release_fn release, void *user)
{
    pln_buf *buf = make(a, data, size, release_user);
    if (!buf)
        return NULL;
    buf->user_release = release;
    buf->user = user;
    return buf;
}

pln_buf *pln_buf_ref(pln_buf *buf)
{
    if (buf)
        atomic_fetch_add_explicit(&buf->refs, 1, memory_order_relaxed);
    return buf;
}

void pln_buf_unref(pln_buf *buf)
{
    if (!buf || atomic_fetch_sub_explicit(&buf->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (buf->release)
        buf->release(buf);
    pln_release(buf->alloc, buf);
}
