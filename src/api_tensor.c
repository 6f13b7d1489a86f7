/* Tensors and other values of the public interface.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "proto/value.h"
#include "src/ir/env.h"
#include "src/ir/tensor.h"
#include "src/util/size.h"

static const pln_allocator *allocator_of(const pln_env *env)
{
    return pln_env_allocator(env);
}

static pln_status check_shape(pln_dtype dt, int rank, const int64_t *dims, size_t *bytes,
                              pln_error *err)
{
    if ((unsigned)dt >= PLN_DT_COUNT || dt == PLN_DT_NONE)
        return pln_fail(err, PLN_E_USAGE, "there is no element type %d", (int)dt);
    if (rank < 0 || rank > PLN_MAX_RANK || (rank && !dims))
        return pln_fail(err, PLN_E_USAGE, "rank %d is not in [0, %d]", rank,
                        PLN_MAX_RANK);
    for (int i = 0; i < rank; i++)
        if (dims[i] < 0)
            return pln_fail(err, PLN_E_USAGE, "dimension %d is %lld", i,
                            (long long)dims[i]);
    if (!pln_dims_bytes(dt, rank, dims, bytes))
        return pln_fail(err, PLN_E_LIMIT, "the tensor is too large");
    return PLN_OK;
}

PLN_API pln_status pln_tensor_new(pln_env *env, pln_dtype dt, int rank,
                                  const int64_t *dims, pln_tensor **out, pln_error *err)
{
    size_t bytes;
    pln_error_clear(err);
    if (!out)
        return pln_fail(err, PLN_E_USAGE, "pln_tensor_new: no place for the tensor");
    *out = NULL;
    PLN_TRY(check_shape(dt, rank, dims, &bytes, err));
    if (env && bytes > env->limits.tensor_bytes)
        return pln_fail(err, PLN_E_LIMIT, "the tensor has %zu bytes, the limit is %llu",
                        bytes, (unsigned long long)env->limits.tensor_bytes);
    PLN_TRY(pln_tensor_make(allocator_of(env), dt, rank, dims, out, err));
    if (bytes)
        memset((*out)->data, 0, bytes);
    return PLN_OK;
}

PLN_API pln_status pln_tensor_view(pln_env *env, pln_dtype dt, int rank,
                                   const int64_t *dims, void *data, size_t bytes,
                                   pln_release_fn release, void *user, pln_tensor **out,
                                   pln_error *err)
{
    size_t need;
    pln_error_clear(err);
    if (!out)
        return pln_fail(err, PLN_E_USAGE, "pln_tensor_view: no place for the tensor");
    *out = NULL;
    PLN_TRY(check_shape(dt, rank, dims, &need, err));
    if (dt == PLN_DT_STRING)
        return pln_fail(err, PLN_E_USAGE, "strings can't be viewed");
    const size_t size = pln_dtype_size(dt), align = size > 8 ? 8 : size;
    if (bytes != need || (need && (!data || (uintptr_t)data % align)))
        return pln_fail(err, PLN_E_USAGE,
                        "%zu bytes at %p can't be a tensor of %zu bytes aligned to %zu",
                        bytes, data, need, align);
    const pln_allocator *a = allocator_of(env);
    pln_buf *buf = pln_buf_wrap(a, data, bytes, release, user);
    if (!buf)
        return pln_oom(err);
    buf->writable = true;
    const pln_raw raw = { .buf = buf, .data = data, .size = bytes };
    const pln_status st = pln_tensor_make_raw(a, dt, rank, dims, &raw, out, err);
    if (st == PLN_OK) { /* the elements are where they belong: nothing to bring in */
        (*out)->raw = (pln_raw){ 0 };
        (*out)->buf = buf; /* with the reference that raw had */
        (*out)->data = data;
    } else {
        buf->user_release = NULL; /* the memory stays the caller's when the call fails */
    }
    pln_buf_unref(buf);
    return st;
}

PLN_API pln_kind pln_tensor_kind(const pln_tensor *t)
{
    return t ? (pln_kind)t->kind : PLN_KIND_NONE;
}

PLN_API pln_dtype pln_tensor_dtype(const pln_tensor *t)
{
    return t ? (pln_dtype)t->dtype : PLN_DT_NONE;
}

PLN_API int pln_tensor_rank(const pln_tensor *t)
{
    return t ? t->rank : 0;
}

PLN_API const int64_t *pln_tensor_dims(const pln_tensor *t)
{
    return t ? t->dims : NULL;
}

PLN_API int64_t pln_tensor_count(const pln_tensor *t)
{
    return t && t->kind == PLN_KIND_TENSOR ? pln_tensor_size(t) : 0;
}

PLN_API const void *pln_tensor_data_const(const pln_tensor *t)
{
    return t && t->kind == PLN_KIND_TENSOR && t->dtype != PLN_DT_STRING ? t->data : NULL;
}

PLN_API void *pln_tensor_data(pln_tensor *t)
{
    return (void *)(uintptr_t)pln_tensor_data_const(t);
}

static pln_status want_strings(const pln_tensor *t, pln_error *err)
{
    if (t && t->kind == PLN_KIND_TENSOR && t->dtype == PLN_DT_STRING)
        return PLN_OK;
    return pln_fail(err, PLN_E_USAGE, "a tensor of strings is wanted");
}

static pln_status measure_strings(const pln_tensor *t, uint64_t *ends, size_t *size,
                                  pln_error *err)
{
    const char *text;
    size_t len;
    *size = 0;
    for (int64_t i = 0; i < pln_tensor_size(t); i++) {
        PLN_TRY(pln_tensor_string(t, i, &text, &len));
        if (!pln_size_add(size, *size, len))
            return pln_fail(err, PLN_E_LIMIT, "the strings are too long together");
        ends[i] = *size;
    }
    return PLN_OK;
}

PLN_API pln_status pln_tensor_get_strings(const pln_tensor *t, char **bytes,
                                          uint64_t *ends, pln_error *err)
{
    size_t size, at = 0, len;
    const char *text;
    pln_error_clear(err);
    if (bytes)
        *bytes = NULL;
    PLN_TRY(want_strings(t, err));
    if (!bytes || (!ends && pln_tensor_size(t)))
        return pln_fail(err, PLN_E_USAGE, "pln_tensor_get_strings: no place for them");
    PLN_TRY(measure_strings(t, ends, &size, err));
    *bytes = pln_alloc(NULL, size + !size);
    if (!*bytes)
        return pln_oom(err);
    for (int64_t i = 0; i < pln_tensor_size(t); i++, at += len) {
        PLN_TRY(pln_tensor_string(t, i, &text, &len));
        memcpy(*bytes + at, text, len);
    }
    return PLN_OK;
}

PLN_API pln_status pln_tensor_put_strings(pln_tensor *t, const char *bytes,
                                          const uint64_t *ends, pln_error *err)
{
    uint64_t at = 0;
    pln_error_clear(err);
    PLN_TRY(want_strings(t, err));
    const int64_t n = pln_tensor_size(t);
    if (n && (!ends || (!bytes && ends[n - 1])))
        return pln_fail(err, PLN_E_USAGE, "pln_tensor_put_strings: no bytes or no ends");
    for (int64_t i = 0; i < n; at = ends[i++]) {
        if (ends[i] < at)
            return pln_fail(err, PLN_E_USAGE, "string %lld ends before it begins",
                            (long long)i);
        const pln_status st =
            pln_tensor_set_string(t, i, bytes + at, (size_t)(ends[i] - at));
        if (st != PLN_OK)
            return st == PLN_E_NOMEM ? pln_oom(err)
                                     : pln_fail(err, st, "string %lld is too long",
                                                (long long)i);
    }
    return PLN_OK;
}

PLN_API pln_status pln_tensor_new_container(pln_env *env, pln_kind kind, pln_tensor **out,
                                            pln_error *err)
{
    pln_error_clear(err);
    if (!out)
        return pln_fail(err, PLN_E_USAGE, "pln_tensor_new_container: no place for it");
    *out = NULL;
    if (kind != PLN_KIND_SEQUENCE && kind != PLN_KIND_OPTIONAL && kind != PLN_KIND_MAP &&
        kind != PLN_KIND_SPARSE)
        return pln_fail(err, PLN_E_USAGE, "kind %d is no container", (int)kind);
    return pln_tensor_make_container(allocator_of(env), kind, out) == PLN_OK
               ? PLN_OK
               : pln_oom(err);
}

PLN_API size_t pln_tensor_items(const pln_tensor *t)
{
    return t ? t->n_items : 0;
}

PLN_API pln_tensor *pln_tensor_item(const pln_tensor *t, size_t i)
{
    return t && i < t->n_items ? t->items[i] : NULL;
}

static const pln_limits default_limits = {
    .file_bytes = UINT64_MAX,
    .tensor_bytes = UINT64_C(64) << 30,
    .run_bytes = UINT64_C(64) << 30,
    .nodes = 10000000,
    .depth = 64,
};

PLN_API pln_status pln_tensor_parse(pln_env *env, pln_kind kind, const void *data,
                                    size_t len, pln_tensor **out, pln_error *err)
{
    pln_error_clear(err);
    if (!out)
        return pln_fail(err, PLN_E_USAGE, "pln_tensor_parse: no place for the value");
    *out = NULL;
    if (kind <= PLN_KIND_NONE || kind > PLN_KIND_SPARSE || (len && !data))
        return pln_fail(err, PLN_E_USAGE, "pln_tensor_parse: no data, or kind %d",
                        (int)kind);
    return pln_value_read(allocator_of(env), env ? &env->limits : &default_limits, kind,
                          data, len, out, err);
}

PLN_API pln_status pln_tensor_serialize(pln_env *env, const pln_tensor *t,
                                        const char *name, void **data, size_t *len,
                                        pln_error *err)
{
    pln_error_clear(err);
    if (!t || !data || !len)
        return pln_fail(err, PLN_E_USAGE, "pln_tensor_serialize: NULL argument");
    return pln_value_write(allocator_of(env), t, name, data, len, err);
}
