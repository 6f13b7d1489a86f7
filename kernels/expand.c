/* Building expansions.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/expand.h"

#include "kernels/raise.h"

pln_expander pln_expand_begin(pln_node *n, int64_t version, pln_error *err)
{
    pln_expander x = { .n = n, .version = version, .err = err };
    x.dt = n->n_in && n->in[0] ? n->in[0]->type.dtype : PLN_DT_NONE;
    if (n->n_in && !x.dt)
        pln_expand_refuse(&x, "its element type is not known");
    return x;
}

pln_status pln_expand_end(const pln_expander *x)
{
    return x->st == PLN_E_NOMEM ? pln_oom(x->err) : x->st;
}

void pln_expand_refuse(pln_expander *x, const char *why)
{
    if (x->st == PLN_OK)
        x->st = why ? pln_lower_fail(x->n, x->err, why) : PLN_E_UNSUPPORTED;
}

static bool failed(pln_expander *x, bool bad)
{
    if (bad && x->st == PLN_OK)
        x->st = PLN_E_NOMEM;
    return x->st != PLN_OK;
}

pln_value *pln_expand_in(const pln_expander *x, uint32_t i)
{
    return i < x->n->n_in ? x->n->in[i] : NULL;
}

float pln_expand_float(const pln_expander *x, const char *attr, float otherwise)
{
    const pln_attr *a = pln_node_find_attr(x->n, attr);
    return a && a->type == PLN_ATTR_FLOAT ? a->f : otherwise;
}

int64_t pln_expand_int(const pln_expander *x, const char *attr, int64_t otherwise)
{
    const pln_attr *a = pln_node_find_attr(x->n, attr);
    return a && a->type == PLN_ATTR_INT ? a->i : otherwise;
}

int pln_expand_rank(pln_expander *x)
{
    const int rank = x->n->in[0]->type.shape.rank;
    if (rank == PLN_RANK_UNKNOWN)
        pln_expand_refuse(x, "its rank is not known");
    return rank == PLN_RANK_UNKNOWN ? 0 : rank;
}

pln_node *pln_expand_node(pln_expander *x, const char *op, pln_value *const *in,
                          uint32_t n_in, uint32_t n_out)
{
    if (x->st != PLN_OK)
        return NULL;
    pln_node *n = pln_graph_add_node(x->n->graph, x->n, "", op, NULL, in, n_in, n_out);
    return failed(x, !n) ? NULL : n;
}

static pln_value *output(pln_node *n)
{
    return n ? n->out[0] : NULL;
}

pln_value *pln_expand_1(pln_expander *x, const char *op, pln_value *a)
{
    return output(pln_expand_node(x, op, &a, 1, 1));
}

pln_value *pln_expand_2(pln_expander *x, const char *op, pln_value *a, pln_value *b)
{
    pln_value *in[] = { a, b };
    return output(pln_expand_node(x, op, in, 2, 1));
}

pln_value *pln_expand_3(pln_expander *x, const char *op, pln_value *a, pln_value *b,
                        pln_value *c)
{
    pln_value *in[] = { a, b, c };
    return output(pln_expand_node(x, op, in, 3, 1));
}

static pln_value *constant(pln_expander *x, pln_tensor *t)
{
    if (failed(x, !t))
        return NULL;
    pln_graph *g = x->n->graph;
    pln_value *v = pln_graph_add_initializer(g, pln_graph_fresh_name(g, "c"), t);
    return failed(x, !v) ? NULL : v;
}

pln_value *pln_expand_scalar(pln_expander *x, pln_dtype dt, double v)
{
    pln_tensor *t = NULL;
    if (x->st != PLN_OK)
        return NULL;
    if (pln_tensor_make(x->n->graph->model->alloc, dt, 0, NULL, &t, NULL) == PLN_OK)
        pln_tensor_set_f64(t, 0, v);
    return constant(x, t);
}

pln_value *pln_expand_by(pln_expander *x, const char *op, pln_value *a, double scalar)
{
    return pln_expand_2(x, op, a, pln_expand_scalar(x, x->dt, scalar));
}

pln_value *pln_expand_ints(pln_expander *x, const int64_t *v, size_t n)
{
    pln_tensor *t = NULL;
    if (x->st != PLN_OK)
        return NULL;
    pln_tensor_from_i64(x->n->graph->model->alloc, 1, v, (int64_t)n, &t);
    return constant(x, t);
}

pln_value *pln_expand_cast(pln_expander *x, pln_value *a, pln_dtype dt)
{
    pln_node *n = pln_expand_node(x, "Cast", &a, 1, 1);
    failed(x, n && pln_node_set_int(n, "to", dt) != PLN_OK);
    return output(n);
}

pln_value *pln_expand_mean(pln_expander *x, pln_value *a, const int64_t *axes, size_t n)
{
    return pln_expand_2(x, "ReduceMean", a, pln_expand_ints(x, axes, n));
}

pln_value *pln_expand_transpose(pln_expander *x, pln_value *a, const int64_t *perm,
                                size_t n)
{
    pln_node *t = pln_expand_node(x, "Transpose", &a, 1, 1);
    failed(x, t && pln_node_set_ints(t, "perm", perm, n) != PLN_OK);
    return output(t);
}

pln_value *pln_expand_many(pln_expander *x, const char *op, pln_value *const *in,
                           uint32_t n_in)
{
    return output(pln_expand_node(x, op, in, n_in, 1));
}

pln_value *pln_expand_set(pln_expander *x, pln_value *v, const char *attr, int64_t i)
{
    failed(x, v && pln_node_set_int(v->def, attr, i) != PLN_OK);
    return v;
}

pln_value *pln_expand_concat(pln_expander *x, int64_t axis, pln_value *const *in,
                             uint32_t n)
{
    return pln_expand_set(x, pln_expand_many(x, "Concat", in, n), "axis", axis);
}

pln_value *pln_expand_reshape(pln_expander *x, pln_value *v, const int64_t *dims,
                              size_t n)
{
    return pln_expand_2(x, "Reshape", v, pln_expand_ints(x, dims, n));
}

pln_value *pln_expand_unsqueeze(pln_expander *x, pln_value *v, const int64_t *axes,
                                size_t n)
{
    return pln_expand_2(x, "Unsqueeze", v, pln_expand_ints(x, axes, n));
}

int64_t pln_expand_size(const pln_value *v, int axis)
{
    const pln_shape s = v->type.shape;
    if (axis < 0 || axis >= s.rank || !pln_dim_is_known(s.dims[axis]))
        return -1;
    return s.dims[axis].value;
}

pln_value *pln_expand_dims(pln_expander *x, pln_value *v, int from, int n)
{
    int64_t dims[PLN_MAX_RANK], at[PLN_MAX_RANK];
    bool known = true;
    for (int i = 0; i < n; i++) {
        at[i] = from + i;
        dims[i] = pln_expand_size(v, from + i);
        known &= dims[i] >= 0;
    }
    if (known)
        return pln_expand_ints(x, dims, (size_t)n);
    return pln_expand_2(x, "Gather", pln_expand_1(x, "Shape", v),
                        pln_expand_ints(x, at, (size_t)n));
}

pln_value *pln_expand_count(pln_expander *x, pln_value *n)
{
    static const int64_t flat[] = { -1 };
    if (x->version < 9)
        pln_expand_refuse(x, "it would need ConstantOfShape, which came in version 9");
    pln_value *ones = pln_expand_1(x, "ConstantOfShape", n);
    pln_tensor *t = NULL;
    const int64_t one = 1;
    if (!ones)
        return NULL;
    pln_tensor_from_i64(x->n->graph->model->alloc, 1, &one, 1, &t);
    failed(x, !t || pln_node_set_tensor(ones->def, "value", t) != PLN_OK);
    pln_tensor_unref(t);
    return pln_expand_reshape(x, pln_expand_1(x, "NonZero", ones), flat, 1);
}

const pln_tensor *pln_expand_contents(const pln_expander *x, uint32_t i)
{
    const pln_value *v = pln_expand_in(x, i);
    return v && pln_value_is_const(v) && pln_tensor_materialize(v->cst, NULL) == PLN_OK
               ? v->cst
               : NULL;
}

bool pln_expand_wants(const pln_expander *x, uint32_t i)
{
    return i < x->n->n_out && x->n->out[i] && x->n->out[i]->uses;
}

void pln_expand_give(pln_expander *x, uint32_t i, pln_value *v)
{
    if (x->st != PLN_OK || i >= x->n->n_out || !x->n->out[i])
        return;
    pln_value *old = x->n->out[i];
    pln_graph *g = old->graph;
    const char *name = old->name, *other = pln_graph_fresh_name(g, name);
    if (failed(x, !other || !pln_value_rename(old, other)))
        return;
    failed(x, !pln_value_rename(v, name));
    v->declared = old->declared;
    v->extra = old->extra;
    v->type = old->type;
    pln_value_replace_uses(old, v);
}
