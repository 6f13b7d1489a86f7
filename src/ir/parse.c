/* Parsing graphs of the textual syntax. Inputs of nodes are linked
 * at the end, since a text may use a value before the node that makes it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "src/ir/env.h"
#include "src/ir/parse_impl.h"
#include "src/ir/text_words.h"

/* What a text says of a value before the value is there. */
typedef struct said {
    struct said *next;
    const char *name;
    const pln_type *type;
} said;

/* ---- small parts ------------------------------------------------------------------- */

pln_status parse_name(parser *ps, const char **out)
{
    lex_word w;
    PLN_TRY(lex_name(&ps->l, &w));
    *out = parse_intern(ps, w);
    return *out ? PLN_OK : PLN_E_NOMEM;
}

pln_status parse_text(parser *ps, const char **out)
{
    lex_word w;
    PLN_TRY(lex_string(&ps->l, &w));
    *out = parse_intern(ps, w);
    return *out ? PLN_OK : PLN_E_NOMEM;
}

static pln_value *here(const pln_graph *g, const char *name)
{
    return pln_map_get(&g->by_name, name);
}

static pln_value *around(const pln_graph *g, const char *name)
{
    for (; g; g = g->parent) {
        pln_value *v = here(g, name);
        if (v)
            return v;
    }
    return NULL;
}

/* Names separated by commas; "" or nothing before a comma is an empty one. */
static pln_status name_list(parser *ps, int end, const char ***out, uint32_t *n)
{
    pln_text list; /* of const char * */
    pln_status st = PLN_OK;
    pln_text_init(&list, ps->m->alloc);
    *n = 0;
    while (st == PLN_OK && lex_peek(&ps->l) != end) {
        lex_word w = { "", 0 };
        const int c = lex_peek(&ps->l);
        if (c != ',')
            st = lex_name(&ps->l, &w);
        const char *s = st == PLN_OK ? parse_intern(ps, w) : NULL;
        if (!s && st == PLN_OK)
            st = PLN_E_NOMEM;
        pln_text_put(&list, (const char *)&s, sizeof s);
        ++*n;
        if (!lex_take(&ps->l, ','))
            break;
    }
    if (st == PLN_OK) {
        *out = PLN_NEW_ARRAY(ps->l.arena, const char *, *n);
        if (!*out || list.failed)
            st = pln_oom(ps->l.err);
        else if (*n)
            memcpy(*out, list.data, list.len);
    }
    pln_text_done(&list);
    return st;
}

static pln_status add_pending(parser *ps, pending p)
{
    pending *copy = pln_arena_dup(ps->l.arena, &p, sizeof p);
    if (!copy)
        return pln_oom(ps->l.err);
    *ps->last = copy;
    ps->last = &copy->next;
    return PLN_OK;
}

pln_status parse_blob(parser *ps, pln_blob *out)
{
    lex_word w;
    PLN_TRY(lex_string(&ps->l, &w));
    out->data = pln_arena_dup(ps->m->arena, w.s, w.len);
    out->len = w.len;
    return out->data || !w.len ? PLN_OK : pln_oom(ps->l.err);
}

/* ---- nodes ------------------------------------------------------------------------- */

/* "a.b.Op:overload" */
static pln_status parse_op(parser *ps, const char **domain, const char **op,
                           const char **overload)
{
    pln_text d;
    lex_word w;
    pln_text_init(&d, ps->m->alloc);
    pln_status st = lex_identifier(&ps->l, &w);
    while (st == PLN_OK && lex_take(&ps->l, '.')) {
        pln_text_str(&d, d.len ? "." : "");
        pln_text_put(&d, w.s, w.len);
        st = lex_identifier(&ps->l, &w);
    }
    if (st == PLN_OK) {
        *op = parse_intern(ps, w);
        *domain = parse_intern(ps, (lex_word){ d.len ? d.data : "", d.len });
        st = *op && *domain ? PLN_OK : PLN_E_NOMEM;
    }
    pln_text_done(&d);
    PLN_TRY(st);
    w = (lex_word){ "", 0 };
    if (lex_take(&ps->l, ':'))
        PLN_TRY(lex_identifier(&ps->l, &w));
    if (memchr(*op, 0, pln_name_len(*op)) || memchr(*domain, 0, pln_name_len(*domain)))
        return lex_fail(&ps->l, "an operator's name has a NUL in it");
    *overload = parse_intern(ps, w);
    return *overload ? PLN_OK : PLN_E_NOMEM;
}

static pln_status name_outputs(parser *ps, pln_node *n, const char *const *names)
{
    for (uint32_t i = 0; i < n->n_out; i++) {
        if (!pln_name_len(names[i])) { /* nobody wants it */
            pln_graph_remove_value(n->out[i]);
            n->out[i] = NULL;
            continue;
        }
        if (here(n->graph, names[i]))
            return lex_fail(&ps->l, "the name '%.100s' is given to two values", names[i]);
        if (!pln_value_rename(n->out[i], names[i]))
            return pln_oom(ps->l.err);
    }
    return PLN_OK;
}

static void own_bodies(pln_node *n, const pln_attr *a)
{
    if (a->type == PLN_ATTR_GRAPH && a->g)
        a->g->owner = n;
    for (size_t i = 0; a->type == PLN_ATTR_GRAPHS && i < a->n; i++)
        a->graphs[i]->owner = n;
}

/* "<a = 1, ...>" where there is one. */
static pln_status parse_attrs(parser *ps, pln_graph *g, pln_attr ***out, uint32_t *n)
{
    pln_text list; /* of pln_attr * */
    pln_status st = PLN_OK;
    if (!lex_take(&ps->l, '<'))
        return PLN_OK;
    pln_text_init(&list, ps->m->alloc);
    do {
        pln_attr *a = NULL;
        st = parse_attr(ps, g, &a);
        for (uint32_t i = 0; i < *n && st == PLN_OK; i++) {
            const pln_attr *b;
            memcpy(&b, list.data + i * sizeof b, sizeof b);
            if (b->name == a->name)
                st = lex_fail(&ps->l, "attribute '%.100s' comes twice", a->name);
        }
        pln_text_put(&list, (const char *)&a, sizeof a);
        ++*n;
        if (list.failed)
            st = pln_oom(ps->l.err);
    } while (st == PLN_OK && lex_take(&ps->l, ','));
    if (st == PLN_OK)
        st = lex_expect(&ps->l, '>');
    if (st == PLN_OK) {
        *out = pln_arena_dup(ps->m->arena, list.data, list.len);
        st = *out ? PLN_OK : pln_oom(ps->l.err);
    }
    pln_text_done(&list);
    return st;
}

/* What "@node" and "@attr" lines said before the node. */
static pln_status take_rests(parser *ps, pln_node *n)
{
    for (rest *r = ps->rests; r; r = r->next) {
        if (!r->name) {
            n->extra = r->blob;
            continue;
        }
        uint32_t i = 0;
        while (i < n->n_attrs && n->attrs[i]->name != r->name)
            i++;
        if (i == n->n_attrs)
            return lex_fail(&ps->l, "the node has no attribute '%.100s'", r->name);
        n->attrs[i]->extra = r->blob;
    }
    ps->rests = NULL;
    return PLN_OK;
}

typedef struct node_text {
    const char *name, *domain, *op, *overload;
    const char **outs, **ins;
    pln_attr **attrs;
    uint32_t n_outs, n_ins, n_attrs;
    size_t pos;
} node_text;

static pln_status read_node(parser *ps, pln_graph *g, node_text *t)
{
    lex_word w = { "", 0 };
    lex_peek(&ps->l);
    *t = (node_text){ .pos = ps->l.pos };
    if (lex_take(&ps->l, '[')) {
        if (lex_peek(&ps->l) != ']')
            PLN_TRY(lex_name(&ps->l, &w));
        PLN_TRY(lex_expect(&ps->l, ']'));
    }
    t->name = parse_intern(ps, w);
    if (!t->name)
        return PLN_E_NOMEM;
    rest *mine = ps->rests; /* bodies have lines of their own */
    ps->rests = NULL;
    PLN_TRY(name_list(ps, '=', &t->outs, &t->n_outs));
    PLN_TRY(lex_expect(&ps->l, '='));
    PLN_TRY(parse_op(ps, &t->domain, &t->op, &t->overload));
    PLN_TRY(parse_attrs(ps, g, &t->attrs, &t->n_attrs));
    PLN_TRY(lex_expect(&ps->l, '('));
    PLN_TRY(name_list(ps, ')', &t->ins, &t->n_ins));
    PLN_TRY(lex_expect(&ps->l, ')'));
    if (!t->n_attrs)
        PLN_TRY(parse_attrs(ps, g, &t->attrs, &t->n_attrs));
    ps->rests = mine;
    return PLN_OK;
}

static pln_status parse_node(parser *ps, pln_graph *g)
{
    node_text t;
    if (++ps->n_nodes > ps->m->env->limits.nodes)
        return pln_fail(ps->l.err, PLN_E_LIMIT, "the model has too many nodes");
    PLN_TRY(read_node(ps, g, &t));
    pln_value **none = PLN_NEW_ARRAY(ps->l.arena, pln_value *, t.n_ins);
    if (!none)
        return pln_oom(ps->l.err);
    pln_node *n =
        pln_graph_add_node(g, NULL, t.domain, t.op, NULL, none, t.n_ins, t.n_outs);
    if (!n)
        return pln_oom(ps->l.err);
    n->name = t.name;
    n->overload = t.overload;
    n->attrs = t.attrs;
    n->n_attrs = t.n_attrs;
    for (uint32_t i = 0; i < n->n_attrs; i++)
        own_bodies(n, n->attrs[i]);
    PLN_TRY(name_outputs(ps, n, t.outs));
    PLN_TRY(take_rests(ps, n));
    return add_pending(ps, (pending){ .node = n, .names = t.ins, .n = t.n_ins,
                                      .pos = t.pos });
}

/* ---- lines of our own -------------------------------------------------------------- */

static pln_status node_rest(parser *ps, bool attr)
{
    rest *r = PLN_NEW(ps->l.arena, rest);
    if (!r)
        return pln_oom(ps->l.err);
    if (attr)
        PLN_TRY(parse_name(ps, &r->name));
    PLN_TRY(parse_blob(ps, &r->blob));
    r->next = ps->rests;
    ps->rests = r;
    return PLN_OK;
}

static pln_status set_denotation(parser *ps, pln_value *v)
{
    const char *d;
    PLN_TRY(parse_text(ps, &d));
    pln_type type = v->declared ? *v->declared : v->type;
    type.denotation = d;
    v->declared = pln_arena_dup(ps->m->arena, &type, sizeof type);
    return v->declared ? PLN_OK : pln_oom(ps->l.err);
}

/* "@value", "@tensor", "@sparse", "@denotation": of a value that is there by now. */
static pln_status value_rest(parser *ps, pln_graph *g, lex_word key)
{
    const char *name;
    PLN_TRY(parse_name(ps, &name));
    pln_value *v = here(g, name);
    if (!v && lex_is(key, "tensor")) { /* an initializer of a type that has no name */
        v = pln_graph_add_initializer(g, name, NULL);
        if (!v)
            return pln_oom(ps->l.err);
    }
    if (!v)
        return lex_fail(&ps->l, "there is no value '%.100s'", name);
    if (lex_is(key, "denotation"))
        return set_denotation(ps, v);
    if (lex_is(key, "value"))
        return parse_blob(ps, &v->extra);
    v->is_sparse = lex_is(key, "sparse");
    return parse_blob(ps, &v->tensor_extra);
}

static pln_status parse_own_line(parser *ps, pln_graph *g)
{
    lex_word key;
    PLN_TRY(lex_identifier(&ps->l, &key));
    if (lex_is(key, "graph"))
        return parse_blob(ps, &g->extra);
    if (lex_is(key, "node") || lex_is(key, "attr"))
        return node_rest(ps, lex_is(key, "attr"));
    if (lex_is(key, "value") || lex_is(key, "tensor") || lex_is(key, "sparse") ||
        lex_is(key, "denotation"))
        return value_rest(ps, g, key);
    return lex_fail(&ps->l, "'@%.*s' is unknown", (int)(key.len & 0xff), key.s);
}

/* ---- graphs ------------------------------------------------------------------------ */

/* "float[N] x", "x" */
static pln_status typed_name(parser *ps, const pln_type **type, const char **name)
{
    pln_type t;
    *type = NULL;
    if (parse_type_is_next(ps)) {
        PLN_TRY(parse_type(ps, &t));
        *type = pln_arena_dup(ps->m->arena, &t, sizeof t);
        if (!*type)
            return pln_oom(ps->l.err);
    }
    PLN_TRY(parse_name(ps, name));
    if (*type && (*type)->kind == PLN_KIND_NONE)
        *type = NULL;
    return PLN_OK;
}

static pln_status contents(parser *ps, const pln_type *type, pln_tensor **out)
{
    if (!type)
        return lex_fail(&ps->l, "a constant needs a type");
    return parse_tensor(ps, type, out);
}

static pln_status parse_input(parser *ps, pln_graph *g)
{
    const pln_type *type;
    const char *name;
    PLN_TRY(typed_name(ps, &type, &name));
    if (!pln_name_len(name) || here(g, name))
        return lex_fail(&ps->l, "the name '%.100s' is given to two values, or is empty",
                        name);
    pln_value *v = pln_graph_add_input(g, name, type);
    if (!v)
        return pln_oom(ps->l.err);
    if (!lex_take(&ps->l, '='))
        return PLN_OK;
    PLN_TRY(contents(ps, type, &v->cst));
    v->overridable = ps->m->ir_version >= 4;
    return PLN_OK;
}

static pln_status parse_initializer(parser *ps, pln_graph *g, const pln_type *type,
                                    const char *name)
{
    pln_tensor *t;
    pln_value *v = here(g, name);
    if (!pln_name_len(name) || (v && (v->kind != PLN_VALUE_INPUT || v->cst)))
        return lex_fail(&ps->l, "the name '%.100s' is given to two values, or is empty",
                        name);
    PLN_TRY(contents(ps, type, &t));
    if (v) {
        v->cst = t;
        v->overridable = ps->m->ir_version >= 4;
        return PLN_OK;
    }
    return pln_graph_add_initializer(g, name, t) ? PLN_OK : pln_oom(ps->l.err);
}

/* "(float[N] x, y)": of inputs when g is given, else of outputs. */
static pln_status parse_inputs(parser *ps, pln_graph *g)
{
    PLN_TRY(lex_expect(&ps->l, '('));
    if (lex_take(&ps->l, ')'))
        return PLN_OK;
    do {
        PLN_TRY(parse_input(ps, g));
    } while (lex_take(&ps->l, ','));
    return lex_expect(&ps->l, ')');
}

static pln_status parse_outputs(parser *ps, pending *out)
{
    pln_text names, types;
    pln_status st = lex_expect(&ps->l, '(');
    pln_text_init(&names, ps->m->alloc);
    pln_text_init(&types, ps->m->alloc);
    while (st == PLN_OK && lex_peek(&ps->l) != ')') {
        const char *name = NULL;
        const pln_type *type = NULL;
        st = typed_name(ps, &type, &name);
        pln_text_put(&names, (const char *)&name, sizeof name);
        pln_text_put(&types, (const char *)&type, sizeof type);
        out->n++;
        if (st == PLN_OK && !lex_take(&ps->l, ','))
            break;
    }
    if (st == PLN_OK)
        st = lex_expect(&ps->l, ')');
    out->names = PLN_NEW_ARRAY(ps->l.arena, const char *, out->n);
    out->types = PLN_NEW_ARRAY(ps->l.arena, const pln_type *, out->n);
    if (st == PLN_OK && (!out->names || !out->types || names.failed || types.failed))
        st = pln_oom(ps->l.err);
    if (st == PLN_OK && out->n) {
        memcpy(out->names, names.data, names.len);
        memcpy(out->types, types.data, types.len);
    }
    pln_text_done(&names);
    pln_text_done(&types);
    return st;
}

/* "<float[2] w = {1, 2}, float[N] y>" */
static pln_status parse_infos(parser *ps, pln_graph *g, said **out)
{
    if (!lex_take(&ps->l, '<') || lex_take(&ps->l, '>'))
        return PLN_OK;
    do {
        said s = { .next = *out };
        PLN_TRY(typed_name(ps, &s.type, &s.name));
        if (lex_take(&ps->l, '=')) {
            PLN_TRY(parse_initializer(ps, g, s.type, s.name));
            continue;
        }
        *out = pln_arena_dup(ps->l.arena, &s, sizeof s);
        if (!*out)
            return pln_oom(ps->l.err);
    } while (lex_take(&ps->l, ','));
    return lex_expect(&ps->l, '>');
}

static pln_status declare(parser *ps, pln_value *v, const pln_type *type)
{
    pln_arena *arena = ps->m->arena;
    if (!type || !v || v->declared || v->kind == PLN_VALUE_INITIALIZER)
        return PLN_OK;
    pln_type copy = pln_type_dup(arena, type);
    v->declared = type;
    if (v->type.kind == PLN_KIND_NONE)
        v->type = copy;
    else
        pln_type_merge(arena, &v->type, &copy, NULL);
    return PLN_OK;
}

static pln_status parse_nodes(parser *ps, pln_graph *g)
{
    PLN_TRY(lex_expect(&ps->l, '{'));
    while (!lex_take(&ps->l, '}')) {
        if (lex_take(&ps->l, '@'))
            PLN_TRY(parse_own_line(ps, g));
        else
            PLN_TRY(parse_node(ps, g));
    }
    return PLN_OK;
}

/* From the inputs to the closing brace. */
pln_status parse_rest_of_graph(parser *ps, pln_graph *g)
{
    pending outputs = { .graph = g };
    said *infos = NULL;
    if (lex_peek(&ps->l) == '(')
        PLN_TRY(parse_inputs(ps, g));
    PLN_TRY(lex_expect(&ps->l, '='));
    PLN_TRY(lex_expect(&ps->l, '>'));
    outputs.pos = ps->l.pos;
    PLN_TRY(parse_outputs(ps, &outputs));
    PLN_TRY(parse_infos(ps, g, &infos));
    PLN_TRY(parse_nodes(ps, g));
    for (const said *s = infos; s; s = s->next)
        PLN_TRY(declare(ps, here(g, s->name), s->type));
    return add_pending(ps, outputs);
}

pln_status parse_body(parser *ps, pln_graph *parent, pln_graph **out)
{
    const char *name;
    if (ps->depth >= ps->m->env->limits.depth)
        return pln_fail(ps->l.err, PLN_E_LIMIT, "graphs are nested too deeply");
    PLN_TRY(parse_name(ps, &name));
    pln_graph *g = pln_graph_new(ps->m, parent, NULL);
    if (!g)
        return pln_oom(ps->l.err);
    g->name = name;
    ps->depth++;
    PLN_TRY(parse_rest_of_graph(ps, g));
    ps->depth--;
    *out = g;
    return PLN_OK;
}

/* ---- linking ----------------------------------------------------------------------- */

static pln_status undefined(parser *ps, const pending *p, const char *name)
{
    ps->l.pos = p->pos;
    return lex_fail(&ps->l, "the value '%.100s' is made nowhere", name);
}

static pln_status link_node(parser *ps, const pending *p)
{
    for (uint32_t i = 0; i < p->n; i++) {
        if (!pln_name_len(p->names[i]))
            continue;
        pln_value *v = around(p->node->graph, p->names[i]);
        if (!v)
            return undefined(ps, p, p->names[i]);
        if (pln_node_set_input(p->node, i, v) != PLN_OK)
            return pln_oom(ps->l.err);
    }
    return PLN_OK;
}

static pln_status link_outputs(parser *ps, const pending *p)
{
    for (uint32_t i = 0; i < p->n; i++) {
        pln_value *v = around(p->graph, p->names[i]);
        if (!v)
            return undefined(ps, p, p->names[i]);
        if (pln_graph_add_output(p->graph, v, p->names[i]) != PLN_OK)
            return pln_oom(ps->l.err);
        if (v->graph == p->graph)
            PLN_TRY(declare(ps, v, p->types[i]));
    }
    return PLN_OK;
}

pln_status parse_link(parser *ps)
{
    for (const pending *p = ps->first; p; p = p->next)
        PLN_TRY(p->node ? link_node(ps, p) : link_outputs(ps, p));
    ps->first = NULL;
    ps->last = &ps->first;
    return PLN_OK;
}
