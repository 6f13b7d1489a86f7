/* .npz archives, through libzip: deflated, stored, zip64.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_NPZ_H
#define TOOLS_NPZ_H

#include "tools/common/npy.h"

typedef struct npz_item {
    char *key;
    unsigned char *bytes; /* of the .npy; array.data points into it */
    npy_array array;
} npz_item;

typedef struct npz {
    npz_item *items;
    size_t n;
} npz;

/* Reads an .npz, or a lone .npy as one item with the key "". 0; or an exit code after an
 * error was printed. */
int npz_read(const char *path, npz *out);
void npz_free(npz *z);
const npz_item *npz_find(const npz *z, const char *key);

/* Named tensors to be written. Containers are taken apart (contract: outputs). */
typedef struct npz_writer npz_writer;
npz_writer *npz_writer_new(void);
int npz_writer_add(npz_writer *w, const char *name, const pln_tensor *t);
int npz_writer_save(npz_writer *w, const char *path); /* temporary name, then rename */
void npz_writer_free(npz_writer *w);

#endif
