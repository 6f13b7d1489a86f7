/* Tensors and types, as messages.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "proto/load.h"
#include "proto/save.h"
#include "src/util/size.h"

/* Tensors in an external file start at multiples of these (onnx asks for pages, so that
 * they can be mapped one by one; small ones would waste them). */
#define ALIGN_LARGE 4096u
#define ALIGN_SMALL 64u
#define LARGE_FROM  65536u

/* ---- elements ---------------------------------------------------------------------- */

/* Elements of less than a byte, which in memory are one a byte. */
static const void *pack_bits(pln_writer *w, const pln_tensor *t, size_t *len)
{
    const size_t n = (size_t)pln_tensor_size(t);
    *len = pln_packed_bytes((pln_dtype)t->dtype, n);
    unsigned char *out = pln_arena_alloc(w->arena, *len + 1);
    if (out)
        pln_pack_bits((pln_dtype)t->dtype, PLN_DATA(const unsigned char, t), n, out);
    return out;
}

/* Elements that are still in a typed field, as raw_data has them. */
static pln_status decoded_bytes(pln_writer *w, const pln_tensor *t, const void **data,
                                size_t *len)
{
    pln_tensor *plain;
    PLN_TRY(pln_tensor_make_raw(w->alloc, (pln_dtype)t->dtype, t->rank, t->dims, &t->raw,
                                &plain, w->err));
    pln_status st = pln_tensor_materialize(plain, w->err);
    if (st == PLN_OK) {
        *len = (size_t)pln_tensor_size(t) * pln_dtype_size((pln_dtype)t->dtype);
        *data = pln_dtype_bits((pln_dtype)t->dtype) < 8
                    ? pack_bits(w, plain, len)
                    : pln_arena_dup(w->arena, plain->data, *len);
        if (!*data)
            st = pln_oom(w->err);
    }
    pln_tensor_unref(plain);
    return st;
}

/* The elements as raw_data has them, where they are. */
static pln_status raw_bytes(pln_writer *w, const pln_tensor *t, const void **data,
                            size_t *len)
{
    if (t->raw.data && pln_typed_field_of(t))
        return decoded_bytes(w, t, data, len);
    if (t->raw.data) {
        *data = t->raw.data;
        *len = t->raw.size;
        return PLN_OK;
    }
    if (pln_dtype_bits((pln_dtype)t->dtype) < 8) {
        *data = pack_bits(w, t, len);
        return *data ? PLN_OK : pln_oom(w->err);
    }
    *data = t->data;
    *len = (size_t)pln_tensor_size(t) * pln_dtype_size((pln_dtype)t->dtype);
    return PLN_OK;
}

static void entry(pln_writer *w, const char *key, const char *value)
{
    const pln_open_message m = pln_write_open(w, 13);
    pln_write_cstr(w, 1, key);
    pln_write_cstr(w, 2, value);
    pln_write_close(w, m);
}

static void write_place(pln_writer *w, const char *location, uint64_t offset,
                        uint64_t len)
{
    char number[32];
    entry(w, "location", location);
    snprintf(number, sizeof number, "%llu", (unsigned long long)offset);
    entry(w, "offset", number);
    snprintf(number, sizeof number, "%llu", (unsigned long long)len);
    entry(w, "length", number);
    pln_write_int(w, 14, 1); /* EXTERNAL */
}

static pln_status put_outside(pln_writer *w, const void *data, size_t len)
{
    const size_t align = len >= LARGE_FROM ? ALIGN_LARGE : ALIGN_SMALL;
    const uint64_t offset = (w->outside_size + align - 1) & ~(uint64_t)(align - 1);
    if (!pln_grow(w->alloc, (void **)&w->outside, &w->cap_outside, w->n_outside + 1,
                  sizeof *w->outside))
        return pln_oom(w->err);
    w->outside[w->n_outside++] = (pln_outside){ data, len, offset };
    w->outside_size = offset + len;
    write_place(w, w->location, offset, len);
    return PLN_OK;
}

static size_t raw_size(const pln_tensor *t)
{
    return pln_packed_bytes((pln_dtype)t->dtype, (size_t)pln_tensor_size(t));
}

static pln_status write_strings(pln_writer *w, const pln_tensor *t)
{
    const int64_t n = pln_tensor_size(t);
    for (int64_t i = 0; i < n; i++) {
        const char *s;
        size_t len;
        PLN_TRY(pln_tensor_string(t, i, &s, &len));
        pln_write_bytes(w, 6, s, len);
    }
    return PLN_OK;
}

static pln_status write_elements(pln_writer *w, const pln_tensor *t)
{
    const void *data = NULL;
    size_t len = 0;
    if (t->dtype == PLN_DT_STRING)
        return write_strings(w, t);
    if (w->keep_external && t->external) {
        write_place(w, t->external->location, t->external->offset, t->external->length);
        return PLN_OK;
    }
    if (pln_tensor_size(t) == 0)
        return PLN_OK; /* raw_data that was there and empty is in the rest */
    const bool outside = w->location && raw_size(t) >= w->threshold;
    const uint32_t typed = t->raw.data ? pln_typed_field_of(t) : 0;
    if (typed && !outside) {
        pln_write_large(w, typed, t->raw.data, t->raw.size);
        return PLN_OK;
    }
    PLN_TRY(raw_bytes(w, t, &data, &len));
    if (outside)
        return put_outside(w, data, len);
    pln_write_large(w, 9, data, len);
    return PLN_OK;
}

/* ---- messages ---------------------------------------------------------------------- */

pln_status pln_write_tensor(pln_writer *w, const char *name, const pln_tensor *t,
                            pln_blob rest)
{
    static const uint32_t places[] = { 13, 0 };
    const bool kept = w->keep_external && t->external;
    if (rest.len)
        pln_write_rest(w, rest, kept ? NULL : places);
    for (int i = 0; i < t->rank; i++)
        pln_write_int(w, 1, t->dims[i]);
    pln_write_int(w, 2, t->dtype);
    if (name)
        pln_write_name(w, 8, name);
    return write_elements(w, t);
}

static pln_status write_part(pln_writer *w, uint32_t number, const char *name,
                             const pln_tensor *t, pln_blob rest)
{
    pln_blob part;
    pln_rest_field(rest, number, 0, &part);
    const pln_open_message m = pln_write_open(w, number);
    PLN_TRY(pln_write_tensor(w, name, t, part));
    pln_write_close(w, m);
    return PLN_OK;
}

pln_status pln_write_sparse(pln_writer *w, const char *name, const pln_tensor *t,
                            pln_blob rest)
{
    static const uint32_t parts[] = { 1, 2, 0 };
    if (t->n_items != 2)
        return pln_fail(w->err, PLN_E_USAGE, "a sparse tensor lacks values or indices");
    pln_write_rest(w, rest, parts);
    PLN_TRY(write_part(w, 1, name, t->items[0], rest));
    PLN_TRY(write_part(w, 2, NULL, t->items[1], rest));
    for (int i = 0; i < t->rank; i++)
        pln_write_int(w, 3, t->dims[i]);
    return PLN_OK;
}

static void write_dim(pln_writer *w, pln_dim d)
{
    const pln_open_message m = pln_write_open(w, 1);
    if (pln_dim_is_known(d)) {
        pln_write_int(w, 1, d.value);
    } else if (!pln_dim_is_unknown(d)) {
        pln_text text;
        pln_text_init(&text, w->alloc);
        pln_dim_print(&text, d);
        w->text.failed |= text.failed;
        pln_write_bytes(w, 2, text.data, text.len);
        pln_text_done(&text);
    }
    pln_write_close(w, m);
}

static void write_tensor_type(pln_writer *w, uint32_t number, const pln_type *t)
{
    const pln_open_message m = pln_write_open(w, number);
    if (t->dtype != PLN_DT_NONE)
        pln_write_int(w, 1, t->dtype);
    if (t->shape.rank >= 0) {
        const pln_open_message shape = pln_write_open(w, 2);
        for (int i = 0; i < t->shape.rank; i++)
            write_dim(w, t->shape.dims[i]);
        pln_write_close(w, shape);
    }
    pln_write_close(w, m);
}

static void write_element(pln_writer *w, uint32_t number, const pln_type *t)
{
    if (!t->elem)
        return;
    const pln_open_message m = pln_write_open(w, number);
    pln_write_type(w, t->elem);
    pln_write_close(w, m);
}

void pln_write_type(pln_writer *w, const pln_type *t)
{
    if (t->kind == PLN_KIND_TENSOR || t->kind == PLN_KIND_SPARSE) {
        write_tensor_type(w, t->kind == PLN_KIND_TENSOR ? 1 : 8, t);
    } else if (t->kind == PLN_KIND_SEQUENCE || t->kind == PLN_KIND_OPTIONAL) {
        const pln_open_message m =
            pln_write_open(w, t->kind == PLN_KIND_SEQUENCE ? 4 : 9);
        write_element(w, 1, t);
        pln_write_close(w, m);
    } else if (t->kind == PLN_KIND_MAP) {
        const pln_open_message m = pln_write_open(w, 5);
        pln_write_int(w, 1, t->dtype);
        write_element(w, 2, t);
        pln_write_close(w, m);
    }
    if (t->denotation)
        pln_write_name(w, 6, t->denotation);
}
