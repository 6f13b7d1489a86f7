/* Attributes of Gemm.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_GEMM_ATTRS_H
#define PLN_KERNELS_GEMM_ATTRS_H

#include <stdint.h>

typedef struct pln_gemm_attrs {
    float alpha, beta;
    int64_t transA, transB;
} pln_gemm_attrs;

#endif
