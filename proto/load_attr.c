/* Attributes, from their messages.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "proto/load.h"

/* Files of the first IR versions don't say the type: the field that is there does. */
static pln_attr_type guess_type(const Onnx__AttributeProto *p)
{
    return p->has_f                  ? PLN_ATTR_FLOAT
           : p->has_i                ? PLN_ATTR_INT
           : p->has_s                ? PLN_ATTR_STRING
           : p->t                    ? PLN_ATTR_TENSOR
           : p->g                    ? PLN_ATTR_GRAPH
           : p->sparse_tensor        ? PLN_ATTR_SPARSE_TENSOR
           : p->tp                   ? PLN_ATTR_TYPE
           : p->n_floats             ? PLN_ATTR_FLOATS
           : p->n_ints               ? PLN_ATTR_INTS
           : p->n_strings            ? PLN_ATTR_STRINGS
           : p->n_tensors            ? PLN_ATTR_TENSORS
           : p->n_graphs             ? PLN_ATTR_GRAPHS
           : p->n_sparse_tensors     ? PLN_ATTR_SPARSE_TENSORS
           : p->n_type_protos        ? PLN_ATTR_TYPES
                                     : PLN_ATTR_NONE;
}

static pln_status own(pln_loader *l, pln_tensor *t)
{
    const pln_status st = pln_model_own(l->model, t);
    pln_tensor_unref(t);
    return st == PLN_OK ? st : pln_oom(l->err);
}

/* What is left of a tensor's message goes with the attribute's; nothing left: no
 * message. */
static bool has_rest(const ProtobufCMessage *m)
{
    return protobuf_c_message_get_packed_size(m) > 0;
}

static pln_status load_tensors(pln_loader *l, Onnx__AttributeProto *p, pln_attr *a)
{
    bool rest = false;
    a->n = p->n_tensors;
    a->tensors = PLN_NEW_ARRAY(l->model->arena, pln_tensor *, a->n);
    if (!a->tensors)
        return pln_oom(l->err);
    for (size_t i = 0; i < a->n; i++) {
        PLN_TRY(pln_load_tensor(l, p->tensors[i], &a->tensors[i]));
        PLN_TRY(own(l, a->tensors[i]));
        rest |= has_rest(&p->tensors[i]->base);
    }
    if (!rest) /* else one rest for each, so that they can be told apart */
        p->n_tensors = 0;
    return PLN_OK;
}

static pln_status load_sparse_list(pln_loader *l, Onnx__AttributeProto *p, pln_attr *a)
{
    a->n = p->n_sparse_tensors;
    a->tensors = PLN_NEW_ARRAY(l->model->arena, pln_tensor *, a->n);
    if (!a->tensors)
        return pln_oom(l->err);
    for (size_t i = 0; i < a->n; i++) {
        PLN_TRY(pln_load_sparse(l, p->sparse_tensors[i], &a->tensors[i]));
        PLN_TRY(own(l, a->tensors[i]));
        pln_cut unused;
        pln_load_take_cut(l, &p->sparse_tensors[i]->base, PLN_FIELD_SPARSE, &unused);
    }
    return PLN_OK;
}

static pln_status load_graph(pln_loader *l, pln_graph *g, pln_node *n,
                             Onnx__GraphProto *p, pln_graph **out)
{
    *out = pln_graph_new(l->model, g, n);
    return *out ? pln_load_graph(l, *out, p) : pln_oom(l->err);
}

static pln_status load_graphs(pln_loader *l, pln_graph *g, pln_node *n,
                              Onnx__AttributeProto *p, pln_attr *a)
{
    a->n = p->n_graphs;
    a->graphs = PLN_NEW_ARRAY(l->model->arena, pln_graph *, a->n);
    if (!a->graphs)
        return pln_oom(l->err);
    for (size_t i = 0; i < a->n; i++)
        PLN_TRY(load_graph(l, g, n, p->graphs[i], &a->graphs[i]));
    p->n_graphs = 0;
    return PLN_OK;
}

static pln_status load_type_ptr(pln_loader *l, const Onnx__TypeProto *p,
                                const pln_type **out, bool *exact)
{
    pln_type t;
    PLN_TRY(pln_load_type(l, p, &t, exact));
    *out = pln_arena_dup(l->model->arena, &t, sizeof t);
    return *out ? PLN_OK : pln_oom(l->err);
}

static pln_status load_types(pln_loader *l, Onnx__AttributeProto *p, pln_attr *a)
{
    bool exact = true;
    a->n = p->n_type_protos;
    const pln_type **types = PLN_NEW_ARRAY(l->model->arena, const pln_type *, a->n);
    if (!types)
        return pln_oom(l->err);
    for (size_t i = 0; i < a->n; i++)
        PLN_TRY(load_type_ptr(l, p->type_protos[i], &types[i], &exact));
    a->types = types;
    if (exact)
        p->n_type_protos = 0;
    return PLN_OK;
}

static pln_status load_numbers(pln_loader *l, Onnx__AttributeProto *p, pln_attr *a)
{
    pln_arena *arena = l->model->arena;
    if (a->type == PLN_ATTR_FLOATS) {
        a->n = p->n_floats;
        a->floats = pln_arena_dup(arena, a->n ? (const void *)p->floats : "",
                                  a->n * sizeof *a->floats);
        p->n_floats = 0;
    } else {
        a->n = p->n_ints;
        a->ints = pln_arena_dup(arena, a->n ? (const void *)p->ints : "",
                                a->n * sizeof *a->ints);
        p->n_ints = 0;
    }
    return a->ints ? PLN_OK : pln_oom(l->err);
}

static pln_status load_strings(pln_loader *l, Onnx__AttributeProto *p, pln_attr *a)
{
    a->n = p->n_strings;
    const char **s = PLN_NEW_ARRAY(l->model->arena, const char *, a->n);
    if (!s)
        return pln_oom(l->err);
    for (size_t i = 0; i < a->n; i++)
        PLN_TRY((s[i] = pln_load_name(l, p->strings[i])) ? PLN_OK : PLN_E_NOMEM);
    a->strings = s;
    p->n_strings = 0;
    return PLN_OK;
}

static pln_status missing(pln_loader *l, const char *what)
{
    return pln_fail(l->err, PLN_E_FORMAT, "its type says %s, but there is none", what);
}

static pln_status load_single(pln_loader *l, pln_graph *g, pln_node *n,
                              Onnx__AttributeProto *p, pln_attr *a)
{
    bool exact = true;
    pln_cut unused;
    switch (a->type) {
    case PLN_ATTR_TENSOR:
        if (!p->t)
            return missing(l, "a tensor");
        PLN_TRY(pln_load_tensor(l, p->t, &a->t));
        if (!has_rest(&p->t->base))
            p->t = NULL;
        return own(l, a->t);
    case PLN_ATTR_SPARSE_TENSOR:
        if (!p->sparse_tensor)
            return missing(l, "a sparse tensor");
        PLN_TRY(pln_load_sparse(l, p->sparse_tensor, &a->t));
        pln_load_take_cut(l, &p->sparse_tensor->base, PLN_FIELD_SPARSE, &unused);
        return own(l, a->t);
    case PLN_ATTR_GRAPH:
        if (!p->g)
            return missing(l, "a graph");
        PLN_TRY(load_graph(l, g, n, p->g, &a->g));
        p->g = NULL;
        return PLN_OK;
    default: /* PLN_ATTR_TYPE */
        if (!p->tp)
            return missing(l, "a type");
        PLN_TRY(load_type_ptr(l, p->tp, &a->tp, &exact));
        if (exact)
            p->tp = NULL;
        return PLN_OK;
    }
}

static pln_status load_value(pln_loader *l, pln_graph *g, pln_node *n,
                             Onnx__AttributeProto *p, pln_attr *a)
{
    switch (a->type) {
    case PLN_ATTR_NONE:
        return PLN_OK;
    case PLN_ATTR_FLOAT:
        a->f = p->has_f ? p->f : 0.0f;
        p->has_f = 0;
        return PLN_OK;
    case PLN_ATTR_INT:
        a->i = p->has_i ? p->i : 0;
        p->has_i = 0;
        return PLN_OK;
    case PLN_ATTR_STRING:
        a->s = pln_load_name(l, p->has_s ? p->s : (ProtobufCBinaryData){ 0, NULL });
        p->has_s = 0;
        return a->s ? PLN_OK : PLN_E_NOMEM;
    case PLN_ATTR_FLOATS:
    case PLN_ATTR_INTS:
        return load_numbers(l, p, a);
    case PLN_ATTR_STRINGS:
        return load_strings(l, p, a);
    case PLN_ATTR_TENSORS:
        return load_tensors(l, p, a);
    case PLN_ATTR_GRAPHS:
        return load_graphs(l, g, n, p, a);
    case PLN_ATTR_SPARSE_TENSORS:
        return load_sparse_list(l, p, a);
    case PLN_ATTR_TYPES:
        return load_types(l, p, a);
    default:
        return load_single(l, g, n, p, a);
    }
}

/* Values beside the one that the type names would be lost with their tensors'
 * elements. */
static bool has_other_values(const Onnx__AttributeProto *p, pln_attr_type type)
{
    return (p->t && type != PLN_ATTR_TENSOR) || (p->g && type != PLN_ATTR_GRAPH) ||
           (p->sparse_tensor && type != PLN_ATTR_SPARSE_TENSOR) ||
           (p->n_tensors && type != PLN_ATTR_TENSORS) ||
           (p->n_graphs && type != PLN_ATTR_GRAPHS) ||
           (p->n_sparse_tensors && type != PLN_ATTR_SPARSE_TENSORS);
}

static pln_status load(pln_loader *l, pln_graph *g, pln_node *n, Onnx__AttributeProto *p,
                       pln_attr *a)
{
    const int type = p->has_type ? (int)p->type : PLN_ATTR_NONE;
    a->type = (uint8_t)(type ? (pln_attr_type)type : guess_type(p));
    if (type < 0 || type > PLN_ATTR_TYPES)
        return pln_fail(l->err, PLN_E_FORMAT, "type %d is unknown", type);
    if (has_other_values(p, (pln_attr_type)a->type))
        return pln_fail(l->err, PLN_E_FORMAT, "it has a value of another type");
    if (p->has_ref_attr_name && p->ref_attr_name.len) {
        a->ref = pln_load_name(l, p->ref_attr_name);
        if (!a->ref)
            return PLN_E_NOMEM;
        p->has_ref_attr_name = 0;
        p->has_name = 0;
        p->has_type = p->has_type && a->type == PLN_ATTR_NONE;
        return has_other_values(p, PLN_ATTR_NONE)
                   ? pln_fail(l->err, PLN_E_FORMAT, "it has a reference and a value")
                   : PLN_OK;
    }
    PLN_TRY(load_value(l, g, n, p, a));
    p->has_name = 0;
    p->has_type = p->has_type && a->type == PLN_ATTR_NONE;
    return PLN_OK;
}

pln_status pln_load_attr(pln_loader *l, pln_graph *g, pln_node *n,
                         Onnx__AttributeProto *p, pln_attr **out)
{
    pln_attr *a = PLN_NEW(l->model->arena, pln_attr);
    *out = a;
    if (!a)
        return pln_oom(l->err);
    const ProtobufCBinaryData name =
        p->has_name ? p->name : (ProtobufCBinaryData){ 0, NULL };
    a->name = pln_load_name(l, name);
    if (!a->name)
        return PLN_E_NOMEM;
    if (!name.len)
        return pln_fail(l->err, PLN_E_FORMAT, "an attribute has no name");
    const pln_status st = load(l, g, n, p, a);
    if (st != PLN_OK)
        return pln_fail_prefix(l->err, st, "attribute '%.*s'", PLN_PRBYTES(name));
    return pln_load_rest(l, &p->base, &a->extra);
}
