/* qdq: quantizers and dequantizers that the integers between them do not need.
 *
 *     QuantizeLinear(DequantizeLinear(q, s, z), s, z)             => q
 *     QuantizeLinear(Reshape(DequantizeLinear(q, s, z), t), s, z) => Reshape(q, t)
 *     QuantizeLinear(Relu(DequantizeLinear(q, s, z)), s, z)       => Clip(q, z)
 *     QuantizeLinear(Where(c, DequantizeLinear(a, s, z), 0), s, z) => Where(c, a, z)
 *     ArgMax(DequantizeLinear(q, s, z))       => ArgMax(q)
 *     QuantizeLinear(Relu(x), s, 0)           => QuantizeLinear(x, s, 0)
 *     Gather(DequantizeLinear(w, s), i)       => DequantizeLinear(Gather(w, i), s)
 *
 * Dequantizing and quantizing again gives every integer back, since (q - z) s / s is off
 * by less than half a step; that holds for scales that are constant, positive and neither
 * so large nor so small that the product leaves the range of floats.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/known.h"
#include "passes/qdq_unit.h"
#include "passes/same.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define TABLE     256  /* elements: a smaller table is no weight */
#define CAST      1024 /* the same where a Cast widens it, which folding takes */
#define MAX_IN    64
#define MAX_MOVES 8

/* ---- parameters ----------------------------------------------------------------- */

static pln_value *scale_of(const pln_node *n)
{
    return n->in[1];
}

static bool is_integer(pln_dtype dt)
{
    return dt != PLN_DT_NONE && !pln_dtype_is_float(dt) && pln_dtype_bits(dt) <= 16;
}

/* Integers of 16 bits, and floats of 8 that have no infinity. */
static bool is_level(pln_dtype dt)
{
    return is_integer(dt) || dt == PLN_DT_F8E4M3FN || dt == PLN_DT_F8E4M3FNUZ ||
           dt == PLN_DT_F8E5M2FNUZ;
}

/* All scales are such that every level comes back. */
static bool are_harmless(const pln_value *scale, pln_dtype level)
{
    const pln_tensor *s = pln_value_contents(scale);
    const bool wide = scale->type.dtype == PLN_DT_F32;
    const bool half = scale->type.dtype == PLN_DT_F16 && is_integer(level) &&
                      pln_dtype_bits(level) <= 8;
    if (!s || (!wide && !half))
        return false;
    for (int64_t i = 0; i < pln_tensor_size(s); i++) {
        const double v = pln_tensor_get_f64(s, i);
        if (!(v >= (wide ? 0x1p-100 : 0x1p-14) && v <= (wide ? 0x1p100 : 0x1p7)))
            return false;
    }
    return true;
}

static bool same_numbers(const pln_value *a, const pln_value *b)
{
    double zero;
    if (a == b)
        return true;
    if (!a || !b)
        return pln_value_is_splat(a ? a : b, &zero) && zero == 0;
    return pln_value_contents(a) && pln_value_contents(b) &&
           pln_tensor_same_as(a->cst, b->cst);
}

static int64_t axis_of(const pln_node *n)
{
    const int64_t axis = pln_node_get_int(n, "axis", 1);
    const int rank = pln_value_rank(n->in[0]);
    return axis < 0 && rank >= 0 ? axis + rank : axis;
}

/* What q makes of floats that d gives are the integers that d was given. */
static bool undoes(const pln_node *q, const pln_node *d)
{
    if (!pln_node_is(d, "DequantizeLinear") || !q->out[0] ||
        !is_level(d->in[0]->type.dtype) ||
        q->out[0]->type.dtype != d->in[0]->type.dtype ||
        d->out[0]->type.dtype != scale_of(d)->type.dtype ||
        pln_node_get_int(q, "precision", 0) ||
        pln_node_get_int(q, "block_size", 0) != pln_node_get_int(d, "block_size", 0))
        return false;
    if (!pln_is_one_number(scale_of(d)) && axis_of(q) != axis_of(d))
        return false;
    return same_numbers(scale_of(q), scale_of(d)) &&
           same_numbers(pln_zero_point(q), pln_zero_point(d)) &&
           are_harmless(scale_of(d), d->in[0]->type.dtype);
}

/* The same for every element. */
static bool has_one_scale(const pln_node *d)
{
    return pln_is_one_number(scale_of(d)) && !pln_node_get_int(d, "block_size", 0) &&
           (!pln_zero_point(d) || pln_is_one_number(pln_zero_point(d)));
}

/* ---- there and back ------------------------------------------------------------- */

static pln_status back_again(pln_match *m, pln_patch *p)
{
    const pln_node *d = pln_match_node(m, "d");
    if (!undoes(m->root, d))
        return pln_match_refuse(m, "scales or zero points differ, or are not known");
    pln_patch_replace_proven(p, m->root->out[0], d->in[0]);
    return PLN_OK;
}

/* ---- what moves integers as well ------------------------------------------------ */

/* The integer that q makes of a number. */
static bool level_of(const pln_node *q, double v, double *out)
{
    double s, z = 0;
    const pln_dtype dt = q->out[0]->type.dtype;
    const unsigned bits = pln_dtype_bits(dt);
    if (!is_integer(dt) || !pln_value_is_splat(scale_of(q), &s) || !(s > 0) ||
        scale_of(q)->type.dtype != PLN_DT_F32 || isnan(v) ||
        (pln_zero_point(q) && !pln_value_is_splat(pln_zero_point(q), &z)))
        return false;
    const double lo = pln_dtype_is_signed(dt) ? -ldexp(1, (int)bits - 1) : 0;
    const double hi = lo + ldexp(1, (int)bits) - 1;
    const float level = rintf((float)v / (float)s) + (float)z;
    *out = level < lo ? lo : level > hi ? hi : level;
    return true;
}

static bool pads_with_number(const pln_node *n)
{
    return pln_node_is(n, "Pad") &&
           !strcmp(pln_node_get_string(n, "mode", "constant"), "constant");
}

/* What moves integers as it moves floats: of how few bits, since which version. */
static const struct {
    const char *op;
    uint8_t most_bits, opset;
} movers[] = {
    { "Reshape", 16, 5 },
    { "Transpose", 16, 1 },
    { "Squeeze", 16, 1 },
    { "Unsqueeze", 16, 1 },
    { "Flatten", 16, 9 },
    { "Slice", 16, 1 },
    { "Gather", 16, 1 },
    { "GatherElements", 16, 11 },
    { "GatherND", 16, 11 },
    { "Expand", 16, 8 },
    { "Tile", 16, 6 },
    { "Identity", 16, 1 },
    { "ReverseSequence", 16, 10 },
    { "Compress", 16, 9 },
    { "DepthToSpace", 8, 1 },
    { "SpaceToDepth", 8, 1 },
    { "MaxPool", 8, 12 },
    { "Pad", 8, 11 },
    { "ReduceMax", 8, 12 },
    { "ReduceMin", 8, 12 },
    { "Resize", 8, 10 },
    { "Relu", 8, 12 },
    { "Clip", 8, 12 }, /* as Clip */
};

static bool moves_integers(const pln_pass_ctx *ctx, const pln_node *n, pln_dtype dt)
{
    const unsigned bits = pln_dtype_bits(dt);
    if (pln_node_is(n, "Resize") &&
        (strcmp(pln_node_get_string(n, "mode", "nearest"), "nearest") != 0 ||
         !strcmp(pln_node_get_string(n, "coordinate_transformation_mode", "half_pixel"),
                 "tf_crop_and_resize")))
        return false;
    for (size_t i = 0; i < sizeof movers / sizeof movers[0]; i++)
        if (pln_node_is(n, movers[i].op))
            return bits >= 8 && bits <= movers[i].most_bits &&
                   pln_pass_allows_opset(ctx, movers[i].opset);
    return false;
}

static bool is_padded_with(const pln_node *pad, const pln_node *q, double *level)
{
    double v = 0;
    return (pad->n_in < 3 || !pad->in[2] || pln_value_is_splat(pad->in[2], &v)) &&
           level_of(q, v, level);
}

/* Bounds of a Relu or Clip; false: they are not known. */
static bool bounds_of(const pln_node *n, double *lo, double *hi)
{
    *lo = -INFINITY;
    *hi = INFINITY;
    if (pln_node_is(n, "Relu")) {
        *lo = 0;
        return true;
    }
    return (n->n_in < 2 || !n->in[1] || pln_value_is_splat(n->in[1], lo)) &&
           (n->n_in < 3 || !n->in[2] || pln_value_is_splat(n->in[2], hi)) && *lo <= *hi;
}

static bool is_clamp(const pln_node *n)
{
    return pln_node_is(n, "Relu") || pln_node_is(n, "Clip");
}

/* Quantizing is monotonic: the levels of the bounds bound the levels. */
static pln_value *clamped(pln_patch *p, const pln_node *n, const pln_node *q,
                          pln_value *x)
{
    double lo, hi, least, most;
    if (!bounds_of(n, &lo, &hi) || !level_of(q, lo, &least) || !level_of(q, hi, &most))
        return NULL;
    pln_value *in[3] = { x, NULL, NULL };
    if (!isinf(lo))
        in[1] = pln_patch_scalar(p, q->out[0]->type.dtype, least, "min");
    if (!isinf(hi))
        in[2] = pln_patch_scalar(p, q->out[0]->type.dtype, most, "max");
    pln_node *c = pln_patch_add(p, "Clip", in, in[2] ? 3 : in[1] ? 2 : 1, 1);
    return c ? c->out[0] : NULL;
}

/* Node mv on integers. */
static pln_value *moved(pln_match *m, pln_patch *p, const pln_node *mv, pln_value *x)
{
    pln_value *in[MAX_IN];
    double level;
    uint32_t n_in = mv->n_in;
    if (is_clamp(mv))
        return clamped(p, mv, m->root, x);
    memcpy(in, mv->in, n_in * sizeof in[0]);
    in[0] = x;
    if (pads_with_number(mv) && is_padded_with(mv, m->root, &level)) {
        n_in = n_in < 3 ? 3 : n_in;
        in[2] = pln_patch_scalar(p, m->root->out[0]->type.dtype, level, "pad");
    } else if (pln_node_is(mv, "Pad") && n_in > 2) {
        in[2] = NULL;
    }
    pln_node *n = pln_patch_copy(p, mv, in, n_in);
    return n ? n->out[0] : NULL;
}

/* From the quantizer up: nodes that move. */
typedef struct path {
    const pln_node *mv[MAX_MOVES];
    int n;
} path;

/* The node that gives v goes on the path. */
static pln_status take_move(pln_match *m, path *t, const pln_value *v)
{
    const pln_node *d = v->def, *q = m->root;
    double level, lo, hi;
    if (!d || t->n == MAX_MOVES || d->n_in > MAX_IN || !d->in[0] ||
        !moves_integers(m->ctx, d, q->out[0]->type.dtype) ||
        pln_node_has_other_outputs(d) || !pln_value_is_single_use(v) ||
        d->graph != q->graph)
        return pln_match_refuse(m, "something between does not move integers alone");
    if ((pads_with_number(d) && !is_padded_with(d, q, &level)) ||
        (is_clamp(d) && (!bounds_of(d, &lo, &hi) || !level_of(q, lo, &level))))
        return pln_match_refuse(m, "'%s' has a bound that is not known", d->name);
    t->mv[t->n++] = d;
    return PLN_OK;
}

/* The quantizer's result is integers v, moved along the path. */
static pln_status move_along(pln_match *m, pln_patch *p, const path *t, pln_value *v)
{
    for (int i = t->n; i-- > 0 && v;)
        v = moved(m, p, t->mv[i], v);
    if (!v)
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], v);
    return PLN_OK;
}

static pln_status move(pln_match *m, pln_patch *p)
{
    path t = { .n = 0 };
    const pln_value *v = m->root->in[0];
    for (; !v->def || !pln_node_is(v->def, "DequantizeLinear"); v = v->def->in[0])
        PLN_TRY(take_move(m, &t, v));
    if (!has_one_scale(v->def) || !has_one_scale(m->root) || !undoes(m->root, v->def))
        return pln_match_refuse(m, "scales or zero points differ, or are not known");
    return move_along(m, p, &t, v->def->in[0]);
}

static pln_status concat(pln_match *m, pln_patch *p)
{
    const pln_node *c = pln_match_node(m, "c");
    pln_value *in[MAX_IN];
    if (c->n_in > MAX_IN)
        return pln_match_refuse(m, "too many inputs");
    for (uint32_t i = 0; i < c->n_in; i++) {
        const pln_node *d = c->in[i] ? c->in[i]->def : NULL;
        if (!d || !undoes(m->root, d) || !has_one_scale(d) ||
            pln_dtype_bits(d->in[0]->type.dtype) < 8)
            return pln_match_refuse(m, "input %u is not dequantized alike", i);
        in[i] = d->in[0];
    }
    pln_node *n = pln_patch_copy(p, c, in, c->n_in);
    if (!n)
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], n->out[0]);
    return PLN_OK;
}

/* The integers that the quantizer makes of a value: those that it was dequantized from,
 * or the level of a number. NULL: they are not known. */
static pln_value *integers_of(pln_patch *p, const pln_node *q, pln_value *v)
{
    double number, level;
    const pln_node *d = v ? v->def : NULL;
    if (d && has_one_scale(d) && undoes(q, d))
        return d->in[0];
    if (v && pln_is_one_number(v) && pln_value_rank(v) == 0 &&
        pln_value_is_splat(v, &number) && level_of(q, number, &level))
        return pln_patch_scalar(p, q->out[0]->type.dtype, level, v->name);
    return NULL;
}

/* Where picks elements, Max and Min those that have the larger or smaller integer. */
static pln_status pick(pln_match *m, pln_patch *p)
{
    const pln_node *n = pln_match_node(m, "n");
    const uint32_t first = pln_node_is(n, "Where");
    pln_value *in[MAX_IN];
    if (n->n_in > MAX_IN || !pln_is_byte(m->root->out[0]) || !has_one_scale(m->root))
        return pln_match_refuse(m, "too many inputs, or no bytes of one scale");
    in[0] = n->in[0];
    for (uint32_t i = first; i < n->n_in; i++) {
        in[i] = integers_of(p, m->root, n->in[i]);
        if (!in[i])
            return pln_match_refuse(m, "input %u is not dequantized alike", i);
    }
    pln_node *c = pln_patch_copy(p, n, in, n->n_in);
    if (!c)
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], c->out[0]);
    return PLN_OK;
}

/* The place of the largest number is that of the largest integer. */
static pln_status place(pln_match *m, pln_patch *p)
{
    pln_node *d = pln_match_node(m, "d");
    if (!pln_is_byte(d->in[0]) || !has_one_scale(d) ||
        !are_harmless(scale_of(d), d->in[0]->type.dtype))
        return pln_match_refuse(m, "it is not dequantized from bytes of one known scale");
    pln_node *n = pln_patch_copy(p, m->root, d->in, 1);
    if (!n)
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], n->out[0]);
    return PLN_OK;
}

static pln_status split(pln_match *m, pln_patch *p)
{
    const pln_node *d = pln_match_node(m, "d"), *s = m->root;
    pln_value *in[2] = { d->in[0], s->n_in > 1 ? s->in[1] : NULL };
    const pln_node *q[PLN_PATCH_MAX] = { NULL };
    if (!has_one_scale(d) || pln_dtype_bits(d->in[0]->type.dtype) < 8 ||
        s->n_out > PLN_PATCH_MAX)
        return pln_match_refuse(m, "it does not move integers of this type");
    for (uint32_t i = 0; i < s->n_out; i++) {
        if (!s->out[i] || !s->out[i]->n_uses)
            continue;
        q[i] = pln_value_only_user(s->out[i]);
        if (!q[i] || !pln_node_is(q[i], "QuantizeLinear") || q[i]->in[0] != s->out[i] ||
            q[i]->graph != s->graph || !undoes(q[i], d))
            return pln_match_refuse(m, "output %u is not quantized alike", i);
    }
    pln_node *n = pln_patch_copy(p, s, in, s->n_in);
    if (!n)
        return PLN_E_NOMEM;
    for (uint32_t i = 0; i < s->n_out; i++)
        if (q[i])
            pln_patch_replace(p, q[i]->out[0], n->out[i]);
    return PLN_OK;
}

/* ---- what the ends of the range do anyway --------------------------------------- */

static bool is_lowest(const pln_node *q)
{
    const pln_dtype dt = q->out[0]->type.dtype;
    const double lo =
        pln_dtype_is_signed(dt) ? -ldexp(1, (int)pln_dtype_bits(dt) - 1) : 0;
    double z = 0;
    return (!pln_zero_point(q) || pln_value_is_splat(pln_zero_point(q), &z)) && z == lo;
}

/* Both bounds are ends of the range. */
static bool reaches_ends(const pln_node *q, const pln_node *clip)
{
    double lo, hi, at_lo, at_hi, least, most;
    return bounds_of(clip, &lo, &hi) && level_of(q, lo, &at_lo) &&
           level_of(q, hi, &at_hi) && level_of(q, -INFINITY, &least) &&
           level_of(q, INFINITY, &most) && at_lo == least && at_hi == most;
}

static pln_status saturate(pln_match *m, pln_patch *p)
{
    pln_value *in[3] = { pln_match_val(m, "x"), scale_of(m->root),
                         pln_zero_point(m->root) };
    const pln_node *r = pln_match_node(m, "r");
    const pln_dtype dt = m->root->out[0]->type.dtype;
    if (!is_integer(dt) || !are_harmless(in[1], dt) ||
        in[0]->type.dtype != r->out[0]->type.dtype)
        return pln_match_refuse(m, "its scale is not known");
    if (pln_node_is(r, "Relu") ? !is_lowest(m->root) : !reaches_ends(m->root, r))
        return pln_match_refuse(m, "its bounds lie within the range");
    pln_node *n = pln_patch_copy(p, m->root, in, m->root->n_in);
    if (!n)
        return PLN_E_NOMEM;
    pln_patch_replace_proven(p, m->root->out[0], n->out[0]);
    return PLN_OK;
}

/* ---- tables --------------------------------------------------------------------- */

/* Rows are widened behind the Gather that picks them. */
static pln_status check_table(pln_match *m, const pln_value *wide, int64_t small)
{
    if (pln_value_count(pln_match_val(m, "w")) <= small)
        return pln_match_refuse(m, "its table is small");
    if (!m->ctx->options->session && !pln_value_is_single_use(wide))
        return pln_match_refuse(m, "others need the wide table");
    return PLN_OK;
}

static pln_value *gathered(pln_match *m, pln_patch *p, pln_value *table)
{
    pln_value *in[2] = { table, m->root->in[1] };
    pln_node *n = table ? pln_patch_copy(p, m->root, in, 2) : NULL;
    return n ? n->out[0] : NULL;
}

/* A vector as a matrix of one column. */
static pln_value *as_column(pln_patch *p, const pln_value *v)
{
    const pln_tensor *from = pln_value_contents(v);
    pln_tensor *t = NULL;
    const int64_t dims[2] = { from ? pln_tensor_size(from) : 0, 1 };
    if (!from || pln_tensor_make(p->graph->model->alloc, (pln_dtype)from->dtype, 2, dims,
                                 &t, NULL) != PLN_OK)
        return NULL;
    for (int64_t i = 0; i < dims[0]; i++)
        pln_tensor_set_f64(t, i, pln_tensor_get_f64(from, i));
    return pln_patch_const(p, t, v->name);
}

/* A scale for each row is one for each block that is a row. */
static pln_status by_rows(pln_match *m, pln_patch *p)
{
    pln_node *d = pln_match_node(m, "d");
    pln_value *w = pln_match_val(m, "w"), *z = pln_zero_point(d);
    const int64_t columns = w->cst->dims[1];
    pln_value *in[3] = { gathered(m, p, w), gathered(m, p, as_column(p, scale_of(d))),
                         NULL };
    if (z)
        in[2] = gathered(m, p, as_column(p, z));
    pln_node *n = in[0] && in[1] ? pln_patch_copy(p, d, in, z ? 3 : 2) : NULL;
    if (!n || pln_node_set_int(n, "axis", -1) != PLN_OK ||
        pln_node_set_int(n, "block_size", columns) != PLN_OK)
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], n->out[0]);
    return PLN_OK;
}

static pln_status table(pln_match *m, pln_patch *p)
{
    pln_node *d = pln_match_node(m, "d");
    pln_value *w = pln_match_val(m, "w");
    const int rank = pln_value_rank(w), picks = pln_value_rank(m->root->in[1]);
    int64_t axis = axis_of(d), at = pln_node_get_int(m->root, "axis", 0);
    at += at < 0 ? rank : 0;
    PLN_TRY(check_table(m, d->out[0], TABLE));
    if (pln_node_get_int(d, "block_size", 0) || pln_dtype_bits(w->type.dtype) < 8)
        return pln_match_refuse(m, "its table is in blocks, or of less than a byte");
    if (!pln_is_one_number(scale_of(d)) && axis == at) {
        if (!m->ctx->options->session || rank != 2 || at != 0 || w->cst->dims[1] == 0)
            return pln_match_refuse(m, "its rows have scales of their own");
        return by_rows(m, p);
    }
    if (!pln_is_one_number(scale_of(d)) && axis > at) {
        if (picks < 0)
            return pln_match_refuse(m, "the rank of its indices is not known");
        axis += picks - 1;
    }
    pln_value *in[3] = { gathered(m, p, w), scale_of(d), pln_zero_point(d) };
    pln_node *n = in[0] ? pln_patch_copy(p, d, in, d->n_in) : NULL;
    if (!n ||
        (!pln_is_one_number(scale_of(d)) && pln_node_set_int(n, "axis", axis) != PLN_OK))
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], n->out[0]);
    return PLN_OK;
}

static pln_status cast_table(pln_match *m, pln_patch *p)
{
    const pln_node *c = pln_match_node(m, "c");
    const pln_value *w = pln_match_val(m, "w");
    if (pln_dtype_bits(w->type.dtype) < 8 ||
        pln_dtype_bits(w->type.dtype) >= pln_dtype_bits(c->out[0]->type.dtype))
        return pln_match_refuse(m, "it makes nothing wider");
    PLN_TRY(check_table(m, c->out[0], CAST));
    pln_value *g = gathered(m, p, pln_match_val(m, "w"));
    pln_node *n = g ? pln_patch_copy(p, c, &g, 1) : NULL;
    if (!n)
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], n->out[0]);
    return PLN_OK;
}

/* What moves a constant's elements can be done to its integers, once. */
static pln_status constant(pln_match *m, pln_patch *p)
{
    const pln_node *d = pln_match_node(m, "d"), *mv = m->root;
    pln_value *in[MAX_IN] = { NULL };
    if (!has_one_scale(d) || mv->n_in > MAX_IN ||
        pln_dtype_bits(d->in[0]->type.dtype) < 8)
        return pln_match_refuse(m, "it has more than one scale");
    for (uint32_t i = 1; i < mv->n_in; i++) {
        in[i] = mv->in[i];
        if (in[i] && !pln_value_is_const(in[i]))
            return pln_match_refuse(m, "'%s' is not constant", in[i]->name);
    }
    in[0] = d->in[0];
    pln_node *moved = pln_patch_copy(p, mv, in, mv->n_in);
    pln_value *to[3] = { moved ? moved->out[0] : NULL, scale_of(d), pln_zero_point(d) };
    pln_node *n = moved ? pln_patch_copy(p, d, to, d->n_in) : NULL;
    if (!n)
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], n->out[0]);
    return PLN_OK;
}

/* ---- bytes instead of floats ------------------------------------------------------ */

static bool dequantizes_bytes(const pln_node *n)
{
    return n && pln_node_is(n, "DequantizeLinear") && pln_is_byte(n->in[0]) &&
           has_one_scale(n) && n->out[0]->type.dtype == PLN_DT_F32 &&
           scale_of(n)->type.dtype == PLN_DT_F32;
}

static bool quantizes_to_bytes(const pln_node *n)
{
    return pln_is_byte(n->out[0]) && has_one_scale(n) &&
           n->in[0]->type.dtype == PLN_DT_F32 && scale_of(n)->type.dtype == PLN_DT_F32 &&
           !pln_node_get_int(n, "precision", 0);
}

/* A product that can give bytes itself, to this user alone. */
static bool is_product(const pln_node *n)
{
    static const char *const ops[] = { "MatMul", "Gemm", "Conv" };
    static const char *const own[] = { "FusedMatMul", "FusedGemm", "FusedConv" };
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
        if (pln_node_is(n, ops[i]) || pln_node_is_in(n, "planish", own[i]))
            return true;
    return false;
}

static bool is_pair(const pln_node *n)
{
    return (pln_node_is(n, "Add") || pln_node_is(n, "Sub") || pln_node_is(n, "Mul")) &&
           dequantizes_bytes(n->in[0]->def) && dequantizes_bytes(n->in[1]->def);
}

/* What is quantized behind it goes to bytes at once. */
static bool may_give_bytes(const pln_value *v)
{
    const pln_node *n = v->def;
    return n && (dequantizes_bytes(n) ||
                 (pln_value_is_single_use(v) && (is_product(n) || is_pair(n))));
}

/* The quantizer like q of another value. */
static pln_value *quantized(pln_patch *p, const pln_node *q, pln_value *x)
{
    pln_value *in[3] = { x, scale_of(q), pln_zero_point(q) };
    pln_node *n = pln_patch_copy(p, q, in, q->n_in);
    return n ? n->out[0] : NULL;
}

/* Pass byte-table makes one node of all in a file; at target ort bytes that stand between
 * gain nothing from another order. */
static bool gains_nothing(const pln_match *m, const path *t, const pln_value *from)
{
    bool clamps = !m->ctx->options->session && dequantizes_bytes(from->def);
    if (m->ctx->options->target == PLN_TARGET_ORT)
        return clamps;
    for (int i = 0; i < t->n; i++)
        clamps &= is_clamp(t->mv[i]);
    return clamps;
}

/* Quantizing is monotonic and by element: it may as well be done before the moves. */
static pln_status early(pln_match *m, pln_patch *p)
{
    path t = { .n = 0 };
    pln_value *from = m->root->in[0];
    if (!quantizes_to_bytes(m->root) || !are_harmless(scale_of(m->root), PLN_DT_U8))
        return pln_match_refuse(m, "its scale is not one known number");
    for (; !may_give_bytes(from); from = from->def->in[0])
        PLN_TRY(take_move(m, &t, from));
    if (!t.n)
        return pln_match_refuse(m, "nothing is between");
    if (gains_nothing(m, &t, from))
        return pln_match_refuse(m, "it gains nothing");
    return move_along(m, p, &t, quantized(p, m->root, from));
}

static pln_status early_concat(pln_match *m, pln_patch *p)
{
    const pln_node *c = pln_match_node(m, "c");
    pln_value *in[MAX_IN];
    if (c->n_in > MAX_IN || !quantizes_to_bytes(m->root))
        return pln_match_refuse(m, "its scale is not one number");
    for (uint32_t i = 0; i < c->n_in; i++)
        if (!c->in[i] || !may_give_bytes(c->in[i]))
            return pln_match_refuse(m, "input %u is no dequantized tensor of bytes", i);
    for (uint32_t i = 0; i < c->n_in; i++) {
        in[i] = quantized(p, m->root, c->in[i]);
        if (!in[i])
            return PLN_E_NOMEM;
    }
    pln_node *n = pln_patch_copy(p, c, in, c->n_in);
    if (!n)
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], n->out[0]);
    return PLN_OK;
}

/* Bytes of several scales, put together in one. */
static pln_status byte_concat(pln_match *m, pln_patch *p)
{
    const pln_node *c = pln_match_node(m, "c"), *q = m->root;
    pln_value *in[MAX_IN] = { scale_of(q), pln_zero_point(q) };
    uint32_t n_in = 2;
    if (!quantizes_to_bytes(q) || !in[1] || c->n_in > (MAX_IN - 2) / 3)
        return pln_match_refuse(m,
                                "its scale is not one number, or it has no zero point");
    for (uint32_t i = 0; i < c->n_in; i++) {
        const pln_node *d = c->in[i]->def;
        if (!dequantizes_bytes(d) || !pln_zero_point(d))
            return pln_match_refuse(m, "input %u is not dequantized from such bytes", i);
        in[n_in++] = d->in[0];
        in[n_in++] = scale_of(d);
        in[n_in++] = pln_zero_point(d);
    }
    pln_node *n = pln_patch_add_in(p, "planish", "QConcat", in, n_in, 1);
    if (!n || pln_node_set_int(n, "axis", pln_node_get_int(c, "axis", 0)) != PLN_OK)
        return PLN_E_NOMEM;
    pln_patch_replace(p, q->out[0], n->out[0]);
    return PLN_OK;
}

static pln_status late(pln_match *m, pln_patch *p)
{
    const pln_node *d = pln_match_node(m, "d"), *mv = m->root;
    if (!dequantizes_bytes(d) || pln_value_is_const(d->in[0]) || mv->n_in > MAX_IN ||
        !moves_integers(m->ctx, mv, d->in[0]->type.dtype) ||
        pln_node_has_other_outputs(mv) || !are_harmless(scale_of(d), PLN_DT_U8))
        return pln_match_refuse(m, "it does not move bytes alone");
    pln_value *in[3] = { moved(m, p, mv, d->in[0]), scale_of(d), pln_zero_point(d) };
    pln_node *n = in[0] ? pln_patch_copy(p, d, in, d->n_in) : NULL;
    if (!n)
        return PLN_E_NOMEM;
    pln_patch_replace(p, mv->out[0], n->out[0]);
    return PLN_OK;
}

/* Sums and products between dequantizers and a quantizer. */
static pln_status pair(pln_match *m, pln_patch *p)
{
    const pln_node *op = pln_match_node(m, "op"), *q = m->root;
    const pln_node *a = op->in[0]->def, *b = op->in[1]->def;
    const char *name = pln_node_is(op, "Add")   ? "QAdd"
                       : pln_node_is(op, "Sub") ? "QSub"
                                                : "QMul";
    if (!is_pair(op) || !quantizes_to_bytes(q))
        return pln_match_refuse(m, "it is not between bytes of one scale each");
    if (q->out[0]->type.dtype == PLN_DT_S8 && !pln_zero_point(q))
        return pln_match_refuse(m, "its type is not that of a zero point");
    pln_value *in[8] = { a->in[0],    scale_of(a),      pln_zero_point(a),
                         b->in[0],    scale_of(b),      pln_zero_point(b),
                         scale_of(q), pln_zero_point(q) };
    pln_node *n = pln_patch_add_in(p, "planish", name, in, in[7] ? 8 : 7, 1);
    if (!n)
        return PLN_E_NOMEM;
    pln_patch_replace(p, q->out[0], n->out[0]);
    return PLN_OK;
}

#define MOVED(ops) "QuantizeLinear(" ops "!(...), ...)"

static const pln_rule rules[] = {
    { .name = "there-and-back",
      .match = "QuantizeLinear(d=DequantizeLinear(...), ...)",
      .build = back_again },
    { .name = "integer-move",
      .match = MOVED("Reshape|Transpose|Squeeze|Unsqueeze|Flatten|Slice|Gather|"
                     "GatherElements|GatherND|Expand|Tile|Identity"),
      .build = move },
    { .name = "integer-move",
      .match = MOVED("ReverseSequence|Compress|DepthToSpace|SpaceToDepth|MaxPool|Pad|"
                     "ReduceMax|ReduceMin|Resize|Relu|Clip"),
      .build = move },
    { .name = "integer-concat",
      .match = "QuantizeLinear(c=Concat!(...), ...)",
      .build = concat },
    { .name = "integer-pick",
      .match = "QuantizeLinear(n=Where|Max|Min!(...), ...)",
      .build = pick,
      .opset = 12 },
    { .name = "integer-place",
      .match = "ArgMax|ArgMin(d=DequantizeLinear(...))",
      .build = place,
      .opset = 12 },
    { .name = "integer-split",
      .match = "Split(d=DequantizeLinear(...), ...)",
      .build = split },
    { .name = "saturates",
      .match = "QuantizeLinear(r=Relu|Clip!(x, ...), ...)",
      .build = saturate },
    { .name = "narrow-table",
      .match = "Gather(d=DequantizeLinear(w#, s#, z?#), i)",
      .build = table },
    { .name = "narrow-table", .match = "Gather(c=Cast(w#), i)", .build = cast_table },
    { .name = "moved-constant",
      .match = "Reshape|Squeeze|Unsqueeze|Flatten|Slice|Transpose(d=DequantizeLinear!(w#,"
               " s#, z?#), ...)",
      .build = constant },
};

const pln_pass pln_pass_qdq = {
    .name = "qdq",
    .brief = "quantizers and dequantizers that the integers between do not need",
    PLN_RULES(rules),
};

/* What costs a runtime that has no kernels for bytes more than it saves. */
static const pln_rule byte_rules[] = {
    { .name = "weights-second",
      .match = "n=Gemm<alpha=1.0>(v=DequantizeLinear(w#, ...), u=DequantizeLinear(a, "
               "...))",
      .where = "not const(a)",
      .replace = "Transpose<perm = [1, 0]>(Gemm<transA = 1 - n.transB, transB = 1 - "
                 "n.transA>"
                 "(u, v))",
      .contract = PLN_REASSOC,
      .target = PLN_TARGET_ORT },
    { .name = "byte-pair",
      .match = "QuantizeLinear(op=Add|Sub|Mul!(a, b), ...)",
      .build = pair,
      .target = PLN_TARGET_PLANISH },
    { .name = "byte-concat",
      .match = "QuantizeLinear(c=Concat!(...), ...)",
      .build = byte_concat,
      .target = PLN_TARGET_PLANISH },
    { .name = "early-quantizer",
      .match = "QuantizeLinear(x, ...)",
      .build = early,
      .target = PLN_TARGET_ORT },
    { .name = "early-quantizer",
      .match = "QuantizeLinear(c=Concat!(...), ...)",
      .build = early_concat,
      .target = PLN_TARGET_PLANISH },
    { .name = "late-dequantizer",
      .match = "Reshape|Transpose|Squeeze|Unsqueeze|Flatten|MaxPool|Slice|Gather"
               "(d=DequantizeLinear!(...), ...)",
      .build = late,
      .target = PLN_TARGET_ORT },
};

const pln_pass pln_pass_lower_bytes = {
    .name = "lower-bytes",
    .brief = "what lies between quantizers works on bytes",
    PLN_RULES(byte_rules),
};
