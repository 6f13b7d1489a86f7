/* Elementwise loops with NumPy broadcasting, over any layout and storage type.
 *
 * A kernel gives a function on runs of elements; the driver walks the output in the order
 * of its memory and hands the function runs in which each input either advances by one
 * element or stands still. Channels-last tensors are permuted views here.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_BCAST_H
#define PLN_KERNELS_BCAST_H

#include "src/ir/kernel.h"
#include "src/ir/tensor.h"
#include "src/util/status.h"

#define PLN_LOOP_MAX_IN 4

/* y[i] from x[k][i * sx[k]], for i < n; sx[k] is 0 or 1. y may lie exactly over an x[k]
 * whose sx is 1. */
typedef void (*pln_loop_fn)(void *y, const void *const *x, const int64_t *sx, int64_t n,
                            const void *arg);

typedef struct pln_loop {
    pln_loop_fn fn;
    const void *arg;
    int n_in;
    pln_dtype work_in[PLN_LOOP_MAX_IN]; /* what fn reads; NONE: as stored */
    pln_dtype work_out;                 /* what fn writes; NONE: as stored */
    int64_t grain; /* fewest elements worth a thread; 0: a cheap function's */
} pln_loop;

/* Runs over `out`, to whose shape the inputs broadcast. */
pln_status pln_loop_run(const pln_call *c, const pln_loop *m, pln_tensor *out,
                        const pln_tensor *const *in, pln_error *err);

/* Output 0 from the first n_in inputs, all of one type: by_type[that type], or for short
 * float formats by_type[float] on converted blocks. `by_type` has PLN_DT_COUNT entries.
 */
pln_status pln_loop_typed(const pln_call *c, const pln_loop_fn *by_type, int n_in,
                          const void *arg, pln_error *err);
/* The same, `grain` elements being worth a thread. */
#define PLN_LOOP_HEAVY 8192 /* for functions that take a nanosecond or so */
pln_status pln_loop_typed_grain(const pln_call *c, const pln_loop_fn *by_type, int n_in,
                                const void *arg, int64_t grain, pln_error *err);
/* Layouts of an elementwise node: channels-last where a full-size input has it. */
pln_status pln_loop_prepare(pln_prep *p, pln_error *err);
/* The same, declining what does not compute in float. */
pln_status pln_loop_prepare_float(pln_prep *p, pln_error *err);

/* Elements between neighbours in each logical dimension, by the tensor's layout. */
void pln_layout_strides(const pln_tensor *t, int64_t *strides);
/* Logical dimensions in the order of memory, outermost first. */
void pln_layout_order(const pln_tensor *t, int *order);
/* Strides of `t` seen with `rank` dimensions `dims`: 0 where it broadcasts. False: it
 * does not broadcast to them. */
bool pln_bcast_strides(const pln_tensor *t, int rank, const int64_t *dims,
                       int64_t *strides);

#endif
