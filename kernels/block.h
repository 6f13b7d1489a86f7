/* Conversion of blocks of elements between storage types and the types that kernels
 * compute in.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_BLOCK_H
#define PLN_KERNELS_BLOCK_H

#include "src/ir/tensor.h"

/* n elements of src as dst's type, rounded as Cast does without attributes: to nearest
 * even between float formats, towards zero into integers, which wrap; float8 saturates.
 * Every pair of numeric types and bool; false: strings, complex numbers. */
bool pln_block_convert(pln_dtype dst_dt, void *dst, pln_dtype src_dt, const void *src,
                       int64_t n);
/* Whether it converts this type. */
bool pln_block_can(pln_dtype dt);
/* The type that kernels of float mathematics compute in: double for double and 64-bit
 * integers, float for what float holds; NONE for strings and complex numbers. */
pln_dtype pln_block_work(pln_dtype dt);
/* n elements of t, from element `offset` on, `stride` apart, as type `work`. The types
 * must be such as pln_block_convert takes. */
void pln_block_load(pln_dtype work, void *dst, const pln_tensor *t, int64_t offset,
                    int64_t stride, int64_t n);
void pln_block_store(pln_tensor *t, int64_t offset, int64_t stride, pln_dtype work,
                     const void *src, int64_t n);

/* v as values of this type: rounded to it and back. */
void pln_block_round(pln_dtype dt, double *v, int64_t n);

/* The axis of a row-major tensor as three sizes: element [o, i, j] lies at
 * (o * n + i) * inner + j. */
typedef struct pln_axis {
    int64_t outer, n, inner;
} pln_axis;
/* Axes [first, last) become one. */
pln_axis pln_axis_of(const pln_tensor *t, int first, int last);
/* A negative axis counts from the end; false: out of range. */
bool pln_axis_normal(int64_t axis, int rank, int *out);

#endif
