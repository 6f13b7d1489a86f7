/* dequantize: weights that a file keeps in bytes and widens by Cast and scale become a
 * DequantizeLinear, which computes the same and says what it is.
 *
 *     Mul(Cast(w), s)           => DequantizeLinear(w, s)
 *     Mul(Sub(Cast(w), z), s)   => DequantizeLinear(w, s, z)     z whole numbers in range
 *     Add(Mul(Cast(w), s), b)   => DequantizeLinear(w, s, -b/s)
 *     Reshape(Mul(Cast(w), s))  => DequantizeLinear<block_size>(Reshape(w), Reshape(s))
 *
 * The scale is one number, or one for each index of one dimension, or in the last form
 * one for each block along a dimension, which the Reshape joins from blocks and their
 * elements.
 * ONNX Runtime folds the left sides when it loads a model, and not a DequantizeLinear:
 * that it computes in each run, and behind it a MatMul in 8 bits (of minilm-l6-int8:
 * twice the time, and results off by 1%). So files for other runtimes get it for tables
 * only, a few rows of which are wanted, and where it goes behind the Gather that picks
 * them (pass qdq).
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

/* A Gather alone reads it, along a dimension (of `rank`) that is not that of the
 * scales. */
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

/* ---- an addend -------------------------------------------------------------------- */

#define ROUNDED 0x1p-22 /* of the zero point: that much -b/s is off as floats */

/* -b/s, or b/s where it is taken away, as whole numbers of w's type, as many as there are
 * scales or addends. NULL: they are none in range, or there is no memory. */
static pln_value *zeros_of(pln_match *m, pln_patch *p, int64_t n, bool scalar)
{
    double lo, hi;
    pln_tensor *t = NULL;
    const pln_tensor *s = pln_match_val(m, "s")->cst, *b = pln_match_val(m, "b")->cst;
    const int64_t ns = pln_tensor_size(s), nb = pln_tensor_size(b);
    const pln_dtype dt = pln_match_val(m, "w")->type.dtype;
    const double sign = pln_node_is(m->root, "Sub") ? 1 : -1;
    const pln_allocator *a = p->graph->model->alloc;
    if (!range_of(dt, &lo, &hi) ||
        pln_tensor_make(a, dt, scalar ? 0 : 1, &n, &t, NULL) != PLN_OK)
        return NULL;
    for (int64_t i = 0; i < n; i++) {
        const double z = sign * pln_tensor_get_f64(b, nb == 1 ? 0 : i) /
                         pln_tensor_get_f64(s, ns == 1 ? 0 : i);
        const double whole = nearbyint(z);
        if (!(whole >= lo && whole <= hi && fabs(z - whole) <= ROUNDED * fabs(whole))) {
            pln_tensor_unref(t);
            return NULL;
        }
        pln_tensor_set_f64(t, i, whole);
    }
    return pln_patch_const(p, t, "zero");
}

/* That of DequantizeLinear d, or (NULL) of the product of w and s. */
static int scale_axis(const pln_node *d, const pln_tensor *w, const pln_tensor *s)
{
    if (!d)
        return axis_of(w, s);
    const int64_t axis = pln_node_get_int(d, "axis", 1);
    if (pln_node_get_int(d, "block_size", 0))
        return -2;
    return pln_tensor_size(s) == 1 ? -1 : (int)(axis + (axis < 0 ? w->rank : 0));
}

static pln_status affine(pln_match *m, pln_patch *p)
{
    pln_value *w = pln_match_val(m, "w"), *s = pln_match_val(m, "s");
    const pln_value *b = pln_match_val(m, "b");
    const pln_dtype to = m->root->out[0]->type.dtype;
    const int needs = opset_of(w->type.dtype, to);
    if (is_for_others(m->ctx->options) || !needs || !pln_pass_allows_opset(m->ctx, needs))
        return pln_match_refuse(m, "no DequantizeLinear is wanted, or has these types");
    if (!pln_value_contents(s) || !pln_value_contents(b) || s->type.dtype != to)
        return pln_match_refuse(m, "scale or addend is no number");
    int axis = scale_axis(pln_match_node(m, "d"), w->cst, s->cst);
    const int other = axis_of(w->cst, b->cst);
    if (axis == -2 || other == -2 || (axis >= 0 && other >= 0 && axis != other))
        return pln_match_refuse(m, "they are not one number for each of one dimension");
    axis = axis < 0 ? other : axis;
    if (axis >= 0 && !pln_pass_allows_opset(m->ctx, OPSET_AXIS))
        return pln_match_refuse(m, "the file's set has no scale for each of a dimension");
    const int64_t n = axis < 0 ? 1 : w->cst->dims[axis];
    pln_value *in[3] = { w, as_vector(p, s, to, n, axis < 0),
                         zeros_of(m, p, n, axis < 0) };
    if (!in[2])
        return pln_match_refuse(m, "its addend is no whole number of scales");
    pln_node *d = in[1] ? pln_patch_add(p, "DequantizeLinear", in, 3, 1) : NULL;
    if (!d || (axis >= 0 && pln_node_set_int(d, "axis", axis) != PLN_OK))
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], d->out[0]);
    return PLN_OK;
}

/* ---- blocks ----------------------------------------------------------------------- */

/* The one dimension along which one scale serves many elements; -1: there is none. */
static int block_axis(const pln_tensor *w, const pln_tensor *s)
{
    int axis = -1;
    for (int i = 0; i < w->rank && w->rank == s->rank; i++) {
        if (s->dims[i] == w->dims[i])
            continue;
        if (s->dims[i] != 1 || axis >= 0)
            return -1;
        axis = i;
    }
    return axis;
}

/* v with dimension `axis` joined to the one before it. */
static pln_value *joined(pln_patch *p, pln_value *v, int axis)
{
    int64_t dims[PLN_MAX_RANK];
    int rank = 0;
    for (int i = 0; i < v->cst->rank; i++) {
        if (i == axis)
            dims[rank - 1] *= v->cst->dims[i];
        else
            dims[rank++] = v->cst->dims[i];
    }
    pln_value *to = pln_patch_ints(p, dims, (size_t)rank, "shape");
    return to ? pln_patch_op2(p, "Reshape", v, to) : NULL;
}

static bool is_joined(const pln_value *v, const pln_tensor *w, int axis)
{
    if (pln_value_rank(v) != w->rank - 1)
        return false;
    for (int i = 0, k = 0; i < w->rank; i++) {
        if (i == axis)
            continue;
        const int64_t want = w->dims[i] * (i + 1 == axis ? w->dims[axis] : 1);
        const pln_dim d = v->type.shape.dims[k++];
        if (!pln_dim_is_known(d) || d.value != want)
            return false;
    }
    return true;
}

/* The numbers of v as zero points, one for each scale. */
static pln_value *zeros_like(pln_patch *p, const pln_value *v, pln_dtype dt,
                             const pln_tensor *s)
{
    pln_tensor *t = NULL;
    const bool one = pln_tensor_size(v->cst) == 1;
    if (pln_tensor_make(p->graph->model->alloc, dt, s->rank, s->dims, &t, NULL) != PLN_OK)
        return NULL;
    for (int64_t i = 0; i < pln_tensor_size(t); i++)
        pln_tensor_set_f64(t, i, pln_tensor_get_f64(v->cst, one ? 0 : i));
    return pln_patch_const(p, t, v->name);
}

static pln_status blocks(pln_match *m, pln_patch *p)
{
    pln_value *w = pln_match_val(m, "w"), *s = pln_match_val(m, "s");
    pln_value *z = pln_match_val(m, "z");
    const pln_dtype dt = w->type.dtype, to = m->root->out[0]->type.dtype;
    if (is_for_others(m->ctx->options) || !opset_of(dt, to) || to != s->type.dtype)
        return pln_match_refuse(m, "no DequantizeLinear is wanted, or has these types");
    if (!m->ctx->options->session && !pln_value_is_single_use(w))
        return pln_match_refuse(m, "others have its weights");
    if (!pln_value_contents(w) || !pln_value_contents(s) || (z && !pln_value_contents(z)))
        return pln_match_refuse(m, "scale or zero point is no number");
    const int axis = block_axis(w->cst, s->cst);
    if (axis < 1 || !is_joined(m->root->out[0], w->cst, axis))
        return pln_match_refuse(m, "its scales are not those of blocks that are joined");
    if (z && (!are_whole(z->cst, dt) || (pln_tensor_size(z->cst) != 1 &&
                                         block_axis(w->cst, z->cst) != axis)))
        return pln_match_refuse(m, "its zero points are not those of the blocks");
    if (z)
        z = zeros_like(p, z, dt, s->cst);
    pln_value *in[3] = { joined(p, w, axis), joined(p, s, axis), NULL };
    if (z)
        in[2] = joined(p, z, axis);
    pln_node *d = in[0] && in[1] ? pln_patch_add(p, "DequantizeLinear", in, 3, 1) : NULL;
    if (!d || pln_node_set_int(d, "axis", axis - 1) != PLN_OK ||
        pln_node_set_int(d, "block_size", w->cst->dims[axis]) != PLN_OK)
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], d->out[0]);
    return PLN_OK;
}

/* ---- rules ------------------------------------------------------------------------ */

/* As whole numbers they are taken away from each other exactly. */
static pln_status check_whole(pln_match *m)
{
    const pln_dtype dt = pln_match_val(m, "u")->type.dtype;
    if (pln_dtype_is_float(dt) || !pln_dtype_is_signed(dt) ||
        pln_dtype_bits(dt) < 2 * pln_dtype_bits(pln_match_val(m, "w")->type.dtype))
        return pln_match_refuse(m, "'%s' may overflow", pln_match_val(m, "u")->name);
    return check(m);
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
    { .match = "Mul~(Cast(u=Sub(Cast(w#), {Cast(z#) | z#})), s#)",
      .check = check_whole,
      .build = build,
      .contract = PLN_EXACT,
      .opset = OPSET_SCALAR },
    { .name = "dequantize-affine",
      .match = "$scaled = {Mul~(Cast(w#), s#) | d=DequantizeLinear(w#, s#)}; "
               "{Add~($scaled, b#) | Sub($scaled, b#)}",
      .build = affine,
      .contract = PLN_REASSOC,
      .opset = OPSET_SCALAR },
    { .name = "dequantize-blocks",
      .match = "Reshape(Mul~!({Cast!(w#) | Sub!(Cast!(w#), {Cast(z#) | z#})}, s#), _)",
      .build = blocks,
      .contract = PLN_EXACT,
      .opset = OPSET_WIDE },
};

const pln_pass pln_pass_dequantize = {
    .name = "dequantize",
    .brief = "weights widened by Cast and scale become a DequantizeLinear",
    PLN_RULES(rules),
};
