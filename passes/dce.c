/* dce: removes nodes and constants that nothing needs.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/pass.h"

static pln_status run(pln_pass_ctx *ctx, pln_graph *g, pln_error *err);

/* First, since what a body no longer needs may be needed by nobody then. */
static pln_status run_on_bodies(pln_pass_ctx *ctx, pln_node *n, pln_error *err)
{
    for (uint32_t i = 0; i < n->n_attrs; i++) {
        const pln_attr *a = n->attrs[i];
        if (a->type == PLN_ATTR_GRAPH && a->g)
            PLN_TRY(run(ctx, a->g, err));
        for (size_t k = 0; a->type == PLN_ATTR_GRAPHS && k < a->n; k++)
            PLN_TRY(run(ctx, a->graphs[k], err));
    }
    return PLN_OK;
}

static pln_status run(pln_pass_ctx *ctx, pln_graph *g, pln_error *err)
{
    for (pln_node *n = g->last, *prev; n; n = prev) {
        prev = n->prev;
        PLN_TRY(run_on_bodies(ctx, n, err));
        if (pln_node_is_dead(n) && pln_pass_begin_sure(ctx, n))
            pln_graph_remove_node(n);
    }
    for (pln_value *v = g->values, *next; v; v = next) {
        next = v->next;
        if (v->kind == PLN_VALUE_INITIALIZER && !v->n_uses && pln_pass_begin_sure(ctx, NULL))
            pln_graph_remove_value(v);
    }
    return PLN_OK;
}

const pln_pass pln_pass_dce = {
    .name = "dce",
    .brief = "removes nodes and constants that nothing needs",
    .run = run,
    .contract = PLN_EXACT,
};
