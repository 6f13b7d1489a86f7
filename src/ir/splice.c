/* Splicing: a body becomes part of the graph around it, and bodies lose what they pass on
 * unchanged or what nobody reads.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/ir/splice.h"

#include <string.h>

#include "src/ir/link.h"
#include "src/ir/op.h"

static bool is_named_elsewhere(const pln_model *m, const pln_graph *body,
                               const char *name)
{
    for (const pln_graph *g = m->graphs; g; g = g->next_graph)
        if (g != body && !g->dead && pln_map_get(&g->by_name, name))
            return true;
    return false;
}

/* A name that may be in use in the graph around, or in one that will be below it. */
static pln_status free_name(pln_graph *body, pln_value *v, const char **out)
{
    const char *name = v->name;
    if (pln_name_len(name) && is_named_elsewhere(body->model, body, name))
        name = pln_graph_fresh_name(body, name);
    *out = name;
    return name ? PLN_OK : PLN_E_NOMEM;
}

static void append_value(pln_graph *g, pln_value *v)
{
    v->prev = g->last_value;
    v->next = NULL;
    if (g->last_value)
        g->last_value->next = v;
    else
        g->values = v;
    g->last_value = v;
}

static pln_status move_value(pln_graph *to, pln_value *v)
{
    const char *name;
    pln_tensor *cst = v->cst;
    PLN_TRY(free_name(v->graph, v, &name));
    v->cst = NULL;
    pln_value_unlink(v);
    v->cst = cst;
    v->name = pln_model_name(to->model, "");
    v->graph = to;
    append_value(to, v);
    return v->name && pln_value_rename(v, name) ? PLN_OK : PLN_E_NOMEM;
}

static void reparent(pln_node *n, pln_graph *to)
{
    for (uint32_t i = 0; i < n->n_attrs; i++) {
        const pln_attr *a = n->attrs[i];
        if (a->type == PLN_ATTR_GRAPH && a->g && a->g->owner == n)
            a->g->parent = to;
        for (size_t k = 0; a->type == PLN_ATTR_GRAPHS && k < a->n; k++)
            if (a->graphs[k]->owner == n)
                a->graphs[k]->parent = to;
    }
}

static pln_status move_node(pln_graph *to, pln_node *n, pln_node *before)
{
    for (uint32_t i = 0; i < n->n_in; i++)
        n->in_use[i].graph = to;
    for (uint32_t i = 0; i < n->n_out; i++)
        if (n->out[i])
            PLN_TRY(move_value(to, n->out[i]));
    reparent(n, to);
    pln_node_move_to(n, to, before);
    return PLN_OK;
}

static pln_status move_initializers(pln_graph *to, pln_graph *body)
{
    for (pln_value *v = body->values, *next; v; v = next) {
        next = v->next;
        if (v->kind == PLN_VALUE_INITIALIZER)
            PLN_TRY(move_value(to, v));
    }
    return PLN_OK;
}

/* An output of the graph around keeps its name: the value that takes its place gets it,
 * or a copy does. */
static pln_status give(pln_node *owner, pln_value *old, pln_value *now, bool fresh)
{
    const char *name = old->name;
    if (pln_value_is_output(old) && !fresh) {
        pln_node *copy =
            pln_graph_add_node(owner->graph, owner, "", "Identity", NULL, &now, 1, 1);
        if (!copy)
            return PLN_E_NOMEM;
        now = copy->out[0];
        now->type = old->type;
    }
    if (pln_value_is_output(old)) {
        now->declared = old->declared;
        now->extra = old->extra;
    }
    pln_type_merge(owner->graph->model->arena, &now->type, &old->type, NULL);
    pln_value_replace_uses(old, now);
    if (!fresh && !pln_value_is_output(now))
        return PLN_OK;
    pln_value_unlink(old); /* gives the name free */
    owner->out[old->slot] = NULL;
    return !*name || pln_value_rename(now, name) ? PLN_OK : PLN_E_NOMEM;
}

/* What the interface said of it is not said of an inner value. */
static void unlink_output(pln_graph *g, uint32_t i)
{
    pln_value *v = g->outputs[i];
    pln_use_unlink(&g->output_use[i]);
    if (v->graph != g || v->kind != PLN_VALUE_NODE || pln_value_is_output(v))
        return;
    v->declared = NULL;
    v->extra = (pln_blob){ .len = 0 };
}

pln_status pln_node_splice(pln_node *owner, pln_graph *body, pln_value *const *in,
                           pln_value *const *out)
{
    pln_graph *to = owner->graph;
    for (uint32_t i = 0; i < body->n_inputs; i++)
        pln_value_replace_uses(body->inputs[i], in[i]);
    PLN_TRY(move_initializers(to, body));
    for (uint32_t i = 0; i < body->n_outputs; i++)
        unlink_output(body, i);
    for (pln_node *n = body->first, *next; n; n = next) {
        next = n->next;
        PLN_TRY(move_node(to, n, owner));
    }
    for (uint32_t i = 0; i < owner->n_out; i++) {
        pln_value *now = out[i];
        if (!owner->out[i])
            continue;
        bool fresh = now->kind == PLN_VALUE_NODE && now->graph == to &&
                     !pln_value_is_output(now) && !now->declared;
        for (uint32_t k = 0; k < body->n_inputs; k++)
            fresh &= in[k] != now;
        PLN_TRY(give(owner, owner->out[i], now, fresh));
    }
    pln_graph_remove_node(owner);
    return PLN_OK;
}

pln_status pln_node_hoist(pln_node *n)
{
    pln_node *owner = n->graph->owner;
    for (uint32_t i = 0; i < n->n_in; i++)
        if (n->in[i] && n->in[i]->graph == n->graph)
            PLN_TRY(move_value(owner->graph, n->in[i]));
    return move_node(owner->graph, n, owner);
}

void pln_graph_drop_output(pln_graph *g, uint32_t i)
{
    unlink_output(g, i);
    for (uint32_t k = i; k + 1 < g->n_outputs; k++) {
        pln_value *v = g->outputs[k + 1];
        pln_use_unlink(&g->output_use[k + 1]);
        g->outputs[k] = v;
        ((const char **)(uintptr_t)g->output_names)[k] = g->output_names[k + 1];
        g->output_use[k] = (pln_use){ .graph = g, .slot = k };
        pln_use_link(&g->output_use[k], v);
    }
    g->n_outputs--;
}

void pln_node_drop_output(pln_node *n, uint32_t i)
{
    if (n->out[i])
        pln_value_unlink(n->out[i]);
    for (uint32_t k = i; k + 1 < n->n_out; k++) {
        n->out[k] = n->out[k + 1];
        if (n->out[k])
            n->out[k]->slot = k;
    }
    n->n_out--;
}

void pln_node_drop_input(pln_node *n, uint32_t i)
{
    pln_use_unlink(&n->in_use[i]);
    for (uint32_t k = i; k + 1 < n->n_in; k++) {
        pln_value *v = n->in[k + 1];
        pln_use_unlink(&n->in_use[k + 1]);
        n->in[k] = v;
        n->in_use[k] = (pln_use){ .node = n, .graph = n->graph, .slot = k };
        pln_use_link(&n->in_use[k], v);
    }
    n->n_in--;
}
