/* Reductions of types beside float, and in float those without a loop of their own.
 *
 * As in reduce_f32.c: rows where the innermost dimension is reduced, else columns.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/reduce.h"
#include "kernels/typed.h"
#include "kernels/vec.h"

#include <math.h>
#include <string.h>

#define PIECE 32768

typedef union cell {
    double f64[PLN_REDUCE_COLUMNS];
    float f32[PLN_REDUCE_COLUMNS];
    int64_t s64[PLN_REDUCE_COLUMNS];
    char bytes[8 * PLN_REDUCE_COLUMNS];
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
    cell start; /* what nothing gives, PLN_REDUCE_COLUMNS times */
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
    const int inner = r->n_reduced - 1;
    const int64_t len = r->reduced[inner], outer = r->n_each / len,
                  size = (int64_t)w->size;
    for (int64_t b = begin; b < end; b++) {
        cell acc = w->start;
        pln_reduce_block k;
        pln_reduction_block(r, b, &k);
        for (int64_t o = 0; o < outer; o++) {
            const char *x = w->x + (k.in + pln_reduction_inner(r, inner, o)) * size;
            for (int64_t i = 0; i < len; i++)
                w->add(&acc, x + i * r->reduced_in[inner] * size, k.n);
        }
        finish(w, &acc, k.n);
        char *y = w->y + k.out * size;
        for (int64_t i = 0; i < k.n; i++)
            memcpy(y + i * k.out_step * size, acc.bytes + i * size, w->size);
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
    for (int i = 0; i < PLN_REDUCE_COLUMNS; i++)
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
    pln_reduction_run(c, &r, PIECE / 4, rows, columns, &w);
    return PLN_OK;
}

/* ---- ReduceLogSumExp in float ------------------------------------------------------ */

#define PIECE_OF_ROW 256

typedef struct lse {
    const pln_reduction *r;
    const float *x;
    float *y;
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
        float m = -INFINITY, sum = 0, t[PIECE_OF_ROW];
        pln_reduction_at(r, r->n_kept, i, &in, &out);
        for (int64_t o = 0; o < outer; o++) {
            const float v = f->max_of(w->x + in + pln_reduction_inner(r, inner, o), len);
            f->max(&m, &m, 1, &v, 1, 1);
        }
        for (int64_t o = 0; o < outer && !isinf(m); o++) {
            const float *x = w->x + in + pln_reduction_inner(r, inner, o);
            for (int64_t k = 0; k < len; k += PIECE_OF_ROW)
                sum += f->exp_sum(t, x + k,
                                  len - k < PIECE_OF_ROW ? len - k : PIECE_OF_ROW, m);
        }
        w->y[out] = joined(m, sum);
    }
}

static void lse_columns(void *arg, int64_t begin, int64_t end)
{
    const lse *w = arg;
    const pln_reduction *r = w->r;
    const pln_vec_fns *f = pln_vec();
    for (int64_t b = begin; b < end; b++) {
        float m[PLN_REDUCE_COLUMNS], sum[PLN_REDUCE_COLUMNS] = { 0 };
        float t[PLN_REDUCE_COLUMNS];
        pln_reduce_block k;
        pln_reduction_block(r, b, &k);
        const float *x = w->x + k.in;
        memcpy(m, x + pln_reduction_inner(r, r->n_reduced, 0), (size_t)k.n * sizeof *m);
        for (int64_t i = 1; i < r->n_each; i++)
            f->max(m, m, 1, x + pln_reduction_inner(r, r->n_reduced, i), 1, k.n);
        for (int64_t i = 0; i < r->n_each; i++) {
            f->sub(t, x + pln_reduction_inner(r, r->n_reduced, i), 1, m, 1, k.n);
            f->exp(t, t, k.n, 0, 0);
            f->add_to(sum, t, k.n);
        }
        for (int64_t i = 0; i < k.n; i++)
            w->y[k.out + i * k.out_step] = joined(m[i], sum[i]);
    }
}

pln_status pln_reduce_lse_f32(pln_call *c, pln_error *err)
{
    pln_reduction r;
    PLN_TRY(pln_reduction_of(c, &r, err));
    lse w = { &r, PLN_DATA(const float, c->in[0]), PLN_DATA(float, c->out[0]) };
    for (int64_t i = 0; r.n_each == 0 && i < r.n_out; i++)
        w.y[i] = -INFINITY;
    if (r.n_out == 0 || r.n_each == 0)
        return PLN_OK;
    pln_reduction_run(c, &r, 4096, lse_rows, lse_columns, &w);
    return PLN_OK;
}
