/* What models and sessions tell about their inputs and outputs.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/io_info.h"

#include <string.h>

static bool is_real_input(const pln_value *v)
{
    return !v->cst || v->overridable;
}

size_t pln_graph_count_io(const pln_graph *g, pln_io io)
{
    if (io == PLN_OUTPUT)
        return g->n_outputs;
    size_t n = 0;
    for (uint32_t i = 0; i < g->n_inputs; i++)
        n += is_real_input(g->inputs[i]);
    return n;
}

static const pln_value *real_input(const pln_graph *g, size_t i)
{
    for (uint32_t k = 0; k < g->n_inputs; k++)
        if (is_real_input(g->inputs[k]) && i-- == 0)
            return g->inputs[k];
    return NULL;
}

static const char *dim_text(const pln_allocator *a, pln_arena *arena, pln_dim d)
{
    pln_text t;
    pln_text_init(&t, a);
    pln_dim_print(&t, d);
    const char *s = t.failed ? NULL : pln_arena_str(arena, t.data ? t.data : "", t.len);
    pln_text_done(&t);
    return s;
}

static pln_status fill_dims(const pln_allocator *a, pln_arena *arena, pln_shape shape,
                            pln_io_info *out)
{
    const size_t rank = (size_t)shape.rank;
    int64_t *dims = PLN_NEW_ARRAY(arena, int64_t, rank);
    const char **names = PLN_NEW_ARRAY(arena, const char *, rank);
    if (!dims || !names)
        return PLN_E_NOMEM;
    for (size_t i = 0; i < rank; i++) {
        const pln_dim d = shape.dims[i];
        dims[i] = pln_dim_is_known(d) ? d.value : -1;
        if (pln_dim_is_known(d) || pln_dim_is_unknown(d))
            continue;
        names[i] = dim_text(a, arena, d);
        if (!names[i])
            return PLN_E_NOMEM;
    }
    out->rank = shape.rank;
    out->dims = dims;
    out->dim_names = names;
    return PLN_OK;
}

pln_status pln_graph_io_info(const pln_graph *g, pln_io io, size_t i, pln_arena *arena,
                             pln_io_info *out)
{
    *out = (pln_io_info){ .rank = -1 };
    if (i >= pln_graph_count_io(g, io))
        return PLN_E_USAGE;
    const pln_value *v = io == PLN_INPUT ? real_input(g, i) : g->outputs[i];
    const pln_type *t = &v->type;
    out->name = io == PLN_INPUT ? v->name : g->output_names[i];
    out->name_len = pln_name_len(out->name);
    out->kind = t->kind;
    out->has_default = io == PLN_INPUT && v->overridable;
    while ((t->kind == PLN_KIND_SEQUENCE || t->kind == PLN_KIND_OPTIONAL) && t->elem)
        t = t->elem;
    out->dtype = t->dtype;
    out->type = pln_type_name(g->model->alloc, arena, &v->type);
    if (!out->type)
        return PLN_E_NOMEM;
    return t->shape.rank < 0 ? PLN_OK : fill_dims(g->model->alloc, arena, t->shape, out);
}
