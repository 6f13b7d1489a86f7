/* Reductions of float tensors by the vector loops.
 *
 * Two shapes of work: rows (the innermost dimension is reduced) and columns (it is kept,
 * and vectors are accumulated). The split never depends on the number of threads.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/reduce.h"
#include "kernels/vec.h"

#include <math.h>
#include <string.h>

#define GROUP   32 /* rows summed by themselves first: errors grow with the square root */
#define PIECE   32768

typedef struct fast_op {
    float start;
    float (*row)(const pln_vec_fns *f, const float *x, int64_t n);
    /* an input */
    void (*add)(const pln_vec_fns *f, float *acc, const float *x, int64_t n);
    /* partials */
    void (*join)(const pln_vec_fns *f, float *acc, const float *x, int64_t n);
    float (*end)(float v, int64_t n); /* NULL: v */
} fast_op;

typedef struct work {
    const fast_op *op;
    const pln_reduction *r;
    const float *x;
    float *y;
    float *partial; /* of the pieces of one long row */
} work;

static float join1(const fast_op *op, float a, float b)
{
    op->join(pln_vec(), &a, &b, 1);
    return a;
}

static float finish(const fast_op *op, float v, int64_t n)
{
    return op->end ? op->end(v, n) : v;
}

static void rows(void *arg, int64_t begin, int64_t end)
{
    const work *w = (const work *)arg;
    const pln_reduction *r = w->r;
    const pln_vec_fns *f = pln_vec();
    const int inner = r->n_reduced - 1;
    const int64_t len = r->reduced[inner], outer = r->n_each / len;
    for (int64_t i = begin; i < end; i++) {
        int64_t in, out;
        pln_reduction_at(r, r->n_kept, i, &in, &out);
        float v = w->op->row(f, w->x + in, len);
        for (int64_t o = 1; o < outer; o++)
            v = join1(w->op, v,
                      w->op->row(f, w->x + in + pln_reduction_inner(r, inner, o), len));
        w->y[out] = finish(w->op, v, r->n_each);
    }
}

static void pieces(void *arg, int64_t begin, int64_t end)
{
    const work *w = (const work *)arg;
    const pln_vec_fns *f = pln_vec();
    for (int64_t i = begin; i < end; i++) {
        const int64_t left = w->r->n_each - i * PIECE;
        w->partial[i] = w->op->row(f, w->x + i * PIECE, left < PIECE ? left : PIECE);
    }
}

static void fill(float *y, float v, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = v;
}

/* One block of at most PLN_REDUCE_COLUMNS neighbouring outputs. */
static void column_block(const work *w, int64_t in, int64_t n, float *acc)
{
    const pln_reduction *r = w->r;
    const pln_vec_fns *f = pln_vec();
    float group[PLN_REDUCE_COLUMNS];
    const int inner = r->n_reduced - 1;
    const int64_t len = r->reduced[inner], outer = r->n_each / len;
    fill(acc, w->op->start, n);
    for (int64_t o = 0; o < outer; o++) {
        const float *x = w->x + in + pln_reduction_inner(r, inner, o);
        for (int64_t g = 0; g < len; g += GROUP) {
            const int64_t last = len - g < GROUP ? len : g + GROUP;
            fill(group, w->op->start, n);
            for (int64_t i = g; i < last; i++)
                w->op->add(f, group, x + i * r->reduced_in[inner], n);
            w->op->join(f, acc, group, n);
        }
    }
    for (int64_t i = 0; w->op->end && i < n; i++)
        acc[i] = w->op->end(acc[i], r->n_each);
}

static void columns(void *arg, int64_t begin, int64_t end)
{
    const work *w = (const work *)arg;
    float acc[PLN_REDUCE_COLUMNS];
    for (int64_t b = begin; b < end; b++) {
        pln_reduce_block k;
        pln_reduction_block(w->r, b, &k);
        column_block(w, k.in, k.n, acc);
        for (int64_t i = 0; i < k.n; i++)
            w->y[k.out + i * k.out_step] = acc[i];
    }
}

static pln_status long_row(pln_call *c, work *w, pln_error *err)
{
    const int64_t n = (w->r->n_each + PIECE - 1) / PIECE;
    w->partial = (float *)pln_call_scratch(c, (size_t)n * sizeof(float));
    if (!w->partial)
        return pln_oom(err);
    pln_parallel_for(c->n_threads, n, 2, pieces, w);
    float v = w->partial[0];
    for (int64_t i = 1; i < n; i++)
        v = join1(w->op, v, w->partial[i]);
    w->y[0] = finish(w->op, v, w->r->n_each);
    return PLN_OK;
}

static pln_status run(pln_call *c, const fast_op *op, pln_error *err)
{
    pln_reduction r;
    PLN_TRY(pln_reduction_of(c, &r, err));
    work w = { op, &r, PLN_DATA(const float, c->in[0]), PLN_DATA(float, c->out[0]),
               NULL };
    if (r.n_out == 0)
        return PLN_OK;
    if (r.n_each == 0) {
        fill(w.y, finish(op, op->start, 0), r.n_out);
        return PLN_OK;
    }
    if (r.last_reduced && r.n_out == 1 && r.n_reduced == 1 && r.n_each > 2 * PIECE)
        return long_row(c, &w, err);
    pln_reduction_run(c, &r, PIECE / 4, rows, columns, &w);
    return PLN_OK;
}

/* ---- the operators ----------------------------------------------------------------- */

static float row_sum(const pln_vec_fns *f, const float *x, int64_t n)
{
    return f->sum(x, n);
}
static float row_abs(const pln_vec_fns *f, const float *x, int64_t n)
{
    return f->sum_abs(x, n);
}
static float row_square(const pln_vec_fns *f, const float *x, int64_t n)
{
    return f->sum_square(x, n, 0.0f);
}
static float row_max(const pln_vec_fns *f, const float *x, int64_t n)
{
    return f->max_of(x, n);
}
static float row_min(const pln_vec_fns *f, const float *x, int64_t n)
{
    return f->min_of(x, n);
}
static void add_sum(const pln_vec_fns *f, float *acc, const float *x, int64_t n)
{
    f->add_to(acc, x, n);
}
static void add_abs(const pln_vec_fns *f, float *acc, const float *x, int64_t n)
{
    (void)f;
    for (int64_t i = 0; i < n; i++)
        acc[i] += fabsf(x[i]);
}
static void add_square(const pln_vec_fns *f, float *acc, const float *x, int64_t n)
{
    f->add_square_to(acc, x, n);
}
static void add_max(const pln_vec_fns *f, float *acc, const float *x, int64_t n)
{
    f->max(acc, acc, 1, x, 1, n);
}
static void add_min(const pln_vec_fns *f, float *acc, const float *x, int64_t n)
{
    f->min(acc, acc, 1, x, 1, n);
}
static float end_mean(float v, int64_t n)
{
    return v / (float)n;
}
static float end_sqrt(float v, int64_t n)
{
    (void)n;
    return sqrtf(v);
}

/* The walk takes both layouts; the result of a channels-last input is plain, or has sizes
 * of 1 where that would differ. */
static pln_status prepare(pln_prep *p, bool can)
{
    const reduce_attrs *a = (const reduce_attrs *)p->attrs;
    const pln_tensor *axes = p->n_in > 1 ? p->in[1] : NULL;
    if (!can)
        return PLN_E_UNSUPPORTED;
    if (axes ? axes->data && pln_tensor_size(axes) == 0 && a->noop_with_empty_axes
             : a->noop_with_empty_axes)
        return PLN_E_UNSUPPORTED;
    if (axes && !axes->data && a->noop_with_empty_axes)
        return PLN_E_UNSUPPORTED;
    p->layout_out[0] = PLN_LAYOUT_PLAIN;
    return PLN_OK;
}

/* In float by the vector loops, other types by those of typed.h. */
#define OP(name, start, row, add, join, end, fold, typed_end)                       \
    static const fast_op op_##name = { start, row, add, join, end };                \
    static pln_status run_##name(pln_call *c, pln_error *err)                       \
    {                                                                               \
        return c->in[0]->dtype == PLN_DT_F32 ? run(c, &op_##name, err)              \
                                             : pln_reduce_typed(c, fold, typed_end, \
                                                                err);               \
    }                                                                               \
    TYPED_IMPL(name, fold, typed_end)
#define TYPED_IMPL(name, fold, end)                                                    \
    static pln_status prepare_##name(pln_prep *p, pln_error *err)                      \
    {                                                                                  \
        (void)err;                                                                     \
        return prepare(p, pln_reduce_typed_can((pln_dtype)p->in[0]->dtype, fold, end)); \
    }                                                                                  \
    const pln_impl pln_reduce_##name##_cpu = { #name, prepare_##name, run_##name, NULL };
#define TYPED(name, fold, end)                                \
    static pln_status run_##name(pln_call *c, pln_error *err) \
    {                                                         \
        return pln_reduce_typed(c, fold, end, err);           \
    }                                                         \
    TYPED_IMPL(name, fold, end)
OP(sum, 0, row_sum, add_sum, add_sum, NULL, PLN_FOLD_SUM, PLN_REDUCE_PLAIN)
OP(mean, 0, row_sum, add_sum, add_sum, end_mean, PLN_FOLD_SUM, PLN_REDUCE_MEAN)
OP(max, -INFINITY, row_max, add_max, add_max, NULL, PLN_FOLD_MAX, PLN_REDUCE_PLAIN)
OP(min, INFINITY, row_min, add_min, add_min, NULL, PLN_FOLD_MIN, PLN_REDUCE_PLAIN)
OP(l1, 0, row_abs, add_abs, add_sum, NULL, PLN_FOLD_L1, PLN_REDUCE_PLAIN)
OP(l2, 0, row_square, add_square, add_sum, end_sqrt, PLN_FOLD_SQUARE, PLN_REDUCE_SQRT)
OP(sum_square, 0, row_square, add_square, add_sum, NULL, PLN_FOLD_SQUARE,
   PLN_REDUCE_PLAIN)
TYPED(prod, PLN_FOLD_PROD, PLN_REDUCE_PLAIN)
TYPED(log_sum, PLN_FOLD_SUM, PLN_REDUCE_LOG)

static pln_status lse_prepare(pln_prep *p, pln_error *err)
{
    (void)err;
    return prepare(p, p->in[0]->dtype == PLN_DT_F32);
}

const pln_impl pln_reduce_lse_cpu = { "log_sum_exp", lse_prepare, pln_reduce_lse_f32,
                                      NULL };
