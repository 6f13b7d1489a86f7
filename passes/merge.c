/* merge: two nodes that move, convert or arrange elements become one.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/known.h"
#include "src/ir/eval.h"
#include "src/ir/type_since.h"
#include "src/util/size.h"

#include <math.h>
#include <string.h>

#define MAX_EXTREMA 16
#define MAX_ITEMS   64

static pln_value *out_of(const pln_match *m)
{
    return m->root->out[0];
}

/* ---- casts ---------------------------------------------------------------------- */

/* Does every value of `from` survive in `through`? */
static bool keeps_all(pln_dtype from, pln_dtype through)
{
    static const struct {
        uint8_t dt, sign, bits; /* bits of the significand that are certain */
        int16_t exponent;       /* largest power of two that it reaches; 0: an integer */
    } forms[] = { { PLN_DT_BOOL, 0, 1, 0 },   { PLN_DT_U8, 0, 8, 0 },
                  { PLN_DT_U16, 0, 16, 0 },   { PLN_DT_U32, 0, 32, 0 },
                  { PLN_DT_U64, 0, 64, 0 },   { PLN_DT_S8, 1, 7, 0 },
                  { PLN_DT_S16, 1, 15, 0 },   { PLN_DT_S32, 1, 31, 0 },
                  { PLN_DT_S64, 1, 63, 0 },   { PLN_DT_F16, 1, 11, 15 },
                  { PLN_DT_BF16, 1, 8, 127 }, { PLN_DT_F32, 1, 24, 127 },
                  { PLN_DT_F64, 1, 53, 1023 } };
    const size_t n = sizeof forms / sizeof forms[0];
    size_t a = 0, b = 0;
    while (a < n && forms[a].dt != from)
        a++;
    while (b < n && forms[b].dt != through)
        b++;
    if (a == n || b == n || through == PLN_DT_BOOL || forms[a].sign > forms[b].sign)
        return a < n && from == through;
    if (forms[a].exponent && !forms[b].exponent)
        return false;
    return forms[a].bits <= forms[b].bits && forms[a].exponent <= forms[b].exponent;
}

static pln_status cast_once(pln_match *m, pln_patch *p)
{
    pln_value *x = pln_match_val(m, "x");
    const pln_value *mid = pln_match_val(m, "mid");
    const pln_dtype from = x->type.dtype, to = out_of(m)->type.dtype;
    if (from == PLN_DT_NONE || !keeps_all(from, mid->type.dtype))
        return pln_match_refuse(m, "the type between loses values");
    if (from == to) {
        pln_patch_replace_proven(p, out_of(m), x);
        return PLN_OK;
    }
    pln_node *n = pln_patch_add(p, "Cast", &x, 1, 1);
    if (!n || pln_node_set_int(n, "to", pln_node_get_int(m->root, "to", 0)) != PLN_OK)
        return PLN_E_NOMEM;
    pln_patch_replace(p, out_of(m), n->out[0]);
    return PLN_OK;
}

/* Cast(ConstantOfShape<v>(s)) => ConstantOfShape<Cast(v)>(s) */
static pln_status cast_before_made(pln_match *m, pln_patch *p)
{
    pln_value *s = pln_match_val(m, "s");
    const pln_node *c = pln_match_node(m, "c");
    const pln_attr *a = pln_node_find_attr(c, "value");
    pln_tensor *zero = NULL, *to = NULL;
    pln_error local = { .code = PLN_OK };
    const int64_t one = 1;
    const pln_dtype dt = out_of(m)->type.dtype;
    if (dt == PLN_DT_STRING ||
        !pln_pass_allows_opset(m->ctx, pln_type_since("ConstantOfShape", dt)))
        return pln_match_refuse(m, "ConstantOfShape makes no such type");
    if (!a &&
        pln_tensor_make(m->ctx->model->alloc, PLN_DT_F32, 1, &one, &zero, NULL) != PLN_OK)
        return PLN_E_NOMEM;
    if (zero)
        pln_tensor_set_f64(zero, 0, 0);
    pln_tensor *in = a ? a->t : zero;
    const pln_status st = pln_node_eval(m->root, &in, &to, &local);
    pln_tensor_unref(zero);
    if (st != PLN_OK)
        return st == PLN_E_NOMEM ? st : pln_match_refuse(m, "%s", local.text);
    pln_node *n = pln_patch_add(p, "ConstantOfShape", &s, 1, 1);
    const bool ok = n && pln_node_set_tensor(n, "value", to) == PLN_OK;
    pln_tensor_unref(to);
    pln_patch_replace(p, out_of(m), ok ? n->out[0] : NULL);
    return PLN_OK;
}

/* What only moves elements between two casts moves them as they come. */
static pln_status cast_through_move(pln_match *m, pln_patch *p)
{
    pln_value *in[8], *x = pln_match_val(m, "x");
    const pln_node *move = pln_match_node(m, "move");
    const pln_dtype from = x->type.dtype, to = out_of(m)->type.dtype;
    if (from == PLN_DT_NONE || to == PLN_DT_STRING ||
        !keeps_all(from, pln_match_val(m, "mid")->type.dtype) || move->n_in > 8)
        return pln_match_refuse(m, "the type between loses values");
    if (move->n_out != 1)
        return pln_match_refuse(m, "more than one result");
    memcpy(in, move->in, move->n_in * sizeof in[0]);
    in[0] = x;
    pln_node *n = pln_patch_copy(p, move, in, move->n_in);
    pln_value *y = n ? n->out[0] : NULL;
    if (y && from != to) {
        n = pln_patch_add(p, "Cast", &y, 1, 1);
        y = n && pln_node_set_int(n, "to", pln_node_get_int(m->root, "to", 0)) == PLN_OK
                ? n->out[0]
                : NULL;
    }
    pln_patch_replace_proven(p, out_of(m), y);
    return PLN_OK;
}

/* Only the type of the second input matters, and that is known. */
static pln_status cast_to_known(pln_match *m, pln_patch *p)
{
    pln_value *x = pln_match_val(m, "x");
    const pln_dtype to = pln_match_val(m, "like")->type.dtype;
    if (to == PLN_DT_NONE || m->root->n_attrs)
        return pln_match_refuse(m, "its type is not known");
    pln_node *n = pln_patch_add(p, "Cast", &x, 1, 1);
    if (!n || pln_node_set_int(n, "to", (int64_t)to) != PLN_OK)
        return PLN_E_NOMEM;
    pln_patch_replace(p, out_of(m), n->out[0]);
    return PLN_OK;
}

/* ---- selections ----------------------------------------------------------------- */

static pln_status where_swapped(pln_match *m, pln_patch *p)
{
    pln_value *in[3] = { pln_match_val(m, "c"), pln_match_val(m, "b"),
                         pln_match_val(m, "a") };
    pln_node *n = pln_patch_add(p, "Where", in, 3, 1);
    pln_patch_replace(p, out_of(m), n ? n->out[0] : NULL);
    return PLN_OK;
}

static pln_status abs_of_x(pln_match *m, pln_patch *p)
{
    pln_patch_replace(p, out_of(m), pln_patch_op1(p, "Abs", pln_match_val(m, "x")));
    return PLN_OK;
}

static bool has_constant(const pln_node *n)
{
    for (uint32_t i = 0; i < n->n_in; i++)
        if (pln_value_is_const(n->in[i]))
            return true;
    return false;
}

/* Max(Max(a, b), c) is Max(a, b, c): taken in the same order. */
static pln_status one_extremum(pln_match *m, pln_patch *p)
{
    pln_value *in[MAX_EXTREMA];
    const pln_node *y = pln_match_node(m, "y"), *r = m->root;
    if (strcmp(y->op_type, r->op_type) != 0 || y->n_in + r->n_in - 1 > MAX_EXTREMA)
        return pln_match_refuse(m, "one is a Max, one a Min, or too many operands");
    if (has_constant(y) && has_constant(r))
        return pln_match_refuse(m, "their constants become one");
    memcpy(in, y->in, y->n_in * sizeof in[0]);
    memcpy(in + y->n_in, r->in + 1, (r->n_in - 1) * sizeof in[0]);
    pln_node *n = pln_patch_add(p, r->op_type, in, y->n_in + r->n_in - 1, 1);
    pln_patch_replace(p, out_of(m), n ? n->out[0] : NULL);
    return PLN_OK;
}

/* ---- pads ----------------------------------------------------------------------- */

static pln_status constant_of(const pln_node *n, double *v)
{
    const pln_value *c = n->n_in > 2 ? n->in[2] : NULL;
    *v = 0;
    if (strcmp(pln_node_get_string(n, "mode", "constant"), "constant"))
        return PLN_E_UNSUPPORTED;
    return c && !pln_value_is_splat(c, v) ? PLN_E_UNSUPPORTED : PLN_OK;
}

/* Pads of all axes, from those of some. */
static bool pads_of(const pln_node *n, int rank, int64_t *pads)
{
    int64_t v[2 * PLN_MAX_RANK], axes[PLN_MAX_RANK];
    size_t n_pads, n_axes = (size_t)rank;
    for (int i = 0; i < rank; i++)
        axes[i] = i;
    if (rank < 1 || !pln_value_get_ints(n->in[1], v, 2 * PLN_MAX_RANK, &n_pads))
        return false;
    if (n->n_in > 3 && n->in[3] &&
        !pln_value_get_ints(n->in[3], axes, PLN_MAX_RANK, &n_axes))
        return false;
    if (n_pads != 2 * n_axes)
        return false;
    memset(pads, 0, 2 * (size_t)rank * sizeof *pads);
    for (size_t i = 0; i < n_axes; i++) {
        const int64_t a = axes[i] < 0 ? axes[i] + rank : axes[i];
        if (a < 0 || a >= rank)
            return false;
        pads[a] = v[i];
        pads[rank + a] = v[n_axes + i];
    }
    return true;
}

static pln_status one_pad(pln_match *m, pln_patch *p)
{
    const pln_node *inner = pln_match_node(m, "inner");
    pln_value *x = pln_match_val(m, "x");
    const int rank = pln_value_rank(x);
    int64_t a[2 * PLN_MAX_RANK], b[2 * PLN_MAX_RANK];
    double va, vb;
    if (constant_of(inner, &va) != PLN_OK || constant_of(m->root, &vb) != PLN_OK ||
        va != vb || signbit(va) != signbit(vb))
        return pln_match_refuse(m, "they pad with different values");
    if (!pads_of(inner, rank, a) || !pads_of(m->root, rank, b))
        return pln_match_refuse(m, "pads not known");
    for (int i = 0; i < 2 * rank; i++) {
        if ((a[i] > 0 && b[i] < 0) || (a[i] < 0 && b[i] > 0))
            return pln_match_refuse(m, "one crops what the other pads");
        if (!pln_i64_add(&a[i], a[i], b[i]))
            return pln_match_refuse(m, "pads too large");
    }
    pln_value *in[3] = { x, pln_patch_ints(p, a, 2 * (size_t)rank, "pads"),
                         m->root->n_in > 2 ? m->root->in[2] : NULL };
    pln_node *n = pln_patch_add(p, "Pad", in, 3, 1);
    pln_patch_replace(p, out_of(m), n ? n->out[0] : NULL);
    return PLN_OK;
}

/* ---- softmax -------------------------------------------------------------------- */

static pln_status log_softmax(pln_match *m, pln_patch *p)
{
    pln_value *x = pln_match_val(m, "x");
    const int64_t axis = pln_node_get_int(pln_match_node(m, "s"), "axis", -1);
    pln_node *n = pln_patch_add(p, "LogSoftmax", &x, 1, 1);
    if (!n || pln_node_set_int(n, "axis", axis) != PLN_OK)
        return PLN_E_NOMEM;
    pln_patch_replace(p, out_of(m), n->out[0]);
    return PLN_OK;
}

/* What rises with its input does not move the place of the largest. */
static pln_status arg_of_x(pln_match *m, pln_patch *p)
{
    pln_value *x = pln_match_val(m, "x");
    const pln_node *s = pln_match_node(m, "s");
    const int rank = pln_value_rank(x);
    int64_t a = pln_node_get_int(m->root, "axis", 0), b = pln_node_get_int(s, "axis", -1);
    if (rank < 0)
        return pln_match_refuse(m, "rank not known");
    if (!pln_node_is(s, "Exp") && a + (a < 0 ? rank : 0) != b + (b < 0 ? rank : 0))
        return pln_match_refuse(m, "another axis");
    pln_node *n = pln_patch_copy(p, m->root, &x, 1);
    pln_patch_replace(p, out_of(m), n ? n->out[0] : NULL);
    return PLN_OK;
}

/* ---- comparisons ---------------------------------------------------------------- */

static bool is_cast(const pln_value *v)
{
    return v->def && pln_node_is(v->def, "Cast") &&
           (v->def->in[0]->type.dtype == PLN_DT_S32 ||
            v->def->in[0]->type.dtype == PLN_DT_S64);
}

/* v before its Cast, or a constant, in that type; NULL: it is no integer. */
static pln_value *as_integer(pln_patch *p, pln_value *v, pln_dtype dt)
{
    double c;
    if (is_cast(v)) {
        v = v->def->in[0];
        pln_node *n = v->type.dtype == dt ? NULL : pln_patch_add(p, "Cast", &v, 1, 1);
        if (n && pln_node_set_int(n, "to", PLN_DT_S64) != PLN_OK)
            return NULL;
        return n ? n->out[0] : v;
    }
    const bool whole = pln_value_is_splat(v, &c) && pln_value_rank(v) == 0 && c > -1e9 &&
                       c < 1e9 && c == (double)(int64_t)c;
    return whole ? pln_patch_scalar(p, dt, c, "integer") : NULL;
}

static pln_dtype before_cast(const pln_value *v)
{
    return is_cast(v) ? v->def->in[0]->type.dtype : PLN_DT_S32;
}

/* Integers that are compared as floats. */
static pln_status compare_integers(pln_match *m, pln_patch *p)
{
    pln_value *a = pln_match_val(m, "a"), *b = pln_match_val(m, "b"), *in[2];
    if ((!is_cast(a) && !is_cast(b)) ||
        (a->type.dtype != PLN_DT_F32 && a->type.dtype != PLN_DT_F64))
        return pln_match_refuse(m, "no integer was cast");
    const bool both = before_cast(a) == before_cast(b) || !is_cast(a) || !is_cast(b);
    const pln_dtype dt = both ? before_cast(is_cast(a) ? a : b) : PLN_DT_S64;
    in[0] = as_integer(p, a, dt);
    in[1] = as_integer(p, b, dt);
    if (!in[0] || !in[1])
        return pln_match_refuse(m, "not both are integers");
    pln_node *n = pln_patch_copy(p, m->root, in, 2);
    pln_patch_replace(p, out_of(m), n ? n->out[0] : NULL);
    return PLN_OK;
}

/* ---- sequences ------------------------------------------------------------------ */

static pln_status item_of_sequence(pln_match *m, pln_patch *p)
{
    int64_t i;
    size_t n;
    const pln_node *s = pln_match_node(m, "s");
    if (!pln_value_get_ints(pln_match_val(m, "i"), &i, 1, &n) || n != 1)
        return pln_match_refuse(m, "its place is not known");
    i += i < 0 ? s->n_in : 0;
    if (i < 0 || i >= s->n_in)
        return pln_match_refuse(m, "beyond the sequence");
    pln_patch_replace_proven(p, out_of(m), s->in[i]);
    return PLN_OK;
}

/* Where item i of a SplitToSequence begins and ends; a size for each or one for all. */
static bool bounds_of_item(const pln_node *s, int64_t axis, int64_t i, int64_t *bounds)
{
    int64_t size[MAX_ITEMS], n_items;
    size_t n;
    const pln_dim all = s->in[0]->type.shape.dims[axis];
    const bool even = pln_value_rank(s->in[1]) == 0;
    if (!pln_dim_is_known(all) || !pln_value_get_ints(s->in[1], size, MAX_ITEMS, &n) ||
        !n || (even && size[0] < 1))
        return false;
    n_items = even ? (all.value + size[0] - 1) / size[0] : (int64_t)n;
    i += i < 0 ? n_items : 0;
    if (i < 0 || i >= n_items)
        return false;
    bounds[0] = even ? i * size[0] : 0;
    for (int64_t k = 0; k < i && !even; k++)
        bounds[0] += size[k];
    bounds[1] = bounds[0] + size[even ? 0 : i];
    bounds[1] = bounds[1] < all.value ? bounds[1] : all.value;
    return true;
}

/* Slices of a value that a SplitToSequence cuts: pass pieces finds the Split in them. */
static pln_status slice_of_sequence(pln_match *m, pln_patch *p)
{
    int64_t i, bounds[2], axis;
    size_t n;
    const pln_node *s = pln_match_node(m, "s");
    const int rank = pln_value_rank(s->in[0]);
    axis = pln_node_get_int(s, "axis", 0);
    axis += axis < 0 ? rank : 0;
    if (rank < 1 || axis < 0 || axis >= rank ||
        !pln_value_get_ints(pln_match_val(m, "i"), &i, 1, &n) || n != 1 ||
        !bounds_of_item(s, axis, i, bounds))
        return pln_match_refuse(m, "its place is not known");
    pln_value *in[4] = { s->in[0], pln_patch_ints(p, &bounds[0], 1, "start"),
                         pln_patch_ints(p, &bounds[1], 1, "end"),
                         pln_patch_ints(p, &axis, 1, "axis") };
    pln_node *c = in[1] && in[2] && in[3] ? pln_patch_add(p, "Slice", in, 4, 1) : NULL;
    pln_patch_replace_proven(p, out_of(m), c ? c->out[0] : NULL);
    return PLN_OK;
}

static pln_status concat_items(pln_match *m, pln_patch *p)
{
    const pln_node *s = pln_match_node(m, "s");
    if (pln_node_get_int(m->root, "new_axis", 0))
        return pln_match_refuse(m, "stacks");
    pln_node *n = pln_patch_add(p, "Concat", s->in, s->n_in, 1);
    if (!n || pln_node_set_int(n, "axis", pln_node_get_int(m->root, "axis", 0)) != PLN_OK)
        return PLN_E_NOMEM;
    pln_patch_replace(p, out_of(m), n->out[0]);
    return PLN_OK;
}

static pln_status give_x(pln_match *m, pln_patch *p)
{
    pln_patch_replace_proven(p, out_of(m), pln_match_val(m, "x"));
    return PLN_OK;
}

static const pln_rule rules[] = {
    { .name = "cast-cast", .match = "Cast(mid=Cast(x))", .build = cast_once },
    { .name = "cast-move-cast",
      .match = "Cast(move=Reshape|Flatten|Squeeze|Unsqueeze|Transpose|Slice|Gather|Expand|Tile!("
               "mid=Cast!(x), ...))",
      .build = cast_through_move },
    { .name = "cast-made",
      .match = "Cast(c=ConstantOfShape!(s))",
      .build = cast_before_made },
    { .name = "cast-like", .match = "CastLike(x, like)", .build = cast_to_known },
    { .name = "not-compared",
      .match = "Not(Less!(x, z))",
      .where = "type(x) == \"int64\" or type(x) == \"int32\"",
      .replace = "GreaterOrEqual(x, z)",
      .opset = 12 },
    { .name = "not-compared",
      .match = "Not(Greater!(x, z))",
      .where = "type(x) == \"int64\" or type(x) == \"int32\"",
      .replace = "LessOrEqual(x, z)",
      .opset = 12 },
    { .name = "not-compared",
      .match = "Not(LessOrEqual!(x, z))",
      .where = "type(x) == \"int64\" or type(x) == \"int32\"",
      .replace = "Greater(x, z)" },
    { .name = "not-compared",
      .match = "Not(GreaterOrEqual!(x, z))",
      .where = "type(x) == \"int64\" or type(x) == \"int32\"",
      .replace = "Less(x, z)" },
    { .name = "compare-integers",
      .match = "Less|LessOrEqual|Greater|GreaterOrEqual|Equal(a, b)",
      .build = compare_integers,
      .opset = 9,
      .contract = PLN_REASSOC },
    /* Floats may differ in the sign of 0, and where infinity times 0 was added. */
    { .name = "select",
      .match = "Add~(Mul~!(Cast(c), x), Mul~!(Cast(Not(c)), z))",
      .where = "type(c) == \"bool\" and (type(x) == \"int64\" or type(x) == \"int32\")",
      .replace = "Where(c, x, z)",
      .opset = 9 },
    { .name = "select",
      .match = "Add~(Mul~!(Cast(c), x), Mul~!(Cast(Not(c)), z))",
      .where = "type(c) == \"bool\"",
      .replace = "Where(c, x, z)",
      .opset = 9,
      .contract = PLN_REASSOC },
    { .name = "where-not", .match = "Where(Not(c), a, b)", .build = where_swapped },
    { .name = "add-neg", .match = "Add~(z, Neg!(x))", .replace = "Sub(z, x)" },
    { .name = "add-neg", .match = "Add~(z, Mul~!(x, -1))", .replace = "Sub(z, x)" },
    { .name = "sub-neg", .match = "Sub(z, Neg!(x))", .replace = "Add(z, x)" },
    { .name = "sub-neg", .match = "Sub(z, Mul~!(x, -1))", .replace = "Add(z, x)" },
    { .name = "neg-neg", .match = "Mul(Neg!(x), Neg!(z))", .replace = "Mul(x, z)" },
    { .name = "neg-neg", .match = "Div(Neg!(x), Neg!(z))", .replace = "Div(x, z)" },
    { .name = "square",
      .match = "Mul(a=Abs|Neg(x), a)",
      .where = "uses(a) == 2",
      .replace = "Mul(x, x)" },
    { .name = "square",
      .match = "Pow(Abs|Neg(x), 2)",
      .replace = "Pow(x, 2)" },
    { .name = "where-where",
      .match = "Where(c, Where!(c, a, b), d)",
      .replace = "Where(c, a, d)" },
    { .name = "where-where",
      .match = "Where(c, a, Where!(c, b, d))",
      .replace = "Where(c, a, d)" },
    { .name = "extremum-extremum",
      .match = "Max|Min(y=Max|Min!(...), ...)",
      .build = one_extremum,
      .opset = 8 },
    { .name = "abs-neg", .match = "Abs(Neg(x))", .build = abs_of_x },
    { .name = "pad-pad",
      .match = "Pad(inner=Pad!(x, a#, ...), b#, ...)",
      .build = one_pad },
    { .name = "log-softmax",
      .match = "Log(s=Softmax!<pln_flatten=0>(x))",
      .build = log_softmax,
      .contract = PLN_REASSOC },
    { .name = "arg-softmax",
      .match = "ArgMax|ArgMin(s=Softmax|LogSoftmax|Exp(x))",
      .build = arg_of_x,
      .contract = PLN_REASSOC },
    { .name = "item-of-sequence",
      .match = "SequenceAt(s=SequenceConstruct(...), i#)",
      .build = item_of_sequence },
    { .name = "item-of-sequence",
      .match = "SequenceAt(s=SplitToSequence(x, sizes#), i#)",
      .build = slice_of_sequence },
    { .name = "concat-of-sequence",
      .match = "ConcatFromSequence(s=SequenceConstruct(...))",
      .build = concat_items },
    { .name = "optional", .match = "OptionalGetElement(Optional(x))", .build = give_x },
    { .name = "optional", .match = "OptionalHasElement(Optional(x))", .replace = "1" },
};

const pln_pass pln_pass_merge = {
    .name = "merge",
    .brief = "makes one node of two that convert, select or arrange elements",
    PLN_RULES(rules),
};
