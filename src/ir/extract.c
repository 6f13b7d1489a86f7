/* Cutting a part out of a graph, between values.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "src/ir/edit.h"
#include "src/ir/infer.h"
#include "src/ir/link.h"

/* ---- what nobody needs ----------------------------------------------------------- */

static bool is_dead(const pln_node *n)
{
    for (uint32_t i = 0; i < n->n_out; i++)
        if (n->out[i] && n->out[i]->uses)
            return false;
    return true;
}

static bool is_input(const pln_graph *g, const pln_value *v)
{
    for (uint32_t i = 0; i < g->n_inputs; i++)
        if (g->inputs[i] == v)
            return true;
    return false;
}

void pln_graph_drop_dead(pln_graph *g, bool inputs)
{
    for (pln_node *n = g->last, *prev; n; n = prev) {
        prev = n->prev;
        if (is_dead(n))
            pln_graph_remove_node(n);
    }
    for (pln_value *v = g->values, *next; v; v = next) {
        next = v->next;
        if (v->uses || v->kind == PLN_VALUE_NODE)
            continue;
        if (v->kind == PLN_VALUE_INITIALIZER || (inputs && is_input(g, v)))
            pln_graph_remove_value(v);
    }
}

typedef struct callers {
    const pln_model *m;
    bool *called;
} callers;

static pln_status note_calls(pln_graph *g, void *user)
{
    callers *c = user;
    for (const pln_node *n = g->first; n; n = n->next) {
        const pln_function *f =
            pln_model_find_function(c->m, n->domain, n->op_type, n->overload);
        for (size_t i = 0; f && i < c->m->n_functions; i++) {
            if (c->m->functions[i] != f || c->called[i])
                continue;
            c->called[i] = true; /* before its body: it may call itself */
            PLN_TRY(pln_graph_walk(f->body, note_calls, user));
        }
    }
    return PLN_OK;
}

pln_status pln_model_drop_functions(pln_model *m)
{
    callers c = { m, PLN_NEW_ARRAY(m->arena, bool, m->n_functions) };
    size_t n = 0;
    if (!c.called)
        return PLN_E_NOMEM;
    PLN_TRY(pln_graph_walk(m->graph, note_calls, &c));
    for (size_t i = 0; i < m->n_functions; i++)
        if (c.called[i])
            m->functions[n++] = m->functions[i];
    m->n_functions = n;
    return PLN_OK;
}

/* ---- names ----------------------------------------------------------------------- */

/* An output's name is part of the interface, its value may have another. */
static pln_value *find(pln_graph *g, const char *name)
{
    for (uint32_t i = 0; i < g->n_outputs; i++)
        if (!strcmp(g->output_names[i], name))
            return g->outputs[i];
    const char *key = pln_name_find(g->model->names, name, strlen(name));
    return key ? pln_map_get(&g->by_name, key) : NULL;
}

static pln_status find_all(pln_graph *g, const char *const *names, size_t n,
                           pln_value **out, pln_error *err)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = *names[i] ? find(g, names[i]) : NULL;
        if (!out[i])
            return pln_fail(err, PLN_E_USAGE, "the graph has no value '%s'", names[i]);
        for (size_t k = 0; k < i; k++)
            if (out[k] == out[i])
                return pln_fail(err, PLN_E_USAGE, "'%s' is named twice", names[i]);
    }
    return PLN_OK;
}

/* ---- new ends -------------------------------------------------------------------- */

/* An input takes the place and the name of what a node or a constant gave. */
static pln_status make_input(pln_graph *g, pln_value **v, const char *name,
                             pln_error *err)
{
    pln_value *was = *v;
    if (was->kind == PLN_VALUE_INPUT)
        return PLN_OK;
    if (was->type.kind == PLN_KIND_NONE ||
        (was->type.kind == PLN_KIND_TENSOR && !was->type.dtype))
        return pln_fail(err, PLN_E_UNSUPPORTED,
                        "'%s' can't be an input: its type is not known", name);
    const char *key = pln_model_name(g->model, name);
    const char *other = pln_graph_fresh_name(g, name);
    if (!key || !other)
        return pln_oom(err);
    const char *old = was->name;
    if (!pln_value_rename(was, other))
        return pln_oom(err);
    /* An output's name may belong to another value of the graph. */
    pln_value *now =
        pln_graph_add_input(g, NULL, was->declared ? was->declared : &was->type);
    if (!now || (!pln_value_rename(now, key) && !pln_value_rename(now, old)))
        return pln_oom(err);
    pln_value_replace_uses(was, now);
    now->extra = was->extra;
    if (was->def) { /* now nobody's, but its node may have other outputs */
        was->declared = NULL;
        was->extra = (pln_blob){ NULL, 0 };
    }
    *v = now;
    return PLN_OK;
}

static pln_status declare(pln_value *v)
{
    if (v->declared || v->type.kind == PLN_KIND_NONE)
        return PLN_OK;
    v->declared = pln_arena_dup(v->graph->model->arena, &v->type, sizeof v->type);
    return v->declared ? PLN_OK : PLN_E_NOMEM;
}

static pln_status set_outputs(pln_graph *g, pln_value *const *v, const char *const *names,
                              size_t n, pln_error *err)
{
    for (uint32_t i = 0; i < g->n_outputs; i++)
        pln_use_unlink(&g->output_use[i]);
    g->n_outputs = 0;
    g->outputs = NULL;
    g->output_names = NULL;
    g->output_use = NULL;
    for (size_t i = 0; i < n; i++) {
        const char *name = pln_model_name(g->model, names[i]);
        if (!name || declare(v[i]) != PLN_OK ||
            pln_graph_add_output(g, v[i], name) != PLN_OK)
            return pln_oom(err);
    }
    return PLN_OK;
}

/* The inputs in the order in which they were named; others must not be needed. */
static pln_status order_inputs(pln_graph *g, pln_value *const *v, size_t n,
                               pln_error *err)
{
    pln_value **all = PLN_NEW_ARRAY(g->model->arena, pln_value *, g->n_inputs + 1);
    uint32_t count = 0;
    if (!all)
        return pln_oom(err);
    for (size_t i = 0; i < n; i++)
        all[count++] = v[i];
    for (uint32_t i = 0; i < g->n_inputs; i++) {
        bool named = false;
        for (size_t k = 0; k < n; k++)
            named |= v[k] == g->inputs[i];
        if (named)
            continue;
        if (g->inputs[i]->uses && !g->inputs[i]->cst)
            return pln_fail(err, PLN_E_USAGE, "the input '%s' is needed, too",
                            g->inputs[i]->name);
        if (!g->inputs[i]->uses)
            pln_value_unlink(g->inputs[i]);
        else
            all[count++] = g->inputs[i]; /* it has a default */
    }
    g->inputs = all;
    g->n_inputs = count;
    return PLN_OK;
}

static void ignore(void *user, const pln_node *n, const pln_error *e)
{
    (void)user;
    (void)n;
    (void)e;
}

/* The outputs as they are, for the case that none is named. */
static pln_status own_outputs(const pln_graph *g, pln_arena *arena,
                              const char *const **names, size_t *n)
{
    *names = pln_arena_dup(arena, g->output_names, g->n_outputs * sizeof **names);
    *n = g->n_outputs;
    return *names ? PLN_OK : PLN_E_NOMEM;
}

pln_status pln_model_cut(pln_model *m, const char *const *inputs, size_t n_inputs,
                         const char *const *outputs, size_t n_outputs, pln_error *err)
{
    pln_graph *g = m->graph;
    const pln_infer_options o = { .fault = ignore };
    PLN_TRY(pln_graph_infer(g, &o, err));
    if (!n_outputs && own_outputs(g, m->arena, &outputs, &n_outputs) != PLN_OK)
        return pln_oom(err);
    pln_value **from = PLN_NEW_ARRAY(m->arena, pln_value *, n_inputs);
    pln_value **to = PLN_NEW_ARRAY(m->arena, pln_value *, n_outputs);
    if (!from || !to)
        return pln_oom(err);
    PLN_TRY(find_all(g, inputs, n_inputs, from, err));
    PLN_TRY(find_all(g, outputs, n_outputs, to, err));
    for (size_t i = 0; i < n_inputs; i++) {
        const pln_value *was = from[i];
        PLN_TRY(make_input(g, &from[i], inputs[i], err));
        for (size_t k = 0; k < n_outputs; k++)
            to[k] = to[k] == was ? from[i] : to[k];
    }
    PLN_TRY(set_outputs(g, to, outputs, n_outputs, err));
    pln_graph_drop_dead(g, n_inputs == 0);
    if (n_inputs)
        PLN_TRY(order_inputs(g, from, n_inputs, err));
    return pln_model_drop_functions(m) == PLN_OK ? PLN_OK : pln_oom(err);
}
