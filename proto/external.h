/* Files with the elements of tensors, beside the model and nowhere else.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PROTO_EXTERNAL_H
#define PLN_PROTO_EXTERNAL_H

#include "src/util/buf.h"
#include "src/util/status.h"

typedef struct pln_external_file {
    char *location;
    pln_buf *buf;
} pln_external_file;

/* The files of one model that are open. */
typedef struct pln_externals {
    const pln_allocator *alloc;
    const char *directory; /* NULL: refused */
    bool refused, copy;
    uint64_t limit; /* of a file, in bytes */
    pln_external_file *files;
    size_t n, cap;
} pln_externals;

void pln_externals_done(pln_externals *x);
/* The file at `location` (not NUL-terminated), mapped. It lies below the directory, is a
 * regular file, and no symbolic link is on the way. */
pln_status pln_external_open(pln_externals *x, const char *location, size_t len,
                             pln_buf **out, pln_error *err);
/* Whether a location may be used, for reading or writing: relative, no "..", no NUL. */
bool pln_external_is_safe(const char *location, size_t len);
/* A descriptor for reading, opened inside directory `dir` (a descriptor). -1: errno. */
int pln_open_beneath(int dir, const char *path, int flags, unsigned mode);
/* A whole file as a buffer: small ones are read, large ones mapped unless `copy`. */
pln_status pln_buf_of_file(const pln_allocator *a, int fd, const char *name, bool copy,
                           uint64_t limit, pln_buf **out, pln_error *err);

#endif
