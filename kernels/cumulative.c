/* Operators that walk along one axis: CumSum, CumProd, ArgMax, ArgMin.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/block.h"
#include "kernels/type_sets.h"
#include "src/ir/op.h"
#include "src/util/parallel.h"

#include <math.h>

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

static pln_status cumulate(pln_call *c, scan_fn f64, scan_fn s64, number start,
                           pln_error *err)
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
    const pln_axis a = pln_axis_of(x, axis, axis + 1);
    const bool floats = pln_dtype_is_float((pln_dtype)x->dtype);
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

static pln_status arg_ref(pln_call *c, bool max, pln_error *err)
{
    const arg_attrs *attrs = (const arg_attrs *)c->attrs;
    const pln_tensor *x = c->in[0];
    int axis = 0;
    if (x->rank > 0 && !pln_axis_normal(attrs->axis, x->rank, &axis))
        return pln_call_fail(c, err, PLN_E_RUN, "axis %lld with rank %d",
                             (long long)attrs->axis, x->rank);
    arg_job j = { c, pln_axis_of(x, axis, axis + 1), max };
    if (j.a.outer * j.a.inner == 0)
        return PLN_OK;
    if (j.a.n == 0)
        return pln_call_fail(c, err, PLN_E_RUN, "axis %d has no elements", axis);
    pln_parallel_for(c->n_threads, j.a.outer * j.a.inner, 1 + 32768 / j.a.n, arg_lines,
                     &j);
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

/* ---- the rows ---------------------------------------------------------------------- */

#define CUM(op, version)                                                              \
    {                                                                                 \
        .name = #op, .domain = "", .since = version, .in = { 2, 2 }, .out = { 1, 1 }, \
        .types = "T:uint32,uint64,int32,int64," PLN_TS_FLOAT ";T2:int32,int64",       \
        .sig = "T,T2->T", .attrs = cum_spec, .attrs_size = sizeof(cum_attrs),         \
        .infer = pln_infer_same, .ref = op##_ref                                      \
    }
#define ARG(op)                                                                  \
    {                                                                            \
        .name = #op, .domain = "", .since = 13, .in = { 1, 1 }, .out = { 1, 1 }, \
        .types = "T:" PLN_TS_NUM, .sig = "T->int64", .attrs = arg_spec,          \
        .attrs_size = sizeof(arg_attrs), .infer = arg_infer, .ref = op##_ref     \
    }

const pln_op_desc pln_ops_cumulative[] = {
    CUM(CumSum, 14), CUM(CumProd, 26), ARG(ArgMax), ARG(ArgMin), { .name = NULL },
};
