/* The inference driver: walks graphs in topological order, follows types, shapes and the
 * contents of small integer tensors, goes into bodies and model-local functions.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "src/ir/env.h"
#include "src/ir/eval.h"
#include "src/ir/infer_impl.h"
#include "src/ir/version.h"

#define DEFAULT_VALUE_LIMIT 1024
/* Bodies may be asked for more than once; past this many visits of their nodes (beside a
 * multiple of the model's size) nothing more is followed into them. */
#define FREE_VISITS 100000

/* What is known of a value while the graph itself stays as it is. */
typedef struct fact {
    pln_type type;
    const pln_symval *sym;
    pln_tensor *cst; /* computed while inferring: referenced */
} fact;

typedef struct driver {
    pln_model *model;
    const pln_infer_options *options;
    pln_arena *arena; /* of results that are not kept */
    pln_map facts;    /* value -> fact; without one, what the value itself says holds */
    uint64_t visits;
    unsigned depth, in_function;
    const pln_node *call; /* of the function that is being looked at; NULL */
    const pln_function *called;
    size_t value_limit;
} driver;

static pln_status infer_node(driver *d, pln_node *n, pln_error *err);

/* ---- facts ------------------------------------------------------------------------- */

static void close_facts(driver *d)
{
    for (size_t i = 0; i < d->facts.cap; i++)
        if (d->facts.keys[i])
            pln_tensor_unref(((fact *)d->facts.values[i])->cst);
    pln_map_done(&d->facts);
}

static fact *fact_of(const driver *d, const pln_value *v)
{
    return pln_map_get(&d->facts, v);
}

static bool has_unknown_dims(const pln_type *t)
{
    for (int i = 0; i < t->shape.rank; i++)
        if (pln_dim_is_unknown(t->shape.dims[i]))
            return true;
    return false;
}

/* Sizes of an input that the file says nothing of get names of their own while inferring,
 * so that it shows which values are of one size; the same that passes give (sizes.c). */
static const pln_type *named_dims(const driver *d, const pln_value *v)
{
    pln_type *t = pln_arena_dup(d->arena, &v->type, sizeof v->type);
    if (!t)
        return &v->type;
    t->shape = pln_shape_dup(d->arena, v->type.shape);
    for (int i = 0; i < t->shape.rank; i++) {
        if (!pln_dim_is_unknown(t->shape.dims[i]))
            continue;
        const char *name = pln_arena_printf(d->arena, "?%u.%d", v->id, i);
        if (name)
            t->shape.dims[i] = pln_dim_symbol(d->model->syms, name, strlen(name));
    }
    return t;
}

static const pln_type *type_of(const driver *d, const pln_value *v)
{
    const fact *f = fact_of(d, v);
    const pln_type *t = f ? &f->type : &v->type;
    if (!f && v->kind == PLN_VALUE_INPUT && v->graph == d->model->graph &&
        t->kind == PLN_KIND_TENSOR && has_unknown_dims(t))
        return named_dims(d, v);
    return t;
}

static const pln_symval *sym_of(const driver *d, const pln_value *v)
{
    const fact *f = fact_of(d, v);
    return f ? f->sym : v->sym;
}

/* Contents where they are constant and few. */
static pln_tensor *cst_of(const driver *d, const pln_value *v)
{
    if (d->options && d->options->given == v)
        return d->options->contents;
    const fact *f = fact_of(d, v);
    pln_tensor *t = f && f->cst ? f->cst : pln_value_is_const(v) ? v->cst : NULL;
    if (!t || t->kind != PLN_KIND_TENSOR ||
        (uint64_t)pln_tensor_size(t) > d->value_limit)
        return NULL;
    return pln_tensor_materialize(t, NULL) == PLN_OK ? t : NULL;
}

static pln_status set_fact(driver *d, const pln_value *v, const pln_type *type,
                           const pln_symval *sym, pln_tensor *cst_take, pln_error *err)
{
    fact *f = fact_of(d, v);
    if (!f) {
        f = PLN_NEW(d->arena, fact);
        if (!f || !pln_map_put(&d->facts, v, f)) {
            pln_tensor_unref(cst_take);
            return pln_oom(err);
        }
    }
    pln_tensor_unref(f->cst);
    *f = (fact){ .type = *type, .sym = sym, .cst = cst_take };
    return PLN_OK;
}

/* ---- one node ---------------------------------------------------------------------- */

static pln_status conflict(const driver *d, const pln_node *n, const pln_value *v,
                           const pln_type *got, pln_error *err)
{
    char where[256];
    pln_text a, b;
    pln_text_init(&a, d->model->alloc);
    pln_text_init(&b, d->model->alloc);
    pln_type_print(&a, &v->type);
    pln_type_print(&b, got);
    pln_error_set(err, "node", n->name);
    pln_error_set(err, "op", n->op_type);
    const pln_status st =
        pln_fail(err, PLN_E_FORMAT, "%s: output '%s' is declared %s but is %s",
                 pln_node_where(n, where, sizeof where), v->name, a.data ? a.data : "",
                 b.data ? b.data : "");
    pln_text_done(&a);
    pln_text_done(&b);
    return st;
}

static bool is_body(const pln_graph *g)
{
    return g->owner || g->parent;
}

/* What the node said, with what the file said of the value put in where it says more. */
static pln_status put_output(driver *d, const pln_infer *inf, uint32_t i, pln_tensor *cst,
                             pln_error *err)
{
    const pln_value *v = inf->node->out[i];
    pln_type t = pln_type_dup(d->arena, &inf->out[i]);
    bool bad = false;
    /* In a body an earlier round may have said too much. */
    const pln_type *before = is_body(v->graph) && v->declared ? v->declared : &v->type;
    if (!is_body(v->graph) || v->declared)
        pln_type_merge(d->arena, &t, before, &bad);
    if (bad && d->options && d->options->strict) {
        pln_tensor_unref(cst);
        return conflict(d, inf->node, v, &inf->out[i], err);
    }
    return set_fact(d, v, &t, inf->out_sym[i], cst, err);
}

static bool small(const driver *d, const pln_type *t)
{
    if (t->kind != PLN_KIND_TENSOR || !pln_shape_is_static(t->shape))
        return false;
    const pln_dim n = pln_shape_count(NULL, t->shape);
    return pln_dim_is_known(n) && (uint64_t)n.value <= d->value_limit;
}

/* Runs the node when all its inputs are known and all its outputs are small. */
static void eval_known(driver *d, pln_infer *inf, pln_tensor **out)
{
    pln_node *n = (pln_node *)(uintptr_t)inf->node;
    const uint32_t no = PLN_OP_CONTROL | PLN_OP_QDQ;
    bool useful = n->n_out > 0;
    if (!pln_node_is_pure(n) || (n->op->traits & no) || n->op->user)
        return;
    for (uint32_t i = 0; i < n->n_out; i++)
        useful &= !n->out[i] || (small(d, &inf->out[i]) && !n->out[i]->cst);
    pln_tensor **in = PLN_NEW_ARRAY(d->arena, pln_tensor *, n->n_in);
    if (!useful || !in)
        return;
    uint32_t have = 0;
    for (; have < n->n_in; have++) {
        if (!inf->in[have])
            continue;
        pln_tensor *t = (pln_tensor *)(uintptr_t)inf->in_cst[have];
        in[have] =
            t ? pln_tensor_ref(t)
              : pln_symval_tensor(d->model->alloc, inf->in[have], inf->in_sym[have]);
        if (!in[have])
            break;
    }
    if (have == n->n_in && pln_node_eval(n, in, out, NULL) != PLN_OK)
        memset(out, 0, n->n_out * sizeof *out);
    for (uint32_t i = 0; i < have; i++)
        pln_tensor_unref(in[i]);
}

/* Contents of a computed tensor, for those who look at symbolic values alone. */
static const pln_symval *sym_of_tensor(driver *d, const pln_tensor *t)
{
    const int64_t n =
        t->kind == PLN_KIND_TENSOR && t->rank <= 1 ? pln_tensor_size(t) : -1;
    const bool integer =
        pln_dtype_is_integer((pln_dtype)t->dtype) || t->dtype == PLN_DT_BOOL;
    pln_symval *s = PLN_NEW(d->arena, pln_symval);
    if (n < 0 || n > PLN_SYM_LIMIT || !integer || !s)
        return NULL;
    pln_dim *v = PLN_NEW_ARRAY(d->arena, pln_dim, n);
    for (int64_t i = 0; v && i < n; i++)
        v[i] = pln_dim_of(pln_tensor_get_i64(t, i));
    *s = (pln_symval){ .n = n, .v = v };
    return v ? s : NULL;
}

static pln_status infer_function(driver *d, pln_infer *inf, const pln_function *f,
                                 pln_error *err);
static pln_status infer_body(pln_infer *inf, const pln_graph *g, const pln_type *in,
                             uint32_t n_in, pln_type *out, uint32_t n_out,
                             pln_error *err);

static pln_status open_infer(driver *d, const pln_node *n, pln_infer *inf, pln_error *err)
{
    const pln_type **in = PLN_NEW_ARRAY(d->arena, const pln_type *, n->n_in);
    const pln_tensor **cst = PLN_NEW_ARRAY(d->arena, const pln_tensor *, n->n_in);
    const pln_symval **sym = PLN_NEW_ARRAY(d->arena, const pln_symval *, n->n_in);
    *inf = (pln_infer){ .node = n, .arena = d->arena, .syms = d->model->syms,
                        .n_in = n->n_in, .n_out = n->n_out, .in = in, .in_cst = cst,
                        .in_sym = sym, .body = infer_body, .driver = d };
    inf->out = PLN_NEW_ARRAY(d->arena, pln_type, n->n_out);
    inf->out_sym = PLN_NEW_ARRAY(d->arena, const pln_symval *, n->n_out);
    if (!in || !cst || !sym || !inf->out || !inf->out_sym)
        return pln_oom(err);
    for (uint32_t i = 0; i < n->n_in; i++) {
        if (!n->in[i])
            continue;
        in[i] = type_of(d, n->in[i]);
        cst[i] = cst_of(d, n->in[i]);
        sym[i] = sym_of(d, n->in[i]);
    }
    for (uint32_t i = 0; i < n->n_out; i++)
        inf->out[i] = pln_type_unknown();
    return PLN_OK;
}

/* Types and symbolic contents, by the row. */
static pln_status ask_row(driver *d, pln_infer *inf, pln_error *err)
{
    pln_node *n = (pln_node *)(uintptr_t)inf->node;
    if (!n->op) {
        const pln_function *f =
            pln_model_find_function(d->model, n->domain, n->op_type, n->overload);
        return f ? infer_function(d, inf, f, err) : PLN_OK;
    }
    pln_status st = pln_node_attrs(n, &inf->attrs, err);
    if (st == PLN_OK && n->op->infer)
        st = n->op->infer(inf, err);
    if (st == PLN_E_UNSUPPORTED) { /* can't be run, but may be looked at */
        pln_error_clear(err);
        return PLN_OK;
    }
    PLN_TRY(st);
    return pln_symval_eval(inf, err);
}

/* The value of a Constant node or an initializer is no news. */
static void known_contents(driver *d, pln_infer *inf, pln_tensor **cst)
{
    const pln_node *n = inf->node;
    eval_known(d, inf, cst);
    for (uint32_t i = 0; i < n->n_out; i++) {
        const pln_tensor *t = cst[i] ? cst[i] : n->out[i] ? n->out[i]->cst : NULL;
        if (t && !inf->out_sym[i] && (t->data || !pln_tensor_size(t)))
            inf->out_sym[i] = sym_of_tensor(d, t);
        if (!t && n->out[i] && inf->out_sym[i]) /* for rows that ask for tensors alone */
            cst[i] = pln_symval_tensor(d->model->alloc, &inf->out[i], inf->out_sym[i]);
    }
}

/* ---- attributes that refer to those of a function's call ------------------------- */

static bool has_references(const pln_node *n)
{
    for (uint32_t i = 0; i < n->n_attrs; i++)
        if (n->attrs[i]->ref)
            return true;
    return false;
}

static const pln_attr *meant(const driver *d, const char *name)
{
    const pln_attr *a = pln_node_find_attr(d->call, name);
    for (size_t i = 0; !a && i < d->called->n_attr_defaults; i++)
        if (d->called->attr_defaults[i]->name == name)
            a = d->called->attr_defaults[i];
    return a && a->type != PLN_ATTR_GRAPH && a->type != PLN_ATTR_GRAPHS ? a : NULL;
}

/* Nodes with references are not raised, so they must mean today what they meant then. */
static bool means_the_same_today(const driver *d, const pln_node *n)
{
    for (size_t i = 0; i < d->called->n_opsets; i++)
        if (!strcmp(pln_domain_normal(d->called->opsets[i].domain),
                    pln_domain_normal(n->domain)))
            return !pln_node_changes_between(n, d->called->opsets[i].version, INT64_MAX);
    return false;
}

/* The node as this call means it; n itself where it refers to nothing. */
static pln_node *as_called(driver *d, pln_node *n)
{
    if (!d->call || !n->op || !has_references(n) || !means_the_same_today(d, n))
        return n;
    pln_node *now = pln_arena_dup(d->arena, n, sizeof *n);
    pln_attr **attrs = PLN_NEW_ARRAY(d->arena, pln_attr *, n->n_attrs);
    if (!now || !attrs)
        return NULL;
    now->attrs = attrs;
    now->n_attrs = 0;
    now->typed = NULL;
    for (uint32_t i = 0; i < n->n_attrs; i++) {
        const pln_attr *a = n->attrs[i]->ref ? meant(d, n->attrs[i]->ref) : n->attrs[i];
        if (!a)
            continue;
        pln_attr *copy = pln_arena_dup(d->arena, a, sizeof *a);
        if (!copy)
            return NULL;
        copy->name = n->attrs[i]->name;
        attrs[now->n_attrs++] = copy;
    }
    return now;
}

static pln_status infer_node(driver *d, pln_node *n, pln_error *err)
{
    pln_infer inf;
    n = as_called(d, n);
    if (!n)
        return pln_oom(err);
    PLN_TRY(open_infer(d, n, &inf, err));
    pln_status st = ask_row(d, &inf, err);
    if (st != PLN_OK) {
        pln_error_set(err, "node", n->name);
        pln_error_set(err, "op", n->op_type);
        return st;
    }
    pln_tensor **cst = PLN_NEW_ARRAY(d->arena, pln_tensor *, n->n_out);
    if (!cst)
        return pln_oom(err);
    known_contents(d, &inf, cst);
    if (d->options && d->options->seen && !d->in_function)
        d->options->seen(d->options->user, &inf);
    for (uint32_t i = 0; i < n->n_out; i++) {
        if (st == PLN_OK && n->out[i])
            st = put_output(d, &inf, i, cst[i], err);
        else
            pln_tensor_unref(cst[i]);
    }
    return st;
}

/* ---- graphs inside nodes ----------------------------------------------------------- */

/* A failure goes to whoever collects them, unless it is the machine's. */
static pln_status infer_or_report(driver *d, pln_node *n, pln_error *err)
{
    const pln_infer_options *o = d->options;
    if (!o || !o->fault || d->in_function)
        return infer_node(d, n, err);
    pln_error one = { .code = PLN_OK };
    const pln_status st = infer_node(d, n, &one);
    if (st == PLN_E_NOMEM)
        return pln_oom(err);
    if (st != PLN_OK)
        o->fault(o->user, n, &one);
    return PLN_OK;
}

static pln_status walk(driver *d, const pln_graph *g, pln_error *err)
{
    for (pln_node *n = g->first; n; n = n->next) {
        d->visits++;
        PLN_TRY(infer_or_report(d, n, err));
    }
    return PLN_OK;
}

static bool may_enter(driver *d)
{
    return d->depth < d->model->env->limits.depth &&
           d->visits < FREE_VISITS + 16 * (uint64_t)d->model->n_nodes;
}

static void out_types(const driver *d, const pln_graph *g, pln_type *out, uint32_t n_out)
{
    for (uint32_t i = 0; i < n_out; i++) {
        const pln_value *v = i < g->n_outputs ? g->outputs[i] : NULL;
        out[i] = v ? pln_type_dup(d->arena, type_of(d, v)) : pln_type_unknown();
    }
}

static pln_status infer_body(pln_infer *inf, const pln_graph *g, const pln_type *in,
                             uint32_t n_in, pln_type *out, uint32_t n_out, pln_error *err)
{
    driver *d = inf->driver;
    if (n_in != g->n_inputs || n_out != g->n_outputs)
        return pln_infer_fail(inf, err, "body '%s' has %u inputs and %u outputs, want %u "
                              "and %u", g->name, g->n_inputs, g->n_outputs, n_in, n_out);
    for (uint32_t i = 0; i < n_out; i++)
        out[i] = pln_type_unknown();
    if (!may_enter(d))
        return PLN_OK;
    for (uint32_t i = 0; i < n_in; i++) {
        const pln_value *v = g->inputs[i];
        pln_type t = pln_type_dup(d->arena, &in[i]);
        if (v->declared)
            pln_type_merge(d->arena, &t, v->declared, NULL);
        PLN_TRY(set_fact(d, v, &t, NULL, NULL, err));
    }
    d->depth++;
    const pln_status st = walk(d, g, err);
    d->depth--;
    if (st == PLN_OK)
        out_types(d, g, out, n_out);
    return st;
}

/* A function is inferred anew for each call, since its values have no types of their own.
 * What fails in it leaves the outputs unknown. */
static pln_status infer_function(driver *d, pln_infer *inf, const pln_function *f,
                                 pln_error *err)
{
    const pln_graph *g = f->body;
    const pln_type none = pln_type_unknown();
    if (!g || !may_enter(d))
        return PLN_OK;
    for (uint32_t i = 0; i < g->n_inputs; i++) {
        const bool has = pln_infer_has(inf, i);
        const pln_type t = has ? pln_type_dup(d->arena, inf->in[i]) : none;
        pln_tensor *cst = has ? (pln_tensor *)(uintptr_t)inf->in_cst[i] : NULL;
        PLN_TRY(set_fact(d, g->inputs[i], &t, has ? inf->in_sym[i] : NULL,
                         cst ? pln_tensor_ref(cst) : NULL, err));
    }
    d->depth++;
    d->in_function++;
    pln_error inner = { .code = PLN_OK };
    const pln_node *call = d->call;
    const pln_function *called = d->called;
    d->call = inf->node;
    d->called = f;
    const pln_status st = walk(d, g, &inner);
    d->call = call;
    d->called = called;
    d->in_function--;
    d->depth--;
    if (st == PLN_OK)
        out_types(d, g, inf->out, inf->n_out);
    return st == PLN_E_NOMEM ? pln_oom(err) : PLN_OK;
}

/* ---- keeping results --------------------------------------------------------------- */

/* Says the same, unknown dimensions included. */
static bool same_type(const pln_type *a, const pln_type *b)
{
    if (a->kind != b->kind || a->dtype != b->dtype || a->shape.rank != b->shape.rank ||
        !a->elem != !b->elem)
        return false;
    for (int i = 0; i < a->shape.rank; i++) {
        const pln_dim x = a->shape.dims[i], y = b->shape.dims[i];
        if (x.expr != y.expr || (!x.expr && x.value != y.value))
            return false;
    }
    return !a->elem || same_type(a->elem, b->elem);
}

static bool same_sym(const pln_symval *a, const pln_symval *b)
{
    if (!a || !b || a->n != b->n)
        return a == b;
    for (int64_t i = 0; i < a->n; i++)
        if (a->v[i].expr != b->v[i].expr ||
            (!a->v[i].expr && a->v[i].value != b->v[i].value))
            return false;
    return true;
}

static const pln_symval *dup_sym(pln_arena *arena, const pln_symval *s)
{
    pln_symval *copy = PLN_NEW(arena, pln_symval);
    const pln_dim *v = pln_arena_dup(arena, s->v, (size_t)s->n * sizeof *s->v);
    if (!copy || !v)
        return NULL;
    *copy = (pln_symval){ .n = s->n, .v = v };
    return copy;
}

/* Moves what was found out into the value: true if that is news. */
static bool keep_fact(driver *d, pln_value *v)
{
    pln_arena *arena = d->model->arena;
    const fact *f = fact_of(d, v);
    bool news = false;
    if (!f)
        return false;
    if (!same_type(&f->type, &v->type)) {
        const char *denotation = v->type.denotation;
        v->type = pln_type_dup(arena, &f->type);
        v->type.denotation = denotation;
        news = true;
    }
    const bool integer =
        pln_dtype_is_integer(v->type.dtype) || v->type.dtype == PLN_DT_BOOL;
    if (f->sym && integer && !same_sym(f->sym, v->sym)) {
        v->sym = dup_sym(arena, f->sym);
        news = true;
    }
    return news;
}

static pln_status keep_graph(pln_graph *g, void *user)
{
    for (pln_value *v = g->values; v; v = v->next)
        keep_fact(user, v);
    return PLN_OK;
}

static void keep_bodies(driver *d, const pln_node *n)
{
    for (uint32_t i = 0; i < n->n_attrs; i++) {
        const pln_attr *a = n->attrs[i];
        if (a->type == PLN_ATTR_GRAPH && a->g)
            pln_graph_walk(a->g, keep_graph, d);
    }
}

/* ---- entry points ------------------------------------------------------------------ */

static pln_status open_driver(driver *d, pln_model *m, const pln_infer_options *o,
                              pln_error *err)
{
    *d = (driver){ .model = m, .options = o, .arena = pln_arena_new(m->alloc) };
    pln_map_init(&d->facts, m->alloc);
    d->value_limit = o && o->value_limit ? o->value_limit : DEFAULT_VALUE_LIMIT;
    return d->arena ? PLN_OK : pln_oom(err);
}

static void close_driver(driver *d)
{
    close_facts(d);
    pln_arena_free(d->arena);
}

pln_status pln_graph_infer(pln_graph *g, const pln_infer_options *o, pln_error *err)
{
    driver d;
    PLN_TRY(open_driver(&d, g->model, o, err));
    pln_status st = walk(&d, g, err);
    if (!o || !o->dry)
        pln_graph_walk(g, keep_graph, &d);
    close_driver(&d);
    return st;
}

pln_status pln_node_infer(pln_node *n, bool *changed, pln_error *err)
{
    driver d;
    *changed = false;
    PLN_TRY(open_driver(&d, n->graph->model, NULL, err));
    const pln_status st = infer_node(&d, n, err);
    for (uint32_t i = 0; st == PLN_OK && i < n->n_out; i++)
        if (n->out[i] && keep_fact(&d, n->out[i]))
            *changed = true;
    if (st == PLN_OK)
        keep_bodies(&d, n);
    close_driver(&d);
    return st;
}
