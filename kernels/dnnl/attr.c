/* Post-ops as oneDNN's attributes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/dnnl/prim.h"

/* The eltwise and binary algorithms; 0: none. */
static const dnnl_alg_kind_t algs[PLN_POST_COUNT] = {
    [PLN_POST_RELU] = dnnl_eltwise_relu,
    [PLN_POST_LEAKY_RELU] = dnnl_eltwise_relu,
    [PLN_POST_CLIP] = dnnl_eltwise_clip,
    [PLN_POST_SIGMOID] = dnnl_eltwise_logistic,
    [PLN_POST_TANH] = dnnl_eltwise_tanh,
    [PLN_POST_GELU] = dnnl_eltwise_gelu_erf,
    [PLN_POST_SWISH] = dnnl_eltwise_swish,
    [PLN_POST_HARD_SIGMOID] = dnnl_eltwise_hardsigmoid,
    [PLN_POST_HARD_SWISH] = dnnl_eltwise_hardswish,
    [PLN_POST_ELU] = dnnl_eltwise_elu,
    [PLN_POST_ABS] = dnnl_eltwise_abs,
    [PLN_POST_NEG] = dnnl_eltwise_linear,
    [PLN_POST_LINEAR] = dnnl_eltwise_linear,
    [PLN_POST_ADD] = dnnl_binary_add,
    [PLN_POST_SUB] = dnnl_binary_sub,
    [PLN_POST_MUL] = dnnl_binary_mul,
    [PLN_POST_DIV] = dnnl_binary_div,
};

dnnl_memory_desc_t prim_md(int rank, const int64_t *dims, const int64_t *strides)
{
    dnnl_memory_desc_t md = NULL;
    dnnl_dims_t d, s;
    for (int i = 0; i < rank; i++)
        d[i] = dims[i], s[i] = strides[i];
    if (rank > DNNL_MAX_NDIMS || pln_dnnl.memory_desc_create_with_strides(
                                     &md, rank, d, dnnl_f32, s) != dnnl_success)
        return NULL;
    return md;
}

dnnl_memory_desc_t prim_md_any(int rank, const int64_t *dims)
{
    dnnl_memory_desc_t md = NULL;
    dnnl_dims_t d;
    for (int i = 0; i < rank && i < DNNL_MAX_NDIMS; i++)
        d[i] = dims[i];
    if (rank > DNNL_MAX_NDIMS ||
        pln_dnnl.memory_desc_create_with_tag(&md, rank, d, dnnl_f32,
                                             dnnl_format_tag_any) != dnnl_success)
        return NULL;
    return md;
}

dnnl_memory_desc_t prim_tensor_md(int rank, const int64_t *dims, pln_layout layout)
{
    int64_t strides[PLN_MAX_RANK], size = 1;
    if (layout == PLN_LAYOUT_CHANNELS_LAST) {
        strides[1] = 1;
        size = dims[1];
    }
    for (int d = rank - 1; d >= 0; d--) {
        if (d == 1 && layout == PLN_LAYOUT_CHANNELS_LAST)
            continue;
        strides[d] = size;
        size *= dims[d];
    }
    return prim_md(rank, dims, strides);
}

pln_layout prim_operand_layout(const pln_tensor *o, int rank, pln_layout result)
{
    if (result != PLN_LAYOUT_CHANNELS_LAST || o->rank != rank || rank < 3 ||
        o->dims[1] == 1)
        return PLN_LAYOUT_PLAIN;
    return PLN_LAYOUT_CHANNELS_LAST;
}

/* Padded to the result's rank with leading dimensions of 1. */
static dnnl_memory_desc_t operand_md(const pln_tensor *o, int rank, pln_layout layout)
{
    int64_t dims[PLN_MAX_RANK];
    const int skip = rank - o->rank;
    if (skip < 0)
        return NULL;
    for (int d = 0; d < rank; d++)
        dims[d] = d < skip ? 1 : o->dims[d - skip];
    return prim_tensor_md(rank, dims, layout);
}

bool prim_append(dnnl_post_ops_t ops, const pln_postop *op,
                 const_dnnl_memory_desc_t operand)
{
    const dnnl_alg_kind_t alg = algs[op->kind];
    float alpha = op->alpha, beta = op->beta;
    if (!alg)
        return false;
    if (op->kind == PLN_POST_RELU)
        alpha = 0.0f;
    if (op->kind == PLN_POST_NEG)
        alpha = -1.0f, beta = 0.0f;
    if (op->operand < 0)
        return pln_dnnl.post_ops_append_eltwise(ops, alg, alpha, beta) == dnnl_success;
    return operand && pln_dnnl.post_ops_append_binary(ops, alg, operand) == dnnl_success;
}

static bool append(dnnl_post_ops_t ops, const pln_postop *op, const pln_tensor *operand,
                   int rank, pln_layout layout)
{
    if (op->operand < 0)
        return prim_append(ops, op, NULL);
    if (!operand || operand->dtype != PLN_DT_F32)
        return false;
    dnnl_memory_desc_t md = operand_md(operand, rank, layout);
    const bool ok = prim_append(ops, op, md);
    if (md)
        pln_dnnl.memory_desc_destroy(md);
    return ok;
}

bool prim_attr(dnnl_primitive_attr_t *out, const pln_prep *prep,
               const pln_postop_list *list, int n, int rank,
               const uint8_t *operand_layout)
{
    dnnl_post_ops_t ops = NULL;
    *out = NULL;
    bool ok = pln_dnnl.primitive_attr_create(out) == dnnl_success &&
              pln_dnnl.primitive_attr_set_scratchpad_mode(
                  *out, dnnl_scratchpad_mode_user) == dnnl_success &&
              pln_dnnl.post_ops_create(&ops) == dnnl_success;
    for (int i = 0; ok && i < n; i++) {
        const int at = list->op[i].operand;
        ok = append(ops, &list->op[i], at < 0 ? NULL : prep->in[at], rank,
                    at < 0 ? PLN_LAYOUT_PLAIN : (pln_layout)operand_layout[at]);
    }
    ok = ok && pln_dnnl.primitive_attr_set_post_ops(*out, ops) == dnnl_success;
    if (ops)
        pln_dnnl.post_ops_destroy(ops);
    if (!ok && *out) {
        pln_dnnl.primitive_attr_destroy(*out);
        *out = NULL;
    }
    return ok;
}

pln_status prim_add_operands(prim *p, const pln_prep *prep, const pln_postop_list *list,
                             int n, int rank, const uint8_t *operand_layout,
                             pln_error *err)
{
    for (int i = 0; i < n; i++) {
        const int at = list->op[i].operand;
        if (at < 0)
            continue;
        dnnl_memory_desc_t md =
            operand_md(prep->in[at], rank, (pln_layout)operand_layout[at]);
        if (!md)
            return pln_oom(err);
        const pln_status st = prim_add_md(
            p, DNNL_ARG_ATTR_MULTIPLE_POST_OP(i) | DNNL_ARG_SRC_1, md, PRIM_INPUT,
            (uint32_t)at, err);
        pln_dnnl.memory_desc_destroy(md);
        PLN_TRY(st);
    }
    return PLN_OK;
}
