/* Comparisons, bounds, casts, shapes and constants in terms of older operators.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "kernels/expand.h"

/* a >= b is not !(a < b) for NaN. */
pln_status pln_expand_compare(pln_node *n, int64_t version, pln_error *err)
{
    pln_expander x = pln_expand_begin(n, version, err);
    const bool greater = !strcmp(n->op_type, "GreaterOrEqual");
    if (!greater && strcmp(n->op_type, "LessOrEqual") != 0)
        pln_expand_refuse(&x, "nothing older stands for it");
    pln_value *strict =
        pln_expand_2(&x, greater ? "Greater" : "Less", n->in[0], n->in[1]);
    pln_value *same = pln_expand_2(&x, "Equal", n->in[0], n->in[1]);
    pln_expand_give(&x, 0, pln_expand_2(&x, "Or", strict, same));
    return pln_expand_end(&x);
}

/* Of integers, which have no NaN: by comparing. */
static pln_value *smaller(pln_expander *x, const char *test, pln_value *a, pln_value *b)
{
    return pln_expand_3(x, "Where", pln_expand_2(x, test, a, b), a, b);
}

pln_status pln_expand_min_max(pln_node *n, int64_t version, pln_error *err)
{
    pln_expander x = pln_expand_begin(n, version, err);
    const char *test = !strcmp(n->op_type, "Min") ? "Less" : "Greater";
    pln_value *v = n->in[0];
    if (pln_dtype_is_float(x.dt) || n->n_in < 2 ||
        (strcmp(n->op_type, "Min") != 0 && strcmp(n->op_type, "Max") != 0))
        pln_expand_refuse(&x, "nothing older stands for it");
    for (uint32_t i = 1; i < n->n_in; i++)
        v = smaller(&x, test, v, n->in[i]);
    pln_expand_give(&x, 0, v);
    return pln_expand_end(&x);
}

/* With bounds that are computed, or of integers. */
pln_status pln_expand_clip(pln_node *n, int64_t version, pln_error *err)
{
    pln_expander x = pln_expand_begin(n, version, err);
    pln_value *lo = pln_expand_in(&x, 1), *hi = pln_expand_in(&x, 2), *v = n->in[0];
    if (lo)
        v = pln_expand_2(&x, "Max", v, lo);
    if (hi)
        v = pln_expand_2(&x, "Min", v, hi);
    if (!lo && !hi)
        v = pln_expand_1(&x, "Identity", v);
    pln_expand_give(&x, 0, v);
    return pln_expand_end(&x);
}

pln_status pln_expand_cast_like(pln_node *n, int64_t version, pln_error *err)
{
    pln_expander x = pln_expand_begin(n, version, err);
    const pln_dtype to = n->in[1] ? n->in[1]->type.dtype : PLN_DT_NONE;
    pln_node *cast = NULL;
    if (to == PLN_DT_NONE)
        pln_expand_refuse(&x, "the type to cast to is not known");
    else
        cast = pln_expand_node(&x, "Cast", n->in, 1, 1);
    if (cast && pln_node_set_int(cast, "to", to) != PLN_OK)
        x.st = PLN_E_NOMEM;
    for (uint32_t i = 0; cast && i < n->n_attrs; i++)
        if (pln_node_set_attr(cast, n->attrs[i]) != PLN_OK)
            x.st = PLN_E_NOMEM;
    pln_expand_give(&x, 0, cast ? cast->out[0] : NULL);
    return pln_expand_end(&x);
}

/* A part of a shape. */
pln_status pln_expand_shape(pln_node *n, int64_t version, pln_error *err)
{
    pln_expander x = pln_expand_begin(n, version, err);
    const int64_t start = pln_expand_int(&x, "start", 0);
    const int64_t end = pln_expand_int(&x, "end", INT64_MAX), zero = 0;
    pln_value *in[4] = { pln_expand_1(&x, "Shape", n->in[0]),
                         pln_expand_ints(&x, &start, 1), pln_expand_ints(&x, &end, 1),
                         pln_expand_ints(&x, &zero, 1) };
    const pln_node *slice = pln_expand_node(&x, "Slice", in, 4, 1);
    pln_expand_give(&x, 0, slice ? slice->out[0] : NULL);
    return pln_expand_end(&x);
}

/* Initializers have had all types longer. */
pln_status pln_expand_constant(pln_node *n, int64_t version, pln_error *err)
{
    pln_expander x = pln_expand_begin(n, version, err);
    pln_graph *g = n->graph;
    const pln_tensor *t = n->out[0] ? n->out[0]->cst : NULL;
    if (!t || pln_value_is_output(n->out[0]))
        pln_expand_refuse(&x, "it is no initializer");
    if (x.st == PLN_OK) {
        pln_value *v = pln_graph_add_initializer(
            g, pln_graph_fresh_name(g, "c"), pln_tensor_ref((pln_tensor *)(uintptr_t)t));
        if (!v)
            x.st = PLN_E_NOMEM;
        else
            pln_expand_give(&x, 0, v);
    }
    return pln_expand_end(&x);
}
