/* cse: nodes that compute the same from the same inputs become one; so do equal small
 * constants. Random operators draw anew each time, so they are never merged.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/same.h"

#include <string.h>

#include "src/ir/op.h"
#include "src/util/map.h"

#define MAX_CONST_BYTES 4096

typedef struct table {
    pln_pass_ctx *ctx;
    pln_map map; /* hash to struct entry */
    const struct table *around; /* of the graph that this one is a body in; NULL */
} table;

typedef struct entry {
    pln_node *node;
    pln_value *cst;
    struct entry *next;
} entry;

static uint64_t hash_tensor(uint64_t h, pln_tensor *t)
{
    h = pln_hash(h, &t->dtype, sizeof t->dtype);
    return pln_hash(h, t->dims, (size_t)t->rank * sizeof t->dims[0]);
}

static uint64_t hash_attr(uint64_t h, const pln_attr *a)
{
    h = pln_hash(h, &a->name, sizeof a->name);
    h = pln_hash(h, &a->type, sizeof a->type);
    switch (a->type) {
    case PLN_ATTR_INT:
        return pln_hash(h, &a->i, sizeof a->i);
    case PLN_ATTR_FLOAT:
        return pln_hash(h, &a->f, sizeof a->f);
    case PLN_ATTR_STRING:
        return pln_hash(h, &a->s, sizeof a->s);
    case PLN_ATTR_INTS:
        return pln_hash(h, a->ints, a->n * sizeof *a->ints);
    case PLN_ATTR_TENSOR:
        return hash_tensor(h, a->t);
    default:
        return h;
    }
}

/* What an absent attribute stands for. */
static bool is_default(const pln_node *n, const pln_attr *a)
{
    const pln_attr_spec *s = n->op ? n->op->attrs : NULL;
    while (s && s->name && strcmp(s->name, a->name) != 0)
        s++;
    if (!s || !s->name || s->required || s->has_offset || a->ref || a->type != s->type)
        return false;
    if (a->type == PLN_ATTR_INT)
        return a->i == s->i;
    if (a->type == PLN_ATTR_FLOAT)
        return !memcmp(&a->f, &s->f, sizeof a->f);
    return a->type == PLN_ATTR_STRING && s->s && !strcmp(a->s, s->s);
}

/* Two inputs in an order of our own, where theirs says nothing. Of more, and of extrema,
 * a zero's sign may hang on the order. */
static void ordered_pair(const pln_node *n, const pln_value *pair[2])
{
    const bool any = n->op && (n->op->traits & PLN_OP_COMMUTATIVE) &&
                     n->op->in.max == 2 && n->n_in == 2 && n->in[0] && n->in[1];
    const bool swap = any && n->in[0]->id > n->in[1]->id;
    for (uint32_t i = 0; i < 2; i++)
        pair[i] = n->n_in > i ? n->in[swap ? 1 - i : i] : NULL;
}

static uint64_t hash_node(const pln_node *n)
{
    const pln_value *pair[2];
    ordered_pair(n, pair);
    uint64_t h = pln_hash(PLN_HASH_SEED, &n->op_type, sizeof n->op_type);
    h = pln_hash(h, &n->domain, sizeof n->domain);
    h = pln_hash(h, pair, sizeof pair);
    if (n->n_in > 2)
        h = pln_hash(h, n->in + 2, (n->n_in - 2) * sizeof *n->in);
    uint64_t attrs = 0; /* attributes come in any order */
    for (uint32_t i = 0; i < n->n_attrs; i++)
        if (!is_default(n, n->attrs[i]))
            attrs += hash_attr(PLN_HASH_SEED, n->attrs[i]);
    return pln_hash(h, &attrs, sizeof attrs);
}

bool pln_tensor_same_as(pln_tensor *a, pln_tensor *b)
{
    if (a == b)
        return true;
    if (a->kind != PLN_KIND_TENSOR || b->kind != PLN_KIND_TENSOR || a->dtype != b->dtype)
        return false;
    if (pln_tensor_materialize(a, NULL) != PLN_OK ||
        pln_tensor_materialize(b, NULL) != PLN_OK)
        return false;
    return pln_tensor_same(a, b);
}

static bool same_attr(const pln_attr *a, const pln_attr *b)
{
    if (a->type != b->type || a->n != b->n || a->ref != b->ref)
        return false;
    switch (a->type) {
    case PLN_ATTR_INT:
        return a->i == b->i;
    case PLN_ATTR_FLOAT:
        return !memcmp(&a->f, &b->f, sizeof a->f);
    case PLN_ATTR_STRING:
        return a->s == b->s;
    case PLN_ATTR_INTS:
        return !memcmp(a->ints, b->ints, a->n * sizeof *a->ints);
    case PLN_ATTR_FLOATS:
        return !memcmp(a->floats, b->floats, a->n * sizeof *a->floats);
    case PLN_ATTR_STRINGS:
        return !memcmp(a->strings, b->strings, a->n * sizeof *a->strings);
    case PLN_ATTR_TENSOR:
        return pln_tensor_same_as(a->t, b->t);
    default: /* bodies, types: not compared */
        return false;
    }
}

static bool attrs_are_in(const pln_node *a, const pln_node *b)
{
    for (uint32_t i = 0; i < a->n_attrs; i++) {
        const pln_attr *other = pln_node_find_attr(b, a->attrs[i]->name);
        if (other ? !same_attr(a->attrs[i], other) : !is_default(a, a->attrs[i]))
            return false;
    }
    return true;
}

bool pln_node_same_attrs(const pln_node *a, const pln_node *b)
{
    return attrs_are_in(a, b) && attrs_are_in(b, a);
}

static bool same_inputs(const pln_node *a, const pln_node *b)
{
    const pln_value *x[2], *y[2];
    if (a->n_in != b->n_in)
        return false;
    ordered_pair(a, x);
    ordered_pair(b, y);
    if (x[0] != y[0] || x[1] != y[1])
        return false;
    return a->n_in <= 2 || !memcmp(a->in + 2, b->in + 2, (a->n_in - 2) * sizeof *a->in);
}

static bool same_node(const pln_node *a, const pln_node *b)
{
    if (a->op_type != b->op_type || a->domain != b->domain ||
        a->overload != b->overload || a->n_out != b->n_out || !same_inputs(a, b))
        return false;
    for (uint32_t i = 0; i < b->n_out; i++)
        if (b->out[i] && b->out[i]->n_uses && !a->out[i])
            return false;
    return pln_node_same_attrs(a, b);
}

static bool is_mergeable(const pln_node *n)
{
    return n->op && !(n->op->traits & (PLN_OP_RANDOM | PLN_OP_EFFECT | PLN_OP_CONTROL));
}

static bool merge(pln_pass_ctx *ctx, pln_node *first, pln_node *n, pln_error *err,
                  pln_status *st)
{
    pln_patch p;
    char why[256] = "";
    pln_patch_begin(&p, ctx, n);
    for (uint32_t i = 0; i < n->n_out; i++)
        if (n->out[i] && n->out[i]->n_uses)
            pln_patch_replace_proven(&p, n->out[i], first->out[i]);
    if (!p.n_replaced)
        return false;
    *st = pln_patch_commit(&p, NULL, n, NULL, NULL, why, sizeof why, err);
    if (*st != PLN_E_UNSUPPORTED)
        return true;
    if (why[0])
        pln_pass_explain(ctx, n, NULL, why);
    *st = PLN_OK;
    return false;
}

static const void *key_of(uint64_t h)
{
    return (const void *)(uintptr_t)(h | 1);
}

static pln_status remember(table *t, uint64_t h, pln_node *n, pln_value *cst,
                           pln_error *err)
{
    entry *e = PLN_NEW(t->ctx->scratch, entry);
    if (!e)
        return pln_oom(err);
    *e = (entry){ n, cst, pln_map_get(&t->map, key_of(h)) };
    return pln_map_put(&t->map, key_of(h), e) ? PLN_OK : pln_oom(err);
}

/* What a body gives is computed in it. */
static bool gives_output(const pln_node *n)
{
    for (uint32_t i = 0; i < n->n_out; i++)
        if (n->out[i] && pln_value_is_output(n->out[i]))
            return true;
    return false;
}

/* With one of a graph around: nothing of it is in the same fragment, so it goes without a
 * patch. */
static bool merge_outwards(table *t, const pln_node *first, pln_node *n)
{
    for (uint32_t i = 0; i < n->n_out; i++)
        if (n->out[i] && n->out[i]->n_uses && !first->out[i])
            return false;
    if (gives_output(n) || pln_node_is_dead(n) || !pln_pass_begin_sure(t->ctx, n))
        return false;
    for (uint32_t i = 0; i < n->n_out; i++)
        if (n->out[i])
            pln_value_replace_uses(n->out[i], first->out[i]);
    pln_node_sweep(n, NULL, NULL);
    return true;
}

static pln_status visit_node(table *t, pln_node *n, pln_error *err)
{
    if (!is_mergeable(n))
        return PLN_OK;
    const uint64_t h = hash_node(n);
    for (const table *at = t; at; at = at->around)
        for (entry *e = pln_map_get(&at->map, key_of(h)); e; e = e->next) {
            pln_status st = PLN_OK;
            if (!e->node || !same_node(e->node, n))
                continue;
            if (at == t ? merge(t->ctx, e->node, n, err, &st)
                        : merge_outwards(t, e->node, n))
                return st;
            PLN_TRY(st);
        }
    return remember(t, h, n, NULL, err);
}

static bool is_small_const(const pln_value *v)
{
    size_t bytes;
    const pln_tensor *t = v->cst;
    return v->kind != PLN_VALUE_NODE && pln_value_is_const(v) && !v->is_sparse &&
           v->n_uses && !v->tensor_extra.len && t->kind == PLN_KIND_TENSOR &&
           t->dtype != PLN_DT_STRING && !pln_value_is_output(v) &&
           pln_dims_bytes((pln_dtype)t->dtype, t->rank, t->dims, &bytes) &&
           bytes <= MAX_CONST_BYTES;
}

static pln_status visit_const(table *t, pln_value *v, pln_error *err)
{
    if (!is_small_const(v))
        return PLN_OK;
    PLN_TRY(pln_tensor_materialize(v->cst, err));
    size_t bytes = 0;
    pln_dims_bytes((pln_dtype)v->cst->dtype, v->cst->rank, v->cst->dims, &bytes);
    const uint64_t h =
        pln_hash(hash_tensor(PLN_HASH_SEED + 1, v->cst), v->cst->data, bytes);
    for (const table *at = t; at; at = at->around)
        for (entry *e = pln_map_get(&at->map, key_of(h)); e; e = e->next) {
            if (!e->cst || !pln_tensor_same_as(e->cst->cst, v->cst) ||
                !pln_pass_begin_sure(t->ctx, NULL))
                continue;
            pln_value_replace_uses(v, e->cst);
            return PLN_OK;
        }
    return remember(t, h, NULL, v, err);
}

static pln_status visit_graph(pln_pass_ctx *ctx, pln_graph *g, const table *around,
                              pln_error *err);

/* What stands before the node that owns it, a body may use. */
static pln_status visit_bodies(table *t, pln_node *n, pln_error *err)
{
    for (uint32_t i = 0; i < n->n_attrs; i++) {
        const pln_attr *a = n->attrs[i];
        if (a->ref)
            continue;
        if (a->type == PLN_ATTR_GRAPH && a->g)
            PLN_TRY(visit_graph(t->ctx, a->g, t, err));
        for (size_t k = 0; a->type == PLN_ATTR_GRAPHS && k < a->n; k++)
            PLN_TRY(visit_graph(t->ctx, a->graphs[k], t, err));
    }
    return PLN_OK;
}

static pln_status visit_graph(pln_pass_ctx *ctx, pln_graph *g, const table *around,
                              pln_error *err)
{
    table t = { .ctx = ctx, .around = around };
    pln_map_init(&t.map, ctx->model->alloc);
    pln_status st = PLN_OK;
    for (pln_value *v = g->values; v && st == PLN_OK; v = v->next)
        st = visit_const(&t, v, err);
    for (pln_node *n = g->first, *next; n && st == PLN_OK; n = next) {
        next = n->next;
        st = visit_bodies(&t, n, err);
        if (st == PLN_OK)
            st = visit_node(&t, n, err);
    }
    pln_map_done(&t.map);
    return st;
}

static pln_status run(pln_pass_ctx *ctx, pln_graph *g, pln_error *err)
{
    /* bodies with their owners */
    return g->owner ? PLN_OK : visit_graph(ctx, g, NULL, err);
}

const pln_pass pln_pass_cse = {
    .name = "cse",
    .brief = "merges nodes that compute the same, and equal small constants",
    .run = run,
    .contract = PLN_EXACT,
};
