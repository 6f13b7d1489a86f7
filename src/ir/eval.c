/* Running nodes and graphs by their reference kernels.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/ir/eval.h"

#include <string.h>

#include "src/ir/env.h"

#define MAX_DEPTH 32

/* The values of one graph that is being run, and the graph around it. */
typedef struct scope {
    const pln_graph *graph;
    pln_map tensors; /* value -> tensor, referenced */
    struct scope *outer;
    unsigned depth;
    double *work; /* floating-point operations that may still be done; NULL: any number */
} scope;

typedef struct scratch {
    struct scratch *next;
    void *data;
} scratch;

/* One call of a kernel. */
typedef struct eval {
    scope *scope; /* of the node's graph; NULL: alone */
    const pln_allocator *alloc;
    pln_infer inf;
    pln_tensor **out;
    scratch *scratch;
    uint64_t random;
    uint64_t max_bytes;
} eval;

static pln_status run_graph(const pln_graph *g, pln_tensor *const *in, uint32_t n_in,
                            pln_tensor **out, uint32_t n_out, scope *outer,
                            pln_error *err);

bool pln_node_is_pure(const pln_node *n)
{
    const uint32_t not_pure = PLN_OP_RANDOM | PLN_OP_EFFECT;
    return n->op && n->op->ref && !(n->op->traits & not_pure);
}

/* ---- services ---------------------------------------------------------------------- */

static pln_status check_size(const eval *e, pln_dtype dt, int rank, const int64_t *dims,
                             pln_error *err)
{
    size_t bytes;
    if (!pln_dims_bytes(dt, rank, dims, &bytes) || bytes > e->max_bytes)
        return pln_fail(err, PLN_E_LIMIT, "an output is too large");
    return PLN_OK;
}

static pln_status service_output(pln_call *c, uint32_t i, pln_dtype dt, int rank,
                                 const int64_t *dims, pln_error *err)
{
    eval *e = c->driver;
    pln_tensor *t;
    if (i >= c->n_out)
        return pln_call_fail(c, err, PLN_E_RUN, "has no output %u", i);
    PLN_TRY(check_size(e, dt, rank, dims, err));
    PLN_TRY(pln_tensor_make(e->alloc, dt, rank, dims, &t, err));
    pln_tensor_unref(e->out[i]);
    e->out[i] = t;
    return PLN_OK;
}

static pln_status service_set_output(pln_call *c, uint32_t i, pln_tensor *t,
                                     pln_error *err)
{
    eval *e = c->driver;
    if (i >= c->n_out)
        return pln_call_fail(c, err, PLN_E_RUN, "has no output %u", i);
    pln_tensor *was = e->out[i];
    e->out[i] = pln_tensor_ref(t);
    pln_tensor_unref(was);
    return PLN_OK;
}

static void *service_scratch(pln_call *c, size_t size)
{
    eval *e = c->driver;
    scratch *s = pln_alloc(e->alloc, sizeof *s);
    if (!s)
        return NULL;
    s->data = pln_alloc_aligned(e->alloc, size, PLN_CACHE_LINE);
    s->next = e->scratch;
    e->scratch = s;
    return s->data;
}

static pln_status service_body(pln_call *c, const pln_graph *g, pln_tensor *const *in,
                               uint32_t n_in, pln_tensor **out, uint32_t n_out,
                               pln_error *err)
{
    eval *e = c->driver;
    return run_graph(g, in, n_in, out, n_out, e->scope, err);
}

static uint64_t *service_random(pln_call *c)
{
    return &((eval *)c->driver)->random;
}

static bool service_cancelled(pln_call *c)
{
    return false;
}

static const pln_allocator *service_allocator(pln_call *c)
{
    return ((eval *)c->driver)->alloc;
}

static const pln_services services = {
    .output = service_output,
    .set_output = service_set_output,
    .scratch = service_scratch,
    .body = service_body,
    .random = service_random,
    .cancelled = service_cancelled,
    .allocator = service_allocator,
};

/* ---- types ------------------------------------------------------------------------- */

static pln_type type_of(pln_arena *arena, const pln_tensor *t)
{
    pln_type type = pln_type_unknown();
    type.kind = (pln_kind)t->kind;
    if (t->kind == PLN_KIND_TENSOR || t->kind == PLN_KIND_SPARSE) {
        type.dtype = (pln_dtype)t->dtype;
        type.shape = pln_shape_of(arena, t->rank, t->dims);
        return type;
    }
    /* Elements of a sequence may differ in shape: only what the first one is stays. */
    pln_type *elem = PLN_NEW(arena, pln_type);
    const size_t at = t->kind == PLN_KIND_MAP ? 1 : 0;
    if (elem && t->n_items > at) {
        *elem = type_of(arena, t->items[at]);
        if (t->kind != PLN_KIND_OPTIONAL)
            elem->shape = pln_shape_unknown();
        type.elem = elem;
    }
    type.dtype = (pln_dtype)t->dtype;
    return type;
}

/* Bodies are not inferred here: kernels that run them say what came out. */
static pln_status body_unknown(pln_infer *inf, const pln_graph *g, const pln_type *in,
                               uint32_t n_in, pln_type *out, uint32_t n_out,
                               pln_error *err)
{
    for (uint32_t i = 0; i < n_out; i++)
        out[i] = pln_type_unknown();
    return PLN_OK;
}

static pln_status infer(eval *e, pln_node *n, pln_tensor *const *in, pln_arena *arena,
                        pln_error *err)
{
    const pln_type **types = PLN_NEW_ARRAY(arena, const pln_type *, n->n_in);
    const pln_symval **sym = PLN_NEW_ARRAY(arena, const pln_symval *, n->n_in);
    const pln_symval **out_sym = PLN_NEW_ARRAY(arena, const pln_symval *, n->n_out);
    pln_type *out = PLN_NEW_ARRAY(arena, pln_type, n->n_out);
    if (!types || !sym || !out_sym || !out)
        return pln_oom(err);
    for (uint32_t i = 0; i < n->n_in; i++) {
        pln_type *t = in[i] ? PLN_NEW(arena, pln_type) : NULL;
        if (!t)
            continue;
        *t = type_of(arena, in[i]);
        types[i] = t;
    }
    for (uint32_t i = 0; i < n->n_out; i++)
        out[i] = pln_type_unknown();
    e->inf = (pln_infer){ .node = n, .arena = arena, .n_in = n->n_in, .n_out = n->n_out,
                          .in = types, .in_cst = (const pln_tensor *const *)in,
                          .in_sym = sym, .out = out, .out_sym = out_sym,
                          .body = body_unknown, .driver = e };
    PLN_TRY(pln_node_attrs(n, &e->inf.attrs, err));
    PLN_TRY(pln_infer_check_inputs(&e->inf, err));
    return n->op->infer ? n->op->infer(&e->inf, err) : PLN_OK;
}

/* ---- one node ---------------------------------------------------------------------- */

static pln_status make_outputs(eval *e, const pln_node *n, pln_error *err)
{
    for (uint32_t i = 0; i < n->n_out; i++) {
        const pln_type *t = &e->inf.out[i];
        if (!n->out[i])
            continue;
        int64_t dims[PLN_MAX_RANK];
        if (t->kind != PLN_KIND_TENSOR || t->dtype == PLN_DT_NONE ||
            !pln_shape_is_static(t->shape)) {
            /* A place holder, until the kernel says what it is. */
            e->out[i] = pln_calloc(e->alloc, 1, sizeof **e->out);
            if (!e->out[i])
                return pln_oom(err);
            e->out[i]->refs = 1;
            e->out[i]->alloc = e->alloc;
            e->out[i]->dtype = (uint8_t)t->dtype;
            continue;
        }
        for (int d = 0; d < t->shape.rank; d++)
            dims[d] = t->shape.dims[d].value;
        PLN_TRY(check_size(e, t->dtype, t->shape.rank, dims, err));
        PLN_TRY(
            pln_tensor_make(e->alloc, t->dtype, t->shape.rank, dims, &e->out[i], err));
    }
    return PLN_OK;
}

/* Takes what the node costs, at least one for each output element, from the scope's
 * work. */
static pln_status charge(const eval *e, const pln_node *n, pln_error *err)
{
    pln_cost cost = { 0 };
    double *left = e->scope ? e->scope->work : NULL;
    if (!left)
        return PLN_OK;
    if (n->op->cost)
        n->op->cost(&e->inf, &cost);
    *left -= cost.flops + 1;
    for (uint32_t i = 0; i < n->n_out; i++)
        if (n->out[i] && e->out[i]->kind == PLN_KIND_TENSOR)
            *left -= (double)pln_tensor_size(e->out[i]);
    return *left >= 0 ? PLN_OK : pln_fail(err, PLN_E_LIMIT, "too much work");
}

static pln_status call(eval *e, pln_node *n, pln_tensor *const *in, pln_error *err)
{
    pln_call c = { .node = n, .attrs = e->inf.attrs, .n_in = n->n_in, .n_out = n->n_out,
                   .in = (const pln_tensor *const *)in, .out = e->out, .n_threads = 1,
                   .rt = &services, .driver = e };
    const pln_status st = n->op->ref(&c, err);
    while (e->scratch) {
        scratch *s = e->scratch;
        e->scratch = s->next;
        pln_release(e->alloc, s->data);
        pln_release(e->alloc, s);
    }
    if (st != PLN_OK)
        return st;
    for (uint32_t i = 0; i < n->n_out; i++)
        if (n->out[i] && e->out[i]->kind == PLN_KIND_NONE)
            return pln_call_fail(&c, err, PLN_E_RUN, "gave no output %u", i);
    return PLN_OK;
}

static pln_status eval_in(scope *sc, pln_node *n, pln_tensor *const *in, pln_tensor **out,
                          pln_error *err)
{
    const pln_model *m = n->graph->model;
    eval e = { .scope = sc, .alloc = m->alloc, .out = out, .random = 1,
               .max_bytes = m->env->limits.tensor_bytes };
    char where[256];
    memset(out, 0, n->n_out * sizeof *out);
    if (!n->op || !n->op->ref)
        return pln_fail(err, PLN_E_UNSUPPORTED, "%s: has no reference kernel",
                        pln_node_where(n, where, sizeof where));
    pln_arena *arena = pln_arena_new(e.alloc);
    if (!arena)
        return pln_oom(err);
    pln_status st = PLN_OK;
    for (uint32_t i = 0; i < n->n_in && st == PLN_OK; i++)
        if (in[i])
            st = pln_tensor_materialize(in[i], err);
    if (st == PLN_OK)
        st = infer(&e, n, in, arena, err);
    if (st == PLN_OK)
        st = make_outputs(&e, n, err);
    if (st == PLN_OK)
        st = charge(&e, n, err);
    if (st == PLN_OK)
        st = call(&e, n, in, err);
    pln_arena_free(arena);
    for (uint32_t i = 0; i < n->n_out && st != PLN_OK; i++) {
        pln_tensor_unref(out[i]);
        out[i] = NULL;
    }
    return st;
}

pln_status pln_node_eval(pln_node *n, pln_tensor *const *in, pln_tensor **out,
                         pln_error *err)
{
    return eval_in(NULL, n, in, out, err);
}

void pln_node_take_constant(pln_node *n)
{
    pln_tensor *t = NULL;
    if (n->n_out == 1 && n->out[0] && n->out[0]->cst)
        return;
    if (strcmp(n->op_type, "Constant") || *n->domain || n->n_out != 1 || !n->out[0] ||
        n->n_in || n->n_attrs != 1 || n->attrs[0]->ref)
        return;
    if (n->attrs[0]->type == PLN_ATTR_TENSOR && !strcmp(n->attrs[0]->name, "value"))
        t = pln_tensor_ref(n->attrs[0]->t);
    else if (pln_node_is_pure(n) && pln_node_eval(n, NULL, &t, NULL) != PLN_OK)
        t = NULL;
    if (t)
        pln_value_set_const(n->out[0], t);
}

/* ---- graphs ------------------------------------------------------------------------ */

static pln_tensor *look_up(const scope *sc, const pln_value *v)
{
    for (; sc; sc = sc->outer) {
        pln_tensor *t = pln_map_get(&sc->tensors, v);
        if (t)
            return t;
    }
    return v->cst;
}

static pln_status keep(scope *sc, const pln_value *v, pln_tensor *take, pln_error *err)
{
    if (pln_map_put(&sc->tensors, v, take))
        return PLN_OK;
    pln_tensor_unref(take);
    return pln_oom(err);
}

static pln_status run_node(scope *sc, pln_node *n, pln_error *err)
{
    const pln_allocator *a = n->graph->model->alloc;
    char where[256];
    pln_tensor **in = pln_calloc(a, (size_t)n->n_in + n->n_out + 1, sizeof *in);
    if (!in)
        return pln_oom(err);
    pln_tensor **out = in + n->n_in;
    pln_status st = PLN_OK;
    for (uint32_t i = 0; i < n->n_in; i++) {
        in[i] = n->in[i] ? look_up(sc, n->in[i]) : NULL;
        if (n->in[i] && !in[i] && st == PLN_OK)
            st = pln_fail(err, PLN_E_UNSUPPORTED, "%s: input %u '%s' has no contents",
                          pln_node_where(n, where, sizeof where), i, n->in[i]->name);
    }
    if (st == PLN_OK)
        st = eval_in(sc, n, in, out, err);
    for (uint32_t i = 0; i < n->n_out && st == PLN_OK; i++)
        if (n->out[i])
            st = keep(sc, n->out[i], out[i], err);
    pln_release(a, in);
    return st;
}

static void close_scope(scope *sc)
{
    for (size_t i = 0; i < sc->tensors.cap; i++)
        if (sc->tensors.keys[i])
            pln_tensor_unref(sc->tensors.values[i]);
    pln_map_done(&sc->tensors);
}

static pln_status run_scope(scope *sc, pln_tensor *const *in, uint32_t n_in,
                            pln_tensor **out, pln_error *err)
{
    const pln_graph *g = sc->graph;
    for (uint32_t i = 0; i < g->n_inputs && i < n_in; i++)
        if (in[i])
            PLN_TRY(keep(sc, g->inputs[i], pln_tensor_ref(in[i]), err));
    for (pln_node *n = g->first; n; n = n->next)
        PLN_TRY(run_node(sc, n, err));
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        pln_tensor *t = look_up(sc, g->outputs[i]);
        if (!t)
            return pln_fail(err, PLN_E_UNSUPPORTED, "output '%s' has no contents",
                            g->output_names[i]);
        PLN_TRY(pln_tensor_materialize(t, err));
        out[i] = pln_tensor_ref(t);
    }
    return PLN_OK;
}

static pln_status run_graph(const pln_graph *g, pln_tensor *const *in, uint32_t n_in,
                            pln_tensor **out, uint32_t n_out, scope *outer,
                            pln_error *err)
{
    scope sc = { .graph = g, .outer = outer, .depth = outer ? outer->depth + 1 : 0,
                 .work = outer ? outer->work : NULL };
    memset(out, 0, n_out * sizeof *out);
    if (sc.depth > MAX_DEPTH)
        return pln_fail(err, PLN_E_LIMIT, "graphs are nested too deeply");
    if (g->n_outputs != n_out || n_in > g->n_inputs)
        return pln_fail(err, PLN_E_FORMAT, "body '%s' has %u inputs and %u outputs, want "
                        "%u and %u", g->name, g->n_inputs, g->n_outputs, n_in, n_out);
    pln_map_init(&sc.tensors, g->model->alloc);
    const pln_status st = run_scope(&sc, in, n_in, out, err);
    close_scope(&sc);
    for (uint32_t i = 0; i < n_out && st != PLN_OK; i++) {
        pln_tensor_unref(out[i]);
        out[i] = NULL;
    }
    return st;
}

pln_status pln_graph_eval(const pln_graph *g, pln_tensor *const *in, pln_tensor **out,
                          double *work, pln_error *err)
{
    scope around = { .graph = NULL, .work = work };
    pln_map_init(&around.tensors, g->model->alloc);
    return run_graph(g, in, g->n_inputs, out, g->n_outputs, work ? &around : NULL, err);
}

pln_status pln_nodes_eval(pln_node *const *node, size_t n, pln_map *values, double *work,
                          pln_error *err)
{
    if (!n)
        return PLN_OK;
    scope sc = { .graph = node[0]->graph, .tensors = *values, .work = work };
    pln_status st = PLN_OK;
    for (size_t i = 0; i < n && st == PLN_OK; i++)
        st = run_node(&sc, node[i], err);
    *values = sc.tensors;
    return st;
}
