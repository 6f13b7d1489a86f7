/* Bodies of the operators that files of older operator sets, or other runtimes, lack.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/expand.h"

#include <stdio.h>
#include <string.h>

/* ---- nodes ---------------------------------------------------------------------- */

const char *pln_expand_name(pln_expand *b, const char *prefix)
{
    char buf[24];
    snprintf(buf, sizeof buf, "%s%u", prefix, b->n_names++);
    return pln_model_name(b->m, buf);
}

pln_value *ex_in(const pln_expand *b, uint32_t i)
{
    return i < b->node->n_in && b->node->in[i] ? b->g->inputs[i] : NULL;
}

pln_value *ex_done(pln_expand *b, pln_node *n)
{
    const char *name = n ? pln_expand_name(b, "v") : NULL;
    if (!name || !pln_value_rename(n->out[0], name)) {
        b->failed = true;
        return NULL;
    }
    return n->out[0];
}

pln_node *ex_node(pln_expand *b, const char *op, pln_value *x, pln_value *y, pln_value *z)
{
    pln_value *in[3] = { x, y, z };
    const uint32_t n_in = z ? 3 : y ? 2 : 1;
    pln_node *n = b->failed || !x
                      ? NULL
                      : pln_graph_add_node(b->g, NULL, "", op, NULL, in, n_in, 1);
    b->failed |= !n;
    return n;
}

pln_value *ex_op1(pln_expand *b, const char *op, pln_value *x)
{
    return ex_done(b, ex_node(b, op, x, NULL, NULL));
}

pln_value *ex_op2(pln_expand *b, const char *op, pln_value *x, pln_value *y)
{
    return ex_done(b, ex_node(b, op, x, y, NULL));
}

pln_value *ex_float(pln_expand *b, const char *op, pln_value *x, const char *attr,
                    float f, const char *attr2, float f2)
{
    pln_node *n = ex_node(b, op, x, NULL, NULL);
    if (n && (pln_node_set_float(n, attr, f) != PLN_OK ||
              (attr2 && pln_node_set_float(n, attr2, f2) != PLN_OK)))
        b->failed = true;
    return ex_done(b, n);
}

/* Takes t. */
static pln_value *constant(pln_expand *b, pln_tensor *t)
{
    pln_node *n = b->failed || !t
                      ? NULL
                      : pln_graph_add_node(b->g, NULL, "", "Constant", NULL, NULL, 0, 1);
    if (!n || pln_node_set_tensor(n, "value", t) != PLN_OK)
        b->failed = true;
    else
        pln_value_set_const(n->out[0], pln_tensor_ref(t)); /* what lowering asks for */
    pln_tensor_unref(t);
    return ex_done(b, n);
}

pln_value *ex_number(pln_expand *b, double v)
{
    pln_tensor *t = NULL;
    if (pln_tensor_make(b->m->alloc, b->dtype, 0, NULL, &t, NULL) == PLN_OK)
        pln_tensor_set_f64(t, 0, v);
    return constant(b, t);
}

pln_value *ex_ints(pln_expand *b, const int64_t *v, int64_t n)
{
    pln_tensor *t = NULL;
    pln_tensor_from_i64(b->m->alloc, 1, v, n, &t);
    return constant(b, t);
}

pln_value *ex_linear(pln_expand *b, pln_value *x, float alpha, float beta)
{
    pln_value *y = alpha != 1 ? ex_op2(b, "Mul", x, ex_number(b, alpha)) : x;
    return beta != 0 ? ex_op2(b, "Add", y, ex_number(b, beta)) : y;
}

pln_value *ex_transpose(pln_expand *b, pln_value *x, const int64_t *perm, int rank)
{
    pln_node *n = ex_node(b, "Transpose", x, NULL, NULL);
    b->failed |= n && pln_node_set_ints(n, "perm", perm, (size_t)rank) != PLN_OK;
    return ex_done(b, n);
}

pln_value *ex_cast(pln_expand *b, pln_value *x, pln_dtype to)
{
    pln_node *n = ex_node(b, "Cast", x, NULL, NULL);
    b->failed |= n && pln_node_set_int(n, "to", to) != PLN_OK;
    return ex_done(b, n);
}

/* ---- activations ---------------------------------------------------------------- */

static pln_value *tanh_of_cubic(pln_expand *b, pln_value *x)
{
    pln_value *cube = ex_op2(b, "Mul", x, ex_op2(b, "Mul", x, x));
    pln_value *s = ex_op2(b, "Add", x, ex_op2(b, "Mul", cube, ex_number(b, 0.044715f)));
    return ex_op1(b, "Tanh", ex_op2(b, "Mul", s, ex_number(b, 0.79788456f)));
}

pln_value *ex_gelu(pln_expand *b, pln_value *x, bool tanh_form)
{
    pln_value *e = tanh_form
                       ? tanh_of_cubic(b, x)
                       : ex_op1(b, "Erf", ex_op2(b, "Mul", x, ex_number(b, 0.70710678f)));
    pln_value *sum = ex_op2(b, "Add", e, ex_number(b, 1));
    return ex_op2(b, "Mul", ex_op2(b, "Mul", x, ex_number(b, 0.5f)), sum);
}

static pln_value *gelu(pln_expand *b)
{
    const char *form = pln_node_get_string(b->node, "approximate", "none");
    return ex_gelu(b, ex_in(b, 0), !strcmp(form, "tanh"));
}

static pln_value *hard_swish(pln_expand *b)
{
    pln_value *x = ex_in(b, 0);
    return ex_op2(b, "Mul", x,
                  ex_float(b, "HardSigmoid", x, "alpha", 1.0f / 6.0f, "beta", 0.5f));
}

static pln_value *mish(pln_expand *b)
{
    pln_value *x = ex_in(b, 0);
    return ex_op2(b, "Mul", x, ex_op1(b, "Tanh", ex_op1(b, "Softplus", x)));
}

static pln_value *swish(pln_expand *b)
{
    pln_value *x = ex_in(b, 0);
    const float alpha = pln_node_get_float(b->node, "alpha", 1);
    return ex_op2(b, "Mul", x, ex_op1(b, "Sigmoid", ex_linear(b, x, alpha, 0)));
}

static pln_value *swiglu(pln_expand *b)
{
    return ex_op2(b, "Mul", swish(b), ex_in(b, 1));
}

/* ---- the table ------------------------------------------------------------------ */

static const struct {
    const char *op;
    int opset; /* that the body needs; 7 brought broadcasting as it is now */
    pln_expand_fn build;
} bodies[] = {
    { "FusedAttention", 9, ex_fused_attention },
    { "FusedMatMul", 9, ex_product },
    { "FusedGemm", 9, ex_product },
    { "FusedConv", 9, ex_product },
    { "FusedConvTranspose", 9, ex_product },
    { "QMatMul", 13, ex_qmatmul },
    { "QConv", 13, ex_qconv },
    { "QAdd", 13, ex_byte_pair },
    { "QSub", 13, ex_byte_pair },
    { "QMul", 13, ex_byte_pair },
    { "QConcat", 13, ex_byte_concat },
    { "QAveragePool", 13, ex_byte_unit },
    { "QGlobalAveragePool", 13, ex_byte_unit },
    { "QSoftmax", 13, ex_byte_unit },
    { "QWhere", 13, ex_byte_where },
    { "ByteTable", 11, ex_byte_table },
    { "DynamicQuantMatMul", 11, ex_dynamic_quant },
    { "Attention", 9, ex_attention },
    { "DequantMatMul", 9, ex_dequant_matmul },
    { "Gelu", 9, gelu },
    { "HardSwish", 7, hard_swish },
    { "Mish", 7, mish },
    { "Swish", 7, swish },
    { "SwiGLU", 7, swiglu },
    { "GroupNormalization", 7, ex_group_norm },
    { "LayerNormalization", 7, ex_layer_norm },
    { "RMSNormalization", 7, ex_rms_norm },
    { "SkipLayerNormalization", 7, ex_skip_norm },
    { "SkipSimplifiedLayerNormalization", 7, ex_skip_norm },
    { "EmbedLayerNormalization", 7, ex_embed_norm },
    { "EmbedSimplifiedLayerNormalization", 7, ex_embed_norm },
    { "RotaryEmbedding", 7, ex_rotary },
};

static pln_expand_fn find(const char *op_type, int64_t opset)
{
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
        if (!strcmp(bodies[i].op, op_type))
            return opset >= bodies[i].opset ? bodies[i].build : NULL;
    return NULL;
}

bool pln_expansion_exists(const char *op_type, int64_t opset)
{
    return find(op_type, opset) != NULL;
}

/* All that the node gives must be asked for: a function's call gives all inputs. */
static bool uses_all_inputs(const pln_expand *b)
{
    for (uint32_t i = 0; i < b->node->n_in; i++)
        if (b->node->in[i] && !b->g->inputs[i]->n_uses)
            return false;
    return true;
}

pln_status pln_expansion_build(pln_expand *b)
{
    const pln_expand_fn build = find(b->node->op_type, pln_model_opset(b->m, ""));
    if (!build)
        return PLN_E_UNSUPPORTED;
    b->dtype = b->node->n_in && b->node->in[0] ? b->node->in[0]->type.dtype : PLN_DT_F32;
    b->out[0] = build(b);
    for (uint32_t i = 0; i < b->node->n_out && i < PLN_EXPAND_OUT; i++)
        if (!b->out[i] || pln_graph_add_output(b->g, b->out[i], NULL) != PLN_OK)
            b->failed = true;
    return b->failed || b->node->n_out > PLN_EXPAND_OUT || !uses_all_inputs(b)
               ? PLN_E_UNSUPPORTED
               : PLN_OK;
}
