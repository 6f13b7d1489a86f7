/* inline: calls of model-local functions whose body is one node become that node. Larger
 * ones stay calls: they say what a part of the model is.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/pass.h"

#include <string.h>

#include "src/ir/inline.h"

#define MAX_DEPTH 16

static int64_t opset_of(const pln_function *f, const char *domain)
{
    for (size_t i = 0; i < f->n_opsets; i++)
        if (!strcmp(f->opsets[i].domain, domain))
            return f->opsets[i].version;
    return 0;
}

static bool has_bodies(const pln_node *n)
{
    for (uint32_t i = 0; i < n->n_attrs; i++)
        if (n->attrs[i]->type == PLN_ATTR_GRAPH || n->attrs[i]->type == PLN_ATTR_GRAPHS)
            return true;
    return false;
}

/* One node, besides constants, that the model's own operator sets can hold. */
static bool is_one_node(const pln_model *m, const pln_function *f)
{
    const pln_node *only = NULL;
    for (const pln_node *n = f->body->first; n; n = n->next) {
        if (pln_node_is(n, "Constant"))
            continue;
        if (only || has_bodies(n))
            return false;
        only = n;
    }
    return only && opset_of(f, only->domain) == pln_model_opset(m, only->domain) &&
           opset_of(f, "") == pln_model_opset(m, "");
}

static pln_status run(pln_pass_ctx *ctx, pln_graph *g, pln_error *err)
{
    pln_model *m = ctx->model;
    const pln_graph *top = g;
    while (top->parent)
        top = top->parent;
    if (!m->n_functions || top != m->graph)
        return PLN_OK;
    int depth = 0; /* of calls in what took the place of a call */
    for (pln_node *n = g->first, *next; n; n = next) {
        pln_node *prev = n->prev;
        next = n->next;
        const pln_function *f =
            n->op || !strcmp(n->domain, "planish")
                ? NULL
                : pln_model_find_function(m, n->domain, n->op_type, n->overload);
        if (!f || depth == MAX_DEPTH || !is_one_node(m, f) || !pln_pass_begin(ctx, n)) {
            depth = 0;
            continue;
        }
        PLN_TRY(pln_node_inline(n, err));
        depth++;
        next = prev ? prev->next : g->first;
    }
    return PLN_OK;
}

const pln_pass pln_pass_inline = {
    .name = "inline",
    .brief = "calls of functions of one node become that node",
    .run = run,
    .contract = PLN_EXACT,
};
