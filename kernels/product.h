/* Geometry of matrix products: what MatMul, Gemm and their relatives share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_PRODUCT_H
#define PLN_KERNELS_PRODUCT_H

#include "src/ir/op.h"

#define PLN_PASTE_(a, b) a##_##b
#define PLN_PASTE(a, b)  PLN_PASTE_(a, b)

#define PLN_PRODUCT_TYPES "float16,float,double,uint32,uint64,int32,int64,bfloat16"
#define PLN_FLOAT_TYPES   "float16,float,double,bfloat16"

/* C[batch][m][n] = A x B, strides in elements; batches broadcast. */
typedef struct pln_mm {
    int64_t m, n, k, batch;
    int64_t a_rs, a_cs, b_rs, b_cs;
    int nb; /* batch dimensions of the result */
    int64_t dim[PLN_MAX_RANK], a_step[PLN_MAX_RANK], b_step[PLN_MAX_RANK];
    float alpha, beta;
    int64_t c_rs, c_cs; /* of the addend; 0 where it broadcasts */
} pln_mm;

/* From the shapes of A and B as NumPy's matmul sees them (rank 1 allowed), transposed in
 * their last two dimensions if asked. false: they don't fit. alpha and beta become 1. */
bool pln_mm_set(pln_mm *g, const pln_tensor *a, const pln_tensor *b, bool ta, bool tb);
/* Where matrix `i` of the result's batch starts in A and in B. */
void pln_mm_offsets(const pln_mm *g, int64_t i, int64_t *a, int64_t *b);
/* The addend of a Gemm, or the bias of a product: broadcasts to the last two
 * dimensions. */
bool pln_mm_set_addend(pln_mm *g, const pln_tensor *c);

/* y = alpha A x B + beta c (c may be NULL) for any type that MatMul has. */
pln_status pln_mm_ref(const pln_call *c, const pln_mm *g, const pln_tensor *a,
                      const pln_tensor *b, const pln_tensor *addend, pln_tensor *y,
                      pln_error *err);

/* Shape of matmul(in[ia], in[ib]) as output 0 with this type. */
pln_status pln_mm_infer(pln_infer *inf, uint32_t ia, uint32_t ib, bool ta, bool tb,
                        pln_dtype out, pln_error *err);
/* Shape of a Gemm's result. */
pln_status pln_gemm_infer(pln_infer *inf, bool ta, bool tb, pln_error *err);
/* 2 x elements of output 0 x k, and the bytes of everything that is given. */
void pln_product_cost(const pln_infer *inf, double k, pln_cost *cost);
/* Product of the known dimensions from `first` on. */
double pln_product_dims(const pln_type *t, int first);

#endif
