/* Giving values and nodes other names. Uses are pointers, so that readers in bodies
 * follow. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "src/ir/edit.h"

typedef struct renaming {
    const char *from, *to; /* interned */
    bool found;
    pln_error *err;
} renaming;

static pln_status begin(renaming *r, pln_model *m, const char *from, const char *to,
                        pln_error *err)
{
    *r = (renaming){ pln_model_name(m, from), pln_model_name(m, to), false, err };
    return r->from && r->to ? PLN_OK : pln_oom(err);
}

static pln_status taken(const renaming *r, const char *what)
{
    return pln_fail(r->err, PLN_E_USAGE,
                    "'%s' can't be renamed: there is a %s '%s' already", r->from, what,
                    r->to);
}

/* A name must be free in the whole model: a body would hide a value of the graph around
 * it. */
static pln_status refuse_taken(pln_graph *g, void *user)
{
    const renaming *r = user;
    if (pln_map_get(&g->by_name, r->to))
        return taken(r, "value");
    for (uint32_t i = 0; i < g->n_outputs; i++)
        if (g->output_names[i] == r->to)
            return taken(r, "value");
    return PLN_OK;
}

static pln_status look_for_value(pln_graph *g, void *user)
{
    renaming *r = user;
    r->found |= pln_map_get(&g->by_name, r->from) != NULL;
    for (uint32_t i = 0; i < g->n_outputs; i++)
        r->found |= g->output_names[i] == r->from;
    return PLN_OK;
}

static pln_status rename_value(pln_graph *g, void *user)
{
    renaming *r = user;
    pln_value *v = pln_map_get(&g->by_name, r->from);
    const char **outputs = (const char **)(uintptr_t)g->output_names;
    if (v && !pln_value_rename(v, r->to))
        return pln_oom(r->err);
    for (uint32_t i = 0; i < g->n_outputs; i++)
        if (outputs[i] == r->from)
            outputs[i] = r->to;
    return PLN_OK;
}

pln_status pln_model_rename_values(pln_model *m, const char *from, const char *to,
                                   bool *found, pln_error *err)
{
    renaming r;
    PLN_TRY(begin(&r, m, from, to, err));
    PLN_TRY(pln_graph_walk(m->graph, look_for_value, &r));
    *found = r.found;
    if (!r.found || r.from == r.to)
        return PLN_OK;
    PLN_TRY(pln_graph_walk(m->graph, refuse_taken, &r));
    return pln_graph_walk(m->graph, rename_value, &r);
}

static pln_status refuse_taken_node(pln_graph *g, void *user)
{
    renaming *r = user;
    for (const pln_node *n = g->first; n; n = n->next) {
        r->found |= n->name == r->from;
        if (n->name == r->to && r->from != r->to)
            return taken(r, "node");
    }
    return PLN_OK;
}

static pln_status rename_node(pln_graph *g, void *user)
{
    const renaming *r = user;
    for (pln_node *n = g->first; n; n = n->next)
        if (n->name == r->from)
            n->name = r->to;
    return PLN_OK;
}

pln_status pln_model_rename_nodes(pln_model *m, const char *from, const char *to,
                                  bool *found, pln_error *err)
{
    renaming r;
    PLN_TRY(begin(&r, m, from, to, err));
    const pln_status st = pln_graph_walk(m->graph, refuse_taken_node, &r);
    *found = r.found;
    if (st != PLN_OK && !r.found) { /* nothing to rename: not this call's business */
        pln_error_clear(err);
        return PLN_OK;
    }
    PLN_TRY(st);
    return pln_graph_walk(m->graph, rename_node, &r);
}
