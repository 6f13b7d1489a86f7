/* Loops over elements of many types: plain C that the compiler vectorizes, compiled once
 * for each instruction set.
 *
 * Integers wrap. Sums of floats are in another order than the elements' (lanes); the rest
 * gives the same results at every set.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_TYPED_H
#define PLN_KERNELS_TYPED_H

#include "src/ir/type.h"

/* X(suffix, C type, enumerator, type of positions) */
#define PLN_TYPED_ALL(X)           \
    X(f32, float, F32, int32_t)    \
    X(f64, double, F64, int64_t)   \
    X(s32, int32_t, S32, int32_t)  \
    X(s64, int64_t, S64, int64_t)  \
    X(u32, uint32_t, U32, int32_t) \
    X(u64, uint64_t, U64, int64_t) \
    X(s8, int8_t, S8, int32_t)     \
    X(u8, uint8_t, U8, int32_t)

typedef enum pln_fold {
    PLN_FOLD_SUM,
    PLN_FOLD_PROD,
    PLN_FOLD_MAX, /* NaN wins */
    PLN_FOLD_MIN,
    PLN_FOLD_L1,
    PLN_FOLD_SQUARE,
    PLN_FOLD_COUNT
} pln_fold;

typedef struct pln_typed_fns {
    /* *acc is folded with x[n]. */
    void (*fold_row[PLN_FOLD_COUNT][PLN_DT_COUNT])(void *acc, const void *x, int64_t n);
    /* acc[i] is folded with x[i]; `join` with partial results. */
    void (*fold[PLN_FOLD_COUNT][PLN_DT_COUNT])(void *acc, const void *x, int64_t n);
    /* Position of the best of x[n]; of equals the first or the last. */
    int64_t (*arg_row[PLN_DT_COUNT])(const void *x, int64_t n, bool max, bool last);
    /* best[n] and at[n] (of the type of positions) are set by row 0, then by row `i`. */
    void (*arg_rows[PLN_DT_COUNT])(const void *x, int64_t i, int64_t n, bool max,
                                   bool last, void *best, void *at);
    /* acc[n] (double for float) += x[n]; y[n] = acc, before it if exclusive. */
    void (*cum_sum[PLN_DT_COUNT])(void *y, const void *x, void *acc, int64_t n,
                                  bool exclusive);
    /* As Cast does; NULL: no loop for this pair. [to][from] */
    void (*convert[PLN_DT_COUNT][PLN_DT_COUNT])(void *y, const void *x, int64_t n);
} pln_typed_fns;

const pln_typed_fns *pln_typed(void);
const pln_typed_fns *pln_typed_for(int isa); /* NULL: not on this processor */
#if defined(__x86_64__)
extern const pln_typed_fns pln_typed_avx2, pln_typed_avx512;
#endif

#endif
