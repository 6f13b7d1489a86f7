/* noop: removes nodes that give back what they were given, and pairs that cancel.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/known.h"

#include <math.h>
#include <string.h>

static pln_value *out_of(const pln_match *m)
{
    return m->root->out[0];
}

/* Where the pattern alone says that nothing changes. */
static pln_status give_x(pln_match *m, pln_patch *p)
{
    pln_patch_replace_proven(p, out_of(m), pln_match_val(m, "x"));
    return PLN_OK;
}

static pln_status is_same_type(pln_match *m)
{
    if (!pln_value_same_type(out_of(m), pln_match_val(m, "x")))
        return pln_match_refuse(m, "type or shape may change");
    return PLN_OK;
}

/* ---- dropout, cast -------------------------------------------------------------- */

static pln_status is_inference(pln_match *m)
{
    const pln_value *t = pln_match_val(m, "training"), *rate = pln_match_val(m, "ratio");
    double on = 0, off = 0;
    const bool trains = t && (!pln_value_is_splat(t, &on) || on != 0);
    if (trains && (!rate || !pln_value_is_splat(rate, &off) || off != 0))
        return pln_match_refuse(m, "may be in training mode");
    if (pln_node_has_other_outputs(m->root))
        return pln_match_refuse(m, "its mask is used");
    return PLN_OK;
}

static pln_status is_cast_to_same(pln_match *m)
{
    const pln_type *a = &pln_match_val(m, "x")->type, *b = &out_of(m)->type;
    if (a->kind != PLN_KIND_TENSOR || a->dtype == PLN_DT_NONE || a->dtype != b->dtype)
        return pln_match_refuse(m, "another element type");
    return PLN_OK;
}

/* Every value of `from` survives in `to`. */
static bool is_widening(pln_dtype from, pln_dtype to)
{
    static const struct {
        pln_dtype from, to;
    } pairs[] = {
        { PLN_DT_F16, PLN_DT_F32 },  { PLN_DT_F16, PLN_DT_F64 },
        { PLN_DT_BF16, PLN_DT_F32 }, { PLN_DT_BF16, PLN_DT_F64 },
        { PLN_DT_F32, PLN_DT_F64 },  { PLN_DT_S8, PLN_DT_S16 },
        { PLN_DT_S8, PLN_DT_S32 },   { PLN_DT_S8, PLN_DT_S64 },
        { PLN_DT_S16, PLN_DT_S32 },  { PLN_DT_S16, PLN_DT_S64 },
        { PLN_DT_S32, PLN_DT_S64 },  { PLN_DT_U8, PLN_DT_S16 },
        { PLN_DT_U8, PLN_DT_S32 },   { PLN_DT_U8, PLN_DT_S64 },
        { PLN_DT_U8, PLN_DT_U16 },   { PLN_DT_U8, PLN_DT_U32 },
        { PLN_DT_U8, PLN_DT_U64 },   { PLN_DT_U16, PLN_DT_S32 },
        { PLN_DT_U16, PLN_DT_S64 },  { PLN_DT_U16, PLN_DT_U32 },
        { PLN_DT_U32, PLN_DT_S64 },  { PLN_DT_U32, PLN_DT_U64 },
        { PLN_DT_S32, PLN_DT_F64 },  { PLN_DT_BOOL, PLN_DT_S32 },
        { PLN_DT_BOOL, PLN_DT_S64 }, { PLN_DT_BOOL, PLN_DT_F32 },
        { PLN_DT_BOOL, PLN_DT_U8 },
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        if (pairs[i].from == from && pairs[i].to == to)
            return true;
    return false;
}

static pln_status is_cast_and_back(pln_match *m)
{
    const pln_value *x = pln_match_val(m, "x"), *wide = pln_match_val(m, "wide");
    if (x->type.dtype != out_of(m)->type.dtype || x->type.dtype == PLN_DT_NONE)
        return pln_match_refuse(m, "does not come back to the same element type");
    if (!is_widening(x->type.dtype, wide->type.dtype))
        return pln_match_refuse(m, "the type between loses values");
    return PLN_OK;
}

/* ---- transpose, reshape --------------------------------------------------------- */

static pln_status is_identity_transpose(pln_match *m)
{
    int64_t perm[PLN_MAX_RANK];
    int rank;
    if (!pln_perm_of(m->root, perm, &rank) || !pln_perm_is_identity(perm, rank))
        return pln_match_refuse(m, "moves something");
    return PLN_OK;
}

static pln_status one_transpose(pln_match *m, pln_patch *p)
{
    int64_t a[PLN_MAX_RANK], b[PLN_MAX_RANK], both[PLN_MAX_RANK];
    int ra, rb;
    pln_value *x = pln_match_val(m, "x");
    if (!pln_perm_of(pln_match_node(m, "inner"), a, &ra) ||
        !pln_perm_of(m->root, b, &rb) || ra != rb)
        return pln_match_refuse(m, "rank not known");
    for (int i = 0; i < ra; i++)
        both[i] = a[b[i]];
    if (pln_perm_is_identity(both, ra)) {
        pln_patch_replace_proven(p, out_of(m), x);
        return PLN_OK;
    }
    pln_node *n = pln_patch_add(p, "Transpose", &x, 1, 1);
    if (!n || pln_node_set_ints(n, "perm", both, (size_t)ra) != PLN_OK)
        return PLN_E_NOMEM;
    pln_patch_replace(p, out_of(m), n->out[0]);
    return PLN_OK;
}

/* The outer shape stands for itself unless it copies dimensions of what the inner one
 * gave (a 0 without allowzero). */
static pln_status is_free_of_zeros(pln_match *m)
{
    int64_t v[PLN_MAX_RANK];
    size_t n;
    if (!pln_value_get_ints(pln_match_val(m, "s"), v, PLN_MAX_RANK, &n))
        return pln_match_refuse(m, "shape too long");
    for (size_t i = 0; i < n; i++)
        if (v[i] == 0)
            return pln_match_refuse(m, "its shape copies a dimension");
    return PLN_OK;
}

static pln_status reshape_x(pln_match *m, pln_patch *p)
{
    pln_value *in[2] = { pln_match_val(m, "x"), pln_match_val(m, "s") };
    pln_node *n = pln_patch_copy(p, m->root, in, 2);
    pln_patch_replace(p, out_of(m), n ? n->out[0] : NULL);
    return PLN_OK;
}

/* Axes of a Squeeze count in its input, those of an Unsqueeze in its output: here these
 * have the same rank. */
static pln_status are_same_axes(pln_match *m)
{
    int64_t a[PLN_MAX_RANK], b[PLN_MAX_RANK];
    size_t na, nb;
    const bool ends_wide = pln_node_is(m->root, "Unsqueeze");
    const pln_value *wide = ends_wide ? out_of(m) : pln_match_val(m, "inner");
    const int rank = pln_value_rank(wide);
    if (!pln_axes_of(pln_match_val(m, "a"), rank, a, &na) ||
        !pln_axes_of(pln_match_val(m, "b"), rank, b, &nb))
        return pln_match_refuse(m, "axes not known");
    if (na != nb || memcmp(a, b, na * sizeof a[0]) != 0)
        return pln_match_refuse(m, "other axes");
    return PLN_OK;
}

/* ---- arithmetic ----------------------------------------------------------------- */

static pln_status is_neutral_one(pln_match *m)
{
    double v;
    if (!pln_value_is_uniform(pln_match_val(m, "c"), &v) || v != 1)
        return pln_match_refuse(m, "not 1");
    return is_same_type(m);
}

static pln_status is_zero(pln_match *m, double *v)
{
    if (!pln_value_is_uniform(pln_match_val(m, "c"), v) || *v != 0)
        return pln_match_refuse(m, "not 0");
    return is_same_type(m);
}

/* -0 + 0 is +0, so that only -0 is neutral for floats. */
static pln_status is_neutral_addend(pln_match *m)
{
    double v;
    PLN_TRY(is_zero(m, &v));
    const bool is_float = pln_dtype_is_float(pln_match_val(m, "c")->type.dtype);
    if (is_float && !signbit(v) != pln_node_is(m->root, "Sub"))
        return pln_match_refuse(m, "turns -0 into 0");
    return PLN_OK;
}

/* Where nothing but the sign of a zero in a result could differ. */
static pln_status is_nearly_neutral(pln_match *m)
{
    double v;
    PLN_TRY(is_zero(m, &v));
    if (pln_value_shows_zero_sign(out_of(m)))
        return pln_match_refuse(m, "turns -0 into 0, and something may divide by that");
    return PLN_OK;
}

/* Relu leaves -0 as it is. */
static pln_status hides_zero_sign(pln_match *m)
{
    if (pln_value_shows_zero_sign(out_of(m)))
        return pln_match_refuse(m, "leaves -0, and something may divide by that");
    return PLN_OK;
}

/* ---- pads, slices, tiles -------------------------------------------------------- */

static pln_status is_splat_of(pln_match *m, const char *name, double want)
{
    double v;
    const pln_value *c = pln_match_val(m, name);
    if (pln_value_count(c) == 0)
        return PLN_OK;
    if (!pln_value_is_splat(c, &v) || v != want)
        return pln_match_refuse(m, "'%s' is not all %g", c->name, want);
    return PLN_OK;
}

static pln_status is_unpadded(pln_match *m)
{
    return is_splat_of(m, "p", 0);
}

static pln_status is_tiled_once(pln_match *m)
{
    return is_splat_of(m, "r", 1);
}

/* Same sizes with steps of 1 leave no room for another start. */
static pln_status is_whole_slice(pln_match *m)
{
    if (pln_match_val(m, "steps"))
        PLN_TRY(is_splat_of(m, "steps", 1));
    return is_same_type(m);
}

static pln_status has_one_output(pln_match *m)
{
    if (m->root->n_out != 1)
        return pln_match_refuse(m, "splits");
    return is_same_type(m);
}

/* ---- other single nodes ---------------------------------------------------------- */

/* By scales of 1 or, where these are absent, by sizes that are the input's. */
static pln_status is_unscaled(pln_match *m)
{
    const char *mode = pln_node_get_string(m->root, "coordinate_transformation_mode", "");
    if (!strcmp(mode, "tf_crop_and_resize"))
        return pln_match_refuse(m, "crops");
    const pln_value *scales = pln_match_val(m, "scales");
    if (scales && pln_value_count(scales) != 0)
        PLN_TRY(is_splat_of(m, "scales", 1));
    return is_same_type(m);
}

/* Same sizes, and each result from one element. */
static pln_status reduces_nothing(pln_match *m)
{
    const pln_value *x = pln_match_val(m, "x");
    const int rank = pln_value_rank(x);
    int64_t axes[PLN_MAX_RANK];
    size_t n = 0;
    const pln_value *a = pln_match_val(m, "a");
    if (rank < 0 || (a && !pln_axes_of(a, rank, axes, &n)))
        return pln_match_refuse(m, "axes not known");
    for (size_t i = 0; i < (n ? n : (size_t)rank); i++)
        if (!pln_dim_is(x->type.shape.dims[n ? axes[i] : (int64_t)i], 1) &&
            !(n == 0 && pln_node_get_int(m->root, "noop_with_empty_axes", 0)))
            return pln_match_refuse(m, "reduces an axis");
    return is_same_type(m);
}

static pln_status is_window_of_one(pln_match *m)
{
    const pln_attr *k = pln_node_find_attr(m->root, "kernel_shape");
    const pln_attr *pads = pln_node_find_attr(m->root, "pads");
    for (size_t i = 0; k && i < k->n; i++)
        if (k->ints[i] != 1)
            return pln_match_refuse(m, "its window is larger");
    for (size_t i = 0; pads && i < pads->n; i++)
        if (pads->ints[i])
            return pln_match_refuse(m, "it pads");
    return is_same_type(m);
}

static pln_status is_block_of_one(pln_match *m)
{
    if (pln_node_get_int(m->root, "blocksize", 0) != 1)
        return pln_match_refuse(m, "larger blocks");
    return is_same_type(m);
}

/* Rows 0, 1, .. of the data, all of them, are overwritten. */
/* 0, 1, 2 ... n - 1 as indices of rows, computed or constant. */
static bool are_all_rows(const pln_value *i, pln_dim n)
{
    double from, step;
    const pln_node *u = i->def, *r = u ? u->in[0]->def : NULL;
    const pln_tensor *t = pln_value_contents(i);
    if (!t)
        return u && (pln_node_is(u, "Unsqueeze") || pln_node_is(u, "Reshape")) && r &&
               pln_node_is(r, "Range") && pln_value_is_splat(r->in[0], &from) &&
               from == 0 && pln_value_is_splat(r->in[2], &step) && step == 1 &&
               pln_value_rank(i) == 2 && pln_dim_is(i->type.shape.dims[1], 1) &&
               !pln_dim_is_unknown(n) && pln_dim_equal(i->type.shape.dims[0], n);
    if (t->rank < 1 || t->dims[t->rank - 1] != 1 || !pln_dim_is(n, pln_tensor_size(t)))
        return false;
    for (int64_t k = 0; k < pln_tensor_size(t); k++)
        if (pln_tensor_get_i64(t, k) != k)
            return false;
    return true;
}

static pln_status overwrites_all(pln_match *m)
{
    const pln_value *data = pln_match_val(m, "data");
    if (strcmp(pln_node_get_string(m->root, "reduction", "none"), "none"))
        return pln_match_refuse(m, "combines");
    if (pln_value_rank(data) < 1 || !pln_value_same_type(data, pln_match_val(m, "x")) ||
        !are_all_rows(pln_match_val(m, "i"), data->type.shape.dims[0]))
        return pln_match_refuse(m, "not all rows in order");
    return PLN_OK;
}

/* Each element goes to its own place. */
static pln_status overwrites_each(pln_match *m)
{
    const pln_value *data = pln_match_val(m, "data");
    const pln_tensor *t = pln_value_contents(pln_match_val(m, "i"));
    const int rank = pln_value_rank(data);
    int64_t axis = pln_node_get_int(m->root, "axis", 0), below = 1;
    if (strcmp(pln_node_get_string(m->root, "reduction", "none"), "none"))
        return pln_match_refuse(m, "combines");
    if (!t || rank < 1 || !pln_value_same_type(data, pln_match_val(m, "x")) ||
        t->rank != rank || axis < -rank || axis >= rank)
        return pln_match_refuse(m, "not all elements");
    axis += axis < 0 ? rank : 0;
    for (int k = 0; k < rank; k++) {
        below *= k > axis ? t->dims[k] : 1;
        if (!pln_dim_is(data->type.shape.dims[k], t->dims[k]))
            return pln_match_refuse(m, "not all elements");
    }
    for (int64_t k = 0; k < pln_tensor_size(t); k++)
        if (pln_tensor_get_i64(t, k) != k / below % t->dims[axis])
            return pln_match_refuse(m, "elements change their places");
    return PLN_OK;
}

static pln_status writes_nothing(pln_match *m)
{
    if (pln_value_count(pln_match_val(m, "u")) != 0)
        return pln_match_refuse(m, "there is something to write");
    return PLN_OK;
}

static pln_status is_integral(pln_match *m)
{
    if (!pln_value_is_integral(pln_match_val(m, "x")))
        return pln_match_refuse(m, "its input may have fractions");
    return is_same_type(m);
}

static pln_status is_positive_or_zero(pln_match *m)
{
    if (!pln_value_is_positive_or_zero(pln_match_val(m, "x")))
        return pln_match_refuse(m, "its input may be negative");
    return is_same_type(m);
}

/* No more sizes than the input has, each 1 or as it is there. */
static pln_status expands_by_ones(pln_match *m)
{
    const pln_value *x = pln_match_val(m, "x");
    const int rank = pln_value_rank(x);
    int64_t to[PLN_MAX_RANK];
    size_t n;
    bool same = pln_value_get_ints(pln_match_val(m, "s"), to, PLN_MAX_RANK, &n) && rank >= (int)n;
    for (size_t i = 0; same && i < n; i++)
        same = to[i] == 1 || pln_dim_is(x->type.shape.dims[(size_t)rank - n + i], to[i]);
    return same ? PLN_OK : pln_match_refuse(m, "may become larger");
}

/* ---- recurrent states ------------------------------------------------------------- */

static bool is_plain_zero(const pln_value *v)
{
    double x;
    return v && pln_value_is_uniform(v, &x) && x == 0 && !signbit(x);
}

/* A state that begins with zeros is one that is absent. */
static pln_status without_zero_state(pln_match *m, pln_patch *p)
{
    pln_value *in[8] = { NULL };
    bool dropped = false;
    for (uint32_t i = 0; i < m->root->n_in && i < 8; i++) {
        const bool zero = (i == 5 || i == 6) && is_plain_zero(m->root->in[i]);
        in[i] = zero ? NULL : m->root->in[i];
        dropped |= zero;
    }
    if (!dropped)
        return pln_match_refuse(m, "no state that is known to be 0");
    pln_node *n = pln_patch_copy(p, m->root, in, m->root->n_in);
    for (uint32_t i = 0; n && i < m->root->n_out; i++)
        if (m->root->out[i])
            pln_patch_replace(p, m->root->out[i], n->out[i]);
    return PLN_OK;
}

/* ---- broadcasts ----------------------------------------------------------------- */

/* Repeats only axes of size 1, if that keeps the rank. */
static bool only_broadcasts(const pln_node *n)
{
    int64_t r[PLN_MAX_RANK];
    size_t count;
    const pln_shape s = n->in[0]->type.shape;
    if (!pln_node_is(n, "Tile"))
        return true;
    const bool known = pln_value_get_ints(n->in[1], r, PLN_MAX_RANK, &count);
    for (int i = 0; i < s.rank; i++)
        if (!pln_dim_is(s.dims[i], 1) && !(known && count == (size_t)s.rank && r[i] == 1))
            return false;
    return s.rank >= 0;
}

/* A product sums over an axis, which has to be there. */
static bool sums_over_more(const pln_node *product, const pln_node *e)
{
    if (!pln_node_is(product, "MatMul"))
        return false;
    const pln_shape x = e->in[0]->type.shape, y = e->out[0]->type.shape;
    const int back = product->in[0] == e->out[0] ? 1 : 2;
    return x.rank < 2 || y.rank < 2 ||
           !pln_dim_equal(x.dims[x.rank - back], y.dims[y.rank - back]) ||
           product->in[0] == product->in[1];
}

/* x times ones of a larger shape. */
static pln_status expand_by_ones(pln_match *m, pln_patch *p)
{
    const pln_tensor *c = pln_match_val(m, "c")->cst;
    if (pln_value_rank(pln_match_val(m, "x")) < 0 || pln_tensor_size(c) < 2)
        return pln_match_refuse(m, "not certain to make it larger");
    pln_value *to = pln_patch_ints(p, c->dims, (size_t)c->rank, "shape");
    pln_value *y = to ? pln_patch_op2(p, "Expand", pln_match_val(m, "x"), to) : NULL;
    pln_patch_replace(p, out_of(m), y);
    return PLN_OK;
}

static pln_status without_expand(pln_match *m, pln_patch *p)
{
    pln_value *in[3];
    pln_node *e = pln_match_node(m, "e");
    if (!only_broadcasts(e) || m->root->n_in > 3 || sums_over_more(m->root, e))
        return pln_match_refuse(m, "it repeats more than one element");
    for (uint32_t i = 0; i < m->root->n_in; i++)
        in[i] = m->root->in[i] == e->out[0] ? e->in[0] : m->root->in[i];
    pln_node *n = pln_patch_copy(p, m->root, in, m->root->n_in);
    if (!pln_patch_gives_type_of(p, n, out_of(m)))
        return pln_match_refuse(m, "the expansion makes the result larger");
    pln_patch_replace(p, out_of(m), n->out[0]);
    return PLN_OK;
}

static pln_status choose_branch(pln_match *m, pln_patch *p)
{
    double v;
    if (!pln_value_is_splat(pln_match_val(m, "c"), &v))
        return pln_match_refuse(m, "the condition varies");
    pln_value *x = pln_match_val(m, v != 0 ? "a" : "b");
    if (!pln_value_same_type(out_of(m), x))
        return pln_match_refuse(m, "shape may change");
    pln_patch_replace(p, out_of(m), x);
    return PLN_OK;
}

#define BROADCASTS                                                                       \
    "Add|Sub|Mul|Div|Max|Min|Pow|Equal|Less|Greater|LessOrEqual|GreaterOrEqual|And|Or|"  \
    "Xor|MatMul"

static const pln_rule rules[] = {
    { .name = "identity", .match = "Identity(x)", .build = give_x },
    { .name = "dropout",
      .match = "Dropout(x, ratio?, training?)",
      .check = is_inference,
      .build = give_x },
    { .name = "cast-same",
      .match = "Cast|CastLike(x, ...)",
      .check = is_cast_to_same,
      .build = give_x },
    { .name = "cast-and-back",
      .match = "Cast(wide=Cast(x))",
      .check = is_cast_and_back,
      .build = give_x },
    { .name = "transpose-identity",
      .match = "Transpose(x)",
      .check = is_identity_transpose,
      .build = give_x },
    { .name = "transpose-transpose",
      .match = "Transpose(inner=Transpose(x))",
      .build = one_transpose },
    { .name = "reshape-same",
      .match = "Reshape|Flatten|Expand|Squeeze|Unsqueeze(x, ...)",
      .check = is_same_type,
      .build = give_x },
    { .name = "reshape-reshape",
      .match = "Reshape(inner=Reshape|Flatten|Squeeze|Unsqueeze(x, ...), s#)",
      .check = is_free_of_zeros,
      .build = reshape_x },
    { .name = "squeeze-unsqueeze",
      .match = "Unsqueeze(inner=Squeeze(x, a#), b#)",
      .check = are_same_axes,
      .build = give_x },
    { .name = "unsqueeze-squeeze",
      .match = "Squeeze(inner=Unsqueeze(x, a#), b#)",
      .check = are_same_axes,
      .build = give_x },
    { .name = "mul-one", .match = "Mul(x, c)", .check = is_neutral_one, .build = give_x },
    { .name = "mul-one", .match = "Mul(c, x)", .check = is_neutral_one, .build = give_x },
    { .name = "div-one",
      .match = "Div|Pow(x, c)",
      .check = is_neutral_one,
      .build = give_x },
    { .name = "add-zero",
      .match = "Add(x, c)",
      .check = is_neutral_addend,
      .build = give_x },
    { .name = "add-zero",
      .match = "Add(c, x)",
      .check = is_neutral_addend,
      .build = give_x },
    { .name = "sub-zero",
      .match = "Sub(x, c)",
      .check = is_neutral_addend,
      .build = give_x },
    { .name = "plus-zero",
      .match = "Add(x, c)",
      .check = is_nearly_neutral,
      .build = give_x,
      .contract = PLN_REASSOC },
    { .name = "plus-zero",
      .match = "Add(c, x)",
      .check = is_nearly_neutral,
      .build = give_x,
      .contract = PLN_REASSOC },
    { .name = "minus-zero",
      .match = "Sub(x, c)",
      .check = is_nearly_neutral,
      .build = give_x,
      .contract = PLN_REASSOC },
    { .name = "pad-zero",
      .match = "Pad(x, p#, ...)",
      .check = is_unpadded,
      .build = give_x },
    { .name = "slice-whole",
      .match = "Slice(x, starts, ends, axes?, steps?)",
      .check = is_whole_slice,
      .build = give_x },
    { .name = "concat-one", .match = "Concat|Sum|Max|Min|Mean(x)", .build = give_x },
    { .name = "split-one",
      .match = "Split(x, ...)",
      .check = has_one_output,
      .build = give_x },
    { .name = "tile-one",
      .match = "Tile(x, r#)",
      .check = is_tiled_once,
      .build = give_x },
    { .name = "expand-ones",
      .match = "Expand(x, s#)",
      .check = expands_by_ones,
      .build = give_x },
    { .name = "resize-same",
      .match = "Resize(x, roi?, scales?#, sizes?)",
      .check = is_unscaled,
      .build = give_x },
    { .name = "reduce-one",
      .match = "ReduceMax|ReduceMin(x, a?)",
      .check = reduces_nothing,
      .build = give_x },
    { .name = "sum-one", /* a sum begins with 0, which -0 does not survive */
      .match = "ReduceMean|ReduceSum|ReduceProd(x, a?)",
      .check = reduces_nothing,
      .build = give_x,
      .contract = PLN_REASSOC },
    { .name = "pool-one",
      .match = "AveragePool(x)",
      .check = is_window_of_one,
      .build = give_x,
      .contract = PLN_REASSOC },
    { .name = "pool-pixel",
      .match = "GlobalAveragePool(x)",
      .check = is_same_type,
      .build = give_x,
      .contract = PLN_REASSOC },
    { .name = "block-one",
      .match = "DepthToSpace|SpaceToDepth(x)",
      .check = is_block_of_one,
      .build = give_x },
    { .name = "scatter-all",
      .match = "ScatterND(data, i, x)",
      .check = overwrites_all,
      .build = give_x },
    { .name = "scatter-all",
      .match = "ScatterElements(data, i#, x)",
      .check = overwrites_each,
      .build = give_x },
    { .name = "scatter-nothing",
      .match = "ScatterND|ScatterElements(x, _, u)",
      .check = writes_nothing,
      .build = give_x },
    { .name = "relu-relu", .match = "Relu(x=Relu(_))", .build = give_x },
    { .name = "positive",
      .match = "Relu|Abs(x)",
      .check = is_positive_or_zero,
      .build = give_x },
    { .name = "integral",
      .match = "Ceil|Floor|Round(x)",
      .check = is_integral,
      .build = give_x },
    { .name = "sign-sign", .match = "Sign(x=Sign(_))", .build = give_x },
    { .name = "same-twice", .match = "Max|Min|And|Or(x, x)", .build = give_x },
    { .name = "abs-positive",
      .match = "Abs(x=Relu(_))",
      .check = hides_zero_sign,
      .build = give_x,
      .contract = PLN_REASSOC },
    { .name = "where-same",
      .match = "Where(c, x, x)",
      .check = is_same_type,
      .build = give_x },
    { .name = "clip-none", .match = "Clip(x)", .build = give_x },
    { .name = "twice", .match = "Neg(Neg(x))", .build = give_x },
    { .name = "not-not", .match = "Not(Not(x))", .build = give_x },
    { .name = "mul-ones", .match = "Mul~(x, c=1)", .build = expand_by_ones, .opset = 8 },
    { .name = "expand-binary",
      .match = BROADCASTS "(e=Expand|Tile(x, s), y)",
      .build = without_expand },
    { .name = "expand-binary",
      .match = BROADCASTS "(y, e=Expand|Tile(x, s))",
      .build = without_expand },
    { .name = "expand-where",
      .match = "Where(e=Expand|Tile(x, s), y, z)",
      .build = without_expand },
    { .name = "expand-where",
      .match = "Where(y, e=Expand|Tile(x, s), z)",
      .build = without_expand },
    { .name = "expand-where",
      .match = "Where(y, z, e=Expand|Tile(x, s))",
      .build = without_expand },
    { .name = "zero-state",
      .match = "LSTM|GRU|RNN(x, w, r, b?, l?, h?, ...)",
      .build = without_zero_state },
    { .name = "where-constant", .match = "Where(c#, a, b)", .build = choose_branch },
};

const pln_pass pln_pass_noop = {
    .name = "noop",
    .brief = "removes nodes that change nothing, and pairs that cancel",
    PLN_RULES(rules),
};
