/* Integer products: exact for every instruction set, types, zero points and the extremes.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/gemm_int.h"
#include "kernels/quant_fused.h"
#include "src/util/cpu.h"
#include "tests/kernels/call.h"
#include "tests/unit/main.h"

extern const pln_op_desc pln_ops_qlinear[], pln_ops_quant_fused[];

typedef enum fill { RANDOM, HIGH_LOW, LOW_HIGH, LOW_LOW, HIGH_HIGH, FILLS } fill;

static pln_tensor *bytes(bool is_signed, int64_t rows, int64_t cols, int how,
                         uint64_t seed)
{
    pln_tensor *t =
        tk_tensor(is_signed ? PLN_DT_S8 : PLN_DT_U8, 2, (int64_t[]){ rows, cols });
    const double lo = is_signed ? -128 : 0, hi = is_signed ? 127 : 255;
    tk_random(t, seed, how < 0 ? lo : how ? hi : lo, how < 0 ? hi : how ? hi : lo);
    return t;
}

/* One product of an instruction set against plain sums. */
static void check_one(int isa, const int64_t *s, int types, fill how, int zeros)
{
    const pln_igemm_fns *f = pln_igemm_for(isa);
    if (!f)
        return;
    const int64_t m = s[0], n = s[1], k = s[2];
    const bool sa = types & 1, sb = types & 2;
    pln_tensor *a =
        bytes(sa, m, k, how == RANDOM ? -1 : how == HIGH_LOW || how == HIGH_HIGH, 1);
    pln_tensor *b =
        bytes(sb, k, n, how == RANDOM ? -1 : how == LOW_HIGH || how == HIGH_HIGH, 2);
    pln_tensor *za = bytes(sa, 1, zeros == 2 ? m : 1, zeros == 1 ? (int)how % 2 : -1, 3);
    pln_tensor *zb =
        bytes(sb, 1, zeros == 2 ? n : 1, zeros == 1 ? (int)how / 2 % 2 : -1, 4);
    pln_zero az, bz;
    ck_assert(pln_zero_set(&az, zeros ? za : NULL, m));
    ck_assert(pln_zero_set(&bz, zeros ? zb : NULL, n));
    void *pack = pln_alloc_aligned(NULL, pln_igemm_packed_size(f, k, n), 64);
    const int fa = pln_byte_flip((pln_dtype)a->dtype),
              fb = pln_byte_flip((pln_dtype)b->dtype);
    pln_igemm_pack(f, pack, b->data, n, 1, k, n, fb);
    pln_tensor *c = tk_tensor(PLN_DT_S32, 2, (int64_t[]){ m + 1, n });
    int32_t *y = c->data;
    for (int64_t j = 0; j < n; j++)
        y[m * n + j] = 12345;
    const pln_igemm_job job = { .fns = f, .m = m, .n = n, .k = k, .a = a->data, .a_rs = k,
                                .a_cs = 1, .a_flip = fa, .b_flip = fb,
                                .b = pln_igemm_view(f, pack, k, n), .a_zero = &az,
                                .b_zero = &bz, .c = y, .ldc = n };
    pln_igemm_parallel(&job, 2);
    for (int64_t i = 0; i < m * n; i++) {
        int64_t sum = 0;
        for (int64_t p = 0; p < k; p++)
            sum += (pln_tensor_get_i64(a, i / n * k + p) - pln_zero_at(&az, 0, i / n)) *
                   (pln_tensor_get_i64(b, p * n + i % n) - pln_zero_at(&bz, 0, i % n));
        ck_assert_msg(
            sum == y[i], "isa %d types %d fill %d zeros %d: %dx%dx%d at %d: %d, want %d",
            isa, types, how, zeros, (int)m, (int)n, (int)k, (int)i, y[i], (int)sum);
    }
    ck_assert(y[m * n] == 12345 && y[m * n + n - 1] == 12345);
    pln_release(NULL, pack);
    tk_free(a), tk_free(b), tk_free(za), tk_free(zb), tk_free(c);
}

START_TEST(exact_at_every_isa)
{
    static const int64_t sizes[][3] = { { 1, 1, 1 },   { 1, 40, 67 },  { 3, 5, 7 },
                                        { 6, 16, 64 }, { 13, 33, 30 }, { 29, 65, 1029 },
                                        { 5, 31, 2050 } };
    for (int isa = 0; isa < PLN_ISA_COUNT; isa++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            for (int v = 0; v < 4 * FILLS * 3; v++)
                check_one(isa, sizes[i], v & 3, (fill)(v / 4 % FILLS), v / 4 / FILLS);
        }
    }
}
END_TEST

static void same(const tk_case *c, double tolerance)
{
    pln_error err = { 0 };
    pln_tensor *want, *got;
    ck_assert_msg(tk_run(c, NULL, &want, &err) == PLN_OK, "%s", err.text);
    ck_assert_msg(tk_run(c, c->op->cpu, &got, &err) == PLN_OK, "%s", err.text);
    for (int64_t i = 0; i < pln_tensor_size(want); i++) {
        const double w = pln_tensor_get_f64(want, i), g = pln_tensor_get_f64(got, i);
        ck_assert_msg(fabs(w - g) <= tolerance, "%s: at %d %g, want %g", c->op->name,
                      (int)i, g, w);
    }
    tk_free(want), tk_free(got);
}

static pln_tensor *scalar(pln_dtype dt, double v)
{
    pln_tensor *t = tk_tensor(dt, 0, (int64_t[]){ 0 });
    pln_tensor_set_f64(t, 0, v);
    return t;
}

START_TEST(fused_units)
{
    static const char *const names[] = { "add", "relu" };
    static const float zero[2];
    const int64_t m = 9, n = 37, k = 70;
    for (int v = 0; v < 64; v++) {
        const bool tb = v & 1, per_column = v & 2, quantized = v & 4, int_bias = v & 8;
        const bool sb = v & 16, sy = v & 32;
        const pln_qmm_attrs at = { .transB = tb,
                                   .post = { { names, 2 }, { zero, 2 }, { zero, 2 } } };
        pln_tensor *a = tk_tensor(PLN_DT_U8, 3, (int64_t[]){ 2, m, k });
        tk_random(a, 1, 0, 255);
        pln_tensor *b = bytes(sb, tb ? n : k, tb ? k : n, -1, 2);
        pln_tensor *as = scalar(PLN_DT_F32, 0.01), *az = scalar(PLN_DT_U8, 117);
        pln_tensor *bs = tk_tensor(PLN_DT_F32, 1, (int64_t[]){ per_column ? n : 1 });
        pln_tensor *bz = bytes(sb, 1, per_column ? n : 1, -1, 5);
        pln_tensor *bias = tk_tensor(int_bias ? PLN_DT_S32 : PLN_DT_F32, 1, &n);
        pln_tensor *ys = scalar(PLN_DT_F32, 0.13);
        pln_tensor *yz = scalar(sy ? PLN_DT_S8 : PLN_DT_U8, sy ? -7 : 99);
        pln_tensor *other = tk_tensor(PLN_DT_F32, 2, (int64_t[]){ m, n });
        tk_random(bs, 4, 0.001, 0.02), tk_random(bias, 6, -1000, 1000);
        tk_random(other, 7, -10, 10);
        bz->rank = 1, bz->dims[0] = bz->dims[1];
        tk_case c = { .op = tk_row(pln_ops_quant_fused, "QMatMul"),
                      .attrs = &at,
                      .n_threads = 2,
                      .n_in = 10,
                      .in = { a, b, as, az, bs, bz, bias, quantized ? ys : NULL,
                              quantized ? yz : NULL, other },
                      .constant = { false, true },
                      .out_rank = 3,
                      .out_dims = { 2, m, n },
                      .out_dtype =
                          quantized ? (sy ? PLN_DT_S8 : PLN_DT_U8) : PLN_DT_F32 };
        same(&c, 0);
        c.constant[1] = false;
        same(&c, 0);
        pln_tensor *all[] = { a, b, as, az, bs, bz, bias, ys, yz, other };
        for (int i = 0; i < 10; i++)
            tk_free(all[i]);
    }
}
END_TEST

START_TEST(dynamic_quantization)
{
    const int64_t m = 9, n = 37, k = 70;
    const pln_qmm_attrs at = { .transB = 0 };
    pln_tensor *x = tk_tensor(PLN_DT_F32, 2, (int64_t[]){ m, k });
    pln_tensor *b = bytes(true, k, n, -1, 2), *bs = scalar(PLN_DT_F32, 0.01);
    tk_random(x, 1, -3, 5);
    tk_case c = { .op = tk_row(pln_ops_quant_fused, "DynamicQuantMatMul"), .attrs = &at,
                  .n_threads = 2, .n_in = 3, .in = { x, b, bs },
                  .constant = { false, true },
                  .out_dtype = PLN_DT_F32, .out_rank = 2, .out_dims = { m, n } };
    same(&c, 0);
    tk_free(x), tk_free(b), tk_free(bs);
}
END_TEST

/* Rows of sums to bytes, and what depthwise convolutions are made of. */
START_TEST(rows_at_every_isa)
{
    enum { N = 77 };
    static const int isas[] = { PLN_ISA_C, PLN_ISA_AVX2, PLN_ISA_AVX512,
                                PLN_ISA_AVX512_VNNI };
    int32_t row[N], sums[N], acc[N], want[N];
    uint8_t x[4 * N], y[N];
    uint64_t r = 7;
    for (int i = 0; i < 4 * N; i++)
        x[i] = (uint8_t)((r = r * 6364136223846793005u + 1442695040888963407u) >> 56);
    for (int i = 0; i < N; i++)
        row[i] = (int32_t)x[i] * 37 - 4000, sums[i] = (int32_t)x[i + N] - 99;
    for (int k = 0; k < 8; k++) {
        const pln_igemm_fns *f = pln_igemm_for(isas[k / 2]);
        const int flip = k % 2 ? 0x80 : 0, zero = k % 2 ? -5 : 130;
        const uint8_t *from[3] = { x, x + 5, x + 2 * N };
        const int32_t w[3] = { -255, 7, 128 };
        if (!f)
            continue;
        f->requant(y, row, sums, 11u, 3u, 0.0625f, zero, flip, N);
        for (int i = 0; i < N; i++)
            ck_assert_uint_eq(
                y[i], pln_quantize_byte((float)(row[i] - 11 - 3 * sums[i]) * 0.0625f,
                                        1.0f, zero, flip));
        f->taps(acc, from, w, 3, zero, flip, N);
        for (int i = 0; i < N; i++) {
            want[i] = 0;
            for (int t = 0; t < 3; t++)
                want[i] += w[t] * (pln_byte_value(from[t][i], flip) - zero);
            ck_assert_int_eq(acc[i], want[i]);
        }
        for (int step = 1; step < 3; step++) {
            f->axpy(acc, x, step, -200, zero, flip, N);
            for (int i = 0; i < N; i++) {
                want[i] += -200 * (pln_byte_value(x[i * step], flip) - zero);
                ck_assert_int_eq(acc[i], want[i]);
            }
        }
    }
}
END_TEST

static void bench(void)
{
    static const int64_t s[][3] = { { 1, 512, 512 }, { 1, 2048, 512 }, { 30, 512, 512 },
                                    { 128, 512, 512 }, { 128, 2048, 512 },
                                      { 128, 512, 2048 } };
    for (size_t i = 0; i < sizeof s / sizeof *s; i++) {
        const int64_t m = s[i][0], n = s[i][1], k = s[i][2];
        pln_tensor *a = bytes(false, m, k, -1, 1), *b = bytes(true, k, n, -1, 2);
        tk_case c = { .op = tk_row(pln_ops_qlinear, "MatMulInteger"),
                      .n_threads = 2,
                      .n_in = 2,
                      .in = { a, b },
                      .constant = { false, true },
                      .out_dtype = PLN_DT_S32,
                      .out_rank = 2,
                      .out_dims = { m, n } };
        const double t = tk_bench(&c, c.op->cpu, 0.2, NULL);
        printf("# %4d x %4d x %4d %9.1f us %7.1f G/s\n", (int)m, (int)k, (int)n, t * 1e6,
               2e-9 * (double)(m * n * k) / t);
        tk_free(a), tk_free(b);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--bench") == 0) {
        bench();
        return 0;
    }
    Suite *s = suite_create("gemm_int");
    TCase *t = tcase_create("gemm_int");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, exact_at_every_isa);
    tcase_add_test(t, rows_at_every_isa);
    tcase_add_test(t, fused_units);
    tcase_add_test(t, dynamic_quantization);
    suite_add_tcase(s, t);
    return unit_main(s);
}
