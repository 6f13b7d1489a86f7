/* Attributes that became inputs, and back.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/raise.h"

#include <string.h>

static pln_status fail(const pln_node *n, pln_error *err, pln_status st, const char *text)
{
    char where[160];
    return pln_fail(err, st, "%s: %s", pln_node_where(n, where, sizeof where), text);
}

pln_status pln_raise_fail(const pln_node *n, pln_error *err, const char *text)
{
    return fail(n, err, PLN_E_FORMAT, text);
}

pln_status pln_lower_fail(const pln_node *n, pln_error *err, const char *text)
{
    return fail(n, err, PLN_E_UNSUPPORTED, text);
}

pln_status pln_raise_attr(const pln_node *n, const char *name, pln_attr_type type,
                          const pln_attr **out, pln_error *err)
{
    *out = pln_node_find_attr(n, name);
    if (!*out || (*out)->type == type)
        return PLN_OK;
    char where[160];
    return pln_fail(err, PLN_E_FORMAT, "%s: attribute '%s' has the wrong type",
                    pln_node_where(n, where, sizeof where), name);
}

pln_status pln_raise_constant(pln_node *n, const char *hint, uint32_t slot,
                              pln_tensor *t_take, pln_error *err)
{
    if (!t_take)
        return pln_oom(err);
    pln_value *v =
        pln_graph_add_initializer(n->graph, pln_graph_fresh_name(n->graph, hint), t_take);
    if (!v)
        return pln_oom(err);
    const pln_status st = pln_node_set_input(n, slot, v);
    return st == PLN_OK ? st : pln_oom(err);
}

static pln_status ints_constant(pln_node *n, const char *name, uint32_t slot, int rank,
                                const int64_t *v, size_t count, pln_error *err)
{
    pln_tensor *t = NULL;
    pln_tensor_from_i64(n->graph->model->alloc, rank, v, (int64_t)count, &t);
    PLN_TRY(pln_raise_constant(n, name, slot, t, err));
    pln_node_drop_attr(n, name);
    return PLN_OK;
}

pln_status pln_raise_ints_to_input(pln_node *n, const char *name, uint32_t slot,
                                   pln_error *err)
{
    const pln_attr *a;
    PLN_TRY(pln_raise_attr(n, name, PLN_ATTR_INTS, &a, err));
    return a ? ints_constant(n, name, slot, 1, a->ints, a->n, err) : PLN_OK;
}

pln_status pln_raise_int_to_input(pln_node *n, const char *name, uint32_t slot, int rank,
                                  pln_error *err)
{
    const pln_attr *a;
    PLN_TRY(pln_raise_attr(n, name, PLN_ATTR_INT, &a, err));
    if (!a)
        return PLN_OK;
    const int64_t v = a->i;
    return ints_constant(n, name, slot, rank, &v, 1, err);
}

pln_status pln_raise_float_to_input(pln_node *n, const char *name, float otherwise,
                                    uint32_t slot, pln_error *err)
{
    const pln_attr *a;
    PLN_TRY(pln_raise_attr(n, name, PLN_ATTR_FLOAT, &a, err));
    const float v = a ? a->f : otherwise;
    pln_tensor *t = NULL;
    pln_tensor_from_f32(n->graph->model->alloc, 0, &v, 1, &t);
    PLN_TRY(pln_raise_constant(n, name, slot, t, err));
    pln_node_drop_attr(n, name);
    return PLN_OK;
}

pln_status pln_raise_floats_to_input(pln_node *n, const char *name, uint32_t slot,
                                     pln_error *err)
{
    const pln_attr *a;
    PLN_TRY(pln_raise_attr(n, name, PLN_ATTR_FLOATS, &a, err));
    if (!a)
        return PLN_OK;
    pln_tensor *t = NULL;
    pln_tensor_from_f32(n->graph->model->alloc, 1, a->floats, (int64_t)a->n, &t);
    PLN_TRY(pln_raise_constant(n, name, slot, t, err));
    pln_node_drop_attr(n, name);
    return PLN_OK;
}

pln_status pln_lower_constant(const pln_node *n, uint32_t slot, const pln_tensor **out,
                              pln_error *err)
{
    const pln_value *v = n->in[slot];
    if (!pln_value_is_const(v) || !v->cst || v->cst->kind != PLN_KIND_TENSOR)
        return pln_lower_fail(n, err, "the older version needs a constant input here");
    *out = v->cst;
    return pln_tensor_materialize(v->cst, err);
}

pln_status pln_lower_drop_input(pln_node *n, uint32_t slot, pln_error *err)
{
    pln_value *v = n->in[slot];
    if (pln_node_set_input(n, slot, NULL) != PLN_OK)
        return pln_oom(err);
    pln_node_trim_inputs(n);
    if (!v || v->n_uses)
        return PLN_OK;
    if (v->kind == PLN_VALUE_INITIALIZER)
        pln_graph_remove_value(v);
    else if (v->def && !*v->def->domain && !strcmp(v->def->op_type, "Constant"))
        pln_graph_remove_node(v->def);
    return PLN_OK;
}

pln_status pln_lower_input_to_ints(pln_node *n, uint32_t slot, const char *name,
                                   pln_error *err)
{
    if (!pln_lower_has(n, slot))
        return PLN_OK;
    const pln_tensor *t = NULL;
    PLN_TRY(pln_lower_constant(n, slot, &t, err));
    const int64_t count = pln_tensor_size(t);
    int64_t *v = pln_alloc(n->graph->model->alloc, (size_t)count * sizeof *v);
    if (!v)
        return pln_oom(err);
    for (int64_t i = 0; i < count; i++)
        v[i] = pln_tensor_get_i64(t, i);
    const pln_status st = pln_node_set_ints(n, name, v, (size_t)count);
    pln_release(n->graph->model->alloc, v);
    return st == PLN_OK ? pln_lower_drop_input(n, slot, err) : pln_oom(err);
}

pln_status pln_lower_input_to_int(pln_node *n, uint32_t slot, const char *name,
                                  pln_error *err)
{
    if (!pln_lower_has(n, slot))
        return PLN_OK;
    const pln_tensor *t = NULL;
    PLN_TRY(pln_lower_constant(n, slot, &t, err));
    if (pln_tensor_size(t) != 1)
        return pln_lower_fail(n, err, "the older version needs one value here");
    if (pln_node_set_int(n, name, pln_tensor_get_i64(t, 0)) != PLN_OK)
        return pln_oom(err);
    return pln_lower_drop_input(n, slot, err);
}

pln_status pln_lower_input_to_float(pln_node *n, uint32_t slot, const char *name,
                                    pln_error *err)
{
    if (!pln_lower_has(n, slot))
        return PLN_OK;
    const pln_tensor *t = NULL;
    PLN_TRY(pln_lower_constant(n, slot, &t, err));
    if (pln_tensor_size(t) != 1)
        return pln_lower_fail(n, err, "the older version needs one value here");
    const double v = pln_tensor_get_f64(t, 0);
    if ((double)(float)v != v && v == v)
        return pln_lower_fail(n, err, "the value does not fit the older version's float");
    if (pln_node_set_float(n, name, (float)v) != PLN_OK)
        return pln_oom(err);
    return pln_lower_drop_input(n, slot, err);
}

pln_status pln_lower_input_to_floats(pln_node *n, uint32_t slot, const char *name,
                                     pln_error *err)
{
    if (!pln_lower_has(n, slot))
        return PLN_OK;
    const pln_tensor *t = NULL;
    PLN_TRY(pln_lower_constant(n, slot, &t, err));
    if (t->dtype != PLN_DT_F32)
        return pln_lower_fail(n, err, "the older version needs floats here");
    if (pln_node_set_floats(n, name, PLN_DATA(const float, t),
                            (size_t)pln_tensor_size(t)) != PLN_OK)
        return pln_oom(err);
    return pln_lower_drop_input(n, slot, err);
}

pln_status pln_lower_drop_int(pln_node *n, const char *name, int64_t plain,
                              pln_error *err)
{
    const pln_attr *a = pln_node_find_attr(n, name);
    if (!a)
        return PLN_OK;
    if (a->type != PLN_ATTR_INT || a->i != plain)
        return pln_lower_refuse(n, name, err);
    pln_node_drop_attr(n, name);
    return PLN_OK;
}

pln_status pln_lower_drop_string(pln_node *n, const char *name, const char *plain,
                                 pln_error *err)
{
    const pln_attr *a = pln_node_find_attr(n, name);
    if (!a)
        return PLN_OK;
    if (a->type != PLN_ATTR_STRING || strcmp(a->s, plain) != 0)
        return pln_lower_refuse(n, name, err);
    pln_node_drop_attr(n, name);
    return PLN_OK;
}

pln_status pln_lower_refuse(pln_node *n, const char *name, pln_error *err)
{
    if (!pln_node_find_attr(n, name))
        return PLN_OK;
    char where[160];
    return pln_fail(err, PLN_E_UNSUPPORTED, "%s: the older version has no '%s'",
                    pln_node_where(n, where, sizeof where), name);
}
