/* fuse-norm: LayerNormalization, RMSNormalization and LpNormalization that were spelled
 * out.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/known.h"
#include "passes/norm.h"
#include "passes/to_ms.h"

/* Lies on the normalized axes alone: [c] for one axis. */
static bool lies_on(const pln_value *x, const pln_value *v, int64_t axis)
{
    const int rx = pln_value_rank(x);
    if (pln_value_rank(v) != -axis || rx < -axis)
        return false;
    for (int i = 0; i < -axis; i++)
        if (!pln_dim_equal(v->type.shape.dims[i], x->type.shape.dims[rx + axis + i]) ||
            !pln_dim_is_known(v->type.shape.dims[i]))
            return false;
    return true;
}

static pln_status lies_on_axes(pln_match *m, const pln_value *x, const char *name,
                               int64_t axis)
{
    const pln_value *v = pln_match_val(m, name);
    if (v && !lies_on(x, v, axis))
        return pln_match_refuse(m, "'%s' is not as long as what is normalized", v->name);
    return PLN_OK;
}

#define MOST_ONES 4096

/* A scale of ones can be made. */
static pln_status has_sizes(pln_match *m, const pln_norm *o, int64_t axis)
{
    int64_t count = 1;
    for (int64_t i = axis; i < 0; i++) {
        if (o->rank + i < 0 || !pln_dim_is_known(o->x->type.shape.dims[o->rank + i]))
            return pln_match_refuse(m, "the size of what is normalized is not known");
        count *= o->x->type.shape.dims[o->rank + i].value;
        if (count > MOST_ONES)
            return pln_match_refuse(m, "its scale of ones would be large");
    }
    return PLN_OK;
}

static pln_status check_norm(pln_match *m, bool centred)
{
    int64_t axis;
    pln_norm o;
    PLN_TRY(pln_norm_read(m, &o));
    if (o.centred != centred)
        return pln_match_refuse(m, centred ? "its input is not centred: an RMS norm"
                                           : "its input is centred: a layer norm");
    if (!pln_norm_is_of_last(&o, &axis))
        return pln_match_refuse(m, "not over the last axes");
    PLN_TRY(lies_on_axes(m, o.x, "g", axis));
    PLN_TRY(lies_on_axes(m, o.x, "c", axis));
    if (!pln_match_val(m, "g"))
        PLN_TRY(has_sizes(m, &o, axis));
    const bool has_op = pln_pass_allows_opset(m->ctx, centred ? 17 : 23);
    if (m->ctx->options->target == PLN_TARGET_ORT && !has_op &&
        (axis != -1 || !(pln_ms_takes_sum(o.x) || pln_ms_takes_embedding(o.x))))
        return pln_match_refuse(m, "target ort has it with a sum only");
    return PLN_OK;
}

/* Whether `op` follows (behind a Cast, too) with an operand that could be scale or bias:
 * then this is the inner part of the norm. */
static bool is_followed_by(pln_match *m, const char *op)
{
    int64_t axis;
    pln_norm o;
    const pln_value *out = m->root->out[0];
    const pln_node *u = pln_value_only_user(out);
    if (u && pln_node_is(u, "Cast") && u->graph == m->root->graph) {
        out = u->out[0];
        u = pln_value_only_user(out);
    }
    if (!u || !pln_node_is(u, op) || u->graph != m->root->graph || u->n_in != 2)
        return false;
    const pln_value *v = u->in[u->in[0] == out];
    if (pln_norm_read(m, &o) != PLN_OK)
        return false;
    return (pln_norm_is_of_last(&o, &axis) && lies_on(o.x, v, axis)) ||
           (pln_norm_is_by_channel(&o) && pln_value_is_by_channel(v, o.x));
}

static pln_status check_layer(pln_match *m)
{
    return check_norm(m, true);
}

static pln_status check_rms(pln_match *m)
{
    return check_norm(m, false);
}

static pln_status check_layer_scale(pln_match *m)
{
    if (is_followed_by(m, "Add"))
        return pln_match_refuse(m, "a bias follows");
    return check_norm(m, true);
}

static pln_status check_layer_bare(pln_match *m)
{
    pln_norm o;
    if (is_followed_by(m, "Mul") || is_followed_by(m, "Add"))
        return pln_match_refuse(m, "a scale or bias follows");
    PLN_TRY(pln_norm_read(m, &o));
    if (pln_norm_is_by_channel(&o) && o.rank > 3)
        return pln_match_refuse(m, "an instance norm");
    return check_norm(m, true);
}

static pln_status check_rms_bare(pln_match *m)
{
    if (is_followed_by(m, "Mul"))
        return pln_match_refuse(m, "a scale follows");
    return check_norm(m, false);
}

/* TensorFlow's order: x k + (c - mean k) with k = g / deviation. */
static pln_status check_layer_tf(pln_match *m)
{
    pln_norm o;
    PLN_TRY(check_norm(m, true));
    PLN_TRY(pln_norm_read(m, &o));
    if (o.x != pln_match_val(m, "z") || pln_match_val(m, "n")->def->in[1] != pln_match_val(m, "w"))
        return pln_match_refuse(m, "another input or mean than that of the variance");
    return PLN_OK;
}

static pln_status build_norm(pln_match *m, pln_patch *p, const char *op)
{
    int64_t axis, dims[PLN_MAX_RANK];
    pln_norm o;
    PLN_TRY(pln_norm_read(m, &o));
    pln_norm_is_of_last(&o, &axis);
    for (int64_t i = axis; i < 0 && o.rank + i >= 0; i++)
        dims[i - axis] = o.x->type.shape.dims[o.rank + i].value;
    pln_value *in[3] = { o.x, NULL, NULL };
    in[1] = pln_norm_operand(m, p, &o, "g", o.factor, 1, dims, (int)-axis);
    if (pln_match_val(m, "c"))
        in[2] = pln_norm_operand(m, p, &o, "c", 1, 0, dims, (int)-axis);
    pln_node *n = in[1] ? pln_patch_add(p, op, in, 3, 1) : NULL;
    if (!n || pln_node_set_int(n, "axis", axis) != PLN_OK ||
        pln_node_set_float(n, "epsilon", (float)o.epsilon) != PLN_OK)
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], n->out[0]);
    return PLN_OK;
}

static pln_status layer_norm(pln_match *m, pln_patch *p)
{
    return build_norm(m, p, "LayerNormalization");
}

static pln_status rms_norm(pln_match *m, pln_patch *p)
{
    return build_norm(m, p, "RMSNormalization");
}

/* ---- norms in a wider type --------------------------------------------------------- */

static pln_value *cast_to(pln_patch *p, pln_value *v, pln_dtype dt)
{
    pln_node *n = v ? pln_patch_add(p, "Cast", &v, 1, 1) : NULL;
    return n && pln_node_set_int(n, "to", dt) == PLN_OK ? n->out[0] : NULL;
}

/* In float of what was cast to it, and back: so the operator computes by itself. */
static pln_status narrow(pln_match *m, pln_patch *p)
{
    pln_value *x = pln_match_val(m, "x"), *c = pln_match_val(m, "c");
    const pln_dtype dt = x->type.dtype;
    if (pln_match_val(m, "w")->type.dtype != PLN_DT_F32 || m->root->out[0]->type.dtype != dt ||
        (dt != PLN_DT_F16 && dt != PLN_DT_BF16))
        return pln_match_refuse(m, "not from a half and back");
    pln_value *in[3] = { x, cast_to(p, pln_match_val(m, "g"), dt), NULL };
    in[2] = cast_to(p, c, dt);
    pln_node *n = pln_patch_copy(p, pln_match_node(m, "o"), in, c ? 3 : 2);
    pln_patch_replace(p, m->root->out[0], n ? n->out[0] : NULL);
    return PLN_OK;
}

/* ---- norms of length 1 ----------------------------------------------------------- */

/* Where the length is 0, the original is no number. */
static pln_status lp_norm(pln_match *m, pln_patch *p)
{
    int64_t axis;
    size_t n;
    pln_value *x = pln_match_val(m, "x");
    const pln_node *length = pln_match_node(m, "l");
    if (length->n_in < 2 || !pln_value_get_ints(length->in[1], &axis, 1, &n) || n != 1)
        return pln_match_refuse(m, "not along one axis");
    if (!pln_dtype_is_float(x->type.dtype))
        return pln_match_refuse(m, "not a float");
    pln_node *lp = pln_patch_add(p, "LpNormalization", &x, 1, 1);
    if (!lp || pln_node_set_int(lp, "axis", axis) != PLN_OK ||
        pln_node_set_int(lp, "p", pln_node_is(length, "ReduceL1") ? 1 : 2) != PLN_OK)
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], lp->out[0]);
    return PLN_OK;
}

#define NORM(id, pattern, check_it, make, since)                        \
    {                                                                   \
        .name = id, .match = pattern, .check = check_it, .build = make, \
        .contract = PLN_REASSOC, .opset = since, .stated = true         \
    }
#define LAYER(pattern, check_it) NORM("layer-norm", pattern, check_it, layer_norm, 17)
#define RMS(pattern, check_it)   NORM("rms-norm", pattern, check_it, rms_norm, 23)

static const pln_rule rules[] = {
    LAYER(PLN_NORM_FULL, check_layer),
    LAYER(PLN_NORM_SCALE, check_layer_scale),
    LAYER(PLN_NORM_BIAS, check_layer),
    LAYER(PLN_NORM_PARTS "Add~(Mul~!(z, t={Mul~($inv, g) | Div(g, $root)}), Sub!(c, Mul~!(w, t)))",
          check_layer_tf),
    LAYER(PLN_NORM_BARE, check_layer_bare),
    RMS(PLN_NORM_SCALE, check_rms),
    RMS(PLN_NORM_BARE, check_rms_bare),
    { .name = "narrow-norm",
      .match = "Cast(o=LayerNormalization|RMSNormalization!<stash_type=1>(w=Cast(x), g#, "
               "c?#))",
      .build = narrow,
      .contract = PLN_REASSOC },
    { .name = "lp-norm",
      .match = "Div(x, l=ReduceL2|ReduceL1!<keepdims=1>(x, ...))",
      .build = lp_norm,
      .contract = PLN_REASSOC,
      .opset = 1 },
};

const pln_pass pln_pass_fuse_norm = {
    .name = "fuse-norm",
    .brief = "turns spelled-out layer norms, RMS norms and norms of length 1 into one "
             "node",
    PLN_RULES(rules),
};
