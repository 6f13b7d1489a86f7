/* Einsum in float and double: each pair of inputs becomes a batch of matrix products.
 *
 * Of the loops, those in both inputs and in the result are the batch; those in one of
 * them and in the result are rows or columns; the others are summed. Where such a group
 * of loops has one stride in memory, its elements stay where they are; else they are
 * copied into order first.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/einsum.h"
#include "kernels/gemm_f32.h"
#include "kernels/gemm_f64.h"
#include "kernels/move.h"
#include "kernels/typed.h"
#include "kernels/vec.h"

#define LOOPS PLN_EINSUM_LABELS

typedef struct operand {
    const char *data;
    int64_t step[LOOPS];
} operand;

typedef struct group {
    int n, loop[LOOPS];
    int64_t size;
} group;

static void add_loop(const pln_einsum *s, group *g, int loop)
{
    g->loop[g->n++] = loop;
    g->size *= s->size[loop];
}

/* One stride for all of the group's loops, the last innermost; false: there is none. */
static bool merged(const pln_einsum *s, const group *g, const int64_t *step, int64_t *out)
{
    *out = g->n ? step[g->loop[g->n - 1]] : 1;
    int64_t expected = *out;
    for (int i = g->n - 1; i >= 0; i--) {
        if (step[g->loop[i]] != expected)
            return false;
        expected *= s->size[g->loop[i]];
    }
    return true;
}

/* Row-major steps of the groups one behind the other; their number of elements. */
static int64_t dense_steps(const pln_einsum *s, const group *const *g, int n,
                           int64_t *step)
{
    int64_t at = 1;
    memset(step, 0, LOOPS * sizeof *step);
    for (int k = n - 1; k >= 0; k--)
        for (int i = g[k]->n - 1; i >= 0; i--) {
            step[g[k]->loop[i]] = at;
            at *= s->size[g[k]->loop[i]];
        }
    return at;
}

/* to[...] = from[...] for all loops of the groups. */
static void copy_loops(const pln_einsum *s, const group *const *g, int n, char *to,
                       const int64_t *to_step, const char *from, const int64_t *from_step,
                       int n_threads)
{
    const int64_t unit = (int64_t)s->unit;
    int64_t dims[LOOPS], ts[LOOPS], fs[LOOPS];
    int rank = 0;
    for (int k = 0; k < n; k++)
        for (int i = 0; i < g[k]->n; i++, rank++) {
            dims[rank] = s->size[g[k]->loop[i]];
            ts[rank] = to_step[g[k]->loop[i]] * unit;
            fs[rank] = from_step[g[k]->loop[i]] * unit;
        }
    pln_move_nd(to, ts, from, fs, dims, rank, s->unit, n_threads);
}

static pln_status room(pln_call *c, int64_t n, size_t unit, char **out, pln_error *err)
{
    size_t bytes;
    *out = pln_size_mul(&bytes, (size_t)n, unit) ? pln_call_scratch(c, bytes + 64) : NULL;
    return *out ? PLN_OK : pln_oom(err);
}

/* The operand with its outer and inner loops each at one stride. */
static pln_status in_order(pln_call *c, const pln_einsum *s, operand *o,
                           const group *batch, const group *outer, const group *inner,
                           int64_t *outer_step, int64_t *inner_step, pln_error *err)
{
    if (merged(s, outer, o->step, outer_step) && merged(s, inner, o->step, inner_step))
        return PLN_OK;
    const group *all[3] = { batch, outer, inner };
    int64_t step[LOOPS];
    char *to;
    PLN_TRY(room(c, dense_steps(s, all, 3, step), s->unit, &to, err));
    copy_loops(s, all, 3, to, step, o->data, o->step, c->n_threads);
    o->data = to;
    memcpy(o->step, step, sizeof step);
    merged(s, outer, o->step, outer_step);
    merged(s, inner, o->step, inner_step);
    return PLN_OK;
}

/* ---- a batch of products ---- */

typedef struct products {
    const pln_einsum *s;
    const group *batch;
    const operand *a, *b;
    const int64_t *c_step;
    char *c;
    float *packed;
    int64_t each; /* floats of a packed B */
    int64_t b_rs, b_cs;
    pln_gemm_job job;
    int slots;
} products;

/* Where the operands and the result of product i begin. */
static void begin_product(const products *t, int64_t i, const void **pa, const void **pb,
                          void **py)
{
    const int64_t unit = (int64_t)t->s->unit;
    int64_t a = 0, b = 0, y = 0;
    for (int g = t->batch->n - 1; g >= 0; g--) {
        const int loop = t->batch->loop[g];
        const int64_t at = i % t->s->size[loop];
        i /= t->s->size[loop];
        a += at * t->a->step[loop];
        b += at * t->b->step[loop];
        y += at * t->c_step[loop];
    }
    *pa = t->a->data + a * unit;
    *pb = t->b->data + b * unit;
    *py = t->c + y * unit;
}

static void one_product(const products *t, int64_t i, float *packed, int n_threads)
{
    const void *a, *b;
    void *y;
    begin_product(t, i, &a, &b, &y);
    pln_gemm_job j = t->job;
    pln_gemm_pack(j.fns, packed, b, t->b_rs, t->b_cs, j.k, j.n, 0,
                  (j.n + j.fns->nr - 1) / j.fns->nr);
    j.a = a;
    j.b = packed;
    j.c = y;
    if (n_threads > 1)
        pln_gemm_parallel(&j, n_threads);
    else
        pln_gemm_run(&j, 0, j.m, 0, j.n);
}

static void run_slots(void *arg, int64_t begin, int64_t end)
{
    const products *t = arg;
    for (int64_t s = begin; s < end; s++)
        for (int64_t i = t->batch->size * s / t->slots;
             i < t->batch->size * (s + 1) / t->slots; i++)
            one_product(t, i, t->packed + s * t->each, 1);
}

static pln_status run_doubles(pln_call *c, const products *t, pln_error *err)
{
    const pln_gemm_job *g = &t->job;
    pln_gemm64_job j = { .m = g->m,
                         .n = g->n,
                         .k = g->k,
                         .a_rs = g->a_rs,
                         .a_cs = g->a_cs,
                         .b_rs = t->b_rs,
                         .b_cs = t->b_cs,
                         .ldc = g->ldc };
    for (int64_t i = 0; i < t->batch->size; i++) {
        const void *a, *b;
        void *y;
        begin_product(t, i, &a, &b, &y);
        j.a = a, j.b = b, j.c = y;
        for (int64_t r = 0; r < j.m; r++)
            memset(j.c + r * j.ldc, 0, (size_t)j.n * sizeof *j.c);
        PLN_TRY(pln_gemm64_run(c, &j, err));
    }
    return PLN_OK;
}

static pln_status run_products(pln_call *c, products *t, pln_error *err)
{
    if (t->s->unit == sizeof(double))
        return run_doubles(c, t, err);
    t->slots = t->batch->size >= c->n_threads && c->n_threads > 1 ? c->n_threads : 1;
    t->each = pln_gemm_packed_size(t->job.fns, t->job.k, t->job.n);
    int64_t all;
    if (t->each < 0 || !pln_i64_mul(&all, t->each, t->slots))
        return pln_call_fail(c, err, PLN_E_LIMIT, "the sums are too long");
    char *packed;
    PLN_TRY(room(c, all, sizeof(float), &packed, err));
    t->packed = (float *)(void *)packed;
    if (t->slots > 1)
        pln_parallel_for(c->n_threads, t->slots, 1, run_slots, t);
    for (int64_t i = 0; t->slots == 1 && i < t->batch->size; i++)
        one_product(t, i, t->packed, c->n_threads);
    return PLN_OK;
}

/* y = the sum over `sum` of a x b, where y has the other loops at `step`. */
static pln_status contract(pln_call *c, const pln_einsum *s, operand *a, operand *b,
                           const group *batch, const group *rows, const group *cols,
                           const group *sum, char *y, const int64_t *step, pln_error *err)
{
    int64_t a_rs, a_cs, b_rs, b_cs, ldc, unit, own[LOOPS];
    const group *all[3] = { batch, rows, cols };
    char *to = y;
    PLN_TRY(in_order(c, s, a, batch, rows, sum, &a_rs, &a_cs, err));
    PLN_TRY(in_order(c, s, b, batch, cols, sum, &b_cs, &b_rs, err));
    memcpy(own, step, sizeof own);
    const bool direct = merged(s, cols, step, &unit) && (unit == 1 || cols->size == 1) &&
                        merged(s, rows, step, &ldc) && ldc >= cols->size;
    if (!direct) {
        PLN_TRY(room(c, dense_steps(s, all, 3, own), s->unit, &to, err));
        ldc = cols->size;
    }
    products t = { .s = s, .batch = batch, .a = a, .b = b, .c_step = own, .c = to,
                   .b_rs = b_rs, .b_cs = b_cs };
    t.job = (pln_gemm_job){ .fns = pln_gemm(), .m = rows->size, .n = cols->size,
                            .k = sum->size, .a_rs = a_rs, .a_cs = a_cs, .ldc = ldc };
    if (rows->size == 1)
        t.job.ldc = cols->size;
    PLN_TRY(run_products(c, &t, err));
    if (!direct)
        copy_loops(s, all, 3, y, step, to, own, c->n_threads);
    return PLN_OK;
}

/* Rows and columns trade places where the result has the rows innermost, or no
 * columns. */
static bool better_swapped(const group *rows, const group *cols, const int64_t *step)
{
    if (cols->size == 1)
        return rows->size > 1;
    return rows->n && rows->size > 1 && step[rows->loop[rows->n - 1]] == 1;
}

static pln_status multiply(pln_call *c, const pln_einsum *s, operand *a, operand *b,
                           const bool *kept, char *y, const int64_t *step, pln_error *err)
{
    group batch = { .size = 1 }, rows = batch, cols = batch, sum = batch;
    for (int l = 0; l < s->n_out + s->n_sum; l++) {
        if (!a->step[l] && !b->step[l])
            continue;
        add_loop(s,
                 !kept[l]      ? &sum
                 : !b->step[l] ? &rows
                 : !a->step[l] ? &cols
                               : &batch,
                 l);
    }
    if (better_swapped(&rows, &cols, step))
        return contract(c, s, b, a, &batch, &cols, &rows, &sum, y, step, err);
    return contract(c, s, a, b, &batch, &rows, &cols, &sum, y, step, err);
}

/* ---- one input ---- */

typedef struct row_sums {
    const void *x;
    void *y;
    int64_t n;
} row_sums;

static void sum_rows(void *arg, int64_t begin, int64_t end)
{
    const row_sums *r = arg;
    for (int64_t i = begin; i < end; i++)
        ((float *)r->y)[i] = pln_vec()->sum((const float *)r->x + i * r->n, r->n);
}

static void sum_double_rows(void *arg, int64_t begin, int64_t end)
{
    const row_sums *r = arg;
    for (int64_t i = begin; i < end; i++) {
        double *y = (double *)r->y + i;
        *y = 0;
        pln_typed()->fold_row[PLN_FOLD_SUM][PLN_DT_F64](
            y, (const double *)r->x + i * r->n, r->n);
    }
}

static pln_status single(pln_call *c, const pln_einsum *s, operand *x, char *y,
                         const int64_t *step, pln_error *err)
{
    group out = { .size = 1 }, sum = out;
    for (int l = 0; l < s->n_out + s->n_sum; l++)
        add_loop(s, l < s->n_out ? &out : &sum, l);
    const group *all[2] = { &out, &sum };
    if (sum.size == 1) {
        copy_loops(s, all, 1, y, step, x->data, x->step, c->n_threads);
        return PLN_OK;
    }
    int64_t own[LOOPS];
    char *rows;
    PLN_TRY(room(c, dense_steps(s, all, 2, own), s->unit, &rows, err));
    copy_loops(s, all, 2, rows, own, x->data, x->step, c->n_threads);
    row_sums r = { rows, y, sum.size };
    pln_parallel_for(c->n_threads, out.size, 1 + 16384 / sum.size,
                     s->unit == sizeof(double) ? sum_double_rows : sum_rows, &r);
    return PLN_OK;
}

/* ---- all inputs ---- */

static operand input_of(const pln_einsum *s, int i)
{
    operand o = { .data = s->in[i] };
    memcpy(o.step, s->step[i], sizeof o.step);
    return o;
}

/* Loops that input i + 1 and those behind it, or the result, still need. */
static void needed_after(const pln_einsum *s, int i, bool *kept)
{
    for (int l = 0; l < s->n_out + s->n_sum; l++) {
        kept[l] = l < s->n_out;
        for (int k = i + 1; k < s->n_in; k++)
            kept[l] |= s->step[k][l] != 0;
    }
}

pln_status pln_einsum_fast(pln_call *c, const pln_einsum *s, pln_error *err)
{
    group out = { .size = 1 };
    for (int l = 0; l < s->n_out; l++)
        add_loop(s, &out, l);
    const group *result = &out;
    int64_t step[LOOPS];
    dense_steps(s, &result, 1, step);
    operand acc = input_of(s, 0);
    if (s->n_in == 1)
        return single(c, s, &acc, s->out, step, err);
    for (int i = 1; i < s->n_in; i++) {
        operand next = input_of(s, i);
        bool kept[LOOPS];
        needed_after(s, i, kept);
        if (i + 1 == s->n_in)
            return multiply(c, s, &acc, &next, kept, s->out, step, err);
        group some = { .size = 1 };
        for (int l = 0; l < s->n_out + s->n_sum; l++)
            if (kept[l] && (acc.step[l] || next.step[l]))
                add_loop(s, &some, l);
        const group *partial = &some;
        operand made = { .data = NULL };
        char *to;
        PLN_TRY(room(c, dense_steps(s, &partial, 1, made.step), s->unit, &to, err));
        PLN_TRY(multiply(c, s, &acc, &next, kept, to, made.step, err));
        made.data = to;
        acc = made;
    }
    return PLN_OK;
}
