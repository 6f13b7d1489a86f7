/* channels: a product along axis 1, spelled with Transposes around a MatMul, is a Conv
 * whose kernel is one point, and the other way around; a product of two transposed values
 * is that of the other two.
 *
 *     Transpose<0,3,1,2>(Add(MatMul(Transpose<0,2,3,1>(x), w), b)) => Conv(x, w', b)
 *     Transpose<0,2,3,1>(Conv(Transpose<0,3,1,2>(x), w, b)) => Add(MatMul(x, w'), b)
 *     Transpose<0,2,1>(MatMul(Transpose<0,2,1>(a), Transpose<0,2,1>(b))) => MatMul(b, a)
 *     Squeeze(Conv(Unsqueeze(x, 2), w), 2) => Conv(x, w')       w has one row there
 *     Reshape(Conv(Reshape(x, [0, 4, -1]), w), [0, 8, 6, 6]) => Conv(x, w')
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/cut.h"
#include "passes/product.h"

#include <string.h>

static pln_value *out_of(const pln_match *m)
{
    return m->root->out[0];
}

/* Axis 1 goes last, the others keep their order; or it comes back from there. */
static bool moves_channels(const pln_node *t, bool back)
{
    int64_t perm[PLN_MAX_RANK];
    int rank;
    if (!t || !pln_node_is(t, "Transpose") || !pln_perm_of(t, perm, &rank) || rank < 3)
        return false;
    for (int i = 0; i < rank; i++) {
        const int last = back ? 1 : rank - 1;
        const int64_t want = i == 0      ? 0
                             : i == last ? (back ? rank - 1 : 1)
                             : back      ? i - 1
                                         : i + 1;
        if (perm[i] != want)
            return false;
    }
    return true;
}

static bool is_float(const pln_value *v)
{
    return v->type.dtype == PLN_DT_F32;
}

static bool has_unit_steps(const pln_node *n)
{
    const pln_attr *a = pln_node_find_attr(n, "strides");
    for (size_t i = 0; a && i < a->n; i++)
        if (a->ints[i] != 1)
            return false;
    return true;
}

/* One number for each channel of the result. */
static bool is_bias(const pln_value *b, const pln_value *w)
{
    return b->cst->rank == 1 && b->cst->dims[0] == w->cst->dims[1];
}

static pln_status as_conv(pln_match *m, pln_patch *p)
{
    static const int64_t swap[2] = { 1, 0 };
    int64_t dims[PLN_MAX_RANK] = { 0 };
    pln_value *x = pln_match_val(m, "x"), *w = pln_match_val(m, "w"),
              *b = pln_match_val(m, "b");
    const int rank = pln_value_rank(x);
    if (!moves_channels(pln_match_node(m, "t"), false) ||
        !moves_channels(m->root, true) || !is_float(x) || !pln_value_is_own_weights(w) ||
        w->cst->rank != 2 || rank > 5)
        return pln_match_refuse(m, "not a product of channels with weights of its own");
    if (b && !is_bias(b, w))
        return pln_match_refuse(m, "the addend is not one number for each channel");
    dims[0] = w->cst->dims[1];
    dims[1] = w->cst->dims[0];
    for (int i = 2; i < rank; i++)
        dims[i] = 1;
    pln_value *turned = pln_patch_transpose(p, w, swap, 2);
    pln_value *to = pln_patch_ints(p, dims, (size_t)rank, "shape");
    pln_value *in[3] = { x, NULL, b };
    in[1] = turned && to ? pln_patch_op2(p, "Reshape", turned, to) : NULL;
    pln_node *n = in[1] ? pln_patch_add(p, "Conv", in, b ? 3 : 2, 1) : NULL;
    pln_patch_replace(p, out_of(m), n ? n->out[0] : NULL);
    return PLN_OK;
}

/* The way back, where the channels are last anyway. */
static pln_status as_matmul(pln_match *m, pln_patch *p)
{
    static const int64_t swap[2] = { 1, 0 };
    pln_product pr;
    pln_value *x = pln_match_val(m, "x");
    pln_node *c = pln_match_node(m, "c");
    if (!moves_channels(pln_match_node(m, "t"), true) || !moves_channels(m->root, false) ||
        !is_float(x))
        return pln_match_refuse(m, "channels do not come to the front and go back");
    if (!pln_product_read(c, &pr) || pr.taps != 1 || pr.groups != 1 ||
        !pln_product_is_unpadded(&pr) || !has_unit_steps(c))
        return pln_match_refuse(m, "not a Conv of each point with weights of its own");
    const int64_t dims[2] = { pr.n_out, pr.n_in };
    pln_value *to = pln_patch_ints(p, dims, 2, "shape");
    pln_value *w = to ? pln_patch_op2(p, "Reshape", pr.w, to) : NULL;
    w = w ? pln_patch_transpose(p, w, swap, 2) : NULL;
    pln_value *y = w ? pln_patch_op2(p, "MatMul", x, w) : NULL;
    if (y && pr.b)
        y = pln_patch_op2(p, "Add", y, pr.b);
    pln_patch_replace(p, out_of(m), y);
    return PLN_OK;
}

/* ---- two transposed values ------------------------------------------------------- */

static bool swaps_last(const pln_node *t)
{
    int64_t perm[PLN_MAX_RANK];
    int rank;
    if (!pln_perm_of(t, perm, &rank) || rank < 2)
        return false;
    for (int i = 0; i < rank; i++)
        if (perm[i] != (i == rank - 2 ? rank - 1 : i == rank - 1 ? rank - 2 : i))
            return false;
    return true;
}

static pln_status other_product(pln_match *m, pln_patch *p)
{
    if (!swaps_last(m->root) || !swaps_last(pln_match_node(m, "s")) ||
        !swaps_last(pln_match_node(m, "t")))
        return pln_match_refuse(m, "more than the last two axes are moved");
    pln_patch_replace(
        p, out_of(m),
        pln_patch_op2(p, "MatMul", pln_match_val(m, "b"), pln_match_val(m, "a")));
    return PLN_OK;
}

/* ---- an axis of size 1 that is there for the operator's sake --------------------- */

/* The attribute without its entry for a spatial axis; `parts` rows of entries. */
static pln_status drop_entry(pln_node *n, const char *name, int64_t at, size_t parts)
{
    int64_t v[2 * PLN_MAX_RANK];
    size_t k = 0;
    const pln_attr *a = pln_node_find_attr(n, name);
    if (!a)
        return PLN_OK;
    const size_t each = a->n / parts;
    for (size_t i = 0; i < a->n && k < 2 * PLN_MAX_RANK; i++)
        if (i % each != (size_t)at)
            v[k++] = a->ints[i];
    return pln_node_set_ints(n, name, v, k);
}

static int64_t entry(const pln_node *n, const char *name, size_t i, int64_t otherwise)
{
    const pln_attr *a = pln_node_find_attr(n, name);
    return a && i < a->n ? a->ints[i] : otherwise;
}

static bool is_zero_at(const pln_node *n, const char *name, int64_t at, size_t parts)
{
    const pln_attr *a = pln_node_find_attr(n, name);
    for (size_t i = 0; a && i < parts; i++)
        if (a->ints[i * (a->n / parts) + (size_t)at])
            return false;
    return true;
}

static pln_status of_fewer_axes(pln_match *m, pln_patch *p)
{
    int64_t a, b, dims[PLN_MAX_RANK] = { 0 };
    size_t k = 0;
    pln_value *x = pln_match_val(m, "x"), *w = pln_match_val(m, "w");
    pln_node *c = pln_match_node(m, "c");
    const int rank = pln_value_rank(c->in[0]);
    if (rank < 4 || !pln_one_axis_of(pln_match_val(m, "a"), rank, &a) ||
        !pln_one_axis_of(pln_match_val(m, "b"), rank, &b) || a != b || a < 2)
        return pln_match_refuse(m, "not one spatial axis");
    if (w->cst->rank != rank || w->cst->dims[a] != 1 ||
        !is_zero_at(c, "pads", a - 2, 2) ||
        (pln_node_is(c, "ConvTranspose") && (!is_zero_at(c, "output_padding", a - 2, 1) ||
                                             pln_node_find_attr(c, "output_shape"))))
        return pln_match_refuse(m, "it is wider there");
    for (int i = 0; i < rank; i++)
        if (i != a)
            dims[k++] = w->cst->dims[i];
    pln_value *to = pln_patch_ints(p, dims, k, "shape");
    pln_value *in[3] = { x, to ? pln_patch_op2(p, "Reshape", w, to) : NULL,
                         c->n_in > 2 ? c->in[2] : NULL };
    pln_node *made = in[1] ? pln_patch_copy(p, c, in, in[2] ? 3 : 2) : NULL;
    if (!made)
        return PLN_E_NOMEM;
    PLN_TRY(drop_entry(made, "pads", a - 2, 2));
    PLN_TRY(drop_entry(made, "strides", a - 2, 1));
    PLN_TRY(drop_entry(made, "dilations", a - 2, 1));
    PLN_TRY(drop_entry(made, "kernel_shape", a - 2, 1));
    PLN_TRY(drop_entry(made, "output_padding", a - 2, 1));
    pln_value *y = made->out[0];
    const pln_node *act = pln_match_node(m, "act");
    if (act) {
        made = pln_patch_copy(p, act, &y, 1);
        y = made ? made->out[0] : NULL;
    }
    pln_patch_replace(p, out_of(m), y);
    return PLN_OK;
}

/* ---- a Conv of one point that sees all of space as one axis ---------------------- */

/* Axes 0 and 1 are kept, the others are one. */
static bool joins_space(const pln_value *x, const pln_value *v)
{
    const pln_shape a = x->type.shape, b = v->type.shape;
    if (a.rank < 4 || b.rank != 3)
        return false;
    for (int i = 0; i < 2; i++)
        if (pln_dim_is_unknown(a.dims[i]) || !pln_dim_equal(a.dims[i], b.dims[i]))
            return false;
    return true;
}

static bool keeps_space(const pln_value *x, const pln_value *y)
{
    const pln_shape a = x->type.shape, b = y->type.shape;
    for (int i = 0; i < a.rank && a.rank == b.rank; i++)
        if (i != 1 &&
            (pln_dim_is_unknown(a.dims[i]) || !pln_dim_equal(a.dims[i], b.dims[i])))
            return false;
    return a.rank == b.rank;
}

static pln_status point_of_space(pln_match *m, pln_patch *p)
{
    static const char *const spatial[] = { "pads", "strides", "dilations",
                                           "kernel_shape" };
    int64_t dims[PLN_MAX_RANK];
    pln_product pr;
    pln_value *x = pln_match_val(m, "x");
    pln_node *c = pln_match_node(m, "c");
    if (!pln_product_read(c, &pr) || pr.taps != 1 || !pln_product_is_unpadded(&pr) ||
        entry(c, "strides", 0, 1) != 1)
        return pln_match_refuse(m, "not a Conv of each point with weights of its own");
    if (!joins_space(x, c->in[0]) || !keeps_space(x, out_of(m)))
        return pln_match_refuse(m, "the views do more than join space and undo that");
    const int rank = pln_value_rank(x);
    for (int i = 0; i < rank; i++)
        dims[i] = i < 2 ? pr.w->cst->dims[i] : 1;
    pln_value *to = pln_patch_ints(p, dims, (size_t)rank, "shape");
    pln_value *in[3] = { x, to ? pln_patch_op2(p, "Reshape", pr.w, to) : NULL, pr.b };
    pln_node *n = in[1] ? pln_patch_copy(p, c, in, pr.b ? 3 : 2) : NULL;
    if (!n)
        return PLN_E_NOMEM;
    for (size_t i = 0; i < sizeof spatial / sizeof spatial[0]; i++)
        pln_node_drop_attr(n, spatial[i]);
    pln_patch_replace_proven(p, out_of(m), n->out[0]);
    return PLN_OK;
}

static const pln_rule rules[] = {
    { .name = "conv-of-point",
      .match = "Transpose(Add~?!(MatMul!(t=Transpose!(x), w#), b#))",
      .build = as_conv,
      .contract = PLN_REASSOC },
    { .name = "point-of-channels",
      .match = "Transpose(c=Conv!(t=Transpose(x), w#, ...))",
      .build = as_matmul,
      .contract = PLN_REASSOC },
    { .name = "transposed-product",
      .match = "Transpose(MatMul!(s=Transpose(a), t=Transpose(b)))",
      .build = other_product,
      .contract = PLN_REASSOC },
    { .name = "conv-of-fewer-axes",
      .match =
          "Squeeze(act=Relu|LeakyRelu|Sigmoid|Tanh|Elu|HardSwish|HardSigmoid|Softplus?!("
          "c=Conv|ConvTranspose!(Unsqueeze!(x, a#), w#, ...)), b#)",
      .build = of_fewer_axes,
      .contract = PLN_REASSOC },
    { .name = "conv-of-point-views",
      .match = "Reshape(c=Conv!(Reshape|Flatten!(x, ...), w#, ...), _)",
      .build = point_of_space,
      .contract = PLN_REASSOC },
};

const pln_pass pln_pass_channels = {
    .name = "channels",
    .brief = "products without the Transposes and axes that stand around them",
    PLN_RULES(rules),
};
