/* Initializers whose contents the caller gives.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "src/ir/graph.h"

static bool same_form(const pln_tensor *a, const pln_tensor *b)
{
    return a->kind == b->kind && a->dtype == b->dtype && a->rank == b->rank &&
           !memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims);
}

PLN_API pln_status pln_model_set_initializer(pln_model *model, const char *name,
                                             pln_tensor *value, pln_error *err)
{
    pln_error_clear(err);
    if (!model || !name || !value)
        return pln_fail(err, PLN_E_USAGE, "an initializer needs a name and a value");
    pln_value *v = pln_graph_find_value(model->graph, name);
    if (!v || !v->cst || v->def)
        return pln_fail(err, PLN_E_INPUT, "the model has no initializer '%s'", name);
    if (!same_form(v->cst, value))
        return pln_fail(
            err, PLN_E_INPUT,
            "initializer '%s' has another element type or shape than what is given",
            name);
    pln_value_set_const(v, pln_tensor_ref(value));
    return PLN_OK;
}
