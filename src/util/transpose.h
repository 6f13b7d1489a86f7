/* Transposes of small matrices whose elements are words of 1 to 16 bytes.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_UTIL_TRANSPOSE_H
#define PLN_UTIL_TRANSPOSE_H

#include <stddef.h>
#include <stdint.h>

/* dst[a][b] = src[b][a] for a < na, b < nb: rows of dst lie da bytes apart, those of src
 * sb bytes. Callers keep na and nb small enough for the first cache. */
typedef void (*pln_transpose_fn)(char *dst, int64_t da, const char *src, int64_t sb,
                                 int64_t na, int64_t nb);
/* For elements of 1, 2, 4, 8 or 16 bytes; else NULL. */
pln_transpose_fn pln_transpose_of(size_t size);

#endif
