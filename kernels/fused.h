/* Attributes of the fused products, for their faster kernels.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_FUSED_H
#define PLN_KERNELS_FUSED_H

#include "kernels/conv.h"
#include "kernels/product.h"

/* planish.FusedMatMul and FusedGemm: post(alpha A' x B' + beta C), where A' is A, or with
 * transA its last two dimensions swapped. The bias of a FusedMatMul broadcasts to the
 * last two dimensions like a Gemm's C. */
typedef struct pln_fused_mm_attrs {
    float alpha, beta;
    int64_t transA, transB;
    pln_postop_attrs post;
} pln_fused_mm_attrs;

#endif
