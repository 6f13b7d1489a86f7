/* Normalizations in terms of older operators.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/expand.h"

/* Axes [axis, rank) of input 0. */
static size_t last_axes(pln_expander *x, int64_t axis, int64_t *axes)
{
    const int rank = pln_expand_rank(x);
    size_t n = 0;
    if (axis < 0)
        axis += rank;
    if (axis < 0 || axis >= rank)
        pln_expand_refuse(x, "its axis is outside its rank");
    for (; x->st == PLN_OK && axis < rank; axis++)
        axes[n++] = axis;
    return n;
}

/* The statistics are of the type that stash_type names. */
static pln_dtype stash(const pln_expander *x)
{
    const int64_t t = pln_expand_int(x, "stash_type", PLN_DT_F32);
    return x->dt == PLN_DT_F64 ? PLN_DT_F64
           : t == PLN_DT_F64   ? PLN_DT_F64
           : t == PLN_DT_BF16  ? PLN_DT_BF16
           : t == PLN_DT_F16   ? PLN_DT_F16
                               : PLN_DT_F32;
}

static pln_value *in_type(pln_expander *x, pln_value *v, pln_dtype from, pln_dtype to)
{
    return from == to ? v : pln_expand_cast(x, v, to);
}

/* 1 / sqrt(mean(d d) + epsilon) */
static pln_value *inverse_deviation(pln_expander *x, pln_value *d, const int64_t *axes,
                                    size_t n, pln_dtype dt)
{
    const double eps = (double)pln_expand_float(x, "epsilon", 1e-5f);
    pln_value *var = pln_expand_mean(x, pln_expand_2(x, "Mul", d, d), axes, n);
    pln_value *sum = pln_expand_2(x, "Add", var, pln_expand_scalar(x, dt, eps));
    return pln_expand_1(x, "Reciprocal", pln_expand_1(x, "Sqrt", sum));
}

pln_status pln_expand_layer_norm(pln_node *n, int64_t version, pln_error *err)
{
    pln_expander x = pln_expand_begin(n, version, err);
    const pln_dtype dt = stash(&x);
    int64_t axes[PLN_MAX_RANK];
    const size_t n_axes = last_axes(&x, pln_expand_int(&x, "axis", -1), axes);
    pln_value *v = in_type(&x, n->in[0], x.dt, dt);
    pln_value *mean = pln_expand_mean(&x, v, axes, n_axes);
    pln_value *d = pln_expand_2(&x, "Sub", v, mean);
    pln_value *inv = inverse_deviation(&x, d, axes, n_axes, dt);
    pln_value *y = in_type(&x, pln_expand_2(&x, "Mul", d, inv), dt, x.dt);
    y = pln_expand_2(&x, "Mul", y, n->in[1]);
    if (pln_expand_in(&x, 2))
        y = pln_expand_2(&x, "Add", y, n->in[2]);
    pln_expand_give(&x, 0, y);
    if (pln_expand_wants(&x, 1))
        pln_expand_give(&x, 1, mean);
    if (pln_expand_wants(&x, 2))
        pln_expand_give(&x, 2, inv);
    return pln_expand_end(&x);
}

pln_status pln_expand_rms_norm(pln_node *n, int64_t version, pln_error *err)
{
    pln_expander x = pln_expand_begin(n, version, err);
    const pln_dtype dt = stash(&x);
    const pln_dtype scale = n->in[1]->type.dtype;
    int64_t axes[PLN_MAX_RANK];
    const size_t n_axes = last_axes(&x, pln_expand_int(&x, "axis", -1), axes);
    if (scale == PLN_DT_NONE)
        pln_expand_refuse(&x, "the type of its scale is not known");
    pln_value *v = in_type(&x, n->in[0], x.dt, dt);
    pln_value *inv = inverse_deviation(&x, v, axes, n_axes, dt);
    pln_value *y = in_type(&x, pln_expand_2(&x, "Mul", v, inv), dt, scale);
    pln_expand_give(&x, 0, pln_expand_2(&x, "Mul", y, n->in[1]));
    return pln_expand_end(&x);
}

/* Each group becomes a channel of an instance norm, whose scale is 1; the scale and the
 * bias of the channels come behind. */
pln_status pln_expand_group_norm(pln_node *n, int64_t version, pln_error *err)
{
    pln_expander x = pln_expand_begin(n, version, err);
    const int64_t groups = pln_expand_int(&x, "num_groups", 0);
    const int rank = pln_expand_rank(&x);
    const pln_dtype dt = stash(&x);
    const int64_t flat[3] = { 0, groups, -1 };
    int64_t channel[PLN_MAX_RANK], axes[1] = { 2 };
    if (rank < 2 || groups < 1)
        pln_expand_refuse(&x, "it has no channels, or no groups");
    for (int i = 0; i + 1 < rank; i++) /* behind the channels */
        channel[i] = i == 0 ? -1 : 1;
    pln_value *v = in_type(&x, n->in[0], x.dt, dt);
    pln_value *g = pln_expand_2(&x, "Reshape", v, pln_expand_ints(&x, flat, 3));
    pln_value *d = pln_expand_2(&x, "Sub", g, pln_expand_mean(&x, g, axes, 1));
    pln_value *y = pln_expand_2(&x, "Mul", d, inverse_deviation(&x, d, axes, 1, dt));
    y = pln_expand_2(&x, "Reshape", y, pln_expand_1(&x, "Shape", n->in[0]));
    y = in_type(&x, y, dt, x.dt);
    pln_value *shape = pln_expand_ints(&x, channel, rank > 1 ? (size_t)rank - 1 : 0);
    y = pln_expand_2(&x, "Mul", y, pln_expand_2(&x, "Reshape", n->in[1], shape));
    y = pln_expand_2(&x, "Add", y, pln_expand_2(&x, "Reshape", n->in[2], shape));
    pln_expand_give(&x, 0, y);
    return pln_expand_end(&x);
}

pln_status pln_expand_mvn(pln_node *n, int64_t version, pln_error *err)
{
    static const int64_t usual[] = { 0, 2, 3 };
    pln_expander x = pln_expand_begin(n, version, err);
    const pln_attr *a = pln_node_find_attr(n, "axes");
    const bool given = a && a->type == PLN_ATTR_INTS;
    const int64_t *axes = given ? a->ints : usual;
    const size_t n_axes = given ? a->n : 3;
    pln_value *d =
        pln_expand_2(&x, "Sub", n->in[0], pln_expand_mean(&x, n->in[0], axes, n_axes));
    pln_value *var = pln_expand_mean(&x, pln_expand_2(&x, "Mul", d, d), axes, n_axes);
    pln_value *dev = pln_expand_by(&x, "Add", pln_expand_1(&x, "Sqrt", var), 1e-9);
    pln_expand_give(&x, 0, pln_expand_2(&x, "Div", d, dev));
    return pln_expand_end(&x);
}
