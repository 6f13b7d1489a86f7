/* Deformable convolution: what its kernels share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_DEFORM_CONV_H
#define PLN_KERNELS_DEFORM_CONV_H

#include "kernels/conv.h"

typedef struct pln_deform {
    pln_conv_geom g;
    int64_t offset_group;
    const void *x, *w, *offset, *bias, *mask;
    void *y;
} pln_deform;

/* In float: columns of sampled pixels, once for all output channels, times the
 * weights. */
pln_status pln_deform_f32(pln_call *c, const pln_deform *s, pln_error *err);

#endif
