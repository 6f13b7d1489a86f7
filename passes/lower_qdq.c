/* lower-qdq: products between DequantizeLinear and QuantizeLinear become products of
 * integers, planish.QMatMul and planish.QConv; products behind DynamicQuantizeLinear
 * become planish.DynamicQuantMatMul. The sums are the same; only the float steps around
 * them differ.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/fuse.h"
#include "passes/known.h"
#include "passes/qdq_unit.h"

#include <string.h>

/* ---- the bias ------------------------------------------------------------------- */

static bool take_bias(pln_match *m, pln_value *bias, pln_chain *q)
{
    if (!bias)
        return true;
    const pln_node *d = pln_dequantizer(bias, 0);
    q->base[6] = bias;
    if (d && d->in[0]->type.dtype == PLN_DT_S32 &&
        pln_bias_counts_in_sums(d, q->base[2], q->base[4]))
        q->base[6] = d->in[0];
    if (pln_value_rank(q->base[6]) == 1)
        return true;
    pln_match_refuse(m, "its bias is not one value for each channel");
    return false;
}

/* ---- QDQ units ------------------------------------------------------------------ */

/* The axis of output channels in the weights. */
static int weight_axis(const pln_chain *c, bool conv)
{
    const int rank = pln_value_rank(c->base[1]);
    return conv ? 0 : c->trans_b ? rank - 2 : rank - 1;
}

static pln_status check_unit(pln_match *m, const pln_chain *c, bool conv,
                             const pln_node **a, const pln_node **b)
{
    *a = pln_dequantizer(c->base[0], -1);
    *b = pln_dequantizer(c->base[1], weight_axis(c, conv));
    if (!*a || !*b || !pln_is_byte((*a)->in[0]) || !pln_is_byte((*b)->in[0]))
        return pln_match_refuse(m, "its inputs are not dequantized bytes");
    if (!pln_value_is_const((*b)->in[0]) || !pln_value_is_const((*b)->in[1]) ||
        (pln_zero_point(*b) && !pln_value_is_const(pln_zero_point(*b))))
        return pln_match_refuse(m, "its weights are not constant");
    if (!conv && pln_value_rank((*b)->in[0]) != 2)
        return pln_match_refuse(m, "its weights are not one matrix");
    if (c->alpha != 1 || (c->trans_a && pln_value_rank((*a)->in[0]) != 2) ||
        pln_node_get_float(m->root, "beta", 1) != 1)
        return pln_match_refuse(m, "it scales or transposes its input");
    return PLN_OK;
}

/* What follows goes to bytes at once when nobody else wants the floats. */
static void take_quantizer(pln_chain *q)
{
    pln_node *n = pln_value_only_user(q->out);
    if (!n || !pln_node_is(n, "QuantizeLinear") || n->in[0] != q->out ||
        n->graph != q->product->graph || !pln_is_one_number(n->in[1]) ||
        !pln_is_byte(n->out[0]) || n->in[1]->type.dtype != PLN_DT_F32 ||
        pln_node_get_int(n, "block_size", 0))
        return;
    if (n->out[0]->type.dtype == PLN_DT_S8 && !pln_zero_point(n))
        return;
    q->base[7] = n->in[1];
    q->base[8] = pln_zero_point(n);
    q->out = n->out[0];
}

static pln_status copy_conv_attrs(pln_node *to, const pln_node *from)
{
    for (uint32_t i = 0; i < from->n_attrs; i++)
        if (strncmp(from->attrs[i]->name, "post", 4) != 0)
            PLN_TRY(pln_node_set_attr(to, from->attrs[i]));
    return PLN_OK;
}

/* A session gains nothing from integers that only the reference kernel computes. */
static bool is_worth_it(const pln_match *m, const char *op)
{
    const pln_registry *r = m->root->graph->model->registry;
    const pln_op_desc *d = pln_registry_find(r, "planish", op);
    return !m->ctx->options->session || (d && d->cpu);
}

static pln_status lower(pln_match *m, pln_patch *p)
{
    static const int64_t swap[2] = { 1, 0 };
    pln_chain c, q;
    const pln_node *a, *b;
    const bool conv = strstr(m->root->op_type, "Conv") != NULL;
    if (!is_worth_it(m, conv ? "QConv" : "QMatMul"))
        return pln_match_refuse(m, "there is no fast kernel for it");
    if (!pln_chain_begin(&c, m->root, conv ? "FusedConv" : "FusedMatMul", conv ? 1 : -1))
        return pln_match_refuse(m, "not a product of floats");
    PLN_TRY(check_unit(m, &c, conv, &a, &b));
    pln_chain_start(&q, m->root, conv ? "QConv" : "QMatMul", conv ? 1 : -1, 9, 6);
    q.base[0] = c.trans_a ? pln_patch_transpose(p, a->in[0], swap, 2) : a->in[0];
    q.base[1] = b->in[0];
    q.base[2] = a->in[1];
    q.base[3] = pln_zero_point(a);
    q.base[4] = b->in[1];
    q.base[5] = pln_zero_point(b);
    if (!q.base[0])
        return PLN_E_NOMEM;
    if (!take_bias(m, c.base[2], &q))
        return PLN_E_UNSUPPORTED;
    memcpy(q.post, c.post, sizeof q.post);
    q.n_post = c.n_post;
    pln_chain_follow(&q);
    take_quantizer(&q);
    pln_node *n;
    PLN_TRY(pln_chain_emit(p, &q, &n));
    if (conv)
        return copy_conv_attrs(n, m->root);
    return c.trans_b ? pln_node_set_int(n, "transB", 1) : PLN_OK;
}

/* ---- dynamic quantization ------------------------------------------------------- */

static pln_status check_dynamic(pln_match *m)
{
    const pln_value *q = pln_match_val(m, "q"), *s = pln_match_val(m, "s"),
                    *z = pln_match_val(m, "z"), *w = pln_match_val(m, "w"),
                    *ws = pln_match_val(m, "ws"), *wz = pln_match_val(m, "wz");
    const pln_node *d = q->def;
    if (!d || !pln_node_is(d, "DynamicQuantizeLinear") || q->slot != 0 || s->def != d ||
        s->slot != 1 || z->def != d || z->slot != 2)
        return pln_match_refuse(m, "not quantized by one DynamicQuantizeLinear");
    if (pln_value_rank(w) != 2 || !pln_is_byte(w))
        return pln_match_refuse(m, "its weights are not one matrix of bytes");
    const int64_t n = w->cst->dims[1], n_scales = pln_value_count(ws);
    if ((n_scales != 1 && (n_scales != n || pln_value_rank(ws) != 1)) ||
        (wz && pln_value_count(wz) != 1 && pln_value_count(wz) != n))
        return pln_match_refuse(m,
                                "its weights have other scales than one or one a column");
    if (m->root->out[0]->type.dtype != PLN_DT_F32 || ws->type.dtype != PLN_DT_F32)
        return pln_match_refuse(m, "not float");
    if (!pln_value_same_type(m->root->out[0], pln_match_val(m, "f")))
        return pln_match_refuse(m, "the scale makes the result larger");
    return PLN_OK;
}

static pln_status dynamic(pln_match *m, pln_patch *p)
{
    pln_chain c;
    pln_node *n;
    pln_chain_start(&c, m->root, "DynamicQuantMatMul", -1, 5, 4);
    c.base[0] = pln_match_val(m, "q")->def->in[0];
    c.base[1] = pln_match_val(m, "w");
    c.base[2] = pln_match_val(m, "ws");
    c.base[3] = pln_match_val(m, "wz");
    pln_chain_follow(&c);
    return pln_chain_emit(p, &c, &n);
}

#define SUMS "f=Cast!<to=1>(MatMulInteger!(q, w#, z, wz?#))"

static const pln_rule rules[] = {
    { .name = "qdq-unit",
      .match = "MatMul|Gemm|planish.FusedMatMul|planish.FusedGemm(a, b, ...)",
      .build = lower,
      .contract = PLN_REASSOC,
      .target = PLN_TARGET_PLANISH },
    { .name = "qdq-conv",
      .match = "Conv|planish.FusedConv(a, b, ...)",
      .build = lower,
      .contract = PLN_REASSOC,
      .target = PLN_TARGET_PLANISH },
    { .name = "dynamic-quant",
      .match = "Mul~(" SUMS ", Mul~(s, ws#))",
      .check = check_dynamic,
      .build = dynamic,
      .contract = PLN_REASSOC,
      .target = PLN_TARGET_PLANISH },
};

const pln_pass pln_pass_lower_qdq = {
    .name = "lower-qdq",
    .brief = "products between (de)quantizers become products of integers",
    PLN_RULES(rules),
};
