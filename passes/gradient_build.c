/* Building the nodes of a gradient.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/gradient.h"

#include <stdio.h>
#include <string.h>

pln_value *gr_refuse(pln_grad *t, const pln_node *n, const char *why)
{
    char where[160], of[160];
    if (t->failed == PLN_OK)
        t->failed =
            pln_fail(t->err, PLN_E_UNSUPPORTED, "%s: %s can't be differentiated: %s",
                     pln_node_where(t->node, where, sizeof where),
                     pln_node_where(n, of, sizeof of), why);
    return NULL;
}

static void *no_memory(pln_grad *t)
{
    if (t->failed == PLN_OK)
        t->failed = pln_oom(t->err);
    return NULL;
}

static void check(pln_grad *t, pln_status st)
{
    if (st != PLN_OK)
        no_memory(t);
}

static bool record(pln_grad *t, pln_node *n)
{
    if (t->n_tape == t->cap_tape) {
        const size_t cap = 2 * t->cap_tape + 64;
        pln_node **v = PLN_NEW_ARRAY(t->arena, pln_node *, cap);
        if (!v)
            return false;
        if (t->n_tape)
            memcpy(v, t->tape, t->n_tape * sizeof *v);
        t->tape = v;
        t->cap_tape = cap;
    }
    t->tape[t->n_tape++] = n;
    return true;
}

pln_node *gr_keep(pln_grad *t, pln_node *n)
{
    return record(t, n) ? n : no_memory(t);
}

pln_node *gr_node(pln_grad *t, const char *op, pln_value *const *in, uint32_t n_in,
                  uint32_t n_out)
{
    if (t->failed != PLN_OK)
        return NULL;
    pln_node *n = pln_graph_add_node(t->graph, NULL, "", op, "", in, n_in, n_out);
    return n && (!t->recording || record(t, n)) ? n : no_memory(t);
}

pln_value *gr_done(pln_grad *t, pln_node *n)
{
    bool changed;
    if (!n || t->failed != PLN_OK)
        return NULL;
    t->failed = pln_node_infer(n, &changed, t->err);
    return t->failed == PLN_OK ? n->out[0] : NULL;
}

pln_value *gr_op3(pln_grad *t, const char *op, pln_value *a, pln_value *b, pln_value *c)
{
    pln_value *in[3] = { a, b, c };
    return a ? gr_done(t, gr_node(t, op, in, c ? 3 : b ? 2 : 1, 1)) : NULL;
}

pln_value *gr_op1(pln_grad *t, const char *op, pln_value *a)
{
    return gr_op3(t, op, a, NULL, NULL);
}

pln_value *gr_op2(pln_grad *t, const char *op, pln_value *a, pln_value *b)
{
    return b ? gr_op3(t, op, a, b, NULL) : NULL;
}

void gr_int(pln_grad *t, pln_node *n, const char *name, int64_t v)
{
    if (n)
        check(t, pln_node_set_int(n, name, v));
}

void gr_set_ints(pln_grad *t, pln_node *n, const char *name, const int64_t *v, size_t c)
{
    if (n)
        check(t, pln_node_set_ints(n, name, v, c));
}

static pln_value *constant(pln_grad *t, pln_tensor *take)
{
    const char *name = take ? pln_graph_fresh_name(t->graph, "gradient") : NULL;
    if (!name || t->failed != PLN_OK) {
        pln_tensor_unref(take);
        return t->failed == PLN_OK ? no_memory(t) : NULL;
    }
    pln_value *v = pln_graph_add_initializer(t->graph, name, take);
    return v ? v : no_memory(t);
}

pln_value *gr_scalar(pln_grad *t, const pln_value *like, double v)
{
    pln_tensor *c = NULL;
    if (!like || t->failed != PLN_OK)
        return NULL;
    if (like->type.dtype == PLN_DT_NONE)
        return gr_refuse(t, t->node, "the type of a value is not known");
    check(t,
          pln_tensor_make(t->graph->model->alloc, like->type.dtype, 0, NULL, &c, NULL));
    if (c)
        pln_tensor_set_f64(c, 0, v);
    return constant(t, c);
}

pln_value *gr_ints(pln_grad *t, const int64_t *v, size_t n)
{
    pln_tensor *c = NULL;
    check(t, pln_tensor_from_i64(t->graph->model->alloc, 1, v, (int64_t)n, &c));
    return constant(t, c);
}

pln_value *gr_fill(pln_grad *t, pln_value *like, double v)
{
    const int64_t one = 1;
    pln_tensor *c = NULL;
    pln_value *shape = gr_op1(t, "Shape", like);
    pln_node *n = shape ? gr_node(t, "ConstantOfShape", &shape, 1, 1) : NULL;
    if (!n)
        return NULL;
    if (like->type.dtype == PLN_DT_NONE)
        return gr_refuse(t, t->node, "the type of a value is not known");
    check(t,
          pln_tensor_make(t->graph->model->alloc, like->type.dtype, 1, &one, &c, NULL));
    if (c) {
        pln_tensor_set_f64(c, 0, v);
        check(t, pln_node_set_tensor(n, "value", c));
        check(t, pln_model_own(t->graph->model, c));
        pln_tensor_unref(c);
    }
    return gr_done(t, n);
}

pln_value *gr_reshape_like(pln_grad *t, pln_value *v, pln_value *like)
{
    return gr_op2(t, "Reshape", v, gr_op1(t, "Shape", like));
}

pln_value *gr_permute(pln_grad *t, pln_value *v, const int64_t *perm, int rank)
{
    pln_node *n = v ? gr_node(t, "Transpose", &v, 1, 1) : NULL;
    gr_set_ints(t, n, "perm", perm, (size_t)rank);
    return gr_done(t, n);
}

pln_value *gr_reduce(pln_grad *t, pln_value *v, const int64_t *axes, size_t n, bool keep)
{
    pln_value *in[2] = { v, gr_ints(t, axes, n) };
    pln_node *r = v && in[1] ? gr_node(t, "ReduceSum", in, 2, 1) : NULL;
    gr_int(t, r, "keepdims", keep);
    return gr_done(t, r);
}

/* The shapes are known only at run time: so are the axes to sum over. */
static pln_value *fit_late(pln_grad *t, pln_value *v, pln_value *like)
{
    const int64_t zero = 0, one = 1, flat = -1;
    pln_value *shape = gr_op1(t, "Shape", like);
    pln_value *rank = gr_op1(t, "Size", gr_op1(t, "Shape", v));
    pln_value *more = gr_op2(t, "Sub", rank, gr_op1(t, "Size", shape));
    pln_value *none = gr_ints(t, &zero, 1), *single = gr_ints(t, &one, 1);
    pln_value *first = gr_op2(t, "Squeeze", none, none);
    pln_value *step = gr_op2(t, "Squeeze", single, none);
    if (!more || !first || !step)
        return NULL;
    pln_value *lead = gr_op3(t, "Range", first, more, step);
    pln_value *ones =
        gr_op1(t, "NonZero", gr_op2(t, "Equal", shape, gr_ints(t, &one, 1)));
    ones = gr_op2(t, "Add", gr_op2(t, "Reshape", ones, gr_ints(t, &flat, 1)), more);
    pln_value *both[2] = { lead, ones };
    pln_node *axes = lead && ones ? gr_node(t, "Concat", both, 2, 1) : NULL;
    gr_int(t, axes, "axis", 0);
    pln_value *in[2] = { v, gr_done(t, axes) };
    pln_node *sum = in[1] ? gr_node(t, "ReduceSum", in, 2, 1) : NULL;
    gr_int(t, sum, "noop_with_empty_axes", 1);
    return gr_op2(t, "Reshape", gr_done(t, sum), shape);
}

pln_value *gr_fit(pln_grad *t, pln_value *v, pln_value *like)
{
    int64_t axes[PLN_MAX_RANK];
    size_t n = 0;
    if (!v)
        return NULL;
    const pln_shape a = v->type.shape, b = like->type.shape;
    if (a.rank == PLN_RANK_UNKNOWN || b.rank == PLN_RANK_UNKNOWN || a.rank < b.rank)
        return fit_late(t, v, like);
    const int more = a.rank - b.rank;
    for (int i = 0; i < a.rank; i++) {
        if (i >= more && pln_dim_equal(a.dims[i], b.dims[i - more]))
            continue;
        if (i >= more && !pln_dim_is(b.dims[i - more], 1))
            return fit_late(t, v, like);
        axes[n++] = i;
    }
    if (n == 0)
        return v;
    v = gr_reduce(t, v, axes, n, true);
    return more ? gr_reshape_like(t, v, like) : v;
}

int64_t gr_dim(const pln_value *v, int axis)
{
    if (axis >= gr_rank(v))
        return -1;
    const pln_dim d = v->type.shape.dims[axis];
    return pln_dim_is_known(d) ? d.value : -1;
}

int64_t gr_attr_int(const pln_node *n, const char *name, int64_t otherwise)
{
    const pln_attr *a = pln_node_find_attr(n, name);
    return a && a->type == PLN_ATTR_INT ? a->i : otherwise;
}

const pln_attr *gr_attr_ints(const pln_node *n, const char *name)
{
    const pln_attr *a = pln_node_find_attr(n, name);
    return a && a->type == PLN_ATTR_INTS ? a : NULL;
}

bool gr_const_ints(const pln_node *n, uint32_t input, const pln_tensor **out)
{
    const pln_value *v = input < n->n_in ? n->in[input] : NULL;
    *out = v && pln_value_is_const(v) ? v->cst : NULL;
    return *out && (*out)->kind == PLN_KIND_TENSOR && (*out)->rank <= 1 &&
           ((*out)->dtype == PLN_DT_S64 || (*out)->dtype == PLN_DT_S32) &&
           pln_tensor_materialize(v->cst, NULL) == PLN_OK;
}
