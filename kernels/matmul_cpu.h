/* Our own float kernels of the matrix products, and what a device needs to see them
 * alike.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_MATMUL_CPU_H
#define PLN_KERNELS_MATMUL_CPU_H

#include "kernels/postop.h"
#include "kernels/product.h"

extern const pln_impl pln_impl_matmul_f32; /* MatMul, Gemm and all their fused forms */

/* All of them in one form: y = post(alpha A' x B' + beta C). */
typedef struct pln_mm_view {
    bool ta, tb;
    bool batch_a,
        batch_b; /* dimension 0 stands behind the batch dimensions (com.microsoft) */
    float alpha, beta;
    pln_postop_list post;
} pln_mm_view;

/* Geometry of a x b as the view sees them; false: they don't fit. */
bool pln_mm_view_set(pln_mm *g, const pln_mm_view *v, const pln_tensor *a,
                     const pln_tensor *b);
/* By the node's operator and its typed attributes. */
pln_status pln_mm_view_of(pln_mm_view *v, const pln_node *n, const void *attrs,
                          pln_error *err);

#endif
