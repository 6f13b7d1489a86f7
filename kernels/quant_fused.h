/* planish.QMatMul, QConv and DynamicQuantMatMul: integer products with what stands around
 * them.
 *
 *     QMatMul(A, B, a_scale, a_zero?, b_scale, b_zero?, bias?, y_scale?, y_zero?,
 *     operand...) QConv(X, W, x_scale, x_zero?, w_scale, w_zero?, bias?, y_scale?,
 *     y_zero?, operand...) DynamicQuantMatMul(X, B, b_scale, b_zero?, bias?, operand...)
 *
 * A and X are uint8 or int8 with one scale and zero point; B and W are uint8 or int8 with
 * one scale and zero point, or one for each column (output channel). The sums are exact:
 *     s = sum((a - a_zero) (b - b_zero))   int32, plus bias where that is int32
 *     f = s (a_scale b_scale)              plus bias where that is float
 *     f = post-ops(f)                      attributes post, post_alpha, post_beta
 *     (postop.h) y = f, or with y_scale saturate(round_even(f / y_scale) + y_zero) in
 *     y_zero's type, which
 *         is uint8 where there is no y_zero
 * QMatMul has transB besides, QConv the attributes of Conv. DynamicQuantMatMul quantizes
 * X as DynamicQuantizeLinear does.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_QUANT_FUSED_H
#define PLN_KERNELS_QUANT_FUSED_H

#include "kernels/int_product.h"

typedef struct pln_qmm_attrs {
    int64_t transA, transB; /* transA and alpha: of QGemm alone */
    float alpha;
    pln_postop_attrs post;
} pln_qmm_attrs;

/* Where each input of an integer product stands; PLN_Q_NONE: it has none. */
#define PLN_Q_NONE UINT32_MAX
typedef struct pln_q_inputs {
    uint32_t a, b, a_scale, a_zero, b_scale, b_zero, bias, y_scale, y_zero, operands;
    bool sums;    /* the result is the int32 sums: no scales */
    bool dynamic; /* A is float and quantized on the way */
    bool once;    /* bytes are rounded from the sum times a_scale b_scale / y_scale, one
                     factor */
    bool has_alpha; /* and alpha is part of that factor */
} pln_q_inputs;

extern const pln_q_inputs pln_q_inputs_static, pln_q_inputs_dynamic, pln_q_inputs_qlinear,
    pln_q_inputs_to_float, pln_q_inputs_gemm;
/* Which of them a node has. */
const pln_q_inputs *pln_q_inputs_of(const pln_node *n);

static inline const pln_tensor *pln_q_get(const pln_call *c, uint32_t i)
{
    return i != PLN_Q_NONE && i < c->n_in ? c->in[i] : NULL;
}

/* Scales and bias for n columns or channels; PLN_E_RUN where a size does not fit. */
pln_status pln_q_dequant(const pln_call *c, const pln_q_inputs *q, int64_t n,
                         pln_dequant *out, pln_error *err);
/* float results to bytes, by y_scale and y_zero. */
pln_status pln_q_store(const pln_call *c, const pln_q_inputs *q, const float *f,
                       pln_error *err);
/* DynamicQuantizeLinear of n values: scale and zero point, and the bytes. */
void pln_q_dynamic(const float *x, int64_t n, uint8_t *y, float *scale, uint8_t *zero);

/* For operators with the inputs above. */
pln_status pln_dynamic_mm_infer(pln_infer *inf, pln_error *err);
pln_status pln_dynamic_mm_ref(pln_call *c, pln_error *err);
/* A is input 0, not transposed. */
void pln_int_mm_cost(const pln_infer *inf, pln_cost *cost);

extern const pln_impl pln_impl_int_matmul; /* all integer matrix products */
extern const pln_impl pln_impl_int_conv;   /* ConvInteger, QLinearConv, QConv */

#endif
