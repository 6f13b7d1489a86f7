/* Operators of our own in a file: calls of functions that state them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "proto/stated.h"

#include <stdio.h>
#include <string.h>

#include "src/ir/op.h"
#include "src/ir/text.h"

#define DOMAIN    "planish"
#define F_DOC     8
#define MAX_SLOTS 64

static bool has_overload(const char *overload)
{
    return overload && pln_name_len(overload);
}

bool pln_function_states(const pln_model *m, const pln_function *f)
{
    return !strcmp(f->domain, DOMAIN) && has_overload(f->overload) &&
           pln_registry_find(m->registry, DOMAIN, f->name);
}

const pln_function *pln_stated_by(const pln_node *n)
{
    const pln_model *m = n->graph->model;
    if (!n->op || strcmp(n->domain, DOMAIN) != 0 || !has_overload(n->overload))
        return NULL;
    const pln_function *f =
        pln_model_find_function(m, n->domain, n->op_type, n->overload);
    return f && f->body->n_inputs >= n->n_in ? f : NULL;
}

/* ---- writing ----------------------------------------------------------------------- */

static void write_name(pln_writer *w, uint32_t number, const char *name,
                       const char *overload)
{
    pln_text t;
    pln_text_init(&t, w->text.alloc);
    pln_text_printf(&t, "%s_%s", name, overload);
    pln_write_cstr(w, number, t.failed ? "" : t.data);
    w->text.failed |= t.failed;
    pln_text_done(&t);
}

pln_status pln_write_stated_call(pln_saver *s, const pln_node *n)
{
    write_name(&s->w, 4, n->op_type, n->overload);
    pln_write_name(&s->w, 7, n->domain);
    return s->w.text.failed ? pln_oom(s->err) : PLN_OK;
}

typedef struct caller_search {
    const pln_function *f;
    const pln_node *found;
} caller_search;

static pln_status find_caller(pln_graph *g, void *user)
{
    caller_search *c = user;
    for (const pln_node *n = g->first; n && !c->found; n = n->next)
        if (pln_stated_by(n) == c->f)
            c->found = n;
    return PLN_OK;
}

pln_status pln_write_stated_head(pln_saver *s, const pln_function *f)
{
    pln_text t;
    caller_search c = { f, NULL };
    write_name(&s->w, 1, f->name, f->overload);
    pln_graph_walk(s->model->graph, find_caller, &c);
    for (size_t i = 0; i < s->model->n_functions && !c.found; i++)
        pln_graph_walk(s->model->functions[i]->body, find_caller, &c);
    for (uint32_t i = 0; i < f->body->n_inputs; i++)
        if (!c.found || (i < c.found->n_in && c.found->in[i]))
            pln_write_name(&s->w, 4, f->body->inputs[i]->name);
    if (!c.found)
        return PLN_OK;
    pln_text_init(&t, s->w.text.alloc);
    const pln_status st = pln_text_print_call(c.found, &t, s->err);
    if (st == PLN_OK)
        pln_write_cstr(&s->w, F_DOC, t.data);
    pln_text_done(&t);
    return st;
}

/* ---- reading ----------------------------------------------------------------------- */

/* The call as text, "planish.Op <...> (x0, x1)", in a function whose inputs it names. */
static pln_status parse_call(pln_model *m, pln_blob doc, pln_function **out)
{
    pln_text t;
    pln_error local = { .code = PLN_OK };
    pln_text_init(&t, m->alloc);
    pln_text_str(&t,
                 "<domain: \"" DOMAIN "\", opset_import: [\"" DOMAIN "\" : 1]> call (");
    for (int i = 0; i < MAX_SLOTS; i++)
        pln_text_printf(&t, "%sx%d", i ? ", " : "", i);
    pln_text_str(&t, ") => (y) { y = ");
    pln_text_put(&t, doc.data, doc.len);
    pln_text_str(&t, " }");
    pln_status st =
        t.failed ? PLN_E_NOMEM : pln_text_parse_function(m, t.data, t.len, out, &local);
    pln_text_done(&t);
    return st;
}

static uint32_t slot_of(const pln_graph *body, const pln_value *v)
{
    for (uint32_t i = 0; i < body->n_inputs; i++)
        if (body->inputs[i] == v)
            return i;
    return UINT32_MAX;
}

/* The function's inputs are those that the call gives, in order. */
static bool inputs_agree(const pln_function *f, const pln_function *call)
{
    const pln_node *n = call->body->first;
    uint32_t given = 0;
    for (uint32_t i = 0; i < n->n_in; i++) {
        if (!n->in[i])
            continue;
        if (slot_of(call->body, n->in[i]) != i || given >= f->body->n_inputs)
            return false;
        given++;
    }
    return given == f->body->n_inputs;
}

/* What the function states, if it says so and names an operator of ours. */
static pln_status read_doc(pln_model *m, const pln_function *f, pln_function **call)
{
    pln_blob doc;
    *call = NULL;
    if (strcmp(f->domain, DOMAIN) != 0 || has_overload(f->overload) ||
        !strchr(f->name, '_') || !pln_rest_field(f->extra, F_DOC, 0, &doc))
        return PLN_OK;
    if (parse_call(m, doc, call) == PLN_E_NOMEM)
        return PLN_E_NOMEM;
    const pln_node *n = *call ? (*call)->body->first : NULL;
    const bool named = n && !n->next && n->op && !strcmp(n->domain, DOMAIN) &&
                       !strncmp(f->name, n->op_type, strlen(n->op_type)) &&
                       f->name[strlen(n->op_type)] == '_' &&
                       f->name[strlen(n->op_type) + 1];
    if (!named || !inputs_agree(f, *call))
        *call = NULL;
    return PLN_OK;
}

/* The k-th absent input is called by its slot, as in memory. */
static const char *name_of_absent(pln_graph *g, const pln_node *call, uint32_t k)
{
    char buf[24];
    uint32_t slot = 0;
    while (slot + 1 < call->n_in && (call->in[slot] || k-- > 0))
        slot++;
    snprintf(buf, sizeof buf, "x%u", slot);
    const char *name = pln_model_name(g->model, buf);
    return name && pln_graph_find_value(g, name) ? pln_graph_fresh_name(g, buf) : name;
}

/* Puts the inputs of the body where the operator has them. */
static pln_status spread_body(pln_function *f, const pln_node *call)
{
    pln_graph *g = f->body;
    uint32_t given = g->n_inputs;
    pln_model *m = g->model;
    for (uint32_t i = given; i < call->n_in; i++) {
        const char *name = name_of_absent(g, call, i - given);
        if (!name || !pln_graph_add_input(g, name, NULL))
            return PLN_E_NOMEM;
    }
    pln_value **all = PLN_NEW_ARRAY(m->arena, pln_value *, (size_t)g->n_inputs + 1);
    if (!all)
        return PLN_E_NOMEM;
    uint32_t next = 0, absent = given;
    for (uint32_t i = 0; i < call->n_in; i++)
        all[i] = call->in[i] ? g->inputs[next++] : g->inputs[absent++];
    memcpy(g->inputs, all, call->n_in * sizeof *all);
    return PLN_OK;
}

static pln_status adopt_node(pln_node *n, const pln_function *f, const pln_node *call)
{
    pln_value *given[MAX_SLOTS];
    if (n->n_in > MAX_SLOTS)
        return PLN_OK;
    const uint32_t n_given = n->n_in;
    memcpy(given, n->in, n_given * sizeof *given);
    for (uint32_t i = call->n_in; i-- > 0;)
        PLN_TRY(pln_node_set_input(n, i, NULL));
    uint32_t next = 0;
    for (uint32_t i = 0; i < call->n_in && next < n_given; i++)
        if (call->in[i])
            PLN_TRY(pln_node_set_input(n, i, given[next++]));
    for (uint32_t i = 0; i < call->n_attrs; i++)
        PLN_TRY(pln_node_set_attr(n, call->attrs[i]));
    pln_node_set_op(n, f->domain, call->op_type);
    n->overload = f->overload;
    return n->op_type ? PLN_OK : PLN_E_NOMEM;
}

typedef struct adoption {
    const char *name; /* of the function in the file */
    const pln_function *f;
    const pln_node *call;
} adoption;

static pln_status adopt_in(pln_graph *g, void *user)
{
    const adoption *a = user;
    for (pln_node *n = g->first; n; n = n->next)
        if (n->op_type == a->name && n->domain == a->f->domain && !n->n_attrs &&
            !has_overload(n->overload))
            PLN_TRY(adopt_node(n, a->f, a->call));
    return PLN_OK;
}

static pln_status adopt(pln_model *m, pln_function *f, const pln_function *call)
{
    adoption a = { f->name, f, call->body->first };
    f->overload = pln_model_name(m, f->name + strlen(a.call->op_type) + 1);
    f->name = a.call->op_type;
    f->extra = (pln_blob){ NULL, 0 };
    if (!f->overload)
        return PLN_E_NOMEM;
    PLN_TRY(spread_body(f, a.call));
    PLN_TRY(pln_graph_walk(m->graph, adopt_in, &a));
    for (size_t i = 0; i < m->n_functions; i++)
        PLN_TRY(pln_graph_walk(m->functions[i]->body, adopt_in, &a));
    return PLN_OK;
}

pln_status pln_adopt_stated(pln_model *m, pln_error *err)
{
    for (size_t i = 0; i < m->n_functions; i++) {
        pln_function *call;
        pln_status st = read_doc(m, m->functions[i], &call);
        if (st == PLN_OK && call)
            st = adopt(m, m->functions[i], call);
        if (st != PLN_OK)
            return pln_oom(err);
    }
    return PLN_OK;
}
