/* Conversion of blocks of elements between storage types and the types that kernels
 * compute in.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_BLOCK_H
#define PLN_KERNELS_BLOCK_H

#include <planish/planish.h>

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

#endif
