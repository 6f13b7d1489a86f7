/* Products with narrow weights: every instruction set, type and form of scales against
 * sums in double. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "kernels/gemm_narrow.h"
#include "src/util/alloc.h"
#include "src/util/cpu.h"
#include "tests/kernels/call.h"
#include "tests/unit/main.h"

static const int64_t sizes[][3] = { { 1, 1, 1 },    { 1, 64, 33 },   { 2, 33, 300 },
                                    { 3, 5, 7 },    { 4, 32, 129 },  { 5, 17, 64 },
                                    { 8, 70, 140 }, { 9, 65, 257 },  { 15, 16, 128 },
                                    { 40, 20, 0 },  { 260, 48, 300 } };
static const pln_dtype dtypes[] = { PLN_DT_S8,  PLN_DT_U8,  PLN_DT_S4,
                                    PLN_DT_U4, PLN_DT_F16, PLN_DT_BF16 };

/* NONE: the weights are floats of their own. */
typedef enum form { NONE, ONE, COLUMNS, BLOCKS, FORMS } form;

typedef struct problem {
    pln_narrow_source s;
    int64_t m, n, k;
    pln_tensor *a, *b, *scale, *zero;
} problem;

static pln_tensor *numbers(const problem *t, form f, pln_dtype dt)
{
    const int64_t blocks = (t->k + 15) / 16;
    int64_t dims[2] = { f == ONE ? 1 : t->n, t->n };
    if (f == BLOCKS) {
        dims[t->s.transposed] = blocks;
        dims[!t->s.transposed] = t->n;
    }
    return tk_tensor(dt, f == BLOCKS ? 2 : f == COLUMNS, dims);
}

static void make(problem *t, const int64_t *size, pln_dtype dt, form f, bool transposed)
{
    *t = (problem){ .m = size[0], .n = size[1], .k = size[2] };
    t->s.transposed = transposed;
    t->s.block = f == BLOCKS ? 16 : 0;
    const double lo = dt == PLN_DT_S4 ? -8 : dt == PLN_DT_S8 ? -128 : 0;
    const double hi = dt == PLN_DT_S4   ? 7
                      : dt == PLN_DT_U4 ? 15
                      : dt == PLN_DT_S8 ? 127
                                        : 255;
    t->a = tk_tensor(PLN_DT_F32, 2, (int64_t[]){ t->m, t->k });
    t->b = tk_tensor(dt, 2,
                     transposed ? (int64_t[]){ t->n, t->k } : (int64_t[]){ t->k, t->n });
    tk_random(t->a, 1, -1, 1);
    tk_random(t->b, 2, f == NONE ? -1 : lo, f == NONE ? 1 : hi);
    if (f != NONE) {
        t->scale = numbers(t, f, PLN_DT_F32);
        t->zero = numbers(t, f, dt);
        tk_random(t->scale, 3, 0.01, 0.02);
        tk_random(t->zero, 4, lo, hi);
    }
    t->s.b = t->b, t->s.scale = t->scale, t->s.zero = t->zero;
}

static double number(const problem *t, const pln_tensor *v, int64_t p, int64_t j)
{
    if (v->rank < 2)
        return pln_tensor_get_f64(v, v->rank ? j : 0);
    return pln_tensor_get_f64(v, t->s.transposed ? j * v->dims[1] + p / 16
                                                 : p / 16 * v->dims[1] + j);
}

static double weight(const problem *t, int64_t p, int64_t j)
{
    const double w =
        pln_tensor_get_f64(t->b, t->s.transposed ? j * t->k + p : p * t->n + j);
    return t->scale ? (w - number(t, t->zero, p, j)) * number(t, t->scale, p, j) : w;
}

static void run_one(int isa, const problem *t)
{
    const pln_narrow_fns *f = pln_narrow_for(isa);
    pln_narrow_b *b;
    pln_error err = { 0 };
    const pln_epilogue none = { .n = 0 };
    ck_assert(pln_narrow_fits(&t->s));
    ck_assert(pln_narrow_pack(NULL, f, &t->s, &b, &err) == PLN_OK);
    pln_tensor *c = tk_tensor(PLN_DT_F32, 2, (int64_t[]){ t->m + 1, t->n });
    tk_random(c, 5, -1, 1);
    float *y = c->data;
    const float guard = y[t->m * t->n];
    const pln_narrow_job j = { .fns = f, .b = b, .m = t->m, .a = t->a->data, .a_rs = t->k,
                               .c = y, .epilogue = &none };
    pln_narrow_run(&j, 2);
    ck_assert(y[t->m * t->n] == guard);
    for (int64_t i = 0; i < t->m * t->n; i++) {
        double sum = 0, size = 1;
        for (int64_t p = 0; p < t->k; p++) {
            const double v = (double)PLN_DATA(float, t->a)[i / t->n * t->k + p] *
                             weight(t, p, i % t->n);
            sum += v;
            size += fabs(v);
        }
        ck_assert_msg(fabs(sum - (double)y[i]) < 2e-6 * size,
                      "isa %d, %s: %dx%dx%d at %d: %g %g", isa,
                      pln_dtype_name((pln_dtype)t->b->dtype), (int)t->m, (int)t->n,
                      (int)t->k, (int)i, (double)y[i], sum);
    }
    pln_narrow_free(b);
    tk_free(c);
}

static void check_size(const int64_t *size, pln_dtype dt, form f, bool transposed)
{
    problem t;
    make(&t, size, dt, f, transposed);
    for (int isa = 0; isa < PLN_ISA_COUNT; isa++) {
        if (pln_narrow_for(isa))
            run_one(isa, &t);
    }
    tk_free(t.a), tk_free(t.b);
    if (f != NONE)
        tk_free(t.scale), tk_free(t.zero);
}

START_TEST(types_and_scales)
{
    const pln_dtype dt = dtypes[_i];
    const bool is_float = dt == PLN_DT_F16 || dt == PLN_DT_BF16;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (int f = is_float ? NONE : ONE; f < (is_float ? ONE : FORMS); f++) {
            check_size(sizes[i], dt, (form)f, false);
            check_size(sizes[i], dt, (form)f, true);
        }
    }
}
END_TEST

START_TEST(sizes_that_do_not_fit)
{
    problem t;
    make(&t, (int64_t[]){ 2, 6, 40 }, PLN_DT_S8, COLUMNS, false);
    t.s.block = 16;
    ck_assert(!pln_narrow_fits(&t.s));
    t.s.block = 0;
    ck_assert(pln_narrow_fits(&t.s));
    t.s.transposed = true;
    ck_assert(!pln_narrow_fits(&t.s));
    tk_free(t.a), tk_free(t.b), tk_free(t.scale), tk_free(t.zero);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("narrow");
    TCase *t = tcase_create("narrow");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, types_and_scales, 0, (int)(sizeof dtypes / sizeof *dtypes));
    tcase_add_test(t, sizes_that_do_not_fit);
    suite_add_tcase(s, t);
    return unit_main(s);
}
