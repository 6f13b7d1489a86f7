/* dce: removes nodes, constants and functions that nothing needs.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/pass.h"

#define MAX_DEPTH 16 /* of functions that call functions */

static pln_status run_on_graph(pln_pass_ctx *ctx, pln_graph *g, pln_error *err);

/* First, since what a body no longer needs may be needed by nobody then. */
static pln_status run_on_bodies(pln_pass_ctx *ctx, pln_node *n, pln_error *err)
{
    for (uint32_t i = 0; i < n->n_attrs; i++) {
        const pln_attr *a = n->attrs[i];
        if (a->type == PLN_ATTR_GRAPH && a->g)
            PLN_TRY(run_on_graph(ctx, a->g, err));
        for (size_t k = 0; a->type == PLN_ATTR_GRAPHS && k < a->n; k++)
            PLN_TRY(run_on_graph(ctx, a->graphs[k], err));
    }
    return PLN_OK;
}

static const pln_function *called_by(const pln_model *m, const pln_node *n)
{
    return n->op || !m->n_functions
               ? NULL
               : pln_model_find_function(m, n->domain, n->op_type, n->overload);
}

typedef struct effects {
    const pln_model *m;
    bool found;
    int depth;
} effects;

static pln_status find_effect(pln_graph *g, void *user)
{
    effects *e = user;
    for (const pln_node *n = g->first; n && !e->found; n = n->next) {
        const pln_function *f = called_by(e->m, n);
        if (f && ++e->depth < MAX_DEPTH) {
            pln_graph_walk(f->body, find_effect, e);
            e->depth--;
        } else {
            e->found = (pln_node_traits(n) & PLN_OP_EFFECT) != 0;
        }
    }
    return PLN_OK;
}

/* A call of a function that only computes, whose results nobody needs. */
static bool is_dead_call(const pln_pass_ctx *ctx, const pln_node *n)
{
    effects e = { ctx->model, false, 0 };
    for (uint32_t i = 0; i < n->n_out; i++)
        if (n->out[i] && n->out[i]->n_uses)
            return false;
    const pln_function *f = called_by(ctx->model, n);
    if (f)
        pln_graph_walk(f->body, find_effect, &e);
    return f && !e.found;
}

static pln_status run_on_graph(pln_pass_ctx *ctx, pln_graph *g, pln_error *err)
{
    for (pln_node *n = g->last, *prev; n; n = prev) {
        prev = n->prev;
        PLN_TRY(run_on_bodies(ctx, n, err));
        if ((pln_node_is_dead(n) || is_dead_call(ctx, n)) && pln_pass_begin_sure(ctx, n))
            pln_graph_remove_node(n);
    }
    for (pln_value *v = g->values, *next; v; v = next) {
        next = v->next;
        if (v->kind == PLN_VALUE_INITIALIZER && !v->n_uses &&
            pln_pass_begin_sure(ctx, NULL))
            pln_graph_remove_value(v);
    }
    return PLN_OK;
}

/* ---- functions --------------------------------------------------------------------- */

typedef struct callers {
    const pln_model *m;
    bool *called; /* by function */
} callers;

static pln_status find_called(pln_graph *g, void *user)
{
    const callers *c = user;
    for (const pln_node *n = g->first; n; n = n->next) {
        const pln_function *f = pln_model_find_function(
            c->m, n->domain, n->op_type, n->overload);
        for (size_t i = 0; f && i < c->m->n_functions; i++) {
            if (c->m->functions[i] != f || c->called[i])
                continue;
            c->called[i] = true;
            PLN_TRY(pln_graph_walk(f->body, find_called, user));
        }
    }
    return PLN_OK;
}

/* Functions that nothing calls, from the main graph on. */
static pln_status drop_functions(pln_pass_ctx *ctx, pln_error *err)
{
    pln_model *m = ctx->model;
    callers c = { m, PLN_NEW_ARRAY(ctx->scratch, bool, m->n_functions + 1) };
    if (!c.called)
        return pln_oom(err);
    PLN_TRY(pln_graph_walk(m->graph, find_called, &c));
    size_t n = 0;
    for (size_t i = 0; i < m->n_functions; i++)
        if (c.called[i] || !pln_pass_begin_sure(ctx, NULL))
            m->functions[n++] = m->functions[i];
    m->n_functions = n;
    return PLN_OK;
}

static pln_status run(pln_pass_ctx *ctx, pln_graph *g, pln_error *err)
{
    PLN_TRY(run_on_graph(ctx, g, err));
    return g == ctx->model->graph && ctx->model->n_functions ? drop_functions(ctx, err)
                                                             : PLN_OK;
}

const pln_pass pln_pass_dce = {
    .name = "dce",
    .brief = "removes nodes, constants and functions that nothing needs",
    .run = run,
    .contract = PLN_EXACT,
};
