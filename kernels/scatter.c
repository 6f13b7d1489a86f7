/* ScatterElements, ScatterND, TensorScatter and the old Scatter: a copy of a tensor with
 * some elements replaced or combined.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/move.h"
#include "kernels/raise.h"
#include "src/ir/numeric.h"

/* ---- combining, by type ---------------------------------------------------------- */

typedef enum scatter_op { SC_NONE, SC_ADD, SC_MUL, SC_MAX, SC_MIN } scatter_op;

typedef struct scatter_fns {
    void (*row)(void *out, const void *update, const pln_tensor *indices, int64_t from,
                int64_t n, int64_t dim, int64_t step, int64_t move);
    void (*run)(void *out, const void *update, int64_t n);
} scatter_fns;

#define PLAIN(x)      (x)
#define SUM(a, b)     ((a) + (b))
#define PRODUCT(a, b) ((a) * (b))
#define GREATER(a, b) ((a) > (b) ? (a) : (b))
#define LESSER(a, b)  ((a) < (b) ? (a) : (b))
/* NaN wins. */
#define GREATER_F(a, b) ((a) > (b) || (a) != (a) ? (a) : (b))
#define LESSER_F(a, b)  ((a) < (b) || (a) != (a) ? (a) : (b))
#define EITHER(a, b)    ((a) || (b))
#define BOTH(a, b)      ((a) && (b))

/* Integers wrap: they are combined unsigned, but compared with their sign. */
#define NAME(x) u8_##x
#define ELEM    uint8_t
#define VAL     uint8_t
#define LOAD    PLAIN
#define STORE   PLAIN
#define ADD     SUM
#define MUL     PRODUCT
#define MAX     GREATER
#define MIN     LESSER
#include "kernels/scatter_tmpl.h"
#define NAME(x) s8_##x
#define ELEM    int8_t
#define VAL     int8_t
#define LOAD    PLAIN
#define STORE   PLAIN
#define ADD     SUM
#define MUL     PRODUCT
#define MAX     GREATER
#define MIN     LESSER
#include "kernels/scatter_tmpl.h"
#define WIDE(a, op, b)  ((uint32_t)(a)op(uint32_t)(b))
#define SUM_W(a, b)     WIDE(a, +, b)
#define PRODUCT_W(a, b) WIDE(a, *, b)
#define NAME(x)         u16_##x
#define ELEM            uint16_t
#define VAL             uint16_t
#define LOAD            PLAIN
#define STORE           PLAIN
#define ADD             SUM_W
#define MUL             PRODUCT_W
#define MAX             GREATER
#define MIN             LESSER
#include "kernels/scatter_tmpl.h"
#define NAME(x)  s16_##x
#define ELEM     int16_t
#define VAL      int16_t
#define LOAD     PLAIN
#define STORE(x) (int16_t)(x)
#define ADD      SUM_W
#define MUL      PRODUCT_W
#define MAX      GREATER
#define MIN      LESSER
#include "kernels/scatter_tmpl.h"
#define NAME(x) u32_##x
#define ELEM    uint32_t
#define VAL     uint32_t
#define LOAD    PLAIN
#define STORE   PLAIN
#define ADD     SUM
#define MUL     PRODUCT
#define MAX     GREATER
#define MIN     LESSER
#include "kernels/scatter_tmpl.h"
#define NAME(x)  s32_##x
#define ELEM     int32_t
#define VAL      int32_t
#define LOAD     PLAIN
#define STORE(x) (int32_t)(x)
#define ADD      SUM_W
#define MUL      PRODUCT_W
#define MAX      GREATER
#define MIN      LESSER
#include "kernels/scatter_tmpl.h"
#define NAME(x) u64_##x
#define ELEM    uint64_t
#define VAL     uint64_t
#define LOAD    PLAIN
#define STORE   PLAIN
#define ADD     SUM
#define MUL     PRODUCT
#define MAX     GREATER
#define MIN     LESSER
#include "kernels/scatter_tmpl.h"
#define SUM_L(a, b)     ((uint64_t)(a) + (uint64_t)(b))
#define PRODUCT_L(a, b) ((uint64_t)(a) * (uint64_t)(b))
#define NAME(x)         s64_##x
#define ELEM            int64_t
#define VAL             int64_t
#define LOAD            PLAIN
#define STORE(x)        (int64_t)(x)
#define ADD             SUM_L
#define MUL             PRODUCT_L
#define MAX             GREATER
#define MIN             LESSER
#include "kernels/scatter_tmpl.h"
#define NAME(x) f32_##x
#define ELEM    float
#define VAL     float
#define LOAD    PLAIN
#define STORE   PLAIN
#define ADD     SUM
#define MUL     PRODUCT
#define MAX     GREATER_F
#define MIN     LESSER_F
#include "kernels/scatter_tmpl.h"
#define NAME(x) f64_##x
#define ELEM    double
#define VAL     double
#define LOAD    PLAIN
#define STORE   PLAIN
#define ADD     SUM
#define MUL     PRODUCT
#define MAX     GREATER_F
#define MIN     LESSER_F
#include "kernels/scatter_tmpl.h"
#define NAME(x) f16_##x
#define ELEM    uint16_t
#define VAL     float
#define LOAD    pln_f16_to_f32
#define STORE   pln_f32_to_f16
#define ADD     SUM
#define MUL     PRODUCT
#define MAX     GREATER_F
#define MIN     LESSER_F
#include "kernels/scatter_tmpl.h"
#define NAME(x) bf16_##x
#define ELEM    uint16_t
#define VAL     float
#define LOAD    pln_bf16_to_f32
#define STORE   pln_f32_to_bf16
#define ADD     SUM
#define MUL     PRODUCT
#define MAX     GREATER_F
#define MIN     LESSER_F
#include "kernels/scatter_tmpl.h"
#define NAME(x) bool_##x
#define ELEM    uint8_t
#define VAL     uint8_t
#define LOAD    PLAIN
#define STORE   PLAIN
#define ADD     EITHER
#define MUL     BOTH
#define MAX     EITHER
#define MIN     BOTH
#include "kernels/scatter_tmpl.h"
#define NAME(x) c64_##x
#define ELEM    _Complex float
#define VAL     _Complex float
#define LOAD    PLAIN
#define STORE   PLAIN
#define ADD     SUM
#define MUL     PRODUCT
#include "kernels/scatter_tmpl.h"
#define NAME(x) c128_##x
#define ELEM    _Complex double
#define VAL     _Complex double
#define LOAD    PLAIN
#define STORE   PLAIN
#define ADD     SUM
#define MUL     PRODUCT
#include "kernels/scatter_tmpl.h"

static const scatter_fns *const fns_by_type[PLN_DT_COUNT] = {
    [PLN_DT_F32] = f32_fns, [PLN_DT_U8] = u8_fns,     [PLN_DT_S8] = s8_fns,
    [PLN_DT_U16] = u16_fns, [PLN_DT_S16] = s16_fns,   [PLN_DT_S32] = s32_fns,
    [PLN_DT_S64] = s64_fns, [PLN_DT_BOOL] = bool_fns, [PLN_DT_F16] = f16_fns,
    [PLN_DT_F64] = f64_fns, [PLN_DT_U32] = u32_fns,   [PLN_DT_U64] = u64_fns,
    [PLN_DT_C64] = c64_fns, [PLN_DT_C128] = c128_fns, [PLN_DT_BF16] = bf16_fns,
};

#define SET(W, size)                                                                     \
    static void set_row_##size(void *out, const void *update, const pln_tensor *indices, \
                               int64_t from, int64_t n, int64_t dim, int64_t step,       \
                               int64_t move)                                             \
    {                                                                                    \
        W *o = out;                                                                      \
        const W *u = update;                                                             \
        for (int64_t i = 0; i < n; i++) {                                                \
            int64_t v = pln_move_index(indices, from + i);                               \
            v += v < 0 ? dim : 0;                                                        \
            o[v * step + i * move] = u[i];                                               \
        }                                                                                \
    }
PLN_MOVE_SIZES(SET)

static const scatter_fns set_fns[] = { { set_row_1, NULL },
                                       { set_row_2, NULL },
                                       { set_row_4, NULL },
                                       { set_row_8, NULL },
                                       { set_row_16, NULL } };

static pln_status pick_fns(const pln_call *c, int op, const scatter_fns **out,
                           pln_error *err)
{
    const pln_dtype dt = c->in[0]->dtype;
    const scatter_fns *of_type = fns_by_type[dt];
    if (op == SC_NONE)
        *out = &set_fns[pln_move_size_index(pln_dtype_size(dt))];
    else if (of_type && of_type[op].row)
        *out = &of_type[op];
    else
        return pln_call_fail(c, err, PLN_E_UNSUPPORTED, "this reduction of %s",
                             pln_dtype_name(dt));
    return PLN_OK;
}

/* ---- shared ---------------------------------------------------------------------- */

/* The output starts as a copy of the data, unless it took over its memory. */
static void copy_data(pln_call *c)
{
    pln_move_begin(c->out[0]);
    pln_move_bytes(c->out[0]->data, c->in[0]->data, pln_move_bytes_of(c->in[0]),
                   c->n_threads);
}

static pln_status prepare_inplace(pln_prep *p, pln_error *err)
{
    if (p->in[0]->dtype != PLN_DT_STRING)
        p->inplace = 0;
    return PLN_OK;
}

static bool index_ok(int64_t v, int64_t dim)
{
    return v >= -dim && v < dim;
}

static pln_status bad_index(const pln_call *c, int64_t v, int64_t dim, pln_error *err)
{
    return pln_call_fail(c, err, PLN_E_RUN, "index %lld is outside [-%lld, %lld)",
                         (long long)v, (long long)dim, (long long)dim);
}

/* ---- ScatterElements ------------------------------------------------------------- */

typedef struct scatter_attrs {
    int64_t axis;
    int reduction;
} scatter_attrs;

static const pln_attr_spec scatter_spec[] = {
    PLN_A_INT(scatter_attrs, axis, 0),
    PLN_A_ENUM(scatter_attrs, reduction, "none|add|mul|max|min", "none"),
    PLN_A_END,
};

static pln_status elements_infer(pln_infer *inf, pln_error *err)
{
    const scatter_attrs *a = inf->attrs;
    const int r = pln_infer_rank(inf, 0), q = pln_infer_rank(inf, 1),
              u = pln_infer_rank(inf, 2);
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), inf->in[0]->shape);
    if (r == PLN_RANK_UNKNOWN || q == PLN_RANK_UNKNOWN || u == PLN_RANK_UNKNOWN)
        return PLN_OK;
    if (r != q || r != u || r == 0)
        return pln_infer_fail(inf, err, "data, indices and updates have ranks %d, %d, %d",
                              r, q, u);
    int axis;
    PLN_TRY(pln_infer_axis(inf, a->axis, r, &axis, err));
    for (int i = 0; i < r; i++) {
        const pln_dim d = pln_infer_dim(inf, 0, i), k = pln_infer_dim(inf, 1, i);
        if (pln_dim_differ(inf->syms, k, pln_infer_dim(inf, 2, i)))
            return pln_infer_fail(inf, err, "indices and updates differ in dimension %d",
                                  i);
        if (i != axis && pln_dim_is_known(d) && pln_dim_is_known(k) && k.value > d.value)
            return pln_infer_fail(inf, err, "indices exceed data in dimension %d", i);
    }
    return PLN_OK;
}

/* All indices of a row are often the same: whole rows are scattered then. */
static bool same_index(const pln_tensor *idx, int64_t from, int64_t n)
{
    if (idx->dtype == PLN_DT_S32) {
        const int32_t *v = PLN_DATA(const int32_t, idx) + from;
        uint32_t diff = 0;
        for (int64_t i = 1; i < n; i++)
            diff |= (uint32_t)v[i] ^ (uint32_t)v[0];
        return diff == 0;
    }
    const int64_t *v = PLN_DATA(const int64_t, idx) + from;
    uint64_t diff = 0;
    for (int64_t i = 1; i < n; i++)
        diff |= (uint64_t)v[i] ^ (uint64_t)v[0];
    return diff == 0;
}

/* Checks every index; whole[r]: row r has one index. */
static pln_status check_rows(const pln_call *c, int64_t rows, int64_t n, int64_t dim,
                             bool along, bool *whole, pln_error *err)
{
    const pln_tensor *idx = c->in[1];
    for (int64_t r = 0; r < rows; r++) {
        whole[r] = !along && same_index(idx, r * n, n);
        const int64_t count = whole[r] ? 1 : n;
        for (int64_t i = r * n; i < r * n + count; i++)
            if (!index_ok(pln_move_index(idx, i), dim))
                return bad_index(c, pln_move_index(idx, i), dim, err);
    }
    return PLN_OK;
}

static void scatter_row(const pln_call *c, const scatter_fns *fns, int axis, int64_t r,
                        int64_t base, const int64_t *stride, bool whole)
{
    const pln_tensor *idx = c->in[1];
    pln_tensor *y = c->out[0];
    const int last = y->rank - 1;
    const int64_t n = idx->dims[last],
                  size = (int64_t)pln_dtype_size((pln_dtype)y->dtype);
    const int64_t dim = y->dims[axis];
    char *to = (char *)y->data + base * size;
    const char *from = (const char *)c->in[2]->data + r * n * size;
    if (!whole) {
        fns->row(to, from, idx, r * n, n, dim, stride[axis], axis == last ? 0 : 1);
        return;
    }
    int64_t v = pln_move_index(idx, r * n);
    v += v < 0 ? dim : 0;
    to += v * stride[axis] * size;
    if (fns->run)
        fns->run(to, from, n);
    else
        memcpy(to, from, (size_t)(n * size));
}

static pln_status elements_run(pln_call *c, pln_error *err)
{
    const scatter_attrs *a = c->attrs;
    const pln_tensor *idx = c->in[1];
    pln_tensor *y = c->out[0];
    const scatter_fns *fns = NULL;
    int axis;
    PLN_TRY(pln_move_axis(c, a->axis, y->rank, &axis, PLN_E_FORMAT, err));
    PLN_TRY(pick_fns(c, a->reduction, &fns, err));
    const int last = y->rank - 1;
    const int64_t total = pln_tensor_size(idx), n = idx->dims[last];
    const int64_t rows = total ? total / n : 0;
    bool *whole = pln_call_scratch(c, (size_t)rows + 1);
    if (!whole)
        return pln_oom(err);
    PLN_TRY(check_rows(c, rows, n, y->dims[axis], axis == last, whole, err));
    copy_data(c);
    int64_t stride[PLN_MAX_RANK], at[PLN_MAX_RANK] = { 0 };
    pln_move_strides(y->rank, y->dims, 1, stride);
    for (int64_t r = 0; r < rows; r++) {
        int64_t base = 0;
        for (int i = 0; i < last; i++)
            base += i == axis ? 0 : at[i] * stride[i];
        scatter_row(c, fns, axis, r, base, stride, whole[r]);
        for (int i = last - 1; i >= 0 && ++at[i] == idx->dims[i]; i--)
            at[i] = 0;
    }
    pln_move_end(y);
    return PLN_OK;
}

static const pln_impl elements_cpu = { "scatter_elements", prepare_inplace, elements_run,
                                       NULL };

/* ---- ScatterND ------------------------------------------------------------------- */

typedef struct nd_attrs {
    int reduction;
} nd_attrs;

static const pln_attr_spec nd_spec[] = {
    PLN_A_ENUM(nd_attrs, reduction, "none|add|mul|max|min", "none"),
    PLN_A_END,
};

static pln_status nd_infer(pln_infer *inf, pln_error *err)
{
    const int r = pln_infer_rank(inf, 0), q = pln_infer_rank(inf, 1),
              u = pln_infer_rank(inf, 2);
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), inf->in[0]->shape);
    if (r == PLN_RANK_UNKNOWN || q == PLN_RANK_UNKNOWN)
        return PLN_OK;
    if (q == 0)
        return pln_infer_fail(inf, err, "indices are a scalar");
    const pln_dim k = pln_infer_dim(inf, 1, q - 1);
    if (!pln_dim_is_known(k))
        return PLN_OK;
    if (k.value > r)
        return pln_infer_fail(inf, err, "index tuples have %lld entries for rank %d",
                              (long long)k.value, r);
    const int want = q - 1 + r - (int)k.value;
    if (u == PLN_RANK_UNKNOWN)
        return PLN_OK;
    if (u != want)
        return pln_infer_fail(inf, err, "updates have rank %d, want %d", u, want);
    for (int i = 0; i < want; i++) {
        const pln_dim d = i < q - 1 ? pln_infer_dim(inf, 1, i)
                                    : pln_infer_dim(inf, 0, i - (q - 1) + (int)k.value);
        if (pln_dim_differ(inf->syms, d, pln_infer_dim(inf, 2, i)))
            return pln_infer_fail(inf, err, "updates don't fit in dimension %d", i);
    }
    return PLN_OK;
}

static pln_status nd_run(pln_call *c, pln_error *err)
{
    const nd_attrs *a = c->attrs;
    const pln_tensor *idx = c->in[1], *u = c->in[2];
    pln_tensor *y = c->out[0];
    const scatter_fns *fns = NULL;
    PLN_TRY(pick_fns(c, a->reduction, &fns, err));
    const int64_t size = (int64_t)pln_dtype_size((pln_dtype)y->dtype);
    const int64_t k = idx->dims[idx->rank - 1];
    const int64_t tuples = pln_move_count(idx->dims, 0, idx->rank - 1);
    const int64_t row = pln_move_count(y->dims, (int)k, y->rank);
    const int64_t *v = idx->data;
    int64_t stride[PLN_MAX_RANK];
    pln_move_strides(y->rank, y->dims, (size_t)size, stride);
    for (int64_t i = 0; i < tuples * k; i++)
        if (!index_ok(v[i], y->dims[i % k]))
            return bad_index(c, v[i], y->dims[i % k], err);
    copy_data(c);
    const char *from = u->data;
    for (int64_t i = 0; i < tuples && row > 0; i++, v += k, from += row * size) {
        char *to = y->data;
        for (int64_t j = 0; j < k; j++)
            to += (v[j] < 0 ? v[j] + y->dims[j] : v[j]) * stride[j];
        if (a->reduction == SC_NONE)
            memcpy(to, from, (size_t)(row * size));
        else
            fns->run(to, from, row);
    }
    pln_move_end(y);
    return PLN_OK;
}

static const pln_impl nd_cpu = { "scatter_nd", prepare_inplace, nd_run, NULL };

/* ---- TensorScatter --------------------------------------------------------------- */

typedef struct cache_attrs {
    int64_t axis;
    int mode; /* 1: circular */
} cache_attrs;

static const pln_attr_spec cache_spec[] = {
    PLN_A_INT(cache_attrs, axis, -2),
    PLN_A_ENUM(cache_attrs, mode, "linear|circular", "linear"),
    PLN_A_END,
};

static pln_status cache_infer(pln_infer *inf, pln_error *err)
{
    const cache_attrs *a = inf->attrs;
    const int r = pln_infer_rank(inf, 0), u = pln_infer_rank(inf, 1);
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), inf->in[0]->shape);
    if (r == PLN_RANK_UNKNOWN || u == PLN_RANK_UNKNOWN)
        return PLN_OK;
    int axis;
    PLN_TRY(pln_infer_axis(inf, a->axis, r, &axis, err));
    if (r != u || axis == 0)
        return pln_infer_fail(inf, err, "ranks %d and %d with axis %d", r, u, axis);
    for (int i = 0; i < r; i++) {
        const pln_dim d = pln_infer_dim(inf, 0, i), e = pln_infer_dim(inf, 1, i);
        if (i != axis ? pln_dim_differ(inf->syms, d, e)
                      : pln_dim_is_known(d) && pln_dim_is_known(e) && e.value > d.value)
            return pln_infer_fail(inf, err, "the update does not fit in dimension %d", i);
    }
    return PLN_OK;
}

/* One batch: `outer` slabs of `steps` steps go to position `at` of `dim`. */
static void cache_batch(char *y, const char *u, int64_t outer, int64_t steps, int64_t dim,
                        int64_t row, int64_t at)
{
    for (int64_t o = 0; o < outer; o++)
        for (int64_t s = 0; s < steps; s++)
            memcpy(y + (o * dim + (at + s) % dim) * row, u + (o * steps + s) * row,
                   (size_t)row);
}

static pln_status cache_run(pln_call *c, pln_error *err)
{
    const cache_attrs *a = c->attrs;
    const pln_tensor *u = c->in[1];
    pln_tensor *y = c->out[0];
    int axis;
    PLN_TRY(pln_move_axis(c, a->axis, y->rank, &axis, PLN_E_FORMAT, err));
    const int64_t dim = y->dims[axis], steps = u->dims[axis], batches = y->dims[0];
    const int64_t outer = pln_move_count(y->dims, 1, axis);
    const int64_t row = pln_move_count(y->dims, axis + 1, y->rank) *
                        (int64_t)pln_dtype_size((pln_dtype)y->dtype);
    if (pln_call_has(c, 2) && pln_tensor_size(c->in[2]) != batches)
        return pln_call_fail(c, err, PLN_E_RUN, "%lld write indices for %lld batches",
                             (long long)pln_tensor_size(c->in[2]), (long long)batches);
    for (int64_t b = 0; b < batches && pln_call_has(c, 2); b++) {
        const int64_t at = pln_move_index(c->in[2], b);
        if (at < 0 || (a->mode == 0 ? at > dim - steps : at >= dim))
            return pln_call_fail(c, err, PLN_E_RUN, "write index %lld of %lld",
                                 (long long)at, (long long)dim);
    }
    copy_data(c);
    for (int64_t b = 0; b < batches && row > 0; b++)
        cache_batch((char *)y->data + b * outer * dim * row,
                    (const char *)u->data + b * outer * steps * row, outer, steps, dim,
                    row, pln_call_has(c, 2) ? pln_move_index(c->in[2], b) : 0);
    pln_move_end(y);
    return PLN_OK;
}

static const pln_impl cache_cpu = { "tensor_scatter", prepare_inplace, cache_run, NULL };

/* ---- versions -------------------------------------------------------------------- */

static pln_status raise_scatter(pln_node *n, pln_error *err)
{
    pln_node_set_op(n, "", "ScatterElements");
    return PLN_OK;
}

static pln_status lower_16(pln_node *n, pln_error *err)
{
    return pln_lower_drop_string(n, "reduction", "none", err);
}

static pln_status lower_18(pln_node *n, pln_error *err)
{
    const pln_attr *a = pln_node_find_attr(n, "reduction");
    if (a && a->type == PLN_ATTR_STRING && a->s[0] == 'm' && a->s[1] != 'u')
        return pln_lower_fail(n, err,
                              "the older version has no reduction 'max' or 'min'");
    return PLN_OK;
}

/* It was called Scatter. */
static pln_status lower_elements(pln_node *n, pln_error *err)
{
    (void)err;
    pln_node_set_op(n, "", "Scatter");
    return PLN_OK;
}

static const pln_version_change elements_versions[] = {
    { 11, NULL, lower_elements },
    { 16, NULL, lower_16 },
    { 18, NULL, lower_18 },
    { 0 },
};
static const pln_version_change scatter_versions[] = {
    { 16, NULL, lower_16 },
    { 18, NULL, lower_18 },
    { 0 },
};
static const pln_version_change old_versions[] = {
    { 11, raise_scatter, NULL },
    { 0 },
};

#define CACHE_TYPES                                                                 \
    PLN_TS_STD ",float8e4m3fn,float8e4m3fnuz,float8e5m2,float8e5m2fnuz,float8e8m0," \
               "float4e2m1,uint4,int4"

const pln_op_desc pln_ops_scatter[] = {
    { .name = "ScatterElements",
      .domain = "",
      .since = 18,
      .in = { 3, 3 },
      .out = { 1, 1 },
      .types = "T:" PLN_TS_STD ";I:" PLN_TS_IND,
      .sig = "T,I,T->T",
      .attrs = scatter_spec,
      .attrs_size = sizeof(scatter_attrs),
      .infer = elements_infer,
      .ref = elements_run,
      .cpu = &elements_cpu,
      .versions = elements_versions },
    { .name = "Scatter",
      .domain = "",
      .since = 9,
      .until = 11,
      .in = { 3, 3 },
      .out = { 1, 1 },
      .types = "T:" PLN_TS_OLD ";I:" PLN_TS_IND,
      .sig = "T,I,T->T",
      .attrs = scatter_spec,
      .attrs_size = sizeof(scatter_attrs),
      .infer = elements_infer,
      .ref = elements_run,
      .versions = old_versions },
    { .name = "ScatterND",
      .domain = "",
      .since = 18,
      .in = { 3, 3 },
      .out = { 1, 1 },
      .types = "T:" PLN_TS_STD,
      .sig = "T,int64,T->T",
      .attrs = nd_spec,
      .attrs_size = sizeof(nd_attrs),
      .infer = nd_infer,
      .ref = nd_run,
      .cpu = &nd_cpu,
      .versions = scatter_versions },
    { .name = "TensorScatter",
      .domain = "",
      .since = 24,
      .in = { 2, 3 },
      .out = { 1, 1 },
      .types = "T:" CACHE_TYPES,
      .sig = "T,T,int64?->T",
      .attrs = cache_spec,
      .attrs_size = sizeof(cache_attrs),
      .infer = cache_infer,
      .ref = cache_run,
      .cpu = &cache_cpu },
    { .name = NULL },
};
