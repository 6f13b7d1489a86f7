/* Strided copies and what else data movement shares.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/move.h"
#include "src/util/transpose.h"

#include <stdatomic.h>
#include <stdlib.h>

/* Below this a copy is not worth a team of threads. */
#define PARALLEL_BYTES (512 * 1024)

typedef struct move_plan {
    char *dst;
    const char *src;
    int rank; /* of the dims around the unit */
    int64_t dims[PLN_MOVE_RANK], ds[PLN_MOVE_RANK], ss[PLN_MOVE_RANK]; /* bytes */
    size_t unit;    /* bytes that are contiguous on both sides */
    int transposed; /* dim along which the source is contiguous; -1 */
    int n_outer;    /* dims that the range counts */
} move_plan;

/* ---- rows: one strided dimension of units ---------------------------------------- */

#define ROW(W, size)                                                                  \
    static void row_##size(char *d, int64_t ds, const char *s, int64_t ss, int64_t n) \
    {                                                                                 \
        if (ss == 0 && ds == size) {                                                  \
            const W v = *(const W *)s;                                                \
            W *o = (W *)d;                                                            \
            for (int64_t i = 0; i < n; i++)                                           \
                o[i] = v;                                                             \
        } else if (ds == size) {                                                      \
            W *o = (W *)d;                                                            \
            for (int64_t i = 0; i < n; i++)                                           \
                o[i] = *(const W *)(s + i * ss);                                      \
        } else {                                                                      \
            for (int64_t i = 0; i < n; i++)                                           \
                *(W *)(d + i * ds) = *(const W *)(s + i * ss);                        \
        }                                                                             \
    }
PLN_MOVE_SIZES(ROW)

static void row_any(char *d, int64_t ds, const char *s, int64_t ss, int64_t n,
                    size_t unit)
{
    for (int64_t i = 0; i < n; i++)
        memcpy(d + i * ds, s + i * ss, unit);
}

static void copy_row(const move_plan *p, char *d, const char *s)
{
    const int last = p->rank - 1;
    const int64_t n = p->dims[last], ds = p->ds[last], ss = p->ss[last];
    switch (p->unit) {
#define CASE(W, size)                \
    case size:                       \
        row_##size(d, ds, s, ss, n); \
        break;
        PLN_MOVE_SIZES(CASE)
    default:
        row_any(d, ds, s, ss, n, p->unit);
    }
}

/* ---- blocked 2-D transposes ------------------------------------------------------ */

/* dst[a][b] = src[b][a]: a is contiguous in src, b in dst. */
#define TILE 32

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void copy_transposed(const move_plan *p, char *d, const char *s, int64_t na)
{
    const pln_transpose_fn fn = pln_transpose_of(p->unit);
    const int last = p->rank - 1;
    const int64_t nb = p->dims[last], sb = p->ss[last], da = p->ds[p->transposed];
    const int64_t u = (int64_t)p->unit;
    for (int64_t b = 0; b < nb; b += TILE)
        for (int64_t a = 0; a < na; a += TILE)
            fn(d + a * da + b * u, da, s + b * sb + a * u, sb, min64(TILE, na - a),
               min64(TILE, nb - b));
}

/* ---- walking the outer dimensions ------------------------------------------------ */

typedef struct walk {
    int64_t at[PLN_MOVE_RANK];
    int64_t d, s; /* byte offsets */
} walk;

static bool is_inner(const move_plan *p, int i)
{
    return i == p->rank - 1 || i == p->transposed;
}

static void walk_start(const move_plan *p, walk *w, int64_t linear)
{
    w->d = w->s = 0;
    for (int i = p->rank - 2; i >= 0; i--) {
        w->at[i] = 0;
        if (is_inner(p, i))
            continue;
        w->at[i] = linear % p->dims[i];
        linear /= p->dims[i];
        w->d += w->at[i] * p->ds[i];
        w->s += w->at[i] * p->ss[i];
    }
}

static void walk_next(const move_plan *p, walk *w)
{
    for (int i = p->rank - 2; i >= 0; i--) {
        if (is_inner(p, i))
            continue;
        w->d += p->ds[i];
        w->s += p->ss[i];
        if (++w->at[i] < p->dims[i])
            return;
        w->d -= p->ds[i] * p->dims[i];
        w->s -= p->ss[i] * p->dims[i];
        w->at[i] = 0;
    }
}

static void copy_range(void *arg, int64_t begin, int64_t end)
{
    const move_plan *p = arg;
    walk w;
    walk_start(p, &w, begin);
    for (int64_t i = begin; i < end; i++) {
        if (p->transposed >= 0)
            copy_transposed(p, p->dst + w.d, p->src + w.s, p->dims[p->transposed]);
        else
            copy_row(p, p->dst + w.d, p->src + w.s);
        walk_next(p, &w);
    }
}

/* A single matrix: threads share its rows. */
static void copy_matrix_range(void *arg, int64_t begin, int64_t end)
{
    const move_plan *p = arg;
    const int64_t a = begin * TILE, na = min64(end * TILE, p->dims[p->transposed]) - a;
    copy_transposed(p, p->dst + a * p->ds[p->transposed], p->src + a * (int64_t)p->unit,
                    na);
}

/* ---- planning -------------------------------------------------------------------- */

/* The walk goes through the destination as it lies in memory. */
static void order_dims(const int64_t *dst_stride, int rank, int *order)
{
    for (int i = 0; i < rank; i++) {
        int at = i;
        for (; at > 0 && llabs(dst_stride[order[at - 1]]) < llabs(dst_stride[i]); at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
}

/* Drops dims of size 1 and joins neighbours that are one dimension on both sides. */
static bool plan_dims(move_plan *p, const int64_t *dst_stride, const int64_t *src_stride,
                      const int64_t *dims, int rank, size_t size)
{
    int r = 0, order[PLN_MOVE_RANK];
    order_dims(dst_stride, rank, order);
    for (int o = 0; o < rank; o++) {
        const int i = order[o];
        if (dims[i] == 0)
            return false;
        if (dims[i] == 1)
            continue;
        if (r > 0 && p->ds[r - 1] == dst_stride[i] * dims[i] &&
            p->ss[r - 1] == src_stride[i] * dims[i]) {
            p->dims[r - 1] *= dims[i];
            p->ds[r - 1] = dst_stride[i];
            p->ss[r - 1] = src_stride[i];
            continue;
        }
        p->dims[r] = dims[i];
        p->ds[r] = dst_stride[i];
        p->ss[r] = src_stride[i];
        r++;
    }
    p->unit = size;
    if (r > 0 && p->ds[r - 1] == (int64_t)size && p->ss[r - 1] == (int64_t)size) {
        p->unit = (size_t)p->dims[r - 1] * size;
        r--;
    }
    p->rank = r;
    return true;
}

static bool is_word(size_t n)
{
    return n == 1 || n == 2 || n == 4 || n == 8 || n == 16;
}

static int find_transposed(const move_plan *p)
{
    const int last = p->rank - 1;
    const int64_t u = (int64_t)p->unit;
    if (!is_word(p->unit) || p->ds[last] != u || p->ss[last] == 0)
        return -1;
    for (int i = last - 1; i >= 0; i--)
        if (p->ss[i] == u)
            return i;
    return -1;
}

void pln_move_nd(void *dst, const int64_t *dst_stride, const void *src,
                 const int64_t *src_stride, const int64_t *dims, int rank, size_t size,
                 int n_threads)
{
    move_plan p;
    p.dst = dst;
    p.src = src;
    if (!plan_dims(&p, dst_stride, src_stride, dims, rank, size))
        return;
    if (p.rank == 0) {
        pln_move_bytes(dst, src, p.unit, n_threads);
        return;
    }
    p.transposed = find_transposed(&p);
    int64_t outer = 1, inner = (int64_t)p.unit;
    for (int i = 0; i < p.rank; i++) {
        if (is_inner(&p, i))
            inner *= p.dims[i];
        else
            outer *= p.dims[i];
    }
    if (n_threads > 1 && p.transposed >= 0 && outer == 1 && inner >= PARALLEL_BYTES) {
        const int64_t tiles = (p.dims[p.transposed] + TILE - 1) / TILE;
        pln_parallel_for(n_threads, tiles, 1, copy_matrix_range, &p);
        return;
    }
    if (n_threads <= 1 || outer * inner < PARALLEL_BYTES) {
        copy_range(&p, 0, outer);
        return;
    }
    pln_parallel_for(n_threads, outer, 1 + PARALLEL_BYTES / 4 / inner, copy_range, &p);
}

typedef struct bytes_job {
    char *dst;
    const char *src;
    size_t n;
} bytes_job;

#define BYTES_CHUNK 65536

static void bytes_range(void *arg, int64_t begin, int64_t end)
{
    const bytes_job *j = arg;
    const size_t from = (size_t)begin * BYTES_CHUNK;
    size_t to = (size_t)end * BYTES_CHUNK;
    if (to > j->n)
        to = j->n;
    memcpy(j->dst + from, j->src + from, to - from);
}

void pln_move_bytes(void *dst, const void *src, size_t n, int n_threads)
{
    if (n == 0 || dst == src)
        return;
    if (n_threads <= 1 || n < 2 * PARALLEL_BYTES) {
        memcpy(dst, src, n);
        return;
    }
    bytes_job j = { dst, src, n };
    pln_parallel_for(n_threads, (int64_t)((n + BYTES_CHUNK - 1) / BYTES_CHUNK), 2,
                     bytes_range, &j);
}

void pln_move_fill(void *dst, const void *value, int64_t n, size_t size)
{
    switch (size) {
#define FILL(W, bytes)                        \
    case bytes:                               \
        row_##bytes(dst, bytes, value, 0, n); \
        break;
        PLN_MOVE_SIZES(FILL)
    }
}

void pln_move_strides(int rank, const int64_t *dims, size_t size, int64_t *stride)
{
    int64_t s = (int64_t)size;
    for (int i = rank - 1; i >= 0; i--) {
        stride[i] = s;
        s *= dims[i];
    }
}

/* ---- strings --------------------------------------------------------------------- */

void pln_move_begin_strings(pln_tensor *out)
{
    pln_string **v = out->data;
    const int64_t n = v ? pln_tensor_size(out) : 0;
    for (int64_t i = 0; i < n; i++) {
        pln_string *s = v[i];
        v[i] = NULL;
        if (s && atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1)
            pln_release(s->alloc, s);
    }
}

void pln_move_end_strings(pln_tensor *out)
{
    pln_string **v = out->data;
    const int64_t n = v ? pln_tensor_size(out) : 0;
    for (int64_t i = 0; i < n; i++)
        if (v[i])
            atomic_fetch_add_explicit(&v[i]->refs, 1, memory_order_relaxed);
}

/* ---- calls ----------------------------------------------------------------------- */

pln_status pln_move_output(pln_call *c, uint32_t i, pln_dtype dt, int rank,
                           const int64_t *dims, pln_error *err)
{
    const pln_tensor *t = c->out[i];
    if (t->data && t->kind == PLN_KIND_TENSOR && t->dtype == dt && t->rank == rank &&
        (!rank || !memcmp(t->dims, dims, (size_t)rank * sizeof *dims)))
        return PLN_OK;
    return pln_call_output(c, i, dt, rank, dims, err);
}

static pln_status give_outputs(pln_call *c, const pln_type *types, pln_error *err)
{
    for (uint32_t i = 0; i < c->n_out; i++) {
        if (!c->out[i] || c->out[i]->data)
            continue;
        const pln_type *t = &types[i];
        if (t->kind != PLN_KIND_TENSOR || !pln_shape_is_static(t->shape))
            return pln_call_fail(c, err, PLN_E_RUN, "output %u has no definite shape", i);
        int64_t dims[PLN_MAX_RANK];
        for (int k = 0; k < t->shape.rank; k++)
            dims[k] = t->shape.dims[k].value;
        PLN_TRY(pln_call_output(c, i, t->dtype, t->shape.rank, dims, err));
    }
    return PLN_OK;
}

static pln_status infer_call(pln_call *c, pln_arena *arena, pln_error *err)
{
    pln_type *types = PLN_NEW_ARRAY(arena, pln_type, c->n_in + c->n_out);
    const pln_type **in = PLN_NEW_ARRAY(arena, const pln_type *, c->n_in + 1);
    const pln_symval **sym =
        PLN_NEW_ARRAY(arena, const pln_symval *, c->n_in + c->n_out + 1);
    if (!types || !in || !sym)
        return pln_oom(err);
    for (uint32_t i = 0; i < c->n_in; i++) {
        const pln_tensor *t = c->in[i];
        if (!t)
            continue;
        types[i] = pln_type_tensor(t->dtype, pln_shape_of(arena, t->rank, t->dims));
        in[i] = &types[i];
    }
    for (uint32_t i = 0; i < c->n_out; i++)
        types[c->n_in + i] = pln_type_unknown();
    pln_infer inf = { .node = c->node,
                      .attrs = c->attrs,
                      .arena = arena,
                      .n_in = c->n_in,
                      .n_out = c->n_out,
                      .in = in,
                      .in_cst = c->in,
                      .in_sym = sym,
                      .out = types + c->n_in,
                      .out_sym = sym + c->n_in };
    PLN_TRY(c->node->op->infer(&inf, err));
    return give_outputs(c, inf.out, err);
}

pln_status pln_move_ready(pln_call *c, pln_error *err)
{
    uint32_t missing = 0;
    for (uint32_t i = 0; i < c->n_out; i++)
        missing += c->out[i] && !c->out[i]->data;
    if (missing == 0)
        return PLN_OK;
    pln_arena *arena = pln_arena_new(pln_call_allocator(c));
    if (!arena)
        return pln_oom(err);
    const pln_status st = infer_call(c, arena, err);
    pln_arena_free(arena);
    return st;
}

pln_status pln_move_keep(pln_call *c, const pln_tensor *t, pln_tensor **out,
                         pln_error *err)
{
    if (!t->borrowed || t->kind != PLN_KIND_TENSOR) {
        *out = pln_tensor_ref((pln_tensor *)t);
        return PLN_OK;
    }
    PLN_TRY(pln_tensor_make(pln_call_allocator(c), t->dtype, t->rank, t->dims, out, err));
    pln_tensor_copy(*out, 0, t, 0, pln_tensor_size(t));
    return PLN_OK;
}

pln_status pln_move_axis(const pln_call *c, int64_t axis, int rank, int *out,
                         pln_status st, pln_error *err)
{
    if (axis < -(int64_t)rank || axis >= rank)
        return pln_call_fail(c, err, st, "axis %lld is outside rank %d", (long long)axis,
                             rank);
    *out = (int)(axis < 0 ? axis + rank : axis);
    return PLN_OK;
}

pln_status pln_move_read_ints(const pln_call *c, uint32_t i, int64_t *v, size_t max,
                              size_t *n, pln_error *err)
{
    const pln_tensor *t = c->in[i];
    const int64_t count = pln_tensor_size(t);
    if (t->rank > 1 || count > (int64_t)max)
        return pln_call_fail(c, err, PLN_E_RUN, "input %u has rank %d and %lld elements",
                             i, (int)t->rank, (long long)count);
    for (int64_t k = 0; k < count; k++)
        v[k] = pln_move_index(t, k);
    *n = (size_t)count;
    return PLN_OK;
}

/* ---- inference ------------------------------------------------------------------- */

pln_status pln_move_infer_open(pln_infer *inf)
{
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), pln_shape_unknown());
    return PLN_OK;
}

pln_shape pln_move_infer_like(pln_infer *inf, uint32_t i)
{
    return pln_shape_dup(inf->arena, inf->in[i]->shape);
}
