/* fuse-skip: norms of sums become SkipLayerNormalization and
 * SkipSimplifiedLayerNormalization, which give the sum as well: of com.microsoft, where
 * that is the fourth output, or of our own, where it is the second. At target planish
 * products come first, which take sums as well.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/to_ms.h"

/* Both terms have the shape of the sum: [batch, length, hidden], or rows. */
bool pln_ms_takes_sum(const pln_value *v)
{
    const pln_node *s = v->def;
    const int rank = pln_value_rank(v);
    return s && pln_node_is(s, "Add") && s->n_in == 2 && v->type.dtype == PLN_DT_F32 &&
           (rank == 2 || rank == 3) && pln_value_same_type(s->in[0], v) &&
           pln_value_same_type(s->in[1], v);
}

/* What a pattern names v has as many numbers as the rows are long. */
static bool is_row(const pln_match *m, const char *name)
{
    const pln_value *v = pln_match_val(m, name), *x = pln_match_val(m, "x");
    const int rank = pln_value_rank(x);
    return !v || (pln_value_rank(v) == 1 && v->type.dtype == PLN_DT_F32 &&
                  pln_dim_equal(v->type.shape.dims[0], x->type.shape.dims[rank - 1]));
}

static pln_status check(pln_match *m)
{
    const pln_node *n = m->root;
    const pln_value *s = n->in[0];
    const int64_t axis = pln_node_get_int(n, "axis", -1);
    if (!pln_ms_takes_sum(s))
        return pln_match_refuse(m, "'%s' is no sum of floats of its own shape", s->name);
    if (axis != -1 && axis != pln_value_rank(s) - 1)
        return pln_match_refuse(m, "not over the last axis");
    for (uint32_t i = 1; i < n->n_out; i++)
        if (n->out[i] && n->out[i]->n_uses)
            return pln_match_refuse(m, "'%s' is read", n->out[i]->name);
    if (!is_row(m, "g") || !is_row(m, "b"))
        return pln_match_refuse(m, "scale or bias of another length");
    return PLN_OK;
}

/* The innermost sum takes the constant row, too. */
static pln_status check_biased(pln_match *m)
{
    PLN_TRY(check(m));
    if (!pln_value_same_type(pln_match_val(m, "y"), pln_match_val(m, "x")))
        return pln_match_refuse(m, "the terms differ in shape");
    return is_row(m, "c") ? PLN_OK : pln_match_refuse(m, "the constant is no row");
}

static pln_status build(pln_match *m, pln_patch *p)
{
    const bool rms = pln_node_is(m->root, "RMSNormalization");
    const bool ms = m->ctx->options->target == PLN_TARGET_ORT;
    pln_value *s = m->root->in[0];
    pln_value *in[5] = { pln_match_val(m, "x"), pln_match_val(m, "y"),
                         pln_match_val(m, "g") };
    const float epsilon = pln_node_get_float(m->root, "epsilon", 1e-5f);
    if (ms && !(epsilon >= 0))
        return pln_match_refuse(m, "its epsilon is below 0, which ONNX Runtime refuses");
    in[3] = pln_match_val(m, rms ? "c" : "b");
    in[4] = rms ? NULL : pln_match_val(m, "c");
    const uint32_t n_out = pln_value_is_single_use(s) ? 1 : ms ? 4 : 2;
    pln_node *n = pln_patch_add_in(p, ms ? PLN_MS : "planish",
                                   rms ? "SkipSimplifiedLayerNormalization"
                                       : "SkipLayerNormalization",
                                   in, 5, n_out);
    if (!n || pln_node_set_float(n, "epsilon", epsilon) != PLN_OK)
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], n->out[0]);
    for (uint32_t i = 1; i + 1 < n_out; i++)
        pln_patch_leave_out(n, i);
    if (n_out > 1)
        pln_patch_replace(p, s, n->out[n_out - 1]);
    return PLN_OK;
}

#define SKIP(id, pattern, check_it)                                     \
    {                                                                   \
        .name = id, .match = pattern, .check = check_it, .build = build, \
        .contract = PLN_REASSOC, .target = PLN_TARGET_ORT, .stated = true \
    }

#define BIASED "Add~(x, Add~!(y, c#))"
#define BOTH   "Add~(Add~!(x, c#), y)"

static const pln_rule rules[] = {
    SKIP("skip-layer-norm", "LayerNormalization(" BIASED ", g, b?)", check_biased),
    SKIP("skip-layer-norm", "LayerNormalization(" BOTH ", g, b?)", check_biased),
    SKIP("skip-layer-norm", "LayerNormalization(Add(x, y), g, b?)", check),
    SKIP("skip-rms-norm", "RMSNormalization(" BIASED ", g)", check_biased),
    SKIP("skip-rms-norm", "RMSNormalization(" BOTH ", g)", check_biased),
    SKIP("skip-rms-norm", "RMSNormalization(Add(x, y), g)", check),
};

const pln_pass pln_pass_fuse_skip = {
    .name = "fuse-skip",
    .brief = "norms of sums to one node, which gives the sum as well",
    PLN_RULES(rules),
};
