/* Integers that inference knows, as constants.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/ir/settle.h"

static bool is_known(const pln_value *v)
{
    const pln_dtype dt = v ? v->type.dtype : PLN_DT_NONE;
    if (!v || !v->sym || v->type.kind != PLN_KIND_TENSOR ||
        (dt != PLN_DT_S64 && dt != PLN_DT_S32) || v->type.shape.rank < 0 ||
        v->type.shape.rank > 1)
        return false;
    for (int64_t i = 0; i < v->sym->n; i++)
        if (!pln_dim_is_known(v->sym->v[i]))
            return false;
    return v->type.shape.rank == 1 || v->sym->n == 1;
}

static pln_value *constant_of(const pln_value *v)
{
    pln_graph *g = v->graph;
    pln_tensor *t = NULL;
    if (pln_tensor_make(g->model->alloc, v->type.dtype, v->type.shape.rank, &v->sym->n,
                        &t, NULL) != PLN_OK)
        return NULL;
    for (int64_t i = 0; i < v->sym->n; i++)
        pln_tensor_set_i64(t, i, v->sym->v[i].value);
    return pln_graph_add_initializer(g, pln_graph_fresh_name(g, v->name), t);
}

pln_status pln_node_settle_inputs(pln_node *n, bool *any)
{
    *any = false;
    for (uint32_t i = 0; i < n->n_in; i++) {
        if (!n->in[i] || pln_value_is_const(n->in[i]) ||
            n->in[i]->kind == PLN_VALUE_INPUT || !is_known(n->in[i]))
            continue;
        pln_value *now = constant_of(n->in[i]);
        if (!now || pln_node_set_input(n, i, now) != PLN_OK)
            return PLN_E_NOMEM;
        *any = true;
    }
    return PLN_OK;
}

pln_status pln_node_settle(pln_node *n, bool *gone)
{
    *gone = n->n_out == 1 && n->out[0] && is_known(n->out[0]) &&
            !pln_value_is_output(n->out[0]);
    if (!*gone)
        return PLN_OK;
    pln_value *now = constant_of(n->out[0]);
    if (!now)
        return PLN_E_NOMEM;
    pln_value_replace_uses(n->out[0], now);
    pln_graph_remove_node(n);
    return PLN_OK;
}
