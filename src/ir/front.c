/* Axes counted from the front.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/ir/front.h"

#include <string.h>

/* Operators that came before version 11 and learned of negative axes with it. */
static const struct {
    const char *op;
    int more; /* dimensions that they count beside those of input 0 */
} by_axis[] = { { "ArgMax", 0 }, { "ArgMin", 0 },     { "Compress", 0 }, { "Concat", 0 },
                { "Flatten", 0 }, { "Gather", 0 },    { "Hardmax", 0 },
                  { "LogSoftmax", 0 },
                { "OneHot", 1 }, { "Softmax", 0 },    { "Split", 0 },    { "TopK", 0 } };
static const struct {
    const char *op;
    uint32_t slot;
} by_axes[] = { { "Slice", 3 }, { "Squeeze", 1 }, { "Unsqueeze", 1 } };

static pln_status unknown(const pln_node *n, pln_error *err)
{
    char where[160];
    return pln_fail(
        err, PLN_E_UNSUPPORTED,
        "%s: before version 11 axes count from the front, and its rank is not "
        "known",
        pln_node_where(n, where, sizeof where));
}

static int rank_of(const pln_node *n)
{
    return n->in[0] ? n->in[0]->type.shape.rank : PLN_RANK_UNKNOWN;
}

static pln_status count_axis(pln_node *n, int more, pln_error *err)
{
    const pln_attr *a = pln_node_find_attr(n, "axis");
    if (!a || a->type != PLN_ATTR_INT || a->i >= 0)
        return PLN_OK;
    if (rank_of(n) < 0 || a->i + rank_of(n) + more < 0)
        return unknown(n, err);
    return pln_node_set_int(n, "axis", a->i + rank_of(n) + more);
}

static pln_status count_axes(pln_node *n, uint32_t slot, pln_error *err)
{
    int64_t axes[PLN_MAX_RANK];
    const pln_value *v = slot < n->n_in ? n->in[slot] : NULL;
    if (!v || !pln_value_is_const(v) || pln_tensor_materialize(v->cst, NULL) != PLN_OK)
        return PLN_OK;
    const int64_t n_axes = pln_tensor_size(v->cst);
    bool negative = false;
    for (int64_t i = 0; i < n_axes && i < PLN_MAX_RANK; i++) {
        axes[i] = pln_tensor_get_i64(v->cst, i);
        negative |= axes[i] < 0;
    }
    if (!negative || n_axes > PLN_MAX_RANK)
        return PLN_OK;
    const int rank = rank_of(n) + (!strcmp(n->op_type, "Unsqueeze") ? (int)n_axes : 0);
    if (rank_of(n) < 0)
        return unknown(n, err);
    for (int64_t i = 0; i < n_axes; i++)
        axes[i] += axes[i] < 0 ? rank : 0;
    pln_tensor *t = NULL;
    pln_tensor_from_i64(n->graph->model->alloc, 1, axes, n_axes, &t);
    pln_value *now = t ? pln_graph_add_initializer(
                             n->graph, pln_graph_fresh_name(n->graph, "axes"), t)
                       : NULL;
    return now ? pln_node_set_input(n, slot, now) : PLN_E_NOMEM;
}

pln_status pln_node_count_from_front(pln_node *n, pln_error *err)
{
    for (size_t i = 0; i < sizeof by_axis / sizeof by_axis[0]; i++)
        if (!strcmp(by_axis[i].op, n->op_type))
            return count_axis(n, by_axis[i].more, err);
    for (size_t i = 0; i < sizeof by_axes / sizeof by_axes[0]; i++)
        if (!strcmp(by_axes[i].op, n->op_type))
            return count_axes(n, by_axes[i].slot, err);
    return strncmp(n->op_type, "Reduce", 6) ? PLN_OK : count_axes(n, 1, err);
}
