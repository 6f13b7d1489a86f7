/* Graphs: values, uses, order.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/ir/graph.h"

#include <stdio.h>
#include <string.h>

#include "src/ir/link.h"
#include "src/util/size.h"

void pln_use_link(pln_use *use, pln_value *v)
{
    use->value = v;
    use->prev = NULL;
    use->next = v ? v->uses : NULL;
    if (!v)
        return;
    if (v->uses)
        v->uses->prev = use;
    v->uses = use;
    v->n_uses++;
}

void pln_use_unlink(pln_use *use)
{
    pln_value *v = use->value;
    if (!v)
        return;
    if (use->prev)
        use->prev->next = use->next;
    else
        v->uses = use->next;
    if (use->next)
        use->next->prev = use->prev;
    v->n_uses--;
    *use = (pln_use){ .node = use->node, .graph = use->graph, .slot = use->slot };
}

pln_graph *pln_graph_new(pln_model *model, pln_graph *parent, pln_node *owner)
{
    pln_graph *g = PLN_NEW(model->arena, pln_graph);
    if (!g)
        return NULL;
    g->model = model;
    g->parent = parent;
    g->owner = owner;
    g->name = pln_model_name(model, "");
    pln_map_init(&g->by_name, model->alloc);
    g->next_graph = model->graphs;
    model->graphs = g;
    return g->name ? g : NULL;
}

pln_value *pln_value_new(pln_graph *g, pln_value_kind kind, const char *name)
{
    pln_model *m = g->model;
    pln_value *v = PLN_NEW(m->arena, pln_value);
    if (!v || m->n_values == UINT32_MAX)
        return NULL;
    v->graph = g;
    v->kind = (uint8_t)kind;
    v->type = pln_type_unknown();
    v->name = pln_model_name(m, "");
    if (!v->name || (name && pln_name_len(name) && !pln_value_rename(v, name)))
        return NULL;
    v->id = m->n_values++;
    v->prev = g->last_value;
    if (g->last_value)
        g->last_value->next = v;
    else
        g->values = v;
    g->last_value = v;
    return v;
}

void pln_value_unlink(pln_value *v)
{
    pln_graph *g = v->graph;
    if (v->prev)
        v->prev->next = v->next;
    else
        g->values = v->next;
    if (v->next)
        v->next->prev = v->prev;
    else
        g->last_value = v->prev;
    if (pln_map_get(&g->by_name, v->name) == v)
        pln_map_remove(&g->by_name, v->name);
    pln_tensor_unref(v->cst);
    v->cst = NULL;
    v->next = v->prev = NULL;
}

/* Arrays in the arena grow by doubling; the old ones stay until the model goes. */
static bool grow_array(pln_arena *arena, void **items, uint32_t n, size_t size)
{
    if (n & (n - 1) || (n && n < 4))
        return true; /* room is kept for the next power of two */
    const size_t cap = n < 4 ? 4 : (size_t)n * 2;
    void *p = pln_arena_array(arena, cap, size);
    if (!p)
        return false;
    if (n)
        memcpy(p, *items, n * size);
    *items = p;
    return true;
}

pln_value *pln_graph_add_input(pln_graph *g, const char *name, const pln_type *type)
{
    pln_arena *arena = g->model->arena;
    pln_value *v = pln_value_new(g, PLN_VALUE_INPUT, name);
    if (!v || !grow_array(arena, (void **)&g->inputs, g->n_inputs, sizeof *g->inputs))
        return NULL;
    g->inputs[g->n_inputs++] = v;
    if (!type)
        return v;
    v->type = pln_type_dup(arena, type);
    const pln_type declared = pln_type_dup(arena, type);
    v->declared = pln_arena_dup(arena, &declared, sizeof declared);
    return v->declared ? v : NULL;
}

void pln_value_set_const(pln_value *v, pln_tensor *t_take)
{
    pln_tensor_unref(v->cst);
    v->cst = t_take;
    if (!t_take || t_take->kind != PLN_KIND_TENSOR)
        return;
    v->type.kind = v->is_sparse ? PLN_KIND_SPARSE : PLN_KIND_TENSOR;
    v->type.dtype = (pln_dtype)t_take->dtype;
    v->type.shape = pln_shape_of(v->graph->model->arena, t_take->rank, t_take->dims);
}

pln_value *pln_graph_add_initializer(pln_graph *g, const char *name, pln_tensor *cst_take)
{
    pln_value *v = pln_value_new(g, PLN_VALUE_INITIALIZER, name);
    if (!v) {
        pln_tensor_unref(cst_take);
        return NULL;
    }
    pln_value_set_const(v, cst_take);
    return v;
}

static pln_status grow_outputs(pln_graph *g)
{
    pln_arena *arena = g->model->arena;
    const uint32_t n = g->n_outputs;
    pln_use *uses = g->output_use;
    if (!grow_array(arena, (void **)&g->outputs, n, sizeof *g->outputs) ||
        !grow_array(arena, (void **)&g->output_names, n, sizeof *g->output_names))
        return PLN_E_NOMEM;
    if (!grow_array(arena, (void **)&g->output_use, n, sizeof *g->output_use))
        return PLN_E_NOMEM;
    for (uint32_t i = 0; i < n && uses != g->output_use; i++) { /* they moved */
        pln_value *v = uses[i].value;
        pln_use_unlink(&uses[i]);
        pln_use_link(&g->output_use[i], v);
    }
    return PLN_OK;
}

pln_status pln_graph_add_output(pln_graph *g, pln_value *v, const char *name)
{
    PLN_TRY(grow_outputs(g));
    const uint32_t i = g->n_outputs++;
    g->outputs[i] = v;
    ((const char **)(uintptr_t)g->output_names)[i] = name ? name : v->name;
    g->output_use[i] = (pln_use){ .graph = g, .slot = i };
    pln_use_link(&g->output_use[i], v);
    return PLN_OK;
}

void pln_graph_set_output(pln_graph *g, uint32_t i, pln_value *v)
{
    pln_use_unlink(&g->output_use[i]);
    g->outputs[i] = v;
    pln_use_link(&g->output_use[i], v);
}

void pln_graph_remove_value(pln_value *v)
{
    pln_graph *g = v->graph;
    for (uint32_t i = 0; i < g->n_inputs; i++) {
        if (g->inputs[i] != v)
            continue;
        memmove(&g->inputs[i], &g->inputs[i + 1],
                (g->n_inputs - i - 1) * sizeof *g->inputs);
        g->n_inputs--;
        break;
    }
    pln_value_unlink(v);
}

pln_value *pln_graph_find_value(const pln_graph *g, const char *name)
{
    const char *key = pln_name_find(g->model->names, name, strlen(name));
    for (; g && key; g = g->parent) {
        pln_value *v = pln_map_get(&g->by_name, key);
        if (v)
            return v;
    }
    return NULL;
}

const char *pln_graph_fresh_name(pln_graph *g, const char *hint)
{
    pln_model *m = g->model;
    for (;;) {
        char buf[256];
        const int n = snprintf(buf, sizeof buf, "%.200s_%u", hint && *hint ? hint : "v",
                               m->n_fresh++);
        if (!pln_name_find(m->names, buf, (size_t)n))
            return pln_name_intern(m->names, buf, (size_t)n);
    }
}

bool pln_value_is_const(const pln_value *v)
{
    return v && v->cst && !v->overridable;
}

bool pln_value_is_output(const pln_value *v)
{
    for (const pln_use *u = v->uses; u; u = u->next)
        if (!u->node)
            return true;
    return false;
}

bool pln_value_rename(pln_value *v, const char *name)
{
    pln_graph *g = v->graph;
    const char *was = v->name;
    if (was == name)
        return true;
    if (pln_name_len(name) &&
        (pln_map_get(&g->by_name, name) || !pln_map_put(&g->by_name, name, v)))
        return false;
    if (pln_name_len(was) && pln_map_get(&g->by_name, was) == v)
        pln_map_remove(&g->by_name, was);
    v->name = name;
    return true;
}

void pln_value_replace_uses(pln_value *from, pln_value *to)
{
    while (from->uses && from != to) {
        pln_use *u = from->uses;
        pln_use_unlink(u);
        pln_use_link(u, to);
        if (u->node)
            u->node->in[u->slot] = to;
        else
            u->graph->outputs[u->slot] = to;
    }
}

pln_status pln_graph_walk(pln_graph *g, pln_status (*fn)(pln_graph *g, void *user),
                          void *user)
{
    PLN_TRY(fn(g, user));
    for (pln_node *n = g->first; n; n = n->next)
        for (uint32_t i = 0; i < n->n_attrs; i++) {
            const pln_attr *a = n->attrs[i];
            if (a->type == PLN_ATTR_GRAPH && a->g)
                PLN_TRY(pln_graph_walk(a->g, fn, user));
            for (size_t j = 0; a->type == PLN_ATTR_GRAPHS && j < a->n; j++)
                PLN_TRY(pln_graph_walk(a->graphs[j], fn, user));
        }
    return PLN_OK;
}
