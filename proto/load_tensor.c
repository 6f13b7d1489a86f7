/* Tensors, from their messages: checked here, brought into memory form when they are
 * used.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "proto/load.h"
#include "proto/wire.h"
#include "src/util/size.h"

enum { FLOAT_DATA = 4, INT32_DATA = 5, STRING_DATA = 6, INT64_DATA = 7, RAW_DATA = 9,
       DOUBLE_DATA = 10, UINT64_DATA = 11 };

/* The typed field that serves an element type. */
static uint32_t typed_field(pln_dtype dt)
{
    switch (dt) {
    case PLN_DT_F32:
    case PLN_DT_C64:
        return FLOAT_DATA;
    case PLN_DT_F64:
    case PLN_DT_C128:
        return DOUBLE_DATA;
    case PLN_DT_S64:
        return INT64_DATA;
    case PLN_DT_U32:
    case PLN_DT_U64:
        return UINT64_DATA;
    case PLN_DT_STRING:
        return STRING_DATA;
    default:
        return INT32_DATA;
    }
}

/* Entries of a typed field for n elements: complex numbers take two; 4-bit and 2-bit ones
 * are packed to bytes, 6-bit ones are not. */
static size_t typed_entries(pln_dtype dt, size_t n)
{
    const unsigned bits = pln_dtype_bits(dt);
    if (pln_dtype_is_complex(dt))
        return 2 * n;
    return bits == 4 || bits == 2 ? pln_packed_bytes(dt, n) : n;
}

/* ---- decoding ---------------------------------------------------------------------- */

static void spread_bits(pln_tensor *t, size_t entry, unsigned byte)
{
    const unsigned bits = pln_dtype_bits((pln_dtype)t->dtype), per = 8 / bits;
    const unsigned mask = (1u << bits) - 1;
    const bool extend = pln_dtype_is_integer((pln_dtype)t->dtype) &&
                        pln_dtype_is_signed((pln_dtype)t->dtype);
    const size_t n = (size_t)pln_tensor_size(t);
    for (unsigned k = 0; k < per && entry * per + k < n; k++) {
        unsigned v = byte >> (bits * k) & mask;
        if (extend && v >> (bits - 1))
            v |= ~mask;
        PLN_DATA(unsigned char, t)[entry * per + k] = (unsigned char)v;
    }
}

/* Entry i of a typed integer field; what is too wide loses its high bits, as in NumPy. */
static void store_entry(pln_tensor *t, size_t i, uint64_t v)
{
    const pln_dtype dt = (pln_dtype)t->dtype;
    const size_t size = pln_dtype_size(dt);
    if (pln_dtype_bits(dt) < 8) {
        spread_bits(t, i, (unsigned)(v & 0xff));
        return;
    }
    if (dt == PLN_DT_BOOL)
        v = v != 0;
    unsigned char *at = PLN_DATA(unsigned char, t) + i * size;
    const uint32_t v32 = (uint32_t)v;
    const uint16_t v16 = (uint16_t)v;
    const uint8_t v8 = (uint8_t)v;
    const void *from = size == 8   ? (const void *)&v
                       : size == 4 ? (const void *)&v32
                       : size == 2 ? (const void *)&v16
                                   : (const void *)&v8;
    memcpy(at, from, size);
}

static pln_status decode_varints(const pln_raw *raw, pln_tensor *t, pln_error *err)
{
    pln_wire w = { raw->data, raw->data + raw->size };
    uint64_t v;
    for (size_t i = 0; w.p < w.end; i++) {
        if (!pln_wire_varint(&w, &v))
            return pln_fail(err, PLN_E_FORMAT, "a typed field is malformed");
        store_entry(t, i, v);
    }
    return PLN_OK;
}

/* A typed field of floats has the bytes of raw_data: a function of its own keeps apart
 * what came from which, so that it is written as it came. */
static pln_status decode_floats(const pln_raw *raw, pln_tensor *t, pln_error *err)
{
    memcpy(t->data, raw->data, raw->size);
    return PLN_OK;
}

uint32_t pln_typed_field_of(const pln_tensor *t)
{
    const bool typed = t->raw.decode == decode_varints || t->raw.decode == decode_floats;
    return typed ? typed_field((pln_dtype)t->dtype) : 0;
}

/* Every byte but 0 is true; kernels count on 1. */
static pln_status decode_bools(const pln_raw *raw, pln_tensor *t, pln_error *err)
{
    for (size_t i = 0; i < raw->size; i++)
        PLN_DATA(unsigned char, t)[i] = raw->data[i] != 0;
    return PLN_OK;
}

static bool count_varints(const unsigned char *p, size_t len, size_t *count)
{
    pln_wire w = { p, p + len };
    uint64_t v;
    size_t n = 0;
    for (; w.p < w.end; n++)
        if (!pln_wire_varint(&w, &v))
            return false;
    *count = n;
    return true;
}

/* ---- one tensor -------------------------------------------------------------------- */

typedef struct source {
    const Onnx__TensorProto *p;
    pln_dtype dt;
    int rank;
    size_t n; /* elements */
    pln_cut cut;
    bool has_cut;
} source;

static pln_status check_shape(pln_loader *l, const Onnx__TensorProto *p, source *s)
{
    size_t bytes;
    int64_t n;
    if (p->segment)
        return pln_fail(l->err, PLN_E_UNSUPPORTED,
                        "tensors in segments are not supported");
    if (p->data_type <= PLN_DT_NONE || p->data_type >= PLN_DT_COUNT)
        return pln_fail(l->err, PLN_E_FORMAT, "element type %d is unknown", p->data_type);
    if (p->n_dims > PLN_MAX_RANK)
        return pln_fail(l->err, PLN_E_LIMIT, "rank %zu is over %d", p->n_dims,
                        PLN_MAX_RANK);
    s->dt = (pln_dtype)p->data_type;
    s->rank = (int)p->n_dims;
    for (int i = 0; i < s->rank; i++)
        if (p->dims[i] < 0)
            return pln_fail(l->err, PLN_E_FORMAT, "dimension %d is %lld", i,
                            (long long)p->dims[i]);
    if (!pln_dims_count(s->rank, p->dims, &n) ||
        !pln_dims_bytes(s->dt, s->rank, p->dims, &bytes) ||
        bytes > l->limits->tensor_bytes)
        return pln_fail(l->err, PLN_E_LIMIT, "the tensor is larger than %llu bytes",
                        (unsigned long long)l->limits->tensor_bytes);
    s->n = (size_t)n;
    return PLN_OK;
}

static pln_status wrong_size(pln_loader *l, const source *s, const char *what,
                             size_t have, size_t need)
{
    char shape[256];
    size_t len = 0;
    shape[0] = '\0';
    for (int i = 0; i < s->rank && len < sizeof shape - 24; i++)
        len += (size_t)snprintf(shape + len, sizeof shape - len, i ? ",%lld" : "%lld",
                                (long long)s->p->dims[i]);
    return pln_fail(l->err, PLN_E_FORMAT, "%zu %s, but %s[%s] needs %zu", have, what,
                    pln_dtype_name(s->dt), shape, need);
}

static pln_status make_raw(pln_loader *l, const source *s, pln_raw raw, pln_tensor **out)
{
    if (s->n == 0)
        return pln_tensor_make(l->alloc, s->dt, s->rank, s->p->dims, out, l->err);
    return pln_tensor_make_raw(l->alloc, s->dt, s->rank, s->p->dims, &raw, out, l->err);
}

static pln_status from_raw_bytes(pln_loader *l, const source *s, pln_buf *buf,
                                 const unsigned char *data, size_t len, const char *what,
                                 pln_tensor **out)
{
    if (s->dt == PLN_DT_STRING)
        return pln_fail(l->err, PLN_E_FORMAT, "strings can't be raw bytes");
    const size_t need = pln_packed_bytes(s->dt, s->n);
    if (len != need)
        return wrong_size(l, s, what, len, need);
    pln_raw raw = { .buf = buf, .data = data, .size = len };
    if (s->dt == PLN_DT_BOOL)
        raw.decode = decode_bools;
    return make_raw(l, s, raw, out);
}

static pln_status from_cut(pln_loader *l, const source *s, pln_tensor **out)
{
    const pln_cut *c = &s->cut;
    if (c->field == RAW_DATA)
        return from_raw_bytes(l, s, l->source, c->data, c->len, "bytes of raw_data", out);
    if (c->field != typed_field(s->dt))
        return pln_fail(l->err, PLN_E_FORMAT, "%s elements are in the wrong typed field",
                        pln_dtype_name(s->dt));
    pln_raw raw = { .buf = l->source, .data = c->data, .size = c->len,
                    .decode = decode_floats };
    const size_t need = typed_entries(s->dt, s->n);
    size_t have = c->len / (c->field == FLOAT_DATA ? 4 : 8);
    if (c->field != FLOAT_DATA && c->field != DOUBLE_DATA) {
        raw.decode = decode_varints;
        if (!count_varints(c->data, c->len, &have))
            return pln_fail(l->err, PLN_E_FORMAT, "a typed field is malformed");
    }
    if (have != need)
        return wrong_size(l, s, "entries in a typed field", have, need);
    return make_raw(l, s, raw, out);
}

static pln_status strings(pln_loader *l, const source *s, pln_tensor **out)
{
    const Onnx__TensorProto *p = s->p;
    if (p->n_string_data != s->n)
        return wrong_size(l, s, "strings", p->n_string_data, s->n);
    PLN_TRY(pln_tensor_make(l->alloc, s->dt, s->rank, p->dims, out, l->err));
    for (size_t i = 0; i < s->n; i++)
        if (pln_tensor_set_string(*out, (int64_t)i, (const char *)p->string_data[i].data,
                                  p->string_data[i].len) != PLN_OK) {
            pln_tensor_unref(*out);
            *out = NULL;
            return pln_oom(l->err);
        }
    return PLN_OK;
}

/* Typed data that protobuf-c has put together, since it came in pieces. */
static pln_status from_arrays(pln_loader *l, const source *s, pln_tensor **out)
{
    const Onnx__TensorProto *p = s->p;
    const uint32_t field = typed_field(s->dt);
    const size_t have = field == FLOAT_DATA    ? p->n_float_data
                        : field == DOUBLE_DATA ? p->n_double_data
                        : field == INT64_DATA  ? p->n_int64_data
                        : field == UINT64_DATA ? p->n_uint64_data
                                               : p->n_int32_data;
    const size_t need = typed_entries(s->dt, s->n);
    if (have != need)
        return wrong_size(l, s, "elements", have, need);
    PLN_TRY(pln_tensor_make(l->alloc, s->dt, s->rank, p->dims, out, l->err));
    if (field == FLOAT_DATA && need)
        memcpy((*out)->data, p->float_data, need * sizeof(float));
    if (field == DOUBLE_DATA && need)
        memcpy((*out)->data, p->double_data, need * sizeof(double));
    for (size_t i = 0; i < need && field != FLOAT_DATA && field != DOUBLE_DATA; i++)
        store_entry(*out, i,
                    field == INT64_DATA    ? (uint64_t)p->int64_data[i]
                    : field == UINT64_DATA ? p->uint64_data[i]
                                           : (uint64_t)(int64_t)p->int32_data[i]);
    return PLN_OK;
}

/* ---- external data ----------------------------------------------------------------- */

static bool key_is(ProtobufCBinaryData key, const char *name)
{
    return key.len == strlen(name) && !memcmp(key.data, name, key.len);
}

/* Digits only: no sign, no blanks, no overflow. */
static bool parse_decimal(ProtobufCBinaryData text, uint64_t *out)
{
    uint64_t v = 0;
    for (size_t i = 0; i < text.len; i++) {
        const unsigned d = text.data[i] - (unsigned)'0';
        if (d > 9 || __builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, d, &v))
            return false;
    }
    *out = v;
    return text.len > 0;
}

typedef struct place {
    ProtobufCBinaryData location;
    uint64_t offset, length;
    bool has_length;
} place;

static pln_status read_place(pln_loader *l, const Onnx__TensorProto *p, place *at)
{
    *at = (place){ 0 };
    for (size_t i = 0; i < p->n_external_data; i++) {
        const Onnx__StringStringEntryProto *e = p->external_data[i];
        bool ok = true;
        if (key_is(e->key, "location")) {
            at->location = e->value;
        } else if (key_is(e->key, "offset")) {
            ok = parse_decimal(e->value, &at->offset);
        } else if (key_is(e->key, "length")) {
            ok = parse_decimal(e->value, &at->length);
            at->has_length = true;
        } else if (!key_is(e->key, "checksum") && !key_is(e->key, "basepath")) {
            return pln_fail(l->err, PLN_E_FORMAT,
                            "external data has an unknown key '%.*s'",
                            PLN_PRBYTES(e->key));
        }
        if (!ok)
            return pln_fail(l->err, PLN_E_FORMAT, "external data has %.*s '%.*s'",
                            PLN_PRBYTES(e->key), PLN_PRBYTES(e->value));
    }
    return at->location.len
               ? PLN_OK
               : pln_fail(l->err, PLN_E_FORMAT, "external data has no location");
}

static pln_status remember_place(pln_loader *l, const place *at, pln_tensor *t)
{
    pln_external *x = pln_alloc(l->alloc, sizeof *x + at->location.len + 1);
    if (!x)
        return pln_oom(l->err);
    char *location = (char *)(x + 1);
    memcpy(location, at->location.data, at->location.len);
    location[at->location.len] = '\0';
    *x = (pln_external){ location, at->offset, at->length };
    t->external = x;
    return PLN_OK;
}

static pln_status from_external(pln_loader *l, const source *s, pln_tensor **out)
{
    place at;
    pln_buf *buf;
    PLN_TRY(read_place(l, s->p, &at));
    if (s->dt == PLN_DT_STRING)
        return pln_fail(l->err, PLN_E_FORMAT, "strings can't be external");
    if (!at.has_length)
        at.length = pln_packed_bytes(s->dt, s->n);
    PLN_TRY(pln_external_open(&l->external, (const char *)at.location.data,
                              at.location.len, &buf, l->err));
    if (at.offset > buf->size || at.length > buf->size - at.offset)
        return pln_fail(l->err, PLN_E_FORMAT,
                        "external data '%.*s' has %zu bytes, but %llu at %llu are wanted",
                        PLN_PRBYTES(at.location), buf->size,
                        (unsigned long long)at.length, (unsigned long long)at.offset);
    PLN_TRY(from_raw_bytes(l, s, buf, buf->data + at.offset, (size_t)at.length,
                           "bytes of external data", out));
    return remember_place(l, &at, *out);
}

/* ---- all of it --------------------------------------------------------------------- */

static unsigned count_sources(const source *s)
{
    const Onnx__TensorProto *p = s->p;
    return (unsigned)s->has_cut + (p->n_float_data > 0) + (p->n_int32_data > 0) +
           (p->n_int64_data > 0) + (p->n_double_data > 0) + (p->n_uint64_data > 0) +
           (p->n_string_data > 0);
}

static pln_status load_elements(pln_loader *l, source *s, pln_tensor **out)
{
    const Onnx__TensorProto *p = s->p;
    pln_cut other;
    s->has_cut = pln_load_take_cut(l, (ProtobufCMessage *)(uintptr_t)p, PLN_FIELD_DATA,
                                   &s->cut);
    const bool twice = pln_load_take_cut(l, (ProtobufCMessage *)(uintptr_t)p,
                                         PLN_FIELD_DATA, &other);
    const unsigned n = count_sources(s);
    const bool external = p->has_data_location &&
                          p->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    if (twice || n > 1 || (external && n))
        return pln_fail(l->err, PLN_E_FORMAT, "the elements are there more than once");
    if (external)
        return from_external(l, s, out);
    if (s->has_cut)
        return from_cut(l, s, out);
    if (p->has_raw_data && s->dt != PLN_DT_STRING && n == 0)
        return from_raw_bytes(l, s, l->source, p->raw_data.data, p->raw_data.len,
                              "bytes of raw_data", out);
    return s->dt == PLN_DT_STRING ? strings(l, s, out) : from_arrays(l, s, out);
}

/* Clears what the tensor holds, so that packing the message gives what it does not. */
static void strip(Onnx__TensorProto *p)
{
    p->n_dims = 0;
    p->has_data_type = 0;
    p->n_float_data = p->n_int32_data = p->n_int64_data = 0;
    p->n_double_data = p->n_uint64_data = p->n_string_data = 0;
    p->has_raw_data = p->has_raw_data && !p->raw_data.len; /* there, and empty */
    if (p->has_data_location) {
        size_t kept = 0;
        for (size_t i = 0; i < p->n_external_data; i++)
            if (key_is(p->external_data[i]->key, "checksum"))
                p->external_data[kept++] = p->external_data[i];
        p->n_external_data = kept;
        p->has_data_location =
            p->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__DEFAULT;
    }
}

pln_status pln_load_tensor(pln_loader *l, Onnx__TensorProto *p, pln_tensor **out)
{
    source s = { .p = p };
    *out = NULL;
    pln_status st = check_shape(l, p, &s);
    if (st == PLN_OK)
        st = load_elements(l, &s, out);
    if (st != PLN_OK) {
        pln_tensor_unref(*out);
        *out = NULL;
        if (!p->has_name || !p->name.len)
            return st;
        char name[128];
        snprintf(name, sizeof name, "%.*s", PLN_PRBYTES(p->name));
        pln_error_set(l->err, "tensor", name);
        return pln_fail_prefix(l->err, st, "tensor '%s'", name);
    }
    strip(p);
    return PLN_OK;
}
