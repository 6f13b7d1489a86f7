/* Deep copies of models; tensors are shared.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "src/ir/link.h"
#include "src/ir/op.h"

typedef struct cloner {
    const pln_model *src;
    pln_model *dst;
    pln_map values; /* old value -> new */
} cloner;

/* NULL (and no failure) for NULL. */
static const char *name(cloner *c, const char *s)
{
    return s ? pln_name_intern(c->dst->names, s, pln_name_len(s)) : NULL;
}

static pln_blob blob(cloner *c, pln_blob b)
{
    return (pln_blob){ b.len ? pln_arena_dup(c->dst->arena, b.data, b.len) : NULL,
                       b.len };
}

static pln_type type(cloner *c, const pln_type *t)
{
    pln_type d = pln_type_dup(c->dst->arena, t);
    for (int i = 0; i < d.shape.rank; i++)
        d.shape.dims[i] = pln_dim_import(c->dst->syms, d.shape.dims[i]);
    if (t->elem) {
        const pln_type elem = type(c, t->elem);
        d.elem = pln_arena_dup(c->dst->arena, &elem, sizeof elem);
    }
    d.denotation = name(c, t->denotation);
    return d;
}

static const pln_type *type_ptr(cloner *c, const pln_type *t)
{
    if (!t)
        return NULL;
    const pln_type d = type(c, t);
    return pln_arena_dup(c->dst->arena, &d, sizeof d);
}

static const pln_symval *symval(cloner *c, const pln_symval *s)
{
    if (!s)
        return NULL;
    pln_symval *d = PLN_NEW(c->dst->arena, pln_symval);
    pln_dim *v = PLN_NEW_ARRAY(c->dst->arena, pln_dim, s->n);
    if (!d || !v)
        return NULL;
    for (int64_t i = 0; i < s->n; i++)
        v[i] = pln_dim_import(c->dst->syms, s->v[i]);
    *d = (pln_symval){ s->n, v };
    return d;
}

static bool copy_value(cloner *c, pln_value *d, const pln_value *s)
{
    if (pln_name_len(s->name) && !pln_value_rename(d, name(c, s->name)))
        return false;
    d->overridable = s->overridable;
    d->is_sparse = s->is_sparse;
    d->file_order = s->file_order;
    d->type = type(c, &s->type);
    d->declared = type_ptr(c, s->declared);
    d->cst = pln_tensor_ref(s->cst);
    d->sym = symval(c, s->sym);
    d->extra = blob(c, s->extra);
    d->tensor_extra = blob(c, s->tensor_extra);
    return pln_map_put(&c->values, s, d);
}

static pln_status copy_graph(cloner *c, pln_graph *d, const pln_graph *s);

static pln_graph *copy_body(cloner *c, pln_graph *s, pln_graph *parent, pln_node *owner)
{
    pln_graph *d = pln_graph_new(c->dst, parent, owner);
    return d && copy_graph(c, d, s) == PLN_OK ? d : NULL;
}

static bool copy_lists(cloner *c, pln_attr *d, const pln_attr *s, pln_node *n)
{
    pln_arena *arena = c->dst->arena;
    if (s->type == PLN_ATTR_FLOATS) {
        d->floats = pln_arena_dup(arena, s->floats, s->n * sizeof *s->floats);
        return d->floats;
    }
    if (s->type == PLN_ATTR_INTS) {
        d->ints = pln_arena_dup(arena, s->ints, s->n * sizeof *s->ints);
        return d->ints;
    }
    void **items = PLN_NEW_ARRAY(arena, void *, s->n);
    bool ok = items != NULL;
    for (size_t i = 0; ok && i < s->n; i++) {
        if (s->type == PLN_ATTR_STRINGS)
            items[i] = (void *)(uintptr_t)name(c, s->strings[i]);
        else if (s->type == PLN_ATTR_GRAPHS)
            items[i] = copy_body(c, s->graphs[i], n ? n->graph : NULL, n);
        else if (s->type == PLN_ATTR_TYPES)
            items[i] = (void *)(uintptr_t)type_ptr(c, s->types[i]);
        else
            items[i] = pln_model_own(c->dst, s->tensors[i]) ? NULL : s->tensors[i];
        ok = items[i] != NULL;
    }
    d->strings = (const char *const *)items; /* the union's pointers share their place */
    return ok;
}

static pln_attr *copy_attr(cloner *c, const pln_attr *s, pln_node *n)
{
    pln_attr *d = pln_arena_dup(c->dst->arena, s, sizeof *s);
    if (!d)
        return NULL;
    d->name = name(c, s->name);
    d->ref = name(c, s->ref);
    d->extra = blob(c, s->extra);
    bool ok = d->name != NULL;
    switch (s->type) {
    case PLN_ATTR_NONE:
    case PLN_ATTR_FLOAT:
    case PLN_ATTR_INT:
        break;
    case PLN_ATTR_STRING:
        d->s = name(c, s->s);
        ok &= d->s || !s->s;
        break;
    case PLN_ATTR_TENSOR:
    case PLN_ATTR_SPARSE_TENSOR:
        ok &= !s->t || pln_model_own(c->dst, s->t) == PLN_OK;
        break;
    case PLN_ATTR_GRAPH:
        d->g = s->g ? copy_body(c, s->g, n ? n->graph : NULL, n) : NULL;
        ok &= d->g || !s->g;
        break;
    case PLN_ATTR_TYPE:
        d->tp = type_ptr(c, s->tp);
        break;
    default:
        ok &= copy_lists(c, d, s, n);
    }
    return ok ? d : NULL;
}

static pln_attr **copy_attrs(cloner *c, pln_attr *const *s, size_t count, pln_node *n)
{
    pln_attr **d = PLN_NEW_ARRAY(c->dst->arena, pln_attr *, count);
    for (size_t i = 0; d && i < count; i++) {
        d[i] = copy_attr(c, s[i], n);
        if (!d[i])
            return NULL;
    }
    return d;
}

static bool copy_origin(cloner *c, pln_node *d, const pln_node *s)
{
    if (!s->origin)
        return true;
    pln_origin *o = pln_arena_dup(c->dst->arena, s->origin, sizeof *o);
    if (!o)
        return false;
    const bool untouched = s->origin->raised_attrs == (const pln_attr *const *)s->attrs;
    const bool raised = s->origin->attrs != s->attrs;
    o->op_type = name(c, o->op_type);
    o->raised_type = name(c, o->raised_type);
    o->in_at = o->in_at
                   ? pln_arena_dup(c->dst->arena, o->in_at, o->n_in * sizeof *o->in_at)
                   : NULL;
    o->attrs = raised ? copy_attrs(c, o->attrs, o->n_attrs, NULL) : d->attrs;
    o->raised_attrs = untouched ? (const pln_attr *const *)d->attrs : NULL;
    pln_value **in = PLN_NEW_ARRAY(c->dst->arena, pln_value *, o->n_raised_in);
    if (!o->op_type || (o->n_attrs && !o->attrs) || !in)
        return false;
    for (uint32_t i = 0; i < o->n_raised_in; i++)
        in[i] = pln_map_get(&c->values, o->raised_in[i]);
    o->raised_in = in;
    d->origin = o;
    return true;
}

static bool copy_node(cloner *c, pln_graph *g, const pln_node *s)
{
    pln_value **in = PLN_NEW_ARRAY(c->dst->arena, pln_value *, s->n_in);
    for (uint32_t i = 0; in && i < s->n_in; i++)
        in[i] = pln_map_get(&c->values, s->in[i]);
    pln_node *d = in ? pln_graph_add_node(g, NULL, s->domain, s->op_type, NULL, in,
                                          s->n_in, s->n_out)
                     : NULL;
    if (!d)
        return false;
    d->name = name(c, s->name);
    d->overload = name(c, s->overload);
    d->extra = blob(c, s->extra);
    for (uint32_t i = 0; i < s->n_out; i++) {
        if (s->out[i] && !copy_value(c, d->out[i], s->out[i]))
            return false;
        if (!s->out[i]) {
            pln_value_unlink(d->out[i]);
            d->out[i] = NULL;
        }
    }
    d->attrs = copy_attrs(c, s->attrs, s->n_attrs, d);
    d->n_attrs = s->n_attrs;
    return d->name && (d->attrs || !s->n_attrs) && copy_origin(c, d, s);
}

/* Inputs and initializers; node outputs come with their nodes. */
static bool copy_sources(cloner *c, pln_graph *d, const pln_graph *s)
{
    for (uint32_t i = 0; i < s->n_inputs; i++) {
        pln_value *v = pln_graph_add_input(d, NULL, NULL);
        if (!v || !copy_value(c, v, s->inputs[i]))
            return false;
    }
    for (const pln_value *v = s->values; v; v = v->next) {
        if (v->kind != PLN_VALUE_INITIALIZER)
            continue;
        pln_value *w = pln_value_new(d, PLN_VALUE_INITIALIZER, NULL);
        if (!w || !copy_value(c, w, v))
            return false;
    }
    return true;
}

static pln_status copy_graph(cloner *c, pln_graph *d, const pln_graph *s)
{
    d->name = name(c, s->name);
    d->extra = blob(c, s->extra);
    if (!d->name || !copy_sources(c, d, s))
        return PLN_E_NOMEM;
    for (const pln_node *n = s->first; n; n = n->next)
        if (!copy_node(c, d, n))
            return PLN_E_NOMEM;
    for (uint32_t i = 0; i < s->n_outputs; i++)
        PLN_TRY(pln_graph_add_output(d, pln_map_get(&c->values, s->outputs[i]),
                                     name(c, s->output_names[i])));
    return PLN_OK;
}

static pln_opset *copy_opsets(cloner *c, const pln_opset *s, size_t n)
{
    pln_opset *d = PLN_NEW_ARRAY(c->dst->arena, pln_opset, n);
    for (size_t i = 0; d && i < n; i++)
        d[i] = (pln_opset){ name(c, s[i].domain), s[i].version };
    return d;
}

static pln_function *copy_function(cloner *c, const pln_function *s)
{
    pln_function *d = pln_arena_dup(c->dst->arena, s, sizeof *s);
    const char **attr_names = PLN_NEW_ARRAY(c->dst->arena, const char *, s->n_attr_names);
    if (!d || !attr_names)
        return NULL;
    d->name = name(c, s->name);
    d->domain = name(c, s->domain);
    d->overload = name(c, s->overload);
    d->extra = blob(c, s->extra);
    d->opsets = copy_opsets(c, s->opsets, s->n_opsets);
    for (size_t i = 0; i < s->n_attr_names; i++)
        attr_names[i] = name(c, s->attr_names[i]);
    d->attr_names = attr_names;
    d->attr_defaults = copy_attrs(c, s->attr_defaults, s->n_attr_defaults, NULL);
    d->body = copy_body(c, s->body, NULL, NULL);
    return d->body && d->opsets && (d->attr_defaults || !s->n_attr_defaults) ? d : NULL;
}

static pln_status copy_model(cloner *c)
{
    const pln_model *s = c->src;
    pln_model *d = c->dst;
    d->ir_version = s->ir_version;
    d->model_version = s->model_version;
    d->producer_name = name(c, s->producer_name);
    d->producer_version = name(c, s->producer_version);
    d->model_domain = name(c, s->model_domain);
    d->doc = name(c, s->doc);
    d->extra = blob(c, s->extra);
    d->source = pln_buf_ref(s->source);
    if (s->directory) {
        d->directory = pln_alloc(d->alloc, strlen(s->directory) + 1);
        if (!d->directory)
            return PLN_E_NOMEM;
        strcpy(d->directory, s->directory);
    }
    d->outside = PLN_NEW_ARRAY(d->arena, pln_file_id, s->n_outside + 1);
    if (!d->outside)
        return PLN_E_NOMEM;
    for (; d->n_outside < s->n_outside; d->n_outside++)
        d->outside[d->n_outside] = s->outside[d->n_outside];
    d->opsets = copy_opsets(c, s->opsets, s->n_opsets);
    d->metadata = PLN_NEW_ARRAY(d->arena, pln_metadata, s->n_metadata);
    d->functions = PLN_NEW_ARRAY(d->arena, pln_function *, s->n_functions);
    if (!d->opsets || !d->metadata || !d->functions)
        return PLN_E_NOMEM;
    d->n_opsets = s->n_opsets;
    for (size_t i = 0; i < s->n_metadata; i++)
        d->metadata[d->n_metadata++] =
            (pln_metadata){ name(c, s->metadata[i].key), name(c, s->metadata[i].value) };
    for (size_t i = 0; i < s->n_functions; i++) {
        d->functions[i] = copy_function(c, s->functions[i]);
        if (!d->functions[i])
            return PLN_E_NOMEM;
        d->n_functions++;
    }
    return copy_graph(c, d->graph, s->graph);
}

PLN_API pln_status pln_model_clone(const pln_model *model, pln_model **out,
                                   pln_error *err)
{
    cloner c = { .src = model };
    pln_error_clear(err);
    if (!model || !out)
        return pln_fail(err, PLN_E_USAGE, "pln_model_clone: NULL argument");
    *out = NULL;
    PLN_TRY(pln_model_new(model->env, &c.dst, err));
    pln_map_init(&c.values, c.dst->alloc);
    const pln_status st = copy_model(&c);
    pln_map_done(&c.values);
    if (st != PLN_OK) {
        pln_model_free(c.dst);
        return st == PLN_E_NOMEM ? pln_oom(err)
                                 : pln_fail(err, st, "the model can't be copied");
    }
    *out = c.dst;
    return PLN_OK;
}

/* ---- a part ------------------------------------------------------------------------ */

typedef struct bringer {
    cloner *c;
    bool failed;
} bringer;

/* Constants come along; everything else must be there already. */
static void bring(void *user, pln_value *v)
{
    bringer *b = user;
    if (pln_map_has(&b->c->values, v))
        return;
    pln_value *w = v->cst ? pln_value_new(b->c->dst->graph, PLN_VALUE_INITIALIZER, NULL)
                          : NULL;
    b->failed |= !w || !copy_value(b->c, w, v);
    if (w && !b->failed)
        w->declared = NULL;
}

static bool add_inputs(cloner *c, const pln_part *p)
{
    for (size_t i = 0; i < p->n_in; i++) {
        pln_value *v = pln_graph_add_input(c->dst->graph, NULL, NULL);
        if (!v || !copy_value(c, v, p->in[i]))
            return false;
        const char *fresh = *v->name ? v->name : pln_graph_fresh_name(v->graph, "x");
        if (!fresh || (fresh != v->name && !pln_value_rename(v, fresh)))
            return false;
    }
    return true;
}

/* An output is the result of a node, under the name that is asked for. */
static pln_status add_output(cloner *c, pln_value *of, const char *wanted)
{
    pln_graph *g = c->dst->graph;
    bringer b = { c, false };
    bring(&b, of);
    pln_value *v = b.failed ? NULL : pln_map_get(&c->values, of);
    if (v && v->kind != PLN_VALUE_NODE) {
        pln_node *n = pln_graph_add_node(g, NULL, "", "Identity", NULL, &v, 1, 1);
        if (!n)
            return PLN_E_NOMEM;
        n->out[0]->type = v->type;
        v = n->out[0];
    }
    if (!v)
        return PLN_E_UNSUPPORTED;
    const char *name = pln_name_cstr(c->dst->names, wanted);
    if (!name || (v->name != name && !pln_value_rename(v, name)))
        name = pln_graph_fresh_name(g, wanted);
    if (!name || (v->name != name && !pln_value_rename(v, name)))
        return PLN_E_NOMEM;
    return pln_graph_add_output(g, v, NULL);
}

static bool name_rest(pln_graph *g)
{
    for (pln_node *n = g->first; n; n = n->next)
        for (uint32_t i = 0; i < n->n_out; i++) {
            pln_value *v = n->out[i];
            const char *name =
                v && !*v->name ? pln_graph_fresh_name(g, n->op_type) : NULL;
            if (v && !*v->name && (!name || !pln_value_rename(v, name)))
                return false;
        }
    return true;
}

static pln_status copy_part(cloner *c, const pln_part *p)
{
    pln_model *d = c->dst;
    d->ir_version = c->src->ir_version;
    d->opsets = copy_opsets(c, c->src->opsets, c->src->n_opsets);
    d->n_opsets = d->opsets ? c->src->n_opsets : 0;
    d->source = pln_buf_ref(c->src->source);
    d->graph->name = pln_name_cstr(d->names, "part");
    bringer b = { c, false };
    if (!d->opsets || !d->graph->name || !add_inputs(c, p))
        return PLN_E_NOMEM;
    for (size_t i = 0; i < p->n_nodes; i++) {
        pln_node_each_read(p->node[i], bring, &b);
        if (b.failed)
            return PLN_E_UNSUPPORTED;
        if (!copy_node(c, d->graph, p->node[i]))
            return PLN_E_NOMEM;
    }
    for (size_t i = 0; i < p->n_out; i++)
        PLN_TRY(add_output(c, p->out[i], p->out_names[i]));
    return name_rest(d->graph) ? PLN_OK : PLN_E_NOMEM;
}

pln_status pln_model_part(const pln_model *model, const pln_part *part,
                             pln_model **out, pln_error *err)
{
    cloner c = { .src = model };
    *out = NULL;
    PLN_TRY(pln_model_new(model->env, &c.dst, err));
    pln_map_init(&c.values, c.dst->alloc);
    const pln_status st = copy_part(&c, part);
    pln_map_done(&c.values);
    if (st == PLN_OK)
        *out = c.dst;
    else
        pln_model_free(c.dst);
    return st == PLN_E_NOMEM ? pln_oom(err)
           : st != PLN_OK ? pln_fail(err, st, "the nodes need more than they were given")
                          : PLN_OK;
}
