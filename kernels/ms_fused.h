/* The fused float products of com.microsoft, as the faster kernels see them.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_MS_FUSED_H
#define PLN_KERNELS_MS_FUSED_H

#include "kernels/conv.h"
#include "kernels/matmul_cpu.h"

/* Of FusedMatMul, TransposeMatMul, FusedGemm, FusedMatMulActivation, GemmFastGelu.
 * Parameters of the activation that are not given are NAN. */
typedef struct pln_ms_mm_attrs {
    float alpha, beta;
    int64_t transA, transB, transBatchA, transBatchB;
    const char *activation;
    float activation_alpha, activation_beta, activation_gamma;
    int64_t activation_axis;
} pln_ms_mm_attrs;

/* Of FusedConv, NhwcConv, NhwcFusedConv. */
typedef struct pln_ms_conv_attrs {
    pln_conv_attrs conv; /* first: what Conv has */
    const char *activation;
    pln_floats activation_params;
} pln_ms_conv_attrs;

/* PLN_E_UNSUPPORTED, err untouched, where the activation is no post-op. */
pln_status pln_ms_mm_view(pln_mm_view *v, const pln_node *n, const pln_ms_mm_attrs *at);
pln_status pln_ms_conv_posts(const pln_node *n, const pln_ms_conv_attrs *at,
                             pln_postop_list *out);

#endif
