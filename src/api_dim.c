/* Symbolic dimensions of a whole model: sizes and names for them.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "proto/writer.h"
#include "src/api_edit.h"
#include "src/ir/graph.h"

typedef struct dim_change {
    pln_model *model;
    const char *symbol;
    pln_dim with; /* what takes its place */
    bool found, changed;
} dim_change;

static pln_dim look_up(void *user, const char *symbol)
{
    dim_change *c = user;
    if (strcmp(symbol, c->symbol))
        return pln_dim_unknown();
    c->found = c->changed = true;
    return c->with;
}

/* Types are the arena's, each value with its own. */
static void change_type(dim_change *c, const pln_type *t)
{
    for (; t; t = t->elem)
        for (int i = 0; i < t->shape.rank; i++)
            if (!pln_dim_is_known(t->shape.dims[i]) &&
                !pln_dim_is_unknown(t->shape.dims[i]))
                t->shape.dims[i] =
                    pln_dim_substitute(c->model->syms, t->shape.dims[i], look_up, c);
}

/* The message of a type that is kept for what the type does not say is out of date. */
pln_status pln_value_drop_type_message(pln_value *v)
{
    pln_blob unused;
    if (!pln_rest_field(v->extra, 2, 0, &unused))
        return PLN_OK;
    static const uint32_t type[] = { 2, 0 };
    pln_writer w;
    pln_status st = pln_writer_begin(&w, v->graph->model->alloc, NULL);
    if (st == PLN_OK) {
        pln_write_rest(&w, v->extra, type);
        v->extra.len = w.text.len;
        v->extra.data =
            w.text.len ? pln_arena_dup(v->graph->model->arena, w.text.data, w.text.len)
                       : NULL;
        if (w.text.failed || (v->extra.len && !v->extra.data))
            st = PLN_E_NOMEM;
    }
    pln_writer_end(&w);
    return st;
}

/* Every type of the model says `with` where it said the symbol. */
static pln_status substitute(dim_change *c, pln_error *err)
{
    for (pln_graph *g = c->model->graphs; g; g = g->next_graph)
        for (pln_value *v = g->values; v; v = v->next) {
            c->changed = false;
            v->sym = NULL; /* inference finds it again */
            change_type(c, &v->type);
            change_type(c, v->declared);
            if (c->changed && pln_value_drop_type_message(v) != PLN_OK)
                return pln_oom(err);
        }
    return PLN_OK;
}

PLN_API pln_status pln_model_set_dim(pln_model *model, const char *symbol, int64_t size,
                                     pln_error *err)
{
    pln_error_clear(err);
    if (!model || !symbol || size < 0)
        return pln_fail(err, PLN_E_USAGE, "'%s' can't have size %lld",
                        symbol ? symbol : "", (long long)size);
    dim_change c = { model, symbol, pln_dim_of(size), false, false };
    PLN_TRY(substitute(&c, err));
    return c.found ? PLN_OK
                   : pln_fail(err, PLN_E_USAGE, "no dimension is called '%s'", symbol);
}

static bool has_symbol(pln_model *m, const char *symbol)
{
    dim_change c = { m, symbol, pln_dim_unknown(), false, false };
    for (pln_graph *g = m->graphs; g; g = g->next_graph)
        for (pln_value *v = g->values; v && !c.found; v = v->next)
            for (const pln_type *t = v->declared ? v->declared : &v->type; t; t = t->elem)
                for (int i = 0; i < t->shape.rank; i++)
                    if (!pln_dim_is_known(t->shape.dims[i]) &&
                        !pln_dim_is_unknown(t->shape.dims[i]))
                        pln_dim_substitute(m->syms, t->shape.dims[i], look_up, &c);
    return c.found;
}

pln_status pln_model_rename_dim(pln_model *m, const char *from, const char *to,
                                bool *found, pln_error *err)
{
    *found = has_symbol(m, from);
    if (!*found || !strcmp(from, to))
        return PLN_OK;
    if (has_symbol(m, to))
        return pln_fail(err, PLN_E_USAGE,
                        "'%s' can't be renamed: there is a dimension '%s' already", from,
                        to);
    dim_change c = { m, from, pln_dim_symbol(m->syms, to, strlen(to)), false, false };
    return pln_dim_is_unknown(c.with) ? pln_oom(err) : substitute(&c, err);
}
