/* Files that appear under their name only when all of them is there.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_UTIL_OUT_FILE_H
#define PLN_UTIL_OUT_FILE_H

#include "src/util/status.h"

#define PLN_MAX_PATH 4096

typedef struct pln_out_file {
    int dir, fd;
    char name[PLN_MAX_PATH], temp[PLN_MAX_PATH]; /* in dir; no temp: written in place */
    char shown[256];
} pln_out_file;

#define PLN_OUT_FILE_INIT { .dir = -1, .fd = -1 }

/* A file that exists is replaced. What a link stands for is written where links are
 * followed, and so are devices and pipes, in place; else a link is replaced and others
 * are refused. */
pln_status pln_out_begin(pln_out_file *f, const char *path, bool follow, pln_error *err);
pln_status pln_out_put(pln_out_file *f, const void *data, size_t len, pln_error *err);
pln_status pln_out_commit(pln_out_file *f, pln_error *err);
/* Leaves nothing behind that was not committed. */
void pln_out_end(pln_out_file *f);

/* The folder of a path, opened; `*base` is the rest. -1: errno tells. */
int pln_open_folder(const char *path, const char **base);

#endif
