/* Reductions of types beside float, and in float those without a loop of their own.
 *
 * As in reduce_f32.c: rows where the innermost dimension is reduced, else columns.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/reduce.h"
#include "kernels/typed.h"
#include "kernels/vec.h"
#include "src/util/parallel.h"

#include <math.h>
#include <string.h>

#define COLUMNS 256
#define PIECE   32768

typedef union cell {
    double f64[COLUMNS];
    float f32[COLUMNS];
    int64_t s64[COLUMNS];
    char bytes[8 * COLUMNS];
} cell;

typedef void (*fold_fn)(void *acc, const void *x, int64_t n);

typedef struct work {
    const pln_reduction *r;
    const char *x;
    char *y;
    size_t size;
    pln_dtype dt;
    pln_fold fold;
    pln_reduce_end end;
    fold_fn row, add, join;
    cell start; /* what nothing gives, COLUMNS times */
    int64_t blocks;
} work;

/* Functions of finished results; integers have none here. */
static void finish(const work *w, cell *v, int64_t n)
{
    const int64_t each = w->r->n_each;
    if (w->dt == PLN_DT_F64) {
        for (int64_t i = 0; i < n; i++)
            v->f64[i] = w->end == PLN_REDUCE_MEAN   ? v->f64[i] / (double)each
                        : w->end == PLN_REDUCE_SQRT ? sqrt(v->f64[i])
                        : w->end == PLN_REDUCE_LOG  ? log(v->f64[i])
                                                    : v->f64[i];
    } else if (w->dt == PLN_DT_F32) {
        for (int64_t i = 0; i < n; i++)
            v->f32[i] = w->end == PLN_REDUCE_MEAN   ? v->f32[i] / (float)each
                        : w->end == PLN_REDUCE_SQRT ? sqrtf(v->f32[i])
                        : w->end == PLN_REDUCE_LOG  ? logf(v->f32[i])
                                                    : v->f32[i];
    }
}

static void rows(void *arg, int64_t begin, int64_t end)
{
    const work *w = arg;
    const pln_reduction *r = w->r;
    const int inner = r->n_reduced - 1;
    const int64_t len = r->reduced[inner], outer = r->n_each / len,
                  size = (int64_t)w->size;
    for (int64_t i = begin; i < end; i++) {
        int64_t in, out;
        cell v;
        memcpy(&v, &w->start, w->size);
        pln_reduction_at(r, r->n_kept, i, &in, &out);
        for (int64_t o = 0; o < outer; o++)
            w->row(&v, w->x + (in + pln_reduction_inner(r, inner, o)) * size, len);
        finish(w, &v, 1);
        memcpy(w->y + out * size, &v, w->size);
    }
}

static void columns(void *arg, int64_t begin, int64_t end)
{
    const work *w = arg;
    const pln_reduction *r = w->r;
    const int kept = r->n_kept - 1, inner = r->n_reduced - 1;
    const int64_t len = r->reduced[inner], outer = r->n_each / len,
                  size = (int64_t)w->size;
    for (int64_t b = begin; b < end; b++) {
        int64_t in, out;
        cell acc = w->start;
        const int64_t first = b % w->blocks * COLUMNS, left = r->kept[kept] - first;
        const int64_t n = left < COLUMNS ? left : COLUMNS;
        pln_reduction_at(r, kept, b / w->blocks, &in, &out);
        for (int64_t o = 0; o < outer; o++) {
            const char *x = w->x + (in + first + pln_reduction_inner(r, inner, o)) * size;
            for (int64_t i = 0; i < len; i++)
                w->add(&acc, x + i * r->reduced_in[inner] * size, n);
        }
        finish(w, &acc, n);
        char *y = w->y + (out + first * r->kept_out[kept]) * size;
        for (int64_t i = 0; i < n; i++)
            memcpy(y + i * r->kept_out[kept] * size, acc.bytes + i * size, w->size);
    }
}

/* The value that changes nothing. */
static void set_start(work *w)
{
    const bool max = w->fold == PLN_FOLD_MAX;
    cell v = { .f64 = { 0 } };
    if (w->fold == PLN_FOLD_PROD) {
        if (w->dt == PLN_DT_F64)
            v.f64[0] = 1;
        else if (w->dt == PLN_DT_F32)
            v.f32[0] = 1;
        else
            v.s64[0] = 1; /* little-endian: as any integer */
    } else if (max || w->fold == PLN_FOLD_MIN) {
        const bool is_signed = pln_dtype_is_signed(w->dt);
        if (w->dt == PLN_DT_F64)
            v.f64[0] = max ? -INFINITY : INFINITY;
        else if (w->dt == PLN_DT_F32)
            v.f32[0] = max ? -INFINITY : INFINITY;
        else
            memset(&v, max ? 0 : w->dt == PLN_DT_BOOL ? 1 : 0xff, w->size);
        if (is_signed && !pln_dtype_is_float(w->dt))
            v.bytes[w->size - 1] = (char)(max ? 0x80 : 0x7f);
    }
    for (int i = 0; i < COLUMNS; i++)
        memcpy(w->start.bytes + (size_t)i * w->size, &v, w->size);
}

static pln_dtype loops_of(pln_dtype dt)
{
    return dt == PLN_DT_BOOL ? PLN_DT_U8 : dt;
}

bool pln_reduce_typed_can(pln_dtype dt, pln_fold fold, pln_reduce_end end)
{
    return pln_typed()->fold_row[fold][loops_of(dt)] &&
           (end == PLN_REDUCE_PLAIN || pln_dtype_is_float(dt));
}

pln_status pln_reduce_typed(pln_call *c, pln_fold fold, pln_reduce_end end,
                            pln_error *err)
{
    pln_reduction r;
    PLN_TRY(pln_reduction_of(c, &r, err));
    const pln_typed_fns *f = pln_typed();
    const pln_dtype dt = (pln_dtype)c->in[0]->dtype;
    work w = { .r = &r,
               .x = c->in[0]->data,
               .y = c->out[0]->data,
               .dt = dt,
               .size = pln_dtype_size(dt),
               .fold = fold,
               .end = end,
               .row = f->fold_row[fold][loops_of(dt)],
               .add = f->fold[fold][loops_of(dt)] };
    set_start(&w);
    if (r.n_out == 0)
        return PLN_OK;
    if (r.n_each == 0) {
        finish(&w, &w.start, 1);
        for (int64_t i = 0; i < r.n_out; i++)
            memcpy(w.y + (size_t)i * w.size, &w.start, w.size);
        return PLN_OK;
    }
    if (r.n_reduced == 0) { /* only dimensions of 1: each output is one input */
        r.n_reduced = 1;
        r.reduced[0] = r.reduced_in[0] = 1;
        r.last_reduced = true;
    }
    if (r.last_reduced) {
        pln_parallel_for(c->n_threads, r.n_out, 1 + PIECE / 4 / r.n_each, rows, &w);
        return PLN_OK;
    }
    const int64_t inner = r.kept[r.n_kept - 1];
    w.blocks = (inner + COLUMNS - 1) / COLUMNS;
    pln_parallel_for(c->n_threads, r.n_out / inner * w.blocks,
                     1 + PIECE / 4 / (r.n_each * (inner < COLUMNS ? inner : COLUMNS)),
                     columns, &w);
    return PLN_OK;
}

/* ---- ReduceLogSumExp in float ---- */

typedef struct lse {
    const pln_reduction *r;
    const float *x;
    float *y;
    int64_t blocks;
} lse;

static float joined(float m, float sum)
{
    return isinf(m) || m != m ? m : m + logf(sum);
}

static void lse_rows(void *arg, int64_t begin, int64_t end)
{
    const lse *w = arg;
    const pln_reduction *r = w->r;
    const pln_vec_fns *f = pln_vec();
    const int inner = r->n_reduced - 1;
    const int64_t len = r->reduced[inner], outer = r->n_each / len;
    for (int64_t i = begin; i < end; i++) {
        int64_t in, out;
        float m = -INFINITY, sum = 0, t[COLUMNS];
        pln_reduction_at(r, r->n_kept, i, &in, &out);
        for (int64_t o = 0; o < outer; o++) {
            const float v = f->max_of(w->x + in + pln_reduction_inner(r, inner, o), len);
            f->max(&m, &m, 1, &v, 1, 1);
        }
        for (int64_t o = 0; o < outer && !isinf(m); o++) {
            const float *x = w->x + in + pln_reduction_inner(r, inner, o);
            for (int64_t k = 0; k < len; k += COLUMNS)
                sum += f->exp_sum(t, x + k, len - k < COLUMNS ? len - k : COLUMNS, m);
        }
        w->y[out] = joined(m, sum);
    }
}

static void lse_columns(void *arg, int64_t begin, int64_t end)
{
    const lse *w = arg;
    const pln_reduction *r = w->r;
    const pln_vec_fns *f = pln_vec();
    const int kept = r->n_kept - 1;
    for (int64_t b = begin; b < end; b++) {
        int64_t in, out;
        float m[COLUMNS], sum[COLUMNS] = { 0 }, t[COLUMNS];
        const int64_t first = b % w->blocks * COLUMNS, left = r->kept[kept] - first;
        const int64_t n = left < COLUMNS ? left : COLUMNS;
        pln_reduction_at(r, kept, b / w->blocks, &in, &out);
        const float *x = w->x + in + first;
        memcpy(m, x + pln_reduction_inner(r, r->n_reduced, 0), (size_t)n * sizeof *m);
        for (int64_t i = 1; i < r->n_each; i++)
            f->max(m, m, 1, x + pln_reduction_inner(r, r->n_reduced, i), 1, n);
        for (int64_t i = 0; i < r->n_each; i++) {
            f->sub(t, x + pln_reduction_inner(r, r->n_reduced, i), 1, m, 1, n);
            f->exp(t, t, n, 0, 0);
            f->add_to(sum, t, n);
        }
        for (int64_t i = 0; i < n; i++)
            w->y[out + (first + i) * r->kept_out[kept]] = joined(m[i], sum[i]);
    }
}

pln_status pln_reduce_lse_f32(pln_call *c, pln_error *err)
{
    pln_reduction r;
    PLN_TRY(pln_reduction_of(c, &r, err));
    lse w = { &r, PLN_DATA(const float, c->in[0]), PLN_DATA(float, c->out[0]), 0 };
    for (int64_t i = 0; r.n_each == 0 && i < r.n_out; i++)
        w.y[i] = -INFINITY;
    if (r.n_out == 0 || r.n_each == 0)
        return PLN_OK;
    if (r.n_reduced == 0) {
        r.n_reduced = 1;
        r.reduced[0] = r.reduced_in[0] = 1;
        r.last_reduced = true;
    }
    if (r.last_reduced) {
        pln_parallel_for(c->n_threads, r.n_out, 1 + 4096 / r.n_each, lse_rows, &w);
        return PLN_OK;
    }
    const int64_t inner = r.kept[r.n_kept - 1];
    w.blocks = (inner + COLUMNS - 1) / COLUMNS;
    pln_parallel_for(c->n_threads, r.n_out / inner * w.blocks, 1, lse_columns, &w);
    return PLN_OK;
}
