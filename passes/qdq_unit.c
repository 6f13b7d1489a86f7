/* Products between dequantizers.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/qdq_unit.h"

#include <math.h>

#include "passes/known.h"

#define MOST_IN_PAIRS 64 /* 2 255 64 < 2^15 */

bool pln_is_byte(const pln_value *v)
{
    return v && (v->type.dtype == PLN_DT_U8 || v->type.dtype == PLN_DT_S8);
}

bool pln_is_one_number(const pln_value *v)
{
    return v && pln_value_count(v) == 1;
}

const pln_node *pln_dequantizer(const pln_value *v, int axis)
{
    const pln_node *n = v ? v->def : NULL;
    if (!n || !pln_node_is(n, "DequantizeLinear") ||
        pln_node_get_int(n, "block_size", 0) || n->in[1]->type.dtype != PLN_DT_F32)
        return NULL;
    if (pln_is_one_number(n->in[1]))
        return n;
    const int rank = pln_value_rank(n->in[0]);
    int64_t at = pln_node_get_int(n, "axis", 1);
    at += at < 0 ? rank : 0;
    return axis >= 0 && rank > axis && at == axis && pln_value_rank(n->in[1]) == 1 ? n
                                                                                   : NULL;
}

pln_value *pln_zero_point(const pln_node *n)
{
    return n->n_in > 2 ? n->in[2] : NULL;
}

bool pln_bias_counts_in_sums(const pln_node *bias, const pln_value *a_scale,
                             const pln_value *b_scale)
{
    double a, zero = 0;
    const pln_value *s = bias->in[1], *z = pln_zero_point(bias);
    if (!pln_value_is_splat(a_scale, &a) || !pln_value_is_const(s) ||
        !pln_value_is_const(b_scale) || (z && !pln_value_is_splat(z, &zero)) ||
        zero != 0 ||
        pln_tensor_materialize(s->cst, NULL) != PLN_OK ||
        pln_tensor_materialize(b_scale->cst, NULL) != PLN_OK)
        return false;
    const int64_t n = pln_tensor_size(s->cst), nb = pln_tensor_size(b_scale->cst);
    if (n != nb)
        return false;
    for (int64_t i = 0; i < n; i++) {
        const double want = a * pln_tensor_get_f64(b_scale->cst, i);
        if (!(fabs(pln_tensor_get_f64(s->cst, i) - want) <= 1e-6 * fabs(want)))
            return false;
    }
    return true;
}

bool pln_fits_pairs(const pln_value *weights)
{
    const pln_tensor *t = pln_value_contents(weights);
    if (weights->type.dtype != PLN_DT_S8)
        return true;
    for (int64_t i = 0; t && i < pln_tensor_size(t); i++) {
        const int v = PLN_DATA(const int8_t, t)[i];
        if (v > MOST_IN_PAIRS || v < -MOST_IN_PAIRS)
            return false;
    }
    return t != NULL;
}

pln_value *pln_patch_flip_bytes(pln_patch *p, const pln_value *v)
{
    pln_tensor *t = NULL;
    if (!pln_value_contents(v) || pln_tensor_dup(v->cst, &t, NULL) != PLN_OK)
        return NULL;
    t->dtype = t->dtype == PLN_DT_S8 ? PLN_DT_U8 : PLN_DT_S8;
    for (int64_t i = 0, n = pln_tensor_size(t); i < n; i++)
        PLN_DATA(uint8_t, t)[i] ^= 0x80;
    return pln_patch_const(p, t, v->name);
}
