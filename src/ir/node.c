/* Nodes: making, removing, inputs and outputs.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "src/ir/link.h"
#include "src/ir/op.h"

static void link_node(pln_node *n, pln_node *before)
{
    pln_graph *g = n->graph;
    n->next = before;
    n->prev = before ? before->prev : g->last;
    if (n->prev)
        n->prev->next = n;
    else
        g->first = n;
    if (before)
        before->prev = n;
    else
        g->last = n;
    g->n_nodes++;
}

static void unlink_node(pln_node *n)
{
    pln_graph *g = n->graph;
    if (n->prev)
        n->prev->next = n->next;
    else
        g->first = n->next;
    if (n->next)
        n->next->prev = n->prev;
    else
        g->last = n->prev;
    n->next = n->prev = NULL;
    g->n_nodes--;
}

void pln_graph_move_before(pln_node *n, pln_node *before)
{
    if (n == before)
        return;
    unlink_node(n);
    link_node(n, before);
}

void pln_node_move_to(pln_node *n, pln_graph *g, pln_node *before)
{
    unlink_node(n);
    n->graph = g;
    link_node(n, before);
}

void pln_node_set_op(pln_node *n, const char *domain, const char *op_type)
{
    const char *d = pln_model_name(n->graph->model, pln_domain_normal(domain));
    const char *t = pln_model_name(n->graph->model, op_type);
    if (!d || !t)
        return;
    n->domain = d;
    n->op_type = t;
    n->op = pln_registry_find(n->graph->model->registry, d, t);
    n->typed = NULL;
}

static bool set_inputs(pln_node *n, pln_value *const *in, uint32_t n_in)
{
    pln_arena *arena = n->graph->model->arena;
    n->in = PLN_NEW_ARRAY(arena, pln_value *, n_in);
    n->in_use = PLN_NEW_ARRAY(arena, pln_use, n_in);
    if (!n->in || !n->in_use)
        return false;
    n->n_in = n_in;
    for (uint32_t i = 0; i < n_in; i++) {
        n->in_use[i] = (pln_use){ .node = n, .graph = n->graph, .slot = i };
        n->in[i] = in[i];
        pln_use_link(&n->in_use[i], in[i]);
    }
    return true;
}

pln_node *pln_graph_add_node(pln_graph *g, pln_node *before, const char *domain,
                             const char *op_type, const char *name, pln_value *const *in,
                             uint32_t n_in, uint32_t n_out)
{
    pln_model *m = g->model;
    pln_node *n = PLN_NEW(m->arena, pln_node);
    if (!n)
        return NULL;
    n->graph = g;
    n->name = pln_model_name(m, name ? name : "");
    n->overload = pln_model_name(m, "");
    pln_node_set_op(n, domain, op_type);
    n->out = PLN_NEW_ARRAY(m->arena, pln_value *, n_out);
    if (!n->name || !n->overload || !n->op_type || !n->out)
        return NULL;
    for (uint32_t i = 0; i < n_out; i++) {
        n->out[i] = pln_value_new(g, PLN_VALUE_NODE, NULL);
        if (!n->out[i])
            return NULL;
        n->out[i]->def = n;
        n->out[i]->slot = i;
    }
    n->n_out = n_out;
    if (!set_inputs(n, in, n_in))
        return NULL;
    n->id = m->n_nodes++;
    link_node(n, before);
    return n;
}

static pln_status drop_graph(pln_graph *g, void *user)
{
    for (pln_node *n = g->first; n; n = n->next)
        for (uint32_t i = 0; i < n->n_in; i++)
            pln_use_unlink(&n->in_use[i]);
    for (uint32_t i = 0; i < g->n_outputs; i++)
        pln_use_unlink(&g->output_use[i]);
    g->dead = true;
    return PLN_OK;
}

void pln_graph_remove_node(pln_node *n)
{
    for (uint32_t i = 0; i < n->n_attrs; i++) {
        const pln_attr *a = n->attrs[i];
        if (a->type == PLN_ATTR_GRAPH && a->g && a->g->owner == n)
            pln_graph_walk(a->g, drop_graph, NULL);
        for (size_t j = 0; a->type == PLN_ATTR_GRAPHS && j < a->n; j++)
            if (a->graphs[j]->owner == n)
                pln_graph_walk(a->graphs[j], drop_graph, NULL);
    }
    for (uint32_t i = 0; i < n->n_in; i++)
        pln_use_unlink(&n->in_use[i]);
    for (uint32_t i = 0; i < n->n_out; i++)
        if (n->out[i])
            pln_value_unlink(n->out[i]);
    unlink_node(n);
}

pln_status pln_node_set_input(pln_node *n, uint32_t i, pln_value *v)
{
    if (i >= n->n_in) {
        pln_arena *arena = n->graph->model->arena;
        pln_value **all = PLN_NEW_ARRAY(arena, pln_value *, (size_t)i + 1);
        if (!all)
            return PLN_E_NOMEM;
        for (uint32_t j = 0; j < n->n_in; j++)
            all[j] = n->in[j];
        pln_value **in = PLN_NEW_ARRAY(arena, pln_value *, (size_t)i + 1);
        pln_use *uses = PLN_NEW_ARRAY(arena, pln_use, (size_t)i + 1);
        if (!in || !uses)
            return PLN_E_NOMEM;
        for (uint32_t j = 0; j < n->n_in; j++)
            pln_use_unlink(&n->in_use[j]);
        n->in = in;
        n->in_use = uses;
        n->n_in = i + 1;
        for (uint32_t j = 0; j <= i; j++) {
            uses[j] = (pln_use){ .node = n, .graph = n->graph, .slot = j };
            in[j] = all[j];
            pln_use_link(&uses[j], all[j]);
        }
    }
    pln_use_unlink(&n->in_use[i]);
    n->in[i] = v;
    pln_use_link(&n->in_use[i], v);
    return PLN_OK;
}

void pln_node_trim_inputs(pln_node *n)
{
    while (n->n_in && !n->in[n->n_in - 1])
        n->n_in--;
}

pln_status pln_node_add_output(pln_node *n, pln_value **out)
{
    pln_value **all = PLN_NEW_ARRAY(n->graph->model->arena, pln_value *, n->n_out + 1);
    pln_value *v = all ? pln_value_new(n->graph, PLN_VALUE_NODE, NULL) : NULL;
    *out = v;
    if (!v)
        return PLN_E_NOMEM;
    memcpy(all, n->out, n->n_out * sizeof *all);
    v->def = n;
    v->slot = n->n_out;
    all[n->n_out++] = v;
    n->out = all;
    return PLN_OK;
}

const char *pln_node_where(const pln_node *n, char *buf, size_t size)
{
    const char *name = n->name;
    for (uint32_t i = 0; !*name && i < n->n_out; i++)
        if (n->out[i])
            name = n->out[i]->name;
    snprintf(buf, size, "%s (%s)", name, n->op_type);
    return buf;
}

/* ---- what a node reads, with its bodies ------------------------------------------- */

typedef struct reader {
    const pln_graph *body;
    void (*fn)(void *user, pln_value *v);
    void *user;
} reader;

static bool is_inside(const pln_graph *g, const pln_graph *body)
{
    while (g && g != body)
        g = g->parent;
    return g != NULL;
}

static pln_status read_body(pln_graph *g, void *user)
{
    const reader *r = user;
    for (const pln_node *n = g->first; n; n = n->next)
        for (uint32_t i = 0; i < n->n_in; i++)
            if (n->in[i] && !is_inside(n->in[i]->graph, r->body))
                r->fn(r->user, n->in[i]);
    for (uint32_t i = 0; i < g->n_outputs; i++)
        if (!is_inside(g->outputs[i]->graph, r->body))
            r->fn(r->user, g->outputs[i]);
    return PLN_OK;
}

void pln_node_each_read(const pln_node *n, void (*fn)(void *user, pln_value *v),
                        void *user)
{
    for (uint32_t i = 0; i < n->n_in; i++)
        if (n->in[i])
            fn(user, n->in[i]);
    for (uint32_t i = 0; i < n->n_attrs; i++) {
        const pln_attr *a = n->attrs[i];
        const size_t count =
            a->type == PLN_ATTR_GRAPHS ? a->n : a->type == PLN_ATTR_GRAPH;
        for (size_t k = 0; k < count; k++) {
            pln_graph *body = a->type == PLN_ATTR_GRAPH ? a->g : a->graphs[k];
            reader r = { body, fn, user };
            if (body)
                pln_graph_walk(body, read_body, &r);
        }
    }
}
