/* Softmax, LogSoftmax, Hardmax: normalizations along one axis.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/block.h"
#include "kernels/expand.h"
#include "kernels/type_sets.h"
#include "kernels/typed.h"
#include "kernels/vec.h"
#include "src/ir/op.h"
#include "src/util/parallel.h"
#include "src/util/size.h"

#include <math.h>
#include <string.h>

typedef struct softmax_attrs {
    int64_t axis;
    int64_t pln_flatten; /* before version 13: all dimensions from axis on are one */
} softmax_attrs;

static const pln_attr_spec softmax_spec[] = {
    PLN_A_INT(softmax_attrs, axis, -1),
    PLN_A_INT(softmax_attrs, pln_flatten, 0),
    PLN_A_END,
};

static pln_status softmax_infer(pln_infer *inf, pln_error *err)
{
    const softmax_attrs *a = (const softmax_attrs *)inf->attrs;
    const int rank = pln_infer_rank(inf, 0);
    int axis;
    PLN_TRY(pln_infer_same(inf, err));
    if (rank == PLN_RANK_UNKNOWN || (rank == 0 && a->axis >= -1 && a->axis <= 0) ||
        (a->pln_flatten && a->axis == rank))
        return PLN_OK;
    return pln_infer_axis(inf, a->axis, rank, &axis, err);
}

static pln_status find_axis(const pln_call *c, pln_axis *out, pln_error *err)
{
    const softmax_attrs *a = (const softmax_attrs *)c->attrs;
    const pln_tensor *x = c->in[0];
    int axis = 0;
    if (a->pln_flatten && a->axis == x->rank)
        axis = x->rank;
    else if (x->rank > 0 && !pln_axis_normal(a->axis, x->rank, &axis))
        return pln_call_fail(c, err, PLN_E_RUN, "axis %lld with rank %d",
                             (long long)a->axis, x->rank);
    *out = pln_axis_of(x, axis, a->pln_flatten ? x->rank : axis + 1);
    return PLN_OK;
}

static double max_of(const double *v, int64_t n)
{
    double m = -INFINITY;
    for (int64_t i = 0; i < n; i++)
        m = m > v[i] || m != m ? m : v[i];
    return m;
}

/* Softmax and LogSoftmax are functions of the standard: what its bodies keep in tensors
 * is rounded to the type. */
static void less_max(double *v, int64_t n, pln_dtype dt)
{
    const double m = max_of(v, n);
    for (int64_t i = 0; i < n; i++)
        v[i] -= m;
    pln_block_round(dt, v, n);
}

static void soft_row(double *v, int64_t n, pln_dtype dt)
{
    double sum = 0;
    less_max(v, n, dt);
    for (int64_t i = 0; i < n; i++)
        v[i] = exp(v[i]);
    pln_block_round(dt, v, n);
    for (int64_t i = 0; i < n; i++)
        sum += v[i];
    pln_block_round(dt, &sum, 1);
    for (int64_t i = 0; i < n; i++)
        v[i] /= sum;
}

static void log_row(double *v, int64_t n, pln_dtype dt)
{
    double sum = 0;
    less_max(v, n, dt);
    for (int64_t i = 0; i < n; i++) {
        double e = exp(v[i]);
        pln_block_round(dt, &e, 1);
        sum += e;
    }
    pln_block_round(dt, &sum, 1);
    sum = log(sum);
    pln_block_round(dt, &sum, 1);
    for (int64_t i = 0; i < n; i++)
        v[i] -= sum;
}

static void hard_row(double *v, int64_t n, pln_dtype dt)
{
    (void)dt;
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (v[i] > v[best] || (v[i] != v[i] && v[best] == v[best]))
            best = i;
    for (int64_t i = 0; i < n; i++)
        v[i] = i == best;
}

typedef void (*row_fn)(double *v, int64_t n, pln_dtype dt);

static pln_status by_rows(pln_call *c, row_fn row, pln_error *err)
{
    pln_axis a;
    size_t bytes;
    PLN_TRY(find_axis(c, &a, err));
    if (!pln_size_mul(&bytes, (size_t)a.n, sizeof(double)))
        return pln_oom(err);
    double *v = (double *)pln_call_scratch(c, bytes);
    if (!v)
        return pln_oom(err);
    for (int64_t o = 0; o < a.outer; o++)
        for (int64_t j = 0; j < a.inner; j++) {
            const int64_t at = o * a.n * a.inner + j;
            pln_block_load(PLN_DT_F64, v, c->in[0], at, a.inner, a.n);
            row(v, a.n, (pln_dtype)c->in[0]->dtype);
            pln_block_store(c->out[0], at, a.inner, PLN_DT_F64, v, a.n);
        }
    return PLN_OK;
}

static pln_status Softmax_ref(pln_call *c, pln_error *err)
{
    return by_rows(c, soft_row, err);
}

static pln_status LogSoftmax_ref(pln_call *c, pln_error *err)
{
    return by_rows(c, log_row, err);
}

static pln_status Hardmax_ref(pln_call *c, pln_error *err)
{
    return by_rows(c, hard_row, err);
}

/* ---- vector version ---------------------------------------------------------------- */

#define COLUMNS 256

typedef struct job {
    const float *x;
    float *y;
    pln_axis a;
    bool log;
    /* what is kept between the steps is rounded to it; NONE: not at all */
    pln_dtype half;
} job;

/* v[n] as its type keeps it. */
static void round_half(const job *j, float *v, int64_t n)
{
    const pln_vec_fns *f = pln_vec();
    uint16_t half[COLUMNS];
    for (int64_t i = 0; j->half != PLN_DT_NONE && i < n; i += COLUMNS) {
        const int64_t k = n - i < COLUMNS ? n - i : COLUMNS;
        if (j->half == PLN_DT_F16) {
            f->f32_f16(half, v + i, k);
            f->f16_f32(v + i, half, k);
        } else {
            f->f32_bf16(half, v + i, k);
            f->bf16_f32(v + i, half, k);
        }
    }
}

/* y = x less its maximum m, and the sum of exp(y) or its logarithm. */
static float half_row(const job *j, float *y, const float *x, float m, float *t,
                      int64_t n)
{
    const pln_vec_fns *f = pln_vec();
    float sum = 0;
    f->linear(y, x, n, 1.0f, -m);
    round_half(j, y, n);
    for (int64_t i = 0; i < n; i += COLUMNS) {
        const int64_t k = n - i < COLUMNS ? n - i : COLUMNS;
        float *e = j->log ? t : y + i;
        f->exp(e, y + i, k, 0, 0);
        round_half(j, e, k);
        sum += f->sum(e, k);
    }
    round_half(j, &sum, 1);
    if (j->log) {
        f->log(&sum, &sum, 1, 0, 0);
        round_half(j, &sum, 1);
    }
    return sum;
}

static void half_rows(void *arg, int64_t begin, int64_t end)
{
    const job *j = (const job *)arg;
    const pln_vec_fns *f = pln_vec();
    const int64_t n = j->a.n;
    float t[COLUMNS];
    for (int64_t r = begin; r < end; r++) {
        float *y = j->y + r * n;
        const float sum = half_row(j, y, j->x + r * n, f->max_of(j->x + r * n, n), t, n);
        (j->log ? f->sub : f->div)(y, y, 1, &sum, 0, n);
    }
}

static void rows_f32(void *arg, int64_t begin, int64_t end)
{
    const job *j = (const job *)arg;
    const pln_vec_fns *f = pln_vec();
    const int64_t n = j->a.n;
    for (int64_t r = begin; r < end; r++) {
        const float *x = j->x + r * n;
        float *y = j->y + r * n;
        const float m = f->max_of(x, n);
        if (j->log) {
            const float all = f->log_sum_exp(x, n, m);
            f->linear(y, x, n, 1.0f, -m);
            f->linear(y, y, n, 1.0f, -all);
        } else {
            const float sum = f->exp_sum(y, x, n, m);
            f->linear(y, y, n, 1.0f / sum, 0.0f);
        }
    }
}

/* Maxima and sums of `w` neighbouring columns. */
static void column_sums(const job *j, const float *x, float *y, int64_t w, float *m,
                        float *sum)
{
    const pln_vec_fns *f = pln_vec();
    const int64_t n = j->a.n, inner = j->a.inner;
    float t[COLUMNS];
    f->linear(m, x, w, 1.0f, 0.0f);
    for (int64_t i = 1; i < n; i++)
        f->max(m, m, 1, x + i * inner, 1, w);
    for (int64_t i = 0; i < w; i++)
        sum[i] = 0;
    for (int64_t i = 0; i < n; i++) {
        f->sub(t, x + i * inner, 1, m, 1, w);
        round_half(j, t, w);
        float *e = j->log ? t : y + i * inner;
        f->exp(e, t, w, 0, 0);
        round_half(j, e, w);
        f->add_to(sum, e, w);
    }
    round_half(j, sum, w);
    if (j->log) {
        f->log(sum, sum, w, 0, 0);
        round_half(j, sum, w);
    }
}

/* Columns side by side: the axis is not the last. */
static void columns_f32(void *arg, int64_t begin, int64_t end)
{
    const job *j = (const job *)arg;
    const pln_vec_fns *f = pln_vec();
    const int64_t n = j->a.n, inner = j->a.inner;
    const int64_t blocks = (inner + COLUMNS - 1) / COLUMNS;
    float m[COLUMNS], sum[COLUMNS];
    for (int64_t b = begin; b < end; b++) {
        const int64_t at = b / blocks * n * inner + b % blocks * COLUMNS;
        const int64_t left = inner - b % blocks * COLUMNS;
        const int64_t w = left < COLUMNS ? left : COLUMNS;
        const float *x = j->x + at;
        float *y = j->y + at;
        column_sums(j, x, y, w, m, sum);
        for (int64_t i = 0; i < n; i++) {
            if (j->log) {
                f->sub(y + i * inner, x + i * inner, 1, m, 1, w);
                round_half(j, y + i * inner, w);
                f->sub(y + i * inner, y + i * inner, 1, sum, 1, w);
            } else {
                f->div(y + i * inner, y + i * inner, 1, sum, 1, w);
            }
        }
    }
}

/* Short floats become floats for the time of the call. */
static pln_status load_half(pln_call *c, job *j, pln_error *err)
{
    size_t bytes;
    const pln_tensor *x = c->in[0];
    j->half = (pln_dtype)x->dtype;
    if (!pln_size_mul(&bytes, (size_t)pln_tensor_size(x), sizeof(float)) ||
        !(j->y = (float *)pln_call_scratch(c, bytes + 64)))
        return pln_oom(err);
    pln_block_load(PLN_DT_F32, j->y, x, 0, 1, pln_tensor_size(x));
    j->x = j->y;
    return PLN_OK;
}

static pln_status run_float(pln_call *c, bool log, pln_error *err)
{
    job j = { PLN_DATA(const float, c->in[0]), PLN_DATA(float, c->out[0]), { 0 }, log,
              PLN_DT_NONE };
    PLN_TRY(find_axis(c, &j.a, err));
    if (j.a.outer == 0 || j.a.n == 0 || j.a.inner == 0)
        return PLN_OK;
    if (c->in[0]->dtype != PLN_DT_F32)
        PLN_TRY(load_half(c, &j, err));
    const int64_t grain = 1 + 8192 / j.a.n;
    if (j.a.inner == 1)
        pln_parallel_for(c->n_threads, j.a.outer, grain,
                         j.half == PLN_DT_NONE ? rows_f32 : half_rows, &j);
    else
        pln_parallel_for(c->n_threads, j.a.outer * ((j.a.inner + COLUMNS - 1) / COLUMNS),
                         1, columns_f32, &j);
    if (j.half != PLN_DT_NONE)
        pln_block_store(c->out[0], 0, 1, PLN_DT_F32, j.y, pln_tensor_size(c->out[0]));
    return PLN_OK;
}

static pln_status Softmax_run(pln_call *c, pln_error *err)
{
    return run_float(c, false, err);
}

static pln_status LogSoftmax_run(pln_call *c, pln_error *err)
{
    return run_float(c, true, err);
}

static pln_status prepare(pln_prep *p, pln_error *err)
{
    (void)err;
    const pln_dtype dt = (pln_dtype)p->in[0]->dtype;
    if (dt != PLN_DT_F32 && dt != PLN_DT_F16 && dt != PLN_DT_BF16)
        return PLN_E_UNSUPPORTED;
    p->layout_in[0] = PLN_LAYOUT_PLAIN;
    return PLN_OK;
}

/* ---- Hardmax in float ---- */

static void hard_rows(void *arg, int64_t begin, int64_t end)
{
    const job *j = (const job *)arg;
    const int64_t n = j->a.n;
    for (int64_t r = begin; r < end; r++) {
        const int64_t at = pln_typed()->arg_row[PLN_DT_F32](j->x + r * n, n, true, false);
        memset(j->y + r * n, 0, (size_t)n * sizeof *j->y); /* y may be x */
        j->y[r * n + at] = 1;
    }
}

static void hard_columns(void *arg, int64_t begin, int64_t end)
{
    const job *j = (const job *)arg;
    const int64_t n = j->a.n, inner = j->a.inner,
                  blocks = (inner + COLUMNS - 1) / COLUMNS;
    float best[COLUMNS];
    int32_t at[COLUMNS];
    for (int64_t b = begin; b < end; b++) {
        const int64_t first = b / blocks * n * inner + b % blocks * COLUMNS;
        const int64_t left = inner - b % blocks * COLUMNS,
                      w = left < COLUMNS ? left : COLUMNS;
        for (int64_t i = 0; i < n; i++)
            pln_typed()->arg_rows[PLN_DT_F32](j->x + first + i * inner, i, w, true, false,
                                              best, at);
        for (int64_t i = 0; i < n; i++)
            memset(j->y + first + i * inner, 0, (size_t)w * sizeof *j->y);
        for (int64_t i = 0; i < w; i++)
            j->y[first + at[i] * inner + i] = 1;
    }
}

static pln_status Hardmax_run(pln_call *c, pln_error *err)
{
    job j = { .x = PLN_DATA(const float, c->in[0]), .y = PLN_DATA(float, c->out[0]) };
    PLN_TRY(find_axis(c, &j.a, err));
    if (j.a.outer * j.a.n * j.a.inner == 0)
        return PLN_OK;
    if (j.a.n > INT32_MAX)
        return by_rows(c, hard_row, err);
    if (j.a.inner == 1)
        pln_parallel_for(c->n_threads, j.a.outer, 1 + 16384 / j.a.n, hard_rows, &j);
    else
        pln_parallel_for(c->n_threads, j.a.outer * ((j.a.inner + COLUMNS - 1) / COLUMNS),
                         1, hard_columns, &j);
    return PLN_OK;
}

static pln_status hard_prepare(pln_prep *p, pln_error *err)
{
    return p->in[0]->dtype == PLN_DT_F32 ? prepare(p, err) : PLN_E_UNSUPPORTED;
}

static const pln_impl Hardmax_cpu = { "hardmax_f32", hard_prepare, Hardmax_run, NULL };

static const pln_impl Softmax_cpu = { "softmax_f32", prepare, Softmax_run, NULL };
static const pln_impl LogSoftmax_cpu = { "log_softmax_f32", prepare, LogSoftmax_run,
                                         NULL };

/* ---- versions ---------------------------------------------------------------------- */

/* Before 13 the default axis is 1 and the dimensions from it on are normalized together:
 * the same when it is the last, else a mark that the kernel understands. */
static pln_status raise_13(pln_node *n, pln_error *err)
{
    const pln_attr *a = pln_node_find_attr(n, "axis");
    const int64_t axis = a && a->type == PLN_ATTR_INT ? a->i : 1;
    const int rank = n->in[0] ? n->in[0]->type.shape.rank : PLN_RANK_UNKNOWN;
    (void)err;
    PLN_TRY(pln_node_set_int(n, "axis", axis));
    if (axis == -1 || (rank != PLN_RANK_UNKNOWN && axis == rank - 1))
        return PLN_OK;
    return pln_node_set_int(n, "pln_flatten", 1);
}

static pln_status lower_13(pln_node *n, pln_error *err)
{
    char where[160];
    const pln_attr *a = pln_node_find_attr(n, "axis");
    const pln_attr *flat = pln_node_find_attr(n, "pln_flatten");
    const int64_t axis = a ? a->i : -1;
    const int rank = n->in[0] ? n->in[0]->type.shape.rank : PLN_RANK_UNKNOWN;
    if (flat && flat->i) {
        pln_node_drop_attr(n, "pln_flatten");
        return PLN_OK;
    }
    if (rank == PLN_RANK_UNKNOWN || (axis != -1 && axis != rank - 1))
        return pln_fail(err, PLN_E_UNSUPPORTED,
                        "%s: axis %lld has no form before version 13",
                        pln_node_where(n, where, sizeof where), (long long)axis);
    return pln_node_set_int(n, "axis", rank - 1);
}

static const pln_version_change versions[] = { { 13, raise_13, lower_13 }, { 0 } };

static void cost(const pln_infer *inf, pln_cost *out)
{
    const pln_dim n = pln_shape_count(inf->syms, inf->in[0]->shape);
    out->flops = pln_dim_is_known(n) ? 20.0 * (double)n.value : 0;
    out->bytes = pln_dim_is_known(n) ? 8.0 * (double)n.value : 0;
}

#define ROW(op, impl)                                                            \
    {                                                                            \
        .name = #op, .domain = "", .since = 13, .in = { 1, 1 }, .out = { 1, 1 }, \
        .traits = PLN_OP_INPLACE, .types = "T:" PLN_TS_FLOAT, .sig = "T->T",     \
        .attrs = softmax_spec, .attrs_size = sizeof(softmax_attrs),              \
        .infer = softmax_infer, .ref = op##_ref, .cpu = impl, .cost = cost,      \
        .versions = versions, .expand = pln_expand_softmax                       \
    }

const pln_op_desc pln_ops_softmax[] = {
    ROW(Softmax, &Softmax_cpu),
    ROW(LogSoftmax, &LogSoftmax_cpu),
    ROW(Hardmax, &Hardmax_cpu),
    { .name = NULL },
};
