/* Norms that were spelled out: reading a match.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/norm.h"

#include <math.h>
#include <string.h>

#include "passes/known.h"

static bool read_axes(const pln_value *v, int rank, int64_t *axes, int *n)
{
    size_t count = 0;
    if (rank >= 0) {
        const bool ok = v && pln_axes_of(v, rank, axes, &count);
        *n = (int)count;
        return ok && count > 0;
    }
    *n = 1; /* only [-1] needs no rank */
    return v && pln_value_get_ints(v, axes, PLN_MAX_RANK, &count) && count == 1 &&
           axes[0] == -1;
}

/* v is the mean of x over the same axes. */
static bool is_mean(const pln_norm *o, const pln_value *v, const pln_value *x)
{
    int64_t axes[PLN_MAX_RANK];
    int n;
    const pln_node *mean = v->def;
    return mean && pln_node_is(mean, "ReduceMean") && mean->in[0] == x &&
           mean->n_in > 1 && pln_node_get_int(mean, "keepdims", 1) == 1 &&
           read_axes(mean->in[1], o->rank, axes, &n) && n == o->n_axes &&
           !memcmp(axes, o->axes, (size_t)n * sizeof *axes);
}

/* n is x less its mean, or what is normalized itself. */
static pln_status find_x(pln_match *m, pln_norm *o)
{
    pln_value *n = pln_match_val(m, "n"), *fast = pln_match_val(m, "x");
    const pln_value *again = pln_match_val(m, "v");
    const pln_node *sub = n->def && pln_node_is(n->def, "Sub") ? n->def : NULL;
    const pln_node *mean = sub ? sub->in[1]->def : NULL;
    o->centred = mean && pln_node_is(mean, "ReduceMean") && mean->in[0] == sub->in[0];
    o->x = o->centred ? sub->in[0] : n;
    o->rank = pln_value_rank(o->x);
    if (!read_axes(pln_match_val(m, "a"), o->rank, o->axes, &o->n_axes))
        return pln_match_refuse(m, "its axes are not known");
    if (o->centred && !is_mean(o, sub->in[1], o->x))
        return pln_match_refuse(m, "mean and variance over different axes");
    if (again && (!o->centred || again->def->in[0] != o->x ||
                  !is_mean(o, again->def->in[1], o->x)))
        return pln_match_refuse(m, "the squares of something else");
    if (fast && (!o->centred || fast != o->x || !is_mean(o, pln_match_val(m, "m"), fast)))
        return pln_match_refuse(m, "the variance of something else");
    return PLN_OK;
}

/* How many elements a mean has; 0: not known. */
static double count_of(const pln_norm *o)
{
    double n = 1;
    for (int i = 0; i < o->n_axes; i++) {
        const pln_dim d =
            o->rank < 0 ? pln_dim_unknown() : o->x->type.shape.dims[o->axes[i]];
        if (!pln_dim_is_known(d))
            return 0;
        n *= (double)d.value;
    }
    return n;
}

/* The root of (f v + e) is that of f times the root of (v + e / f). */
static pln_status read_numbers(pln_match *m, pln_norm *o)
{
    double f = 1, v;
    const pln_value *k = pln_match_val(m, "k"), *q = pln_match_val(m, "q");
    if (!pln_value_is_splat(pln_match_val(m, "e"), &o->epsilon) || !(o->epsilon >= 0))
        return pln_match_refuse(m, "the epsilon is not one number");
    if (pln_match_node(m, "s")) {
        f = count_of(o);
        if (k)
            f = pln_value_is_splat(k, &v) ? f / v : 0;
        if (q)
            f = pln_value_is_splat(q, &v) ? f * v : 0;
        if (!(f > 0) || !isfinite(f))
            return pln_match_refuse(m, "not certain what part of the mean its sum is");
    }
    if (fabs(f - 1) < 1e-6)
        f = 1;
    o->epsilon /= f;
    o->factor = 1 / sqrt(f);
    return PLN_OK;
}

/* A norm in float of what was cast to it, and back. */
static pln_status see_through_cast(pln_match *m, pln_norm *o)
{
    const pln_dtype dt = m->root->out[0]->type.dtype;
    const pln_node *cast = o->x->def;
    if (o->x->type.dtype == dt)
        return PLN_OK;
    if (o->x->type.dtype != PLN_DT_F32 || (dt != PLN_DT_F16 && dt != PLN_DT_BF16) ||
        !cast || !pln_node_is(cast, "Cast") || cast->in[0]->type.dtype != dt)
        return pln_match_refuse(m, "'%s' is of another type", o->x->name);
    o->x = cast->in[0];
    return PLN_OK;
}

static pln_status check_type(pln_match *m, const pln_value *x, const char *name)
{
    const pln_value *v = pln_match_val(m, name);
    if (v && v->type.dtype != x->type.dtype && !pln_value_is_const(v))
        return pln_match_refuse(m, "'%s' is of another type", v->name);
    return PLN_OK;
}

pln_status pln_norm_read(pln_match *m, pln_norm *o)
{
    PLN_TRY(find_x(m, o));
    PLN_TRY(read_numbers(m, o));
    PLN_TRY(see_through_cast(m, o));
    PLN_TRY(check_type(m, o->x, "g"));
    PLN_TRY(check_type(m, o->x, "c"));
    if (!pln_dtype_is_float(o->x->type.dtype) || o->x->type.dtype == PLN_DT_F64)
        return pln_match_refuse(m, "not float");
    if (!pln_value_same_type(o->x, m->root->out[0]))
        return pln_match_refuse(m, "scale or bias make the result larger");
    const pln_value *g = pln_match_val(m, "g");
    if (o->factor != 1 && g && !pln_value_is_const(g))
        return pln_match_refuse(m, "its scale is not constant");
    return PLN_OK;
}

bool pln_norm_is_of_last(const pln_norm *o, int64_t *axis)
{
    *axis = -o->n_axes;
    if (o->rank < 0)
        return true;
    for (int i = 0; i < o->n_axes; i++)
        if (o->axes[i] != o->rank - o->n_axes + i)
            return false;
    return true;
}

bool pln_norm_is_by_channel(const pln_norm *o)
{
    int64_t axis;
    return o->rank > 2 && o->n_axes == o->rank - 2 && pln_norm_is_of_last(o, &axis);
}

bool pln_value_is_by_channel(const pln_value *v, const pln_value *x)
{
    const int rv = pln_value_rank(v), rx = pln_value_rank(x);
    const int at = rv - rx + 1; /* where the channels are */
    if (rx < 2 || rv > rx || at < 0)
        return false;
    for (int i = 0; i < rv; i++)
        if (i == at ? !pln_dim_equal(v->type.shape.dims[i], x->type.shape.dims[1])
                    : !pln_dim_is(v->type.shape.dims[i], 1))
            return false;
    return true;
}

static pln_value *all(pln_patch *p, pln_dtype dt, double v, const int64_t *dims, int rank,
                      const char *hint)
{
    pln_tensor *t = NULL;
    if (pln_tensor_make(p->graph->model->alloc, dt, rank, dims, &t, NULL) != PLN_OK) {
        p->failed = PLN_E_NOMEM;
        return NULL;
    }
    for (int64_t i = 0; i < pln_tensor_size(t); i++)
        pln_tensor_set_f64(t, i, v);
    return pln_patch_const(p, t, hint);
}

pln_value *pln_norm_operand(pln_match *m, pln_patch *p, const pln_norm *o,
                            const char *name, double factor, double otherwise,
                            const int64_t *dims, int rank)
{
    const pln_dtype dt = o->x->type.dtype;
    pln_value *v = pln_match_val(m, name);
    if (!v)
        return all(p, dt, factor * otherwise, dims, rank, otherwise ? "ones" : "zeros");
    if (factor != 1)
        v = pln_patch_op2(p, "Mul", v,
                          pln_patch_scalar(p, v->type.dtype, factor, "factor"));
    if (v && v->type.dtype != dt) {
        pln_node *cast = pln_patch_add(p, "Cast", &v, 1, 1);
        if (!cast || pln_node_set_int(cast, "to", dt) != PLN_OK)
            return NULL;
        v = cast->out[0];
    }
    return v;
}
