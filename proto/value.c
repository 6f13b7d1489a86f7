/* Values of runs as messages.
 * SPDX-License-Identifier: Apache-2.0 */
#include "proto/value.h"

#include <string.h>

#include "proto/load.h"
#include "proto/save.h"

/* SequenceProto.DataType and OptionalProto.DataType share their numbers. */
enum { OF_NONE = 0, OF_TENSOR = 1, OF_SPARSE = 2, OF_SEQUENCE = 3, OF_MAP = 4,
       OF_OPTIONAL = 5 };

/* ---- reading ----------------------------------------------------------------------- */

static pln_status read_sequence(pln_loader *l, Onnx__SequenceProto *p, pln_tensor **out);
static pln_status read_map(pln_loader *l, Onnx__MapProto *p, pln_tensor **out);
static pln_status read_optional(pln_loader *l, Onnx__OptionalProto *p, pln_tensor **out);

static pln_status read_sparse(pln_loader *l, Onnx__SparseTensorProto *p, pln_tensor **out)
{
    pln_cut unused;
    pln_load_take_cut(l, &p->base, PLN_FIELD_SPARSE, &unused);
    return pln_load_sparse(l, p, out);
}

static pln_status container(pln_loader *l, pln_kind kind, pln_tensor **out)
{
    return pln_tensor_make_container(l->alloc, kind, out) == PLN_OK ? PLN_OK
                                                                    : pln_oom(l->err);
}

/* Appends what a read gave, and lets go of it. */
static pln_status append(pln_loader *l, pln_tensor *to, pln_status st, pln_tensor *item)
{
    if (st == PLN_OK)
        st = pln_tensor_append(to, item, l->err);
    pln_tensor_unref(item);
    return st;
}

static pln_status read_item(pln_loader *l, const Onnx__SequenceProto *p, int32_t type,
                            size_t i, pln_tensor **out)
{
    switch (type) {
    case OF_TENSOR:
        return pln_load_tensor(l, p->tensor_values[i], out);
    case OF_SPARSE:
        return read_sparse(l, p->sparse_tensor_values[i], out);
    case OF_SEQUENCE:
        return read_sequence(l, p->sequence_values[i], out);
    case OF_MAP:
        return read_map(l, p->map_values[i], out);
    default:
        return read_optional(l, p->optional_values[i], out);
    }
}

static pln_status read_sequence(pln_loader *l, Onnx__SequenceProto *p, pln_tensor **out)
{
    const size_t counts[] = { 0, p->n_tensor_values, p->n_sparse_tensor_values,
                              p->n_sequence_values, p->n_map_values,
                              p->n_optional_values };
    *out = NULL;
    if (p->elem_type < OF_NONE || p->elem_type > OF_OPTIONAL)
        return pln_fail(l->err, PLN_E_FORMAT, "a sequence of unknown type %d",
                        p->elem_type);
    PLN_TRY(container(l, PLN_KIND_SEQUENCE, out));
    for (size_t i = 0; i < counts[p->elem_type]; i++) {
        pln_tensor *item = NULL;
        const pln_status st = read_item(l, p, p->elem_type, i, &item);
        PLN_TRY(append(l, *out, st, item));
    }
    return PLN_OK;
}

static pln_status read_keys(pln_loader *l, const Onnx__MapProto *p, pln_tensor **out)
{
    if (!p->n_string_keys && p->key_type != PLN_DT_STRING) {
        const pln_status st =
            pln_tensor_from_i64(l->alloc, 1, p->keys, (int64_t)p->n_keys, out);
        return st == PLN_E_NOMEM ? pln_oom(l->err) : st;
    }
    const int64_t n = (int64_t)p->n_string_keys;
    PLN_TRY(pln_tensor_make(l->alloc, PLN_DT_STRING, 1, &n, out, l->err));
    for (int64_t i = 0; i < n; i++)
        if (pln_tensor_set_string(*out, i, (const char *)p->string_keys[i].data,
                                  p->string_keys[i].len) != PLN_OK)
            return pln_oom(l->err);
    return PLN_OK;
}

/* Scalars of one type become a vector: that is how runs hold the values of a map. */
static pln_status join_scalars(pln_loader *l, pln_tensor **values)
{
    pln_tensor *seq = *values, *joined;
    const int64_t n = (int64_t)seq->n_items;
    for (int64_t i = 0; i < n; i++)
        if (seq->items[i]->kind != PLN_KIND_TENSOR || seq->items[i]->rank != 0 ||
            seq->items[i]->dtype != seq->items[0]->dtype)
            return PLN_OK;
    if (n == 0)
        return PLN_OK;
    PLN_TRY(pln_tensor_make(l->alloc, (pln_dtype)seq->items[0]->dtype, 1, &n, &joined,
                            l->err));
    for (int64_t i = 0; i < n; i++) {
        const pln_status st = pln_tensor_materialize(seq->items[i], l->err);
        if (st != PLN_OK) {
            pln_tensor_unref(joined);
            return st;
        }
        pln_tensor_copy(joined, i, seq->items[i], 0, 1);
    }
    pln_tensor_unref(seq);
    *values = joined;
    return PLN_OK;
}

static pln_status read_map(pln_loader *l, Onnx__MapProto *p, pln_tensor **out)
{
    pln_tensor *keys = NULL, *values = NULL;
    PLN_TRY(container(l, PLN_KIND_MAP, out));
    if (!p->values)
        return pln_fail(l->err, PLN_E_FORMAT, "a map has no values");
    pln_status st = read_keys(l, p, &keys);
    PLN_TRY(append(l, *out, st, keys));
    st = read_sequence(l, p->values, &values);
    if (st == PLN_OK && (int64_t)values->n_items != keys->dims[0])
        st = pln_fail(l->err, PLN_E_FORMAT, "a map has %zu values for %lld keys",
                      values->n_items, (long long)keys->dims[0]);
    if (st == PLN_OK)
        st = join_scalars(l, &values);
    return append(l, *out, st, values);
}

static pln_status lacks_value(pln_loader *l)
{
    return pln_fail(l->err, PLN_E_FORMAT, "an optional lacks the value of its type");
}

static pln_status read_optional(pln_loader *l, Onnx__OptionalProto *p, pln_tensor **out)
{
    pln_tensor *item = NULL;
    pln_status st;
    PLN_TRY(container(l, PLN_KIND_OPTIONAL, out));
    switch (p->elem_type) {
    case OF_NONE:
        return PLN_OK;
    case OF_TENSOR:
        st =
            p->tensor_value ? pln_load_tensor(l, p->tensor_value, &item) : lacks_value(l);
        break;
    case OF_SPARSE:
        st = p->sparse_tensor_value ? read_sparse(l, p->sparse_tensor_value, &item)
                                    : lacks_value(l);
        break;
    case OF_SEQUENCE:
        st = p->sequence_value ? read_sequence(l, p->sequence_value, &item)
                               : lacks_value(l);
        break;
    case OF_MAP:
        st = p->map_value ? read_map(l, p->map_value, &item) : lacks_value(l);
        break;
    case OF_OPTIONAL:
        st = p->optional_value ? read_optional(l, p->optional_value, &item)
                               : lacks_value(l);
        break;
    default:
        st = pln_fail(l->err, PLN_E_FORMAT, "an optional of unknown type %d",
                      p->elem_type);
    }
    return append(l, *out, st, item);
}

static pln_status read_any(pln_loader *l, pln_kind kind, pln_buf *source,
                           pln_tensor **out)
{
    static const ProtobufCMessageDescriptor *const types[] = {
        [PLN_KIND_TENSOR] = &onnx__tensor_proto__descriptor,
        [PLN_KIND_SEQUENCE] = &onnx__sequence_proto__descriptor,
        [PLN_KIND_OPTIONAL] = &onnx__optional_proto__descriptor,
        [PLN_KIND_MAP] = &onnx__map_proto__descriptor,
        [PLN_KIND_SPARSE] = &onnx__sparse_tensor_proto__descriptor,
    };
    ProtobufCMessage *m;
    PLN_TRY(pln_loader_unpack(l, source, types[kind], &m));
    switch (kind) {
    case PLN_KIND_TENSOR:
        return pln_load_tensor(l, (Onnx__TensorProto *)m, out);
    case PLN_KIND_SEQUENCE:
        return read_sequence(l, (Onnx__SequenceProto *)m, out);
    case PLN_KIND_OPTIONAL:
        return read_optional(l, (Onnx__OptionalProto *)m, out);
    case PLN_KIND_MAP:
        return read_map(l, (Onnx__MapProto *)m, out);
    default:
        return read_sparse(l, (Onnx__SparseTensorProto *)m, out);
    }
}

pln_status pln_value_read(const pln_allocator *a, const pln_limits *limits, pln_kind kind,
                          const void *data, size_t len, pln_tensor **out, pln_error *err)
{
    pln_loader l;
    *out = NULL;
    pln_buf *source = pln_buf_new(a, len);
    if (!source)
        return pln_oom(err);
    if (len)
        memcpy(source->data, data, len);
    pln_status st = pln_loader_begin(&l, a, limits, err);
    if (st == PLN_OK)
        st = read_any(&l, kind, source, out);
    if (st == PLN_OK)
        st = pln_tensor_materialize(*out, err);
    if (st != PLN_OK) {
        pln_tensor_unref(*out);
        *out = NULL;
    }
    pln_loader_end(&l);
    pln_buf_unref(source);
    return st;
}

/* ---- writing ----------------------------------------------------------------------- */

static const pln_blob nothing = { NULL, 0 };

static pln_status write_value(pln_writer *w, const pln_tensor *t, const char *name);

static int32_t elem_type_of(const pln_tensor *t)
{
    static const int32_t of[] = {
        [PLN_KIND_TENSOR] = OF_TENSOR, [PLN_KIND_SEQUENCE] = OF_SEQUENCE,
        [PLN_KIND_OPTIONAL] = OF_OPTIONAL, [PLN_KIND_MAP] = OF_MAP,
        [PLN_KIND_SPARSE] = OF_SPARSE,
    };
    return of[t->kind];
}

static pln_status write_field(pln_writer *w, uint32_t number, const pln_tensor *t)
{
    const pln_open_message m = pln_write_open(w, number);
    PLN_TRY(write_value(w, t, NULL));
    pln_write_close(w, m);
    return PLN_OK;
}

static pln_status write_sequence(pln_writer *w, const pln_tensor *t)
{
    const int32_t type = t->n_items ? elem_type_of(t->items[0]) : OF_TENSOR;
    pln_write_int(w, 2, type);
    for (size_t i = 0; i < t->n_items; i++) {
        if (elem_type_of(t->items[i]) != type)
            return pln_fail(w->err, PLN_E_USAGE,
                            "a sequence with items of several kinds");
        PLN_TRY(write_field(w, 2 + (uint32_t)type, t->items[i]));
    }
    return PLN_OK;
}

static pln_status write_keys(pln_writer *w, const pln_tensor *keys)
{
    const int64_t n = keys->kind == PLN_KIND_TENSOR ? pln_tensor_size(keys) : -1;
    pln_write_int(w, 2, keys->dtype);
    for (int64_t i = 0; i < n; i++) {
        const char *s;
        size_t len;
        if (keys->dtype != PLN_DT_STRING) {
            pln_write_int(w, 3, pln_tensor_get_i64(keys, i));
            continue;
        }
        PLN_TRY(pln_tensor_string(keys, i, &s, &len));
        pln_write_bytes(w, 4, s, len);
    }
    return n < 0 ? pln_fail(w->err, PLN_E_USAGE, "the keys of a map are no tensor")
                 : PLN_OK;
}

/* A vector of values goes out as a sequence of scalars. */
static pln_status write_scalars(pln_writer *w, const pln_tensor *t)
{
    const int64_t n = pln_tensor_size(t);
    pln_tensor *one;
    pln_write_int(w, 2, OF_TENSOR);
    for (int64_t i = 0; i < n; i++) {
        PLN_TRY(pln_tensor_make(w->alloc, (pln_dtype)t->dtype, 0, NULL, &one, w->err));
        if (t->dtype == PLN_DT_STRING)
            PLN_DATA(void *, one)[0] = NULL;
        pln_tensor_copy(one, 0, t, i, 1);
        const pln_open_message m = pln_write_open(w, 3);
        const pln_status st = pln_write_tensor(w, NULL, one, nothing);
        pln_write_close(w, m);
        pln_tensor_unref(one);
        PLN_TRY(st);
    }
    return PLN_OK;
}

static pln_status write_map(pln_writer *w, const pln_tensor *t)
{
    if (t->n_items != 2)
        return pln_fail(w->err, PLN_E_USAGE, "a map lacks keys or values");
    PLN_TRY(write_keys(w, t->items[0]));
    const pln_open_message m = pln_write_open(w, 5);
    PLN_TRY(t->items[1]->kind == PLN_KIND_TENSOR ? write_scalars(w, t->items[1])
                                                 : write_sequence(w, t->items[1]));
    pln_write_close(w, m);
    return PLN_OK;
}

static pln_status write_optional(pln_writer *w, const pln_tensor *t)
{
    const int32_t type = t->n_items ? elem_type_of(t->items[0]) : OF_NONE;
    pln_write_int(w, 2, type);
    return type ? write_field(w, 2 + (uint32_t)type, t->items[0]) : PLN_OK;
}

static pln_status write_value(pln_writer *w, const pln_tensor *t, const char *name)
{
    const bool tensor = t->kind == PLN_KIND_TENSOR;
    if (name)
        pln_write_cstr(w, tensor ? 8 : 1, name);
    switch (t->kind) {
    case PLN_KIND_TENSOR:
        return pln_write_tensor(w, NULL, t, nothing);
    case PLN_KIND_SEQUENCE:
        return write_sequence(w, t);
    case PLN_KIND_MAP:
        return write_map(w, t);
    case PLN_KIND_OPTIONAL:
        return write_optional(w, t);
    default:
        return pln_write_sparse(w, NULL, t, nothing);
    }
}

pln_status pln_value_write(const pln_allocator *a, const pln_tensor *t, const char *name,
                           void **data, size_t *len, pln_error *err)
{
    pln_writer w;
    *data = NULL;
    *len = 0;
    if (t->kind == PLN_KIND_NONE || t->kind > PLN_KIND_SPARSE)
        return pln_fail(err, PLN_E_USAGE, "a value without a kind can't be written");
    if (t->kind == PLN_KIND_SPARSE)
        name = NULL; /* its name is that of its values */
    pln_status st = pln_writer_begin(&w, a, err);
    if (st == PLN_OK)
        st = write_value(&w, t, name);
    if (st == PLN_OK && w.text.failed)
        st = pln_oom(err);
    if (st == PLN_OK)
        st = pln_writer_take(&w, a, data, len);
    pln_writer_end(&w);
    return st;
}
