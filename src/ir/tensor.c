/* Run-time values: making, sharing, bringing into memory form.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/ir/tensor.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "src/util/size.h"

bool pln_dims_count(int rank, const int64_t *dims, int64_t *count)
{
    int64_t n = 1;
    bool zero = false;
    for (int i = 0; i < rank; i++) {
        if (dims[i] < 0)
            return false;
        zero |= dims[i] == 0;
    }
    for (int i = 0; i < rank && !zero; i++)
        if (!pln_i64_mul(&n, n, dims[i]))
            return false;
    *count = zero ? 0 : n;
    return true;
}

bool pln_dims_bytes(pln_dtype dt, int rank, const int64_t *dims, size_t *bytes)
{
    int64_t n;
    return pln_dims_count(rank, dims, &n) &&
           pln_size_mul(bytes, (size_t)n, pln_dtype_size(dt)) &&
           *bytes <= (size_t)INT64_MAX;
}

static pln_tensor *new_tensor(const pln_allocator *a, pln_kind kind)
{
    pln_tensor *t = pln_calloc(a, 1, sizeof *t);
    if (!t)
        return NULL;
    atomic_init(&t->refs, 1);
    t->alloc = a;
    t->kind = (uint8_t)kind;
    return t;
}

/* Header only; checks rank and dims. */
static pln_status new_dense(const pln_allocator *a, pln_dtype dt, int rank,
                            const int64_t *dims, size_t *bytes, pln_tensor **out,
                            pln_error *err)
{
    *out = NULL;
    if (rank < 0 || rank > PLN_MAX_RANK)
        return pln_fail(err, PLN_E_LIMIT, "rank %d is over %d", rank, PLN_MAX_RANK);
    if ((unsigned)dt >= PLN_DT_COUNT || dt == PLN_DT_NONE)
        return pln_fail(err, PLN_E_FORMAT, "element type %d is unknown", (int)dt);
    if (!pln_dims_bytes(dt, rank, dims, bytes))
        return pln_fail(err, PLN_E_LIMIT, "a %s tensor of rank %d is too large or has a "
                        "negative dimension", pln_dtype_name(dt), rank);
    pln_tensor *t = new_tensor(a, PLN_KIND_TENSOR);
    if (!t)
        return pln_oom(err);
    t->dtype = (uint8_t)dt;
    t->rank = rank;
    if (rank)
        memcpy(t->dims, dims, (size_t)rank * sizeof *dims);
    *out = t;
    return PLN_OK;
}

pln_status pln_tensor_make(const pln_allocator *a, pln_dtype dt, int rank,
                           const int64_t *dims, pln_tensor **out, pln_error *err)
{
    size_t bytes = 0;
    pln_tensor *t;
    *out = NULL;
    PLN_TRY(new_dense(a, dt, rank, dims, &bytes, &t, err));
    t->buf = pln_buf_new(a, bytes);
    if (!t->buf) {
        pln_tensor_unref(t);
        return pln_oom(err);
    }
    t->data = t->buf->data;
    if (dt == PLN_DT_STRING)
        memset(t->data, 0, bytes);
    *out = t;
    return PLN_OK;
}

pln_status pln_tensor_make_raw(const pln_allocator *a, pln_dtype dt, int rank,
                               const int64_t *dims, const pln_raw *raw, pln_tensor **out,
                               pln_error *err)
{
    size_t bytes = 0;
    pln_tensor *t;
    *out = NULL;
    PLN_TRY(new_dense(a, dt, rank, dims, &bytes, &t, err));
    t->raw = *raw;
    pln_buf_ref(raw->buf);
    *out = t;
    return PLN_OK;
}

pln_status pln_tensor_make_container(const pln_allocator *a, pln_kind kind,
                                     pln_tensor **out)
{
    *out = new_tensor(a, kind);
    return *out ? PLN_OK : PLN_E_NOMEM;
}

pln_status pln_tensor_from_i64(const pln_allocator *a, int rank, const int64_t *v,
                               int64_t n, pln_tensor **out)
{
    PLN_TRY(pln_tensor_make(a, PLN_DT_S64, rank, &n, out, NULL));
    if (n)
        memcpy((*out)->data, v, (size_t)n * sizeof *v);
    return PLN_OK;
}

pln_status pln_tensor_from_f32(const pln_allocator *a, int rank, const float *v,
                               int64_t n, pln_tensor **out)
{
    PLN_TRY(pln_tensor_make(a, PLN_DT_F32, rank, &n, out, NULL));
    if (n)
        memcpy((*out)->data, v, (size_t)n * sizeof *v);
    return PLN_OK;
}

PLN_API pln_tensor *pln_tensor_ref(pln_tensor *t)
{
    if (t)
        atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

static void string_unref(pln_string *s)
{
    if (s && atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1)
        pln_release(s->alloc, s);
}

/* Strings belong to the tensor whose buffer it is the last to hold. */
static void drop_elements(pln_tensor *t)
{
    if (t->dtype == PLN_DT_STRING && t->data && t->buf &&
        atomic_load_explicit(&t->buf->refs, memory_order_acquire) == 1) {
        pln_string **s = t->data;
        const int64_t n = pln_tensor_size(t);
        for (int64_t i = 0; i < n; i++)
            string_unref(s[i]);
    }
    pln_buf_unref(t->buf);
    t->buf = NULL;
    t->data = NULL;
}

PLN_API void pln_tensor_unref(pln_tensor *t)
{
    if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
        return;
    drop_elements(t);
    for (size_t i = 0; i < t->n_items; i++)
        pln_tensor_unref(t->items[i]);
    pln_release(t->alloc, t->items);
    pln_buf_unref(t->raw.buf);
    pln_release(t->alloc, t->external);
    if (!t->borrowed)
        pln_release(t->alloc, t);
}

pln_status pln_tensor_dup(const pln_tensor *t, pln_tensor **out, pln_error *err)
{
    *out = NULL;
    if (t->kind != PLN_KIND_TENSOR) {
        PLN_TRY(pln_tensor_make_container(t->alloc, (pln_kind)t->kind, out));
        (*out)->dtype = t->dtype;
        for (size_t i = 0; i < t->n_items; i++)
            PLN_TRY(pln_tensor_append(*out, t->items[i], err));
        return PLN_OK;
    }
    PLN_TRY(pln_tensor_materialize((pln_tensor *)(uintptr_t)t, err));
    PLN_TRY(pln_tensor_make(t->alloc, (pln_dtype)t->dtype, t->rank, t->dims, out, err));
    pln_tensor_copy(*out, 0, t, 0, pln_tensor_size(t));
    return PLN_OK;
}

size_t pln_packed_bytes(pln_dtype dt, size_t n)
{
    const size_t bits = pln_dtype_bits(dt);
    return bits >= 8 ? n * (bits / 8) : n / 8 * bits + (n % 8 * bits + 7) / 8;
}

/* At most two bytes hold an element: a 6-bit one may lie across a boundary. */
void pln_unpack_bits(pln_dtype dt, const unsigned char *src, size_t n, unsigned char *dst)
{
    const unsigned bits = pln_dtype_bits(dt), mask = (1u << bits) - 1;
    const unsigned sign = 1u << (bits - 1);
    const bool extend = pln_dtype_is_integer(dt) && pln_dtype_is_signed(dt);
    for (size_t i = 0; i < n; i++) {
        const size_t at = i / 8 * bits + i % 8 * bits / 8;
        const unsigned shift = (unsigned)(i % 8 * bits % 8);
        unsigned v = src[at] >> shift;
        if (shift + bits > 8)
            v |= (unsigned)src[at + 1] << (8 - shift);
        v &= mask;
        dst[i] = (unsigned char)(extend && (v & sign) ? v | ~mask : v);
    }
}

void pln_pack_bits(pln_dtype dt, const unsigned char *src, size_t n, unsigned char *dst)
{
    const unsigned bits = pln_dtype_bits(dt), mask = (1u << bits) - 1;
    memset(dst, 0, pln_packed_bytes(dt, n));
    for (size_t i = 0; i < n; i++) {
        const size_t at = i / 8 * bits + i % 8 * bits / 8;
        const unsigned shift = (unsigned)(i % 8 * bits % 8), v = src[i] & mask;
        dst[at] = (unsigned char)(dst[at] | v << shift);
        if (shift + bits > 8)
            dst[at + 1] = (unsigned char)(dst[at + 1] | v >> (8 - shift));
    }
}

static size_t packed_bytes(const pln_tensor *t)
{
    return pln_packed_bytes((pln_dtype)t->dtype, (size_t)pln_tensor_size(t));
}

/* Whole pages inside [data, data + size) are not needed any more. */
static void drop_pages(const pln_raw *raw)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t begin = ((uintptr_t)raw->data + page - 1) & ~(page - 1);
    const uintptr_t end = ((uintptr_t)raw->data + raw->size) & ~(page - 1);
    if (begin < end)
        madvise((void *)begin, end - begin, MADV_DONTNEED);
}

/* Reading one byte of a mapped file may bring megabytes around it into the process. Of a
 * large file, small tensors are copied and what came with them is handed back. */
#define LARGE_FILE   ((size_t)32 << 20)
#define SMALL_TENSOR ((size_t)64 << 10)
#define AROUND       ((uintptr_t)2 << 20)

static bool is_small_part(const pln_raw *raw)
{
    return raw->buf && raw->buf->mapped && raw->buf->size >= LARGE_FILE &&
           raw->size < SMALL_TENSOR;
}

static void drop_around(const pln_raw *raw)
{
    const uintptr_t first = (uintptr_t)raw->buf->data, end = first + raw->buf->size;
    uintptr_t from = (uintptr_t)raw->data & ~(AROUND - 1);
    uintptr_t to = ((uintptr_t)raw->data + raw->size + AROUND - 1) & ~(AROUND - 1);
    from = from < first ? first : from; /* mappings begin at a page */
    to = to > end ? end : to;
    madvise((void *)from, to - from, MADV_DONTNEED);
}

static pln_status materialize_raw(pln_tensor *t, pln_error *err)
{
    const size_t size = pln_dtype_size((pln_dtype)t->dtype);
    const size_t align = size > 8 ? 8 : size;
    if (t->dtype == PLN_DT_STRING || t->raw.size != packed_bytes(t))
        return pln_fail(err, PLN_E_FORMAT, "%zu bytes of data, the shape needs %zu",
                        t->raw.size, packed_bytes(t));
    const bool packed = pln_dtype_bits((pln_dtype)t->dtype) < 8;
    const bool part = is_small_part(&t->raw);
    if (!packed && !part && ((uintptr_t)t->raw.data & (align - 1)) == 0) {
        t->data = (void *)(uintptr_t)t->raw.data;
        t->buf = pln_buf_ref(t->raw.buf);
        return PLN_OK;
    }
    t->buf = pln_buf_new(t->alloc, (size_t)pln_tensor_size(t) * size);
    if (!t->buf)
        return pln_oom(err);
    t->data = t->buf->data;
    if (packed)
        pln_unpack_bits((pln_dtype)t->dtype, t->raw.data, (size_t)pln_tensor_size(t),
                        t->data);
    else if (t->raw.size)
        memcpy(t->data, t->raw.data, t->raw.size);
    if (part)
        drop_around(&t->raw);
    else if (t->raw.buf && t->raw.buf->mapped)
        drop_pages(&t->raw); /* the copy serves from here on */
    return PLN_OK;
}

static pln_status materialize_decoded(pln_tensor *t, pln_error *err)
{
    const size_t bytes =
        (size_t)pln_tensor_size(t) * pln_dtype_size((pln_dtype)t->dtype);
    t->buf = pln_buf_new(t->alloc, bytes);
    if (!t->buf)
        return pln_oom(err);
    t->data = t->buf->data;
    memset(t->data, 0, bytes);
    const pln_status st = t->raw.decode(&t->raw, t, err);
    if (st != PLN_OK)
        drop_elements(t);
    return st;
}

pln_status pln_tensor_materialize(pln_tensor *t, pln_error *err)
{
    if (t->kind != PLN_KIND_TENSOR) {
        for (size_t i = 0; i < t->n_items; i++)
            PLN_TRY(pln_tensor_materialize(t->items[i], err));
        return PLN_OK;
    }
    if (t->data || (!t->raw.data && !t->raw.decode))
        return PLN_OK;
    return t->raw.decode ? materialize_decoded(t, err) : materialize_raw(t, err);
}

void pln_tensor_drop(pln_tensor *t)
{
    if (t->kind != PLN_KIND_TENSOR || !t->raw.data)
        return; /* nothing to read it back from */
    drop_elements(t);
    if (t->raw.buf && t->raw.buf->mapped)
        drop_pages(&t->raw);
}

void pln_tensor_copy(pln_tensor *dst, int64_t dst_i, const pln_tensor *src, int64_t src_i,
                     int64_t n)
{
    if (n <= 0)
        return;
    if (dst->dtype != PLN_DT_STRING) {
        const size_t size = pln_dtype_size((pln_dtype)dst->dtype);
        memmove((char *)dst->data + (size_t)dst_i * size,
                (const char *)src->data + (size_t)src_i * size, (size_t)n * size);
        return;
    }
    pln_string **d = (pln_string **)dst->data + dst_i;
    pln_string *const *s = (pln_string *const *)src->data + src_i;
    for (int64_t i = 0; i < n; i++) {
        pln_string *was = d[i];
        if (s[i])
            atomic_fetch_add_explicit(&s[i]->refs, 1, memory_order_relaxed);
        d[i] = s[i];
        string_unref(was);
    }
}

PLN_API pln_status pln_tensor_string(const pln_tensor *t, int64_t i, const char **text,
                                     size_t *len)
{
    *text = "";
    *len = 0;
    if (!t || t->kind != PLN_KIND_TENSOR || t->dtype != PLN_DT_STRING || i < 0 ||
        i >= pln_tensor_size(t))
        return PLN_E_USAGE;
    const pln_string *s = PLN_DATA(pln_string *const, t)[i];
    if (s) {
        *text = s->bytes;
        *len = s->len;
    }
    return PLN_OK;
}

PLN_API pln_status pln_tensor_set_string(pln_tensor *t, int64_t i, const char *text,
                                         size_t len)
{
    size_t size;
    if (!t || t->kind != PLN_KIND_TENSOR || t->dtype != PLN_DT_STRING || i < 0 ||
        i >= pln_tensor_size(t))
        return PLN_E_USAGE;
    if (!pln_size_add(&size, len, sizeof(pln_string) + 1))
        return PLN_E_LIMIT;
    pln_string *s = len ? pln_alloc(t->alloc, size) : NULL;
    if (len && !s)
        return PLN_E_NOMEM;
    if (s) {
        atomic_init(&s->refs, 1);
        s->alloc = t->alloc;
        s->len = len;
        memcpy(s->bytes, text, len);
        s->bytes[len] = '\0';
    }
    string_unref(PLN_DATA(pln_string *, t)[i]);
    PLN_DATA(pln_string *, t)[i] = s;
    return PLN_OK;
}

PLN_API pln_status pln_tensor_append(pln_tensor *container, pln_tensor *item,
                                     pln_error *err)
{
    if (!container || !item || container->kind == PLN_KIND_TENSOR)
        return pln_fail(err, PLN_E_USAGE, "items are added to containers only");
    if (container->kind == PLN_KIND_OPTIONAL && container->n_items == 1)
        return pln_fail(err, PLN_E_USAGE, "an optional holds one value at most");
    if (container->kind != PLN_KIND_SEQUENCE && container->n_items == 2)
        return pln_fail(err, PLN_E_USAGE, "a map or sparse tensor has two parts");
    if (!pln_grow(container->alloc, (void **)&container->items, &container->cap_items,
                  container->n_items + 1, sizeof *container->items))
        return pln_oom(err);
    container->items[container->n_items++] = pln_tensor_ref(item);
    if (container->kind == PLN_KIND_MAP && container->n_items == 1)
        container->dtype = item->dtype;
    return PLN_OK;
}

bool pln_tensor_same(const pln_tensor *a, const pln_tensor *b)
{
    if (a == b)
        return true;
    if (a->kind != b->kind || a->dtype != b->dtype || a->rank != b->rank ||
        a->n_items != b->n_items ||
        memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims))
        return false;
    for (size_t i = 0; i < a->n_items; i++)
        if (!pln_tensor_same(a->items[i], b->items[i]))
            return false;
    if (a->kind != PLN_KIND_TENSOR)
        return true;
    const int64_t n = pln_tensor_size(a);
    if (a->dtype != PLN_DT_STRING) {
        const size_t size = (size_t)n * pln_dtype_size((pln_dtype)a->dtype);
        return size == 0 || !memcmp(a->data, b->data, size);
    }
    for (int64_t i = 0; i < n; i++) {
        const char *s, *u;
        size_t sn, un;
        pln_tensor_string(a, i, &s, &sn);
        pln_tensor_string(b, i, &u, &un);
        if (sn != un || memcmp(s, u, sn))
            return false;
    }
    return true;
}

void pln_tensor_print_shape(pln_text *out, const pln_tensor *t)
{
    pln_text_put(out, "[", 1);
    for (int i = 0; i < t->rank; i++)
        pln_text_printf(out, i ? ",%lld" : "%lld", (long long)t->dims[i]);
    pln_text_put(out, "]", 1);
}
