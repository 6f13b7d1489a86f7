/* Matrix products of every type in plain C: the definition that faster kernels are held
 * to.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/product.h"
#include "src/ir/numeric.h"
#include "src/util/parallel.h"

/* alpha and beta on integers: in double, cut to the integers that a double holds. */
static int64_t scale_any(float f, double x)
{
    const double v = (double)f * x;
    if (!(v > -9.2e18))
        return v == v ? INT64_MIN : 0;
    return v < 9.2e18 ? (int64_t)v : INT64_MAX;
}
static uint32_t scale_u32(float f, uint32_t x)
{
    return (uint32_t)scale_any(f, x);
}
static uint32_t scale_s32(float f, uint32_t x)
{
    return (uint32_t)scale_any(f, (int32_t)x);
}
static uint64_t scale_u64(float f, uint64_t x)
{
    return (uint64_t)scale_any(f, (double)x);
}
static uint64_t scale_s64(float f, uint64_t x)
{
    return (uint64_t)scale_any(f, (double)(int64_t)x);
}

#define PLN_TMPL "kernels/matmul_tmpl.h"
#include "kernels/each_float.h"
#include "kernels/each_int.h"

typedef void (*rows_fn)(const pln_mm *g, const void *a, const void *b, const void *c,
                        void *y, int64_t r0, int64_t r1);

static const rows_fn rows_fns[PLN_DT_COUNT] = {
    [PLN_DT_F32] = mm_rows_f32, [PLN_DT_F64] = mm_rows_f64, [PLN_DT_F16] = mm_rows_f16,
    [PLN_DT_BF16] = mm_rows_bf16, [PLN_DT_U32] = mm_rows_u32, [PLN_DT_S32] = mm_rows_s32,
    [PLN_DT_U64] = mm_rows_u64, [PLN_DT_S64] = mm_rows_s64,
};

typedef struct job {
    rows_fn fn;
    const pln_mm *g;
    const void *a, *b, *c;
    void *y;
} job;

static void run_rows(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    j->fn(j->g, j->a, j->b, j->c, j->y, begin, end);
}

pln_status pln_mm_ref(const pln_call *c, const pln_mm *g, const pln_tensor *a,
                      const pln_tensor *b, const pln_tensor *addend, pln_tensor *y,
                      pln_error *err)
{
    job j = { .fn = rows_fns[a->dtype], .g = g, .a = a->data, .b = b->data,
              .c = addend ? addend->data : NULL, .y = y->data };
    if (!j.fn)
        return pln_call_fail(c, err, PLN_E_UNSUPPORTED, "no product of %s",
                             pln_dtype_name(a->dtype));
    const int64_t rows = pln_tensor_size(y) ? g->batch * g->m : 0;
    const int64_t work = g->n * (g->k > 0 ? g->k : 1);
    pln_parallel_for(c->n_threads, rows, work > 16384 ? 1 : 1 + 16384 / (work + 1),
                     run_rows, &j);
    return PLN_OK;
}
