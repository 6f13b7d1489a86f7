/* Gather, GatherElements, GatherND: elements picked by index.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/move.h"
#include "kernels/raise.h"

typedef struct gather_attrs {
    int64_t axis;
} gather_attrs;

static const pln_attr_spec gather_spec[] = {
    PLN_A_INT(gather_attrs, axis, 0),
    PLN_A_END,
};

static pln_status bad_index(const pln_call *c, int64_t v, int64_t dim, pln_error *err)
{
    return pln_call_fail(c, err, PLN_E_RUN, "index %lld is outside [-%lld, %lld)",
                         (long long)v, (long long)dim, (long long)dim);
}

/* Non-negative form of an index; false: out of range. */
static inline bool wrap_index(int64_t *v, int64_t dim)
{
    if (*v < 0)
        *v += dim;
    return (uint64_t)*v < (uint64_t)dim;
}

/* ---- Gather ---------------------------------------------------------------------- */

static pln_status gather_infer(pln_infer *inf, pln_error *err)
{
    const gather_attrs *a = inf->attrs;
    const int r = pln_infer_rank(inf, 0), q = pln_infer_rank(inf, 1);
    if (r == PLN_RANK_UNKNOWN || q == PLN_RANK_UNKNOWN)
        return pln_move_infer_open(inf);
    if (r == 0)
        return pln_infer_fail(inf, err, "input 0 is a scalar");
    int axis;
    PLN_TRY(pln_infer_axis(inf, a->axis, r, &axis, err));
    if (r + q - 1 > PLN_MAX_RANK)
        return pln_fail(err, PLN_E_LIMIT, "%s (Gather): rank %d", inf->node->name,
                        r + q - 1);
    pln_shape out = pln_infer_shape(inf, r + q - 1);
    int k = 0;
    for (int i = 0; i < axis; i++)
        out.dims[k++] = pln_infer_dim(inf, 0, i);
    for (int i = 0; i < q; i++)
        out.dims[k++] = pln_infer_dim(inf, 1, i);
    for (int i = axis + 1; i < r; i++)
        out.dims[k++] = pln_infer_dim(inf, 0, i);
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), out);
    return PLN_OK;
}

typedef struct gather_job {
    const pln_tensor *indices;
    const char *src;
    char *dst;
    int64_t n, dim, row; /* indices, picked dimension, bytes of a row */
} gather_job;

#define PICK(W, size)                                                        \
    static void pick_##size(const gather_job *j, int64_t begin, int64_t end, \
                            const char *s, char *d)                          \
    {                                                                        \
        for (int64_t i = begin; i < end; i++) {                              \
            int64_t v = pln_move_index(j->indices, i);                       \
            v += v < 0 ? j->dim : 0;                                         \
            *(W *)(d + i * size) = *(const W *)(s + v * size);               \
        }                                                                    \
    }
PLN_MOVE_SIZES(PICK)

static void pick_rows(const gather_job *j, int64_t begin, int64_t end, const char *s,
                      char *d)
{
    const size_t row = (size_t)j->row;
    for (int64_t i = begin; i < end; i++) {
        int64_t v = pln_move_index(j->indices, i);
        v += v < 0 ? j->dim : 0;
        memcpy(d + i * j->row, s + v * j->row, row);
    }
}

/* Linear over outer x indices. */
static void gather_range(void *arg, int64_t begin, int64_t end)
{
    const gather_job *j = arg;
    while (begin < end) {
        const int64_t o = begin / j->n, first = begin % j->n;
        const int64_t stop = end - o * j->n < j->n ? end - o * j->n : j->n;
        const char *s = j->src + o * j->dim * j->row;
        char *d = j->dst + o * j->n * j->row;
        switch (j->row) {
#define CASE(W, size)                      \
    case size:                             \
        pick_##size(j, first, stop, s, d); \
        break;
            PLN_MOVE_SIZES(CASE)
        default:
            pick_rows(j, first, stop, s, d);
        }
        begin += stop - first;
    }
}

static pln_status check_indices(const pln_call *c, const pln_tensor *t, int64_t dim,
                                pln_error *err)
{
    const int64_t n = pln_tensor_size(t);
    for (int64_t i = 0; i < n; i++) {
        int64_t v = pln_move_index(t, i);
        if (!wrap_index(&v, dim))
            return bad_index(c, pln_move_index(t, i), dim, err);
    }
    return PLN_OK;
}

static pln_status gather_run(pln_call *c, pln_error *err)
{
    const gather_attrs *a = c->attrs;
    const pln_tensor *x = c->in[0];
    pln_tensor *y = c->out[0];
    int axis;
    PLN_TRY(pln_move_axis(c, a->axis, x->rank, &axis, PLN_E_FORMAT, err));
    PLN_TRY(check_indices(c, c->in[1], x->dims[axis], err));
    const int64_t outer = pln_move_count(x->dims, 0, axis);
    gather_job j = { .indices = c->in[1],
                     .src = x->data,
                     .dst = y->data,
                     .n = pln_tensor_size(c->in[1]),
                     .dim = x->dims[axis] };
    j.row = pln_move_count(x->dims, axis + 1, x->rank) *
            (int64_t)pln_dtype_size((pln_dtype)x->dtype);
    if (outer * j.n * j.row == 0)
        return PLN_OK;
    pln_move_begin(y);
    if (c->n_threads > 1 && outer * j.n * j.row > 1 << 20)
        pln_parallel_for(c->n_threads, outer * j.n, 1 + (1 << 17) / j.row, gather_range,
                         &j);
    else
        gather_range(&j, 0, outer * j.n);
    pln_move_end(y);
    return PLN_OK;
}

/* ---- GatherElements -------------------------------------------------------------- */

static pln_status elements_infer(pln_infer *inf, pln_error *err)
{
    const gather_attrs *a = inf->attrs;
    const int r = pln_infer_rank(inf, 0), q = pln_infer_rank(inf, 1);
    if (q == PLN_RANK_UNKNOWN)
        return pln_move_infer_open(inf);
    int axis;
    PLN_TRY(pln_infer_axis(inf, a->axis, q, &axis, err));
    if (r != PLN_RANK_UNKNOWN && r != q)
        return pln_infer_fail(inf, err, "data has rank %d, indices have %d", r, q);
    for (int i = 0; r == q && i < q; i++) {
        const pln_dim d = pln_infer_dim(inf, 0, i), k = pln_infer_dim(inf, 1, i);
        if (i != axis && pln_dim_is_known(d) && pln_dim_is_known(k) && k.value > d.value)
            return pln_infer_fail(inf, err, "indices exceed data in dimension %d", i);
    }
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), inf->in[1]->shape);
    return PLN_OK;
}

/* The last dimension of one row: base is where the row starts in the data. */
#define TAKE(W, size)                                                                  \
    static bool take_##size(W *y, const W *x, const pln_tensor *indices, int64_t from, \
                            int64_t n, int64_t dim, int64_t step, int64_t move,        \
                            int64_t *bad)                                              \
    {                                                                                  \
        for (int64_t i = 0; i < n; i++) {                                              \
            int64_t v = pln_move_index(indices, from + i);                             \
            if (!wrap_index(&v, dim)) {                                                \
                *bad = from + i;                                                       \
                return false;                                                          \
            }                                                                          \
            y[i] = x[v * step + i * move];                                             \
        }                                                                              \
        return true;                                                                   \
    }
PLN_MOVE_SIZES(TAKE)

static bool take_row(size_t size, char *y, const char *x, const pln_tensor *indices,
                     int64_t from, int64_t n, int64_t dim, int64_t step, int64_t move,
                     int64_t *bad)
{
    switch (size) {
#define TAKE_CASE(W, s) \
    case s:             \
        return take_##s((W *)y, (const W *)x, indices, from, n, dim, step, move, bad);
        PLN_MOVE_SIZES(TAKE_CASE)
    }
    return false;
}

static pln_status elements_run(pln_call *c, pln_error *err)
{
    const gather_attrs *a = c->attrs;
    const pln_tensor *x = c->in[0], *idx = c->in[1];
    pln_tensor *y = c->out[0];
    int axis;
    PLN_TRY(pln_move_axis(c, a->axis, x->rank, &axis, PLN_E_FORMAT, err));
    const int64_t total = pln_tensor_size(idx), size = (int64_t)pln_dtype_size(x->dtype);
    if (total == 0)
        return PLN_OK;
    int64_t stride[PLN_MAX_RANK], at[PLN_MAX_RANK] = { 0 };
    pln_move_strides(x->rank, x->dims, 1, stride);
    const int last = x->rank - 1;
    const int64_t n = idx->dims[last], rows = total / n;
    pln_move_begin(y);
    for (int64_t r = 0; r < rows; r++) {
        int64_t base = 0, bad = 0;
        for (int i = 0; i < last; i++)
            base += i == axis ? 0 : at[i] * stride[i];
        if (!take_row((size_t)size, (char *)y->data + r * n * size,
                      (const char *)x->data + base * size, idx, r * n, n, x->dims[axis],
                      stride[axis], axis == last ? 0 : 1, &bad)) {
            pln_move_end(y);
            return bad_index(c, pln_move_index(idx, bad), x->dims[axis], err);
        }
        for (int i = last - 1; i >= 0 && ++at[i] == idx->dims[i]; i--)
            at[i] = 0;
    }
    pln_move_end(y);
    return PLN_OK;
}

/* ---- GatherND -------------------------------------------------------------------- */

typedef struct nd_attrs {
    int64_t batch_dims;
} nd_attrs;

static const pln_attr_spec nd_spec[] = {
    PLN_A_INT(nd_attrs, batch_dims, 0),
    PLN_A_END,
};

static pln_status nd_infer(pln_infer *inf, pln_error *err)
{
    const nd_attrs *a = inf->attrs;
    const int r = pln_infer_rank(inf, 0), q = pln_infer_rank(inf, 1);
    if (r == PLN_RANK_UNKNOWN || q == PLN_RANK_UNKNOWN)
        return pln_move_infer_open(inf);
    if (q == 0 || a->batch_dims < 0 || a->batch_dims >= q || a->batch_dims > r)
        return pln_infer_fail(inf, err, "batch_dims is %lld for ranks %d and %d",
                              (long long)a->batch_dims, r, q);
    const int b = (int)a->batch_dims;
    const pln_dim k = pln_infer_dim(inf, 1, q - 1);
    if (!pln_dim_is_known(k))
        return pln_move_infer_open(inf);
    if (k.value > r - b)
        return pln_infer_fail(inf, err, "index tuples have %lld entries for rank %d",
                              (long long)k.value, r);
    const int tail = r - b - (int)k.value, rank = q - 1 + tail;
    if (rank > PLN_MAX_RANK)
        return pln_fail(err, PLN_E_LIMIT, "%s (GatherND): rank %d", inf->node->name,
                        rank);
    for (int i = 0; i < b; i++)
        if (pln_dim_differ(inf->syms, pln_infer_dim(inf, 0, i), pln_infer_dim(inf, 1, i)))
            return pln_infer_fail(inf, err, "batch dimension %d differs", i);
    pln_shape out = pln_infer_shape(inf, rank);
    for (int i = 0; i < q - 1; i++)
        out.dims[i] = pln_infer_dim(inf, 1, i);
    for (int i = 0; i < tail; i++)
        out.dims[q - 1 + i] = pln_infer_dim(inf, 0, r - tail + i);
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), out);
    return PLN_OK;
}

/* Byte offset of a tuple within a batch. */
static pln_status nd_offset(const pln_call *c, const int64_t *tuple, int64_t k,
                            const int64_t *dims, const int64_t *stride, int64_t *offset,
                            pln_error *err)
{
    *offset = 0;
    for (int64_t i = 0; i < k; i++) {
        int64_t v = tuple[i];
        if (!wrap_index(&v, dims[i]))
            return bad_index(c, tuple[i], dims[i], err);
        *offset += v * stride[i];
    }
    return PLN_OK;
}

static pln_status nd_run(pln_call *c, pln_error *err)
{
    const nd_attrs *a = c->attrs;
    const pln_tensor *x = c->in[0], *idx = c->in[1];
    pln_tensor *y = c->out[0];
    const int b = (int)a->batch_dims, q = idx->rank;
    const int64_t k = idx->dims[q - 1];
    const int64_t size = (int64_t)pln_dtype_size((pln_dtype)x->dtype);
    const int64_t batches = pln_move_count(x->dims, 0, b);
    const int64_t tuples = pln_move_count(idx->dims, b, q - 1);
    const int64_t row = pln_move_count(x->dims, b + (int)k, x->rank) * size;
    const int64_t batch = pln_move_count(x->dims, b, x->rank) * size;
    int64_t stride[PLN_MAX_RANK];
    pln_move_strides(x->rank, x->dims, (size_t)size, stride);
    pln_move_begin(y);
    pln_status st = PLN_OK;
    char *to = y->data;
    for (int64_t i = 0; i < batches * tuples && st == PLN_OK; i++) {
        int64_t at, tuple[PLN_MAX_RANK];
        for (int64_t t = 0; t < k; t++)
            tuple[t] = pln_move_index(idx, i * k + t);
        st = nd_offset(c, tuple, k, x->dims + b, stride + b, &at, err);
        if (st == PLN_OK && row > 0)
            memcpy(to, (const char *)x->data + i / tuples * batch + at, (size_t)row);
        to += row;
    }
    pln_move_end(y);
    return st;
}

static pln_status nd_lower_12(pln_node *n, pln_error *err)
{
    return pln_lower_drop_int(n, "batch_dims", 0, err);
}

/* Of com.microsoft: no batch dimensions. */
static const pln_attr_spec ms_nd_spec[] = { PLN_A_END };
static const pln_attr_spec embedding_spec[] = { PLN_A_END }; /* axis 0 */

static const pln_version_change nd_versions[] = {
    { 12, NULL, nd_lower_12 },
    { 0 },
};

const pln_op_desc pln_ops_gather[] = {
    { .name = "Gather",
      .domain = "",
      .since = 13,
      .in = { 2, 2 },
      .out = { 1, 1 },
      .types = "T:" PLN_TS_STD ";I:" PLN_TS_IND,
      .sig = "T,I->T",
      .attrs = gather_spec,
      .attrs_size = sizeof(gather_attrs),
      .infer = gather_infer,
      .ref = gather_run },
    { .name = "GatherElements",
      .domain = "",
      .since = 13,
      .in = { 2, 2 },
      .out = { 1, 1 },
      .types = "T:" PLN_TS_STD ";I:" PLN_TS_IND,
      .sig = "T,I->T",
      .attrs = gather_spec,
      .attrs_size = sizeof(gather_attrs),
      .infer = elements_infer,
      .ref = elements_run },
    { .name = "GatherND",
      .domain = "",
      .since = 13,
      .in = { 2, 2 },
      .out = { 1, 1 },
      .types = "T:" PLN_TS_STD,
      .sig = "T,int64->T",
      .attrs = nd_spec,
      .attrs_size = sizeof(nd_attrs),
      .infer = nd_infer,
      .ref = nd_run,
      .versions = nd_versions },
    { .name = "GatherND",
      .domain = "com.microsoft",
      .since = 1,
      .in = { 2, 2 },
      .out = { 1, 1 },
      .types = "T:" PLN_TS_STD ";I:" PLN_TS_IND,
      .sig = "T,I->T",
      .attrs = ms_nd_spec,
      .attrs_size = sizeof(nd_attrs),
      .infer = nd_infer,
      .ref = nd_run },
    { .name = "TorchEmbedding", /* its further inputs matter for training alone */
      .domain = "com.microsoft",
      .since = 1,
      .in = { 2, 4 },
      .out = { 1, 1 },
      .types = "T:" PLN_TS_NUM,
      .sig = "T,int64,int64?,bool?->T",
      .attrs = embedding_spec,
      .attrs_size = sizeof(gather_attrs),
      .infer = gather_infer,
      .ref = gather_run },
    { .name = NULL },
};
