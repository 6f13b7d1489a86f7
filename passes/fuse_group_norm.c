/* fuse-group-norm: a norm of groups of channels, spelled as an InstanceNormalization of
 * [batch, groups, the rest] between two Reshapes, becomes GroupNormalization.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/pass.h"

/* Has one number for each channel of x, and none along other dimensions. */
static bool is_by_channel(const pln_value *v, const pln_value *x)
{
    const int rv = pln_value_rank(v), rx = pln_value_rank(x);
    const int at = rv - rx + 1; /* where the channels are */
    if (rx < 2 || rv > rx || at < 0 || v->type.dtype != x->type.dtype)
        return false;
    for (int i = 0; i < rv; i++)
        if (i == at ? !pln_dim_equal(v->type.shape.dims[i], x->type.shape.dims[1])
                    : !pln_dim_is(v->type.shape.dims[i], 1))
            return false;
    return true;
}

static bool is_splat_of(const pln_value *v, double want)
{
    double have;
    return v && pln_value_is_splat(v, &have) && have == want;
}

/* [0 or batch, groups, -1], where -1 may be a number: the size says so. */
static pln_status find_groups(pln_match *m, int64_t *groups)
{
    int64_t to[3];
    size_t n;
    const pln_value *x = pln_match_val(m, "x");
    const pln_dim *d = x->type.shape.dims;
    if (pln_value_rank(x) < 3 || !pln_dim_is_known(d[1]))
        return pln_match_refuse(m, "the number of channels is not known");
    if (!pln_value_get_ints(pln_match_val(m, "to"), to, 3, &n) || n != 3)
        return pln_match_refuse(m, "not into [batch, groups, rest]");
    if ((to[0] != 0 && !pln_dim_is(d[0], to[0])) || to[1] < 1 || d[1].value % to[1])
        return pln_match_refuse(m, "not into groups of channels");
    *groups = to[1];
    return PLN_OK;
}

static pln_status check(pln_match *m)
{
    int64_t groups;
    const pln_value *x = pln_match_val(m, "x");
    PLN_TRY(find_groups(m, &groups));
    if (!is_splat_of(pln_match_val(m, "one"), 1) || !is_splat_of(pln_match_val(m, "nil"), 0))
        return pln_match_refuse(m, "the groups have scales of their own");
    if (!pln_value_same_type(pln_match_val(m, "q"), x))
        return pln_match_refuse(m, "not certain to have the shape of '%s' again", x->name);
    if (!is_by_channel(pln_match_val(m, "g"), x) || !is_by_channel(pln_match_val(m, "c"), x))
        return pln_match_refuse(m, "scale or bias not by channels");
    return PLN_OK;
}

static pln_value *as_vector(pln_patch *p, pln_value *v)
{
    return pln_value_rank(v) == 1
               ? v
               : pln_patch_op2(p, "Reshape", v, pln_patch_ints(p, (int64_t[]){ -1 }, 1, "to"));
}

static pln_status build(pln_match *m, pln_patch *p)
{
    int64_t groups;
    PLN_TRY(find_groups(m, &groups));
    pln_value *in[3] = { pln_match_val(m, "x"), as_vector(p, pln_match_val(m, "g")),
                         as_vector(p, pln_match_val(m, "c")) };
    const float eps = pln_node_get_float(pln_match_node(m, "i"), "epsilon", 1e-5f);
    pln_node *n = pln_patch_add(p, "GroupNormalization", in, 3, 1);
    if (!n || pln_node_set_int(n, "num_groups", groups) != PLN_OK ||
        pln_node_set_float(n, "epsilon", eps) != PLN_OK)
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], n->out[0]);
    return PLN_OK;
}

static const pln_rule rules[] = {
    { .name = "group-norm",
      .match = "Add~(Mul~!(q=Reshape!(i=InstanceNormalization!(Reshape!(x, to#), one#, nil#), "
               "_), g#), c#)",
      .check = check,
      .build = build,
      .contract = PLN_REASSOC,
      .opset = 21,
      .stated = true },
};

const pln_pass pln_pass_fuse_group_norm = {
    .name = "fuse-group-norm",
    .brief = "turns a spelled-out group norm into GroupNormalization",
    PLN_RULES(rules),
};
