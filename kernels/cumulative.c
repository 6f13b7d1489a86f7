/* Operators that walk along one axis: CumSum, CumProd, ArgMax, ArgMin.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/block.h"
#include "kernels/expand.h"
#include "kernels/raise.h"
#include "kernels/type_sets.h"
#include "kernels/typed.h"
#include "src/ir/op.h"
#include "src/util/parallel.h"

#include <math.h>
#include <string.h>

#define RUN 256

/* ---- CumSum, CumProd --------------------------------------------------------------- */

typedef struct cum_attrs {
    int64_t exclusive, reverse;
} cum_attrs;

static const pln_attr_spec cum_spec[] = {
    PLN_A_INT(cum_attrs, exclusive, 0),
    PLN_A_INT(cum_attrs, reverse, 0),
    PLN_A_END,
};

static inline double add_f64(double a, double b)
{
    return a + b;
}
static inline double mul_f64(double a, double b)
{
    return a * b;
}
static inline int64_t add_s64(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}
static inline int64_t mul_s64(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a * (uint64_t)b);
}

/* One run of v becomes its partial results; *acc goes on to the next run. */
#define SCAN(name, type, op)                                          \
    static void name(void *pv, int64_t n, bool exclusive, void *pacc) \
    {                                                                 \
        type *v = (type *)pv, acc = *(type *)pacc;                    \
        for (int64_t i = 0; i < n; i++) {                             \
            const type next = op(acc, v[i]);                          \
            v[i] = exclusive ? acc : next;                            \
            acc = next;                                               \
        }                                                             \
        *(type *)pacc = acc;                                          \
    }
SCAN(sum_f64, double, add_f64)
SCAN(sum_s64, int64_t, add_s64)
SCAN(prod_f64, double, mul_f64)
SCAN(prod_s64, int64_t, mul_s64)

typedef void (*scan_fn)(void *v, int64_t n, bool exclusive, void *acc);

typedef struct number {
    double f64;
    int64_t s64;
} number;

static void scan_line(const pln_call *c, const pln_axis *a, int64_t at, scan_fn fn,
                      pln_dtype work, number start)
{
    const cum_attrs *attrs = (const cum_attrs *)c->attrs;
    union {
        double f64[RUN];
        int64_t s64[RUN];
    } v;
    void *acc = work == PLN_DT_F64 ? (void *)&start.f64 : (void *)&start.s64;
    const int64_t step = attrs->reverse ? -a->inner : a->inner;
    if (attrs->reverse)
        at += (a->n - 1) * a->inner;
    for (int64_t i = 0; i < a->n; i += RUN) {
        const int64_t n = a->n - i < RUN ? a->n - i : RUN;
        pln_block_load(work, v.f64, c->in[0], at + i * step, step, n);
        fn(v.f64, n, attrs->exclusive, acc);
        pln_block_store(c->out[0], at + i * step, step, work, v.f64, n);
    }
}

static pln_status cum_axis(const pln_call *c, pln_axis *out, pln_error *err)
{
    const pln_tensor *x = c->in[0];
    int axis = 0;
    if (pln_tensor_size(c->in[1]) != 1)
        return pln_call_fail(c, err, PLN_E_RUN, "axis has %lld elements",
                             (long long)pln_tensor_size(c->in[1]));
    const int64_t given = pln_tensor_get_i64(c->in[1], 0);
    if (x->rank == 0 ? given != 0 && given != -1
                     : !pln_axis_normal(given, x->rank, &axis))
        return pln_call_fail(c, err, PLN_E_RUN, "axis %lld with rank %d",
                             (long long)given, x->rank);
    *out = pln_axis_of(x, axis, axis + 1);
    return PLN_OK;
}

static pln_status cumulate(pln_call *c, scan_fn f64, scan_fn s64, number start,
                           pln_error *err)
{
    pln_axis a;
    PLN_TRY(cum_axis(c, &a, err));
    const bool floats = pln_dtype_is_float((pln_dtype)c->in[0]->dtype);
    for (int64_t o = 0; o < a.outer; o++)
        for (int64_t j = 0; j < a.inner; j++)
            scan_line(c, &a, o * a.n * a.inner + j, floats ? f64 : s64,
                      floats ? PLN_DT_F64 : PLN_DT_S64, start);
    return PLN_OK;
}

static pln_status CumSum_ref(pln_call *c, pln_error *err)
{
    return cumulate(c, sum_f64, sum_s64, (number){ 0, 0 }, err);
}

static pln_status CumProd_ref(pln_call *c, pln_error *err)
{
    return cumulate(c, prod_f64, prod_s64, (number){ 1, 1 }, err);
}

/* Rows of the axis one behind the other, COLUMNS of them side by side. */
#define COLUMNS 256

typedef struct cum_job {
    const pln_call *c;
    pln_axis a;
    int64_t blocks;
} cum_job;

static void cum_blocks(void *arg, int64_t begin, int64_t end)
{
    const cum_job *j = (const cum_job *)arg;
    const cum_attrs *attrs = (const cum_attrs *)j->c->attrs;
    const pln_dtype dt = (pln_dtype)j->c->in[0]->dtype;
    const int64_t size = (int64_t)pln_dtype_size(dt), n = j->a.n, inner = j->a.inner;
    for (int64_t b = begin; b < end; b++) {
        uint64_t acc[COLUMNS] = { 0 };
        const int64_t first = b % j->blocks * COLUMNS;
        const int64_t w = inner - first < COLUMNS ? inner - first : COLUMNS;
        const int64_t at = (b / j->blocks * n * inner + first) * size;
        for (int64_t i = 0; i < n; i++) {
            const int64_t row = at + (attrs->reverse ? n - 1 - i : i) * inner * size;
            pln_typed()->cum_sum[dt]((char *)j->c->out[0]->data + row,
                                     (const char *)j->c->in[0]->data + row, acc, w,
                                     attrs->exclusive != 0);
        }
    }
}

static pln_status CumSum_run(pln_call *c, pln_error *err)
{
    cum_job j = { .c = c };
    PLN_TRY(cum_axis(c, &j.a, err));
    if (j.a.inner < 4)
        return CumSum_ref(c, err);
    j.blocks = (j.a.inner + COLUMNS - 1) / COLUMNS;
    if (j.a.n > 0)
        pln_parallel_for(c->n_threads, j.a.outer * j.blocks, 1 + 128 / j.a.n, cum_blocks,
                         &j);
    return PLN_OK;
}

static pln_status cum_prepare(pln_prep *p, pln_error *err)
{
    (void)err;
    if (!pln_typed()->cum_sum[p->in[0]->dtype])
        return PLN_E_UNSUPPORTED;
    p->layout_in[0] = PLN_LAYOUT_PLAIN;
    return PLN_OK;
}

static const pln_impl CumSum_cpu = { "cum_sum", cum_prepare, CumSum_run, NULL };

/* ---- ArgMax, ArgMin ---------------------------------------------------------------- */

typedef struct arg_attrs {
    int64_t axis, keepdims, select_last_index;
} arg_attrs;

static const pln_attr_spec arg_spec[] = {
    PLN_A_INT(arg_attrs, axis, 0),
    PLN_A_INT(arg_attrs, keepdims, 1),
    PLN_A_INT(arg_attrs, select_last_index, 0),
    PLN_A_END,
};

typedef struct arg_job {
    const pln_call *c;
    pln_axis a;
    bool max;
} arg_job;

/* A NaN is beyond all numbers, as in NumPy. `sign` -1 turns the search round. */
#define BEST(name, type, better)                                                   \
    static void name(const type *v, int64_t first, int64_t n, bool max, bool last, \
                     type *best, int64_t *at)                                      \
    {                                                                              \
        for (int64_t i = 0; i < n; i++) {                                          \
            const type a = max ? v[i] : *best, b = max ? *best : v[i];             \
            if (*at < 0 || (better) || (last && v[i] == *best)) {                  \
                *best = v[i];                                                      \
                *at = first + i;                                                   \
            }                                                                      \
        }                                                                          \
    }
BEST(best_f64, double, a > b || (v[i] != v[i] && (*best == *best || last)))
BEST(best_s64, int64_t, a > b)

static int64_t find_best(const arg_job *j, int64_t at)
{
    const arg_attrs *attrs = (const arg_attrs *)j->c->attrs;
    const pln_tensor *x = j->c->in[0];
    const pln_dtype dt = (pln_dtype)x->dtype;
    const bool floats = pln_dtype_is_float(dt);
    union {
        double f64[RUN];
        int64_t s64[RUN];
    } v;
    double bf = 0;
    int64_t bi = 0, best = -1;
    for (int64_t i = 0; i < j->a.n; i += RUN) {
        const int64_t n = j->a.n - i < RUN ? j->a.n - i : RUN;
        pln_block_load(floats ? PLN_DT_F64 : PLN_DT_S64, v.f64, x, at + i * j->a.inner,
                       j->a.inner, n);
        for (int64_t k = 0; dt == PLN_DT_U64 && k < n; k++)
            v.s64[k] ^= INT64_MIN;
        if (floats)
            best_f64(v.f64, i, n, j->max, attrs->select_last_index, &bf, &best);
        else
            best_s64(v.s64, i, n, j->max, attrs->select_last_index, &bi, &best);
    }
    return best;
}

static void arg_lines(void *arg, int64_t begin, int64_t end)
{
    const arg_job *j = (const arg_job *)arg;
    int64_t *y = PLN_DATA(int64_t, j->c->out[0]);
    for (int64_t l = begin; l < end; l++)
        y[l] = find_best(j, l / j->a.inner * j->a.n * j->a.inner + l % j->a.inner);
}

static pln_status arg_job_of(const pln_call *c, bool max, arg_job *j, pln_error *err)
{
    const arg_attrs *attrs = (const arg_attrs *)c->attrs;
    const pln_tensor *x = c->in[0];
    int axis = 0;
    if (x->rank > 0 && !pln_axis_normal(attrs->axis, x->rank, &axis))
        return pln_call_fail(c, err, PLN_E_RUN, "axis %lld with rank %d",
                             (long long)attrs->axis, x->rank);
    *j = (arg_job){ c, pln_axis_of(x, axis, axis + 1), max };
    if (j->a.outer * j->a.inner > 0 && j->a.n == 0)
        return pln_call_fail(c, err, PLN_E_RUN, "axis %d has no elements", axis);
    return PLN_OK;
}

static pln_status arg_ref(pln_call *c, bool max, pln_error *err)
{
    arg_job j;
    PLN_TRY(arg_job_of(c, max, &j, err));
    if (j.a.outer * j.a.inner > 0)
        pln_parallel_for(c->n_threads, j.a.outer * j.a.inner, 1 + 32768 / j.a.n,
                         arg_lines, &j);
    return PLN_OK;
}

static pln_status ArgMax_ref(pln_call *c, pln_error *err)
{
    return arg_ref(c, true, err);
}

static pln_status ArgMin_ref(pln_call *c, pln_error *err)
{
    return arg_ref(c, false, err);
}

/* ---- the fast version ---- */

/* Outputs next to each other: the axis is not the last. */
static void arg_blocks(void *arg, int64_t begin, int64_t end)
{
    const arg_job *j = (const arg_job *)arg;
    const arg_attrs *attrs = (const arg_attrs *)j->c->attrs;
    const pln_tensor *x = j->c->in[0];
    const int64_t size = (int64_t)pln_dtype_size((pln_dtype)x->dtype);
    const int64_t inner = j->a.inner, blocks = (inner + COLUMNS - 1) / COLUMNS;
    uint64_t best[COLUMNS], at[COLUMNS];
    for (int64_t b = begin; b < end; b++) {
        const int64_t first = b % blocks * COLUMNS, o = b / blocks;
        const int64_t w = inner - first < COLUMNS ? inner - first : COLUMNS;
        int64_t *y = PLN_DATA(int64_t, j->c->out[0]) + o * inner + first;
        for (int64_t i = 0; i < j->a.n; i++)
            pln_typed()->arg_rows[x->dtype](
                (const char *)x->data + ((o * j->a.n + i) * inner + first) * size, i, w,
                j->max, attrs->select_last_index != 0, best, at);
        if (size == 8)
            memcpy(y, at, (size_t)w * sizeof *y);
        for (int64_t i = 0; size < 8 && i < w; i++)
            y[i] = ((const int32_t *)(const void *)at)[i];
    }
}

static void arg_rows(void *arg, int64_t begin, int64_t end)
{
    const arg_job *j = (const arg_job *)arg;
    const arg_attrs *attrs = (const arg_attrs *)j->c->attrs;
    const pln_tensor *x = j->c->in[0];
    const int64_t bytes = j->a.n * (int64_t)pln_dtype_size((pln_dtype)x->dtype);
    int64_t *y = PLN_DATA(int64_t, j->c->out[0]);
    for (int64_t o = begin; o < end; o++)
        y[o] = pln_typed()->arg_row[x->dtype]((const char *)x->data + o * bytes, j->a.n,
                                              j->max, attrs->select_last_index != 0);
}

static pln_status arg_fast(pln_call *c, bool max, pln_error *err)
{
    arg_job j;
    PLN_TRY(arg_job_of(c, max, &j, err));
    if (j.a.outer * j.a.inner == 0)
        return PLN_OK;
    if (j.a.n > INT32_MAX)
        return arg_ref(c, max, err);
    if (j.a.inner == 1)
        pln_parallel_for(c->n_threads, j.a.outer, 1 + 32768 / j.a.n, arg_rows, &j);
    else
        pln_parallel_for(c->n_threads, j.a.outer * ((j.a.inner + COLUMNS - 1) / COLUMNS),
                         1 + 128 / j.a.n, arg_blocks, &j);
    return PLN_OK;
}

static pln_status ArgMax_run(pln_call *c, pln_error *err)
{
    return arg_fast(c, true, err);
}

static pln_status ArgMin_run(pln_call *c, pln_error *err)
{
    return arg_fast(c, false, err);
}

static pln_status arg_prepare(pln_prep *p, pln_error *err)
{
    (void)err;
    if (!pln_typed()->arg_row[p->in[0]->dtype])
        return PLN_E_UNSUPPORTED;
    p->layout_in[0] = PLN_LAYOUT_PLAIN;
    return PLN_OK;
}

static const pln_impl ArgMax_cpu = { "arg_max", arg_prepare, ArgMax_run, NULL };
static const pln_impl ArgMin_cpu = { "arg_min", arg_prepare, ArgMin_run, NULL };

static pln_status arg_infer(pln_infer *inf, pln_error *err)
{
    const arg_attrs *a = (const arg_attrs *)inf->attrs;
    const int rank = pln_infer_rank(inf, 0);
    pln_shape s = pln_shape_unknown();
    int axis = -1;
    if (rank > 0)
        PLN_TRY(pln_infer_axis(inf, a->axis, rank, &axis, err));
    if (rank != PLN_RANK_UNKNOWN) {
        s = pln_infer_shape(inf, a->keepdims || rank == 0 ? rank : rank - 1);
        for (int i = 0, k = 0; i < rank && k < s.rank; i++)
            if (i != axis)
                s.dims[k++] = pln_infer_dim(inf, 0, i);
            else if (a->keepdims)
                s.dims[k++] = pln_dim_of(1);
    }
    pln_infer_set(inf, 0, PLN_DT_S64, s);
    return PLN_OK;
}

static pln_status arg_lower_12(pln_node *n, pln_error *err)
{
    return pln_lower_drop_int(n, "select_last_index", 0, err);
}

static const pln_version_change arg_versions[] = { { 12, NULL, arg_lower_12 }, { 0 } };

/* ---- the rows ---------------------------------------------------------------------- */

#define CPU_CumSum  &CumSum_cpu
#define CPU_CumProd NULL
#define CUM(op, version)                                                              \
    {                                                                                 \
        .name = #op, .domain = "", .since = version, .in = { 2, 2 }, .out = { 1, 1 }, \
        .types = "T:uint32,uint64,int32,int64," PLN_TS_FLOAT ";T2:int32,int64",       \
        .sig = "T,T2->T", .attrs = cum_spec, .attrs_size = sizeof(cum_attrs),         \
        .infer = pln_infer_same, .ref = op##_ref, .cpu = CPU_##op,                    \
        .expand = pln_expand_cumulative                                               \
    }
#define ARG(op)                                                                  \
    {                                                                            \
        .name = #op, .domain = "", .since = 13, .in = { 1, 1 }, .out = { 1, 1 }, \
        .types = "T:" PLN_TS_NUM, .sig = "T->int64", .attrs = arg_spec,          \
        .attrs_size = sizeof(arg_attrs), .infer = arg_infer, .ref = op##_ref,    \
        .cpu = &op##_cpu, .versions = arg_versions, .expand = pln_expand_arg     \
    }

const pln_op_desc pln_ops_cumulative[] = {
    CUM(CumSum, 14), CUM(CumProd, 26), ARG(ArgMax), ARG(ArgMin), { .name = NULL },
};
