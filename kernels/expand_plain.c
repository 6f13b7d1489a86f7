/* Comparisons, bounds, casts, shapes and constants in terms of older operators.
 * SPDX-License-Identifier: Apache-2.0 */
#include <float.h>
#include <string.h>

#include "kernels/expand.h"

/* A number is below 1 or above 0, NaN neither. */
static pln_value *is_number(pln_expander *x, pln_value *v)
{
    return pln_expand_2(x, "Or", pln_expand_by(x, "Less", v, 1),
                        pln_expand_by(x, "Greater", v, 0));
}

/* Of floats: neither is larger, and both are numbers. */
static pln_value *equal(pln_expander *x)
{
    pln_value *a = x->n->in[0], *b = x->n->in[1];
    pln_value *apart = pln_expand_2(x, "Or", pln_expand_2(x, "Less", a, b),
                                    pln_expand_2(x, "Greater", a, b));
    pln_value *numbers = pln_expand_2(x, "And", is_number(x, a), is_number(x, b));
    return pln_expand_2(x, "And", pln_expand_1(x, "Not", apart), numbers);
}

/* a >= b is not !(a < b) for NaN. */
pln_status pln_expand_compare(pln_node *n, int64_t version, pln_error *err)
{
    pln_expander x = pln_expand_begin(n, version, err);
    const bool greater = !strcmp(n->op_type, "GreaterOrEqual");
    if (!strcmp(n->op_type, "Equal") && pln_dtype_is_float(x.dt)) {
        pln_expand_give(&x, 0, equal(&x));
        return pln_expand_end(&x);
    }
    if (!greater && strcmp(n->op_type, "LessOrEqual") != 0)
        pln_expand_refuse(&x, NULL);
    pln_value *strict =
        pln_expand_2(&x, greater ? "Greater" : "Less", n->in[0], n->in[1]);
    pln_value *same = pln_expand_2(&x, "Equal", n->in[0], n->in[1]);
    pln_expand_give(&x, 0, pln_expand_2(&x, "Or", strict, same));
    return pln_expand_end(&x);
}

/* Of integers, which have no NaN: by comparing. */
static pln_value *smaller(pln_expander *x, const char *test, pln_value *a, pln_value *b)
{
    return pln_expand_3(x, "Where", pln_expand_2(x, test, a, b), a, b);
}

/* By pairs, which broadcast longer than the whole. */
static pln_value *summed(pln_expander *x, bool mean)
{
    const pln_node *n = x->n;
    pln_value *v = n->in[0];
    for (uint32_t i = 1; i < n->n_in; i++)
        v = pln_expand_2(x, "Add", v, n->in[i]);
    return mean ? pln_expand_by(x, "Div", v, n->n_in) : v;
}

/* One bound is a number. */
static pln_value *clipped(pln_expander *x, uint32_t slot)
{
    pln_value *in[] = { x->n->in[0], NULL, NULL };
    in[slot] = x->n->in[1];
    return pln_expand_many(x, "Clip", in, slot + 1);
}

pln_status pln_expand_min_max(pln_node *n, int64_t version, pln_error *err)
{
    pln_expander x = pln_expand_begin(n, version, err);
    const bool min = !strcmp(n->op_type, "Min"), max = !strcmp(n->op_type, "Max");
    const pln_tensor *bound = pln_expand_contents(&x, 1);
    pln_value *v = n->in[0];
    if (n->n_in < 2)
        pln_expand_refuse(&x, NULL);
    if (pln_dtype_is_float(x.dt) && !min && !max) {
        pln_expand_give(&x, 0, summed(&x, !strcmp(n->op_type, "Mean")));
        return pln_expand_end(&x);
    }
    if (pln_dtype_is_float(x.dt) && n->n_in == 2 && bound &&
        pln_tensor_size(bound) == 1 && bound->rank <= v->type.shape.rank) {
        pln_expand_give(&x, 0, clipped(&x, min ? 2 : 1));
        return pln_expand_end(&x);
    }
    if (pln_dtype_is_float(x.dt) || (!min && !max))
        pln_expand_refuse(&x, NULL);
    for (uint32_t i = 1; i < n->n_in; i++)
        v = smaller(&x, min ? "Less" : "Greater", v, n->in[i]);
    pln_expand_give(&x, 0, v);
    return pln_expand_end(&x);
}

/* With bounds that are computed, or of integers. */
pln_status pln_expand_clip(pln_node *n, int64_t version, pln_error *err)
{
    pln_expander x = pln_expand_begin(n, version, err);
    pln_value *lo = pln_expand_in(&x, 1), *hi = pln_expand_in(&x, 2), *v = n->in[0];
    if (lo)
        v = pln_expand_2(&x, "Max", v, lo);
    if (hi)
        v = pln_expand_2(&x, "Min", v, hi);
    if (!lo && !hi)
        v = pln_expand_1(&x, "Identity", v);
    pln_expand_give(&x, 0, v);
    return pln_expand_end(&x);
}

pln_status pln_expand_cast_like(pln_node *n, int64_t version, pln_error *err)
{
    pln_expander x = pln_expand_begin(n, version, err);
    const pln_dtype to = n->in[1] ? n->in[1]->type.dtype : PLN_DT_NONE;
    pln_node *cast = NULL;
    if (to == PLN_DT_NONE)
        pln_expand_refuse(&x, "the type to cast to is not known");
    else
        cast = pln_expand_node(&x, "Cast", n->in, 1, 1);
    if (cast && pln_node_set_int(cast, "to", to) != PLN_OK)
        x.st = PLN_E_NOMEM;
    for (uint32_t i = 0; cast && i < n->n_attrs; i++)
        if (pln_node_set_attr(cast, n->attrs[i]) != PLN_OK)
            x.st = PLN_E_NOMEM;
    pln_expand_give(&x, 0, cast ? cast->out[0] : NULL);
    return pln_expand_end(&x);
}

/* A part of a shape. */
pln_status pln_expand_shape(pln_node *n, int64_t version, pln_error *err)
{
    pln_expander x = pln_expand_begin(n, version, err);
    const int64_t start = pln_expand_int(&x, "start", 0);
    const int64_t end = pln_expand_int(&x, "end", INT64_MAX), zero = 0;
    pln_value *in[4] = { pln_expand_1(&x, "Shape", n->in[0]),
                         pln_expand_ints(&x, &start, 1), pln_expand_ints(&x, &end, 1),
                         pln_expand_ints(&x, &zero, 1) };
    const pln_node *slice = pln_expand_node(&x, "Slice", in, 4, 1);
    pln_expand_give(&x, 0, slice ? slice->out[0] : NULL);
    return pln_expand_end(&x);
}

/* Initializers have had all types longer. */
pln_status pln_expand_constant(pln_node *n, int64_t version, pln_error *err)
{
    pln_expander x = pln_expand_begin(n, version, err);
    pln_graph *g = n->graph;
    const pln_tensor *t = n->out[0] ? n->out[0]->cst : NULL;
    if (!t || pln_value_is_output(n->out[0]))
        pln_expand_refuse(&x, "it is no initializer");
    if (x.st == PLN_OK) {
        pln_value *v = pln_graph_add_initializer(
            g, pln_graph_fresh_name(g, "c"), pln_tensor_ref((pln_tensor *)(uintptr_t)t));
        if (!v)
            x.st = PLN_E_NOMEM;
        else
            pln_expand_give(&x, 0, v);
    }
    return pln_expand_end(&x);
}

/* ---- tests of floats ------------------------------------------------------------- */

static pln_value *is_nan(pln_expander *x)
{
    return pln_expand_1(x, "Not", is_number(x, x->n->in[0]));
}

static pln_value *is_inf(pln_expander *x)
{
    const double most = x->dt == PLN_DT_F64   ? DBL_MAX
                        : x->dt == PLN_DT_F16 ? 65504
                                              : (double)FLT_MAX;
    pln_value *v = x->n->in[0];
    const bool low = pln_expand_int(x, "detect_negative", 1) != 0;
    const bool high = pln_expand_int(x, "detect_positive", 1) != 0;
    if (low && high)
        return pln_expand_by(x, "Greater", pln_expand_1(x, "Abs", v), most);
    if (!low && !high)
        pln_expand_refuse(x, "it looks for nothing");
    return pln_expand_by(x, high ? "Greater" : "Less", v, high ? most : -most);
}

pln_status pln_expand_is(pln_node *n, int64_t version, pln_error *err)
{
    pln_expander x = pln_expand_begin(n, version, err);
    if (!pln_dtype_is_float(x.dt) || x.dt == PLN_DT_BF16)
        pln_expand_refuse(&x, NULL);
    pln_expand_give(&x, 0, !strcmp(n->op_type, "IsNaN") ? is_nan(&x) : is_inf(&x));
    return pln_expand_end(&x);
}

/* ---- Pow, Mod -------------------------------------------------------------------- */

/* Of a base and an exponent of different types. */
pln_status pln_expand_pow(pln_node *n, int64_t version, pln_error *err)
{
    pln_expander x = pln_expand_begin(n, version, err);
    const pln_dtype other = n->in[1]->type.dtype;
    const pln_dtype dt = pln_dtype_is_float(x.dt) ? x.dt : PLN_DT_F64;
    pln_value *in[2] = { n->in[0], n->in[1] };
    if (other == PLN_DT_NONE || other == x.dt)
        pln_expand_refuse(&x, NULL);
    if (x.dt != dt)
        in[0] = pln_expand_cast(&x, in[0], dt);
    if (other != dt)
        in[1] = pln_expand_cast(&x, in[1], dt);
    pln_value *y = pln_expand_2(&x, "Pow", in[0], in[1]);
    pln_expand_give(&x, 0, x.dt == dt ? y : pln_expand_cast(&x, y, x.dt));
    return pln_expand_end(&x);
}

/* The rest of a division that rounds towards 0. */
static pln_value *rest(pln_expander *x, pln_value *a, pln_value *b)
{
    if (pln_dtype_is_integer(x->dt))
        return pln_expand_2(
            x, "Sub", a, pln_expand_2(x, "Mul", pln_expand_2(x, "Div", a, b), b));
    if (x->version < 10)
        pln_expand_refuse(x, NULL); /* nothing older is as precise */
    return pln_expand_set(x, pln_expand_2(x, "Mod", a, b), "fmod", 1);
}

/* That rest brought to the sign of the divisor. */
pln_status pln_expand_mod(pln_node *n, int64_t version, pln_error *err)
{
    pln_expander x = pln_expand_begin(n, version, err);
    const bool is_signed = pln_dtype_is_float(x.dt) || pln_dtype_is_signed(x.dt);
    pln_value *r = rest(&x, n->in[0], n->in[1]), *b = n->in[1];
    if (!pln_expand_int(&x, "fmod", 0) && is_signed) {
        pln_value *below = pln_expand_by(&x, "Less", r, 0);
        pln_value *other =
            pln_expand_2(&x, "Xor", below, pln_expand_by(&x, "Less", b, 0));
        pln_value *some =
            pln_expand_2(&x, "Or", below, pln_expand_by(&x, "Greater", r, 0));
        pln_value *wrong = pln_expand_2(&x, "And", other, some);
        pln_value *moved = pln_expand_2(&x, "Add", r, b);
        r = version >= 9 ? pln_expand_3(&x, "Where", wrong, moved, r)
                         : pln_expand_2(&x, "Add", r,
                                        pln_expand_2(&x, "Mul", b,
                                                     pln_expand_cast(&x, wrong, x.dt)));
    }
    pln_expand_give(&x, 0, r);
    return pln_expand_end(&x);
}

/* ---- random operators ------------------------------------------------------------ */

/* The mask of a Dropout that drops nothing: its older versions left it open. */
pln_status pln_expand_dropout(pln_node *n, int64_t version, pln_error *err)
{
    pln_expander x = pln_expand_begin(n, version, err);
    const pln_tensor *training = pln_expand_contents(&x, 2);
    if (pln_expand_in(&x, 2) && (!training || pln_tensor_get_i64(training, 0) != 0))
        pln_expand_refuse(&x, "training_mode needs version 12");
    pln_expand_give(&x, 0, pln_expand_1(&x, "Identity", n->in[0]));
    if (pln_expand_wants(&x, 1)) {
        if (version < 9)
            pln_expand_refuse(&x, "its mask is not defined in this version");
        pln_value *ones = pln_expand_1(&x, "ConstantOfShape",
                                       pln_expand_1(&x, "Shape", n->in[0]));
        pln_value *all = pln_expand_cast(&x, ones, PLN_DT_BOOL);
        pln_expand_give(&x, 1, pln_expand_1(&x, "Not", all));
    }
    return pln_expand_end(&x);
}

pln_status pln_expand_bernoulli(pln_node *n, int64_t version, pln_error *err)
{
    pln_expander x = pln_expand_begin(n, version, err);
    const pln_dtype to = (pln_dtype)pln_expand_int(&x, "dtype", x.dt);
    const pln_attr *seed = pln_node_find_attr(n, "seed");
    pln_value *u = pln_expand_1(&x, "RandomUniformLike", n->in[0]);
    pln_expand_set(&x, u, "dtype", x.dt);
    if (seed && u && pln_node_set_attr(u->def, seed) != PLN_OK)
        x.st = PLN_E_NOMEM;
    pln_expand_give(&x, 0,
                    pln_expand_cast(&x, pln_expand_2(&x, "Less", u, n->in[0]), to));
    return pln_expand_end(&x);
}

/* ---- optionals ------------------------------------------------------------------- */

/* Of what is no optional. */
pln_status pln_expand_optional(pln_node *n, int64_t version, pln_error *err)
{
    pln_expander x = { .n = n, .version = version, .err = err };
    const pln_value *v = pln_expand_in(&x, 0);
    const bool has = !strcmp(n->op_type, "OptionalHasElement");
    if (v && (v->type.kind == PLN_KIND_OPTIONAL || v->type.kind == PLN_KIND_NONE))
        pln_expand_refuse(&x, NULL);
    pln_value *y = has ? pln_expand_scalar(&x, PLN_DT_BOOL, v != NULL) : n->in[0];
    pln_expand_give(&x, 0, pln_expand_1(&x, "Identity", y));
    return pln_expand_end(&x);
}

/* ---- windows --------------------------------------------------------------------- */

static const struct {
    const char *op;
    double a[3];
} windows[] = {
    { "HannWindow", { 0.5, -0.5, 0 } },
    { "HammingWindow", { 25.0 / 46, -21.0 / 46, 0 } },
    { "BlackmanWindow", { 0.42, -0.5, 0.08 } },
};

static pln_value *f32_by(pln_expander *x, const char *op, pln_value *v, double by)
{
    return pln_expand_2(x, op, v, pln_expand_scalar(x, PLN_DT_F32, by));
}

/* a0 + a1 cos(2 pi k / n) + a2 cos(4 pi k / n) */
pln_status pln_expand_window(pln_node *n, int64_t version, pln_error *err)
{
    static const int64_t one[] = { 1 };
    pln_expander x = pln_expand_begin(n, version, err);
    const pln_dtype to = (pln_dtype)pln_expand_int(&x, "output_datatype", PLN_DT_F32);
    pln_value *size = pln_expand_reshape(&x, n->in[0], one, 1);
    if (x.dt != PLN_DT_S64)
        size = pln_expand_cast(&x, size, PLN_DT_S64);
    pln_value *k = pln_expand_cast(&x, pln_expand_count(&x, size), PLN_DT_F32);
    pln_value *period = pln_expand_cast(&x, size, PLN_DT_F32);
    if (!pln_expand_int(&x, "periodic", 1))
        period = f32_by(&x, "Sub", period, 1);
    pln_value *angle =
        f32_by(&x, "Mul", pln_expand_2(&x, "Div", k, period), 6.283185307179586);
    for (size_t i = 0; i < sizeof windows / sizeof windows[0]; i++) {
        if (strcmp(windows[i].op, n->op_type) != 0)
            continue;
        const double *a = windows[i].a;
        pln_value *y = f32_by(&x, "Mul", pln_expand_1(&x, "Cos", angle), a[1]);
        if (a[2] != 0) {
            pln_value *twice = pln_expand_1(&x, "Cos", f32_by(&x, "Mul", angle, 2));
            y = pln_expand_2(&x, "Add", y, f32_by(&x, "Mul", twice, a[2]));
        }
        y = f32_by(&x, "Add", y, a[0]);
        pln_expand_give(&x, 0, to == PLN_DT_F32 ? pln_expand_1(&x, "Identity", y)
                                                : pln_expand_cast(&x, y, to));
    }
    return pln_expand_end(&x);
}
