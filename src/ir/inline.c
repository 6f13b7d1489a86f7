/* Inlining of model-local functions and of operators' expansions.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/ir/inline.h"

#include <stdio.h>
#include <string.h>

#include "src/ir/env.h"
#include "src/ir/eval.h"
#include "src/ir/link.h"
#include "src/ir/op.h"
#include "src/ir/text.h"
#include "src/ir/version.h"

/* One call being replaced. */
typedef struct inliner {
    pln_model *m;
    pln_node *call;
    const pln_function *f;
    pln_map values; /* value of the body -> its stand-in; absent inputs are not in it */
    bool captures;  /* others are those of the graphs around, and stay */
    pln_error *err;
} inliner;

static pln_status fail(const inliner *in, const char *text, const char *what)
{
    char where[256];
    pln_error_set(in->err, "node", in->call->name);
    pln_error_set(in->err, "op", in->call->op_type);
    return pln_fail(in->err, PLN_E_FORMAT, "%s: %s '%s'",
                    pln_node_where(in->call, where, sizeof where), text, what);
}

/* ---- attributes -------------------------------------------------------------------- */

/* What an attribute of the function stands for in this call; NULL: absent. */
static const pln_attr *meant(const inliner *in, const char *name)
{
    const pln_attr *a = pln_node_find_attr(in->call, name);
    for (size_t i = 0; !a && i < in->f->n_attr_defaults; i++)
        if (!strcmp(in->f->attr_defaults[i]->name, name))
            a = in->f->attr_defaults[i];
    return a;
}

static pln_status check_required(const inliner *in)
{
    for (size_t i = 0; i < in->f->n_attr_names; i++)
        if (!pln_node_find_attr(in->call, in->f->attr_names[i]) && in->call->op == NULL)
            for (const pln_node *n = in->f->body->first; n; n = n->next)
                for (uint32_t k = 0; k < n->n_attrs; k++)
                    if (n->attrs[k]->ref && n->op && n->op->attrs &&
                        !strcmp(n->attrs[k]->ref, in->f->attr_names[i]))
                        for (const pln_attr_spec *s = n->op->attrs; s->name; s++)
                            if (s->required && !strcmp(s->name, n->attrs[k]->name))
                                return fail(in, "lacks the attribute",
                                            in->f->attr_names[i]);
    return PLN_OK;
}

static pln_status copy_graph(inliner *in, const pln_graph *src, pln_graph *parent,
                             pln_node *owner, pln_graph **out);

/* Lists of graphs and single ones; all other attributes are shared, being immutable. */
static pln_status copy_graphs(inliner *in, pln_attr *a, pln_node *owner)
{
    if (a->type == PLN_ATTR_GRAPH && a->g)
        return copy_graph(in, a->g, owner->graph, owner, &a->g);
    if (a->type != PLN_ATTR_GRAPHS)
        return PLN_OK;
    pln_graph **all = PLN_NEW_ARRAY(in->m->arena, pln_graph *, a->n);
    if (!all)
        return pln_oom(in->err);
    for (size_t i = 0; i < a->n; i++)
        PLN_TRY(copy_graph(in, a->graphs[i], owner->graph, owner, &all[i]));
    a->graphs = all;
    return PLN_OK;
}

static pln_status copy_attrs(inliner *in, const pln_node *src, pln_node *dst)
{
    dst->attrs = PLN_NEW_ARRAY(in->m->arena, pln_attr *, src->n_attrs);
    if (!dst->attrs)
        return pln_oom(in->err);
    for (uint32_t i = 0; i < src->n_attrs; i++) {
        const pln_attr *from = src->attrs[i];
        if (from->ref && !(from = meant(in, from->ref)))
            continue; /* the operator's own default holds */
        pln_attr *a = pln_arena_dup(in->m->arena, from, sizeof *from);
        if (!a)
            return pln_oom(in->err);
        a->name = src->attrs[i]->name;
        if (!src->attrs[i]->ref) /* a graph that the caller gave belongs to the caller */
            PLN_TRY(copy_graphs(in, a, dst));
        else if (a->type == PLN_ATTR_GRAPH || a->type == PLN_ATTR_GRAPHS)
            return fail(in, "gives a graph for the attribute", src->attrs[i]->ref);
        dst->attrs[dst->n_attrs++] = a;
    }
    return PLN_OK;
}

/* ---- nodes and graphs -------------------------------------------------------------- */

static const char *inner_name(inliner *in, pln_graph *g, const char *name)
{
    char hint[200];
    const char *outer = in->call->name;
    for (uint32_t i = 0; !*outer && i < in->call->n_out; i++)
        if (in->call->out[i])
            outer = in->call->out[i]->name;
    snprintf(hint, sizeof hint, "%.90s/%.90s", outer, name);
    if (!pln_name_find(in->m->names, hint, strlen(hint)))
        return pln_name_cstr(in->m->names, hint);
    return pln_graph_fresh_name(g, hint);
}

static pln_status adopt(inliner *in, const pln_value *from, pln_value *to)
{
    const char *name = inner_name(in, to->graph, from->name);
    if (!name || !pln_value_rename(to, name) || !pln_map_put(&in->values, from, to))
        return pln_oom(in->err);
    if (from->graph->owner || from->graph->parent) { /* functions' own values have none */
        to->type = from->type;
        to->declared = from->declared;
    }
    return PLN_OK;
}

static int64_t version_in_function(const inliner *in, const char *domain)
{
    for (size_t i = 0; i < in->f->n_opsets; i++)
        if (!strcmp(pln_domain_normal(in->f->opsets[i].domain),
                    pln_domain_normal(domain)))
            return in->f->opsets[i].version;
    return 0;
}

static bool has_references(const pln_node *n)
{
    for (uint32_t i = 0; i < n->n_attrs; i++)
        if (n->attrs[i]->ref)
            return true;
    return false;
}

static pln_status copy_outputs(inliner *in, const pln_node *src, pln_node *dst)
{
    for (uint32_t i = 0; i < src->n_out; i++) {
        if (src->out[i]) {
            PLN_TRY(adopt(in, src->out[i], dst->out[i]));
            if (src->out[i]->cst)
                pln_value_set_const(dst->out[i], pln_tensor_ref(src->out[i]->cst));
        } else {
            pln_graph_remove_value(dst->out[i]);
            dst->out[i] = NULL;
        }
    }
    return PLN_OK;
}

static pln_value *stand_in(const inliner *in, pln_value *v)
{
    pln_value *now = pln_map_get(&in->values, v);
    return now || !in->captures ? now : v;
}

static pln_status copy_node(inliner *in, const pln_node *src, pln_graph *g,
                            pln_node *before)
{
    pln_value **ins = PLN_NEW_ARRAY(in->m->arena, pln_value *, src->n_in);
    if (!ins)
        return pln_oom(in->err);
    if (in->m->n_nodes >= in->m->env->limits.nodes)
        return pln_fail(in->err, PLN_E_LIMIT, "inlining makes the model too large");
    for (uint32_t i = 0; i < src->n_in; i++)
        ins[i] = src->in[i] ? stand_in(in, src->in[i]) : NULL;
    pln_node *n = pln_graph_add_node(g, before, src->domain, src->op_type, NULL, ins,
                                     src->n_in, src->n_out);
    if (!n)
        return pln_oom(in->err);
    n->overload = src->overload;
    n->extra = src->extra;
    n->name = *src->name ? inner_name(in, g, src->name) : src->name;
    if (!n->name)
        return pln_oom(in->err);
    PLN_TRY(copy_outputs(in, src, n));
    PLN_TRY(copy_attrs(in, src, n));
    /* Only now are its attributes known (src/ir/version.c). */
    const int64_t version = version_in_function(in, n->domain);
    if (has_references(src) && version > 0) {
        PLN_TRY(pln_node_raise(n, version, in->err));
        n->origin = NULL; /* it never stood in a file like this */
    }
    pln_node_take_constant(n);
    return PLN_OK;
}

static pln_status copy_sources(inliner *in, const pln_graph *src, pln_graph *g)
{
    for (const pln_value *v = src->values; v; v = v->next) {
        pln_value *w;
        if (v->kind != PLN_VALUE_INITIALIZER)
            continue;
        w = pln_graph_add_initializer(g, NULL, pln_tensor_ref(v->cst));
        if (!w)
            return pln_oom(in->err);
        PLN_TRY(adopt(in, v, w));
    }
    return PLN_OK;
}

static pln_status copy_graph(inliner *in, const pln_graph *src, pln_graph *parent,
                             pln_node *owner, pln_graph **out)
{
    pln_graph *g = pln_graph_new(in->m, parent, owner);
    if (!g)
        return pln_oom(in->err);
    g->name = src->name;
    g->extra = src->extra;
    for (uint32_t i = 0; i < src->n_inputs; i++) {
        pln_value *v = pln_graph_add_input(g, NULL, NULL);
        if (!v)
            return pln_oom(in->err);
        PLN_TRY(adopt(in, src->inputs[i], v));
    }
    PLN_TRY(copy_sources(in, src, g));
    for (const pln_node *n = src->first; n; n = n->next)
        PLN_TRY(copy_node(in, n, g, NULL));
    for (uint32_t i = 0; i < src->n_outputs; i++) {
        pln_value *v = stand_in(in, src->outputs[i]);
        if (!v)
            return fail(in, "is called without the input", src->outputs[i]->name);
        if (pln_graph_add_output(g, v, NULL) != PLN_OK)
            return pln_oom(in->err);
    }
    *out = g;
    return PLN_OK;
}

/* ---- the call ---------------------------------------------------------------------- */

/* Users of an output that is an absent input get no input, either. */
static pln_status drop_uses(inliner *in, pln_value *v)
{
    while (v->uses) {
        if (!v->uses->node)
            return fail(in, "has nothing for the output", v->name);
        if (pln_node_set_input(v->uses->node, v->uses->slot, NULL) != PLN_OK)
            return pln_oom(in->err);
    }
    return PLN_OK;
}

static bool is_new(const inliner *in, const pln_value *v, const pln_graph *body)
{
    for (uint32_t i = 0; i < body->n_inputs; i++)
        if (pln_map_get(&in->values, body->inputs[i]) == v)
            return false;
    return v->kind == PLN_VALUE_NODE;
}

static pln_status replace_outputs(inliner *in)
{
    const pln_graph *body = in->f->body;
    for (uint32_t i = 0; i < in->call->n_out; i++) {
        pln_value *old = in->call->out[i];
        pln_value *now =
            i < body->n_outputs ? pln_map_get(&in->values, body->outputs[i]) : NULL;
        if (!old)
            continue;
        if (!now) {
            PLN_TRY(drop_uses(in, old));
            continue;
        }
        if (now->type.kind == PLN_KIND_NONE)
            now->type = old->type;
        pln_value_replace_uses(old, now);
        if (!is_new(in, now, body) || now->extra.len || now->declared)
            continue;
        now->declared = old->declared;
        now->extra = old->extra;
        const char *name = old->name;
        pln_value_unlink(old); /* gives the name free */
        in->call->out[i] = NULL;
        if (*name && !pln_value_rename(now, name))
            return pln_oom(in->err);
    }
    return PLN_OK;
}

static pln_status import_opsets(inliner *in)
{
    for (size_t i = 0; i < in->f->n_opsets; i++) {
        const pln_opset *o = &in->f->opsets[i];
        if (!pln_model_opset(in->m, o->domain) &&
            pln_model_set_opset(in->m, o->domain, o->version) != PLN_OK)
            return pln_oom(in->err);
    }
    return PLN_OK;
}

static pln_status inline_call(inliner *in)
{
    const pln_graph *body = in->f->body;
    pln_graph *g = in->call->graph;
    if (in->call->n_in > body->n_inputs || in->call->n_out > body->n_outputs)
        return fail(in, "has more inputs or outputs than the function", in->f->name);
    PLN_TRY(check_required(in));
    for (uint32_t i = 0; i < in->call->n_in; i++)
        if (in->call->in[i] &&
            !pln_map_put(&in->values, body->inputs[i], in->call->in[i]))
            return pln_oom(in->err);
    PLN_TRY(copy_sources(in, body, g));
    for (const pln_node *n = body->first; n; n = n->next)
        PLN_TRY(copy_node(in, n, g, in->call));
    PLN_TRY(replace_outputs(in));
    pln_graph_remove_node(in->call);
    return import_opsets(in);
}

pln_status pln_body_copy_out(pln_node *n, const pln_graph *body, pln_value *const *in,
                             pln_value **out, pln_error *err)
{
    static const pln_function none;
    inliner c = {
        .m = n->graph->model, .call = n, .f = &none, .captures = true, .err = err
    };
    pln_map_init(&c.values, c.m->alloc);
    pln_status st = PLN_OK;
    for (uint32_t i = 0; i < body->n_inputs && st == PLN_OK; i++)
        if (!pln_map_put(&c.values, body->inputs[i], in[i]))
            st = pln_oom(err);
    if (st == PLN_OK)
        st = copy_sources(&c, body, n->graph);
    for (const pln_node *src = body->first; src && st == PLN_OK; src = src->next)
        st = copy_node(&c, src, n->graph, n);
    for (uint32_t i = 0; i < body->n_outputs && st == PLN_OK; i++)
        out[i] = stand_in(&c, body->outputs[i]);
    pln_map_done(&c.values);
    return st;
}

static const pln_function *function_of(const pln_node *n)
{
    if (n->op && !strcmp(n->domain, "planish"))
        return NULL; /* stated for other runtimes */
    return pln_model_find_function(n->graph->model, n->domain, n->op_type, n->overload);
}

bool pln_node_is_inlinable(const pln_node *n)
{
    return function_of(n) || (n->op && n->op->expansion);
}

/* What the file says that an operator of our own means. */
static const pln_function *statement_of(const pln_node *n)
{
    if (!n->op || strcmp(n->domain, "planish") != 0 || !pln_name_len(n->overload))
        return NULL;
    return pln_model_find_function(n->graph->model, n->domain, n->op_type, n->overload);
}

static pln_status inline_as(pln_node *n, const pln_function *f, pln_error *err)
{
    inliner in = { .m = n->graph->model, .call = n, .f = f, .err = err };
    pln_map_init(&in.values, in.m->alloc);
    const pln_status st = inline_call(&in);
    pln_map_done(&in.values);
    return st;
}

static pln_status check_recursion(const pln_model *m, pln_error *err);

static pln_status unfuse_graph(pln_graph *g, void *err)
{
    for (pln_node *n = g->first, *next; n; n = next) {
        const pln_function *f = statement_of(n);
        next = n->next;
        if (f)
            PLN_TRY(inline_as(n, f, err));
    }
    return PLN_OK;
}

pln_status pln_model_unfuse(pln_model *m, pln_error *err)
{
    size_t n = 0;
    PLN_TRY(pln_graph_walk(m->graph, unfuse_graph, err));
    for (size_t i = 0; i < m->n_functions; i++)
        if (strcmp(m->functions[i]->domain, "planish") != 0 ||
            !pln_name_len(m->functions[i]->overload))
            m->functions[n++] = m->functions[i];
    m->n_functions = n;
    return PLN_OK;
}

/* ---- operators that carry what makes their constants ------------------------------- */

/* "Conv_w3", whose body ends with a Conv that gives all of its outputs. */
static bool carries_makers(const pln_function *f)
{
    const pln_node *last = f->body ? f->body->last : NULL;
    const size_t len = last ? strlen(last->op_type) : 0;
    if (!last || strcmp(f->domain, "planish") != 0 || pln_name_len(f->overload) ||
        f->body->n_outputs != last->n_out || strncmp(f->name, last->op_type, len) != 0 ||
        strncmp(f->name + len, "_w", 2) != 0 ||
        strspn(f->name + len + 2, "0123456789") != strlen(f->name + len + 2))
        return false;
    for (uint32_t i = 0; i < last->n_out; i++)
        if (f->body->outputs[i] != last->out[i])
            return false;
    return true;
}

static pln_status free_makers(pln_graph *g, void *err)
{
    for (pln_node *n = g->first, *next; n; n = next) {
        const pln_function *f = n->op ? NULL : function_of(n);
        const char *name = n->name;
        const pln_blob extra = n->extra;
        next = n->next;
        if (!f || !carries_makers(f))
            continue;
        PLN_TRY(inline_as(n, f, err));
        pln_node *last = next ? next->prev : g->last;
        last->name = name;
        last->extra = extra;
    }
    return PLN_OK;
}

typedef struct caller {
    const pln_function *f;
    bool found;
} caller;

static pln_status find_call(pln_graph *g, void *user)
{
    caller *c = user;
    for (const pln_node *n = g->first; n && !c->found; n = n->next)
        c->found = !n->op && function_of(n) == c->f;
    return PLN_OK;
}

/* Other functions may call it; those stay as they are. */
static bool is_called_in_functions(pln_model *m, const pln_function *f)
{
    caller c = { f, false };
    for (size_t i = 0; i < m->n_functions; i++)
        pln_graph_walk(m->functions[i]->body, find_call, &c);
    return c.found;
}

pln_status pln_model_free_makers(pln_model *m, pln_error *err)
{
    bool any = false;
    for (size_t i = 0; i < m->n_functions; i++)
        any |= carries_makers(m->functions[i]);
    if (!any)
        return PLN_OK;
    PLN_TRY(check_recursion(m, err));
    PLN_TRY(pln_graph_walk(m->graph, free_makers, err));
    for (size_t i = m->n_functions; i-- > 0;) {
        if (!carries_makers(m->functions[i]) ||
            is_called_in_functions(m, m->functions[i]))
            continue;
        m->n_functions--;
        memmove(&m->functions[i], &m->functions[i + 1],
                (m->n_functions - i) * sizeof m->functions[0]);
    }
    return PLN_OK;
}

pln_status pln_node_inline(pln_node *n, pln_error *err)
{
    inliner in = { .m = n->graph->model, .call = n, .f = function_of(n), .err = err };
    if (!in.f && n->op && n->op->expansion) {
        pln_function *f;
        PLN_TRY(pln_text_parse_function(in.m, n->op->expansion, strlen(n->op->expansion),
                                        &f, err));
        in.f = f;
    }
    if (!in.f)
        return fail(&in, "there is no function", n->op_type);
    return inline_as(n, in.f, err);
}

/* ---- the model --------------------------------------------------------------------- */

typedef struct search {
    const pln_model *m;
    unsigned char *state; /* by function: 1 being looked at, 2 fine */
    unsigned depth;
    pln_error *err;
} search;

static pln_status look_at(search *s, size_t i);

static pln_status look_into(pln_graph *g, void *user)
{
    search *s = user;
    for (const pln_node *n = g->first; n; n = n->next) {
        const pln_function *f = function_of(n);
        for (size_t i = 0; f && i < s->m->n_functions; i++)
            if (s->m->functions[i] == f)
                PLN_TRY(look_at(s, i));
    }
    return PLN_OK;
}

static pln_status look_at(search *s, size_t i)
{
    const pln_function *f = s->m->functions[i];
    if (s->state[i] == 2)
        return PLN_OK;
    if (s->state[i] == 1)
        return pln_fail(s->err, PLN_E_FORMAT, "function '%s' calls itself", f->name);
    if (++s->depth > s->m->env->limits.depth)
        return pln_fail(s->err, PLN_E_LIMIT, "functions are nested too deeply");
    s->state[i] = 1;
    PLN_TRY(pln_graph_walk(f->body, look_into, s));
    s->state[i] = 2;
    s->depth--;
    return PLN_OK;
}

static pln_status check_recursion(const pln_model *m, pln_error *err)
{
    search s = { .m = m, .err = err };
    s.state = pln_calloc(m->alloc, m->n_functions, 1);
    if (!s.state)
        return pln_oom(err);
    pln_status st = PLN_OK;
    for (size_t i = 0; i < m->n_functions && st == PLN_OK; i++)
        st = look_at(&s, i);
    pln_release(m->alloc, s.state);
    return st;
}

static pln_status inline_graph(pln_graph *g, void *err)
{
    for (pln_node *n = g->first; n;) {
        pln_node *prev = n->prev;
        if (!function_of(n)) {
            n = n->next;
            continue;
        }
        PLN_TRY(pln_node_inline(n, err));
        n = prev ? prev->next : g->first; /* the body may hold calls itself */
    }
    return PLN_OK;
}

pln_status pln_model_inline(pln_model *m, pln_error *err)
{
    if (!m->n_functions)
        return PLN_OK;
    PLN_TRY(check_recursion(m, err));
    PLN_TRY(pln_graph_walk(m->graph, inline_graph, err));
    m->n_functions = 0;
    return PLN_OK;
}
