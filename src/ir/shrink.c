/* Smaller dimensions.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/ir/shrink.h"

#include <string.h>

#define SMALL 16 /* elements of a constant that may hold sizes */

/* ---- which sizes there are ------------------------------------------------------- */

static void note(int64_t d, int64_t limit, int64_t *largest)
{
    if (d < limit && d > *largest)
        *largest = d;
}

int64_t pln_model_size_below(const pln_model *m, int64_t limit)
{
    int64_t largest = 1;
    for (const pln_value *v = m->graph->values; v; v = v->next) {
        if (v->kind == PLN_VALUE_NODE || v->type.kind != PLN_KIND_TENSOR)
            continue;
        for (int i = 0; i < v->type.shape.rank; i++)
            if (pln_dim_is_known(v->type.shape.dims[i]))
                note(v->type.shape.dims[i].value, limit, &largest);
    }
    return largest;
}

/* ---- values ---------------------------------------------------------------------- */

static pln_status shrink_type(pln_value *v, int64_t size, int64_t to)
{
    pln_arena *arena = v->graph->model->arena;
    pln_type t = v->declared ? *v->declared : v->type;
    bool any = false;
    if (t.kind != PLN_KIND_TENSOR || t.shape.rank < 0)
        return PLN_OK;
    t.shape = pln_shape_dup(arena, t.shape);
    for (int i = 0; i < t.shape.rank; i++)
        if (pln_dim_is(t.shape.dims[i], size)) {
            t.shape.dims[i] = pln_dim_of(to);
            any = true;
        }
    if (!any)
        return PLN_OK;
    v->type = t;
    if (v->declared)
        v->declared = pln_arena_dup(arena, &t, sizeof t);
    return t.shape.rank < 0 || (v->kind == PLN_VALUE_INPUT && !v->declared) ? PLN_E_NOMEM
                                                                            : PLN_OK;
}

/* The element of `was` that stands at place i of the smaller tensor. */
static int64_t source_of(const pln_tensor *was, const pln_tensor *now, int64_t i)
{
    int64_t at = 0, step = 1;
    for (int d = now->rank - 1; d >= 0; d--) {
        at += i % now->dims[d] * step;
        i /= now->dims[d];
        step *= was->dims[d];
    }
    return at;
}

static pln_status cut_tensor(pln_value *v, int64_t size, int64_t to)
{
    int64_t dims[PLN_MAX_RANK];
    pln_tensor *was = v->cst, *now = NULL;
    bool any = false;
    for (int i = 0; i < was->rank; i++) {
        dims[i] = was->dims[i] == size ? to : was->dims[i];
        any |= was->dims[i] == size;
    }
    if (!any)
        return PLN_OK;
    PLN_TRY(pln_tensor_materialize(was, NULL));
    PLN_TRY(pln_tensor_make(was->alloc, was->dtype, was->rank, dims, &now, NULL));
    for (int64_t i = 0; i < pln_tensor_size(now); i++)
        pln_tensor_copy(now, i, was, source_of(was, now, i), 1);
    v->type.shape = pln_shape_dup(v->graph->model->arena, v->type.shape);
    for (int i = 0; i < v->type.shape.rank; i++)
        v->type.shape.dims[i] = pln_dim_of(dims[i]);
    if (v->declared) {
        pln_type t = *v->declared;
        t.shape = v->type.shape;
        v->declared = pln_arena_dup(v->graph->model->arena, &t, sizeof t);
    }
    pln_value_set_const(v, now);
    return PLN_OK;
}

/* A shape to reshape to, for instance. */
static pln_status replace_numbers(pln_value *v, int64_t size, int64_t to)
{
    pln_tensor *was = v->cst, *now = NULL;
    bool any = false;
    if (was->dtype != PLN_DT_S64 || pln_tensor_size(was) > SMALL)
        return PLN_OK;
    PLN_TRY(pln_tensor_materialize(was, NULL));
    for (int64_t i = 0; i < pln_tensor_size(was); i++)
        any |= pln_tensor_get_i64(was, i) == size;
    if (!any)
        return PLN_OK;
    PLN_TRY(pln_tensor_make(was->alloc, was->dtype, was->rank, was->dims, &now, NULL));
    for (int64_t i = 0; i < pln_tensor_size(was); i++) {
        const int64_t n = pln_tensor_get_i64(was, i);
        pln_tensor_set_i64(now, i, n == size ? to : n);
    }
    pln_value_set_const(v, now);
    return PLN_OK;
}

typedef struct change {
    int64_t size, to;
} change;

static pln_status shrink_graph(pln_graph *g, void *user)
{
    const change *c = user;
    for (pln_value *v = g->values; v; v = v->next) {
        if (v->kind == PLN_VALUE_NODE && !pln_value_is_output(v)) {
            v->declared = NULL;
            v->extra = (pln_blob){ NULL, 0 };
        }
        if (v->kind == PLN_VALUE_NODE && v->type.kind == PLN_KIND_TENSOR && !v->cst) {
            v->type.shape = pln_shape_unknown();
            v->sym = NULL;
        }
        if (v->kind != PLN_VALUE_INITIALIZER)
            PLN_TRY(shrink_type(v, c->size, c->to));
        if (v->kind == PLN_VALUE_INITIALIZER && v->cst &&
            v->cst->kind == PLN_KIND_TENSOR && v->cst->dtype != PLN_DT_STRING) {
            PLN_TRY(cut_tensor(v, c->size, c->to));
            PLN_TRY(replace_numbers(v, c->size, c->to));
        }
    }
    return PLN_OK;
}

pln_status pln_model_shrink_size(pln_model *m, int64_t size, int64_t to)
{
    change c = { size, to };
    return pln_graph_walk(m->graph, shrink_graph, &c);
}
