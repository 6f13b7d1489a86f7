/* Types of values, from their messages.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "proto/load.h"

static pln_dtype elem_type(int32_t number, bool *exact)
{
    if (number > PLN_DT_NONE && number < PLN_DT_COUNT)
        return (pln_dtype)number;
    *exact = false;
    return PLN_DT_NONE;
}

/* The dimension, and whether printing it gives the text of the file again. */
static pln_dim symbol(pln_loader *l, ProtobufCBinaryData text, bool *exact)
{
    pln_text printed;
    const pln_dim d = pln_dim_parse(l->model->syms, (const char *)text.data, text.len);
    pln_text_init(&printed, l->alloc);
    pln_dim_print(&printed, d);
    if (pln_dim_is_unknown(d) || printed.failed || printed.len != text.len ||
        memcmp(printed.data, text.data, text.len))
        *exact = false;
    pln_text_done(&printed);
    return d;
}

static pln_dim dimension(pln_loader *l, const Onnx__TensorShapeProto__Dimension *p,
                         bool *exact)
{
    if (p->has_denotation || p->base.n_unknown_fields)
        *exact = false;
    if (p->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE &&
        p->dim_value >= 0)
        return pln_dim_of(p->dim_value);
    if (p->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM &&
        p->dim_param.len)
        return symbol(l, p->dim_param, exact);
    /* Some exporters write -1 or an empty symbol for a dimension that they don't know. */
    if (p->value_case != ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE__NOT_SET)
        *exact = false;
    return pln_dim_unknown();
}

static pln_status shape(pln_loader *l, const Onnx__TensorShapeProto *p, pln_shape *out,
                        bool *exact)
{
    *out = pln_shape_unknown();
    if (!p)
        return PLN_OK;
    if (p->base.n_unknown_fields)
        *exact = false;
    if (p->n_dim > PLN_MAX_RANK)
        return pln_fail(l->err, PLN_E_LIMIT, "rank %zu is over %d", p->n_dim,
                        PLN_MAX_RANK);
    *out = pln_shape_new(l->model->arena, (int)p->n_dim);
    if (out->rank < 0)
        return pln_oom(l->err);
    for (size_t i = 0; i < p->n_dim; i++)
        out->dims[i] = dimension(l, p->dim[i], exact);
    return PLN_OK;
}

static pln_status element(pln_loader *l, const Onnx__TypeProto *p, pln_type *out,
                          bool *exact)
{
    if (!p)
        return PLN_OK;
    pln_type elem;
    PLN_TRY(pln_load_type(l, p, &elem, exact));
    out->elem = pln_arena_dup(l->model->arena, &elem, sizeof elem);
    return out->elem ? PLN_OK : pln_oom(l->err);
}

pln_status pln_load_type(pln_loader *l, const Onnx__TypeProto *p, pln_type *out,
                         bool *exact)
{
    *out = pln_type_unknown();
    if (p->base.n_unknown_fields)
        *exact = false;
    if (p->has_denotation) {
        out->denotation = pln_load_name(l, p->denotation);
        if (!out->denotation)
            return pln_oom(l->err);
    }
    switch (p->value_case) {
    case ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE:
        out->kind = PLN_KIND_TENSOR;
        out->dtype = elem_type(p->tensor_type->elem_type, exact);
        *exact &= p->tensor_type->base.n_unknown_fields == 0;
        return shape(l, p->tensor_type->shape, &out->shape, exact);
    case ONNX__TYPE_PROTO__VALUE_SPARSE_TENSOR_TYPE:
        out->kind = PLN_KIND_SPARSE;
        out->dtype = elem_type(p->sparse_tensor_type->elem_type, exact);
        *exact &= p->sparse_tensor_type->base.n_unknown_fields == 0;
        return shape(l, p->sparse_tensor_type->shape, &out->shape, exact);
    case ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE:
        out->kind = PLN_KIND_SEQUENCE;
        *exact &= p->sequence_type->base.n_unknown_fields == 0;
        return element(l, p->sequence_type->elem_type, out, exact);
    case ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE:
        out->kind = PLN_KIND_OPTIONAL;
        *exact &= p->optional_type->base.n_unknown_fields == 0;
        return element(l, p->optional_type->elem_type, out, exact);
    case ONNX__TYPE_PROTO__VALUE_MAP_TYPE:
        out->kind = PLN_KIND_MAP;
        out->dtype = elem_type(p->map_type->key_type, exact);
        *exact &= p->map_type->base.n_unknown_fields == 0;
        return element(l, p->map_type->value_type, out, exact);
    default: /* opaque, or nothing */
        *exact &= p->value_case == ONNX__TYPE_PROTO__VALUE__NOT_SET;
        return PLN_OK;
    }
}
