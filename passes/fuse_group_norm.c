/* fuse-group-norm: norms of images, one channel, one group of channels or all at a time.
 *
 * A norm over all that lies behind the channels is an InstanceNormalization. One of
 * [batch, groups, the rest], between two Reshapes, with a scale for each channel behind
 * it, is a GroupNormalization.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/known.h"
#include "passes/norm.h"

#include <string.h>

/* ---- one channel ------------------------------------------------------------------ */

static pln_value *as_vector(pln_patch *p, pln_value *v)
{
    return pln_value_rank(v) == 1
               ? v
               : pln_patch_op2(p, "Reshape", v,
                               pln_patch_ints(p, (int64_t[]){ -1 }, 1, "to"));
}

static pln_status is_by_channel(pln_match *m, const pln_norm *o, const char *name)
{
    const pln_value *v = pln_match_val(m, name);
    if (v && !pln_value_is_by_channel(v, o->x))
        return pln_match_refuse(m, "'%s' has not one number for each channel", v->name);
    return PLN_OK;
}

static pln_status check_instance(pln_match *m)
{
    pln_norm o;
    PLN_TRY(pln_norm_read(m, &o));
    if (!o.centred || !pln_norm_is_by_channel(&o))
        return pln_match_refuse(m, "not over all that lies behind the channels");
    PLN_TRY(is_by_channel(m, &o, "g"));
    PLN_TRY(is_by_channel(m, &o, "c"));
    if (!pln_dim_is_known(o.x->type.shape.dims[1]))
        return pln_match_refuse(m, "the number of channels is not known");
    return PLN_OK;
}

/* Whether what could be the scale or bias of the channels follows. */
static bool is_followed_by(pln_match *m, const char *op)
{
    const pln_value *out = m->root->out[0];
    const pln_node *u = pln_value_only_user(out);
    return u && pln_node_is(u, op) && u->graph == m->root->graph && u->n_in == 2 &&
           pln_value_is_by_channel(u->in[u->in[0] == out], out);
}

static pln_status check_instance_scale(pln_match *m)
{
    if (is_followed_by(m, "Add"))
        return pln_match_refuse(m, "a bias follows");
    return check_instance(m);
}

static pln_status check_instance_bare(pln_match *m)
{
    if (is_followed_by(m, "Mul"))
        return pln_match_refuse(m, "a scale follows");
    return check_instance_scale(m);
}

static pln_status instance_norm(pln_match *m, pln_patch *p)
{
    pln_norm o;
    PLN_TRY(pln_norm_read(m, &o));
    const int64_t *channels = &o.x->type.shape.dims[1].value;
    pln_value *g = pln_norm_operand(m, p, &o, "g", o.factor, 1, channels, 1);
    pln_value *c = pln_norm_operand(m, p, &o, "c", 1, 0, channels, 1);
    if (!g || !c)
        return PLN_E_NOMEM;
    pln_value *in[3] = { o.x, as_vector(p, g), NULL };
    in[2] = as_vector(p, c);
    pln_node *n = pln_patch_add(p, "InstanceNormalization", in, 3, 1);
    if (!n || pln_node_set_float(n, "epsilon", (float)o.epsilon) != PLN_OK)
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], n->out[0]);
    return PLN_OK;
}

/* ---- groups ----------------------------------------------------------------------- */

static bool is_splat_of(const pln_value *v, double want)
{
    double have;
    return !v || (pln_value_is_splat(v, &have) && have == want);
}

/* The inner norm is over all behind [0 or batch, groups]. */
static pln_status find_groups(pln_match *m, int64_t *groups)
{
    int64_t to[PLN_MAX_RANK];
    size_t n;
    const pln_value *x = pln_match_val(m, "x");
    const pln_dim *d = x->type.shape.dims;
    const pln_node *norm = pln_match_node(m, "i");
    if (pln_value_rank(x) < 3 || !pln_dim_is_known(d[1]))
        return pln_match_refuse(m, "the number of channels is not known");
    if (!pln_value_get_ints(pln_match_val(m, "to"), to, PLN_MAX_RANK, &n) || n < 3)
        return pln_match_refuse(m, "not into [batch, groups, rest]");
    if ((to[0] != 0 && !pln_dim_is(d[0], to[0])) || to[1] < 1 || d[1].value % to[1])
        return pln_match_refuse(m, "not into groups of channels");
    const int64_t axis = pln_node_get_int(norm, "axis", -1);
    if (pln_node_is(norm, "LayerNormalization") && axis != 2 && axis != 2 - (int64_t)n)
        return pln_match_refuse(m, "its norm is not over whole groups");
    *groups = to[1];
    return PLN_OK;
}

static pln_status check_group(pln_match *m)
{
    int64_t groups;
    const pln_value *x = pln_match_val(m, "x"), *g = pln_match_val(m, "g"),
                    *c = pln_match_val(m, "c");
    PLN_TRY(find_groups(m, &groups));
    if (!is_splat_of(pln_match_val(m, "one"), 1) || !is_splat_of(pln_match_val(m, "nil"), 0))
        return pln_match_refuse(m, "the groups have scales of their own");
    if (!pln_value_same_type(pln_match_val(m, "q"), x))
        return pln_match_refuse(m, "not certain to have the shape of '%s' again",
                                x->name);
    if (!pln_value_is_by_channel(g, x) || !pln_value_is_by_channel(c, x) ||
        g->type.dtype != x->type.dtype || c->type.dtype != x->type.dtype)
        return pln_match_refuse(m, "scale or bias not by channels");
    return PLN_OK;
}

static pln_status group_norm(pln_match *m, pln_patch *p)
{
    int64_t groups;
    PLN_TRY(find_groups(m, &groups));
    pln_value *in[3] = { pln_match_val(m, "x"), as_vector(p, pln_match_val(m, "g")), NULL };
    in[2] = as_vector(p, pln_match_val(m, "c"));
    const float eps = pln_node_get_float(pln_match_node(m, "i"), "epsilon", 1e-5f);
    pln_node *n = pln_patch_add(p, "GroupNormalization", in, 3, 1);
    if (!n || pln_node_set_int(n, "num_groups", groups) != PLN_OK ||
        pln_node_set_float(n, "epsilon", eps) != PLN_OK)
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], n->out[0]);
    return PLN_OK;
}

/* ---- any axes ---------------------------------------------------------------------- */

/* The standard's own body of MeanVarianceNormalization: its epsilon stands behind the
 * root. */
static pln_status mean_variance_norm(pln_match *m, pln_patch *p)
{
    int64_t a[PLN_MAX_RANK], b[PLN_MAX_RANK];
    size_t na, nb;
    pln_value *x = pln_match_val(m, "x");
    const pln_value *bv = pln_match_val(m, "b"), *av = pln_match_val(m, "a");
    const int rank = pln_value_rank(x);
    if (rank < 0 || !pln_axes_of(av, rank, a, &na) || !pln_axes_of(bv, rank, b, &nb) ||
        !na || na != nb || memcmp(a, b, na * sizeof *a) != 0)
        return pln_match_refuse(m, "mean and variance over different axes");
    if (!pln_dtype_is_float(x->type.dtype))
        return pln_match_refuse(m, "not a float");
    pln_node *n = pln_patch_add(p, "MeanVarianceNormalization", &x, 1, 1);
    if (!n || pln_node_set_ints(n, "axes", a, na) != PLN_OK)
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], n->out[0]);
    return PLN_OK;
}

#define INSTANCE(pattern, check_it)                                                      \
    {                                                                                    \
        .name = "instance-norm", .match = pattern, .check = check_it, .build = instance_norm, \
        .contract = PLN_REASSOC, .opset = 6                                              \
    }

static const pln_rule rules[] = {
    INSTANCE(PLN_NORM_FULL, check_instance),
    INSTANCE(PLN_NORM_SCALE, check_instance_scale),
    INSTANCE(PLN_NORM_BIAS, check_instance),
    INSTANCE(PLN_NORM_BARE, check_instance_bare),
    { .name = "group-norm",
      .match = "$in = Reshape!(x, to#);"
               "Add~(Mul~!(q=Reshape!(i={InstanceNormalization!($in, one#, nil#)"
               "| LayerNormalization!($in, one#)}, _), g#), c#)",
      .check = check_group,
      .build = group_norm,
      .contract = PLN_REASSOC,
      .opset = 21,
      .stated = true },
    { .name = "mean-variance-norm",
      .match = "$sq = {Mul(x, x) | Pow(x, 2)}; $msq = {Mul(m, m) | Pow(m, 2)};"
               "Div(Sub!(x, m=ReduceMean<keepdims=1>(x, a#)),"
               "Add~!(Sqrt!(Sub!(ReduceMean!<keepdims=1>($sq, b#), $msq)), 1e-09))",
      .build = mean_variance_norm,
      .contract = PLN_REASSOC,
      .opset = 9 },
};

const pln_pass pln_pass_fuse_group_norm = {
    .name = "fuse-group-norm",
    .brief = "turns spelled-out instance and group norms into one node",
    PLN_RULES(rules),
};
