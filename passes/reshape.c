/* reshape: nodes that only give elements another shape, one behind the other, become one;
 * so do those that reduce or pick and then take away or add the axis.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/known.h"

#include <string.h>

static pln_value *out_of(const pln_match *m)
{
    return m->root->out[0];
}

/* ---- views ---------------------------------------------------------------------- */

/* The order of the elements stays: only axes of size 1 move. */
static bool keeps_order(const pln_node *n)
{
    int64_t perm[PLN_MAX_RANK], last = -1;
    int rank;
    const pln_shape s = n->in[0]->type.shape;
    if (!pln_perm_of(n, perm, &rank) || s.rank != rank)
        return false;
    for (int i = 0; i < rank; i++) {
        if (pln_dim_is(s.dims[perm[i]], 1))
            continue;
        if (perm[i] < last)
            return false;
        last = perm[i];
    }
    return true;
}

static pln_status one_view(pln_match *m, pln_patch *p)
{
    pln_value *x = pln_match_val(m, "x");
    const pln_node *inner = pln_match_node(m, "inner");
    if ((pln_node_is(inner, "Transpose") && !keeps_order(inner)) ||
        (pln_node_is(m->root, "Transpose") && !keeps_order(m->root)))
        return pln_match_refuse(m, "the transposition moves something");
    if (pln_value_same_type(x, out_of(m))) {
        pln_patch_replace_proven(p, out_of(m), x);
        return PLN_OK;
    }
    pln_value *y = pln_patch_view(p, x, out_of(m)->type.shape);
    if (!y)
        return pln_match_refuse(m, "two sizes are neither known nor those of the input");
    pln_patch_replace_proven(p, out_of(m), y);
    return PLN_OK;
}

/* ---- a transposition between views ------------------------------------------------ */

/* How many axes, from `at` to `stop`, have this product; 0 where that is not known. */
static int group_at(pln_shape wide, int at, int stop, int step, pln_dim product)
{
    int64_t size = 1;
    if (at != stop && pln_dim_equal(wide.dims[at], product))
        return 1;
    for (int n = 1; at != stop; at += step, n++) {
        const pln_dim d = wide.dims[at];
        if (!pln_dim_is_known(d) || d.value < 1 ||
            __builtin_mul_overflow(size, d.value, &size))
            return 0;
        if (pln_dim_is(product, size))
            return n;
    }
    return 0;
}

/* Where the axes of the narrow shape begin among those of the wide one: each is the
 * product of those up to the next. One of them may be unknown. */
static bool groups_of(pln_shape wide, pln_shape narrow, int *begin)
{
    int first = 0, last = narrow.rank, n;
    begin[first] = 0;
    begin[last] = wide.rank;
    while (first < last && (n = group_at(wide, begin[first], begin[last], 1,
                                         narrow.dims[first])) > 0) {
        begin[first + 1] = begin[first] + n;
        first++;
    }
    if (first == last)
        return begin[last] == wide.rank;
    while (last > first + 1 && (n = group_at(wide, begin[last] - 1, begin[first] - 1, -1,
                                             narrow.dims[last - 1])) > 0) {
        begin[last - 1] = begin[last] - n;
        last--;
    }
    return last == first + 1 && begin[last] > begin[first];
}

static pln_status one_transpose(pln_match *m, pln_patch *p)
{
    int64_t inner[PLN_MAX_RANK], perm[PLN_MAX_RANK];
    int begin[PLN_MAX_RANK + 1], rank, n = 0;
    pln_value *x = pln_match_val(m, "x");
    const pln_shape from = x->type.shape, middle = pln_match_val(m, "inner")->type.shape;
    const pln_shape to = out_of(m)->type.shape;
    if (from.rank < 0 || to.rank != from.rank || middle.rank < 0 ||
        !pln_perm_of(pln_match_node(m, "t"), inner, &rank) || rank != middle.rank ||
        !groups_of(from, middle, begin))
        return pln_match_refuse(m,
                                "the first view does not join axes, as far as is known");
    for (int k = 0; k < rank; k++)
        for (int i = begin[inner[k]]; i < begin[inner[k] + 1]; i++, n++) {
            perm[n] = i;
            if (pln_dim_is_unknown(from.dims[i]) || pln_dim_is(from.dims[i], 0) ||
                !pln_dim_equal(to.dims[n], from.dims[i]))
                return pln_match_refuse(m, "the second view does not part them again");
        }
    pln_node *t = pln_patch_add(p, "Transpose", &x, 1, 1);
    if (!t || pln_node_set_ints(t, "perm", perm, (size_t)n) != PLN_OK)
        return PLN_E_NOMEM;
    pln_patch_replace_proven(p, out_of(m), t->out[0]);
    return PLN_OK;
}

/* ---- squeezes ------------------------------------------------------------------- */

/* Axes of the outer one count where the inner one's are already gone or there. */
static pln_status one_squeeze(pln_match *m, pln_patch *p)
{
    const bool up = pln_node_is(m->root, "Unsqueeze");
    const pln_value *mid = pln_match_val(m, "inner");
    pln_value *x = pln_match_val(m, "x");
    const int wide = pln_value_rank(up ? out_of(m) : x), middle = pln_value_rank(mid);
    int64_t a[PLN_MAX_RANK], b[PLN_MAX_RANK], all[PLN_MAX_RANK];
    size_t na, nb, n = 0;
    if (wide < 0 || middle < 0 ||
        !pln_axes_of(pln_match_val(m, "a"), up ? middle : wide, a, &na) ||
        !pln_axes_of(pln_match_val(m, "b"), up ? wide : middle, b, &nb) ||
        na + nb > PLN_MAX_RANK)
        return pln_match_refuse(m, "axes not known");
    const int64_t *first = up ? b : a, *second = up ? a : b;
    const size_t n_first = up ? nb : na, n_second = up ? na : nb;
    int at = 0; /* the axis of the narrow side that the next free wide axis is */
    for (int axis = 0; axis < wide; axis++) {
        bool taken = false;
        for (size_t i = 0; i < n_first; i++)
            taken |= first[i] == axis;
        for (size_t i = 0; i < n_second && !taken; i++)
            if (second[i] == at) {
                all[n++] = axis;
                break;
            }
        if (taken)
            all[n++] = axis;
        else
            at++;
    }
    pln_value *axes = pln_patch_ints(p, all, n, "axes");
    pln_patch_replace(p, out_of(m), pln_patch_op2(p, m->root->op_type, x, axes));
    return PLN_OK;
}

/* ---- reductions ------------------------------------------------------------------- */

static bool reduced_axes(const pln_node *n, int64_t *axes, size_t *count)
{
    const int rank = pln_value_rank(n->in[0]);
    if (pln_node_is(n, "ArgMax") || pln_node_is(n, "ArgMin")) {
        *axes = pln_node_get_int(n, "axis", 0);
        *axes += *axes < 0 ? rank : 0;
        *count = 1;
        return *axes >= 0;
    }
    return n->n_in > 1 && n->in[1] && pln_axes_of(n->in[1], rank, axes, count) &&
           *count > 0;
}

/* The axes that a reduction leaves with size 1 go, or those that it takes come back. */
static pln_status set_keepdims(pln_match *m, pln_patch *p)
{
    const pln_node *r = pln_match_node(m, "r");
    const bool keep = pln_node_is(m->root, "Unsqueeze");
    const int rank = pln_value_rank(r->in[0]);
    int64_t a[PLN_MAX_RANK], b[PLN_MAX_RANK];
    size_t na, nb;
    if (pln_node_get_int(r, "keepdims", 1) == keep)
        return pln_match_refuse(m, "the axes are not those that it reduced");
    if (rank < 0 || !reduced_axes(r, a, &na) ||
        !pln_axes_of(pln_match_val(m, "b"), rank, b, &nb))
        return pln_match_refuse(m, "axes not known");
    if (na != nb || memcmp(a, b, na * sizeof a[0]) != 0)
        return pln_match_refuse(m, "other axes than it reduces");
    pln_node *n = pln_patch_copy(p, r, r->in, r->n_in);
    if (!n || pln_node_set_int(n, "keepdims", keep) != PLN_OK)
        return PLN_E_NOMEM;
    pln_patch_replace(p, out_of(m), n->out[0]);
    return PLN_OK;
}

/* A Reshape to what it gives with or without those axes. */
static pln_status flip_keepdims(pln_match *m, pln_patch *p)
{
    const pln_node *r = pln_match_node(m, "r");
    const bool keep = !pln_node_get_int(r, "keepdims", 1);
    pln_node *n = pln_patch_copy(p, r, r->in, r->n_in);
    if (!n || pln_node_set_int(n, "keepdims", keep) != PLN_OK)
        return PLN_E_NOMEM;
    if (!pln_patch_gives_type_of(p, n, out_of(m)))
        return pln_match_refuse(m, "into another shape");
    pln_patch_replace(p, out_of(m), n->out[0]);
    return PLN_OK;
}

static pln_status one_reduction(pln_match *m, pln_patch *p)
{
    const pln_node *inner = pln_match_node(m, "inner");
    pln_value *x = pln_match_val(m, "x");
    int64_t a[PLN_MAX_RANK], b[PLN_MAX_RANK];
    size_t na, nb;
    const int64_t keep = pln_node_get_int(m->root, "keepdims", 1);
    if (inner->op_type != m->root->op_type ||
        keep != pln_node_get_int(inner, "keepdims", 1))
        return pln_match_refuse(m, "another kind");
    if (pln_value_rank(x) < 0 || !reduced_axes(inner, a, &na) ||
        !reduced_axes(m->root, b, &nb) || na + nb > PLN_MAX_RANK)
        return pln_match_refuse(m, "axes not known");
    for (size_t i = 0; i < nb; i++) {
        int64_t axis = b[i];
        for (size_t k = 0; k < na && !keep; k++)
            axis += a[k] <= axis;
        for (size_t k = 0; k < na && keep; k++)
            if (a[k] == axis)
                return pln_match_refuse(m, "the same axis twice");
        a[na + i] = axis;
    }
    pln_node *n =
        pln_patch_add(p, m->root->op_type,
                      (pln_value *[]){ x, pln_patch_ints(p, a, na + nb, "axes") }, 2, 1);
    if (!n || pln_node_set_int(n, "keepdims", keep) != PLN_OK)
        return PLN_E_NOMEM;
    pln_patch_replace(p, out_of(m), n->out[0]);
    return PLN_OK;
}

/* ---- one element of an axis ------------------------------------------------------ */

static pln_status gather(pln_match *m, pln_patch *p, pln_value *x, int64_t i,
                         int64_t axis, bool keep)
{
    pln_value *index = keep ? pln_patch_ints(p, &i, 1, "index")
                            : pln_patch_scalar(p, PLN_DT_S64, (double)i, "index");
    pln_node *n = pln_patch_add(p, "Gather", (pln_value *[]){ x, index }, 2, 1);
    if (!n || pln_node_set_int(n, "axis", axis) != PLN_OK)
        return PLN_E_NOMEM;
    pln_patch_replace(p, out_of(m), n->out[0]);
    return PLN_OK;
}

/* Unsqueeze behind a Gather of one, Squeeze behind a Gather of [one]. */
static pln_status gather_axis(pln_match *m, pln_patch *p)
{
    int64_t i, b[PLN_MAX_RANK];
    size_t ni, nb;
    const pln_value *index = pln_match_val(m, "i");
    pln_value *x = pln_match_val(m, "x");
    const bool keep = pln_node_is(m->root, "Unsqueeze");
    const int rank = pln_value_rank(x);
    int64_t axis = pln_node_get_int(pln_match_node(m, "g"), "axis", 0);
    axis += axis < 0 ? rank : 0;
    if (rank < 0 || !pln_value_get_ints(index, &i, 1, &ni) || ni != 1 ||
        index->cst->rank != !keep || !pln_axes_of(pln_match_val(m, "b"), rank, b, &nb))
        return pln_match_refuse(m, "index or axes not known");
    if (nb != 1 || b[0] != axis)
        return pln_match_refuse(m, "another axis");
    return gather(m, p, x, i, axis, keep);
}

static pln_status slice_of_one(pln_match *m, pln_patch *p)
{
    int64_t s, e, a, t = 1, b[PLN_MAX_RANK];
    size_t n, nb;
    pln_value *x = pln_match_val(m, "x");
    const pln_value *steps = pln_match_val(m, "t");
    const int rank = pln_value_rank(x);
    if (rank < 0 || !pln_value_get_ints(pln_match_val(m, "s"), &s, 1, &n) || n != 1 ||
        !pln_value_get_ints(pln_match_val(m, "e"), &e, 1, &n) || n != 1 ||
        !pln_one_axis_of(pln_match_val(m, "ax"), rank, &a) ||
        (steps && (!pln_value_get_ints(steps, &t, 1, &n) || n != 1)) ||
        !pln_axes_of(pln_match_val(m, "b"), rank, b, &nb))
        return pln_match_refuse(m, "not one constant axis");
    const bool last = s == -1 && e >= INT32_MAX;
    if (nb != 1 || b[0] != a || t != 1 || (!last && (s < 0) != (e < 0)) ||
        (!last && e != s + 1))
        return pln_match_refuse(m, "more than one element, or another axis");
    return gather(m, p, x, s, a, false);
}

/* ---- repetitions ----------------------------------------------------------------- */

static pln_status one_tile(pln_match *m, pln_patch *p)
{
    int64_t a[PLN_MAX_RANK], b[PLN_MAX_RANK];
    size_t na, nb;
    if (!pln_value_get_ints(pln_match_val(m, "a"), a, PLN_MAX_RANK, &na) ||
        !pln_value_get_ints(pln_match_val(m, "b"), b, PLN_MAX_RANK, &nb) || na != nb)
        return pln_match_refuse(m, "repeats not known");
    for (size_t i = 0; i < na; i++) {
        if (a[i] < 0 || b[i] < 0 || a[i] > INT32_MAX || b[i] > INT32_MAX)
            return pln_match_refuse(m, "repeats out of range");
        a[i] *= b[i];
    }
    pln_value *in[2] = { pln_match_val(m, "x"), pln_patch_ints(p, a, na, "repeats") };
    pln_patch_replace(p, out_of(m), pln_patch_op2(p, "Tile", in[0], in[1]));
    return PLN_OK;
}

static pln_status one_expand(pln_match *m, pln_patch *p)
{
    int64_t dims[PLN_MAX_RANK];
    const pln_shape s = out_of(m)->type.shape;
    if (s.rank < 0 || !pln_shape_is_static(s))
        return pln_match_refuse(m, "sizes not known");
    for (int i = 0; i < s.rank; i++)
        dims[i] = s.dims[i].value;
    pln_value *to = pln_patch_ints(p, dims, (size_t)s.rank, "shape");
    pln_patch_replace(p, out_of(m),
                      pln_patch_op2(p, "Expand", pln_match_val(m, "x"), to));
    return PLN_OK;
}

#define VIEW "Reshape|Flatten|Squeeze|Unsqueeze"

#define REDUCTION                                                                        \
    "ReduceSum|ReduceMean|ReduceMax|ReduceMin|ReduceProd|ReduceL1|ReduceL2|ReduceSumSquare|" \
    "ReduceLogSum|ReduceLogSumExp|ArgMax|ArgMin"

static const pln_rule rules[] = {
    { .name = "squeeze-squeeze",
      .match = "Squeeze(inner=Squeeze!(x, a#), b#)",
      .build = one_squeeze },
    { .name = "unsqueeze-unsqueeze",
      .match = "Unsqueeze(inner=Unsqueeze!(x, a#), b#)",
      .build = one_squeeze },
    { .name = "reduce-unsqueeze",
      .match = "Unsqueeze|Squeeze(r=" REDUCTION "!(_, ...), b#)",
      .build = set_keepdims },
    { .name = "reduce-reshape",
      .match = "Reshape(r=" REDUCTION "!(_, ...), _)",
      .build = flip_keepdims },
    { .name = "gather-axis",
      .match = "Unsqueeze|Squeeze(g=Gather!(x, i#), b#)",
      .build = gather_axis },
    { .name = "slice-of-one",
      .match = "Squeeze(Slice!(x, s#, e#, ax#, t?#), b#)",
      .build = slice_of_one },
    { .name = "view-view",
      .match = VIEW "|Transpose(inner=" VIEW "!(x, ...), ...)",
      .build = one_view },
    { .name = "view-view",
      .match = VIEW "(inner=Transpose!(x), ...)",
      .build = one_view },
    { .name = "transpose-of-joined",
      .match = VIEW "(t=Transpose!(inner=" VIEW "(x, ...)), ...)",
      .build = one_transpose },
    { .name = "extremum-extremum",
      .match = "ReduceMax|ReduceMin(inner=ReduceMax|ReduceMin!(x, a#), b#)",
      .build = one_reduction },
    { .name = "sum-sum",
      .match =
          "ReduceSum|ReduceMean|ReduceProd(inner=ReduceSum|ReduceMean|ReduceProd!(x, "
          "a#), b#)",
      .build = one_reduction,
      .contract = PLN_REASSOC },
    { .name = "tile-tile", .match = "Tile(Tile!(x, a#), b#)", .build = one_tile },
    { .name = "expand-expand",
      .match = "Expand(Expand!(x, _), b#)",
      .build = one_expand },
};

const pln_pass pln_pass_reshape = {
    .name = "reshape",
    .brief = "makes one node of several that change the shape alone",
    PLN_RULES(rules),
};
