/* Normalizations by neighbours and norms: LRN, LpNormalization,
 * MeanVarianceNormalization.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/bcast.h"
#include "kernels/expand.h"
#include "kernels/norm.h"
#include "kernels/type_sets.h"
#include "kernels/vec.h"
#include "src/util/parallel.h"

#include <math.h>
#include <string.h>

/* ---- LRN: over neighbouring channels ----------------------------------------------- */

typedef struct lrn_attrs {
    float alpha, beta, bias;
    int64_t size;
} lrn_attrs;

static const pln_attr_spec lrn_spec[] = {
    PLN_A_FLOAT(lrn_attrs, alpha, 1e-4f),
    PLN_A_FLOAT(lrn_attrs, beta, 0.75f),
    PLN_A_FLOAT(lrn_attrs, bias, 1.0f),
    { .name = "size",
      .type = PLN_ATTR_INT,
      .required = true,
      .offset = offsetof(lrn_attrs, size) },
    PLN_A_END,
};

static pln_status lrn_ref(pln_call *c, pln_error *err)
{
    const lrn_attrs *a = (const lrn_attrs *)c->attrs;
    const pln_tensor *x = c->in[0];
    if (x->rank < 2 || a->size < 1)
        return pln_call_fail(c, err, PLN_E_RUN, "rank %d, size %lld", x->rank,
                             (long long)a->size);
    const pln_axis ax = pln_axis_of(x, 1, 2);
    const int64_t before = (a->size - 1) / 2, after = a->size / 2;
    double *v = pln_norm_scratch(c, ax.n, 2, err), *y = v + ax.n;
    if (!v)
        return PLN_E_NOMEM;
    for (int64_t l = 0; l < ax.outer * ax.inner; l++) {
        const int64_t at = l / ax.inner * ax.n * ax.inner + l % ax.inner;
        pln_block_load(PLN_DT_F64, v, x, at, ax.inner, ax.n);
        for (int64_t ch = 0; ch < ax.n; ch++) {
            const int64_t lo = ch > before ? ch - before : 0;
            const int64_t hi = ax.n - 1 - ch > after ? ch + after : ax.n - 1;
            double sum = 0;
            for (int64_t k = lo; k <= hi; k++)
                sum += v[k] * v[k];
            y[ch] = v[ch] / pow(a->bias + a->alpha / (double)a->size * sum, a->beta);
        }
        pln_block_store(c->out[0], at, ax.inner, PLN_DT_F64, y, ax.n);
    }
    return PLN_OK;
}

/* ---- LpNormalization --------------------------------------------------------------- */

typedef struct lp_attrs {
    int64_t axis, p;
} lp_attrs;

static const pln_attr_spec lp_spec[] = {
    PLN_A_INT(lp_attrs, axis, -1),
    PLN_A_INT(lp_attrs, p, 2),
    PLN_A_END,
};

/* A vector of zeros stays one. */
static pln_status lp_ref(pln_call *c, pln_error *err)
{
    const lp_attrs *a = (const lp_attrs *)c->attrs;
    const pln_tensor *x = c->in[0];
    int axis = 0;
    if (a->p != 1 && a->p != 2)
        return pln_call_fail(c, err, PLN_E_UNSUPPORTED, "p is %lld, want 1 or 2",
                             (long long)a->p);
    if (x->rank > 0 && !pln_axis_normal(a->axis, x->rank, &axis))
        return pln_call_fail(c, err, PLN_E_RUN, "axis %lld with rank %d",
                             (long long)a->axis, x->rank);
    const pln_axis ax = pln_axis_of(x, axis, axis + 1);
    double *v = pln_norm_scratch(c, ax.n, 1, err);
    if (!v)
        return PLN_E_NOMEM;
    for (int64_t l = 0; l < ax.outer * ax.inner; l++) {
        const int64_t at = l / ax.inner * ax.n * ax.inner + l % ax.inner;
        double sum = 0;
        pln_block_load(PLN_DT_F64, v, x, at, ax.inner, ax.n);
        for (int64_t i = 0; i < ax.n; i++)
            sum += a->p == 1 ? fabs(v[i]) : v[i] * v[i];
        if (a->p == 2)
            sum = sqrt(sum);
        for (int64_t i = 0; i < ax.n; i++)
            v[i] = sum == 0 ? 0 : v[i] / sum;
        pln_block_store(c->out[0], at, ax.inner, PLN_DT_F64, v, ax.n);
    }
    return PLN_OK;
}

typedef struct lp_job {
    const float *x;
    float *y;
    pln_axis a;
    bool p1;
} lp_job;

/* Where squares leave the range of float, the length is a sum in double. */
static float safe_length(const float *x, int64_t n, int64_t stride, float length, bool p1)
{
    double sum = 0;
    if (length > 1e-15f && length < 1e15f)
        return length;
    for (int64_t i = 0; i < n; i++) {
        const double v = x[i * stride];
        sum += p1 ? fabs(v) : v * v;
    }
    return (float)(p1 ? sum : sqrt(sum));
}

static void lp_rows(void *arg, int64_t begin, int64_t end)
{
    const lp_job *j = (const lp_job *)arg;
    const pln_vec_fns *f = pln_vec();
    const int64_t n = j->a.n;
    for (int64_t r = begin; r < end; r++) {
        const float *x = j->x + r * n;
        const float fast = j->p1 ? f->sum_abs(x, n) : sqrtf(f->sum_square(x, n, 0));
        const float length = safe_length(x, n, 1, fast, j->p1);
        const float one = length == 0 ? 1 : length;
        f->div(j->y + r * n, x, 1, &one, 0, n);
    }
}

#define LP_COLUMNS 256

/* Neighbours in memory belong to different vectors: some at a time. */
static void lp_columns(const lp_job *j, int64_t o, int64_t first, int64_t width)
{
    float length[LP_COLUMNS] = { 0 }, t[LP_COLUMNS];
    const pln_vec_fns *f = pln_vec();
    const int64_t n = j->a.n, inner = j->a.inner;
    const float *x = j->x + o * n * inner + first;
    float *y = j->y + o * n * inner + first;
    for (int64_t i = 0; i < n; i++) {
        if (j->p1)
            f->abs(t, x + i * inner, width, 0, 0);
        if (j->p1)
            f->add_to(length, t, width);
        else
            f->add_square_to(length, x + i * inner, width);
    }
    for (int64_t k = 0; k < width; k++) {
        const float fast = j->p1 ? length[k] : sqrtf(length[k]);
        const float v = safe_length(x + k, n, inner, fast, j->p1);
        length[k] = v == 0 ? 1 : v;
    }
    for (int64_t i = 0; i < n; i++)
        f->div(y + i * inner, x + i * inner, 1, length, 1, width);
}

static void lp_blocks(void *arg, int64_t begin, int64_t end)
{
    const lp_job *j = (const lp_job *)arg;
    const int64_t blocks = (j->a.inner + LP_COLUMNS - 1) / LP_COLUMNS;
    for (int64_t b = begin; b < end; b++) {
        const int64_t first = b % blocks * LP_COLUMNS, rest = j->a.inner - first;
        lp_columns(j, b / blocks, first, rest < LP_COLUMNS ? rest : LP_COLUMNS);
    }
}

static pln_status lp_run(pln_call *c, pln_error *err)
{
    const lp_attrs *a = (const lp_attrs *)c->attrs;
    int axis = 0;
    (void)err;
    if (c->in[0]->rank > 0)
        pln_axis_normal(a->axis, c->in[0]->rank, &axis);
    lp_job j = { PLN_DATA(const float, c->in[0]), PLN_DATA(float, c->out[0]),
                 pln_axis_of(c->in[0], axis, axis + 1), a->p == 1 };
    const int64_t n = j.a.n, blocks = (j.a.inner + LP_COLUMNS - 1) / LP_COLUMNS;
    if (n < 1 || j.a.inner < 1)
        return PLN_OK;
    if (j.a.inner == 1)
        pln_parallel_for(c->n_threads, j.a.outer, 1 + 16384 / n, lp_rows, &j);
    else
        pln_parallel_for(c->n_threads, j.a.outer * blocks, 1 + 16384 / LP_COLUMNS / n,
                         lp_blocks, &j);
    return PLN_OK;
}

static pln_status lp_prepare(pln_prep *p, pln_error *err)
{
    const lp_attrs *a = (const lp_attrs *)p->attrs;
    int axis;
    (void)err;
    if (p->in[0]->dtype != PLN_DT_F32 || (a->p != 1 && a->p != 2) ||
        (p->in[0]->rank > 0 && !pln_axis_normal(a->axis, p->in[0]->rank, &axis)))
        return PLN_E_UNSUPPORTED;
    p->layout_in[0] = PLN_LAYOUT_PLAIN;
    return PLN_OK;
}

static const pln_impl lp_cpu = { "lp_norm_f32", lp_prepare, lp_run, NULL };

/* ---- MeanVarianceNormalization ----------------------------------------------------- */

typedef struct mvn_attrs {
    pln_ints axes;
} mvn_attrs;

static const pln_attr_spec mvn_spec[] = { PLN_A_INTS(mvn_attrs, axes), PLN_A_END };

/* For each element the index of its statistics: strides that are 0 along the axes. */
static pln_status mvn_strides(const pln_call *c, int64_t *stride, int64_t *n_stats,
                              pln_error *err)
{
    static const int64_t usual[] = { 0, 2, 3 };
    const mvn_attrs *a = (const mvn_attrs *)c->attrs;
    const pln_tensor *x = c->in[0];
    const int64_t *axes = a->axes.v ? a->axes.v : usual;
    const size_t n = a->axes.v ? a->axes.n : 3;
    bool reduced[PLN_MAX_RANK] = { false };
    for (size_t i = 0; i < n; i++) {
        int axis;
        if (!pln_axis_normal(axes[i], x->rank, &axis))
            return pln_call_fail(c, err, PLN_E_RUN, "axis %lld with rank %d",
                                 (long long)axes[i], x->rank);
        reduced[axis] = true;
    }
    *n_stats = 1;
    for (int d = x->rank - 1; d >= 0; d--) {
        stride[d] = reduced[d] ? 0 : *n_stats;
        *n_stats *= reduced[d] ? 1 : x->dims[d];
    }
    return PLN_OK;
}

static int64_t stat_of(const pln_tensor *x, const int64_t *stride, int64_t i)
{
    int64_t at = 0;
    for (int d = x->rank - 1; d >= 0; d--) {
        at += i % x->dims[d] * stride[d];
        i /= x->dims[d];
    }
    return at;
}

static pln_status mvn_ref(pln_call *c, pln_error *err)
{
    const pln_tensor *x = c->in[0];
    int64_t stride[PLN_MAX_RANK], n_stats = 0;
    const int64_t total = pln_tensor_size(x);
    PLN_TRY(mvn_strides(c, stride, &n_stats, err));
    double *mean = pln_norm_scratch(c, n_stats, 2, err), *var = mean + n_stats;
    if (!mean)
        return PLN_E_NOMEM;
    memset(mean, 0, (size_t)n_stats * 2 * sizeof(double));
    const double count = n_stats ? (double)(total / n_stats) : 0;
    for (int pass = 0; pass < 3; pass++)
        for (int64_t i = 0; i < total; i++) {
            const int64_t s = stat_of(x, stride, i);
            double v = pln_tensor_get_f64(x, i);
            if (pass == 0)
                mean[s] += v / count;
            else if (pass == 1)
                var[s] += (v - mean[s]) * (v - mean[s]) / count;
            else
                pln_tensor_set_f64(c->out[0], i, (v - mean[s]) / (sqrt(var[s]) + 1e-9));
        }
    return PLN_OK;
}

/* In float: elements that lie together and share their statistics go at once. */
static pln_status mvn_run(pln_call *c, pln_error *err)
{
    const pln_tensor *x = c->in[0];
    const pln_vec_fns *f = pln_vec();
    int64_t stride[PLN_MAX_RANK], n_stats = 0, len = 1;
    const int64_t total = pln_tensor_size(x);
    PLN_TRY(mvn_strides(c, stride, &n_stats, err));
    for (int d = x->rank - 1; d >= 0 && stride[d] == 0; d--)
        len *= x->dims[d];
    if (len < 8 || total == 0)
        return mvn_ref(c, err);
    double *mean = pln_norm_scratch(c, n_stats, 2, err), *var = mean + n_stats;
    if (!mean)
        return PLN_E_NOMEM;
    memset(mean, 0, (size_t)n_stats * 2 * sizeof(double));
    const double count = (double)(total / n_stats);
    for (int pass = 0; pass < 3; pass++)
        for (int64_t i = 0; i < total; i += len) {
            const int64_t s = stat_of(x, stride, i);
            const float *v = PLN_DATA(const float, x) + i;
            if (pass == 0)
                mean[s] += (double)f->sum(v, len) / count;
            else if (pass == 1)
                var[s] += (double)f->sum_square(v, len, (float)mean[s]) / count;
            else
                f->normalize(PLN_DATA(float, c->out[0]) + i, v, NULL, NULL,
                             (float)mean[s], (float)(1 / (sqrt(var[s]) + 1e-9)), len);
        }
    return PLN_OK;
}

static pln_status mvn_prepare(pln_prep *p, pln_error *err)
{
    (void)err;
    if (p->in[0]->dtype != PLN_DT_F32)
        return PLN_E_UNSUPPORTED;
    p->layout_in[0] = PLN_LAYOUT_PLAIN;
    return PLN_OK;
}

static const pln_impl mvn_cpu = { "mvn_f32", mvn_prepare, mvn_run, NULL };

#define ROW(op, version, spec, type, fn, fast)                                        \
    {                                                                                 \
        .name = #op, .domain = "", .since = version, .in = { 1, 1 }, .out = { 1, 1 }, \
        .traits = PLN_OP_INPLACE, .types = "T:" PLN_TS_FLOAT, .sig = "T->T",          \
        .attrs = spec, .attrs_size = sizeof(type), .infer = pln_infer_same,           \
        .ref = fn, .cpu = fast                                                        \
    }

const pln_op_desc pln_ops_norm_axis[] = {
    ROW(LRN, 13, lrn_spec, lrn_attrs, lrn_ref, NULL),
    ROW(LpNormalization, 22, lp_spec, lp_attrs, lp_ref, &lp_cpu),
    { .name = "MeanVarianceNormalization",
      .domain = "",
      .since = 13,
      .in = { 1, 1 },
      .out = { 1, 1 },
      .traits = PLN_OP_INPLACE,
      .types = "T:" PLN_TS_FLOAT,
      .sig = "T->T",
      .attrs = mvn_spec,
      .attrs_size = sizeof(mvn_attrs),
      .infer = pln_infer_same,
      .ref = mvn_ref,
      .cpu = &mvn_cpu,
      .expand = pln_expand_mvn },
    { .name = NULL },
};
