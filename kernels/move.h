/* Moving elements: strided copies, element types by their size, and how strings travel.
 *
 * Data movement looks at the size of an element, not at its type. Strings are pointers to
 * shared texts: kernels move them like any 8 bytes between pln_move_begin(), which lets
 * go of what the output held, and pln_move_end(), which takes a reference for each
 * element. SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_MOVE_H
#define PLN_KERNELS_MOVE_H

#include <stddef.h>
#include <string.h>

#include "src/ir/op.h"
#include "src/util/parallel.h"
#include "src/util/size.h"

/* Sets of element types that many rows share. */
#define PLN_TS_NUM \
    "uint8,int8,uint16,int16,uint32,int32,uint64,int64,float16,bfloat16,float,double"
#define PLN_TS_OLD                                                                   \
    "uint8,int8,uint16,int16,uint32,int32,uint64,int64,float16,float,double,string," \
    "bool,complex64,complex128"
#define PLN_TS_STD PLN_TS_OLD ",bfloat16"
#define PLN_TS_SMALL                                                               \
    "float8e4m3fn,float8e4m3fnuz,float8e5m2,float8e5m2fnuz,float8e8m0,float4e2m1," \
    "uint4,int4,uint2,int2"
#define PLN_TS_ALL   PLN_TS_STD "," PLN_TS_SMALL
#define PLN_TS_FLOAT "float16,bfloat16,float,double"
#define PLN_TS_IND   "int32,int64"

/* Elements as plain words that may lie at any address. */
typedef uint8_t pln_w1 __attribute__((may_alias));
typedef uint16_t pln_w2 __attribute__((may_alias, aligned(1)));
typedef uint32_t pln_w4 __attribute__((may_alias, aligned(1)));
typedef uint64_t pln_w8 __attribute__((may_alias, aligned(1)));
typedef uint64_t pln_w16 __attribute__((may_alias, vector_size(16), aligned(1)));

/* X(word type, bytes) for every size of an element. */
#define PLN_MOVE_SIZES(X) \
    X(pln_w1, 1) X(pln_w2, 2) X(pln_w4, 4) X(pln_w8, 8) X(pln_w16, 16)

/* Position of a size in tables made with PLN_MOVE_SIZES. */
static inline int pln_move_size_index(size_t size)
{
    return size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : size == 8 ? 3 : 4;
}

#define PLN_MOVE_RANK (2 * PLN_MAX_RANK + 4)

/* dst[i] = src[i] for all i below dims; strides in bytes, zero and negative ones too. */
void pln_move_nd(void *dst, const int64_t *dst_stride, const void *src,
                 const int64_t *src_stride, const int64_t *dims, int rank, size_t size,
                 int n_threads);
/* memcpy that uses the threads when it is long enough. */
void pln_move_bytes(void *dst, const void *src, size_t n, int n_threads);
/* n copies of one element. */
void pln_move_fill(void *dst, const void *value, int64_t n, size_t size);
/* Row-major strides in bytes. */
void pln_move_strides(int rank, const int64_t *dims, size_t size, int64_t *stride);

void pln_move_begin_strings(pln_tensor *out);
void pln_move_end_strings(pln_tensor *out);
static inline void pln_move_begin(pln_tensor *out)
{
    if (out->dtype == PLN_DT_STRING)
        pln_move_begin_strings(out);
}
static inline void pln_move_end(pln_tensor *out)
{
    if (out->dtype == PLN_DT_STRING)
        pln_move_end_strings(out);
}

/* Output i with this shape: as it stands if it has it already, else allocated. */
pln_status pln_move_output(pln_call *c, uint32_t i, pln_dtype dt, int rank,
                           const int64_t *dims, pln_error *err);
/* Gives the outputs that have no memory yet the shapes that the row's inference finds
 * from the contents of the inputs. For kernels whose output shape depends on contents. */
pln_status pln_move_ready(pln_call *c, pln_error *err);

/* A reference to t that may be kept beyond the call: to a copy where t lies in memory
 * that the run uses again. */
pln_status pln_move_keep(pln_call *c, const pln_tensor *t, pln_tensor **out,
                         pln_error *err);

static inline size_t pln_move_bytes_of(const pln_tensor *t)
{
    return (size_t)pln_tensor_size(t) * pln_dtype_size((pln_dtype)t->dtype);
}

/* Element i of an int32 or int64 tensor. */
static inline int64_t pln_move_index(const pln_tensor *t, int64_t i)
{
    return t->dtype == PLN_DT_S32 ? PLN_DATA(const int32_t, t)[i]
                                  : PLN_DATA(const int64_t, t)[i];
}

/* axis in [0, rank), negative counted from the end; fails with `st` otherwise. */
pln_status pln_move_axis(const pln_call *c, int64_t axis, int rank, int *out,
                         pln_status st, pln_error *err);
/* Product of dims [first, last). */
static inline int64_t pln_move_count(const int64_t *dims, int first, int last)
{
    int64_t n = 1;
    for (int i = first; i < last; i++)
        n *= dims[i];
    return n;
}
/* Reads all integers of an input (int32 or int64, rank <= 1) of at most `max` elements.
 */
pln_status pln_move_read_ints(const pln_call *c, uint32_t i, int64_t *v, size_t max,
                              size_t *n, pln_error *err);

/* ---- inference ------------------------------------------------------------------- */

/* Output 0: type of input 0, shape unknown. */
pln_status pln_move_infer_open(pln_infer *inf);
/* Contents of input i where they are known; else NULL. */
static inline const pln_tensor *pln_move_infer_cst(const pln_infer *inf, uint32_t i)
{
    return pln_infer_has(inf, i) && inf->in_cst ? inf->in_cst[i] : NULL;
}
/* A copy of input i's shape, to be changed; the rank must be known. */
pln_shape pln_move_infer_like(pln_infer *inf, uint32_t i);

#endif
