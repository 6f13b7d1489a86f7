/* Derivatives of operators that move or choose elements.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/gradient.h"

#include <string.h>

static bool known_axis(pln_grad *t, const pln_node *n, int64_t axis, int rank, int *out)
{
    if (rank == PLN_RANK_UNKNOWN || axis < -rank || axis >= rank) {
        gr_refuse(t, n, "its rank is not known");
        return false;
    }
    *out = (int)(axis < 0 ? axis + rank : axis);
    return true;
}

pln_value *gr_transpose(pln_grad *t, pln_node *n, pln_value *const *g, uint32_t i)
{
    const pln_attr *perm = gr_attr_ints(n, "perm");
    int64_t back[PLN_MAX_RANK];
    if (!perm) /* the axes in reverse, which undoes itself */
        return gr_op1(t, "Transpose", g[0]);
    if (perm->n > PLN_MAX_RANK)
        return gr_refuse(t, n, "perm is too long");
    for (size_t k = 0; k < perm->n; k++)
        if (perm->ints[k] < 0 || (size_t)perm->ints[k] >= perm->n)
            return gr_refuse(t, n, "perm is out of range");
        else
            back[perm->ints[k]] = (int64_t)k;
    return gr_permute(t, g[0], back, (int)perm->n);
}

/* v[begin, begin + Shape(like)) along one axis. */
static pln_value *part_like(pln_grad *t, pln_value *v, pln_value *begin, pln_value *like,
                            int axis)
{
    const int64_t at = axis;
    pln_value *axes = gr_ints(t, &at, 1);
    pln_value *size = gr_op2(t, "Gather", gr_op1(t, "Shape", like), axes);
    pln_value *in[4] = { v, begin, gr_op2(t, "Add", begin, size), axes };
    return v && begin && in[2] && axes ? gr_done(t, gr_node(t, "Slice", in, 4, 1)) : NULL;
}

pln_value *gr_concat(pln_grad *t, pln_node *n, pln_value *const *g, uint32_t i)
{
    const int64_t zero = 0;
    int axis;
    if (!known_axis(t, n, gr_attr_int(n, "axis", 0), gr_rank(n->out[0]), &axis))
        return NULL;
    const int64_t at = axis;
    pln_value *begin = gr_ints(t, &zero, 1);
    for (uint32_t k = 0; k < i; k++) {
        pln_value *shape = gr_op1(t, "Shape", n->in[k]);
        pln_value *size = gr_op2(t, "Gather", shape, gr_ints(t, &at, 1));
        begin = gr_op2(t, "Add", begin, size);
    }
    return part_like(t, g[0], begin, n->in[i], axis);
}

pln_value *gr_split(pln_grad *t, pln_node *n, pln_value *const *g, uint32_t i)
{
    pln_value **parts = PLN_NEW_ARRAY(t->arena, pln_value *, n->n_out + 1);
    if (!parts)
        return gr_refuse(t, n, "there is no memory");
    for (uint32_t o = 0; o < n->n_out; o++) {
        if (!n->out[o])
            return gr_refuse(t, n, "one of its outputs has no name");
        parts[o] = g[o] ? g[o] : gr_fill(t, n->out[o], 0);
        if (!parts[o])
            return NULL;
    }
    pln_node *c = gr_node(t, "Concat", parts, n->n_out, 1);
    gr_int(t, c, "axis", gr_attr_int(n, "axis", 0));
    return gr_done(t, c);
}

static pln_node *scatter_add(pln_grad *t, const char *op, pln_value *to, pln_value *at,
                             pln_value *v)
{
    pln_value *in[3] = { to, at, v };
    pln_node *s = to && at && v ? gr_node(t, op, in, 3, 1) : NULL;
    if (s && pln_node_set_string(s, "reduction", "add", 3) != PLN_OK)
        gr_refuse(t, t->node, "there is no memory");
    return s;
}

/* Scatters g to where indices of the sliced positions say. */
pln_value *gr_slice(pln_grad *t, pln_node *n, pln_value *const *g, uint32_t i)
{
    const int64_t flat = -1;
    pln_value *x = n->in[0], *in[5] = { NULL };
    if (i != 0)
        return NULL;
    /* the number of each element, cut out in the same way, tells where it came from */
    const int64_t zero = 0, one = 1;
    pln_value *none = gr_ints(t, &zero, 1);
    pln_value *first = gr_op2(t, "Squeeze", gr_ints(t, &zero, 1), none);
    pln_value *step = gr_op2(t, "Squeeze", gr_ints(t, &one, 1), none);
    pln_value *numbers = gr_op3(t, "Range", first, gr_op1(t, "Size", x), step);
    in[0] = gr_reshape_like(t, numbers, x);
    for (uint32_t k = 1; k < n->n_in && k < 5; k++)
        in[k] = n->in[k];
    pln_value *from = in[0] ? gr_done(t, gr_node(t, "Slice", in, n->n_in, 1)) : NULL;
    pln_value *to = gr_fill(t, gr_op2(t, "Reshape", x, gr_ints(t, &flat, 1)), 0);
    pln_value *where = gr_op2(t, "Reshape", from, gr_ints(t, &flat, 1));
    pln_value *values = gr_op2(t, "Reshape", g[0], gr_ints(t, &flat, 1));
    return gr_reshape_like(t, gr_op3(t, "ScatterElements", to, where, values), x);
}

/* The gathered axis is brought to the front, where ScatterND adds whole slices. */
pln_value *gr_gather(pln_grad *t, pln_node *n, pln_value *const *g, uint32_t i)
{
    const int64_t last = -1;
    const int rank = gr_rank(n->in[0]), n_index = gr_rank(n->in[1]);
    int64_t forth[PLN_MAX_RANK], back[PLN_MAX_RANK], of_g[PLN_MAX_RANK];
    int axis;
    if (i != 0 || !known_axis(t, n, gr_attr_int(n, "axis", 0), rank, &axis))
        return NULL;
    if (n_index == PLN_RANK_UNKNOWN || rank - 1 + n_index > PLN_MAX_RANK)
        return gr_refuse(t, n, "the rank of its indices is not known");
    for (int k = 0; k < rank; k++) {
        forth[k] = k == 0 ? axis : k <= axis ? k - 1 : k;
        back[k] = k < axis ? k + 1 : k == axis ? 0 : k;
    }
    for (int k = 0; k < rank - 1 + n_index; k++)
        of_g[k] = k < n_index ? axis + k : k < n_index + axis ? k - n_index : k;
    pln_value *to = gr_permute(t, gr_fill(t, n->in[0], 0), forth, rank);
    pln_value *v = gr_permute(t, g[0], of_g, rank - 1 + n_index);
    pln_value *at = gr_op2(t, "Unsqueeze", n->in[1], gr_ints(t, &last, 1));
    return gr_permute(t, gr_done(t, scatter_add(t, "ScatterND", to, at, v)), back, rank);
}

pln_value *gr_gather_elements(pln_grad *t, pln_node *n, pln_value *const *g, uint32_t i)
{
    if (i != 0)
        return NULL;
    pln_node *s =
        scatter_add(t, "ScatterElements", gr_fill(t, n->in[0], 0), n->in[1], g[0]);
    gr_int(t, s, "axis", gr_attr_int(n, "axis", 0));
    return gr_done(t, s);
}

pln_value *gr_top_k(pln_grad *t, pln_node *n, pln_value *const *g, uint32_t i)
{
    if (i != 0)
        return NULL;
    if (n->n_out < 2 || !n->out[1])
        return gr_refuse(t, n, "its indices have no name");
    pln_node *s =
        scatter_add(t, "ScatterElements", gr_fill(t, n->in[0], 0), n->out[1], g[0]);
    gr_int(t, s, "axis", gr_attr_int(n, "axis", -1));
    return gr_done(t, s);
}

/* Each element counts in the sums from its own on: they are summed from the other end. */
pln_value *gr_cum_sum(pln_grad *t, pln_node *n, pln_value *const *g, uint32_t i)
{
    pln_value *in[2] = { g[0], n->in[1] };
    if (i != 0)
        return NULL;
    pln_node *c = gr_node(t, "CumSum", in, 2, 1);
    gr_int(t, c, "reverse", !gr_attr_int(n, "reverse", 0));
    gr_int(t, c, "exclusive", gr_attr_int(n, "exclusive", 0));
    return gr_done(t, c);
}

pln_value *gr_trilu(pln_grad *t, pln_node *n, pln_value *const *g, uint32_t i)
{
    pln_value *in[2] = { g[0], n->n_in > 1 ? n->in[1] : NULL };
    if (i != 0)
        return NULL;
    pln_node *c = gr_node(t, "Trilu", in, in[1] ? 2 : 1, 1);
    gr_int(t, c, "upper", gr_attr_int(n, "upper", 1));
    return gr_done(t, c);
}

pln_value *gr_pad(pln_grad *t, pln_node *n, pln_value *const *g, uint32_t i)
{
    const pln_attr *mode = pln_node_find_attr(n, "mode");
    const int rank = gr_rank(n->in[0]);
    const pln_tensor *pads;
    int64_t begin[PLN_MAX_RANK], axes[PLN_MAX_RANK];
    if (i != 0)
        return NULL;
    if (mode && (mode->type != PLN_ATTR_STRING || strcmp(mode->s, "constant")))
        return gr_refuse(t, n, "only constants can be padded");
    if (rank == PLN_RANK_UNKNOWN || n->n_in > 3 || !gr_const_ints(n, 1, &pads) ||
        pln_tensor_size(pads) != 2 * (int64_t)rank)
        return gr_refuse(t, n, "its pads are not known");
    for (int d = 0; d < 2 * rank; d++)
        if (pln_tensor_get_i64(pads, d) < 0)
            return gr_refuse(t, n, "a pad is negative");
    for (int d = 0; d < rank; d++) {
        begin[d] = pln_tensor_get_i64(pads, d);
        axes[d] = d;
    }
    pln_value *from = gr_ints(t, begin, (size_t)rank);
    pln_value *in[4] = { g[0], from, gr_op2(t, "Add", from, gr_op1(t, "Shape", n->in[0])),
                         gr_ints(t, axes, (size_t)rank) };
    return in[1] && in[2] && in[3] ? gr_done(t, gr_node(t, "Slice", in, 4, 1)) : NULL;
}

pln_value *gr_cast(pln_grad *t, pln_node *n, pln_value *const *g, uint32_t i)
{
    pln_node *c = gr_node(t, "Cast", g, 1, 1);
    gr_int(t, c, "to", n->in[i]->type.dtype);
    return gr_done(t, c);
}

/* Sum and Mean. */
pln_value *gr_sum(pln_grad *t, pln_node *n, pln_value *const *g, uint32_t i)
{
    if (!strcmp(n->op_type, "Sum"))
        return g[0];
    return gr_op2(t, "Div", g[0], gr_scalar(t, g[0], n->n_in));
}

/* 1 where the condition holds, else 0, of the type of v. */
static pln_value *one_where(pln_grad *t, pln_value *condition, pln_value *v)
{
    pln_value *one = gr_scalar(t, v, 1), *zero = gr_scalar(t, v, 0);
    return gr_op3(t, "Where", condition, one, zero);
}

/* Max and Min: those that are equal to the result share. */
pln_value *gr_extreme(pln_grad *t, pln_node *n, pln_value *const *g, uint32_t i)
{
    pln_value *mine = NULL, *all = NULL;
    for (uint32_t k = 0; k < n->n_in; k++) {
        pln_value *same = gr_op2(t, "Equal", n->in[k], n->out[0]);
        pln_value *one = one_where(t, same, g[0]);
        all = all ? gr_op2(t, "Add", all, one) : one;
        mine = k == i ? one : mine;
    }
    return gr_op2(t, "Div", gr_op2(t, "Mul", g[0], mine), all);
}

pln_value *gr_same_clip(pln_grad *t, pln_node *n, pln_value *const *in)
{
    pln_value *v = in[0];
    if (n->n_in > 1 && in[1])
        v = gr_op2(t, "Max", v, in[1]);
    if (n->n_in > 2 && in[2])
        v = gr_op2(t, "Min", v, in[2]);
    return v == in[0] ? gr_op1(t, "Identity", v) : v;
}

/* What was dropped in training is only known to the run that dropped it. */
pln_value *gr_dropout(pln_grad *t, pln_node *n, pln_value *const *g, uint32_t i)
{
    const pln_value *training = n->n_in > 2 ? n->in[2] : NULL;
    if (i != 0)
        return NULL;
    if (training && !(pln_value_is_const(training) &&
                      pln_tensor_materialize(training->cst, NULL) == PLN_OK &&
                      pln_tensor_size(training->cst) == 1 &&
                      !PLN_DATA(const uint8_t, training->cst)[0])) {
        if (n->n_out < 2 || !n->out[1])
            return gr_refuse(t, n, "it drops at random and gives no mask");
        pln_value *kept = one_where(t, n->out[1], g[0]);
        pln_value *ratio = n->in[1] ? n->in[1] : gr_scalar(t, g[0], 0.5);
        pln_value *left = gr_op2(t, "Sub", gr_scalar(t, g[0], 1), ratio);
        return gr_op2(t, "Div", gr_op2(t, "Mul", g[0], kept), left);
    }
    return g[0];
}
