/* dequantize: weights that a file keeps in bytes and widens by Cast and scale become a
 * DequantizeLinear, which computes the same and says what it is.
 *
 *     Mul(Cast(w), s)           => DequantizeLinear(w, s)
 *     Mul(Sub(Cast(w), z), s)   => DequantizeLinear(w, s, z)     z whole numbers in range
 *
 * The scale is one number, or one for each index of one dimension. ONNX Runtime folds the
 * left sides when it loads a model, and not a DequantizeLinear: that it computes in each
 * run, and behind it a MatMul in 8 bits (of minilm-l6-int8: twice the time, and results
 * off by 1%). So files for other runtimes get it for tables only, a few rows of which are
 * wanted, and where it goes behind the Gather that picks them (pass qdq).
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/known.h"

#include <math.h>

#define OPSET_SCALAR 10
#define OPSET_AXIS   13
#define OPSET_HALF   19 /* scales of 16 bits */
#define OPSET_WIDE   21 /* integers of 4 and 16 bits */

/* Versions in which DequantizeLinear takes these types; 0: never. */
static int opset_of(pln_dtype w, pln_dtype to)
{
    const int scale = to == PLN_DT_F32                        ? OPSET_SCALAR
                      : to == PLN_DT_F16 || to == PLN_DT_BF16 ? OPSET_HALF
                                                              : 0;
    switch (w) {
    case PLN_DT_S8:
    case PLN_DT_U8:
        return scale;
    case PLN_DT_S16:
    case PLN_DT_U16:
    case PLN_DT_S4:
    case PLN_DT_U4:
        return scale ? OPSET_WIDE : 0;
    default:
        return 0;
    }
}

/* The dimension of w along which v varies: -1 where it is one number; -2: more than one,
 * or sizes that do not fit. */
static int axis_of(const pln_tensor *w, const pln_tensor *v)
{
    int axis = -1;
    if (v->rank > w->rank)
        return -2;
    for (int i = 0; i < v->rank; i++) {
        const int at = w->rank - v->rank + i;
        if (v->dims[i] == 1)
            continue;
        if (axis >= 0 || v->dims[i] != w->dims[at])
            return -2;
        axis = at;
    }
    return axis;
}

static bool range_of(pln_dtype dt, double *lo, double *hi)
{
    const unsigned bits = pln_dtype_bits(dt);
    const bool is_signed = dt == PLN_DT_S8 || dt == PLN_DT_S16 || dt == PLN_DT_S4;
    *lo = is_signed ? -ldexp(1, (int)bits - 1) : 0;
    *hi = *lo + ldexp(1, (int)bits) - 1;
    return bits > 0;
}

static bool are_whole(const pln_tensor *z, pln_dtype dt)
{
    double lo, hi;
    range_of(dt, &lo, &hi);
    for (int64_t i = 0; i < pln_tensor_size(z); i++) {
        const double v = pln_tensor_get_f64(z, i);
        if (!(v >= lo && v <= hi) || v != floor(v))
            return false;
    }
    return true;
}

/* A Gather alone reads it, along a dimension (of `rank`) other than that of the scales. */
static bool is_table(const pln_value *v, int rank, int scales)
{
    const pln_node *n = pln_value_only_user(v);
    if (!n || !pln_node_is(n, "Gather") || n->in[0] != v)
        return false;
    const int64_t axis = pln_node_get_int(n, "axis", 0);
    return axis + (axis < 0 ? rank : 0) != scales;
}

static bool is_for_others(const pln_pass_options *o)
{
    return !o->session && o->target != PLN_TARGET_PLANISH;
}

static pln_status check(pln_match *m)
{
    const pln_value *w = pln_match_val(m, "w"), *zv = pln_match_val(m, "z");
    const pln_value *sv = pln_match_val(m, "s");
    const pln_dtype dt = w->type.dtype, to = m->root->out[0]->type.dtype;
    const int needs = opset_of(dt, to);
    if (!needs || !pln_pass_allows_opset(m->ctx, needs))
        return pln_match_refuse(m,
                                "no DequantizeLinear of these types in the file's set");
    const pln_tensor *s = pln_value_contents(sv), *z = zv ? pln_value_contents(zv) : NULL;
    if (!s || (zv && !z) || pln_tensor_size(w->cst) <= 1 || sv->type.dtype != to)
        return pln_match_refuse(m, "scale or zero point is no number");
    const int axis = axis_of(w->cst, s), other = z ? axis_of(w->cst, z) : -1;
    if (axis == -2 || other == -2 || (other >= 0 && other != axis))
        return pln_match_refuse(m,
                                "the scale is not one number for each of one dimension");
    if (is_for_others(m->ctx->options) &&
        (pln_dtype_bits(dt) < 8 || !is_table(m->root->out[0], w->cst->rank, axis)))
        return pln_match_refuse(m, "other runtimes widen weights best by Cast and Mul");
    if (axis >= 0 && !pln_pass_allows_opset(m->ctx, OPSET_AXIS))
        return pln_match_refuse(m, "the file's set has no scale for each of a dimension");
    if (z && !are_whole(z, dt))
        return pln_match_refuse(m, "the zero point is no whole number in range");
    return PLN_OK;
}

/* The numbers of v in a vector of n (rank 0 for n = 1) and the given type. */
static pln_value *as_vector(pln_patch *p, const pln_value *v, pln_dtype dt, int64_t n,
                            bool scalar)
{
    pln_tensor *t = NULL;
    const pln_tensor *from = v->cst;
    const int64_t have = pln_tensor_size(from);
    if (pln_tensor_make(p->graph->model->alloc, dt, scalar ? 0 : 1, &n, &t, NULL) !=
        PLN_OK)
        return NULL;
    for (int64_t i = 0; i < n; i++)
        pln_tensor_set_f64(t, i, pln_tensor_get_f64(from, have == 1 ? 0 : i));
    return pln_patch_const(p, t, v->name);
}

static pln_status build(pln_match *m, pln_patch *p)
{
    pln_value *w = pln_match_val(m, "w"), *s = pln_match_val(m, "s");
    const pln_value *z = pln_match_val(m, "z");
    const int axis = axis_of(w->cst, s->cst);
    const int64_t n = axis < 0 ? 1 : w->cst->dims[axis];
    pln_value *in[3] = { w, s, NULL };
    if (pln_value_rank(s) != (axis >= 0))
        in[1] = as_vector(p, s, s->type.dtype, n, axis < 0);
    if (z)
        in[2] = as_vector(p, z, w->type.dtype, n, axis < 0);
    pln_node *d = in[1] ? pln_patch_add(p, "DequantizeLinear", in, 3, 1) : NULL;
    if (!d || (axis >= 0 && pln_node_set_int(d, "axis", axis) != PLN_OK))
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], d->out[0]);
    return PLN_OK;
}

#define UNPACK(pattern)                                                          \
    {                                                                            \
        .match = pattern, .check = check, .build = build, .contract = PLN_EXACT, \
        .opset = OPSET_SCALAR                                                    \
    }

static const pln_rule rules[] = {
    UNPACK("Mul~(Cast(w#), s#)"),
    UNPACK("Mul~(Sub(Cast(w#), z#), s#)"),
    UNPACK("Mul~(Sub(Cast(w#), Cast(z#)), s#)"),
};

const pln_pass pln_pass_dequantize = {
    .name = "dequantize",
    .brief = "weights widened by Cast and scale become a DequantizeLinear",
    PLN_RULES(rules),
};
