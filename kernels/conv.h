/* Geometry of convolutions: what Conv, ConvTranspose, their integer forms and every
 * faster kernel share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_CONV_H
#define PLN_KERNELS_CONV_H

#include "kernels/postop.h"

#define PLN_CONV_MAX (PLN_MAX_RANK - 2) /* spatial dimensions */

enum { PLN_PAD_NOTSET, PLN_PAD_SAME_UPPER, PLN_PAD_SAME_LOWER, PLN_PAD_VALID };

typedef struct pln_conv_attrs {
    int auto_pad;
    int64_t group;
    pln_ints dilations, kernel_shape, pads, strides;
    pln_ints output_padding, output_shape; /* of ConvTranspose */
    pln_postop_attrs post;                 /* of the fused ops */
} pln_conv_attrs;

#define PLN_CONV_SPEC                                                           \
    PLN_A_ENUM(pln_conv_attrs, auto_pad, "NOTSET|SAME_UPPER|SAME_LOWER|VALID",  \
               "NOTSET"),                                                       \
    PLN_A_INT(pln_conv_attrs, group, 1), PLN_A_INTS(pln_conv_attrs, dilations), \
    PLN_A_INTS(pln_conv_attrs, kernel_shape), PLN_A_INTS(pln_conv_attrs, pads), \
    PLN_A_INTS(pln_conv_attrs, strides)
#define PLN_CONV_TRANSPOSE_SPEC                                \
    PLN_CONV_SPEC, PLN_A_INTS(pln_conv_attrs, output_padding), \
    PLN_A_INTS(pln_conv_attrs, output_shape)

typedef struct pln_conv_geom {
    bool transposed;
    int nd;                                 /* spatial dimensions */
    int64_t n, c, m, group, cg, mg;         /* cg, mg: channels of a group */
    int64_t in[PLN_CONV_MAX], out[PLN_CONV_MAX], kernel[PLN_CONV_MAX];
    int64_t stride[PLN_CONV_MAX], dilation[PLN_CONV_MAX];
    int64_t pad_lo[PLN_CONV_MAX], pad_hi[PLN_CONV_MAX];
    int64_t in_size, out_size, taps;        /* products over the spatial dimensions */
    int64_t w_m, w_c;                       /* strides of the weights by output and input
                                               channel (within a group); taps are dense */
} pln_conv_geom;

/* Row's check: values that no shape makes right. */
pln_status pln_conv_check(pln_node *n, void *attrs, pln_error *err);
/* What follows the convolution of this node: none, the post-ops of planish's, or those of
 * com.microsoft's, where PLN_E_UNSUPPORTED with err untouched means that none express
 * it. */
pln_status pln_conv_posts(const pln_node *n, const void *attrs, pln_postop_list *out,
                          pln_error *err);
/* Output 0 from input x and weights w (indices). */
pln_status pln_conv_infer(pln_infer *inf, uint32_t x, uint32_t w, bool transposed,
                          pln_dtype out, pln_error *err);
/* From shapes that inference has accepted. Dimensions below 0 stand for unknown ones, and
 * make it false. */
bool pln_conv_geom_set(pln_conv_geom *g, const pln_conv_attrs *at, bool transposed,
                       const pln_tensor *x, const pln_tensor *w, const pln_tensor *y);
void pln_conv_cost(const pln_infer *inf, uint32_t x, uint32_t w, bool transposed,
                   pln_cost *cost);
/* Position in the input (offset in one channel) that meets tap `tap` at output `out`,
 * both by coordinates; -1: padding, or between the strides of a transposed one. */
static inline int64_t pln_conv_tap(const pln_conv_geom *g, const int64_t *out,
                                   const int64_t *tap)
{
    int64_t at = 0;
    for (int d = 0; d < g->nd; d++) {
        int64_t i;
        if (g->transposed) {
            i = out[d] + g->pad_lo[d] - tap[d] * g->dilation[d];
            if (i < 0 || i % g->stride[d])
                return -1;
            i /= g->stride[d];
        } else {
            i = out[d] * g->stride[d] - g->pad_lo[d] + tap[d] * g->dilation[d];
        }
        if (i < 0 || i >= g->in[d])
            return -1;
        at = at * g->in[d] + i;
    }
    return at;
}
/* The next coordinates in row-major order; false after the last. */
static inline bool pln_conv_next(int nd, int64_t *at, const int64_t *dims)
{
    for (int d = nd - 1; d >= 0; d--) {
        if (++at[d] < dims[d])
            return true;
        at[d] = 0;
    }
    return false;
}
static inline void pln_conv_coords(int nd, int64_t flat, const int64_t *dims, int64_t *at)
{
    for (int d = nd - 1; d >= 0; d--) {
        at[d] = flat % dims[d];
        flat /= dims[d];
    }
}

/* Where each of `cols` outputs from `first` on reads for one tap: an offset in a channel
 * that fits in 32 bits, or -1. Returns true where they follow each other. */
bool pln_conv_tap_offsets(const pln_conv_geom *g, const int64_t *tap, int64_t first,
                          int cols, int32_t *off);

/* y = conv(x, w) + bias, any floating-point type, plain layout. */
pln_status pln_conv_ref(const pln_call *c, const pln_conv_geom *g, const pln_tensor *x,
                        const pln_tensor *w, const pln_tensor *bias, pln_tensor *y,
                        pln_error *err);

#endif
