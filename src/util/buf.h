/* Reference-counted bytes: heap, mapped file, or somebody else's memory.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_UTIL_BUF_H
#define PLN_UTIL_BUF_H

#include <stdint.h>

#include "src/util/alloc.h"

/* Which file it is, whatever it is called. */
typedef struct pln_file_id {
    uint64_t dev, ino;
} pln_file_id;

typedef struct pln_buf {
    unsigned char *data;
    size_t size;
    const pln_allocator *alloc;
    void (*release)(
        struct pln_buf *buf); /* called with the last reference; may be NULL */
    void *user;
    pln_release_fn user_release;
    _Atomic uint32_t refs;
    bool writable; /* false: a mapped file or the caller's constant memory */
    pln_file_id file; /* that the bytes were read from; zeros: none */
    bool mapped;   /* pages can be handed back with pln_buf_drop_pages */
} pln_buf;

/* 64-byte aligned, not zeroed. */
pln_buf *pln_buf_new(const pln_allocator *a, size_t size);
/* Over memory that `release` (may be NULL) frees. */
pln_buf *pln_buf_wrap(const pln_allocator *a, void *data, size_t size,
                      pln_release_fn release, void *user);
pln_buf *pln_buf_ref(pln_buf *buf);
void pln_buf_unref(pln_buf *buf); /* NULL is fine */

#endif
