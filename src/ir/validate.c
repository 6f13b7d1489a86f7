/* Checking graphs: links, order, names, operators, and what inference says.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/ir/validate.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "src/ir/op.h"
#include "src/ir/text.h"
#include "src/ir/validate_impl.h"

/* ---- faults ------------------------------------------------------------------------ */

static void add(pln_faults *f, const pln_graph *g, const pln_node *n, bool note,
                const char *text)
{
    pln_fault *x = PLN_NEW(f->arena, pln_fault);
    const char *copy = pln_arena_str(f->arena, text, strlen(text));
    if (!x || !copy) {
        f->failed = true;
        return;
    }
    *x = (pln_fault){ .node = n, .graph = g, .note = note, .text = copy };
    if (f->last)
        f->last->next = x;
    else
        f->first = x;
    f->last = x;
    f->n++;
    f->n_errors += !note;
}

void fault_at_node(pln_faults *f, const pln_node *n, const char *fmt, ...)
{
    char text[480];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    add(f, n->graph, n, false, text);
}

void note_at_node(pln_faults *f, const pln_node *n, const char *fmt, ...)
{
    char text[480];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    add(f, n->graph, n, true, text);
}

void fault_at_graph(pln_faults *f, const pln_graph *g, const char *fmt, ...)
{
    char text[480];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    add(f, g, NULL, false, text);
}

static void note_shadowing(pln_faults *f, const pln_graph *g, const char *name)
{
    char text[480];
    snprintf(text, sizeof text, "'%.200s' is the name of an outer value, too", name);
    add(f, g, NULL, true, text);
}

/* ---- links ------------------------------------------------------------------------- */

static bool linked(const pln_use *use, const pln_value *v)
{
    if (use->value != v)
        return false;
    return use->prev ? use->prev->next == use : v->uses == use;
}

static void check_node_links(pln_faults *f, const pln_graph *g, const pln_node *n)
{
    if (n->graph != g)
        fault_at_node(f, n, "belongs to another graph");
    for (uint32_t i = 0; i < n->n_in; i++) {
        const pln_use *u = &n->in_use[i];
        if (u->node != n || u->slot != i || u->graph != g)
            fault_at_node(f, n, "the use of input %u says another place", i);
        if (n->in[i] ? !linked(u, n->in[i]) : u->value != NULL)
            fault_at_node(f, n, "input %u is not in the use list of its value", i);
    }
    for (uint32_t i = 0; i < n->n_out; i++) {
        const pln_value *v = n->out[i];
        if (v &&
            (v->def != n || v->slot != i || v->graph != g || v->kind != PLN_VALUE_NODE))
            fault_at_node(f, n, "output %u, '%s', has another producer", i, v->name);
    }
}

static void check_value_links(pln_faults *f, const pln_graph *g, const pln_value *v)
{
    uint32_t n = 0;
    for (const pln_use *u = v->uses; u && n <= v->n_uses; u = u->next, n++) {
        const bool right = u->node ? u->slot < u->node->n_in && u->node->in[u->slot] == v
                                   : u->slot < u->graph->n_outputs &&
                                         u->graph->outputs[u->slot] == v;
        if (u->value != v || !right)
            fault_at_graph(f, g, "value '%s' has a use that does not use it", v->name);
    }
    if (n != v->n_uses)
        fault_at_graph(f, g, "value '%s' counts %u uses, but has %u", v->name, v->n_uses,
                       n);
    if ((v->kind == PLN_VALUE_NODE) != (v->def != NULL))
        fault_at_graph(f, g, "value '%s' has no producer of its kind", v->name);
    if (v->kind == PLN_VALUE_INITIALIZER && !v->cst)
        fault_at_graph(f, g, "initializer '%s' has no contents", v->name);
}

/* ---- order and names --------------------------------------------------------------- */

typedef struct checker {
    pln_faults *f;
    pln_map done;  /* values that are there at this point */
    pln_map names; /* name -> value, over the whole main graph or function */
    bool oom;
} checker;

static void arrive(checker *c, const pln_value *v)
{
    if (!pln_map_put(&c->done, v, (void *)(uintptr_t)v))
        c->oom = true;
    if (!pln_name_len(v->name))
        return;
    const pln_value *other = pln_map_get(&c->names, v->name);
    if (other && other->graph != v->graph) /* frowned upon, yet common and clear */
        note_shadowing(c->f, v->graph, v->name);
    else if (other && other != v && v->def)
        fault_at_node(c->f, v->def, "output '%s' has the name of another value", v->name);
    else if (other && other != v)
        fault_at_graph(c->f, v->graph, "two values have the name '%s'", v->name);
    else if (!pln_map_put(&c->names, v->name, (void *)(uintptr_t)v))
        c->oom = true;
}

static void check_graph(checker *c, pln_graph *g);

static void check_bodies(checker *c, const pln_node *n)
{
    for (uint32_t i = 0; i < n->n_attrs; i++) {
        const pln_attr *a = n->attrs[i];
        if (a->type == PLN_ATTR_GRAPH && a->g)
            check_graph(c, a->g);
        for (size_t j = 0; a->type == PLN_ATTR_GRAPHS && j < a->n; j++)
            check_graph(c, a->graphs[j]);
    }
}

static void check_order(checker *c, const pln_node *n)
{
    for (uint32_t i = 0; i < n->n_in; i++)
        if (n->in[i] && !pln_map_has(&c->done, n->in[i]))
            fault_at_node(c->f, n, "input %u, '%s', is made later, or out of its reach",
                          i, n->in[i]->name);
}

/* What a body made is out of reach after it. */
static void leave(checker *c, const pln_graph *g)
{
    for (const pln_value *v = g->values; v; v = v->next) {
        pln_map_remove(&c->done, v);
        if (pln_map_get(&c->names, v->name) == v)
            pln_map_remove(&c->names, v->name);
    }
}

static void check_outputs(checker *c, const pln_graph *g)
{
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        const pln_use *u = &g->output_use[i];
        if (!g->outputs[i] || !linked(u, g->outputs[i]) || u->node || u->graph != g)
            fault_at_graph(c->f, g, "output %u is not in the use list of its value", i);
        else if (!pln_map_has(&c->done, g->outputs[i]))
            fault_at_graph(c->f, g, "output '%s' is made nowhere", g->output_names[i]);
        for (uint32_t j = 0; j < i; j++)
            if (g->output_names[i] == g->output_names[j] &&
                pln_name_len(g->output_names[i]))
                fault_at_graph(c->f, g, "two outputs have the name '%s'",
                               g->output_names[i]);
    }
}

static void check_graph(checker *c, pln_graph *g)
{
    for (pln_value *v = g->values; v; v = v->next) {
        check_value_links(c->f, g, v);
        if (v->kind != PLN_VALUE_NODE)
            arrive(c, v);
    }
    uint32_t count = 0;
    for (pln_node *n = g->first; n; n = n->next, count++) {
        check_node_links(c->f, g, n);
        check_order(c, n);
        check_node_op(c->f, n);
        check_bodies(c, n);
        for (uint32_t i = 0; i < n->n_out; i++)
            if (n->out[i])
                arrive(c, n->out[i]);
    }
    if (count != g->n_nodes)
        fault_at_graph(c->f, g, "counts %u nodes, but has %u", g->n_nodes, count);
    check_outputs(c, g);
    leave(c, g);
}

/* ---- entry points ------------------------------------------------------------------ */

/* Inference puts the node's name in front of its texts; ours go without. */
static void take_fault(void *user, const pln_node *n, const pln_error *e)
{
    char where[256];
    pln_faults *f = user;
    const char *text = e->text;
    pln_node_where(n, where, sizeof where);
    const size_t len = strlen(where);
    if (!strncmp(text, where, len) && text[len] == ':' && text[len + 1] == ' ')
        text += len + 2;
    for (const pln_fault *x = f->first; x; x = x->next)
        if (x->node == n && !strcmp(x->text, text))
            return; /* from an earlier look, or another round of a loop's body */
    if (e->code == PLN_E_LIMIT)
        note_at_node(f, n, "%s", text);
    else
        fault_at_node(f, n, "%s", text);
}

static void take_types(void *user, const pln_infer *inf)
{
    pln_faults *f = user;
    for (const pln_fault *x = f->first; x; x = x->next)
        if (x->node == inf->node && strstr(x->text, " is of type "))
            return; /* a body is looked at more than once */
    check_node_types(f, inf);
}

static pln_status check_all(pln_graph *g, pln_faults *out, pln_error *err)
{
    checker c = { .f = out };
    const size_t before = out->n_errors;
    pln_map_init(&c.done, g->model->alloc);
    pln_map_init(&c.names, g->model->alloc);
    check_graph(&c, g);
    pln_map_done(&c.done);
    pln_map_done(&c.names);
    if (c.oom || out->failed)
        return pln_oom(err);
    /* Inference needs sound links and order. */
    for (const pln_fault *x = out->first; x && out->n_errors > before; x = x->next)
        if (!x->note && (!x->node || strstr(x->text, "use list") ||
                         strstr(x->text, "made later") || strstr(x->text, "producer")))
            return PLN_OK;
    const pln_infer_options o = { .strict = true, .dry = true, .fault = take_fault,
                                  .seen = take_types, .user = out };
    PLN_TRY(pln_graph_infer(g, &o, err));
    return out->failed ? pln_oom(err) : PLN_OK;
}

pln_status pln_graph_validate(pln_graph *g, pln_faults *out, pln_error *err)
{
    return check_all(g, out, err);
}

static void check_opsets(pln_faults *f, const pln_model *m)
{
    if (!m->n_opsets)
        fault_at_graph(f, NULL, "the model imports no operator sets");
    for (size_t i = 0; i < m->n_opsets; i++) {
        if (m->opsets[i].version < 1)
            fault_at_graph(f, NULL, "operator set '%s' has version %lld",
                           m->opsets[i].domain, (long long)m->opsets[i].version);
        for (size_t j = 0; j < i; j++)
            if (m->opsets[i].version != m->opsets[j].version &&
                !strcmp(pln_domain_normal(m->opsets[i].domain),
                        pln_domain_normal(m->opsets[j].domain)))
                fault_at_graph(f, NULL, "operator set '%s' is imported in two versions",
                               m->opsets[i].domain);
    }
    if (m->ir_version < 1)
        fault_at_graph(f, NULL, "the model has IR version %lld",
                       (long long)m->ir_version);
}

static void check_interface(pln_faults *f, const pln_graph *g)
{
    for (uint32_t i = 0; i < g->n_inputs; i++)
        if (!g->inputs[i]->declared && !g->inputs[i]->cst)
            fault_at_graph(f, g, "input '%s' has no type", g->inputs[i]->name);
    if (!pln_name_len(g->name))
        fault_at_graph(f, g, "the graph has no name");
}

static void check_metadata(pln_faults *f, const pln_model *m)
{
    for (size_t i = 0; i < m->n_metadata; i++)
        for (size_t j = 0; j < i; j++)
            if (m->metadata[i].key == m->metadata[j].key)
                fault_at_graph(f, NULL, "the metadata has '%s' twice",
                               m->metadata[i].key);
}

pln_status pln_model_validate(pln_model *m, pln_faults *out, pln_error *err)
{
    check_opsets(out, m);
    check_metadata(out, m);
    check_interface(out, m->graph);
    PLN_TRY(check_all(m->graph, out, err));
    for (size_t i = 0; i < m->n_functions; i++) {
        const pln_function *fn = m->functions[i];
        checker c = { .f = out };
        for (size_t j = 0; j < i; j++)
            if (pln_model_find_function(m, fn->domain, fn->name, fn->overload) != fn)
                fault_at_graph(out, fn->body, "function '%s' is there twice", fn->name);
        pln_map_init(&c.done, m->alloc);
        pln_map_init(&c.names, m->alloc);
        check_graph(&c, fn->body);
        pln_map_done(&c.done);
        pln_map_done(&c.names);
        if (c.oom)
            return pln_oom(err);
    }
    return out->failed ? pln_oom(err) : PLN_OK;
}

static void print_fault(pln_text *out, const pln_fault *x)
{
    const char *graph = !x->node && x->graph ? x->graph->name : "";
    pln_text_printf(out, "\n# %s: %s%s%s", x->note ? "NOTE" : "ERROR", graph,
                    *graph ? ": " : "", x->text);
}

static void faults_of(void *user, const pln_node *n, pln_text *out)
{
    const pln_faults *f = user;
    for (const pln_fault *x = f->first; x; x = x->next)
        if (x->node == n)
            print_fault(out, x);
    if (!n)
        pln_text_str(out, "\n");
}

pln_status pln_faults_print(const pln_model *m, const pln_faults *faults, pln_text *out,
                            pln_error *err)
{
    const pln_text_style style = { .inline_limit = 16, .elide = true, .raised = true,
                                   .types = true, .note = faults_of,
                                   .user = (void *)(uintptr_t)faults };
    return pln_text_print_model(m, &style, out, err);
}
