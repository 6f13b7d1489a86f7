/* Symbolic contents of elementwise integer arithmetic, and broadcasting before version 7.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/binary.h"

#include <string.h>

pln_status pln_infer_fold_sym(pln_infer *inf, pln_dim (*fn)(pln_syms *, pln_dim, pln_dim),
                              pln_error *err)
{
    pln_symval acc;
    if (inf->out[0].dtype != PLN_DT_S64 && inf->out[0].dtype != PLN_DT_S32)
        return PLN_OK;
    if (inf->out[0].shape.rank > 1 || inf->n_in == 0 || !pln_infer_ints(inf, 0, &acc))
        return PLN_OK;
    for (uint32_t i = 1; i < inf->n_in; i++) {
        pln_symval b;
        if (!pln_infer_ints(inf, i, &b) || (b.n != acc.n && b.n != 1 && acc.n != 1))
            return PLN_OK;
        const int64_t n = acc.n == 1 ? b.n : acc.n;
        pln_dim *v = PLN_NEW_ARRAY(inf->arena, pln_dim, n);
        if (!v)
            return pln_oom(err);
        for (int64_t j = 0; j < n; j++)
            v[j] = fn(inf->syms, acc.v[acc.n == 1 ? 0 : j], b.v[b.n == 1 ? 0 : j]);
        acc = (pln_symval){ .n = n, .v = v };
    }
    pln_symval *out = PLN_NEW(inf->arena, pln_symval);
    if (!out)
        return pln_oom(err);
    *out = acc;
    inf->out_sym[0] = out;
    return PLN_OK;
}

/* A new node before n, with one named output. */
static pln_value *insert(pln_node *n, const char *op, pln_value *a, pln_value *b)
{
    pln_value *in[2] = { a, b };
    pln_node *u =
        a ? pln_graph_add_node(n->graph, n, "", op, "", in, b ? 2 : 1, 1) : NULL;
    if (!u || !pln_value_rename(u->out[0], pln_graph_fresh_name(n->graph, "aligned")))
        return NULL;
    return u->out[0];
}

static pln_value *constant(pln_node *n, const int64_t *v, int64_t count)
{
    pln_tensor *t = NULL;
    if (pln_tensor_from_i64(n->graph->model->alloc, 1, v, count, &t) != PLN_OK)
        return NULL;
    return pln_graph_add_initializer(n->graph, pln_graph_fresh_name(n->graph, "axes"), t);
}

/* The rank of the first input is not known yet: its shape tells how many dimensions of 1
 * the second one needs behind its own. */
static pln_status align_by_shape(pln_node *n, int64_t first_behind, pln_error *err)
{
    const int64_t one = 1, zero = 0;
    pln_value *rank = insert(n, "Shape", insert(n, "Shape", n->in[0], NULL), NULL);
    pln_value *behind = insert(n, "Sub", rank, constant(n, &first_behind, 1));
    pln_value *ones = insert(n, "Tile", constant(n, &one, 1), behind);
    pln_value *shape = insert(n, "Concat", insert(n, "Shape", n->in[1], NULL), ones);
    pln_value *aligned = shape ? insert(n, "Reshape", n->in[1], shape) : NULL;
    if (!aligned || pln_node_set_int(shape->def, "axis", zero) != PLN_OK)
        return pln_oom(err);
    return pln_node_set_input(n, 1, aligned);
}

/* The second input's dimensions met the first's from `axis` on; now they are aligned at
 * the end, so that it needs dimensions of 1 behind its own. */
pln_status pln_raise_align_second(pln_node *n, int64_t axis, pln_error *err)
{
    char where[160];
    pln_value *b = n->in[1];
    const int ra = n->in[0]->type.shape.rank, rb = b->type.shape.rank;
    if (rb == 0 || axis + rb == 0)
        return PLN_OK;
    if (rb != PLN_RANK_UNKNOWN && axis >= 0 && ra == PLN_RANK_UNKNOWN)
        return align_by_shape(n, axis + rb, err);
    if (rb == PLN_RANK_UNKNOWN)
        return pln_fail(
            err, PLN_E_UNSUPPORTED,
            "%s: attribute axis of an old version, and the ranks are not known",
            pln_node_where(n, where, sizeof where));
    const int64_t behind = axis < 0 ? -axis - rb : ra - axis - rb;
    if (behind == 0)
        return PLN_OK;
    if (behind < 0 || behind + rb > PLN_MAX_RANK)
        return pln_fail(err, PLN_E_FORMAT, "%s: axis %lld with inputs of rank %d and %d",
                        pln_node_where(n, where, sizeof where), (long long)axis, ra, rb);
    int64_t axes[PLN_MAX_RANK];
    for (int64_t i = 0; i < behind; i++)
        axes[i] = rb + i;
    pln_tensor *t = NULL;
    PLN_TRY(pln_tensor_from_i64(n->graph->model->alloc, 1, axes, behind, &t));
    pln_value *in[2] = { b, pln_graph_add_initializer(
                                n->graph, pln_graph_fresh_name(n->graph, "axes"), t) };
    pln_node *u =
        in[1] ? pln_graph_add_node(n->graph, n, "", "Unsqueeze", "", in, 2, 1) : NULL;
    if (!u)
        return pln_oom(err);
    if (!pln_value_rename(u->out[0], pln_graph_fresh_name(n->graph, "unsqueezed")))
        return pln_oom(err);
    return pln_node_set_input(n, 1, u->out[0]);
}

/* How many dimensions an Unsqueeze that pln_raise_align_second added puts behind those of
 * its input; 0: it is another node. Its axes may be an attribute again already. */
static int64_t dimensions_behind(const pln_node *u)
{
    if (!u || strcmp(u->op_type, "Unsqueeze") || *u->domain || *u->name ||
        u->out[0]->n_uses != 1 || !u->in[0] || u->in[0]->type.shape.rank < 0)
        return 0;
    const pln_attr *a = pln_node_find_attr(u, "axes");
    const pln_tensor *t = u->n_in == 2 && u->in[1] ? u->in[1]->cst : NULL;
    const int64_t n = a ? (int64_t)a->n : t && t->data ? pln_tensor_size(t) : 0;
    for (int64_t i = 0; i < n; i++)
        if ((a ? a->ints[i] : pln_tensor_get_i64(t, i)) != u->in[0]->type.shape.rank + i)
            return 0;
    return n;
}

int64_t pln_lower_align_second(pln_node *n)
{
    pln_node *u = n->n_in > 1 && n->in[1] ? n->in[1]->def : NULL;
    const int64_t behind = dimensions_behind(u);
    if (!behind)
        return 0;
    pln_value *axes = u->n_in == 2 ? u->in[1] : NULL;
    if (pln_node_set_input(n, 1, u->in[0]) != PLN_OK)
        return 0;
    pln_graph_remove_node(u);
    if (axes && !axes->n_uses && axes->kind == PLN_VALUE_INITIALIZER && !axes->file_order)
        pln_graph_remove_value(axes);
    return behind;
}

pln_status pln_raise_broadcast(pln_node *n, pln_error *err)
{
    const pln_attr *axis = pln_node_find_attr(n, "axis");
    const pln_attr *broadcast = pln_node_find_attr(n, "broadcast");
    if (axis && axis->type == PLN_ATTR_INT && broadcast && broadcast->i && n->n_in == 2 &&
        n->in[0] && n->in[1])
        PLN_TRY(pln_raise_align_second(n, axis->i, err));
    pln_node_drop_attr(n, "axis");
    pln_node_drop_attr(n, "broadcast");
    pln_node_drop_attr(n, "consumed_inputs");
    return PLN_OK;
}

/* Without the attribute both shapes had to be equal; only the second one broadcast. */
pln_status pln_lower_broadcast(pln_node *n, pln_error *err)
{
    char where[160];
    if (n->n_in != 2 || !n->in[0] || !n->in[1])
        return PLN_OK;
    const int64_t behind = pln_lower_align_second(n);
    const pln_shape a = n->in[0]->type.shape, b = n->in[1]->type.shape;
    if (behind && a.rank >= behind + b.rank)
        PLN_TRY(pln_node_set_int(n, "axis", a.rank - behind - b.rank));
    else if (pln_shape_equal(a, b))
        return PLN_OK;
    if (a.rank != PLN_RANK_UNKNOWN && b.rank != PLN_RANK_UNKNOWN && b.rank > a.rank)
        return pln_fail(err, PLN_E_UNSUPPORTED,
                        "%s: only the second input broadcasts before version 7",
                        pln_node_where(n, where, sizeof where));
    return pln_node_set_int(n, "broadcast", 1);
}

const pln_version_change pln_versions_broadcast[] = {
    { 7, pln_raise_broadcast, pln_lower_broadcast }, { 0 }
};

pln_status pln_raise_consumed(pln_node *n, pln_error *err)
{
    (void)err;
    pln_node_drop_attr(n, "consumed_inputs");
    return PLN_OK;
}

const pln_version_change pln_versions_consumed[] = { { 6, pln_raise_consumed, NULL },
                                                     { 0 } };
