/* NumPy arrays: .npy bytes to tensors and back (format spec: numpy.lib.format).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_NPY_H
#define TOOLS_NPY_H

#include <planish/planish.h>

/* What an array was in the file, before it became a tensor. */
typedef struct npy_array {
    char kind;         /* b i u f c U S V as NumPy has them */
    size_t item_size;  /* bytes; of U and S: of one string */
    bool big_endian, fortran;
    int rank;
    int64_t dims[32];
    const unsigned char *data;
    size_t size;
} npy_array;

/* Reads the header; data points into bytes. false: *why says why. */
bool npy_parse(const void *bytes, size_t len, npy_array *a, const char **why);
/* The tensor of element type `want` (PLN_DT_NONE: the array's own). No silent casts: the
 * types must agree, but that bfloat16, float8 and 4-bit types may come as raw bits in
 * unsigned or void elements of their size, and 4-bit ones as int8/uint8. */
bool npy_to_tensor(pln_env *env, const npy_array *a, pln_dtype want, pln_tensor **out,
                   const char **why);
/* A .npy file's bytes (free()); types that NumPy lacks are widened (contract: outputs).
 * NULL: no memory, or not a dense tensor. */
unsigned char *npy_from_tensor(const pln_tensor *t, size_t *len);

#endif
