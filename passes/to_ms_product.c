/* to-ms-product: products with what follows them, and what stands before them, as the
 * operators of com.microsoft that ONNX Runtime has kernels of: FusedConv, FusedGemm,
 * FusedMatMul.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/fuse.h"
#include "passes/known.h"
#include "passes/to_ms.h"

/* ---- activations ---------------------------------------------------------------- */

static pln_status has_no_activation(pln_match *m)
{
    if (pln_node_find_attr(pln_match_node(m, "p"), "activation"))
        return pln_match_refuse(m, "its product has an activation");
    return PLN_OK;
}

#define RULE(id, pattern, condition, text)                                             \
    {                                                                                  \
        .name = id, .match = pattern, .where = "type(a) == \"float\"" condition,       \
        .check = has_no_activation, .replace = text, .contract = PLN_REASSOC,          \
        .target = PLN_TARGET_ORT                                                       \
    }

#define CONV "p=Conv|com.microsoft.FusedConv!(a, b, bias?, z?)"
#define CONV_ACT(act, behind, condition, params)                                       \
    RULE("conv-act", "y=" act "(" CONV behind ")", condition,                          \
         "com.microsoft.FusedConv<p.*, activation = \"" act "\"" params ">"            \
         "(a, b, bias, z)")

#define GEMM "p=Gemm|MatMul!(a, b, c?)"
#define GEMM_ACT(act, params)                                                          \
    RULE("gemm-act", "y=" act "(" GEMM ")", " and rank(a) == 2 and rank(b) == 2",      \
         "com.microsoft.FusedGemm<p.*, activation = \"" act "\"" params ">(a, b, c)")

/* Bounds of a Clip that has none. */
#define LOWEST  "-3.4028234663852886e38"
#define HIGHEST "3.4028234663852886e38"

/* ---- matrices of any rank ------------------------------------------------------- */

/* Transposes its batches: the first dimension goes before the last, or behind it. */
static bool take_batch(pln_chain *c, int i, bool *swap)
{
    int64_t perm[PLN_MAX_RANK];
    int rank;
    const pln_node *n = c->base[i]->def;
    if (!n || !pln_node_is(n, "Transpose") || pln_value_is_const(c->base[i]) ||
        !pln_perm_of(n, perm, &rank) || rank < 3)
        return false;
    const bool last = perm[rank - 1] == 0;
    if (perm[last ? rank - 1 : rank - 2] != 0)
        return false;
    for (int k = 0; k < rank - 2; k++)
        if (perm[k] != k + 1)
            return false;
    if (perm[last ? rank - 2 : rank - 1] != rank - 1)
        return false;
    *swap ^= last;
    c->base[i] = n->in[0];
    c->changed_inputs = true;
    return true;
}

/* Only factors go in behind it. */
static void follow_factors(pln_chain *c)
{
    pln_chain saved = *c;
    while (pln_chain_take_next(c) && !c->n_post && !c->base[c->bias_at])
        saved = *c;
    *c = saved;
}

static pln_status emit_matmul(pln_patch *p, const pln_chain *c, const bool batch[2])
{
    p->before = c->out->def;
    pln_node *n = pln_patch_add_in(p, PLN_MS, "FusedMatMul", c->base, 2, 1);
    if (!n)
        return PLN_E_NOMEM;
    if (c->alpha != 1)
        PLN_TRY(pln_node_set_float(n, "alpha", c->alpha));
    if (c->trans_a)
        PLN_TRY(pln_node_set_int(n, "transA", 1));
    if (c->trans_b)
        PLN_TRY(pln_node_set_int(n, "transB", 1));
    if (batch[0])
        PLN_TRY(pln_node_set_int(n, "transBatchA", 1));
    if (batch[1])
        PLN_TRY(pln_node_set_int(n, "transBatchB", 1));
    pln_patch_replace(p, c->out, n->out[0]);
    return PLN_OK;
}

static bool is_dequantized(const pln_value *v)
{
    return v->def && pln_node_is(v->def, "DequantizeLinear");
}

/* ONNX Runtime is wrong about a transposed matrix by a vector, and transposes batches of
 * equal ranks only. Behind DequantizeLinear it looks for MatMul. */
static pln_status fused_matmul(pln_match *m, pln_patch *p)
{
    pln_chain c;
    bool batch[2] = { false, false };
    const int rank = pln_value_rank(m->root->in[0]);
    if (!pln_chain_begin(&c, m->root, "FusedMatMul", -1))
        return pln_match_refuse(m, "not a product of floats");
    if (rank < 2 || pln_value_rank(c.base[1]) < 2)
        return pln_match_refuse(m, "not a product of matrices");
    if (pln_node_get_int(m->root, "transBatchA", 0) ||
        pln_node_get_int(m->root, "transBatchB", 0))
        return pln_match_refuse(m, "it transposes batches");
    if (is_dequantized(c.base[0]) || is_dequantized(c.base[1]))
        return pln_match_refuse(m, "it multiplies what was dequantized");
    pln_chain_take_inputs(&c);
    if (rank == pln_value_rank(c.base[1])) {
        batch[0] = take_batch(&c, 0, &c.trans_a);
        batch[1] = take_batch(&c, 1, &c.trans_b);
    }
    follow_factors(&c);
    if (!c.n_taken && !c.changed_inputs)
        return pln_match_refuse(m, "nothing around it can go in");
    return emit_matmul(p, &c, batch);
}

static const pln_rule rules[] = {
    /* Where ONNX Runtime packs the weights of 2-D convolutions for its blocked layout, it
     * has no place for a residual: written there, that cost 16 to 26% of a ResNet. */
    { .name = "conv-residual",
      .match = "Add~(p=Conv!(a, b, bias?), z)",
      .where = "type(a) == \"float\" and same(p, z) and (rank(a) != 4 or not const(b))",
      .replace = "com.microsoft.FusedConv<p.*>(a, b, bias, z)",
      .contract = PLN_REASSOC,
      .target = PLN_TARGET_ORT },
    CONV_ACT("Relu", "", "", ""),
    CONV_ACT("Tanh", "", "", ""),
    CONV_ACT("Sigmoid", "", "", ""),
    CONV_ACT("LeakyRelu", "", "", ", activation_params = [y.alpha]"),
    CONV_ACT("HardSigmoid", "", "", ", activation_params = [y.alpha, y.beta]"),
    CONV_ACT("Clip", ", lo#, hi#", " and value(lo) <= value(hi)",
             ", activation_params = [value(lo), value(hi)]"),
    CONV_ACT("Clip", ", lo#", "", ", activation_params = [value(lo), " HIGHEST "]"),
    CONV_ACT("Clip", ", lo?, hi#", " and not has(lo)",
             ", activation_params = [" LOWEST ", value(hi)]"),
    GEMM_ACT("Relu", ""),
    GEMM_ACT("Tanh", ""),
    GEMM_ACT("Sigmoid", ""),
    GEMM_ACT("LeakyRelu", ", activation_alpha = y.alpha"),
    GEMM_ACT("HardSigmoid", ", activation_alpha = y.alpha, activation_beta = y.beta"),
    GEMM_ACT("Elu", ", activation_alpha = y.alpha"),
    GEMM_ACT("Selu", ", activation_alpha = y.alpha, activation_gamma = y.gamma"),
    GEMM_ACT("ThresholdedRelu", ", activation_alpha = y.alpha"),
    GEMM_ACT("Softplus", ""),
    GEMM_ACT("Softsign", ""),
    { .name = "fused-matmul",
      .match = "MatMul|com.microsoft.FusedMatMul(a, b)",
      .build = fused_matmul,
      .contract = PLN_REASSOC,
      .target = PLN_TARGET_ORT },
};

const pln_pass pln_pass_to_ms_product = {
    .name = "to-ms-product",
    .brief = "FusedConv, FusedGemm, FusedMatMul of com.microsoft",
    PLN_RULES(rules),
};
