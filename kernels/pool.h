/* Geometry of pooling windows, shared by the pooling operators.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_POOL_H
#define PLN_KERNELS_POOL_H

#include "kernels/move.h"

typedef struct pool_attrs {
    int auto_pad;
    int64_t ceil_mode, count_include_pad, storage_order, p;
    pln_ints kernel_shape, strides, pads, dilations;
} pool_attrs;

typedef enum pool_auto_pad {
    PAD_NOTSET,
    PAD_SAME_UPPER,
    PAD_SAME_LOWER,
    PAD_VALID
} pool_auto_pad;

/* One window dimension. */
typedef struct pool_axis {
    int64_t in, out, k, stride, dil, before, after; /* before, after: pads */
} pool_axis;

typedef struct pool_geo {
    int s; /* spatial dimensions, at least 1 */
    int64_t n, c;
    pool_axis ax[PLN_MAX_RANK];
    int64_t step[PLN_MAX_RANK]; /* of a spatial dimension in pixels */
    int64_t in_pixels, out_pixels;
    bool include_pad;
    bool channels_last;
    int64_t p;
    double inv_p;
} pool_geo;

static inline int64_t pool_reach(const pool_axis *a)
{
    return (a->k - 1) * a->dil + 1;
}

/* Fills k, stride, dil and pads of spatial dimension i from the attributes; false: they
 * are no valid numbers for `s` spatial dimensions. */
bool pool_axis_attrs(const pool_attrs *a, int s, int i, pool_axis *ax);
/* Output size (and the pads of SAME) for a known input size; false: no window fits. */
bool pool_axis_size(const pool_attrs *a, pool_axis *ax);

/* What the rows of the standard have, for relatives whose attributes begin with
 * pool_attrs. */
pln_status pool_infer(pln_infer *inf, pln_error *err);
pln_status pool_global_infer(pln_infer *inf, pln_error *err);
pln_status pool_max_run(pln_call *c, pln_error *err);
pln_status pool_average_run(pln_call *c, pln_error *err);
pln_status pool_global_max_run(pln_call *c, pln_error *err);
pln_status pool_global_average_run(pln_call *c, pln_error *err);
void pool_cost(const pln_infer *inf, pln_cost *cost);

#endif
