/* Products of com.microsoft on pairs of real and imaginary parts: ComplexMul,
 * ComplexMulConj. SPDX-License-Identifier: Apache-2.0 */
#include "kernels/move.h"

/* The last dimension is the pair; those before it broadcast. */
static pln_status pairs_infer(pln_infer *inf, pln_error *err)
{
    pln_shape s;
    for (uint32_t i = 0; i < 2; i++) {
        const int rank = pln_infer_rank(inf, i);
        if (rank != PLN_RANK_UNKNOWN &&
            (rank < 1 || (pln_dim_is_known(pln_infer_dim(inf, i, rank - 1)) &&
                          !pln_dim_is(pln_infer_dim(inf, i, rank - 1), 2))))
            return pln_infer_fail(inf, err, "input %u holds no pairs", i);
    }
    PLN_TRY(pln_infer_broadcast(inf, 0, 2, &s, err));
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), s);
    return PLN_OK;
}

/* Pair of an operand that meets pair i of the result. */
static int64_t pair_at(const pln_tensor *x, const pln_tensor *y, int64_t i)
{
    int64_t at = 0, step = 1;
    for (int k = 2; k <= y->rank; k++) {
        const int64_t p = i % y->dims[y->rank - k];
        i /= y->dims[y->rank - k];
        if (k > x->rank)
            continue;
        const int64_t d = x->dims[x->rank - k];
        at += (d == 1 ? 0 : p) * step;
        step *= d;
    }
    return 2 * at;
}

static void multiply(pln_call *c, double sign)
{
    const pln_tensor *a = c->in[0], *b = c->in[1];
    pln_tensor *y = c->out[0];
    for (int64_t i = 0, n = pln_tensor_size(y) / 2; i < n; i++) {
        const int64_t pa = pair_at(a, y, i), pb = pair_at(b, y, i);
        const double ar = pln_tensor_get_f64(a, pa), ai = pln_tensor_get_f64(a, pa + 1);
        const double br = pln_tensor_get_f64(b, pb),
                     bi = sign * pln_tensor_get_f64(b, pb + 1);
        pln_tensor_set_f64(y, 2 * i, ar * br - ai * bi);
        pln_tensor_set_f64(y, 2 * i + 1, ar * bi + ai * br);
    }
}

static pln_status mul_ref(pln_call *c, pln_error *err)
{
    (void)err;
    multiply(c, 1);
    return PLN_OK;
}

static pln_status mul_conj_ref(pln_call *c, pln_error *err)
{
    (void)err;
    multiply(c, -1);
    return PLN_OK;
}

#define PAIRS                                                               \
    .domain = "com.microsoft", .since = 1, .in = { 2, 2 }, .out = { 1, 1 }, \
    .types = "T:float,double,float16", .sig = "T,T->T", .infer = pairs_infer

const pln_op_desc pln_ops_ms_complex[] = {
    { PAIRS, .name = "ComplexMul", .ref = mul_ref },
    { PAIRS, .name = "ComplexMulConj", .ref = mul_conj_ref },
    { .name = NULL },
};
