/* Sizes that have no name get a symbol of their own while passes run, so that what has
 * such a size is known to agree: an unnamed size of an input, and one that depends on
 * contents. In the main graph alone, where a value is computed once; the file never shows
 * them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/pass.h"

#include <stdio.h>

#include "src/ir/infer.h"

static bool has_unknown_size(const pln_value *v)
{
    if (!v || v->type.kind != PLN_KIND_TENSOR)
        return false;
    for (int i = 0; i < v->type.shape.rank; i++)
        if (pln_dim_is_unknown(v->type.shape.dims[i]))
            return true;
    return false;
}

static pln_status name_sizes(pln_value *v, pln_error *err)
{
    pln_model *m = v->graph->model;
    const int rank = v->type.shape.rank;
    pln_shape s = pln_shape_dup(m->arena, v->type.shape);
    if (s.rank != rank)
        return pln_oom(err);
    for (int i = 0; i < rank; i++) {
        char name[48];
        const int n = snprintf(name, sizeof name, "?%u.%d", v->id, i);
        if (pln_dim_is_unknown(s.dims[i]))
            s.dims[i] = pln_dim_symbol(m->syms, name, (size_t)n);
    }
    v->type.shape = s;
    return PLN_OK;
}

/* What follows from a size that was named just now: `news` marks values by their id. */
static pln_status visit(pln_node *n, bool *news, pln_error *err)
{
    bool again = false, changed = false;
    for (uint32_t i = 0; i < n->n_in; i++)
        again |= n->in[i] && news[n->in[i]->id];
    if (again && n->op && !(n->op->traits & PLN_OP_CONTROL)) {
        pln_error local = { .code = PLN_OK };
        if (pln_node_infer(n, &changed, &local) == PLN_E_NOMEM)
            return pln_oom(err);
    }
    for (uint32_t i = 0; i < n->n_out; i++) {
        if (!n->out[i])
            continue;
        news[n->out[i]->id] = changed;
        if (!has_unknown_size(n->out[i]))
            continue;
        PLN_TRY(name_sizes(n->out[i], err));
        news[n->out[i]->id] = true;
    }
    return PLN_OK;
}

pln_status pln_sizes_infer(pln_model *m, pln_error *err)
{
    const pln_infer_options o = { .strict = false };
    pln_graph *g = m->graph;
    for (uint32_t i = 0; i < g->n_inputs; i++)
        if (has_unknown_size(g->inputs[i]))
            PLN_TRY(name_sizes(g->inputs[i], err));
    PLN_TRY(pln_graph_infer(g, &o, err));
    bool *news = pln_calloc(m->alloc, (size_t)m->n_values + 1, sizeof *news);
    if (!news)
        return pln_oom(err);
    pln_status st = PLN_OK;
    for (pln_node *n = g->first; n && st == PLN_OK; n = n->next)
        st = visit(n, news, err);
    pln_release(m->alloc, news);
    return st;
}

/* ---- the interface must not show them ------------------------------------------- */

static pln_dim is_own(void *user, const char *symbol)
{
    *(bool *)user |= *symbol == '?';
    return pln_dim_unknown();
}

static void forget(pln_value *v)
{
    if (v->type.kind != PLN_KIND_TENSOR)
        return;
    for (int i = 0; i < v->type.shape.rank; i++) {
        bool own = false;
        pln_dim *d = &v->type.shape.dims[i];
        if (!pln_dim_is_known(*d) && !pln_dim_is_unknown(*d))
            pln_dim_substitute(v->graph->model->syms, *d, is_own, &own);
        if (own)
            *d = pln_dim_unknown();
    }
}

void pln_sizes_forget(pln_model *m)
{
    for (uint32_t i = 0; i < m->graph->n_inputs; i++)
        forget(m->graph->inputs[i]);
    for (uint32_t i = 0; i < m->graph->n_outputs; i++)
        forget(m->graph->outputs[i]);
}
