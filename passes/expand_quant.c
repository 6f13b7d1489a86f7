/* Bodies of the fused integer products: quantization spelled out around a product.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/expand.h"

#include <string.h>

/* The node's inputs: where they stand is told in kernels/quant_fused.h. */
enum { A, B, A_SCALE, A_ZERO, B_SCALE, B_ZERO, BIAS, Y_SCALE, Y_ZERO, OPERANDS };
enum { X, W, W_SCALE, W_ZERO, X_BIAS, X_OPERANDS };

static pln_value *dequantized(pln_expand *b, pln_value *x, pln_value *scale,
                              pln_value *zero, int axis)
{
    pln_node *n = ex_node(b, "DequantizeLinear", x, scale, zero);
    b->failed |= n && axis >= 0 && pln_node_set_int(n, "axis", axis) != PLN_OK;
    return ex_done(b, n);
}

static bool has_many(const pln_expand *b, uint32_t i)
{
    return pln_value_count(b->node->in[i]) != 1;
}

/* An int32 bias counts in steps of the sums. */
static pln_value *bias(pln_expand *b)
{
    pln_value *v = ex_in(b, BIAS);
    if (!v || b->node->in[BIAS]->type.dtype != PLN_DT_S32)
        return v;
    pln_value *scale = ex_op2(b, "Mul", ex_in(b, A_SCALE), ex_in(b, B_SCALE));
    return ex_op2(b, "Mul", ex_cast(b, v, PLN_DT_F32), scale);
}

static pln_value *quantized(pln_expand *b, pln_value *f)
{
    pln_value *y = ex_posts(b, f, OPERANDS);
    if (!ex_in(b, Y_SCALE))
        return y;
    return ex_done(b,
                   ex_node(b, "QuantizeLinear", y, ex_in(b, Y_SCALE), ex_in(b, Y_ZERO)));
}

pln_value *ex_qmatmul(pln_expand *b)
{
    static const int64_t swap[2] = { 1, 0 };
    const bool transposed = pln_node_get_int(b->node, "transB", 0) != 0;
    b->dtype = PLN_DT_F32;
    pln_value *x = dequantized(b, ex_in(b, A), ex_in(b, A_SCALE), ex_in(b, A_ZERO), -1);
    pln_value *w = dequantized(b, ex_in(b, B), ex_in(b, B_SCALE), ex_in(b, B_ZERO),
                               has_many(b, B_SCALE) ? !transposed : -1);
    if (transposed)
        w = ex_transpose(b, w, swap, 2);
    pln_value *y = ex_op2(b, "MatMul", x, w), *c = bias(b);
    return quantized(b, c ? ex_op2(b, "Add", y, c) : y);
}

pln_value *ex_qconv(pln_expand *b)
{
    const pln_node *n = b->node;
    b->dtype = PLN_DT_F32;
    pln_value *x = dequantized(b, ex_in(b, A), ex_in(b, A_SCALE), ex_in(b, A_ZERO), -1);
    pln_value *w = dequantized(b, ex_in(b, B), ex_in(b, B_SCALE), ex_in(b, B_ZERO),
                               has_many(b, B_SCALE) ? 0 : -1);
    pln_node *y = ex_node(b, "Conv", x, w, bias(b));
    for (uint32_t i = 0; y && i < n->n_attrs; i++)
        if (strncmp(n->attrs[i]->name, "post", 4) != 0)
            b->failed |= pln_node_set_attr(y, n->attrs[i]) != PLN_OK;
    return quantized(b, ex_done(b, y));
}

pln_value *ex_dynamic_quant(pln_expand *b)
{
    pln_value *x = ex_in(b, X), *w = ex_in(b, W);
    pln_node *q =
        b->failed || !x
            ? NULL
            : pln_graph_add_node(b->g, NULL, "", "DynamicQuantizeLinear", NULL, &x, 1, 3);
    pln_value *y = ex_done(b, q);
    if (!y || !pln_value_rename(q->out[1], pln_expand_name(b, "v")) ||
        !pln_value_rename(q->out[2], pln_expand_name(b, "v"))) {
        b->failed = true;
        return NULL;
    }
    pln_value *in[4] = { y, w, q->out[2], ex_in(b, W_ZERO) };
    pln_node *sums =
        pln_graph_add_node(b->g, NULL, "", "MatMulInteger", NULL, in, in[3] ? 4 : 3, 1);
    pln_value *f = ex_cast(b, ex_done(b, sums), PLN_DT_F32);
    f = ex_op2(b, "Mul", f, ex_op2(b, "Mul", q->out[1], ex_in(b, W_SCALE)));
    if (ex_in(b, X_BIAS))
        f = ex_op2(b, "Add", f, ex_in(b, X_BIAS));
    return ex_posts(b, f, X_OPERANDS);
}

/* Scales of the weights' columns, or of blocks along their rows. */
static pln_value *stored_weights(pln_expand *b, bool transposed)
{
    const int64_t block = pln_node_get_int(b->node, "block_size", 0);
    if (!ex_in(b, W_SCALE))
        return ex_cast(b, ex_in(b, W), PLN_DT_F32);
    if (!block)
        return dequantized(b, ex_in(b, W), ex_in(b, W_SCALE), ex_in(b, W_ZERO),
                           has_many(b, W_SCALE) ? !transposed : -1);
    pln_node *n =
        ex_node(b, "DequantizeLinear", ex_in(b, W), ex_in(b, W_SCALE), ex_in(b, W_ZERO));
    b->failed |= n && (pln_node_set_int(n, "axis", transposed) != PLN_OK ||
                       pln_node_set_int(n, "block_size", block) != PLN_OK);
    return ex_done(b, n);
}

pln_value *ex_dequant_matmul(pln_expand *b)
{
    static const int64_t swap[2] = { 1, 0 };
    const bool transposed = pln_node_get_int(b->node, "transB", 0) != 0;
    pln_value *w = stored_weights(b, transposed);
    if (transposed)
        w = ex_transpose(b, w, swap, 2);
    pln_value *y = ex_op2(b, "MatMul", ex_in(b, X), w);
    if (ex_in(b, X_BIAS))
        y = ex_op2(b, "Add", y, ex_in(b, X_BIAS));
    return ex_posts(b, y, X_OPERANDS);
}

pln_value *ex_byte_pair(pln_expand *b)
{
    pln_value *x = dequantized(b, ex_in(b, 0), ex_in(b, 1), ex_in(b, 2), -1);
    pln_value *y = dequantized(b, ex_in(b, 3), ex_in(b, 4), ex_in(b, 5), -1);
    pln_value *f = ex_op2(b, b->node->op_type + 1, x, y);
    return ex_done(b, ex_node(b, "QuantizeLinear", f, ex_in(b, 6), ex_in(b, 7)));
}

pln_value *ex_byte_concat(pln_expand *b)
{
    const int64_t axis = pln_node_get_int(b->node, "axis", 0);
    pln_value *all = NULL;
    for (uint32_t i = 2; i + 2 < b->node->n_in; i += 3) {
        pln_value *x = dequantized(b, ex_in(b, i), ex_in(b, i + 1), ex_in(b, i + 2), -1);
        pln_node *n = all ? ex_node(b, "Concat", all, x, NULL) : NULL;
        b->failed |= n && pln_node_set_int(n, "axis", axis) != PLN_OK;
        all = all ? ex_done(b, n) : x;
    }
    return ex_done(b, ex_node(b, "QuantizeLinear", all, ex_in(b, 0), ex_in(b, 1)));
}

/* Gather counts negative indices from the end, where int8 has its negative numbers. */
pln_value *ex_byte_table(pln_expand *b)
{
    pln_value *at = ex_cast(b, ex_in(b, 0), PLN_DT_S32);
    return ex_op2(b, "Gather", ex_in(b, 1), at);
}

/* One operator between a dequantizer and a quantizer, called as it is behind the Q. */
pln_value *ex_byte_unit(pln_expand *b)
{
    const pln_node *n = b->node;
    pln_value *x = dequantized(b, ex_in(b, 0), ex_in(b, 1), ex_in(b, 2), -1);
    pln_node *f = ex_node(b, n->op_type + 1, x, NULL, NULL);
    for (uint32_t i = 0; f && i < n->n_attrs; i++)
        if (strcmp(n->attrs[i]->name, "opset") != 0)
            b->failed |= pln_node_set_attr(f, n->attrs[i]) != PLN_OK;
    if (f && pln_node_get_int(n, "opset", 13) < 13) /* of a Softmax */
        b->failed |= pln_node_set_int(f, "pln_flatten", 1) != PLN_OK;
    f = ex_node(b, "QuantizeLinear", ex_done(b, f), ex_in(b, 3), ex_in(b, 4));
    return ex_done(b, f);
}

pln_value *ex_byte_where(pln_expand *b)
{
    pln_value *x = dequantized(b, ex_in(b, 1), ex_in(b, 2), ex_in(b, 3), -1);
    pln_value *y = dequantized(b, ex_in(b, 4), ex_in(b, 5), ex_in(b, 6), -1);
    pln_value *f = ex_done(b, ex_node(b, "Where", ex_in(b, 0), x, y));
    return ex_done(b, ex_node(b, "QuantizeLinear", f, ex_in(b, 7), ex_in(b, 8)));
}
