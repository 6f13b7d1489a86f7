/* Float matrix products: every instruction set and shape against the reference.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "kernels/fused.h"
#include "kernels/gemm_attrs.h"
#include "kernels/gemm_f32.h"
#include "kernels/gemm_f64.h"
#include "src/util/cpu.h"
#include "tests/kernels/call.h"
#include "tests/unit/main.h"

#if PLN_DNNL
#include "kernels/dnnl/lower.h"
#endif

extern const pln_op_desc pln_ops_fused[], pln_ops_matmul[];

static const int64_t sizes[][3] = { { 1, 1, 1 },     { 1, 64, 33 },  { 3, 5, 7 },
                                    { 6, 16, 16 },   { 7, 17, 31 },  { 14, 32, 300 },
                                    { 29, 65, 257 }, { 40, 100, 0 }, { 64, 48, 513 },
                                    { 5, 300, 70 } };

/* Tiles of one instruction set, packed B and B in place, against sums in double. */
static void check_isa(int isa, int64_t m, int64_t n, int64_t k)
{
    const pln_gemm_fns *f = pln_gemm_for(isa);
    if (!f)
        return;
    pln_tensor *a = tk_tensor(PLN_DT_F32, 2, (int64_t[]){ m, k });
    pln_tensor *b = tk_tensor(PLN_DT_F32, 2, (int64_t[]){ k, n });
    pln_tensor *c = tk_tensor(PLN_DT_F32, 2, (int64_t[]){ m + 1, n });
    tk_random(a, 1, -1, 1);
    tk_random(b, 2, -1, 1);
    pln_tensor *pack = tk_tensor(PLN_DT_F32, 1,
                                 (int64_t[]){ pln_gemm_packed_size(f, k, n) });
    pln_gemm_pack(f, pack->data, b->data, n, 1, k, n, 0, (n + f->nr - 1) / f->nr);
    for (int direct = 0; direct < 2; direct++) {
        tk_random(c, 3, -1, 1);
        float *y = c->data;
        const float guard = y[m * n];
        const pln_gemm_job j = { .fns = f,
                                 .m = m,
                                 .n = n,
                                 .k = k,
                                 .a = a->data,
                                 .a_rs = k,
                                 .a_cs = 1,
                                 .b = direct ? b->data : pack->data,
                                 .b_ld = direct ? n : 0,
                                 .c = y,
                                 .ldc = n };
        pln_gemm_parallel(&j, 2);
        ck_assert(y[m * n] == guard);
        for (int64_t i = 0; i < m * n; i++) {
            double sum = 0;
            for (int64_t p = 0; p < k; p++)
                sum += (double)PLN_DATA(float, a)[i / n * k + p] *
                       (double)PLN_DATA(float, b)[p * n + i % n];
            ck_assert_msg(fabs(sum - (double)y[i]) < 1e-4, "isa %d %dx%dx%d at %d: %g %g",
                          isa, (int)m, (int)n, (int)k, (int)i, (double)y[i], sum);
        }
    }
    tk_free(a), tk_free(b), tk_free(c), tk_free(pack);
}

START_TEST(tiles_of_every_isa)
{
    for (int isa = 0; isa < PLN_ISA_COUNT; isa++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            check_isa(isa, sizes[i][0], sizes[i][1], sizes[i][2]);
    }
}
END_TEST

static void same(const tk_case *c, const pln_impl *impl, double tolerance)
{
    pln_error err = { 0 };
    pln_tensor *want, *got;
    ck_assert_msg(tk_run(c, NULL, &want, &err) == PLN_OK, "%s", err.text);
    ck_assert_msg(tk_run(c, impl, &got, &err) == PLN_OK, "%s", err.text);
    for (int64_t i = 0; i < pln_tensor_size(want); i++) {
        const double w = pln_tensor_get_f64(want, i), g = pln_tensor_get_f64(got, i);
        ck_assert_msg(fabs(w - g) <= tolerance, "%s: at %d %g, want %g", c->op->name,
                      (int)i, g, w);
    }
    tk_free(want);
    tk_free(got);
}

/* A [batch..., m, k] with its last two dimensions swapped if t. */
static pln_tensor *operand(int64_t b0, int64_t b1, int64_t rows, int64_t cols, bool t,
                           int seed)
{
    pln_tensor *x = tk_tensor(PLN_DT_F32, 4,
                              (int64_t[]){ b0, b1, t ? cols : rows, t ? rows : cols });
    tk_random(x, (uint64_t)seed, -1, 1);
    return x;
}

START_TEST(batches_and_transposes)
{
    static const char *const names[] = { "gelu", "add", "clip", "mul" };
    const float alpha[] = { 0, 0, -0.5f, 0 }, beta[] = { 0, 0, 0.7f, 0 };
    for (int variant = 0; variant < 48; variant++) {
        const bool ta = variant & 1, tb = variant & 2, constant = variant & 4;
        const int kind = variant / 8; /* how the batches meet */
        const int64_t m = 13, n = 21 + 16 * (variant % 3), k = 37;
        const int64_t a0 = kind == 1 ? 1 : 2, b0 = kind == 2 || kind == 3 ? 1 : 2;
        const int64_t b1 = kind == 3 ? 1 : 3;
        const pln_fused_mm_attrs at = { .alpha = kind == 4 ? 0.25f : 1.0f,
                                        .beta = 1.0f,
                                        .transA = ta,
                                        .transB = tb,
                                        .post = {
                                            { names, 4 }, { alpha, 4 }, { beta, 4 } } };
        pln_tensor *a = operand(a0, 3, m, k, ta, 1), *b = operand(b0, b1, k, n, tb, 2);
        pln_tensor *bias = tk_tensor(PLN_DT_F32, 1, &n);
        pln_tensor *full = tk_tensor(PLN_DT_F32, 4, (int64_t[]){ 2, 3, m, n });
        pln_tensor *col = tk_tensor(PLN_DT_F32, 3, (int64_t[]){ 3, m, 1 });
        tk_random(bias, 4, -1, 1), tk_random(full, 5, -1, 1), tk_random(col, 6, -1, 1);
        tk_case c = { .op = tk_row(pln_ops_fused, "FusedMatMul"), .attrs = &at,
                      .n_threads = 2, .n_in = 5, .in = { a, b, bias, full, col },
                      .constant = { false, constant }, .out_dtype = PLN_DT_F32,
                      .out_rank = 4, .out_dims = { 2, 3, m, n } };
        same(&c, c.op->cpu, 2e-5);
        tk_free(a), tk_free(b), tk_free(bias), tk_free(full), tk_free(col);
    }
}
END_TEST

START_TEST(vectors)
{
    pln_tensor *v = tk_tensor(PLN_DT_F32, 1, (int64_t[]){ 37 });
    pln_tensor *a = tk_tensor(PLN_DT_F32, 3, (int64_t[]){ 3, 11, 37 });
    pln_tensor *b = tk_tensor(PLN_DT_F32, 3, (int64_t[]){ 3, 37, 11 });
    tk_random(v, 1, -1, 1), tk_random(a, 2, -1, 1), tk_random(b, 3, -1, 1);
    const pln_op_desc *op = tk_row(pln_ops_matmul, "MatMul");
    tk_case c = { .op = op, .n_threads = 2, .n_in = 2, .in = { v, v },
                  .out_dtype = PLN_DT_F32 };
    same(&c, op->cpu, 2e-5);
    c.in[0] = a, c.out_rank = 2, c.out_dims[0] = 3, c.out_dims[1] = 11;
    same(&c, op->cpu, 2e-5);
    c.in[0] = v, c.in[1] = b;
    same(&c, op->cpu, 2e-5);
    tk_free(v), tk_free(a), tk_free(b);
}
END_TEST

/* Double products: every instruction set's tile, edges, and the ways of few rows. */
static void check_isa_f64(int isa)
{
    const pln_gemm64_fns *f = pln_gemm64_for(isa);
    double a[7 * PLN_GEMM64_MR_MAX], b[7 * PLN_GEMM64_NR_MAX];
    double c[PLN_GEMM64_MR_MAX * PLN_GEMM64_NR_MAX] = { 0 };
    if (!f)
        return;
    for (int i = 0; i < 7 * f->mr; i++)
        a[i] = i % 13 - 6;
    for (int i = 0; i < 7 * f->nr; i++)
        b[i] = i % 11 - 5;
    f->tile(7, a, b, c, f->nr);
    for (int r = 0; r < f->mr; r++)
        for (int n = 0; n < f->nr; n++) {
            double sum = 0;
            for (int p = 0; p < 7; p++)
                sum += a[p * f->mr + r] * b[p * f->nr + n];
            ck_assert_msg(sum == c[r * f->nr + n], "isa %d at %d, %d", isa, r, n);
        }
}

START_TEST(doubles)
{
    for (int isa = 0; isa < PLN_ISA_COUNT; isa++)
        check_isa_f64(isa);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int variant = 0; variant < 4; variant++) {
            const int64_t m = sizes[i][0], n = sizes[i][1], k = sizes[i][2];
            const bool ta = variant & 1, tb = variant & 2;
            const pln_gemm_attrs at = {
                .alpha = 0.5f, .beta = 2.0f, .transA = ta, .transB = tb
            };
            pln_tensor *a =
                tk_tensor(PLN_DT_F64, 2, (int64_t[]){ ta ? k : m, ta ? m : k });
            pln_tensor *b =
                tk_tensor(PLN_DT_F64, 2, (int64_t[]){ tb ? n : k, tb ? k : n });
            pln_tensor *c = tk_tensor(PLN_DT_F64, 1, (int64_t[]){ n });
            tk_random(a, 1, -1, 1), tk_random(b, 2, -1, 1), tk_random(c, 3, -1, 1);
            const pln_op_desc *op = tk_row(pln_ops_matmul, "Gemm");
            tk_case t = { .op = op, .attrs = &at, .n_threads = 2, .n_in = 3,
                          .in = { a, b, c }, .out_dtype = PLN_DT_F64, .out_rank = 2,
                          .out_dims = { m, n } };
            same(&t, op->cpu, 1e-12);
            tk_free(a), tk_free(b), tk_free(c);
        }
}
END_TEST

#if PLN_DNNL
START_TEST(onednn)
{
    static const char *const names[] = { "gelu", "add", "clip", "mul" };
    const float alpha[] = { 0, 0, -0.5f, 0 }, beta[] = { 0, 0, 0.7f, 0 };
    const int64_t m = 130, n = 150, k = 170;
    pln_error err = { 0 };
    if (pln_device_dnnl.open(&err) != PLN_OK) {
        printf("# skipped: %s\n", err.text);
        return;
    }
    for (int variant = 0; variant < 16; variant++) {
        const bool ta = variant & 1, tb = variant & 2, full_operand = variant & 4;
        const bool with_bias = variant & 8;
        const pln_fused_mm_attrs at = { .alpha = 1.0f,
                                        .beta = 1.0f,
                                        .transA = ta,
                                        .transB = tb,
                                        .post = {
                                            { names, 4 }, { alpha, 4 }, { beta, 4 } } };
        pln_tensor *a = tk_tensor(PLN_DT_F32, 2, (int64_t[]){ ta ? k : m, ta ? m : k });
        pln_tensor *b = tk_tensor(PLN_DT_F32, 2, (int64_t[]){ tb ? n : k, tb ? k : n });
        pln_tensor *bias = tk_tensor(PLN_DT_F32, 1, &n);
        pln_tensor *o = tk_tensor(PLN_DT_F32, 2, (int64_t[]){ full_operand ? m : 1, n });
        pln_tensor *row = tk_tensor(PLN_DT_F32, 2, (int64_t[]){ m, 1 });
        pln_tensor *all[] = { a, b, bias, o, row };
        for (int i = 0; i < 5; i++)
            tk_random(all[i], (uint64_t)i + 1, -1, 1);
        tk_case c = { .op = tk_row(pln_ops_fused, "FusedMatMul"), .attrs = &at,
                      .n_threads = 2, .n_in = 5, .in = { a, b, with_bias ? bias : NULL, o,
                                                         row },
                      .constant = { false, true }, .out_dtype = PLN_DT_F32, .out_rank = 2,
                      .out_dims = { m, n } };
        same(&c, &pln_dnnl_matmul, 5e-5);
        for (int i = 0; i < 5; i++)
            tk_free(all[i]);
    }
}
END_TEST
#endif

static void bench_one(const tk_case *c, const pln_impl *impl, const char *what)
{
    const double t = tk_bench(c, impl, 0.1, NULL);
    const int64_t m = c->in[0]->dims[0], k = c->in[0]->dims[1], n = c->in[1]->dims[1];
    printf("# %4d x %4d x %4d %-6s %9.1f us %7.1f GF/s\n", (int)m, (int)k, (int)n, what,
           t * 1e6, 2e-9 * (double)(m * n * k) / t);
}

static void bench(void)
{
    static const int64_t s[][3] = { { 1, 512, 512 },   { 1, 4096, 1024 }, { 16, 64, 64 },
                                    { 64, 64, 64 },    { 128, 128, 32 },
                                      { 128, 384, 384 },
                                    { 128, 1536, 384 }, { 512, 512, 512 } };
    for (size_t i = 0; i < sizeof s / sizeof *s; i++) {
        const int64_t m = s[i][0], n = s[i][1], k = s[i][2];
        pln_tensor *a = tk_tensor(PLN_DT_F32, 2, (int64_t[]){ m, k });
        pln_tensor *b = tk_tensor(PLN_DT_F32, 2, (int64_t[]){ k, n });
        tk_random(a, 1, -1, 1), tk_random(b, 2, -1, 1);
        const pln_op_desc *op = tk_row(pln_ops_matmul, "MatMul");
        tk_case c = { .op = op, .n_threads = 2, .n_in = 2, .in = { a, b },
                      .out_dtype = PLN_DT_F32, .out_rank = 2, .out_dims = { m, n } };
        for (int constant = 0; constant < 2; constant++) {
            c.constant[1] = constant;
            bench_one(&c, op->cpu, constant ? "packed" : "");
#if PLN_DNNL
            if (constant && pln_device_dnnl.open(NULL) == PLN_OK)
                bench_one(&c, &pln_dnnl_matmul, "oneDNN");
#endif
        }
        tk_free(a), tk_free(b);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--bench") == 0) {
        bench();
        return 0;
    }
    Suite *s = suite_create("gemm");
    TCase *t = tcase_create("gemm");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, tiles_of_every_isa);
    tcase_add_test(t, batches_and_transposes);
    tcase_add_test(t, vectors);
    tcase_add_test(t, doubles);
#if PLN_DNNL
    tcase_add_test(t, onednn);
#endif
    suite_add_tcase(s, t);
    return unit_main(s);
}
