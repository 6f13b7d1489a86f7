/* Softmax and its like between their two meanings, along one axis and from one axis on.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/expand.h"

static pln_value *along(pln_expander *x, pln_value *v, int64_t axis)
{
    pln_node *n = pln_expand_node(x, x->n->op_type, &v, 1, 1);
    if (!n)
        return NULL;
    if (pln_node_set_int(n, "axis", axis) != PLN_OK)
        x->st = PLN_E_NOMEM;
    n->out[0]->type = v->type;
    return n->out[0];
}

/* Over all dimensions from `axis` on: as a matrix, and back. */
static pln_value *flattened(pln_expander *x, pln_value *v, int64_t axis)
{
    pln_node *flat = pln_expand_node(x, "Flatten", &v, 1, 1);
    if (!flat)
        return NULL;
    if (pln_node_set_int(flat, "axis", axis) != PLN_OK)
        x->st = PLN_E_NOMEM;
    flat->out[0]->type =
        pln_type_tensor(x->dt, pln_shape_new(x->n->graph->model->arena, 2));
    for (int i = 0; i < flat->out[0]->type.shape.rank; i++)
        flat->out[0]->type.shape.dims[i] = pln_dim_unknown();
    return pln_expand_2(x, "Reshape", along(x, flat->out[0], 1),
                        pln_expand_1(x, "Shape", v));
}

/* Along an inner axis: with that axis moved to the end. */
static pln_value *transposed(pln_expander *x, pln_value *v, int axis, int rank)
{
    int64_t perm[PLN_MAX_RANK];
    for (int i = 0; i < rank; i++)
        perm[i] = i == axis ? rank - 1 : i == rank - 1 ? axis : i;
    pln_value *t = pln_expand_transpose(x, v, perm, (size_t)rank);
    if (!t)
        return NULL;
    t->type =
        pln_type_tensor(x->dt, pln_shape_dup(x->n->graph->model->arena, v->type.shape));
    for (int i = 0; i < t->type.shape.rank; i++)
        t->type.shape.dims[i] = v->type.shape.dims[perm[i]];
    return pln_expand_transpose(x, along(x, t, rank - 1), perm, (size_t)rank);
}

pln_status pln_expand_softmax(pln_node *n, int64_t version, pln_error *err)
{
    pln_expander x = pln_expand_begin(n, version, err);
    int64_t axis = pln_expand_int(&x, "axis", -1);
    if (pln_expand_int(&x, "pln_flatten", 0)) {
        pln_expand_give(&x, 0, flattened(&x, n->in[0], axis));
        return pln_expand_end(&x);
    }
    const int rank = pln_expand_rank(&x);
    axis += axis < 0 ? rank : 0;
    if (axis < 0 || axis >= rank)
        pln_expand_refuse(&x, "its axis is outside its rank");
    else
        pln_expand_give(&x, 0, transposed(&x, n->in[0], (int)axis, rank));
    return pln_expand_end(&x);
}
